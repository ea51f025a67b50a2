"""A few of the simulated years: their truth is as stated, and what speaks least for nothing speaks latest."""

from benchmarks.detectors import (
    DETECTORS,
    NOISE,
    QUIET_RATIOS,
    WEEKDAYS,
    Year,
    crossings,
    raw,
    simulated,
    table,
    weekly_mean,
)

PPM = 10**6


def test_a_year_lies_around_its_ratio_and_a_crossing_steps_up_to_it() -> None:
    years = [simulated(0.85, seed=seed) for seed in range(40)]
    mean = sum(sum(year.daily) for year in years) / (40 * 365 * PPM)
    assert abs(mean - 0.85) < 0.02
    assert abs(sum(WEEKDAYS) / 7 - 1) < 1e-9
    stepped = simulated(1.30, seed=1, before=0.85)
    assert stepped.daily == simulated(1.30, seed=1).daily
    assert stepped.weekly_sums[0] < simulated(1.30, seed=1).weekly_sums[0]
    assert stepped.weekly_sums[7:] == simulated(1.30, seed=1).weekly_sums[7:]
    assert 0.1 < NOISE < 0.5


def test_crossings_count_upwards_only() -> None:
    assert crossings([1, 3, 3, 2, 3, 1], 3) == [1, 4]
    assert crossings([3, 1], 3) == [0]
    year = Year(daily=[PPM, 0, PPM], weekly_sums=[6 * PPM, 7 * PPM, 7 * PPM])
    assert (raw(year), weekly_mean(year)) == ([0, 2], [1])


def test_what_speaks_least_for_nothing_speaks_latest() -> None:
    told = {name: dict(figures) for name, figures in table(10).items()}
    assert len(told) == len(DETECTORS) == 4
    order = ("raw_crossing", "7_day_mean", "default_hysteresis", "regret_meter")
    false = [told[f"detector_{name}"]["false_alerts_a_year_at_0.85"] for name in order]
    delays = [told[f"detector_{name}"]["median_delay_days_at_1.15"] for name in order]
    assert false == sorted(false, reverse=True)
    assert delays == sorted(delays)
    assert false[0] > 40
    assert false[1] > 4
    assert false[2] < 1.5
    for figures in told.values():
        alerts = [figures[f"false_alerts_a_year_at_{ratio:.2f}"] for ratio in QUIET_RATIOS]
        assert alerts == sorted(alerts)
