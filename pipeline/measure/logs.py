"""A file of requests that were made, one a row: how long each prompt and answer was and when it came.

Gateways and traces name the same things each in their way: LiteLLM's spend logs, OpenRouter's activity, Azure's public
LLM traces. CSV, or JSON lines.
"""

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import BreakevenError, QuarantineError
from pipeline.formats.values import read_csv

_PROMPT = ("prompt_tokens", "input_tokens", "tokens_prompt", "native_tokens_prompt", "contexttokens")
_OUTPUT = ("completion_tokens", "output_tokens", "tokens_completion", "native_tokens_completion", "generatedtokens")
_AT = ("starttime", "start_time", "timestamp", "created_at", "created", "time")

# A count: whole, of which a spreadsheet makes 10.0; no request has a billion tokens.
_WHOLE = re.compile(r"0*([0-9]{1,9})(?:\.0*)?", re.ASCII)
# Seconds since 1970, of the years 2001 to 2286.
_EPOCH = re.compile(r"[1-9][0-9]{9}(?:\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True)
class Requests:
    """(prompt, answer) tokens of each, and when they came in seconds since the epoch (those that say so)."""

    rows: Sequence[tuple[int, int]]
    at: Sequence[float]
    skipped_count: int


def read_requests(path: Path) -> Requests:
    """The requests of a file. Those without a prompt or without an answer are skipped, and counted.

    BreakevenError for a file without such columns, or without a request.
    """
    rows: list[tuple[int, int]] = []
    at: list[float] = []
    skipped = 0
    for record in _records(path):
        known = {str(name).strip().lower(): value for name, value in record.items()}
        prompt, output = _count(known, _PROMPT), _count(known, _OUTPUT)
        if not prompt or not output:
            skipped += 1
            continue
        rows.append((prompt, output))
        came = _moment(known)
        at.extend([] if came is None else [came])
    if not rows:
        raise BreakevenError(
            f"{path.name}: no row has both a prompt ({', '.join(_PROMPT)}) and an answer ({', '.join(_OUTPUT)}) of a "
            "token or more. Name the columns so."
        )
    return Requests(rows=rows, at=at, skipped_count=skipped)


def _records(path: Path) -> Iterator[Mapping[str, object]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BreakevenError(f"{path}: cannot be read ({error.strerror}).") from None
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.lstrip()[:1] == b"[":
        raise BreakevenError(f"{path.name} is one JSON array. Write one record a line: jq -c '.[]' FILE.")
    if content.lstrip()[:1] == b"{":
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                # A number stays its text: how long one may be is judged where it is read as a count.
                record = json.loads(line, parse_int=str, parse_float=str) if line.strip() else {}
            except RecursionError:
                raise BreakevenError(f"{path.name}: line {number} is nested too deep.") from None
            except ValueError:
                raise BreakevenError(f"{path.name}: line {number} is no JSON. Is the file cut?") from None
            if isinstance(record, dict) and record:
                yield record
        return
    try:
        for _, cells in read_csv(content, last_line_end_required=False).records():
            yield cells
    except QuarantineError as error:
        raise BreakevenError(f"{path.name}: {error}") from None


def _count(record: Mapping[str, object], names: Sequence[str]) -> int | None:
    text = next((str(record[name]).strip() for name in names if record.get(name) not in (None, "")), "")
    whole = _WHOLE.fullmatch(text)
    return int(whole[1]) if whole is not None else None


def _moment(record: Mapping[str, object]) -> float | None:
    """Seconds since the epoch, as a time or as such a number; a time without a zone is taken for UTC, which moves all
    of them alike."""
    text = next((str(record[name]).strip() for name in _AT if record.get(name) not in (None, "")), "")
    if _EPOCH.fullmatch(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
