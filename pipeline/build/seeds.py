"""Seeds: small tables a person wrote, typed by the `.yml` beside each CSV."""

from pathlib import Path

import polars as pl
import yaml

from pipeline.build.relations import FrameRelation
from pipeline.errors import BuildError

_TYPES: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "BIGINT": pl.Int64(),
    "BOOLEAN": pl.Boolean(),
    "DATE": pl.Date(),
    "DECIMAL(38,18)": pl.Decimal(38, 18),
}


def load_seeds(folder: Path, *, cache: Path) -> list[FrameRelation]:
    """Every `seeds/*.csv`. Raises BuildError naming the file and the column that its `.yml` does not type."""
    return [_load(path, cache=cache) for path in sorted(folder.glob("*.csv"))]


def _load(path: Path, *, cache: Path) -> FrameRelation:
    described = yaml.safe_load(path.with_suffix(".yml").read_text(encoding="utf-8"))["columns"]
    text = pl.read_csv(path, infer_schema=False)
    if list(described) != text.columns:
        raise BuildError(f"{path.name} has columns {text.columns}, its .yml describes {list(described)}.")
    schema = {name: _type(path, name, description["type"]) for name, description in described.items()}
    frame = text.select(_typed(name, kind) for name, kind in schema.items())
    return FrameRelation(name=path.stem, frame=frame, folder=cache)


def _type(path: Path, column: str, declared: str) -> pl.DataType:
    if declared not in _TYPES:
        raise BuildError(f"{path.stem}.yml types {column} as {declared!r}. A seed knows: {', '.join(_TYPES)}.")
    return _TYPES[declared]


def _typed(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Date):
        return column.str.to_date("%Y-%m-%d")
    if isinstance(kind, pl.Boolean):
        return (column == "true").alias(name)
    return column.cast(kind)
