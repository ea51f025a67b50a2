"""The search on a simulated queue: virtual time, a known capacity."""

import heapq

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.measure.arrival import arrivals
from pipeline.measure.search import Answer, Bounds, Found, ServiceLevel, Trial, find_capacity

TOKENS = {"input_uncached": 90, "output": 10}
ENOUGH = Bounds(seconds=1e9, requests=10**9, tokens=10**12)


def queue(*, servers: int, service_seconds: float, seed: int = 1):  # type: ignore[no-untyped-def]
    """First come, first served, by so many servers of the same constant time each: capacity servers / time."""
    log: list[float] = []

    def run(per_second: float, seconds: float) -> Trial:
        log.append(per_second)
        free = [0.0] * servers
        answers = []
        for due in arrivals(per_second=per_second, seconds=seconds, seed=seed + len(log)):
            begun = max(due, heapq.heappop(free))
            heapq.heappush(free, begun + service_seconds)
            answers.append(
                Answer(
                    due_at=due,
                    first_token_at=begun + service_seconds / 10,
                    last_token_at=begun + service_seconds,
                    tokens_by_class=TOKENS,
                )
            )
        return Trial(offered_per_second=per_second, started_at=0, seconds=seconds, answers=answers, failed_count=0)

    return run, log


def search(run, *, bounds: Bounds = ENOUGH, first_token: float = 1.0, first: float = 0.5) -> Found:  # type: ignore[no-untyped-def]
    return find_capacity(
        run,
        level=ServiceLevel(first_token_seconds=first_token, seconds_per_output_token=None),
        first_per_second=first,
        trial_seconds=200,
        tokens_per_request=100,
        bounds=bounds,
    )


@pytest.mark.parametrize("servers", [1, 4])
@pytest.mark.parametrize("service", [0.1, 0.4])
@pytest.mark.parametrize("first", [0.2, 40.0])
def test_a_known_capacity_is_found_within_a_fifth_and_never_exceeded(
    servers: int, service: float, first: float
) -> None:
    """Within 20% below: 10% of the search, and what a queue of at most 40 service times leaves idle."""
    run, _ = queue(servers=servers, service_seconds=service)
    found = search(run, first=first, first_token=40 * service)
    capacity = 100 * servers / service
    assert found.best is not None
    assert 0.8 * capacity <= found.best.tokens_per_second <= capacity * 1.0001
    assert found.broken_per_second is not None
    assert found.broken_per_second > found.best.offered_per_second


def test_a_tighter_level_sustains_less() -> None:
    run, _ = queue(servers=4, service_seconds=0.4)
    loose, tight = search(run, first_token=5.0), search(run, first_token=0.06)
    assert loose.best is not None
    assert tight.best is not None
    assert tight.best.tokens_per_second < 0.9 * loose.best.tokens_per_second


def test_an_overloaded_trial_counts_its_backlog() -> None:
    run, _ = queue(servers=1, service_seconds=1.0)
    assert run(10.0, 60.0).tokens_per_second <= 100.0


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(requests=st.integers(1, 20_000), tokens=st.integers(100, 2_000_000), seconds=st.integers(600, 6_000))
def test_no_trial_is_begun_that_would_exceed_a_bound(requests: int, tokens: int, seconds: int) -> None:
    run, _ = queue(servers=4, service_seconds=0.1)
    found = search(run, bounds=Bounds(seconds=seconds, requests=requests, tokens=tokens))
    # A trial is begun for what it is expected to send; arrivals are random, so it may send a little more.
    sent = sum(trial.request_count for trial in found.trials)
    assert sent <= requests + 6 * requests**0.5 + 6
    assert sum(trial.served_seconds for trial in found.trials) <= seconds + 60


def test_a_bound_that_ends_the_search_leaves_no_upper_end() -> None:
    run, _ = queue(servers=50, service_seconds=0.1)
    found = search(run, bounds=Bounds(seconds=1e9, requests=2000, tokens=10**9))
    assert found.best is not None
    assert found.broken_per_second is None


def test_an_endpoint_that_never_holds_the_level_has_no_capacity() -> None:
    run, log = queue(servers=1, service_seconds=20.0)
    found = search(run, first_token=0.5)
    assert found.best is None
    assert len(log) < 12


@pytest.mark.parametrize("times", [(None, None), (0.0, None), (1.0, -1.0)])
def test_a_level_of_nothing_is_refused(times: tuple[float | None, float | None]) -> None:
    with pytest.raises(ValueError, match="at least one time above 0"):
        ServiceLevel(first_token_seconds=times[0], seconds_per_output_token=times[1])


def test_failures_break_the_level() -> None:
    answers = [Answer(due_at=0, first_token_at=0.1, last_token_at=0.2, tokens_by_class=TOKENS)] * 98
    level = ServiceLevel(first_token_seconds=1, seconds_per_output_token=1)
    fine = Trial(offered_per_second=1, started_at=0, seconds=1, answers=answers, failed_count=0)
    assert fine.holds(level)
    assert not Trial(offered_per_second=1, started_at=0, seconds=1, answers=answers, failed_count=2).holds(level)
    assert not Trial(offered_per_second=1, started_at=0, seconds=1, answers=[], failed_count=0).holds(level)
