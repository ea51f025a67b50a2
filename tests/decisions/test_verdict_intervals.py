"""The demo's intervals: their point is the verdict, and a second route draws the same days from the published tables.

The second route shares nothing with the pipeline but Python's random numbers: it lays the drawn days out one after the
other and prices them in fractions.
"""

import math
from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from pipeline.decisions.graph import current_snapshot
from pipeline.landing.project import Project
from pipeline.reports.questions import Questions

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def demo(demo_folder: Path) -> Iterator[Questions]:
    with Questions(current_snapshot(Project(demo_folder))) as questions:
        yield questions


def rows(demo: Questions, sql: str, **values: Any) -> Rows:
    return demo.select(sql, values).to_dicts()


@pytest.fixture(scope="module")
def known(demo: Questions) -> Rows:
    found = rows(demo, "select * from fct_verdict_intervals_daily where status = 'known' order by usage_date, workload")
    assert len({row["workload"] for row in found}) >= 5
    return found


def test_there_is_a_row_for_each_workload_on_the_newest_settled_day_of_each_month(demo: Questions) -> None:
    told = rows(demo, "select usage_date, workload from fct_verdict_intervals_daily order by all")
    asked = rows(
        demo,
        "select usage_date, workload from fct_verdicts_daily where usage_date in (select max(usage_date) from "
        "fct_verdicts_daily where status != 'not_settled' group by date_trunc('month', usage_date)) order by all",
    )
    assert told == asked != []


def test_the_point_is_the_verdict_itself(demo: Questions, known: Rows) -> None:
    for row in known:
        (verdict,) = rows(
            demo,
            "select * from fct_verdicts_daily where usage_date = $day and workload = $workload",
            day=row["usage_date"],
            workload=row["workload"],
        )
        assert row["breakeven_tokens_per_day"] == pytest.approx(verdict["breakeven_first_tokens_per_day"], rel=1e-9)
        assert row["advised_replica_count"] == verdict["best_replica_count"]
        assert row["saving_rc_per_month"] == pytest.approx(float(verdict["saving_rc_per_month"]), rel=1e-6, abs=1e-6)


def test_without_a_count_there_is_no_interval_and_the_row_says_why(demo: Questions) -> None:
    found = rows(demo, "select * from fct_verdict_intervals_daily where status != 'known'")
    assert {row["workload"] for row in found} == {"document-search", "labs-experiments"}
    assert all("no replica count" in row["reason"] and row["breakeven_p50_tokens_per_day"] is None for row in found)


def drawn_days(days: list[date], *, seed: int, resamples: int, length: int) -> list[list[date]]:
    """Blocks of seven days that begin anywhere; the last one as long as there is room left for."""
    of, found = Random(seed), []
    for _ in range(resamples):
        picked: list[date] = []
        while len(picked) < length:
            size = min(7, length - len(picked))
            start = int(of.random() * (len(days) - size + 1))
            picked += days[start : start + size]
        found.append(picked)
    return found


def rank(values: list[float], share: Fraction) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def by_day(found: Rows, value: str, *keys: str) -> dict[Any, Fraction]:
    summed: dict[Any, Fraction] = defaultdict(Fraction)
    for row in found:
        summed[tuple(row[key] for key in ("usage_date", *keys))] += Fraction(row[value] or 0)
    return summed


@dataclass(frozen=True)
class Evidence:
    """What the marts say of one workload's window, by day (and class, or hour)."""

    days: list[date]
    classes: list[str]
    prices: dict[str, Fraction]
    seconds_per_token: dict[str, Fraction] | None
    tokens: dict[Any, Fraction]
    on_api: dict[Any, Fraction]
    hourly: dict[Any, Fraction]
    cost: dict[Any, Fraction]
    billed: dict[Any, Fraction]
    gpu: dict[Any, Fraction]
    milliseconds: dict[Any, Fraction]
    own: dict[Any, Fraction]
    everyone: dict[Any, Fraction]
    best_hour: dict[date, Fraction]


def evidence(demo: Questions, declared: Any, workload: str, deployment: str, day: date) -> Evidence:
    span = {"since": day - timedelta(days=27), "day": day}

    def within(table: str, also: str = "true", **values: Any) -> Rows:
        return rows(
            demo, f"select * from {table} where usage_date between $since and $day and {also}", **values, **span
        )

    demand = within("fct_demand_hourly", "workload = $name", name=workload)
    bill = within(
        "fct_api_costs_daily", "workload = $name and tokens != 0 and billed_cost_rc is not null", name=workload
    )
    gpu = within("fct_gpu_costs_daily", "deployment_id = $name", name=deployment)
    served = within("int_self_host_tokens_hourly", "deployment_id = $name", name=deployment)
    capacity = next(found for found in declared["deployments"] if found["deployment"] == deployment).get("capacity")
    listed = rows(
        demo,
        "select * from list_prices where model = $model and mode = 'standard' and context_window = '0-200k' "
        "and (valid_from_date is null or valid_from_date <= $day) and (valid_to_date is null or valid_to_date > $day)",
        model=next(found for found in declared["workloads"] if found["workload"] == workload)["api_model"],
        day=day,
    )
    by_hour = by_day(served, "tokens", "usage_hour_at")
    paid = by_day(gpu, "gpu_milliseconds")
    days = sorted(found["usage_date"] for found in within("fct_day_status_daily", "status = 'settled'"))
    seconds = None
    if capacity is not None:
        of = {name: 1 / Fraction(capacity[f"{name}_tokens_per_second"]) for name in ("prefill", "cached", "decode")}
        seconds = defaultdict(lambda: of["prefill"], {"input_cache_read": of["cached"], "output": of["decode"]})
    return Evidence(
        days=days,
        classes=sorted({row["token_class"] for row in demand}),
        prices={row["token_class"]: Fraction(row["list_cost_per_mtok"]) / 10**6 for row in listed},
        seconds_per_token=seconds,
        tokens=by_day(demand, "tokens", "token_class"),
        on_api=by_day([row for row in demand if row["lane"] == "api"], "tokens", "token_class"),
        hourly=by_day(demand, "tokens", "usage_hour_at", "token_class"),
        cost=by_day(bill, "billed_cost_rc", "token_class"),
        billed=by_day(bill, "tokens", "token_class"),
        gpu=by_day(gpu, "realized_cost_rc"),
        milliseconds=by_day(gpu, "gpu_milliseconds"),
        own=by_day([row for row in served if row["workload"] == workload], "tokens"),
        everyone=by_day(served, "tokens"),
        best_hour={
            on: max((n / paid[on,] for (at, _), n in by_hour.items() if at == on), default=Fraction(0)) for on in days
        },
    )


@dataclass(frozen=True)
class Decision:
    breakeven: float
    saving: float


def decided(found: Evidence, picked: list[date], verdict: dict[str, Any], gpus: int, seen: Fraction | None) -> Decision:
    """One resample: break-even a day, and what the advised count saves over its days. `seen`: tokens a replica-hour."""

    def total(of: dict[Any, Fraction], *key: str) -> Fraction:
        return sum((of[(day, *key)] for day in picked), Fraction(0))

    api = part = work = tokens = Fraction(0)
    for name in found.classes:
        billed, demand = total(found.billed, name), total(found.tokens, name)
        price = total(found.cost, name) / billed if billed else found.prices[name]
        api, part, tokens = api + price * demand, part + price * total(found.on_api, name), tokens + demand
        work += demand * (1 if found.seconds_per_token is None else found.seconds_per_token[name])
    rate = total(found.gpu) * 3_600_000 / total(found.milliseconds)
    hours, fixed = 24 * len(picked), Fraction(verdict["fixed_cost_rc"])
    rent = rate * gpus * hours
    room = Fraction(85, 100) * 3600 if seen is None else seen
    price, capacity = api / work, room * hours
    margin = price * capacity - rent
    volume = math.inf
    if margin > 0:
        volume = float((fixed + max(1, math.ceil(fixed / margin)) * rent) / price * tokens / work / len(picked))
    count = verdict["best_replica_count"]
    above = sum((over(found, day, count * room) for day in picked), Fraction(0))
    own, everyone = total(found.own), total(found.everyone)
    current = part + (own / everyone * total(found.gpu) + fixed if own else 0)
    advised = count * rent + (fixed if count else 0) + price * above
    return Decision(breakeven=volume, saving=float(current - advised))


def over(found: Evidence, day: date, edge: Fraction) -> Fraction:
    if (day, edge) not in _OVER:
        hours: dict[Any, Fraction] = defaultdict(Fraction)
        for (on, hour_at, name), count in found.hourly.items():
            if on == day:
                hours[hour_at] += count * (1 if found.seconds_per_token is None else found.seconds_per_token[name])
        _OVER[day, edge] = sum((max(Fraction(0), work - edge) for work in hours.values()), Fraction(0))
    return _OVER[day, edge]


_OVER: dict[Any, Fraction] = {}


@pytest.mark.parametrize("workload", ["support-chat", "document-batch"])
def test_a_second_route_finds_the_same_break_evens_and_savings(
    demo: Questions, demo_folder: Path, known: Rows, workload: str
) -> None:
    """Two kinds: billed and served, of a declared capacity; and served alone, at a list price, by its best hour."""
    row = max((row for row in known if row["workload"] == workload), key=lambda row: row["usage_date"])
    day = row["usage_date"]
    (verdict,) = rows(
        demo, "select * from fct_verdicts_daily where usage_date = $day and workload = $name", day=day, name=workload
    )
    declared = yaml.safe_load((demo_folder / "breakeven.yaml").read_text(encoding="utf-8"))
    name = verdict["deployment_id"]
    gpus = next(found["gpus_per_replica"] for found in declared["deployments"] if found["deployment"] == name)
    found = evidence(demo, declared, workload, name, day)
    per_hour = max(found.best_hour.values()) * 86_400_000 * gpus
    _OVER.clear()
    decisions = []
    for picked in drawn_days(found.days, seed=1989, resamples=1000, length=len(found.days)):
        best = max(found.best_hour[on] for on in picked) / Fraction(max(found.best_hour.values()))
        seen = None if found.seconds_per_token is not None else best * per_hour
        decisions.append(decided(found, picked, verdict, gpus, seen))
    volumes = [decision.breakeven for decision in decisions]
    savings = [decision.saving / len(found.days) * monthrange(day.year, day.month)[1] for decision in decisions]
    for share in ("05", "50", "95"):
        told = row[f"breakeven_p{share}_tokens_per_day"]
        assert (math.inf if told is None else told) == pytest.approx(rank(volumes, Fraction(int(share), 100)), rel=1e-9)
        assert row[f"saving_p{share}_rc_per_month"] == pytest.approx(
            rank(savings, Fraction(int(share), 100)), rel=1e-6, abs=1e-6
        )
    assert row["saving_p20_rc_per_month"] == pytest.approx(rank(savings, Fraction(1, 5)), rel=1e-6, abs=1e-6)
    assert row["saving_probability_ratio"] == sum(saving > 0 for saving in savings) / 1000
    paths = [
        sum((found.tokens[on, name] for on in picked for name in found.classes), Fraction(0)) / 30
        for picked in drawn_days(found.days, seed=1990, resamples=1000, length=30)
    ]
    reached = sum(sum(volume <= path for volume in volumes) for path in map(float, paths))
    assert row["exceeded_probability_ratio"] == reached / 10**6


def test_what_matters_most_is_told_one_input_at_a_time(known: Rows) -> None:
    row = max((row for row in known if row["workload"] == "support-chat"), key=lambda row: row["usage_date"])
    assert row["api_price_p05_rc_per_mtok"] < row["api_price_p95_rc_per_mtok"]
    assert row["breakeven_at_api_price_p05_tokens_per_day"] > row["breakeven_at_api_price_p95_tokens_per_day"]
    assert row["saving_at_traffic_p05_rc_per_month"] != row["saving_at_traffic_p95_rc_per_month"]


def test_exchange_rates_move_only_what_is_billed_in_another_currency(known: Rows) -> None:
    """Of the demo's workloads one runs on GPUs that are half billed in euros."""
    foreign = {row["workload"] for row in known if row["foreign_currencies"] is not None}
    assert foreign == {"ticket-triage"}
    for row in known:
        if row["workload"] in foreign:
            assert row["foreign_currencies"] == "EUR"
            less, as_is, more = (row[f"breakeven_{name}tokens_per_day"] for name in ("at_fx_less_", "", "at_fx_more_"))
            assert less < as_is < more


def test_overheads_are_shown_at_nothing_as_declared_and_where_they_turn_the_verdict(known: Rows) -> None:
    for row in known:
        assert row["breakeven_without_overheads_tokens_per_day"] < row["breakeven_tokens_per_day"]
        turns = row["overheads_rc_per_month"] < row["breakeven_overheads_rc_per_month"]
        assert turns == (row["advised_replica_count"] > 0)
        assert (row["best_without_overheads_replica_count"] > 0) == (row["breakeven_overheads_rc_per_month"] > 0)


def test_an_advice_is_sure_when_four_of_five_resamples_say_it_too(known: Rows) -> None:
    for row in known:
        if row["workload"] in ("support-chat", "internal-search"):
            assert row["saving_probability_ratio"] >= 0.8
            assert row["is_sure"]
        if row["workload"] == "coding-assistant":
            assert (row["self_host_probability_ratio"], row["is_sure"]) == (0.0, True)
