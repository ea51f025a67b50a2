"""A tuned model's own costs on an API: hosting, which is due while anything of the traffic is there, whatever is used.

The API's line begins at H: A(v) = H + max(K, p v), and a count of replicas costs H too unless it serves every hour. So
replicas that leave a little to the API save nothing of it, and a step of the hybrid that was not worth its rent may be.
Training is spent once: it is no part of either line (economics.md 2, 3 and 4).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.economics.exact import Exact, not_negative, positive, whole_count
from pipeline.economics.hybrid import HybridAlternative
from pipeline.economics.marginal import best_count


@dataclass(frozen=True, kw_only=True)
class HostedPlan:
    """The best count where hosting is due beside the API's tokens. Money over the horizon.

    totals: of 0..N replicas, hosting in them where anything is left to the API.
    """

    replicas: int
    totals: tuple[Fraction, ...]

    @property
    def best_cost(self) -> Fraction:
        return self.totals[self.replicas]

    @property
    def api_only_cost(self) -> Fraction:
        return self.totals[0]


def hybrid_with_hosting(alternatives: Sequence[HybridAlternative], *, hosting: Exact) -> HostedPlan:
    """`alternatives`: 0..N of the hybrid without hosting, N serving every hour. A tie takes fewer replicas.

    Without a replica all is on the API, so that hosting is due though nothing was asked. Raises ValueError for a
    negative hosting or no alternative.
    """
    if not alternatives:
        raise ValueError("There is no alternative to compare: pass those of 0 replicas and more.")
    due = not_negative(hosting, "hosting")
    totals = tuple(
        Fraction(found.total_cost) + (due if not found.replicas or found.overflow_units else 0)
        for found in alternatives
    )
    return HostedPlan(replicas=best_count(totals), totals=totals)


def first_breakeven_with_hosting(
    *,
    price_per_token: Exact,
    capacity_tokens: Exact,
    replica_cost: Exact,
    fixed_cost: Exact,
    hosting: Exact,
    spare_replicas: int = 0,
    minimum_replicas: int = 1,
) -> Fraction | None:
    """The least volume at which all on own replicas costs no more than all on the API, hosting included; None: at none.

    On stair n: F + (n + s) R against H + p v for v <= n c. They meet at v = (F - H + (n + s) R) / p, which lies on the
    stair where n (p c - R) >= F - H + s R. With a margin p c - R above 0 the first such stair is n = ceil((F - H + s R)
    / margin), or the minimum; with one of 0 or below only a hosting that outweighs the rest crosses, on the lowest
    stair. Volume 0: own replicas cost less from the first token. Raises ValueError as `Staircase` does.
    """
    price, capacity = not_negative(price_per_token, "price_per_token"), positive(capacity_tokens, "capacity_tokens")
    rent = not_negative(replica_cost, "replica_cost")
    lowest = max(1, whole_count(minimum_replicas, "minimum_replicas"))
    overhead = (
        not_negative(fixed_cost, "fixed_cost")
        - not_negative(hosting, "hosting")
        + whole_count(spare_replicas, "spare_replicas") * rent
    )
    margin = price * capacity - rent
    stair = lowest
    if lowest * margin < overhead:
        if margin <= 0:
            return None
        stair = math.ceil(overhead / margin)
    ahead = overhead + stair * rent
    return Fraction(0) if ahead <= 0 else ahead / price
