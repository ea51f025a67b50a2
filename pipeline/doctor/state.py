"""The local state: the current snapshot and its files, what readers get, the disk, the Dagster home."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from pipeline import __version__
from pipeline.build.publish import published_as
from pipeline.build.snapshot import SNAPSHOT_FORMAT, Snapshot, Snapshots
from pipeline.doctor.findings import Cost, Finding
from pipeline.doctor.landing import LandingLook, in_bytes
from pipeline.landing.project import Project
from pipeline.landing.shared import SharedFiles
from pipeline.paths import StatePaths
from pipeline.reports.figures import counted

AREA = "state"
# `breakeven run` is daily, and a day may be late; what is older was not built by anybody.
_FRESH = timedelta(hours=36)
_LEAST_FREE_BYTES = 500 * 1000**2
_RUN = "breakeven run"


def look_at_snapshot(
    project: Project, *, now: datetime, aside: Path | None, offline: bool = False
) -> tuple[Snapshot | None, list[Finding]]:
    """The current snapshot where readers can read it, and what was found of it. Writes nothing into the state.

    `aside`: an empty folder for what has to be fetched of a snapshot that another machine has built; None where all
    state is in a folder.
    """
    paths = project.paths
    try:
        words = (paths.snapshots / "CURRENT").read_text().split()
    except FileNotFoundError:
        return None, [_found("snapshot", "note", "nothing has been built yet", fix=_RUN, cost=Cost.NOT_RUN_YET)]
    except (OSError, UnicodeDecodeError) as error:
        return None, [_gone(f"CURRENT cannot be read ({type(error).__name__})")]
    if len(words) != 2:
        return None, [_gone("CURRENT does not name a snapshot")]
    snapshot_id, cache_id = words
    if _text_of(paths.cache / "CACHE_ID") != cache_id:
        return None, [_gone(f"the cache that snapshot {snapshot_id} was built in is gone")]
    snapshot, problem = _load(project, snapshot_id)
    if snapshot is None:
        return None, [_gone(problem)]
    files = [file for node in snapshot.nodes.values() for _, file in node.named_files(None)]
    here = [file for file in files if file.exists()]
    elsewhere = len(files) - len(here)
    if elsewhere and aside is None:
        said = f"{elsewhere:,} of the {len(files):,} files of snapshot {snapshot_id} are gone from the cache"
        return None, [lost_files(said)]
    which = f"snapshot {snapshot_id} of {snapshot.as_of:%Y-%m-%d %H:%M} UTC"
    if elsewhere and offline:
        said = f"{which}: {elsewhere:,} of its {counted(len(files), 'file')} only on S3, not looked at"
        return None, [_found("snapshot", "skipped", said)]
    said = f"{which}, its {counted(len(files), 'file')} there{f', {elsewhere:,} of them on S3' if elsewhere else ''}"
    if elsewhere and aside is not None:
        snapshot = _read_aside(project, snapshot, here, aside)
    return snapshot, [_found("snapshot", "ok", said), *_age(snapshot, now), *_release(snapshot)]


def _read_aside(project: Project, snapshot: Snapshot, here: Sequence[Path], aside: Path) -> Snapshot:
    """The same snapshot, read by links to what lies here; what does not is fetched beside them when it is read."""
    assert project.shared is not None
    cache = StatePaths(aside).cache
    for file in here:
        link = cache / file.relative_to(project.paths.cache)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.absolute())
    shared = SharedFiles(project.shared.store, aside)
    nodes = {name: replace(node, folder=cache, shared=shared) for name, node in snapshot.nodes.items()}
    return replace(snapshot, nodes=nodes)


def lost_files(said: str) -> Finding:
    """Files that the snapshot names and that cannot be had."""
    return _gone(said, fix="breakeven rebuild")


def _load(project: Project, snapshot_id: str) -> tuple[Snapshot | None, str]:
    file = project.paths.snapshots / f"{snapshot_id}.json"
    try:
        found = json.loads(file.read_bytes())["format"]
    except FileNotFoundError:
        return None, f"CURRENT names snapshot {snapshot_id}, which is not there"
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, f"snapshot {snapshot_id} is damaged"
    if found != SNAPSHOT_FORMAT:
        return None, f"snapshot {snapshot_id} is in format {found!r}; this release reads {SNAPSHOT_FORMAT}"
    snapshot = Snapshots(folder=project.paths.snapshots, cache=project.paths.cache).load(snapshot_id)
    return snapshot, f"snapshot {snapshot_id} is damaged"


def _text_of(file: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text()
    return None


def _gone(said: str, fix: str = _RUN) -> Finding:
    """Nothing can be read of it until it is built anew: landing has all that is needed."""
    return _found("snapshot", "fix", said, fix=fix, cost=Cost.FIGURES_OLD)


def is_old(snapshot: Snapshot, *, now: datetime) -> bool:
    """Whether a daily run has not come since."""
    return now - snapshot.as_of > _FRESH


def _age(snapshot: Snapshot, now: datetime) -> list[Finding]:
    if not is_old(snapshot, now=now):
        return []
    age = now - snapshot.as_of
    said = f"the newest build is {counted(age.days, 'day') if age.days else f'{age.seconds // 3600} h'} old"
    fix = "breakeven run, and see that it runs every day (cron, infra/systemd or infra/k8s)"
    return [_found("age", "fix", said, fix=fix, cost=Cost.FIGURES_OLD)]


def _release(snapshot: Snapshot) -> list[Finding]:
    if snapshot.release == __version__:
        return []
    said = f"built by release {snapshot.release}; this is {__version__}"
    return [_found("release", "note", said, fix=_RUN, cost=Cost.NOT_RUN_YET)]


def built_findings(snapshot: Snapshot, look: LandingLook) -> list[Finding]:
    """What has landed since the build."""
    since = len(look.contents.deliveries) - snapshot.delivery_count
    if since <= 0:
        return []
    said = f"{counted(since, 'delivery', 'deliveries')} landed since the build"
    return [_found("snapshot", "note", said, fix=_RUN, cost=Cost.NOT_RUN_YET)]


def published_findings(project: Project, snapshot: Snapshot) -> list[Finding]:
    """Whether `warehouse.duckdb`, which other tools read, says the same."""
    held, problem = published_as(project.paths.published)
    if held == snapshot.snapshot_id:
        return [_found("warehouse", "ok", f"warehouse.duckdb holds snapshot {held}")]
    said = problem or f"warehouse.duckdb holds snapshot {held}, not the current one"
    return [_found("warehouse", "note", said, fix=_RUN, cost=Cost.NOT_RUN_YET)]


def disk_findings(project: Project) -> list[Finding]:
    """Room to land and to build, and whether anything may be written at all."""
    state = project.paths.root
    there = next(folder for folder in (state, *state.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    size, files = _size_of(project.paths.cache)
    said = f"cache {in_bytes(size)} in {counted(files, 'file')}, {in_bytes(free)} free"
    findings = []
    unwritable = [folder for folder in _written_to(project, there) if not os.access(folder, os.W_OK | os.X_OK)]
    if unwritable:
        fix = "Let the user that runs breakeven write there, or mount it writable"
        text = f"{unwritable[0].name or unwritable[0]}/ cannot be written to"
        findings.append(_found("disk", "fix", text, fix=fix, cost=Cost.NOTHING_CAN_LAND))
    if free < _LEAST_FREE_BYTES:
        fix = "Free some space: infra/RUNBOOK.md, The disk is full, says what may go"
        text = f"{said}: less than a run may need ({in_bytes(_LEAST_FREE_BYTES)})"
        findings.append(_found("disk", "fix", text, fix=fix, cost=Cost.NOTHING_CAN_LAND))
    return findings or [_found("disk", "ok", said)]


def _written_to(project: Project, there: Path) -> Iterator[Path]:
    paths = project.paths
    yield there
    for folder in (paths.landing, paths.cache, paths.snapshots, paths.published):
        if folder.is_dir():
            yield folder


def _size_of(folder: Path) -> tuple[int, int]:
    """(bytes, files) below a folder, as far as it can be read."""
    size = files = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.lstat(os.path.join(root, name)).st_size
                files += 1
    return size, files


def dagster_findings(project: Project) -> list[Finding]:
    """Whether the instance that `run` and `ui` use can be opened. It is not opened: that would write."""
    home = project.paths.dagster_home
    if not home.is_dir():
        return [_found("dagster", "ok", "the Dagster home is made by the first run")]
    said = f"Dagster home {in_bytes(_size_of(home)[0])}"
    instance = home / "dagster.yaml"
    problem = None
    try:
        declared = yaml.safe_load(instance.read_text())
        if not isinstance(declared, dict | None):
            problem = "is not a mapping"
    except FileNotFoundError:
        return [_found("dagster", "ok", f"{said}, without a dagster.yaml: the next run writes one")]
    except (yaml.YAMLError, UnicodeDecodeError):
        problem = "is not YAML"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    if problem is not None:
        fix = "Mend it, or remove it: the next run writes one"
        return [_found("dagster", "fix", f"dagster/dagster.yaml {problem}", fix=fix, cost=Cost.FIGURES_OLD)]
    if not os.access(home, os.W_OK | os.X_OK):
        fix = "Let the user that runs breakeven write there"
        return [_found("dagster", "fix", "the Dagster home cannot be written to", fix=fix, cost=Cost.FIGURES_OLD)]
    return [_found("dagster", "ok", said)]


def _found(check: str, state: Any, said: str, **more: Any) -> Finding:
    return Finding(AREA, _SUBJECTS[check], check, state, said, **more)


_SUBJECTS = {
    "snapshot": "snapshot", "age": "snapshot", "release": "snapshot", "warehouse": "warehouse", "disk": "disk",
    "dagster": "Dagster",
}  # fmt: skip
