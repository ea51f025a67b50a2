"""Node `fct_anomalies_daily`: on each settled day what cost unusually much or little, and what all of it came to.

Each stream by itself, so that one that falls hides none that rises: a key's use of one model (an API), a deployment's
GPUs, a model that a cloud hosts, by sub-account. Of days that are settled: one without a row of a stream cost nothing
of it. Taxes, credits and whatever else is no use are in none. The rule: `pipeline.economics.anomaly`.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

import polars as pl

from pipeline.decisions.window import QUANTA, Row, status_row, with_quanta
from pipeline.economics.anomaly import HISTORY_DAYS, Unusual, unusual
from pipeline.economics.exact import to_places

_API, _GPU, _STATUS = "fct_api_costs_daily", "fct_gpu_costs_daily", "fct_day_status_daily"
_HOSTED = "fct_cloud_model_costs_daily"
INPUTS = (_API, _GPU, _HOSTED, _STATUS)
LOOKBACK = dict.fromkeys(INPUTS, HISTORY_DAYS)
READS: Mapping[str, str] = {
    # A charge that is used and has no amount makes its stream's day unknown, as in budgets.
    _API: with_quanta("""
        select
            usage_date, account, sub_account_id, api_key_id, model,
            case when count(distinct team) = 1 and count(team) = count(*) then min(team) end as team,
            quanta_of(billed_cost_rc) as quanta,
            count(*) filter (
                where billed_cost_rc is null and (billed_cost is not null or billed_count = 0)
            ) as unknown_count
        from (
            select *, count(billed_cost) over (partition by usage_date, provider, account) as billed_count
            from fct_api_costs_daily
        ) as costs
        where charge_kind != 'other'
        group by usage_date, account, sub_account_id, api_key_id, model"""),
    _GPU: with_quanta("""
        select
            usage_date, account, deployment_id,
            quanta_of(realized_cost_rc) as quanta,
            count(*) - count(realized_cost_rc) as unknown_count
        from fct_gpu_costs_daily
        where gpu_milliseconds is not null
        group by usage_date, account, deployment_id"""),
    _HOSTED: with_quanta("""
        select
            usage_date, account, sub_account_id, model,
            quanta_of(billed_cost_rc) as quanta,
            count(*) - count(billed_cost_rc) as unknown_count
        from fct_cloud_model_costs_daily
        group by usage_date, account, sub_account_id, model"""),
    _STATUS: "select usage_date, status, blocked_count from fct_day_status_daily",
}
_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "lane": pl.String(),
    "account": pl.String(),
    "sub_account_id": pl.String(),
    "api_key_id": pl.String(),
    "model": pl.String(),
    "deployment_id": pl.String(),
    "team": pl.String(),
    "is_unusual": pl.Boolean(),
    "cost_rc": _MONEY,
    "expected_cost_rc": _MONEY,
    "usual_distance_rc": _MONEY,
    "history_days_count": pl.Int64(),
}


# A lane and an account.
Book = tuple[str, str | None]


class Stream(NamedTuple):
    """What is looked at by itself."""

    lane: str
    account: str | None = None
    sub_account_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    deployment_id: str | None = None

    @property
    def book(self) -> Book:
        """Whose bill it is on."""
        return self.lane, self.account


ALL = Stream("all")
# Of one day: what each stream cost, in quanta; None is unknown. And whose it is.
OfDay = tuple[dict[Stream, int | None], dict[Stream, str | None]]


def _of_api(frame: pl.DataFrame) -> OfDay:
    return _of_day(
        (Stream("api", row["account"], row["sub_account_id"], row["api_key_id"], row["model"]), row)
        for row in frame.iter_rows(named=True)
    )


def _of_gpus(frame: pl.DataFrame) -> OfDay:
    return _of_day(
        (Stream("gpu", row["account"], deployment_id=row["deployment_id"]), row) for row in frame.iter_rows(named=True)
    )


def _of_hosted(frame: pl.DataFrame) -> OfDay:
    return _of_day(
        (Stream("cloud_model", row["account"], row["sub_account_id"], model=row["model"]), row)
        for row in frame.iter_rows(named=True)
    )


def _of_day(rows: Iterable[tuple[Stream, Row]]) -> OfDay:
    costs: dict[Stream, int | None] = {}
    teams: dict[Stream, str | None] = {}
    for stream, row in rows:
        costs[stream] = None if row["unknown_count"] else int(row["quanta"] or 0)
        teams[stream] = row.get("team")
    return costs, teams


PREPARE: Mapping[str, Any] = {_API: _of_api, _GPU: _of_gpus, _HOSTED: _of_hosted, _STATUS: status_row}


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """Of the partition's day, where it is settled: each stream that is unusual, and one row of all of them together.

    Money is in the reporting currency; null is unknown. `usual_distance_rc`: how far from what was expected such a day
    may be.
    """
    day: date = inputs["this_partition"]["from_date"][0]
    costs = _costs(inputs)
    since = _known_since(costs)
    rows: list[dict[str, Any]] = []
    if day in costs and since:
        teams = inputs[_API].get(day, ({}, {}))[1]
        for stream in sorted({stream for of_day in costs.values() for stream in of_day}, key=_order):
            found = unusual(day, _known(stream, costs, since=since[stream.book]))
            if found is not None:
                rows.append(_row(day, stream, teams.get(stream), found))
        # A bill that came in later is no rise of what all of them cost.
        together = {one: _total(costs[one].values()) for one in costs if one >= max(since.values())}
        known = {one: total for one, total in together.items() if total is not None}
        rows.append(_of_all(day, together.get(day), unusual(day, known)))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _costs(inputs: Mapping[str, Any]) -> dict[date, dict[Stream, int | None]]:
    """By settled day: every stream that has a row then."""
    return {
        day: {
            stream: cost
            for table in (_API, _GPU, _HOSTED)
            for stream, cost in inputs[table].get(day, ({}, {}))[0].items()
        }
        for day, row in sorted(inputs[_STATUS].items())
        if row["status"] == "settled" and not row["blocked_count"]
    }


def _known_since(costs: Mapping[date, Mapping[Stream, int | None]]) -> dict[Book, date]:
    """From which day on each account's bill is read: before it nothing is known to have cost nothing."""
    since: dict[Book, date] = {}
    for day, of_day in costs.items():
        for stream in of_day:
            since.setdefault(stream.book, day)
    return since


def _known(stream: Stream, costs: Mapping[date, Mapping[Stream, int | None]], *, since: date) -> dict[date, int]:
    of_stream = ((day, of_day.get(stream, 0)) for day, of_day in costs.items() if day >= since)
    return {day: amount for day, amount in of_stream if amount is not None}


def _total(amounts: Iterable[int | None]) -> int | None:
    total = 0
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


def _order(stream: Stream) -> tuple[str, ...]:
    return tuple(part or "" for part in stream)


def _row(day: date, stream: Stream, team: str | None, found: Unusual) -> dict[str, Any]:
    return {
        "usage_date": day,
        **stream._asdict(),
        "team": team,
        "is_unusual": True,
        "cost_rc": _held(Fraction(found.amount)),
        "expected_cost_rc": _held(found.expected),
        "usual_distance_rc": _held(found.usual),
        "history_days_count": found.days_count,
    }


def _of_all(day: date, total: int | None, found: Unusual | None) -> dict[str, Any]:
    if found is not None:
        return _row(day, ALL, None, found)
    cost = None if total is None else _held(Fraction(total))
    return dict.fromkeys(SCHEMA) | {"usage_date": day, "lane": ALL.lane, "is_unusual": False, "cost_rc": cost}


def _held(quanta: Fraction) -> Any:
    return to_places(quanta / QUANTA, 18)
