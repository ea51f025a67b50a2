"""Ceilings: what no replica exceeds, and what does not fit into it; and that a claim beyond them is told why."""

from collections import deque
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.plausibility import Hardware, why_it_does_not_fit, why_it_is_too_fast
from pipeline.economics.roofline import GpuType, Requests, Roofline, ServedModel, gpus_that_hold, replica_roofline

A100 = GpuType(
    gpu_type="A100-80GB-SXM",
    bf16_teraflops=312,
    eight_bit_teraops=624,
    four_bit_teraops=1248,
    memory_terabytes_per_second=Decimal("2.039"),
    memory_gigabytes=80,
    source="test",
    read_on=date(2026, 11, 29),
)
H100 = replace(
    A100, gpu_type="H100-SXM", bf16_teraflops=Decimal("989.4"), eight_bit_teraops=Decimal("1978.9"),
    four_bit_teraops=None,
)  # fmt: skip
SEVENTY = ServedModel(active_parameters=70 * 10**9, total_parameters=70 * 10**9)
WRITING = {"output": 1}


def ceilings(gpus: int = 1, model: ServedModel = SEVENTY, requests: Requests = Requests(), **mix: int) -> Roofline:  # noqa: B008 - frozen
    return replica_roofline(gpu=A100, gpus_per_replica=gpus, model=model, mix=mix or WRITING, requests=requests)


def test_every_token_that_is_computed_takes_two_operations_a_parameter() -> None:
    assert ceilings(2, input_uncached=3, output=1).compute == Fraction(2 * 312 * 10**12, 140 * 10**9)


def test_tokens_read_from_a_cache_are_not_computed() -> None:
    found = ceilings(input_uncached=1, input_cache_read=3, output=0)
    without = ceilings(input_uncached=1)
    assert without.compute is not None
    assert found.compute == 4 * without.compute
    assert ceilings(input_cache_read=5).compute is None
    assert ceilings(input_cache_read=5).tokens_per_second is None


@pytest.mark.parametrize(
    ("size", "on_a100", "on_h100"), [("2", 312, "989.4"), ("1", 624, "1978.9"), ("0.5", 1248, "1978.9")]
)
def test_narrow_weights_may_use_the_fastest_arithmetic_that_is_narrow_enough(
    size: str, on_a100: int, on_h100: str
) -> None:
    assert A100.teraops(Decimal(size)) == on_a100
    assert H100.teraops(Decimal(size)) == Decimal(on_h100)


@pytest.mark.parametrize(("gpus", "is_fitting"), [(1, False), (2, True)])
def test_weights_that_exceed_the_memory_do_not_fit(gpus: int, is_fitting: bool) -> None:
    found = ceilings(gpus)
    assert (found.is_fitting, found.memory_bytes) == (is_fitting, gpus * 80 * 2**30)
    assert SEVENTY.weight_gigabytes == 140


def test_a_gigabyte_of_memory_is_what_nvml_reads_and_not_ten_to_the_ninth() -> None:
    """NVML states 85,520,809,984 bytes of an H100 of 80 GB: what fits into these must not be refused."""
    full = ServedModel(active_parameters=1, total_parameters=85_520_809_984, bytes_per_parameter=1)
    assert ceilings(model=full).is_fitting


def test_one_request_alone_reads_the_active_weights_for_every_token() -> None:
    mixture = ServedModel(active_parameters=17 * 10**9, total_parameters=109 * 10**9)
    found = ceilings(model=mixture, requests=Requests(at_once=1))
    assert found.bandwidth == Fraction(2039 * 10**9, 34 * 10**9)
    four = ceilings(model=mixture, requests=Requests(at_once=4, tokens_per_step=2))
    assert four.bandwidth == 8 * found.bandwidth


def test_without_a_word_of_the_requests_no_bandwidth_bounds_a_server() -> None:
    """Any number of requests may share a reading of the weights."""
    assert ceilings().bandwidth is None
    assert ceilings(requests=Requests(at_once=8), input_uncached=1).bandwidth is None


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=40),
    cache_bytes=st.integers(1, 50),
    weights=st.integers(1, 3000),
    active=st.integers(1, 3000),
    at_once=st.none() | st.integers(1, 12),
)
def test_no_server_that_reads_what_it_must_is_faster_than_the_ceiling(
    lengths: list[tuple[int, int]], cache_bytes: int, weights: int, active: int, at_once: int | None
) -> None:
    """An ideal engine, step by step: weights once a step, the cache of each request in it, nothing else."""
    memory = 2**30
    unit = 2**30 // 10_000
    active = min(active, weights)
    model = ServedModel(
        active_parameters=active * unit, total_parameters=weights * unit, bytes_per_parameter=1,
        kv_bytes_per_token=cache_bytes * unit,
    )  # fmt: skip
    waiting, running = deque(lengths), list[list[int]]()
    written = read = held = 0
    while waiting or running:
        while waiting and (at_once is None or len(running) < at_once):
            prompt, answer = waiting[0]
            room = memory - weights * unit - sum(context + left for context, left in running) * cache_bytes * unit
            if running and (prompt + answer) * cache_bytes * unit > room:
                break
            if not running and (prompt + answer) * cache_bytes * unit > room:
                waiting.popleft()
                continue
            waiting.popleft()
            running.append([prompt, answer])
        if not running:
            break
        read += active * unit + sum(context for context, _ in running) * cache_bytes * unit
        held += sum(context for context, _ in running)
        written += len(running)
        running = [[context + 1, left - 1] for context, left in running if left > 1]
    if not written:
        return
    gpu = replace(A100, memory_gigabytes=1, memory_terabytes_per_second=1)
    requests = Requests(context_tokens=Fraction(held, written), at_once=at_once)
    found = replica_roofline(gpu=gpu, gpus_per_replica=1, model=model, mix=WRITING, requests=requests)
    assert found.bandwidth is not None
    assert Fraction(written * 10**12, read) <= found.bandwidth


@given(st.integers(1, 16), st.integers(1, 10**6), st.integers(0, 10**6))
def test_more_gpus_and_more_cache_hits_only_raise_the_ceiling(gpus: int, computed: int, cached: int) -> None:
    def ceiling(count: int, hits: int) -> Fraction:
        found = ceilings(count, input_uncached=computed, input_cache_read=hits).compute
        assert found is not None
        return found

    assert ceiling(gpus + 1, cached) > ceiling(gpus, cached)
    assert ceiling(gpus, cached + 1) > ceiling(gpus, cached)


@given(st.integers(1, 2000), st.integers(1, 10**6), st.integers(1, 40_000), st.integers(1, 64))
def test_the_fewest_gpus_that_hold_it_hold_it_and_one_less_does_not(
    billions: int, cache: int, context: int, at_once: int
) -> None:
    model = ServedModel(
        active_parameters=10**9, total_parameters=billions * 10**9, kv_bytes_per_token=cache
    )  # fmt: skip
    requests = Requests(context_tokens=context, at_once=at_once)
    least = gpus_that_hold(gpu=A100, model=model, requests=requests)
    assert ceilings(least, model, requests).is_fitting
    assert least == 1 or not ceilings(least - 1, model, requests).is_fitting


@pytest.mark.parametrize("case", ["compute", "bandwidth"])
def test_a_claim_is_refused_one_token_above_the_ceiling_and_not_at_it(case: str) -> None:
    hardware = Hardware(
        gpu=A100, gpus_per_replica=2, model=SEVENTY, requests=Requests(at_once=None if case == "compute" else 16)
    )
    found = hardware.roofline(WRITING)
    bound = found.compute if case == "compute" else found.bandwidth
    assert bound is not None
    assert why_it_is_too_fast(hardware, tokens_per_second=bound, mix=WRITING) is None
    said = why_it_is_too_fast(hardware, tokens_per_second=3 * bound, mix=WRITING)
    assert said is not None
    assert "3.00 times" in said
    assert (
        "2 x 312 x 10^12 operations/s / (2 x 70 x 10^9 parameters x 1 of the tokens computed) = 4,457 tokens/s"
        if case == "compute"
        else "2 x 2.039 x 10^12 bytes/s / (1 of the tokens written x 8,750,000,000 bytes read for each) = 466 tokens/s"
    ) in said
    assert "(A100-80GB-SXM as read on 2026-11-29 at test)" in said


def test_what_does_not_fit_is_told_with_the_sum_and_what_would_do() -> None:
    model = replace(SEVENTY, kv_bytes_per_token=327_680)
    fits = Hardware(gpu=A100, gpus_per_replica=2, model=model)
    assert why_it_does_not_fit(fits) is None
    said = why_it_does_not_fit(replace(fits, requests=Requests(context_tokens=8000, at_once=16)))
    assert said == (
        "it does not fit a 2xA100-80GB-SXM replica: weights 70 x 10^9 x 2 bytes = 140.0 GB and cache 16 requests x "
        "8,000 tokens x 327,680 bytes = 41.9 GB, and the memory is 2 x 80 GB of 2^30 bytes = 171.8 GB "
        "(A100-80GB-SXM as read on 2026-11-29 at test). 3 GPUs a replica would hold it"
    )


def test_what_is_no_model_or_no_mix_is_refused() -> None:
    with pytest.raises(ValueError, match="a part of what is held"):
        ServedModel(active_parameters=2, total_parameters=1)
    with pytest.raises(ValueError, match="holds no tokens"):
        ceilings(output=0)
    with pytest.raises(ValueError, match="at_once"):
        Requests(at_once=0)
