"""The kinds of first hour, to the letter, with a wheel that is installed in an empty folder.

`python -m tests.first_hour.sessions` records them anew.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.first_hour.sessions import FOLDER, KEPT, SESSIONS

ROOT = Path(__file__).parent.parent.parent
# Where the package and the program are that sessions were recorded with.
_RECORDS = """
import sys
from pathlib import Path
import pipeline
from tests.first_hour.sessions import installed, record
record(Path(sys.argv[1]))
print(pipeline.__file__, installed())
"""


@dataclass(frozen=True)
class Recorded:
    folder: Path
    package: Path
    program: Path


@pytest.fixture(scope="module")
def recorded(wheel_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Every session, typed into the wheel's own `breakeven`, in a process that sees nothing else of the checkout than
    its tests."""
    folder = tmp_path_factory.mktemp("first-hours")
    (folder / "empty").mkdir()
    (folder / "importable").mkdir()
    (folder / "importable" / "tests").symlink_to(ROOT / "tests", target_is_directory=True)
    done = subprocess.run(
        [str(wheel_environment / "bin" / "python"), "-P", "-c", _RECORDS, str(folder / "said")],
        cwd=folder / "empty",
        env={**os.environ, "PYTHONPATH": str(folder / "importable")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not list((folder / "empty").iterdir())
    package, program = done.stdout.splitlines()[-1].split()
    return Recorded(folder / "said", Path(package), Path(program))


@pytest.mark.parametrize("name", SESSIONS)
def test_a_first_hour_with_the_installed_wheel_prints_what_was_recorded(name: str, recorded: Recorded) -> None:
    said = (recorded.folder / name).read_text(encoding="utf-8")
    assert said == (FOLDER / name).read_text(encoding="utf-8")


def test_what_is_typed_in_a_first_hour_is_the_wheels_own_program(recorded: Recorded, wheel_environment: Path) -> None:
    """Not the checkout's, which lies in no folder that the process looks for imports in."""
    assert recorded.program == wheel_environment / "bin" / "breakeven"
    assert recorded.package.is_relative_to(wheel_environment)
    assert recorded.program.read_text(encoding="utf-8").startswith(f"#!{wheel_environment}/bin/python")


def test_every_recording_is_of_a_session_and_says_what_comes_next_in_one_line() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(SESSIONS)
    for path in FOLDER.iterdir():
        told = path.read_text(encoding="utf-8").split("$ breakeven run")[1].split("$ ")[0]
        lines = [line for line in told.splitlines() if line.startswith("Next: ")]
        # Where each input that a figure wants is there, nothing is next.
        assert len(lines) == (path.name != "prometheus_and_bill.txt"), path.name


def test_the_first_verdict_is_of_what_a_prometheus_has_kept_and_waits_for_the_bill_alone() -> None:
    """The very first run lands the whole retention; a replica count is decided on it at once, up to the API's last
    settled day.
    """
    told = (FOLDER / "prometheus_and_bill.txt").read_text(encoding="utf-8")
    run, verdict = told.split("$ breakeven run")[1].split("$ breakeven verdict")
    assert f"landed prometheus/fleet: {3 * (KEPT.days + 1)} deliveries" in run
    (support,) = [line for line in verdict.splitlines() if line.startswith("│ 2026-11-03 │ support")]
    cells = [cell.strip() for cell in support.strip("│").split("│")]
    assert (cells[2], cells[-1]) == ("decided", "1")
