"""How long the decision of one workload takes over a year of hours, and of a thousand workloads on one and all cores.

Demand is random with a weekly shape; nothing of it is a company's. Economics only: no table is read or written.
"""

from fractions import Fraction
from random import Random

from benchmarks.measure import took
from pipeline.decisions.side_by_side import side_by_side
from pipeline.economics.breakeven import Staircase, breakeven_volumes
from pipeline.economics.breakeven_interval import ClassDays, Terms, WorkloadDays, breakeven_interval
from pipeline.economics.hybrid import optimal_hybrid

_HOURS = 24
_CAPACITY = 1_000
_REPLICA_COST_PER_DAY = 60_000


def workload(seed: int, *, days: int, replicas: int) -> tuple[WorkloadDays, Terms]:
    """A workload whose busiest hours fill about so many replicas."""
    of = Random(seed)
    peak = _CAPACITY * replicas
    hours = [
        [of.randrange(peak // 4, peak) * (10 if day % 7 < 5 else 7) // 10 for _ in range(_HOURS)] for day in range(days)
    ]
    tokens = [sum(of_day) for of_day in hours]
    days_of = WorkloadDays(
        classes=(
            ClassDays(
                demand_tokens=tokens,
                api_tokens=tokens,
                billed_cost=[count * of.randrange(4, 6) for count in tokens],
                billed_tokens=tokens,
                price_per_token=Fraction(5),
            ),
        ),
        hourly_units=hours,
        gpu_cost=[_REPLICA_COST_PER_DAY] * days,
        gpu_milliseconds=[86_400_000] * days,
        own_tokens=[0] * days,
        everyone_tokens=[0] * days,
    )
    terms = Terms(
        capacity_units_per_replica_hour=Fraction(_CAPACITY),
        gpus_per_replica=1,
        fixed_cost=Fraction(_REPLICA_COST_PER_DAY),
        replicas=replicas // 2,
    )
    return days_of, terms


def decided(days: WorkloadDays, terms: Terms) -> tuple[float, int]:
    """The crossings, the best of 0 to all replicas, and 1,000 resamples: (break-even tokens a day, best replicas)."""
    hours = [units for of_day in days.hourly_units for units in of_day]
    price = Fraction(sum(map(sum, (of.billed_cost for of in days.classes))), sum(hours))
    rent = Fraction(sum(days.gpu_cost))
    breakeven_volumes(
        Staircase(
            price_per_token=price,
            capacity_tokens=terms.capacity_units_per_replica_hour * len(hours),
            replica_cost=rent,
            fixed_cost=terms.fixed_cost,
        )
    )
    optimal_hybrid(
        hourly_demand=hours,
        capacity_per_replica_hour=terms.capacity_units_per_replica_hour,
        replica_cost=rent,
        fixed_cost=terms.fixed_cost,
        price_per_unit=price,
        headroom_ratio=0,
    )
    point = breakeven_interval(days, terms).point
    return point.breakeven_tokens_per_day, point.best_replicas


def measured_workloads(*, count: int, days: int = 365, replicas: int = 200) -> dict[str, float]:
    """One workload of a year of hours, then so many of 28 days on one core and on all of them."""
    with took() as one:
        _, best = decided(*workload(0, days=days, replicas=replicas))
    every = [workload(seed, days=28, replicas=replicas) for seed in range(count)]
    with took() as tenth:
        side_by_side(decided, every[: count // 10], fewest=1, cores=1)
    with took() as on_one:
        alone = side_by_side(decided, every, fewest=1, cores=1)
    with took() as on_all:
        together = side_by_side(decided, every, fewest=1)
    assert alone == together, "The same workloads were decided otherwise in other processes."
    return {
        "days": days,
        "replicas": replicas,
        "resamples": 1_000,
        "best_replicas": best,
        "one_workload_of_a_year_cpu_seconds": one.cpu_seconds,
        "workloads": count,
        "workloads_on_one_core_seconds": on_one.wall_seconds,
        "workloads_on_all_cores_seconds": on_all.wall_seconds,
        "workloads_over_a_tenth_of_them": on_one.cpu_seconds / tenth.cpu_seconds,
    }
