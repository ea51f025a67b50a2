"""The spool: what an agent on a GPU host writes and `sources/nvml_spool.py` reads. JSON lines, optionally gzip.

Every record carries `record`, `seq` (per agent_start_id, from 0), `at` (UTC, RFC 3339 with milliseconds) and `mono_ms`.
The first line of every file is a header; it names the host, boot and agent start that the lines below it belong to.
An absent field and a null one say the same: not known.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime

from pipeline.errors import QuarantineError
from pipeline.formats.frozen import Frozen, fields_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    FieldType = Literal["count", "counts", "text", "texts"]

SCHEMA = "breakeven.spool/1"
_SCHEMA_FAMILY = "breakeven.spool/"
_GZIP_MAGIC = b"\x1f\x8b"

COMMON_FIELDS: Mapping[str, FieldType] = {"record": "text", "seq": "count", "at": "text", "mono_ms": "count"}

FIELDS: Mapping[str, Mapping[str, FieldType]] = {
    "header": {
        "schema": "text",
        "host": "text",
        "boot_id": "text",
        "agent_start_id": "text",
        "agent_version": "text",
        "provider_resource_id": "text",
        "resource_told_by": "text",
    },
    "gpu": {
        "gpu_uuid": "text",
        "pci_bus_id": "text",
        "gpu_index": "count",
        "name": "text",
        "memory_total_bytes": "count",
        "driver_version": "text",
        "mig_mode": "text",
        "mig_slice_count": "count",
        "vbios_version": "text",
        "ecc_uncorrected_count": "count",
        "remapped_rows_count": "count",
        "row_remapping": "text",
    },
    "mig_slice": {
        "gpu_uuid": "text",
        "slice_uuid": "text",
        "gpu_instance_id": "count",
        "slice_count": "count",
        "of_slice_count": "count",
        "multiprocessor_count": "count",
        "memory_bytes": "count",
    },
    "sample": {
        "interval_ms": "count",
        "gpu_uuid": "text",
        "util_gpu_pct": "count",
        "util_memory_pct": "count",
        "memory_used_bytes": "count",
        "energy_millijoules": "count",
        "power_milliwatts": "count",
        "sm_active_ppm": "count",
        "tensor_active_ppm": "count",
        "dram_active_ppm": "count",
        "clocks_event_reasons": "count",
        "compute_process_count": "count",
        "mig_held_ppm": "count",
        "health": "text",
        "samples_lost": "count",
    },
    "scrape": {
        "interval_ms": "count",
        "target": "text",
        "replica_id": "text",
        "engine": "text",
        "engine_version": "text",
        "served_model": "text",
        "gpu_uuids": "texts",
        "gpu_shares_ppm": "counts",
        "gpu_memory_bytes": "counts",
        "gpu_method": "text",
        "http_status": "count",
        "duration_ms": "count",
        "error": "text",
        "body": "text",
    },
    "event": {"gpu_uuid": "text", "kind": "text", "code": "count", "reason": "text"},
    "gap": {"interval_ms": "count", "gpu_uuid": "text", "reason": "text"},
    "loss": {"lost_records": "count", "reason": "text"},
}

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "header": ("schema", "host", "boot_id", "agent_start_id"),
    "gpu": ("gpu_uuid",),
    "mig_slice": ("gpu_uuid", "slice_uuid"),
    "event": ("gpu_uuid", "kind"),
    "sample": ("interval_ms", "gpu_uuid"),
    "scrape": ("interval_ms",),
}

_DAY_MS = 86_400_000
INT64_MAX = 2**63 - 1
# A sample or a scrape speaks for one interval; one that claims more than a day would paint over a gap.
LARGEST: Mapping[str, Mapping[str, int]] = {
    "sample": {
        "interval_ms": _DAY_MS,
        "util_gpu_pct": 100,
        "util_memory_pct": 100,
        "sm_active_ppm": 1_000_000,
        "tensor_active_ppm": 1_000_000,
        "dram_active_ppm": 1_000_000,
        "mig_held_ppm": 1_000_000,
    },
    "scrape": {"interval_ms": _DAY_MS},
}

_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|\+00:00)")
_AT_IN_LINE = re.compile(rb'"at"\s*:\s*"([^"\\]{1,40})"')
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)


class RejectedLineError(Exception):
    """One line is not a record of this schema. The message is the reason; the rest of the file is read."""


# --- writing ---------------------------------------------------------------------------------------------------------


class Header(Frozen, kw_only=True):
    record = "header"
    host: str
    boot_id: str
    agent_start_id: str
    agent_version: str
    provider_resource_id: str | None = None
    resource_told_by: str | None = None
    schema: str = SCHEMA


class Gpu(Frozen, kw_only=True):
    record = "gpu"
    gpu_uuid: str
    pci_bus_id: str | None = None
    gpu_index: int | None = None
    name: str | None = None
    memory_total_bytes: int | None = None
    driver_version: str | None = None
    mig_mode: str | None = None
    mig_slice_count: int | None = None
    vbios_version: str | None = None
    ecc_uncorrected_count: int | None = None
    remapped_rows_count: int | None = None
    row_remapping: str | None = None


class MigSlice(Frozen, kw_only=True):
    """One slice of a GPU in MIG, written again with the others whenever the layout or its GPU's description changes.

    Its part of the GPU is `slice_count` of `of_slice_count`; two of one `gpu_instance_id` share that part.
    """

    record = "mig_slice"
    gpu_uuid: str
    slice_uuid: str
    gpu_instance_id: int
    slice_count: int
    of_slice_count: int
    multiprocessor_count: int
    memory_bytes: int


class Sample(Frozen, kw_only=True):
    """What one GPU did in the `interval_ms` before `at`. A reading the driver refused stays null, never 0.

    `sm_active_ppm`, `tensor_active_ppm`, `dram_active_ppm`: the mean over all of the interval, of a GPU in MIG that of
    its slices by their size. `util_gpu_pct`: the mean over it too where the driver's buffer was read, else that of the
    driver's last period: where GPM says the rest. `energy_millijoules`: the counter, in one sample a minute.
    `mig_held_ppm`: of a GPU in MIG, the part of it that those slices are on which something computes or holds memory. A
    `compute_process_count` there is not: of the whole GPU it would say nothing of its free slices.
    """

    record = "sample"
    interval_ms: int
    gpu_uuid: str
    util_gpu_pct: int | None = None
    util_memory_pct: int | None = None
    memory_used_bytes: int | None = None
    energy_millijoules: int | None = None
    power_milliwatts: int | None = None
    sm_active_ppm: int | None = None
    tensor_active_ppm: int | None = None
    dram_active_ppm: int | None = None
    clocks_event_reasons: int | None = None
    compute_process_count: int | None = None
    mig_held_ppm: int | None = None
    health: str | None = None
    samples_lost: int | None = None


class Scrape(Frozen, kw_only=True):
    """One `/metrics` answer, whole in `body`, or the reason there is none in `error`.

    `engine`: which one the body is of, null where it is not known; `served_model`: as the engine's own address says,
    which matters where its metrics name none. `gpu_shares_ppm`: its part of each of `gpu_uuids`, in their order, null
    where it is the whole. `gpu_memory_bytes`: what its processes hold of each, null where the driver does not say. All
    null where its GPUs are not known.
    """

    record = "scrape"
    interval_ms: int
    target: str
    replica_id: str
    engine: str | None = None
    engine_version: str | None = None
    served_model: str | None = None
    gpu_uuids: tuple[str, ...] | None = None
    gpu_shares_ppm: tuple[int, ...] | None = None
    gpu_memory_bytes: tuple[int, ...] | None = None
    gpu_method: str | None = None
    http_status: int | None = None
    duration_ms: int | None = None
    error: str | None = None
    body: str | None = None


class Event(Frozen, kw_only=True):
    """What a driver reported of a GPU by itself. `kind` `xid`: an error of this number, see NVIDIA's list of them."""

    record = "event"
    gpu_uuid: str
    kind: str
    code: int
    reason: str


class Gap(Frozen, kw_only=True):
    """Time for which nothing is known, of one GPU or (null) of the whole host."""

    record = "gap"
    interval_ms: int
    reason: str
    gpu_uuid: str | None = None


class Loss(Frozen, kw_only=True):
    record = "loss"
    lost_records: int
    reason: str


WHOLE_PPM = 1_000_000


def mig_part_ppm(slice_count: int, of_slice_count: int) -> int:
    """The part of its GPU that a slice of MIG is, rounded down: the parts of all slices are no more than the GPU."""
    return min(WHOLE_PPM * slice_count // of_slice_count, WHOLE_PPM)


Record = Header | Gpu | MigSlice | Sample | Scrape | Event | Gap | Loss


def encode_record(record: Record, *, seq: int, at: datetime, mono_ms: int) -> bytes:
    """One line, newline included. `at` must carry a zone; it is written in UTC, cut to milliseconds."""
    fields = {"record": record.record, "seq": seq, "at": format_at(at), "mono_ms": mono_ms, **fields_of(record)}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def format_at(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no zone; the spool is written in UTC")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- reading ---------------------------------------------------------------------------------------------------------


class SpoolLines(Frozen):
    """A file's whole lines, and what was left of the last one where the writing stopped in it."""

    lines: list[bytes]
    torn_tail: bytes | None
    torn_reason: str | None


class SpoolRecord(Frozen):
    """One good line: its fields (nulls and all), the header above it, its 1-based line number."""

    fields: Mapping[str, Any]
    header: Mapping[str, Any]
    line_number: int


class RejectedLine(Frozen):
    line_number: int
    raw: bytes
    reason: str


class Spool(Frozen):
    records: tuple[SpoolRecord, ...]
    torn_tail: bytes | None
    torn_reason: str | None
    rejected: tuple[RejectedLine, ...]


def read_spool(content: bytes) -> Spool:
    """Every record of a file. QuarantineError where no header says whose it is, or its schema is another one."""
    split = split_spool(content)
    header: Mapping[str, Any] | None = None
    records: list[SpoolRecord] = []
    rejected: list[RejectedLine] = []
    for line_number, line in enumerate(split.lines, start=1):
        if not line.strip():
            continue
        try:
            fields = decode_record(line)
        except RejectedLineError as error:
            rejected.append(RejectedLine(line_number, line, str(error)))
            continue
        if fields["record"] == "header":
            header = fields
        if header is None:
            rejected.append(RejectedLine(line_number, line, NO_HEADER_ABOVE))
        else:
            records.append(SpoolRecord(fields, header, line_number))
    if header is None:
        raise no_header(split)
    return Spool(tuple(records), split.torn_tail, split.torn_reason, tuple(rejected))


NO_HEADER_ABOVE = "no header above this line says whose it is"


def no_header(split: SpoolLines) -> QuarantineError:
    return QuarantineError(
        f"no line of this file is a {SCHEMA} header ({len(split.lines)} whole lines), so no one can say which host it "
        "speaks for. Ship the file from its beginning."
    )


def split_spool(content: bytes) -> SpoolLines:
    """Lines of a plain or gzipped file. A last line without its newline is torn, unless it is a whole JSON object."""
    text, gzip_reason = _decompressed(content)
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    last = lines.pop()
    if last.strip() and _is_whole_object(last):
        lines.append(last)
        last = b""
    if last.strip():
        return SpoolLines(lines, last, gzip_reason or "the last line does not end")
    return SpoolLines(lines, b"" if gzip_reason else None, gzip_reason)


def _decompressed(content: bytes) -> tuple[bytes, str | None]:
    """The text, and why it may be short. Gzip members may be concatenated; the last may be cut."""
    if not content.startswith(_GZIP_MAGIC):
        return content, None
    parts: list[bytes] = []
    rest = content
    while rest:
        if not _GZIP_MAGIC.startswith(rest[:2]):
            return b"".join(parts), f"{len(rest)} bytes after the gzip stream are not gzip"
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(rest))
        except zlib.error as error:
            # Not a cut but damage: what was decoded so far carries no checksum, so none of it can be trusted.
            raise QuarantineError(f"the gzip stream is damaged ({error}). Ship the file again.") from error
        if not stream.eof:
            return b"".join(parts), "the gzip stream ends early"
        rest = stream.unused_data
    return b"".join(parts), None


def _is_whole_object(line: bytes) -> bool:
    # No proper prefix of a JSON object is one, so what parses has lost nothing but its newline.
    try:
        return isinstance(_DECODER.decode(line.decode()), dict)
    except (ValueError, RecursionError):
        return False


def decode_record(line: bytes) -> dict[str, Any]:
    """One line's fields, each of its declared type; unknown fields and kinds of record are kept as they are.

    Raises RejectedLineError with the reason, or QuarantineError for a header of another schema.
    """
    try:
        text = line.decode()
        if _SURROGATE.search(text):
            json.dumps(json.loads(text), ensure_ascii=False).encode()  # half a surrogate pair is no text
        fields = _DECODER.decode(text)
    except (UnicodeError, RecursionError) as error:
        raise RejectedLineError(f"not UTF-8 JSON: {type(error).__name__}") from None
    except ValueError as error:
        raise RejectedLineError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise RejectedLineError("not a JSON object")
    kind = fields.get("record")
    if not isinstance(kind, str) or not kind:
        raise RejectedLineError(f"record is {kind!r}, not a kind of record")
    _check_fields(fields, COMMON_FIELDS, required=("seq", "at"), largest={})
    if kind == "header" and fields.get("schema") != SCHEMA:
        raise _other_schema(fields.get("schema"))
    _check_fields(fields, FIELDS.get(kind, {}), required=REQUIRED.get(kind, ()), largest=LARGEST.get(kind, {}))
    parse_at(fields["at"])
    return fields


def _other_schema(schema: object) -> QuarantineError | RejectedLineError:
    if isinstance(schema, str) and schema.startswith(_SCHEMA_FAMILY):
        return QuarantineError(f"the header says {schema!r}; this release reads {SCHEMA!r}. Upgrade breakeven here.")
    return RejectedLineError(f"the header says schema {schema!r}, not {SCHEMA!r}")


def _check_fields(
    fields: Mapping[str, Any],
    types: Mapping[str, FieldType],
    *,
    required: tuple[str, ...],
    largest: Mapping[str, int],
) -> None:
    for name, field_type in types.items():
        value = fields.get(name)
        if value is None:
            if name in required:
                raise RejectedLineError(f"{name} is missing")
        elif field_type == "count":
            if type(value) is not int or not 0 <= value <= largest.get(name, INT64_MAX):
                raise RejectedLineError(f"{name} is {_shown(value)}, not a whole number its unit allows")
        elif field_type == "text":
            if type(value) is not str:
                raise RejectedLineError(f"{name} is {_shown(value)}, not text")
        elif field_type == "texts":
            if not isinstance(value, list) or not all(type(item) is str for item in value):
                raise RejectedLineError(f"{name} is {_shown(value)}, not a list of texts")
        elif not isinstance(value, list) or not all(type(item) is int and 0 <= item <= INT64_MAX for item in value):
            raise RejectedLineError(f"{name} is {_shown(value)}, not a list of whole numbers")


def parse_at(text: str) -> datetime:
    """`at` as an aware UTC instant. Raises RejectedLineError."""
    if _AT.fullmatch(text) is not None:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        if at is not None and at >= _EARLIEST:
            return at
    raise RejectedLineError(f"at is {_shown(text)}, not an instant in UTC such as 2026-11-01T00:00:00.000Z")


def nearest_at(lines: list[bytes], *, otherwise: datetime) -> datetime:
    """When an unreadable last line of `lines` was written: as it says itself, else as one of 100 lines above it."""
    for line in reversed(lines[-101:]):
        found = _AT_IN_LINE.search(line)
        if found is not None:
            try:
                return parse_at(found[1].decode("ascii", "replace"))
            except RejectedLineError:
                continue
    return otherwise


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Null says the same as absent, so a field said twice is refused only where both say something."""
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    fields = {}
    for name, value in pairs:
        if fields.get(name) is not None and value is not None:
            raise ValueError(f"the field {name!r} is there twice")
        if value is not None or name not in fields:
            fields[name] = value
    return fields


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError(f"{_shown(text)} is beyond any float")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)
