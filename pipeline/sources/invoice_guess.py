"""A mapping for an invoice nobody has described yet, guessed from its header; kept only if the reader takes the file.

It is a proposal: a person compares the sum with the invoice before it is believed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import QuarantineError
from pipeline.formats.values import csv_header, read_csv
from pipeline.sources import invoice_csv

# Our column -> how headers begin that mean it, folded to letters; the likelier first.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "amount": ("amount", "charge", "linetotal", "netamount", "cost", "total", "betrag", "summe", "montant", "importe"),
    "invoice_id": ("invoiceno", "invoicenumber", "invoiceid", "invoice", "rechnungsnr", "rechnungsnummer", "rechnung"),
    "currency": ("currency", "ccy", "waehrung", "währung", "devise", "moneda"),
    "period_start": ("periodstart", "servicefrom", "startdate", "starttime", "start", "from", "von"),
    "period_end": ("periodend", "serviceuntil", "serviceto", "enddate", "endtime", "end", "until", "to", "bis"),
    "date": ("date", "day", "usagedate", "datum", "tag"),
    "issued_on": ("issued", "issuedate", "invoicedate", "rechnungsdatum"),
    "resource_id": ("resourceid", "resource", "instanceid", "instance", "server", "node", "machine", "host"),
    "gpu_count": ("gpucount", "gpus", "numgpus", "numberofgpus", "anzahlgpu"),
    "charge_kind": ("category", "chargetype", "kind", "type", "kategorie", "art", "item", "position", "description"),
    "description": ("description", "item", "position", "product", "posten", "beschreibung"),
    "quantity": ("quantity", "qty", "menge", "hours"),
    "unit_price": ("unitprice", "rate", "price", "einzelpreis", "preis"),
    "unit": ("unit", "uom", "einheit"),
}
_KINDS: tuple[tuple[str, str], ...] = (
    (r"tax|vat|gst|mwst|ust|steuer", "tax"),
    (r"credit|refund|gutschrift", "credit"),
    (r"discount|rabatt", "discount"),
    (r"support|care", "support"),
    (r"storage|disk|volume|snapshot|speicher", "storage"),
    (r"network|egress|traffic|bandwidth|\bip\b", "network"),
    (r"gpu|[habl]\d{1,3}s?\b|rtx|mi\d{3}|server|instance|node|compute", "gpu_instance"),
)
_TOTAL = re.compile(
    r"(?:grand |invoice )?total(?: due| amount)?|amount due|summe|gesamt(?:betrag)?|rechnungsbetrag", re.IGNORECASE
)
_GERMAN_DATE = re.compile(r"\d{2}\.\d{2}\.\d{4}", re.ASCII)
_DECIMAL_COMMA = re.compile(r"-?[\d.]*\d,\d{1,4}", re.ASCII)
_LAST_DAYS = re.compile(r"(?:^\d{4}-(?:0[13578]|1[02])-31$|^31\.(?:0[13578]|1[02])\.\d{4}$|^\d{4}-(?:0[469]|11)-30$)")


def guess_settings(content: bytes, *, currency: str | None = None) -> dict[str, Any] | None:
    """Settings of `invoice_csv` under which this file is read, or None. `currency`: where no column says it."""
    settings = likely_settings(content, currency=currency)
    if settings is None:
        return None
    try:
        fetched = invoice_csv.drop("invoice.csv", content, settings)
        invoice_csv.parse(content, fetched.settings)
    except QuarantineError:
        return None
    return settings


def likely_settings(
    content: bytes, *, currency: str | None = None, columns: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """The same, of which nobody has tried whether the file is read under them; None where it is no table.

    `columns`: our columns by its own, where another guess at the header is to be followed.
    """
    delimiter = max((",", ";", "\t", "|"), key=lambda mark: len(csv_header(content[:65_536], delimiter=mark)))
    try:
        rows = [record for _, record in read_csv(content, delimiter=delimiter, last_line_end_required=False).records()]
    except QuarantineError:
        return None
    header = csv_header(content[:65_536], delimiter=delimiter)
    columns = _columns(header) if columns is None else dict(columns)
    total = _total_row(header, rows)
    lines = [row for row in rows if total is None or row[total["column"]].strip() != total["equals"]]
    settings: dict[str, Any] = {"columns": columns, **_spelling(columns, lines, delimiter)}
    if "currency" not in columns and currency is not None:
        settings["currency"] = currency
    if "charge_kind" in columns:
        said = dict.fromkeys(row[columns["charge_kind"]].strip() for row in lines)
        settings["charge_kind"] = {text: _kind(text) for text in said}
    if total is not None:
        settings["total_row"] = total
    return settings


def _folded(header: str) -> str:
    return re.sub(r"[\W\d_]", "", header.casefold())


def _columns(header: Sequence[str]) -> dict[str, str]:
    """Each of our columns that a header stands for; a header stands for one of them."""
    found: dict[str, str] = {}
    free = list(dict.fromkeys(header))
    for ours, spellings in _SPELLINGS.items():
        if ours == "date" and "period_start" in found:
            continue
        for spelling in spellings:
            match = next((name for name in free if _folded(name) == spelling), None)
            match = match or next(
                (name for name in free if len(spelling) > 3 and _folded(name).startswith(spelling)), None
            )
            if match is not None:
                found[ours] = match
                free.remove(match)
                break
    return found


def _total_row(header: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dict[str, str] | None:
    for row in reversed(rows):
        for name in header:
            if _TOTAL.fullmatch(row[name].strip()):
                return {"column": name, "equals": row[name].strip()}
    return None


def _spelling(columns: Mapping[str, str], lines: Sequence[Mapping[str, str]], delimiter: str) -> dict[str, str]:
    """How the file writes amounts and dates, where that is not the usual way."""
    said: dict[str, str] = {} if delimiter == "," else {"delimiter": delimiter}
    amounts = [line[columns["amount"]].strip() for line in lines] if "amount" in columns else []
    if amounts and all(_DECIMAL_COMMA.fullmatch(amount) for amount in amounts):
        said["decimal"] = ","
        if any("." in amount for amount in amounts):
            said["thousands"] = "."
    starts = [line[columns[name]].strip() for name in ("period_start", "date") if name in columns for line in lines]
    if starts and all(_GERMAN_DATE.fullmatch(start) for start in starts):
        said["date_format"] = "%d.%m.%Y"
    if "period_end" in columns:
        ends = [line[columns["period_end"]].strip() for line in lines]
        if "incl" in columns["period_end"].casefold() or any(_LAST_DAYS.match(end) for end in ends):
            said["period_end"] = "inclusive"
    return said


def _kind(text: str) -> str:
    return next((kind for pattern, kind in _KINDS if re.search(pattern, text, re.IGNORECASE)), "other")
