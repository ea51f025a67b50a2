"""The shell script of the agent's DaemonSet, as a pod that is replaced at any of its steps lives through it."""

import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# An agent that closes its file once it is asked to stop, and says what was done in which order.
_BREAKEVEN = """\
#!/bin/sh
if [ "$2" = ship ]; then echo shipped >> "$TOLD"; exit 0; fi
trap 'echo closed >> "$TOLD"; kill $!; exit 0' TERM
sleep 30 & wait $!
"""
_STEP_SECONDS = 0.3
_TERM_BIT = 1 << (signal.SIGTERM - 1)


def pod_script() -> str:
    (template,) = yaml.safe_load_all((ROOT / "infra" / "k8s" / "agent.yaml").read_text())
    (container,) = template["spec"]["template"]["spec"]["containers"]
    script: str = container["args"][0]
    return script


def heeds_term(process: subprocess.Popen[bytes]) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = re.findall("SigCgt:\\s*([0-9a-f]+)", status)
    return bool(int(caught, 16) & _TERM_BIT)


def ended(step: int, shell: str, folder: Path) -> tuple[int, list[str]]:
    """A pod that is asked to end within this step of its script: its exit code, and what it told, in order.

    Each step is made to take so long that TERM comes within the one that is meant.
    """
    folder.mkdir()
    (folder / "breakeven").write_text(_BREAKEVEN)
    (folder / "breakeven").chmod(0o755)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "TOLD": str(folder / "told"),
        "PLACE": "there",
        "PS4": f"$(sleep {_STEP_SECONDS})",
    }
    pod = subprocess.Popen([shell, "-x", "-c", pod_script()], env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while not heeds_term(pod):
            assert time.monotonic() < until
            assert pod.poll() is None
            time.sleep(0.01)
        time.sleep(_STEP_SECONDS * (step + 0.5))
        pod.terminate()
        code = pod.wait(timeout=20)
    finally:
        pod.kill()
    return code, (folder / "told").read_text().split()


def test_a_pod_that_is_replaced_at_any_step_ends_and_ships(tmp_path: Path) -> None:
    """One pod for each step, all at once: each mostly sleeps."""
    shell = shutil.which("sh")
    if shell is None:
        pytest.skip("no sh on this machine")
    with ThreadPoolExecutor(max_workers=4) as pods:
        found = [pods.submit(ended, step, shell, tmp_path / str(step)) for step in range(4)]
    for step, pod in enumerate(found):
        code, told = pod.result()
        assert (step, code) == (step, 0)
        assert told in (["closed", "shipped"], ["shipped"]), step
