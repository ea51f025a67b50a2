"""Source coverage and day status: what is there, how final it is, what is waited for."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import pytest

from pipeline.build.runner import Built
from tests.models.api_harness import (
    Row,
    broken,
    broken_laws,
    build_tables,
    configured_sources,
    covered,
    days_until,
    rows_of,
    utc,
)

DAY = date(2026, 11, 3)
NOON_OF_THE_SIXTH = utc("2026-11-06 12:00")
COST, USAGE, CONSOLE = (
    ("anthropic_cost_api", "cost_report"),
    ("anthropic_usage_api", "messages_usage"),
    ("anthropic_console_csv", "console_cost"),
)
CHECK = "check_day_status_monotone"


def built(
    cache: Path, coverage: Sequence[Row], *, as_of: datetime = NOON_OF_THE_SIXTH, **tables: Sequence[Row]
) -> Built:
    return build_tables(
        cache,
        {"landed_coverage": coverage, "calendar": days_until(DAY, as_of=as_of), **tables},
        ["fct_source_coverage_daily", "fct_day_status_daily", "dim_source", CHECK],
    )


def statuses(found: Built) -> list[tuple[date, str]]:
    assert broken_laws(found, [CHECK]) == []
    return [(row["usage_date"], row["status"]) for row in rows_of(found, "fct_day_status_daily")]


@pytest.mark.parametrize(
    ("stated_at", "status"),
    [
        (utc("2026-11-04"), "provisional"),
        (utc("2026-11-04 23:59:59"), "provisional"),
        (utc("2026-11-05"), "settled"),
    ],
)
def test_a_day_settles_by_a_statement_made_a_settle_lag_after_its_end(
    tmp_path: Path, stated_at: datetime, status: str
) -> None:
    """B10: what was said too early may still be restated."""
    found = built(tmp_path, [covered(DAY, *COST, stated_at=stated_at)], as_of=utc("2026-11-04"))
    assert rows_of(found, "fct_source_coverage_daily")[0]["status"] == status
    assert statuses(found)[0] == (DAY, status)


def test_a_day_is_open_until_it_ends_and_missing_when_nothing_vouches_for_it_then(tmp_path: Path) -> None:
    """B4, B28: a day without a delivery is not a day without cost, and a running day is not a cheap one."""
    found = built(
        tmp_path,
        [
            covered(DAY, *COST, stated_at=utc("2026-11-06")),
            covered(date(2026, 11, 6), *COST, stated_at=NOON_OF_THE_SIXTH),
        ],
    )
    assert statuses(found) == [
        (DAY, "settled"),
        (date(2026, 11, 4), "missing"),
        (date(2026, 11, 5), "missing"),
        (date(2026, 11, 6), "open"),
    ]
    missing = [row for row in rows_of(found, "fct_source_coverage_daily") if row["status"] == "missing"]
    assert {row["row_count"] for row in missing} == {None}


def test_a_day_is_the_least_of_its_sources_and_waits_for_no_control(tmp_path: Path) -> None:
    """B28: bills without their usage are half a day; a file dropped once as a control holds nothing up."""
    settled, early = utc("2026-11-06"), utc("2026-11-04 01:00")
    found = built(
        tmp_path,
        [
            covered(DAY, *COST, stated_at=settled),
            covered(DAY, *USAGE, stated_at=early),
            covered(date(2026, 11, 4), *COST, stated_at=settled),
            covered(date(2026, 11, 4), *USAGE, stated_at=settled),
            covered(DAY, *CONSOLE, stated_at=early),
        ],
        as_of=utc("2026-11-05"),
    )
    assert statuses(found) == [(DAY, "provisional"), (date(2026, 11, 4), "settled"), (date(2026, 11, 5), "open")]
    assert {row["source_count"] for row in rows_of(found, "fct_day_status_daily")} == {2}
    controls = [row for row in rows_of(found, "fct_source_coverage_daily") if row["source"] == CONSOLE[0]]
    assert [row["status"] for row in controls] == ["provisional", "missing", "open"]


def test_an_invoice_holds_no_day_up_before_it_comes(tmp_path: Path) -> None:
    """B10: months are billed in arrears; days between invoices are not missing."""
    invoices = {"source": "invoice_csv", "issuer": "acme", "role": "book", "settles_days": False}
    api = {"source": COST[0], "issuer": "anthropic", "role": "book"}
    settled = utc("2026-11-06")
    found = built(
        tmp_path,
        [
            covered(DAY, "invoice_csv", "invoice", stated_at=utc("2026-11-03 01:00"), bucket="INV-1"),
            covered(DAY, *COST, stated_at=settled),
            covered(date(2026, 11, 4), *COST, stated_at=settled),
        ],
        as_of=utc("2026-11-05"),
        config_sources=configured_sources(api, invoices),
    )
    assert statuses(found)[:2] == [(DAY, "settled"), (date(2026, 11, 4), "settled")]
    assert [
        row["usage_date"] for row in rows_of(found, "fct_source_coverage_daily") if row["source"] == "invoice_csv"
    ] == [DAY]


@pytest.mark.parametrize(("accepted", "blocked"), [(False, 1), (True, 0)])
def test_money_that_went_away_blocks_its_day_until_somebody_accepts(
    tmp_path: Path, accepted: bool, blocked: int
) -> None:
    """B10: a withdrawn bucket may be an outage of the issuer."""
    gone = covered(DAY, *COST, stated_at=utc("2026-11-06"), is_withdrawn=True, is_accepted=accepted, row_count=0)
    found = built(tmp_path, [gone], as_of=utc("2026-11-04"))
    assert rows_of(found, "fct_day_status_daily")[0]["blocked_count"] == blocked
    assert rows_of(found, "fct_source_coverage_daily")[0]["is_blocked"] is bool(blocked)


def test_an_incomplete_delivery_vouches_for_nothing(tmp_path: Path) -> None:
    """B9: a chain of pages that never closed is no statement about the day."""
    found = built(
        tmp_path,
        [
            covered(DAY, *COST, stated_at=utc("2026-11-06")),
            covered(date(2026, 11, 4), *COST, stated_at=utc("2026-11-06"), is_complete=False),
        ],
        as_of=utc("2026-11-05"),
    )
    assert statuses(found)[:2] == [(DAY, "settled"), (date(2026, 11, 4), "missing")]


def test_a_source_says_since_when_it_is_silent_and_one_that_never_spoke_is_listed(tmp_path: Path) -> None:
    """B4: no data is "no data since", not no cost."""
    found = built(
        tmp_path,
        [
            covered(DAY, *COST, stated_at=utc("2026-11-04")),
            covered(date(2026, 11, 5), *USAGE, stated_at=NOON_OF_THE_SIXTH),
        ],
    )
    sources = {
        row["source"]: (row["dataset"], row["last_usage_date"], row["silent_since_date"])
        for row in rows_of(found, "dim_source")
    }
    assert sources == {
        COST[0]: (COST[1], DAY, date(2026, 11, 4)),
        USAGE[0]: (USAGE[1], date(2026, 11, 5), None),
        CONSOLE[0]: ("console_cost", None, None),
    }


def test_a_source_taken_out_of_the_configuration_is_waited_for_no_longer(tmp_path: Path) -> None:
    """B12: its history stays, its silence is not a gap."""
    settled = utc("2026-11-06")
    found = built(
        tmp_path,
        [
            covered(DAY, *COST, stated_at=settled),
            covered(DAY, *USAGE, stated_at=settled),
            covered(date(2026, 11, 4), *USAGE, stated_at=settled),
        ],
        as_of=utc("2026-11-05"),
        config_sources=configured_sources({"source": USAGE[0], "issuer": "anthropic", "role": "metered"}),
    )
    assert statuses(found)[:2] == [(DAY, "settled"), (date(2026, 11, 4), "settled")]


def test_a_day_further_along_than_a_source_breaks_its_law(tmp_path: Path) -> None:
    """B28: the check of the day status is able to fail."""
    coverage = [
        covered(DAY, *COST, stated_at=utc("2026-11-06")),
        covered(DAY, *USAGE, stated_at=utc("2026-11-04 01:00")),
    ]
    faulty = build_tables(
        tmp_path,
        {"landed_coverage": coverage, "calendar": days_until(DAY, as_of=NOON_OF_THE_SIXTH)},
        [CHECK],
        replaced=[broken("fct_day_status_daily", "min(status_rank)", "max(status_rank)")],
    )
    assert "2026-11-03 is settled, but anthropic_usage_api of acme is provisional." in " ".join(
        broken_laws(faulty, [CHECK])
    )
