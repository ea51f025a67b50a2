"""What `check --bill` answers: each file's totals, tokens re-rated at list price, when self-hosting would pay."""

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.check.bills import REPORTING_CURRENCY, SPOOL, Bills, CheckedFile, Row, provider_of
from pipeline.decisions.price_book import PRICE_BOOK, book_version
from pipeline.economics.conditions import Case, conditions
from pipeline.economics.conditions_in_words import in_words
from pipeline.economics.daily_demand import HOURS_PER_DAY, flattest
from pipeline.economics.exact import money_text, to_places
from pipeline.economics.units import cost_per_mtok
from pipeline.formats.writing import fixed
from pipeline.landing.times import DAY, days_between

_HOUR_MS = 3_600_000
_PLACES = 18
_AVERAGE_MONTH_HOURS = Fraction(365 * 24, 12)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One model and token class, or one service and category. `amount`: in `currency`, as `measure` says (billed,
    rated, metered); None where the file states none. `list_amount`: the same tokens at list price, in USD; None where
    unpriced or not tokens. `difference`: amount less list_amount of what has both.
    """

    subject: str
    line_class: str
    measure: str
    currency: str | None
    amount: Decimal | None
    tokens: int | None = None
    list_amount: Decimal | None = None
    difference: Decimal | None = None
    count: str = ""


@dataclass(frozen=True, kw_only=True)
class Told:
    """One file, or several together (`file` None): its lines, in order, and sentences about them."""

    title: str
    file: CheckedFile | None
    lines: tuple[Line, ...]
    said: tuple[str, ...] = ()

    def totals(self) -> dict[str, Decimal]:
        """Currency -> the sum of what is stated in it."""
        found: dict[str, Decimal] = {}
        for line in self.lines:
            if line.amount is not None and line.currency is not None:
                found[line.currency] = found.get(line.currency, Decimal(0)) + line.amount
        return dict(sorted(found.items()))

    @property
    def tokens(self) -> int | None:
        counted = [line.tokens for line in self.lines if line.tokens is not None]
        return sum(counted) if counted else None

    @property
    def list_total(self) -> Decimal | None:
        priced = [line.list_amount for line in self.lines if line.list_amount is not None]
        return sum(priced, Decimal(0)) if priced else None

    @property
    def difference(self) -> Decimal | None:
        known = [line.difference for line in self.lines if line.difference is not None]
        return sum(known, Decimal(0)) if known else None


@dataclass(frozen=True, kw_only=True)
class BillAnswer:
    """`told`: one a file that could be read, then one for what several say together. `unread`: the others."""

    told: tuple[Told, ...]
    unread: tuple[CheckedFile, ...]
    self_hosting: tuple[str, ...]
    unknown: tuple[str, ...]


def bill_answer(bills: Bills, *, rate: Decimal | None, currency: str, gpu_count: int | None) -> BillAnswer:
    """`rate`, `currency` and `gpu_count` are of the GPUs that would serve the traffic, where they are known."""
    read = [file for file in bills.files if file.source is not None and file.problem is None]
    told = [_of_file(bills, file) for file in read]
    told += _of_spools(bills, rate=rate, currency=currency)
    hosting: list[str] = []
    for provider, account in bills.together.items():
        if not bills.of("api", account):
            continue
        if account not in {file.account for file in read}:
            title = f"All files of {provider} together"
            told.append(Told(title=title, file=None, lines=tuple(_api_lines(bills.of("api", account)))))
        hosting.append(
            f"{provider}: {_self_hosting(bills, account, rate=rate, currency=currency, gpu_count=gpu_count)}"
        )
    return BillAnswer(
        told=tuple(told),
        unread=tuple(file for file in bills.files if file.source is None or file.problem is not None),
        self_hosting=tuple(hosting),
        unknown=tuple(_unknown(bills, read, told)),
    )


def _of_file(bills: Bills, file: CheckedFile) -> Told:
    api = bills.of("api", file.account)
    lines = [
        *_api_lines(api),
        *_cloud_lines(bills.of("cloud", file.account), bills.of("cloud_models", file.account)),
        *map(_estimate_line, bills.of("estimates", file.account)),
        *map(_gateway_line, bills.of("gateways", file.account)),
        *map(_metered_line, bills.of("metered", file.account)),
        *map(_invoice_line, bills.of("invoices", file.account)),
        *map(_prepaid_line, bills.of("prepaid", file.account)),
    ]
    rates = [
        f"{row['rates_count']:,} rates of {row['currencies_count']} currencies"
        for row in bills.of("rates", file.account)
    ]
    drivers = [
        f"{row['values_count']:,} values of {row['driver']} by the {row['period']}, in all {row['driver_quantity']:,f}"
        for row in bills.of("drivers", file.account)
    ]
    totals = [
        f"invoice {row['invoice_id']} of {row['billing_month_date']:%Y-%m}: {row['billing_currency']} "
        f"{money_text(Fraction(row['payable_cost']))}, {row['invoice_issuer'] or 'AWS'}"
        for row in bills.of("invoice_totals", file.account)
    ]
    used = [
        f"{row['resource_id']}: {_used_time(row['used_milliseconds'])} hours of "
        f"{'GPUs' if row['is_gpu_time'] else 'instances'}, {row['from_date']} to {row['last_date']}, without a cost"
        for row in bills.of("used_hours", file.account)
    ]
    return Told(title=file.name, file=file, lines=tuple(lines), said=(*rates, *drivers, *totals, *used))


def _used_time(milliseconds: int | None) -> str:
    return "unknown" if milliseconds is None else _hours(int(milliseconds))


def _of_spools(bills: Bills, *, rate: Decimal | None, currency: str) -> list[Told]:
    lines = _spool_lines(bills, rate=rate, currency=currency)
    title = "All spool files together: GPUs by the hour, engines by the token"
    return [Told(title=title, file=None, lines=tuple(lines), said=tuple(_per_mtok(lines, currency)))] if lines else []


def _api_lines(rows: Iterable[Row]) -> list[Line]:
    lines = []
    for row in rows:
        list_amount, billed = row["list_cost_rc"], row["listed_billed_cost"]
        is_comparable = list_amount is not None and billed is not None and row["billing_currency"] == REPORTING_CURRENCY
        tier = row["service_tier"]
        lines.append(
            Line(
                subject=row["model"] or f"no model ({row['provider']})",
                line_class=row["charge_class"] if tier in (None, "standard") else f"{row['charge_class']}, {tier}",
                measure="metered" if row["billed_cost"] is None else "billed",
                currency=row["billing_currency"],
                amount=row["billed_cost"],
                tokens=row["tokens"],
                list_amount=list_amount,
                difference=billed - list_amount if is_comparable else None,
            )
        )
    return lines


def _cloud_lines(services: Sequence[Row], models: Sequence[Row]) -> list[Line]:
    """By service, and the use of those that host models by model: each charge in one line."""
    hosting = {row["service"] for row in models}
    others = [row for row in services if row["charge_category"] != "Usage" or row["service"] not in hosting]
    return [*map(_model_line, models), *map(_cloud_line, others)]


def _model_line(row: Row) -> Line:
    told = [row["service_tier"] if row["service_tier"] != "standard" else None, row["inference_geo"]]
    return Line(
        subject=row["subject"],
        line_class=", ".join([row["token_class"] or "not tokens", *(text for text in told if text is not None)]),
        measure="billed",
        currency=row["billing_currency"],
        amount=row["billed_cost"],
        tokens=row["tokens"],
        count="" if row["tokens"] is not None else _lines(row["charges_count"]),
    )


def _cloud_line(row: Row) -> Line:
    category = (
        row["charge_category"] if row["charge_class"] is None else f"{row['charge_category']}, {row['charge_class']}"
    )
    return Line(
        subject=row["service"],
        line_class=category,
        measure="billed",
        currency=row["billing_currency"],
        amount=row["billed_cost"],
        count=_lines(row["lines_count"]),
    )


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"


def _estimate_line(row: Row) -> Line:
    return Line(
        subject=row["model"],
        line_class=row["provider"] or "no provider named",
        measure="rated",
        currency=row["billing_currency"],
        amount=row["rated_cost"],
        count="" if row["requests_count"] is None else f"{row['requests_count']:,.0f} requests",
    )


def _gateway_line(row: Row) -> Line:
    return Line(
        subject=row["model"] or "no model named",
        line_class=f"{row['provider'] or 'no provider named'}, in {row['hours_count']:,} hours",
        measure="counted",
        currency=None,
        amount=None,
        tokens=row["tokens"],
        count=f"{row['requests_count']:,} requests",
    )


def _metered_line(row: Row) -> Line:
    """Nothing of it has a price by the token: its tokens are told in words, so that no sum takes them for such."""
    seconds, tokens = row["accelerator_seconds"], (row["other_input_tokens"], row["other_output_tokens"])
    said = [f"{row['event_count']:,} events"]
    if seconds is not None:
        said.append(f"{row['accelerator_type'] or 'hardware'} for {money_text(Fraction(seconds))} s")
    said += [f"{count:,} {name} tokens" for name, count in zip(("input", "output"), tokens, strict=True) if count]
    return Line(
        subject=row["raw_model"] or "no model named",
        line_class=row["usage_type"] or "no type named",
        measure="metered",
        currency=None,
        amount=None,
        count=", ".join(said),
    )


def _invoice_line(row: Row) -> Line:
    return Line(
        subject=row["subject"] or "no resource named",
        line_class=row["charge_kind"],
        measure="billed",
        currency=row["billing_currency"],
        amount=row["billed_cost"],
        count=_lines(row["lines_count"]),
    )


def _prepaid_line(row: Row) -> Line:
    """No amount of its own: entries of several kinds are not added up."""
    newest = "newest " if row["entry"] == "balance" else ""
    amount = "an unknown amount" if row["entry_amount"] is None else money_text(Fraction(row["entry_amount"]))
    return Line(
        subject=row["entry"],
        line_class="prepaid account",
        measure="entered",
        currency=None,
        amount=None,
        count=f"{row['entries_count']:,}: {newest}{row['billing_currency']} {amount}",
    )


def _spool_lines(bills: Bills, *, rate: Decimal | None, currency: str) -> list[Line]:
    gpus = [
        Line(
            subject=f"{row['host']} {row['gpu_uuid']}",
            line_class="GPU-hours seen",
            measure="accrued",
            currency=None if rate is None else currency,
            amount=None
            if rate is None
            else to_places(Fraction(rate) * row["healthy_milliseconds"] / _HOUR_MS, _PLACES),
            count=f"{_hours(row['healthy_milliseconds'])} h seen, {_hours(row['busy_milliseconds'])} h busy",
        )
        for row in bills.of("gpus", SPOOL)
    ]
    engines = [
        Line(subject=row["model"], line_class=token_class, measure="metered", currency=None, amount=None, tokens=tokens)
        for row in bills.of("engines", SPOOL)
        for token_class, tokens in (
            ("input_uncached" if row["has_cached_counter"] else "input", row["input_uncached_tokens"]),
            ("input_cache_read", row["input_cache_read_tokens"]),
            ("output", row["output_tokens"]),
        )
        if tokens is not None
    ]
    return [*gpus, *engines]


def _hours(milliseconds: int) -> str:
    return fixed(to_places(Fraction(milliseconds, _HOUR_MS), 2), 2)


def _per_mtok(lines: Sequence[Line], currency: str) -> list[str]:
    """Full cost per million tokens of a spool file: what its GPUs cost by the hour over what its engines served."""
    accrued = [line.amount for line in lines if line.measure == "accrued" and line.amount is not None]
    tokens = sum(line.tokens or 0 for line in lines if line.measure == "metered" and line.amount is None)
    if not accrued:
        return []
    price = cost_per_mtok(cost=sum(accrued, Decimal(0)), tokens=tokens)
    if price is None:
        return [
            "Realized cost per million tokens: undefined, as no token was counted between two scrapes. It is not 0."
        ]
    return [f"Realized cost per million tokens, full, accrued at your rate: {currency} {fixed(price, 4)}"]


# --- what would have to be true --------------------------------------------------------------------------------------


def _self_hosting(bills: Bills, account: str, *, rate: Decimal | None, currency: str, gpu_count: int | None) -> str:
    rows = [row for row in bills.of("api", account) if row["charge_kind"] == "tokens"]
    if not rows:
        return "no charge for tokens in these files: there is nothing that GPUs could serve instead."
    known = bills.days.get(account)
    first, last = min(row["from_date"] for row in rows), max(row["last_date"] for row in rows)
    days = [day for day in days_between(first, last + DAY) if known is None or day in known]
    cost, said, its_currency = _api_cost(rows)
    months = _months(days)
    if cost is None or its_currency is None:
        return said
    if cost <= 0:
        return (
            f"the tokens come to {its_currency} {money_text(cost)} {said}: there is nothing that GPUs could undercut."
        )
    known_rate = rate if currency == its_currency else None
    ignored = "" if rate is None or known_rate is not None else f" Your rate is in {currency} and is left out."
    hours, is_spread = _hours_of(bills.of("api_hours", account), days)
    span = f"{first} to {last}" if first != last else f"{first}"
    if len(days) <= (last - first).days:
        span += f", {len(days)} days of it in these files"
    if not any(hours):
        return f"{_in_money(cost, its_currency, months, said, span, known_rate)}{ignored}"
    replica = "replica" if gpu_count is None else f"replica of {gpu_count} GPU{'' if gpu_count == 1 else 's'}"
    found = conditions(
        Case(
            hourly_tokens=hours,
            api_cost=cost,
            months=months,
            gpu_hour_rate=known_rate,
            gpus_per_replica=gpu_count,
        )
    )
    spread = " Days without hours are spread evenly over theirs, the best case." if is_spread else ""
    words = in_words(found, currency=its_currency, replica=replica)
    what = f"{sum(hours):,} tokens, {its_currency} {money_text(cost)} {said}, {span}"
    return f"{words} (All of it moved: {what}.{spread}{ignored})"


def _api_cost(rows: Sequence[Row]) -> tuple[Fraction | None, str, str | None]:
    """What the tokens cost: billed where every cell of them is, else at list where every one is priced. Never both."""
    metered = [row for row in rows if row["tokens"]]
    billed = [row for row in rows if row["billed_cost"] is not None]
    currencies = {row["billing_currency"] for row in billed}
    if billed and all(row["billed_cost"] is not None for row in metered):
        if len(currencies) > 1:
            return None, f"billed in {' and '.join(sorted(currencies))}, which are not added up.", None
        return sum((Fraction(row["billed_cost"]) for row in billed), Fraction(0)), "billed", currencies.pop()
    if all(row["listed_tokens"] == row["tokens"] for row in metered):
        total = sum((Fraction(row["list_cost_rc"]) for row in metered), Fraction(0))
        return total, "at list price", REPORTING_CURRENCY
    unpriced = sorted({str(row["model"]) for row in metered if row["listed_tokens"] != row["tokens"]})
    return None, f"not known: tokens of {', '.join(unpriced)} are neither billed here nor in the price book.", None


def _in_money(cost: Fraction, currency: str, months: Fraction, said: str, span: str, rate: Decimal | None) -> str:
    monthly = cost / months
    text = (
        f"Self-hosting pays only if GPUs, people and all else cost at most {currency} {money_text(monthly)} a month "
        f"({currency} {money_text(cost)} {said}, {span})."
    )
    if rate is None:
        return f"{text} How many tokens a GPU would have to serve, the usage export beside it says."
    gpus = monthly / Fraction(rate) / _AVERAGE_MONTH_HOURS
    at_most = "less than one GPU" if gpus < 1 else f"at most {gpus.numerator // gpus.denominator:,} GPUs"
    return f"{text} At {currency} {rate} a GPU-hour that is {at_most} around the clock, and nothing else."


def _months(days: Sequence[date]) -> Fraction:
    """How many months these days are, each a part of its own month. Days that no file speaks for are none of them."""
    return sum((Fraction(1, monthrange(day.year, day.month)[1]) for day in days), Fraction(0))


def _hours_of(rows: Sequence[Row], known: Sequence[date]) -> tuple[list[int], bool]:
    """Tokens in each hour of the days known, and whether some of them are only known by the day."""
    days = {day: [0] * HOURS_PER_DAY for day in known}
    is_spread = False
    for row in rows:
        hours = days.get(row["usage_date"])
        if hours is None:
            continue
        if row["usage_hour_at"] is None:
            is_spread = True
            for hour, tokens in enumerate(flattest(row["tokens"])):
                hours[hour] += tokens
        else:
            hours[row["usage_hour_at"].hour] += row["tokens"]
    return [tokens for hours in days.values() for tokens in hours], is_spread


# --- what is unknown -------------------------------------------------------------------------------------------------


def _unknown(bills: Bills, read: Sequence[CheckedFile], told: Sequence[Told]) -> list[str]:
    said = list(bills.notes)
    for file in read:
        said += [f"{file.name}: {note}." for note in file.notes]
        if file.rows == 0:
            said.append(f"{file.name}: no row of its own, so nothing is known of what it would have said. It is not 0.")
    api = [one for one in told if one.file is not None and provider_of(str(one.file.source)) is not None]
    billed = [one for one in api if any(line.amount is not None for line in one.lines)]
    if billed and not any(one.tokens for one in told):
        files = "this file says" if len(billed) == 1 else "these files say"
        said.append(f"How many tokens: {files} money only. Give the usage export of the same days beside it.")
    unpriced = sorted({line.subject for one in api for line in one.lines if line.tokens and line.list_amount is None})
    if unpriced:
        said.append(
            f"List prices: {PRICE_BOOK} {book_version()} has none for some tokens of {', '.join(unpriced)}: unpriced."
        )
    foreign = sorted({currency for one in told for currency in one.totals() if currency != REPORTING_CURRENCY})
    if foreign:
        said.append(f"List prices are in USD: beside {', '.join(foreign)} no difference is taken.")
    return said


# --- for programs ----------------------------------------------------------------------------------------------------


def document(answer: BillAnswer) -> dict[str, Any]:
    """The answer as JSON has it: decimals as text, null where unknown or not stated."""
    return {
        "check": "bill",
        "files": [_told(one) for one in answer.told if one.file is not None],
        "together": [_told(one) for one in answer.told if one.file is None],
        "unread": [
            {"file": file.name, "source": file.source, "dataset": file.dataset, "problem": file.problem}
            for file in answer.unread
        ],
        "list_price_book": f"{PRICE_BOOK} {book_version()}",
        "self_hosting": list(answer.self_hosting),
        "unknown": list(answer.unknown),
    }


def _told(one: Told) -> dict[str, Any]:
    file = one.file
    about: Mapping[str, Any] = (
        {"title": one.title}
        if file is None
        else {
            "file": file.name,
            "source": file.source,
            "dataset": file.dataset,
            "measure": file.measure,
            "from_date": None if file.from_date is None else file.from_date.isoformat(),
            "last_date": None if file.last_date is None else file.last_date.isoformat(),
            "accounts": list(file.own_accounts),
            "rows": file.rows,
            "unknown_columns": list(file.unknown_columns),
        }
    )
    return {
        **about,
        "totals": {currency: format(amount, "f") for currency, amount in one.totals().items()},
        "tokens": one.tokens,
        "list_total": _text(one.list_total),
        "billed_less_list": _text(one.difference),
        "lines": [line_row(line) for line in one.lines],
        "said": list(one.said),
    }


def line_row(line: Line) -> dict[str, Any]:
    return {
        "subject": line.subject,
        "class": line.line_class,
        "measure": line.measure,
        "tokens": line.tokens,
        "currency": line.currency,
        "amount": _text(line.amount),
        "list_amount": _text(line.list_amount),
        "billed_less_list": _text(line.difference),
    }


def rows(answer: BillAnswer) -> list[dict[str, Any]]:
    """The same for a spreadsheet: one line of a file a row; a file that could not be read is a row with its reason."""
    found = [
        {"file": one.title, "source": None if one.file is None else one.file.source, **line_row(line), "problem": None}
        for one in answer.told
        for line in one.lines
    ]
    blank = dict.fromkeys(
        ["subject", "class", "measure", "tokens", "currency", "amount", "list_amount", "billed_less_list"]
    )
    found += [{"file": file.name, "source": file.source, **blank, "problem": file.problem} for file in answer.unread]
    return found or [{"file": None, "source": None, **blank, "problem": None}]


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")
