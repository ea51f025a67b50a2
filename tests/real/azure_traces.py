"""Two hours of real requests as the spool file of an agent that scraped an engine serving them.

Each trace is a service's requests of one hour: when they came, tokens in, tokens out. The scraped counters at a minute
are the tokens of all requests up to it: what an engine that answered at once would have shown.
"""

import csv
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

from pipeline.formats.spool import Gpu, Header, Record, Sample, Scrape, encode_record

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "traffic" / "azure_llm_2023"
NAMES = {"chat": "AzureLLMInferenceTrace_conv.csv", "code": "AzureLLMInferenceTrace_code.csv"}
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Request:
    at: datetime
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True)
class Trace:
    """One service's requests, by time; it is also the name of its model, host and engine."""

    name: str
    requests: tuple[Request, ...]

    @property
    def first_minute(self) -> datetime:
        """The full minute before the first request: the counters' baseline."""
        return self.requests[0].at.replace(second=0, microsecond=0)

    @property
    def minutes(self) -> list[datetime]:
        """The moments of the scrapes, until every request has been counted."""
        count = (self.requests[-1].at - self.first_minute) // _MINUTE + 2
        return [self.first_minute + number * _MINUTE for number in range(count)]


def load_trace(name: str) -> Trace:
    """One of NAMES, read from the shared folder. Its times name no zone; they are taken as UTC."""
    with (FOLDER / NAMES[name]).open(newline="") as file:
        requests = tuple(
            Request(
                # Seven digits of a second; a datetime holds six.
                at=datetime.fromisoformat(line["TIMESTAMP"][:26]).replace(tzinfo=UTC),
                tokens_in=int(line["ContextTokens"]),
                tokens_out=int(line["GeneratedTokens"]),
            )
            for line in csv.DictReader(file)
        )
    return Trace(name, tuple(sorted(requests, key=lambda request: request.at)))


def spool_file(trace: Trace) -> bytes:
    """The agent's file: a GPU that is busy throughout, and one scrape of the engine a minute."""
    opening = [
        Header(
            host=f"host-{trace.name}",
            boot_id=f"boot-{trace.name}",
            agent_start_id=f"start-{trace.name}",
            agent_version="recorded",
            provider_resource_id=f"resource-{trace.name}",
        ),
        Gpu(gpu_uuid=f"GPU-{trace.name}", gpu_index=0, memory_total_bytes=80 * 2**30),
    ]
    timed = [*((trace.first_minute, record) for record in opening), *_records(trace)]
    return b"".join(
        encode_record(record, seq=seq, at=at, mono_ms=round((at - trace.first_minute).total_seconds() * 1000))
        for seq, (at, record) in enumerate(timed)
    )


def _records(trace: Trace) -> Iterator[tuple[datetime, Record]]:
    came = [request.at for request in trace.requests]
    tokens_in = [0, *accumulate(request.tokens_in for request in trace.requests)]
    tokens_out = [0, *accumulate(request.tokens_out for request in trace.requests)]
    for minute in trace.minutes:
        seen = bisect_right(came, minute)
        if minute != trace.first_minute:
            yield (
                minute,
                Sample(
                    interval_ms=60_000,
                    gpu_uuid=f"GPU-{trace.name}",
                    util_gpu_pct=100,
                    memory_used_bytes=70 * 2**30,
                    health="ok",
                    samples_lost=0,
                ),
            )
        yield (
            minute,
            Scrape(
                interval_ms=0 if minute == trace.first_minute else 60_000,
                target="http://127.0.0.1:8000/metrics",
                replica_id=f"replica-{trace.name}",
                gpu_uuids=(f"GPU-{trace.name}",),
                gpu_method="declared",
                http_status=200,
                body=_body(trace, tokens_in[seen], tokens_out[seen]),
            ),
        )


def _body(trace: Trace, tokens_in: int, tokens_out: int) -> str:
    labels = f'{{model_name="{trace.name}",engine="0"}}'
    started = (trace.first_minute - _MINUTE).timestamp()
    return (
        "# HELP process_start_time_seconds Start time of the process.\n"
        "# TYPE process_start_time_seconds gauge\n"
        f"process_start_time_seconds {started!r}\n"
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
        "# TYPE vllm:num_requests_running gauge\n"
        f"vllm:num_requests_running{labels} 1.0\n"
        "# HELP vllm:num_requests_waiting Number of requests waiting to be processed.\n"
        "# TYPE vllm:num_requests_waiting gauge\n"
        f"vllm:num_requests_waiting{labels} 0.0\n"
        "# HELP vllm:prompt_tokens_total Number of prefill tokens processed.\n"
        "# TYPE vllm:prompt_tokens_total counter\n"
        f"vllm:prompt_tokens_total{labels} {float(tokens_in)!r}\n"
        "# HELP vllm:generation_tokens_total Number of generation tokens processed.\n"
        "# TYPE vllm:generation_tokens_total counter\n"
        f"vllm:generation_tokens_total{labels} {float(tokens_out)!r}\n"
    )
