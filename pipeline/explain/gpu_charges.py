"""GPU money recomputed from landed lines: a line to its days, a resource-day to its states. Exact, as law 1 says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor

from pipeline.economics.split import split_exactly
from pipeline.explain.evidence import Record
from pipeline.explain.explanation import quanta

_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - all instants here are UTC, as landed


@dataclass(frozen=True)
class BookedDay:
    """A line's part of one day: amount x milliseconds of the day / milliseconds of the period."""

    usage_date: date
    quanta: int
    day_milliseconds: int
    period_milliseconds: int


def _milliseconds(moment: datetime) -> int:
    return (moment.replace(tzinfo=None) - _EPOCH) // timedelta(milliseconds=1)


def booked_days(line: Mapping[str, object]) -> dict[date, BookedDay]:
    """A landed invoice line on the UTC days of its period; a line that names none is a charge of its own day."""
    start = _milliseconds(datetime.fromisoformat(str(line["period_start"])))
    end = _milliseconds(datetime.fromisoformat(str(line["period_end"])))
    if end <= start:
        day = line["usage_date"]
        assert isinstance(day, date)
        start = _milliseconds(datetime(day.year, day.month, day.day))  # noqa: DTZ001
        end = start + _DAY_MS
    numbers = range(start // _DAY_MS, (end - 1) // _DAY_MS + 1)
    weights = [min(end, (number + 1) * _DAY_MS) - max(start, number * _DAY_MS) for number in numbers]
    amount = quanta(Decimal(str(line["amount"])))
    parts = split_exactly(amount, weights, [f"{number:09d}" for number in numbers])
    days = [_EPOCH.date() + timedelta(days=number) for number in numbers]
    return {
        day: BookedDay(day, part, weight, end - start) for day, part, weight in zip(days, parts, weights, strict=True)
    }


def state_shares(cost: int, cells: Sequence[Record]) -> dict[tuple[str | None, str], int]:
    """(deployment, state) -> its quanta of a resource-day's cost, by GPU-milliseconds.

    Without any paid time the money stays in one piece: a credit, or else unobserved.
    """
    if not cells:
        return {(None, "credit" if cost < 0 else "unobserved"): cost}
    keys = ["\x00".join((_nulls_last(c["gpu_uuid"]), c["state"], _nulls_last(c["deployment_id"]))) for c in cells]
    parts = split_exactly(cost, [cell["gpu_milliseconds"] for cell in cells], keys)
    shares: dict[tuple[str | None, str], int] = {}
    for cell, part in zip(cells, parts, strict=True):
        key = cell["deployment_id"], cell["state"]
        shares[key] = shares.get(key, 0) + part
    return shares


def _nulls_last(text: str | None) -> str:
    return "1" if text is None else f"0{text}"


def accrued(agreement: Record) -> int:
    """A day at the agreed rate: rate x GPUs x 24 hours, or x the GPU-hours that its issuer reports of it."""
    if (reported := agreement["reported_gpu_hours"]) is not None:
        return floor(Fraction(agreement["contract_rate_per_gpu_hour"]) * Fraction(reported) * 10**18 + Fraction(1, 2))
    per_hour = Fraction(agreement["contract_rate_per_gpu_hour"]) * int(agreement["gpu_count"])
    return round(per_hour * 24 * 10**18)


def other_state(charge_kind: str) -> str:
    """Where the lines of a GPU bill that are no GPU's stand."""
    if charge_kind in ("tax", "per_use"):
        return charge_kind
    return "credit" if charge_kind in ("credit", "discount") else "overhead"
