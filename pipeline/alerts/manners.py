"""How often and when a channel may be disturbed: so many posts a calendar week, and none in quiet hours. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pipeline.alerts.case import Case

# A digest has so many lines at most; what is left waits for the next one.
DIGEST_LIMIT = 20
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class QuietHours:
    """From one minute of the local day to another, over midnight where that is earlier; `weekends`: and those."""

    from_minute: int
    to_minute: int
    zone: ZoneInfo
    weekends: bool = False

    def holds(self, now: datetime) -> bool:
        """Whether nobody is to be disturbed at this moment."""
        local = now.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        if self.weekends and local.weekday() >= 5:
            return True
        if self.from_minute <= self.to_minute:
            return self.from_minute <= minute < self.to_minute
        return minute >= self.from_minute or minute < self.to_minute

    def until(self, now: datetime) -> datetime | None:
        """When they end, if they hold: the first moment at which they do not. None: they do not hold."""
        if not self.holds(now):
            return None
        today = now.astimezone(self.zone).date()
        ends = time(self.to_minute // 60, self.to_minute % 60)
        moments = [
            datetime.combine(today + number * _DAY, at, tzinfo=self.zone).astimezone(UTC)
            for number in range(5)
            for at in (time(0), ends)
        ]
        return min(moment for moment in moments if moment > now and not self.holds(moment))


def week_of(now: datetime) -> int:
    """The ISO week, as 202602: what posts are counted by."""
    year, week, _ = now.astimezone(UTC).isocalendar()
    return year * 100 + week


@dataclass(frozen=True, kw_only=True)
class Week:
    """What becomes of the cases of one channel: with a post of their own, together in one digest, or later."""

    alone: Sequence[Case]
    digest: Sequence[Case]
    waiting: Sequence[Case]


def plan(cases: Sequence[Case], *, slots: Mapping[int, str | None], digest_key: str, is_digest_open: bool) -> Week:
    """Cases that are not urgent over the week's posts, dearest first.

    slots: number -> what has taken it. Where they do not all get one, the last is a digest's. `is_digest_open`: one has
    taken its slot and is not posted yet.
    """
    held = set(slots.values()) - {None}
    ordered = sorted(cases, key=lambda case: (case.key not in held, -(case.saving_rc_per_month or 0), case.subject))
    free = sum(taken is None for taken in slots.values())
    own = sum(case.key in held for case in ordered)
    if len(ordered) <= free + own:
        return Week(alone=ordered, digest=(), waiting=())
    if not (is_digest_open and digest_key in held):
        if free == 0:
            return Week(alone=ordered[:own], digest=(), waiting=ordered[own:])
        free -= 1
    alone, rest = ordered[: free + own], ordered[free + own :]
    return Week(alone=alone, digest=rest[:DIGEST_LIMIT], waiting=rest[DIGEST_LIMIT:])
