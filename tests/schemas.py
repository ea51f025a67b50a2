"""What a model yields over empty inputs, and which tables its text reads, are functions of texts alone: found once for
all the builds of a test process, instead of once a build.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_SHARED = ("schemas", "lineage")


@cache
def _found() -> "TemporaryDirectory[str]":
    return TemporaryDirectory(prefix="schemas-")


def with_shared_schemas(cache_folder: Path) -> Path:
    """The cache folder, which has them of this process unless it has its own."""
    cache_folder.mkdir(parents=True, exist_ok=True)
    for name in _SHARED:
        shared = Path(_found().name, name)
        shared.mkdir(exist_ok=True)
        if not (cache_folder / name).exists():
            (cache_folder / name).symlink_to(shared)
    return cache_folder
