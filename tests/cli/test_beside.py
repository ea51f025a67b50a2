"""The daily job in a process of its own: it says what the job in this process says, and it never outlives us."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from pipeline.assets.resources import Built, BuiltTable
from pipeline.build.relations import NodeRelation
from pipeline.cli import beside, group
from pipeline.cli.beside import DailyJob
from pipeline.cli.daily_order import DailyOrder
from pipeline.cli.in_process import opened_instance, prepare_dagster_home
from pipeline.decisions.graph import build_project
from pipeline.errors import BuildError
from pipeline.landing.project import Project
from pipeline.sources.ingest import Ingested
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, NOW, SmallProject, source, three_days

_LIMIT_SECONDS = 60
_LAST_DAY = date(2026, 11, 3)
_LANDED = dg.AssetKey(["landing", f"{CONSOLE}__acme"])
_COSTS = dg.AssetKey(["marts", "fct_api_costs_daily"])
_TABLES = ("staging", "intermediate", "marts", "decisions")
_TWICE_CLAIMED = [{"workload": name, "match": [{"account": "acme"}]} for name in ("chat", "batch")]
_STARTS_AND_WAITS = """
import time
from pipeline.assets.resources import Built, BuiltTable
from pipeline.build.relations import NodeRelation
from pipeline.cli.beside import DailyJob
with DailyJob() as job:
    print(job.process_id, flush=True)
    time.sleep(600)
"""

_SAYS_WHAT_WENT_WRONG = """
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from pipeline.assets.resources import Built, BuiltTable
from pipeline.build.relations import NodeRelation
from pipeline.cli.beside import DailyJob
from pipeline.cli.daily_order import DailyOrder
day = date(2026, 11, 3)
try:
    with DailyJob() as job:
        now = datetime(2026, 11, 5, tzinfo=UTC)
        job.begin(DailyOrder(Path(sys.argv[1]), first=day, last=day, now=now, brought=[]))
        job.go_on(None)
        job.result()
except Exception as error:
    print(error)
"""

# The job fails at once, and the process takes its time to end.
_FAILS_AND_ENDS_SLOWLY = """
import os, time
from contextlib import contextmanager
from pipeline.cli import beside, in_process
from pipeline.errors import BuildError

@contextmanager
def ready(order):
    def job(built):
        raise BuildError(f"{order}: the disk is full.")
    yield job

end = os._exit
def slowly(code):
    time.sleep(0.5)
    end(code)

in_process.ready_to_run, os._exit = ready, slowly
beside.serve()
"""


@pytest.fixture
def order(tmp_path: Path) -> DailyOrder:
    """A project with something to say: two workloads claim one account."""
    made = SmallProject(
        tmp_path / "project", [source(CONSOLE, "acme")], {"workloads": _TWICE_CLAIMED}, shares_parsed_sql=True
    )
    made.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.00"))
    made.ingest()
    brought = [Ingested(CONSOLE, "acme")]
    return DailyOrder(made.project.folder, first=_LAST_DAY, last=_LAST_DAY, now=NOW, brought=brought)


def _said(order: DailyOrder, *, in_own_process: bool) -> list[str]:
    with DailyJob(in_own_process=in_own_process) as job:
        job.begin(order)
        job.go_on(None)
        return job.result()


def test_the_job_says_the_same_in_a_process_of_its_own(order, tmp_path, monkeypatch):
    """Also where the folder it is called from has a `pipeline` of its own, which is not ours to run."""
    trap = tmp_path / "elsewhere" / "pipeline"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('imported from the folder that it was called from')")
    monkeypatch.chdir(trap.parent)
    said = _said(order, in_own_process=True)
    assert any("api_one_workload_per_cell" in problem for problem in said)
    assert said == _said(order, in_own_process=False)


@pytest.mark.parametrize("is_live", [True, False])
def test_messages_are_sent_by_the_machines_clock_unless_another_moment_is_pretended(order, monkeypatch, is_live):
    """A clock that stands still tells no claim's age, and two runs that overlap would each send."""
    clocks = []
    monkeypatch.setattr("pipeline.assets.alerts.announce", lambda *_, clock, **__: clocks.append(clock) or [])
    _said(replace(order, is_live=is_live), in_own_process=False)
    (clock,) = clocks
    assert (clock() == NOW) is not is_live
    assert abs(datetime.now(UTC) - clock()) < timedelta(minutes=1) or not is_live


@pytest.mark.parametrize(("words", "is_live"), [([], True), (["--as-of", "2026-11-05T06:00Z"], False)])
def test_a_run_is_of_its_own_time_unless_it_names_another(order, monkeypatch, words, is_live):
    asked = {}
    monkeypatch.setattr("pipeline.cli.run.bring_up_to_date", lambda *_, **named: asked.update(named))
    assert CliRunner().invoke(group, ["run", "--project", str(order.folder), *words]).exit_code == 0
    assert asked["is_live"] is is_live


def test_a_job_that_cannot_run_says_why(order, tmp_path):
    with pytest.raises(BuildError, match=r"breakeven\.yaml"):
        _said(replace(order, folder=tmp_path / "nothing here"), in_own_process=True)


def test_it_runs_where_nobody_listens_to_errors(tmp_path):
    """Some launchers of daemons close stderr: the job would end before it began, and its messages with it."""
    command = [
        "sh",
        "-c",
        'exec "$@" 2>&- <&-',
        "sh",
        sys.executable,
        "-c",
        _SAYS_WHAT_WENT_WRONG,
        str(tmp_path / "no"),
    ]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_LIMIT_SECONDS, check=True).stdout
    assert "No such file here" in said


def test_an_answer_that_is_cut_is_no_answer(order):
    with DailyJob(in_own_process=True) as job:
        job.begin(order)
        answers = job._answers
        job._answers = BytesIO(pickle.dumps(["a problem"])[:-4])
        with pytest.raises(BuildError, match="ended before it was done"):
            job.result()
        job._answers = answers


def test_a_process_that_is_killed_is_no_silent_success(order):
    with DailyJob(in_own_process=True) as job:
        assert job.process_id is not None
        os.kill(job.process_id, signal.SIGKILL)
        job.begin(order)
        job.go_on(None)
        with pytest.raises(BuildError, match="ended before it was done"):
            job.result()


def test_it_ends_with_the_process_that_started_it():
    """However that one ends: nobody is left to read what it would say."""
    with subprocess.Popen([sys.executable, "-c", _STARTS_AND_WAITS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _runs(child)
        parent.kill()
    until = time.monotonic() + _LIMIT_SECONDS
    while _runs(child):
        assert time.monotonic() < until, f"process {child} is still there"
        time.sleep(0.05)


@pytest.mark.parametrize("in_own_process", [True, False])
def test_a_build_that_failed_is_a_failed_run_that_says_why(order, in_own_process):
    with DailyJob(in_own_process=in_own_process) as job:
        job.begin(order)
        job.give_up(BuildError("int_gpu_hours: the disk is full."))
    assert _one_failed_run(order) == "int_gpu_hours: the disk is full."


@pytest.mark.parametrize("in_own_process", [True, False])
def test_a_table_is_recorded_once_and_before_the_next_are_built(order, in_own_process):
    """Told twice, where a build had to begin again, it is one table all the same."""
    project = Project(order.folder)
    home = prepare_dagster_home(project.paths.dagster_home)
    with DailyJob(in_own_process=in_own_process) as job, opened_instance(home) as instance:
        job.begin(order)
        told: list[BuiltTable] = []

        def tell(node: NodeRelation, folder: str, ran: Sequence[str]) -> None:
            told.append(BuiltTable.of(node, folder, ran))
            job.tell(told[-1])

        result = build_project(project, as_of=order.now, built=tell)
        job.tell(told[0])
        if in_own_process:
            until = time.monotonic() + _LIMIT_SECONDS
            while not instance.get_latest_materialization_event(_COSTS):
                assert time.monotonic() < until
                time.sleep(0.05)
            assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.STARTED]
        job.go_on(Built(result.snapshot.snapshot_id, result.ran))
        job.result()
        (run,) = instance.get_runs()
        recorded = [
            entry.dagster_event.step_materialization_data.materialization
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        ]
    assert run.status == dg.DagsterRunStatus.SUCCESS
    tables = [found.asset_key.path[-1] for found in recorded if found.asset_key.path[0] in _TABLES]
    gated = [table for table in told if table.folder in _TABLES]
    assert tables == [table.name for table in gated]
    (costs,) = [found for found in recorded if found.asset_key == _COSTS]
    (said,) = [table for table in gated if table.name == _COSTS.path[-1]]
    assert costs.metadata["dagster/row_count"].value == said.rows > 0
    assert costs.metadata["partitions rebuilt"].value == said.rebuilt > 0


@pytest.mark.parametrize("in_own_process", [True, False])
def test_a_build_that_fails_after_its_first_table_is_a_failed_run(order, in_own_process):
    with DailyJob(in_own_process=in_own_process) as job:
        job.begin(order)
        job.tell(BuiltTable("int_gpu_hours", "intermediate", (("usage_date", "DATE"),), 0, "0" * 64, 1))
        job.give_up(BuildError("int_engine_hours: the disk is full."))
    assert _one_failed_run(order) == "int_engine_hours: the disk is full."


def test_a_job_that_failed_and_was_heard_is_not_interrupted_as_it_ends():
    """Else the words of an interrupt stand above the reason for which the build failed."""
    command = [sys.executable, "-c", _FAILS_AND_ENDS_SLOWLY]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(beside._written("int_gpu_hours"))
        process.stdin.flush()
        answer = pickle.load(process.stdout)
        process.stdin.close()
        assert (str(answer), process.stderr.read(), process.wait(_LIMIT_SECONDS)) == (
            "int_gpu_hours: the disk is full.", b"", 0
        )  # fmt: skip


def test_it_records_what_landed_while_others_build_and_ends_with_them(order, capfd):
    """Whoever looks in the UI sees the run at work; who builds is ended from outside, and the run does not go on."""
    home = prepare_dagster_home(Project(order.folder).paths.dagster_home)
    with DailyJob(in_own_process=True) as job, opened_instance(home) as instance:
        job.begin(order)
        until = time.monotonic() + _LIMIT_SECONDS
        while not instance.get_latest_materialization_event(_LANDED):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.STARTED]
    assert "Traceback" not in capfd.readouterr().err
    _one_failed_run(order)


def _one_failed_run(order: DailyOrder) -> str:
    """The words of the only step that failed in the only run."""
    home = prepare_dagster_home(Project(order.folder).paths.dagster_home)
    with opened_instance(home) as instance:
        (run,) = instance.get_runs()
        assert run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
        said = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    errors = [event.step_failure_data.error for event in said if event.is_step_failure]
    (error,) = errors
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.split(":", 1)[-1].strip()


def test_an_interrupt_before_it_has_begun_leaves_no_traceback(capfd):
    """Ctrl-C reaches every process of the terminal, also one that is still importing."""
    with DailyJob(in_own_process=True) as job:
        assert job.process_id is not None
        until = time.monotonic() + _LIMIT_SECONDS
        while not _ignores_interrupts(job.process_id):
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(job.process_id, signal.SIGINT)
        assert _runs(job.process_id)
    assert not _runs(job.process_id)
    assert capfd.readouterr().err == ""


def _ignores_interrupts(process_id: int) -> bool:
    said = dict(line.split(":", 1) for line in Path(f"/proc/{process_id}/status").read_text().splitlines())
    return bool(int(said["SigIgn"], 16) & 1 << (signal.SIGINT - 1))


def _runs(process_id: int) -> bool:
    """Neither ended nor waiting to be buried."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
