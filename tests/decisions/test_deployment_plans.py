"""All workloads of a deployment weighed together: every count tried by hand, hour by hour; what waits, in a queue."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import deployment_plans
from tests.decisions.test_scale_downs import ALWAYS, DAYS, LAST, Row, _inputs, billed, deployment

# A replica takes 900 tokens an hour. Each of 28 days has traffic in its first hours.
HOURS = 4


def workload(name: str, **changes: Any) -> Row:
    row = {"workload": name, "deployment_id": "llama", "pinned_to": None, "pin_reason": None, "may_wait_hours": None}
    return {**row, **ALWAYS, **changes}


def verdict(name: str, per_mtok: str, rent: int, fixed: int = 0) -> Row:
    return {
        "usage_date": LAST,
        "workload": name,
        "status": "decided",
        "reason": "no GPU cost of llama in the window",
        "window_days_count": 28,
        "api_price_rc_per_mtok": Decimal(per_mtok),
        "api_committed_cost_rc": Decimal(0),
        "replica_cost_rc": Decimal(rent),
        "fixed_cost_rc": Decimal(fixed),
        "best_cost_rc": Decimal(5000),
        "current_lane": "api",
    }


def asked(name: str, tokens: Sequence[int]) -> list[Row]:
    """So many tokens in the first hours of each day."""
    return [
        {
            "usage_date": day,
            "workload": name,
            "usage_hour_at": datetime(day.year, day.month, day.day, hour),  # noqa: DTZ001 - marts hold UTC
            "token_class": "output",
            "tokens": count,
        }
        for day in DAYS
        for hour, count in enumerate(tokens)
        if count
    ]


def as_read(rows: Sequence[Row]) -> list[Row]:
    """What the node reads of these hours, by its own SELECT."""
    frame = pl.DataFrame([dict(row) for row in rows], infer_schema_length=None)
    with duckdb.connect() as connection, TemporaryDirectory() as folder:
        frame.write_parquet(f"{folder}/hours.parquet")
        connection.execute(f"create view fct_demand_hourly as from '{folder}/hours.parquet'")
        return pl.DataFrame(connection.sql(deployment_plans.READS["fct_demand_hourly"])).to_dicts()


def plans(**tables: Sequence[Row]) -> dict[str, dict[str, Any]]:
    given: dict[str, Sequence[Row]] = {
        "config_deployments": [deployment()],
        "config_workloads": [workload("chat"), workload("code")],
        "fct_api_costs_daily": [],
        "fct_commitment_scopes_daily": [],
        "fct_day_status_daily": [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in DAYS],
        "fct_demand_daily": [],
        "fct_demand_hourly": [*asked("chat", [900, 100]), *asked("code", [900, 800])],
        "fct_peak_allowances_daily": [],
        "fct_scale_downs_daily": [],
        "fct_verdicts_daily": [verdict("chat", "2000000", 3000), verdict("code", "1000000", 3000)],
        **tables,
    }
    given = {**given, "fct_demand_hourly": as_read(given["fct_demand_hourly"])}
    undated = ("config_deployments", "config_workloads")
    inputs = _inputs(deployment_plans, given, [name for name in given if name not in undated])
    return {row["workload"]: row for row in deployment_plans.build(inputs).to_dicts()}


def by_hand(
    work: Mapping[str, tuple[Sequence[int], Fraction]], *, rent: int, fixed: int, committed: Fraction = Fraction(0)
) -> dict[int, Fraction]:
    """What each count costs: every token of an hour in a line, the dearest first, the API for those at its end."""
    totals: dict[int, Fraction] = {}
    for count in range(8):
        api = Fraction(0)
        for hour in range(HOURS):
            line = sorted((price for tokens, price in work.values() for _ in range(tokens[hour])), reverse=True)
            api += sum(line[count * 9 :], Fraction(0))
        totals[count] = count * rent + (fixed if count else 0) + max(committed, 28 * api)
    return totals


@settings(max_examples=15, deadline=None)
@given(
    chat=st.lists(st.integers(0, 20), min_size=HOURS, max_size=HOURS).filter(any),
    code=st.lists(st.integers(0, 20), min_size=HOURS, max_size=HOURS).filter(any),
    prices=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    rent=st.integers(1, 900),
    fixed=st.integers(0, 600),
    due=st.integers(0, 2000),
)
def test_the_best_count_of_all_that_share_a_deployment_is_the_best_of_every_count(
    chat: list[int], code: list[int], prices: tuple[int, int], rent: int, fixed: int, due: int
) -> None:
    """A replica takes nine tokens an hour here."""
    found = plans(
        config_deployments=[deployment(tokens_per_second=Decimal("0.0025"))],
        fct_commitment_scopes_daily=[billed(name, "1", due=str(due)) for name in ("chat", "code")] if due > 2 else [],
        fct_demand_hourly=[*asked("chat", chat), *asked("code", code)],
        fct_verdicts_daily=[
            verdict(name, f"{price}000000", rent, fixed) for name, price in zip(("chat", "code"), prices, strict=True)
        ],
    )
    work = {"chat": (chat, Fraction(prices[0])), "code": (code, Fraction(prices[1]))}
    # Two dollars of it are for no tokens, and stay.
    totals = by_hand(work, rent=rent, fixed=fixed, committed=Fraction(due - 2 if due > 2 else 0))
    best = min(totals, key=lambda count: (totals[count], count))
    for row in found.values():
        assert (row["status"], row["best_replica_count"], row["best_cost_rc"]) == ("decided", best, totals[best])
        assert (row["api_only_cost_rc"], row["waiting_saves_rc_per_month"]) == (totals[0], 0)
    first, last = sorted(found.values(), key=lambda row: row["order_number"])
    assert first["api_price_rc_per_replica_second"] >= last["api_price_rc_per_replica_second"]
    # What it serves of both is all that fits; of the dearer one as if it were alone.
    served = {name: Fraction(row["served_replica_seconds"]) / 400 / 28 for name, row in found.items()}
    assert sum(served.values()) == sum(min(best * 9, x + y) for x, y in zip(chat, code, strict=True))
    tokens = work[first["workload"]][0]
    assert served[first["workload"]] == sum(min(best * 9, count) for count in tokens)


@settings(max_examples=15, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 60), min_size=HOURS, max_size=HOURS).filter(any),
    wait=st.integers(1, 26),
    rent=st.integers(1, 900),
)
def test_work_that_may_wait_fills_the_valleys_before_a_replica_is_counted(
    tokens: list[int], wait: int, rent: int
) -> None:
    """A queue in which the oldest goes first and what is too old leaves for the API, walked hour by hour."""
    [row] = plans(
        config_deployments=[deployment(tokens_per_second=Decimal("0.0025"))],
        config_workloads=[workload("chat", may_wait_hours=wait)],
        fct_demand_hourly=asked("chat", tokens),
        fct_verdicts_daily=[verdict("chat", "1000000", rent)],
    ).values()
    arriving = ([*tokens, *[0] * (24 - HOURS)]) * 28

    def gone(count: int) -> int:
        """Tokens that the API takes."""
        queue: list[int] = []
        left = 0
        for hour, came in enumerate(arriving):
            left += sum(hour - at > wait for at in queue)
            queue = ([at for at in queue if hour - at <= wait] + [hour] * came)[9 * count :]
        return left + len(queue)

    totals = {count: Fraction(count * rent + gone(count)) for count in range(8)}
    best = min(totals, key=lambda count: (totals[count], count))
    assert (row["best_replica_count"], row["best_cost_rc"]) == (best, totals[best])
    at_once = {count: count * rent + 28 * sum(max(0, x - 9 * count) for x in tokens) for count in range(8)}
    without = min(at_once, key=lambda count: (at_once[count], count))
    assert (row["without_waiting_replica_count"], row["without_waiting_cost_rc"]) == (without, at_once[without])
    assert row["waiting_saves_rc_per_month"] == Decimal(
        round(Fraction(at_once[without] - totals[best], 28) * 30 * 10**18)
    ).scaleb(-18)


def test_the_sentence_says_who_goes_first_and_what_waiting_changes() -> None:
    """900 and 900 in one hour, 100 and 800 in the next: one replica serves chat and, of code, the second hour."""
    row = plans(fct_verdicts_daily=[verdict("chat", "20000", 500), verdict("code", "10000", 500)])["code"]
    assert row["reason"].startswith("For chat, code together 1 replica is best. ")
    assert "What goes first, and how much of it is served: chat 100%, code 47%." in row["reason"]
    waiting = plans(
        config_workloads=[workload("chat"), workload("code", may_wait_hours=24)],
        fct_verdicts_daily=[verdict("chat", "20000", 400), verdict("code", "10000", 240)],
    )
    assert waiting["chat"]["reason"].count("With nothing waiting") == 1
    assert waiting["code"]["served_replica_seconds"] == waiting["code"]["demand_replica_seconds"]


def bought(name: str, *, standard: Sequence[Any] = ()) -> list[Row]:
    """All of it in batch, but on these days."""
    return [{"usage_date": day, "workload": name, "is_batch": day not in standard} for day in DAYS]


@pytest.mark.parametrize(
    ("costs", "lane", "waits"),
    [
        (bought("code"), "api", (24, "batch")),
        (bought("code", standard=DAYS[3:4]), "api", (None, None)),
        (bought("code"), "both", (None, None)),
        ([], "api", (None, None)),
    ],
)
def test_what_is_all_bought_in_batch_waits_as_a_batch_may_without_a_word(
    costs: Sequence[Row], lane: str, waits: tuple[int | None, str | None]
) -> None:
    verdicts = [verdict("chat", "20000", 400), {**verdict("code", "10000", 240), "current_lane": lane}]
    declared = plans(
        config_workloads=[workload("chat"), workload("code", may_wait_hours=24)], fct_verdicts_daily=verdicts
    )["code"]
    found = plans(fct_api_costs_daily=costs, fct_verdicts_daily=verdicts)["code"]
    assert (found["may_wait_hours"], found["may_wait_basis"]) == waits
    assert declared["may_wait_basis"] == "declared"
    alike = found["served_replica_seconds"] == declared["served_replica_seconds"]
    assert alike == (waits == (24, "batch")), "what it says and what it serves go together"
    assert ("All of code is bought in batch, and may wait 24 hours." in found["reason"]) == (waits == (24, "batch"))


def test_a_day_is_bought_in_batch_where_all_of_its_tokens_are() -> None:
    """By the node's own SELECT: a mode that nobody states is not batch, and a charge without tokens says nothing."""
    rows = [
        {"usage_date": LAST, "workload": name, "price_mode": mode, "tokens": tokens}
        for name, mode, tokens in (
            ("all", "batch", 5), ("all", "batch", 7), ("all", "standard", None), ("some", "batch", 5),
            ("some", "standard", 1), ("unsaid", None, 3),
        )
    ]  # fmt: skip
    with duckdb.connect() as connection, TemporaryDirectory() as folder:
        pl.DataFrame(rows).write_parquet(f"{folder}/costs.parquet")
        connection.execute(f"create view fct_api_costs_daily as from '{folder}/costs.parquet'")
        found = pl.DataFrame(connection.sql(deployment_plans.READS["fct_api_costs_daily"]))
    assert deployment_plans.PREPARE["fct_api_costs_daily"](found) == {"all": True, "some": False, "unsaid": False}


def test_of_an_hour_the_least_share_that_any_workloads_peaks_leave_is_filled() -> None:
    shares = (("chat", "0.5"), ("code", "0.9"))
    allowed = [{"usage_date": LAST, "workload": name, "peak_allowance_ratio": Decimal(share)} for name, share in shares]
    row = plans(fct_peak_allowances_daily=allowed)["code"]
    assert (row["capacity_replica_seconds_per_hour"], row["peak_allowance_ratio"]) == (1800, Decimal("0.5"))


def test_a_workload_alone_that_may_not_wait_is_left_to_its_verdict() -> None:
    assert plans(config_workloads=[workload("chat")]) == {}


def test_what_is_pinned_or_has_no_traffic_is_left_out_and_what_is_unknown_leaves_all_open() -> None:
    named = [workload("chat"), workload("code"), workload("law", pinned_to="api", pin_reason="residency")]
    found = plans(config_workloads=[*named, workload("idle")])
    assert {name: row["status"] for name, row in found.items()} == {
        "chat": "decided",
        "code": "decided",
        "idle": "no_traffic",
        "law": "pinned",
    }
    assert found["chat"]["reason"].endswith(" Left out: idle, law.")
    own = plans(config_workloads=[workload("chat"), workload("code", pinned_to="self_host", pin_reason="residency")])
    assert {row["status"] for row in own.values()} == {"pinned", "unknown"}


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"fct_verdicts_daily": [verdict("chat", "1", 1)]}, "code has no verdict to weigh it by: none that day"),
        (
            {"fct_demand_daily": [{"usage_date": LAST, "workload": "code"}]},
            "code is known by the day only, and such a plan is a matter of hours",
        ),
        ({"fct_commitment_scopes_daily": [billed("code", "9", due="5")]}, "not all of its workloads are billed under"),
        (
            {
                "fct_commitment_scopes_daily": [billed("others", "280", due="2800")],
                "fct_verdicts_daily": [
                    {**verdict(name, "1000000", 1344), "api_committed_cost_rc": Decimal(2520)}
                    for name in ("chat", "code")
                ],
            },
            "chat would come under a commitment and is not billed under it yet",
        ),
        (
            {"fct_verdicts_daily": [verdict("chat", "1", 1), {**verdict("code", "1", 1), "status": "bracketed"}]},
            "the verdict on code is bracketed: ",
        ),
        ({"config_deployments": [deployment(tokens_per_second=None)]}, "what a replica of llama sustains is unknown"),
    ],
)
def test_what_cannot_be_weighed_together_says_why(tables: Mapping[str, Sequence[Row]], reason: str) -> None:
    row = plans(**tables)["chat"]
    assert (row["status"], row["best_replica_count"]) == ("unknown", None)
    assert row["reason"].startswith(reason)
