"""`costs --by namespace`: what servers cost by the namespaces whose pods ran on them, as AWS splits it."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.cli.options import console, emit, open_project, period, print_table, snapshot_for
from pipeline.decisions.graph import config_of
from pipeline.economics.closing import exact_sum
from pipeline.formats.writing import printable
from pipeline.reports.closing import exact_money
from pipeline.reports.figures import counted, priced, visible
from pipeline.reports.questions import Questions
from pipeline.reports.words import money

NAMESPACE = "namespace"
CONTAINER, ROUNDING = "container", "rounding"
_SHOWN = 20
_COLUMNS = ("cluster", "namespace", "servers", "containers", "used", "unused", "together")
_AMOUNTS = ("split_cost_rc", "unused_cost_rc", "effective_cost_rc")
_NOTE = (
    "Used: what containers used or reserved of their server; unused: what nobody used, as AWS lays it on them. It is "
    "the servers' cost once more, which `breakeven costs` and the bills have: never add the two. Whose a namespace is: "
    "`- {team: NAME, match: {namespace: X, cluster: Y}}` under `ownership:` in breakeven.yaml, and `breakeven costs "
    "--by team` has what it cost."
)
_LEFT = {
    "outside_view": "in hours in which AWS names no container on them",
    ROUNDING: "of AWS's rounding",
    "unbilled": "in hours for which no line bills them",
}


def answer_by_namespace(
    folder: Path | None, as_of: str | None, from_text: str | None, to_text: str | None, output_format: str
) -> None:
    """Namespaces, dearest first, and what the view leaves of the servers."""
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    currency = config_of(project, snapshot).reporting_currency
    from_date, to_date = period(snapshot, from_text, to_text)
    with Questions(snapshot) as questions:
        frame = questions.ask("container_costs", from_date=from_date, to_date=to_date)
    if output_format != "table":
        emit(frame, output_format)
        return
    rows = frame.to_dicts()
    title = f"Servers by namespace, {from_date} to {to_date} UTC (end excluded), in {currency}"
    found = [row for row in rows if row["part"] == CONTAINER]
    if not found:
        console().print(
            f"{title}: no bill says which containers ran on a server. AWS's says so where its export has split cost "
            "allocation data (INCLUDE_SPLIT_COST_ALLOCATION_DATA, and EKS or ECS chosen in its billing preferences). "
            "GPU servers are split by GPU time in any case: breakeven waste --by replica",
            markup=False,
        )
        return
    write = partial(money, currency=currency)
    print_table(_COLUMNS, [_cells(row, currency) for row in found[:_SHOWN]], title)
    if len(found) > _SHOWN:
        console().print(f"And {counted(len(found) - _SHOWN, 'more line')}: --format csv has all.", markup=False)
    known = [row["effective_cost_rc"] for row in rows if row["effective_cost_rc"] is not None]
    least = "" if len(known) == len(rows) else "at least "
    left = [_left(row, currency) for row in rows if row["part"] != CONTAINER]
    of_that = f"; beside their containers {', '.join(left)}" if left else ""
    console().print(printable(f"These servers cost {least}{write(exact_sum(known))}{of_that}."), markup=False)
    console().print(_NOTE, markup=False)


def _cells(row: Mapping[str, Any], currency: str) -> Sequence[str]:
    names = [visible(row[name]) if row[name] is not None else "—" for name in ("cluster", "namespace")]
    counts = [str(row["server_count"]), str(row["container_count"])]
    return [*names, *counts, *(_amount(row, name, currency) for name in _AMOUNTS)]


def _amount(row: Mapping[str, Any], name: str, currency: str) -> str:
    if row["unconverted_currency"] is not None and name == "effective_cost_rc":
        return f"{priced(row['unconverted_cost'], row['unconverted_currency'])}, no rate"
    return "unknown" if row[name] is None else money(row[name], currency=currency)


def _left(row: Mapping[str, Any], currency: str) -> str:
    amount = row["effective_cost_rc"]
    if row["part"] == ROUNDING and amount is not None:
        # Less than is otherwise shown of any amount.
        return f"{exact_money(amount, currency)} {_LEFT[ROUNDING]}"
    return f"{_amount(row, 'effective_cost_rc', currency)} {_LEFT[row['part']]}"
