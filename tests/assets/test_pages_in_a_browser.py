"""Dagster's own pages of the morning's assets and of the month's report, as headless Chromium shows them."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from pipeline.assets.resources import AS_OF_TAG
from pipeline.cli.in_process import prepare_dagster_home
from pipeline.definitions import REPORT_JOB, definitions_for
from pipeline.demo import AS_OF
from pipeline.landing.project import Project
from tests.cli.test_ui import answers, free_port, until
from tests.reports.test_in_a_browser import CHROMIUM, QUIET

_START = "from pipeline.cli import main; main()"
# The page asks for what it shows once it is there; nothing but the server is found.
_PATIENT = ("--virtual-time-budget=30000", "--window-size=1500,2400", "--enable-logging=stderr", "--v=0")
_ONLY_HERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
# Where the browser itself would look for updates and spelling.
_OF_CHROMIUM = (".google.com", ".googleapis.com", ".gstatic.com")
PAGES = {
    "daily/costs": ("14 Nov 2026 UTC: settled", "claude-haiku-4-5, anthropic (billed)", "breakeven explain cost"),
    "daily/waste": ("GPU idle: ", "batch-gemma", "breakeven explain waste"),
    "daily/verdicts": ("support-chat", "breakeven explain verdict", "snapshot"),
    "reports/monthly": ("API, billed", "5,162.21 USD", "2026-10.pdf", "All figures are provisional"),
}

pytestmark = [pytest.mark.soak, pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")]


@pytest.fixture
def port(demo_folder: Path, tmp_path: Path):
    """The UI on a copy of the demo whose report of October was made by the job."""
    folder = tmp_path / "demo"
    shutil.copytree(demo_folder, folder, symlinks=True)
    home = prepare_dagster_home(Project(folder).paths.dagster_home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        done = (
            definitions_for(folder, now=AS_OF)
            .resolve_job_def(REPORT_JOB)
            .execute_in_process(
                partition_key="2026-10-01",
                instance=instance,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                tags={AS_OF_TAG: AS_OF.isoformat()},
            )
        )
        assert done.success
    found = free_port()
    command = [sys.executable, "-c", _START, "ui", "--project", str(folder), "--port", str(found)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert until(lambda: answers(found), seconds=90), "no answer on /server_info"
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


def test_the_pages_tell_the_story_without_a_complaint_and_ask_nobody_else(port, tmp_path):
    told = {}
    for name in PAGES:
        log = tmp_path / "net.json"
        address = f"http://127.0.0.1:{port}/assets/{name}?view=overview"
        profile = tmp_path / name.replace("/", "-")
        own = (f"--user-data-dir={profile}", f"--log-net-log={log}", "--dump-dom")
        done = subprocess.run(
            [CHROMIUM, *QUIET, *_PATIENT, _ONLY_HERE, *own, address], check=True, capture_output=True, timeout=180
        )
        seen = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", done.stdout.decode()))
        told[name] = [words for words in PAGES[name] if words not in seen]
        complaints = [
            line for line in done.stderr.decode().splitlines() if re.search(r":(ERROR|WARNING):CONSOLE", line)
        ]
        assert complaints == []
        text = log.read_text(errors="replace")
        asked = {host.split("/")[0].split(":")[0] for host in re.findall(r'"url":"https?://([^"]+)"', text)}
        assert {host for host in asked if not host.endswith(_OF_CHROMIUM)} == {"127.0.0.1"}
    assert told == {name: [] for name in PAGES}
