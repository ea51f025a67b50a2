"""Landed objects and rows as tables of an explanation."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from pipeline.explain.evidence import Evidence, Record
from pipeline.explain.explanation import Rows


def stated_amount(row: Mapping[str, Any]) -> Fraction:
    """The amount of a traced row in the currency's unit, from the vendor's own spelling."""
    units: int = 10 ** row["decimal_places"]
    return Fraction(row["amount"]) / units


def object_rows(evidence: Evidence, title: str, rows: Sequence[Record]) -> Rows:
    """The distinct objects behind some traced rows, with how many of their rows are among these."""
    counts: dict[int, set[int]] = {}
    for row in rows:
        counts.setdefault(row["object_number"], set()).add(row["object_row"])
    return Rows.of(
        title,
        [{**evidence.object_record(number), "rows_used": len(found)} for number, found in sorted(counts.items())],
    )


def traced_rows(evidence: Evidence, title: str, rows: Sequence[Record], columns: Sequence[str]) -> Rows:
    """Each row with its file, where it stands there as the reader counts, and what it says in the vendor's words."""
    listed: list[tuple[Any, ...]] = []
    for row in rows:
        place = evidence.place(row["object_number"], row["object_row"])
        landed = evidence.source(row["object_number"]).landed
        listed.append((landed.name, landed.sha256, place.where, *(row[name] for name in columns), place.says))
    return Rows(title, ("file", "sha256", "where", *columns, "says"), tuple(listed))
