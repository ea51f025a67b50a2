"""OpenRouter's activity by generation: the counters of each request, whose bill it is on, and no user."""

import csv
import hashlib
import io
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError
from pipeline.sources.openrouter_generations import GENERATIONS, SOURCE, drop, parse, recognise, reduced
from pipeline.sources.recognise import recognise_bytes

SECRET = "customer 4711, Jane"
KEY = "sk-or-v1-abcdefghijklmnop"
COLUMNS = (
    "generation_id", "created_at", "cost_total", "cost_web_search", "cost_cache", "cost_file_processing",
    "byok_usage_inference", "tokens_prompt", "tokens_completion", "tokens_reasoning", "tokens_cached",
    "model_permaslug", "provider_name", "variant", "cancelled", "streamed", "user", "finish_reason_raw",
    "finish_reason_normalized", "generation_time_ms", "time_to_first_token_ms",
)  # fmt: skip
LAST = ("api_key_disabled", "api_key_name", "app_name")


def generation(**fields: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys((*COLUMNS, *LAST), ""),
        "generation_id": "gen-1793700902-AbC",
        "created_at": "2026-11-03 09:15:02.123",
        "cost_total": "0.000123",
        "byok_usage_inference": "0.00246",
        "tokens_prompt": "1000",
        "tokens_completion": "200",
        "tokens_cached": "900",
        "model_permaslug": "anthropic/claude-4.5-haiku-20251001",
        "provider_name": "Anthropic",
        "user": SECRET,
        "app_name": SECRET,
        "api_key_name": "search-team",
        **fields,
    }


def exported(*rows: dict[str, Any], last: tuple[str, ...] = LAST) -> bytes:
    """As the Activity page writes it; the last three columns come in either order."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [*COLUMNS, *last], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def landed(content: bytes) -> bytes:
    (payload,) = drop("openrouter_activity.csv", content, {}).payloads
    return payload.content


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return parse(landed(content), {})[GENERATIONS.name].to_dicts()


@pytest.mark.parametrize("last", [LAST, LAST[::-1], ()])
def test_a_generation_is_read_whatever_the_order_of_its_columns(last: tuple[str, ...]) -> None:
    row = {name: value for name, value in generation().items() if name in (*COLUMNS, *last)}
    assert (
        rows_of(exported(row, last=last))
        == [
            {
                "bucket": "2026-11-03",
                "usage_date": datetime(2026, 11, 3).date(),  # noqa: DTZ001 - rows hold UTC
                "request_hash": hashlib.sha256(b"gen-1793700902-AbC").hexdigest()[:32],
                "started_at": datetime(2026, 11, 3, 9, 15, 2, 123000),  # noqa: DTZ001 - rows hold UTC
                "provider_name": "Anthropic",
                "model_permaslug": "anthropic/claude-4.5-haiku-20251001",
                "api_key_name": "search-team" if last else None,
                "tokens_prompt": 1000,
                "tokens_completion": 200,
                "is_own_key": True,
                "other_columns": None,
            }
        ]
    )
    assert recognise_bytes("x.csv", exported(row, last=last)).source == "openrouter_generations"


@pytest.mark.parametrize("named", [KEY, f" {KEY}", f"my key {KEY}", KEY.upper()])
def test_no_user_no_app_and_no_key_lands(named: str) -> None:
    kept = landed(exported(generation(api_key_name=named)))
    for secret in (SECRET, KEY, KEY.upper(), "gen-1793700902-AbC"):
        assert secret.encode() not in kept
    assert {"user", "app_name", "cost_total"} <= set(json.loads(kept.split(b"\n")[0])["left_out"])
    assert recognise("x", kept) == "generations"


@pytest.mark.parametrize(
    ("said", "is_own"), [("0.00246", True), ("1e-7", True), ("0", False), ("", False), ("0.0", False)]
)
def test_only_what_went_out_with_a_key_of_ones_own_is_on_a_providers_bill(said: str, is_own: bool) -> None:
    (row,) = rows_of(exported(generation(byok_usage_inference=said)))
    assert row["is_own_key"] is is_own


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (exported(generation(app_name="x"))[:-1], "its last cell may be cut"),
        (exported(generation(tokens_prompt=SECRET)), "row 2: tokens_prompt is not a count"),
        (exported(generation(tokens_completion="")), "row 2: no tokens_completion"),
        (exported(generation(created_at="2026-11-03")), "row 2: created_at is not a moment"),
        (exported(generation(created_at="9999-12-31 23:59:59")), "row 2: created_at is not a moment"),
        (exported(generation(created_at="1999-12-31 23:59:59")), "row 2: created_at is not a moment"),
        (exported(generation(tokens_prompt=10**12)), "row 2: tokens_prompt is not a count"),
        (exported(generation(byok_usage_inference="NaN")), "row 2: byok_usage_inference is not an amount"),
        (exported(generation(byok_usage_inference=SECRET)), "row 2: byok_usage_inference is not an amount"),
        (exported(generation(model_permaslug="x" * 300)), "row 2: model_permaslug is no text"),
        (b"generation_id,created_at,model_permaslug\na,b,c\n", "no tokens_prompt, tokens_completion, provider_name"),
    ],
)  # fmt: skip
def test_an_export_that_cannot_be_read_is_refused_without_a_word_of_it(content: bytes, why: str) -> None:
    kept = landed(content)
    assert SECRET.encode() not in kept
    with pytest.raises(QuarantineError) as refused:
        parse(kept, {})
    assert why in str(refused.value)


@pytest.mark.parametrize("more", [{"started_at": "9999-12-31T00:00:00.000"}, {"tokens_prompt": 10**17}])
def test_what_an_older_release_made_of_an_export_is_refused_where_no_figure_of_it_could_be_held(
    more: dict[str, Any],
) -> None:
    header, row = landed(exported(generation())).splitlines(keepends=True)
    with pytest.raises(QuarantineError, match="request 1: it is not of the years 2000 to 2100, or counts more"):
        parse(header + json.dumps({**json.loads(row), **more}).encode(), {})


def test_what_is_no_export_is_refused_by_its_reader() -> None:
    for content in (b"", exported(generation()), b'{"format": "breakeven.openrouter_generations/9"}\n'):
        with pytest.raises(QuarantineError, match="not OpenRouter's activity"):
            parse(content, {})
    assert recognise("x.csv", b"Date,Slug,Usage,BYOK Usage,Requests,Prompt Tokens\n") is None


@given(
    prompt=st.integers(0, 10**12 - 1),
    completion=st.integers(0, 10**12 - 1),
    moment=st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2030, 1, 1)),  # noqa: DTZ001 - UTC
)
def test_counters_and_moments_come_through(prompt: int, completion: int, moment: datetime) -> None:
    said = generation(tokens_prompt=prompt, tokens_completion=completion, created_at=moment.isoformat(sep=" "))
    (row,) = parse(reduced(exported(said)), {})[GENERATIONS.name].to_dicts()
    assert (row["tokens_prompt"], row["tokens_completion"]) == (prompt, completion)
    assert row["started_at"] == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_an_entry_says_whose_days_it_shapes_in_lower_case() -> None:
    assert SOURCE.check is not None
    SOURCE.check({"bills": {"anthropic": "main", "amazon bedrock": None}}, ["main"])
    with pytest.raises(ConfigError, match="bills"):
        SOURCE.check({}, ["main"])
    with pytest.raises(ConfigError, match="lower case: anthropic"):
        SOURCE.check({"bills": {"Anthropic": "main"}}, ["main"])
