"""A project's own history replayed: every row adds up, rules of thumb are dated and sourced, and nothing looks
ahead."""

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.config.file import parse_config
from pipeline.decisions.graph import current_snapshot
from pipeline.errors import BreakevenError
from pipeline.landing.project import Project
from pipeline.reports.backtest import replay_days, replayed, shipped_rules, table_rows
from pipeline.reports.questions import Questions

DOLLARS = parse_config("company: Acme\nreporting_currency: USD\n")


def row(day: int, **changes: object) -> dict[str, object]:
    return {
        "usage_date": date(2026, 10, day),
        "window_days_count": 28,
        "api_price_rc_per_mtok": Decimal(2),
        "api_committed_cost_rc": Decimal(0),
        "capacity_tokens_per_replica_hour": 1000.0,
        "replica_cost_rc": Decimal("0.56"),
        "fixed_cost_rc": Decimal("0.28"),
        "demand_ratio": 1.25,
        "current_lane": "api",
        "hourly_tokens": [500, 2500, 0],
    } | changes


def test_a_day_costs_what_its_own_hours_leave_to_the_api() -> None:
    (day,) = replay_days([row(1)], settle_days=2)
    # 3000 tokens at 2 per million; one replica 0.02 and overheads 0.01, 1500 tokens above it; two, 500; three, none.
    expected = [Fraction(6, 1000), Fraction(33, 1000), Fraction(51, 1000), Fraction(7, 100)]
    assert list(day.costs) == expected
    assert (day.tokens, day.ratio, day.known_on) == (3000, Fraction(5, 4), date(2026, 10, 4))


def test_what_is_committed_is_due_with_every_count() -> None:
    """0.004 a day: above it the API's 0.006 for all is due; beside a replica, which leaves 0.003, all of the 0.004."""
    (day,) = replay_days([row(1, api_committed_cost_rc=Decimal("0.112"))], settle_days=2)
    assert list(day.costs) == [Fraction(n, 1000) for n in (6, 34, 54, 74)]


def test_all_days_have_as_many_counts_as_the_busiest_hour_needs() -> None:
    days = replay_days([row(1), row(2, hourly_tokens=None), row(3, hourly_tokens=[9000])], settle_days=0)
    assert [len(day.costs) for day in days] == [10, 10, 10]
    assert days[1].costs[0] == 0


def test_each_rule_of_thumb_says_what_it_stands_for_and_where_it_was_read() -> None:
    rules = shipped_rules()
    assert len(rules) >= 6
    for rule in rules:
        assert rule.quote
        assert "published claim" in rule.source
        assert rule.read_on >= date(2026, 1, 1)
        assert rule.threshold > 0
        assert rule.policy([]) == []


@pytest.fixture(scope="module")
def demo(demo_folder):
    with Questions(current_snapshot(Project(demo_folder))) as questions:
        yield questions


def test_no_way_to_decide_is_cheaper_than_who_knew_and_the_demos_way_to_the_api_pays(demo) -> None:
    found = {
        one.workload: one
        for one in replayed(demo, DOLLARS, workload=None, one_off=Decimal(500), alpha=Decimal(1), settle_days=2)
    }
    assert {"support-chat", "internal-search", "coding-assistant"} <= set(found)
    for one in found.values():
        rows = table_rows(one)
        assert rows[0]["policy"] == "clairvoyant"
        assert all(line["above_best_rc"] >= 0 for line in rows)
    by_name = {line["policy"]: line for line in table_rows(found["internal-search"])}
    assert by_name["always the API"]["cost_rc"] < by_name["configured: hysteresis"]["cost_rc"]
    assert by_name["configured: hysteresis"]["cost_rc"] < by_name["always own GPUs"]["cost_rc"]
    with pytest.raises(BreakevenError, match="No day of 'nobody' has a verdict"):
        replayed(demo, DOLLARS, workload="nobody", one_off=Decimal(0), alpha=Decimal(1), settle_days=2)


def test_rules_in_dollars_are_left_out_where_the_money_is_in_another_currency(demo) -> None:
    euros = parse_config("company: Acme\nreporting_currency: EUR\n")
    (one,) = replayed(demo, euros, workload="support-chat", one_off=Decimal(0), alpha=Decimal(1), settle_days=2)
    assert [name for name in one.left_out if name.startswith("spend")] == list(one.left_out) != []
    assert not any("spend" in verdict.name for verdict in one.told.verdicts)


def test_a_declared_regret_meter_is_the_configured_policy(demo) -> None:
    metered = parse_config("company: Acme\nalerts: {regret_meter: {one_off: 900}}\n")
    (one,) = replayed(demo, metered, workload="internal-search", one_off=Decimal(0), alpha=Decimal(1), settle_days=2)
    names = {verdict.name for verdict in one.told.verdicts}
    assert {"configured: regret meter", "hysteresis"} <= names
    assert "configured: hysteresis" not in names


def test_the_command_prints_the_table_and_json(demo_folder) -> None:
    asked = ["backtest", "--project", str(demo_folder), "--workload", "support-chat", "--one-off", "500"]
    told = CliRunner().invoke(group, asked, env={"COLUMNS": "160"})
    assert told.exit_code == 0, told.output
    assert "clairvoyant" in told.output
    assert "rule of thumb: spend 20000 a month" in told.output
    (one,) = json.loads(CliRunner().invoke(group, [*asked, "--format", "json"]).output)
    assert one["workload"] == "support-chat"
    assert {"policy", "cost_rc", "above_best_rc", "false_alert_count", "median_delay_days"} <= set(one["policies"][0])
