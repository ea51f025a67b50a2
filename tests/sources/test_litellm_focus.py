"""LiteLLM's FOCUS export: every row lands as the estimate that it is, and what cannot be told apart is refused."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError
from pipeline.sources import focus, litellm_focus
from pipeline.sources.litellm_focus import ESTIMATES, SOURCE, parse
from tests.models.cloud_harness import cloud_graph
from tests.pipeline.small_project import COST_API, Answers, SmallProject, source
from tests.sources.litellm import GATEWAY, export_csv, export_parquet, gateway, row, window_name

DAY = "2026-11-01"
STAGED = "stg_litellm_focus__estimates_daily"
UNTIL = {"exported_until": "20261102T000000Z"}
NOW = datetime(2026, 11, 6, 6, tzinfo=UTC)


def parsed(content: bytes, settings: Mapping[str, Any] = UNTIL) -> pl.DataFrame:
    return parse(content, settings)[ESTIMATES.name]


def refused(content: bytes, settings: Mapping[str, Any] = UNTIL) -> str:
    with pytest.raises(QuarantineError) as caught:
        parse(content, settings)
    return str(caught.value)


def without(name: str, *rows: Mapping[str, str]) -> bytes:
    return pl.read_csv(export_csv(rows), infer_schema=False).drop(name).write_csv().encode()


@pytest.mark.parametrize("written", [export_csv, export_parquet])
def test_every_row_is_kept_with_what_it_says(written: Any) -> None:
    """B9, B22: two rows that differ in nothing the export says are two, and a row without a key or user is one."""
    rows = [row(DAY, "2.610000"), row(DAY, "0.100000"), row(DAY, "0.569788", key="", user="", provider="openai")]
    frame = parsed(written(rows))
    assert dict(frame.schema) == ESTIMATES.schema
    assert frame["billed_cost"].to_list() == [Decimal("2.61"), Decimal("0.1"), Decimal("0.569788")]
    assert frame["row_of_several"].to_list() == [2, 1, 1]
    assert frame["usage_date"].unique().to_list() == [date(2026, 11, 1)]
    assert frame["billing_account_id"].to_list() == ["ab" * 32, "ab" * 32, None]
    assert frame["user_id"].to_list()[:2] == ["u-1", "u-1"]
    assert frame["exported_until_at"].unique().to_list() == [datetime(2026, 11, 2, tzinfo=UTC).replace(tzinfo=None)]
    assert '"ListCost"' in frame["other_columns"][0]


@given(rows=st.lists(st.tuples(st.sampled_from(["1.5", "0.25", "1.500000"]), st.sampled_from("ab")), min_size=1))
def test_rows_are_numbered_alike_in_whatever_order_they_are_listed(rows: Sequence[tuple[str, str]]) -> None:
    """B9: else two exports of one window would count a row twice."""
    files = [[row(DAY, cost, key=key) for cost, key in order] for order in (rows, rows[::-1])]
    said = ["billing_account_id", "row_of_several", "billed_cost"]
    first, second = (parsed(export_csv(file)).select(said).sort(said) for file in files)
    assert first.equals(second)


def test_a_file_is_stated_at_its_windows_start_and_newer_by_its_end() -> None:
    """B28: what was updated later is not in it; a busy key's row of a day comes once more after midnight."""
    dropped = SOURCE.drop(f"date=2026-11-01/{window_name(DAY, '2026-11-02')}", b"", {"bills": {}})
    assert (dropped.stated_at, dropped.stated_by) == (datetime(2026, 11, 1, tzinfo=UTC), "file_name")
    assert dropped.settings == UNTIL


@pytest.mark.parametrize(
    "name",
    [
        "focus.csv",
        "usage_20261101T000000Z.csv",
        window_name("2026-11-02", DAY),
        "usage_20261301T000000Z_20261302T000000Z.csv",
    ],
)
def test_a_file_that_does_not_say_its_window_is_refused(name: str) -> None:
    """B9: of two files that state a row, nobody would know which is newer."""
    settings = SOURCE.drop(name, b"", {}).settings
    assert "usage_<from>_<to>.csv" in refused(export_csv([row(DAY, "1")]), settings)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (without("ProviderName", row(DAY, "1")), "no column ProviderName. This is not LiteLLM's FOCUS export."),
        (export_csv([row(DAY, "1"), row(DAY, "")]), "row 3: no BilledCost."),
        (export_csv([row(DAY, "a lot")]), "row 2: BilledCost is 'a lot', not a decimal number."),
        (export_csv([row(DAY, "1") | {"ConsumedUnit": "Tokens"}]), "1 rows consume Tokens, not Requests."),
        (export_csv([row(DAY, "1") | {"ChargePeriodStart": ""}]), "row 2: no ChargePeriodStart."),
        (b"not an export\n", "no column BilledCost"),
    ],
    ids=["no provider", "no cost", "no number", "another shape", "no day", "something else"],
)
def test_what_is_no_estimate_is_refused_and_says_why(content: bytes, why: str) -> None:
    assert why in refused(content)


def test_a_gateways_file_in_a_focus_inbox_is_told_where_it_belongs() -> None:
    """B22: and one of a provider in the gateway's inbox is no estimate."""
    content = export_csv([row(DAY, "1")])
    with pytest.raises(QuarantineError, match=r"configure source litellm_focus .* settings\.bills"):
        focus.parse(content, {})
    assert SOURCE.recognise("usage.csv", content) == litellm_focus.DATASET
    assert SOURCE.recognise("usage.csv", b"BilledCost,ChargeCategory\n") is None


# --- whose bill it estimates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ("settings.bills is 'missing'", "Say whose bill it estimates", "bills: {anthropic: main}")),
        ({"bills": "main"}, ("settings.bills is 'main'", "for each provider")),
        ({"bills": {"anthropic": "mian"}}, ("settings.bills.anthropic is 'mian'", "There are: main.")),
        ({"bills": {"azure": {"issuer": "azure"}}}, ("settings.bills.azure", "{issuer: ..., account: ...}")),
        ({"bills": {"anthropic": "gateway"}}, ("'gateway'", "No other source has this account")),
    ],
)
def test_a_gateway_that_does_not_say_whose_bill_it_estimates_is_a_config_error(
    tmp_path: Path, settings: dict[str, Any], words: tuple[str, ...]
) -> None:
    """B22: the error names the entry and the fix; nothing is landed."""
    made = SmallProject(tmp_path, [source(COST_API, "main"), {**gateway(), "settings": settings}])
    with pytest.raises(ConfigError) as caught:
        made.ingest()
    assert "sources (litellm_focus/gateway).settings.bills" in str(caught.value)
    assert all(word in str(caught.value) for word in words)


def test_null_says_that_no_bill_of_it_is_read_here(tmp_path: Path) -> None:
    bills = {"anthropic": "main", "azure": None, "x": {"issuer": "openai", "account": "main"}}
    SmallProject(tmp_path, [source(COST_API, "main"), gateway(bills=bills)]).ingest()


# --- of each row the newest statement --------------------------------------------------------------------------------


def staged(folder: Path, files: Mapping[str, bytes]) -> Answers:
    made = SmallProject(folder, [source(COST_API, "main"), gateway()])
    for name, content in files.items():
        made.drop(GATEWAY, "gateway", name, content)
    errors = [one.error for one in made.ingest(now=NOW) if one.error is not None]
    assert errors == []
    return made.build(now=NOW, graph=cloud_graph([STAGED]))


def test_a_row_that_is_exported_again_replaces_itself_and_no_other(tmp_path: Path) -> None:
    """B9, B10: of the day's two keys one spent on after midnight; its row comes again, lower, the other's does not."""
    answers = staged(
        tmp_path,
        {
            window_name(DAY, "2026-11-02"): export_csv([row(DAY, "1.00", key="a"), row(DAY, "2.00", key="b")]),
            window_name("2026-11-02", "2026-11-03"): export_csv(
                [row(DAY, "0.75", key="a", team="team-2"), row("2026-11-02", "7.00", key="a")]
            ),
        },
    )
    rows = answers.rows(f"select usage_date, api_key_id, rated_cost from {STAGED} order by all")
    assert [tuple(one.values()) for one in rows] == [
        (date(2026, 11, 1), "a", Decimal("0.75")),
        (date(2026, 11, 1), "b", Decimal("2")),
        (date(2026, 11, 2), "a", Decimal("7")),
    ]


def test_one_window_exported_twice_counts_once(tmp_path: Path) -> None:
    """B9: as CSV and as Parquet, rows in another order; two rows that look alike stay two."""
    rows = [row(DAY, "1.00"), row(DAY, "1.00"), row(DAY, "0.50", provider="openai", model="openai/gpt-5-mini")]
    answers = staged(
        tmp_path,
        {
            window_name(DAY, "2026-11-02"): export_csv(rows),
            window_name(DAY, "2026-11-02", suffix="parquet"): export_parquet(rows[::-1]),
        },
    )
    found = answers.rows(f"select raw_model, rated_cost, request_count from {STAGED} order by all")
    assert [tuple(one.values()) for one in found] == [("claude-haiku-4-5", 2, 6), ("gpt-5-mini", Decimal("0.5"), 3)]
