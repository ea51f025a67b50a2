"""What a node's code depends on: found by reading lines, and equal to what Python's own parser finds."""

import ast
from pathlib import Path

import pytest

import pipeline
from pipeline.build.closure import closure_hash, import_closure, imported_by
from pipeline.decisions.graph import shipped_graph

PACKAGE = Path(pipeline.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def parsed_imports(text: str) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.level == 0, "a relative import would be in no closure"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_import_of_every_module_is_found(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert imported_by(text) == parsed_imports(text)


def test_every_spelling_of_an_import_is_found() -> None:
    text = """
import a.b
import c as d, e.f
from g.h import i, j as k
def late():
    from l import (  # why
        m,
        n as o,  # and why
    )
from p import q
"""
    assert (
        imported_by(text)
        == parsed_imports(text)
        == frozenset(["a.b", "c", "e.f", "g.h", "g.h.i", "g.h.j", "l", "l.m", "l.n", "p", "p.q"])
    )


def test_a_closure_reaches_through_imports_and_a_hash_is_of_texts() -> None:
    reached = import_closure("pipeline.decisions.verdicts")
    assert {"pipeline.economics.exact", "pipeline.economics.quantiles", "pipeline.decisions.rates"} <= set(reached)
    assert "pipeline.cli" not in reached
    assert closure_hash("pipeline.decisions.verdicts") != closure_hash("pipeline.decisions.alert_states")


def test_an_edit_of_how_the_configuration_is_read_parses_and_decides_nothing_anew() -> None:
    """Words that a price is named by are all that parsers may take from there."""
    graph = shipped_graph()
    parsers = {dataset.parse.__module__ for dataset in graph.datasets}
    nodes = {kept.__module__ for model in graph.python_models for kept in (model.build, *model.prepare.values())}
    read = {name for module in parsers | nodes for name in import_closure(module)}
    assert {name for name in read if name.startswith("pipeline.config")} == {"pipeline.config.vocabulary"}
    assert not any(
        name.startswith(("pipeline.landing.project", "pipeline.build.config_tables.frames")) for name in read
    )
