"""A file that somebody put into an inbox, as the delivery of the days it states."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from pipeline.errors import QuarantineError
from pipeline.landing.times import DAY, day_start
from pipeline.sources.http import stamp_in_name, window_settings
from pipeline.sources.source import Fetched, Payload


def dropped_days(
    *,
    dataset: str,
    name: str,
    content: bytes,
    media_type: str,
    days: Callable[[], Iterable[date]],
    settings: Mapping[str, Any],
    is_window: bool,
) -> Fetched:
    """It speaks for the days from the first of `days` to the last, both included; where these are none, or it cannot be
    read (QuarantineError), for none: whoever parses it says why. `is_window`: a row of another day is refused.

    When it was stated is the stamp in its name, else when it landed.
    """
    payloads = (Payload(name=name, content=content, media_type=media_type),)
    try:
        stated = sorted(days())
    except QuarantineError:
        stated = []
    if not stated:
        return Fetched(dataset=dataset, payloads=payloads, settings=dict(settings))
    start, stop = day_start(stated[0]), day_start(stated[-1]) + DAY
    stated_at = stamp_in_name(name)
    return Fetched(
        dataset=dataset,
        payloads=payloads,
        from_at=start,
        to_at=stop,
        stated_at=stated_at,
        stated_by="file_name" if stated_at else "landed_at",
        settings={**settings, **(window_settings(start, stop) if is_window else {})},
    )
