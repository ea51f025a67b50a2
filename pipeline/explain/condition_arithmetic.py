"""The conditions of a verdict in the open: at each published threshold the two costs, and what lies beyond it.

Nothing is solved here. A threshold is put into `n R + F <= p sum_h min(x_h, n c)` (economics.md 3 and 4), replica by
replica, and so is the next number that its column can hold on the side that does not pay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

from pipeline.explain.explanation import Equality, exact_text
from pipeline.explain.verdict_inputs import VerdictInputs, days_in_month

Row = Mapping[str, Any]

_QUANTUM = Fraction(1, 10**18)
_TERA = 10**12
_BILLION = 10**9
_MOST_REPLICAS = 100_000


class Page(Protocol):
    """Where steps are written: `verdict_arithmetic.Arithmetic`."""

    lines: list[str]
    equalities: list[Equality]

    def step(self, what: str, expression: str, value: Fraction | int, unit: str = "") -> None: ...

    def check(self, column: str, computed: Fraction | None, published: Decimal | float | int | None) -> None: ...


@dataclass(frozen=True, kw_only=True)
class _Case:
    """What is known, and everything unknown at its best. `throughput` None: one replica serves every hour."""

    hours: Sequence[int]
    price: Fraction
    months: Fraction
    gpu_hour: Fraction
    gpus: int | Fraction
    throughput: Fraction | None
    kappa: Fraction
    allowance: Fraction
    engineering_hours: Fraction
    engineering_hour: Fraction
    fixed_per_month: Fraction

    def displaced(self, count: int) -> Fraction:
        if self.throughput is None:
            return self.price * sum(self.hours)
        room = count * self.throughput * 3600 * self.allowance / self.kappa
        return self.price * sum((min(Fraction(tokens), room) for tokens in self.hours), Fraction(0))

    def self_host_cost(self, count: int) -> Fraction:
        fixed = self.fixed_per_month + self.engineering_hours * self.engineering_hour
        return count * self.gpu_hour * self.gpus * len(self.hours) + fixed * self.months

    def best(self) -> int:
        """What is displaced grows ever less with each replica, so the first step that does not pay ends it."""
        count = 1
        while count < _MOST_REPLICAS:
            more = self.displaced(count + 1) - self.displaced(count)
            if more <= self.self_host_cost(count + 1) - self.self_host_cost(count):
                break
            count += 1
        return count


def write_conditions(done: Page, inputs: VerdictInputs, *, api_only: Fraction, rate: Fraction | None) -> None:
    """Steps and checks of a verdict whose status is `conditions`."""
    row, hours = inputs.row, _hours(inputs)
    busiest = max(hours)
    done.step("busiest hour", f"{busiest} / 3600", Fraction(busiest, 3600), "tokens a second")
    done.check("peak_tokens_per_second", Fraction(busiest, 3600), row["peak_tokens_per_second"])
    roofline = _roofline(done, inputs)
    done.check("roofline_tokens_per_second", roofline, row["roofline_tokens_per_second"])
    case = _case(inputs, hours, api_only=api_only, rate=rate, roofline=roofline)
    done.step("p, the API price of one token", f"{exact_text(api_only)} / {sum(hours)}", case.price)
    for column, field, sign in (
        ("needed_tokens_per_second", "throughput", -1),
        ("most_self_tokens_per_api_token", "kappa", 1),
        ("most_gpu_hour_rate_rc", "gpu_hour", 1),
        ("most_replica_hour_rc", "gpu_hour", 1),
        ("most_gpus_per_replica_count", "gpus", 1),
        ("most_engineering_hours_per_month", "engineering_hours", 1),
        ("most_fixed_cost_rc_per_month", "fixed_per_month", 1),
    ):
        if row[column] is None:
            continue
        border = Fraction(row[column])
        at = replace(case, **{field: border})  # type: ignore[arg-type]
        count = at.best()
        displaced, cost = at.displaced(count), at.self_host_cost(count)
        done.lines.append(
            f"{column} {exact_text(row[column])}: with everything unknown at its best, {count} replicas displace "
            f"{exact_text(displaced)} of API cost for {exact_text(cost)}"
        )
        beyond = border + sign * (1 if field == "gpus" else _QUANTUM)
        pays_beyond = 0
        if beyond > 0:
            past = replace(case, **{field: beyond})  # type: ignore[arg-type]
            least = past.best()
            pays_beyond = int(past.displaced(least) >= past.self_host_cost(least))
        claim = f"{column}: at it self-hosting costs no more than the API, and beyond it more"
        done.equalities.append(Equality(claim, int(displaced >= cost) - pays_beyond, 1))


def _hours(inputs: VerdictInputs) -> list[int]:
    """Tokens of each hour; of a day that is known as a sum, as even as whole tokens can be."""
    hours = [sum(tokens.values()) for _, tokens in inputs.hourly_tokens()]
    for by_class in inputs.summed_days().values():
        tokens = sum(by_class.values())
        hours += [tokens // 24 + (1 if hour < tokens % 24 else 0) for hour in range(24)]
    return hours


def _case(
    inputs: VerdictInputs, hours: Sequence[int], *, api_only: Fraction, rate: Fraction | None, roofline: Fraction | None
) -> _Case:
    months = sum((Fraction(1, days_in_month(day)) for day in inputs.days), Fraction(0))
    case = _Case(
        hours=hours,
        price=api_only / sum(hours),
        months=months,
        gpu_hour=Fraction(0),
        gpus=1,
        throughput=roofline,
        kappa=Fraction(1),
        allowance=Fraction(1),
        engineering_hours=Fraction(0),
        engineering_hour=Fraction(0),
        fixed_per_month=_fixed(inputs) / months,
    )
    if inputs.deployment is not None:
        throughput, allowance = _throughput(inputs)
        gpus = int(inputs.deployment["gpus_per_replica"])
        return replace(case, gpu_hour=rate or Fraction(0), gpus=gpus, throughput=throughput, allowance=allowance)
    if inputs.candidate is None:
        return case
    said = inputs.candidate
    unit = inputs.rate(inputs.day, said["currency"]) or Fraction(0)
    return replace(
        case,
        gpu_hour=Fraction(said["gpu_hour_rate"] or 0) * unit,
        gpus=int(said["gpus_per_replica"] or 1),
        throughput=roofline if said["tokens_per_second"] is None else Fraction(said["tokens_per_second"]),
        kappa=Fraction(said["tokens_per_api_token"] or 1),
        allowance=Fraction(said["peak_allowance"]),
        engineering_hours=Fraction(said["engineering_hours_per_month"] or 0),
        engineering_hour=Fraction(said["engineering_hour_rate"] or 0) * unit,
    )


def _fixed(inputs: VerdictInputs) -> Fraction:
    """Overheads over the window, each day at its own rate."""
    return sum(
        (
            Fraction(found["monthly_cost"]) * (inputs.rate(day, found["currency"]) or 0) / days_in_month(day)
            for found in inputs.overheads
            for day in inputs.days
        ),
        Fraction(0),
    )


def _throughput(inputs: VerdictInputs) -> tuple[Fraction | None, Fraction]:
    """Tokens a second of this mix, and how much of an hour may be filled; None without a declared capacity."""
    rates, demand = inputs.class_rates(), inputs.tokens()
    if inputs.row["capacity_basis"] is None:
        # None is declared, or what is declared is impossible.
        return None, Fraction(1)
    if rates is None or inputs.deployment is None:
        return None, Fraction(1)
    seconds = sum((count / rates[name] for name, count in demand.items()), Fraction(0))
    return sum(demand.values()) / seconds, Fraction(inputs.deployment["peak_allowance"])


def _roofline(done: Page, inputs: VerdictInputs) -> Fraction | None:
    said, demand = inputs.candidate, inputs.tokens()
    if inputs.deployment is not None or said is None:
        return None
    if said["parameters_billions"] is None or said["bf16_teraflops"] is None:
        return None
    demanded = sum(demand.values())
    computed = sum(count for name, count in demand.items() if name != "input_cache_read")
    gpus, active = int(said["gpus_per_replica"] or 1), said["active_parameters_billions"] or said["parameters_billions"]
    whence = f"{said['gpu_type']}, {said['gpu_source']}, {said['gpu_read_on_date']}"
    bounds: list[Fraction] = []
    if computed:
        teraops = _teraops(said)
        bounds.append(gpus * teraops * _TERA * demanded / (2 * Fraction(active) * _BILLION * computed))
        done.step(
            f"compute roofline ({whence})",
            f"{gpus} x {exact_text(teraops)} x {_TERA} x {demanded} "
            f"/ (2 x {exact_text(active)} x {_BILLION} x {computed})",
            bounds[-1],
            "tokens a second",
        )
    read = _read_bytes(done, said, gpus=gpus, active=Fraction(active))
    if read and demand.get("output"):
        bandwidth = Fraction(said["memory_terabytes_per_second"])
        bounds.append(gpus * bandwidth * _TERA * demanded / (demand["output"] * read))
        done.step(
            f"memory bandwidth roofline ({whence})",
            f"{gpus} x {exact_text(bandwidth)} x {_TERA} x {demanded} / ({demand['output']} x {exact_text(read)})",
            bounds[-1],
            "tokens a second",
        )
    return min(bounds, default=None)


def _teraops(said: Row) -> Fraction:
    """Dense, of the narrowest arithmetic that weights of so many bytes allow."""
    size = Fraction(said["bytes_per_parameter"])
    eight, four = said["eight_bit_teraops"], said["four_bit_teraops"]
    narrow = None if size >= 2 else eight if size >= 1 else four or eight
    return Fraction(said["bf16_teraflops"] if narrow is None else narrow)


def _read_bytes(done: Page, said: Row, *, gpus: int, active: Fraction) -> Fraction:
    """What a written token reads at least: its share of the active weights, and its request's own cache."""
    size = Fraction(said["bytes_per_parameter"])
    cache, held = Fraction(0), []
    if said["kv_bytes_per_token"] is not None and said["context_tokens"] is not None:
        cache = Fraction(said["kv_bytes_per_token"]) * Fraction(said["context_tokens"])
        room = (
            gpus * Fraction(said["memory_gigabytes"]) * 2**30 - Fraction(said["parameters_billions"]) * _BILLION * size
        )
        held += [room / cache] if room > 0 else []
    if said["requests_at_once_count"] is not None:
        held.append(Fraction(said["requests_at_once_count"]))
    per_step = Fraction(said["tokens_per_step"])
    if not held and not cache:
        return Fraction(0)
    weights = active * _BILLION * size / min(held) if held else Fraction(0)
    read = (weights + cache) / per_step
    done.step(
        "bytes read for a written token",
        f"({exact_text(weights)} + {exact_text(cache)}) / {exact_text(per_step)}",
        read,
    )
    return read
