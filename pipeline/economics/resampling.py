"""Days drawn again in blocks: what an average, a price or a break-even might as well have been.

A moving-block bootstrap: a resample is as many days as were observed, put together from blocks of consecutive days, so
that weekdays and what hangs together from day to day stay together. Every quantity of a day is drawn with its day
(jointly). The draws are those of `random.Random(seed).random()`, whose sequence Python promises to keep; they depend on
nothing but their arguments, so figures that rest on the same days are drawn alike and compare from day to day.
Source: economics.md 8; Künsch, Annals of Statistics 17 (1989), for the moving-block bootstrap.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import accumulate
from operator import add
from random import Random

RESAMPLES = 1000
BLOCK_DAYS = 7
SEED = 1989
# Below two blocks there is one way to put a resample together, or hardly more: an interval would be a point.
FEWEST_BLOCKS = 2
_FEW_BLOCKS = 8


@dataclass(frozen=True)
class Draws:
    """Which days each resample is made of.

    picks: for each resample, indexes into the sums of blocks: first the whole blocks by their first day, after them the
    shorter blocks that fill up a resample whose days are no multiple of a block.
    """

    days: int
    block_days: int
    last_days: int
    picks: tuple[tuple[int, ...], ...]

    def sums(self, values: Sequence[int]) -> list[int]:
        """The sum over the days of each resample of a figure that each day has. Exact. O(days + resamples x blocks)."""
        if len(values) != self.days:
            raise ValueError(f"There are {len(values)} values for {self.days} days: pass one for each day.")
        running = list(accumulate(values, initial=0))
        of_block = [
            after - before for length in self._lengths for before, after in zip(running, running[length:], strict=False)
        ]
        value_of = of_block.__getitem__
        if len(self._blocks) > _FEW_BLOCKS:
            return [sum(map(value_of, picks)) for picks in self.picks]
        total: Iterable[int] = map(value_of, self._blocks[0])
        for block in self._blocks[1:]:
            total = map(add, total, map(value_of, block))
        return list(total)

    def largest(self, values: Sequence[Fraction] | Sequence[int]) -> list[Fraction | int]:
        """The largest value among the days of each resample."""
        if len(values) != self.days:
            raise ValueError(f"There are {len(values)} values for {self.days} days: pass one for each day.")
        of_block = [
            max(values[start : start + length]) for length in self._lengths for start in range(self.days - length + 1)
        ]
        return [max(of_block[pick] for pick in picks) for picks in self.picks]

    def only(self, resamples: Sequence[int]) -> "Draws":
        """Some of the resamples, in the order given."""
        return replace(self, picks=tuple(self.picks[resample] for resample in resamples))

    def days_of(self, resample: int) -> list[int]:
        """The days, by their index, that a resample is made of, in its order."""
        whole = self.days - self.block_days + 1
        found: list[int] = []
        for pick in self.picks[resample]:
            start, length = (pick, self.block_days) if pick < whole else (pick - whole, self.last_days)
            found.extend(range(start, start + length))
        return found

    @cached_property
    def _blocks(self) -> tuple[tuple[int, ...], ...]:
        """The picks of all resamples, block by block: a few long sums are quicker than many short ones."""
        return tuple(zip(*self.picks, strict=True))

    @property
    def _lengths(self) -> tuple[int, ...]:
        return (self.block_days,) if self.last_days == self.block_days else (self.block_days, self.last_days)


@lru_cache(maxsize=64)
def block_draws(
    *,
    days: int,
    drawn_days: int | None = None,
    resamples: int = RESAMPLES,
    block_days: int = BLOCK_DAYS,
    seed: int = SEED,
) -> Draws:
    """Resamples of `days` days. `drawn_days`: how many days a resample has, where not as many as there are.

    Raises ValueError below two blocks of days: economics.md 8 asks for 7-day blocks, so for 14 days.
    """
    if days < FEWEST_BLOCKS * block_days:
        raise ValueError(
            f"There are {days} days: pass at least {FEWEST_BLOCKS * block_days}, two blocks of {block_days}."
        )
    length = days if drawn_days is None else drawn_days
    blocks = math.ceil(length / block_days)
    last_days = length - (blocks - 1) * block_days
    whole = days - block_days + 1
    first_of_last = 0 if last_days == block_days else whole
    random = Random(seed).random
    picks = tuple(
        (
            *(int(random() * whole) for _ in range(blocks - 1)),
            first_of_last + int(random() * (days - last_days + 1)),
        )
        for _ in range(resamples)
    )
    return Draws(days=days, block_days=block_days, last_days=last_days, picks=picks)
