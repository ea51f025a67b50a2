"""The other end of a webhook on loopback: keeps what it takes, knows Discord's and Teams' limits, fails on demand."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

SECRET_PATH = "/hooks/very-secret-part"


@dataclass(frozen=True)
class Answer:
    """What is answered in the place of the usual. `status` None ends the connection without an answer."""

    status: int | None
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    is_accepted: bool = False


DROP_AFTER_ACCEPTING = Answer(None, is_accepted=True)


@dataclass
class FakeWebhook:
    kind: str = "webhook"
    messages: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def take(self, method: str, path: str, raw: bytes) -> tuple[int, str]:
        payload = json.loads(raw)
        error = {"discord": error_in_discord, "teams": error_in_teams}.get(self.kind, lambda _, __: None)(payload, raw)
        if error is not None:
            self.rejections.append(error)
            return 400, error
        if method == "PATCH":
            self.messages[int(path.rpartition("/")[2])] = payload
        else:
            self.messages.append(payload)
        number = int(path.rpartition("/")[2]) if method == "PATCH" else len(self.messages) - 1
        return (200, json.dumps({"id": str(number)})) if self.kind == "discord" else (202, "")


def error_in_discord(payload: dict[str, Any], raw: bytes) -> str | None:
    """docs.discord.com: Embed limits; characters are counted as JavaScript does, UTF-16 units."""
    count = lambda text: len(text.encode("utf-16-le")) // 2  # noqa: E731
    if payload.get("allowed_mentions") != {"parse": []}:
        return "mentions are allowed"
    whole = 0
    for embed in payload["embeds"]:
        if not 1 <= count(embed["title"]) <= 256 or len(embed["fields"]) > 25:
            return "title of 1 to 256, at most 25 fields"
        whole += count(embed["title"])
        for one in embed["fields"]:
            if not 1 <= count(one["name"]) <= 256 or not 1 <= count(one["value"]) <= 1024:
                return f"a field of {count(one['name'])} and {count(one['value'])} characters"
            whole += count(one["name"]) + count(one["value"])
    return f"{whole} characters in all" if whole > 6000 else None


def error_in_teams(payload: dict[str, Any], raw: bytes) -> str | None:
    """learn.microsoft.com: 28 KB a message, counted as UTF-16; an adaptive card of text runs, none of it markup."""
    if 2 * len(raw) > 28 * 1024:
        return f"{len(raw)} bytes"
    (attachment,) = payload["attachments"]
    card = attachment["content"]
    if payload["type"] != "message" or attachment["contentType"] != "application/vnd.microsoft.card.adaptive":
        return "no adaptive card"
    if "msteams" in card or card["type"] != "AdaptiveCard":
        return "mentions are declared"
    for block in card["body"]:
        if block["type"] != "RichTextBlock" or {run["type"] for run in block["inlines"]} != {"TextRun"}:
            return f"a block that reads markdown: {block['type']}"
        if any("selectAction" in run or not run["text"] for run in block["inlines"]):
            return "a run with an action, or without text"
    return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeWebhook

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        with self.fake.lock:
            self.fake.requests.append((self.command, self.path))
            planned = self.fake.answers.pop(0) if self.fake.answers else None
            status, body, headers = 404, "no such webhook", ()
            if path.startswith(SECRET_PATH) and (planned is None or planned.is_accepted):
                status, body = self.fake.take(self.command, path, raw)
            if planned is not None:
                if planned.status is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, body, headers = planned.status, planned.body, planned.headers
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PATCH(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: a test's output is its claims."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A dropped connection is planned here."""


@contextmanager
def serving_webhook(kind: str = "webhook") -> Iterator[FakeWebhook]:
    fake = FakeWebhook(kind=kind)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
    fake.url = f"http://127.0.0.1:{server.server_port}{SECRET_PATH}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
