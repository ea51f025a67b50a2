"""The requests that are sent: as long as a workload's own are on the mean, and sharing as much as it finds cached."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Short words that tokenizers of common models take for about one token each; how many they are is asked of the server.
_WORDS = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school")


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Tokens of one request: of the prompt, of its start that other requests share, and of the answer."""

    prompt_tokens: int
    shared_prompt_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


def lengths_like(tokens_by_class: Mapping[str, int], *, prompt_tokens: int) -> Lengths:
    """The lengths of requests of `prompt_tokens` in a mix. Only means are known, so every request is alike.

    Raises ValueError for a mix without input or without output, which no chat request has.
    """
    read = {name: count for name, count in tokens_by_class.items() if name.startswith("input_")}
    whole, output = sum(read.values()), tokens_by_class.get("output", 0)
    if not whole or not output:
        raise ValueError(f"The mix {dict(tokens_by_class)} has no input or no output: no chat request is like it.")
    return Lengths(
        prompt_tokens=prompt_tokens,
        shared_prompt_tokens=round(prompt_tokens * read.get("input_cache_read", 0) / whole),
        output_tokens=max(1, round(prompt_tokens * output / whole)),
    )


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Prompts of a length, of whose words the first are shared. `tokens_per_word`: as the server counted them."""

    lengths: Lengths
    tokens_per_word: float
    seed: int

    def text(self, number: int) -> str:
        words = max(1, round(self.lengths.prompt_tokens / self.tokens_per_word))
        shared = min(words, round(self.lengths.shared_prompt_tokens / self.tokens_per_word))
        # The unique part begins with what no other request has, or a prefix cache would find it, too.
        return " ".join([*_some(random.Random(self.seed), shared), *_unique(self.seed, number, words - shared)])


def arrivals(*, per_second: float, seconds: float, seed: int) -> Iterator[float]:
    """When requests are due, from 0: at random and independent of each other (Poisson), the same for a seed."""
    chance = random.Random(seed)
    at = chance.expovariate(per_second)
    while at < seconds:
        yield at
        at += chance.expovariate(per_second)


def _unique(seed: int, number: int, words: int) -> list[str]:
    return [str(number), *_some(random.Random(f"{seed}/{number}"), words - 1)] if words > 0 else []


def _some(chance: random.Random, words: int) -> list[str]:
    return [chance.choice(_WORDS) for _ in range(words)]
