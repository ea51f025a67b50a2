"""What may be thrown away: snapshots that nothing cites, and files of the cache that no kept snapshot names.

Landing is never collected: what goes here is made again from it. A build may run beside this: what is young stays, and
what it had counted on and does not find, it makes again.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pipeline.build.closing_tables import CLOSE_EVENT
from pipeline.build.parsed import parsed_key
from pipeline.build.snapshot import SHARED_BY_DAY, SHARED_FOLDER, Snapshots
from pipeline.errors import BuildError, LandingError
from pipeline.landing.dataset import Dataset, datasets_by_name
from pipeline.landing.landing import (
    ACCRUAL_CORRECTED_EVENT,
    ACCRUAL_ISSUED_EVENT,
    ACCRUAL_SETTLED_EVENT,
    REPORT_EVENT,
    Contents,
)
from pipeline.landing.shared import SharedFiles
from pipeline.landing.store import S3_CONNECTIONS, Entry
from pipeline.landing.times import parse_stamp
from pipeline.paths import StatePaths

_CITED_BY = {
    REPORT_EVENT: "the report of",
    CLOSE_EVENT: "the close of",
    ACCRUAL_ISSUED_EVENT: "the accrual of",
    ACCRUAL_CORRECTED_EVENT: "the correction of what was accrued in",
    ACCRUAL_SETTLED_EVENT: "the bill of what was accrued in",
}
# Longer than any build takes: what it has just made or begun to use is younger.
YOUNG = timedelta(days=1)

Place = Literal["here", "shared"]


@dataclass(frozen=True)
class Held:
    """A snapshot that is there: the moment it speaks for, when it was made, and the files it names."""

    snapshot_id: str
    as_of: datetime
    made_at: datetime
    parts: frozenset[tuple[str, str]] = field(repr=False)


@dataclass(frozen=True)
class Plan:
    """`kept`: with why. `files`: what goes, by where it lies, in the order in which it has to."""

    kept: Mapping[Held, str]
    going: tuple[Held, ...]
    files: Mapping[Place, tuple[Entry, ...]]

    def size_bytes(self, place: Place) -> int:
        return sum(entry.size_bytes for entry in self.files[place])


def held_snapshots(paths: StatePaths, shared: SharedFiles | None) -> list[Held]:
    """Every snapshot that is kept here or shared, by the moment it speaks for.

    Raises BuildError where one cannot be read: nobody knows which files it needs.
    """
    here = _snapshot_files(_local_entries(paths.root, paths.snapshots))
    there = _snapshot_files(shared.store.entries(SHARED_FOLDER)) if shared is not None else {}
    contents = {name: _content(paths.root / entry.key) for name, entry in here.items()}
    only_there = [name for name in there if contents.get(name) is None]
    if shared is not None:
        contents |= dict(zip(only_there, shared.read([there[name].key for name in only_there]), strict=True))
        if shared.problem is not None:
            raise LandingError(shared.problem)
    made_at = {
        name: max(found[name].modified_at for found in (here, there) if name in found) for name in {**here, **there}
    }
    # One that another collection has just taken away is not there any more.
    held = [_held(name, content, made_at[name]) for name, content in contents.items() if content is not None]
    return sorted(held, key=lambda one: (one.as_of, one.snapshot_id))


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _snapshot_files(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Snapshot id -> its file."""
    found: dict[str, Entry] = {}
    for entry in entries:
        folder, _, name = entry.key.rpartition("/")
        if folder == SHARED_FOLDER and name.endswith(".json") and not name.startswith("."):
            found[name.removesuffix(".json")] = entry
    return found


def _held(snapshot_id: str, content: bytes, made_at: datetime) -> Held:
    try:
        record = json.loads(content)
        parts = {(name, part["key"]) for name, node in record["nodes"].items() for part in node["parts"].values()}
        return Held(snapshot_id, parse_stamp(record["as_of"]), made_at, frozenset(parts))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BuildError(
            f"Snapshot {snapshot_id} cannot be read by this release, so nobody knows which files it needs. Upgrade "
            f"breakeven, or take {SHARED_FOLDER}/{snapshot_id}.json away if nothing cites it."
        ) from None


def plan_collection(
    contents: Contents,
    *,
    datasets: Sequence[Dataset],
    paths: StatePaths,
    shared: SharedFiles | None,
    keep: timedelta,
    now: datetime,
) -> Plan:
    """What would go and what stays. Changes nothing. `contents`: all that has landed."""
    held = held_snapshots(paths, shared)
    current = Snapshots(folder=paths.snapshots, cache=paths.cache).current_id()
    cited = _cited(contents)
    kept: dict[Held, str] = {}
    for one in held:
        if one.snapshot_id == current:
            kept[one] = "current here"
        elif one.snapshot_id in cited:
            kept[one] = cited[one.snapshot_id]
        elif one.made_at > now - max(keep, YOUNG):
            kept[one] = f"made on {one.made_at:%Y-%m-%d}"
    named = _Named(
        snapshots=frozenset(one.snapshot_id for one in kept),
        parts=frozenset().union(*(one.parts for one in kept)),
        parsed=_parsed(contents, datasets),
        unused_since=now - max(keep, YOUNG),
    )
    files: dict[Place, tuple[Entry, ...]] = {
        "here": _going(_local_entries(paths.root, paths.cache, paths.snapshots), named, now),
        "shared": (),
    }
    if shared is not None:
        entries = (entry for folder in (SHARED_FOLDER, "cache") for entry in shared.store.entries(folder))
        files["shared"] = _going(entries, named, now)
    return Plan(kept=kept, going=tuple(one for one in held if one not in kept), files=files)


def _cited(contents: Contents) -> dict[str, str]:
    """Snapshot id -> what cites it: reports that were issued, months that were closed, messages sent or printed."""
    cited: dict[str, str] = {}
    for event in contents.events:
        snapshot_id = event.body.get("snapshot_id")
        if isinstance(snapshot_id, str):
            what = _CITED_BY.get(event.kind, "a message on")
            cited.setdefault(snapshot_id, f"cited by {what} {event.subject}")
    return cited


def _parsed(contents: Contents, datasets: Sequence[Dataset]) -> frozenset[tuple[str, str]]:
    """(sha256, key) of what this release reads of all that has landed, whenever: a look back needs it too."""
    by_name = datasets_by_name(datasets)
    return frozenset(
        (landed.sha256, parsed_key(landed, by_name[delivery.source, delivery.dataset], delivery.settings))
        for delivery in contents.deliveries
        if (delivery.source, delivery.dataset) in by_name
        for landed in delivery.objects
        if landed.sha256 not in contents.redacted
    )


@dataclass(frozen=True)
class _Named:
    """What is needed. `unused_since`: inputs of a build are named by nothing; those not used since then go."""

    snapshots: frozenset[str]
    parts: frozenset[tuple[str, str]]
    parsed: frozenset[tuple[str, str]]
    unused_since: datetime

    def needs(self, entry: Entry) -> bool:
        """Also what is none of ours to judge."""
        match entry.key.split("/"):
            case [*_, name] if name.startswith("."):
                return False  # Half-written by a process that was killed.
            case ["cache", spill, *_] if spill.startswith("spill-"):
                return False
            case ["snapshots", name] if name.endswith(".json"):
                return name.removesuffix(".json") in self.snapshots
            case ["snapshots", "by-day", _, name]:
                return name.rpartition("-")[2] in self.snapshots
            case ["cache", "nodes", node, name]:
                return (node, name.partition(".")[0]) in self.parts
            case ["cache", "parsed", _, sha256, key, *_]:
                return (sha256, key) in self.parsed
            case ["cache", "inputs", *_]:
                return entry.modified_at > self.unused_since
        return True


def _going(entries: Iterable[Entry], named: _Named, now: datetime) -> tuple[Entry, ...]:
    """In an order in which nothing that is still there names what is gone: the names first."""
    going = [entry for entry in entries if entry.modified_at <= now - YOUNG and not named.needs(entry)]
    return tuple(sorted(going, key=lambda entry: (_rank(entry.key), entry.key)))


def _rank(key: str) -> int:
    if key.startswith(f"{SHARED_BY_DAY}/"):
        return 0
    if key.startswith(f"{SHARED_FOLDER}/"):
        return 1
    return 2 if key.endswith(".json") else 3


def _local_entries(root: Path, *folders: Path) -> Iterator[Entry]:
    """Files below these folders, by their place below the root; hidden ones too."""
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                file = Path(parent, name)
                try:
                    status = file.stat()
                except FileNotFoundError:
                    continue  # a build beside this has just finished with it
                modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
                yield Entry(file.relative_to(root).as_posix(), status.st_size, modified_at)


def collect(plan: Plan, *, paths: StatePaths, shared: SharedFiles | None, now: datetime) -> None:
    """Delete what the plan says. Safe to repeat and to kill. Raises LandingError where the store does not let it."""
    if shared is not None:
        store = shared.store
        _one_rank_after_the_other(plan.files["shared"], lambda entry: store.delete(entry.key))

    def delete(entry: Entry) -> None:
        file = paths.root / entry.key
        try:
            # Used again since the plan was made?
            if datetime.fromtimestamp(file.stat().st_mtime, UTC) <= now - YOUNG:
                file.unlink()
        except FileNotFoundError:
            return

    _one_rank_after_the_other(plan.files["here"], delete)
    for folder, folders, names in os.walk(paths.cache, topdown=False):
        if not folders and not names and folder != str(paths.cache):
            _remove_empty(Path(folder), now)


def _one_rank_after_the_other(entries: Sequence[Entry], delete: Callable[[Entry], None]) -> None:
    with ThreadPoolExecutor(S3_CONNECTIONS) as pool:
        for rank in sorted({_rank(entry.key) for entry in entries}):
            for _ in pool.map(delete, [entry for entry in entries if _rank(entry.key) == rank]):
                pass


def _remove_empty(folder: Path, now: datetime) -> None:
    """A folder that was emptied a while ago; a build may be about to write into a younger one."""
    try:
        if datetime.fromtimestamp(folder.stat().st_mtime, UTC) <= now - YOUNG:
            folder.rmdir()
    except OSError:
        return
