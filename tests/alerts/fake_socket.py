"""Slack's end of socket mode on loopback: a WebSocket over which envelopes go out and confirmations come back."""

import base64
import hashlib
import json
import queue
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FakeSocket:
    """`send` hands an envelope to whoever listens; `confirmed` are the ids that came back, in order."""

    def __init__(self) -> None:
        self.confirmed: queue.Queue[str] = queue.Queue()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._connection: socket.socket | None = None
        self._is_connected = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.getsockname()[1]}/link?ticket=1"

    def send(self, envelope: Mapping[str, Any]) -> None:
        assert self._is_connected.wait(timeout=20)
        content = json.dumps(envelope).encode()
        header = bytes([0x81]) + (
            bytes([len(content)]) if len(content) < 126 else bytes([126]) + struct.pack(">H", len(content))
        )
        assert self._connection is not None
        self._connection.sendall(header + content)

    def close(self) -> None:
        for one in (self._connection, self._server):
            if one is not None:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        try:
            self._connection, _ = self._server.accept()
            request = b""
            while b"\r\n\r\n" not in request:
                request += self._connection.recv(4096)
            headers = dict(line.partition(b": ")[::2] for line in request.split(b"\r\n"))
            key = headers[b"Sec-WebSocket-Key"]
            accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
            self._connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self._is_connected.set()
            while (text := self._read()) is not None:
                if text.startswith(b"{"):
                    self.confirmed.put(json.loads(text)["envelope_id"])
        except OSError:
            return

    def _read(self) -> bytes | None:
        """The payload of the client's next frame, which is masked; empty for a ping, None at the end."""
        head = self._exactly(2)
        if head is None or head[0] & 0x0F == 8:
            return None
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._exactly(2) or b"\0\0")
        mask, content = self._exactly(4), self._exactly(length)
        if mask is None or content is None:
            return None
        plain = bytes(byte ^ mask[place % 4] for place, byte in enumerate(content))
        return plain if head[0] & 0x0F == 1 else b""

    def _exactly(self, count: int) -> bytes | None:
        assert self._connection is not None
        found = b""
        while len(found) < count:
            more = self._connection.recv(count - len(found))
            if not more:
                return None
            found += more
        return found


@contextmanager
def serving_socket() -> Iterator[FakeSocket]:
    fake = FakeSocket()
    try:
        yield fake
    finally:
        fake.close()
