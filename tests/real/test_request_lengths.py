"""A real hour of production requests as `measure` draws from it, and a real scrape's histograms."""

from pathlib import Path

import pytest

from pipeline.formats.histogram import read_request_lengths
from pipeline.measure.logs import read_requests
from pipeline.measure.requests import Lengths, Prompts
from pipeline.measure.spread import FromRows

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")


@pytest.mark.parametrize(
    ("name", "sums"), [("conv", (19_366, 22_361_870, 4_088_665)), ("code", (8_819, 18_059_974, 245_896))]
)
def test_a_real_trace_is_read_whole_and_drawn_at_its_mean(name: str, sums: tuple[int, int, int]) -> None:
    found = read_requests(DATA / f"traffic/azure_llm_2023/AzureLLMInferenceTrace_{name}.csv")
    assert (len(found.rows), *map(sum, zip(*found.rows, strict=True))) == sums
    assert len(found.at) == sums[0]
    mean = Lengths(prompt_tokens=round(sums[1] / sums[0]), shared_prompt_tokens=0, output_tokens=sums[2] // sums[0])
    prompts = Prompts(lengths=mean, tokens_per_word=1, seed=1, spread=FromRows(rows=found.rows))
    drawn = [prompts.lengths_of(number) for number in range(3_000)]
    assert sum(one.prompt_tokens for one in drawn) / 3_000 == pytest.approx(mean.prompt_tokens, rel=0.06)
    assert sum(one.output_tokens for one in drawn) / 3_000 == pytest.approx(mean.output_tokens, rel=0.1)


def test_a_real_scrape_has_histograms_of_both_lengths() -> None:
    body = (DATA / "telemetry/k8s_ai_conformance/kops_vllm.prom").read_text(encoding="utf-8")
    ((_, (prompt, output)),) = read_request_lengths(body if body.endswith("\n") else f"{body}\n").items()
    assert prompt.edges == output.edges == (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
    assert prompt.request_count == 0
