"""The spool's two ends: what is written is read, and where a file is broken the reader says so and goes on."""

import gzip
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.formats.spool import (
    FIELDS,
    Gap,
    Gpu,
    Header,
    Loss,
    Record,
    RejectedLineError,
    Sample,
    Scrape,
    decode_record,
    encode_record,
    format_at,
    nearest_at,
    parse_at,
    read_spool,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HEADER = Header(host="node-1", boot_id="boot-1", agent_start_id="start-1", agent_version="0.1.0")

counts = st.none() | st.integers(min_value=0, max_value=2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maybe_texts = st.none() | texts
intervals = st.integers(min_value=0, max_value=86_400_000)
percents = st.none() | st.integers(min_value=0, max_value=100)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Gpu, gpu_uuid=texts, name=maybe_texts, memory_total_bytes=counts, mig_mode=maybe_texts),
    st.builds(
        Sample,
        interval_ms=intervals,
        gpu_uuid=texts,
        util_gpu_pct=percents,
        energy_millijoules=counts,
        sm_active_ppm=st.none() | st.integers(min_value=0, max_value=1_000_000),
        health=maybe_texts,
    ),
    st.builds(
        Scrape,
        interval_ms=intervals,
        target=texts,
        replica_id=texts,
        gpu_uuids=st.lists(texts, max_size=3).map(tuple),
        http_status=counts,
        error=maybe_texts,
        body=maybe_texts,
    ),
    st.builds(Gap, interval_ms=intervals, reason=texts, gpu_uuid=maybe_texts),
    st.builds(Loss, lost_records=st.integers(min_value=0, max_value=9), reason=texts),
)


def lines_of(written: list[Record]) -> list[bytes]:
    return [
        encode_record(record, seq=seq, at=NOON + timedelta(seconds=seq), mono_ms=seq * 1000)
        for seq, record in enumerate([HEADER, *written])
    ]


@given(written=st.lists(records, max_size=6), is_gzipped=st.booleans())
def test_what_is_written_is_read_back(written: list[Record], is_gzipped: bool) -> None:
    lines = lines_of(written)
    content = b"".join(lines)
    read = read_spool(gzip.compress(content) if is_gzipped else content)
    assert (read.torn_tail, read.rejected) == (None, ())
    assert [record.fields for record in read.records] == [json.loads(line) for line in lines]
    for record in read.records:
        assert record.fields.keys() == {"record", "seq", "at", "mono_ms", *FIELDS[record.fields["record"]]}
        assert record.header["agent_start_id"] == "start-1"


@given(written=st.lists(records, min_size=1, max_size=5), data=st.data())
def test_any_cut_loses_at_most_the_torn_record_and_says_so(written: list[Record], data: st.DataObject) -> None:
    """B15, B19: what a crash cut off is counted, never silently absent."""
    lines = lines_of(written)
    content = b"".join(lines)
    cut = data.draw(st.integers(min_value=len(lines[0]), max_value=len(content)))
    whole = content[:cut].count(b"\n")
    read = read_spool(content[:cut])
    left_over = content[:cut].rpartition(b"\n")[2]
    is_only_its_newline_lost = left_over + b"\n" in lines
    assert [record.fields["seq"] for record in read.records] == list(range(whole + is_only_its_newline_lost))
    assert read.torn_tail == (left_over if left_over and not is_only_its_newline_lost else None)
    assert read.rejected == ()


def test_a_last_record_that_lost_only_its_newline_is_whole() -> None:
    lines = lines_of([Gap(interval_ms=1, reason="a")])
    read = read_spool(b"".join(lines)[:-1])
    assert [record.fields["record"] for record in read.records] == ["header", "gap"]
    assert read.torn_tail is None
    assert read_spool(b"".join(lines)[:-2]).torn_tail == lines[1][:-2]


@given(data=st.data())
def test_a_cut_gzip_keeps_whole_records_and_says_it_ended_early(data: st.DataObject) -> None:
    lines = lines_of([Gap(interval_ms=1000, reason=f"reason {index * 7919 % 1000}") for index in range(400)])
    content = gzip.compress(b"".join(lines), mtime=0)
    cut = data.draw(st.integers(min_value=2, max_value=len(content) - 1))
    try:
        read = read_spool(content[:cut])
    except QuarantineError:
        assert cut < 400  # cut before even the header was whole
        return
    assert read.torn_reason == "the gzip stream ends early"
    assert read.torn_tail is not None
    assert [record.fields["seq"] for record in read.records] == list(range(len(read.records)))


def test_a_damaged_gzip_is_quarantined_since_nothing_of_it_is_vouched_for() -> None:
    content = bytearray(gzip.compress(b"".join(lines_of([])), mtime=0))
    content[-6] ^= 1  # the checksum
    with pytest.raises(QuarantineError, match="damaged"):
        read_spool(bytes(content))


def test_gzip_members_shipped_one_after_another_are_one_file() -> None:
    lines = lines_of([Loss(lost_records=1, reason="disk full")])
    read = read_spool(b"".join(gzip.compress(line) for line in lines))
    assert [record.fields["record"] for record in read.records] == ["header", "loss"]
    assert read.torn_tail is None


def test_a_broken_line_is_rejected_with_its_number_and_the_rest_is_read() -> None:
    lines = lines_of([Gap(interval_ms=1, reason="a"), Gap(interval_ms=2, reason="b")])
    read = read_spool(lines[0] + lines[1][:40] + b"\n\n" + lines[2])
    assert [record.fields["record"] for record in read.records] == ["header", "gap"]
    assert [(line.line_number, line.raw) for line in read.rejected] == [(2, lines[1][:40])]
    assert read.rejected[0].reason.startswith("not JSON")


def test_lines_belong_to_the_header_above_them() -> None:
    other = encode_record(
        Header(host="node-2", boot_id="b", agent_start_id="start-2", agent_version="1"), seq=0, at=NOON, mono_ms=0
    )
    gap = lines_of([Gap(interval_ms=1, reason="a")])[1]
    read = read_spool(gap + lines_of([])[0] + gap + other + gap)
    assert [record.header["host"] for record in read.records] == ["node-1", "node-1", "node-2", "node-2"]
    assert [line.reason for line in read.rejected] == ["no header above this line says whose it is"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no line of this file is a breakeven.spool/1 header"),
        (b"not a spool\n", "no line of this file"),
        (lines_of([Gap(interval_ms=1, reason="a")])[1], "Ship the file from its beginning"),
        (lines_of([])[0].replace(b"spool/1", b"spool/2"), "'breakeven.spool/2'.*Upgrade"),
    ],
)
def test_a_file_nobody_can_attribute_is_quarantined(content: bytes, reason: str) -> None:
    with pytest.raises(QuarantineError, match=reason):
        read_spool(content)


GOOD = {"record": "sample", "seq": 1, "at": "2026-11-01T00:00:00.000Z", "mono_ms": 1, "interval_ms": 1, "gpu_uuid": "G"}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("util_gpu_pct", 101, "util_gpu_pct is 101"),
        ("util_gpu_pct", -1, "util_gpu_pct is -1"),
        ("util_gpu_pct", 37.0, "util_gpu_pct is 37.0"),
        ("util_gpu_pct", "37", "util_gpu_pct is '37'"),
        ("util_gpu_pct", True, "util_gpu_pct is True"),
        ("energy_millijoules", 2**63, "energy_millijoules is 9223372036854775808"),
        ("interval_ms", None, "interval_ms is missing"),
        ("interval_ms", 86_400_001, "interval_ms is 86400001"),
        ("gpu_uuid", 5, "gpu_uuid is 5, not text"),
        ("seq", None, "seq is missing"),
        ("record", 5, "record is 5"),
        ("at", "2026-11-01T00:00:00", "at is '2026-11-01T00:00:00', not an instant in UTC"),
        ("at", "2026-11-01T00:00:60.000Z", "not an instant"),
        ("at", "2026-11-01T00:00:00.000+02:00", "not an instant in UTC"),
        ("at", "0001-01-01T00:00:00.000Z", "not an instant"),
        ("health", "\ud800", "not UTF-8 JSON"),
    ],
)
def test_a_field_of_another_type_or_range_rejects_its_line(field: str, value: object, reason: str) -> None:
    with pytest.raises(RejectedLineError, match=reason):
        decode_record(json.dumps({**GOOD, field: value}).encode())


@pytest.mark.parametrize(
    "line",
    [b"[1]", b"{", b"\xff", b"[" * 100_000, b'{"a":NaN}', b'{"a":1e999}', b'{"seq":1,"seq":2}', b"1" * 5000],
)
def test_a_hostile_line_is_rejected_and_not_an_error_of_ours(line: bytes) -> None:
    with pytest.raises(RejectedLineError):
        decode_record(line)


def test_null_and_absent_say_the_same_even_beside_a_value() -> None:
    line = json.dumps(GOOD)[:-1]
    assert decode_record(f'{line},"util_gpu_pct":5,"util_gpu_pct":null}}'.encode())["util_gpu_pct"] == 5
    assert decode_record(f'{line},"util_gpu_pct":null,"util_gpu_pct":5}}'.encode())["util_gpu_pct"] == 5
    with pytest.raises(RejectedLineError, match="there twice"):
        decode_record(f'{line},"util_gpu_pct":5,"util_gpu_pct":5}}'.encode())


def test_instants_are_written_in_utc_and_a_local_time_without_zone_is_refused() -> None:
    berlin = timezone(timedelta(hours=2))
    assert format_at(datetime(2026, 7, 1, 0, 0, 0, 123_999, tzinfo=berlin)) == "2026-06-30T22:00:00.123Z"
    assert parse_at("2026-06-30T22:00:00.123Z") == datetime(2026, 6, 30, 22, 0, 0, 123_000, tzinfo=UTC)
    with pytest.raises(ValueError, match="no zone"):
        format_at(datetime.fromisoformat("2026-07-01T00:00:00"))


def test_an_unreadable_line_is_dated_by_itself_or_by_a_line_above_it() -> None:
    lines = lines_of([Gap(interval_ms=1, reason="a")])
    assert nearest_at([*lines, b"{"], otherwise=NOON) == NOON + timedelta(seconds=1)
    assert nearest_at([*lines, b'{"at":"2026-11-02T00:00:00.000Z","util'], otherwise=NOON).day == 2
    assert nearest_at([b"{"], otherwise=NOON) == NOON
