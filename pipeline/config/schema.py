"""The JSON Schema of `breakeven.yaml`, for editors: made from the model that validates the file, so it says the same.

What one entry must not say beside another (a name declared twice, a deployment that does not exist) no schema can say:
`breakeven doctor` does, and every other command.
"""

from collections.abc import Iterable
from typing import Any

from pipeline.config.sources import BOTH_OF_AN_API, SourceConfig
from pipeline.config.whole import Config

SCHEMA_FILE = ".breakeven.schema.json"
# As editors with the YAML language server read it; the path is relative to the file, so nothing is fetched.
SCHEMA_COMMENT = f"# yaml-language-server: $schema={SCHEMA_FILE}"

# What pydantic says of a decimal beside JSON Schema's own words, and those words.
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_NOT_SCHEMA = ("title", "max_digits", "decimal_places", *_BOUNDS)


def config_schema(sources: Iterable[str]) -> dict[str, Any]:
    """`sources`: the names that `source:` may have."""
    said = _tidied(Config.model_json_schema(by_alias=True))
    said["$defs"][SourceConfig.__name__]["properties"]["source"]["enum"] = sorted({*sources, *BOTH_OF_AN_API})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "breakeven.yaml",
        **said,
    }


def _tidied(said: Any) -> Any:
    """Without pydantic's own words; a bound of a decimal stands with the number that it bounds."""
    if isinstance(said, list):
        return [_tidied(one) for one in said]
    if not isinstance(said, dict):
        return said
    # A field may be called `title`: what stands below `properties` are names, not words of the schema.
    tidied = {
        key: {name: _tidied(one) for name, one in value.items()} if key in ("properties", "$defs") else _tidied(value)
        for key, value in said.items()
        if key not in _NOT_SCHEMA
    }
    bounds = {_BOUNDS[key]: said[key] for key in _BOUNDS if key in said}
    if bounds and "anyOf" in tidied:
        tidied["anyOf"] = [{**one, **bounds} if one.get("type") == "number" else one for one in tidied["anyOf"]]
    return tidied
