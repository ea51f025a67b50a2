"""Scrapes as they come: over HTTP from a server that may answer anything, or saved in files."""

import os
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.check.engine import CheckError, engines_of, observed
from pipeline.check.engine_answer import engine_answer
from pipeline.check.watching import Clock, saved_pair, watch
from pipeline.formats.exposition import ExpositionError
from pipeline.telemetry.scrape import ScrapeError, metrics_url, scrape, shown_url
from tests.check.vllm_server import Answer, engine_body, serving, vllm_body

START = datetime(2026, 11, 29, 5, tzinfo=UTC)


class Ticking:
    """A clock that moves when it is waited on, and by nothing else."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clock(self) -> Clock:
        return Clock(now=lambda: START, monotonic=lambda: self.seconds, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


def busy(number: int) -> Answer:
    """An engine that serves 10 prompt tokens and 2 more a scrape."""
    return Answer.of(vllm_body(prompt=1_000 + 10 * number, output=2 * number))


def test_a_window_is_scraped_about_once_a_second_and_lasts_as_long_as_asked() -> None:
    with serving(busy) as url:
        watched = watch(metrics_url(url), seconds=20, timeout_seconds=5, clock=Ticking().clock())
        again = watch(metrics_url(url), seconds=600, timeout_seconds=5, clock=Ticking().clock())
    assert len(watched.readings) == len(again.readings) == 21
    window = observed(watched.readings)
    assert (window.from_at, window.to_at) == (START, START + timedelta(seconds=20))
    assert window.tokens.total == 20 * 12
    assert observed(again.readings).milliseconds == 600_000


def test_a_scrape_that_fails_meanwhile_is_noted_and_loses_no_token() -> None:
    """B15: a gap in the readings is no counter of 0."""

    def script(number: int) -> Answer:
        return Answer(b"busy", 503) if number in (2, 3) else busy(number)

    with serving(script) as url:
        watched = watch(metrics_url(url), seconds=5, timeout_seconds=5, clock=Ticking().clock())
    assert len(watched.readings) == 4
    assert observed(watched.readings).tokens.total == 5 * 12
    assert "2 of 6 scrapes failed" in watched.notes[0]
    assert "HTTP 503" in watched.notes[0]


@pytest.mark.parametrize("engine", ["sglang", "tgi", "trtllm", "llamacpp"])
def test_every_engine_that_the_agent_reads_is_watched_by_its_own_names(engine: str) -> None:
    """1,000 prompt tokens and 57 generated ones more at each scrape; who names no model is asked for it."""
    with serving(
        lambda number: Answer.of(engine_body(engine, prompt=1_000 * number, output=57 * number)),
        elsewhere={"/v1/models": '{"data": [{"id": "chat"}]}'},
    ) as url:
        watched = watch(metrics_url(url), seconds=3, timeout_seconds=5, clock=Ticking().clock())
    window = observed(watched.readings)
    assert (window.tokens.prompt, window.tokens.output) == (3_000, 171)
    assert engines_of(watched.readings) == [("chat", "0")]
    unknown = engine_answer([watched], subject="x", rate=None, currency="USD", gpu_count=1, apis=()).unknown
    assert any("counts the computed ones alone" in said for said in unknown) == (engine == "llamacpp")
    assert any("when it ends" in said for said in unknown) == (engine in ("sglang", "tgi"))


def test_an_engine_that_counts_requests_alone_is_refused_with_what_to_name_instead() -> None:
    triton = Answer.of(
        '# TYPE nv_inference_request_success counter\nnv_inference_request_success{model="chat"} 12\n# EOF\n'
    )
    with serving(lambda _: triton) as url:
        watched = watch(metrics_url(url), seconds=3, timeout_seconds=5, clock=Ticking().clock())
    with pytest.raises(CheckError, match=r"counts none, as Triton does.*name that one's own address"):
        observed(watched.readings)


def test_nothing_is_made_of_one_scrape_where_a_window_was_asked_for() -> None:
    once = serving(lambda number: busy(number) if number == 0 else Answer(b"", 500))
    with once as url, pytest.raises(CheckError, match="After the first scrape none came in 3 s"):
        watch(metrics_url(url), seconds=3, timeout_seconds=5, clock=Ticking().clock())


BODY = vllm_body(prompt=1234, output=56)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(b"no", 404), ScrapeError, "HTTP 404"),
        (Answer(b"", 302, location="http://127.0.0.1:1/metrics"), ScrapeError, "HTTP 302"),
        (Answer(BODY.encode(), announced_bytes=len(BODY) + 100), ScrapeError, "the body is cut"),
        (Answer(BODY.encode()[:-30]), ExpositionError, "cut"),
        (Answer(BODY.encode()[: BODY.index("# HELP vllm:generation")]), ExpositionError, "cut between lines"),
        (Answer(b"<html>hello</html>\n"), ExpositionError, "not exposition text"),
        (Answer(b"\xff\xfe\x00"), ScrapeError, "not UTF-8"),
        (Answer(b""), ExpositionError, "empty"),
        (Answer(b"dcgm 1.0\n"), ExpositionError, "no series of a known engine: it is starting"),
    ],
)
def test_what_is_no_whole_answer_is_refused_with_the_reason(answer: Answer, error: type[Exception], words: str) -> None:
    """B15: a cut number would read as a smaller one."""
    with serving(lambda _: answer) as url, pytest.raises(error, match=words) as caught:
        watch(metrics_url(url), seconds=0, timeout_seconds=5, clock=Ticking().clock())
    assert url.removeprefix("http://") in str(caught.value)


def test_an_address_where_nobody_listens_says_so() -> None:
    with serving(busy) as url:
        pass
    with pytest.raises(ScrapeError, match="refused"):
        scrape(metrics_url(url), seconds=5)


def test_one_who_answers_a_byte_at_a_time_is_given_up_on() -> None:
    released = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not released.wait(0.02):
                try:
                    self.wfile.write(b"#")
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        with pytest.raises(ScrapeError, match=r"no whole answer within 0\.2 s"):
            scrape(f"http://127.0.0.1:{server.server_address[1]}/metrics", seconds=0.2)
    finally:
        released.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("http://gpu-1:8000", "http://gpu-1:8000/metrics"),
        ("http://gpu-1:8000/", "http://gpu-1:8000/metrics"),
        ("https://gpu-1/v2/metrics?model=x", "https://gpu-1/v2/metrics?model=x"),
    ],
)
def test_an_address_without_a_path_means_its_metrics(given: str, asked: str) -> None:
    assert metrics_url(given) == asked


@pytest.mark.parametrize("given", ["gpu-1:8000", "file:///etc/passwd", "http://", "http://host:port/", ""])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"no address|Port|port"):
        metrics_url(given)


def test_a_password_in_an_address_is_never_printed() -> None:
    """What is printed and raised."""
    assert shown_url("http://me:hunter2@gpu-1:8000/metrics") == "http://(hidden)@gpu-1:8000/metrics"
    assert shown_url("http://h/metrics?api_key=hunter2&x=1") == "http://h/metrics?api_key=(hidden)&x=(hidden)"
    with serving(lambda _: Answer(b"", 401)) as url, pytest.raises(ScrapeError, match="401") as caught:
        scrape(metrics_url(url.replace("http://", "http://me:hunter2@")), seconds=5)
    assert "hunter2" not in str(caught.value)


def test_a_blank_in_an_address_is_said_without_the_query_that_has_it() -> None:
    """What the HTTP client says of it is the query, which may be a token: the spool would have kept it."""
    with pytest.raises(ScrapeError, match="a blank or a control character") as caught:
        scrape(metrics_url("http://127.0.0.1:8000/metrics?api_key=hunter2 "), seconds=5)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("http://[::1]/metrics", ("::1", 80)),
        ("https://[2001:db8::5]/metrics", ("2001:db8::5", 443)),
        ("http://[::1]:8000", ("::1", 8000)),
    ],
)
def test_the_last_part_of_an_ipv6_address_is_no_port(
    given: str, asked: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, int]] = []

    def refuse(host: bytes, port: int, **_: object) -> None:
        tried.append((host.decode(), port))
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(ScrapeError, match="refused"):
        scrape(metrics_url(given), seconds=5)
    assert tried == [asked]


# --- saved pairs -----------------------------------------------------------------------------------------------------


def saved(folder: Path, name: str, *, prompt: int, at: datetime = START) -> Path:
    path = folder / name
    path.write_text(vllm_body(prompt=prompt, output=0))
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def test_the_time_between_saved_scrapes_is_what_is_said_then_what_their_names_say_then_their_files(tmp_path) -> None:
    first = saved(tmp_path, "a-20261129T050000Z.prom", prompt=100)
    second = saved(tmp_path, "b-20261129T050100Z.prom", prompt=160, at=START + timedelta(hours=1))
    told = saved_pair(first, second, seconds=30)
    named = saved_pair(first, second, seconds=None)
    assert [observed(one.readings).milliseconds for one in (told, named)] == [30_000, 60_000]
    plain = (
        saved(tmp_path, "before.prom", prompt=100),
        saved(tmp_path, "after.prom", prompt=160, at=START + timedelta(seconds=90)),
    )
    written = saved_pair(*plain, seconds=None)
    assert observed(written.readings).milliseconds == 90_000
    assert [words in note for one, words in ((told, "--seconds"), (named, "names"), (written, "last written"))
            for note in one.notes] == [True] * 3  # fmt: skip


def test_saved_scrapes_the_wrong_way_round_are_refused(tmp_path) -> None:
    first = saved(tmp_path, "a-20261129T050000Z.prom", prompt=100)
    second = saved(tmp_path, "b-20261129T050100Z.prom", prompt=160)
    with pytest.raises(CheckError, match="Give the earlier one first"):
        saved_pair(second, first, seconds=None)
    with pytest.raises(CheckError, match="No such file"):
        saved_pair(first, tmp_path / "nothing", seconds=1)
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    with pytest.raises(CheckError, match="not UTF-8"):
        saved_pair(first, tmp_path / "binary", seconds=1)
