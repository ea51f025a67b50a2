"""Put, list and read immutable bytes, in a folder or in an S3 bucket. Nothing is ever replaced."""

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.errors import LandingError
from pipeline.landing.s3 import WHICH_POLICY, missing_permission, s3_client

_KEY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._=-]*(/[A-Za-z0-9][A-Za-z0-9._=-]*)*$")
# One request to S3 takes tens of milliseconds, nearly all of them waiting.
S3_CONNECTIONS = 16
_CHUNK_BYTES = 1024**2
# "Another write of this key is under way" says nothing of how that one ends: it is asked again.
_CONFLICT_ATTEMPTS = 6
_CONFLICT_WAIT_SECONDS = 0.05
_READ_ATTEMPTS = 3
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Entry:
    """What lies under a key: its size and when it was put."""

    key: str
    size_bytes: int
    modified_at: datetime


class Store(Protocol):
    """The whole of what is needed from a place to keep bytes. Keys are `a/b/c`, listed in byte order."""

    def put_if_absent(self, key: str, content: bytes, *, content_type: str | None = None) -> bool:
        """Write once. True if this call wrote it, False if something was there; never replaces.

        `content_type`: as what it is given to whoever opens it by its address, where the store has addresses.
        """
        ...

    def read(self, key: str) -> bytes:
        """The bytes under a key that must be there; LandingError otherwise."""
        ...

    def find(self, key: str) -> bytes | None:
        """The bytes under a key, or None where nothing was put."""
        ...

    def read_all(self, keys: Sequence[str]) -> list[bytes]:
        """`read` of each, in the order asked; several at a time where each takes long."""
        ...

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Keys below the folder `prefix` that are greater than `after`, ascending."""
        ...

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The same with sizes and times."""
        ...

    def put_file_if_absent(self, key: str, file: Path) -> bool:
        """`put_if_absent` of a file's bytes, which need not fit into memory."""
        ...

    def copy_to(self, key: str, target: Path) -> bool:
        """Write the bytes under a key to a new file. False where nothing was put."""
        ...

    def holds(self, key: str) -> bool:
        """Whether something is under a key."""
        ...

    def delete(self, key: str) -> None:
        """Take away what is under a key, if anything is. A store with versions keeps the old one."""
        ...

    def erase(self, key: str) -> None:
        """Take it away with every version of it that the store kept."""
        ...


def check_key(key: str) -> str:
    """A key that cannot leave its store: no `..`, no absolute path, no odd characters."""
    if not _KEY.fullmatch(key) or ".." in key:
        raise LandingError(f"{key!r} is not a storable key. Keys are letters, digits, '.', '_', '-', '=' between '/'.")
    return key


def _must_exist(key: str, content: bytes | None) -> bytes:
    if content is None:
        raise LandingError(f"{key} is named by a manifest but is not in landing. Restore it from a backup.")
    return content


def open_store(location: str) -> "FolderStore | S3Store":
    """A folder path or an `s3://bucket/prefix` URL."""
    if location.startswith("s3://"):
        return S3Store.from_url(location)
    return FolderStore(Path(location))


class FolderStore:
    """A folder. Written aside, synced, then linked into place, so that a reader never sees half an object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_if_absent(self, key: str, content: bytes, *, content_type: str | None = None) -> bool:
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

    def put_file_if_absent(self, key: str, file: Path) -> bool:
        return self.put_if_absent(key, file.read_bytes())

    def copy_to(self, key: str, target: Path) -> bool:
        try:
            shutil.copyfile(self.root / check_key(key), target)
        except FileNotFoundError:
            return False
        return True

    def holds(self, key: str) -> bool:
        return (self.root / check_key(key)).exists()

    def delete(self, key: str) -> None:
        (self.root / check_key(key)).unlink(missing_ok=True)

    def erase(self, key: str) -> None:
        self.delete(key)

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

    def read_all(self, keys: Sequence[str]) -> list[bytes]:
        return [self.read(key) for key in keys]

    def file_of(self, key: str) -> Path:
        """Where the bytes under a key lie, if they do."""
        return self.root / check_key(key)

    def entries(self, prefix: str) -> Iterator[Entry]:
        for key in self.keys(prefix):
            try:
                status = (self.root / key).stat()
            except FileNotFoundError:
                continue  # taken away since it was listed
            yield Entry(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        yield from self._walk(self.root / prefix.rstrip("/"), prefix.rstrip("/"), after)

    def _walk(self, folder: Path, key: str, after: str) -> Iterator[str]:
        try:
            # As their keys sort: `a.json` before what lies in `a/`.
            entries = sorted(os.scandir(folder), key=lambda entry: f"{entry.name}/" if entry.is_dir() else entry.name)
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
        from botocore.config import Config

        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        config = Config(
            max_pool_connections=2 * S3_CONNECTIONS,
            connect_timeout=10,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 5},
        )
        return cls(client=s3_client(config=config), bucket=bucket, prefix=prefix)

    def below(self, folder: str) -> "S3Store":
        """The same S3 bucket, further down."""
        return S3Store(client=self._client, bucket=self._bucket, prefix=f"{self._prefix}{folder}")

    def put_if_absent(self, key: str, content: bytes, *, content_type: str | None = None) -> bool:
        return self._put(key, content, content_type)

    def put_file_if_absent(self, key: str, file: Path) -> bool:
        with file.open("rb") as content:
            return self._put(key, content)

    def _put(self, key: str, body: Any, content_type: str | None = None) -> bool:
        from botocore.exceptions import ClientError

        said = {} if content_type is None else {"ContentType": content_type}
        with self._asked(f"store {key}", "s3:PutObject, s3:GetObject and s3:ListBucket"):
            for attempt in range(_CONFLICT_ATTEMPTS):
                try:
                    self._client.put_object(
                        Bucket=self._bucket, Key=self._prefix + check_key(key), Body=body, IfNoneMatch="*", **said
                    )
                    return True
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code == "PreconditionFailed":
                        return self._was_ours(key, body, error)
                    if code != "ConditionalRequestConflict" or attempt == _CONFLICT_ATTEMPTS - 1:
                        raise
                time.sleep(_CONFLICT_WAIT_SECONDS * 2**attempt)
                if not isinstance(body, bytes):
                    body.seek(0)
        raise AssertionError("unreachable")

    def _was_ours(self, key: str, body: Any, error: Any) -> bool:
        """Whether what is there was put by this very call: its answer was lost on the way, and it was sent again."""
        if not error.response.get("ResponseMetadata", {}).get("RetryAttempts") or not isinstance(body, bytes):
            return False
        return self.find(key) == body

    def read(self, key: str) -> bytes:
        return _must_exist(key, self.find(key))

    def find(self, key: str) -> bytes | None:
        return self._read(key, lambda body: bytes(body.read()))

    def read_all(self, keys: Sequence[str]) -> list[bytes]:
        if len(keys) < 2:
            return [self.read(key) for key in keys]
        with ThreadPoolExecutor(min(S3_CONNECTIONS, len(keys))) as pool:
            return list(pool.map(self.read, keys))

    def copy_to(self, key: str, target: Path) -> bool:
        def write(body: Any) -> bool:
            with target.open("wb") as file:
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    file.write(chunk)
            return True

        return self._read(key, write) is not None

    def _read(self, key: str, read: Callable[[Any], _Read]) -> _Read | None:
        """What `read` makes of the bytes, begun anew where the connection ended in their midst. None: nothing there."""
        from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

        with self._asked(f"read {key}", "s3:GetObject and s3:ListBucket"):
            for attempt in range(_READ_ATTEMPTS):
                try:
                    return read(self._client.get_object(Bucket=self._bucket, Key=self._prefix + check_key(key))["Body"])
                except ClientError as error:
                    if error.response["Error"]["Code"] == "NoSuchKey":
                        return None
                    raise
                except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                    if attempt == _READ_ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def holds(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        with self._asked(f"read {key}", "s3:GetObject and s3:ListBucket"):
            try:
                self._client.head_object(Bucket=self._bucket, Key=self._prefix + check_key(key))
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    return False
                raise
            return True

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return (str(entry["Key"]).removeprefix(self._prefix) for entry in self._listed(prefix, after))

    def entries(self, prefix: str) -> Iterator[Entry]:
        for entry in self._listed(prefix, ""):
            modified_at = entry["LastModified"].astimezone(UTC)
            yield Entry(str(entry["Key"]).removeprefix(self._prefix), int(entry["Size"]), modified_at)

    def _listed(self, prefix: str, after: str) -> Iterator[Any]:
        below = f"{self._prefix}{prefix.rstrip('/')}/"
        with self._asked(f"list {prefix}", "s3:ListBucket"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=below, StartAfter=self._prefix + after if after else ""
            )
            for page in pages:
                yield from page.get("Contents", [])

    def delete(self, key: str) -> None:
        with self._asked(f"delete {key}", "s3:DeleteObject"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + check_key(key))

    def erase(self, key: str) -> None:
        whole = self._prefix + check_key(key)
        with self._asked(f"erase {key}", "s3:DeleteObject, s3:DeleteObjectVersion and s3:ListBucketVersions"):
            pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=whole)
            for page in pages:
                for version in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                    if version["Key"] == whole:
                        self._client.delete_object(Bucket=self._bucket, Key=whole, VersionId=version["VersionId"])

    @contextmanager
    def _asked(self, what: str, rights: str) -> Iterator[None]:
        """LandingError in S3's words where it refuses, or cannot be reached after all retries."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code, status = error.response["Error"]["Code"], error.response.get("ResponseMetadata", {})
            if status.get("HTTPStatusCode", 0) >= 500:
                raise LandingError(
                    f"S3 failed to {what} in {self._bucket}: {code}, after all retries. Nothing is lost: run again."
                ) from None
            raise LandingError(
                f"S3 refused to {what} in {self._bucket}: {code}. The role needs {missing_permission(error, rights)} "
                f"on this bucket; {WHICH_POLICY}."
            ) from None
        except BotoCoreError as error:
            raise LandingError(
                f"S3 could not be asked to {what} in {self._bucket}: {' '.join(str(error).split())[:300]}. "
                "Nothing is lost: run again when it can be reached."
            ) from None
