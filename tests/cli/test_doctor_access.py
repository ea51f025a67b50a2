"""What doctor says of a source that is asked: allowed, refused, not there, hostile. Nothing it prints is a secret."""

import json
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.formats.masking import masked
from pipeline.sources import SOURCES, source_named
from pipeline.sources.openai_usage_api import ENDPOINTS
from pipeline.sources.source import FetchContext, Probed
from tests.cli.examined import chosen, doctor, of, rows, told
from tests.cli.hostile_server import (
    HEADERS,
    Speech,
    body_without_end,
    dripping,
    hanging_up,
    headers_only,
    saying,
    silence,
    speaking,
)
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import CONSOLE, COST_API, NOW, USAGE_API, SmallProject, source
from tests.sources.admin_api import KEY, AdminApi, Answer, context, serving
from tests.sources.openai_admin_api import OpenAIAdminApi, refusal

KEY_NAME = "ORG_ADMIN_KEY"
COST = source_named(COST_API)
ECB = source_named("ecb_rates")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", KEY_NAME):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(KEY_NAME, KEY)
    return KEY


def asked_of(api: Any, *, name: str = COST_API, seconds: float | None = 2.0, **more: Any) -> list[Probed]:
    """The answers to a source's probes."""
    return probed(name, context(api, **more), seconds=seconds)


def probed(name: str, about: FetchContext, *, seconds: float | None = 2.0) -> list[Probed]:
    found = source_named(name)
    assert found is not None
    assert found.probe is not None
    return [probe.ask(seconds) for probe in found.probe(about)]


class Elsewhere:
    """An address where something else than an Admin API answers."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url


# --- the states of one source ----------------------------------------------------------------------------------------


def test_a_key_that_may_read_is_allowed_by_one_request_of_one_bucket_of_yesterday() -> None:
    with serving(AdminApi(lambda at: [])) as api:
        (answer,) = asked_of(api)
        assert (answer.access, answer.fix) == ("allowed", "")
        (params,) = api.asked
    assert dict(params) == {
        "starting_at": "2026-11-14T00:00:00Z",
        "ending_at": "2026-11-15T00:00:00Z",
        "bucket_width": "1d",
        "limit": "1",
    }


def test_offline_the_key_is_looked_for_and_nothing_is_asked() -> None:
    with serving(AdminApi(lambda at: [])) as api:
        assert asked_of(api, seconds=None)[0].access == "not_asked"
        assert asked_of(api, seconds=None, environment={})[0].access == "no_key"
        assert api.asked == []


@pytest.mark.parametrize(
    ("answer", "access", "words"),
    [
        (Answer(401), "refused", "does not know the key in ACME_ADMIN_KEY (HTTP 401)"),
        (
            Answer(403, body=b'{"error": {"message": "Missing scopes: api.usage.read"}}'),
            "not_permitted",
            "refuses it (HTTP 403: Missing scopes: api.usage.read)",
        ),
        (Answer(404), "not_found", "has no /v1/organizations/cost_report (HTTP 404)"),
        (Answer(429, headers={"Retry-After": "90"}), "throttled", "asks to wait (HTTP 429, retry after 0:01:30)"),
        (Answer(429, headers={"Retry-After": "\x1b[2Jsoon"}), "throttled", "asks to wait (HTTP 429)"),
        (Answer(500), "unreachable", "fails (HTTP 500)"),
        (
            Answer(302, headers={"Location": "http://127.0.0.1:1/"}),
            "odd",
            "redirect (HTTP 302); the key is not sent on",
        ),
        (Answer(400, body=b'{"error": {"message": "no such field"}}'), "odd", "answers HTTP 400: no such field"),
        (Answer(200, body=b"<html>Sign in</html>"), "odd", "something that is no page of the API"),
        (Answer(200, body=b'{"data": 5}'), "odd", "something that is no page of the API"),
        (Answer(200, body=b"[" * 100_000), "odd", "something that is no page of the API"),
        (Answer(200, body=b'{"data": []}', cut_to=5), "unreachable", "the connection broke (ProtocolError)"),
    ],
)
def test_each_refusal_is_told_for_what_it_is_and_says_what_to_do(answer: Answer, access: str, words: str) -> None:
    with serving(AdminApi(lambda at: [], always=answer)) as api:
        (found,) = asked_of(api)
        assert len(api.asked) == 1
    assert found.access == access
    assert words in found.said
    assert found.fix or access == "throttled"
    if access in ("refused", "not_permitted"):
        assert "an Admin API key of the organization (sk-ant-admin...)" in found.fix


def test_a_name_that_is_not_known_a_port_that_is_closed_and_a_plain_server_are_told_apart() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        (refused,) = asked_of(Elsewhere(f"http://127.0.0.1:{port}"))
    (unknown,) = asked_of(Elsewhere("http://nowhere.invalid"))
    with serving(AdminApi(lambda at: [])) as api:
        (plain,) = asked_of(Elsewhere(api.base_url.replace("http", "https")))
    assert (refused.access, unknown.access, plain.access) == ("unreachable",) * 3
    assert "the connection is refused" in refused.said
    assert "not known here (DNS)" in unknown.said
    assert "TLS cannot be agreed with it" in plain.said


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that vouches for itself, and its key."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-keyout", str(file.with_suffix(".key")), "-out", str(file)],
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.skip("no openssl here to make a certificate with")
    return file


def test_a_certificate_that_nobody_vouches_for_is_named_and_no_key_is_sent(certificate: Path) -> None:
    with serving(AdminApi(lambda at: [])) as api:
        # The same server once more, behind TLS.
        wrapped = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wrapped.load_cert_chain(certificate, certificate.with_suffix(".key"))
        with _tls_before(api.base_url, wrapped) as base_url:
            (found,) = asked_of(Elsewhere(base_url))
        assert api.asked == []
    assert found.access == "unreachable"
    assert "its certificate is not trusted here (self-signed certificate)" in found.said


class _tls_before:  # noqa: N801 - used as a function
    """Takes TLS connections, one after the other; nothing behind it hears of one whose certificate is refused."""

    def __init__(self, base_url: str, wrapped: ssl.SSLContext) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wrapped = wrapped

    def __enter__(self) -> str:
        import threading

        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def _listen(self) -> None:
        self._listener.settimeout(5)
        try:
            connection, _ = self._listener.accept()
            with connection, self._wrapped.wrap_socket(connection, server_side=True) as spoken:
                spoken.recv(1)
        except OSError:
            pass

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=10)
        self._listener.close()


@pytest.mark.parametrize(
    ("speech", "access", "words"),
    [
        (silence, "unreachable", "no answer within"),
        (hanging_up, "unreachable", "the connection broke"),
        (headers_only, "unreachable", "no answer within"),
        (dripping, "odd", "a body that does not end"),
        (body_without_end, "odd", "a body that does not end"),
        (saying(HEADERS + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"), "unreachable", "DecodeError"),
        (saying(b"SSH-2.0-OpenSSH_9.6\r\n"), "unreachable", "the connection broke"),
    ],
)
def test_a_server_that_never_ends_is_left_after_the_agreed_time(speech: Speech, access: str, words: str) -> None:
    with speaking(speech) as base_url:
        started = time.monotonic()
        found = chosen_of(base_url)
        took = time.monotonic() - started
    assert (found["check"], found["state"]) == ("access", "fix")
    assert words in found["said"], found
    assert took < 4


def chosen_of(base_url: str) -> dict[str, Any]:
    """Doctor's own answer about one server, within half a second."""
    from pipeline.config.sources import SourceConfig
    from pipeline.doctor.side_by_side import Asked
    from pipeline.doctor.sources import AskedSource, access_findings

    assert COST is not None
    assert COST.probe is not None
    (probe,) = COST.probe(context(Elsewhere(base_url)))
    configured = SourceConfig(source=COST_API, account="acme")
    asked = AskedSource(configured, COST, probes=((probe.dataset, Asked(lambda: probe.ask(0.4))),))
    (found,) = access_findings(asked, until=time.monotonic() + 1, seconds=1)
    return vars(found)


def test_every_endpoint_of_openai_is_asked_by_itself_and_what_is_left_out_is_not() -> None:
    may_not = {"images": refusal(403, "Missing scopes: api.usage.read")}
    with serving(OpenAIAdminApi(always=may_not)) as api:
        found = asked_of(api, name="openai_usage_api", leave_out=["embeddings"])
        asked = [endpoint for endpoint, _ in api.asked]
        (costs,) = asked_of(api, name="openai_costs_api")
    names = [endpoint.name for endpoint in ENDPOINTS if endpoint.name != "embeddings"]
    assert asked == names
    assert [name for name, answer in zip(names, found, strict=True) if answer.access != "allowed"] == ["images"]
    assert "sk-admin" in found[names.index("images")].fix
    assert costs.access == "allowed"


def test_the_ecb_is_asked_without_a_key_and_only_when_it_is_to_be_asked() -> None:
    from tests.sources.admin_api import Api

    class Rates(AdminApi):
        pass

    xml = b'<gesmes:Envelope xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">' + b" " * 1_000_000
    api: Api = Rates(lambda at: [], always=Answer(body=xml))
    with serving(api):
        assert [answer.access for answer in asked_of(api, name="ecb_rates")] == ["allowed"]
        assert [answer.access for answer in asked_of(api, name="ecb_rates", seconds=None)] == ["not_asked"]
        assert [answer.access for answer in asked_of(api, name="ecb_rates", offline=True)] == ["allowed"]
    for answer, access in ((Answer(404), "not_found"), (Answer(503), "unreachable"), (Answer(200), "odd")):
        with serving(Rates(lambda at: [], always=answer)) as other:
            assert [found.access for found in asked_of(other, name="ecb_rates")] == [access]


def test_what_a_source_fetches_it_can_be_asked_for() -> None:
    """A new source that fetches comes with its probe: doctor has no list of its own."""
    assert [one.name for one in SOURCES if (one.fetch is None) != (one.probe is None)] == []


# --- secrets and hostile words ---------------------------------------------------------------------------------------

HOSTILE = "\x1b]0;owned\x07\x1b[2J[red]not red[/red] \u202egnp.exe\nsecond line <script>alert(1)</script>"


def configured(make_project: MakeProject, *apis: tuple[str, str], **more: Any) -> SmallProject:
    """One source an address, all with the same key."""
    return make_project(
        [
            source(COST_API, account, inbox=None, key_env=KEY_NAME, base_url=base_url, horizon="2026-11-01")
            for account, base_url in apis
        ],
        **more,
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_a_server_that_repeats_the_key_does_not_make_doctor_repeat_it(
    make_project: MakeProject, key: str, status: int
) -> None:
    """Whole, cut, in two, and in the address that the browser would show."""
    said = f"bad key {key}; {key[:-3]}***; Bearer {key} in http://user:{key}@host/ {HOSTILE}"
    answer = Answer(status, body=json.dumps({"error": {"message": said}}).encode())
    with serving(AdminApi(lambda at: [], always=answer)) as api:
        project = configured(make_project, ("org", api.base_url))
        shown = [doctor(project.folder, "--format", name).output for name in ("table", "json", "csv")]
    for text in shown:
        assert f"HTTP {status}" in text
        assert key not in text
        assert key[6:-3] not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\\u202e" not in text
    if status in (400, 403, 404):
        assert "[red]not red[/red]" in " ".join(shown[0].split())


def test_an_address_with_a_password_is_never_shown(make_project: MakeProject, key: str) -> None:
    project = configured(make_project, ("org", "http://someone:pa55word@127.0.0.1:1"))
    for name in ("table", "json", "csv"):
        text = doctor(project.folder, "--format", name).output
        assert "pa55word" not in text
        assert "without user, password or query" in " ".join(text.split())


SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=60)


@settings(max_examples=40)
@given(secret=SECRETS, before=st.text(max_size=40), after=st.text(max_size=40))
@example(secret="sk-ant-admin01-AbCdEfGhIjKlMnOp", before="got ", after="")
def test_a_secret_never_survives_masking(secret: str, before: str, after: str) -> None:
    assert secret not in masked(f"{before}{secret}{after}", [secret])


@given(secret=st.from_regex(r"sk-ant-admin01-[A-Za-z0-9_-]{24,60}", fullmatch=True), cut=st.integers(0, 8))
def test_a_secret_that_was_cut_is_masked_and_its_kind_is_not(secret: str, cut: int) -> None:
    shown = masked(f"Incorrect key: {secret[: len(secret) - cut]}*** (want sk-ant-admin01)", [secret])
    assert shown == "Incorrect key: (key)*** (want sk-ant-admin01)"


# --- several sources -------------------------------------------------------------------------------------------------


def test_one_source_that_hangs_stops_no_other_and_not_the_command(make_project: MakeProject, key: str) -> None:
    with serving(AdminApi(lambda at: [])) as api, speaking(silence) as hanging:
        project = configured(make_project, ("hangs", hanging), ("well", api.base_url), ("gone", "http://127.0.0.1:1"))
        started = time.monotonic()
        found = rows(project.folder, "--timeout", "1")
        took = time.monotonic() - started
    (hangs,), (well,), (gone,) = (of(found, "access", account=name) for name in ("hangs", "well", "gone"))
    assert (hangs["state"], well["state"], gone["state"]) == ("fix", "ok", "fix")
    assert "no answer within 1 s" in hangs["said"]
    assert "the connection is refused" in gone["said"]
    assert took < 4


def test_a_missing_key_names_its_variable_and_outranks_what_is_late(make_project: MakeProject) -> None:
    """Which one thing to fix next is chosen by what it costs."""
    with serving(AdminApi(lambda at: [])) as api:
        project = configured(make_project, ("org", api.base_url))
        found = rows(project.folder)
        assert api.asked == []
    (access,) = of(found, "access")
    assert access["said"] == f"the environment variable {KEY_NAME} is not set"
    assert chosen(found) == access
    said = told(project.folder)
    assert "1 thing needs fixing. Next: Set it to an Admin API key of the organization (sk-ant-admin...)" in said


def test_a_throttled_key_is_allowed(make_project: MakeProject, key: str) -> None:
    with serving(AdminApi(lambda at: [], always=Answer(429))) as api:
        done = doctor(configured(make_project, ("org", api.base_url)).folder)
    assert done.exit_code == 0
    assert "allows it and asks to wait (HTTP 429)" in " ".join(done.output.split())


def test_what_a_client_makes_of_a_hostile_answer_stops_nothing(
    make_project: MakeProject, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw is named by its kind; its text, which may hold anything, is not shown."""

    def explode(*_: object, **__: object) -> None:
        raise RuntimeError(f"with {KEY} in it")

    monkeypatch.setattr("pipeline.sources.asking.ask_once", explode)
    project = configured(make_project, ("org", "http://127.0.0.1:1"))
    found = rows(project.folder)
    (access,) = of(found, "access")
    assert access["said"] == "asking failed (RuntimeError)"


def test_sources_of_files_only_are_not_asked(make_project: MakeProject, key: str) -> None:
    """An Admin API's inbox without a key means that its pages are dropped."""
    project = make_project([source(CONSOLE, "acme"), source(USAGE_API, "org")])
    assert of(rows(project.folder), "access") == []


def test_a_source_that_is_configured_wrongly_says_what_the_run_would_say(make_project: MakeProject, key: str) -> None:
    project = make_project(
        [source("aws_cur2", "cloud", inbox=None), source("owned_gpus", "basement", inbox=None, settings={"assets": []})]
    )
    found = rows(project.folder)
    (cloud,), (basement,) = (of(found, "access", account=name) for name in ("cloud", "basement"))
    assert (cloud["state"], basement["state"]) == ("fix", "fix")
    assert "settings.export is None" in cloud["said"]
    assert "settings.assets is []" in basement["said"]
    assert NOW.isoformat()[:10] in told(project.folder)
