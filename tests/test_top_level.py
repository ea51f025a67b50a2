"""The top level of the repository is what CONTRIBUTING.md says it is: what somebody generated there is not tracked."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def said() -> set[str]:
    """The names that the contribution guide lists, without the slash that a folder has there."""
    (listed,) = re.findall(
        r"^- \*\*At the top level\*\*(.*?)(?=^- )", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S
    )
    return {name.rstrip("/") for name in re.findall(r"`([^`]+)`", listed)}


def tracked() -> set[str]:
    """First parts of the paths that git tracks here."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("no git on this machine")
    if listed.returncode != 0 or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    return {name.partition("/")[0] for name in listed.stdout.split("\0") if name}


def test_the_tracked_top_level_is_what_the_project_says_it_is() -> None:
    assert tracked() == said()
