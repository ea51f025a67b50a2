"""What every asset is handed: the project, the clock, and what has been fetched and built for it just before."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from pipeline.build.relations import Columns, NodeRelation
from pipeline.landing.project import Project
from pipeline.sources.ingest import Ingested

# A run that replays a past moment (the demo, a test) carries it as a tag; else the wall clock is read, here only.
AS_OF_TAG = "breakeven/as_of"
# There where that moment is the one in which the run began.
LIVE_TAG = "breakeven/live"

_NOTHING: Mapping[tuple[str, str], Ingested] = {}


@dataclass(frozen=True)
class BuiltTable:
    """A table that is there. `says`: equal for equal rows. `rebuilt`: how many of its partitions had to run."""

    name: str
    folder: str
    columns: Columns
    rows: int
    says: str
    rebuilt: int

    @classmethod
    def of(cls, node: NodeRelation, folder: str, ran: Sequence[str]) -> "BuiltTable":
        rows = sum(part.rows for part in node.parts.values())
        return cls(node.name, folder, node.columns, rows, node.content(None), len(ran))


@dataclass(frozen=True)
class Built:
    """A build that was made and published just before: its snapshot, and what had to run (node -> partitions)."""

    snapshot_id: str
    ran: Mapping[str, Sequence[str]]


@dataclass
class ProjectResource:
    """A folder with a `breakeven.yaml`.

    `brought`: (source, account) -> what was fetched for this run. `built`: tables as they are built for it, each after
    what it reads, as far as they are told, and in the end what was built; who asks waits. None: the run builds. It
    raises BuildError where what was to be built could not be.
    """

    folder: Path
    brought: Mapping[tuple[str, str], Ingested] = field(default_factory=lambda: _NOTHING)
    built: Callable[[], Iterator[BuiltTable | Built] | None] = lambda: None

    @cached_property
    def project(self) -> Project:
        """Opened once a process: its assets share the configuration and the catalog of landing."""
        return Project(self.folder)

    def environment(self) -> Mapping[str, str]:
        return os.environ

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def moment_of(tags: Mapping[str, str]) -> datetime:
    """The moment a run speaks for."""
    return datetime.fromisoformat(tags[AS_OF_TAG]) if AS_OF_TAG in tags else datetime.now(UTC)


def clock_of(tags: Mapping[str, str]) -> Callable[[], datetime]:
    """The time by which a run sends: the machine's, so that how old a claim is can be told; or the moment that it was
    asked to pretend, at which it stands still.
    """
    if AS_OF_TAG not in tags or LIVE_TAG in tags:
        return lambda: datetime.now(UTC)
    return lambda: moment_of(tags)
