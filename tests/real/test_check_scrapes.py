"""`breakeven check` on a real vLLM answer, served at two moments: as it is, and with tokens put in."""

import json
import os
from pathlib import Path

import pytest

from pipeline.check.engine import observed
from pipeline.check.watching import saved_pair
from tests.check.calling import called
from tests.check.vllm_server import Answer, serving

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "telemetry" / "k8s_ai_conformance"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the folder {FOLDER}")

_LABELS = 'engine="0",model_name="Qwen/Qwen2.5-0.5B-Instruct"'


def later(body: str) -> str:
    """The same process after it served 1,000 prompt tokens, 250 of them cached, and 80 more."""
    for name, value in (("prompt_tokens", 1000), ("prompt_tokens_cached", 250), ("generation_tokens", 80)):
        series = f"vllm:{name}_total{{{_LABELS}}}"
        assert f"{series} 0.0\n" in body
        body = body.replace(f"{series} 0.0\n", f"{series} {value}.0\n")
    return body


def check(folder: Path, *arguments: str) -> dict[str, object]:
    done = called("check", *arguments, "--format", "json", folder=folder)
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def test_a_real_engine_without_traffic_has_a_cost_and_no_unit_cost(tmp_path) -> None:
    """B14: undefined, never 0."""
    body = (FOLDER / "kops_vllm.prom").read_bytes()
    with serving(lambda _: Answer(body)) as url:
        said = check(tmp_path, "--vllm", url, "--gpu-hour", "2.69", "--window", "1s")
    assert said["models"] == ["Qwen/Qwen2.5-0.5B-Instruct"]
    for window in said["windows"]:  # type: ignore[attr-defined]
        assert window["tokens"] == {"input_uncached": 0, "input_cache_read": 0, "output": 0, "all": 0}
        assert (window["full_per_mtok"], window["marginal_per_mtok"]) == (None, None)
        assert window["gpu_milliseconds"] == window["milliseconds"] >= 1_000
        assert float(window["cost"]) == pytest.approx(2.69 * window["gpu_milliseconds"] / 3_600_000, rel=1e-6)
    assert said["apis"]["bills"] == []  # type: ignore[index]


def test_a_real_engine_s_answer_of_two_moments_is_counted_by_class(tmp_path) -> None:
    body = (FOLDER / "kops_vllm.prom").read_text()
    with serving(lambda number: Answer.of(later(body) if number else body)) as url:
        said = check(tmp_path, "--vllm", url, "--gpu-hour", "2.69", "--gpus", "1", "--window", "2s")
    window = said["windows"][0]  # type: ignore[index]
    assert window["tokens"] == {"input_uncached": 750, "input_cache_read": 250, "output": 80, "all": 1080}
    assert 0 < window["serving_milliseconds"] < window["milliseconds"]
    assert float(window["marginal_per_mtok"]) == 0


def test_a_saved_pair_of_real_answers_says_the_same(tmp_path) -> None:
    body = (FOLDER / "kops_vllm.prom").read_text()
    for name, text, moment in (("before", body, 1_774_011_500), ("after", later(body), 1_774_011_560)):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (moment, moment))
    window = observed(saved_pair(tmp_path / "before", tmp_path / "after", seconds=None).readings)
    assert (window.milliseconds, window.tokens.total, window.tokens.cache_read) == (60_000, 1080, 250)


@pytest.mark.parametrize("name", ["ericsson_dcgm.prom", "vks_vgpu_dcgm.prom"])
def test_the_exporter_of_gpus_is_no_engine(name: str, tmp_path) -> None:
    paths = [str(FOLDER / name)] * 2
    done = called("check", "--scrapes", *paths, "--seconds", "9", folder=tmp_path)
    assert done.returncode == 1
    assert "no series of a known engine" in done.stderr
