"""Reconciliation, coverage and laws: how far the other sections can be trusted."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

from pipeline.decisions.check_results import CheckResult
from pipeline.decisions.quarantine import QuarantineEntry
from pipeline.explain.traced import Named
from pipeline.reports import figures
from pipeline.reports.page import Block, Column, Row, Section, Table
from pipeline.reports.sections.month import MOST_LINES, Answer, Month, how_many_more, in_words

_RECONCILED: Mapping[str, str] = {
    "ties": "ties",
    "residual": "does not tie",
    "no_control_total": "states no total",
}


# What an invoice's total says of its lines, where a source of invoices has one.
_TIES: Mapping[str, str] = {**_RECONCILED, "none_landed": "none has come", "control": "a control: not summed"}
_MOST_NAMES = 3


def reconciliation(month: Month) -> Section:
    """Each invoice beside its own lines: a residual is shown, never spread."""
    invoices = month.ask("reconciliation")
    loose = sum(invoice["status"] == "residual" for invoice in invoices)
    silent = sum(invoice["status"] == "no_control_total" for invoice in invoices)
    if not invoices:
        says = "No GPU invoice covers a day of this month."
    elif loose:
        says = f"{figures.counted(loose, 'invoice')} of {len(invoices)} does not add up to its stated total."
        if loose > 1:
            says = says.replace(" does not ", " do not ").replace("its stated total", "their stated totals")
    elif silent == len(invoices):
        says = "No invoice states a total to check its lines against."
    else:
        says = f"{len(invoices) - silent} of {figures.counted(len(invoices), 'invoice')} tie to the stated total."
        says = says.replace("1 of 1 invoice tie ", "The month's one invoice ties ")
    table = Table(
        name="reconciliation",
        caption="Invoices that cover a day of this month, each for its whole period",
        columns=(
            Column("Invoice"),
            Column("Issuer"),
            Column("Account"),
            Column("Period, UTC"),
            Column("Currency"),
            Column("Payable", "in its currency", is_number=True, measure="billed"),
            Column("Sum of lines", "in its currency", is_number=True, measure="billed"),
            Column("Residual", "in its currency", is_number=True, measure="billed"),
            Column("To GPU resources", "in its currency", is_number=True, measure="billed"),
            Column("Other lines", "in its currency", is_number=True, measure="billed"),
            Column("Result"),
        ),
        rows=tuple(
            Row(
                (
                    figures.name(invoice["invoice_id"]),
                    figures.name(invoice["issuer"]),
                    figures.name(invoice["account"]),
                    _span(invoice["period_start_date"], invoice["period_end_date"]),
                    figures.name(invoice["billing_currency"]),
                    *(
                        _in_its_currency(invoice[name], invoice["billing_currency"])
                        for name in (
                            "payable_cost",
                            "lines_cost",
                            "residual_cost",
                            "allocated_cost",
                            "unallocated_cost",
                        )
                    ),
                    _RECONCILED.get(invoice["status"], figures.name(invoice["status"])),
                ),
                refused=month.proof.of_money(lane="self_host", issuer=invoice["issuer"], account=invoice["account"]),
                traced=Named(subject="invoice", name=invoice["invoice_id"]),
            )
            for invoice in invoices
        ),
        note="Lines of days that have not come yet are booked when they do: to GPU resources and other lines fill up.",
    )
    return Section("reconciliation", "Reconciliation", says, (table,))


def coverage(month: Month, quarantined: Sequence[QuarantineEntry]) -> Section:
    """What each source covers, what is missing or was taken away, since when it is silent, what cannot be read."""
    covered = month.ask("coverage")
    gaps = month.ask("coverage_gaps")
    known = {(line["source"], line["account"], line["dataset"]) for line in covered}
    absent = [
        line
        for line in month.ask("sources")
        if (line["source"], line["account"], line["dataset"]) not in known
        and not (line["dataset"] is None and any(key[:2] == (line["source"], line["account"]) for key in known))
    ]
    # What an organization does not use of a source it has is no gap: a source is heard by any of its datasets.
    heard = {key[:2] for key in known} | {_place(line) for line in absent if line["last_usage_date"] is not None}
    unused = Counter(_place(line) for line in absent if line["last_usage_date"] is None and _place(line) in heard)
    absent = [line for line in absent if line["last_usage_date"] is not None or _place(line) not in heard]
    counts = ("settled_days_count", "provisional_days_count", "open_days_count", "missing_days_count")
    rows = [
        Row(
            (
                figures.name(line["source"]),
                figures.name(line["account"]),
                figures.name(line["dataset"]),
                *(figures.count(line[count]) for count in (*counts, "blocked_days_count")),
                figures.day(line["last_usage_date"]),
                figures.day(line["silent_since_date"]) if line["silent_since_date"] else "up to date",
            )
        )
        for line in covered
    ]
    rows += [
        Row(
            (
                figures.name(line["source"]),
                figures.name(line["account"]),
                figures.name(line["dataset"], "never delivered"),
                *(figures.UNKNOWN for _ in range(5)),
                figures.day(line["last_usage_date"]),
                figures.day(line["silent_since_date"]) if line["last_usage_date"] else "the start",
            )
        )
        for line in absent
    ]
    rows += [
        Row((figures.name(source), figures.name(account), f"{count} more, never used", *(figures.UNKNOWN,) * 7))
        for (source, account), count in sorted(unused.items())
    ]
    blocks: list[Block] = [
        Table(
            name="coverage",
            caption="Days of the month by source",
            columns=(
                Column("Source"),
                Column("Account"),
                Column("Dataset"),
                Column("Settled", "days", is_number=True),
                Column("Provisional", "days", is_number=True),
                Column("Open", "days", is_number=True),
                Column("Missing", "days", is_number=True),
                Column("Blocked", "days", is_number=True),
                Column("Last day", "UTC"),
                Column("Silent since", "UTC"),
            ),
            rows=tuple(rows),
            empty="No source is configured and none has delivered.",
            note="Blocked: the day had money, a later delivery has none, and nobody has accepted that. "
            "A dash: not known, or no day of this month.",
        ),
        *_invoices(month),
        Table(
            name="gaps",
            caption="Gaps",
            columns=(
                Column("Source"),
                Column("Account"),
                Column("Dataset"),
                Column("What"),
                Column("From"),
                Column("To"),
                Column("Days", is_number=True),
            ),
            rows=tuple(
                Row(
                    (
                        figures.name(gap["source"]),
                        figures.name(gap["account"]),
                        figures.name(gap["dataset"]),
                        gap["gap"],
                        figures.day(gap["first_date"]),
                        figures.day(gap["last_date"]),
                        figures.count(gap["days_count"]),
                    )
                )
                for gap in gaps[:MOST_LINES]
            ),
            empty="No day of the month is missing or blocked.",
            note=how_many_more(gaps),
        ),
        Table(
            name="quarantine",
            caption="In quarantine: kept, not counted",
            columns=(Column("File"), Column("Source"), Column("Account"), Column("Why")),
            rows=tuple(
                Row(
                    (
                        figures.name(entry.name),
                        figures.name(entry.source),
                        figures.name(entry.account),
                        figures.visible(entry.reason, figures.TEXT_LIMIT),
                    )
                )
                for entry in quarantined[:MOST_LINES]
            ),
            empty="No file is in quarantine.",
            note=how_many_more(quarantined),
        ),
    ]
    return Section("coverage", "Coverage and gaps", _coverage_sentence(covered, absent, gaps, quarantined), blocks)


def _invoices(month: Month) -> tuple[Table, ...]:
    """Up to when each source of invoices has billed: an invoice is of no day, and comes when it comes."""
    sources = month.ask("invoices")
    if not sources:
        return ()
    loose = sum(source["residual_count"] for source in sources)
    table = Table(
        name="invoices",
        caption="Invoices that have come, whatever the month",
        columns=(
            Column("Source"),
            Column("Account"),
            Column("Issuer"),
            Column("Invoices", is_number=True),
            Column("Last invoice"),
            Column("Its period, UTC"),
            Column("Lines", is_number=True),
            Column("Its total"),
        ),
        rows=tuple(
            Row(
                (
                    figures.name(source["source"]),
                    figures.name(source["account"]),
                    figures.name(source["issuer"]),
                    figures.count(source["invoice_count"]),
                    figures.name(source["last_invoice_id"]),
                    _span(source["period_start_date"], source["period_end_date"]),
                    figures.count(source["line_count"]),
                    _TIES.get(source["status"], figures.name(source["status"])),
                )
            )
            for source in sources
        ),
        note=f"{figures.counted(loose, 'invoice')} in all whose lines do not add up to the stated total: see Laws."
        if loose
        else "",
    )
    return (table,)


def assumptions(month: Month) -> Section:
    """Whose prices, rates and capacities the figures are made with."""
    prices = month.ask("price_sources")
    rates = [line for line in month.ask("rates") if line["last_rate_date"] is not None]
    assumed = [line for line in month.ask("demand_grain") if line["peak_allowance_basis"] == "assumed"]
    books = [line for line in prices if line["list_price_source"] is not None]
    parts = [f"list prices of {in_words([figures.name(line['list_price_source']) for line in books])}"] if books else []
    parts += [f"exchange rates of the ECB up to {figures.day(line['last_rate_date'])}" for line in rates]
    if assumed:
        parts.append(f"{figures.counted(len(assumed), 'peak allowance')} assumed, which nobody measured or declared")
    says = f"{in_words(parts)}." if parts else "No list price, exchange rate or assumption is behind a figure here."
    table = Table(
        name="price_sources",
        caption="Who says a list price, of what was billed",
        columns=(
            Column("Price book"),
            Column("Status"),
            Column("Models", is_number=True),
            Column("Tokens", "million", is_number=True),
            Column("Billed", month.currency, is_number=True),
            Column("At list price", month.currency, is_number=True),
        ),
        rows=tuple(
            Row(
                (
                    figures.name(line["list_price_source"], "none"),
                    figures.name(line["price_status"]).replace("_", " "),
                    figures.count(line["model_count"]),
                    figures.millions(line["tokens"]),
                    month.money(line["billed_cost_rc"]),
                    month.money(line["list_cost_rc"]),
                )
            )
            for line in prices
        ),
        empty="Nothing was billed by an API.",
    )
    return Section("assumptions", "Prices and assumptions", says[:1].upper() + says[1:], (table,))


def laws(results: Sequence[CheckResult]) -> Section:
    """Which checks held, and where the others did not."""
    broken = [result for result in results if not result.passed]
    held = [result for result in results if result.passed]
    broken_laws = len({result.law for result in broken})
    if not results:
        says = "No law was checked in this snapshot: nothing here is proven."
    elif not broken:
        says = f"Every law held in this snapshot: {len(held)} of {len(held)}."
    else:
        says = (
            f"{figures.counted(broken_laws, 'law is', 'laws are')} broken, {len(held)} held. Figures made from the "
            "scopes below are marked as not proven; the others stand."
        )
    table = Table(
        name="laws",
        caption="Laws checked on this snapshot, all its days",
        columns=(Column("Law"), Column("Result"), Column("Where"), Column("What is so")),
        rows=(
            *(
                Row(
                    (
                        figures.name(result.law),
                        "broken",
                        figures.name(result.scope),
                        figures.visible(result.detail, figures.TEXT_LIMIT),
                    ),
                    refused=(result.law,),
                )
                for result in broken[:MOST_LINES]
            ),
            *(Row((figures.name(result.law), "held", "everywhere", "")) for result in held),
        ),
        empty="None.",
        note=how_many_more(broken),
    )
    return Section("laws", "Laws", says, (table,))


def _in_its_currency(amount: Decimal | None, currency: str | None) -> str:
    """In the minor units of a currency that is said; two decimals of one that is not."""
    return figures.fixed(amount, 2) if currency is None else figures.money(amount, currency)


def _place(line: Answer) -> tuple[str, str]:
    return str(line["source"]), str(line["account"])


def _names(lines: Sequence[Answer]) -> str:
    names = [f"{figures.name(line['source'])} of {figures.name(line['account'])}" for line in lines]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _span(first: date | None, end: date | None) -> str:
    """An issuer's period; its end is exclusive in the data and inclusive in what people read."""
    if first is None or end is None:
        return figures.UNKNOWN
    return f"{figures.day(first)} to {figures.day(end - timedelta(days=1))}"


def _coverage_sentence(
    covered: Sequence[Answer], absent: Sequence[Answer], gaps: Sequence[Answer], quarantined: Sequence[QuarantineEntry]
) -> str:
    missing = sum(gap["days_count"] for gap in gaps if gap["gap"] == "missing")
    blocked = sum(gap["days_count"] for gap in gaps if gap["gap"] == "blocked")
    silent = [line for line in (*covered, *absent) if line["silent_since_date"] is not None]
    never = [line for line in absent if line["last_usage_date"] is None]
    parts: list[str] = []
    counted: list[tuple[int, Callable[[int], str]]] = [
        (missing, lambda number: f"{figures.counted(number, 'source-day')} missing"),
        (blocked, lambda number: f"{figures.counted(number, 'source-day')} blocked"),
        (len(silent), lambda number: f"{figures.counted(number, 'dataset')} silent ({_names(silent)})"),
        (len(never), lambda number: f"{figures.counted(number, 'source')} never heard ({_names(never)})"),
        (len(quarantined), lambda number: f"{figures.counted(number, 'file')} in quarantine"),
    ]
    parts = [words(number) for number, words in counted if number]
    if not parts:
        return f"Every day is covered by each of {figures.counted(len(covered), 'dataset')}; no file is in quarantine."
    return f"{in_words(parts)}."
