"""What a prepaid account bought, was given, lost and held: a CSV that somebody keeps, in breakeven's own columns.

Credits of OpenAI, Anthropic, RunPod, OpenRouter or DeepSeek: what was used of them is on the bill that another source
brings; what was put in, and what the provider shows as left, no export of theirs says with dates (OpenRouter's
`/credits` and DeepSeek's `/user/balance` give a balance of the moment, and no day's end). So it is written down:

    date,entry,amount,currency,reference
    2026-10-31,balance,412.50,USD,
    2026-11-03,purchase,500.00,USD,R-1001
    2026-11-03,receipt,545.00,USD,R-1001

`entry` is one of
  balance    what the provider shows at the end of that UTC day; may be below 0
  purchase   credits bought       grant    credits given
  expiry     credits that ended   refund   credits given back for money
  receipt    what was paid, tax and fees included. It ties to the purchases of its reference, and to no usage

The source's `account` is the one whose bill is paid in advance; `settings.issuer` is that bill's issuer (anthropic,
openai, openrouter, deepseek, or the account's own name where a source has no issuer). Amounts are in the bill's
currency. A file is what it says until a file of its name, in its folder, says otherwise; several files add up.
"""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError
from pipeline.formats.values import TOO_MUCH_MONEY, csv_header, decimal_text, iso_date, other_columns, read_csv
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.sources.dropped import dropped_days
from pipeline.sources.source import Fetched, Source

NAME = "prepaid_csv"
DATASET = "entries"
ENTRIES = ("balance", "purchase", "grant", "expiry", "refund", "receipt")

_REQUIRED = ("date", "entry", "amount", "currency")
_COLUMNS = (*_REQUIRED, "reference")
TABLE = Table(
    name=DATASET,
    columns={
        "issuer": pl.String(),
        "entry": pl.String(),
        "amount": pl.String(),
        "currency": pl.String(),
        "reference": pl.String(),
    },
)
_ISSUER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}", re.ASCII)
_WHO = "Say who issues the bill that is paid in advance, as anthropic or openrouter."


def recognise(name: str, head: bytes) -> str | None:
    """By its columns."""
    return DATASET if set(_REQUIRED) <= set(csv_header(head)) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file, a unit of restatement by its name."""
    declared = {"issuer": settings.get("issuer"), "file": PurePath(name).with_suffix("").as_posix()}
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="text/csv",
        days=lambda: parse(content, declared)[DATASET]["usage_date"].to_list(),
        settings=declared,
        is_window=False,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row, amounts as spelled. Raises QuarantineError, naming the row, for one that cannot be so."""
    issuer = settings.get("issuer")
    if not isinstance(issuer, str) or _ISSUER.fullmatch(issuer) is None:
        raise QuarantineError(f"settings.issuer is {issuer!r}. {_WHO}")
    file = read_csv(content, last_line_end_required=False)
    if absent := [name for name in _REQUIRED if name not in file.header]:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. It needs {', '.join(_COLUMNS)}.")
    rows = []
    balances: set[tuple[object, str]] = set()
    for number, record in file.records():
        where = f"row {number}"
        day = iso_date(record["date"].strip(), name="date", where=where)
        entry, currency = record["entry"].strip(), record["currency"].strip()
        if entry not in ENTRIES:
            raise QuarantineError(f"{where}: entry is {entry!r}. It is one of {', '.join(ENTRIES)}.")
        if re.fullmatch(r"[A-Z]{3}", currency, re.ASCII) is None:
            raise QuarantineError(f"{where}: the currency is {currency!r}, not a code of three capitals.")
        amount = decimal_text(record["amount"], name="amount", where=where)
        if entry != "balance" and Decimal(amount) < 0:
            raise QuarantineError(f"{where}: {entry} is {amount}, below 0. What goes out has entries of its own.")
        if abs(Decimal(amount)) >= TOO_MUCH_MONEY:
            raise QuarantineError(f"{where}: {entry} is {amount}, more than any account holds.")
        if entry == "balance" and (day, currency) in balances:
            raise QuarantineError(f"{where}: a second balance of {day} in {currency}. A day ends with one.")
        balances |= {(day, currency)} if entry == "balance" else set()
        unknown = {name: text for name, text in record.items() if name not in _COLUMNS and text}
        reference = record.get("reference", "").strip() or None
        bucket = str(settings.get("file") or DATASET)
        rows.append((bucket, day, issuer, entry, amount, currency, reference, other_columns(unknown)))
    if not rows:
        raise QuarantineError(
            "It has no entries, so what a file of its name said before still counts. To take that back, redact it: "
            "`breakeven landing redact`."
        )
    return {DATASET: pl.DataFrame(rows, schema=TABLE.schema, orient="row")}


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where nobody says whose bill is paid in advance."""
    issuer = settings.get("issuer")
    if not isinstance(issuer, str) or _ISSUER.fullmatch(issuer) is None:
        raise ConfigError(key="settings.issuer", value=issuer, fix=_WHO)


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
    recognise=recognise,
    drop=drop,
    check=check,
)
