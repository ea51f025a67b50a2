"""Bring what is new into landing: poll folders, pull APIs. One source's failure stops no other."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from pipeline.build.files import swapped
from pipeline.config.sources import BOTH_OF_AN_API, SourceConfig
from pipeline.config.whole import Config
from pipeline.errors import BreakevenError, ConfigError, QuarantineError, SourceError
from pipeline.landing.dataset import UNFORESEEN, Dataset
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.landing import Contents, RedactedError, as_delivery
from pipeline.landing.project import Project
from pipeline.landing.records import Delivery, digest
from pipeline.landing.times import DAY, day_start
from pipeline.sources import SOURCES, source_named
from pipeline.sources.inbox import Waiting, not_looked_into, waiting_files
from pipeline.sources.owned_gpus import DECLARED_FILE
from pipeline.sources.source import FetchContext, Source

# In a delivery's request: it was an inbox that it came from.
_DROPPED = "dropped"
_HEAD_BYTES = 65_536
# A larger drop is a mistake or an attack: exports of this size come in parts.
_MOST_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Ingested:
    """What one source brought, and why it brought no more."""

    source: str
    account: str
    deliveries: tuple[Delivery, ...] = ()
    error: str | None = None


def _configured_source(name: str) -> Source:
    """The shipped source of that name; ConfigError lists the names there are."""
    source = source_named(name)
    if source is None:
        known = ", ".join(sorted({*BOTH_OF_AN_API, *(source.name for source in SOURCES)}))
        raise ConfigError(key="sources.source", value=name, fix=f"No such source. There are: {known}.")
    return source


def check_sources(config: Config) -> None:
    """Raises ConfigError where breakeven.yaml names a source that is not shipped, or settings it cannot work with."""
    for configured in config.sources:
        source = _configured_source(configured.source)
        if source.check is None:
            continue
        others = {other.account for other in config.sources if other is not configured}
        try:
            source.check(configured.settings, others)
        except ConfigError as error:
            # By its names: an entry may stand for several, so that its place in the file is another.
            key = f"sources ({configured.source}/{configured.account}).{error.key}"
            raise ConfigError(key=key, value=error.value, fix=error.fix) from None


def land_config(project: Project, now: datetime) -> bool:
    """Land this version of the configuration if it says something new. True when it did.

    Raises ConfigError, and lands nothing, where it names a source that is not shipped.
    """
    check_sources(project.config)
    return project.land_config(now)


def unwatched(delivery: Delivery) -> None:
    """Nobody watches."""


def ingest(
    project: Project,
    *,
    now: datetime,
    environment: Mapping[str, str],
    sleep: Callable[[float], None],
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    only: Iterable[SourceConfig] | None = None,
    landed: Callable[[Delivery], None] = unwatched,
) -> list[Ingested]:
    """Every configured source once: its dropped files, then its API.

    An API is asked from its watermark until now. With a window [from_at, to_at): from the watermark or `from_at`,
    whichever is earlier, so that no day in between is left out; days before the horizon are not asked for.
    `landed` is told of each delivery once it is landed.
    """
    check_sources(project.config)
    results = []
    for configured in project.config.sources if only is None else only:
        deliveries: list[Delivery] = []
        problem = None
        try:
            for delivery in _one_source(
                project, configured, now=now, environment=environment, sleep=sleep, from_at=from_at, to_at=to_at
            ):
                deliveries.append(delivery)
                landed(delivery)
        except BreakevenError as error:
            problem = str(error)
        except OSError as error:
            problem = _refused_by_the_system(error, configured)
        results.append(Ingested(configured.source, configured.account, tuple(deliveries), problem))
    return results


def _refused_by_the_system(error: OSError, configured: SourceConfig) -> str:
    """A folder that may not be written, or not any more: it keeps no other source from landing."""
    place = "" if error.filename is None else f"{Path(str(error.filename)).name}: "
    return (
        f"{configured.source} of {configured.account}: {place}{error.strerror or type(error).__name__}. What was "
        "landed before stays, and nothing counts twice: put that right and run again."
    )


def _one_source(
    project: Project,
    configured: SourceConfig,
    *,
    now: datetime,
    environment: Mapping[str, str],
    sleep: Callable[[float], None],
    from_at: datetime | None,
    to_at: datetime | None,
) -> Iterator[Delivery]:
    source = _configured_source(configured.source)
    contents = project.landing.contents()
    not_read = yield from _poll(project, configured, source, contents, now)
    if is_fetched(configured, source):
        yield from _pull(
            project, configured, source, contents, now=now, environment=environment, sleep=sleep,
            from_at=from_at, to_at=to_at,
        )  # fmt: skip
    if not_read:
        raise SourceError(
            f"{source.name} of {configured.account}: not read from {configured.inbox}: {'; '.join(not_read)}. "
            "Put that right or take it away; every other file there is landed."
        )


def is_fetched(configured: SourceConfig, source: Source) -> bool:
    """Whether it is asked for: an inbox alone means that its exports are dropped."""
    return source.fetch is not None and (configured.inbox is None or configured.key_env is not None)


def context_for_probe(
    project: Project, configured: SourceConfig, *, now: datetime, environment: Mapping[str, str]
) -> FetchContext:
    """What a probe may know. There is no window: it chooses a day itself."""
    return FetchContext(
        account=configured.account,
        settings=_settings(configured),
        from_at=None,
        to_at=now,
        now=now,
        environment=environment,
        sleep=_never,
        folder=project.folder,
    )


def _never(seconds: float) -> None:
    raise SourceError(f"a probe asks once and does not wait, least of all {seconds} s")


def not_landed(
    project: Project, configured: SourceConfig, files: Sequence[Waiting], contents: Contents
) -> list[Waiting]:
    """Which files of an inbox the next run lands: those that no run has looked at as they are now.

    Where that is not remembered (the cache was thrown away), a file counts as landed if one of its name and size is.
    """
    seen = _seen_in(project, configured)
    landed = {
        (landed.name, landed.size_bytes)
        for delivery in contents.deliveries
        if (delivery.source, delivery.account) == (configured.source, configured.account)
        for landed in delivery.objects
    }
    return [
        file
        for file in files
        if not seen.unchanged(file) and (seen.knows(file) or (file.name, file.size_bytes) not in landed)
    ]


def _seen_in(project: Project, configured: SourceConfig) -> "_Seen":
    return _Seen(project.paths.cache / "polled" / f"{configured.source}-{configured.account}.json", configured.settings)


def _pull(
    project: Project,
    configured: SourceConfig,
    source: Source,
    contents: Contents,
    *,
    now: datetime,
    environment: Mapping[str, str],
    sleep: Callable[[float], None],
    from_at: datetime | None,
    to_at: datetime | None,
) -> Iterator[Delivery]:
    """Land what the API answers for the window, each delivery before the next is asked for."""
    assert source.fetch is not None
    end = min(to_at, now) if to_at else now
    starts: dict[str, datetime] = {}
    for dataset in source.datasets:
        start = _watermark(contents, configured, source, dataset)
        if from_at is not None and start is not None:
            start = max(min(start, from_at), _horizon(configured) or from_at)
        if start is not None:
            starts[dataset.name] = start
    if len(starts) == len(source.datasets) and min(starts.values()) >= end:
        return
    context = FetchContext(
        account=configured.account,
        settings=_settings(configured),
        from_at=max(starts.values(), default=None),
        to_at=end,
        now=now,
        environment=environment,
        sleep=sleep,
        starts=starts,
        landed=tuple(
            delivery
            for delivery in contents.deliveries
            if (delivery.source, delivery.account) == (configured.source, configured.account)
        ),
        folder=project.folder,
    )
    not_landed: list[str] = []
    for fetched in source.fetch(context):
        try:
            delivery = project.landing.land(fetched, source=source.name, account=configured.account, now=now)
        except (SourceError, RedactedError) as error:
            # Its objects are fetched while they land: one delivery that cannot be had keeps no other from landing.
            not_landed.append(str(error))
            continue
        yield delivery
    if not_landed:
        raise SourceError(" ".join(not_landed))


def _settings(configured: SourceConfig) -> dict[str, Any]:
    horizon = configured.horizon.isoformat() if configured.horizon else None
    named = {"base_url": configured.base_url, "key_env": configured.key_env, "horizon": horizon}
    return {**configured.settings, **{name: value for name, value in named.items() if value is not None}}


def _watermark(contents: Contents, configured: SourceConfig, source: Source, dataset: Dataset) -> datetime | None:
    """Where a dataset's last complete fetch ended, less what the provider may have restated; at first, the horizon.

    A dropped file says nothing of what was fetched: the days before it were not, and its own may lie anywhere.
    """
    of_it = configured.source, configured.account, dataset.name
    ends = [
        _spoke_until(delivery, delivery.to_at, dataset)
        for delivery in contents.deliveries
        if (delivery.source, delivery.account, delivery.dataset) == of_it
        and delivery.is_complete
        and delivery.to_at is not None
        and not _was_dropped(delivery)
    ]
    horizon = _horizon(configured)
    if not ends:
        return horizon
    start = day_start(max(ends).date()) - timedelta(days=source.trailing_days)
    return max(start, horizon) if horizon else start


def _spoke_until(delivery: Delivery, to_at: datetime, dataset: Dataset) -> datetime:
    """The end of the days that a fetch spoke for. Of days after the one on which it was said it did not, however far it
    was asked for: a server whose clock is behind, or a memory between, would else be asked for none of them again.
    """
    return to_at if dataset.bucket != "utc_day" else min(to_at, day_start(delivery.said_at.date()) + DAY)


def _was_dropped(delivery: Delivery) -> bool:
    """Whether it came from an inbox. Earlier releases marked none of those. But every fetch there ever was has said in
    `request` what it asked for, and a drop had nothing to say there. Only what is declared was asked of nobody: it has
    the one name that such a delivery has had.
    """
    if delivery.request:
        return bool(delivery.request.get(_DROPPED))
    return [landed.name for landed in delivery.objects] != [DECLARED_FILE]


def _horizon(configured: SourceConfig) -> datetime | None:
    return datetime.combine(configured.horizon, time.min, tzinfo=UTC) if configured.horizon else None


def _poll(
    project: Project, configured: SourceConfig, source: Source, contents: Contents, now: datetime
) -> Generator[Delivery, None, list[str]]:
    """Land every file of the inbox that landing does not have yet. Returns what could not be read there, and why."""
    settings = configured.settings
    seen = _seen_in(project, configured)
    landed = frozenset(delivery.content_id for delivery in contents.deliveries)
    not_read = not_looked_into(project, configured)
    for waiting in waiting_files(project, configured):
        if seen.unchanged(waiting):
            continue
        try:
            fetched = _dropped(source, waiting, settings)
        except FileNotFoundError:
            continue  # Taken away since it was listed.
        except (OSError, QuarantineError, SourceError) as error:
            not_read.append(f"{waiting.name}: {error.strerror if isinstance(error, OSError) else error}")
            continue
        delivery = as_delivery(fetched, source=source.name, account=configured.account, now=now)
        is_redacted = any(item.sha256 in contents.redacted for item in delivery.objects)
        if delivery.content_id not in landed or is_redacted:
            try:
                yield project.landing.land(fetched, source=source.name, account=configured.account, now=now)
            except RedactedError as error:
                not_read.append(str(error))
                continue
        seen.remember(waiting)
    seen.save()
    return not_read


def _dropped(source: Source, waiting: Waiting, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file as a delivery. One that is not recognised still lands, to be quarantined with its reason."""
    name = waiting.name
    if waiting.size_bytes > _MOST_BYTES:
        raise QuarantineError(f"{name} is larger than {_MOST_BYTES // 1024**3} GiB. Drop the export in parts.")
    content = waiting.read()
    fetched = Fetched(
        dataset=source.datasets[0].name, payloads=(Payload(name=name, content=content),), settings=dict(settings)
    )
    if source.takes_any(settings) or source.recognise(name, content[:_HEAD_BYTES]) is not None:
        # Its reader says the same again when it is parsed, and then it is listed with the reason.
        with suppress(QuarantineError, *UNFORESEEN):
            fetched = source.drop(name, content, settings)
    if fetched.stated_at is None and waiting.modified_at is not None:
        fetched = replace(fetched, stated_at=waiting.modified_at, stated_by="last_modified")
    return replace(fetched, request={**fetched.request, _DROPPED: True})


class _Seen:
    """Which files of an inbox were looked at in their present size and time. Derived; may be deleted."""

    def __init__(self, file: Path, settings: Mapping[str, Any]) -> None:
        self._file = file
        self._settings = digest(dict(settings))
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        if file.exists():
            try:
                self._known = json.loads(file.read_bytes())
            except ValueError:
                self._known = {}

    def unchanged(self, waiting: Waiting) -> bool:
        return self._known.get(waiting.name) == [waiting.version, self._settings]

    def knows(self, waiting: Waiting) -> bool:
        return waiting.name in self._known

    def remember(self, waiting: Waiting) -> None:
        self._known[waiting.name] = [waiting.version, self._settings]
        self._changed = True

    def save(self) -> None:
        """It only remembers: where it cannot be written, the next run looks at the files again."""
        if self._changed:
            with suppress(OSError):
                swapped(self._file, self._write)

    def _write(self, aside: Path) -> None:
        aside.write_text(json.dumps(self._known))
