"""Published claims recomputed with the functions that the product uses.

Only the formulas for which `pipeline.economics` has a function; the elementary ones are another test's.
"""

import csv
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.economics.breakeven import Staircase, breakeven_spend, breakeven_volumes
from pipeline.economics.roofline import GpuType, ServedModel, compute_roofline, single_stream_tokens_per_second
from pipeline.economics.units import cost_per_mtok
from pipeline.economics.work import Capacity, Provenance, tokens_per_replica_hour

ACCEPTANCE = Path(__file__).resolve().parents[2].parent / "shared" / "acceptance"
SEED_CASES = ACCEPTANCE / "seed_cases.csv"
TOLERANCE = Decimal("1e-9")
MTOK = 10**6

Inputs = dict[str, Decimal]


def tokens_an_hour(tokens_per_second: Decimal, utilization: Decimal = Decimal(1)) -> Decimal:
    provenance = Provenance(kind="declared", stated_on=date(2025, 11, 1), source="seed case")
    capacity = Capacity(
        blended_tokens_per_second=tokens_per_second, maximum_utilization_ratio=utilization, provenance=provenance
    )
    return tokens_per_replica_hour(mix={"all": 1}, capacity=capacity)


def break_even_of_a_fixed_bill(inputs: Inputs) -> Decimal | None:
    """A bill that no volume changes: no rent a replica, so no steps."""
    return breakeven_volumes(
        Staircase(
            price_per_token=inputs["api"],
            variable_cost_per_token=inputs.get("self_variable", Decimal(0)),
            capacity_tokens=1,
            replica_cost=0,
            fixed_cost=inputs["fixed"],
        )
    ).first


def staircase_cost(inputs: Inputs) -> Decimal:
    return Staircase(
        price_per_token=0,
        capacity_tokens=inputs["capacity_mtok"],
        replica_cost=inputs["replica_usd"],
        fixed_cost=inputs["fixed_usd"],
    ).self_host_cost(inputs["mtok"])


def full_replica_value(inputs: Inputs) -> Decimal:
    """What a full replica saves when it costs nothing is what it displaces."""
    return breakeven_volumes(
        Staircase(price_per_token=inputs["api"], capacity_tokens=inputs["capacity_mtok"], replica_cost=0, fixed_cost=1)
    ).full_replica_margin


def breakeven_utilization_percent(inputs: Inputs) -> Decimal | None:
    utilization = breakeven_volumes(
        Staircase(
            price_per_token=inputs["api_usd_per_request"],
            capacity_tokens=tokens_an_hour(inputs["rps"]) * inputs["hours"],
            replica_cost=inputs["usd_per_month"],
            fixed_cost=0,
        )
    ).breakeven_utilization
    return None if utilization is None else utilization * 100


def requests(inputs: Inputs) -> Decimal:
    return tokens_an_hour(inputs["rps"], inputs["utilization"]) * inputs["hours"]


def cost_per_request(inputs: Inputs) -> Decimal | None:
    per_million = cost_per_mtok(cost=inputs["usd_per_month"], tokens=int(requests(inputs)))
    return None if per_million is None else per_million / MTOK


def gpu(inputs: Inputs) -> GpuType:
    return GpuType(
        gpu_type="seed case",
        bf16_teraflops=inputs.get("tflops", Decimal(1)),
        fp8_teraflops=None,
        memory_terabytes_per_second=inputs.get("tb_s", Decimal(1)),
        memory_gigabytes=80,
        source="seed case",
        read_on=date(2025, 11, 1),
    )


def model(inputs: Inputs) -> ServedModel:
    size = inputs.get("active_params_b", inputs.get("params_b", Decimal(0))) * 10**9
    bytes_per_parameter = inputs.get("bytes_per_param", inputs.get("bits", Decimal(16)) / 8)
    return ServedModel(active_parameters=size, total_parameters=size, bytes_per_parameter=bytes_per_parameter)


def roofline(inputs: Inputs) -> Decimal | None:
    found = compute_roofline(
        gpu=gpu(inputs), gpus_per_replica=int(inputs["gpus"]), model=model(inputs), mix={"output": 1}
    )
    return found.tokens_per_second


FORMULAS: dict[str, Callable[[Inputs], Decimal | None]] = {
    "usd_per_mtok": lambda inputs: cost_per_mtok(
        cost=inputs["usd_per_hour"], tokens=int(tokens_an_hour(inputs["tokens_per_second"]))
    ),
    "mtok_per_month": lambda inputs: tokens_an_hour(inputs["tokens_per_second"]) * inputs["hours"] / MTOK,
    "breakeven_fixed_mtok": break_even_of_a_fixed_bill,
    "breakeven_margin_mtok": break_even_of_a_fixed_bill,
    "staircase_usd": staircase_cost,
    "full_replica_api_value_usd": full_replica_value,
    "breakeven_utilization_pct": breakeven_utilization_percent,
    "requests_at_utilization": requests,
    "usd_per_request_at_utilization": cost_per_request,
    "roofline_tok_s": roofline,
    "bandwidth_tok_s": lambda inputs: single_stream_tokens_per_second(
        gpu=gpu(inputs), gpus_per_replica=1, model=model(inputs)
    ),
    "weights_gb": lambda inputs: model(inputs).weight_gigabytes,
}


def seed_rows() -> list[dict[str, str]]:
    if not SEED_CASES.exists():
        return []
    with SEED_CASES.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


ROWS = seed_rows()
needs_acceptance = pytest.mark.skipif(not ROWS, reason=f"no published claims to recompute in {ACCEPTANCE}")


def close(computed: Decimal, expected: Decimal) -> bool:
    return abs(computed - expected) <= TOLERANCE * abs(expected)


@needs_acceptance
@pytest.mark.parametrize("row", [row for row in ROWS if row["formula"] in FORMULAS], ids=lambda row: row["case_id"])
def test_a_published_claim_recomputes(row: dict[str, str]) -> None:
    inputs = json.loads(row["inputs"], parse_float=Decimal, parse_int=Decimal)
    computed = FORMULAS[row["formula"]](inputs)
    assert computed is not None
    assert close(computed, Decimal(row["recomputed_value"])), (computed, row)


@needs_acceptance
def test_every_formula_here_has_published_claims() -> None:
    assert {row["formula"] for row in ROWS} >= set(FORMULAS)


@needs_acceptance
def test_the_friction_rule_recomputes_on_its_own_example() -> None:
    row = next(row for row in ROWS if row["case_id"] == "S001-025")
    inputs = json.loads(row["inputs"], parse_float=Decimal, parse_int=Decimal)
    spend = breakeven_spend(
        self_host_cost=inputs["self"], friction=inputs["friction"], self_tokens_per_api_token=1, movable_share=1
    )
    assert close(spend, Decimal(row["recomputed_value"]))
