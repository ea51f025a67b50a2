"""Lines of AWS's reports that two files of one month both have: two refreshes of it, which are never added up."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import polars as pl

# A line's key within one refresh: an id is repeated over the hours of its line, a split line over its parents.
_KEY = (
    ("identity_line_item_id", "identity/LineItemId"),
    ("identity_time_interval", "identity/TimeInterval"),
    ("split_line_item_parent_resource_id", "splitLineItem/ParentResourceId"),
    ("line_item_resource_id", "lineItem/ResourceId"),
)
_Keys = Counter[tuple[str | None, ...]]


def same_lines(months: Mapping[str, Sequence[tuple[str, bytes]]]) -> Iterator[str]:
    """Sentences about each two files of a billing month that share lines. `months`: its files, by name and content."""
    for month, files in months.items():
        keys = [(name, _keys(content)) for name, content in files] if len(files) > 1 else []
        for (one, its), (other, others) in combinations(keys, 2):
            count = (its & others).total()
            if count:
                lines = "1 line" if count == 1 else f"{count:,} lines"
                yield (
                    f"{one} and {other} are both of {month}, and {lines} have one key in both, as two refreshes have: "
                    "the bill is what its manifest lists. Each is totalled by itself; together they would count twice."
                )


def _keys(content: bytes) -> _Keys:
    """The keys of a file's lines; none where it leaves out the id, which alone tells one line from another."""
    is_parquet = content.startswith(b"PAR1")
    header = pl.read_parquet_schema(io.BytesIO(content)) if is_parquet else _first_row(content)
    columns = [name for names in _KEY for name in names if name in header]
    if not columns or columns[0] not in _KEY[0]:
        return Counter()
    try:
        frame = (
            pl.read_parquet(io.BytesIO(content), columns=columns)
            if is_parquet
            else pl.read_csv(content, columns=columns, infer_schema=False)
        )
    except pl.exceptions.PolarsError:
        # What a stricter reader takes and this one does not has no key here; its total stands all the same.
        return Counter()
    return Counter(frame.filter(pl.col(columns[0]).is_not_null()).select(columns).iter_rows())


def _first_row(content: bytes) -> Sequence[str]:
    return pl.read_csv(content, n_rows=0, infer_schema=False).columns
