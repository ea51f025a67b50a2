"""When requests are due: at random, and as unevenly as the workload's own busiest stretch, second for second.

Time is never compressed. A queue that is fed too fast for an hour is not one that is fed too fast for a second, so a
trial replays as much of the curve as it lasts.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How the rate moves: step by step of `step_seconds`, each over the mean. `begins_at`: seconds since the epoch."""

    step_seconds: int
    ratios: tuple[float, ...]
    begins_at: int

    def __post_init__(self) -> None:
        if self.step_seconds < 1 or not self.ratios or min(self.ratios) < 0 or sum(self.ratios) <= 0:
            raise ValueError(f"{self.ratios} each {self.step_seconds} s is no curve.")

    def over(self, seconds: float) -> tuple[tuple[float, float], ...]:
        """(seconds, ratio) of the busiest part that lasts so long, of mean 1 over it; flat where a step is longer."""
        wanted = math.ceil(seconds / self.step_seconds)
        chosen = self.ratios[slice(*_busiest(self.ratios, min(wanted, len(self.ratios))))]
        parts: list[tuple[float, float]] = []
        left = seconds
        # A stretch that is shorter than the trial begins anew.
        while left > 0:
            for ratio in chosen:
                if left > 0:
                    parts.append((min(self.step_seconds, left), ratio))
                    left -= self.step_seconds
        mean = sum(length * ratio for length, ratio in parts) / seconds
        return tuple((length, ratio / mean) for length, ratio in parts) if mean else ((seconds, 1.0),)


def _busiest(counts: Sequence[float], length: int) -> tuple[int, int]:
    sums = [0.0, *accumulate(counts)]
    first = max(range(len(counts) - length + 1), key=lambda at: (sums[at + length] - sums[at], -at))
    return first, first + length


def curve_of(requests_by_step: Mapping[int, float], *, step_seconds: int, steps: int) -> Curve | None:
    """The curve of the busiest `steps` that follow each other, of requests by step number (since the epoch).

    A step that is not there was not watched; None where so many in a row were nowhere watched. What independent
    requests scatter by themselves is taken out of the curve: they are drawn at random again.
    """
    best: tuple[float, int] | None = None
    run: list[int] = []
    for number in sorted(requests_by_step):
        run = [*run[-(steps - 1) :], number] if steps > 1 and run and run[-1] == number - 1 else [number]
        if len(run) == steps:
            total = sum(requests_by_step[one] for one in run)
            best = max(best or (total, -run[0]), (total, -run[0]))
    if best is None or best[0] <= 0:
        return None
    first = -best[1]
    counts = [requests_by_step[number] for number in range(first, first + steps)]
    return Curve(step_seconds=step_seconds, ratios=_without_chance(counts), begins_at=first * step_seconds)


def _without_chance(counts: Sequence[float]) -> tuple[float, ...]:
    """Counts over their mean, drawn together by as much as independent requests of that mean scatter (Poisson)."""
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    kept = math.sqrt(max(0.0, variance - mean) / variance) if variance else 0.0
    return tuple(1 + (count / mean - 1) * kept for count in counts)


def arrivals(*, per_second: float, seconds: float, seed: int, curve: Curve | None = None) -> Iterator[float]:
    """When requests are due, from 0: independent of each other (Poisson) at the curve's rate, the same for a seed.

    `per_second`: on the mean.
    """
    parts = ((seconds, 1.0),) if curve is None else curve.over(seconds)
    ends = list(accumulate(length for length, _ in parts))
    # How many are due on the mean before each end; arrivals at rate 1 are carried over from there.
    due = [0.0, *accumulate(length * ratio * per_second for length, ratio in parts)]
    chance = random.Random(seed)
    at = chance.expovariate(1.0)
    while at < due[-1]:
        part = min(bisect_right(due, at) - 1, len(parts) - 1)
        length = parts[part][0]
        yield ends[part] - length + (at - due[part]) / (due[part + 1] - due[part]) * length
        at += chance.expovariate(1.0)
