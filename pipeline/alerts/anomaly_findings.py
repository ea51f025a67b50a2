"""What costs unusually much, as cases: one a key or a deployment, opened by what its days come to together. Pure.

Rows are those of `sql/reports/anomalies.sql`. What costs less than usual opens no case, and is told beside what costs
more on the same days: a total in which the two cancel shows neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from pipeline.alerts.finding import Finding
from pipeline.alerts.text import inert, money
from pipeline.economics.exact import to_places
from pipeline.economics.worth_saying import Floor

Row = Mapping[str, Any]

WINDOW_DAYS = 28
# Unusual days with no more than a weekend between them are one thing.
GAP_DAYS = 3
_NAME = 80
_LISTED = 3
_ALL = "anomaly:all"


def anomaly_subject(row: Row) -> str:
    """Of a row of fct_anomalies_daily: a key's or a cloud's sub-account's, whatever its models; a deployment's; all."""
    if row["lane"] == "all":
        return _ALL
    if row["lane"] == "gpu":
        return f"anomaly:gpu/{row['account']}/{row['deployment_id'] or '(no deployment)'}"
    if row["lane"] == "cloud_model":
        return f"anomaly:cloud_model/{row['account']}/{row['sub_account_id'] or '(no sub-account)'}"
    return f"anomaly:api/{row['account']}/{row['sub_account_id'] or ''}/{row['api_key_id'] or '(no key)'}"


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Unusual days of one subject in a row, to the last one. `above`: what they cost more than expected, together."""

    subject: str
    rows: Sequence[Row]
    first_day: date
    last_day: date
    above: Fraction
    expected: Fraction

    @property
    def name(self) -> str:
        row = self.rows[-1]
        if row["lane"] == "all":
            return "All costs"
        if row["lane"] == "gpu":
            return f"GPUs of {inert(row['deployment_id'], _NAME) if row['deployment_id'] else 'no deployment'}"
        of = row["api_key_id"] or row["sub_account_id"]
        if row["lane"] == "cloud_model":
            return f"Models that {inert(row['account'], _NAME)} hosts{f' for {inert(of, _NAME)}' if of else ''}"
        return f"{inert(of, _NAME) if of else 'usage without a key'} of {inert(row['account'], _NAME)}"


def anomaly_findings(
    rows: Iterable[Row], *, day: date, floor: Floor, currency: str, teams: Mapping[str | None, str | None]
) -> list[Finding]:
    """Of each subject that had an unusual day in the four weeks to the newest settled one, in order of subject.

    A rise opens a case once its days come to `floor` together. It is over when days are as usual again. All costs
    together open one only where no part of them does; one that is open stays so. teams: whose a deployment is.
    """
    known = [row for row in rows if row["usage_date"] <= day]
    newest = max((row["usage_date"] for row in known), default=None)
    if newest is None:
        return []
    by_subject: dict[str, list[Row]] = {}
    for row in known:
        if row["is_unusual"] and row["usage_date"] > newest - timedelta(days=WINDOW_DAYS):
            by_subject.setdefault(anomaly_subject(row), []).append(row)
    runs = [_run(subject, of_one) for subject, of_one in sorted(by_subject.items())]
    found = [_finding(run, runs, newest=newest, floor=floor, currency=currency, teams=teams) for run in runs]
    is_told_in_part = any(one.opens for one in found if one.subject != _ALL)
    return [replace(one, opens=False) if one.subject == _ALL and is_told_in_part else one for one in found]


def _run(subject: str, rows: Sequence[Row]) -> _Run:
    by_day: dict[date, list[Row]] = {}
    for row in rows:
        by_day.setdefault(row["usage_date"], []).append(row)
    days = sorted(by_day, reverse=True)
    is_rise = _above(by_day[days[0]]) > 0
    run = [days[0]]
    for one in days[1:]:
        if (run[-1] - one).days > GAP_DAYS or (_above(by_day[one]) > 0) != is_rise:
            break
        run.append(one)
    of_run = [row for one in reversed(run) for row in by_day[one]]
    return _Run(
        subject=subject,
        rows=of_run,
        first_day=run[-1],
        last_day=run[0],
        above=_above(of_run),
        expected=sum((Fraction(row["expected_cost_rc"]) for row in of_run), Fraction(0)),
    )


def _above(rows: Iterable[Row]) -> Fraction:
    return sum((Fraction(row["cost_rc"]) - Fraction(row["expected_cost_rc"]) for row in rows), Fraction(0))


def _finding(
    run: _Run,
    runs: Sequence[_Run],
    *,
    newest: date,
    floor: Floor,
    currency: str,
    teams: Mapping[str | None, str | None],
) -> Finding:
    is_rise, is_over = run.above > 0, (newest - run.last_day).days > GAP_DAYS
    said = money(to_places(abs(run.above), 18), currency)
    days = len({row["usage_date"] for row in run.rows})
    span = f"{run.first_day} UTC" if days == 1 else f"{run.first_day} to {run.last_day} UTC, {days} days"
    more = "more" if is_rise else "less"
    return Finding(
        subject=run.subject,
        state="higher" if is_rise else "lower",
        usage_date=newest,
        headline=f"{run.name}: {'as usual again' if is_over else f'{said} {more} than usual'}",
        do="See who uses it and for what; if it is meant, acknowledge it." if not is_over else "Nothing.",
        why=" ".join(filter(None, [f"{span}: {_of_parts(run, currency)}", _beside(run, runs, currency)])),
        by_when="Nothing waits." if is_over else "It goes on until somebody acts, or becomes what is usual.",
        at_stake=f"{said} {more} than those days usually cost, so far.",
        how_sure="Settled days, each against the median of its weekday in eight weeks; further from it than five times "
        "what days usually are, and than a fifth.",
        unknown="Why.",
        command=f"breakeven costs --from {run.first_day} --to {run.last_day + timedelta(days=1)}",
        team=_team(run, teams),
        opens=is_rise and not is_over and floor.is_reached(run.above, whole=run.expected),
        is_calm=is_over or not is_rise,
        milder_than=frozenset() if is_rise else frozenset({"higher"}),
        shows_until=run.last_day,
    )


def _of_parts(run: _Run, currency: str) -> str:
    """What it cost and what was expected, by model where it is a key's."""
    sums: dict[str | None, list[Fraction]] = {}
    for row in run.rows:
        of_model = sums.setdefault(row["model"], [Fraction(0), Fraction(0)])
        of_model[0] += Fraction(row["cost_rc"])
        of_model[1] += Fraction(row["expected_cost_rc"])
    ordered = sorted(sums.items(), key=lambda one: (-abs(one[1][0] - one[1][1]), one[0] or ""))
    parts = [
        f"{inert(model, _NAME) + ' ' if model else ''}{money(to_places(cost, 18), currency)}, where "
        f"{money(to_places(expected, 18), currency)} were expected"
        for model, (cost, expected) in ordered[:_LISTED]
    ]
    left = len(ordered) - _LISTED
    return "; ".join(parts) + (f"; and {left} more models." if left > 0 else ".")


def _beside(run: _Run, runs: Sequence[_Run], currency: str) -> str:
    """What cost less on the same days, and whether the total hides that."""
    if run.above <= 0:
        return ""
    lower = [
        other
        for other in runs
        if other.above < 0 and other.first_day <= run.last_day and run.first_day <= other.last_day
    ]
    if not lower:
        return ""
    lower.sort(key=lambda other: (other.above, other.subject))
    named = ", ".join(f"{other.name} by {money(to_places(-other.above, 18), currency)}" for other in lower[:_LISTED])
    is_hidden = not any(other.subject == _ALL and other.above > 0 for other in runs)
    hides = " All costs together look as they usually do." if is_hidden else ""
    return f"Lower on the same days: {named}.{hides}"


def _team(run: _Run, teams: Mapping[str | None, str | None]) -> str | None:
    if run.rows[-1]["lane"] == "gpu":
        return teams.get(run.rows[-1]["deployment_id"])
    named = {row["team"] for row in run.rows}
    return next(iter(named)) if len(named) == 1 else None
