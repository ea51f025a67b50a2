"""One moment that all steps of a conversation end at, however many there are and however little each brings."""

from __future__ import annotations

import time
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket


class Deadline:
    """So many seconds from now, by a clock that counts them."""

    def __init__(self, seconds: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._ends = monotonic() + seconds

    def give(self, connection: socket) -> None:
        """The time that is left, for the next call of a connection. TimeoutError where there is none."""
        left = self._ends - self._monotonic()
        if left <= 0:
            raise TimeoutError(f"it does not answer within {self._seconds:g} s")
        connection.settimeout(left)
