"""What a token of each class takes of a GPU, from a team's own saturated hours: the default split of a joint bill.

Where requests always waited, a GPU did nothing but work: `busy = a * prefill + b * cached + c * decode`, with a, b,
c of 0 or more, by least squares through the origin. Sums over hours are all that it takes, so days add up. Source:
economics.md 5; non-negative least squares: Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23; the
condition number of scaled columns and its border: Belsley, Kuh and Welsch, "Regression Diagnostics", 1980, chapter 3.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Literal

from pipeline.economics.exact import Exact, not_negative, to_places, whole_count

# In the order of a request. What an engine counts; others have no share of a GPU that anything measures.
CLASSES = ("input_uncached", "input_cache_read", "output")
# A token of these takes time: a fit that gives it none has not told them apart. A cached one may take none to speak of.
_NEVER_FREE = ("input_uncached", "output")
FEWEST_HOURS = 24
MOST_CONDITION = 30.0
# The dearest class has so many units a token: a day of 4 x 10^11 tokens stays below 2^62, the limit of an exact split.
_MOST_UNITS = 10**7

Method = Literal["fitted_gpu_seconds", "api_prices", "fixed_ratio", "token_count"]


@dataclass(frozen=True, kw_only=True)
class SaturatedHour:
    """One hour of one deployment in which requests always waited. Tokens of a class that is not in it are 0."""

    busy_gpu_milliseconds: int
    tokens_by_class: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class HourSums:
    """Sums over hours, whole numbers: of busy^2, of busy x tokens by class, of tokens x tokens by pair of classes."""

    hours: int
    busy_squared: int
    busy_tokens: tuple[int, ...]
    tokens_tokens: tuple[tuple[int, ...], ...]

    def __add__(self, other: "HourSums") -> "HourSums":
        return HourSums(
            hours=self.hours + other.hours,
            busy_squared=self.busy_squared + other.busy_squared,
            busy_tokens=tuple(a + b for a, b in zip(self.busy_tokens, other.busy_tokens, strict=True)),
            tokens_tokens=tuple(
                tuple(a + b for a, b in zip(mine, theirs, strict=True))
                for mine, theirs in zip(self.tokens_tokens, other.tokens_tokens, strict=True)
            ),
        )


def hour_sums(hours: Iterable[SaturatedHour]) -> HourSums:
    """The sums of these hours, zeros where there is none. Raises ValueError for a negative count."""
    count = busy_squared = 0
    busy_tokens, products = [0] * len(CLASSES), [[0] * len(CLASSES) for _ in CLASSES]
    for hour in hours:
        busy = whole_count(hour.busy_gpu_milliseconds, "busy_gpu_milliseconds")
        tokens = [whole_count(hour.tokens_by_class.get(name, 0), f"tokens of {name}") for name in CLASSES]
        count, busy_squared = count + 1, busy_squared + busy * busy
        for row, mine in enumerate(tokens):
            busy_tokens[row] += busy * mine
            for column, theirs in enumerate(tokens):
                products[row][column] += mine * theirs
    return HourSums(
        hours=count,
        busy_squared=busy_squared,
        busy_tokens=tuple(busy_tokens),
        tokens_tokens=tuple(map(tuple, products)),
    )


@dataclass(frozen=True, kw_only=True)
class Fit:
    """GPU-seconds that one token of each class takes, and how far to believe it.

    r_squared: of a fit through the origin, 1 - residual / sum of busy^2; a constant has no part in it.
    condition: of the columns, each scaled to length 1; None where a column is a multiple of others.
    problem: why it is not to be used; None where it is.
    """

    gpu_seconds_per_token: Mapping[str, Fraction]
    hours: int
    r_squared: Fraction | None
    condition: float | None
    problem: str | None


def fit_gpu_seconds(sums: HourSums) -> Fit:
    """The non-negative least squares of these hours, exactly: of three unknowns each set that may be above 0 is tried.

    The least of all is the optimum, for at it the unknowns above 0 solve their own unrestricted problem. Classes
    without a token in any hour take no part. O(1).
    """
    seen = [index for index, _ in enumerate(CLASSES) if sums.tokens_tokens[index][index]]
    if sums.hours < FEWEST_HOURS or not seen:
        why = f"{sums.hours} saturated hours with tokens, and {FEWEST_HOURS} are the fewest that a fit is made of"
        return Fit(gpu_seconds_per_token={}, hours=sums.hours, r_squared=None, condition=None, problem=why)
    best = min(_solutions(sums, seen), key=lambda found: (_residual(sums, found), len(found)))
    taken = {CLASSES[index]: best.get(index, Fraction(0)) / 1000 for index in seen}
    r_squared = 1 - _residual(sums, best) / sums.busy_squared if sums.busy_squared else None
    condition = _condition(sums, seen)
    return Fit(
        gpu_seconds_per_token=taken,
        hours=sums.hours,
        r_squared=r_squared,
        condition=condition,
        problem=_problem(taken, condition),
    )


def _problem(taken: Mapping[str, Fraction], condition: float | None) -> str | None:
    if condition is None or condition > MOST_CONDITION:
        said = "no end" if condition is None else f"{condition:.1f}"
        return (
            f"the classes move together (condition number {said}, above {MOST_CONDITION:g}): their shares of the time "
            "cannot be told apart"
        )
    free = [name for name in _NEVER_FREE if name in taken and taken[name] == 0]
    return f"the fit gives {' and '.join(free)} no time at all" if free else None


def _solutions(sums: HourSums, seen: Sequence[int]) -> Iterator[dict[int, Fraction]]:
    """For each set of classes, the unrestricted solution in milliseconds a token, where it exists and none is below 0.

    Among them is the optimum: with nothing above 0 the answer is all zeros.
    """
    for size in range(len(seen) + 1):
        for chosen in combinations(seen, size):
            found = _solved(
                [[Fraction(sums.tokens_tokens[row][column]) for column in chosen] for row in chosen],
                [Fraction(sums.busy_tokens[row]) for row in chosen],
            )
            if found is not None and all(value >= 0 for value in found):
                yield dict(zip(chosen, found, strict=True))


def _solved(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """Gauss and Jordan; None where the matrix has no inverse."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for pivot in range(len(rows)):
        swap = next((row for row in range(pivot, len(rows)) if rows[row][pivot]), None)
        if swap is None:
            return None
        rows[pivot], rows[swap] = rows[swap], rows[pivot]
        rows[pivot] = [value / rows[pivot][pivot] for value in rows[pivot]]
        for row in range(len(rows)):
            if row != pivot and rows[row][pivot]:
                times = rows[row][pivot]
                rows[row] = [value - times * own for value, own in zip(rows[row], rows[pivot], strict=True)]
    return [row[-1] for row in rows]


def _residual(sums: HourSums, found: Mapping[int, Fraction]) -> Fraction:
    """Sum over hours of (busy - fitted)^2, from the sums alone."""
    crossed = sum((value * sums.busy_tokens[index] for index, value in found.items()), Fraction(0))
    squared = sum(
        (
            one * other * sums.tokens_tokens[row][column]
            for row, one in found.items()
            for column, other in found.items()
        ),
        Fraction(0),
    )
    return sums.busy_squared - 2 * crossed + squared


def _condition(sums: HourSums, seen: Sequence[int]) -> float | None:
    """Greatest over least singular value of the columns, each of length 1."""
    exact = [[Fraction(sums.tokens_tokens[row][column]) for column in seen] for row in seen]
    if _solved(exact, [Fraction(0)] * len(seen)) is None:
        return None
    scaled = [
        [_ratio(exact[row][column] ** 2, exact[row][row] * exact[column][column]) for column in range(len(seen))]
        for row in range(len(seen))
    ]
    values = _eigenvalues([[math.sqrt(value) for value in row] for row in scaled])
    # The squares of singular values; what rounds to nothing is collinear to every digit a float has.
    return math.sqrt(max(values) / min(values)) if min(values) > 1e-14 else None


def _ratio(numerator: Fraction, denominator: Fraction) -> float:
    return float(numerator / denominator)


def _eigenvalues(matrix: list[list[float]]) -> list[float]:
    """Of a symmetric matrix, by Jacobi's rotations: sums, products and square roots, so the same on any machine."""
    size, held = len(matrix), [row[:] for row in matrix]
    for _ in range(12):
        for p, q in combinations(range(size), 2):
            if held[p][q] == 0:
                continue
            theta = (held[q][q] - held[p][p]) / (2 * held[p][q])
            tangent = math.copysign(1, theta) / (abs(theta) + math.sqrt(theta * theta + 1))
            cosine = 1 / math.sqrt(tangent * tangent + 1)
            sine = tangent * cosine
            for k in range(size):
                held[k][p], held[k][q] = (
                    cosine * held[k][p] - sine * held[k][q],
                    sine * held[k][p] + cosine * held[k][q],
                )
            for k in range(size):
                held[p][k], held[q][k] = (
                    cosine * held[p][k] - sine * held[q][k],
                    sine * held[p][k] + cosine * held[q][k],
                )
    return [held[index][index] for index in range(size)]


def units_per_token(weights: Mapping[str, Exact]) -> dict[str, int] | None:
    """Weights a token (GPU-seconds, prices, a ratio) as whole units, the dearest 10^7: what an exact split takes.

    Rounded half to even, and at least 1 where the weight is above 0. None where all of them are 0. ValueError for a
    negative one.
    """
    exact = {name: not_negative(weight, f"weight of {name}") for name, weight in weights.items()}
    most = max(exact.values(), default=Fraction(0))
    if most == 0:
        return None
    return {
        name: max(1, int(to_places(weight / most * _MOST_UNITS, 0))) if weight else 0 for name, weight in exact.items()
    }
