"""What a bill says of metered usage, beside what the usage comes to at a price: which of five things a difference is.

A line is one thing that is bought (a model's token class, as it is bought); of each day it has what was metered, what
that comes to (`rated`), and a range in which the unrounded bill lies. What a day's bill is of its rating is a factor.
  discount, surcharge   one factor, below or above 1, holds for the line: nobody is wrong, or everybody always
  drift                 from some day on another factor holds, or it goes up or down day after day
  duplicate             above the price, a whole multiple (2 to 4) of what the line's factor says: rated more than once
  unmetered             billed, and nothing was metered        unbilled   metered, and not on the bill
  differs               none of these
The factor of a line is the one that most of its days allow; of two that as many allow, the one nearer to 1.

Over is what a day is billed above its price. Only what was rated more than once is held against a lower factor, where
that is the factor of more than half of the days: a discount that nobody agreed may end, and its end is no claim.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

AGREES, DISCOUNT, SURCHARGE, DRIFT, DUPLICATE = "agrees", "discount", "surcharge", "drift", "duplicate"
UNMETERED, UNBILLED, UNPRICED, DIFFERS = "unmetered", "unbilled", "unpriced", "differs"
# Fewer days show no rule: what they are off by is a difference and no more.
MIN_DAYS = 3
MOST_TIMES = 4


@dataclass(frozen=True)
class RatedDay:
    """One day of a line. Amounts in the bill's currency; `tokens` None or 0: nothing was metered; `rated` None: there
    is no price; `billed` None: no line. `at_least`, `at_most`: where the bill lies before it was rounded.
    """

    day: date
    tokens: int | None
    rated: Fraction | None
    billed: Fraction | None
    at_least: Fraction
    at_most: Fraction

    @property
    def is_compared(self) -> bool:
        return bool(self.tokens) and self.billed is not None and self.rated is not None and self.rated > 0

    @property
    def factors(self) -> tuple[Fraction, Fraction]:
        """What the bill can be of the rating."""
        assert self.rated
        return self.at_least / self.rated, self.at_most / self.rated


@dataclass(frozen=True)
class Told:
    """What a day is, the factor that it was held against, and what it was billed above what that says, at least."""

    day: RatedDay
    kind: str
    factor: Fraction | None = None
    times: int = 1
    over: Fraction = Fraction(0)


def told(days: Iterable[RatedDay]) -> list[Told]:
    """Each day of a line in order, and what it is."""
    ordered = sorted(days, key=lambda one: one.day)
    compared = [one for one in ordered if one.is_compared]
    base = _common(compared)
    if base is None or (len(compared) < MIN_DAYS and not _holds(base, compared[0])):
        base = Fraction(1)
    # Of too few days no factor but the price itself is a rule.
    if len([one for one in compared if _holds(base, one)]) < MIN_DAYS:
        base = Fraction(1)
    least, most = _range(compared, base)
    kinds = _kinds(compared, base, least, most)
    # A bill that is rounded allows more than one factor: a claim is held against the highest of them.
    is_rule = 2 * sum(_holds(base, one) for one in compared) > len(compared)
    discounted = min(most, Fraction(1)) if base < 1 and is_rule else Fraction(1)
    found = []
    for one in ordered:
        kind, factor, times = kinds.get(one.day, (_without(one), None, 1))
        over = Fraction(0)
        if one.is_compared and kind in (SURCHARGE, DRIFT, DUPLICATE, DIFFERS):
            rated = one.rated or Fraction(0)
            over = max(Fraction(0), one.at_least - (discounted if kind == DUPLICATE else 1) * rated)
        found.append(Told(one, kind, factor, times, over))
    return found


def _without(one: RatedDay) -> str:
    """What a day is that has nothing to compare."""
    if one.billed is not None and one.billed and not one.tokens:
        return UNMETERED
    if one.tokens and one.billed is None:
        return UNBILLED
    if one.tokens and one.rated is None:
        return UNPRICED
    return AGREES


def _range(compared: Sequence[RatedDay], base: Fraction) -> tuple[Fraction, Fraction]:
    """The factors that all the days allow which allow this one."""
    held = [one.factors for one in compared if _holds(base, one)] or [(base, base)]
    return max(low for low, _ in held), min(high for _, high in held)


def _kinds(
    compared: Sequence[RatedDay], base: Fraction, least: Fraction, most: Fraction
) -> Mapping[date, tuple[str, Fraction | None, int]]:
    kinds: dict[date, tuple[str, Fraction | None, int]] = {}
    rest = []
    for one in compared:
        low, high = one.factors
        many = range(2, MOST_TIMES + 1)
        times = next((times for times in many if low <= most * times and least * times <= high), 1)
        if _holds(base, one):
            kind = AGREES if _holds(Fraction(1), one) else DISCOUNT if base < 1 else SURCHARGE
            kinds[one.day] = (kind, base, 1)
        elif times > 1 and low > 1:
            kinds[one.day] = (DUPLICATE, base, times)
        else:
            rest.append(one)
    # Repeated at the same multiple to the end, or from the beginning, it is no accident of a day: the price moved.
    repeated = {day for day, (kind, _, _) in kinds.items() if kind == DUPLICATE}
    for run in _ends(compared, lambda one: one.day in repeated):
        if len(run) >= MIN_DAYS and len({kinds[one.day][2] for one in run}) == 1:
            kinds |= {one.day: (DRIFT, base * kinds[one.day][2], 1) for one in run}
    left = {one.day for one in rest}
    for run in _runs(compared, lambda one: one.day in left):
        common = _common(run)
        if len(run) >= MIN_DAYS and common is not None and all(_holds(common, one) for one in run):
            kinds |= {one.day: (DRIFT, common, 1) for one in run}
        elif len(run) >= MIN_DAYS and _is_monotone(run):
            kinds |= {one.day: (DRIFT, None, 1) for one in run}
        else:
            kinds |= {one.day: (DIFFERS, None, 1) for one in run}
    return kinds


def _holds(factor: Fraction, one: RatedDay) -> bool:
    low, high = one.factors
    return low <= factor <= high


def _common(days: Sequence[RatedDay]) -> Fraction | None:
    """The factor that most of the days allow, of several the one nearest to 1; None without days."""
    if not days:
        return None
    candidates = {Fraction(1)}
    for one in days:
        candidates.update(one.factors)
    ends = Counter({factor: sum(_holds(factor, one) for one in days) for factor in candidates})
    most = max(ends.values())
    return min(
        (factor for factor, count in ends.items() if count == most), key=lambda factor: (abs(factor - 1), factor)
    )


def _runs(days: Sequence[RatedDay], chosen: Callable[[RatedDay], bool]) -> list[list[RatedDay]]:
    """Days in a row, as the line has them, that are chosen."""
    runs: list[list[RatedDay]] = [[]]
    for one in days:
        if chosen(one):
            runs[-1].append(one)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _ends(days: Sequence[RatedDay], chosen: Callable[[RatedDay], bool]) -> list[list[RatedDay]]:
    """Of these runs the ones that begin with the first day, or end with the last."""
    return [run for run in _runs(days, chosen) if run[0] is days[0] or run[-1] is days[-1]]


def _is_monotone(run: Sequence[RatedDay]) -> bool:
    """Whether what the bill is of the rating goes up every day, or down every day."""
    lows, highs = zip(*(one.factors for one in run), strict=True)
    pairs = list(zip(range(len(run) - 1), range(1, len(run)), strict=True))
    rises = all(highs[first] < lows[second] for first, second in pairs)
    return rises or all(lows[first] > highs[second] for first, second in pairs)
