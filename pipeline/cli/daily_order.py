"""What the daily job is asked for, wherever it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pipeline.sources.ingest import Ingested


@dataclass(frozen=True)
class DailyOrder:
    """What `run_daily` is asked for, in its words. is_live: `now` is the time, and not a moment that is pretended."""

    folder: Path
    first: date
    last: date
    now: datetime
    brought: Sequence[Ingested] | None
    is_live: bool = False
