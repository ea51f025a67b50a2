"""The recorded single-GPU vLLM runs, read from spool files: same work and utilization, three times the GPU time."""

import polars as pl
import pytest

from pipeline.sources.nvml_spool import parse
from tests.real.single_gpu_runs import FOLDER, STARTS, Run, load_run, spool_files

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the folder {FOLDER}")


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    return {name: load_run(name) for name in STARTS}


@pytest.fixture(scope="module")
def frames(runs: dict[str, Run]) -> dict[str, dict[str, pl.DataFrame]]:
    read = {name: [parse(content, {}) for _, content in spool_files(run)] for name, run in runs.items()}
    return {
        name: {table: pl.concat(part[table] for part in parts) for table in parts[0]} for name, parts in read.items()
    }


@pytest.mark.parametrize("name", list(STARTS))
def test_prompt_tokens_of_a_run_are_those_of_the_same_500_prompts(
    name: str, frames: dict[str, dict[str, pl.DataFrame]]
) -> None:
    """B16: the first scrape is the baseline; what counts is the growth after it."""
    scrapes = frames[name]["engine_scrapes"].sort("sequence_number")
    assert scrapes["scrape_error"].null_count() == scrapes.height
    assert scrapes["prompt_tokens"].diff().drop_nulls().min() >= 0  # type: ignore[operator]
    grown = scrapes["prompt_tokens"][-1] - scrapes["prompt_tokens"][0]
    assert 171_050 <= grown <= 171_235
    assert scrapes["generation_tokens"][-1] > 350_000
    assert scrapes["process_started_at"].n_unique() == 1


def test_the_same_work_took_about_three_times_the_gpu_time_at_nearly_the_same_utilization(
    frames: dict[str, dict[str, pl.DataFrame]],
) -> None:
    """B18: utilization ranks the run that costs three times as much per token as the busier one."""
    samples = {name: frames[name]["gpu_samples"] for name in STARTS}
    gpu_seconds = {name: rows["interval_ms"].sum() / 1000 for name, rows in samples.items()}
    assert gpu_seconds == {"scale100": pytest.approx(420.5, abs=0.1), "scale1000": pytest.approx(148.3, abs=0.1)}
    util = {name: rows["util_gpu_pct"].mean() for name, rows in samples.items()}
    assert util == {"scale100": pytest.approx(37.9, abs=0.05), "scale1000": pytest.approx(34.6, abs=0.05)}


@pytest.mark.parametrize("name", list(STARTS))
def test_a_runs_samples_leave_no_hole_and_lie_on_its_one_day(
    name: str, frames: dict[str, dict[str, pl.DataFrame]]
) -> None:
    """B19: the engine's silences are covered by samples, so they are idle and not unobserved."""
    samples = frames[name]["gpu_samples"].sort("sequence_number")
    starts = samples.select(pl.col("at") - pl.duration(milliseconds="interval_ms"))["at"]
    assert (starts[1:] == samples["at"][:-1]).all()
    assert starts[0] == STARTS[name].replace(tzinfo=None)
    for table in frames[name].values():
        assert table["usage_date"].unique().to_list() == [STARTS[name].date()]


def test_the_engines_longest_silence_is_scraped_as_running_nothing(frames: dict[str, dict[str, pl.DataFrame]]) -> None:
    scrapes = frames["scale100"]["engine_scrapes"].sort("sequence_number")
    # 61.5 s in the log between its clock 14592865.7 and 14592927.2, that is 207.8 s to 269.4 s after its first line.
    start = pl.lit(STARTS["scale100"].replace(tzinfo=None))
    silent = scrapes.filter(pl.col("at").is_between(start + pl.duration(seconds=208), start + pl.duration(seconds=269)))
    assert silent.height == 12
    assert silent["requests_running"].to_list() == [0] * 12
    assert silent["generation_tokens"].n_unique() == 1
