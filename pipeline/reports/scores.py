"""Recommendations that somebody carried out: what each was expected to save, and what it has saved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.economics.exact import to_places
from pipeline.economics.realized_saving import ServedDay, realized_saving

Row = Mapping[str, Any]
# The subject and the body of a `case.done`.
Done = tuple[str, Mapping[str, Any]]
_WORKLOAD = "workload:"
_SAVING = (_WORKLOAD, "waste:")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A case that was done. Money a month in the reporting currency; `realized` is None where `why` says why.

    `is_cash`: `predicted` is what bills would come to less, as `realized` is measured. Of waste it is what GPUs that
    nothing needed cost: as cash it comes back where a whole billed resource goes, so that the two are not compared.
    """

    case_key: str
    recommended_on: date
    done_on: date
    by: str
    predicted: Decimal | None
    is_cash: bool
    realized: Decimal | None
    days_count: int
    why: str | None


def scores(done: Iterable[Done], rows: Sequence[Row]) -> list[Scored]:
    """done: subject and body of each `case.done`. rows: alert_scores.sql. A case that is said to be done twice is done
    when it was said first. Of what saves nothing by being done (a balance, a budget, a source, a restated month, a
    dispute) there is no score.
    """
    first: dict[str, Done] = {}
    for subject, body in done:
        first.setdefault(body["case_key"], (subject, body))
    found = [_scored(subject, body, rows) for subject, body in first.values() if subject.startswith(_SAVING)]
    return sorted(found, key=lambda one: (one.done_on, one.case_key))


def _scored(subject: str, body: Mapping[str, Any], rows: Sequence[Row]) -> Scored:
    recommended, done = date.fromisoformat(body["usage_date"]), datetime.fromisoformat(body["done_at"]).date()
    pool, saving = body.get("pool"), body.get("saving_rc_per_month")
    about: dict[str, Any] = {
        "case_key": body["case_key"],
        "recommended_on": recommended,
        "done_on": done,
        "by": body["by"],
        "predicted": None if saving is None else Decimal(saving),
        "is_cash": subject.startswith(_WORKLOAD),
    }
    if pool is not None:
        mine = [row for row in rows if row["deployment_id"] == pool]
    elif subject.startswith(_WORKLOAD):
        mine = [row for row in rows if row["workload"] == subject.removeprefix(_WORKLOAD)]
    else:
        return Scored(**about, realized=None, days_count=0, why="its GPUs serve no tokens that could be compared")
    score = realized_saving(_days(mine), recommended_on=recommended, done_on=done)
    realized = None if score.realized_per_month is None else to_places(score.realized_per_month, 18)
    return Scored(**about, realized=realized, days_count=score.days_count, why=score.why)


def _days(rows: Iterable[Row]) -> list[ServedDay]:
    """One per day that has a row; its cost is unknown as soon as that of a part is."""
    costs: dict[date, Fraction | None] = {}
    tokens: dict[date, int] = {}
    for row in rows:
        day = row["usage_date"]
        known = costs.get(day, Fraction(0))
        costs[day] = None if known is None or row["cost_rc"] is None else known + Fraction(row["cost_rc"])
        tokens[day] = tokens.get(day, 0) + row["tokens"]
    return [ServedDay(day=day, cost=costs[day], tokens=tokens[day]) for day in sorted(costs)]
