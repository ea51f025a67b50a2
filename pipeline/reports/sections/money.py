"""Spend, commitments and budgets: what was paid, to whom and by whom."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from pipeline.explain.api_costs import CostFigure
from pipeline.explain.gpu_costs import WasteFigure
from pipeline.reports import figures
from pipeline.reports.budgets import COLUMNS as BUDGET_COLUMNS
from pipeline.reports.budgets import MEASURES as BUDGET_MEASURES
from pipeline.reports.budgets import MONEY_COLUMNS, budget_cells, how_forecast
from pipeline.reports.owners import (
    DRIVER_COLUMNS,
    driver_cells,
    driver_reasons,
    measures_in,
    owner_cells,
    owner_rows,
    owners_of,
)
from pipeline.reports.owners import NOTE as OWNER_NOTE
from pipeline.reports.owners import TITLES as OWNER_TITLES
from pipeline.reports.page import Block, Column, Note, Row, Section, Table
from pipeline.reports.prepaid import COLUMNS as PREPAID_COLUMNS
from pipeline.reports.prepaid import NOTE as PREPAID_NOTE
from pipeline.reports.prepaid import WORDS as PREPAID_WORDS
from pipeline.reports.prepaid import prepaid_cells
from pipeline.reports.sections.month import (
    LINE_KINDS,
    OTHER_LINES,
    Answer,
    Month,
    in_words,
    marked,
    measures_of,
    total,
)

_WHY_IN_NO_SUM = {
    "unconverted": "no exchange rate",
    "no_rate": "no price agreed or billed",
    "no_amount": "billed without an amount",
}


def commitments(month: Month) -> Section:
    """What is paid in advance or committed to: what of it is used, what is left."""
    bills, prepaid = month.ask("cloud_bills"), month.ask("prepaid")
    unused = [bill for bill in bills if bill["is_book"] and bill["of_which_unused_commitment_cost"]]
    parts = [
        f"{figures.priced(bill['of_which_unused_commitment_cost'], figures.name(bill['billing_currency']))} of what is "
        f"committed to {figures.name(bill['issuer'])} was not used"
        for bill in unused
    ]
    if prepaid:
        parts.append(f"{figures.counted(len(prepaid), 'account')} {'is' if len(prepaid) == 1 else 'are'} prepaid")
    if parts:
        says = f"{in_words(parts)}."
    elif bills:
        says = "Nothing that is committed to a cloud is left unused, and no account is prepaid."
    else:
        says = "No commitment of a cloud and no prepaid account is known."
    return Section("commitments", "Commitments and prepaid", says, (*_cloud_bills(month), *_prepaid(month)))


def budget(month: Month) -> Section:
    """What may be spent, what was, and what the month comes to."""
    rows = month.ask("budgets")
    if not rows:
        says = "No budget is declared for this month: see `budgets` of breakeven.yaml."
    else:
        counts = [
            (sum(row["status"] == status for row in rows), words)
            for status, words in (
                ("over", "over"),
                ("at_risk", "at risk"),
                ("unknown", "unknown"),
                ("within", "within"),
            )
        ]
        of_them = in_words([f"{count} {words}" for count, words in counts if count])
        says = f"Of {figures.counted(len(rows), 'budget')}: {of_them}."
    return Section("budget", "Forecast and budget", says, _budgets(month))


def spend(month: Month) -> Section:
    """Who was paid, for what, and by which account, model and team."""
    api, gpu, unknown = month.ask("spend_api"), month.ask("spend_gpu"), month.ask("unknown_costs")
    hosted, per_use = month.ask("spend_hosted"), month.ask("spend_per_use")
    billed = [line for line in api if line["billed_cost_rc"] is not None or line["tokens"] is not None]
    metered_only = total(api, "metered_only_tokens", empty=None)
    unpriced = total(api, "unpriced_tokens", empty=None)
    unattributed = total(api, "of_which_unattributed_cost_rc", empty=None)
    notes = [
        f"{figures.millions(metered_only)} million tokens were metered and are on no bill; they are in no figure here."
        if metered_only
        else "",
        f"{figures.millions(unpriced)} million tokens have no list price on their day: the list column is empty there."
        if unpriced
        else "",
        f"{month.priced(unattributed)} of the bill names no key that used anything." if unattributed else "",
    ]
    blocks: list[Block] = [
        Table(
            name="api_spend",
            caption="API spend, billed",
            columns=(
                Column("Account"),
                Column("Provider"),
                Column("Model"),
                Column("Team"),
                Column("Tokens", "million", is_number=True),
                Column("Billed", month.currency, is_number=True),
                Column("At list price", month.currency, is_number=True),
            ),
            rows=(
                *(
                    Row(
                        (
                            figures.name(line["account"]),
                            figures.name(line["provider"]),
                            figures.name(line["model"], "no model"),
                            figures.name(line["team"], "no team"),
                            figures.millions(line["tokens"]),
                            _money_or_unknown(month, line, "billed_cost_rc"),
                            month.money(line["list_cost_rc"]),
                        ),
                        refused=month.proof.of_team(account=line["account"], team=line["team"]),
                        traced=_spent_traced(month, line),
                    )
                    for line in billed
                ),
                *_sum_row(month, billed, "billed_cost_rc", "Billed", before=("", "", "", ""), after=("",), lane="api"),
                *_unconverted_rows(month, billed, before=("", "", "", ""), after=("",), lane="api"),
            ),
            note=" ".join(note for note in notes if note),
        ),
        Table(
            name="gpu_spend",
            caption="GPU spend, by who sends the bill",
            columns=(
                Column("Issuer"),
                Column("Account"),
                Column("Lines"),
                Column("Measure"),
                Column("GPU-hours", "h", is_number=True),
                Column("Cost", month.currency, is_number=True),
            ),
            rows=(
                *(
                    Row(
                        (
                            figures.name(line["issuer"]),
                            figures.name(line["account"]),
                            LINE_KINDS.get(line["line_kind"], line["line_kind"]),
                            line["cost_measure"],
                            "" if line["line_kind"] in OTHER_LINES else figures.hours(line["gpu_hours"]),
                            _money_or_unknown(month, line, "realized_cost_rc"),
                        ),
                        refused=month.proof.of_money(lane="self_host", issuer=line["issuer"], account=line["account"]),
                        traced=None
                        if line["unconverted_currency"] is not None
                        else WasteFigure(
                            from_date=month.from_date,
                            to_date=month.to_date,
                            issuer=line["issuer"],
                            account=line["account"],
                            line_kind=line["line_kind"],
                            measure=line["cost_measure"],
                            currency=line["billing_currency"],
                        ),
                    )
                    for line in gpu
                ),
                *(
                    row
                    for measure in measures_of(gpu)
                    for row in _sum_row(
                        month,
                        [line for line in gpu if line["cost_measure"] == measure],
                        "realized_cost_rc",
                        measure,
                        before=("", "", measure, ""),
                        after=(),
                        lane="self_host",
                    )
                ),
                *(
                    row
                    for measure in measures_of(gpu)
                    for row in _unconverted_rows(
                        month,
                        [line for line in gpu if line["cost_measure"] == measure],
                        before=("", "", measure, ""),
                        after=(),
                        lane="self_host",
                    )
                ),
            ),
        ),
        *_hosted_spend(month, hosted),
        *_per_use_spend(month, per_use),
    ]
    blocks.extend(_by_owner(month))
    blocks.extend(_by_driver(month))
    if unknown:
        blocks.append(
            Table(
                name="not_in_sums",
                caption=f"In no sum in {month.currency}: not converted, or without a price",
                columns=(
                    Column("Issuer"),
                    Column("Account"),
                    Column("Measure"),
                    Column("Why"),
                    Column("GPU-hours", "h", is_number=True),
                    Column("Amount", "in its own currency", is_number=True),
                    Column("Currency"),
                ),
                rows=tuple(
                    Row(
                        (
                            figures.name(line["issuer"]),
                            figures.name(line["account"]),
                            line["cost_measure"],
                            _WHY_IN_NO_SUM[line["reason"]],
                            "" if line["gpu_hours"] is None else figures.hours(line["gpu_hours"]),
                            figures.money(line["realized_cost"], figures.name(line["billing_currency"])),
                            figures.name(line["billing_currency"]),
                        ),
                    )
                    for line in unknown
                ),
                note=" ".join(month.rate_notes),
            )
        )
    elif month.rate_notes:
        blocks.append(Note(" ".join(month.rate_notes), is_warning=True))
    return Section("spend", "Spend", _spend_sentence(month, billed, gpu, hosted, per_use), blocks)


def _spent_traced(month: Month, line: Answer) -> CostFigure | None:
    """Of a line in the reporting currency; what is not converted has rows of the same names beside it."""
    if line["unconverted_currency"] is not None:
        return None
    return CostFigure(
        from_date=month.from_date,
        to_date=month.to_date,
        account=line["account"],
        provider=line["provider"],
        group=(line["model"], line["team"]),
    )


def _hosted_spend(month: Month, lines: Sequence[Answer]) -> tuple[Table, ...]:
    """What clouds bill for models that they host: a part of their bills, whose taxes and credits stand there."""
    if not lines:
        return ()
    uncounted = sum(line["uncounted_count"] for line in lines)
    return (
        Table(
            name="hosted_spend",
            caption="Models that clouds host, as billed",
            columns=(
                Column("Issuer"),
                Column("Account"),
                Column("Model"),
                Column("Tokens", "million", is_number=True),
                Column("Cost", month.currency, is_number=True, measure="billed"),
            ),
            rows=(
                *(
                    Row(
                        (
                            figures.name(line["issuer"]),
                            figures.name(line["account"]),
                            figures.name(line["model"], "no model named"),
                            "not counted" if line["tokens"] is None else figures.millions(line["tokens"]),
                            _money_or_unknown(month, line, "billed_cost_rc"),
                        ),
                        refused=month.proof.of_money(issuer=line["issuer"], account=line["account"]),
                    )
                    for line in lines
                ),
                *_sum_row(month, lines, "billed_cost_rc", "Billed", before=("", "", ""), after=(), lane="cloud_model"),
                *_unconverted_rows(month, lines, before=("", "", ""), after=(), lane="cloud_model"),
            ),
            note="Usage alone: taxes, credits and purchases are on the cloud's bill under Commitments and prepaid."
            + (f" Of {figures.counted(uncounted, 'line')} the bill states no tokens." if uncounted else ""),
        ),
    )


def _per_use_spend(month: Month, lines: Sequence[Answer]) -> tuple[Table, ...]:
    """What services of `per_use` cost on clouds' bills: on a bill of GPUs they are among its lines."""
    if not lines:
        return ()
    rows = [
        Row(
            (
                figures.name(line["issuer"]),
                figures.name(line["account"]),
                line["cost_measure"],
                _money_or_unknown(month, line, "realized_cost_rc"),
            ),
            refused=month.proof.of_money(issuer=line["issuer"], account=line["account"]),
        )
        for line in lines
    ]
    for measure in measures_of(lines):
        own = [line for line in lines if line["cost_measure"] == measure]
        before, lane = ("", measure), "cloud_per_use"
        rows += _sum_row(month, own, "realized_cost_rc", measure, before=before, after=(), lane=lane)
        rows += _unconverted_rows(month, own, before=before, after=(), lane=lane)
    return (
        Table(
            name="per_use_spend",
            caption="Services billed by use, on clouds' bills",
            columns=(
                Column("Issuer"),
                Column("Account"),
                Column("Measure"),
                Column("Cost", month.currency, is_number=True),
            ),
            rows=tuple(rows),
            note="Usage, less what was given back of it: taxes and purchases are on the cloud's bill under Commitments "
            "and prepaid. What each of them served is under Unit costs.",
        ),
    )


def _cloud_bills(month: Month) -> tuple[Table, ...]:
    """Each cloud bill whole, and the exports of it that are summed nowhere; how far these are apart: see Controls."""
    bills = month.ask("cloud_bills")
    if not bills:
        return ()
    amounts = ("billed_cost", "effective_cost", "of_which_gpu_resources_cost", "of_which_unused_commitment_cost")
    own = "in its currency"
    table = Table(
        name="cloud_bills",
        caption="Cloud bills, whole",
        columns=(
            Column("Account"),
            Column("Export"),
            Column("Counts as"),
            Column("Currency"),
            Column("Billed", own, is_number=True),
            Column("Effective", own, is_number=True),
            Column("Of which GPU resources", own, is_number=True, measure="effective"),
            Column("Of which unused commitments", own, is_number=True, measure="effective"),
        ),
        rows=tuple(
            Row(
                (
                    figures.name(bill["account"]),
                    figures.name(bill["source"]),
                    "the book of record" if bill["is_book"] else "a control: not summed",
                    figures.name(bill["billing_currency"]),
                    *(_in_its_currency(bill, name) for name in amounts),
                ),
                refused=month.proof.of_money(lane="self_host", issuer=bill["issuer"], account=bill["account"]),
            )
            for bill in bills
        ),
        note="Effective: with commitments spread over their use. GPU resources are in GPU spend too; the rest, such as "
        "disks, tax and what a commitment leaves unused, is in no cost per token.",
    )
    return (table,)


def _by_owner(month: Month) -> Iterator[Table]:
    """What teams cost, and cost centres and environments where somebody is of one; nobody's last."""
    for by, title in OWNER_TITLES.items():
        rows = owner_rows(month.asks.ask, month.config, by=by, from_date=month.from_date, to_date=month.to_date)
        owners = owners_of(rows.to_dicts())
        if not any(owner.name is not None for owner in owners):
            continue
        measures = measures_in(owners)
        cells = [owner_cells(owner, measures, money=month.money) for owner in owners]
        has_unconverted = any(row[-1] for row in cells)
        amounts = [*(name.capitalize() for name in measures), *(["Not converted"] if has_unconverted else [])]
        yield Table(
            name=f"spend_by_{by}",
            caption=f"Spend by {title}",
            columns=(
                Column(title.capitalize()),
                *(Column(name, "" if name == "Not converted" else month.currency, is_number=True) for name in amounts),
            ),
            rows=tuple(Row(row if has_unconverted else row[:-1], refused=month.proof.of_money()) for row in cells),
            note=OWNER_NOTE,
        )


def _by_driver(month: Month) -> Iterator[Table]:
    """What a task, a customer or a unit of revenue cost, where somebody wrote down how many there were."""
    rows = [row for row in month.ask("driver_costs") if row["period"] == "month"]
    if rows:
        yield Table(
            name="cost_per_driver",
            caption="Cost per driver",
            columns=tuple(
                Column(title, month.currency if title == "Cost" else "", is_number=title in ("Value", "Cost"))
                for title in DRIVER_COLUMNS
            ),
            rows=tuple(
                Row(driver_cells(row, money=month.money, currency=month.currency), refused=month.proof.of_money())
                for row in rows
            ),
            note=" ".join(
                (
                    "Cost: what APIs and GPUs cost of the team or workload, or of all.",
                    *(f"Unknown: {text}." for text in driver_reasons(rows)),
                )
            ),
        )


def _prepaid(month: Month) -> tuple[Table, ...]:
    """What prepaid accounts held, and how long it lasts."""
    rows = month.ask("prepaid")
    if not rows:
        return ()
    columns = tuple(
        Column(title) if title in PREPAID_WORDS else Column(title, "in its own currency", is_number=True)
        for title in PREPAID_COLUMNS
    )
    table = Table(
        name="prepaid",
        caption="Prepaid accounts",
        columns=columns,
        rows=tuple(Row(prepaid_cells(row), refused=month.proof.of_money(account=row["account"])) for row in rows),
        note=PREPAID_NOTE,
    )
    return (table,)


def _budgets(month: Month) -> tuple[Table, ...]:
    """What breakeven.yaml says may be spent, beside what was, and what the month comes to."""
    rows = month.ask("budgets")
    if not rows:
        return ()
    table = Table(
        name="budgets",
        caption="Budgets",
        columns=tuple(
            Column(title, month.currency, is_number=True, measure=BUDGET_MEASURES.get(title, ""))
            if title in MONEY_COLUMNS
            else Column(title)
            for title in BUDGET_COLUMNS
        ),
        rows=tuple(
            Row(
                budget_cells(row, currency=month.currency, money=month.money),
                refused=_laws_of_budget(month, row["scope"], row["scope_name"]),
            )
            for row in rows
        ),
        note=" ".join(
            (
                *how_forecast(rows),
                "Spent: what APIs billed and GPUs cost, effective or accrued where no bill says it; of a deployment "
                "that several workloads share, each one's part by the tokens it had served. Overheads are not in it.",
            )
        ),
    )
    return (table,)


def _laws_of_budget(month: Month, scope: str, name: str | None) -> tuple[str, ...]:
    """Broken laws of what a budget is spent on, with the GPUs that serve it."""
    proof, config = month.proof, month.config
    if scope == "organisation":
        return proof.of_money()
    if scope == "model":
        serving = [one.deployment for one in config.deployments if one.model == name]
        laws = [proof.of_money(model=name), *(proof.of_time(deployment_id=one) for one in serving)]
    else:
        chosen = (one for one in config.workloads if scope == "workload" or one.team == name)
        serving_it = {one.workload: one.deployment for one in chosen}
        of_it = serving_it if scope == "team" else (str(name),)
        laws = [proof.of_workload(one, deployment_id=serving_it.get(one)) for one in of_it]
    return tuple(sorted({law for found in laws for law in found}))


def _in_its_currency(line: Answer, name: str) -> str:
    return "unknown" if line[name] is None else figures.money(line[name], figures.name(line["billing_currency"]))


def _money_or_unknown(month: Month, line: Answer, column: str) -> str:
    """In the reporting currency, which the column's head says, else in its own."""
    if line["unconverted_currency"] is not None:
        return figures.priced(line["unconverted_cost"], figures.name(line["unconverted_currency"]))
    return "unknown" if line[column] is None else month.money(line[column])


def _sum_row(
    month: Month,
    lines: Sequence[Answer],
    column: str,
    measure: str,
    *,
    before: tuple[str, ...],
    after: tuple[str, ...],
    lane: str,
) -> tuple[Row, ...]:
    if not lines:
        return ()
    is_whole = all(line[column] is not None for line in lines)
    label = "Sum" if is_whole else "Sum of what is known"
    cells = (label, *before, month.money(total(lines, column, empty=None)), *after)
    return (Row(cells, refused=month.proof.of_money(lane=lane), kind="total"),)


def _unconverted_rows(
    month: Month, lines: Sequence[Answer], *, before: tuple[str, ...], after: tuple[str, ...], lane: str
) -> tuple[Row, ...]:
    """Beside the sum, one line a currency that is not in it, in that currency."""
    sums: dict[str, Decimal] = {}
    for line in lines:
        if line["unconverted_currency"] is not None:
            currency = figures.name(line["unconverted_currency"])
            sums[currency] = sums.get(currency, Decimal(0)) + line["unconverted_cost"]
    refused = month.proof.of_money(lane=lane)
    return tuple(
        Row((f"Sum in {currency}, not converted", *before, in_own, *after), refused=refused, kind="total")
        for currency, amount in sorted(sums.items())
        for in_own in (figures.priced(amount, currency),)
    )


def _spend_sentence(
    month: Month, api: Sequence[Answer], gpu: Sequence[Answer], hosted: Sequence[Answer], per_use: Sequence[Answer]
) -> str:
    if not api and not gpu and not hosted and not per_use:
        return "No bill and no agreement covers a day of this month."
    parts = []
    if api:
        accounts = len({line["account"] for line in api})
        parts.append(f"{figures.counted(accounts, 'account')} of API providers")
    if gpu:
        parts.append(f"{figures.counted(len({line['issuer'] for line in gpu}), 'GPU issuer')}")
    if hosted:
        clouds = len({line["issuer"] for line in hosted})
        parts.append(f"{figures.counted(clouds, 'cloud that hosts', 'clouds that host')} models")
    if per_use:
        clouds = len({line["issuer"] for line in per_use})
        parts.append(f"services billed by use on {figures.counted(clouds, 'bill of a cloud', 'bills of clouds')}")
    models = [line for line in api if line["billed_cost_rc"] is not None]
    if not models:
        return f"Money went to {in_words(parts)}."
    most = max(models, key=lambda line: (line["billed_cost_rc"], str(line["model"])))
    largest = (
        f"{figures.name(most['model'], 'no model')} of {figures.name(most['account'])}, "
        f"{month.priced(most['billed_cost_rc'])}"
    )
    largest = marked(largest, month.proof.of_team(account=most["account"], team=most["team"]))
    return f"Money went to {in_words(parts)}. The largest API line is {largest}."
