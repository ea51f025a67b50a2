"""The requests that are sent: as long as a workload's own, and sharing as much as it finds cached."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.measure.spread import Spread

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
    """The mean lengths of requests of `prompt_tokens` in a mix.

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
    """Prompts of a length, of whose words the first are shared. `tokens_per_word`: as the server counted them.

    `lengths`: on the mean; each request's own by its number where a `spread` is known. `longest_tokens`: of prompt and
    answer together, what the server takes at most.
    """

    lengths: Lengths
    tokens_per_word: float
    seed: int
    spread: Spread | None = None
    longest_tokens: int | None = None

    def lengths_of(self, number: int) -> Lengths:
        """Of the request of this number: the same for a seed."""
        mean = self.lengths
        chance = random.Random(f"{self.seed}/length/{number}")
        prompt_ratio, output_ratio = (1.0, 1.0) if self.spread is None else self.spread.ratios(chance)
        output = max(1, round(mean.output_tokens * output_ratio))
        prompt = max(1, round(mean.prompt_tokens * prompt_ratio))
        if self.longest_tokens is not None:
            output = max(1, min(output, self.longest_tokens - 1))
            prompt = max(1, min(prompt, self.longest_tokens - output))
        return Lengths(
            prompt_tokens=prompt,
            shared_prompt_tokens=round(prompt * mean.shared_prompt_tokens / mean.prompt_tokens),
            output_tokens=output,
        )

    def text(self, number: int, lengths: Lengths | None = None) -> str:
        """The prompt of this number, as long as its request is unless `lengths` says otherwise."""
        lengths = lengths or self.lengths_of(number)
        words = max(1, round(lengths.prompt_tokens / self.tokens_per_word))
        shared = min(words, round(lengths.shared_prompt_tokens / self.tokens_per_word))
        # The unique part begins with what no other request has, or a prefix cache would find it, too.
        return " ".join([*_some(random.Random(self.seed), shared), *_unique(self.seed, number, words - shared)])


def _unique(seed: int, number: int, words: int) -> list[str]:
    return [str(number), *_some(random.Random(f"{seed}/{number}"), words - 1)] if words > 0 else []


def _some(chance: random.Random, words: int) -> list[str]:
    return [chance.choice(_WORDS) for _ in range(words)]
