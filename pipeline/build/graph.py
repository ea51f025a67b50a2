"""The whole build: landing in, snapshot out. A pure function of what is visible, the code and the as-of day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline import __version__
from pipeline.build.closure import closure_hash
from pipeline.build.config_tables import config_frames, config_versions
from pipeline.build.landed_tables import Landed, read_landed
from pipeline.build.publish import publish
from pipeline.build.relations import FrameRelation, Relation
from pipeline.build.runner import ENGINE, Model, Progress, PythonModel, Runner, known_parts, silent
from pipeline.build.seeds import load_seeds
from pipeline.build.snapshot import SNAPSHOT_FORMAT, Snapshot, Snapshots
from pipeline.build.sql_models import load_models
from pipeline.landing.dataset import Dataset
from pipeline.landing.landing import Contents, Landing
from pipeline.landing.records import digest
from pipeline.paths import StatePaths, models_root, sql_root


@dataclass(frozen=True)
class Graph:
    """What a build is made of besides landing: the sources' datasets, SQL models, checks and Python nodes."""

    datasets: tuple[Dataset, ...]
    python_models: tuple[PythonModel, ...]
    models_folder: Path
    checks_folder: Path

    @classmethod
    def shipped(cls, *, datasets: Sequence[Dataset], python_models: Sequence[PythonModel]) -> "Graph":
        """The graph of this release."""
        return cls(tuple(datasets), tuple(python_models), models_root(), sql_root() / "checks")

    def models(self, cache: Path | None) -> list[Model]:
        return [
            *load_models(self.models_folder, cache=cache),
            *load_models(self.checks_folder, prefix="check_", cache=cache),
            *self.python_models,
        ]

    def code_identity(self) -> str:
        """Changes when anything that could change a figure changes."""
        texts = [
            (path.name, path.read_text(encoding="utf-8"))
            for folder in (self.models_folder, self.checks_folder)
            for path in sorted(folder.rglob("*"))
            if path.suffix in (".sql", ".csv") or (path.suffix == ".yml" and path.parent.name == "seeds")
        ]
        return digest(
            [
                ENGINE,
                SNAPSHOT_FORMAT,
                texts,
                sorted((model.name, model.code_hash) for model in self.python_models),
                sorted((d.source, d.name, d.schema_version, closure_hash(d.parse.__module__)) for d in self.datasets),
                closure_hash("pipeline.build.landed_tables"),
                closure_hash("pipeline.build.config_tables"),
            ]
        )


@dataclass(frozen=True)
class BuildResult:
    """A snapshot, what had to run for it (node -> partitions), and landing as it was read (None: nothing changed)."""

    snapshot: Snapshot
    ran: Mapping[str, Sequence[str]]
    landed: Landed | None


def build(
    graph: Graph,
    *,
    landing: Landing,
    paths: StatePaths,
    as_of: datetime,
    progress: Progress = silent,
    threads: int | None = None,
    make_current: bool = True,
) -> BuildResult:
    """Bring the snapshot up to date with landing as of a moment, publish it, make it current.

    `make_current=False` (a look back with `--as-of`) keeps the snapshot but moves neither CURRENT nor the warehouse.
    """
    contents = landing.contents().as_of(as_of)
    snapshots = Snapshots(folder=paths.snapshots, cache=paths.cache)
    landing_identity = contents.identity()
    graph_key = digest([landing_identity, graph.code_identity(), as_of.date().isoformat()])
    before = snapshots.current()
    if before is not None and before.graph_key == graph_key:
        if make_current:
            publish(before, paths.published)
        return BuildResult(snapshot=before, ran={}, landed=None)
    landed = read_landed(contents, datasets=graph.datasets, landing=landing, cache=paths.cache, as_of=as_of)
    if landed.damaged:
        # Made without what is damaged, it is not the build of this landing: the next one looks again.
        graph_key = digest([graph_key, sorted(landed.damaged)])
    models = graph.models(paths.cache)
    runner = Runner(
        models=models,
        relations=_relations(graph, contents, landed, paths.cache),
        cache=paths.cache,
        known=known_parts(before.nodes.values()) if before is not None else {},
        progress=progress,
        threads=threads,
    )
    built = runner.build()
    snapshot = Snapshot(
        graph_key=graph_key,
        as_of=as_of,
        release=__version__,
        landing_identity=landing_identity,
        delivery_count=len(contents.deliveries),
        event_count=len(contents.events),
        nodes=built.nodes,
        folders={model.name: model.folder for model in models},
    )
    snapshots.keep(snapshot)
    if make_current:
        publish(snapshot, paths.published)
        snapshots.point_at(snapshot)
    return BuildResult(snapshot=snapshot, ran=built.ran, landed=landed)


def _relations(graph: Graph, contents: Contents, landed: Landed, cache: Path) -> dict[str, Relation]:
    relations = dict(landed.relations)
    for seed in load_seeds(graph.models_folder / "seeds", cache=cache):
        relations[seed.name] = seed
    versions = config_versions(contents.events)
    for name, frame in config_frames(versions, graph.datasets).items():
        relations[name] = FrameRelation(name=name, frame=frame, folder=cache)
    return relations
