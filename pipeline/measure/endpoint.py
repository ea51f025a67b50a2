"""One OpenAI-compatible endpoint: a streamed chat completion, timed from when it was due, with the tokens it counts."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import urllib3

from pipeline.errors import BreakevenError
from pipeline.formats.masking import masked
from pipeline.measure.search import Answer

# As many requests as may wait at once: beyond it, it would be this client that is measured.
MOST_AT_ONCE = 256
_TIMEOUT = urllib3.Timeout(connect=10, read=120)
_SHOWN = 300
# An event is a few hundred bytes.
_MOST_EVENT_BYTES = 1024**2
# Where a served model's first tokens are its thoughts: they are generated, waited for and billed as the others.
_TEXTS = ("content", "reasoning_content", "reasoning")


class EndpointRefusedError(BreakevenError):
    """The endpoint did not answer as one that can be measured."""

    exit_code = 3


@dataclass(frozen=True)
class Endpoint:
    """Where chat completions are asked for: `http://host:8000` or `http://host:8000/v1`.

    `clock`: seconds that only grow. `ignores_eos`: whether answers are asked to go on to their full length, which vLLM
    and SGLang know how to.
    """

    url: str
    model: str
    key: str | None
    clock: Callable[[], float]
    ignores_eos: bool = True
    _pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=MOST_AT_ONCE, block=False, retries=False, timeout=_TIMEOUT)
    )

    @property
    def _base(self) -> str:
        base = self.url.rstrip("/")
        return base if base.endswith("/v1") else f"{base}/v1"

    @property
    def address(self) -> str:
        return f"{self._base}/chat/completions"

    def longest_tokens(self) -> int | None:
        """What the server says is the most of a prompt and its answer together (vLLM: max_model_len); None where it
        does not say, whatever the reason: a request that is too long will be seen to fail."""
        try:
            response = self._pool.request("GET", f"{self._base}/models", headers=self._headers, redirect=False)
            models = json.loads(response.data)["data"] if response.status == 200 else []
            said = [one.get("max_model_len") for one in models if one.get("id") == self.model]
        except (urllib3.exceptions.HTTPError, TypeError, ValueError, KeyError, AttributeError):
            return None
        known = [length for length in said if type(length) is int and length > 1]
        return min(known, default=None)

    @property
    def _headers(self) -> dict[str, str]:
        own = {"User-Agent": "breakeven-measure"}
        return own if self.key is None else {**own, "Authorization": f"Bearer {self.key}"}

    def ask(self, prompt: str, *, output_tokens: int, due_at: float) -> Answer:
        """One request. EndpointRefusedError for any answer that is not a whole stream with its usage."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": output_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"ignore_eos": True} if self.ignores_eos else {}),
        }
        headers = {"Content-Type": "application/json", **self._headers}
        try:
            response = self._pool.request(
                "POST", self.address, body=json.dumps(body), headers=headers, preload_content=False, redirect=False
            )
            try:
                return self._read(response, due_at)
            except BaseException:
                # What is left of an answer that is refused may have no end.
                response.close()
                raise
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, TypeError, ValueError, AttributeError) as error:
            # Whatever stands where a list, an object or a count belongs: it is no answer of such an endpoint.
            raise EndpointRefusedError(self._words(f"{type(error).__name__}: {error}")) from None

    def _read(self, response: urllib3.BaseHTTPResponse, due_at: float) -> Answer:
        if response.status != 200:
            said = response.read(_SHOWN * 4).decode("utf-8", "replace")
            raise EndpointRefusedError(self._words(f"HTTP {response.status}: {said[:_SHOWN]}"))
        first: float | None = None
        last = 0.0
        usage: Mapping[str, Any] | None = None
        for chunk in _chunks(response):
            if any(_has_text(choice.get("delta") or {}) for choice in chunk.get("choices") or ()):
                last = self.clock()
                first = last if first is None else first
            usage = chunk.get("usage") or usage
        if first is None or usage is None:
            lacks = "no token" if first is None else "no usage: without it tokens cannot be counted"
            raise EndpointRefusedError(self._words(f"a stream with {lacks}"))
        return Answer(due_at=due_at, first_token_at=first, last_token_at=last, tokens_by_class=_counted(usage))

    def _words(self, said: str) -> str:
        secrets = [] if self.key is None else [self.key]
        return masked(f"{self.address} answered with {' '.join(said.split())}", secrets)


def _has_text(delta: Mapping[str, Any]) -> bool:
    return any(delta.get(name) for name in _TEXTS)


def _chunks(response: urllib3.BaseHTTPResponse) -> Iterator[Mapping[str, Any]]:
    """Server-sent events, each a JSON object, up to [DONE]."""
    held = b""
    for piece in response.stream(4096, decode_content=True):
        *lines, held = (held + piece).split(b"\n")
        if len(held) > _MOST_EVENT_BYTES:
            raise urllib3.exceptions.ProtocolError(f"a line of more than {_MOST_EVENT_BYTES} bytes, which is no event")
        for line in lines:
            data = line.strip().removeprefix(b"data:").strip()
            if not line.startswith(b"data:") or data == b"[DONE]":
                continue
            try:
                chunk = json.loads(data)
            except ValueError:
                raise urllib3.exceptions.ProtocolError(f"an event that is no JSON: {data[:60]!r}") from None
            if isinstance(chunk, dict):
                yield chunk


def _counted(usage: Mapping[str, Any]) -> dict[str, int]:
    details = usage.get("prompt_tokens_details") or {}
    prompt = int(usage.get("prompt_tokens") or 0)
    # A prompt cannot be cached for more than its length.
    cached = min(int(details.get("cached_tokens") or 0), prompt)
    return {
        "input_uncached": prompt - cached,
        "input_cache_read": cached,
        "output": int(usage.get("completion_tokens") or 0),
    }
