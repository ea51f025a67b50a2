"""Spend by owner as a reader of the report meets it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config.ownership import OwnerAlias
from pipeline.reports.monthly import report_text
from pipeline.reports.owners import ownership_line

from .fake_snapshot import DAY, OCTOBER, config, snapshot_of, tables
from .reading import Element, read, section, table


def charge(cost: str | None, team: str | None, **said: Any) -> dict[str, Any]:
    amount = None if cost is None else Decimal(cost)
    return {
        "usage_date": DAY, "lane": "gpu", "issuer": "gpu-cloud", "account": "gpu-cloud", "cost_measure": "billed",
        "billing_currency": "USD", "cost_status": "unknown" if cost is None else "known", "team": team,
        "charge_count": 1, "realized_cost": amount, "realized_cost_rc": amount, **said,
    }  # fmt: skip


def page(tmp_path: Path, *rows: dict[str, Any], **said: Any) -> Element:
    snapshot = snapshot_of({**tables(), "fct_owner_costs_daily": list(rows)}, tmp_path)
    return read(report_text(snapshot, config=config().model_copy(update=said), quarantined=(), first_day=OCTOBER))


def test_teams_and_nobody_stand_by_measure_and_what_is_unknown_is_not_zero(tmp_path: Path) -> None:
    document = page(
        tmp_path,
        charge("1.50", "search"),
        charge("2", "old search"),
        charge("4", "chat", cost_measure="accrued"),
        charge("3", "chat"),
        charge(None, "chat"),
        charge("9", None),
        charge("5", None, billing_currency="EUR", realized_cost_rc=None, cost_status="unconverted"),
        owner_aliases=(OwnerAlias(team="search", was=("old search",)),),
    )
    assert [tuple(row.values()) for row in table(document, "Spend by team")] == [
        ("chat", "at least 3.00", "4.00", ""),
        ("search", "3.50", "", ""),
        ("unattributed", "9.00", "", "€5.00"),
    ]
    assert "Spend by cost centre" not in section(document, "spend").text


def test_who_says_nothing_of_owners_reads_nothing_of_them(tmp_path: Path) -> None:
    document = page(tmp_path, charge("9", None))
    assert "Spend by" not in section(document, "spend").text


def driver(period: str, **said: Any) -> dict[str, Any]:
    return {
        "period_from_date": OCTOBER, "period": period, "driver": "tasks", "status": "known",
        "driver_quantity": Decimal(40), "realized_cost_rc": Decimal(10), "cost_measure": "billed",
        "realized_rc_per_unit": 0.25, "days_count": 31, **said,
    }  # fmt: skip


def test_a_months_price_of_a_task_is_shown_and_an_unknown_one_says_why(tmp_path: Path) -> None:
    unknown = {"realized_rc_per_unit": None, "driver_quantity": None, "status": "unknown"}
    rows = [
        driver("month"),
        driver("day"),
        driver("month", driver="=cmd|\u202e", team="support", reason="no value on 2 of 31 days", **unknown),
    ]
    document = read(
        report_text(
            snapshot_of({**tables(), "fct_driver_costs_period": rows}, tmp_path),
            config=config(), quarantined=(), first_day=OCTOBER,
        )
    )  # fmt: skip
    assert [tuple(row.values()) for row in table(document, "Cost per driver")] == [
        ("2026-10", "'=cmd|\ufffd", "team support", "unknown", "10.00", "billed", "unknown"),
        ("2026-10", "tasks", "all", "40", "10.00", "billed", "$0.25"),
    ]
    assert "Unknown: '=cmd|\ufffd: no value on 2 of 31 days." in section(document, "spend").text


@example("a\U0001f600")
@example(r"\ud83d\ude00")
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_the_line_to_write_names_what_nobody_owns_as_it_is_called(name: str) -> None:
    """Whatever it is called: emoji, quotes, what YAML would read as a number or a date."""
    row = {"issuer": "aws", "account": name, "known_by": "resource_id", "known_as": name}
    line = ownership_line(row, by="team")
    assert line is not None
    assert yaml.safe_load(line) == [{"team": "NAME", "match": {"account": name, "resource": name}}]
