"""Node `fct_budgets_monthly`: each budget of breakeven.yaml, what its month has cost so far, and where it is heading.

Spend is what APIs billed, what clouds billed for models that they host (`fct_cloud_model_costs_daily`), what services
of `per_use` cost on a cloud's bill, and what GPUs cost by the measure that is best known of them (billed, else
effective, else accrued, each told apart). Overheads are
declared, not spent, and are in none of it; nor is what else a cloud charges. The rule of the forecast and of the
status: `pipeline.economics.budget`.

Of a model is what its bills name and what GPUs cost whose deployment serves it; of a team, a cost centre, an
environment and a workload what `fct_owner_costs_daily` has of it: with what nobody owns they add up to the whole.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions import rates
from pipeline.decisions.owner_costs import IS_SPENT, RuleBooks, names_now, owners_of_use, workload_of
from pipeline.decisions.per_use_costs import IS_COVERED, IS_PER_USE
from pipeline.decisions.window import QUANTA, Row, status_row, valid_on, with_quanta
from pipeline.economics.budget import DaySpend, MonthSpend, budget_status, days_of_month, month_spend
from pipeline.economics.exact import to_places

_API, _HOSTED, _GPUS = "fct_api_costs_daily", "fct_cloud_model_costs_daily", "fct_gpu_costs_daily"
_OWNERS, _STATUS, _FX = "fct_owner_costs_daily", "fct_day_status_daily", "int_fx_rates_daily"
_CLOUD = "fct_cloud_charges_daily"
_DATED = (_API, _HOSTED, _CLOUD, _GPUS, _OWNERS, _STATUS)
_BUDGETS, _ALIASES = "config_budgets", "config_owner_aliases"
_UNDATED = (_BUDGETS, _ALIASES, "config_deployments", "config_ownership", "config_per_use", "config_workloads")
INPUTS = (*_UNDATED, *_DATED, _FX)
# Four weeks before the newest settled day, which may lie some days before the month.
LOOKBACK = dict.fromkeys(_DATED, 45)
DATE_COLUMN = "month_from_date"
READS: Mapping[str, str] = {
    # What was used on a day of which the account has no bill has cost nobody knows how much; beside a bill, what is
    # metered and not on it cost nothing there.
    _API: with_quanta("""
        select
            usage_date, model, is_unbilled,
            case when is_unbilled then issuer end as issuer,
            case when is_unbilled then account end as account,
            case when is_unbilled then sub_account_id end as sub_account_id,
            case when is_unbilled then api_key_id end as api_key_id,
            case when is_unbilled then gateway_key_id end as gateway_key_id,
            case when is_unbilled then gateway_team_id end as gateway_team_id,
            case when is_unbilled then workload end as workload,
            quanta_of(billed_cost_rc) as quanta,
            count(*) filter (where billed_cost_rc is null and (billed_cost is not null or is_unbilled))
                as unknown_count,
            count(*) filter (where billed_cost_rc is null and billed_cost < 0) as unknown_credit_count
        from (
            select *, count(billed_cost) over (partition by usage_date, provider, account) = 0 as is_unbilled
            from fct_api_costs_daily
        ) as costs
        group by all"""),
    _HOSTED: with_quanta("""
        select
            usage_date, model,
            quanta_of(billed_cost_rc) as quanta,
            count(*) - count(billed_cost_rc) as unknown_count,
            count(*) filter (where billed_cost_rc is null and billed_cost < 0) as unknown_credit_count
        from fct_cloud_model_costs_daily
        group by usage_date, model"""),
    _CLOUD: with_quanta("""
        select
            usage_date, per_use_service, cost_measure,
            quanta_of(cost_rc) as quanta,
            count(*) - count(cost_rc) as unknown_count,
            count(*) filter (where billed_cost_rc is null and billed_cost < 0) as unknown_credit_count
        from (
            select
                usage_date, per_use_service, billed_cost, billed_cost_rc,
                case when $is_covered then 'effective' else 'billed' end as cost_measure,
                case when $is_covered then effective_cost_rc else billed_cost_rc end as cost_rc
            from fct_cloud_charges_daily
            where is_book and $is_per_use
        ) as charges
        group by usage_date, per_use_service, cost_measure""")
    .replace("$is_covered", IS_COVERED)
    .replace("$is_per_use", IS_PER_USE),
    _GPUS: with_quanta("""
        select
            usage_date, deployment_id, cost_measure,
            quanta_of(realized_cost_rc) as quanta,
            count(*) - count(realized_cost_rc) as unknown_count,
            count(*) filter (
                where realized_cost_rc is null and (realized_cost < 0 or (realized_cost is null and state = 'credit'))
            ) as unknown_credit_count
        from fct_gpu_costs_daily
        group by usage_date, deployment_id, cost_measure"""),
    # A charge that is split is unknown of everybody whose it is in part, and of each once: of an owner of several
    # workloads that share it, in one of these rows.
    _OWNERS: with_quanta("""
        select
            usage_date, team, cost_centre, environment, workload, cost_measure,
            quanta_of(cost_rc) as quanta,
            cast(sum(unknown_count) as bigint) as unknown_count,
            cast(sum(unknown_credit_count) as bigint) as unknown_credit_count,
            cast(coalesce(sum(unknown_count) filter (where is_first), 0) as bigint) as owner_unknown_count,
            cast(coalesce(sum(unknown_credit_count) filter (where is_first), 0) as bigint)
                as owner_unknown_credit_count
        from (
            select
                usage_date, team, cost_centre, environment, workload, cost_measure,
                sum(realized_cost_rc) as cost_rc,
                case when cost_status = 'known' then 0 else max(charge_count) end as unknown_count,
                max(unknown_credit_count) as unknown_credit_count,
                row_number() over (
                    partition by
                        usage_date, lane, issuer, account, sub_account_id, api_key_id, gateway_key_id, gateway_team_id,
                        resource_id, deployment_id, cost_measure, billing_currency, cost_status, team, cost_centre,
                        environment
                    order by workload nulls last
                ) = 1 as is_first
            from fct_owner_costs_daily
            where $is_spent
            group by
                usage_date, lane, issuer, account, sub_account_id, api_key_id, gateway_key_id, gateway_team_id,
                resource_id, deployment_id, cost_measure, billing_currency, cost_status, team, cost_centre, environment,
                workload
        ) as charges
        group by usage_date, team, cost_centre, environment, workload, cost_measure""").replace("$is_spent", IS_SPENT),
    _STATUS: "select usage_date, status, blocked_count from fct_day_status_daily",
    _FX: rates.READ,
}
PREPARE: Mapping[str, Any] = {
    **dict.fromkeys((*_UNDATED, *_DATED), pl.DataFrame.to_dicts),
    _STATUS: status_row,
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


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per month and budget that is declared for it: of a month, what breakeven.yaml says of its last day.

    Money is in the reporting currency. `settled_cost_rc` is null as soon as a charge of a settled day has no amount;
    `settled_known_cost_rc` is then what it is at least. `provisional_cost_rc`: what days that are not settled have
    cost so far, in no forecast.
    """
    first_day: date = inputs["this_partition"]["from_date"][0]
    days = days_of_month(first_day)
    budgets = valid_on(days[-1], inputs[_BUDGETS])
    rows: list[dict[str, Any]] = []
    if budgets and any(day in inputs[_STATUS] for day in days):
        settled = {
            day for day, row in inputs[_STATUS].items() if row["status"] == "settled" and not row["blocked_count"]
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
    whose: str | None = None


class _Spent:
    """What the days handed in cost, in parts: each kind of owner has all of it, in parts of its own."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = inputs
        self._parts: dict[str, list[_Part]] = {}

    def of(self, budget: Row) -> list[_Part]:
        scope, name = budget["scope"], budget["scope_name"]
        is_whole = scope == _ORGANISATION
        kind = "model" if is_whole else scope
        if kind not in self._parts:
            self._parts[kind] = list(self._by_model() if kind == "model" else self._by_owner(kind))
        name = self._now(kind).get(name, name)
        return [part for part in self._parts[kind] if is_whole or part.whose == name]

    def _now(self, kind: str) -> dict[str | None, str | None]:
        return names_now(kind, self._inputs[_ALIASES])

    def _by_model(self) -> Iterator[_Part]:
        for table in (_API, _HOSTED):
            for day, rows in self._inputs[table].items():
                for row in rows:
                    yield _Part(day, "billed", _spend(row), row["model"])
        services = self._inputs["config_per_use"]
        for day, rows in self._inputs[_CLOUD].items() if services else ():
            models = {row["per_use_service"]: row["model"] for row in valid_on(day, services)}
            for row in rows:
                yield _Part(day, row["cost_measure"], _spend(row), models.get(row["per_use_service"]))
        for day, rows in self._inputs[_GPUS].items():
            models = {row["deployment_id"]: row["model"] for row in valid_on(day, self._inputs["config_deployments"])}
            for row in rows:
                yield _Part(day, row["cost_measure"], _spend(row), models.get(row["deployment_id"]))

    def _by_owner(self, kind: str) -> Iterator[_Part]:
        """`kind`: workload, or an attribute of owners, by the names of now."""
        counts = "" if kind == "workload" else "owner_"
        now = self._now(kind)
        for day, rows in self._inputs[_OWNERS].items():
            for row in rows:
                yield _Part(day, row["cost_measure"], _spend(row, counts), now.get(row[kind], row[kind]))
        books = RuleBooks(ownership=self._inputs["config_ownership"], workloads=self._inputs["config_workloads"])
        for day, rows in self._inputs[_API].items():
            for row in rows:
                if row["is_unbilled"]:
                    whose = workload_of(row) if kind == "workload" else owners_of_use(row, books.on(day)).get(kind)
                    yield _Part(day, "billed", _spend(row), now.get(whose, whose))


def _spend(row: Row, counts: str = "") -> DaySpend:
    """`counts`: what the names of its counts of unknown charges begin with."""
    return DaySpend(
        known=int(row["quanta"] or 0),
        unknown_count=row[f"{counts}unknown_count"],
        unknown_credit_count=row[f"{counts}unknown_credit_count"],
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
