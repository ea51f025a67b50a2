"""Values with named fields do what a frozen dataclass does, and import nothing for it."""

from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.formats.frozen import Frozen, fields_of


class Ours(Frozen):
    kind = "no field"
    first: int
    second: int | None = None
    third: str = "c"


@dataclass(frozen=True)
class Theirs:
    first: int
    second: int | None = None
    third: str = "c"


class Named(Frozen, kw_only=True):
    first: int
    second: int = 2


given_values = st.lists(st.integers(0, 1) | st.none(), max_size=4)
named_values = st.dictionaries(st.sampled_from(["first", "second", "third", "kind", "other"]), st.integers(0, 1))


def made(kind: type, values: list[Any], named: dict[str, Any]) -> Any:
    try:
        return kind(*values, **named)
    except TypeError:
        return None


@given(given_values, named_values, given_values, named_values)
def test_it_takes_refuses_compares_and_hashes_what_a_dataclass_does(
    one: list[Any], named: dict[str, Any], other: list[Any], others_named: dict[str, Any]
) -> None:
    ours, theirs = made(Ours, one, named), made(Theirs, one, named)
    assert (ours is None) == (theirs is None)
    if ours is None:
        return
    assert fields_of(ours) == {field.name: getattr(theirs, field.name) for field in fields(Theirs)}
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert fields_of(ours.but(second=7)) == vars(replace(theirs, second=7))
    second, theirs_second = made(Ours, other, others_named), made(Theirs, other, others_named)
    assert (ours == second) == (theirs == theirs_second)
    assert ours != second or hash(ours) == hash(second)


def test_it_does_not_change_and_by_name_means_by_name() -> None:
    value = Named(first=1)
    with pytest.raises(AttributeError, match="make another one"):
        value.first = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del value.second
    with pytest.raises(TypeError, match="without their names"):
        Named(1)  # type: ignore[call-arg]
    assert value.but(second=3) == Named(first=1, second=3)
    assert value != Named(first=1, second=3)
