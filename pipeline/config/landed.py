"""A version of `breakeven.yaml` that was landed, as this release reads it."""

import functools
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from pipeline.config.ownership import OwnerMatch
from pipeline.config.rules import contradictions
from pipeline.config.whole import Config, fields_of, section_of
from pipeline.config.workloads import WorkloadMatch


@dataclass(frozen=True)
class LandedConfig:
    """A landed version as this release reads it.

    `config` is None where the version as a whole cannot be read. `left_out`: each entry that cannot, with its reason.
    """

    config: Config | None
    left_out: tuple[str, ...] = ()


def landed_config(said: object) -> LandedConfig:
    """A version of `breakeven.yaml` as any release landed it. Raises nothing: what was said stays readable for ever.

    Unknown keys are ignored and missing ones have their defaults. An entry of a list, or a section, is read whole or
    left out with its reason, since half of it would be another statement. Of two that contradict each other the first
    counts. A key that a release renames is unknown here: that release reads the old name too.
    """
    try:
        config = Config.model_validate(said)
    except ValidationError:
        return _leniently(said)
    return LandedConfig(config) if next(contradictions(config), None) is None else _leniently(said)


_Read = TypeVar("_Read", bound=BaseModel)
# Rules about how a text is spelled. An older release had others, and a name is only ever compared.
_SPELLING = frozenset({"string_pattern_mismatch", "string_too_short", "string_too_long"})
_SHOWN_CHARACTERS = 60


class _UnreadableError(Exception):
    """An entry that cannot be read, and why."""


def _leniently(said: object) -> LandedConfig:
    left_out: list[str] = []
    try:
        config = _entry(Config, {"company": "", **said} if isinstance(said, dict) else said, "", left_out)
    except _UnreadableError as error:
        return LandedConfig(None, (str(error),))
    problems = list(contradictions(config))
    left_out += [str(problem.error).removeprefix("breakeven.yaml: ") for problem in problems]
    return LandedConfig(_without(config, [problem.where for problem in problems]), tuple(left_out))


def _entry(model: type[_Read], said: object, where: str, left_out: list[str]) -> _Read:
    """A section, or an entry of a list. _UnreadableError where a value of its own cannot be read."""
    if not isinstance(said, Mapping):
        raise _UnreadableError(f"{where or 'what was landed'} is {_shortly(said, where)}, not a mapping")
    fields = dict(fields_of(model))
    unknown = [key for key in said if key not in fields and said[key] is not None]
    if model in (WorkloadMatch, OwnerMatch) and unknown:
        # Without the name that is unknown here the rule would match more than was said.
        raise _UnreadableError(f"{where}.{unknown[0]} is unknown to this release")
    values: dict[str, Any] = {}
    for key, field in fields.items():
        place = f"{where}.{key}" if where else key
        section = section_of(field)
        if key not in said and field.is_required():
            raise _UnreadableError(f"{place} is missing")
        if key not in said:
            continue
        try:
            if section is None:
                values[key] = _plain(_adapters(model)[key], said[key], place)
            else:
                values[key] = _sections(section, field, said[key], place, left_out)
        except _UnreadableError as error:
            if section is None or field.is_required():
                raise
            left_out.append(str(error))
    return model.model_construct(**values)


def _sections(section: type[BaseModel], field: FieldInfo, said: object, place: str, left_out: list[str]) -> Any:
    """What a field of sections holds: one, none, or a list of those that can be read."""
    if typing.get_origin(field.annotation) is not tuple:
        return None if said is None and field.default is None else _entry(section, said, place, left_out)
    if not isinstance(said, list):
        raise _UnreadableError(f"{place} is {_shortly(said, place)}, not a list")
    entries: list[BaseModel] = []
    for number, one in enumerate(said):
        try:
            entries.append(_entry(section, one, f"{place}.{number}", left_out))
        except _UnreadableError as error:
            left_out.append(str(error))
    return tuple(entries)


def _plain(adapter: TypeAdapter[Any], said: object, place: str) -> Any:
    try:
        return adapter.validate_python(said)
    except ValidationError as error:
        if isinstance(said, str) and _SPELLING.issuperset(found["type"] for found in error.errors()):
            return said
        why = error.errors(include_url=False)[0]["msg"]
        raise _UnreadableError(f"{place} is {_shortly(said, place)}: {why}") from None


@functools.cache
def _adapters(model: type[BaseModel]) -> Mapping[str, TypeAdapter[Any]]:
    """Key -> how its plain value is read by itself."""
    return {
        key: TypeAdapter(field.rebuild_annotation()) for key, field in fields_of(model) if section_of(field) is None
    }


def _shortly(said: object, place: str) -> str:
    """A value as a reason may repeat it: not what may be a secret, and not a page of it."""
    text = "(not shown)" if place.endswith("_env") else repr(said)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _without(config: Config, places: Sequence[tuple[str | int, ...]]) -> Config:
    """The configuration less the entries at these places, or less the rules of a workload where a place is one's."""
    gone = {place[:4] if place[2:3] == ("match",) else place[:2] for place in places}
    workloads = tuple(
        workload.model_copy(
            update={
                "match": tuple(
                    rule
                    for number, rule in enumerate(workload.match)
                    if ("workloads", index, "match", number) not in gone
                )
            }
        )
        for index, workload in enumerate(config.workloads)
        if ("workloads", index) not in gone
    )
    kept = {
        section: tuple(entry for index, entry in enumerate(getattr(config, section)) if (section, index) not in gone)
        for section in (
            "sources",
            "gpu_resources",
            "capacity_blocks",
            "deployments",
            "contracts",
            "models",
            "budgets",
            "per_use",
            "ownership",
        )
    }
    return config.model_copy(update={**kept, "workloads": workloads})
