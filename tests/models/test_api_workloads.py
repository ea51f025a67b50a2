"""Which workload API traffic belongs to: exactly one, by the rules in force that day, or none at all."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from tests.models.api_harness import (
    COSTS,
    SELF_HOST,
    USAGES,
    Row,
    Rows,
    broken_laws,
    build_tables,
    cost_line,
    rows_of,
    usage_row,
    utc,
)

DAY = date(2026, 11, 3)
CHECK = "check_api_one_workload_per_cell"


def rule(rule_id: str, **fields: object) -> Row:
    return {"rule_id": rule_id, "workload": rule_id.split("#")[0], **fields}


def assigned(cache: Path, rules: Sequence[Row], usage: Sequence[Row], **tables: Sequence[Row]) -> Rows:
    built = build_tables(
        cache, {USAGES: usage, "config_workload_rules": rules, **tables}, ["int_api_workloads_daily", CHECK]
    )
    assert broken_laws(built, [CHECK]) == []
    return rows_of(built, "int_api_workloads_daily")


def test_two_rules_on_one_cell_leave_it_unassigned_and_are_both_named(tmp_path: Path) -> None:
    """B12: traffic claimed twice would be counted twice; it is counted once, as nobody's, and the check says why."""
    tables = {
        COSTS: [cost_line(DAY, "100")],
        USAGES: [usage_row(DAY, api_key_id="k1", output_tokens=5)],
        "config_workload_rules": [rule("chat#1", api_key="k1"), rule("batch#2", model="claude-opus-4-8")],
    }
    built = build_tables(tmp_path, tables, ["fct_api_costs_daily", "fct_demand_daily", CHECK])
    assert [(row["workload"], row["tokens"]) for row in rows_of(built, "fct_demand_daily")] == [("unassigned", 5)]
    assert [row["workload"] for row in rows_of(built, "fct_api_costs_daily")] == ["unassigned"]
    said = (
        "Rules batch#2, chat#1 claim the same traffic (account acme, sub-account Default, key k1, model "
        "claude-opus-4-8) on 1 days from 2026-11-03 to 2026-11-03. It is unassigned: narrow one of them."
    )
    assert sorted(broken_laws(built, [CHECK])) == [
        f"one_workload_per_cell workload:{workload}: {said}" for workload in ("batch", "chat", "unassigned")
    ]


def test_only_the_workloads_that_claim_a_cell_twice_are_named(tmp_path: Path) -> None:
    """B12: the law is broken for who loses traffic, by whatever number of rules, and for nobody else."""
    rules = [
        rule("chat#1", api_key="k1"),
        rule("chat#2", model="claude-opus-4-8"),
        rule("batch.v2:eu#13", account="acme", api_key="k1"),
        rule("search#1", api_key="k2"),
    ]
    usage = [usage_row(DAY, api_key_id=key, model="claude-haiku-4-5", output_tokens=5) for key in ("k1", "k2")]
    usage.append(usage_row(DAY, api_key_id="k1", output_tokens=7))
    built = build_tables(tmp_path, {USAGES: usage, "config_workload_rules": rules}, [CHECK])
    scopes = Counter(row["scope"] for row in rows_of(built, CHECK))
    # Two cells: one claimed by one rule of each, one by two rules of chat and one of the other.
    assert scopes == {"workload:chat": 2, "workload:batch.v2:eu": 2, "workload:unassigned": 2}


def test_two_rules_of_one_workload_do_not_disagree(tmp_path: Path) -> None:
    """B12: matching twice is not being two."""
    rules = [rule("chat#1", api_key="k1"), rule("chat#2", model="claude-opus-4-8")]
    rows = assigned(tmp_path, rules, [usage_row(DAY, api_key_id="k1", output_tokens=5)])
    assert [(row["workload"], row["claiming_rules"]) for row in rows] == [("chat", "chat#1, chat#2")]


def test_what_no_rule_claims_is_unassigned(tmp_path: Path) -> None:
    """B12: unclaimed traffic stays in the table."""
    rows = assigned(tmp_path, [rule("chat#1", api_key="k1")], [usage_row(DAY, api_key_id="k2", output_tokens=5)])
    assert [(row["workload"], row["claiming_rules"]) for row in rows] == [("unassigned", None)]


def test_a_rule_about_self_hosted_traffic_claims_no_api_traffic(tmp_path: Path) -> None:
    """B22: a served name or a deployment is never an API's, whatever else the rule leaves open."""
    rules = [rule("chat#1", served_name="llama"), rule("chat#2", deployment_id="chat-llama")]
    rows = assigned(tmp_path, rules, [usage_row(DAY, api_key_id="k1", output_tokens=5)])
    assert [row["workload"] for row in rows] == ["unassigned"]


def test_rules_apply_on_the_days_they_are_valid(tmp_path: Path) -> None:
    """B6: a changed owner does not rewrite history; the day of change belongs to the new one."""
    change = date(2026, 11, 4)
    rules = [rule("old#1", api_key="k1", valid_to_date=change), rule("new#1", api_key="k1", valid_from_date=change)]
    usage = [usage_row(day, api_key_id="k1", output_tokens=1) for day in (DAY, change)]
    teams = [
        {"workload": "old", "team": "search"},
        {"workload": "new", "team": "chat", "valid_from_date": change},
    ]
    rows = assigned(tmp_path, rules, usage, config_workloads=teams)
    assert [(row["usage_date"], row["workload"], row["team"]) for row in rows] == [
        (DAY, "old", "search"),
        (change, "new", "chat"),
    ]


def test_a_rule_may_name_the_default_workspace_and_a_model_as_any_export_does(tmp_path: Path) -> None:
    """B12: `Default` is null in the API; a display name and a dated id are the model they mean."""
    usage = [
        usage_row(DAY, model="claude-opus-4-8", output_tokens=1),
        usage_row(DAY, model="claude-haiku-4-5-20251001", workspace_id="wrkspc_1", output_tokens=1),
    ]
    rules = [
        rule("default#1", sub_account="Default", model="Claude Opus 4.8"),
        rule("haiku#1", sub_account="wrkspc_1", model="claude-haiku-4-5-20251001"),
    ]
    rows = assigned(tmp_path, rules, usage)
    assert {row["model"]: row["workload"] for row in rows} == {
        "claude-opus-4-8": "default",
        "claude-haiku-4-5": "haiku",
    }


def test_a_workload_with_two_teams_does_not_double_its_costs(tmp_path: Path) -> None:
    """B12: a dimension with duplicates cannot fan money out; whose it is, is unknown."""
    teams = [{"workload": "chat", "team": "a"}, {"workload": "chat", "team": "b"}]
    tables = {
        COSTS: [cost_line(DAY, "100")],
        "config_workload_rules": [rule("chat#1", account="acme")],
        "config_workloads": teams,
    }
    built = build_tables(tmp_path, tables, ["fct_api_costs_daily", "check_api_money_conserved"])
    assert [(row["workload"], row["team"]) for row in rows_of(built, "fct_api_costs_daily")] == [("chat", None)]
    assert broken_laws(built, ["check_api_money_conserved"]) == []


def test_demand_is_hourly_where_the_hours_are_known_and_daily_where_not(tmp_path: Path) -> None:
    """B8: a day bucket has no hours, and none are made up for it."""
    hourly = [usage_row(DAY, hour=hour, api_key_id="k", output_tokens=hour + 1) for hour in (0, 23)]
    daily = usage_row(DAY, hours=24, api_key_id="k", model="claude-haiku-4-5", output_tokens=9)
    half = usage_row(DAY, hours=24, api_key_id="k", cache_read_input_tokens=5)
    half_hourly = usage_row(DAY, hour=1, api_key_id="k", cache_read_input_tokens=1)
    built = build_tables(
        tmp_path, {USAGES: [*hourly, daily, half, half_hourly]}, ["fct_demand_hourly", "fct_demand_daily"]
    )
    assert [
        (row["usage_hour_at"], row["token_class"], row["tokens"]) for row in rows_of(built, "fct_demand_hourly")
    ] == [
        (utc("2026-11-03"), "output", 1),
        (utc("2026-11-03 01:00"), "input_cache_read", 1),
        (utc("2026-11-03 23:00"), "output", 24),
    ]
    assert {
        (row["model"], row["token_class"]): (row["tokens"], row["evidence"])
        for row in rows_of(built, "fct_demand_daily")
    } == {
        ("claude-opus-4-8", "output"): (25, "hourly"),
        ("claude-opus-4-8", "input_cache_read"): (6, "daily"),
        ("claude-haiku-4-5", "output"): (9, "daily"),
    }


def test_both_lanes_of_a_workload_stand_side_by_side_and_do_not_mix(tmp_path: Path) -> None:
    """B22: the same workload's API and self-hosted tokens are two rows; two deployments of one model are one."""
    hour = utc("2026-11-03 05:00")
    served = [
        {
            "usage_date": DAY,
            "usage_hour_at": hour,
            "deployment_id": deployment,
            "workload": "chat",
            "model": "llama",
            "token_class": "output",
            "tokens": 3,
        }
        for deployment in ("one", "two")
    ]
    usage = [usage_row(DAY, hour=5, api_key_id="k", output_tokens=4)]
    tables = {USAGES: usage, SELF_HOST: served, "config_workload_rules": [rule("chat#1", api_key="k")]}
    built = build_tables(tmp_path, tables, ["fct_demand_hourly", "fct_demand_daily"])
    for name in ("fct_demand_hourly", "fct_demand_daily"):
        assert [(row["workload"], row["lane"], row["model"], row["tokens"]) for row in rows_of(built, name)] == [
            ("chat", "api", "claude-opus-4-8", 4),
            ("chat", "self_host", "llama", 6),
        ]
