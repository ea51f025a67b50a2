"""What a prepaid account holds now, as its provider's API answers: a reading of the moment of the answer's HTTP Date.
Where that is more than half a day ahead of this machine's own clock, it is of the moment of this clock.

`settings.provider` says whom to ask; each is one small question:
  openrouter  GET /api/v1/credits, a management key (generated SDK openrouter 1.3.84): data.total_credits less
              data.total_usage, in credits, which are US dollars
  deepseek    GET /user/balance (api-docs.deepseek.com, get-user-balance): balance_infos, decimal text by currency
  runpod      POST /graphql, `myself { clientBalance }`: US dollars (as public clients of RunPod ask it)
  vast        GET /api/v0/users/current/, its field `credit`: US dollars (as public clients of Vast.ai ask it)

**Only the figures land.** Vast's answer holds the account's e-mail, keys and addresses: of no answer is anything else
kept, or printed. xAI is not asked: its posted ledger moves when a billing cycle closes and is no balance of the moment
(read 2026-11-30); write that one down (`prepaid_csv`).

**No day ends with a reading**, and the ledger is by the day: a reading stands for the end of the UTC day that is
nearest to it. What was used between that midnight and the reading is in what is unexplained of one day, and comes back
on the next: read at one hour each day, so that it stays small. Where a balance of the same day is written down too, the
later of the two moments counts, the written one being of the day's end; both are shown.

The source's `account` is the one whose bill is paid in advance; `settings.issuer` is that bill's issuer, where it is
not the provider's own.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError
from pipeline.formats.values import TOO_MUCH_MONEY, canonical_json, exact_json, instant, other_columns
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.landing.times import DAY, as_utc, believed, day_start, stamp
from pipeline.sources.asking import page_probe
from pipeline.sources.http import PagedApi, fetch_answer, paged_api, stamp_in_name
from pipeline.sources.openai_costs_api import amount_text
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "prepaid_balance"
DATASET = "readings"
TABLE = Table(
    name=DATASET,
    columns={
        "issuer": pl.String(),
        "provider": pl.String(),
        "read_at": pl.Datetime("us"),
        "balance": pl.String(),
        "currency": pl.String(),
    },
)
_HALF_A_DAY = timedelta(hours=12)
_ISSUER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}", re.ASCII)
_FORMAT = "breakeven.prepaid_balance/1"
_USD = "USD"


@dataclass(frozen=True)
class _Provider:
    """How one provider is asked. `figures`: what of its answer lands; `balances`: (amount, currency, the rest) of it.

    `issuer`: of the bill that is paid in advance; None: the account is its issuer. `body`: of a POST.
    """

    base_url: str
    path: str
    key_env: str
    permission: str
    figures: Callable[[Any], object]
    balances: Callable[[Any], Iterator[tuple[str, str, dict[str, object]]]]
    issuer: str | None = None
    body: bytes | None = None


def _of_openrouter(answer: Any) -> object:
    return {name: answer["data"][name] for name in ("total_credits", "total_usage")}


def _openrouter_balances(figures: Any) -> Iterator[tuple[str, str, dict[str, object]]]:
    bought, used = (
        Decimal(amount_text(figures.get(name), name=name, where="credits")[0])
        for name in ("total_credits", "total_usage")
    )
    yield format(bought - used, "f"), _USD, dict(figures)


def _of_deepseek(answer: Any) -> object:
    names = ("currency", "total_balance", "granted_balance", "topped_up_balance")
    return [{name: info[name] for name in names} for info in answer["balance_infos"]]


def _deepseek_balances(figures: Any) -> Iterator[tuple[str, str, dict[str, object]]]:
    for number, info in enumerate(figures, start=1):
        where = f"balance {number}"
        parts: dict[str, object] = {
            name: amount_text(info[name], name=name, where=where)[0]
            for name in ("granted_balance", "topped_up_balance")
            if info[name] is not None
        }
        yield amount_text(info["total_balance"], name="total_balance", where=where)[0], info["currency"], parts


def _of_field(name: str, *path: str) -> Callable[[Any], object]:
    def figures(answer: Any) -> object:
        for step in path:
            answer = answer[step]
        return {name: answer[name]}

    return figures


def _field_balances(name: str) -> Callable[[Any], Iterator[tuple[str, str, dict[str, object]]]]:
    def balances(figures: Any) -> Iterator[tuple[str, str, dict[str, object]]]:
        amount, spelled = amount_text(figures.get(name), name=name, where="answer")
        yield amount, _USD, spelled

    return balances


_PROVIDERS: Mapping[str, _Provider] = {
    "openrouter": _Provider(
        base_url="https://openrouter.ai",
        path="/api/v1/credits",
        key_env="OPENROUTER_MANAGEMENT_KEY",
        permission="a management key of the OpenRouter account (inference keys may not read credits)",
        figures=_of_openrouter,
        balances=_openrouter_balances,
        issuer="openrouter",
    ),
    "deepseek": _Provider(
        base_url="https://api.deepseek.com",
        path="/user/balance",
        key_env="DEEPSEEK_API_KEY",
        permission="an API key of the DeepSeek account",
        figures=_of_deepseek,
        balances=_deepseek_balances,
        issuer="deepseek",
    ),
    "runpod": _Provider(
        base_url="https://api.runpod.io",
        path="/graphql",
        key_env="RUNPOD_API_KEY",
        permission="a RunPod API key that may read the account",
        figures=_of_field("clientBalance", "data", "myself"),
        balances=_field_balances("clientBalance"),
        body=json.dumps({"query": "query { myself { clientBalance } }"}).encode(),
    ),
    "vast": _Provider(
        base_url="https://console.vast.ai",
        path="/api/v0/users/current/",
        key_env="VAST_API_KEY",
        permission="a Vast.ai API key that may read the user",
        figures=_of_field("credit"),
        balances=_field_balances("credit"),
    ),
}


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The balance now, as one delivery of its figures alone."""
    provider, api = _provider(context.settings), _api(context)
    content, stated_at = fetch_answer(api, [], is_answer=partial(_is_answer, provider), body=provider.body)
    read_at = believed(as_utc(stated_at or context.now), landed_at=as_utc(context.now))
    if read_at != stated_at:
        stated_at = None
    said = {"format": _FORMAT, "figures": provider.figures(exact_json(content))}
    day = _day_of(read_at)
    yield Fetched(
        dataset=DATASET,
        payloads=(Payload(name="balance.json", content=canonical_json(said).encode(), media_type="application/json"),),
        from_at=day,
        to_at=day + DAY,
        stated_at=stated_at,
        stated_by="http_date" if stated_at else "landed_at",
        settings=_declared(context.settings, account=context.account) | {"read_at": stamp(read_at)},
        request={"url": api.url},
    )


def _day_of(read_at: datetime) -> datetime:
    """The start of the UTC day whose end is nearest."""
    return day_start((read_at + _HALF_A_DAY).date()) - DAY


def _is_answer(provider: _Provider, answer: object) -> bool:
    """Whether it has the figures. What else it holds is looked at by nobody."""
    try:
        return all(isinstance(balance, str) for balance, _, _ in provider.balances(provider.figures(answer)))
    except (KeyError, TypeError, AttributeError, QuarantineError):
        return False


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read the balance."""
    provider = _provider(context.settings)
    is_answer = partial(_is_answer, provider)
    return (
        page_probe(
            partial(_api, context),
            context=context,
            dataset=DATASET,
            params=(),
            is_answer=is_answer,
            body=provider.body,
        ),
    )


def _api(context: FetchContext) -> PagedApi:
    provider = _provider(context.settings)
    return paged_api(
        context,
        source=NAME,
        base_url=provider.base_url,
        path=provider.path,
        key_env=provider.key_env,
        key_header="authorization",
        key_scheme="Bearer ",
        permission=provider.permission,
        headers={} if provider.body is None else {"content-type": "application/json"},
    )


def _provider(settings: Mapping[str, Any]) -> _Provider:
    named = settings.get("provider")
    if not isinstance(named, str) or named not in _PROVIDERS:
        fix = f"Say whom to ask: {', '.join(_PROVIDERS)}. Another's balance is written down (prepaid_csv)."
        raise ConfigError(key="settings.provider", value=named, fix=fix)
    return _PROVIDERS[named]


def _declared(settings: Mapping[str, Any], *, account: str) -> dict[str, str]:
    issuer = settings.get("issuer") or _provider(settings).issuer or account
    return {"provider": str(settings["provider"]), "issuer": str(issuer)}


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A file, which is refused unless it is what a fetch made and its name says when that was."""
    read_at = stamp_in_name(name)
    said = {key: str(settings[key]) for key in ("provider", "issuer") if settings.get(key)}
    said |= {} if read_at is None else {"read_at": stamp(read_at)}
    return Fetched(
        dataset=DATASET,
        payloads=(Payload(name=name, content=content, media_type="application/json"),),
        settings=said,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """One row a currency. Raises QuarantineError for what is no reading, or was read nobody knows when."""
    said = exact_json(content)
    if not isinstance(said, dict) or said.get("format") != _FORMAT:
        raise QuarantineError("It is no reading of a balance: give the source a key (key_env) instead of an inbox.")
    named, issuer = settings.get("provider"), settings.get("issuer")
    if named not in _PROVIDERS or not isinstance(issuer, str) or _ISSUER.fullmatch(issuer) is None:
        raise QuarantineError(f"settings.provider is {named!r}, settings.issuer {issuer!r}: nobody knows whose it is.")
    read_at = instant(settings.get("read_at"), name="read_at", where="reading").astimezone(UTC).replace(tzinfo=None)
    try:
        balances = list(_PROVIDERS[str(named)].balances(said.get("figures")))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise QuarantineError(f"{named} answered other figures than it did ({type(error).__name__}).") from None
    day = _day_of(read_at.replace(tzinfo=UTC)).date()
    rows = []
    for balance, currency, others in balances:
        if not isinstance(currency, str) or re.fullmatch(r"[A-Z]{3}", currency, re.ASCII) is None:
            raise QuarantineError(f"The currency is {currency!r}, not a code of three capitals.")
        if abs(Decimal(balance)) >= TOO_MUCH_MONEY:
            raise QuarantineError(f"The balance is {balance}, more than any account holds.")
        bucket = f"{settings['read_at']} {issuer}"
        rows.append((bucket, day, issuer, named, read_at, balance, currency, other_columns(others)))
    if len({row[6] for row in rows}) < len(rows):
        raise QuarantineError("It has two balances in one currency, and an account one.")
    return {DATASET: pl.DataFrame(rows, schema=TABLE.schema, orient="row")}


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where nobody says whom to ask, or the issuer is no name."""
    _provider(settings)
    issuer = settings.get("issuer")
    if issuer is not None and (not isinstance(issuer, str) or _ISSUER.fullmatch(issuer) is None):
        raise ConfigError(key="settings.issuer", value=issuer, fix="Say who issues the bill that is paid in advance.")


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="invoice",
            measure="reference",
            tables=(TABLE,),
            parse=parse,
        ),
    ),
    recognise=lambda name, head: None,
    drop=drop,
    fetch=fetch,
    probe=probe,
    check=check,
)
