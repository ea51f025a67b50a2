"""How much of a replica-hour may be filled: declared before measured before assumed; measured only where it holds."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.peaks import PeakAllowance, SampledWeek, peak_allowance


def week(**changes: int | None) -> SampledWeek:
    """A week that is read well enough: 168 hours, 100 busy ones, a p99 minute of 1.6 times its hour's mean."""
    said: dict[str, int | None] = {
        "p99_minute_to_hour_ppm": 1_600_000,
        "served_hours": 168,
        "minute_hours": 160,
        "queued_hours": 10,
        "busy_hours": 100,
        "longest_gap_milliseconds": 30_012,
    }
    return SampledWeek(**{**said, **changes})  # type: ignore[arg-type]


def found(
    sampled: SampledWeek | None, *, declared: Decimal | None = None, is_all_self_hosted: bool = True
) -> PeakAllowance:
    return peak_allowance(
        declared=declared, assumed=Decimal("0.85"), week=sampled, is_all_self_hosted=is_all_self_hosted
    )


def test_the_measured_share_is_the_hours_mean_over_its_p99_minute() -> None:
    assert found(week()) == PeakAllowance(ratio=Fraction(5, 8), basis="measured")


def test_what_is_declared_counts_before_what_was_measured() -> None:
    assert found(week(), declared=Decimal("0.7")) == PeakAllowance(ratio=Fraction(7, 10), basis="declared")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"minute_hours": 94}, None),
        ({"minute_hours": 93}, "of 168 hours that were served, 93 were read once a minute"),
        ({"queued_hours": 76}, None),
        ({"queued_hours": 77}, "77 of them with requests that queued"),
        ({"busy_hours": 24}, None),
        ({"busy_hours": 23}, "23 busy ones are left"),
        ({"longest_gap_milliseconds": 35_000}, None),
        ({"longest_gap_milliseconds": 35_001}, "readings are up to 35001 ms apart"),
        ({"p99_minute_to_hour_ppm": None, "minute_hours": 0, "queued_hours": 0, "busy_hours": 0}, "0 were read once"),
    ],
)
def test_a_week_that_does_not_show_it_leaves_the_assumption(changes: dict[str, int | None], why: str | None) -> None:
    """Thresholds on both sides; why not is said with its values."""
    allowance = found(week(**changes))
    assert allowance.basis == ("measured" if why is None else "assumed")
    assert allowance.ratio == (Fraction(5, 8) if why is None else Fraction(85, 100))
    assert (why or "") in (allowance.reason or "")


def test_traffic_on_an_api_was_not_seen_by_the_minute() -> None:
    assert found(week(), is_all_self_hosted=False).reason == (
        "part of its tokens are served by an API, whose minutes nobody read"
    )
    assert found(None).reason == "no whole settled week of it was served"


def test_a_peak_below_the_mean_is_refused() -> None:
    with pytest.raises(ValueError, match="no peak lies below the mean"):
        found(week(p99_minute_to_hour_ppm=999_999))


@given(minutes=st.lists(st.integers(0, 10**9), min_size=60, max_size=60).filter(any))
def test_an_hour_filled_to_the_measured_share_holds_its_p99_minute(minutes: list[int]) -> None:
    """An hour whose mean is u_max of a capacity has its p99 minute (nearest rank: of 60, the greatest) within it."""
    ppm = -(-60 * max(minutes) * 10**6 // sum(minutes))
    share = found(week(p99_minute_to_hour_ppm=ppm)).ratio
    capacity_per_hour = sum(minutes) / share
    assert max(minutes) <= capacity_per_hour / 60
