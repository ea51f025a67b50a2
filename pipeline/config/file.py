"""`breakeven.yaml` as a person edits it: read, checked, and what is wrong said with its key and its fix."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.rules import check_references
from pipeline.config.sources import BOTH_OF_AN_API
from pipeline.config.whole import Config, fields_of, section_of
from pipeline.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, instead of silently keeping the last."""


def _mapping_without_duplicates(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            line = key_node.start_mark.line + 1
            raise ConfigError(key=f"(line {line})", value="a list or a mapping", fix="A key is a single word.")
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise ConfigError(
                key=str(key),
                value="given twice",
                fix=f"Keep one of them (line {key_node.start_mark.line + 1}).",
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)


def load_config(path: Path) -> Config:
    """Read and check `breakeven.yaml`. Raises ConfigError naming the key, the value and the fix."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            key="(file)",
            value=str(path.name),
            fix="No such file here. Run in the project's folder or pass --project FOLDER.",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            key="(file)", value=f"not UTF-8 at byte {error.start}", fix="Save it as UTF-8 in your editor."
        ) from None
    return parse_config(text)


def parse_config(text: str) -> Config:
    """`breakeven.yaml` from its text."""
    try:
        raw = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(key=f"({where})", value=problem, fix="Mend the YAML there.") from None
    except ValueError as error:
        # What looks like a date or a number to YAML and is none.
        raise ConfigError(key="(file)", value=str(error), fix="Look for a date that no calendar has.") from None
    except RecursionError:
        raise ConfigError(key="(file)", value="nested too deep", fix="Look for a bracket that is not closed.") from None
    if not isinstance(raw, dict):
        raise ConfigError(
            key="(file)", value=type(raw).__name__, fix="It must be a mapping that starts with `company:`."
        )
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise _as_config_error(error, raw) from None
    config = _written_out(config)
    check_references(config)
    return config


def _written_out(config: Config) -> Config:
    """Every entry that stands for several as these; what is landed, and all that reads it, knows no short forms."""
    sources = tuple(
        source.model_copy(update={"source": name})
        for source in config.sources
        for name in BOTH_OF_AN_API.get(source.source, (source.source,))
    )
    return config.model_copy(update={"sources": sources})


def _as_config_error(error: ValidationError, raw: Mapping[str, Any]) -> ConfigError:
    # A key that does not exist is most often the one that is missing, misspelt: say that first.
    first = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    # Whoever pastes a key where its variable's name belongs must not find it in a log.
    value = "(not shown)" if key.endswith("_env") else first.get("input")
    if key.endswith("_env") and first["type"] == "string_pattern_mismatch":
        return ConfigError(key=key, value=value, fix="It must be the name of an environment variable, not its value.")
    if first["type"] == "extra_forbidden":
        return ConfigError(key=key, value=value, fix=f"No such key. {_known_keys(first['loc'], raw)}")
    if first["type"] == "missing":
        return ConfigError(key=key, value="missing", fix="It is required here.")
    return ConfigError(key=key, value=value, fix=f"{first['msg']}.")


def _known_keys(location: Sequence[int | str], raw: Mapping[str, Any]) -> str:
    """The keys that exist where an unknown one was met, nearest spelling first."""
    import difflib

    model: type[BaseModel] | None = Config
    for part in location[:-1]:
        if isinstance(part, int) or model is None:
            continue
        model = _section_named(model, part)
    if model is None:
        return "Remove it."
    known = [key for key, _ in fields_of(model)]
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."


def _section_named(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    return next((section_of(field) for key, field in fields_of(model) if key == name), None)
