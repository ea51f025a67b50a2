"""What a token takes of a GPU, fitted to saturated hours: the optimum by its own conditions, and when it is no use."""

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.joint_cost import (
    CLASSES,
    FEWEST_HOURS,
    Fit,
    SaturatedHour,
    fit_gpu_seconds,
    hour_sums,
    units_per_token,
)

Hour = tuple[int, tuple[int, int, int]]


def fit_of(hours: Sequence[Hour]) -> Fit:
    return fit_gpu_seconds(hour_sums([saturated(hour) for hour in hours]))


def saturated(hour: Hour) -> SaturatedHour:
    busy, tokens = hour
    return SaturatedHour(busy_gpu_milliseconds=busy, tokens_by_class=dict(zip(CLASSES, tokens, strict=True)))


HOURS = st.lists(
    st.tuples(st.integers(0, 10_000), st.tuples(*[st.integers(0, 500)] * 3)), min_size=FEWEST_HOURS, max_size=40
)


@settings(max_examples=60, deadline=None)
@given(HOURS)
def test_no_small_step_from_the_fit_is_nearer_to_the_hours(hours: list[Hour]) -> None:
    """Karush, Kuhn and Tucker over the hours themselves: the residual leans on no column that could take more."""
    found = fit_of(hours)
    taken = [found.gpu_seconds_per_token.get(name, Fraction(0)) * 1000 for name in CLASSES]
    rests = [busy - sum(time * count for time, count in zip(taken, tokens, strict=True)) for busy, tokens in hours]
    for index, name in enumerate(CLASSES):
        lean = sum((rest * tokens[index] for rest, (_, tokens) in zip(rests, hours, strict=True)), Fraction(0))
        assert taken[index] >= 0
        assert lean == 0 if taken[index] > 0 else lean <= 0, name
    whole = sum(busy * busy for busy, _ in hours)
    if whole and found.r_squared is not None:
        assert found.r_squared == 1 - sum((rest * rest for rest in rests), Fraction(0)) / whole


@given(
    HOURS,
    st.tuples(st.integers(1, 50), st.integers(0, 50), st.integers(1, 200)),
)
def test_hours_without_noise_give_back_what_made_them(hours: list[Hour], truth: tuple[int, int, int]) -> None:
    exact = [(sum(time * count for time, count in zip(truth, tokens, strict=True)), tokens) for _, tokens in hours]
    found = fit_of(exact)
    if found.condition is None:
        assert found.problem is not None
        return
    assert found.r_squared in (1, None)
    for name, time in zip(CLASSES, truth, strict=True):
        if name in found.gpu_seconds_per_token:
            assert found.gpu_seconds_per_token[name] == Fraction(time, 1000)


@given(HOURS, st.integers(0, 40))
def test_sums_of_days_are_the_sums_of_all_their_hours(hours: list[Hour], cut: int) -> None:
    whole = [saturated(hour) for hour in hours]
    assert hour_sums(whole[:cut]) + hour_sums(whole[cut:]) == hour_sums(whole)
    assert hour_sums(whole[:0]) + hour_sums(whole) == hour_sums(whole)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=FEWEST_HOURS, max_size=40))
def test_the_condition_number_of_two_classes_is_that_of_their_angle(pairs: list[tuple[int, int]]) -> None:
    found = fit_of([(1000, (one, 0, other)) for one, other in pairs])
    dot = sum(one * other for one, other in pairs)
    lengths = sum(one * one for one, _ in pairs) * sum(other * other for _, other in pairs)
    if dot * dot == lengths:
        assert found.condition is None
        assert found.problem is not None
        return
    cosine = (dot * dot / lengths) ** 0.5
    assert found.condition == pytest.approx(((1 + cosine) / (1 - cosine)) ** 0.5, rel=1e-4)


def test_classes_that_are_never_met_together_are_told_apart_perfectly() -> None:
    hours = [(30, (10, 0, 0)), (20, (0, 10, 0)), (80, (0, 0, 10))] * 8
    found = fit_of(hours)
    assert found.condition == pytest.approx(1)
    assert found.problem is None
    assert found.gpu_seconds_per_token == {
        "input_uncached": Fraction(3, 1000), "input_cache_read": Fraction(2, 1000), "output": Fraction(8, 1000)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        ([(3_600_000, (1000, 0, 100))] * (FEWEST_HOURS - 1), "23 saturated hours with tokens, and 24 are the fewest"),
        ([(3_600_000, (0, 0, 0))] * FEWEST_HOURS, "24 saturated hours with tokens"),
        ([(3_600_000, (1000, 0, 100))] * FEWEST_HOURS, "move together (condition number no end, above 30)"),
        ([(3_600_000, (1000 + hour, 0, 101)) for hour in range(FEWEST_HOURS)], "move together (condition number "),
        ([(hour * 1000, (1000 - 40 * hour, 0, hour)) for hour in range(FEWEST_HOURS)], "input_uncached no time at all"),
    ],
)
def test_a_fit_that_tells_nothing_says_why(hours: list[Hour], said: str) -> None:
    found = fit_of(hours)
    assert found.problem is not None
    assert said in found.problem


def test_a_cached_token_may_take_no_time() -> None:
    """Its prompt was computed before; a token that is computed or written never does."""
    hours = [(7 * (hour % 5 + 1) + 40 * (hour % 7), (hour % 5 + 1, 3 * (hour % 4), hour % 7)) for hour in range(30)]
    found = fit_of(hours)
    assert found.gpu_seconds_per_token["input_cache_read"] == 0
    assert found.problem is None


@given(st.dictionaries(st.sampled_from(CLASSES), st.fractions(0, 1000), min_size=1))
def test_units_keep_the_ratio_and_give_no_weight_to_what_has_none(weights: dict[str, Fraction]) -> None:
    units = units_per_token(weights)
    most = max(weights.values())
    if most == 0:
        assert units is None
        return
    assert units is not None
    assert max(units.values()) == 10**7
    for name, weight in weights.items():
        assert (units[name] == 0) == (weight == 0)
        assert abs(units[name] - weight / most * 10**7) <= 1
    with pytest.raises(ValueError, match="weight of output"):
        units_per_token({"output": Fraction(-1)})
