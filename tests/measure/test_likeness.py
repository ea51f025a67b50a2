"""Requests as long as a workload's own, one by one, and as unevenly due: what was counted is what is drawn."""

import math
import random
from bisect import bisect_left
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.histogram import Histogram, histogram_of, read_request_lengths
from pipeline.measure.arrival import Curve, arrivals, curve_of
from pipeline.measure.requests import Lengths, Prompts
from pipeline.measure.spread import Drawing, FromHistograms, FromRows

EDGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def counted(lengths: list[int], edges: tuple[int, ...] = EDGES) -> Histogram:
    counts = Counter(bisect_left(edges, length) for length in lengths)
    return Histogram(edges=edges, counts=tuple(counts[at] for at in range(len(edges) + 1)), tokens=sum(lengths))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=40))
def test_what_is_drawn_has_the_counted_mean_and_stays_in_the_counted_buckets(lengths: list[int]) -> None:
    histogram = counted(lengths)
    drawing = Drawing(histogram)
    mean = sum(
        count * (low + (high - low) * drawing.place)
        for count, (low, high) in zip(histogram.counts, drawing.bounds, strict=True)
    )
    assert mean == pytest.approx(histogram.tokens, rel=1e-9)
    chance = random.Random(1)
    for length in (drawing.drawn(chance) for _ in range(50)):
        # A bucket in which nothing was counted is never drawn from.
        assert any(
            count and low <= length <= high for count, (low, high) in zip(histogram.counts, drawing.bounds, strict=True)
        )


def test_the_shares_and_the_mean_of_many_draws_are_those_of_the_requests() -> None:
    lengths = [8] * 700 + [900] * 200 + [4_000] * 100
    histogram, chance = counted(lengths), random.Random(2)
    drawn = [Drawing(histogram).drawn(chance) for _ in range(4_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(sum(lengths) / 1000, rel=0.06)
    shares = [sum(low < one <= high for one in drawn) / 4_000 for low, high in ((0, 10), (500, 1000), (1000, math.inf))]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.03)


def test_two_readings_of_a_process_say_what_came_between_them_and_a_fall_says_nothing() -> None:
    earlier, later = counted([5, 100]), counted([5, 100, 700, 7])
    assert later.since(earlier) == counted([700, 7])
    assert earlier.since(later) is None
    assert later.since(counted([5], edges=(1, 2))) is None
    assert counted([700, 7]).plus(earlier) == later


BODY = """# TYPE vllm:request_prompt_tokens histogram
vllm:request_prompt_tokens_bucket{engine="0",le="1.0",model_name="m"} 0.0
vllm:request_prompt_tokens_bucket{engine="0",le="100.0",model_name="m"} 3.0
vllm:request_prompt_tokens_bucket{engine="0",le="+Inf",model_name="m"} 4.0
vllm:request_prompt_tokens_count{engine="0",model_name="m"} 4.0
vllm:request_prompt_tokens_sum{engine="0",model_name="m"} 950.0
# TYPE vllm:request_generation_tokens histogram
vllm:request_generation_tokens_bucket{engine="0",le="10.0",model_name="m"} 1.0
vllm:request_generation_tokens_bucket{engine="0",le="+Inf",model_name="m"} 4.0
vllm:request_generation_tokens_count{engine="0",model_name="m"} 4.0
vllm:request_generation_tokens_sum{engine="0",model_name="m"} 80.0
"""


def test_an_engine_is_read_whole_or_not_at_all() -> None:
    ((engine, (prompt, output)),) = read_request_lengths(BODY).items()
    assert engine == ("m", "0")
    assert prompt == Histogram(edges=(1, 100), counts=(0, 3, 1), tokens=950)
    assert output == Histogram(edges=(10,), counts=(1, 3), tokens=80)
    lines = BODY.splitlines(keepends=True)
    for end in range(1, len(lines)):
        assert read_request_lengths("".join(lines[:end])) == {}


@pytest.mark.parametrize("up_to", [{}, {10.0: 1}, {10.0: 1, 20.0: 2}, {1.5: 1, math.inf: 2}, {5.0: 3, math.inf: 2}])
def test_what_is_no_histogram_is_refused(up_to: dict[float, float]) -> None:
    with pytest.raises(ValueError, match=r"no edges|no histogram"):
        histogram_of(up_to, tokens=10)


MEAN = Lengths(prompt_tokens=200, shared_prompt_tokens=50, output_tokens=20)


def test_each_request_has_its_own_lengths_of_the_mixs_mean_and_share_the_same_for_a_seed() -> None:
    spread = FromHistograms(prompt=counted([8] * 50 + [700] * 50), output=counted([1] * 90 + [80] * 10))
    prompts = Prompts(lengths=MEAN, tokens_per_word=1.0, seed=7, spread=spread)
    drawn = [prompts.lengths_of(number) for number in range(4_000)]
    assert drawn == [prompts.lengths_of(number) for number in range(4_000)]
    assert len({one.prompt_tokens for one in drawn}) > 10
    for name in ("prompt_tokens", "shared_prompt_tokens", "output_tokens"):
        assert sum(getattr(one, name) for one in drawn) / 4_000 == pytest.approx(getattr(MEAN, name), rel=0.1)
    assert all(len(prompts.text(n).split()) == drawn[n].prompt_tokens for n in range(20))


def test_rows_are_drawn_with_both_of_their_lengths() -> None:
    prompts = Prompts(lengths=MEAN, tokens_per_word=1.0, seed=7, spread=FromRows(rows=[(100, 30), (300, 10)]))
    assert {(one.prompt_tokens, one.output_tokens) for one in map(prompts.lengths_of, range(50))} == {
        (100, 30),
        (300, 10),
    }


def test_no_request_is_longer_than_the_server_takes() -> None:
    spread = FromRows(rows=[(10, 10), (10_000, 2_000)])
    prompts = Prompts(lengths=MEAN, tokens_per_word=1.0, seed=7, spread=spread, longest_tokens=300)
    drawn = [prompts.lengths_of(number) for number in range(50)]
    assert max(one.tokens for one in drawn) == 300
    assert all(one.shared_prompt_tokens <= one.prompt_tokens for one in drawn)


# --- arrivals ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    ratios=st.lists(st.floats(0, 50), min_size=1, max_size=12).filter(lambda them: sum(them) > 0.1),
    step=st.integers(1, 120),
    seconds=st.floats(1, 900),
)
def test_a_trial_lasts_as_long_as_it_should_at_the_mean_rate_in_real_time(
    ratios: list[float], step: int, seconds: float
) -> None:
    curve = Curve(step_seconds=step, ratios=tuple(ratios), begins_at=0)
    parts = curve.over(seconds)
    assert sum(length for length, _ in parts) == pytest.approx(seconds)
    assert sum(length * ratio for length, ratio in parts) / seconds == pytest.approx(1)
    # No step is shorter than it was, but for the one in which the trial ends.
    assert all(length == step for length, _ in parts[:-1])
    due = list(arrivals(per_second=200 / seconds, seconds=seconds, seed=3, curve=curve))
    assert due == sorted(due)
    assert all(0 <= at <= seconds * (1 + 1e-9) for at in due)
    assert 120 < len(due) < 290


def test_more_is_due_where_the_curve_is_higher() -> None:
    curve = Curve(step_seconds=60, ratios=(0.5, 0.0, 2.5), begins_at=0)
    due = list(arrivals(per_second=50, seconds=180, seed=3, curve=curve))
    by_minute = Counter(int(at // 60) for at in due)
    assert by_minute[1] == 0
    assert by_minute[2] / by_minute[0] == pytest.approx(5, rel=0.1)
    assert len(due) == pytest.approx(9_000, rel=0.05)


def test_a_curve_that_is_flat_or_longer_than_a_trial_changes_nothing() -> None:
    plain = list(arrivals(per_second=5, seconds=30, seed=9))
    for curve in (
        Curve(step_seconds=60, ratios=(0.2, 3.0), begins_at=0),
        Curve(step_seconds=10, ratios=(1.0,), begins_at=0),
    ):
        assert list(arrivals(per_second=5, seconds=30, seed=9, curve=curve)) == pytest.approx(plain)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.integers(0, 40), st.integers(0, 10_000).map(float), max_size=41), st.integers(1, 6))
def test_the_busiest_stretch_that_was_watched_throughout_is_replayed(requests: dict[int, float], steps: int) -> None:
    curve = curve_of(requests, step_seconds=60, steps=steps)
    stretches = {
        first: sum(requests[number] for number in range(first, first + steps))
        for first in requests
        if all(number in requests for number in range(first, first + steps))
    }
    if max(stretches.values(), default=0) == 0:
        assert curve is None
        return
    assert curve is not None
    assert stretches[curve.begins_at // 60] == max(stretches.values())
    assert sum(curve.ratios) == pytest.approx(steps)
    assert min(curve.ratios) >= 0


def test_what_independent_requests_scatter_is_no_curve_and_what_moves_is() -> None:
    """Counts of 1,000 minutes at a constant 20 a minute, and the same at 10 and 30 in turn."""
    ends = [int(at // 60) for at in arrivals(per_second=20 / 60, seconds=60_000, seed=1)]
    still = Counter(ends)
    flat = curve_of({n: float(still[n]) for n in range(1_000)}, step_seconds=60, steps=1_000)
    assert flat is not None
    assert max(abs(ratio - 1) for ratio in flat.ratios) < 0.4 < max(abs(still[n] / 20 - 1) for n in range(1_000))
    moving = curve_of({n: 10.0 if n % 2 else 30.0 for n in range(100)}, step_seconds=60, steps=100)
    assert moving is not None
    assert [round(ratio, 2) for ratio in moving.ratios[:2]] == [
        pytest.approx(1.45, abs=0.06),
        pytest.approx(0.55, abs=0.06),
    ]
