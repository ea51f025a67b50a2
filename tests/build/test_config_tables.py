"""Since when something is so: the fold of every configuration and amendment into dated rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import config_left_out, config_versions
from pipeline.config.gpus import GpuResource
from pipeline.config.whole import Config
from pipeline.landing.project import AMEND_EVENT, CONFIG_EVENT
from pipeline.landing.records import Event

Rows = list[dict[str, Any]]
Table = dict[tuple[str, ...], tuple[Any, ...]]

FIRST = date(2026, 10, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(12)]


def at(day: date, hour: int = 8) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def config(**sections: Any) -> dict[str, Any]:
    return Config.model_validate({"company": "c", **sections}).model_dump(mode="json", by_alias=True)


def edit(day: date, hour: int = 8, **sections: Any) -> Event:
    return Event(CONFIG_EVENT, "breakeven.yaml", {"config": config(**sections)}, at(day, hour))


def amend(day: date, since: date | str, hour: int = 9) -> Event:
    return Event(AMEND_EVENT, "breakeven.yaml", {"from": str(since), "why": None, "by": "somebody"}, at(day, hour))


def rows(events: Iterable[Event], table: str) -> Rows:
    return config_frames(config_versions(events), [])[table].to_dicts()


def on(day: date, found: Rows) -> Rows:
    """What a table says of a day."""
    return [
        {name: value for name, value in row.items() if not name.startswith("valid_")}
        for row in found
        if (row["valid_from_date"] or date.min) <= day < (row["valid_to_date"] or date.max)
    ]


def rates(events: Iterable[Event], *days: date) -> list[list[str]]:
    """The agreed rates of each day."""
    found = rows(events, "config_gpu_resources")
    return [[f"{row['contract_rate_per_gpu_hour']:.1f}" for row in on(day, found)] for day in days]


def server(rate: str = "2.0", since: date = FIRST, until: date | None = None, name: str = "i-1") -> dict[str, Any]:
    return {
        "issuer": "cloud",
        "resource_id": name,
        "gpu_count": 8,
        "contract_rate_per_gpu_hour": rate,
        "from": since,
        "to": until,
    }


# --- edits -----------------------------------------------------------------------------------------------------------


def test_a_price_changed_in_its_place_prices_no_past_and_is_never_there_twice() -> None:
    """B6, B12: its `from` is old, the edit is not."""
    said = [edit(DAYS[0], gpu_resources=[server("2.0")]), edit(DAYS[5], gpu_resources=[server("3.0")])]
    assert rates(said, *DAYS[3:7]) == [["2.0"], ["2.0"], ["3.0"], ["3.0"]]


def test_a_price_that_says_since_when_it_is_so_holds_since_then() -> None:
    """B12: the two intervals meet; neither is counted beside what was said of the whole time before."""
    split = [server("2.0", until=DAYS[3]), server("3.0", since=DAYS[3])]
    said = [edit(DAYS[0], gpu_resources=[server("2.0")]), edit(DAYS[5], gpu_resources=split)]
    assert rates(said, *DAYS[1:7]) == [["2.0"], ["2.0"], ["3.0"], ["3.0"], ["3.0"], ["3.0"]]
    assert len(rows(said, "config_gpu_resources")) == 2


def test_a_server_that_is_given_back_is_there_until_then_and_once() -> None:
    """B12: the most ordinary edit of all: an end, said late."""
    said = [edit(DAYS[0], gpu_resources=[server()]), edit(DAYS[5], gpu_resources=[server(until=DAYS[3])])]
    assert rates(said, *DAYS[1:7]) == [["2.0"], ["2.0"], [], [], [], []]


def test_a_server_declared_late_is_there_since_its_from() -> None:
    said = [edit(DAYS[0]), edit(DAYS[5], gpu_resources=[server(since=DAYS[2])])]
    assert rates(said, *DAYS[1:4]) == [[], ["2.0"], ["2.0"]]


def test_a_server_taken_out_of_the_file_was_there_until_that_day() -> None:
    said = [edit(DAYS[0], gpu_resources=[server()]), edit(DAYS[5])]
    assert rates(said, *DAYS[3:7]) == [["2.0"], ["2.0"], [], []]


def test_a_host_added_to_a_deployment_serves_it_from_that_day() -> None:
    """The deployment's `from` says since when there is one, not since when it has this host."""

    def serving(*hosts: str) -> dict[str, Any]:
        return {"deployment": "chat", "model": "m", "gpus_per_replica": 1, "hosts": hosts, "from": FIRST}

    said = [edit(DAYS[0], deployments=[serving("a")]), edit(DAYS[5], deployments=[serving("a", "b")])]
    found = rows(said, "config_deployment_hosts")
    assert [sorted(row["host"] for row in on(day, found)) for day in DAYS[4:6]] == [["a"], ["a", "b"]]


def test_a_deployment_that_comes_with_its_from_has_its_hosts_since_then() -> None:
    late = {"deployment": "chat", "model": "m", "gpus_per_replica": 1, "hosts": ["a"], "from": DAYS[2]}
    said = [edit(DAYS[0]), edit(DAYS[5], deployments=[late])]
    assert [len(on(day, rows(said, "config_deployment_hosts"))) for day in DAYS[1:4]] == [0, 1, 1]


# --- amendments ------------------------------------------------------------------------------------------------------

BEFORE = edit(DAYS[0], gpu_resources=[server("2.0")], overheads=[{"item": "rack", "monthly": "100"}])
AFTER = edit(DAYS[6], gpu_resources=[server("3.0")], overheads=[{"item": "rack", "monthly": "250"}])


def overheads(events: Iterable[Event], *days: date) -> list[int]:
    found = rows(events, "config_overheads")
    return [int(sum((row["monthly_cost"] for row in on(day, found)), start=Decimal(0))) for day in days]


def test_an_amendment_says_of_every_day_since_then_what_the_file_says_now() -> None:
    said = [BEFORE, AFTER, amend(DAYS[8], DAYS[3])]
    assert rates(said, *DAYS[2:5]) == [["2.0"], ["3.0"], ["3.0"]]
    assert overheads(said, *DAYS[2:5]) == [100, 250, 250]
    assert len(rows(said, "config_overheads")) == 2


def test_without_the_amendment_the_past_is_what_it_was() -> None:
    """Law 9, and what `--as-of` a moment before it sees."""
    events = [BEFORE, AFTER, amend(DAYS[8], DAYS[3])]
    assert rows([event for event in events if event.at < at(DAYS[8])], "config_overheads") == rows(
        [BEFORE, AFTER], "config_overheads"
    )


def test_an_edit_after_an_amendment_holds_from_its_own_day() -> None:
    last = edit(DAYS[10], gpu_resources=[server("4.0")], overheads=[{"item": "rack", "monthly": "300"}])
    said = [BEFORE, AFTER, amend(DAYS[8], DAYS[3]), last]
    assert rates(said, DAYS[2], DAYS[3], DAYS[9], DAYS[10]) == [["2.0"], ["3.0"], ["3.0"], ["4.0"]]
    assert overheads(said, DAYS[2], DAYS[3], DAYS[9], DAYS[10]) == [100, 250, 250, 300]


@pytest.mark.parametrize(("first", "second"), [(3, 5), (5, 3)])
def test_of_two_amendments_the_later_said_holds_for_its_days(first: int, second: int) -> None:
    again = edit(DAYS[9], gpu_resources=[server("4.0")], overheads=[{"item": "rack", "monthly": "300"}])
    said = [BEFORE, AFTER, amend(DAYS[8], DAYS[first]), again, amend(DAYS[9], DAYS[second])]
    expected = [100, 100, 100, *([250, 250, 300] if first == 3 else [300, 300, 300])]
    assert overheads(said, *DAYS[:6]) == expected


def test_an_amendment_from_before_the_first_version_leaves_the_days_before_it_to_the_first() -> None:
    """The first version speaks of all days, since nothing else does."""
    long_ago = date(2020, 1, 1)
    said = [BEFORE, AFTER, amend(DAYS[8], long_ago)]
    assert overheads(said, long_ago - timedelta(days=1), long_ago, DAYS[0]) == [100, 250, 250]


def test_an_amendment_of_days_to_come_says_what_the_edit_said() -> None:
    """The command refuses it; an event that says so all the same moves nothing, also not under a later edit."""
    last = edit(DAYS[9], overheads=[{"item": "rack", "monthly": "300"}])
    said = [BEFORE, AFTER, amend(DAYS[7], DAYS[11])]
    assert rows(said, "config_overheads") == rows([BEFORE, AFTER], "config_overheads")
    assert overheads([*said, last], *DAYS[8:]) == [250, 300, 300, 300]


def test_an_amendment_of_the_moment_of_its_edit_is_of_that_edit() -> None:
    """`amend --yes` lands both at once; which of two keys sorts first says nothing."""
    amendment = amend(DAYS[6], DAYS[3], hour=8)
    assert overheads([BEFORE, amendment, AFTER], *DAYS[2:4]) == [100, 250]


def test_an_amendment_that_nothing_can_be_read_of_is_told_and_moves_nothing() -> None:
    for broken in (amend(DAYS[8], "soon"), Event(AMEND_EVENT, "breakeven.yaml", {}, at(DAYS[8]))):
        assert overheads([BEFORE, AFTER, broken], *DAYS[5:7]) == [100, 250]
        assert [found.event for found in config_left_out([BEFORE, AFTER, broken])] == [broken]
    unread = Event(CONFIG_EVENT, "breakeven.yaml", {"config": []}, at(DAYS[7]))
    said = [BEFORE, AFTER, unread, amend(DAYS[8], DAYS[3])]
    assert overheads(said, *DAYS[5:8]) == [100, 250, 250]
    assert len(config_left_out(said)) == 2


def test_what_cannot_be_read_is_told_until_no_day_is_left_that_it_speaks_of() -> None:
    older = edit(DAYS[4], overheads=[{"item": "rack", "monthly": "200"}])
    older.body["config"]["overheads"].append({"item": "gone", "monthly": "-1"})
    told = config_left_out([BEFORE, older, AFTER])
    assert [(found.event, len(found.reasons)) for found in told] == [(older, 1)]
    assert len(config_left_out([BEFORE, older, AFTER, amend(DAYS[8], DAYS[5])])) == 1
    assert config_left_out([BEFORE, older, AFTER, amend(DAYS[8], DAYS[4])]) == []


# --- laws ------------------------------------------------------------------------------------------------------------

SOME_DAY = st.sampled_from(DAYS)
RATES = st.sampled_from(["1", "2", "3"])


@st.composite
def servers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to two servers, each in up to two intervals that do not overlap."""
    declared = []
    for name in draw(st.sets(st.sampled_from(["i-1", "i-2"]))):
        cuts = draw(st.lists(SOME_DAY, min_size=1, max_size=4, unique=True).map(sorted))
        for start, end in zip(cuts[::2], [*cuts[1::2], None], strict=False):
            declared.append(server(draw(RATES), since=start, until=end, name=name))
    return declared


@st.composite
def deployments(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [
        {
            "deployment": name,
            "model": draw(st.sampled_from(["m", "n"])),
            "gpus_per_replica": 1,
            "hosts": sorted(draw(st.sets(st.sampled_from(["a", "b"])))),
            "from": draw(st.none() | SOME_DAY),
        }
        for name in draw(st.sets(st.sampled_from(["chat", "search"])))
    ]


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Edits and amendments as they land: the first is an edit, several may fall on one day."""
    landed = sorted(draw(st.lists(SOME_DAY, min_size=1, max_size=5)))
    events = []
    for number, day in enumerate(landed):
        if number and draw(st.booleans()):
            events.append(amend(day, draw(SOME_DAY | st.just(date(2026, 1, 1))), hour=number))
        else:
            items = draw(st.sets(st.sampled_from(["rack", "on-call"])))
            sections = {
                "gpu_resources": draw(servers()),
                "deployments": draw(deployments()),
                "overheads": [{"item": item, "monthly": draw(RATES)} for item in sorted(items)],
            }
            events.append(edit(day, hour=number, **sections))
    return events


@dataclass(frozen=True)
class Stated:
    """One entry of one version: whose days it carries, from when to when, and what it says."""

    owner: tuple[str, ...]
    thing: tuple[str, ...]
    start: date | None
    end: date | None
    says: tuple[Any, ...]

    def holds(self, day: date) -> bool:
        return (self.start is None or self.start <= day) and (self.end is None or day < self.end)


def stated_servers(said: Config) -> list[Stated]:
    def one(found: GpuResource) -> Stated:
        name = (found.issuer, found.resource_id)
        return Stated(name, name, found.valid_from, found.valid_to, (found.contract_rate_per_gpu_hour,))

    return [one(found) for found in said.gpu_resources]


def stated_hosts(said: Config) -> list[Stated]:
    return [
        Stated((found.deployment,), (found.deployment, host), found.valid_from, None, ())
        for found in said.deployments
        for host in found.hosts
    ]


def stated_deployments(said: Config) -> list[Stated]:
    return [
        Stated((found.deployment,), (found.deployment,), found.valid_from, None, (found.model,))
        for found in said.deployments
    ]


def stated_overheads(said: Config) -> list[Stated]:
    return [Stated((), (found.item, str(found.monthly)), None, None, ()) for found in said.overheads]


TABLES: dict[str, tuple[Callable[[Config], list[Stated]], Sequence[str], Sequence[str]]] = {
    "config_gpu_resources": (stated_servers, ("issuer", "resource_id"), ("contract_rate_per_gpu_hour",)),
    "config_deployments": (stated_deployments, ("deployment_id",), ("model",)),
    "config_deployment_hosts": (stated_hosts, ("deployment_id", "host"), ()),
    "config_overheads": (stated_overheads, ("item", "monthly_cost"), ()),
}


def days_of_owners(said: Config) -> set[tuple[tuple[str, ...], date | None]]:
    """A host's days are its deployment's, also of one that has no host."""
    found = [*stated_servers(said), *stated_deployments(said)]
    return {(entry.owner, day) for entry in found for day in (entry.start, entry.end)}


def day_by_day(events: Sequence[Event], stated: Callable[[Config], list[Stated]]) -> dict[date, Table]:
    """The same fold, one day at a time: what is said of it, after each event in turn."""
    known: dict[date, Table] = {day: {} for day in DAYS}
    standing, before = Config(company=""), Config(company="")
    for number, event in enumerate(events):
        is_edit = event.kind == CONFIG_EVENT
        if is_edit:
            before, standing = standing, Config.model_validate(event.body["config"])
            since = event.at.date() if number else date.min
        else:
            since = min(date.fromisoformat(event.body["from"]), event.at.date())
        for day in DAYS:
            literal = {entry.thing: entry for entry in stated(standing) if entry.holds(day)}
            if day >= since:
                known[day] = {thing: entry.says for thing, entry in literal.items()}
            elif is_edit:
                known[day] = dated_anew(day, known[day], literal, stated(standing), days_of_owners(before))
        before = standing
    return known


def dated_anew(
    day: date,
    known: Table,
    literal: dict[tuple[str, ...], Stated],
    entries: Sequence[Stated],
    days_before: set[tuple[tuple[str, ...], date | None]],
) -> Table:
    """What an edit says of a day before it landed: only what a `from` or `to` that is new says."""
    table = dict(known)
    for thing in {entry.thing for entry in entries}:
        if thing in literal:
            entry = literal[thing]
            if entry.start is not None and (entry.owner, entry.start) not in days_before:
                table[thing] = entry.says
            continue
        ended = [entry for entry in entries if entry.thing == thing and entry.end is not None and entry.end <= day]
        if ended:
            last = max(ended, key=lambda entry: entry.end or date.max)
            if (last.owner, last.end) not in days_before:
                table.pop(thing, None)
    return table


@pytest.mark.parametrize("table", list(TABLES))
@given(events=histories())
def test_a_table_says_of_each_day_what_was_said_of_it(table: str, events: list[Event]) -> None:
    """Intervals against days: the fold of whole histories is what it is for one day at a time."""
    stated, names, values = TABLES[table]
    found = rows(events, table)
    expected = day_by_day(events, stated)
    for day in DAYS:
        told = on(day, found)
        assert len(told) == len({tuple(str(row[name]) for name in names) for row in told}), "one thing, one row a day"
        plain = {
            tuple(_plain(row[name]) for name in names): tuple(_plain(row[value]) for value in values) for row in told
        }
        assert plain == {
            tuple(_plain(part) for part in thing): tuple(_plain(value) for value in says)
            for thing, says in expected[day].items()
        }


def _plain(value: object) -> str:
    """A decimal by its value: `2` and `2.00` are one rate."""
    try:
        return format(Decimal(str(value)).normalize(), "f")
    except ArithmeticError:
        return str(value)


@given(events=histories(), since=SOME_DAY)
def test_an_amendment_changes_no_day_before_its_own_and_says_the_file_of_every_day_after(
    events: list[Event], since: date
) -> None:
    """Law 9: what it does not name it does not move."""
    amended = [*events, amend(DAYS[-1], since, hour=23)]
    newest = [event for event in events if event.kind == CONFIG_EVENT][-1]
    for table in TABLES:
        before, after, alone = rows(events, table), rows(amended, table), rows([newest], table)
        for day in DAYS:
            expected = on(day, before) if day < since else on(day, alone)
            assert sorted(on(day, after), key=repr) == sorted(expected, key=repr), (table, day)


@given(events=histories())
def test_today_is_what_the_file_says(events: list[Event]) -> None:
    """Whatever was amended or edited before: from its own day on the last version speaks alone."""
    newest = [event for event in events if event.kind == CONFIG_EVENT][-1]
    for table in TABLES:
        found, alone = rows(events, table), rows([newest], table)
        for day in [day for day in DAYS if day >= events[-1].at.date()]:
            assert sorted(on(day, found), key=repr) == sorted(on(day, alone), key=repr)


@given(events=histories())
def test_neighbours_that_say_the_same_are_one_row(events: list[Event]) -> None:
    for table in TABLES:
        ends = {
            (repr({**row, "valid_from_date": None, "valid_to_date": None}), row["valid_to_date"])
            for row in rows(events, table)
        }
        for row in rows(events, table):
            told = repr({**row, "valid_from_date": None, "valid_to_date": None})
            assert row["valid_from_date"] is None or (told, row["valid_from_date"]) not in ends
