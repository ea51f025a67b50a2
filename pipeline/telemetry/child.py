"""Processes of ours, started by the system's own call: `subprocess` is a megabyte of an agent that starts two."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

_DESCRIPTORS = "/proc/self/fd"
_FIRST_FREE = 3  # above standard input, output and error
# What Python ignores and hands on: in the process that is started they are as the system has them.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
# Of a process that somebody else has waited for, nobody can say how it ended.
_UNKNOWN_CODE = 255


def own_process(module: str, *arguments: str) -> list[str]:
    """The command of a process of ours; what lies in the folder it is started in is not imported."""
    return [sys.executable, "-P", "-m", module, *arguments]


class Child:
    """`stdin`, `stdout`: this side's descriptors of its pipes, null where it was given none."""

    def __init__(self, pid: int, *, stdin: int | None = None, stdout: int | None = None) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or the signal that ended it below 0; null while it runs. It never waits."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._code = _UNKNOWN_CODE
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def kill(self) -> None:
        if self.poll() is None:  # else the number may be another's by now
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close this side of its pipes."""
        descriptors, self.stdin, self.stdout = (self.stdin, self.stdout), None, None
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)


def start(command: list[str], *, is_piped: bool) -> Child:
    """Start it with nothing of this process but standard error; where not `is_piped`, it reads and writes nowhere.

    OSError where it cannot be started.
    """
    if not is_piped:
        nowhere = [(os.POSIX_SPAWN_OPEN, at, os.devnull, os.O_RDWR, 0) for at in (0, 1)]
        return Child(_spawned(command, nowhere))
    opened: list[int] = []
    try:
        given, stdin = _pipe(opened)
        stdout, taken = _pipe(opened)
        pid = _spawned(command, [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, taken, 1)])
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    os.close(given)
    os.close(taken)
    return Child(pid, stdin=stdin, stdout=stdout)


def _spawned(command: list[str], files: Sequence[tuple[int, int, int] | tuple[int, int, str, int, int]]) -> int:
    closed = [(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inherited()]
    return os.posix_spawn(command[0], command, os.environ, file_actions=[*files, *closed], setsigdef=_IGNORED)


def _inherited() -> list[int]:
    """What whoever started this process left open for its children: a lock, say, that a hung one would keep."""
    found: list[int] = []
    with suppress(OSError):
        for name in os.listdir(_DESCRIPTORS):
            with suppress(OSError):  # the one by which the folder was listed
                if int(name) >= _FIRST_FREE and os.get_inheritable(int(name)):
                    found.append(int(name))
    return found


def _pipe(opened: list[int]) -> tuple[int, int]:
    """To read from and to write to, neither below the first free one, where a process without input has room.

    Both are added to `opened`, the first one also where no second one can be had.
    """
    ends = os.pipe()
    try:
        opened += [fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)]
        opened += [fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)]
    finally:
        for end in ends:
            os.close(end)
    return opened[-2], opened[-1]
