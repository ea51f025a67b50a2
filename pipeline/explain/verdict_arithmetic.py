"""A verdict's arithmetic in the open: each step is a line `what = expression = value` that a reader can recompute.

Formulas: economics.md sections 1 to 4, written out here from the inputs; the published row is compared with them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.explain.condition_arithmetic import write_conditions
from pipeline.explain.evidence import Record
from pipeline.explain.explanation import Equality, exact_text
from pipeline.explain.verdict_inputs import VerdictInputs, commitment_period_days, days_in_month

_MTOK = 1_000_000
_HEADROOM = Fraction(20, 100)
_QUANTILE = Fraction(99, 100)


@dataclass(frozen=True)
class Alternative:
    """So many replicas over the window, the API taking what lies above them."""

    replicas: int
    self_host_cost: Fraction
    overflow_replica_seconds: Fraction
    overflow_hours: int
    api_overflow_cost: Fraction

    @property
    def total_cost(self) -> Fraction:
        return self.self_host_cost + self.api_overflow_cost


@dataclass
class Arithmetic:
    """What was written out so far. `work`: replica-seconds of each hour; `day_work`: of each day known as a sum.

    stairs: of the break-even, where there is one to walk.
    """

    lines: list[str] = field(default_factory=list)
    equalities: list[Equality] = field(default_factory=list)
    alternatives: list[Alternative] = field(default_factory=list)
    work: list[tuple[datetime, Fraction]] = field(default_factory=list)
    day_work: list[Fraction] = field(default_factory=list)
    stairs: "_Stairs | None" = None

    def step(self, what: str, expression: str, value: Fraction | int, unit: str = "") -> None:
        self.lines.append(f"{what} = {expression} = {exact_text(Fraction(value))}{' ' + unit if unit else ''}")

    def check(self, column: str, computed: Fraction | None, published: Decimal | float | int | None) -> None:
        """Money and counts to 18 places, as they are held; the floating ones to 12 digits."""
        if computed is None or published is None:
            self.equalities.append(
                Equality(f"{column}: both are unknown", int(computed is None), int(published is None))
            )
        elif isinstance(published, float):
            claim, held = f"{column}, to 12 digits: recomputed = published", Fraction(published)
            # Two that differ in the sixteenth digit may lie on either side of where the twelfth is rounded.
            is_close = abs(computed - held) <= abs(held) / 10**12
            self.equalities.append(Equality(claim, _digits(held if is_close else computed), _digits(held)))
        else:
            places = Fraction(round(computed * 10**18), 10**18)
            self.equalities.append(Equality(f"{column}: recomputed = published", places, Fraction(published)))


def _digits(value: Fraction) -> Fraction:
    if value == 0:
        return value
    exponent = 12 - len(str(int(abs(value)))) if abs(value) >= 1 else 12
    return Fraction(round(value * Fraction(10) ** exponent)) / Fraction(10) ** exponent


def _n(value: Fraction | Decimal | int) -> str:
    return exact_text(value)


def write_out(inputs: VerdictInputs) -> Arithmetic:
    """As much of the arithmetic as the evidence carries: the same steps in the same order as the verdict."""
    done = Arithmetic()
    row, demand = inputs.row, inputs.tokens()
    week = inputs.week_tokens()
    if week is not None:
        done.step("demand a day, mean of the last 7 days", f"{week} / 7", Fraction(week, 7), "tokens")
    done.check("demand_tokens_per_day", None if week is None else Fraction(week, 7), row["demand_tokens_per_day"])
    api_only = _prices(done, inputs, demand)
    committed = None if api_only is None else _committed(done, inputs, api_only)
    if committed is not None:
        done.check("api_committed_cost_rc", committed, row["api_committed_cost_rc"])
    rate = _rate(done, inputs)
    if api_only is not None and committed is not None and row["status"] == "conditions":
        write_conditions(done, inputs, api_only=max(committed, api_only) - committed, rate=rate)
        return done
    if committed is None:
        return done
    if api_only is None or rate is None or inputs.deployment is None or row["capacity_tokens_per_replica_hour"] is None:
        return done
    capacity = _capacity(done, inputs, demand)
    if capacity is None:
        return done
    per_hour, seconds = capacity
    _economics(
        done,
        inputs,
        demand,
        api_only=api_only,
        committed=committed,
        rate=rate,
        per_hour=per_hour,
        seconds=seconds,
        week=week,
    )
    return done


def _prices(done: Arithmetic, inputs: VerdictInputs, demand: Mapping[str, int]) -> Fraction | None:
    """Price per class, then what all of the window's demand would cost at them."""
    parts = {name: inputs.price_parts(name) for name in demand}
    for name, found in parts.items():
        if found is None:
            done.lines.append(f"price of {name}: neither billed to this workload nor listed for its API model")
            continue
        money, tokens, basis = found
        for cell, moved in inputs.moved(name):
            _repriced(done, inputs, cell, moved)
        expression = f"{_n(money)} / {tokens} x {_MTOK}"
        done.step(f"price of {name} ({basis})", expression, money * _MTOK / tokens, "per 1M tokens")
    known = {name: found for name, found in parts.items() if found is not None}
    if not demand or len(known) < len(demand):
        return None
    api_only = sum((money / tokens * demand[name] for name, (money, tokens, _) in known.items()), Fraction(0))
    expression = " + ".join(f"{_n(money)} / {tokens} x {demand[name]}" for name, (money, tokens, _) in known.items())
    done.step("all of the window's tokens on the API", expression, api_only)
    whole = sum(demand.values())
    done.step("API price at this mix", f"({expression}) / {whole} x {_MTOK}", api_only / whole * _MTOK, "per 1M tokens")
    if _is_left_open(inputs):
        done.lines.append("a commitment leaves the price open: what of it leaves with these tokens is not known")
        done.check("api_price_rc_per_mtok", None, inputs.row["api_price_rc_per_mtok"])
        return None
    done.check("api_price_rc_per_mtok", api_only / whole * _MTOK, inputs.row["api_price_rc_per_mtok"])
    if inputs.row["api_price_without_cache_rc_per_mtok"] is not None:
        dearer, spelled = _without_cache(inputs, demand, api_only)
        done.step("all of them if the API found none in its cache", spelled, dearer)
        column = "api_price_without_cache_rc_per_mtok"
        done.check(column, dearer / whole * _MTOK, inputs.row[column])
    return api_only


def _repriced(done: Arithmetic, inputs: VerdictInputs, cell: Mapping[str, Any], moved: Fraction) -> None:
    """What was billed at a price that no longer holds, at the one that does: billed x now / before, less billed."""
    before, now = inputs.rate(inputs.day, cell["currency_before"]), inputs.rate(inputs.day, cell["currency_now"])
    assert before is not None
    assert now is not None
    old, new = Fraction(cell["cost_per_mtok_before"]) * before, Fraction(cell["cost_per_mtok_now"]) * now
    billed = Fraction(cell["billed_cost_rc"])
    done.step(
        f"{cell['token_class']} of {cell['model']} billed {cell['first_usage_date']} to {cell['last_usage_date']}, "
        f"dearer now by ({cell['price_source_now']})",
        f"{_n(billed)} x {_n(new)} / {_n(old)} - {_n(billed)}",
        moved,
    )


def _is_left_open(inputs: VerdictInputs) -> bool:
    """Whether several commitments, one of a part of the traffic, or one without a rate leave the verdict open."""
    return len(inputs.commitments) > 1 or any(
        contract["elsewhere_count"] or inputs.rate(inputs.day, contract["currency"]) is None
        for contract in inputs.commitments
    )


def _committed(done: Arithmetic, inputs: VerdictInputs, api_only: Fraction) -> Fraction:
    """K, what a commitment makes due whatever moves."""
    if not inputs.commitments:
        return Fraction(0)
    (contract,) = inputs.commitments
    unit = inputs.rate(inputs.day, contract["currency"])
    assert unit is not None
    length, days = commitment_period_days(contract, inputs.day), len(inputs.days)
    amount, minimum = Fraction(contract["commitment_cost"] or 0), Fraction(contract["minimum_monthly_cost"] or 0)
    others = Fraction(contract["others_billed_cost_rc"] or 0)
    of_period, share = Fraction(contract["period_billed_cost_rc"] or 0), min(Fraction(1), Fraction(days, length))
    if of_period:
        spelled = f"{_n(others)} + {_n(of_period)} x {share.numerator} / {share.denominator}"
        others += of_period * share
        done.step("what others use up of it, of what is billed for a period the window's share", spelled, others)
    others = max(Fraction(0), others)
    floor = max(amount / length, minimum / days_in_month(inputs.day)) * days * unit
    of = contract["provider"] if contract["account"] is None else f"{contract['provider']}/{contract['account']}"
    rate = "" if unit == 1 else f" x {_n(unit)}"
    spelled = f"max({_n(amount)} / {length}, {_n(minimum)} / {days_in_month(inputs.day)}) x {days}{rate}"
    done.step(f"due to {of} over the window, used or not", spelled, floor)
    committed = max(Fraction(0), floor - others)
    done.step("K, what of it other traffic does not use up", f"max(0, {_n(floor)} - {_n(others)})", committed)
    avoidable = max(committed, api_only) - committed
    spelled = f"max({_n(committed)}, {_n(api_only)}) - {_n(committed)}"
    done.step("avoidable: what the API's bill falls by if all of it leaves", spelled, avoidable)
    return committed


def _without_cache(inputs: VerdictInputs, demand: Mapping[str, int], api_only: Fraction) -> tuple[Fraction, str]:
    """What the API would cost if it found nothing in its cache, and how that adds up."""
    hit, miss = inputs.price_parts("input_cache_read"), inputs.without_cache()
    assert hit is not None
    assert miss is not None
    count = demand["input_cache_read"]
    spelled = f"{_n(api_only)} + {count} x ({_n(miss[0])} / {miss[1]} - {_n(hit[0])} / {hit[1]})"
    return api_only + count * (miss[0] / miss[1] - hit[0] / hit[1]), spelled


def _rate(done: Arithmetic, inputs: VerdictInputs) -> Fraction | None:
    """The deployment's GPU money over its GPU-hours, all states of the window."""
    if not inputs.gpu or any(row["unpriced_count"] for row in inputs.gpu):
        done.check("gpu_hour_rate_rc", None, inputs.row["gpu_hour_rate_rc"])
        return None
    cost = sum((Fraction(row["realized_cost_rc"]) for row in inputs.gpu), Fraction(0))
    milliseconds = sum(int(row["gpu_milliseconds"]) for row in inputs.gpu)
    rate = cost * 3_600_000 / milliseconds
    done.step("GPU-hour rate", f"{_n(cost)} / {milliseconds} x 3600000", rate, "per GPU-hour")
    done.check("gpu_hour_rate_rc", rate, inputs.row["gpu_hour_rate_rc"])
    return rate


def _allowance(done: Arithmetic, deployment: Record) -> Fraction:
    """The share of a replica-hour that may be filled, and who says so."""
    ratio, basis = Fraction(deployment["peak_allowance"]), deployment["peak_allowance_basis"]
    what = "share of a replica-hour that may be filled"
    if basis == "measured":
        ppm = int(deployment["p99_minute_to_hour_ppm"])
        week = f"minutes of the week from {deployment['peak_week_from_date']}, 99% of the busy hours' over their mean"
        done.step(f"{what} (measured: {week})", f"1000000 / {ppm}", Fraction(1_000_000, ppm))
        done.check("peak_allowance_ratio", Fraction(1_000_000, ppm), deployment["peak_allowance"])
        return ratio
    why = deployment["peak_allowance_reason"]
    done.lines.append(f"{what} = {_n(ratio)} ({basis}{f': {why}' if why else ''})")
    return ratio


def _capacity(done: Arithmetic, inputs: VerdictInputs, demand: Mapping[str, int]) -> tuple[Fraction, Fraction] | None:
    """(tokens of this mix per replica-hour, replica-seconds of work that a replica-hour takes)."""
    rates, whole = inputs.class_rates(), sum(demand.values())
    assert inputs.deployment is not None
    if rates is not None:
        allowance = _allowance(done, inputs.deployment)
        work = sum((count / rates[name] for name, count in demand.items()), Fraction(0))
        expression = " + ".join(f"{count} / {_n(rates[name])}" for name, count in demand.items())
        done.step("work of the window (tokens / declared tokens per second)", expression, work, "replica-seconds")
        per_hour = 3600 * allowance * whole / work
        spelled = f"3600 x {_n(allowance)} x {whole} / ({expression})"
        done.step("capacity of a replica-hour at this mix", spelled, per_hour, "tokens")
        done.check("capacity_tokens_per_replica_hour", per_hour, inputs.row["capacity_tokens_per_replica_hour"])

        def seconds(tokens: Mapping[str, int]) -> Fraction:
            return sum((count / rates[name] for name, count in tokens.items()), Fraction(0))

        done.work = [(hour, seconds(tokens)) for hour, tokens in inputs.hourly_tokens()]
        done.day_work = [seconds(tokens) for tokens in inputs.summed_days().values()]
        return per_hour, 3600 * allowance
    best = inputs.best_hour()
    if best is None or not inputs.provisioned_replicas(inputs.day):
        return None
    hour, tokens, replicas = best
    per_hour = tokens / replicas
    done.step(
        f"capacity of a replica-hour, at least (best observed hour, {hour:%Y-%m-%d %H}:00)",
        f"{tokens} / {_n(replicas)}",
        per_hour,
        "tokens",
    )
    done.check("capacity_tokens_per_replica_hour", per_hour, inputs.row["capacity_tokens_per_replica_hour"])
    done.work = [(at, sum(counts.values()) / (per_hour / 3600)) for at, counts in inputs.hourly_tokens()]
    done.day_work = [sum(counts.values()) / (per_hour / 3600) for counts in inputs.summed_days().values()]
    return per_hour, Fraction(3600)


def _economics(
    done: Arithmetic,
    inputs: VerdictInputs,
    demand: Mapping[str, int],
    *,
    api_only: Fraction,
    committed: Fraction,
    rate: Fraction,
    per_hour: Fraction,
    seconds: Fraction,
    week: int | None,
) -> None:
    row, deployment, hours = inputs.row, inputs.deployment, inputs.hour_count
    assert deployment is not None
    days, whole = len(inputs.days), sum(demand.values())
    gpus = int(deployment["gpus_per_replica"])
    rent = _held(rate * gpus * hours)
    cost = sum((Fraction(found["realized_cost_rc"]) for found in inputs.gpu), Fraction(0))
    milliseconds = sum(int(found["gpu_milliseconds"]) for found in inputs.gpu)
    done.step("R, one replica over the window", f"{_n(cost)} / {milliseconds} x 3600000 x {gpus} x {hours}", rent)
    done.check("replica_cost_rc", rent, row["replica_cost_rc"])
    fixed, spelled = _overheads(inputs)
    done.step("F, overheads over the window", spelled, fixed)
    done.check("fixed_cost_rc", fixed, row["fixed_cost_rc"])
    capacity, price = per_hour * hours, api_only / whole
    done.step("c, what a replica serves over the window", f"{_n(per_hour)} x {hours}", capacity, "tokens")
    done.step("p, the API price of one token", f"{_n(api_only)} / {whole}", price)
    margin = price * capacity - rent
    done.step("margin of a full replica", f"{_n(price)} x {_n(capacity)} - {_n(rent)}", margin)
    done.check("full_replica_margin_rc", margin, row["full_replica_margin_rc"])
    utilization = None
    if price:
        utilization = rent / (price * capacity)
        done.step("break-even utilization", f"{_n(rent)} / ({_n(price)} x {_n(capacity)})", utilization)
    done.check("breakeven_utilization_ratio", utilization, row["breakeven_utilization_ratio"])
    stairs = _Stairs(
        rent=rent,
        fixed=fixed,
        price=price,
        capacity=capacity,
        minimum=max(1, int(deployment["minimum_replicas"])),
        spare=int(deployment["spare_replicas"]),
        committed=committed,
    )
    done.stairs = stairs
    first, stable = stairs.first(), stairs.stable()
    due_anyway = f" + {_n(committed)}" if committed else ""
    for name, column, found in (
        ("first break-even", "breakeven_first_tokens_per_day", first),
        ("stable break-even", "breakeven_stable_tokens_per_day", stable),
    ):
        if found is None:
            done.lines.append(f"{name}: none, at no volume")
            done.check(column, None, row[column])
            continue
        count, volume = found
        done.step(
            f"{name} ({count} serving replicas, {stairs.spare} spare)",
            f"({_n(fixed)} + ({count} + {stairs.spare}) x {_n(rent)}{due_anyway}) / {_n(price)} / {days}",
            volume / days,
            "tokens a day",
        )
        done.check(column, volume / days, row[column])
    ratio = None
    if week is not None and first is not None and first[1]:
        ratio = Fraction(week, 7) / (first[1] / days)
        done.step("demand ratio", f"{week} / 7 / {_n(first[1] / days)}", ratio)
    done.check("demand_ratio", ratio, row["demand_ratio"])
    done.check("api_only_cost_rc", max(committed, api_only), row["api_only_cost_rc"])
    dearer = None
    if row["api_only_without_cache_cost_rc"] is not None:
        dearer, _ = _without_cache(inputs, demand, api_only)
        done.check("api_only_without_cache_cost_rc", max(committed, dearer), row["api_only_without_cache_cost_rc"])
    if done.day_work:
        _bounds(done, inputs, stairs, api_only=api_only, seconds=seconds)
        return
    if row["best_replica_count"] is not None:
        best = _hybrid(done, inputs, stairs, api_only=api_only, seconds=seconds)
        _current(done, inputs, cost=cost, fixed=fixed, committed=committed, best=best.total_cost)
        if dearer is not None:
            most = _best_of([work for _, work in done.work], stairs, api_only=dearer, seconds=seconds)
            done.lines.append(f"best count if the API found no token in its cache: {most.replicas}")
            column = "best_without_cache_replica_count"
            done.check(column, Fraction(most.replicas), row[column])


def _bounds(
    done: Arithmetic, inputs: VerdictInputs, stairs: "_Stairs", *, api_only: Fraction, seconds: Fraction
) -> None:
    """Of days that are known as a sum: the best mix were their hours alike, and were all of a day in one hour."""
    known = [work for _, work in done.work]
    flat = [*known, *(work / 24 for work in done.day_work for _ in range(24))]
    peaked = [*known, *(work if hour == 0 else Fraction(0) for work in done.day_work for hour in range(24))]
    for what, hours, column in (
        ("were the hours of a day alike", flat, "best_cost_least_rc"),
        ("were all of a day in one hour", peaked, "best_cost_most_rc"),
    ):
        best = _best_of(hours, stairs, api_only=api_only, seconds=seconds)
        unit_price, fixed = api_only / sum(hours, Fraction(0)), stairs.fixed if best.replicas else Fraction(0)
        above = stairs.spelled_api(unit_price, best.overflow_replica_seconds)
        spelled = f"{best.replicas} x {_n(stairs.rent)} + {_n(fixed)} + {above}"
        done.step(f"best mix {what}, {best.replicas} replicas", spelled, best.total_cost)
        published = inputs.row[column]
        done.check(column, best.total_cost, inputs.row["best_cost_rc"] if published is None else published)
        if inputs.row["best_replica_count"] is not None:
            done.check("best_replica_count", Fraction(best.replicas), inputs.row["best_replica_count"])


def _best_of(hours: Sequence[Fraction], stairs: "_Stairs", *, api_only: Fraction, seconds: Fraction) -> Alternative:
    unit_price = api_only / sum(hours, Fraction(0))
    every = [
        _alternative(count, hours, stairs, unit_price=unit_price, seconds=seconds)
        for count in range(math.ceil(max(hours) / seconds) + 1)
    ]
    return min(every, key=lambda found: (found.total_cost, found.replicas))


def _overheads(inputs: VerdictInputs) -> tuple[Fraction, str]:
    """A month's amount over that month's own days, in another currency each day at its own rate; and how it adds up."""
    by_currency: dict[str, list[Fraction]] = {}
    for found in inputs.overheads:
        by_currency.setdefault(found["currency"], []).append(Fraction(found["monthly_cost"]))
    in_months = " + ".join(f"{count} / {length}" for length, count in inputs.days_by_month_length().items())
    fixed, parts = Fraction(0), []
    for currency, monthly in by_currency.items():
        rates = [(inputs.rate(day, currency), days_in_month(day)) for day in inputs.days]
        amounts = " + ".join(_n(amount) for amount in monthly)
        weight = sum((rate / length for rate, length in rates if rate is not None), Fraction(0))
        fixed += sum(monthly, Fraction(0)) * weight
        if all(rate == 1 for rate, _ in rates):
            parts.append(f"({amounts}) x ({in_months})")
        else:
            parts.append(f"({amounts}) {currency} x {_n(weight)}, the sum of each day's rate / days of its month")
    return _held(fixed), " + ".join(parts) or "0"


def _held(value: Fraction) -> Fraction:
    """Money as a mart holds it: 18 places."""
    return Fraction(round(value * 10**18), 10**18)


@dataclass(frozen=True)
class _Stairs:
    """S(v) = F + (n + spare) R with n = max(minimum, ceil(v / c)), against p v."""

    rent: Fraction
    fixed: Fraction
    price: Fraction
    capacity: Fraction
    minimum: int
    spare: int
    committed: Fraction = Fraction(0)

    def volume(self, count: int) -> Fraction:
        """Where the API costs what so many serving replicas, and what is due to it anyway, cost."""
        return (self.fixed + self.committed + (count + self.spare) * self.rent) / self.price

    @property
    def overhead(self) -> Fraction:
        """What is paid beside the API whatever the volume, serving replicas not counted."""
        return self.fixed + self.committed + self.spare * self.rent

    def api(self, unit_price: Fraction, overflow: Fraction) -> Fraction:
        return max(self.committed, unit_price * overflow)

    def spelled_api(self, unit_price: Fraction, overflow: Fraction) -> str:
        used = f"{_n(unit_price)} x {_n(overflow)}"
        return f"max({_n(self.committed)}, {used})" if self.committed else used

    def first(self) -> tuple[int, Fraction] | None:
        """The lowest stair whose own break-even lies on it: p n c must reach what n replicas cost."""
        margin = self.price * self.capacity - self.rent
        if self.price == 0 or margin < 0 or (margin == 0 and self.overhead > 0):
            return None
        count = self.minimum if margin == 0 else max(self.minimum, math.ceil(self.overhead / margin))
        return count, self.volume(count)

    def stable(self) -> tuple[int, Fraction] | None:
        """The last stair that begins behind: beyond its break-even no further edge falls behind again."""
        margin = self.price * self.capacity - self.rent
        if margin <= 0:
            return None
        last = math.ceil((self.fixed + self.committed + (self.spare + 1) * self.rent) / margin)
        behind = [n for n in range(max(last + 1, self.minimum), self.minimum - 1, -1) if self._begins_behind(n)]
        return (behind[0], self.volume(behind[0])) if behind else None

    def _begins_behind(self, count: int) -> bool:
        begins_at = 0 if count == self.minimum else (count - 1) * self.capacity
        return self.volume(count) > begins_at


def _hybrid(
    done: Arithmetic, inputs: VerdictInputs, stairs: _Stairs, *, api_only: Fraction, seconds: Fraction
) -> Alternative:
    """C(n) = n R + F (if n > 0) + price of the work above n replicas, for every n that could matter."""
    work = [found for _, found in done.work]
    whole = sum(work, Fraction(0))
    unit_price = api_only / whole
    done.step("price of a replica-second of work", f"{_n(api_only)} / {_n(whole)}", unit_price)
    for count in range(math.ceil(max(work) / seconds) + 1):
        done.alternatives.append(_alternative(count, work, stairs, unit_price=unit_price, seconds=seconds))
    best = min(done.alternatives, key=lambda found: (found.total_cost, found.replicas))
    for found in done.alternatives:
        fixed = _n(stairs.fixed) if found.replicas else "0"
        above = stairs.spelled_api(unit_price, found.overflow_replica_seconds)
        spelled = f"{found.replicas} x {_n(stairs.rent)} + {fixed} + {above}"
        done.step(f"C({found.replicas}), {found.overflow_hours} hours above", spelled, found.total_cost)
    done.check("best_replica_count", Fraction(best.replicas), inputs.row["best_replica_count"])
    done.check("best_cost_rc", best.total_cost, inputs.row["best_cost_rc"])
    done.check("overflow_hours", Fraction(best.overflow_hours), inputs.row["overflow_hours"])
    rank = math.ceil(_QUANTILE * len(work))
    peak = sorted(work)[rank - 1]
    needed = max(stairs.minimum, math.ceil(peak / ((1 - _HEADROOM) * seconds))) + stairs.spare
    done.step(
        f"replicas if all is self-hosted (hour {rank} of {len(work)} by work, 20% headroom)",
        f"max({stairs.minimum}, ceil({_n(peak)} / (0.8 x {_n(seconds)}))) + {stairs.spare}",
        needed,
    )
    done.check("all_self_host_replica_count", Fraction(needed), inputs.row["all_self_host_replica_count"])
    every = _alternative(needed, work, stairs, unit_price=unit_price, seconds=seconds)
    done.check("all_self_host_cost_rc", every.total_cost, inputs.row["all_self_host_cost_rc"])
    return best


def _alternative(
    count: int, work: Sequence[Fraction], stairs: _Stairs, *, unit_price: Fraction, seconds: Fraction
) -> Alternative:
    above = [found - count * seconds for found in work if found > count * seconds]
    overflow = sum(above, Fraction(0))
    return Alternative(
        replicas=count,
        self_host_cost=count * stairs.rent + (stairs.fixed if count else 0),
        overflow_replica_seconds=overflow,
        overflow_hours=len(above),
        api_overflow_cost=stairs.api(unit_price, overflow),
    )


def _current(
    done: Arithmetic, inputs: VerdictInputs, *, cost: Fraction, fixed: Fraction, committed: Fraction, best: Fraction
) -> None:
    """How it is done today: API tokens at their price, a share of the deployment's whole bill, its overheads."""
    api = inputs.tokens("api")
    parts = []
    current = Fraction(0)
    for name, count in api.items():
        found = inputs.price_parts(name)
        if found is not None:
            current += found[0] / found[1] * count
            parts.append(f"{_n(found[0])} / {found[1]} x {count}")
    if committed:
        current, parts = max(committed, current), [f"max({_n(committed)}, {' + '.join(parts) or '0'})"]
    own = sum(int(row["own_tokens"] or 0) for row in inputs.served)
    everyone = sum(int(row["tokens"] or 0) for row in inputs.served)
    if own:
        current += Fraction(own, everyone) * cost + fixed
        parts.append(f"{own} / {everyone} x {_n(cost)} + {_n(fixed)}")
    done.step("cost as it is done today", " + ".join(parts) or "0", current)
    done.check("current_cost_rc", current, inputs.row["current_cost_rc"])
    days = len(inputs.days)
    month = days_in_month(inputs.day)
    saving = (current - best) / days * month
    done.step(f"saving a month of {month} days", f"({_n(current)} - {_n(best)}) / {days} x {month}", saving)
    done.check("saving_rc_per_month", saving, inputs.row["saving_rc_per_month"])
