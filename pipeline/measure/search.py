"""How much load an endpoint takes before it breaks its service level: raised until it does, then narrowed down.

Pure: a trial is handed in, so the search runs on a simulation as on a server.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# The share of requests that must hold the service level, and how many may fail.
QUANTILE_PERCENT = 95
_MOST_FAILED_RATIO = 0.01
_NARROWED_RATIO = 1.1


@dataclass(frozen=True, kw_only=True)
class ServiceLevel:
    """What 95% of requests must hold. At least one of the two is given: which one is a team's own to say."""

    first_token_seconds: float | None
    seconds_per_output_token: float | None

    def __post_init__(self) -> None:
        stated = [value for value in (self.first_token_seconds, self.seconds_per_output_token) if value is not None]
        if not stated or min(stated) <= 0:
            raise ValueError(f"A service level of {stated or 'nothing'}: give at least one time above 0 seconds.")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One request that was answered: when it was due, its first and last token, and what it was billed for."""

    due_at: float
    first_token_at: float
    last_token_at: float
    tokens_by_class: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of offering so many requests a second for so long. Times in seconds of one clock."""

    offered_per_second: float
    started_at: float
    seconds: float
    answers: Sequence[Answer]
    failed_count: int

    @property
    def request_count(self) -> int:
        return len(self.answers) + self.failed_count

    @property
    def served_seconds(self) -> float:
        """Until the last token where that is later: a backlog is no throughput."""
        return max([self.seconds, *(answer.last_token_at - self.started_at for answer in self.answers)])

    @property
    def tokens_by_class(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for answer in self.answers:
            for name, count in answer.tokens_by_class.items():
                found[name] = found.get(name, 0) + count
        return found

    @property
    def tokens_per_second(self) -> float:
        return sum(self.tokens_by_class.values()) / self.served_seconds

    def first_token_seconds(self) -> float | None:
        return _quantile([answer.first_token_at - answer.due_at for answer in self.answers])

    def seconds_per_output_token(self) -> float | None:
        return _quantile(
            [
                (answer.last_token_at - answer.first_token_at) / (answer.tokens_by_class["output"] - 1)
                for answer in self.answers
                if answer.tokens_by_class.get("output", 0) > 1
            ]
        )

    def holds(self, level: ServiceLevel) -> bool:
        """Whether 95% of the answers hold the level and hardly any request failed. No answer holds nothing."""
        if not self.answers or self.failed_count > _MOST_FAILED_RATIO * self.request_count:
            return False
        pairs = (
            (self.first_token_seconds(), level.first_token_seconds),
            (self.seconds_per_output_token(), level.seconds_per_output_token),
        )
        return all(limit is None or seen is None or seen <= limit for seen, limit in pairs)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a measurement may cost at most, everything that was sent before included."""

    seconds: float
    requests: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """best: the trial that held the level with the most tokens a second; None where even the least load broke it.
    broken_per_second: the least load that broke it; None where none did, and the best is then "at least".
    """

    best: Trial | None
    broken_per_second: float | None
    trials: Sequence[Trial]


def find_capacity(
    run: Callable[[float, float], Trial],
    *,
    level: ServiceLevel,
    first_per_second: float,
    trial_seconds: float,
    tokens_per_request: int,
    bounds: Bounds,
) -> Found:
    """Double the load until the level breaks, then halve the distance until it is within 10%, or a bound is reached.

    `run(requests per second, seconds)` is one trial. A trial that would exceed a bound is not begun.
    """
    trials: list[Trial] = []
    for offered in _loads(trials, level, first_per_second):
        if not _is_within(bounds, trials, offered, trial_seconds, tokens_per_request):
            break
        trials.append(run(offered, trial_seconds))
    held = [trial for trial in trials if trial.holds(level)]
    broken = [trial.offered_per_second for trial in trials if not trial.holds(level)]
    return Found(
        best=max(held, key=lambda trial: trial.tokens_per_second, default=None),
        broken_per_second=min(broken, default=None),
        trials=tuple(trials),
    )


def _loads(trials: Sequence[Trial], level: ServiceLevel, first: float) -> Iterator[float]:
    """The next load to offer, given what the trials so far have shown."""
    low, offered = 0.0, first
    high: float | None = None
    while high is None or low == 0.0 or high > low * _NARROWED_RATIO:
        yield offered
        if trials[-1].holds(level):
            low = offered
        else:
            high = offered
        if high is not None and low == 0.0 and high < first / 64:
            return
        offered = low * 2 if high is None else (low + high) / 2


def _is_within(
    bounds: Bounds, trials: Sequence[Trial], offered: float, trial_seconds: float, tokens_per_request: int
) -> bool:
    requests = math.ceil(offered * trial_seconds)
    return (
        sum(trial.served_seconds for trial in trials) + trial_seconds <= bounds.seconds
        and sum(trial.request_count for trial in trials) + requests <= bounds.requests
        and sum(sum(trial.tokens_by_class.values()) for trial in trials) + requests * tokens_per_request
        <= bounds.tokens
    )


def _quantile(values: Sequence[float]) -> float | None:
    if not values:
        return None
    ranked = sorted(values)
    return ranked[math.ceil(QUANTILE_PERCENT * len(ranked) / 100) - 1]
