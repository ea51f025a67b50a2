from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.telemetry.stub import Reads, Stub, compiled

ReadsOf = Callable[..., Reads]


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def stub(nvml_library: Path, tmp_path: Path) -> Stub:
    return Stub(tmp_path, nvml_library)


@pytest.fixture
def reads_of() -> Iterator[ReadsOf]:
    started: list[Reads] = []

    def start(stub: Stub) -> Reads:
        started.append(Reads(stub))
        return started[-1]

    yield start
    for reads in started:
        reads.close()
