"""Landed events in memory and in a folder: what the outbox needs of them, and what it may rely on."""

import json
import os
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class FakeEvent:
    event_id: str
    kind: str
    subject: str
    body: Mapping[str, Any]
    at: datetime


class MemoryEvents:
    """Bodies go through JSON, as they will in landing: nothing that JSON cannot hold may be recorded."""

    def __init__(self) -> None:
        self._claims: dict[str, str] = {}
        self._events: list[FakeEvent] = []
        self._lock = threading.Lock()

    def claim(self, *, name: str, body: Mapping[str, Any], now: datetime) -> bool:
        with self._lock:
            if name in self._claims:
                return False
            self._claims[name] = json.dumps(body)
            return True

    def claimed(self, name: str) -> Mapping[str, Any] | None:
        with self._lock:
            return json.loads(self._claims[name]) if name in self._claims else None

    def record(self, *, kind: str, subject: str, body: Mapping[str, Any], now: datetime) -> FakeEvent:
        with self._lock:
            event = FakeEvent(f"{len(self._events):06d}", kind, subject, json.loads(json.dumps(body)), now)
            self._events.append(event)
            return event

    def events(self, kind: str | None = None) -> list[FakeEvent]:
        with self._lock:
            return [event for event in self._events if kind in (None, event.kind)]

    def everything(self) -> str:
        return json.dumps([self._claims, [[event.kind, event.subject, event.body] for event in self._events]])


class FolderEvents:
    """Shared by processes: a claim is a hard link that only one of them can make."""

    def __init__(self, folder: Path) -> None:
        self._claims, self._events, self._aside = folder / "claims", folder / "events", folder / "aside"
        for each in (self._claims, self._events, self._aside):
            each.mkdir(parents=True, exist_ok=True)

    def claim(self, *, name: str, body: Mapping[str, Any], now: datetime) -> bool:
        aside = self._aside / uuid.uuid4().hex
        aside.write_text(json.dumps(body))
        try:
            os.link(aside, self._claims / quote(name, safe=""))
        except FileExistsError:
            return False
        return True

    def claimed(self, name: str) -> Mapping[str, Any] | None:
        path = self._claims / quote(name, safe="")
        return json.loads(path.read_text()) if path.exists() else None

    def record(self, *, kind: str, subject: str, body: Mapping[str, Any], now: datetime) -> FakeEvent:
        event_id = f"{time.time_ns():020d}-{uuid.uuid4().hex}"
        content = {"kind": kind, "subject": subject, "body": body, "at": now.astimezone(UTC).isoformat()}
        aside = self._aside / event_id
        aside.write_text(json.dumps(content))
        os.link(aside, self._events / event_id)
        return FakeEvent(event_id, kind, subject, body, now)

    def events(self, kind: str | None = None) -> list[FakeEvent]:
        found = []
        for path in sorted(self._events.iterdir()):
            content = json.loads(path.read_text())
            at = datetime.fromisoformat(content["at"])
            found.append(FakeEvent(path.name, content["kind"], content["subject"], content["body"], at))
        return [event for event in found if kind in (None, event.kind)]
