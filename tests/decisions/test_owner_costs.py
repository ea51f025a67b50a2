"""Spend by owner: every charge once, by hand beside the node; the narrowest rule of its day says whose it is."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import owner_costs
from pipeline.ownership import ATTRIBUTES, FIELDS, OwnerRule
from pipeline.paths import models_root, sql_root

Row = Mapping[str, Any]
FIRST = date(2026, 11, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(4)]
ALWAYS = {"valid_from_date": None, "valid_to_date": None}
_DATED = [name for name in owner_costs.INPUTS if not name.startswith("config_")]


def rule(tags: str | None = None, **said: Any) -> Row:
    return {**dict.fromkeys(FIELDS), "tags": tags, **dict.fromkeys(ATTRIBUTES), **ALWAYS, **said}


def workload(name: str, team: str | None = None, deployment: str | None = None) -> Row:
    return {"workload": name, "team": team, "deployment_id": deployment, **ALWAYS}


def amounts(cost: str | None, cost_rc: str | None = "same") -> Row:
    rc = cost if cost_rc == "same" else cost_rc
    status = "unknown" if cost is None else "unconverted" if rc is None else "known"
    return {
        "cost": None if cost is None else Decimal(cost).quantize(Decimal(10) ** -18),
        "cost_rc": None if rc is None else Decimal(rc).quantize(Decimal(10) ** -18),
        "cost_status": status,
        "charge_count": 1,
        "unknown_credit_count": 0,
    }


def api(day: date, cost: str | None, cost_rc: str | None = "same", **said: Any) -> Row:
    known_by = ("sub_account_id", "api_key_id", "gateway_key_id", "gateway_team_id")
    return {
        "usage_date": day, "issuer": "anthropic", "account": "main", **dict.fromkeys(known_by),
        "workload": "unassigned", "cost_measure": "billed", "billing_currency": "USD", **amounts(cost, cost_rc), **said,
    }  # fmt: skip


def cloud(day: date, cost: str, effective: str | None = None, **said: Any) -> Row:
    billed, covered = amounts(cost), amounts(effective)
    return {
        "usage_date": day, "issuer": "aws", "account": "aws", "sub_account_id": "1", "resource_id": "vol-1",
        "cost_measure": "billed", "billing_currency": "USD", "is_gpu_resource": False, "is_committed": False,
        "charge_count": 1, "unknown_credit_count": 0, "is_hosted_model": False, "is_server_usage": False,
        "is_per_use": False,
        "cost": billed["cost"],
        "billed_cost": billed["cost"], "billed_cost_rc": billed["cost_rc"],
        "effective_cost": covered["cost"], "effective_cost_rc": covered["cost_rc"], **said,
    }  # fmt: skip


def gpu(day: date, cost: str | None, cost_rc: str | None = "same", **said: Any) -> Row:
    return {
        "usage_date": day, "issuer": "gc", "account": "gc", "resource_id": "srv-1", "deployment_id": "chat",
        "state": "serving", "cost_measure": "billed", "billing_currency": "USD", **amounts(cost, cost_rc), **said,
    }  # fmt: skip


def served(day: date, name: str, tokens: int, deployment: str = "chat") -> Row:
    return {"usage_date": day, "deployment_id": deployment, "workload": name, "token_class": "output", "tokens": tokens}


def built(rules: Sequence[Row] = (), workloads: Sequence[Row] = (), **tables: Sequence[Row]) -> list[dict[str, Any]]:
    inputs: dict[str, Any] = {name: {} for name in _DATED}
    for name, rows in tables.items():
        for row in rows:
            inputs[name].setdefault(row["usage_date"], []).append(row)
    inputs |= {
        "this_partition": pl.DataFrame({"from_date": [FIRST], "to_date": [FIRST + timedelta(days=30)]}),
        "config_ownership": list(rules),
        "config_workloads": list(workloads),
    }
    rows = owner_costs.build(inputs).to_dicts()
    assert len({tuple(row[name] for name in owner_costs.GRAIN) for row in rows}) == len(rows)
    return rows


def by_team(rows: Sequence[Row], attribute: str = "team") -> dict[str | None, Decimal]:
    found: dict[str | None, Decimal] = {}
    for row in rows:
        found[row[attribute]] = found.get(row[attribute], Decimal(0)) + row["realized_cost"]
    return {name: cost.normalize() for name, cost in found.items()}


VALUES: Mapping[str, Sequence[str]] = {
    "api_key_id": ["k1", "k2"], "workload": ["w1", "w2"], "deployment_id": ["chat", "search"],
    "resource_id": ["srv-1", "vol-1"], "sub_account_id": ["s1", "Default"], "account": ["main", "gc", "aws"],
}  # fmt: skip
# What is narrower than what, written once more.
ORDER = ["api_key_id", "workload", "deployment_id", "resource_id", "sub_account_id", "account"]
MONEY = st.integers(-(10**6), 10**6).map(lambda cents: str(Decimal(cents).scaleb(-2)))
SPANS = st.tuples(st.sampled_from([None, *DAYS]), st.sampled_from([None, *DAYS]))


@st.composite
def rules(draw: st.DrawFn) -> list[Row]:
    """Rules of which none ties with another: one of each set of things a time."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for number in range(draw(st.integers(0, 7))):
        names = draw(st.sets(st.sampled_from(ORDER), min_size=1, max_size=3))
        said = {name: draw(st.sampled_from(VALUES[name])) for name in sorted(names)}
        owners = draw(st.sets(st.sampled_from(ATTRIBUTES), min_size=1))
        start, end = draw(SPANS)
        if start is not None and end is not None and start >= end:
            continue
        row = rule(
            **said, **{name: f"{name}-{number}" for name in owners}, valid_from_date=start, valid_to_date=end
        )  # fmt: skip
        same = found.setdefault(tuple(sorted(said.items())), [])
        if all(_apart(row, other) for other in same):
            same.append(row)
    return [row for same in found.values() for row in same]


def _apart(one: Row, other: Row) -> bool:
    lo, hi = date.min, date.max
    return (one["valid_to_date"] or hi) <= (other["valid_from_date"] or lo) or (other["valid_to_date"] or hi) <= (
        one["valid_from_date"] or lo
    )


def brute_owner(day: date, row: Row, said: Sequence[Row], attribute: str) -> str | None:
    """Of all rules that match and say the attribute, the one whose narrowest thing is the narrowest, and so on."""
    best: tuple[list[int], str] | None = None
    for one in said:
        owner = one[attribute]
        if owner is None or not ((one["valid_from_date"] or date.min) <= day < (one["valid_to_date"] or date.max)):
            continue
        named = [name for name in ORDER if one[name] is not None]
        value = {
            **row,
            "sub_account_id": row.get("sub_account_id") or ("Default" if row["account"] == "main" else None),
        }
        if any(value.get(name) != one[name] for name in named):
            continue
        rank = [-ORDER.index(name) for name in named]
        # A longer list that begins alike is the narrower; another one is decided where they first differ.
        if best is None or rank > best[0]:
            best = rank, owner
    return None if best is None else best[1]


CHARGES = st.lists(
    st.one_of(
        st.builds(
            lambda day, cost, sub, key, load: ("fct_api_costs_daily", api(
                day, cost, sub_account_id=sub, api_key_id=key, workload=load)),
            st.sampled_from(DAYS), MONEY, st.sampled_from(["s1", None]), st.sampled_from(["k1", "k2", None]),
            st.sampled_from(["w1", "w2", "unassigned"]),
        ),
        st.builds(
            lambda day, cost, sub, resource, currency: ("fct_cloud_charges_daily", cloud(
                day, cost, sub_account_id=sub, resource_id=resource, billing_currency=currency)),
            st.sampled_from(DAYS), MONEY, st.sampled_from(["s1", None]), st.sampled_from(["vol-1", None]),
            st.sampled_from(["USD", "EUR"]),
        ),
        st.builds(
            lambda day, cost, resource, name, measure: ("fct_gpu_costs_daily", gpu(
                day, cost, resource_id=resource, deployment_id=name, cost_measure=measure)),
            st.sampled_from(DAYS), MONEY, st.sampled_from(["srv-1", "srv-2"]),
            st.sampled_from(["chat", "search", None]), st.sampled_from(["billed", "accrued"]),
        ),
    ),
    max_size=10,
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(said=rules(), charges=CHARGES)
def test_every_charge_is_owned_once_by_the_narrowest_rule_of_its_day_and_nothing_is_lost(
    said: list[Row], charges: list[tuple[str, Row]]
) -> None:
    """B22, B24: owners and nobody add up to the charges, in every currency and measure."""
    tables: dict[str, list[Row]] = {}
    for table, row in charges:
        tables.setdefault(table, []).append(row)
    found = built(said, **tables)
    expected: dict[tuple[Any, ...], Fraction] = {}
    for _, row in charges:
        known = {**row, "workload": None if row.get("workload") == "unassigned" else row.get("workload")}
        owners = tuple(brute_owner(row["usage_date"], known, said, attribute) for attribute in ATTRIBUTES)
        key = (row["usage_date"], row["cost_measure"], row["billing_currency"], *owners)
        expected[key] = expected.get(key, Fraction(0)) + Fraction(row["cost"])
    told: dict[tuple[Any, ...], Fraction] = {}
    for row in found:
        key = tuple(row[name] for name in ("usage_date", "cost_measure", "billing_currency", *ATTRIBUTES))
        told[key] = told.get(key, Fraction(0)) + Fraction(row["realized_cost"])
    assert told == expected
    assert sum(row["charge_count"] for row in found) == len(charges)


@settings(max_examples=60, deadline=None)
@given(said=rules(), charges=CHARGES, day=st.sampled_from(DAYS))
def test_a_transfer_on_a_date_leaves_what_was_spent_before_where_it_was(
    said: list[Row], charges: list[tuple[str, Row]], day: date
) -> None:
    """A key's owner until a day, and another from then on: what is before the day is as if there had been no other."""
    tables: dict[str, list[Row]] = {}
    for table, row in charges:
        tables.setdefault(table, []).append(row)
    others = [row for row in said if row["api_key_id"] is None]
    always = [*others, rule(api_key_id="k1", team="before")]
    moved = [
        *others,
        rule(api_key_id="k1", team="before", valid_to_date=day),
        rule(api_key_id="k1", team="after", valid_from_date=day),
    ]
    found = built(moved, **tables)
    assert [row for row in found if row["usage_date"] < day] == [
        row for row in built(always, **tables) if row["usage_date"] < day
    ]
    since = [row for row in found if row["api_key_id"] == "k1" and row["usage_date"] >= day]
    assert {row["team"] for row in since} <= {"after"}


def test_a_deployment_is_split_over_the_workloads_it_served_to_the_last_quantum() -> None:
    rows = built(
        workloads=[workload("w1", "support", "chat"), workload("w2", "search", "chat")],
        fct_gpu_costs_daily=[gpu(DAYS[0], "0.000000000000000010"), gpu(DAYS[0], None, deployment_id="chat")],
        fct_self_host_tokens_daily=[served(DAYS[0], "w1", 2), served(DAYS[0], "w2", 1)],
    )
    known = [row for row in rows if row["cost_status"] == "known"]
    assert by_team(known) == {"support": Decimal("7E-18"), "search": Decimal("3E-18")}
    assert {row["team"] for row in rows if row["cost_status"] == "unknown"} == {"support", "search"}
    assert {row["team_matched_by"] for row in rows} == {"workload=w1", "workload=w2"}


def test_what_served_nobody_is_the_only_teams_that_names_the_deployment() -> None:
    one_team = [workload("w1", "support", "chat"), workload("w2", "support", "chat")]
    charges = [gpu(DAYS[0], "5")]
    assert by_team(built(workloads=one_team, fct_gpu_costs_daily=charges)) == {"support": Decimal(5)}
    two_teams = [workload("w1", "support", "chat"), workload("w2", "search", "chat")]
    assert by_team(built(workloads=two_teams, fct_gpu_costs_daily=charges)) == {None: Decimal(5)}
    half = [workload("w1", "support", "chat"), workload("w2", None, "chat")]
    assert by_team(built(workloads=half, fct_gpu_costs_daily=charges)) == {None: Decimal(5)}


def test_a_tag_a_namespace_and_a_replica_say_whose_gpus_were() -> None:
    day = DAYS[0]
    charges = [
        gpu(day, "10"),
        gpu(day, "4", state="unallocated", deployment_id=None),
        gpu(day, "7", resource_id="srv-2", deployment_id=None),
    ]
    held = [
        {"usage_date": day, "gpu_uuid": "G1", "deployment_id": "chat", "state": "serving", "replica_id": name,
         "gpu_milliseconds": ms}
        for name, ms in (("prod/vllm-0", 600), ("prod/vllm-1", 200), ("trial/vllm-0", 200))
    ]  # fmt: skip
    rows = built(
        [
            rule(namespace="prod", team="support", environment="prod"),
            rule(replica_id="prod/vllm-1", team="search"),
            rule(tags='{"cost":"42"}', cost_centre="CC-42"),
            rule(account="gc", team="platform"),
        ],
        fct_gpu_costs_daily=charges,
        fct_gpu_shares_interval=held,
        int_gpu_states_daily=[{"usage_date": day, "issuer": "gc", "resource_id": "srv-1", "gpu_uuid": "G1"}],
        int_owner_tags_daily=[
            {"usage_date": day, "account": "gc", "resource_id": "srv-2", "tag_key": "cost", "tag_value": "42"},
            {"usage_date": day, "account": "gc", "resource_id": "srv-1", "tag_key": "cost", "tag_value": "43"},
        ],
    )
    assert by_team(rows) == {"support": Decimal(6), "search": Decimal(2), "platform": Decimal(13)}
    assert by_team(rows, "environment") == {"prod": Decimal(8), None: Decimal(13)}
    assert by_team(rows, "cost_centre") == {"CC-42": Decimal(7), None: Decimal(14)}


def test_what_a_commitment_covers_is_billed_as_it_is_and_effective_beside_it() -> None:
    """Of a GPU what it costs is in the GPUs' table: only what is billed of it beside that is here."""
    rows = built(
        [rule(account="aws", team="platform")],
        fct_cloud_charges_daily=[
            cloud(DAYS[0], "0", "3", is_committed=True),
            cloud(DAYS[0], "2", "5", is_committed=True, is_gpu_resource=True),
            cloud(DAYS[0], "7", "7"),
        ],
    )
    assert {(row["cost_measure"], row["realized_cost"], row["charge_count"]) for row in rows} == {
        ("billed", Decimal(9), 3),
        ("effective", Decimal(3), 1),
    }


def test_the_workspace_that_has_no_id_is_called_default_as_in_workloads() -> None:
    rows = built(
        [rule(account="main", sub_account_id="Default", team="chat")],
        fct_api_costs_daily=[api(DAYS[0], "1"), api(DAYS[0], "2", sub_account_id="s1")],
        fct_cloud_charges_daily=[cloud(DAYS[0], "4", account="main", sub_account_id=None)],
    )
    assert by_team(rows) == {"chat": Decimal(1), None: Decimal(6)}


def test_missing_is_not_zero_and_what_has_no_rate_stands_apart() -> None:
    rows = built(
        [rule(account="gc", team="platform")],
        fct_gpu_costs_daily=[gpu(DAYS[0], None), gpu(DAYS[0], "3", None, billing_currency="EUR"), gpu(DAYS[0], "2")],
    )
    assert {(row["cost_status"], row["realized_cost"], row["realized_cost_rc"]) for row in rows} == {
        ("unknown", None, None),
        ("unconverted", Decimal(3), None),
        ("known", Decimal(2), Decimal(2)),
    }


@pytest.mark.parametrize("name", sorted(owner_costs.READS))
def test_what_is_read_of_a_table_is_what_its_columns_are(name: str) -> None:
    """Engines and tags are read only where a rule names them: a typo there would wait for the first who writes one."""
    [file] = models_root().glob(f"*/{name}.yml")
    columns = yaml.safe_load(file.read_text(encoding="utf-8"))["columns"]
    with duckdb.connect() as connection:
        said = ", ".join(f'"{column}" {about["type"]}' for column, about in columns.items())
        connection.execute(f"create table {name} ({said})")
        assert connection.execute(owner_costs.READS[name]).fetchall() == []


FAULTS = {
    "nothing": "",
    "lost": "delete from fct_owner_costs_daily where lane = 'cloud'",
    "twice": "insert into fct_owner_costs_daily select * from fct_owner_costs_daily where lane = 'api'",
    "another currency": "update fct_owner_costs_daily set billing_currency = 'EUR' where lane = 'api'",
    "another measure": "update fct_owner_costs_daily set cost_measure = 'billed' where cost_measure = 'accrued'",
    "a quantum": "update fct_owner_costs_daily set realized_cost = realized_cost + 0.000000000000000001 "
    "where lane = 'gpu' and cost_measure = 'effective'",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_law_finds_what_is_lost_counted_twice_or_named_otherwise(fault: str) -> None:
    """B22, B24: a charge of each kind, each once; then one of them is not as it was charged."""
    day = f"date '{DAYS[0]}'"
    money = "cast({} as decimal(38, 18))"
    with duckdb.connect() as connection:
        for text in (
            f"create table int_api_charges_daily as select {day} as usage_date, 'anthropic' as issuer, "
            f"'main' as account, 'USD' as billing_currency, {money.format(1)} as billed_cost, true as is_book",
            f"create table int_cloud_charges_daily as select {day} as usage_date, 'aws' as issuer, 'aws' as account, "
            f"'USD' as billing_currency, {money.format(2)} as billed_cost, {money.format(3)} as effective_cost, "
            "true as is_book, false as is_gpu_resource, 'Committed' as pricing_category",
            f"create table int_gpu_charges_daily as select {day} as usage_date, 'gc' as issuer, 'gc' as account, "
            f"unnest(['billed', 'effective']) as cost_measure, unnest([1, null]) as line_number, "
            f"'USD' as billing_currency, {money.format(4)} as realized_cost",
            f"create table int_gpu_resource_costs_daily as select {day} as usage_date, 'gc' as issuer, "
            f"cast(null as varchar) as account, 'accrued' as cost_measure, 'USD' as billing_currency, "
            f"{money.format(5)} as realized_cost",
            f"create table fct_owner_costs_daily as select {day} as usage_date, issuer, account, lane, cost_measure, "
            "'USD' as billing_currency, cast(cost as decimal(38, 18)) as realized_cost from (values "
            "('anthropic', 'main', 'api', 'billed', 1), ('aws', 'aws', 'cloud', 'billed', 2), "
            "('aws', 'aws', 'cloud', 'effective', 3), ('gc', 'gc', 'gpu', 'billed', 4), "
            "('gc', 'gc', 'gpu', 'effective', 4), ('gc', null, 'gpu', 'accrued', 5)"
            ") as t (issuer, account, lane, cost_measure, cost)",
            FAULTS[fault] or "select 1",
        ):
            connection.execute(text)
        law = (sql_root() / "checks" / "owner_money_conserved.sql").read_text(encoding="utf-8")
        found = connection.execute(law).fetchall()
    assert bool(found) is (fault != "nothing"), found


def test_a_rule_with_one_thing_more_is_the_narrower_and_a_wider_thing_never_outweighs_a_narrow_one() -> None:
    key = OwnerRule("k", {"api_key_id": "k"}, {"team": "a"})
    wide = OwnerRule("w", {"sub_account_id": "s", "account": "a", "gateway_team_id": "g"}, {"team": "b"})
    both = OwnerRule("b", {"api_key_id": "k", "account": "a"}, {"team": "c"})
    assert key.narrowness > wide.narrowness
    assert both.narrowness > key.narrowness
    # Two tags that a charge may both have say it twice; two values of one tag never do.
    one = OwnerRule("1", {}, {"team": "a"}, {"app": "x"})
    assert one.is_tied_with(OwnerRule("2", {}, {"team": "b"}, {"stage": "y"}))
    assert not one.is_tied_with(OwnerRule("2", {}, {"team": "b"}, {"app": "y"}))
    assert not one.is_tied_with(OwnerRule("2", {}, {"environment": "b"}, {"stage": "y"}))
