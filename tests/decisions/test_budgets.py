"""Budgets: every row worked out a second time from the marts, what teams spent adding up to what was spent, and the
rule of the forecast by hand."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.config_tables.frames import SCHEMAS, config_frames
from pipeline.build.config_tables.versions import config_versions
from pipeline.build.relations import FrameRelation
from pipeline.build.runner import Runner
from pipeline.decisions.graph import PYTHON_MODELS, current_snapshot
from pipeline.landing.project import Project
from pipeline.reports.questions import Questions
from tests.schemas import with_shared_schemas

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]

MONTH = date(2026, 11, 1)
DAYS = [date(2026, 10, 4) + timedelta(days=number) for number in range(58)]
ALWAYS = {"valid_from_date": None, "valid_to_date": None}
QUANTA = 10**18
MODEL = next(model for model in PYTHON_MODELS if model.name == "fct_budgets_monthly")
OWNERS = next(model for model in PYTHON_MODELS if model.name == "fct_owner_costs_daily")
HOSTED = next(model for model in PYTHON_MODELS if model.name == "fct_cloud_model_costs_daily")
_MONEY = pl.Decimal(38, 18)
_TEXT = pl.String()
COLUMNS: Mapping[str, Mapping[str, pl.DataType]] = {
    "fct_api_costs_daily": {
        "usage_date": pl.Date(), "provider": _TEXT, "issuer": _TEXT, "account": _TEXT, "sub_account_id": _TEXT,
        "api_key_id": _TEXT, "gateway_key_id": _TEXT, "gateway_team_id": _TEXT, "workload": _TEXT, "team": _TEXT,
        "model": _TEXT, "attribution": _TEXT, "billing_currency": _TEXT, "billed_cost": _MONEY,
        "billed_cost_rc": _MONEY,
    },
    "fct_cloud_charges_daily": {
        "usage_date": pl.Date(), "issuer": _TEXT, "account": _TEXT, "sub_account_id": _TEXT, "resource_id": _TEXT,
        "service": _TEXT, "sku_meter": _TEXT, "consumed_unit": _TEXT, "consumed_quantity": _MONEY,
        "charge_category": _TEXT, "pricing_category": _TEXT, "is_book": pl.Boolean(), "is_gpu_resource": pl.Boolean(),
        "commitment_discount_status": _TEXT, "per_use_service": _TEXT,
        "billing_currency": _TEXT, "billed_cost": _MONEY, "billed_cost_rc": _MONEY, "effective_cost": _MONEY,
        "effective_cost_rc": _MONEY, "list_cost_rc": _MONEY,
    },
    "fct_container_costs_daily": {
        "usage_date": pl.Date(), "issuer": _TEXT, "account": _TEXT, "is_book": pl.Boolean(), "resource_id": _TEXT,
        "part": _TEXT, "cluster": _TEXT, "namespace": _TEXT, "billing_currency": _TEXT, "effective_cost": _MONEY,
        "line_count": pl.Int64(),
    },
    "fct_gpu_shares_interval": {
        "usage_date": pl.Date(), "gpu_uuid": _TEXT, "deployment_id": _TEXT, "state": _TEXT, "replica_id": _TEXT,
        "gpu_milliseconds": pl.Int64(),
    },
    "int_gpu_states_daily": {
        "usage_date": pl.Date(), "issuer": _TEXT, "resource_id": _TEXT, "gpu_uuid": _TEXT,
    },
    "int_owner_tags_daily": {
        "usage_date": pl.Date(), "account": _TEXT, "resource_id": _TEXT, "tag_key": _TEXT, "tag_value": _TEXT,
    },
    "fct_day_status_daily": {"usage_date": pl.Date(), "status": _TEXT, "blocked_count": pl.Int64()},
    "fct_gpu_costs_daily": {
        "usage_date": pl.Date(), "issuer": _TEXT, "account": _TEXT, "resource_id": _TEXT, "deployment_id": _TEXT,
        "state": _TEXT, "cost_measure": _TEXT, "billing_currency": _TEXT, "realized_cost": _MONEY,
        "realized_cost_rc": _MONEY,
    },
    "fct_self_host_tokens_daily": {
        "usage_date": pl.Date(), "deployment_id": _TEXT, "workload": _TEXT, "token_class": _TEXT, "tokens": pl.Int64(),
    },
    "fct_unit_costs_daily": {
        "usage_date": pl.Date(), "lane": _TEXT, "deployment_id": _TEXT, "token_class": _TEXT, "full_cost_rc": _MONEY,
    },
    "int_fx_rates_daily": {
        "usage_date": pl.Date(), "currency": _TEXT, "reporting_currency": _TEXT, "multiplier": pl.Int64(),
        "divisor": pl.Int64(),
    },
    **{
        f"config_{name}": SCHEMAS[f"config_{name}"]
        for name in ("budgets", "deployments", "owner_aliases", "ownership", "per_use", "workloads")
    },
}  # fmt: skip
# A team has two workloads; chat and search share a deployment, and nobody names the third one.
WORKLOADS = {"chat": ("support", "llama"), "triage": ("support", None), "search": ("search", "llama")}
MODELS = {"llama": "llama-70b", "qwen": "qwen3-32b"}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budgets")


def api(day: date, cost: Decimal | None, **said: Any) -> Row:
    """`cost` None: metered, and on no bill."""
    row = {"usage_date": day, "provider": "p", "account": "a", "workload": "chat", "team": "support", "model": "m"}
    attribution = "metered_only" if cost is None else "direct"
    return {**row, "attribution": attribution, "billed_cost": cost, "billed_cost_rc": cost, **said}


def gpu(day: date, cost: Decimal | None, **said: Any) -> Row:
    row = {"usage_date": day, "deployment_id": "llama", "state": "serving", "cost_measure": "billed"}
    return {**row, "realized_cost": cost, "realized_cost_rc": cost, **said}


def hosted(day: date, cost: Decimal, **said: Any) -> Row:
    """A model's meter on a cloud's bill."""
    row = {"usage_date": day, "issuer": "aws", "account": "aws", "service": "Amazon Bedrock", "is_book": True}
    row |= {"sku_meter": "USE1-MP:USE1_InputTokenCount-Units", "is_gpu_resource": False, "charge_category": "Usage"}
    return {**row, "billing_currency": "USD", "billed_cost": cost, "billed_cost_rc": cost, **said}


def owned(owner: Mapping[str, str], **match: str) -> Row:
    return {**owner, **match, **ALWAYS}


def served(day: date, workload: str, tokens: int, token_class: str = "output", deployment: str = "llama") -> Row:
    return {
        "usage_date": day, "deployment_id": deployment, "workload": workload, "token_class": token_class,
        "tokens": tokens,
    }  # fmt: skip


def budget(scope: str = "organisation", name: str | None = None, monthly: int = 1000, **said: Any) -> Row:
    return {"scope": scope, "scope_name": name, "monthly_cost": Decimal(monthly), "currency": "USD", **ALWAYS, **said}


def settled_to(last: date) -> list[Row]:
    return [
        {"usage_date": day, "status": "settled" if day <= last else "provisional", "blocked_count": 0}
        for day in DAYS
        if day <= last + timedelta(days=2)
    ]


def company(**tables: Sequence[Row]) -> dict[str, Sequence[Row]]:
    return {
        "config_deployments": [{"deployment_id": name, "model": model, **ALWAYS} for name, model in MODELS.items()],
        "config_workloads": [
            {"workload": name, "team": team, "deployment_id": deployment, **ALWAYS}
            for name, (team, deployment) in WORKLOADS.items()
        ],
        "fct_day_status_daily": settled_to(date(2026, 11, 20)),
        "int_fx_rates_daily": [
            {"usage_date": day, "currency": code, "reporting_currency": "USD", "multiplier": many, "divisor": of}
            for day in DAYS
            for code, many, of in (("USD", 1, 1), ("EUR", 100 + day.day, 100))
        ],
        **tables,
    }


def months(cache: Path, tables: Tables) -> dict[date, dict[tuple[str, str | None], Row]]:
    """The node's rows as the runner makes them: month -> (scope, name) -> row."""
    relations = {}
    for name, columns in COLUMNS.items():
        rows = [{column: row.get(column) for column in columns} for row in tables.get(name, ())]
        frame = pl.DataFrame(rows, schema=dict(columns), orient="row")
        dated = "usage_date" if "usage_date" in columns else None
        relations[name] = FrameRelation(name=name, frame=frame, folder=cache, date_column=dated)
    models = [OWNERS, HOSTED, MODEL]
    built = Runner(models=models, relations=relations, cache=with_shared_schemas(cache), threads=1).build()
    found: dict[date, dict[tuple[str, str | None], Row]] = defaultdict(dict)
    for row in pl.DataFrame(duckdb.sql(built.nodes[MODEL.name].sql(None))).to_dicts():
        found[row["month_from_date"]][row["scope"], row["scope_name"]] = row
    return found


def november(cache: Path, tables: Tables) -> dict[tuple[str, str | None], Row]:
    return months(cache, tables)[MONTH]


# --- the second route -------------------------------------------------------------------------------------------------

Charge = tuple[date, str, Fraction | None, bool]


def charges(tables: Tables, scope: str, name: str | None) -> Iterator[Charge]:
    """(day, measure, amount or None, whether it may be a credit) of all that is this one's, charge by charge; what
    several were served by at once stands for one amount and so many unknown ones."""
    billed = {
        (row["usage_date"], row["provider"], row["account"])
        for row in tables["fct_api_costs_daily"]
        if row["billed_cost"] is not None
    }
    for row in tables["fct_api_costs_daily"]:
        if scope != "organisation" and row[scope] != name:
            continue
        if row["billed_cost_rc"] is not None:
            yield row["usage_date"], "billed", Fraction(row["billed_cost_rc"]), False
        elif row["billed_cost"] is not None:
            yield row["usage_date"], "billed", None, row["billed_cost"] < 0
        elif (row["usage_date"], row["provider"], row["account"]) not in billed:
            yield row["usage_date"], "billed", None, False
    by_holder: dict[tuple[date, str | None, str, Any], list[Row]] = defaultdict(list)
    for row in tables["fct_gpu_costs_daily"]:
        told_apart = [row.get(name) for name in ("issuer", "account", "resource_id", "state", "billing_currency")]
        by_holder[row["usage_date"], row["deployment_id"], row["cost_measure"], tuple(told_apart)].append(row)
    for (day, deployment, measure, _), rows in by_holder.items():
        known = sum(
            (Fraction(row["realized_cost_rc"]) for row in rows if row["realized_cost_rc"] is not None), Fraction()
        )
        part = _part_of(tables, day, deployment, known, scope, name)
        if part is not None:
            yield day, measure, part, False
            for row in rows:
                if row["realized_cost_rc"] is None:
                    own = row["realized_cost"]
                    yield day, measure, None, row["state"] == "credit" if own is None else own < 0


def _part_of(
    tables: Tables, day: date, deployment: str | None, amount: Fraction, scope: str, name: str | None
) -> Fraction | None:
    if scope == "organisation":
        return amount
    if scope == "model":
        of_it = [row["model"] for row in tables["config_deployments"] if row["deployment_id"] == deployment]
        return amount if of_it == [name] else None
    teams = {row["workload"]: row["team"] for row in tables["config_workloads"]}
    tokens = [
        (row["workload"], row["token_class"], row["tokens"])
        for row in tables["fct_self_host_tokens_daily"]
        if (row["usage_date"], row["deployment_id"]) == (day, deployment) and row["tokens"]
    ]
    if not tokens or deployment is None:
        naming = [row for row in tables["config_workloads"] if row["deployment_id"] == deployment is not None]
        owners = {row[scope] for row in naming}
        return amount if owners == {name} else None
    of_class: dict[str, int] = defaultdict(int)
    for _, token_class, count in tokens:
        of_class[token_class] += count
    cost = {
        row["token_class"]: row["full_cost_rc"]
        for row in tables["fct_unit_costs_daily"]
        if (row["usage_date"], row["deployment_id"], row["lane"]) == (day, deployment, "self_host")
    }
    is_split = all((cost.get(one) or 0) >= 0 and cost.get(one) is not None for one in of_class)
    is_split = is_split and any(cost[one] for one in of_class)
    work: dict[str, Fraction] = defaultdict(Fraction)
    for workload, token_class, count in tokens:
        work[workload] += count * (Fraction(cost[token_class]) / of_class[token_class] if is_split else 1)
    weights = {workload: round(share / sum(work.values()) * 10**15) for workload, share in work.items()}
    quanta, whole = abs(int(amount * QUANTA)), sum(weights.values())
    parts = {workload: quanta * weight // whole for workload, weight in weights.items()}
    order = sorted(weights, key=lambda workload: (-(quanta * weights[workload] % whole), workload))
    for workload in order[: quanta - sum(parts.values())]:
        parts[workload] += 1
    own = [
        part for workload, part in parts.items() if name == (workload if scope == "workload" else teams.get(workload))
    ]
    return Fraction(sum(own), QUANTA) * (-1 if amount < 0 else 1) if own else None


def second_route(tables: Tables, said: Row, month: date) -> dict[str, Any]:
    days = [
        month + timedelta(days=number) for number in range(31) if (month + timedelta(days=number)).month == month.month
    ]
    back = days[0] - timedelta(days=45)
    settled = {
        row["usage_date"]
        for row in tables["fct_day_status_daily"]
        if row["status"] == "settled" and not row["blocked_count"] and back <= row["usage_date"] <= days[-1]
    }
    found = [one for one in charges(tables, said["scope"], said["scope_name"]) if back <= one[0] <= days[-1]]
    on = {day: [amount for at, _, amount, _ in found if at == day] for day in {one[0] for one in found} | set(days)}
    so_far = [one for one in found if one[0] in settled and one[0] >= days[0]]
    beside = [one for one in found if one[0] not in settled and one[0] >= days[0]]

    def total(charges: Sequence[Charge], measure: str | None = None) -> Fraction:
        return sum((one[2] for one in charges if one[2] is not None and measure in (None, one[1])), Fraction())

    unknown = [one for one in so_far if one[2] is None]
    others = [day for day in days if day not in settled]
    newest = max(settled, default=None)
    forecast: Fraction | None = None if unknown else total(so_far)
    history: list[date] = []
    if others and forecast is not None:
        history = sorted(day for day in settled if newest is not None and (newest - day).days < 28)
        of_history = [amount for day in history for amount in on.get(day, [])]
        same = {day: [one for one in history if one.isoweekday() == day.isoweekday()] for day in others}
        if None in of_history or not history or not all(same.values()):
            forecast, history = None, []
        else:
            for day in others:
                spent = [amount for one in same[day] for amount in on.get(one, []) if amount is not None]
                forecast += sum(spent, Fraction()) / len(same[day])
    amount = Fraction(said["monthly_cost"])
    rates = {
        row["usage_date"]: Fraction(row["multiplier"], row["divisor"])
        for row in tables["int_fx_rates_daily"]
        if row["currency"] == said["currency"] and row["usage_date"] in days
    }
    limit = amount * rates[min(rates)] if rates else None
    if limit is None:
        status = "unknown"
    elif total(so_far) > limit and not any(one[3] for one in unknown):
        status = "over"
    elif forecast is None:
        status = "unknown"
    else:
        status = "within" if forecast <= limit else "at_risk"
    return {
        "status": status,
        "budget_cost_rc": limit,
        "settled_cost_rc": None if unknown else total(so_far),
        "settled_known_cost_rc": total(so_far),
        "of_which_effective_cost_rc": total(so_far, "effective"),
        "of_which_accrued_cost_rc": total(so_far, "accrued"),
        "unknown_charge_count": len(unknown),
        "provisional_cost_rc": None if any(one[2] is None for one in beside) else total(beside),
        "settled_days_count": len(days) - len(others),
        "month_days_count": len(days),
        "forecast_cost_rc": forecast,
        "history_days_count": len(history),
    }


def assert_same(row: Row, expected: Mapping[str, Any]) -> None:
    for name, value in expected.items():
        if isinstance(value, Fraction):
            assert abs(Fraction(row[name]) - value) * 2 <= Fraction(1, QUANTA), (name, row)
        else:
            assert row[name] == value, (name, row)


# --- the laws ---------------------------------------------------------------------------------------------------------

MONEY = st.integers(-(10**6), 10**9).map(lambda cents: (Decimal(cents) / 700).quantize(Decimal("1e-18")))
DAY = st.sampled_from(DAYS[20:50])


@st.composite
def spending(draw: st.DrawFn, *, is_all_of_teams: bool) -> dict[str, list[Row]]:
    """What two lanes cost on some of the days. `is_all_of_teams`: all of it is some team's, and has an amount."""
    amount = MONEY if is_all_of_teams else st.none() | MONEY
    names = sorted(WORKLOADS) if is_all_of_teams else [*sorted(WORKLOADS), "unassigned"]
    tables: dict[str, list[Row]] = {name: [] for name in COLUMNS if name.startswith("fct_") and "status" not in name}
    for day, workload, cost, model in draw(
        st.lists(st.tuples(DAY, st.sampled_from(names), amount, st.sampled_from("mn")), max_size=12)
    ):
        team = WORKLOADS[workload][0] if workload in WORKLOADS else None
        lacks_rate = draw(st.booleans()) and not is_all_of_teams
        said = {"workload": workload, "team": team, "model": model, "account": draw(st.sampled_from("ab"))}
        tables["fct_api_costs_daily"].append(api(day, cost, **said, **({"billed_cost_rc": None} if lacks_rate else {})))
    holders = ["llama"] if is_all_of_teams else ["llama", "qwen", None]
    for day, holder, cost, measure, state in draw(
        st.lists(
            st.tuples(
                DAY, st.sampled_from(holders), amount, st.sampled_from(["billed", "effective", "accrued"]),
                st.sampled_from(["serving", "unobserved", "credit"]),
            ),
            max_size=12,
        )
    ):  # fmt: skip
        tables["fct_gpu_costs_daily"].append(gpu(day, cost, deployment_id=holder, cost_measure=measure, state=state))
    for day in {row["usage_date"] for row in tables["fct_gpu_costs_daily"]}:
        many = st.integers(1 if is_all_of_teams else 0, 10**9)
        for workload in ("chat", "search") if is_all_of_teams else ("chat", "search", "triage", "unassigned"):
            tables["fct_self_host_tokens_daily"] += [
                served(day, workload, draw(many), token_class) for token_class in ("output", "input_uncached")
            ]
        tables["fct_unit_costs_daily"] += [
            {
                "usage_date": day,
                "lane": lane,
                "deployment_id": "llama",
                "token_class": token_class,
                "full_cost_rc": cost,
            }
            for lane, token_class in (
                ("self_host", "output"),
                ("self_host", "input_uncached"),
                ("self_host", "blended"),
            )
            for cost in (draw(st.none() | MONEY),)
        ]
    return tables


BUDGETS = [
    budget(), budget("team", "support", 10**5), budget("team", "search", 0), budget("workload", "chat", 10**7),
    budget("workload", "triage"), budget("workload", "search", currency="EUR"), budget("model", "llama-70b"),
    budget("model", "m", currency="CHF"),
]  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(spent=spending(is_all_of_teams=True), last=st.sampled_from(DAYS[28:48]))
def test_what_teams_have_spent_adds_up_to_what_was_spent_to_the_last_quantum(
    cache: Path, spent: dict[str, list[Row]], last: date
) -> None:
    """B7, B13: and so do workloads; settled and provisional apart, as the daily marts have them."""
    tables = company(**spent, fct_day_status_daily=settled_to(last), config_budgets=BUDGETS)
    rows = november(cache, tables)
    of_marts = {
        is_settled: sum(
            (
                Fraction(row[column])
                for name, column in (
                    ("fct_api_costs_daily", "billed_cost_rc"),
                    ("fct_gpu_costs_daily", "realized_cost_rc"),
                )
                for row in spent[name]
                if row["usage_date"] >= MONTH and (row["usage_date"] <= last) == is_settled
            ),
            Fraction(),
        )
        for is_settled in (True, False)
    }
    for scope, names in (("organisation", [None]), ("team", ["support", "search"]), ("workload", sorted(WORKLOADS))):
        for is_settled, column in ((True, "settled_cost_rc"), (False, "provisional_cost_rc")):
            assert sum(Fraction(rows[scope, name][column]) for name in names) == of_marts[is_settled], (scope, column)


@settings(max_examples=12, deadline=None)
@given(
    spent=spending(is_all_of_teams=False),
    statuses=st.lists(st.sampled_from(["settled"] * 5 + ["provisional", "missing"]), min_size=58, max_size=58),
    blocked=st.sampled_from(DAYS),
)
def test_every_budget_is_what_the_second_route_says(
    cache: Path, spent: dict[str, list[Row]], statuses: list[str], blocked: date
) -> None:
    """B13, B19, B23: what has no price, no rate or no bill is unknown, and stays so."""
    days = [
        {"usage_date": day, "status": status, "blocked_count": int(day == blocked)}
        for day, status in zip(DAYS, statuses, strict=True)
    ]
    tables = company(**spent, fct_day_status_daily=days, config_budgets=BUDGETS)
    found = months(cache, tables)
    assert set(found) == {date(2026, 10, 1), MONTH}
    for month, rows in found.items():
        for said in BUDGETS:
            row = rows[said["scope"], said["scope_name"]]
            if row["settled_known_cost_rc"] is None:
                assert (row["status"], row["scope"]) == ("unknown", "model")
                continue
            assert_same(row, second_route(tables, said, month))


# --- by hand ----------------------------------------------------------------------------------------------------------


def steady(last: date, weekday: int = 10, weekend: int = 3) -> list[Row]:
    return [api(day, Decimal(weekend if day.isoweekday() > 5 else weekday)) for day in DAYS if day <= last]


def test_a_day_to_come_costs_what_its_weekday_did_and_what_is_provisional_is_no_part_of_it(cache: Path) -> None:
    """To Friday the 20th: 15 weekdays and 5 days of weekends so far; 6 and 4 of the month are left."""
    last = date(2026, 11, 20)
    spent = [*steady(last), api(date(2026, 11, 21), Decimal(500))]
    row = november(cache, company(fct_api_costs_daily=spent, config_budgets=[budget(monthly=240)]))[
        "organisation", None
    ]
    assert (row["settled_cost_rc"], row["provisional_cost_rc"]) == (15 * 10 + 5 * 3, 500)
    assert row["forecast_cost_rc"] == 21 * 10 + 9 * 3 == 237
    assert (row["settled_days_count"], row["month_days_count"], row["status"]) == (20, 30, "within")
    assert row["reason"] == (
        "settled days, and for 10 others the mean of the same weekday over 28 settled days from 2026-10-24 "
        "to 2026-11-20"
    )


@pytest.mark.parametrize(
    ("monthly", "status"), [(237, "within"), (236, "at_risk"), (165, "at_risk"), (164, "over"), (0, "over")]
)
def test_a_budget_is_at_risk_from_where_the_forecast_is_more_and_over_once_it_is_spent(
    cache: Path, monthly: int, status: str
) -> None:
    tables = company(fct_api_costs_daily=steady(date(2026, 11, 20)), config_budgets=[budget(monthly=monthly)])
    assert november(cache, tables)["organisation", None]["status"] == status


def test_of_a_month_the_amount_counts_that_holds_on_its_last_day(cache: Path) -> None:
    budgets = [
        budget(monthly=100, valid_to_date=date(2026, 11, 15)),
        budget(monthly=200, valid_from_date=date(2026, 11, 15)),
        budget("team", "search", valid_to_date=date(2026, 11, 30)),
    ]
    found = months(cache, company(fct_api_costs_daily=steady(date(2026, 11, 20)), config_budgets=budgets))
    assert {month: {key: row["budget_cost"] for key, row in rows.items()} for month, rows in found.items()} == {
        date(2026, 10, 1): {("organisation", None): 100, ("team", "search"): 1000},
        MONTH: {("organisation", None): 200},
    }


def test_a_budget_in_another_currency_stands_still_while_rates_move(cache: Path) -> None:
    """B23: at the rate of the first day of the month that has one."""
    spent = steady(date(2026, 11, 20))
    row = november(cache, company(fct_api_costs_daily=spent, config_budgets=[budget(currency="EUR")]))
    assert row["organisation", None]["budget_cost_rc"] == 1010
    row = november(cache, company(fct_api_costs_daily=spent, config_budgets=[budget(currency="CHF")]))
    assert row["organisation", None]["status"] == "unknown"
    assert row["organisation", None]["reason"].startswith("no rate from CHF on any day of the month; settled days, and")


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        # B13: a bill in a currency without a rate, a GPU-hour without a price, usage of an account without a bill.
        (api(date(2026, 11, 5), Decimal(7), billed_cost_rc=None), "unknown", "1 charge of settled days has no amount"),
        (api(date(2026, 11, 5), None, account="other"), "unknown", "1 charge of settled days has no amount"),
        # What is metered beside a bill and not on it has cost nothing.
        (api(date(2026, 11, 5), None), "within", "settled days, and for"),
        (
            api(date(2026, 10, 30), Decimal(7), billed_cost_rc=None),
            "unknown",
            "of the 28 days to 2026-11-20 has no amount",
        ),
    ],
)
def test_what_is_unknown_leaves_the_forecast_unknown(cache: Path, more: Row, status: str, words: str) -> None:
    tables = company(fct_api_costs_daily=[*steady(date(2026, 11, 20)), more], config_budgets=[budget()])
    row = november(cache, tables)["organisation", None]
    assert (row["status"], words in row["reason"]) == (status, True), row["reason"]


def test_what_is_known_to_be_over_is_over_unless_what_is_unknown_may_be_a_credit(cache: Path) -> None:
    spent = steady(date(2026, 11, 20))
    unknown = {"organisation": api(date(2026, 11, 5), Decimal(7), billed_cost_rc=None)}
    for amount, status in ((Decimal(7), "over"), (Decimal(-7), "unknown")):
        lacking = {**unknown["organisation"], "billed_cost": amount}
        tables = company(fct_api_costs_daily=[*spent, lacking], config_budgets=[budget(monthly=100)])
        row = november(cache, tables)["organisation", None]
        assert (row["status"], row["settled_cost_rc"], row["settled_known_cost_rc"]) == (status, None, 165)


def test_a_deployment_is_paid_by_whom_it_served_and_by_what_their_tokens_take(cache: Path) -> None:
    """Output took nine tenths of the day's bill; on the next day nothing was served, and two teams name it."""
    day, following = date(2026, 11, 2), date(2026, 11, 3)
    tables = company(
        fct_gpu_costs_daily=[gpu(day, Decimal(100)), gpu(following, Decimal(40))],
        fct_self_host_tokens_daily=[
            served(day, "chat", 900, "input_uncached"), served(day, "search", 100, "input_uncached"),
            served(day, "search", 5), served(day, "chat", 0),
        ],
        fct_unit_costs_daily=[
            {"usage_date": day, "lane": "self_host", "deployment_id": "llama", "token_class": name, "full_cost_rc": it}
            for name, it in (("input_uncached", Decimal(10)), ("output", Decimal(90)), ("blended", Decimal(100)))
        ],
        config_budgets=BUDGETS,
    )  # fmt: skip
    rows = november(cache, tables)
    spent = {name: rows["team", name]["settled_cost_rc"] for name in ("support", "search")}
    assert spent == {"support": 9, "search": 91}
    assert rows["organisation", None]["settled_cost_rc"] == rows["model", "llama-70b"]["settled_cost_rc"] == 140


def test_of_whom_a_charge_is_says_what_a_budget_of_his_is_spent_on(cache: Path) -> None:
    """B12: by the rules of ownership, under the names of now; usage without a bill is unknown of its owner alone."""
    day, following = date(2026, 11, 2), date(2026, 11, 3)
    nobodys = {"workload": "unassigned", "team": None}
    tables = company(
        fct_api_costs_daily=[
            api(day, Decimal(5), api_key_id="k1", **nobodys), api(following, Decimal(7), api_key_id="k2", **nobodys),
            api(following, None, account="b", api_key_id="k1", **nobodys), api(following, Decimal(11)),
        ],
        config_ownership=[
            owned({"team": "labs", "cost_centre": "4711"}, api_key_id="k1"), owned({"team": "search"}, api_key_id="k2"),
        ],
        config_owner_aliases=[
            {"attribute": "team", "past_name": "labs", "present_name": "research", **ALWAYS},
            {"attribute": "cost_centre", "past_name": "search", "present_name": "0815", **ALWAYS},
            # Taken back since.
            {"attribute": "team", "past_name": "search", "present_name": "support", **ALWAYS, "valid_to_date": day},
        ],
        config_budgets=[
            budget(), budget("team", "research"), budget("team", "labs"), budget("team", "search"),
            budget("team", "support"),
            budget("cost_centre", "4711"), budget("environment", "production"),
        ],
    )  # fmt: skip
    spent = {
        key: (row["settled_known_cost_rc"], row["unknown_charge_count"]) for key, row in november(cache, tables).items()
    }
    assert spent == {
        ("organisation", None): (23, 1), ("team", "research"): (5, 1), ("team", "labs"): (5, 1),
        ("team", "search"): (7, 0), ("team", "support"): (11, 0), ("cost_centre", "4711"): (5, 1),
        ("environment", "production"): (0, 0),
    }  # fmt: skip


def test_a_charge_that_is_split_is_unknown_of_its_owner_once(cache: Path) -> None:
    """Chat and triage are both support's, and a deployment without a price served them."""
    day = date(2026, 11, 2)
    tables = company(
        fct_gpu_costs_daily=[gpu(day, None), gpu(day, None, state="credit")],
        fct_self_host_tokens_daily=[served(day, "chat", 900), served(day, "triage", 100)],
        config_budgets=BUDGETS,
    )
    rows = november(cache, tables)
    counts = {key: rows[key]["unknown_charge_count"] for key in (("team", "support"), ("workload", "chat"))}
    assert counts == {("team", "support"): 2, ("workload", "chat"): 2}


def test_what_a_cloud_bills_for_models_it_hosts_is_spent_and_its_other_lines_are_not(cache: Path) -> None:
    """B22: once; a model's, its owner's and the company's."""
    day = date(2026, 11, 2)
    haiku = {"service": "Claude Haiku 4.5 (Amazon Bedrock Edition)", "sku_meter": "USE1-MP:USE1_InputTokenCount-Units"}
    tables = company(
        fct_api_costs_daily=[api(day, Decimal(3), model="Claude Haiku 4.5")],
        fct_cloud_charges_daily=[
            hosted(day, Decimal(40), **haiku, sub_account_id="1"),
            hosted(day, Decimal(2), billed_cost_rc=None, sub_account_id="1"),
            hosted(day, Decimal(9), service="Amazon S3", sub_account_id="1"),
            hosted(day, Decimal(60), is_book=False),
            hosted(
                day,
                Decimal(0),
                pricing_category="Committed",
                effective_cost=Decimal(33),
                effective_cost_rc=Decimal(33),
                sub_account_id="1",
            ),
            hosted(day, Decimal(1), charge_category="Tax"),
        ],
        config_ownership=[owned({"team": "search"}, sub_account_id="1")],
        config_budgets=[*BUDGETS, budget("model", "Claude Haiku 4.5")],
    )
    rows = november(cache, tables)
    of_hosted = [("organisation", None), ("model", "Claude Haiku 4.5"), ("team", "search"), ("team", "support")]
    assert {key: (rows[key]["settled_known_cost_rc"], rows[key]["unknown_charge_count"]) for key in of_hosted} == {
        ("organisation", None): (43, 1), ("model", "Claude Haiku 4.5"): (43, 0), ("team", "search"): (40, 1),
        ("team", "support"): (3, 0),
    }  # fmt: skip


def test_what_a_service_cost_that_is_billed_by_use_on_a_clouds_bill_is_spent_once(cache: Path) -> None:
    """B22, B24: of use under a commitment its share of that; a model that the cloud hosts is one already, and a tax,
    a purchase and another book's line are no use.
    """
    day = date(2026, 11, 2)

    def used(cost: int, **said: Any) -> Row:
        return hosted(day, Decimal(cost), **{"service": "Functions", "sub_account_id": "1", "per_use_service": "burst",
                                             **said})  # fmt: skip

    committed = {"pricing_category": "Committed", "effective_cost": Decimal(5), "effective_cost_rc": Decimal(5)}
    tables = company(
        fct_cloud_charges_daily=[
            used(40), used(-3, charge_category="Credit"), used(0, **committed), used(4, billed_cost_rc=None),
            used(20, per_use_service="burst + other"), used(7, service="Amazon Bedrock"),
            used(100, charge_category="Tax"), used(200, charge_category="Purchase"), used(400, is_book=False),
            used(800, per_use_service=None), used(1, sub_account_id="2"), used(2, service=None),
        ],
        config_per_use=[{"per_use_service": "burst", "model": "llama-70b", **ALWAYS}],
        config_ownership=[owned({"team": "search"}, sub_account_id="1")],
        config_budgets=[*BUDGETS, budget("model", "llama-70b")],
    )  # fmt: skip
    rows = november(cache, tables)
    of_it = [("organisation", None), ("model", "llama-70b"), ("team", "search")]
    found = {key: (rows[key]["settled_known_cost_rc"], rows[key]["unknown_charge_count"]) for key in of_it}
    assert found == {
        ("organisation", None): (72, 1), ("model", "llama-70b"): (45, 1), ("team", "search"): (71, 1),
    }  # fmt: skip
    assert rows["organisation", None]["of_which_effective_cost_rc"] == 5


def test_what_served_nothing_is_the_only_workloads_that_names_it(cache: Path) -> None:
    workloads = [{"workload": "chat", "team": "support", "deployment_id": "llama", **ALWAYS}]
    idle = [gpu(date(2026, 11, 2), Decimal(40)), gpu(date(2026, 11, 2), Decimal(8), deployment_id=None, state="tax")]
    tables = company(fct_gpu_costs_daily=idle, config_workloads=workloads, config_budgets=BUDGETS)
    rows = november(cache, tables)
    assert rows["workload", "chat"]["settled_cost_rc"] == rows["team", "support"]["settled_cost_rc"] == 40
    assert rows["organisation", None]["settled_cost_rc"] == 48


def test_a_model_that_nothing_is_called_by_is_not_said_to_be_within(cache: Path) -> None:
    tables = company(fct_api_costs_daily=steady(date(2026, 11, 20)), config_budgets=[budget("model", "claude-hiku")])
    row = november(cache, tables)["model", "claude-hiku"]
    assert (row["status"], row["settled_cost_rc"], row["forecast_cost_rc"]) == ("unknown", None, None)
    assert "spelled" in row["reason"]


def test_without_budgets_nothing_is_said_and_little_read(cache: Path) -> None:
    assert months(cache, company(fct_api_costs_daily=steady(date(2026, 11, 20)))) == {}


# --- the demo ---------------------------------------------------------------------------------------------------------


def test_the_demos_budgets_are_what_its_published_marts_say(demo_folder: Path) -> None:
    project = Project(demo_folder)
    config = config_frames(config_versions(project.landing.events()), [])
    tables = {name: config[name].to_dicts() for name in COLUMNS if name in config}
    with Questions(current_snapshot(project)) as questions:
        for name in ("fct_budgets_monthly", *(name for name in COLUMNS if name not in config)):
            tables[name] = questions.select(f"select * from {name}").to_dicts()
    rows = {(row["month_from_date"], row["scope"], row["scope_name"]): row for row in tables["fct_budgets_monthly"]}
    said = {(row["scope"], row["scope_name"]): row for row in tables["config_budgets"]}
    assert {(month, *key) for month in (date(2026, 10, 1), MONTH) for key in said} == set(rows)
    for (month, *key), row in rows.items():
        assert_same(row, second_route(tables, said[tuple(key)], month))
    statuses = {key[1:]: row["status"] for key, row in rows.items() if key[0] == MONTH}
    assert statuses == {
        ("organisation", None): "within",
        ("team", "demo-support"): "at_risk",
        ("model", "claude-sonnet-4-6"): "over",
        ("workload", "support-chat"): "within",
    }
