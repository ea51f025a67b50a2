"""What recommendations have saved, once somebody carried them out."""

from collections.abc import Sequence
from decimal import Decimal

from pipeline.economics.realized_saving import LEAST_DAYS, WINDOW_DAYS
from pipeline.reports import figures
from pipeline.reports.page import Column, Note, Row, Section, Table
from pipeline.reports.scores import Scored
from pipeline.reports.sections.month import Month


def saved_by_recommendations(month: Month, scored: Sequence[Scored]) -> Section:
    """Each case that somebody called done: expected beside realized."""
    rows = [
        Row(
            (
                figures.name(one.case_key),
                str(one.recommended_on),
                str(one.done_on),
                month.money(one.predicted),
                month.money(one.realized),
                str(one.days_count) if one.why is None else one.why,
            )
        )
        for one in scored
    ]
    money = f"{month.currency} a month"
    table = Table(
        name="recommendation_scores",
        caption="Recommendations that were carried out, expected beside realized saving",
        columns=(
            Column("Case"),
            Column("Recommended with days to"),
            Column("Done on"),
            Column("Expected", money, is_number=True),
            Column("Realized", money, is_number=True),
            Column("Over days, or why not yet"),
        ),
        rows=tuple(rows),
        empty="None was carried out.",
    )
    note = Note(
        f"Realized: tokens served since, at what a token cost in the {WINDOW_DAYS} days before the recommendation, "
        f"less what they cost, over {LEAST_DAYS} to {WINDOW_DAYS} settled days after it was done; GPUs and APIs of the "
        "deployment together. A price that moved by itself in the meantime is in it."
    )
    return Section("scores", "What recommendations saved", _sentence(month, scored), [table, note])


def _sentence(month: Month, scored: Sequence[Scored]) -> str:
    known = [one for one in scored if one.realized is not None]
    carried = figures.counted(len(scored), "recommendation was", "recommendations were")
    if not known:
        return f"{carried} carried out; of none it is known yet what it saved."
    realized = sum((one.realized for one in known if one.realized is not None), Decimal(0))
    of_these = f"of {len(known)} of them it is known: " if len(known) < len(scored) else ""
    expected = [one.predicted for one in known if one.predicted is not None]
    beside = f", where {month.priced(sum(expected, Decimal(0)))} were expected" if len(expected) == len(known) else ""
    return f"{carried} carried out; {of_these}{month.priced(realized)} a month saved{beside}."
