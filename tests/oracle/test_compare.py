"""The comparison of the two routes sees what it must see."""

import ast
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.oracle.compare import agrees, differences
from tests.oracle.money import QUANTA, quanta, split

GRAIN = ("day", "key")
EXPECTED: dict[tuple[Any, ...], dict[str, Any]] = {
    ("1", None): {"cost": Fraction(1, 3) + Fraction(1, 6), "tokens": 7},
    ("2", "a"): {"cost": None, "tokens": 0},
}
PUBLISHED: list[dict[str, Any]] = [
    {"day": "1", "key": None, "cost": Decimal("0.5"), "tokens": 7},
    {"day": "2", "key": "a", "cost": None, "tokens": 0},
]


def test_equal_tables_have_no_differences() -> None:
    assert differences(published=PUBLISHED, expected=EXPECTED, grain=GRAIN) == []


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("cost", Decimal("0.500000000000000001"), "1 - cost: published"),
        ("cost", None, "1 - cost: published None"),
        ("tokens", 8, "1 - tokens: published 8, expected 7"),
        ("key", "a", "published, not expected: 1 a"),
    ],
)
def test_one_wrong_value_is_named(column: str, value: Any, said: str) -> None:
    published = [{**PUBLISHED[0], column: value}, PUBLISHED[1]]
    assert said in "\n".join(differences(published=published, expected=EXPECTED, grain=GRAIN))


def test_a_missing_row_and_a_doubled_row_are_named() -> None:
    found = differences(published=[PUBLISHED[0], PUBLISHED[0]], expected=EXPECTED, grain=GRAIN)
    assert found == ["published twice: 1 -", "expected, not published: 2 a"]


def test_unknown_is_not_zero() -> None:
    assert not agrees(None, Fraction(0))
    assert not agrees(0.0, None)


def test_only_floats_and_derived_figures_may_be_rounded() -> None:
    third = Fraction(1, 3)
    assert agrees(1 / 3, third)
    assert not agrees(0.3333333333, third)
    assert not agrees(Decimal("0.333333333333333333"), third)
    assert agrees(Decimal("0.333333333333333333"), third, is_derived=True)


def test_a_split_keeps_every_quantum_and_the_first_of_equals_takes_the_odd_one() -> None:
    assert split(-quanta("0.01"), {"a": 1, "b": 1, "c": 1}) == {
        "a": -3333333333333334,
        "b": -3333333333333333,
        "c": -3333333333333333,
    }
    assert sum(split(10 * QUANTA, {"a": 7, "b": 11, "c": 0}).values()) == 10 * QUANTA


def test_the_second_route_is_plain_python_and_imports_nothing_of_the_pipeline() -> None:
    modules = [path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")]
    assert len(modules) > 5
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                is_ours = name.startswith("tests.oracle.") or name == "tests.oracle"
                assert is_ours or name.split(".")[0] in sys.stdlib_module_names, f"{module.name} imports {name}"
