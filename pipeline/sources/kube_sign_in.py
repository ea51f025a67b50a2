"""Signing in to Kubernetes by the program that a kubeconfig names (`exec`): aws, gke-gcloud-auth-plugin, kubelogin ...

It is run only where a person agreed to it: a kubeconfig may name any program. It runs without a shell and without an
input, for a while at most, and what it prints is read as an ExecCredential and shown nowhere.

client.authentication.k8s.io v1 and v1beta1: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

import base64
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import SourceError

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_INFO = "KUBERNETES_EXEC_INFO"
_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class SignIn:
    """What a person agreed to: that the program may be run, in this environment, for so many seconds at most."""

    environment: Mapping[str, str] = field(repr=False)
    seconds: float = _SECONDS


def program_of(user: Mapping[str, Any]) -> str | None:
    """The command that a kubeconfig's user signs in by; None where it signs in without one."""
    said = user.get("exec")
    if said is None:
        return None
    return str(said.get("command") or "exec") if isinstance(said, Mapping) else "exec"


def signed_in(
    user: Mapping[str, Any], cluster: Mapping[str, Any], *, folder: Path, agreed: SignIn
) -> Mapping[str, Any]:
    """The user as the program says it, with its token or its client certificate in the place of `exec`.

    `folder`: where a command's relative path begins. SourceError, with nothing of what the program printed, where it
    cannot be run, fails, takes too long, or does not answer as the protocol says.
    """
    said = user["exec"]
    if not isinstance(said, Mapping) or not said.get("command"):
        raise SourceError("the kubeconfig names no command to sign in by")
    version = said.get("apiVersion")
    if version not in _VERSIONS:
        raise SourceError(f"its context signs in by {str(version)[:80]}; known here: {', '.join(_VERSIONS)}")
    command = str(said["command"])
    if said.get("interactiveMode") == "Always":
        raise SourceError(f"{command} signs in by asking a person, which cannot be done here: use another context")
    words = [str(folder / command) if os.sep in command else command, *map(str, _listed(said, "args"))]
    environment = {**agreed.environment, **_variables(said), _INFO: _info(said, cluster, version=version)}
    return {**_without_exec(user), **_credential(_printed(words, environment, agreed.seconds), version, command)}


def _listed(said: Mapping[str, Any], name: str) -> list[Any]:
    found = said.get(name) or []
    if not isinstance(found, list):
        raise SourceError(f"`{name}` of the program by which its context signs in is no list")
    return found


def _variables(said: Mapping[str, Any]) -> dict[str, str]:
    pairs = [one for one in _listed(said, "env") if isinstance(one, Mapping)]
    return {str(one["name"]): str(one.get("value", "")) for one in pairs if one.get("name")}


def _info(said: Mapping[str, Any], cluster: Mapping[str, Any], *, version: str) -> str:
    spec: dict[str, Any] = {"interactive": False}
    if said.get("provideClusterInfo") is True:
        names = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data")
        spec["cluster"] = {name: cluster[name] for name in names if name in cluster}
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": spec}, default=str)


def _printed(words: list[str], environment: Mapping[str, str], seconds: float) -> bytes:
    """What the program writes until it ends. It ends with the time, and with it what is still of its group."""
    command = words[0]
    try:
        process = subprocess.Popen(
            words, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no command"
        raise SourceError(f"{command}, by which its context signs in, cannot be run ({said})") from None
    try:
        content = _read(process, command, until=time.monotonic() + seconds)
        process.wait(timeout=seconds)
    except (TimeoutError, subprocess.TimeoutExpired):
        raise SourceError(f"{command}, by which its context signs in, took longer than {seconds:g} s") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None, "it was asked for"
        process.stdout.close()
    if process.returncode:
        raise SourceError(
            f"{command}, by which its context signs in, ended with status {process.returncode}: run "
            "`kubectl get nodes` to see why"
        )
    return content


def _read(process: subprocess.Popen[bytes], command: str, *, until: float) -> bytes:
    """To the end of what it writes or of itself: what it left running may hold the pipe. TimeoutError at `until`."""
    assert process.stdout is not None, "it was asked for"
    content = b""
    while True:
        has_ended = process.poll() is not None
        ready, _, _ = select.select([process.stdout], [], [], 0 if has_ended else _LOOK_SECONDS)
        part = os.read(process.stdout.fileno(), _MOST_BYTES) if ready else b""
        content += part
        if len(content) > _MOST_BYTES:
            raise SourceError(f"{command}, by which its context signs in, printed more than an ExecCredential can be")
        if (ready or has_ended) and not part:
            return content
        if time.monotonic() > until:
            raise TimeoutError


def _credential(content: bytes, version: str, command: str) -> dict[str, Any]:
    """A user's fields of the kubeconfig, of an ExecCredential."""
    refused = SourceError(f"{command} did not answer with an ExecCredential of {version}")
    try:
        answer = json.loads(content)
        status = answer["status"]
        is_as_asked = answer["kind"] == "ExecCredential" and answer["apiVersion"] == version
    except (ValueError, KeyError, TypeError, RecursionError):
        raise refused from None
    if not is_as_asked or not isinstance(status, Mapping):
        raise refused
    found: dict[str, Any] = {"token": status["token"]} if isinstance(status.get("token"), str) else {}
    certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
    if isinstance(certificate, str) and isinstance(key, str):
        # PEM as text, where a kubeconfig has it in base64.
        for name, pem in (("client-certificate-data", certificate), ("client-key-data", key)):
            found[name] = base64.b64encode(pem.encode()).decode()
    if not found:
        raise SourceError(f"{command} answered with neither a token nor a client certificate")
    return found


def _without_exec(user: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in user.items() if name != "exec"}
