"""The whole build: landing in, snapshot out. A pure function of what is visible, the code and the as-of day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pipeline import __version__
from pipeline.build.closing_tables import closing_frames, closing_of
from pipeline.build.closure import closure_hash
from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import config_versions
from pipeline.build.landed_tables import Landed, read_landed
from pipeline.build.publish import published_tables
from pipeline.build.relations import FrameRelation, NodePart, Relation
from pipeline.build.runner import ENGINE, Model, Progress, PythonModel, Runner, TellBuilt, known_parts, silent, untold
from pipeline.build.seeds import load_seeds
from pipeline.build.snapshot import SNAPSHOT_FORMAT, Snapshot, Snapshots
from pipeline.build.sql_models import load_models
from pipeline.landing.dataset import Dataset
from pipeline.landing.landing import Contents, Landing
from pipeline.landing.records import digest
from pipeline.landing.shared import LostFileError, SharedFiles
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
                closure_hash("pipeline.build.config_tables.frames"),
                closure_hash("pipeline.build.closing_tables"),
            ]
        )


@dataclass(frozen=True)
class BuildResult:
    """A snapshot, what had to run for it (node -> partitions), and landing as it was read (None: nothing changed).

    `notes`: what a person should know of, though the figures are right: a shared cache that was left out, and why.
    """

    snapshot: Snapshot
    ran: Mapping[str, Sequence[str]]
    landed: Landed | None
    notes: tuple[str, ...] = ()


def build(
    graph: Graph,
    *,
    landing: Landing,
    paths: StatePaths,
    as_of: datetime,
    progress: Progress = silent,
    built: TellBuilt = untold,
    threads: int | None = None,
    make_current: bool = True,
    shared: SharedFiles | None = None,
    anew: bool = False,
) -> BuildResult:
    """Bring the snapshot up to date with landing as of a moment and make it current. `publish` is for who calls.

    `built` is told of every node as soon as it is there, where anything is built at all.
    `make_current=False` (a look back with `--as-of`) keeps the snapshot but does not move CURRENT.
    `shared`: the cache of all machines of this project: what one of them has built, the others take from it.
    `anew`: take nothing from it, but tell it. A build does that by itself where it lacks what it should have.
    """
    snapshots = Snapshots(folder=paths.snapshots, cache=paths.cache, shared=shared)
    make = _Build(graph, landing, paths, as_of, progress, built, threads, make_current, snapshots)
    if anew:
        result = make.brought_up_to_date(anew=True)
    else:
        try:
            result = make.brought_up_to_date(anew=False)
        except LostFileError:
            if shared is not None:
                shared.doubt()
            result = make.brought_up_to_date(anew=True)
    problem = shared.problem if shared is not None else None
    return result if problem is None else replace(result, notes=(*result.notes, problem))


@dataclass(frozen=True)
class _Build:
    """One build, which may have to begin again without the shared cache."""

    graph: Graph
    landing: Landing
    paths: StatePaths
    as_of: datetime
    progress: Progress
    built: TellBuilt
    threads: int | None
    make_current: bool
    snapshots: Snapshots

    def brought_up_to_date(self, *, anew: bool) -> BuildResult:
        contents = self.landing.contents().as_of(self.as_of)
        landing_identity = contents.identity()
        graph_key = digest([landing_identity, self.graph.code_identity(), self.as_of.date().isoformat()])
        before = self.snapshots.current()
        if before is not None and before.graph_key == graph_key and not anew:
            if self.make_current:
                before.bring(published_tables(before))
            self.snapshots.share_again(before)
            return BuildResult(snapshot=before, ran={}, landed=None)
        elsewhere = None if anew else self.snapshots.elsewhere(graph_key, self.as_of, before)
        if elsewhere is not None and elsewhere.graph_key == graph_key:
            self._made_current(elsewhere)
            return BuildResult(snapshot=elsewhere, ran={}, landed=None)
        cache, shared = self.paths.cache, self.snapshots.shared
        landed = read_landed(
            contents,
            datasets=self.graph.datasets,
            landing=self.landing,
            cache=cache,
            as_of=self.as_of,
            shared=shared,
            anew=anew,
        )
        if landed.damaged:
            # Made without what is damaged, it is not the build of this landing: the next one looks again.
            graph_key = digest([graph_key, sorted(landed.damaged)])
        models = self.graph.models(cache)
        # What is only proposed may never come to be: nobody else is told of it.
        is_shared = shared is not None and not self.landing.proposed
        runner = Runner(
            models=models,
            relations=_relations(self.graph, contents, landed, cache),
            cache=cache,
            known={} if anew else {**_known(elsewhere), **_known(before)},
            before={} if anew or before is None else before.nodes,
            progress=self.progress,
            built=self.built,
            threads=self.threads,
            shared=shared,
            is_shared=is_shared,
        )
        built = runner.build()
        snapshot = Snapshot(
            graph_key=graph_key,
            as_of=self.as_of,
            release=__version__,
            landing_identity=landing_identity,
            delivery_count=len(contents.deliveries),
            event_count=len(contents.events),
            nodes=built.nodes,
            folders={model.name: model.folder for model in models},
        )
        self.snapshots.keep(snapshot)
        if is_shared:
            self.snapshots.to_share(snapshot)
        self._made_current(snapshot)
        if is_shared:
            self.snapshots.share(snapshot)
        return BuildResult(snapshot=snapshot, ran=built.ran, landed=landed)

    def _made_current(self, snapshot: Snapshot) -> None:
        """Readers here first: whether others are told of it is no concern of theirs."""
        if self.make_current:
            # What will be published lies here first: where some of it is lost, this build begins again.
            snapshot.bring(published_tables(snapshot))
            self.snapshots.point_at(snapshot)


def _known(snapshot: Snapshot | None) -> dict[str, NodePart]:
    return {} if snapshot is None else known_parts(snapshot.nodes.values())


def _relations(graph: Graph, contents: Contents, landed: Landed, cache: Path) -> dict[str, Relation]:
    relations = dict(landed.relations)
    for seed in load_seeds(graph.models_folder / "seeds", cache=cache):
        relations[seed.name] = seed
    said = config_frames(config_versions(contents.events), graph.datasets)
    for name, frame in {**said, **closing_frames(closing_of(contents.events))}.items():
        relations[name] = FrameRelation(name=name, frame=frame, folder=cache)
    return relations
