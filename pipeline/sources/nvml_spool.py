"""Spool files of the agent on a GPU host: NVML samples, engine scrapes, and what the agent says about itself.

The files are dropped (a folder or an S3 prefix); nothing is fetched here. Every file counts: a row is unique by its
agent start and sequence number, so a file shipped twice, or once half and once whole, is counted once.
"""

import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats import spool
from pipeline.formats.engines import read_engine
from pipeline.formats.exposition import ExpositionError
from pipeline.formats.spool import RejectedLineError, SpoolLines
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.landing.fetched import Fetched, Payload
from pipeline.sources.source import Source

_TEXT, _COUNT, _INSTANT = pl.String(), pl.Int64(), pl.Datetime("us")

GPU_SAMPLES = Table(
    name="gpu_samples",
    columns={
        "host": _TEXT,
        "boot_id": _TEXT,
        "agent_start_id": _TEXT,
        "sequence_number": _COUNT,
        "at": _INSTANT,
        "interval_ms": _COUNT,
        "gpu_uuid": _TEXT,
        "provider_resource_id": _TEXT,
        "util_gpu_pct": _COUNT,
        "util_memory_pct": _COUNT,
        "memory_used_bytes": _COUNT,
        "energy_millijoules": _COUNT,
        "power_milliwatts": _COUNT,
        "sm_active_ppm": _COUNT,
        "tensor_active_ppm": _COUNT,
        "dram_active_ppm": _COUNT,
        "clocks_event_reasons": _COUNT,
        "compute_process_count": _COUNT,
        "mig_held_ppm": _COUNT,
        "health": _TEXT,
        "samples_lost": _COUNT,
    },
    key=("agent_start_id", "sequence_number"),
)

ENGINE_SCRAPES = Table(
    name="engine_scrapes",
    columns={
        "host": _TEXT,
        "boot_id": _TEXT,
        "agent_start_id": _TEXT,
        "model_name": _TEXT,
        "engine_rank": _TEXT,
        "sequence_number": _COUNT,
        "at": _INSTANT,
        "interval_ms": _COUNT,
        "target": _TEXT,
        "replica_id": _TEXT,
        "engine": _TEXT,
        "engine_version": _TEXT,
        "process_started_at": _INSTANT,
        "prompt_tokens": _COUNT,
        "prompt_counts": _TEXT,
        "prompt_tokens_cached": _COUNT,
        "generation_tokens": _COUNT,
        "requests_success": _COUNT,
        "requests_running": _COUNT,
        "requests_waiting": _COUNT,
        "identity_gap_tokens": _COUNT,
        "prompt_tokens_transferred": _COUNT,
        "engine_role": _TEXT,
        "gpu_uuids": _TEXT,
        "gpu_shares_ppm": _TEXT,
        "gpu_memory_bytes": _TEXT,
        "gpu_method": _TEXT,
        "http_status": _COUNT,
        "duration_ms": _COUNT,
        "scrape_error": _TEXT,
    },
    key=("agent_start_id", "model_name", "engine_rank", "sequence_number"),
)

AGENT_RECORDS = Table(
    name="agent_records",
    columns={
        "host": _TEXT,
        "boot_id": _TEXT,
        "agent_start_id": _TEXT,
        "sequence_number": _COUNT,
        "at": _INSTANT,
        "record": _TEXT,
        "gpu_uuid": _TEXT,
        "interval_ms": _COUNT,
        "provider_resource_id": _TEXT,
        "reason": _TEXT,
        "detail": _TEXT,
    },
    key=("agent_start_id", "sequence_number"),
)

_SAMPLE_MARKS = (b'"record":"sample"', b'"record": "sample"')
_SAMPLE_FIELDS = {**spool.COMMON_FIELDS, **spool.FIELDS["sample"]}
_HEALTH = ("ok", "gpu_is_lost", "reset_required", "unknown_error")
_MILLISECOND_FORMAT = "%Y-%m-%dT%H:%M:%S%.3fZ"
# Above the fields with a column of their own, an agent record's remaining fields go to `detail`.
_AGENT_COLUMNS = {*spool.COMMON_FIELDS, "host", "boot_id", "agent_start_id", "provider_resource_id"} | {
    "gpu_uuid",
    "interval_ms",
    "reason",
}
_SHOWN_CHARACTERS = 200

_Row = dict[str, Any]


@dataclass
class _Section:
    """The lines below one header, up to the next."""

    header: Mapping[str, Any]
    sample_lines: list[bytes] = field(default_factory=list)
    sample_line_numbers: list[int] = field(default_factory=list)
    is_odd: bool = False  # holds a sample that only the line-by-line reader recognised


def parse(content: bytes, settings: Settings) -> Frames:
    """The three frames of one spool file. Lines that are no record become `agent_records`, with the reason."""
    split = spool.split_spool(content)
    sections: list[_Section] = []
    records: list[tuple[int, _Row]] = []
    scrapes: list[_Row] = []
    rejected: list[tuple[int, str]] = []
    for line_number, line in enumerate(split.lines, start=1):
        if sections and (_SAMPLE_MARKS[0] in line or _SAMPLE_MARKS[1] in line):
            sections[-1].sample_lines.append(line)
            sections[-1].sample_line_numbers.append(line_number)
            continue
        if not line.strip():
            continue
        try:
            fields = spool.decode_record(line)
        except RejectedLineError as error:
            rejected.append((line_number, str(error)))
            continue
        kind = fields["record"]
        if kind == "header":
            sections.append(_Section(fields))
        if not sections:
            rejected.append((line_number, spool.NO_HEADER_ABOVE))
        elif kind == "sample":
            sections[-1].sample_lines.append(line)
            sections[-1].sample_line_numbers.append(line_number)
            sections[-1].is_odd = True
        elif kind == "scrape":
            scrapes.extend(_scrape_rows(fields, sections[-1].header))
        else:
            records.append((line_number, _agent_row(fields, sections[-1].header)))
    if not sections:
        raise spool.no_header(split)
    samples = [_samples(section, rejected) for section in sections]
    records.extend(_unreadable_rows(split, sections=sections, rejected=rejected))
    records.sort(key=lambda numbered: numbered[0])
    return {
        GPU_SAMPLES.name: pl.concat(samples),
        ENGINE_SCRAPES.name: _frame(scrapes, ENGINE_SCRAPES),
        AGENT_RECORDS.name: _frame([row for _, row in records], AGENT_RECORDS),
    }


# --- samples ---------------------------------------------------------------------------------------------------------


def _samples(section: _Section, rejected: list[tuple[int, str]]) -> pl.DataFrame:
    """One section's samples. All at once where every line is plainly good, else line by line with reasons."""
    frame = None if section.is_odd else _samples_at_once(section)
    if frame is not None:
        return frame
    rows: list[_Row] = []
    for line_number, line in zip(section.sample_line_numbers, section.sample_lines, strict=True):
        try:
            fields = spool.decode_record(line)
            if fields["record"] != "sample":
                raise RejectedLineError(f"record is {fields['record']!r} although the line holds a sample")
        except RejectedLineError as error:
            rejected.append((line_number, str(error)))
            continue
        rows.append(_sample_row(fields, section.header))
    return _frame(rows, GPU_SAMPLES)


def _sample_row(fields: Mapping[str, Any], header: Mapping[str, Any]) -> _Row:
    return {
        **{name: fields.get(name) for name in spool.FIELDS["sample"]},
        **_stamp(fields, header, covers_interval=True),
        "provider_resource_id": header.get("provider_resource_id"),
        "other_columns": _other_columns(fields, "sample"),
    }


def _samples_at_once(section: _Section) -> pl.DataFrame | None:
    """What the line-by-line reader would say, an order of magnitude faster; null where the two could differ.

    Polars infers the types over every line, so one value of another type changes its column's type and is seen here.
    It reads half a surrogate pair as NUL (hence no backslash) and the first of two fields of one name (hence the
    count of them).
    """
    blob = b"\n".join(section.sample_lines)
    if not blob or b"\\" in blob:
        return None
    try:
        read = pl.read_ndjson(io.BytesIO(blob), infer_schema_length=None)
    except pl.exceptions.PolarsError:
        return None
    if read.height != len(section.sample_lines) or not _is_plainly_good(read, blob):
        return None
    other_columns = _other_columns_at_once(read)
    if other_columns is None:
        return None
    known = read.with_columns(pl.lit(None).alias(name) for name in _SAMPLE_FIELDS if name not in read.columns)
    header = section.header
    frame = known.with_columns(pl.col("at").str.to_datetime(_MILLISECOND_FORMAT, time_unit="us", strict=False))
    if frame["at"].null_count() or frame["at"].dt.year().min() < 1971:  # type: ignore[operator]
        return None
    started_on = (pl.col("at") - pl.duration(milliseconds=pl.col("interval_ms"))).dt.date()
    return frame.select(
        started_on.cast(pl.String).alias("bucket"),
        started_on.alias("usage_date"),
        *(
            pl.lit(header.get(name), dtype=pl.String).alias(name)
            if name in ("host", "boot_id", "agent_start_id", "provider_resource_id")
            else pl.col("seq" if name == "sequence_number" else name).cast(column_type).alias(name)
            for name, column_type in GPU_SAMPLES.columns.items()
        ),
        other_columns.alias("other_columns"),
    )


def _is_plainly_good(read: pl.DataFrame, blob: bytes) -> bool:
    for name, field_type in _SAMPLE_FIELDS.items():
        if name not in read.columns:
            if name in ("record", "seq", "at", *spool.REQUIRED["sample"]):
                return False
            continue
        column = read[name]
        if name in ("record", "seq", "at", *spool.REQUIRED["sample"]) and column.null_count():
            return False
        if column.dtype == pl.Null:
            continue
        if column.dtype != (pl.Int64 if field_type == "count" else pl.String):
            return False
        if field_type == "count" and column.null_count() < read.height:
            largest = spool.LARGEST["sample"].get(name, spool.INT64_MAX)
            if not 0 <= column.min() <= column.max() <= largest:  # type: ignore[operator]
                return False
    if (
        read["record"].n_unique() != 1
        or read["record"][0] != "sample"
        or read["at"].str.contains(":60", literal=True).any()
    ):
        return False
    # A number among texts is read as text; a GPU's UUID and health never look like one.
    if not read["gpu_uuid"].unique().str.contains("^[A-Za-z]+-").all():
        return False
    if "health" in read.columns and not set(read["health"].drop_nulls().unique()) <= set(_HEALTH):
        return False
    said = sum(read.height - column.null_count() for column in read)
    return blob.count(b'":') == said + blob.count(b'":null') + blob.count(b'": null')


def _other_columns_at_once(read: pl.DataFrame) -> pl.Series | None:
    """`other_columns` of each row: whole numbers, booleans and plain texts; null (line by line) for anything else."""
    parts: list[pl.Expr] = []
    for name in sorted(set(read.columns) - set(_SAMPLE_FIELDS)):
        column = read[name]
        if column.dtype == pl.Null:
            continue
        shown = pl.col(name).cast(pl.String)
        if column.dtype == pl.String:
            if column.str.contains(r'^(-?[0-9]|true|false)|[\x00-\x1f"\x7f]').any():
                return None
            shown = pl.concat_str(pl.lit('"'), shown, pl.lit('"'))
        elif column.dtype not in (pl.Int64, pl.Boolean):
            return None
        parts.append(pl.concat_str(pl.lit(f"{_json(name)}:"), shown))
    if not parts:
        return pl.Series("other_columns", [None], dtype=pl.String).new_from_index(0, read.height)
    joined = pl.concat_str(*parts, separator=",", ignore_nulls=True)
    return read.select(
        pl.when(joined != "").then(pl.concat_str(pl.lit("{"), joined, pl.lit("}"))).alias("other_columns")
    )["other_columns"]


# --- scrapes ---------------------------------------------------------------------------------------------------------


def _scrape_rows(fields: Mapping[str, Any], header: Mapping[str, Any]) -> list[_Row]:
    """One row per engine in the body; one row with the reason and no figures where the scrape says nothing sure."""
    scrape = {
        **_stamp(fields, header, covers_interval=True),
        "interval_ms": fields["interval_ms"],
        **_gpus(fields),
        "other_columns": _other_columns(fields, "scrape"),
        **{
            name: fields.get(name)
            for name in ("target", "replica_id", "engine", "engine_version", "gpu_method", "http_status", "duration_ms")
        },
    }
    reason = _no_body_reason(fields)
    if reason is None:
        try:
            rows = read_engine(fields["body"], served_model=fields.get("served_model"))
        except ExpositionError as error:
            reason = str(error)
        else:
            return [
                {
                    **scrape,
                    **vars(row),
                    "engine_version": fields.get("engine_version") or row.engine_version,
                    "scrape_error": None,
                }
                for row in rows
            ]
    return [{**scrape, "model_name": "", "engine_rank": "", "scrape_error": reason}]


def _gpus(fields: Mapping[str, Any]) -> dict[str, str | None]:
    """An engine's GPUs, sorted, its part of each in ppm and its memory on each; null where not said of each GPU."""
    uuids = fields.get("gpu_uuids")
    known = None if uuids is None else sorted(set(uuids))
    found: dict[str, str | None] = {"gpu_uuids": None if known is None else _json(known)}
    for name, most in (("gpu_shares_ppm", 1_000_000), ("gpu_memory_bytes", spool.INT64_MAX)):
        said = fields.get(name)
        if uuids is None or known is None or said is None or not len(said) == len(uuids) == len(known):
            found[name] = None
            continue
        of_each = dict(zip(uuids, said, strict=True))
        found[name] = _json([min(of_each[uuid], most) for uuid in known])
    return found


def _no_body_reason(fields: Mapping[str, Any]) -> str | None:
    if fields.get("error") is not None:
        return str(fields["error"]) or "the agent gave no reason"
    if fields.get("http_status") not in (None, 200):
        return f"HTTP {fields['http_status']}"
    return "the scrape has no body" if fields.get("body") is None else None


# --- the agent's own records -----------------------------------------------------------------------------------------


def _agent_row(fields: Mapping[str, Any], header: Mapping[str, Any]) -> _Row:
    kind = fields["record"]
    is_known = kind in spool.FIELDS
    detail = {
        name: value
        for name, value in fields.items()
        if name not in _AGENT_COLUMNS and value is not None and (not is_known or name in spool.FIELDS[kind])
    }
    # A kind this release does not know may use these names for something else: only a fitting value gets the column.
    columns = {name: fields.get(name) for name in ("gpu_uuid", "interval_ms", "reason")}
    for name, value in columns.items():
        fits = type(value) is (int if name == "interval_ms" else str)
        if value is not None and not (fits and (name != "interval_ms" or 0 <= value <= spool.INT64_MAX)):
            detail[name] = value
            columns[name] = None
    return {
        **columns,
        **_stamp(fields, header, covers_interval=False),
        "record": kind,
        "provider_resource_id": header.get("provider_resource_id"),
        "detail": _json(detail) if detail else None,
        "other_columns": _other_columns(fields, kind) if is_known else None,
    }


def _unreadable_rows(
    split: SpoolLines, *, sections: list[_Section], rejected: Iterable[tuple[int, str]]
) -> Iterable[tuple[int, _Row]]:
    """Rejected lines and the torn tail. They have no sequence number of their own: a negative hash of place and bytes
    stands in, the same whenever the same line is shipped again."""
    unreadable = [
        ("rejected_line", line_number, split.lines[line_number - 1], reason) for line_number, reason in rejected
    ]
    if split.torn_tail is not None:
        unreadable.append(("torn_tail", len(split.lines) + 1, split.torn_tail, split.torn_reason or ""))
    header = sections[0].header
    for kind, line_number, raw, reason in unreadable:
        place = f"{header['agent_start_id']} {header['seq']} {kind} {line_number} ".encode()
        digest = hashlib.sha256(place + raw).digest()
        at = spool.nearest_at(
            [*split.lines[max(line_number - 101, 0) : line_number - 1], raw], otherwise=spool.parse_at(header["at"])
        )
        fields = {
            "record": kind,
            "seq": -1 - (int.from_bytes(digest[:8], "big") >> 1),
            "at": spool.format_at(at),
            "reason": reason,
            "line_number": line_number,
            "byte_count": len(raw),
            "text": raw[:_SHOWN_CHARACTERS].decode("utf-8", "replace"),
        }
        yield line_number, _agent_row(fields, header)


# --- shared ----------------------------------------------------------------------------------------------------------


def _stamp(fields: Mapping[str, Any], header: Mapping[str, Any], *, covers_interval: bool) -> _Row:
    at = spool.parse_at(fields["at"]).replace(tzinfo=None)
    usage_date: date = (at - timedelta(milliseconds=fields["interval_ms"])).date() if covers_interval else at.date()
    return {
        "bucket": usage_date.isoformat(),
        "usage_date": usage_date,
        "host": header["host"],
        "boot_id": header["boot_id"],
        "agent_start_id": header["agent_start_id"],
        "sequence_number": fields["seq"],
        "at": at,
    }


def _other_columns(fields: Mapping[str, Any], kind: str) -> str | None:
    known = spool.FIELDS[kind]
    others = {
        name: value
        for name, value in fields.items()
        if name not in known and name not in spool.COMMON_FIELDS and value is not None
    }
    return _json(others) if others else None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _frame(rows: list[_Row], table: Table) -> pl.DataFrame:
    return pl.DataFrame(
        {name: pl.Series(name, [row.get(name) for row in rows], dtype=dtype) for name, dtype in table.schema.items()}
    )


# --- dropped files ---------------------------------------------------------------------------------------------------


def recognise(name: str, head: bytes) -> str | None:
    """`spool` for a file whose first line, plain or gzipped, is a header of this family, or that is named so."""
    if name.endswith((".spool.jsonl", ".spool.jsonl.gz")):
        return SPOOL.name
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 65_536)
        except zlib.error:
            return None
    return SPOOL.name if b'"breakeven.spool/' in head.split(b"\n", 1)[0] else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A spool file as one delivery, stated when its last record was written."""
    stated_at = _last_at(content)
    return Fetched(
        dataset=SPOOL.name,
        payloads=(Payload(name=name, content=content, media_type="application/x-ndjson"),),
        stated_at=stated_at,
        stated_by="landed_at" if stated_at is None else "content",
    )


def _last_at(content: bytes) -> datetime | None:
    try:
        lines = spool.split_spool(content).lines
    except QuarantineError:
        return None  # parsing the landed object says why
    for line in reversed(lines):
        try:
            return spool.parse_at(spool.decode_record(line)["at"])
        except (RejectedLineError, QuarantineError):
            continue
    return None


SPOOL = Dataset(
    source="nvml_spool",
    name="spool",
    mode="append",
    bucket="utc_day",
    measure="metered",
    tables=(GPU_SAMPLES, ENGINE_SCRAPES, AGENT_RECORDS),
    parse=parse,
)

SOURCE = Source(name="nvml_spool", datasets=(SPOOL,), recognise=recognise, drop=drop)
