"""`ui`: the Dagster UI on the project's state, on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from pipeline.cli.in_process import prepare_dagster_home
from pipeline.cli.options import console, open_project, project_option
from pipeline.definitions import PROJECT_VARIABLE
from pipeline.errors import BreakevenError

_HOST = "127.0.0.1"
_SECONDS_TO_END = 10.0
_WORKSPACE = """load_from:
  - python_module:
      module_name: pipeline.workspace
      location_name: breakeven
"""


@click.command()
@project_option
@click.option("--port", type=click.IntRange(1024, 65535), default=3000, show_default=True)
def ui(folder: Path | None, port: int) -> None:
    """Serve the Dagster UI on 127.0.0.1 until Ctrl-C.

    Its schedules and its sensor for new files are off until switched on there, under Automation.

    \b
    Examples:
      breakeven ui
      breakeven ui --project /srv/breakeven --port 3100
    """
    project = open_project(folder)
    _ = project.config
    _must_be_free(port)
    home = prepare_dagster_home(project.paths.dagster_home)
    environment = {**os.environ, "DAGSTER_HOME": str(home), PROJECT_VARIABLE: str(project.folder.resolve())}
    environment["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    # Dagster's own notices (that `dagster dev` has a successor, that a feature is in beta) are not for who reads costs.
    environment.setdefault("PYTHONWARNINGS", "ignore")
    console().print(f"http://{_HOST}:{port}  (ready in a few seconds; Ctrl-C stops it)", markup=False)
    raise SystemExit(serve(_command(_workspace_in(home), port), environment))


def _workspace_in(home: Path) -> Path:
    """The repository's `workspace.yaml`, which an installed package does not have beside it."""
    workspace = home / "workspace.yaml"
    workspace.write_text(_WORKSPACE)
    return workspace


def _command(workspace: Path, port: int) -> list[str]:
    served = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", _HOST, "-p", str(port)]
    return [*served, "--log-level", "warning"]


def _must_be_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise BreakevenError(
                f"{_HOST}:{port} cannot be served: {error.strerror}. Name another: breakeven ui --port {port + 1}"
            ) from None


def serve(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a server in a process group of its own and end the whole group: its children outlive a TERM."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    process = subprocess.Popen(command, env=dict(environment), start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _end_group(process)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """TERM, and KILL for what is left after a while. A second Ctrl-C does not interrupt this."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
        except ProcessLookupError:
            return
        if sent is signal.SIGTERM and _is_gone(process, within=_SECONDS_TO_END):
            return
    # What got KILL is gone, though where nobody reaps orphans (a container without an init) its number stays taken.
    process.wait(timeout=_SECONDS_TO_END)


def _is_gone(process: "subprocess.Popen[bytes]", *, within: float) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        process.poll()
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
