"""`breakeven doctor` run as a person runs it, and its rows."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from pipeline.cli import group
from tests.pipeline.small_project import NOW

AS_OF = NOW.isoformat()


def doctor(folder: Path, *more: str, as_of: str = AS_OF) -> Result:
    return CliRunner().invoke(group, ["doctor", "--project", str(folder), "--as-of", as_of, *more])


def rows(folder: Path, *more: str, as_of: str = AS_OF) -> list[dict[str, Any]]:
    """The findings, of which exactly one is to be fixed next, or none."""
    done = doctor(folder, *more, "--format", "json", as_of=as_of)
    assert done.exit_code in (0, 1), done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert sum(row["is_next"] for row in found) <= 1
    assert (done.exit_code == 1) == any(row["state"] == "fix" for row in found)
    return found


def of(found: list[dict[str, Any]], check: str, **where: Any) -> list[dict[str, Any]]:
    """The findings of one check, about what `where` says."""
    return [row for row in found if row["check"] == check and all(row[name] == value for name, value in where.items())]


def chosen(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The one to fix next."""
    (row,) = [row for row in found if row["is_next"]]
    return row


def told(folder: Path, *more: str, as_of: str = AS_OF) -> str:
    """What the table says, on one line."""
    return " ".join(doctor(folder, *more, as_of=as_of).output.split())
