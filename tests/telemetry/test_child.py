"""Processes that the agent starts: nothing of it goes into them, and what becomes of them is known."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pipeline.telemetry.child import Child, start

# Says which descriptors it has, then what it is told.
_SAYS = "import os, sys; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1]); print(sys.stdin.read())"


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def ended(child: Child) -> int:
    deadline = time.monotonic() + 60
    while (code := child.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return code


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_it_has_its_two_pipes_and_nothing_else_that_is_open_here(tmp_path: Path) -> None:
    """A lock that whoever started the agent holds would else be held by a sampler that hangs for ever."""
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        child = start(python(_SAYS), is_piped=True)
    assert child.stdin is not None
    os.write(child.stdin, b"hello")
    os.close(child.stdin)
    child.stdin = None
    assert child.stdout is not None
    with os.fdopen(child.stdout, "rb", closefd=False) as said:
        assert said.read() == b"[0, 1, 2]\nhello\n"
    child.close()
    assert ended(child) == 0


@pytest.mark.parametrize(
    ("end", "code"),
    [(lambda child: child.kill(), -signal.SIGKILL), (lambda child: child.close(), 7)],
    ids=["killed", "let go"],
)
def test_how_it_ended_is_told_and_no_descriptor_is_left(end: Callable[[Child], None], code: int) -> None:
    before = descriptors()
    child = start(python("import sys; sys.stdin.read(); sys.exit(7)"), is_piped=True)
    assert child.poll() is None
    end(child)
    assert ended(child) == code
    child.kill()  # its number may be another's by now: nothing is sent
    child.close()
    assert descriptors() == before


def test_what_cannot_be_started_says_so_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(OSError, match="No such file"):
        start([str(tmp_path / "nothing")], is_piped=True)
    assert descriptors() == before


@contextmanager
def files_left(count: int) -> Iterator[None]:
    """This process can open so many files more."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, descriptors())) + 10, allowed[1]))
    held: list[int] = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.dup(0))
        for _ in range(count):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
        for descriptor in held:
            os.close(descriptor)


@pytest.mark.parametrize("count", range(6))
def test_where_no_more_files_can_be_opened_it_says_so_and_leaves_nothing_open(count: int) -> None:
    """An agent tries again every few minutes, for days. Two pipes are four files, and two more while they are made."""
    before, command = descriptors(), python("pass")
    with files_left(count), pytest.raises(OSError, match="Too many open files"):
        start(command, is_piped=True)
    assert descriptors() == before


def test_one_that_somebody_else_waited_for_has_no_code_that_says_success() -> None:
    child = start(python("pass"), is_piped=False)
    os.waitpid(child.pid, 0)
    assert child.poll() == 255


def test_an_agent_that_was_started_without_input_and_output_pipes_to_its_sampler_all_the_same() -> None:
    """Its pipes would have the numbers of standard input and output, and one would be put over the other."""
    code = (
        "import os, sys\n"
        "os.close(0), os.close(1)\n"
        "from pipeline.telemetry.child import start\n"
        f"child = start([sys.executable, '-S', '-c', {_SAYS!r}], is_piped=True)\n"
        "os.write(child.stdin, b'hello'), os.close(child.stdin)\n"
        "sys.stderr.write(os.fdopen(child.stdout).read())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stderr == "[0, 1, 2]\nhello\n"
