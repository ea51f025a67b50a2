"""What recommendations have saved, once somebody carried them out."""

from collections.abc import Sequence
from decimal import Decimal

from pipeline.economics.realized_saving import LEAST_DAYS, WINDOW_DAYS
from pipeline.reports import figures
from pipeline.reports.page import Column, Note, Row, Section, Table
from pipeline.reports.scores import Scored
from pipeline.reports.sections.month import Month


def saved_by_recommendations(month: Month, scored: Sequence[Scored]) -> Section:
    """Each case that somebody called done: what was expected of it beside what it saved, each measure by itself."""
    rows = [
        Row(
            (
                figures.name(one.case_key),
                str(one.recommended_on),
                str(one.done_on),
                month.money(one.predicted if one.is_cash else None),
                month.money(None if one.is_cash else one.predicted),
                month.money(one.realized),
                str(one.days_count) if one.why is None else one.why,
            )
        )
        for one in scored
    ]
    money = f"{month.currency} a month"
    table = Table(
        name="recommendation_scores",
        caption="Recommendations that were carried out, what was expected beside what was saved",
        columns=(
            Column("Case"),
            Column("Recommended with days to"),
            Column("Done on"),
            Column("Expected of the bills", money, is_number=True),
            Column("Bought nothing", money, is_number=True),
            Column("Realized", money, is_number=True),
            Column("Over days, or why not yet"),
        ),
        rows=tuple(rows),
        empty="None was carried out.",
    )
    note = Note(
        f"Realized: tokens served since, at what a token cost in the {WINDOW_DAYS} days before the recommendation, "
        f"less what they cost, over {LEAST_DAYS} to {WINDOW_DAYS} settled days after it was done; GPUs and APIs of the "
        "deployment together. A price that moved by itself in the meantime is in it. Expected of the bills: what a "
        "verdict had them come to less, measured alike. Bought nothing: what waste was said to cost; it is no forecast "
        "of a bill, which falls only where a whole billed resource goes."
    )
    return Section("scores", "What recommendations saved", _sentence(month, scored), [table, note])


def _sentence(month: Month, scored: Sequence[Scored]) -> str:
    known = [one for one in scored if one.realized is not None]
    carried = figures.counted(len(scored), "recommendation was", "recommendations were")
    if not known:
        return f"{carried} carried out; of none it is known yet what it saved."
    realized = sum((one.realized for one in known if one.realized is not None), Decimal(0))
    of_these = f"of {len(known)} of them it is known: " if len(known) < len(scored) else ""
    return f"{carried} carried out; {of_these}{month.priced(realized)} a month saved{_beside(month, known)}."


def _beside(month: Month, known: Sequence[Scored]) -> str:
    """What was expected of those that have such a figure, against what these saved."""
    compared = [one for one in known if one.is_cash and one.predicted is not None]
    if not compared:
        return ""
    expected = month.priced(sum((one.predicted for one in compared if one.predicted is not None), Decimal(0)))
    if len(compared) == len(known):
        return f", where {expected} were expected"
    saved = month.priced(sum((one.realized for one in compared if one.realized is not None), Decimal(0)))
    return f"; {expected} were expected of {len(compared)} of them, which saved {saved}"
