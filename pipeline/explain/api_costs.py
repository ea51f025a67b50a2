"""`explain cost`: what API tokens cost, from the lines of the bill that say so."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.economics.split import split_exactly
from pipeline.explain.evidence import Evidence, NothingToExplainError, Record
from pipeline.explain.explanation import Equality, Explanation, Rows, from_quanta, quanta, total
from pipeline.explain.landed import object_rows, stated_amount, traced_rows
from pipeline.explain.near import nearest
from pipeline.explain.outside import outside_of_bills, outside_of_controls, outside_of_meters

_MTOK = 1_000_000
# Rows that have no tokens of their own key: those of a cell, or of an account's day, are shared among charges.
_SHARED_BY = ("cell", "account_day")
_FILTERS = ("model", "account", "sub_account", "token_class", "api_key", "workload", "provider")


@dataclass(frozen=True, kw_only=True)
class CostFigure:
    """Which rows of fct_api_costs_daily a figure sums: days [from_date, to_date) and any of the dimensions.

    `group`: of exactly this model and team, None being those that have none.
    """

    from_date: date
    to_date: date
    model: str | None = None
    account: str | None = None
    sub_account: str | None = None
    token_class: str | None = None
    api_key: str | None = None
    workload: str | None = None
    provider: str | None = None
    group: tuple[str | None, str | None] | None = None

    def __str__(self) -> str:
        named = [f"{name.replace('_', ' ')} {value}" for name in _FILTERS if (value := getattr(self, name)) is not None]
        if self.group is not None:
            named += [f"{value or 'no'} {name}" for name, value in zip(("model", "team"), self.group, strict=True)]
        return ", ".join([*named, f"{self.from_date} to {self.to_date} UTC (end excluded)"])


def explain_cost(evidence: Evidence, figure: CostFigure) -> Explanation:
    """The billed cost and the price per million tokens of a figure, traced to the bill's lines and the meter's rows."""
    filters = {name: getattr(figure, name) for name in _FILTERS}
    model, team = figure.group or (None, None)
    group = {"is_of_one_group": figure.group is not None, "group_model": model, "group_team": team}
    chosen = evidence.keep(
        "chosen_costs", "api_costs", from_date=figure.from_date, to_date=figure.to_date, **filters, **group
    )
    if not chosen:
        raise _nothing(evidence, figure)
    days = {row["usage_date"] for row in chosen}
    evidence.trace_model("int_api_charges_daily", days, sources={row["source"] for row in chosen})
    evidence.trace_model("int_api_usage_daily", days)
    cells = {row["cell_number"]: row for row in evidence.keep("chosen_cells", "api_cells")}
    charges = evidence.ask("api_charge_rows")
    usage = _counted(evidence.ask("api_usage_rows"))
    of_days = _counted(evidence.ask("api_day_usage_rows"))
    siblings = evidence.ask("api_cell_costs")
    parts = evidence.ask("api_gateway_parts")
    shares = _shares(cells, charges, usage, siblings, parts)
    metered = list({_metered_key(row): row for row in (*of_days, *usage)}.values())
    kinds = {number: cell["token_class"] or cell["charge_kind"] for number, cell in cells.items()}
    return Explanation(
        title=f"API cost: {figure}",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=_formula(chosen, shares),
        figures=(_prices(chosen),),
        inputs=(
            Rows.of("fct_api_costs_daily: the rows this figure sums", [_without_number(row) for row in chosen]),
            _allocation(cells, shares),
        ),
        objects=(
            object_rows(evidence, "Objects", [*charges, *metered]),
            traced_rows(evidence, "Bill lines", charges, ("usage_date", "amount")),
            traced_rows(evidence, "Metered rows", metered, ("usage_date", "token_class", "metered_count")),
        ),
        equalities=(
            *_money_equalities(chosen, charges, siblings, shares),
            *_token_equalities(chosen, siblings, usage, of_days, evidence.ask("api_day_costs")),
            *_part_equalities(usage, parts),
            *_unit_cost_equalities(evidence, figure, chosen),
        ),
        outside_check=tuple(
            _outside(evidence, [{**row, "kind": kinds[row["cell_number"]]} for row in charges], metered, figure)
        ),
    )


def _without_number(row: Record) -> Record:
    return {name: value for name, value in row.items() if name != "row_number"}


# --- the bill's cells and their split -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Share:
    """One user's part of a cell's charge: by weight, recomputed, beside what the mart says."""

    cell_number: int
    user: "_User"
    row_number: int | None
    weight: int | None
    cell_quanta: int
    cell_weight: int | None
    quanta: int
    published: Decimal


# Whose usage it is: the provider's key; where a gateway's count has split that, the gateway's key and team.
_User = tuple[str | None, str | None, str | None]


def _user(row: Record) -> _User:
    return row["api_key_id"], row["gateway_key_id"], row["gateway_team_id"]


def _counted(rows: Iterable[Record]) -> list[Record]:
    return [{**row, "metered_count": _count(row)} for row in rows]


def _metered_key(row: Record) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("usage_date", "object_number", "object_row", "charge_kind", "token_class"))


def _count(row: Record) -> int:
    """How many of what it meters, tokens or requests of some kind, a row says; each row says one of them."""
    names = [name for name in row if name == "tokens" or name.endswith("_count")]
    return next((int(row[name]) for name in names if row[name] is not None), 0)


def _shares(
    cells: Mapping[int, Record],
    charges: Sequence[Record],
    usage: Sequence[Record],
    siblings: Sequence[Record],
    parts_of_gateways: Sequence[Record],
) -> list[_Share]:
    """Every billed mart row of the chosen cells, recomputed from landed lines and landed counts; which of these a
    gateway's count has split, from its parts.
    """
    totals: dict[int, Fraction] = defaultdict(Fraction)
    for row in charges:
        totals[row["cell_number"]] += stated_amount(row)
    weights: dict[int, dict[_User, int]] = defaultdict(lambda: defaultdict(int))
    is_split_further = {(row["cell_number"], row["api_key_id"]) for row in parts_of_gateways}
    for row in usage:
        if (row["cell_number"], row["api_key_id"]) not in is_split_further:
            weights[row["cell_number"]][row["api_key_id"], None, None] += row["metered_count"]
    for row in parts_of_gateways:
        weights[row["cell_number"]][_user(row)] += row["tokens"]
    parts = {number: _split(cells[number], amount, weights[number]) for number, amount in totals.items()}
    shares = []
    for row in siblings:
        if row["billed_cost"] is None:
            continue
        number, user = row["cell_number"], _user(row)
        is_split = row["attribution"] in ("allocated", "gateway")
        share = _Share(
            cell_number=number,
            user=user,
            row_number=row["row_number"],
            weight=weights[number].get(user) if is_split else None,
            cell_quanta=round(totals[number] * 10**18),
            cell_weight=sum(weights[number].values()) if is_split else None,
            quanta=parts.get(number, {}).get(user, 0),
            published=row["billed_cost"],
        )
        shares.append(share)
    return shares


def _split(cell: Record, amount: Fraction, weights: Mapping[_User, int]) -> dict[_User, int]:
    """Whose -> quanta. A cell that names its key, or has no usage, is not split."""
    whole = round(amount * 10**18)
    used = {user: weight for user, weight in weights.items() if weight > 0}
    if cell["is_key_named"]:
        return {(cell["direct_api_key_id"], None, None): whole}
    if not used:
        return {(None, None, None): whole}
    ordered = sorted(used, key=_order)
    parts = split_exactly(whole, [used[user] for user in ordered], [_order(user) for user in ordered])
    return dict(zip(ordered, parts, strict=True))


def _order(user: _User) -> str:
    """Keys, then gateways' keys and teams, by code point and none last, as the bill's split orders them."""
    return "\0".join("1" if name is None else f"0{name}" for name in user)


def _allocation(cells: Mapping[int, Record], shares: Sequence[_Share]) -> Rows:
    """The arithmetic of the split for the figure's own rows."""
    has_gateway = any(name is not None for share in shares for name in share.user[1:])
    rows = [
        {
            "usage_date": cells[share.cell_number]["usage_date"],
            "model": cells[share.cell_number]["model"],
            "token_class": cells[share.cell_number]["token_class"],
            "charge_of_the_cell": from_quanta(share.cell_quanta),
            "tokens_of_the_cell": share.cell_weight,
            "api_key_id": share.user[0],
            **({"gateway_key_id": share.user[1], "gateway_team_id": share.user[2]} if has_gateway else {}),
            "tokens_of_the_key": share.weight,
            "share": from_quanta(share.quanta),
        }
        for share in shares
        if share.weight is not None and share.row_number is not None
    ]
    return Rows.of("Split of each charge among the keys that used it", rows)


# --- figures and equalities -----------------------------------------------------------------------------------------


def _is_priced(row: Record) -> bool:
    return row["charge_kind"] == "tokens" and row["billed_cost"] is not None and row["tokens"] is not None


def _prices(chosen: Sequence[Record]) -> Rows:
    """Per class and in all: billed, and over what is both billed and metered the price per million tokens."""
    groups: dict[tuple[str | None, str], list[Record]] = defaultdict(list)
    for row in chosen:
        currency = row["billing_currency"]
        groups[currency, row["token_class"] or row["charge_kind"]].append(row)
        if row["billed_cost"] is not None:
            groups[currency, "all"].append(row)
    rows = []
    for (currency, name), held in sorted(groups.items(), key=lambda item: (str(item[0][0]), item[0][1] == "all", item)):
        billed = [row["billed_cost"] for row in held if row["billed_cost"] is not None]
        both = [row for row in held if _is_priced(row)]
        cost, tokens = total([row["billed_cost"] for row in both]), sum(row["tokens"] for row in both)
        rows.append(
            {
                "token_class": name,
                "currency": currency,
                "billed_cost": total(billed),
                "tokens": sum(row["tokens"] for row in held if row["tokens"] is not None),
                "billed_and_metered_cost": cost,
                "billed_and_metered_tokens": tokens if both else None,
                "per_mtok": None if cost is None or not tokens else Fraction(cost) * _MTOK / tokens,
            }
        )
    return Rows.of("The figure", rows)


def _formula(chosen: Sequence[Record], shares: Sequence[_Share]) -> tuple[str, ...]:
    lines = [
        "billed cost = the sum of the bill's lines of these days and dimensions, as the vendor states them (a line "
        "in cents / 100).",
        "price per million tokens = billed cost / tokens x 1,000,000, over rows that are both billed and metered.",
    ]
    if any(share.weight is not None for share in shares):
        lines.append(
            "Where the bill names no API key, each charge is split among the keys of its own cell by the tokens they "
            "used: charge x tokens of the key / tokens of the cell, in units of 10^-18, leftover units to the largest "
            "remainders."
        )
    if any(row["attribution"] == "gateway" for row in chosen):
        lines.append(
            "gateway: the tokens of the cell in turn split by a gateway's own count of its keys and teams, to the "
            "token; the sums are the meter's and the bill's."
        )
    if any(row["tokens_matched_by"] in _SHARED_BY for row in chosen):
        lines.append(
            "Where the bill spells keys otherwise than the meter, the metered tokens of the cell, or of the account's "
            "day in this model, class and tier, stand beside its charges, to each by its part of their money."
        )
    if any(row["attribution"] == "unattributed" for row in chosen):
        lines.append("unattributed: a charge whose cell has no metered usage; its key is unknown.")
    if any(row["attribution"] == "metered_only" for row in chosen):
        lines.append("metered_only: usage that no line of the bill charges; its cost is unknown, not 0.")
    return tuple(lines)


def _money_equalities(
    chosen: Sequence[Record], charges: Sequence[Record], siblings: Sequence[Record], shares: Sequence[_Share]
) -> Iterable[Equality]:
    yield Equality(
        f"{len(charges)} bill lines = all mart rows of their cells",
        sum(map(stated_amount, charges), Fraction(0)),
        sum((Fraction(row["billed_cost"]) for row in siblings if row["billed_cost"] is not None), Fraction(0)),
    )
    yield Equality(
        "the figure's share of those lines, recomputed = the figure's billed cost",
        from_quanta(sum(share.quanta for share in shares if share.row_number is not None)),
        from_quanta(sum(quanta(row["billed_cost"]) for row in chosen if row["billed_cost"] is not None)),
    )
    yield Equality(
        "mart rows whose own share differs from the one recomputed = none",
        sum(share.quanta != quanta(share.published) for share in shares),
        0,
    )


def _token_equalities(
    chosen: Sequence[Record],
    siblings: Sequence[Record],
    usage: Sequence[Record],
    of_days: Sequence[Record],
    costs_of_days: Sequence[Record],
) -> Iterable[Equality]:
    """Tokens of rows that have their own; where charges share them, all of the days that share."""
    own = {
        row["row_number"]: row
        for row in chosen
        if row["tokens_matched_by"] not in _SHARED_BY and row["attribution"] != "gateway"
    }
    keys = {(row["cell_number"], row["api_key_id"]) for row in siblings if row["row_number"] in own}
    metered = [row for row in usage if (row["cell_number"], row["api_key_id"]) in keys]
    yield Equality(
        f"{len(metered)} metered counts = the figure's tokens and requests",
        sum(row["metered_count"] for row in metered),
        sum(map(_count, own.values())),
    )
    if any(row["tokens_matched_by"] in _SHARED_BY for row in chosen):
        yield Equality(
            f"{len(of_days)} metered counts of days whose charges share them = all tokens and requests of these days",
            sum(row["metered_count"] for row in of_days),
            sum(map(_count, costs_of_days)),
        )


def _part_equalities(usage: Sequence[Record], parts: Sequence[Record]) -> Iterable[Equality]:
    """Of each key that a gateway's count has split, all parts, also those that the figure leaves out."""
    split = {(row["cell_number"], row["api_key_id"]) for row in parts}
    metered = [row for row in usage if (row["cell_number"], row["api_key_id"]) in split]
    if split:
        yield Equality(
            f"{len(metered)} metered counts = all parts of them by the gateway's count",
            sum(row["metered_count"] for row in metered),
            sum(row["tokens"] for row in parts),
        )


def _unit_cost_equalities(evidence: Evidence, figure: CostFigure, chosen: Sequence[Record]) -> Iterable[Equality]:
    """Unit costs are told of models and classes over all accounts: a narrower figure has no counterpart there."""
    narrower = (figure.account, figure.sub_account, figure.api_key, figure.workload, figure.provider, figure.group)
    if any(name is not None for name in narrower):
        return
    said = evidence.ask(
        "api_unit_costs",
        from_date=figure.from_date,
        to_date=figure.to_date,
        model=figure.model,
        token_class=figure.token_class,
    )[0]
    both = [row for row in chosen if _is_priced(row) and row["billed_cost_rc"] is not None]
    yield Equality(
        "these rows, billed and metered = fct_unit_costs_daily of the same days and classes",
        from_quanta(sum(quanta(row["billed_cost_rc"]) for row in both)),
        said["full_cost_rc"] or Decimal(0),
    )


def _outside(
    evidence: Evidence, charges: Sequence[Record], metered: Sequence[Record], figure: CostFigure
) -> Iterable[str]:
    """What the vendor's own pages and reports show for the same days and filters."""
    yield from outside_of_bills(evidence, charges)
    if figure.api_key is not None or figure.workload is not None:
        yield "These are totals of the whole cells: the vendor's cost pages know no split by key."
    yield from outside_of_meters(evidence, metered)
    yield from outside_of_controls(evidence, model=figure.model)


def _nothing(evidence: Evidence, figure: CostFigure) -> NothingToExplainError:
    """What there is instead: the names that are known, the days that have rows."""
    return nearest(
        evidence,
        mart="fct_api_costs_daily",
        what=f"No API cost for {figure}.",
        wanted={
            "model": figure.model,
            "account": figure.account,
            "coalesce(sub_account_id, 'Default')": figure.sub_account,
            "coalesce(token_class, charge_kind)": figure.token_class,
            "coalesce(api_key_id, 'none')": figure.api_key,
            "workload": figure.workload,
        },
    )
