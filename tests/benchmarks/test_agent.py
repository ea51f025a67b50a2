"""What is measured of the agent is the agent's: both its processes, while they sample."""

from pathlib import Path

from benchmarks.agent import GPUS, measured_agent


def test_an_agent_is_measured_with_its_sampler(tmp_path: Path) -> None:
    found = measured_agent(tmp_path, cadence_seconds=0.2, seconds=1, ticks=20)
    assert found["gpus"] == GPUS
    assert found["percent_of_one_core"] > 0
    assert found["cpu_milliseconds_of_one_sampling"] > 0
    own = found["resident_mb"] - found["of_which_library_mb"]
    assert 15 < own < 25
    assert own < found["resident_mb_where_no_byte_code_is_kept"] - found["of_which_library_mb"] < 32
