"""A table of what `breakeven.yaml` says: its columns, and the rows that one version says."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.config.ownership import Ownership
from pipeline.config.per_use import PerUse
from pipeline.config.whole import Config

Row = dict[str, Any]


@dataclass(frozen=True)
class ConfigTable:
    """One table. Its rows may carry days of their own as `valid_from_date` and `valid_to_date`.

    owner: the columns that name whose days those are. further: those that also name what a row is about: the days of a
    host are those of its deployment. Of one thing one row is valid on a day. Without an owner a row is all there is to
    say: it is so, or is not.
    """

    name: str
    rows: Callable[[Config], Iterator[Row]]
    schema: Mapping[str, pl.DataType]
    owner: tuple[str, ...] = ()
    further: tuple[str, ...] = ()


def days_of(said: PerUse | Ownership) -> Row:
    """The days of an entry, as its rows carry them."""
    return {"valid_from_date": said.valid_from, "valid_to_date": said.valid_to}
