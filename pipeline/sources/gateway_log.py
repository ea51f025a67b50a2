"""What of a gateway's log of requests may be kept: a line of counters each, under a header of what was left out.

A log may hold prompts, answers, end users and keys, so what lands is never the file but what a reader made of it when
it was dropped. A file that cannot be read lands as a note that says why, without a value of it, and stays there.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Table
from pipeline.sources.source import Fetched, Payload

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
# A request has fewer tokens. Thousands of such counts can be weighted and added up in 64 bits.
_COUNT_DIGITS = 12
_WHOLE = re.compile(rf"[0-9]{{1,{_COUNT_DIGITS}}}(?:\.0)?", re.ASCII)
# A moment outside of them is a mistake, and a day of it would have every day until then built.
_YEARS = range(2000, 2101)
_TOO_MANY = 10**_COUNT_DIGITS
_LONGEST_TEXT = 200
_TRUE, _FALSE = frozenset({"true", "t", "1"}), frozenset({"false", "f", "0", "", "none", "null"})


def dropped(name: str, content: bytes, *, dataset: str, form: str, reduce: Callable[[bytes], bytes]) -> Fetched:
    """A dropped log as what may be kept of it. Never raises: what cannot be read becomes a note of why."""
    try:
        kept = reduce(content)
    except QuarantineError as error:
        digest = hashlib.sha256(content).hexdigest()
        kept = line({"format": form, "unreadable": str(error), "bytes": len(content), "sha256": digest})
    return Fetched(dataset=dataset, payloads=(Payload(name=name, content=kept),))


def is_reduced(head: bytes, form: str) -> bool:
    """Whether these first bytes are of what was made of a log, in any version of `form`."""
    return head.lstrip().startswith(b'{"format": "' + form.split("/")[0].encode() + b"/")


def line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=True).encode() + b"\n"


def lines(requests: Sequence[Mapping[str, Any]], *, form: str, left_out: Iterable[str]) -> bytes:
    """What lands of a log: the header, then a line a request."""
    fields = sorted({field for field in left_out if _FIELD.fullmatch(field)})
    return b"".join([line({"format": form, "left_out": fields}), *map(line, requests)])


def parsed(content: bytes, table: Table, *, form: str, refusal: str) -> pl.DataFrame:
    """One row a request of what landed. Raises QuarantineError: `refusal` where it is something else."""
    rows = content.split(b"\n")
    try:
        header = json.loads(rows[0])
        if header.get("format") != form:
            raise ValueError
    except (ValueError, AttributeError, RecursionError):
        raise QuarantineError(refusal) from None
    if "unreadable" in header:
        raise QuarantineError(str(header["unreadable"]))
    return _frame((json.loads(row) for row in rows[1:] if row), table)


def _frame(requests: Iterable[Mapping[str, Any]], table: Table) -> pl.DataFrame:
    found = []
    for number, request in enumerate(requests, start=1):
        started_at = datetime.fromisoformat(request["started_at"])
        day = started_at.date()
        # What an older release made of a log was bounded less.
        if day.year not in _YEARS or any(isinstance(said, int) and said >= _TOO_MANY for said in request.values()):
            raise QuarantineError(
                f"request {number}: it is not of the years {_YEARS[0]} to {_YEARS[-1]}, or counts more tokens than "
                f"{_COUNT_DIGITS} digits say. Export the log again without it."
            )
        values = (started_at if name == "started_at" else request[name] for name in table.columns)
        found.append((day.isoformat(), day, *values, None))
    return pl.DataFrame(found, schema=table.schema, orient="row")


def hashed(value: object) -> str:
    """A request's id, which may be anything a client wrote: as 32 digits that say nothing."""
    return hashlib.sha256(str(value).encode(errors="replace")).hexdigest()[:32]


def text(row: Mapping[str, Any], name: str, where: str) -> str | None:
    """A name in one line; None where it is empty. Raises QuarantineError without the value."""
    value = row.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise QuarantineError(f"{where}: {name} is no text of at most {_LONGEST_TEXT} characters in one line.")
    return value


def count(row: Mapping[str, Any], name: str, where: str) -> int:
    """A whole number of tokens. Raises QuarantineError without the value."""
    said = str(row[name])
    if isinstance(row[name], bool) or _WHOLE.fullmatch(said) is None:
        raise QuarantineError(f"{where}: {name} is not a count of at most {_COUNT_DIGITS} digits.")
    return int(said.removesuffix(".0"))


def flag(row: Mapping[str, Any], name: str, where: str) -> bool:
    """ "True", "False", "None" or empty, however it is spelled."""
    said = str(row.get(name) or "").strip().lower()
    if said in _TRUE or said in _FALSE:
        return said in _TRUE
    raise QuarantineError(f"{where}: {name} is neither true nor false.")


def moment(row: Mapping[str, Any], name: str, where: str) -> datetime:
    """UTC, and a time without an offset is, too: no gateway read here writes another."""
    value = row[name]
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and len(value) > len("2026-10-01") else None
        if found is not None:
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
            if found.year in _YEARS:
                return found.replace(tzinfo=None)
    except (ValueError, OverflowError):
        pass
    raise QuarantineError(
        f"{where}: {name} is not a moment of the years {_YEARS[0]} to {_YEARS[-1]}, as 2026-10-01T12:00:00.000Z."
    )
