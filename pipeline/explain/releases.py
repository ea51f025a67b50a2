"""`explain release` and `explain fill`: what of a deployment may go, and what would fit on it, recomputable by hand.

Formulas: economics.md sections 7 and 10, written out here from the marts' rows; the published rows are compared.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from pipeline.explain.evidence import Evidence, NothingToExplainError, Record
from pipeline.explain.explanation import Explanation, Rows, exact_text
from pipeline.explain.near import nearest
from pipeline.explain.verdict_arithmetic import Arithmetic
from pipeline.explain.verdict_inputs import days_in_month

_FREE = Fraction(80, 100)
_QUANTILE = Fraction(99, 100)
_PREFILL = (
    "input_uncached",
    "input_cache_write_5m",
    "input_cache_write_30m",
    "input_cache_write_1h",
    "input_cache_write_12h",
)
_DAY_MS = 86_400_000


def explain_release(evidence: Evidence, *, deployment: str, usage_date: date | None = None) -> Explanation:
    """Rent, work by hour, the busy hour, what is needed, what the API would take, and last week's test of the rule."""
    row = _published(evidence, deployment, usage_date)
    done, tables = Arithmetic(), []
    load = _Load.of(evidence, row)
    if load is not None:
        tables = _write_release(done, evidence, row, load)
    return Explanation(
        title=f"Release of {deployment} on {row['usage_date']}: {row['status']}",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=(*done.lines, *([f"reason: {row['reason']}"] if row["reason"] else [])),
        figures=(_as_list(row, "The figure: fct_scale_downs_daily"),),
        inputs=tuple(tables),
        objects=(),
        equalities=tuple(done.equalities),
        outside_check=_outside(row),
    )


def explain_fill(evidence: Evidence, *, deployment: str, usage_date: date | None = None) -> Explanation:
    """Room of each hour, what of each workload fits into it, and what that avoids at the API."""
    release = _published(evidence, deployment, usage_date, mart="fct_idle_fill_daily")
    day = release["usage_date"]
    rows = evidence.ask("fill", deployment=deployment, usage_date=day)
    done, tables = Arithmetic(), []
    load = _Load.of(evidence, release, days=_settled(evidence, day, 7))
    if load is not None and any(row["fit_tokens"] is not None for row in rows):
        tables = _write_fill(done, evidence, release, load, rows)
    return Explanation(
        title=f"What would fit on {deployment}, {day}",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=(*done.lines, *(f"{row['workload']}: {row['reason']}" for row in rows if row["reason"])),
        figures=tuple(_as_list(row, f"{row['workload']}: fct_idle_fill_daily") for row in rows),
        inputs=tuple(tables),
        objects=(),
        equalities=tuple(done.equalities),
        outside_check=_outside(release),
    )


@dataclass(frozen=True)
class _Load:
    """Work of each hour in replica-seconds, None where nobody watched; and how much of it a replica-hour takes."""

    declared: Record
    days: Sequence[date]
    hours: Sequence[tuple[datetime, Mapping[str, int] | None]]
    rates: Mapping[str, Fraction] | Fraction
    per_hour: Fraction
    spelled: str

    @classmethod
    def of(cls, evidence: Evidence, row: Record, *, days: Sequence[date] | None = None) -> "_Load | None":
        if row["capacity_basis"] is None:
            return None
        name, day = row["deployment_id"], row["usage_date"]
        # A deployment's own share of its hours: what a workload's measured peaks leave is that workload's.
        declared = evidence.ask("verdict_deployment", deployment=name, workload=None, usage_date=day)[-1]
        if days is None:
            settled = [found for found in _settled(evidence, day, 28) if found >= row["window_from_date"]]
            seen = {found["usage_date"] for found in evidence.ask("release_hours", deployment=name, days=settled)}
            paid = {found["usage_date"] for found in evidence.ask("release_paid", deployment=name, days=settled)}
            days = [found for found in settled if found in seen | paid]
        tokens: dict[datetime, dict[str, int]] = {}
        for found in evidence.ask("release_hours", deployment=name, days=list(days)):
            tokens.setdefault(found["usage_hour_at"], {})[found["token_class"]] = int(found["tokens"] or 0)
        hours = [(at, tokens.get(at)) for at in _hours_of(days)]
        prefill, decode = declared["prefill_tokens_per_second"], declared["decode_tokens_per_second"]
        rates: Mapping[str, Fraction] | Fraction
        if prefill is not None and decode is not None:
            cached = declared["cached_tokens_per_second"] or prefill
            rates = dict.fromkeys(_PREFILL, Fraction(prefill)) | {
                "input_cache_read": Fraction(cached),
                "output": Fraction(decode),
            }
        elif declared["tokens_per_second"] is not None:
            rates = Fraction(declared["tokens_per_second"])
        else:
            # The best hour lies in the release's window, which may be longer than the days looked at here.
            rates = Fraction(row["capacity_tokens_per_replica_hour"]) / 3600
            return cls(declared, days, hours, rates, Fraction(3600), f"3600, at least: {row['capacity_source']}")
        allowed = Fraction(declared["peak_allowance"])
        return cls(declared, days, hours, rates, 3600 * allowed, f"3600 x {exact_text(allowed)}")

    def work(self, tokens: Mapping[str, int]) -> Fraction:
        if isinstance(self.rates, Fraction):
            return sum(tokens.values()) / self.rates
        return sum((count / self.rates[name] for name, count in tokens.items() if count), Fraction(0))

    def spelled_work(self, tokens: Mapping[str, int]) -> str:
        if isinstance(self.rates, Fraction):
            return f"{sum(tokens.values())} / {exact_text(self.rates)}"
        return " + ".join(f"{count} / {exact_text(self.rates[name])}" for name, count in tokens.items() if count) or "0"

    @property
    def seen(self) -> list[tuple[datetime, Mapping[str, int]]]:
        return [(at, tokens) for at, tokens in self.hours if tokens is not None]


def _write_release(done: Arithmetic, evidence: Evidence, row: Record, load: _Load) -> list[Rows]:
    named = {"deployment": row["deployment_id"], "days": list(load.days), "usage_date": row["usage_date"]}
    paid = evidence.ask("release_paid", **named)
    done.check("window_days_count", Fraction(len(load.days)), row["window_days_count"])
    done.check("observed_hours", Fraction(len(load.seen)), row["observed_hours"])
    done.check("unobserved_hours", Fraction(len(load.hours) - len(load.seen)), row["unobserved_hours"])
    rent = _write_rent(done, row, load, paid)
    done.step("c, work that a replica takes in an hour", load.spelled, load.per_hour, "replica-seconds")
    done.check("capacity_replica_seconds_per_hour", load.per_hour, row["capacity_replica_seconds_per_hour"])
    work = sorted(load.work(tokens) for _, tokens in load.seen)
    if not work:
        return [Rows.of("GPU time and money by day", paid)]
    have, needed = int(row["replica_count"]), _write_needed(done, row, load, work)
    kept = min(have, needed)
    done.step("safe release", f"max(0, {have} - {needed})", have - kept, "replicas")
    done.check("safe_release_replica_count", Fraction(have - kept), row["safe_release_replica_count"])
    over, _, tokens = _above(load, kept)
    done.check("safe_overflow_hours", Fraction(over), row["safe_overflow_hours"])
    done.check("safe_overflow_tokens", Fraction(tokens), row["safe_overflow_tokens"])
    month = days_in_month(row["usage_date"])
    if rent is not None:
        saved = (have - kept) * rent * 24 * month
        done.step("it saves a month", f"{have - kept} x {exact_text(rent)} x 24 x {month}", saved)
        done.check("safe_saving_rc_per_month", saved, row["safe_saving_rc_per_month"])
    workloads = evidence.ask("release_workloads", **named)
    _write_economic(done, row, load, workloads, rent=rent, whole=sum(work, Fraction(0)))
    _write_backtest(done, row, load)
    return [
        Rows.of("GPU time and money by day", paid),
        Rows.of("Tokens served by workload, and the API price of a million of its tokens", workloads),
        Rows.of(
            "Hours, busiest first (replica-seconds of work)",
            [
                {
                    "usage_hour_at": at,
                    "tokens": sum(tokens.values()),
                    "work_replica_seconds": load.work(tokens),
                    "tokens / tokens per second": load.spelled_work(tokens),
                }
                for at, tokens in sorted(load.seen, key=lambda found: (-load.work(found[1]), found[0]))
            ],
        ),
        _as_list(load.declared, "The deployment as declared"),
    ]


def _write_rent(done: Arithmetic, row: Record, load: _Load, paid: Sequence[Record]) -> Fraction | None:
    gpus = int(load.declared["gpus_per_replica"])
    whole = sum(int(found["gpu_milliseconds"]) for found in paid)
    unwatched = sum(int(found["unobserved_milliseconds"]) for found in paid)
    done.step("share of the GPU time that nobody watched", f"{unwatched} / {whole}", Fraction(unwatched, whole))
    done.check("unobserved_gpu_ratio", Fraction(unwatched, whole), row["unobserved_gpu_ratio"])
    today = sum(int(found["gpu_milliseconds"]) for found in paid if found["usage_date"] == row["usage_date"])
    have = Fraction(today, _DAY_MS * gpus)
    done.step("replicas that are paid for on the day", f"{today} / ({_DAY_MS} x {gpus})", have)
    if have.denominator > 1:
        done.lines.append(f"whole replicas: {round(have)}, the nearest")
    done.check("replica_count", Fraction(round(have)), row["replica_count"])
    if any(found["unpriced_count"] for found in paid):
        done.check("replica_rc_per_hour", None, row["replica_rc_per_hour"])
        return None
    cost = sum((Fraction(found["realized_cost_rc"]) for found in paid), Fraction(0))
    rent = cost / whole * 3_600_000 * gpus
    done.step("R, a replica-hour", f"{exact_text(cost)} / {whole} x 3600000 x {gpus}", rent)
    done.check("replica_rc_per_hour", rent, row["replica_rc_per_hour"])
    return rent


def _write_needed(done: Arithmetic, row: Record, load: _Load, work: Sequence[Fraction]) -> int:
    needed, rank = _needed(load, work)
    minimum, spare = max(1, int(load.declared["minimum_replicas"])), int(load.declared["spare_replicas"])
    peak = work[rank - 1]
    done.step(f"work of hour {rank} of {len(work)}, the p99", exact_text(peak), peak, "replica-seconds")
    done.check("peak_work_replica_seconds", peak, row["peak_work_replica_seconds"])
    done.step(
        "needed, with 20% of c kept free",
        f"max({minimum}, ceil({exact_text(peak)} / (0.8 x {exact_text(load.per_hour)}))) + {spare}",
        needed,
        "replicas",
    )
    done.check("needed_replica_count", Fraction(needed), row["needed_replica_count"])
    return needed


def _needed(load: _Load, ascending: Sequence[Fraction]) -> tuple[int, int]:
    """Replicas, and the place of the hour that they are sized to."""
    rank = math.ceil(_QUANTILE * len(ascending))
    carrying = math.ceil(ascending[rank - 1] / (_FREE * load.per_hour))
    return max(1, int(load.declared["minimum_replicas"]), carrying) + int(load.declared["spare_replicas"]), rank


def _above(load: _Load, count: int, hours: Sequence[Mapping[str, int]] | None = None) -> tuple[int, Fraction, int]:
    """Hours above so many replicas, the work above them, and its share of the tokens."""
    over, above, tokens = 0, Fraction(0), Fraction(0)
    for served in [found for _, found in load.seen] if hours is None else hours:
        work = load.work(served)
        if work > count * load.per_hour:
            over += 1
            above += work - count * load.per_hour
            tokens += sum(served.values()) * (work - count * load.per_hour) / work
    return over, above, round(tokens)


def _write_economic(
    done: Arithmetic,
    row: Record,
    load: _Load,
    workloads: Sequence[Record],
    *,
    rent: Fraction | None,
    whole: Fraction,
) -> None:
    prices = [found["api_price_rc_per_mtok"] for found in workloads]
    if not whole or any(price is None for price in prices):
        done.check("api_price_rc_per_replica_second", None, row["api_price_rc_per_replica_second"])
        return
    spelled = " + ".join(
        f"{found['tokens']} x {exact_text(found['api_price_rc_per_mtok'])} / 1000000" for found in workloads
    )
    cost = sum((int(found["tokens"]) * Fraction(found["api_price_rc_per_mtok"]) for found in workloads), Fraction(0))
    price = cost / 1_000_000 / whole
    done.step("p, the API price of a replica-second", f"({spelled}) / {exact_text(whole)}", price)
    done.check("api_price_rc_per_replica_second", price, row["api_price_rc_per_replica_second"])
    have, hours = int(row["replica_count"]), len(load.hours)
    if rent is None or not have:
        return
    totals: dict[int, Fraction] = {}
    for count in range(min(have, max(1, int(load.declared["minimum_replicas"]))), have + 1):
        over, above, _ = _above(load, count)
        totals[count] = count * rent * hours + price * above
        expression = f"{count} x {exact_text(rent)} x {hours} + {exact_text(price)} x {exact_text(above)}"
        done.step(f"{count} kept, {over} hours above", expression, totals[count])
    best = min(totals, key=lambda count: (totals[count], count))
    over, above, tokens = _above(load, best)
    month, days = days_in_month(row["usage_date"]), len(load.days)
    overflow = price * above / days * month
    saved = (have - best) * rent * 24 * month - overflow
    done.step(
        "the cheapest count saves a month",
        f"{have - best} x {exact_text(rent)} x 24 x {month} - {exact_text(price)} x {exact_text(above)} / {days} "
        f"x {month}",
        saved,
    )
    done.check("economic_release_replica_count", Fraction(have - best), row["economic_release_replica_count"])
    done.check("economic_overflow_hours", Fraction(over), row["economic_overflow_hours"])
    done.check("economic_overflow_tokens", Fraction(tokens), row["economic_overflow_tokens"])
    done.check("economic_overflow_rc_per_month", overflow, row["economic_overflow_rc_per_month"])
    done.check("economic_saving_rc_per_month", saved, row["economic_saving_rc_per_month"])


def _write_backtest(done: Arithmetic, row: Record, load: _Load) -> None:
    if row["backtest_hours"] is None:
        return
    held_out_from = load.days[-1] - timedelta(days=6)
    before = [tokens for at, tokens in load.seen if at.date() < held_out_from]
    week = [tokens for at, tokens in load.seen if at.date() >= held_out_from]
    then, rank = _needed(load, sorted(load.work(tokens) for tokens in before))
    over, _, tokens = _above(load, then, week)
    done.lines.append(
        f"backtest: from the {len(before)} hours before {held_out_from} (hour {rank} by work) the rule keeps {then}; "
        f"{over} of the {len(week)} hours since lay above"
    )
    done.check("backtest_replica_count", Fraction(then), row["backtest_replica_count"])
    done.check("backtest_hours", Fraction(len(week)), row["backtest_hours"])
    done.check("backtest_overflow_hours", Fraction(over), row["backtest_overflow_hours"])
    done.check("backtest_overflow_tokens", Fraction(tokens), row["backtest_overflow_tokens"])


def _write_fill(
    done: Arithmetic, evidence: Evidence, release: Record, load: _Load, rows: Sequence[Record]
) -> list[Rows]:
    moving = [row for row in rows if row["fit_tokens"] is not None]
    names = [row["workload"] for row in moving]
    asked: dict[tuple[str, datetime], dict[str, int]] = {}
    for found in evidence.ask("fill_demand", workloads=names, days=list(load.days)):
        asked.setdefault((found["workload"], found["usage_hour_at"]), {})[found["token_class"]] = int(found["tokens"])
    asked = _moving_part(done, moving, asked)
    times = {row["workload"]: Fraction(row["tokens_per_api_token"] or 1) for row in moving}
    prices: dict[str, Fraction] = {}
    costs: dict[str, Fraction] = {}
    days = len(load.days)
    for row in moving:
        own = [tokens for (name, _), tokens in asked.items() if name == row["workload"]]
        work = sum((load.work(found) for found in own), Fraction(0)) * times[row["workload"]]
        tokens = sum(sum(found.values()) for found in own)
        per_token = Fraction(row["api_price_rc_per_mtok"])
        prices[row["workload"]] = per_token / 1_000_000 * tokens / work
        costs[row["workload"]] = prices[row["workload"]] * work
        expression = f"{exact_text(per_token)} / 1000000 x {tokens} / {exact_text(work)}"
        done.step(f"p of {row['workload']}, a replica-second at the API", expression, prices[row["workload"]])
        done.check(f"{row['workload']} movable_tokens", Fraction(tokens), row["movable_tokens"])
        done.check(f"{row['workload']} api_replica_seconds", work, row["api_replica_seconds"])
        column = "api_price_rc_per_replica_second"
        done.check(f"{row['workload']} {column}", prices[row["workload"]], row[column])
        if row["commitment"] is None:
            done.check(f"{row['workload']} api_committed_cost_rc", Fraction(0), row["api_committed_cost_rc"])
    shared = evidence.ask(
        "fill_commitments",
        deployment=release["deployment_id"],
        usage_date=release["usage_date"],
        days=list(load.days),
    )
    bills = {
        name: _Bill.written(done, [found for found in shared if found["commitment"] == name], moving)
        for name in sorted({found["commitment"] for found in shared})
    }
    dearest = _dearest(moving, prices, costs, {name: bill.left for name, bill in bills.items()})
    order = sorted(names, key=lambda name: (-dearest[name], name))
    ready = max(0, int(release["replica_count"]) - int(load.declared["spare_replicas"]))
    most = ready * load.per_hour
    done.step(
        "work that all replicas but the spare ones take in an hour", f"{ready} x {exact_text(load.per_hour)}", most
    )
    fits: dict[str, list[tuple[int, Fraction]]] = {name: [] for name in names}
    table: list[dict[str, Any]] = []
    for at, served in load.hours:
        record: dict[str, Any] = {"usage_hour_at": at, "served": None if served is None else load.work(served)}
        room = None if served is None else max(Fraction(0), most - load.work(served))
        record["room"] = room
        for name in order:
            tokens_at = asked.get((name, at), {})
            work = load.work(tokens_at) * times[name]
            fit = Fraction(0) if room is None else min(work, room)
            record |= {f"{name} asks": work, f"{name} fits": fit}
            if room is not None and fit:
                room -= fit
                fits[name].append((math.floor(sum(tokens_at.values()) * fit / work), fit))
        table.append(record)
    month = days_in_month(release["usage_date"])
    by_name = {row["workload"]: row for row in moving}
    left = {name: bill.left for name, bill in bills.items()}
    for name in order:
        row = by_name[name]
        fit = sum((found for _, found in fits[name]), Fraction(0))
        tokens = sum(found for found, _ in fits[name])
        moved, spelled = fit * prices[name], f"{exact_text(fit)} x {exact_text(prices[name])}"
        avoided = alone = moved
        if row["commitment"] is not None:
            scope = row["commitment"]
            avoided, alone = min(moved, left[scope]), min(moved, bills[scope].headroom)
            spelled = f"min({spelled}, {exact_text(left[scope])}, what is left of {scope})"
            left[scope] -= avoided
        done.step(f"what fits of {name} avoids", spelled, avoided)
        per_month = avoided / days * month
        done.step(f"a month of {name}", f"{exact_text(avoided)} / {days} x {month}", per_month)
        done.check(f"{name} fit_tokens", Fraction(tokens), row["fit_tokens"])
        done.check(f"{name} fit_hours", Fraction(len(fits[name])), row["fit_hours"])
        done.check(f"{name} fit_replica_seconds", fit, row["fit_replica_seconds"])
        done.check(f"{name} avoided_cost_rc", avoided, row["avoided_cost_rc"])
        done.check(f"{name} avoided_rc_per_month", per_month, row["avoided_rc_per_month"])
        done.check(f"{name} avoided_alone_cost_rc", alone, row["avoided_alone_cost_rc"])
    tables = [Rows.of("Bills under a commitment, by workload", shared)] if shared else []
    return [
        *tables,
        Rows.of("By hour, in replica-seconds; the dearest goes first", table),
        _as_list(load.declared, "The deployment as declared"),
    ]


def _moving_part(
    done: Arithmetic, moving: Sequence[Record], asked: Mapping[tuple[str, datetime], Mapping[str, int]]
) -> dict[tuple[str, datetime], dict[str, int]]:
    """Of each class of each hour the whole tokens that may move; how many own ones each takes is said beside."""
    shares = {row["workload"]: row["movable_share_ratio"] for row in moving}
    part: dict[tuple[str, datetime], dict[str, int]] = {}
    for (name, at), tokens in asked.items():
        share = shares[name]
        part[name, at] = {
            of: count if share is None else math.floor(count * Fraction(share)) for of, count in tokens.items()
        }
    for row in moving:
        name, whole = (
            row["workload"],
            sum(sum(found.values()) for (of, _), found in asked.items() if of == row["workload"]),
        )
        done.check(f"{name} api_tokens", Fraction(whole), row["api_tokens"])
        if row["movable_share_ratio"] is not None:
            share = exact_text(Fraction(row["movable_share_ratio"]))
            done.lines.append(
                f"of {name} a share of {share} may move, as declared: of each class of an hour its whole tokens, "
                f"{row['movable_tokens']} of {whole}"
            )
        if row["tokens_per_api_token"] is not None:
            times = exact_text(Fraction(row["tokens_per_api_token"]))
            done.lines.append(f"a token of {name} is {times} own ones, as declared: its work is as many times as much")
    return part


@dataclass(frozen=True)
class _Bill:
    """A commitment: what its bills are above what is due whatever moves, and what other deployments leave of it."""

    headroom: Fraction
    left: Fraction

    @classmethod
    def written(cls, done: Arithmetic, rows: Sequence[Record], moving: Sequence[Record]) -> "_Bill":
        """`rows`: of the commitment, by workload; `moving`: those that may fill the deployment."""
        name = rows[0]["commitment"]
        [days] = {int(row["fill_days_count"]) for row in rows if row["deployment_id"] is not None}
        due, of_window = Fraction(rows[0]["due_cost_rc"]), int(rows[0]["window_days_count"])
        staying = [row["token_billed_cost_rc"] for row in rows if row["deployment_id"] is None]
        others = sum(map(Fraction, [*staying, *(row["other_billed_cost_rc"] for row in rows)]), Fraction(0))
        asking = [row for row in rows if row["deployment_id"] is not None]
        for row in (row for row in asking if row["staying_tokens"]):
            price, tokens = Fraction(row["api_price_rc_per_mtok"]), int(row["staying_tokens"])
            stays = price * tokens / 1_000_000 / days * of_window
            done.step(
                f"what stays of {row['workload']}, as tokens that may not move or whose hour nobody says",
                f"{exact_text(price)} x {tokens} / 1000000 / {days} x {of_window}",
                stays,
            )
            others += stays
        committed = max(Fraction(0), due - max(Fraction(0), others)) / of_window * days
        done.step(
            f"K of {name}, due whatever moves",
            f"max(0, {exact_text(due)} - max(0, {exact_text(others)})) / {of_window} x {days}",
            committed,
        )
        whole = sum((Fraction(row["api_price_rc_per_mtok"]) * row["movable_tokens"] for row in asking), Fraction(0))
        parts = " + ".join(f"{exact_text(row['api_price_rc_per_mtok'])} x {row['movable_tokens']}" for row in asking)
        headroom = max(committed, whole / 1_000_000) - committed
        expression = f"max({exact_text(committed)}, ({parts}) / 1000000) - {exact_text(committed)}"
        done.step(f"what the bills of {name} are above it", expression, headroom)
        here = min(row["deployment_id"] for row in moving)
        before = [row for row in asking if row["deployment_id"] < here]
        left = max(Fraction(0), headroom - sum((Fraction(row["avoided_cost_rc"]) for row in before), Fraction(0)))
        if before:
            taken = " - ".join(exact_text(row["avoided_cost_rc"]) for row in before)
            done.step(f"what deployments before {here} leave of it", f"max(0, {exact_text(headroom)} - {taken})", left)
        theirs = [row for row in moving if row["commitment"] == name]
        for row in theirs:
            done.check(f"{row['workload']} api_committed_cost_rc", committed, row["api_committed_cost_rc"])
            done.check(f"{row['workload']} api_headroom_cost_rc", headroom, row["api_headroom_cost_rc"])
            joint = sum((Fraction(found["avoided_cost_rc"] or 0) for found in rows), Fraction(0))
            column = "avoided_under_commitment_cost_rc"
            done.check(f"{row['workload']} {column}", joint, row[column])
        return cls(headroom, left)


def _dearest(
    moving: Sequence[Record], prices: Mapping[str, Fraction], costs: Mapping[str, Fraction], left: dict[str, Fraction]
) -> dict[str, Fraction]:
    """What a replica-second of each avoids were all of it to move, the dearer ones of its commitment before it."""
    found: dict[str, Fraction] = {}
    for row in sorted(moving, key=lambda row: (-prices[row["workload"]], row["workload"])):
        name, scope = row["workload"], row["commitment"]
        avoided = costs[name] if scope is None else min(costs[name], left[scope])
        if scope is not None:
            left[scope] -= avoided
        found[name] = avoided / costs[name] * prices[name] if costs[name] else Fraction(0)
    return found


def _published(
    evidence: Evidence, deployment: str, usage_date: date | None, *, mart: str = "fct_scale_downs_daily"
) -> Record:
    """The release of the day, which a filling rests on. Without a day the newest one that `mart` has an answer for."""
    if usage_date is None:
        newest = evidence.select(
            f"select max(usage_date) as usage_date from {mart} "  # noqa: S608 - our own names
            "where deployment_id = $deployment and status not in ('not_settled', 'unknown')",
            {"deployment": deployment},
        )
        usage_date = newest[0]["usage_date"]
    found = [] if usage_date is None else evidence.ask("release", deployment=deployment, usage_date=usage_date)
    if found and (
        mart == "fct_scale_downs_daily" or evidence.ask("fill", deployment=deployment, usage_date=usage_date)
    ):
        return found[0]
    raise _nothing(evidence, deployment, usage_date, mart)


def _nothing(evidence: Evidence, deployment: str, usage_date: date | None, mart: str) -> NothingToExplainError:
    when = f" on {usage_date}" if usage_date is not None else ""
    what = f"Nothing is said of {deployment}{when} in {mart}."
    return nearest(evidence, mart=mart, what=what, wanted={"deployment_id": deployment})


def _settled(evidence: Evidence, day: date, length: int) -> list[date]:
    found = [row["usage_date"] for row in evidence.ask("verdict_days", usage_date=day)]
    return [one for one in found if one > day - timedelta(days=length)]


def _hours_of(days: Sequence[date]) -> list[datetime]:
    return [datetime(day.year, day.month, day.day, hour) for day in days for hour in range(24)]  # noqa: DTZ001


def _as_list(row: Record, title: str) -> Rows:
    """A wide row, one field a line."""
    return Rows(title, ("field", "value"), tuple((name, value) for name, value in row.items() if value is not None))


def _outside(row: Record) -> tuple[str, ...]:
    name, day = row["deployment_id"], row["usage_date"]
    return (
        f"Token counters, with their PromQL: breakeven explain tokens --deployment {name} --date {day}",
        f"GPU money and hours, back to the bill: breakeven explain waste --deployment {name} --date {day}",
    )
