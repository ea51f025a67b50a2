"""What is true of the demo company by construction, for tests to compare published figures with."""

import dataclasses
import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

UNASSIGNED = "unassigned"


@dataclass(frozen=True)
class TokenTotal:
    """Tokens of one day. `lane` api: `account` names the API account. `lane` self_host: `deployment` is set."""

    usage_date: date
    lane: str
    account: str | None
    deployment: str | None
    workload: str
    model: str
    token_class: str
    service_tier: str | None
    tokens: int


@dataclass(frozen=True)
class BilledDay:
    """What one source says one UTC day cost. `measure` is billed or effective. `amount` is a decimal string."""

    usage_date: date
    source: str
    account: str
    measure: str
    currency: str
    amount: str


@dataclass(frozen=True)
class ControlDay:
    """What a control says of a UTC day beside the book of record. `difference`: control less book. Decimal strings."""

    usage_date: date
    source: str
    account: str
    book_source: str
    currency: str
    control_amount: str
    book_amount: str
    difference: str


@dataclass(frozen=True)
class InvoiceLine:
    """One line of an invoice, as charged."""

    charge_kind: str
    resource_id: str | None
    gpu_hours: str | None
    amount: str


@dataclass(frozen=True)
class InvoiceTotal:
    """One invoice. The period's end is exclusive."""

    account: str
    invoice_id: str
    currency: str
    period_start: date
    period_end: date
    total: str
    lines: tuple[InvoiceLine, ...]


@dataclass(frozen=True)
class GpuDay:
    """What a cloud bill charges for one GPU resource on one UTC day. `measure` is billed, or effective under a plan."""

    usage_date: date
    account: str
    resource_id: str
    measure: str
    currency: str
    gpu_hours: str
    amount: str


@dataclass(frozen=True)
class ControlDifference:
    """By how much the book of record bills more in a period than the control beside it. Never summed with either."""

    account: str
    billing_period: str
    book: str
    control: str
    currency: str
    book_minus_control: str
    why: str


@dataclass(frozen=True)
class PublishedRate:
    """How much of a currency a euro was, by the date on which it was published."""

    rate_date: date
    currency: str
    per_euro: str


@dataclass(frozen=True)
class GpuTime:
    """GPU-milliseconds one GPU spent in one state on one UTC day. All states of a GPU and day sum to 86,400,000."""

    usage_date: date
    host: str
    gpu_uuid: str
    deployment: str | None
    state: str
    gpu_milliseconds: int


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong on purpose, and what must be made of it."""

    kind: str
    where: str
    from_at: datetime
    to_at: datetime
    expect: str


@dataclass(frozen=True)
class ExpectedVerdict:
    """The direction a workload's verdict must take on the last day. Volumes: tokens a day; ratio: demand / break-even.

    `break_even_tokens` and the ratio use the contract GPU rate alone; a realized rate with storage, support and tax
    on top moves them by a few percent, hence a range for the ratio. None where the data cannot say.
    """

    workload: str
    direction: str
    break_even_tokens: int | None
    mean_7_day_tokens: int | None
    ratio_low: str | None
    ratio_high: str | None
    why: str


@dataclass(frozen=True)
class Truth:
    """Everything `generate` knows to be so. `truth.json` is this, as JSON."""

    first_day: date
    last_day: date
    as_of: datetime
    tokens: tuple[TokenTotal, ...]
    billed_days: tuple[BilledDay, ...]
    superseded_days: tuple[BilledDay, ...]
    control_days: tuple[ControlDay, ...]
    invoices: tuple[InvoiceTotal, ...]
    contract_rate_per_gpu_hour: str
    contract_euros_per_gpu_hour: str
    gpu_days: tuple[GpuDay, ...]
    control_differences: tuple[ControlDifference, ...]
    rates: tuple[PublishedRate, ...]
    gpu_time: tuple[GpuTime, ...]
    faults: tuple[Fault, ...]
    verdicts: tuple[ExpectedVerdict, ...]
    files: tuple[str, ...]


def as_json(truth: Truth) -> str:
    """`truth.json`: one row a line, so that two versions can be compared by eye."""
    record: dict[str, Any] = {field.name: getattr(truth, field.name) for field in dataclasses.fields(truth)}
    parts = []
    for name, value in record.items():
        if isinstance(value, tuple):
            rows = ",\n".join("  " + json.dumps(_plain(row), ensure_ascii=False) for row in value)
            parts.append(f"{json.dumps(name)}: [\n{rows}\n]")
        else:
            parts.append(f"{json.dumps(name)}: {json.dumps(_plain(value))}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    return value
