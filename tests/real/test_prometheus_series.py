"""Genuine scrapes of vLLM and dcgm-exporter, as a Prometheus would keep them: read as the agent reads them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.formats.exposition import parse_exposition, read_dcgm, read_vllm
from tests.sources.prometheus_api import ms
from tests.sources.prometheus_fleet import Series, landed

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "telemetry" / "k8s_ai_conformance"
AT = datetime(2026, 11, 14, 12, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the folder {FOLDER}")


def _body(name: str) -> str:
    text = (FOLDER / name).read_text()
    return text if text.endswith("\n") else f"{text}\n"


def _kept(body: str, **target: str) -> Series:
    """Every series of a scrape, scraped once a minute for ten minutes without a change."""
    return [
        (
            {"__name__": sample.series.name, **dict(sample.series.labels), **target},
            [(ms(AT) + minute * 60_000, sample.text) for minute in range(10)],
        )
        for sample in parse_exposition(body).samples
    ]


def _read(series: Series, table: str) -> list[dict[str, Any]]:
    frames = landed(series, start=AT, stop=AT + timedelta(minutes=10), window=timedelta(minutes=10))
    last = max(frames[table]["at"])
    return [row for row in frames[table].to_dicts() if row["at"] == last]


def test_a_vllm_scrape_says_the_same_through_prometheus() -> None:
    body = _body("kops_vllm.prom")
    (own,) = read_vllm(body)
    (kept,) = _read(_kept(body, job="vllm", instance="10.0.0.5:8000"), "engine_samples")
    same = (
        "model_name", "prompt_tokens", "prompt_tokens_cached", "generation_tokens", "requests_success",
        "requests_running", "requests_waiting", "process_started_at",
    )  # fmt: skip
    assert {name: kept[name] for name in same} == {name: getattr(own, name) for name in same}
    assert (kept["engine"], kept["interval_ms"]) == (own.engine_rank, 60_000)


@pytest.mark.parametrize("vendor", ["rafay", "upcloud", "ericsson", "vks_vgpu"])
def test_a_dcgm_scrape_says_the_same_through_prometheus(vendor: str) -> None:
    body = _body(f"{vendor}_dcgm.prom")
    own = {(row.gpu_uuid, row.gpu_instance_id): row for row in read_dcgm(body)}
    kept = _read(_kept(body, job="dcgm", instance="10.0.9.1:9400"), "gpu_samples")
    same = (
        "util_gpu_pct", "gr_engine_active_ppm", "sm_active_ppm", "memory_used_bytes", "power_milliwatts",
    )  # fmt: skip
    assert {(row["gpu_uuid"], row["gpu_instance_id"]): {name: row[name] for name in same} for row in kept} == {
        device: {name: getattr(row, name) for name in same} for device, row in own.items()
    }
    assert {row["hostname"] for row in kept} == {row.host for row in own.values()}
