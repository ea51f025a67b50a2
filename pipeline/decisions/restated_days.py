"""Days of a bill that were stated more than once and not alike: what each was first said to be, and what it is now.

Read from the index of what has landed: the amounts of every delivery were added up exactly when it was read. What was
said of a day before it was over is no statement of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal, Inexact

from pipeline.build.landed_tables import read_landed
from pipeline.build.parsed import ParsedObject
from pipeline.decisions.graph import shipped_graph
from pipeline.landing.current import vouched_days
from pipeline.landing.project import Project
from pipeline.landing.records import Delivery
from pipeline.landing.times import DAY, day_start

_SCALE = 18
_EXACT = Context(prec=80, traps=[Inexact])


@dataclass(frozen=True, kw_only=True)
class RestatedDay:
    """was: of the first complete statement after the day's end; now: of the last; in the bill's currency."""

    source: str
    account: str
    usage_date: date
    currency: str | None
    was: Decimal
    now: Decimal
    was_stated_at: datetime
    now_stated_at: datetime

    @property
    def difference(self) -> Decimal:
        return _EXACT.subtract(self.now, self.was)


_Key = tuple[str, str, str, str, date]
_Amounts = Mapping[str | None, int]
_Statement = tuple[datetime, datetime, str, _Amounts]


def restated_days(project: Project, *, as_of: datetime, from_date: date, to_date: date) -> list[RestatedDay]:
    """Days in [from_date, to_date) that changed once they were over, the largest change first."""
    contents = project.landing.contents().as_of(as_of)
    datasets = shipped_graph().datasets
    landed = read_landed(
        contents,
        datasets=datasets,
        landing=project.landing,
        cache=project.paths.cache,
        as_of=as_of,
        shared=None if project.is_read_only else project.shared,
    )
    billed = {
        (dataset.source, dataset.name): dataset.bucket == "utc_day"
        for dataset in datasets
        if dataset.mode == "replace" and any(table.money is not None for table in dataset.tables)
    }
    unusable = {item.delivery.delivery_id for item in landed.quarantined}
    unusable |= {item.delivery.delivery_id for item in landed.not_counted}
    statements: dict[_Key, list[_Statement]] = {}
    for delivery in contents.deliveries:
        is_by_day = billed.get((delivery.source, delivery.dataset))
        if is_by_day is None or delivery.delivery_id in unusable:
            continue
        parsed = landed.parsed.get(delivery.delivery_id, {})
        for (bucket, day), amounts in _days_of(delivery, parsed, is_by_day=is_by_day).items():
            if from_date <= day < to_date and delivery.said_at >= day_start(day) + DAY:
                key = delivery.source, delivery.account, delivery.dataset, bucket, day
                said = (delivery.said_at, delivery.landed_at, delivery.delivery_id, amounts)
                statements.setdefault(key, []).append(said)
    found = [one for key, said in statements.items() for one in _changes(key, sorted(said, key=lambda one: one[:3]))]
    return sorted(found, key=lambda one: (-abs(one.difference), one.usage_date, one.source, one.account))


def _days_of(
    delivery: Delivery, parsed: Mapping[str, ParsedObject], *, is_by_day: bool
) -> dict[tuple[str, date], dict[str | None, int]]:
    """(bucket, day) -> currency -> quanta; of bills by the day also the days on which nothing is charged."""
    days: dict[tuple[str, date], dict[str | None, int]] = {}
    for item in parsed.values():
        for table in item.tables.values():
            for part in table.parts:
                amounts = days.setdefault((part.bucket, part.usage_date), {})
                for stated in part.money:
                    amounts[stated.currency] = amounts.get(stated.currency, 0) + stated.quanta
    if is_by_day:
        vouched = {day.isoformat(): day for day in vouched_days(delivery)[0]}
        days = {key: amounts for key, amounts in days.items() if key[0] in vouched}
        for bucket, day in vouched.items():
            days.setdefault((bucket, day), {})
    return days


def _changes(key: _Key, said: list[_Statement]) -> Iterator[RestatedDay]:
    source, account, _, _, day = key
    first, last = said[0], said[-1]
    for currency in sorted({*first[3], *last[3]}, key=str):
        was, now = (one[3].get(currency, 0) for one in (first, last))
        if was != now:
            yield RestatedDay(
                source=source,
                account=account,
                usage_date=day,
                currency=currency,
                was=_amount(was),
                now=_amount(now),
                was_stated_at=first[0],
                now_stated_at=last[0],
            )


def _amount(quanta: int) -> Decimal:
    return Decimal(quanta).scaleb(-_SCALE, _EXACT)
