"""What readers found in objects, once more in one file: a year has thousands, and each has a small index of its own.

The small files say what is there; this one only saves opening them. It is added to, a line an object, and a line that
was cut or altered is as if it had never been written.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.build.files import swapped

# An object's name (sha256/reader) and its index; what no reader asks for any more is left out now and then.
_MOST_UNUSED = 1_000


class KnownObjects:
    """The indexes of a cache's parsed objects by `sha256/reader`."""

    def __init__(self, cache: Path) -> None:
        self._file = cache / "parsed" / "known.jsonl"
        self._asked: set[str] = set()
        self._new: dict[str, Any] = {}

    @cached_property
    def _lines(self) -> dict[str, str]:
        try:
            text = self._file.read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return {}
        return dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)

    def index_of(self, name: str) -> Any:
        """What was found in an object, as it was kept; None where this file does not know."""
        self._asked.add(name)
        try:
            return json.loads(self._lines[name])
        except (KeyError, ValueError):
            return None

    def add(self, name: str, index: Mapping[str, Any]) -> None:
        """Remember an object that was not known here."""
        self._new[name] = index

    def keep(self) -> None:
        """Write down what was added. Of two that do so at once one may be lost: those objects are opened once more."""
        unused = self._lines.keys() - self._asked
        if len(unused) > max(_MOST_UNUSED, len(self._asked)):
            kept = {name: line for name, line in self._lines.items() if name in self._asked}
            lines = [*_lines(self._new), *(f"{name}\t{line}\n" for name, line in kept.items())]
            swapped(self._file, lambda aside: _write(aside, lines))
        elif self._new:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                # A line that was cut ends here, and takes none of these with it.
                file.write("".join(["\n", *_lines(self._new)]))


def _lines(indexes: Mapping[str, Any]) -> Iterable[str]:
    return (f"{name}\t{json.dumps(index)}\n" for name, index in indexes.items())


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(lines), encoding="utf-8")
