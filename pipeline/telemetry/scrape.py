"""One `/metrics` answer of an engine over HTTP: whole, or refused with the reason. Standard library only.

A redirect is not followed and no proxy is used: what answers is what was named. A body shorter than its Content-Length
is refused here, one that is cut between two lines by `formats.exposition`.
"""

import http.client
import re
import time
from collections.abc import Callable
from contextlib import closing
from urllib.parse import SplitResult, urlsplit

from pipeline.errors import SourceError
from pipeline.formats.masking import masked

# A busy engine of many adapters prints a few MB. More is not a scrape.
_MOST_BYTES = 32 * 1024**2
_CHUNK_BYTES = 65_536
_QUERY_VALUE = re.compile(r"=[^&;#]*")
_ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"


class ScrapeError(SourceError):
    """The address did not give a whole `/metrics` answer. The message names it, without its password, and why.

    `http_status`: what it answered instead; null where it answered nothing, or 200 and no whole body.
    """

    http_status: int | None = None


def metrics_url(text: str) -> str:
    """The address of the metrics: as given, `/metrics` where it names no path. ValueError says what is wrong."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{shown_url(text)!r} is no address. Write it as http://host:8000 or http://host:8000/metrics."
        )
    _ = parts.port  # A port that is no number raises ValueError here, not when it is asked.
    return parts._replace(path="/metrics", fragment="").geturl() if parts.path in ("", "/") else text


def scrape(url: str, *, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> str:
    """The body of one answer, as text. ScrapeError where there is none within so many seconds, or it is not whole."""
    deadline = monotonic() + seconds
    try:
        with closing(_connection(urlsplit(url), seconds=seconds)) as connection:
            answer = _answer(connection, url)
            if not 200 <= answer.status < 300:
                failed = _failed(url, f"it answers HTTP {answer.status} {answer.reason}")
                failed.http_status = answer.status
                raise failed
            content = _body(answer, deadline=deadline, monotonic=monotonic)
    except http.client.IncompleteRead as error:
        raise _failed(url, f"the body is cut after {len(error.partial)} bytes, fewer than it announced") from None
    except TimeoutError:
        raise _failed(url, f"no whole answer within {seconds:g} s") from None
    except http.client.InvalidURL:
        # Its own words repeat the query, which may hold a token.
        raise _failed(url, "its path or its query holds a blank or a control character: write it as %20") from None
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise _failed(url, f"{error}") from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _failed(url, f"byte {error.start} of the body is not UTF-8: this is no /metrics answer") from None


def shown_url(url: str) -> str:
    """The address as it may be printed: without a user, a password and what its query says."""
    address, mark, query = masked(url, ()).partition("?")
    return address + mark + _QUERY_VALUE.sub("=(hidden)", query)


def _connection(parts: SplitResult, *, seconds: float) -> http.client.HTTPConnection:
    """Not `urllib.request`: it follows, proxies and caches, and with what it imports is five megabytes of an agent."""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    # Without a port it would look for one behind the last colon, which is part of an IPv6 address.
    return kind(parts.hostname or "", parts.port or kind.default_port, timeout=seconds)


def _answer(connection: http.client.HTTPConnection, url: str) -> http.client.HTTPResponse:
    parts = urlsplit(url)
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    connection.request("GET", path, headers={"Accept": _ACCEPT, "Connection": "close", **_authorization(url)})
    return connection.getresponse()


def _body(answer: http.client.HTTPResponse, *, deadline: float, monotonic: Callable[[], float]) -> bytes:
    chunks: list[bytes] = []
    size = 0
    # read1 returns what has come, so that one who answers a byte at a time is given up on at the deadline.
    while chunk := answer.read1(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > _MOST_BYTES:
            raise ValueError(f"the body is larger than {_MOST_BYTES} bytes")
        if monotonic() > deadline:
            raise TimeoutError
    if answer.length:
        raise http.client.IncompleteRead(b"".join(chunks), answer.length)
    return b"".join(chunks)


def _authorization(url: str) -> dict[str, str]:
    from base64 import b64encode
    from urllib.parse import unquote

    user, separator, _ = urlsplit(url).netloc.rpartition("@")
    if not separator:
        return {}
    return {"Authorization": f"Basic {b64encode(unquote(user).encode()).decode()}"}


def _failed(url: str, reason: str) -> ScrapeError:
    return ScrapeError(f"{shown_url(url)}: {' '.join(masked(reason, ()).split())}. Is this the engine's own address?")
