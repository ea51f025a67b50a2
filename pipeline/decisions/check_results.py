"""The gate as data: which law held, in which scope, in a snapshot."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from pipeline.build.publish import open_snapshot
from pipeline.build.snapshot import Snapshot

CHECK_PREFIX = "check_"


@dataclass(frozen=True)
class CheckResult:
    """`scope` is `all`, or `<kind>:<name>` (account:..., workload:..., deployment:...) where the law was broken."""

    law: str
    scope: str
    passed: bool
    detail: str


def law_of(name: str) -> str:
    """The law that a check node tests."""
    return name.removeprefix(CHECK_PREFIX)


def check_results(snapshot: Snapshot) -> list[CheckResult]:
    """One row per law that held, one per scope in which it did not."""
    checks = [name for name in sorted(snapshot.nodes) if name.startswith(CHECK_PREFIX)]
    broken = _broken(snapshot, checks)
    results: list[CheckResult] = []
    for name in checks:
        law = law_of(name)
        results.extend(
            CheckResult(law=law, scope=str(scope), passed=False, detail=str(text))
            for _, scope, text in broken.get(name, ())
        )
        if name not in broken:
            results.append(CheckResult(law=law, scope="all", passed=True, detail=""))
    return results


def _broken(snapshot: Snapshot, checks: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Law, scope and detail of every row of the checks that have rows: which have, the snapshot itself knows."""
    names = [name for name in checks if any(part.rows for part in snapshot.node(name).parts.values())]
    if not names:
        return {}
    with closing(open_snapshot(snapshot, only=names)) as connection:
        return {
            name: connection.execute(f"select law, scope, detail from {name} order by all").fetchall()  # noqa: S608
            for name in names
        }


def refused_scopes(results: Iterable[CheckResult]) -> dict[str, list[str]]:
    """Scope -> the laws broken in it. An alert or a report refuses these and no others."""
    refused: dict[str, list[str]] = {}
    for result in results:
        if not result.passed:
            refused.setdefault(result.scope, []).append(result.law)
    return refused
