"""What is there already: keys by the name of their variable, profiles, exports by content, engines, GPUs. Facts only.

Of a key its variable's name is said, of a profile or a context its name; no value of theirs is kept or shown.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from pipeline.errors import BreakevenError, SourceError
from pipeline.sources.aws_account import AwsAccount, aws_account
from pipeline.sources.kube_api import GpuCluster, gpu_cluster
from pipeline.sources.kube_sign_in import SignIn
from pipeline.sources.prometheus import selector_of
from pipeline.sources.prometheus_http import prometheus_at, series_in
from pipeline.sources.prometheus_tables import KNOWN_BY
from pipeline.sources.recognise import HEAD_BYTES, recognise_file
from pipeline.telemetry.nvml import gpu_names

_ADMIN_KEY = re.compile(r"^(ANTHROPIC|OPENAI)(?:_([A-Z0-9_]+?))?_ADMIN(?:_API)?_KEY(?:_([A-Z0-9_]+))?$", re.ASCII)
_INFERENCE_KEY = re.compile(r"^(ANTHROPIC|OPENAI)_API_KEY$", re.ASCII)
_PROFILE = re.compile(r"^\s*\[(?:profile\s+)?([^\]\s]{1,64})\]", re.MULTILINE)
_AWS_IDENTITY = (
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_SLACK = "SLACK_BOT_TOKEN"
_MANIFEST = re.compile(r"[^/]*Manifest\.json")
_MONTH = re.compile(r"\d{8}-\d{8}", re.ASCII)
# A home directory is no folder of exports: what is found in so many files is enough.
_MOST_FILES = 5_000
_MOST_DEPTH = 6
_MOST_BYTES = 1024 * 1024
_LOOK_BACK = timedelta(hours=1)
_AWS_SECONDS = 10.0


@dataclass(frozen=True)
class ApiKey:
    """A variable that holds an Admin key. `account`: what breakeven.yaml may call the account."""

    provider: str
    variable: str
    account: str


@dataclass(frozen=True)
class FoundFiles:
    """Exports of one source below one folder of the project. `is_alone`: nothing else lies there."""

    source: str
    folder: Path
    files: tuple[Path, ...]
    reason: str
    is_alone: bool


@dataclass(frozen=True)
class Found:
    """`exports`: folders that are synced copies of AWS Data Exports, with their source. `others`: file -> why not.

    `aws_account`, `cluster`: what the credentials and the context give to see; None where they were not asked, or where
    `aws_problem`, `kube_problem` say why they could not be.
    """

    keys: tuple[ApiKey, ...] = ()
    inference_keys: tuple[str, ...] = ()
    has_slack_token: bool = False
    aws: tuple[str, ...] = ()
    aws_account: AwsAccount | None = None
    aws_problem: str | None = None
    kube_context: str | None = None
    cluster: GpuCluster | None = None
    kube_problem: str | None = None
    prometheus: str | None = None
    served_names: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    prometheus_problem: str | None = None
    gpus: tuple[str, ...] = ()
    files: tuple[FoundFiles, ...] = ()
    exports: tuple[tuple[Path, str], ...] = ()
    others: tuple[tuple[Path, str], ...] = ()


def discover(
    folder: Path,
    *,
    environment: Mapping[str, str],
    prometheus: str | None,
    now: datetime,
    seconds: float | None,
    may_sign_in: bool = False,
) -> Found:
    """Everything that can be found here. `seconds`: how long a server may take; None: nothing is asked.

    `may_sign_in`: a person agreed that the program by which the Kubernetes context signs in is run.
    """
    exports = tuple(_data_exports(folder))
    groups, others = _exports_below(folder, [place for place, _ in exports])
    scraped = _series(prometheus, environment=environment, now=now, seconds=seconds)
    aws = tuple(_aws_names(environment))
    account, aws_problem = _aws(aws, seconds)
    context, kubeconfig = _kube_context(environment)
    cluster, kube_problem = _cluster(kubeconfig, seconds, SignIn(environment) if may_sign_in else None)
    return Found(
        keys=tuple(_admin_keys(environment)),
        inference_keys=tuple(sorted(name for name in environment if _INFERENCE_KEY.match(name) and environment[name])),
        has_slack_token=bool(environment.get(_SLACK, "").strip()),
        aws=aws,
        aws_account=account,
        aws_problem=aws_problem,
        kube_context=context,
        cluster=cluster,
        kube_problem=kube_problem,
        prometheus=prometheus,
        served_names=scraped.served_names,
        clusters=scraped.clusters,
        nodes=scraped.nodes,
        prometheus_problem=scraped.problem,
        gpus=gpu_names(),
        files=groups,
        exports=exports,
        others=others,
    )


def _admin_keys(environment: Mapping[str, str]) -> Iterator[ApiKey]:
    for variable in sorted(environment):
        match = _ADMIN_KEY.match(variable)
        if match is not None and environment[variable].strip():
            account = (match[2] or match[3] or "main").strip("_").lower().replace("_", "-")
            yield ApiKey(match[1].lower(), variable, account)


def _aws_names(environment: Mapping[str, str]) -> Iterator[str]:
    """Names of variables that are set, and of profiles."""
    yield from (name for name in _AWS_IDENTITY if environment.get(name, "").strip())
    home = Path(environment.get("HOME", "~")).expanduser()
    for variable, default in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        text = _small_text(Path(environment.get(variable) or home / ".aws" / default))
        yield from dict.fromkeys(f"profile {name}" for name in _PROFILE.findall(text) if not name.startswith("sso-"))


def _aws(names: Sequence[str], seconds: float | None) -> tuple[AwsAccount | None, str | None]:
    """Asked only where credentials were found: without any, the default chain would ask the network for some."""
    if not names or seconds is None:
        return None, None
    try:
        return aws_account(seconds=min(seconds, _AWS_SECONDS)), None
    except SourceError as error:
        return None, str(error)


def _cluster(
    kubeconfig: Path | None, seconds: float | None, agreed: SignIn | None
) -> tuple[GpuCluster | None, str | None]:
    if kubeconfig is None or seconds is None:
        return None, None
    said = yaml.safe_load(_small_text(kubeconfig))
    try:
        return gpu_cluster(said, folder=kubeconfig.parent, seconds=seconds, agreed=agreed), None
    except SourceError as error:
        return None, str(error)


def _kube_context(environment: Mapping[str, str]) -> tuple[str | None, Path | None]:
    """The current context, and the first kubeconfig that names one."""
    home = Path(environment.get("HOME", "~")).expanduser()
    named = environment.get("KUBECONFIG") or str(home / ".kube" / "config")
    for path in named.split(os.pathsep):
        with suppress(yaml.YAMLError, RecursionError):
            said = yaml.safe_load(_small_text(Path(path)))
            context = said.get("current-context") if isinstance(said, dict) else None
            if isinstance(context, str) and context:
                return context[:100], Path(path)
    return None, None


def _small_text(path: Path) -> str:
    with suppress(OSError):
        if path.is_file() and path.stat().st_size <= _MOST_BYTES:
            return path.read_text(encoding="utf-8", errors="replace")
    return ""


@dataclass(frozen=True)
class _Scraped:
    """What a Prometheus had series of within the last hour, or why it could not be asked."""

    served_names: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    problem: str | None = None


def _series(url: str | None, *, environment: Mapping[str, str], now: datetime, seconds: float | None) -> _Scraped:
    if url is None or seconds is None:
        return _Scraped()
    try:
        server = prometheus_at(
            url, whose="breakeven init", environment=environment, sleep=lambda _: None, attempts=1, seconds=seconds
        )
        start = now - _LOOK_BACK
        engines = series_in(server, [selector_of(KNOWN_BY, {})], start=start, stop=now)
        gpus = series_in(server, ["DCGM_FI_DEV_GPU_UTIL"], start=start, stop=now)
    except BreakevenError as error:
        return _Scraped(problem=str(error))
    served = {labels["model_name"] for labels in engines if labels.get("model_name")}
    nodes = {labels.get("Hostname") or labels.get("node") or labels.get("instance") for labels in gpus}
    return _Scraped(
        served_names=tuple(sorted(served)),
        clusters=tuple(sorted({labels["cluster"] for labels in (*engines, *gpus) if labels.get("cluster")})),
        nodes=tuple(sorted(name for name in nodes if name)),
    )


def _data_exports(folder: Path) -> Iterator[tuple[Path, str]]:
    """Folders that hold `data` and `metadata` of an AWS Data Export, and what their data files are."""
    for path in _walk(folder):
        if path.name != "metadata" or not path.is_dir() or not (path.parent / "data").is_dir():
            continue
        if not any(_MANIFEST.fullmatch(file.name) for file in path.rglob("*.json")):
            continue
        first = next((file for file in sorted((path.parent / "data").rglob("*")) if file.is_file()), None)
        source = recognise_file(first).source if first is not None else None
        if source in ("aws_cur2", "focus"):
            yield path.parent, source
    yield from _exports_by_month(folder)


def _exports_by_month(folder: Path) -> Iterator[tuple[Path, str]]:
    """Folders of an export that has one folder a month (20261101-20261130) with manifests in it."""
    found: dict[Path, str] = {}
    for path in _walk(folder):
        if path.is_dir() and _MONTH.fullmatch(path.name) and path.parent not in found:
            source = next((said for file in sorted(path.rglob("*anifest.json")) if (said := _manifest_of(file))), None)
            if source is not None:
                found[path.parent] = source
    yield from found.items()


def _manifest_of(file: Path) -> str | None:
    """Which export a manifest is of."""
    try:
        text = file.read_bytes()[:HEAD_BYTES]
    except OSError:
        return None
    if b'"reportKeys"' in text:
        return "aws_cur"
    return "azure_cost_details" if any(mark in text for mark in (b'"ActualCost"', b'"AmortizedCost"')) else None


def _exports_below(
    folder: Path, left_out: Sequence[Path]
) -> tuple[tuple[FoundFiles, ...], tuple[tuple[Path, str], ...]]:
    """Files by folder and source, and those that are no export."""
    by_place: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    reasons: dict[tuple[Path, str], str] = {}
    others: list[tuple[Path, str]] = []
    for path in _walk(folder):
        if not path.is_file() or path.is_symlink() or any(path.is_relative_to(place) for place in left_out):
            continue
        if path.parent == folder and path.suffix in (".yaml", ".yml", ".md", ".txt"):
            continue
        try:
            found = recognise_file(path)
        except OSError as error:
            others.append((path, f"cannot be read: {error.strerror}"))
            continue
        if found.source is None:
            others.append((path, found.reason))
        else:
            by_place[path.parent, found.source].append(path)
            reasons[path.parent, found.source] = found.reason
    mixed = {path.parent for path, _ in others} | {
        place for place, _ in by_place if sum(other == place for other, _ in by_place) > 1
    }
    groups = [
        FoundFiles(source, place, tuple(sorted(files)), reasons[place, source], place not in mixed and place != folder)
        for (place, source), files in sorted(by_place.items())
    ]
    return tuple(groups), tuple(sorted(others))


def _walk(folder: Path, depth: int = 0) -> Iterator[Path]:
    """What lies below a folder and is not hidden, no deeper and no more than is looked at; links are not followed."""
    shown = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    for path in shown[:_MOST_FILES]:
        if path.is_symlink() and path.is_dir():
            continue
        yield path
        if path.is_dir() and depth < _MOST_DEPTH:
            with suppress(PermissionError):
                yield from _walk(path, depth + 1)
