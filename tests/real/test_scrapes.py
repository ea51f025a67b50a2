"""Real `/metrics` answers of vLLM and dcgm-exporter, whole and cut."""

from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.formats.exposition import ExpositionError, parse_exposition, read_dcgm, read_vllm

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "telemetry" / "k8s_ai_conformance"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the folder {FOLDER}")

DCGM_BODIES = ["ericsson_dcgm.prom", "rafay_dcgm.prom", "upcloud_dcgm.prom", "vks_vgpu_dcgm.prom"]


def body_of(name: str) -> str:
    return (FOLDER / name).read_text()


def test_the_real_vllm_body_parses_and_its_prompt_tokens_add_up_by_source() -> None:
    """B17: computed, found in cache and transferred are the parts of what was prompted."""
    body = body_of("kops_vllm.prom")
    exposition = parse_exposition(body)
    assert len(exposition.samples) == 354
    figures = {sample.series.key: sample.value for sample in exposition.samples}
    by_source = [figures[key] for key in figures if key.startswith("vllm:prompt_tokens_by_source_total(")]
    prompted = [figures[key] for key in figures if key.startswith("vllm:prompt_tokens_total(")]
    assert len(by_source) == 3
    assert [sum(value for value in by_source if value is not None)] == prompted
    (row,) = read_vllm(body)
    assert (row.model_name, row.engine_rank) == ("Qwen/Qwen2.5-0.5B-Instruct", "0")
    assert (row.prompt_tokens, row.prompt_tokens_cached, row.generation_tokens, row.requests_success) == (0, 0, 0, 0)
    assert row.process_started_at is not None
    assert row.process_started_at.isoformat() == "2026-03-20T12:57:41.287602"


def test_the_identity_by_source_sees_tokens_that_moved() -> None:
    """B17: the real body has served nothing yet, so the identity is shown once more on it with tokens put in."""
    labels = 'engine="0",model_name="Qwen/Qwen2.5-0.5B-Instruct"'
    prompted = f"vllm:prompt_tokens_total{{{labels}}}"
    body = body_of("kops_vllm.prom").replace(f"{prompted} 0.0", f"{prompted} 60.0")
    for source, tokens in (("local_compute", 10), ("local_cache_hit", 20), ("external_kv_transfer", 30)):
        series = f'vllm:prompt_tokens_by_source_total{{{labels},source="{source}"}}'
        body = body.replace(f"{series} 0.0", f"{series} {tokens}.0")
    cached = f"vllm:prompt_tokens_cached_total{{{labels}}} 0.0\n"
    assert cached in body
    (row,) = read_vllm(body.replace(cached, ""))
    assert (row.prompt_tokens, row.prompt_tokens_cached) == (60, 50)


def test_the_busy_t4_keeps_both_of_its_truths() -> None:
    """B18: 91% of the time with a kernel running, 15.6% of the engine used."""
    (row,) = read_dcgm(body_of("ericsson_dcgm.prom"))
    assert (row.util_gpu_pct, row.gr_engine_active_ppm) == (91, 156_205)
    assert (row.power_milliwatts, row.energy_millijoules) == (68_244, 15_152_422_938)
    assert row.memory_used_bytes == 5120 * 1024 * 1024


@pytest.mark.parametrize("name", DCGM_BODIES)
def test_each_real_dcgm_body_is_one_gpu(name: str) -> None:
    (row,) = read_dcgm(body_of(name))
    assert row.gpu_uuid.startswith("GPU-")
    assert row.util_gpu_pct is not None


def test_a_vgpu_guest_without_power_or_activity_is_unknown_there_and_not_zero() -> None:
    """B19: what a guest cannot read is null."""
    (row,) = read_dcgm(body_of("vks_vgpu_dcgm.prom"))
    unread = (row.gr_engine_active_ppm, row.sm_active_ppm, row.power_milliwatts, row.energy_millijoules)
    assert unread == (None, None, None, None)


def test_two_scrapes_saved_in_one_file_are_refused_together_and_read_apart() -> None:
    """B15: kops_dcgm.prom is one answer twice; adding the two up would double a GPU."""
    body = body_of("kops_dcgm.prom")
    with pytest.raises(ExpositionError, match="one series twice"):
        read_dcgm(body)
    first_line = body[: body.index("\n") + 1]
    second = body.index(first_line, 1)
    assert read_dcgm(body[:second]) == read_dcgm(body[second:])
    assert [row.gpu_name for row in read_dcgm(body[:second])] == ["NVIDIA L4"]


@pytest.mark.parametrize("name", ["kops_vllm.prom", *DCGM_BODIES])
def test_a_real_body_cut_inside_a_line_is_refused(name: str) -> None:
    """B15: among the cuts are all those in the middle of a number."""
    body = body_of(name)
    step = max(len(body) // 400, 1)
    cuts = [cut for cut in range(1, len(body), step) if body[cut - 1] != "\n"]
    pairs = enumerate(pairwise(body), start=1)
    value_ends = [index for index, (one, two) in pairs if one.isdigit() and two in ".\n0123456789"]
    for cut in [*cuts, *value_ends[:: max(len(value_ends) // 200, 1)]]:
        with pytest.raises(ExpositionError, match="cut"):
            parse_exposition(body[:cut])


def test_the_real_vllm_body_cut_between_lines_is_refused_or_says_the_same() -> None:
    """B15: no cut reads as an engine that served less."""
    body = body_of("kops_vllm.prom").replace("} 0.0\n", "} 8.0\n")
    (whole,) = read_vllm(body)
    ends = [index + 1 for index, character in enumerate(body) if character == "\n"]
    read = 0
    for end in ends[:-1]:
        try:
            (row,) = read_vllm(body[:end])
        except ExpositionError:
            continue
        read += 1
        assert all(value in (None, vars(whole)[name]) for name, value in vars(row).items())
        assert (row.prompt_tokens, row.generation_tokens) == (8, 8)
    assert 0 < read < len(ends)
