"""Who owns what: rules, the tags they read, and past names."""

from collections.abc import Iterator

import polars as pl

from pipeline.build.config_tables.columns import VALID
from pipeline.build.config_tables.table import ConfigTable, Row, days_of
from pipeline.config.ownership import Ownership
from pipeline.config.whole import Config
from pipeline.landing.records import canonical
from pipeline.ownership import ATTRIBUTES, FIELDS


def matched(said: Ownership) -> Row:
    """What a rule matches: its identity."""
    tags = canonical(said.match.tags).decode() if said.match.tags else None
    return {**dict.fromkeys(FIELDS), **said.match.fields, "tags": tags}


def _ownership(config: Config) -> Iterator[Row]:
    for said in config.ownership:
        yield {**matched(said), **{name: getattr(said, name) for name in ATTRIBUTES}, **days_of(said)}


def _ownership_tags(config: Config) -> Iterator[Row]:
    for key in sorted({key for said in config.ownership for key in said.match.tags}):
        yield {"tag_key": key}


def _owner_aliases(config: Config) -> Iterator[Row]:
    for alias in config.owner_aliases:
        for attribute in ATTRIBUTES:
            if (now := getattr(alias, attribute)) is not None:
                yield from ({"attribute": attribute, "past_name": was, "present_name": now} for was in alias.was)


OWNERSHIP = ConfigTable(
    "config_ownership",
    _ownership,
    {
        **dict.fromkeys(FIELDS, pl.String()),
        "tags": pl.String(),
        **dict.fromkeys(ATTRIBUTES, pl.String()),
        **VALID,
    },
    owner=(*FIELDS, "tags"),
)

OWNERSHIP_TAGS = ConfigTable("config_ownership_tags", _ownership_tags, {"tag_key": pl.String(), **VALID})

OWNER_ALIASES = ConfigTable(
    "config_owner_aliases",
    _owner_aliases,
    {"attribute": pl.String(), "past_name": pl.String(), "present_name": pl.String(), **VALID},
)

TABLES = (OWNERSHIP, OWNERSHIP_TAGS, OWNER_ALIASES)
