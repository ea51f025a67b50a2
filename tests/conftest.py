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


# Two workers are done together where what takes longest is begun first. While one makes the demo, the other one does
# what needs none.
_BEGUN_FIRST = (
    "test_demo_against_oracle",
    "test_processes",
    "test_processes_on_s3",
    "test_gpu_laws",
    "test_builds",
    "test_openai_costs",
    "test_api_costs",
    "test_daily_job",
    "test_explain",
    "test_commands",
    "test_demo_in_euros",
    "test_sessions",
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
def demo_folder(tmp_path_factory: pytest.TempPathFactory, wheel_environment: Path) -> Path:
    """The demo as `breakeven demo` of the installed wheel leaves it, outside of any checkout; what it printed lies
    beside it. Shared between workers: read it, or copy it first.
    """
    with _shared(tmp_path_factory, "demo") as (shared, is_made):
        if not is_made:
            command = [str(wheel_environment / "bin" / "breakeven"), "demo"]
            done = subprocess.run(command, cwd=shared, capture_output=True, text=True, timeout=280, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            (shared / "printed").write_text(done.stdout)
    return shared / "demo"


@pytest.fixture(scope="session")
def generated_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """The demo's files as they are generated, and what is true of them. Read them, or copy them first."""
    from pipeline.demo import generate

    with _shared(tmp_path_factory, "truth") as (shared, is_made):
        if not is_made:
            (shared / "truth.pickle").write_bytes(pickle.dumps(generate(shared / "demo")))
        truth: Truth = pickle.loads((shared / "truth.pickle").read_bytes())
    return shared / "demo", truth


@pytest.fixture(scope="session")
def demo_truth(generated_demo: tuple[Path, Truth]) -> Truth:
    """Of the built demo too: whoever generates it writes the same bytes, tests/demo."""
    return generated_demo[1]


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
