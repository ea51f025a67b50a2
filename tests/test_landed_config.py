"""A landed version of `breakeven.yaml` is read by every later release, whatever that release thinks of it."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.build.config_tables.frames import SCHEMAS, config_frames
from pipeline.build.config_tables.versions import config_left_out, config_versions
from pipeline.config.file import parse_config
from pipeline.config.landed import landed_config
from pipeline.config.money import Overhead
from pipeline.config.whole import Config
from pipeline.errors import ConfigError, LandingError
from pipeline.landing.records import Event, read_record
from pipeline.landing.times import parse_stamp

Said = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "chat", "support-chat", "i-1"])
TEXTS = st.text(max_size=12)
DAYS = st.dates().map(lambda day: day.isoformat())
MONEY = st.decimals(min_value=0, max_value=10**18, places=6).map(lambda amount: format(amount, "f"))
CURRENCIES = st.sampled_from(["USD", "EUR", "JPY"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | DAYS | MONEY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def _mapping(
    required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]
) -> st.SearchStrategy[Said]:
    return st.fixed_dictionaries(required, optional=optional)


SOURCES = _mapping({"source": NAMES, "account": NAMES}, horizon=DAYS, role=st.sampled_from(["book", "control"]))
RESOURCES = _mapping(
    {"issuer": NAMES, "resource_id": NAMES, "gpu_count": st.integers(1, 1024), "from": DAYS},
    contract_rate_per_gpu_hour=MONEY,
    currency=CURRENCIES,
    to=st.none() | DAYS,
    host=NAMES,
)
CAPACITIES = _mapping({"measured_on": DAYS, "source": TEXTS}, peak_allowance=st.sampled_from(["0.5", "1"]))
DEPLOYMENTS = _mapping(
    {"deployment": NAMES, "model": TEXTS, "gpus_per_replica": st.integers(1, 8)},
    hosts=st.lists(NAMES, max_size=2),
    capacity=st.none() | CAPACITIES,
    **{"from": DAYS},
)
RULES = _mapping({}, account=NAMES, model=TEXTS, workspace=st.none() | NAMES, project=st.none() | NAMES)
WORKLOADS = _mapping(
    {"workload": NAMES, "match": st.lists(RULES, min_size=1, max_size=2)}, deployment=NAMES, api_model=TEXTS
)
OVERHEADS = _mapping({"item": TEXTS, "monthly": MONEY}, currency=CURRENCIES, deployment=st.none() | NAMES)
BUDGETS = _mapping(
    {"monthly": MONEY},
    model=st.none() | NAMES,
    currency=st.sampled_from(["USD", "EUR"]),
    to=st.none() | DAYS,
    **{"from": DAYS},
)
ANY_VERSIONS = _mapping(
    {"company": TEXTS},
    reporting_currency=CURRENCIES,
    sources=st.lists(SOURCES, max_size=2),
    gpu_resources=st.lists(RESOURCES, max_size=3),
    deployments=st.lists(DEPLOYMENTS, max_size=2),
    workloads=st.lists(WORKLOADS, max_size=2),
    overheads=st.lists(OVERHEADS, max_size=2),
    budgets=st.lists(BUDGETS, max_size=2),
    alerts=_mapping({}, dwell_days=st.integers(1, 30)),
)


def accepted(said: Said) -> Config | None:
    """The configuration, if a person may write it today."""
    try:
        return parse_config(json.dumps(said))
    except ConfigError:
        return None


def as_landed(config: Config) -> Said:
    return json.loads(json.dumps(config.model_dump(mode="json", by_alias=True)))


VERSIONS = ANY_VERSIONS.map(accepted).filter(lambda config: config is not None).map(as_landed)


def event(said: object, at: str = "2026-10-01T08:00:00Z") -> Event:
    return Event(kind="config", subject="breakeven.yaml", body={"config": said}, at=parse_stamp(at))


def mappings(said: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Said]]:
    """Every mapping of a version, and where it is; keys under `settings`, `teams` and `tags` are a person's own."""
    if isinstance(said, dict):
        yield path, said
        for key, value in said.items():
            if key not in ("settings", "teams", "tags"):
                yield from mappings(value, (*path, key))
    elif isinstance(said, list):
        for number, value in enumerate(said):
            yield from mappings(value, (*path, number))


@given(VERSIONS)
def test_what_is_accepted_today_is_read_as_it_was_said(said: Said) -> None:
    read = landed_config(said)
    assert read.left_out == ()
    assert read.config is not None
    assert as_landed(read.config) == said


@given(VERSIONS, st.data())
def test_keys_that_this_release_has_not_are_ignored(said: Said, data: st.DataObject) -> None:
    """In a rule they are not: without a name that it must match, it would match more than was said."""
    older = deepcopy(said)
    places = [found for path, found in mappings(older) if "match" not in path]
    for place in data.draw(st.lists(st.sampled_from(places), min_size=1)):
        place[data.draw(st.sampled_from(["gone", "renamed", "x-1"]))] = data.draw(JSON)
    read = landed_config(older)
    assert read.left_out == ()
    assert read.config is not None
    assert as_landed(read.config) == said


@given(VERSIONS, st.data())
def test_keys_that_did_not_exist_yet_have_their_defaults(said: Said, data: st.DataObject) -> None:
    older = deepcopy(said)
    for path, place in mappings(older):
        optional = sorted(set(place) - _REQUIRED.get(_kind(path), set()))
        for key in data.draw(st.sets(st.sampled_from(optional))) if optional else ():
            del place[key]
    read = landed_config(older)
    assert read.left_out == ()
    assert read.config is not None
    for path, place in mappings(as_landed(read.config)):
        for key, value in place.items():
            stated = _at(older, (*path, key))
            if stated is _ABSENT:
                assert value == _DEFAULTS[_kind(path)][key], (path, key)
            elif not isinstance(value, (dict, list)):
                assert value == stated, (path, key)


_ABSENT = object()
_REQUIRED = {
    "sources": {"source", "account"},
    "gpu_resources": {"issuer", "resource_id", "gpu_count", "from"},
    "deployments": {"deployment", "model", "gpus_per_replica"},
    "capacity": {"measured_on", "source"},
    "workloads": {"workload", "match"},
    "overheads": {"item", "monthly"},
    # Without what it is of, or until when, it would be another one, which may overlap the next.
    "budgets": {"monthly", "team", "model", "workload", "from", "to"},
}
_WHOLE = as_landed(
    parse_config(
        """
        company: ""
        sources: [{source: s, account: a}]
        gpu_resources: [{issuer: c, resource_id: i, gpu_count: 1, from: 2026-01-01}]
        deployments: [{deployment: d, model: m, gpus_per_replica: 1, capacity: {measured_on: 2026-01-01, source: s}}]
        workloads: [{workload: w, match: [{}]}]
        overheads: [{item: i, monthly: 1}]
        budgets: [{monthly: 1}]
        """
    )
)


def _kind(path: tuple[str | int, ...]) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "")


# What a section says where a person says nothing, by its name. Lists and sections that may be left out whole are empty.
_DEFAULTS = {_kind(path): dict(place) for path, place in mappings(_WHOLE)}
_DEFAULTS[""] |= {name: [] for name, value in _WHOLE.items() if isinstance(value, list)}
_DEFAULTS["deployments"] |= {"capacity": None}


def _at(said: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        if isinstance(said, dict) and part not in said:
            return _ABSENT
        said = said[part]
    return said


@given(VERSIONS, st.data())
def test_no_version_stops_a_build_and_what_is_sound_in_it_stays(said: Said, data: st.DataObject) -> None:
    """B6: one value is replaced by anything. Whatever is lost is said, and no entry but its own is lost."""
    older = deepcopy(said)
    path, place = data.draw(st.sampled_from(list(mappings(older))))
    key = data.draw(st.sampled_from(sorted(place)))
    place[key] = data.draw(JSON)
    events = [event(said), event(older, "2026-11-01T08:00:00Z")]
    frames = config_frames(config_versions(events), [])
    assert {name: dict(frame.schema) for name, frame in frames.items()} == SCHEMAS
    read = landed_config(older)
    if read.config is None:
        assert path == ()
        assert [len(found.reasons) for found in config_left_out(events)] == [1]
        return
    now = as_landed(read.config)
    for section in ("sources", "gpu_resources", "deployments", "workloads", "overheads", "budgets"):
        others = [
            entry
            for number, entry in enumerate(said[section])
            if (section, number) != path[:2] and (section != key or path)
        ]
        lost = [entry for entry in others if entry not in now[section]]
        # An entry beside it is lost only where the replaced value makes the two contradict each other.
        assert not lost or any("twice" in reason or "overlaps" in reason for reason in read.left_out), (section, lost)


@given(JSON)
def test_whatever_was_landed_as_a_configuration_can_be_read_or_is_told(said: object) -> None:
    read = landed_config(said)
    assert read.config is not None or read.left_out
    config_frames(config_versions([event(said)]), [])


def test_a_renamed_key_leaves_out_its_own_entry_and_no_other() -> None:
    older = as_landed(parse_config("company: c\noverheads: [{item: a, monthly: 1}, {item: b, monthly: 2}]\n"))
    older["overheads"][0]["per_month"] = older["overheads"][0].pop("monthly")
    read = landed_config(older)
    assert read.config is not None
    assert [overhead.item for overhead in read.config.overheads] == ["b"]
    assert read.left_out == ("overheads.0.monthly is missing",)


def test_a_number_beyond_todays_bound_leaves_out_its_own_section() -> None:
    """A deployment without its capacity is a deployment; one whose GPUs cannot be counted is none."""
    older = as_landed(
        parse_config(
            "company: c\ndeployments:\n"
            "  - {deployment: d, model: m, gpus_per_replica: 1, capacity: {measured_on: 2026-01-01, source: s}}\n"
            "  - {deployment: e, model: m, gpus_per_replica: 1}\n"
        )
    )
    older["deployments"][0]["capacity"]["peak_allowance"] = "1.2"
    older["deployments"][1]["gpus_per_replica"] = 4096
    read = landed_config(older)
    assert read.config is not None
    assert [(found.deployment, found.capacity) for found in read.config.deployments] == [("d", None)]
    assert [reason.split(":")[0] for reason in read.left_out] == [
        "deployments.0.capacity.peak_allowance is '1.2'",
        "deployments.1.gpus_per_replica is 4096",
    ]


def test_a_name_that_is_spelled_otherwise_today_is_the_name_it_was() -> None:
    older = as_landed(parse_config("company: c\noverheads: [{item: a, monthly: 1}]\n"))
    older["overheads"][0] |= {"currency": "usd", "deployment": "chat, first try " + "x" * 80}
    read = landed_config(older)
    assert (read.config and read.config.overheads[0]) == Overhead.model_construct(
        item="a", monthly=1, currency="usd", deployment="chat, first try " + "x" * 80
    )
    assert read.left_out == ()


def test_a_currency_that_cannot_be_read_is_no_dollar() -> None:
    """B23: the entry is left out; another value in its place would be another statement."""
    older = as_landed(parse_config("company: c\noverheads: [{item: a, monthly: 1, currency: EUR}]\n"))
    older["overheads"][0]["currency"] = ["EUR"]
    read = landed_config(older)
    assert (read.config and read.config.overheads) == ()
    assert "overheads.0.currency is ['EUR']" in read.left_out[0]


def test_a_rule_with_a_name_that_is_unknown_here_matches_nothing() -> None:
    older = as_landed(parse_config("company: c\nworkloads: [{workload: w, match: [{account: a}, {model: m}]}]\n"))
    older["workloads"][0]["match"][0]["tier"] = "batch"
    older["workloads"][0]["match"][1]["tier"] = None
    read = landed_config(older)
    assert read.config is not None
    assert [rule.model for rule in read.config.workloads[0].match] == ["m"]
    assert read.left_out == ("workloads.0.match.0.tier is unknown to this release",)


@pytest.mark.parametrize(
    ("section", "entries", "kept"),
    [
        ("deployments", [{"deployment": "d", "model": "first"}, {"deployment": "d", "model": "second"}], [0]),
        ("sources", [{"source": "s", "account": "a"}, {"source": "s", "account": "a", "role": "control"}], [0]),
        ("workloads", [{"workload": "w", "team": "first"}, {"workload": "w", "team": "second"}], [0]),
        ("gpu_resources", [{"from": "2026-01-01"}, {"from": "2026-02-01"}], [0]),
        ("gpu_resources", [{"from": "2026-01-01", "to": "2026-01-01"}, {"from": "2026-02-01"}], [1]),
    ],
)
def test_of_two_entries_that_contradict_each_other_the_first_counts(
    section: str, entries: list[Said], kept: list[int]
) -> None:
    """An older release may have let both through; counted both, what they say would count twice."""
    common: Said = {
        "deployments": {"gpus_per_replica": 1},
        "workloads": {"match": [{}]},
        "gpu_resources": {"issuer": "c", "resource_id": "i", "gpu_count": 8},
    }.get(section, {})
    said = {"company": "c", section: [{**common, **entry} for entry in entries]}
    assert accepted(said) is None
    read = landed_config(said)
    assert read.config is not None
    assert len(read.left_out) == 1
    alone = landed_config({"company": "c", section: [said[section][number] for number in kept]})
    assert read.config == alone.config
    assert alone.left_out == ()


def test_a_rule_that_names_a_workspace_and_a_project_matches_nothing() -> None:
    said = {"company": "c", "workloads": [{"workload": "w", "match": [{"workspace": "a", "project": "b"}, {}]}]}
    read = landed_config(said)
    assert read.config is not None
    assert len(read.config.workloads[0].match) == 1
    assert read.config.workloads[0].match[0].sub_account is None


def test_what_points_at_nothing_is_kept() -> None:
    """It has no effect, and its other words do."""
    said = {"company": "c", "workloads": [{"workload": "w", "team": "t", "deployment": "gone", "match": [{}]}]}
    assert accepted(said) is None
    read = landed_config(said)
    assert (read.config and read.config.workloads[0].team, read.left_out) == ("t", ())


def test_a_reason_repeats_no_secret() -> None:
    said = {"company": "c", "sources": [{"source": "s", "account": "a", "key_env": ["NEVER-PRINT-ME"]}]}
    assert "NEVER-PRINT-ME" not in str(landed_config(said))


def test_settings_that_are_no_text_stop_nothing() -> None:
    from pipeline.sources import SOURCES

    said = {"company": "c", "sources": [{"source": "invoice_csv", "account": "a", "settings": {"currency": 5}}]}
    datasets = [dataset for source in SOURCES for dataset in source.datasets]
    (row,) = config_frames(config_versions([event(said)]), datasets)["config_sources"].to_dicts()
    assert row["currency"] is None


def test_a_version_that_cannot_be_read_at_all_says_nothing_of_any_day() -> None:
    """The one before it goes on; where it was the first, nothing is put in the mouth of the days before the next."""
    good = as_landed(parse_config("company: c\noverheads: [{item: a, monthly: 1}]\n"))
    spoken = config_frames(config_versions([event(good), event([], "2026-11-01T08:00:00Z")]), [])["config_overheads"]
    assert spoken["valid_to_date"].to_list() == [None]
    late = config_frames(config_versions([event([]), event(good, "2026-11-01T08:00:00Z")]), [])["config_overheads"]
    assert [str(day) for day in late["valid_from_date"]] == ["2026-11-01"]


@pytest.mark.parametrize("body", [b"[]", b"null", b'"config"', b"[[1, 2]]"])
def test_an_event_whose_body_is_no_mapping_is_listed_and_stops_nothing(body: bytes) -> None:
    record = b'{"format": "breakeven.event/1", "kind": "config", "subject": "x", "at": "2026-11-01T08:00:00Z", "body": '
    with pytest.raises(LandingError, match="misshapen"):
        read_record(record + body + b"}")


def test_a_record_nested_without_end_is_listed_and_stops_nothing() -> None:
    with pytest.raises(LandingError, match="not a landing record"):
        read_record(b"[" * 100_000)
