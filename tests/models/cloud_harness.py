"""The cloud half of the graph through the whole line: files dropped into inboxes, landed, read, built."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.build.graph import Graph
from pipeline.build.runner import Model
from pipeline.decisions.graph import shipped_graph
from tests.pipeline.small_project import Answers, SmallProject

NOW = datetime(2026, 12, 9, 6, tzinfo=UTC)
FOCUS = "focus"
MART = "fct_cloud_charges_daily"
CLOUD_TABLES = (
    "stg_focus__charges_daily",
    "int_cloud_charges_daily",
    "fct_cloud_charges_daily",
    "fct_reconciliation_invoice",
)
CLOUD_CHECKS = ("check_cloud_money_conserved", "check_cloud_book_of_record")

# Of the columns of FOCUS, those that a charge cannot be without, and a few that tell charges apart.
LINE: Mapping[str, str] = {
    "BillingAccountId": "111122223333",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "BillingPeriodEnd": "2026-12-01T00:00:00Z",
    "ChargePeriodStart": "2026-11-02T04:00:00Z",
    "ChargePeriodEnd": "2026-11-02T05:00:00Z",
    "ChargeCategory": "Usage",
    "InvoiceIssuerName": "Cloudy, Inc.",
    "ProviderName": "Cloudy",
    "ServiceName": "Compute",
    "BilledCost": "1.00",
    "EffectiveCost": "1.00",
    "ListCost": "1.00",
    "ContractedCost": "1.00",
}


def line(**fields: str) -> dict[str, str]:
    """A charge of an hour."""
    return {**LINE, **fields}


def focus_csv(lines: Sequence[Mapping[str, str]], *, columns: Sequence[str] | None = None) -> bytes:
    """Lines as a FOCUS file: every column that any of them has, in their order, unless `columns` says which."""
    header = columns or list(dict.fromkeys(name for one in lines for name in one)) or list(LINE)
    rows = [header, *([one.get(name, "") for name in header] for one in lines)]
    return "".join(",".join(_cell(cell) for cell in row) + "\r\n" for row in rows).encode()


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def focus(account: str = "cloudy", **fields: Any) -> dict[str, Any]:
    """One entry of `sources:`."""
    return {"source": FOCUS, "account": account, "inbox": f"inbox/{FOCUS}/{account}", **fields}


@dataclass(frozen=True)
class _PartOfGraph(Graph):
    """What some tables need, no more: a build that a property can afford a few dozen of."""

    wanted: tuple[Model, ...] = ()

    def models(self, cache: Path | None) -> list[Model]:
        return list(self.wanted)


@functools.cache
def _shipped_models() -> tuple[Model, ...]:
    return tuple(shipped_graph().models(None))


def cloud_graph(targets: Iterable[str] = (MART, *CLOUD_CHECKS), *, replaced: Sequence[Model] = ()) -> Graph:
    """The shipped graph cut to what `targets` read."""
    by_name = {model.name: model for model in (*_shipped_models(), *replaced)}
    needed: dict[str, Model] = {}
    waiting = list(targets)
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in needed:
            needed[name] = by_name[name]
            waiting.extend(by_name[name].inputs)
    shipped = shipped_graph()
    return _PartOfGraph(
        datasets=shipped.datasets,
        python_models=(),
        models_folder=shipped.models_folder,
        checks_folder=shipped.checks_folder,
        wanted=tuple(needed.values()),
    )


def built(project: SmallProject, *, now: datetime = NOW, graph: Graph | None = None) -> Answers:
    """Ingest, which must go well, and build what cloud bills need."""
    errors = [one.error for one in project.ingest(now=now) if one.error is not None]
    assert errors == []
    return project.build(now=now, graph=graph or cloud_graph())


def broken_laws(answers: Answers, checks: Iterable[str] = CLOUD_CHECKS) -> list[str]:
    """What the checks found, as sentences."""
    return [
        f"{row['law']} {row['scope']}: {row['detail']}"
        for check in checks
        for row in answers.rows(f"select * from {check} order by all")
    ]


def broken(name: str, old: str, new: str) -> Model:
    """The model with a fault planted: `old` in its text made `new`."""
    model = next(model for model in _shipped_models() if model.name == name)
    if old not in model.sql:
        raise KeyError(f"{name} does not say {old!r}")
    return replace(model, sql=model.sql.replace(old, new))
