"""What a piece of Python depends on: the text of every `pipeline` module it imports, transitively."""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

# A result computed with these may change with their version though no text of ours did: import name -> distribution.
_NUMERIC_LIBRARIES = {"duckdb": "duckdb", "polars": "polars", "genai_prices": "genai-prices"}


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
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
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
