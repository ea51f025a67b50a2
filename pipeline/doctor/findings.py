"""What was found, how bad it is, and which one thing to fix next."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Literal

# `fix` needs somebody. `note` is worth knowing. `skipped` was not looked at, and says why.
State = Literal["ok", "note", "fix", "skipped"]


class Cost(IntEnum):
    """What a thing costs while it stays as it is, dearest first: the order in which things are fixed."""

    NOTHING_CAN_LAND = 1
    LANDED_BYTES_LOST = 2
    SOURCE_GIVES_NOTHING = 3
    FIGURES_REFUSED = 4
    FIGURES_OLD = 5
    FILES_NOT_COUNTED = 6
    SOURCE_IS_LATE = 7
    NOBODY_IS_TOLD = 8
    PREPAID_RUNS_OUT = 9
    # From here on nothing is wrong: it is what to do next where nothing is.
    NOT_RUN_YET = 20
    FIGURE_LACKS_AN_INPUT = 21
    BELONGS_TO_NOBODY = 22
    REACHES_LESS_FAR = 23
    NOTHING = 99


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `said` is what is so, `fix` what to do about it; neither holds a secret.

    `line`: what to write into breakeven.yaml, where `fix` says to write it.
    `source`, `account`, `dataset`: where it is about one. `from_date` to `to_date`: the days that a dataset covers,
    both included; `late_days_count`: of them and after them, those that should be settled and are not.
    `at_stake_rc`: money of the last 30 days that depends on it, in the reporting currency, where that is known.
    """

    area: str
    subject: str
    check: str
    state: State
    said: str
    fix: str = ""
    line: str = ""
    cost: Cost = Cost.NOTHING
    source: str | None = None
    account: str | None = None
    dataset: str | None = None
    from_date: date | None = None
    to_date: date | None = None
    late_days_count: int | None = None
    at_stake_rc: Decimal | None = None


def next_step(findings: Iterable[Finding]) -> Finding | None:
    """What to fix next: of what needs somebody the dearest, else of the notes; None where there is nothing to do."""
    for state in ("fix", "note"):
        candidates = [found for found in findings if found.state == state and found.fix and found.cost < Cost.NOTHING]
        if candidates:
            return min(candidates, key=lambda found: (found.cost, -(found.at_stake_rc or Decimal(0))))
    return None


def needs_fixing(findings: Iterable[Finding]) -> bool:
    return any(found.state == "fix" for found in findings)
