"""Series of serving engines and dcgm-exporter that a Prometheus-compatible server has kept: as scraped, for its whole
retention; and from kube-state-metrics, hour by hour, on which node each pod ran that asked for GPUs, and for how many.

An object is one hour's answer as it came, below a line that says what was asked and for which window (both gzipped).
A day is a bucket; it is asked for again until an answer given two hours after its end is landed, and then no more: a
server that forgets must not take back what it said. How an object is read: `prometheus_tables`.
"""

import gzip
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from pipeline.errors import ConfigError, SourceError
from pipeline.formats.values import canonical_json
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.landing.records import Delivery
from pipeline.landing.times import DAY, as_utc, day_start, days_between
from pipeline.sources import prometheus_tables as tables
from pipeline.sources.asking import TRY_AGAIN
from pipeline.sources.http import EndpointError, KeyMissingError, window_settings
from pipeline.sources.prometheus_answers import RawSeries, labels_of, matrix_of
from pipeline.sources.prometheus_http import (
    Prometheus,
    Said,
    TooMuchError,
    ask,
    metric_names,
    prometheus_at,
    raw_windows,
    series_in,
)
from pipeline.sources.prometheus_tables import FORMAT, labels_named
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Probed, Source

NAME = "prometheus"

_HOUR = timedelta(hours=1)
_MILLISECOND = timedelta(milliseconds=1)
_SETTLE_LAG = timedelta(hours=2)
_MONTH = timedelta(days=30)
# How far back a server is asked when no horizon is declared.
_FURTHEST = timedelta(days=400)


# --- settings --------------------------------------------------------------------------------------------------------

_SETTINGS = (
    "tenant", "sigv4_region", "match", "replica_label", "cluster_label", "node_label", "leave_out", "accept_partial",
)  # fmt: skip


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
    labels_named(settings)
    _asked(settings)


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
        names = [*self.names, *([tables.STARTED] if jobs else [])]
        return selector_of(names, settings, jobs=jobs)


def selector_of(
    names: Sequence[str], settings: Mapping[str, Any], *, jobs: Sequence[str] = (), more: str | None = None
) -> str:
    """A selector of these metrics, with the matchers of the settings. `more`: a further matcher."""
    matchers = [f'__name__=~"{"|".join(names)}"']
    if jobs:
        matchers.append(f'job=~"{"|".join(quoted(job) for job in jobs)}"')
    if more is not None:
        matchers.append(more)
    if settings.get("match"):
        matchers.append(str(settings["match"]).strip().strip(","))
    return "{" + ",".join(matchers) + "}"


def quoted(text: str) -> str:
    """A text that an anchored regular expression in a PromQL string takes as it is."""
    return re.sub(r"([^a-zA-Z0-9_\-/ :])", r"\\\1", text).replace("\\", "\\\\").replace('\\\\"', '\\"')


ENGINES = _Series(tables.ENGINES, "engine", "|".join(tables.KNOWN_BY), tuple(tables.ENGINE_METRICS))
_POD_METRICS = ("kube_pod_info", "kube_pod_container_resource_requests", "kube_pod_created")
KUBE = _Series(tables.KUBE, "kube-state-metrics", "kube_pod_info", _POD_METRICS)
DCGM = _Series(tables.DCGM, "dcgm-exporter", "DCGM_FI_DEV_GPU_UTIL|DCGM_FI_DEV_FB_USED", tuple(tables.GPU_METRICS))
_ALL = (ENGINES, DCGM, KUBE)


def _asked(settings: Mapping[str, Any]) -> list[_Series]:
    """The datasets, less those that `leave_out` names."""
    left_out = settings.get("leave_out", [])
    known = [one.dataset for one in _ALL]
    if not isinstance(left_out, list) or not all(name in known for name in left_out):
        raise ConfigError(key="settings.leave_out", value=left_out, fix=f"It is a list of some of {', '.join(known)}.")
    return [one for one in _ALL if one.dataset not in left_out]


def server_of(context: FetchContext, *, attempts: int = 6, seconds: float = 60.0) -> Prometheus:
    """The server that a source's settings name. ConfigError; KeyMissingError where its token's variable is not set."""
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
    server = server_of(context)
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
    probe = selector_of([series.known_by], context.settings)
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


def gpu_hosts_since(context: FetchContext, *, since: date) -> dict[str, date]:
    """Host -> the first day from `since` on at whose end the server had samples of its GPUs. A small question a day,
    asked once: what it does not answer is not known. Raises ConfigError, SourceError."""
    server = server_of(context, attempts=1, seconds=10.0)
    named = labels_named(context.settings)
    gpus = f"{selector_of([DCGM.known_by], context.settings)}[{_HOUR // _MILLISECOND}ms]"
    question = f"count by ({','.join(tables.host_labels(named))}) (last_over_time({gpus}))"
    found: dict[str, date] = {}
    for day in days_between(since, as_utc(context.now).date()):
        said = ask(server, question, at=day_start(day) + DAY - _MILLISECOND)
        for labels in labels_of(said.data):
            host = tables.gpu_host(labels, named)
            if host is not None:
                found.setdefault(host, day)
    return found


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
        settings=window_settings(day, day + DAY) | labels_named(settings).landed,
        request={
            "url": server.url,
            **_question(series, settings),
            "first_sample_ms": min(firsts, default=None),
            "warnings": warnings,
        },
    )


_Answers = Iterator[tuple[str, datetime, datetime, Said]]


def _raw(server: Prometheus, series: _Series, settings: Mapping[str, Any], day: datetime, stop: datetime) -> _Answers:
    selector = series.selector(settings, jobs=_jobs(server, series, settings, day, stop) if series is ENGINES else [])
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
    """The pods of the last so many milliseconds that asked for GPUs, or for parts of them: when each was made, in
    seconds since the epoch, or 1 where that is not kept; and, with the label `resource`, how many each asked for."""
    info = selector_of(["kube_pod_info"], settings)
    requests = selector_of(["kube_pod_container_resource_requests"], settings, more='resource=~".*(gpu|mig).*"')
    created = selector_of(["kube_pod_created"], settings)
    name = f"{labels_named(settings).cluster},namespace,pod"
    # Each of them is kept by as many servers and exporters as look.
    pods = f"(last_over_time({info}[{range_ms}ms]) and on ({name}) last_over_time({requests}[{range_ms}ms]))"
    made = f"max by ({name},uid) (last_over_time({created}[{range_ms}ms]))"
    whose = f"{name},uid,container,exported_namespace,exported_pod,exported_container,resource"
    asked = f"max by ({whose}) (last_over_time({requests}[{range_ms}ms]))"
    return f"{pods} * on ({name},uid) group_left () {made} or {pods} or {asked}"


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
    engines = series_in(server, [selector_of([series.known_by], settings)], start=start, stop=stop)
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
    asked, labels = _question(series, context.settings), labels_named(context.settings).landed
    return any(
        delivery.from_at == day
        and delivery.said_at >= day + DAY + _SETTLE_LAG
        and {name: delivery.request.get(name) for name in asked} == asked
        and {name: delivery.settings.get(name) for name in labels} == labels
        for delivery in _landed(context, series)
    )


def _landed(context: FetchContext, series: _Series) -> Iterable[Delivery]:
    names = (series.dataset, *tables.FORMER_NAMES.get(series.dataset, ()))
    return (delivery for delivery in context.landed if delivery.dataset in names and delivery.is_complete)


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
        server = server_of(context, attempts=1, seconds=seconds or 1.0)
    except KeyMissingError as error:
        return Probed("no_key", error.problem, error.fix)
    if seconds is None:
        return Probed("not_asked", f"asked with {server.asked_with}; not asked")
    now = as_utc(context.now)
    selector = selector_of([series.known_by], context.settings)
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
        scraped = "the engines" if series is ENGINES else series.what
        return Probed(
            "not_found",
            f"{server.host} answers, and has no {series.what} series of the last hour",
            f"Have it scrape {scraped}, or say leave_out: [{series.dataset}] in settings",
        )
    return Probed("allowed", f"{server.host} answers, and has {series.what} series of the last hour")


# --- dropped files ---------------------------------------------------------------------------------------------------


def recognise(name: str, head: bytes) -> str | None:
    """None: an answer alone speaks for no whole day, so days are fetched and not dropped."""
    return None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """Kept, and never counted."""
    return Fetched(dataset=ENGINES.dataset, payloads=(Payload(name=name, content=content),), complete=False)


def _dataset(series: _Series, yields: tuple[Table, ...], parse: Callable[[bytes, Settings], Frames]) -> Dataset:
    return Dataset(
        source=NAME,
        name=series.dataset,
        mode="replace",
        bucket="utc_day",
        measure="metered",
        tables=yields,
        parse=parse,
        settle_lag=_SETTLE_LAG,
        former_names=tables.FORMER_NAMES.get(series.dataset, ()),
    )


SOURCE = Source(
    name=NAME,
    datasets=(
        _dataset(ENGINES, (tables.ENGINE_SAMPLES,), tables.parse_engines),
        _dataset(DCGM, (tables.GPU_SAMPLES, tables.GPU_PODS), tables.parse_gpus),
        _dataset(KUBE, (tables.PODS,), tables.parse_pods),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    trailing_days=2,
    probe=probe,
    check=check,
)
