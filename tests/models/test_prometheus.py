"""What a Prometheus kept of engines and GPUs, counted once, whatever the windows, servers and agents beside."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.runner import Built
from pipeline.sources.prometheus_tables import gpu_host, labels_named
from tests.check.stored_scrapes import stored
from tests.check.vllm_server import engine_body
from tests.models.gpu_harness import DAY, SAMPLES, SCRAPES, Row, at, build_tables, rows_of, scrape, watched
from tests.sources.prometheus_api import ms
from tests.sources.prometheus_fleet import Engine, Fleet, Gpu, Pod, Series, landed

ENGINE_SAMPLES = "landed_prometheus__engine_samples"
GPU_SAMPLES = "landed_prometheus__gpu_samples"
GPU_PODS = "landed_prometheus__gpu_pods"
HOUR = timedelta(hours=1)
UUID = "GPU-1"


def _at(hour: float) -> datetime:
    return at(hour).replace(tzinfo=UTC)


ENGINE = Engine(started=_at(9), ended=_at(48), model_name="llama")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prometheus")


def _tables(
    series: Series, *, start: float = 0, stop: float = 13, account: str = "main", **how: Any
) -> dict[str, list[Row]]:
    frames = landed(series, start=_at(start), stop=_at(stop), **{"window": HOUR, **how})
    return {
        f"landed_prometheus__{name}": [{**row, "account": account} for row in frame.to_dicts()]
        for name, frame in frames.items()
    }


def _joined(*tables: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    return {name: [row for one in tables for row in one.get(name, ())] for table in tables for name in table}


def _tokens(built: Built) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows_of(built, "int_engine_tokens_hourly"):
        found[row["token_class"]] = found.get(row["token_class"], 0) + row["tokens"]
    return found


def _counted(cache: Path, tables: Mapping[str, Sequence[Row]]) -> dict[str, int]:
    return _tokens(build_tables(cache, tables, ("int_engine_tokens_hourly",)))


def _prompt(seconds: int) -> dict[str, int]:
    """The classes of so many seconds at 20 prompt tokens a second, 5 of them cached, and 10 generated."""
    return {"input_uncached": 15 * seconds, "input_cache_read": 5 * seconds, "output": 10 * seconds}


@settings(max_examples=5, deadline=None)
@given(
    window_s=st.integers(240, 86_400),
    every_s=st.integers(15, 120),
    later_ms=st.integers(0, 60_000),
    outages=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 4_000)), max_size=3),
    is_ha=st.booleans(),
    is_closed=st.booleans(),
    seed=st.randoms(use_true_random=False),
)
def test_windows_of_any_size_and_order_and_pairs_of_servers_give_the_same_tokens(
    cache: Path,
    window_s: int,
    every_s: int,
    later_ms: int,
    outages: list[tuple[int, int]],
    is_ha: bool,
    is_closed: bool,
    seed: Any,
) -> None:
    """Two processes, one after the other across midnight, each idle at first and at last: what they served, exactly.

    What a server kept of a process ends where the process is idle, so the windows decide nothing.
    """
    engines = [
        replace(ENGINE, started=_at(22), ended=_at(23.4), quiet_until=_at(22.1), quiet_from=_at(23.3)),
        replace(ENGINE, started=_at(23.5), ended=_at(40), quiet_until=_at(23.6), quiet_from=_at(24.3)),
    ]
    down = [(ms(_at(22.1)) + begin * 1000, ms(_at(22.1)) + (begin + length) * 1000) for begin, length in outages]
    fleet = Fleet(
        start=_at(21.9), stop=_at(24.5), engines=engines, every_ms=every_s * 1000, outages=down if is_ha else ()
    )
    series = fleet.ha_series(later_ms=later_ms) if is_ha else fleet.series()
    tables = _tables(series, start=21.9, stop=24.5, window=timedelta(seconds=window_s), is_closed=is_closed)
    rows = [dict(row) for row in tables[ENGINE_SAMPLES]]
    seed.shuffle(rows)
    served = round(1.2 * 3600) + round(0.7 * 3600)
    assert _counted(cache, {**tables, ENGINE_SAMPLES: rows}) == _prompt(served)


def test_hours_of_a_day_are_whole_across_every_window_edge(cache: Path) -> None:
    fleet = Fleet(start=_at(9), stop=_at(13), engines=[ENGINE])
    by_hour = {}
    for window in (timedelta(minutes=7), HOUR, timedelta(days=1)):
        built = build_tables(cache, _tables(fleet.series(), window=window), ("int_engine_tokens_hourly",))
        by_hour[window] = [
            (row["usage_hour_at"].hour, row["tokens"])
            for row in rows_of(built, "int_engine_tokens_hourly")
            if row["token_class"] == "output"
        ]
    whole = [(8, 0), (9, 36_000), (10, 36_000), (11, 36_000), (12, 36_000 - 150)]
    assert list(by_hour.values()) == [whole, whole, whole]


def test_an_engine_that_two_jobs_scrape_or_two_servers_keep_is_counted_once(cache: Path) -> None:
    """Two monitors of one pod differ in `job`; two servers may be two accounts. Their readings are one counter's."""
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[replace(ENGINE, started=_at(9.9))])
    once = _tables(fleet.series())
    doubled = [
        ({**labels, "job": "svc"}, [(moment + 4_000, value) for moment, value in held])
        for labels, held in fleet.series()
    ]
    assert _counted(cache, once) == _counted(cache, _tables([*fleet.series(), *doubled]))
    assert _counted(cache, once) == _counted(cache, _joined(once, _tables(fleet.series(), account="other")))


def _late(stamps: range, labels: dict[str, str], *, by_ms: int) -> Series:
    """What a server kept whose scrapes are stamped when they begin, and answered so much later."""
    read = ENGINE.series([stamp + by_ms for stamp in stamps], labels)
    return [(labels, [(moment - by_ms, value) for moment, value in held]) for labels, held in read]


def test_a_server_that_takes_over_with_an_older_reading_is_no_restart(cache: Path) -> None:
    """Each server of a pair stamps with its own clock, so the first readings after a change may be the older ones."""
    first = _late(range(ms(_at(9)) + 14_000, ms(_at(11)), 15_000), {"prometheus_replica": "a"}, by_ms=4_000)
    second = ENGINE.series(range(ms(_at(11)) + 1_000, ms(_at(13)), 15_000), {"prometheus_replica": "b"})
    assert _counted(cache, _tables([*first, *second], start=9)) == _prompt(4 * 3600 - 14)


def test_two_monitors_of_one_pod_of_which_one_answers_late_see_no_restarts(cache: Path) -> None:
    """Their readings are one counter's, in turn; across midnight too, where the later one is not the highest."""
    late = _late(range(ms(_at(22)) + 14_000, ms(_at(26)), 15_000), {"job": "svc"}, by_ms=4_000)
    prompt = ENGINE.series(range(ms(_at(22)), ms(_at(26)), 15_000), {})
    tables = _tables([*late, *prompt], start=22, stop=26)
    # The process began at nine that day; its last reading is stamped 25:59:59 and is of 4 s later.
    assert _counted(cache, tables) == _prompt(17 * 3600 + 3)


def test_a_pod_and_its_host_are_those_that_dcgm_names(cache: Path) -> None:
    """B18: the engine's own address says nothing of its machine, and its GPUs are the pod's, not all of the node's."""
    gpus = [Gpu("GPU-1"), Gpu("GPU-2"), Gpu("GPU-3", pods=("training-0",))]
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[ENGINE], gpus=gpus)
    built = build_tables(cache, _tables(fleet.series()), ("int_engine_hours", "int_engine_scrapes"))
    (place,) = {(row["host"], row["target"], row["gpu_uuids_json"]) for row in rows_of(built, "int_engine_scrapes")}
    assert place == ("node-1", "llm/vllm-0:8000", '["GPU-1","GPU-2"]')
    serving = {row["gpu_uuid"]: row["serving_milliseconds"] for row in rows_of(built, "int_engine_hours")}
    assert set(serving) == {"GPU-1", "GPU-2"}


@pytest.mark.parametrize("pods", [(), ("vllm-0",)], ids=["requested", "named by dcgm"])
def test_a_label_may_say_anything(cache: Path, pods: tuple[str, ...]) -> None:
    """A quote in one GPU's label ended every build: names are data, and no part of what is written around them."""
    hostile = 'GPU-"],["\\\n\x1b[2J'
    gpus = [Gpu(hostile, pods=pods), Gpu("GPU-2", pods=pods)]
    engine = replace(ENGINE, model_name="\"\\'; drop table x --")
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[engine], gpus=gpus, pods=[Pod(gpus=2)])
    built = build_tables(cache, _tables(fleet.series()), ("int_engine_hours", "int_engine_scrapes"))
    (said,) = {row["gpu_uuids_json"] for row in rows_of(built, "int_engine_scrapes")}
    assert set(json.loads(said)) == {hostile, "GPU-2"}
    assert {row["gpu_uuid"] for row in rows_of(built, "int_engine_hours")} == {hostile, "GPU-2"}


@pytest.mark.parametrize(("pods", "host"), [([Pod()], "node-1"), ([Pod(), Pod(node="node-2", uid="1c6b")], "10.0.0.5")])
def test_where_dcgm_names_no_pods_kube_state_says_on_which_node_an_engine_runs(
    cache: Path, pods: list[Pod], host: str
) -> None:
    """A pod that was made anew elsewhere within the day is on no one node: its engine's own address stands."""
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[ENGINE], gpus=[Gpu(UUID, pods=())], pods=pods)
    built = build_tables(cache, _tables(fleet.series()), ("int_engine_hours", "int_engine_scrapes"))
    assert {row["host"] for row in rows_of(built, "int_engine_scrapes")} == {host}
    assert {row["gpu_uuid"] for row in rows_of(built, "int_engine_hours")} == ({UUID} if host == "node-1" else set())


@settings(max_examples=4, deadline=None)
@given(gpu_count=st.integers(1, 8), asked=st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_an_engine_whose_gpus_nobody_names_has_of_its_node_what_its_pod_asked_for(
    cache: Path, gpu_count: int, asked: list[int]
) -> None:
    """B18: N of a node's M GPUs are N/M of each, no second of one is had twice, and the method says how it is known."""
    engines = [replace(ENGINE, pod=f"vllm-{n}", instance=f"10.0.0.{n}:8000") for n in range(len(asked))]
    pods = [Pod(f"vllm-{n}", uid=f"uid-{n}", gpus=count) for n, count in enumerate(asked)]
    gpus = [Gpu(f"GPU-{n}", pods=()) for n in range(gpu_count)]
    fleet = Fleet(start=_at(10), stop=_at(11), engines=engines, gpus=gpus, pods=pods, every_ms=60_000)
    built = build_tables(cache, _tables(fleet.series()), ("int_engine_hours", "int_engine_scrapes"))
    assert {row["gpu_method"] for row in rows_of(built, "int_engine_scrapes")} == {"requested"}
    had: dict[str, int] = {}
    of_gpu: dict[tuple[str, datetime], int] = {}
    for row in rows_of(built, "int_engine_hours"):
        claimed = sum(row[f"{state}_milliseconds"] for state in ("serving", "loaded_idle", "starting"))
        had[row["target"]] = had.get(row["target"], 0) + claimed
        hour = row["gpu_uuid"], row["usage_hour_at"]
        of_gpu[hour] = of_gpu.get(hour, 0) + claimed
    assert max(of_gpu.values()) <= 3_600_000
    # A pod alone cannot have more than there is; what all asked for beyond that is cut in proportion.
    wanted = [min(count, gpu_count) for count in asked]
    part = min(1, gpu_count / sum(wanted))
    # An hour scraped each minute, less the first scrape's own.
    length = 59 * 60_000
    for number, count in enumerate(wanted):
        assert had[f"llm/vllm-{number}:8000"] == pytest.approx(count * part * length, rel=0.02)


@pytest.mark.parametrize(
    ("pod", "gpu_pods", "method", "shares"),
    [
        (Pod(resource="nvidia_com_mig_1g_10gb"), (), "requested", "[71428,71428]"),
        (Pod(gpus=2), (), "requested", "[1000000,1000000]"),
        (Pod(gpus=2, resource="nvidia_com_gpu_shared"), (), None, None),
        (Pod(gpus=2), ("vllm-0",), "dcgm_pod", None),
    ],
)
def test_a_request_tells_of_gpus_only_where_nobody_names_them(
    cache: Path, pod: Pod, gpu_pods: tuple[str, ...], method: str | None, shares: str | None
) -> None:
    gpus = [Gpu("GPU-1", pods=gpu_pods), Gpu("GPU-2", pods=gpu_pods)]
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[ENGINE], gpus=gpus, pods=[pod], every_ms=60_000)
    built = build_tables(cache, _tables(fleet.series()), ("int_engine_scrapes",))
    (told,) = {(row["gpu_method"], row["gpu_shares_ppm_json"]) for row in rows_of(built, "int_engine_scrapes")}
    assert told == (method, shares)


def test_engines_of_one_pod_share_what_it_asked_for(cache: Path) -> None:
    engines = [replace(ENGINE, instance=f"10.0.0.5:{port}") for port in (8000, 8001)]
    fleet = Fleet(
        start=_at(10), stop=_at(11), engines=engines, gpus=[Gpu(f"GPU-{n}", pods=()) for n in range(4)],
        pods=[Pod(gpus=2)], every_ms=60_000,
    )  # fmt: skip
    built = build_tables(cache, _tables(fleet.series()), ("int_engine_scrapes",))
    assert {row["gpu_shares_ppm_json"] for row in rows_of(built, "int_engine_scrapes")} == {
        "[250000,250000,250000,250000]"
    }


def _sliced(series: Series, instance: str, profile: str | None, pod: str = "vllm-0") -> Series:
    """As dcgm-exporter prints what of a GPU in MIG a pod holds."""
    said = {"GPU_I_ID": instance} | ({} if profile is None else {"GPU_I_PROFILE": profile})
    return [
        (labels | said if labels.get("UUID") and labels.get("exported_pod") == pod else labels, held)
        for labels, held in series
    ]


def _fleet_of(*pods: str, gpus: Sequence[Gpu], engines: Sequence[Engine] = ()) -> Series:
    own = [replace(ENGINE, pod=pod, instance=f"10.0.0.{n}:8000") for n, pod in enumerate(pods)]
    return Fleet(start=_at(10), stop=_at(11), engines=engines or own, gpus=gpus, every_ms=60_000).series()


@settings(max_examples=3, deadline=None)
@given(sizes=st.lists(st.sampled_from([1, 2, 3, 4, 7]), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) <= 7))
def test_an_engine_on_a_mig_slice_has_its_slice_of_the_gpu_and_never_the_whole(cache: Path, sizes: list[int]) -> None:
    """B18: n of seven compute slices are n sevenths of its time, whoever holds the others."""
    pods = [f"vllm-{n}" for n in range(len(sizes))]
    series = _fleet_of(*pods, gpus=[Gpu(UUID, pods=tuple(pods))])
    for number, size in enumerate(sizes):
        series = _sliced(series, str(number), f"{size}g.{size}0gb", pods[number])
    built = build_tables(cache, _tables(series), ("int_engine_hours",))
    had: dict[str, int] = {}
    for row in rows_of(built, "int_engine_hours"):
        claimed = sum(row[f"{state}_milliseconds"] for state in ("serving", "loaded_idle", "starting"))
        had[row["target"]] = had.get(row["target"], 0) + claimed
    # An hour scraped each minute, of each of which a slice's part is a whole number of milliseconds.
    for pod, size in zip(pods, sizes, strict=True):
        assert 0 <= 3_600_000 * size / 7 - had[f"llm/{pod}:8000"] <= 60


@pytest.mark.parametrize(
    ("instances", "shares"),
    [
        ([("3", "1g.10gb")], "[142857]"),
        ([("3", "1g.10gb+me")], "[142857]"),
        ([("3", "1g.6gb")], "[250000]"),
        # Two at one time are had together; of one size that nobody tells nothing is claimed.
        ([("3", "1g.10gb"), ("4", "2g.20gb")], "[428571]"),
        ([("3", "1g.10gb"), ("4", None)], "[0]"),
        ([("3", None)], "[0]"),
        ([("3", "something new")], "[0]"),
        ([], None),
    ],
)
def test_what_dcgm_says_of_a_slice_is_what_its_pod_has(
    cache: Path, instances: list[tuple[str, str | None]], shares: str | None
) -> None:
    """B18: what is unknown of a slice is never taken for the whole GPU, also where the whole is printed beside it."""
    whole = _fleet_of("vllm-0", gpus=[Gpu(UUID)])
    of_slices = [one for name, profile in instances for one in _sliced(whole, name, profile)]
    built = build_tables(cache, _tables([*whole, *(one for one in of_slices if one not in whole)]), (
        "int_engine_hours", "int_engine_scrapes",
    ))  # fmt: skip
    (told,) = {(row["gpu_method"], row["gpu_shares_ppm_json"]) for row in rows_of(built, "int_engine_scrapes")}
    assert told == ("dcgm_pod", shares)
    assert bool(rows_of(built, "int_engine_hours")) == (shares != "[0]")


def test_of_slices_one_after_the_other_a_pod_has_the_largest(cache: Path) -> None:
    """A pod made anew under its name on another slice never held both."""
    series = _fleet_of("vllm-0", gpus=[Gpu(UUID)])

    def during(series: Series, *, first: bool) -> Series:
        return [
            (labels, [one for one in held if (one[0] < ms(_at(10.5))) == first] if labels.get("UUID") else held)
            for labels, held in series
        ]

    both = [*during(_sliced(series, "3", "1g.10gb"), first=True), *during(_sliced(series, "5", "2g.20gb"), first=False)]
    kept = {str(labels): (labels, held) for labels, held in both}
    built = build_tables(cache, _tables([*kept.values()]), ("int_engine_scrapes",))
    assert {row["gpu_shares_ppm_json"] for row in rows_of(built, "int_engine_scrapes")} == {"[285714]"}


def test_engines_of_one_pod_share_its_slice(cache: Path) -> None:
    engines = [replace(ENGINE, instance=f"10.0.0.5:{port}") for port in (8000, 8001)]
    series = _sliced(_fleet_of(gpus=[Gpu(UUID), Gpu("GPU-2")], engines=engines), "1", "3g.40gb")
    built = build_tables(cache, _tables(series), ("int_engine_scrapes",))
    assert {row["gpu_shares_ppm_json"] for row in rows_of(built, "int_engine_scrapes")} == {"[214285,214285]"}


def test_the_labels_of_prometheus_own_example_name_pods_too(cache: Path) -> None:
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[ENGINE], gpus=[Gpu(UUID)])
    renamed = {"namespace": "kubernetes_namespace", "pod": "kubernetes_pod_name"}
    series = [
        ({renamed.get(name, name): text for name, text in labels.items()}, held) for labels, held in fleet.series()
    ]
    (place,) = {
        (row["host"], row["target"])
        for row in rows_of(build_tables(cache, _tables(series), ("int_engine_scrapes",)), "int_engine_scrapes")
    }
    assert place == ("node-1", "llm/vllm-0:8000")


def test_an_address_of_ipv6_is_one_up_to_its_port(cache: Path) -> None:
    """Cut at its first colon, all machines were one host, `[fd00`, and engines of one pod one target."""
    engines = [replace(ENGINE, instance=f"[fd00::5]:{port}") for port in (8000, 8001)]
    alone = replace(ENGINE, pod=None, instance="[fd00::6]:8000")
    gpu = Gpu(UUID, hostname="", instance="[fd00::6]:9400", pods=())
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[*engines, alone], gpus=[gpu])
    built = build_tables(cache, _tables(fleet.series()), ("int_engine_hours", "int_engine_scrapes"))
    places = {(row["host"], row["target"]) for row in rows_of(built, "int_engine_scrapes")}
    assert places == {
        ("[fd00::5]", "llm/vllm-0:8000"), ("[fd00::5]", "llm/vllm-0:8001"), ("[fd00::6]", "[fd00::6]:8000"),
    }  # fmt: skip
    assert {(row["host"], row["gpu_uuid"]) for row in rows_of(built, "int_engine_hours")} == {("[fd00::6]", UUID)}
    named = labels_named({})
    assert gpu_host({"instance": "[fd00::6]:9400"}, named) == "[fd00::6]"
    assert gpu_host({"instance": "node-1:9400"}, named) == "node-1"


def test_without_pods_an_engine_and_an_exporter_at_one_address_are_on_one_host(cache: Path) -> None:
    engine = replace(ENGINE, pod=None, instance="10.0.0.5:8000")
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[engine], gpus=[Gpu(UUID, instance="10.0.0.5:9400", pods=())])
    built = build_tables(cache, _tables(fleet.series()), ("int_engine_hours",))
    assert {(row["host"], row["gpu_uuid"]) for row in rows_of(built, "int_engine_hours")} == {("node-1", UUID)}


def test_a_gpu_that_dcgm_saw_is_observed_for_the_time_between_its_samples_and_no_longer(cache: Path) -> None:
    """B15: an exporter that was away for ten minutes leaves ten minutes unobserved."""
    fleet = Fleet(start=_at(9), stop=_at(12), gpus=[Gpu(UUID)])
    kept: Series = [
        (labels, [one for one in held if not ms(_at(10.5)) < one[0] <= ms(_at(10.5)) + 600_000])
        for labels, held in fleet.series()
    ]
    hours = rows_of(build_tables(cache, _tables(kept), ("int_gpu_hours",)), "int_gpu_hours")
    assert [(row["usage_hour_at"].hour, row["observed_milliseconds"]) for row in hours] == [
        (8, 15_000), (9, 3_600_000), (10, 3_000_000), (11, 3_585_000)
    ]  # fmt: skip


@pytest.mark.parametrize(("util", "profiled", "is_busy"), [("99", "0", True), ("0", "0.4", True), ("0", "0", False)])
def test_profiling_fields_that_stand_still_are_not_idle(cache: Path, util: str, profiled: str, is_busy: bool) -> None:
    """DCGM's profiling fields have read 0 for weeks on a GPU at 99% (dcgm-exporter issue 662). B15."""
    labels = {"UUID": UUID, "Hostname": "node-1", "job": "dcgm", "instance": "10.0.9.1:9400"}
    scrapes = range(ms(_at(10)), ms(_at(11)), 15_000)
    series: Series = [
        ({"__name__": "DCGM_FI_DEV_GPU_UTIL", **labels}, [(one, util) for one in scrapes]),
        ({"__name__": "DCGM_FI_PROF_GR_ENGINE_ACTIVE", **labels}, [(one, profiled) for one in scrapes]),
        ({"__name__": "DCGM_FI_DEV_FB_USED", **labels}, [(one, "100") for one in scrapes]),
    ]
    hours = rows_of(build_tables(cache, _tables(series), ("int_gpu_hours",)), "int_gpu_hours")
    busy = sum(row["busy_milliseconds"] for row in hours)
    assert busy == (sum(row["observed_milliseconds"] for row in hours) if is_busy else 0)


@pytest.mark.parametrize("states_activity", [True, False])
def test_memory_alone_says_neither_busy_nor_idle(cache: Path, states_activity: bool) -> None:
    """B13, B15: a virtual GPU may state its memory and no activity at all: that is unobserved, not a measured 0."""
    labels = {"UUID": UUID, "Hostname": "node-1", "job": "dcgm", "instance": "10.0.9.1:9400"}
    scrapes = range(ms(_at(10)), ms(_at(11)), 15_000)
    series: Series = [({"__name__": "DCGM_FI_DEV_FB_USED", **labels}, [(one, "70000") for one in scrapes])]
    if states_activity:
        series.append(({"__name__": "DCGM_FI_DEV_GPU_UTIL", **labels}, [(one, "0") for one in scrapes]))
    hours = rows_of(build_tables(cache, _tables(series), ("int_gpu_hours",)), "int_gpu_hours")
    assert sum(row["held_milliseconds"] for row in hours) == (3_600_000 if states_activity else 0)
    assert sum(row["observed_milliseconds"] for row in hours) == (3_600_000 if states_activity else 0)


def test_a_mig_gpu_is_busy_while_any_of_its_instances_is_and_is_one_gpu(cache: Path) -> None:
    scrapes = range(ms(_at(10)), ms(_at(11)), 15_000)
    series: Series = [
        (
            {"__name__": "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "UUID": UUID, "Hostname": "node-1", "GPU_I_ID": part},
            [(one, active if one < ms(_at(10.5)) else "0") for one in scrapes],
        )
        for part, active in (("1", "0"), ("2", "0.9"))
    ]
    hours = rows_of(build_tables(cache, _tables(series), ("int_gpu_hours",)), "int_gpu_hours")
    seen = [(row["usage_hour_at"].hour, row["observed_milliseconds"], row["busy_milliseconds"]) for row in hours]
    assert seen == [(9, 15_000, 15_000), (10, 3_585_000, 1_785_000)]


# --- one book --------------------------------------------------------------------------------------------------------


def _agent(**fields: Any) -> list[Row]:
    """An agent's scrapes of ENGINE's process from 10:00 to 11:00, every minute."""
    began = at(9) + timedelta(milliseconds=280)
    return [
        scrape(
            at(10 + minute / 60), 60_000, ENGINE.prompt_tokens(ms(_at(10 + minute / 60))),
            ENGINE.prompt_tokens(ms(_at(10 + minute / 60))) // 2,
            **{"process_started_at": began, "host": "gpu-host-1", "prompt_tokens_cached": None, **fields},
        )
        for minute in range(61)
    ]  # fmt: skip


def test_a_process_that_an_agent_reads_is_counted_by_the_agent_alone(cache: Path) -> None:
    """The two name host and target each in their own way: by its beginning they know one process. B1."""
    kept = _tables(Fleet(start=_at(10), stop=_at(11), engines=[ENGINE]).series())
    alone = _counted(cache, {SCRAPES: _agent()})
    assert alone["output"] == 2 * 36_000
    assert _counted(cache, {**kept, SCRAPES: _agent()}) == alone


def test_a_process_that_no_agent_reads_is_counted_beside_one_that_an_agent_reads(cache: Path) -> None:
    other = replace(ENGINE, started=_at(9.5), pod="vllm-1", instance="10.0.0.6:8000")
    kept = _tables(Fleet(start=_at(10), stop=_at(11), engines=[ENGINE, other]).series())
    both = _counted(cache, {**kept, SCRAPES: _agent()})
    alone = _counted(cache, {SCRAPES: _agent()})
    only_kept = _counted(cache, _tables(Fleet(start=_at(10), stop=_at(11), engines=[other]).series()))
    assert both["output"] == alone["output"] + only_kept["output"]


@pytest.mark.parametrize("says_when", ["agent", "prometheus", "neither"])
def test_where_one_does_not_say_when_a_process_began_its_host_tells(cache: Path, says_when: str) -> None:
    engine = replace(ENGINE, has_start=says_when == "prometheus")
    kept = _tables(Fleet(start=_at(10), stop=_at(11), engines=[engine], gpus=[Gpu(UUID)]).series())
    began = at(9) + timedelta(milliseconds=280) if says_when == "agent" else None
    own = _agent(host="node-1", process_started_at=began)
    assert _counted(cache, {ENGINE_SAMPLES: kept[ENGINE_SAMPLES], GPU_PODS: kept[GPU_PODS], SCRAPES: own}) == _counted(
        cache, {SCRAPES: own}
    )


def test_a_gpu_hour_that_an_agent_saw_is_the_agents_and_every_other_is_dcgms(cache: Path) -> None:
    kept = _tables(Fleet(start=_at(9), stop=_at(12), gpus=[Gpu(UUID, util=0)]).series())
    seen = watched(10, 10.5, host="gpu-host-1", util_gpu_pct=50)
    hours = rows_of(build_tables(cache, {**kept, SAMPLES: seen}, ("int_gpu_hours",)), "int_gpu_hours")
    assert [(row["usage_hour_at"].hour, row["host"], row["observed_milliseconds"]) for row in hours] == [
        (10, "gpu-host-1", 1_800_000), (8, "node-1", 15_000), (9, "node-1", 3_600_000), (11, "node-1", 3_585_000)
    ]  # fmt: skip


@pytest.mark.parametrize(("agent_hours", "dcgm_hours"), [((22.95, 24.05), (24.2, 25)), ((24.2, 25), (22.95, 24.02))])
def test_who_saw_a_gpus_first_hour_is_the_same_whether_its_days_came_one_by_one(
    tmp_path: Path, agent_hours: tuple[float, float], dcgm_hours: tuple[float, float]
) -> None:
    """The last sample of a day reaches into the next day's first hour, of which the other observer tells as well."""
    first, last = dcgm_hours
    fleet = Fleet(start=_at(first), stop=_at(last), every_ms=71_000, gpus=[Gpu(UUID)])
    tables = {**_tables(fleet.series(), start=22, stop=26), SAMPLES: watched(*agent_hours, host="gpu-host-1")}
    until = {name: [row for row in rows if row["usage_date"] == DAY] for name, rows in tables.items()}
    targets = ("int_gpu_seen_hours", "int_gpu_sightings_daily")
    daily = build_tables(tmp_path / "daily", tables, targets, before=build_tables(tmp_path / "daily", until, targets))
    anew = build_tables(tmp_path / "anew", tables, targets)
    assert [rows_of(daily, name) for name in targets] == [rows_of(anew, name) for name in targets]
    midnight = [row for row in rows_of(daily, "int_gpu_seen_hours") if row["usage_hour_at"] == at(24)]
    assert [row["host"] for row in midnight] == ["gpu-host-1"]


def test_a_gpu_that_two_servers_keep_is_observed_once(cache: Path) -> None:
    series = Fleet(start=_at(9), stop=_at(12), gpus=[Gpu(UUID)]).series()
    once = _tables(series)
    twice = _joined(once, _tables(series, account="other"))
    assert rows_of(build_tables(cache, twice, ("int_gpu_hours",)), "int_gpu_hours") == rows_of(
        build_tables(cache, once, ("int_gpu_hours",)), "int_gpu_hours"
    )


def test_a_server_that_takes_over_vouches_for_no_instant_twice(cache: Path) -> None:
    """One that comes after seven seconds of the other's interval leaves what neither saw; the way back overlaps."""
    fleet = Fleet(start=_at(9), stop=_at(12), gpus=[Gpu(UUID)], outages=[(ms(_at(10)), ms(_at(10.5)))])
    hours = rows_of(build_tables(cache, _tables(fleet.ha_series()), ("int_gpu_hours",)), "int_gpu_hours")
    observed = {row["usage_hour_at"].hour: row["observed_milliseconds"] for row in hours}
    assert observed == {8: 15_000, 9: 3_593_000, 10: 3_600_000, 11: 3_585_000}


def test_a_server_that_is_a_control_is_never_counted(cache: Path) -> None:
    tables = _tables(Fleet(start=_at(10), stop=_at(11), engines=[ENGINE], gpus=[Gpu(UUID)]).series())
    said = {"source": "prometheus", "account": "main", "dataset": "engines", "issuer": "main", "role": "control"}
    for role, is_counted in (("book", True), ("control", False)):
        config = {"config_sources": [{**said, "role": role}]}
        built = build_tables(cache, {**tables, **config}, ("int_engine_scrapes", "int_gpu_hours"))
        assert bool(rows_of(built, "int_engine_scrapes")) is is_counted
        assert bool(rows_of(built, "int_gpu_hours")) is is_counted


@pytest.mark.parametrize("engine", ["sglang", "tgi", "trtllm", "llamacpp"])
def test_tokens_of_every_engine_come_through_as_an_agents_would(cache: Path, engine: str) -> None:
    """An hour of scrapes, kept by two servers: what the last counter is above the first, once. B15."""
    bodies = [
        (_at(10) + timedelta(minutes=minute), engine_body(engine, prompt=1_000 * minute, output=570 * minute))
        for minute in range(61)
    ]
    own = {"job": "svc", "instance": "10.0.0.5:30000", "namespace": "llm", "pod": "chat-0"}
    series = [one for server in ("a", "b") for one in stored(bodies, **own, prometheus_replica=server)]
    built = build_tables(cache, _tables(series), ("int_engine_tokens_hourly", "int_engine_scrapes"))
    # The last scrape is of the minute before 11:00, which is the first minute of the next object.
    assert _tokens(built) == {"input_uncached": 60_000, "output": 34_200}
    assert {(row["engine"], row["is_valid"]) for row in rows_of(built, "int_engine_scrapes")} == {(engine, True)}
