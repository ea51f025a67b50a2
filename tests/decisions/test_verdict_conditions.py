"""Verdicts of who has only an API, only GPUs, or only daily sums: what would have to be true, and what holds anyhow."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions.gpu_types import shipped_gpu_types
from tests.decisions.test_verdict_rates import ALWAYS, DAYS, LAST, UNSTATED, Row, api_cost, gpu_cost, verdict

MODEL = "claude-opus-4-8"
QUANTUM = Decimal("1e-18")
# The window: 10 days of November, 18 of October.
MONTHS = Fraction(10, 30) + Fraction(18, 31)


def workload(**changed: Any) -> Row:
    return {
        "workload": "chat",
        "team": None,
        "deployment_id": None,
        "api_model": MODEL,
        "comparator_model": None,
        "pinned_to": None,
        "pin_reason": None,
        **ALWAYS,
        **changed,
    }


def candidate(**known: Any) -> Row:
    fields = (
        "gpus_per_replica", "gpu_hour_rate", "tokens_per_second", "tokens_per_api_token",
        "engineering_hours_per_month", "engineering_hour_rate",
    )  # fmt: skip
    defaults = {**UNSTATED, "peak_allowance": Decimal("0.85"), "currency": "USD"}
    return {**dict.fromkeys(fields), **defaults, "workload": "chat", **ALWAYS, **known}


def on_api(tokens: Sequence[int], price_per_mtok: int = 15) -> dict[str, list[Row]]:
    """A workload whose output tokens lie in the given hours of every day, billed at one price."""
    per_day = sum(tokens)
    return {
        "fct_api_costs_daily": [
            {**api_cost(day), "tokens": per_day, "billed_cost_rc": Decimal(per_day * price_per_mtok) / 10**6}
            for day in DAYS
        ],
        "fct_demand_daily": [
            {
                "usage_date": day, "workload": "chat", "lane": "api", "token_class": "output", "tokens": per_day,
                "evidence": "hourly",
            }
            for day in DAYS
        ],
        "fct_demand_hourly": [
            {
                "usage_date": day,
                "usage_hour_at": datetime(day.year, day.month, day.day, hour),  # noqa: DTZ001 - marts hold UTC
                "workload": "chat", "token_class": "output", "tokens": count,
            }
            for day in DAYS
            for hour, count in enumerate(tokens)
            if count
        ],
    }  # fmt: skip


def without_gpus(tokens: Sequence[int], *candidates: Row, **tables: Sequence[Row]) -> dict[str, Any]:
    found = on_api(tokens) | {"fct_gpu_costs_daily": [], "config_deployments": []}
    return verdict(**found, config_workloads=[workload()], config_candidates=candidates, **tables)


FLAT = [1_000_000] * 24


def test_an_api_alone_is_told_what_a_replica_may_cost() -> None:
    """24M tokens a day at 15 are 360: 15 an hour for what serves every hour, or 11,000-odd a month for all the rest."""
    found = without_gpus(FLAT)
    assert found["status"] == "conditions"
    assert found["most_replica_hour_rc"] == 15
    assert found["peak_tokens_per_second"] == pytest.approx(Decimal(10**6) / 3600)
    assert found["most_fixed_cost_rc_per_month"] == Decimal(int(360 * 28 / MONTHS * 10**18)).scaleb(-18)
    assert found["needed_tokens_per_second"] is None
    assert found["reason"].startswith(
        "no deployment is declared for it. Self-hosting pays only if the GPUs of a replica"
    )


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 4_000_000), min_size=24, max_size=24).filter(any),
    rate=st.integers(1, 900).map(lambda cents: Decimal(cents) / 100),
    gpus=st.integers(1, 4),
)
def test_a_threshold_once_declared_turns_the_verdict(tokens: list[int], rate: Decimal, gpus: int) -> None:
    known: dict[str, Any] = {"gpu_hour_rate": rate, "gpus_per_replica": gpus, "tokens_per_api_token": Decimal(1)}
    overheads = [{"monthly_cost": Decimal(0), "currency": "USD", "deployment_id": None, **ALWAYS}]
    asked = without_gpus(tokens, candidate(**known), config_overheads=overheads)
    needed = asked["needed_tokens_per_second"]
    if needed is None:
        assert "does not pay" in asked["reason"]
        return
    assert "if and only if" in asked["reason"]
    for declared, says in ((needed, "Self-hosting pays:"), (needed - QUANTUM, "does not pay")):
        if declared > 0:
            told = without_gpus(tokens, candidate(**known, tokens_per_second=declared), config_overheads=overheads)
            assert says in told["reason"], (declared, told["reason"])


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 4_000_000), min_size=24, max_size=24).filter(any),
    rate=st.integers(1, 900).map(lambda cents: Decimal(cents) / 100),
)
def test_the_threshold_is_where_a_deployment_of_that_capacity_is_advised(tokens: list[int], rate: Decimal) -> None:
    """The same threshold, met by a deployment that is billed and whose capacity is declared: one implementation."""
    overheads = [{"monthly_cost": Decimal(0), "currency": "USD", "deployment_id": None, **ALWAYS}]
    known = candidate(gpu_hour_rate=rate, gpus_per_replica=1, tokens_per_api_token=Decimal(1))
    needed = without_gpus(tokens, known, config_overheads=overheads)["needed_tokens_per_second"]
    for declared in [] if needed is None else [needed + QUANTUM, needed - QUANTUM]:
        if declared <= 0:
            continue
        decided = verdict(
            **on_api(tokens),
            config_workloads=[workload(deployment_id="llama")],
            config_deployments=[deployment(capacity=declared)],
            fct_gpu_costs_daily=[{**gpu_cost(day), "realized_cost_rc": rate * 24} for day in DAYS],
            config_overheads=overheads,
        )
        assert decided["status"] == "decided"
        assert (decided["best_replica_count"] > 0) == (declared > needed), (declared, needed, decided["reason"])


def deployment(*, capacity: Decimal | None) -> Row:
    return {
        "deployment_id": "llama",
        "gpus_per_replica": 1,
        "minimum_replicas": 1,
        "spare_replicas": 0,
        "tokens_per_second": None,
        "prefill_tokens_per_second": capacity,
        "cached_tokens_per_second": None,
        "decode_tokens_per_second": capacity,
        "peak_allowance": Decimal("0.85"),
        "measured_on": date(2026, 9, 1),
        "capacity_source": "own load test",
        **UNSTATED,
        **ALWAYS,
    }


GPUS = [
    {
        "gpu_type": found.gpu_type,
        "bf16_teraflops": found.bf16_teraflops,
        "eight_bit_teraops": found.eight_bit_teraops,
        "four_bit_teraops": found.four_bit_teraops,
        "memory_terabytes_per_second": found.memory_terabytes_per_second,
        "memory_gigabytes": found.memory_gigabytes,
        "source": found.source,
        "read_on_date": found.read_on,
    }
    for found in shipped_gpu_types().values()
]


def test_a_candidate_beyond_its_roofline_is_impossible() -> None:
    known = {"gpu_type": "L4", "gpus_per_replica": 1, "gpu_hour_rate": Decimal("14.99")}
    small = without_gpus(FLAT, candidate(**known, parameters_billions=Decimal(8)), gpu_types=GPUS)
    assert small["roofline_tokens_per_second"] == Decimal("7562.5")
    assert small["needed_tokens_per_second"] < small["roofline_tokens_per_second"]
    assert "(roofline 7,562)" in small["reason"]
    assert "as read on 2026-11-29 at https://" in small["reason"]
    held = {**known, "gpus_per_replica": 32}
    large = without_gpus(FLAT, candidate(**held, parameters_billions=Decimal(405)), gpu_types=GPUS)
    assert large["roofline_tokens_per_second"] == pytest.approx(Decimal(32 * 121 * 10**12) / (810 * 10**9))
    assert "does not pay" in large["reason"]


def test_a_candidate_that_does_not_fit_is_refused_with_the_sum() -> None:
    known = {"gpu_type": "L4", "gpu_hour_rate": Decimal("0.99"), "parameters_billions": Decimal(405)}
    said = (
        "it does not fit a 1xL4 replica: weights 405 x 10^9 x 2 bytes = 810.0 GB, and the memory is 1 x 24 GB of 2^30 "
        "bytes = 25.8 GB (L4 as read on 2026-11-29 at https://"
    )
    found = without_gpus(FLAT, candidate(**known, gpus_per_replica=1), gpu_types=GPUS)
    assert found["status"] == "prices_only"
    assert said in found["reason"]
    assert "32 GPUs a replica would hold it" in found["reason"]
    assert found["needed_tokens_per_second"] is None
    unknown = without_gpus(FLAT, candidate(**known), gpu_types=GPUS)
    assert unknown["status"] == "conditions"
    assert "With one GPU a replica it does not fit" in unknown["reason"]


def test_a_long_context_bounds_a_candidate_by_its_memory_bandwidth() -> None:
    known = {"gpu_type": "H100-SXM", "gpus_per_replica": 2, "parameters_billions": Decimal(70)}
    cache = {"kv_bytes_per_token": Decimal(327680), "context_tokens": Decimal(8000)}
    short = without_gpus(FLAT, candidate(**known), gpu_types=GPUS)
    long = without_gpus(FLAT, candidate(**known, **cache), gpu_types=GPUS)
    assert long["roofline_tokens_per_second"] < short["roofline_tokens_per_second"] / 10
    # Dense: each step reads all of the memory, and writes a token for each request that it holds.
    held = (2 * 80 * 2**30 - 140 * 10**9) / Decimal(327680 * 8000)
    assert long["roofline_tokens_per_second"] == pytest.approx(Decimal(6_700 * 10**9) / (2 * 80 * 2**30) * held)
    one = without_gpus(FLAT, candidate(**known, **cache, requests_at_once_count=1), gpu_types=GPUS)
    assert one["roofline_tokens_per_second"] < long["roofline_tokens_per_second"]


def test_a_declared_capacity_beyond_the_roofline_is_refused_and_the_rest_solved() -> None:
    """A throughput that its hardware cannot reach decides nothing; what it would have to be is still said."""
    hardware = {"gpu_type": "L4", "parameters_billions": Decimal(8)}

    def told(capacity: str, **changed: Any) -> dict[str, Any]:
        declared = {**deployment(capacity=Decimal(capacity)), **hardware, **changed}
        return verdict(
            **on_api(FLAT),
            config_workloads=[workload(deployment_id="llama")],
            config_deployments=[declared],
            gpu_types=GPUS,
        )

    assert told("7562.5")["status"] == "decided"
    refused = told("7562.6")
    assert refused["status"] == "conditions"
    said = (
        "the capacity of llama (own load test) is impossible: 7,563 tokens/s are 1.00 times what the compute of a 1xL4"
    )
    assert said in refused["reason"]
    assert "1 x 121 x 10^12 operations/s / (2 x 8 x 10^9 parameters x 1 of the tokens computed)" in refused["reason"]
    assert refused["best_replica_count"] is None
    assert refused["capacity_basis"] is None
    assert refused["needed_tokens_per_second"] is not None
    assert told("80000", gpu_type="H900")["status"] == "decided"
    assert "it does not fit a 1xL4 replica" in told("1", parameters_billions=Decimal(70))["reason"]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"gpu_type": "H900"}, "Roofline unknown: H900 is not one of A100-40GB-SXM,"),
        ({"gpu_type": "L4"}, "Roofline unknown: parameters_billions of the candidate is not declared."),
    ],
)
def test_an_unknown_roofline_is_said_to_be_unknown(known: dict[str, Any], said: str) -> None:
    found = without_gpus(FLAT, candidate(**known), gpu_types=GPUS)
    assert said in found["reason"]
    assert found["roofline_tokens_per_second"] is None


def test_a_deployment_without_capacity_is_told_what_it_would_have_to_sustain() -> None:
    found = verdict(
        **on_api(FLAT),
        config_workloads=[workload(deployment_id="llama")],
        config_deployments=[deployment(capacity=None)],
    )
    assert found["status"] == "conditions"
    # 2 an hour of 15 that the API costs: 10^6 / 3600 tokens/s x 2 / 15.
    assert found["needed_tokens_per_second"] == Decimal("37.037037037037037038")
    assert "if and only if one replica of llama (1 GPU) sustains at least 37.1 tokens/s" in found["reason"]


def test_a_capacity_of_all_classes_together_decides_as_one_by_class_does() -> None:
    """What was measured at this mix, or what a condition asks for, is one number."""
    together = {**deployment(capacity=None), "tokens_per_second": Decimal(1000)}
    found = [
        verdict(**on_api(FLAT), config_workloads=[workload(deployment_id="llama")], config_deployments=[declared])
        for declared in (together, deployment(capacity=Decimal(1000)))
    ]
    assert found[0] == found[1]
    assert found[0]["status"] == "decided"


@pytest.mark.parametrize("is_billed", [True, False], ids=["billed", "at list"])
def test_what_has_input_alone_is_decided_as_any_other(is_billed: bool) -> None:
    """Embeddings and rerankers: no token comes out, their meter states no tier, and the book no price of output."""
    tables = {name: [{**row, "token_class": "input_uncached"} for row in rows] for name, rows in on_api(FLAT).items()}
    if not is_billed:
        tables["fct_api_costs_daily"] = [
            {**row, "billed_cost_rc": None, "price_mode": None} for row in tables["fct_api_costs_daily"]
        ]
    asked = {
        "config_workloads": [workload(deployment_id="llama")],
        "config_deployments": [{**deployment(capacity=None), "tokens_per_second": Decimal(1000)}],
        "api_prices": listed(input_uncached="15"),
    }
    found, as_output = verdict(**tables, **asked), verdict(**on_api(FLAT), **asked)
    assert (found["status"], found["api_price_basis"]) == ("decided", "realized" if is_billed else "list")
    words = {"api_price_basis", "reason"}
    assert {name: found[name] for name in found if name not in words} == {
        name: as_output[name] for name in as_output if name not in words
    }


def test_credits_beyond_the_bill_leave_no_condition() -> None:
    """What costs less than nothing cannot be displaced; and no build stops for it."""
    tables = on_api(FLAT, -1)
    found = verdict(**tables, fct_gpu_costs_daily=[], config_deployments=[], config_workloads=[workload()])
    assert found["status"] == "prices_only"
    assert "its API cost is below zero" in found["reason"]


def test_money_of_a_candidate_without_a_rate_decides_nothing() -> None:
    found = without_gpus(FLAT, candidate(gpu_hour_rate=Decimal(2), currency="GBP"))
    assert (found["status"], found["needed_tokens_per_second"]) == ("prices_only", None)
    assert "what its candidate costs is not converted: no rate from GBP" in found["reason"]


# --- only GPUs --------------------------------------------------------------------------------------------------------


def listed(**prices: str) -> list[Row]:
    return [
        {
            "provider": "anthropic", "account": None, "model": MODEL, "mode": "standard", "context_window": "0-200k",
            "region": None, "token_class": name, "list_cost_per_mtok": Decimal(price), "cost_per_mtok": Decimal(price),
            "price_basis": "list", "price_source": "the book", "currency": "USD", **ALWAYS,
        }
        for name, price in prices.items()
    ]  # fmt: skip


PRICES = listed(input_uncached="10", input_cache_read="1", output="50")


def on_gpus(*, capacity: int = 500, comparator: str | None = MODEL, prices: Sequence[Row] = PRICES) -> dict[str, Any]:
    return verdict(**on_gpus_tables(capacity=capacity, comparator=comparator, prices=prices))


def on_gpus_tables(
    *, capacity: int = 500, comparator: str | None = MODEL, prices: Sequence[Row] = PRICES
) -> dict[str, Sequence[Row]]:
    """900,000 tokens of 1M an hour come out of the own cache; one GPU costs 2 an hour."""
    classes = {"input_cache_read": 900_000, "input_uncached": 90_000, "output": 10_000}
    return {
        "config_workloads": [workload(deployment_id="llama", api_model=None, comparator_model=comparator)],
        "config_deployments": [deployment(capacity=Decimal(capacity))],
        "fct_api_costs_daily": [],
        "fct_demand_daily": [
            {
                "usage_date": day, "workload": "chat", "lane": "self_host", "token_class": name, "tokens": 24 * count,
                "evidence": "hourly",
            }
            for day in DAYS
            for name, count in classes.items()
        ],
        "fct_demand_hourly": [
            {
                "usage_date": day,
                "usage_hour_at": datetime(day.year, day.month, day.day, hour),  # noqa: DTZ001 - marts hold UTC
                "workload": "chat", "token_class": name, "tokens": count,
            }
            for day in DAYS
            for hour in range(24)
            for name, count in classes.items()
        ],
        "int_self_host_tokens_hourly": [
            {
                "usage_date": LAST, "usage_hour_at": datetime(2026, 11, 10, 9),  # noqa: DTZ001 - marts hold UTC
                "deployment_id": "llama", "workload": "chat", "tokens": 1_000_000,
            }
        ],
        "api_prices": list(prices),
    }  # fmt: skip


def test_gpus_alone_are_asked_for_an_api_to_compare_with() -> None:
    found = on_gpus(comparator=None)
    assert found["status"] == "prices_only"
    assert "name a `comparator`, or the workload's `api_model`" in found["reason"]


def test_a_comparator_is_listed_labelled_and_bracketed_by_its_cache() -> None:
    """An hour is 0.90 + 0.90 + 0.50 = 2.30 at the own hit rate, and 9.00 + 0.90 + 0.50 = 10.40 without a hit."""
    found = on_gpus()
    assert found["api_price_basis"] == "comparator_list"
    assert found["api_price_rc_per_mtok"] == Decimal("2.30")
    assert found["api_price_without_cache_rc_per_mtok"] == Decimal("10.40")
    assert found["api_only_cost_rc"] == Decimal("2.30") * 672
    assert found["api_only_without_cache_cost_rc"] == Decimal("10.40") * 672
    assert found["status"] == "decided"
    assert found["best_replica_count"] == found["best_without_cache_replica_count"] == 1


def test_advice_that_turns_with_the_cache_is_none() -> None:
    """A replica that serves 0.765 of the hour displaces 1.76 or 7.96 of the API for its 2.00."""
    found = on_gpus(capacity=250)
    assert (found["best_replica_count"], found["best_without_cache_replica_count"]) == (0, 2)
    assert (found["status"], found["recommendation"]) == ("bracketed", None)
    assert found["reason"].startswith("it depends on how often the API's cache would be hit")


def test_without_hits_of_its_own_there_is_no_bracket() -> None:
    found = on_gpus(prices=listed(input_cache_read="1", output="50", input_uncached="1"))
    assert found["api_price_without_cache_rc_per_mtok"] == found["api_price_rc_per_mtok"]
    billed = verdict()
    assert billed["api_price_without_cache_rc_per_mtok"] is None


# --- only sums of days ------------------------------------------------------------------------------------------------


def by_day(tokens: int, *, gpu_day: str = "48") -> dict[str, Any]:
    return verdict(**by_day_tables(tokens, gpu_day=gpu_day))


def by_day_tables(tokens: int, *, gpu_day: str = "48") -> dict[str, Sequence[Row]]:
    found = on_api([tokens] + [0] * 23)
    return {
        **found,
        "fct_demand_daily": [{**row, "evidence": "daily"} for row in found["fct_demand_daily"]],
        "fct_demand_hourly": [],
        "config_workloads": [workload(deployment_id="llama")],
        "config_deployments": [deployment(capacity=Decimal(1000))],
        "fct_gpu_costs_daily": [{**gpu_cost(day), "realized_cost_rc": Decimal(gpu_day)} for day in DAYS],
    }


def test_too_little_for_a_replica_is_decided_without_hours() -> None:
    """3M tokens are 45 a day, and a replica is 48: whatever the hours."""
    found = by_day(3_000_000)
    assert (found["status"], found["recommendation"], found["best_replica_count"]) == ("decided", "stay", 0)
    assert found["best_cost_rc"] == found["api_only_cost_rc"] == 45 * 28
    assert found["best_cost_least_rc"] is None
    assert "however a day's tokens lie in its hours" in found["reason"]


def test_a_count_that_depends_on_the_hours_is_not_given() -> None:
    """4M tokens are 60 a day: a flat day pays 48; one hour of a replica takes 3.06M of them, 45.90, and does not."""
    found = by_day(4_000_000)
    assert (found["status"], found["best_replica_count"], found["recommendation"]) == ("no_hourly_evidence", None, None)
    assert (found["best_cost_least_rc"], found["best_cost_most_rc"]) == (48 * 28, 60 * 28)
    assert "the best count depends on its hours" in found["reason"]


def test_a_count_that_every_spread_agrees_on_is_given_with_bounds() -> None:
    """At 45 a day the peaked day pays, too: 45.90 of it are served; what is above stays on the API, 0 to 14.10."""
    found = by_day(4_000_000, gpu_day="45")
    assert (found["status"], found["best_replica_count"]) == ("decided", 1)
    assert (found["best_cost_least_rc"], found["best_cost_most_rc"]) == (45 * 28, Decimal("59.10") * 28)
    assert (found["best_cost_rc"], found["saving_rc_per_month"]) == (None, None)
    assert "It saves 27.00 to 450.00 a month." in found["reason"]


def test_daily_sums_without_gpus_say_both_extremes() -> None:
    found = on_api([1_000_000] + [0] * 23)
    told = verdict(
        **found
        | {
            "fct_demand_daily": [{**row, "evidence": "daily"} for row in found["fct_demand_daily"]],
            "fct_demand_hourly": [],
            "fct_gpu_costs_daily": [],
            "config_deployments": [],
            "config_workloads": [workload()],
            "config_candidates": [candidate(gpu_hour_rate=Decimal("0.25"), gpus_per_replica=1)],
        }
    )
    # 15 a day for a replica of 6 a day: 40% of the tokens, in every hour or in one.
    assert told["needed_tokens_per_second"] == Decimal("5.446623093681917212")
    assert (
        "Were every hour of a day alike: Self-hosting pays only if one replica of 1 GPU sustains at least 5.45 "
        in (told["reason"])
    )
    assert (
        "Were all of a day in one hour: Self-hosting pays only if one replica of 1 GPU sustains at least 131 "
        in (told["reason"])
    )
