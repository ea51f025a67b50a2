"""What goes wrong around the files: folders, links, keys, chains, disks, damaged landing. The rest goes on."""

import errno
import os
import shutil
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

import pipeline.cli
from pipeline.cli.events import accept
from pipeline.cli.show import status
from pipeline.errors import LandingError
from pipeline.landing.store import FolderStore
from pipeline.landing.times import day_start
from pipeline.sources.ingest import ingest
from tests.pipeline.conftest import MakeProject, PersonAt
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    COST_API,
    DAYS,
    NOW,
    SPOOL,
    SmallProject,
    api_page,
    cost_result,
    source,
    spool_file,
    three_days,
)
from tests.sources.admin_api import KEY, AdminApi, serving

GOOD = three_days("1.00", "2.00", "3.50")
LATER = NOW + timedelta(hours=1)
KEY_NAME = "ORG_ADMIN_KEY"


def with_acme(make_project: MakeProject, *others: dict[str, object]) -> SmallProject:
    """`acme` has a good file of 6.50 in all and is polled last, so that whatever fails before it must not stop it."""
    made = make_project([*others, source(CONSOLE, "acme")])
    made.drop(CONSOLE, "acme", CONSOLE_NAME, GOOD)
    return made


def errors(project: SmallProject, **environment: str) -> dict[str, str | None]:
    return {one.account: one.error for one in project.ingest(environment=environment)}


# --- APIs ------------------------------------------------------------------------------------------------------------


def from_api(api: AdminApi) -> dict[str, object]:
    return source(COST_API, "org", inbox=None, key_env=KEY_NAME, base_url=api.base_url, horizon="2026-11-01")


def test_a_chain_that_never_closes_counts_nothing_and_says_so(make_project: MakeProject) -> None:
    """B9: half of a chain is half of a bill. What it brought is kept, listed, and mended by the next whole chain."""
    with serving(AdminApi(lambda at: [cost_result("100")], never_closes=True)) as api:
        project = with_acme(make_project, from_api(api))
        assert errors(project, **{KEY_NAME: KEY}) == {"org": None, "acme": None}
        built = project.build()
        (entry,) = project.quarantine()
        assert (entry.account, entry.reason) == ("org", "the page chain did not close")
        assert (built.api_cost("org"), built.api_cost("acme")) == (None, Decimal("6.50"))
        api.never_closes = False
        project.ingest(now=LATER, environment={KEY_NAME: KEY})
        assert project.build(now=LATER).api_cost("org") == Decimal("5.00")
        assert project.quarantine(now=LATER) == []


def test_an_expired_key_is_named_without_its_value_and_stops_nobody_else(make_project: MakeProject) -> None:
    """What the account brought before the key expired still counts."""
    with serving(AdminApi(lambda at: [cost_result("100")])) as api:
        project = with_acme(make_project, from_api(api))
        project.ingest(environment={KEY_NAME: KEY})
        expired = "sk-ant-admin01-EXPIRED-NEVER-PRINT-ME"
        said = errors(project, **{KEY_NAME: expired})
    assert said["acme"] is None
    assert "HTTP 401" in str(said["org"])
    assert KEY_NAME in str(said["org"])
    assert expired not in str(said)
    built = project.build()
    assert (built.api_cost("org"), built.api_cost("acme")) == (Decimal("5.00"), Decimal("6.50"))


def test_a_key_that_is_not_set_stops_nobody_else(make_project: MakeProject) -> None:
    with serving(AdminApi(lambda at: [])) as api:
        project = with_acme(make_project, from_api(api))
        said = errors(project)
        assert api.asked == []
    assert said["acme"] is None
    assert f"the environment variable {KEY_NAME} is not set" in str(said["org"])


# --- inboxes ---------------------------------------------------------------------------------------------------------


def test_an_inbox_that_vanished_is_named_and_what_it_brought_still_counts(make_project: MakeProject) -> None:
    project = with_acme(make_project, source(CONSOLE, "labs"))
    dropped = project.drop(CONSOLE, "labs", CONSOLE_NAME, GOOD)
    project.run()
    dropped.unlink()
    dropped.parent.rmdir()
    said = errors(project)
    assert said["acme"] is None
    assert "inbox/anthropic_console_csv/labs" in str(said["labs"])
    assert "No such folder. Create it" in str(said["labs"])
    assert project.build(now=LATER).api_cost("labs") == Decimal("6.50")


def test_a_file_still_being_written_waits_for_its_name(make_project: MakeProject) -> None:
    """B9: streaming partials. `.part` is not looked at; the finished file counts once."""
    project = with_acme(make_project, source(CONSOLE, "labs"))
    part = project.drop(CONSOLE, "labs", f"{CONSOLE_NAME}.part", GOOD[:100])
    assert project.run().api_cost("labs") is None
    assert project.quarantine() == []
    part.write_bytes(GOOD)
    part.rename(part.with_suffix(""))
    assert project.run(now=LATER).api_cost("labs") == Decimal("6.50")


def test_a_file_that_grew_while_it_was_read_is_read_again(make_project: MakeProject) -> None:
    """B9: the half that was landed is quarantined, and the whole one mends it."""
    project = with_acme(make_project, source(CONSOLE, "labs"))
    project.drop(CONSOLE, "labs", CONSOLE_NAME, GOOD[:-40])
    assert project.run().api_cost("labs") is None
    assert len(project.quarantine()) == 1
    project.drop(CONSOLE, "labs", CONSOLE_NAME, GOOD)
    assert project.run(now=LATER).api_cost("labs") == Decimal("6.50")
    assert project.quarantine(now=LATER) == []


def test_a_link_that_leads_out_of_the_inbox_is_refused_by_name(make_project: MakeProject, tmp_path: Path) -> None:
    """Its target's bytes are landed nowhere; files beside it are landed."""
    secret = tmp_path / "secret.csv"
    secret.write_bytes(three_days("100.00", "100.00", "100.00"))
    project = with_acme(make_project, source(CONSOLE, "labs"))
    project.drop(CONSOLE, "labs", CONSOLE_NAME, GOOD)
    (project.inbox(CONSOLE, "labs") / "a-link.csv").symlink_to(secret)
    (project.inbox(CONSOLE, "labs") / "a-folder").symlink_to(tmp_path)
    brought = {one.account: one for one in project.ingest()}
    assert brought["acme"].error is None
    assert "a-link.csv is a link that leads out of it" in str(brought["labs"].error)
    assert "a-folder is a link that leads out of it" in str(brought["labs"].error)
    assert len(brought["labs"].deliveries) == 1
    assert project.build().api_cost("labs") == Decimal("6.50")


def test_a_file_that_may_not_be_read_stops_neither_its_neighbours_nor_other_accounts(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = with_acme(make_project, source(CONSOLE, "labs"))
    locked = project.drop(CONSOLE, "labs", "a-locked.csv", GOOD)
    project.drop(CONSOLE, "labs", CONSOLE_NAME, GOOD)
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == locked.name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    brought = {one.account: one for one in project.ingest()}
    assert "a-locked.csv: Permission denied" in str(brought["labs"].error)
    assert (len(brought["labs"].deliveries), len(brought["acme"].deliveries)) == (1, 1)


@pytest.mark.parametrize("where", ["", "2026"])
def test_a_folder_of_an_inbox_that_may_not_be_listed_is_not_an_empty_one(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Law 3: what is in it is waited for, and said; its neighbours land."""
    project = with_acme(make_project, source(CONSOLE, "labs"))
    project.drop(CONSOLE, "labs", CONSOLE_NAME, GOOD)
    closed = project.inbox(CONSOLE, "labs") / where
    closed.mkdir(exist_ok=True)
    (closed / f"later-{CONSOLE_NAME}").write_bytes(three_days("9.00", "9.00", "9.00"))
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        brought = {one.account: one for one in project.ingest()}
    assert f"{where or '.'}/: Permission denied" in str(brought["labs"].error)
    assert (len(brought["labs"].deliveries), brought["acme"].error) == (1 if where else 0, None)
    assert errors(project) == {"labs": None, "acme": None}
    assert project.build().api_cost("labs") == Decimal("27.00")


@pytest.mark.parametrize(("name", "settings"), [("aws_cur2", {}), ("azure_cost_details", {})])
def test_a_folder_of_an_export_that_may_not_be_listed_is_not_an_export_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, Any]
) -> None:
    """A newer refresh may lie in it: nothing is taken for the newest, and somebody is told."""
    (tmp_path / "export" / "metadata").mkdir(parents=True)
    project = SmallProject(
        tmp_path, [{"source": name, "account": "main", "settings": {"export": "export", **settings}}]
    )
    project.project.land_config(NOW)

    def refuse(path: Any = ".") -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        (brought,) = ingest(project.project, now=NOW, environment={}, sleep=lambda _: None)
    assert f"{name} of main: " in str(brought.error)
    assert "Permission denied. What was landed before stays" in str(brought.error)


def test_a_name_that_is_not_text_is_spelled_with_its_bytes(make_project: MakeProject) -> None:
    """A Latin-1 name on a UTF-8 disk lands like any other."""
    project = with_acme(make_project, source(CONSOLE, "labs"))
    folder = os.fsencode(project.inbox(CONSOLE, "labs"))
    with open(folder + b"/m\xe4rz-" + CONSOLE_NAME.encode(), "wb") as file:
        file.write(GOOD)
    (labs,) = [one for one in project.ingest() if one.account == "labs"]
    assert labs.error is None
    assert labs.deliveries[0].objects[0].name == f"m\\xe4rz-{CONSOLE_NAME}"
    assert project.build().api_cost("labs") == Decimal("6.50")


# --- disks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room_for", [0, 1, 2])
def test_a_disk_that_fills_up_while_landing_loses_nothing(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, room_for: int
) -> None:
    """B9: whether the object or the record that names it found no room, the next run lands the file, once."""
    project = with_acme(make_project)
    project.project.land_config(NOW)
    link = FolderStore._link
    room = iter(range(room_for))

    def full(store: FolderStore, target: Path, content: bytes) -> bool:
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return link(store, target, content)

    with monkeypatch.context() as patched:
        patched.setattr(FolderStore, "_link", full)
        said = errors(project)
    if room_for < 2:
        assert "No space left to land" in str(said["acme"])
        assert "free some space and run again" in str(said["acme"])
        assert project.build().api_cost("acme") is None
    assert errors(project) == {"acme": None}
    built = project.build(now=LATER)
    assert built.api_cost("acme") == Decimal("6.50")
    assert built.result.snapshot.delivery_count == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_landing_that_may_not_be_written_any_more_loses_nothing(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, writes: int, number: int
) -> None:
    """B9: a permission that is lost in the midst of a run, a disk that goes read-only. The next run lands the rest."""
    project = with_acme(make_project, source(CONSOLE, "labs"))
    project.drop(CONSOLE, "labs", CONSOLE_NAME, three_days("1.00", "1.00", "1.00"))
    project.project.land_config(NOW)
    link = FolderStore._link
    allowed = iter(range(writes))

    def refused(store: FolderStore, target: Path, content: bytes) -> bool:
        if next(allowed, None) is None:
            raise OSError(number, os.strerror(number), str(target))
        return link(store, target, content)

    with monkeypatch.context() as patched:
        patched.setattr(FolderStore, "_link", refused)
        said = errors(project)
    assert os.strerror(number) in str(said["acme"])
    assert (said["labs"] is None) == (writes >= 2)
    assert errors(project) == {"labs": None, "acme": None}
    built = project.build(now=LATER)
    assert (built.api_cost("labs"), built.api_cost("acme")) == (Decimal("3.00"), Decimal("6.50"))
    assert built.result.snapshot.delivery_count == 2


def test_a_full_disk_keeps_nobody_from_reading_what_landed(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run remembers is only remembered: where it finds no room, the next one looks again, and counts once."""
    project = with_acme(make_project)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        patched.setattr(Path, "write_text", full)
        assert errors(project) == {"acme": None}
        assert len(project.project.landing.contents().deliveries) == 1
    left = [path.name for path in project.project.paths.cache.rglob("*") if path.is_file()]
    assert [name for name in left if name.startswith((".", "catalog"))] == []
    assert errors(project) == {"acme": None}
    assert len(project.project.landing.contents().deliveries) == 1


@pytest.mark.parametrize("hours", [3, 24 * 400])
def test_a_clock_that_goes_back_between_two_runs_loses_nothing(make_project: MakeProject, hours: int) -> None:
    """B9: what has landed is listed, lands no second time, and what comes now is there; once the clock is right again,
    what landed last counts.
    """
    project = with_acme(make_project)
    assert errors(project) == {"acme": None}
    before = NOW - timedelta(hours=hours)
    project.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("2.00", "2.00", "2.00"))
    (brought,) = project.ingest(now=before)
    assert (len(brought.deliveries), brought.error) == (1, None)
    assert project.ingest(now=before)[0].deliveries == ()
    project.drop(CONSOLE, "acme", f"again-{CONSOLE_NAME}", three_days("3.00", "3.00", "3.00"))
    project.ingest(now=LATER)
    built = project.build(now=LATER)
    assert (built.api_cost("acme"), built.result.snapshot.delivery_count) == (Decimal("9.00"), 3)


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EPERM, errno.EROFS], ids=["no permission", "not permitted", "read only"]
)
def test_a_file_that_may_not_be_written_is_named_and_exit_code_4(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise OSError(number, os.strerror(number), "/home/acme/.breakeven/landing/events")

    monkeypatch.setattr(pipeline.cli.group, "main", fail)
    with pytest.raises(SystemExit) as exit_of:
        pipeline.cli.main()
    assert exit_of.value.code == LandingError.exit_code
    said = capsys.readouterr().err
    assert f"/home/acme/.breakeven/landing/events: {os.strerror(number)}. What was landed stays" in said


@pytest.mark.parametrize(
    "raised",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("parquet: underlying IO error (os error 28)")],
    ids=["by number", "by text"],
)
def test_a_full_disk_below_any_command_is_a_sentence_and_exit_code_4(
    raised: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(pipeline.cli.group, "main", fail)
    with pytest.raises(SystemExit) as exit_of:
        pipeline.cli.main()
    assert exit_of.value.code == LandingError.exit_code
    assert "no space left on the disk" in capsys.readouterr().err


def test_an_error_that_is_no_full_disk_is_not_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(pipeline.cli.group, "main", fail)
    with pytest.raises(OSError, match="Input/output error"):
        pipeline.cli.main()


# --- landing ---------------------------------------------------------------------------------------------------------


def test_a_manifest_of_a_later_release_is_listed_and_the_rest_is_built(make_project: MakeProject) -> None:
    project = with_acme(make_project)
    project.ingest()
    future = project.landing / "deliveries" / "2026-11-05" / "20261105T060000.000000Z-ffffffffffffffff.json"
    future.write_bytes(b'{"format": "breakeven.delivery/99", "parcels": []}')
    cut = future.with_name("20261105T060000.000001Z-eeeeeeeeeeeeeeee.json")
    cut.write_bytes(b'{"format": "breakeven.deliv')
    built = project.build()
    assert built.api_cost("acme") == Decimal("6.50")
    said = {entry.name.rpartition("-")[2]: entry.reason for entry in project.quarantine()}
    assert (
        "format 'breakeven.delivery/99' is unknown to this release. Upgrade breakeven" in said["ffffffffffffffff.json"]
    )
    assert "not a landing record" in said["eeeeeeeeeeeeeeee.json"]


DAMAGE = {
    "gone": "is not in landing any more: restore it from a backup",
    "altered": "does not have the sha256 it is named by: restore it from a backup",
}


def damage_newest(project: SmallProject, account: str, how: str) -> tuple[Path, bytes]:
    """The object of the account's newest delivery, gone or with other bytes; where it lay, and what it was."""
    newest = [one for one in project.project.landing.contents().deliveries if one.account == account][-1]
    damaged = project.landing / newest.objects[0].key
    content = damaged.read_bytes()
    damaged.unlink()
    if how == "altered":
        damaged.write_bytes(content.replace(b"30.00", b"39.00"))
    return damaged, content


@pytest.mark.parametrize("how", list(DAMAGE))
def test_a_damaged_object_is_quarantined_and_everything_else_goes_on(
    make_project: MakeProject, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """B9, B10: what it vouched for is not vouched for by it; the older delivery counts, and `status` says that."""
    project = with_acme(make_project, source(CONSOLE, "labs"))
    project.drop(CONSOLE, "labs", CONSOLE_NAME, GOOD)
    project.run()
    project.drop(CONSOLE, "labs", CONSOLE_NAME, three_days("10.00", "20.00", "30.00"))
    project.ingest(now=LATER)
    damage_newest(project, "labs", how)
    built = project.build(now=LATER)
    assert (built.api_cost("labs"), built.api_cost("acme")) == (Decimal("6.50"), Decimal("6.50"))
    (entry,) = project.quarantine(now=LATER)
    assert (entry.account, entry.name) == ("labs", CONSOLE_NAME)
    assert DAMAGE[how] in entry.reason
    with pytest.raises(SystemExit) as exit_of:
        status.main(_in(project), standalone_mode=False)
    assert exit_of.value.code == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"QUARANTINE {CONSOLE}/labs" in said
    assert DAMAGE[how] in said


@pytest.mark.parametrize("how", list(DAMAGE))
def test_the_only_delivery_of_a_day_damaged_leaves_the_day_missing_and_never_zero(
    make_project: MakeProject, how: str
) -> None:
    project = with_acme(make_project, source(CONSOLE, "labs"))
    project.drop(CONSOLE, "labs", CONSOLE_NAME, three_days("10.00", "20.00", "30.00"))
    project.ingest()
    damage_newest(project, "labs", how)
    built = project.build()
    assert (built.api_cost("labs"), built.api_cost("acme")) == (None, Decimal("6.50"))
    assert built.rows("select * from fct_source_coverage_daily where account = 'labs' and row_count is not null") == []


@pytest.mark.parametrize("how", list(DAMAGE))
def test_a_restored_object_counts_at_once_as_if_nothing_had_been(make_project: MakeProject, how: str) -> None:
    """Nothing new has landed, and still the next build looks again: to the same snapshot as an undisturbed one."""
    project = with_acme(make_project, source(CONSOLE, "labs"))
    project.drop(CONSOLE, "labs", CONSOLE_NAME, three_days("10.00", "20.00", "30.00"))
    project.ingest()
    shutil.copytree(project.folder, project.folder.with_name("undisturbed"))
    undisturbed = replace(project, folder=project.folder.with_name("undisturbed"), warm_cache=None)
    damaged, content = damage_newest(project, "labs", how)
    without = project.build().result.snapshot.snapshot_id
    assert project.build().result.snapshot.snapshot_id == without
    damaged.write_bytes(content)
    restored = project.build()
    assert restored.api_cost("labs") == Decimal("60.00")
    assert project.quarantine() == []
    assert restored.result.snapshot.snapshot_id == undisturbed.build().result.snapshot.snapshot_id


def test_what_was_read_while_it_was_whole_counts_on_and_a_rebuild_says_what_is_lost(make_project: MakeProject) -> None:
    """Its bytes had the sha256 that names them when they were read: what the cache holds is what landing said."""
    project = with_acme(make_project)
    project.run()
    damage_newest(project, "acme", "gone")
    assert project.build(now=NOW + timedelta(days=1)).api_cost("acme") == Decimal("6.50")
    assert project.quarantine() == []
    shutil.rmtree(project.cache)
    assert project.build(now=NOW + timedelta(days=1)).api_cost("acme") is None
    assert DAMAGE["gone"] in str(project.quarantine())


def test_a_damaged_spool_file_speaks_for_no_day(make_project: MakeProject) -> None:
    """B19: a day that only a lost file speaks of is not a day on which nothing was seen."""
    project = make_project([source(SPOOL, "fleet")])
    project.drop(SPOOL, "fleet", "first.jsonl", spool_file(DAYS[0]))
    project.ingest(now=day_start(date.fromisoformat(DAYS[0])) + timedelta(hours=12))
    project.drop(SPOOL, "fleet", "second.jsonl", spool_file(DAYS[2]))
    project.ingest()
    covered = "select usage_date::varchar as day from fct_source_coverage_daily where row_count is not null"
    damage_newest(project, "fleet", "gone")
    assert [row["day"] for row in project.build().rows(covered)] == [DAYS[0]]


def test_a_store_that_refuses_to_be_read_is_no_damage(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what lies there: to count an older delivery for it would be a guess."""
    project = with_acme(make_project)
    project.ingest()
    find = FolderStore.find

    def refuse(store: FolderStore, key: str) -> bytes | None:
        if key.startswith("objects/"):
            raise LandingError("S3 refused to read it: AccessDenied")
        return find(store, key)

    monkeypatch.setattr(FolderStore, "find", refuse)
    with pytest.raises(LandingError, match="AccessDenied"):
        project.build()


def test_many_objects_read_by_several_workers_lose_only_the_damaged_one(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.build.parsed._WORTH_WORKERS_BYTES", 0)
    project = with_acme(make_project, source(CONSOLE, "labs"), source(CONSOLE, "third"))
    for account in ("labs", "third"):
        project.drop(CONSOLE, account, CONSOLE_NAME, three_days("10.00", "20.00", f"30.0{len(account)}"))
    project.ingest()
    damage_newest(project, "labs", "gone")
    built = project.build()
    costs = [built.api_cost(account) for account in ("acme", "labs", "third")]
    assert costs == [Decimal("6.50"), None, Decimal("60.05")]


# --- what had money and now has none ---------------------------------------------------------------------------------


def test_a_day_whose_money_vanished_is_blocked_until_a_person_accepts_it(
    make_project: MakeProject, person_at: PersonAt
) -> None:
    """B10, B28: the empty day counts at once, no decision reads it, and the word of a person frees it."""
    project = make_project([source(COST_API, "org")])
    whole = api_page({day: [cost_result("100")] for day in DAYS})
    project.drop(COST_API, "org", "costs-20261104T060000Z.json", whole)
    assert project.run().api_cost("org") == Decimal("3.00")
    emptied = api_page({DAYS[0]: [cost_result("100")], DAYS[1]: [], DAYS[2]: [cost_result("100")]})
    project.drop(COST_API, "org", "costs-20261105T060000Z.json", emptied)
    built = project.run(now=LATER)
    assert built.api_cost("org") == Decimal("2.00")
    blocked = "select usage_date::varchar as day from fct_day_status_daily where blocked_count > 0"
    assert built.rows(blocked) == [{"day": DAYS[1]}]
    person_at(LATER)
    with pytest.raises(click.BadParameter, match="BUCKET is source/account/dataset/bucket"):
        accept.main([*_in(project), DAYS[1], "--why", "refunded"], standalone_mode=False)
    bucket = f"{COST_API}/org/cost_report/{DAYS[1]}"
    accept.main([*_in(project), bucket, "--why", "refunded"], standalone_mode=False)
    accepted = project.build(now=LATER)
    assert accepted.rows(blocked) == []
    assert accepted.api_cost("org") == Decimal("2.00")


def _in(project: SmallProject) -> list[str]:
    return ["--project", str(project.folder)]
