"""How each serving engine begins the names that it prints: enough to know one by, without the table of what is read."""

from __future__ import annotations

# How the names of an engine begin. Triton's come last: its vLLM backend prints those of vLLM beside its own.
_PREFIXES = {
    "vllm": "vllm:",
    "sglang": "sglang:",
    "tgi": "tgi_",
    "trtllm": "trtllm_",
    "llamacpp": "llamacpp:",
    "triton": "nv_inference_",
}


def engines_of(text: str) -> tuple[str, ...]:
    """Which engines an exposition names at the start of a line, Triton last. No line is parsed."""
    return tuple(engine for engine, prefix in _PREFIXES.items() if text.startswith(prefix) or f"\n{prefix}" in text)
