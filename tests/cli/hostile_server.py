"""A server on loopback that says exactly the bytes it is given, at the pace it is given them."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# What one connection sends. It ends when this returns; sending to somebody who left raises OSError.
Speech = Callable[[Callable[[bytes], None]], None]

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def body_without_end(say: Callable[[bytes], None]) -> None:
    """A body of no stated length that goes on for as long as somebody listens."""
    say(HEADERS + b'\r\n{"data": [')
    while True:
        say(b" " * 65536)


def headers_only(say: Callable[[bytes], None]) -> None:
    """Headers that never come to their end, a byte at a time."""
    say(HEADERS)
    while not _asleep(0.02):
        say(b"x")


def dripping(say: Callable[[bytes], None]) -> None:
    """A body that comes a byte at a time: every read succeeds, and it is never whole."""
    say(HEADERS + b"Content-Length: 100000\r\n\r\n")
    while not _asleep(0.02):
        say(b" ")


def silence(say: Callable[[bytes], None]) -> None:
    """Nothing at all."""
    _asleep(5)


def hanging_up(say: Callable[[bytes], None]) -> None:
    """The connection is taken and closed."""


def saying(content: bytes) -> Speech:
    """Exactly this."""
    return lambda say: say(content)


def _asleep(seconds: float) -> bool:
    return _ended.wait(seconds)


_ended = threading.Event()


@contextmanager
def speaking(speech: Speech) -> Iterator[str]:
    """The address of the server. All of its threads end with it."""
    _ended.clear()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    talks: list[threading.Thread] = []

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(1)
            connection.recv(65536)
            speech(connection.sendall)

    def listen() -> None:
        while not _ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            talks.append(threading.Thread(target=talk, args=(connection,)))
            talks[-1].start()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        _ended.set()
        thread.join(timeout=10)
        listener.close()
        for one in talks:
            one.join(timeout=10)
        assert not any(one.is_alive() for one in [thread, *talks])
