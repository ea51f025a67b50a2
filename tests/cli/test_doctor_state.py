"""What doctor says of landing, formats, cache, disk, Dagster and Slack; and that it leaves no trace."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from pipeline.alerts.attempts import UNCERTAIN
from pipeline.alerts.shadow import ENABLED
from pipeline.build.publish import publish
from pipeline.cli.in_process import prepare_dagster_home
from pipeline.doctor import landing as looked_at
from pipeline.landing.store import FolderStore
from tests.alerts.fake_slack import FakeSlack
from tests.alerts.fake_slack import serving as serving_slack
from tests.cli.examined import AS_OF, chosen, doctor, of, rows, told
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    DAYS,
    INVOICE,
    NOW,
    SPOOL,
    SmallProject,
    invoice_csv,
    source,
    spool_file,
    three_days,
)

GOOD = three_days("1.00", "2.00", "3.50")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "SLACK_BOT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> SmallProject:
    """A bill, an invoice and a GPU's samples, landed and built, all of it well. Copied before anything is broken."""
    declared = {"issuer": "gpucloud", "resource_id": "server-1", "gpu_count": 1, "from": "2026-11-01"}
    made = SmallProject(
        tmp_path_factory.mktemp("well") / "project",
        [source(CONSOLE, "acme"), source(INVOICE, "gpucloud"), source(SPOOL, "fleet")],
        {
            "gpu_resources": [{**declared, "host": "host-1"}],
            "workloads": [{"workload": "chat", "match": [{"account": "acme"}]}],
            "deployments": [{"deployment": "llama", "model": "llama", "hosts": ["host-1"], "gpus_per_replica": 1}],
        },
        warm_cache=warm_cache,
    )
    made.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.50"))
    made.drop(INVOICE, "gpucloud", "invoice.csv", invoice_csv([("GPU server", "server-1", "72.00")], total="72.00"))
    for day in (*DAYS, "2026-11-04"):
        made.drop(SPOOL, "fleet", f"{day}.jsonl", spool_file(day))
    publish(made.run(now=BUILT).result.snapshot, made.project.paths.published)
    return made


BUILT = NOW - timedelta(days=1)
WELL = BUILT.isoformat()


@pytest.fixture
def built(built_once: SmallProject, tmp_path: Path) -> SmallProject:
    folder = tmp_path / "project"
    shutil.copytree(built_once.folder, folder, symlinks=True)
    return SmallProject(folder, built_once.sources, built_once.other_sections)


def everything_below(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file's time, mode and bytes."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.lstat().st_mode, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- all is well -----------------------------------------------------------------------------------------------------


def test_where_all_is_well_it_says_so_in_every_format_and_exits_0(built: SmallProject) -> None:
    done = doctor(built.folder, as_of=WELL)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    for words in (
        "anthropic_console_csv of acme 1 file in the inbox, all landed; 2026-11-01 to 2026-11-03; on time",
        "4 files in the inbox, all landed",
        "all there; 6 of them read and unchanged",
        "laws held",
        "all of $6.50 of API cost in 30 days belongs to a workload",
        "GPU-hours in 30 days belong to a deployment",
    ):
        assert words in said, done.output
    assert "Nothing needs fixing. Next: Scrapes of the engines on these GPUs" in said
    assert "FIX" not in said
    found = rows(built.folder, as_of=WELL)
    assert [row["check"] for row in found if row["is_next"]] == ["inputs"]
    assert {row["late_days_count"] for row in of(found, "late")} == {0}
    assert doctor(built.folder, "--format", "csv", as_of=WELL).output.startswith("area,subject,source,account,dataset,")


@pytest.mark.parametrize("more", [(), ("--offline",), ("--full",)])
def test_it_leaves_no_trace(built: SmallProject, more: tuple[str, ...]) -> None:
    """Neither with a catalog nor without one, which a run would write."""
    (built.cache / "catalog").unlink()
    before = everything_below(built.folder)
    assert doctor(built.folder, *more, as_of=WELL).exit_code == 0
    assert everything_below(built.folder) == before


FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pipeline.cli import main
main()
"""


def test_it_needs_no_room_on_a_disk_that_is_full(built: SmallProject) -> None:
    """A real process that may not write one byte to any file."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, "doctor", "--project", str(built.folder), "--as-of", WELL],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Nothing needs fixing." in done.stdout
    assert "\x1b" not in done.stdout


# --- before the first run --------------------------------------------------------------------------------------------


def test_before_the_first_run_it_says_what_is_ready_and_that_nothing_has_run(make_project: MakeProject) -> None:
    project = make_project([source(CONSOLE, "acme"), source(SPOOL, "fleet")])
    shutil.rmtree(project.folder / ".breakeven", ignore_errors=True)
    project.drop(CONSOLE, "acme", CONSOLE_NAME, GOOD)
    found = rows(project.folder)
    assert [row["state"] for row in found if row["state"] == "fix"] == []
    assert of(found, "inbox", account="acme")[0]["said"] == "1 of 1 file in the inbox not landed yet"
    assert of(found, "inbox", account="fleet")[0]["said"] == "the inbox is empty"
    assert of(found, "snapshot")[0]["said"] == "nothing has been built yet"
    assert of(found, "objects")[0]["said"] == "nothing has landed yet"
    assert chosen(found)["fix"] == "breakeven run"
    assert not (project.folder / ".breakeven").exists()


def test_a_configuration_that_cannot_be_so_is_told_and_nothing_is_asked(tmp_path: Path) -> None:
    program = "from pipeline.cli import main; main()"
    for text, words in (
        ("company: [\n", "Mend the YAML there."),
        ("company: acme\nsorces: []\n", "Did you mean 'sources'?"),
        ("company: acme\nsources: [{source: nothing_like_it, account: a}]\n", "No such source. There are:"),
    ):
        (tmp_path / "breakeven.yaml").write_text(text)
        assert words in str(doctor(tmp_path).exception)
    else:
        done = subprocess.run(
            [sys.executable, "-c", program, "doctor", "--project", str(tmp_path)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stdout == ""


# --- sources, from what has landed and was built ---------------------------------------------------------------------


def test_what_is_late_is_late_against_its_own_settle_lag(built: SmallProject) -> None:
    """A day and a half later the Console's export of the 4th is due, and of the 5th only its first hours are over."""
    built.build(now=NOW + timedelta(hours=1))
    found = rows(built.folder, as_of=(NOW + timedelta(hours=1)).isoformat())
    (late,) = of(found, "late", account="acme")
    assert (late["state"], late["late_days_count"]) == ("fix", 1)
    assert late["said"] == "1 day late: 2026-11-04 (settled 0 h after a day's end)"
    assert of(found, "late", account="gpucloud") == []
    assert of(found, "days", account="gpucloud")[0]["said"] == "1 invoice, the last one INV-1, up to 2026-11-03"
    slower = [{**dict(one), "settle_lag_hours": 96} for one in built.sources]
    built.configure(sources=slower)
    built.ingest(now=NOW + timedelta(hours=1))
    built.build(now=NOW + timedelta(hours=1))
    (late,) = of(rows(built.folder, as_of=(NOW + timedelta(hours=1)).isoformat()), "late", account="acme")
    assert (late["state"], late["said"]) == ("ok", "on time")


def test_what_reaches_less_far_than_its_horizon_says_by_how_much(built: SmallProject) -> None:
    built.configure(sources=[{**dict(built.sources[0]), "horizon": "2026-10-30"}, *built.sources[1:]])
    (days,) = of(rows(built.folder, as_of=WELL), "days", account="acme")
    assert days["state"] == "note"
    assert days["said"] == "2026-11-01 to 2026-11-03; 2 days short of its horizon 2026-10-30"
    assert (days["from_date"], days["to_date"]) == ("2026-11-01", "2026-11-03")


def test_what_waits_in_an_inbox_is_counted_also_when_the_cache_is_gone(built: SmallProject) -> None:
    """A file is waiting when it is new or has changed; that it is there twice is no reason."""
    built.drop(CONSOLE, "acme", "another.csv", three_days("9.00", "9.00", "9.00"))
    shutil.rmtree(built.cache / "polled")
    found = rows(built.folder, as_of=WELL)
    assert of(found, "inbox", account="acme")[0]["said"] == "1 of 2 files in the inbox not landed yet"
    assert of(found, "inbox", account="fleet")[0]["said"] == "4 files in the inbox, all landed"
    built.ingest(now=BUILT)
    built.drop(CONSOLE, "acme", CONSOLE_NAME, GOOD + b"\r\n")
    assert "1 of 2 files" in of(rows(built.folder, as_of=WELL), "inbox", account="acme")[0]["said"]


def test_an_inbox_that_is_not_there_or_not_to_be_read_or_left_by_a_link_needs_somebody(
    built: SmallProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.rmtree(built.inbox(CONSOLE, "acme"))
    (built.inbox(INVOICE, "gpucloud") / "leads-out").symlink_to(tmp_path)
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path) == built.inbox(SPOOL, "fleet"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = rows(built.folder, as_of=WELL)
    assert "No such folder. Create it" in of(found, "inbox", account="acme")[0]["fix"]
    assert "leads-out is a link that leads out of it" in of(found, "inbox", account="gpucloud", state="fix")[0]["said"]
    assert "cannot be read: Permission denied" in of(found, "inbox", account="fleet")[0]["said"]


def test_a_file_in_quarantine_is_named_with_its_reason(built: SmallProject) -> None:
    built.drop(CONSOLE, "acme", "cut.csv", GOOD[:-40])
    built.run(now=BUILT)
    found = rows(built.folder, as_of=WELL)
    (entry,) = of(found, "quarantine", account="acme")
    assert "in quarantine: cut.csv" in entry["said"]
    assert chosen(found) == entry


# --- landing ---------------------------------------------------------------------------------------------------------


def object_of(project: SmallProject, account: str) -> Path:
    newest = [one for one in project.project.landing.contents().deliveries if one.account == account][-1]
    return project.landing / newest.objects[0].key


@pytest.mark.parametrize("how", ["gone", "cut", "altered"])
def test_an_object_that_is_not_whole_is_named_and_outranks_all_but_a_full_disk(built: SmallProject, how: str) -> None:
    """Also where the cache remembers what it held: a rebuild would lose it."""
    damaged = object_of(built, "acme")
    content = damaged.read_bytes()
    damaged.unlink()
    if how != "gone":
        damaged.write_bytes(content[:-1] if how == "cut" else b"?" + content[1:])
    shutil.rmtree(built.inbox(SPOOL, "fleet"))
    found = rows(built.folder, as_of=WELL)
    (row,) = of(found, "objects", state="fix")
    assert damaged.name in row["said"]
    assert CONSOLE_NAME in row["said"]
    assert "Put it back from a backup" in row["fix"]
    assert chosen(found) == row


def test_a_sample_is_bounded_and_full_reads_everything(built: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the days every object has its turn."""
    for name in ("SAMPLE_OBJECTS", "SAMPLE_BYTES"):
        assert getattr(looked_at, name) < 10**8
    monkeypatch.setattr(looked_at, "SAMPLE_OBJECTS", 2)
    damaged = object_of(built, "acme")
    content = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(b"?" + content[1:])
    noticed = []
    for day in range(3):
        look = looked_at.look_at_landing(built.project, now=NOW + timedelta(days=day), full=False)
        assert look.read_count == 2
        noticed.append(bool(look.damaged))
    assert sum(noticed) == 1
    look = looked_at.look_at_landing(built.project, now=NOW, full=True)
    assert (look.read_count, list(look.damaged)) == (6, [damaged.name])
    monkeypatch.setattr(looked_at, "SAMPLE_BYTES", 10)
    assert looked_at.look_at_landing(built.project, now=NOW, full=False).read_count == 0


def test_records_of_another_release_and_damaged_ones_are_told_apart(built: SmallProject) -> None:
    folder = built.landing / "deliveries" / "2026-11-04"
    (folder / "20261104T060000.000000Z-ffffffffffffffff.json").write_bytes(b'{"format": "breakeven.delivery/99"}')
    (folder / "20261104T060000.000001Z-eeeeeeeeeeeeeeee.json").write_bytes(b'{"format": "breakeven.deliv')
    found = of(rows(built.folder, as_of=WELL), "records", state="fix")
    assert ["breakeven.delivery/99" in row["said"] for row in found] == [True, False]
    assert found[0]["fix"].startswith("Upgrade breakeven")
    assert "not a landing record" in found[1]["said"]


def test_a_clock_that_is_wrong_is_named_until_something_right_comes(built: SmallProject) -> None:
    built.drop(
        CONSOLE,
        "acme",
        CONSOLE_NAME.replace("exported_2026_11_04", "exported_2031_01_01"),
        three_days("4.00", "4.00", "4.00"),
    )
    built.ingest(now=BUILT)
    (found,) = of(rows(built.folder, as_of=WELL), "records", state="note")
    assert "console_cost says that it is of 2031-01-01 00:00 UTC and it landed at" in found["said"]
    assert found["fix"].startswith("Set the clock that is wrong")
    built.drop(CONSOLE, "acme", "again.csv", three_days("5.00", "5.00", "5.00"))
    later = BUILT + timedelta(minutes=1)
    built.ingest(now=later)
    assert of(rows(built.folder, as_of=later.isoformat()), "records", state="note") == []


def test_landing_that_may_not_be_read_stops_only_what_needs_it(
    built: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Iterator[str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FolderStore, "keys", refuse)
    found = rows(built.folder, as_of=WELL)
    assert chosen(found)["said"] == "landing cannot be read: Permission denied"
    assert of(found, "laws")[0]["state"] == "ok"
    assert of(found, "days", account="acme")[0]["said"] == "2026-11-01 to 2026-11-03"
    assert of(found, "inbox", account="acme")[0]["state"] == "skipped"


def test_what_landed_after_the_build_and_what_was_written_since_wait_for_a_run(built: SmallProject) -> None:
    built.drop(CONSOLE, "acme", "again.csv", three_days("4.00", "4.00", "4.00"))
    built.ingest(now=BUILT)
    built.configure(company="acme-renamed")
    found = rows(built.folder, as_of=WELL)
    assert "1 delivery landed since the build" in [row["said"] for row in of(found, "snapshot")]
    assert "1 landed object not read yet by this release" in [row["said"] for row in of(found, "objects")]
    assert of(found, "config")[0]["said"] == "breakeven.yaml says something else than what landed last"
    assert chosen(found)["fix"] == "breakeven run"


# --- snapshot, cache, disk -------------------------------------------------------------------------------------------


def snapshot_file(project: SmallProject) -> Path:
    (found,) = (project.folder / ".breakeven" / "snapshots").glob("*.json")
    return found


def _forget_the_cache(project: SmallProject) -> None:
    (project.cache / "CACHE_ID").unlink()


def _lose_the_snapshot(project: SmallProject) -> None:
    snapshot_file(project).unlink()


def _cut_the_snapshot(project: SmallProject) -> None:
    file = snapshot_file(project)
    file.write_bytes(file.read_bytes()[:100])


def _of_a_later_release(project: SmallProject) -> None:
    file = snapshot_file(project)
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": "breakeven.snapshot/99"}))


def _without_fields(project: SmallProject) -> None:
    snapshot_file(project).write_text('{"format": "breakeven.snapshot/1"}')


def _lose_a_file(project: SmallProject) -> None:
    next((project.cache / "nodes").rglob("*.parquet")).unlink()


def _point_nowhere(project: SmallProject) -> None:
    (project.folder / ".breakeven" / "snapshots" / "CURRENT").write_text("")


@pytest.mark.parametrize(
    ("break_it", "words", "fix"),
    [
        (_forget_the_cache, "was built in is gone", "breakeven run"),
        (_lose_the_snapshot, "which is not there", "breakeven run"),
        (_cut_the_snapshot, "is damaged", "breakeven run"),
        (_of_a_later_release, "is in format 'breakeven.snapshot/99'; this release reads", "breakeven run"),
        (_without_fields, "is damaged", "breakeven run"),
        (_lose_a_file, "are gone from the cache", "breakeven rebuild"),
        (_point_nowhere, "CURRENT does not name a snapshot", "breakeven run"),
    ],
)
def test_a_snapshot_that_cannot_be_read_says_why_and_what_makes_it_anew(
    built: SmallProject, break_it: Any, words: str, fix: str
) -> None:
    """And the advice helps: after it the same look finds nothing."""
    break_it(built)
    found = rows(built.folder, as_of=WELL)
    (row,) = of(found, "snapshot")
    assert words in row["said"]
    assert chosen(found) == row
    assert row["fix"] == fix
    if fix == "breakeven rebuild":
        shutil.rmtree(built.cache)
    built.build(now=BUILT)
    assert [row["said"] for row in rows(built.folder, as_of=WELL) if row["state"] == "fix"] == []


def test_a_file_that_holds_something_else_is_no_traceback(built: SmallProject) -> None:
    for file in (built.cache / "nodes").rglob("*.parquet"):
        file.unlink()
        file.write_bytes(b"not parquet")
    found = rows(built.folder, as_of=WELL)
    assert chosen(found)["fix"] == "breakeven rebuild"


def test_a_build_that_nobody_made_anew_is_old(built: SmallProject) -> None:
    found = rows(built.folder, as_of=(BUILT + timedelta(days=3)).isoformat())
    assert of(found, "age")[0]["said"] == "the newest build is 3 days old"
    assert "every day" in chosen(found)["fix"]
    assert of(found, "late", account="acme")[0]["said"] == "on time when last built"


def test_a_warehouse_of_another_snapshot_or_format_is_noted(built: SmallProject) -> None:
    warehouse = built.folder / ".breakeven" / "published" / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("update publishing.held set format = 'breakeven.warehouse/99'")
    assert "in another format" in of(rows(built.folder, as_of=WELL), "warehouse")[0]["said"]
    (warehouse.parent / "snapshot.txt").write_text("0123456789abcdef")
    warehouse.write_bytes(b"not a database at all")
    assert "cannot be read" in of(rows(built.folder, as_of=WELL), "warehouse")[0]["said"]
    warehouse.unlink()
    assert "is gone" in of(rows(built.folder, as_of=WELL), "warehouse")[0]["said"]


def test_a_disk_without_room_and_one_that_is_read_only_come_first(
    built: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_of(built, "acme").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=10**9, used=10**9, free=10**6))
        found = rows(built.folder, as_of=WELL)
        assert "1.0 MB free: less than a run may need (500.0 MB)" in chosen(found)["said"]
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != ".breakeven" and access(path, mode))
    found = rows(built.folder, as_of=WELL)
    assert chosen(found)["said"] == ".breakeven/ cannot be written to"


# --- Dagster and Slack -----------------------------------------------------------------------------------------------


def test_a_dagster_yaml_that_is_none_is_named(built: SmallProject) -> None:
    home = built.folder / ".breakeven" / "dagster"
    assert "made by the first run" in of(rows(built.folder, as_of=WELL), "dagster")[0]["said"]
    prepare_dagster_home(home)
    assert of(rows(built.folder, as_of=WELL), "dagster")[0]["state"] == "ok"
    for text, words in (("storage: [", "is not YAML"), ("- a\n", "is not a mapping")):
        (home / "dagster.yaml").write_text(text)
        assert words in chosen(rows(built.folder, as_of=WELL))["said"]


def slack_rows(built: SmallProject, *more: str, **section: Any) -> list[dict[str, Any]]:
    built.configure(slack=section)
    return [row for row in rows(built.folder, *more, as_of=WELL) if row["area"] == "slack"]


def test_a_slack_token_is_tried_without_sending_anything(built: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert slack_rows(built)[0]["state"] == "ok"
    (unset,) = slack_rows(built, channel="#costs")
    assert (unset["state"], unset["fix"].split(",")[0]) == ("fix", "Set SLACK_BOT_TOKEN")
    with serving_slack(FakeSlack()) as slack:
        section = {"channel": "#llm-costs", "api_url": slack.api_url}
        monkeypatch.setenv("SLACK_BOT_TOKEN", slack.token)
        skipped, shadow = slack_rows(built, "--offline", **section)
        assert (skipped["state"], shadow["state"]) == ("skipped", "note")
        assert "breakeven alerts enable" in shadow["fix"]
        assert slack.requests == []
        built.project.landing.record(kind=ENABLED, subject="alerts", body={"by": "ana"}, now=BUILT)
        assert slack_rows(built, **section)[0]["said"] == "Slack takes the token in SLACK_BOT_TOKEN, for #llm-costs"
        slack.scopes = {"chat:write"}
        (unable,) = slack_rows(built, **section)
        assert (unable["state"], "lacks channels:history, files:write" in unable["said"]) == ("note", True)
        slack.scopes = {"chat:write", "channels:history"}
        assert "lacks files:write: messages come without their curves" in slack_rows(built, **section)[0]["said"]
        slack.scopes = {"channels:history"}
        assert "lacks chat:write: it may not post" in slack_rows(built, **section)[0]["said"]
        monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-something-that-expired")
        (refused,) = slack_rows(built, **section)
        assert "Slack refuses the token (invalid_auth)" in refused["said"]
        assert slack.requests == ["auth.test"] * 5
        monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb two words")
        assert "holds more than a Slack token" in slack_rows(built, **section)[0]["said"]
        assert "two words" not in told(built.folder, as_of=WELL)
    monkeypatch.setenv("SLACK_BOT_TOKEN", slack.token)
    (gone,) = slack_rows(built, **section)
    assert "No answer from Slack (ConnectionRefusedError)" in gone["said"]
    monkeypatch.setenv("HOOK", slack.webhook_url)
    (hook,) = slack_rows(built, token_env=None, webhook_env="HOOK")
    assert hook["said"] == "a webhook is set in HOOK; it cannot be tried without posting"
    assert slack.webhook_url not in told(built.folder, as_of=WELL)


def test_a_message_that_may_not_have_arrived_needs_somebody(built: SmallProject) -> None:
    body = {"case_key": "workload:chat#2", "code": "connection_lost", "detail": "its answer was lost", "attempt": 1}
    built.project.landing.record(kind=UNCERTAIN, subject="workload:chat", body=body, now=BUILT)
    (row,) = of(rows(built.folder, as_of=WELL), "messages")
    assert row["said"] == "1 message may not have arrived: workload:chat#2: its answer was lost"


# --- how it looks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_no_line_is_wider_than_it(built: SmallProject, width: int, capsys: Any) -> None:
    from rich.console import Console

    from pipeline.cli.doctor import print_findings
    from pipeline.doctor.examine import examine
    from pipeline.landing.project import Project

    shutil.rmtree(built.inbox(CONSOLE, "acme"))
    found = examine(Project(built.folder, is_read_only=True), now=BUILT, environment={}, seconds=300)
    print_findings(Console(width=width, force_terminal=True, color_system=None), "doctor", found)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("FIX") for line in lines) == 1
    assert AS_OF
