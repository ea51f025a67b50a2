"""A snapshot: the identity of a build (deliveries, events, code) and the map from every node's partitions to files."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.build.files import swapped, written_once
from pipeline.build.relations import NodeRelation
from pipeline.build.runner import part_from_json, part_to_json
from pipeline.landing.records import digest
from pipeline.landing.times import parse_stamp, stamp

SNAPSHOT_FORMAT = "breakeven.snapshot/1"


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


def _node_json(node: NodeRelation) -> dict[str, Any]:
    return {
        "partition_by": node.partition_by,
        "date_column": node.date_column,
        "columns": [list(column) for column in node.columns],
        "parts": {partition: {"key": part.key, **part_to_json(part)} for partition, part in node.parts.items()},
    }


@dataclass(frozen=True)
class Snapshots:
    """The folder of snapshots and the pointer to the current one."""

    folder: Path
    cache: Path

    def keep(self, snapshot: Snapshot) -> None:
        """Keep it, addressable by its id."""
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
        target = self.folder / f"{snapshot.snapshot_id}.json"
        # One that is damaged is written again: built from the same, it has the same id.
        if not target.exists() or self.load(snapshot.snapshot_id) is None:
            swapped(target, lambda aside: _write(aside, json.dumps(record)))

    def point_at(self, snapshot: Snapshot) -> None:
        """Make it the current one: the pointer is swapped last. It names the cache that holds its files."""
        swapped(self.folder / "CURRENT", lambda aside: _write(aside, f"{snapshot.snapshot_id} {self._cache_id()}"))

    def current(self) -> Snapshot | None:
        """The snapshot CURRENT points at.

        None when there is none, when it is of another format, or when its cache was thrown away: then it is rebuilt.
        """
        try:
            snapshot_id, cache_id = (self.folder / "CURRENT").read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return self.load(snapshot_id) if cache_id == self._cache_id() else None

    def _cache_id(self) -> str:
        """A name that this cache got when it was made and takes with it when it is deleted."""
        marker = self.cache / "CACHE_ID"
        if not marker.exists():
            with written_once(marker) as aside:
                aside.write_text(secrets.token_hex(8))
        return marker.read_text()

    def load(self, snapshot_id: str) -> Snapshot | None:
        """The snapshot of that id; None where there is none that this release can read."""
        try:
            record = json.loads((self.folder / f"{snapshot_id}.json").read_bytes())
            return self._of_record(record, snapshot_id) if record["format"] == SNAPSHOT_FORMAT else None
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None

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

    def _node(self, name: str, record: Mapping[str, Any]) -> NodeRelation:
        columns: Sequence[Sequence[str]] = record["columns"]
        return NodeRelation(
            name=name,
            columns=tuple((column, kind) for column, kind in columns),
            partition_by=record["partition_by"],
            date_column=record["date_column"],
            parts={partition: part_from_json(part["key"], part) for partition, part in record["parts"].items()},
            folder=self.cache,
        )


def _write(path: Path, text: str) -> None:
    path.write_text(text)
