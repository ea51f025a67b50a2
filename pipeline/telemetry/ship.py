"""Closed spool files to a folder or an S3 prefix, in a process that ends: a client of S3 is 50 MB resident.

Below the prefix each host has a folder of its own, and a file keeps its name, gzipped. It is put where nothing lies,
and removed here only once it lies there: whenever this is killed, a file is shipped again or is there already.
`python -m pipeline.telemetry.ship SPOOL TO HOST`, as the agent calls it.
"""

import gzip
import os
import re
import secrets
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from pipeline.errors import BreakevenError, MissingExtraError
from pipeline.telemetry.spool import closed_files, sync_folder

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class ShipError(BreakevenError):
    """Files could not be shipped, or lie there with other bytes. They are kept. The message says which and why."""

    exit_code = 3


class Place(Protocol):
    """Where files are shipped to. Both raise ShipError where it does not answer."""

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """False where something lies under this name; it is never replaced."""
        ...

    def read(self, name: str) -> bytes: ...


@dataclass
class Shipped:
    """What one call did: names of files, the oldest first. `refused`: other bytes lie there under the same name.

    `unreadable`: could not be read here, and why.
    """

    put: list[str] = field(default_factory=list)
    there_already: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def ship(spool: Path, to: str, *, host: str, after_put: Callable[[str], None] = lambda _: None) -> Shipped:
    """Ship every closed file. `after_put` is called between a put and the removal, for tests.

    ShipError where the place does not answer (what was shipped before stays shipped).
    """
    folder = _UNSAFE.sub("-", host) or "host"
    if not folder.strip("."):
        raise ShipError(f"{host!r} names no host: its files would lie outside {to}. Say --host.")
    place = place_at(to)
    done = Shipped()
    for path in map(Path, closed_files(spool)):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # another process shipped it, or the agent made room
        except OSError as error:
            done.unreadable.append(f"{path.name}: {error.strerror}")
            continue
        name = f"{folder}/{path.name}.gz"
        if place.put_if_absent(name, gzip.compress(content, compresslevel=6, mtime=0)):
            after_put(path.name)
            done.put.append(path.name)
        elif _unzipped(place.read(name)) == content:
            done.there_already.append(path.name)
        else:
            done.refused.append(path.name)
            continue
        path.unlink(missing_ok=True)
    return done


def place_at(to: str) -> Place:
    """A folder, or `s3://bucket/prefix`. ShipError for any other address, MissingExtraError without boto3."""
    refuse_bad_place(to)
    if "://" not in to:
        return _Folder(Path(to))
    parts = urlsplit(to)
    return _S3Prefix(to, bucket=parts.netloc, prefix=parts.path.strip("/"))


def refuse_bad_place(to: str) -> None:
    """Find out before the first file is closed what would refuse every one. Imports nothing."""
    if "://" not in to:
        return
    parts = urlsplit(to)
    if parts.scheme != "s3" or not parts.hostname:
        raise ShipError(f"{to!r} is neither a folder nor s3://bucket/prefix.")
    if find_spec("boto3") is None:
        raise MissingExtraError(command="agent ship --to s3://...", module="boto3")


def _unzipped(content: bytes) -> bytes | None:
    """What lies there; null where it is no whole gzip. Compared unzipped: another zlib may pack the same bytes."""
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return None


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put_if_absent(self, name: str, content: bytes) -> bool:
        path = self._root / name
        aside = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with aside.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(aside, path)
            except FileExistsError:
                return False
            finally:
                aside.unlink(missing_ok=True)
            sync_folder(path.parent)
        except OSError as error:
            raise ShipError(f"{path}: {error.strerror}. The spool keeps the files; ship them again.") from None
        return True

    def read(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise ShipError(f"{self._root / name}: {error.strerror}. The spool keeps the files.") from None


class _S3Prefix:
    def __init__(self, to: str, *, bucket: str, prefix: str) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        self._to = to
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client_error: type[Any] = ClientError
        self._errors = (BotoCoreError, ClientError)
        bounds = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 4})
        try:
            self._client = boto3.client("s3", config=bounds)
        except self._errors as error:
            raise self._failed(error) from None

    def put_if_absent(self, name: str, content: bytes) -> bool:
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content, IfNoneMatch="*")
        except self._client_error as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412:
                return False
            raise self._failed(error) from None
        except self._errors as error:
            raise self._failed(error) from None
        return True

    def read(self, name: str) -> bytes:
        try:
            found: bytes = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
        except self._errors as error:
            raise self._failed(error) from None
        return found

    def _failed(self, error: Exception) -> ShipError:
        response = getattr(error, "response", {})
        code = response.get("Error", {}).get("Code") or type(error).__name__
        return ShipError(
            f"{self._to} refuses or does not answer ({code}). The agent needs s3:PutObject and s3:GetObject on "
            f"{self._prefix or ''}*, and credentials by environment, profile or instance role. The files are kept here."
        )


def refusal(done: Shipped, *, to: str) -> ShipError | None:
    """The error for files that lie there with other bytes or cannot be read here; null where there are none."""
    if done.unreadable and not done.refused:
        return ShipError(
            f"{len(done.unreadable)} of the spool's files cannot be read and are kept here: "
            f"{'; '.join(done.unreadable[:3])}. Move them away, or let this user read them."
        )
    if not done.refused:
        return None
    shown = ", ".join(done.refused[:3]) + (" ..." if len(done.refused) > 3 else "")
    return ShipError(
        f"{len(done.refused)} files lie at {to} with other bytes and are kept here: {shown}. Nothing there is "
        "replaced: look at both, then move one of them away."
        + (f" And {len(done.unreadable)} cannot be read: {'; '.join(done.unreadable[:3])}." if done.unreadable else "")
    )


def main(arguments: list[str]) -> int:
    """What the agent starts. Reasons go to standard error."""
    spool, to, host = arguments
    try:
        refused = refusal(ship(Path(spool), to, host=host), to=to)
    except BreakevenError as error:
        refused = ShipError(str(error))
    if refused is not None:
        sys.stderr.write(f"breakeven agent: {refused}\n")
    return 0 if refused is None else refused.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
