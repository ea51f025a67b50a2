"""Recorded terminal sessions: what a newcomer types and sees. `python -m tests.check.sessions` writes them anew."""

import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner

from pipeline.check.watching import Clock
from pipeline.cli import group
from pipeline.errors import BreakevenError
from tests.check.stored_scrapes import stored
from tests.check.vllm_server import Answer, serving, vllm_body
from tests.pipeline.small_project import api_page, cost_result, invoice_csv, three_days, usage_result
from tests.sources import admin_api
from tests.sources.prometheus_api import PrometheusApi

FOLDER = Path(__file__).parent / "sessions"
NOW = datetime(2026, 11, 29, 5, tzinfo=UTC)
_PORT = re.compile(r"127\.0\.0\.1:[0-9]+")


def ticking() -> Clock:
    """A clock that only waiting moves, so that a session is the same at every hour and on every machine."""
    waited = [0.0]

    def sleep(seconds: float) -> None:
        waited[0] += seconds

    return Clock(now=lambda: NOW + timedelta(seconds=waited[0]), monotonic=lambda: waited[0], sleep=sleep)


@contextmanager
def in_an_empty_folder() -> Iterator[Path]:
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(here)


def typed(command: str) -> str:
    """A command and what it prints, as a terminal shows it."""
    arguments = shlex.split(command)[1:]
    with patch("pipeline.cli.check.clock", ticking):
        done = CliRunner().invoke(group, arguments)
    said = done.output
    if isinstance(done.exception, BreakevenError):
        said += f"breakeven: {done.exception}\n"
        code = done.exception.exit_code
    else:
        code = done.exit_code
    shown = _PORT.sub("127.0.0.1:8000", f"$ {command}\n{said}")
    lines = [line.rstrip() for line in shown.splitlines()]
    return "\n".join([*lines, *([f"(exit code {code})"] if code else []), ""])


def busy_engine(number: int) -> Answer:
    """Chat traffic, idle for one second in five; four of ten prompt tokens are found in the cache."""
    served = number - number // 5
    return Answer.of(
        vllm_body(
            prompt=81_000_000 + 5_200 * served,
            cached=31_000_000 + 2_100 * served,
            output=9_400_000 + 1_150 * served,
            requests=41_000 + 4 * served,
            running=0 if number % 5 in (0, 4) else 3,
            started=(NOW - timedelta(days=2, hours=3)).timestamp(),
        )
    )


def idle_engine(number: int) -> Answer:
    return Answer.of(vllm_body(prompt=5_000, output=700, started=(NOW - timedelta(hours=9)).timestamp()))


def restarted_engine(number: int) -> Answer:
    if number < 2:
        return busy_engine(number)
    started = (NOW + timedelta(seconds=1.5)).timestamp()
    return Answer.of(vllm_body(prompt=900 * number, output=120 * number, started=started, running=1))


def engine_session(script: Callable[[int], Answer], options: str) -> str:
    with serving(script) as url:
        return typed(f"breakeven check --vllm {url} {options}")


def saved_pair_session() -> str:
    with in_an_empty_folder() as folder:
        for stamp, number in (("20261129T050000Z", 0), ("20261129T050100Z", 60)):
            (folder / f"chat-{stamp}.prom").write_text(busy_engine(number).body.decode())
        first, second = sorted(path.name for path in folder.iterdir())
        return typed(f"breakeven check --scrapes {first} {second} --gpu-hour 2.69 --gpus 2 --api gpt-5.2 --api llama-4")


def prometheus_session() -> str:
    """Two replicas of one model, one of them idle half the time; a pair of servers stores every scrape twice."""
    series = []
    for pod, served in (("chat-0", lambda n: n), ("chat-1", lambda n: n // 20 * 10 + min(n % 20, 10))):
        bodies = [(NOW - timedelta(seconds=15 * (240 - n)), busy_body(served(n))) for n in range(240)]
        for replica in ("a", "b"):
            series += stored(bodies, namespace="chat", pod=pod, instance=f"{pod}:8000", prometheus_replica=replica)
    with admin_api.serving(PrometheusApi(series=series)) as api:
        return typed(f"breakeven check --prometheus {api.base_url} --gpu-hour 2.69 --gpus 2")


def busy_body(steps: int) -> str:
    return vllm_body(
        prompt=81_000_000 + 78_000 * steps,
        cached=31_000_000 + 31_500 * steps,
        output=9_400_000 + 17_250 * steps,
        requests=41_000 + 60 * steps,
        started=(NOW - timedelta(days=2)).timestamp(),
    )


def bill_session() -> str:
    """A day's bill of one model beside its usage, the invoice of a GPU provider, and a picture."""
    usage = usage_result(uncached_input_tokens=9_000_000, cache_read_input_tokens=3_000_000, output_tokens=2_000_000)
    files = {
        "cost.json": api_page(
            {
                "2026-11-01": [
                    cost_result("1000"),
                    cost_result(
                        "855", token_type="uncached_input_tokens", description="Claude Haiku 4.5 - Input Tokens"
                    ),
                    cost_result(
                        "30", token_type="cache_read_input_tokens", description="Claude Haiku 4.5 - Cache Read"
                    ),
                ]
            }
        ),
        "usage.json": api_page({"2026-11-01": [usage]}),
        "gpucloud.csv": invoice_csv([("GPU server", "node-1", "1936.80"), ("Storage", "", "12.05")]),
        "holiday.png": b"\x89PNG",
    }
    with in_an_empty_folder() as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return typed(f"breakeven check --bill {' '.join(files)} --gpu-hour 2.69 --gpus 1")


def money_only_session() -> str:
    with in_an_empty_folder() as folder:
        name = "claude_api_cost_2026_11_01_to_2026_11_03_exported_2026_11_04.csv"
        (folder / name).write_bytes(three_days("31.07", "28.40", "30.53"))
        return typed(f"breakeven check --bill {name} --gpu-hour 2.69")


SESSIONS: dict[str, Callable[[], str]] = {
    "engine.txt": lambda: engine_session(busy_engine, "--gpu-hour 2.69"),
    "idle_engine.txt": lambda: engine_session(idle_engine, "--gpu-hour 2.69 --gpus 1"),
    "restarted_engine.txt": lambda: engine_session(restarted_engine, "--gpu-hour 2.69 --gpus 1 --window 6s"),
    "no_engine.txt": lambda: engine_session(lambda _: Answer(b"not here", 404), "--gpu-hour 2.69"),
    "saved_scrapes.txt": saved_pair_session,
    "prometheus.txt": prometheus_session,
    "bill.txt": bill_session,
    "bill_money_only.txt": money_only_session,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, record in SESSIONS.items():
        (FOLDER / name).write_text(record(), encoding="utf-8")


if __name__ == "__main__":
    main()
