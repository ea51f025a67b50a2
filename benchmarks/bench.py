"""`make bench`: how fast builds, the demo and the readers are. Writes a dated result and the tables of README.md."""

import argparse
import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path

from benchmarks.agent import measured_agent
from benchmarks.builds import measured_builds, measured_morning
from benchmarks.cur import Export, measured_lines
from benchmarks.demo_runs import measured_demo, measured_parsing
from benchmarks.detectors import table as detectors
from benchmarks.fleet_hours import Fleet, measured_hours
from benchmarks.measure import machine
from benchmarks.results import Figures, keep
from benchmarks.workloads import measured_workloads
from benchmarks.year import Shape, Year
from pipeline.landing.project import Project


def main() -> None:
    asked = _arguments()
    before = machine()
    scratch = Path(tempfile.mkdtemp(prefix="breakeven-bench-", dir=asked.folder))
    figures: dict[str, Figures] = {}
    try:
        if asked.only in (None, "demo"):
            figures["demo"] = measured_demo(scratch / "demo")
            parsing = measured_parsing(scratch / "demo" / "whole")
            figures |= {f"parse_{name}": found for name, found in parsing.items()}
            say(f"demo {figures['demo']['breakeven_demo_seconds']:.1f} s")
        if asked.only in (None, "builds"):
            year = Year(Project(scratch / "year"), Shape(days=asked.days, samples=asked.samples))
            figures = {"builds": {**measured_builds(year, say=say), **measured_morning(year, say=say)}, **figures}
        if asked.only in (None, "cur"):
            for lines, months in zip(asked.lines, asked.months, strict=True):
                name = f"cur_{lines}_lines_in_{months}_months"
                figures[name] = measured_lines(Export(scratch / name, lines, months))
                say(f"{name.replace('_', ' ')} {figures[name]['parse_and_build_over_bare_duckdb']:.2f} x bare")
                shutil.rmtree(scratch / name)
        if asked.only in (None, "workloads"):
            figures["workloads"] = measured_workloads(count=asked.workloads)
            say(f"one workload of a year {figures['workloads']['one_workload_of_a_year_cpu_seconds']:.2f} s")
        if asked.only in (None, "agent"):
            agent = {"agent_on_a_gpu_host": measured_agent(scratch / "agent")}
            say(f"wrote {keep('agent', on=date.today(), machine=before, figures=agent).name}")
        if asked.only in (None, "fleet"):
            hours = {"fleet_samples_to_hours": measured_hours(Fleet(scratch / "fleet", asked.gpus, days=3))}
            say(f"wrote {keep('fleet', on=date.today(), machine=before, figures=hours).name}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if asked.only in (None, "detectors"):
        say(f"wrote {keep('detectors', on=date.today(), machine=before, figures=detectors(asked.years)).name}")
    if not figures:
        return
    name = "bench" if asked.only is None else f"bench-{asked.only}"
    say(f"wrote {keep(name, on=date.today(), machine=before, figures=figures).name}")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--samples", type=int, default=Shape.samples, help="telemetry samples in the generated year")
    parser.add_argument("--days", type=int, default=Shape.days, help="days of the generated year")
    parser.add_argument("--folder", type=Path, default=None, help="where scratch files lie (about 2 GB); cleaned up")
    parser.add_argument(
        "--only",
        choices=("builds", "demo", "cur", "workloads", "agent", "fleet", "detectors"),
        default=None,
        help="measure one part only",
    )
    parser.add_argument("--gpus", type=int, default=1000, help="GPUs of the fleet, sampled every 5 s for three days")
    parser.add_argument("--workloads", type=int, default=1000, help="how many workloads are decided side by side")
    parser.add_argument("--years", type=int, default=1000, help="simulated years of each cell of the detectors")
    parser.add_argument(
        "--lines", type=int, nargs="+", default=[1_000_000, 20_000_000, 20_000_000], help="lines of each CUR export"
    )
    parser.add_argument("--months", type=int, nargs="+", default=[1, 12, 1], help="in how many months each has them")
    return parser.parse_args()


if __name__ == "__main__":
    main()
