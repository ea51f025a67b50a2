"""Peaks inside the hour: u_max, the share of a replica-hour that may be filled (economics.md 2), and who says so.

An hour's mean m has its p99 minute at r m. A replica that sustains c within its service level holds that minute as long
as m <= c / r, so u_max = 1 / r. That is only as true as r: of the same traffic, at its own volume (the more requests,
the smaller r), read finely enough to see a minute, and while nothing waited, since of what waits only as much is served
as the engines can do.
"""

from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Literal

from pipeline.economics.exact import Exact, exact_fraction

_PPM = 1_000_000
# Half of the hours that were served, and enough busy ones that fourteen minutes lie above the 99th percentile.
_LEAST_SHARE = Fraction(1, 2)
_LEAST_BUSY_HOURS = 24
# Two readings that are further apart make a minute of its neighbours' mean: its peak is at least what they show.
_LONGEST_GAP_MILLISECONDS = 35_000


@dataclass(frozen=True, kw_only=True)
class SampledWeek:
    """What one week's minutes say of one workload. Hours are of the week's 168; ppm is the p99 minute over its hour's
    mean, at least 1,000,000, or None where no busy hour was read."""

    p99_minute_to_hour_ppm: int | None
    served_hours: int
    minute_hours: int
    queued_hours: int
    busy_hours: int
    longest_gap_milliseconds: int | None

    @property
    def measured_ratio(self) -> Fraction | None:
        """u_max as measured: the hour's mean over its p99 minute. Raises ValueError for a ratio below 1."""
        if self.p99_minute_to_hour_ppm is None:
            return None
        if self.p99_minute_to_hour_ppm < _PPM:
            raise ValueError(f"p99_minute_to_hour_ppm is {self.p99_minute_to_hour_ppm}: no peak lies below the mean.")
        return Fraction(_PPM, self.p99_minute_to_hour_ppm)


@dataclass(frozen=True, kw_only=True)
class PeakAllowance:
    """u_max in (0, 1], who says so, and why not the measured one where it is assumed; or that its week was named."""

    ratio: Fraction
    basis: Literal["declared", "measured", "assumed"]
    reason: str | None = None


def peak_allowance(
    *,
    declared: Exact | None,
    assumed: Exact,
    week: SampledWeek | None,
    is_all_self_hosted: bool,
    named_week: date | None = None,
) -> PeakAllowance:
    """What counts: what is declared; else what was measured, if that holds for this traffic; else what is assumed.

    `is_all_self_hosted`: all of the workload's tokens of the window were served by the engines that were read; of
    traffic on an API nobody has seen the minutes. `named_week`: the Monday of the week, where a person chose it.
    """
    if declared is not None:
        return PeakAllowance(ratio=exact_fraction(declared, "declared"), basis="declared")
    problem = _why_not(week, is_all_self_hosted=is_all_self_hosted, named_week=named_week)
    measured = None if week is None else week.measured_ratio
    if problem is None and measured is not None:
        chosen = None if named_week is None else "as `demand: sampled_week` names it"
        return PeakAllowance(ratio=measured, basis="measured", reason=chosen)
    return PeakAllowance(ratio=exact_fraction(assumed, "assumed"), basis="assumed", reason=problem)


def _why_not(week: SampledWeek | None, *, is_all_self_hosted: bool, named_week: date | None) -> str | None:
    if week is None and named_week is not None:
        return f"of the week from {named_week}, which `demand: sampled_week` names, nothing was served and settled"
    if week is None:
        return "no whole settled week of it was served"
    read = week.minute_hours - week.queued_hours
    if read < _LEAST_SHARE * week.served_hours or week.busy_hours < _LEAST_BUSY_HOURS:
        return (
            f"of {week.served_hours} hours that were served, {week.minute_hours} were read once a minute, "
            f"{week.queued_hours} of them with requests that queued; {week.busy_hours} busy ones are left, "
            f"half of the hours and {_LEAST_BUSY_HOURS} busy ones are needed"
        )
    if week.longest_gap_milliseconds is None or week.longest_gap_milliseconds > _LONGEST_GAP_MILLISECONDS:
        return (
            f"readings are up to {week.longest_gap_milliseconds} ms apart: a minute is seen at "
            f"{_LONGEST_GAP_MILLISECONDS} ms or less"
        )
    return None if is_all_self_hosted else "part of its tokens are served by an API, whose minutes nobody read"
