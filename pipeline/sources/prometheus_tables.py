"""What is read of a Prometheus' answers: the rows of each table. Pure: bytes in, frames out.

An object is one answer as it came, below a line that says what was asked and for which window (both gzipped). Of two
servers of an HA pair one counts in each window, for each target the one that has more scrapes of it (the first by name
where they have as many); they are never added.

A sample's value is a float to Prometheus: a counter is whole up to 2^53. What is NaN is no reading.
"""

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError
from pipeline.formats.engine_table import ENGINE_METRICS as PINNED
from pipeline.formats.engine_table import Figure
from pipeline.formats.engines import ROLES, SAME_REQUESTS, UNNAMED
from pipeline.formats.exposition import instant
from pipeline.formats.values import canonical_json
from pipeline.landing.dataset import Frames, Settings, Table
from pipeline.sources.prometheus_answers import RawSeries, data_in, matrix_in, values_of

FORMAT = "breakeven.prometheus/1"
ENGINES, DCGM, KUBE = "engines", "dcgm", "kube"
# What a release before other engines than vLLM were read called the first of them, and asked for under that name.
FORMER_NAMES: Mapping[str, tuple[str, ...]] = {ENGINES: ("vllm",)}

_TEXT, _COUNT, _INSTANT = pl.String(), pl.Int64(), pl.Datetime("us")
_MILLISECOND = timedelta(milliseconds=1)

_COLUMN_OF: Mapping[Figure, str] = {
    "prompt_tokens_delivered": "prompt_tokens",
    "prompt_tokens_computed": "computed_tokens",
    "prompt_tokens_cached": "prompt_tokens_cached",
    "prompt_tokens_recomputed": "recomputed",
    "generation_tokens": "generation_tokens",
    "requests_success": "requests_success",
    "requests_running": "requests_running",
    "requests_waiting": "requests_waiting",
}
_BY_SOURCE, _CREATED = "vllm:prompt_tokens_by_source_total", "vllm:prompt_tokens_created"
# metric -> its engine and the column it becomes; several metrics or series of one column are added up.
ENGINE_METRICS: Mapping[str, tuple[str, str]] = {
    **{metric.sample_name: (metric.engine, _COLUMN_OF[metric.figure]) for metric in PINNED},
    _BY_SOURCE: ("vllm", "by_source"),
    _CREATED: ("vllm", "created"),
}
# By which of them a server has an engine: what each prints first of all.
KNOWN_BY = tuple({metric.engine: metric.sample_name for metric in reversed(PINNED) if metric.kind != "gauge"}.values())
STARTED = "process_start_time_seconds"
_ENGINE_COUNTS = (
    "prompt_tokens",
    "prompt_tokens_cached",
    "generation_tokens",
    "requests_success",
    "requests_running",
    "requests_waiting",
)
_TOLD_BY_SOURCE = ("prompt_tokens_transferred", "computed_here", "found_here", "recomputed")
_GAUGES = ("requests_running", "requests_waiting")
# Labels that tell series of one engine apart; all others are its target's.
_ENGINE_LABELS = ("__name__", "model_name", "engine", "source", "finished_reason")
# Of the other engines these are their target's, and all others tell series of one engine apart.
_TARGET_LABELS = ("job", "instance", "container", "endpoint", "service")
# Prometheus' own example configuration for pods, and so many a server, names them the second way.
# No exporter says it: a team that relabels __meta_kubernetes_pod_uid names it so.
_POD_UID = ("pod_uid", "kubernetes_pod_uid")
_NAMESPACE, _POD, _NODE = ("namespace", "kubernetes_namespace"), ("pod", "kubernetes_pod_name"), "kubernetes_node"
# Where vLLM has each prompt token from -> the column it becomes: computed here, found here, had from another process.
_SOURCES = {
    "local_compute": "computed_here",
    "local_cache_hit": "found_here",
    "external_kv_transfer": "prompt_tokens_transferred",
}
# KServe labels each process of a disaggregated service with what it does; SGLang says it itself, of its gauges.
_ROLE_LABELS = ("llm_isvc_role", "engine_type")

# DCGM field -> (column, factor from DCGM's unit): %, 0..1, W, MiB.
GPU_METRICS = {
    "DCGM_FI_DEV_GPU_UTIL": ("util_gpu_pct", 1),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": ("gr_engine_active_ppm", 1_000_000),
    "DCGM_FI_PROF_SM_ACTIVE": ("sm_active_ppm", 1_000_000),
    "DCGM_FI_DEV_FB_USED": ("memory_used_bytes", 1_048_576),
    "DCGM_FI_DEV_POWER_USAGE": ("power_milliwatts", 1_000),
}
# What DCGM prints where it has no value, in old versions of its exporter; as a float it is the nearest one.
_BLANK_FROM = 2_147_483_632.0
_WHOLE_TO = 2.0**53

# The port of an address, of IPv6 too: [fd00::5]:9400.
_PORT = re.compile(r":[0-9]+$")
# Which resources of a pod are GPUs or parts of them, as kube-state-metrics spells them (nvidia.com/mig-1g.10gb).
_ASKS_FOR_GPUS = re.compile("gpu|mig")
_MIG_RESOURCE = "nvidia_com_mig_"
_MIG_SLICE = re.compile(r"((?P<compute>\d)c_)?(?P<profile>(?P<instance>\d)g_\d+gb)(_me.*)?")
# A GPU has seven compute slices, but for the A30 and the RTX PRO 6000 (MIG user guide, supported profiles, 2026).
_OF_FOUR_SLICES = frozenset({"1g_6gb", "2g_12gb", "4g_24gb", "1g_24gb", "2g_48gb", "4g_96gb"})

ENGINE_SAMPLES = Table(
    name="engine_samples",
    columns={
        "cluster": _TEXT,
        "namespace": _TEXT,
        "pod": _TEXT,
        "pod_uid": _TEXT,
        "node": _TEXT,
        "job": _TEXT,
        "instance": _TEXT,
        "target_labels": _TEXT,
        "replica": _TEXT,
        "model_name": _TEXT,
        "engine": _TEXT,
        "at": _INSTANT,
        "interval_ms": _COUNT,
        "process_started_at": _INSTANT,
        "serving_engine": _TEXT,
        "prompt_counts": _TEXT,
        **dict.fromkeys(_ENGINE_COUNTS, _COUNT),
        "prompt_tokens_transferred": _COUNT,
        "identity_gap_tokens": _COUNT,
        "engine_role": _TEXT,
    },
)
GPU_SAMPLES = Table(
    name="gpu_samples",
    columns={
        "cluster": _TEXT,
        "node": _TEXT,
        "hostname": _TEXT,
        "instance": _TEXT,
        "replica": _TEXT,
        "gpu_uuid": _TEXT,
        "gpu_instance_id": _TEXT,
        "model_name": _TEXT,
        "at": _INSTANT,
        "interval_ms": _COUNT,
        **{column: _COUNT for column, _ in GPU_METRICS.values()},
    },
)
# Which pod holds which GPU, or which MIG instance of one, as dcgm-exporter's labels say it of its samples. `slice_ppm`:
# how much of the GPU that instance is, a million being all; null where no instance is named, or none that is known.
GPU_PODS = Table(
    name="gpu_pods",
    columns={
        "cluster": _TEXT,
        "node": _TEXT,
        "hostname": _TEXT,
        "instance": _TEXT,
        "gpu_uuid": _TEXT,
        "namespace": _TEXT,
        "pod": _TEXT,
        "container": _TEXT,
        "gpu_instance_id": _TEXT,
        "slice_ppm": _COUNT,
        "first_at": _INSTANT,
        "last_at": _INSTANT,
        "sample_count": _COUNT,
    },
)


# Where a pod that asked for GPUs ran in an hour of the day, and for how much of them it asked: a million a GPU.
PODS = Table(
    name="pods",
    columns={
        "cluster": _TEXT,
        "namespace": _TEXT,
        "pod": _TEXT,
        "uid": _TEXT,
        "node": _TEXT,
        "created_by_kind": _TEXT,
        "created_by_name": _TEXT,
        "created_at": _INSTANT,
        "requested_gpus_ppm": _COUNT,
    },
)


# --- which label says what --------------------------------------------------------------------------------------------

_REPLICA_LABELS = ("prometheus_replica", "__replica__")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Labels:
    """Which label says what; landed with each delivery, so that a reader needs nothing else."""

    replica: tuple[str, ...]
    cluster: str
    node: str

    @property
    def landed(self) -> dict[str, Any]:
        return {"replica_label": list(self.replica), "cluster_label": self.cluster, "node_label": self.node}


def labels_named(settings: Mapping[str, Any]) -> Labels:
    replica = settings.get("replica_label", list(_REPLICA_LABELS))
    replica = [replica] if isinstance(replica, str) else replica
    cluster, node = settings.get("cluster_label", "cluster"), settings.get("node_label", "node")
    said = {"replica_label": replica, "cluster_label": [cluster], "node_label": [node]}
    for name, labels in said.items():
        if not isinstance(labels, list) or not all(isinstance(one, str) and _LABEL.fullmatch(one) for one in labels):
            raise ConfigError(
                key=f"settings.{name}", value=settings.get(name), fix="It is a label's name, as prometheus_replica."
            )
    return Labels(tuple(replica), cluster, node)


# --- reading ---------------------------------------------------------------------------------------------------------


def _opened(content: bytes, dataset: str) -> tuple[int, int, bytes]:
    """The window of an object, and its answer."""
    try:
        whole = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        raise QuarantineError(f"The file is cut or damaged ({error}). Fetch the day again.") from None
    head, _, answer = whole.partition(b"\n")
    try:
        said = json.loads(head)
        window = said["start_ms"], said["stop_ms"]
        is_called = said["dataset"] in (dataset, *FORMER_NAMES.get(dataset, ()))
        if said["format"] != FORMAT or not is_called or not all(type(edge) is int for edge in window):
            raise ValueError("another format")
    except (ValueError, KeyError, TypeError) as error:
        raise QuarantineError(
            f"Its first line does not say what was asked of a Prometheus for {dataset} ({error}). Such files are "
            "fetched, not dropped: name the server in base_url."
        ) from None
    return *window, answer


def _read(content: bytes, dataset: str) -> list[RawSeries]:
    start_ms, stop_ms, answer = _opened(content, dataset)
    return matrix_in(answer, start_ms=start_ms, stop_ms=stop_ms)


def _text(labels: Mapping[str, str], *names: str) -> str | None:
    """The first of these labels that is there and not empty, which to Prometheus is the same as not there."""
    return next((labels[name] for name in names if labels.get(name)), None)


def _long(series: Sequence[RawSeries], places: Sequence[Mapping[str, str | None]]) -> pl.DataFrame:
    """Every sample as a row: what its series says, when, and its value; null where it is no number."""
    names = list(dict.fromkeys(chain.from_iterable(places)))
    said = pl.DataFrame(
        {name: [place.get(name) for place in places] for name in names}, schema=dict.fromkeys(names, _TEXT)
    ).with_columns(pl.Series("count", [len(one.at_ms) for one in series], dtype=pl.UInt32))
    numbered = said.with_row_index("series")
    number = numbered.select(pl.col("series").repeat_by("count").explode())
    value = pl.col("text").cast(pl.Float64, strict=False)
    samples = number.with_columns(
        pl.Series("at_ms", list(chain.from_iterable(one.at_ms for one in series)), dtype=pl.Int64),
        pl.Series("text", list(chain.from_iterable(one.values for one in series)), dtype=pl.String),
    ).with_columns(pl.when(value.is_finite()).then(value).alias("value"))
    return samples.drop("text").join(numbered.drop("count"), on="series")


def _one_stream(long: pl.DataFrame, *, of: str) -> pl.DataFrame:
    """Of each `of` the rows of one stream: the one with most samples, the first by name where several have as many."""
    counts = long.group_by(of, "stream").agg(pl.len().alias("samples"))
    best = counts.sort(of, "samples", "stream", descending=[False, True, False]).unique(of, keep="first")
    return long.join(best.select(of, "stream"), on=[of, "stream"], how="semi")


def _wide(rows: pl.DataFrame, *, keys: Sequence[str], value: pl.Expr, columns: Iterable[str]) -> pl.DataFrame:
    """A row of `keys` with each column's value; null where one of its series has no number, or none is there."""
    whole = pl.when(pl.col("value").null_count() == 0).then(value).alias("value")
    grouped = rows.group_by(*keys, "column").agg(whole)
    wide = grouped.pivot("column", index=list(keys), values="value")
    missing = [name for name in columns if name not in wide.columns]
    return wide.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)


def _counts(frame: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
    """Floats as the counts they are. QuarantineError where one is none."""
    for name in columns:
        value = pl.col(name)
        odd = frame.filter((value != value.round()) | ~value.is_between(0, _WHOLE_TO))
        if odd.height:
            raise QuarantineError(f"{name} is {odd[name][0]} at {odd['at_ms'][0] / 1000:.3f}, which is no count.")
    return frame.with_columns(pl.col(name).cast(pl.Int64) for name in columns)


def _intervals(frame: pl.DataFrame, *, of: str, capped: bool) -> pl.DataFrame:
    """`interval_ms`: how often this is scraped, a whole second of the median gap, of its own series where it has two
    samples, else of all; null where nothing has. `capped`: the gap before the sample where it is about as long.
    """
    gaps = frame.sort(of, "at_ms").with_columns(pl.col("at_ms").diff().over(of).alias("gap_ms"))
    usual = pl.coalesce(pl.col("gap_ms").median().over(of), pl.col("gap_ms").median())
    usual = ((usual / 1000).round().clip(1) * 1000).cast(pl.Int64)
    gaps = gaps.with_columns(usual.alias("usual_ms"))
    own = pl.when(2 * pl.col("gap_ms") <= 3 * pl.col("usual_ms")).then("gap_ms").otherwise("usual_ms")
    return gaps.with_columns((own if capped else pl.col("usual_ms")).alias("interval_ms"))


def _dated(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The table's rows, in order. A row's bucket is the day it was asked for in; as a spool's, it is of the day on
    which its interval begins, which is the day before for the first scrape after midnight."""
    at = pl.from_epoch("at_ms", time_unit="ms").cast(pl.Datetime("us"))
    covered = pl.duration(milliseconds=pl.col("interval_ms").fill_null(0))
    known = frame.with_columns(at.alias("at"))
    return known.select(
        pl.col("at").dt.date().cast(pl.String).alias("bucket"),
        (pl.col("at") - covered).dt.date().alias("usage_date"),
        *(pl.col(name).cast(kind).alias(name) for name, kind in table.columns.items()),
        pl.lit(None, dtype=pl.String).alias("other_columns"),
    )


def _empty(table: Table) -> pl.DataFrame:
    return pl.DataFrame(schema=table.schema)


# --- engines ---------------------------------------------------------------------------------------------------------


def _engine_place(labels: Mapping[str, str], named: Labels) -> dict[str, str | None]:
    """Whose a series is, in texts that equal series of other scrapes share."""
    target = {name: text for name, text in labels.items() if text and name not in (*_ENGINE_LABELS, *named.replica)}
    process = [labels.get(name, "") for name in (named.cluster, "job", "instance", *_NAMESPACE, *_POD, "container")]
    name = labels.get("__name__", "")
    serving_engine, column = ENGINE_METRICS.get(name, (None, None))
    if column == "by_source":
        column = _SOURCES.get(labels.get("source", ""))
    model_name, engine = labels.get("model_name"), labels.get("engine") or "0"
    part = None
    if serving_engine not in (None, "vllm"):
        own = (*_TARGET_LABELS, named.cluster, named.node, _NODE, *_NAMESPACE, *_POD, *_POD_UID)
        target = {name: text for name, text in target.items() if name in own}
        # Of the model that an engine does not name, nobody says the name.
        model_name, engine = _text(labels, "model_name", "model") or UNNAMED, "0"
        if column in _GAUGES:
            # What is of one priority alone is a part of another's series, or of nothing that is kept.
            column = None if labels.get("priority") else column
            part = canonical_json({name: text for name, text in labels.items() if name not in SAME_REQUESTS})
    target_labels = canonical_json(target)
    role = _text(labels, *_ROLE_LABELS)
    return {
        "column": "process_start" if name == STARTED else column if model_name else None,
        "serving_engine": serving_engine,
        "part": part,
        "stream": _text(labels, *named.replica) or "",
        "target_labels": target_labels,
        "process_key": canonical_json(process),
        "engine_key": canonical_json([target_labels, model_name, engine]),
        "cluster": _text(labels, named.cluster),
        "namespace": _text(labels, *_NAMESPACE),
        "pod": _text(labels, *_POD),
        "pod_uid": _text(labels, *_POD_UID),
        "node": _text(labels, named.node, _NODE),
        "job": _text(labels, "job"),
        "instance": _text(labels, "instance"),
        "model_name": model_name,
        "engine": engine,
        "engine_role": role if role in ROLES else None,
    }


_ENGINE_TEXTS = (
    "process_key", "target_labels", "stream", "cluster", "namespace", "pod", "pod_uid", "node", "job", "instance",
    "model_name", "engine", "serving_engine",
)  # fmt: skip
_TELLING = ("prompt_tokens", "computed_tokens", "generation_tokens")


def parse_engines(content: bytes, settings: Settings) -> Frames:
    """One row a scrape of an engine: its cumulative counters, and when its process began where that is known."""
    named = labels_named(settings)
    series = _read(content, ENGINES)
    places = [_engine_place(one.labels, named) for one in series]
    if not any(place["column"] in _TELLING or place["serving_engine"] not in (None, "vllm") for place in places):
        return {ENGINE_SAMPLES.name: _empty(ENGINE_SAMPLES)}
    long = _long(series, places)
    rows = _one_stream(_of_one_engine(long.filter(pl.col("column") != "process_start")), of="target_labels")
    wide = _wide(
        _once_a_rank(rows),
        keys=("engine_key", "at_ms"),
        value=pl.col("value").sum(),
        columns=(*_ENGINE_COUNTS, "computed_tokens", *_TOLD_BY_SOURCE, "created"),
    )
    wide = wide.join(rows.select("engine_key", *_ENGINE_TEXTS).unique("engine_key"), on="engine_key")
    wide = wide.join(_roles(rows), on="engine_key")
    # Another engine that is read and counts no tokens was there all the same; vLLM prints both counters or is cut.
    is_told = pl.any_horizontal(pl.col(name).is_not_null() for name in _TELLING)
    wide = wide.filter(is_told | (pl.col("serving_engine") != "vllm"))
    began = long.filter(pl.col("column") == "process_start").group_by("process_key", "stream", "at_ms")
    wide = wide.join(
        began.agg(pl.col("value").max().alias("began")), on=["process_key", "stream", "at_ms"], how="left"
    ).with_columns(
        pl.coalesce("began", "created").alias("began"),
        pl.col("stream").alias("replica"),
    )
    wide = _counts(_with_start(wide), (*_ENGINE_COUNTS, "computed_tokens", *_TOLD_BY_SOURCE))
    wide = _with_prompts(_told_by_source(wide))
    wide = _intervals(wide, of="engine_key", capped=False)
    return {ENGINE_SAMPLES.name: _dated(wide, ENGINE_SAMPLES).sort("target_labels", "model_name", "engine", "at")}


def _roles(rows: pl.DataFrame) -> pl.DataFrame:
    """engine_key -> the one role that its labels say; null where they say none, or two."""
    said = pl.col("engine_role").drop_nulls()
    return rows.group_by("engine_key").agg(
        pl.when(said.n_unique() == 1).then(said.min()).otherwise(None).alias("engine_role")
    )


def _told_by_source(wide: pl.DataFrame) -> pl.DataFrame:
    """`prompt_tokens_cached` by its older name where it has no other, and `identity_gap_tokens`: by how much the counts
    of one thing differ at most, as `formats.exposition` has it of a body; null where there is but one of each."""
    here, transferred = pl.col("found_here"), pl.col("prompt_tokens_transferred")
    # An engine that prints one of the two prints what there is.
    hits = pl.when(here.is_not_null() | transferred.is_not_null()).then(here.fill_null(0) + transferred.fill_null(0))
    found = (hits - pl.col("recomputed").fill_null(0)).clip(lower_bound=0)
    cached = pl.coalesce("prompt_tokens_cached", found)
    gaps = ((pl.col("computed_here") + found - pl.col("prompt_tokens")).abs(), (cached - found).abs())
    return wide.with_columns(
        cached.alias("prompt_tokens_cached"), pl.max_horizontal(*gaps).alias("identity_gap_tokens")
    )


def _of_one_engine(rows: pl.DataFrame) -> pl.DataFrame:
    """Without what Triton prints beside the counters of the vLLM that it runs: those tell the same requests."""
    behind = rows.filter(pl.col("serving_engine") == "vllm")["process_key"].unique().to_list()
    return rows.filter((pl.col("serving_engine") != "triton") | ~pl.col("process_key").is_in(behind))


def _once_a_rank(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, of which the gauges of ranks that see the same requests are one: the highest."""
    is_one = pl.col("part").is_not_null()
    ranks = rows.filter(is_one)
    if not ranks.height:
        return rows
    highest = pl.when(pl.col("value").null_count() == 0).then(pl.col("value").max()).alias("value")
    kept = ranks.group_by("engine_key", "at_ms", "column", "part").agg(highest)
    columns = ("engine_key", "at_ms", "column", "value")
    return pl.concat([rows.filter(~is_one).select(columns), kept.select(columns)])


def _with_prompts(wide: pl.DataFrame) -> pl.DataFrame:
    """`prompt_tokens` and what they count, as `formats.engines` reads them: delivered, or computed where the engine
    tells no more."""
    cached, computed = pl.col("prompt_tokens_cached"), pl.col("computed_tokens")
    delivered = pl.coalesce("prompt_tokens", computed + cached)
    return wide.with_columns(
        pl.coalesce(delivered, computed).alias("prompt_tokens"),
        pl.when(delivered.is_not_null())
        .then(pl.lit("delivered"))
        .when(computed.is_not_null())
        .then(pl.lit("computed"))
        .alias("prompt_counts"),
    )


def _with_start(wide: pl.DataFrame) -> pl.DataFrame:
    """`process_started_at`, to the microsecond as the agent's own scrapes have it: by it the two know one process."""
    began = wide["began"].drop_nulls().unique()
    starts = pl.DataFrame(
        {"began": began, "process_started_at": [instant(Decimal(repr(seconds))) for seconds in began]},
        schema={"began": pl.Float64(), "process_started_at": _INSTANT},
    )
    return wide.join(starts, on="began", how="left")


# --- GPUs ------------------------------------------------------------------------------------------------------------


def _gpu_place(labels: Mapping[str, str], named: Labels) -> dict[str, str | None]:
    uuid, instance_id = _text(labels, "UUID"), _text(labels, "GPU_I_ID")
    column, _ = GPU_METRICS.get(labels.get("__name__", ""), (None, 1))
    # Prometheus renames a scraped label that its own target labels have too, unless told to honour it.
    is_renamed = bool(labels.get("exported_pod"))
    holder = [f"exported_{name}" if is_renamed else name for name in ("namespace", "pod", "container")]
    return {
        "column": column if uuid else None,
        "stream": canonical_json([_text(labels, *named.replica), labels.get("job"), labels.get("instance")]),
        "replica": _text(labels, *named.replica) or "",
        "device_key": canonical_json([uuid, instance_id]),
        "gpu_uuid": uuid,
        "gpu_instance_id": instance_id,
        "slice_ppm": None if instance_id is None else _slice_ppm(labels.get("GPU_I_PROFILE", "")),
        "cluster": _text(labels, named.cluster),
        "node": _text(labels, named.node, _NODE),
        "hostname": _text(labels, "Hostname"),
        "instance": _text(labels, "instance"),
        "model_name": _text(labels, "modelName"),
        **{name: _text(labels, label) for name, label in zip(("namespace", "pod", "container"), holder, strict=True)},
    }


def host_labels(named: Labels) -> tuple[str, ...]:
    """The labels that say on which host a GPU is, the first that is there first."""
    return named.node, _NODE, "Hostname", "instance"


def gpu_host(labels: Mapping[str, str], named: Labels) -> str | None:
    """The host of a series of dcgm-exporter, by the name that its staging model gives it."""
    *own, address = host_labels(named)
    return _text(labels, *own) or _PORT.sub("", labels.get(address, "")) or None


_GPU_TEXTS = ("gpu_uuid", "gpu_instance_id", "cluster", "node", "hostname", "instance", "replica", "model_name")
_HOLDER = (
    "cluster", "node", "hostname", "instance", "gpu_uuid", "namespace", "pod", "container", "gpu_instance_id",
    "slice_ppm",
)  # fmt: skip


def parse_gpus(content: bytes, settings: Settings) -> Frames:
    """One row a scrape of a GPU (or of a MIG instance of one), and which pods its samples name. Where GPUs are shared
    in time, a device is printed once a pod: it is read once."""
    named = labels_named(settings)
    series = _read(content, DCGM)
    places = [_gpu_place(one.labels, named) for one in series]
    if not any(place["column"] for place in places):
        return {GPU_SAMPLES.name: _empty(GPU_SAMPLES), GPU_PODS.name: _empty(GPU_PODS)}
    long = _long(series, places).filter(pl.col("column").is_not_null())
    rows = _one_stream(long, of="gpu_uuid").with_columns(
        pl.when(pl.col("value") < _BLANK_FROM).then(pl.col("value")).alias("value")
    )
    columns = dict(GPU_METRICS.values())
    wide = _wide(rows, keys=("device_key", "at_ms"), value=pl.col("value").max(), columns=columns)
    wide = wide.with_columns((pl.col(name) * factor).round() for name, factor in columns.items())
    own = rows.select("device_key", *_GPU_TEXTS).sort("device_key", *_GPU_TEXTS).unique("device_key", keep="first")
    wide = _intervals(_counts(wide.join(own, on="device_key"), columns), of="device_key", capped=True)
    return {
        GPU_SAMPLES.name: _dated(wide, GPU_SAMPLES).sort("gpu_uuid", "gpu_instance_id", "at"),
        GPU_PODS.name: _holders(
            rows.join(wide.select("device_key", "at_ms", "interval_ms"), on=["device_key", "at_ms"])
        ),
    }


def _holders(rows: pl.DataFrame) -> pl.DataFrame:
    """Which pods a window's samples name, on the days that the samples are of."""
    at = pl.from_epoch("at_ms", time_unit="ms").cast(_INSTANT)
    covered = pl.duration(milliseconds=pl.col("interval_ms").fill_null(0))
    held = rows.filter(pl.col("pod").is_not_null()).with_columns(
        pl.col("slice_ppm").cast(pl.Int64),
        at.alias("at"),
        at.dt.date().cast(pl.String).alias("bucket"),
        (at - covered).dt.date().alias("usage_date"),
    )
    found = held.group_by("bucket", "usage_date", *_HOLDER).agg(
        pl.col("at").min().alias("first_at"),
        pl.col("at").max().alias("last_at"),
        pl.col("at").n_unique().cast(pl.Int64).alias("sample_count"),
    )
    return found.select(
        "bucket", "usage_date", *GPU_PODS.columns, pl.lit(None, dtype=pl.String).alias("other_columns")
    ).sort("usage_date", *_HOLDER, nulls_last=True)


# --- pods ------------------------------------------------------------------------------------------------------------


def parse_pods(content: bytes, settings: Settings) -> Frames:
    """One row a pod of an hour, however many servers or exporters said so."""
    named = labels_named(settings)
    start_ms, _, answer = _opened(content, KUBE)
    day = (datetime(1970, 1, 1, tzinfo=UTC) + start_ms * _MILLISECOND).date()
    said = values_of(data_in(answer))
    requested = _requested(said, named)
    found = {
        (*pod, requested.get(pod[:4], requested.get((*pod[:3], None))))
        for pod in (_pod(labels, value, named) for labels, value in said if not _is_request(labels))
    }
    rows = [(day.isoformat(), day, *pod, None) for pod in found if pod[2] is not None]
    frame = pl.DataFrame(rows, schema=PODS.schema, orient="row")
    return {PODS.name: frame.sort(*PODS.columns, nulls_last=True)}


_PodKey = tuple[str | datetime | None, ...]


def _name_labels(labels: Mapping[str, str]) -> tuple[str, str]:
    is_renamed = bool(labels.get("exported_pod"))
    return ("exported_namespace", "exported_pod") if is_renamed else ("namespace", "pod")


def _is_request(labels: Mapping[str, str]) -> bool:
    return _ASKS_FOR_GPUS.search(labels.get("resource", "")) is not None


def _requested(said: Iterable[tuple[Mapping[str, str], float]], named: Labels) -> dict[_PodKey, int | None]:
    """(cluster, namespace, pod, uid) -> the GPUs that its containers ask for together, in ppm of one; null where what
    one of them asks for is no known part of a GPU, as a time slice is none."""
    asked: dict[_PodKey, list[Fraction | None]] = {}
    for labels, value in said:
        if _is_request(labels):
            key = tuple(_text(labels, name) for name in (named.cluster, *_name_labels(labels), "uid"))
            asked.setdefault(key, []).append(_gpus(labels["resource"], value))
    return {
        key: int(1_000_000 * sum((part for part in parts if part is not None), Fraction())) or None
        if None not in parts
        else None
        for key, parts in asked.items()
    }


def _gpus(resource: str, count: float) -> Fraction | None:
    """How many GPUs so many of a resource are; a MIG slice is its part of a GPU's compute."""
    if not (math.isfinite(count) and count >= 0 and count.is_integer()):
        return None
    if resource == "nvidia_com_gpu":
        return Fraction(int(count))
    part = _slice(resource.removeprefix(_MIG_RESOURCE)) if resource.startswith(_MIG_RESOURCE) else None
    return None if part is None else int(count) * part


def _slice(profile: str) -> Fraction | None:
    """The part of a GPU's compute that a profile is, spelled as kube-state-metrics does (1g_10gb); None: unknown."""
    found = _MIG_SLICE.fullmatch(profile)
    if found is None:
        return None
    part = Fraction(int(found["compute"] or found["instance"]), 4 if found["profile"] in _OF_FOUR_SLICES else 7)
    return min(part, Fraction(1))


def _slice_ppm(profile: str) -> str | None:
    """The same of a profile as dcgm-exporter spells it (1g.10gb, 1g.10gb+me), in ppm."""
    part = _slice(re.sub(r"[.+-]", "_", profile))
    return None if part is None else str(int(1_000_000 * part))


def _pod(labels: Mapping[str, str], value: float, named: Labels) -> _PodKey:
    said = (_text(labels, name) for name in (named.cluster, *_name_labels(labels), *list(PODS.columns)[3:-2]))
    # Where nobody says when a pod was made, its value is that of kube_pod_info: 1.
    return (*said, instant(Decimal(repr(value))) if math.isfinite(value) and value > 1 else None)
