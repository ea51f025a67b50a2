"""`make soak`: the laws for longer than a check may take. Fails at the first broken one; writes a dated result.

In turn, until the time is up: the property tests with other random examples; `breakeven run` killed at random moments;
three runs at once; both with landing, cache and snapshots on S3 (moto's server on loopback), each run on a machine of
its own; the demo's exports cut at random places; 10,000 exports, of every format, damaged and spliced; agents of GPU
hosts, and what ships for them, killed by the hundred.
What a round drew is in its seed, printed when it fails.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from benchmarks.agent_kills import kill_agents
from benchmarks.cuts import cut_everything
from benchmarks.measure import machine
from benchmarks.results import keep
from pipeline.build.publish import open_snapshot, published_tables
from pipeline.build.relations import quoted
from pipeline.decisions.graph import current_snapshot
from pipeline.demo import AS_OF, generate
from pipeline.landing.project import Project
from tests.moto_s3 import s3_server
from tests.sources.damage import damage_files
from tests.telemetry.stub import Stub, compiled

ROOT = Path(__file__).resolve().parent.parent
# The one that heeds a seed: the gate's gives the same examples whatever the seed (tests/conftest.py).
LAWS_PROFILE = "soak"
_KILLS_A_ROUND = 5
_AT_ONCE = 3
_AGENT_KILLS_A_ROUND = 200
_DAMAGED_FILES_A_ROUND = 10_000
_RUN_LIMIT_SECONDS = 600
_LAWS_LIMIT_SECONDS = 3_600

Tables = Mapping[str, list[str]]


class BrokenLawError(Exception):
    """A law did not hold. The message says which, and the seed that shows it again."""


@dataclass
class Counted:
    """What was tried, by kind."""

    tried: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, count: int = 1) -> None:
        self.tried[kind] = self.tried.get(kind, 0) + count


def main() -> None:
    asked = _arguments()
    before, counted, started = machine(), Counted(), time.monotonic()
    with _scratch(asked.folder) as scratch:
        soak(scratch, minutes=asked.minutes, seed=asked.seed, counted=counted)
    figures = {"soak": {"minutes": (time.monotonic() - started) / 60, "first_seed": asked.seed, **counted.tried}}
    target = keep("soak", on=date.today(), machine=before, figures=figures)
    sys.stdout.write(f"every law held; wrote {target.name}\n")


def soak(scratch: Path, *, minutes: float, seed: int, counted: Counted) -> None:
    """Round after round until the time is up; at least one whole round. Raises BrokenLawError."""
    ends = time.monotonic() + minutes * 60
    fresh = scratch / "fresh"
    generate(fresh)
    undisturbed = _undisturbed(fresh, scratch / "undisturbed")
    rounds: tuple[Callable[[int], None], ...] = (
        lambda number: counted.add("law_test_runs", _laws(number)),
        lambda number: counted.add("kills", _killed(fresh, scratch / "killed", number, undisturbed)),
        lambda number: counted.add("runs_at_once", _at_once(fresh, scratch / "at-once", undisturbed)),
        lambda number: counted.add("kills_on_s3", _killed_on_s3(fresh, scratch / "s3", number, undisturbed)),
        lambda number: counted.add("runs_at_once_on_s3", _at_once_on_s3(fresh, scratch / "s3", undisturbed)),
        lambda number: counted.add("cuts", cut_everything(fresh, random.Random(number), cuts_a_file=5)),
        lambda number: _damaged(number, counted),
        lambda number: counted.add("agent_kills", _killed_agents(scratch / "agents", number)),
    )
    number = seed
    while number == seed or time.monotonic() < ends:
        for position, one in enumerate(rounds):
            if number > seed and time.monotonic() >= ends:
                break
            try:
                one(number)
            except Exception as error:
                raise BrokenLawError(f"round {number}, step {position + 1}: {error}") from error
            sys.stdout.write(f"round {number}: {counted.tried}\n")
            sys.stdout.flush()
        number += 1


def _laws(seed: int) -> int:
    """Every property test once, with examples drawn from this seed."""
    workers = str(os.cpu_count() or 1)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-m", "hypothesis", "-n", workers, f"--hypothesis-seed={seed}", "tests"],
        cwd=ROOT,
        env={**os.environ, "HYPOTHESIS_PROFILE": LAWS_PROFILE},
        check=True,
        timeout=_LAWS_LIMIT_SECONDS,
    )
    return 1


def start_run(project: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """`breakeven run` on a project, at the demo's moment, as the leader of a process group of its own."""
    run = ("run", "--project", str(project), "--as-of", f"{AS_OF:%Y-%m-%dT%H:%M:%SZ}")
    return subprocess.Popen(
        [sys.executable, "-c", "from pipeline.cli import main; main()", *run],
        env={**os.environ, "DAGSTER_DISABLE_TELEMETRY": "yes", **(environment or {})},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finished(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run that must end well."""
    _, said = process.communicate(timeout=_RUN_LIMIT_SECONDS)
    if process.returncode:
        raise BrokenLawError(f"a run ended with {process.returncode}: {said.decode('utf-8', 'replace')[-600:]}")


def _undisturbed(fresh: Path, folder: Path) -> tuple[Tables, float]:
    """What a run that nobody disturbs publishes, and how long it takes."""
    shutil.copytree(fresh, folder)
    started = time.monotonic()
    finished(start_run(folder))
    took = time.monotonic() - started
    found = published(folder)
    shutil.rmtree(folder)
    return found, took


def _killed(fresh: Path, folder: Path, seed: int, undisturbed: tuple[Tables, float]) -> int:
    """kill -9 at random moments, then one run that is left alone: the result is the undisturbed one."""
    tables, took = undisturbed
    chance = random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(fresh, folder)
    for _ in range(_KILLS_A_ROUND):
        process = start_run(folder)
        time.sleep(chance.uniform(0.5, took))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=_RUN_LIMIT_SECONDS)
    finished(start_run(folder))
    same(published(folder), tables, "after kill -9")
    return _KILLS_A_ROUND


def _at_once(fresh: Path, folder: Path, undisturbed: tuple[Tables, float]) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(fresh, folder)
    for process in [start_run(folder) for _ in range(_AT_ONCE)]:
        finished(process)
    same(published(folder), undisturbed[0], "after three runs at once")
    return _AT_ONCE


def _killed_on_s3(fresh: Path, folder: Path, seed: int, undisturbed: tuple[Tables, float]) -> int:
    """kill -9 at random moments, now and then with the machine, then one run on a new machine; and one that reads."""
    tables, took = undisturbed
    chance = random.Random(seed)
    with _machines(fresh, folder) as (machine, environment):
        name = "first"
        for number in range(_KILLS_A_ROUND):
            process = start_run(machine(name), environment)
            time.sleep(chance.uniform(0.5, 1.5 * took))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=_RUN_LIMIT_SECONDS)
            if chance.random() < 0.3:
                name = f"after-{number}"
        for last in ("last", "reader"):
            finished(start_run(machine(last), environment))
            same(published(folder / last, environment), tables, f"after kill -9 on S3, on machine {last}")
    return _KILLS_A_ROUND


def _at_once_on_s3(fresh: Path, folder: Path, undisturbed: tuple[Tables, float]) -> int:
    with _machines(fresh, folder) as (machine, environment):
        names = [f"machine-{number}" for number in range(_AT_ONCE)]
        for process in [start_run(machine(name), environment) for name in names]:
            finished(process)
        # Whoever was first has not seen what the others brought; the next run has.
        finished(start_run(machine(names[0]), environment))
        same(published(folder / names[0], environment), undisturbed[0], "after three runs at once on S3")
    return _AT_ONCE


def _damaged(seed: int, counted: Counted) -> None:
    for kind, count in damage_files(random.Random(seed), files=_DAMAGED_FILES_A_ROUND).items():
        counted.add(kind, count)


def _killed_agents(folder: Path, seed: int) -> int:
    """Agents over the stub of a driver, and as many shippers onto S3. Needs a C compiler."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with s3_server() as server:
        stub = Stub(folder, compiled(folder))
        return kill_agents(folder, stub, server, kills=_AGENT_KILLS_A_ROUND, seed=seed)["agents"]


@contextmanager
def _machines(fresh: Path, folder: Path) -> Iterator[tuple[Callable[[str], Path], Mapping[str, str]]]:
    """Makes local folders of one project whose state is on S3, each once; and what a process needs to find that."""
    shutil.rmtree(folder, ignore_errors=True)
    with s3_server() as server:
        state = f"state: s3://{server.bucket()}/state"

        def machine(name: str) -> Path:
            if not (folder / name).exists():
                shutil.copytree(fresh, folder / name)
                config = folder / name / "breakeven.yaml"
                config.write_text(f"{config.read_text(encoding='utf-8')}\n{state}\n", encoding="utf-8")
            return folder / name

        yield machine, server.environment


def published(folder: Path, environment: Mapping[str, str] | None = None) -> Tables:
    """Every published table as sorted rows."""
    # Whoever reads may have to fetch.
    os.environ.update(environment or {})
    snapshot = current_snapshot(Project(folder))
    connection = open_snapshot(snapshot)
    found = {
        name: sorted(map(repr, connection.execute(f"select * from {quoted(name)}").fetchall()))
        for name in published_tables(snapshot)
    }
    connection.close()
    return found


def same(found: Tables, expected: Tables, when: str) -> None:
    """BrokenLawError naming the tables that differ as multisets."""
    differing = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if differing:
        raise BrokenLawError(f"{when} these tables differ from an undisturbed run's: {', '.join(differing)}")


@contextmanager
def _scratch(folder: Path | None) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix="breakeven-soak-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="stop after this long; one whole round at least")
    parser.add_argument("--seed", type=int, default=1, help="the first round's seed; each round takes the next")
    parser.add_argument("--folder", type=Path, default=None, help="where scratch files lie; cleaned up")
    return parser.parse_args()


if __name__ == "__main__":
    main()
