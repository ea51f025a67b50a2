"""One cache for all small projects of a session: it is content-addressed, so sharing it changes no result."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    INVOICE,
    SPOOL,
    SmallProject,
    invoice_csv,
    source,
    spool_file,
    three_days,
)

MakeProject = Callable[..., SmallProject]
PersonAt = Callable[[datetime], None]


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a first project of the usual shape computed."""
    first = SmallProject(
        tmp_path_factory.mktemp("warm"),
        [source(CONSOLE, "acme"), source(INVOICE, "gpucloud"), source(SPOOL, "fleet")],
    )
    first.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.00"))
    first.drop(INVOICE, "gpucloud", "invoice.csv", invoice_csv([("GPU server", "server-1", "72.00")], total="72.00"))
    first.drop(SPOOL, "fleet", "spool.jsonl", spool_file("2026-11-01"))
    first.run()
    return first.cache


@pytest.fixture
def make_project(tmp_path: Path, warm_cache: Path) -> MakeProject:
    """Small projects in this test's folder."""

    def make(sources: Sequence[Mapping[str, Any]], *, name: str = "project", **other_sections: Any) -> SmallProject:
        return SmallProject(tmp_path / name, sources, other_sections, warm_cache=warm_cache)

    return make


@pytest.fixture
def person_at(monkeypatch: pytest.MonkeyPatch) -> PersonAt:
    """The clock by which commands like `accept` say when a person spoke."""

    def at(moment: datetime) -> None:
        monkeypatch.setattr("pipeline.cli.events.datetime", SimpleNamespace(now=lambda _: moment))

    return at
