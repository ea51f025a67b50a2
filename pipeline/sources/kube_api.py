"""Nodes with GPUs, and the pods that ask for them, as a Kubernetes API lists them: two questions, nothing is changed.

Signed in with as a kubeconfig says it: a token, a token's file, a client certificate, or, where a person agreed to run
it, the program that it names (`exec`). The server is believed by the kubeconfig's own authority.
"""

import base64
import binascii
import json
import re
import ssl
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import urllib3

from pipeline.errors import SourceError
from pipeline.formats.masking import masked
from pipeline.sources.kube_sign_in import SignIn, program_of, signed_in

_PAGE = 500
# More than a cluster may have: 150,000 pods.
_MOST_PAGES = 400
_MOST_BYTES = 64 * 1024**2
_GPU = re.compile(r"(?:^|[./])gpu$")
_PRODUCT = "nvidia.com/gpu.product"
_HASH = re.compile(r"-[a-z0-9]{5,10}$")
_SERVED = ("--served-model-name", "--model", "--model-path")


@dataclass(frozen=True)
class GpuNode:
    name: str
    gpu_count: int
    product: str | None


@dataclass(frozen=True)
class GpuWorkload:
    """The running pods of one owner that ask for whole GPUs. `served_names`: as their arguments say."""

    namespace: str
    owner: str
    pod_count: int
    gpus_per_pod: int
    nodes: tuple[str, ...]
    served_names: tuple[str, ...]


@dataclass(frozen=True)
class GpuCluster:
    nodes: tuple[GpuNode, ...]
    workloads: tuple[GpuWorkload, ...]


def gpu_cluster(
    kubeconfig: Mapping[str, Any], *, folder: Path, seconds: float, agreed: SignIn | None = None
) -> GpuCluster:
    """What the cluster of a kubeconfig's current context has. `folder`: where the kubeconfig's relative paths begin.

    `agreed`: that the program by which the context signs in may be run; None: it is not run. SourceError with the
    reason where the cluster cannot be asked; no token is in it.
    """
    cluster, user = _current(kubeconfig)
    if (program := program_of(user)) is not None:
        if agreed is None:
            raise SourceError(
                f"its context signs in by a program ({program}), which is not run unasked: `breakeven init "
                "--kube-sign-in` runs it"
            )
        user = signed_in(user, cluster, folder=folder, agreed=agreed)
    with TemporaryDirectory() as made:
        headers, secrets = _headers(user, folder)
        context = _trust(cluster, user, folder, Path(made))
        named = cluster.get("tls-server-name")
        pool = urllib3.PoolManager(
            ssl_context=context, headers=headers, timeout=urllib3.Timeout(connect=seconds, read=seconds), retries=False,
            server_hostname=None if named is None else str(named),
        )  # fmt: skip
        server = str(cluster.get("server", "")).rstrip("/")
        if not server.startswith(("https://", "http://")):
            raise SourceError("the kubeconfig says no address of its cluster")
        try:
            nodes = list(_listed(pool, f"{server}/api/v1/nodes?limit={_PAGE}"))
            running = "fieldSelector=status.phase%3DRunning"
            pods = list(_listed(pool, f"{server}/api/v1/pods?limit={_PAGE}&{running}"))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            said = masked(f"{type(error).__name__}: {error}", secrets)[:200]
            raise SourceError(f"the Kubernetes API does not answer ({said})") from None
    return GpuCluster(tuple(sorted(_nodes(nodes), key=lambda node: node.name)), tuple(_workloads(pods)))


def _current(kubeconfig: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        named = {
            kind: {one["name"]: one[of] for one in kubeconfig[kind]}
            for kind, of in (("contexts", "context"), ("clusters", "cluster"), ("users", "user"))
        }
        context = named["contexts"][kubeconfig["current-context"]]
        cluster, user = named["clusters"][context["cluster"]], named["users"][context["user"]]
    except (KeyError, TypeError):
        raise SourceError("the kubeconfig does not say where its current context is, or who signs in") from None
    if not isinstance(cluster, Mapping) or not isinstance(user, Mapping):
        raise SourceError("the kubeconfig does not say where its current context is, or who signs in")
    if "auth-provider" in user:
        raise SourceError(
            "its context signs in by an auth-provider, which Kubernetes took out: use `exec` in its place"
        )
    return cluster, user


def _headers(user: Mapping[str, Any], folder: Path) -> tuple[dict[str, str], list[str]]:
    token = user.get("token")
    if not token and user.get("tokenFile"):
        try:
            token = (folder / str(user["tokenFile"])).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SourceError(f"the token's file of the kubeconfig cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise SourceError("the token's file of the kubeconfig holds no text") from None
    headers = {"Accept": "application/json", "User-Agent": "breakeven-init"}
    if not token:
        return headers, []
    if not str(token).isascii() or not str(token).isprintable():
        raise SourceError("the token of the kubeconfig holds characters that no token has")
    return {**headers, "Authorization": f"Bearer {token}"}, [str(token)]


def _trust(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path, made: Path) -> ssl.SSLContext:
    """Whom the server is believed to be, and the client's certificate where it has one."""
    try:
        if cluster.get("insecure-skip-tls-verify") is True:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            authority = _file(cluster, "certificate-authority", folder, made)
            context = ssl.create_default_context(cafile=None if authority is None else str(authority))
        certificate = _file(user, "client-certificate", folder, made)
        if certificate is not None:
            key = _file(user, "client-key", folder, made)
            context.load_cert_chain(str(certificate), None if key is None else str(key), password="")
    except (OSError, ValueError, binascii.Error) as error:
        raise SourceError(f"the certificates of the kubeconfig cannot be used ({type(error).__name__})") from None
    return context


def _file(said: Mapping[str, Any], name: str, folder: Path, made: Path) -> Path | None:
    """A file that is named, or whose content stands there."""
    if said.get(f"{name}-data"):
        path = made / name
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(str(said[f"{name}-data"]), validate=True))
        return path
    return folder / str(said[name]) if said.get(name) else None


def _listed(pool: urllib3.PoolManager, url: str) -> Iterator[Mapping[str, Any]]:
    following, tokens = url, set[str]()
    what = url.partition("/api/v1/")[2].partition("?")[0]
    for _ in range(_MOST_PAGES):
        response = pool.request("GET", following, redirect=False, preload_content=False)
        try:
            content = response.read(_MOST_BYTES + 1)
        finally:
            response.close()
        if response.status in (401, 403):
            raise SourceError(f"the Kubernetes API does not let this context list {what} (HTTP {response.status})")
        try:
            answer = json.loads(content)
            items, more = answer["items"], (answer.get("metadata") or {}).get("continue")
            yield from (item for item in items if isinstance(item, dict))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SourceError(f"the Kubernetes API answers with no list of {what} (HTTP {response.status})") from None
        if not more:
            return
        if str(more) in tokens:
            break
        tokens.add(str(more))
        following = f"{url}&continue={quote(str(more), safe='')}"
    raise SourceError(f"the Kubernetes API answers with a list of {what} that does not end: its GPUs are not counted")


def _nodes(items: Sequence[Mapping[str, Any]]) -> Iterator[GpuNode]:
    for item in items:
        labels, capacity = _of(item, "metadata", "labels"), _of(item, "status", "capacity")
        gpus = sum(_whole(value) for name, value in capacity.items() if _GPU.search(name))
        if gpus:
            yield GpuNode(str(_of(item, "metadata").get("name")), gpus, labels.get(_PRODUCT))


def _workloads(items: Sequence[Mapping[str, Any]]) -> Iterator[GpuWorkload]:
    """Most GPUs first."""
    found: dict[tuple[str, str], list[tuple[int, str, tuple[str, ...]]]] = defaultdict(list)
    for item in items:
        containers = [one for one in _of(item, "spec").get("containers") or () if isinstance(one, Mapping)]
        gpus = sum(
            _whole(value)
            for one in containers
            for name, value in _of(one, "resources", "requests").items()
            if _GPU.search(name)
        )
        if gpus:
            named = tuple(sorted({name for one in containers for name in _served(one)}))
            place = str(_of(item, "metadata").get("namespace")), _owner(item)
            found[place].append((gpus, str(_of(item, "spec").get("nodeName")), named))
    ranked = sorted(found.items(), key=lambda one: (-sum(gpus for gpus, _, _ in one[1]), one[0]))
    for (namespace, owner), pods in ranked:
        yield GpuWorkload(
            namespace=namespace,
            owner=owner,
            pod_count=len(pods),
            gpus_per_pod=Counter(gpus for gpus, _, _ in pods).most_common(1)[0][0],
            nodes=tuple(sorted({node for _, node, _ in pods})),
            served_names=tuple(sorted({name for _, _, names in pods for name in names})),
        )


def _owner(item: Mapping[str, Any]) -> str:
    """What made a pod: of a ReplicaSet its Deployment, whose name it has with a hash after it."""
    metadata = _of(item, "metadata")
    for owner in metadata.get("ownerReferences") or ():
        if isinstance(owner, Mapping) and owner.get("name"):
            name = str(owner["name"])
            return _HASH.sub("", name) if owner.get("kind") == "ReplicaSet" else name
    return str(metadata.get("name"))


def _served(container: Mapping[str, Any]) -> list[str]:
    """The names that a vLLM or SGLang answers to, as its command line says: what is said later is said in its place."""
    words = [str(word) for name in ("command", "args") for word in container.get(name) or ()]
    for option in _SERVED:
        for at, word in enumerate(words):
            if word.startswith(f"{option}="):
                return [word.partition("=")[2]]
            if word == option and at + 1 < len(words):
                return [words[at + 1]]
    if "serve" in words[:-1]:
        return [words[words.index("serve") + 1]]
    return []


def _of(item: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        item = item.get(name) or {}
        if not isinstance(item, Mapping):
            return {}
    return item


def _whole(value: object) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else 0
