"""Forecasts: what a straight line, a step and a known noise have to give, and nothing from the future."""

import math
from datetime import date, timedelta
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.forecast import (
    FEWEST_ORIGINS,
    Forecast,
    crossing,
    forecast,
    theil_sen,
    volume_quantiles,
)

LAST = date(2026, 10, 31)


def of(days: list[int | None]) -> Forecast:
    found = forecast(days, last_day=LAST)
    assert found is not None
    return found


def growing(weeks: int, *, per_week: float, noise: float = 0.0, seed: int = 1) -> list[int | None]:
    drawn = Random(seed)
    return [
        int(1_000_000 * math.exp(per_week * (day // 7) + drawn.gauss(0.0, noise) if noise else per_week * (day // 7)))
        for day in range(7 * weeks)
    ]


def test_the_level_is_the_mean_of_the_last_28_days_that_are_known() -> None:
    days: list[int | None] = [*[9_999] * 30, *[100] * 27, None]
    assert of(days).level == 100
    assert of([*[9_999] * 30, *[50, 150] * 14]).level == 100


@pytest.mark.parametrize(("weeks", "growth"), [(11, 0.0), (12, 0.05 / 2 / 7), (40, 0.05 / 2 / 7)])
def test_half_of_a_steady_trend_goes_on_and_below_12_weeks_none_of_it(weeks: int, growth: float) -> None:
    found = of(growing(weeks, per_week=0.05))
    assert found.growth_per_day == pytest.approx(growth, rel=1e-3)
    assert found.trend_weeks == (0 if weeks < 12 else min(weeks, 26))


def test_a_week_with_an_unknown_day_or_of_nothing_ends_the_weeks_of_a_trend() -> None:
    days = growing(20, per_week=0.05)
    assert of(days).trend_weeks == 20
    assert of([*days[:50], None, *days[51:]]).trend_weeks == 12
    assert of([*days[:57], None, *days[58:]]).trend_weeks == 0
    assert of([*days[:49], *[0] * 7, *days[56:]]).trend_weeks == 12


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_the_slope_is_the_median_of_all_pairs(values: list[float]) -> None:
    pairs = [(values[j] - values[i]) / (j - i) for j in range(len(values)) for i in range(j)]
    assert theil_sen(values) == pytest.approx(median(pairs))


def test_one_wild_week_in_five_does_not_move_the_slope() -> None:
    values = [0.1 * step for step in range(20)]
    wild = [value + (50 if step % 6 == 5 else 0) for step, value in enumerate(values)]
    assert theil_sen(wild) == pytest.approx(0.1, abs=0.02)
    with pytest.raises(ValueError, match="There are 1 points"):
        theil_sen([1.0])


def test_errors_are_what_the_rule_missed_by_knowing_the_past_alone() -> None:
    """Worked out by forecasting each week's past as if it were all there is."""
    days = growing(30, per_week=0.02, noise=0.2)
    expected = []
    for origin in range(4, 27):
        past = of(days[: 7 * origin])
        said = math.fsum(past.level * math.exp(past.growth_per_day * 7 * ahead) for ahead in range(1, 5)) / 4
        actual = sum(count or 0 for count in days[7 * origin : 7 * origin + 28]) / 28
        expected.append(math.log(actual / said))
    assert of(days).errors == pytest.approx(sorted(expected))


def test_what_has_never_been_forecast_has_no_interval() -> None:
    weeks = FEWEST_ORIGINS + 7
    known, short = of(growing(weeks, per_week=0.0)), of(growing(weeks - 1, per_week=0.0))
    assert (known.has_interval, short.has_interval) == (True, False)
    assert volume_quantiles(short, days_ahead=1) is None
    found = crossing(short, 500_000.0)
    assert (found.middle_on, found.low_on, found.high_on, found.probability_soon) == (
        LAST + timedelta(days=1),
        None,
        None,
        None,
    )


def test_nothing_known_or_nothing_asked_for_is_no_forecast() -> None:
    assert forecast([None] * 40, last_day=LAST) is None
    assert forecast([5, *[None] * 28], last_day=LAST) is None
    assert forecast([0] * 40, last_day=LAST) is None
    assert forecast([], last_day=LAST) is None


@given(seed=st.integers(0, 50), ratio=st.floats(0.3, 3.0), upwards=st.booleans())
def test_a_crossing_is_the_first_day_that_its_path_is_across(seed: int, ratio: float, upwards: bool) -> None:
    found = of(growing(30, per_week=0.03 if seed % 2 else -0.03, noise=0.3, seed=seed))
    volume = found.level * ratio
    told = crossing(found, volume, upwards=upwards)

    def first(share: float) -> date | None:
        rank = math.ceil(share * len(found.errors) - 1e-9) - 1
        for ahead in range(1, 181):
            stretched = found.errors[rank] * math.sqrt(max(1, ahead / 28))
            demand = found.level * math.exp(found.growth_per_day * ahead + stretched)
            if (demand >= volume) if upwards else (demand <= volume):
                return LAST + timedelta(days=ahead)
        return None

    assert (told.low_on, told.middle_on, told.high_on) == (first(0.05), first(0.5), first(0.95))
    ordered = [told.high_on, told.middle_on, told.low_on] if upwards else [told.low_on, told.middle_on, told.high_on]
    assert sorted(ordered, key=lambda on: on or date.max) == ordered


def test_a_volume_that_is_never_is_crossed_by_no_path() -> None:
    told = crossing(of(growing(30, per_week=0.05, noise=0.1)), math.inf)
    assert (told.low_on, told.middle_on, told.high_on, told.probability_soon) == (None, None, None, 0.0)


def test_the_interval_of_a_quiet_series_holds_about_nine_of_ten_later_months() -> None:
    """Days whose noise is known: the mean of the four weeks after, inside the 5 and 95% of what was said."""
    inside = 0
    for seed in range(150):
        days = growing(64, per_week=0.0, noise=0.3, seed=seed)
        told = volume_quantiles(of(days[: 60 * 7]), days_ahead=14)
        assert told is not None
        actual = sum(count or 0 for count in days[60 * 7 :]) / 28
        inside += told[0] <= actual <= told[2]
    assert 0.82 <= inside / 150 <= 0.97


@given(seed=st.integers(0, 100), weeks=st.integers(20, 39), later=st.integers(0, 5_000_000))
def test_an_error_once_made_stays_whatever_comes_after(seed: int, weeks: int, later: int) -> None:
    """No origin looks ahead of its own four weeks: other days after them leave its miss as it was."""
    days = growing(40, per_week=0.01, noise=0.2, seed=seed)
    known = of(days[: 7 * weeks]).errors
    other = of([*days[: 7 * weeks], *[later + 1] * (280 - 7 * weeks)]).errors
    assert set(known) <= set(other)
