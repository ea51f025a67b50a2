"""kill -9 of agents and shippers at random moments: a few here, hundreds in `pytest -m soak` and `make soak`."""

from pathlib import Path

import pytest

from benchmarks.agent_kills import kill_agents
from tests.moto_s3 import s3_server
from tests.telemetry.stub import Stub


def test_agents_and_shippers_killed_at_random_lose_and_double_nothing(stub: Stub, tmp_path: Path) -> None:
    with s3_server() as server:
        found = kill_agents(tmp_path, stub, server, kills=2, seed=11)
    assert (found["agents"], found["shippers"]) == (2, 2)
    assert found["records"] > 10


@pytest.mark.soak
def test_two_hundred_agents_and_shippers_killed_at_random_lose_and_double_nothing(stub: Stub, tmp_path: Path) -> None:
    with s3_server() as server:
        found = kill_agents(tmp_path, stub, server, kills=200, seed=1)
    assert found["cut_lines"] > 0
