"""What a bill and a meter both name, and what they say of it."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple


class Cell(NamedTuple):
    """None: not said, or the default workspace, or no project, or the Console's key."""

    usage_date: date
    provider: str
    account: str
    workspace_id: str | None
    model: str | None
    token_class: str | None
    service_tier: str | None
    context_window: str | None
    inference_geo: str | None
    charge_kind: str


@dataclass
class Charge:
    source: str
    currency: str
    api_key_id: str | None
    quanta: int = 0
    list_quanta: int | None = 0
    speeds: set[str] = field(default_factory=set)


class Metered(NamedTuple):
    """One count of one hour."""

    cell: Cell
    api_key_id: str | None
    hour_at: datetime | None
    units: int
