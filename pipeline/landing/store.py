"""Put, list and read immutable bytes, in a folder or in an S3 bucket. Nothing is ever replaced."""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import LandingError
from pipeline.landing.s3 import s3_client

_KEY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._=-]*(/[A-Za-z0-9][A-Za-z0-9._=-]*)*$")


@dataclass(frozen=True)
class Entry:
    """What lies under a key: its size and when it was put."""

    key: str
    size_bytes: int
    modified_at: datetime


class Store(Protocol):
    """The whole of what landing needs from a place to keep bytes. Keys are `a/b/c`, listed in byte order."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write once. True if this call wrote it, False if something was there; never replaces."""
        ...

    def read(self, key: str) -> bytes:
        """The bytes under a key that must be there; LandingError otherwise."""
        ...

    def find(self, key: str) -> bytes | None:
        """The bytes under a key, or None where nothing was put."""
        ...

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Keys that start with `prefix` and are greater than `after`, ascending."""
        ...

    def entries(self, prefix: str) -> Iterator[Entry]:
        """What lies under the keys that start with `prefix`, ascending."""
        ...


def check_key(key: str) -> str:
    """A key that cannot leave its store: no `..`, no absolute path, no odd characters."""
    if not _KEY.match(key) or ".." in key:
        raise LandingError(f"{key!r} is not a storable key. Keys are letters, digits, '.', '_', '-', '=' between '/'.")
    return key


def _must_exist(key: str, content: bytes | None) -> bytes:
    if content is None:
        raise LandingError(f"{key} is named by a manifest but is not in landing. Restore it from a backup.")
    return content


def open_store(location: str) -> Store:
    """A folder path or an `s3://bucket/prefix` URL."""
    if location.startswith("s3://"):
        return S3Store.from_url(location)
    return FolderStore(Path(location))


class FolderStore:
    """A folder. Written aside, synced, then linked into place, so that a reader never sees half an object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_if_absent(self, key: str, content: bytes) -> bool:
        target = self.root / check_key(key)
        if target.exists():
            return False
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            return self._link(target, content)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LandingError(
                    f"No space left to land {len(content):,} bytes in {self.root.name}/. Nothing is counted twice and "
                    "nothing is lost: free some space and run again."
                ) from None
            raise

    def _link(self, target: Path, content: bytes) -> bool:
        aside = target.parent / f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(aside, target)
        except FileExistsError:
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True

    def read(self, key: str) -> bytes:
        return _must_exist(key, self.find(key))

    def find(self, key: str) -> bytes | None:
        try:
            return (self.root / check_key(key)).read_bytes()
        except FileNotFoundError:
            return None

    def file_of(self, key: str) -> Path | None:
        """The file under a key, or None where nothing was put."""
        file = self.root / check_key(key)
        return file if file.exists() else None

    def entries(self, prefix: str) -> Iterator[Entry]:
        for key in self.keys(prefix):
            status = (self.root / key).stat()
            yield Entry(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        yield from self._walk(self.root / prefix.rstrip("/"), prefix.rstrip("/"), after)

    def _walk(self, folder: Path, key: str, after: str) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            child = f"{key}/{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if child + "/\uffff" > after:
                    yield from self._walk(Path(entry.path), child, after)
            elif child > after:
                yield child


class S3Store:
    """An S3 bucket below a prefix. Put-if-absent is S3's own conditional write (`If-None-Match: *`)."""

    def __init__(self, *, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def from_url(cls, url: str) -> "S3Store":
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        return cls(client=s3_client(), bucket=bucket, prefix=prefix)

    def put_if_absent(self, key: str, content: bytes) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + check_key(key), Body=content, IfNoneMatch="*"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise LandingError(
                f"S3 refused to store {key} in {self._bucket}: {error.response['Error']['Code']}. "
                "The role needs s3:PutObject, s3:GetObject and s3:ListBucket on this bucket."
            ) from None
        return True

    def read(self, key: str) -> bytes:
        return _must_exist(key, self.find(key))

    def find(self, key: str) -> bytes | None:
        from botocore.exceptions import ClientError

        try:
            response = self._client.get_object(Bucket=self._bucket, Key=self._prefix + check_key(key))
            return bytes(response["Body"].read())
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchKey":
                return None
            raise LandingError(
                f"S3 refused to read {key} in {self._bucket}: {code}. The role needs s3:GetObject on this bucket."
            ) from None

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return (entry.key for entry in self._listed(prefix, after))

    def entries(self, prefix: str) -> Iterator[Entry]:
        return self._listed(prefix, "")

    def _listed(self, prefix: str, after: str) -> Iterator[Entry]:
        from botocore.exceptions import BotoCoreError, ClientError

        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix, StartAfter=self._prefix + after if after else ""
        )
        try:
            for page in pages:
                for entry in page.get("Contents", []):
                    key = entry["Key"].removeprefix(self._prefix)
                    yield Entry(key, entry["Size"], entry["LastModified"].astimezone(UTC))
        except (BotoCoreError, ClientError) as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code") or type(error).__name__
            raise LandingError(
                f"S3 refused to list {self._bucket}: {code}. The role needs s3:ListBucket on this bucket."
            ) from None
