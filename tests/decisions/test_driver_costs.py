"""Cost per task and customer: by hand beside the node, and unknown where either side is."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import driver_costs
from pipeline.ownership import ATTRIBUTES, FIELDS

Row = Mapping[str, Any]
ALWAYS = {"valid_from_date": None, "valid_to_date": None}
FIRST = date(2026, 2, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(28)]
SCOPES: Sequence[tuple[str | None, str | None]] = [(None, None), ("support", None), (None, "chat")]


def value(day: date, quantity: str | None, *, per: str = "day", account: str = "a", **said: Any) -> Row:
    return {
        "usage_date": day, "account": account, "period": per, "driver": "tasks", "team": None, "workload": None,
        "driver_quantity": None if quantity is None else Decimal(quantity), **said,
    }  # fmt: skip


def charge(day: date, cost: str | None, team: str | None = "support", workload: str | None = "chat") -> Row:
    return {
        "usage_date": day, "team": team, "workload": workload, "cost_measure": "billed",
        "cost_status": "unknown" if cost is None else "known", "cost_rc": None if cost is None else Decimal(cost),
    }  # fmt: skip


def used(day: date, workload: str = "unassigned", **said: str) -> Row:
    """Tokens that no bill charges yet."""
    return {"usage_date": day, "issuer": "anthropic", "account": "main", "workload": workload, **said}


def built(
    values: Sequence[Row],
    charges: Sequence[Row] = (),
    *,
    unbilled: Sequence[Row] = (),
    settled: Sequence[date] = DAYS,
    **config: Sequence[Row],
) -> dict[tuple[Any, ...], dict[str, Any]]:
    def by_day(rows: Sequence[Row]) -> dict[date, list[Row]]:
        found: dict[date, list[Row]] = {}
        for row in rows:
            found.setdefault(row["usage_date"], []).append(row)
        return found

    inputs: dict[str, Any] = {
        "this_partition": pl.DataFrame({"from_date": [FIRST], "to_date": [date(2026, 3, 1)]}),
        "stg_drivers_csv__values_daily": by_day(values),
        "fct_owner_costs_daily": by_day(charges),
        "fct_api_costs_daily": by_day(unbilled),
        "fct_day_status_daily": {
            day: {"status": "settled" if day in settled else "provisional", "blocked_count": 0} for day in DAYS
        },
        **{f"config_{name}": config.get(name, ()) for name in ("owner_aliases", "ownership", "workloads")},
    }
    rows = driver_costs.build(inputs).to_dicts()
    found = {tuple(row[name] for name in driver_costs.GRAIN): row for row in rows}
    assert len(found) == len(rows)
    return found


def month(rows: Mapping[tuple[Any, ...], dict[str, Any]], *scope: str | None) -> dict[str, Any]:
    return rows[FIRST, "month", "tasks", *(scope or (None, None))]


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.sampled_from(DAYS), st.sampled_from(SCOPES), st.one_of(st.none(), st.integers(0, 50))), max_size=40
    ),
    whole=st.booleans(),
    charges=st.lists(
        st.tuples(
            st.sampled_from(DAYS), st.one_of(st.none(), st.integers(-50, 500)),
            st.sampled_from(["support", "search", None]), st.sampled_from(["chat", "batch", None]),
        ),
        max_size=12,
    ),
    open_days=st.sets(st.sampled_from(DAYS), max_size=2),
)  # fmt: skip
def test_a_price_is_cost_over_value_and_unknown_where_either_is(
    values: list[tuple[date, tuple[str | None, str | None], int | None]],
    whole: bool,
    charges: list[tuple[date, int | None, str | None, str | None]],
    open_days: set[date],
) -> None:
    said: dict[tuple[date, tuple[str | None, str | None]], int | None] = {}
    if whole:
        said = {(day, (None, None)): 1 + day.day for day in DAYS}
    said |= {(day, scope): number for day, scope, number in values}
    rows = built(
        [
            value(day, None if number is None else str(number), team=scope[0], workload=scope[1])
            for (day, scope), number in said.items()
        ],
        [charge(day, None if cost is None else str(cost), team, load) for day, cost, team, load in charges],
        settled=[day for day in DAYS if day not in open_days],
    )

    def cost(days: Sequence[date], scope: tuple[str | None, str | None]) -> Fraction | None:
        own = [
            amount
            for day, amount, team, load in charges
            if day in days and scope[0] in (None, team) and scope[1] in (None, load)
        ]
        return None if None in own or open_days & set(days) else Fraction(sum(amount or 0 for amount in own))

    def price(total: Fraction | None, number: int | None) -> float | None:
        return None if total is None or not number else float(total / number)

    expected: dict[tuple[Any, ...], float | None] = {
        (day, "day", "tasks", *scope): price(cost([day], scope), number) for (day, scope), number in said.items()
    }
    for scope in {scope for _, scope in said}:
        numbers = [said.get((day, scope)) for day in DAYS]
        total = None if None in numbers else sum(number or 0 for number in numbers)
        expected[FIRST, "month", "tasks", *scope] = price(cost(DAYS, scope), total)
    assert {key: row["realized_rc_per_unit"] for key, row in rows.items()} == expected
    assert all((row["status"] == "known") is (row["realized_rc_per_unit"] is not None) for row in rows.values())
    assert all((row["reason"] is None) is (row["status"] == "known") for row in rows.values())


def test_a_value_of_the_month_is_held_against_the_month_and_goes_before_its_days() -> None:
    rows = built([value(FIRST, "400", per="month"), value(DAYS[3], "7")], [charge(DAYS[5], "100")])
    assert (month(rows)["realized_rc_per_unit"], month(rows)["days_count"]) == (0.25, 28)
    assert rows[DAYS[3], "day", "tasks", None, None]["realized_rc_per_unit"] == 0.0


def test_why_it_is_unknown_is_said() -> None:
    reason = month(built([value(DAYS[0], "5")]))["reason"]
    assert reason == "no value on 27 of 28 days, the first 2026-02-02"
    assert month(built([value(FIRST, "5", per="month")], [charge(DAYS[1], None)]))["reason"] == (
        "2026-02-02: a charge has no amount"
    )
    assert month(built([value(FIRST, "0", per="month")]))["reason"] == "nothing of it was counted"
    two = [value(FIRST, "5", per="month"), value(FIRST, "6", per="month", account="b")]
    assert month(built(two))["reason"] == "files state its value differently"
    unbilled = [used(DAYS[2])]
    for scope in ((None, None), ("support", None)):
        rows = built([value(FIRST, "5", per="month", team=scope[0])], unbilled=unbilled)
        assert month(rows, *scope)["reason"] == "2026-02-03: tokens were used that no bill charges yet"
    rows = built([value(FIRST, "5", per="month", workload="chat")], unbilled=unbilled)
    assert month(rows, None, "chat")["status"] == "known"


def test_tokens_on_no_bill_are_their_owners_by_the_rules_that_give_him_the_bill() -> None:
    """B12: of a workload of one team used with a key of another's, the key says whose it is, as of what is billed."""
    rules = [
        {**dict.fromkeys((*FIELDS, *ATTRIBUTES, "tags")), "api_key_id": "k1", "team": "labs", **ALWAYS},
    ]
    workloads = [{"workload": "chat", "team": "support", "deployment_id": None, **ALWAYS}]
    aliases = [{"attribute": "team", "past_name": "labs", "present_name": "research", **ALWAYS}]
    rows = built(
        [value(FIRST, "5", per="month", team=team) for team in ("labs", "research", "support")],
        [charge(DAYS[0], "10", "labs"), charge(DAYS[0], "20", "support")],
        unbilled=[used(DAYS[2], "chat", api_key_id="k1")],
        ownership=rules,
        workloads=workloads,
        owner_aliases=aliases,
    )
    found = {team: month(rows, team, None) for team in ("labs", "research", "support")}
    assert {team: row["reason"] for team, row in found.items()} == {
        "labs": "2026-02-03: tokens were used that no bill charges yet",
        "research": "2026-02-03: tokens were used that no bill charges yet",
        "support": None,
    }
    assert found["support"]["realized_rc_per_unit"] == 4.0
    rows = built(
        [value(FIRST, "5", per="month", team="research")], [charge(DAYS[0], "10", "labs")], owner_aliases=aliases
    )
    assert month(rows, "research", None)["realized_rc_per_unit"] == 2.0
