"""The cache that machines share: what one has built the others take; it is never needed and never wrong."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.build.publish import open_snapshot
from pipeline.build.snapshot import Snapshots
from pipeline.landing.shared import LostFileError
from pipeline.reports.questions import Questions
from tests.build.machines import Machine, Watched
from tests.build.small_graph import MODELS, SmallProject, noon
from tests.build.test_build_laws import DAYS, TABLES, all_rows, apply, edits, following


def machines(folder: Path, count: int = 2) -> tuple[SmallProject, list[Machine], Watched]:
    project = SmallProject(folder / "project")
    store = Watched(folder / "shared")
    return project, [Machine(project, folder / f"machine-{number}", store) for number in range(count)], store


def land(project: SmallProject, day: str, amount: str) -> None:
    project.land_costs([(day, "a", amount)], days=(day, following(day)), stated=noon("2026-11-05"))


def land_all(project: SmallProject) -> None:
    for number, day in enumerate(DAYS):
        land(project, day, str(number + 1))
    project.land_readings(
        [{"day": day, "agent": "x", "seq": number, "value": 1} for number, day in enumerate(DAYS)],
        stated=noon("2026-11-05"),
    )


@given(edits(), st.data())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whichever_machine_builds_it_says_what_one_alone_says(tmp_path_factory, steps, data):
    """B29: after each edit some machine builds, some lose their folder, and some files of the shared cache vanish."""
    folder = tmp_path_factory.mktemp("machines")
    project, found, store = machines(folder, 3)
    for step in steps:
        apply(project, step)
        machine = data.draw(st.sampled_from(found))
        if data.draw(st.integers(0, 3)) == 0:
            shutil.rmtree(machine.root, ignore_errors=True)
        shared = sorted(path for path in store.root.rglob("*") if path.is_file())
        for path in data.draw(st.lists(st.sampled_from(shared), max_size=3)) if shared else []:
            path.unlink(missing_ok=True)
        alone = project.build(state=folder / "alone")
        built = machine.build()
        try:
            rows = all_rows(project, built)
        except LostFileError:
            # Nothing that ran had read it: who reads it is told to rebuild.
            built = machine.build(anew=True)
            rows = all_rows(project, built)
        assert rows == all_rows(project, alone)
        assert built.snapshot.snapshot_id == alone.snapshot.snapshot_id


@given(edits(), st.integers(1, 60))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_shared_cache_that_fails_at_any_moment_fails_no_build(tmp_path_factory, steps, moment):
    folder = tmp_path_factory.mktemp("failing")
    project, (first, second), store = machines(folder)
    for step in steps[:-1]:
        apply(project, step)
    first.build()
    apply(project, steps[-1])
    store.asked.clear()
    store.fails = lambda number: number >= moment
    built = second.build()
    alone = all_rows(project, project.build(state=folder / "alone"))
    try:
        rows = all_rows(project, built)
    except LostFileError:
        # It failed after all that the build needed: who reads the rest is told to rebuild.
        rows = all_rows(project, second.build(anew=True))
    assert rows == alone
    if len(store.asked) >= moment:
        assert [note for note in built.notes if "shared cache is left out: S3 is away" in note] == list(built.notes)
        assert len(built.notes) == 1
    store.fails = lambda number: False
    assert all_rows(project, first.build()) == alone


def test_a_second_machine_builds_nothing_and_fetches_only_what_is_read(tmp_path):
    project, (first, second), store = machines(tmp_path)
    land_all(project)
    ran = first.build().ran
    assert set(ran) == set(TABLES)
    store.asked.clear()
    built = second.build()
    assert built.ran == {}
    # One listing, the name and the map of the snapshot; then the published tables.
    assert [what for what, key in store.asked if not key.startswith("cache/")] == ["list", "get"]
    assert second.parquet_files("fct_costs_daily") == 2
    assert second.parquet_files("stg_costs") == 0
    assert all_rows(project, built) == all_rows(project, first.build())
    assert second.parquet_files("stg_costs") == len(DAYS)


def test_after_a_new_delivery_a_second_machine_builds_what_depends_on_it(tmp_path):
    project, (first, second), _ = machines(tmp_path)
    land_all(project)
    first.build()
    land(project, DAYS[-1], "100")
    alone = project.build(state=tmp_path / "machine-0")
    built = second.build()
    assert built.ran == alone.ran
    assert "fct_readings_daily" not in built.ran
    assert built.ran["stg_costs"] == [DAYS[-1]]
    # What it does not touch it did not fetch: October's part of the month by month table was only published.
    assert second.parquet_files("stg_costs") < len(DAYS)


def test_an_object_that_one_machine_has_read_is_parsed_on_no_other(tmp_path, monkeypatch):
    project, (first, second), _ = machines(tmp_path)
    land_all(project)
    first.build()
    project.models["staging/stg_costs"] = MODELS["staging/stg_costs"] + "\n-- another\n"

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr("pipeline.build.parsed.parse_object", refuse)
    assert second.build().ran["stg_costs"] == DAYS


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "breakeven.parsed/2"}'], ids=repr)
def test_a_shared_index_that_is_damaged_is_read_anew(tmp_path, content):
    project, (first, second), store = machines(tmp_path)
    land_all(project)
    first.build()
    shutil.rmtree(store.root / "snapshots")
    for index in store.root.rglob("parsed.json"):
        index.write_bytes(content)
    assert all_rows(project, second.build()) == all_rows(project, project.build(state=tmp_path / "alone"))


def test_a_warm_machine_is_asked_for_nothing_when_nothing_changed(tmp_path):
    project, (first, _), store = machines(tmp_path)
    land_all(project)
    first.build()
    store.asked.clear()
    first.build()
    assert store.asked == []


def test_what_is_named_by_a_shared_snapshot_is_all_there_whenever_it_is_named(tmp_path):
    """The map is put after its files, the name by which it is found after the map."""
    project, (first, _), store = machines(tmp_path)
    land_all(project)
    first.build()
    put = [key for what, key in store.asked if what == "put"]
    kinds = ["name" if "/by-day/" in key else "map" if key.startswith("snapshots/") else "file" for key in put]
    assert kinds == sorted(kinds, key=["file", "map", "name"].index)
    assert kinds.count("name") == kinds.count("map") == 1
    assert len(put) == len(set(put))


def test_a_run_that_was_killed_before_it_shared_is_shared_by_the_next(tmp_path, monkeypatch):
    project, (first, second), _ = machines(tmp_path)
    land_all(project)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Snapshots, "share", killed)
    with pytest.raises(KeyboardInterrupt):
        first.build()
    monkeypatch.undo()
    assert first.build().ran == {}
    assert second.build().ran == {}


def test_a_rebuild_takes_nothing_from_the_shared_cache(tmp_path):
    project, (first, _), _ = machines(tmp_path)
    land_all(project)
    before = first.build()
    shutil.rmtree(first.paths.cache)
    again = first.build(anew=True)
    assert set(again.ran) == set(TABLES)
    assert again.snapshot.snapshot_id == before.snapshot.snapshot_id


def test_a_shared_snapshot_that_lacks_files_is_made_whole_again(tmp_path):
    """One machine begins again from landing, and puts what was lost: the next finds it all."""
    project, (first, second, third), store = machines(tmp_path, 3)
    land_all(project)
    first.build()
    shutil.rmtree(store.root / "cache")
    built = second.build()
    assert set(built.ran) == set(TABLES)
    assert built.notes == ()
    assert third.build().ran == {}
    assert all_rows(project, third.build()) == all_rows(project, built)


def test_what_is_shared_no_more_and_does_not_lie_here_is_made_again(tmp_path):
    """Collected while this machine slept: what it has never fetched it must not name to others."""
    project, (first, second, third), store = machines(tmp_path, 3)
    land_all(project)
    first.build()
    second.build()
    shutil.rmtree(store.root)
    land(project, DAYS[-1], "100")
    built = second.build()
    assert third.build().ran == {}
    assert all_rows(project, third.build()) == all_rows(project, built)


def test_a_reader_whose_files_are_nowhere_is_told_how_they_come_again(tmp_path):
    project, (first, second), store = machines(tmp_path)
    land_all(project)
    first.build()
    second.build()
    shutil.rmtree(store.root / "cache")
    current = Snapshots(folder=second.paths.snapshots, cache=second.paths.cache, shared=second.shared()).current()
    assert current is not None
    with pytest.raises(LostFileError, match="breakeven rebuild"):
        open_snapshot(current)


def test_a_question_opens_what_it_names_and_one_that_names_nothing_opens_all(tmp_path):
    project, (first, second), _ = machines(tmp_path)
    land_all(project)
    first.build()
    with Questions(second.build().snapshot) as questions:
        assert questions.select("select sum(billed_cost) from FCT_TOTALS").row(0) == (21,)
        assert second.parquet_files("stg_costs") == 0
        names = questions.select("select view_name from duckdb_views() where not internal order by 1")
        assert names["view_name"].to_list() == sorted(TABLES)
        assert questions.select('select count(*) from "stg_costs"').row(0) == (len(DAYS),)


def test_a_look_back_is_shared_and_moves_no_current(tmp_path):
    project, (first, second), _ = machines(tmp_path)
    land_all(project)
    first.build()
    past = first.build("2026-11-12", make_current=False)
    again = second.build("2026-11-12", make_current=False)
    assert again.ran == {}
    assert again.snapshot.snapshot_id == past.snapshot.snapshot_id
    assert Snapshots(folder=second.paths.snapshots, cache=second.paths.cache).current() is None


def test_a_snapshot_of_a_proposal_is_told_to_nobody(tmp_path):
    project, (first, second), store = machines(tmp_path)
    land_all(project)
    first.build()
    event = project.landing.record(kind="accept", subject="x", body={}, now=noon("2026-11-06"))
    put = [key for what, key in store.asked if what == "put"]
    project.landing = project.landing.proposing([event])
    second.build(make_current=False)
    assert [key for what, key in store.asked if what == "put"] == put
    assert event.at - noon("2026-11-06") == timedelta(0)
