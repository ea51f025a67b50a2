"""Releases and fillings as nodes: what makes them refuse, be unknown, or leave a workload where it is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.decisions import idle_fills, scale_downs

Row = Mapping[str, Any]
LAST = date(2026, 11, 10)
DAYS = [LAST - timedelta(days=back) for back in reversed(range(28))]
ALWAYS = {"valid_from_date": None, "valid_to_date": None}


def deployment(**changes: Any) -> Row:
    """A replica takes 900 output tokens an hour: 0.25 a second, all of the hour."""
    return {
        "deployment_id": "llama",
        "model": "llama-70b",
        "gpus_per_replica": 2,
        "minimum_replicas": 1,
        "spare_replicas": 0,
        "tokens_per_second": Decimal("0.25"),
        "prefill_tokens_per_second": None,
        "cached_tokens_per_second": None,
        "decode_tokens_per_second": None,
        "peak_allowance": Decimal(1),
        "measured_on": date(2026, 9, 1),
        "capacity_source": "own load test",
        "gpu_type": None,
        "parameters_billions": None,
        **ALWAYS,
        **changes,
    }


def hours(tokens: int, *, without: Sequence[int] = ()) -> list[tuple[int, int]]:
    return [(hour, tokens) for hour in range(24) if hour not in without]


def served(day: date, of_day: Sequence[tuple[int, int]], workload: str = "chat") -> list[Row]:
    return [
        {
            "usage_date": day,
            "usage_hour_at": datetime(day.year, day.month, day.day, hour),  # noqa: DTZ001 - marts hold UTC
            "deployment_id": "llama",
            "workload": workload,
            "token_class": "output",
            "tokens": tokens,
        }
        for hour, tokens in of_day
    ]


def paid(day: date, *, replicas: int = 4, **changes: Any) -> Row:
    """Two GPUs a replica, a dollar an hour each."""
    return {
        "usage_date": day,
        "deployment_id": "llama",
        "gpu_milliseconds": 86_400_000 * 2 * replicas,
        "unobserved_milliseconds": 0,
        "realized_cost_rc": Decimal(48 * replicas),
        "unpriced_count": 0,
        **changes,
    }


def price(workload: str = "chat", per_mtok: str | None = "20000") -> Row:
    return {
        "usage_date": LAST,
        "workload": workload,
        "api_price_rc_per_mtok": None if per_mtok is None else Decimal(per_mtok),
    }


def _inputs(module: Any, given: Mapping[str, Sequence[Row]], dated: Sequence[str]) -> dict[str, Any]:
    inputs: dict[str, Any] = {"this_partition": pl.DataFrame({"from_date": [LAST]})}
    for name, rows in given.items():
        prepare = module.PREPARE[name]
        if name not in dated:
            inputs[name] = list(rows)
            continue
        by_day = {day: [row for row in rows if row["usage_date"] == day] for day in DAYS}
        inputs[name] = {day: prepare(pl.DataFrame(found)) for day, found in by_day.items() if found}
    return inputs


def release(**tables: Sequence[Row]) -> dict[str, Any]:
    """Four replicas, of which each hour of 28 days needs one: 700 of 900 tokens; with a fifth kept free, 720."""
    given: dict[str, Sequence[Row]] = {
        "config_deployments": [deployment()],
        "gpu_types": [],
        "fct_day_status_daily": [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in DAYS],
        "fct_gpu_costs_daily": [paid(day) for day in DAYS],
        "fct_verdicts_daily": [price()],
        "int_self_host_tokens_hourly": [row for day in DAYS for row in served(day, hours(700))],
        **tables,
    }
    dated = ("fct_day_status_daily", "fct_gpu_costs_daily", "fct_verdicts_daily", "int_self_host_tokens_hourly")
    [row] = scale_downs.build(_inputs(scale_downs, given, dated)).to_dicts()
    return row


def test_what_the_busy_hour_does_not_need_is_released_at_its_rent() -> None:
    """A replica-hour is 2 GPUs at a dollar; three of them for November's 720 hours."""
    row = release()
    assert (row["status"], row["needed_replica_count"], row["safe_release_replica_count"]) == ("release", 1, 3)
    assert row["replica_rc_per_hour"] == 2
    assert row["safe_saving_rc_per_month"] == 3 * 2 * 720
    assert row["peak_work_replica_seconds"] == 2800
    # 20,000 a million for 700 tokens in 2,800 replica-seconds.
    assert row["api_price_rc_per_replica_second"] == Decimal("0.005")
    assert (row["backtest_days_count"], row["backtest_replica_count"], row["backtest_overflow_hours"]) == (21, 1, 0)


def test_an_hour_without_a_reading_is_neither_quiet_nor_busy() -> None:
    """B11: a quarter of the hours unwatched is above 5%, and none of them counts as zero."""
    row = release(
        int_self_host_tokens_hourly=[row for day in DAYS for row in served(day, hours(700, without=range(6)))]
    )
    assert (row["observed_hours"], row["unobserved_hours"], row["status"]) == (504, 168, "refused")
    assert row["reason"].startswith("Nothing is offered: 25.0% of the hours unobserved, of at most 5%.")
    assert row["peak_work_replica_seconds"] == 2800


def test_another_model_begins_the_window_anew() -> None:
    changed = LAST - timedelta(days=9)
    before = deployment(model="llama-8b", valid_to_date=changed)
    row = release(config_deployments=[before, deployment(valid_from_date=changed)])
    assert (row["status"], row["window_days_count"], row["window_from_date"]) == ("refused", 10, changed)
    assert f"10 days since the deployment changed on {changed}, of at least 14" in row["reason"]


def test_a_capacity_measured_again_is_the_same_deployment() -> None:
    measured = LAST - timedelta(days=9)
    before = deployment(tokens_per_second=Decimal(1), valid_to_date=measured)
    row = release(config_deployments=[before, deployment(valid_from_date=measured)])
    assert (row["status"], row["window_days_count"]) == ("release", 28)


def test_a_deployment_without_a_price_of_its_own_still_says_what_is_needed() -> None:
    """B4: what nobody can price is unknown; what it needs is not."""
    unpriced = [paid(day, unpriced_count=1) for day in DAYS]
    row = release(fct_gpu_costs_daily=unpriced, fct_verdicts_daily=[])
    assert (row["status"], row["safe_release_replica_count"]) == ("release", 3)
    assert (row["safe_saving_rc_per_month"], row["economic_release_replica_count"]) == (None, None)
    assert "what a release saves is unknown" in row["reason"]
    assert "No API price of chat" in row["reason"]


def test_a_capacity_that_nobody_declared_is_at_least_its_best_hour() -> None:
    row = release(config_deployments=[deployment(tokens_per_second=None)])
    assert (row["capacity_basis"], row["capacity_tokens_per_replica_hour"]) == ("at_least", 175)
    # 700 tokens were 4 replicas' best hour, so with a fifth kept free at most 5 are needed: that says nothing.
    assert (row["status"], row["needed_replica_count"], row["quiet_hour_at"]) == (
        "keep",
        5,
        datetime(2026, 11, 10),  # noqa: DTZ001 - marts hold UTC
    )
    assert "at most 5 replicas needed" in row["reason"]


def test_an_hour_is_put_to_the_replicas_that_were_there_on_its_day() -> None:
    """Two full replicas are not offered for release because ten of them once served more than two could."""
    trial = DAYS[-10]
    row = release(
        config_deployments=[deployment(tokens_per_second=None)],
        fct_gpu_costs_daily=[paid(day, replicas=10 if day == trial else 2) for day in DAYS],
        int_self_host_tokens_hourly=[row for day in DAYS for row in served(day, hours(9000 if day == trial else 1800))],
    )
    assert (row["replica_count"], row["capacity_tokens_per_replica_hour"]) == (2, 900)
    assert "on 2 replica-hours" in row["capacity_source"]
    assert row["safe_release_replica_count"] == 0


def test_an_hour_of_a_day_that_was_not_paid_for_says_nothing_of_a_replica() -> None:
    row = release(
        config_deployments=[deployment(tokens_per_second=None)],
        fct_gpu_costs_daily=[paid(day) for day in DAYS[1:]],
        int_self_host_tokens_hourly=[
            row for day in DAYS for row in served(day, hours(9000 if day == DAYS[0] else 700))
        ],
    )
    assert row["capacity_tokens_per_replica_hour"] == 175


@pytest.mark.parametrize("replica_hours", [24, 30])
def test_an_hour_of_a_day_that_was_paid_for_in_part_says_nothing_of_a_replica(replica_hours: int) -> None:
    """Two full replicas from noon on are no one replica that serves twice as much; nor are they from nine on."""
    began = 24 - replica_hours // 2
    row = release(
        config_deployments=[deployment(tokens_per_second=None)],
        fct_gpu_costs_daily=[
            paid(DAYS[0], gpu_milliseconds=3_600_000 * 2 * replica_hours, realized_cost_rc=Decimal(2 * replica_hours)),
            *(paid(day, replicas=2) for day in DAYS[1:]),
        ],
        int_self_host_tokens_hourly=[
            *served(DAYS[0], hours(1700)[began:]),
            *(row for day in DAYS[1:] for row in served(day, hours(1700))),
        ],
    )
    assert (row["capacity_tokens_per_replica_hour"], row["safe_release_replica_count"]) == (850, 0)


@pytest.mark.parametrize(("replica_hours", "told"), [(60, "2.50"), (84, "3.50"), (10, "0.42")])
def test_part_of_a_day_does_not_say_how_many_replicas_there_are(replica_hours: int, told: str) -> None:
    today = paid(LAST, gpu_milliseconds=3_600_000 * 2 * replica_hours, realized_cost_rc=Decimal(2 * replica_hours))
    row = release(fct_gpu_costs_daily=[*(paid(day) for day in DAYS[:-1]), today])
    assert (row["status"], row["replica_count"], row["safe_release_replica_count"]) == ("refused", None, None)
    assert row["reason"].startswith(f"{told} replicas' time was paid for on 2026-11-10")


def test_nothing_is_said_of_a_day_that_is_not_settled_or_not_paid_for() -> None:
    days = [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in DAYS[:-1]]
    open_day = {"usage_date": LAST, "status": "provisional", "blocked_count": 0}
    assert release(fct_day_status_daily=[*days, open_day])["status"] == "not_settled"
    row = release(fct_gpu_costs_daily=[paid(day) for day in DAYS[:-1]])
    assert (row["status"], row["reason"]) == ("refused", "no GPU time of it was paid for on 2026-11-10")


# --- filling ---------------------------------------------------------------------------------------------------------


def workload(name: str, **changes: Any) -> Row:
    none = dict.fromkeys(("pinned_to", "pin_reason", "movable_share_ratio", "tokens_per_api_token"))
    return {"workload": name, "deployment_id": "llama", **none, **ALWAYS, **changes}


def asked(day: date, name: str, tokens: int, token_class: str = "output") -> Row:
    """At noon."""
    at = datetime(day.year, day.month, day.day, 12)  # noqa: DTZ001 - marts hold UTC
    return {"usage_date": day, "workload": name, "usage_hour_at": at, "token_class": token_class, "tokens": tokens}


_RELEASE = release()


def fills(**tables: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Four replicas with 700 tokens in each hour leave 2,900 of 3,600; mail asks for 4,000 at noon."""
    given: dict[str, Sequence[Row]] = {
        "config_deployments": [deployment()],
        "config_workloads": [workload("mail")],
        "fct_commitment_scopes_daily": [],
        "fct_day_status_daily": [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in DAYS[-7:]],
        "fct_demand_hourly": [asked(day, "mail", 4000) for day in DAYS[-7:]],
        "fct_scale_downs_daily": [{"usage_date": LAST, "deployment_id": "llama", **_RELEASE}],
        "fct_verdicts_daily": [price("mail")],
        "int_self_host_tokens_hourly": [row for day in DAYS[-7:] for row in served(day, hours(700))],
        **tables,
    }
    # All of it is known by the hour, where a test does not say more of a day.
    by_day: Counter[tuple[date, str]] = Counter()
    for row in given["fct_demand_hourly"]:
        by_day[row["usage_date"], row["workload"]] += row["tokens"]
    daily = [{"usage_date": day, "workload": name, "tokens": count} for (day, name), count in by_day.items()]
    given = {"fct_demand_daily": daily, **given}
    undated = ("config_deployments", "config_workloads")
    inputs = _inputs(idle_fills, given, [name for name in given if name not in undated])
    return {row["workload"]: row for row in idle_fills.build(inputs).to_dicts()}


def test_what_fits_beside_what_is_served_avoids_its_price_at_the_api() -> None:
    """2,900 of 4,000 tokens a day at 20,000 a million: 58 a day. A replica's rent is 48, and would lose 900 of them."""
    row = fills()["mail"]
    assert (row["status"], row["api_tokens"], row["fit_tokens"], row["fit_hours"]) == ("fits", 28_000, 20_300, 7)
    assert (row["avoided_cost_rc"], row["avoided_rc_per_month"]) == (406, 1740)
    # Released: 0, 1, 2 or 3 of them avoid 406, 280, 154, 28 and save 0, 336, 672, 1,008 of rent in the seven days.
    assert (row["release_beside_replica_count"], row["fit_beside_release_tokens"]) == (3, 1400)


def test_a_dearer_api_is_filled_rather_than_released() -> None:
    row = fills(fct_verdicts_daily=[price("mail", "200000")])["mail"]
    assert (row["avoided_cost_rc"], row["release_beside_replica_count"]) == (4060, 0)


def billed(name: str, cost: str, *, due: str, commitment: str = "anthropic") -> Row:
    """What a workload was billed under a commitment in 28 days, and what of that is due at least."""
    return {
        "usage_date": LAST,
        "commitment": commitment,
        "workload": name,
        "window_days_count": 28,
        "due_cost_rc": Decimal(due),
        "token_billed_cost_rc": Decimal(cost) - 1,
        "other_billed_cost_rc": Decimal(1),
        "unconverted_count": 0,
    }


def test_what_is_committed_is_not_avoided() -> None:
    """28,000 tokens come to 560, of which 896 x 7 / 28 = 224 are due anyway: what fits, 406, avoids 560 - 224."""
    scopes = [billed("mail", "2240", due="1000"), billed("unassigned", "103", due="1000")]
    row = fills(fct_commitment_scopes_daily=scopes)["mail"]
    assert (row["commitment"], row["api_committed_cost_rc"], row["api_headroom_cost_rc"]) == ("anthropic", 224, 336)
    assert row["avoided_cost_rc"] == row["avoided_alone_cost_rc"] == row["avoided_under_commitment_cost_rc"] == 336
    assert "336.00 above what is due: of 406.00 that fits, no more is avoided." in row["reason"]


def test_what_is_known_by_the_day_only_stays_and_uses_up_the_commitment() -> None:
    """80 a day of which 40 are due; of three days of seven the hours are known: the 58 that fit in each are avoided."""
    scopes = [{**billed("mail", "2241", due="1120"), "other_billed_cost_rc": Decimal(0)}]
    row = fills(
        fct_commitment_scopes_daily=scopes,
        fct_demand_daily=[{"usage_date": day, "workload": "mail", "tokens": 4000} for day in DAYS[-7:]],
        fct_demand_hourly=[asked(day, "mail", 4000) for day in DAYS[-3:]],
    )["mail"]
    assert (row["api_committed_cost_rc"], row["avoided_cost_rc"]) == (0, 174)
    # A week that has less than the window's days have on the average leaves nothing of it.
    few = fills(fct_commitment_scopes_daily=scopes, fct_demand_hourly=[asked(day, "mail", 2000) for day in DAYS[-7:]])
    assert (few["mail"]["api_committed_cost_rc"], few["mail"]["avoided_cost_rc"]) == (280, 0)


def test_only_what_may_move_fills_and_at_as_many_own_tokens_as_it_takes() -> None:
    """2,400 of 4,000 may move, each as 1.5 own ones: of 3,600 own ones 2,900 fit, which is 1,933 of the API's. At the
    API the work of 2,400 costs 48 a day.
    """
    some = workload("mail", movable_share_ratio=Decimal("0.6"), tokens_per_api_token=Decimal("1.5"))
    row = fills(config_workloads=[some])["mail"]
    assert (row["api_tokens"], row["movable_tokens"], row["fit_tokens"]) == (28_000, 16_800, 7 * 1933)
    assert row["avoided_cost_rc"] == round(Decimal(7) * 48 * 2900 / 3600, 18)
    assert row["reason"].startswith(
        "Of 28,000 tokens on the API 16,800 may move and 13,531 fit, each as 1.5 own ones, in 7 of 168 watched hours."
    )


def test_what_may_not_move_stays_billed_and_uses_up_the_commitment() -> None:
    """80 a day of which 40 are due, as much as the half that stays: all of the other half that fits is avoided."""
    scopes = [{**billed("mail", "2241", due="1120"), "other_billed_cost_rc": Decimal(0)}]
    some = workload("mail", movable_share_ratio=Decimal("0.5"))
    row = fills(config_workloads=[some], fct_commitment_scopes_daily=scopes)["mail"]
    assert (row["api_committed_cost_rc"], row["fit_tokens"], row["avoided_cost_rc"]) == (0, 14_000, 280)


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(tokens=st.integers(1, 9000), share=st.integers(1, 100), times=st.integers(1, 40))
def test_a_share_is_as_much_less_traffic_and_more_own_tokens_a_slower_replica(
    tokens: int, share: int, times: int
) -> None:
    some = workload("mail", movable_share_ratio=Decimal(share) / 100, tokens_per_api_token=Decimal(times) / 8)
    empty = [row for day in DAYS[-7:] for row in served(day, hours(0))]
    found = fills(
        config_workloads=[some],
        fct_demand_hourly=[asked(day, "mail", tokens) for day in DAYS[-7:]],
        int_self_host_tokens_hourly=empty,
    )["mail"]
    left = tokens * share // 100
    if not left:
        assert (found["status"], found["fit_tokens"]) == ("nothing_fits", None)
        return
    alike = fills(
        config_deployments=[deployment(tokens_per_second=Fraction(2, times))],
        fct_demand_hourly=[asked(day, "mail", left) for day in DAYS[-7:]],
        int_self_host_tokens_hourly=empty,
    )["mail"]
    for column in ("fit_tokens", "avoided_cost_rc", "fit_hours", "release_beside_replica_count"):
        assert found[column] == alike[column], column


def test_of_what_own_gpus_serve_too_the_share_that_may_move_is_not_known() -> None:
    both = [row for day in DAYS[-7:] for row in served(day, hours(700), "mail")]
    row = fills(
        config_workloads=[workload("mail", movable_share_ratio=Decimal("0.5"))], int_self_host_tokens_hourly=both
    )["mail"]
    assert (row["status"], row["fit_tokens"]) == ("unknown", None)
    assert row["reason"].startswith("it is served by own GPUs too")


def test_a_commitment_in_a_currency_without_a_rate_is_left_to_the_verdict() -> None:
    row = fills(fct_commitment_scopes_daily=[{**billed("mail", "9", due="9"), "due_cost_rc": None}])["mail"]
    assert (row["commitment"], row["avoided_cost_rc"]) == (None, 406)


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    tokens=st.lists(st.integers(0, 2500), min_size=3, max_size=3),
    on=st.lists(st.sampled_from(["llama", "qwen"]), min_size=3, max_size=3),
    staying=st.integers(1, 2000),
    due=st.integers(0, 6000),
    usual=st.lists(st.integers(1, 3000), min_size=3, max_size=3),
)
def test_workloads_of_one_commitment_avoid_together_what_its_bills_fall_by(
    tokens: list[int], on: list[str], staying: int, due: int, usual: list[int]
) -> None:
    """On however many deployments they would run: the bill before, less the bill after, by hand."""
    names = ["chat", "code", "mail"]
    found = fills(
        config_deployments=[deployment(), deployment(deployment_id="qwen")],
        config_workloads=[workload(name, deployment_id=place) for name, place in zip(names, on, strict=True)],
        fct_commitment_scopes_daily=[
            *(billed(name, str(cost), due=str(due)) for name, cost in zip(names, usual, strict=True)),
            billed("unassigned", str(staying), due=str(due)),
        ],
        fct_demand_hourly=[
            asked(day, name, count) for day in DAYS[-7:] for name, count in zip(names, tokens, strict=True) if count
        ],
        fct_scale_downs_daily=[{"usage_date": LAST, **_RELEASE, "deployment_id": place} for place in ("llama", "qwen")],
        fct_verdicts_daily=[price(name) for name in names],
        int_self_host_tokens_hourly=[
            {**row, "deployment_id": place}
            for place in ("llama", "qwen")
            for day in DAYS[-7:]
            for row in served(day, hours(2400))
        ],
    )
    used = sum(Fraction(count * 7, 50) for count in tokens)
    moved = sum(Fraction(row["fit_tokens"], 50) for row in found.values())
    # Of what does not move a day is what it was in the verdict's window.
    stays = staying + sum(cost if not count else 1 for cost, count in zip(usual, tokens, strict=True))
    floor, others = Fraction(due, 4), Fraction(stays, 4)
    fall = max(floor, others + used) - max(floor, others + used - moved)
    assert sum(Fraction(row["avoided_cost_rc"]) for row in found.values()) == fall
    assert {Fraction(row["avoided_under_commitment_cost_rc"]) for row in found.values()} <= {fall}
    for row in found.values():
        own = Fraction(row["fit_tokens"], 50)
        alone = max(floor, others + used) - max(floor, others + used - own)
        assert row["avoided_alone_cost_rc"] == alone
        assert row["avoided_cost_rc"] <= alone
        assert ("alone it would avoid" in row["reason"]) == (row["avoided_cost_rc"] < alone)


def test_an_hour_that_nobody_watched_takes_nothing() -> None:
    """B11"""
    unwatched = [row for day in DAYS[-7:] for row in served(day, hours(700, without=[12]))]
    row = fills(int_self_host_tokens_hourly=unwatched)["mail"]
    assert (row["status"], row["fit_tokens"], row["unobserved_hours"]) == ("nothing_fits", 0, 7)


def test_a_pinned_workload_stays_and_one_without_a_price_is_unknown() -> None:
    found = fills(
        config_workloads=[
            workload("mail"),
            workload("law", pinned_to="api", pin_reason="residency"),
            workload("labs"),
            workload("elsewhere", deployment_id=None),
        ],
        fct_demand_hourly=[asked(day, name, 100) for day in DAYS[-7:] for name in ("mail", "law", "labs", "elsewhere")],
    )
    assert {name: row["status"] for name, row in found.items()} == {"labs": "unknown", "law": "pinned", "mail": "fits"}
    assert found["law"]["reason"] == "pinned to the api: residency"
    assert (found["labs"]["fit_tokens"], found["labs"]["avoided_cost_rc"]) == (None, None)


def test_a_class_without_a_declared_throughput_does_not_move() -> None:
    by_class = deployment(
        tokens_per_second=None, prefill_tokens_per_second=Decimal(1), decode_tokens_per_second=Decimal("0.25")
    )
    row = fills(
        config_deployments=[by_class],
        fct_demand_hourly=[asked(day, "mail", 100, "input_image") for day in DAYS[-7:]],
    )["mail"]
    assert (row["status"], row["reason"]) == ("unknown", "llama declares no throughput for input_image")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"replica_count": 0, "reason": "no GPU time of it was paid for"}, "no GPU time of it was paid for"),
        ({"capacity_basis": None, "reason": "no capacity is declared"}, "no capacity is declared"),
    ],
)
def test_without_replicas_or_a_capacity_nothing_is_known_to_fit(changes: Mapping[str, Any], reason: str) -> None:
    given = [{"usage_date": LAST, "deployment_id": "llama", **release(), **changes}]
    row = fills(fct_scale_downs_daily=given)["mail"]
    assert (row["status"], row["reason"], row["fit_tokens"]) == ("unknown", reason, None)


def test_the_mean_of_a_day_is_over_the_days_that_are_settled() -> None:
    settled = [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in DAYS[-2:]]
    row = fills(fct_day_status_daily=settled)["mail"]
    assert (row["window_days_count"], row["fit_tokens"]) == (2, 5800)
    assert Fraction(row["fit_tokens_per_day"]) == 2900
