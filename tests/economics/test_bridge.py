"""The bridge between two months: it sums exactly, and no effect is there without its cause."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.bridge import (
    EFFECTS,
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
from pipeline.economics.exact import Exact

names = st.sampled_from("xy")
sometimes = st.sampled_from([None, None, "?"])
amounts = st.lists(
    st.builds(
        Amount,
        currency=st.sampled_from(["USD", "EUR"]),
        own_cost=st.integers(-50, 500),
        cost=st.fractions(-50, 500, max_denominator=97),
    ),
    max_size=3,
)
counted = st.builds(Bought, amounts=amounts, quantity=st.integers(1, 9))
months = (
    counted
    | st.none()
    | st.builds(
        Bought,
        amounts=amounts,
        quantity=st.none() | st.integers(0, 9),
        loose_cost=st.just(0) | st.integers(-5, 50),
    )
)
groups = st.lists(
    st.builds(
        Group,
        name=st.sampled_from("ab"),
        lines=st.lists(
            st.builds(Line, name=names, before=months, after=months, unknown=sometimes)
            | st.builds(Line, name=names, before=counted, after=counted),
            max_size=4,
        ),
    ),
    max_size=3,
)
runs = st.none() | st.builds(
    Run,
    amounts=amounts,
    watched_hours=st.integers(0, 30),
    unobserved_hours=st.integers(0, 3),
    serving_hours=st.integers(0, 20),
    tokens=st.none() | st.integers(0, 1000),
)
deployments = st.lists(
    st.builds(Deployment, name=st.sampled_from("ab"), before=runs, after=runs, unknown=sometimes),
    max_size=3,
)
others = st.lists(
    st.builds(
        OtherLine,
        name=st.sampled_from("ab"),
        before_cost=st.decimals(-9, 99, places=3),
        after_cost=st.decimals(-9, 99, places=3),
        unknown=st.sampled_from([None, "?"]),
    ),
    max_size=3,
)


@settings(max_examples=60)
@given(groups=groups, deployments=deployments, others=others)
def test_any_two_months_are_bridged_without_a_rest(
    groups: list[Group], deployments: list[Deployment], others: list[OtherLine]
) -> None:
    found = bridge(groups=groups, deployments=deployments, others=others)
    before, after = Fraction(0), Fraction(0)
    for line in (line for group in groups for line in group.lines):
        for side, is_later in ((line.before, False), (line.after, True)):
            cost = (
                Fraction(0)
                if side is None
                else sum((Fraction(one.cost) for one in side.amounts), Fraction(side.loose_cost))
            )
            before, after = (before, after + cost) if is_later else (before + cost, after)
    for one in deployments:
        before += sum((Fraction(amount.cost) for amount in one.before.amounts), Fraction(0)) if one.before else 0
        after += sum((Fraction(amount.cost) for amount in one.after.amounts), Fraction(0)) if one.after else 0
    before += sum(Fraction(one.before_cost) for one in others)
    after += sum(Fraction(one.after_cost) for one in others)
    assert (found.before_cost, found.after_cost) == (before, after)
    assert before + sum(effect.cost for effect in found.effects) == after
    assert {effect.effect for effect in found.effects} <= set(EFFECTS)
    assert all(bool(effect.reason) == (effect.effect == "unexplained") for effect in found.effects)


# One factor at a time: a group is what it uses in all, its shares, its prices and its rates.

factors = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 9), st.fractions(Fraction(1, 3), 3, max_denominator=7)),
    min_size=2,
    max_size=2,
)


def group_of(pairs: Sequence[Sequence[tuple[int, int, Fraction]]]) -> Group:
    """Lines of (quantity, price in their own currency, rate) in both months, each in a currency of its own."""
    sides = [
        [
            Bought(
                amounts=(Amount(currency=str(place), own_cost=count * price, cost=count * price * rate),),
                quantity=count,
            )
            for count, price, rate in (pair[0], pair[1])
        ]
        for place, pair in enumerate(pairs)
    ]
    return Group(
        name="g", lines=[Line(name=str(place), before=one, after=other) for place, (one, other) in enumerate(sides)]
    )


@given(pairs=st.lists(factors, min_size=1, max_size=4), held=st.sets(st.sampled_from(["q", "s", "p", "e"])))
def test_each_effect_of_a_group_is_what_its_factor_alone_does_after_those_before_it(
    pairs: list[list[tuple[int, int, Fraction]]], held: set[str]
) -> None:
    """By hand: cost = sum of total x share x price x rate, with one factor after the other of the later month. A price
    of zero has no rate: what is free in the earlier month is at its own.
    """
    if held & {"q", "s"}:
        # The same shares: each later quantity is a multiple; the same volume too: the same ones.
        factor = 1 if "q" in held else 3
        pairs = [[one, (one[0] * factor, other[1], other[2])] for one, other in pairs]
    if "p" in held:
        pairs = [[one, (other[0], one[1], other[2])] for one, other in pairs]
    pairs = [[one, (other[0], other[1], one[2] if "e" in held or not one[1] else other[2])] for one, other in pairs]

    def cost(*, volume: int, mix: int, price: int, rate: int) -> Fraction:
        total = sum(pair[volume][0] for pair in pairs)
        shares = [Fraction(pair[mix][0], sum(one[mix][0] for one in pairs)) for pair in pairs]
        return sum(
            (total * share * pair[price][1] * pair[rate][2] for pair, share in zip(pairs, shares, strict=True)),
            Fraction(0),
        )

    steps = [
        cost(volume=0, mix=0, price=0, rate=0),
        cost(volume=1, mix=0, price=0, rate=0),
        cost(volume=1, mix=1, price=0, rate=0),
        cost(volume=1, mix=1, price=1, rate=0),
        cost(volume=1, mix=1, price=1, rate=1),
    ]
    found = bridge(groups=[group_of(pairs)])
    said = [found.of(effect) for effect in ("volume", "mix", "price", "fx")]
    assert said == [later - earlier for earlier, later in pairwise(steps)]
    for name, at in (("s", 1), ("p", 2), ("e", 3)):
        if name in held or (name == "s" and "q" in held):
            assert said[at] == 0
    if "q" in held:
        assert said[0] == 0


gpu_months = st.tuples(
    st.integers(1, 999), st.integers(1, 20), st.integers(0, 40), st.integers(0, 5), st.integers(0, 9)
)


@given(old=gpu_months, new=gpu_months, held=st.sets(st.sampled_from(range(5))))
def test_each_effect_of_gpus_is_what_its_factor_alone_does_after_those_before_it(
    old: tuple[int, ...], new: tuple[int, ...], held: set[int]
) -> None:
    """By hand: cost = (tokens x GPU time a token x paid a serving hour + unobserved) x rate."""

    def factors(month: tuple[int, ...]) -> list[Fraction]:
        tokens, serving, idle, unobserved, rate = month
        return [
            Fraction(tokens),
            Fraction(serving, tokens),
            Fraction(serving + idle, serving),
            Fraction(unobserved),
            Fraction(rate),
        ]

    def run(values: list[Fraction]) -> Run:
        tokens, work, paid, unobserved, rate = values
        watched = tokens * work * paid
        cost = (watched + unobserved) * rate
        return Run(
            amounts=[Amount(currency="USD", own_cost=cost, cost=cost)],
            watched_hours=watched,
            unobserved_hours=unobserved,
            serving_hours=tokens * work,
            tokens=tokens,
        )

    earlier, later = factors(old), factors(new)
    later = [earlier[place] if place in held else later[place] for place in range(5)]
    steps = []
    for place in range(6):
        tokens, work, paid, unobserved, rate = later[:place] + earlier[place:]
        steps.append((tokens * work * paid + unobserved) * rate)
    found = bridge(deployments=[Deployment(name="d", before=run(earlier), after=run(later))])
    said = [found.of(effect) for effect in ("volume", "gpu_time", "utilization", "unobserved", "price")]
    assert said == [after - before for before, after in pairwise(steps)]
    assert all(said[place] == 0 for place in held)


@given(old=gpu_months, new=gpu_months, which=st.booleans())
def test_without_a_token_count_in_both_months_only_hours_and_price_are_told_apart(
    old: tuple[int, ...], new: tuple[int, ...], which: bool
) -> None:
    def run(month: tuple[int, ...], is_counted: bool) -> Run:
        tokens, serving, idle, unobserved, rate = month
        cost = (serving + idle + unobserved) * rate
        return Run(
            amounts=[Amount(currency="USD", own_cost=cost, cost=cost)],
            watched_hours=serving + idle,
            unobserved_hours=unobserved,
            serving_hours=serving,
            tokens=tokens if is_counted else None,
        )

    found = bridge(deployments=[Deployment(name="d", before=run(old, which), after=run(new, not which))])
    assert found.of("hours") == (sum(new[1:4]) - sum(old[1:4])) * old[4]
    assert found.of("price") == sum(new[1:4]) * (new[4] - old[4])
    assert {effect.effect for effect in found.effects} <= {"hours", "price"}


def bought(cost: Exact, quantity: Exact | None, **more: Any) -> Bought:
    return Bought(amounts=[Amount(currency="USD", own_cost=cost, cost=cost)], quantity=quantity, **more)


def only(found: Bridge) -> dict[str, Fraction]:
    return {effect: found.of(effect) for effect in EFFECTS if found.of(effect)}


def test_a_workload_that_moves_to_a_dearer_model_is_mix_and_no_price() -> None:
    """100 tokens at 1 and 100 at 3, then 50 and 150: the same 200 tokens, 100 more for what they are."""
    lines = [
        Line(name="small", before=bought(100, 100), after=bought(50, 50)),
        Line(name="large", before=bought(300, 100), after=bought(450, 150)),
    ]
    assert only(bridge(groups=[Group(name="chat", lines=lines)])) == {"mix": 100}


def test_more_tokens_on_as_many_gpus_cost_nothing_more_and_say_why() -> None:
    """A third more tokens: they would have taken a third more GPUs, and were served by those that had waited."""
    before = Run(
        amounts=[Amount(currency="USD", own_cost=720, cost=720)],
        watched_hours=720, unobserved_hours=0, serving_hours=360, tokens=900,
    )  # fmt: skip
    after = replace(before, serving_hours=480, tokens=1200)
    assert only(bridge(deployments=[Deployment(name="chat", before=before, after=after)])) == {
        "volume": 240,
        "utilization": -240,
    }


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (None, bought(7, 3), "new"),
        (bought(7, 3), None, "ended"),
        (bought(7, None), bought(9, 3), "unexplained"),
        (bought(7, 3), bought(9, 0), "unexplained"),
        (bought(7, 0), bought(9, 3), "unexplained"),
        (Bought(loose_cost=7), bought(9, 3), "unexplained"),
        (Bought(loose_cost=7), Bought(loose_cost=9), "unexplained"),
    ],
)
def test_what_has_no_quantity_in_one_of_the_months_is_named_and_not_split(
    before: Bought | None, after: Bought | None, effect: str
) -> None:
    found = bridge(groups=[Group(name="g", lines=[Line(name="x", before=before, after=after)])])
    assert set(only(found)) == {effect}


def test_what_cannot_be_compared_says_why() -> None:
    line = Line(name="x", before=bought(7, 3), after=bought(9, 3), unknown="no exchange rate")
    [effect] = bridge(groups=[Group(name="g", lines=[line])]).effects
    assert (effect.effect, effect.cost, effect.reason) == ("unexplained", 2, "no exchange rate")


def test_a_float_is_refused() -> None:
    with pytest.raises(ValueError, match="pass a Decimal"):
        bridge(others=[OtherLine(name="tax", before_cost=0.1, after_cost=Decimal(1))])  # type: ignore[arg-type]


@given(
    parts=st.lists(st.fractions(-1000, 1000, max_denominator=50), min_size=1, max_size=8),
    shift=st.sampled_from([-1, 0, 1]),
)
def test_written_parts_sum_to_the_written_change(parts: list[Fraction], shift: int) -> None:
    """Both ends are rounded on their own, so the change may be one unit more or less than its own rounding."""
    total = round(sum(parts)) + shift
    written = rounded_to_sum(parts, total)
    assert sum(written) == total
    assert all(abs(whole - part) <= 2 for whole, part in zip(written, parts, strict=True))
    if any(parts):
        assert all(whole == 0 for whole, part in zip(written, parts, strict=True) if part == 0)
