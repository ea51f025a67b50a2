"""What is unusual by stream and day: by a second route over the marts, and what is not known compared with nothing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import polars as pl
import pytest

from pipeline.build.relations import FrameRelation
from pipeline.build.runner import Runner
from pipeline.decisions.graph import PYTHON_MODELS, current_snapshot
from pipeline.landing.project import Project
from pipeline.reports.questions import Questions

Row = Mapping[str, Any]
Key = tuple[str | None, ...]
LAST = date(2026, 11, 20)
DAYS = [LAST - timedelta(days=back) for back in reversed(range(64))]
MODEL = next(model for model in PYTHON_MODELS if model.name == "fct_anomalies_daily")
_MONEY, _TEXT = pl.Decimal(38, 18), pl.String()
COLUMNS: Mapping[str, Mapping[str, pl.DataType]] = {
    "fct_api_costs_daily": {
        "usage_date": pl.Date(), "provider": _TEXT, "account": _TEXT, "sub_account_id": _TEXT, "api_key_id": _TEXT,
        "model": _TEXT, "team": _TEXT, "charge_kind": _TEXT, "billed_cost": _MONEY, "billed_cost_rc": _MONEY,
    },
    "fct_day_status_daily": {"usage_date": pl.Date(), "status": _TEXT, "blocked_count": pl.Int64()},
    "fct_gpu_costs_daily": {
        "usage_date": pl.Date(), "account": _TEXT, "deployment_id": _TEXT, "gpu_milliseconds": pl.Int64(),
        "realized_cost_rc": _MONEY,
    },
    "fct_cloud_model_costs_daily": {
        "usage_date": pl.Date(), "account": _TEXT, "sub_account_id": _TEXT, "model": _TEXT, "billed_cost_rc": _MONEY,
    },
}  # fmt: skip


def api(day: date, cost: int | None, key: str = "a", **said: Any) -> Row:
    """`cost` None: used, and on a bill without an amount in the reporting currency."""
    row = {
        "usage_date": day, "provider": "p", "account": "acme", "sub_account_id": "ws", "api_key_id": key, "model": "m",
        "team": f"team-{key}", "charge_kind": "tokens",
    }  # fmt: skip
    amount = None if cost is None else Decimal(cost)
    return {**row, "billed_cost": Decimal(1) if cost is None else amount, "billed_cost_rc": amount, **said}


def gpu(day: date, cost: int, **said: Any) -> Row:
    row = {"usage_date": day, "account": "main", "deployment_id": "llama", "gpu_milliseconds": 1}
    return {**row, "realized_cost_rc": Decimal(cost), **said}


def built(
    cache: Path,
    rows: Iterable[Row],
    gpus: Iterable[Row] = (),
    *,
    hosted: Iterable[Row] = (),
    unsettled: Sequence[date] = (),
) -> list[Row]:
    """The node's rows of the last day, as the runner makes them."""
    tables: Mapping[str, Iterable[Row]] = {
        "fct_api_costs_daily": rows,
        "fct_gpu_costs_daily": gpus,
        "fct_cloud_model_costs_daily": hosted,
        "fct_day_status_daily": [
            {"usage_date": day, "status": "provisional" if day in unsettled else "settled", "blocked_count": 0}
            for day in DAYS
        ],
    }
    relations = {}
    for name, columns in COLUMNS.items():
        said = [{column: row.get(column) for column in columns} for row in tables[name]]
        frame = pl.DataFrame(said, schema=dict(columns), orient="row")
        relations[name] = FrameRelation(name=name, frame=frame, folder=cache, date_column="usage_date")
    found = Runner(models=[MODEL], relations=relations, cache=cache, threads=1).build()
    frame = pl.DataFrame(duckdb.sql(found.nodes[MODEL.name].sql(None)))
    return frame.filter(pl.col("usage_date") == LAST).sort("lane", "api_key_id").to_dicts()


def names(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    return [(row["lane"], row["api_key_id"] or row["deployment_id"], row["is_unusual"]) for row in rows]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anomalies")


def test_one_keys_fall_hides_no_other_keys_rise(cache: Path) -> None:
    rows = [api(day, 100 + (80 if day == LAST else 0)) for day in DAYS]
    rows += [api(day, 100 - (80 if day == LAST else 0), "b") for day in DAYS]
    fallen, risen = sorted(built(cache, rows)[1:], key=lambda row: row["cost_rc"])
    assert (fallen["api_key_id"], fallen["cost_rc"], fallen["expected_cost_rc"]) == ("b", 20, 100)
    assert (risen["api_key_id"], risen["cost_rc"], risen["team"]) == ("a", 180, "team-a")
    (together,) = [row for row in built(cache, rows) if row["lane"] == "all"]
    assert (together["cost_rc"], together["is_unusual"]) == (200, False)


def test_a_key_without_a_row_on_a_settled_day_cost_nothing_and_one_that_is_new_is_unusual(cache: Path) -> None:
    rows = [api(day, 100) for day in DAYS] + [api(LAST, 100, "new")] + [api(day, 100, "gone") for day in DAYS[:-1]]
    assert names(built(cache, rows)) == [("all", None, False), ("api", "gone", True), ("api", "new", True)]


def test_an_account_whose_bill_is_new_has_no_rise(cache: Path) -> None:
    """What was not read before is not known to have cost nothing."""
    rows = [api(day, 100) for day in DAYS] + [api(day, 500, "b", account="other") for day in DAYS[-20:]]
    assert names(built(cache, rows)) == [("all", None, False)]


def test_a_day_that_is_not_settled_is_neither_judged_nor_compared_with(cache: Path) -> None:
    rows = [api(day, 900 if day in DAYS[-8:-1] else 100) for day in DAYS]
    assert built(cache, rows, unsettled=[LAST]) == []
    # Seven settled days of 900 are one Friday of eight; unsettled ones are none at all.
    assert [names(built(cache, rows, unsettled=days)) for days in ([], DAYS[-8:-1])] == [[("all", None, False)]] * 2


def test_what_has_no_amount_is_unknown_and_not_cheap(cache: Path) -> None:
    rows = [api(day, None if day == LAST else 100) for day in DAYS] + [api(day, 100, "b") for day in DAYS]
    (together,) = built(cache, rows)
    assert (together["lane"], together["cost_rc"], together["is_unusual"]) == ("all", None, False)


def test_gpus_are_looked_at_by_deployment_and_taxes_are_not(cache: Path) -> None:
    gpus = [gpu(day, 240 if day == LAST else 24) for day in DAYS]
    gpus += [gpu(LAST, 10_000, deployment_id=None, gpu_milliseconds=None)]
    taxes = [api(LAST, 10_000, charge_kind="other")]
    assert names(built(cache, taxes, gpus)) == [("all", None, True), ("gpu", "llama", True)]


def test_a_model_that_a_cloud_hosts_is_looked_at_by_itself_and_is_in_all_of_it(cache: Path) -> None:
    said = {"account": "aws", "sub_account_id": "1", "model": "Claude Opus 5"}
    hosted = [{"usage_date": day, **said, "billed_cost_rc": Decimal(900 if day == LAST else 100)} for day in DAYS]
    together, found = built(cache, [api(day, 100) for day in DAYS], hosted=hosted)
    assert (found["lane"], found["model"], found["cost_rc"], found["expected_cost_rc"]) == (
        "cloud_model", "Claude Opus 5", 900, 100,
    )  # fmt: skip
    assert (together["lane"], together["cost_rc"], together["is_unusual"]) == ("all", 1000, True)


# --- the second route -------------------------------------------------------------------------------------------------


def by_hand(streams: Mapping[Key, Mapping[date, Fraction]], day: date) -> dict[Key, tuple[Fraction, Fraction]]:
    """Each stream that is unusual on the day: what it cost and what was expected, by the formula as it is written."""
    found = {}
    for key, amounts in streams.items():
        history = {one: cost for one, cost in amounts.items() if day - timedelta(days=56) <= one < day}
        same = [cost for one, cost in history.items() if one.weekday() == day.weekday()]
        if day not in amounts or len(history) < 28 or len(same) < 3:
            continue
        expected = median(same)
        of_weekday = defaultdict(list)
        for one, cost in history.items():
            of_weekday[one.weekday()].append(cost)
        distances = [
            abs(cost - median(of_weekday[one.weekday()])) / median(of_weekday[one.weekday()])
            for one, cost in history.items()
            if median(of_weekday[one.weekday()])
        ]
        spread = median(distances) if distances else 0
        if abs(amounts[day] - expected) > abs(expected) * max(Fraction(1, 5), 5 * Fraction("1.4826") * spread):
            found[key] = amounts[day], Fraction(expected)
    return found


def test_the_demos_anomalies_are_what_its_published_marts_say(demo_folder: Path) -> None:
    with Questions(current_snapshot(Project(demo_folder))) as questions:
        tables = {
            name: questions.select(f"select * from {name}").to_dicts()
            for name in ("fct_api_costs_daily", "fct_gpu_costs_daily", "fct_day_status_daily", "fct_anomalies_daily")
        }
    settled = sorted(
        row["usage_date"]
        for row in tables["fct_day_status_daily"]
        if row["status"] == "settled" and not row["blocked_count"]
    )
    costs: dict[Key, dict[date, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for row in tables["fct_api_costs_daily"]:
        if row["charge_kind"] != "other" and row["billed_cost"] is not None:
            key = ("api", *(row[name] for name in ("account", "sub_account_id", "api_key_id", "model")), None)
            costs[key][row["usage_date"]] += Fraction(row["billed_cost_rc"])
    for row in tables["fct_gpu_costs_daily"]:
        if row["gpu_milliseconds"] is not None:
            key = ("gpu", row["account"], None, None, None, row["deployment_id"])
            costs[key][row["usage_date"]] += Fraction(row["realized_cost_rc"])
    published = defaultdict(dict)
    for row in tables["fct_anomalies_daily"]:
        key = tuple(row[name] for name in ("lane", "account", "sub_account_id", "api_key_id", "model", "deployment_id"))
        if row["lane"] != "all" and row["is_unusual"]:
            published[row["usage_date"]][key] = Fraction(row["cost_rc"]), Fraction(row["expected_cost_rc"])
    judged = {row["usage_date"] for row in tables["fct_anomalies_daily"] if row["lane"] == "all"}
    assert judged == {day for day in settled if day >= min(one for of_one in costs.values() for one in of_one)}
    for day in judged:
        window = [one for one in settled if day - timedelta(days=56) <= one <= day]
        since = {
            book: min(one for key, of_one in costs.items() if key[:2] == book for one in of_one if one in window)
            for book in {key[:2] for key, of_one in costs.items() if any(one in window for one in of_one)}
        }
        streams = {
            key: {one: of_one.get(one, Fraction(0)) for one in window if one >= since[key[:2]]}
            for key, of_one in costs.items()
            if any(one in window for one in of_one)
        }
        hand = by_hand(streams, day)
        assert published[day].keys() == hand.keys(), day
        for key, (cost, expected) in published[day].items():
            # A median of two amounts may lie half a quantum beside what a table holds.
            assert (cost, abs(expected - hand[key][1]) <= Fraction(1, 10**18)) == (hand[key][0], True)
    assert any(published.values())
