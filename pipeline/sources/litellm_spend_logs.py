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

Not read: LiteLLM over HTTP, because no answer of it can be known to be whole (its source,
`proxy/spend_tracking/spend_management_endpoints.py`, in several releases). `/spend/logs` has no pages: all of a day
comes at once, prompts included where they are stored, and a release that does not know `summarize=false` answers with
sums of spend by day under the same address. `/spend/logs/v2` has pages by offset, of at most 100 requests, in the order
of a column that many share, and newer ones cap the total. The table itself says all of it.

Fields as of LiteLLM 1.109.1, `litellm/proxy/schema.prisma`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import csv_header, read_csv
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.sources import gateway_log, litellm_focus
from pipeline.sources.source import Fetched, Source

NAME = "litellm_spend_logs"
DATASET = "requests"

_FORMAT = "breakeven.spend_logs/1"
_REQUIRED = ("request_id", "startTime", "model", "prompt_tokens", "completion_tokens")
_READ = (*_REQUIRED, "custom_llm_provider", "api_key", "team_id", "cache_hit")
_HASHED = re.compile(r"[0-9a-f]{64}", re.ASCII)

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


def recognise(name: str, head: bytes) -> str | None:
    """By its fields, or by the first words of what was made of it. Only the beginning of a row may be in `head`."""
    if gateway_log.is_reduced(head, _FORMAT):
        return DATASET
    if set(_REQUIRED) <= set(csv_header(head)):
        return DATASET
    is_json = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    fields = (b'"request_id"', b'"call_type"', b'"prompt_tokens"')
    return DATASET if is_json and all(field in head for field in fields) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped log as what may be kept of it. Never raises: what cannot be read becomes a note of why."""
    return gateway_log.dropped(name, content, dataset=DATASET, form=_FORMAT, reduce=reduced)


def reduced(content: bytes) -> bytes:
    """A log as JSON lines: what it is and the names of the fields that were left out, then one line a request.

    Raises QuarantineError, which quotes no value of the log, where a row of it cannot be read.
    """
    left_out: set[str] = set()
    requests = []
    for where, row in _rows(content):
        left_out.update(field for field in row if field not in _READ)
        requests.append(_request(row, where=where))
    return gateway_log.lines(requests, form=_FORMAT, left_out=left_out)


def _rows(content: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, fields) of each row. A CSV's empty cell is nothing."""
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        file = read_csv(content)
        if lacking := [name for name in _REQUIRED if name not in file.header]:
            raise QuarantineError(f"row 1: no column {', '.join(lacking)}. This is not LiteLLM's spend log.")
        for number, cells in file.records():
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
    key = gateway_log.text(row, "api_key", where)
    return {
        "request_hash": gateway_log.hashed(row["request_id"]),
        # In whole milliseconds, as the table holds it.
        "started_at": gateway_log.moment(row, "startTime", where).isoformat(timespec="milliseconds"),
        "custom_llm_provider": gateway_log.text(row, "custom_llm_provider", where),
        "model": gateway_log.text(row, "model", where),
        "api_key_hash": key and (key if _HASHED.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()),
        "team_id": gateway_log.text(row, "team_id", where),
        "prompt_tokens": gateway_log.count(row, "prompt_tokens", where),
        "completion_tokens": gateway_log.count(row, "completion_tokens", where),
        "is_cache_hit": gateway_log.flag(row, "cache_hit", where),
    }


def parse(content: bytes, settings: Settings) -> Frames:
    """One row a request of what `reduced` made of a log."""
    refusal = (
        "It is not LiteLLM's spend log: no request_id, call_type and prompt_tokens at its beginning. Export the "
        "table LiteLLM_SpendLogs again, and redact this file (breakeven landing redact) if it holds prompts."
    )
    return {REQUESTS.name: gateway_log.parsed(content, REQUESTS, form=_FORMAT, refusal=refusal)}


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
