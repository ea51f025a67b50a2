"""Whether an API's model and one that is served are the same: the same weights, in the same precision.

A name says neither: `Llama-3.3-70B-Instruct-Turbo` is one seller's copy of weights that another has in bf16. So names
are looked up in dated aliases, and what is in none of them is unknown, never equal to what looks like it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

# Weights that no replica of one's own can hold.
NOT_PUBLISHED = "not published"
# Every name of a provider that has no alias of its own.
ANY_NAME = "*"

Relation = Literal["same", "precision_unknown", "other_precision", "other_weights", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Alias:
    """What a name stands for on the days [from_date, to_date); None is open.

    provider: whose API has it; None: a name on the hub or of a served model. precision: None where nobody says.
    is_declared: a person said so in breakeven.yaml, which goes before what is shipped.
    """

    name: str
    weights: str
    precision: str | None
    provider: str | None = None
    from_date: date | None = None
    to_date: date | None = None
    source: str = ""
    is_declared: bool = False

    def holds_on(self, day: date) -> bool:
        return (self.from_date or date.min) <= day and (self.to_date is None or day < self.to_date)


@dataclass(frozen=True)
class Compared:
    """How two models are related, and that in words."""

    relation: Relation
    says: str


@dataclass
class Aliases:
    """Dated aliases, to be asked what a name stands for on a day. Letter case does not tell names apart."""

    rows: Iterable[Alias]
    _by_name: dict[tuple[str | None, str], list[Alias]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_name = {}
        for row in self.rows:
            self._by_name.setdefault((row.provider, row.name.lower()), []).append(row)

    def known(self, name: str, *, day: date, provider: str | None = None) -> Alias | None:
        """The alias in force: a declared one before a shipped one, a provider's `*` where it has no other.

        None where there is none, or where two of one kind disagree that day.
        """
        found = self._in_force(provider, name.lower(), day)
        if not found and provider is not None:
            found = self._in_force(provider, ANY_NAME, day)
        counting = [alias for alias in found if alias.is_declared] or found
        stands_for = {(alias.weights.lower(), alias.precision) for alias in counting}
        return counting[0] if len(stands_for) == 1 else None

    def sellers(self, weights: str, *, day: date) -> list[Alias]:
        """The API models that have these weights that day, by provider and name."""
        wanted = weights.lower()
        found = [
            alias
            for (provider, _), aliases in self._by_name.items()
            if provider is not None
            for alias in aliases
            if alias.weights.lower() == wanted and alias.holds_on(day)
        ]
        return sorted(found, key=lambda alias: (str(alias.provider), alias.name))

    def _in_force(self, provider: str | None, name: str, day: date) -> list[Alias]:
        return [alias for alias in self._by_name.get((provider, name), ()) if alias.holds_on(day)]


def compare(api: Alias | None, served: Alias | None) -> Compared:
    """How an API's model and a served one are related. They are the same only where weights and precision both are."""
    if (api is not None and api.weights == NOT_PUBLISHED) or (served is not None and served.weights == NOT_PUBLISHED):
        return Compared(
            "other_weights",
            "other weights: the API's are not published, so that both do the task, and in how many tokens, is yours to "
            "know",
        )
    if api is None or served is None:
        unknown = " and ".join(
            text for text, alias in (("the API's model", api), ("the served one", served)) if alias is None
        )
        return Compared("unknown", f"which weights {unknown} has is not known: say so under `models`")
    if api.weights.lower() != served.weights.lower():
        return Compared(
            "other_weights",
            f"other weights ({api.weights} and {served.weights}): that both do the task, and in how many tokens, is "
            "yours to know",
        )
    if api.precision is None or served.precision is None:
        unknown = " and ".join(
            text for text, alias in (("the API's", api), ("the served", served)) if alias.precision is None
        )
        return Compared(
            "precision_unknown",
            f"the same weights ({api.weights}); the precision of {unknown} copy is not known: say so under `models`",
        )
    if api.precision != served.precision:
        return Compared(
            "other_precision",
            f"the same weights ({api.weights}) in other precisions, {api.precision} on the API and {served.precision} "
            "served: answers may differ",
        )
    return Compared("same", f"the same weights ({api.weights}) in {api.precision}")
