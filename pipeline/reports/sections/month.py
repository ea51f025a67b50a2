"""One month of one snapshot: its questions, its currency, and what its sections share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

import polars as pl

from pipeline.build.closing_tables import Closing
from pipeline.config.whole import Config
from pipeline.reports import figures
from pipeline.reports.proof import Proof

Answer = Mapping[str, Any]


MEASURES: Mapping[str, str] = {
    "billed": "what an invoice says",
    "effective": "what an owned machine costs a day, or what was used of a commitment",
    "accrued": "what was agreed for days that no bill covers yet",
}


LANES: Mapping[str, str] = {
    "api": "API",
    "self_host": "GPUs",
    "per_use": "billed by use",
    "cloud_model": "hosted models",
    "cloud_per_use": "services billed by use",
}


OTHER_LINES = ("overhead", "tax", "credit", "per_use")


LINE_KINDS: Mapping[str, str] = {
    "gpu": "GPUs",
    "overhead": "storage, network, support, other",
    "per_use": "services billed by use",
    "tax": "tax",
    "credit": "credits and discounts",
}


TOKEN_CLASSES = (
    "blended",
    "input_uncached",
    "input_cache_read",
    "input_cache_write_5m",
    "input_cache_write_30m",
    "input_cache_write_1h",
    "input_cache_write_12h",
    "output",
)


MOST_LINES = 200


class Asks(Protocol):
    """Whoever answers the questions of `sql/reports/`."""

    def ask(self, name: str, **parameters: Any) -> pl.DataFrame: ...


class Recorded:
    """Asks on, and remembers what was asked."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks
        self.asked: list[str] = []

    def ask(self, name: str, **parameters: Any) -> pl.DataFrame:
        self.asked.append(name)
        return self._asks.ask(name, **parameters)


@dataclass(frozen=True)
class Month:
    """[from_date, to_date) in UTC, and what to make of it."""

    from_date: date
    to_date: date
    config: Config
    asks: Asks
    proof: Proof
    rate_notes: tuple[str, ...] = ()
    # What was entered and closed by the moment of the snapshot; is_over: whether the month is, by then.
    closing: Closing = field(default_factory=Closing)
    is_over: bool = False

    @property
    def currency(self) -> str:
        return self.config.reporting_currency

    @property
    def days_count(self) -> int:
        return (self.to_date - self.from_date).days

    def ask(self, question: str) -> list[dict[str, Any]]:
        return self.asks.ask(question, from_date=self.from_date, to_date=self.to_date).to_dicts()

    def money(self, amount: Decimal | float | None) -> str:
        return figures.money(amount, self.currency)

    def priced(self, amount: Decimal | float | None) -> str:
        return figures.priced(amount, self.currency)


def lane_name(lane: str) -> str:
    return LANES.get(lane, lane)


def served_by(line: Answer) -> str:
    """Where the model runs, and who is paid for it."""
    if line["deployment_id"] is None:
        return figures.name(line["provider"])
    provider = "" if line["provider"] is None else f" on {figures.name(line['provider'])}"
    return f"{figures.name(line['deployment_id'])}{provider}"


def measures_of(lines: Iterable[Answer]) -> list[str]:
    """The measures that occur, billed first."""
    found = {line["cost_measure"] for line in lines if line["cost_measure"] is not None}
    return [*(measure for measure in MEASURES if measure in found), *sorted(found - set(MEASURES))]


def total(lines: Iterable[Answer], column: str, *, empty: Any) -> Any:
    """The sum of what is known; `empty` where nothing is."""
    known = [line[column] for line in lines if line[column] is not None]
    return sum(known) if known else empty


def by_measure(month: Month, lines: Sequence[Answer]) -> str:
    """`$1.00 billed, $2.00 effective`: side by side, never added."""
    parts = []
    for measure in measures_of(lines):
        own = [line for line in lines if line["cost_measure"] == measure]
        amount = total(own, "realized_cost_rc", empty=None)
        least = "at least " if amount is not None and any(line["realized_cost_rc"] is None for line in own) else ""
        parts.append(f"{least}{month.priced(amount)} {measure}")
    return ", ".join(parts)


def marked(text: str, laws: Sequence[str]) -> str:
    """A figure in a sentence, with the laws that are broken where it comes from."""
    return f"{text} (not proven: {', '.join(laws)})" if laws else text


def in_words(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def how_many_more(lines: Sequence[object]) -> str:
    return f"{len(lines) - MOST_LINES:,} more: breakeven status lists them." if len(lines) > MOST_LINES else ""
