"""The HTTP API of Prometheus and of what speaks it: Mimir, Thanos, VictoriaMetrics, Amazon Managed Prometheus.

Samples are had as they were scraped: an instant query of a range selector, `series[1h]`, gives every stored sample with
its own timestamp. `query_range` would evaluate at steps and can pass over samples, so it is never used.

A window is [start, stop). Prometheus 3 reads `series[d]` at T as (T-d, T], older ones as [T-d, T]: a window is asked
for as d = stop - start at T = stop - 1 ms, and the one sample that an older server adds before it is dropped by whoever
reads the answer (`prometheus_answers`). So windows that follow each other hold every sample once.

A series that ended is absent: a server answers no staleness marker, and what it answers as NaN is no reading.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from pipeline.errors import ConfigError, SourceError
from pipeline.formats.masking import masked
from pipeline.landing.times import as_utc
from pipeline.sources.http import TRY_AGAIN, EndpointError, KeyMissingError, http_date, retry_after
from pipeline.sources.prometheus_answers import is_labels

_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 300.0
_MOST_BYTES = 256 * 1024**2
_PIECE_BYTES = 1024**2
_SMALLEST_WINDOW = timedelta(minutes=1)
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 300
# How servers say that a question asks for too much: Prometheus and Thanos "too many samples", "sample limit", Mimir
# "err-mimir-max-...", VictoriaMetrics "-search.max...", proxies "too large".
_TOO_MUCH = ("too many samples", "too large", "limit", "max-", "search.max", "exceed", "maximum", "timed out")

Params = Sequence[tuple[str, str]]


class TooMuchError(EndpointError):
    """The server will not answer so much at once; a smaller window may do."""


@dataclass(frozen=True)
class Prometheus:
    """One server, and how it is asked. What it is asked with appears in nothing printed.

    `whose`: begins its errors (`prometheus of main`). `asked_with`: in words, without the secret. `seconds`: how long
    one answer may keep silent. `sign(url)`: further headers of one question. `takes_partial`: lists of series and names
    are taken as they come, also where the server says that they are not whole.
    """

    whose: str
    url: str
    asked_with: str
    sleep: Callable[[float], None]
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    attempts: int = 6
    seconds: float = 60.0
    takes_partial: bool = False
    sign: Callable[[str], Mapping[str, str]] | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True)
class Said:
    """One answer of `status: success`. `content`: its bytes as they came.

    `warnings`: what the server says is missing from it; an answer that has some is not the whole truth.
    `stated_at`: its HTTP Date.
    """

    content: bytes
    data: Any
    warnings: tuple[str, ...]
    stated_at: datetime | None


def prometheus_at(
    url: str,
    *,
    whose: str,
    environment: Mapping[str, str],
    sleep: Callable[[float], None],
    token_env: str | None = None,
    tenant: str | None = None,
    sigv4_region: str | None = None,
    attempts: int = 6,
    seconds: float = 60.0,
    takes_partial: bool = False,
) -> Prometheus:
    """The server at an address: the part before `/api/v1`.

    `token_env`: the variable that holds a bearer token. `tenant`: X-Scope-OrgID. `sigv4_region`: sign with the AWS
    credentials found here, as Amazon Managed Prometheus wants. Raises ConfigError for an address that is none,
    KeyMissingError where the variable is not set.
    """
    if not _is_address(url):
        raise ConfigError(
            key="url",
            # Whatever stands before an @ may be a password, also where the address cannot be taken apart.
            value=url.rpartition("@")[2].partition("?")[0],
            fix="It must be http(s)://host[:port][/path], without user, password or query: a token has a variable.",
        )
    if tenant is not None and not (tenant.isascii() and tenant.isprintable() and tenant.strip() == tenant and tenant):
        raise ConfigError(key="tenant", value=tenant, fix="It is the X-Scope-OrgID as the server knows it.")
    if token_env is not None and sigv4_region is not None:
        raise ConfigError(
            key="sigv4_region", value=sigv4_region, fix="Give a token's variable or sigv4_region, not both."
        )
    headers = {"accept-encoding": "gzip", "accept": "application/json"}
    token = None
    if tenant is not None:
        headers["X-Scope-OrgID"] = tenant
    if token_env is not None:
        token = _token(token_env, whose=whose, environment=environment)
        headers["Authorization"] = f"Bearer {token}"
    return Prometheus(
        whose=whose,
        url=url.rstrip("/").removesuffix("/api/v1"),
        asked_with=(
            f"the token in {token_env}"
            if token_env
            else f"an AWS signature for {sigv4_region}"
            if sigv4_region
            else "no token"
        ),
        sleep=sleep,
        headers=headers,
        secrets=() if token is None else (token,),
        attempts=attempts,
        seconds=seconds,
        takes_partial=takes_partial,
        sign=None if sigv4_region is None else _aws_signer(sigv4_region, whose=whose),
    )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    is_bare = "@" not in parts.netloc and not parts.query and not parts.fragment
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_bare


def _token(name: str, *, whose: str, environment: Mapping[str, str]) -> str:
    token = environment.get(name, "").strip()
    if not token:
        raise KeyMissingError(
            whose=whose,
            problem=f"the environment variable {name} is not set",
            fix="Set it to a bearer token that may read metrics, or name another variable",
        )
    # An odd character would be refused deep in the HTTP client by an error that prints the token.
    if not token.isascii() or not token.isprintable() or " " in token:
        raise KeyMissingError(
            whose=whose,
            problem=f"the environment variable {name} holds spaces, line breaks or characters that no token has",
            fix="Set it again, without them and without `Bearer`",
        )
    return token


def _aws_signer(region: str, *, whose: str) -> Callable[[str], Mapping[str, str]]:
    """Signs a GET for the service `aps`, with the credentials of the AWS default chain as they are at that moment."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        credentials = Session().get_credentials()
    except BotoCoreError as error:
        raise KeyMissingError(
            whose=whose, problem=f"the AWS credentials here cannot be read ({error})", fix="Mend the AWS profile"
        ) from None
    if credentials is None:
        raise KeyMissingError(
            whose=whose,
            problem="there are no AWS credentials here, and sigv4_region wants every question signed",
            fix="Set AWS_PROFILE, or run where a role is attached that allows aps:QueryMetrics, aps:GetSeries and "
            "aps:GetLabels",
        )

    def sign(url: str) -> Mapping[str, str]:
        request = AWSRequest(method="GET", url=url)
        try:
            SigV4Auth(credentials.get_frozen_credentials(), "aps", region).add_auth(request)
        except BotoCoreError as error:
            raise SourceError(f"{whose}: AWS gives no credentials to sign with: {error}. Log in again.") from None
        return {name: str(value) for name, value in request.headers.items()}

    return sign


# --- questions -------------------------------------------------------------------------------------------------------


def raw_samples(server: Prometheus, selector: str, *, start: datetime, stop: datetime) -> Said:
    """Every stored sample of a selector (`name{label="value"}`) in [start, stop), in one answer: `matrix_in` reads it.

    Whole milliseconds. Raises TooMuchError where the server wants a smaller window; SourceError.
    """
    range_ms = _milliseconds(stop) - _milliseconds(start)
    if range_ms <= 0:
        raise ValueError(f"{start} to {stop} is no window.")
    return ask(server, f"{selector}[{range_ms}ms]", at=stop - _MILLISECOND)


def raw_windows(
    server: Prometheus, selector: str, *, start: datetime, stop: datetime, longest: timedelta
) -> Iterator[tuple[datetime, datetime, Said]]:
    """[start, stop) in answers of at most `longest` each, in order. What is too much for the server is asked in halves.

    Raises SourceError where a minute of it is still too much.
    """
    length = longest
    while start < stop:
        end = min(start + length, stop)
        try:
            said = raw_samples(server, selector, start=start, stop=end)
        except TooMuchError as error:
            length = _whole_seconds((end - start) / 2)
            if length < _SMALLEST_WINDOW:
                raise EndpointError(
                    f"{server.whose}: {server.host}: {error.problem}, for {_SMALLEST_WINDOW.seconds} seconds of "
                    f"{selector} too. Narrow what is asked for (settings.match), or raise the server's limit.",
                    problem=error.problem,
                ) from None
            continue
        yield start, end, said
        start = end


def ask(server: Prometheus, expression: str, *, at: datetime) -> Said:
    """One instant query. Raises SourceError; TooMuchError where it asks for too much at once."""
    return _get(server, "/api/v1/query", [("query", expression), ("time", f"{_milliseconds(at) / 1000:.3f}")])


def series_in(server: Prometheus, matches: Sequence[str], *, start: datetime, stop: datetime) -> list[dict[str, str]]:
    """The label sets of the series that match any of the selectors and have samples in [start, stop], in order."""
    params = [*(("match[]", match) for match in matches), *_between(start, stop)]
    said = _whole(server, _get(server, "/api/v1/series", params))
    if not isinstance(said.data, list) or not all(is_labels(item) for item in said.data):
        raise _odd(server, "/api/v1/series answers something that is no list of series")
    return sorted(said.data, key=lambda labels: sorted(labels.items()))


def metric_names(server: Prometheus, *, start: datetime, stop: datetime, match: str | None = None) -> list[str]:
    """The names of all metrics with samples in [start, stop], or of those that a selector matches, in order."""
    params = [*([("match[]", match)] if match else []), *_between(start, stop)]
    said = _whole(server, _get(server, "/api/v1/label/__name__/values", params))
    if not isinstance(said.data, list) or not all(isinstance(name, str) for name in said.data):
        raise _odd(server, "/api/v1/label/__name__/values answers something that is no list of names")
    return sorted(said.data)


def version_of(server: Prometheus) -> str | None:
    """What the server says its version is; None where it does not say (not every one that speaks the API does)."""
    try:
        said = _get(server, "/api/v1/status/buildinfo", [])
    except EndpointError:
        return None
    version = said.data.get("version") if isinstance(said.data, dict) else None
    return version if isinstance(version, str) else None


def _between(start: datetime, stop: datetime) -> Params:
    return [("start", f"{_milliseconds(start) / 1000:.3f}"), ("end", f"{_milliseconds(stop) / 1000:.3f}")]


def _whole(server: Prometheus, said: Said) -> Said:
    """An answer without warnings: a list that is cut would pass for everything there is."""
    if said.warnings and not server.takes_partial:
        raise EndpointError(
            f"{server.whose}: {server.host} answers in part only: {'; '.join(said.warnings)}. Mend that and ask again.",
            problem=f"it answers in part only: {'; '.join(said.warnings)}",
        )
    return said


def _milliseconds(moment: datetime) -> int:
    return (as_utc(moment) - _EPOCH) // _MILLISECOND


def _whole_seconds(length: timedelta) -> timedelta:
    return timedelta(seconds=length // timedelta(seconds=1))


# --- the wire --------------------------------------------------------------------------------------------------------


def _get(server: Prometheus, path: str, params: Params) -> Said:
    """One answer that is whole: asked for again, a bounded number of times, while the failure may pass."""
    # As AWS signs it: a space is %20, never +.
    url = server.url + path + (f"?{urlencode(params, quote_via=quote, safe='-_.~')}" if params else "")
    problem, answered = "", False
    timeout = urllib3.Timeout(connect=min(server.seconds, 10), read=server.seconds)
    with urllib3.PoolManager(timeout=timeout, retries=False) as pool:
        for attempt in range(server.attempts):
            wait = min(_FIRST_BACKOFF_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
            headers = {**server.headers, **(server.sign(url) if server.sign else {})}
            try:
                # A redirect is not followed: the client would send the token to wherever it points.
                response = pool.request("GET", url, headers=headers, redirect=False, preload_content=False)
                content = _body(server, response)
            except urllib3.exceptions.SSLError as error:
                raise _failed(server, f"the connection is not trusted ({type(error).__name__})") from None
            except urllib3.exceptions.HTTPError as error:
                problem, answered = f"the connection failed ({type(error).__name__}: {_clean(server, error)})", False
            else:
                answered = True
                answer = _answer(content)
                if response.status == 200 and answer is not None and answer.get("status") == "success":
                    return Said(content, answer.get("data"), _warnings(server, answer), _date(response))
                if response.status == 200:
                    problem = "the answer is cut, or it is none of Prometheus' HTTP API"
                else:
                    problem = _status_problem(server, path, response.status, answer)
                    wait = retry_after(response.headers, default=wait)
            if wait > _LONGEST_WAIT_SECONDS:
                raise _failed(server, f"{problem} and asks to wait {wait:.0f} s")
            if attempt + 1 < server.attempts:
                server.sleep(wait)
    times = f", {server.attempts} times" if server.attempts > 1 else ""
    raise _odd(server, f"{problem}{times}") if answered else _failed(server, f"{problem}{times}")


def _body(server: Prometheus, response: urllib3.BaseHTTPResponse) -> bytes:
    """All of an answer, of which there may be 256 MiB: it is held in memory."""
    content = bytearray()
    try:
        for piece in response.stream(_PIECE_BYTES, decode_content=True):
            content += piece
            if len(content) > _MOST_BYTES:
                raise _too_much(server, f"the answer is larger than {_MOST_BYTES // 1024**2} MiB")
    finally:
        response.release_conn()
        response.close()
    return bytes(content)


def _answer(content: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _warnings(server: Prometheus, answer: Mapping[str, Any]) -> tuple[str, ...]:
    found = answer.get("warnings") or []
    return tuple(_clean(server, text) for text in (found if isinstance(found, list) else [found]))


def _status_problem(server: Prometheus, path: str, status: int, answer: Mapping[str, Any] | None) -> str:
    """What a refusal that may pass says; raises SourceError for one that will not pass by asking again."""
    kind, text = (str(answer.get("errorType") or ""), str(answer.get("error") or "")) if answer else ("", "")
    said = f": {_clean(server, text)}" if text else ""
    if status in (401, 403):
        message = (
            f"{server.whose}: {server.host} refuses {server.asked_with} (HTTP {status}{said}). "
            "It must be allowed to query this server"
            + (", and the tenant must be one it may read" if "X-Scope-OrgID" in server.headers else "")
            + (
                ""
                if server.secrets or server.sign
                else ": name the variable with a bearer token (key_env, or check --token-env)"
            )
            + ". What was landed before still counts."
        )
        problem = f"{server.asked_with} is refused (HTTP {status}{said})"
        raise SourceError(message) if status == 401 else EndpointError(message, problem=problem)
    if status in (413, 504) or kind == "timeout" or (status in (400, 422) and _asks_too_much(text)):
        raise _too_much(server, f"it will not answer so much at once (HTTP {status}{said})")
    if status in TRY_AGAIN:
        return f"it answered HTTP {status}{said}"
    if 300 <= status < 400:
        raise _failed(server, f"it answered HTTP {status}, a redirect, which is not followed. Correct url")
    if status == 404:
        raise _odd(
            server,
            f"it has no {path} (HTTP 404). The url is the part before /api/v1: Mimir's ends in /prometheus, that of "
            "VictoriaMetrics' cluster in /select/0/prometheus, Amazon's in /workspaces/ws-...",
        )
    if status == 400 and "org id" in text.lower():
        raise _odd(server, f"it wants to know the tenant (HTTP 400{said}). Name it in tenant")
    raise _odd(server, f"it answered HTTP {status}{said}")


def _asks_too_much(text: str) -> bool:
    return any(words in text.lower() for words in _TOO_MUCH)


def _too_much(server: Prometheus, problem: str) -> TooMuchError:
    return TooMuchError(_failure(server, problem), problem=problem)


def _odd(server: Prometheus, problem: str) -> EndpointError:
    return EndpointError(_failure(server, problem), problem=problem)


def _failed(server: Prometheus, problem: str) -> SourceError:
    return SourceError(_failure(server, problem))


def _failure(server: Prometheus, problem: str) -> str:
    return (
        f"{server.whose}: {server.host}: {problem}. Nothing of this window counts; what was landed before still does. "
        "Run again later."
    )


def _clean(server: Prometheus, message: object) -> str:
    """The beginning of what a server or the client said, without the token."""
    return masked(" ".join(str(message).split()), server.secrets)[:_SHOWN]


def _date(response: urllib3.BaseHTTPResponse) -> datetime | None:
    return http_date(response.headers.get("date"))
