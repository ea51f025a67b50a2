"""Whose a charge is, by rules: of two that match it the narrower one counts, and what nobody can tell apart is a tie.

A rule names things that a charge is of (`fields`, `tags`: all must match) and says who owns it (`says`). How narrow it
is: compare the narrowest thing that each names, then the next one. A key is narrower than its workspace, and that than
the account; a rule that names both a workspace and the account is narrower than one that names the workspace alone.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

# What a charge may be known by, the narrowest first: of a server the part that served a workload, the engine's, its
# namespace's, its deployment's, the server, all that are tagged alike, its cluster. `tags` stand there for any number.
TAGS = "tags"
NARROWEST_FIRST = (
    "api_key_id", "gateway_key_id", "workload", "replica_id", "namespace", "deployment_id", "resource_id", TAGS,
    "cluster", "gateway_team_id", "sub_account_id", "account",
)  # fmt: skip
FIELDS = tuple(name for name in NARROWEST_FIRST if name != TAGS)
# What a rule says of a charge, each by itself: of which team it is does not say in which environment.
ATTRIBUTES = ("team", "cost_centre", "environment")


@dataclass(frozen=True)
class OwnerRule:
    """Valid [valid_from, valid_to); None is open. `name` is how a row says which rule it was."""

    name: str
    fields: Mapping[str, str]
    says: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)
    valid_from: date | None = None
    valid_to: date | None = None

    @property
    def narrowness(self) -> tuple[int, ...]:
        """The larger, the narrower."""
        return tuple(len(self.tags) if name == TAGS else int(name in self.fields) for name in NARROWEST_FIRST)

    def matches(self, fields: Mapping[str, str | None], tags: Mapping[str, str]) -> bool:
        """Whether a charge is all that the rule names."""
        return all(fields.get(name) == value for name, value in self.fields.items()) and all(
            tags.get(key) == value for key, value in self.tags.items()
        )

    def is_tied_with(self, other: "OwnerRule") -> bool:
        """Whether a charge could match both on one day, neither be the narrower, and both say the same thing of it."""
        return (
            bool(self.says.keys() & other.says.keys())
            and self.narrowness == other.narrowness
            and _agree(self.fields, other.fields)
            and _agree(self.tags, other.tags)
            and (self.valid_from or date.min) < (other.valid_to or date.max)
            and (other.valid_from or date.min) < (self.valid_to or date.max)
        )


def _agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return all(other.get(name, value) == value for name, value in one.items())


def narrowest_first(rules: Iterable[OwnerRule]) -> list[OwnerRule]:
    """In the order in which they are asked. Of equally narrow ones, which no charge matches both, the order is kept."""
    return sorted(rules, key=lambda rule: tuple(-count for count in rule.narrowness))


def owner_of(
    fields: Mapping[str, str | None], tags: Mapping[str, str], rules: Iterable[OwnerRule]
) -> dict[str, tuple[str, str]]:
    """Attribute -> (what it is, the rule that says so), of rules in the order of `narrowest_first`.

    What no rule says is not in it: a charge without a team is unattributed, whatever its environment.
    """
    found: dict[str, tuple[str, str]] = {}
    for rule in rules:
        if rule.says.keys() <= found.keys() or not rule.matches(fields, tags):
            continue
        for attribute, owner in rule.says.items():
            found.setdefault(attribute, (owner, rule.name))
    return found


class RuleBook:
    """Rules that hold together, found by what a charge is and not one after the other: `owner_of` of all of them."""

    def __init__(self, rules: Iterable[OwnerRule]) -> None:
        self.rules = narrowest_first(rules)
        # What a rule names -> the values of that -> the places of the rules that name these.
        self._kinds: dict[_Kind, dict[tuple[str, ...], list[int]]] = {}
        for place, rule in enumerate(self.rules):
            kind = tuple(sorted(rule.fields)), tuple(sorted(rule.tags))
            values = (*(rule.fields[name] for name in kind[0]), *(rule.tags[key] for key in kind[1]))
            self._kinds.setdefault(kind, {}).setdefault(values, []).append(place)

    def owner_of(self, fields: Mapping[str, str | None], tags: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Attribute -> (what it is, the rule that says so)."""
        places: list[int] = []
        for (names, keys), by_values in self._kinds.items():
            named = [*(fields.get(name) for name in names), *(tags.get(key) for key in keys)]
            values = tuple(value for value in named if value is not None)
            if len(values) == len(named):
                places += by_values.get(values, ())
        return owner_of(fields, tags, (self.rules[place] for place in sorted(places)))


_Kind = tuple[tuple[str, ...], tuple[str, ...]]


def rule_name(named: Iterable[tuple[str, str]]) -> str:
    """`account=main, sub_account_id="a, b=c"`: a name in which no value can be taken for the next one."""
    return ", ".join(f"{_plain(name)}={_plain(value)}" for name, value in named)


_PLAIN = re.compile(r"[\w.:/@+*#~ -]+")


def _plain(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text == text.strip() else json.dumps(text, ensure_ascii=False)


def named_now(names: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Past name -> the name it has now, from (now, those that it had): renames move no row, only how it is read."""
    return {was: now for now, had in names for was in had}
