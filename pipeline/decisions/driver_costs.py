"""Node `fct_driver_costs_period`: what a task, a customer or a unit of revenue cost, by day and by month.

Values are somebody's (`drivers_csv`); the cost is what APIs, models that clouds host, and GPUs cost
(`fct_owner_costs_daily`) of the value's team, by the names of now, or workload, or of all: of each GPU by the measure
that is best known of it, as unit costs have it. Either side unknown, it is unknown: a day that is not settled, a charge
without an amount, tokens on no bill, a day without a value.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions.owner_costs import IS_SPENT, RuleBooks, names_now, owners_of_use, workload_of
from pipeline.decisions.window import Row, Rows, status_row
from pipeline.economics.budget import days_of_month
from pipeline.economics.exact import to_places

_VALUES, _OWNERS, _API = "stg_drivers_csv__values_daily", "fct_owner_costs_daily", "fct_api_costs_daily"
_STATUS = "fct_day_status_daily"
_ALIASES, _OWNERSHIP, _WORKLOADS = "config_owner_aliases", "config_ownership", "config_workloads"
_UNDATED = (_ALIASES, _OWNERSHIP, _WORKLOADS)
INPUTS = (_VALUES, _OWNERS, _API, _STATUS, *_UNDATED)
DATE_COLUMN = "period_from_date"
READS: Mapping[str, str] = {
    _OWNERS: """
        select
            usage_date, team, workload, cost_measure, cost_status,
            cast(sum(realized_cost_rc) as decimal(38, 18)) as cost_rc
        from fct_owner_costs_daily
        where $is_spent
        group by usage_date, team, workload, cost_measure, cost_status""".replace("$is_spent", IS_SPENT),
    # What was used on a day of which the account has no bill has cost nobody knows how much.
    _API: """
        select
            usage_date, issuer, account, sub_account_id, api_key_id, gateway_key_id, gateway_team_id, workload
        from (
            select *, count(billed_cost) over (partition by usage_date, provider, account) as billed_count
            from fct_api_costs_daily
        ) as costs
        where billed_count = 0 and attribution = 'metered_only'
        group by all""",
    _STATUS: "select usage_date, status, blocked_count from fct_day_status_daily",
}
PREPARE: Mapping[str, Any] = {
    **dict.fromkeys((_VALUES, _OWNERS, _API, *_UNDATED), pl.DataFrame.to_dicts),
    _STATUS: status_row,
}
_MONEY = pl.Decimal(38, 18)
GRAIN = ("period_from_date", "period", "driver", "team", "workload")
SCHEMA: Mapping[str, pl.DataType] = {
    "period_from_date": pl.Date(),
    "period": pl.String(),
    "driver": pl.String(),
    "team": pl.String(),
    "workload": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "driver_quantity": _MONEY,
    "realized_cost_rc": _MONEY,
    "cost_measure": pl.String(),
    "realized_rc_per_unit": pl.Float64(),
    "days_count": pl.Int64(),
}
KNOWN, UNKNOWN = "known", "unknown"
# The driver, and whose cost it is held against: a team, a workload, or neither.
_Of = tuple[str, str | None, str | None]


@dataclass(frozen=True)
class _Cost:
    """What a scope cost on a day, or why nobody knows."""

    known: Fraction
    measures: frozenset[str]
    why: str | None = None


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per period (a day, and each month), driver and whose cost it is held against.

    driver_quantity: the value; of a month of daily values their sum. realized_cost_rc, realized_rc_per_unit: in the
    reporting currency, the latter per unit of the driver; null with a reason where either side is unknown, or the
    driver's value is 0. days_count: UTC days of the period.
    """
    rows: list[dict[str, Any]] = []
    this = inputs["this_partition"].row(0, named=True)
    values: Mapping[date, Rows] = inputs[_VALUES]
    # Of a company that writes nothing down nothing further is read.
    if any(this["from_date"] <= day < this["to_date"] for day in values):
        costs = _Costs(inputs)
        rows = list(_rows(days_of_month(this["from_date"]), values, costs))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _rows(days: Sequence[date], values: Mapping[date, Rows], costs: "_Costs") -> Iterator[dict[str, Any]]:
    daily: dict[_Of, dict[date, Decimal | None]] = defaultdict(dict)
    monthly: dict[_Of, Decimal | None] = {}
    for day in days:
        for row in values.get(day, ()):
            held = daily[_of(row)] if row["period"] == "day" else monthly
            key = day if row["period"] == "day" else _of(row)
            _note(held, key, row["driver_quantity"])
    for (driver, *scope), found in daily.items():
        for day, value in found.items():
            yield _row([day], "day", driver, (scope[0], scope[1]), value, costs)
    for (driver, *scope), value in monthly.items():
        yield _row(days, "month", driver, (scope[0], scope[1]), value, costs)
    for (driver, *scope), found in daily.items():
        # A value that somebody states of the whole month is the month's.
        if (driver, *scope) in monthly:
            continue
        absent = [day for day in days if found.get(day) is None]
        whole = sum((Fraction(value) for value in found.values() if value is not None), Fraction(0))
        total = None if absent else to_places(whole, 18)
        why = f"no value on {len(absent)} of {len(days)} days, the first {absent[0]}" if absent else None
        yield _row(days, "month", driver, (scope[0], scope[1]), total, costs, why=why)


def _of(row: Row) -> _Of:
    return row["driver"], row["team"], row["workload"]


def _note(held: dict[Any, Decimal | None], key: Any, value: Decimal | None) -> None:
    """What two accounts state differently nobody knows."""
    held[key] = value if held.get(key, value) == value else None


def _row(
    days: Sequence[date],
    period: str,
    driver: str,
    scope: tuple[str | None, str | None],
    quantity: Decimal | None,
    costs: "_Costs",
    *,
    why: str | None = None,
) -> dict[str, Any]:
    of_days = [costs.of(day, scope) for day in days]
    unknown = next((f"{day}: {cost.why}" for day, cost in zip(days, of_days, strict=True) if cost.why), None)
    cost = None if unknown else sum((cost.known for cost in of_days), Fraction(0))
    if quantity is None:
        why = why or "files state its value differently"
    reasons = [said for said in (why, unknown) if said is not None]
    if quantity == 0:
        reasons.append("nothing of it was counted")
    per_unit = None if reasons or cost is None or quantity is None else cost / Fraction(quantity)
    measures = frozenset[str]().union(*(cost.measures for cost in of_days))
    return {
        "period_from_date": days[0],
        "period": period,
        "driver": driver,
        "team": scope[0],
        "workload": scope[1],
        "status": UNKNOWN if per_unit is None else KNOWN,
        "reason": "; ".join(reasons) or None,
        "driver_quantity": quantity,
        "realized_cost_rc": None if cost is None else to_places(cost, 18),
        "cost_measure": "+".join(sorted(measures)) or None,
        "realized_rc_per_unit": None if per_unit is None else float(per_unit),
        "days_count": len(days),
    }


class _Costs:
    """What each scope cost, day by day."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = inputs
        self._books = RuleBooks(ownership=inputs[_OWNERSHIP], workloads=inputs[_WORKLOADS])
        self._now = names_now("team", inputs[_ALIASES])

    def of(self, day: date, scope: tuple[str | None, str | None]) -> _Cost:
        status = self._inputs[_STATUS].get(day)
        if status is None or status["status"] != "settled" or status["blocked_count"]:
            said = "not there yet" if status is None else "blocked" if status["blocked_count"] else status["status"]
            return _Cost(Fraction(0), frozenset(), f"the day is {said}")
        team, workload = self._now.get(scope[0], scope[0]), scope[1]

        def is_of(whose: str | None, its_workload: str | None) -> bool:
            return team in (None, self._now.get(whose, whose)) and workload in (None, its_workload)

        rows = [row for row in self._inputs[_OWNERS].get(day, ()) if is_of(row["team"], row["workload"])]
        metered = [
            (owners_of_use(row, self._books.on(day)).get("team"), workload_of(row))
            for row in self._inputs[_API].get(day, ())
        ]
        # Whose team's an unbilled token is, no rule has said.
        missing = [row for row in metered if is_of(*row) or (team is not None and row[0] is None)]
        unknown = sorted({row["cost_status"] for row in rows} - {"known"})
        why = None
        if unknown:
            why = (
                "a charge has no amount" if unknown == ["unknown"] else "a charge has no rate to the reporting currency"
            )
        elif missing:
            why = "tokens were used that no bill charges yet"
        known = sum((Fraction(row["cost_rc"]) for row in rows if row["cost_rc"] is not None), Fraction(0))
        return _Cost(known, frozenset(row["cost_measure"] for row in rows), why)
