"""The bridge from the month before to a month: which days are compared, what of them, and its effects in words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

import polars as pl

from pipeline.economics.bridge import (
    EFFECTS,
    ENDED,
    FX,
    GPU_TIME,
    HOURS,
    MIX,
    NEW,
    OTHER,
    PRICE,
    UNEXPLAINED,
    UNOBSERVED,
    UTILIZATION,
    VOLUME,
    Amount,
    Bought,
    Bridge,
    Deployment,
    Group,
    Line,
    OtherLine,
    Run,
    bridge,
    rounded_to_sum,
)
from pipeline.reports import figures

Row = Mapping[str, Any]
API, GPUS, HOSTED, PER_USE = "api", "self_host", "cloud_model", "cloud_per_use"

TITLES: Mapping[str, str] = {API: "API", GPUS: "GPUs", HOSTED: "Hosted models", PER_USE: "Billed by use"}
WORDS: Mapping[str, str] = {
    VOLUME: "Volume",
    MIX: "Mix",
    GPU_TIME: "GPU time a token",
    UTILIZATION: "GPU utilization",
    UNOBSERVED: "Unobserved GPU-hours",
    HOURS: "Paid hours, tokens unknown",
    PRICE: "Price",
    FX: "Exchange rates",
    NEW: "New",
    ENDED: "Ended",
    OTHER: "Tax, credits, storage",
    UNEXPLAINED: "Not explained",
}
NOTE = (
    "One after the other, and they sum to the change. Volume: more or fewer tokens, at the earlier mix, use and price. "
    "Mix: which models, token classes and tiers. GPU time a token: how long a GPU served for each, batching in it. GPU "
    "utilization: hours paid for each that served. Price: in the bill's own currency, on what was used now. New and "
    "ended: in one month only."
)
_OTHER_KINDS: Mapping[str, str] = {
    "overhead": "storage, network, support", "tax": "tax", "credit": "credits", "per_use": "services billed by use",
}  # fmt: skip
# What an API counts beside its money. Storage, training and the like are of no unit that two months could share.
_COUNTED_KINDS = ("tokens", "web_search")
_BOUGHT: Mapping[str, str] = {API: "bridge_api", HOSTED: "bridge_hosted", PER_USE: "bridge_per_use"}
# What stands for a workload where there is none.
_OF_NO_WORKLOAD = ("unassigned", "hosted models", "services billed by use")
_MILLISECONDS = 3_600_000
_QUANTA = 10**18
_NO_RATE = "a part of it has no exchange rate"
_NO_PRICE = "a part of its GPU-hours has no price"
_NO_AMOUNT = "a part of it has no amount"
_GIVEN_BACK = "more of it was given back than was used"


class Asks(Protocol):
    """Whoever answers the questions of `sql/reports/`."""

    def ask(self, name: str, **parameters: Any) -> pl.DataFrame: ...


@dataclass(frozen=True, kw_only=True)
class Days:
    """[from_date, to_date) in UTC."""

    from_date: date
    to_date: date

    @property
    def count(self) -> int:
        return (self.to_date - self.from_date).days

    def in_words(self) -> str:
        """`October 2026`, or `1 to 14 Nov 2026` where it is not all of it."""
        if self.to_date.day == 1 and self.from_date.day == 1:
            return figures.month_name(self.from_date)
        return f"{self.from_date.day} to {figures.day(self.to_date - timedelta(days=1))}"


@dataclass(frozen=True, kw_only=True)
class MonthBridge:
    """The headline's lanes in two stretches of days: APIs and GPUs always, what clouds bill where they bill it.
    `why_not`: why there is no bridge; then there is no lane.

    accrued: of the costs before and after, what no bill says yet. notes: what makes the two less alike than they look.
    """

    before: Days
    after: Days
    lanes: Mapping[str, Bridge]
    accrued: tuple[Decimal, Decimal] = (Decimal(0), Decimal(0))
    notes: Sequence[str] = ()
    why_not: str = ""

    def of(self, effect: str) -> Fraction:
        return sum((found.of(effect) for found in self.lanes.values()), Fraction(0))

    @property
    def before_cost(self) -> Fraction:
        return sum((found.before_cost for found in self.lanes.values()), Fraction(0))

    @property
    def after_cost(self) -> Fraction:
        return sum((found.after_cost for found in self.lanes.values()), Fraction(0))

    @property
    def present(self) -> list[str]:
        """The effects that there are, in their order."""
        return [
            name for name in EFFECTS if any(one.effect == name for lane in self.lanes.values() for one in lane.effects)
        ]


def month_bridge(asks: Asks, *, first_day: date) -> MonthBridge:
    """What changed against the month before, and why. Of a month that is not over: its settled days against as many."""
    before, after = _compared(asks, first_day)
    if not after.count:
        why_not = f"No day of {figures.month_name(first_day)} is settled yet: nothing is compared."
        return MonthBridge(before=before, after=after, lanes={}, why_not=why_not)
    old, new = _Costs.of(asks, before), _Costs.of(asks, after)
    if old.is_empty or new.is_empty:
        empty = before if old.is_empty else after
        why_not = f"No cost of {empty.in_words()} is in this snapshot: nothing is compared."
        return MonthBridge(before=before, after=after, lanes={}, why_not=why_not)
    return MonthBridge(
        before=before,
        after=after,
        lanes={
            API: _bought_by_use(API, old, new),
            GPUS: bridge(deployments=_deployments(old, new), others=_gpu_others(old, new)),
            **{
                lane: _bought_by_use(lane, old, new)
                for lane in (HOSTED, PER_USE)
                if old.bought[lane] or new.bought[lane]
            },
        },
        accrued=(old.accrued, new.accrued),
        notes=(*_notes(old, new), *_unsettled_notes(asks, (before, after))),
    )


EFFECT_SCHEMA: Mapping[str, Any] = {
    **dict.fromkeys(("before_from_date", "before_to_date", "from_date", "to_date"), pl.Date()),
    **dict.fromkeys(("lane", "effect", "group", "line", "reason"), pl.String()),
    "change_cost_rc": pl.Decimal(38, 18),
}


def effect_rows(found: MonthBridge) -> list[dict[str, Any]]:
    """A row an effect and line, for programs: money of the reporting currency, which sums to the change exactly."""
    summed = [(lane, *key, cost) for lane, of_lane in found.lanes.items() for key, cost in _summed(of_lane)]
    whole = (found.after_cost - found.before_cost) * _QUANTA
    quanta = rounded_to_sum([cost * _QUANTA for *_, cost in summed], round(whole))
    days = {
        "before_from_date": found.before.from_date,
        "before_to_date": found.before.to_date,
        "from_date": found.after.from_date,
        "to_date": found.after.to_date,
    }
    return [
        {
            **days,
            "lane": lane,
            "effect": effect,
            "group": group,
            "line": line or None,
            "reason": reason or None,
            "change_cost_rc": Decimal(amount).scaleb(-18),
        }
        for (lane, effect, group, line, reason, _), amount in zip(summed, quanta, strict=True)
    ]


def rounded_effects(found: MonthBridge, places: int) -> dict[str, list[int]]:
    """Each effect in the lanes' order and together, in whole units of 10^-places: every column of them sums to the
    difference of its two rounded costs. The last column is rounded by itself: a row may be one apart.
    """
    unit = 10**places
    costs: list[Bridge | MonthBridge] = [*found.lanes.values(), found]
    columns = [(one.before_cost, one.after_cost, one.of) for one in costs]
    rounded = [
        rounded_to_sum([of(effect) * unit for effect in found.present], round(after * unit) - round(before * unit))
        for before, after, of in columns
    ]
    return {effect: [column[place] for column in rounded] for place, effect in enumerate(found.present)}


def largest(found: MonthBridge, effect: str, *, most: int = 3) -> list[tuple[str, Fraction]]:
    """The lines that an effect is mostly of, with their cost: greatest first, whatever its sign."""
    sums: dict[str, Fraction] = {}
    for lane in found.lanes.values():
        for one in lane.effects:
            if one.effect == effect:
                name = _named(one.group, one.line, one.reason)
                sums[name] = sums.get(name, Fraction(0)) + one.cost
    return sorted(sums.items(), key=lambda item: (-abs(item[1]), item[0]))[:most]


@dataclass(frozen=True, kw_only=True)
class GroupChange:
    """What a workload, deployment or other line cost more or less, and by which effects: greatest first."""

    lane: str
    group: str
    cost: Fraction
    effects: Sequence[tuple[str, Fraction]]


def changes_of_groups(found: MonthBridge) -> list[GroupChange]:
    """Greatest change first, whatever its sign; they sum to the whole change."""
    by_group: dict[tuple[str, str], dict[str, Fraction]] = {}
    for lane, of_lane in found.lanes.items():
        for one in of_lane.effects:
            effects = by_group.setdefault((lane, one.group), {})
            effects[one.effect] = effects.get(one.effect, Fraction(0)) + one.cost
    moved = [
        GroupChange(
            lane=lane,
            group=group,
            cost=sum(effects.values(), Fraction(0)),
            effects=sorted(effects.items(), key=lambda item: (-abs(item[1]), item[0])),
        )
        for (lane, group), effects in by_group.items()
    ]
    return sorted(moved, key=lambda one: (-abs(one.cost), one.lane, one.group))


def _named(group: str, line: str, reason: str) -> str:
    name = group if line in ("", group) else f"{group}, {line}"
    return figures.visible(f"{name} ({reason})" if reason else name)


def _summed(found: Bridge) -> list[tuple[tuple[str, str, str, str], Fraction]]:
    """By effect, group, line and reason, in the order of the effects."""
    sums: dict[tuple[str, str, str, str], Fraction] = {}
    for one in found.effects:
        key = (one.effect, one.group, one.line, one.reason)
        sums[key] = sums.get(key, Fraction(0)) + one.cost
    order = {name: place for place, name in enumerate(EFFECTS)}
    return sorted(sums.items(), key=lambda item: (order[item[0][0]], item[0]))


def _compared(asks: Asks, first_day: date) -> tuple[Days, Days]:
    """Both months whole; of one that is not over its settled days, and the same days of the month before."""
    end = _next_month(first_day)
    earlier = (first_day - timedelta(days=1)).replace(day=1)
    [known] = asks.ask("bridge_days", from_date=first_day, to_date=end).to_dicts()
    is_over = known["last_usage_date"] == end - timedelta(days=1) and not known["open_days_count"]
    if is_over:
        return Days(from_date=earlier, to_date=first_day), Days(from_date=first_day, to_date=end)
    settled = known["settled_to_date"]
    count = 0 if settled is None else (settled - first_day).days + 1
    return (
        Days(from_date=earlier, to_date=min(earlier + timedelta(days=count), first_day)),
        Days(from_date=first_day, to_date=first_day + timedelta(days=count)),
    )


def _next_month(first_day: date) -> date:
    return date(first_day.year + first_day.month // 12, first_day.month % 12 + 1, 1)


@dataclass(frozen=True, kw_only=True)
class _Costs:
    """What one of the two stretches cost, and of which accounts a bill of it is known. `bought`: by lane, what is
    billed by what it is used for.
    """

    days: Days
    bought: Mapping[str, Sequence[Row]]
    gpu: Sequence[Row]
    tokens: Mapping[str, Row]
    known_accounts: Mapping[str, int]

    @classmethod
    def of(cls, asks: Asks, days: Days) -> "_Costs":
        period = {"from_date": days.from_date, "to_date": days.to_date}
        return cls(
            days=days,
            bought={lane: asks.ask(question, **period).to_dicts() for lane, question in _BOUGHT.items()},
            gpu=asks.ask("bridge_gpu", **period).to_dicts(),
            tokens={row["deployment_id"]: row for row in asks.ask("bridge_tokens", **period).to_dicts()},
            known_accounts={
                row["account"]: row["known_days_count"] for row in asks.ask("bridge_accounts", **period).to_dicts()
            },
        )

    @property
    def is_empty(self) -> bool:
        return not self.gpu and not any(self.bought.values())

    @property
    def accrued(self) -> Decimal:
        return _known(row for row in self.gpu if row["cost_measure"] == "accrued")

    def nothing_of(self, accounts: Iterable[str]) -> str | None:
        """Why none of their cost is no zero; None where a bill is known."""
        if all(account in self.known_accounts for account in accounts):
            return None
        return f"no bill of {self.days.in_words()}"

    def has_only_accrued(self, issuer: str, account: str) -> bool:
        measures = {
            row["cost_measure"]
            for row in self.gpu
            if row["line_kind"] == "gpu" and (row["issuer"], row["account"]) == (issuer, account)
        }
        return measures == {"accrued"}


def _bought_by_use(lane: str, old: _Costs, new: _Costs) -> Bridge:
    return bridge(groups=_groups(lane, old, new), others=_uncounted(lane, old, new))


def _groups(lane: str, old: _Costs, new: _Costs) -> list[Group]:
    """Lines of each workload on each account, those of one unit together."""
    cells: dict[tuple[str, ...], dict[tuple[Any, ...], tuple[list[Row], list[Row]]]] = {}
    for place, costs in enumerate((old, new)):
        for row in costs.bought[lane]:
            if row["charge_kind"] not in _COUNTED_KINDS:
                continue
            group = (row["account"], row["workload"], row["charge_kind"])
            line = tuple(
                row[name]
                for name in (
                    "model", "token_class", "service_tier", "context_window", "inference_geo", "billing_currency",
                )
            )  # fmt: skip
            cells.setdefault(group, {}).setdefault(line, ([], []))[place].append(row)
    return [
        Group(
            name=_purpose(workload, account),
            lines=[
                _line(line[0] or kind.replace("_", " "), rows, account, old, new)
                for line, rows in sorted(lines.items(), key=lambda item: tuple(str(part or "") for part in item[0]))
            ],
        )
        for (account, workload, kind), lines in sorted(cells.items())
    ]


def _uncounted(lane: str, old: _Costs, new: _Costs) -> list[OtherLine]:
    found: dict[tuple[str, str, str], tuple[list[Row], list[Row]]] = {}
    for place, costs in enumerate((old, new)):
        for row in costs.bought[lane]:
            if row["charge_kind"] not in _COUNTED_KINDS:
                key = (row["account"], row["workload"], row["charge_kind"])
                found.setdefault(key, ([], []))[place].append(row)
    return [
        OtherLine(
            name=_purpose(workload, account) + ("" if lane == PER_USE else f", {kind.replace('_', ' ')}"),
            before_cost=_known(before),
            after_cost=_known(after),
            unknown=_not_compared((before, after), account, old, new),
        )
        for (account, workload, kind), (before, after) in sorted(found.items())
    ]


def _purpose(workload: str, account: str) -> str:
    return f"{workload} on {account}" if workload in _OF_NO_WORKLOAD else workload


def _known(rows: Iterable[Row]) -> Decimal:
    return sum((row["cost_rc"] for row in rows if row["cost_rc"] is not None), Decimal(0))


def _not_compared(rows: tuple[list[Row], list[Row]], account: str, old: _Costs, new: _Costs) -> str | None:
    """Why the two months of a line cannot be compared; None where they can."""
    before, after = rows
    if any(row.get("unrated_count") for row in (*before, *after)):
        return _NO_AMOUNT
    if any(row["unconverted_count"] for row in (*before, *after)):
        return _NO_RATE
    # A cloud's bill takes use of an earlier month back under the month in which it does.
    if any(_quantity(side) < 0 for side in rows):
        return _GIVEN_BACK
    return old.nothing_of((account,)) if not before else new.nothing_of((account,)) if not after else None


def _line(name: str, rows: tuple[list[Row], list[Row]], account: str, old: _Costs, new: _Costs) -> Line:
    before, after = rows
    return Line(
        name=name,
        before=_bought(before) if before else None,
        after=_bought(after) if after else None,
        unknown=_not_compared(rows, account, old, new),
    )


def _bought(rows: Sequence[Row]) -> Bought:
    counted = [row for row in rows if row["is_counted"]]
    return Bought(
        amounts=_amounts(counted),
        quantity=quantity if counted and (quantity := _quantity(counted)) >= 0 else None,
        loose_cost=_known(row for row in rows if not row["is_counted"]),
    )


def _quantity(rows: Iterable[Row]) -> int:
    """What is counted of it, less what was given back."""
    return sum(int(row["quantity"]) for row in rows if row.get("quantity") is not None)


def _amounts(rows: Iterable[Row]) -> tuple[Amount, ...]:
    return tuple(
        Amount(currency=row["billing_currency"], own_cost=row["own_cost"], cost=row["cost_rc"])
        for row in rows
        if row["cost_rc"] is not None
    )


def _deployments(old: _Costs, new: _Costs) -> list[Deployment]:
    """GPUs by what they serve; those that serve nothing declared, by who bills them."""
    found: dict[tuple[bool, str], tuple[list[Row], list[Row]]] = {}
    for place, costs in enumerate((old, new)):
        for row in costs.gpu:
            if row["line_kind"] == "gpu":
                is_named = row["deployment_id"] is not None
                name = row["deployment_id"] if is_named else f"no deployment, {row['account'] or row['issuer']}"
                found.setdefault((is_named, name), ([], []))[place].append(row)
    return [
        Deployment(
            name=name,
            before=_run(before, old.tokens.get(name) if is_named else None),
            after=_run(after, new.tokens.get(name) if is_named else None),
            unknown=_unknown(before, after, old, new),
        )
        for (is_named, name), (before, after) in sorted(found.items(), key=lambda item: (not item[0][0], item[0][1]))
    ]


def _run(rows: Sequence[Row], tokens: Row | None) -> Run | None:
    if not rows:
        return None
    return Run(
        amounts=_amounts(rows),
        watched_hours=_hours(rows, "watched_gpu_milliseconds"),
        unobserved_hours=_hours(rows, "unobserved_gpu_milliseconds"),
        serving_hours=_hours(rows, "serving_gpu_milliseconds"),
        tokens=None if tokens is None or tokens["uncounted_days_count"] else tokens["tokens"],
    )


def _hours(rows: Sequence[Row], column: str) -> Fraction:
    return Fraction(sum(row[column] or 0 for row in rows), _MILLISECONDS)


def _unknown(before: Sequence[Row], after: Sequence[Row], old: _Costs, new: _Costs) -> str | None:
    """Why the two cannot be compared; None where they can."""
    if any(row["unconverted_count"] for row in (*before, *after)):
        return _NO_RATE
    if any(row["unrated_count"] for row in (*before, *after)):
        return _NO_PRICE
    if not before:
        return old.nothing_of(row["account"] or row["issuer"] for row in after)
    if not after:
        return new.nothing_of(row["account"] or row["issuer"] for row in before)
    return None


def _gpu_others(old: _Costs, new: _Costs) -> list[OtherLine]:
    """Lines for no GPU time. Of an account that is only accrued they are unknown until its bill comes."""
    found: dict[tuple[str, str, str], tuple[list[Row], list[Row]]] = {}
    for place, costs in enumerate((old, new)):
        for row in costs.gpu:
            if row["line_kind"] != "gpu":
                key = (row["issuer"], row["account"] or row["issuer"], row["line_kind"])
                found.setdefault(key, ([], []))[place].append(row)
    lines = []
    for (issuer, account, kind), (before, after) in sorted(found.items()):
        unknown = _unknown(before, after, old, new)
        for costs in (old, new):
            if costs.has_only_accrued(issuer, account):
                unknown = unknown or f"no bill of {costs.days.in_words()} yet, only what was agreed for its GPUs"
        lines.append(
            OtherLine(
                name=f"{account}, {_OTHER_KINDS[kind]}",
                before_cost=_known(before),
                after_cost=_known(after),
                unknown=unknown,
            )
        )
    return lines


def _notes(old: _Costs, new: _Costs) -> list[str]:
    notes = []
    if old.days.count != new.days.count:
        notes.append(f"Volume holds the days too: {new.days.count} against {old.days.count}.")
    short = [
        f"{figures.visible(account)} {old.known_accounts[account]} of {old.days.count}"
        for account in sorted({row["account"] for one in (old, new) for of in one.bought.values() for row in of})
        if 0 < old.known_accounts.get(account, 0) < old.days.count
    ]
    if short:
        notes.append(f"Days of {old.days.in_words()} that a bill covers, where not all: {', '.join(short)}.")
    return notes


def _unsettled_notes(asks: Asks, compared: Iterable[Days]) -> list[str]:
    """Days between settled ones that are not: what is known of them is compared, and more may come."""
    notes = []
    for days in compared:
        [known] = asks.ask("bridge_days", from_date=days.from_date, to_date=days.to_date).to_dicts()
        count = known["unsettled_days_count"]
        if count:
            not_settled = figures.counted(count, "day is not settled", "days are not settled")
            notes.append(f"Of {days.in_words()} {not_settled}: what is known is compared as it stands.")
    return notes
