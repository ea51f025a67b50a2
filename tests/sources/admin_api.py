"""Small Admin APIs on loopback that page as the vendors' do, and fail on request."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pipeline.sources.source import FetchContext

KEY = "sk-ant-admin01-NEVER-PRINT-ME"
SERVER_DATE = "Sun, 15 Nov 2026 06:00:00 GMT"
NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)

Results = Callable[[datetime], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Answer:
    """What to answer instead of a page. `cut_to`: bytes of the body sent before the connection is dropped."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    cut_to: int | None = None


class Api(Protocol):
    """What can be served: it answers a path, its parameters (of a POST its `body`) and its headers, these by
    lower-case name.
    """

    base_url: str

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer: ...


Served = TypeVar("Served", bound=Api)


@dataclass
class AdminApi:
    """`results(bucket start)` are a bucket's rows. `faults` are answered first, one a request."""

    results: Results
    faults: list[Answer] = field(default_factory=list)
    always: Answer | None = None
    never_closes: bool = False
    largest_limit: int = 10_000
    asked: list[list[tuple[str, str]]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    base_url: str = ""
    _chains: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        self.paths.append(path)
        self.asked.append(params)
        if self.always is not None:
            return self.always
        if self.faults:
            return self.faults.pop(0)
        if headers.get("x-api-key") != KEY or headers.get("anthropic-version") != "2023-06-01":
            return Answer(status=401, body=b'{"error": {"message": "invalid x-api-key"}}')
        return self._page(params)

    def _page(self, params: list[tuple[str, str]]) -> Answer:
        rest = [pair for pair in params if pair[0] != "page"]
        token = dict(params).get("page")
        offset = 0
        if token is not None:
            if self._chains.get(token) != rest:
                return Answer(status=400, body=b'{"error": {"message": "page token of another question"}}')
            offset = int(token.rpartition("-")[2])
        asked = dict(rest)
        width = {"1d": timedelta(days=1), "1h": timedelta(hours=1)}[asked["bucket_width"]]
        starts = []
        start, stop = datetime.fromisoformat(asked["starting_at"]), datetime.fromisoformat(asked["ending_at"])
        while start < stop:
            starts.append(start)
            start += width
        limit = min(int(asked["limit"]), self.largest_limit)
        on_page = starts[offset : offset + limit]
        has_more = offset + limit < len(starts) or self.never_closes
        next_page = f"page_c2Vj-{min(offset + limit, len(starts))}" if has_more else None
        if next_page is not None:
            self._chains[next_page] = rest
        body = {
            "data": [
                {"starting_at": _z(at), "ending_at": _z(at + width), "results": list(self.results(at))}
                for at in on_page
            ],
            "has_more": has_more,
            "next_page": next_page,
        }
        return Answer(body=json.dumps(body).encode())


@contextmanager
def serving(api: Served) -> Iterator[Served]:
    """The API on a loopback port, ended and joined."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            split = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(api.answer(split.path, parse_qsl(split.query), headers))

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body if answer.cut_to is None else answer.body[: answer.cut_to])

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            self._send(api.answer(self.path, [("body", body.decode())], headers))

        def date_time_string(self, timestamp: float | None = None) -> str:
            return SERVER_DATE

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
        assert not thread.is_alive()


@dataclass
class Sleeps:
    """The clock a fetch is handed: it remembers how long it was asked to sleep, and does not."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def context(
    api: Api,
    *,
    from_at: datetime | None = None,
    to_at: datetime = NOW,
    sleeps: Sleeps | None = None,
    environment: Mapping[str, str] | None = None,
    starts: Mapping[str, datetime] | None = None,
    **settings: Any,
) -> FetchContext:
    return FetchContext(
        account="acme",
        settings={"base_url": api.base_url, "key_env": "ACME_ADMIN_KEY", **settings},
        from_at=from_at,
        to_at=to_at,
        now=NOW,
        environment={"ACME_ADMIN_KEY": KEY} if environment is None else environment,
        sleep=sleeps or Sleeps(),
        starts=starts or {},
    )


def _z(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
