"""What is not converted is said with its currency, its days, and the line of breakeven.yaml that would convert it."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.config.file import parse_config
from pipeline.reports.rates import declared_currencies, rate_notes
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, SmallProject, source, three_days

BARE = "company: Acme\nreporting_currency: USD\n"
FEED = "sources: [{source: ecb_rates, account: ecb}]\n"
LINE = "- {source: ecb_rates, account: ecb}"
FEEDS = [{"account": "ecb", "first_rate_date": date(2025, 1, 2), "last_rate_date": date(2026, 10, 30)}]


def unknown(currency: str | None = "EUR", *, first: str, last: str, **fields: Any) -> Mapping[str, Any]:
    return {
        "reason": "unconverted",
        "billing_currency": currency,
        "cost_measure": "billed",
        "realized_cost": Decimal("12.5"),
        "first_usage_date": date.fromisoformat(first),
        "last_usage_date": date.fromisoformat(last),
        **fields,
    }


def test_without_a_feed_the_note_is_the_line_to_add() -> None:
    """B23: amounts of two measures side by side, never added."""
    lines = [
        unknown(first="2026-10-02", last="2026-10-09"),
        unknown(first="2026-10-01", last="2026-10-01", cost_measure="effective"),
        unknown(first="2026-10-05", last="2026-10-05", cost_measure="accrued", reason="no_rate", realized_cost=None),
    ]
    [note] = rate_notes(lines, [], parse_config(BARE))
    assert note == (
        "€12.50 billed, €12.50 effective, 1 Oct 2026 to 9 Oct 2026 UTC, not converted to USD: "
        "there is no exchange rate. "
        f"Add under `sources:` in breakeven.yaml   {LINE}"
    )


def test_a_feed_that_never_delivered_is_to_be_run() -> None:
    [note] = rate_notes([unknown(first="2026-10-02", last="2026-10-09")], [], parse_config(BARE + FEED))
    assert "ecb_rates has delivered nothing yet. Run: breakeven run" in note


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("2024-03-05", "- {source: ecb_rates, account: ecb-2024, horizon: 2024-03-05}"),
        ("2026-11-07", "The newest rate landed is of 2026-10-30, and a rate serves 7 days."),
        ("2026-11-06", "The ECB publishes no rate between EUR and USD for those days."),
        ("2026-10-05", "The ECB publishes no rate between EUR and USD for those days."),
    ],
)
def test_with_a_feed_the_note_says_why_it_does_not_reach(first: str, expected: str) -> None:
    """B4, B11"""
    [note] = rate_notes([unknown(first=first, last=first)], FEEDS, parse_config(BARE + FEED))
    assert expected in note


def test_a_declared_currency_is_asked_for_before_any_bill_comes() -> None:
    config = parse_config(
        BARE
        + "overheads: [{item: on-call, monthly: 100, currency: EUR}]\n"
        + "gpu_resources:\n"
        + "  - {issuer: a, resource_id: n, gpu_count: 1, currency: CHF, from: 2026-01-01,"
        + "     contract_rate_per_gpu_hour: 2}\n"
        + "  - {issuer: a, resource_id: m, gpu_count: 1, currency: SEK, from: 2026-01-01}\n"
    )
    assert declared_currencies(config) == {"EUR", "CHF"}
    [note] = rate_notes([], [], config)
    assert "CHF, EUR, which are not converted to USD" in note
    assert LINE in note
    assert rate_notes([], FEEDS, parse_config(BARE + FEED)) == []


def test_list_prices_are_dollars_whatever_is_reported() -> None:
    """B23"""
    workload = "workloads: [{workload: chat, api_model: claude-haiku-4-5, match: [{account: acme}]}]\n"
    assert rate_notes([], [], parse_config(BARE + workload)) == []
    [note] = rate_notes([], [], parse_config(BARE.replace("USD", "EUR") + workload))
    assert "breakeven.yaml needs amounts in USD, which is not converted to EUR" in note


def test_a_currency_from_data_cannot_steer_a_terminal_or_a_page() -> None:
    [note] = rate_notes([unknown("E\x1b[2J\u202eUR", first="2026-10-02", last="2026-10-02")], [], parse_config(BARE))
    assert "\x1b" not in note
    assert "\u202e" not in note


@pytest.mark.parametrize("command", ["status", "costs", "waste"])
def test_the_commands_say_the_line_and_exit_as_ever(tmp_path: Path, command: str) -> None:
    """B23: a bill in dollars reported in euros, and no feed of rates."""
    project = SmallProject(tmp_path / "project", [source(CONSOLE, "acme")], {"reporting_currency": "EUR"})
    project.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.10", "2.20", "3.30"))
    project.run()
    result = CliRunner().invoke(group, [command, "--project", str(project.folder)])
    said = " ".join(result.output.split())
    assert result.exit_code == 0, result.output
    assert "not converted to EUR: there is no exchange rate. Add under `sources:` in breakeven.yaml" in said
    assert LINE in said
    assert "NOT CONVERTED $" in said
