"""Ceilings: what no replica exceeds, and what does not fit into it."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.roofline import GpuType, ServedModel, compute_roofline, single_stream_tokens_per_second

A100 = GpuType(
    gpu_type="A100-80GB-SXM",
    bf16_teraflops=312,
    fp8_teraflops=None,
    memory_terabytes_per_second=Decimal("2.039"),
    memory_gigabytes=80,
    source="test",
    read_on=date(2026, 11, 29),
)
H100 = replace(A100, gpu_type="H100-SXM", bf16_teraflops=Decimal("989.4"), fp8_teraflops=Decimal("1978.9"))
SEVENTY = ServedModel(active_parameters=70 * 10**9, total_parameters=70 * 10**9)


def test_every_token_that_is_computed_takes_two_operations_a_parameter() -> None:
    found = compute_roofline(gpu=A100, gpus_per_replica=2, model=SEVENTY, mix={"input_uncached": 3, "output": 1})
    assert found.tokens_per_second == pytest.approx(Decimal(2 * 312) * 10**12 / (140 * 10**9))


def test_tokens_read_from_a_cache_are_not_computed() -> None:
    mix = {"input_uncached": 1, "input_cache_read": 3, "output": 0}
    found = compute_roofline(gpu=A100, gpus_per_replica=1, model=SEVENTY, mix=mix)
    without = compute_roofline(gpu=A100, gpus_per_replica=1, model=SEVENTY, mix={"input_uncached": 1})
    assert found.tokens_per_second is not None
    assert without.tokens_per_second is not None
    assert found.tokens_per_second == pytest.approx(4 * without.tokens_per_second)
    cached = compute_roofline(gpu=A100, gpus_per_replica=1, model=SEVENTY, mix={"input_cache_read": 5})
    assert cached.tokens_per_second is None


def test_fp8_is_used_for_weights_of_one_byte_on_a_gpu_that_has_it() -> None:
    in_fp8 = replace(SEVENTY, bytes_per_parameter=1)
    assert H100.teraflops(1) == Decimal("1978.9")
    assert H100.teraflops(2) == Decimal("989.4")
    assert A100.teraflops(1) == 312
    assert (in_fp8.weight_gigabytes, SEVENTY.weight_gigabytes) == (70, 140)


@pytest.mark.parametrize(("gpus", "is_fitting"), [(1, False), (2, True)])
def test_weights_that_exceed_the_memory_do_not_fit(gpus: int, is_fitting: bool) -> None:
    found = compute_roofline(gpu=A100, gpus_per_replica=gpus, model=SEVENTY, mix={"output": 1})
    assert (found.is_fitting, found.memory_gigabytes) == (is_fitting, 80 * gpus)


def test_one_stream_reads_the_active_weights_for_every_token() -> None:
    mixture = ServedModel(active_parameters=17 * 10**9, total_parameters=109 * 10**9)
    found = single_stream_tokens_per_second(gpu=A100, gpus_per_replica=1, model=mixture)
    assert found == pytest.approx(Decimal(2039 * 10**9) / (34 * 10**9))


@given(st.integers(1, 16), st.integers(1, 10**6), st.integers(0, 10**6))
def test_more_gpus_and_more_cache_hits_only_raise_the_ceiling(gpus: int, computed: int, cached: int) -> None:
    def ceiling(count: int, hits: int) -> Decimal:
        mix = {"input_uncached": computed, "input_cache_read": hits}
        found = compute_roofline(gpu=A100, gpus_per_replica=count, model=SEVENTY, mix=mix).tokens_per_second
        assert found is not None
        return found

    assert ceiling(gpus + 1, cached) > ceiling(gpus, cached)
    assert ceiling(gpus, cached + 1) > ceiling(gpus, cached)


def test_what_is_no_model_or_no_mix_is_refused() -> None:
    with pytest.raises(ValueError, match="a part of what is held"):
        ServedModel(active_parameters=2, total_parameters=1)
    with pytest.raises(ValueError, match="holds no tokens"):
        compute_roofline(gpu=A100, gpus_per_replica=1, model=SEVENTY, mix={"output": 0})
