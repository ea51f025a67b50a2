"""What was entered and closed, by whom and when."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from pipeline.build.closing_tables import EnteredAdjustment, EnteredRate, EnteredTotal, InvoiceName, closing_of
from pipeline.cli.close.saying import say
from pipeline.cli.options import emit
from pipeline.landing.project import Project
from pipeline.landing.records import Event

_LIST_SCHEMA: dict[str, pl.DataType] = {
    "month": pl.String(),
    "what": pl.String(),
    "issuer": pl.String(),
    "invoice_id": pl.String(),
    "amount": pl.String(),
    "billing_currency": pl.String(),
    "said": pl.String(),
    "at": pl.String(),
    "by": pl.String(),
    "id": pl.String(),
}


def print_list(project: Project, now: datetime, output_format: str) -> None:
    closing = closing_of(project.landing.contents().as_of(now).events)
    rows = [
        *(_listed_total(total) for _, total in sorted(closing.totals.items())),
        *(_listed_adjustment(one) for one in closing.adjustments),
        *(_listed_rate(one) for _, one in sorted(closing.rates.items())),
        *(_listed_replaced(one) for one in closing.replaced),
        *(
            {
                "month": f"{one.month:%Y-%m}",
                "what": "closed",
                "issuer": one.issuer,
                "said": f"snapshot {one.snapshot_id}, {len(one.invoices)} rows, sha256 {one.sha256[:12]}",
                "at": f"{one.at:%Y-%m-%d %H:%M}",
                "by": one.by,
            }
            for one in closing.closes.values()
        ),
        *(
            {
                **{name: _text_of(event, said) for name, said in _SAID_OF_LEFT_OUT.items()},
                "what": f"not counted, {event.kind}",
                "said": reason,
                "at": f"{event.at:%Y-%m-%d %H:%M}",
            }
            for event, reason in closing.left_out
        ),
    ]
    filled = [{name: row.get(name) for name in _LIST_SCHEMA} for row in rows]
    filled.sort(key=lambda row: (row["month"] or "", row["at"]))
    if not filled and output_format == "table":
        say("Nothing was entered, and no month is closed.")
        return
    if output_format != "table":
        emit(pl.DataFrame(filled, schema=_LIST_SCHEMA, orient="row"), output_format)
        return
    for row in filled:
        say(_listed_in_words(row))


_SAID_OF_LEFT_OUT = {
    "month": "month",
    "issuer": "issuer",
    "invoice_id": "invoice_id",
    "billing_currency": "currency",
    "by": "by",
}


def _text_of(event: Event, name: str) -> str | None:
    """What does not count may say anything: only what is text is shown of it."""
    said = event.body.get(name)
    return said if isinstance(said, str) else None


def _listed_in_words(row: Mapping[str, Any]) -> str:
    """`2026-10 anthropic INV-77: tax 0.50 USD (VAT), root on 2026-11-06 06:00, id 3fa9c01b22de`"""
    named = " ".join(row[name] for name in ("month", "issuer", "invoice_id") if row[name] is not None)
    amount = "" if row["amount"] is None else f" {row['amount']} {row['billing_currency']}"
    said = "" if row["said"] is None else f" ({row['said']})"
    by = "" if row["by"] is None else f", {row['by']}"
    its_id = "" if row["id"] is None else f", id {row['id']}"
    return f"{named or 'Of no month'}: {row['what']}{amount}{said}{by} on {row['at']}{its_id}"


def _listed_total(total: EnteredTotal) -> dict[str, Any]:
    was = "" if total.previous is None else f"before: {format(total.previous, 'f')}"
    why = total.reason or ""
    of = f"lines of {total.account}" if total.account is not None else ""
    return {
        **_listed_name(total.name),
        "what": "total",
        "amount": format(total.amount, "f"),
        "said": "; ".join(filter(None, (of, was, why))) or None,
        "at": f"{total.at:%Y-%m-%d %H:%M}",
        "by": total.by,
    }


def _listed_adjustment(one: EnteredAdjustment) -> dict[str, Any]:
    return {
        **_listed_name(one.name),
        "what": one.kind,
        "amount": format(one.amount, "f"),
        "said": one.reason,
        "at": f"{one.at:%Y-%m-%d %H:%M}",
        "by": one.by,
        "id": one.adjustment_id,
    }


def _listed_rate(one: EnteredRate) -> dict[str, Any]:
    return {
        **_listed_name(one.name),
        "what": "rate",
        "said": f"{format(one.rate, 'f')} {one.reporting_currency} of {one.rate_date}",
        "at": f"{one.at:%Y-%m-%d %H:%M}",
        "by": one.by,
    }


def _listed_replaced(one: EnteredTotal | EnteredAdjustment | EnteredRate) -> dict[str, Any]:
    if isinstance(one, EnteredRate):
        row = _listed_rate(one)
    else:
        row = _listed_total(one) if isinstance(one, EnteredTotal) else _listed_adjustment(one)
    return {**row, "what": f"replaced {row['what']}"}


def _listed_name(name: InvoiceName) -> dict[str, Any]:
    return {
        "month": f"{name.month:%Y-%m}",
        "issuer": name.issuer,
        "invoice_id": name.invoice_id,
        "billing_currency": name.currency,
    }
