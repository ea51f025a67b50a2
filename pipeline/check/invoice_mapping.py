"""A first guess at `settings` of an invoice that no mapping was declared for: columns by what they are called.

A guess is only ever shown, with the totals that follow from it: a project reads an invoice by what a person declared.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.formats.values import csv_header
from pipeline.sources.invoice_guess import guess_settings, likely_settings

_DELIMITERS = (",", ";", "\t", "|")
# What YAML takes for something else than a text.
_NO_TEXTS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# There are more of our columns than that, but not of them in one invoice.
_MOST_SHOWN = 14
# Our column -> what its header is called, the most telling words first; a header is taken once.
_WORDS: tuple[tuple[str, str], ...] = (
    ("invoice_id", r"invoice ?(id|no|number|nr)?$|rechnung(snummer|snr)?$"),
    ("currency", r"currency( code)?$|waehrung$|währung$|billing ?currency(code)?$"),
    ("gpu_count", r"gpus?$|gpu ?count$|number of gpus$"),
    ("unit_price", r"unit ?price|rate$|price per|price ?/|einzelpreis"),
    ("quantity", r"quantity|qty|hours?$|usage$|consumed|menge|stunden"),
    ("unit", r"unit(s| of measure)?$|einheit$"),
    ("amount", r"amount|betrag|montant|importe|(line|net|sub) ?total|^total( cost)?$|^cost$|cost in|mycost|charge$"),
    ("period_start", r"(period|usage|service|billing)? ?(start|from)( ?(date|time))?$|interval ?start|^von$|^ab$"),
    ("period_end", r"(period|usage|service|billing)? ?(end|to|until)( ?(date|time))?$|interval ?end|^bis$"),
    ("date", r"^(usage|billing|invoice|charge)? ?date$|^day$|^datum$"),
    ("resource_id", r"resource ?(id|name)?$|instance ?(id|name)?$|server( id)?$|node( id)?$|host$|machine$"),
    ("charge_kind", r"(charge|item|line|product|usage) ?(type|kind|category)$|^item$|^type$|^posten$|^category$"),
    ("description", r"description|product( ?name)?$|service$|beschreibung|details$"),
)


@dataclass(frozen=True)
class InvoiceMapping:
    """`settings` as far as headers tell, and the same as a line for breakeven.yaml."""

    settings: Mapping[str, Any]
    words: str


def guessed_mapping(content: bytes, *, currency: str) -> InvoiceMapping:
    """Columns of a CSV invoice, by their headers. `currency`: where no column says it."""
    head = content[:65_536]
    delimiter = max(_DELIMITERS, key=lambda mark: len(csv_header(head, delimiter=mark)))
    columns = _columns(csv_header(head, delimiter=delimiter))
    # As `init` guesses it: how amounts and dates are written, and which line is the total of the others.
    settings = guess_settings(content, currency=currency) or likely_settings(
        content, currency=currency, columns=columns
    )
    if settings is None:
        settings = {"columns": columns, "currency": currency, "delimiter": delimiter}
    columns = settings["columns"]
    shown = ", ".join(f"{name}: {_yaml(value)}" for name, value in settings.items() if not _is_long(value))
    kinds = settings.get("charge_kind", {})
    left_out = f", and charge_kind for {len(kinds)} texts" if _is_long(kinds) else ""
    taken = "" if "currency" in columns else f"no column says its currency, so {currency} is taken from --currency; "
    said = f"{taken}read by a guess at its columns; in breakeven.yaml declare, once you have looked at it, settings: "
    return InvoiceMapping(settings, f"{said}{{{shown}}}{left_out}")


def _columns(header: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for ours, pattern in _WORDS:
        if ours == "date" and "period_start" in found:
            continue
        taken = set(found.values())
        match = next((name for name in header if name not in taken and _is_called(name, pattern)), None)
        if match is not None:
            found[ours] = match
    if "period_start" not in found:
        found.pop("period_end", None)
    return found


def _is_called(header: str, pattern: str) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", header)
    return re.search(pattern, re.sub(r"[^\w]+|_", " ", words).strip().lower()) is not None


def _is_long(value: object) -> bool:
    return isinstance(value, Mapping) and len(value) > _MOST_SHOWN


def _yaml(value: str | Mapping[str, str]) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_yaml(name)}: {_yaml(said)}" for name, said in value.items()) + "}"
    is_plain = (
        re.fullmatch(r"[A-Za-z][A-Za-z0-9_ ]*", value) and value.lower() not in _NO_TEXTS and value.strip() == value
    )
    return value if is_plain else "'" + value.replace("'", "''") + "'"
