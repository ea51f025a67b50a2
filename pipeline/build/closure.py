"""What a piece of Python depends on: the text of every `pipeline` module it imports, transitively."""

import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

# A result computed with these may change with their version though no text of ours did: import name -> distribution.
_NUMERIC_LIBRARIES = {"duckdb": "duckdb", "polars": "polars", "genai_prices": "genai-prices"}

# `from a.b import c, d as e`, on one line or in brackets, and `import a.b, c`.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ ]+([A-Za-z_][\w.]*)[ ]+import[ ]+(\([^)]*\)|[^\n(]+)|import[ ]+([^\n]+))$", re.MULTILINE
)
_IMPORTED_NAME = re.compile(r"(\w+)(?:\s+as\s+\w+)?\s*(?:,|\)|$)")
_COMMENT = re.compile(r"#[^\n]*")


@functools.cache
def _module_path(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _imports(module: str) -> frozenset[str]:
    path = _module_path(module)
    if path is None:
        return frozenset()
    return imported_by(path.read_text(encoding="utf-8"))


def imported_by(text: str) -> frozenset[str]:
    """Full names of the modules, and of what may be modules, that a formatted source text imports anywhere.

    Read by its lines: to parse fifty modules in each process took as long as to build a day (2026-11-29). A text that
    spells an import in a string is taken at its word, which adds a dependency and hides none.
    """
    found: set[str] = set()
    for module, listed, names in _IMPORT.findall(text):
        if names:
            found.update(name.split()[0] for name in names.split(","))
        else:
            found.add(module)
            found.update(f"{module}.{name}" for name in _IMPORTED_NAME.findall(_COMMENT.sub("", listed)))
    return frozenset(found)


def _ours(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] == "pipeline" and _module_path(name) is not None}


@functools.cache
def import_closure(module: str) -> tuple[str, ...]:
    """Names of the module and every `pipeline` module it reaches, sorted."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        waiting.extend(_ours(_imports(name)) - reached)
    return tuple(sorted(reached))


@functools.cache
def closure_hash(module: str) -> str:
    """sha256 over the texts of the module's import closure and the versions of the numeric libraries it uses."""
    hasher = hashlib.sha256()
    libraries: set[str] = set()
    for name in import_closure(module):
        path = _module_path(name)
        hasher.update(name.encode() + b"\0" + (path.read_bytes() if path else b"") + b"\0")
        libraries |= {imported.split(".")[0] for imported in _imports(name)} & _NUMERIC_LIBRARIES.keys()
    for library in sorted(libraries):
        hasher.update(f"{library}=={version(_NUMERIC_LIBRARIES[library])}\n".encode())
    return hasher.hexdigest()
