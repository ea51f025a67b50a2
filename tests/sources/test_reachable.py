"""What a Kubernetes context and AWS credentials give to see, asked once; and why not, without a secret."""

import base64
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import SourceError
from pipeline.sources.aws_account import AwsAccount, DataExport, aws_account
from pipeline.sources.kube_api import GpuNode, GpuWorkload, gpu_cluster
from tests.sources.admin_api import serving
from tests.sources.reachable import KUBE_TOKEN, KubeApi, aws, node, pod

CHAT = ("ReplicaSet", "support-chat-7c9d8f6b5")
API = KubeApi(
    nodes=[node("n-2", 8), node("cpu-1", 0), node("n-1", 4)],
    pods=[
        pod("support-chat-7c9d8f6b5-x", gpus=2, node="n-1", owner=CHAT, args=["--model", "org/m", "--port", "8000"]),
        pod(
            "support-chat-7c9d8f6b5-y", gpus=2, node="n-2", owner=CHAT, args=["serve", "m", "--served-model-name=chat"]
        ),
        pod("web-1", gpus=0, node="cpu-1", owner=None),
        pod("train-0", gpus=4, node="n-2", owner=("StatefulSet", "train")),
        pod("one", gpus=1, node="n-2", owner=None, args=["vllm", "serve", "org/other"]),
    ],
)


def test_nodes_and_pods_with_gpus_are_listed_page_by_page_by_their_owner(tmp_path: Path) -> None:
    with serving(API) as api:
        found = gpu_cluster(api.kubeconfig, folder=tmp_path, seconds=5)
    product = "NVIDIA-H100-80GB-HBM3"
    assert found.nodes == (GpuNode("n-1", 4, product), GpuNode("n-2", 8, product))
    assert found.workloads == (
        GpuWorkload("llm", "support-chat", 2, 2, ("n-1", "n-2"), ("chat", "org/m")),
        GpuWorkload("llm", "train", 1, 4, ("n-2",), ()),
        GpuWorkload("llm", "one", 1, 1, ("n-2",), ("org/other",)),
    )


def changed(api: KubeApi, kind: str, **said: Any) -> dict[str, Any]:
    (named,) = api.kubeconfig[f"{kind}s"]
    return {**api.kubeconfig, f"{kind}s": [{"name": named["name"], kind: {**named[kind], **said}}]}


@pytest.mark.parametrize(
    ("kind", "said", "reason"),
    [
        ("user", {"exec": {"command": "aws"}}, r"signs in by a program \(aws\), which is not run unasked"),
        ("user", {"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ("user", {"token": "another"}, r"does not let this context list nodes \(HTTP 401\)"),
        ("user", {"token": "", "tokenFile": "not-there"}, "token's file"),
        ("user", {"token": f"{KUBE_TOKEN}\n\r"}, "characters that no token has"),
        ("user", {"client-certificate-data": base64.b64encode(b"none").decode()}, "certificates of the kubeconfig"),
        ("cluster", {"certificate-authority-data": "!"}, "certificates of the kubeconfig"),
        ("cluster", {"server": "http://127.0.0.1:1"}, "does not answer"),
        ("cluster", {"server": "nonsense"}, "says no address"),
        ("context", {"user": "nobody"}, "does not say where its current context is"),
    ],
)
def test_a_context_that_cannot_be_asked_says_why_and_no_token(
    tmp_path: Path, kind: str, said: dict[str, Any], reason: str
) -> None:
    with serving(KubeApi()) as api, pytest.raises(SourceError, match=reason) as refused:
        gpu_cluster(changed(api, kind, **said), folder=tmp_path, seconds=5)
    assert KUBE_TOKEN not in str(refused.value)


def test_a_token_in_a_file_signs_in_and_what_may_not_be_listed_is_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{KUBE_TOKEN}\n")
    with serving(KubeApi(nodes=API.nodes, refuses="pods")) as api:
        config = changed(api, "user", token=None, tokenFile="token")
        with pytest.raises(SourceError, match=r"list pods \(HTTP 403\)"):
            gpu_cluster(config, folder=tmp_path, seconds=5)


def test_a_list_that_goes_round_counts_no_machine_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B9: nor is a list that is longer than anybody's taken for its beginning."""
    endless = KubeApi(nodes=API.nodes, goes_round=True)
    with serving(endless), pytest.raises(SourceError, match="a list of nodes that does not end"):
        gpu_cluster(endless.kubeconfig, folder=tmp_path, seconds=5)
    assert len(endless.asked) == 2
    monkeypatch.setattr("pipeline.sources.kube_api._MOST_PAGES", 1)
    with serving(API) as api, pytest.raises(SourceError, match="a list of nodes that does not end"):
        gpu_cluster(api.kubeconfig, folder=tmp_path, seconds=5)


# --- AWS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing-secret"),
        ("AWS_CONFIG_FILE", str(tmp_path / "none")),
        ("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none")),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return monkeypatch


def test_an_account_says_its_number_and_where_its_exports_lie(keys: pytest.MonkeyPatch) -> None:
    exports = {
        "hourly": ("billing", "exports/", "SELECT a, b FROM COST_AND_USAGE_REPORT"),
        "focus": ("billing", "", "select x from FOCUS_1_2_AWS"),
        "carbon": ("other", "c", "SELECT c FROM CARBON_EMISSIONS"),
    }
    with aws(exports) as url:
        keys.setenv("AWS_ENDPOINT_URL", url)
        found = aws_account(seconds=5)
    assert found == AwsAccount(
        "123456789012",
        (
            DataExport("carbon", "s3://other/c/carbon", None),
            DataExport("focus", "s3://billing/focus", "focus"),
            DataExport("hourly", "s3://billing/exports/hourly", "aws_cur2"),
        ),
    )


def test_exports_that_may_not_be_listed_leave_the_account_and_say_so(keys: pytest.MonkeyPatch) -> None:
    with aws(None) as url:
        keys.setenv("AWS_ENDPOINT_URL", url)
        assert aws_account(seconds=5) == AwsAccount(
            "123456789012", exports_problem="ListExports is refused (AccessDeniedException)"
        )


def test_credentials_that_lead_nowhere_are_said_without_them(keys: pytest.MonkeyPatch) -> None:
    keys.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(SourceError, match="AWS: ") as refused:
        aws_account(seconds=2)
    assert "testing-secret" not in str(refused.value)
