"""A company with a Prometheus and an invoice, and no agent: what a million tokens cost, what was wasted, and why."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pipeline.cli import run
from pipeline.decisions.graph import shipped_graph
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from pipeline.explain.gpu_costs import WasteFigure, explain_waste
from pipeline.explain.tokens import explain_tokens
from pipeline.measure.likeness import likeness
from pipeline.paths import models_root
from pipeline.reports.questions import Questions
from pipeline.sources import prometheus
from tests.pipeline.small_project import INVOICE, NOW, Answers, SmallProject, invoice_csv, source
from tests.sources.admin_api import Answer, serving
from tests.sources.prometheus_api import TOKEN, PrometheusApi, ms
from tests.sources.prometheus_fleet import Engine, Fleet, Gpu
from tests.sources.test_prometheus_lengths import lengths

START = datetime(2026, 11, 2, tzinfo=UTC)
STOP = START + timedelta(days=2)
DAY = date(2026, 11, 2)
# The engine holds one of the node's two GPUs and serves until noon of the second day; nothing holds the other.
ENGINE = Engine(
    started=START - timedelta(hours=1), ended=STOP + timedelta(days=9), quiet_from=START + timedelta(hours=36)
)
GPUS = (
    Gpu("GPU-aaaaaaaa-0000-0000-0000-000000000001", util=lambda at: 90 if at <= ms(START) + 36 * 3_600_000 else 0),
    Gpu("GPU-aaaaaaaa-0000-0000-0000-000000000002", util=0, memory_mib=3, pods=()),
)
# A minute before the first day begins the server was there already; it is still there an hour after the last.
FLEET = Fleet(
    start=START - timedelta(minutes=30), stop=STOP + timedelta(hours=1), engines=[ENGINE], gpus=GPUS, every_ms=300_000
)
SECTIONS = {
    "gpu_resources": [
        {"issuer": "gpucloud", "resource_id": "server-1", "host": "node-1", "gpu_count": 2, "from": "2026-09-01"}
    ],
    "deployments": [{"deployment": "chat", "model": "m", "served_names": ["m"], "gpus_per_replica": 1}],
}
PROMETHEUS = {"source": "prometheus", "account": "main", "key_env": "PROM_TOKEN", "settings": {"tenant": "ml"}}


def _project(folder: Path, api: PrometheusApi, **warm: Path) -> SmallProject:
    sources = [source(INVOICE, "gpucloud"), {**PROMETHEUS, "base_url": api.url}]
    project = SmallProject(folder, sources, SECTIONS, **warm)
    bill = invoice_csv(
        [("GPU server", "server-1", "192.00")], period=("2026-11-02", "2026-11-04"), total="192.00"
    ).replace(b"server-1,1,", b"server-1,2,")
    project.drop(INVOICE, "gpucloud", "invoice.csv", bill)
    return project


def _ingested(project: SmallProject, *, hours: int = 12) -> list[int]:
    """`hours`: of a window. Few objects are read sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prometheus, "_HOUR", timedelta(hours=hours))
        ingested = project.ingest(environment={"PROM_TOKEN": TOKEN})
    assert [one.error for one in ingested] == [None, None]
    return [len(one.deliveries) for one in ingested]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> SmallProject:
    with serving(PrometheusApi(series=FLEET.series(), token=TOKEN, tenant="ml")) as api:
        made = _project(tmp_path_factory.mktemp("prometheus") / "one", api, warm_cache=warm_cache)
        assert _ingested(made)[1] > 0
    return made


@pytest.fixture(scope="module")
def answers(project: SmallProject) -> Answers:
    return project.build()


@pytest.fixture
def evidence(project: SmallProject, answers: Answers) -> Iterator[Evidence]:
    opened = project.project
    with Evidence(
        answers.result.snapshot,
        landing=opened.landing,
        datasets=shipped_graph().datasets,
        cache=opened.paths.cache,
    ) as evidence:
        yield evidence


def test_a_million_tokens_cost_what_the_invoice_and_the_counters_say(answers: Answers) -> None:
    """48 dollars a day and GPU. The first day serves 86,400 s x 30 tokens; its own GPU's 48 dollars bought them."""
    (row,) = answers.rows(
        "select tokens, full_cost_rc, full_rc_per_mtok from fct_unit_costs_daily "
        f"where usage_date = date '{DAY}' and token_class = 'blended' and lane = 'self_host'"
    )
    assert row["tokens"] == 86_400 * 30
    assert row["full_cost_rc"] == Decimal(48)
    assert row["full_rc_per_mtok"] == pytest.approx(48 / (86_400 * 30 / 1_000_000))


def test_every_gpu_hour_of_the_bill_has_its_state(answers: Answers) -> None:
    found = answers.rows(
        "select usage_date, state, deployment_id, sum(gpu_milliseconds) / 3600000 as hours, "
        "sum(realized_cost) as cost from fct_gpu_costs_daily "
        "where usage_date in (date '2026-11-02', date '2026-11-03') group by all order by all"
    )
    assert [
        (str(row["usage_date"]), row["state"], row["deployment_id"], row["hours"], row["cost"]) for row in found
    ] == [
        ("2026-11-02", "serving", "chat", 24, Decimal(48)),
        ("2026-11-02", "unallocated", None, 24, Decimal(48)),
        ("2026-11-03", "loaded_idle", "chat", 12, Decimal(24)),
        ("2026-11-03", "serving", "chat", 12, Decimal(24)),
        ("2026-11-03", "unallocated", None, 24, Decimal(48)),
    ]


def test_every_law_holds(answers: Answers) -> None:
    laws = [name for name in answers.result.snapshot.nodes if name.startswith("check_")]
    assert {name: found for name in laws if (found := answers.rows(f"select * from {name}"))} == {}


@pytest.mark.parametrize(
    "table",
    ["stg_prometheus__engine_scrapes", "stg_prometheus__gpu_hours", "int_engine_scrapes", "int_gpu_hours"],
)
def test_every_grain_line_is_true(answers: Answers, table: str) -> None:
    layer = "staging" if table.startswith("stg") else "intermediate"
    said = yaml.safe_load((models_root() / layer / f"{table}.yml").read_text())
    rows = answers.rows(f"select * from {table}")
    assert rows
    assert set(rows[0]) == set(said["columns"])
    assert len({tuple(row[column] for column in said["grain"]) for row in rows}) == len(rows)
    for column in set(said["grain"]) - set(said.get("nullable_grain", ())):
        assert all(row[column] is not None for row in rows), column


def test_a_pair_of_servers_and_other_windows_say_the_same(
    tmp_path: Path, project: SmallProject, answers: Answers
) -> None:
    series = FLEET.series()
    pair = [({**labels, "prometheus_replica": name}, samples) for name in ("a", "b") for labels, samples in series]
    with serving(PrometheusApi(series=pair, token=TOKEN, tenant="ml", most_samples=600)) as api:
        other = _project(tmp_path / "two", api, warm_cache=project.cache)
        _ingested(other, hours=6)
    # Which pod holds which GPU is a row a window: how many rows a day has is no figure.
    said = {
        name: rows
        for name, rows in answers.tables().items()
        if name.startswith("fct_") and name != "fct_source_coverage_daily"
    }
    assert {name: rows for name, rows in other.build().tables().items() if name in said} == said


def test_a_second_run_asks_only_for_days_that_may_still_change(tmp_path: Path) -> None:
    with serving(PrometheusApi(series=FLEET.series(), token=TOKEN, tenant="ml")) as api:
        made = _project(tmp_path / "one", api)
        _ingested(made)
        api.asked.clear()
        _ingested(made)
        # 4 and 5 November: the day under way, and the day before it only until it was over for two hours.
        windows = {float(asked["time"]) for path, asked in api.asked if path.endswith("/query")}
    assert min(windows) > (STOP + timedelta(days=0)).timestamp()


IMPORT = """
import os, sys, time
from datetime import datetime
from pathlib import Path
from pipeline.landing.project import Project
from pipeline.sources.ingest import ingest
ingest(Project(Path(sys.argv[1])), now=datetime.fromisoformat(sys.argv[2]), environment=os.environ, sleep=time.sleep)
"""


@dataclass
class Killing(PrometheusApi):
    """Kills who asks, once it is asked for samples of the second day."""

    asker: subprocess.Popen[bytes] | None = None

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        if self.asker is not None and _is_of_samples(path, dict(params), since=START + timedelta(days=1)):
            self.asker.kill()
        return super().answer(path, params, headers)


def _is_of_samples(path: str, asked: Mapping[str, str], *, since: datetime) -> bool:
    return path.endswith("/query") and asked["query"].startswith("{") and float(asked["time"]) >= since.timestamp()


def test_an_import_that_is_killed_has_landed_the_days_before_and_goes_on_there(tmp_path: Path) -> None:
    """B9: each day of each dataset is landed once, and none that was landed is asked for again."""
    with serving(Killing(series=FLEET.series(), token=TOKEN, tenant="ml")) as api:
        made = _project(tmp_path / "one", api)
        command = [sys.executable, "-c", IMPORT, str(made.folder), NOW.isoformat()]
        api.asker = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PROM_TOKEN": TOKEN}
        )
        try:
            assert api.asker.wait(timeout=60) == -signal.SIGKILL
        finally:
            api.asker.kill()
        before = _landed_days(made)
        api.asker, api.asked = None, []
        _ingested(made)
        again = [asked for path, asked in api.asked if _is_of_samples(path, asked, since=START - timedelta(days=1))]
    engines = [asked for asked in again if "vllm" in asked["query"]]
    assert before == [("engines", START - timedelta(days=1)), ("engines", START)]
    assert engines
    assert not [asked for asked in engines if float(asked["time"]) < (START + timedelta(days=1)).timestamp()]
    days = [(name, START + timedelta(days=day)) for name in ("dcgm", "engines") for day in range(-1, 3)]
    assert _landed_days(made) == days


def _landed_days(project: SmallProject) -> list[tuple[str, datetime | None]]:
    landed = project.project.landing.contents().deliveries
    return sorted((one.dataset, one.from_at) for one in landed if one.source == "prometheus")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_import_shows_on_a_terminal_which_day_it_is_at_and_in_a_pipe_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    shown = StringIO()
    monkeypatch.setattr(run, "console", lambda: Console(file=shown, force_terminal=is_terminal, width=100))
    monkeypatch.setattr(prometheus, "_HOUR", timedelta(days=1))
    monkeypatch.setenv("PROM_TOKEN", TOKEN)
    with serving(PrometheusApi(series=FLEET.series(), token=TOKEN, tenant="ml")) as api:
        brought = run.ingest_with_progress(_project(tmp_path / "one", api).project, now=STOP + timedelta(hours=1))
    assert [len(one.deliveries) for one in brought] == [1, 8]
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    bars = re.findall(r"prometheus/main (engines|dcgm), days \S+ (\d+)/(\d+)", plain)
    assert bars[-1:] == ([("dcgm", "4", "4")] if is_terminal else [])
    assert shown.getvalue() == "" or is_terminal


def _disagreeing(explanation: Explanation) -> list[Any]:
    return [found for found in explanation.equalities if not found.holds]


def test_the_tokens_are_explained_back_to_the_answers_of_the_server(evidence: Evidence) -> None:
    explanation = explain_tokens(evidence, deployment="chat", usage_date=DAY)
    assert _disagreeing(explanation) == []
    (ends,) = [rows for rows in explanation.objects if rows.title.startswith("First and last reading")]
    files = [row[ends.columns.index("file")] for row in ends.rows]
    # The day's first count begins at the last scrape of the evening before; its last is the first after midnight.
    assert files == ["engines-20261102T000000Z.json.gz", "engines-20261103T000000Z.json.gz"]


def test_the_waste_is_explained_back_to_the_samples(evidence: Evidence) -> None:
    figure = WasteFigure(from_date=DAY, to_date=DAY + timedelta(days=2))
    explanation = explain_waste(evidence, figure)
    assert _disagreeing(explanation) == []
    (samples,) = [rows for rows in explanation.objects if rows.title.startswith("Samples that prove")]
    hours = samples.columns.index("hours")
    assert sum(row[hours] for row in samples.rows) >= Fraction(4 * 24)


def test_measure_draws_lengths_and_busiest_minutes_from_the_same_server(
    tmp_path: Path, project: SmallProject, answers: Answers
) -> None:
    """An engine that is scraped every five minutes, and a trial of fifteen."""
    series = lengths(instance="10.0.0.5:8000", ends_at=STOP)
    with (
        serving(PrometheusApi(series=series, token=TOKEN, tenant="ml")) as api,
        Questions(answers.result.snapshot) as asked,
    ):
        like = likeness(
            asked,
            SmallProject(tmp_path, [{**PROMETHEUS, "base_url": api.url}]).project,
            workload="unassigned",
            deployment="chat",
            prompt_tokens=None,
            requests_file=None,
            trial_seconds=900,
            now=STOP,
            environment={"PROM_TOKEN": TOKEN},
        )
    assert like.spread is not None
    assert like.spread.request_count == 20
    assert like.curve is not None
    assert (like.curve.step_seconds, len(like.curve.ratios)) == (300, 3)
    assert "lengths drawn from what its engines counted of 20 requests" in like.words
    assert "the rate of its busiest 900 s" in like.words
