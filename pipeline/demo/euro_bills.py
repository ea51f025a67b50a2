"""demo-nord-gpu: a small provider's October invoice in euros, as such invoices look; and the ECB's rates beside it.

The rates are invented. Their file is spelled as the ECB's history is: newest first, working days only.
"""

import csv
import io
import random
from datetime import date, timedelta
from decimal import Decimal

from pipeline.demo import company
from pipeline.demo.truth import InvoiceLine, InvoiceTotal, PublishedRate

ECB = "ecb"
RATES_NAME = "eurofxref-hist_20261113T150500Z.csv"
INVOICE_ID = "NG-2026-0118"
INVOICE_NAME = f"{INVOICE_ID}_20261102T080000Z.csv"
INVOICE_COLUMNS = {
    "invoice_id": "Rechnung",
    "description": "Position",
    "charge_kind": "Art",
    "resource_id": "Server",
    "quantity": "Menge",
    "unit": "Einheit",
    "unit_price": "Einzelpreis",
    "amount": "Betrag",
    "currency": "Währung",
    "period_start": "Von",
    "period_end": "Bis",
}
INVOICE_CHARGE_KINDS = {"GPU-Server": "gpu_instance", "Netz": "network", "USt": "tax"}
INVOICE_TOTAL_TEXT = "Gesamtbetrag"
HOUR_RATE_CENTS = 72

_OCTOBER, _LAST_OF_OCTOBER = date(2026, 10, 1), date(2026, 10, 31)
_HOURS = 744
_NETWORK_CENTS = 4_90
_TAX_PERCENT = 19
# A rate serves seven days: the first day of the demo has one of the week before.
_FIRST_RATE, _LAST_RATE = date(2026, 9, 21), date(2026, 11, 13)
# In 10^-4: where the walk starts, and how far a day may take it.
_STARTS = {"USD": (11_640, 60), "JPY": (1_742_300, 9_000), "GBP": (8_690, 30), "CHF": (9_330, 25)}


def october_invoice() -> tuple[bytes, InvoiceTotal]:
    """The invoice as CSV (semicolons, decimal commas, days inclusive) and what it must add up to."""
    server = _HOURS * HOUR_RATE_CENTS
    tax = ((server + _NETWORK_CENTS) * _TAX_PERCENT * 2 + 100) // 200  # half up, in cents
    lines = [
        ("1x L4 24GB", "GPU-Server", company.NORD_SERVER, f"{_HOURS},00", "h", _euros(HOUR_RATE_CENTS), server),
        ("Feste IPv4-Adresse", "Netz", "", "1,00", "Stk", _euros(_NETWORK_CENTS), _NETWORK_CENTS),
        (f"Umsatzsteuer {_TAX_PERCENT} %", "USt", "", "", "", "", tax),
    ]
    total = sum(line[-1] for line in lines)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerow(INVOICE_COLUMNS.values())
    period = (f"{_OCTOBER:%d.%m.%Y}", f"{_LAST_OF_OCTOBER:%d.%m.%Y}")
    for *said, cents in lines:
        writer.writerow([INVOICE_ID, *said, _euros(cents), "EUR", *period])
    writer.writerow([INVOICE_ID, INVOICE_TOTAL_TEXT, "", "", "", "", "", _euros(total), "EUR", "", ""])
    truth = InvoiceTotal(
        account=company.NORD,
        invoice_id=INVOICE_ID,
        currency="EUR",
        period_start=_OCTOBER,
        period_end=_LAST_OF_OCTOBER + timedelta(days=1),
        total=_cents(total),
        lines=tuple(
            InvoiceLine(
                charge_kind=INVOICE_CHARGE_KINDS[kind],
                resource_id=resource or None,
                gpu_hours=str(_HOURS) if kind == "GPU-Server" else None,
                amount=_cents(cents),
            )
            for _, kind, resource, _, _, _, cents in lines
        ),
    )
    return text.getvalue().encode(), truth


def published_rates() -> tuple[PublishedRate, ...]:
    """One for each currency and working day, oldest first."""
    rng = random.Random(f"{company.SEED}/{ECB}")
    level = {currency: start for currency, (start, _) in _STARTS.items()}
    rates = []
    day = _FIRST_RATE
    while day <= _LAST_RATE:
        if day.weekday() < 5:
            for currency, (_, step) in _STARTS.items():
                level[currency] += rng.randint(-step, step)
                rates.append(PublishedRate(day, currency, _rate(level[currency])))
        day += timedelta(days=1)
    return tuple(rates)


def rates_csv(rates: tuple[PublishedRate, ...]) -> bytes:
    """As `eurofxref-hist.csv`: a comma at the end of each line, N/A for a currency that is quoted no more."""
    by_day: dict[date, dict[str, str]] = {}
    for rate in rates:
        by_day.setdefault(rate.rate_date, {})[rate.currency] = rate.per_euro
    lines = ["Date,USD,JPY,BGN,GBP,CHF,"]
    for day, said in sorted(by_day.items(), reverse=True):
        lines.append(f"{day},{said['USD']},{said['JPY']},N/A,{said['GBP']},{said['CHF']},")
    return ("\n".join(lines) + "\n").encode()


def mean_dollars_per_euro(first: date, last: date) -> Decimal:
    """Of the rates published from `first` to `last`: good enough for a verdict by hand."""
    found = [
        Decimal(rate.per_euro)
        for rate in published_rates()
        if rate.currency == "USD" and first <= rate.rate_date <= last
    ]
    return sum(found, Decimal()) / len(found)


def _rate(tenths_of_mills: int) -> str:
    """Without the zeros at its end, as the ECB spells it."""
    whole, fraction = divmod(tenths_of_mills, 10_000)
    return f"{whole}.{fraction:04d}".rstrip("0").rstrip(".")


def _cents(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _euros(cents: int) -> str:
    """As it is written there: 1.234,56, but this invoice leaves the points out."""
    return f"{cents // 100},{cents % 100:02d}"
