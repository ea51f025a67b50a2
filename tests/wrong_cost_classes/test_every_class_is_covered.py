"""Every class of wrong bill that this release can produce has a test that says so."""

from pathlib import Path

import pytest

from tests.wrong_cost_classes import CLASSES, NOT_TOUCHED, coverage
from tests.wrong_cost_classes.__main__ import main


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in NOT_TOUCHED])
def test_a_class_that_this_release_touches_has_a_test(name: str) -> None:
    assert coverage()[name] != [], f"{name}: {CLASSES[name]}. Name it in the docstring of the test that covers it."


def test_there_are_thirty_classes() -> None:
    assert list(CLASSES) == [f"B{number}" for number in range(1, 31)]


def test_only_docstrings_of_tests_count(tmp_path: Path) -> None:
    """An id in a helper, in a comment or in a longer word names no class."""
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_some.py").write_text(
        "def test_one():\n    'B7, and B12: two.'\n"
        "def helper():\n    'B3'\n"
        "def test_two():\n    'AB4, B31, B300, B0'\n    x = 'B5'  # B6\n"
    )
    found = {name: tests for name, tests in coverage(folder).items() if tests}
    assert found == {"B7": ["tests/test_some.py::test_one"], "B12": ["tests/test_some.py::test_one"]}


def test_the_command_lists_a_class_with_its_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["B9"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("B9  the same delivery twice")
    assert "tests/landing/test_current.py::" in said
    assert main(["B99"]) == 2
    assert "There are B1 to B30" in capsys.readouterr().err
