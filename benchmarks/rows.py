"""What a reader would have found in one object, as SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pipeline.build.object_index import Stream
from pipeline.build.relations import quoted
from pipeline.landing.dataset import Table


@dataclass(frozen=True)
class Rows:
    """One table of one object: so many rows of one bucket, and the range of each stream of its key.

    `usage_date`: the day of all of them; None where they are of several, which are then read from the file.
    """

    sql: str
    count: int
    bucket: str
    usage_date: date | None
    streams: tuple[Stream, ...] = ()


def filled(table: Table, given: Mapping[str, str], source: str) -> str:
    """A SELECT of all columns of a table: those that are given as expressions over `source`, the others null."""
    unknown = given.keys() - table.schema.keys()
    if unknown:
        raise ValueError(f"{table.name} has no {', '.join(sorted(unknown))}")
    columns = ", ".join(f"{given.get(name, 'null')} as {quoted(name)}" for name in table.schema)
    return f"select {columns} from {source}"
