"""What is read of SGLang, TGI, TensorRT-LLM, llama.cpp and Triton: their own names, types and meanings of a token."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.formats.engine_names import engines_of
from pipeline.formats.engine_table import ENGINE_METRICS
from pipeline.formats.engines import EngineRow, read_engine
from pipeline.formats.exposition import ExpositionError

SGLANG = """\
# HELP sglang:prompt_tokens_total Number of prefill tokens processed.
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{is_streaming="false",model_name="chat"} 900.0
sglang:prompt_tokens_total{is_streaming="true",model_name="chat"} 100.0
# HELP sglang:cached_tokens_total Number of cached prompt tokens by source (device/host/storage).
# TYPE sglang:cached_tokens_total counter
sglang:cached_tokens_total{cache_source="device",model_name="chat"} 300.0
sglang:cached_tokens_total{cache_source="host",model_name="chat"} 20.0
# HELP sglang:generation_tokens_total Number of generation tokens processed.
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{is_streaming="false",model_name="chat"} 50.0
sglang:generation_tokens_total{is_streaming="true",model_name="chat"} 7.0
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{is_streaming="false",model_name="chat"} 4.0
sglang:num_requests_total{is_streaming="true",model_name="chat"} 1.0
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{dp_rank="0",engine_type="unified",model_name="chat",tp_rank="0"} 3.0
sglang:num_running_reqs{dp_rank="0",engine_type="unified",model_name="chat",tp_rank="1"} 3.0
sglang:num_running_reqs{dp_rank="1",engine_type="unified",model_name="chat",tp_rank="0"} 2.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{dp_rank="0",engine_type="unified",model_name="chat",priority="",tp_rank="0"} 6.0
sglang:num_queue_reqs{dp_rank="0",engine_type="unified",model_name="chat",priority="5",tp_rank="0"} 4.0
# TYPE sglang:token_usage gauge
sglang:token_usage{dp_rank="0",engine_type="unified",model_name="chat",tp_rank="0"} 0.28
"""
TGI = """\
# TYPE tgi_request_success counter
tgi_request_success{stop_reason="eos_token",kind="single"} 8
tgi_request_success{stop_reason="length",kind="stream"} 2
# TYPE tgi_queue_size gauge
tgi_queue_size 2
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 1
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_bucket{le="+Inf"} 10
tgi_request_generated_tokens_sum 1000
tgi_request_generated_tokens_count 10
# TYPE tgi_request_input_length histogram
tgi_request_input_length_bucket{le="+Inf"} 10
tgi_request_input_length_sum 5000
tgi_request_input_length_count 10
"""
TRTLLM = """\
# HELP trtllm_request_success_total Count of successfully processed requests.
# TYPE trtllm_request_success_total counter
trtllm_request_success_total{engine_type="trtllm",finished_reason="stop",model_name="chat"} 150.0
trtllm_request_success_total{engine_type="trtllm",finished_reason="length",model_name="chat"} 5.0
# HELP trtllm_prompt_tokens_total Cumulative number of prompt (input) tokens processed.
# TYPE trtllm_prompt_tokens_total counter
trtllm_prompt_tokens_total{engine_type="trtllm",model_name="chat"} 1800.0
# TYPE trtllm_prompt_cached_tokens_total counter
trtllm_prompt_cached_tokens_total{engine_type="trtllm",model_name="chat"} 450.0
# HELP trtllm_generation_tokens_total Cumulative number of generation (output) tokens produced.
# TYPE trtllm_generation_tokens_total counter
trtllm_generation_tokens_total{engine_type="trtllm",model_name="chat"} 30.0
# TYPE trtllm_num_requests_running gauge
trtllm_num_requests_running{engine_type="trtllm",model_name="chat"} 2.0
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7619552e+09
"""
LLAMA = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 6886
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed.
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 3.21457e+06
# TYPE llamacpp:n_tokens_max counter
llamacpp:n_tokens_max 512
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 1
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 0
"""
LLAMA_CACHED = """\
# HELP llamacpp:prompt_tokens_cached_total Number of prompt tokens reused from cache.
# TYPE llamacpp:prompt_tokens_cached_total counter
llamacpp:prompt_tokens_cached_total 114
"""
TRITON = """\
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="chat",version="1"} 12
nv_inference_request_success{model="rerank",version="1"} 3
"""
STARTED = datetime.fromisoformat("2025-11-01T00:00:00")
NOTHING = EngineRow(
    engine="",
    model_name="chat",
    engine_rank="0",
    prompt_tokens=None,
    prompt_counts=None,
    prompt_tokens_cached=None,
    generation_tokens=None,
    requests_success=None,
    requests_running=None,
    requests_waiting=None,
    process_started_at=None,
    engine_version=None,
)


def test_sglang_is_summed_over_streaming_and_cache_tiers_and_read_once_per_rank() -> None:
    assert read_engine(SGLANG) == [
        replace(
            NOTHING,
            engine="sglang",
            prompt_tokens=1000,
            prompt_counts="delivered",
            prompt_tokens_cached=320,
            generation_tokens=57,
            requests_success=5,
            requests_running=5,
            requests_waiting=6,
        )
    ]


def test_what_waits_with_one_priority_is_not_all_that_waits() -> None:
    partly = "".join(line for line in SGLANG.splitlines(keepends=True) if 'priority=""' not in line)
    assert read_engine(partly)[0].requests_waiting is None


def test_tgi_is_the_sum_of_its_histograms_and_of_the_model_that_its_address_names() -> None:
    expected = replace(
        NOTHING,
        engine="tgi",
        prompt_tokens=5000,
        prompt_counts="delivered",
        generation_tokens=1000,
        requests_success=10,
        requests_running=1,
        requests_waiting=2,
    )
    assert read_engine(TGI, served_model="chat") == [expected]
    assert read_engine(TGI) == [replace(expected, model_name="unnamed")]


def test_trtllm_tells_delivered_and_cached_tokens() -> None:
    assert read_engine(TRTLLM) == [
        replace(
            NOTHING,
            engine="trtllm",
            prompt_tokens=1800,
            prompt_counts="delivered",
            prompt_tokens_cached=450,
            generation_tokens=30,
            requests_success=155,
            requests_running=2,
            process_started_at=STARTED,
        )
    ]


def test_trtllm_before_its_token_counters_has_unknown_tokens_and_not_zero() -> None:
    old = "".join(line for line in TRTLLM.splitlines(keepends=True) if "_tokens_total" not in line)
    (row,) = read_engine(old)
    assert (row.prompt_tokens, row.prompt_counts, row.generation_tokens) == (None, None, None)
    assert (row.requests_success, row.requests_running) == (155, 2)


def test_llamacpp_counts_computed_tokens_until_it_tells_its_cache_hits() -> None:
    """Tokens computed are not tokens delivered; which of the two a counter is, is said."""
    before = replace(
        NOTHING,
        engine="llamacpp",
        prompt_tokens=6886,
        prompt_counts="computed",
        generation_tokens=3_214_570,
        requests_running=1,
        requests_waiting=0,
    )
    assert read_engine(LLAMA, served_model="chat") == [before]
    since = replace(before, prompt_tokens=7000, prompt_counts="delivered", prompt_tokens_cached=114)
    assert read_engine(LLAMA_CACHED + LLAMA, served_model="chat") == [since]


def test_triton_tells_requests_of_each_model_and_no_tokens() -> None:
    chat = replace(NOTHING, engine="triton", requests_success=12)
    assert read_engine(TRITON + "# EOF\n") == [chat, replace(chat, model_name="rerank", requests_success=3)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (SGLANG.replace("tokens_total counter", "tokens_total gauge"), "declared a gauge"),
        (SGLANG.replace("Number of prefill tokens", "Number of prefill blocks"), "only read as tokens"),
        (TGI.replace("input_length histogram", "input_length summary"), "declared a summary"),
        (SGLANG + TRTLLM, "one address must be one engine's"),
        ('[{"gpuMemUsage": 100, "iter": 3}]\n', "/prometheus/metrics"),
        ("# TYPE python_info gauge\npython_info 1\n", "no series of a known engine"),
        ('"' + LLAMA.replace('"', "") + '"', "JSON-quoted|no series"),
        (LLAMA.replace(" 6886", " -3"), "not a count"),
        (LLAMA.replace(" 6886", " 6886.5"), "not a count"),
        (LLAMA[:-2], "the body is cut"),
        (SGLANG.replace(" 900.0", " 9e18").replace(" 100.0", " 9e18"), "is 9e18, not a count of at most"),
        (LLAMA.replace(" 6886", f" {10**15 + 1}"), "not a count of at most"),
    ],
)
def test_a_body_that_says_nothing_sure_is_refused(body: str, reason: str) -> None:
    with pytest.raises(ExpositionError, match=reason):
        read_engine(body)


def test_triton_in_front_of_vllm_is_read_as_vllm() -> None:
    vllm = "".join(
        f'# TYPE vllm:{name}_total counter\nvllm:{name}_total{{engine="0",model_name="chat"}} 5\n'
        for name in ("prompt_tokens", "generation_tokens")
    )
    (row,) = read_engine(vllm + TRITON)
    assert (row.engine, row.prompt_tokens, row.prompt_counts) == ("vllm", 5, "delivered")


@given(st.sampled_from([SGLANG, TGI, TRTLLM, LLAMA_CACHED + LLAMA]), st.data())
def test_a_body_cut_between_any_two_lines_never_says_another_number_of_tokens(body: str, data: st.DataObject) -> None:
    """B15: what is left of a body gives the whole one's counts or none."""
    lines = body.splitlines(keepends=True)
    cut = "".join(lines[: data.draw(st.integers(1, len(lines)))])
    (whole,) = read_engine(body)
    try:
        (row,) = read_engine(cut)
    except ExpositionError:
        return
    for name in ("generation_tokens", "requests_success"):
        assert getattr(row, name) in (None, getattr(whole, name))
    assert row.prompt_tokens in (None, whole.prompt_tokens) or (row.engine, row.prompt_tokens) == ("llamacpp", 6886)


def test_no_figure_of_an_engine_is_named_twice_and_each_name_begins_as_its_engine_does() -> None:
    names = [(metric.engine, metric.sample_name) for metric in ENGINE_METRICS]
    assert len(set(names)) == len(names)
    assert all(engines_of(f"{name} 1\n") == (engine,) for engine, name in names)
    assert all(metric.source.startswith("github.com/") and metric.versions for metric in ENGINE_METRICS)


@pytest.mark.parametrize(("said", "role"), [("unified", None), ("prefill", "prefill"), ("decode", "decode")])
def test_sglang_says_of_itself_whether_it_computes_prompts_or_generates(said: str, role: str | None) -> None:
    (row,) = read_engine(SGLANG.replace('engine_type="unified"', f'engine_type="{said}"'))
    assert row.engine_role == role


def test_an_address_that_says_two_roles_says_none() -> None:
    (row,) = read_engine(
        SGLANG.replace('engine_type="unified"', 'engine_type="prefill"', 1).replace("unified", "decode")
    )
    assert row.engine_role is None
