"""What several test files share, made once for all workers: the demo company, generated, landed and built; the wheel,
built and installed.
"""

import fcntl
import os
import pickle
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def _shared(factory: pytest.TempPathFactory, what: str) -> Iterator[tuple[Path, bool]]:
    """A folder of all workers, and whether one of them has made what belongs there; while it does, the others wait."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{what}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder, (folder / "built").exists()
        (folder / "built").touch()


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo as `breakeven demo` leaves it. Shared between workers: read it, or copy it first."""
    from pipeline.cli.run import bring_up_to_date
    from pipeline.demo import AS_OF, generate
    from pipeline.landing.project import Project

    with _shared(tmp_path_factory, "demo") as (shared, is_made):
        folder = shared / "demo"
        if not is_made:
            truth = generate(folder)
            (shared / "truth.pickle").write_bytes(pickle.dumps(truth))
            bring_up_to_date(Project(folder), now=AS_OF, days=2)
    return folder


@pytest.fixture(scope="session")
def demo_truth(demo_folder: Path) -> Truth:
    """What the generator knows to be true of the demo."""
    truth: Truth = pickle.loads((demo_folder.parent / "truth.pickle").read_bytes())
    return truth


@pytest.fixture(scope="session")
def wheel_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel installed in it; the wheel itself lies in `dist` beside it.

    Nothing is downloaded: the dependencies are those of this environment, seen through a path; the package itself is
    the wheel's, since a checkout installed in editable mode is reached by a `.pth` that such a path does not follow.
    """
    with _shared(tmp_path_factory, "wheel") as (shared, is_made):
        environment, dist = shared / "env", shared / "dist"
        if not is_made:
            for command in (
                [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)],
                [sys.executable, "-m", "venv", str(environment)],
            ):
                subprocess.run(command, cwd=Path(__file__).parent.parent, check=True, capture_output=True, timeout=120)
            (wheel,) = dist.glob("*.whl")
            install = [
                str(environment / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--no-index",
                "--no-deps",
                str(wheel),
            ]
            subprocess.run(install, check=True, capture_output=True, timeout=120)
            (site,) = (environment / "lib").glob("python3*/site-packages")
            (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return environment
