"""A measured capacity is what a deployment has from the day it was measured, until a later one is said."""

import shutil
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import config_left_out, config_versions
from pipeline.cli import group
from pipeline.config.file import parse_config
from pipeline.landing.project import CAPACITY_EVENT, CONFIG_EVENT, Project
from pipeline.landing.records import Event
from pipeline.landing.times import parse_stamp
from tests.measure.chat_server import Engine, served

MINIMAL = """
company: example
deployments:
  - {deployment: llama, model: m, gpus_per_replica: 1%s}
workloads:
  - {workload: chat, deployment: llama, match: [{account: a}]}
  - {workload: lab, match: [{account: b}], candidate: {gpus_per_replica: 2%s}}
"""


def config(at: str, *, deployment: str = "", candidate: str = "") -> Event:
    said = parse_config(MINIMAL % (deployment, candidate)).model_dump(mode="json", by_alias=True)
    return Event(kind=CONFIG_EVENT, subject="breakeven.yaml", body={"config": said}, at=parse_stamp(f"{at}T08:00:00Z"))


def measured(at: str, rate: str, subject: str = "deployment:llama", **changed: Any) -> Event:
    capacity = {"tokens_per_second": rate, "measured_on": at, "source": f"measured on {at}", **changed}
    return Event(kind=CAPACITY_EVENT, subject=subject, body={"capacity": capacity}, at=parse_stamp(f"{at}T09:00:00Z"))


def deployments(*events: Event) -> list[tuple[Any, ...]]:
    rows = config_frames(config_versions(events), [])["config_deployments"].to_dicts()
    return [(row["tokens_per_second"], row["valid_from_date"], row["valid_to_date"]) for row in rows]


def test_it_holds_from_its_day_and_outlives_an_edit_of_something_else() -> None:
    events = [config("2026-10-01"), measured("2026-10-20", "1500"), config("2026-11-02", candidate=", gpu_hour: 3")]
    assert deployments(*events) == [(None, None, date(2026, 10, 20)), (Decimal(1500), date(2026, 10, 20), None)]


def test_of_a_measured_and_a_declared_one_the_later_counts() -> None:
    def declared(day: str) -> str:
        return f", capacity: {{tokens_per_second: 900, measured_on: {day}, source: own test}}"

    later = [measured("2026-10-20", "1500"), config("2026-10-21", deployment=declared("2026-10-21"))]
    assert deployments(config("2026-10-01"), *later)[-1][0] == 900
    earlier = [measured("2026-10-20", "1500"), config("2026-10-21", deployment=declared("2026-10-19"))]
    assert deployments(config("2026-10-01"), *earlier)[-1][0] == 1500


def test_a_second_measurement_replaces_the_first_and_no_past_moves() -> None:
    events = [config("2026-10-01"), measured("2026-10-20", "1500"), measured("2026-11-01", "1800")]
    assert deployments(*events) == [
        (None, None, date(2026, 10, 20)),
        (Decimal(1500), date(2026, 10, 20), date(2026, 11, 1)),
        (Decimal(1800), date(2026, 11, 1), None),
    ]


def test_a_workload_without_deployment_has_it_as_its_candidates() -> None:
    events = [config("2026-10-01"), measured("2026-10-20", "700", subject="workload:lab")]
    rows = config_frames(config_versions(events), [])["config_candidates"].to_dicts()
    assert [row["tokens_per_second"] for row in rows] == [None, 700]


@pytest.mark.parametrize("changed", [{"tokens_per_second": "-1"}, {"source": None}])
def test_what_cannot_be_read_is_left_out_and_listed(changed: dict[str, Any]) -> None:
    events = [config("2026-10-01"), measured("2026-10-20", "1500", **changed)]
    assert deployments(*events) == [(None, None, None)]
    (left,) = config_left_out(events)
    assert "what was measured of deployment:llama cannot be read" in left.reasons[0]


# --- the command ------------------------------------------------------------------------------------------------------


def breakeven(*words: str) -> Result:
    return CliRunner().invoke(group, ["measure", *words])


@pytest.fixture(scope="module")
def own_demo(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured") / "demo"
    shutil.copytree(demo_folder, folder, ignore=shutil.ignore_patterns("dagster", "published", "reports"))
    return folder


def test_a_dry_run_says_what_it_would_send_and_cost_and_sends_nothing(own_demo: Path) -> None:
    engine = Engine()
    with served(engine) as url:
        found = breakeven(
            "--project", str(own_demo), "--endpoint", url, "--like", "support-chat", "--slo-ttft", "2",
            "--gpu-hour", "3", "--duration", "1200", "--dry-run",
        )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "at most 2,000 requests, 2,000,000 tokens and 1200 s." in found.output
    assert " Its own: " in found.output.replace("\n", " ")
    assert "Assumed: every request as long as the mean" in found.output
    assert "Its busiest hour of 28 days, 2026-" in found.output
    # Two GPUs for a third of an hour.
    assert "It costs at most $2.00." in found.output
    assert engine.asked == []
    assert Project(own_demo).landing.events(CAPACITY_EVENT) == []


def test_what_is_measured_is_landed_and_is_the_deployments_capacity(own_demo: Path) -> None:
    engine = Engine(slots=8, service_seconds=0.02)
    with served(engine) as url:
        found = breakeven(
            "--project", str(own_demo), "--endpoint", url, "--like", "support-chat", "--slo-ttft", "2",
            "--duration", "12", "--max-requests", "60", "--prompt-tokens", "100",
        )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "One replica sustains at least" in found.output
    (event,) = Project(own_demo).landing.events(CAPACITY_EVENT)
    assert event.subject == "deployment:chat-llama"
    assert event.body["workload"] == "support-chat"
    newest = config_versions(Project(own_demo).landing.events())[-1].config
    (deployment,) = [one for one in newest.deployments if one.deployment == "chat-llama"]
    assert deployment.capacity is not None
    assert str(deployment.capacity.tokens_per_second) == event.body["capacity"]["tokens_per_second"]
    assert deployment.capacity.source.startswith("measured on ")
    assert datetime.now(event.at.tzinfo) - event.at < timedelta(minutes=10)


def test_requests_of_a_file_are_replayed_each_as_long_as_one_of_them(own_demo: Path, tmp_path: Path) -> None:
    log = tmp_path / "requests.csv"
    log.write_text("prompt_tokens,completion_tokens\n" + "40,3\n" * 9 + "440,13\n")
    engine = Engine(slots=8, service_seconds=0.02, tokens_per_word=1, longest_tokens=400)
    with served(engine) as url:
        found = breakeven(
            "--project", str(own_demo), "--endpoint", url, "--like", "support-chat", "--slo-ttft", "2",
            "--duration", "12", "--max-requests", "60", "--requests", str(log), "--model", "chat",
        )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "requests of 80 prompt tokens on the mean" in found.output
    assert "Its own: lengths drawn from 10 requests of the file" in found.output
    assert "Its busiest hour asks for at most " in found.output
    lengths = {(len(one["messages"][0]["content"].split()), one["max_tokens"]) for one in engine.asked[2:]}
    # The server takes 400 tokens of both together.
    assert lengths == {(40, 3), (387, 13)}
    event = Project(own_demo).landing.events(CAPACITY_EVENT)[-1]
    assert event.body["spread"] == {"request_count": 10}
    assert event.body["likeness"].startswith("Its own: lengths drawn from 10 requests of the file; ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--like", "nobody", "--slo-ttft", "1"), "No such workload. Declared: support-chat,"),
        (("--like", "support-chat"), "Give --slo-ttft or --slo-tpot"),
        (("--like", "document-search", "--slo-ttft", "1"), "neither a deployment nor a candidate"),
        (("--like", "mail-sorting", "--slo-ttft", "1", "--key-env", "NO_SUCH_KEY"), "NO_SUCH_KEY is empty"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is_sent(
    own_demo: Path, words: tuple[str, ...], said: str
) -> None:
    found = breakeven("--project", str(own_demo), "--endpoint", "http://127.0.0.1:9", *words)
    assert found.exit_code != 0
    assert said in f"{found.output} {found.exception}"
