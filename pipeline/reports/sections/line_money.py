"""Cells of money of lines of the GPU bill: what they cost, what could come back as cash, and what binds it."""

from collections.abc import Sequence

from pipeline.reports import figures
from pipeline.reports.page import COMMITTED_UNTIL, Column
from pipeline.reports.sections.month import Answer, Month, measures_of, total


def is_committed(lines: Sequence[Answer]) -> bool:
    """Whether any of them is: else a table has no column of ends."""
    return any(line["committed_until_date"] is not None for line in lines)


def cash_columns(month: Month, measures: Sequence[str], *, has_ends: bool) -> tuple[Column, ...]:
    cash = (
        Column(f"{one.capitalize()}, cash-recoverable", month.currency, is_number=True, measure="cash-recoverable")
        for one in _cash_of(measures)
    )
    # Which row it is does not change with the end of a commitment.
    return (*cash, Column(COMMITTED_UNTIL, is_prose=True)) if has_ends else (*cash,)


def cash_cells(month: Month, lines: Sequence[Answer], measures: Sequence[str], *, has_ends: bool) -> list[str]:
    """What of lines could come back as cash, and the latest end of a commitment they are under, empty where of none."""
    until = [line["committed_until_date"] for line in lines if line["committed_until_date"] is not None]
    cash = amounts(month, lines, _cash_of(measures), column="cash_recoverable_cost_rc")
    return [*cash, figures.day(max(until)) if until else ""] if has_ends else cash


def _cash_of(measures: Sequence[str]) -> list[str]:
    """Nothing that is owned or amortised comes back."""
    return [measure for measure in measures if measure != "effective"]


def cash_note(month: Month, lines: Sequence[Answer]) -> str:
    parts = []
    for measure in _cash_of(measures_of(lines)):
        own = [line for line in lines if line["cost_measure"] == measure]
        if known := total(own, "cash_recoverable_cost_rc", empty=None):
            parts.append(f"{figures.priced(known, month.currency)} {measure}")
    said = f" Known of it: {', '.join(parts)}." if parts else ""
    return (
        "Cash-recoverable: what bills would fall by without the whole billing units that nothing needed; 0 while they "
        f"are committed, unknown where nobody knows what could be given back.{said}"
    )


def amounts(
    month: Month, lines: Sequence[Answer], measures: Sequence[str], *, column: str = "realized_cost_rc"
) -> list[str]:
    """Money of lines by each measure; empty where there is nothing of it, unknown where a part is."""
    found = []
    for measure in measures:
        own = [line[column] for line in lines if line["cost_measure"] == measure]
        found.append("" if not own else "unknown" if None in own else month.money(sum(own)))
    return found
