"""One GET over real sockets: what is framed rightly is read to its last byte, anything else is refused in its time."""

import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry.scrape import ScrapeError, scrape
from tests.authority import authority

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(
    parts: Sequence[bytes], *, pause: float = 0.0, stays_open: bool = False, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server that takes one request and writes these parts, so many seconds apart; then closes, or says no more."""
    done = threading.Event()
    asked: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            asked.append(connection.recv(65_536))
            for part in parts:
                if done.wait(pause):
                    return
                connection.sendall(part)
            if stays_open:
                done.wait(30)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http{'' if tls is None else 's'}://127.0.0.1:{server.getsockname()[1]}/metrics"
    finally:
        done.set()
        server.close()
        thread.join(30)


def bytewise(content: bytes) -> list[bytes]:
    return [content[at : at + 1] for at in range(len(content))]


@pytest.mark.parametrize(
    "parts",
    [
        bytewise(OK + b"X-Filler: " + b"a" * 1_000),  # a head that never ends
        [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 1_000,
        bytewise(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 200),
        bytewise(OK + b"Content-Length: 1000\r\n\r\n" + b"a" * 900),
        bytewise(OK + b"\r\n" + b"a" * 1_000),
        [b""],  # it takes the request and says nothing
    ],
    ids=["head", "informational", "chunks", "counted", "to the end", "nothing"],
)
def test_who_answers_a_little_at_a_time_is_given_up_on_at_the_deadline(parts: Sequence[bytes]) -> None:
    """None of these parts ever keeps a read waiting for as long as the whole answer may take."""
    with answering(parts, pause=0.02, stays_open=True) as url:
        began = time.monotonic()
        with pytest.raises(ScrapeError, match=r"no whole answer within 0\.3 s"):
            scrape(url, seconds=0.3)
        assert time.monotonic() - began < 5


BODY = "vllm:prompt_tokens_total 1\n" * 20


@given(
    st.sampled_from(["counted", "chunked", "to the end"]),
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.sampled_from([b"\r\n", b"\n"]),
    st.booleans(),
)
def test_a_body_is_read_whole_however_it_is_framed_and_cut_on_the_way(
    framing: str, sizes: list[int], end: bytes, is_noted: bool
) -> None:
    content = BODY.encode()
    head = b"HTTP/1.1 200 OK" + end + b"Server: a" + end + b" folded" + end
    if framing == "counted":
        sent = head + b"content-length: %d" % len(content) + end + end + content + b"what follows is another's"
    elif framing == "chunked":
        chunks = [content[at : at + sizes[0]] for at in range(0, len(content), sizes[0])]
        note = b";name=value" if is_noted else b""
        sent = head + b"Transfer-Encoding: Chunked" + end + end
        sent += b"".join(b"%X" % len(one) + note + end + one + end for one in chunks)
        sent += b"0" + end + (b"Trailer: 1" + end if is_noted else b"") + end
    else:
        sent = head + end + content
    if is_noted:
        sent = b"HTTP/1.1 100 Continue" + end + end + sent
    parts, at = [], 0
    for size in sizes:
        parts.append(sent[at : at + size])
        at += size
    with answering([*parts, sent[at:]]) as url:
        assert scrape(url, seconds=20) == BODY


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "ended within the head"),
        (OK, "ended within the head"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/2 200\r\n\r\n", "not HTTP/1.1"),
        (OK + b"Content-Length: 10\r\n\r\nshort", "cut after 5 bytes"),
        (OK + b"Content-Length: -1\r\n\r\n", "says that its body has '-1' bytes"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "says that its body has '1, 2' bytes"),
        (OK + b"Content-Length: 99999999999\r\n\r\n", "larger than 33554432 bytes"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "which is not read"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "cut after 2 bytes"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "cut after 2 bytes"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n", "no size of a chunk"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", "no size of a chunk"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n", "larger than 33554432 bytes"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", "longer than it says"),
        (OK + b"no header\r\n\r\n", "no header"),
        (OK + b"A: b\r\n" * 200, "more than 100 headers"),
        (OK + b"A: " + b"b" * 200_000, "longer than 65536 bytes"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", None),
    ],
)
def test_an_answer_that_is_cut_or_no_http_is_refused_with_the_reason(answer: bytes, words: str | None) -> None:
    with answering([answer]) as url:
        if words is None:
            assert scrape(url, seconds=20) == ""
            return
        with pytest.raises(ScrapeError, match=words):
            scrape(url, seconds=20)


def test_a_body_in_the_smallest_chunks_takes_no_more_memory_than_it_has_bytes() -> None:
    """An agent is given little memory: an engine that answers so would end it, and with it all sampling."""
    chunks = 50_000
    parts = [OK + b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\n#\n\r\n" * chunks, b"0\r\n\r\n"]
    with answering(parts) as url:
        tracemalloc.start()
        try:
            body = scrape(url, seconds=20)
            _, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(body) == 2 * chunks
    assert most_bytes < 8 * len(body) + 200_000


def test_an_address_cannot_make_a_second_request_or_header() -> None:
    for address in ("http://127.0.0.1:9/a%20b\x7f", "http://127.0.0.1:9/a b", "http://127.0.0.1:9/metrics?a=b\x1fc"):
        with pytest.raises(ScrapeError, match="a blank or a control character"):
            scrape(address, seconds=5)


def test_an_engine_behind_tls_is_read_where_its_certificate_is_trusted_and_never_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = authority("engine")
    (tmp_path / "engine.pem").write_bytes(certificate + key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "engine.pem")
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n0\r\n\r\n"
    with answering([answer], tls=tls) as url, pytest.raises(ScrapeError, match="certificate verify failed"):
        scrape(url, seconds=20)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "engine.pem"))
    with answering([answer], tls=tls) as url:
        assert scrape(url, seconds=20) == "a\n"
    slowly = answering(bytewise(answer), tls=tls, pause=0.05, stays_open=True)
    with slowly as url, pytest.raises(ScrapeError, match=r"no whole answer within 0\.6 s"):
        scrape(url, seconds=0.6)


def test_a_server_that_takes_a_connection_and_never_shakes_hands_is_given_up_on() -> None:
    with answering([b""], stays_open=True) as url, pytest.raises(ScrapeError, match=r"no whole answer within 0\.3 s"):
        scrape(url.replace("http://", "https://"), seconds=0.3)
