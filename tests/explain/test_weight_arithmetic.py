"""What `explain weights` prints of a fit and of the split of a bill recomputes by hand, from the hours themselves."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from pipeline.decisions import peak_allowances, token_class_weights
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from pipeline.explain.weights import explain_weights
from tests.decisions.test_token_class_weights import SATURATED, SERVED_NAME, WEIGHTS, declared, uncounted, weights
from tests.explain.asked import Asked
from tests.explain.test_contract_arithmetic import recomputed
from tests.models.gpu_harness import (
    DAY,
    INVOICE_LINES,
    NODE,
    SAMPLES,
    SCRAPES,
    Row,
    at,
    build_tables,
    deployment,
    invoice_line,
    rows_of,
    scrape,
    watched,
)
from tests.test_explain import _close

# No hour took exactly what any weights say.
HOURS: list[Row] = [
    {**row, "serving_gpu_milliseconds": row["serving_gpu_milliseconds"] + (number * 7919) % 90_001}
    for number, row in enumerate(SATURATED)
]
SERVED = {"input_uncached": 1000, "input_cache_read": 500, "output": 100}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weight_arithmetic")


def explained(
    cache: Path, folder: Path, *, hours: Sequence[Row] = HOURS, wrong: Mapping[str, Any] | None = None, **rates: Any
) -> tuple[Explanation, dict[str, Row]]:
    """A day of 7 dollars, split by the mart itself over 1,000 computed prompt tokens, 500 cached and 100 written."""
    found = weights(hours=hours, tokens=SERVED)
    tables: dict[str, Sequence[Row]] = {
        INVOICE_LINES: [invoice_line("7.000000000000000001")],
        SAMPLES: watched(0, 24),
        SCRAPES: [
            scrape(at(10), 600_000, 5_000_000, 900_000, prompt_tokens_cached=1_000_000),
            scrape(at(10.1), 360_000, 5_001_500, 900_100, prompt_tokens_cached=1_000_500),
        ],
        "config_gpu_resources": [NODE],
        "config_deployments": [deployment(**rates)],
        "config_deployment_hosts": [{"deployment_id": "chat", "host": "host-1"}],
        "config_deployment_served_names": [SERVED_NAME],
        WEIGHTS: found,
    }
    built = build_tables(cache, tables, ("fct_unit_costs_daily",))
    costs = [row for row in rows_of(built, "fct_unit_costs_daily") if row["usage_date"] == DAY]
    none = dict.fromkeys(("prefill_tokens_per_second", "cached_tokens_per_second", "decode_tokens_per_second"))
    frames = {
        "config_deployments": pl.DataFrame(
            [{**none, "peak_allowance": None, "is_peak_allowance_declared": False, **declared(), **rates}],
            schema_overrides={name: pl.Date() for name in ("valid_from_date", "valid_to_date")},
        ),
        "fct_peak_allowances_daily": pl.DataFrame(schema=dict(peak_allowances.SCHEMA)),
        "fct_unit_costs_daily": pl.DataFrame(costs, infer_schema_length=None),
        "int_deployment_hours": pl.DataFrame(
            [
                {**row, "usage_hour_at": at(number % 24) - timedelta(days=number % 3)}
                for number, row in enumerate(hours)
            ],
            infer_schema_length=None,
        ),
        WEIGHTS: pl.DataFrame(
            [{**row, **(wrong or {})} for row in found], schema=dict(token_class_weights.SCHEMA), orient="row"
        ),
    }
    explanation = explain_weights(cast("Evidence", Asked(frames, folder)), deployment="chat", usage_date=DAY)
    return explanation, {row["token_class"]: row for row in found}


def test_every_number_of_a_fit_and_of_the_split_recomputes_from_what_is_printed(cache: Path, tmp_path: Path) -> None:
    found, rows = explained(cache, tmp_path)
    assert [one for one in found.equalities if not one.holds] == []
    steps = recomputed([line for line in found.formula if " = " in line])
    assert 0 < steps["R squared"] < 1
    assert _close(steps["R squared"], rows["output"]["r_squared_ratio"])
    sums = {line.split(" = ")[0]: Fraction(line.split(" = ")[1]) for line in found.formula if line.startswith("sum ")}
    for short, name in (("u", "input_uncached"), ("r", "input_cache_read"), ("o", "output")):
        assert _close(steps[f"GPU-seconds of 1M {name}"], rows[name]["gpu_seconds_per_mtok"])
        assert _close(steps[f"fitted sum t {short}"], sums[f"sum t {short}"])
    parts = [steps[f"{name} full_cost_rc"] for name in SERVED]
    assert _close(sum(parts, Fraction(0)), Fraction("7.000000000000000001"))
    assert any("full_cost_rc: the classes together = the bill" in one.claim for one in found.equalities)


def test_hours_of_one_class_less_and_a_class_that_weighs_nothing_are_fitted_alike(cache: Path, tmp_path: Path) -> None:
    """Where cached tokens come with less time than the rest explains, they weigh nothing: the others are fitted."""
    falling = [
        {**row, "serving_gpu_milliseconds": row["serving_gpu_milliseconds"] - 6 * row["input_cache_read_tokens"]}
        for row in HOURS
    ]
    found, rows = explained(cache, tmp_path, hours=falling)
    assert rows["input_cache_read"]["gpu_seconds_per_mtok"] == 0
    assert [one for one in found.equalities if not one.holds] == []


def test_what_is_not_fitted_is_split_by_what_is_declared_and_says_why(cache: Path, tmp_path: Path) -> None:
    found, _ = explained(cache, tmp_path, hours=HOURS[:20])
    assert [one for one in found.equalities if not one.holds] == []
    assert any("20 saturated hours with tokens" in line for line in found.formula)
    assert "the bill of the day is split by token_count" in found.formula


def test_hours_that_count_cache_reads_otherwise_are_listed_and_left_out(cache: Path, tmp_path: Path) -> None:
    earlier = [{**uncounted(row), "usage_date": DAY - timedelta(days=1)} for row in HOURS[:5]]
    found, rows = explained(cache, tmp_path, hours=[*HOURS, *earlier])
    assert rows["output"]["left_out_hours_count"] == 5
    assert [one for one in found.equalities if not one.holds] == []
    evidence, left_out = found.inputs
    assert (len(evidence.rows), len(left_out.rows)) == (30, 5)
    assert left_out.title == "Left out: cache reads are counted otherwise than that day"


@pytest.mark.parametrize("column", ["r_squared_ratio", "gpu_seconds_per_mtok", "condition_ratio", "token_weight_units"])
def test_a_fit_that_is_a_little_off_does_not_recompute(cache: Path, tmp_path: Path, column: str) -> None:
    value: Any = 2.5 if column == "condition_ratio" else 1
    found, _ = explained(cache, tmp_path, wrong={column: value})
    assert any(column in one.claim for one in found.equalities if not one.holds)
