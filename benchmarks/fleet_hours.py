"""A large fleet's samples to the states of each GPU's hours, over DuckDB alone on the same Parquet.

    python -m benchmarks.fleet_hours --gpus 1000 --days 3

1,000 GPUs sampled every 5 s for three days are 52 million rows, a file a host and day as a reader of spool files leaves
them. Ours is the runner with the shipped SQL model, a partition a day, results hashed and written. Beside it stand the
same SQL as one query, and the plainest aggregate there is of the same rows (hours cut by their end, nothing checked:
no two agents, no midnight, no overlap), which is what a person would write first. Each side is a process of its own, so
that its peak memory is its own. All of it is generated; the fleet does not exist.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import duckdb

from benchmarks.measure import folder_gib, peak_memory_gib, took
from pipeline.build.relations import (
    NO_ROWS,
    Columns,
    DateRange,
    Ordinals,
    duckdb_type,
    literal,
    partition_range,
    quoted,
    read_parquet,
)
from pipeline.build.runner import Runner
from pipeline.build.sql_models import SqlModel, load_models
from pipeline.errors import BuildError
from pipeline.landing.records import digest
from pipeline.paths import models_root
from pipeline.sources.nvml_spool import GPU_SAMPLES, SPOOL

_MODEL = "stg_nvml_spool__gpu_hours"
_VIEW = SPOOL.table_view(GPU_SAMPLES)
_FIRST_DAY = date(2026, 11, 1)
_GPUS_PER_HOST = 8
_COLUMNS: Columns = (
    ("account", "VARCHAR"),
    *((name, duckdb_type(kind)) for name, kind in GPU_SAMPLES.schema.items()),
)
# Each GPU serves, waits or is empty for ten minutes at a time; now and then one is lost, or a reading is not there.
_SAMPLES = """
with ticks as (
    select
        tick,
        gpu,
        hash($host * 100000 + tick * 8 + gpu) % 1000 as noise,
        hash($host * 7919 + (tick // ($ticks // 144)) * 8 + gpu + $number) % 10 as mood
    from range($ticks) as t(tick), range(8) as g(gpu)
),
read as (
    select *, case when mood < 4 then 0 else 20 + noise % 80 end as util, noise = 0 as is_lost, noise < 5 as is_blank
    from ticks
)
select
    'fleet' as account,
    '$day' as bucket,
    date '$day' as usage_date,
    'host-$host' as host,
    'boot-$host' as boot_id,
    'agent-$host' as agent_start_id,
    ($number * $ticks + tick) * 8 + gpu as sequence_number,
    timestamp '$day' + to_milliseconds((tick + 1) * (86400000 // $ticks)) as at,
    86400000 // $ticks as interval_ms,
    'GPU-$host-' || gpu as gpu_uuid,
    'node-$host' as provider_resource_id,
    case when not is_blank then util end as util_gpu_pct,
    case when not is_blank then util // 3 end as util_memory_pct,
    case when mood = 0 then 0 else 70000000000 end as memory_used_bytes,
    ($number * $ticks + tick) * 2000000 + noise as energy_millijoules,
    90000 + util * 5000 + noise as power_milliwatts,
    case when not is_blank then util * 6000 + least(util, 1) * noise end as sm_active_ppm,
    0 as clocks_event_reasons,
    case when mood = 0 then 0 else 1 end as compute_process_count,
    case when is_lost then 'gpu_is_lost' else 'ok' end as health,
    0 as samples_lost
from read
"""
_PLAIN = f"""
select
    gpu_uuid,
    date_trunc('hour', samples.at - to_milliseconds(1)) as usage_hour_at,
    sum(interval_ms) as observed_milliseconds,
    coalesce(sum(interval_ms) filter (where health = 'ok'), 0) as healthy_milliseconds,
    coalesce(sum(interval_ms) filter (where health = 'ok' and (util_gpu_pct > 0 or sm_active_ppm > 0)), 0)
        as busy_milliseconds,
    coalesce(
        sum(interval_ms) filter (
            where health = 'ok' and (compute_process_count > 0 or util_gpu_pct > 0 or sm_active_ppm > 0)
        ), 0
    ) as held_milliseconds
from {_VIEW} as samples
group by all
"""


@dataclass(frozen=True)
class Fleet:
    """Parquet of so many GPUs' samples below `folder`: a file a host and day."""

    folder: Path
    gpus: int
    days: int
    ticks: int = 17_280

    @property
    def samples(self) -> int:
        return self._hosts * _GPUS_PER_HOST * self.ticks * self.days

    @property
    def _hosts(self) -> int:
        return max(1, self.gpus // _GPUS_PER_HOST)

    def write(self) -> None:
        with duckdb.connect() as made:
            for number in range(self.days):
                day = _FIRST_DAY + timedelta(days=number)
                (self.folder / str(day)).mkdir(parents=True)
                for host in range(self._hosts):
                    sql = _SAMPLES
                    for name, value in (("$host", host), ("$number", number), ("$ticks", self.ticks), ("$day", day)):
                        sql = sql.replace(name, str(value))
                    columns = ", ".join(f"cast({_given(name)} as {kind}) as {quoted(name)}" for name, kind in _COLUMNS)
                    file = self.folder / str(day) / f"host-{host}.parquet"
                    made.execute(f"copy (select {columns} from ({sql})) to {literal(str(file))} (format parquet)")

    @property
    def relation(self) -> "_SamplesOnDisk":
        return _SamplesOnDisk(self.folder)


def _given(name: str) -> str:
    return "null" if name in ("tensor_active_ppm", "dram_active_ppm", "mig_held_ppm", "other_columns") else quoted(name)


@dataclass(frozen=True)
class _SamplesOnDisk:
    """The landed samples: a folder a day."""

    folder: Path
    name: str = _VIEW
    columns: Columns = _COLUMNS
    is_dated: bool = True
    date_column: str | None = "usage_date"

    @cached_property
    def _files(self) -> Mapping[date, list[Path]]:
        return {date.fromisoformat(day.name): sorted(day.iterdir()) for day in sorted(self.folder.iterdir())}

    def days(self) -> Iterable[date]:
        return self._files

    def content(self, days: DateRange | None) -> str:
        held = [str(day) for day in self._files if days is None or day in days]
        return digest(held) if held else NO_ROWS

    def contents(self, ranges: Sequence[Ordinals]) -> list[str]:
        return [self.content(DateRange(date.fromordinal(first), date.fromordinal(end))) for first, end in ranges]

    def sql(self, days: DateRange | None) -> str:
        files = [file for day, held in self._files.items() if days is None or day in days for file in held]
        return (
            f"select * from {read_parquet(files)}" if files else f"select * from {read_parquet(self._all)} where false"
        )

    @property
    def _all(self) -> list[Path]:
        return [file for held in self._files.values() for file in held][:1]


def hours_model() -> SqlModel:
    """The shipped one."""
    return next(model for model in load_models(models_root() / "staging") if model.name == _MODEL)


def built(fleet: Fleet, cache: Path) -> str:
    """The hours as a SELECT of the built node."""
    runner = Runner(models=[hours_model()], relations={_VIEW: fleet.relation}, cache=cache)
    return runner.build().nodes[_MODEL].sql(None)


def alone(fleet: Fleet, sql: str) -> duckdb.DuckDBPyConnection:
    """DuckDB with one table `hours`: this SELECT over all of the samples, in memory."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute("set preserve_insertion_order = false")
    days = list(fleet.relation.days())
    first, last = partition_range(min(days).isoformat()), partition_range(max(days).isoformat())
    connection.execute(
        f"create view this_partition as select date '{first.from_date}' as from_date, date '{last.to_date}' as to_date"
    )
    connection.execute(f"create view {_VIEW} as {fleet.relation.sql(None)}")
    connection.execute(f"create table hours as {sql}")
    return connection


def _ours(fleet: Fleet) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=fleet.folder.parent) as cache, took() as building:
        built(fleet, Path(cache))
    return _figures("build", building.wall_seconds, building.cpu_seconds)


def _same_sql(fleet: Fleet) -> dict[str, float]:
    with took() as querying:
        alone(fleet, hours_model().sql).close()
    return _figures("same_sql", querying.wall_seconds, querying.cpu_seconds)


def _plain(fleet: Fleet) -> dict[str, float]:
    with took() as querying:
        alone(fleet, _PLAIN).close()
    return _figures("plain_aggregate", querying.wall_seconds, querying.cpu_seconds)


def _figures(name: str, wall: float, cpu: float) -> dict[str, float]:
    return {f"{name}_seconds": wall, f"{name}_cpu_seconds": cpu, f"{name}_peak_memory_gib": peak_memory_gib()}


_STEPS: Mapping[str, Callable[[Fleet], dict[str, float]]] = {"ours": _ours, "same_sql": _same_sql, "plain": _plain}


def differences(fleet: Fleet, cache: Path) -> int:
    """Hours in which the built node, the same SQL and the plain aggregate differ: there must be none."""
    hours, connection = built(fleet, cache), alone(fleet, hours_model().sql)
    shown = "gpu_uuid, usage_hour_at, observed_milliseconds, healthy_milliseconds, busy_milliseconds, held_milliseconds"
    plain = f"select {shown} from ({_PLAIN})"
    both = f"(from hours except all ({hours})) union all (({hours}) except all from hours)"
    theirs = f"(select {shown} from hours except all {plain}) union all ({plain} except all select {shown} from hours)"
    ((first,),), ((second,),) = (
        connection.execute(f"select count(*) from ({sql})").fetchall() for sql in (both, theirs)
    )
    connection.close()
    return int(first) + int(second)


def measured_hours(fleet: Fleet, *, is_written: bool = False) -> dict[str, float]:
    """Write the samples, then measure each side in a process of its own. Ratios are of wall and of CPU time."""
    if not is_written:
        fleet.write()
    figures: dict[str, float] = {"samples": fleet.samples, "parquet_gib": folder_gib(fleet.folder)}
    for step in _STEPS:
        command = [sys.executable, "-m", "benchmarks.fleet_hours", "--step", step, "--folder", str(fleet.folder)]
        command += ["--gpus", str(fleet.gpus), "--days", str(fleet.days), "--ticks", str(fleet.ticks)]
        figures |= json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    with tempfile.TemporaryDirectory(dir=fleet.folder.parent) as cache:
        if found := differences(fleet, Path(cache)):
            raise BuildError(f"The build and DuckDB alone differ in {found} hours of {fleet.samples} samples.")
    for beside in ("same_sql", "plain_aggregate"):
        for unit in ("seconds", "cpu_seconds"):
            named = f"build_over_{beside}" + ("_in_cpu" if unit == "cpu_seconds" else "")
            figures[named] = figures[f"build_{unit}"] / figures[f"{beside}_{unit}"]
    return figures


def main() -> None:
    asked = _arguments()
    if asked.step is not None:
        fleet = Fleet(asked.folder, asked.gpus, asked.days, asked.ticks)
        sys.stdout.write(json.dumps(_STEPS[asked.step](fleet)))
        return
    scratch = Path(tempfile.mkdtemp(prefix="breakeven-fleet-", dir=asked.folder))
    try:
        fleet = Fleet(scratch / "samples", asked.gpus, asked.days, asked.ticks)
        sys.stdout.write(json.dumps(measured_hours(fleet), indent=2) + "\n")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet_hours")
    parser.add_argument("--gpus", type=int, default=1_000, help="GPUs, eight a host")
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--ticks", type=int, default=17_280, help="samples of a GPU a day: every 5 s")
    parser.add_argument("--folder", type=Path, default=None, help="where scratch files lie (about 1 GB); cleaned up")
    parser.add_argument("--step", choices=tuple(_STEPS), default=None, help="one side, of samples written in --folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
