"""What is thrown away: never what a kept snapshot names, never what is young, never landing."""

import os
import shutil
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.build.collect import YOUNG, Plan, collect, held_snapshots, plan_collection
from pipeline.build.graph import BuildResult
from pipeline.build.publish import open_snapshot
from pipeline.build.snapshot import Snapshots
from pipeline.errors import BuildError
from pipeline.landing.landing import REDACT_EVENT, REPORT_EVENT
from tests.build.machines import Machine, Watched
from tests.build.small_graph import BILLS, METERS, SmallProject, noon
from tests.build.test_build_laws import TABLES, all_rows, apply, edits, following
from tests.build.test_shared_cache import land, machines

KEEP = timedelta(days=90)
NOW = datetime.now(UTC)


def grow_old(*folders: Path, by: timedelta = 2 * KEEP) -> None:
    """As if all that lies there had been written so long before."""
    for folder in folders:
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    then = path.stat().st_mtime - by.total_seconds()
                    os.utime(path, (then, then))


def planned(machine: Machine, *, keep: timedelta = KEEP) -> Plan:
    return plan_collection(
        machine.project.landing.contents(),
        datasets=(BILLS, METERS),
        paths=machine.paths,
        shared=machine.shared(),
        keep=keep,
        now=datetime.now(UTC),
    )


def collected(machine: Machine, *, keep: timedelta = KEEP) -> Plan:
    plan = planned(machine, keep=keep)
    collect(plan, paths=machine.paths, shared=machine.shared(), now=datetime.now(UTC))
    return plan


def a_bill(project: SmallProject, amount: str, hour: int = 0) -> None:
    day = "2026-10-30"
    stated = noon("2026-11-01") + timedelta(hours=hour)
    project.land_costs([(day, "a", amount)], days=(day, following(day)), stated=stated)


def files_below(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def cites(project: SmallProject, result: BuildResult) -> None:
    body = {"snapshot_id": result.snapshot.snapshot_id, "sha256": "0"}
    project.landing.record(kind=REPORT_EVENT, subject="2026-10", body=body, now=noon("2026-11-14"))


def read_again(machine: Machine, snapshot_id: str) -> Mapping[str, list[tuple]]:
    snapshot = Snapshots(folder=machine.paths.snapshots, cache=machine.paths.cache, shared=machine.shared()).load(
        snapshot_id
    )
    assert snapshot is not None
    connection = open_snapshot(snapshot)
    return {table: connection.execute(f"select * from {table} order by all").fetchall() for table in TABLES}


@given(edits(), st.data())
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_kept_reads_as_before_and_whatever_is_built_next_is_right(tmp_path_factory, steps, data):
    folder = tmp_path_factory.mktemp("collected")
    project, found, store = machines(folder)
    said: dict[str, Mapping[str, list[tuple]]] = {}
    for step in steps:
        apply(project, step)
        machine = data.draw(st.sampled_from(found))
        built = machine.build()
        said[built.snapshot.snapshot_id] = read_again(machine, built.snapshot.snapshot_id)
        if data.draw(st.booleans()):
            cites(project, built)
        if data.draw(st.booleans()):
            grow_old(store.root, *(one.root for one in found))
        before = files_below(project.paths.landing)
        # Always the same one: what is current on the others it does not know.
        plan = collected(found[0])
        assert files_below(project.paths.landing) == before
        for one in plan.kept:
            for reader in found:
                assert read_again(reader, one.snapshot_id) == said[one.snapshot_id]
    alone = project.build(state=folder / "alone")
    for machine in found:
        assert all_rows(project, machine.build(anew=data.draw(st.booleans()))) == all_rows(project, alone)


def test_current_cited_and_young_snapshots_stay_and_all_others_go(tmp_path):
    project, (machine, _), _ = machines(tmp_path)
    built = []
    for hour, amount in enumerate(("1", "2", "3")):
        a_bill(project, amount, hour)
        built.append(machine.build())
    cites(project, built[0])
    grow_old(machine.root, tmp_path / "shared")
    a_bill(project, "4", 4)
    built.append(machine.build())
    a_bill(project, "5", 5)
    built.append(machine.build())
    first, second, third, young, current = (one.snapshot.snapshot_id for one in built)
    plan = collected(machine)
    whys = {one.snapshot_id: why.split(" on ")[0] for one, why in plan.kept.items()}
    assert whys == {first: "cited by the report of 2026-10", young: "made", current: "current here"}
    assert {one.snapshot_id for one in plan.going} == {second, third}
    assert {one.snapshot_id for one in held_snapshots(machine.paths, machine.shared())} == {first, young, current}
    assert planned(machine).files == {"here": (), "shared": ()}
    assert plan.size_bytes("here") > 0
    assert plan.size_bytes("shared") > 0


def test_nothing_young_goes_whatever_names_it(tmp_path):
    project, (machine, _), store = machines(tmp_path)
    a_bill(project, "1")
    machine.build()
    shutil.rmtree(machine.paths.snapshots)
    shutil.rmtree(store.root / "snapshots")
    aside = machine.paths.cache / "nodes" / "stg_costs" / ".half.parquet.1.ab"
    aside.write_bytes(b"half")
    assert planned(machine, keep=timedelta(days=1)).files == {"here": (), "shared": ()}
    grow_old(machine.root, by=YOUNG)
    keys = {entry.key for entry in collected(machine, keep=timedelta(days=1)).files["here"]}
    assert f"cache/nodes/stg_costs/{aside.name}" in keys
    assert not any(key.startswith("cache/parsed") for key in keys)
    assert list((machine.paths.cache / "nodes").rglob("*.*")) == []


def test_what_is_used_again_is_young_again(tmp_path):
    """An edit taken back finds the results of before; a collection beside that build leaves them alone."""
    project = SmallProject(tmp_path)
    a_bill(project, "1")
    project.build()
    a_bill(project, "2", 1)
    project.build()
    grow_old(project.paths.cache, project.paths.snapshots)
    a_bill(project, "1", 2)
    plan = plan_collection(
        project.landing.contents(), datasets=(BILLS, METERS), paths=project.paths, shared=None, keep=KEEP, now=NOW
    )
    assert plan.files["here"]
    assert project.build().ran == {}
    collect(plan, paths=project.paths, shared=None, now=NOW)
    assert project.rows(project.build(), "fct_totals") == [("a", 1)]
    assert project.build().ran == {}


def test_a_collection_beside_builds_breaks_none(tmp_path):
    project, found, store = machines(tmp_path, 2)
    stop = threading.Event()

    def again_and_again() -> None:
        while not stop.is_set():
            for machine in found:
                collected(machine, keep=YOUNG)

    collecting = threading.Thread(target=again_and_again)
    collecting.start()
    try:
        for number in range(12):
            a_bill(project, str(number % 3), number)
            built = found[number % 2].build()
            assert project.rows(built, "fct_totals") == [("a", number % 3)]
            grow_old(store.root, *(machine.paths.snapshots for machine in found), by=2 * YOUNG)
    finally:
        stop.set()
        collecting.join()


def test_what_was_read_of_landing_stays_as_long_as_this_release_would_read_it_so(tmp_path):
    project, (machine, _), _ = machines(tmp_path)
    land(project, "2026-10-30", "1")
    land(project, "2026-10-31", "2")
    machine.build()
    (gone, stays) = (one.objects[0].sha256 for one in project.landing.contents().deliveries)
    project.landing.record(kind=REDACT_EVENT, subject=gone, body={"reason": "r"}, now=noon("2026-11-10"))
    grow_old(machine.root, tmp_path / "shared")
    keys = [entry.key for entries in collected(machine).files.values() for entry in entries]
    assert any(gone in key for key in keys)
    assert not any(stays in key for key in keys)


def test_a_kept_snapshot_that_cannot_be_read_stops_the_collection(tmp_path):
    project, (machine, _), _ = machines(tmp_path)
    a_bill(project, "1")
    machine.build()
    (machine.paths.snapshots / "0123456789abcdef.json").write_text('{"format": "breakeven.snapshot/9"}')
    with pytest.raises(BuildError, match="nobody knows which files it needs"):
        planned(machine)


def test_a_collection_that_is_killed_leaves_nothing_that_names_what_is_gone(tmp_path):
    """Names go before maps, maps before files: whatever is left can be read."""
    project, (machine, other), store = machines(tmp_path)
    for hour, amount in enumerate(("1", "2", "3")):
        a_bill(project, amount, hour)
        machine.build()
    grow_old(machine.root, store.root)
    a_bill(project, "4", 4)
    machine.build()
    plan = planned(machine)
    count = len(plan.files["shared"])
    assert count > 4
    for limit in range(count):
        shutil.copytree(tmp_path / "shared", tmp_path / f"shared-{limit}", copy_function=shutil.copy2)
        half = Watched(tmp_path / f"shared-{limit}")
        deleted = iter(range(limit))

        def delete(key: str, half: Watched = half, deleted: object = deleted) -> None:
            if next(deleted, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            (half.root / key).unlink()

        half.delete = delete  # type: ignore[method-assign]
        reader = Machine(project, tmp_path / f"reader-{limit}", half)
        with pytest.raises(KeyboardInterrupt):
            collect(plan, paths=reader.paths, shared=reader.shared(), now=datetime.now(UTC))
        for name in half.keys("snapshots/by-day"):
            assert read_again(reader, name.rpartition("-")[2])
    assert other.build().ran == {}
