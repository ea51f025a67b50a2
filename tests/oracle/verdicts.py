"""Verdicts: what a workload's own 28 days say about API, self-hosting or both; and on which side its traffic is.

Every count of replicas is tried hour by hour, every stair is walked: slow and plain, with fractions.
"""

import math
from calendar import monthrange
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle.api import list_price
from tests.oracle.landed import DAY, Project, midnight
from tests.oracle.rates import Rates
from tests.oracle.rules import allowance, deployment
from tests.oracle.served import ServedHour
from tests.oracle.spool import DAY_MS, HOUR_MS

Rows = dict[tuple[Any, ...], dict[str, Any]]

WINDOW_DAYS = 28
_WEEK = 7
_HEADROOM = Fraction(1, 5)
_QUANTILE = Fraction(99, 100)


def _counts_by_name() -> defaultdict[Any, dict[str, int]]:
    return defaultdict(lambda: defaultdict(int))


@dataclass
class _Index:
    """The marts by what a verdict asks them: mostly tokens of (workload or deployment, day), by class, lane or hour."""

    demand: dict[tuple[str, date], dict[str, int]] = field(default_factory=_counts_by_name)
    by_lane: dict[tuple[str, date], dict[str, int]] = field(default_factory=_counts_by_name)
    api_demand: dict[tuple[str, date], dict[str, int]] = field(default_factory=_counts_by_name)
    hourly: dict[tuple[str, datetime], dict[str, int]] = field(default_factory=_counts_by_name)
    known_by_day_only: set[tuple[str, date]] = field(default_factory=set)
    billed: dict[tuple[str, date], dict[str, tuple[Fraction, int]]] = field(default_factory=lambda: defaultdict(dict))
    is_billed: set[tuple[str, date]] = field(default_factory=set)
    is_unconverted: set[tuple[str, date]] = field(default_factory=set)
    gpu: dict[tuple[str, date], list[tuple[Fraction | None, int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    served: dict[tuple[str, date], dict[str, int]] = field(default_factory=_counts_by_name)
    served_hour: dict[tuple[str, date], dict[datetime, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )


class Rate(NamedTuple):
    """What a GPU-hour of a deployment cost over the window, and how many replicas its GPUs are on the day."""

    per_gpu_hour: Fraction
    basis: str
    provisioned: Fraction
    cost: Fraction


class Capacity(NamedTuple):
    """Seconds of one replica per token of a class (all alike where only tokens an hour are known), and u_max."""

    basis: str
    source: str
    seconds_per_token: Mapping[str, Fraction] | Fraction
    allowed: Fraction

    def seconds(self, tokens: Mapping[str, int]) -> Fraction:
        rates = self.seconds_per_token
        if isinstance(rates, Fraction):
            return sum(tokens.values()) * rates
        counted = [(count, rates[name]) for name, count in tokens.items()]
        whole = math.lcm(*(rate.denominator for _, rate in counted))
        return Fraction(sum(count * rate.numerator * (whole // rate.denominator) for count, rate in counted), whole)


class Stairs(NamedTuple):
    """Volumes over the window at which the cheaper lane changes. None: at none."""

    first: Fraction | None
    stable: Fraction | None
    crossing_count: int


def verdict_rows(
    project: Project, tables: Mapping[str, Rows], hours: dict[ServedHour, list[int]], *, days: list[date]
) -> Rows:
    """fct_verdicts_daily, without its sentences."""
    index, rates = _index(tables, hours), Rates(project)
    settled = {key[0] for key, row in tables["fct_day_status_daily"].items() if row["status"] == "settled"}
    return {
        (day, workload["workload"]): _verdict(project, index, rates, workload, day, settled)
        for day in days
        for workload in project.config["workloads"]
    }


def _index(tables: Mapping[str, Rows], hours: dict[ServedHour, list[int]]) -> _Index:
    index = _Index()
    for (day, workload, lane, _, token_class), row in tables["fct_demand_daily"].items():
        index.demand[workload, day][token_class] += row["tokens"]
        index.by_lane[workload, day][lane] += row["tokens"]
        if lane == "api":
            index.api_demand[workload, day][token_class] += row["tokens"]
        if row["evidence"] == "daily":
            index.known_by_day_only.add((workload, day))
    for (_, hour_at, workload, _, _, token_class), row in tables["fct_demand_hourly"].items():
        index.hourly[workload, hour_at][token_class] += row["tokens"]
    for key, row in tables["fct_api_costs_daily"].items():
        day, token_class, workload = key[0], key[7], row["workload"]
        if row["tokens"] or row["billed_cost_rc"]:
            index.is_billed.add((workload, day))
        if row["billed_cost"] is not None and row["billed_cost_rc"] is None:
            index.is_unconverted.add((workload, day))
        if row["billed_cost_rc"] is not None and row["tokens"] and token_class is not None:
            cost, tokens = index.billed[workload, day].get(token_class, (Fraction(0), 0))
            index.billed[workload, day][token_class] = (cost + row["billed_cost_rc"], tokens + row["tokens"])
    for key, row in tables["fct_gpu_costs_daily"].items():
        if key[4] is not None and row["gpu_milliseconds"]:
            index.gpu[key[4], key[0]].append((row["realized_cost_rc"], row["gpu_milliseconds"], key[6]))
    for hour, (tokens, _) in hours.items():
        if hour.deployment_id is not None:
            index.served[hour.deployment_id, hour.hour_at.date()][hour.workload] += tokens
            index.served_hour[hour.deployment_id, hour.hour_at.date()][hour.hour_at] += tokens
    return index


def _verdict(
    project: Project, index: _Index, rates: Rates, workload: dict[str, Any], day: date, settled_days: set[date]
) -> dict[str, Any]:
    name, deployment_id = workload["workload"], workload["deployment"]
    window = sorted(found for found in settled_days if day - timedelta(days=WINDOW_DAYS) < found <= day)
    row: dict[str, Any] = {
        "team": workload["team"],
        "deployment_id": deployment_id,
        "window_from_date": min(window, default=None),
        "window_days_count": len(window),
        "status": "not_settled",
    }
    if day not in settled_days:
        return row
    demand = _sum_by_class(index.demand, name, window)
    week = [day - timedelta(days=back) for back in range(_WEEK)]
    mean = None
    if demand and all(found in settled_days for found in week):
        mean = Fraction(sum(sum(index.demand[name, found].values()) for found in week), _WEEK)
    lane = _lane(index, name, [found for found in week if found in settled_days])
    prices, price_basis, without_cache = _prices(index, rates, workload, demand, window, day)
    rate = _rate(project, index, deployment_id, window, day)
    capacity = _capacity(project, index, deployment_id, window, rate)
    row |= {
        "status": "prices_only",
        "current_lane": lane,
        "demand_tokens_per_day": mean,
        "api_price_rc_per_mtok": None,
        "api_price_basis": None,
        "api_price_without_cache_rc_per_mtok": None,
        "gpu_hour_rate_rc": None if rate is None else rate.per_gpu_hour,
        "gpu_rate_basis": None if rate is None else rate.basis,
        "current_replica_count": None if rate is None else rate.provisioned,
        "capacity_basis": None if capacity is None else capacity.basis,
        "capacity_source": None if capacity is None else capacity.source,
        "recommendation": None,
        "best_replica_count": None,
        "saving_rc_per_month": None,
    }
    if not demand and any((name, found) in index.is_billed for found in window):
        row["status"] = "no_hourly_evidence"
    if prices is None or not demand:
        return row
    api_cost = _cost(prices, demand)
    price = api_cost / sum(demand.values())
    row |= {"api_price_rc_per_mtok": price * 10**6, "api_price_basis": price_basis}
    row["api_committed_cost_rc"] = Fraction(0)  # the demo has no contract
    if without_cache is not None:
        row["api_price_without_cache_rc_per_mtok"] = _cost(without_cache, demand) / sum(demand.values()) * 10**6
    if deployment_id is None:
        return row | _conditions(project, index, name, window, api_cost=api_cost)
    if rate is None or capacity is None:
        return row

    declared = deployment(project, deployment_id)
    window_hours = 24 * len(window)
    replica_cost = rate.per_gpu_hour * declared["gpus_per_replica"] * window_hours
    overheads = [one for one in project.config["overheads"] if one["deployment"] in (None, deployment_id)]
    fixed = Fraction(0)
    for one, found in ((one, found) for one in overheads for found in window):
        unit = rates.on(found, one["currency"])
        if unit is None:
            return row
        fixed += Fraction(one["monthly"]) * unit / monthrange(found.year, found.month)[1]
    hour_seconds = 3600 * capacity.allowed
    tokens_per_hour = sum(demand.values()) * hour_seconds / capacity.seconds(demand)
    least, spare = max(1, declared["minimum_replicas"]), declared["spare_replicas"]
    stairs = _stairs(price, tokens_per_hour * window_hours, replica_cost, fixed, least=least, spare=spare)
    first = None if stairs.first is None else stairs.first / len(window)
    row |= {
        "status": "no_hourly_evidence",
        "capacity_tokens_per_replica_hour": tokens_per_hour,
        "fixed_cost_rc": fixed,
        "replica_cost_rc": replica_cost,
        "breakeven_first_tokens_per_day": first,
        "breakeven_stable_tokens_per_day": None if stairs.stable is None else stairs.stable / len(window),
        "breakeven_crossing_count": stairs.crossing_count,
        "full_replica_margin_rc": price * tokens_per_hour * window_hours - replica_cost,
        "breakeven_utilization_ratio": replica_cost / (price * tokens_per_hour * window_hours),
        "demand_ratio": mean / first if mean is not None and first else None,
        "api_only_cost_rc": api_cost,
    }
    row["api_only_without_cache_cost_rc"] = None if without_cache is None else _cost(without_cache, demand)
    assert not any((name, found) in index.known_by_day_only for found in window), "the demo has no such day"

    price_per_second = api_cost / capacity.seconds(demand)
    work = [
        capacity.seconds(index.hourly.get((name, midnight(found) + timedelta(hours=hour)), {}))
        for found in window
        for hour in range(24)
    ]
    row |= _counts(work, hour_seconds, replica_cost, fixed, price_per_second, least=least, spare=spare)
    row |= {"best_cost_least_rc": None, "best_cost_most_rc": None, "best_without_cache_replica_count": None}
    if without_cache is not None:
        dearer = _cost(without_cache, demand) / capacity.seconds(demand)
        others = _counts(work, hour_seconds, replica_cost, fixed, dearer, least=least, spare=spare)
        row["best_without_cache_replica_count"] = others["best_replica_count"]
    served = [index.served[deployment_id, found] for found in window]
    own, everyone = sum(one[name] for one in served), sum(sum(one.values()) for one in served)
    current = _cost(prices, _sum_by_class(index.api_demand, name, window))
    if own:
        current += rate.cost * own / everyone + fixed
    row |= {
        "status": "decided" if workload["pinned_to"] is None else "pinned",
        "current_cost_rc": current,
        "saving_rc_per_month": (current - row["best_cost_rc"]) / len(window) * monthrange(day.year, day.month)[1],
    }
    if workload["pinned_to"] is None:
        replicas = round(rate.provisioned)
        row["recommendation"] = _recommendation(row["best_replica_count"], lane, replicas)
        if without_cache is not None:
            turned = _recommendation(row["best_without_cache_replica_count"], lane, replicas)
            assert turned == row["recommendation"], "the demo has no such workload"
    return row


def _conditions(
    project: Project, index: _Index, name: str, window: list[date], *, api_cost: Fraction
) -> dict[str, Any]:
    """Of traffic without GPUs, of which nothing is known: what a replica for all of it, and all else, may cost."""
    assert not next(one for one in project.config["workloads"] if one["workload"] == name)["candidate"]
    assert all(one["deployment"] for one in project.config["overheads"])
    hours = [midnight(day) + timedelta(hours=hour) for day in window for hour in range(24)]
    busiest = max(sum(index.hourly.get((name, hour), {}).values()) for hour in hours)
    months = sum((Fraction(1, monthrange(day.year, day.month)[1]) for day in window), Fraction(0))
    return {
        "status": "conditions",
        "peak_tokens_per_second": Fraction(busiest, 3600),
        "roofline_tokens_per_second": None,
        "needed_tokens_per_second": None,
        "most_self_tokens_per_api_token": None,
        "most_gpu_hour_rate_rc": None,
        "most_gpus_per_replica_count": None,
        "most_replica_hour_rc": api_cost / len(hours),
        "most_engineering_hours_per_month": None,
        "most_fixed_cost_rc_per_month": api_cost / months,
    }


def _sum_by_class(index: Mapping[tuple[str, date], Mapping[str, int]], name: str, window: list[date]) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for day in window:
        for token_class, tokens in index.get((name, day), {}).items():
            sums[token_class] += tokens
    return {token_class: tokens for token_class, tokens in sums.items() if tokens}


def _cost(prices: Mapping[str, Fraction], tokens: Mapping[str, int]) -> Fraction:
    return sum((prices[name] * count for name, count in tokens.items()), Fraction(0))


def _lane(index: _Index, name: str, week: list[date]) -> str | None:
    """Where the last week's traffic went."""
    lanes = {lane for day in week for lane, tokens in index.by_lane[name, day].items() if tokens}
    lanes |= {"api" for day in week if (name, day) in index.is_billed}
    return "both" if len(lanes) == 2 else next(iter(lanes), None)


def _prices(
    index: _Index, rates: Rates, workload: dict[str, Any], demand: dict[str, int], window: list[date], day: date
) -> tuple[dict[str, Fraction] | None, str, dict[str, Fraction] | None]:
    """Per token of a class: billed over tokens where the workload was billed for it, else at list, in the reporting
    currency at the day's rate. None as long as part of the bill has no rate. Last, of traffic that is not billed at
    all, the same if no token came out of a cache.
    """
    if any((workload["workload"], found) in index.is_unconverted for found in window):
        return None, "", None
    dollar = rates.on(day, "USD")
    prices: dict[str, Fraction] = {}
    bases = set()
    for token_class in demand:
        cells = [index.billed[workload["workload"], found].get(token_class) for found in window]
        cost = sum((cell[0] for cell in cells if cell), Fraction(0))
        tokens = sum(cell[1] for cell in cells if cell)
        listed = list_price(workload["api_model"], token_class)
        if tokens:
            prices[token_class] = cost / tokens
            bases.add("realized")
        elif listed is not None and dollar is not None:
            prices[token_class] = listed * dollar / 10**6
            bases.add("list")
        else:
            return None, "", None
    basis = "+".join(sorted(bases, reverse=True))
    uncached = list_price(workload["api_model"], "input_uncached")
    if basis != "list" or "input_cache_read" not in demand or uncached is None or dollar is None:
        return prices, basis, None
    return prices, basis, {**prices, "input_cache_read": uncached * dollar / 10**6}


def _rate(project: Project, index: _Index, deployment_id: str | None, window: list[date], day: date) -> Rate | None:
    """All GPU money of the deployment over all its GPU-hours."""
    cells = [cell for found in window for cell in index.gpu.get((deployment_id or "", found), [])]
    costs = [cost for cost, _, _ in cells if cost is not None]
    if deployment_id is None or not cells or len(costs) < len(cells):
        return None
    milliseconds = sum(ms for _, ms, _ in cells)
    today = sum(ms for _, ms, _ in index.gpu.get((deployment_id, day), []))
    return Rate(
        per_gpu_hour=sum(costs, Fraction(0)) * HOUR_MS / milliseconds,
        basis="+".join(sorted({measure for _, _, measure in cells})),
        provisioned=Fraction(today, DAY_MS * deployment(project, deployment_id)["gpus_per_replica"]),
        cost=sum(costs, Fraction(0)),
    )


def _capacity(
    project: Project, index: _Index, deployment_id: str | None, window: list[date], rate: Rate | None
) -> Capacity | None:
    """Declared, else the best hour seen: at least that."""
    if deployment_id is None:
        return None
    declared = deployment(project, deployment_id)["capacity"]
    if declared and declared["prefill_tokens_per_second"] and declared["decode_tokens_per_second"]:
        prefill = 1 / Fraction(declared["prefill_tokens_per_second"])
        cached = 1 / Fraction(declared["cached_tokens_per_second"] or declared["prefill_tokens_per_second"])
        return Capacity(
            basis="declared",
            source=declared["source"],
            seconds_per_token={
                "input_uncached": prefill,
                "input_cache_write_5m": prefill,
                "input_cache_write_1h": prefill,
                "input_cache_read": cached,
                "output": 1 / Fraction(declared["decode_tokens_per_second"]),
            },
            allowed=allowance(declared),
        )
    hours = {at: tokens for day in window for at, tokens in index.served_hour[deployment_id, day].items()}
    paid = {day: sum(ms for _, ms, _ in index.gpu.get((deployment_id, day), [])) for day in window}
    replica_ms = DAY_MS * deployment(project, deployment_id)["gpus_per_replica"]
    hours = {at: tokens for at, tokens in hours.items() if paid[at.date()]}
    best = min(hours, key=lambda at: (Fraction(-hours[at], paid[at.date()]), at), default=None)
    if best is None or not hours[best] or rate is None or not rate.provisioned:
        return None
    replicas = Fraction(paid[best.date()], replica_ms)
    return Capacity(
        basis="at_least",
        source=f"best observed hour, {best:%Y-%m-%dT%H}:00: {hours[best]} tokens on {replicas} replica-hours",
        seconds_per_token=3600 * replicas / hours[best],
        allowed=Fraction(1),
    )


def _stairs(price: Fraction, capacity: Fraction, rent: Fraction, fixed: Fraction, *, least: int, spare: int) -> Stairs:
    """Walk the stairs: on stair n, up to n x capacity, self-hosting costs fixed + (n + spare) rent at any volume.

    From the stair on whose first token the API is never again cheaper, nothing changes any more.
    """
    if price * capacity <= rent:
        return Stairs(first=None, stable=None, crossing_count=0)

    def is_api_cheaper_just_above(n: int) -> bool:
        above = 0 if n == least else (n - 1) * capacity
        return price * above < fixed + (n + spare) * rent

    last = max(least, math.ceil((fixed + spare * rent + price * capacity) / (price * capacity - rent)))
    first: Fraction | None = None
    stable: Fraction | None = None
    count = 0
    for n in range(least, last + 1):
        volume = (fixed + (n + spare) * rent) / price
        if volume > n * capacity:
            continue  # the API stays cheaper on the whole stair
        if is_api_cheaper_just_above(n):
            first, stable, count = first if first is not None else volume, volume, count + 1
        if is_api_cheaper_just_above(n + 1):
            count += 1  # the next replica, due at this edge, costs more than it displaces
    return Stairs(first=first, stable=stable, crossing_count=count)


def _counts(
    work: list[Fraction],
    capacity: Fraction,
    rent: Fraction,
    fixed: Fraction,
    price: Fraction,
    *,
    least: int,
    spare: int,
) -> dict[str, Any]:
    """C(n) = n rent + [n > 0] fixed + price x what lies above n replicas, for every n up to the busiest hour's."""
    scale = math.lcm(capacity.denominator, *{hour.denominator for hour in work})
    hours = [int(hour * scale) for hour in work]
    step = int(capacity * scale)

    def overflow(n: int) -> Fraction:
        return Fraction(sum(hour - n * step for hour in hours if hour > n * step), scale)

    def cost(n: int) -> Fraction:
        return n * rent + (fixed if n else 0) + price * overflow(n)

    costs = [cost(n) for n in range(math.ceil(Fraction(max(hours), step)) + 1)]
    best = costs.index(min(costs))
    busy = sorted(hours)[math.ceil(_QUANTILE * len(hours)) - 1]
    sized = max(least, math.ceil(busy / ((1 - _HEADROOM) * step))) + spare
    displaced = price * (overflow(best) - overflow(best + 1))
    if best == 0 and displaced > rent:
        # The first replica would earn its rent but not the fixed cost: what the best count of all would displace.
        others = costs[1:] or [cost(1)]
        displaced = price * (overflow(0) - overflow(1 + others.index(min(others))))
    return {
        "all_self_host_cost_rc": cost(sized),
        "all_self_host_replica_count": sized,
        "best_cost_rc": costs[best],
        "best_replica_count": best,
        "next_replica_displaces_rc": displaced,
        "overflow_hours": sum(hour > best * step for hour in hours),
    }


def _recommendation(best: int, lane: str | None, replicas: int) -> str:
    """Fill what is paid for, then release what nothing needs, then switch, then buy."""
    if best == 0:
        return "stay" if lane == "api" else "switch_to_api"
    if lane == "self_host":
        return "release" if best < replicas else "stay"
    return "fill" if best <= replicas else "switch_to_self_host"


def alert_rows(project: Project, verdicts: Rows) -> Rows:
    """fct_alert_states_daily: the announced side, with hysteresis, a dwell and a cooldown; a gap freezes it."""
    rule = project.config["alerts"]
    enter, leave = Fraction(rule["enter_ratio"]), Fraction(rule["exit_ratio"])
    rows: Rows = {}
    for workload in project.config["workloads"]:
        name = workload["workload"]
        days = sorted(day for day, found in verdicts if found == name)
        lanes = [verdicts[day, name].get("current_lane") for day in days]
        side = "self_host" if next((lane for lane in lanes if lane), None) == "self_host" else "api"
        run, fired_on = 0, None
        for day in days:
            verdict = verdicts[day, name]
            ratio = verdict.get("demand_ratio")
            is_settled = verdict["status"] != "not_settled"
            has_crossing = verdict.get("breakeven_crossing_count") is None or (
                verdict["breakeven_first_tokens_per_day"] is not None
            )
            is_frozen = not is_settled or (has_crossing and ratio is None)
            is_fired = False
            if not is_frozen:
                is_across = ratio is not None and (ratio >= enter if side == "api" else ratio <= leave)
                run = run + 1 if has_crossing and is_across else 0
                is_cooling = fired_on is not None and day - fired_on < rule["cooldown_days"] * DAY
                is_fired = run >= rule["dwell_days"] and not is_cooling
            if is_fired:
                side, run, fired_on = "api" if side == "self_host" else "self_host", 0, day
            rows[day, name] = {"state": side, "run_days_count": run, "is_fired": is_fired, "is_frozen": is_frozen}
    return rows
