"""Every worked example of a bill has a test with its figures."""

from pathlib import Path

import pytest

from tests.numbered_cases import CASES, shown
from tests.numbered_cases.__main__ import main


@pytest.mark.parametrize("number", CASES)
def test_an_example_has_a_test(number: int) -> None:
    assert shown()[number] != [], f"{number}: {CASES[number]}. Say so in the docstring of the test that shows it."


def test_there_are_thirty_and_no_test_names_another() -> None:
    assert list(CASES) == list(range(1, 31))
    assert set(shown()) == set(CASES)


def test_only_docstrings_of_tests_count(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_some.py").write_text(
        "def test_one():\n    'Case 7, and Case 12.'\n"
        "def helper():\n    'Case 3'\n"
        "def test_two():\n    'case 4, Case 0, Case 100, Showcase 5'\n    x = 'Case 6'\n"
    )
    found = {number: tests for number, tests in shown(folder).items() if tests}
    assert found == {7: ["tests/test_some.py::test_one"], 12: ["tests/test_some.py::test_one"]}


def test_the_command_lists_an_example_with_its_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["7"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(" 7  one export, two invoices")
    assert "tests/models/test_numbered_cases.py::" in said
    assert main(["31"]) == 2
    assert "There are 1 to 30" in capsys.readouterr().err
