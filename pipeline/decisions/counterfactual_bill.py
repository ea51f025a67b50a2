"""The bill of a month as it was, and as it would have been with 0..N replicas for one workload.

The actual row is the bills themselves: API and GPU, to the last quantum. Every other row leaves what is not this
workload's as it was, and computes its part as a verdict does: replicas for the whole month, the API for what is above.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb

from pipeline.build.publish import open_snapshot
from pipeline.build.snapshot import Snapshot
from pipeline.decisions.api_side import committed_of, realized_prices
from pipeline.decisions.supposing import Supposed, WhatIfError, staying_part
from pipeline.decisions.verdicts import Grounds, grounds_of
from pipeline.decisions.what_if import Case, read_case, supposing
from pipeline.decisions.window import Evidence, Problem, Row
from pipeline.economics.exact import to_places
from pipeline.economics.hybrid import HybridAlternative
from pipeline.landing.project import Project

_PLACES = 18
_TABLES = ("fct_api_costs_daily", "fct_gpu_costs_daily", "int_api_charges_daily", "int_gpu_charges_daily")
# The bills' own lines, and what the marts made of them: by whose bill it is, measure and currency.
_BILLS = """
with
stated as (
    select 'api' as lane, issuer, account, 'billed' as cost_measure, billing_currency, billed_cost as cost
    from int_api_charges_daily
    where is_book and usage_date >= $from_date and usage_date < $to_date
    union all
    select 'self_host', issuer, account, cost_measure, billing_currency, realized_cost
    from int_gpu_charges_daily
    where usage_date >= $from_date and usage_date < $to_date
),

told as (
    select
        'api' as lane, issuer, account, 'billed' as cost_measure, billing_currency, billed_cost as cost,
        billed_cost_rc as cost_rc
    from fct_api_costs_daily
    where billed_cost is not null and usage_date >= $from_date and usage_date < $to_date
    union all
    select 'self_host', issuer, account, cost_measure, billing_currency, realized_cost, realized_cost_rc
    from fct_gpu_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
),

by_bill as (
    select lane, issuer, account, cost_measure, billing_currency, sum(cost) as stated_cost
    from stated
    group by all
),

in_marts as (
    select
        lane, issuer, account, cost_measure, billing_currency,
        cast(sum(cost) as decimal(38, 18)) as told_cost,
        cast(sum(cost_rc) as decimal(38, 18)) as told_cost_rc,
        count(*) filter (where cost is not null and cost_rc is null) as unconverted_count,
        count(*) filter (where cost is null) as unpriced_count
    from told
    group by all
)

select
    coalesce(in_marts.lane, by_bill.lane) as lane,
    coalesce(in_marts.issuer, by_bill.issuer) as issuer,
    coalesce(in_marts.account, by_bill.account) as account,
    coalesce(in_marts.cost_measure, by_bill.cost_measure) as cost_measure,
    coalesce(in_marts.billing_currency, by_bill.billing_currency) as billing_currency,
    in_marts.told_cost,
    in_marts.told_cost_rc,
    coalesce(in_marts.unconverted_count, 0) as unconverted_count,
    coalesce(in_marts.unpriced_count, 0) as unpriced_count,
    cast(by_bill.stated_cost as decimal(38, 18)) as stated_cost
from in_marts
full join by_bill
    on
        in_marts.lane = by_bill.lane
        and in_marts.issuer is not distinct from by_bill.issuer
        and in_marts.account is not distinct from by_bill.account
        and in_marts.cost_measure = by_bill.cost_measure
        and in_marts.billing_currency is not distinct from by_bill.billing_currency
order by all
"""
_OWN = """
select
    coalesce(
        cast(sum(billed_cost_rc) filter (where tokens != 0 and token_class is not null) as decimal(38, 18)), 0
    ) as token_cost_rc
from fct_api_costs_daily
where workload = $workload and usage_date >= $from_date and usage_date < $to_date
"""
_GPUS = """
select coalesce(cast(sum(realized_cost_rc) as decimal(38, 18)), 0) as cost_rc
from fct_gpu_costs_daily
where deployment_id = $deployment and usage_date >= $from_date and usage_date < $to_date and gpu_milliseconds != 0
"""


@dataclass(frozen=True, kw_only=True)
class BillLine:
    """One way the month could have gone. Money in the reporting currency.

    replicas: of the workload's deployment, all month; None is how it was. gpu_cost: theirs, of the actual row the
    workload's share by tokens of what its deployment cost. other_cost: every other line of the bills, the same in
    every row. overhead_cost: what nobody invoices. unused_commitment_cost: what of a commitment to the API stays due
    beyond api_cost, not part of billed_cost; None where it is unknown. `is_best`: the lowest of the counted ones.
    """

    replicas: int | None
    api_cost: Decimal
    gpu_cost: Decimal
    other_cost: Decimal
    overhead_cost: Decimal | None
    unused_commitment_cost: Decimal | None
    overflow_hours: int | None
    is_best: bool = False

    @property
    def billed_cost(self) -> Decimal:
        """What the bills come to."""
        return _sum(self.api_cost, self.gpu_cost, self.other_cost)

    @property
    def total_cost(self) -> Decimal | None:
        if self.overhead_cost is None or self.unused_commitment_cost is None:
            return None
        return _sum(self.billed_cost, self.overhead_cost, self.unused_commitment_cost)


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A bill of the month, as its lines say it and as the actual row has it. None: it states no amount, or has none."""

    lane: str
    issuer: str | None
    account: str | None
    cost_measure: str
    billing_currency: str | None
    stated_cost: Decimal | None
    told_cost: Decimal | None
    told_cost_rc: Decimal | None
    unconverted_count: int
    unpriced_count: int

    @property
    def is_equal(self) -> bool:
        return self.stated_cost == self.told_cost


@dataclass(frozen=True, kw_only=True)
class CounterfactualBill:
    """`actual` and one line a replica count, with the bills that the actual row is made of.

    grounds: of the counted rows; why there are none where there are not. `without_hours`: the days of the month that
    are known as a sum, whose hours are taken to be even.
    """

    workload: str
    from_date: date
    to_date: date
    days: int
    actual: BillLine
    counted: tuple[BillLine, ...]
    bills: tuple[Bill, ...]
    grounds: Grounds | str
    deployment: Row | None
    without_hours: int

    @property
    def plans_reason(self) -> str | None:
        """Why no replica count is weighed; None where they are."""
        return self.grounds if isinstance(self.grounds, str) else None

    @property
    def is_equal_to_the_bills(self) -> bool:
        """Whether the actual row is what the bills' own lines come to, each in its own currency, and all of it."""
        return all(bill.is_equal and not bill.unconverted_count and not bill.unpriced_count for bill in self.bills)


def counterfactual_bill(
    project: Project,
    snapshot: Snapshot,
    *,
    workload: str,
    from_date: date,
    to_date: date,
    supposed: Supposed | None = None,
) -> CounterfactualBill:
    """The month [from_date, to_date) of one workload. WhatIfError where there is no such workload or no such bill."""
    last = to_date - timedelta(days=1)
    case = read_case(project, snapshot, from_date=from_date, day=last)
    found = next((row for row in case.workloads() if row["workload"] == workload), None)
    if found is None:
        raise no_such_workload(workload, case)
    connection = open_snapshot(snapshot, only=_TABLES)
    try:
        days = {"from_date": from_date, "to_date": to_date}
        bills = tuple(Bill(**row) for row in _ask(connection, _BILLS, days))
        [own] = _ask(connection, _OWN, {**days, "workload": workload})
        [gpus] = _ask(connection, _GPUS, {**days, "deployment": found["deployment_id"]})
    finally:
        connection.close()
    everything = _sum(*(bill.told_cost_rc for bill in bills if bill.told_cost_rc is not None))
    actual = _actual(case, found, everything, own["token_cost_rc"], gpus["cost_rc"])
    subject, deployment, evidence = supposing(case, found, supposed or Supposed())
    settled = set(evidence.window.settled)
    unsettled = [day for day in _days(from_date, to_date) if day not in settled]
    if unsettled and evidence.contracts:
        # Due for all of the month, and what was spent is known of part of it.
        actual = replace(actual, unused_commitment_cost=None)
    grounds = _not_settled(unsettled) or grounds_of(subject, deployment, evidence)
    counted: tuple[BillLine, ...] = ()
    if not isinstance(grounds, str):
        counted = _counted(grounds, _sum(actual.other_cost, _staying(evidence, workload)))
    _, summed = evidence.demand_of(workload)
    return CounterfactualBill(
        workload=workload,
        from_date=from_date,
        to_date=to_date,
        days=len(settled),
        actual=actual,
        counted=counted,
        bills=bills,
        grounds=grounds,
        deployment=deployment,
        without_hours=len(summed),
    )


def _not_settled(days: Sequence[date]) -> str | None:
    """Counted rows of fewer days than the bills' would be compared with them."""
    if not days:
        return None
    others = f" and {len(days) - 1} other days" if len(days) > 1 else ""
    return f"{days[0]}{others} of the period cannot be read: not settled, or blocked"


def no_such_workload(workload: str, case: Case) -> WhatIfError:
    known = ", ".join(str(row["workload"]) for row in case.workloads()) or "none"
    return WhatIfError(f"No workload {workload!r} on {case.day}. Declared then: {known}.")


def _actual(case: Case, workload: Row, everything: Decimal, api: Decimal, gpus: Decimal) -> BillLine:
    """The workload's own part of the bills, and all the rest of them."""
    evidence = case.evidence()
    as_it_is = grounds_of(workload, case.deployment_of(workload), evidence)
    served = evidence.served.get(workload["deployment_id"])
    own, everyone = (0, 0) if served is None else (served.by_workload[workload["workload"]], served.by_workload.total())
    share = to_places(Fraction(gpus) * Fraction(own, everyone), _PLACES) if everyone else Decimal(0)
    return BillLine(
        replicas=None,
        api_cost=api,
        gpu_cost=share,
        other_cost=_sum(everything, -api, -share),
        overhead_cost=_overheads_of(as_it_is, is_served=bool(own)),
        unused_commitment_cost=_unused(committed_of(workload, evidence), api),
        overflow_hours=None,
    )


def _overheads_of(grounds: Grounds | str, *, is_served: bool) -> Decimal | None:
    if not is_served:
        return Decimal(0)
    return None if isinstance(grounds, str) else grounds.fixed_cost


def _staying(evidence: Evidence, workload: str) -> Decimal:
    """What the tokens cost that are supposed not to move, at the prices of the counted rows."""
    prices = realized_prices(evidence.api_costs.get(staying_part(workload), ()), evidence)
    return to_places(sum((found.now for found in prices.values()), Fraction(0)), _PLACES)


def _unused(committed: Fraction | Problem, api: Decimal) -> Decimal | None:
    """What is due to the API beyond what its tokens came to."""
    if isinstance(committed, Problem):
        return None
    return to_places(max(Fraction(0), committed - Fraction(api)), _PLACES)


def _counted(grounds: Grounds, other: Decimal) -> tuple[BillLine, ...]:
    """Of days that are known as a sum, the flattest spread: what a replica could serve of them at best."""
    plan = grounds.plans.flattest
    return tuple(
        _line(grounds, found, other, is_best=found.replicas == plan.best.replicas) for found in plan.alternatives
    )


def _line(grounds: Grounds, found: HybridAlternative, other: Decimal, *, is_best: bool) -> BillLine:
    due = Fraction(found.api_overflow_cost)
    used = min(due, Fraction(found.overflow_units) * grounds.work.price_per_unit) if grounds.price.committed else due
    return BillLine(
        replicas=found.replicas,
        api_cost=to_places(used, _PLACES),
        gpu_cost=to_places(found.replicas * Fraction(grounds.replica_cost), _PLACES),
        other_cost=other,
        overhead_cost=grounds.fixed_cost if found.replicas else Decimal(0),
        unused_commitment_cost=to_places(due - used, _PLACES),
        overflow_hours=found.overflow_hours,
        is_best=is_best,
    )


def _sum(*amounts: Decimal) -> Decimal:
    return to_places(sum((Fraction(amount) for amount in amounts), Fraction(0)), _PLACES)


def _days(from_date: date, to_date: date) -> Sequence[date]:
    return [from_date + timedelta(days=number) for number in range((to_date - from_date).days)]


def _ask(connection: duckdb.DuckDBPyConnection, text: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    relation = connection.sql(text, params={k: v for k, v in parameters.items() if f"${k}" in text})
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
