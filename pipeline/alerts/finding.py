"""What was found of a subject that is no workload: GPUs that buy nothing, budgets, accounts, sources, closed months."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A subject's state on its newest day, and the words for it, which hold no text of data that is not inert.

    subject: `waste:chat-llama`, `runway:openrouter/router`. usage_date: the newest day that it knows of.
    opens: worth a post of its own. is_calm: nobody has to do anything, which opens no case and ends one; between the
    two a case that is open stays open. is_urgent: something stops unless somebody acts.
    milder_than: states after which this one is no news. pool: the GPUs it is about. saving_rc_per_month: what doing it
    would save; None where nobody knows. shows_until: the last day that is as it says, where later ones are not; what
    was done on that day or later is no news.
    """

    subject: str
    state: str
    usage_date: date
    headline: str
    do: str
    why: str
    by_when: str
    at_stake: str
    how_sure: str
    unknown: str
    command: str
    team: str | None = None
    pool: str | None = None
    saving_rc_per_month: Decimal | None = None
    opens: bool = True
    is_calm: bool = False
    is_urgent: bool = False
    is_of_settled_days: bool = True
    milder_than: frozenset[str] = frozenset()
    shows_until: date | None = None

    @classmethod
    def of_several(cls, *, subject: str, usage_date: date, team: str | None) -> Self:
        """What a digest is about: the words are those of the cases that it holds."""
        return cls(
            subject=subject,
            state="told",
            usage_date=usage_date,
            headline="",
            do="",
            why="",
            by_when="",
            at_stake="",
            how_sure="",
            unknown="",
            command="",
            team=team,
        )
