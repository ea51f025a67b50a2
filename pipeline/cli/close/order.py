"""Entries and closes count in the order of their moments."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from pipeline.build.closing_tables import is_about
from pipeline.errors import BreakevenError
from pipeline.formats.writing import printable
from pipeline.landing.records import Event

# Less than how far landing looks back behind the newest that it knows.
_LISTED_FOR = timedelta(days=1)


def refuse_before_others(events: Iterable[Event], month: date, now: datetime, *, is_as_of: bool) -> None:
    """Entries and closes count in the order of their moments: one that is dated before another would undo it, unseen.

    Raises BreakevenError: the clocks of two machines differ, somebody enters something while a month is looked at, or
    `--as-of` is in the past. What is dated long before all else would not even be listed by whoever looked since.
    """
    later = [
        event
        for event in events
        if event.at > now and (is_about(event, month) or (is_as_of and event.at > now + _LISTED_FOR))
    ]
    last = max(later, key=lambda event: event.at, default=None)
    if last is not None:
        raise BreakevenError(
            printable(
                f"Nothing was landed: this is dated {now:%Y-%m-%d %H:%M:%S} UTC, before {last.kind} of "
                f"{last.at:%Y-%m-%d %H:%M:%S} by {last.body.get('by') or 'nobody named'}. Look at `breakeven close "
                "--list`, then try again, with no --as-of in the past."
            )
        )
