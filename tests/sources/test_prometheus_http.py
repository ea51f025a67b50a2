"""Asking a Prometheus: every sample exactly once whatever the windows, what kept an answer away, no token printed."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BreakevenError, ConfigError, QuarantineError, SourceError
from pipeline.sources import prometheus_http
from pipeline.sources.http import EndpointError, KeyMissingError
from pipeline.sources.prometheus_answers import RawSeries, matrix_in
from pipeline.sources.prometheus_http import (
    Prometheus,
    TooMuchError,
    metric_names,
    prometheus_at,
    raw_samples,
    raw_windows,
    series_in,
    version_of,
)
from tests.sources.admin_api import Answer, Sleeps, serving
from tests.sources.prometheus_api import TOKEN, PrometheusApi, ms, refused, samples

START = datetime(2026, 11, 14, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROMPT = {"__name__": "vllm:prompt_tokens_total", "job": "vllm", "instance": "10.0.0.5:8000", "model_name": "m"}


def _server(api: PrometheusApi, *, sleeps: Sleeps | None = None, **settings: Any) -> Prometheus:
    return prometheus_at(
        api.url,
        whose="prometheus of main",
        environment={"PROM_TOKEN": TOKEN},
        sleep=sleeps or Sleeps(),
        **settings,
    )


def _read(content: bytes, start: datetime, stop: datetime) -> list[RawSeries]:
    return matrix_in(content, start_ms=ms(start), stop_ms=ms(stop))


def _counter(count: int) -> PrometheusApi:
    return PrometheusApi(series=[(PROMPT, samples(START, list(range(count))))])


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_sample_on_the_edge_of_two_windows_is_in_the_later_one_only(is_closed: bool) -> None:
    edge = ms(START + HOUR)
    stored = [(edge - 3_600_000, "a"), (edge - 1, "b"), (edge, "c"), (edge + 3_599_999, "d"), (edge + 3_600_000, "e")]
    api = PrometheusApi(series=[(PROMPT, stored)], is_closed=is_closed)
    found = []
    with serving(api):
        for start in (START, START + HOUR):
            said = raw_samples(_server(api), "vllm:prompt_tokens_total", start=start, stop=start + HOUR)
            found.append([series.values for series in _read(said.content, start, start + HOUR)])
    assert found == [[["a", "b"]], [["c", "d"]]]


@settings(max_examples=15, deadline=None)
@given(
    gaps_ms=st.lists(st.integers(1, 200_000), min_size=1, max_size=60),
    window_ms=st.integers(60_000, 4_000_000),
    is_closed=st.booleans(),
    most_samples=st.integers(5, 100),
)
def test_windows_of_any_size_hold_every_sample_once(
    gaps_ms: list[int], window_ms: int, is_closed: bool, most_samples: int
) -> None:
    at = ms(START)
    stored: list[tuple[int, str | None]] = []
    for gap in gaps_ms:
        stored.append((at, str(len(stored))))
        at += gap
    minute_holds = max(sum(other <= at < other + 60_000 for at, _ in stored) for other, _ in stored)
    api = PrometheusApi(
        series=[(PROMPT, stored)], is_closed=is_closed, most_samples=max(most_samples, minute_holds + 1)
    )
    stop = datetime.fromtimestamp(at / 1000, tz=UTC)
    with serving(api):
        found = [
            (at_ms, value)
            for begin, end, said in raw_windows(
                _server(api),
                "vllm:prompt_tokens_total",
                start=START,
                stop=stop,
                longest=timedelta(milliseconds=window_ms),
            )
            for series in _read(said.content, begin, end)
            for at_ms, value in zip(series.at_ms, series.values, strict=True)
        ]
    assert found == stored


def test_a_window_that_is_too_much_is_asked_in_halves_and_then_no_larger() -> None:
    api = _counter(960)
    api.most_samples = 130
    with serving(api):
        windows = list(
            raw_windows(_server(api), "vllm:prompt_tokens_total", start=START, stop=START + 4 * HOUR, longest=2 * HOUR)
        )
    assert [stop - start for start, stop, _ in windows] == [timedelta(minutes=30)] * 8
    assert len(api.asked) == 8 + 2


def test_a_minute_that_is_too_much_says_what_to_do() -> None:
    api = _counter(960)
    api.most_samples = 1
    with serving(api), pytest.raises(SourceError, match=r"too many samples.*Narrow what is asked for") as raised:
        list(raw_windows(_server(api), "vllm:prompt_tokens_total", start=START, stop=START + HOUR, longest=HOUR))
    assert not isinstance(raised.value, TooMuchError)


@pytest.mark.parametrize(
    "answer",
    [
        refused(503, "timeout", "query timed out in query execution"),
        refused(422, "execution", "the query hit the max number of chunks limit (err-mimir-max-chunks-per-query)"),
        refused(400, "bad_data", "response too large: exceeded the maximum"),
        Answer(status=413, body=b"entity too large"),
        Answer(status=504, body=b"<html>gateway timeout</html>"),
    ],
)
def test_an_answer_of_too_much_is_not_asked_again_as_it_was(answer: Answer) -> None:
    api = PrometheusApi(always=answer)
    with serving(api), pytest.raises(TooMuchError):
        raw_samples(_server(api), "up", start=START, stop=START + HOUR)
    assert len(api.asked) == 1


def test_a_body_beyond_what_is_held_in_memory_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_http, "_MOST_BYTES", 500)
    api = _counter(100)
    with serving(api), pytest.raises(TooMuchError, match="larger than"):
        raw_samples(_server(api), "vllm:prompt_tokens_total", start=START, stop=START + HOUR)


def test_what_may_pass_is_asked_again_and_what_the_server_asks_to_wait_is_waited() -> None:
    api = _counter(4)
    api.faults = [
        refused(503, "unavailable", "storage not ready"),
        Answer(status=429, headers={"Retry-After": "7"}, body=b"too many outstanding requests"),
        Answer(body=b'{"status": "success", "data": {"resultType'),
    ]
    sleeps = Sleeps()
    with serving(api):
        said = raw_samples(_server(api, sleeps=sleeps), "vllm:prompt_tokens_total", start=START, stop=START + HOUR)
    assert _read(said.content, START, START + HOUR)[0].values == ["0", "1", "2", "3"]
    assert sleeps.seconds == [1.0, 7.0, 4.0]


def test_what_does_not_pass_says_how_often_it_was_asked() -> None:
    api = PrometheusApi(always=refused(503, "unavailable", "storage not ready"))
    with (
        serving(api),
        pytest.raises(SourceError, match=r"HTTP 503: storage not ready, 6 times\. Nothing of this window"),
    ):
        raw_samples(_server(api), "up", start=START, stop=START + HOUR)
    assert len(api.asked) == 6


def test_a_question_the_server_does_not_understand_is_not_asked_again() -> None:
    api = _counter(4)
    with serving(api), pytest.raises(EndpointError, match="HTTP 400: invalid parameter"):
        prometheus_http.ask(_server(api), "sum(", at=START)
    assert len(api.asked) == 1


def test_a_token_and_a_tenant_go_with_the_question_and_into_no_error() -> None:
    api = _counter(4)
    api.token, api.tenant = TOKEN, "team-a"
    with serving(api):
        raw_samples(_server(api, token_env="PROM_TOKEN", tenant="team-a"), "up", start=START, stop=START + HOUR)
        api.always = refused(403, "forbidden", f"{TOKEN} may not read tenant team-a")
        with pytest.raises(SourceError) as raised:
            raw_samples(_server(api, token_env="PROM_TOKEN", tenant="team-a"), "up", start=START, stop=START + HOUR)
    assert TOKEN not in str(raised.value)
    assert "the token in PROM_TOKEN (HTTP 403: (key) may not read tenant team-a)" in str(raised.value)
    assert TOKEN not in repr(_server(api, token_env="PROM_TOKEN"))


def test_without_a_token_where_one_is_wanted_the_error_names_token_env() -> None:
    api = _counter(4)
    api.token = TOKEN
    with serving(api), pytest.raises(SourceError, match=r"refuses no token \(HTTP 401\).*key_env"):
        raw_samples(_server(api), "up", start=START, stop=START + HOUR)


@pytest.mark.parametrize("value", [None, "  ", "glsa_ line\nbreak"])
def test_a_variable_that_holds_no_token_is_named(value: str | None) -> None:
    environment = {} if value is None else {"PROM_TOKEN": value}
    with pytest.raises(KeyMissingError, match="PROM_TOKEN") as raised:
        prometheus_at(
            "http://127.0.0.1:9", whose="prometheus of main", environment=environment, sleep=Sleeps(),
            token_env="PROM_TOKEN",
        )  # fmt: skip
    assert "glsa" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "prometheus:9090",
        "http://user:secret@prometheus",
        "http://:secret@prometheus",
        "http://user:p/secret@prometheus",
        "http://prometheus/?token=secret",
        "http://[prometheus",
        "http://prometheus:999999",
    ],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        prometheus_at(url, whose="prometheus of main", environment={}, sleep=Sleeps())
    assert "secret" not in str(raised.value)


def test_a_token_and_a_signature_are_not_both_given() -> None:
    with pytest.raises(ConfigError, match="not both"):
        prometheus_at(
            "http://127.0.0.1:9", whose="p", environment={"PROM_TOKEN": TOKEN}, sleep=Sleeps(),
            token_env="PROM_TOKEN", sigv4_region="eu-west-1",
        )  # fmt: skip


def test_amazon_is_asked_with_a_signature_over_the_question_as_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's half of SigV4, computed anew from what arrived."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    api = _counter(4)
    api.prefix = "/workspaces/ws-1"
    with serving(api):
        raw_samples(
            _server(api, sigv4_region="eu-west-1"), 'vllm:prompt_tokens_total{job=~"a b|c+d"}', start=START,
            stop=START + HOUR,
        )  # fmt: skip
        host = api.base_url.removeprefix("http://")
    sent = api.headers[0]
    assert "/eu-west-1/aps/aws4_request" in sent["authorization"]
    path, params = api.asked[0]
    url = f"http://{host}{path}?{urlencode(params, quote_via=quote, safe='-_.~')}"
    request = AWSRequest(method="GET", url=url, headers={"X-Amz-Security-Token": "session"})
    request.context["timestamp"] = sent["x-amz-date"]
    signer = SigV4Auth(
        Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY", "session"), "aps", "eu-west-1"
    )
    request.headers["X-Amz-Date"] = sent["x-amz-date"]
    string_to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    assert sent["authorization"].endswith(f"Signature={signer.signature(string_to_sign, request)}")
    assert sent["x-amz-security-token"] == "session"


def test_a_redirect_is_not_followed_with_the_token() -> None:
    api = PrometheusApi(always=Answer(status=302, headers={"Location": "http://127.0.0.1:9/"}))
    with serving(api), pytest.raises(SourceError, match="a redirect, which is not followed"):
        raw_samples(_server(api, token_env="PROM_TOKEN"), "up", start=START, stop=START + HOUR)
    assert len(api.asked) == 1


def test_an_address_without_the_api_says_where_it_lies_for_others() -> None:
    api = _counter(4)
    api.prefix = "/prometheus"
    with serving(api):
        bare = prometheus_at(api.base_url, whose="prometheus of main", environment={}, sleep=Sleeps())
        with pytest.raises(SourceError, match="the part before /api/v1: Mimir's ends in /prometheus"):
            raw_samples(bare, "up", start=START, stop=START + HOUR)
        pasted = prometheus_at(api.url + "/api/v1/", whose="prometheus of main", environment={}, sleep=Sleeps())
        assert version_of(pasted) == "3.5.0"


def test_warnings_come_with_the_samples_and_stop_a_list() -> None:
    api = _counter(4)
    api.warnings = ("No StoreAPIs matched for this query",)
    with serving(api):
        said = raw_samples(_server(api), "vllm:prompt_tokens_total", start=START, stop=START + HOUR)
        assert said.warnings == ("No StoreAPIs matched for this query",)
        for question in (lambda: series_in(_server(api), ["up"], start=START, stop=START + HOUR),
                         lambda: metric_names(_server(api), start=START, stop=START + HOUR)):  # fmt: skip
            with pytest.raises(EndpointError, match="in part only: No StoreAPIs matched"):
                question()


def test_names_and_series_are_those_of_the_window() -> None:
    other = {**PROMPT, "instance": "10.0.0.6:8000"}
    api = PrometheusApi(
        series=[
            (PROMPT, samples(START, [1, 2])),
            (other, samples(START + 2 * HOUR, [1, 2])),
            ({"__name__": "up", "job": "vllm"}, samples(START, [1])),
        ]
    )
    with serving(api):
        server = _server(api)
        assert series_in(server, ['{__name__=~"vllm:.+"}'], start=START, stop=START + HOUR) == [PROMPT]
        assert metric_names(server, start=START, stop=START + HOUR) == ["up", "vllm:prompt_tokens_total"]
        assert metric_names(server, start=START, stop=START + HOUR, match='{__name__=~"vllm:.*"}') == [
            "vllm:prompt_tokens_total"
        ]
        api.version = None
        assert version_of(server) is None


def test_a_stale_series_is_absent_and_nan_stays_nan() -> None:
    api = PrometheusApi(series=[(PROMPT, samples(START, [5, None, "NaN", "+Inf", 9]))])
    with serving(api):
        said = raw_samples(_server(api), "vllm:prompt_tokens_total", start=START, stop=START + HOUR)
    (series,) = _read(said.content, START, START + HOUR)
    assert series.values == ["5", "NaN", "+Inf", "9"]
    assert [at - ms(START) for at in series.at_ms] == [0, 30_000, 45_000, 60_000]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"status": "success"}',
        b'{"status": "error", "data": {"resultType": "matrix", "result": []}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": []}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {"a": 1}, "values": []}]}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, 2]]}]}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [1]}]}}',
        b'{"status":"success","data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1e999, "1"]]}]}}',
        b'{"status":"success","data": {"resultType": "matrix", "result": [{"metric": {"a": "\\ud800"}, "values":[]}]}}',
    ],
)
def test_what_is_no_matrix_is_refused(content: bytes) -> None:
    with pytest.raises(QuarantineError):
        matrix_in(content, start_ms=0, stop_ms=10**15)


def test_nothing_listens_there() -> None:
    dead = prometheus_at("http://127.0.0.1:9", whose="prometheus of main", environment={}, sleep=Sleeps(), attempts=1)
    with pytest.raises(BreakevenError, match=r"prometheus of main: 127\.0\.0\.1:9: the connection failed"):
        raw_samples(dead, "up", start=START, stop=START + HOUR)
