"""What a cloud's meter of a hosted model counts: whose model, which class of token, and how many a unit.

Amazon Bedrock names a model in its usage type, or in the listing of its marketplace (`Claude Opus 5 (Amazon Bedrock
Edition)`); Azure abbreviates it in the meter's name (`gpt 4o 1120 cached Inp glbl Tokens`); Google writes it into the
SKU's description. Grammars: https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-understanding-cur-data.html,
and names that public exports and price lists hold (read 2026-11-21). The model keeps the name that the bill gives it.

What is not a token (provisioned units, guardrails, images, storage of caches, characters) has no class, and what a unit
is where a bill does not say it is not guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

INPUT, OUTPUT, CACHE_READ, CACHE_WRITE = "input_uncached", "output", "input_cache_read", "input_cache_write"
STANDARD = "standard"
_MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ModelMeter:
    """`provider`: who sells it, as LiteLLM names them. Null: `model` where the bill does not say it; `token_class` of
    what is no token; `tokens_per_unit` where the unit is not known; `inference_geo` and `context_window` unsaid.
    """

    provider: str
    model: str | None
    token_class: str | None
    service_tier: str
    inference_geo: str | None
    context_window: str | None
    tokens_per_unit: int | None


# A SQL pattern over the service's name, in lower case: what may be a model's. The rest is left to `model_meter`.
SERVICES = r"bedrock|openai|foundry models|cognitive services|azure ai services|vertex ai|gemini|generative language"
# Microsoft's meter categories, and what its FOCUS export calls their service (microsoft/finops-toolkit, Services.csv).
_OF_AZURE = frozenset(
    {"cognitive services", "azure openai", "azure openai service", "azure ai services", "foundry models"}
)
_LISTING = re.compile(r"^(?P<model>.+?) *\(Amazon Bedrock Edition\)", re.IGNORECASE)


def model_meter(*, service: str | None, meter: str | None, unit: str | None) -> ModelMeter | None:
    """None where the service hosts no models that this module knows."""
    name = (service or "").strip()
    lowered = name.lower()
    if "bedrock" in lowered:
        return _bedrock(name, meter or "", unit)
    if lowered in _OF_AZURE:
        return _azure(meter or "", unit)
    if lowered in ("vertex ai", "gemini api", "generative language api"):
        return _google(meter or "", unit)
    return None


# --- Amazon Bedrock --------------------------------------------------------------------------------------------------

_REGION = re.compile(r"^[A-Z]{2,4}[0-9]-")
_BEDROCK_CLASS = re.compile(
    r"(?:text-)?(?:cache-read|cache-write(?:-1h|-30m|-5m)?|cache-(?:1h|30m|5m)-write|input|output)"
    r"(?:-input|-output)?-tokens?(?:-count)?(?=-|$)"
)


def _bedrock(service: str, usage_type: str, unit: str | None) -> ModelMeter:
    listing = _LISTING.match(service)
    is_marketplace = usage_type.endswith("-Units")
    if is_marketplace:
        # USE1-MP:USE1_InputTokenCount_Global-Units, USE1_input_tokens_long_ctx_global_standard-Units
        words = _snake(re.sub(r"^(?:[A-Z]{2,4}[0-9]-)?(?:MP:)?[A-Z]{2,4}[0-9]_", "", usage_type[: -len("-Units")]))
        model, rest = None, words
    else:
        said = _REGION.sub("", usage_type)
        found = _BEDROCK_CLASS.search(said)
        model = None if found is None else re.sub(r"-mantle$|-text$", "", said[: found.start()].rstrip("-")) or None
        rest = [] if found is None else said[found.start() :].lower().split("-")
    token_class = _class(rest) if "token" in rest or "tokens" in rest else None
    return ModelMeter(
        provider="bedrock",
        model=model if listing is None else listing["model"].strip(),
        token_class=token_class,
        service_tier=_tier(rest),
        inference_geo=None if token_class is None else "global" if "global" in rest else "regional",
        context_window="long" if "long" in rest else None,
        tokens_per_unit=None if token_class is None else _per_unit(unit, units=_MILLION if is_marketplace else None),
    )


def _snake(text: str) -> list[str]:
    """CacheWrite1hInputTokenCount -> cache, write, 1h, input, token, count."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[a-z0-9])(?=[A-Z][a-z])", "_", text)
    return [word for word in apart.lower().split("_") if word]


# --- Azure -----------------------------------------------------------------------------------------------------------

_AZURE_WORDS = {
    "inp": "input", "inpt": "input", "input": "input", "in": "input",
    "outp": "output", "outpt": "output", "opt": "output", "output": "output", "out": "output",
    "cd": "cache", "cchd": "cache", "cached": "cache", "cache": "cache",
    "wr": "write", "write": "write", "writes": "write",
    "glbl": "global", "gl": "global", "global": "global",
    "dz": "data_zone", "dzone": "data_zone", "zone": "data_zone",
    "regnl": "regional", "regional": "regional", "rgnl": "regional",
    "pp": "priority", "priority": "priority", "batch": "batch", "flex": "flex",
    "shortco": "short", "short": "short", "longco": "long", "long": "long",
    "data": "data", "tokens": "tokens", "token": "tokens", "context": "context", "1m": "1m", "1k": "1k",
}  # fmt: skip
_AZURE_GEOS = ("global", "data_zone", "regional")


def _azure(meter: str, unit: str | None) -> ModelMeter:
    words = [part for word in meter.split() for part in _azure_parts(word)]
    known = [_AZURE_WORDS.get(word.lower()) for word in words]
    place = next((number for number, word in enumerate(known) if word is not None), len(words))
    rest = [word for word in known[place:] if word is not None]
    token_class = None if _counts_something_else(meter.lower()) else _class(rest)
    thousand = None if token_class is None else _per_unit(unit, units=None)
    return ModelMeter(
        provider="azure",
        model=" ".join(words[:place]) or None if token_class is not None else None,
        token_class=token_class,
        service_tier=_tier(rest),
        inference_geo=next((geo for geo in _AZURE_GEOS if geo in rest), None),
        context_window=next((size for size in ("short", "long") if size in rest), None),
        tokens_per_unit=thousand,
    )


def _azure_parts(word: str) -> list[str]:
    """Phi-4-Input -> Phi-4, Input; gpt-4o-0806-Inp-glbl -> gpt-4o-0806, Inp, glbl."""
    parts = word.split("-")
    known = len(parts)
    while known and parts[known - 1].lower() in _AZURE_WORDS:
        known -= 1
    return ["-".join(parts[:known]), *parts[known:]] if known else parts


# What the same service sells beside models: speech, translation, pictures.
_AZURE_NO_TOKENS = re.compile(
    r"character|image|hour|minute|second|page|transaction|quer(?:y|ies)|request|storage|hosting"
)


def _counts_something_else(meter: str) -> bool:
    return "provisioned" in meter or ("token" not in meter and _AZURE_NO_TOKENS.search(meter) is not None)


# --- Google ----------------------------------------------------------------------------------------------------------

_BRANDS = r"gemini|gemma|claude|llama|mistral|codestral|jamba|deepseek|qwen|gpt-oss|kimi|grok|glm|minimax"
_GOOGLE_MODEL = re.compile(rf"\b(?:{_BRANDS})\b(?:[ -][0-9a-z.]+)*", re.IGNORECASE)
# What follows a model's name and is none of it.
_GOOGLE_STOPS = frozenset({
    "thinking", "text", "input", "output", "ga", "short", "long", "audio", "image", "video", "batch", "flex",
    "priority", "caching", "cached", "cache", "tokens", "token", "predictions", "for", "count", "read", "write", "non",
    "online", "global", "-", "preview",
})  # fmt: skip
_NO_TOKENS = re.compile(
    r"storage|character|\bhours?\b|per image|grounding|provisioned|quer(?:y|ies)|request|tuning|train"
)


def _google(description: str, unit: str | None) -> ModelMeter:
    lowered = description.lower().replace("_", " ")
    words = re.findall(r"[a-z0-9.]+", lowered)
    is_token = ("token" in lowered or "predictions" in lowered or "cach" in lowered) and not _NO_TOKENS.search(lowered)
    found = _GOOGLE_MODEL.search(description)
    model = None
    if found is not None:
        parts = found[0].split(" ")
        end = next((number for number, part in enumerate(parts) if part.lower() in _GOOGLE_STOPS), len(parts))
        model = " ".join(parts[:end]).strip()
    token_class = _class(["cache" if word.startswith("cach") else word for word in words]) if is_token else None
    # A SKU of "short input text" counts what is generated from it: the class is what comes first.
    if token_class in (INPUT, OUTPUT):
        first = next(word for word in words if word in ("input", "output"))
        token_class = INPUT if first == "input" else OUTPUT
    return ModelMeter(
        provider="vertex_ai",
        model=model,
        token_class=token_class,
        service_tier=_tier(words),
        inference_geo=None,
        context_window=next((size for size in ("short", "long") if size in words), None),
        # Their units are labelled tokens, count or requests; the amount is tokens.
        tokens_per_unit=None
        if token_class is None
        else 1
        if (unit or "").strip().lower() in ("count", "requests", "request")
        else _per_unit(unit, units=None),
    )


# --- what all of them say --------------------------------------------------------------------------------------------


def _class(words: Sequence[str]) -> str | None:
    if "cache" in words:
        if "write" not in words:
            return CACHE_READ
        # Anthropic's own names, which Bedrock writes without a time where it is five minutes.
        return f"{CACHE_WRITE}_{next((word for word in words if word in ('1h', '30m')), '5m')}"
    if "output" in words:
        return OUTPUT
    return INPUT if "input" in words else None


def _tier(words: Sequence[str]) -> str:
    return next((tier for tier in ("batch", "flex", "priority") if tier in words), STANDARD)


_COUNT = re.compile(r"(?P<number>[0-9]+(?:,[0-9]{3})*)?\s*(?P<scale>[KM])?\s*(?:tokens?)?", re.IGNORECASE)
_SCALES = {"": 1, "k": 1_000, "m": _MILLION}


def _per_unit(unit: str | None, *, units: int | None) -> int | None:
    """`1K tokens`, `1M`, `1000`, `Tokens`; `units`: what a seller's own `Units` are."""
    text = (unit or "").strip()
    if text.lower() in ("unit", "units"):
        return units
    found = _COUNT.fullmatch(text)
    if not text or found is None:
        return None
    # A unit of no tokens is no unit.
    return int((found["number"] or "1").replace(",", "")) * _SCALES[(found["scale"] or "").lower()] or None
