"""The GPU bill line by line: parts that add up to it to the last quantum, against a walk over every hour."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import gpu_waste
from pipeline.paths import sql_root
from tests.decisions.test_scale_downs import ALWAYS, LAST, Row, deployment

HOUR_MS = 3_600_000
TARGET = {"host": "host-1", "target": "http://127.0.0.1:8000/metrics"}
COSTS, HOURS, ENGINES = "fct_gpu_costs_daily", "int_gpu_states_hourly", "int_engine_deployments_daily"
SERVED, TIMES, FREE = "int_self_host_tokens_hourly", "int_gpu_resource_time_daily", "fct_idle_runs_daily"


def cost(line: str = "ready", hours: float = 192, amount: str | None = "192", **changes: Any) -> Row:
    """As `READS` adds them up: four replicas of two GPUs, a day, a dollar an hour, all on one resource."""
    return {
        "usage_date": LAST,
        "issuer": "gpucloud",
        "account": "main",
        "resource_id": "node-1",
        "deployment_id": "llama",
        "line": line,
        "cost_measure": "billed",
        "billing_currency": "USD",
        "gpu_milliseconds": round(hours * HOUR_MS),
        "realized_cost": None if amount is None else Decimal(amount),
        "realized_cost_rc": None if amount is None else Decimal(amount),
        **changes,
    }


def resource(name: str = "node-1", gpus: int | None = 2, until: date | None = None) -> Row:
    return {
        "usage_date": LAST,
        "issuer": "gpucloud",
        "resource_id": name,
        "gpu_count": gpus,
        "committed_until_date": until,
    }


def ready(hours: Sequence[int]) -> list[Row]:
    """GPU-milliseconds of each hour of the day."""
    return [
        {"usage_date": LAST, "usage_hour_at": _at(hour), **TARGET, "ready_milliseconds": milliseconds}
        for hour, milliseconds in enumerate(hours)
        if milliseconds
    ]


def served(tokens: Sequence[int | None]) -> list[Row]:
    return [
        {
            "usage_date": LAST,
            "usage_hour_at": _at(hour),
            "deployment_id": "llama",
            "workload": "chat",
            "token_class": "output",
            "tokens": count,
        }
        for hour, count in enumerate(tokens)
        if count is not None
    ]


def _at(hour: int) -> datetime:
    return datetime(LAST.year, LAST.month, LAST.day, hour)  # noqa: DTZ001 - marts hold UTC


def waste(**tables: Sequence[Row]) -> list[dict[str, Any]]:
    """Four replicas, ready all day; a replica takes 900 tokens an hour, and every hour asks for 1,350."""
    given: dict[str, Sequence[Row]] = {
        "config_deployments": [deployment()],
        "config_rents": [],
        "gpu_types": [],
        COSTS: [cost()],
        HOURS: ready([8 * HOUR_MS] * 24),
        ENGINES: [{"usage_date": LAST, **TARGET, "deployment_id": "llama"}],
        SERVED: served([1350] * 24),
        TIMES: [resource()],
        FREE: [],
        **tables,
    }
    inputs: dict[str, Any] = {"this_partition": pl.DataFrame({"from_date": [LAST]})}
    for name, rows in given.items():
        if name in (COSTS, HOURS, ENGINES, SERVED, TIMES, FREE):
            inputs[name] = {LAST: gpu_waste.PREPARE[name](pl.DataFrame(rows))} if rows else {}
        else:
            inputs[name] = list(rows)
    return gpu_waste.build(inputs).to_dicts()


def by_line(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Fraction, Decimal | None]]:
    return {row["line"]: (Fraction(row["gpu_milliseconds"], HOUR_MS), row["realized_cost"]) for row in rows}


def test_a_pool_of_four_of_which_one_and_a_half_are_useful() -> None:
    """Per hour, of 8 GPU-hours: 3 useful, 1 of headroom in the second replica, 2 in reserve, 2 too many."""
    rows = waste(config_deployments=[deployment(spare_replicas=1)])
    assert by_line(rows) == {
        "useful": (72, Decimal(72)),
        "headroom": (24, Decimal(24)),
        "failover_reserve": (48, Decimal(48)),
        "over_provisioned": (48, Decimal(48)),
    }
    assert {row["reason"] for row in rows} == {None}


def test_what_is_no_ready_time_stays_what_it_is() -> None:
    unseen = cost("unobserved", 2, "2", deployment_id=None)
    tax = cost("tax", 0, "19.20", deployment_id=None, gpu_milliseconds=None)
    rows = waste(**{COSTS: [cost(), unseen, tax]})
    beside = {"reason": None, "committed_until_date": None}
    no_cash = {"cash_recoverable_cost": Decimal(0), "cash_recoverable_cost_rc": Decimal(0)}
    assert [row for row in rows if row["line"] in ("unobserved", "tax")] == [
        _whole({**unseen, **dict.fromkeys(no_cash), **beside}),
        _whole({**tax, **no_cash, **beside}),
    ]


def _whole(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "resource_id"}


def cash_of(rows: Sequence[Row]) -> dict[str, Decimal | None]:
    return {row["line"]: row["cash_recoverable_cost"] for row in rows}


UNTIL = date(LAST.year + 1, 1, 1)


def test_of_too_many_replicas_whole_ones_come_back_as_cash_and_nothing_of_what_is_needed() -> None:
    """Two of four replicas are too many in each hour: all of that is whole, of nodes of two GPUs as of one of four."""
    for gpus in (1, 2, 4):
        rows = waste(**{TIMES: [resource(gpus=gpus)]})
        assert cash_of(rows) == {"useful": 0, "headroom": 0, "over_provisioned": 96}
        assert {row["committed_until_date"] for row in rows} == {None}


@pytest.mark.parametrize(
    ("changes", "cash"),
    [
        # Nobody gives back four GPUs of eight; a replica in reserve leaves one of two GPUs, no node of four.
        ({TIMES: [resource(gpus=8)]}, 0),
        ({TIMES: [resource(gpus=4)], "config_deployments": [deployment(spare_replicas=1)]}, 0),
        ({TIMES: [resource(gpus=None)]}, None),
        ({TIMES: [resource(until=UNTIL)]}, 0),
        ({COSTS: [cost(cost_measure="effective")]}, 0),
        ({COSTS: [cost(amount=None)]}, None),
        ({COSTS: [cost(amount=None)], TIMES: [resource(until=UNTIL)]}, 0),
        ({COSTS: [cost(amount="-10")]}, 0),
    ],
)
def test_nothing_comes_back_of_less_than_a_unit_of_what_is_bound_or_without_a_price(changes: Any, cash: Any) -> None:
    assert cash_of(waste(**changes))["over_provisioned"] == cash


def test_of_a_pool_on_two_nodes_only_the_free_ones_money_comes_back_and_the_others_end_is_told() -> None:
    """Half of the pool's 192 is too much, a quarter of all is on the free node."""
    costs = [cost(hours=144, amount="144"), cost(hours=48, amount="48", resource_id="node-2")]
    rows = waste(**{COSTS: costs, TIMES: [resource(until=UNTIL), resource("node-2")]})
    assert cash_of(rows) == {"useful": 0, "headroom": 0, "over_provisioned": 24}
    assert by_line(rows)["over_provisioned"] == (96, Decimal(96))
    assert {row["committed_until_date"] for row in rows} == {UNTIL}


def test_an_hour_that_was_watched_all_but_some_seconds_is_whole() -> None:
    almost = {HOURS: ready([round(7.95 * HOUR_MS)] * 24)}
    over = {row["line"]: row for row in waste(**almost)}["over_provisioned"]
    assert over["cash_recoverable_cost"] == over["realized_cost"]
    short = {HOURS: ready([round(7.8 * HOUR_MS)] * 24)}
    half = {row["line"]: row for row in waste(**short)}["over_provisioned"]
    assert Fraction(half["cash_recoverable_cost"]) == pytest.approx(Fraction(half["realized_cost"]) * 20 / 38)


def test_what_could_have_been_off_comes_back_and_where_nothing_is_known_it_stays_unknown() -> None:
    rent = {"deployment_id": "llama", "warm_up_minutes": 60, **ALWAYS}
    rows = waste(config_rents=[rent], **{SERVED: served([0] * 6 + [1350] * 18), TIMES: [resource(gpus=8)]})
    assert cash_of(rows) == {"useful": 0, "headroom": 0, "over_provisioned": 0, "scale_to_zero": 48}
    assert cash_of(waste(config_deployments=[])) == {"useful_or_headroom": None}
    assert cash_of(waste(config_deployments=[], **{TIMES: [resource(until=UNTIL)]})) == {"useful_or_headroom": 0}


def _free(whole_hours: float, free_hours: float) -> Row:
    return {
        "usage_date": LAST,
        "issuer": "gpucloud",
        "resource_id": "node-1",
        "free_milliseconds": round(free_hours * HOUR_MS),
        "whole_milliseconds": round(whole_hours * HOUR_MS),
    }


@pytest.mark.parametrize(
    ("free", "gpus", "cash"),
    [
        ([], 2, 0),
        ([_free(0, 20)], 2, 0),
        ([_free(6, 20)], 2, 6),
        ([_free(20, 48)], 2, 10),
        ([_free(6, 20)], None, None),
    ],
)
def test_of_what_nobody_holds_whole_resources_come_back_as_of_idle_runs(free: Any, gpus: Any, cash: Any) -> None:
    """24 dollars for 24 hours; where 48 were watched, they share what is billed."""
    unheld = cost("unallocated", 24, "24", deployment_id=None)
    assert cash_of(waste(**{COSTS: [unheld], FREE: free, TIMES: [resource(gpus=gpus)]})) == {"unallocated": cash}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_cash_is_never_more_than_a_line_and_none_of_it_where_all_is_bound(seed: int) -> None:
    """Of any pool on any resources; in the reporting currency, at any rate, in the same proportion."""
    dice = random.Random(seed)
    names = [f"node-{number}" for number in range(dice.randint(1, 4))]
    times = [resource(name, dice.choice([1, 2, 4, 8]), dice.choice([None, UNTIL])) for name in names]
    bills = []
    for name in names:
        amount = Decimal(dice.randint(0, 10**25)).scaleb(-18)
        bills.append(cost(hours=48, resource_id=name, realized_cost=amount, realized_cost_rc=amount / 2))
        bills.append({**bills[-1], "line": "unallocated", "deployment_id": None})
    tables: dict[str, Any] = {
        COSTS: bills,
        TIMES: times,
        FREE: [{**_free(dice.randint(0, 24), 24), "resource_id": name} for name in names],
        HOURS: ready([dice.randint(1, 16 * HOUR_MS) for _ in range(24)]),
        SERVED: served([dice.choice([0, dice.randint(1, 4000)]) for _ in range(24)]),
    }
    for row in waste(**tables):
        assert 0 <= row["cash_recoverable_cost"] <= row["realized_cost"]
        assert 0 <= row["cash_recoverable_cost_rc"] <= row["realized_cost_rc"]
        assert abs(row["cash_recoverable_cost"] / 2 - row["cash_recoverable_cost_rc"]) <= Decimal("2e-18")
    bound = waste(**tables | {TIMES: [{**row, "committed_until_date": UNTIL} for row in times]})
    assert {row["cash_recoverable_cost"] for row in bound} == {0}


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"config_deployments": [deployment(tokens_per_second=None)]}, "no capacity of it is declared or measured"),
        ({"config_deployments": []}, "of no declared deployment"),
        ({HOURS: []}, "no hour of its engines alone is known"),
        ({"int_self_host_tokens_hourly": []}, "of some hours nobody counted the tokens"),
    ],
)
def test_where_something_is_unknown_useful_and_headroom_are_one_line(tables: Any, reason: str) -> None:
    (row,) = waste(**tables)
    assert (row["line"], row["gpu_milliseconds"], row["realized_cost"]) == ("useful_or_headroom", 192 * HOUR_MS, 192)
    assert row["reason"] == reason


def test_a_capacity_that_its_hardware_forbids_is_none() -> None:
    impossible = deployment(
        tokens_per_second=Decimal(10**9), gpu_type="H100-SXM", parameters_billions=Decimal(70), **_UNSAID
    )
    (row,) = waste(config_deployments=[impossible], gpu_types=[_H100])
    assert row["line"] == "useful_or_headroom"
    assert "impossible" in row["reason"]


def test_a_day_without_a_token_on_known_hardware_has_nothing_that_it_could_forbid() -> None:
    known = deployment(gpu_type="H100-SXM", parameters_billions=Decimal(7), **_UNSAID)
    rows = waste(config_deployments=[known], gpu_types=[_H100], int_self_host_tokens_hourly=served([0] * 24))
    assert by_line(rows) == {"headroom": (48, Decimal(48)), "over_provisioned": (144, Decimal(144))}


_UNSAID = {
    "active_parameters_billions": None,
    "bytes_per_parameter": Decimal(2),
    "kv_bytes_per_token": None,
    "context_tokens": None,
    "requests_at_once_count": None,
    "tokens_per_step": Decimal(1),
}
_H100 = {
    "gpu_type": "H100-SXM",
    "bf16_teraflops": "989",
    "eight_bit_teraops": "1979",
    "four_bit_teraops": None,
    "memory_terabytes_per_second": "3.35",
    "memory_gigabytes": "80",
    "source": "a test",
    "read_on_date": date(2026, 1, 1),
}


def test_a_night_without_demand_could_have_been_off_where_its_warm_up_is_declared() -> None:
    tokens = [0] * 6 + [1350] * 18
    rent = {"deployment_id": "llama", "warm_up_minutes": 60, **ALWAYS}
    night = by_line(waste(config_rents=[rent], int_self_host_tokens_hourly=served(tokens)))
    assert night["scale_to_zero"] == (48, Decimal(48))
    assert night["useful"] == (54, Decimal(54))
    kept = by_line(waste(int_self_host_tokens_hourly=served(tokens)))
    assert "scale_to_zero" not in kept
    unknown = waste(
        config_rents=[rent],
        config_deployments=[deployment(tokens_per_second=None)],
        int_self_host_tokens_hourly=served(tokens),
    )
    assert by_line(unknown) == {"scale_to_zero": (48, Decimal(48)), "useful_or_headroom": (144, Decimal(144))}


def test_a_cost_without_a_price_has_none_in_any_part() -> None:
    rows = waste(**{COSTS: [cost(amount=None)]})
    assert sum(row["gpu_milliseconds"] for row in rows) == 192 * HOUR_MS
    assert {row["realized_cost"] for row in rows} == {None}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_parts_add_up_to_the_bill_whatever_the_hours(seed: int) -> None:
    """Paid for another time than was seen, to the millisecond and the quantum, in the proportions of a walk."""
    dice = random.Random(seed)
    replica = 2 * HOUR_MS
    hours = [dice.choice([0, replica, dice.randint(1, 4 * replica)]) for _ in range(24)]
    tokens = [dice.choice([None, 0, dice.randint(1, 4000)]) for _ in range(24)]
    spare, least = dice.randint(0, 2), dice.randint(0, 2)
    amount = Decimal(2 * dice.randint(-(10**24), 10**25)).scaleb(-18)
    paid = dice.randint(1, 10**9)
    bills = [
        cost(gpu_milliseconds=paid, realized_cost=amount, realized_cost_rc=amount / 2),
        cost(gpu_milliseconds=0, realized_cost=Decimal("0.07"), cost_measure="effective"),
    ]
    rows = waste(
        **{
            COSTS: bills,
            HOURS: ready(hours),
            "int_self_host_tokens_hourly": served(tokens),
            "config_deployments": [deployment(spare_replicas=spare, minimum_replicas=least)],
        }
    )
    for bill in bills:
        own = [row for row in rows if row["cost_measure"] == bill["cost_measure"]]
        for column in ("gpu_milliseconds", "realized_cost", "realized_cost_rc"):
            assert sum(row[column] for row in own) == bill[column]
    walked: Counter[str] = Counter()
    for milliseconds, count in zip(hours, tokens, strict=True):
        walked.update(_walk(milliseconds, count, spare=spare, least=least))
    whole = sum(walked.values())
    for row in rows if whole else ():
        if row["cost_measure"] == "billed":
            assert abs(Fraction(row["gpu_milliseconds"], paid) - walked[row["line"]] / whole) < Fraction(2, paid) + (
                Fraction(2) / whole
            )


def _walk(milliseconds: int, tokens: int | None, *, spare: int, least: int) -> dict[str, Fraction]:
    """An hour of replicas of 900 tokens each, one replica after the other: what each of them was there for."""
    if tokens is None:
        return {"useful_or_headroom": Fraction(milliseconds)}
    parts: Counter[str] = Counter()
    left, work = Fraction(milliseconds), Fraction(tokens, 900) * 2 * HOUR_MS
    needed = max(least, math.ceil(Fraction(tokens, 900)))
    place = 0
    while left > 0:
        own = min(left, Fraction(2 * HOUR_MS))
        useful = min(own, work) if place < needed else Fraction(0)
        rest = "headroom" if place < needed else "failover_reserve" if place < needed + spare else "over_provisioned"
        parts["useful"] += useful
        parts[rest] += own - useful
        left, work, place = left - own, work - useful, place + 1
    return dict(parts)


def _check(folder: Path, bill: Sequence[Row], lines: Sequence[Row]) -> list[Any]:
    """What the law finds of a cost table and a waste table."""
    with duckdb.connect() as connection:
        for name, rows in ((COSTS, bill), ("fct_gpu_waste_daily", lines)):
            pl.DataFrame(rows, schema=dict(gpu_waste.SCHEMA)).write_parquet(folder / f"{name}.parquet")
            connection.execute(f"create view {name} as select * from '{folder / name}.parquet'")
        law = (sql_root() / "checks" / "gpu_waste_sums_to_the_bill.sql").read_text(encoding="utf-8")
        return connection.execute(law).fetchall()


def test_a_line_that_is_lost_or_short_by_a_quantum_breaks_the_law(tmp_path: Path) -> None:
    bill = [{**cost("serving", 100, "100"), "reason": None}, {**cost("loaded_idle", 92, "92"), "reason": None}]
    lines = waste()
    assert _check(tmp_path, bill, lines) == []
    (law,) = _check(tmp_path, bill, lines[1:])
    assert "gpu_waste_sums_to_the_bill" in law
    short = [{**lines[0], "realized_cost": lines[0]["realized_cost"] - Decimal("1e-18")}, *lines[1:]]
    assert len(_check(tmp_path, bill, short)) == 1
    assert len(_check(tmp_path, bill, [{**row, "deployment_id": None} for row in lines])) == 2
