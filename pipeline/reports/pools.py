"""What the ready time of each pool bought, in words: of rows of the question `gpu_waste`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.economics.idle_breakdown import (
    FAILOVER_RESERVE,
    HEADROOM,
    OVER_PROVISIONED,
    PARTS,
    SCALE_TO_ZERO,
    USEFUL,
    USEFUL_OR_HEADROOM,
)
from pipeline.reports import figures

PART_WORDS: Mapping[str, str] = {
    USEFUL: "useful",
    HEADROOM: "headroom",
    FAILOVER_RESERVE: "declared reserve",
    OVER_PROVISIONED: "too many replicas",
    SCALE_TO_ZERO: "could have been off",
    USEFUL_OR_HEADROOM: "useful or headroom",
}


def pool_lines(rows: Iterable[Mapping[str, Any]], *, currency: str) -> list[str]:
    """A line a pool and measure: its ready hours by part, with what they cost, what of parts that nothing needed could
    come back as cash, until when it is committed, and why they are in one piece.
    """
    pools: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["line"] in PARTS:
            pools.setdefault((row["deployment_id"], row["cost_measure"]), []).append(row)
    return [_line(name, measure, found, currency) for (name, measure), found in sorted(pools.items())]


def _line(name: str, measure: str, rows: Sequence[Mapping[str, Any]], currency: str) -> str:
    parts = {row["line"]: row for row in rows}
    ready = sum(row["gpu_hours"] or 0 for row in rows)
    said = ", ".join(_part(part, parts[part], currency) for part in PARTS if part in parts)
    until = max((row["committed_until_date"] for row in rows if row["committed_until_date"] is not None), default=None)
    reason = parts[USEFUL_OR_HEADROOM]["reason"] if USEFUL_OR_HEADROOM in parts else None
    return (
        f"{figures.visible(name)}, ready for {figures.hours(ready)} GPU-hours, {measure}: {said}"
        f"{'' if until is None else f'; committed until {until}'}"
        f"{'' if reason is None else f'; not told apart: {figures.visible(reason, figures.TEXT_LIMIT)}'}"
    )


def _part(part: str, row: Mapping[str, Any], currency: str) -> str:
    cost = figures.priced(row["realized_cost_rc"], currency)
    if part in (OVER_PROVISIONED, SCALE_TO_ZERO):
        cost = f"{cost}, {figures.priced(row['cash_recoverable_cost_rc'], currency)} of it recoverable as cash"
    return f"{PART_WORDS[part]} {figures.hours(row['gpu_hours'])} h ({cost})"
