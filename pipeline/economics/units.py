"""What a million tokens really cost: full, active and marginal, never one number alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pipeline.economics.exact import Exact, exact_fraction, not_negative, to_places, whole_count

TOKENS_PER_MTOK = 1_000_000
UNIT_COST_PLACES = 18


@dataclass(frozen=True, kw_only=True)
class UnitCosts:
    """Money per 1M tokens actually served, each None when it is undefined or its cost is unknown.

    full: the whole bill; what the API price is compared with.
    active: the useful work alone; what ranks models.
    marginal: what one more token costs while there is free capacity; what routes traffic.
    """

    full_per_mtok: Decimal | None
    active_per_mtok: Decimal | None
    marginal_per_mtok: Decimal | None


def cost_per_mtok(*, cost: Exact | None, tokens: int) -> Decimal | None:
    """Money per 1M tokens, rounded once to 18 places, half to even.

    None when no tokens were served (undefined, not 0) or when the cost is unknown (None). A negative cost is a
    credit and keeps its sign. Raises ValueError for negative tokens.
    Source: economics.md 11, 1M = 10^6 and unit cost with zero tokens is undefined.
    """
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        raise ValueError(f"tokens is {tokens!r}: pass a whole number of served tokens, zero or more.")
    if cost is None or tokens == 0:
        return None
    return to_places(exact_fraction(cost, "cost") * TOKENS_PER_MTOK / tokens, UNIT_COST_PLACES)


def cost_of_tokens(*, tokens_by_class: Mapping[str, int], price_per_mtok_by_class: Mapping[str, Exact]) -> Fraction:
    """Money for these tokens, unrounded: the sum over classes of tokens x price per 1M / 10^6.

    Classes are disjoint. A class without tokens needs no price. Raises ValueError for one that has tokens and none: it
    is unpriced, not free; for negative tokens or a negative price. Source: economics.md 1.
    """
    counts = {name: whole_count(count, f"tokens of {name}") for name, count in tokens_by_class.items()}
    unpriced = sorted(name for name, count in counts.items() if count and name not in price_per_mtok_by_class)
    if unpriced:
        raise ValueError(f"No price for {', '.join(unpriced)}: unpriced is not free. Price each class that is used.")
    return sum(
        (
            count * not_negative(price_per_mtok_by_class[name], f"price of {name}") / TOKENS_PER_MTOK
            for name, count in counts.items()
            if count
        ),
        Fraction(0),
    )


def unit_costs(
    *,
    bill_cost: Exact | None,
    serving_cost: Exact | None,
    variable_cost: Exact | None,
    served_tokens: int,
) -> UnitCosts:
    """The three unit costs of one deployment over one period.

    `bill_cost` is everything paid for it; `serving_cost` the part of the bill that fell on GPU time doing
    useful work; `variable_cost` the part that grows with each token (measured energy; 0 for GPUs rented by the
    hour, which is a fact to state, not a default). Money in one currency; None says unknown and stays unknown.
    Source: economics.md 0, finding 3.
    """
    return UnitCosts(
        full_per_mtok=cost_per_mtok(cost=bill_cost, tokens=served_tokens),
        active_per_mtok=cost_per_mtok(cost=serving_cost, tokens=served_tokens),
        marginal_per_mtok=cost_per_mtok(cost=variable_cost, tokens=served_tokens),
    )
