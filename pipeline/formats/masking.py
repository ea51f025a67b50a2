"""Secrets taken out of text that others wrote: an error of a server may repeat the key it was sent."""

import re
from collections.abc import Iterable, Iterator

HIDDEN = "(key)"
# Shorter than this, a piece of a key is as likely a word.
_SHORTEST_PIECE = 12
# How a key begins says of what kind it is (`sk-ant-admin01-`), and errors of ours name the kind.
_KIND = 4
_WORD = re.compile(rf"[A-Za-z0-9_\-]{{{_SHORTEST_PIECE},}}")
# user:password@, or a token alone, before the host of an address.
_CREDENTIALS = re.compile(r"(?<=://)[^\s/]+@")


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with `(key)` in the place of each secret, and of each word that holds 12 characters of one in a row (a
    key that was cut, or whose end was starred out); addresses lose their user and password.
    """
    known = sorted(filter(None, secrets), key=len, reverse=True)
    for secret in known:
        text = text.replace(secret, HIDDEN)
    pieces = {piece for secret in known for piece in _pieces(secret[_KIND:])}
    text = _WORD.sub(lambda word: word[0] if pieces.isdisjoint(_pieces(word[0])) else HIDDEN, text)
    return _CREDENTIALS.sub("(hidden)@", text)


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + _SHORTEST_PIECE] for at in range(len(text) - _SHORTEST_PIECE + 1))
