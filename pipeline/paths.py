"""Where things lie: the SQL that ships with the package, and the folders of one project's state."""

from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    """A folder that lies beside the package in a checkout and inside it in a wheel."""
    bundled = _PACKAGE / "_bundled" / name
    return bundled if bundled.is_dir() else _PACKAGE.parent / name


def models_root() -> Path:
    """`dbt_like_models/`: one SELECT = one table."""
    return _shipped("dbt_like_models")


def sql_root() -> Path:
    """`sql/`: questions, not tables."""
    return _shipped("sql")


@dataclass(frozen=True)
class StatePaths:
    """The folders below one project's state root. Only `landing` is the truth; the rest can be rebuilt."""

    root: Path

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def published(self) -> Path:
        return self.root / "published"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster"
