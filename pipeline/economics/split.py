"""Splitting whole amounts so that the parts sum to the amount, exactly."""

from collections.abc import Sequence

from pipeline.economics.exact import whole_count

WEIGHT_SUM_LIMIT = 2**63
AMOUNT_LIMIT = 2**127


def split_exactly(amount: int, weights: Sequence[int], keys: Sequence[str]) -> list[int]:
    """The amount in whole quanta, shared by weight (largest remainder): the parts sum to it exactly.

    With a = |amount| and W = sum of weights, a part is `(a // W) w + ((a % W) w) // W`; the quanta left over go
    one each to the largest remainders `((a % W) w) % W`, equal remainders in the order of their keys; the sign
    comes last, so a credit splits as the mirror of the charge. The answer does not depend on the order in
    which the parts are given. Keys compare by code point, as DuckDB's VARCHAR does.

    Raises ValueError when the weights sum to 0 (the amount belongs to `unallocated`), when they sum to 2^63 or
    more or the amount reaches 2^127 (SQL could not repeat it), when a weight is negative, or when the keys
    are not one distinct key a weight. Source: house.md 6, law 1.
    """
    _check_split(amount, weights, keys)
    magnitude, weight_sum = abs(amount), sum(weights)
    whole, rest = divmod(magnitude, weight_sum)
    parts = [whole * weight + (rest * weight) // weight_sum for weight in weights]
    remainders = [(rest * weight) % weight_sum for weight in weights]
    by_claim = sorted(range(len(weights)), key=lambda index: (-remainders[index], keys[index]))
    for index in by_claim[: magnitude - sum(parts)]:
        parts[index] += 1
    return [-part for part in parts] if amount < 0 else parts


def _check_split(amount: int, weights: Sequence[int], keys: Sequence[str]) -> None:
    if isinstance(amount, bool) or not isinstance(amount, int) or abs(amount) >= AMOUNT_LIMIT:
        raise ValueError(f"amount is {amount!r}: pass whole quanta below 2^127, such as money in units of 10^-18.")
    if len(keys) != len(weights) or len(set(keys)) != len(keys):
        raise ValueError(f"There are {len(weights)} weights and the keys {list(keys)}: pass one distinct key a weight.")
    for key, weight in zip(keys, weights, strict=True):
        whole_count(weight, f"weight of {key!r}")
    if sum(weights) == 0:
        raise ValueError(
            f"The {len(weights)} weights sum to 0, so {amount} quanta have no owner: book them to unallocated."
        )
    if sum(weights) >= WEIGHT_SUM_LIMIT:
        raise ValueError(f"The weights sum to {sum(weights)}, 2^63 or more: state them in a coarser unit.")
