"""One project: its folder, its `breakeven.yaml`, its landing and its state."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from pipeline.config.file import load_config
from pipeline.config.whole import Config
from pipeline.landing.landing import Landing, as_event
from pipeline.landing.records import Event, canonical
from pipeline.landing.shared import SharedFiles
from pipeline.landing.store import FolderStore, S3Store
from pipeline.paths import StatePaths

CONFIG_FILE = "breakeven.yaml"
CONFIG_EVENT = "config"
AMEND_EVENT = "amend"
CAPACITY_EVENT = "capacity.measured"


@dataclass(frozen=True)
class Project:
    """A folder with a `breakeven.yaml`. Everything else is made below its state folder.

    `is_read_only`: reading landing leaves nothing behind, not even what was read of it.
    """

    folder: Path
    is_read_only: bool = False

    @cached_property
    def config(self) -> Config:
        return load_config(self.folder / CONFIG_FILE)

    @cached_property
    def paths(self) -> StatePaths:
        """Local state. With `state` on S3, cache and snapshots lie here too, as far as they were made or read here."""
        state = self.config.state
        return StatePaths(self.folder / (".breakeven" if state.startswith("s3://") else state))

    @cached_property
    def _store(self) -> S3Store | None:
        """Where all machines of this project keep what they share; None where `state` is a folder."""
        return S3Store.from_url(self.config.state) if self.config.state.startswith("s3://") else None

    @cached_property
    def landing(self) -> Landing:
        store = FolderStore(self.paths.landing) if self._store is None else self._store.below(self.paths.landing.name)
        return Landing(store=store, catalog=self.paths.cache / "catalog", remembers=not self.is_read_only)

    @cached_property
    def shared(self) -> SharedFiles | None:
        """Cache and snapshots as all machines share them, with `state` on S3."""
        return None if self._store is None else SharedFiles(self._store, self.paths.root)

    def config_event(self, now: datetime) -> Event | None:
        """The event that lands this version of the configuration; None where it says nothing new."""
        said = self.config.model_dump(mode="json", by_alias=True)
        events = self.landing.events(CONFIG_EVENT)
        if events and canonical(events[-1].body.get("config")) == canonical(said):
            return None
        return as_event(kind=CONFIG_EVENT, subject=CONFIG_FILE, body={"config": said}, now=now)

    def land_config(self, now: datetime) -> bool:
        """Land this version of the configuration if it says something new. True when it did.

        Whether its sources exist is not known here: `pipeline.sources.ingest.land_config` looks first.
        """
        event = self.config_event(now)
        if event is not None:
            self.landing.keep(event)
        return event is not None
