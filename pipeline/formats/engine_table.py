"""What each serving engine prints at its metrics address: the names that are read, of which release, and who says so.

No name is guessed: each has its source, and one that is not here is not read. What an engine does not tell is null.
"""

from dataclasses import dataclass
from typing import Literal

Figure = Literal[
    "prompt_tokens_delivered",
    "prompt_tokens_computed",
    "prompt_tokens_cached",
    "prompt_tokens_recomputed",
    "generation_tokens",
    "requests_success",
    "requests_running",
    "requests_waiting",
]


@dataclass(frozen=True, kw_only=True)
class EngineMetric:
    """One series name of one engine. `kind` is its declared TYPE; of a histogram its `_sum` is read.

    `delivered` prompt tokens are the prompts' length, cache hits included; `computed` ones are without them.
    `says`: a word that its HELP must hold, where the body has one: a name has changed its unit before.
    `versions`: in which releases the name was seen to mean this, in the engine's own source or in what it printed.
    """

    engine: str
    figure: Figure
    name: str
    kind: str
    versions: str
    source: str
    says: str | None = None

    @property
    def sample_name(self) -> str:
        return f"{self.name}_sum" if self.kind == "histogram" else self.name


_VLLM = "github.com/vllm-project/vllm vllm/v1/metrics/loggers.py"
_SGLANG = "github.com/sgl-project/sglang python/sglang/srt/observability/metrics_collector.py (srt/metrics/ before)"
_TGI = "github.com/huggingface/text-generation-inference router/src/validation.rs, router/src/server.rs"
_TRTLLM = "github.com/NVIDIA/TensorRT-LLM tensorrt_llm/metrics/collector.py"
_LLAMA = (
    "github.com/ggml-org/llama.cpp tools/server/server-context.cpp (pull request 5708; commit decaf508b, 2026-08-13)"
)
_TRITON = "github.com/triton-inference-server/server docs/user_guide/metrics.md"


def _of(
    engine: str, versions: str, source: str, *rows: tuple[Figure, str, str, str | None]
) -> tuple[EngineMetric, ...]:
    return tuple(
        EngineMetric(engine=engine, figure=figure, name=name, kind=kind, versions=versions, source=source, says=says)
        for figure, name, kind, says in rows
    )


ENGINE_METRICS: tuple[EngineMetric, ...] = (
    *_of(
        "vllm",
        "V0 and V1",
        _VLLM,
        ("prompt_tokens_delivered", "vllm:prompt_tokens_total", "counter", "token"),
        ("generation_tokens", "vllm:generation_tokens_total", "counter", "token"),
        ("requests_success", "vllm:request_success_total", "counter", None),
        ("requests_running", "vllm:num_requests_running", "gauge", None),
        ("requests_waiting", "vllm:num_requests_waiting", "gauge", None),
    ),
    *_of(
        "vllm",
        "V1, where printed",
        _VLLM,
        ("prompt_tokens_cached", "vllm:prompt_tokens_cached_total", "counter", "token"),
        ("prompt_tokens_cached", "vllm:prompt_tokens_by_source_total", "counter", "token"),
    ),
    # Its sources local_compute + local_cache_hit + external_kv_transfer are all prompts + these: of a prompt that was
    # found whole the last token is computed again, and stands in two of them (class PromptTokenStats).
    *_of(
        "vllm",
        "V1, where printed",
        "github.com/vllm-project/vllm vllm/v1/metrics/stats.py",
        ("prompt_tokens_recomputed", "vllm:prompt_tokens_recomputed_total", "counter", "token"),
    ),
    *_of(
        "sglang",
        "since pull request 1853 of November 2024; counted when a request ends",
        _SGLANG,
        ("prompt_tokens_delivered", "sglang:prompt_tokens_total", "counter", "token"),
        ("prompt_tokens_cached", "sglang:cached_tokens_total", "counter", "token"),
        ("generation_tokens", "sglang:generation_tokens_total", "counter", "token"),
        ("requests_success", "sglang:num_requests_total", "counter", None),
        ("requests_running", "sglang:num_running_reqs", "gauge", None),
        ("requests_waiting", "sglang:num_queue_reqs", "gauge", None),
    ),
    *_of(
        "tgi",
        "1 to 3; cache hits are not told; counted when a request is taken and when it ends",
        _TGI,
        ("prompt_tokens_delivered", "tgi_request_input_length", "histogram", None),
        ("generation_tokens", "tgi_request_generated_tokens", "histogram", "token"),
        ("requests_success", "tgi_request_success", "counter", None),
        ("requests_running", "tgi_batch_current_size", "gauge", None),
        ("requests_waiting", "tgi_queue_size", "gauge", None),
    ),
    *_of(
        "trtllm",
        "1.3 (seen in 1.3.0rc29), at /prometheus/metrics with return_perf_metrics; 1.2.1 has no token counters",
        _TRTLLM,
        ("prompt_tokens_delivered", "trtllm_prompt_tokens_total", "counter", "token"),
        ("prompt_tokens_cached", "trtllm_prompt_cached_tokens_total", "counter", "token"),
        ("generation_tokens", "trtllm_generation_tokens_total", "counter", "token"),
        ("requests_success", "trtllm_request_success_total", "counter", None),
        ("requests_running", "trtllm_num_requests_running", "gauge", None),
        ("requests_waiting", "trtllm_num_requests_waiting", "gauge", None),
    ),
    *_of(
        "llamacpp",
        "every build; from a million on printed with six digits",
        _LLAMA,
        ("prompt_tokens_computed", "llamacpp:prompt_tokens_total", "counter", "token"),
        ("generation_tokens", "llamacpp:tokens_predicted_total", "counter", "token"),
        ("requests_running", "llamacpp:requests_processing", "gauge", None),
        ("requests_waiting", "llamacpp:requests_deferred", "gauge", None),
    ),
    *_of(
        "llamacpp",
        "builds since 2026-08-13; before, cache hits are not told",
        _LLAMA,
        ("prompt_tokens_cached", "llamacpp:prompt_tokens_cached_total", "counter", "token"),
    ),
    *_of(
        "triton",
        "every release: requests alone, no tokens (its vLLM backend prints vllm:*, which are read)",
        _TRITON,
        ("requests_success", "nv_inference_request_success", "counter", None),
    ),
)
