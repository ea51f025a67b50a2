"""Spool files (breakeven.spool/1) of eight hosts: GPU samples every minute, engine scrapes every five; of the small
hosts samples every five, scrapes every fifteen. Three of them have no engine: a GPU in MIG slices, and two on spot.

One file per host and UTC day. A record belongs to the day its interval starts in, so the record of the last interval
carries the next day's midnight. Every interval edge, outage and gap lies on a five-minute mark, so that the truth is
countable by hand. Counters lose nothing: engines stop right after a scrape.
"""

import json
import random
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from pipeline.demo import company, traffic
from pipeline.demo.company import H100, H100_IN_MIG, L4, Gpu, GpuKind, Host, Outage, Replica
from pipeline.demo.traffic import INTERVALS_PER_DAY, NOTHING, Served
from pipeline.demo.truth import GpuTime, TokenTotal

_INTERVAL_MS = 300_000
_SAMPLE_MS = 60_000
_SAMPLES_PER_INTERVAL = 5
_UNSEEN_MILLIWATTS = 131_000  # energy counters go on while nobody reads them
# Instance, compute slices of seven, multiprocessors: the halves of an H100 that its memory allows.
_MIG_SLICES = ((1, 4, 60), (2, 3, 46))
_SLICE_BYTES = 42_144_366_592
_READINGS = 251  # prime, so that hosts and days do not repeat in step

SERVING, LOADED_IDLE, STARTING = "serving", "loaded_idle", "starting"
HELD_OTHER, UNALLOCATED, UNHEALTHY, UNOBSERVED = "held_other", "unallocated", "unhealthy", "unobserved"


@dataclass(frozen=True)
class SpoolFile:
    """One file as an agent would have shipped it."""

    name: str
    content: bytes


@dataclass
class _Engine:
    """One replica's process: its counters since it started."""

    replica: Replica
    started_at: datetime
    prompt: int
    cached: int
    generated: int
    requests: int

    def restart(self, *, at: datetime) -> None:
        self.started_at = at
        self.prompt = self.cached = self.generated = self.requests = 0

    def serve(self, served: Served) -> None:
        self.prompt += served.prompt
        self.cached += served.cached
        self.generated += served.generated
        self.requests += served.requests


@dataclass
class _Agent:
    """One host's agent: its sequence numbers, its GPUs' energy counters."""

    host: Host
    start_id: str
    version: str
    sequence: int = 0
    energy: dict[int, int] = field(default_factory=dict)


@dataclass
class FleetTruth:
    """Collected while the files are made."""

    gpu_milliseconds: dict[tuple[date, str, str, str | None, str], int] = field(
        default_factory=lambda: defaultdict(int)
    )
    tokens: dict[tuple[date, str, str, str, str], int] = field(default_factory=lambda: defaultdict(int))

    def gpu_time(self) -> tuple[GpuTime, ...]:
        return tuple(
            GpuTime(*key, gpu_milliseconds=value)
            for key, value in sorted(self.gpu_milliseconds.items(), key=lambda item: tuple(map(str, item[0])))
            if value
        )

    def token_totals(self) -> tuple[TokenTotal, ...]:
        return tuple(
            TokenTotal(
                usage_date=day,
                lane="self_host",
                account=None,
                deployment=deployment,
                workload=workload,
                model=model,
                token_class=token_class,
                service_tier=None,
                tokens=tokens,
            )
            for (day, deployment, workload, model, token_class), tokens in sorted(self.tokens.items())
        )


def spool_files(truth: FleetTruth) -> Iterator[SpoolFile]:
    """Every file, one at a time, host by host and day by day; adds what is true of it to `truth`."""
    for host in company.HOSTS:
        agent = _Agent(host=host, start_id=host.agent_start_id, version="0.1.0")
        agent.energy = {gpu.index: 400_000_000_000 + gpu.index * 7_000_000_000 for gpu in host.gpus}
        engines = [_running_engine(replica) for replica in company.REPLICAS if replica.host == host.name]
        for day in company.DAYS:
            if not any(host.is_there(start) for start in _interval_starts(day)):
                continue
            if host.name == company.AGENT_UPGRADE_HOST and day == company.AGENT_UPGRADE_DAY:
                agent.start_id, agent.version, agent.sequence = agent.start_id[:-1] + "2", "0.1.1", 0
            lines = _day_lines(agent, engines, day=day, truth=truth)
            yield from _as_files(host, day=day, lines=lines)


def _running_engine(replica: Replica) -> _Engine:
    """An engine that had been serving since before the first day, so its counters do not start at zero."""
    number = int(replica.replica_id.rsplit("-", 1)[1])
    return _Engine(
        replica=replica,
        started_at=replica.process_started_at,
        prompt=9_000_000 + 1_234 * number,
        cached=3_000_000 + 567 * number if replica.deployment != "batch-gemma" else 0,
        generated=1_700_000 + 89 * number,
        requests=4_200 + number,
    )


def _as_files(host: Host, *, day: date, lines: Sequence[str]) -> list[SpoolFile]:
    """The day's file; torn or shipped twice where the story says so."""
    content = "".join(lines)
    is_torn = host.name == company.TORN_HOST and day == company.TORN_DAY
    if is_torn:
        content = content[:-120]  # inside the last record, a sample of the torn GPU
    shipped = datetime.combine(traffic.next_day(day), time(0, 5), tzinfo=UTC).strftime("%Y%m%dT%H%M%SZ")
    stem = f"{host.name}_{day.isoformat()}_{shipped}"
    packed = _gzip(content.encode())
    files = [SpoolFile(name=f"{stem}.jsonl.gz", content=packed)]
    if host.name == company.DUPLICATE_HOST and day == company.DUPLICATE_DAY:
        files.append(SpoolFile(name=f"{stem}.retry.jsonl.gz", content=packed))
    return files


def _gzip(content: bytes) -> bytes:
    """gzip without a name and with time zero: the same bytes every time."""
    packer = zlib.compressobj(level=1, method=zlib.DEFLATED, wbits=31)
    return packer.compress(content) + packer.flush()


# --- one host's day -----------------------------------------------------------------------------------------------


def _day_lines(agent: _Agent, engines: Sequence[_Engine], *, day: date, truth: FleetTruth) -> list[str]:
    host = agent.host
    midnight = datetime.combine(day, time.min, tzinfo=UTC)
    stamps = _stamps(host, midnight)
    opened = next(number for number, start in enumerate(_interval_starts(day)) if host.is_there(start))
    lines = _opening_lines(agent, stamps[opened * _SAMPLES_PER_INTERVAL])
    if day == company.FIRST_DAY:
        lines.extend(_scrape_line(agent, engine, at=stamps[0], interval_ms=0, is_busy=False) for engine in engines)
    plans = {engine.replica.replica_id: _plan(engine.replica, day=day) for engine in engines}
    sample_heads = {
        gpu.index: f',"interval_ms":{_sample_ms(host)},"gpu_uuid":"{gpu.uuid}","energy_millijoules":'
        for gpu in host.gpus
    }
    for interval in range(INTERVALS_PER_DAY):
        start = midnight + timedelta(milliseconds=interval * _INTERVAL_MS)
        if not host.is_there(start):
            continue
        states = _gpu_states(engines, host, interval=interval, start=start, plans=plans)
        for gpu in host.gpus:
            deployment, state = states[gpu.index]
            truth.gpu_milliseconds[day, host.name, gpu.uuid, deployment, state] += _INTERVAL_MS
        _advance_engines(engines, day=day, interval=interval, start=start, plans=plans, truth=truth)
        if _is_in_gap(host, start):
            for gpu in host.gpus:
                agent.energy[gpu.index] += _UNSEEN_MILLIWATTS * _INTERVAL_MS // 1000
            continue
        if host.name == company.GAP_HOST and start == company.GAP_TO_AT:
            lines.append(_gap_line(agent, at=stamps[interval * _SAMPLES_PER_INTERVAL]))
        for minute in range(interval * _SAMPLES_PER_INTERVAL + 1, (interval + 1) * _SAMPLES_PER_INTERVAL + 1):
            if minute % host.scrape_minutes == 0:
                lines.extend(
                    _scrape_lines(agent, engines, interval=interval, start=start, at=stamps[minute], plans=plans)
                )
            if minute % host.sample_minutes == 0:
                _add_samples(lines, agent, sample_heads, at=stamps[minute], minute=minute, day=day, states=states)
    if host.name == company.TORN_HOST and day == company.TORN_DAY:
        deployment, state = states[company.TORN_GPU.index]
        truth.gpu_milliseconds[day, host.name, company.TORN_GPU.uuid, deployment, state] -= _SAMPLE_MS
        truth.gpu_milliseconds[day, host.name, company.TORN_GPU.uuid, deployment, UNOBSERVED] += _SAMPLE_MS
    return lines


def _interval_starts(day: date) -> Iterator[datetime]:
    midnight = datetime.combine(day, time.min, tzinfo=UTC)
    return (midnight + timedelta(milliseconds=interval * _INTERVAL_MS) for interval in range(INTERVALS_PER_DAY))


@dataclass(frozen=True)
class _Plan:
    """One replica's day: what it serves in each interval (nothing while it is out), and the outage it is in."""

    served: tuple[Served, ...]
    outages: tuple[Outage | None, ...]


def _plan(replica: Replica, *, day: date) -> _Plan:
    midnight = datetime.combine(day, time.min, tzinfo=UTC)
    served = traffic.served_by(replica, day=day)
    outages: list[Outage | None] = [None] * INTERVALS_PER_DAY
    for outage in company.OUTAGES:
        if outage.replica_id != replica.replica_id:
            continue
        for interval in range(INTERVALS_PER_DAY):
            start = midnight + timedelta(milliseconds=interval * _INTERVAL_MS)
            if outage.from_at <= start < outage.ready_at:
                served[interval], outages[interval] = NOTHING, outage
    return _Plan(served=tuple(served), outages=tuple(outages))


def _advance_engines(
    engines: Sequence[_Engine],
    *,
    day: date,
    interval: int,
    start: datetime,
    plans: dict[str, _Plan],
    truth: FleetTruth,
) -> None:
    for engine in engines:
        plan = plans[engine.replica.replica_id]
        outage, served = plan.outages[interval], plan.served[interval]
        if outage is not None and start == outage.process_started_at:
            engine.restart(at=outage.process_started_at)
        if served is NOTHING:
            continue
        engine.serve(served)
        replica = engine.replica
        key = (day, replica.deployment, replica.workload, replica.model)
        truth.tokens[*key, "input_uncached"] += served.prompt - served.cached
        truth.tokens[*key, "output"] += served.generated
        if served.cached:
            truth.tokens[*key, "input_cache_read"] += served.cached


def _gpu_states(
    engines: Sequence[_Engine], host: Host, *, interval: int, start: datetime, plans: dict[str, _Plan]
) -> dict[int, tuple[str | None, str]]:
    """(deployment that holds it, state) of each GPU, by index."""
    is_unobserved = _is_in_gap(host, start)
    if not engines:
        return {gpu.index: (None, _state_without_engine(host, start)) for gpu in host.gpus}
    states: dict[int, tuple[str | None, str]] = {}
    for engine in engines:
        replica = engine.replica
        plan = plans[replica.replica_id]
        for index in replica.gpu_indexes:
            state = _gpu_state(host.gpus[index], plan, interval=interval, start=start)
            deployment = None if state in (HELD_OTHER, UNALLOCATED) else replica.deployment
            states[index] = (deployment, UNOBSERVED if is_unobserved else state)
    return states


def _state_without_engine(host: Host, start: datetime) -> str:
    """Notebooks are open from eight to six on working days; a run on spot begins ten minutes after its instance."""
    if host.from_at is not None:
        return UNALLOCATED if start < host.from_at + timedelta(minutes=10) else HELD_OTHER
    return HELD_OTHER if start.weekday() < 5 and 8 <= start.hour < 18 else UNALLOCATED


def _gpu_state(gpu: Gpu, plan: _Plan, *, interval: int, start: datetime) -> str:
    outage = plan.outages[interval]
    if outage is None:
        return LOADED_IDLE if plan.served[interval] is NOTHING else SERVING
    if start >= outage.process_started_at:
        return STARTING
    if gpu == company.LOST_GPU:
        return UNHEALTHY
    return HELD_OTHER if gpu == company.NOTEBOOK_GPU else UNALLOCATED


def _is_in_gap(host: Host, start: datetime) -> bool:
    return host.name == company.GAP_HOST and company.GAP_FROM_AT <= start < company.GAP_TO_AT


# --- lines --------------------------------------------------------------------------------------------------------


def _stamps(host: Host, midnight: datetime) -> list[str]:
    """`,"at":...,"mono_ms":...` of every minute of the day, the next midnight included."""
    day, following = midnight.date().isoformat(), traffic.next_day(midnight.date()).isoformat()
    mono_ms = (midnight - host.booted_at) // timedelta(milliseconds=1)
    stamps = [
        f',"at":"{day}T{minute // 60:02d}:{minute % 60:02d}:00.000Z","mono_ms":{mono_ms + minute * _SAMPLE_MS}'
        for minute in range(1440)
    ]
    stamps.append(f',"at":"{following}T00:00:00.000Z","mono_ms":{mono_ms + 1440 * _SAMPLE_MS}')
    return stamps


def _sample_ms(host: Host) -> int:
    return host.sample_minutes * _SAMPLE_MS


def _scrape_ms(host: Host) -> int:
    return host.scrape_minutes * 60_000


def _next(agent: _Agent) -> int:
    sequence = agent.sequence
    agent.sequence += 1
    return sequence


def _opening_lines(agent: _Agent, at: str) -> list[str]:
    host = agent.host
    resource = "" if host.resource_id is None else f',"provider_resource_id":"{host.resource_id}"'
    mig = f'"mig_mode":"enabled","mig_slice_count":{len(_MIG_SLICES)}' if host.kind.is_mig else '"mig_mode":"disabled"'
    lines = [
        f'{{"record":"header","seq":{_next(agent)}{at},"schema":"breakeven.spool/1","host":"{host.name}",'
        f'"boot_id":"{host.boot_id}","agent_start_id":"{agent.start_id}","agent_version":"{agent.version}"{resource}}}\n'
    ]
    lines.extend(
        f'{{"record":"gpu","seq":{_next(agent)}{at},"gpu_uuid":"{gpu.uuid}","pci_bus_id":"{gpu.pci_bus_id}",'
        f'"gpu_index":{gpu.index},"name":"{host.kind.name}","memory_total_bytes":{host.kind.memory_total_bytes},'
        f'"driver_version":"580.95.05",{mig}}}\n'
        for gpu in host.gpus
    )
    if host.kind.is_mig:
        lines.extend(
            f'{{"record":"mig_slice","seq":{_next(agent)}{at},"gpu_uuid":"{gpu.uuid}","slice_uuid":"MIG-{gpu.uuid[4:]}-'
            f'{instance}","gpu_instance_id":{instance},"slice_count":{slices},"of_slice_count":7,'
            f'"multiprocessor_count":{processors},"memory_bytes":{_SLICE_BYTES}}}\n'
            for gpu in host.gpus
            for instance, slices, processors in _MIG_SLICES
        )
    return lines


def _gap_line(agent: _Agent, *, at: str) -> str:
    length_ms = (company.GAP_TO_AT - company.GAP_FROM_AT) // timedelta(milliseconds=1)
    return f'{{"record":"gap","seq":{_next(agent)}{at},"interval_ms":{length_ms},"reason":"sampler did not answer"}}\n'


def _add_samples(
    lines: list[str],
    agent: _Agent,
    heads: dict[int, str],
    *,
    at: str,
    minute: int,
    day: date,
    states: dict[int, tuple[str | None, str]],
) -> None:
    energy, tables = agent.energy, _TABLES[agent.host.kind]
    offset, seconds = minute * 7 + day.toordinal() * 31, _sample_ms(agent.host) // 1000
    for index, head in heads.items():
        state = states[index][1]
        if state == UNHEALTHY:
            energy[index] = 0  # the counter starts anew when the driver has the GPU back
            uuid = agent.host.gpus[index].uuid
            lines.append(
                f'{{"record":"sample","seq":{agent.sequence}{at},"interval_ms":{_sample_ms(agent.host)},"gpu_uuid":"{uuid}",'
                '"health":"gpu_is_lost","samples_lost":0}\n'
            )
        else:
            milliwatts, tail = tables[state][(offset + index * 61) % _READINGS]
            energy[index] += milliwatts * seconds
            lines.append(f'{{"record":"sample","seq":{agent.sequence}{at}{head}{energy[index]}{tail}')
        agent.sequence += 1


def _scrape_lines(
    agent: _Agent,
    engines: Sequence[_Engine],
    *,
    interval: int,
    start: datetime,
    at: str,
    plans: dict[str, _Plan],
) -> Iterator[str]:
    for engine in engines:
        plan = plans[engine.replica.replica_id]
        outage = plan.outages[interval]
        if outage is None:
            following = plan.served[interval + 1] if interval + 1 < INTERVALS_PER_DAY else NOTHING
            is_busy = plan.served[interval] is not NOTHING and following is not NOTHING
            yield _scrape_line(agent, engine, at=at, interval_ms=_scrape_ms(agent.host), is_busy=is_busy)
        elif outage.is_scraped or start >= outage.process_started_at:
            yield _failed_scrape_line(agent, engine, at=at)


def _target_fields(agent: _Agent, replica: Replica) -> str:
    uuids = ",".join(f'"{agent.host.gpus[index].uuid}"' for index in replica.gpu_indexes)
    method = "declared" if agent.host.resource_id is None else "compute_pids"
    return (
        f'"target":"http://127.0.0.1:{replica.port}/metrics","replica_id":"{replica.replica_id}","engine":"vllm",'
        f'"engine_version":"0.11.0","gpu_uuids":[{uuids}],"gpu_method":"{method}"'
    )


def _scrape_line(agent: _Agent, engine: _Engine, *, at: str, interval_ms: int, is_busy: bool) -> str:
    sequence = _next(agent)
    running = 1 + engine.requests % 23 if is_busy else 0
    body = _BODY[engine.replica.model] % (
        _go_float(running),
        _go_float(1 if is_busy and running > 20 else 0),
        f"0.0{running:02d}" if running else "0.0",
        _go_float(engine.prompt),
        _go_float(engine.prompt - engine.cached),
        _go_float(engine.cached),
        _go_float(engine.cached),
        _go_float(engine.generated),
        _go_float(engine.requests - engine.requests // 40),
        _go_float(engine.requests // 40),
        _go_float(int(engine.started_at.timestamp())),
    )
    return (
        f'{{"record":"scrape","seq":{sequence}{at},"interval_ms":{interval_ms},{_target_fields(agent, engine.replica)},'
        f'"http_status":200,"duration_ms":{3 + sequence % 5},"body":"{body}"}}\n'
    )


def _failed_scrape_line(agent: _Agent, engine: _Engine, *, at: str) -> str:
    return (
        f'{{"record":"scrape","seq":{_next(agent)}{at},"interval_ms":{_scrape_ms(agent.host)},'
        f'{_target_fields(agent, engine.replica)},"duration_ms":1,"error":"connection refused"}}\n'
    )


def _go_float(value: int) -> str:
    """A non-negative integer as prometheus_client prints a float: `42.0`, and from a million on `1.234567e+06`."""
    digits = str(value)
    if len(digits) <= 6:
        return digits + ".0"
    fraction = digits[1:].rstrip("0")
    return f"{digits[0]}{'.' + fraction if fraction else ''}e+0{len(digits) - 1}"


def _body_template(model: str) -> str:
    """A vLLM V1 exposition (0.11), shortened to the series that matter, as the inside of a JSON string."""
    labels = f'engine="0",model_name="{model}"'
    caching = "False" if model == company.GEMMA else "True"
    text = f"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{{labels}}} %s
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{{labels}}} %s
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{{labels}}} %s
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{{labels}}} %s
# TYPE vllm:prompt_tokens_by_source_total counter
vllm:prompt_tokens_by_source_total{{{labels},source="local_compute"}} %s
vllm:prompt_tokens_by_source_total{{{labels},source="local_cache_hit"}} %s
# TYPE vllm:prompt_tokens_cached_total counter
vllm:prompt_tokens_cached_total{{{labels}}} %s
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{{labels}}} %s
# TYPE vllm:request_success_total counter
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="{model}"}} %s
vllm:request_success_total{{engine="0",finished_reason="length",model_name="{model}"}} %s
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{{block_size="16",enable_prefix_caching="{caching}",engine="0",num_gpu_blocks="40960"}} 1.0
# TYPE process_start_time_seconds gauge
process_start_time_seconds %s
"""
    return json.dumps(text)[1:-1]


_BODY = {model: _body_template(model) for model in (company.LLAMA, company.QWEN, company.GEMMA, company.SMALL_LLAMA)}


@dataclass(frozen=True)
class _Readings:
    """The range a GPU's readings move in while it is in one state. Watts, percent, GB; SM activity in ppm. util None: a
    GPU in MIG has no utilization, only what its slices did.
    """

    watts: tuple[int, int]
    util: tuple[int, int] | None
    memory_gb: tuple[int, int]
    sm_active_ppm: tuple[int, int]
    clocks_event_reasons: int
    process_count: int


_RANGES = {
    SERVING: _Readings(
        watts=(310, 520),
        util=(45, 98),
        memory_gb=(73, 75),
        sm_active_ppm=(90_000, 420_000),
        clocks_event_reasons=0,
        process_count=1,
    ),
    LOADED_IDLE: _Readings(
        watts=(124, 133),
        util=(0, 0),
        memory_gb=(73, 75),
        sm_active_ppm=(0, 0),
        clocks_event_reasons=1,
        process_count=1,
    ),
    STARTING: _Readings(
        watts=(130, 190),
        util=(0, 12),
        memory_gb=(8, 70),
        sm_active_ppm=(0, 20_000),
        clocks_event_reasons=0,
        process_count=1,
    ),
    HELD_OTHER: _Readings(
        watts=(115, 180),
        util=(0, 18),
        memory_gb=(21, 22),
        sm_active_ppm=(0, 40_000),
        clocks_event_reasons=0,
        process_count=1,
    ),
    UNALLOCATED: _Readings(
        watts=(68, 74),
        util=(0, 0),
        memory_gb=(0, 0),
        sm_active_ppm=(0, 0),
        clocks_event_reasons=1,
        process_count=0,
    ),
}
# Of what an L4 does here.
_L4_RANGES = {
    HELD_OTHER: _Readings(
        watts=(58, 72),
        util=(88, 100),
        memory_gb=(17, 21),
        sm_active_ppm=(600_000, 900_000),
        clocks_event_reasons=0,
        process_count=1,
    ),
    UNALLOCATED: _Readings(
        watts=(11, 13),
        util=(0, 0),
        memory_gb=(0, 0),
        sm_active_ppm=(0, 0),
        clocks_event_reasons=1,
        process_count=0,
    ),
    SERVING: _Readings(
        watts=(41, 71),
        util=(38, 97),
        memory_gb=(19, 20),
        sm_active_ppm=(120_000, 510_000),
        clocks_event_reasons=0,
        process_count=1,
    ),
    LOADED_IDLE: _Readings(
        watts=(16, 18),
        util=(0, 0),
        memory_gb=(19, 20),
        sm_active_ppm=(0, 0),
        clocks_event_reasons=1,
        process_count=1,
    ),
}


# Notebooks on both slices of a GPU; what they did is the mean of the slices by their size.
_MIG_RANGES = {
    HELD_OTHER: _Readings(
        watts=(120, 260),
        util=None,
        memory_gb=(18, 44),
        sm_active_ppm=(0, 350_000),
        clocks_event_reasons=0,
        process_count=2,
    ),
    UNALLOCATED: _Readings(
        watts=(70, 76),
        util=None,
        memory_gb=(0, 0),
        sm_active_ppm=(0, 0),
        clocks_event_reasons=1,
        process_count=0,
    ),
}


def _table(name: str, readings: _Readings) -> list[tuple[int, str]]:
    """Prepared ends of sample lines with their power, so that a line costs one concatenation."""
    rng = random.Random(f"{company.SEED}/{name}")
    table = []
    for _ in range(_READINGS):
        milliwatts = rng.randint(readings.watts[0] * 1000, readings.watts[1] * 1000)
        used = ""
        if readings.util is not None:
            util = rng.randint(*readings.util)
            used = f'"util_gpu_pct":{util},"util_memory_pct":{util // 3},'
        memory = rng.randint(*readings.memory_gb) * 10**9 + 4_194_304
        sm_active = rng.randint(*readings.sm_active_ppm)
        table.append(
            (
                milliwatts,
                f',"power_milliwatts":{milliwatts},{used}'
                f'"memory_used_bytes":{memory},"sm_active_ppm":{sm_active},'
                f'"clocks_event_reasons":{readings.clocks_event_reasons},'
                f'"compute_process_count":{readings.process_count},"health":"ok","samples_lost":0}}\n',
            )
        )
    return table


_TABLES: dict[GpuKind, dict[str, list[tuple[int, str]]]] = {
    H100: {name: _table(name, readings) for name, readings in _RANGES.items()},
    L4: {name: _table(f"L4/{name}", readings) for name, readings in _L4_RANGES.items()},
    H100_IN_MIG: {name: _table(f"MIG/{name}", readings) for name, readings in _MIG_RANGES.items()},
}
