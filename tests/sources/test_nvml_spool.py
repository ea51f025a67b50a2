"""Spool files as the three frames that SQL reads."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.formats.spool import Event, Gap, Gpu, Header, Loss, MigSlice, Record, Sample, Scrape, encode_record
from pipeline.landing.dataset import Frames
from pipeline.sources import nvml_spool
from pipeline.sources.nvml_spool import AGENT_RECORDS, ENGINE_SCRAPES, GPU_SAMPLES, SOURCE, SPOOL, parse

MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)
HEADER = Header(
    host="node-1", boot_id="boot-1", agent_start_id="start-1", agent_version="0.1.0", provider_resource_id="i-1"
)
SAMPLE = Sample(interval_ms=10_000, gpu_uuid="GPU-1", util_gpu_pct=40, memory_used_bytes=1024, health="ok")
BODY = """\
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7619552e+09
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="chat"} 100.0
vllm:prompt_tokens_total{engine="1",model_name="chat"} 7.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="chat"} 30.0
vllm:generation_tokens_total{engine="1",model_name="chat"} 3.0
"""
SCRAPE = Scrape(
    interval_ms=15_000,
    target="http://127.0.0.1:8000/metrics",
    replica_id="replica-1",
    engine_version="0.11.0",
    gpu_uuids=("GPU-2", "GPU-1"),
    gpu_method="declared",
    http_status=200,
    duration_ms=4,
    body=BODY,
)


def line(record: Record, sequence: int, /, *, written_at: datetime = MIDNIGHT, **more: Any) -> bytes:
    """One line, with the fields in `more` put over or beside the record's own."""
    written = json.loads(encode_record(record, seq=sequence, at=written_at, mono_ms=sequence))
    return json.dumps({**written, **more}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def spool_file(*lines: bytes) -> bytes:
    return line(HEADER, 0) + b"".join(lines)


def parsed(*lines: bytes) -> Frames:
    frames = parse(spool_file(*lines), {})
    assert {name: dict(frame.schema) for name, frame in frames.items()} == {
        table.name: table.schema for table in SPOOL.tables
    }
    return frames


def one(frame: pl.DataFrame) -> dict[str, Any]:
    (row,) = frame.to_dicts()
    return row


def test_a_sample_is_dated_by_the_start_of_its_interval() -> None:
    rows = parsed(
        line(SAMPLE, 1, written_at=MIDNIGHT + timedelta(seconds=9.999)),
        line(SAMPLE, 2, written_at=MIDNIGHT + timedelta(seconds=10)),
    )["gpu_samples"]
    assert rows["usage_date"].to_list() == [date(2026, 11, 1), date(2026, 11, 2)]
    assert rows["bucket"].to_list() == ["2026-11-01", "2026-11-02"]


def test_a_sample_keeps_its_readings_and_whose_they_are() -> None:
    row = one(parsed(line(SAMPLE, 1))["gpu_samples"])
    assert row == dict.fromkeys(GPU_SAMPLES.schema) | {
        "bucket": "2026-11-01",
        "usage_date": date(2026, 11, 1),
        "host": "node-1",
        "boot_id": "boot-1",
        "agent_start_id": "start-1",
        "sequence_number": 1,
        "at": datetime.fromisoformat("2026-11-02T00:00:00"),
        "interval_ms": 10_000,
        "gpu_uuid": "GPU-1",
        "provider_resource_id": "i-1",
        "util_gpu_pct": 40,
        "memory_used_bytes": 1024,
        "health": "ok",
    }


def test_a_reading_the_driver_refused_is_null_and_not_zero() -> None:
    """B19: a lost GPU's or a MIG slice's missing utilization must never look like an idle GPU."""
    rows = parsed(
        line(Sample(interval_ms=10_000, gpu_uuid="GPU-1", health="gpu_is_lost"), 1),
        b'{"record":"sample","seq":2,"at":"2026-11-02T00:00:10.000Z","interval_ms":10000,"gpu_uuid":"GPU-1"}\n',
    )["gpu_samples"]
    assert rows["util_gpu_pct"].to_list() == [None, None]
    assert rows["power_milliwatts"].to_list() == [None, None]
    assert rows["health"].to_list() == ["gpu_is_lost", None]


def test_each_engine_of_a_scrape_is_a_row_under_one_sequence_number() -> None:
    """B15: counters stay per engine, with the process start that tells a reset from a fall."""
    rows = parsed(line(SCRAPE, 1, written_at=MIDNIGHT + timedelta(seconds=5)))["engine_scrapes"]
    assert rows.select(*ENGINE_SCRAPES.key).rows() == [("start-1", "chat", "0", 1), ("start-1", "chat", "1", 1)]
    assert rows["prompt_tokens"].to_list() == [100, 7]
    assert rows["generation_tokens"].to_list() == [30, 3]
    assert rows["process_started_at"].to_list() == [datetime.fromisoformat("2025-11-01T00:00:00")] * 2
    assert rows["gpu_uuids"].to_list() == ['["GPU-1","GPU-2"]'] * 2
    assert rows["usage_date"].to_list() == [date(2026, 11, 1)] * 2
    assert rows["scrape_error"].null_count() == 2
    assert rows["engine_version"].to_list() == ["0.11.0"] * 2


def test_a_scrape_of_another_engine_says_which_and_what_its_prompt_tokens_count() -> None:
    """The agent of an earlier release called every engine vllm; its body says what it is."""
    body = "# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total 70\n"
    body += "# TYPE llamacpp:tokens_predicted_total counter\nllamacpp:tokens_predicted_total 9\n"
    row = one(parsed(line(SCRAPE, 1, body=body, engine="vllm", served_model="m.gguf"))["engine_scrapes"])
    shown = ("engine", "model_name", "prompt_tokens", "prompt_counts", "prompt_tokens_cached", "generation_tokens")
    assert [row[name] for name in shown] == ["llamacpp", "m.gguf", 70, "computed", None, 9]


@pytest.mark.parametrize(
    ("uuids", "shares", "expected"),
    [
        (["GPU-2", "GPU-1"], [285_714, 1_000_000], ('["GPU-1","GPU-2"]', "[1000000,285714]")),
        (["GPU-2", "GPU-1"], None, ('["GPU-1","GPU-2"]', None)),
        (["GPU-2", "GPU-1"], [1], ('["GPU-1","GPU-2"]', None)),
        (["GPU-1", "GPU-1"], [1, 2], ('["GPU-1"]', None)),
        (["GPU-1"], [7_000_000], ('["GPU-1"]', "[1000000]")),
        (None, None, (None, None)),
    ],
)
def test_an_engines_parts_of_its_gpus_follow_them_in_their_order(
    uuids: list[str] | None, shares: list[int] | None, expected: tuple[str | None, str | None]
) -> None:
    row = parsed(line(SCRAPE, 1, gpu_uuids=uuids, gpu_shares_ppm=shares))["engine_scrapes"].to_dicts()[0]
    assert (row["gpu_uuids"], row["gpu_shares_ppm"], row["gpu_memory_bytes"]) == (*expected, None)


def test_what_an_engine_holds_of_each_gpus_memory_follows_them_too() -> None:
    fields = {"gpu_uuids": ["GPU-2", "GPU-1"], "gpu_memory_bytes": [20_000_000_000, 70_000_000_000]}
    rows = parsed(line(SCRAPE, 1, **fields))["engine_scrapes"].to_dicts()
    assert {row["gpu_memory_bytes"] for row in rows} == {"[70000000000,20000000000]"}
    half = {**fields, "gpu_memory_bytes": [20_000_000_000]}
    rows = parsed(line(SCRAPE, 1, **half))["engine_scrapes"].to_dicts()
    assert {row["gpu_memory_bytes"] for row in rows} == {None}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"body": BODY[:-4]}, "the body is cut"),
        ({"body": BODY + BODY}, "one series twice"),
        ({"body": json.dumps(BODY)}, "JSON-quoted"),
        ({"body": BODY.replace("tokens_total counter", "tokens_total gauge")}, "declared a gauge"),
        ({"body": None}, "the scrape has no body"),
        ({"body": None, "error": "timed out after 5 s"}, "timed out after 5 s"),
        ({"http_status": 503}, "HTTP 503"),
        ({"body": "# TYPE python_info gauge\npython_info 1\n"}, "no series of a known engine"),
    ],
)
def test_a_scrape_that_says_nothing_sure_is_kept_with_its_reason_and_no_figures(
    change: dict[str, Any], reason: str
) -> None:
    """B15, B17: a failed scrape is a gap with a reason, never a counter at zero."""
    row = one(parsed(line(SCRAPE, 1, **change))["engine_scrapes"])
    assert reason in row["scrape_error"]
    assert (row["model_name"], row["engine_rank"], row["interval_ms"]) == ("", "", 15_000)
    assert (row["prompt_tokens"], row["generation_tokens"], row["requests_running"]) == (None, None, None)


def test_what_the_agent_says_about_itself_is_kept() -> None:
    """B19: a gap is a record of its own."""
    rows = parsed(
        line(Gpu(gpu_uuid="GPU-1", name="H100", gpu_index=0, mig_mode="enabled"), 1),
        line(Gap(interval_ms=30_000, gpu_uuid="GPU-1", reason="driver hung"), 2),
        line(Loss(lost_records=12, reason="disk full"), 3),
    )["agent_records"]
    assert rows["record"].to_list() == ["header", "gpu", "gap", "loss"]
    assert rows["gpu_uuid"].to_list() == [None, "GPU-1", "GPU-1", None]
    assert rows["interval_ms"].to_list() == [None, None, 30_000, None]
    assert rows["reason"].to_list() == [None, None, "driver hung", "disk full"]
    assert rows["detail"].to_list() == [
        '{"agent_version":"0.1.0","schema":"breakeven.spool/1"}',
        '{"gpu_index":0,"mig_mode":"enabled","name":"H100"}',
        None,
        '{"lost_records":12}',
    ]


def test_the_slices_of_a_gpu_and_what_it_reports_are_kept_with_whose_they_are() -> None:
    part = MigSlice(
        gpu_uuid="GPU-1",
        slice_uuid="MIG-1",
        gpu_instance_id=3,
        slice_count=4,
        of_slice_count=7,
        multiprocessor_count=64,
        memory_bytes=1024,
    )
    rows = parsed(line(part, 1), line(Event(gpu_uuid="GPU-1", kind="xid", code=79, reason="XID 79"), 2))[
        "agent_records"
    ]
    said = [row for row in rows.to_dicts() if row["record"] != "header"]
    assert [(row["record"], row["gpu_uuid"], row["reason"]) for row in said] == [
        ("mig_slice", "GPU-1", None),
        ("event", "GPU-1", "XID 79"),
    ]
    slice_detail, event_detail = (json.loads(row["detail"]) for row in said)
    assert (slice_detail["slice_uuid"], slice_detail["slice_count"], slice_detail["of_slice_count"]) == ("MIG-1", 4, 7)
    assert event_detail == {"kind": "xid", "code": 79}


def test_unknown_fields_and_kinds_of_record_are_kept() -> None:
    frames = parsed(
        line(SAMPLE, 1, fan_pct=30, nvlink={"b": [1, None], "a": "x"}, nothing=None),
        line(SCRAPE, 2, pod="chat-0"),
        line(Gap(interval_ms=1, reason="r"), 3, since="boot"),
        b'{"record":"xid","seq":4,"at":"2026-11-02T00:00:00.000Z","gpu_uuid":"GPU-1","reason":79}\n',
    )
    assert frames["gpu_samples"]["other_columns"].to_list() == ['{"fan_pct":30,"nvlink":{"a":"x","b":[1,null]}}']
    assert frames["engine_scrapes"]["other_columns"].to_list() == ['{"pod":"chat-0"}'] * 2
    records = frames["agent_records"]
    assert records["other_columns"].to_list() == [None, '{"since":"boot"}', None]
    xid = records.row(2, named=True)
    assert (xid["record"], xid["gpu_uuid"], xid["reason"], xid["detail"]) == ("xid", "GPU-1", None, '{"reason":79}')


def test_a_torn_tail_and_a_broken_line_are_counted_and_the_rest_is_read() -> None:
    """B15, B19: what could not be read is listed with its reason, and neither busy nor idle."""
    broken, beyond = line(SAMPLE, 2)[:50] + b"\n", line(SAMPLE, 3, util_gpu_pct=137)
    frames = parsed(line(SAMPLE, 1), broken, beyond, line(SAMPLE, 4)[:60])
    assert frames["gpu_samples"]["sequence_number"].to_list() == [1]
    rows = frames["agent_records"].select("record", "reason", "sequence_number", "detail").rows()
    assert [row[0] for row in rows] == ["header", "rejected_line", "rejected_line", "torn_tail"]
    assert rows[1][1].startswith("not JSON")
    assert rows[2][1] == "util_gpu_pct is 137, not a whole number its unit allows"
    assert rows[3][1] == "the last line does not end"
    assert all(row[2] < 0 for row in rows[1:])
    assert json.loads(rows[3][3])["byte_count"] == 60
    assert frames["agent_records"]["usage_date"].null_count() == 0


def test_a_file_shipped_half_and_then_whole_says_the_same_about_the_same_lines() -> None:
    broken = line(SAMPLE, 2)[:50] + b"\n"
    half = parsed(line(SAMPLE, 1), broken, line(SAMPLE, 3)[:30])
    whole = parsed(line(SAMPLE, 1), broken, line(SAMPLE, 3), line(SAMPLE, 4))
    assert half["gpu_samples"].rows() == whole["gpu_samples"].rows()[:1]
    assert half["agent_records"].rows()[:2] == whole["agent_records"].rows()


def test_a_file_without_a_header_is_quarantined() -> None:
    with pytest.raises(QuarantineError, match=r"no line of this file is a breakeven\.spool/1 header"):
        parse(line(SAMPLE, 1), {})


def test_a_file_of_two_agent_starts_gives_each_its_own_lines() -> None:
    second = Header(host="node-1", boot_id="boot-2", agent_start_id="start-2", agent_version="0.1.0")
    rows = parsed(line(SAMPLE, 1), line(second, 0), line(SAMPLE, 1))["gpu_samples"]
    assert rows.select("agent_start_id", "boot_id", "provider_resource_id").rows() == [
        ("start-1", "boot-1", "i-1"),
        ("start-2", "boot-2", None),
    ]


def test_a_header_alone_is_a_file() -> None:
    frames = parsed()
    assert [frames[table.name].height for table in SPOOL.tables] == [0, 0, 1]


values = st.one_of(
    st.none(),
    st.integers(min_value=-2, max_value=2**64),
    st.integers(min_value=0, max_value=100),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["ok", "GPU-1", "37", "true", "a\\b", 'q"q', "a\nb", "é", "", "2026-11-02T00:00:00Z"]),
    st.just([1]),
    st.just({"a": 1}),
)
CHANGED = "util_gpu_pct interval_ms gpu_uuid health at seq record energy_millijoules fan_pct x"
changes = st.dictionaries(st.sampled_from(CHANGED.split()), values, max_size=2)


def assert_both_readers_agree(lines: list[bytes]) -> None:
    # A space before a colon keeps a line's meaning and hides it from the fast reader's mark.
    odd = [text.replace(b'"record":', b'"record" :', 1) for text in lines]
    fast, slow = parsed(*lines), parsed(*odd)
    assert fast["gpu_samples"].rows() == slow["gpu_samples"].rows()
    # Only the place within the line may differ, by that one space.
    columns = ("record", pl.col("reason").str.replace("line 1 column.*", ""), "usage_date")
    assert fast["agent_records"].select(columns).rows() == slow["agent_records"].select(columns).rows()


@given(changed=st.lists(changes, min_size=1, max_size=5))
def test_reading_all_at_once_and_line_by_line_say_the_same(changed: list[dict[str, Any]]) -> None:
    assert_both_readers_agree([line(SAMPLE, seq, **change) for seq, change in enumerate(changed, start=1)])


@pytest.mark.parametrize(
    "change",
    [
        {"util_gpu_pct": 101},
        {"util_gpu_pct": -1},
        {"interval_ms": 86_400_001},
        {"interval_ms": 0},
        {"energy_millijoules": 2**63 - 1},
        {"energy_millijoules": 2**63},
        {"util_gpu_pct": 37.0},
        {"util_gpu_pct": "37"},
        {"util_gpu_pct": True},
        {"gpu_uuid": 5},
        {"gpu_uuid": None},
        {"health": 5},
        {"health": "a new one"},
        {"at": "2026-11-02T23:59:60.000Z"},
        {"at": "2026-11-02T00:00:00Z"},
        {"at": "1960-01-01T00:00:00.000Z"},
        {"record": "gap"},
        {"fan_pct": "5"},
        {"fan_pct": 1.5},
        {"fan_pct": "true"},
        {"fan_pct": 'a "quoted" one'},
        {"fan_pct": [1]},
        {"fan_pct": 2**70},
    ],
)
def test_one_odd_line_among_plain_ones_reads_the_same_either_way(change: dict[str, Any]) -> None:
    assert_both_readers_agree([line(SAMPLE, 1, fan_pct=7), line(SAMPLE, 2, **{"fan_pct": 7, **change})])


@pytest.mark.parametrize(
    "written_instead",
    [
        b'"health":"\\ud800"',
        b'"health":"\\u006fk"',
        b'"health":"ok","util_memory_pct":41',
        b'"health":"ok","health":"ok"',
        b'"health":"ok","health":null',
        b'"health":null,"health":"ok"',
        b'"health":NaN',
        b'"health": "ok"',
        b'"health":"ok"}{"x":1',
        b'"health":"\xff"',
    ],
)
def test_text_that_two_json_readers_could_take_differently_reads_the_same(written_instead: bytes) -> None:
    plain = line(SAMPLE, 1)
    assert_both_readers_agree([plain, plain.replace(b'"health":"ok"', written_instead)])


def test_half_a_surrogate_pair_in_a_uuid_is_refused_and_not_read_as_another_gpu() -> None:
    frames = parsed(line(SAMPLE, 1), line(SAMPLE, 2).replace(b'"GPU-1"', b'"GPU-1\\ud800"'))
    assert frames["gpu_samples"]["sequence_number"].to_list() == [1]
    assert frames["agent_records"]["record"].to_list() == ["header", "rejected_line"]


plain_values = st.none() | st.integers(0, 9) | st.booleans() | st.sampled_from(["é", "a b", "v1"])


@given(name=st.sampled_from(["fan_pct", "é", "x y"]), first=plain_values, second=plain_values, also=plain_values)
def test_plain_unknown_fields_do_not_leave_the_fast_path(
    name: str, first: object, second: object, also: object
) -> None:
    if first is not None and type(second) is not type(first):
        second = None
    lines = [line(SAMPLE, seq, **{name: value, "also": also}).strip() for seq, value in enumerate((first, second))]
    section = nvml_spool._Section(json.loads(line(HEADER, 0)), lines, [2, 3])
    fast = nvml_spool._samples_at_once(section)
    assert fast is not None
    section.is_odd = True
    assert fast.rows() == nvml_spool._samples(section, []).rows()


@given(order=st.permutations(range(6)), twice=st.sets(st.integers(0, 5)))
def test_duplicated_and_reordered_lines_keep_their_keys_and_content(order: list[int], twice: set[int]) -> None:
    """B15: a file shipped twice or out of order adds nothing, since a key always names the same row."""
    lines = [line(SAMPLE, 1), line(SAMPLE, 2), line(SCRAPE, 3), line(SCRAPE, 4), line(SAMPLE, 5)]
    lines.append(line(Gap(interval_ms=5, reason="r"), 6))
    shuffled = parsed(*[lines[index] for index in order for _ in range(2 if index in twice else 1)])
    straight = parsed(*lines)
    for table in SPOOL.tables:
        assert set(shuffled[table.name].rows()) == set(straight[table.name].rows())
        keys = straight[table.name].select(table.key)
        assert keys.is_unique().all()
        assert sum(keys.null_count().row(0)) == 0


EIGHT = spool_file(*[line(SAMPLE, sequence) for sequence in range(1, 9)])


@given(cut=st.integers(min_value=len(line(HEADER, 0)), max_value=len(EIGHT)))
def test_any_cut_of_a_file_loses_at_most_one_sample_and_says_so(cut: int) -> None:
    frames = parse(EIGHT[:cut], {})
    whole = EIGHT[:cut].count(b"\n") - 1
    sequence = frames["gpu_samples"]["sequence_number"].to_list()
    assert sequence in (list(range(1, whole + 1)), list(range(1, whole + 2)))
    is_torn = "torn_tail" in frames["agent_records"]["record"].to_list()
    assert is_torn == (EIGHT[cut - 1 : cut] != b"\n" and len(sequence) == whole)


def test_a_dropped_file_is_stated_when_its_last_record_was_written() -> None:
    content = spool_file(line(SAMPLE, 1, written_at=MIDNIGHT + timedelta(hours=1)), b'{"record":"sam')
    dropped = SOURCE.drop("node-1.jsonl.gz", gzip.compress(content), {})
    assert (dropped.dataset, dropped.stated_by) == ("spool", "content")
    assert dropped.stated_at == MIDNIGHT + timedelta(hours=1)
    assert (dropped.from_at, dropped.to_at, dropped.complete) == (None, None, True)
    assert parse(dropped.payloads[0].content, {})["gpu_samples"].height == 1
    unreadable = SOURCE.drop("node-1.spool.jsonl", b"nothing", {})
    assert (unreadable.stated_at, unreadable.stated_by) == (None, "landed_at")


@pytest.mark.parametrize(
    ("name", "head", "dataset"),
    [
        ("anything", spool_file(), "spool"),
        ("anything.gz", gzip.compress(spool_file(line(SAMPLE, 1)))[:-20], "spool"),
        ("node-1.spool.jsonl", b"", "spool"),
        ("newer", spool_file().replace(b"spool/1", b"spool/2"), "spool"),
        ("costs.csv", b"date,amount\n", None),
        ("broken.gz", b"\x1f\x8bnot gzip", None),
    ],
)
def test_a_spool_file_is_recognised_by_its_header_or_its_name(name: str, head: bytes, dataset: str | None) -> None:
    assert SOURCE.recognise(name, head) == dataset


def test_the_source_only_reads_dropped_files_and_every_file_counts() -> None:
    assert SOURCE.fetch is None
    assert (SPOOL.mode, SPOOL.bucket, SPOOL.measure) == ("append", "utc_day", "metered")
    assert [table.key[-1] for table in SPOOL.tables] == ["sequence_number"] * 3
    assert AGENT_RECORDS.key == ("agent_start_id", "sequence_number")
