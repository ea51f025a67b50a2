"""The laws of the build: incremental equals full, only what depends runs, crashes and rivals are harmless."""

import multiprocessing
import os
import random
import re
import shutil
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.build.publish import open_snapshot
from pipeline.build.snapshot import Snapshots
from pipeline.errors import BuildError
from tests.build.small_graph import MODELS, SmallProject, noon

TABLES = ("stg_costs", "fct_costs_daily", "fct_totals", "fct_trailing_daily", "fct_readings_daily")
DAYS = [f"2026-{month:02d}-{day:02d}" for month, day in ((10, 29), (10, 30), (10, 31), (11, 1), (11, 2), (11, 3))]


def following(day: str) -> str:
    return (noon(day) + timedelta(days=1)).date().isoformat()


def all_rows(project: SmallProject, result) -> dict[str, list[tuple]]:
    connection = open_snapshot(result.snapshot)
    rows = {table: connection.execute(f"select * from {table} order by all").fetchall() for table in TABLES}
    connection.close()
    return rows


@st.composite
def edits(draw: st.DrawFn) -> list[tuple]:
    """A history: restated days, whole windows, readings with repeats, and edits of a SQL model."""
    steps = []
    for number in range(draw(st.integers(2, 6))):
        kind = draw(st.sampled_from(["day", "window", "readings", "sql", "withdraw"]))
        day = draw(st.integers(0, len(DAYS) - 1))
        amounts = draw(st.lists(st.decimals(-99, 99, places=4), min_size=1, max_size=4))
        steps.append((kind, number, day, [f"{amount:f}" for amount in amounts]))
    return steps


def apply(project: SmallProject, step: tuple) -> None:
    kind, number, day, amounts = step
    stated = noon("2026-11-05") + timedelta(hours=number)
    first = DAYS[day]
    if kind == "day":
        project.land_costs([(first, "a", amount) for amount in amounts], days=(first, following(first)), stated=stated)
    elif kind == "window":
        rows = [(DAYS[index % len(DAYS)], "b", amount) for index, amount in enumerate(amounts)]
        project.land_costs(rows, days=(DAYS[0], following(DAYS[-1])), stated=stated)
    elif kind == "withdraw":
        project.land_costs([], days=(first, following(first)), stated=stated)
    elif kind == "readings":
        rows = [{"day": first, "agent": "x", "seq": day * 10 + i, "value": i + 1} for i in range(len(amounts))]
        project.land_readings(rows, stated=stated)
    else:
        project.models["marts/fct_totals"] = MODELS["marts/fct_totals"] + f"\n-- edit {number}\n"


@given(edits())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_incremental_equals_full_after_any_history_of_edits(tmp_path_factory, steps):
    """B29, B10."""
    folder = tmp_path_factory.mktemp("history")
    project = SmallProject(folder)
    for step in steps:
        apply(project, step)
        warm = project.build()
    cold = project.build(state=folder / "cold", threads=3)
    assert all_rows(project, warm) == all_rows(project, cold)
    assert {name: node.content(None) for name, node in warm.snapshot.nodes.items()} == {
        name: node.content(None) for name, node in cold.snapshot.nodes.items()
    }
    assert list(warm.snapshot.nodes) == list(cold.snapshot.nodes)


def test_a_refetch_that_says_the_same_rebuilds_no_model(tmp_path):
    project = SmallProject(tmp_path)
    rows = [("2026-10-30", "a", "1.5")]
    project.land_costs(rows, days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-01"))
    project.build()
    project.land_costs(rows, days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-02"))
    assert project.build().ran == {}


def test_an_edited_sql_model_rebuilds_itself_and_stops_where_its_result_is_the_same(tmp_path):
    project = SmallProject(tmp_path)
    project.land_costs([("2026-10-30", "a", "1.5")], days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-01"))
    project.build()
    project.models["marts/fct_costs_daily"] = MODELS["marts/fct_costs_daily"] + "\n-- a comment\n"
    result = project.build()
    assert set(result.ran) == {"fct_costs_daily"}


def test_the_same_reading_twice_is_counted_once(tmp_path):
    """B9."""
    project = SmallProject(tmp_path)
    row = {"day": "2026-10-30", "agent": "x", "seq": 1, "value": 7}
    project.land_readings([row], stated=noon("2026-10-31"))
    project.land_readings([row, {**row, "seq": 2}], stated=noon("2026-11-01"))
    result = project.build()
    assert project.rows(result, "fct_readings_daily")[0][2:] == (14, 2)


def test_as_of_shows_the_past_and_moves_nothing(tmp_path):
    project = SmallProject(tmp_path)
    project.land_costs([("2026-10-30", "a", "1")], days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-01"))
    project.land_costs([("2026-10-30", "a", "9")], days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-10"))
    now = project.build()
    before = project.build("2026-11-05", make_current=False)
    assert project.rows(now, "fct_totals")[0][1] == 9
    assert project.rows(before, "fct_totals")[0][1] == 1
    current = Snapshots(folder=project.paths.snapshots, cache=project.paths.cache).current()
    assert current is not None
    assert current.snapshot_id == now.snapshot.snapshot_id


def test_an_old_cache_and_an_old_snapshot_are_rebuilt_without_being_asked(tmp_path):
    project = SmallProject(tmp_path)
    project.land_costs([("2026-10-30", "a", "1")], days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-01"))
    first = project.build()
    for file in [*project.paths.cache.rglob("*.json"), *project.paths.snapshots.glob("*.json")]:
        file.write_text(re.sub(r'("breakeven\.[a-z]+)/[0-9]+"', r'\1/0"', file.read_text()))
    again = project.build()
    assert again.ran
    assert all_rows(project, again) == all_rows(project, first)


def test_rows_outside_their_partition_are_refused(tmp_path):
    project = SmallProject(tmp_path)
    project.models["marts/fct_wrong"] = (
        "-- One row per usage_date.\n-- partition: day\n"
        "select cast(usage_date + 1 as date) as usage_date from landed_bills__costs\n"
    )
    project.land_costs([("2026-10-30", "a", "1")], days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-01"))
    with pytest.raises(BuildError, match="outside it"):
        project.build()


def test_a_model_that_fails_is_named_and_the_current_snapshot_stays(tmp_path):
    project = SmallProject(tmp_path)
    project.land_costs([("2026-10-30", "a", "1")], days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-01"))
    good = project.build()
    project.models["marts/fct_totals"] = (
        "-- One row.\n-- partition: none\nselect error('planted fault') as item from fct_costs_daily\n"
    )
    with pytest.raises(BuildError, match=r"fct_totals.*planted fault"):
        project.build()
    current = Snapshots(folder=project.paths.snapshots, cache=project.paths.cache).current()
    assert current is not None
    assert current.snapshot_id == good.snapshot.snapshot_id


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("-- partition: weekly\nselect 1 as usage_date", "must be day, month or none"),
        ("-- partition: none\nselect * from nowhere", "nowhere"),
        ("-- partition: none\nselect (", "does not parse"),
        ("-- partition: none\nselect 1; select 2", "exactly one SELECT"),
        ("-- partition: month\nselect 1 as item from calendar", "no column usage_date"),
    ],
)
def test_a_model_that_cannot_be_is_refused_with_its_name(tmp_path, sql, words):
    project = SmallProject(tmp_path)
    project.models["marts/fct_bad"] = sql
    with pytest.raises(BuildError, match=words) as caught:
        project.build()
    assert "fct_bad" in str(caught.value)


def test_models_in_a_circle_are_refused(tmp_path):
    project = SmallProject(tmp_path)
    project.models["marts/fct_one"] = "-- partition: none\nselect * from fct_two"
    project.models["marts/fct_two"] = "-- partition: none\nselect * from fct_one"
    with pytest.raises(BuildError, match="circle"):
        project.build()


def _build_in(folder: Path) -> None:
    SmallProject(folder).build()


def _filled(folder: Path) -> SmallProject:
    project = SmallProject(folder)
    for index, day in enumerate(DAYS):
        project.land_costs(
            [(day, item, f"{index}.{number}") for number, item in enumerate("abc")],
            days=(day, following(day)),
            stated=noon("2026-11-04"),
        )
        project.land_readings([{"day": day, "agent": "x", "seq": index, "value": index}], stated=noon("2026-11-04"))
    return project


def test_three_builds_at_once_on_one_cache_give_one_snapshot(tmp_path):
    project = _filled(tmp_path)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_build_in, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
        assert worker.exitcode == 0
    ours = project.build()
    assert ours.ran == {}
    alone = project.build(state=tmp_path / "alone")
    assert all_rows(project, ours) == all_rows(project, alone)


def test_kill_9_at_any_moment_leaves_a_state_that_builds_to_the_same(tmp_path):
    project = _filled(tmp_path)
    undisturbed = all_rows(project, project.build(state=tmp_path / "undisturbed"))
    context = multiprocessing.get_context("spawn")
    chance = random.Random(20261115)
    for _ in range(4):
        shutil.rmtree(project.paths.cache, ignore_errors=True)
        worker = context.Process(target=_build_in, args=(tmp_path,))
        worker.start()
        time.sleep(0.6 + chance.random() * 1.2)
        if worker.pid is not None and worker.is_alive():
            os.kill(worker.pid, signal.SIGKILL)
        worker.join(timeout=60)
        assert all_rows(project, project.build()) == undisturbed
