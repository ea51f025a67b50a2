"""Pages of an Admin API: over HTTP, following `next_page` to the end, or in dropped files of the same pages.

An answer is `{"data": [bucket, ...], "has_more": bool, "next_page": token | null}`; a bucket has a start and an end, as
the API's `BucketTimes` spell them, and `results`; it lies on one page only (`limit` counts buckets).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.formats.masking import masked
from pipeline.formats.values import exact_json, instant, json_documents, unix_instant
from pipeline.landing.times import DAY, as_utc, day_start, stamp
from pipeline.sources.source import FetchContext, Fetched, Payload

_ATTEMPTS = 6
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 300.0
_MOST_PAGES = 1000
_TIMEOUT = urllib3.Timeout(connect=10, read=60)
TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})

Params = Sequence[tuple[str, str]]
Bucket = Mapping[str, Any]


class EndpointError(SourceError):
    """This endpoint does not answer this question; the same server may well answer others.

    `problem`: what it said, without the account and the server.
    """

    def __init__(self, message: str, *, problem: str) -> None:
        super().__init__(message)
        self.problem = problem


class KeyMissingError(SourceError):
    """The environment variable that is to hold the key holds none, or something that is no key.

    `problem`, `fix`: the two halves of the message, without the account.
    """

    def __init__(self, *, whose: str, problem: str, fix: str) -> None:
        super().__init__(f"{whose}: {problem}. {fix}.")
        self.problem = problem
        self.fix = fix


@dataclass(frozen=True)
class BucketTimes:
    """How an API spells when a bucket starts and ends: the names, alike in questions and pages, and the values.

    `read(value, name=, where=)` raises QuarantineError for anything else; `spell(moment)` is its inverse.
    """

    start: str
    stop: str
    read: Callable[..., datetime]
    spell: Callable[[datetime], str]


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _unix_seconds(moment: datetime) -> str:
    return str(int(moment.timestamp()))


RFC3339 = BucketTimes(start="starting_at", stop="ending_at", read=instant, spell=_rfc3339)
UNIX_SECONDS = BucketTimes(start="start_time", stop="end_time", read=unix_instant, spell=_unix_seconds)


@dataclass(frozen=True)
class PagedApi:
    """One endpoint of one account. The key is read from the environment and appears in nothing printed."""

    source: str
    url: str
    key_env: str
    permission: str
    headers: Mapping[str, str]
    sleep: Callable[[float], None]
    times: BucketTimes
    key: str = field(repr=False)


@dataclass(frozen=True)
class Chain:
    """The pages of one question, in order. `stated_at`: the HTTP Date of the last one."""

    payloads: tuple[Payload, ...]
    is_closed: bool
    stated_at: datetime | None


def paged_api(
    context: FetchContext,
    *,
    source: str,
    base_url: str,
    path: str,
    key_env: str,
    key_header: str,
    permission: str,
    headers: Mapping[str, str],
    key_scheme: str = "",
    times: BucketTimes = RFC3339,
) -> PagedApi:
    """The endpoint as configured. Raises ConfigError for an unusable address, SourceError for a missing key.

    `key_scheme`: what stands before the key in its header, as `Bearer `.
    """
    base = str(context.settings.get("base_url") or base_url)
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ConfigError(
            key=f"sources.{source}.base_url",
            value=f"{parts.scheme}://{parts.hostname}",
            fix="It must be http(s)://host[:port][/path], without user, password or query.",
        )
    name = str(context.settings.get("key_env") or key_env)
    key = context.environment.get(name, "").strip()
    if not key:
        raise KeyMissingError(
            whose=f"{source} of {context.account}",
            problem=f"the environment variable {name} is not set",
            fix=f"Set it to {permission}, or name another variable in key_env",
        )
    # An odd character would be refused deep in the HTTP client by an error that prints the key.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KeyMissingError(
            whose=f"{source} of {context.account}",
            problem=f"the environment variable {name} holds spaces, line breaks or characters that no key has",
            fix="Set it again, without them",
        )
    return PagedApi(
        source=f"{source} of {context.account}",
        url=base.rstrip("/") + path,
        key_env=name,
        permission=permission,
        headers={**headers, key_header: f"{key_scheme}{key}"},
        sleep=context.sleep,
        times=times,
        key=key,
    )


def day_windows(context: FetchContext, *, source: str, dataset: str, days: int) -> Iterator[tuple[datetime, datetime]]:
    """Windows of at most `days` whole UTC days that cover [the dataset's start, to_at): the day under way too.

    On the first run, when nothing says where to start, they start at the declared horizon.
    """
    start = day_start(as_utc(context.start_of(dataset) or _horizon(context, source)).date())
    to_at = as_utc(context.to_at)
    end = day_start(to_at.date())
    end = end if end == to_at else end + DAY
    while start < end:
        stop = min(start + timedelta(days=days), end)
        yield start, stop
        start = stop


def fetch_chain(api: PagedApi, params: Params, *, start: datetime, stop: datetime) -> Chain:
    """Every page of one question for the buckets of [start, stop). Raises SourceError when a page cannot be had, or has
    others; the chain before it is dropped, and its days are asked for again.
    """
    payloads: list[Payload] = []
    tokens: set[str] = set()
    seen: set[datetime] = set()
    stated_at: datetime | None = None
    token: str | None = None
    with urllib3.PoolManager(timeout=_TIMEOUT, retries=False, headers=dict(api.headers)) as pool:
        while len(payloads) < _MOST_PAGES:
            asked = [*params, ("page", token)] if token else list(params)
            content, page, stated_at = _page(api, pool, asked)
            _refuse_other_buckets(api, page, seen, start=start, stop=stop)
            payloads.append(
                Payload(name=f"page-{len(payloads) + 1:04d}.json", content=content, media_type="application/json")
            )
            if page.get("has_more") is False:
                return Chain(payloads=tuple(payloads), is_closed=True, stated_at=stated_at)
            token = page.get("next_page")
            if page.get("has_more") is not True or not isinstance(token, str) or not token or token in tokens:
                break
            tokens.add(token)
    return Chain(payloads=tuple(payloads), is_closed=False, stated_at=stated_at)


def is_page(answer: object) -> bool:
    """Whether it is `{"data": [...], ...}`."""
    return isinstance(answer, dict) and isinstance(answer.get("data"), list)


def fetch_answer(
    api: PagedApi, params: Params, *, is_answer: Callable[[object], bool] = is_page, body: bytes | None = None
) -> tuple[bytes, datetime | None]:
    """One answer of an API that does not page by `next_page`, and its HTTP Date. Raises SourceError.

    `body`: the question where it is a POST, of one that changes nothing and may be asked again.
    """
    with urllib3.PoolManager(timeout=_TIMEOUT, retries=False, headers=dict(api.headers)) as pool:
        content, _, stated_at = _page(api, pool, params, is_answer=is_answer, body=body)
    return content, stated_at


def fetch_windows(
    context: FetchContext, api: PagedApi, *, source: str, dataset: str, params: Params, grouping: str
) -> Iterator[Fetched]:
    """One delivery for each window of at most 31 days. Each is yielded before the next is asked for, so that what
    was fetched before an error is already landed and the next run goes on from there."""
    times = api.times
    for start, stop in day_windows(context, source=source, dataset=dataset, days=31):
        asked = [(times.start, times.spell(start)), (times.stop, times.spell(stop)), *params]
        chain = fetch_chain(api, asked, start=start, stop=stop)
        yield Fetched(
            dataset=dataset,
            payloads=chain.payloads,
            from_at=start,
            to_at=stop,
            complete=chain.is_closed,
            stated_at=chain.stated_at,
            stated_by="http_date" if chain.stated_at else "landed_at",
            grouping=grouping,
            settings=window_settings(start, stop),
            request={"url": api.url, "params": [list(pair) for pair in asked]},
        )


def window_settings(start: datetime, stop: datetime) -> dict[str, str]:
    """The window as parsing is told it: rows outside it are another window's, and quarantine the file."""
    return {"window_from": stamp(start), "window_to": stamp(stop)}


def window_of(settings: Mapping[str, object]) -> tuple[date, date] | None:
    """The days [from, to) that a delivery's settings say its rows lie in."""
    start, stop = settings.get("window_from"), settings.get("window_to")
    if not isinstance(start, str) or not isinstance(stop, str):
        return None
    return datetime.fromisoformat(start).date(), datetime.fromisoformat(stop).date()


def check_in_window(day: date, *, settings: Mapping[str, object], where: str) -> None:
    """Raise QuarantineError when a row's day lies outside the delivery's window."""
    window = window_of(settings)
    if window is not None and not window[0] <= day < window[1]:
        raise QuarantineError(
            f"{where}: dated {day.isoformat()}, outside the window {window[0].isoformat()} to "
            f"{(window[1] - DAY).isoformat()} of this delivery. Is it another month's file?"
        )


def buckets_in(content: bytes, times: BucketTimes = RFC3339) -> list[tuple[str, Bucket]]:
    """(where, bucket) of every bucket in a file of one page, an array of pages or one page a line."""
    buckets: list[tuple[str, Bucket]] = []
    starts: set[datetime] = set()
    for page_number, page in enumerate(json_documents(content), start=1):
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            raise QuarantineError(f"page {page_number}: no list `data`. This is not a page of the Admin API.")
        for bucket_number, bucket in enumerate(page["data"], start=1):
            where = f"page {page_number}, bucket {bucket_number}"
            if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
                raise QuarantineError(f"{where}: no list `results`.")
            start = bucket_start(bucket, times=times, where=where)
            if start in starts:
                raise QuarantineError(
                    f"{where}: the bucket of {stamp(start)} is in the file twice; it would be counted twice. "
                    "Drop each fetch as a file of its own."
                )
            starts.add(start)
            buckets.append((where, bucket))
    return buckets


def bucket_start(bucket: Bucket, *, times: BucketTimes, where: str) -> datetime:
    """When a bucket starts. Raises QuarantineError unless it lies within one UTC day."""
    start = times.read(bucket.get(times.start), name=times.start, where=where)
    stop = times.read(bucket.get(times.stop), name=times.stop, where=where)
    if not start < stop <= day_start(start.date()) + DAY:
        raise QuarantineError(f"{where}: {stamp(start)} to {stamp(stop)} does not lie within one UTC day.")
    return start


def results_in(
    content: bytes, settings: Mapping[str, object], times: BucketTimes = RFC3339
) -> Iterator[tuple[str, date, Bucket, Mapping[str, Any]]]:
    """(where, UTC day, bucket, result) of every result of every bucket, in the file's order."""
    for place, bucket in buckets_in(content, times):
        day = times.read(bucket[times.start], name=times.start, where=place).date()
        # Also where nothing is in it: other days' nothing is not that of these.
        check_in_window(day, settings=settings, where=place)
        for number, result in enumerate(bucket["results"], start=1):
            where = f"{place}, result {number}"
            if not isinstance(result, dict):
                raise QuarantineError(f"{where}: not an object.")
            yield where, day, bucket, result


def bucket_extras(bucket: Bucket, times: BucketTimes = RFC3339) -> dict[str, object]:
    """Fields of a bucket that no schema names, as other columns of its rows."""
    known = (times.start, times.stop, "results", "object")
    return {f"bucket.{name}": value for name, value in bucket.items() if name not in known}


def dropped_pages(
    name: str,
    content: bytes,
    *,
    dataset: str,
    grouping_of: Callable[[Sequence[Mapping[str, Any]]], str],
    times: BucketTimes = RFC3339,
) -> Fetched:
    """A dropped file of pages as a delivery; the window is what its buckets cover. An unreadable file still lands.

    It is complete when exactly one of its pages is the last of a chain. A stamp in its name, `20261104T060000Z`,
    says when the pages were saved; without one they count as stated when they landed.
    """
    payloads = (Payload(name=name, content=content, media_type="application/json"),)
    try:
        buckets = [bucket for _, bucket in buckets_in(content, times)]
        pages = json_documents(content)
    except QuarantineError:
        return Fetched(dataset=dataset, payloads=payloads)
    if not buckets:
        return Fetched(dataset=dataset, payloads=payloads)
    start = min(times.read(bucket[times.start], name=times.start, where=name) for bucket in buckets)
    stop = max(times.read(bucket[times.stop], name=times.stop, where=name) for bucket in buckets)
    has_more = [page.get("has_more") for page in pages]
    results = [result for bucket in buckets for result in bucket["results"] if isinstance(result, dict)]
    return Fetched(
        dataset=dataset,
        payloads=payloads,
        from_at=start,
        to_at=stop,
        complete=has_more.count(False) == 1 and has_more.count(True) == len(pages) - 1,
        stated_at=stamp_in_name(name),
        stated_by="file_name",
        grouping=grouping_of(results),
    )


def stamp_in_name(name: str) -> datetime | None:
    """The UTC instant that a file's name carries as `20261104T060000Z`, if it does."""
    found = re.search(r"(?<![0-9])([0-9]{8}T[0-9]{6})Z(?![A-Za-z0-9])", name)
    if found is None:
        return None
    try:
        return datetime.strptime(found.group(1), "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def asked_url(api: PagedApi, params: Params) -> str:
    """The endpoint with its parameters."""
    return f"{api.url}?{urlencode(params, safe='[]:')}" if params else api.url


def _page(
    api: PagedApi,
    pool: urllib3.PoolManager,
    params: Params,
    *,
    is_answer: Callable[[object], bool] = is_page,
    body: bytes | None = None,
) -> tuple[bytes, Any, datetime | None]:
    """One page that is whole: asked for again, a bounded number of times, while the failure may pass."""
    url = asked_url(api, params)
    problem, answered = "", False
    for attempt in range(_ATTEMPTS):
        wait = min(_FIRST_BACKOFF_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
        try:
            # A redirect is not followed: the client would send the key to wherever it points.
            response = pool.request("GET" if body is None else "POST", url, body=body, redirect=False)
        except urllib3.exceptions.SSLError as error:
            raise _failed(api, f"the connection is not trusted ({type(error).__name__})") from None
        except urllib3.exceptions.HTTPError as error:
            problem, answered = f"the connection failed ({type(error).__name__}: {without_key(api, error)})", False
        else:
            answered = True
            if response.status == 200:
                try:
                    page = exact_json(response.data)
                except QuarantineError as error:
                    page, problem = None, f"the answer is cut or not JSON ({error})"
                if is_answer(page):
                    return response.data, page, http_date(response.headers.get("date"))
                problem = problem or "the answer is not of the form that this API gives"
            else:
                problem = _status_problem(api, response)
                wait = retry_after(response.headers, default=wait)
        if wait > _LONGEST_WAIT_SECONDS:
            raise _failed(api, f"{problem} and asks to wait {wait:.0f} s")
        if attempt + 1 < _ATTEMPTS:
            api.sleep(wait)
    problem = f"{problem}, {_ATTEMPTS} times"
    raise _refused(api, problem) if answered else _failed(api, problem)


def _status_problem(api: PagedApi, response: urllib3.BaseHTTPResponse) -> str:
    """What a refusal that may pass says; raises SourceError for one that will not pass by asking again.

    A key that is not known (401) is not known anywhere; any other refusal is this endpoint's (EndpointError).
    """
    status = response.status
    if status in (401, 403):
        message = (
            f"{api.source}: {urlsplit(api.url).netloc} refused the key (HTTP {status}). The environment variable "
            f"{api.key_env} must hold {api.permission}; this one is expired, revoked or of another kind. "
            "What was landed before still counts."
        )
        said = f"the key is refused (HTTP {status}{vendor_message(api, response.data)})"
        raise SourceError(message) if status == 401 else EndpointError(message, problem=said)
    if status in TRY_AGAIN:
        return f"it answered HTTP {status}"
    if 300 <= status < 400:
        raise _failed(api, f"it answered HTTP {status}, a redirect; the key is not sent on. Check base_url")
    raise _refused(api, f"it answered HTTP {status}{vendor_message(api, response.data)}")


def vendor_message(api: PagedApi, content: bytes) -> str:
    """What an error says of itself, after a colon and without the key; nothing where it says nothing."""
    try:
        message = exact_json(content)["error"]["message"]
    except (QuarantineError, KeyError, TypeError):
        return ""
    return f": {without_key(api, message)}"


def without_key(api: PagedApi, message: object) -> str:
    """The beginning of what a server or the client said, without the key."""
    return masked(str(message), [api.key])[:200]


def _failed(api: PagedApi, problem: str) -> SourceError:
    return SourceError(_failure(api, problem))


def _refused(api: PagedApi, problem: str) -> EndpointError:
    return EndpointError(_failure(api, problem), problem=problem)


def _failure(api: PagedApi, problem: str) -> str:
    return (
        f"{api.source}: {urlsplit(api.url).netloc}: {problem}. Nothing of this window counts; what was landed before "
        "still does. Run again later."
    )


def retry_after(headers: Mapping[str, str], *, default: float) -> float:
    """Seconds the server asks to wait, as a number or as a date relative to its own Date; at least the backoff."""
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return max(default, float(asked[:9]))
    until, now = http_date(asked), http_date(headers.get("date"))
    if until is None or now is None:
        return default
    return max(default, (until - now).total_seconds())


def http_date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return as_utc(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError):
        return None


def _refuse_other_buckets(
    api: PagedApi, page: Mapping[str, Any], seen: set[datetime], *, start: datetime, stop: datetime
) -> None:
    """A bucket is one that was asked for, and lies on one page only; one that comes twice would be counted twice."""
    for number, bucket in enumerate(page["data"], start=1):
        if not isinstance(bucket, dict):
            continue
        try:
            begins = api.times.read(bucket.get(api.times.start), name=api.times.start, where=f"bucket {number}")
        except QuarantineError:
            continue
        if not start <= begins < stop:
            raise _refused(api, f"it answered with the bucket of {stamp(begins)}, which was not asked for")
        if begins in seen and bucket.get("results"):
            raise _refused(api, f"the bucket of {stamp(begins)} came on two pages of one chain")
        if bucket.get("results"):
            seen.add(begins)


def _horizon(context: FetchContext, source: str) -> datetime:
    declared = context.settings.get("horizon")
    try:
        return day_start(date.fromisoformat(str(declared)[:10]))
    except ValueError:
        raise ConfigError(
            key=f"sources.{source}.horizon",
            value="missing" if declared is None else declared,
            fix="Say the first day to fetch, as 2026-01-01.",
        ) from None
