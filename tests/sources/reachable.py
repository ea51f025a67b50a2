"""A Kubernetes API and AWS' own APIs on loopback, for what `init` lists: in the shapes their references give."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.sources.admin_api import Answer

KUBE_TOKEN = "kube-NEVER-PRINT-ME-0123456789"


def pod(name: str, *, gpus: int, node: str, owner: tuple[str, str] | None, args: Sequence[str] = ()) -> dict[str, Any]:
    owners = [] if owner is None else [{"kind": owner[0], "name": owner[1]}]
    asked = {"cpu": "8", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return {
        "metadata": {"name": name, "namespace": "llm", "ownerReferences": owners},
        "spec": {"nodeName": node, "containers": [{"args": list(args), "resources": {"requests": asked}}]},
    }


def node(name: str, gpus: int) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}},
        "status": {"capacity": {"cpu": "96", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}},
    }


@dataclass
class KubeApi:
    """Two items a page, whatever was asked for; `goes_round`: the first two for ever."""

    nodes: Sequence[Mapping[str, Any]] = ()
    pods: Sequence[Mapping[str, Any]] = ()
    refuses: str | None = None
    goes_round: bool = False
    asked: list[str] = field(default_factory=list)
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        self.asked.append(path)
        what = path.rpartition("/")[2]
        if headers.get("authorization") != f"Bearer {KUBE_TOKEN}":
            return Answer(status=401, body=b"{}")
        if what == self.refuses:
            return Answer(status=403, body=json.dumps({"kind": "Status", "message": "forbidden"}).encode())
        items = {"nodes": self.nodes, "pods": self.pods}[what]
        first = 0 if self.goes_round else int(dict(params).get("continue", "0"))
        more = {"continue": str(first + 2)} if first + 2 < len(items) else {}
        return Answer(body=json.dumps({"items": items[first : first + 2], "metadata": more}).encode())

    @property
    def kubeconfig(self) -> dict[str, Any]:
        return {
            "current-context": "prod",
            "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.base_url}}],
            "users": [{"name": "u", "user": {"token": KUBE_TOKEN}}],
        }


@contextmanager
def aws(exports: Mapping[str, tuple[str, str, str]] | None, *, account: str = "123456789012") -> Iterator[str]:
    """STS and bcm-data-exports at one address. `exports`: name -> (S3 bucket, prefix, query); None: not permitted."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            if not target:
                self._say(200, "text/xml", _IDENTITY.format(account=account).encode())
            elif exports is None:
                self._say(400, "application/x-amz-json-1.1", b'{"__type": "AccessDeniedException", "Message": "no"}')
            else:
                self._say(200, "application/x-amz-json-1.1", json.dumps(self._exports(target, body)).encode())

        def _exports(self, target: str, body: bytes) -> dict[str, Any]:
            assert exports is not None
            if target == "ListExports":
                return {"Exports": [{"ExportArn": f"arn:aws:{name:x>20}", "ExportName": name, "ExportStatus": {}}
                                    for name in exports]}  # fmt: skip
            name = json.loads(body)["ExportArn"].rpartition(":")[2].lstrip("x")
            bucket, prefix, query = exports[name]
            place = {"S3Bucket": bucket, "S3Prefix": prefix, "S3Region": "us-east-1"}
            said = {"Name": name, "DataQuery": {"QueryStatement": query},
                    "DestinationConfigurations": {"S3Destination": place}}  # fmt: skip
            return {"Export": said}

        def _say(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


_IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::{account}:user/x</Arn><UserId>X</UserId><Account>{account}</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""
