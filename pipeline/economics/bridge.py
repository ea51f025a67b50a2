"""What changed between two months, and why: effects that sum to the change exactly.

Source: price, volume and mix variances of cost accounting, one after the other (the first Laspeyres, the last Paasche).
Each effect replaces one factor of the cost by the later month's, those named before it being the later month's
already; so they telescope, no rest is left, and an effect whose factor did not move is zero. The order is

- API, for each group of lines that are counted in one unit (a workload on one account):
  volume (what it used in all), mix (which of its lines: model, token class, tier), price (in the bill's own currency),
  fx (the later rates on the later amounts);
- GPUs of a deployment, `cost = (tokens x serving hours a token x watched hours a serving hour + unobserved hours) x
  cost an hour`: volume (tokens), gpu_time (serving hours a token: batching, and which classes they are), utilization
  (paid hours for each that served), unobserved, price, fx; without a token count in both months: hours, price, fx.

A line of one month alone is new or ended. A line of a bill that is for no quantity (tax, credits, storage) is `other`.
What cannot be compared is unexplained, with its reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.economics.exact import Exact, exact_fraction, not_negative

VOLUME, MIX, GPU_TIME, UTILIZATION = "volume", "mix", "gpu_time", "utilization"
UNOBSERVED, HOURS = "unobserved", "hours"
PRICE, FX, NEW, ENDED, OTHER, UNEXPLAINED = "price", "fx", "new", "ended", "other", "unexplained"
EFFECTS = (VOLUME, MIX, GPU_TIME, UTILIZATION, UNOBSERVED, HOURS, PRICE, FX, NEW, ENDED, OTHER, UNEXPLAINED)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What a line cost in one currency: its own, and at each day's rate in the reporting currency."""

    currency: str
    own_cost: Exact
    cost: Exact


@dataclass(frozen=True, kw_only=True)
class Bought:
    """One month of one API line. quantity: in the group's unit; None and 0 are no count.

    loose_cost: what of the line is billed without a count, in the reporting currency.
    """

    amounts: Sequence[Amount] = ()
    quantity: Exact | None = None
    loose_cost: Exact = 0


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a group in both months; None where there is none. unknown: why its costs cannot be compared."""

    name: str
    before: Bought | None
    after: Bought | None
    unknown: str | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Lines whose quantities add up: one unit, one purpose."""

    name: str
    lines: Sequence[Line]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One month of a deployment's GPUs, in GPU-hours. watched + unobserved hours are what was paid for.

    serving_hours: of the watched ones. tokens: None where a day that was paid for has no count.
    """

    amounts: Sequence[Amount]
    watched_hours: Exact
    unobserved_hours: Exact
    serving_hours: Exact
    tokens: Exact | None


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """GPUs in both months; None where there are none. unknown: why their costs cannot be compared."""

    name: str
    before: Run | None
    after: Run | None
    unknown: str | None = None


@dataclass(frozen=True, kw_only=True)
class OtherLine:
    """A line of a bill that is for no quantity. unknown: why its costs cannot be compared."""

    name: str
    before_cost: Exact
    after_cost: Exact
    unknown: str | None = None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one cause did to the cost of one line. `reason` says why an unexplained one is."""

    group: str
    line: str
    effect: str
    cost: Fraction
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """Two sums, and effects that lead from one to the other without a rest. Nothing of zero is listed."""

    before_cost: Fraction
    after_cost: Fraction
    effects: Sequence[Effect]

    def of(self, effect: str) -> Fraction:
        return sum((one.cost for one in self.effects if one.effect == effect), Fraction(0))


def bridge(
    *, groups: Iterable[Group] = (), deployments: Iterable[Deployment] = (), others: Iterable[OtherLine] = ()
) -> Bridge:
    """Costs of two months in one currency, and the effects between them.

    Raises ValueError for a float, or for a quantity below zero.
    """
    groups, deployments, others = tuple(groups), tuple(deployments), tuple(others)
    found = [effect for group in groups for effect in _of_group(group)]
    found += [effect for deployment in deployments for effect in _of_deployment(deployment)]
    found += [_of_other(line) for line in others]
    bought = [(line.before, line.after) for group in groups for line in group.lines]
    run = [(one.before, one.after) for one in deployments]
    return Bridge(
        before_cost=sum((_whole(one[0]) for one in bought), Fraction(0))
        + sum((_cost(one[0]) for one in run), Fraction(0))
        + sum((exact_fraction(one.before_cost, "before_cost") for one in others), Fraction(0)),
        after_cost=sum((_whole(one[1]) for one in bought), Fraction(0))
        + sum((_cost(one[1]) for one in run), Fraction(0))
        + sum((exact_fraction(one.after_cost, "after_cost") for one in others), Fraction(0)),
        effects=tuple(effect for effect in found if effect.cost),
    )


def rounded_to_sum(parts: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers that sum to `total`: each part rounded down, and one more for those that lost most.

    For parts that sum to about `total`. A part of zero stays zero as long as another is not.
    """
    whole = [part.numerator // part.denominator for part in parts]
    by_loss = sorted(
        (place for place, part in enumerate(parts) if part), key=lambda place: (whole[place] - parts[place], place)
    ) or list(range(len(parts)))
    lacking = total - sum(whole)
    step = 1 if lacking > 0 else -1
    for turn in range(abs(lacking) if by_loss else 0):
        place = by_loss[turn % len(by_loss)] if step > 0 else by_loss[-1 - turn % len(by_loss)]
        whole[place] += step
    return whole


def _of_group(group: Group) -> list[Effect]:
    found: list[Effect] = []
    compared: list[tuple[str, Bought, Bought]] = []
    for line in group.lines:
        before, after = line.before or Bought(), line.after or Bought()
        found.append(
            Effect(
                group=group.name,
                line=line.name,
                effect=UNEXPLAINED,
                cost=exact_fraction(after.loose_cost, "loose_cost") - exact_fraction(before.loose_cost, "loose_cost"),
                reason=line.unknown or "billed without a count",
            )
        )
        old, new = _quantity(before), _quantity(after)
        reason = line.unknown or _not_comparable(before, after)
        if reason is None and old and new:
            compared.append((line.name, before, after))
            continue
        effect = UNEXPLAINED if reason else NEW if new else ENDED
        found.append(
            Effect(
                group=group.name,
                line=line.name,
                effect=effect,
                cost=_cost(after) - _cost(before),
                reason=reason or "",
            )
        )
    return found + _of_compared(group.name, compared)


def _not_comparable(before: Bought, after: Bought) -> str | None:
    """Why a line's counted parts cannot be compared; None where they can, or one of them is not there."""
    old, new = _quantity(before), _quantity(after)
    if (not old and _cost(before)) or (not new and _cost(after)):
        return "billed for a quantity of zero"
    if (not old and before.loose_cost) or (not new and after.loose_cost):
        return "counted in one of the months only"
    return None


def _of_compared(group: str, lines: Sequence[tuple[str, Bought, Bought]]) -> list[Effect]:
    """Volume, mix, price and fx of lines that both months have."""
    if not lines:
        return []
    old_quantity = sum((_quantity(before) for _, before, _ in lines), Fraction(0))
    new_quantity = sum((_quantity(after) for _, _, after in lines), Fraction(0))
    mean_price = sum((_cost(before) for _, before, _ in lines), Fraction(0)) / old_quantity
    at_old_mix = new_quantity * mean_price
    at_old_prices = [_quantity(after) * _cost(before) / _quantity(before) for _, before, after in lines]
    found = [
        Effect(group=group, line="", effect=VOLUME, cost=at_old_mix - old_quantity * mean_price),
        Effect(group=group, line="", effect=MIX, cost=sum(at_old_prices, Fraction(0)) - at_old_mix),
    ]
    for (name, before, after), at_old_price in zip(lines, at_old_prices, strict=True):
        found += _price_and_fx(group, name, before.amounts, after.amounts, at_old_price=at_old_price)
    return found


def _price_and_fx(
    group: str, line: str, before: Sequence[Amount], after: Sequence[Amount], *, at_old_price: Fraction
) -> list[Effect]:
    """From the later quantity at the earlier price to its cost: in its own currency first, then by the rates."""
    old_rates = _rates(before)
    new_cost = sum((exact_fraction(one.cost, "cost") for one in after), Fraction(0))
    at_old_rates = sum((_at(one, old_rates) for one in after), Fraction(0))
    return [
        Effect(group=group, line=line, effect=PRICE, cost=at_old_rates - at_old_price),
        Effect(group=group, line=line, effect=FX, cost=new_cost - at_old_rates),
    ]


def _rates(amounts: Sequence[Amount]) -> Mapping[str, Fraction]:
    """Mean rate of each currency, over what was paid in it."""
    own: dict[str, Fraction] = {}
    cost: dict[str, Fraction] = {}
    for one in amounts:
        own[one.currency] = own.get(one.currency, Fraction(0)) + exact_fraction(one.own_cost, "own_cost")
        cost[one.currency] = cost.get(one.currency, Fraction(0)) + exact_fraction(one.cost, "cost")
    return {currency: cost[currency] / amount for currency, amount in own.items() if amount}


def _at(amount: Amount, rates: Mapping[str, Fraction]) -> Fraction:
    """At a rate of the month before; at its own where that month paid nothing in this currency."""
    if amount.currency not in rates:
        return exact_fraction(amount.cost, "cost")
    return exact_fraction(amount.own_cost, "own_cost") * rates[amount.currency]


def _of_deployment(deployment: Deployment) -> list[Effect]:
    before, after, name = deployment.before, deployment.after, deployment.name
    if deployment.unknown is not None or before is None or after is None:
        effect = UNEXPLAINED if deployment.unknown is not None else NEW if before is None else ENDED
        cost = _cost(after) - _cost(before)
        return [Effect(group=name, line="", effect=effect, cost=cost, reason=deployment.unknown or "")]
    old_hours, new_hours = _paid(before), _paid(after)
    if not old_hours or not new_hours:
        cost = _cost(after) - _cost(before)
        reason = "GPUs are billed without their hours"
        return [Effect(group=name, line="", effect=UNEXPLAINED, cost=cost, reason=reason)]
    rate = _cost(before) / old_hours
    found = [
        Effect(group=name, line="", effect=effect, cost=hours * rate) for effect, hours in _more_hours(before, after)
    ]
    return found + _price_and_fx(name, "", before.amounts, after.amounts, at_old_price=new_hours * rate)


def _more_hours(before: Run, after: Run) -> list[tuple[str, Fraction]]:
    """Why more hours were paid for, in hours: the parts sum to all of the difference."""
    if not (before.tokens and after.tokens and before.serving_hours and after.serving_hours):
        return [(HOURS, _paid(after) - _paid(before))]
    old_tokens, new_tokens = not_negative(before.tokens, "tokens"), not_negative(after.tokens, "tokens")
    old_serving = not_negative(before.serving_hours, "serving_hours")
    new_serving = not_negative(after.serving_hours, "serving_hours")
    old_watched = not_negative(before.watched_hours, "watched_hours")
    new_watched = not_negative(after.watched_hours, "watched_hours")
    paid_for_one = old_watched / old_serving
    at_old_work = new_tokens * old_serving / old_tokens * paid_for_one
    at_old_use = new_serving * paid_for_one
    return [
        (VOLUME, at_old_work - old_watched),
        (GPU_TIME, at_old_use - at_old_work),
        (UTILIZATION, new_watched - at_old_use),
        (
            UNOBSERVED,
            not_negative(after.unobserved_hours, "unobserved_hours")
            - not_negative(before.unobserved_hours, "unobserved_hours"),
        ),
    ]


def _of_other(line: OtherLine) -> Effect:
    cost = exact_fraction(line.after_cost, "after_cost") - exact_fraction(line.before_cost, "before_cost")
    effect = OTHER if line.unknown is None else UNEXPLAINED
    return Effect(group=line.name, line="", effect=effect, cost=cost, reason=line.unknown or "")


def _cost(side: Bought | Run | None) -> Fraction:
    """What is counted of it, in the reporting currency."""
    return sum((exact_fraction(one.cost, "cost") for one in side.amounts), Fraction(0)) if side else Fraction(0)


def _whole(side: Bought | None) -> Fraction:
    return _cost(side) + exact_fraction(side.loose_cost, "loose_cost") if side else Fraction(0)


def _quantity(side: Bought) -> Fraction:
    return Fraction(0) if side.quantity is None else not_negative(side.quantity, "quantity")


def _paid(run: Run) -> Fraction:
    return not_negative(run.watched_hours, "watched_hours") + not_negative(run.unobserved_hours, "unobserved_hours")
