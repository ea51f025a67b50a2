"""`breakeven ui`: a real server on a free port, asked through GraphQL, ended whole."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.cli.ui import serve
from tests.pipeline.small_project import CONSOLE, SmallProject, source

_START = "from pipeline.cli import main; main()"
_ASSET_QUERY = "{repositoriesOrError{... on RepositoryConnection{nodes{assetNodes{assetKey{path}}}}}}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, query: str) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())["data"]


def until(done, *, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.2)
    return False


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def descendants(pid: int) -> set[int]:
    """Every process below this one, now."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    below: set[int] = set()
    while added := {child for child, parent in parents.items() if parent in below | {pid}} - below:
        below |= added
    return below


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from /proc")
def test_the_ui_serves_the_assets_and_leaves_no_process_behind(tmp_path):
    project = SmallProject(tmp_path / "project", [source(CONSOLE, "acme")])
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", _START, "ui", "--project", str(project.folder), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    started: set[int] = set()
    try:
        assert until(lambda: answers(port), seconds=90), "no answer on /server_info"
        nodes = ask(port, _ASSET_QUERY)["repositoriesOrError"]["nodes"]
        paths = {"/".join(node["assetKey"]["path"]) for node in nodes[0]["assetNodes"]}
        assert {"daily/costs", f"landing/{CONSOLE}__acme", "marts/fct_unit_costs_daily"} <= paths
        started = descendants(process.pid)
        assert len(started) >= 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0
        assert until(lambda: not any(map(is_alive, started)), seconds=5), "children outlive the UI"
    finally:
        process.kill()
        for pid in filter(is_alive, started):
            os.kill(pid, signal.SIGKILL)
        output = process.communicate(timeout=10)[0].decode()
    assert f"http://127.0.0.1:{port}" in output
    assert "SupersessionWarning" not in output


def test_a_child_that_ignores_term_is_ended_with_its_group(tmp_path, monkeypatch):
    """What `dagster dev` starts may outlive a TERM: the group gets KILL after a while."""
    monkeypatch.setattr("pipeline.cli.ui._SECONDS_TO_END", 0.5)
    pid_file = tmp_path / "pid"
    stubborn = (
        "import os, signal, subprocess, sys, time\n"
        "child = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); '\n"
        "child += 'print(1, flush=True); time.sleep(60)'\n"
        "process = subprocess.Popen([sys.executable, '-c', child], stdout=subprocess.PIPE)\n"
        "process.stdout.readline()\n"
        f"open({str(pid_file)!r}, 'w').write(str(process.pid))\n"
    )
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        serve([sys.executable, "-c", stubborn], dict(os.environ))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert until(lambda: not is_alive(int(pid_file.read_text())), seconds=3)


def test_a_port_in_use_is_named_with_another(tmp_path):
    project = SmallProject(tmp_path / "project", [source(CONSOLE, "acme")])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(group, ["ui", "--project", str(project.folder), "--port", str(port)])
    assert f"--port {port + 1}" in str(result.exception)
