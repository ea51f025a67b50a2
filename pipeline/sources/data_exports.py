"""AWS's exports in S3, or a synced copy of one in a folder: what each billing period's newest manifest lists.

    <export>/metadata/BILLING_PERIOD=2026-10/<export>-Manifest.json               delivery "overwrite"
    <export>/metadata/BILLING_PERIOD=2026-10/<execution>/<export>-Manifest.json   delivery "create new"
    <export>/data/BILLING_PERIOD=2026-10/[<execution>/]<export>-00001.snappy.parquet, or .csv.gz

and of a legacy Cost and Usage Report (keys as public readers of it list them, 2026-11-29):

    <report>/20261001-20261101/<report>-Manifest.json            and once more in the folder of its own refresh
    <report>/20261001-20261101/<assembly>/<report>-00001.csv.gz, or <report>/<report>/year=2026/month=10/....parquet

The manifest's `dataFiles` (of a legacy report `reportKeys`) say which files make the period, never the folder: there
stale chunks of earlier refreshes and, with "create new", every refresh since the first lie side by side, and counting
them double-counts. AWS writes the manifest after all of its files (AWS, "Understanding export delivery", read
2026-11-21), so a file younger than the manifest that lists it belongs to a refresh under way.

A copy in a folder must keep the times, as `aws s3 sync` does: they are what tells a restatement from what it restates.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.formats.values import exact_json
from pipeline.landing.s3 import WHICH_POLICY, missing_permission, s3_client
from pipeline.landing.times import day_start, stamp
from pipeline.sources.folder import listed
from pipeline.sources.source import Access, FetchContext, Fetched, Payload, Probe, Probed

_ATTEMPTS = 4
_FIRST_BACKOFF_SECONDS = 1.0
_CONNECT_TIMEOUT_SECONDS = 10
_READ_TIMEOUT_SECONDS = 60
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._:=+@-]*"
_PLACE = r"(?:s3://(?P<bucket>[^/]+)/)?(?P<prefix>(?:[^/]+/)*?)"


@dataclass(frozen=True)
class Layout:
    """How an export lies in its folder.

    `manifests`: the folder that has them; `manifest`: their names, with year and month. `listed_as`: the list in them.
    `data_file`: what it may name, one file of this export's data with its year and month; anything else is not ours to
    read.
    """

    manifests: str
    manifest: re.Pattern[str]
    listed_as: str
    data_file: re.Pattern[str]


DATA_EXPORT = Layout(
    manifests="metadata/",
    manifest=re.compile(
        r"metadata/(?i:billing_period)=(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])/(?:[^/]+/)?[^/]*Manifest\.json",
        re.ASCII,
    ),
    listed_as="dataFiles",
    data_file=re.compile(
        rf"{_PLACE}(?P<name>data/(?i:billing_period)=(?P<year>\d{{4}})-(?P<month>\d{{2}})/(?:{_SEGMENT}/)?{_SEGMENT})",
        re.ASCII,
    ),
)
LEGACY_REPORT = Layout(
    manifests="",
    manifest=re.compile(r"(?P<year>\d{4})(?P<month>0[1-9]|1[0-2])01-\d{8}/[^/]*-Manifest\.json", re.ASCII),
    listed_as="reportKeys",
    data_file=re.compile(
        rf"{_PLACE}(?P<name>(?P<year>\d{{4}})(?P<month>\d{{2}})01-\d{{8}}/(?:{_SEGMENT}/)?{_SEGMENT}"
        rf"|{_SEGMENT}/year=(?P<year_of>\d{{4}})/month=(?P<month_of>\d{{1,2}})/{_SEGMENT})",
        re.ASCII,
    ),
)
_MEDIA_TYPES = {".parquet": "application/vnd.apache.parquet", ".gz": "application/gzip", ".csv": "text/csv"}
_REPLACED = ("PreconditionFailed", "412")
_MAY_PASS = frozenset(
    {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "ThrottlingException", "RequestTimeTooSkewed"}
)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ExportFile:
    """One file of an export. `name`: its place below the export. `version` changes whenever the content does."""

    name: str
    size_bytes: int
    version: str
    modified_at: datetime


@dataclass(frozen=True)
class _Seen:
    """What a look at the manifests shows. `is_all`: the first thousand files were all there are."""

    manifests: tuple[ExportFile, ...]
    is_all: bool


class _PassingError(Exception):
    """A failure that may be gone at the next attempt."""


class _Place(Protocol):
    """Where an export lies."""

    where: str
    layout: Layout

    def list_files(self, folder: str) -> list[ExportFile]:
        """The files below a folder of the export, whose name ends in `/`."""
        ...

    def read(self, file: ExportFile) -> bytes:
        """The bytes of exactly that version."""
        ...

    def look(self) -> _Seen:
        """One listing of the manifests, and a look at the newest of them. Raises what the client raises."""
        ...

    def name_of(self, listed: str) -> tuple[str, str]:
        """(name, period) of a file as a manifest spells it. SourceError for anything that is not this export's data."""
        ...


def fetch_export(
    context: FetchContext, *, source: str, dataset: str, layout: Layout = DATA_EXPORT
) -> Iterator[Fetched]:
    """One delivery for each billing period, from the horizon on, whose newest manifest has not landed yet.

    Its payloads are the files that the manifest lists, downloaded one after the other while they are landed; landing
    raises SourceError where one cannot be had as the manifest means it, and the period is asked for at the next run.
    """
    place = _place_of(context, source, layout)
    tried = _Tried(source=f"{source} of {context.account}", where=place.where, sleep=context.sleep)
    landed = {
        (delivery.request.get("manifest"), delivery.request.get("version"), delivery.stated_at)
        for delivery in context.landed
        if delivery.dataset == dataset and delivery.is_complete
    }
    horizon = str(context.settings.get("horizon") or "")[:7]
    for period, manifest in sorted(_newest_manifests(tried, place).items()):
        start, stop = month_of(period)
        if period < horizon or start >= context.to_at:
            continue
        if (manifest.name, manifest.version, manifest.modified_at) in landed:
            continue
        yield Fetched(
            dataset=dataset,
            payloads=_listed_files(tried, place, manifest, period),
            from_at=start,
            to_at=stop,
            stated_at=manifest.modified_at,
            stated_by="last_modified",
            settings={"billing_period": period},
            request={"export": place.where, "manifest": manifest.name, "version": manifest.version},
        )


def export_probe(context: FetchContext, *, source: str, dataset: str, layout: Layout = DATA_EXPORT) -> Probe:
    """Whether the export is there, and whether its manifests may be listed and read: two requests, none of them of a
    bill's own files.
    """
    return Probe(dataset, partial(_look, context, source, layout))


def _look(context: FetchContext, source: str, layout: Layout, seconds: float | None) -> Probed:
    is_remote = str(context.settings.get("export") or "").startswith("s3://")
    if is_remote and seconds is None:
        return Probed("not_asked", f"{context.settings['export']}: not asked")
    place = _place_of(context, source, layout, seconds=seconds)
    if is_remote:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            seen = place.look()
        except ClientError as error:
            return _refusal(place.where, error)
        except BotoCoreError as error:
            return _no_answer(place.where, error)
    else:
        try:
            seen = place.look()
        except OSError as error:
            fix = "Let the user that runs breakeven read it"
            return Probed("not_permitted", f"{place.where} cannot be read: {error.strerror}", fix)
    return _of_manifests(place.where, layout, seen)


def _of_manifests(where: str, layout: Layout, seen: _Seen) -> Probed:
    if not seen.manifests:
        return Probed(
            "not_found",
            f"{where} holds no manifest{' below ' if layout.manifests else ''}{layout.manifests}",
            "Correct settings.export: it ends with the export's name. A new export delivers within a day",
        )
    newest = _written_last(seen.manifests)
    count = f"{len(seen.manifests)}{'' if seen.is_all else ' or more'}"
    return Probed(
        "allowed",
        f"{where} may be listed and read: {count} manifest{'' if count == '1' else 's'}, the newest of "
        f"{newest.modified_at:%Y-%m-%d %H:%M} UTC",
    )


def _written_last(manifests: tuple[ExportFile, ...]) -> ExportFile:
    return max(manifests, key=lambda file: (file.modified_at, file.name))


_OF_CODE: Mapping[str, tuple[Access, str, str]] = {
    **dict.fromkeys(
        ("AccessDenied", "403", "AllAccessDisabled"),
        ("not_permitted", "may not be read with these credentials",
         f"The role needs {{permission}} there; {WHICH_POLICY}"),
    ),
    **dict.fromkeys(
        ("NoSuchBucket", "NoSuchKey", "404"),
        ("not_found", "is not there", "Correct settings.export: s3://<bucket>/<prefix>/<export name>"),
    ),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
        ("refused", "is not shown: AWS does not know these credentials, or they have expired",
         "Set AWS credentials anew"),
    ),
    **dict.fromkeys(
        ("SlowDown", "ThrottlingException", "429"), ("throttled", "may be read, and S3 asks to wait", "")
    ),
}  # fmt: skip


def _refusal(where: str, error: Any) -> Probed:
    response: Mapping[str, Any] = error.response
    code = str(response.get("Error", {}).get("Code"))[:60]
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    needed = "s3:GetObject" if error.operation_name == "HeadObject" else "s3:ListBucket"
    permission = missing_permission(error, needed)
    if code in _OF_CODE:
        access, said, fix = _OF_CODE[code]
        return Probed(access, f"{where} {said} ({error.operation_name}: {code})", fix.format(permission=permission))
    if status >= 500:
        return Probed("unreachable", f"S3 fails for {where} (HTTP {status})", "Try again")
    return Probed(
        "odd", f"S3 answers {code} for {where} ({error.operation_name})", f"The role needs {permission}; {WHICH_POLICY}"
    )


def _no_answer(where: str, error: Exception) -> Probed:
    """Of the client's own errors only the kind is said: their text may hold an address with credentials."""
    kind = type(error).__name__
    if "Credential" in kind:
        return Probed(
            "no_key", f"no AWS credentials for {where} ({kind})", "Give this machine a role, or set a profile"
        )
    if kind in ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError",
                "SSLError", "ProxyConnectionError", "HTTPClientError", "ConnectionError"):  # fmt: skip
        return Probed(
            "unreachable", f"S3 cannot be reached for {where} ({kind})", "Look at the network, and AWS_ENDPOINT_URL"
        )
    return Probed("odd", f"S3 cannot be asked for {where} ({kind})", "Look at AWS_REGION and the profile")


def month_of(period: str) -> tuple[datetime, datetime]:
    """The first moment of a billing period and of the next, UTC. Raises ValueError for what is no month."""
    first = date.fromisoformat(f"{period}-01")
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return day_start(first), day_start(following)


def _newest_manifests(tried: "_Tried", place: _Place) -> dict[str, ExportFile]:
    """Billing period -> the manifest written last. With "create new", every refresh has one."""
    newest: dict[str, ExportFile] = {}
    folder = place.layout.manifests
    for file in tried.until_done(folder or "the report", partial(place.list_files, folder)):
        match = place.layout.manifest.fullmatch(file.name)
        if match is None:
            continue
        period = f"{match['year']}-{match['month']}"
        known = newest.get(period)
        if known is None or (known.modified_at, known.name) < (file.modified_at, file.name):
            newest[period] = file
    return newest


def _listed_files(tried: "_Tried", place: _Place, manifest: ExportFile, period: str) -> Iterator[Payload]:
    """The files of one refresh, each read only when the one before it has been landed."""
    names = _names_listed(tried, place, manifest, period)
    there: dict[str, ExportFile] = {}
    for folder in sorted({name.rpartition("/")[0] + "/" for name in names}):
        there |= {file.name: file for file in tried.until_done(folder, partial(place.list_files, folder))}
    for name in names:
        if name not in there:
            raise tried.failure(f"{name}, which {manifest.name} lists, is not there")
        if there[name].modified_at > manifest.modified_at:
            raise tried.failure(
                f"{name} is of {stamp(there[name].modified_at)}, after {manifest.name}, which lists it: the export is "
                "being refreshed, or the copy does not keep the times (`aws s3 sync` does)"
            )
    for name in names:
        # No name for the bytes: they are let go before the next file comes.
        yield Payload(
            name=name,
            content=tried.until_done(name, partial(_whole, place, there[name])),
            media_type=_MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream"),
        )


def _names_listed(tried: "_Tried", place: _Place, manifest: ExportFile, period: str) -> list[str]:
    content = tried.until_done(manifest.name, partial(_whole, place, manifest))
    try:
        said = exact_json(content)
    except QuarantineError as error:
        raise tried.failure(f"{manifest.name} cannot be read: {error}") from None
    listed_as = place.layout.listed_as
    listed = said.get(listed_as) if isinstance(said, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise tried.failure(f"{manifest.name} has no list `{listed_as}` of names")
    names: list[str] = []
    for item in listed:
        name, of_period = place.name_of(item)
        if of_period != period:
            raise tried.failure(f"{manifest.name} lists {item[:200]!r}, which is of another billing period")
        if name in names:
            raise tried.failure(f"{manifest.name} lists {name} twice: it would be counted twice")
        names.append(name)
    return names


def _whole(place: _Place, file: ExportFile) -> bytes:
    content = place.read(file)
    if len(content) != file.size_bytes:
        raise _PassingError(f"{len(content):,} of {file.size_bytes:,} bytes came")
    return content


@dataclass(frozen=True)
class _Tried:
    """Asks again, a bounded number of times, while a failure may pass. `sleep` is the context's: tests do not wait."""

    source: str
    where: str
    sleep: Callable[[float], None]

    def until_done(self, what: str, ask: Callable[[], _Result]) -> _Result:
        problem = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self.sleep(_FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1))
            try:
                return ask()
            except _PassingError as error:
                problem = str(error)
        raise self.failure(f"{what}: {problem}, {_ATTEMPTS} times")

    def failure(self, problem: str) -> SourceError:
        return SourceError(
            f"{self.source}: {self.where}: {problem}. Nothing of this refresh counts; what was landed before still "
            "does. Run again later."
        )


def _place_of(context: FetchContext, source: str, layout: Layout, *, seconds: float | None = None) -> _Place:
    """`seconds`: how long to wait for one answer of S3, where that is less than usual."""
    export = context.settings.get("export")
    key = f"sources ({source}/{context.account}).settings.export"
    if not isinstance(export, str) or not export:
        raise ConfigError(
            key=key, value=export, fix="Write s3://<bucket>/<prefix>/<export name>, or the folder of a synced copy."
        )
    if export.startswith("s3://"):
        bucket, _, prefix = export.removeprefix("s3://").partition("/")
        if not bucket or not prefix.strip("/"):
            raise ConfigError(key=key, value=export, fix="Write s3://<bucket>/<prefix>/<export name>.")
        return _S3(bucket=bucket, prefix=f"{prefix.strip('/')}/", layout=layout, seconds=seconds)
    root = (context.folder / export).resolve()
    if not root.is_dir():
        holds = "`data` and `metadata` of the export" if layout is DATA_EXPORT else "the report's months"
        raise ConfigError(key=key, value=export, fix=f"No such folder. It is the one that holds {holds}.")
    return _Folder(root, where=export, layout=layout)


def _parts_of(listed: str, where: str, layout: Layout) -> "re.Match[str]":
    """A listed file taken apart. SourceError where its name leads anywhere but into an export's data."""
    match = layout.data_file.fullmatch(listed)
    if match is None or ".." in listed.split("/"):
        raise SourceError(
            f"{where}: its manifest lists {listed[:200]!r}, which is not a file of this export's data. It was not read."
        )
    return match


def _period_of(match: "re.Match[str]") -> str:
    said = match.groupdict()
    return f"{said['year'] or said['year_of']}-{int(said['month'] or said['month_of']):02d}"


class _S3:
    """An export's prefix in an S3 bucket."""

    def __init__(self, *, bucket: str, prefix: str, layout: Layout, seconds: float | None = None) -> None:
        from botocore.config import Config

        self.layout = layout
        self.where = f"s3://{bucket}/{prefix.rstrip('/')}"
        self._bucket = bucket
        self._prefix = prefix
        # One attempt a call: trying again is counted, and waited for, in one place.
        self._client = s3_client(
            config=Config(
                retries={"total_max_attempts": 1},
                connect_timeout=seconds or _CONNECT_TIMEOUT_SECONDS,
                read_timeout=seconds or _READ_TIMEOUT_SECONDS,
            ),
        )

    def list_files(self, folder: str) -> list[ExportFile]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._prefix}{folder}"
        )
        entries = self._answer("s3:ListBucket", folder, lambda: [e for page in pages for e in page.get("Contents", [])])
        return [self._file(entry) for entry in entries]

    def _file(self, entry: Mapping[str, Any]) -> ExportFile:
        return ExportFile(
            name=entry["Key"].removeprefix(self._prefix),
            size_bytes=entry["Size"],
            version=entry["ETag"],
            modified_at=entry["LastModified"].astimezone(UTC),
        )

    def look(self) -> _Seen:
        answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=f"{self._prefix}{self.layout.manifests}")
        files = [self._file(entry) for entry in answer.get("Contents", [])]
        manifests = tuple(file for file in files if self.layout.manifest.fullmatch(file.name))
        if manifests:
            self._client.head_object(Bucket=self._bucket, Key=self._prefix + _written_last(manifests).name)
        return _Seen(manifests, is_all=not answer.get("IsTruncated"))

    def read(self, file: ExportFile) -> bytes:
        def download() -> bytes:
            # The very version that was listed: one that is replaced meanwhile is of another refresh.
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + file.name, IfMatch=file.version)
            return bytes(answer["Body"].read())

        return self._answer("s3:GetObject", file.name, download)

    def name_of(self, listed: str) -> tuple[str, str]:
        parts = _parts_of(listed, self.where, self.layout)
        if parts["bucket"] not in (None, self._bucket) or parts["prefix"] != self._prefix:
            raise SourceError(
                f"{self.where}: its manifest lists {listed[:200]!r}, which lies outside this export. It was not read."
            )
        return parts["name"], _period_of(parts)

    def _answer(self, permission: str, name: str, ask: Callable[[], _Result]) -> _Result:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError

        try:
            return ask()
        except ClientError as error:
            response: Mapping[str, Any] = error.response
            code = str(response.get("Error", {}).get("Code"))
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in _MAY_PASS or status >= 500 or status == 429:
                raise _PassingError(f"S3 answered {code}") from None
            if code in _REPLACED:
                raise SourceError(
                    f"{self.where}: {name} was replaced while it was read: the export is being refreshed. Nothing of "
                    "this refresh counts. Run again later."
                ) from None
            raise SourceError(
                f"S3 refused {self.where}/{name}: {code}. The role needs {missing_permission(error, permission)} "
                f"there; {WHICH_POLICY}."
            ) from None
        except (HTTPClientError, IncompleteReadError) as error:
            raise _PassingError(f"the connection failed ({type(error).__name__})") from None
        except (BotoCoreError, OSError) as error:
            raise SourceError(f"S3 cannot be asked for {self.where}: {type(error).__name__}: {error}.") from None


class _Folder:
    """A synced copy of an export."""

    def __init__(self, root: Path, *, where: str, layout: Layout) -> None:
        self.where = where
        self.layout = layout
        self._root = root

    def list_files(self, folder: str) -> list[ExportFile]:
        found: list[ExportFile] = []
        for path in listed(self._root / folder):
            if not path.is_file() or not path.resolve().is_relative_to(self._root):
                continue
            status = path.stat()
            found.append(
                ExportFile(
                    name=path.relative_to(self._root).as_posix(),
                    size_bytes=status.st_size,
                    version=f"{status.st_size}-{status.st_mtime_ns}",
                    modified_at=datetime.fromtimestamp(status.st_mtime, UTC),
                )
            )
        return found

    def look(self) -> _Seen:
        found = self.list_files(self.layout.manifests)
        manifests = tuple(file for file in found if self.layout.manifest.fullmatch(file.name))
        if manifests:
            with (self._root / _written_last(manifests).name).open("rb"):
                pass
        return _Seen(manifests, is_all=True)

    def read(self, file: ExportFile) -> bytes:
        path = self._root / file.name
        try:
            content = path.read_bytes()
            status = path.stat()
        except OSError as error:
            raise SourceError(f"{self.where}: {file.name} cannot be read: {error.strerror}.") from None
        if f"{status.st_size}-{status.st_mtime_ns}" != file.version:
            raise SourceError(f"{self.where}: {file.name} was replaced while it was read. Run again later.")
        return content

    def name_of(self, listed: str) -> tuple[str, str]:
        parts = _parts_of(listed, self.where, self.layout)
        return parts["name"], _period_of(parts)
