"""Redacted bytes: every table says what it would say had they never landed, of whatever moment."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.build.parsed import parsed_folder
from pipeline.build.redactions import finish_redactions, take_away
from pipeline.landing.landing import REDACT_EVENT, DamagedObjectError, RedactedError
from pipeline.landing.records import Delivery
from tests.build.machines import Machine, Watched
from tests.build.small_graph import SmallProject, noon
from tests.build.test_build_laws import TABLES, all_rows, apply, edits, following

REDACTED_AT = noon("2026-11-10")


def redact(project: SmallProject, sha256: str, *, is_killed: bool = False) -> None:
    """`is_killed`: after the tombstone, before anything is deleted."""
    project.landing.record(kind=REDACT_EVENT, subject=sha256, body={"reason": "a payroll file"}, now=REDACTED_AT)
    if not is_killed:
        take_away(sha256, landing=project.landing, cache=project.paths.cache, shared=None)


def without(folder: Path, steps: list[tuple], shas: set[str]) -> SmallProject:
    """The same history without the deliveries of these bytes."""
    project = SmallProject(folder)
    land = project.landing.store.put_if_absent

    def landed(key: str, content: bytes) -> bool:
        is_of_them = key.startswith("deliveries/") and any(sha256 in content.decode() for sha256 in shas)
        return False if is_of_them else land(key, content)

    project.landing.store.put_if_absent = landed  # type: ignore[method-assign]
    for step in steps:
        apply(project, step)
    project.landing.store.put_if_absent = land  # type: ignore[method-assign]
    return project


@given(edits(), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_a_redaction_all_is_as_if_the_bytes_had_never_landed(tmp_path_factory, steps, dice, is_killed):
    """B10: the delivery before it counts again, or there is no data; also of a moment before the redaction."""
    folder = tmp_path_factory.mktemp("redacted")
    project = SmallProject(folder / "project")
    for step in steps:
        apply(project, step)
    deliveries = project.landing.contents().deliveries
    if not deliveries:
        return
    project.build("2026-11-09")
    (chosen,) = dice.choice(deliveries).objects
    redact(project, chosen.sha256, is_killed=is_killed)
    reference = without(folder / "reference", steps, {chosen.sha256})
    assert all_rows(project, project.build()) == all_rows(reference, reference.build())
    before = project.build("2026-11-08", make_current=False)
    assert all_rows(project, before) == all_rows(reference, reference.build("2026-11-08", make_current=False))
    assert before.landed is None or before.landed.damaged == frozenset()


def a_bill(project: SmallProject, amount: str, *, day: str = "2026-10-30", stated: str = "2026-11-01") -> Delivery:
    return project.land_costs([(day, "a", amount)], days=(day, following(day)), stated=noon(stated))


def lies_anywhere(folder: Path, sha256: str) -> bool:
    return any(sha256 in str(path) for path in folder.rglob("*") if path.is_file())


def test_the_delivery_before_it_counts_again_and_without_one_there_is_no_data(tmp_path):
    project = SmallProject(tmp_path)
    older = a_bill(project, "1")
    newer = a_bill(project, "9", stated="2026-11-02")
    assert project.rows(project.build(), "fct_totals") == [("a", 9)]
    redact(project, newer.objects[0].sha256)
    assert project.rows(project.build(), "fct_totals") == [("a", 1)]
    redact(project, older.objects[0].sha256)
    built = project.build()
    assert project.rows(built, "fct_totals") == []
    assert built.landed is not None
    assert list(built.landed.relations["landed_bills__costs"].days()) == []


def test_the_bytes_and_what_was_read_of_them_are_gone(tmp_path):
    project = SmallProject(tmp_path)
    (landed,) = a_bill(project, "9").objects
    project.build()
    assert parsed_folder(project.paths.cache, landed.sha256).exists()
    redact(project, landed.sha256)
    assert not lies_anywhere(project.folder / "state", landed.sha256)


def test_a_redaction_that_was_killed_is_finished_by_the_next_run(tmp_path):
    project = SmallProject(tmp_path)
    (landed,) = a_bill(project, "9").objects
    project.build()
    redact(project, landed.sha256, is_killed=True)
    project.build()
    assert lies_anywhere(project.folder / "state", landed.sha256)
    for _ in range(2):
        assert finish_redactions(project.landing, cache=project.paths.cache, shared=None) == ()
        assert not lies_anywhere(project.folder / "state", landed.sha256)


def test_what_a_build_shared_while_its_bytes_were_redacted_is_taken_away_by_the_next_run(tmp_path):
    """It had read the object before, and offered what it read after everything had been deleted."""
    project = SmallProject(tmp_path / "project")
    (landed,) = a_bill(project, "9").objects
    other = Machine(project, tmp_path / "other", Watched(tmp_path / "shared"))
    redact(project, landed.sha256)
    late = other.paths.cache / "parsed" / landed.sha256[:2] / landed.sha256 / "reader" / "costs.parquet"
    late.parent.mkdir(parents=True)
    late.write_bytes(b"rows")
    shared = other.shared()
    shared.offer([late])
    assert shared.settle()
    assert lies_anywhere(tmp_path / "shared", landed.sha256)
    other.build()
    assert finish_redactions(project.landing, cache=other.paths.cache, shared=other.shared()) == ()
    assert not lies_anywhere(tmp_path / "shared", landed.sha256)


def test_a_redacted_object_is_never_called_damaged(tmp_path):
    project = SmallProject(tmp_path)
    (landed,) = a_bill(project, "9").objects
    redact(project, landed.sha256)
    with pytest.raises(RedactedError, match="redacted on 2026-11-10: a payroll file"):
        project.landing.read_object(landed)
    (gone,) = a_bill(project, "10").objects
    project.landing.store.erase(gone.key)
    built = project.build()
    assert built.landed is not None
    assert {item.reason.partition(":")[0] for item in built.landed.quarantined if item.landed == landed} == {
        "redacted on 2026-11-10"
    }
    assert landed.sha256 not in built.landed.damaged
    assert len(built.landed.damaged) == 1
    with pytest.raises(DamagedObjectError):
        project.landing.read_object(gone)


def test_the_same_bytes_do_not_land_again(tmp_path):
    project = SmallProject(tmp_path)
    (landed,) = a_bill(project, "9").objects
    redact(project, landed.sha256)
    before = project.landing.contents().deliveries
    with pytest.raises(RedactedError, match=r"a payroll file\. It stays out"):
        a_bill(project, "9", stated="2026-11-12")
    assert project.landing.contents().deliveries == before
    assert not project.landing.store.holds(landed.key)


def test_bytes_that_are_redacted_while_a_build_reads_them_are_looked_at_again_by_the_next(tmp_path, monkeypatch):
    project = SmallProject(tmp_path)
    (landed,) = a_bill(project, "9").objects
    listed = project.landing.contents()
    redact(project, landed.sha256)
    monkeypatch.setattr(type(project.landing), "contents", lambda self: listed)
    during = project.build()
    monkeypatch.undo()
    after = project.build()
    assert during.landed is not None
    assert during.landed.damaged == {landed.sha256}
    assert after.snapshot.snapshot_id != during.snapshot.snapshot_id
    assert {table: project.rows(after, table) for table in TABLES if table != "fct_trailing_daily"} == {
        table: [] for table in TABLES if table != "fct_trailing_daily"
    }


def test_what_is_only_told_makes_no_other_build(tmp_path):
    """A report that was issued and a message that was sent must not make another snapshot of what they tell."""
    project = SmallProject(tmp_path)
    a_bill(project, "9")
    first = project.build()
    for kind in ("report", "collect", "message.posted", "case.opened", "quarantine.dismissed"):
        project.landing.record(kind=kind, subject="x", body={}, now=noon("2026-11-12"))
    again = project.build()
    assert again.snapshot.snapshot_id == first.snapshot.snapshot_id
    project.landing.record(kind="accept", subject="x", body={}, now=noon("2026-11-12") + timedelta(hours=1))
    assert project.build().snapshot.snapshot_id != first.snapshot.snapshot_id
