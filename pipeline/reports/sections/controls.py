"""Controls beside the book of record: what is summed, what is not, and how far apart the two are."""

from collections.abc import Sequence

from pipeline.formats import currency as currencies
from pipeline.reports import figures
from pipeline.reports.page import Column, Row, Section, Table
from pipeline.reports.sections.month import MOST_LINES, Answer, Month, how_many_more, in_words


def controls(month: Month) -> Section:
    """Each control beside its book, over the days on which both speak for the whole day."""
    lines = month.ask("control_differences")
    by_model = month.ask("control_differences_by_model")
    beside = Table(
        name="controls",
        caption="Controls beside the book of record, over the days that both state whole",
        columns=(
            Column("Control"),
            Column("Says so"),
            Column("Bill"),
            Column("Book"),
            Column("Currency"),
            Column("Compared", "days", is_number=True),
            Column("Book", "in its currency", is_number=True, measure="billed"),
            Column("Control", "in its currency", is_number=True, measure="as the control says"),
            Column("Control less book", "in its currency", is_number=True, measure="difference"),
            Column("Of the book", is_number=True),
            Column("Not compared", "days"),
        ),
        rows=tuple(_beside(month, line) for line in lines[:MOST_LINES]),
        empty="No control states anything of this month.",
        note=how_many_more(lines) or "A control is never summed. A day that only one of them states is no difference.",
    )
    models = Table(
        name="controls_by_model",
        caption="Models on which they differ, over the days on which both charge for the model",
        columns=(
            Column("Model"),
            Column("Control"),
            Column("Bill"),
            Column("Currency"),
            Column("Days", is_number=True),
            Column("Book", "in its currency", is_number=True, measure="billed"),
            Column("Control", "in its currency", is_number=True, measure="as the control says"),
            Column("Control less book", "in its currency", is_number=True, measure="difference"),
            Column("Of the book", is_number=True),
        ),
        rows=tuple(
            Row(
                (
                    figures.name(line["model"]),
                    _control(line),
                    _bill(line),
                    figures.name(line["billing_currency"]),
                    figures.count(line["compared_days_count"]),
                    *_amounts(line),
                ),
                refused=month.proof.of_money(issuer=line["issuer"], account=line["account"]),
            )
            for line in by_model[:MOST_LINES]
        ),
        empty="Of no model that both name do the sums differ.",
        note=how_many_more(by_model),
    )
    # Of what cannot be compared, nobody knows that it agrees.
    is_compared = any(line["compared_days_count"] for line in lines)
    return Section("controls", "Controls", _sentence(lines), (beside, models) if is_compared else (beside,))


def _beside(month: Month, line: Answer) -> Row:
    return Row(
        (
            _control(line),
            figures.name(line["control_measure"]),
            _bill(line),
            figures.name(line["book_source"]),
            figures.name(line["billing_currency"]),
            figures.count(line["compared_days_count"]),
            *_amounts(line),
            not_compared(line),
        ),
        refused=month.proof.of_money(issuer=line["issuer"], account=line["account"]),
    )


def _control(line: Answer) -> str:
    return f"{figures.name(line['control_source'])} of {figures.name(line['control_account'])}"


def _bill(line: Answer) -> str:
    return f"{figures.name(line['issuer'], 'an unknown provider')}, {figures.name(line['account'], 'no account')}"


def _amounts(line: Answer) -> tuple[str, ...]:
    currency = line["billing_currency"]
    return (
        *(figures.money(line[name], currency) for name in ("book_cost", "control_cost", "difference_cost")),
        figures.percent(line["difference_cost"], line["book_cost"]),
    )


def not_compared(line: Answer) -> str:
    """`2 only the book, 1 only the control`: why days stand outside of the difference."""
    counted = (
        ("book_only_days_count", "only the book"),
        ("control_only_days_count", "only the control"),
        ("not_over_days_count", "stated before their end"),
        ("other_currency_days_count", "in another currency"),
    )
    parts = [f"{line[name]} {words}" for name, words in counted if line[name]]
    currency = line["billing_currency"]
    if line["unnamed_bill_cost"] is not None:
        amount = currencies.money(line["unnamed_bill_cost"], currency)
        parts.append(f"{amount} of a bill that settings.bills does not name")
    if line["billed_elsewhere_cost"] is not None:
        parts.append(f"{currencies.money(line['billed_elsewhere_cost'], currency)} of a bill that is not read here")
    return ", ".join(parts) or "none"


def _sentence(lines: Sequence[Answer]) -> str:
    if not lines:
        return "No control states anything of this month: nothing stands beside the books of record."
    apart = [line for line in lines if line["difference_cost"]]
    compared = [line for line in lines if line["compared_days_count"]]
    if not compared:
        return "No control can be compared with its book of record this month."
    if not apart:
        agreeing = figures.counted(len(compared), "control")
        return f"{agreeing} compared with the book of record: over these days the sums are equal."
    said = [
        f"{_control(line)} {_signed(line)} ({figures.percent(line['difference_cost'], line['book_cost'])})"
        for line in sorted(apart, key=lambda line: -abs(line["difference_cost"]))[:3]
    ]
    of_all = figures.counted(len(compared), "control")
    differ = "differs" if len(apart) == 1 else "differ"
    return f"Of {of_all} compared, {len(apart)} {differ} from the book: {in_words(said)}."


def _signed(line: Answer) -> str:
    more = "more" if line["difference_cost"] > 0 else "less"
    return f"states {currencies.money(abs(line['difference_cost']), line['billing_currency'])} {more}"
