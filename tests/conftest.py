"""What several test files share: the demo company, generated, landed and built once for all workers."""

import fcntl
import os
import pickle
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.demo import Truth

# The gate runs the same examples every time and never judges by the clock; each round of `make soak` draws its own. No
# test says `derandomize` itself: it would be given the same examples there too, whatever the seed; nor is it left to
# Hypothesis, whose own default derandomizes wherever CI is set.
settings.register_profile("check", deadline=None, derandomize=True, database=None)
settings.register_profile("soak", deadline=None, derandomize=False, max_examples=200, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "check"))

# Started in the background of a script, a suite is born with Ctrl-C ignored. Dagster has TERM do what Ctrl-C does: TERM
# is then ignored too, and by every process that a test starts and means to end.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Two workers are done together where what takes longest is begun first; the wheel while the other builds the demo.
_BEGUN_FIRST = (
    "test_demo_against_oracle",
    "test_wheel",
    "test_explain",
    "test_commands",
    "test_processes",
    "test_processes_on_s3",
    "test_gpu_laws",
    "test_demo_in_euros",
    "test_builds",
    "test_daily_job",
    "test_api_costs",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: number for number, name in enumerate(_BEGUN_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo as `breakeven demo` leaves it. Shared between workers: read it, or copy it first."""
    from pipeline.cli.run import bring_up_to_date
    from pipeline.demo import AS_OF, generate
    from pipeline.landing.project import Project

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-demo"
    shared.mkdir(exist_ok=True)
    folder = shared / "demo"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "built").exists():
            truth = generate(folder)
            (shared / "truth.pickle").write_bytes(pickle.dumps(truth))
            bring_up_to_date(Project(folder), now=AS_OF, days=2)
            (shared / "built").touch()
    return folder


@pytest.fixture(scope="session")
def demo_truth(demo_folder: Path) -> Truth:
    """What the generator knows to be true of the demo."""
    truth: Truth = pickle.loads((demo_folder.parent / "truth.pickle").read_bytes())
    return truth
