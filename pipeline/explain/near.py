"""What there is instead of a figure that does not exist."""

import difflib
from collections.abc import Mapping

from pipeline.explain.evidence import Evidence, NothingToExplainError
from pipeline.explain.explanation import inert

_MOST_NAMES = 12


def nearest(
    evidence: Evidence, *, mart: str, what: str, wanted: Mapping[str, str | None], where: str = "true"
) -> NothingToExplainError:
    """The error for a figure without rows: unknown names with those known, else the days that have any."""
    hints = []
    for column, value in wanted.items():
        if value is None:
            continue
        found = evidence.select(f"select distinct {column} as name from {mart} where {where}")  # noqa: S608 - our own names
        known = sorted(row["name"] for row in found if row["name"] is not None)
        if value not in known:
            near = difflib.get_close_matches(value, known, n=1)
            hints.append((f"Did you mean {inert(near[0])}? " if near else "") + f"Known: {_listed(known)}.")
    if hints:
        return NothingToExplainError(" ".join([what, *hints]))
    conditions = [where] + [
        f"{column} = $v{number}" for number, (column, value) in enumerate(wanted.items()) if value is not None
    ]
    days = evidence.select(
        f"select min(usage_date) as first, max(usage_date) as last from {mart} where {' and '.join(conditions)}",  # noqa: S608 - our own names
        {f"v{number}": value for number, value in enumerate(wanted.values()) if value is not None},
    )[0]
    if days["first"] is None:
        return NothingToExplainError(f"{what} Each name is known, but not together: leave one out.")
    return NothingToExplainError(f"{what} There is some from {days['first']} to {days['last']}.")


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(map(inert, names[:_MOST_NAMES])) + (f" and {more} more" if more > 0 else "") if names else "none"
