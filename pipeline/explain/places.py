"""Where a parsed row stands in its object, numbered as the object's reader numbers it, and its own words there."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipeline.build.relations import read_parquet
from pipeline.formats.spool import split_spool
from pipeline.formats.values import read_csv
from pipeline.landing.dataset import Dataset, Settings, Table
from pipeline.sources.http import results_in

# Of a scrape's body, the lines that are counted; the whole body is in the object.
_COUNTED_SERIES = ("vllm:prompt_tokens", "vllm:generation_tokens_total", "vllm:request_success", "process_start_time")


@dataclass(frozen=True)
class Place:
    """`where`: page, bucket and result, or row, or line. `says`: the vendor's own fields of the row."""

    where: str
    says: Mapping[str, Any]


PlaceOf = Callable[[int], Place]


def places_of(content: bytes, *, dataset: Dataset, table: Table, settings: Settings, file: Path) -> PlaceOf:
    """Parsed row (1-based) -> its place. Readers keep the order of the object, so the n-th row is the n-th record."""
    if dataset.source == "nvml_spool":
        return _spool_lines(content, file)
    places = list(_READERS[dataset.source](content, table, settings, file))
    return lambda row: places[row - 1]


def _results(content: bytes, table: Table, settings: Settings, file: Path) -> Iterator[Place]:
    for where, _, bucket, result in results_in(content, settings):
        period = {name: bucket[name] for name in ("starting_at", "ending_at")}
        yield Place(where, period | {name: value for name, value in result.items() if value is not None})


def _console_rows(content: bytes, table: Table, settings: Settings, file: Path) -> Iterator[Place]:
    for number, record in read_csv(content).records():
        yield Place(f"row {number}", record)


def _invoice_rows(content: bytes, table: Table, settings: Settings, file: Path) -> Iterator[Place]:
    """Lines carry their row number; what is left of the file's rows are the totals, in their order."""
    delimiter = settings.get("delimiter", ",")
    records = dict(read_csv(content, delimiter=str(delimiter), last_line_end_required=False).records())
    lines = [line_number for (line_number,) in _columns(file.parent / "lines.parquet", "line_number")]
    numbers = lines if table.name == "lines" else [number for number in records if number not in set(lines)]
    for number in numbers:
        yield Place(f"row {number}", {name: text for name, text in records[number].items() if text})


def _declared(content: bytes, table: Table, settings: Settings, file: Path) -> Iterator[Place]:
    """One declaration makes a row a day and charge: the place is the asset it is declared for."""
    assets = json.loads(content, parse_float=str, parse_int=str)["assets"]
    declared = {str(asset["asset_id"]): (number, asset) for number, asset in enumerate(assets, start=1)}
    for (asset_id,) in _columns(file, "asset_id"):
        number, asset = declared[asset_id]
        yield Place(f"asset {number}", asset)


_SEQUENCE_NUMBER = re.compile(rb'"seq"\s*:\s*([0-9]+)')


def _spool_lines(content: bytes, file: Path) -> PlaceOf:
    """Lines are found by the sequence number of their agent start; only a line that is shown is decoded."""
    lines = split_spool(content).lines
    numbers: dict[tuple[str, int], int] = {}
    agent_start_id = ""
    for number, line in enumerate(lines, start=1):
        found = _SEQUENCE_NUMBER.search(line)
        if b'"header"' in line:
            agent_start_id = _decoded(line).get("agent_start_id", agent_start_id)
        if found is not None:
            numbers.setdefault((agent_start_id, int(found[1])), number)
    keys = _columns(file, "agent_start_id, sequence_number")

    def place_of(row: int) -> Place:
        number = numbers.get(keys[row - 1])
        if number is None:
            return Place("an unreadable line", {})
        fields = _decoded(lines[number - 1])
        said = {name: value for name, value in fields.items() if value is not None and name != "body"}
        if isinstance(fields.get("body"), str):
            said["body"] = [line for line in fields["body"].split("\n") if line.startswith(_COUNTED_SERIES)]
        return Place(f"line {number}", said)

    return place_of


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _columns(file: Path, names: str) -> list[tuple[Any, ...]]:
    """Some columns of a parsed table, in its own order."""
    connection = duckdb.connect(config={"threads": 1})
    rows = connection.sql(
        f"select {names} from {read_parquet([file])[:-1]}, file_row_number = true) order by file_row_number"  # noqa: S608 - our own names
    ).fetchall()
    connection.close()
    return rows


_READERS = {
    "anthropic_cost_api": _results,
    "anthropic_usage_api": _results,
    "anthropic_console_csv": _console_rows,
    "invoice_csv": _invoice_rows,
    "owned_gpus": _declared,
}
