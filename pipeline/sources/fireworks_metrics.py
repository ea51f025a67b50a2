"""Fireworks' billing metrics, `firectl billing export-metrics`: tokens and GPU seconds by usage event, and no dollars.

Columns (docs.fireworks.ai, exporting-billing-metrics, read 2026-11-30): email, start_time, end_time, usage_type,
accelerator_type, accelerator_seconds, base_model_name, model_bucket, parameter_count, prompt_tokens, completion_tokens
and, in newer exports, cached_prompt_tokens and uncached_prompt_tokens, which are parts of prompt_tokens (a record
without the split says that all of it was uncached: that is Fireworks' own word, and taken). Times are UTC, as
`2025-10-20 17:16:48 UTC`. At most 31 days are in one export.

An event is of the hour in which it began. Events of an hour, model and kind are added up when they are read: two that
are alike are two. Whose e-mail it was is not read.

**Tokens of the API** are those of TEXT_COMPLETION_INFERENCE_USAGE, the only type that is documented, without
accelerator seconds. Where a GPU was paid by the second, and of any other type (training, images), what was counted is
kept beside its type and priced by nothing: their money is on the invoice.

**One file is the whole account for the days it states**, from its first row to its last: a later file replaces them.
Export whole UTC days.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import BLANKS, JsonNumber, count, decimal_text, other_columns, read_csv
from pipeline.landing.dataset import Frames, Settings, Table
from pipeline.sources.http import check_in_window

DATASET = "metrics"
USAGE = Table(
    name="usage",
    columns={
        "usage_hour_at": pl.Datetime("us"),
        "usage_type": pl.String(),
        "accelerator_type": pl.String(),
        "base_model_name": pl.String(),
        "model_bucket": pl.String(),
        "parameter_count": pl.String(),
        "event_count": pl.Int64(),
        "accelerator_seconds": pl.String(),
        "prompt_tokens": pl.Int64(),
        "completion_tokens": pl.Int64(),
        "cached_prompt_tokens": pl.Int64(),
        "uncached_prompt_tokens": pl.Int64(),
    },
)
_TEXTS = ("usage_type", "accelerator_type", "base_model_name", "model_bucket", "parameter_count")
_COUNTS = ("prompt_tokens", "completion_tokens", "cached_prompt_tokens", "uncached_prompt_tokens")
_REQUIRED = ("start_time", "usage_type", "accelerator_seconds", "base_model_name", "prompt_tokens", "completion_tokens")
_READ = {"email", "start_time", "end_time", "accelerator_seconds", *_TEXTS, *_COUNTS}
_ZONE = " UTC"
# More than all providers together serve in a day, and the seconds of a million GPUs: what is larger is no count, and
# its sum could not be held.
_MOST_TOKENS = 10**15
_MOST_SECONDS = 86_400 * 10**6

# The hour, the texts, what no column is for, and whether it was paid by the second (None: it does not say).
_Key = tuple[datetime, tuple[str | None, ...], str | None, bool | None]


@dataclass
class _Sums:
    """What the events of one key come to. None: not one of them says it, which is not 0."""

    events: int
    seconds: Decimal | None
    counts: dict[str, int | None]


def recognise(header: Collection[str]) -> str | None:
    """By columns that only this export has together."""
    return DATASET if {"usage_type", "accelerator_seconds", "base_model_name", "prompt_tokens"} <= set(header) else None


def days(content: bytes) -> set[date]:
    """The days on which its events began."""
    return {key[0].date() for _, key, _, _ in _events(content)}


def parse(content: bytes, settings: Settings) -> Frames:
    """One row an hour, kind, model and accelerator. Raises QuarantineError, naming the row that cannot be so."""
    sums: dict[_Key, _Sums] = {}
    for where, key, seconds, counts in _events(content):
        check_in_window(key[0].date(), settings=settings, where=where)
        found = sums.setdefault(key, _Sums(0, None, dict.fromkeys(_COUNTS)))
        found.events += 1
        found.seconds = _added(found.seconds, seconds)
        found.counts = {name: _added(found.counts[name], counts[name]) for name in _COUNTS}
        _check_size(found, where=where)
    rows = [_row(key, found) for key, found in sums.items()]
    return {USAGE.name: pl.DataFrame(rows, schema=USAGE.schema, orient="row")}


def _added(before: Any, more: Any) -> Any:
    return before if more is None else more if before is None else before + more


def _check_size(found: _Sums, *, where: str) -> None:
    most = max((number for number in found.counts.values() if number is not None), default=0)
    if most > _MOST_TOKENS or (found.seconds or 0) > _MOST_SECONDS:
        raise QuarantineError(
            f"{where}: an hour of {most} tokens or {found.seconds or 0} accelerator seconds, more than an hour has. "
            "Export it again."
        )


def _row(key: _Key, found: _Sums) -> tuple[object, ...]:
    hour, texts, others, _ = key
    day = hour.date()
    seconds = None if found.seconds is None else f"{found.seconds:f}"
    return (
        day.isoformat(),
        day,
        hour,
        *texts,
        found.events,
        seconds,
        *(found.counts[name] for name in _COUNTS),
        others,
    )


def _events(content: bytes) -> Iterator[tuple[str, _Key, Decimal | None, dict[str, int | None]]]:
    """(where, what it is added up with, accelerator seconds, tokens) of each event."""
    file = read_csv(content)
    if absent := [name for name in _REQUIRED if name not in file.header]:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. Export Fireworks' billing metrics again.")
    for number, record in file.records():
        where = f"row {number}"
        others = other_columns({name: text for name, text in record.items() if name not in _READ and text})
        texts = tuple(record.get(name, "").strip(BLANKS) or None for name in _TEXTS)
        seconds = _seconds(record, where=where)
        key = _hour(record, where=where), texts, others, None if seconds is None else seconds > 0
        yield where, key, seconds, _counts(record, where)


def _hour(record: Mapping[str, str], *, where: str) -> datetime:
    """The UTC hour in which it began, without saying so, as every instant of a table is."""
    text = record["start_time"].strip(BLANKS)
    try:
        if not text.endswith(_ZONE):
            raise ValueError
        moment = datetime.fromisoformat(text.removesuffix(_ZONE))
        if moment.tzinfo is not None or ":" not in text:
            raise ValueError
        return moment.replace(minute=0, second=0, microsecond=0)
    except ValueError:
        raise QuarantineError(
            f"{where}: start_time is {text!r}, not an instant of UTC, as 2026-11-03 17:16:48 UTC."
        ) from None


def _seconds(record: Mapping[str, str], *, where: str) -> Decimal | None:
    text = record["accelerator_seconds"].strip(BLANKS)
    if not text:
        return None
    seconds = Decimal(decimal_text(text, name="accelerator_seconds", where=where))
    if seconds < 0:
        raise QuarantineError(f"{where}: accelerator_seconds is {text}, below 0.")
    return seconds


def _counts(record: Mapping[str, str], where: str) -> dict[str, int | None]:
    texts = {name: record.get(name, "").strip(BLANKS) for name in _COUNTS}
    return {name: count(JsonNumber(text), name=name, where=where) if text else None for name, text in texts.items()}
