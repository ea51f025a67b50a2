"""Ownership from breakeven.yaml to the terminal: transfers, renames, and lines that give what is nobody's an owner."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import group
from pipeline.config.file import parse_config
from pipeline.config.landed import landed_config
from pipeline.errors import ConfigError
from pipeline.ownership import ATTRIBUTES, FIELDS, OwnerRule, RuleBook, narrowest_first, owner_of, rule_name
from tests.models.cloud_harness import FOCUS, focus, focus_csv, line
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    INVOICE,
    SmallProject,
    console_csv,
    console_row,
    invoice_csv,
    source,
)

MART = "fct_owner_costs_daily"
LATER = datetime(2026, 11, 6, 6, tzinfo=UTC)
PERIOD = ("--from", "2026-11-01", "--to", "2026-11-04")


def call(made: SmallProject, *words: str) -> Result:
    return CliRunner().invoke(group, [*words, "--project", str(made.folder)])


def rows(made: SmallProject, *words: str) -> list[dict[str, Any]]:
    answer = call(made, *words, *PERIOD, "--format", "json")
    assert answer.exit_code == 0, answer.output
    found: list[dict[str, Any]] = json.loads(answer.output)
    return found


@pytest.fixture
def billed(make_project: MakeProject) -> SmallProject:
    """Three days of an API's bill: a workspace a day, the last day's with two keys."""
    made = make_project([source(CONSOLE, "main")])
    lines = [
        console_row("2026-11-01", "1.50", workspace="alpha"),
        console_row("2026-11-02", "2.25", workspace="beta"),
        console_row("2026-11-03", "4.00", api_key="key-1"),
        console_row("2026-11-03", "8.00", api_key="key-2"),
    ]
    made.drop(CONSOLE, "main", CONSOLE_NAME, console_csv(lines))
    return made


def test_a_transfer_leaves_old_spend_and_a_rename_moves_no_row(billed: SmallProject) -> None:
    ownership = [
        {"team": "search", "cost_centre": "CC-1", "match": {"account": "main"}, "to": "2026-11-03"},
        {"team": "chat", "match": {"account": "main"}, "from": "2026-11-03"},
    ]
    billed.configure(ownership=ownership)
    billed.ingest()
    built = billed.build()
    assert built.rows("select * from check_owner_money_conserved") == []
    by_day = built.rows(
        "select usage_date, team, cost_centre, sum(realized_cost) as cost from fct_owner_costs_daily group by all "
        "order by all"
    )
    assert [(f"{row['usage_date']:%d}", row["team"], row["cost_centre"]) for row in by_day] == [
        ("01", "search", "CC-1"), ("02", "search", "CC-1"), ("03", "chat", None),
    ]  # fmt: skip
    of_search = sum(row["cost"] for row in by_day if row["team"] == "search")
    said = {row["owner"]: Decimal(row["realized_cost_rc"]) for row in rows(billed, "costs", "--by", "team")}
    assert said["search"] == of_search

    billed.configure(ownership=ownership, owner_aliases=[{"team": "discovery", "was": "search"}])
    billed.ingest(now=LATER)
    renamed = billed.build(now=LATER)
    assert "fct_owner_costs_daily" not in {
        name for name in renamed.result.ran if "2026-11-01" in renamed.result.ran[name]
    }
    said = {row["owner"]: Decimal(row["realized_cost_rc"]) for row in rows(billed, "costs", "--by", "team")}
    assert said["discovery"] == of_search
    assert "search" not in said


def test_every_line_that_is_proposed_owns_what_stands_beside_it(billed: SmallProject) -> None:
    billed.ingest()
    billed.build()
    proposed = rows(billed, "owners")
    assert proposed
    assert [row["known_as"] for row in proposed] == ["key-2", "key-1", "beta", "alpha"]
    lines = [yaml.safe_load(row["line"].replace("NAME", f"team-{n}"))[0] for n, row in enumerate(proposed)]
    # An undated line holds from the day it lands: these days are before it.
    billed.configure(ownership=[{**line, "from": "2026-10-01"} for line in lines])
    billed.ingest(now=LATER)
    billed.build(now=LATER)
    said = {row["owner"]: row["realized_cost_rc"] for row in rows(billed, "costs", "--by", "team")}
    assert said == {f"team-{number}": row["billed_cost_rc"] for number, row in enumerate(proposed)}
    assert rows(billed, "owners") == []


def test_the_terminal_says_who_and_what_to_write(billed: SmallProject) -> None:
    billed.ingest()
    billed.build()
    shown = call(billed, "costs", "--by", "cost-centre", *PERIOD).output
    assert "unattributed" in shown
    assert "breakeven owners --by cost-centre" in shown
    shown = call(billed, "owners", *PERIOD).output
    assert "- {team: NAME, match: {account: main" in shown
    assert call(billed, "costs", "--by", "team", "--by-class").exit_code == 2


def test_a_task_has_a_price_in_the_terminal_and_a_month_that_is_not_over_has_none(make_project: MakeProject) -> None:
    """By hand: 2.25 was billed on 2 November, and 0.45 for a model that a cloud hosts, when 9 tasks were done; 7.00 of
    the cloud's is said to be in none.
    """
    made = make_project([source(CONSOLE, "main"), source("drivers_csv", "business"), focus(settle_lag_hours=0)])
    made.drop(
        FOCUS,
        "cloudy",
        "cloud.csv",
        focus_csv(
            [line(BilledCost="7.00", ServiceName="Amazon S3"), line(BilledCost="0.45", ServiceName="Amazon Bedrock")]
        ),
    )
    lines = [console_row(f"2026-11-0{day}", cost) for day, cost in ((1, "1.50"), (2, "2.25"), (3, "4.00"))]
    made.drop(CONSOLE, "main", CONSOLE_NAME, console_csv(lines))
    made.drop("drivers_csv", "business", "tasks.csv", b"date,driver,value\n2026-11-02,tasks,9\n")
    made.ingest()
    made.build()
    words = ["costs", "--by", "driver", "--project", str(made.folder), "--from", "2026-11-01", "--to", "2026-11-05"]
    rows = json.loads(CliRunner().invoke(group, [*words, "--format", "json"]).output)
    assert [(row["period"], row["realized_rc_per_unit"]) for row in rows] == [("month", None), ("day", 0.3)]
    shown = CliRunner().invoke(group, words).output
    assert "unknown" in shown
    assert "no value on 29 of 30 days" in shown
    assert "In none of them: $7.00 that clouds charged" in shown


def test_what_has_no_rate_is_not_said_to_have_no_amount(make_project: MakeProject) -> None:
    made = make_project([source(INVOICE, "gc")])
    made.drop(INVOICE, "gc", "invoice.csv", invoice_csv([("GPU server", "srv-1", "90.00")], currency="EUR"))
    made.ingest()
    made.build()
    words = ["owners", "--project", str(made.folder), "--from", "2026-11-01", "--to", "2026-11-04"]
    assert "no amount or no rate" in " ".join(CliRunner().invoke(group, words).output.split())


COMPANY = (
    "company: x\nsources: [{source: focus, account: a}]\nworkloads: [{workload: w, team: t, match: {account: a}}]\n"
    "deployments: [{deployment: d, model: m, gpus_per_replica: 1}]\n"
)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{team: x, match: {tags: {app: a}}}, {team: y, match: {tags: {stage: b}}}", ["ownership.1", "neither is"]),
        ("{team: x, match: {account: a}}, {team: y, match: {account: a}, from: 2026-01-01}", ["ownership.1", "overl"]),
        ("{team: x, match: {}}", ["ownership.0.match", "names nothing"]),
        ("{match: {account: a}}", ["ownership.0", "says nothing"]),
        ("{team: x, match: {account: b}}", ["ownership.0.match.account is 'b'", "Declared: a."]),
        ("{team: x, match: {workload: v}}", ["No such workload"]),
        ("{team: x, match: {workload: w}}", ["says `team: t` itself"]),
        ("{team: x, match: {deployment: e}}", ["No such deployment"]),
        ("{team: x, match: {workspace: s, project: s}}", ["ownership.0.match.project"]),
        ("{team: x, match: {account: a}, from: 2026-02-01, to: 2026-01-01}", ["ownership.0.to"]),
        ("{team: x, match: {acount: a}}", ["Did you mean 'account'?"]),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused(said: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"{COMPANY}ownership: [{said}]\n")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "{was: b}",
        "{team: a, cost_centre: c, was: b}",
        "{team: a, was: b}, {team: c, was: b}",
        "{team: a, was: b}, {team: c, was: a}",
    ],
)
def test_a_past_name_is_of_one_thing_and_has_one_present(said: str) -> None:
    with pytest.raises(ConfigError, match="owner_aliases"):
        parse_config(f"{COMPANY}owner_aliases: [{said}]\n")


def test_rules_that_are_told_apart_are_taken() -> None:
    """By the days, by the value of one thing, by what they say, or because one is the narrower."""
    config = parse_config(
        f"{COMPANY}ownership: [{{team: x, match: {{tags: {{app: a}}}}}}, {{team: y, match: {{tags: {{app: b}}}}}},"
        "{environment: e, match: {tags: {stage: c}}}, {team: z, match: {tags: {app: a, stage: c}}},"
        "{team: v, match: {account: a}, to: 2026-01-01}, {team: u, match: {account: a}, from: 2026-01-01}]\n"
    )
    in_order = narrowest_first(one.rule for one in config.ownership)
    found = owner_of({"account": "a"}, {"app": "a", "stage": "c"}, in_order)
    assert found == {"team": ("z", "tag app=a, tag stage=c"), "environment": ("e", "tag stage=c")}


VALUES = st.sampled_from(["a", "b", "a, account=b", 'c"', " a", "é"])
RULES = st.lists(
    st.builds(
        lambda fields, tags, says: OwnerRule(
            name=rule_name([*sorted(fields.items()), *((f"tag {key}", value) for key, value in sorted(tags.items()))]),
            fields=fields, tags=tags, says=says,
        ),
        st.dictionaries(st.sampled_from(FIELDS[-4:]), VALUES, max_size=2),
        st.dictionaries(st.sampled_from(["app", "stage, app", "x=y"]), VALUES, max_size=2),
        st.dictionaries(st.sampled_from(ATTRIBUTES), st.sampled_from(["x", "y"]), min_size=1),
    ),
    max_size=8,
)  # fmt: skip


TAG_KEYS = ["app", "stage, app", "x=y"]


@given(
    RULES,
    st.dictionaries(st.sampled_from(FIELDS[-4:]), VALUES),
    st.just(dict.fromkeys(TAG_KEYS, "a")) | st.dictionaries(st.sampled_from(TAG_KEYS), VALUES),
)
def test_rules_that_are_looked_up_say_what_they_say_one_after_the_other(
    rules: list[OwnerRule], fields: dict[str, str], tags: dict[str, str]
) -> None:
    """And two rules that name other things have other names, whatever stands in a value."""
    assert RuleBook(rules).owner_of(fields, tags) == owner_of(fields, tags, narrowest_first(rules))
    named = {rule.name: (rule.fields, rule.tags) for rule in rules}
    assert all(named[rule.name] == (rule.fields, rule.tags) for rule in rules)


def test_of_equally_narrow_rules_the_first_counts_whichever_tag_they_name() -> None:
    """As it is where one after the other is asked: a history that is read leniently may hold ties."""
    said = [("app", {"environment": "e"}), ("stage", {"team": "first"}), ("app", {"team": "second"})]
    rules = [OwnerRule(name=key, fields={}, tags={key: "a"}, says=says) for key, says in said]
    tags = {"app": "a", "stage": "a"}
    assert RuleBook(rules).owner_of({}, tags) == owner_of({}, tags, narrowest_first(rules))
    assert RuleBook(rules).owner_of({}, tags)["team"] == ("first", "stage")


def test_ten_thousand_rules_are_as_quick_to_ask_as_ten() -> None:
    """A rule a key: each charge is looked up, and not held against every rule."""
    rules = [
        OwnerRule(name=str(number), fields={"api_key_id": f"k{number}"}, says={"team": f"t{number}"})
        for number in range(10_000)
    ]
    book = RuleBook(rules)
    asked: list[str] = []

    class Counted(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.append(name)
            return super().get(name, default)

    assert book.owner_of(Counted(api_key_id="k9999"), {}) == {"team": ("t9999", "9999")}
    assert len(asked) < 5


def test_a_landed_rule_with_an_unknown_key_owns_nothing() -> None:
    """Without the key that this release does not know it would own more than was said."""
    said = yaml.safe_load("company: x\nownership: [{team: x, match: {account: a, planet: mars}}]\n")
    read = landed_config(said)
    assert read.config is not None
    assert read.config.ownership == ()
    assert "planet" in read.left_out[0]


def test_a_day_on_which_a_commitment_covers_a_gpu_and_nothing_is_billed_is_lawful(make_project: MakeProject) -> None:
    """As every day of a capacity block is, and of a reservation."""
    gpu = {"issuer": "cloudy", "resource_id": "gpu-1", "host": "node-1", "gpu_count": 8, "from": "2026-11-01"}
    made = make_project([focus(settle_lag_hours=0)])
    made.configure(gpu_resources=[gpu])
    covered = line(ResourceId="gpu-1", PricingCategory="Committed", BilledCost="0", EffectiveCost="5.00")
    made.drop(FOCUS, "cloudy", "cloud.csv", focus_csv([covered]))
    made.ingest()
    built = made.build()
    assert built.rows("select * from check_owner_money_conserved") == []
    spent = f"select cost_measure, realized_cost from {MART} where usage_date = '2026-11-02'"
    assert [tuple(row.values()) for row in built.rows(spent)] == [("effective", Decimal(5))]
