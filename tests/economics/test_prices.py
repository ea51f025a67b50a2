"""Dated prices: on any day exactly one or unpriced; what a contract makes of a list price; what a bill falls by."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.prices import (
    Contract,
    ContractRate,
    DatedPrice,
    PriceKey,
    PriceList,
    at_new_price,
    avoidable,
    contract_prices,
    due,
    floor_of_days,
    uncovered,
)

FIRST = date(2026, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(14)]
ENDS = st.none() | st.sampled_from(DAYS)
KEYS = [
    PriceKey(provider="p", model=model, token_class="output", context_window=window)
    for model in ("m", "n")
    for window in ("0-200k", "200k-1M")
]


def price(key: PriceKey, start: date | None, end: date | None, per_mtok: int) -> DatedPrice:
    amount = Decimal(per_mtok)
    return DatedPrice(
        key=key,
        per_mtok=amount,
        listed=amount,
        currency="USD",
        basis="list",
        source="book",
        from_date=start,
        to_date=end,
    )


def holds(start: date | None, end: date | None, day: date) -> bool:
    return (start or date.min) <= day < (end or date.max)


@st.composite
def timelines(draw: st.DrawFn) -> list[tuple[date | None, date | None]]:
    """Intervals of one thing that do not overlap, some days of it left out."""
    cuts = sorted(draw(st.sets(st.sampled_from(DAYS), max_size=4)))
    bounds = [None, *cuts, None]
    intervals = [(bounds[number], bounds[number + 1]) for number in range(len(bounds) - 1)]
    return draw(st.lists(st.sampled_from(intervals), unique=True, max_size=len(intervals)))


@st.composite
def listed_prices(draw: st.DrawFn) -> list[DatedPrice]:
    return [price(key, start, end, draw(st.integers(0, 5))) for key in KEYS for start, end in draw(timelines())]


@st.composite
def contracts(draw: st.DrawFn) -> list[Contract]:
    rates = st.builds(
        ContractRate,
        model=st.sampled_from(["m", "n", "own"]),
        token_class=st.just("output"),
        per_mtok=st.integers(0, 5).map(Decimal),
        context_window=st.sampled_from([None, "0-200k", "200k-1M"]),
        region=st.sampled_from([None, "us"]),
    )
    named = st.lists(rates, max_size=3, unique_by=lambda rate: (rate.model, rate.context_window, rate.region))
    return [
        Contract(
            provider="p",
            account=account,
            from_date=start,
            to_date=end,
            currency="USD",
            discount_ratio=draw(st.sampled_from([Decimal(0), Decimal("0.1"), Decimal("0.25")])),
            rates=tuple(draw(named)),
        )
        for account in (None, "main")
        for start, end in draw(timelines())
    ]


def expected(
    day: date, key: PriceKey, account: str, listed: Sequence[DatedPrice], agreed: Sequence[Contract]
) -> Fraction | None:
    """By the words of the rule, for one day alone."""
    held = [one for one in agreed if holds(one.from_date, one.to_date, day)]
    contract = next((one for one in held if one.account == account), None)
    contract = contract or next((one for one in held if one.account is None), None)
    at_list = [one for one in listed if one.key == key and holds(one.from_date, one.to_date, day)]
    if contract is not None:
        of_it = [one for one in contract.rates if one.model == key.model and one.region == key.region]
        for window in (key.context_window, None):
            for rate in of_it:
                if rate.context_window == window:
                    return Fraction(rate.per_mtok)
    if not at_list:
        return None
    return Fraction(at_list[0].per_mtok) * (1 - Fraction(contract.discount_ratio if contract else 0))


@given(listed=listed_prices(), agreed=contracts())
def test_on_any_day_a_token_has_exactly_one_price_or_is_unpriced(
    listed: list[DatedPrice], agreed: list[Contract]
) -> None:
    """B6, B12: asked day by day, of every key, region and account, over random dated rows."""
    used = [(key.provider, key.model, key.context_window) for key in KEYS]
    rows = list(contract_prices(listed=listed, contracts=agreed, windows=used))
    prices = PriceList(rows)
    keys = [*KEYS, PriceKey(provider="p", model="own", token_class="output", context_window="0-200k")]
    for day in DAYS:
        for key in [*keys, *(PriceKey(**{**vars(one), "region": "us"}) for one in keys)]:
            for account in ("main", "labs"):
                asked = PriceKey(**{**vars(key), "account": account})
                matching = [
                    row for row in rows if row.key == prices.held(asked) and holds(row.from_date, row.to_date, day)
                ]
                assert len(matching) <= 1
                found = prices.on(day, asked)
                wanted = expected(day, key, account, listed, agreed)
                assert (None if found is None else Fraction(found.per_mtok)) == wanted


@given(starts=st.lists(st.tuples(ENDS, ENDS), max_size=6))
def test_two_prices_for_one_day_are_none(starts: list[tuple[date | None, date | None]]) -> None:
    """B6, B12: rows that overlap anyhow, of whatever origin: never the first, the last or the dearer of them."""
    rows = [price(KEYS[0], start, end, number) for number, (start, end) in enumerate(starts)]
    for day in DAYS:
        matching = [row for row in rows if holds(row.from_date, row.to_date, day)]
        assert PriceList(rows).on(day, KEYS[0]) == (matching[0] if len(matching) == 1 else None)


def test_the_first_day_is_in_and_the_last_is_out() -> None:
    """B6"""
    prices = PriceList([price(KEYS[0], DAYS[2], DAYS[4], 1), price(KEYS[0], DAYS[4], None, 2)])
    found = [prices.on(day, KEYS[0]) for day in DAYS[1:6]]
    assert [one and one.per_mtok for one in found] == [None, 1, 1, 2, 2]


def test_another_region_never_has_the_price_of_everywhere() -> None:
    """B4"""
    prices = PriceList([price(KEYS[0], None, None, 1)])
    asked = [PriceKey(**{**vars(KEYS[0]), "region": region}) for region in (None, "global", "not_available", "us")]
    assert [prices.on(FIRST, key) is not None for key in asked] == [True, True, True, False]


def test_changes_are_the_keys_of_which_a_price_begins_or_ends() -> None:
    prices = PriceList(
        [price(KEYS[0], None, DAYS[3], 1), price(KEYS[0], DAYS[3], None, 2), price(KEYS[1], None, None, 1)]
    )
    assert prices.changes(after=DAYS[2], until=DAYS[3]) == {KEYS[0]}
    assert prices.changes(after=DAYS[3], until=DAYS[9]) == set()


AMOUNTS = st.fractions(0, 1000)


@given(floor=AMOUNTS, others=AMOUNTS, moved=AMOUNTS)
def test_what_is_avoidable_is_what_the_bill_falls_by(floor: Fraction, others: Fraction, moved: Fraction) -> None:
    """Below a commitment nothing, above it all, across it what lies above: and never more than the tokens' own net."""
    falls_by = max(floor, others + moved) - max(floor, others)
    assert avoidable(floor=floor, others=others, moved=moved) == falls_by
    assert 0 <= falls_by <= moved
    if others + moved <= floor:
        assert falls_by == 0
    # The same seen from one workload: it pays at least what the others leave of the floor, and keeps paying that.
    mine = uncovered(floor=floor, others=others)
    assert due(floor=mine, net=moved) - mine == falls_by


@given(billed=st.fractions(-10, 10), before=st.fractions(Fraction(1, 100), 10), now=st.fractions(0, 10))
def test_what_the_bill_took_off_stays_in_proportion_at_a_new_price(
    billed: Fraction, before: Fraction, now: Fraction
) -> None:
    assert at_new_price(billed=billed, before=before, now=now) * before == billed * now
    with pytest.raises(ValueError, match="price before is 0"):
        at_new_price(billed=billed, before=0, now=now)


def test_a_commitment_is_spread_over_the_days_of_its_own_period() -> None:
    days = {date(2026, 1, 31): 31, date(2026, 2, 1): 28, date(2026, 2, 2): 28}
    assert floor_of_days(days=days, amount=868) == 28 + 31 + 31
