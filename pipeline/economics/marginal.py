"""The marginal-replica rule: one more is taken while it displaces more API cost than its rent (economics.md 4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from pipeline.economics.exact import Exact, money_text, not_negative, to_decimal


@dataclass(frozen=True, kw_only=True)
class MarginalReplica:
    """Why no further replica is taken.

    kind `rent`: one more displaces no more API cost than its rent. kind `fixed_cost`: nothing is self-hosted
    because even the best count, `replicas`, does not earn its rent and the fixed cost together. kind `maximum`:
    one more would pay and the declared maximum forbids it. `displaced_api_cost` and `added_cost` are those of the
    step from the best alternative to `replicas`.
    """

    kind: Literal["rent", "fixed_cost", "maximum"]
    replicas: int
    displaced_api_cost: Decimal
    added_cost: Decimal
    explanation: str


@dataclass(frozen=True)
class SelfHostCosts:
    """What replicas cost over the horizon: each its rent, and with at least one the fixed cost."""

    rent: Fraction
    fixed: Fraction

    @classmethod
    def of(cls, *, replica_cost: Exact, fixed_cost: Exact) -> "SelfHostCosts":
        """Money over the horizon. Raises ValueError where one of them is negative."""
        return cls(not_negative(replica_cost, "replica_cost"), not_negative(fixed_cost, "fixed_cost"))

    def total(self, replicas: int) -> Fraction:
        """Of so many replicas."""
        return replicas * self.rent + (self.fixed if replicas > 0 else 0)


def best_count(totals: Sequence[Fraction]) -> int:
    """The count with the lowest total of 0..N; a tie takes fewer replicas."""
    return min(range(len(totals)), key=lambda count: (totals[count], count))


def why_no_more(
    api_cost: Callable[[int], Fraction], costs: SelfHostCosts, totals: Sequence[Fraction], best: int
) -> MarginalReplica:
    """Why the best count is not one higher. `api_cost`: what is left to the API at a count; it must be convex in it.

    `totals`: what each count of 0..N costs in all.
    """
    displaced = api_cost(best) - api_cost(best + 1)
    added = costs.total(best + 1) - costs.total(best)
    if displaced <= costs.rent:
        return _not_worth_its_rent(displaced, costs.rent, best + 1)
    if best + 1 == len(totals) and displaced > added:
        return _forbidden_by_the_maximum(displaced, added, best)
    return _not_worth_the_fixed_cost(api_cost, costs, totals)


def _not_worth_its_rent(displaced: Fraction, rent: Fraction, replicas: int) -> MarginalReplica:
    return MarginalReplica(
        kind="rent",
        replicas=replicas,
        displaced_api_cost=to_decimal(displaced),
        added_cost=to_decimal(rent),
        explanation=f"Replica {replicas} would displace {money_text(displaced)} of API cost "
        f"for {money_text(rent)} of rent.",
    )


def _forbidden_by_the_maximum(displaced: Fraction, added: Fraction, maximum: int) -> MarginalReplica:
    return MarginalReplica(
        kind="maximum",
        replicas=maximum + 1,
        displaced_api_cost=to_decimal(displaced),
        added_cost=to_decimal(added),
        explanation=f"Replica {maximum + 1} would displace {money_text(displaced)} of API cost "
        f"for {money_text(added)}, but the declared maximum is {maximum}.",
    )


def _not_worth_the_fixed_cost(
    api_cost: Callable[[int], Fraction], costs: SelfHostCosts, totals: Sequence[Fraction]
) -> MarginalReplica:
    """Without the fixed cost C is convex, so it alone can stop before a replica that earns its rent: at none."""
    count = min(range(1, len(totals)), key=lambda replicas: (totals[replicas], replicas), default=1)
    displaced, added = api_cost(0) - api_cost(count), costs.total(count)
    return MarginalReplica(
        kind="fixed_cost",
        replicas=count,
        displaced_api_cost=to_decimal(displaced),
        added_cost=to_decimal(added),
        explanation=f"The best count, {count}, would displace {money_text(displaced)} of API cost "
        f"for {money_text(count * costs.rent)} of rent and {money_text(costs.fixed)} of fixed cost.",
    )
