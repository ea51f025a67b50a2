"""What is in infra/ parses, and every command that the README and the runbook name exists with its options."""

import configparser
import json
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from pipeline.cli import group

ROOT = Path(__file__).parents[1]
INFRA = ROOT / "infra"
_COMMAND = re.compile(r"`(breakeven(?: [^`\n]+)?)`|^\$? ?(breakeven .+)$", re.MULTILINE)


def commands_of(text: str) -> list[str]:
    """Every command in backticks or on a line of its own, without what explains it."""
    found = [quoted or line for quoted, line in _COMMAND.findall(text)]
    return [re.split(r" {2,}|\.\.\.| > ", command)[0].strip() for command in found]


def mistakes_of(command: str) -> list[str]:
    """What click would refuse of a command's words."""
    current: click.Command = group
    words = shlex.split(command)[1:]
    context = click.Context(group)
    while words and isinstance(current, click.Group):
        if words[0].startswith("-"):
            break
        inner = current.get_command(context, words[0])
        if inner is None:
            return [f"{command}: no command {words[0]}"]
        current, words = inner, words[1:]
    known = {name for parameter in current.params for name in parameter.opts} | {"--help", "-h", "--version"}
    return [
        f"{command}: no option {word}" for word in words if word.startswith("-") and word.split("=")[0] not in known
    ]


@pytest.mark.parametrize("document", ["README.md", "infra/RUNBOOK.md", "CONTRIBUTING.md"])
def test_every_command_a_document_names_exists_with_its_options(document):
    commands = commands_of((ROOT / document).read_text())
    assert [mistake for command in commands for mistake in mistakes_of(command)] == []
    if document != "CONTRIBUTING.md":
        assert len(commands) > 5


def test_a_command_that_does_not_exist_is_noticed():
    text = "Then `breakeven runn --project X`, `breakeven run --tomorrow`:\n$ breakeven status  what is so\n"
    commands = commands_of(text)
    assert commands == ["breakeven runn --project X", "breakeven run --tomorrow", "breakeven status"]
    assert len([mistake for command in commands for mistake in mistakes_of(command)]) == 2


def test_the_runbook_says_what_to_do_for_every_law_and_every_command():
    text = (INFRA / "RUNBOOK.md").read_text()
    laws = {path.stem for path in (ROOT / "sql" / "checks").glob("*.sql")}
    assert {law for law in laws if f"`{law}`" not in text} == set()
    assert set(re.findall(r"^\| `((?:api|cloud|conversion|day|gpu|owner)_[a-z_]+)` \|", text, re.MULTILINE)) == laws


@pytest.mark.parametrize("path", sorted(INFRA.rglob("*.y*ml")), ids=lambda path: path.name)
def test_every_yaml_file_parses_into_named_things(path):
    documents = [document for document in yaml.safe_load_all(path.read_text()) if document is not None]
    assert documents
    if path.parent.name == "k8s":
        assert all({"apiVersion", "kind", "metadata"} <= set(document) for document in documents)


@pytest.mark.parametrize("path", sorted(INFRA.rglob("*.json")), ids=lambda path: path.name)
def test_every_json_file_parses(path):
    assert json.loads(path.read_text())


def granted_by(path: Path) -> dict[str, set[str]]:
    """Action -> the resources it is granted on."""
    granted: dict[str, set[str]] = {}
    for statement in json.loads(path.read_text())["Statement"]:
        actions, resources = (
            [said] if isinstance(said, str) else said for said in (statement["Action"], statement["Resource"])
        )
        assert not any("*" in action for action in actions)
        assert "*" not in resources
        if statement["Effect"] == "Allow":
            for action in actions:
                granted.setdefault(action, set()).update(resources)
    return granted


def test_whoever_runs_may_read_and_add_and_only_whoever_cleans_up_may_delete():
    policies = {path.stem: granted_by(path) for path in (INFRA / "iam").glob("*.json")}
    cleanup = policies.pop("cleanup")
    for granted in policies.values():
        assert granted.keys() <= {"s3:ListBucket", "s3:GetObject", "s3:PutObject"}
    # Records of landing cannot be deleted by anyone; of its objects, redacting also deletes the versions.
    state = "arn:aws:s3:::example-breakeven/state"
    assert cleanup["s3:DeleteObject"] == {f"{state}/cache/*", f"{state}/snapshots/*"}
    assert cleanup["s3:DeleteObjectVersion"] == {f"{state}/landing/objects/*", f"{state}/cache/parsed/*"}


def test_the_slack_app_has_the_scopes_the_outbox_needs():
    manifest = json.loads((INFRA / "slack" / "manifest.json").read_text())
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == {
        "chat:write",
        "channels:history",
        "groups:history",
        "channels:read",
        "files:write",
    }


def test_nothing_runs_as_root_and_the_ui_is_on_loopback():
    dockerfile = (INFRA / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)[-1] == "10001"
    compose = yaml.safe_load((INFRA / "compose.yaml").read_text())
    assert all(
        port.startswith("127.0.0.1:") for service in compose["services"].values() for port in service.get("ports", ())
    )
    for path in (INFRA / "k8s").glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            template = document.get("spec", {}).get("jobTemplate", document).get("spec", {}).get("template")
            if template is not None:
                assert template["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_units_run_commands_that_exist_as_nobody_in_particular():
    for path in (INFRA / "systemd").glob("*.service"):
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(path)
        command = unit["Service"]["ExecStart"].removeprefix("/opt/breakeven/bin/")
        assert mistakes_of(command) == []
        assert (unit["Service"]["User"], unit["Service"]["NoNewPrivileges"]) == ("breakeven", "true")
    timer = configparser.ConfigParser(strict=False, interpolation=None)
    timer.read(INFRA / "systemd" / "breakeven.timer")
    assert timer["Timer"]["OnCalendar"].endswith("UTC")


def test_the_production_instance_is_one_that_dagster_accepts(tmp_path):
    from dagster._core.instance.config import dagster_instance_config

    (tmp_path / "dagster.yaml").write_text((INFRA / "dagster.yaml").read_text())
    said, _ = dagster_instance_config(str(tmp_path))
    assert said["telemetry"] == {"enabled": False}
