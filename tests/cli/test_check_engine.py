"""`breakeven check` of an engine, as a person runs it: a process, a server, an empty folder."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from tests.check.calling import called
from tests.check.vllm_server import Answer, serving, vllm_body

# None of these is needed to read two scrapes and price them, and each costs a newcomer a part of a second.
HEAVY = (
    "dagster", "polars", "duckdb", "sqlglot", "boto3", "botocore", "urllib3", "altair", "vl_convert", "jinja2", "yaml",
    "slack_sdk", "currency_converter", "pynvml", "pipeline.sources", "pipeline.build", "pipeline.config",
)  # fmt: skip
_RUN = "from pipeline.cli import main; main()"
_RUN_AND_LIST = f"""
import sys, atexit
atexit.register(lambda: print("LOADED", *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr))
{_RUN}
"""


def breakeven(*arguments: str, folder: Path, code: str = _RUN, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment},
    )  # fmt: skip


def growing(number: int) -> Answer:
    return Answer.of(vllm_body(prompt=10_000 + 600 * number, cached=2_000, output=500 + 150 * number, running=1))


def test_a_check_starts_in_under_two_seconds_and_never_loads_what_it_does_not_need(tmp_path) -> None:
    with serving(growing) as url:
        asked = ["check", "--vllm", url, "--gpu-hour", "2.69"]
        started = time.monotonic()
        done = breakeven(*asked, "--window", "0", folder=tmp_path, code=_RUN_AND_LIST)
        took = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == ["LOADED"]
    assert "since it started" in done.stdout
    # Alone on a machine it takes half a second; this one may be shared by a whole test run.
    assert took < 8
    assert list(tmp_path.iterdir()) == []


def test_a_watched_second_is_priced_exactly_in_json_and_csv(tmp_path) -> None:
    with serving(growing) as url:
        asked = ["check", "--vllm", url, "--gpu-hour", "2.69", "--gpus", "4", "--window", "1s"]
        said = json.loads(called(*asked, "--format", "json", folder=tmp_path).stdout)
        table = called(*asked, "--format", "csv", folder=tmp_path).stdout
    window = said["windows"][0]
    assert (window["window"], window["tokens"]["all"]) == ("observed", 750)
    assert window["gpu_milliseconds"] == 4 * window["milliseconds"]
    cost = Decimal("2.69") * window["gpu_milliseconds"] / 3_600_000
    assert abs(Decimal(window["cost"]) - cost) < Decimal("1e-17")
    assert abs(Decimal(window["full_per_mtok"]) - Decimal(window["cost"]) * 1_000_000 / 750) < Decimal("1e-10")
    assert 1000 <= window["milliseconds"] < 6000
    figures = {(row["part"], row["of"], row["figure"]): row["value"] for row in csv.DictReader(io.StringIO(table))}
    assert figures["window", "observed", "output_tokens"] == "150"
    assert figures["window", "observed", "is_token_lower_bound"] == "false"
    assert figures["api", "openai/gpt-5-mini", "no_cache_hits_per_mtok"] == "0.600000000000000000"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["check"], 2, "Name one thing to check"),
        (["check", "--vllm", "http://x", "--scrapes", "a", "b"], 2, "--engine and --scrapes were given"),
        (["check", "--vllm", "gpu-1:8000"], 2, "is no address"),
        (["check", "--vllm", "http://127.0.0.1:1"], 3, "refused"),
        (["check", "--vllm", "http://x", "--gpu-hour", "0"], 2, "no price above 0"),
        (["check", "--vllm", "http://x", "--gpu-hour", "nan"], 2, "no price above 0"),
        (["check", "--vllm", "http://x", "--window", "soon"], 2, "no length of time"),
        (["check", "--vllm", "http://x", "--currency", "dollars"], 2, "code of three letters"),
        (["check", "--scrapes", "a", "b"], 1, "a: No such file"),
        (["check", "--prometheus", "prom:9090"], 2, "It must be http(s)://host"),
        (["check", "--prometheus", "http://x", "--match", "{a}"], 2, "Give matchers without braces"),
        (["check", "--prometheus", "http://x", "--token-env", "NONE_SUCH"], 3, "NONE_SUCH is not set"),
        (["check", "--prometheus", "http://127.0.0.1:1", "--window", "0"], 2, "no part of the last 31 days"),
        (["check", "--vllm", "http://x", "--tenant", "t"], 2, "are for --prometheus"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_exits_with_its_code(tmp_path, arguments, code, words) -> None:
    done = called(*arguments, folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_what_an_engine_calls_itself_cannot_steer_a_terminal(tmp_path) -> None:
    """A served name is text of others, and so is the reason a server gives."""
    hostile = "evil\x1b[2J\x1b]0;owned\x07\u202egnp"
    with serving(lambda n: Answer.of(vllm_body(prompt=9 + n, output=1 + n, model=hostile))) as url:
        asked = ["check", "--vllm", url, "--gpu-hour", "1", "--window", "1s", "--api", hostile]
        shown = breakeven(*asked, folder=tmp_path)
        said = json.loads(called(*asked, "--format", "json", folder=tmp_path).stdout)
    with serving(lambda n: Answer(f"{hostile}\n".encode())) as url:
        failed = called("check", "--vllm", url, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert failed.returncode == 1
    for text in (shown.stdout, shown.stderr, failed.stdout, failed.stderr):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
    assert "evil" in shown.stdout
    assert said["models"] == [hostile]


def test_colour_and_width_are_for_terminals_only(tmp_path) -> None:
    with serving(growing) as url:
        piped = breakeven("check", "--vllm", url, "--gpu-hour", "2.69", "--window", "0", folder=tmp_path, COLUMNS="40")
    assert "\x1b[" not in piped.stdout
    assert max(map(len, piped.stdout.splitlines())) > 80
