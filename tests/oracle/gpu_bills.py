"""GPU bills: invoices, clouds and owned machines by day, days without a bill accrued, each day's money by GPU state."""

import calendar
import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle.cloud import CloudLine, is_instance_time, settled_days
from tests.oracle.gpu_time import Sighting, StateCell
from tests.oracle.landed import DAY, Delivery, Project, counting_days, midnight
from tests.oracle.money import money, quanta, split
from tests.oracle.rates import Rates
from tests.oracle.rules import deployment_of_engine, deployment_of_host, in_force
from tests.oracle.spool import DAY_MS, HOUR_MS, GpuPlace

Rows = dict[tuple[Any, ...], dict[str, Any]]

_GPU_HOUR_UNITS = ("gpu-hour", "gpu-hours")
_HOUR_UNITS = ("h", "hour", "hours")


class Line(NamedTuple):
    """One line of an invoice."""

    account: str
    invoice_id: str
    charge_kind: str
    resource_id: str | None
    gpu_count: int | None
    gpu_ms: int | None
    quanta: int
    currency: str
    from_at: datetime
    to_at: datetime
    stated_at: datetime

    @property
    def is_gpu_charge(self) -> bool:
        return self.charge_kind in ("gpu_instance", "discount", "credit") and self.resource_id is not None


class Total(NamedTuple):
    account: str
    invoice_id: str
    quanta: int
    currency: str


class Bill(NamedTuple):
    """A day of a GPU resource: what it cost and the GPU-milliseconds that pays for; None where unknown."""

    usage_date: date
    issuer: str
    account: str | None
    resource_id: str
    cost_measure: str
    currency: str
    host: str | None
    gpu_count: int | None
    gpu_ms: int | None
    quanta: int | None
    bills_time: bool = True  # not so where money is only given back


class OtherCharge(NamedTuple):
    """A day of an invoice line that is no GPU's."""

    usage_date: date
    account: str
    invoice_id: str | None
    resource_id: str | None
    state: str
    currency: str
    quanta: int


class Held(NamedTuple):
    """To which resource a GPU seen on a day belongs."""

    issuer: str
    resource_id: str
    method: str


class IdleCost(NamedTuple):
    """What a GPU's idle time of a day cost by one bill. `quanta` None where there is no rate."""

    cost_measure: str
    currency: str
    milliseconds: int
    quanta: int | None


@dataclass(frozen=True)
class Seen:
    """What the telemetry says, as GPU bills need it."""

    states: dict[StateCell, int]
    sightings: dict[tuple[date, GpuPlace], Sighting]
    watched_ms: dict[tuple[date, str], int]
    engine_names: set[tuple[date, str, str, str]]


@dataclass(frozen=True)
class GpuFigures:
    costs: Rows
    leftovers: Rows
    holdings: Rows
    reconciliation: Rows
    held: dict[tuple[date, GpuPlace], Held]
    idle: dict[tuple[date, str, str, str], list[IdleCost]]
    gpu_counts: dict[tuple[date, str, str], int | None]
    residuals: Rows


def gpu_figures(project: Project, seen: Seen, cloud_lines: list[CloudLine], *, days: list[date]) -> GpuFigures:
    lines, totals = _invoices(project)
    charges, others = _charged(project, lines, cloud_lines, days=days)
    ended = set(_ended(project, charges, _billed_spans(lines), days=days))
    bills = charges + list(_accrued(project, charges, ended, days=days))
    held = _held(project, bills, seen)
    ledger = _Ledger(project, seen, held)
    by_resource: dict[tuple[date, str, str], Bill] = {}
    for bill in bills:
        place = (bill.usage_date, bill.issuer, bill.resource_id)
        if place in by_resource:
            raise ValueError(f"two bills for {place}: the oracle does not share their hours")
        by_resource[place] = bill
        ledger.add_bill(bill)
    for other in others:
        ledger.add_other(other)
    return GpuFigures(
        costs=ledger.rows,
        leftovers=_leftovers(project, by_resource, held, seen) | _no_longer_billed(ended),
        holdings=_holding_intervals(held, seen),
        reconciliation=_reconciliation(lines, totals, days=days),
        held=held,
        idle=ledger.idle,
        gpu_counts={place: bill.gpu_count for place, bill in by_resource.items()},
        residuals=dict(_residuals(project, bills)),
    )


def _residuals(project: Project, bills: list[Bill]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """fct_billing_residual_daily: what is billed, less its hours at the rate that was agreed in its currency."""
    for bill in bills:
        if bill.cost_measure != "billed":
            continue
        for agreed in in_force(project.config["gpu_resources"], bill.usage_date):
            rate = agreed["contract_rate_per_gpu_hour"]
            agreed_for = (agreed["issuer"], agreed["resource_id"], agreed["currency"])
            if rate is None or agreed_for != (bill.issuer, bill.resource_id, bill.currency):
                continue
            rated = None if bill.gpu_ms is None else (quanta(rate) * bill.gpu_ms * 2 + HOUR_MS) // (2 * HOUR_MS)
            is_known = rated is not None and bill.quanta is not None
            yield (
                (bill.usage_date, bill.issuer, bill.account, bill.resource_id, bill.currency),
                {
                    "gpu_milliseconds": bill.gpu_ms,
                    "contract_rate_per_gpu_hour": money(quanta(rate)),
                    "billed_cost": None if bill.quanta is None else money(bill.quanta),
                    "rated_cost": None if rated is None else money(rated),
                    "billing_residual_cost": money((bill.quanta or 0) - (rated or 0)) if is_known else None,
                },
            )


# --- invoices --------------------------------------------------------------------------------------------------------


def _invoices(project: Project) -> tuple[list[Line], list[Total]]:
    """Lines and totals of every invoice, each invoice from the newest delivery that holds it."""
    lines: dict[tuple[str, str], list[Line]] = {}
    totals: dict[tuple[str, str], list[Total]] = {}
    for delivery in sorted(project.of("invoice"), key=lambda one: (one.stated_at, one.landed_at, one.delivery_id)):
        read: dict[tuple[str, str], list[Line]] = defaultdict(list)
        control: dict[tuple[str, str], list[Total]] = defaultdict(list)
        for object_id in delivery.object_ids:
            for row in invoice_rows(project.content(object_id), delivery.settings):
                one = _invoice_row(project, delivery, row)
                if isinstance(one, Total):
                    control[one.account, one.invoice_id].append(one)
                else:
                    read[one.account, one.invoice_id].append(one)
        lines |= read
        totals |= {invoice: control[invoice] for invoice in read}
    return [line for found in lines.values() for line in found], [one for found in totals.values() for one in found]


def invoice_rows(content: bytes, settings: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The rows of an invoice's file under its own headers."""
    text = io.StringIO(content.decode("utf-8"), newline="")
    yield from csv.DictReader(text, delimiter=settings.get("delimiter", ","))


def invoice_moment(text: str, settings: dict[str, Any]) -> datetime:
    """When a period starts, or ends as the file says it: ISO 8601, or as declared."""
    date_format = settings.get("date_format")
    if date_format is not None:
        return datetime.strptime(text, date_format).replace(tzinfo=UTC)
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _invoice_row(project: Project, delivery: Delivery, row: dict[str, str]) -> Line | Total:
    account, settings = delivery.account, delivery.settings
    if settings.get("timezone", "UTC") != "UTC" or set(settings) - {
        "columns",
        "currency",
        "timezone",
        "charge_kind",
        "total_row",
        "delimiter",
        "decimal",
        "date_format",
        "period_end",
    }:
        raise ValueError("the oracle reads invoices in UTC only")
    columns = settings["columns"]

    def cell(name: str) -> str | None:
        return row[columns[name]].strip() or None if name in columns else None

    def number(name: str) -> str | None:
        text, mark = cell(name), settings.get("decimal", ".")
        return text if text is None or mark == "." else text.replace(mark, ".")

    invoice_id, amount = cell("invoice_id"), number("amount")
    if invoice_id is None or amount is None:
        raise ValueError("an invoice row without its invoice or its amount")
    currency = cell("currency") or settings["currency"]
    total = settings.get("total_row")
    if total and row[total["column"]].strip() == total["equals"]:
        return Total(account, invoice_id, quanta(amount), currency)
    kind = settings.get("charge_kind", {}).get(cell("charge_kind") or "", "other")
    resource_id = cell("resource_id")
    kind = "other" if kind == "gpu_instance" and resource_id is None else kind
    starts, ends = cell("period_start"), cell("period_end")
    if starts is None or ends is None:
        raise ValueError("an invoice line without its period")
    from_at, to_at = invoice_moment(starts, settings), invoice_moment(ends, settings)
    to_at += DAY if settings.get("period_end") == "inclusive" else DAY * 0
    count = cell("gpu_count")
    line = Line(
        account=account,
        invoice_id=invoice_id,
        charge_kind=kind,
        resource_id=resource_id,
        gpu_count=int(count) if count else _agreed_count(project, account, resource_id, from_at.date()),
        gpu_ms=None,
        quanta=quanta(amount),
        currency=currency,
        from_at=from_at,
        to_at=to_at,
        stated_at=delivery.stated_at,
    )
    return line._replace(gpu_ms=_billed_ms(line, number("quantity"), cell("unit")))


def _agreed_count(project: Project, issuer: str, resource_id: str | None, day: date) -> int | None:
    for resource in in_force(project.config["gpu_resources"], day):
        if (resource["issuer"], resource["resource_id"]) == (issuer, resource_id):
            return int(resource["gpu_count"])
    return None


def _agreed_host(project: Project, bill: Bill) -> str | None:
    for resource in in_force(project.config["gpu_resources"], bill.usage_date):
        if (resource["issuer"], resource["resource_id"]) == (bill.issuer, bill.resource_id):
            host: str | None = resource["host"]
            return host
    return None


def _billed_ms(line: Line, quantity: str | None, unit: str | None) -> int | None:
    """GPU-milliseconds a line bills: its GPU-hours, its hours times its GPUs, else its period times its GPUs."""
    if line.charge_kind != "gpu_instance" or line.quanta < 0:
        return None
    if quantity is not None and (unit or "").lower() in _GPU_HOUR_UNITS:
        return int(Decimal(quantity) * HOUR_MS)
    if line.gpu_count is None:
        return None
    if quantity is not None and (unit or "").lower() in _HOUR_UNITS:
        return int(Decimal(quantity) * HOUR_MS) * line.gpu_count
    return _ms(line.to_at) * line.gpu_count - _ms(line.from_at) * line.gpu_count


def _ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000 + at.microsecond // 1000


def _charged(
    project: Project, lines: list[Line], cloud_lines: list[CloudLine], *, days: list[date]
) -> tuple[list[Bill], list[OtherCharge]]:
    """Invoice lines by day of their period, by milliseconds; cloud charges on their day; owned machines as declared.

    Days of the calendar only.
    """
    bills: dict[tuple[date, str, str, str, str, str], Bill] = {}
    others: list[OtherCharge] = []
    known_days = set(days)
    for line in lines:
        by_day = _ms_by_day(line)
        amounts = split(line.quanta, by_day)
        times = None if line.gpu_ms is None else split(line.gpu_ms, by_day)
        for start, amount in amounts.items():
            if start.date() not in known_days:
                continue
            if not line.is_gpu_charge or line.resource_id is None:
                others.append(_other_charge(line, start.date(), amount))
                continue
            _add_bill(
                bills,
                Bill(
                    usage_date=start.date(),
                    issuer=line.account,
                    account=line.account,
                    resource_id=line.resource_id,
                    cost_measure="billed",
                    currency=line.currency,
                    host=None,
                    gpu_count=line.gpu_count,
                    gpu_ms=None if times is None else times[start],
                    quanta=amount,
                    bills_time=line.charge_kind == "gpu_instance",
                ),
            )
    for charge in _cloud_charges(project, cloud_lines):
        if charge.usage_date not in known_days:
            continue
        if isinstance(charge, Bill):
            _add_bill(bills, charge)
        else:
            others.append(charge)
    for bill in _owned(project):
        if bill.usage_date in known_days:
            _add_bill(bills, bill)
    return list(bills.values()), others


def _cloud_charges(project: Project, lines: list[CloudLine]) -> Iterator[Bill | OtherCharge]:
    """What the bill of record charges for declared GPU resources.

    Under a commitment an hour is billed as nothing: its cost is the commitment's. An option of an instance, its traffic
    and its tax are no hours of it.
    """
    for charge, amounts, is_book, is_gpu_resource in lines:
        if not is_book or not is_gpu_resource or charge.resource_id is None:
            continue
        is_committed = charge.pricing_category == "Committed"
        amount = amounts.effective if is_committed else amounts.billed
        if amount is None or charge.charge_category not in ("Usage", "Tax"):
            raise ValueError(f"the oracle does not know what {charge} is for its GPU")
        if not is_instance_time(CloudLine(charge, amounts, is_book, is_gpu_resource)):
            if is_committed:
                raise ValueError(f"the oracle knows no committed option, as {charge}")
            yield OtherCharge(
                usage_date=charge.usage_date,
                account=charge.account,
                invoice_id=charge.invoice_id,
                resource_id=charge.resource_id,
                state="tax" if charge.charge_category == "Tax" else "overhead",
                currency=charge.billing_currency,
                quanta=amount,
            )
            continue
        count = _agreed_count(project, charge.account, charge.resource_id, charge.usage_date) or 0
        hours = Fraction(amounts.consumed or 0, 10**18)
        yield Bill(
            usage_date=charge.usage_date,
            issuer=charge.account,
            account=charge.account,
            resource_id=charge.resource_id,
            cost_measure="effective" if is_committed else "billed",
            currency=charge.billing_currency,
            host=None,
            gpu_count=count,
            gpu_ms=round(hours * HOUR_MS) * count if amount > 0 else None,
            quanta=amount,
        )


def _ms_by_day(line: Line) -> dict[datetime, int]:
    """Start of each day of the line's period -> how much of the day it covers."""
    return {
        midnight(day): min(_ms(line.to_at), _ms(midnight(day)) + DAY_MS) - max(_ms(line.from_at), _ms(midnight(day)))
        for day in _days_of(line.from_at, line.to_at)
    }


def _days_of(from_at: datetime, to_at: datetime) -> Iterator[date]:
    day = from_at.date()
    while midnight(day) < to_at:
        yield day
        day += DAY


def _other_charge(line: Line, day: date, amount: int) -> OtherCharge:
    states = {"tax": "tax", "credit": "credit", "discount": "credit"}
    state = states.get(line.charge_kind, "overhead")
    return OtherCharge(day, line.account, line.invoice_id, line.resource_id, state, line.currency, amount)


def _add_bill(bills: dict[tuple[date, str, str, str, str, str], Bill], bill: Bill) -> None:
    """Charges of one resource on one day are one bill."""
    key = (bill.usage_date, bill.issuer, bill.account or "", bill.resource_id, bill.cost_measure, bill.currency)
    known = bills.get(key)
    if known is not None and known.quanta is not None and bill.quanta is not None:
        times = [ms for ms in (known.gpu_ms, bill.gpu_ms) if ms is not None]
        bill = bill._replace(
            quanta=known.quanta + bill.quanta,
            gpu_ms=sum(times) if times else None,
            bills_time=known.bills_time or bill.bills_time,
        )
    bills[key] = bill


def _owned(project: Project) -> Iterator[Bill]:
    """Straight-line depreciation over months counted from the first day in service, hosting and power, by day.

    Months in whole cents, days in quanta; the first parts take the leftover units. The hours are paid for once.
    """
    for (account, day), delivery in counting_days(project, "owned_charges").items():
        for object_id in delivery.object_ids:
            for asset in json.loads(project.content(object_id))["assets"]:
                in_service = date.fromisoformat(asset["in_service"])
                month_index = (day.year - in_service.year) * 12 + day.month - in_service.month
                if in_service.day != 1 or "out_of_service" in asset or asset["currency"] != "USD":
                    raise ValueError("the oracle depreciates dollars from the first of a month, in service for good")
                if month_index < 0:
                    continue
                month_days = calendar.monthrange(day.year, day.month)[1]
                cents = quanta(asset["capex"]) // 10**16 - quanta(asset["residual"]) // 10**16
                months = [share * 10**16 for share in split(cents, dict.fromkeys(range(asset["months"]), 1)).values()]
                amount = _part(months[month_index], day.day, month_days) if month_index < len(months) else 0
                if asset.get("hosting_monthly") is not None:
                    amount += _part(quanta(asset["hosting_monthly"]), day.day, month_days)
                if asset.get("power_watts") is not None:
                    kilowatt_hours = Fraction(str(asset["power_watts"])) / 1000 * 24 * Fraction(asset["pue"])
                    power = kilowatt_hours * Fraction(asset["power_tariff_per_kwh"]) * 10**18
                    amount += power.numerator if power.denominator == 1 else _not_whole(power)
                yield Bill(
                    usage_date=day,
                    issuer=account,
                    account=account,
                    resource_id=asset["asset_id"],
                    cost_measure="effective",
                    currency=asset["currency"],
                    host=asset["host"],
                    gpu_count=asset["gpu_count"],
                    gpu_ms=asset["gpu_count"] * DAY_MS,
                    quanta=amount,
                )


def _part(total: int, day_of_month: int, month_days: int) -> int:
    return split(total, dict.fromkeys(range(1, month_days + 1), 1))[day_of_month]


def _not_whole(amount: Fraction) -> int:
    raise ValueError(f"{amount} quanta of power are not whole")


def _billed_spans(lines: list[Line]) -> dict[str, list[tuple[datetime, datetime]]]:
    """account -> spans for which its GPUs were billed: of each invoice the lines that were over when it was stated."""
    invoices: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        if line.charge_kind in ("gpu_instance", "other") and line.to_at <= line.stated_at + DAY:
            invoices[line.account, line.invoice_id].append(line)
    spans: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for account, from_at, to_at in sorted(
        (account, min(line.from_at for line in own), max(line.to_at for line in own))
        for (account, _), own in invoices.items()
    ):
        known = spans[account]
        if known and from_at <= known[-1][1]:
            known[-1] = known[-1][0], max(known[-1][1], to_at)
        else:
            known.append((from_at, to_at))
    return spans


def _ended(
    project: Project, charges: list[Bill], spans: dict[str, list[tuple[datetime, datetime]]], *, days: list[date]
) -> Iterator[tuple[date, str, str, str | None]]:
    """(day, issuer, resource, host): declared for a day that is billed wholly, and on no line of it.

    An issuer's one account bears its name.
    """
    charged = {(bill.usage_date, bill.issuer, bill.resource_id) for bill in charges if bill.bills_time}
    settled = settled_days(project)
    for day in days:
        if midnight(day) + DAY > project.as_of:
            continue
        for resource in in_force(project.config["gpu_resources"], day):
            issuer, resource_id = resource["issuer"], resource["resource_id"]
            is_billed = (issuer, day) in settled or any(
                from_at <= midnight(day) and midnight(day) + DAY <= to_at for from_at, to_at in spans.get(issuer, ())
            )
            if is_billed and (day, issuer, resource_id) not in charged:
                yield day, issuer, resource_id, resource["host"]


def _no_longer_billed(ended: set[tuple[date, str, str, str | None]]) -> Rows:
    return {
        (day, "no_longer_billed", issuer, resource_id, host, None): {"gpu_milliseconds": None, "gpu_hours": None}
        for day, issuer, resource_id, host in ended
    }


def _accrued(
    project: Project, charges: list[Bill], ended: set[tuple[date, str, str, str | None]], *, days: list[date]
) -> Iterator[Bill]:
    """Agreed resources on days that are over and that no bill has reached, at the agreed rate."""
    billed = {(bill.usage_date, bill.issuer, bill.resource_id) for bill in charges if bill.bills_time}
    accounts: dict[str, set[str]] = defaultdict(set)
    for source in project.config["sources"]:
        if source["role"] != "control":
            accounts[source["account"]].add(source["account"])
    for day in days:
        if midnight(day) + DAY > project.as_of:
            continue
        for resource in in_force(project.config["gpu_resources"], day):
            issuer, count = resource["issuer"], resource["gpu_count"]
            if (day, issuer, resource["resource_id"]) in billed:
                continue
            if (day, issuer, resource["resource_id"], resource["host"]) in ended:
                continue
            rate = resource["contract_rate_per_gpu_hour"]
            known = accounts[issuer]
            yield Bill(
                usage_date=day,
                issuer=issuer,
                account=next(iter(known)) if len(known) == 1 else None,
                resource_id=resource["resource_id"],
                cost_measure="accrued",
                currency=resource["currency"],
                host=resource["host"],
                gpu_count=count,
                gpu_ms=count * DAY_MS,
                quanta=None if rate is None else quanta(rate) * count * 24,
            )


# --- whose GPU -------------------------------------------------------------------------------------------------------


def _held(project: Project, bills: list[Bill], seen: Seen) -> dict[tuple[date, GpuPlace], Held]:
    """By the resource id that the host itself reports, else by the host that was declared for the resource."""
    known: dict[date, set[tuple[str, str, str | None]]] = defaultdict(set)
    for bill in bills:
        known[bill.usage_date].add((bill.issuer, bill.resource_id, bill.host))
    held = {}
    for day, place in seen.sightings:
        agreed = {
            (resource["issuer"], resource["resource_id"], resource["host"])
            for resource in in_force(project.config["gpu_resources"], day)
        }
        candidates = sorted(known[day] | agreed, key=lambda one: (one[0], one[1]))
        by_id = [one for one in candidates if one[1] == place.provider_resource_id]
        by_host = [one for one in candidates if one[2] == place.host]
        for found, method in ((by_id, "provider_resource_id"), (by_host, "declared_host")):
            if found and (day, place) not in held:
                held[day, place] = Held(found[0][0], found[0][1], method)
    return held


class _Ledger:
    """Rows of fct_gpu_costs_daily as they are added up."""

    def __init__(self, project: Project, seen: Seen, held: dict[tuple[date, GpuPlace], Held]) -> None:
        self.rows: Rows = {}
        self.idle: dict[tuple[date, str, str, str], list[IdleCost]] = defaultdict(list)
        self._project = project
        self._rates = Rates(project)
        self._seen = seen
        self._places: dict[tuple[date, str, str], list[tuple[GpuPlace, str]]] = defaultdict(list)
        for (day, place), holder in held.items():
            self._places[day, holder.issuer, holder.resource_id].append((place, holder.method))
        self._cells: dict[tuple[date, GpuPlace], list[tuple[str | None, str, int]]] = defaultdict(list)
        for cell, milliseconds in seen.states.items():
            self._cells[cell.usage_date, cell.place].append((cell.target, cell.state, milliseconds))
        self._targets: dict[tuple[date, str, str], set[str | None]] = defaultdict(set)
        for day, host, target, served_name in seen.engine_names:
            self._targets[day, host, target].add(
                deployment_of_engine(project, host=host, served_name=served_name, day=day)
            )

    def add_bill(self, bill: Bill) -> None:
        places = self._places.get((bill.usage_date, bill.issuer, bill.resource_id), [])
        host = min((place.host for place, _ in places), default=bill.host or self._declared_host(bill))
        method = min((method for _, method in places), default=None)
        if not bill.gpu_ms:
            state = "credit" if bill.quanta is not None and bill.quanta < 0 else "unobserved"
            self._add(bill, None, state, None, bill.quanta, host, method)
            return
        cells = self._paid_cells(bill, places, host)
        shares = dict.fromkeys(cells) if bill.quanta is None else split(bill.quanta, cells)
        idle: dict[str, list[tuple[int, int | None]]] = defaultdict(list)
        for (gpu_uuid, state, deployment), milliseconds in cells.items():
            share = shares[gpu_uuid, state, deployment]
            self._add(bill, deployment, state, milliseconds, share, host, method)
            if gpu_uuid is not None and state in ("loaded_idle", "unallocated") and milliseconds:
                idle[gpu_uuid].append((milliseconds, share))
        for gpu_uuid, parts in idle.items():
            known = [amount for _, amount in parts if amount is not None]
            self.idle[bill.usage_date, bill.issuer, bill.resource_id, gpu_uuid].append(
                IdleCost(
                    bill.cost_measure,
                    bill.currency,
                    sum(milliseconds for milliseconds, _ in parts),
                    sum(known) if len(known) == len(parts) else None,
                )
            )

    def add_other(self, other: OtherCharge) -> None:
        bill = Bill(
            other.usage_date,
            other.account,
            other.account,
            other.resource_id or "",
            "billed",
            other.currency,
            None,
            None,
            None,
            other.quanta,
        )
        self._add(bill, None, other.state, None, other.quanta, None, None)

    def _declared_host(self, bill: Bill) -> str | None:
        for resource in in_force(self._project.config["gpu_resources"], bill.usage_date):
            if (resource["issuer"], resource["resource_id"]) == (bill.issuer, bill.resource_id):
                return str(resource["host"])
        return None

    def _paid_cells(
        self, bill: Bill, places: list[tuple[GpuPlace, str]], host: str | None
    ) -> dict[tuple[str | None, str, str | None], int]:
        """(GPU, state, deployment) -> milliseconds, in order; they sum to what the bill pays for."""
        day, paid_ms = bill.usage_date, bill.gpu_ms or 0
        on_host = None if host is None else deployment_of_host(self._project, host=host, day=day)
        engines: set[str] = set()
        observed: dict[tuple[str | None, str, str | None], int] = defaultdict(int)
        unhealthy: dict[tuple[str, str | None], int] = defaultdict(int)
        for place, _ in places:
            of_host = deployment_of_host(self._project, host=place.host, day=day)
            for target, state, milliseconds in self._cells[day, place]:
                served = self._targets.get((day, place.host, target or ""), set()) - {None}
                of_target = next(iter(served)) if len(served) == 1 else None
                if of_target is not None:
                    engines.add(of_target)
                if state == "unhealthy":
                    unhealthy[place.gpu_uuid, of_host] += milliseconds
                    continue
                is_engine = state in ("serving", "loaded_idle", "starting")
                observed[place.gpu_uuid, state, (of_target if is_engine else None) or of_host] += milliseconds
        only_engine = engines.pop() if len(engines) == 1 else None
        for (gpu_uuid, of_host), milliseconds in unhealthy.items():
            observed[gpu_uuid, "unhealthy", of_host or only_engine] += milliseconds
        cells = dict(sorted(observed.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or "~")))
        observed_ms = sum(cells.values())
        if observed_ms > paid_ms:
            return split(paid_ms, cells)
        absent = max((bill.gpu_count or 0) - len({place.gpu_uuid for place, _ in places}), 0) if places else 0
        watched = max((self._seen.watched_ms.get((day, place.host), 0) for place, _ in places), default=0)
        not_present = min(paid_ms - observed_ms, absent * watched)
        unobserved = paid_ms - observed_ms - not_present
        unseen = {(None, "not_present", on_host): not_present, (None, "unobserved", on_host or only_engine): unobserved}
        return {**cells, **{cell: milliseconds for cell, milliseconds in unseen.items() if milliseconds}}

    def _add(
        self,
        bill: Bill,
        deployment: str | None,
        state: str,
        milliseconds: int | None,
        amount: int | None,
        host: str | None,
        method: str | None,
    ) -> None:
        key = (
            bill.usage_date,
            bill.issuer,
            bill.account,
            bill.resource_id or None,
            deployment,
            state,
            bill.cost_measure,
            bill.currency,
        )
        row = self.rows.setdefault(
            key, {"host": host, "holding_method": method, "gpu_milliseconds": None, "realized_cost": Fraction(0)}
        )
        if milliseconds is not None:
            row["gpu_milliseconds"] = (row["gpu_milliseconds"] or 0) + milliseconds
        is_known = amount is not None and row["realized_cost"] is not None
        row["realized_cost"] = row["realized_cost"] + money(amount or 0) if is_known else None
        total_ms = row["gpu_milliseconds"]
        row["gpu_hours"] = None if total_ms is None else Fraction(total_ms, HOUR_MS)
        row["realized_cost_rc"] = self._rates.convert(row["realized_cost"], bill.currency, bill.usage_date)


def _leftovers(
    project: Project,
    bills: dict[tuple[date, str, str], Bill],
    held: dict[tuple[date, GpuPlace], Held],
    seen: Seen,
) -> Rows:
    """Billed and never seen; seen and never billed (of days that are over)."""
    rows: Rows = {}
    observed: dict[tuple[date, str, str], int] = defaultdict(int)
    hosts: dict[tuple[date, str, str], str] = {}
    for (day, place), sighting in seen.sightings.items():
        holder = held.get((day, place))
        resource = None if holder is None else (day, holder.issuer, holder.resource_id)
        if resource is not None and resource in bills:
            observed[resource] += sighting.observed_ms
            hosts[resource] = min(place.host, hosts.get(resource, place.host))
        elif sighting.observed_ms and midnight(day) + DAY <= project.as_of:
            issuer, resource_id = (holder.issuer, holder.resource_id) if holder else (None, None)
            _add_leftover(
                rows, (day, "seen_never_billed", issuer, resource_id, place.host, place.gpu_uuid), sighting.observed_ms
            )
    for resource, bill in bills.items():
        host = hosts.get(resource, bill.host or _agreed_host(project, bill))
        if resource not in hosts and bill.cost_measure != "accrued" and midnight(resource[0]) + DAY <= project.as_of:
            _add_leftover(rows, (resource[0], "billed_never_seen", *resource[1:], host, None), bill.gpu_ms)
        elif bill.gpu_ms is not None and observed[resource] > bill.gpu_ms:
            surplus = observed[resource] - bill.gpu_ms
            _add_leftover(rows, (resource[0], "seen_never_billed", *resource[1:], host, None), surplus)
    return rows


def _add_leftover(rows: Rows, key: tuple[Any, ...], milliseconds: int | None) -> None:
    before = rows.get(key, {"gpu_milliseconds": 0})["gpu_milliseconds"]
    total = before + (milliseconds or 0)
    rows[key] = {"gpu_milliseconds": total, "gpu_hours": Fraction(total, HOUR_MS)}


def _holding_intervals(held: dict[tuple[date, GpuPlace], Held], seen: Seen) -> Rows:
    """From when to when each GPU was one resource's: until it is seen elsewhere or after a reboot."""
    by_gpu: dict[str, list[tuple[int, date, GpuPlace, Held]]] = defaultdict(list)
    for (day, place), holder in held.items():
        by_gpu[place.gpu_uuid].append((seen.sightings[day, place].first_ms, day, place, holder))
    rows: Rows = {}
    for gpu_uuid, found in by_gpu.items():
        open_key: tuple[Any, ...] | None = None
        last: tuple[Any, ...] | None = None
        for first_ms, _, place, holder in sorted(found, key=lambda one: (one[0], one[1], one[2].host, one[2].boot_id)):
            now = (holder, place.host, place.boot_id)
            if now == last:
                continue
            at = datetime.fromtimestamp(first_ms / 1000, tz=UTC)
            if open_key is not None:
                rows[open_key]["valid_to_at"] = at
            open_key, last = (holder.issuer, holder.resource_id, gpu_uuid, at), now
            rows[open_key] = {
                "host": place.host,
                "boot_id": place.boot_id,
                "valid_to_at": None,
                "method": holder.method,
            }
    return rows


def _reconciliation(lines: list[Line], totals: list[Total], *, days: list[date]) -> Rows:
    """Each invoice's own total beside its lines, and what of them lies in days that exist."""
    rows: Rows = {}
    for account, invoice_id in {(line.account, line.invoice_id) for line in lines}:
        own = [line for line in lines if (line.account, line.invoice_id) == (account, invoice_id)]
        control = [total for total in totals if (total.account, total.invoice_id) == (account, invoice_id)]
        currencies = {line.currency for line in own} | {total.currency for total in control}
        if len(currencies) != 1 or any(line.from_at > midnight(days[-1]) for line in own):
            raise ValueError("the oracle reconciles invoices in one currency that have begun")
        lines_cost = sum(line.quanta for line in own)
        payable = sum(total.quanta for total in control) if control else None
        status = "no_control_total" if payable is None else "ties" if payable == lines_cost else "residual"
        rows[account, account, invoice_id] = {
            "billing_currency": currencies.pop(),
            "period_start_date": min(line.from_at for line in own).date(),
            "period_end_date": max(line.to_at for line in own).date(),
            "payable_cost": None if payable is None else money(payable),
            "lines_cost": money(lines_cost),
            "residual_cost": None if payable is None else money(payable - lines_cost),
            "allocated_cost": money(sum(_booked(line, days) for line in own if line.is_gpu_charge)),
            "unallocated_cost": money(sum(_booked(line, days) for line in own if not line.is_gpu_charge)),
            "status": status,
        }
    return rows


def _booked(line: Line, days: list[date]) -> int:
    """What of a line lies in days that exist."""
    shares = split(line.quanta, _ms_by_day(line))
    return sum(share for start, share in shares.items() if start.date() <= days[-1])
