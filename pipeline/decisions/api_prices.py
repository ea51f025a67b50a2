"""Node `api_prices`: what a million tokens of each API model cost this company, from when to when, and who says so.

The list price of `list_prices`, and what `contracts` of breakeven.yaml makes of it, for all accounts together and for
each account with a contract of its own. What has no price has no row: it is unpriced, not free. A model that a workload
names otherwise (`provider/model`, a dated snapshot, or an alias, on the days it is one) has its prices under that name
too.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise, product
from typing import Any

import polars as pl

from pipeline.decisions.price_book import find_model
from pipeline.economics.prices import (
    Contract,
    ContractRate,
    DatedPrice,
    PriceKey,
    PriceList,
    contract_prices,
)

INPUTS = (
    "config_contract_rates",
    "config_contracts",
    "config_workloads",
    "int_api_models_seen",
    "list_prices",
    "model_aliases",
)
SCHEMA: Mapping[str, pl.DataType] = {
    "provider": pl.String(),
    "account": pl.String(),
    "model": pl.String(),
    "context_window": pl.String(),
    "region": pl.String(),
    "token_class": pl.String(),
    "mode": pl.String(),
    "list_cost_per_mtok": pl.Decimal(38, 18),
    "cost_per_mtok": pl.Decimal(38, 18),
    "currency": pl.String(),
    "price_basis": pl.String(),
    "price_source": pl.String(),
    "valid_from_date": pl.Date(),
    "valid_to_date": pl.Date(),
}

Row = Mapping[str, Any]


def build(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row per key and stretch of days; at most one of a key is valid on a day."""
    prices = list(
        contract_prices(
            listed=[_listed(row) for row in frames["list_prices"].to_dicts()],
            contracts=contracts_of(frames["config_contracts"].to_dicts(), frames["config_contract_rates"].to_dicts()),
            windows=frames["int_api_models_seen"].select("provider", "model", "context_window").iter_rows(),
        )
    )
    workloads = frames["config_workloads"].select("api_model", "comparator_model")
    names = {name for row in workloads.iter_rows() for name in row if name is not None}
    found = _under_declared_names(prices, sorted(names), frames["model_aliases"].to_dicts())
    return pl.DataFrame([_row(price) for price in found], schema=dict(SCHEMA), orient="row")


def _under_declared_names(
    prices: Sequence[DatedPrice], names: Iterable[str], aliases: Sequence[Row]
) -> Iterator[DatedPrice]:
    """The prices, and those of models that are declared under another name under that name, in place of any of its own.

    A name means what it does on a bill (int_api_model_names_daily), except that one with an agreed rate means itself.
    """
    by_model: dict[tuple[str, str], list[DatedPrice]] = {}
    for price in prices:
        by_model.setdefault((price.key.provider, price.key.model), []).append(price)
    under = dict(by_model)
    for provider, name in product(sorted({provider for provider, _ in by_model}), names):
        own = by_model.get((provider, name), [])
        if any(price.basis == "rate" for price in own):
            continue
        renamed: list[DatedPrice] = []
        for model, start, end in _meanings(provider, name, aliases):
            meant = by_model.get((provider, model), own)
            renamed.extend(piece for price in meant for piece in _within(_as(name, price), start, end))
        under[provider, name] = renamed
    for found in under.values():
        yield from found


def _meanings(provider: str, name: str, aliases: Sequence[Row]) -> list[tuple[str, date | None, date | None]]:
    """(model, from, to): which model of a provider a declared name is, on the days [from, to)."""
    raw_name = name.removeprefix(f"{provider}/")
    named = [alias for alias in aliases if (alias["provider"], alias["raw_name"]) == (provider, raw_name)]
    bounds = {bound for alias in named for bound in (alias["valid_from_date"], alias["valid_to_date"])}
    cuts = [date.min, *sorted(bound for bound in bounds if bound is not None), date.max]
    found: list[tuple[str, date | None, date | None]] = []
    for start, end in pairwise(cuts):
        models = {alias["model"] for alias in named if _holds(alias, start)}
        model = _undated(provider, raw_name) if not models else models.pop() if len(models) == 1 else raw_name
        until = None if end == date.max else end
        if found and found[-1][0] == model:
            found[-1] = (model, found[-1][1], until)
        else:
            found.append((model, None if start == date.min else start, until))
    return found


def _holds(alias: Row, day: date) -> bool:
    start, end = alias["valid_from_date"] or date.min, alias["valid_to_date"] or date.max
    return bool(start <= day < end)


def _undated(provider: str, name: str) -> str:
    """A name less its snapshot date, as its provider writes dates; less `-latest` where the book says it is one model.

    A bill names the snapshot that was the latest.
    """
    latest = name.removesuffix("-latest")
    if latest != name:
        book_model = find_model(provider, latest)
        return latest if book_model is not None and book_model is find_model(provider, name) else name
    if provider != "openai":
        return re.sub(r"-20[0-9]{6}$", "", name)
    dated = re.search(r"-(20[0-9]{2}-[0-9]{2}-[0-9]{2})$", name)
    try:
        return name if dated is None or not date.fromisoformat(dated[1]) else name[: dated.start()]
    except ValueError:
        return name


def _as(name: str, price: DatedPrice) -> DatedPrice:
    return replace(price, key=replace(price.key, model=name))


def _within(price: DatedPrice, start: date | None, end: date | None) -> Iterator[DatedPrice]:
    """The price on those of its days that lie in [start, end)."""
    first = max(price.from_date or date.min, start or date.min)
    last = min(price.to_date or date.max, end or date.max)
    if first < last:
        yield replace(
            price,
            from_date=None if first == date.min else first,
            to_date=None if last == date.max else last,
        )


def price_list(rows: Iterable[Row]) -> PriceList:
    """Rows of the node, to be asked for a day's price."""
    return PriceList(
        DatedPrice(
            key=PriceKey(
                provider=row["provider"],
                account=row["account"],
                model=row["model"],
                context_window=row["context_window"],
                region=row["region"],
                token_class=row["token_class"],
                mode=row["mode"],
            ),
            per_mtok=row["cost_per_mtok"],
            listed=row["list_cost_per_mtok"],
            currency=row["currency"],
            basis=row["price_basis"],
            source=row["price_source"],
            from_date=row["valid_from_date"],
            to_date=row["valid_to_date"],
        )
        for row in rows
    )


def contracts_of(contracts: Sequence[Row], rates: Sequence[Row]) -> list[Contract]:
    """Rows of config_contracts, each with the rates that were agreed with it on its first day."""

    def of(contract: Row) -> tuple[ContractRate, ...]:
        return tuple(
            ContractRate(
                model=rate["model"],
                token_class=rate["token_class"],
                per_mtok=rate["cost_per_mtok"],
                mode=rate["mode"],
                context_window=rate["context_window"],
                region=rate["region"],
            )
            for rate in rates
            if (rate["provider"], rate["account"]) == (contract["provider"], contract["account"])
            and _overlap(rate, contract)
        )

    cut = [piece for contract in contracts for piece in _cut(contract, rates)]
    return [
        Contract(
            provider=contract["provider"],
            account=contract["account"],
            from_date=contract["valid_from_date"],
            to_date=contract["valid_to_date"],
            currency=contract["currency"],
            discount_ratio=contract["discount_ratio"],
            rates=of(contract),
        )
        for contract in cut
    ]


def _cut(contract: Row, rates: Sequence[Row]) -> list[Row]:
    """The contract in as many pieces as its rates change: of an edited contract they have days of their own."""
    bounds = sorted(
        {
            bound
            for rate in rates
            if (rate["provider"], rate["account"]) == (contract["provider"], contract["account"])
            for bound in (rate["valid_from_date"], rate["valid_to_date"])
            if bound is not None
            and (contract["valid_from_date"] is None or contract["valid_from_date"] < bound)
            and (contract["valid_to_date"] is None or bound < contract["valid_to_date"])
        }
    )
    starts, ends = [contract["valid_from_date"], *bounds], [*bounds, contract["valid_to_date"]]
    return [
        {**contract, "valid_from_date": start, "valid_to_date": end} for start, end in zip(starts, ends, strict=True)
    ]


def _overlap(one: Row, other: Row) -> bool:
    return (
        one["valid_from_date"] is None
        or other["valid_to_date"] is None
        or one["valid_from_date"] < other["valid_to_date"]
    ) and (
        other["valid_from_date"] is None
        or one["valid_to_date"] is None
        or other["valid_from_date"] < one["valid_to_date"]
    )


def _listed(row: Row) -> DatedPrice:
    return DatedPrice(
        key=PriceKey(
            provider=row["provider"],
            model=row["model"],
            token_class=row["token_class"],
            mode=row["mode"],
            context_window=row["context_window"],
        ),
        per_mtok=row["list_cost_per_mtok"],
        listed=row["list_cost_per_mtok"],
        currency=row["currency"],
        basis="list",
        source=f"{row['price_book']} {row['price_book_version']}",
        from_date=row["valid_from_date"],
        to_date=row["valid_to_date"],
    )


def _row(price: DatedPrice) -> dict[str, Any]:
    key = price.key
    return {
        "provider": key.provider,
        "account": key.account,
        "model": key.model,
        "context_window": key.context_window,
        "region": key.region,
        "token_class": key.token_class,
        "mode": key.mode,
        "list_cost_per_mtok": price.listed,
        "cost_per_mtok": price.per_mtok,
        "currency": price.currency,
        "price_basis": price.basis,
        "price_source": price.source,
        "valid_from_date": price.from_date,
        "valid_to_date": price.to_date,
    }
