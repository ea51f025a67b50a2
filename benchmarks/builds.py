"""How long builds of a generated year take, and the same SQL by DuckDB alone in the same run."""

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks.bare import Bare, build_bare
from benchmarks.demo_runs import breakeven
from benchmarks.measure import Took, folder_gib, forget_peak_memory, peak_memory_gib, took
from benchmarks.year import Year
from pipeline.build.closing_tables import closing_frames, closing_of
from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import config_versions
from pipeline.build.graph import BuildResult
from pipeline.build.publish import open_snapshot
from pipeline.build.relations import FrameRelation, Relation, quoted
from pipeline.build.runner import Model, Runner
from pipeline.build.seeds import load_seeds
from pipeline.build.sql_models import SqlModel
from pipeline.decisions.graph import build_project, shipped_graph
from pipeline.errors import BuildError
from pipeline.landing.project import Project

_NOTHING_CHANGED_TIMES = 5
_MOST_DIFFERENCES_SHOWN = 3
_SLOWEST = 8


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Core seconds of each node in the builds inside: how long its partitions held a worker, all of them together."""
    spent: list[tuple[str, float]] = []
    found: dict[str, float] = {}

    def timed(run: Callable[..., Any]) -> Callable[..., Any]:
        def run_timed(runner: Runner, model: Model, *rest: Any) -> Any:
            started = time.perf_counter()
            try:
                return run(runner, model, *rest)
            finally:
                spent.append((model.name, time.perf_counter() - started))

        return run_timed

    with (
        patch.object(Runner, "_run_sql", timed(Runner._run_sql)),
        patch.object(Runner, "_run_python", timed(Runner._run_python)),
    ):
        yield found
    for name, seconds in spent:
        found[name] = found.get(name, 0.0) + seconds


@dataclass(frozen=True)
class Cold:
    """The first build of a year beside DuckDB alone on the same Parquet. Core seconds are by node."""

    result: BuildResult
    took: Took
    core_seconds: Mapping[str, float]
    peak_memory_gib: float
    bare: Bare
    bare_peak_memory_gib: float

    @property
    def sql_model_count(self) -> int:
        return len(self.bare.cpu_seconds)

    @property
    def python_nodes(self) -> float:
        """Core seconds of what bare DuckDB has nothing beside."""
        return sum(seconds for name, seconds in self.core_seconds.items() if name not in self.bare.cpu_seconds)

    @property
    def slowest(self) -> dict[str, list[float]]:
        """SQL models: what they took the build, and DuckDB alone."""
        alone = self.bare.cpu_seconds
        slowest = sorted(alone, key=lambda name: -self.core_seconds.get(name, 0.0))[:_SLOWEST]
        return {name: [round(self.core_seconds.get(name, 0.0), 2), round(alone[name], 2)] for name in slowest}


def cold_build(year: Year, *, say: Callable[[str], None]) -> Cold:
    """Build the year into an empty cache, then let DuckDB alone do the same SQL."""
    forget_peak_memory()
    with watched() as core_seconds, took() as build_took:
        result = _build(year)
    peak = peak_memory_gib()
    say(f"cold build {build_took.wall_seconds:.1f} s; now DuckDB alone")
    graph = shipped_graph()
    models = {model.name: model for model in graph.models(year.project.paths.cache) if isinstance(model, SqlModel)}
    if result.landed is None:
        raise BuildError("The folder already holds a build of this year. Name an empty --folder.")
    gc.collect()
    given = {**result.landed.relations, **_configuration_and_seeds(year)}
    forget_peak_memory()
    bare = build_bare(models, given=given, snapshot=result.snapshot, threads=os.cpu_count() or 1)
    return Cold(
        result=result,
        took=build_took,
        core_seconds=core_seconds,
        peak_memory_gib=peak,
        bare=bare,
        bare_peak_memory_gib=peak_memory_gib(),
    )


def _configuration_and_seeds(year: Year) -> dict[str, Relation]:
    graph, cache = shipped_graph(), year.project.paths.cache
    events = year.project.landing.events()
    frames = {**config_frames(config_versions(events), graph.datasets), **closing_frames(closing_of(events))}
    configuration = [FrameRelation(name=name, frame=frame, folder=cache) for name, frame in frames.items()]
    seeds = load_seeds(graph.models_folder / "seeds", cache=cache)
    return {relation.name: relation for relation in (*configuration, *seeds)}


def differences(cold: Cold) -> list[str]:
    """Tables in which the partitioned build and DuckDB alone differ as multisets of rows: there must be none."""
    found: list[str] = []
    connection = cold.bare.connection
    connection.execute("attach if not exists ':memory:' as built")
    for name in cold.bare.cpu_seconds:
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
    """The build after some of a day changed."""

    took: Took
    parts: int
    slowest: Mapping[str, float]


def one_dirty_day(year: Year) -> Dirty:
    """A late spool file and a restated usage day, in the middle of the year."""
    year.write_late_file_and_restated_usage()
    with watched() as core_seconds, took() as found:
        result = _build(year)
    return _changed(found, result, core_seconds)


def _changed(found: Took, result: BuildResult, core_seconds: Mapping[str, float]) -> Dirty:
    if not result.ran:
        raise BuildError("A day changed, and yet nothing ran.")
    slowest = sorted(core_seconds, key=lambda name: -core_seconds[name])[:_SLOWEST]
    return Dirty(
        took=found,
        parts=sum(map(len, result.ran.values())),
        slowest={name: round(core_seconds[name], 2) for name in slowest},
    )


def one_new_day(year: Year) -> Dirty:
    """The build of the morning after: a day of every source, the open month of the cloud's bill restated."""
    year.write_new_day()
    with watched() as core_seconds, took() as found:
        result = _build(year, as_of=year.as_of + timedelta(days=1))
    return _changed(found, result, core_seconds)


def measured_morning(year: Year, *, say: Callable[[str], None]) -> dict[str, float]:
    """A day later still as cron runs it, after `measured_builds`: `breakeven run` from cold processes.

    With nothing new the process waits for Dagster alone, which is imported and records the run beside all that it does
    itself: the difference of the two is what a new day takes beyond Dagster's own time. Dagster's instance is there, as
    on every morning but the first.
    """

    def run(days: int) -> Took:
        as_of = f"{year.as_of + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"
        folder = year.project.folder
        return breakeven("run", "--offline", "--project", str(folder), "--as-of", as_of, folder=folder)

    run(1)
    year.write_new_day(2)
    new_day, nothing_new = run(2), run(2)
    say(f"breakeven run {new_day.wall_seconds:.2f} s, with nothing new {nothing_new.wall_seconds:.2f} s")
    return {
        "one_new_day_breakeven_run_seconds": new_day.wall_seconds,
        "one_new_day_breakeven_run_cpu_seconds": new_day.cpu_seconds,
        "one_new_day_breakeven_run_nothing_new_seconds": nothing_new.wall_seconds,
        "one_new_day_beyond_dagster_seconds": new_day.wall_seconds - nothing_new.wall_seconds,
    }


def _build(year: Year, *, as_of: datetime | None = None) -> BuildResult:
    return build_project(Project(year.project.folder), as_of=as_of or year.as_of)


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
    say(f"one dirty day {dirty.took.wall_seconds:.2f} s")
    morning = one_new_day(year)
    say(f"one new day {morning.took.wall_seconds:.2f} s")
    counted = open_snapshot(cold.result.snapshot)
    rows = counted.execute("select count(*) from fct_unit_costs_daily").fetchall()[0][0]
    counted.close()
    return {
        "days": year.shape.days,
        "telemetry_samples": year.shape.samples,
        "sql_models": cold.sql_model_count,
        "unit_cost_rows": rows,
        "cold_build_seconds": cold.took.wall_seconds,
        "cold_build_cpu_seconds": cold.took.cpu_seconds,
        "cold_build_python_nodes_core_seconds": cold.python_nodes,
        "cold_build_parts": sum(map(len, cold.result.ran.values())),
        "cold_build_peak_memory_gib": cold.peak_memory_gib,
        "bare_duckdb_seconds": cold.bare.took.wall_seconds,
        "bare_duckdb_cpu_seconds": cold.bare.took.cpu_seconds,
        "bare_duckdb_peak_memory_gib": cold.bare_peak_memory_gib,
        "cold_build_over_bare_duckdb": cold.took.wall_seconds / cold.bare.took.wall_seconds,
        "cold_build_over_bare_duckdb_in_cpu": cold.took.cpu_seconds / cold.bare.took.cpu_seconds,
        "slowest_models_build_and_bare_core_seconds": cold.slowest,
        "nothing_changed_seconds": unchanged.wall_seconds,
        "one_dirty_day_seconds": dirty.took.wall_seconds,
        "one_dirty_day_cpu_seconds": dirty.took.cpu_seconds,
        "one_dirty_day_parts": dirty.parts,
        "one_dirty_day_over_cold_build": dirty.took.wall_seconds / cold.took.wall_seconds,
        "slowest_nodes_of_one_dirty_day_core_seconds": dirty.slowest,
        "one_new_day_seconds": morning.took.wall_seconds,
        "one_new_day_cpu_seconds": morning.took.cpu_seconds,
        "one_new_day_parts": morning.parts,
        "slowest_nodes_of_one_new_day_core_seconds": morning.slowest,
        "disk_gib": folder_gib(year.project.folder),
    }
