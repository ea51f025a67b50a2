"""What AWS's invoices come to, month by month: `invoicing:ListInvoiceSummaries`, the control totals of a close.

Settings: account_id, the twelve digits of the payer (or of a linked account) whose invoices are meant. Credentials are
those that boto3 finds by itself; an inbox takes saved answers (`aws invoicing list-invoice-summaries`) instead. The
shape is the service's own model (botocore, 2024-12-01; read 2026-11-30). What it does not say, and is not assumed here:
how long after the end of a month the last invoice appears, so that the months of the last 62 days are asked for anew;
the sign of a credit memo, which is taken as it is written: where it is the other one, the close shows twice its amount
as a residual.

**Which amount.** BaseCurrencyAmount.TotalAmount, tax included, is in the currency of the Cost and Usage Report and is
what its lines of that invoice add up to. What is paid, in which currency and at which rate AWS converted it, is kept
beside it. Amounts are text and exact. A PAYMENT_RECEIPT says that an invoice was paid and is none itself; of an invoice
that the account has sent (ReceiverRole SELLER or RESELLER) nothing is due. Both land and are left out in staging.

**What a delivery restates.** The bucket is the account and the billing month: an answer is all of its invoices.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.formats.values import TOO_MUCH_MONEY, JsonNumber, canonical_json, decimal_text, exact_json, text_or_none
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.landing.s3 import WHICH_POLICY
from pipeline.sources.data_exports import month_of
from pipeline.sources.source import Access, FetchContext, Fetched, Payload, Probe, Probed, Source

NAME = "aws_invoices"
DATASET = "invoices"
OPERATION = "ListInvoiceSummaries"

_REGION = "us-east-1"
_PAGE = 100
_MOST_PAGES = 1000
_ATTEMPTS = 5
_FIRST_BACKOFF_SECONDS = 1.0
_TIMEOUT_SECONDS = 30
_FIRST_MONTHS = 13
_MAY_PASS = ("ThrottlingException", "InternalServerException", "ServiceUnavailable", "RequestTimeout")
_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_WHOSE = "Give the twelve digits of the AWS account whose invoices are meant, in quotes."

# Our column -> where the answer says it.
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "account_id": ("AccountId",),
    "invoice_id": ("InvoiceId",),
    "original_invoice_id": ("OriginalInvoiceId",),
    "invoice_type": ("InvoiceType",),
    "bill_type": ("BillType",),
    "receiver_role": ("ReceiverRole",),
    "invoicing_entity": ("Entity", "InvoicingEntity"),
    "billing_entity": ("Entity", "BillingEntity"),
    "currency": ("BaseCurrencyAmount", "CurrencyCode"),
    "payment_currency": ("PaymentCurrencyAmount", "CurrencyCode"),
    "exchange_from": ("PaymentCurrencyAmount", "CurrencyExchangeDetails", "SourceCurrencyCode"),
    "exchange_to": ("PaymentCurrencyAmount", "CurrencyExchangeDetails", "TargetCurrencyCode"),
}
_AMOUNTS: Mapping[str, tuple[str, ...]] = {
    "total_amount": ("BaseCurrencyAmount", "TotalAmount"),
    "before_tax_amount": ("BaseCurrencyAmount", "TotalAmountBeforeTax"),
    "payment_amount": ("PaymentCurrencyAmount", "TotalAmount"),
    "exchange_rate": ("PaymentCurrencyAmount", "CurrencyExchangeDetails", "Rate"),
}
_DATES: Mapping[str, tuple[str, ...]] = {"issued_on": ("IssuedDate",), "due_on": ("DueDate",)}
_READ = frozenset(path[0] for path in (*_TEXTS.values(), *_AMOUNTS.values(), *_DATES.values())) | {"BillingPeriod"}

TABLE = Table(name=DATASET, columns={name: pl.String() for name in (*_TEXTS, "billing_month", *_AMOUNTS, *_DATES)})


def recognise(name: str, head: bytes) -> str | None:
    """A saved answer."""
    return DATASET if b'"InvoiceSummaries"' in head else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved answer speaks for the months whose invoices it has."""
    return Fetched(dataset=DATASET, payloads=(Payload(name=name, content=content, media_type="application/json"),))


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """A delivery for each billing month of the window, the month under way included. Raises SourceError."""
    account_id = _account_of(context.settings)
    client, kept = _client(context), _Kept()
    client.meta.events.register(f"before-parse.invoicing.{OPERATION}", kept)
    for period in _months(context):
        start, stop = month_of(period)
        pages, said_at = _pages(context, client, kept, account_id=account_id, period=period)
        yield Fetched(
            dataset=DATASET,
            payloads=tuple(
                Payload(name=f"{period}-{number}.json", content=page, media_type="application/json")
                for number, page in enumerate(pages, start=1)
            ),
            from_at=start,
            to_at=stop,
            stated_at=said_at,
            stated_by="http_date" if said_at else "landed_at",
            settings={"billing_period": period},
            request={"operation": OPERATION, "account_id": account_id, "billing_period": period},
        )


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """One page of one invoice of the month under way."""
    return (Probe(DATASET, partial(_look, context)),)


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where nobody says whose invoices are meant."""
    if (account_id := settings.get("account_id")) is not None and not _is_account(account_id):
        raise ConfigError(key="settings.account_id", value=account_id, fix=_WHOSE)


def parse(content: bytes, settings: Settings) -> Frames:
    """Every summary as one row. Raises QuarantineError, naming it, for one that cannot be so."""
    answer = exact_json(content)
    listed = answer.get("InvoiceSummaries") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise QuarantineError(f"No list InvoiceSummaries. This is no answer of AWS's {OPERATION}.")
    rows = [_row(one, where=f"invoice {number}", settings=settings) for number, one in enumerate(listed, start=1)]
    ids = [row[3] for row in rows]
    if twice := next((invoice for invoice in ids if ids.count(invoice) > 1), None):
        raise QuarantineError(f"Invoice {twice} stands in it twice. Ask for it again.")
    return {DATASET: pl.DataFrame(rows, schema=TABLE.schema, orient="row")}


def _row(one: Any, *, where: str, settings: Settings) -> tuple[Any, ...]:
    if not isinstance(one, dict):
        raise QuarantineError(f"{where}: no object.")
    texts = {
        name: text_or_none(_at(one, path, where), name=".".join(path), where=where) for name, path in _TEXTS.items()
    }
    if not texts["invoice_id"]:
        raise QuarantineError(f"{where}: no InvoiceId.")
    where = f"invoice {texts['invoice_id']}"
    amounts = {name: _amount(_at(one, path, where), path, where) for name, path in _AMOUNTS.items()}
    if amounts["total_amount"] is None or re.fullmatch("[A-Z]{3}", texts["currency"] or "", re.ASCII) is None:
        raise QuarantineError(f"{where}: no BaseCurrencyAmount with a TotalAmount and a CurrencyCode.")
    month = _month(one.get("BillingPeriod"), where)
    asked = settings.get("billing_period")
    if asked is not None and f"{month:%Y-%m}" != asked:
        raise QuarantineError(f"{where}: it is of {month:%Y-%m}, and {asked} was asked for.")
    unknown = {name: value for name, value in one.items() if name not in _READ and value not in (None, [], {})}
    breakdown = {
        f"{name}.{part}": value[part]
        for name in ("BaseCurrencyAmount", "TaxCurrencyAmount", "PaymentCurrencyAmount")
        if isinstance(value := one.get(name), dict)
        for part in ("AmountBreakdown",)
        if value.get(part)
    }
    dates = {name: _day(_at(one, path, where), path[0], where) for name, path in _DATES.items()}
    others = {**unknown, **breakdown}
    return (
        f"{texts['account_id'] or '-'}|{month:%Y-%m}",
        month,
        *texts.values(),
        f"{month:%Y-%m}",
        *amounts.values(),
        *dates.values(),
        canonical_json(others) if others else None,
    )


def _at(one: Mapping[str, Any], path: tuple[str, ...], where: str) -> Any:
    value: Any = one
    for name in path:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise QuarantineError(f"{where}: {'.'.join(path)} stands in no object.")
        value = value.get(name)
    return None if value == "" else value


def _amount(value: Any, path: tuple[str, ...], where: str) -> str | None:
    if value is None:
        return None
    text = decimal_text(value, name=".".join(path), where=where)
    if abs(Decimal(text)) >= TOO_MUCH_MONEY:
        raise QuarantineError(f"{where}: {'.'.join(path)} is {text}, more than any invoice says.")
    return text


def _month(said: Any, where: str) -> date:
    try:
        return date(int(said["Year"]), int(said["Month"]), 1)
    except (TypeError, KeyError, ValueError, OverflowError):
        raise QuarantineError(f"{where}: BillingPeriod is {said!r}, no Month and Year.") from None


def _day(value: Any, name: str, where: str) -> str | None:
    """Seconds since 1970 as the service sends them, or the ISO 8601 that the AWS CLI writes."""
    if value is None:
        return None
    try:
        if isinstance(value, int | JsonNumber):
            return datetime.fromtimestamp(float(value), UTC).date().isoformat()
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date().isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        raise QuarantineError(f"{where}: {name} is {value!r}, not a moment.") from None


# --- asking -----------------------------------------------------------------------------------------------------------


def _is_account(value: object) -> bool:
    return isinstance(value, str) and _ACCOUNT.fullmatch(value) is not None


def _account_of(settings: Mapping[str, Any]) -> str:
    account_id = settings.get("account_id")
    if not _is_account(account_id):
        raise ConfigError(key="settings.account_id", value=account_id or "missing", fix=_WHOSE)
    return str(account_id)


def _months(context: FetchContext) -> list[str]:
    last = context.now.astimezone(UTC).date().replace(day=1)
    start = context.start_of(DATASET)
    first = start.date().replace(day=1) if start is not None else last - timedelta(days=30 * _FIRST_MONTHS)
    months = []
    while (month := first.replace(day=1)) <= last and month < context.to_at.date():
        months.append(f"{month:%Y-%m}")
        first = month + timedelta(days=32)
    return months


def _client(context: FetchContext, *, seconds: float = _TIMEOUT_SECONDS) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
    return boto3.Session().client(
        "invoicing", region_name=_REGION, config=config, endpoint_url=context.settings.get("base_url") or None
    )


def _question(account_id: str, period: str, *, most: int, token: str | None) -> dict[str, Any]:
    year, month = period.split("-")
    return {
        "Selector": {"ResourceType": "ACCOUNT_ID", "Value": account_id},
        "Filter": {"BillingPeriod": {"Year": int(year), "Month": int(month)}},
        "MaxResults": most,
        **({"NextToken": token} if token else {}),
    }


def _pages(
    context: FetchContext, client: Any, kept: "_Kept", *, account_id: str, period: str
) -> tuple[list[bytes], datetime | None]:
    """The answers as they came, until none names a next one; and when the last was given."""
    pages: list[bytes] = []
    tokens: set[str] = set()
    seen: set[str] = set()
    token: str | None = None
    while len(pages) < _MOST_PAGES:
        answer = _asked(context, client, _question(account_id, period, most=_PAGE, token=token))
        pages.append(kept.body)
        ids = [str(one.get("InvoiceId")) for one in answer["InvoiceSummaries"]]
        if again := seen.intersection(ids):
            raise _failure(
                context, f"invoice {min(again)} of {period} is on two pages: they moved while they were read"
            )
        seen.update(ids)
        token = answer.get("NextToken")
        if not token:
            return pages, _moment_of(answer)
        if token in tokens:
            break
        tokens.add(token)
    raise _failure(context, f"the pages of {period} do not end")


class _Kept:
    """The bytes of the last answer: what is landed is what AWS sent, not what boto3 made of it."""

    body = b""

    def __call__(self, response_dict: Mapping[str, Any], **_: Any) -> None:
        self.body = bytes(response_dict["body"])


def _asked(context: FetchContext, client: Any, question: Mapping[str, Any]) -> Mapping[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            answer: Mapping[str, Any] = client.list_invoice_summaries(**question)
            if not isinstance(answer.get("InvoiceSummaries"), list):
                raise _failure(context, f"{OPERATION} answers with something that is not its")
            return answer
        except ClientError as error:
            code = _code(error)
            if code not in _MAY_PASS and _status(error) < 500:
                raise _failure(context, _refusal(code)) from None
            said = code
        except BotoCoreError as error:
            # Of the client's own errors only the kind is said: their text may hold an address with credentials.
            said = type(error).__name__
            if "Credential" in said:
                raise _failure(context, f"there are no AWS credentials ({said})") from None
        if attempt < _ATTEMPTS:
            context.sleep(_FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1))
    raise _failure(context, f"{OPERATION} failed {_ATTEMPTS} times, last with {said}")


def _failure(context: FetchContext, what: str) -> SourceError:
    return SourceError(f"{NAME} of {context.account}: {what}.")


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", "an error"))[:60]


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _refusal(code: str) -> str:
    if code == "AccessDeniedException":
        return f"{OPERATION} is refused ({code}): the role needs invoicing:{OPERATION} on *; {WHICH_POLICY}"
    return f"{OPERATION} is refused ({code})"


def _moment_of(answer: Mapping[str, Any]) -> datetime | None:
    said = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(said).astimezone(UTC)
    except (TypeError, ValueError):
        return None


def _look(context: FetchContext, seconds: float | None) -> Probed:
    from botocore.exceptions import BotoCoreError, ClientError

    account_id = _account_of(context.settings)
    if seconds is None:
        return Probed("not_asked", f"invoices of {account_id}: not asked")
    client = _client(context, seconds=seconds)
    try:
        client.list_invoice_summaries(**_question(account_id, f"{context.now:%Y-%m}", most=1, token=None))
    except ClientError as error:
        code = _code(error)
        access: Access = (
            "throttled" if code == "ThrottlingException" else "not_permitted" if "Denied" in code else "odd"
        )
        return Probed(access, _refusal(code), "Look at the role's policy: breakeven policy aws")
    except BotoCoreError as error:
        kind = type(error).__name__
        fix = "Give this machine a role, or set a profile"
        if "Credential" in kind:
            return Probed("no_key", f"no AWS credentials ({kind})", fix)
        return Probed("unreachable", f"AWS's invoicing cannot be reached ({kind})", "Look at the network")
    return Probed("allowed", f"invoices of {account_id} may be listed")


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="billing_period",
            measure="reference",
            tables=(TABLE,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
    check=check,
    trailing_days=62,
)
