"""Where a parsed row stands in its object, numbered as the object's reader numbers it, and its own words there.

Found by what the object is (pages of JSON, a CSV, anything else), not by whose it is: a new source needs no line here
unless its reader makes something else of its records than a row each.
"""

import functools
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipeline.build.relations import quoted, read_parquet
from pipeline.errors import QuarantineError
from pipeline.formats.engine_table import ENGINE_METRICS
from pipeline.formats.spool import split_spool
from pipeline.formats.values import json_documents, read_csv
from pipeline.landing.dataset import Dataset, Settings, Table

# Of a scrape's body, the lines that are counted; the whole body is in the object.
_COUNTED_SERIES = (
    *(metric.sample_name for metric in ENGINE_METRICS if metric.kind != "gauge"),
    "process_start_time",
)
# Above this an object is not read record by record: its rows are shown as its reader kept them.
_MOST_RECORDS = 200_000
_ROWS_AT_ONCE = 4096
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Place:
    """`where`: page, bucket and result, or row, or line. `says`: the vendor's own fields of the row."""

    where: str
    says: Mapping[str, Any]


PlaceOf = Callable[[int], Place]


def places_of(
    content: Callable[[], bytes],
    *,
    dataset: Dataset,
    table: Table,
    settings: Settings,
    file: Path,
    is_in_place: bool = False,
) -> PlaceOf:
    """Parsed row (1-based) -> its place. Readers keep the order of the object, so the n-th row is the n-th record.

    `file`: the rows as they were read, or the object itself (`is_in_place`). `content` is asked for only where the
    object is looked into.
    """
    if dataset.source == "nvml_spool":
        return _spool_lines(content(), file)
    if is_in_place:
        return _rows_in(file)
    count = _row_count(file)
    if count <= _MOST_RECORDS:
        own = _OWN_READERS.get(dataset.source)
        places = list(own(content(), table, settings, file)) if own is not None else _records(content())
        # A reader may make more or less of its object than a row a record.
        if len(places) == count:
            return lambda row: places[row - 1]
    return _rows_in(file)


def _records(content: bytes) -> list[Place]:
    """The results of JSON pages or the rows of a CSV, packed or not; nothing where it is neither."""
    if content.startswith(_GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return []
    try:
        if re.match(rb"(?:\xef\xbb\xbf)?\s*[\[{]", content) is not None:
            return list(_results(content))
        return [
            Place(f"row {number}", {name: text for name, text in record.items() if text})
            for number, record in read_csv(content, last_line_end_required=False).records()
        ]
    except QuarantineError:
        return []


def _results(content: bytes) -> Iterator[Place]:
    """Pages as usage and cost APIs give them: a list of buckets, each with its results."""
    for page_number, page in enumerate(json_documents(content), start=1):
        buckets = page.get("data") if isinstance(page, dict) else None
        for bucket_number, bucket in enumerate(buckets if isinstance(buckets, list) else [], start=1):
            results = bucket.get("results") if isinstance(bucket, dict) else None
            for number, result in enumerate(results if isinstance(results, list) else [], start=1):
                said = {**bucket, **result} if isinstance(result, dict) else bucket
                yield Place(
                    f"page {page_number}, bucket {bucket_number}, result {number}",
                    {name: value for name, value in said.items() if value is not None and name not in _FRAME},
                )


_FRAME = ("results", "object")


def _rows_in(file: Path) -> PlaceOf:
    """Rows as they lie in a Parquet file: the object's own, or the vendor's columns as their reader kept them."""
    names = [name for name in _names_in(file) if name not in _OURS]

    @functools.lru_cache(maxsize=4)
    def block(number: int) -> list[tuple[Any, ...]]:
        first = number * _ROWS_AT_ONCE
        where = f"file_row_number >= {first} and file_row_number < {first + _ROWS_AT_ONCE}"
        return _columns(file, ", ".join(map(quoted, names)), where=where)

    def place_of(row: int) -> Place:
        number, offset = divmod(row - 1, _ROWS_AT_ONCE)
        said = dict(zip(names, block(number)[offset], strict=True))
        others = json.loads(said.pop("other_columns", None) or "{}", parse_float=str)
        return Place(f"record {row}", {name: value for name, value in (said | others).items() if value is not None})

    return place_of


_OURS = ("bucket", "usage_date")


def _names_in(file: Path) -> list[str]:
    connection = duckdb.connect()
    names = [str(name) for name, *_ in connection.sql(f"describe from {read_parquet([file])}").fetchall()]
    connection.close()
    return names


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


def _row_count(file: Path) -> int:
    return int(_columns(file, "count(*)", order="")[0][0])


def _columns(
    file: Path, names: str, *, where: str = "true", order: str = "order by file_row_number"
) -> list[tuple[Any, ...]]:
    """Some columns of a parsed table, in its own order."""
    connection = duckdb.connect(config={"threads": 1})
    rows = connection.sql(
        f"select {names} from {read_parquet([file])[:-1]}, file_row_number = true) where {where} {order}"  # noqa: S608 - our own names
    ).fetchall()
    connection.close()
    return rows


_OWN_READERS: Mapping[str, Callable[[bytes, Table, Settings, Path], Iterator[Place]]] = {
    "invoice_csv": _invoice_rows,
    "owned_gpus": _declared,
}
