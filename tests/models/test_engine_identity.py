"""Which readings are of one engine process: by its start; where nobody says that, by its pod's UID and its counters."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.models.gpu_harness import at, build_tables, rows_of
from tests.models.test_prometheus import _counted as counted
from tests.models.test_prometheus import _tables as tables_of
from tests.sources.prometheus_api import ms
from tests.sources.prometheus_fleet import Engine, Fleet, Gpu, Pod, Series

SECOND = timedelta(seconds=1)
# A build of three days takes a second: what fails is not made smaller.
FAST = (Phase.explicit, Phase.generate)


def _at(hour: float) -> datetime:
    return at(hour).replace(tzinfo=UTC)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("identity")


def output(found: dict[str, int]) -> int:
    return found.get("output", 0)


def engine(begins: float, ends: float, **more: object) -> Engine:
    return replace(Engine(started=_at(begins), ended=_at(ends), model_name="llama", has_start=False), **more)  # type: ignore[arg-type]


def last_output(one: Engine, *, start: datetime, stop: datetime, every_s: int) -> int:
    """What its last reading says that it generated."""
    stamps = range(ms(start), ms(stop), every_s * 1000)
    alive = [stamp for stamp in stamps if ms(one.started) <= stamp < ms(one.ended)]
    return one.prompt_tokens(alive[-1]) // 2 if alive else 0


# --- a pod made anew under its old name ------------------------------------------------------------------------------


@settings(max_examples=4, deadline=None, phases=FAST)
@given(
    first_s=st.integers(40, 600),
    gap_s=st.integers(1, 400),
    speeds=st.tuples(st.sampled_from([2, 20, 400]), st.sampled_from([2, 20, 4000])),
    every_s=st.integers(10, 60),
    midnight=st.booleans(),
)
def test_a_pod_made_anew_under_its_name_is_another_replica(
    cache: Path, first_s: int, gap_s: int, speeds: tuple[int, int], every_s: int, midnight: bool
) -> None:
    """A process that says nothing of its start: its counters may stand above the last pod's when first read."""
    begin = _at(23.95 if midnight else 10)
    made_again = begin + (first_s + gap_s) * SECOND
    stop = made_again + timedelta(minutes=8)
    pods = [
        replace(engine(0, 0), started=begin, ended=begin + first_s * SECOND, per_second=speeds[0]),
        replace(engine(0, 0), started=made_again, ended=stop + timedelta(days=1), per_second=speeds[1]),
    ]
    known = [Pod(created=pods[0].started, uid="one"), Pod(created=pods[1].started, uid="two")]
    start = begin - timedelta(minutes=2)
    fleet = Fleet(start=start, stop=stop, engines=pods, every_ms=every_s * 1000)
    kube = _while_there(known, pods, start=start, stop=stop)
    tables = tables_of([*fleet.series(), *kube], start=9, stop=25)
    truth = sum(last_output(one, start=start, stop=stop, every_s=every_s) for one in pods)
    # The last kube-state sample may be missing of a pod that was there for less than its own interval.
    assert output(counted(cache, tables)) == truth


def _while_there(pods: Sequence[Pod], engines: Sequence[Engine], *, start: datetime, stop: datetime) -> Series:
    """kube-state's series of each pod, sampled each 10 s while it was there."""
    found: Series = []
    for pod, one in zip(pods, engines, strict=True):
        stamps = [stamp for stamp in range(ms(start), ms(stop), 10_000) if ms(one.started) <= stamp < ms(one.ended)]
        found += pod.series(stamps, {})
    return found


def test_a_uid_on_the_series_themselves_tells_two_pods_apart(cache: Path) -> None:
    """The second's counters stand above the first's where they are first read: from nobody's zero else."""
    first = replace(engine(10, 10.05), per_second=2)
    second = replace(engine(10.06, 30), per_second=4000)
    stamps = range(ms(_at(9.9)), ms(_at(11)), 15_000)
    series = [*first.series(stamps, {"pod_uid": "one"}), *second.series(stamps, {"pod_uid": "two"})]
    truth = last_output(second, start=_at(9.9), stop=_at(11), every_s=15)
    seen = [stamp for stamp in stamps if ms(first.started) <= stamp < ms(first.ended)]
    watched = (first.prompt_tokens(seen[-1]) - first.prompt_tokens(seen[0])) // 2
    assert output(counted(cache, tables_of(series, start=9, stop=12))) == truth + watched


# --- a UID that appears mid-way --------------------------------------------------------------------------------------


@settings(max_examples=3, deadline=None, phases=FAST)
@given(
    known_from=st.floats(-0.5, 0.5),
    has_uid_label=st.booleans(),
    has_created=st.booleans(),
    dcgm_from=st.floats(-0.5, 0.5),
    every_s=st.integers(15, 90),
)
def test_a_uid_or_a_host_that_appears_mid_way_never_splits_one_process(
    cache: Path, known_from: float, has_uid_label: bool, has_created: bool, dcgm_from: float, every_s: int
) -> None:
    """One process from long before one midnight until after it: as many tokens as without any of them."""
    one = replace(engine(-40, 60), quiet_until=_at(22))
    start, stop = _at(23), _at(25)
    every = every_s * 1000
    plain = Fleet(start=start, stop=stop, engines=[one], every_ms=every).series()
    edge = ms(_at(24 + known_from))
    if has_uid_label:
        stamps = range(ms(start), ms(stop), every)
        engines = [
            *one.series([stamp for stamp in stamps if stamp < edge], {}),
            *one.series([stamp for stamp in stamps if stamp >= edge], {"pod_uid": "one"}),
        ]
    else:
        engines = plain
    kube = Pod(uid="one", created=one.started if has_created else None).series(range(edge, ms(stop), 30_000), {})
    dcgm = Gpu("GPU-1").series(range(ms(_at(24 + dcgm_from)), ms(stop), 30_000), {})
    bare = output(counted(cache, tables_of(plain, start=23, stop=25)))
    stamps_seen = range(ms(start), ms(stop), every)
    assert bare == (one.prompt_tokens(stamps_seen[-1]) - one.prompt_tokens(stamps_seen[0])) // 2
    assert output(counted(cache, tables_of([*engines, *kube, *dcgm], start=23, stop=25))) == bare


def test_two_pods_of_a_name_of_which_nobody_says_the_age_have_no_uid(cache: Path) -> None:
    pods = [Pod(uid="one"), Pod(uid="two")]
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[engine(9, 12)], pods=pods)
    built = build_tables(cache, tables_of(fleet.series(), start=10, stop=11), ("int_engine_scrapes",))
    assert {(row["pod_uid"], row["pod_created_at"]) for row in rows_of(built, "int_engine_scrapes")} == {(None, None)}


# --- what made a pod -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owners", "said"),
    [
        ([("ReplicaSet", "chat-7c9d8f6b5")], "chat"),
        ([("StatefulSet", "chat-v2")], "chat-v2"),
        ([("ReplicaSet", "chat-7c9d8f6b5"), ("ReplicaSet", "chat-66b96b4789")], "chat"),
        ([("ReplicaSet", "chat-7c9d8f6b5"), ("Job", "trial")], None),
    ],
)
def test_a_pods_owner_is_its_deployment_or_what_else_made_it_or_unknown(
    cache: Path, owners: list[tuple[str, str]], said: str | None
) -> None:
    pods = [Pod(uid=str(number), owner=owner) for number, owner in enumerate(owners)]
    fleet = Fleet(start=_at(10), stop=_at(11), engines=[engine(9, 12)], pods=pods)
    built = build_tables(cache, tables_of(fleet.series(), start=10, stop=11), ("int_engine_targets_daily",))
    assert {row["pod_owner"] for row in rows_of(built, "int_engine_targets_daily")} == {said}


# --- late readings of a process that does not say when it began ------------------------------------------------------


@settings(max_examples=5, deadline=None, phases=FAST)
@given(
    lives=st.lists(
        st.tuples(st.integers(300, 3_000), st.integers(60, 900), st.sampled_from([1, 20, 500])), min_size=1, max_size=4
    ),
    scrapers=st.lists(
        st.tuples(st.integers(10, 45), st.integers(0, 44_999), st.integers(0, 9_999), st.integers(-2_000, 2_000)),
        min_size=1,
        max_size=3,
    ),
    begins=st.floats(20, 24),
)
def test_no_late_reading_counts_as_a_restart_and_no_restart_is_lost(
    cache: Path,
    lives: list[tuple[int, int, int]],
    scrapers: list[tuple[int, int, int, int]],
    begins: float,
) -> None:
    """An engine that restarts, read by scrapers of their own rhythm, clock and patience. Never more than it served;
    less at most by what each life served in its first and in its last minute and a half, which may be unwatched.
    """
    served, allowed, series = 0, 0, []
    begin = ms(_at(begins)) // 1000
    started = begin + 100
    processes = []
    for length_s, down_s, per_second in lives:
        one = replace(
            engine(0, 0),
            started=datetime.fromtimestamp(started, UTC),
            ended=datetime.fromtimestamp(started + length_s, UTC),
            per_second=per_second,
        )
        processes.append(one)
        served += length_s * per_second // 2
        allowed += (90 + 90) * per_second // 2 + 1
        started += length_s + down_s
    end = started + 100
    for number, (every_s, first_ms, late_ms, skew_ms) in enumerate(scrapers):
        read = range(begin * 1000 + first_ms, end * 1000, every_s * 1000)
        for one in processes:
            # Read at one moment, stamped when the scrape began, by a clock of its own.
            for labels, held in one.series(list(read), {"monitor": str(number)}):
                series.append((labels, [(moment - late_ms + skew_ms, value) for moment, value in held]))
    merged: dict[str, tuple[dict[str, str], list[tuple[int, str | None]]]] = {}
    for labels, held in series:
        merged.setdefault(repr(sorted(labels.items())), (labels, []))[1].extend(held)
    whole: Series = [(labels, sorted(held)) for labels, held in merged.values()]
    tables = tables_of(whole, start=19, stop=29)
    found = output(counted(cache, tables))
    # Of the first life the first reading is where it began to be watched.
    assert served - allowed <= found <= served
