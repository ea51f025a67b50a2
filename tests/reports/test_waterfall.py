"""The GPU waterfall of any month: parts sum to their deployment, deployments to the whole, lines to the bill."""

from collections import defaultdict
from decimal import Decimal
from unittest.mock import patch

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.charts.palette import GPU_STATES
from pipeline.economics.idle_breakdown import PARTS
from pipeline.reports.figures import Written
from pipeline.reports.page import Table
from pipeline.reports.proof import Proof
from pipeline.reports.sections.gpus import waste
from pipeline.reports.sections.month import MEASURES, OTHER_LINES, Month

from .fake_snapshot import OCTOBER, config

NAMES = st.sampled_from(["chat", "search", None])
AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=18) | st.none() | st.just(Decimal("1e-18"))
# Whole milliseconds, so that hours are what a question answers.
HOURS = st.integers(0, 10**10).map(lambda milliseconds: milliseconds / 3_600_000)


class Asks:
    def __init__(self, states, lines):
        self._answers = {"gpu_states": states, "gpu_waste": lines}

    def ask(self, name, **_):
        return pl.DataFrame(self._answers.get(name, []), infer_schema_length=None)


def rows_of(key, values):
    """One row a (deployment, state or line, measure), as the questions group them."""
    row = st.tuples(NAMES, st.sampled_from(values), st.sampled_from(sorted(MEASURES)))
    return st.dictionaries(row, st.tuples(HOURS, AMOUNTS), max_size=12).map(
        lambda found: [
            {
                "deployment_id": deployment, key: value, "cost_measure": measure, "gpu_hours": hours,
                "realized_cost_rc": cost, "reason": None,
                "cash_recoverable_cost_rc": None if cost is None else cost / 2, "committed_until_date": None,
            }
            for (deployment, value, measure), (hours, cost) in found.items()
        ]
    )  # fmt: skip


def month(states, lines):
    return Month(
        from_date=OCTOBER,
        to_date=OCTOBER.replace(month=11),
        config=config(),
        asks=Asks(states, lines),
        proof=Proof({}, ()),
    )


def values(row):
    """By column: a number, or the word that stands for what is unknown; nothing where there is nothing."""
    return {
        place: cell.value if isinstance(cell, Written) else cell
        for place, cell in enumerate(row.cells)
        if place and cell != ""
    }


def added(rows):
    """By column, as a person adds them: with something unknown the sum is."""
    columns = defaultdict(list)
    for row in rows:
        for place, value in values(row).items():
            columns[place].append(value)
    return {place: "unknown" if "unknown" in found else sum(found) for place, found in columns.items()}


def same(one, other):
    """Money to the last digit; hours, which a question answers in floating point, to the second."""
    assert one.keys() == other.keys()
    for place, value in one.items():
        if place == 1:
            assert abs(value - other[place]) < Decimal("0.0003")
        else:
            assert value == other[place]


@settings(max_examples=25)
@given(rows_of("state", [*GPU_STATES, *OTHER_LINES]), rows_of("line", [*PARTS, *GPU_STATES, *OTHER_LINES]))
def test_parts_sum_to_their_deployment_deployments_to_the_whole_and_lines_to_the_bill(states, lines):
    with patch("pipeline.charts.drawing.as_svg", return_value=""):
        found = waste(month(states, lines))
    tables = {block.name: block for block in found.blocks if isinstance(block, Table)}
    rows = tables["gpu_states"].rows
    deployments = [place for place, row in enumerate(rows) if row.kind == "line"]
    for place, end in zip(deployments, [*deployments, len(rows)][1:], strict=True):
        same(values(rows[place]), added(row for row in rows[place + 1 : end] if row.kind == "part"))
    if states:
        total = next(row for row in rows if row.cells[0] == "Sum of the states")
        same(values(total), added(rows[place] for place in deployments))
    if lines:
        rows = tables["gpu_bill_lines"].rows
        same(values(rows[-1]), added(rows[:-1]))
        known = defaultdict(Decimal)
        for line in lines:
            known[line["cost_measure"]] += line["realized_cost_rc"] or 0
        unknown = {line["cost_measure"] for line in lines if line["realized_cost_rc"] is None}
        heads = [column.title.lower() for column in tables["gpu_bill_lines"].columns]
        for measure, amount in known.items():
            said = values(rows[-1])[heads.index(measure)]
            assert said == ("unknown" if measure in unknown else amount)
