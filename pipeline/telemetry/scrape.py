"""One `/metrics` answer of an engine over HTTP: whole and within its time, or refused with the reason.

A redirect is not followed and no proxy is used: what answers is what was named. A body shorter than its Content-Length
is refused here, one that is cut between two lines by `formats.exposition`.
"""

from __future__ import annotations

import re
import time
from binascii import b2a_base64
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from pipeline.errors import SourceError
from pipeline.formats.masking import masked
from pipeline.telemetry.deadline import Deadline
from pipeline.telemetry.http import AddressError, CutError, ask

# A busy engine of many adapters prints a few MB. More is not a scrape.
_MOST_BYTES = 32 * 1024**2
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
    parts = urlsplit(url)
    try:
        answer = ask(
            "GET",
            host=parts.hostname or "",
            port=parts.port or (443 if parts.scheme == "https" else 80),
            is_tls=parts.scheme == "https",
            target=parts._replace(scheme="", netloc="", fragment="").geturl() or "/",
            headers={"Accept": _ACCEPT, **_authorization(parts.netloc)},
            deadline=Deadline(seconds, monotonic=monotonic),
            most_bytes=_MOST_BYTES,
        )
    except CutError as error:
        raise _failed(url, f"the body is cut after {error.args[0]} bytes, fewer than it announced") from None
    except TimeoutError:
        raise _failed(url, f"no whole answer within {seconds:g} s") from None
    except AddressError:
        raise _failed(url, "its path or its query holds a blank or a control character: write it as %20") from None
    except (OSError, ValueError) as error:
        raise _failed(url, f"{error}") from None
    if not 200 <= answer.status < 300:
        failed = _failed(url, f"it answers HTTP {answer.status} {answer.reason}")
        failed.http_status = answer.status
        raise failed
    try:
        return answer.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _failed(url, f"byte {error.start} of the body is not UTF-8: this is no /metrics answer") from None


def shown_url(url: str) -> str:
    """The address as it may be printed: without a user, a password and what its query says."""
    address, mark, query = masked(url, ()).partition("?")
    return address + mark + _QUERY_VALUE.sub("=(hidden)", query)


def _authorization(netloc: str) -> dict[str, str]:
    user, separator, _ = netloc.rpartition("@")
    if not separator:
        return {}
    return {"Authorization": f"Basic {b2a_base64(unquote(user).encode(), newline=False).decode()}"}


def _failed(url: str, reason: str) -> ScrapeError:
    return ScrapeError(f"{shown_url(url)}: {' '.join(masked(reason, ()).split())}. Is this the engine's own address?")
