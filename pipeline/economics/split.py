"""Splitting whole amounts so that the parts sum to the amount, exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.economics.exact import Exact, positive, whole_count

WEIGHT_SUM_LIMIT = 2**63
AMOUNT_LIMIT = 2**127
NANOSECONDS_PER_SECOND = 1_000_000_000

SplitBasis = Literal["gpu_seconds", "token_count"]


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


@dataclass(frozen=True, kw_only=True)
class ClassWeights:
    """Whole weights by token class, ordered by class, and what they are.

    basis `gpu_seconds`: GPU-nanoseconds of work, tokens / declared tokens per second.
    basis `token_count`: tokens, the labelled fallback; `fallback_reason` then says why.
    """

    weights: tuple[tuple[str, int], ...]
    basis: SplitBasis
    fallback_reason: str | None


def gpu_second_weights(
    *, tokens_by_class: Mapping[str, int], tokens_per_second_by_class: Mapping[str, Exact] | None
) -> ClassWeights:
    """The weight of each token class in a joint GPU bill: w n with w = 1 / R from declared throughputs.

    `tokens_by_class` holds served tokens of one deployment and period, classes disjoint;
    `tokens_per_second_by_class` the declared throughput R of one replica, None when there is none. A class that
    has tokens but no R makes every class fall back to its token count, labelled: half a split by time and half
    by count would be neither. Weights are rounded once to whole nanoseconds, half to even, and go to
    `split_exactly`. No tokens at all gives weights of 0, which `split_exactly` refuses.

    Raises ValueError for negative tokens or a throughput of 0 or less. Source: economics.md 5.
    """
    tokens = {name: whole_count(tokens_by_class[name], f"tokens of {name}") for name in sorted(tokens_by_class)}
    rates = tokens_per_second_by_class or {}
    for name in sorted(rates):
        positive(rates[name], f"tokens_per_second of {name}")
    unrated = [name for name, count in tokens.items() if count > 0 and name not in rates]
    if unrated:
        listed = ", ".join(f"{name} ({tokens[name]} tokens)" for name in unrated)
        return ClassWeights(
            weights=tuple(tokens.items()),
            basis="token_count",
            fallback_reason=f"No declared throughput for {listed}: split by token count.",
        )
    return ClassWeights(
        weights=tuple((name, _gpu_nanoseconds(count, rates.get(name))) for name, count in tokens.items()),
        basis="gpu_seconds",
        fallback_reason=None,
    )


def _gpu_nanoseconds(tokens: int, tokens_per_second: Exact | None) -> int:
    if tokens == 0 or tokens_per_second is None:
        return 0
    return round(tokens * NANOSECONDS_PER_SECOND / positive(tokens_per_second, "tokens_per_second"))
