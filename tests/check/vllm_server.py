"""A server on loopback that answers `/metrics` as vLLM does: generated bodies, one after the other, or a failure."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pipeline.formats.engine_table import ENGINE_METRICS, Figure

MODEL = "acme/chat-8b"


def vllm_body(
    *,
    prompt: int,
    output: int,
    cached: int | None = 0,
    requests: int = 0,
    running: int = 0,
    started: float | None = 1_795_900_000.25,
    model: str = MODEL,
    rank: str = "0",
) -> str:
    """What one engine prints, as far as it is read: counters as vLLM spells them, with `# TYPE` lines."""
    labels = f'engine="{rank}",model_name="{model}"'
    families = [
        ("vllm:num_requests_running", "gauge", "Number of requests in model execution batches.", running),
        ("vllm:prompt_tokens", "counter", "Number of prefill tokens processed.", prompt),
        *(
            []
            if cached is None
            else [
                ("vllm:prompt_tokens_cached", "counter", "Number of cached prompt tokens (local + external).", cached)
            ]
        ),
        ("vllm:generation_tokens", "counter", "Number of generation tokens processed.", output),
    ]
    lines = []
    for name, kind, words, value in families:
        printed = f"{name}_total" if kind == "counter" else name
        lines += [f"# HELP {printed} {words}", f"# TYPE {printed} {kind}", f"{printed}{{{labels}}} {value}.0"]
    name = "vllm:request_success_total"
    lines += [f"# TYPE {name} counter", f'{name}{{{labels},finished_reason="stop"}} {requests}.0']
    if started is not None:
        name = "vllm:prompt_tokens_created"
        lines += [f"# TYPE {name} gauge", f"{name}{{{labels}}} {started!r}"]
    return "\n".join([*lines, "# TYPE vllm:cache_config_info gauge", 'vllm:cache_config_info{engine="0"} 1.0', ""])


def engine_body(engine: str, *, prompt: int, output: int, cached: int | None = None) -> str:
    """What another engine prints of these tokens, as far as it is read, by the names of the table."""
    said: dict[Figure, int | None] = {
        "prompt_tokens_delivered": prompt,
        "prompt_tokens_computed": prompt,
        "prompt_tokens_cached": cached,
        "prompt_tokens_recomputed": None,
        "generation_tokens": output,
        "requests_success": output // 57,
        "requests_running": 1,
        "requests_waiting": 0,
    }
    labels = "" if engine in ("tgi", "llamacpp") else '{model_name="chat"}'
    lines = []
    for metric in ENGINE_METRICS:
        value = said[metric.figure]
        if metric.engine == engine and value is not None:
            lines += [f"# TYPE {metric.name} {metric.kind}", f"{metric.sample_name}{labels} {value}"]
    return "\n".join([*lines, "# TYPE up gauge", "up 1", ""])


@dataclass(frozen=True)
class Answer:
    """One answer of the server. `announced_bytes`: a Content-Length that is not the body's."""

    body: bytes = b""
    status: int = 200
    announced_bytes: int | None = None
    location: str | None = None

    @classmethod
    def of(cls, body: str) -> "Answer":
        return cls(body.encode())


Script = Callable[[int], Answer]


@contextmanager
def serving(script: Script, *, elsewhere: Mapping[str, str] | None = None) -> Iterator[str]:
    """The server's address. `script(n)` is what it answers to the n-th question, the first being 0.

    `elsewhere`: what it answers at other paths.
    """
    asked = 0
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal asked
            if elsewhere and self.path in elsewhere:
                self._answer(Answer.of(elsewhere[self.path]))
                return
            with lock:
                number, asked = asked, asked + 1
            self._answer(script(number) if self.path == "/metrics" else Answer(b"not here", 404))

        def _answer(self, answer: Answer) -> None:
            self.send_response(answer.status)
            if answer.location is not None:
                self.send_header("Location", answer.location)
            length = len(answer.body) if answer.announced_bytes is None else answer.announced_bytes
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
