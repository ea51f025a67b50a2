"""What each workload's API tokens cost on a day, three ways that are never mixed: at list, as billed, and avoidable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from pipeline.decisions.api_side import api_price, declared_prices, key_of, period_of, realized_prices, scope_of
from pipeline.decisions.verdicts import verdict_of
from pipeline.decisions.what_if import Case, Outcome
from pipeline.decisions.window import Evidence, Row
from pipeline.economics.exact import to_places

_MTOK = 1_000_000
_PLACES = 18
# As a model is bought that nobody bills yet.
_BOUGHT = ("standard", "0-200k")


@dataclass(frozen=True, kw_only=True)
class ClassPrice:
    """One token class of a workload over the window, per million tokens, in the reporting currency. None: unknown.

    list: of the tokens that were billed, at the list price of their day, else of the model it would buy, that day's;
    unlisted_tokens were billed and have none. realized: billed / tokens. decides: what a verdict counts, at the prices
    of its day. avoidable: by what the bill falls for each of them if all of the workload leaves.
    """

    workload: str
    token_class: str
    tokens: int
    list_rc_per_mtok: Decimal | None
    unlisted_tokens: int
    realized_rc_per_mtok: Decimal | None
    decides_rc_per_mtok: Decimal | None
    avoidable_rc_per_mtok: Decimal | None
    basis: str | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Commitment:
    """A commitment or a minimum in force: its period, and whose bills it is of. Amounts in its own currency."""

    provider: str
    account: str | None
    from_date: date
    to_date: date
    committed_cost: Decimal | None
    minimum_monthly_cost: Decimal | None
    currency: str
    accounts: tuple[str, ...]


def class_prices(case: Case) -> list[ClassPrice]:
    """Of every workload with API tokens or an API to buy from."""
    evidence = case.evidence()
    return [found for workload in case.workloads() for found in _of_workload(workload, evidence)]


def _of_workload(workload: Row, evidence: Evidence) -> list[ClassPrice]:
    name = str(workload["workload"])
    demand: dict[str, int] = {}
    for row in evidence.daily.get(name, ()):
        if row["tokens"]:
            demand[row["token_class"]] = demand.get(row["token_class"], 0) + int(row["tokens"])
    price, problem = api_price(workload, demand, evidence)
    realized = realized_prices(evidence.api_costs.get(name, ()), evidence)
    listed, unlisted = _at_list(evidence.api_costs.get(name, ()), evidence)
    if not realized:
        listed = _declared(workload, evidence)
    share = None
    if price is not None and price.of(demand) > 0:
        share = price.avoidable(demand) / price.of(demand)
    return [
        ClassPrice(
            workload=name,
            token_class=token_class,
            tokens=tokens,
            list_rc_per_mtok=_per_mtok(*listed.get(token_class, (Fraction(0), 0))),
            unlisted_tokens=unlisted.get(token_class, 0),
            realized_rc_per_mtok=None
            if token_class not in realized
            else _per_mtok(realized[token_class].billed, realized[token_class].tokens),
            decides_rc_per_mtok=None if price is None else _per_mtok(price.by_class[token_class], 1),
            avoidable_rc_per_mtok=(
                None if price is None or share is None else _per_mtok(price.by_class[token_class] * share, 1)
            ),
            basis=None if price is None else price.basis,
            reason=None if problem is None else problem.text,
        )
        for token_class, tokens in sorted(demand.items())
    ]


def _at_list(rows: Sequence[Row], evidence: Evidence) -> tuple[dict[str, tuple[Fraction, int]], dict[str, int]]:
    """(list cost, tokens) of each class that was billed, each day at its own list price; and tokens without one."""
    listed: dict[str, tuple[Fraction, int]] = {}
    unlisted: dict[str, int] = {}
    for row in rows:
        if row["token_class"] is None or not row["tokens"]:
            continue
        key, day = key_of(row), row["usage_date"]
        price = None if key is None else evidence.api_prices.on(day, key)
        rate = None if price is None else evidence.rates.on(day, price.currency)
        if price is None or price.listed is None or rate is None:
            unlisted[row["token_class"]] = unlisted.get(row["token_class"], 0) + row["tokens"]
            continue
        cost, tokens = listed.get(row["token_class"], (Fraction(0), 0))
        cost += Fraction(price.listed) * rate * row["tokens"] / _MTOK
        listed[row["token_class"]] = (cost, tokens + row["tokens"])
    return listed, unlisted


def _declared(workload: Row, evidence: Evidence) -> dict[str, tuple[Fraction, int]]:
    """The list price of a million, of the one provider that the model it would buy is of."""
    declared = declared_prices(workload, evidence)
    if len({price.key.provider for price in declared}) != 1:
        return {}
    return {
        price.key.token_class: (Fraction(price.listed) * rate, _MTOK)
        for price in declared
        if price.listed is not None and (rate := evidence.rates.on(evidence.window.day, price.currency)) is not None
    }


def _per_mtok(cost: Fraction, tokens: int) -> Decimal | None:
    return None if not tokens else to_places(cost * _MTOK / tokens, _PLACES)


def price_change_days(case: Case, *, after: date, until: date) -> list[date]:
    """Days in (after, until] on which a price begins or ends of something that a workload buys or would buy."""
    evidence = case.evidence()
    used = {
        evidence.api_prices.held(key)
        for rows in evidence.api_costs.values()
        for row in rows
        if (key := key_of(row)) is not None
    }
    models = {row[name] for row in case.workloads() for name in ("api_model", "comparator_model")} - {None}
    changed = {
        bound
        for price in evidence.api_prices
        if price.key in used or (price.key.model in models and (price.key.mode, price.key.context_window) == _BOUGHT)
        for bound in (price.from_date, price.to_date)
        if bound is not None and after < bound <= until
    }
    contracts = {
        bound
        for contract in case.inputs["config_contracts"]
        for bound in (contract["valid_from_date"], contract["valid_to_date"])
        if bound is not None and after < bound <= until
    }
    return sorted(changed | contracts)


def impact_of(case: Case, day: date) -> list[Outcome]:
    """Each verdict of the case at the prices and contracts of the day before, and at those of the day: nothing else
    differs, so what turns is turned by them.
    """
    sides = [case.evidence(price_day=found) for found in (day - timedelta(days=1), day)]
    return [
        Outcome(
            before=verdict_of(workload, case.deployment_of(workload), sides[0]),
            after=verdict_of(workload, case.deployment_of(workload), sides[1]),
        )
        for workload in case.workloads()
    ]


def commitments(case: Case) -> list[Commitment]:
    """Every commitment and minimum in force on the day of the case, with the period that the day is in."""
    evidence = case.evidence()
    billed: Mapping[tuple[str, str], None] = {
        (row["provider"], row["account"]): None for rows in evidence.api_costs.values() for row in rows
    }
    found = []
    for contract in evidence.contracts:
        if not contract["commitment_cost"] and not contract["minimum_monthly_cost"]:
            continue
        start, end = period_of(contract, case.day)
        accounts = tuple(
            sorted(
                account for provider, account in billed if scope_of(provider, account, evidence.contracts) is contract
            )
        )
        found.append(
            Commitment(
                provider=contract["provider"],
                account=contract["account"],
                from_date=start,
                to_date=end,
                committed_cost=contract["commitment_cost"],
                minimum_monthly_cost=contract["minimum_monthly_cost"],
                currency=contract["currency"],
                accounts=accounts,
            )
        )
    return found
