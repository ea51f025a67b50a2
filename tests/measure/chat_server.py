"""A server on loopback that streams chat completions as an OpenAI-compatible engine does, with a known capacity.

So many requests at once, each for a constant time; the others wait their turn. Nothing is random and nothing computes.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Engine:
    """Serves `slots / service_seconds` requests a second. `refuses`: a parameter that it does not know.

    `stream`: what it answers instead, as it stands. `longest_tokens`: of prompt and answer, as /v1/models says it.
    """

    slots: int = 2
    service_seconds: float = 0.2
    tokens_per_word: int = 2
    refuses: str | None = None
    status: int = 200
    has_usage: bool = True
    stream: bytes | None = None
    longest_tokens: int | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.turn = threading.BoundedSemaphore(self.slots)


@contextmanager
def served(engine: Engine) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            models = [{"id": name, "max_model_len": engine.longest_tokens} for name in ("chat", "other")]
            said = json.dumps({"object": "list", "data": models}).encode()
            self.send_response(200 if engine.longest_tokens else 404)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            engine.asked.append(body)
            engine.keys.add(self.headers.get("Authorization"))
            if engine.status != 200 or (engine.refuses is not None and engine.refuses in body):
                said = b'{"error": {"message": "unknown parameter"}}'
                self.send_response(400 if engine.status == 200 else engine.status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            if engine.stream is not None:
                with suppress(ConnectionError):
                    self.wfile.write(engine.stream)
                return
            words = len(body["messages"][0]["content"].split())
            with engine.turn:
                time.sleep(engine.service_seconds / 2)
                self._event({"choices": [{"delta": {"content": "a"}}]})
                time.sleep(engine.service_seconds / 2)
                self._event({"choices": [{"delta": {"content": "b"}}]})
            if engine.has_usage:
                prompt = words * engine.tokens_per_word
                usage = {
                    "prompt_tokens": prompt,
                    "completion_tokens": body["max_tokens"],
                    "prompt_tokens_details": {"cached_tokens": prompt // 2},
                }
                self._event({"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")

        def _event(self, said: object) -> None:
            self.wfile.write(f"data: {json.dumps(said)}\n\n".encode())
            self.wfile.flush()

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
