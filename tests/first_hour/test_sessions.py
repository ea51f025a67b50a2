"""The kinds of first hour, to the letter. `python -m tests.first_hour.sessions` records them anew."""

from pathlib import Path

import pytest

from tests.first_hour.sessions import FOLDER, KEPT, SESSIONS


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first-hour-cache")


@pytest.mark.parametrize("name", SESSIONS)
def test_a_first_hour_prints_what_was_recorded(name: str, cache: Path) -> None:
    assert SESSIONS[name](cache) == (FOLDER / name).read_text(encoding="utf-8")


def test_every_recording_is_of_a_session_and_says_what_comes_next_in_one_line() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(SESSIONS)
    for path in FOLDER.iterdir():
        told = path.read_text(encoding="utf-8").split("$ breakeven run")[1].split("$ ")[0]
        lines = [line for line in told.splitlines() if line.startswith("Next: ")]
        # Where each input that a figure wants is there, nothing is next.
        assert len(lines) == (path.name != "prometheus_and_bill.txt"), path.name


def test_the_first_verdict_is_of_what_a_prometheus_has_kept_and_waits_for_nothing() -> None:
    """The very first run lands the whole retention; a replica count is decided on it at once."""
    told = (FOLDER / "prometheus_and_bill.txt").read_text(encoding="utf-8")
    run, verdict = told.split("$ breakeven run")[1].split("$ breakeven verdict")
    assert f"landed prometheus/fleet: {3 * (KEPT.days + 1)} deliveries" in run
    (support,) = [line for line in verdict.splitlines() if line.startswith("│ 2026-11-04 │ support")]
    cells = [cell.strip() for cell in support.strip("│").split("│")]
    assert (cells[2], cells[-1]) == ("decided", "1")
