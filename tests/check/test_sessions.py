"""What a newcomer sees, to the letter. `python -m tests.check.sessions` records it anew."""

import pytest

from tests.check.sessions import FOLDER, SESSIONS


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_prints_what_was_recorded(name: str) -> None:
    assert SESSIONS[name]() == (FOLDER / name).read_text(encoding="utf-8")


def test_every_recording_is_of_a_session() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(SESSIONS)
