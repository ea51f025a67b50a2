"""What if: a verdict's own functions over inputs of which some are supposed. Nothing is landed, nothing is built.

An input is changed where a verdict reads it, in the evidence of its window; what comes out differs from the published
verdict in nothing but that.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import config_versions
from pipeline.build.publish import open_snapshot
from pipeline.build.seeds import load_seeds
from pipeline.build.snapshot import Snapshot
from pipeline.config.vocabulary import TOKEN_CLASSES
from pipeline.decisions.gpu_types import gpu_type_named, gpu_types
from pipeline.decisions.supposing import Supposed, WhatIfError, with_supposed
from pipeline.decisions.verdicts import verdict_of
from pipeline.decisions.window import (
    INPUTS,
    LOOKBACK,
    PREPARE,
    READS,
    WINDOW_DAYS,
    Evidence,
    Row,
    evidence_on,
    valid_on,
)
from pipeline.landing.project import Project
from pipeline.paths import models_root


@dataclass(frozen=True)
class Case:
    """What verdicts of one day are made of, read from a snapshot once."""

    day: date
    inputs: Mapping[str, Any]

    def workloads(self) -> list[Row]:
        return sorted(valid_on(self.day, self.inputs["config_workloads"]), key=lambda row: str(row["workload"]))

    def deployment_of(self, workload: Row) -> Row | None:
        rows = valid_on(self.day, self.inputs["config_deployments"])
        return next((row for row in rows if row["deployment_id"] == workload["deployment_id"]), None)

    def evidence(self, *, price_day: date | None = None) -> Evidence:
        return evidence_on(self.day, self.inputs, price_day=price_day)


@dataclass(frozen=True)
class Outcome:
    """A workload's verdict as published, and as it would be."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def is_flipped(self) -> bool:
        """Whether there is another answer: what to do, on how many replicas, or that there is one at all."""
        names = ("status", "recommendation", "best_replica_count")
        return any(self.before[name] != self.after[name] for name in names)


def read_case(project: Project, snapshot: Snapshot, *, from_date: date, day: date) -> Case:
    """The inputs of a verdict on a day that reads the days from `from_date` to it; a verdict reads 28."""
    connection = open_snapshot(snapshot, only=[name for name in INPUTS if name in snapshot.nodes])
    connection.execute("set timezone = 'UTC'")
    contents = project.landing.contents().as_of(snapshot.as_of)
    given: dict[str, pl.DataFrame] = dict(config_frames(config_versions(contents.events), ()))
    for seed in load_seeds(models_root() / "seeds", cache=project.paths.cache):
        given[seed.name] = seed.frame
    inputs: dict[str, Any] = {}
    try:
        for name in INPUTS:
            prepare = PREPARE[name]
            if name not in snapshot.nodes:
                inputs[name] = prepare(given[name])
                continue
            wanted = READS.get(name, f"select * from {name}")  # noqa: S608 - a node's name
            if name not in LOOKBACK:
                inputs[name] = prepare(pl.DataFrame(connection.sql(wanted)))
                continue
            of_days = f"select * from ({wanted}) where usage_date between $from_date and $day order by all"  # noqa: S608
            frame = pl.DataFrame(connection.sql(of_days, params={"from_date": from_date, "day": day}))
            days = frame.partition_by("usage_date", as_dict=True)
            inputs[name] = {found: prepare(of_day) for (found,), of_day in days.items()}
    finally:
        connection.close()
    return Case(day, inputs)


def verdict_case(project: Project, snapshot: Snapshot, day: date) -> Case:
    """What the published verdicts of a day were made of."""
    return read_case(project, snapshot, from_date=day - timedelta(days=WINDOW_DAYS - 1), day=day)


def outcomes(case: Case, supposed: Supposed, *, only: str | None = None) -> list[Outcome]:
    """Each workload's verdict of the day without and with what is supposed (of `only` one of them).

    Raises WhatIfError where something is supposed of a workload that cannot be.
    """
    workloads = [row for row in case.workloads() if only in (None, row["workload"])]
    evidence = case.evidence()
    _refuse_unknown(supposed, workloads, evidence)
    return [
        Outcome(
            before=verdict_of(workload, case.deployment_of(workload), evidence),
            after=verdict_of(*supposing(case, workload, supposed)),
        )
        for workload in workloads
    ]


def supposing(case: Case, workload: Row, supposed: Supposed) -> tuple[Row, Row | None, Evidence]:
    """A workload, its deployment and the evidence of its window, with what is supposed in the place of what is so."""
    return with_supposed(workload, case.deployment_of(workload), case.evidence(price_day=supposed.price_day), supposed)


def _refuse_unknown(supposed: Supposed, workloads: Sequence[Row], evidence: Evidence) -> None:
    """A name that nothing has would change nothing, and look like an answer."""
    names = [str(workload["workload"]) for workload in workloads]
    rows = [row for name in names for row in (*evidence.daily.get(name, ()), *evidence.api_costs.get(name, ()))]
    classes = {str(row["token_class"]) for row in rows if row["token_class"]}
    classes |= {price.key.token_class for price in evidence.api_prices} | TOKEN_CLASSES
    for name in (*supposed.api_prices, *(supposed.mix or ())):
        if name and name not in classes:
            raise WhatIfError(f"There is no token class {name!r}. {_near(name, classes)}")
    types = gpu_types(evidence.gpu_types)
    if supposed.gpu is None or supposed.tokens_per_second is not None or not types:
        return
    if gpu_type_named(types, supposed.gpu) is not None:
        return
    known = {found.gpu_type for found in types.values()}
    raise WhatIfError(
        f"No GPU type {supposed.gpu!r} is listed, so nothing is known of it. {_near(supposed.gpu, known)} Of one that "
        "is not listed say what it sustains: --tokens-per-second."
    )


def _near(name: str, known: Iterable[str]) -> str:
    by_lower = {one.lower(): one for one in sorted(known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"Did you mean {by_lower[near[0]]!r}?" if near else f"Known: {', '.join(by_lower.values()) or 'none'}."
