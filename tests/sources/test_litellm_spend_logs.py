"""LiteLLM's spend logs: the counters of each request, and nothing of what was said in it."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError
from pipeline.sources.litellm_spend_logs import REQUESTS, SOURCE, drop, parse, recognise, reduced
from pipeline.sources.recognise import recognise_bytes

SECRET = "tell nobody that the merger is off"
KEY = "sk-live-abcdefghijklmnopqrstuvwxyz"


def log(**fields: Any) -> dict[str, Any]:
    """A row of LiteLLM_SpendLogs as the proxy lists it, with prompts stored."""
    row: dict[str, Any] = {
        "request_id": "chatcmpl-0001",
        "call_type": "acompletion",
        "api_key": "ab" * 32,
        "spend": 0.00123,
        "total_tokens": 1200,
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "startTime": "2026-11-03T09:15:02.123000Z",
        "endTime": "2026-11-03T09:15:09.000000Z",
        "model": "claude-haiku-4-5",
        "model_group": "small",
        "custom_llm_provider": "anthropic",
        "user": "u-1",
        "end_user": SECRET,
        "team_id": "team-1",
        "cache_hit": "False",
        "metadata": {"user_api_key": KEY, "note": SECRET},
        "messages": [{"role": "user", "content": SECRET, "content": SECRET}],  # noqa: F601 - as a sloppy client sends it
        "response": {"choices": [{"message": {"content": SECRET}}]},
        "proxy_server_request": {"headers": {"authorization": KEY}},
    }
    return {**row, **fields}


def as_list(*rows: Mapping[str, Any]) -> bytes:
    return json.dumps(list(rows)).encode()


def as_lines(*rows: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_csv(*rows: Mapping[str, Any]) -> bytes:
    """As a table is copied out of Postgres: no zone, JSON in cells."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
        writer.writerow({**flat, "startTime": str(row["startTime"]).replace("T", " ").replace("Z", "")})
    return file.getvalue().encode()


def landed(content: bytes) -> bytes:
    (payload,) = drop("log.json", content, {}).payloads
    return payload.content


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return parse(landed(content), {})[REQUESTS.name].to_dicts()


@pytest.mark.parametrize("spell", [as_list, as_lines, as_csv, lambda *rows: json.dumps({"data": rows}).encode()])
def test_every_spelling_of_a_log_says_the_same_requests(spell: Any) -> None:
    (row, other) = rows_of(spell(log(), log(request_id="chatcmpl-0002", cache_hit="True", team_id=None)))
    assert (
        row
        == {
            "bucket": "2026-11-03",
            "usage_date": datetime(2026, 11, 3).date(),  # noqa: DTZ001 - rows hold UTC
            "request_hash": hashlib.sha256(b"chatcmpl-0001").hexdigest()[:32],
            "started_at": datetime(2026, 11, 3, 9, 15, 2, 123000),  # noqa: DTZ001 - rows hold UTC
            "custom_llm_provider": "anthropic",
            "model": "claude-haiku-4-5",
            "api_key_hash": "ab" * 32,
            "team_id": "team-1",
            "prompt_tokens": 1000,
            "completion_tokens": 200,
            "is_cache_hit": False,
            "other_columns": None,
        }
    )
    assert (other["is_cache_hit"], other["team_id"]) == (True, None)
    assert recognise("log", spell(log())[:4096]) == "requests"
    assert recognise_bytes("log", spell(log())).source == "litellm_spend_logs"


@pytest.mark.parametrize("spell", [as_list, as_lines, as_csv])
def test_nothing_that_was_said_and_no_key_lands(spell: Any) -> None:
    """Neither in the bytes that land nor in the rows; a key that is not hashed yet is."""
    kept = landed(spell(log(api_key=KEY, user=SECRET)))
    for secret in (SECRET, KEY, "chatcmpl-0001"):
        assert secret.encode() not in kept
    (row,) = parse(kept, {})[REQUESTS.name].to_dicts()
    assert row["api_key_hash"] == hashlib.sha256(KEY.encode()).hexdigest()
    header = json.loads(kept.split(b"\n")[0])
    assert {"messages", "response", "metadata", "end_user", "user", "spend"} <= set(header["left_out"])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (as_list(log())[:-200], "Not complete JSON at line 1"),
        (as_lines(log(), log(request_id="b"))[:-300], "Not complete JSON at line 2"),
        (as_list(log(prompt_tokens=SECRET)), "request 1: prompt_tokens is not a count"),
        (as_list(log(prompt_tokens=-1)), "request 1: prompt_tokens is not a count"),
        (as_list(log(prompt_tokens=True)), "request 1: prompt_tokens is not a count"),
        (as_list(log(), log(completion_tokens=1.5)), "request 2: completion_tokens is not a count"),
        (as_list(log(prompt_tokens=10**12)), "request 1: prompt_tokens is not a count"),
        (as_list(log(startTime="9999-12-31T12:00:00Z")), "request 1: startTime is not a moment"),
        (as_list(log(startTime=SECRET)), "request 1: startTime is not a moment"),
        (as_list(log(startTime="2026-11-03")), "request 1: startTime is not a moment"),
        (as_list(log(model=SECRET * 20)), "request 1: model is no text"),
        (as_list(log(model={"a": SECRET})), "request 1: model is no text"),
        (as_list(log(team_id="two\nlines")), "request 1: team_id is no text"),
        (as_list(log(cache_hit=SECRET)), "request 1: cache_hit is neither"),
        (as_list(log(request_id=None)), "request 1: no request_id"),
        (as_list(log(), SECRET), "request 2: it is no object"),  # type: ignore[arg-type]
        (as_csv(log())[:-5], "its last cell may be cut"),
        (b'[{"request_id": "' + SECRET.encode() + b"\xff", "byte "),
        (b"[" * 100_000, "nested deeper"),
        (b'[{"prompt_tokens": ' + b"9" * 5000 + b"}]", "a number that cannot be read"),
    ],
)  # fmt: skip
def test_a_log_that_cannot_be_read_is_refused_without_a_word_of_it(content: bytes, why: str) -> None:
    """What lands is the reason alone; the file stays in the inbox."""
    kept = landed(content)
    assert SECRET.encode() not in kept
    assert KEY.encode() not in kept
    with pytest.raises(QuarantineError) as refused:
        parse(kept, {})
    assert why in str(refused.value)
    assert SECRET not in str(refused.value)


def test_what_is_no_log_is_refused_by_its_reader() -> None:
    for content in (b"", b"nothing", b"[]", b'{"a": 1}\n', b'{"format": "breakeven.spend_logs/9"}\n', as_list(log())):
        with pytest.raises(QuarantineError, match="not LiteLLM's spend log"):
            parse(content, {})


def test_an_empty_log_says_nothing() -> None:
    assert rows_of(b"[]") == []


def test_the_same_log_lands_as_the_same_bytes() -> None:
    assert landed(as_list(log())) == landed(as_list(dict(reversed(log().items()))))


@given(
    prompt=st.integers(0, 10**12 - 1),
    completion=st.integers(0, 10**12 - 1),
    moment=st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2030, 1, 1)),  # noqa: DTZ001 - UTC
    offset=st.sampled_from(["", "Z", "+00:00"]),
)
def test_counters_and_moments_come_through(prompt: int, completion: int, moment: datetime, offset: str) -> None:
    said = log(prompt_tokens=prompt, completion_tokens=completion, startTime=moment.isoformat() + offset)
    (row,) = parse(reduced(as_list(said)), {})[REQUESTS.name].to_dicts()
    assert (row["prompt_tokens"], row["completion_tokens"]) == (prompt, completion)
    assert row["started_at"] == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert row["usage_date"] == moment.date()


def test_an_entry_says_whose_days_it_shapes() -> None:
    assert SOURCE.check is not None
    with pytest.raises(ConfigError, match="bills"):
        SOURCE.check({}, ["main"])
    SOURCE.check({"bills": {"anthropic": "main", "ollama": None}}, ["main"])


def test_other_exports_are_not_taken_for_a_log(tmp_path: Path) -> None:
    assert recognise("usage.json", b'{"data": [{"starting_at": "2026-11-03T00:00:00Z", "results": []}]}') is None
    assert recognise("x.csv", b"request_id,amount\n1,2\n") is None
