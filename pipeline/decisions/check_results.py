"""The gate as data: which law held, in which scope, in a snapshot."""

from collections.abc import Iterable
from dataclasses import dataclass

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
    results: list[CheckResult] = []
    connection = open_snapshot(snapshot)
    for name in sorted(snapshot.nodes):
        if not name.startswith(CHECK_PREFIX):
            continue
        law = law_of(name)
        broken = connection.execute(f"select law, scope, detail from {name} order by all").fetchall()  # noqa: S608
        results.extend(
            CheckResult(law=law, scope=str(scope), passed=False, detail=str(text)) for _, scope, text in broken
        )
        if not broken:
            results.append(CheckResult(law=law, scope="all", passed=True, detail=""))
    connection.close()
    return results


def refused_scopes(results: Iterable[CheckResult]) -> dict[str, list[str]]:
    """Scope -> the laws broken in it. An alert or a report refuses these and no others."""
    refused: dict[str, list[str]] = {}
    for result in results:
        if not result.passed:
            refused.setdefault(result.scope, []).append(result.law)
    return refused
