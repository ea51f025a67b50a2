"""What the outbox is given to say: nothing of a workload whose figures a broken law refuses, all of the others."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from pipeline.alerts.manners import week_of
from pipeline.alerts.shadow import ENABLED
from pipeline.assets.alerts import announce
from pipeline.cli import group
from pipeline.cli.events import who
from pipeline.decisions.graph import build_project, current_snapshot
from pipeline.demo import AS_OF
from pipeline.landing.project import Project
from tests.alerts.fake_slack import serving
from tests.alerts.fake_webhook import serving_webhook

# Of workloads; the waste of their own deployments saves less, and is no case beside theirs.
SPEAKING = {"workload:support-chat#1", "workload:internal-search#1"}
OTHERS = {"waste:(no deployment)#1", "waste:triage-llama#1", "overspend:2026-11/model/claude-sonnet-4-6#1"}


def _never(seconds: float) -> None:
    raise AssertionError(f"nothing here waits, least of all {seconds} s")


def announced_with(
    folder: Path,
    *workloads: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    is_enabled: bool = True,
    **sections: Any,
) -> set[str]:
    """The cases said of the demo's company when these workloads are declared too; `more`: said of each of its own."""
    config = folder / "breakeven.yaml"
    said = yaml.safe_load(config.read_text())
    for one in said["workloads"]:
        one.update((more or {}).get(one["workload"], {}))
    said["workloads"] += workloads
    said |= sections
    config.unlink()
    config.write_text(yaml.safe_dump(said))
    project = Project(folder)
    now = AS_OF + timedelta(minutes=5)
    project.land_config(now)
    if is_enabled:
        project.landing.record(kind=ENABLED, subject="alerts", body={"by": "ana"}, now=now)
    snapshot = build_project(project, as_of=now).snapshot
    outcomes = announce(project, snapshot, clock=lambda: now, environment=environment or {}, sleep=_never)
    return {outcome.case_key for outcome in outcomes}


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ({"account": "demo-org", "api_key": "apikey_01DemoSupportMobile"}, {"workload:support-chat#1"}),
        ({"account": "demo-org", "workspace": "wrkspc_01DemoCoding"}, set()),
        ({"deployment": "chat-llama"}, {"workload:support-chat#1"}),
        ({"served_name": "Qwen/Qwen3-32B"}, {"workload:internal-search#1"}),
    ],
    ids=["some API traffic", "API traffic of a silent workload on the same account", "its served tokens", "all of it"],
)
def test_a_workload_that_lost_traffic_to_a_second_claim_is_not_announced_and_the_others_are(
    silent_demo: Path, rule: Mapping[str, str], refused: set[str]
) -> None:
    """B12: what two rules claim is nobody's, so the verdict of either says less than its traffic."""
    shadow = {"workload": "shadow", "deployment": "batch-gemma", "match": [dict(rule)]}
    said = announced_with(silent_demo, shadow)
    assert {key for key in said if key.startswith("workload:")} == SPEAKING - refused


def test_declared_quality_that_turns_a_verdict_holds_its_message_and_the_others_come_with_their_curves(
    silent_demo: Path,
) -> None:
    """What would be announced asks for a move that the workload's own declared quality speaks against."""
    quality = {"support-chat": {"tokens_per_api_token": 10_000}}
    with serving() as slack:
        section = {"channel": "#llm-costs", "api_url": slack.api_url, "posts_per_week": 9}
        environment = {"SLACK_BOT_TOKEN": slack.token}
        said = announced_with(silent_demo, more=quality, environment=environment, slack=section)
    # Without it the waste of its deployment is the one recommendation about these GPUs.
    assert said == SPEAKING - {"workload:support-chat#1"} | OTHERS | {"waste:chat-llama#1"}
    [message] = [one for one in slack.messages if "internal-search" in json.dumps(one["blocks"][0])]
    files = list(slack.files.values())
    load, breakeven = (file for file in files if file["shared"] == ("C0COSTS00", message["ts"]))
    # Waste and a budget are shown too, each in its own thread.
    others = sorted(file["filename"] for file in files if file not in (load, breakeven))
    assert others == ["budget.png", "waste.png", "waste.png", "waste.png"]
    assert len({file["shared"] for file in files}) == 5
    assert all("bought nothing." in file["alt_txt"] for file in files if file["filename"] == "waste.png")
    for file in files:
        # A PNG says its width after sixteen bytes: a phone's and more.
        assert file["content"].startswith(b"\x89PNG")
        assert int.from_bytes(file["content"][16:20], "big") >= 1200
    assert "Self-hosting is cheaper" in breakeven["alt_txt"]


def test_before_it_is_enabled_a_token_posts_nothing_and_afterwards_what_was_kept(silent_demo: Path) -> None:
    config = silent_demo / "breakeven.yaml"
    with serving() as slack, serving_webhook() as hook:
        said = yaml.safe_load(config.read_text()) | {"slack": {"channel": "#llm-costs", "api_url": slack.api_url}}
        said["outlets"] = [
            {"name": "finance", "kind": "webhook", "url_env": "FINANCE_HOOK"},
            {"name": "nobody", "kind": "teams", "url_env": "NOT_SET"},
            {"name": "search", "kind": "webhook", "url_env": "SEARCH_HOOK", "only_teams": ["demo-search"]},
        ]
        config.unlink()
        config.write_text(yaml.safe_dump(said))
        project = Project(silent_demo)
        snapshot = current_snapshot(project)

        def run() -> dict[str, str]:
            environment = {"SLACK_BOT_TOKEN": slack.token, "FINANCE_HOOK": hook.url}
            environment["SEARCH_HOOK"] = f"{hook.url}-of-search"
            outcomes = announce(project, snapshot, clock=lambda: AS_OF, environment=environment, sleep=_never)
            return {outcome.case_key: f"{outcome.result}: {outcome.detail}" for outcome in outcomes}

        kept = "printed: Not enabled (`breakeven alerts enable`): printed and stored, not posted."
        assert run() == dict.fromkeys(SPEAKING | OTHERS, kept)
        assert (slack.requests, hook.requests) == ([], [])
        asked = ["alerts", "enable", "--project", str(silent_demo)]
        seen = CliRunner().invoke(group, asked)
        assert seen.exit_code == 0, seen.output
        assert [row for row in seen.output.splitlines() if "workload:support-chat#1" in row and "$8,207.79" in row]
        assert "5 posts in 2026-08-17 to 2026-11-14 UTC, 0.4 a week" in seen.output
        assert project.landing.events(ENABLED) == []
        assert CliRunner().invoke(group, [*asked, "--yes"]).exit_code == 0
        (enabled,) = project.landing.events(ENABLED)
        assert enabled.body["by"] == who()
        assert {key: text.split(":")[0] for key, text in run().items()} == {
            "workload:support-chat#1": "posted",
            f"digest:#llm-costs#{week_of(AS_OF)}": "posted",
            f"digest:webhook#{week_of(AS_OF)}": "posted",
            "workload:internal-search#1": "posted",
        }
        of_search = f"{urlsplit(hook.url).path}-of-search"
        assert sum(path == of_search for _, path in hook.requests) == 1
        assert [one["case_key"] for one in hook.messages] == [
            "workload:support-chat#1",
            f"digest:webhook#{week_of(AS_OF)}",
            "workload:internal-search#1",
        ]
        (_, digest) = slack.messages
        rest = json.dumps(digest["blocks"])
        assert [key for key in SPEAKING | OTHERS if f"(case {key})" not in rest] == ["workload:support-chat#1"]
        said = [
            CliRunner().invoke(group, ["alerts", *verb, "--project", str(silent_demo)])
            for verb in (["done", "workload:support-chat"], ["ack", "waste:triage-llama#1"], ["list"])
        ]
        assert [one.exit_code for one in said] == [0, 0, 0], said
        assert f"done, says {who()}: its saving is being measured" in said[-1].output
        assert f"acknowledged by {who()}" in said[-1].output
        assert CliRunner().invoke(group, ["alerts", "disable", "--project", str(silent_demo)]).exit_code == 0
        requests = len(slack.requests), len(hook.requests)
        run()
        assert (len(slack.requests), len(hook.requests)) == requests
