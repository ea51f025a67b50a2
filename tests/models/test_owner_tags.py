"""Tags that own: of the keys that rules name, as bills say them; what says two things of a day says none."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.models.gpu_harness import DAY, Row, build_tables, rows_of

TABLE = "int_owner_tags_daily"
NEXT = DAY + timedelta(days=1)
KEYS = [{"tag_key": key, "valid_from_date": None, "valid_to_date": None} for key in ("team", "user:cost")]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("owner-tags")


def aws(resource: str, tags: str | None, **said: Any) -> Row:
    return {
        "source": "aws_cur2", "account": "aws", "bucket": "m", "usage_date": DAY, "line_item_resource_id": resource,
        "line_item_unblended_cost": None, "resource_tags": tags, **said,
    }  # fmt: skip


def focus(resource: str, tags: str | None, **said: Any) -> Row:
    return {"source": "focus", "account": "azure", "bucket": "m", "usage_date": DAY, "resource_id": resource,
            "billed_cost": None, "tags": tags, **said}  # fmt: skip


def tagged(cache: Path, *lines: Row, keys: list[Mapping[str, Any]] | None = None) -> set[tuple[Any, ...]]:
    built = build_tables(
        cache,
        {
            "config_ownership_tags": [dict(key) for key in (KEYS if keys is None else keys)],
            "landed_aws_cur2__lines": [dict(row) for row in lines if "resource_tags" in row],
            "landed_focus__charges": [dict(row) for row in lines if "tags" in row],
        },
        (TABLE,),
    )
    return {tuple(row.values()) for row in rows_of(built, TABLE)}


def test_keys_that_rules_name_have_their_one_value_of_a_day(cache: Path) -> None:
    found = tagged(
        cache,
        aws("i-1", '{"team": "search", "other": "x", "user:cost": null}'),
        aws("i-1", '{"team": "search"}'),
        # Given to another in the middle of the day, and on the next day to that one alone.
        aws("i-2", '{"team": "a"}'),
        aws("i-2", '{"team": "b"}'),
        aws("i-2", '{"team": "b"}', usage_date=NEXT),
        focus("vm-1", '{"team": "chat", "user:cost": "CC-1"}'),
        focus("vm-2", '{"team": ""}'),
        focus(None, '{"team": "nobody"}'),  # type: ignore[arg-type]
    )
    assert found == {
        (DAY, "aws", "i-1", "team", "search"),
        (NEXT, "aws", "i-2", "team", "b"),
        (DAY, "azure", "vm-1", "team", "chat"),
        (DAY, "azure", "vm-1", "user:cost", "CC-1"),
    }


@pytest.mark.parametrize("tags", ["", "team=search", '{"team": "search"', '["team"]', "null", '"team"', "7"])
def test_tags_that_are_no_json_object_own_nothing_and_stop_nothing(cache: Path, tags: str) -> None:
    sound = aws("i-2", '{"team": "search"}')
    expected = {(DAY, "aws", "i-2", "team", "search")}
    assert tagged(cache, aws("i-1", tags), sound, focus("vm-1", tags)) == expected


def test_where_no_rule_names_a_tag_no_line_is_read(cache: Path) -> None:
    assert tagged(cache, aws("i-1", '{"team": "search"}'), keys=[]) == set()
