"""A snapshot: the identity of a build (deliveries, events, code) and the map from every node's partitions to files."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pipeline.build.files import swapped, written_once
from pipeline.build.relations import NodeRelation
from pipeline.build.runner import part_from_json, part_to_json
from pipeline.landing.records import digest
from pipeline.landing.shared import SharedFiles
from pipeline.landing.times import compact, parse_stamp, stamp

SNAPSHOT_FORMAT = "breakeven.snapshot/1"
SHARED_FOLDER = "snapshots"
# One small file a shared snapshot, put after it, whose name says of which moment and of which graph it is.
SHARED_BY_DAY = f"{SHARED_FOLDER}/by-day"
_UNSHARED = "UNSHARED"


@dataclass(frozen=True)
class Snapshot:
    """One build. `graph_key` answers "nothing changed" at once; `snapshot_id` names what was built.

    `known_as`: its id where it was read by it, since working it out takes as long as reading it.
    """

    graph_key: str
    as_of: datetime
    release: str
    landing_identity: str
    delivery_count: int
    event_count: int
    nodes: Mapping[str, NodeRelation]
    folders: Mapping[str, str]
    known_as: str | None = None

    @cached_property
    def snapshot_id(self) -> str:
        if self.known_as is not None:
            return self.known_as
        return digest([self.graph_key, {name: _node_json(node) for name, node in self.nodes.items()}])[:16]

    def node(self, name: str) -> NodeRelation:
        return self.nodes[name]

    def bring(self, names: Iterable[str]) -> None:
        """Have all files of these nodes lie here: at once, where they would have to be fetched one node at a time."""
        for shared in {node.shared for node in self.nodes.values()} - {None}:
            assert shared is not None
            shared.bring([file for name in names for _, file in self.node(name).named_files(None)])


def _to_json(snapshot: Snapshot) -> bytes:
    record = {
        "format": SNAPSHOT_FORMAT,
        "snapshot_id": snapshot.snapshot_id,
        "graph_key": snapshot.graph_key,
        "as_of": stamp(snapshot.as_of),
        "release": snapshot.release,
        "landing_identity": snapshot.landing_identity,
        "delivery_count": snapshot.delivery_count,
        "event_count": snapshot.event_count,
        "folders": dict(snapshot.folders),
        "nodes": {name: _node_json(node) for name, node in snapshot.nodes.items()},
    }
    return json.dumps(record).encode()


def _name_by_day(snapshot: Snapshot) -> str:
    moment = f"{snapshot.as_of:%Y-%m-%d}/{compact(snapshot.as_of)}"
    return f"{SHARED_BY_DAY}/{moment}-{snapshot.graph_key[:16]}-{snapshot.snapshot_id}"


def _node_json(node: NodeRelation) -> dict[str, Any]:
    return {
        "partition_by": node.partition_by,
        "date_column": node.date_column,
        "columns": [list(column) for column in node.columns],
        "parts": {partition: {"key": part.key, **part_to_json(part)} for partition, part in node.parts.items()},
    }


@dataclass(frozen=True)
class Snapshots:
    """The folder of snapshots and the pointer to the current one. `shared`: where every machine finds them too."""

    folder: Path
    cache: Path
    shared: SharedFiles | None = None

    def keep(self, snapshot: Snapshot) -> None:
        """Keep it, addressable by its id."""
        target = self.file_of(snapshot.snapshot_id)
        # One that is damaged is written again: built from the same, it has the same id.
        if not target.exists() or self.load(snapshot.snapshot_id) is None:
            swapped(target, lambda aside: _write(aside, _to_json(snapshot).decode()))

    def file_of(self, snapshot_id: str) -> Path:
        return self.folder / f"{snapshot_id}.json"

    def to_share(self, snapshot: Snapshot) -> None:
        """Remember that it has yet to be shared, should this process end before it is."""
        swapped(self.folder / _UNSHARED, lambda aside: _write(aside, snapshot.snapshot_id))

    def share_again(self, snapshot: Snapshot) -> None:
        """Share what a process that was stopped did not get to share."""
        if self.shared is not None and (self.folder / _UNSHARED).exists():
            self.share(snapshot)

    def share(self, snapshot: Snapshot) -> None:
        """Put a snapshot where every machine finds it: its files first, then its map, then the name it is found by."""
        if self.shared is None:
            return
        for name, node in snapshot.nodes.items():
            self.shared.offer_each(f"cache/nodes/{name}", [file for _, file in node.named_files(None)])
        if self.shared.settle():
            self.shared.put(f"{SHARED_FOLDER}/{snapshot.snapshot_id}.json", _to_json(snapshot))
            self.shared.put(_name_by_day(snapshot), b"")
        if self.shared.problem is None:
            (self.folder / _UNSHARED).unlink(missing_ok=True)

    def elsewhere(self, graph_key: str, as_of: datetime, before: Snapshot | None) -> Snapshot | None:
        """The shared snapshot of this very graph and landing; else the newest, of which most parts will be the same.

        None where there is none, or where it is the one that is current here.
        """
        if self.shared is None:
            return None
        names = self.shared.keys(f"{SHARED_BY_DAY}/{as_of:%Y-%m-%d}")
        if before is not None:
            its_name = _name_by_day(before)
            is_of_that_day = before.as_of.date() == as_of.date()
            if its_name in (names if is_of_that_day else self.shared.keys(its_name.rpartition("/")[0])):
                self._believe(before)
        elif not names:
            names = self.shared.keys(SHARED_BY_DAY)
        same = [name for name in names if name.split("-")[-2] == graph_key[:16]]
        for name in [*same[-1:], *names[-1:]]:
            snapshot_id = name.rpartition("-")[2]
            if before is not None and before.snapshot_id == snapshot_id:
                continue
            found = self.load(snapshot_id)
            if found is not None:
                self._believe(found)
                return found
        return None

    def _believe(self, snapshot: Snapshot) -> None:
        assert self.shared is not None
        files = [file for node in snapshot.nodes.values() for _, file in node.named_files(None)]
        self.shared.believe(map(self.shared.key_of, files))

    def point_at(self, snapshot: Snapshot) -> None:
        """Make it the current one: the pointer is swapped last. It names the cache that holds its files."""
        swapped(self.folder / "CURRENT", lambda aside: _write(aside, f"{snapshot.snapshot_id} {self._cache_id()}"))

    def current(self) -> Snapshot | None:
        """The snapshot CURRENT points at.

        None when there is none, when it is of another format, or when its cache was thrown away: then it is rebuilt.
        """
        pointer = self._pointer()
        return self.load(pointer[0]) if pointer is not None and pointer[1] == self._cache_id() else None

    def current_id(self) -> str | None:
        """The id that CURRENT names, whatever became of its cache."""
        pointer = self._pointer()
        return None if pointer is None else pointer[0]

    def _pointer(self) -> tuple[str, str] | None:
        try:
            snapshot_id, cache_id = (self.folder / "CURRENT").read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return snapshot_id, cache_id

    def _cache_id(self) -> str:
        """A name that this cache got when it was made and takes with it when it is deleted."""
        marker = self.cache / "CACHE_ID"
        if not marker.exists():
            with written_once(marker) as aside:
                aside.write_text(secrets.token_hex(8))
        return marker.read_text()

    def load(self, snapshot_id: str) -> Snapshot | None:
        """The snapshot of this id, kept here or shared; None where there is none that this release can read."""
        try:
            self._fetch(snapshot_id)
            file = self.file_of(snapshot_id)
            found = file.stat()
            return _loaded(self, snapshot_id, (found.st_ino, found.st_mtime_ns, found.st_size))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def read(self, snapshot_id: str) -> Snapshot | None:
        """`load` of one whose file lies here, anew. Raises what a file that is not a snapshot makes it raise."""
        record = json.loads(self.file_of(snapshot_id).read_bytes())
        return self._of_record(record, snapshot_id) if record["format"] == SNAPSHOT_FORMAT else None

    def _of_record(self, record: Mapping[str, Any], snapshot_id: str) -> Snapshot:
        return Snapshot(
            graph_key=record["graph_key"],
            as_of=parse_stamp(record["as_of"]),
            release=record["release"],
            landing_identity=record["landing_identity"],
            delivery_count=record["delivery_count"],
            event_count=record["event_count"],
            folders=record["folders"],
            nodes={name: self._node(name, node) for name, node in record["nodes"].items()},
            known_as=snapshot_id,
        )

    def _fetch(self, snapshot_id: str) -> None:
        file = self.file_of(snapshot_id)
        if self.shared is not None and not file.exists():
            (content,) = self.shared.read([f"{SHARED_FOLDER}/{snapshot_id}.json"])
            if content is not None:
                with written_once(file) as aside:
                    aside.write_bytes(content)

    def _node(self, name: str, record: Mapping[str, Any]) -> NodeRelation:
        columns: Sequence[Sequence[str]] = record["columns"]
        return NodeRelation(
            name=name,
            columns=tuple((column, kind) for column, kind in columns),
            partition_by=record["partition_by"],
            date_column=record["date_column"],
            parts={partition: part_from_json(part["key"], part) for partition, part in record["parts"].items()},
            folder=self.cache,
            shared=self.shared,
        )


@lru_cache(maxsize=2)
def _loaded(snapshots: Snapshots, snapshot_id: str, _file: tuple[int, int, int]) -> Snapshot | None:
    """A run asks for its snapshot half a dozen times, and a year's takes a tenth of a second to read."""
    return snapshots.read(snapshot_id)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
