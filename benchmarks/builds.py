"""How long builds of a generated year take, and the same SQL by DuckDB alone in the same run."""

import gc
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from benchmarks.bare import Bare, build_bare
from benchmarks.measure import Took, folder_gib, peak_memory_gib, took
from benchmarks.year import Year
from pipeline.build.config_tables import config_frames, config_versions
from pipeline.build.graph import BuildResult
from pipeline.build.publish import open_snapshot
from pipeline.build.relations import FrameRelation, Relation, quoted
from pipeline.build.seeds import load_seeds
from pipeline.build.sql_models import SqlModel
from pipeline.decisions.graph import build_project, shipped_graph
from pipeline.errors import BuildError
from pipeline.landing.project import Project

_NOTHING_CHANGED_TIMES = 5
_MOST_DIFFERENCES_SHOWN = 3


@dataclass
class Stopwatch:
    """A build's progress, turned into seconds per node: a node lasts until the next is announced."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    _current: tuple[str, float, float] | None = None

    def __call__(self, *, node: str, done: int, total: int) -> None:
        self.stop()
        self._current = (node, time.perf_counter(), time.process_time())

    def stop(self) -> None:
        if self._current is not None:
            node, started, cpu_started = self._current
            self.seconds[node] = time.perf_counter() - started
            self.cpu_seconds[node] = time.process_time() - cpu_started
        self._current = None


@dataclass(frozen=True)
class Cold:
    """The first build of a year beside DuckDB alone on the same Parquet."""

    result: BuildResult
    took: Took
    python_nodes: Took
    bare: Bare
    slowest: Mapping[str, tuple[float, float]]

    @property
    def ratio(self) -> float:
        """All of the build but its Python nodes, over DuckDB alone."""
        return (self.took.wall_seconds - self.python_nodes.wall_seconds) / self.bare.took.wall_seconds

    @property
    def cpu_ratio(self) -> float:
        """The same in CPU seconds, which other work on the machine changes less."""
        return (self.took.cpu_seconds - self.python_nodes.cpu_seconds) / self.bare.took.cpu_seconds


def cold_build(year: Year, *, say: Callable[[str], None]) -> Cold:
    """Build the year into an empty cache, then let DuckDB alone do the same SQL."""
    watch = Stopwatch()
    with took() as build_took:
        result = _build(year, progress=watch)
        watch.stop()
    say(f"cold build {build_took.wall_seconds:.1f} s; now DuckDB alone")
    graph = shipped_graph()
    models = {model.name: model for model in graph.models(year.project.paths.cache) if isinstance(model, SqlModel)}
    if result.landed is None:
        raise BuildError("The folder already holds a build of this year. Name an empty --folder.")
    gc.collect()
    given = {**result.landed.relations, **_configuration_and_seeds(year)}
    bare = build_bare(models, given=given, snapshot=result.snapshot, threads=os.cpu_count() or 1)
    slowest = sorted(bare.seconds, key=lambda name: -watch.seconds[name])[:8]
    return Cold(
        result=result,
        took=build_took,
        python_nodes=Took(
            wall_seconds=sum(seconds for name, seconds in watch.seconds.items() if name not in models),
            cpu_seconds=sum(seconds for name, seconds in watch.cpu_seconds.items() if name not in models),
        ),
        bare=bare,
        slowest={name: (watch.seconds[name], bare.seconds[name]) for name in slowest},
    )


def _configuration_and_seeds(year: Year) -> dict[str, Relation]:
    graph, cache = shipped_graph(), year.project.paths.cache
    frames = config_frames(config_versions(year.project.landing.events()), graph.datasets)
    configuration = [FrameRelation(name=name, frame=frame, folder=cache) for name, frame in frames.items()]
    seeds = load_seeds(graph.models_folder / "seeds", cache=cache)
    return {relation.name: relation for relation in (*configuration, *seeds)}


def differences(cold: Cold) -> list[str]:
    """Tables in which the partitioned build and DuckDB alone differ as multisets of rows: there must be none."""
    found: list[str] = []
    connection = cold.bare.connection
    connection.execute("attach if not exists ':memory:' as built")
    for name in cold.bare.seconds:
        connection.execute(
            f"create or replace view built.{quoted(name)} as {cold.result.snapshot.node(name).sql(None)}"
        )
        alone, built = quoted(name), f"built.{quoted(name)}"
        rows = connection.execute(
            f"select count(*) from ((from {alone} except all from {built}) union all "
            f"(from {built} except all from {alone}))"
        ).fetchall()
        if rows[0][0]:
            found.append(f"{name}: {rows[0][0]} rows")
    return found


def nothing_changed(year: Year) -> Took:
    """`build` again, each time with a landing that has to be listed and a snapshot that has to be read."""
    every: list[Took] = []
    for _ in range(_NOTHING_CHANGED_TIMES):
        with took() as found:
            result = build_project(Project(year.project.folder), as_of=year.as_of)
        if result.ran or result.landed is not None:
            raise BuildError(f"Nothing changed, and yet {sorted(result.ran)[:_MOST_DIFFERENCES_SHOWN]} ran.")
        every.append(found)
    return Took(
        wall_seconds=median(found.wall_seconds for found in every),
        cpu_seconds=median(found.cpu_seconds for found in every),
    )


@dataclass(frozen=True)
class Dirty:
    """The build after one telemetry day and one usage day changed."""

    took: Took
    parts: int
    slowest: Mapping[str, float]


def one_dirty_day(year: Year) -> Dirty:
    """A late spool file and a restated usage day, in the middle of the year."""
    year.write_late_file_and_restated_usage()
    watch = Stopwatch()
    with took() as found:
        result = _build(year, progress=watch)
        watch.stop()
    if not result.ran:
        raise BuildError("One day changed, and yet nothing ran.")
    slowest = sorted(watch.seconds, key=lambda name: -watch.seconds[name])[:8]
    return Dirty(
        took=found,
        parts=sum(map(len, result.ran.values())),
        slowest={name: watch.seconds[name] for name in slowest},
    )


def _build(year: Year, *, progress: Stopwatch) -> BuildResult:
    return build_project(Project(year.project.folder), as_of=year.as_of, progress=progress)


def measured_builds(year: Year, *, say: Callable[[str], None]) -> dict[str, object]:
    """Every figure about builds, in the order in which they must be taken."""
    with took() as written:
        year.write()
    say(f"generated {year.shape.days} days in {written.wall_seconds:.0f} s")
    cold = cold_build(year, say=say)
    differing = differences(cold)
    if differing:
        raise BuildError(f"The build and DuckDB alone differ in {'; '.join(differing[:_MOST_DIFFERENCES_SHOWN])}")
    cold.bare.connection.close()
    gc.collect()
    unchanged = nothing_changed(year)
    say(f"nothing changed {unchanged.wall_seconds:.3f} s")
    dirty = one_dirty_day(year)
    counted = open_snapshot(cold.result.snapshot)
    rows = counted.execute("select count(*) from fct_unit_costs_daily").fetchall()[0][0]
    counted.close()
    return {
        "days": year.shape.days,
        "telemetry_samples": year.shape.samples,
        "unit_cost_rows": rows,
        "cold_build_seconds": cold.took.wall_seconds,
        "cold_build_cpu_seconds": cold.took.cpu_seconds,
        "cold_build_python_nodes_seconds": cold.python_nodes.wall_seconds,
        "cold_build_parts": sum(map(len, cold.result.ran.values())),
        "bare_duckdb_seconds": cold.bare.took.wall_seconds,
        "bare_duckdb_cpu_seconds": cold.bare.took.cpu_seconds,
        "cold_build_over_bare_duckdb": cold.ratio,
        "cold_build_over_bare_duckdb_in_cpu": cold.cpu_ratio,
        "slowest_models_build_and_bare_seconds": {
            name: [round(a, 2), round(b, 2)] for name, (a, b) in cold.slowest.items()
        },
        "nothing_changed_seconds": unchanged.wall_seconds,
        "one_dirty_day_seconds": dirty.took.wall_seconds,
        "one_dirty_day_cpu_seconds": dirty.took.cpu_seconds,
        "one_dirty_day_parts": dirty.parts,
        "one_dirty_day_over_cold_build": dirty.took.wall_seconds / cold.took.wall_seconds,
        "slowest_nodes_of_one_dirty_day_seconds": {name: round(found, 2) for name, found in dirty.slowest.items()},
        "peak_memory_gib": peak_memory_gib(),
        "disk_gib": folder_gib(year.project.folder),
    }
