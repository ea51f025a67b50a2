"""Files of the cache: written aside, then linked into place, the announcing file last. Never replaced."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_once(target: Path) -> Iterator[Path]:
    """A path to write to; on leaving, it becomes `target` unless another worker's equal file got there first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        yield aside
        if aside.exists():
            with suppress(FileExistsError):
                os.link(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def swapped(target: Path, write: Callable[[Path], None]) -> None:
    """Make `target` anew and swap it in by rename: a reader sees the old one or the new one, whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        write(aside)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
