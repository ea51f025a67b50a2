"""A Slack on loopback that keeps messages, enforces Slack's limits and fails on demand, for the real slack-sdk.

Limits as documented (docs.slack.dev: chat.postMessage, Block Kit reference, message metadata). Of the sum over
blocks, which is not documented, slackapi/bolt-js issue 2867 saw 9,597 characters taken and 11,341 refused.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TEXT_LIMIT = 40_000
ALL_BLOCKS_TEXT_LIMIT = 10_000
METADATA_LIMIT = 16_000
WEBHOOK_PATH = "/services/T000/B000/webhook-secret-part"
UPLOAD_PATH = "/upload/v1/"


@dataclass(frozen=True)
class Failure:
    """One request that goes wrong. `is_accepted`: Slack took the message all the same."""

    status: int | None = None
    error: str | None = None
    retry_after_seconds: int | None = None
    is_accepted: bool = False
    body: str | None = None


DROP_AFTER_ACCEPTING = Failure(is_accepted=True)
DROP_BEFORE_ACCEPTING = Failure()


@dataclass
class FakeSlack:
    """State of the fake. Use under `lock` where requests may be under way."""

    token: str = "xoxb-fake-0000-right"
    channels: dict[str, str] = field(default_factory=lambda: {"C0COSTS00": "llm-costs"})
    archived: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=lambda: {"chat:write", "channels:history", "channels:read", "files:write"})
    is_revoked: bool = False
    page_size: int = 200
    messages: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    triggers: set[str] = field(default_factory=set)
    views: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    clock_seconds: int = 1_767_960_000
    lock: threading.Lock = field(default_factory=threading.Lock)
    app_token: str = "xapp-fake-0000-right"
    socket_url: str = ""
    api_url: str = ""
    webhook_url: str = ""

    def fail(self, method: str, *failures: Failure) -> None:
        """Let the next requests of a method (`webhook` for the webhook) go wrong, in this order."""
        self.failures.setdefault(method, []).extend(failures)

    def count(self, method: str) -> int:
        return self.requests.count(method)

    def keep(self, *, channel: str, payload: dict[str, Any]) -> dict[str, Any]:
        timestamp = f"{self.clock_seconds + len(self.messages)}.{len(self.messages):06d}"
        message = {"type": "message", "ts": timestamp, "channel": channel, **payload}
        self.messages.append(message)
        return message

    # Methods: (status, answer)

    def answer(self, method: str, arguments: dict[str, Any], token: str) -> tuple[int, dict[str, Any]]:
        if method == "apps.connections.open":
            is_known = token == self.app_token
            return 200, {"ok": True, "url": self.socket_url} if is_known else {"ok": False, "error": "invalid_auth"}
        if self.is_revoked:
            return 200, {"ok": False, "error": "token_revoked"}
        if token != self.token:
            return 200, {"ok": False, "error": "invalid_auth"}
        handlers = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.list": self._list,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete_upload,
            "views.open": self._open_view,
        }
        handler = handlers.get(method)
        if handler is None:
            return 200, {"ok": False, "error": "unknown_method"}
        return 200, handler(arguments)

    def _auth_test(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "team": "demo", "user": "breakeven"}

    def _post(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if "chat:write" not in self.scopes:
            return {"ok": False, "error": "missing_scope"}
        channel = self._channel(arguments.get("channel", ""))
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        if channel in self.archived:
            return {"ok": False, "error": "is_archived"}
        error = self._error_in(arguments, needs_metadata=True)
        if error:
            return {"ok": False, "error": error}
        kept = {name: arguments[name] for name in ("text", "blocks", "metadata")}
        message = self.keep(channel=channel, payload=kept)
        return {"ok": True, "channel": channel, "ts": message["ts"]}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        found = [
            message
            for message in self.messages
            if message["ts"] == arguments.get("ts") and message["channel"] == arguments.get("channel")
        ]
        if not found:
            return {"ok": False, "error": "message_not_found"}
        error = self._error_in(arguments, needs_metadata=True)
        if error:
            return {"ok": False, "error": error}
        found[0].update({name: arguments[name] for name in ("text", "blocks", "metadata")})
        return {"ok": True, "channel": found[0]["channel"], "ts": found[0]["ts"]}

    def _history(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if "channels:history" not in self.scopes:
            return {"ok": False, "error": "missing_scope"}
        channel = arguments.get("channel", "")
        if channel not in self.channels:  # by id only, unlike chat.postMessage
            return {"ok": False, "error": "channel_not_found"}
        oldest = float(arguments.get("oldest") or 0)
        kept = [entry for entry in self.messages if entry["channel"] == channel and float(entry["ts"]) > oldest]
        kept.reverse()
        start = int(arguments.get("cursor") or 0)
        size = min(self.page_size, int(arguments.get("limit") or 100))
        page = [dict(entry) for entry in kept[start : start + size]]
        if arguments.get("include_all_metadata") not in ("1", "true", True):
            for entry in page:
                entry.pop("metadata", None)
        has_more = start + size < len(kept)
        cursor = str(start + size) if has_more else ""
        return {"ok": True, "messages": page, "has_more": has_more, "response_metadata": {"next_cursor": cursor}}

    def _list(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if "channels:read" not in self.scopes:
            return {"ok": False, "error": "missing_scope"}
        channels = [{"id": channel_id, "name": name} for channel_id, name in sorted(self.channels.items())]
        return {"ok": True, "channels": channels, "response_metadata": {"next_cursor": ""}}

    # A file: its URL is asked for, its bytes are posted there, and then it is shared.

    def _upload_url(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if "files:write" not in self.scopes:
            return {"ok": False, "error": "missing_scope"}
        if not arguments.get("filename") or int(arguments.get("length") or 0) <= 0:
            return {"ok": False, "error": "invalid_arguments"}
        file_id = f"F{len(self.files):08d}"
        said = {name: arguments.get(name) for name in ("filename", "alt_txt")}
        self.files[file_id] = {**said, "length": int(arguments["length"]), "content": None, "shared": None}
        upload_url = f"{self.api_url.removesuffix('/api/')}{UPLOAD_PATH}{file_id}"
        return {"ok": True, "upload_url": upload_url, "file_id": file_id}

    def upload(self, file_id: str, content: bytes) -> tuple[int, str]:
        file = self.files.get(file_id)
        if file is None or file["length"] != len(content):
            return 400, "no such upload, or another length"
        file["content"] = content
        return 200, f"OK - {len(content)}"

    def _complete_upload(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if "files:write" not in self.scopes:
            return {"ok": False, "error": "missing_scope"}
        named = arguments.get("files", "[]")
        asked = json.loads(named) if isinstance(named, str) else named
        channel, thread = arguments.get("channel_id"), arguments.get("thread_ts")
        if channel not in self.channels:  # by id only
            return {"ok": False, "error": "channel_not_found"}
        if not asked or any(self.files.get(one["id"], {}).get("content") is None for one in asked):
            return {"ok": False, "error": "file_not_found"}
        for one in asked:
            self.files[one["id"]] |= {"title": one.get("title"), "shared": (channel, thread)}
        return {"ok": True, "files": [{"id": one["id"], "title": one.get("title")} for one in asked]}

    def _open_view(self, arguments: dict[str, Any]) -> dict[str, Any]:
        named = arguments.get("view", "{}")
        view = json.loads(named) if isinstance(named, str) else named
        if arguments.get("trigger_id") not in self.triggers:
            return {"ok": False, "error": "expired_trigger_id"}
        error = error_in_view(view)
        if error:
            self.rejections.append(error)
            return {"ok": False, "error": "invalid_arguments"}
        self.triggers.remove(arguments["trigger_id"])
        self.views.append(view)
        return {"ok": True, "view": {"id": f"V{len(self.views):08d}", **view}}

    def webhook(self, payload: dict[str, Any]) -> tuple[int, str]:
        error = self._error_in(payload, needs_metadata=False)
        if error:
            return 400, error
        self.keep(channel="C0COSTS00", payload={name: payload[name] for name in ("text", "blocks")})
        return 200, "ok"

    def _channel(self, name: str) -> str | None:
        if name in self.channels:
            return name
        ids = [channel_id for channel_id, known in self.channels.items() if known == name.removeprefix("#")]
        return ids[0] if ids else None

    def _error_in(self, payload: dict[str, Any], *, needs_metadata: bool) -> str | None:
        error = error_in(payload, needs_metadata=needs_metadata)
        if error:
            self.rejections.append(error)
            return error.split(":")[0]
        return None


def error_in(payload: dict[str, Any], *, needs_metadata: bool) -> str | None:
    """The first limit of Slack that a message breaks, as `code: where`, or None."""
    text = payload.get("text")
    if not isinstance(text, str) or not text:
        return "no_text: text is the fallback of every notification"
    if units(text) > TEXT_LIMIT:
        return f"msg_too_long: {units(text)} characters"
    blocks = payload.get("blocks")
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= 50:
        return "invalid_blocks: 1 to 50 blocks"
    all_text = 0
    for index, block in enumerate(blocks):
        error = _error_in_block(block)
        if error:
            return f"invalid_blocks: blocks/{index}: {error}"
        all_text += sum(units(part["text"]) for part in text_objects(block))
    if all_text > ALL_BLOCKS_TEXT_LIMIT:
        return f"msg_blocks_too_long: {all_text} characters"
    return _error_in_metadata(payload.get("metadata")) if needs_metadata else None


def error_in_view(view: dict[str, Any]) -> str | None:
    """The first limit of Slack that a modal breaks (docs.slack.dev, Modal and Input block), or None."""
    if view.get("type") != "modal" or not 1 <= len(view.get("blocks", [])) <= 100:
        return "a modal of 1 to 100 blocks"
    for name in ("title", "submit", "close"):
        said = view.get(name, {})
        if said.get("type") != "plain_text" or not 1 <= units(said.get("text", "")) <= 24:
            return f"{name} of 1 to 24 characters"
    if units(view.get("private_metadata", "")) > 3000 or not 1 <= units(view.get("callback_id", "")) <= 255:
        return "private_metadata of at most 3000, callback_id of 1 to 255 characters"
    for block in view["blocks"]:
        element = block.get("element", {})
        if block.get("type") != "input" or not 1 <= units(block.get("label", {}).get("text", "")) <= 2000:
            return "an input with a label of 1 to 2000 characters"
        if element.get("type") != "plain_text_input" or not 1 <= element.get("max_length", 3000) <= 3000:
            return "a plain_text_input of at most 3000 characters"
    return None


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def text_objects(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "text" in block:
        yield block["text"]
    yield from block.get("fields", [])
    yield from (element for element in block.get("elements", []) if element.get("type") in ("mrkdwn", "plain_text"))


def _error_in_block(block: dict[str, Any]) -> str | None:
    kind = block.get("type")
    if kind == "actions":
        return _error_in_actions(block)
    if kind not in ("header", "section", "context", "divider"):
        return f"unknown block type {kind!r}"
    if kind == "divider":
        return None
    if kind == "context" and not 1 <= len(block.get("elements", [])) <= 10:
        return "1 to 10 elements"
    if kind == "section" and len(block.get("fields", [])) > 10:
        return "at most 10 fields"
    for part in text_objects(block):
        if part.get("type") not in ("mrkdwn", "plain_text"):
            return "text type"
        if kind == "header" and part["type"] != "plain_text":
            return "a header is plain_text"
        limit = 150 if kind == "header" else 2000 if part in block.get("fields", []) else 3000
        if not 1 <= units(part.get("text", "")) <= limit:
            return f"{units(part.get('text', ''))} characters, 1 to {limit}"
        allowed = {"type", "text", "verbatim"} if part["type"] == "mrkdwn" else {"type", "text", "emoji"}
        if set(part) - allowed:
            return f"unknown keys {sorted(set(part) - allowed)}"
    return None


def _error_in_actions(block: dict[str, Any]) -> str | None:
    elements = block.get("elements", [])
    if not 1 <= len(elements) <= 25 or not 1 <= units(block.get("block_id", "")) <= 255:
        return "1 to 25 elements, block_id of 1 to 255 characters"
    names = [element.get("action_id", "") for element in elements]
    if len(set(names)) < len(names) or not all(1 <= units(name) <= 255 for name in names):
        return "action_id of 1 to 255 characters, each once"
    for element in elements:
        words, limit = {"button": ("text", 75), "datepicker": ("placeholder", 150)}.get(element.get("type"), ("", 0))
        said = element.get(words, {})
        if set(element) != {"type", "action_id", words} or said.get("type") != "plain_text":
            return f"element {element.get('type')!r}"
        if not 1 <= units(said.get("text", "")) <= limit:
            return f"{words} of 1 to {limit} characters"
    return None


def _error_in_metadata(metadata: Any) -> str | None:
    if not isinstance(metadata, dict) or not re.fullmatch(r"[A-Za-z0-9_]{1,255}", str(metadata.get("event_type"))):
        return "invalid_metadata_format: event_type"
    payload = metadata.get("event_payload")
    if not isinstance(payload, dict) or not all(isinstance(value, str | int | bool) for value in payload.values()):
        return "invalid_metadata_format: event_payload"
    return "metadata_too_large: " if len(json.dumps(metadata)) > METADATA_LIMIT else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    slack: FakeSlack

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        method = "webhook" if path.startswith("/services/") else path.removeprefix("/api/")
        method = "upload" if path.startswith(UPLOAD_PATH) else method
        with self.slack.lock:
            self.slack.requests.append(method)
            planned = self.slack.failures.get(method)
            failure = planned.pop(0) if planned else None
            if failure is not None and not failure.is_accepted:
                return self._fail(failure)
            if method == "webhook":
                is_known = path == WEBHOOK_PATH
                status, body = self.slack.webhook(json.loads(raw)) if is_known else (404, "no_service")
                return self._fail(failure) if failure else self._send(status, body.encode(), "text/plain")
            if method == "upload":
                status, body = self.slack.upload(path.removeprefix(UPLOAD_PATH), raw)
                return self._fail(failure) if failure else self._send(status, body.encode(), "text/plain")
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            status, answer = self.slack.answer(method, self._arguments(raw), token)
            if failure is not None:
                return self._fail(failure)
        scopes = {"X-OAuth-Scopes": ",".join(sorted(self.slack.scopes))}
        return self._send(status, json.dumps(answer).encode(), "application/json; charset=utf-8", scopes)

    def _arguments(self, raw: bytes) -> dict[str, Any]:
        if "json" in (self.headers.get("Content-Type") or ""):
            arguments: dict[str, Any] = json.loads(raw or b"{}")
            return arguments
        return dict(parse_qsl(raw.decode()))

    def _fail(self, failure: Failure) -> None:
        if failure.status is None and failure.error is None:
            self.close_connection = True
            self.connection.close()
            return
        body = failure.body if failure.body is not None else json.dumps({"ok": False, "error": failure.error or ""})
        extra = {} if failure.retry_after_seconds is None else {"Retry-After": str(failure.retry_after_seconds)}
        self._send(failure.status or 200, body.encode(), "application/json; charset=utf-8", extra)

    def _send(self, status: int, body: bytes, media_type: str, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: a test's output is its claims."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A dropped connection is a planned failure here, not a stack trace."""


@contextmanager
def serving(slack: FakeSlack | None = None) -> Iterator[FakeSlack]:
    """A fake Slack on a loopback port, with `api_url` and `webhook_url` set."""
    slack = slack or FakeSlack()
    handler = type("Handler", (_Handler,), {"slack": slack})
    server = _Server(("127.0.0.1", 0), handler)
    slack.api_url = f"http://127.0.0.1:{server.server_port}/api/"
    slack.webhook_url = f"http://127.0.0.1:{server.server_port}{WEBHOOK_PATH}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield slack
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
