"""vLLM and dcgm-exporter series that a Prometheus-compatible server has kept: as scraped, for its whole retention; and
from kube-state-metrics, hour by hour, on which node each pod ran that asked for GPUs.

An object is one hour's answer as it came, below a line that says what was asked and for which window (both gzipped).
A day is a bucket; it is asked for again until an answer given two hours after its end is landed, and then no more: a
server that forgets must not take back what it said. Of two servers of an HA pair one counts in each window, for each
target the one that has more scrapes of it (the first by name where they have as many); they are never added.

A sample's value is a float to Prometheus: a counter is whole up to 2^53. What is NaN is no reading.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.formats.exposition import instant
from pipeline.formats.values import canonical_json
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.landing.records import Delivery
from pipeline.landing.times import DAY, as_utc, day_start, days_between
from pipeline.sources.asking import TRY_AGAIN
from pipeline.sources.http import EndpointError, KeyMissingError, window_settings
from pipeline.sources.prometheus_http import (
    Prometheus,
    RawSeries,
    Said,
    TooMuchError,
    ask,
    data_in,
    labels_of,
    matrix_in,
    matrix_of,
    metric_names,
    prometheus_at,
    raw_windows,
    series_in,
)
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Probed, Source

NAME = "prometheus"
FORMAT = "breakeven.prometheus/1"

_TEXT, _COUNT, _INSTANT = pl.String(), pl.Int64(), pl.Datetime("us")
_HOUR = timedelta(hours=1)
_MILLISECOND = timedelta(milliseconds=1)
_SETTLE_LAG = timedelta(hours=2)
_MONTH = timedelta(days=30)
# How far back a server is asked when no horizon is declared.
_FURTHEST = timedelta(days=400)

# metric -> the column it becomes; several metrics or series of one column are added up.
_ENGINE_METRICS = {
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:prompt_tokens_cached_total": "prompt_tokens_cached",
    "vllm:prompt_tokens_by_source_total": "by_source",
    "vllm:generation_tokens_total": "generation_tokens",
    "vllm:request_success_total": "requests_success",
    "vllm:num_requests_running": "requests_running",
    "vllm:num_requests_waiting": "requests_waiting",
    "vllm:prompt_tokens_created": "created",
}
_STARTED = "process_start_time_seconds"
_ENGINE_COUNTS = (
    "prompt_tokens",
    "prompt_tokens_cached",
    "generation_tokens",
    "requests_success",
    "requests_running",
    "requests_waiting",
)
# Labels that tell series of one engine apart; all others are its target's.
_ENGINE_LABELS = ("__name__", "model_name", "engine", "source", "finished_reason")
# Prometheus' own example configuration for pods, and so many a server, names them the second way.
_NAMESPACE, _POD, _NODE = ("namespace", "kubernetes_namespace"), ("pod", "kubernetes_pod_name"), "kubernetes_node"
# A prompt token found in a cache, by vLLM's older name for it (HELP: local + external).
_CACHED_SOURCES = ("local_cache_hit", "external_kv_transfer")

# DCGM field -> (column, factor from DCGM's unit): %, 0..1, W, MiB.
_GPU_METRICS = {
    "DCGM_FI_DEV_GPU_UTIL": ("util_gpu_pct", 1),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": ("gr_engine_active_ppm", 1_000_000),
    "DCGM_FI_PROF_SM_ACTIVE": ("sm_active_ppm", 1_000_000),
    "DCGM_FI_DEV_FB_USED": ("memory_used_bytes", 1_048_576),
    "DCGM_FI_DEV_POWER_USAGE": ("power_milliwatts", 1_000),
}
# What DCGM prints where it has no value, in old versions of its exporter; as a float it is the nearest one.
_BLANK_FROM = 2_147_483_632.0
_WHOLE_TO = 2.0**53

ENGINE_SAMPLES = Table(
    name="engine_samples",
    columns={
        "cluster": _TEXT,
        "namespace": _TEXT,
        "pod": _TEXT,
        "node": _TEXT,
        "job": _TEXT,
        "instance": _TEXT,
        "target_labels": _TEXT,
        "replica": _TEXT,
        "model_name": _TEXT,
        "engine": _TEXT,
        "at": _INSTANT,
        "interval_ms": _COUNT,
        "process_started_at": _INSTANT,
        **dict.fromkeys(_ENGINE_COUNTS, _COUNT),
    },
)
GPU_SAMPLES = Table(
    name="gpu_samples",
    columns={
        "cluster": _TEXT,
        "node": _TEXT,
        "hostname": _TEXT,
        "instance": _TEXT,
        "replica": _TEXT,
        "gpu_uuid": _TEXT,
        "gpu_instance_id": _TEXT,
        "model_name": _TEXT,
        "at": _INSTANT,
        "interval_ms": _COUNT,
        **{column: _COUNT for column, _ in _GPU_METRICS.values()},
    },
)
# Which pod holds which GPU, as dcgm-exporter's labels say it of its samples.
GPU_PODS = Table(
    name="gpu_pods",
    columns={
        "cluster": _TEXT,
        "node": _TEXT,
        "hostname": _TEXT,
        "instance": _TEXT,
        "gpu_uuid": _TEXT,
        "namespace": _TEXT,
        "pod": _TEXT,
        "container": _TEXT,
        "first_at": _INSTANT,
        "last_at": _INSTANT,
        "sample_count": _COUNT,
    },
)


# Where a pod that asked for GPUs ran in an hour of the day.
PODS = Table(
    name="pods",
    columns={
        "cluster": _TEXT,
        "namespace": _TEXT,
        "pod": _TEXT,
        "uid": _TEXT,
        "node": _TEXT,
        "created_by_kind": _TEXT,
        "created_by_name": _TEXT,
    },
)


# --- settings --------------------------------------------------------------------------------------------------------

_SETTINGS = (
    "tenant", "sigv4_region", "match", "replica_label", "cluster_label", "node_label", "leave_out", "accept_partial",
)  # fmt: skip
_REPLICA_LABELS = ("prometheus_replica", "__replica__")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class _Labels:
    """Which label says what; landed with each delivery, so that a reader needs nothing else."""

    replica: tuple[str, ...]
    cluster: str
    node: str

    @property
    def landed(self) -> dict[str, Any]:
        return {"replica_label": list(self.replica), "cluster_label": self.cluster, "node_label": self.node}


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError for a setting that this source does not know, or that cannot be so."""
    for name in settings:
        if name not in _SETTINGS:
            raise ConfigError(
                key=f"settings.{name}", value=settings[name], fix=f"No such setting. Known: {', '.join(_SETTINGS)}."
            )
    for name in ("tenant", "sigv4_region", "match"):
        if name in settings and not (isinstance(settings[name], str) and settings[name].strip()):
            raise ConfigError(key=f"settings.{name}", value=settings[name], fix="It is a text.")
    if "{" in settings.get("match", "") or "}" in settings.get("match", ""):
        raise ConfigError(
            key="settings.match", value=settings["match"], fix='Give matchers without braces, as namespace="llm".'
        )
    if not isinstance(settings.get("accept_partial", False), bool):
        raise ConfigError(key="settings.accept_partial", value=settings["accept_partial"], fix="Say true or false.")
    _labels(settings)
    _asked(settings)


def _labels(settings: Mapping[str, Any]) -> _Labels:
    replica = settings.get("replica_label", list(_REPLICA_LABELS))
    replica = [replica] if isinstance(replica, str) else replica
    cluster, node = settings.get("cluster_label", "cluster"), settings.get("node_label", "node")
    said = {"replica_label": replica, "cluster_label": [cluster], "node_label": [node]}
    for name, labels in said.items():
        if not isinstance(labels, list) or not all(isinstance(one, str) and _LABEL.fullmatch(one) for one in labels):
            raise ConfigError(
                key=f"settings.{name}", value=settings.get(name), fix="It is a label's name, as prometheus_replica."
            )
    return _Labels(tuple(replica), cluster, node)


# --- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Series:
    """One dataset's series. `known_by`: the metric whose presence says that a server has them."""

    dataset: str
    what: str
    known_by: str
    names: tuple[str, ...]

    def selector(self, settings: Mapping[str, Any], *, jobs: Sequence[str] = ()) -> str:
        """Every metric in one question, so that what one scrape brought stays together."""
        names = [*self.names, *([_STARTED] if jobs else [])]
        return _selector(names, settings, jobs=jobs)


def _selector(
    names: Sequence[str], settings: Mapping[str, Any], *, jobs: Sequence[str] = (), more: str | None = None
) -> str:
    matchers = [f'__name__=~"{"|".join(names)}"']
    if jobs:
        matchers.append(f'job=~"{"|".join(_quoted(job) for job in jobs)}"')
    if more is not None:
        matchers.append(more)
    if settings.get("match"):
        matchers.append(str(settings["match"]).strip().strip(","))
    return "{" + ",".join(matchers) + "}"


def _quoted(text: str) -> str:
    """A text that an anchored regular expression in a PromQL string takes as it is."""
    return re.sub(r"([^a-zA-Z0-9_\-/ :])", r"\\\1", text).replace("\\", "\\\\").replace('\\\\"', '\\"')


VLLM = _Series("vllm", "vLLM", "vllm:prompt_tokens_total", tuple(_ENGINE_METRICS))
KUBE = _Series("kube", "kube-state-metrics", "kube_pod_info", ("kube_pod_info", "kube_pod_container_resource_requests"))
DCGM = _Series("dcgm", "dcgm-exporter", "DCGM_FI_DEV_GPU_UTIL|DCGM_FI_DEV_FB_USED", tuple(_GPU_METRICS))
_ALL = (VLLM, DCGM, KUBE)


def _asked(settings: Mapping[str, Any]) -> list[_Series]:
    """The datasets, less those that `leave_out` names."""
    left_out = settings.get("leave_out", [])
    known = [one.dataset for one in _ALL]
    if not isinstance(left_out, list) or not all(name in known for name in left_out):
        raise ConfigError(key="settings.leave_out", value=left_out, fix=f"It is a list of some of {', '.join(known)}.")
    return [one for one in _ALL if one.dataset not in left_out]


def _server(context: FetchContext, *, attempts: int = 6, seconds: float = 60.0) -> Prometheus:
    settings = context.settings
    if not settings.get("base_url"):
        raise ConfigError(
            key=f"sources.{NAME}.base_url",
            value="missing",
            fix="Say where the server is: the part before /api/v1, as http://prometheus.monitoring:9090.",
        )
    try:
        return prometheus_at(
            str(settings["base_url"]),
            whose=f"{NAME} of {context.account}",
            environment=context.environment,
            sleep=context.sleep,
            token_env=settings.get("key_env"),
            tenant=settings.get("tenant"),
            sigv4_region=settings.get("sigv4_region"),
            attempts=attempts,
            seconds=seconds,
            takes_partial=settings.get("accept_partial", False),
        )
    except ConfigError as error:
        named = {"url": "base_url", "tenant": "settings.tenant", "sigv4_region": "settings.sigv4_region"}
        raise ConfigError(key=f"sources.{NAME}.{named[error.key]}", value=error.value, fix=error.fix) from None


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """A delivery a UTC day and dataset, oldest first, each yielded before the next is asked for: an interrupted run
    goes on where it ended. On the first run from the first day the server has any of.

    What one dataset cannot be asked takes nothing from the other. Raises SourceError naming it when both were asked,
    and where the server has neither.
    """
    server = _server(context)
    refused: list[str] = []
    found = False
    for series in _asked(context.settings):
        try:
            for delivery in _days(context, server, series):
                found = found or series is not KUBE
                yield delivery
        except EndpointError as error:
            refused.append(f"{series.what}: {error.problem}")
    if refused:
        raise SourceError(
            f"{server.whose}: {server.host}: not read to the end: {'; '.join(refused)}. What was landed before still "
            "counts, and the next run goes on from there. Name in settings.leave_out what is not to be read."
        )
    if not found and not any(delivery.dataset != KUBE.dataset for delivery in context.landed):
        what = " and no ".join(series.what for series in _asked(context.settings) if series is not KUBE)
        raise SourceError(
            f"{server.whose}: {server.host} has no {what} series"
            + (f" with {context.settings['match']}" if context.settings.get("match") else "")
            + f" of the last {_FURTHEST.days} days. Does it scrape them? Are base_url and settings.tenant right?"
        )


def _days(context: FetchContext, server: Prometheus, series: _Series) -> Iterator[Fetched]:
    stop = min(as_utc(context.to_at), as_utc(context.now))
    landed = _first_samples(context, series)
    wanted = context.starts.get(series.dataset) if landed else None
    start = day_start(as_utc(wanted).date()) if wanted else _first_day(context, server, series, before=stop)
    if start is None:
        return
    has_begun = any(earlier < start for earlier in landed)
    for day in map(day_start, days_between(start.date(), (stop - _MILLISECOND).date() + DAY)):
        if _is_final(context, series, day):
            continue
        # A delivery speaks for its whole day, as far as that is over.
        delivery = _day(context, server, series, day, min(day + DAY, as_utc(context.now)))
        first_ms, known_ms = delivery.request["first_sample_ms"], landed.get(day)
        if first_ms is not None:
            # What it has forgotten since it must not take back.
            is_said = known_ms is None or first_ms <= known_ms
        else:
            # Nothing was scraped that day; or of that day nothing at all is kept, which says nothing.
            is_said = (
                has_begun and known_ms is None and bool(metric_names(server, start=day, stop=day + DAY - _MILLISECOND))
            )
        if is_said:
            yield delivery
            has_begun = True


def _first_samples(context: FetchContext, series: _Series) -> dict[datetime, int | None]:
    """Day -> the first sample that was ever landed of it; null where its answers had none."""
    firsts: dict[datetime, int | None] = {}
    for delivery in _landed(context, series):
        if delivery.from_at is not None:
            known = [firsts.get(delivery.from_at), delivery.request.get("first_sample_ms")]
            firsts[delivery.from_at] = min((at for at in known if at is not None), default=None)
    return firsts


def _first_day(context: FetchContext, server: Prometheus, series: _Series, *, before: datetime) -> datetime | None:
    """The first UTC day that the server has any sample of, in months first and then in days; None where it has none."""
    horizon = _horizon(context)
    earliest = horizon or day_start((before - _FURTHEST).date())
    probe = _selector([series.known_by], context.settings)
    oldest = None
    stop = before
    while stop > earliest:
        start = max(stop - _MONTH, earliest)
        if metric_names(server, start=start, stop=stop, match=probe):
            oldest = start, stop
        stop = start
    if oldest is None:
        return None
    day = day_start(oldest[0].date())
    # An index knows in which blocks a series lies, not on which days.
    while day < oldest[1]:
        if _has_samples(server, probe, day, min(day + DAY, before)):
            return day
        day += DAY
    return None


def _has_samples(server: Prometheus, selector: str, start: datetime, stop: datetime) -> bool:
    """Asked as a count: on a large fleet the samples of a day are a hundred megabytes."""
    length_ms = _milliseconds(stop) - _milliseconds(start)
    try:
        said = ask(server, f"count(last_over_time({selector}[{length_ms}ms]))", at=stop - _MILLISECOND)
    except TooMuchError:
        return True
    return bool(labels_of(said.data))


def _day(context: FetchContext, server: Prometheus, series: _Series, day: datetime, stop: datetime) -> Fetched:
    """One day's answers, an hour each. `first_sample_ms` of its request: the first sample of any series, or null."""
    settings = context.settings
    answers = _pod_hours(server, settings, day, stop) if series is KUBE else _raw(server, series, settings, day, stop)
    payloads: list[Payload] = []
    stated_at: datetime | None = None
    warnings: list[str] = []
    firsts: list[int] = []
    for asked, begin, end, said in answers:
        _refuse_partial(server, said, begin, end)
        warnings.extend(warning for warning in said.warnings if warning not in warnings)
        firsts.extend(_firsts(series, said, begin, end))
        stated_at = said.stated_at
        payloads.append(payload_of(series, asked, begin, end, said.content))
    return Fetched(
        dataset=series.dataset,
        payloads=payloads,
        from_at=day,
        to_at=day + DAY,
        stated_at=stated_at,
        stated_by="http_date" if stated_at else "landed_at",
        settings=window_settings(day, day + DAY) | _labels(settings).landed,
        request={
            "url": server.url,
            **_question(series, settings),
            "first_sample_ms": min(firsts, default=None),
            "warnings": warnings,
        },
    )


_Answers = Iterator[tuple[str, datetime, datetime, Said]]


def _raw(server: Prometheus, series: _Series, settings: Mapping[str, Any], day: datetime, stop: datetime) -> _Answers:
    selector = series.selector(settings, jobs=_jobs(server, series, settings, day, stop) if series is VLLM else [])
    for begin, end, said in raw_windows(server, selector, start=day, stop=stop, longest=_HOUR):
        yield selector, begin, end, said


def _pod_hours(server: Prometheus, settings: Mapping[str, Any], day: datetime, stop: datetime) -> _Answers:
    """Which pods there were in an hour, one sample each: what is wanted of them are labels."""
    while day < stop:
        end = min(day + _HOUR, stop)
        asked = pods_expression(settings, _milliseconds(end) - _milliseconds(day))
        yield asked, day, end, ask(server, asked, at=end - _MILLISECOND)
        day = end


def pods_expression(settings: Mapping[str, Any], range_ms: int) -> str:
    """The pods of the last so many milliseconds that asked for GPUs, or for parts of them."""
    info = _selector(["kube_pod_info"], settings)
    requests = _selector(["kube_pod_container_resource_requests"], settings, more='resource=~".*(gpu|mig).*"')
    same = f"{_labels(settings).cluster},namespace,pod"
    return f"last_over_time({info}[{range_ms}ms]) and on ({same}) last_over_time({requests}[{range_ms}ms])"


def _firsts(series: _Series, said: Said, start: datetime, stop: datetime) -> list[int]:
    if series is KUBE:
        return [_milliseconds(start)] if labels_of(said.data) else []
    return [one.at_ms[0] for one in _series_of(said, start, stop)]


def _series_of(said: Said, start: datetime, stop: datetime) -> list[RawSeries]:
    return matrix_of(said.data, start_ms=_milliseconds(start), stop_ms=_milliseconds(stop))


def _jobs(
    server: Prometheus, series: _Series, settings: Mapping[str, Any], start: datetime, stop: datetime
) -> list[str]:
    """The scrape jobs of the engines: only of these is it asked when a process began. Empty where one has no job."""
    engines = series_in(server, [_selector([series.known_by], settings)], start=start, stop=stop)
    jobs = {labels.get("job", "") for labels in engines}
    return [] if "" in jobs else sorted(jobs)


def _refuse_partial(server: Prometheus, said: Said, start: datetime, stop: datetime) -> None:
    if said.warnings and not server.takes_partial:
        told = "; ".join(said.warnings)
        problem = (
            f"its answer for {start:%Y-%m-%d %H:%M} to {stop:%H:%M} UTC is not whole ({told}). Mend that, or say "
            "accept_partial: true in settings to land what there is"
        )
        raise EndpointError(f"{server.whose}: {server.host}: {problem}.", problem=problem)


def payload_of(series: _Series, selector: str, start: datetime, stop: datetime, answer: bytes) -> Payload:
    """An answer as it is landed: below a line that says what was asked, and for which window."""
    head = {
        "format": FORMAT,
        "dataset": series.dataset,
        "query": selector,
        "start_ms": _milliseconds(start),
        "stop_ms": _milliseconds(stop),
    }
    return Payload(
        name=f"{series.dataset}-{start:%Y%m%dT%H%M%S}Z.json.gz",
        content=gzip.compress(canonical_json(head).encode() + b"\n" + answer, mtime=0),
        media_type="application/gzip",
    )


def _question(series: _Series, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which samples come: where it is another, a day is asked for again."""
    return {"tenant": settings.get("tenant"), "match": settings.get("match"), "names": list(series.names)}


def _is_final(context: FetchContext, series: _Series, day: datetime) -> bool:
    """Whether an answer given when the day was long over is landed, to the question that would be asked now."""
    asked, labels = _question(series, context.settings), _labels(context.settings).landed
    return any(
        delivery.from_at == day
        and delivery.stated_at >= day + DAY + _SETTLE_LAG
        and {name: delivery.request.get(name) for name in asked} == asked
        and {name: delivery.settings.get(name) for name in labels} == labels
        for delivery in _landed(context, series)
    )


def _landed(context: FetchContext, series: _Series) -> Iterable[Delivery]:
    return (delivery for delivery in context.landed if delivery.dataset == series.dataset and delivery.is_complete)


def _horizon(context: FetchContext) -> datetime | None:
    declared = context.settings.get("horizon")
    return None if declared is None else day_start(date.fromisoformat(str(declared)[:10]))


def _milliseconds(moment: datetime) -> int:
    return (as_utc(moment) - datetime(1970, 1, 1, tzinfo=UTC)) // _MILLISECOND


def probe(context: FetchContext) -> list[Probe]:
    """Whether the server answers, and has each dataset's series now and how far back."""
    return [Probe(series.dataset, partial(_ask, context, series)) for series in _asked(context.settings)]


def _ask(context: FetchContext, series: _Series, seconds: float | None) -> Probed:
    try:
        server = _server(context, attempts=1, seconds=seconds or 1.0)
    except KeyMissingError as error:
        return Probed("no_key", error.problem, error.fix)
    if seconds is None:
        return Probed("not_asked", f"asked with {server.asked_with}; not asked")
    now = as_utc(context.now)
    selector = _selector([series.known_by], context.settings)
    try:
        names = metric_names(server, start=now - _HOUR, stop=now, match=selector)
    except EndpointError as error:
        is_refused = "HTTP 403" in error.problem
        return Probed("not_permitted" if is_refused else "odd", f"{server.host}: {error.problem}", "Check base_url")
    except SourceError as error:
        if "HTTP 401" in str(error):
            return Probed("refused", f"{server.host} refuses {server.asked_with} (HTTP 401)", "Set key_env")
        return Probed("unreachable", str(error), TRY_AGAIN)
    if not names and series is KUBE:
        return Probed("allowed", f"{server.host} answers; without {series.what}, dcgm-exporter says where pods run")
    if not names:
        return Probed(
            "not_found",
            f"{server.host} answers, and has no {series.what} series of the last hour",
            f"Have it scrape {series.what}, or say leave_out: [{series.dataset}] in settings",
        )
    return Probed("allowed", f"{server.host} answers, and has {series.what} series of the last hour")


# --- reading ---------------------------------------------------------------------------------------------------------


def _opened(content: bytes, dataset: str) -> tuple[int, int, bytes]:
    """The window of an object, and its answer."""
    try:
        whole = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        raise QuarantineError(f"The file is cut or damaged ({error}). Fetch the day again.") from None
    head, _, answer = whole.partition(b"\n")
    try:
        said = json.loads(head)
        window = said["start_ms"], said["stop_ms"]
        if said["format"] != FORMAT or said["dataset"] != dataset or not all(type(edge) is int for edge in window):
            raise ValueError("another format")
    except (ValueError, KeyError, TypeError) as error:
        raise QuarantineError(
            f"Its first line does not say what was asked of a Prometheus for {dataset} ({error}). Such files are "
            "fetched, not dropped: name the server in base_url."
        ) from None
    return *window, answer


def _read(content: bytes, dataset: str) -> list[RawSeries]:
    start_ms, stop_ms, answer = _opened(content, dataset)
    return matrix_in(answer, start_ms=start_ms, stop_ms=stop_ms)


def _text(labels: Mapping[str, str], *names: str) -> str | None:
    """The first of these labels that is there and not empty, which to Prometheus is the same as not there."""
    return next((labels[name] for name in names if labels.get(name)), None)


def _long(series: Sequence[RawSeries], places: Sequence[Mapping[str, str | None]]) -> pl.DataFrame:
    """Every sample as a row: what its series says, when, and its value; null where it is no number."""
    names = list(dict.fromkeys(chain.from_iterable(places)))
    said = pl.DataFrame(
        {name: [place.get(name) for place in places] for name in names}, schema=dict.fromkeys(names, _TEXT)
    ).with_columns(pl.Series("count", [len(one.at_ms) for one in series], dtype=pl.UInt32))
    numbered = said.with_row_index("series")
    number = numbered.select(pl.col("series").repeat_by("count").explode())
    value = pl.col("text").cast(pl.Float64, strict=False)
    samples = number.with_columns(
        pl.Series("at_ms", list(chain.from_iterable(one.at_ms for one in series)), dtype=pl.Int64),
        pl.Series("text", list(chain.from_iterable(one.values for one in series)), dtype=pl.String),
    ).with_columns(pl.when(value.is_finite()).then(value).alias("value"))
    return samples.drop("text").join(numbered.drop("count"), on="series")


def _one_stream(long: pl.DataFrame, *, of: str) -> pl.DataFrame:
    """Of each `of` the rows of one stream: the one with most samples, the first by name where several have as many."""
    counts = long.group_by(of, "stream").agg(pl.len().alias("samples"))
    best = counts.sort(of, "samples", "stream", descending=[False, True, False]).unique(of, keep="first")
    return long.join(best.select(of, "stream"), on=[of, "stream"], how="semi")


def _wide(rows: pl.DataFrame, *, keys: Sequence[str], value: pl.Expr, columns: Iterable[str]) -> pl.DataFrame:
    """A row of `keys` with each column's value; null where one of its series has no number, or none is there."""
    whole = pl.when(pl.col("value").null_count() == 0).then(value).alias("value")
    grouped = rows.group_by(*keys, "column").agg(whole)
    wide = grouped.pivot("column", index=list(keys), values="value")
    missing = [name for name in columns if name not in wide.columns]
    return wide.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)


def _counts(frame: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
    """Floats as the counts they are. QuarantineError where one is none."""
    for name in columns:
        value = pl.col(name)
        odd = frame.filter((value != value.round()) | ~value.is_between(0, _WHOLE_TO))
        if odd.height:
            raise QuarantineError(f"{name} is {odd[name][0]} at {odd['at_ms'][0] / 1000:.3f}, which is no count.")
    return frame.with_columns(pl.col(name).cast(pl.Int64) for name in columns)


def _intervals(frame: pl.DataFrame, *, of: str, capped: bool) -> pl.DataFrame:
    """`interval_ms`: how often this is scraped, a whole second of the median gap, of its own series where it has two
    samples, else of all; null where nothing has. `capped`: the gap before the sample where it is about as long.
    """
    gaps = frame.sort(of, "at_ms").with_columns(pl.col("at_ms").diff().over(of).alias("gap_ms"))
    usual = pl.coalesce(pl.col("gap_ms").median().over(of), pl.col("gap_ms").median())
    usual = ((usual / 1000).round().clip(1) * 1000).cast(pl.Int64)
    gaps = gaps.with_columns(usual.alias("usual_ms"))
    own = pl.when(2 * pl.col("gap_ms") <= 3 * pl.col("usual_ms")).then("gap_ms").otherwise("usual_ms")
    return gaps.with_columns((own if capped else pl.col("usual_ms")).alias("interval_ms"))


def _dated(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The table's rows, in order. A row's bucket is the day it was asked for in; as a spool's, it is of the day on
    which its interval begins, which is the day before for the first scrape after midnight."""
    at = pl.from_epoch("at_ms", time_unit="ms").cast(pl.Datetime("us"))
    covered = pl.duration(milliseconds=pl.col("interval_ms").fill_null(0))
    known = frame.with_columns(at.alias("at"))
    return known.select(
        pl.col("at").dt.date().cast(pl.String).alias("bucket"),
        (pl.col("at") - covered).dt.date().alias("usage_date"),
        *(pl.col(name).cast(kind).alias(name) for name, kind in table.columns.items()),
        pl.lit(None, dtype=pl.String).alias("other_columns"),
    )


def _empty(table: Table) -> pl.DataFrame:
    return pl.DataFrame(schema=table.schema)


# --- engines ---------------------------------------------------------------------------------------------------------


def _engine_place(labels: Mapping[str, str], named: _Labels) -> dict[str, str | None]:
    """Whose a series is, in texts that equal series of other scrapes share."""
    target = {name: text for name, text in labels.items() if text and name not in (*_ENGINE_LABELS, *named.replica)}
    process = [labels.get(name, "") for name in (named.cluster, "job", "instance", *_NAMESPACE, *_POD, "container")]
    name = labels.get("__name__", "")
    column = _ENGINE_METRICS.get(name)
    if column == "by_source" and labels.get("source") not in _CACHED_SOURCES:
        column = None
    model_name, engine = labels.get("model_name"), labels.get("engine") or "0"
    target_labels = canonical_json(target)
    return {
        "column": "process_start" if name == _STARTED else column if model_name else None,
        "stream": _text(labels, *named.replica) or "",
        "target_labels": target_labels,
        "process_key": canonical_json(process),
        "engine_key": canonical_json([target_labels, model_name, engine]),
        "cluster": _text(labels, named.cluster),
        "namespace": _text(labels, *_NAMESPACE),
        "pod": _text(labels, *_POD),
        "node": _text(labels, named.node, _NODE),
        "job": _text(labels, "job"),
        "instance": _text(labels, "instance"),
        "model_name": model_name,
        "engine": engine,
    }


_ENGINE_TEXTS = (
    "process_key", "target_labels", "stream", "cluster", "namespace", "pod", "node", "job", "instance", "model_name",
    "engine",
)  # fmt: skip


def parse_engines(content: bytes, settings: Settings) -> Frames:
    """One row a scrape of an engine: its cumulative counters, and when its process began where that is known."""
    named = _labels(settings)
    series = _read(content, VLLM.dataset)
    places = [_engine_place(one.labels, named) for one in series]
    if not any(place["column"] in ("prompt_tokens", "generation_tokens") for place in places):
        return {ENGINE_SAMPLES.name: _empty(ENGINE_SAMPLES)}
    long = _long(series, places)
    rows = _one_stream(long.filter(pl.col("column") != "process_start"), of="target_labels")
    wide = _wide(
        rows,
        keys=("engine_key", "at_ms"),
        value=pl.col("value").sum(),
        columns=(*_ENGINE_COUNTS, "by_source", "created"),
    )
    wide = wide.filter(pl.col("prompt_tokens").is_not_null() | pl.col("generation_tokens").is_not_null())
    wide = wide.join(rows.select("engine_key", *_ENGINE_TEXTS).unique("engine_key"), on="engine_key")
    began = long.filter(pl.col("column") == "process_start").group_by("process_key", "stream", "at_ms")
    wide = wide.join(
        began.agg(pl.col("value").max().alias("began")), on=["process_key", "stream", "at_ms"], how="left"
    ).with_columns(
        pl.coalesce("began", "created").alias("began"),
        pl.coalesce("prompt_tokens_cached", "by_source").alias("prompt_tokens_cached"),
        pl.col("stream").alias("replica"),
    )
    wide = _intervals(_counts(_with_start(wide), _ENGINE_COUNTS), of="engine_key", capped=False)
    return {ENGINE_SAMPLES.name: _dated(wide, ENGINE_SAMPLES).sort("target_labels", "model_name", "engine", "at")}


def _with_start(wide: pl.DataFrame) -> pl.DataFrame:
    """`process_started_at`, to the microsecond as the agent's own scrapes have it: by it the two know one process."""
    began = wide["began"].drop_nulls().unique()
    starts = pl.DataFrame(
        {"began": began, "process_started_at": [instant(Decimal(repr(seconds))) for seconds in began]},
        schema={"began": pl.Float64(), "process_started_at": _INSTANT},
    )
    return wide.join(starts, on="began", how="left")


# --- GPUs ------------------------------------------------------------------------------------------------------------


def _gpu_place(labels: Mapping[str, str], named: _Labels) -> dict[str, str | None]:
    uuid, instance_id = _text(labels, "UUID"), _text(labels, "GPU_I_ID")
    column, _ = _GPU_METRICS.get(labels.get("__name__", ""), (None, 1))
    # Prometheus renames a scraped label that its own target labels have too, unless told to honour it.
    is_renamed = bool(labels.get("exported_pod"))
    holder = [f"exported_{name}" if is_renamed else name for name in ("namespace", "pod", "container")]
    return {
        "column": column if uuid else None,
        "stream": canonical_json([_text(labels, *named.replica), labels.get("job"), labels.get("instance")]),
        "replica": _text(labels, *named.replica) or "",
        "device_key": canonical_json([uuid, instance_id]),
        "gpu_uuid": uuid,
        "gpu_instance_id": instance_id,
        "cluster": _text(labels, named.cluster),
        "node": _text(labels, named.node, _NODE),
        "hostname": _text(labels, "Hostname"),
        "instance": _text(labels, "instance"),
        "model_name": _text(labels, "modelName"),
        **{name: _text(labels, label) for name, label in zip(("namespace", "pod", "container"), holder, strict=True)},
    }


_GPU_TEXTS = ("gpu_uuid", "gpu_instance_id", "cluster", "node", "hostname", "instance", "replica", "model_name")
_HOLDER = ("cluster", "node", "hostname", "instance", "gpu_uuid", "namespace", "pod", "container")


def parse_gpus(content: bytes, settings: Settings) -> Frames:
    """One row a scrape of a GPU (or of a MIG instance of one), and which pods its samples name. Where GPUs are shared
    in time, a device is printed once a pod: it is read once."""
    named = _labels(settings)
    series = _read(content, DCGM.dataset)
    places = [_gpu_place(one.labels, named) for one in series]
    if not any(place["column"] for place in places):
        return {GPU_SAMPLES.name: _empty(GPU_SAMPLES), GPU_PODS.name: _empty(GPU_PODS)}
    long = _long(series, places).filter(pl.col("column").is_not_null())
    rows = _one_stream(long, of="gpu_uuid").with_columns(
        pl.when(pl.col("value") < _BLANK_FROM).then(pl.col("value")).alias("value")
    )
    columns = dict(_GPU_METRICS.values())
    wide = _wide(rows, keys=("device_key", "at_ms"), value=pl.col("value").max(), columns=columns)
    wide = wide.with_columns((pl.col(name) * factor).round() for name, factor in columns.items())
    own = rows.select("device_key", *_GPU_TEXTS).sort("device_key", *_GPU_TEXTS).unique("device_key", keep="first")
    wide = _intervals(_counts(wide.join(own, on="device_key"), columns), of="device_key", capped=True)
    return {
        GPU_SAMPLES.name: _dated(wide, GPU_SAMPLES).sort("gpu_uuid", "gpu_instance_id", "at"),
        GPU_PODS.name: _holders(
            rows.join(wide.select("device_key", "at_ms", "interval_ms"), on=["device_key", "at_ms"])
        ),
    }


def _holders(rows: pl.DataFrame) -> pl.DataFrame:
    """Which pods a window's samples name, on the days that the samples are of."""
    at = pl.from_epoch("at_ms", time_unit="ms").cast(_INSTANT)
    covered = pl.duration(milliseconds=pl.col("interval_ms").fill_null(0))
    held = rows.filter(pl.col("pod").is_not_null()).with_columns(
        at.alias("at"),
        at.dt.date().cast(pl.String).alias("bucket"),
        (at - covered).dt.date().alias("usage_date"),
    )
    found = held.group_by("bucket", "usage_date", *_HOLDER).agg(
        pl.col("at").min().alias("first_at"),
        pl.col("at").max().alias("last_at"),
        pl.col("at").n_unique().cast(pl.Int64).alias("sample_count"),
    )
    return found.select(
        "bucket", "usage_date", *GPU_PODS.columns, pl.lit(None, dtype=pl.String).alias("other_columns")
    ).sort("usage_date", *_HOLDER, nulls_last=True)


# --- pods ------------------------------------------------------------------------------------------------------------


def parse_pods(content: bytes, settings: Settings) -> Frames:
    """One row a pod of an hour, however many servers or exporters said so."""
    named = _labels(settings)
    start_ms, _, answer = _opened(content, KUBE.dataset)
    day = (datetime(1970, 1, 1, tzinfo=UTC) + start_ms * _MILLISECOND).date()
    found = {_pod(labels, named) for labels in labels_of(data_in(answer))}
    rows = [(day.isoformat(), day, *pod, None) for pod in found if pod[2] is not None]
    frame = pl.DataFrame(rows, schema=PODS.schema, orient="row")
    return {PODS.name: frame.sort(*PODS.columns, nulls_last=True)}


def _pod(labels: Mapping[str, str], named: _Labels) -> tuple[str | None, ...]:
    is_renamed = bool(labels.get("exported_pod"))
    namespace, pod = ("exported_namespace", "exported_pod") if is_renamed else ("namespace", "pod")
    return tuple(_text(labels, name) for name in (named.cluster, namespace, pod, *list(PODS.columns)[3:]))


# --- dropped files ---------------------------------------------------------------------------------------------------


def recognise(name: str, head: bytes) -> str | None:
    """None: an answer alone speaks for no whole day, so days are fetched and not dropped."""
    return None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """Kept, and never counted."""
    return Fetched(dataset=VLLM.dataset, payloads=(Payload(name=name, content=content),), complete=False)


def _dataset(series: _Series, tables: tuple[Table, ...], parse: Callable[[bytes, Settings], Frames]) -> Dataset:
    return Dataset(
        source=NAME,
        name=series.dataset,
        mode="replace",
        bucket="utc_day",
        measure="metered",
        tables=tables,
        parse=parse,
        settle_lag=_SETTLE_LAG,
    )


SOURCE = Source(
    name=NAME,
    datasets=(
        _dataset(VLLM, (ENGINE_SAMPLES,), parse_engines),
        _dataset(DCGM, (GPU_SAMPLES, GPU_PODS), parse_gpus),
        _dataset(KUBE, (PODS,), parse_pods),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    trailing_days=2,
    probe=probe,
    check=check,
)
