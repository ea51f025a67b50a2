"""What a workload's tokens cost on the API: list, realized and avoidable kept apart. Source: economics.md 1.

Only the avoidable price enters a decision, and a decision is about the days to come: so what was billed before a price
changed counts at the price that holds on the verdict's day, and what a commitment makes due anyway is no saving.
"""

from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from pipeline.decisions.window import QUANTA, Evidence, Problem, Row, Rows
from pipeline.economics.prices import DatedPrice, PriceKey, at_new_price, uncovered

_MTOK = 1_000_000
_CACHE_READ, _UNCACHED = "input_cache_read", "input_uncached"
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class ApiPrice:
    """The price of each class at this workload's own mix, per token, and who says so.

    `without_cache`: the same where no token is read from a cache, for traffic that is listed and not billed: whether an
    API would hit its cache as often as the own engine does is not known.
    `committed`: what of a commitment the rest of the traffic leaves unused over the window: due whatever moves.
    """

    by_class: Mapping[str, Fraction]
    basis: str
    without_cache: Mapping[str, Fraction] | None = None
    committed: Fraction = Fraction(0)

    def of(self, tokens: Mapping[str, int]) -> Fraction:
        return sum((self.by_class[name] * count for name, count in tokens.items()), start=Fraction(0))

    def due(self, tokens: Mapping[str, int]) -> Fraction:
        """What is paid for these tokens: what they come to, and no less than what is committed."""
        return max(self.committed, self.of(tokens))

    def avoidable(self, tokens: Mapping[str, int]) -> Fraction:
        """What the bill falls by when these tokens leave: what they come to above what is due anyway."""
        return self.due(tokens) - self.committed

    def missing_cache(self) -> "ApiPrice | None":
        """The other end of the bracket; None where both ends are one."""
        if self.without_cache is None:
            return None
        return ApiPrice(self.without_cache, self.basis, committed=self.committed)


@dataclass(frozen=True)
class Realized:
    """What a class was billed over the window, as `billed`; and at the prices of the verdict's day, as `now`."""

    billed: Fraction
    now: Fraction
    tokens: int

    @property
    def is_repriced(self) -> bool:
        return self.billed != self.now


def api_price(workload: Row, demand: Mapping[str, int], evidence: Evidence) -> tuple[ApiPrice | None, Problem | None]:
    """Realized where this workload was billed for the class, else the price of its declared API model, at the rate of
    the verdict's day. A bill that cannot be converted leaves the price open: a list price is no substitute for it.
    Traffic that no API meets or bills has the comparator's price where it names no model of its own.
    """
    rows = evidence.api_costs.get(str(workload["workload"]), ())
    unconverted = unconverted_in(rows, evidence)
    if unconverted is not None:
        return None, Problem(f"its API bill is not converted: {unconverted}")
    realized = realized_prices(rows, evidence)
    model, compared = _listed_model(workload, evidence)
    day = evidence.window.day
    declared = declared_prices(workload, evidence)
    providers = sorted({price.key.provider for price in declared})
    if len(providers) > 1 and any(name not in realized for name in demand):
        sold_by = " and ".join(providers)
        return None, Problem(f"no API price: {model} is sold by {sold_by}, and which of them is meant is not said")
    listed = {
        price.key.token_class: Fraction(price.per_mtok) * rate / _MTOK
        for price in declared
        if (rate := evidence.rates.on(day, price.currency)) is not None
    }
    billed = {name: found.now / found.tokens for name, found in realized.items()}
    prices = {name: billed.get(name, listed.get(name)) for name in demand}
    missing = sorted(name for name, price in prices.items() if price is None)
    if missing:
        for price in declared:
            if price.key.token_class in missing:
                lacking = evidence.rates.lacking(price.currency, [day])
                return None, Problem(f"list prices are not converted: {lacking}")
        return None, Problem(_no_price(missing, model, workload, evidence))
    committed = committed_of(workload, evidence)
    if isinstance(committed, Problem):
        return None, committed
    stated = {price.key.token_class: f"{compared}{price.basis}" for price in declared}
    bases = {"realized" if name in realized else stated[name] for name in demand}
    if any(found.is_repriced for name, found in realized.items() if name in demand):
        bases.add("repriced")
    known = {name: price for name, price in prices.items() if price is not None}
    without_cache = None
    if not rows and _CACHE_READ in demand and _UNCACHED in listed:
        without_cache = {**known, _CACHE_READ: listed[_UNCACHED]}
    return ApiPrice(known, "+".join(sorted(bases, reverse=True)) or "none", without_cache, committed), None


def declared_prices(workload: Row, evidence: Evidence) -> list[DatedPrice]:
    """What the model that the workload would buy costs that day, of the account that it buys from if it is one."""
    model, _ = _listed_model(workload, evidence)
    if model is None:
        return []
    rows = evidence.api_costs.get(str(workload["workload"]), ())
    accounts = {row["account"] for row in rows}
    account = accounts.pop() if len(accounts) == 1 else None
    return evidence.api_prices.of_model(evidence.price_day, model=model, account=account)


def realized_prices(rows: Rows, evidence: Evidence) -> dict[str, Realized]:
    """Billed cost and tokens, per class, over rows that carry both."""
    quanta: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    moved: dict[str, Fraction] = {}
    changed = _changed(evidence)
    for row in rows:
        if row["billed_cost_quanta"] is not None and is_of_tokens(row):
            name = row["token_class"]
            quanta[name] += row["billed_cost_quanta"]
            tokens[name] += row["tokens"]
            if changed:
                moved[name] = moved.get(name, Fraction(0)) + _moved(row, changed, evidence)
    return {
        name: Realized(
            billed=Fraction(cost, QUANTA), now=Fraction(cost, QUANTA) + moved.get(name, 0), tokens=tokens[name]
        )
        for name, cost in quanta.items()
        if tokens[name]
    }


def is_of_tokens(row: Row) -> bool:
    """Whether a row of fct_api_costs_daily is the cost of tokens that are known: what leaves when these leave."""
    return bool(row["tokens"]) and row["token_class"] is not None


def _changed(evidence: Evidence) -> set[PriceKey]:
    settled, day = evidence.window.settled, evidence.price_day
    if not settled:
        return set()
    return evidence.api_prices.changes(after=min(settled[0], day), until=max(settled[-1], day))


def key_of(row: Row) -> PriceKey | None:
    """What a row of fct_api_costs_daily has a price by; None where it is no token or bought in a way without prices."""
    if row["model"] is None or row["token_class"] is None or row["price_mode"] is None:
        return None
    return PriceKey(
        provider=row["provider"],
        account=row["account"],
        model=row["model"],
        token_class=row["token_class"],
        mode=row["price_mode"],
        context_window=row["context_window"],
        region=row["inference_geo"],
    )


def _moved(row: Row, changed: set[PriceKey], evidence: Evidence) -> Fraction:
    """By how much a row's bill would differ at the price of the verdict's day; 0 where its price is not known to."""
    key = key_of(row)
    if key is None or evidence.api_prices.held(key) not in changed:
        return Fraction(0)
    day = evidence.window.day
    before, now = evidence.api_prices.on(row["usage_date"], key), evidence.api_prices.on(evidence.price_day, key)
    if before is None or now is None or not before.per_mtok:
        return Fraction(0)
    units = evidence.rates.on(day, before.currency), evidence.rates.on(day, now.currency)
    if units[0] is None or units[1] is None:
        return Fraction(0)
    billed = Fraction(row["billed_cost_quanta"], QUANTA)
    then, today = Fraction(before.per_mtok) * units[0], Fraction(now.per_mtok) * units[1]
    return at_new_price(billed=billed, before=then, now=today) - billed


def committed_of(workload: Row, evidence: Evidence) -> Fraction | Problem:
    """What of its account's commitment the rest of what is billed leaves unused, over the window's settled days.

    The rest is other traffic, and what the workload is billed beside its tokens: an invoiced shortfall too goes against
    the commitment, so that it is counted once, of its period as much as the window is of it.
    """
    scopes = commitments_of(workload, evidence)
    if not scopes:
        return Fraction(0)
    if len(scopes) > 1:
        named = " and ".join(sorted(named_contract(contract) for contract in scopes))
        return Problem(f"its API traffic is under {len(scopes)} commitments, of {named}: split the workload by account")
    contract, days = scopes[0], len(evidence.window.settled)
    if any(scope_of(*bought, evidence.contracts) is not contract for bought in _bought(workload, evidence)):
        named = named_contract(contract)
        return Problem(
            f"a part of its API traffic is not under the commitment to {named}: split the workload by account"
        )
    unit = evidence.rates.on(evidence.window.day, contract["currency"])
    if unit is None:
        lacking = evidence.rates.lacking(contract["currency"], [evidence.window.day])
        return Problem(f"the commitment to {named_contract(contract)} is not converted: {lacking}")
    others: list[Row] = [
        row
        for name, rows in evidence.api_costs.items()
        for row in rows
        if (name != workload["workload"] or not is_of_tokens(row))
        and scope_of(row["provider"], row["account"], evidence.contracts) is contract
    ]
    unconverted = unconverted_in(others, evidence)
    if unconverted is not None:
        return Problem(f"what else is bought from {named_contract(contract)} is not converted: {unconverted}")
    share = share_of_period(contract, evidence.price_day, days)
    quanta = sum((used_quanta(row, share) for row in others), Fraction(0))
    floor = floor_per_day(contract, evidence.price_day) * days * unit
    return uncovered(floor=floor, others=max(Fraction(0), quanta / QUANTA))


def used_quanta(row: Row, share: Fraction) -> Fraction:
    """What of a commitment a billed row uses up. A line of a period, such as an invoiced shortfall, is of all its days.

    `share`: the window's, of a period.
    """
    return (row["billed_cost_quanta"] or 0) * (share if row["is_of_a_period"] else Fraction(1))


def share_of_period(contract: Row, day: date, days: int) -> Fraction:
    """How much of a commitment period so many days are, all of it at most."""
    return min(Fraction(1), Fraction(days, period_days(contract, day)))


def commitments_of(workload: Row, evidence: Evidence) -> list[Row]:
    """The contracts with a commitment that the workload's API traffic is, or would be, under."""
    if not evidence.contracts:
        return []
    found: list[Row] = []
    for provider, account in sorted(_bought(workload, evidence), key=str):
        contract = scope_of(provider, account, evidence.contracts)
        if contract is not None and contract not in found and floor_per_day(contract, evidence.price_day):
            found.append(contract)
    return found


def _bought(workload: Row, evidence: Evidence) -> set[tuple[str, str | None]]:
    """Provider and account of all that the workload was billed or metered by; else of what it would buy."""
    rows = evidence.api_costs.get(str(workload["workload"]), ())
    bought = {(row["provider"], row["account"]) for row in rows}
    return bought or {(price.key.provider, price.key.account) for price in declared_prices(workload, evidence)}


def scope_of(provider: str, account: str | None, contracts: Rows) -> Row | None:
    """The contract that an account's bill is under: its own, else the one for all; of those in force."""
    theirs = [row for row in contracts if row["provider"] == provider and row["account"] in (None, account)]
    return min(theirs, key=lambda row: row["account"] is None, default=None)


def floor_per_day(contract: Row, day: date) -> Fraction:
    """What is due for a day at least: the greater of the commitment's and of the monthly minimum's share of it."""
    committed = Fraction(contract["commitment_cost"] or 0) / period_days(contract, day)
    return max(committed, Fraction(contract["minimum_monthly_cost"] or 0) / monthrange(day.year, day.month)[1])


def period_days(contract: Row, day: date) -> int:
    """How many days the commitment period that holds a day has. Periods are counted from the contract's `from`."""
    start, end = period_of(contract, day)
    return (end - start).days


def period_of(contract: Row, day: date) -> tuple[date, date]:
    """The commitment period [from, to) that holds a day; a month that lacks the day it would begin on ends before."""
    agreed, step = contract["agreed_from_date"], _MONTHS[contract["commitment_period"]]
    number = ((day.year - agreed.year) * 12 + day.month - agreed.month) // step
    if _months_after(agreed, number * step) > day:
        number -= 1
    return _months_after(agreed, number * step), _months_after(agreed, (number + 1) * step)


def _months_after(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def named_contract(contract: Row) -> str:
    """The provider, and the account where it is one account's."""
    return str(contract["provider"]) if contract["account"] is None else f"{contract['provider']}/{contract['account']}"


def unconverted_in(rows: Iterable[Row], evidence: Evidence) -> str | None:
    """Which currency of these amounts lacks a rate, and since when; None where all are converted."""
    days: dict[str, set[date]] = {}
    for row in rows:
        if row["unconverted_currency"] is not None:
            days.setdefault(row["unconverted_currency"], set()).add(row["usage_date"])
    return "; ".join(evidence.rates.lacking(currency, days[currency]) for currency in sorted(days)) or None


def _listed_model(workload: Row, evidence: Evidence) -> tuple[str | None, str]:
    """The API model whose price counts, and what goes before its basis: the workload's own, or the comparator."""
    if workload["api_model"] is not None or _is_on_an_api(workload, evidence):
        return workload["api_model"], ""
    return workload["comparator_model"], "comparator_"


def _is_on_an_api(workload: Row, evidence: Evidence) -> bool:
    name = str(workload["workload"])
    lanes = {row["lane"] for row in evidence.daily.get(name, ()) if row["tokens"]}
    return bool(evidence.api_costs.get(name)) or "api" in lanes


def _no_price(missing: Sequence[str], model: str | None, workload: Row, evidence: Evidence) -> str:
    classes = ", ".join(missing)
    if model is None and not _is_on_an_api(workload, evidence):
        return f"no API to compare {classes} with: name a `comparator`, or the workload's `api_model`"
    return f"no API price for {classes} ({model or 'no api_model'} declared)"
