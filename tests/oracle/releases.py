"""What may be released of each deployment, and what would fit on its idle replicas: hour by hour, slow and plain."""

import itertools
import math
from calendar import monthrange
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.oracle.landed import Project, midnight
from tests.oracle.rules import allowance
from tests.oracle.served import ServedHour
from tests.oracle.spool import DAY_MS, HOUR_MS

Rows = dict[tuple[Any, ...], dict[str, Any]]
Tokens = Mapping[str, int]


@dataclass(frozen=True)
class _Load:
    """Of one deployment: tokens by class, and by workload, of each hour that has a reading at all; money and time."""

    hours: dict[datetime, dict[str, int]]
    owners: dict[date, dict[str, int]]
    paid: dict[date, list[tuple[Fraction | None, int, str]]]


@dataclass(frozen=True)
class _Replica:
    """How long a token of each class takes one replica, and how much of an hour may be filled."""

    basis: str
    source: str
    seconds: Mapping[str, Fraction] | Fraction
    allowed: Fraction

    def work(self, tokens: Tokens) -> Fraction:
        if isinstance(self.seconds, Fraction):
            return sum(tokens.values()) * self.seconds
        counted = [(count, self.seconds[name]) for name, count in tokens.items() if count]
        whole = math.lcm(*(each.denominator for _, each in counted))
        return Fraction(sum(count * each.numerator * (whole // each.denominator) for count, each in counted), whole)

    @property
    def hour(self) -> Fraction:
        return 3600 * self.allowed


def release_rows(
    project: Project, tables: Mapping[str, Rows], hours: dict[ServedHour, list[int]], *, days: list[date]
) -> Rows:
    """fct_scale_downs_daily, without its sentences."""
    settled = {key[0] for key, row in tables["fct_day_status_daily"].items() if row["status"] == "settled"}
    loads = _loads(tables, hours)
    rows: Rows = {}
    for day, declared in itertools.product(days, project.config["deployments"]):
        name = declared["deployment"]
        prices = {
            key[1]: row["api_price_rc_per_mtok"] / 10**6
            for key, row in tables["fct_verdicts_daily"].items()
            if key[0] == day and row.get("api_price_rc_per_mtok") is not None
        }
        rows[day, name] = _release(declared, loads[name], prices, day=day, settled=settled)
    return rows


def _loads(tables: Mapping[str, Rows], hours: dict[ServedHour, list[int]]) -> dict[str, _Load]:
    loads: dict[str, _Load] = defaultdict(
        lambda: _Load(
            hours=defaultdict(lambda: defaultdict(int)),
            owners=defaultdict(lambda: defaultdict(int)),
            paid=defaultdict(list),
        )
    )
    for hour, (count, _) in hours.items():
        if hour.deployment_id is not None:
            loads[hour.deployment_id].hours[hour.hour_at][hour.token_class] += count
            loads[hour.deployment_id].owners[hour.hour_at.date()][hour.workload] += count
    for key, row in tables["fct_gpu_costs_daily"].items():
        if key[4] is not None and row["gpu_milliseconds"]:
            loads[key[4]].paid[key[0]].append((row["realized_cost_rc"], row["gpu_milliseconds"], key[5]))
    return loads


def _release(
    declared: Mapping[str, Any], load: _Load, prices: Mapping[str, Fraction], *, day: date, settled: set[date]
) -> dict[str, Any]:
    seen_days = {at.date() for at in load.hours}
    window = [found for found in _window(day, 28, settled) if found in seen_days or found in load.paid]
    row: dict[str, Any] = dict.fromkeys(_RELEASE_COLUMNS) | {
        "status": "not_settled",
        "window_from_date": min(window, default=None),
        "window_days_count": len(window),
    }
    if day not in settled:
        return row
    cells = [cell for found in window for cell in load.paid.get(found, [])]
    whole_ms = sum(ms for _, ms, _ in cells)
    today_ms = sum(ms for _, ms, _ in load.paid.get(day, []))
    assert today_ms, "the demo pays for every deployment every day"
    have = round(Fraction(today_ms, DAY_MS * declared["gpus_per_replica"]))
    rent = None
    if all(cost is not None for cost, _, _ in cells):
        rent = sum((cost for cost, _, _ in cells if cost is not None), Fraction(0)) * HOUR_MS / whole_ms
        rent *= declared["gpus_per_replica"]
    replica = _replica(declared, load, window)
    every = [load.hours.get(midnight(found) + timedelta(hours=hour)) for found in window for hour in range(24)]
    seen = [tokens for tokens in every if tokens is not None]
    work = [replica.work(tokens) for tokens in seen]
    unobserved = Fraction(sum(ms for _, ms, state in cells if state == "unobserved"), whole_ms)
    needed, peak = _needed(declared, replica, work)
    owners: dict[str, int] = defaultdict(int)
    for found in window:
        for workload, tokens in load.owners.get(found, {}).items():
            owners[workload] += tokens
    price = None
    if sum(work) and all(workload in prices for workload, tokens in owners.items() if tokens):
        price = sum(prices[workload] * tokens for workload, tokens in owners.items() if tokens) / sum(work)
    kept = min(have, needed)
    month = monthrange(day.year, day.month)[1]
    over_hours, over_work, over_tokens = _above(replica, seen, kept)
    row |= {
        "observed_hours": len(seen),
        "unobserved_hours": len(every) - len(seen),
        "unobserved_gpu_ratio": unobserved,
        "replica_count": have,
        "replica_rc_per_hour": rent,
        "replica_rc_per_month": None if rent is None else rent * 24 * month,
        "capacity_basis": replica.basis,
        "capacity_source": replica.source,
        "capacity_tokens_per_replica_hour": 3600 / replica.seconds if isinstance(replica.seconds, Fraction) else None,
        "capacity_replica_seconds_per_hour": replica.hour,
        "peak_work_replica_seconds": peak,
        "needed_replica_count": needed,
        "safe_release_replica_count": have - kept,
        "safe_overflow_hours": over_hours,
        "safe_overflow_tokens": over_tokens,
        "safe_saving_rc_per_month": None if rent is None else (have - kept) * rent * 24 * month,
        "api_price_rc_per_replica_second": price,
    }
    if price is not None and rent is not None:
        costs = {}
        for count in range(min(have, max(1, declared["minimum_replicas"])), have + 1):
            costs[count] = count * rent * 24 * len(window) + price * _above(replica, seen, count)[1]
        best = min(costs, key=lambda count: (costs[count], count))
        over_hours, over_work, over_tokens = _above(replica, seen, best)
        overflow = price * over_work / len(window) * month
        row |= {
            "economic_release_replica_count": have - best,
            "economic_overflow_hours": over_hours,
            "economic_overflow_tokens": over_tokens,
            "economic_overflow_rc_per_month": overflow,
            "economic_saving_rc_per_month": (have - best) * rent * 24 * month - overflow,
        }
    is_moving = False
    before = [found for found in window if found < window[-1] - timedelta(days=6)]
    if before:
        trained, week = (
            [
                tokens
                for found in days
                for hour in range(24)
                if (tokens := load.hours.get(midnight(found) + timedelta(hours=hour))) is not None
            ]
            for days in (before, window[len(before) :])
        )
        then, _ = _needed(declared, replica, [replica.work(tokens) for tokens in trained])
        over_hours, _, over_tokens = _above(replica, week, then)
        is_moving = over_hours * 100 > len(week)
        row |= {
            "backtest_days_count": len(before),
            "backtest_replica_count": then,
            "backtest_hours": len(week),
            "backtest_overflow_hours": over_hours,
            "backtest_overflow_tokens": over_tokens,
        }
    if replica.basis == "at_least":
        by_hour: dict[int, list[Fraction]] = defaultdict(list)
        for found, hour in itertools.product(window, range(24)):
            tokens = load.hours.get(midnight(found) + timedelta(hours=hour))
            if tokens is not None:
                by_hour[hour].append(replica.work(tokens))
        quiet = min(by_hour, key=lambda hour: (sum(by_hour[hour]) / len(by_hour[hour]), hour))
        row["quiet_hour_at"] = midnight(day) + timedelta(hours=quiet)
    row["status"] = "release" if have > kept else "keep"
    if needed > have and replica.basis == "declared":
        row["status"] = "short"
    weekdays = [sum(found.weekday() == weekday for found in window) for weekday in range(7)]
    is_unwatched = 20 * (len(every) - len(seen)) > len(every) or unobserved > Fraction(1, 20)
    if len(window) < 14 or min(weekdays) < 2 or is_unwatched or is_moving:
        row["status"] = "refused"
    return row


def _window(day: date, length: int, settled: set[date]) -> list[date]:
    return sorted(found for found in settled if day - timedelta(days=length) < found <= day)


def _replica(declared: Mapping[str, Any], load: _Load, window: list[date]) -> _Replica:
    capacity = declared["capacity"]
    if capacity:
        prefill = 1 / Fraction(capacity["prefill_tokens_per_second"])
        return _Replica(
            basis="declared",
            source=capacity["source"],
            seconds={
                "input_uncached": prefill,
                "input_cache_write_5m": prefill,
                "input_cache_write_1h": prefill,
                "input_cache_read": 1 / Fraction(capacity["cached_tokens_per_second"]),
                "output": 1 / Fraction(capacity["decode_tokens_per_second"]),
            },
            allowed=allowance(capacity),
        )
    hours = {at: sum(tokens.values()) for at, tokens in load.hours.items() if at.date() in set(window)}
    paid = {found: sum(ms for _, ms, _ in load.paid.get(found, [])) for found in window}
    replica_ms = DAY_MS * declared["gpus_per_replica"]
    assert not any(ms % replica_ms for ms in paid.values()), "the demo pays for whole replicas every day"
    best = min((at for at in hours if paid[at.date()]), key=lambda at: (Fraction(-hours[at], paid[at.date()]), at))
    replicas = Fraction(paid[best.date()], replica_ms)
    return _Replica(
        basis="at_least",
        source=f"best observed hour, {best:%Y-%m-%dT%H}:00: {hours[best]} tokens on {replicas} replica-hours",
        seconds=3600 * replicas / hours[best],
        allowed=Fraction(1),
    )


def _needed(declared: Mapping[str, Any], replica: _Replica, work: list[Fraction]) -> tuple[int, Fraction]:
    peak = sorted(work)[math.ceil(Fraction(99, 100) * len(work)) - 1]
    carrying = math.ceil(peak / (replica.hour * Fraction(4, 5)))
    return max(1, declared["minimum_replicas"], carrying) + declared["spare_replicas"], peak


def _above(replica: _Replica, hours: list[dict[str, int]], count: int) -> tuple[int, Fraction, int]:
    over, work, whole = 0, Fraction(0), Fraction(0)
    for tokens in hours:
        asked = replica.work(tokens)
        if asked > count * replica.hour:
            above = asked - count * replica.hour
            over += 1
            work += above
            whole += sum(tokens.values()) * above / asked
    return over, work, round(whole)


def fill_rows(
    project: Project, tables: Mapping[str, Rows], hours: dict[ServedHour, list[int]], *, days: list[date]
) -> Rows:
    """fct_idle_fill_daily, without its sentences."""
    settled = {key[0] for key, row in tables["fct_day_status_daily"].items() if row["status"] == "settled"}
    loads = _loads(tables, hours)
    api: dict[tuple[str, datetime], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (_, hour_at, workload, lane, _, token_class), row in tables["fct_demand_hourly"].items():
        if lane == "api":
            api[workload, hour_at][token_class] += row["tokens"]
    rows: Rows = {}
    for day, declared in itertools.product(days, project.config["deployments"]):
        name = declared["deployment"]
        window = _window(day, 7, settled)
        hours_at = [midnight(found) + timedelta(hours=hour) for found in window for hour in range(24)]
        moving = [
            one["workload"]
            for one in project.config["workloads"]
            if one["deployment"] == name and any(sum(api[one["workload"], at].values()) for at in hours_at)
        ]
        assert all(one["pinned_to"] is None for one in project.config["workloads"]), "the demo pins nothing"
        assert all(not one.get("movable_share") for one in project.config["workloads"]), "the demo declares no quality"
        release = tables["fct_scale_downs_daily"][day, name]
        for workload in moving:
            rows[day, name, workload] = dict.fromkeys(_FILL_COLUMNS) | {
                "status": "unknown",
                "window_from_date": min(window, default=None),
                "window_days_count": len(window),
                "spare_replica_count": declared["spare_replicas"],
                "api_tokens": sum(sum(api[workload, at].values()) for at in hours_at),
                "movable_tokens": sum(sum(api[workload, at].values()) for at in hours_at),
                "movable_share_ratio": None,
                "tokens_per_api_token": None,
            }
        if day not in settled or not moving:
            continue
        prices = {one: tables["fct_verdicts_daily"][day, one].get("api_price_rc_per_mtok") for one in moving}
        replica = _replica(declared, loads[name], _window(day, 28, settled))
        known = {one: price / 10**6 for one, price in prices.items() if price is not None}
        served = [loads[name].hours.get(at) for at in hours_at]
        asked = {one: [api[one, at] for at in hours_at] for one in known}
        work = {one: sum((replica.work(tokens) for tokens in asked[one]), Fraction(0)) for one in known}
        per_second = {one: known[one] * rows[day, name, one]["api_tokens"] / work[one] for one in known}
        can_go = release["safe_release_replica_count"] if release["status"] == "release" else 0
        fills = []
        for count in range(can_go + 1):
            ready = release["replica_count"] - count - declared["spare_replicas"]
            fills.append(_fill(replica, served, asked, per_second, replicas=max(0, ready)))
        rent = release["replica_rc_per_hour"]
        best = 0
        if rent is not None:
            saved = [
                count * rent * len(hours_at) + sum((seconds * per_second[one] for one, (_, seconds, _) in fill.items()))
                for count, fill in enumerate(fills)
            ]
            best = saved.index(max(saved))
        watched = sum(tokens is not None for tokens in served)
        for workload in moving:
            rows[day, name, workload] |= {"replica_count": release["replica_count"], "capacity_basis": replica.basis}
            if workload not in known:
                continue
            tokens, seconds, in_hours = fills[0][workload]
            avoided = seconds * per_second[workload]
            rows[day, name, workload] |= {
                "status": "fits" if tokens else "nothing_fits",
                "watched_hours": watched,
                "unobserved_hours": len(hours_at) - watched,
                "capacity_replica_seconds_per_hour": replica.hour,
                "api_replica_seconds": work[workload],
                "api_price_rc_per_replica_second": per_second[workload],
                "api_committed_cost_rc": Fraction(0),
                "fit_hours": in_hours,
                "fit_tokens": tokens,
                "fit_replica_seconds": seconds,
                "fit_tokens_per_day": Fraction(tokens, len(window)),
                "avoided_cost_rc": avoided,
                "avoided_alone_cost_rc": avoided,
                "avoided_rc_per_month": avoided / len(window) * monthrange(day.year, day.month)[1],
                "release_beside_replica_count": best,
                "fit_beside_release_tokens": fills[best][workload][0],
            }
    return rows


def _fill(
    replica: _Replica,
    served: list[dict[str, int] | None],
    asked: Mapping[str, list[dict[str, int]]],
    prices: Mapping[str, Fraction],
    *,
    replicas: int,
) -> dict[str, tuple[int, Fraction, int]]:
    """(tokens, replica-seconds, hours) that fit of each workload; the dearest goes first in every hour."""
    found = {one: (0, Fraction(0), 0) for one in asked}
    for index, busy in enumerate(served):
        if busy is None:
            continue
        room = replicas * replica.hour - replica.work(busy)
        for one in sorted(asked, key=lambda one: (-prices[one], one)):
            whole = replica.work(asked[one][index])
            fits = min(whole, max(room, Fraction(0)))
            if fits:
                room -= fits
                tokens, seconds, hours = found[one]
                moved = math.floor(sum(asked[one][index].values()) * fits / whole)
                found[one] = tokens + moved, seconds + fits, hours + 1
    return found


_RELEASE_COLUMNS = (
    "observed_hours",
    "unobserved_hours",
    "unobserved_gpu_ratio",
    "replica_count",
    "replica_rc_per_hour",
    "replica_rc_per_month",
    "capacity_basis",
    "capacity_source",
    "capacity_tokens_per_replica_hour",
    "capacity_replica_seconds_per_hour",
    "peak_work_replica_seconds",
    "needed_replica_count",
    "safe_release_replica_count",
    "safe_overflow_hours",
    "safe_overflow_tokens",
    "safe_saving_rc_per_month",
    "api_price_rc_per_replica_second",
    "economic_release_replica_count",
    "economic_overflow_hours",
    "economic_overflow_tokens",
    "economic_overflow_rc_per_month",
    "economic_saving_rc_per_month",
    "backtest_days_count",
    "backtest_replica_count",
    "backtest_hours",
    "backtest_overflow_hours",
    "backtest_overflow_tokens",
    "quiet_hour_at",
)
_FILL_COLUMNS = (
    "watched_hours",
    "unobserved_hours",
    "replica_count",
    "capacity_basis",
    "capacity_replica_seconds_per_hour",
    "api_replica_seconds",
    "api_price_rc_per_replica_second",
    "commitment",
    "api_committed_cost_rc",
    "api_headroom_cost_rc",
    "fit_hours",
    "fit_tokens",
    "fit_replica_seconds",
    "fit_tokens_per_day",
    "avoided_cost_rc",
    "avoided_rc_per_month",
    "avoided_alone_cost_rc",
    "avoided_under_commitment_cost_rc",
    "release_beside_replica_count",
    "fit_beside_release_tokens",
)
