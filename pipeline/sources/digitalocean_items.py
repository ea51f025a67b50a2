"""The items of DigitalOcean's invoices as lines of a GPU bill: of the API's answers as they land, and of a CSV.

**What is a GPU** (`charge_kind`): a droplet whose size in parentheses begins with `gpu-` (it says how many GPUs), a
product called so, and a Paperspace machine of a type that is a GPU's. How an invoice spells them is not documented,
so settings.charge_kind maps a product, or the group that an item is in (a Kubernetes cluster), to a kind; what nobody
knows is `other`, and on the bill like the rest. The resource is the droplet's id; a CSV has none: there it is the name.

A month is one object: `{"invoice_period", "invoices": [{"listed", "is_preview", "pages", "summary"}]}`, the list's
entry of each invoice with its pages as they came.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeGuard

from pipeline.economics.closing import exact_sum
from pipeline.errors import QuarantineError
from pipeline.formats.values import BLANKS, decimal_text, exact_json, instant, read_csv, text_or_none
from pipeline.landing.dataset import Frames, Settings
from pipeline.landing.times import stamp
from pipeline.sources.data_exports import month_of
from pipeline.sources.gpu_bill import (
    LINES,
    TOO_MANY_GPUS,
    TOTALS,
    Line,
    Total,
    check_currency,
    check_length,
    check_size,
    kind_of,
    lines_frame,
    totals_frame,
)
from pipeline.sources.openai_costs_api import is_json

COLUMNS = ("product", "group_description", "description", "hours", "start", "end", "USD")
# What an invoice comes to beside its product charges, and what kind of line that is.
BESIDE: Mapping[str, str] = {"overages": "other", "taxes": "tax", "credits_and_adjustments": "credit"}
_CURRENCY = "USD"
_ITEM = ("product", "group_description", "description", "amount", "duration", "duration_unit", "start_time", "end_time")
_PERIOD = re.compile(r"20\d{2}-(0[1-9]|1[0-2])", re.ASCII)
_DOLLARS = re.compile(r"(-?)\$?(-?)((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)", re.ASCII)

# --- what is a GPU, and what is not -----------------------------------------------------------------------------------

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(rf"\b(?:{words})\b", re.ASCII | re.IGNORECASE))
    for kind, words in (
        ("tax", "tax|taxes|vat|gst"),
        ("credit", "credits?|promo|promotions?"),
        ("discount", "discounts?|adjustments?"),
        ("support", "support"),
        ("storage", "volumes?|snapshots?|backups?|spaces|storage|container registry|images?"),
        ("network", "load balancers?|floating ips?|reserved ips?|bandwidth|vpc|nat gateways?|cdn|data transfer"),
        ("gpu_instance", "gpus?"),
    )
)
_GPU_SIZE = re.compile(r"\(gpu-[a-z0-9]+?x(\d{1,4})-\d+gb[a-z0-9-]*\)", re.ASCII | re.IGNORECASE)
_GPU_MACHINE = re.compile(
    r"\b(?:[VA]100|[HB][12]00|GH200|L4|L40S?|MI3\d\dX?|M4000|P[456]000|A[456]000|(?:Quadro )?RTX ?\d{4})"
    r"(?:-\d+G)?(?:x(\d))?\b",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class _Told:
    """What an item is. `gpus`: how many, where it says so."""

    kind: str
    gpus: str | None = None


def charge_kind(product: str, group: str, description: str, declared: Mapping[str, str]) -> _Told:
    """What an item is, by what is declared, else by its product, its size or its machine; unknown is `other`."""
    size = _GPU_SIZE.search(description)
    gpus = None if size is None else size[1]
    if (kind := declared.get(product) or declared.get(group)) is not None:
        return _Told(kind, gpus)
    if (kind := next((kind for kind, words in _KINDS if words.search(product)), None)) is not None:
        return _Told(kind, gpus if kind == "gpu_instance" else None)
    if size is not None:
        return _Told("gpu_instance", gpus)
    machine = _GPU_MACHINE.search(description)
    if machine is not None and re.search("paperspace|gradient", product, re.IGNORECASE):
        return _Told("gpu_instance", machine[1])
    return _Told("other")


# --- rows -------------------------------------------------------------------------------------------------------------


def parse(content: bytes, settings: Settings) -> Frames:
    """Every item as a line, and of each issued invoice its total. Raises QuarantineError, naming the place."""
    kinds = settings.get("charge_kind")
    declared = kinds if isinstance(kinds, Mapping) else {}
    if not is_json(content[:100]):
        return {LINES.name: lines_frame(_of_csv(content, settings, declared)), TOTALS.name: totals_frame(())}
    said = exact_json(content)
    period = said.get("invoice_period") if isinstance(said, dict) else None
    invoices = said.get("invoices") if isinstance(said, dict) else None
    if not isinstance(period, str) or _PERIOD.fullmatch(period) is None or not isinstance(invoices, list):
        raise QuarantineError(
            "A saved answer of DigitalOcean's says neither of which invoice nor of which month it is. Drop the "
            "invoice's CSV, or give the source a token (key_env)."
        )
    lines: list[Line] = []
    totals: list[Total] = []
    named: set[str] = set()
    for number, invoice in enumerate(invoices, start=1):
        one = _Invoice.of(invoice, period, where=f"invoice {number}")
        if one.invoice_id in named:
            raise QuarantineError(f"invoice {number}: {one.invoice_id} is in it twice, and would count twice.")
        named.add(one.invoice_id)
        own = list(one.lines(declared))
        lines += own + list(one.beside(own))
        totals += one.totals()
    return {LINES.name: lines_frame(lines), TOTALS.name: totals_frame(totals)}


def is_entry(entry: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it names an invoice and its month: without either it cannot be asked for."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("invoice_period"), str)
        and _PERIOD.fullmatch(entry["invoice_period"]) is not None
        and isinstance(entry.get("invoice_uuid"), str)
        and re.fullmatch(r"[A-Za-z0-9-]{1,64}", entry["invoice_uuid"], re.ASCII) is not None
    )


@dataclass(frozen=True)
class _Invoice:
    """An invoice as it was listed, its pages, and its summary where that was asked for."""

    period: str
    listed: Mapping[str, Any]
    is_preview: bool
    pages: Sequence[Any]
    summary: Mapping[str, Any] | None
    where: str

    @classmethod
    def of(cls, said: object, period: str, *, where: str) -> "_Invoice":
        if not isinstance(said, dict) or not is_entry(said.get("listed")) or not isinstance(said.get("pages"), list):
            raise QuarantineError(f"{where}: no entry of the list with its pages.")
        check_currency(said["listed"], _CURRENCY, where=where)
        if said["listed"]["invoice_period"] != period:
            raise QuarantineError(f"{where}: it is of {said['listed']['invoice_period']}, and {period} was asked for.")
        summary = said.get("summary")
        if summary is not None and not isinstance(summary, dict):
            raise QuarantineError(f"{where}: its summary is no object.")
        if not isinstance(said.get("is_preview"), bool):
            raise QuarantineError(f"{where}: nobody says whether it is the preview.")
        return cls(period, said["listed"], said["is_preview"], said["pages"], summary, where)

    @property
    def invoice_id(self) -> str:
        """A preview is no invoice: it is called so, until there is one."""
        return f"preview {self.period}" if self.is_preview else str(self.listed["invoice_uuid"])

    def lines(self, declared: Mapping[str, str]) -> Iterator[Line]:
        number = 0
        for page_number, page in enumerate(self.pages, start=1):
            items = page.get("invoice_items") if isinstance(page, dict) else None
            if not isinstance(items, list):
                raise QuarantineError(f"{self.where}, page {page_number}: no list invoice_items.")
            for item_number, item in enumerate(items, start=1):
                number += 1
                where = f"{self.where}, page {page_number}, item {item_number}"
                yield self._line(item, number, declared, where=where)

    def _line(self, item: object, number: int, declared: Mapping[str, str], *, where: str) -> Line:
        if not isinstance(item, dict):
            raise QuarantineError(f"{where}: not an object.")
        check_currency(item, _CURRENCY, where=where)
        texts = {
            name: _text(item.get(name), name=name, where=where) for name in (*_ITEM, "resource_id", "resource_uuid")
        }
        said = _Item(
            product=texts["product"],
            group=texts["group_description"],
            description=texts["description"],
            amount=decimal_text(texts["amount"], name="amount", where=where),
            start=instant(item.get("start_time"), name="start_time", where=where),
            stop=instant(item.get("end_time"), name="end_time", where=where),
            duration=texts["duration"],
            unit=texts["duration_unit"],
            resource_id=texts["resource_id"] or texts["resource_uuid"] or None,
        )
        known = {*_ITEM, "resource_id" if texts["resource_id"] else "resource_uuid"}
        others = {name: value for name, value in item.items() if name not in known and value not in (None, "")}
        return said.line(self.period, self.invoice_id, number, declared, others, where=where)

    def beside(self, lines: Sequence[Line]) -> Iterator[Line]:
        """Overages, taxes and credits, where the items come to the product charges alone."""
        if self.summary is None:
            return
        parts = {name: self._part(name) for name in ("product_charges", *BESIDE)}
        if parts["product_charges"] is None or _sum(lines) != Decimal(parts["product_charges"]):
            return
        start, stop = month_of(self.period)
        number = len(lines)
        for name, kind in BESIDE.items():
            amount = parts[name]
            if amount is not None and Decimal(amount):
                number += 1
                yield Line(
                    bucket=self.period, invoice_id=self.invoice_id, number=number, start=start, stop=stop,
                    amount=amount, currency=_CURRENCY, charge_kind=kind,
                    description=f"{name.replace('_', ' ')}, as the invoice's summary says",
                )  # fmt: skip

    def _part(self, name: str) -> str | None:
        """A part's amount; None where the summary leaves it out."""
        part = (self.summary or {}).get(name)
        if part is None:
            return None
        where = f"{self.where}, summary"
        return decimal_text(part.get("amount") if isinstance(part, dict) else part, name=f"{name}.amount", where=where)

    def totals(self) -> list[Total]:
        if self.is_preview:
            return []
        start, stop = month_of(self.period)
        amount = decimal_text(self.listed.get("amount"), name="amount", where=self.where)
        known = ("invoice_uuid", "amount", "invoice_period")
        others = {name: value for name, value in self.listed.items() if name not in known and value is not None}
        return [
            Total(
                bucket=self.period, invoice_id=self.invoice_id, amount=amount, currency=_CURRENCY,
                start=start, stop=stop, others=others,
            )
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Item:
    """An item, whether of the API or of a CSV. `duration` in `unit`, and `resource_id` where it has one."""

    product: str
    group: str
    description: str
    amount: str
    start: datetime
    stop: datetime
    duration: str
    unit: str
    resource_id: str | None

    def line(
        self, period: str, invoice_id: str, number: int, declared: Mapping[str, str], others: Mapping[str, Any], *,
        where: str,
    ) -> Line:  # fmt: skip
        if self.stop < self.start:
            raise QuarantineError(f"{where}: it ends at {stamp(self.stop)}, before it starts at {stamp(self.start)}.")
        check_length(self.start, self.stop, where=where)
        if self.start >= month_of(period)[1]:
            raise QuarantineError(
                f"{where}: it starts at {stamp(self.start)}, after {period}, which its invoice bills."
            )
        told = charge_kind(self.product, self.group, self.description, declared)
        quantity = None
        if self.duration:
            quantity = check_size(
                decimal_text(self.duration, name="duration", where=where), name="duration", where=where
            )
        gpus = told.gpus and check_size(told.gpus, name="GPUs of its size", where=where, below=TOO_MANY_GPUS)
        texts = (self.product, self.group, self.description)
        return Line(
            bucket=period,
            invoice_id=invoice_id,
            number=number,
            start=self.start,
            stop=self.stop,
            amount=self.amount,
            currency=_CURRENCY,
            charge_kind=kind_of(told.kind, resource_id=self.resource_id),
            description=", ".join(text for text in texts if text) or None,
            resource_id=self.resource_id,
            gpu_count=gpus or None,
            quantity=quantity,
            unit=self.unit or None,
            others=others,
        )


def _text(value: object, *, name: str, where: str) -> str:
    return (text_or_none(value, name=name, where=where) or "").strip(BLANKS)


def _sum(lines: Sequence[Line]) -> Decimal:
    return exact_sum(Decimal(line.amount) for line in lines)


def _of_csv(content: bytes, settings: Settings, declared: Mapping[str, str]) -> list[Line]:
    """The rows of a CSV. It does not say its month: that is the one in which the last of its items ends."""
    file = read_csv(content)
    absent = [name for name in COLUMNS if name not in file.header]
    if absent:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. This is no CSV of a DigitalOcean invoice.")
    items = [(number, _csv_item(record, where=f"row {number}"), record) for number, record in file.records()]
    if not items:
        return []
    last = max(item.stop for _, item, _ in items) - timedelta(seconds=1)
    period = f"{last:%Y-%m}"
    if _PERIOD.fullmatch(period) is None:
        raise QuarantineError(f"The last of its items ends at {stamp(last)}, in no month that DigitalOcean bills.")
    invoice_id = str(settings.get("invoice_id") or f"DigitalOcean {period}")
    return [
        item.line(
            period, invoice_id, number, declared,
            {name: text for name, text in record.items() if name not in COLUMNS and text}, where=f"row {number}",
        )
        for number, item, record in items
    ]  # fmt: skip


def _csv_item(record: Mapping[str, str], *, where: str) -> _Item:
    description = record["description"].strip(BLANKS)
    # `name (size)`; without a size the whole of it is a name only of what has one.
    named = re.fullmatch(r"(.+?) \([^()]+\)", description)
    hours = record["hours"].strip(BLANKS)
    return _Item(
        product=record["product"].strip(BLANKS),
        group=record["group_description"].strip(BLANKS),
        description=description,
        amount=_dollars(record["USD"], where=where),
        start=_csv_moment(record["start"], name="start", where=where),
        stop=_csv_moment(record["end"], name="end", where=where),
        duration=hours,
        unit="Hours" if hours else "",
        resource_id=named[1] if named else None,
    )


def _csv_moment(text: str, *, name: str, where: str) -> datetime:
    try:
        return datetime.strptime(text.strip(BLANKS), "%Y-%m-%d %H:%M:%S %z").astimezone(UTC)
    except (ValueError, OverflowError):
        raise QuarantineError(f"{where}: {name} is {text!r}, not as 2026-11-01 00:00:00 +0000.") from None


def _dollars(text: str, *, where: str) -> str:
    """`$1,234.56` or `-$5.00` as decimal text."""
    found = _DOLLARS.fullmatch(text.strip(BLANKS))
    if found is None or (found[1] and found[2]):
        raise QuarantineError(f"{where}: USD is {text!r}, not an amount as $3.11.")
    return decimal_text(f"{found[1]}{found[2]}{found[3].replace(',', '')}", name="USD", where=where)
