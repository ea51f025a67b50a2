"""A configuration that cannot be so: a sentence, exit code 2, nothing landed, and what was said before still holds."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import pipeline
from pipeline.cli.run import bring_up_to_date
from pipeline.config.file import parse_config
from pipeline.errors import ConfigError
from pipeline.landing.landing import Contents
from pipeline.landing.project import Project
from pipeline.sources.ingest import land_config
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, NOW, SmallProject, source, three_days

HEAD = "company: acme\n"

CANNOT_BE: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "a typo": (b"company: acme\nsorces: []\n", ("sorces", "Did you mean 'sources'?")),
    "a typo in a source": (
        b"company: acme\nsources:\n  - {source: nvml_spool, acount: fleet}\n",
        ("sources.0.acount", "'fleet'", "Did you mean 'account'?"),
    ),
    "a number where a day belongs": (
        b"company: acme\nsources:\n  - {source: nvml_spool, account: fleet, horizon: 0}\n",
        ("sources.0.horizon", "a date like 2026-10-01"),
    ),
    "a key given twice": (
        b"company: acme\nslack:\n  channel: one\n  channel: two\n",
        ("channel", "given twice", "line 4"),
    ),
    "a rule for a deployment that is not there": (
        b"company: acme\ndeployments: [{deployment: chat, model: m, gpus_per_replica: 1}]\n"
        b"workloads: [{workload: w, match: [{deployment: caht}]}]\n",
        ("workloads.0.match.0.deployment", "'caht'", "Declared: chat"),
    ),
    "a source that is not there": (
        b"company: acme\nsources: [{source: anthropic_cost, account: a}]\n",
        ("anthropic_cost", "No such source", "anthropic_cost_api"),
    ),
    "a date that no calendar has": (
        b"company: acme\nsources: [{source: nvml_spool, account: a, horizon: 2026-13-01}]\n",
        ("month must be in 1..12", "date"),
    ),
    "another encoding": ("company: März\n".encode("latin-1"), ("not UTF-8 at byte 10", "Save it as UTF-8")),
    "a bracket too many": (b"company: acme\nsources: [\n", ("Mend the YAML",)),
    "brackets without end": (b"company: " + b"[" * 3000 + b"]" * 3000, ("nested too deep",)),
    "a key that is a list": (b"company: acme\n? [a, b]\n: c\n", ("line 2", "A key is a single word")),
    "an interval that ends before it starts": (
        b"company: acme\ngpu_resources:\n"
        b"  - {issuer: c, resource_id: i, gpu_count: 1, from: 2026-11-01, to: 2026-10-01}\n",
        ("gpu_resources.0.to", "2026-10-01", "after `from`"),
    ),
    "one server that is two on a day": (
        b"company: acme\ngpu_resources:\n  - {issuer: c, resource_id: i, gpu_count: 1, from: 2026-10-01}\n"
        b"  - {issuer: c, resource_id: i, gpu_count: 8, from: 2026-11-01}\n",
        ("gpu_resources.1", "overlaps the one from 2026-10-01", "Give the earlier one a `to`"),
    ),
    "a rate that no column holds": (
        b'company: acme\noverheads: [{item: a, monthly: "0.1234567890123456789"}]\n',
        ("overheads.0.monthly", "18 decimal places"),
    ),
}


@pytest.fixture
def project(make_project: MakeProject) -> SmallProject:
    made = make_project([source(CONSOLE, "acme")])
    made.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.50"))
    return made


@pytest.mark.parametrize("kind", list(CANNOT_BE))
def test_a_configuration_that_cannot_be_is_named_and_nothing_is_landed(project: SmallProject, kind: str) -> None:
    text, words = CANNOT_BE[kind]
    good = (project.folder / "breakeven.yaml").read_bytes()
    (project.folder / "breakeven.yaml").write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        project.ingest()
    assert ConfigError.exit_code == 2
    for word in words:
        assert word in str(caught.value)
    assert not (project.landing / "deliveries").exists()
    (project.folder / "breakeven.yaml").write_bytes(good)
    assert [one.error for one in project.ingest()] == [None]


ROUTES: dict[str, Callable[[Project], object]] = {
    "breakeven run": lambda project: bring_up_to_date(project, now=NOW),
    "breakeven run --offline": lambda project: bring_up_to_date(project, now=NOW, offline=True),
    "land_config": lambda project: land_config(project, NOW),
}


@pytest.mark.parametrize("route", list(ROUTES))
def test_a_source_that_is_not_there_is_found_before_anything_is_landed(project: SmallProject, route: str) -> None:
    """A version that was landed is history for ever: one that can never be built must not become it."""
    project.configure(sources=[source(CONSOLE, "acme"), source("anthropic_cost", "labs")])
    with pytest.raises(ConfigError, match="No such source"):
        ROUTES[route](project.project)
    assert project.project.landing.contents() == Contents()


def test_no_command_and_no_asset_lands_a_configuration_that_it_did_not_check() -> None:
    package = Path(pipeline.__file__).parent
    unchecked = re.compile(r"\.land_config\(now\)")
    landing = [str(path.relative_to(package)) for path in package.rglob("*.py") if unchecked.search(path.read_text())]
    assert landing == ["sources/ingest.py"]


def test_what_was_said_before_a_typo_holds_until_it_is_mended(project: SmallProject) -> None:
    """B6: a broken file is no new version of the configuration."""
    project.run()
    good = (project.folder / "breakeven.yaml").read_text()
    (project.folder / "breakeven.yaml").write_text(good.replace("company:", "compny:"))
    with pytest.raises(ConfigError, match="Did you mean 'company'"):
        project.ingest(now=NOW + timedelta(hours=1))
    (project.folder / "breakeven.yaml").write_text(good)
    built = project.run(now=NOW + timedelta(hours=2))
    assert built.api_cost("acme") == Decimal("6.50")
    assert len(project.project.landing.events("config")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "sources: [{source: anthropic_cost_api, account: a, key_env: sk-ant-admin01-NEVER-PRINT-ME}]\n",
        "slack: {token_env: xoxb-NEVER-PRINT-ME}\n",
        "slack: {webhook_env: 'https://hooks.example/NEVER-PRINT-ME'}\n",
    ],
)
def test_a_secret_where_its_variables_name_belongs_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="the name of an environment variable, not its value") as caught:
        parse_config(HEAD + text)
    assert "NEVER-PRINT-ME" not in str(caught.value)
    assert "NEVER-PRINT-ME" not in str(caught.value.value)


def test_intervals_that_touch_do_not_overlap() -> None:
    first = "{issuer: c, resource_id: i, gpu_count: 1, from: 2026-10-01, to: 2026-11-01}"
    second = "{issuer: c, resource_id: i, gpu_count: 8, from: 2026-11-01}"
    assert len(parse_config(f"{HEAD}gpu_resources: [{second}, {first}]\n").gpu_resources) == 2
