"""One project: its folder, its `breakeven.yaml`, its landing and its state."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from pipeline.config import Config, load_config
from pipeline.landing.landing import Landing
from pipeline.landing.records import canonical
from pipeline.landing.store import open_store
from pipeline.paths import StatePaths

CONFIG_FILE = "breakeven.yaml"
CONFIG_EVENT = "config"


@dataclass(frozen=True)
class Project:
    """A folder with a `breakeven.yaml`. Everything else is made below its state folder."""

    folder: Path

    @cached_property
    def config(self) -> Config:
        return load_config(self.folder / CONFIG_FILE)

    @cached_property
    def paths(self) -> StatePaths:
        """Local state. With landing on S3, cache and published files still lie here."""
        state = self.config.state
        return StatePaths(self.folder / (".breakeven" if state.startswith("s3://") else state))

    @cached_property
    def landing(self) -> Landing:
        state = self.config.state
        location = f"{state.rstrip('/')}/landing" if state.startswith("s3://") else str(self.paths.landing)
        return Landing(store=open_store(location), catalog=self.paths.cache / "catalog")

    def land_config(self, now: datetime) -> bool:
        """Land this version of the configuration if it says something new. True when it did."""
        said = self.config.model_dump(mode="json", by_alias=True)
        events = self.landing.events(CONFIG_EVENT)
        if events and canonical(events[-1].body["config"]) == canonical(said):
            return False
        self.landing.record(kind=CONFIG_EVENT, subject=CONFIG_FILE, body={"config": said}, now=now)
        return True
