"""Several machines of one project: a local folder each, and landing, cache and snapshots that they share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.build.graph import BuildResult, build
from pipeline.landing.shared import SharedFiles
from pipeline.landing.store import FolderStore, Store
from pipeline.paths import StatePaths
from tests.build.small_graph import SmallProject, noon


class Watched(FolderStore):
    """A shared store in a folder that counts what it is asked, and fails when told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[tuple[str, str]] = []
        self.fails: Callable[[int], bool] = lambda number: False

    def _ask(self, what: str, key: str) -> None:
        self.asked.append((what, key))
        if self.fails(len(self.asked)):
            raise OSError("S3 is away")

    def put_if_absent(self, key: str, content: bytes) -> bool:
        self._ask("put", key)
        return super().put_if_absent(key, content)

    def find(self, key: str) -> bytes | None:
        self._ask("get", key)
        return super().find(key)

    def copy_to(self, key: str, target: Path) -> bool:
        self._ask("get", key)
        return super().copy_to(key, target)

    def keys(self, prefix: str, after: str = ""):  # type: ignore[no-untyped-def]
        self._ask("list", prefix)
        return super().keys(prefix, after)


@dataclass
class Machine:
    """One local folder. `project` holds landing, which is everybody's."""

    project: SmallProject
    root: Path
    store: Store

    @property
    def paths(self) -> StatePaths:
        return StatePaths(self.root)

    def shared(self) -> SharedFiles:
        """Opened anew, as another process would."""
        return SharedFiles(self.store, self.root)

    def build(self, as_of: str = "2026-11-15", *, make_current: bool = True, anew: bool = False) -> BuildResult:
        return build(
            self.project.graph(),
            landing=self.project.landing,
            paths=self.paths,
            as_of=noon(as_of),
            threads=1,
            make_current=make_current,
            shared=self.shared(),
            anew=anew,
        )

    def parquet_files(self, node: str) -> int:
        return len(list((self.paths.cache / "nodes" / node).glob("*.parquet")))
