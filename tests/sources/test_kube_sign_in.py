"""Signing in to Kubernetes by the kubeconfig's own program: run where it was agreed to, bounded, and never shown."""

import base64
import json
import os
import ssl
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from pipeline.errors import SourceError
from pipeline.sources.kube_api import gpu_cluster
from pipeline.sources.kube_sign_in import SignIn
from tests.authority import authority
from tests.sources.admin_api import serving
from tests.sources.reachable import KUBE_TOKEN, KubeApi, node

API = KubeApi(nodes=[node("n-1", 8)])
V1 = "client.authentication.k8s.io/v1"
PATH = os.environ["PATH"]


def credential(version: str = V1, **status: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": "ExecCredential", "status": status or {"token": KUBE_TOKEN}}


def program(folder: Path, script: str) -> None:
    path = folder / "bin" / "sign-in"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def answering(folder: Path, answer: object) -> None:
    (folder / "answer").write_text(answer if isinstance(answer, str) else json.dumps(answer))
    program(folder, f"cat '{folder}/answer'")


def signing_in(api: KubeApi, **said: Any) -> dict[str, Any]:
    plugin = {"apiVersion": V1, "command": "bin/sign-in", "interactiveMode": "Never", **said}
    return {**api.kubeconfig, "users": [{"name": "u", "user": {"exec": plugin}}]}


def nodes(kubeconfig: Mapping[str, Any], folder: Path, *, seconds: float = 10, **environment: str) -> int:
    agreed = SignIn({"PATH": PATH, **environment}, seconds=seconds)
    return len(gpu_cluster(kubeconfig, folder=folder, seconds=5, agreed=agreed).nodes)


@pytest.mark.parametrize("version", [V1, f"{V1}beta1"])
def test_the_program_signs_in_with_what_the_kubeconfig_gives_it(tmp_path: Path, version: str) -> None:
    """Its words and variables, and no shell that would take them apart."""
    (tmp_path / "answer").write_text(json.dumps(credential(version)))
    program(tmp_path, f'[ "$1 $2 $REGION $HOME_OF" = "get-token a; b eu here" ] && cat "{tmp_path}/answer"')
    with serving(API) as api:
        config = signing_in(
            api, apiVersion=version, args=["get-token", "a; b"], env=[{"name": "REGION", "value": "eu"}]
        )
        assert nodes(config, tmp_path, HOME_OF="here") == 1


def test_it_is_told_the_cluster_where_it_wants_to_be_and_that_nobody_is_there(tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(json.dumps(credential()))
    program(tmp_path, f'printf %s "$KUBERNETES_EXEC_INFO" > "{tmp_path}/info"; cat "{tmp_path}/answer"')
    with serving(API) as api:
        nodes(signing_in(api, provideClusterInfo=True), tmp_path)
        info = json.loads((tmp_path / "info").read_text())
        assert info == {
            "apiVersion": V1,
            "kind": "ExecCredential",
            "spec": {"interactive": False, "cluster": {"server": api.base_url}},
        }
        nodes(signing_in(api), tmp_path)
    assert json.loads((tmp_path / "info").read_text())["spec"] == {"interactive": False}


def test_nothing_is_run_unless_it_was_agreed_to(tmp_path: Path) -> None:
    program(tmp_path, f'touch "{tmp_path}/was-run"')
    with serving(API) as api, pytest.raises(SourceError, match="not run unasked"):
        gpu_cluster(signing_in(api), folder=tmp_path, seconds=5)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("answer", "said", "why"),
    [
        (credential(), {"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "known here: "),
        (credential(), {"interactiveMode": "Always"}, "by asking a person"),
        (credential(), {"command": ""}, "names no command"),
        (credential(), {"args": 5}, "`args` of the program"),
        (credential(), {"env": 5}, "`env` of the program"),
        (credential(), {"command": "no-such-program-anywhere"}, "cannot be run"),
        (credential(f"{V1}beta1"), {}, "did not answer with an ExecCredential"),
        (f"Your code is {KUBE_TOKEN}", {}, "did not answer with an ExecCredential"),
        (credential() | {"status": None}, {}, "did not answer with an ExecCredential"),
        (credential(token=""), {}, r"list nodes \(HTTP 401\)"),
        (credential(clientCertificateData=KUBE_TOKEN), {}, "neither a token nor a client certificate"),
        (
            credential(clientCertificateData=KUBE_TOKEN, clientKeyData=KUBE_TOKEN),
            {},
            "certificates of the kubeconfig cannot",
        ),
        (credential(token="stale-NEVER-PRINT"), {}, r"list nodes \(HTTP 401\)"),
    ],
)
def test_what_cannot_sign_in_says_why_and_nothing_that_the_program_said(
    tmp_path: Path, answer: object, said: dict[str, Any], why: str
) -> None:
    answering(tmp_path, answer)
    with serving(API) as api, pytest.raises(SourceError, match=why) as refused:
        nodes(signing_in(api, **said), tmp_path)
    assert "NEVER-PRINT" not in str(refused.value)


def test_a_program_that_fails_or_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    program(tmp_path, f"echo {KUBE_TOKEN} >&2; exit 3")
    with serving(API) as api:
        with pytest.raises(SourceError, match="status 3") as refused:
            nodes(signing_in(api), tmp_path)
        program(tmp_path, f"sleep 60 & echo $! > '{tmp_path}/pid'; sleep 60")
        started = time.monotonic()
        with pytest.raises(SourceError, match=r"longer than 0\.5 s"):
            nodes(signing_in(api), tmp_path, seconds=0.5)
    assert KUBE_TOKEN not in str(refused.value)
    assert time.monotonic() - started < 10
    assert _is_gone(int((tmp_path / "pid").read_text()))


def test_what_it_leaves_running_keeps_nobody_waiting_and_what_it_prints_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(json.dumps(credential()))
    program(tmp_path, f"setsid sleep 5 & cat '{tmp_path}/answer'")
    started = time.monotonic()
    with serving(API) as api:
        assert nodes(signing_in(api), tmp_path) == 1
        assert time.monotonic() - started < 4
        program(tmp_path, "head -c 2000000000 /dev/zero")
        with pytest.raises(SourceError, match="more than an ExecCredential can be"):
            nodes(signing_in(api), tmp_path)


def test_a_tokens_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    kubeconfig = {**API.kubeconfig, "users": [{"name": "u", "user": {"tokenFile": "token"}}]}
    with pytest.raises(SourceError, match="holds no text"):
        nodes(kubeconfig, tmp_path)


def _is_gone(pid: int) -> bool:
    """Ended, or a zombie that nobody has asked after yet."""
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


# --- whom to believe --------------------------------------------------------------------------------------------------


@contextmanager
def serving_tls(folder: Path, *, asks_for_certificates: bool) -> Iterator[tuple[str, bytes]]:
    """The Kubernetes API behind TLS: (its address, its authority's certificate)."""
    certificate, key = authority("kubernetes")
    (folder / "server.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    if asks_for_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "client.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            if asks_for_certificates:
                headers["authorization"] = f"Bearer {KUBE_TOKEN}"
            answer = API.answer(parts.path, parse_qsl(parts.query), headers)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", certificate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def believing(address: str, certificate: bytes, **said: Any) -> dict[str, Any]:
    data = base64.b64encode(certificate).decode()
    cluster = {"server": address, "certificate-authority-data": data, **said}
    return {**signing_in(API), "clusters": [{"name": "c", "cluster": cluster}]}


def test_a_server_is_believed_by_the_kubeconfigs_authority_alone(tmp_path: Path) -> None:
    answering(tmp_path, credential())
    with serving_tls(tmp_path, asks_for_certificates=False) as (address, certificate):
        assert nodes(believing(address, certificate), tmp_path) == 1
        assert nodes(believing(address, certificate, **{"tls-server-name": "kubernetes.internal"}), tmp_path) == 1
        for wrong in (
            believing(address, authority("somebody")[0]),
            believing(address, certificate, **{"tls-server-name": "another.internal"}),
            {**believing(address, certificate), "clusters": [{"name": "c", "cluster": {"server": address}}]},
        ):
            with pytest.raises(SourceError, match="does not answer") as refused:
                nodes(wrong, tmp_path)
            assert KUBE_TOKEN not in str(refused.value)


def test_a_certificate_that_the_program_gives_signs_in(tmp_path: Path) -> None:
    certificate, key = authority("somebody")
    (tmp_path / "client.pem").write_bytes(certificate)
    answering(tmp_path, credential(clientCertificateData=certificate.decode(), clientKeyData=key.decode()))
    with serving_tls(tmp_path, asks_for_certificates=True) as (address, of_server):
        assert nodes(believing(address, of_server), tmp_path) == 1
        answering(tmp_path, credential())
        with pytest.raises(SourceError, match="does not answer"):
            nodes(believing(address, of_server), tmp_path)
