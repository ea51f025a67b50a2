"""The screening curve: for how many hours a load must be there for owned capacity to carry it cheaper than the API.

A unit of capacity costs R / c over the horizon, and displaces p in every hour that uses it: it pays where the load is
exceeded for at least h* = R / (c p) hours. Continuous, where replicas come in whole steps (`hybrid` enumerates these).
Source: economics.md 4; in power systems: Stoft, "Power System Economics", 2002, chapter 2-2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.economics.exact import Exact, not_negative, positive


@dataclass(frozen=True, kw_only=True)
class Screening:
    """Where the load-duration curve is cut.

    duration: the hours' loads, greatest first: the load that is reached or exceeded for 1, 2, ... hours.
    hours_that_pay: h*, unrounded; None where the API costs nothing, and no hour pays.
    base_load: the load that is reached for at least h* hours; 0 where none is. A tie with the API builds it.
    """

    duration: tuple[Exact, ...]
    hours_that_pay: Fraction | None
    base_load: Exact


def screening(
    *, hourly_demand: Sequence[Exact], replica_cost: Exact, capacity_per_replica_hour: Exact, price_per_unit: Exact
) -> Screening:
    """The cut of these hours. Units as `optimal_hybrid` takes them. Raises ValueError for a negative number or no
    capacity.
    """
    for hour, demand in enumerate(hourly_demand):
        not_negative(demand, f"hourly_demand[{hour}]")
    duration = tuple(sorted(hourly_demand, reverse=True))
    rent = not_negative(replica_cost, "replica_cost")
    displaced = positive(capacity_per_replica_hour, "capacity_per_replica_hour") * not_negative(
        price_per_unit, "price_per_unit"
    )
    if displaced == 0:
        return Screening(duration=duration, hours_that_pay=None, base_load=0)
    hours = rent / displaced
    rank = max(1, math.ceil(hours))
    return Screening(
        duration=duration, hours_that_pay=hours, base_load=duration[rank - 1] if rank <= len(duration) else 0
    )
