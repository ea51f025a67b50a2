"""The spool folder of one host: records go to one open file, which is closed by a rename and then shipped.

A line is handed to the kernel whole, so a killed agent loses nothing; a power cut loses at most what was written since
the last sync. One agent a folder (a lock); what an agent before it left open is closed when the next one begins.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial

from pipeline.errors import BreakevenError
from pipeline.formats import spool
from pipeline.formats.frozen import Frozen
from pipeline.formats.spool import Gap, Header, Loss, Record, encode_record
from pipeline.telemetry.clock import Instant

TYPE_CHECKING = False
if TYPE_CHECKING:
    Folder = str | os.PathLike[str]

CLOSED_SUFFIX = ".spool.jsonl"
_OPEN_SUFFIX = ".spool.open"
_LOCK_NAME = ".agent.lock"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_TAIL_BYTES = 1024**2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SpoolError(BreakevenError):
    """The spool folder cannot be used. The message says why and what to do."""

    exit_code = 4


class Limits(Frozen, kw_only=True):
    """When a file is synced and closed, and how much of the disk closed files may take."""

    sync_after_ms: int = 10_000
    close_after_ms: int = 15 * 60_000
    file_bytes: int = 16 * 1024**2
    folder_bytes: int = 1024**3

    def __init__(self, **told: int) -> None:
        super().__init__(**told)
        if self.folder_bytes < 2 * self.file_bytes:
            raise ValueError(f"a folder of {self.folder_bytes} bytes does not hold two files of {self.file_bytes}")


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """The folder, made where it is not there, as this process's own. SpoolError where another agent writes to it."""
    try:
        os.makedirs(folder, exist_ok=True)
        lock = os.open(os.path.join(folder, _LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolError(f"{folder}: {error.strerror}. Name a folder that this user may write to.") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SpoolError(
                f"{folder}: another agent writes here. Stop it, or give this one its own --spool."
            ) from None
        yield
    finally:
        os.close(lock)


class SpoolWriter:
    """Writes records of one agent start, numbered from 0. Call `maintain` often; nothing here waits or reads a clock.

    A record that the disk refuses is counted and said in a loss record as soon as the disk takes one; it never raises.
    `written` is told each record that the disk has taken, those of its own making too.
    """

    def __init__(
        self,
        folder: Folder,
        header: Header,
        limits: Limits,
        *,
        now: Instant,
        written: Callable[[Record, Instant], None] = lambda *_: None,
    ) -> None:
        self._written = written
        self._folder = folder
        self._header = header
        self._limits = limits
        self._seq = 0
        self._file: _OpenFile | None = None
        self._unwritten = 0
        self._unwritten_reason = ""
        self.last_error: str | None = None
        for found, last in _close_left_over(folder):
            gap_ms = now.at_ms - _ms(last)
            if gap_ms > 0:
                reason = f"no agent ran: {found} was left open, its last record is of {spool.format_at(last)}"
                self.write(Gap(interval_ms=gap_ms, reason=reason), now)
        self._keep_within_bound(now)

    def write(self, record: Record, at: Instant) -> None:
        """Append one record, after what could not be written before it."""
        if self._unwritten and self._append(Loss(lost_records=self._unwritten, reason=self._unwritten_reason), at):
            self._unwritten = 0
        if not self._append(record, at):
            self._unwritten += 1

    def maintain(self, now: Instant) -> None:
        """Sync what is due; close a file that is large or old enough, and keep the folder within its bound."""
        file = self._file
        if file is None:
            return
        if file.size >= self._limits.file_bytes or now.mono_ms - file.opened_ms >= self._limits.close_after_ms:
            self.close()
            self._keep_within_bound(now)
        elif file.is_dirty and now.mono_ms - file.synced_ms >= self._limits.sync_after_ms:
            self._tried(file.sync)
            file.synced_ms = now.mono_ms

    def close(self) -> None:
        """Sync, and give the file the name that says it is whole."""
        file, self._file = self._file, None
        if file is not None:
            self._tried(lambda: file.close(self._folder))

    def _append(self, record: Record, at: Instant) -> bool:
        if self._file is None:
            self._file = self._opened(at)
        return self._file is not None and self._put(self._file, record, at)

    def _opened(self, at: Instant) -> _OpenFile | None:
        stamp = f"{_moment(at):%Y%m%dT%H%M%SZ}"
        name = f"{stamp}-{_UNSAFE.sub('-', self._header.agent_start_id)}-{self._seq:010d}"
        try:
            file = _OpenFile.create(self._folder, name, opened_ms=at.mono_ms)
        except OSError as error:
            self._failed(error)
            return None
        return file if self._put(file, self._header, at) else None

    def _put(self, file: _OpenFile, record: Record, at: Instant) -> bool:
        try:
            file.append(encode_record(record, seq=self._seq, at=_moment(at), mono_ms=at.mono_ms))
        except OSError as error:
            self._failed(error)
            if file.size == 0:
                file.discard()
            return False
        self._seq += 1
        self.last_error = None
        self._written(record, at)
        return True

    def _keep_within_bound(self, now: Instant) -> None:
        for name, lost_records in self._make_room():
            reason = f"the spool was full ({self._limits.folder_bytes} bytes): {name} was removed before it was shipped"
            self.write(Loss(lost_records=lost_records, reason=reason), now)

    def _make_room(self) -> Iterator[tuple[str, int]]:
        """Remove the oldest closed files beyond the bound. Each one's name, and how many records it held."""
        closed = closed_files(self._folder)
        sizes = {path: _size(path) for path in closed}
        held = sum(sizes.values()) + self._limits.file_bytes  # the one that is opened next
        for path in closed:
            if held <= self._limits.folder_bytes:
                return
            lost_records = _count_records(path)
            if lost_records is None or not self._tried(partial(os.unlink, path)):
                continue  # shipped meanwhile, which freed it as well
            held -= sizes[path]
            yield os.path.basename(path), lost_records

    def _tried(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except OSError as error:
            self._failed(error)
            return False
        return True

    def _failed(self, error: OSError) -> None:
        name = errno.errorcode.get(error.errno or 0, "error")
        self._unwritten_reason = f"the spool could not be written: {error.strerror} ({name})"
        self.last_error = self._unwritten_reason


class _OpenFile:
    """The file that is written to. Each append is whole or is taken back."""

    def __init__(self, path: str, descriptor: int, *, opened_ms: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self.opened_ms = self.synced_ms = opened_ms
        self.size = 0
        self.is_dirty = False

    @classmethod
    def create(cls, folder: Folder, name: str, *, opened_ms: int) -> _OpenFile:
        path = os.path.join(folder, f"{name}{_OPEN_SUFFIX}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return cls(path, os.open(path, flags, 0o640), opened_ms=opened_ms)

    def append(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(line)
        self.is_dirty = True

    def sync(self) -> None:
        os.fsync(self._descriptor)
        self.is_dirty = False

    def close(self, folder: Folder) -> None:
        try:
            self.sync()
        finally:
            os.close(self._descriptor)
        _finish(self._path, folder)

    def discard(self) -> None:
        os.close(self._descriptor)
        _remove(self._path)


def closed_files(folder: Folder) -> list[str]:
    """Files that are whole, the oldest first."""
    return _files(folder, CLOSED_SUFFIX)


def _files(folder: Folder, suffix: str) -> list[str]:
    """Paths in their order; none where the folder cannot be read."""
    with suppress(OSError):
        return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(suffix))
    return []


def _close_left_over(folder: Folder) -> list[tuple[str, datetime]]:
    """Close what a dead agent left open; of each the name, and the moment of its last record where it has one."""
    found: list[tuple[str, datetime]] = []
    for path in _files(folder, _OPEN_SUFFIX):
        if not _size(path):
            _remove(path)
            continue
        with open(path, "r+b") as file:
            os.fsync(file.fileno())
            file.seek(max(_size(path) - _TAIL_BYTES, 0))
            lines = file.read().split(b"\n")
        closed = _finish(path, folder)
        last = spool.nearest_at(lines, otherwise=_EPOCH)
        if last != _EPOCH:
            found.append((os.path.basename(closed), last))
    return found


def _finish(path: str, folder: Folder) -> str:
    closed = path.removesuffix(_OPEN_SUFFIX) + CLOSED_SUFFIX
    os.rename(path, closed)
    sync_folder(folder)
    return closed


def sync_folder(folder: Folder) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _count_records(path: str) -> int | None:
    """Records of a file that say something, with those that its loss records count; null where it cannot be read."""
    try:
        with open(path, "rb") as lines:
            return sum(map(_lost_with, lines))
    except OSError:
        return None


def _lost_with(line: bytes) -> int:
    if line.startswith(b'{"record":"header"'):
        return 0
    if not line.startswith(b'{"record":"loss"'):
        return 1
    try:
        return int(spool.decode_record(line).get("lost_records") or 0)
    except spool.RejectedLineError:
        return 1


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _moment(at: Instant) -> datetime:
    return datetime.fromtimestamp(at.at_ms // 1000, UTC).replace(microsecond=at.at_ms % 1000 * 1000)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
