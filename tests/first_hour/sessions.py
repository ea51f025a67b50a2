"""The kinds of first hour, recorded: what a newcomer has, types and sees.

`python -m tests.first_hour.sessions` writes them anew, or into a folder that is named. What is typed is the `breakeven`
that was installed beside the Python that runs: a checkout's, or a wheel's. Whoever types has a fixed clock, and no
Dagster that records.
"""

import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pipeline.formats.spool import Gpu, Header, Record, Sample, Scrape, encode_record
from pipeline.sources import prometheus
from tests.check.vllm_server import vllm_body
from tests.cli.no_daily_job import nobody_records
from tests.pipeline.small_project import cost_result, usage_result
from tests.sources import litellm
from tests.sources.admin_api import KEY, AdminApi, Answer, serving
from tests.sources.prometheus_api import PrometheusApi
from tests.sources.prometheus_fleet import Engine, Fleet, Pod
from tests.sources.prometheus_fleet import Gpu as GpuSeries

FOLDER = Path(__file__).parent / "sessions"
NOW = datetime(2026, 11, 5, 6, tzinfo=UTC)
DAY = datetime(2026, 11, 3, tzinfo=UTC)
# Each day that is kept costs half a second here; fourteen are what a verdict wants.
KEPT = timedelta(days=15)
SHARED_CACHE = ("lineage", "schemas", "nodes", "inputs", "parsed")
_HAS_A_CLOCK = ("init", "run", "doctor")
_MASKS = (
    (re.compile(r"127\.0\.0\.1:[0-9]+"), "127.0.0.1:8080"),
    (re.compile(r"snapshot [0-9a-f]{16}"), "snapshot 0123456789abcdef"),
)
_NOBODYS = re.compile(r"ANTHROPIC|OPENAI|AWS|KUBE|SLACK|PROMETHEUS")
AFTERWARDS = ("breakeven costs", "breakeven waste", "breakeven verdict", "breakeven status")


@contextmanager
def a_newcomer(shared_cache: Path, **environment: str) -> Iterator[Path]:
    """An empty folder `acme`, and nothing of whoever runs this. What another session has computed is computed."""
    here = Path.cwd()
    with ExitStack() as held:
        home = Path(held.enter_context(tempfile.TemporaryDirectory()))
        kept = {name: value for name, value in os.environ.items() if not _NOBODYS.search(name)}
        held.enter_context(patch.dict(os.environ, {**kept, "HOME": str(home), **environment}, clear=True))
        held.enter_context(patch("pipeline.doctor.discover.gpu_names", tuple))
        held.enter_context(patch("tests.sources.admin_api.SERVER_DATE", format_datetime(NOW, usegmt=True)))
        folder = home / "acme"
        cache = folder / ".breakeven" / "cache"
        cache.mkdir(parents=True)
        for name in SHARED_CACHE:
            (shared_cache / name).mkdir(parents=True, exist_ok=True)
            (cache / name).symlink_to(shared_cache / name, target_is_directory=True)
        os.chdir(folder)
        held.callback(os.chdir, here)
        held.enter_context(nobody_records())
        yield folder


def typed(*commands: str) -> str:
    """Commands and what they print, as a terminal shows it."""
    shown = []
    for command in commands:
        arguments = shlex.split(command)[1:]
        clock = ["--as-of", NOW.isoformat()] if arguments[0] in _HAS_A_CLOCK else []
        said, code = _called([*arguments, *clock])
        shown += [f"$ {command}", *said.splitlines(), *([f"(exit code {code})"] if code else []), ""]
    return masked("\n".join(line.rstrip() for line in shown))


def installed() -> Path:
    """The program that is installed beside this Python, as a shell finds it in an environment."""
    return Path(sys.executable).with_name("breakeven")


def _called(arguments: Sequence[str]) -> tuple[str, int]:
    """What the installed program prints, both streams in their order, and its exit code: its own file is run, in this
    process, since forty processes would take half a minute to begin."""
    code = 0
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) as screen:
        with redirect_stdout(screen), redirect_stderr(screen), patch.object(sys, "argv", ["breakeven", *arguments]):
            try:
                runpy.run_path(str(installed()), run_name="__main__")
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        screen.seek(0)
        return screen.read(), code


def masked(text: str) -> str:
    """Without what differs from run to run."""
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text


def cat(file: Path) -> str:
    return masked(f"$ cat {file.name}\n{file.read_text(encoding='utf-8')}\n")


def shell(command: str) -> str:
    subprocess.run(command, shell=True, check=True)
    return f"$ {command}\n"


def first_hour(folder: Path, init: str) -> str:
    """Found, written, read, run, asked."""
    begun = typed(init)
    return begun + "\n" + cat(folder / "breakeven.yaml") + typed("breakeven run", *AFTERWARDS)


# --- what they have ---------------------------------------------------------------------------------------------------


@dataclass
class BothReports(AdminApi):
    """Costs by day and usage by hour of two workspaces. `times`: as much as in the other recordings."""

    since: datetime = DAY - timedelta(days=2)
    until: datetime = DAY + timedelta(days=1)
    times: int = 1

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        rows = _costs if path.endswith("cost_report") else _usage
        self.results = lambda at: rows(self.times) if self.since <= at < self.until else []
        return super().answer(path, params, headers)


def _nothing(moment: datetime) -> list[dict[str, Any]]:
    return []


def _costs(times: int) -> list[dict[str, Any]]:
    return [
        cost_result(
            str(cents * times), workspace_id=name, token_type=kind,
            description=f"Claude Haiku 4.5 Usage - {words} Tokens",
        )
        for name, cents in (("wrkspc_support", 480), ("wrkspc_coding", 144))
        for kind, words in (("uncached_input_tokens", "Input"), ("output_tokens", "Output"))
    ]  # fmt: skip


def _usage(times: int) -> list[dict[str, Any]]:
    return [
        usage_result(workspace_id=name, uncached_input_tokens=tokens * times, output_tokens=tokens * times // 5)
        for name, tokens in (("wrkspc_support", 200_000), ("wrkspc_coding", 60_000))
    ]


def spool(host: str, served: str, *, steps: int = 144) -> bytes:
    """Two GPUs, sampled and scraped every ten minutes for a day: busy from eight to eighteen, else idle."""
    gpus = tuple(f"GPU-{host}-{number}" for number in range(2))
    memory = 80 * 1024**3
    records: list[tuple[Record, datetime]] = [
        (Header(host=host, boot_id=f"boot-{host}", agent_start_id=f"start-{host}", agent_version="1"), DAY),
        *((Gpu(gpu_uuid=gpu, gpu_index=at, memory_total_bytes=memory), DAY) for at, gpu in enumerate(gpus)),
    ]
    answered = 0
    for step in range(1, steps + 1):
        at = DAY + timedelta(minutes=10 * step)
        is_busy = 8 <= (at - timedelta(minutes=1)).hour < 18
        answered += 600 if is_busy else 0
        body = vllm_body(
            model=served, prompt=900 * answered, cached=300 * answered, output=250 * answered, requests=answered,
            running=4 if is_busy else 0, started=(DAY - timedelta(days=3)).timestamp(),
        )  # fmt: skip
        records += [
            (
                Sample(
                    interval_ms=600_000, gpu_uuid=gpu, util_gpu_pct=80 if is_busy else 0, memory_used_bytes=memory // 2,
                    compute_process_count=1, health="ok", samples_lost=0,
                ),
                at,
            )
            for gpu in gpus
        ]  # fmt: skip
        records.append(
            (
                Scrape(
                    interval_ms=600_000, target="http://127.0.0.1:8000/metrics", replica_id=f"{host}-0", gpu_uuids=gpus,
                    gpu_method="config", http_status=200, duration_ms=3, body=body,
                ),
                at,
            )
        )  # fmt: skip
    return b"".join(
        encode_record(record, seq=seq, at=at, mono_ms=int((at - DAY).total_seconds() * 1000)).rstrip(b"\n") + b"\n"
        for seq, (record, at) in enumerate(records)
    )


def put_spool(folder: Path) -> None:
    (folder / "spool").mkdir()
    for host, served in (("node-1", "meta-llama/Llama-3.3-70B-Instruct"), ("node-2", "Qwen/Qwen3-32B")):
        (folder / "spool" / f"{host}.jsonl").write_bytes(spool(host, served))


def put_invoice(folder: Path) -> None:
    rows = [
        "Invoice,Item,Server,GPUs,Amount,Currency,From,To",
        "INV-1,GPU server,node-1,2,387.36,USD,2026-11-01,2026-11-04",
        "INV-1,GPU server,node-2,2,387.36,USD,2026-11-01,2026-11-04",
        "INV-1,VAT,,,147.20,USD,2026-11-01,2026-11-04",
        "INV-1,TOTAL,,,921.92,USD,2026-11-01,2026-11-04",
    ]
    (folder / "INV-1.csv").write_text("".join(f"{row}\n" for row in rows))


def put_gateway_export(folder: Path) -> None:
    rows = [
        litellm.row(day="2026-11-03", cost="41.7", provider="anthropic", model="claude-haiku-4-5"),
        litellm.row(day="2026-11-03", cost="3.25", provider="openai", model="gpt-5-mini"),
    ]
    (folder / litellm.window_name("2026-11-03", "2026-11-04")).write_bytes(litellm.export_csv(rows))


# --- the kinds ----------------------------------------------------------------------------------------------------


def api_only(cache: Path) -> str:
    with serving(BothReports(_nothing)) as api, a_newcomer(cache, ANTHROPIC_ADMIN_KEY=KEY) as folder:
        return first_hour(folder, f"breakeven init --base-url anthropic={api.base_url}")


def engine_and_rate(cache: Path) -> str:
    with a_newcomer(cache) as folder:
        put_spool(folder)
        return first_hour(folder, "breakeven init --gpu-hour 2.69")


def invoice_only(cache: Path) -> str:
    with a_newcomer(cache) as folder:
        put_invoice(folder)
        return first_hour(folder, "breakeven init")


def gateway_only(cache: Path) -> str:
    with a_newcomer(cache) as folder:
        put_gateway_export(folder)
        return first_hour(folder, "breakeven init")


def telemetry_only(cache: Path) -> str:
    with a_newcomer(cache) as folder:
        put_spool(folder)
        return first_hour(folder, "breakeven init")


def everything(cache: Path) -> str:
    with serving(BothReports(_nothing)) as api, a_newcomer(cache, ANTHROPIC_ADMIN_KEY=KEY) as folder:
        put_spool(folder)
        put_invoice(folder)
        put_gateway_export(folder)
        return first_hour(folder, f"breakeven init --base-url anthropic={api.base_url}")


def prometheus_and_bill(cache: Path) -> str:
    """What a Prometheus has kept: the first run lands all of it, and the first verdict is of these days."""
    began = NOW - KEPT
    fleet = Fleet(
        start=began, stop=NOW, every_ms=900_000, gpus=[GpuSeries("GPU-1")],
        engines=[Engine(started=began, ended=NOW + timedelta(days=1), per_second=900, model_name="Qwen/Qwen3-32B")],
        pods=[Pod(created=began, owner=("ReplicaSet", "qwen3-32b-7c9d8f6b5"))],
    )  # fmt: skip
    with ExitStack() as held:
        held.enter_context(patch.object(prometheus, "_HOUR", timedelta(days=1)))
        kept = held.enter_context(serving(PrometheusApi(series=fleet.series())))
        api = held.enter_context(serving(BothReports(_nothing, since=NOW - timedelta(days=40), until=NOW, times=12)))
        folder = held.enter_context(a_newcomer(cache, ANTHROPIC_ADMIN_KEY=KEY))
        begun = typed(
            f"breakeven init --prometheus {kept.base_url} --gpu-hour 2.69 --base-url anthropic={api.base_url}"
        )
        taken = shell(r"sed -i -E 's/^# (workloads|deployments|  - )/\1/; s/team: support,/& deployment: qwen3-32b,/' "
                      "breakeven.yaml")  # fmt: skip
        shown = cat(folder / "breakeven.yaml")
        return f"{begun}\n{taken}{shown}{typed('breakeven run', 'breakeven verdict')}"


SESSIONS: Mapping[str, Callable[[Path], str]] = {
    f"{kind.__name__}.txt": kind
    for kind in (api_only, engine_and_rate, invoice_only, gateway_only, telemetry_only, everything, prometheus_and_bill)
}


def record(folder: Path) -> list[str]:
    """Every session into a file of its own; of one that cannot be, why. The names of those."""
    folder.mkdir(exist_ok=True)
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as cache:
        for name, session in SESSIONS.items():
            try:
                said = session(Path(cache))
            except Exception:
                said = traceback.format_exc()
                failed.append(name)
            (folder / name).write_text(said, encoding="utf-8")
    return failed


if __name__ == "__main__":
    if failed := record(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        sys.exit(f"No session, but why there is none, is in {', '.join(failed)}.")
