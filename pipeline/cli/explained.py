"""How an explanation is printed: whole lines and cut tables for people, everything as JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import click

from pipeline.cli.options import console, print_table
from pipeline.explain.explanation import Explanation, Rows, exact_text, inert


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Everything, with every digit: decimals and fractions as text."""
    return {
        "title": explanation.title,
        "snapshot_id": explanation.snapshot_id,
        "holds": explanation.holds,
        "formula": list(explanation.formula),
        **{
            name: [_rows_json(rows) for rows in getattr(explanation, name)] for name in ("figures", "inputs", "objects")
        },
        "equalities": [
            {
                "claim": found.claim,
                "left": exact_text(found.left),
                "right": exact_text(found.right),
                "holds": found.holds,
            }
            for found in explanation.equalities
        ],
        "outside_check": list(explanation.outside_check),
    }


def _rows_json(rows: Rows) -> dict[str, Any]:
    return {
        "title": rows.title,
        "rows": [{name: _plain(value) for name, value in zip(rows.columns, row, strict=True)} for row in rows.rows],
    }


def _plain(value: object) -> Any:
    if isinstance(value, (Decimal, Fraction)):
        return exact_text(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def print_explanation(explanation: Explanation, *, limit: int) -> None:
    """For people: the lines whole (nothing wrapped inside a number), the tables cut at `limit` rows."""
    _heading(f"{explanation.title}   snapshot {explanation.snapshot_id}")
    for rows in explanation.figures:
        _print_rows(rows, limit=max(limit, len(rows.rows)))
    _section("Formula", explanation.formula)
    for rows in (*explanation.inputs, *explanation.objects):
        _print_rows(rows, limit=limit)
    _section(
        "Do the sums agree?",
        [
            f"{'yes' if found.holds else 'NO '}  {found.claim}: {exact_text(found.left)}"
            f"{' = ' if found.holds else ' is not '}{exact_text(found.right)}"
            for found in explanation.equalities
        ],
    )
    _section("Check outside", explanation.outside_check)


def _heading(text: str) -> None:
    click.echo("")
    click.secho(inert(text), bold=True)


def _section(title: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    if lines:
        _heading(title)
        for line in lines:
            click.echo(f"  {inert(line)}")


def _print_rows(rows: Rows, *, limit: int) -> None:
    """A table where it fits; else a line a row. What all rows have in common is said once."""
    if not rows.rows:
        return
    title = f"{rows.title} ({len(rows.rows)})" if len(rows.rows) > 1 else rows.title
    cells = [[_cell(value) for value in row] for row in rows.rows]
    common = [
        number
        for number in range(len(rows.columns))
        if len(cells) > 1 and len({row[number] for row in cells}) == 1 and rows.columns != ("field", "value")
    ]
    varying = [number for number in range(len(rows.columns)) if number not in common]
    headers = [rows.columns[number] for number in varying]
    printed = [[row[number] for number in varying] for row in cells[:limit]]
    _heading(title)
    if common:
        said = ", ".join(f"{rows.columns[number]} {cells[0][number]}" for number in common if cells[0][number] != "—")
        click.echo(f"  all: {said}")
    if headers and _width(headers, printed) <= console().width:
        print_table(headers, printed)
    else:
        for row in printed:
            fields = [f"{name} {cell}" for name, cell in zip(headers, row, strict=True) if cell != "—"]
            click.echo(f"  {' · '.join(fields)}")
    more = len(rows.rows) - len(printed)
    if more > 0:
        click.echo(f"  ... and {more} more: --limit {len(rows.rows)}, or --format json")


def _width(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    widths = [max(len(header), *(len(row[number]) for row in rows)) for number, header in enumerate(headers)]
    return sum(widths) + 3 * len(widths) + 1


def _cell(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return inert(json.dumps(_plain(value), ensure_ascii=False))
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return inert(exact_text(value))
