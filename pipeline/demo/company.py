"""The made-up company: names, dates, prices and magnitudes. Everything here is invented, and says so by its name.

The arithmetic behind the magnitudes (economics of one day, US dollars)
- Price of support-chat's API mix (per 1M tokens: 0.40 uncached, 0.40 cache read, 0.04 cache write 5m, 0.16 output) at
  claude-haiku-4-5's list: 0.40 x 1.00 + 0.40 x 0.10 + 0.04 x 1.25 + 0.16 x 5.00 = 1.29; less the 10% contract: 1.161.
- One chat-llama replica: 2 GPUs x 24 h x 2.69 = 129.12 a day. Itemised overhead: 600 a month = 19.35 (31-day month).
- First crossing with one replica: (129.12 + 19.35) / 1.161 = 127.9M tokens a day. Alert threshold 1.10 x that = 140.7M.
- Capacity of that replica: 0.44M / 9,000 + 0.40M / 90,000 + 0.16M / 2,200 = 126.1 replica-seconds per 1M tokens; of
  86,400 x 0.85 replica-seconds a day it can do 582M. Full-replica margin 1.161 x 582 - 148.47 = +527: there is one.
- Demand 88M tokens a day growing by 1.8% a day: level 127.9M on day 21, so the trailing 7-day mean (which lags 3 days)
  crosses about 2026-10-24 and passes 1.10 about 2026-10-29; it is near 1.4 at the end.
- internal-search: (129.12 + 9.68) / 1.33 (list, its own mix) = 104M a day needed, 12M served: ratio 0.1.
- coding-assistant on claude-sonnet-4-6: its mix lists at 2.415, less 10% = 2.17; (129.12 + 19.35) / 2.17 = 68M needed,
  6M used: ratio below 0.1.
- document-batch: the owned node is 90.00 + 15.00 + 12.7008 = 117.70 a day in October for 4 replicas; at list 1.80 per
  1M a first replica (29.43 + 6.45 a day) breaks even at 20M tokens a day; it serves about 190M.
- ticket-triage: one L4 under a savings plan at 0.5232 an hour, one at 0.72 EUR (about 0.86): 16.6 a replica-day and 4
  of overhead; its mix lists at 0.906 per 1M: 23M a day needed, 40M served, and one replica could do all of it.
- mail-sorting on gpt-5-mini (demo-openai, at list; per 1M: 0.25 uncached, 0.025 cached, 2.00 output): 9M live tokens a
  weekday at 0.45 x 0.25 + 0.25 x 0.025 + 0.30 x 2.00 = 0.719, 5M at night in a batch job at half of
  0.65 x 0.25 + 0.35 x 2.00 = 0.863; together 0.616. (129.12 + 10) / 0.616 = 226M a day needed: ratio below 0.1.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

FIRST_DAY = date(2026, 10, 1)
LAST_DAY = date(2026, 11, 14)
AS_OF = datetime(2026, 11, 15, 6, tzinfo=UTC)
SEED = 20261001

DAYS: tuple[date, ...] = tuple(FIRST_DAY + timedelta(days=offset) for offset in range((LAST_DAY - FIRST_DAY).days + 1))

API_ACCOUNT = "demo-org"
LABS_ACCOUNT = "demo-labs"
GPU_CLOUD = "demo-gpu-cloud"
BASEMENT = "demo-basement"
FLEET = "demo-fleet"
AWS = "demo-aws"
NORD = "demo-nord-gpu"

SUPPORT_WORKSPACE = "wrkspc_01DemoSupport"
CODING_WORKSPACE = "wrkspc_01DemoCoding"
SUPPORT_WEB_KEY = "apikey_01DemoSupportWeb"
SUPPORT_MOBILE_KEY = "apikey_01DemoSupportMobile"
CODING_KEY = "apikey_01DemoCodingEditors"
PRIORITY_KEY = "apikey_01DemoAdhoc"

HAIKU = "claude-haiku-4-5"
SONNET = "claude-sonnet-4-6"
DISPLAY_NAMES = {HAIKU: "Claude Haiku 4.5", SONNET: "Claude Sonnet 4.6"}
INFERENCE_GEO = {HAIKU: "not_available", SONNET: "global"}

# List price in US cents per 1M tokens, as published; read in genai-prices 0.2.3 on 2026-11-21.
LIST_PRICE_CENTS_PER_MTOK: dict[str, dict[str, int]] = {
    HAIKU: {"input_uncached": 100, "input_cache_read": 10, "input_cache_write_5m": 125, "output": 500},
    SONNET: {"input_uncached": 300, "input_cache_read": 30, "input_cache_write_5m": 375, "output": 1500},
}
WEB_SEARCH_LIST_CENTS = 1  # 10 dollars per 1,000 searches
CONTRACT_PERCENT_OF_LIST = 90  # demo-org's negotiated discount: 10%

TOKEN_CLASSES = ("input_uncached", "input_cache_read", "input_cache_write_5m", "output")

GPU_HOUR_RATE_CENTS = 269
RESTATED_DAY = date(2026, 11, 3)


@dataclass(frozen=True)
class GpuKind:
    """What NVML says of a GPU that does not change."""

    name: str
    memory_total_bytes: int
    is_mig: bool = False


H100 = GpuKind(name="NVIDIA H100 80GB HBM3", memory_total_bytes=85_520_809_984)
H100_IN_MIG = GpuKind(name=H100.name, memory_total_bytes=H100.memory_total_bytes, is_mig=True)
L4 = GpuKind(name="NVIDIA L4", memory_total_bytes=24_152_899_584)


@dataclass(frozen=True)
class Gpu:
    """One GPU of the demo fleet. `index` is its place in the host."""

    uuid: str
    index: int
    pci_bus_id: str


@dataclass(frozen=True)
class Host:
    """One node: four H100s, or a single GPU, which is watched less often. It was there in [from_at, to_at), or always
    where neither is said.
    """

    name: str
    resource_id: str | None
    boot_id: str
    agent_start_id: str
    gpus: tuple[Gpu, ...]
    kind: GpuKind
    sample_minutes: int
    scrape_minutes: int
    booted_at: datetime
    from_at: datetime | None = None
    to_at: datetime | None = None

    def is_there(self, at: datetime) -> bool:
        return (self.from_at is None or at >= self.from_at) and (self.to_at is None or at < self.to_at)


@dataclass(frozen=True)
class Replica:
    """One copy of a model on some GPUs of one host."""

    replica_id: str
    deployment: str
    workload: str
    model: str
    host: str
    gpu_indexes: tuple[int, ...]
    port: int
    process_started_at: datetime


def _host(
    *,
    number: int,
    name: str,
    resource_id: str | None,
    kind: GpuKind = H100,
    gpu_count: int = 4,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
) -> Host:
    gpus = tuple(
        Gpu(
            uuid=f"GPU-de300000-000{number}-4000-8000-00000000000{index}",
            index=index,
            pci_bus_id=f"00000000:{0x19 + 0x10 * index:02X}:00.0",
        )
        for index in range(gpu_count)
    )
    return Host(
        name=name,
        resource_id=resource_id,
        boot_id=f"de300000-b007-4000-8000-00000000000{number}",
        agent_start_id=f"de300000-a6e7-4000-8000-0000000000{number}1",
        gpus=gpus,
        kind=kind,
        sample_minutes=1 if kind is H100 else 5,
        scrape_minutes=5 if kind is H100 else 15,
        booted_at=from_at or datetime(2026, 9, 28, 6, number, tzinfo=UTC),
        from_at=from_at,
        to_at=to_at,
    )


NODE_1 = _host(number=1, name="demo-h100-1", resource_id="i-demo-h100-1")
NODE_2 = _host(number=2, name="demo-h100-2", resource_id="i-demo-h100-2")
NODE_3 = _host(number=3, name="demo-basement-1", resource_id=None)
NODE_4 = _host(number=4, name="demo-l4-1", resource_id="i-0de3000000000004a", kind=L4, gpu_count=1)
NODE_5 = _host(number=5, name="demo-l4-2", resource_id=None, kind=L4, gpu_count=1)
# A GPU in two MIG slices that notebooks work on in office hours, and a fine-tuning run on spot: the provider takes its
# instance back in the middle of a day, and an hour later another one, on another GPU, goes on.
MIG_NODE = _host(number=6, name="demo-mig-1", resource_id="i-demo-mig-1", kind=H100_IN_MIG, gpu_count=1)
SPOT_FROM_AT, SPOT_INTERRUPTED_AT = datetime(2026, 10, 6, tzinfo=UTC), datetime(2026, 10, 8, 14, tzinfo=UTC)
SPOT_RESUMED_AT, SPOT_TO_AT = datetime(2026, 10, 8, 15, tzinfo=UTC), datetime(2026, 10, 10, tzinfo=UTC)
SPOT_1 = _host(
    number=7,
    name="demo-spot-1",
    resource_id="i-demo-spot-1",
    kind=L4,
    gpu_count=1,
    from_at=SPOT_FROM_AT,
    to_at=SPOT_INTERRUPTED_AT,
)
SPOT_2 = _host(
    number=8,
    name="demo-spot-2",
    resource_id="i-demo-spot-2",
    kind=L4,
    gpu_count=1,
    from_at=SPOT_RESUMED_AT,
    to_at=SPOT_TO_AT,
)
SPOT_HOUR_RATE_CENTS = 31
HOSTS = (NODE_1, NODE_2, NODE_3, NODE_4, NODE_5, MIG_NODE, SPOT_1, SPOT_2)
OWNED_ASSET = "asset-demo-basement-1"
NORD_SERVER = "ng-l4-0017"

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"
QWEN = "Qwen/Qwen3-32B"
GEMMA = "google/gemma-3-27b-it"
SMALL_LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def _replica(
    *, deployment: str, workload: str, model: str, host: Host, number: int, gpu_indexes: tuple[int, ...]
) -> Replica:
    return Replica(
        replica_id=f"{deployment}-{number}",
        deployment=deployment,
        workload=workload,
        model=model,
        host=host.name,
        gpu_indexes=gpu_indexes,
        port=8000 + number,
        process_started_at=host.booted_at + timedelta(hours=2, minutes=number),
    )


REPLICAS: tuple[Replica, ...] = (
    *(
        _replica(
            deployment="chat-llama",
            workload="support-chat",
            model=LLAMA,
            host=NODE_1,
            number=number,
            gpu_indexes=(2 * number - 2, 2 * number - 1),
        )
        for number in (1, 2)
    ),
    *(
        _replica(
            deployment="search-qwen",
            workload="internal-search",
            model=QWEN,
            host=NODE_2,
            number=number,
            gpu_indexes=(2 * number - 2, 2 * number - 1),
        )
        for number in (1, 2)
    ),
    *(
        _replica(
            deployment="batch-gemma",
            workload="document-batch",
            model=GEMMA,
            host=NODE_3,
            number=number,
            gpu_indexes=(number - 1,),
        )
        for number in (1, 2, 3, 4)
    ),
    *(
        _replica(
            deployment="triage-llama",
            workload="ticket-triage",
            model=SMALL_LLAMA,
            host=host,
            number=number,
            gpu_indexes=(0,),
        )
        for number, host in ((1, NODE_4), (2, NODE_5))
    ),
)


@dataclass(frozen=True)
class Outage:
    """A replica that did not serve in [from_at, ready_at). Its new process runs from `process_started_at`."""

    replica_id: str
    from_at: datetime
    process_started_at: datetime
    ready_at: datetime
    reason: str
    is_scraped: bool = True


def _at(month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


OUTAGES = (
    Outage(
        replica_id="chat-llama-1",
        from_at=_at(10, 19, 10),
        process_started_at=_at(10, 19, 10),
        ready_at=_at(10, 19, 10, 10),
        reason="engine_restarted",
    ),
    Outage(
        replica_id="search-qwen-2",
        from_at=_at(10, 26),
        process_started_at=_at(11, 2),
        ready_at=_at(11, 2, 0, 10),
        reason="replica_stopped",
        is_scraped=False,
    ),
    Outage(
        replica_id="batch-gemma-3",
        from_at=_at(11, 2, 3),
        process_started_at=_at(11, 2, 8),
        ready_at=_at(11, 2, 8, 10),
        reason="gpu_is_lost",
    ),
)

# While search-qwen-2 was stopped: a notebook on one of its two GPUs, nothing on the other.
NOTEBOOK_GPU = NODE_2.gpus[2]
UNALLOCATED_GPU = NODE_2.gpus[3]

LOST_GPU = NODE_3.gpus[2]
LOST_FROM_AT, LOST_TO_AT = _at(11, 2, 3), _at(11, 2, 8)

GAP_HOST = NODE_2.name
GAP_FROM_AT, GAP_TO_AT = _at(10, 22, 13), _at(10, 22, 16)

AGENT_UPGRADE_HOST = NODE_3.name
AGENT_UPGRADE_DAY = date(2026, 10, 29)

DUPLICATE_HOST, DUPLICATE_DAY = NODE_1.name, date(2026, 10, 20)
TORN_HOST, TORN_DAY = NODE_3.name, date(2026, 11, 5)
TORN_GPU = NODE_3.gpus[3]
