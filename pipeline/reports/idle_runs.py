"""Idle runs and feeds that disagree, a line each: of rows of the questions `idle_runs` and `telemetry_conflicts`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.reports import figures

_MOST_SHOWN = 5


def run_lines(rows: Sequence[Mapping[str, Any]], *, currency: str) -> list[str]:
    """The dearest runs, and how many there are beyond them; none where nothing was idle for an hour."""
    lines = [_run(row, currency) for row in rows[:_MOST_SHOWN]]
    if len(rows) > _MOST_SHOWN:
        lines.append(f"{figures.counted(len(rows) - _MOST_SHOWN, 'more run')}: breakeven waste --by run")
    return lines


def _run(row: Mapping[str, Any], currency: str) -> str:
    said = (
        f"{figures.visible(row['host'])} {figures.visible(row['gpu_uuid'])}: {row['from_at']:%Y-%m-%d %H:%M} to "
        f"{row['to_at']:%Y-%m-%d %H:%M} UTC, {figures.hours(row['gpu_hours'])} GPU-hours, of which "
        f"{figures.hours(row['of_which_loaded_gpu_hours'])} loaded"
    )
    if row["cost_measure"] is None:
        return f"{said}; no bill or agreement is known to pay for it"
    cash = figures.priced(row["cash_recoverable_cost_rc"], currency)
    until = row["committed_until_date"]
    return (
        f"{said}; {figures.priced(row['economic_cost_rc'], currency)} {row['cost_measure']}, {cash} of it recoverable "
        f"as cash{'' if until is None else f' (committed until {until})'}"
    )


def conflict_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """GPUs of which two feeds cannot both be right, with the feeds."""
    return [
        f"{figures.visible(row['host'])} {figures.visible(row['gpu_uuid'])}: {row['feeds']}, "
        f"{figures.hours(row['gpu_hours'])} GPU-hours in {figures.counted(row['hour_count'], 'hour')}"
        for row in rows
    ]
