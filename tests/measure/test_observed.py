"""How long a deployment's requests were and how unevenly they came, from what has landed and from files."""

import gzip
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BreakevenError
from pipeline.landing.landing import Landing
from pipeline.landing.store import FolderStore
from pipeline.measure.logs import read_requests
from pipeline.measure.observed import Engine, spool_lengths
from pipeline.paths import sql_root
from pipeline.sources import nvml_spool

EDGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
NOW = datetime(2026, 11, 14, 12, tzinfo=UTC)
ENGINE = Engine(host="gpu-1", target="http://127.0.0.1:8000/metrics", model_name="m")


def body(requests: Sequence[tuple[int, int]], *, model: str = "m", started: float = 1.7e9) -> str:
    """What an engine prints that has answered these requests."""
    lines = [f"process_start_time_seconds {started}"]
    sums = {"request_prompt_tokens": [p for p, _ in requests], "request_generation_tokens": [o for _, o in requests]}
    for name, lengths in sums.items():
        own = f'engine="0",model_name="{model}"'
        lines.append(f"# TYPE vllm:{name} histogram")
        lines += [
            f'vllm:{name}_bucket{{{own},le="{edge:.1f}"}} {sum(one <= edge for one in lengths):.1f}' for edge in EDGES
        ]
        lines += [
            f'vllm:{name}_bucket{{{own},le="+Inf"}} {len(lengths):.1f}',
            f"vllm:{name}_count{{{own}}} {len(lengths):.1f}",
            f"vllm:{name}_sum{{{own}}} {sum(lengths):.1f}",
        ]
    return "\n".join(lines) + "\n"


def land(landing: Landing, bodies: Sequence[str], *, at: datetime = NOW, host: str = "gpu-1") -> None:
    stamped = {"at": at.isoformat().replace("+00:00", ".000Z"), "mono_ms": 0}
    header = {"record": "header", "seq": 0, **stamped, "schema": "breakeven.spool/1", "host": host, "boot_id": "b",
              "agent_start_id": "a", "agent_version": "1"}  # fmt: skip
    scrapes = [
        {"record": "scrape", "seq": number, **stamped, "interval_ms": 15_000, "target": ENGINE.target, "body": text}
        for number, text in enumerate(bodies, start=1)
    ]
    content = gzip.compress(b"".join(json.dumps(one).encode() + b"\n" for one in (header, *scrapes)))
    fetched = nvml_spool.drop("x.spool.jsonl.gz", content, {})
    landing.land(fetched, source="nvml_spool", account="fleet", now=NOW)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(store=FolderStore(tmp_path / "landing"))


def counts(lengths: Sequence[int]) -> tuple[int, ...]:
    found = Counter(bisect_left(EDGES, one) for one in lengths)
    return tuple(found[at] for at in range(len(EDGES) + 1))


def test_what_a_process_counted_within_a_file_is_its_requests_and_a_restart_another_process(
    landing: Landing,
) -> None:
    first, more, other = [(10, 5)] * 3, [(700, 90), (3, 1)], [(1500, 2)]
    restarted = body(other, started=1.8e9)
    land(landing, [body(first), body(first + more), body([], started=1.8e9), restarted])
    # Another model behind the same address, another host, and a file that is cut.
    land(landing, [body([], model="n"), body(more, model="n")], at=NOW - timedelta(hours=1))
    land(landing, [body([]), body(more)], host="gpu-2")
    landing.land(nvml_spool.drop("y", b"\x1f\x8bcut", {}), source="nvml_spool", account="fleet", now=NOW)
    found = spool_lengths(landing, {ENGINE})
    assert found is not None
    assert found.prompt.counts == counts([700, 3, 1500])
    assert found.prompt.tokens == 2203
    assert found.output.counts == counts([90, 1, 2])


def test_scrapes_without_histograms_and_engines_that_nobody_read_say_nothing(landing: Landing) -> None:
    assert spool_lengths(landing, {ENGINE}) is None
    land(landing, ["vllm:prompt_tokens_total 1\n", body([(1, 1)])])
    assert spool_lengths(landing, {Engine("gpu-9", ENGINE.target, "m")}) is None
    # One reading alone is all that the process ever did: of when, nobody knows.
    assert spool_lengths(landing, {ENGINE}) is None


# --- the curve --------------------------------------------------------------------------------------------------------

_INTERVAL = st.tuples(st.integers(0, 600), st.integers(1, 60), st.integers(0, 50), st.booleans())


@settings(max_examples=25, deadline=None)
@given(st.lists(_INTERVAL, max_size=30))
def test_requests_are_laid_out_by_the_minute_as_they_were_watched(intervals: list[tuple[int, int, int, bool]]) -> None:
    """By the second, one by one: a request of an interval is spread evenly over its seconds."""
    day, begin = date(2026, 11, 14), datetime(2026, 11, 14, 10)  # noqa: DTZ001
    connection = duckdb.connect()
    connection.execute(
        "create table int_engine_deployments_daily as select date '2026-11-14' as usage_date, 'h' as host, "
        "'t' as target, 'm' as model_name, 'd' as deployment_id"
    )
    connection.execute(
        "create table int_engine_intervals (usage_date date, host text, target text, model_name text, "
        "request_count bigint, spread_from_at timestamp, spread_to_at timestamp, is_timed boolean)"
    )
    for from_s, length_s, requests, is_timed in intervals:
        start = begin + timedelta(seconds=from_s)
        row = [day, "h", "t", "m", requests, start, start + timedelta(seconds=length_s), is_timed]
        connection.execute(f"insert into int_engine_intervals values ({','.join('?' * 8)})", row)
    text = (sql_root() / "measure" / "requests_by_step.sql").read_text(encoding="utf-8")
    found = connection.execute(text, {"deployment": "d", "step_ms": 60_000}).fetchall()
    requests_of: Counter[int] = Counter()
    watched: Counter[int] = Counter()
    first = int(begin.replace(tzinfo=UTC).timestamp())
    for from_s, length_s, requests, is_timed in intervals:
        for second in range(from_s, from_s + length_s) if is_timed else ():
            requests_of[(first + second) // 60] += requests / length_s  # type: ignore[assignment]
            watched[(first + second) // 60] += 1
    expected = {step: requests_of[step] for step, seconds in watched.items() if seconds >= 57}
    assert dict(found) == pytest.approx(expected)


# --- a file of requests -----------------------------------------------------------------------------------------------


def test_gateways_name_their_columns_each_in_their_way(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("startTime,model,prompt_tokens,completion_tokens\n2026-11-14T10:00:00Z,m,30,4\n,m,0,9\n,m,5,7\n")
    found = read_requests(file)
    assert (found.rows, found.skipped_count) == ([(30, 4), (5, 7)], 1)
    assert found.at == [datetime(2026, 11, 14, 10, tzinfo=UTC).timestamp()]
    file.write_text('{"tokens_prompt": 3, "tokens_completion": 2, "created_at": "2026-11-14 10:00:01"}\n\n')
    assert read_requests(file).rows == [(3, 2)]


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "", '{"prompt_tokens": 1', "prompt_tokens,completion_tokens\n0,1\n"])
def test_a_file_without_a_request_says_what_it_lacks(tmp_path: Path, content: str) -> None:
    file = tmp_path / "log"
    file.write_text(content)
    with pytest.raises(BreakevenError, match="log: "):
        read_requests(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": ' + "[" * 200_000, "log: line 1 is nested too deep"),
        ('[{"prompt_tokens": 1, "completion_tokens": 2}]', "log is one JSON array. Write one record a line"),
        ('{"prompt_tokens": ' + "9" * 5000 + ', "completion_tokens": 3}', "no row has both"),
        ('{"prompt_tokens": ' + "9" * 30 + ', "completion_tokens": 3}', "no row has both"),
        ("prompt_tokens,completion_tokens\n" + "9" * 5000 + ",1\n", "no row has both"),
    ],
)
def test_what_is_no_log_of_requests_is_refused_in_words(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "log"
    file.write_text(content)
    with pytest.raises(BreakevenError, match=said):
        read_requests(file)


def test_counts_and_times_are_read_as_spreadsheets_and_apis_write_them(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("prompt_tokens,completion_tokens\n10.0,5.0\n10.5,5\n")
    found = read_requests(file)
    assert (found.rows, found.skipped_count) == ([(10, 5)], 1)
    file.write_bytes(b'\xef\xbb\xbf{"prompt_tokens": 1, "completion_tokens": 2, "created": 1767225600}\n')
    found = read_requests(file)
    assert (found.rows, found.at) == ([(1, 2)], [1767225600.0])
