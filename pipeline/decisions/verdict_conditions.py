"""What would have to be true for a workload to pay on GPUs of its own, where that cannot be decided yet.

Fetches what is known of the case, from the marts and from breakeven.yaml, and leaves the solving to
`pipeline.economics.conditions`.
"""

import math
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.decisions.capacities import hardware_of
from pipeline.decisions.gpu_types import gpu_type_named, gpu_types
from pipeline.decisions.window import Evidence, Row
from pipeline.economics.conditions import Case, Conditions, Quantity, Threshold, conditions
from pipeline.economics.conditions_in_words import in_words
from pipeline.economics.daily_demand import flattest, most_peaked
from pipeline.economics.exact import to_places
from pipeline.economics.plausibility import Hardware, why_it_does_not_fit
from pipeline.economics.roofline import Roofline

_PLACES = 18
_BILLION = 10**9

# The column of fct_verdicts_daily that holds each threshold.
COLUMNS: Mapping[Quantity, str] = {
    "tokens_per_second": "needed_tokens_per_second",
    "self_tokens_per_api_token": "most_self_tokens_per_api_token",
    "gpu_hour_rate": "most_gpu_hour_rate_rc",
    "gpus_per_replica": "most_gpus_per_replica_count",
    "replica_hour_cost": "most_replica_hour_rc",
    "engineering_hours_per_month": "most_engineering_hours_per_month",
    "fixed_cost_per_month": "most_fixed_cost_rc_per_month",
}


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of self-hosting a workload, in the reporting currency. None is unknown."""

    gpu_hour_rate: Fraction | None = None
    gpus_per_replica: int | None = None
    tokens_per_second: Fraction | None = None
    self_tokens_per_api_token: Decimal | int | None = None
    engineering_hours_per_month: Decimal | None = None
    engineering_hour_rate: Fraction | None = None
    fixed_cost: Fraction | None = None
    maximum_utilization_ratio: Decimal | Fraction | int = 1
    roofline: Roofline | None = None
    replica: str = "replica"
    remarks: tuple[str, ...] = ()


def of_candidate(candidate: Row | None, demand: Mapping[str, int], evidence: Evidence) -> Known | str:
    """What breakeven.yaml says of a deployment that does not exist; the problem where its money is not converted."""
    fixed = _shared_overheads(evidence)
    if candidate is None:
        return fixed if isinstance(fixed, str) else Known(fixed_cost=fixed)
    unit = evidence.rates.on(evidence.window.day, candidate["currency"])
    amounts = (candidate["gpu_hour_rate"], candidate["engineering_hour_rate"])
    if unit is None and any(amount is not None for amount in amounts):
        lacking = evidence.rates.lacking(candidate["currency"], [evidence.window.day])
        return f"what its candidate costs is not converted: {lacking}"
    if isinstance(fixed, str):
        return fixed
    hardware, remarks = _hardware(candidate, evidence)
    too_large = None if hardware is None else why_it_does_not_fit(hardware)
    if too_large is not None and candidate["gpus_per_replica"] is not None:
        return f"its candidate is impossible: {too_large}"
    if too_large is not None:
        remarks = (*remarks, f"With one GPU a replica {too_large}.")
    return Known(
        gpu_hour_rate=_converted(candidate["gpu_hour_rate"], unit),
        gpus_per_replica=candidate["gpus_per_replica"],
        tokens_per_second=_fraction(candidate["tokens_per_second"]),
        self_tokens_per_api_token=candidate["tokens_per_api_token"],
        engineering_hours_per_month=candidate["engineering_hours_per_month"],
        engineering_hour_rate=_converted(candidate["engineering_hour_rate"], unit),
        fixed_cost=fixed,
        maximum_utilization_ratio=candidate["peak_allowance"],
        roofline=None if hardware is None else hardware.roofline(demand),
        replica=_replica(candidate),
        remarks=remarks,
    )


def solved(name: str, *, api_cost: Fraction, known: Known, evidence: Evidence) -> dict[str, Any]:
    """Thresholds and their sentence, as columns of fct_verdicts_daily.

    A day that is known as a sum counts as if its hours were even, which is the most that a replica could serve of it:
    so each threshold is necessary however they were. The sentence then says the other extreme too.
    """
    hours, days = evidence.demand_of(name)
    known_hours = [sum(tokens.values()) for day in hours for tokens in day.hours]
    sums = [sum(day.values()) for day in days]
    found = _conditions([*known_hours, *(hour for day in sums for hour in flattest(day))], api_cost, known, evidence)
    texts = [_in_words(found, known, evidence)]
    if sums:
        peaked = [*known_hours, *(hour for day in sums for hour in most_peaked(day))]
        texts = [
            f"Known by the day only. Were every hour of a day alike: {texts[0]}",
            "Were all of a day in one hour: "
            + _in_words(_conditions(peaked, api_cost, known, evidence), known, evidence),
        ]
    row: dict[str, Any] = {
        "peak_tokens_per_second": found.peak_tokens_per_second,
        "roofline_tokens_per_second": _held(known.roofline.tokens_per_second if known.roofline else None),
    }
    for threshold in found.thresholds:
        row[COLUMNS[threshold.quantity]] = _border(threshold)
    return row | {"reason": " ".join([*texts, *known.remarks])}


def _conditions(hours: Sequence[int], api_cost: Fraction, known: Known, evidence: Evidence) -> Conditions:
    months = sum((Fraction(1, monthrange(day.year, day.month)[1]) for day in evidence.window.settled), Fraction(0))
    return conditions(
        Case(
            hourly_tokens=hours,
            api_cost=api_cost,
            months=months,
            gpu_hour_rate=known.gpu_hour_rate,
            gpus_per_replica=known.gpus_per_replica,
            tokens_per_second=known.tokens_per_second,
            self_tokens_per_api_token=known.self_tokens_per_api_token,
            engineering_hours_per_month=known.engineering_hours_per_month,
            engineering_hour_rate=known.engineering_hour_rate,
            fixed_cost_per_month=None if known.fixed_cost is None else known.fixed_cost / months,
            maximum_utilization_ratio=known.maximum_utilization_ratio,
            roofline_tokens_per_second=known.roofline.tokens_per_second if known.roofline else None,
        )
    )


def _in_words(found: Conditions, known: Known, evidence: Evidence) -> str:
    return in_words(found, currency=evidence.reporting_currency, replica=known.replica)


def _shared_overheads(evidence: Evidence) -> Fraction | str | None:
    """Overheads that are declared for no deployment in particular, over the window; None where there is none."""
    rows = [row for row in evidence.overheads if row["deployment_id"] is None]
    if not rows:
        return None
    total = Fraction(0)
    for row in rows:
        for day in evidence.window.settled:
            unit = evidence.rates.on(day, row["currency"])
            if unit is None:
                return f"overheads are not converted: {evidence.rates.lacking(row['currency'], [day])}"
            total += Fraction(row["monthly_cost"]) * unit / monthrange(day.year, day.month)[1]
    return total


def _hardware(candidate: Row, evidence: Evidence) -> tuple[Hardware | None, tuple[str, ...]]:
    """What a candidate is made of, one GPU where their number is not known; and what is to be said of its ceiling."""
    if candidate["gpu_type"] is None:
        return None, ()
    types = gpu_types(evidence.gpu_types)
    if gpu_type_named(types, candidate["gpu_type"]) is None:
        listed = ", ".join(found.gpu_type for found in types.values())
        return None, (f"Roofline unknown: {candidate['gpu_type']} is not one of {listed}.",)
    hardware = hardware_of(candidate, types, gpus=candidate["gpus_per_replica"] or 1)
    if hardware is None:
        return None, ("Roofline unknown: parameters_billions of the candidate is not declared.",)
    return hardware, (f"Roofline: {hardware.whence}.",)


def _replica(candidate: Row) -> str:
    gpus, gpu = candidate["gpus_per_replica"], candidate["gpu_type"]
    if gpu is None:
        return "replica" if gpus is None else f"replica of {gpus} GPU{'s' if gpus > 1 else ''}"
    return f"{gpu} replica" if gpus is None else f"{gpus}x{gpu} replica"


def _converted(amount: Decimal | None, unit: Fraction | None) -> Fraction | None:
    return None if amount is None or unit is None else Fraction(amount) * unit


def _fraction(value: Decimal | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def _border(threshold: Threshold) -> Decimal | None:
    """As many places as the column holds, the last one rounded to the side that pays."""
    if threshold.exact is None:
        return None
    scaled = threshold.exact * 10**_PLACES
    quanta = math.ceil(scaled) if threshold.sense == "at_least" else math.floor(scaled)
    return to_places(Fraction(quanta, 10**_PLACES), _PLACES)


def _held(value: Decimal | None) -> Decimal | None:
    return None if value is None else to_places(Fraction(value), _PLACES)
