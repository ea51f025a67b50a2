"""The demo as a newcomer meets it: cold processes, timed from outside; and how fast its exports are read."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Took, took
from pipeline.config.file import load_config
from pipeline.demo import AS_OF, generate
from pipeline.landing.dataset import Settings
from pipeline.landing.project import CONFIG_FILE
from pipeline.landing.times import DAY
from pipeline.sources import source_named
from pipeline.sources.source import Source

_LIMIT_SECONDS = 600


def breakeven(*arguments: str, folder: Path) -> Took:
    """One `breakeven ...` as a process of its own."""
    with took() as found:
        subprocess.run(
            [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments],
            cwd=folder,
            env={**os.environ, "DAGSTER_DISABLE_TELEMETRY": "yes", "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            timeout=_LIMIT_SECONDS,
        )
    return found


def measured_demo(folder: Path) -> dict[str, float]:
    """`breakeven demo`, then `breakeven run` on the day after a state that has seen all but the last day's files."""
    folder.mkdir(parents=True, exist_ok=True)
    demo = breakeven("demo", "whole", folder=folder)
    project = folder / "days"
    generate(project)
    held_back = hold_back_last_day(project, aside=folder / "aside")
    breakeven("run", "--project", "days", "--as-of", f"{AS_OF - DAY:%Y-%m-%dT%H:%M:%SZ}", folder=folder)
    for path, place in held_back.items():
        path.rename(place)
    now = f"{AS_OF:%Y-%m-%dT%H:%M:%SZ}"
    one_day = breakeven("run", "--project", "days", "--as-of", now, folder=folder)
    again = breakeven("run", "--project", "days", "--as-of", now, folder=folder)
    return {
        "breakeven_demo_seconds": demo.wall_seconds,
        "breakeven_demo_cpu_seconds": demo.cpu_seconds,
        "breakeven_run_one_day_seconds": one_day.wall_seconds,
        "breakeven_run_one_day_cpu_seconds": one_day.cpu_seconds,
        "breakeven_run_nothing_new_seconds": again.wall_seconds,
        "breakeven_run_nothing_new_cpu_seconds": again.cpu_seconds,
    }


def hold_back_last_day(project: Path, *, aside: Path) -> Mapping[Path, Path]:
    """Move the newest spool file of every host out of the inbox: where each lies now -> where it belongs."""
    aside.mkdir(parents=True, exist_ok=True)
    last_day = f"{AS_OF - DAY:%Y-%m-%d}"
    moved = {aside / path.name: path for path in sorted((project / "inbox").rglob(f"*_{last_day}_*"))}
    for now_at, place in moved.items():
        place.rename(now_at)
    return moved


def measured_parsing(project: Path) -> dict[str, Mapping[str, float]]:
    """Each reader over the demo's files on one core, bytes in memory."""
    figures: dict[str, Mapping[str, float]] = {}
    for configured in load_config(project / CONFIG_FILE).sources:
        source = source_named(configured.source)
        if source is not None and configured.inbox is not None:
            files = [path for path in sorted((project / configured.inbox).rglob("*")) if path.is_file()]
            figures[source.name] = _parsed(source, configured.settings, files)
    return figures


def _parsed(source: Source, settings: Settings, files: Sequence[Path]) -> dict[str, float]:
    rows, size, seconds = 0, 0, 0.0
    for path in files:
        content = path.read_bytes()
        recognised = source.recognise(path.name, content)
        (dataset,) = (found for found in source.datasets if found.name == recognised)
        started = time.process_time()
        frames = dataset.parse(content, settings)
        seconds += time.process_time() - started
        rows += sum(frame.height for frame in frames.values())
        size += len(content)
    return {
        "files": len(files),
        "megabytes": size / 1e6,
        "rows": rows,
        "cpu_seconds": seconds,
        "rows_per_cpu_second": rows / seconds,
    }
