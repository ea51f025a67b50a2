"""The protocol of a source: one export format and how to get it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pipeline.landing.dataset import Dataset
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.records import Delivery

__all__ = ["Access", "FetchContext", "Fetched", "Payload", "Probe", "Probed", "Source"]

# `throttled`: allowed, and asked to wait. `not_asked`: only what can be said without the network was looked at.
Access = Literal[
    "allowed", "throttled", "not_asked",
    "misconfigured", "no_key", "refused", "not_permitted", "not_found", "unreachable", "odd",
]  # fmt: skip


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
class Probed:
    """What one small question showed, and what to do about it. Neither text holds a secret."""

    access: Access
    said: str
    fix: str = ""


@dataclass(frozen=True)
class Probe:
    """One small question that changes nothing: is this dataset there, and may it be read?

    `ask(seconds)` asks once and gives up after about so many seconds; with None it keeps to what can be said without
    the network. Raises BreakevenError where it is configured so that nothing can be asked.
    """

    dataset: str
    ask: Callable[[float | None], Probed]


@dataclass(frozen=True)
class Source:
    """One export format.

    `fetch(context)` yields deliveries for the window (None: this source only reads dropped files).
    `recognise(name, head)`: which dataset a dropped file with this name and first bytes is, or None.
    `takes_any(settings)`: whether files that are not recognised are its too, since settings say what they hold.
    `drop(name, content, settings)`: a dropped file as a delivery (window, stated_at from its name or content).
    `trailing_days`: how far back every fetch re-asks, since providers restate.
    `probe(context)`: what `breakeven doctor` asks, a question a dataset, none asked yet (None: its inbox says it all).
    `check(settings, accounts)`: raises ConfigError (its key below the source's entry) where the entry's settings cannot
    be so; `accounts`: those of all other sources.
    """

    name: str
    datasets: tuple[Dataset, ...]
    recognise: Callable[[str, bytes], str | None]
    drop: Callable[[str, bytes, Mapping[str, Any]], Fetched]
    takes_any: Callable[[Mapping[str, Any]], bool] = lambda _: False
    fetch: Callable[[FetchContext], Iterator[Fetched]] | None = None
    trailing_days: int = 7
    probe: Callable[[FetchContext], Sequence[Probe]] | None = None
    check: Callable[[Mapping[str, Any], Collection[str]], None] | None = None
