"""What is in a folder, and what of it may not be looked at: a folder that is closed is not an empty one."""

import os
from pathlib import Path


def all_below(folder: Path) -> tuple[list[Path], list[OSError]]:
    """Everything below a folder, by name, and what kept folders in it from being listed. No link to a folder is
    entered; a folder that is not there has nothing in it.
    """
    closed: list[OSError] = []

    def told(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            closed.append(error)

    walked = os.walk(folder, onerror=told)
    return sorted(Path(here) / name for here, folders, files in walked for name in (*folders, *files)), closed


def listed(folder: Path) -> list[Path]:
    """Everything below a folder. OSError where not all of it may be listed: what is there could be newer."""
    found, closed = all_below(folder)
    for error in closed[:1]:
        raise error
    return found
