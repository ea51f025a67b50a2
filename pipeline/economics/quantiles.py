"""Quantiles without interpolation, and the replica count they ask for."""

import math
from collections.abc import Sequence
from decimal import Decimal

from pipeline.economics.exact import Exact, exact_fraction, not_negative, positive, whole_count


def nearest_rank(values: Sequence[Exact], quantile: Exact) -> Exact:
    """The nearest-rank quantile: the ceil(quantile x count)-th smallest value, so always an observed one.

    `quantile` is in (0, 1]. Raises ValueError when there is no value or the quantile is outside.
    Source: economics.md 7 and 11, quantile nearest-rank `ceil(q n)`.
    """
    share = exact_fraction(quantile, "quantile")
    if not 0 < share <= 1:
        raise ValueError(f"quantile is {quantile}: pass a number above 0 and at most 1, such as 0.99.")
    if not values:
        raise ValueError("There are no values to take a quantile of: pass at least one observed value.")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def replicas_needed(
    *,
    hourly_work: Sequence[Exact],
    capacity_per_replica_hour: Exact,
    headroom_ratio: Exact,
    minimum_replicas: int = 1,
    spare_replicas: int = 0,
    quantile: Exact = Decimal("0.99"),
) -> int:
    """The replicas that carry the quantile hour with headroom left, plus the declared spare.

    `hourly_work` is one figure an hour in the unit of `capacity_per_replica_hour` (replica-seconds or tokens);
    `headroom_ratio` is the share of capacity kept free, in [0, 1). An unobserved hour is left out by the
    caller, never passed as 0. Raises ValueError for a number outside its range.
    Source: economics.md 7, `max(n_min, ceil(Q99(hourly work) / ((1 - headroom) c))) + spare`.
    """
    capacity = positive(capacity_per_replica_hour, "capacity_per_replica_hour")
    headroom = not_negative(headroom_ratio, "headroom_ratio")
    if headroom >= 1:
        raise ValueError(f"headroom_ratio is {headroom_ratio}: it leaves no capacity, pass a share below 1.")
    peak = not_negative(nearest_rank(hourly_work, quantile), "hourly work at the quantile")
    carrying = math.ceil(peak / ((1 - headroom) * capacity))
    return max(whole_count(minimum_replicas, "minimum_replicas"), carrying) + whole_count(
        spare_replicas, "spare_replicas"
    )
