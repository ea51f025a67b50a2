"""Instants as they are written in landing: UTC, microseconds, sortable as text."""

from datetime import UTC, date, datetime, time, timedelta

DAY = timedelta(days=1)
# Clocks differ, and what a run fetches for hours lands as of its beginning.
_MOST_AHEAD = timedelta(hours=12)


def as_utc(moment: datetime) -> datetime:
    """The same instant in UTC. A datetime without a zone is refused: nobody knows when it is."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone. Pass an aware datetime.")
    return moment.astimezone(UTC)


def believed(stated_at: datetime, *, landed_at: datetime) -> datetime:
    """When it was said: as it states; where that is more than half a day after it had come, when it came.

    Nobody has said yet what came already: a clock is wrong, or a name. Taken at its word it would be the newest until
    then, and nothing that is said after it would count.
    """
    return stated_at if stated_at - landed_at <= _MOST_AHEAD else landed_at


def stamp(moment: datetime) -> str:
    """`2026-11-15T06:00:00.000000Z`."""
    return as_utc(moment).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def compact(moment: datetime) -> str:
    """`20261115T060000.000000Z`: sorts as the instants do and is safe in a key."""
    return as_utc(moment).strftime("%Y%m%dT%H%M%S.%fZ")


def parse_stamp(text: str) -> datetime:
    """An RFC 3339 instant, any offset, as UTC."""
    return as_utc(datetime.fromisoformat(text))


def day_start(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def days_between(start: date, end: date) -> list[date]:
    """Every date in [start, end)."""
    return [start + timedelta(days=offset) for offset in range((end - start).days)]
