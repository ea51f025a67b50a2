"""One small question to a server, asked once: an answer that is bounded in bytes and in time, or what kept it away."""

import errno
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

import urllib3

from pipeline.errors import QuarantineError, SourceError
from pipeline.formats.values import exact_json
from pipeline.landing.times import DAY, as_utc, day_start
from pipeline.sources.http import KeyMissingError, PagedApi, Params, asked_url, is_page, vendor_message
from pipeline.sources.source import FetchContext, Probe, Probed

# A day's bucket without groups is a few hundred bytes.
_MOST_BYTES = 256 * 1024
_PIECE_BYTES = 16 * 1024
_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH)
TRY_AGAIN = "Try again; if it stays so, look at the network between this machine and it"


class UnreachableError(SourceError):
    """No answer came: `str()` says why, without the address."""


@dataclass(frozen=True)
class Answer:
    """What a server answered: its body as far as it was read. `is_whole`: there was no more of it."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    is_whole: bool


def ask_once(
    url: str,
    *,
    headers: Mapping[str, str],
    seconds: float,
    most_bytes: int = _MOST_BYTES,
    redirects: int = 0,
    body: bytes | None = None,
) -> Answer:
    """GET, or POST where there is a `body`, once. At most `redirects` are followed: none where a key goes with the
    question. UnreachableError.
    """
    until = time.monotonic() + seconds
    retries = (
        urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=redirects) if redirects else False
    )
    timeout = urllib3.Timeout(connect=seconds, read=seconds)
    with urllib3.PoolManager(timeout=timeout, headers=dict(headers)) as pool:
        try:
            response = pool.request(
                "GET" if body is None else "POST",
                url,
                body=body,
                retries=retries,
                redirect=redirects > 0,
                preload_content=False,
            )
            content, is_whole = _begin(response, most_bytes=most_bytes, until=until)
            return Answer(response.status, response.headers, content, is_whole)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(_why(error, seconds)) from None


def _begin(response: urllib3.BaseHTTPResponse, *, most_bytes: int, until: float) -> tuple[bytes, bool]:
    """The beginning of a body, and whether that is all of it."""
    content = bytearray()
    try:
        while len(content) <= most_bytes and time.monotonic() < until:
            piece = response.read1(_PIECE_BYTES)
            if not piece:
                return bytes(content), True
            content += piece
        return bytes(content), False
    finally:
        # Not given back to the pool: what is left of it is not read.
        response.close()


def _why(error: BaseException, seconds: float) -> str:
    """What kept the answer away, in words; of a text that is not ours only what cannot hold an address."""
    cause = (error.reason or error) if isinstance(error, urllib3.exceptions.MaxRetryError) else error
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "its name is not known here (DNS)"
    # A connection that is refused is a kind of timeout to the client.
    if isinstance(cause, urllib3.exceptions.TimeoutError) and not isinstance(
        cause, urllib3.exceptions.NewConnectionError
    ):
        return f"no answer within {seconds:g} s"
    if isinstance(cause, urllib3.exceptions.SSLError):
        return _why_not_trusted(cause)
    number = getattr(cause.__cause__ or cause.__context__, "errno", None)
    if number == errno.ECONNREFUSED:
        return "the connection is refused: nothing listens there, or a firewall is between"
    if number in _NO_ROUTE:
        return "there is no route to it from here"
    return f"the connection broke ({type(cause).__name__})"


def _why_not_trusted(error: urllib3.exceptions.SSLError) -> str:
    found = error.args[0] if error.args else None
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here ({found.verify_message})"
    reason = getattr(found, "reason", None) or type(found).__name__
    return f"TLS cannot be agreed with it ({reason})"


def page_probe(
    api_of: Callable[[], PagedApi],
    *,
    context: FetchContext,
    dataset: str,
    params: Params | None = None,
    is_answer: Callable[[object], bool] = is_page,
    body: bytes | None = None,
) -> Probe:
    """Whether the key may read one dataset of an Admin API: one bucket, of yesterday, without groups.

    `params`: the question, where the API asks for a day in other words; `is_answer`: what it answers, where that is no
    page; `body`: the question of a POST.
    """
    return Probe(dataset, partial(_ask_for_a_page, api_of, context, params, is_answer, body))


def _ask_for_a_page(
    api_of: Callable[[], PagedApi],
    context: FetchContext,
    own: Params | None,
    is_answer: Callable[[object], bool],
    body: bytes | None,
    seconds: float | None,
) -> Probed:
    try:
        api = api_of()
    except KeyMissingError as error:
        return Probed("no_key", error.problem, error.fix)
    if seconds is None:
        return Probed("not_asked", f"a key is set in {api.key_env}; not asked")
    today = day_start(as_utc(context.now).date())
    buckets = [
        (api.times.start, api.times.spell(today - DAY)),
        (api.times.stop, api.times.spell(today)),
        ("bucket_width", "1d"),
        ("limit", "1"),
    ]
    params = buckets if own is None else own
    host = urlsplit(api.url).netloc
    try:
        answer = ask_once(asked_url(api, params), headers=api.headers, seconds=seconds, body=body)
    except UnreachableError as error:
        return Probed("unreachable", f"{host}: {error}", TRY_AGAIN)
    return _of_page(api, host, answer, is_answer)


def _of_page(api: PagedApi, host: str, answer: Answer, is_answer: Callable[[object], bool]) -> Probed:
    status, said = answer.status, vendor_message(api, answer.content)
    if status == 200:
        return _of_content(api, host, answer, is_answer)
    if status == 401:
        return Probed(
            "refused",
            f"{host} does not know the key in {api.key_env} (HTTP 401): it is mistyped, expired or revoked",
            f"Set {api.key_env} to {api.permission}",
        )
    if status == 403:
        return Probed(
            "not_permitted",
            f"{host} knows the key in {api.key_env} and refuses it (HTTP 403{said})",
            f"{api.key_env} must hold {api.permission}",
        )
    if status == 404:
        return Probed(
            "not_found",
            f"{host} has no {urlsplit(api.url).path} (HTTP 404{said})",
            "Correct base_url, or remove it for the provider's own",
        )
    if status == 429:
        return Probed("throttled", f"{host} allows it and asks to wait (HTTP 429{_wait(answer.headers)})")
    if status >= 500:
        return Probed("unreachable", f"{host} fails (HTTP {status})", TRY_AGAIN)
    if 300 <= status < 400:
        return Probed(
            "odd", f"{host} answers with a redirect (HTTP {status}); the key is not sent on", "Correct base_url"
        )
    return Probed("odd", f"{host} answers HTTP {status}{said}", "Check base_url, and whether this release is current")


def _of_content(api: PagedApi, host: str, answer: Answer, is_answer: Callable[[object], bool]) -> Probed:
    fix = "Check base_url: what answers there is not the provider's API"
    if not answer.is_whole:
        read = f"{len(answer.content) // 1024:,} KiB"
        return Probed("odd", f"{host} answers HTTP 200 with a body that does not end ({read} read of one day)", fix)
    try:
        page = exact_json(answer.content)
    except QuarantineError:
        page = None
    if not is_answer(page):
        return Probed("odd", f"{host} answers HTTP 200 with something that is no page of the API", fix)
    return Probed("allowed", f"{host} answers, and the key in {api.key_env} may read it")


def _wait(headers: Mapping[str, str]) -> str:
    asked = headers.get("retry-after", "").strip()
    is_seconds = asked.isascii() and asked.isdigit() and len(asked) <= 6
    return f", retry after {timedelta(seconds=int(asked))}" if is_seconds else ""
