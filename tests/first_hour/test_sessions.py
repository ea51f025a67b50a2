"""The six kinds of first hour, to the letter. `python -m tests.first_hour.sessions` records them anew."""

from pathlib import Path

import pytest

from tests.first_hour.sessions import FOLDER, SESSIONS


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
        assert sum(line.startswith("Next: ") for line in told.splitlines()) == 1, path.name
