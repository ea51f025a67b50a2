"""API bills whose exports state money beside tokens: the one table that their readers make of them.

Small providers export rows of a day, a model and perhaps a key, each with what it cost and how many tokens that was, in
columns of their own. What such a row says is the same everywhere, so it lands as the same columns, and one pair of
staging models reads them all. Every dataset of them is called `bill`.

A row with one amount for tokens of several classes is landed as a line a class. Its amount is split by their number,
each token alike, in units of 10^-18 by largest remainder, so that the lines sum to the row; `class_split` says so, and
nobody has to take a class's price for one that the provider charges.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

import polars as pl

from pipeline.economics.split import split_exactly
from pipeline.errors import QuarantineError
from pipeline.formats.values import other_columns
from pipeline.landing.dataset import Money, Table

DATASET = "bill"
# What a bill says of its classes: an amount for each, or one for all of them.
BILLED, BY_COUNT = "billed", "token_count"

LINES = Table(
    name="lines",
    columns={
        "provider": pl.String(),
        "sub_account_id": pl.String(),
        "api_key_id": pl.String(),
        "model": pl.String(),
        "charge_kind": pl.String(),
        "token_class": pl.String(),
        "service_tier": pl.String(),
        "class_split": pl.String(),
        "tokens": pl.Int64(),
        "amount": pl.String(),
        "currency": pl.String(),
        "description": pl.String(),
    },
    money=Money(home="api", amount="amount", currency_column="currency"),
    view="landed_api_bills__lines",
)
_QUANTA = 10**18
# More than all providers together serve in a day: what is larger is no count, and its sum could not be held.
_MOST_TOKENS = 10**15


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One row of an export, on one day of the issuer's.

    `amount`: decimal text in the currency's unit, to 10^-18; None where the row charges nothing that is known.
    `counts`: token class -> tokens; the classes are disjoint. `others`: what has no column of ours.
    """

    day: date
    provider: str
    amount: str | None = None
    currency: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    sub_account_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    description: str | None = None
    others: Mapping[str, object] = field(default_factory=dict)


def frame_of(charges: Iterable[tuple[str, Charge]]) -> pl.DataFrame:
    """`lines` of (where it stands, row), in their order. Raises QuarantineError where a row cannot be held."""
    rows = [row for where, charge in charges for row in _lines_of(charge, where=where)]
    return pl.DataFrame(rows, schema=LINES.schema, orient="row")


def of_prompt(whole: int, *parts: tuple[str, int | None]) -> dict[str, int]:
    """The classes of an input count that holds others: `input_uncached` is what is left of it.

    Where no part is stated, or they come to more than the whole (a response replayed from a cache), nobody can say what
    was cached: such input stays whole, as class `input`.
    """
    stated = {name: tokens for name, tokens in parts if tokens is not None}
    left = whole - sum(stated.values())
    if not stated or left < 0:
        return {"input": whole}
    return {"input_uncached": left, **stated}


def _lines_of(charge: Charge, *, where: str) -> Iterator[tuple[object, ...]]:
    """A line a class that was used; one for a row without tokens. `others` stand with the first."""
    counts = {name: tokens for name, tokens in charge.counts.items() if tokens or len(charge.counts) == 1}
    if (most := max(counts.values(), default=0)) > _MOST_TOKENS:
        raise QuarantineError(f"{where}: {most} tokens, more than a day has. Export it again, or correct its unit.")
    amounts = _amounts(charge.amount, counts)
    split = None if charge.amount is None or not counts else BY_COUNT if len(counts) > 1 else BILLED
    others = other_columns(charge.others)
    for name in counts or (None,):
        yield (
            charge.day.isoformat(),
            charge.day,
            charge.provider,
            charge.sub_account_id,
            charge.api_key_id,
            charge.model,
            "other" if name is None else "tokens",
            name,
            charge.service_tier,
            split,
            None if name is None else counts[name],
            amounts.get(name),
            charge.currency if charge.amount is not None else None,
            charge.description,
            others,
        )
        others = None


def _amounts(amount: str | None, counts: Mapping[str, int]) -> dict[str | None, str]:
    """Token class -> its part of the amount. The parts sum to it exactly."""
    if amount is None:
        return {}
    if len(counts) < 2:
        return {next(iter(counts), None): amount}
    names = list(counts)
    parts = split_exactly(int(Fraction(amount) * _QUANTA), [counts[name] for name in names], names)
    return {name: _decimal(part) for name, part in zip(names, parts, strict=True)}


def _decimal(quanta: int) -> str:
    whole, rest = divmod(abs(quanta), _QUANTA)
    return f"{'-' if quanta < 0 else ''}{whole}.{rest:018d}"
