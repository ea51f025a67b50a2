"""What a verdict may read: the settled days of its window, as the marts tell them.

A window shares 27 of its 28 days with the next one, so each day's rows are made ready once (`PREPARE`) and put together
for every verdict that reads that day. Money is in whole quanta of 10^-18, which add up exactly and fast.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions import rates
from pipeline.decisions.api_prices import price_list
from pipeline.decisions.rates import Rates
from pipeline.economics.prices import PriceList
from pipeline.economics.work import WorkScale

WINDOW_DAYS = 28
RATIO_DAYS = 7
HOURS_PER_DAY = 24
QUANTA = 10**18


def with_quanta(query: str) -> str:
    """SQL in which `quanta_of(<column of money>)` is its sum in whole quanta. By way of a number: as text DuckDB takes
    forty times as long to make it a decimal.
    """
    whole = r"replace(cast(cast(sum(\1) as decimal(38, 18)) as varchar), '.', '')"
    return re.sub(r"quanta_of\((\w+)\)", f"cast(cast({whole} as hugeint) as decimal(38, 0))", query)


_DATED = (
    "fct_api_costs_daily",
    "fct_day_status_daily",
    "fct_demand_daily",
    "fct_demand_hourly",
    "fct_gpu_costs_daily",
    "int_fx_rates_daily",
    "int_self_host_tokens_hourly",
)
_UNDATED = (
    "api_prices",
    "config_candidates",
    "config_contracts",
    "config_deployments",
    "config_overheads",
    "config_workloads",
    "gpu_types",
)
# Of the verdict's own day alone.
_OF_ITS_DAY = "fct_peak_allowances_daily"
INPUTS = tuple(sorted((*_DATED, _OF_ITS_DAY, *_UNDATED)))
LOOKBACK = {**dict.fromkeys(_DATED, WINDOW_DAYS - 1), _OF_ITS_DAY: 0}
# What a verdict reads of the wide marts, added up within a day so that a window of them is short. Amounts of opposite
# sign, and unknown ones, stay apart: what adds up to nothing has still happened, and what is unknown stays unknown.
# A charge that names neither a model nor a known kind of use, as an invoiced shortfall does, is taken as of a period.
READS: Mapping[str, str] = {
    "fct_api_costs_daily": """
        select
            usage_date, workload, provider, account, model, token_class, price_mode, context_window, inference_geo,
            billing_currency,
            case when billed_cost is not null and billed_cost_rc is null then billing_currency end
                as unconverted_currency,
            charge_kind = 'other' and model is null as is_of_a_period,
            cast(sum(tokens) as bigint) as tokens,
            cast(sum(billed_cost_rc) as decimal(38, 18)) as billed_cost_rc
        from fct_api_costs_daily
        group by
            usage_date, workload, provider, account, model, token_class, price_mode, context_window, inference_geo,
            billing_currency, unconverted_currency, is_of_a_period, sign(tokens), sign(billed_cost_rc)""",
    "fct_day_status_daily": "select usage_date, status, blocked_count from fct_day_status_daily",
    "fct_demand_daily": "select usage_date, workload, lane, token_class, tokens, evidence from fct_demand_daily",
    "fct_demand_hourly": """
        select usage_date, usage_hour_at, workload, token_class, cast(sum(tokens) as bigint) as tokens
        from fct_demand_hourly
        group by usage_date, usage_hour_at, workload, token_class""",
    "fct_gpu_costs_daily": """
        select
            usage_date, deployment_id, cost_measure, billing_currency,
            case when realized_cost is not null and realized_cost_rc is null then billing_currency end
                as unconverted_currency,
            cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
            cast(sum(realized_cost_rc) as decimal(38, 18)) as realized_cost_rc
        from fct_gpu_costs_daily
        group by
            usage_date, deployment_id, cost_measure, billing_currency, unconverted_currency,
            sign(gpu_milliseconds), sign(realized_cost_rc)""",
    _OF_ITS_DAY: "select usage_date, workload, peak_allowance_ratio from fct_peak_allowances_daily",
    "int_fx_rates_daily": rates.READ,
    "int_self_host_tokens_hourly": """
        select usage_date, usage_hour_at, deployment_id, workload, cast(sum(tokens) as bigint) as tokens
        from int_self_host_tokens_hourly
        group by usage_date, usage_hour_at, deployment_id, workload""",
}

Row = Mapping[str, Any]
Rows = Sequence[Row]


@dataclass(frozen=True)
class HoursOfDay:
    """Tokens by class in each hour of one day of one workload. An hour without a row had none."""

    hours: Sequence[Mapping[str, int]]
    classes: frozenset[str]
    _work: dict[WorkScale, list[int]] = field(default_factory=dict, compare=False)

    def work(self, scale: WorkScale) -> list[int]:
        """The work of each hour in units of a scale, worked out once for all verdicts that use the scale."""
        if scale not in self._work:
            self._work[scale] = scale.units(self.hours)
        return self._work[scale]


_NO_HOURS = HoursOfDay(hours=({},) * HOURS_PER_DAY, classes=frozenset())


@dataclass
class Served:
    """Tokens that one deployment served: by the workload they were for, and by the start of the hour."""

    by_workload: Counter[str | None] = field(default_factory=Counter)
    by_hour: Counter[datetime] = field(default_factory=Counter)


@dataclass(frozen=True)
class Problem:
    """Why a verdict lacks something. `is_open`: nobody has measured or declared it, so it is solved for."""

    text: str
    is_open: bool = False


def _price_list(frame: pl.DataFrame) -> PriceList:
    return price_list(frame.to_dicts())


def status_row(frame: pl.DataFrame) -> Row:
    """What is said of one day."""
    return frame.to_dicts()[-1]


def _grouped(rows: Iterable[Row], by: str) -> dict[str, list[Row]]:
    """Rows by what they are about, without those that are about nothing declared."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row[by] is not None:
            found.setdefault(row[by], []).append(row)
    return found


def _demand(frame: pl.DataFrame) -> dict[str, list[Row]]:
    return _grouped(frame.to_dicts(), "workload")


def _api_costs(frame: pl.DataFrame) -> dict[str, list[Row]]:
    return _grouped(in_quanta(frame, "billed_cost"), "workload")


def _gpu_costs(frame: pl.DataFrame) -> dict[str, list[Row]]:
    return _grouped(in_quanta(frame, "realized_cost"), "deployment_id")


def in_quanta(frame: pl.DataFrame, name: str) -> list[Row]:
    """Rows with `<name>_quanta` beside `<name>_rc`. Unknown stays unknown."""
    return [
        {**row, f"{name}_quanta": None if money is None else int(Fraction(money) * QUANTA)}
        for row in frame.to_dicts()
        for money in (row[f"{name}_rc"],)
    ]


def _hours(frame: pl.DataFrame) -> dict[str, HoursOfDay]:
    """By workload."""
    tokens: dict[str, list[dict[str, int]]] = {}
    columns = ("workload", "usage_hour_at", "token_class", "tokens")
    for workload, hour_at, token_class, count in frame.select(columns).iter_rows():
        if workload is not None and count:
            hour = tokens.setdefault(workload, [{} for _ in range(HOURS_PER_DAY)])[hour_at.hour]
            hour[token_class] = hour.get(token_class, 0) + count
    return {workload: HoursOfDay(hours=hours, classes=frozenset().union(*hours)) for workload, hours in tokens.items()}


def _allowances(frame: pl.DataFrame) -> dict[str, Decimal]:
    """By workload."""
    return dict(frame.select("workload", "peak_allowance_ratio").iter_rows())


def _served(frame: pl.DataFrame) -> dict[str, Served]:
    """By deployment."""
    found: dict[str, Served] = {}
    columns = ("deployment_id", "workload", "usage_hour_at", "tokens")
    for deployment_id, workload, hour_at, count in frame.select(columns).iter_rows():
        if deployment_id is not None:
            served = found.setdefault(deployment_id, Served())
            served.by_workload[workload] += count or 0
            served.by_hour[hour_at] += count or 0
    return found


# What is made of an input: of each day's rows where it has days, else of all its rows.
PREPARE: Mapping[str, Callable[[pl.DataFrame], Any]] = {
    **dict.fromkeys(_UNDATED, pl.DataFrame.to_dicts),
    "api_prices": _price_list,
    "fct_api_costs_daily": _api_costs,
    "fct_day_status_daily": status_row,
    "fct_demand_daily": _demand,
    "fct_demand_hourly": _hours,
    _OF_ITS_DAY: _allowances,
    "fct_gpu_costs_daily": _gpu_costs,
    "int_fx_rates_daily": rates.rates_of_day,
    "int_self_host_tokens_hourly": _served,
}


def until(inputs: Mapping[str, Any], day: date) -> dict[str, Any]:
    """Of a node of a month: what `PREPARE` made of `INPUTS`, of the days that a verdict on `day` reads alone."""
    since = day - timedelta(days=WINDOW_DAYS - 1)
    return {name: inputs[name].between(since, day) if name in LOOKBACK else inputs[name] for name in INPUTS}


@dataclass(frozen=True)
class Window:
    """The settled days that a verdict on `day` may read."""

    day: date
    settled: tuple[date, ...]
    status_of_day: str
    missing: tuple[date, ...]

    @property
    def why_not_settled(self) -> str:
        """What the day waits for; where no day of the window is settled, also which of them are not there."""
        why = f"{self.day} is {self.status_of_day}, not settled"
        if self.settled:
            return why
        why += f"; of the {WINDOW_DAYS} days up to it none is settled"
        if not self.missing:
            return why
        return f"{why}: nothing landed for {', '.join(_ranges(self.missing))}"

    @property
    def hours(self) -> int:
        return HOURS_PER_DAY * len(self.settled)

    @property
    def has_full_week(self) -> bool:
        """Whether each of the last seven days is settled: else there is no 7-day mean."""
        return all(self.day - timedelta(days=back) in self.settled for back in range(RATIO_DAYS))

    @property
    def week_from(self) -> date:
        """The first of the last seven days."""
        return self.day - timedelta(days=RATIO_DAYS - 1)


@dataclass(frozen=True)
class Evidence:
    """What the marts say of a window: rows of its settled days by workload or deployment, and what held on its day."""

    window: Window
    hourly: Sequence[Mapping[str, HoursOfDay]]
    daily: Mapping[str, Rows]
    api_costs: Mapping[str, Rows]
    gpu_costs: Mapping[str, Rows]
    served: Mapping[str, Served]
    peak_allowances: Mapping[str, Decimal]
    candidates: Mapping[str, Row]
    gpu_types: Rows
    api_prices: PriceList
    contracts: Rows
    overheads: Rows
    rates: Rates
    price_day: date

    def demand_of(self, workload: str) -> tuple[list[HoursOfDay], list[Mapping[str, int]]]:
        """The settled days whose hours are known, by hour; and tokens by class of each day that is known as a sum."""
        sums: dict[date, dict[str, int]] = {}
        rows = self.daily.get(workload, ())
        summed = {row["usage_date"] for row in rows if row["evidence"] == "daily"}
        for row in rows:
            if row["usage_date"] in summed and row["tokens"]:
                tokens = sums.setdefault(row["usage_date"], {})
                tokens[row["token_class"]] = tokens.get(row["token_class"], 0) + int(row["tokens"])
        hours = [
            hours.get(workload, _NO_HOURS)
            for day, hours in zip(self.window.settled, self.hourly, strict=True)
            if day not in summed
        ]
        return hours, [sums.get(day, {}) for day in sorted(summed)]

    @property
    def reporting_currency(self) -> str:
        """What money of the marts is in; empty where no rate of any day says it."""
        return next((rates.reporting_currency for rates in self.rates.by_day.values()), "")


def evidence_on(day: date, inputs: Mapping[str, Any], *, price_day: date | None = None) -> Evidence:
    """`inputs`: what `PREPARE` made of each input, by day where it has days.

    `price_day`: the day whose API prices and contracts hold; the verdict's own, unless somebody asks what if.
    """
    window = window_on(inputs["fct_day_status_daily"], day)

    def settled(name: str) -> list[Any]:
        return [inputs[name].get(found, {}) for found in window.settled]

    return Evidence(
        window=window,
        hourly=settled("fct_demand_hourly"),
        daily=_joined(settled("fct_demand_daily")),
        api_costs=_joined(settled("fct_api_costs_daily")),
        gpu_costs=_joined(settled("fct_gpu_costs_daily")),
        served=_all_served(settled("int_self_host_tokens_hourly")),
        peak_allowances=inputs[_OF_ITS_DAY].get(day, {}),
        candidates={row["workload"]: row for row in valid_on(day, inputs["config_candidates"])},
        gpu_types=inputs["gpu_types"],
        api_prices=inputs["api_prices"],
        contracts=valid_on(price_day or day, inputs["config_contracts"]),
        overheads=valid_on(day, inputs["config_overheads"]),
        rates=Rates({found: of_day for found in window.settled if (of_day := inputs["int_fx_rates_daily"].get(found))}),
        price_day=price_day or day,
    )


def valid_on(day: date, rows: Rows) -> Rows:
    """Rows whose [valid_from, valid_to) holds the day; an open end is None."""
    return [
        row
        for row in rows
        if (row["valid_from_date"] is None or row["valid_from_date"] <= day)
        and (row["valid_to_date"] is None or row["valid_to_date"] > day)
    ]


def window_on(statuses: Mapping[date, Row], day: date) -> Window:
    settled = sorted(
        found for found, row in statuses.items() if row["status"] == "settled" and not row["blocked_count"]
    )
    today = statuses.get(day)
    status = "missing" if today is None else "blocked" if today["blocked_count"] else str(today["status"])
    days = [day - timedelta(days=back) for back in reversed(range(WINDOW_DAYS))]
    missing = tuple(found for found in days if found not in statuses or statuses[found]["status"] == "missing")
    return Window(day=day, settled=tuple(settled), status_of_day=status, missing=missing)


def _ranges(days: Sequence[date]) -> list[str]:
    """Days in a row, each run of them as its first and last."""
    runs: list[list[date]] = []
    for day in days:
        if runs and day == runs[-1][-1] + timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    return [f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]


def _joined(days: Iterable[Mapping[str, Rows]]) -> dict[str, list[Row]]:
    joined: dict[str, list[Row]] = {}
    for found in days:
        for name, rows in found.items():
            joined.setdefault(name, []).extend(rows)
    return joined


def _all_served(days: Iterable[Mapping[str, Served]]) -> dict[str, Served]:
    joined: dict[str, Served] = {}
    for found in days:
        for name, served in found.items():
            total = joined.setdefault(name, Served())
            total.by_workload.update(served.by_workload)
            total.by_hour.update(served.by_hour)
    return joined
