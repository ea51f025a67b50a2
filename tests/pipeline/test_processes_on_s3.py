"""`breakeven run` with landing, cache and snapshots on S3: killed anywhere, three at once on a machine each.

`make soak` does the same to the whole command on the demo, with kills at random moments.

A kill is placed by counting what is sent to S3 (moto's server on loopback), so the same moment is hit on a fast machine
and on a slow one.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from pipeline.decisions.graph import build_project
from pipeline.landing.project import Project
from tests.moto_s3 import S3Server, s3_server
from tests.pipeline.small_project import Answers, SmallProject
from tests.pipeline.test_processes import (
    A_MOMENT_LATER,
    AS_OF,
    SECONDS,
    a_project,
    environment,
    without_moments,
)

MOMENTS = (AS_OF, A_MOMENT_LATER, "2026-11-05T06:00:00.500000+00:00")

# Runs the command below an audit hook that counts what is sent over HTTP.
COUNTED = """
import json, os, signal, sys
folder, limit, told = sys.argv[1], int(sys.argv[2]), sys.argv[3]
count = 0
def hook(event, arguments):
    global count
    if event == "http.client.send":
        count += 1
        if count == limit:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from pipeline.cli import main
sys.argv = ["breakeven", "run", "--project", folder, "--as-of", sys.argv[4]]
main()
with open(told, "w") as file:
    json.dump(count, file)
"""


# What `breakeven run` does to landing and cache, without Dagster's record of it, which lies on the machine.
LANDED_AND_BUILT = """
import sys
from datetime import datetime
from pathlib import Path
from pipeline.decisions.graph import build_project
from pipeline.landing.project import Project
from pipeline.sources.ingest import ingest, land_config
project, now = Project(Path(sys.argv[1])), datetime.fromisoformat(sys.argv[2])
land_config(project, now)
assert not [one.error for one in ingest(project, now=now, environment={}, sleep=None) if one.error]
print(build_project(project, as_of=now).notes)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture(autouse=True)
def found_by_environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """The same project with its state in a folder, undisturbed."""
    project = a_project(tmp_path_factory.mktemp("on-disk") / "project")
    project.run()
    return project


def machine(folder: Path, state: str, like: SmallProject) -> SmallProject:
    """A local folder of its own; `state` is everybody's."""
    made = a_project(folder, like)
    made.configure(state=state)
    return made


def answers(project: SmallProject, moment: str = AS_OF) -> Answers:
    return Answers(build_project(Project(project.folder), as_of=datetime.fromisoformat(moment)))


def run_to(project: SmallProject, limit: int) -> tuple[int, int | None]:
    """The command, killed when it sends for the `limit`-th time: its exit code, and how often it sent when it ended."""
    told = project.folder.parent / f"{project.folder.name}-sent.json"
    told.unlink(missing_ok=True)
    ended = subprocess.run(
        [sys.executable, "-c", COUNTED, str(project.folder), str(limit), str(told), AS_OF],
        env=environment(),
        cwd=project.folder.parent,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr.decode()[-2000:]
    return ended.returncode, json.loads(told.read_text()) if told.exists() else None


def test_runs_killed_anywhere_and_one_on_another_machine_say_what_an_undisturbed_one_says(
    server: S3Server, on_disk: SmallProject, tmp_path: Path
) -> None:
    """B9, B27: while landing, while building, while sharing; the machine is lost with the second kill."""
    state = f"s3://{server.bucket()}/state"
    dice = random.Random(20261129)
    first = machine(tmp_path / "first", state, on_disk)
    assert run_to(first, dice.randint(3, 20))[0] == -signal.SIGKILL
    assert run_to(first, dice.randint(24, 44))[0] == -signal.SIGKILL
    shutil.rmtree(first.folder)
    second = machine(tmp_path / "second", state, on_disk)
    code, sent = run_to(second, -1)
    assert code == 0
    assert sent is not None
    expected = on_disk.build().tables()
    third = answers(machine(tmp_path / "third", state, on_disk))
    assert third.result.ran == {}
    assert third.result.notes == ()
    assert third.tables() == expected


def test_three_runs_at_once_on_three_machines_count_everything_once(
    server: S3Server, on_disk: SmallProject, tmp_path: Path
) -> None:
    """B9, B27: their clocks differ, so what each brings is landed three times, and counted once."""
    state = f"s3://{server.bucket()}/state"
    projects = [machine(tmp_path / f"machine-{number}", state, on_disk) for number in range(3)]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", LANDED_AND_BUILT, str(project.folder), moment],
            env=environment(),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for project, moment in zip(projects, MOMENTS, strict=True)
    ]
    try:
        said = [process.communicate(timeout=SECONDS)[0].decode() for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0, 0], "\n".join(said)[-4000:]
    assert said == ["()\n"] * 3
    expected = without_moments(on_disk.build())
    fourth = answers(machine(tmp_path / "fourth", state, on_disk), MOMENTS[-1])
    assert without_moments(fourth) == expected
