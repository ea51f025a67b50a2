"""`breakeven.yaml`: errors name the key, the value and the fix."""

from datetime import date
from decimal import Decimal

import pytest

from pipeline.build.config_tables.frames import SCHEMAS, config_frames
from pipeline.build.config_tables.versions import config_versions
from pipeline.config.file import parse_config
from pipeline.config.vocabulary import PROVIDERS
from pipeline.decisions import price_book
from pipeline.errors import ConfigError
from pipeline.landing.records import Event
from pipeline.landing.times import parse_stamp

MINIMAL = "company: example\n"


CHAT = (
    MINIMAL
    + "deployments:\n  - {deployment: llama, model: m, gpus_per_replica: 1}\n"
    + ("workloads:\n  - {workload: chat, match: [{account: a}], ")
)


def test_no_section_is_mandatory_but_the_name():
    config = parse_config(MINIMAL)
    assert config.reporting_currency == "USD"
    assert config.sources == ()


def test_a_rate_written_with_a_point_is_exactly_what_was_written():
    """B7."""
    config = parse_config(
        MINIMAL
        + "gpu_resources:\n  - {issuer: cloud, resource_id: i-1, gpu_count: 8, from: 2026-10-01, "
        + "contract_rate_per_gpu_hour: 2.69}\n"
    )
    assert config.gpu_resources[0].contract_rate_per_gpu_hour == Decimal("2.69")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("compny: example\n", ["compny", "Did you mean 'company'?"]),
        (MINIMAL + "workloads:\n  - {workload: chat, mach: []}\n", ["mach", "Did you mean 'match'?"]),
        (MINIMAL + "reporting_currency: dollars\n", ["reporting_currency", "dollars"]),
        (MINIMAL + "company: twice\n", ["company", "given twice", "line 2"]),
        (MINIMAL + "sources: [\n", ["line", "YAML"]),
        ("- a\n- b\n", ["must be a mapping"]),
        (
            MINIMAL + "workloads:\n  - {workload: chat, deployment: nowhere, match: [{account: a}]}\n",
            ["workloads.0.deployment", "nowhere", "No such deployment"],
        ),
        (
            MINIMAL + "workloads:\n  - {workload: chat, pinned_to: api, match: [{account: a}]}\n",
            ["pin_reason", "says why"],
        ),
        (
            MINIMAL + "workloads:\n  - {workload: chat, may_wait_hours: 24, match: [{account: a}]}\n",
            ["workloads.0.may_wait_hours", "24", "name in `deployment` the one"],
        ),
        (
            MINIMAL
            + "deployments:\n  - {deployment: d, model: m, gpus_per_replica: 1, rent: {on_demand_gpu_hour: 2}}\n",
            ["deployments.0.rent", "on demand alone", "reserved_gpu_hour, or warm_up_minutes"],
        ),
        (
            MINIMAL
            + "deployments:\n  - {deployment: d, model: m, gpus_per_replica: 1, "
            + "rent: {on_demand_gpu_hour: 2, reserved_gpu_hour: 1, start_cost: 3}}\n",
            ["deployments.0.rent.start_cost", "3", "warm_up_minutes"],
        ),
        (
            MINIMAL + "workloads:\n  - {workload: chat, may_wait_hours: 1000, match: [{account: a}]}\n",
            ["workloads.0.may_wait_hours", "1000", "168"],
        ),
        (
            MINIMAL + "sources:\n  - {source: nvml_spool, account: a}\n  - {source: nvml_spool, account: a}\n",
            ["nvml_spool/a", "Declared twice"],
        ),
        (
            MINIMAL + "gpu_resources:\n  - {issuer: c, resource_id: i, gpu_count: -8, from: 2026-10-01}\n",
            ["gpu_count", "-8"],
        ),
        (
            MINIMAL
            + "gpu_resources:\n"
            + "  - {issuer: c, resource_id: i, pool: [h2], gpu_count: 8, from: 2026-09-01, to: 2026-10-01}\n"
            + "  - {issuer: c, resource_id: j, pool: [h2], gpu_count: 8, from: 2026-10-01}\n"
            + "  - {issuer: d, resource_id: k, pool: [h3, h2], gpu_count: 8, from: 2026-11-01}\n",
            ["gpu_resources.2.pool", "h2", "pool of j"],
        ),
    ],
)
def test_an_error_names_the_key_the_value_and_the_fix(text, words):
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    for word in words:
        assert word in str(caught.value)


def _event(at: str, text: str) -> Event:
    config = parse_config(text)
    return Event(
        kind="config",
        subject="breakeven.yaml",
        body={"config": config.model_dump(mode="json", by_alias=True)},
        at=parse_stamp(at),
    )


def _deployment(rate: str) -> str:
    return MINIMAL + f"overheads:\n  - {{item: on-call, monthly: {rate}}}\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("deployment: llama, candidate: {gpu: L4}}", ["workloads.0.candidate", "chat", "Keep one of the two"]),
        ("candidate: {active_parameters_billions: 3}}", ["active_parameters_billions", "which is missing"]),
        ("candidate: {parameters_billions: 2, active_parameters_billions: 3}}", ["a part of parameters_billions"]),
        ("candidate: {engineering_hours_per_month: 20}}", ["engineering_hours_per_month", "Say in engineering_hour"]),
        ("candidate: {gpus: 2}}", ["candidate.gpus", "No such key"]),
        ("candidate: {gpu_hour: -1}}", ["gpu_hour"]),
    ],
)
def test_a_candidate_that_cannot_be_is_refused(said, words):
    with pytest.raises(ConfigError) as caught:
        parse_config(CHAT + said)
    for word in words:
        assert word in str(caught.value)


def test_a_sampled_week_is_named_by_its_monday():
    named = parse_config("company: x\ndemand: {sampled_week: 2026-10-12}\n")
    assert named.demand.sampled_week == date(2026, 10, 12)
    with pytest.raises(ConfigError, match="by its Monday: 2026-10-12"):
        parse_config("company: x\ndemand: {sampled_week: 2026-10-15}\n")
    with pytest.raises(ConfigError, match="is or will be sampled"):
        parse_config("company: x\ndemand: {sampled_week: 9999-12-27}\n")


TEAMS = "company: x\nworkloads: [{workload: chat, team: support, match: {account: a}}]\nbudgets:\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{cost_centre: '1', monthly: 9}", ["budgets.0.cost_centre is '1'", "No such cost centre. Declared: none."]),
        ("{team: suport, monthly: 9}", ["budgets.0.team is 'suport'", "No such team. Declared: support."]),
        ("{workload: chats, monthly: 9}", ["budgets.0.workload is 'chats'", "No such workload. Declared: chat."]),
        ("{team: support, model: m, monthly: 9}", ["budgets.0.model is 'm'", "A budget is of one thing"]),
        ("{monthly: -1}", ["budgets.0.monthly"]),
        # In another currency no table could hold it.
        ("{monthly: 100000000000000}", ["budgets.0.monthly", "less than 100000000000000"]),
        ("{team: support}", ["budgets.0.monthly", "required"]),
        ("{monthly: 9, currency: EUX}", ["budgets.0.currency is 'EUX'", "ISO 4217"]),
        ("{monthly: 9}\n  - {monthly: 8, from: 2026-11-01}", ["budgets.1", "organisation from 2026-11-01", "overlaps"]),
        ("{monthly: 9, from: 2026-11-01, to: 2026-11-01}", ["budgets.0.to", "It must be after `from`"]),
        ("{mounthly: 9}", ["Did you mean 'monthly'?"]),
    ],
)
def test_a_budget_that_cannot_be_is_refused(said, words):
    with pytest.raises(ConfigError) as caught:
        parse_config(f"{TEAMS}  - {said}\n")
    for word in words:
        assert word in str(caught.value)


def test_one_owner_has_one_budget_a_month_by_whichever_name():
    said = TEAMS.replace("budgets:\n", "owner_aliases: [{team: support, was: helpdesk}]\nbudgets:\n")
    then, now = "{team: helpdesk, monthly: 9, to: 2026-11-01}", "{team: support, monthly: 8, from: 2026-11-01}"
    assert len(parse_config(f"{said}  - {then}\n  - {now}\n").budgets) == 2
    with pytest.raises(ConfigError, match=r"budgets\.1 is 'team/support from always'\. It overlaps"):
        parse_config(f"{said}  - {{team: helpdesk, monthly: 9}}\n  - {{team: support, monthly: 8}}\n")


def test_budgets_are_dated_and_what_is_of_the_organisation_has_no_name():
    said = "  - {monthly: 100, to: 2026-11-01}\n  - {monthly: 250, from: 2026-11-01}\n  - {team: support, monthly: 9}\n"
    frames = config_frames(config_versions([_event("2026-10-01T08:00:00Z", TEAMS + said)]), [])
    assert [tuple(row.values())[:3] for row in frames["config_budgets"].sort("monthly_cost").to_dicts()] == [
        ("team", "support", Decimal(9)),
        ("organisation", None, Decimal(100)),
        ("organisation", None, Decimal(250)),
    ]
    edited = _event("2026-11-05T08:00:00Z", TEAMS + "  - {team: support, monthly: 12}\n")
    frames = config_frames(config_versions([_event("2026-10-01T08:00:00Z", TEAMS + said), edited]), [])
    team = [row for row in frames["config_budgets"].to_dicts() if row["scope"] == "team"]
    assert [(row["monthly_cost"], str(row["valid_from_date"])) for row in team] == [
        (Decimal(9), "None"),
        (Decimal(12), "2026-11-05"),
    ]


@pytest.mark.parametrize(
    "said",
    ["models: [{model: m, provider: antropic, weights: w}]", "contracts: [{provider: antropic, from: 2026-10-01}]"],
)
def test_a_provider_that_nothing_comes_from_is_refused_with_those_that_are_known(said):
    with pytest.raises(ConfigError, match=r"provider is 'antropic'\. Nothing is billed or priced.*anthropic, cerebras"):
        parse_config(f"company: x\n{said}\n")


def test_the_providers_that_are_known_are_those_with_list_prices():
    assert frozenset(price_book.PROVIDERS) == PROVIDERS


def test_an_undated_edit_applies_from_the_day_it_was_landed_and_history_keeps_the_old_value():
    """B6."""
    versions = config_versions(
        [_event("2026-10-01T08:00:00Z", _deployment("100")), _event("2026-11-05T08:00:00Z", _deployment("250"))]
    )
    rows = config_frames(versions, [])["config_overheads"].sort("monthly_cost").to_dicts()
    assert [(row["monthly_cost"], str(row["valid_from_date"]), str(row["valid_to_date"])) for row in rows] == [
        (Decimal("100"), "None", "2026-11-05"),
        (Decimal("250"), "2026-11-05", "None"),
    ]


def test_an_unchanged_row_is_one_interval_across_versions():
    versions = config_versions(
        [
            _event("2026-10-01T08:00:00Z", _deployment("100")),
            _event("2026-11-05T08:00:00Z", _deployment("100") + "alerts: {dwell_days: 5}\n"),
        ]
    )
    (row,) = config_frames(versions, [])["config_overheads"].to_dicts()
    assert row["valid_to_date"] is None


def test_every_config_table_has_its_declared_schema_even_when_nothing_is_configured():
    frames = config_frames([], [])
    assert {name: dict(frame.schema) for name, frame in frames.items()} == SCHEMAS


def test_a_candidate_is_what_is_known_of_a_deployment_and_the_comparator_is_every_workloads():
    workload = "comparator: claude-haiku-4-5\nworkloads:\n  - {workload: chat, match: [{account: a}], candidate: "
    versions = config_versions(
        [_event("2026-10-01T08:00:00Z", MINIMAL + workload + "{gpu: H100-SXM, gpu_hour: 2.69}}\n")]
    )
    frames = config_frames(versions, [])
    (candidate,) = frames["config_candidates"].to_dicts()
    assert (candidate["gpu_type"], candidate["gpu_hour_rate"], candidate["gpus_per_replica"]) == (
        "H100-SXM",
        Decimal("2.69"),
        None,
    )
    assert frames["config_workloads"]["comparator_model"].to_list() == ["claude-haiku-4-5"]
