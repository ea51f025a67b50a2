"""The daily job in this process: what it materializes, what its checks say, what each morning's metadata reads."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import yaml

from pipeline.alerts.told import PRINTED
from pipeline.assets import landing as landing_assets
from pipeline.assets.markdown import markdown_table
from pipeline.cli.in_process import prepare_dagster_home, run_daily
from pipeline.demo import AS_OF
from pipeline.landing.project import Project
from pipeline.sources.ingest import Ingested, ingest
from tests.assets.conftest import LAST_DAY, checks, data_versions, materialized
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, COST_API, NOW, source, three_days

RESTATED = "claude_api_cost_2026_11_01_to_2026_11_03_exported_2026_11_05.csv"


def test_a_run_over_a_range_materializes_every_day_of_it_and_every_table_once(make_job):
    job = make_job()
    found = materialized(job.run(date(2026, 11, 1), LAST_DAY))
    days = {"2026-11-01", "2026-11-02", "2026-11-03"}
    for name in ("daily/costs", "daily/waste", "daily/verdicts", f"landing/{CONSOLE}__acme"):
        assert set(found[name]) == days
    assert set(found["marts/fct_api_costs_daily"]) == {None}
    assert found["marts/fct_api_costs_daily"][None]["dagster/row_count"] == 3
    assert found["daily/costs"]["2026-11-02"]["api, billed (USD)"] == 2.0
    assert found["daily/costs"]["2026-11-03"]["api, billed (USD)"] == 3.0


def test_data_versions_stay_when_nothing_changed_and_move_with_what_is_restated(make_job):
    job = make_job()
    first = data_versions(job.run())
    again = job.run()
    assert data_versions(again) == first
    assert all(told[None]["partitions rebuilt"] == 0 for name, told in materialized(again).items() if None in told
               and name.startswith("marts/"))  # fmt: skip
    job.project.drop(CONSOLE, "acme", RESTATED, three_days("1.00", "2.00", "4.00"))
    restated = data_versions(job.run(now=NOW + timedelta(hours=1)))
    assert restated["marts/fct_api_costs_daily"] != first["marts/fct_api_costs_daily"]
    assert restated["staging/stg_gpu_bills__lines"] == first["staging/stg_gpu_bills__lines"]


def test_a_selected_table_is_built_alone(make_job):
    found = materialized(make_job().run(select=["marts/fct_api_costs_daily"]))
    assert set(found) == {"marts/fct_api_costs_daily"}


def test_a_source_of_several_datasets_is_one_asset_in_the_lineage_of_what_reads_them(make_job):
    """OpenAI's endpoints are tables each, of one landing asset: named twice, Dagster would refuse the whole job."""
    job = make_job([source("openai_usage_api", "org"), source("openai_dashboard_csv", "org", role="control")])
    told = materialized(job.run(select=["staging/stg_openai__usage_hourly"]))["staging/stg_openai__usage_hourly"][None]
    deps = told["dagster/column_lineage"].deps_by_column["usage_date"]
    assert sorted(dep.asset_key.to_user_string() for dep in deps) == [
        "landing/openai_dashboard_csv__org",
        "landing/openai_usage_api__org",
    ]


def test_a_failed_source_is_a_failed_check_and_the_rest_is_built(make_job, monkeypatch):
    """A source that failed has missing days, never days without cost."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    api = {"source": COST_API, "account": "other", "key_env": "NO_SUCH_KEY", "horizon": "2026-11-01"}
    result = make_job([source(CONSOLE, "acme"), api]).run()
    verdicts = checks(result)
    failed = verdicts[f"landing/{COST_API}__other fetched"]
    assert not failed.passed
    assert "NO_SUCH_KEY" in str(failed.metadata["what is so"].value)
    assert "breakeven run" in str(failed.metadata["what to do"].value)
    assert verdicts[f"landing/{CONSOLE}__acme fetched"].passed
    assert materialized(result)["marts/fct_api_costs_daily"][None]["dagster/row_count"] == 3


def test_what_this_process_has_fetched_is_not_fetched_again(make_job, monkeypatch):
    """Asking an API twice a run costs its limits, and lands every answer twice."""
    project = make_job().project
    project.run()
    monkeypatch.setattr(landing_assets, "ingest", _refuse)
    problems = run_daily(
        project.project,
        first=LAST_DAY,
        last=LAST_DAY,
        now=NOW,
        brought=[Ingested(CONSOLE, "acme", error="told before")],
    )
    assert problems == []
    assert run_daily(project.project, first=LAST_DAY, last=LAST_DAY, now=NOW, brought=()) == []
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(project.project.paths.dagster_home))) as instance:
        landed = instance.fetch_materializations(dg.AssetKey(["landing", f"{CONSOLE}__acme"]), limit=10).records
        built = instance.fetch_materializations(dg.AssetKey(["marts", "fct_api_costs_daily"]), limit=10).records
    assert (len(landed), len(built)) == (1, 2)


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("fetched again")


def test_a_run_holds_one_connection_a_shard_of_the_event_log(make_job, monkeypatch):
    """Half of a run's time was opening SQLite: this is what keeps `breakeven run` within seconds."""
    from pipeline.assets.event_log import HeldSqliteEventLog

    opened: list[str] = []
    really_open = HeldSqliteEventLog._opened
    monkeypatch.setattr(
        HeldSqliteEventLog, "_opened", lambda self, shard: (opened.append(shard), really_open(self, shard))[1]
    )
    project = make_job().project
    project.run()
    run_daily(project.project, first=LAST_DAY, last=LAST_DAY, now=NOW, brought=())
    assert len(opened) == len(set(opened)) == 2


def test_a_day_without_data_says_so_and_shows_no_zero(make_job):
    """What is not known is not nothing: no total of zero is drawn for it (B14)."""
    found = materialized(make_job().run(date(2026, 11, 4), date(2026, 11, 4)))
    costs = found["daily/costs"]["2026-11-04"]
    assert not any("billed" in name for name in costs)
    assert costs["unit costs (USD/Mtok)"] == "Nothing was both paid for and counted on this day."
    assert found["daily/waste"]["2026-11-04"]["in short"] == "No GPU time is known, 4 Nov 2026 UTC."
    assert not {"idle USD", "idle GPU-hours", "unobserved GPU-hours"} & set(found["daily/waste"]["2026-11-04"])


def test_text_from_a_bill_starts_no_column_no_link_and_no_tag():
    hostile = "x|y](http://evil) <b>`z` _a_\n| more |\u202e"
    table = markdown_table(["model", "USD"], [[hostile, "1.00"]], numbers_from=1)
    lines = table.splitlines()
    assert len(lines) == 3
    assert [line.replace("\\|", "").count("|") for line in lines] == [3, 3, 3]
    assert "](" not in lines[2].replace("\\]", "")
    assert "<" not in lines[2].replace("\\<", "")
    assert "\u202e" not in table


def test_a_long_table_says_how_much_it_leaves_out():
    table = markdown_table(["n"], [[number] for number in range(30)])
    assert "and 10 more rows" in table


def test_a_broken_law_fails_in_its_scope_and_the_other_workloads_are_announced(silent_demo):
    """A second book of record for demo-org (B22): what draws on it is refused, and nothing else."""
    config = silent_demo / "breakeven.yaml"
    said = yaml.safe_load(config.read_text())
    said["sources"].append(source(CONSOLE, "demo-org"))
    config.unlink()
    config.write_text(yaml.safe_dump(said))
    inbox = silent_demo / "inbox" / CONSOLE / "demo-org"
    inbox.mkdir(parents=True)
    (inbox / CONSOLE_NAME).write_bytes(three_days("1.00", "2.00", "3.00"))
    project = Project(silent_demo)
    now = AS_OF + timedelta(minutes=5)
    day = AS_OF.date() - timedelta(days=1)
    (brought,) = ingest(project, now=now, environment={}, sleep=_refuse, only=[project.config.sources[-1]])
    problems = run_daily(project, first=day, last=day, now=now, brought=[brought])
    assert "marts/fct_api_costs_daily api_book_of_record: Broken for account:demo-org" in problems
    assert all(problem.endswith("Broken for account:demo-org") for problem in problems)
    announced = {event.subject for event in project.landing.events(PRINTED)}
    assert {subject for subject in announced if subject.startswith("workload:")} == {"workload:internal-search"}
    assert "source:anthropic_console_csv/demo-org" in announced


def test_days_ahead_of_the_wall_clock_can_be_run_for(make_job):
    """The demo speaks for a fixed day, whatever day it is on the machine that shows it."""
    config = make_job().project.project.config
    ahead = datetime.now(UTC) + timedelta(days=400)
    known = landing_assets.daily_partitions(config, now=ahead)
    assert known.has_partition_key(ahead.date().isoformat())
    assert not landing_assets.daily_partitions(config).has_partition_key(ahead.date().isoformat())
