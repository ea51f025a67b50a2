"""Spend by owner in words, for the terminal and the report; and what to write where nobody owns it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from pipeline.config.whole import Config
from pipeline.formats import currency as currencies
from pipeline.ownership import named_now
from pipeline.reports import figures

MEASURES = ("billed", "effective", "accrued")
UNATTRIBUTED = "unattributed"
TITLES: Mapping[str, str] = {"team": "team", "cost_centre": "cost centre", "environment": "environment"}
WITHOUT: Mapping[str, str] = {
    name: f"without {'an' if name[0] in 'aeiou' else 'a'} {of}" for name, of in TITLES.items()
}
NOTE = (
    "Billed adds up to the bills; effective is owned hardware and what commitments cover, accrued is agreed and not "
    "billed yet: the three never add. A deployment's cost is split over the workloads that it served."
)
# What a match calls what a charge is known by; a vendor's own word where it has one.
_WORDS = {
    "deployment_id": "deployment", "namespace": "namespace", "resource_id": "resource", "api_key_id": "api_key",
    "account": "account",
}  # fmt: skip
_WORKSPACES = frozenset({"anthropic"})


@dataclass
class Owner:
    """What one owner cost: measure -> (known so far, whether that is all), and what has no rate, by currency.

    `name` None: unattributed.
    """

    name: str | None
    costs: dict[str, tuple[Decimal, bool]] = field(default_factory=dict)
    unconverted: dict[str, Decimal] = field(default_factory=dict)

    def cost(self, measure: str) -> Decimal | None:
        """Of one measure; None where a charge has no amount, 0 where there is no charge."""
        known, is_whole = self.costs.get(measure, (Decimal(0), True))
        return known if is_whole else None


def owner_rows(
    ask: Callable[..., pl.DataFrame], config: Config, *, by: str, from_date: date, to_date: date
) -> pl.DataFrame:
    """`by`: team, cost_centre or environment. Names are those of now: `owner_aliases` of the newest configuration.

    `ask`: of a snapshot's questions.
    """
    names = named_now((now, alias.was) for alias in config.owner_aliases if (now := getattr(alias, by)) is not None)
    return ask(
        "owner_costs",
        attribute=by,
        past_names=list(names),
        present_names=list(names.values()),
        from_date=from_date,
        to_date=to_date,
    )


def owners_of(rows: Iterable[Mapping[str, Any]]) -> list[Owner]:
    """One an owner, by name, and last what nobody owns."""
    found: dict[str | None, Owner] = {}
    for row in rows:
        owner = found.setdefault(row["owner"], Owner(row["owner"]))
        measure, currency = row["cost_measure"], row["unconverted_currency"]
        if currency is not None:
            before = owner.unconverted.get(currency, Decimal(0))
            owner.unconverted[currency] = before + row["unconverted_cost"]
            continue
        known = row["known_cost_rc"] or Decimal(0)
        owner.costs[measure] = known, row["realized_cost_rc"] is not None
    return list(found.values())


def owner_cells(owner: Owner, measures: Sequence[str], *, money: Callable[[Decimal | None], str]) -> tuple[str, ...]:
    """Its name, what it cost by each measure, and what is in no sum."""
    costs = []
    for measure in measures:
        known, is_whole = owner.costs.get(measure, (None, True))
        least = "" if is_whole else "unknown" if not known else f"at least {money(known)}"
        costs.append(least or ("" if known is None else money(known)))
    unconverted = ", ".join(figures.priced(amount, currency) for currency, amount in sorted(owner.unconverted.items()))
    return (UNATTRIBUTED if owner.name is None else figures.visible(owner.name), *costs, unconverted)


def measures_in(owners: Iterable[Owner]) -> list[str]:
    """Those that occur, billed first."""
    found = {measure for owner in owners for measure in owner.costs}
    return [measure for measure in MEASURES if measure in found]


def ownership_line(row: Mapping[str, Any], *, by: str) -> str | None:
    """The line of `ownership` that gives a row of the question `unattributed` an owner; None where nothing names it."""
    if row["known_as"] is None:
        return None
    known_by = row["known_by"]
    division = "workspace" if row["issuer"] in _WORKSPACES else "project"
    match = {"account": row["account"], _WORDS.get(known_by, division): row["known_as"]}
    if known_by == "api_key_id":
        # What the key used elsewhere stands under that workspace or project.
        match[division] = "Default"
    if known_by == "namespace":
        # One name in two clusters is two namespaces.
        match["cluster"] = row["cluster"]
    said = ", ".join(f"{key}: {_yaml(value)}" for key, value in match.items() if value is not None)
    return f"- {{{by}: NAME, match: {{{said}}}}}"


def _yaml(text: str) -> str:
    """A text in a flow mapping of YAML: plain where nothing could read it as anything else, else as JSON quotes it."""
    is_plain = text.isascii() and text.replace("-", "").replace("_", "").isalnum() and text[:1].isalpha()
    is_word = text.lower() not in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
    return text if is_plain and is_word else f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    # JSON writes these in two halves, which YAML reads as two characters.
    return f"\\U{ord(character):08x}" if ord(character) > 0xFFFF else json.dumps(character)[1:-1]


DRIVER_COLUMNS = ("Period", "Driver", "Of", "Value", "Cost", "Measure", "Cost of one")


def driver_cells(row: Mapping[str, Any], *, money: Callable[[Decimal | None], str], currency: str) -> tuple[str, ...]:
    """In the order of DRIVER_COLUMNS. What is unknown says so; why, stands in `driver_reasons`."""
    of = "all" if row["team"] is None and row["workload"] is None else ""
    if row["team"] is not None:
        of = f"team {figures.visible(row['team'])}"
    elif row["workload"] is not None:
        of = f"workload {figures.visible(row['workload'])}"
    start: date = row["period_from_date"]
    price = row["realized_rc_per_unit"]
    return (
        f"{start:%Y-%m}" if row["period"] == "month" else start.isoformat(),
        figures.visible(row["driver"]),
        of,
        "unknown" if row["driver_quantity"] is None else format(row["driver_quantity"].normalize(), ",f"),
        "unknown" if row["realized_cost_rc"] is None else money(row["realized_cost_rc"]),
        row["cost_measure"] or "",
        "unknown" if price is None else currencies.money(price, currency, most_decimals=4),
    )


def driver_reasons(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why a price is unknown: each reason once."""
    said = (f"{figures.visible(row['driver'])}: {row['reason']}" for row in rows if row["reason"] is not None)
    return list(dict.fromkeys(said))
