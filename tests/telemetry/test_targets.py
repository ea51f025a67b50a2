"""What the agent records of engines over real HTTP: whose counters these are, and of which release."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.formats.engines import read_engine
from pipeline.formats.spool import Record, Scrape, encode_record
from pipeline.telemetry.clock import Instant, steady_clock
from pipeline.telemetry.targets import Target, start_scraping
from tests.formats.test_engines import LLAMA, SGLANG, TGI, TRTLLM

VLLM = """\
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="chat"} 100.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="chat"} 30.0
"""


@contextmanager
def served(pages: Mapping[str, str]) -> Iterator[str]:
    """A server on loopback with these pages; any other path is 404. A page that is changed is answered so."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def scraped(url: str, *, until: int = 1, then: Callable[[], None] = lambda: None) -> list[Scrape]:
    """So many answers, one after the other; `then` is called after each."""
    found: list[Scrape] = []
    stopped, enough = threading.Event(), threading.Event()

    def deliver(record: Record, _: Instant) -> None:
        assert isinstance(record, Scrape)
        found.append(record)
        then()
        if len(found) == until:
            stopped.set()
            enough.set()

    target = Target("chat-0", url)
    thread = start_scraping(
        target, cadence_ms=400 if until > 1 else 5_000, clock=steady_clock(), deliver=deliver, stopped=stopped
    )
    assert enough.wait(30)
    thread.join(30)
    return found


@pytest.mark.parametrize(
    ("body", "pages", "identity"),
    [
        (VLLM, {"/version": {"version": "0.11.0"}}, ("vllm", "0.11.0", None)),
        (SGLANG, {"/get_server_info": {"version": "0.5.4", "tp_size": 8}}, ("sglang", "0.5.4", None)),
        (
            TGI,
            {"/info": {"version": "3.3.4", "model_id": "m"}, "/v1/models": {"data": [{"id": "org/m"}]}},
            ("tgi", "3.3.4", "org/m"),
        ),
        (TRTLLM, {"/version": {"version": "1.3.0"}}, ("trtllm", "1.3.0", None)),
        (
            LLAMA,
            {"/props": {"build_info": "b7010-abc"}, "/v1/models": {"data": [{"id": "m.gguf"}]}},
            ("llamacpp", "b7010-abc", "m.gguf"),
        ),
        (LLAMA, {"/v1/models": {"data": [{"id": "one"}, {"id": "two"}]}}, ("llamacpp", None, None)),
        (LLAMA, {"/props": ["not an object"]}, ("llamacpp", None, None)),
        (VLLM, {"/version": {"version": "v" * 201}}, ("vllm", None, None)),
        (
            TGI,
            {"/info": {"version": "\ud800"}, "/v1/models": {"data": [{"id": "m\ud800"}]}},
            ("tgi", None, None),
        ),
        ("# TYPE python_info gauge\npython_info 1\n", {}, (None, None, None)),
    ],
)
def test_an_engine_is_recorded_with_its_release_and_the_model_that_its_metrics_do_not_name(
    body: str, pages: Mapping[str, object], identity: tuple[str | None, str | None, str | None]
) -> None:
    with served({"/metrics": body, **{path: json.dumps(page) for path, page in pages.items()}}) as url:
        (found,) = scraped(f"{url}/metrics")
    assert (found.engine, found.engine_version, found.served_model) == identity
    assert (found.body, found.http_status, found.error) == (body, 200, None)
    assert encode_record(found, seq=0, at=datetime(2026, 11, 1, tzinfo=UTC), mono_ms=0)


def test_another_engine_behind_the_same_address_is_not_called_by_the_first_ones_release() -> None:
    """What is answered changes while it is asked: the release of one must not stick to the other."""
    pages = {"/metrics": TGI, "/info": '{"version": "3.3.4"}', "/v1/models": '{"data": [{"id": "org/m"}]}'}
    with served(pages) as url:
        change = {"/metrics": SGLANG, "/info": ""}
        first, second = scraped(f"{url}/metrics", until=2, then=lambda: pages.update(change))
    assert (first.engine, first.engine_version, first.served_model) == ("tgi", "3.3.4", "org/m")
    assert (second.engine, second.engine_version, second.served_model) == ("sglang", None, None)
    assert read_engine(second.body or "")[0].model_name == "chat"


NAMED = '{"data": [{"id": "m.gguf"}]}'


@pytest.mark.parametrize(
    ("answers", "models"),
    [
        # A probe fails after a scrape that failed: the counters are of the same series still, and it is asked again.
        ([{"/metrics": ""}, {"/metrics": LLAMA, "/v1/models": ""}], ["m.gguf", None, "m.gguf"]),
        # It lists none yet, as one that loads its model.
        ([{"/metrics": ""}, {"/metrics": LLAMA, "/v1/models": '{"data": []}'}], ["m.gguf", None, "m.gguf"]),
        (
            [{"/metrics": ""}, {"/metrics": LLAMA, "/v1/models": ""}, {"/v1/models": '{"data": [{"id": "other"}]}'}],
            ["m.gguf", None, "m.gguf", "other"],
        ),
        # What is answered holds, also where it names no single model.
        (
            [{"/metrics": ""}, {"/metrics": LLAMA, "/v1/models": '{"data": [{"id": "one"}, {"id": "two"}]}'}],
            ["m.gguf", None, None],
        ),
        # Nor is another engine called by the name of the one before it.
        ([{"/metrics": TGI, "/v1/models": ""}], ["m.gguf", None]),
    ],
)
def test_a_model_keeps_its_name_while_its_engine_cannot_be_asked(
    answers: list[dict[str, str]], models: list[str | None]
) -> None:
    pages = {"/metrics": LLAMA, "/v1/models": NAMED}
    changes = iter(answers)
    with served(pages) as url:
        found = scraped(f"{url}/metrics", until=len(models), then=lambda: pages.update(next(changes, {})))
    assert [one.served_model for one in found] == models


def test_an_engine_that_has_not_said_its_model_yet_is_asked_at_each_scrape() -> None:
    pages = {"/metrics": LLAMA}
    with served(pages) as url:
        found = scraped(f"{url}/metrics", until=2, then=lambda: pages.update({"/v1/models": NAMED}))
    assert [one.served_model for one in found] == [None, "m.gguf"]


def test_a_due_question_that_fails_takes_no_name_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any scrape that failed: of a day of scrapes every 240th asks again."""
    monkeypatch.setattr("pipeline.telemetry.targets._SCRAPES_AN_IDENTITY", 1)
    pages = {"/metrics": LLAMA, "/v1/models": NAMED}
    with served(pages) as url:
        found = scraped(f"{url}/metrics", until=2, then=lambda: pages.update({"/v1/models": ""}))
    assert [one.served_model for one in found] == ["m.gguf", "m.gguf"]
