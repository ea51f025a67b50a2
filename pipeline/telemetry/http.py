"""One question over HTTP/1.1, all of it under one deadline; a name is looked up first, in its resolver's own time.

`http.client` waits for ever for a head that comes byte by byte, and is 2 MB of an agent with what it imports.

How an answer is framed: RFC 9112, 6.3 and 7.1. An answer that could be read in two ways is refused.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import closing

from pipeline.formats.frozen import Frozen
from pipeline.telemetry.deadline import Deadline

# What http.client allows of a head.
_LONGEST_LINE = 65_536
_MOST_LINES = 100
_CHUNK_BYTES = 65_536
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: (.*))?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class AddressError(ValueError):
    """The address cannot be asked as it is written: it would be another request."""


class CutError(Exception):
    """The connection ended within the body. The argument is how many bytes of it had come."""


class Answer(Frozen):
    """`reason`: the words beside the status, as they came."""

    status: int
    reason: str
    body: bytes


def ask(
    method: str,
    *,
    host: str,
    port: int,
    is_tls: bool,
    target: str,
    headers: Mapping[str, str],
    deadline: Deadline,
    most_bytes: int,
) -> Answer:
    """The final answer; a body only of one with 2xx. `target`: path and query.

    TimeoutError after the deadline, CutError for a cut body, AddressError for an address with blanks, OSError where
    nobody answers, ValueError for what is no HTTP, could be read in two ways, or has more than `most_bytes`.
    """
    if _BLANK.search(target) or _BLANK.search(host):
        raise AddressError("a blank or a control character")
    if any(_CONTROL.search(value) for value in headers.values()):
        raise ValueError("a header of the question holds a control character")
    with closing(_connected(host, port, is_tls=is_tls, deadline=deadline)) as connection:
        deadline.give(connection)
        connection.sendall(_request(method, host, port, is_tls=is_tls, target=target, headers=headers))
        return _answered(_Incoming(connection, deadline), most_bytes)


def _connected(host: str, port: int, *, is_tls: bool, deadline: Deadline) -> socket.socket:
    # As bytes: of a text Python asks its codec for international names, half a megabyte of tables, also for 127.0.0.1.
    name: str | bytes = host.encode("ascii") if host.isascii() else host
    refused: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            deadline.give(connection)
            connection.connect(address)
            return _secured(connection, host, deadline) if is_tls else connection
        except OSError as error:
            connection.close()
            refused = error
    raise refused or OSError(f"{host} has no address")


def _secured(connection: socket.socket, host: str, deadline: Deadline) -> socket.socket:
    try:
        import ssl  # OpenSSL is five megabytes that an agent of plain addresses does without
    except ImportError:
        raise OSError("this Python has no TLS") from None
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    deadline.give(connection)
    return context.wrap_socket(connection, server_hostname=host)


def _request(method: str, host: str, port: int, *, is_tls: bool, target: str, headers: Mapping[str, str]) -> bytes:
    named = f"[{host}]" if ":" in host else host if host.isascii() else host.encode("idna").decode("ascii")
    shown = named if port == (443 if is_tls else 80) else f"{named}:{port}"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {shown}", "Accept-Encoding: identity", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _answered(incoming: _Incoming, most_bytes: int) -> Answer:
    while True:
        status, reason = _status(incoming.line())
        headers = _headers(incoming)
        if status >= 200 or status == 101:
            break  # what comes before the final answer says nothing of it
    if not 200 <= status < 300 or status in (204, 205):
        return Answer(status, reason, b"")
    codings = headers.get(b"transfer-encoding")
    lengths = headers.get(b"content-length")
    if codings is not None:
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise ValueError(f"it sends its body as {_shown(b', '.join(codings))}, which is not read")
        return Answer(status, reason, _chunked(incoming, most_bytes))
    if lengths is None:
        return Answer(status, reason, incoming.rest(most_bytes))
    if len(set(lengths)) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise ValueError(f"it says that its body has {_shown(b', '.join(lengths))} bytes")
    size = int(lengths[0])
    _refuse_large(size, most_bytes)
    return Answer(status, reason, incoming.exactly(size))


def _status(line: bytes) -> tuple[int, str]:
    found = _STATUS.fullmatch(line)
    if found is None:
        raise ValueError(f"it answers {_shown(line)}, which is not HTTP/1.1")
    return int(found[1]), (found[2] or b"").decode("latin-1").strip()


def _headers(incoming: _Incoming) -> dict[bytes, list[bytes]]:
    """Name in lower case -> what each header of that name says, up to the blank line."""
    found: dict[bytes, list[bytes]] = {}
    said: list[bytes] = []
    for _ in range(_MOST_LINES):
        line = incoming.line()
        if not line:
            return found
        if line[:1].isspace() and said:
            said[-1] += b" " + line.strip()  # the header above goes on: RFC 9112, 5.2
            continue
        name, separator, value = line.partition(b":")
        if not separator or name != name.strip():
            raise ValueError(f"{_shown(line)} is no header")
        said = found.setdefault(name.lower(), [])
        said.append(value.strip())
    raise ValueError(f"it has more than {_MOST_LINES} headers")


def _chunked(incoming: _Incoming, most_bytes: int) -> bytes:
    body = bytearray()  # a list of chunks of two bytes would be twenty times what they say
    try:
        while True:
            line = incoming.line()
            found = _CHUNK_SIZE.fullmatch(line)
            if found is None:
                raise ValueError(f"{_shown(line)} is no size of a chunk")
            length = int(found[1], 16)
            if length == 0:
                _headers(incoming)
                return bytes(body)
            _refuse_large(len(body) + length, most_bytes)
            body += incoming.exactly(length)
            if incoming.line():
                raise ValueError("a chunk is longer than it says")
    except CutError as error:
        raise CutError(len(body) + error.args[0]) from None
    except ConnectionError:
        raise CutError(len(body)) from None


def _refuse_large(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise ValueError(f"the body is larger than {most_bytes} bytes")


def _shown(line: bytes) -> str:
    return repr(line[:80].decode("latin-1"))


class _Incoming:
    """What comes over a connection, read to the deadline however little comes at a time."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._held = bytearray()

    def line(self) -> bytes:
        """Without its end. ConnectionError where the connection ends before it."""
        searched = 0
        while (end := self._held.find(b"\n", searched)) < 0:
            searched = len(self._held)
            if searched > _LONGEST_LINE:
                raise ValueError(f"a line is longer than {_LONGEST_LINE} bytes")
            if not self._more():
                raise ConnectionError("the connection ended within the head of the answer")
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line.removesuffix(b"\r")

    def exactly(self, size: int) -> bytes:
        """CutError where the connection ends before it."""
        while len(self._held) < size:
            if not self._more():
                raise CutError(len(self._held))
        content = bytes(self._held[:size])
        del self._held[:size]
        return content

    def rest(self, most_bytes: int) -> bytes:
        """All that comes until the connection ends."""
        while self._more():
            _refuse_large(len(self._held), most_bytes)
        return bytes(self._held)

    def _more(self) -> bool:
        self._deadline.give(self._connection)
        chunk = self._connection.recv(_CHUNK_BYTES)
        self._held += chunk
        return bool(chunk)
