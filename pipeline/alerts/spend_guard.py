"""Hours in which a key uses far more than it did, as cases: list-rated, provisional, corrected when the day is billed.

Rows are those of `sql/reports/spend_guard_hours.sql` and `spend_guard_days.sql`. Off unless breakeven.yaml has
`spend_guard`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from pipeline.alerts.finding import Finding
from pipeline.alerts.text import inert, money
from pipeline.alerts.told import CALM, EventLike, events_by_subject, last_settled
from pipeline.economics.exact import to_places
from pipeline.economics.hourly_guard import Burst, burst

Row = Mapping[str, Any]
Key = tuple[str, str | None, str | None, str | None]

# Hours older than this are no news: their day is soon billed.
NEWS_HOURS = 24
_NAME = 80
_KIND = "guard"


def key_of(row: Row) -> Key:
    """Whose use it is: account, its division, key, model."""
    return row["account"], row["sub_account_id"], row["api_key_id"], row["model"]


def guard_subject(key: Key) -> str:
    """Of one key's use of one model."""
    return f"{_KIND}:{'/'.join(part or '' for part in key)}"


def guard_findings(
    hours: Iterable[Row],
    days: Iterable[Row],
    events: Sequence[EventLike],
    *,
    multiple: Fraction,
    floor: Fraction,
    currency: str,
) -> list[Finding]:
    """Of each key's use of a model whose newest hours fire, and of each open case whose day is billed by now.

    Posted at once, whatever the week's posts and quiet hours: it goes on until somebody acts.
    """
    costs, unrated = _by_hour(hours)
    found = {}
    newest = max((hour for of_one in costs.values() for hour in of_one), default=None)
    by_subject = events_by_subject(events)
    if newest is not None:
        for key, of_one in sorted(costs.items(), key=lambda one: guard_subject(one[0])):
            recent = [hour for hour in of_one if hour > newest - timedelta(hours=NEWS_HOURS)]
            fired = [burst(hour, of_one, multiple=multiple, floor=floor) for hour in sorted(recent)]
            bursts = [one for one in fired if one is not None]
            if bursts:
                told = _fired(key, bursts, unrated.get(key, 0), multiple=multiple, currency=currency)
                # Of hours that began before somebody said done, that was said.
                done_at = _done_at(by_subject.get(told.subject, ()))
                is_done = done_at is not None and bursts[-1].hour < done_at
                found[told.subject] = replace(told, opens=False) if is_done else told
    for told in _corrected(days, events, currency=currency):
        found.setdefault(told.subject, told)
    return list(found.values())


def _done_at(events: Sequence[EventLike]) -> datetime | None:
    """When somebody said so of the newest case, in UTC and without a zone, as hours are."""
    case = last_settled(events)
    return None if case is None or case.done_at is None else case.done_at.astimezone(UTC).replace(tzinfo=None)


def _by_hour(rows: Iterable[Row]) -> tuple[dict[Key, dict[datetime, Fraction]], dict[Key, int]]:
    """Cost at list of each hour that is known of a key's use of a model, and its tokens without a list price.

    Of an account that metered something on a day every hour of it up to the last metered one is known.
    """
    known: dict[str, set[datetime]] = {}
    costs: dict[Key, dict[datetime, Fraction]] = {}
    unrated: dict[Key, int] = {}
    rows = list(rows)
    last = max((row["usage_hour_at"] for row in rows), default=None)
    for row in rows:
        midnight = datetime.combine(row["usage_date"], datetime.min.time())
        hours = {midnight + timedelta(hours=number) for number in range(24)}
        known.setdefault(row["account"], set()).update(hour for hour in hours if last is not None and hour <= last)
        key = key_of(row)
        of_one = costs.setdefault(key, {})
        if row["rate_cost_rc"] is None or not row["rate_tokens"]:
            unrated[key] = unrated.get(key, 0) + (row["tokens"] or 0)
            continue
        rated = Fraction(row["rate_cost_rc"]) * (row["tokens"] or 0) / row["rate_tokens"]
        of_one[row["usage_hour_at"]] = of_one.get(row["usage_hour_at"], Fraction(0)) + rated
    for key, of_one in costs.items():
        for hour in known[key[0]]:
            of_one.setdefault(hour, Fraction(0))
    return costs, unrated


def _name(key: Key) -> str:
    of = key[2] or key[1]
    model = inert(key[3], _NAME) if key[3] else "no model"
    return f"{inert(of, _NAME) if of else 'Usage without a key'} of {inert(key[0], _NAME)}, {model}"


def _fired(key: Key, bursts: Sequence[Burst], unrated: int, *, multiple: Fraction, currency: str) -> Finding:
    last = bursts[-1]
    cost, level = (money(to_places(amount, 18), currency) for amount in (last.cost, last.level))
    hours = "1 hour" if len(bursts) == 1 else f"{len(bursts)} hours"
    return Finding(
        subject=guard_subject(key),
        state="bursting",
        usage_date=last.hour.date(),
        headline=f"{_name(key)}: {cost} in one hour, at list prices",
        do="See what uses this key now; stop it, or acknowledge it.",
        why=f"The hour from {last.hour:%Y-%m-%d %H:%M} UTC, where the same hour of the four weeks before had {level}; "
        f"{hours} of the last {NEWS_HOURS} were at least {float(multiple):g} times their level.",
        by_when="Now: it goes on until somebody acts.",
        at_stake=f"{money(to_places(last.cost - last.level, 18), currency)} an hour, at list prices.",
        how_sure="Usage counters at list prices: provisional, no bill. A post that can be edited is corrected when the "
        "day is billed. It feeds no verdict, budget or close.",
        unknown=f"The price of {unrated:,} tokens." if unrated else "What will be billed.",
        command="breakeven costs",
        is_urgent=True,
        is_of_settled_days=False,
    )


def _corrected(days: Iterable[Row], events: Sequence[EventLike], *, currency: str) -> list[Finding]:
    """Open cases of which each day that was told is settled: over, with what was billed of them."""
    billed = {(guard_subject(key_of(row)), row["usage_date"]): row for row in days}
    settled = {day for _, day in billed}
    found = []
    for subject, of_one in sorted(events_by_subject(events).items()):
        case = last_settled(of_one)
        if not subject.startswith(f"{_KIND}:") or case is None or case.state == CALM:
            continue
        told = _days_told(of_one, case.ordinal)
        if told <= settled:
            rows = [billed[subject, day] for day in sorted(told) if (subject, day) in billed]
            found.append(_of_bill(subject, sorted(told), rows, currency=currency))
    return found


def _days_told(events: Sequence[EventLike], ordinal: int) -> set[date]:
    """Days that a case was told of: its post is edited while it goes on, over midnight too."""
    return {
        date.fromisoformat(event.body["usage_date"])
        for event in events
        if event.body.get("ordinal") == ordinal and "usage_date" in event.body
    }


def _of_bill(subject: str, days: Sequence[date], rows: Sequence[Row], *, currency: str) -> Finding:
    """`days`: those that were told, in order; `rows`: those of them that are on a bill."""
    name = inert(subject.partition(":")[2], _NAME)
    first, last = days[0], days[-1]
    span, verb = (f"{first} UTC", "is") if first == last else (f"{first} to {last} UTC", "are")
    amounts, listed = ([row[column] for row in rows] for column in ("billed_cost_rc", "list_cost_rc"))
    if not rows:
        said = f"{span} {verb} settled, and no bill names such use"
    elif None in amounts:
        said = f"{span} {verb} settled, and what was billed has no amount in {currency}"
    else:
        at_list = "" if None in listed else f" ({money(sum(listed), currency)} at list prices)"
        said = f"{money(sum(amounts), currency)} were billed for {span}{at_list}"
    return Finding(
        subject=subject,
        state=CALM,
        usage_date=last,
        headline=f"{name}: {said}",
        do="Nothing: the bill is what counts from here.",
        why="What was told before was at list prices; it is settled by now.",
        by_when="Nothing waits.",
        at_stake=f"{said}.",
        how_sure="The book of record.",
        unknown="Nothing.",
        command=f"breakeven costs --from {first} --to {last + timedelta(days=1)}",
        opens=False,
        is_calm=True,
    )
