"""OpenRouter's activity by generation: when each request went through the gateway, to the second. For *shape* only.

The CSV that the Activity page exports with one row a generation. A bill that knows days gets its hours from here, as
from LiteLLM's log (`litellm_spend_logs`); its tokens stay the bill's. What OpenRouter says a request cost is used for
one thing: whose bill it is on. **Only a generation with `byok_usage_inference` above zero went out with a key of one's
own**, and is on that provider's bill; all others are paid in credits, on OpenRouter's bill, which nothing here reads.

`settings.bills` says whose bill the requests of each provider are on, as for `litellm_focus`, by the provider's name in
lower case: `bills: {anthropic: main}`.

The table is append-only, so every file counts; a generation that two files hold counts once. What lands is not the file
but a line a generation: when, which model, how many tokens, the name that somebody gave the key. `user`, `app_name` and
all else stay behind; of these only the columns' names land.

created_at has no zone and is UTC: the seconds in `gen-<seconds>-` agree. Cached tokens are part of the prompt,
reasoning of the completion. Files come with their columns in several orders.

Not read: `/activity` of the API and the aggregated export, one row a UTC day, which is no shape.
"""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError
from pipeline.formats.values import csv_header, read_csv
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.sources import gateway_log, litellm_focus
from pipeline.sources.source import Fetched, Source

NAME = "openrouter_generations"
DATASET = "generations"

_FORMAT = "breakeven.openrouter_generations/1"
_REQUIRED = (
    "generation_id", "created_at", "tokens_prompt", "tokens_completion", "model_permaslug", "provider_name",
    "byok_usage_inference",
)  # fmt: skip
_OWN_KEY = "byok_usage_inference"
_READ = (*_REQUIRED, "api_key_name")

GENERATIONS = Table(
    name=DATASET,
    columns={
        "request_hash": pl.String(),
        "started_at": pl.Datetime("us"),
        "provider_name": pl.String(),
        "model_permaslug": pl.String(),
        "api_key_name": pl.String(),
        "tokens_prompt": pl.Int64(),
        "tokens_completion": pl.Int64(),
        "is_own_key": pl.Boolean(),
    },
)


def recognise(name: str, head: bytes) -> str | None:
    """By its columns, or by the first words of what was made of it."""
    if gateway_log.is_reduced(head, _FORMAT):
        return DATASET
    return DATASET if {"generation_id", "created_at", "model_permaslug"} <= set(csv_header(head)) else None


_KEY = re.compile(r"sk-", re.IGNORECASE)


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped export as what may be kept of it. Never raises: what cannot be read becomes a note of why."""
    return gateway_log.dropped(name, content, dataset=DATASET, form=_FORMAT, reduce=reduced)


def reduced(content: bytes) -> bytes:
    """An export as JSON lines: what it is and the columns that were left out, then one line a generation.

    Raises QuarantineError, which quotes no value, where a row of it cannot be read.
    """
    file = read_csv(content)
    if lacking := [name for name in _REQUIRED if name not in file.header]:
        raise QuarantineError(
            f"row 1: no {', '.join(lacking)}. Export OpenRouter's activity by generation, with all of its columns."
        )
    requests = [_request(row, where=f"row {number}") for number, row in file.records()]
    return gateway_log.lines(requests, form=_FORMAT, left_out=set(file.header) - set(_READ))


def _request(row: Mapping[str, str], *, where: str) -> dict[str, Any]:
    if absent := [name for name in _REQUIRED if not row[name] and name != _OWN_KEY]:
        raise QuarantineError(f"{where}: no {', '.join(absent)}. Export the activity again.")
    return {
        "request_hash": gateway_log.hashed(row["generation_id"]),
        "started_at": gateway_log.moment(row, "created_at", where).isoformat(timespec="milliseconds"),
        "provider_name": gateway_log.text(row, "provider_name", where),
        "model_permaslug": gateway_log.text(row, "model_permaslug", where),
        "api_key_name": _key_name(row, where),
        "tokens_prompt": gateway_log.count(row, "tokens_prompt", where),
        "tokens_completion": gateway_log.count(row, "tokens_completion", where),
        "is_own_key": _is_own_key(row[_OWN_KEY], where),
    }


def _key_name(row: Mapping[str, str], where: str) -> str | None:
    """The name that somebody gave the key. Whoever pasted the key itself there must not find it in a landing."""
    name = gateway_log.text(row, "api_key_name", where)
    return gateway_log.hashed(name) if name is not None and _KEY.search(name) else name


def _is_own_key(said: str, where: str) -> bool:
    try:
        amount = Decimal(said or "0")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise QuarantineError(f"{where}: {_OWN_KEY} is not an amount.")
    return amount > 0


def parse(content: bytes, settings: Settings) -> Frames:
    """One row a generation of what `reduced` made of an export."""
    refusal = (
        "It is not OpenRouter's activity by generation: no generation_id, created_at and model_permaslug in its first "
        "row. Export it again from the Activity page."
    )
    return {GENERATIONS.name: gateway_log.parsed(content, GENERATIONS, form=_FORMAT, refusal=refusal)}


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where `settings.bills` is missing, names an unknown account or a provider in capitals."""
    litellm_focus.check(settings, accounts)
    for provider in settings["bills"]:
        if provider != provider.lower():
            raise ConfigError(
                key=f"settings.bills.{provider}", value=provider, fix=f"Write it in lower case: {provider.lower()}."
            )


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="append",
            bucket="utc_day",
            measure="reference",
            tables=(GENERATIONS,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    check=check,
)
