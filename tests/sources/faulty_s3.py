"""A proxy before moto's S3 server, on loopback, that answers as S3 does on a bad day: once for each planted fault."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Kind = Literal["slow_down", "reset", "cut", "short", "denied", "lost"]
_BODY = {
    "slow_down": (503, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"),
    "denied": (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"),
}


@dataclass
class FaultySite:
    """`asked`: every GET of an object, by its key's end. Faults are taken in order; `before` runs ahead of a GET.

    `put_faults`: the same for PUTs. `lost`: it was done, and the connection ended before the answer.
    """

    url: str
    asked: list[str] = field(default_factory=list)
    faults: list[tuple[str, Kind]] = field(default_factory=list)
    put_faults: list[tuple[str, Kind]] = field(default_factory=list)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)

    def fault_of(self, path: str, faults: list[tuple[str, Kind]]) -> Kind | None:
        for planted in faults:
            if path.endswith(planted[0]):
                faults.remove(planted)
                return planted[1]
        return None


@contextmanager
def faulty_s3(behind: str) -> Iterator[FaultySite]:
    """The proxy of one test. It ends with it."""
    host, _, port = behind.removeprefix("http://").partition(":")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass_on()

        def do_HEAD(self) -> None:
            self._pass_on()

        def do_PUT(self) -> None:
            self._pass_on()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test's output is its claim."""

        def _pass_on(self) -> None:
            path = self.path.partition("?")[0]
            is_object = self.command == "GET" and "list-type" not in self.path
            fault = None
            if is_object:
                site.asked.append(path.rpartition("/")[2])
                for end in [end for end in site.before if path.endswith(end)]:
                    site.before.pop(end)()
                fault = site.fault_of(path, site.faults)
            elif self.command == "PUT":
                fault = site.fault_of(path, site.put_faults)
            if fault in _BODY:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer(_BODY[fault][0], {}, _BODY[fault][1])
                return
            status, headers, body = self._asked_behind()
            if fault == "lost":
                self.close_connection = True
            elif fault is None:
                self._answer(status, headers, body)
            elif fault == "short":
                self._answer(status, headers, body[: len(body) // 2])
            else:
                self._broken_off(status, headers, body, is_reset=fault == "reset")

        def _asked_behind(self) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            length = int(self.headers.get("Content-Length") or 0)
            connection.request(self.command, self.path, self.rfile.read(length) or None, dict(self.headers))
            answer = connection.getresponse()
            body = answer.read()
            headers = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server")
                # A checksum would notice what the length is there to notice.
                and not name.lower().startswith("x-amz-checksum")
            }
            connection.close()
            return answer.status, headers, body

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _broken_off(self, status: int, headers: dict[str, str], body: bytes, *, is_reset: bool) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if is_reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = FaultySite(url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
