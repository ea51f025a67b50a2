"""Questions asked side by side, each in a thread of its own that nobody waits for longer than agreed."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Said = TypeVar("Said")


class NoAnswerError(Exception):
    """There was no answer by the time that was agreed."""


class Asked(Generic[Said]):
    """A question that is being asked. It ends with the process if it does not end before: it holds nothing of value."""

    def __init__(self, ask: Callable[[], Said]) -> None:
        self._future: Future[Said] = Future()
        self._ask = ask
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._ask())
        except BaseException as error:
            self._future.set_exception(error)

    def answer(self, *, until: float | None) -> Said:
        """What came back, or the error that did. NoAnswerError past `until` (seconds of the monotonic clock)."""
        remaining = None if until is None else max(until - time.monotonic(), 0)
        try:
            return self._future.result(timeout=remaining)
        except TimeoutError:
            if self._future.done():
                raise
            raise NoAnswerError from None
