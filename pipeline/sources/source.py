"""The protocol of a source: one export format and how to get it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.landing.dataset import Dataset
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.records import Delivery

__all__ = ["FetchContext", "Fetched", "Payload", "Source"]


@dataclass(frozen=True)
class FetchContext:
    """What a fetch may know: its section of breakeven.yaml, the window wanted, the handed clock, the environment.

    `starts`: where the window begins for each dataset, where that is known: one that could not be had last week is
    asked for from then on, whatever the source's others brought meanwhile.
    `landed`: what this source has brought for this account so far. `folder`: the project's, for relative paths.
    """

    account: str
    settings: Mapping[str, Any]
    from_at: datetime | None
    to_at: datetime
    now: datetime
    environment: Mapping[str, str]
    sleep: Callable[[float], None]
    starts: Mapping[str, datetime] = field(default_factory=dict)
    landed: tuple[Delivery, ...] = ()
    folder: Path = Path()

    def start_of(self, dataset: str) -> datetime | None:
        """Where the window begins for a dataset; None on a first run without a horizon."""
        return self.starts.get(dataset, self.from_at)


@dataclass(frozen=True)
class Source:
    """One export format.

    `fetch(context)` yields deliveries for the window (None: this source only reads dropped files).
    `recognise(name, head)`: which dataset a dropped file with this name and first bytes is, or None.
    `drop(name, content, settings)`: a dropped file as a delivery (window, stated_at from its name or content).
    `trailing_days`: how far back every fetch re-asks, since providers restate.
    """

    name: str
    datasets: tuple[Dataset, ...]
    recognise: Callable[[str, bytes], str | None]
    drop: Callable[[str, bytes, Mapping[str, Any]], Fetched]
    fetch: Callable[[FetchContext], Iterator[Fetched]] | None = None
    trailing_days: int = 7
