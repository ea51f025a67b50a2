"""The two recorded single-GPU vLLM runs as the spool files an agent beside them would have written.

Each run has one NVML log and one engine log on one clock (seconds without a date), so each is put on one invented UTC
day. The engine logs throughput over the time since its previous line, while it steps; a counter at a line is therefore
the sum of throughput x time since the line before. The first line's window began before the log and is left out.
"""

import csv
import json
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path

from pipeline.formats.spool import Gpu, Header, Record, Sample, Scrape, encode_record

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FOLDER = DATA / "telemetry" / "vllm_single_gpu_runs"

MODEL = "recorded-model"
_MEBIBYTE = 1_048_576
_SCRAPE_SECONDS = 5.0
# The engine logs each half second while it steps: two seconds without a line means nothing ran.
_SILENCE_SECONDS = 2.0


@dataclass(frozen=True)
class GpuReading:
    clock_seconds: float
    util_gpu_pct: int
    memory_used_bytes: int
    memory_total_bytes: int


@dataclass(frozen=True)
class EngineReading:
    """One engine log line, with the counters integrated up to it."""

    clock_seconds: float
    prompt_tokens: int
    generation_tokens: int
    requests_running: int
    requests_waiting: int


@dataclass(frozen=True)
class Run:
    """`name` tells the runs apart everywhere: host, GPU, replica and provider resource carry it."""

    name: str
    started_at: datetime
    gpu: tuple[GpuReading, ...]
    engine: tuple[EngineReading, ...]

    @property
    def gpu_uuid(self) -> str:
        return f"GPU-{self.name}"

    @property
    def host(self) -> str:
        return f"host-{self.name}"

    @property
    def provider_resource_id(self) -> str:
        return f"resource-{self.name}"


STARTS = {
    "scale100": datetime(2026, 3, 2, 10, tzinfo=UTC),
    "scale1000": datetime(2026, 3, 3, 10, tzinfo=UTC),
}


def load_run(name: str) -> Run:
    """One of STARTS, read from the shared folder."""
    gpu_log = json.loads((FOLDER / f"gpu_log_{name}_prompt500.json").read_text())
    with (FOLDER / f"vllm_log_{name}_prompt500.csv").open(newline="") as file:
        engine_log = list(csv.DictReader(file))
    clock = [float(line["timestamp"]) for line in engine_log]
    windows = [0.0, *(later - earlier for earlier, later in pairwise(clock))]

    def counter(column: str) -> list[int]:
        grown = (float(line[column]) * window for line, window in zip(engine_log, windows, strict=True))
        return [round(total) for total in accumulate(grown)]

    return Run(
        name=name,
        started_at=STARTS[name],
        gpu=tuple(
            GpuReading(
                clock_seconds=reading["record_time"],
                util_gpu_pct=reading["GPU_utilization"],
                memory_used_bytes=reading["GPU_used_mem"] * _MEBIBYTE,
                memory_total_bytes=reading["GPU_total_mem"] * _MEBIBYTE,
            )
            for reading in gpu_log.values()
        ),
        engine=tuple(
            EngineReading(at_clock, prompt, generation, int(line["num_running"]), int(line["num_pending"]))
            for at_clock, prompt, generation, line in zip(
                clock,
                counter("prompt_throughput"),
                counter("generation_throughput"),
                engine_log,
                strict=True,
            )
        ),
    )


def spool_files(run: Run) -> list[tuple[str, bytes]]:
    """The run as two spool files, the second a rotation of the first: (name, bytes) each.

    Samples cover the time from the engine log's first line to the last NVML reading without a hole; scrapes come every
    5 s and once more at the engine log's end, the first one (all zero) being the baseline of the counters.
    """
    timed = sorted([*_samples(run), *_scrapes(run)], key=lambda pair: pair[0])
    half = len(timed) // 2
    seq = 0
    files: list[tuple[str, bytes]] = []
    for number, part in enumerate((timed[:half], timed[half:])):
        lines: list[bytes] = []
        for at_ms, record in [*((part[0][0], record) for record in _opening(run)), *part]:
            at = run.started_at + timedelta(milliseconds=at_ms)
            lines.append(encode_record(record, seq=seq, at=at, mono_ms=at_ms))
            seq += 1
        files.append((f"{run.name}-{number}.spool.jsonl", b"".join(lines)))
    return files


def _opening(run: Run) -> list[Record]:
    return [
        Header(
            host=run.host,
            boot_id=f"boot-{run.name}",
            agent_start_id=f"start-{run.name}",
            agent_version="recorded",
            provider_resource_id=run.provider_resource_id,
        ),
        Gpu(gpu_uuid=run.gpu_uuid, gpu_index=0, memory_total_bytes=run.gpu[0].memory_total_bytes),
    ]


def _milliseconds(run: Run, clock_seconds: float) -> int:
    return round((clock_seconds - run.engine[0].clock_seconds) * 1000)


def _samples(run: Run) -> list[tuple[int, Record]]:
    ends = [_milliseconds(run, reading.clock_seconds) for reading in run.gpu]
    return [
        (
            end,
            Sample(
                interval_ms=end - start,
                gpu_uuid=run.gpu_uuid,
                util_gpu_pct=reading.util_gpu_pct,
                memory_used_bytes=reading.memory_used_bytes,
                health="ok",
                samples_lost=0,
            ),
        )
        for start, end, reading in zip([0, *ends], ends, run.gpu, strict=False)
    ]


def _scrapes(run: Run) -> list[tuple[int, Record]]:
    clock = [reading.clock_seconds for reading in run.engine]
    length = clock[-1] - clock[0]
    moments = [step * _SCRAPE_SECONDS for step in range(int(length / _SCRAPE_SECONDS) + 1)] + [length]
    scrapes: list[tuple[int, Record]] = []
    previous_ms = 0
    for moment in moments:
        index = len(clock) - 1 if moment == length else bisect_right(clock, clock[0] + moment) - 1
        reading = run.engine[index]
        is_silent = clock[min(index + 1, len(clock) - 1)] - reading.clock_seconds > _SILENCE_SECONDS
        at_ms = round(moment * 1000)
        scrape = Scrape(
            interval_ms=at_ms - previous_ms,
            target="http://127.0.0.1:8000/metrics",
            replica_id=f"replica-{run.name}",
            gpu_uuids=(run.gpu_uuid,),
            gpu_method="declared",
            http_status=200,
            body=_body(run, reading, is_silent=is_silent),
        )
        scrapes.append((at_ms, scrape))
        previous_ms = at_ms
    return scrapes


def _body(run: Run, reading: EngineReading, *, is_silent: bool) -> str:
    """The answer of a vLLM of that time (V0: no label `engine`)."""
    running = 0 if is_silent else reading.requests_running
    families = [
        ("process_start_time_seconds", "gauge", "Start time of the process.", run.started_at.timestamp() - 60),
        ("vllm:num_requests_running", "gauge", "Requests running on GPU.", running),
        ("vllm:num_requests_waiting", "gauge", "Requests waiting to be processed.", reading.requests_waiting),
        ("vllm:prompt_tokens_total", "counter", "Prefill tokens processed.", reading.prompt_tokens),
        (
            "vllm:generation_tokens_total",
            "counter",
            "Number of generation tokens processed.",
            reading.generation_tokens,
        ),
    ]
    labels = f'{{model_name="{MODEL}"}}'
    return "".join(
        f"# HELP {name} {told}\n# TYPE {name} {kind}\n"
        f"{name}{labels if name.startswith('vllm:') else ''} {float(value)!r}\n"
        for name, kind, told, value in families
    )
