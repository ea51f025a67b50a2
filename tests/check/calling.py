"""`breakeven ...` as its entry point runs it, in this process: what it prints where, and its exit code."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from pipeline.cli import main


@dataclass(frozen=True)
class Called:
    returncode: int
    stdout: str
    stderr: str


def called(*arguments: str, folder: Path) -> Called:
    """In a folder. A process costs most of a second before it has done anything; where that is the point, start one."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        contextlib.chdir(folder),
        patch.object(sys, "argv", ["breakeven", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    return Called(code, out.getvalue(), err.getvalue())
