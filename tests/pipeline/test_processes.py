"""`breakeven run` as a process: killed anywhere, two at a time, without room. Afterwards all is as it would be.

A kill is placed by counting: the process ends itself at the n-th time that it opens, links, renames or removes a file
below the project, so the same moment is hit on a fast machine and on a slow one; or some milliseconds later, in the
middle of whatever it is doing then.
"""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.reports.questions import Questions
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    INVOICE,
    SPOOL,
    Answers,
    SmallProject,
    invoice_csv,
    source,
    spool_file,
    three_days,
)

ROOT = Path(__file__).resolve().parents[2]
AS_OF = "2026-11-05T06:00:00+00:00"
A_MOMENT_LATER = "2026-11-05T06:00:00.250000+00:00"
STRETCHES = ((0.0, 0.1), (0.1, 0.4), (0.4, 0.6))
SECONDS = 120

# Runs the command below an audit hook that counts what is done to files of the project.
COUNTED = """
import json, os, signal, sys, threading
folder, limit, told = os.path.realpath(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
count = 0
def hook(event, arguments):
    global count
    if event in ("open", "os.link", "os.rename", "os.remove", "os.symlink", "os.mkdir") and str(arguments[0]).startswith(folder):
        count += 1
        if count == limit:
            end = lambda: os.kill(os.getpid(), signal.SIGKILL)
            threading.Timer(seconds, end).start() if seconds else end()
sys.addaudithook(hook)
from pipeline.cli import main
seconds = float(sys.argv[5])
sys.argv = ["breakeven", "run", "--project", folder, "--as-of", sys.argv[4]]
try:
    main()
finally:
    with open(told, "w") as file:
        json.dump(count, file)
"""  # noqa: E501


def a_project(folder: Path, like: SmallProject | None = None) -> SmallProject:
    """`like`: a project that has parsed the SQL already, which takes longer than all there is to compute here."""
    made = SmallProject(
        folder,
        [source(CONSOLE, "acme"), source(INVOICE, "gpucloud"), source(SPOOL, "fleet")],
        {
            "gpu_resources": [
                {
                    "issuer": "gpucloud",
                    "resource_id": "server-1",
                    "host": "host-1",
                    "gpu_count": 1,
                    "from": "2026-11-01",
                }
            ]
        },
    )
    made.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.50"))
    made.drop(INVOICE, "gpucloud", "invoice.csv", invoice_csv([("GPU server", "server-1", "72.00")], total="72.00"))
    for day in ("2026-11-01", "2026-11-02"):
        made.drop(SPOOL, "fleet", f"{day}.jsonl", spool_file(day))
    if like is not None:
        for name in ("lineage", "schemas"):
            shutil.copytree(like.cache / name, made.cache / name)
    return made


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER", "PYTEST", "COV"))}
    return {**kept, "PYTHONPATH": str(ROOT), "DAGSTER_DISABLE_TELEMETRY": "yes", "POLARS_MAX_THREADS": "1"}


def command(project: SmallProject, as_of: str = AS_OF) -> list[str]:
    """The plain command."""
    program = "from pipeline.cli import main; main()"
    return [sys.executable, "-c", program, "run", "--project", str(project.folder), "--as-of", as_of]


def run_to(project: SmallProject, limit: int, *, delay_seconds: float = 0) -> tuple[int, int | None]:
    """The command, killed at its `limit`-th touch of the project's files: its exit code, its touches when it ended."""
    told = project.folder.parent / f"{project.folder.name}-touches.json"
    told.unlink(missing_ok=True)
    ended = subprocess.run(
        [sys.executable, "-c", COUNTED, str(project.folder), str(limit), str(told), AS_OF, str(delay_seconds)],
        env=environment(),
        cwd=project.folder.parent,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    if ended.returncode not in (0, -signal.SIGKILL):
        raise AssertionError(ended.stderr.decode()[-2000:])
    return ended.returncode, json.loads(told.read_text()) if told.exists() else None


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallProject, int, dict[str, list[tuple[Any, ...]]]]:
    """One run from nothing to its end: how often it touched the project's files, and what it says."""
    folder = tmp_path_factory.mktemp("undisturbed")
    first = a_project(folder / "first")
    first.run()
    project = a_project(folder / "project", first)
    code, touches = run_to(project, -1)
    assert code == 0
    assert touches is not None
    return project, touches, project.build().tables()


def kill_points(touches: int) -> Iterator[int]:
    """Seeded: while landing, while building, and near the end of what the two before have left to do."""
    dice = random.Random(20261105)
    for start, stop in STRETCHES:
        yield dice.randint(int(start * touches) + 1, int(stop * touches))


def test_a_run_killed_anywhere_and_run_again_says_what_an_undisturbed_one_says(
    undisturbed: tuple[SmallProject, int, dict[str, list[tuple[Any, ...]]]], tmp_path: Path
) -> None:
    """B9, B27: one project is killed at ever later moments, each time going on from what the last run left."""
    whole, touches, expected = undisturbed
    project = a_project(tmp_path / "project", whole)
    moments = zip(kill_points(touches), (0, 0.011, 0.029), strict=True)
    codes = [run_to(project, limit, delay_seconds=delay)[0] for limit, delay in moments]
    assert codes == [-signal.SIGKILL] * len(STRETCHES)
    assert run_to(project, -1)[0] == 0
    built = project.build()
    assert built.tables() == expected
    assert built.result.ran == {}
    assert project.quarantine() == []


def test_a_run_killed_while_it_lands_loses_and_doubles_no_delivery(
    undisturbed: tuple[SmallProject, int, dict[str, list[tuple[Any, ...]]]], tmp_path: Path
) -> None:
    """B9: from the first file touched on, through the objects and the records that name them."""
    whole, _, expected = undisturbed
    project = a_project(tmp_path / "project")
    for limit in random.Random(7).sample(range(4, 40), 2):
        shutil.rmtree(project.folder / ".breakeven", ignore_errors=True)
        assert run_to(project, limit)[0] == -signal.SIGKILL
        project.ingest()
        deliveries = project.project.landing.contents().deliveries
        assert len(deliveries) == len(whole.project.landing.contents().deliveries)
    assert project.build().tables() == expected


def without_moments(answers: Answers) -> dict[str, list[str]]:
    """Every table without the moments at which an issuer that states none was heard."""
    tables = {}
    with Questions(answers.result.snapshot) as questions:
        for name in answers.result.snapshot.nodes:
            frame = questions.select(f"select * from {name}")
            tables[name] = sorted(map(repr, frame.drop("stated_at", strict=False).rows()))
    return tables


def test_two_runs_at_once_count_everything_once(
    undisturbed: tuple[SmallProject, int, dict[str, list[tuple[Any, ...]]]], tmp_path: Path
) -> None:
    """B9, B27: neither waits for the other, neither breaks the other, and together they say what one says.

    Their clocks differ, so what both bring is landed twice, and counted once.
    """
    expected = without_moments(undisturbed[0].build())
    project = a_project(tmp_path / "project", undisturbed[0])
    both = [
        subprocess.Popen(
            command(project, as_of), env=environment(), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for as_of in (AS_OF, A_MOMENT_LATER)
    ]
    try:
        said = [process.communicate(timeout=SECONDS)[0].decode() for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], "\n".join(said)[-4000:]
    assert without_moments(project.build(now=datetime.fromisoformat(A_MOMENT_LATER))) == expected


def test_a_run_without_room_to_write_says_so_and_the_next_one_finishes(
    undisturbed: tuple[SmallProject, int, dict[str, list[tuple[Any, ...]]]], tmp_path: Path
) -> None:
    """A limit on the size of any file stands for a full disk: a sentence, an exit code, nothing half-written counts."""
    _, _, expected = undisturbed
    project = a_project(tmp_path / "project")

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))

    ended = subprocess.run(
        command(project),
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        timeout=SECONDS,
        check=False,
        preexec_fn=no_room,
    )
    said = ended.stderr.decode()
    assert ended.returncode in (4, 5), said
    assert "Traceback" not in said
    assert "space" in said
    assert project.run().tables() == expected
