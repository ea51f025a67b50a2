"""Which replica had which GPU, from when to when: the engines' claims, one after the other, cut at full hours."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

from tests.oracle.engines import Claim
from tests.oracle.landed import Project
from tests.oracle.rules import deployment_of_engine
from tests.oracle.spool import HOUR_MS, Scrape, day_of

Rows = dict[tuple[Any, ...], dict[str, Any]]


def share_rows(
    project: Project,
    scrapes: list[Scrape],
    claims: dict[tuple[str, str], list[Claim]],
    engine_names: set[tuple[date, str, str, str]],
    *,
    days: set[date],
) -> Rows:
    """fct_gpu_shares_interval, of GPUs that are one engine's at a time."""
    told = {(scrape.host, scrape.target): (scrape.replica_id, scrape.gpu_method) for scrape in scrapes}
    if any(told[scrape.host, scrape.target] != (scrape.replica_id, scrape.gpu_method) for scrape in scrapes):
        raise ValueError("an engine that changes its replica or its GPUs: the oracle does not tell its stretches apart")
    rows: Rows = {}
    for (host, gpu_uuid), found in claims.items():
        if any(first.to_ms > second.from_ms for first, second in pairwise(found)):
            raise ValueError(f"engines share {gpu_uuid}: tests/models/test_gpu_shares.py has those")
        for from_ms, to_ms, target, state in _hours(found):
            day = day_of(from_ms)
            if day not in days:
                continue
            replica_id, method = told[host, target]
            names = {name for on, where, what, name in engine_names if (on, where, what) == (day, host, target)}
            owners = {deployment_of_engine(project, host=host, served_name=name, day=day) for name in names}
            rows[day, host, gpu_uuid, target, _at(from_ms)] = {
                "to_at": _at(to_ms),
                "replica_id": replica_id,
                "deployment_id": owners.pop() if len(owners) == 1 else None,
                "state": state,
                "gpu_method": method,
                "share_method": "alone",
                "share_ppm": 1_000_000,
                "gpu_milliseconds": to_ms - from_ms,
            }
    return rows


def _hours(claims: list[Claim]) -> Iterator[Claim]:
    """Stretches of one engine in one state, each within an hour."""
    for stretch in _stretches(claims):
        start = stretch.from_ms
        while start < stretch.to_ms:
            end = min(stretch.to_ms, (start // HOUR_MS + 1) * HOUR_MS)
            yield stretch._replace(from_ms=start, to_ms=end)
            start = end


def _stretches(claims: list[Claim]) -> Iterator[Claim]:
    held: Claim | None = None
    for claim in claims:
        if held is not None and (held.to_ms, held.target, held.state) == (claim.from_ms, claim.target, claim.state):
            held = held._replace(to_ms=claim.to_ms)
            continue
        if held is not None:
            yield held
        held = claim
    if held is not None:
        yield held


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz=UTC)
