"""From landed charges to the rows of fct_gpu_costs_daily: the money side of `explain waste`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Any

from pipeline.explain.evidence import Evidence, Record
from pipeline.explain.explanation import exact_text, from_quanta, quanta
from pipeline.explain.gpu_charges import BookedDay, accrued, booked_days, other_state, state_shares

RESOURCE_DAY = ("usage_date", "issuer", "account", "resource_id", "cost_measure", "billing_currency")
ROW = (*RESOURCE_DAY, "deployment_id", "state")
_RESOURCE = ("usage_date", "issuer", "resource_id")
_REPORTED = "stg_focus_usage__gpu_hours_daily"
_LINE = ("account", "invoice_id", "line_number")
_CHARGE = ("usage_date", "source", "account", "charge_id", "cost_measure")
_EXACT = Context(prec=60, traps=[Inexact])


@dataclass(frozen=True)
class GpuMoney:
    """The landed rows behind the chosen ones, and what they make of each mart row, in quanta.

    `lines`: invoice lines, whose period is split over its days. `daily`: rows that charge one day each. `reported`:
    rows of usage without a price, whose GPU-hours are the quantity of an accrual.
    """

    lines: Sequence[Record]
    daily: Sequence[Record]
    agreements: Sequence[Record]
    reported: Sequence[Record]
    arithmetic: Sequence[Record]
    costs: Mapping[tuple[Any, ...], int]


def key_of(row: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def gpu_money(
    evidence: Evidence, chosen: Sequence[Record], charges: Sequence[Record], states: Sequence[Record]
) -> GpuMoney:
    """The money of the chosen rows from the landed rows behind their charges, which are traced already."""
    used = {key_of(row, _LINE) for row in charges if row["line_number"] is not None}
    invoices = sorted({invoice_id for _, invoice_id, _ in used})
    lines = [row for row in evidence.ask("gpu_invoice_lines", invoices=invoices) if key_of(row, _LINE) in used]
    daily = [{**row, "amount": _own_amount(evidence, row)} for row in evidence.ask("gpu_daily_charges")]
    reported = _reported(evidence, {row["usage_date"] for row in chosen if row["cost_measure"] == "accrued"})
    hours: dict[tuple[Any, ...], Fraction] = defaultdict(Fraction)
    for row in reported:
        hours[key_of(row, _RESOURCE)] += Fraction(row["reported_gpu_hours"])
    agreements = [
        {**row, "reported_gpu_hours": hours.get(key_of(row, _RESOURCE))} for row in evidence.ask("gpu_agreements")
    ]
    booked = {key_of(row, _LINE): booked_days(row) for row in lines}
    amounts: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in daily:
        if row["amount"] is not None:
            amounts[key_of(row, _CHARGE)] += quanta(row["amount"])
    whole: dict[tuple[Any, ...], int] = defaultdict(int)
    costs: dict[tuple[Any, ...], int] = defaultdict(int)
    arithmetic: list[Record] = []
    for charge in charges:
        if charge["line_number"] is None:
            held, step = amounts[key_of(charge, _CHARGE)], f"{charge['charge_kind']} of the day"
        else:
            day = booked[key_of(charge, _LINE)][charge["usage_date"]]
            held, step = day.quanta, _day_text(charge, lines, day)
        arithmetic.append(_step(charge, charge["charge_id"], step, held))
        if charge["is_gpu_charge"]:
            whole[key_of(charge, RESOURCE_DAY)] += held
        else:
            costs[(*key_of(charge, RESOURCE_DAY), None, other_state(charge["charge_kind"]))] += held
    agreed = {key_of(row, _RESOURCE): row for row in agreements}
    for key in dict.fromkeys(key_of(row, RESOURCE_DAY) for row in chosen if row["cost_measure"] == "accrued"):
        row = agreed[key[0], key[1], key[3]]
        if row["contract_rate_per_gpu_hour"] is None:
            continue
        whole[key] = accrued(row)
        rate = exact_text(row["contract_rate_per_gpu_hour"])
        quantity = f"{row['gpu_count']} GPUs x 24 h"
        if row["reported_gpu_hours"] is not None:
            quantity = f"{exact_text(row['reported_gpu_hours'])} GPU-hours that the issuer reports"
        step = f"{rate} per GPU-hour x {quantity} (no bill yet)"
        arithmetic.append(_step(dict(zip(RESOURCE_DAY, key, strict=True)), "agreement", step, whole[key]))
    cells: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for row in states:
        cells[key_of(row, _RESOURCE)].append(row)
    for key, cost in whole.items():
        for (deployment, state), part in state_shares(cost, cells[key[0], key[1], key[3]]).items():
            costs[(*key, deployment, state)] += part
    return GpuMoney(lines, daily, agreements, reported, arithmetic, costs)


def _reported(evidence: Evidence, days: set[date]) -> list[Record]:
    """The landed rows of usage whose hours accrue on these days."""
    if not days or _REPORTED not in evidence.snapshot.nodes:
        return []
    evidence.trace_model(_REPORTED, days)
    return evidence.ask("gpu_reported")


def _own_amount(evidence: Evidence, row: Record) -> Decimal | None:
    """What a landed row charges its day: as stated, or as the model has it where the bill is of another measure."""
    if row["cost_measure"] != evidence.source(row["object_number"]).dataset.measure:
        taken: Decimal | None = row["realized_cost"]
        return taken
    if row["stated_amount"] is None:
        return None
    return Decimal(row["stated_amount"]).scaleb(-row["decimal_places"], _EXACT)


def _day_text(charge: Record, lines: Sequence[Record], day: BookedDay) -> str:
    amount = next(row["amount"] for row in lines if key_of(row, _LINE) == key_of(charge, _LINE))
    return f"{amount} x {day.day_milliseconds:,} ms of the day / {day.period_milliseconds:,} ms of its period"


def _step(row: Mapping[str, Any], charge_id: str, step: str, held: int) -> Record:
    return {
        "usage_date": row["usage_date"],
        "resource_id": row["resource_id"],
        "charge_id": charge_id,
        "arithmetic": step,
        "cost": from_quanta(held),
        "currency": row["billing_currency"],
    }
