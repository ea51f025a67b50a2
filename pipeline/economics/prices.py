"""Dated prices of an API: list, a contract's, and which one of them holds on a day. Source: economics.md 1.

A price holds for [from_date, to_date). On a day a token has exactly one price or it is unpriced: never 0, never that of
a neighbour, and two prices for one day are none, since nobody could say which of them the bill will show.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from pipeline.economics.exact import Exact, not_negative, positive, to_places

PriceBasis = Literal["list", "discount", "rate"]
# What a price table holds of a discounted price.
_PLACES = 18
_ANYWHERE = frozenset({None, "global", "not_available"})


@dataclass(frozen=True, kw_only=True)
class PriceKey:
    """What has a price of its own: a token class of a model, as it is bought.

    account: None is every account without a contract of its own. region: None is wherever nothing is said to cost
    otherwise. context_window: the range of request lengths, as stated.
    """

    provider: str
    model: str
    token_class: str
    mode: str = "standard"
    context_window: str | None = None
    region: str | None = None
    account: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatedPrice:
    """What a million tokens of a key cost on the days [from_date, to_date); an open end is None.

    `listed` is the list price beside it, None where there is none; `currency` is that of both. `source` says who says
    so: the price book and its release, or the contract.
    """

    key: PriceKey
    per_mtok: Decimal
    currency: str
    basis: PriceBasis
    source: str
    listed: Decimal | None = None
    from_date: date | None = None
    to_date: date | None = None

    def __contains__(self, day: date) -> bool:
        return (self.from_date is None or self.from_date <= day) and (self.to_date is None or day < self.to_date)


@dataclass(frozen=True, kw_only=True)
class ContractRate:
    """An agreed price. None of `context_window` is every one of them; `region` None is outside any that is named."""

    model: str
    token_class: str
    per_mtok: Decimal
    mode: str = "standard"
    context_window: str | None = None
    region: str | None = None


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What was agreed with a provider for [from_date, to_date), of one account or (None) of all without one.

    discount_ratio: off the list price of whatever `rates` does not name.
    """

    provider: str
    account: str | None
    from_date: date | None
    to_date: date | None
    currency: str
    discount_ratio: Decimal = Decimal(0)
    rates: tuple[ContractRate, ...] = ()

    def __contains__(self, day: date) -> bool:
        return (self.from_date is None or self.from_date <= day) and (self.to_date is None or day < self.to_date)

    def rate_of(self, key: PriceKey) -> ContractRate | None:
        """The agreed price of a key; one that names the key's request lengths goes before one for all of them."""
        found = [
            rate
            for rate in self.rates
            if (rate.model, rate.token_class, rate.mode, rate.region)
            == (key.model, key.token_class, key.mode, key.region)
            and rate.context_window in (None, key.context_window)
        ]
        return min(found, key=lambda rate: rate.context_window is None, default=None)


class PriceList:
    """Dated prices by what they are of. `on` answers for a day."""

    def __init__(self, prices: Iterable[DatedPrice]) -> None:
        self._by_key: dict[PriceKey, list[DatedPrice]] = {}
        self._accounts: set[tuple[str, str]] = set()
        for price in prices:
            self._by_key.setdefault(price.key, []).append(price)
            if price.key.account is not None:
                self._accounts.add((price.key.provider, price.key.account))

    def __iter__(self) -> Iterator[DatedPrice]:
        for prices in self._by_key.values():
            yield from prices

    def on(self, day: date, key: PriceKey) -> DatedPrice | None:
        """The one price of a key that day; None where there is none or more than one, which is unpriced.

        An account with a contract of its own has prices of its own, and no others.
        """
        found = [price for price in self._by_key.get(self.held(key), ()) if day in price]
        return found[0] if len(found) == 1 else None

    def held(self, key: PriceKey) -> PriceKey:
        """The key under which a use of it is priced: its account only where that has a contract of its own."""
        account = key.account if (key.provider, key.account) in self._accounts else None
        region = None if key.region in _ANYWHERE else key.region
        return replace(key, account=account, region=region)

    def of_model(self, day: date, *, model: str, account: str | None) -> list[DatedPrice]:
        """What a model's tokens would cost that day, bought one by one for requests of ordinary length, anywhere.

        Of several sellers that is the one with which a contract agrees the model's price that day, if it is only one.
        """
        named = [key for key in self._by_key if key.model == model]
        agreed = {
            key.provider for key in named if any(price.basis == "rate" and day in price for price in self._by_key[key])
        }
        keys = {
            self.held(replace(key, account=account))
            for key in named
            if (key.mode, key.context_window, key.region) == ("standard", "0-200k", None)
            and (len(agreed) != 1 or key.provider in agreed)
        }
        found = (self.on(day, key) for key in sorted(keys, key=str))
        return [price for price in found if price is not None]

    def changes(self, *, after: date, until: date) -> set[PriceKey]:
        """Keys of which a price begins or ends on a day in (after, until]."""
        return {
            key
            for key, prices in self._by_key.items()
            if any(
                bound is not None and after < bound <= until
                for price in prices
                for bound in (price.from_date, price.to_date)
            )
        }


def contract_prices(
    *,
    listed: Sequence[DatedPrice],
    contracts: Sequence[Contract],
    windows: Iterable[tuple[str, str, str | None]] = (),
) -> Iterator[DatedPrice]:
    """Every key's price over time, for all accounts together and for each account with a contract of its own.

    `listed`: at most one a key and day, without account; `windows`: (provider, model, context_window) of what is used,
    priced at list or not. A day's price is the contract's agreed rate, else the list price less its discount, else the
    list price; a key with neither rate nor list price that day has none. An account's own contract goes before one for
    all, and contracts of one account do not overlap. Intervals of a key do not overlap, and equal neighbours are one.
    """
    by_key: dict[PriceKey, list[DatedPrice]] = {}
    for price in listed:
        by_key.setdefault(price.key, []).append(price)
    used: dict[tuple[str, str], set[str | None]] = {}
    for provider, model, window in (*windows, *((k.provider, k.model, k.context_window) for k in by_key)):
        used.setdefault((provider, model), {"0-200k"}).add(window)
    agreed = {
        PriceKey(
            provider=contract.provider,
            model=rate.model,
            token_class=rate.token_class,
            mode=rate.mode,
            region=rate.region,
            context_window=window,
        )
        for contract in contracts
        for rate in contract.rates
        for window in (
            used.get((contract.provider, rate.model), {"0-200k"})
            if rate.context_window is None
            else {rate.context_window}
        )
    }
    for key in sorted({*by_key, *agreed}, key=str):
        theirs = [contract for contract in contracts if contract.provider == key.provider]
        for account in sorted({contract.account for contract in theirs} | {None}, key=str):
            applying = [one for one in theirs if one.account in (None, account)]
            yield from _joined(_priced(replace(key, account=account), by_key.get(key, ()), applying))


def _priced(key: PriceKey, listed: Sequence[DatedPrice], contracts: Sequence[Contract]) -> Iterator[DatedPrice]:
    """One price for each stretch of days on which nothing changes."""
    bounds = {bound for price in listed for bound in (price.from_date, price.to_date)}
    bounds |= {bound for contract in contracts for bound in (contract.from_date, contract.to_date)}
    cuts = [date.min, *sorted(bound for bound in bounds if bound is not None and bound != date.min), date.max]
    for start, end in pairwise(cuts):
        price = _price_on(start, key, listed, contracts)
        if price is not None:
            yield replace(
                price,
                key=key,
                from_date=None if start == date.min else start,
                to_date=None if end == date.max else end,
            )


def _price_on(
    day: date, key: PriceKey, listed: Sequence[DatedPrice], contracts: Sequence[Contract]
) -> DatedPrice | None:
    at_list = next((price for price in listed if day in price), None)
    holding = [contract for contract in contracts if day in contract]
    contract = min(holding, key=lambda one: one.account is None, default=None)
    rate = None if contract is None else contract.rate_of(key)
    if contract is not None and rate is not None:
        beside = at_list.listed if at_list is not None and at_list.currency == contract.currency else None
        return DatedPrice(
            key=key,
            per_mtok=rate.per_mtok,
            currency=contract.currency,
            basis="rate",
            source=_named(contract),
            listed=beside,
        )
    if at_list is None or contract is None or not contract.discount_ratio:
        return at_list
    less = to_places(Fraction(at_list.per_mtok) * (1 - Fraction(contract.discount_ratio)), _PLACES)
    return replace(at_list, per_mtok=less, basis="discount", source=f"{_named(contract)}, off {at_list.source}")


def _named(contract: Contract) -> str:
    account = "" if contract.account is None else f", account {contract.account}"
    since = "" if contract.from_date is None else f", from {contract.from_date}"
    return f"contract with {contract.provider}{account}{since}"


def _joined(prices: Iterable[DatedPrice]) -> Iterator[DatedPrice]:
    """Neighbours that differ in nothing but their days, as one."""
    before: DatedPrice | None = None
    for price in prices:
        if before is not None and before.to_date == price.from_date and before == _dated_as(price, before):
            before = replace(before, to_date=price.to_date)
            continue
        if before is not None:
            yield before
        before = price
    if before is not None:
        yield before


def _dated_as(price: DatedPrice, other: DatedPrice) -> DatedPrice:
    return replace(price, from_date=other.from_date, to_date=other.to_date)


def at_new_price(*, billed: Fraction, before: Exact, now: Exact) -> Fraction:
    """What tokens that were billed at one price cost at another: what the bill took off or added stays in proportion.

    Raises ValueError where the price before is zero or below, or that of now is below zero.
    """
    return billed * not_negative(now, "price now") / positive(before, "price before")


def due(*, floor: Exact, net: Exact) -> Fraction:
    """What is paid for a commitment period: the greater of what was committed and what was used. economics.md 1."""
    return max(not_negative(floor, "floor"), not_negative(net, "net"))


def uncovered(*, floor: Exact, others: Exact) -> Fraction:
    """What of a commitment the rest of the traffic does not use up: it is due whether this traffic stays or leaves."""
    return max(Fraction(0), not_negative(floor, "floor") - not_negative(others, "others"))


def avoidable(*, floor: Exact, others: Exact, moved: Exact) -> Fraction:
    """What a bill falls by when `moved` of its net leaves and `others` stays: 0 below a commitment. economics.md 1."""
    stays = not_negative(others, "others")
    return due(floor=floor, net=stays + not_negative(moved, "moved")) - due(floor=floor, net=stays)


def floor_of_days(*, days: Mapping[date, int], amount: Exact) -> Fraction:
    """The share of a committed amount that falls on some days: each as its part of its own period.

    `days`: day -> how many days its commitment period has. A commitment is spread evenly, as if the period went on as
    these days did: what will be used of it by its end is not known before.
    """
    return sum((not_negative(amount, "amount") / length for length in days.values()), Fraction(0))
