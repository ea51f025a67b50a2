"""Values with named fields, as frozen dataclasses are, for processes that pay for what they import.

`dataclasses` brings `inspect`, `ast`, `dis` and `tokenize`: 1 MB of each process of an agent, which has two. `typing`
is 0.3 MB more, so that what only a type checker reads is imported for it alone, here and in what the agent imports.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it, which read the name for true
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda kind: kind


@dataclass_transform(frozen_default=True)
class Frozen:
    """What is annotated in a subclass is a field, with its default where it has one; `kw_only`: told by name alone.

    Equal where class and fields are. TypeError for a field that is missing, unknown or told twice.
    """

    _names: ClassVar[tuple[str, ...]] = ()
    _is_by_name: ClassVar[bool] = False

    def __init_subclass__(cls, *, kw_only: bool = False) -> None:
        cls._names = (*cls._names, *cls.__annotations__)
        cls._is_by_name = kw_only

    def __init__(self, *given: Any, **named: Any) -> None:
        names = type(self)._names
        if len(given) > (0 if self._is_by_name else len(names)):
            raise TypeError(f"{type(self).__name__}: {len(given)} values are told without their names")
        told = dict(zip(names, given, strict=False))
        wrong = [name for name in named if name in told or name not in names]
        lacking = [name for name in names if name not in told and name not in named and not hasattr(type(self), name)]
        if wrong or lacking:
            raise TypeError(f"{type(self).__name__}: {wrong} are told twice or unknown, {lacking} are missing")
        told.update(named)
        self.__dict__.update({name: told[name] if name in told else getattr(type(self), name) for name in names})

    def __setattr__(self, name: str, _: object) -> None:
        raise AttributeError(f"{name}: a {type(self).__name__} does not change; make another one with `but`")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({said})"

    def but(self, **changed: Any) -> Self:
        """Another one, in which these fields differ."""
        return type(self)(**{**self.__dict__, **changed})


def fields_of(value: Frozen) -> dict[str, Any]:
    """Field -> value, in the order in which the class names them."""
    return dict(value.__dict__)
