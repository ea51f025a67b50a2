"""A statement of one team or cost centre: its part of the report, line by line. All of them, with what nobody owns, are
the report's own sums.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

import polars as pl

from pipeline.config.whole import Config
from pipeline.ownership import named_now
from pipeline.reports import figures
from pipeline.reports.owners import MEASURES, NOTE, TITLES, WITHOUT
from pipeline.reports.page import Block, Column, Note, Row, Section, Table, Tile, Tiles
from pipeline.reports.sections import gpus, money, workloads
from pipeline.reports.sections.month import LANES, MOST_LINES, Answer, Asks, Month, in_words
from pipeline.reports.sections.month import MEASURES as SAID_OF_MEASURES

_LANES: Mapping[str, str] = {**LANES, "gpu": "GPUs", "cloud": "clouds"}
By = Literal["team", "cost_centre"]


@dataclass(frozen=True)
class Owned:
    """Whose statement it is; `name` None: what nobody owns."""

    by: By
    name: str | None

    def __str__(self) -> str:
        return WITHOUT[self.by] if self.name is None else f"{TITLES[self.by]} {figures.visible(self.name)}"


class _Narrowed:
    """Answers about workloads, advice, budgets and drivers, of one team's alone; all others as they are."""

    def __init__(self, asks: Asks, config: Config, owned: Owned) -> None:
        self._asks = asks
        names = _names_now(config, "team")
        own = [one for one in config.workloads if one.team is not None and names.get(one.team, one.team) == owned.name]
        is_team = owned.by == "team" and owned.name is not None
        self._workloads = {one.workload for one in own} if is_team else set()
        self._deployments = {one.deployment for one in own if one.deployment is not None} if is_team else set()
        # A workload or a budget may be declared under a name that the owner had.
        of_kind = _names_now(config, owned.by)
        self._by = owned.by
        self._called = [owned.name, *(was for was, now in of_kind.items() if now == owned.name)]

    def ask(self, name: str, **parameters: Any) -> pl.DataFrame:
        found = self._asks.ask(name, **parameters)
        names = list(self._workloads)
        if name in ("verdicts_of_month", "verdict_history", "verdict_certainty", "workload_curves", "demand_grain"):
            return found.filter(pl.col("workload").is_in(names))
        if name == "model_matches":
            return found.filter(pl.col("workload").is_in(names))
        if name == "advice":
            of_it = pl.col("workload").is_in(names)
            # A release names no workload: it is told to each team that the deployment serves.
            unnamed = pl.col("workload").is_null() & pl.col("deployment_id").is_in(list(self._deployments))
            return found.filter(of_it | unnamed)
        if name == "budgets":
            of_owner = (pl.col("scope") == self._by) & pl.col("scope_name").is_in(self._called)
            return found.filter(of_owner | ((pl.col("scope") == "workload") & pl.col("scope_name").is_in(names)))
        return found


def narrowed(month: Month, owned: Owned) -> Month:
    """The month as one owner sees its budgets, and a team its workloads. A cost centre has none: those have a team."""
    return replace(month, asks=_Narrowed(month.asks, month.config, owned))


def sections(owned: Owned, *, until: date) -> tuple[Callable[[Month], Section], ...]:
    """What it cost, its budgets, and of a team its verdicts and advice. `until`: the day up to which days are known."""

    def spent(month: Month) -> Section:
        return _spend(month, owned, until)

    if owned.name is None:
        return (spent,)
    of_a_team: tuple[Callable[[Month], Section], ...] = (
        lambda month: workloads.verdicts(narrowed(month, owned)),
        lambda month: gpus.recommendations(narrowed(month, owned)),
    )
    return (spent, *(of_a_team if owned.by == "team" else ()), lambda month: money.budget(narrowed(month, owned)))


def owner_lines(month: Month, owned: Owned, *, from_date: date, to_date: date) -> list[Answer]:
    """Its lines, by names of now. `known_cost_rc` of all owners' lines are what was charged."""
    names = _names_now(month.config, owned.by)
    rows = month.asks.ask(
        "owner_lines",
        attribute=owned.by,
        past_names=list(names),
        present_names=list(names.values()),
        from_date=from_date,
        to_date=to_date,
    )
    return [row for row in rows.to_dicts() if row["owner"] == owned.name]


def _names_now(config: Config, by: By) -> dict[str, str]:
    """Past name -> the one of now."""
    return named_now((now, alias.was) for alias in config.owner_aliases if (now := getattr(alias, by)) is not None)


def _spend(month: Month, owned: Owned, until: date) -> Section:
    lines = owner_lines(month, owned, from_date=month.from_date, to_date=month.to_date)
    before_from = (month.from_date - timedelta(days=1)).replace(day=1)
    days = max(min(until, month.to_date) - month.from_date, timedelta(days=1))
    before_to = min(before_from + days, month.from_date) if until < month.to_date else month.from_date
    before = owner_lines(month, owned, from_date=before_from, to_date=before_to)
    sums = {measure: _sum(lines, measure) for measure in MEASURES if any(_is_of(line, measure) for line in lines)}
    title = f"Spend of {owned}"
    if not lines and not before:
        return Section("headline", title, f"Nothing was charged to {owned} in this month, nor in the one before.")
    refused = month.proof.of_money()
    tiles = Tiles(
        tuple(
            Tile(
                title=measure.capitalize(),
                figure=_amount(month, *known),
                unit=month.currency,
                detail=SAID_OF_MEASURES[measure],
                refused=refused,
                measure=measure,
            )
            for measure, known in sums.items()
        )
    )
    blocks: list[Block] = [
        *([tiles] if tiles.tiles else []),
        Note("Billed, effective and accrued money are different claims: they stand apart and never add."),
        _table(month, lines, before, _in_words(before_from, before_to), refused),
    ]
    said = in_words([f"{month.priced(known)} {measure}" for measure, (known, _) in sums.items()])
    says = f"{said or ('Nothing in this currency' if lines else 'Nothing this month')} for {owned}."
    return Section("headline", title, says[:1].upper() + says[1:], blocks)


def _in_words(from_date: date, to_date: date) -> str:
    last = to_date - timedelta(days=1)
    return f"{from_date.day} to {figures.day(last)}"


def _is_of(line: Answer, measure: str) -> bool:
    return line["cost_measure"] == measure and line["unconverted_currency"] is None


def _sum(lines: Iterable[Answer], measure: str) -> tuple[Decimal, bool]:
    """What is known of it, and whether that is all."""
    own = [line for line in lines if _is_of(line, measure)]
    known = sum((line["known_cost_rc"] for line in own if line["known_cost_rc"] is not None), Decimal(0))
    return known, all(line["realized_cost_rc"] is not None for line in own)


def _amount(month: Month, known: Decimal, is_whole: bool) -> str:
    if is_whole:
        return month.money(known)
    return f"at least {month.money(known)}" if known else "unknown"


_KEY = ("lane", "issuer", "account", "known_as", "cost_measure")


def _table(
    month: Month, lines: Sequence[Answer], before: Sequence[Answer], compared: str, refused: tuple[str, ...]
) -> Table:
    """Largest lines first, what is left in one row a measure, and its sums; a line of either time has a row."""
    pairs: dict[tuple[Any, ...], list[Answer | None]] = {}
    for place, found in enumerate((lines, before)):
        for line in found:
            if line["unconverted_currency"] is None:
                pairs.setdefault(tuple(line[name] for name in _KEY), [None, None])[place] = line
    size = {key: max(abs(_known(line)) for line in pair if line is not None) for key, pair in pairs.items()}
    ordered = sorted(pairs, key=lambda key: (-size[key], *map(str, key)))
    shown, rest = ordered[:MOST_LINES], ordered[MOST_LINES:]

    def amounts(keys: Sequence[tuple[Any, ...]]) -> tuple[str, ...]:
        """Of now and then; empty where there was nothing."""
        both = ([pairs[key][place] for key in keys] for place in (0, 1))
        return tuple(_sum_of(month, [line for line in found if line is not None]) for found in both)

    rows = [Row((*_named(key), str(key[-1]), *amounts([key])), refused=refused) for key in shown]
    for measure in MEASURES:
        others = [key for key in rest if key[-1] == measure]
        if others:
            told = figures.counted(len(others), "smaller line")
            rows.append(Row((told, "", "", "", measure, *amounts(others)), refused=refused))
    for measure in MEASURES:
        of_it = [key for key in ordered if key[-1] == measure]
        if of_it:
            rows.append(Row(("Sum", "", "", "", measure, *amounts(of_it)), refused=refused, kind="total"))
    for line in lines:
        if line["unconverted_currency"] is not None:
            key = tuple(line[name] for name in _KEY)
            amount = figures.priced(line["unconverted_cost"], figures.name(line["unconverted_currency"]))
            rows.append(Row((*_named(key), str(key[-1]), amount, ""), refused=refused))
    return Table(
        name="statement",
        caption="What it is made of",
        columns=(
            Column("Lane"),
            Column("Issuer"),
            Column("Account"),
            Column("What"),
            Column("Measure"),
            Column("Cost", month.currency, is_number=True),
            Column(f"Cost, {compared}", month.currency, is_number=True),
        ),
        rows=tuple(rows),
        note=NOTE,
    )


def _named(key: tuple[Any, ...]) -> tuple[str, str, str, str]:
    lane, issuer, account, known_as, _ = key
    return (
        _LANES.get(lane, figures.name(lane)),
        figures.name(issuer),
        figures.name(account),
        figures.name(known_as, "all else"),
    )


def _known(line: Answer) -> Decimal:
    return line["known_cost_rc"] or Decimal(0)


def _sum_of(month: Month, lines: Sequence[Answer]) -> str:
    if not lines:
        return ""
    is_whole = all(line["realized_cost_rc"] is not None for line in lines)
    return _amount(month, sum(map(_known, lines), Decimal(0)), is_whole)
