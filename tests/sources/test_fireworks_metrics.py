"""Fireworks' billing metrics: tokens by the hour, GPU seconds that no token price is for."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.sources.fireworks_costs import drop
from pipeline.sources.fireworks_metrics import DATASET, USAGE, parse
from pipeline.sources.recognise import recognise_bytes
from tests.sources.fireworks import METRICS_HEADER, event, metrics

NOVEMBER = {"window_from": "2026-11-01T00:00:00Z", "window_to": "2026-12-01T00:00:00Z"}
OLDER = METRICS_HEADER.removesuffix(",cached_prompt_tokens,uncached_prompt_tokens")


def rows(content: bytes, settings: Mapping[str, Any] = NOVEMBER) -> list[dict[str, Any]]:
    frame = parse(content, settings)[USAGE.name]
    assert dict(frame.schema) == USAGE.schema
    return frame.to_dicts()


def test_events_of_an_hour_and_model_are_one_row_and_none_is_lost() -> None:
    """B9: two events that are alike are two. An event is of the hour in which it began."""
    late = event(start_time="2026-11-03 18:00:00.5 UTC", end_time="2026-11-03 19:30:00 UTC")
    first, second = rows(metrics(event(), event(), late))
    assert (first["usage_hour_at"].hour, first["event_count"], first["prompt_tokens"]) == (17, 2, 1606)
    assert (first["cached_prompt_tokens"], first["uncached_prompt_tokens"], first["completion_tokens"]) == (
        400,
        1206,
        218,
    )
    assert (second["usage_hour_at"].hour, second["event_count"]) == (18, 1)
    assert first["accelerator_seconds"] is None
    assert "somebody@acme.example" not in str([first, second])


@given(
    seconds=st.lists(st.decimals(min_value=0, max_value=10**6, places=6), min_size=1, max_size=8),
    tokens=st.lists(st.integers(0, 10**9), min_size=1, max_size=8),
)
def test_counts_and_seconds_add_up_exactly_and_apart(seconds: list[Decimal], tokens: list[int]) -> None:
    paid = [event(accelerator_seconds=f"{said:f}", prompt_tokens="", completion_tokens="") for said in seconds]
    content = metrics(*paid, *(event(prompt_tokens=count) for count in tokens))
    found = rows(content)
    assert sum(Decimal(row["accelerator_seconds"] or 0) for row in found) == sum(seconds, Decimal(0))
    assert sum(row["prompt_tokens"] or 0 for row in found) == sum(tokens)
    assert sum(row["event_count"] for row in found) == len(seconds) + len(tokens)
    assert {row["prompt_tokens"] for row in found if row["accelerator_seconds"] is not None} == {None}


def test_an_event_of_no_gpu_seconds_is_apart_from_those_that_were_paid_by_the_second() -> None:
    """Its tokens are the API's, and would not be in a sum that has seconds."""
    found = rows(metrics(event(accelerator_seconds="0"), event(accelerator_seconds="5.5", prompt_tokens="7")))
    assert [(Decimal(row["accelerator_seconds"]), row["prompt_tokens"]) for row in found] == [
        (0, 803),
        (Decimal("5.5"), 7),
    ]


def test_an_older_export_has_no_cached_tokens_which_is_not_none_of_them() -> None:
    line = event().rsplit(",", 2)[0]
    (row,) = rows(metrics(line, header=OLDER))
    assert (row["prompt_tokens"], row["cached_prompt_tokens"], row["uncached_prompt_tokens"]) == (803, None, None)


def test_it_is_known_by_its_columns_and_speaks_for_the_days_of_its_events() -> None:
    content = metrics(event(), event(start_time="2026-11-05 00:00:00 UTC", end_time="2026-11-05 00:00:01 UTC"))
    found = recognise_bytes("billing_metrics.csv", content)
    assert (found.source, found.dataset) == ("fireworks_costs", DATASET)
    delivery = drop("billing_metrics.csv", content, {})
    assert delivery.dataset == DATASET
    assert (delivery.from_at, delivery.to_at) == (
        datetime(2026, 11, 3, tzinfo=UTC),
        datetime(2026, 11, 6, tzinfo=UTC),
    )


def test_a_column_of_a_later_release_is_kept() -> None:
    (row,) = rows(metrics(f"{event()},eu", header=f"{METRICS_HEADER},region"))
    assert row["other_columns"] == '{"region": "eu"}'


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start_time": "2026-11-03T17:16:48Z"}, "row 2: start_time is .*not an instant of UTC"),
        ({"start_time": "2026-11-03 17:16:48 CET"}, "start_time is"),
        ({"start_time": "2026-11-03 UTC"}, "start_time is"),
        ({"start_time": "2026-13-40 17:16:48 UTC"}, "start_time is"),
        ({"start_time": "2026-10-31 23:59:59 UTC"}, "outside the window"),
        ({"prompt_tokens": "-1"}, "prompt_tokens is -1, not a count"),
        ({"prompt_tokens": "1.5"}, "prompt_tokens is .1.5., not a count"),
        ({"completion_tokens": "many"}, "completion_tokens is 'many'"),
        ({"accelerator_seconds": "-0.5"}, "accelerator_seconds is -0.5, below 0"),
        ({"accelerator_seconds": "1e12"}, "more than an hour has"),
    ],
)
def test_a_row_that_cannot_be_so_is_refused_with_its_place(fields: dict[str, str], words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        rows(metrics(event(**fields)))


def test_counts_whose_sum_no_integer_holds_are_refused() -> None:
    with pytest.raises(QuarantineError, match="more than an hour has"):
        rows(metrics(*[event(prompt_tokens=10**15)] * 2))
    with pytest.raises(QuarantineError, match=r"no column start_time"):
        rows(metrics("a", header="usage_type"))
