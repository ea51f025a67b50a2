"""A verdict's conditions, bounds and brackets recompute from their inputs; a figure that is a little off does not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from pipeline.explain.verdict_arithmetic import write_out
from pipeline.explain.verdict_inputs import VerdictInputs
from tests.decisions.test_verdict_conditions import (
    FLAT,
    GPUS,
    PRICES,
    by_day_tables,
    candidate,
    deployment,
    on_api,
    on_gpus_tables,
    workload,
)
from tests.decisions.test_verdict_rates import DAYS, gpu_cost, overhead, rates, verdict

Rows = Sequence[Mapping[str, Any]]
# What is read beside a deployment where nothing was measured.
ASSUMED = {"peak_allowance_basis": "assumed", "peak_allowance_reason": "no whole settled week of it was served"}


def inputs_of(**tables: Rows) -> VerdictInputs:
    """What `read_inputs` would read of the tables that the verdict was made of."""
    billed: dict[str, list[Any]] = {}
    for found in tables["fct_api_costs_daily"]:
        if found["workload"] != "chat" or found["billed_cost_rc"] is None:
            continue
        sums = billed.setdefault(found["token_class"], [Decimal(0), 0])
        sums[0] += found["billed_cost_rc"]
        sums[1] += found["tokens"]
    candidates = tables.get("config_candidates", ())
    types = {row["gpu_type"]: row for row in tables.get("gpu_types", ())}
    joined = [
        {
            **row,
            **dict.fromkeys(("bf16_teraflops", "gpu_source", "gpu_read_on_date")),
            **(
                {**gpu, "gpu_source": gpu["source"], "gpu_read_on_date": gpu["read_on_date"]}
                if (gpu := types.get(row["gpu_type"]))
                else {}
            ),
        }
        for row in candidates
    ]
    deployments = tables.get("config_deployments", ())
    others = [row for row in tables["fct_api_costs_daily"] if row["workload"] != "chat" or row["is_of_a_period"]]
    return VerdictInputs(
        commitments=[
            {
                **row,
                "elsewhere_count": 0,
                **{
                    name: sum((one["billed_cost_rc"] for one in others if one["is_of_a_period"] == is_it), Decimal(0))
                    for name, is_it in (("others_billed_cost_rc", False), ("period_billed_cost_rc", True))
                },
            }
            for row in tables.get("config_contracts", ())
        ],
        row=verdict(**tables),
        days=DAYS,
        demand=[dict(row) for row in tables["fct_demand_daily"]],
        hours=[dict(row) for row in tables["fct_demand_hourly"]],
        billed=[{"token_class": name, "billed_cost_rc": sums[0], "tokens": sums[1]} for name, sums in billed.items()],
        listed=[{**row, "basis": "comparator_list"} for row in tables.get("api_prices", ())],
        gpu=[
            {**row, "unpriced_count": 0} for row in tables.get("fct_gpu_costs_daily", [gpu_cost(day) for day in DAYS])
        ],
        served=[{**row, "own_tokens": row["tokens"]} for row in tables.get("int_self_host_tokens_hourly", ())],
        deployment={**ASSUMED, **deployments[0]} if deployments else None,
        candidate=joined[0] if joined else None,
        overheads=[{**row, "item": "on call"} for row in tables.get("config_overheads", ())],
        rates=[{**row, "rate_date": None} for row in rates()],
        unconverted=[],
    )


def without_gpus(*candidates: Mapping[str, Any], **tables: Rows) -> VerdictInputs:
    return inputs_of(
        **on_api(FLAT),
        fct_gpu_costs_daily=[],
        config_deployments=[],
        config_workloads=[workload()],
        config_candidates=candidates,
        **tables,
    )


KNOWN = candidate(
    gpu_type="L4",
    gpus_per_replica=1,
    gpu_hour_rate=Decimal("1.5"),
    parameters_billions=Decimal(8),
    engineering_hour_rate=Decimal(90),
    currency="EUR",
)
CASES: Mapping[str, tuple[VerdictInputs, set[str]]] = {
    "nothing known": (without_gpus(), {"most_replica_hour_rc", "most_fixed_cost_rc_per_month"}),
    "a candidate": (
        without_gpus(KNOWN, gpu_types=GPUS, config_overheads=[overhead("EUR")]),
        {
            "roofline_tokens_per_second", "needed_tokens_per_second", "most_self_tokens_per_api_token",
            "most_gpu_hour_rate_rc", "most_engineering_hours_per_month", "most_fixed_cost_rc_per_month",
        },
    ),
    "a candidate that long contexts bound": (
        without_gpus(
            {
                **KNOWN, "kv_bytes_per_token": Decimal(131072), "context_tokens": Decimal(6000),
                "requests_at_once_count": 4,
            },
            gpu_types=GPUS,
        ),
        {"roofline_tokens_per_second"},
    ),
    "a capacity that is impossible": (
        inputs_of(
            **on_api(FLAT),
            config_workloads=[workload(deployment_id="llama")],
            config_deployments=[
                {**deployment(capacity=Decimal(9000)), "gpu_type": "L4", "parameters_billions": Decimal(8)}
            ],
            gpu_types=GPUS,
        ),
        {"needed_tokens_per_second"},
    ),
    "a measured capacity": (
        inputs_of(
            **on_api(FLAT),
            config_workloads=[workload(deployment_id="llama")],
            config_deployments=[{**deployment(capacity=None), "tokens_per_second": Decimal(1000)}],
        ),
        {"best_replica_count", "capacity_tokens_per_replica_hour"},
    ),
    "a comparator": (
        inputs_of(**on_gpus_tables()),
        {"api_price_without_cache_rc_per_mtok", "api_only_without_cache_cost_rc", "best_without_cache_replica_count"},
    ),
    "sums of days, bounded": (inputs_of(**by_day_tables(4_000_000)), {"best_cost_least_rc", "best_cost_most_rc"}),
    "sums of days, one count": (inputs_of(**by_day_tables(4_000_000, gpu_day="45")), {"best_replica_count"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_published_recomputes_from_its_inputs(case: str) -> None:
    inputs, columns = CASES[case]
    done = write_out(inputs)
    assert [equality.claim for equality in done.equalities if not equality.holds] == []
    for column in columns:
        assert inputs.row[column] is not None, column
        assert any(equality.claim.startswith(column) for equality in done.equalities), column


@pytest.mark.parametrize(
    ("case", "column"), [(case, column) for case, (_, columns) in CASES.items() for column in sorted(columns)]
)
@pytest.mark.parametrize("by", [Decimal("0.999"), Decimal("1.001")])
def test_another_figure_does_not(case: str, column: str, by: Decimal) -> None:
    inputs, _ = CASES[case]
    published = inputs.row[column]
    changed = published + 1 if column.endswith("_count") else type(published)(Decimal(published) * by)
    row = {**inputs.row, column: changed}
    failed = [found.claim for found in write_out(replace(inputs, row=row)).equalities if not found.holds]
    assert any(claim.startswith(column) for claim in failed)


def test_prices_are_those_of_the_comparator() -> None:
    inputs, _ = CASES["a comparator"]
    assert inputs.price_parts("output") == (Fraction(50), 10**6, "comparator_list")
    assert inputs.without_cache() == (Fraction(10), 10**6, "list without a cache hit")
    assert {row["token_class"] for row in PRICES} == {"input_uncached", "input_cache_read", "output"}


@pytest.mark.parametrize(("ppm", "is_right"), [(2_000_000, True), (2_000_001, False)])
def test_a_measured_peak_recomputes_from_its_minutes(ppm: int, is_right: bool) -> None:
    """Half of an hour, since the p99 minute is twice its hour's mean: and every figure that rests on it."""
    measured = {
        "peak_allowance": Decimal("0.5"),
        "peak_allowance_basis": "measured",
        "peak_week_from_date": DAYS[0],
        "p99_minute_to_hour_ppm": ppm,
    }
    said = {"usage_date": DAYS[-1], "workload": "chat", "peak_allowance_ratio": Decimal("0.5")}
    inputs = inputs_of(
        **on_api(FLAT),
        config_workloads=[workload(deployment_id="llama")],
        config_deployments=[deployment(capacity=Decimal(1000))],
        fct_peak_allowances_daily=[said],
    )
    assert inputs.deployment is not None
    done = write_out(replace(inputs, deployment={**inputs.deployment, **measured}))
    assert any("may be filled (measured" in line for line in done.lines)
    assert {found.claim: found.holds for found in done.equalities if not found.holds} == (
        {} if is_right else {"peak_allowance_ratio: recomputed = published": False}
    )
