"""Lines of GPU bills, and the totals that invoices state: two tables that several readers yield.

Whoever rents out GPUs bills lines: a resource, a time, an amount. Each export says it in words of its own and is read
in its own file; what it comes to is the same here, so that one staging model, one law of money, one close and one way
to book a line to its days serve all of them. Every dataset of them is called `invoice`, and each source has this one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import other_columns
from pipeline.landing.dataset import Money, Table
from pipeline.landing.times import DAY, day_start

DATASET = "invoice"
CHARGE_KINDS = ("gpu_instance", "storage", "network", "support", "tax", "credit", "discount", "other")
LINE_TEXTS = ("description", "charge_kind", "resource_id", "gpu_count", "quantity", "unit", "unit_price")
# No line of an invoice says as much; what is below can be held, and its products.
TOO_LARGE = 10**15
TOO_MANY_GPUS = 500_000
_TOO_LONG = 20 * 366 * DAY

LINES = Table(
    name="lines",
    columns={
        "invoice_id": pl.String(),
        "line_number": pl.Int64(),
        **{name: pl.String() for name in (*LINE_TEXTS, "amount", "currency", "period_start", "period_end")},
    },
    money=Money(home="gpu", amount="amount", currency_column="currency"),
    view="landed_gpu_bills__lines",
)
TOTALS = Table(
    name="totals",
    columns={
        name: pl.String()
        for name in ("invoice_id", "total_amount", "currency", "issued_on", "period_start", "period_end")
    },
    view="landed_gpu_bills__totals",
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a bill. `number`: unique within the source, the account and the invoice.

    `start`, `stop`: its period in UTC, the end excluded; where both are one moment it is a charge of that day. Amount
    and quantities are decimal text; `others`: what has no column here.
    """

    bucket: str
    invoice_id: str
    number: int
    start: datetime
    stop: datetime
    amount: str
    currency: str
    charge_kind: str
    description: str | None = None
    resource_id: str | None = None
    gpu_count: str | None = None
    quantity: str | None = None
    unit: str | None = None
    unit_price: str | None = None
    others: Mapping[str, object] = field(default_factory=dict)

    @property
    def period(self) -> tuple[datetime, datetime]:
        """A day's own where it is one moment."""
        if self.start < self.stop:
            return self.start, self.stop
        day = day_start(self.start.astimezone(UTC).date())
        return day, day + DAY


@dataclass(frozen=True, kw_only=True)
class Total:
    """What an invoice states that it comes to, over the period of its lines."""

    bucket: str
    invoice_id: str
    amount: str
    currency: str
    start: datetime
    stop: datetime
    issued_on: str | None = None
    others: Mapping[str, object] = field(default_factory=dict)


def lines_frame(lines: Iterable[Line]) -> pl.DataFrame:
    """Rows of `LINES`, in their order."""
    rows = [
        (
            line.bucket,
            line.period[0].date(),
            line.invoice_id,
            line.number,
            line.description,
            line.charge_kind,
            line.resource_id,
            line.gpu_count,
            line.quantity,
            line.unit,
            line.unit_price,
            line.amount,
            line.currency,
            *map(iso, line.period),
            other_columns(line.others),
        )
        for line in lines
    ]
    return pl.DataFrame(rows, schema=LINES.schema, orient="row")


def totals_frame(totals: Iterable[Total]) -> pl.DataFrame:
    """Rows of `TOTALS`, in their order."""
    rows = [
        (
            total.bucket,
            total.start.date(),
            total.invoice_id,
            total.amount,
            total.currency,
            total.issued_on,
            iso(total.start),
            iso(total.stop),
            other_columns(total.others),
        )
        for total in totals
    ]
    return pl.DataFrame(rows, schema=TOTALS.schema, orient="row")


def kind_of(kind: str, *, resource_id: str | None) -> str:
    """The kind under which a line lands: one of a GPU that names no resource is `other`, for nobody can say whose."""
    return "other" if kind == "gpu_instance" and resource_id is None else kind


def check_length(start: datetime, stop: datetime, *, where: str) -> None:
    """QuarantineError where a line's period is longer than any: each of its days would be booked, one by one."""
    if stop - start > _TOO_LONG:
        raise QuarantineError(
            f"{where}: the period {iso(start)} to {iso(stop)} is longer than 20 years, and no line's is. "
            "Export it again; if it is so at its source, ask the issuer."
        )


def check_size(said: str, *, name: str, where: str, below: int = TOO_LARGE) -> str:
    """The decimal text, or QuarantineError where it or its negative is not below what any invoice says."""
    if abs(Decimal(said)) >= below:
        raise QuarantineError(f"{where}: {name} is {said!r}, more than any invoice says.")
    return said


def check_currency(said: Mapping[str, object], currency: str, *, where: str) -> None:
    """QuarantineError where a row of an issuer that bills in one currency names another beside its amount."""
    named = said.get("currency")
    if named not in (None, "") and str(named).upper() != currency:
        raise QuarantineError(
            f"{where}: the currency is {str(named)[:40]!r}, and its amounts are taken for {currency}. Until this "
            "release reads it, give the invoice as CSV and declare its columns (source invoice_csv)."
        )


def iso(moment: datetime) -> str:
    """An instant in UTC as the tables spell it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
