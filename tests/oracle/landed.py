"""Landing, read a second time: manifests, which delivery counts for which day, and the bytes behind it.

Covers what the demo needs. What it does not cover (a second configuration, an accepted withdrawal) it refuses aloud.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

DAY = timedelta(days=1)

# The one grouping under which a dataset's rows count, and the issuer's unit in which it is restated.
_GROUPINGS = {
    "cost_report": "workspace_id,description",
    "messages_usage": "api_key_id,workspace_id,model,service_tier,context_window,inference_geo",
    "costs": "project_id,line_item",
    "completions": "project_id,api_key_id,model,batch,service_tier",
    "embeddings": "project_id,api_key_id,model",
}
_STATES_DAYS = (
    *("cost_report", "messages_usage", "console_cost", "owned_charges", "spool"),
    *("costs", "completions", "embeddings", "cost"),
)
_SETTLE_LAG_HOURS = {"owned_charges": 0, "costs": 48, "cost": 48}


@dataclass(frozen=True, eq=False)
class Delivery:
    """One manifest. Two are the same only when they are one."""

    source: str
    account: str
    dataset: str
    grouping: str
    is_complete: bool
    from_at: datetime | None
    to_at: datetime | None
    horizon_at: datetime | None
    stated_at: datetime
    landed_at: datetime
    delivery_id: str
    settings: dict[str, Any]
    object_ids: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """A state folder as of a moment."""

    folder: Path
    as_of: datetime
    config: dict[str, Any]
    deliveries: tuple[Delivery, ...]

    def content(self, object_id: str) -> bytes:
        """An object's bytes, refused where they are not what their name says."""
        found = (self.folder / "landing" / "objects" / object_id[:2] / object_id).read_bytes()
        if hashlib.sha256(found).hexdigest() != object_id:
            raise ValueError(f"object {object_id} holds other bytes than its name says")
        return found

    def of(self, dataset: str) -> Iterator[Delivery]:
        return (delivery for delivery in self.deliveries if delivery.dataset == dataset)

    def source(self, source: str, account: str) -> dict[str, Any]:
        found = [one for one in self.config["sources"] if (one["source"], one["account"]) == (source, account)]
        return dict(found[0]) if found else {}


def read_project(state: Path, *, as_of: datetime) -> Project:
    """Everything visible in landing at `as_of`."""
    manifests = [json.loads(path.read_bytes()) for path in sorted((state / "landing" / "deliveries").glob("*/*.json"))]
    events = [json.loads(path.read_bytes()) for path in sorted((state / "landing" / "events").glob("*/*.json"))]
    configs = [event["body"]["config"] for event in events if event["kind"] == "config"]
    if len(configs) != 1:
        raise ValueError(f"the oracle reads one configuration; {len(configs)} were landed")
    if any(event["kind"] == "accept" for event in events):
        raise ValueError("the oracle does not know accepted withdrawals")
    deliveries = (_delivery(manifest) for manifest in manifests)
    return Project(
        folder=state,
        as_of=as_of,
        config=configs[0],
        deliveries=tuple(delivery for delivery in deliveries if delivery.landed_at <= as_of),
    )


def moment(text: str) -> datetime:
    """RFC 3339 in UTC."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return found.astimezone(UTC)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _delivery(manifest: dict[str, Any]) -> Delivery:
    if manifest["format"] != "breakeven.delivery/1":
        raise ValueError(f"the oracle does not read {manifest['format']}")

    def optional(name: str) -> datetime | None:
        return moment(manifest[name]) if manifest[name] is not None else None

    return Delivery(
        source=manifest["source"],
        account=manifest["account"],
        dataset=manifest["dataset"],
        grouping=manifest["grouping"],
        is_complete=manifest["is_complete"],
        from_at=optional("from_at"),
        to_at=optional("to_at"),
        horizon_at=optional("horizon_at"),
        stated_at=moment(manifest["stated_at"]),
        landed_at=moment(manifest["landed_at"]),
        delivery_id=manifest["delivery_id"],
        settings=manifest["settings"],
        object_ids=tuple(landed["sha256"] for landed in manifest["objects"]),
    )


def counting_days(project: Project, dataset: str) -> dict[tuple[str, date], Delivery]:
    """(account, day) -> the delivery whose rows of that day count: of those that vouch for it, the newest.

    A complete delivery vouches for the days wholly inside [max(from, horizon), min(to, stated_at)), and for the day on
    which it was stated, as far as that day had got.
    """
    counting: dict[tuple[str, date], Delivery] = {}
    for delivery in sorted(project.of(dataset), key=lambda one: (one.stated_at, one.landed_at, one.delivery_id)):
        if not delivery.is_complete or delivery.grouping != _GROUPINGS.get(dataset, ""):
            continue
        if delivery.from_at is None or delivery.to_at is None:
            continue
        start = max(delivery.from_at, delivery.horizon_at or delivery.from_at)
        day = start.date() if start == midnight(start.date()) else start.date() + DAY
        while midnight(day) < min(delivery.to_at, delivery.stated_at):
            is_whole = midnight(day) + DAY <= min(delivery.to_at, delivery.stated_at)
            is_open = midnight(day) < delivery.stated_at < midnight(day) + DAY and delivery.stated_at < delivery.to_at
            if is_whole or is_open:
                counting[delivery.account, day] = delivery
            day += DAY
    return counting


def states_days(dataset: str) -> bool:
    """Whether days wait for this dataset; an invoice comes when it comes."""
    return dataset in _STATES_DAYS


def settle_lag(project: Project, *, source: str, account: str, dataset: str) -> timedelta:
    """How long after a day's end its issuer may still change it: declared, else a day (a declaration: none)."""
    declared = project.source(source, account).get("settle_lag_hours")
    return timedelta(hours=_SETTLE_LAG_HOURS.get(dataset, 24) if declared is None else declared)
