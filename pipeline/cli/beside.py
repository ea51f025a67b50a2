"""The daily job in a process of its own: it imports Dagster while this one lands, begins and records what landed while
this one builds, and each table as it is built.

Two cores are then used where one was, and tables are printed while the job records what was built. The other process
ends with this one, however this one ends.
"""

import base64
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain
from queue import SimpleQueue
from typing import IO, Any, NoReturn

from pipeline.assets.resources import Built, BuiltTable
from pipeline.cli.daily_order import DailyOrder
from pipeline.cli.garbage import cycles_seldom_sought
from pipeline.errors import BreakevenError, BuildError

_PATIENCE_SECONDS = 10
# Ctrl-C reaches both processes: this one ends when its orders do, and only a job that runs is interrupted.
_CHILD = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from pipeline.cli.beside import serve; serve()"


@dataclass(frozen=True)
class _Refused:
    """Nothing was built, and why."""

    reason: str


class DailyJob:
    """Made, it gets itself ready; `begin` once it is known what was brought, `tell` of each table as it is built, and
    `go_on` once all are.

    Where Dagster has been imported already a second process would gain nothing: the job runs in this one.
    """

    def __init__(self, *, in_own_process: bool | None = None) -> None:
        self._is_beside = "dagster" not in sys.modules if in_own_process is None else in_own_process
        self._held = ExitStack()
        self.process_id: int | None = None
        self._order: DailyOrder | None = None
        self._told: list[BuiltTable | Built | _Refused | None] = []
        self._orders: IO[bytes] | None = None
        self._answers: IO[bytes] | None = None

    def __enter__(self) -> "DailyJob":
        if self._is_beside:
            # -P: what lies in the folder that breakeven is called from is not imported.
            command = [sys.executable, "-P", "-c", _CHILD]
            # Where nobody listens to errors Python has no stderr, and the other process could not print at all.
            errors = subprocess.DEVNULL if sys.stderr is None else None
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
            self.process_id, self._orders, self._answers = process.pid, process.stdin, process.stdout
            self._held.callback(_ended, process)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def begin(self, order: DailyOrder) -> None:
        """Have the job run over these days, as far as it can while this process builds."""
        self._order = order
        self._send(order)

    def tell(self, table: BuiltTable) -> None:
        """Have the job record a table while the next ones are built."""
        self._say(table)

    def go_on(self, built: Built | None) -> None:
        """Have the job record all that was built (None: it builds), while this process does something else."""
        self._say(built)

    def give_up(self, error: BreakevenError) -> None:
        """Have the job record that nothing could be built, and why: whoever looks in Dagster sees it there too."""
        self._say(_Refused(str(error)))
        with suppress(BuildError):
            self.result()

    def result(self) -> list[str]:
        """What `run_daily` returns; BuildError where a step failed or the other process was ended from outside."""
        if self._answers is None:
            return _run_here(self._order, iter(self._told))
        try:
            answer = pickle.load(self._answers)
        except (EOFError, pickle.UnpicklingError):
            raise BuildError(
                "The process that runs the daily job ended before it was done; the snapshot stands. Run again."
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        problems: list[str] = answer
        return problems

    def _say(self, told: BuiltTable | Built | _Refused | None) -> None:
        self._told.append(told)
        self._send(told)

    def _send(self, order: object) -> None:
        # Whether the other process still listens is found out when its answer is read.
        with suppress(BrokenPipeError):
            if self._orders is not None:
                self._orders.write(_written(order))
                self._orders.flush()


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Closing its orders ends it: at once while it waits, after the interrupted step while it runs."""
    with suppress(BrokenPipeError):
        process.stdin.close()  # type: ignore[union-attr]
    try:
        process.wait(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()  # type: ignore[union-attr]


def _run_here(order: DailyOrder | None, told: Iterator[BuiltTable | Built | _Refused | None]) -> list[str]:
    from pipeline.cli.in_process import ready_to_run

    assert order is not None, "begin() comes first"
    with ready_to_run(order) as job:
        return job(lambda: _what_is_built(told))


def _what_is_built(told: Iterator[BuiltTable | Built | _Refused | None]) -> Iterator[BuiltTable | Built] | None:
    """As `ProjectResource.built` says it. Who asks waits for the first that is told."""
    first = next(told)
    return None if first is None else _until_built(first, told)


def _until_built(
    first: BuiltTable | Built | _Refused, others: Iterator[BuiltTable | Built | _Refused | None]
) -> Iterator[BuiltTable | Built]:
    for found in chain([first], others):
        if isinstance(found, _Refused):
            raise BuildError(found.reason)
        assert found is not None, "who has told of a table builds the others too"
        yield found
        if isinstance(found, Built):
            return


def serve() -> NoReturn:
    """The other process: one order, words of what is built, one answer. Whatever Dagster prints goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        with cycles_seldom_sought():
            answer = _answer()
    except KeyboardInterrupt:
        os._exit(130)
    except BreakevenError as error:
        answer = BuildError(str(error))
    except Exception as error:
        answer = _portable(error)
    with suppress(BrokenPipeError):
        pickle.dump(answer, answers)
        answers.flush()
    # A million objects of Dagster's need not be taken apart one by one.
    os._exit(0)


def _answer() -> object:
    orders: SimpleQueue[bytes] = SimpleQueue()
    running = threading.Event()
    threading.Thread(target=_listen, args=[orders, running], daemon=True).start()
    from pipeline.cli.in_process import ready_to_run

    with ready_to_run(_read(orders.get())) as job:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        running.set()
        try:
            return job(lambda: _what_is_built(_read(order) for order in iter(orders.get, None)))
        finally:
            # What failed is as much done as what did not: the end of its orders interrupts neither. Whoever is asked
            # at this very moment says nothing, where no handler at all would be a warning.
            running.clear()
            signal.signal(signal.SIGINT, lambda *_: None)


def _listen(orders: "SimpleQueue[bytes]", running: threading.Event) -> None:
    """Takes orders from the start, so that who gives them never waits; their end is the end of who gave them.

    A job that runs is interrupted, which Dagster records; one that will not be is left after a while.
    """
    for order in sys.stdin.buffer:
        orders.put(order)
    if not running.is_set():
        os._exit(0)
    interrupt_main()
    # What waits for another order sleeps through that.
    orders.put(_written(_Refused("breakeven run ended before it had built everything. Run it again.")))
    time.sleep(_PATIENCE_SECONDS / 2)
    os._exit(130)


def _written(order: object) -> bytes:
    return base64.b64encode(pickle.dumps(order)) + b"\n"


def _read(line: bytes) -> Any:
    return pickle.loads(base64.b64decode(line))


def _portable(error: Exception) -> Exception:
    """The error as another process can raise it: with the lines where it came from as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return BuildError(f"{type(error).__name__}: {error}")
    return error
