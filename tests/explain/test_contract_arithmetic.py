"""A verdict under contracts is recomputed from what `explain` prints alone: agreed prices, new prices, commitments.

The printed lines are read as text and evaluated; the questions that fetch their inputs are asked of real tables.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.config_tables.frames import SCHEMAS
from pipeline.decisions import api_prices
from pipeline.explain.verdict_arithmetic import write_out
from pipeline.explain.verdict_inputs import VerdictInputs
from pipeline.paths import sql_root
from tests.decisions.test_contracts import contract, invoiced_shortfall, other_workload
from tests.decisions.test_verdict_conditions import on_api
from tests.decisions.test_verdict_rates import ALWAYS, DAYS, LAST, Row, api_cost, inputs_with, listed
from tests.explain.test_condition_arithmetic import inputs_of
from tests.test_explain import _close, _evaluated

# `what = expression = value unit`; what may hold words in brackets, an expression no letters but x, max and ceil.
_STEP = re.compile(r"(?P<what>\S.*?) = (?P<expression>[-0-9.x/+*() ,ceilmax]+) = (?P<value>-?[0-9.]+)(?: \D.*)?")
_SCHEMAS: Mapping[str, Mapping[str, pl.DataType]] = {
    "api_prices": api_prices.SCHEMA,
    "config_contracts": SCHEMAS["config_contracts"],
    "config_workloads": SCHEMAS["config_workloads"],
    "fct_api_costs_daily": {
        **dict.fromkeys(("workload", "provider", "account", "model", "token_class", "price_mode"), pl.String()),
        **dict.fromkeys(("charge_kind", "context_window", "inference_geo"), pl.String()),
        "usage_date": pl.Date(),
        "tokens": pl.Int64(),
        "billed_cost_rc": pl.Decimal(38, 18),
    },
}


def asked(name: str, tables: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """A question of `explain` over these tables, as they would be published."""
    with duckdb.connect() as connection, TemporaryDirectory() as folder:
        for table, rows in tables.items():
            schema = _SCHEMAS.get(table)
            frame = pl.DataFrame(
                [dict(row) if schema is None else {key: row.get(key) for key in schema} for row in rows],
                schema=None if schema is None else dict(schema),
                infer_schema_length=None,
                orient="row",
            )
            frame.write_parquet(f"{folder}/{table}.parquet")
            connection.execute(f"create table {table} as from '{folder}/{table}.parquet'")
        text = (sql_root() / "explain" / f"{name}.sql").read_text(encoding="utf-8")
        given_values = {"workload": "chat", "days": DAYS, "usage_date": LAST}
        found = connection.execute(text, {key: value for key, value in given_values.items() if f"${key}" in text})
        columns = [column[0] for column in found.description]
        return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


def explained(tables: Mapping[str, Sequence[Row]]) -> tuple[list[str], dict[str, Any], VerdictInputs]:
    """The lines `explain verdict` prints, the published row, and the inputs its questions found."""
    given_tables = {"config_deployments": inputs_with()["config_deployments"], **tables}
    inputs = inputs_of(**given_tables)
    questions = {
        **{name: tables.get(name, ()) for name in ("api_prices", "config_contracts")},
        "config_workloads": inputs_with()["config_workloads"],
        "fct_api_costs_daily": tables["fct_api_costs_daily"],
        "fct_demand_daily": tables["fct_demand_daily"],
    }
    inputs = VerdictInputs(
        **{
            **vars(inputs),
            "listed": asked("verdict_api_prices", questions),
            "repriced": asked("verdict_repriced", questions),
            "commitments": asked("verdict_commitment", questions),
            "billed": asked("verdict_api_costs", questions),
        }
    )
    done = write_out(inputs)
    assert [found for found in done.equalities if not found.holds] == []
    return done.lines, dict(inputs.row), inputs


def recomputed(lines: Sequence[str]) -> dict[str, Fraction]:
    """What each printed step comes to, evaluated from its printed expression and compared with its printed value."""
    found: dict[str, Fraction] = {}
    for line in lines:
        step = _STEP.fullmatch(line)
        if step is None:
            continue
        value = _evaluated(step["expression"])
        assert _close(value, Fraction(step["value"])), line
        found[step["what"]] = value
    return found


def agreed_prices(before: int, now: int, on: date) -> list[Row]:
    rate = {"price_basis": "rate", "price_source": "contract with anthropic, from its day"}
    return [
        {**listed("USD", str(before)), "valid_from_date": None, "valid_to_date": on},
        {**listed("USD", str(now)), **rate, "valid_from_date": on, "valid_to_date": None},
    ]


@settings(max_examples=5, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 2_000_000), min_size=24, max_size=24).filter(any),
    before=st.integers(1, 40),
    now=st.integers(0, 40),
    first=st.integers(0, 27),
    commitment=st.integers(0, 30_000),
    others=st.integers(0, 600),
    period=st.sampled_from(["month", "quarter", "year"]),
)
def test_every_number_of_a_verdict_under_a_contract_is_in_the_printed_lines(
    tokens: list[int], before: int, now: int, first: int, commitment: int, others: int, period: str
) -> None:
    costs = [*on_api(tokens)["fct_api_costs_daily"], *(other_workload(day, str(others)) for day in DAYS)]
    tables: dict[str, Sequence[Row]] = {
        **on_api(tokens),
        "fct_api_costs_daily": costs,
        "api_prices": agreed_prices(before, now, DAYS[first]),
        "config_contracts": [contract(commitment_cost=Decimal(commitment), commitment_period=period)],
    }
    lines, row, inputs = explained(tables)
    steps = recomputed(lines)
    assert _close(steps["API price at this mix"], row["api_price_rc_per_mtok"])
    assert bool(inputs.repriced) == (first > 0 and before != now)
    if row["best_replica_count"] is None:
        return
    costs_of = {what: value for what, value in steps.items() if what.startswith("C(")}
    assert _close(min(costs_of.values()), row["best_cost_rc"])
    assert _close(next(value for what, value in costs_of.items() if what.startswith("C(0)")), row["api_only_cost_rc"])
    assert _close(steps["cost as it is done today"], row["current_cost_rc"])
    assert _close(next(value for what, value in steps.items() if what.startswith("saving")), row["saving_rc_per_month"])
    committed = max(
        Fraction(0), (Fraction(commitment, {"month": 30, "quarter": 92, "year": 365}[period]) - others) * 28
    )
    if commitment:
        assert _close(steps["K, what of it other traffic does not use up"], committed)


@pytest.mark.parametrize(
    "agreed",
    [
        [contract(commitment_cost=Decimal(9000))],
        [contract(commitment_cost=Decimal(9)), contract(provider="openai", commitment_cost=Decimal(9))],
        [contract(commitment_cost=Decimal(9), currency="SEK")],
    ],
    ids=["a part", "several", "no rate"],
)
def test_a_verdict_that_a_commitment_leaves_open_is_explained_as_open(agreed: list[Row]) -> None:
    costs = on_api([500_000] * 24)["fct_api_costs_daily"]
    elsewhere = [{**row, "provider": "openai"} for row in costs]
    tables = {**on_api([500_000] * 24), "fct_api_costs_daily": [*costs, *elsewhere], "config_contracts": agreed}
    lines, row, _ = explained(tables)
    assert row["api_price_rc_per_mtok"] is None
    assert any(line.startswith("a commitment leaves the price open") for line in lines)
    assert not any(line.startswith("K, ") for line in lines)


def test_what_is_billed_for_a_period_is_written_out_as_the_windows_share_of_it() -> None:
    """Of a quarter's shortfall, 92 x 140, 28 days' part goes against what is due."""
    costs = [*on_api([1_000_000] * 24)["fct_api_costs_daily"], invoiced_shortfall(DAYS[18], str(92 * 140), "others")]
    agreed = contract(commitment_cost=Decimal(46_000), commitment_period="quarter")
    tables = {**on_api([1_000_000] * 24), "fct_api_costs_daily": costs, "config_contracts": [agreed]}
    lines, row, _ = explained(tables)
    assert _close(recomputed(lines)["K, what of it other traffic does not use up"], row["api_committed_cost_rc"])
    assert row["api_committed_cost_rc"] == 28 * 360


def test_a_commitment_that_is_a_little_off_does_not_recompute() -> None:
    tables: dict[str, Sequence[Row]] = {
        **on_api([500_000] * 24),
        "config_contracts": [contract(commitment_cost=Decimal(6000))],
        "config_deployments": inputs_with()["config_deployments"],
    }
    inputs = inputs_of(**tables)
    off = [{**row, "commitment_cost": row["commitment_cost"] + 1} for row in inputs.commitments]
    done = write_out(VerdictInputs(**{**vars(inputs), "commitments": off}))
    assert {found.claim.partition(":")[0] for found in done.equalities if not found.holds} >= {
        "api_only_cost_rc",
        "best_cost_rc",
        "current_cost_rc",
    }


@pytest.mark.parametrize(
    ("agreed", "found"),
    [
        ([], 0),
        ([contract()], 0),
        ([contract(minimum_monthly_cost=Decimal(9))], 1),
        ([contract(commitment_cost=Decimal(9)), contract(account="main")], 0),
        ([contract(commitment_cost=Decimal(9)), contract(account="main", commitment_cost=Decimal(1))], 1),
        ([contract(account="labs", commitment_cost=Decimal(9))], 0),
        ([{**contract(commitment_cost=Decimal(9)), "valid_to_date": LAST}], 0),
        ([{**contract(commitment_cost=Decimal(9)), "valid_from_date": LAST + timedelta(days=1)}], 0),
        ([{**contract(commitment_cost=Decimal(9)), "provider": "openai"}], 0),
    ],
)
def test_the_contract_that_explain_finds_is_the_one_the_verdict_was_under(agreed: list[Row], found: int) -> None:
    """An account's own goes before one for all, whether or not it commits to anything; only what is in force counts."""
    tables = {**on_api([500_000] * 24), "config_contracts": agreed}
    _, _, inputs = explained(tables)
    assert len(inputs.commitments) == found


def test_an_unbilled_workload_is_explained_at_the_agreed_price() -> None:
    costs = [{**api_cost(day), "billed_cost_rc": None, "billed_cost": None} for day in DAYS]
    prices = agreed_prices(25, 20, DAYS[10])
    prices += [{**listed("USD", "1"), "account": "labs", **ALWAYS}]
    demand = on_api([1_000_000] + [0] * 23)
    lines, row, _ = explained({**demand, "fct_api_costs_daily": costs, "api_prices": prices})
    assert row["api_price_basis"] == "rate"
    assert recomputed(lines)["price of output (rate)"] == 20


def test_of_several_sellers_the_prices_and_the_commitment_are_of_the_one_that_a_contract_names() -> None:
    agreed = {**listed("USD", "2"), "provider": "groq", "price_basis": "rate", "price_source": "contract with groq"}
    bound = [contract(provider=name, commitment_cost=Decimal(300)) for name in ("cerebras", "groq")]
    tables = {
        "api_prices": [agreed, {**listed("USD", "9"), "provider": "cerebras"}],
        "config_contracts": bound,
        "config_workloads": inputs_with()["config_workloads"],
        "fct_api_costs_daily": [],
        "fct_demand_daily": [{"usage_date": LAST, "workload": "chat", "lane": "self_host", "tokens": 1}],
    }
    assert [row["provider"] for row in asked("verdict_api_prices", tables)] == ["groq"]
    assert [row["provider"] for row in asked("verdict_commitment", tables)] == ["groq"]
