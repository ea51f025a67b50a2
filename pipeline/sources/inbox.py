"""Files that wait in an inbox: a folder of the project, or an `s3://bucket/prefix`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from pipeline.config.sources import SourceConfig
from pipeline.errors import ConfigError, SourceError
from pipeline.landing.project import Project
from pipeline.landing.s3 import WHICH_POLICY, missing_permission, s3_client
from pipeline.sources.folder import all_below

_HALF_WRITTEN = (".part", ".tmp", ".crdownload")


@dataclass(frozen=True)
class Waiting:
    """One file of an inbox. `name` is its place below the inbox and is never used as a path or key of ours.

    `version` changes whenever the content may have. `modified_at`: when it was written, where the inbox knows (S3; a
    folder's times are those of the last copy).
    """

    name: str
    size_bytes: int
    version: str
    read: Callable[[], bytes]
    modified_at: datetime | None = None


def waiting_files(project: Project, configured: SourceConfig) -> Iterator[Waiting]:
    """The inbox's regular files, by name; none hidden or half-written, no link out of it.

    ConfigError when there is no such inbox, SourceError when it cannot be listed.
    """
    if configured.inbox is None:
        return iter(())
    if configured.inbox.startswith("s3://"):
        return _below_prefix(configured)
    return _in_folder(project, configured)


def _is_wanted(name: str) -> bool:
    return not name.endswith(_HALF_WRITTEN) and not any(part.startswith(".") for part in name.split("/"))


def _in_folder(project: Project, configured: SourceConfig) -> Iterator[Waiting]:
    inbox = (project.folder / str(configured.inbox)).resolve()
    if not inbox.is_dir():
        raise ConfigError(
            key=f"sources ({configured.source}/{configured.account}).inbox",
            value=configured.inbox,
            fix="No such folder. Create it and drop the export there, or correct the path.",
        )
    for path in all_below(inbox)[0]:
        name = _spelled(path.relative_to(inbox))
        if not _is_wanted(name) or not path.is_file() or not path.resolve().is_relative_to(inbox):
            continue
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # Taken away since it was listed.
        yield Waiting(name, status.st_size, f"{status.st_size}-{status.st_mtime_ns}", path.read_bytes)


def _spelled(path: PurePath) -> str:
    """A name that is not UTF-8 with the odd bytes spelled out: what is landed is text."""
    return path.as_posix().encode(errors="surrogateescape").decode(errors="backslashreplace")


def not_looked_into(project: Project, configured: SourceConfig) -> list[str]:
    """What of the inbox is not read, and why: links that point out of it are not followed, folders may be closed."""
    if configured.inbox is None or configured.inbox.startswith("s3://"):
        return []
    inbox = (project.folder / configured.inbox).resolve()
    paths, closed = all_below(inbox)
    links = [path for path in paths if path.is_symlink() and not path.resolve().is_relative_to(inbox)]
    return [
        *(f"{_spelled(path.relative_to(inbox))} is a link that leads out of it" for path in links),
        *(f"{_spelled(Path(error.filename).relative_to(inbox))}/: {error.strerror}" for error in closed),
    ]


def _below_prefix(configured: SourceConfig) -> Iterator[Waiting]:
    from botocore.exceptions import BotoCoreError, ClientError

    where = str(configured.inbox)
    bucket, _, prefix = where.removeprefix("s3://").partition("/")
    if not bucket:
        raise ConfigError(
            key=f"sources ({configured.source}/{configured.account}).inbox",
            value=where,
            fix="Write s3://<bucket>/<prefix>.",
        )
    # With the slash, so that `bills` does not read `bills-of-others/`.
    start = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    try:
        client = s3_client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start):
            for entry in page.get("Contents", []):
                if not entry["Key"].startswith(start):
                    raise SourceError(
                        f"{where}: what answers as S3 lists {entry['Key'][:200]!r}, which is not below it. Nothing of "
                        "that is read: it may be another account's."
                    )
                name = entry["Key"].removeprefix(start)
                if not name or name.endswith("/") or not _is_wanted(name):
                    continue
                yield Waiting(
                    name,
                    entry["Size"],
                    f"{entry['ETag']}-{entry['LastModified'].isoformat()}",
                    _downloader(client, bucket=bucket, key=entry["Key"], etag=entry["ETag"]),
                    entry["LastModified"],
                )
    except (BotoCoreError, ClientError) as error:
        raise _refused(error, where, "s3:ListBucket") from None


def _downloader(client: Any, *, bucket: str, key: str, etag: str) -> Callable[[], bytes]:
    from botocore.exceptions import BotoCoreError, ClientError

    def download() -> bytes:
        try:
            # The very version that was listed: one that is replaced meanwhile is read at the next look.
            return bytes(client.get_object(Bucket=bucket, Key=key, IfMatch=etag)["Body"].read())
        except (BotoCoreError, ClientError) as error:
            raise _refused(error, f"s3://{bucket}/{key}", "s3:GetObject") from None

    return download


def _refused(error: Exception, where: str, permission: str) -> SourceError:
    response: dict[str, Any] = getattr(error, "response", {})
    reason = response.get("Error", {}).get("Code") or type(error).__name__
    return SourceError(
        f"S3 refused {where}: {reason}. The role needs {missing_permission(error, permission)} there; {WHICH_POLICY}."
    )
