"""LiteLLM's spend logs (table LiteLLM_SpendLogs): when each request went through the gateway. For *shape* only.

A bill that knows days gets its hours from here; its tokens stay the bill's. What the gateway thinks that a request cost
is not read at all. `settings.bills` says whose bill the requests of each provider are on, as for `litellm_focus`.

Dropped as files: the JSON list that the proxy's `/spend/logs` answers with, one object a line, or the table as CSV. The
table is append-only, so every file counts; a request (request_id, the table's key) that two files hold counts once.

**A spend log may hold prompts, answers, end users and keys.** So what lands is not the file but what is read of it, a
line a request: when, which model, how many tokens, the key's hash, the team. A request's id is kept as a hash, a key
that is not hashed yet is hashed. Of everything else only the fields' names land; no error quotes a value. A file that
cannot be read lands as a note that says why, and stays where it was dropped.

A request counts in the hour of its startTime, UTC as LiteLLM writes it. One that was answered from the gateway's own
cache never reached a provider. prompt_tokens hold cached and cache-written ones, as the sum of a bill's input classes
does.

Not read: OpenRouter. Its `/activity` has one row a completed UTC day, which is no shape; its CSV by generation has the
second, and is not taken for one here. LiteLLM over HTTP: what `/spend/logs` pages and sums up differs by release.

Fields as of LiteLLM 1.109.1, `litellm/proxy/schema.prisma`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import csv_header, read_csv
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.sources import litellm_focus
from pipeline.sources.source import Fetched, Payload, Source

NAME = "litellm_spend_logs"
DATASET = "requests"

_FORMAT = "breakeven.spend_logs/1"
_REQUIRED = ("request_id", "startTime", "model", "prompt_tokens", "completion_tokens")
_READ = (*_REQUIRED, "custom_llm_provider", "api_key", "team_id", "cache_hit")
_HASHED = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,18}(?:\.0)?", re.ASCII)
_LONGEST_TEXT = 200
_TRUE, _FALSE = frozenset({"true", "t", "1"}), frozenset({"false", "f", "0", "", "none", "null"})

REQUESTS = Table(
    name=DATASET,
    columns={
        "request_hash": pl.String(),
        "started_at": pl.Datetime("us"),
        "custom_llm_provider": pl.String(),
        "model": pl.String(),
        "api_key_hash": pl.String(),
        "team_id": pl.String(),
        "prompt_tokens": pl.Int64(),
        "completion_tokens": pl.Int64(),
        "is_cache_hit": pl.Boolean(),
    },
)
_LANDED = tuple(REQUESTS.columns)


def recognise(name: str, head: bytes) -> str | None:
    """By its fields, or by the first words of what was made of it. Only the beginning of a row may be in `head`."""
    if head.lstrip().startswith(b'{"format": "breakeven.spend_logs/'):
        return DATASET
    if set(_REQUIRED) <= set(csv_header(head)):
        return DATASET
    is_json = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    fields = (b'"request_id"', b'"call_type"', b'"prompt_tokens"')
    return DATASET if is_json and all(field in head for field in fields) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped log as what may be kept of it. Never raises: what cannot be read becomes a note of why."""
    try:
        kept = reduced(content)
    except QuarantineError as error:
        digest = hashlib.sha256(content).hexdigest()
        kept = _line({"format": _FORMAT, "unreadable": str(error), "bytes": len(content), "sha256": digest})
    return Fetched(dataset=DATASET, payloads=(Payload(name=name, content=kept),))


def reduced(content: bytes) -> bytes:
    """A log as JSON lines: what it is and the names of the fields that were left out, then one line a request.

    Raises QuarantineError, which quotes no value of the log, where a row of it cannot be read.
    """
    left_out: set[str] = set()
    lines = []
    for where, row in _rows(content):
        left_out.update(field for field in row if field not in _READ and _FIELD.fullmatch(field))
        lines.append(_line(_request(row, where=where)))
    return b"".join([_line({"format": _FORMAT, "left_out": sorted(left_out)}), *lines])


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=True).encode() + b"\n"


def _rows(content: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, fields) of each row. A CSV's empty cell is nothing."""
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        for number, cells in read_csv(content).records():
            yield f"row {number}", {name: text or None for name, text in cells.items()}
        return
    for number, row in enumerate(_documents(content), start=1):
        if not isinstance(row, dict):
            raise QuarantineError(f"request {number}: it is no object. Export the log again.")
        yield f"request {number}", row


def _documents(content: bytes) -> Sequence[Any]:
    """The objects of a list, of an answer's list `data`, or of one a line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise QuarantineError(f"byte {error.start} is not UTF-8. The file may be cut: export it again.") from None
    try:
        document = _loaded(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2:
            raise _cut(error, line=error.lineno) from None
        return [_of_line(line, number) for number, line in enumerate(lines, start=1)]
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        return list(document["data"])
    return document if isinstance(document, list) else [document]


def _of_line(line: str, number: int) -> Any:
    try:
        return _loaded(line)
    except json.JSONDecodeError as error:
        raise _cut(error, line=number) from None


def _loaded(text: str) -> Any:
    """Numbers with a point stay text: the ones that are read here are whole."""
    try:
        return json.loads(text, parse_float=str, parse_constant=str)
    except RecursionError:
        raise QuarantineError("The JSON is nested deeper than any log is.") from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        raise QuarantineError("The JSON holds a number that cannot be read.") from None


def _cut(error: json.JSONDecodeError, *, line: int) -> QuarantineError:
    return QuarantineError(
        f"Not complete JSON at line {line}, column {error.colno} ({error.msg}). The file may be cut: export it again."
    )


def _request(row: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    absent = [name for name in _REQUIRED if row.get(name) is None]
    if absent:
        raise QuarantineError(f"{where}: no {', '.join(absent)}. This is not LiteLLM's spend log, or a part of it.")
    key = _text(row, "api_key", where)
    return dict(
        zip(
            _LANDED,
            (
                hashlib.sha256(str(row["request_id"]).encode(errors="replace")).hexdigest()[:32],
                _moment(row["startTime"], where).isoformat(timespec="milliseconds"),
                _text(row, "custom_llm_provider", where),
                _text(row, "model", where),
                key and (key if _HASHED.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()),
                _text(row, "team_id", where),
                _count(row, "prompt_tokens", where),
                _count(row, "completion_tokens", where),
                _flag(row, where),
            ),
            strict=True,
        )
    )


def _text(row: Mapping[str, Any], name: str, where: str) -> str | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise QuarantineError(f"{where}: {name} is no text of at most {_LONGEST_TEXT} characters in one line.")
    return value


def _count(row: Mapping[str, Any], name: str, where: str) -> int:
    text = str(row[name])
    if isinstance(row[name], bool) or _WHOLE.fullmatch(text) is None:
        raise QuarantineError(f"{where}: {name} is not a count.")
    return int(text.removesuffix(".0"))


def _flag(row: Mapping[str, Any], where: str) -> bool:
    """cache_hit is text: "True", "False", "None" or empty."""
    said = str(row.get("cache_hit") or "").strip().lower()
    if said in _TRUE or said in _FALSE:
        return said in _TRUE
    raise QuarantineError(f"{where}: cache_hit is neither true nor false.")


def _moment(value: object, where: str) -> datetime:
    """UTC; a time without an offset is, too: LiteLLM writes no other. In whole milliseconds, as the table holds it."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and len(value) > len("2026-10-01") else None
        if moment is not None:
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            return moment.replace(tzinfo=None)
    except (ValueError, OverflowError):
        pass
    raise QuarantineError(f"{where}: startTime is not a moment, as 2026-10-01T12:00:00.000Z.")


def parse(content: bytes, settings: Settings) -> Frames:
    """One row a request of what `reduced` made of a log."""
    lines = content.split(b"\n")
    try:
        header = json.loads(lines[0])
        if header.get("format") != _FORMAT:
            raise ValueError
    except (ValueError, AttributeError, RecursionError):
        raise QuarantineError(
            "It is not LiteLLM's spend log: no request_id, call_type and prompt_tokens at its beginning. Export the "
            "table LiteLLM_SpendLogs again, and redact this file (breakeven landing redact) if it holds prompts."
        ) from None
    if "unreadable" in header:
        raise QuarantineError(str(header["unreadable"]))
    return {REQUESTS.name: _frame(json.loads(line) for line in lines[1:] if line)}


def _frame(requests: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    rows = []
    for request in requests:
        started_at = datetime.fromisoformat(request["started_at"])
        day = started_at.date()
        values = (started_at if name == "started_at" else request[name] for name in _LANDED)
        rows.append((day.isoformat(), day, *values, None))
    return pl.DataFrame(rows, schema=REQUESTS.schema, orient="row")


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="append",
            bucket="utc_day",
            measure="reference",
            tables=(REQUESTS,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    check=litellm_focus.check,
)
