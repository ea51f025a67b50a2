"""Exports cut at random places: a reader says less or refuses; it never says something else."""

import random
from collections import Counter
from pathlib import Path

from pipeline.config.file import load_config
from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.project import CONFIG_FILE
from pipeline.sources import source_named

_HEAD_BYTES = 65_536
# What a reader says about a cut itself, beside the rows that the whole file holds too.
_SAYS_SO = ("torn_tail", "rejected_line")


class MisreadCutError(Exception):
    """A cut file was read as something that the whole file does not say."""


def cut_everything(project: Path, chance: random.Random, *, cuts_a_file: int, files_a_source: int | None = None) -> int:
    """Cut each dropped file of a project at random places and read what is left. Returns how many cuts were read."""
    count = 0
    for configured in load_config(project / CONFIG_FILE).sources:
        source = source_named(configured.source)
        if source is None or configured.inbox is None:
            continue
        files = [path for path in sorted((project / configured.inbox).rglob("*")) if path.is_file()]
        chosen = files if files_a_source is None else chance.sample(files, min(files_a_source, len(files)))
        for path in chosen:
            content = path.read_bytes()
            name = source.recognise(path.name, content[:_HEAD_BYTES])
            (dataset,) = (found for found in source.datasets if found.name == name)
            whole = rows_of(dataset, dataset.parse(content, configured.settings))
            for _ in range(cuts_a_file):
                at = chance.randrange(len(content))
                read_cut(dataset, content[:at], configured.settings, whole, f"{path.name} cut at byte {at}")
                count += 1
    return count


def read_cut(dataset: Dataset, content: bytes, settings: Settings, whole: Counter[str], what: str) -> None:
    """Read what is left of a file. MisreadCutError where it says a row that the whole file does not."""
    try:
        frames = dataset.parse(content, settings)
    except QuarantineError:
        return
    invented = rows_of(dataset, frames) - whole
    if invented:
        raise MisreadCutError(f"{what} reads as a row the whole file does not hold: {next(iter(invented))[:300]}")


def rows_of(dataset: Dataset, frames: Frames) -> Counter[str]:
    """Every row of every table, by what it says; an agent's word about the cut itself is left out."""
    return Counter(
        f"{table.name} {row!r}"
        for table in dataset.tables
        for row in frames[table.name].iter_rows(named=True)
        if row.get("record") not in _SAYS_SO
    )
