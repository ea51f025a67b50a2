"""The series of a Prometheus as landed days: each sample once, one of an HA pair, nothing taken back."""

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.formats.engines import read_engine
from pipeline.landing.dataset import datasets_by_name
from pipeline.landing.fetched import Fetched
from pipeline.landing.landing import as_delivery
from pipeline.landing.records import Delivery
from pipeline.sources import prometheus
from pipeline.sources.prometheus import DCGM, ENGINES, SOURCE
from pipeline.sources.source import FetchContext
from tests.check.stored_scrapes import stored
from tests.formats.test_engines import LLAMA, LLAMA_CACHED, SGLANG, TGI, TRITON, TRTLLM
from tests.formats.test_exposition import V1
from tests.sources.admin_api import Answer, Sleeps, serving
from tests.sources.prometheus_api import TOKEN, PrometheusApi, ms, refused
from tests.sources.prometheus_fleet import Engine, Fleet, Gpu, Pod, Series

DAY = timedelta(days=1)
FIRST = datetime(2026, 11, 13, tzinfo=UTC)
NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)
UUID = "GPU-11111111-2222-3333-4444-555555555555"
ENGINE = Engine(started=FIRST + timedelta(hours=22), ended=FIRST + timedelta(days=10))


def _context(api: PrometheusApi, *, landed: Sequence[Delivery] = (), now: datetime = NOW, **more: Any) -> FetchContext:
    starts = {
        name: _watermark(landed, name) for name in ("engines", "dcgm") if any(one.dataset == name for one in landed)
    }
    return FetchContext(
        account="main",
        settings={"base_url": api.url, **more},
        from_at=None,
        to_at=now,
        now=now,
        environment={"PROM_TOKEN": TOKEN},
        sleep=Sleeps(),
        starts=starts,
        landed=tuple(landed),
    )


def _watermark(landed: Sequence[Delivery], dataset: str) -> datetime:
    return max(one.to_at for one in landed if one.dataset == dataset and one.to_at) - SOURCE.trailing_days * DAY


def _fetch(context: FetchContext) -> list[Fetched]:
    assert SOURCE.fetch is not None
    return list(SOURCE.fetch(context))


def _land(fetched: Iterable[Fetched], now: datetime = NOW) -> list[Delivery]:
    return [as_delivery(one, source="prometheus", account="main", now=now) for one in fetched]


def _rows(fetched: Iterable[Fetched], table: str = "engine_samples") -> pl.DataFrame:
    by_name = {dataset.name: dataset for dataset in SOURCE.datasets}
    return pl.concat(
        [
            frames[table]
            for one in fetched
            for payload in one.payloads
            if table in (frames := by_name[one.dataset].parse(payload.content, one.settings))
        ]
    )


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _fleet(hours: float, **more: Any) -> Fleet:
    start = FIRST + timedelta(hours=23, minutes=30)
    return Fleet(start=start, stop=start + timedelta(hours=hours), **{"engines": [ENGINE], **more})


def test_a_scrape_is_a_row_with_the_counters_as_they_stood_and_the_process_it_is_of() -> None:
    with serving(PrometheusApi(series=_fleet(0.25).series())) as api:
        rows = _rows(_fetch(_context(api)))
    first = rows.row(0, named=True)
    seconds = 90 * 60
    assert {name: first[name] for name in ("prompt_tokens", "prompt_tokens_cached", "generation_tokens")} == {
        "prompt_tokens": seconds * 20,
        "prompt_tokens_cached": seconds * 5,
        "generation_tokens": seconds * 10,
    }
    assert first["requests_success"] == seconds * 20 // 100 + seconds * 20 // 200
    assert (first["requests_running"], first["requests_waiting"]) == (1, 0)
    assert first["process_started_at"] == _naive(ENGINE.started + timedelta(milliseconds=280))
    assert first["at"] == _naive(FIRST + timedelta(hours=23.5))
    assert (first["namespace"], first["pod"], first["model_name"], first["engine"]) == ("llm", "vllm-0", "m", "0")
    assert set(rows["interval_ms"]) == {15_000}
    assert rows.height == 60


def test_a_scrape_just_after_midnight_is_of_the_day_its_interval_began_and_of_the_bucket_it_was_asked_in() -> None:
    shifted = replace(_fleet(1), start=_fleet(1).start + timedelta(seconds=5))
    with serving(PrometheusApi(series=shifted.series())) as api:
        deliveries = _fetch(_context(api))
    assert [one.from_at for one in deliveries] == [FIRST, FIRST + DAY]
    rows = _rows(deliveries[1:])
    assert rows["at"][0] == _naive(FIRST + DAY + timedelta(seconds=5))
    assert (rows["bucket"][0], rows["usage_date"][0].isoformat()) == ("2026-11-14", "2026-11-13")
    assert rows["usage_date"][1].isoformat() == "2026-11-14"


def test_the_first_run_takes_the_whole_retention_and_no_day_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "_HOUR", DAY)
    engine = replace(ENGINE, started=NOW - timedelta(days=75))
    series = Fleet(start=NOW - timedelta(days=70), stop=NOW, engines=[engine], every_ms=3_600_000).series()
    with serving(PrometheusApi(series=series)) as api:
        deliveries = _fetch(_context(api))
    assert deliveries[0].from_at == datetime(2026, 9, 6, tzinfo=UTC)
    assert [one.to_at for one in deliveries][-1] == NOW.replace(hour=0) + DAY
    assert len(deliveries) == 71
    assert _rows(deliveries).height == 70 * 24


def test_a_declared_horizon_is_the_first_day() -> None:
    series = Fleet(
        start=NOW - timedelta(days=9), stop=NOW, engines=[replace(ENGINE, started=NOW - 9 * DAY)], every_ms=3_600_000
    ).series()
    with serving(PrometheusApi(series=series)) as api:
        deliveries = _fetch(_context(api, horizon="2026-11-12"))
    assert deliveries[0].from_at == datetime(2026, 11, 12, tzinfo=UTC)


def test_a_day_that_is_asked_for_in_part_is_fetched_as_far_as_it_is_over() -> None:
    series = Fleet(start=FIRST, stop=NOW, engines=[replace(ENGINE, started=FIRST)], every_ms=600_000).series()
    with serving(PrometheusApi(series=series)) as api:
        asked = replace(_context(api), to_at=FIRST + timedelta(hours=30))
        deliveries = _fetch(asked)
    assert [(one.from_at, one.to_at) for one in deliveries] == [(FIRST, FIRST + DAY), (FIRST + DAY, FIRST + 2 * DAY)]
    assert _rows(deliveries).height == 2 * 144


def test_days_that_are_long_over_are_not_asked_for_again_and_the_open_day_is() -> None:
    series = Fleet(start=FIRST, stop=NOW, engines=[replace(ENGINE, started=FIRST)], every_ms=600_000).series()
    with serving(PrometheusApi(series=series)) as api:
        landed = _land(_fetch(_context(api)))
        # The server's clock says 06:00 on the 15th: that day is open, the others are final.
        again = _fetch(_context(api, landed=landed))
        narrowed = _fetch(_context(api, landed=landed, match='namespace="llm"'))
    assert [one.from_at for one in again] == [NOW.replace(hour=0)]
    assert [one.from_at for one in narrowed] == [FIRST + DAY, FIRST + 2 * DAY]


def test_an_interrupted_run_has_landed_the_days_before_and_goes_on_there() -> None:
    series = Fleet(start=FIRST, stop=NOW, engines=[replace(ENGINE, started=FIRST)], every_ms=600_000).series()
    with serving(PrometheusApi(series=series)) as api:
        stream = SOURCE.fetch(_context(api))  # type: ignore[misc]
        landed = _land([next(stream)])
        api.always = refused(422, "execution", "bad luck")
        with pytest.raises(SourceError, match="engine: it answered HTTP 422: bad luck"):
            next(stream)
        api.always = None
        rest = _fetch(_context(api, landed=landed))
    assert [one.from_at for one in rest] == [FIRST + DAY, FIRST + 2 * DAY]


def test_what_a_server_has_forgotten_it_does_not_take_back() -> None:
    whole = Fleet(start=FIRST, stop=NOW, engines=[replace(ENGINE, started=FIRST)], every_ms=600_000)
    early = FIRST + timedelta(days=1, hours=6)
    with serving(PrometheusApi(series=whole.series())) as api:
        landed = [replace(one, stated_at=early) for one in _land(_fetch(_context(api, now=early)))]
        api.series = replace(whole, start=FIRST + timedelta(days=1, hours=3)).series()
        again = _fetch(_context(api, landed=landed, match='job="vllm"'))
    assert [one.from_at for one in again] == [NOW.replace(hour=0)]


def test_a_day_on_which_nothing_ran_is_said_and_one_the_server_knows_nothing_of_is_not() -> None:
    engine = replace(ENGINE, started=FIRST, ended=FIRST + timedelta(hours=12))
    series = Fleet(start=FIRST, stop=NOW, engines=[engine], every_ms=600_000).series()
    up = ({"__name__": "up", "job": "vllm"}, [(ms(FIRST + 2 * DAY), "0")])
    with serving(PrometheusApi(series=[*series, up])) as api:
        deliveries = _fetch(_context(api))
    assert [one.from_at for one in deliveries] == [FIRST, FIRST + 2 * DAY]
    assert _rows(deliveries[1:]).height == 0


def test_of_an_ha_pair_one_counts_in_each_window() -> None:
    fleet = _fleet(2, outages=[(ms(FIRST + DAY), ms(FIRST + DAY + timedelta(minutes=20)))])
    with serving(PrometheusApi(series=fleet.ha_series())) as api:
        rows = _rows(_fetch(_context(api)))
    by_hour = rows.group_by(pl.col("at").dt.hour().alias("hour"), "replica").agg(pl.len()).sort("hour")
    assert by_hour.select("hour", "replica").rows() == [(0, "b"), (1, "a"), (23, "a")]
    assert rows.unique(["at"]).height == rows.height


def test_another_replica_label_can_be_named() -> None:
    fleet = _fleet(0.5)
    with serving(PrometheusApi(series=fleet.ha_series(label="ha"))) as api:
        named = _rows(_fetch(_context(api, replica_label="ha")))
        unnamed = _rows(_fetch(_context(api)))
    assert (named.height, unnamed.height) == (120, 240)


@settings(max_examples=3, deadline=None)
@given(
    window_s=st.integers(120, 7_200),
    most_samples=st.integers(250, 5_000),
    every_s=st.integers(10, 60),
    outages=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 4_000)), max_size=3),
    is_ha=st.booleans(),
)
def test_windows_of_any_size_and_pairs_of_servers_count_the_same_tokens(
    window_s: int, most_samples: int, every_s: int, outages: list[tuple[int, int]], is_ha: bool
) -> None:
    """Per process, what the last reading says beyond the first: all windows of one day in any order, a pair or one."""
    begin = FIRST + timedelta(hours=1, minutes=1)
    engines = [
        replace(ENGINE, started=begin - DAY / 24, ended=begin + timedelta(minutes=50),
                quiet_until=begin + timedelta(minutes=3), quiet_from=begin + timedelta(minutes=45)),
        replace(ENGINE, started=begin + timedelta(minutes=55), ended=begin + timedelta(days=1),
                quiet_until=begin + timedelta(minutes=60), quiet_from=begin + timedelta(minutes=110)),
    ]  # fmt: skip
    down = [(ms(begin) + 180_000 + at * 1000, ms(begin) + 180_000 + (at + length) * 1000) for at, length in outages]
    fleet = Fleet(start=begin, stop=begin + timedelta(hours=2), engines=engines, every_ms=every_s * 1000, outages=down)
    series = fleet.ha_series(later_ms=4_000) if is_ha else fleet.series()
    with pytest.MonkeyPatch.context() as patch, serving(PrometheusApi(series=series, most_samples=most_samples)) as api:
        patch.setattr(prometheus, "_HOUR", timedelta(seconds=window_s))
        deliveries = _fetch(_context(api, now=begin + timedelta(hours=2)))
    payloads = [(one, payload) for one in deliveries for payload in reversed(list(one.payloads))]
    rows = pl.concat(
        [SOURCE.datasets[0].parse(payload.content, one.settings)["engine_samples"] for one, payload in payloads]
    )
    assert rows.unique(["process_started_at", "at"]).height == rows.height
    counted = (
        rows.sort("at")
        .group_by("process_started_at", maintain_order=True)
        .agg(
            (pl.col("prompt_tokens").diff().clip(0).sum()).alias("moved"), pl.col("prompt_tokens").last().alias("last")
        )
    )
    assert counted.sort("process_started_at")["last"].to_list() == [42 * 60 * 20, 50 * 60 * 20]
    assert counted["moved"].to_list() == counted["last"].to_list()


def test_without_a_start_time_the_created_series_says_when_the_process_began() -> None:
    engine = replace(ENGINE, has_start=False)
    created = (
        {"__name__": "vllm:prompt_tokens_created", **engine.labels, "model_name": "m", "engine": "0"},
        [(at, "1.7788896e+09") for at in range(ms(_fleet(0.1).start), ms(_fleet(0.1).stop), 15_000)],
    )
    fleet = _fleet(0.1, engines=[engine])
    with serving(PrometheusApi(series=fleet.series())) as api:
        assert _rows(_fetch(_context(api)))["process_started_at"].null_count() == 24
        api.series = [*fleet.series(), created]
        assert set(_rows(_fetch(_context(api)))["process_started_at"]) == {_naive(datetime(2026, 5, 16, tzinfo=UTC))}


def test_process_starts_are_asked_of_the_engines_jobs_only() -> None:
    other = ({"__name__": "process_start_time_seconds", "job": "node"}, [(ms(FIRST + DAY), "1.7e9")])
    with serving(PrometheusApi(series=[*_fleet(0.6).series(), other])) as api:
        _fetch(_context(api))
        (question,) = {
            asked["query"].rpartition("[")[0] for path, asked in api.asked if "process_start" in asked.get("query", "")
        }
    assert question.endswith('|process_start_time_seconds",job=~"vllm"}')


def test_days_that_landed_under_the_name_of_a_former_release_are_read_and_asked_for_no_more() -> None:
    """The server has forgotten them since: what is not read under its old name is lost."""
    series = Fleet(start=FIRST, stop=NOW, engines=[replace(ENGINE, started=FIRST)], every_ms=600_000).series()
    with serving(PrometheusApi(series=series)) as api:
        fetched = _fetch(_context(api))
        landed = [replace(one, dataset="vllm") for one in _land(fetched)]
        again = _fetch(_context(api, landed=landed))
    assert [one.from_at for one in again] == [NOW.replace(hour=0)]
    dataset = datasets_by_name(SOURCE.datasets)["prometheus", "vllm"]
    (payload,) = list(fetched[0].payloads)[:1]
    head, _, answer = gzip.decompress(payload.content).partition(b"\n")
    former = gzip.compress(json.dumps({**json.loads(head), "dataset": "vllm"}).encode() + b"\n" + answer)
    assert dataset.parse(former, fetched[0].settings)["engine_samples"].equals(
        dataset.parse(payload.content, fetched[0].settings)["engine_samples"]
    )
    of_gpus = gzip.compress(json.dumps({**json.loads(head), "dataset": "dcgm"}).encode() + b"\n" + answer)
    with pytest.raises(QuarantineError, match="does not say what was asked"):
        dataset.parse(of_gpus, {})


@pytest.mark.parametrize(("spelled", "reads"), [("NaN", None), ("+Inf", None), ("1.5e+06", 1_500_000)])
def test_what_is_no_number_is_no_reading(spelled: str, reads: int | None) -> None:
    at = ms(FIRST + timedelta(hours=23))
    own = {**ENGINE.labels, "model_name": "m", "engine": "0"}
    series: Series = [
        ({"__name__": "vllm:prompt_tokens_total", **own}, [(at, spelled)]),
        ({"__name__": "vllm:generation_tokens_total", **own}, [(at, "7")]),
    ]
    with serving(PrometheusApi(series=series)) as api:
        (row,) = _rows(_fetch(_context(api))).to_dicts()
    assert (row["prompt_tokens"], row["generation_tokens"], row["interval_ms"]) == (reads, 7, None)


@pytest.mark.parametrize("body", [SGLANG, TGI, TRTLLM, LLAMA, LLAMA_CACHED + LLAMA, TRITON + "# EOF\n"])
def test_every_engine_is_read_as_its_own_scrape_reads(body: str) -> None:
    """Of ranks that see the same requests one, of a part's priority none, each figure by the table's name. B15."""
    at = FIRST + timedelta(hours=23)
    own = {"job": "x", "instance": "10.0.0.5:30000", "namespace": "llm", "pod": "chat-0"}
    series = [one for server in ("a", "b") for one in stored([(at, body)], **own, prometheus_replica=server)]
    with serving(PrometheusApi(series=series)) as api:
        rows = _rows(_fetch(_context(api))).sort("model_name").to_dicts()
    told = read_engine(body)
    names = ("model_name", "prompt_tokens", "prompt_counts", "prompt_tokens_cached", "generation_tokens",
             "requests_success", "requests_running", "requests_waiting", "process_started_at")  # fmt: skip
    assert [[row[name] for name in names] for row in rows] == [[getattr(row, name) for name in names] for row in told]
    assert {row["serving_engine"] for row in rows} == {row.engine for row in told}
    assert {row["engine"] for row in rows} == {"0"}
    assert len({row["target_labels"] for row in rows}) == 1  # one address, however many labels its figures have


def test_what_vllm_says_of_where_its_prompts_came_from_is_read_as_its_own_scrape_reads() -> None:
    """B1, B17: the counts that must agree, the last token of a prompt that was found whole, and whose cache it was."""
    at = FIRST + timedelta(hours=23)
    again = "# TYPE vllm:prompt_tokens_recomputed_total counter\n"
    recomputed = "".join(
        f'vllm:prompt_tokens_recomputed_total{{engine="{rank}",model_name="org/chat"}} {count}\n'
        for rank, count in ((0, 300), (1, 0))
    )
    body = V1.replace('"} 1.2345e+06', '"} 1.2342e+06') + again + recomputed
    told = read_engine(body)
    assert [(row.prompt_tokens_cached, row.identity_gap_tokens) for row in told] == [(34_200, 0), (0, 0)]
    own = {"job": "x", "instance": "10.0.0.5:8000", "llm_isvc_role": "decode"}
    with serving(PrometheusApi(series=stored([(at, body)], **own))) as api:
        rows = _rows(_fetch(_context(api))).sort("engine").to_dicts()
    names = ("prompt_tokens", "prompt_tokens_cached", "identity_gap_tokens", "prompt_tokens_transferred")
    assert [[row[name] for name in names] for row in rows] == [[getattr(row, name) for name in names] for row in told]
    assert [row["engine_role"] for row in rows] == ["decode", "decode"]


@pytest.mark.parametrize("role", ["prefill", "both"])
def test_a_label_says_what_an_engine_does_for_the_others(role: str) -> None:
    body = SGLANG.replace('engine_type="unified"', f'engine_type="{role}"')
    at = FIRST + timedelta(hours=23)
    with serving(PrometheusApi(series=stored([(at, body)], job="x", instance="a:30000"))) as api:
        (row,) = _rows(_fetch(_context(api))).to_dicts()
    assert row["engine_role"] == (role if role == "prefill" else None)


def test_what_triton_prints_beside_its_vllm_is_not_another_engine() -> None:
    at = FIRST + timedelta(hours=23)
    body = "".join(
        f'# TYPE vllm:{name}_total counter\nvllm:{name}_total{{engine="0",model_name="chat"}} 5\n'
        for name in ("prompt_tokens", "generation_tokens")
    )
    with serving(PrometheusApi(series=stored([(at, body + TRITON)], job="x", instance="a:8002"))) as api:
        (row,) = _rows(_fetch(_context(api))).to_dicts()
    assert (row["serving_engine"], row["prompt_tokens"]) == ("vllm", 5)


def test_half_a_token_is_refused_by_name() -> None:
    content = _object(
        ENGINES.dataset, [({"__name__": "vllm:prompt_tokens_total", "model_name": "m"}, [[FIRST.timestamp(), "1.5"]])]
    )
    with pytest.raises(QuarantineError, match=r"prompt_tokens is 1\.5 at .*no count"):
        SOURCE.datasets[0].parse(content, {})


def _object(dataset: str, series: Sequence[tuple[dict[str, str], list[list[Any]]]], **head: Any) -> bytes:
    said = {"format": "breakeven.prometheus/1", "dataset": dataset, "query": "{}", "start_ms": ms(FIRST),
            "stop_ms": ms(FIRST + DAY), **head}  # fmt: skip
    answer = {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"metric": labels, "values": values} for labels, values in series]},
    }
    return gzip.compress(json.dumps(said).encode() + b"\n" + json.dumps(answer).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n{}",
        _object("engines", [])[:-9],
        _object("dcgm", []),
        _object("engines", [], format="other"),
        _object("engines", [], start_ms="x"),
    ],
)
def test_what_is_no_object_of_this_dataset_is_refused(content: bytes) -> None:
    with pytest.raises(QuarantineError):
        SOURCE.datasets[0].parse(content, {})


# --- GPUs ------------------------------------------------------------------------------------------------------------


def _gpus(*gpus: Gpu, hours: float = 0.5) -> tuple[pl.DataFrame, pl.DataFrame]:
    with serving(PrometheusApi(series=_fleet(hours, engines=(), gpus=gpus).series())) as api:
        deliveries = _fetch(_context(api))
    return _rows(deliveries, "gpu_samples"), _rows(deliveries, "gpu_pods")


def test_a_gpu_is_read_in_our_units_and_its_samples_cover_the_time_between_them() -> None:
    samples, pods = _gpus(Gpu(UUID))
    row = samples.row(1, named=True)
    assert (row["util_gpu_pct"], row["sm_active_ppm"], row["memory_used_bytes"]) == (80, 250_000, 70_000 * 1024**2)
    assert row["gr_engine_active_ppm"] is None
    assert (row["hostname"], row["gpu_uuid"], row["interval_ms"]) == ("node-1", UUID, 15_000)
    assert samples["interval_ms"].sum() == 1_800_000
    (pod,) = pods.to_dicts()
    assert (pod["namespace"], pod["pod"], pod["sample_count"]) == ("llm", "vllm-0", 120)


def test_a_device_that_is_printed_once_a_pod_is_read_once() -> None:
    samples, pods = _gpus(Gpu(UUID, pods=("vllm-0", "vllm-1"), honours_labels=True))
    assert samples.height == 120
    assert set(samples["util_gpu_pct"]) == {80}
    assert pods["pod"].to_list() == ["vllm-0", "vllm-1"]


def test_two_exporters_of_one_gpu_are_one() -> None:
    samples, _ = _gpus(Gpu(UUID), Gpu(UUID, instance="10.0.9.2:9400", util=10))
    assert samples.height == 120
    assert set(samples["util_gpu_pct"]) == {80}


@pytest.mark.parametrize("blank", ["9223372036854775794", "2147483632", "140737488355328", "NaN"])
def test_dcgms_blanks_are_no_reading(blank: str) -> None:
    labels = {"UUID": UUID, "Hostname": "node-1", "__name__": "DCGM_FI_DEV_GPU_UTIL"}
    memory = {**labels, "__name__": "DCGM_FI_DEV_FB_USED"}
    at = FIRST.timestamp()
    frames = SOURCE.datasets[1].parse(_object("dcgm", [(labels, [[at, blank]]), (memory, [[at, "5"]])]), {})
    (row,) = frames["gpu_samples"].to_dicts()
    assert (row["util_gpu_pct"], row["memory_used_bytes"]) == (None, 5 * 1024**2)


def test_a_missed_scrape_covers_no_more_than_is_usual() -> None:
    at = [ms(FIRST) + second * 1000 for second in (0, 15, 31, 45, 300, 315)]
    labels = {"UUID": UUID, "Hostname": "node-1", "__name__": "DCGM_FI_DEV_GPU_UTIL"}
    frames = SOURCE.datasets[1].parse(_object("dcgm", [(labels, [[one / 1000, "5"] for one in at])]), {})
    assert frames["gpu_samples"]["interval_ms"].to_list() == [15_000, 15_000, 16_000, 14_000, 15_000, 15_000]


# --- pods ------------------------------------------------------------------------------------------------------------


def test_a_pod_that_asks_for_gpus_is_a_row_an_hour_and_every_other_none() -> None:
    pods = [Pod(), Pod("web-0", gpus=0), Pod("vllm-1", node="node-2", uid="77aa")]
    fleet = _fleet(1, pods=pods)
    both = [({**labels, "prometheus_replica": name}, held) for name in ("a", "b") for labels, held in fleet.series()]
    with serving(PrometheusApi(series=both)) as api:
        rows = _rows([one for one in _fetch(_context(api)) if one.dataset == "kube"], "pods")
    assert rows.select("bucket", "namespace", "pod", "uid", "node", "created_by_name").rows() == [
        (day, "llm", pod, uid, node, "vllm")
        for day in ("2026-11-13", "2026-11-14")
        for pod, uid, node in (("vllm-0", "0b5a", "node-1"), ("vllm-1", "77aa", "node-2"))
    ]


@pytest.mark.parametrize(
    ("asked", "ppm"),
    [
        ([("nvidia_com_gpu", 2)], 2_000_000),
        ([("nvidia_com_gpu", 1), ("nvidia_com_gpu", 1)], 2_000_000),
        ([("nvidia_com_mig_1g_10gb", 1)], 142_857),
        ([("nvidia_com_mig_3g_20gb", 2)], 857_142),
        ([("nvidia_com_mig_1g_6gb", 1)], 250_000),
        ([("nvidia_com_mig_1c_3g_20gb", 1)], 142_857),
        ([("nvidia_com_mig_1g_10gb_me", 1)], 142_857),
        ([("nvidia_com_gpu_shared", 1)], None),
        ([("nvidia_com_gpu", 1), ("nvidia_com_gpumem", 3000)], None),
    ],
)
def test_a_pod_is_told_with_what_of_gpus_its_containers_ask_for(asked: list[tuple[str, int]], ppm: int | None) -> None:
    """B18: a slice is a part of a GPU; a time slice or an amount of memory is no known one."""
    series = _fleet(1, pods=[Pod(gpus=0)]).series()
    request = next(labels for labels, _ in series if labels.get("resource") == "cpu")
    for number, (resource, count) in enumerate(asked):
        labels = {**request, "resource": resource, "container": f"c{number}"}
        series.append((labels, [(at, str(count)) for at in range(ms(FIRST), ms(NOW), 600_000)]))
    pair = [({**labels, "prometheus_replica": name}, held) for name in ("a", "b") for labels, held in series]
    with serving(PrometheusApi(series=pair)) as api:
        rows = _rows([one for one in _fetch(_context(api)) if one.dataset == "kube"], "pods")
    assert set(rows.filter(pl.col("node").is_not_null())["requested_gpus_ppm"]) == {ppm}
    assert rows["node"].null_count() == 0


def test_pods_alone_are_no_engines() -> None:
    api = PrometheusApi(series=_fleet(1, engines=(), pods=[Pod()]).series())
    with serving(api), pytest.raises(SourceError, match="has no engine and no dcgm-exporter series of"):
        _fetch(_context(api))


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_an_answer_in_part_is_not_landed_unless_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    api = PrometheusApi(series=_fleet(1).series(), warnings=("store gateway-2 is down",))
    with serving(api):
        with pytest.raises(SourceError, match="in part only: store gateway-2 is down"):
            _fetch(_context(api))
        accepted = _fetch(_context(api, accept_partial=True))
        # Lists may be whole where samples are not.
        monkeypatch.setattr(prometheus, "_first_day", lambda *_, **__: FIRST + DAY)
        monkeypatch.setattr(prometheus, "_jobs", lambda *_: ["vllm"])
        with pytest.raises(SourceError, match=r"00:00 to 01:00 UTC is not whole \(store gateway-2 is down\)"):
            _fetch(_context(api))
    assert [one.request["warnings"] for one in accepted] == [["store gateway-2 is down"]] * 2
    assert _rows(accepted).height == 240


def test_a_server_without_our_series_says_so() -> None:
    with (
        serving(PrometheusApi(series=[({"__name__": "up"}, [(ms(FIRST), "1")])])) as api,
        pytest.raises(SourceError, match="has no engine and no dcgm-exporter series of the last 400 days"),
    ):
        _fetch(_context(api))


def test_what_one_dataset_cannot_be_asked_takes_nothing_from_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    api = PrometheusApi(series=_fleet(0.5, gpus=[Gpu(UUID)]).series())
    monkeypatch.setattr(api, "_query", _without_vllm(api))
    with serving(api):
        deliveries: list[Fetched] = []
        with pytest.raises(SourceError, match=r"not read to the end: engine: .*forbidden series"):
            deliveries.extend(SOURCE.fetch(_context(api)))  # type: ignore[misc]
    assert {one.dataset for one in deliveries} == {DCGM.dataset}


def _without_vllm(api: PrometheusApi) -> Any:
    answer = api._query

    def asked(query: str, at_ms: int) -> Answer:
        return refused(422, "execution", "forbidden series") if "vllm" in query else answer(query, at_ms)

    return asked


@pytest.mark.parametrize(
    "settings",
    [
        {"tenants": "a"},
        {"tenant": 5},
        {"match": '{namespace="llm"}'},
        {"replica_label": "a-b"},
        {"node_label": 3},
        {"leave_out": ["triton"]},
        {"accept_partial": "yes"},
    ],
)
def test_a_setting_that_cannot_be_is_named(settings: dict[str, Any]) -> None:
    assert SOURCE.check is not None
    with pytest.raises(ConfigError, match=f"settings.{next(iter(settings))}"):
        SOURCE.check(settings, [])


def test_a_source_without_an_address_says_what_to_write() -> None:
    with (
        serving(PrometheusApi()) as api,
        pytest.raises(ConfigError, match=r"sources\.prometheus\.base_url.*before /api/v1"),
    ):
        _fetch(replace(_context(api), settings={}))


def _probed(api: PrometheusApi, dataset: str, seconds: float | None = 2.0, **settings: Any) -> tuple[str, str]:
    assert SOURCE.probe is not None
    probe = next(one for one in SOURCE.probe(_context(api, **settings)) if one.dataset == dataset)
    found = probe.ask(seconds)
    assert TOKEN not in found.said + found.fix
    return found.access, found.said


def test_doctor_learns_what_the_server_has() -> None:
    now = Fleet(start=NOW - timedelta(minutes=30), stop=NOW, engines=[ENGINE])
    with serving(PrometheusApi(series=now.series())) as api:
        assert _probed(api, "engines")[0] == "allowed"
        assert _probed(api, "dcgm")[0] == "not_found"
        assert _probed(api, "kube")[0] == "allowed"
        assert _probed(api, "engines", seconds=None)[0] == "not_asked"
        assert _probed(api, "engines", key_env="NOT_SET")[0] == "no_key"
        api.token = "another"
        assert _probed(api, "engines", key_env="PROM_TOKEN")[0] == "refused"
        api.always = refused(403, "forbidden", "no")
        assert _probed(api, "engines", key_env="PROM_TOKEN")[0] == "not_permitted"
    assert _probed(api, "engines", seconds=0.5)[0] == "unreachable"


def test_a_dropped_answer_never_counts() -> None:
    assert SOURCE.recognise("vllm-20261113T000000Z.json.gz", _object("engines", [])) is None
    assert not SOURCE.drop("vllm-20261113T000000Z.json.gz", _object("engines", []), {}).complete
