"""Node `fct_budgets_monthly`: each budget of breakeven.yaml, what its month has cost so far, and where it is heading.

Spend is what `breakeven costs` and the report's headline add up: what APIs billed, and what GPUs cost by the measure
that is best known of them (billed, else effective, else accrued, each told apart). Overheads are declared, not spent,
and are in none of it. The rule of the forecast and of the status: `pipeline.economics.budget`.

Whose a GPU's cost is: the model's that its deployment serves; and of a deployment-day, each workload's (and its
team's) by the tokens it had served, a token of each class weighing what the day's own split over classes
(`fct_unit_costs_daily`) has it cost. Parts add up to the whole, exactly. What served nothing that day is the only
workload's, or the only team's, that names the deployment; else nobody's, as is what no deployment holds.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions import rates
from pipeline.decisions.window import QUANTA, Row, Rows, status_row, valid_on
from pipeline.economics.budget import DaySpend, MonthSpend, budget_status, days_of_month, month_spend
from pipeline.economics.exact import to_places
from pipeline.economics.split import split_exactly

_DATED = (
    "fct_api_costs_daily",
    "fct_day_status_daily",
    "fct_gpu_costs_daily",
    "fct_self_host_tokens_daily",
    "fct_unit_costs_daily",
)
_FX = "int_fx_rates_daily"
_UNDATED = ("config_budgets", "config_deployments", "config_workloads")
INPUTS = (*_UNDATED, *_DATED, _FX)
# Four weeks before the newest settled day, which may lie some days before the month.
LOOKBACK = dict.fromkeys(_DATED, 45)
DATE_COLUMN = "month_from_date"
READS: Mapping[str, str] = {
    # What was used on a day of which the account has no bill has cost nobody knows how much; beside a bill, what is
    # metered and not on it cost nothing there.
    "fct_api_costs_daily": """
        select
            usage_date, workload, team, model, 'billed' as cost_measure,
            cast(cast(replace(cast(cast(sum(billed_cost_rc) as decimal(38, 18)) as varchar), '.', '') as hugeint)
                as decimal(38, 0))
                as quanta,
            count(*) filter (
                where billed_cost_rc is null and (billed_cost is not null or billed_count = 0)
            ) as unknown_count,
            count(*) filter (where billed_cost_rc is null and billed_cost < 0) as unknown_credit_count
        from (
            select *, count(billed_cost) over (partition by usage_date, provider, account) as billed_count
            from fct_api_costs_daily
        ) as costs
        group by usage_date, workload, team, model""",
    "fct_day_status_daily": "select usage_date, status, blocked_count from fct_day_status_daily",
    "fct_gpu_costs_daily": """
        select
            usage_date, deployment_id, cost_measure,
            cast(cast(replace(cast(cast(sum(realized_cost_rc) as decimal(38, 18)) as varchar), '.', '') as hugeint)
                as decimal(38, 0))
                as quanta,
            count(*) - count(realized_cost_rc) as unknown_count,
            count(*) filter (
                where realized_cost_rc is null and (realized_cost < 0 or (realized_cost is null and state = 'credit'))
            ) as unknown_credit_count
        from fct_gpu_costs_daily
        group by usage_date, deployment_id, cost_measure""",
    "fct_self_host_tokens_daily": """
        select usage_date, deployment_id, workload, token_class, cast(sum(tokens) as bigint) as tokens
        from fct_self_host_tokens_daily
        where deployment_id is not null and tokens > 0
        group by usage_date, deployment_id, workload, token_class""",
    "fct_unit_costs_daily": """
        select usage_date, deployment_id, token_class, full_cost_rc
        from fct_unit_costs_daily
        where lane = 'self_host' and token_class != 'blended'""",
    _FX: rates.READ,
}
PREPARE: Mapping[str, Any] = {
    **dict.fromkeys((*_UNDATED, *_DATED), pl.DataFrame.to_dicts),
    "fct_day_status_daily": status_row,
    _FX: rates.rates_of_day,
}
_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "month_from_date": pl.Date(),
    "scope": pl.String(),
    "scope_name": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "budget_cost": _MONEY,
    "budget_currency": pl.String(),
    "budget_cost_rc": _MONEY,
    "settled_cost_rc": _MONEY,
    "settled_known_cost_rc": _MONEY,
    "of_which_effective_cost_rc": _MONEY,
    "of_which_accrued_cost_rc": _MONEY,
    "unknown_charge_count": pl.Int64(),
    "provisional_cost_rc": _MONEY,
    "settled_days_count": pl.Int64(),
    "month_days_count": pl.Int64(),
    "settled_days_ratio": pl.Float64(),
    "forecast_cost_rc": _MONEY,
    "history_from_date": pl.Date(),
    "history_to_date": pl.Date(),
    "history_days_count": pl.Int64(),
}
_ORGANISATION = "organisation"
# Shares in parts of this many: they are whole numbers that a split takes, whatever money they come from.
_SHARE_PARTS = 10**15


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per month and budget that is declared for it: of a month, what breakeven.yaml says of its last day.

    Money is in the reporting currency. `settled_cost_rc` is null as soon as a charge of a settled day has no amount;
    `settled_known_cost_rc` is then what it is at least. `provisional_cost_rc`: what days that are not settled have
    cost so far, in no forecast.
    """
    first_day: date = inputs["this_partition"]["from_date"][0]
    days = days_of_month(first_day)
    budgets = valid_on(days[-1], inputs["config_budgets"])
    rows: list[dict[str, Any]] = []
    if budgets and any(day in inputs["fct_day_status_daily"] for day in days):
        settled = {
            day
            for day, row in inputs["fct_day_status_daily"].items()
            if row["status"] == "settled" and not row["blocked_count"]
        }
        spent = _Spent(inputs)
        for budget in sorted(budgets, key=lambda row: (row["scope"], row["scope_name"] or "")):
            amount = _in_reporting_currency(budget, days, inputs[_FX])
            rows.append(_row(budget, amount, days, spent.of(budget), settled))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


@dataclass(frozen=True)
class _Part:
    """A part of one day's spend, and whose it is."""

    day: date
    measure: str
    spend: DaySpend
    workload: str | None = None
    team: str | None = None
    model: str | None = None


class _Spent:
    """What the days handed in cost, in parts: as billed, and with what deployments cost split over who was served."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = inputs
        self._whole: list[_Part] | None = None
        self._split: dict[str, list[_Part]] = {}

    def of(self, budget: Row) -> list[_Part]:
        scope, name = budget["scope"], budget["scope_name"]
        if scope in ("team", "workload"):
            if scope not in self._split:
                self._split[scope] = [*self._api(), *self._gpus_by(scope)]
            return [part for part in self._split[scope] if getattr(part, scope) == name]
        if self._whole is None:
            self._whole = [*self._api(), *self._gpus_by_model()]
        return [part for part in self._whole if scope == _ORGANISATION or part.model == name]

    def _api(self) -> Iterator[_Part]:
        for day, rows in self._inputs["fct_api_costs_daily"].items():
            for row in rows:
                yield _Part(day, "billed", _spend(row), row["workload"], row["team"], row["model"])

    def _gpus_by_model(self) -> Iterator[_Part]:
        for day, rows in self._inputs["fct_gpu_costs_daily"].items():
            models = {row["deployment_id"]: row["model"] for row in valid_on(day, self._inputs["config_deployments"])}
            for row in rows:
                yield _Part(day, row["cost_measure"], _spend(row), model=models.get(row["deployment_id"]))

    def _gpus_by(self, scope: str) -> Iterator[_Part]:
        """`scope`: workload or team. What has no amount is unknown of everybody who was served, once."""
        for day, rows in self._inputs["fct_gpu_costs_daily"].items():
            declared = valid_on(day, self._inputs["config_workloads"])
            teams = {row["workload"]: row["team"] for row in declared}
            tokens = _by_deployment(self._inputs["fct_self_host_tokens_daily"].get(day, ()))
            classes = _by_deployment(self._inputs["fct_unit_costs_daily"].get(day, ()))
            for row in rows:
                name = row["deployment_id"]
                weights = shares(tokens.get(name, ()), classes.get(name, ()))
                if weights:
                    owners = {
                        workload: workload if scope == "workload" else teams.get(workload) for workload in weights
                    }
                    for owner, spend in _split_by(_spend(row), weights, owners):
                        yield _Part(day, row["cost_measure"], spend, **{scope: owner})
                else:
                    naming = [one for one in declared if name is not None and one["deployment_id"] == name]
                    yield _Part(day, row["cost_measure"], _spend(row), *_only_owner(naming))


def shares(tokens: Rows, class_costs: Rows) -> dict[str, int]:
    """Workload -> its share of what a deployment cost on a day, in parts of 10^15; empty where nothing was served.

    `tokens`: of each workload and token class. `class_costs`: what the day's split has each class cost. Where that is
    not known of every class that was served, or is nothing, every token weighs the same.
    """
    workloads = {row["workload"] for row in tokens}
    if len(workloads) < 2:
        return dict.fromkeys(workloads, _SHARE_PARTS)
    served: dict[str, int] = defaultdict(int)
    for row in tokens:
        served[row["token_class"]] += row["tokens"]
    costs = {row["token_class"]: row["full_cost_rc"] for row in class_costs}
    known = [costs.get(name) for name in served]
    has_costs = all(cost is not None and cost >= 0 for cost in known) and any(known)
    weights: dict[str, Fraction] = defaultdict(Fraction)
    for row in tokens:
        of_class = Fraction(costs[row["token_class"]]) / served[row["token_class"]] if has_costs else Fraction(1)
        weights[row["workload"]] += row["tokens"] * of_class
    total = sum(weights.values())
    return {workload: round(weight / total * _SHARE_PARTS) for workload, weight in weights.items()}


def _split_by(
    spend: DaySpend, weights: Mapping[str, int], owners: Mapping[str, str | None]
) -> Iterator[tuple[str | None, DaySpend]]:
    """By what workloads weigh, and then a sum for each owner of some of them."""
    names = sorted(weights)
    parts = split_exactly(spend.known, [weights[name] for name in names], names)
    found: dict[str | None, int] = defaultdict(int)
    for name, part in zip(names, parts, strict=True):
        found[owners[name]] += part
    for owner, known in found.items():
        yield owner, replace(spend, known=known)


def _only_owner(naming: Rows) -> tuple[str | None, str | None]:
    """The one workload, and the one team, of those that name a deployment."""
    workloads = {row["workload"] for row in naming}
    teams = {row["team"] for row in naming}
    return workloads.pop() if len(workloads) == 1 else None, teams.pop() if len(teams) == 1 else None


def _by_deployment(rows: Iterable[Row]) -> dict[str | None, list[Row]]:
    found: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["deployment_id"]].append(row)
    return found


def _spend(row: Row) -> DaySpend:
    return DaySpend(
        known=int(row["quanta"] or 0),
        unknown_count=row["unknown_count"],
        unknown_credit_count=row["unknown_credit_count"],
    )


def _in_reporting_currency(
    budget: Row, days: Sequence[date], rates_by_day: Mapping[date, rates.RatesOfDay]
) -> Fraction | None:
    """A budget in quanta, at the rate of the first day of the month that has one: it stands still while rates move."""
    for day in days:
        of_day = rates_by_day.get(day)
        rate = None if of_day is None else of_day.by_currency.get(budget["currency"])
        if rate is not None:
            return Fraction(budget["monthly_cost"]) * rate * QUANTA
    return None


def _row(
    budget: Row, amount: Fraction | None, days: Sequence[date], parts: Sequence[_Part], settled: set[date]
) -> dict[str, Any]:
    by_day: dict[date, DaySpend] = defaultdict(DaySpend)
    of_measure: dict[str, int] = defaultdict(int)
    for part in parts:
        by_day[part.day] += part.spend
        if part.day in settled and part.day >= days[0]:
            of_measure[part.measure] += part.spend.known
    month = month_spend(first_day=days[0], spend=by_day, settled=settled)
    row = {
        "month_from_date": days[0],
        "scope": budget["scope"],
        "scope_name": budget["scope_name"],
        "budget_cost": budget["monthly_cost"],
        "budget_currency": budget["currency"],
        "budget_cost_rc": _held(amount),
        "settled_days_count": month.settled_days_count,
        "month_days_count": month.days_count,
        "settled_days_ratio": month.settled_days_count / month.days_count,
    }
    if budget["scope"] == "model" and not parts:
        why = "no bill and no deployment names this model in its days or the weeks before: is it spelled as they do?"
        return dict.fromkeys(SCHEMA) | row | {"status": "unknown", "reason": why}
    return row | {
        "status": budget_status(budget=amount, month=month),
        "reason": _reason(budget, amount, month),
        "settled_cost_rc": None if month.settled.unknown_count else _held(month.settled.known),
        "settled_known_cost_rc": _held(month.settled.known),
        "of_which_effective_cost_rc": _held(of_measure["effective"]),
        "of_which_accrued_cost_rc": _held(of_measure["accrued"]),
        "unknown_charge_count": month.settled.unknown_count,
        "provisional_cost_rc": None if month.unsettled.unknown_count else _held(month.unsettled.known),
        "forecast_cost_rc": _held(month.forecast),
        "history_from_date": min(month.history, default=None),
        "history_to_date": max(month.history, default=None),
        "history_days_count": len(month.history),
    }


def _reason(budget: Row, amount: Fraction | None, month: MonthSpend) -> str:
    """How the forecast was made, or why there is none."""
    said = []
    if amount is None:
        said.append(f"no rate from {budget['currency']} on any day of the month")
    if month.why is not None:
        said.append(month.why)
    elif not month.history:
        said.append("all days are settled")
    else:
        count = month.days_count - month.settled_days_count
        said.append(
            f"settled days, and for {count} other{'' if count == 1 else 's'} the mean of the same weekday over "
            f"{len(month.history)} settled days from {month.history[0]} to {month.history[-1]}"
        )
    return "; ".join(said)


def _held(quanta: Fraction | int | None) -> Decimal | None:
    return None if quanta is None else to_places(Fraction(quanta) / QUANTA, 18)
