"""`costs --bridge`: what changed since the month before, and why."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path

import polars as pl

from pipeline.cli.options import console, emit, open_project, period, print_table, snapshot_for
from pipeline.decisions.graph import config_of
from pipeline.formats.currency import minor_digits
from pipeline.formats.writing import printable
from pipeline.reports.bridge import (
    EFFECT_SCHEMA,
    NOTE,
    TITLES,
    WORDS,
    effect_rows,
    largest,
    month_bridge,
    rounded_effects,
)
from pipeline.reports.questions import Questions
from pipeline.reports.words import money


def print_bridge(folder: Path | None, as_of: str | None, to_text: str | None, output_format: str) -> None:
    """The month in which the period ends against the one before it."""
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    currency = config_of(project, snapshot).reporting_currency
    _, to_date = period(snapshot, None, to_text)
    with Questions(snapshot) as questions:
        found = month_bridge(questions, first_day=(to_date - timedelta(days=1)).replace(day=1))
    if output_format != "table":
        emit(pl.DataFrame(effect_rows(found), schema=EFFECT_SCHEMA, orient="row"), output_format)
        return
    if found.why_not:
        console().print(printable(found.why_not), markup=False)
        return

    def amount(cost: Fraction) -> str:
        return money(Decimal(round(cost * 10**18)).scaleb(-18), currency)

    digits = minor_digits(currency)
    rounded = rounded_effects(found, digits)

    def of(effect: str) -> list[str]:
        """As the report has them: each column sums to its last digit. Nothing where a lane has no such effect."""
        exact = [*(lane.of(effect) for lane in found.lanes.values()), found.of(effect)]
        return [
            "" if not cost and place < len(found.lanes) else amount(Fraction(units, 10**digits) or _least(cost))
            for place, (cost, units) in enumerate(zip(exact, rounded[effect], strict=True))
        ]

    before, after = (
        [one.before_cost for one in found.lanes.values()],
        [one.after_cost for one in found.lanes.values()],
    )
    print_table(
        ["", *(TITLES[lane] for lane in found.lanes), "together", "mostly"],
        [
            [found.before.in_words(), *map(amount, (*before, found.before_cost)), ""],
            *(
                [
                    WORDS[effect],
                    *of(effect),
                    "; ".join(f"{name} {amount(cost)}" for name, cost in largest(found, effect)),
                ]
                for effect in found.present
            ),
            [found.after.in_words(), *map(amount, (*after, found.after_cost)), ""],
        ],
        f"What changed from {found.before.in_words()} to {found.after.in_words()}, snapshot {snapshot.snapshot_id}",
    )
    accrued = partial(money, currency=currency)
    if any(found.accrued):
        console().print(f"Of which accrued: {accrued(found.accrued[0])} before, {accrued(found.accrued[1])} after.")
    for text in (*found.notes, NOTE):
        console().print(printable(text), markup=False)


def _least(cost: Fraction) -> Fraction:
    """What is not zero is not written as zero, and is too little for its column's last digit."""
    return Fraction((cost > 0) - (cost < 0), 10**18)
