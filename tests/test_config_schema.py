"""The JSON Schema that editors get says what the code says: no second truth."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli import group
from pipeline.config.file import load_config, parse_config
from pipeline.config.schema import config_schema
from pipeline.demo.settings import breakeven_yaml
from pipeline.errors import ConfigError
from pipeline.sources import SOURCES
from pipeline.sources.ingest import check_sources

SCHEMA = config_schema(source.name for source in SOURCES)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


class _AsEditorsRead(yaml.SafeLoader):
    """A date is text to JSON."""


_AsEditorsRead.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

DEMO: dict[str, Any] = yaml.load(breakeven_yaml(), Loader=_AsEditorsRead)


def fewer(said: Any) -> Any:
    """Of each list the entries that have a key which none before them has: as much to get wrong, in less time."""
    if isinstance(said, dict):
        return {key: fewer(value) for key, value in said.items()}
    if not isinstance(said, list):
        return said
    seen: set[str] = set()
    kept = []
    for one in said:
        keys = set(one) if isinstance(one, dict) else {str(one)}
        if not keys <= seen or not kept:
            kept.append(fewer(one))
        seen |= keys
    return kept


SMALL: dict[str, Any] = fewer(DEMO)
# What is left of them must still point at something.
SMALL["deployments"] = DEMO["deployments"]


def is_marked(said: Any) -> bool:
    """Whether an editor marks something."""
    return next(VALIDATOR.iter_errors(said), None) is not None


def is_refused(said: Any) -> bool:
    try:
        check_sources(parse_config(yaml.safe_dump(said)))
    except ConfigError:
        return True
    return False


def places(said: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of the file that the schema speaks of: `settings` are the source's own."""
    if path:
        yield path
    if path[-1:] == ("settings",):
        return
    children = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for key, value in children:
        yield from places(value, (*path, key))


PLACES = list(places(SMALL))
# One of each key, whichever entry it stands in.
KEYS = {tuple(part for part in path if isinstance(part, str)): path for path in PLACES if isinstance(path[-1], str)}


def at(said: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        said = said[key]
    return said


def test_the_demos_file_is_right_to_both() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert not is_marked(DEMO)
    assert not is_refused(DEMO)
    assert not is_refused(SMALL)
    assert is_marked({})
    assert is_refused({})


@pytest.mark.parametrize("path", KEYS.values(), ids=map(".".join, KEYS))
def test_a_key_that_is_misspelt_is_marked_and_refused(path: tuple[str | int, ...]) -> None:
    said = copy.deepcopy(SMALL)
    inside = at(said, path[:-1])
    inside[f"{path[-1]}s_"] = inside.pop(path[-1])
    assert is_marked(said)
    if len(path) == 1 or path[0] != "sources":
        assert is_refused(said)


OTHERS = st.sampled_from([None, -1, 0, 2.5, "", "x", "no such name!", [], {}, [1], {"a": 1}, "2026-13-01", "usd"])


@given(path=st.sampled_from(PLACES), value=OTHERS)
@settings(max_examples=60)
def test_what_the_code_takes_is_never_marked(path: tuple[str | int, ...], value: Any) -> None:
    """An editor that marks what is right would be switched off."""
    said = copy.deepcopy(SMALL)
    at(said, path[:-1])[path[-1]] = value
    if not is_refused(said):
        assert not is_marked(said)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sources", 0, "source"), "anthropic_cost_apis"),
        (("sources", 0, "role"), "books"),
        (("gpu_resources", 0, "contract_rate_per_gpu_hour"), -1),
        (("gpu_resources", 0, "currency"), "usd"),
        (("deployments", 0, "gpus_per_replica"), 0),
        (("deployments", 0, "capacity", "decode_tokens_per_second"), 0),
        (("workloads", 0, "pinned_to"), "cloud"),
        (("workloads", 0, "match"), []),
        (("slack", "token_env"), "xoxb-1-2"),
        (("overheads", 0, "monthly"), "a lot"),
    ],
)
def test_a_value_that_cannot_be_is_marked_and_refused(path: tuple[str | int, ...], value: Any) -> None:
    said = copy.deepcopy(SMALL)
    at(said, path[:-1])[path[-1]] = value
    assert is_refused(said)
    # A number spelled as text is checked by the code only.
    assert is_marked(said) or isinstance(value, str)


def test_the_command_prints_it_and_writes_it_where_the_first_line_says(tmp_path: Path) -> None:
    runner = CliRunner()
    assert json.loads(runner.invoke(group, ["config", "schema"]).stdout) == SCHEMA
    file = tmp_path / ".breakeven.schema.json"
    done = runner.invoke(group, ["config", "schema", "--output", str(file)])
    assert json.loads(file.read_text()) == SCHEMA
    line = done.stderr.split("not there: ")[1].strip()
    (tmp_path / "breakeven.yaml").write_text(f"{line}\ncompany: acme\n")
    assert load_config(tmp_path / "breakeven.yaml").company == "acme"
    assert (tmp_path / line.partition("$schema=")[2]) == file
