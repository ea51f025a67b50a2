"""A randomly initialised transformer that works through batches on a GPU: the load of `benchmarks.gpu_recording`.

It is told on standard input what to do next, a line each: `loaded_idle`, `light` or `saturated`; it ends with that.
What it has worked through is at http://127.0.0.1:PORT/metrics under vLLM's names: the agent reads it as any engine.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any

MODEL = "random/transformer-5b"
# Of light load a tenth of the time is work.
_LIGHT_REST = 9
_LAYERS, _WIDTH, _HEADS = 24, 4096, 32
_SEQUENCES, _LENGTH = 32, 512

# Works one batch through; how many prompt tokens that were, and how many came out.
Batch = Callable[[], tuple[int, int]]


def main() -> int:
    """0 where it was told to end; 3 and what is missing on standard output where there is no torch, or no GPU."""
    try:
        batch = transformer()
    except MissingError as missing:
        sys.stdout.write(f"missing: {missing}\n")
        return 3
    run(int(sys.argv[1]), batch, lines=sys.stdin)
    return 0


class MissingError(Exception):
    """What the built-in load needs and this machine has not."""


def transformer() -> Batch:
    """A stack of encoder layers of random weights on the first GPU: 5 billion of them, in half precision."""
    try:
        import torch
    except ImportError:
        raise MissingError("the Python package torch") from None
    if not torch.cuda.is_available():
        raise MissingError(f"a GPU that torch {torch.__version__} can use")
    layer = torch.nn.TransformerEncoderLayer(
        _WIDTH, _HEADS, 4 * _WIDTH, dropout=0.0, batch_first=True, norm_first=True, device="cuda", dtype=torch.bfloat16
    )
    model: Any = torch.nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False).eval()
    prompt = torch.randn(_SEQUENCES, _LENGTH, _WIDTH, device="cuda", dtype=torch.bfloat16)

    def batch() -> tuple[int, int]:
        with torch.inference_mode():
            model(prompt)
        torch.cuda.synchronize()
        return _SEQUENCES * _LENGTH, _SEQUENCES

    batch()  # whatever is made once
    return batch


class _Counters:
    """What the engine has done since it began."""

    def __init__(self) -> None:
        self.prompt = self.generated = self.requests = self.running = 0
        self._started = time.time()

    def body(self) -> str:
        labels = f'{{engine="0",model_name="{MODEL}"}}'
        return "".join(
            f"# TYPE {name} {kind}\n{name}{'' if name.startswith('process') else labels} {value}\n"
            for name, kind, value in (
                ("vllm:prompt_tokens_total", "counter", self.prompt),
                ("vllm:generation_tokens_total", "counter", self.generated),
                ("vllm:num_requests_running", "gauge", self.running),
                ("process_start_time_seconds", "gauge", f"{self._started:.2f}"),
            )
        )


def run(
    port: int,
    batch: Batch,
    *,
    lines: IO[str],
    changed: Callable[[str], None] = lambda _: None,
    out: IO[str] = sys.stdout,
) -> None:
    """Say `ready`, then do as the lines say until they end. `changed`: told each phase before its first batch."""
    counters, said, ended = _Counters(), ["loaded_idle"], threading.Event()

    def listen() -> None:
        for line in lines:
            said.append(line.strip())
        ended.set()

    with _served(port, counters):
        threading.Thread(target=listen, daemon=True).start()
        out.write("ready\n")
        out.flush()
        done = 0
        while not ended.is_set():
            if len(said) > done:
                done = len(said)
                changed(said[-1])
            if said[-1] not in ("light", "saturated"):
                ended.wait(0.02)
                continue
            began = time.monotonic()
            counters.running = 1
            prompt, generated = batch()
            counters.prompt, counters.generated = counters.prompt + prompt, counters.generated + generated
            counters.running = 0
            if said[-1] == "light":
                ended.wait(_LIGHT_REST * (time.monotonic() - began))


@contextlib.contextmanager
def _served(port: int, counters: _Counters) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = counters.body().encode() if self.path == "/metrics" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


if __name__ == "__main__":
    sys.exit(main())
