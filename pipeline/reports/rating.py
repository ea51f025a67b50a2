"""Metered usage rated again beside the bill: each line's days, what they are, and what can be sent to a provider."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import polars as pl

from pipeline.decisions.api_side import key_of
from pipeline.economics.exact import to_places
from pipeline.economics.prices import DatedPrice, PriceList
from pipeline.economics.rating import (
    AGREES,
    DIFFERS,
    DISCOUNT,
    DRIFT,
    DUPLICATE,
    SURCHARGE,
    UNBILLED,
    UNMETERED,
    UNPRICED,
    RatedDay,
    Told,
    told,
)
from pipeline.reports import figures
from pipeline.reports.words import inert

Prices = Literal["contract", "list"]
# In the order in which somebody should look.
KINDS: Mapping[str, str] = {
    DUPLICATE: "rated more than once",
    DRIFT: "the price moved",
    SURCHARGE: "above the price, always alike",
    DIFFERS: "differs, by no rule",
    UNMETERED: "billed, and nothing was metered",
    DISCOUNT: "below the price, always alike",
    UNBILLED: "metered, and not on the bill",
    UNPRICED: "cannot be rated: no price, or tokens that lines of several prices share",
    AGREES: "agrees",
}
# What is above the price, and so may be claimed back.
CLAIMED = (DUPLICATE, DRIFT, SURCHARGE, DIFFERS)
PACKET_COLUMNS = (
    "usage_date", "provider", "account", "model", "token_class", "service_tier", "context_window", "region",
    "what_it_is", "metered_tokens", "price_per_million", "price_source", "rated", "billed", "overbilled_at_least",
    "currency",
)  # fmt: skip


@dataclass(frozen=True)
class LineKey:
    """A thing that is bought: what has a price of its own, in one currency. `apart`: what of it met no meter (billed)
    or no bill (metered), though some did.
    """

    provider: str
    account: str
    model: str | None
    token_class: str | None
    service_tier: str | None
    price_mode: str | None
    context_window: str | None
    region: str | None
    currency: str | None
    apart: str | None = None


@dataclass(frozen=True)
class RatedLine:
    """A line with its days. `prices`: that of each day on which there is one."""

    key: LineKey
    days: tuple[Told, ...]
    prices: Mapping[date, DatedPrice]

    @property
    def kinds(self) -> list[str]:
        """What its days are, the first to look at first."""
        found = {one.kind for one in self.days}
        return [kind for kind in KINDS if kind in found]

    @property
    def over(self) -> Fraction:
        """What is claimed of it at least."""
        return sum((one.over for one in self.days if one.kind in CLAIMED), Fraction(0))


def rated_lines(
    ask: Callable[..., pl.DataFrame], prices: PriceList, *, by: Prices, from_date: date, to_date: date
) -> list[RatedLine]:
    """Lines of the days [from_date, to_date), those with most claimed first.

    `by`: contract (what was agreed, else list) or list. A line in another currency than its price is
    unpriced, and one of which nobody knows which tokens of several prices are its own.
    """
    rows: dict[LineKey, list[RatedDay]] = {}
    used: dict[LineKey, dict[date, DatedPrice]] = {}
    for row in ask("rating_lines", from_date=from_date, to_date=to_date).to_dicts():
        day, key = row["usage_date"], key_of(row)
        price = None if key is None else prices.on(day, prices.held(key))
        currency = row["billing_currency"] or (None if price is None else price.currency)
        line = LineKey(
            row["provider"], row["account"], row["model"], row["token_class"], row["service_tier"], row["price_mode"],
            row["context_window"], row["inference_geo"], currency, row["apart"],
        )  # fmt: skip
        per_mtok = None if price is None or price.currency != currency else _price(price, by)
        rated = None if per_mtok is None or row["tokens"] is None else Fraction(per_mtok) * row["tokens"] / 1_000_000
        rows.setdefault(line, []).append(
            RatedDay(
                day=day,
                tokens=row["tokens"],
                rated=None if row["is_mixed"] else rated,
                billed=None if row["billed_cost"] is None else Fraction(row["billed_cost"]),
                at_least=Fraction(row["billed_at_least_cost"] or 0),
                at_most=Fraction(row["billed_at_most_cost"] or 0),
            )
        )
        if price is not None and per_mtok is not None:
            used.setdefault(line, {})[day] = price
    found = [RatedLine(line, tuple(told(days)), used.get(line, {})) for line, days in rows.items()]
    return sorted(found, key=lambda one: (-one.over, list(KINDS).index(one.kinds[0]), str(one.key)))


def _price(price: DatedPrice, by: Prices) -> Decimal | Fraction | None:
    return price.per_mtok if by == "contract" else price.listed


def totals(line: RatedLine) -> tuple[Fraction, Fraction]:
    """What a line was rated at and billed on the days that are compared."""
    compared = [one.day for one in line.days if one.day.is_compared]
    rated = sum((one.rated for one in compared if one.rated is not None), Fraction(0))
    return rated, sum((one.billed for one in compared if one.billed is not None), Fraction(0))


def kind_in_words(line: RatedLine) -> str:
    """`rated more than once on 2 days, the first 2026-10-03; below the price, always alike (0.9000)`."""
    said = []
    for kind in line.kinds:
        own = [one for one in line.days if one.kind == kind]
        if kind == AGREES and len(line.kinds) > 1:
            continue
        factors = {one.factor for one in own if one.factor is not None}
        factor = f" ({float(next(iter(factors))):.4f} of it)" if len(factors) == 1 and kind != AGREES else ""
        on = "" if len(own) == len(line.days) else f" on {figures.counted(len(own), 'day')} from {own[0].day.day}"
        said.append(f"{KINDS[kind]}{factor}{on}")
    return "; ".join(said)


def packet_csv(lines: Iterable[RatedLine], *, by: Prices) -> str:
    """One row for each day and line that was billed above the price, in the order of days; nothing is a formula."""
    rows = []
    for line in lines:
        for one in line.days:
            if one.kind in CLAIMED and one.over > 0:
                rows.append(_packet_row(line, one, by))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PACKET_COLUMNS)
    writer.writerows([str(inert(cell)) for cell in row] for row in sorted(rows))
    return text.getvalue()


def _packet_row(line: RatedLine, one: Told, by: Prices) -> list[str]:
    key, price = line.key, line.prices[one.day.day]
    whose = price.source if by == "contract" and price.source else "list price"
    return [
        one.day.day.isoformat(), key.provider, key.account, key.model or "", key.token_class or "",
        key.service_tier or "", key.context_window or "", key.region or "",
        KINDS[one.kind] + (f" ({one.times} times)" if one.kind == DUPLICATE else ""),
        str(one.day.tokens), _text(Fraction(_price(price, by) or 0)), whose, _text(one.day.rated),
        _text(one.day.billed), _text(one.over), key.currency or "",
    ]  # fmt: skip


def _text(amount: Fraction | None) -> str:
    if amount is None:
        return ""
    text = format(to_places(amount, 12), "f")
    return text.rstrip("0").removesuffix(".") if "." in text else text


def explanation(
    lines: Sequence[RatedLine], *, by: Prices, company: str, from_date: date, to_date: date, snapshot_id: str
) -> str:
    """What goes with the CSV: what was compared with what, what is claimed, and what is only asked. Markdown."""
    claimed: dict[tuple[str, str], Fraction] = {}
    asked: dict[tuple[str, str], Fraction] = {}
    for line in lines:
        who = (line.key.provider, line.key.currency or "")
        if line.over:
            claimed[who] = claimed.get(who, Fraction(0)) + line.over
        for one in line.days:
            if one.kind == UNMETERED and one.day.billed is not None:
                asked[who] = asked.get(who, Fraction(0)) + one.day.billed
    what = "the prices agreed with you, where none is agreed your list prices" if by == "contract" else "list prices"
    said = [
        f"# Usage billed above its price: {figures.visible(company)}",
        "",
        f"Days {from_date} to {to_date} (UTC, the end excluded). What your own usage reports meter was rated at {what} "
        "and compared, day by day and line by line, with what your bill charges for the same tokens.",
        "",
        "## Claimed",
        "",
        *(f"- {who}: at least {_text(amount)} {currency}" for (who, currency), amount in sorted(claimed.items())),
        *([] if claimed else ["- nothing"]),
        "",
        "Each row of overbilling.csv is one day of one line: the tokens metered, the price of a million and whose it "
        "is, what that comes to, what was billed, and what that is above the price at the least. Where a bill rounds "
        "its lines, the lowest amount is taken that can have been rounded to what it shows; a day that was rated more "
        "than once is held against the lower price where the line is billed below the price on most days.",
        "",
        "## Why",
        "",
        *(f"- {_named(line.key)}: {kind_in_words(line)}" for line in lines if line.over),
        "",
        "## Asked, and not claimed",
        "",
        *(
            f"- {who}: {_text(amount)} {currency} is billed for usage that no report meters: what was it for?"
            for (who, currency), amount in sorted(asked.items())
        ),
        *([] if asked else ["- nothing"]),
        "",
        f"Figures of snapshot {snapshot_id}; each can be traced to the bytes of the bill and of the report.",
        "",
    ]
    return "\n".join(said)


def _named(key: LineKey) -> str:
    parts = (key.account, key.model, key.token_class, key.service_tier, key.context_window, key.region)
    return ", ".join(figures.visible(part) for part in parts if part is not None)


def line_name(key: LineKey) -> str:
    """How a table names a line."""
    return _named(key)
