"""The GPU cloud's October invoice, with column names of its own, and the owned node's true daily cost."""

import csv
import io
from datetime import date

from pipeline.demo import company
from pipeline.demo.truth import BilledDay, InvoiceLine, InvoiceTotal

INVOICE_ID = "DGC-2026-10-0042"
INVOICE_NAME = f"{INVOICE_ID}_20261103T090000Z.csv"
PERIOD_START, PERIOD_END = date(2026, 10, 1), date(2026, 11, 1)
ISSUED_ON = date(2026, 11, 3)

# Our name of each column -> the vendor's header.
INVOICE_COLUMNS = {
    "invoice_id": "Invoice No",
    "issued_on": "Issued",
    "description": "Item",
    "charge_kind": "Category",
    "resource_id": "Resource",
    "gpu_count": "GPUs",
    "quantity": "Qty",
    "unit": "Unit",
    "unit_price": "Rate",
    "amount": "Charge",
    "currency": "Ccy",
    "period_start": "Service From",
    "period_end": "Service Until (excl.)",
}
INVOICE_CHARGE_KINDS = {
    "Compute": "gpu_instance",
    "Block storage": "storage",
    "Support plan": "support",
    "Tax": "tax",
    "Goodwill credit": "credit",
}
INVOICE_TOTAL_TEXT = "Total due"

_OCTOBER_HOURS = 744
_GPUS = 4
_TAX_PERCENT = 3

# The owned node: (143,920 - 10,000) / 48 months = 2,790 a month = 90 a day in October, 93 in November.
CAPEX, RESIDUAL, MONTHS = 143_920, 10_000, 48
HOSTING_MONTHLY = 465  # 15.00 a day in October, 15.50 in November
POWER_WATTS, PUE, TARIFF = 2_800, "1.35", "0.14"  # 67.2 kWh x 1.35 x 0.14 = 12.7008 a day
IN_SERVICE = date(2026, 1, 1)


def october_invoice() -> tuple[bytes, InvoiceTotal]:
    """The invoice as CSV and what it must add up to."""
    node_cents = _OCTOBER_HOURS * _GPUS * company.GPU_HOUR_RATE_CENTS
    lines = [
        _node_line(resource_id=node.resource_id or "", cents=node_cents) for node in (company.NODE_1, company.NODE_2)
    ]
    lines += [_single_line(node) for node in (company.MIG_NODE, company.SPOT_1, company.SPOT_2)]
    lines.append(("Block storage 1,200 GB", "Block storage", "", "", "1200", "GB-month", "0.10", 12_000))
    lines.append(("Standard support", "Support plan", "", "", "1", "month", "250.00", 25_000))
    lines.append(
        ("Credit for the October 9 network incident", "Goodwill credit", "", "", "1", "credit", "-95.00", -9_500)
    )
    subtotal = sum(line[-1] for line in lines)
    tax = (subtotal * _TAX_PERCENT * 2 + 100) // 200  # half up, in cents
    lines.append((f"Digital services tax {_TAX_PERCENT}%", "Tax", "", "", "", "", "", tax))
    total = subtotal + tax

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(INVOICE_COLUMNS.values())
    for item, category, resource, gpus, quantity, unit, rate, cents in lines:
        period = _periods().get(resource, _WHOLE_MONTH)
        charge = _cents(cents)
        writer.writerow(
            [INVOICE_ID, ISSUED_ON, item, category, resource, gpus, quantity, unit, rate, charge, "USD", *period]
        )
    writer.writerow([INVOICE_ID, ISSUED_ON, INVOICE_TOTAL_TEXT, "", "", "", "", "", "", _cents(total), "USD", "", ""])
    truth = InvoiceTotal(
        account=company.GPU_CLOUD,
        invoice_id=INVOICE_ID,
        currency="USD",
        period_start=PERIOD_START,
        period_end=PERIOD_END,
        total=_cents(total),
        lines=tuple(
            InvoiceLine(
                charge_kind=INVOICE_CHARGE_KINDS[category],
                resource_id=resource or None,
                gpu_hours=quantity if unit == "GPU-hour" else None,
                amount=_cents(cents),
            )
            for _, category, resource, _, quantity, unit, _, cents in lines
        ),
    )
    return text.getvalue().encode(), truth


def owned_days() -> list[BilledDay]:
    """Depreciation + hosting + power of the owned node, exact: chosen so that both months divide evenly."""
    power = "12.7008"
    fixed = {10: 90_00 + 15_00, 11: 93_00 + 15_50}
    days = []
    for day in company.DAYS:
        tenths_of_mills = fixed[day.month] * 100 + int(power.replace(".", ""))
        days.append(
            BilledDay(
                usage_date=day,
                source="owned_gpus",
                account=company.BASEMENT,
                measure="effective",
                currency="USD",
                amount=f"{tenths_of_mills // 10_000}.{tenths_of_mills % 10_000:04d}",
            )
        )
    return days


def _node_line(*, resource_id: str, cents: int) -> tuple[str, str, str, str, str, str, str, int]:
    hours = str(_OCTOBER_HOURS * _GPUS)
    return ("4x H100 80GB node, on demand", "Compute", resource_id, str(_GPUS), hours, "GPU-hour", "2.69", cents)


def _single_line(node: company.Host) -> tuple[str, str, str, str, str, str, str, int]:
    """A node of one GPU: on demand all month, or on spot for as long as it was there."""
    is_spot = node.from_at is not None and node.to_at is not None
    hours = int((node.to_at - node.from_at).total_seconds()) // 3600 if node.from_at and node.to_at else _OCTOBER_HOURS
    cents = company.SPOT_HOUR_RATE_CENTS if is_spot else company.GPU_HOUR_RATE_CENTS
    item = "1x L4, spot" if is_spot else "1x H100 80GB in MIG, on demand"
    rate = f"{cents // 100}.{cents % 100:02d}"
    return (item, "Compute", node.resource_id or "", "1", str(hours), "GPU-hour", rate, hours * cents)


_WHOLE_MONTH = (f"{PERIOD_START.isoformat()}T00:00:00Z", f"{PERIOD_END.isoformat()}T00:00:00Z")


def _periods() -> dict[str, tuple[str, str]]:
    """Of what was not there all month: from when to when."""
    return {
        node.resource_id or "": (f"{node.from_at:%Y-%m-%dT%H:%M:%SZ}", f"{node.to_at:%Y-%m-%dT%H:%M:%SZ}")
        for node in (company.SPOT_1, company.SPOT_2)
    }


def _cents(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"
