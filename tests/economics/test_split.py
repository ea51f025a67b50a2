"""Splits conserve the amount to the last quantum."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.split import split_exactly

amounts = st.integers(-(2**127) + 1, 2**127 - 1) | st.integers(-1000, 1000)
weight_lists = st.lists(st.integers(0, 50) | st.integers(0, 2**58), min_size=1, max_size=20).filter(
    lambda weights: sum(weights) > 0
)


def keys_for(weights: list[int]) -> list[str]:
    return [f"key{index:02d}" for index in range(len(weights))]


@settings(max_examples=500, deadline=None)
@given(amount=amounts, weights=weight_lists)
def test_the_parts_sum_to_the_amount_exactly(amount: int, weights: list[int]) -> None:
    """Case 30."""
    assert sum(split_exactly(amount, weights, keys_for(weights))) == amount


@settings(max_examples=500, deadline=None)
@given(amount=amounts, weights=weight_lists)
def test_no_part_is_a_whole_quantum_from_its_share_and_none_goes_to_a_weight_of_zero(
    amount: int, weights: list[int]
) -> None:
    for part, weight in zip(split_exactly(amount, weights, keys_for(weights)), weights, strict=True):
        assert abs(part - Fraction(amount * weight, sum(weights))) < 1
        assert part == 0 or weight > 0


@settings(max_examples=300, deadline=None)
@given(amount=amounts, weights=weight_lists, data=st.data())
def test_the_order_of_the_parts_does_not_matter(amount: int, weights: list[int], data: st.DataObject) -> None:
    """Case 30."""
    keys = keys_for(weights)
    straight = dict(zip(keys, split_exactly(amount, weights, keys), strict=True))
    order = data.draw(st.permutations(range(len(weights))))
    mixed_keys = [keys[index] for index in order]
    mixed = split_exactly(amount, [weights[index] for index in order], mixed_keys)
    assert dict(zip(mixed_keys, mixed, strict=True)) == straight


@settings(max_examples=300, deadline=None)
@given(amount=amounts, weights=weight_lists)
def test_a_credit_splits_as_the_mirror_of_the_charge(amount: int, weights: list[int]) -> None:
    keys = keys_for(weights)
    assert split_exactly(-amount, weights, keys) == [-part for part in split_exactly(amount, weights, keys)]


@settings(max_examples=300, deadline=None)
@given(amount=st.integers(0, 2000), weights=st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(any))
def test_leftover_quanta_go_to_the_largest_remainders(amount: int, weights: list[int]) -> None:
    """Largest remainder by its textbook definition, in fractions."""
    shares = [Fraction(amount * weight, sum(weights)) for weight in weights]
    floors = [int(share) for share in shares]
    order = sorted(range(len(weights)), key=lambda index: (floors[index] - shares[index], index))
    winners = set(order[: amount - sum(floors)])
    expected = [floor + (index in winners) for index, floor in enumerate(floors)]
    assert split_exactly(amount, weights, keys_for(weights)) == expected


def test_a_hundred_by_three_is_33_34_and_twice_33_33() -> None:
    """Case 1."""
    assert split_exactly(10000, [1, 1, 1], ["a", "b", "c"]) == [3334, 3333, 3333]
    assert split_exactly(10000, [1, 1, 1], ["c", "b", "a"]) == [3333, 3333, 3334]
    assert split_exactly(-10000, [1, 1, 1], ["a", "b", "c"]) == [-3334, -3333, -3333]
    assert split_exactly(2, [1, 1, 1], ["a", "b", "c"]) == [1, 1, 0]
    assert split_exactly(1000, [1, 1, 1], ["a", "b", "c"]) == [334, 333, 333]


def test_a_tax_in_cents_is_shared_by_what_each_resource_cost() -> None:
    """Case 12: 0.38 over five instances of 3.657369336 together. (In the tables tax is a charge of its own.)"""
    costs = [2_910_000_000, 90_000_000, 190_000_000, 387_369_336, 80_000_000]
    assert sum(costs) == 3_657_369_336
    assert split_exactly(38, costs, list("abcde")) == [30, 1, 2, 4, 1]


def test_aws_weighs_a_servers_gpus_nine_times_the_rest() -> None:
    """Case 25: p3.16xlarge at $10, 8 GPUs : 64 cores : 488 GB as 72 : 57.6 : 48.8, in units of 10^-10."""
    parts = split_exactly(10 * 10**10, [720, 576, 488], ["gpu", "cpu", "memory"])
    assert parts == [4_0358744394, 3_2286995516, 2_7354260090]
    rounded = [round(Fraction(10 * 10**10 * weight, 1784)) for weight in (720, 576, 488)]
    assert sum(rounded) != sum(parts) == 10 * 10**10


def test_a_credit_over_three_teams_is_given_out_whole() -> None:
    """Case 29: -500.00 by 1:1:1."""
    assert split_exactly(-500_00, [1, 1, 1], ["a", "b", "c"]) == [-166_67, -166_67, -166_66]


@settings(max_examples=300, deadline=None)
@given(amount=amounts, weights=weight_lists)
def test_more_weight_is_never_less_of_the_amount(amount: int, weights: list[int]) -> None:
    """Case 30: monotone in weight, of a credit too."""
    parts = split_exactly(amount, weights, keys_for(weights))
    for weight, part in zip(weights, parts, strict=True):
        assert all(abs(part) >= abs(other) for less, other in zip(weights, parts, strict=True) if less < weight)


def test_a_larger_remainder_comes_before_a_smaller_key() -> None:
    # 10 / 7 each unit: 1.43, 2.86, 5.71.
    assert split_exactly(10, [1, 2, 4], ["a", "b", "c"]) == [1, 3, 6]


def test_one_cent_goes_to_one_owner() -> None:
    assert split_exactly(1, [5, 5], ["b", "a"]) == [0, 1]


@pytest.mark.parametrize(
    ("amount", "weights", "keys", "message"),
    [
        (5, [0, 0], ["a", "b"], "unallocated"),
        (5, [], [], "unallocated"),
        (5, [1, -1], ["a", "b"], "weight of 'b'"),
        (5, [2**62, 2**62], ["a", "b"], r"2\^63 or more"),
        (2**127, [1], ["a"], r"below 2\^127"),
        (5, [1, 1], ["a", "a"], "one distinct key"),
        (5, [1, 1], ["a"], "one distinct key"),
        (5.0, [1], ["a"], "whole quanta"),
        (5, [1.5], ["a"], "weight of 'a'"),
    ],
)
def test_a_split_without_a_sound_weight_is_refused(
    amount: int, weights: list[int], keys: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        split_exactly(amount, weights, keys)


def test_the_largest_weight_sum_sql_can_hold_is_split() -> None:
    assert split_exactly(3, [2**62, 2**62 - 1], ["a", "b"]) == [2, 1]
