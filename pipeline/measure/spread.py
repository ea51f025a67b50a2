"""How long a workload's requests are, one by one: drawn from its own rows, or from what its engines' histograms say.

A histogram says how many requests lie between two edges, and how long all of them were together. Draws keep both: each
bucket as often as it was counted, and within the buckets so that the mean is the counted one.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from pipeline.formats.histogram import Histogram


@dataclass(frozen=True)
class Drawing:
    """Lengths drawn from a histogram that counted any."""

    histogram: Histogram

    @cached_property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """The least and the greatest length of each bucket. The open one ends where its share of the tokens puts it."""
        edges, counts = self.histogram.edges, self.histogram.counts
        lowest = [min(1, edges[0]), *(edge + 1 for edge in edges)]
        closed = list(zip(lowest, edges, strict=False))
        highest = lowest[-1]
        if counts[-1]:
            inside = sum(count * (low + high) / 2 for count, (low, high) in zip(counts, closed, strict=False))
            highest = max(highest, math.ceil(2 * (self.histogram.tokens - inside) / counts[-1]) - lowest[-1])
        return (*closed, (lowest[-1], highest))

    @cached_property
    def place(self) -> float:
        """Where the mean of a bucket lies between its ends, the same for all: 0 the least, 1 the greatest length."""
        pairs = list(zip(self.histogram.counts, self.bounds, strict=True))
        least = sum(count * low for count, (low, _) in pairs)
        width = sum(count * (high - low) for count, (low, high) in pairs)
        return min(max((self.histogram.tokens - least) / width, 0.0), 1.0) if width else 0.0

    def drawn(self, chance: random.Random) -> float:
        """One request's length."""
        ends = list(accumulate(self.histogram.counts))
        number = chance.randrange(ends[-1])
        low, high = self.bounds[next(at for at, end in enumerate(ends) if number < end)]
        # The k-th power of a number at random in [0, 1) is 1 / (k + 1) on the mean.
        within = 0.0 if self.place == 0 else chance.random() ** (1 / self.place - 1)
        return low + (high - low) * within


@dataclass(frozen=True, kw_only=True)
class FromHistograms:
    """Prompts and answers each by their histogram. Whether long prompts have long answers it does not say."""

    prompt: Histogram
    output: Histogram

    @property
    def request_count(self) -> int:
        return self.prompt.request_count

    def ratios(self, chance: random.Random) -> tuple[float, float]:
        """One request's prompt and answer, each over their mean."""
        prompt, output = (one.drawn(chance) / one.histogram.mean for one in self._drawings)
        return prompt, output

    @cached_property
    def _drawings(self) -> tuple[Drawing, Drawing]:
        return Drawing(self.prompt), Drawing(self.output)


@dataclass(frozen=True, kw_only=True)
class FromRows:
    """(prompt, answer) tokens of requests that were made. One of them is drawn, with both of its lengths."""

    rows: Sequence[tuple[int, int]]

    @property
    def request_count(self) -> int:
        return len(self.rows)

    @cached_property
    def means(self) -> tuple[float, float]:
        count = len(self.rows)
        return sum(prompt for prompt, _ in self.rows) / count, sum(output for _, output in self.rows) / count

    def ratios(self, chance: random.Random) -> tuple[float, float]:
        prompt, output = chance.choice(self.rows)
        return prompt / self.means[0], output / self.means[1]


Spread = FromHistograms | FromRows
