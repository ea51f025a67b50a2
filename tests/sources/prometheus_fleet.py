"""What a Prometheus holds of a small fleet: vLLM engines and dcgm-exporter, scraped from known truth."""

import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from pipeline.sources.prometheus import DCGM, ENGINES, KUBE, SOURCE, payload_of, pods_expression
from tests.sources.prometheus_api import PrometheusApi, Samples, ms

Series = list[tuple[dict[str, str], Samples]]


@dataclass(frozen=True)
class Engine:
    """One engine process: it serves `per_second` prompt tokens, a quarter of them cached, and half as many generated.

    `quiet_until`, `quiet_from`: it serves between these only. It answers scrapes from `started` to `ended`.
    """

    started: datetime
    ended: datetime
    per_second: int = 20
    quiet_until: datetime | None = None
    quiet_from: datetime | None = None
    model_name: str = "m"
    instance: str = "10.0.0.5:8000"
    pod: str | None = "vllm-0"
    has_start: bool = True

    @property
    def labels(self) -> dict[str, str]:
        in_pod = {} if self.pod is None else {"namespace": "llm", "pod": self.pod, "container": "vllm"}
        return {"job": "vllm", "instance": self.instance, **in_pod}

    def prompt_tokens(self, at_ms: int) -> int:
        begin = max(ms(self.started), ms(self.quiet_until or self.started))
        end = min(at_ms, ms(self.quiet_from or self.ended))
        return max(end - begin, 0) // 1000 * self.per_second

    def series(self, scrapes: Sequence[int], extra: dict[str, str]) -> Series:
        """Its series as scraped at these milliseconds, with further target labels."""
        alive = [at for at in scrapes if ms(self.started) <= at < ms(self.ended)]
        target = self.labels | extra
        own = target | {"model_name": self.model_name, "engine": "0"}

        def counted(name: str, of: Callable[[int], float], **labels: str) -> tuple[dict[str, str], Samples]:
            return {"__name__": name, **own, **labels}, [(at, str(of(at))) for at in alive]

        found = [
            counted("vllm:prompt_tokens_total", self.prompt_tokens),
            counted("vllm:generation_tokens_total", lambda at: self.prompt_tokens(at) // 2),
            counted(
                "vllm:prompt_tokens_by_source_total", lambda at: self.prompt_tokens(at) // 4, source="local_cache_hit"
            ),
            counted("vllm:prompt_tokens_by_source_total", lambda at: 0, source="external_kv_transfer"),
            counted(
                "vllm:prompt_tokens_by_source_total", lambda at: self.prompt_tokens(at) * 3 // 4, source="local_compute"
            ),
            counted("vllm:request_success_total", lambda at: self.prompt_tokens(at) // 100, finished_reason="stop"),
            counted("vllm:request_success_total", lambda at: self.prompt_tokens(at) // 200, finished_reason="length"),
            counted(
                "vllm:num_requests_running", lambda at: int(self.prompt_tokens(at + 1000) > self.prompt_tokens(at))
            ),
            counted("vllm:num_requests_waiting", lambda at: 0),
        ]
        if self.has_start:
            began = self.started.timestamp() + 0.28
            found.append(({"__name__": "process_start_time_seconds", **target}, [(at, f"{began:.2f}") for at in alive]))
        return [one for one in found if one[1]]


@dataclass(frozen=True)
class Gpu:
    """One GPU as dcgm-exporter prints it; `pods`: who holds it (each printed once, as time-slicing has it)."""

    uuid: str
    hostname: str = "node-1"
    instance: str = "10.0.9.1:9400"
    util: int | Callable[[int], float] = 80
    memory_mib: int = 70_000
    pods: tuple[str, ...] = ("vllm-0",)
    honours_labels: bool = False

    def series(self, scrapes: Sequence[int], extra: dict[str, str]) -> Series:
        own = {"job": "dcgm", "instance": self.instance, "UUID": self.uuid, "gpu": "0", "Hostname": self.hostname,
               "modelName": "NVIDIA H100"} | extra  # fmt: skip
        util = self.util if callable(self.util) else lambda at: self.util
        found: Series = []
        for pod in self.pods or (None,):
            prefix = "" if self.honours_labels else "exported_"
            holder = (
                {} if pod is None else {f"{prefix}namespace": "llm", f"{prefix}pod": pod, f"{prefix}container": "vllm"}
            )
            for name, value in (
                ("DCGM_FI_DEV_GPU_UTIL", util),
                ("DCGM_FI_PROF_SM_ACTIVE", lambda at: 0.25 if util(at) else 0),
                ("DCGM_FI_DEV_FB_USED", lambda at: self.memory_mib),
            ):
                found.append(({"__name__": name, **own, **holder}, [(at, str(value(at))) for at in scrapes]))
        return found


@dataclass(frozen=True)
class Pod:
    """A pod as kube-state-metrics prints it. `gpus`: how many it asks for; none: it is no business of ours."""

    name: str = "vllm-0"
    node: str = "node-1"
    uid: str = "0b5a"
    gpus: int = 1
    resource: str = "nvidia_com_gpu"
    created: datetime | None = None
    owner: tuple[str, str] = ("StatefulSet", "vllm")

    def series(self, scrapes: Sequence[int], extra: dict[str, str]) -> Series:
        own = {"job": "kube-state-metrics", "namespace": "llm", "pod": self.name, "uid": self.uid} | extra
        info = {"node": self.node, "host_ip": "10.0.9.1", "created_by_kind": self.owner[0],
                "created_by_name": self.owner[1]}  # fmt: skip
        made = "" if self.created is None else f"{self.created.timestamp():.15g}"
        asked = [("cpu", "8"), *([(self.resource, str(self.gpus))] if self.gpus else [])]
        return [
            ({"__name__": "kube_pod_info", **own, **info}, [(at, "1") for at in scrapes]),
            *([({"__name__": "kube_pod_created", **own}, [(at, made) for at in scrapes])] if made else []),
            *(
                (
                    {"__name__": "kube_pod_container_resource_requests", **own, "resource": name, "container": "vllm"},
                    [(at, value) for at in scrapes],
                )
                for name, value in asked
            ),
        ]


@dataclass
class Fleet:
    """All scraped every `every_ms` from start to stop. `outages` of the first of an HA pair: [from, to) in ms."""

    start: datetime
    stop: datetime
    engines: Sequence[Engine] = ()
    gpus: Sequence[Gpu] = ()
    pods: Sequence[Pod] = ()
    every_ms: int = 15_000
    outages: Sequence[tuple[int, int]] = field(default=())

    def series(self) -> Series:
        return list(self._scraped(list(range(ms(self.start), ms(self.stop), self.every_ms)), {}))

    def ha_series(self, *, label: str = "prometheus_replica", later_ms: int = 7_000) -> Series:
        """The same scraped twice, by two servers of their own timing."""
        first = list(range(ms(self.start), ms(self.stop), self.every_ms))
        up = [at for at in first if not any(begin <= at < end for begin, end in self.outages)]
        second = [min(at + later_ms, ms(self.stop) - 1) for at in first]
        return [*self._scraped(up, {label: "a"}), *self._scraped(sorted(set(second)), {label: "b"})]

    def _scraped(self, scrapes: Sequence[int], extra: dict[str, str]) -> Iterator[tuple[dict[str, str], Samples]]:
        things: Iterable[Engine | Gpu | Pod] = (*self.engines, *self.gpus, *self.pods)
        for thing in things:
            yield from thing.series(scrapes, extra)


def landed(
    series: Series, *, start: datetime, stop: datetime, window: timedelta, is_closed: bool = False
) -> dict[str, pl.DataFrame]:
    """Table -> what a fetch in windows of this length would land of [start, stop), read."""
    api = PrometheusApi(series=series, is_closed=is_closed)
    found: dict[str, list[pl.DataFrame]] = {}
    for dataset, of in zip(SOURCE.datasets, (ENGINES, DCGM, KUBE), strict=True):
        selector = of.selector({}, jobs=["vllm", "svc"] if of is ENGINES else [])
        begin = start
        while begin < stop:
            end = min(begin + window, stop, begin.replace(hour=0, minute=0, second=0) + timedelta(days=1))
            length_ms = ms(end) - ms(begin)
            query = pods_expression({}, length_ms) if of is KUBE else f"{selector}[{length_ms}ms]"
            answer = api.answer("/api/v1/query", [("query", query), ("time", f"{(ms(end) - 1) / 1000:.3f}")], {})
            payload = payload_of(of, selector, begin, end, gzip.decompress(answer.body))
            for table, frame in dataset.parse(payload.content, {}).items():
                found.setdefault(table, []).append(frame)
            begin = end
    return {table: pl.concat(frames) for table, frames in found.items()}
