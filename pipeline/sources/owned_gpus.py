"""Owned GPU machines as declared: what each costs a day, exactly.

Depreciation is straight-line: (capex - residual) over `months` months counted from `in_service`, in the currency's
smallest unit by largest remainder (the first months take the leftover units), each month spread over its days in
quanta of 10^-18 the same way. `hosting_monthly` is spread over the days of its calendar month. Power is
watts / 1000 x 24 h x PUE x tariff. `power_watts` is the whole machine's average draw, not its nameplate.
Depreciation ends with its months; hosting and power go on until `out_of_service` (exclusive), if declared.
Source of the method: FOCUS for Data Center and the worked examples of FinOps practice, recomputed in the tests.
"""

import json
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Context, Decimal, Inexact
from typing import Any

import polars as pl
from babel.numbers import get_currency_precision

from pipeline.errors import ConfigError, QuarantineError
from pipeline.formats.values import canonical_json, decimal_text, exact_json, iso_date, other_columns, text_or_none
from pipeline.landing.dataset import Dataset, Frames, Money, Settings, Table
from pipeline.landing.times import DAY, as_utc, day_start, days_between
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Probed, Source

NAME = "owned_gpus"
SCHEMA = "breakeven.owned_gpus/1"
DECLARED_FILE = "owned_gpus.json"
_QUANTUM_DIGITS = 18
_EXACT = Context(prec=80, traps=[Inexact])
_EXACT_TO_WHOLE = Context(prec=80)

_DECIMALS = ("capex", "residual", "hosting_monthly", "power_watts", "power_tariff_per_kwh", "pue")
_COUNTS = ("gpu_count", "months")
_DATES = ("in_service", "out_of_service")
_TEXTS = ("asset_id", "host", "currency")
_REQUIRED = ("asset_id", "host", "gpu_count", "capex", "residual", "months", "in_service", "currency")
_POWER = ("power_watts", "power_tariff_per_kwh", "pue")

CHARGES = Table(
    name="charges",
    columns={
        name: pl.String()
        for name in ("asset_id", "host", "gpu_count", "charge_kind", "quantity", "unit", "amount", "currency")
    },
    money=Money(home="gpu", amount="amount", currency_column="currency"),
)


@dataclass(frozen=True)
class Asset:
    """One machine as declared. `power` is (watts, tariff per kWh, PUE), or None where the bill has no power line."""

    asset_id: str
    host: str
    gpu_count: int
    currency: str
    capex: Decimal
    residual: Decimal
    months: int
    in_service: date
    out_of_service: date | None
    hosting_monthly: Decimal | None
    power: tuple[Decimal, Decimal, Decimal] | None
    other: Mapping[str, object]


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The declaration as it is today, for the days of the window: one delivery."""
    assets, read = _declared(context)
    start = day_start(as_utc(context.from_at).date() if context.from_at else _first_day(context, read))
    to_at = as_utc(context.to_at)
    end = day_start(to_at.date())
    end = end if end == to_at else end + DAY
    if start >= end:
        return
    body = {
        "schema": SCHEMA,
        "from": start.date().isoformat(),
        "to": end.date().isoformat(),
        "assets": sorted(assets, key=lambda asset: str(asset["asset_id"])),
    }
    content = (canonical_json(body) + "\n").encode()
    yield replace(_delivery(DECLARED_FILE, content, start, end), request={"declared": NAME})


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the declaration can be read: there is nothing to ask for."""
    return (Probe("owned_charges", lambda _: _counted(context)),)


def _counted(context: FetchContext) -> Probed:
    count = len(_declared(context)[1])
    return Probed("allowed", f"{count} machine{'' if count == 1 else 's'} declared")


def _declared(context: FetchContext) -> tuple[list[dict[str, object]], list[Asset]]:
    """The machines as they are written in breakeven.yaml, and as they are read."""
    declared = context.settings.get("assets")
    if not isinstance(declared, list) or not declared:
        raise ConfigError(key=f"sources.{NAME}.settings.assets", value=declared, fix="List the machines there.")
    assets = [_plain(asset, number) for number, asset in enumerate(declared)]
    try:
        return assets, _assets(assets)
    except QuarantineError as error:
        raise ConfigError(key=f"sources.{NAME}.settings.assets", value="as declared", fix=f"{error}") from None


def recognise(name: str, head: bytes) -> str | None:
    """The file names our schema."""
    return "owned_charges" if f'"{SCHEMA}"'.encode() in head else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A declaration written by another system: the same JSON that fetch writes."""
    try:
        start, end, _ = _read(content)
    except QuarantineError:
        return Fetched(dataset="owned_charges", payloads=(Payload(name=name, content=content),))
    return _delivery(name, content, day_start(start), day_start(end))


def parse(content: bytes, settings: Settings) -> Frames:
    """Every asset's charges of every day of the declared window, as decimal text with 18 digits after the point."""
    start, end, assets = _read(content)
    rows = []
    for asset in assets:
        for day, kind, quantity, unit, amount in _charges(asset, start, end):
            rows.append(
                (
                    day.isoformat(),
                    day,
                    asset.asset_id,
                    asset.host,
                    str(asset.gpu_count),
                    kind,
                    quantity,
                    unit,
                    amount,
                    asset.currency,
                    other_columns(asset.other),
                )
            )
    return {CHARGES.name: pl.DataFrame(rows, schema=CHARGES.schema, orient="row")}


def monthly_depreciation(*, depreciable_units: int, months: int) -> list[int]:
    """The smallest currency units of each month: they differ by at most one and sum to the whole."""
    return _split(depreciable_units, months)


def _charges(asset: Asset, start: date, end: date) -> Iterator[tuple[date, str, str, str, str]]:
    """(day, kind, quantity, unit, amount) of every charge in [start, end)."""
    for day, quanta in _depreciation(asset, start, end):
        yield day, "depreciation", "1", "day", _amount(quanta)
    first = max(start, asset.in_service)
    last = min(end, asset.out_of_service) if asset.out_of_service else end
    for day in days_between(first, last):
        if asset.hosting_monthly is not None:
            days = _split(_quanta(asset.hosting_monthly), monthrange(day.year, day.month)[1])
            yield day, "hosting", "1", "day", _amount(days[day.day - 1])
        if asset.power is not None:
            kilowatt_hours, amount = power_a_day(asset.power)
            yield day, "power", format(kilowatt_hours, "f"), "kWh", _amount(_quanta(amount))


def power_a_day(power: tuple[Decimal, Decimal, Decimal]) -> tuple[Decimal, Decimal]:
    """(kWh at the meter of the site, its price) of 24 hours at `watts`."""
    watts, tariff, pue = power
    machine_kilowatt_hours = _EXACT.multiply(watts.scaleb(-3, _EXACT), Decimal(24))
    kilowatt_hours = _EXACT.multiply(machine_kilowatt_hours, pue)
    return kilowatt_hours, _EXACT.multiply(kilowatt_hours, tariff)


def _depreciation(asset: Asset, start: date, end: date) -> Iterator[tuple[date, int]]:
    """(day, quanta) of the days of [start, end) that lie in the asset's depreciation months."""
    digits = get_currency_precision(asset.currency)
    units = int((asset.capex - asset.residual).scaleb(digits, _EXACT))
    for index, month_units in enumerate(monthly_depreciation(depreciable_units=units, months=asset.months)):
        first = _add_months(asset.in_service, index)
        stop = _add_months(asset.in_service, index + 1)
        if stop <= start or first >= end:
            continue
        quanta = _split(month_units * 10 ** (_QUANTUM_DIGITS - digits), (stop - first).days)
        for day, day_quanta in zip(days_between(first, stop), quanta, strict=True):
            if start <= day < end:
                yield day, day_quanta


def _split(total: int, parts: int) -> list[int]:
    """Equal shares by largest remainder: all remainders are equal, so the earliest parts take the leftover units."""
    share, leftover = divmod(total, parts)
    return [share + 1] * leftover + [share] * (parts - leftover)


def _add_months(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day: 31 January, 28 February, 31 March."""
    year, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + year, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def _is_whole(number: Decimal) -> bool:
    return number == number.to_integral_value(context=_EXACT_TO_WHOLE)


def _quanta(amount: Decimal) -> int:
    return int(amount.scaleb(_QUANTUM_DIGITS, _EXACT))


def _amount(quanta: int) -> str:
    whole, fraction = divmod(quanta, 10**_QUANTUM_DIGITS)
    return f"{whole}.{fraction:0{_QUANTUM_DIGITS}d}"


def _delivery(name: str, content: bytes, start: datetime, end: datetime) -> Fetched:
    return Fetched(
        dataset="owned_charges",
        payloads=(Payload(name=name, content=content, media_type="application/json"),),
        from_at=start,
        to_at=end,
    )


def _read(content: bytes) -> tuple[date, date, list[Asset]]:
    body = exact_json(content)
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        raise QuarantineError(f"The file does not say schema {SCHEMA!r}.")
    if not isinstance(body.get("assets"), list):
        raise QuarantineError("assets: no list of machines.")
    start = iso_date(body.get("from"), name="from", where="window")
    end = iso_date(body.get("to"), name="to", where="window")
    if not start < end:
        raise QuarantineError(f"The window {start.isoformat()} to {end.isoformat()} (exclusive) is empty.")
    return start, end, _assets(body["assets"])


def _assets(declared: list[Any]) -> list[Asset]:
    assets: list[Asset] = []
    for number, fields in enumerate(declared):
        asset = _asset(fields, where=f"assets.{number}")
        if any(asset.asset_id == known.asset_id for known in assets):
            raise QuarantineError(f"assets.{number}: asset_id {asset.asset_id!r} is declared twice. Rename one.")
        assets.append(asset)
    return assets


def _asset(fields: object, *, where: str) -> Asset:
    """One machine, checked. Raises QuarantineError naming the field, its value and the fix."""
    if not isinstance(fields, Mapping):
        raise QuarantineError(f"{where} is {fields!r}, not a machine with fields.")
    missing = [name for name in _REQUIRED if fields.get(name) is None]
    if missing:
        raise QuarantineError(f"{where}: {', '.join(missing)} missing. Declare it.")
    texts = {name: text_or_none(fields[name], name=name, where=where) or "" for name in _TEXTS}
    decimals = {
        name: Decimal(decimal_text(fields[name], name=name, where=where, fraction_digits=9))
        for name in _DECIMALS
        if fields.get(name) is not None
    }
    counts = {name: fields[name] for name in _COUNTS}
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1200:
            raise QuarantineError(f"{where}: {name} is {value!r}, not a whole number from 1 to 1200.")
    for name, value in decimals.items():
        if value < 0 or value >= 10**12:
            raise QuarantineError(f"{where}: {name} is {value}. It lies between 0 and 10^12.")
    for name, text in texts.items():
        if not text or (name == "currency" and not (len(text) == 3 and text.isascii() and text.isupper())):
            raise QuarantineError(f"{where}: {name} is {text!r}. Declare a name; a currency is a code such as USD.")
    depreciable = decimals["capex"] - decimals["residual"]
    digits = get_currency_precision(texts["currency"])
    if depreciable < 0:
        raise QuarantineError(f"{where}: residual {decimals['residual']} exceeds capex {decimals['capex']}.")
    if not _is_whole(depreciable.scaleb(digits, _EXACT)):
        raise QuarantineError(
            f"{where}: capex - residual is {depreciable}, not a whole number of {texts['currency']} units "
            f"({digits} digits after the point)."
        )
    given = [name for name in _POWER if name in decimals]
    if given and len(given) < len(_POWER):
        absent = ", ".join(name for name in _POWER if name not in decimals)
        raise QuarantineError(f"{where}: {', '.join(given)} without {absent}. Declare all three, or none.")
    power = (decimals["power_watts"], decimals["power_tariff_per_kwh"], decimals["pue"]) if given else None
    if power is not None and not _is_whole(power_a_day(power)[1].scaleb(_QUANTUM_DIGITS, _EXACT)):
        raise QuarantineError(
            f"{where}: {', '.join(_POWER)} are so fine that a day's price has more than {_QUANTUM_DIGITS} digits after "
            "the point. Round one of them."
        )
    in_service = iso_date(fields["in_service"], name="in_service", where=where)
    retired = fields.get("out_of_service")
    out_of_service = None if retired is None else iso_date(retired, name="out_of_service", where=where)
    if out_of_service is not None and out_of_service <= in_service:
        raise QuarantineError(f"{where}: out_of_service {out_of_service} is not after in_service {in_service}.")
    known = {*_DECIMALS, *_COUNTS, *_DATES, *_TEXTS}
    return Asset(
        asset_id=texts["asset_id"],
        host=texts["host"],
        gpu_count=counts["gpu_count"],
        currency=texts["currency"],
        capex=decimals["capex"],
        residual=decimals["residual"],
        months=counts["months"],
        in_service=in_service,
        out_of_service=out_of_service,
        hosting_monthly=decimals.get("hosting_monthly"),
        power=power,
        other={name: value for name, value in fields.items() if name not in known},
    )


def _plain(fields: object, number: int) -> dict[str, object]:
    """A machine as YAML read it, as JSON: dates as text, and a float as the shortest text a person could have meant."""
    if not isinstance(fields, Mapping):
        raise ConfigError(
            key=f"sources.{NAME}.settings.assets.{number}", value=fields, fix="It is a machine with fields."
        )
    plain: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, date):
            plain[str(name)] = value.isoformat()[:10]
        elif isinstance(value, float | Decimal):
            plain[str(name)] = str(value)
        else:
            plain[str(name)] = json.loads(json.dumps(value, default=str))
    return plain


def _first_day(context: FetchContext, assets: list[Asset]) -> date:
    horizon = context.settings.get("horizon")
    first = min(asset.in_service for asset in assets)
    return first if horizon is None else max(first, date.fromisoformat(str(horizon)[:10]))


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name="owned_charges",
            mode="replace",
            bucket="utc_day",
            measure="effective",
            tables=(CHARGES,),
            parse=parse,
            settle_lag=timedelta(0),
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
    trailing_days=0,
)
