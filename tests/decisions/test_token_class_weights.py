"""Weights of token classes, from scrapes in DuckDB to the exact split of a bill."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import token_class_weights
from tests.models.gpu_harness import (
    DAY,
    INVOICE_LINES,
    NODE,
    SAMPLES,
    SCRAPES,
    Row,
    at,
    broken_laws,
    build_tables,
    deployment,
    invoice_line,
    rows_of,
    scrape,
    watched,
)

WEIGHTS = "fct_token_class_weights_daily"
ALWAYS = {"valid_from_date": None, "valid_to_date": None}
SERVED_NAME = {"deployment_id": "chat", "served_name": "llama"}
# What a token really takes, in milliseconds; the hours below are made of it.
TRUTH = {"input_uncached": 2, "input_cache_read": 1, "output": 20}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("token_class_weights")


# --- which hours are saturated ----------------------------------------------------------------------------------------


def hour_of_scrapes(*, waiting: Sequence[int | None], running: int = 8, prompt: int = 1000, **fields: Any) -> list[Row]:
    """Readings every six minutes from 10:00 to 11:00; 1,000 prompt and 100 output tokens between two of them."""
    return [
        scrape(
            at(10 + number / 10), 360_000, 5_000_000 + prompt * number, 900_000 + 100 * number,
            requests_running=running, requests_waiting=waiting[number - 1] if number else 1, **fields,
        )
        for number in range(11)
    ]  # fmt: skip


def hours(cache: Path, scrapes: Sequence[Row]) -> list[dict[str, Any]]:
    tables: dict[str, Sequence[Row]] = {
        SCRAPES: scrapes,
        SAMPLES: watched(9, 12),
        "config_deployments": [deployment()],
        "config_deployment_served_names": [SERVED_NAME],
    }
    found = rows_of(build_tables(cache, tables, ("int_deployment_hours",)), "int_deployment_hours")
    return [row for row in found if row["usage_hour_at"] == at(10)]


def test_an_hour_in_which_requests_always_waited_is_saturated(cache: Path) -> None:
    (row,) = hours(cache, hour_of_scrapes(waiting=[3] * 10))
    assert row["deployment_id"] == "chat"
    assert (row["readings_count"], row["waiting_readings_count"]) == (10, 10)
    assert (row["serving_gpu_milliseconds"], row["gpu_count"]) == (3_600_000, 1)
    assert (row["input_uncached_tokens"], row["input_cache_read_tokens"], row["output_tokens"]) == (10_000, 0, 1_000)
    assert row["is_saturated"]


@pytest.mark.parametrize(
    ("waiting", "is_saturated"),
    [([0] + [2] * 9, True), ([0, 0] + [2] * 8, False), ([None] * 10, False), ([0] * 10, False)],
)
def test_a_busy_hour_without_a_queue_is_not_saturated(
    cache: Path, waiting: list[int | None], is_saturated: bool
) -> None:
    """One long request keeps an engine serving all hour; nothing says that it could not do more."""
    (row,) = hours(cache, hour_of_scrapes(waiting=waiting))
    assert row["serving_gpu_milliseconds"] == 3_600_000
    assert row["is_saturated"] == is_saturated


def test_an_hour_that_was_served_in_part_is_not_saturated(cache: Path) -> None:
    (row,) = hours(cache, hour_of_scrapes(waiting=[3] * 10)[:10])
    assert row["serving_gpu_milliseconds"] < 3_600_000 * 95 // 100
    assert not row["is_saturated"]


def test_cache_reads_that_an_engine_does_not_count_are_not_none(cache: Path) -> None:
    """Its prompt tokens are all called uncached, those that came from the cache among them."""
    counting = hour_of_scrapes(waiting=[3] * 10)
    silent = hour_of_scrapes(
        waiting=[3] * 10, prompt_tokens_cached=None, target="http://127.0.0.1:8001/metrics", replica_id="r-2",
        gpus=("GPU-2",),
    )  # fmt: skip
    idle = hour_of_scrapes(waiting=[3] * 10, prompt=0, prompt_tokens_cached=None)
    for scrapes, counted, unknown in (
        (counting, "all", 0),
        (silent, "none", 10_000),
        (counting + silent, "some", 10_000),
        (idle, None, 0),
    ):
        (row,) = hours(cache, scrapes)
        assert (row["cache_reads_counted"], row["of_which_cache_unknown_tokens"]) == (counted, unknown)
        assert row["is_saturated"]
    # Where the one that counts has found its whole prompts in its cache, that is known of it alone.
    cached = [{**row, "prompt_tokens_cached": row["prompt_tokens"]} for row in counting]
    (row,) = hours(cache, cached + silent)
    assert (row["input_uncached_tokens"], row["input_cache_read_tokens"]) == (10_000, 10_000)
    assert row["cache_reads_counted"] == "some"


# --- the node ---------------------------------------------------------------------------------------------------------


def declared(**changed: Any) -> Row:
    return {
        **dict.fromkeys(
            (
                "gpu_type", "token_cost_api_model", "input_uncached_weight_ratio", "input_cache_read_weight_ratio",
                "output_weight_ratio",
            )
        ),
        "deployment_id": "chat", "model": "llama-70b", "gpus_per_replica": 1, "bytes_per_parameter": Decimal(2),
        "token_cost_split": "gpu_seconds", **ALWAYS, **changed,
    }  # fmt: skip


def of_truth(number: int, day: date) -> Row:
    """An hour of a mix of its own, that took exactly what the truth says."""
    tokens = {
        "input_uncached": 100_000 + 7_000 * (number % 11),
        "input_cache_read": 9_000 * (number % 7),
        "output": 50_000 + 4_000 * (number % 13),
    }
    busy = sum(TRUTH[name] * count for name, count in tokens.items())
    counts = {f"{name}_tokens": count for name, count in tokens.items()}
    told = {"is_saturated": True, "cache_reads_counted": "all"}
    return {"usage_date": day, "deployment_id": "chat", "serving_gpu_milliseconds": busy, **told, **counts}


def uncounted(row: Row, *, by: str = "none") -> Row:
    """The same hour of engines of which all, or some, do not count cache reads."""
    cached = row["input_cache_read_tokens"]
    told = {"cache_reads_counted": by, "input_cache_read_tokens": None if by == "none" else 1}
    return {**row, **told, "input_uncached_tokens": row["input_uncached_tokens"] + cached}


SATURATED = [of_truth(number, DAY - timedelta(days=number % 3)) for number in range(30)]
TOKENS = {"input_uncached": 700, "input_cache_read": 200, "output": 100}


def weights(
    *deployments: Row,
    hours: Sequence[Row] = SATURATED,
    tokens: Mapping[str, int] = TOKENS,
    prices: Sequence[Row] = (),
) -> list[dict[str, Any]]:
    served = [
        {"usage_date": DAY, "deployment_id": "chat", "token_class": name, "tokens": count}
        for name, count in tokens.items()
    ]
    prepare = token_class_weights.PREPARE
    by_day = {day: [row for row in hours if row["usage_date"] == day] for day in {row["usage_date"] for row in hours}}
    inputs: dict[str, Any] = {
        "this_partition": pl.DataFrame({"from_date": [DAY]}),
        "config_deployments": list(deployments or (declared(),)),
        "fct_self_host_tokens_daily": {DAY: served} if served else {},
        "int_deployment_hours": {
            day: prepare["int_deployment_hours"](pl.DataFrame(found, infer_schema_length=None))
            for day, found in by_day.items()
        },
        "list_prices": list(prices),
    }
    return token_class_weights.build(inputs).to_dicts()


def test_hours_that_truth_made_give_back_the_truth() -> None:
    found = {row["token_class"]: row for row in weights()}
    assert {name: row["gpu_seconds_per_mtok"] for name, row in found.items()} == {
        name: Decimal(1000 * time) for name, time in TRUTH.items()
    }
    row = found["output"]
    assert (row["class_weight_method"], row["token_cost_split"], row["reason"]) == (
        "fitted_gpu_seconds", "gpu_seconds", None
    )  # fmt: skip
    assert (row["saturated_hours_count"], row["r_squared_ratio"]) == (30, 1)
    assert 1 < row["condition_ratio"] < 30
    assert {name: row["token_weight_units"] for name, row in found.items()} == {
        "input_uncached": 10**6, "input_cache_read": 5 * 10**5, "output": 10**7
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (SATURATED[:23], "23 saturated hours with tokens"),
        ([], "0 saturated hours with tokens"),
        ([of_truth(3, DAY)] * 40, "the classes move together"),
    ],
)
def test_too_few_hours_or_one_mix_leave_it_to_the_declaration_and_say_why(hours: list[Row], said: str) -> None:
    for row in weights(hours=hours):
        assert row["class_weight_method"] is None
        assert row["token_weight_units"] is None
        assert said in row["reason"]


def test_a_class_that_no_saturated_hour_has_seen_is_not_free() -> None:
    without = [{**row, "input_cache_read_tokens": 0} for row in SATURATED]
    assert weights(hours=without)[0]["reason"] == "no saturated hour has tokens of input_cache_read"
    unread = {"input_uncached": 5, "input_cache_read": 0, "output": 5}
    found = {row["token_class"]: row for row in weights(hours=without, tokens=unread)}
    assert found["input_cache_read"]["token_weight_units"] == 0
    assert found["output"]["class_weight_method"] == "fitted_gpu_seconds"


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3), st.sampled_from(["none", "some"])), max_size=30))
def test_hours_that_do_not_count_what_the_day_counts_move_no_weight(others: list[tuple[int, int, str]]) -> None:
    """Their uncached tokens hold cached ones: as evidence they would make a computed token look cheap."""
    more = [uncounted(of_truth(number, DAY - timedelta(days=back)), by=by) for number, back, by in others]
    found = weights(hours=[*SATURATED, *more])
    assert [row.pop("left_out_hours_count") for row in found] == [len(more)] * 3
    alone = weights()
    assert [row.pop("left_out_hours_count") for row in alone] == [0] * 3
    assert found == alone


def test_a_day_without_counted_cache_reads_is_weighed_by_hours_without_them() -> None:
    told = {"input_uncached": 900, "output": 100}
    alike = [uncounted(row) for row in SATURATED]
    found = {row["token_class"]: row for row in weights(hours=alike, tokens=told)}
    assert found["output"]["class_weight_method"] == "fitted_gpu_seconds"
    assert (found["output"]["saturated_hours_count"], found["output"]["left_out_hours_count"]) == (30, 0)
    # A token of a prompt takes less where some of them were cached.
    assert 1000 < found["input_uncached"]["gpu_seconds_per_mtok"] < 2000
    earlier = [row for row in SATURATED if row["usage_date"] < DAY]
    (row, *_) = weights(hours=earlier, tokens=told)
    assert row["reason"] == (
        "0 saturated hours with tokens, and 24 are the fewest that a fit is made of; 20 more count cache reads "
        f"otherwise than {DAY} does"
    )


@pytest.mark.parametrize("by", ["none", "some"])
def test_a_day_of_which_a_part_counts_cache_reads_is_not_fitted(by: str) -> None:
    """What its uncached tokens are is not one thing, whatever earlier hours were."""
    quiet = {**uncounted(of_truth(5, DAY), by=by), "is_saturated": False}
    (row, *_) = weights(hours=[*SATURATED, quiet])
    assert row["class_weight_method"] is None
    assert row["reason"] == (
        f"on {DAY} cache reads are counted of a part of its prompt tokens: what these took is not one thing"
    )


def test_hours_of_another_gpu_under_the_same_name_do_not_count() -> None:
    earlier = declared(gpu_type="A100", valid_to_date=DAY - timedelta(days=1))
    now = declared(gpu_type="H100", valid_from_date=DAY - timedelta(days=1))
    (row, *_) = weights(earlier, now)
    assert row["saturated_hours_count"] == 20
    back = [
        declared(gpu_type="H100", valid_to_date=DAY - timedelta(days=1)),
        declared(gpu_type="A100", valid_from_date=DAY - timedelta(days=1), valid_to_date=DAY),
        declared(gpu_type="H100", valid_from_date=DAY),
    ]
    hours = [of_truth(number, DAY - timedelta(days=number % 3)) for number in range(60)]
    assert weights(*back, hours=hours)[0]["saturated_hours_count"] == 40
    renamed = declared(valid_from_date=DAY - timedelta(days=1))
    assert weights(declared(valid_to_date=DAY - timedelta(days=1)), renamed)[0]["saturated_hours_count"] == 30


PRICES = [
    {"model": "small", "token_class": name, "list_cost_per_mtok": Decimal(price), **ALWAYS}
    for name, price in (("input_uncached", "0.8"), ("input_cache_read", "0.08"), ("output", "4"))
]


@pytest.mark.parametrize(
    ("said", "method", "units"),
    [
        ({"token_cost_split": "token_count"}, "token_count", [1, 1, 1]),
        (
            {
                "token_cost_split": "fixed_ratio", "input_uncached_weight_ratio": Decimal(1),
                "input_cache_read_weight_ratio": Decimal(0), "output_weight_ratio": Decimal(4),
            },
            "fixed_ratio",
            [0, 2_500_000, 10**7],
        ),
        (
            {"token_cost_split": "api_prices", "token_cost_api_model": "small"},
            "api_prices",
            [200_000, 2_000_000, 10**7],
        ),
    ],
)  # fmt: skip
def test_another_split_is_chosen_and_labelled(said: dict[str, Any], method: str, units: list[int]) -> None:
    found = weights(declared(**said), prices=PRICES)
    assert [row["token_class"] for row in found] == ["input_cache_read", "input_uncached", "output"]
    assert [row["token_weight_units"] for row in found] == units
    assert {row["class_weight_method"] for row in found} == {method}
    # What was fitted stands beside what was chosen.
    assert found[0]["gpu_seconds_per_mtok"] == 1000


def test_prices_of_a_model_that_has_none_are_not_invented() -> None:
    (row, *_) = weights(declared(token_cost_split="api_prices", token_cost_api_model="unheard"), prices=PRICES)
    assert row["class_weight_method"] is None
    assert row["reason"].startswith("no list price of unheard for input_cache_read, input_uncached, output")


def test_what_is_declared_nowhere_or_serves_nothing_has_no_row() -> None:
    assert weights(tokens={}) == []
    assert weights(declared(deployment_id="other")) == []


# --- the bill ---------------------------------------------------------------------------------------------------------


def test_a_bill_is_split_by_what_was_fitted_to_the_last_quantum(cache: Path) -> None:
    """7 dollars over 1,000 computed prompt tokens, 500 cached and 100 written: 7 x 2,000 / 4,500 and so on."""
    tables: dict[str, Sequence[Row]] = {
        INVOICE_LINES: [invoice_line("7.000000000000000001")],
        SAMPLES: watched(0, 24),
        SCRAPES: [
            scrape(at(10), 600_000, 5_000_000, 900_000, prompt_tokens_cached=1_000_000),
            scrape(at(10.1), 360_000, 5_001_500, 900_100, prompt_tokens_cached=1_000_500),
        ],
        "config_gpu_resources": [NODE],
        "config_deployments": [deployment()],
        "config_deployment_hosts": [{"deployment_id": "chat", "host": "host-1"}],
        "config_deployment_served_names": [SERVED_NAME],
        WEIGHTS: weights(tokens={"input_uncached": 1000, "input_cache_read": 500, "output": 100}),
    }
    built = build_tables(cache, tables, ("fct_unit_costs_daily", "check_gpu_unit_cost_needs_tokens"))
    rows = {
        row["token_class"]: row
        for row in rows_of(built, "fct_unit_costs_daily")
        if row["lane"] == "self_host" and row["usage_date"] == DAY
    }
    assert {row["class_weight_method"] for row in rows.values()} == {"fitted_gpu_seconds"}
    bill, whole = Fraction("7.000000000000000001"), 1000 * 2 + 500 * 1 + 100 * 20
    for name, time in TRUTH.items():
        exact = bill * rows[name]["tokens"] * time / whole
        assert abs(Fraction(rows[name]["full_cost_rc"]) - exact) < Fraction(1, 10**18)
    parts = [row["full_cost_rc"] for name, row in rows.items() if name != "blended"]
    assert sum(parts) == rows["blended"]["full_cost_rc"] == Decimal("7.000000000000000001")
    assert broken_laws(built, ("check_gpu_unit_cost_needs_tokens",)) == []
