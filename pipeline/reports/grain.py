"""At which grain a workload's demand is known, in words: hours behind its days, and peaks inside its hours."""

from collections.abc import Mapping
from typing import Any

from pipeline.reports.figures import counted, percent


def hours_in_words(row: Mapping[str, Any]) -> str | None:
    """Which days' hours are not metered; None where all are. `row`: of the question `demand_grain`."""
    shaped, summed = row["shaped_days_count"] or 0, row["summed_days_count"] or 0
    parts = []
    if shaped:
        lie = "have their hours" if shaped > 1 else "has its hours"
        parts.append(f"{counted(shaped, 'day')} {lie} from a gateway's log, the sum from the bill's meter")
    if summed:
        parts.append(f"{counted(summed, 'day')} known as a sum")
    if not parts:
        return None
    return f"{'; '.join(parts)}; of {counted(row['demand_days_count'], 'day')} with demand"


def peaks_in_words(row: Mapping[str, Any]) -> str | None:
    """How much of a replica-hour may be filled and who says so, the measured share beside a declared or assumed one.

    None without a deployment whose capacity is declared or measured: what it did in its best hour holds its peaks.
    """
    if row["peak_allowance_ratio"] is None:
        return None
    return f"{percent(row['peak_allowance_ratio'], 1)} of a replica-hour may be filled, {_who_says(row)}"


def _who_says(row: Mapping[str, Any]) -> str:
    week = ""
    if row["measured_allowance_ratio"] is not None:
        read = f"{row['week_minute_hours_count']} of {row['week_served_hours_count']} hours read once a minute"
        week = f"week from {row['week_from_date']}, {read}"
    if row["peak_allowance_basis"] == "measured":
        chosen = f", {row['peak_allowance_reason']}" if row["peak_allowance_reason"] else ""
        return f"measured: {week}{chosen}"
    seen = f"; measured {percent(row['measured_allowance_ratio'], 1)}: {week}" if week else ""
    why = f": {row['peak_allowance_reason']}" if row["peak_allowance_reason"] else ""
    return f"{row['peak_allowance_basis']}{why}{seen}"
