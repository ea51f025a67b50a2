"""Which of several engines computes prompts for another one: both count the prompt, and the answer's first token.

The rules are those of `int_engine_roles_daily`, without its declarations: as an engine or its labels say it, else as
all counters of a model show it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.check.engine import Reading, Tokens, Window, engines_of

Role = Literal["prefill", "decode"]
ROLES: tuple[Role, ...] = ("prefill", "decode")


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One address: the models behind it, what its rows say of a role, what it counted, and of it from elsewhere."""

    models: frozenset[str]
    stated: frozenset[str]
    tokens: Tokens
    transferred: int

    @property
    def is_like_prefill(self) -> bool:
        answered = self.tokens.requests or 0
        return 0 < answered >= self.tokens.output and 2 * self.transferred <= self.tokens.prompt

    @property
    def is_like_decode(self) -> bool:
        return 2 * self.transferred > self.tokens.prompt and self.tokens.output > (self.tokens.requests or 0)


def split_by_role(
    windows: Mapping[str, Window], readings: Mapping[str, Sequence[Reading]]
) -> tuple[Mapping[str, Window], tuple[str, ...]]:
    """The windows, by the names of their addresses, with each token in one of them; and what was taken for what.

    A prompt counts where it is computed, an answer and its request where it is generated. Where a model has not one of
    each nothing is taken out.
    """
    seen = {name: _seen(window, readings[name]) for name, window in windows.items()}
    found: dict[str, Window] = dict(windows)
    said: list[str] = []
    for models in sorted({one.models for one in seen.values()}, key=sorted):
        roles = _roles({name: one for name, one in seen.items() if one.models == models})
        if set(roles.values()) != set(ROLES):
            continue
        for name, role in roles.items():
            found[name] = replace(windows[name], tokens=_own(windows[name].tokens, role))
        first, second = (" and ".join(name for name in sorted(roles) if roles[name] == role) for role in ROLES)
        said.append(
            f"{first} computes prompts for {second}: prompts are counted there, answers and requests here, none twice."
        )
    return found, tuple(said)


def _own(tokens: Tokens, role: Role) -> Tokens:
    if role == "prefill":
        return replace(tokens, output=0, requests=None if tokens.requests is None else 0)
    return replace(tokens, prompt=0, cache_read=0)


def _roles(seen: Mapping[str, _Seen]) -> dict[str, Role]:
    computed = sum(one.tokens.prompt for one in seen.values() if one.is_like_prefill)
    received = sum(one.transferred for one in seen.values() if one.is_like_decode)
    has_both = received > 0 and 2 * computed >= received
    roles: dict[str, Role] = {}
    for name, one in seen.items():
        if one.stated == {"prefill"} or (not one.stated and has_both and one.is_like_prefill):
            roles[name] = "prefill"
        elif one.stated == {"decode"} or (not one.stated and has_both and one.is_like_decode):
            roles[name] = "decode"
    return roles


def _seen(window: Window, readings: Sequence[Reading]) -> _Seen:
    return _Seen(
        models=frozenset(model for model, _ in engines_of(readings)),
        stated=frozenset(
            row.engine_role for reading in readings for row in reading.rows if row.engine_role is not None
        ),
        tokens=window.tokens,
        transferred=_transferred(readings),
    )


def _transferred(readings: Sequence[Reading]) -> int:
    """Prompt tokens that came from another process while it was watched; of a new process all that it says."""
    before: dict[tuple[str, str], int] = {}
    total = 0
    for number, reading in enumerate(readings):
        for row in reading.rows:
            now = row.prompt_tokens_transferred
            if now is None:
                continue
            was = before.get((row.model_name, row.engine_rank), now if number == 0 else 0)
            total += now - was if now >= was else now
            before[row.model_name, row.engine_rank] = now
    return total
