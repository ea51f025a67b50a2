"""A report given to others: published once and never over another, mailed once, kept as it was given."""

import hashlib
import json
from dataclasses import replace
from datetime import date, timedelta
from unittest.mock import patch

import dagster as dg
import pytest
from click.testing import CliRunner

from pipeline.assets.resources import AS_OF_TAG
from pipeline.cli import group
from pipeline.definitions import REPORT_JOB, definitions_for
from pipeline.doctor.policy import aws_places, aws_policy
from pipeline.errors import BreakevenError, LandingError
from pipeline.landing.landing import REPORT_EVENT, REPORT_MAILED_EVENT, REPORT_PUBLISHED_EVENT
from pipeline.landing.project import Project
from pipeline.mail import MailError, UncertainMailError
from pipeline.reports import issuing, monthly
from pipeline.reports.issuing import mail_report, publish
from pipeline.reports.monthly import FORMATS, make_reports, report_page
from pipeline.reports.sections.statement import Owned
from tests.fake_smtp import smtp_server
from tests.iam_role import acting_as
from tests.moto_s3 import s3_server

from .fake_snapshot import AS_OF, OCTOBER, config, snapshot_of, tables

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9"/></svg>'
PASSWORD = "correct-horse-battery-staple"
FINANCE = ["finance@example.com"]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    return snapshot_of(tables(), tmp_path_factory.mktemp("snapshot"))


@pytest.fixture(scope="module")
def page(snapshot):
    """Without its charts, which take most of the time."""
    with patch("pipeline.charts.drawing.as_svg", return_value=SVG):
        return report_page(snapshot, config=config(), quarantined=(), first_day=OCTOBER)


@pytest.fixture
def server(tmp_path, monkeypatch):
    with smtp_server(tmp_path) as double:
        double.users["b"] = PASSWORD
        monkeypatch.setenv("SSL_CERT_FILE", str(double.certificate))
        monkeypatch.setenv("SMTP_PASSWORD", PASSWORD)
        yield double


@pytest.fixture
def project(tmp_path, monkeypatch, page, snapshot):
    """A project whose reports are of the page above."""
    (tmp_path / "project").mkdir()
    monkeypatch.setattr(monthly, "page_of", lambda *_, **__: page)
    monkeypatch.setattr("pipeline.cli.report.snapshot_for", lambda *_: snapshot)
    monkeypatch.setattr("pipeline.assets.reports.current_snapshot", lambda *_: snapshot)
    return tmp_path / "project"


def says(folder, server=None, **reports):
    said = {"company": "Acme", "reports": reports}
    if server is not None:
        said["mail"] = {"host": "127.0.0.1", "port": server.port, "from": "breakeven@example.com"}
        said["mail"] |= {"user": "b", "password_env": "SMTP_PASSWORD"}
    (folder / "breakeven.yaml").write_text(json.dumps(said))
    return Project(folder)


def made_of(project, snapshot, *formats):
    return make_reports(project, snapshot, month="2026-10", now=AS_OF, formats=formats)


def mailed(project, made, **said):
    environment = {"SMTP_PASSWORD": PASSWORD}
    return mail_report(project, made, FINANCE, **{"now": AS_OF, "environment": environment, **said})


def events(project, kind):
    return [event.body for event in project.landing.events(kind)]


# Published


def test_every_format_is_published_to_s3_once_with_its_type_and_kept(project, snapshot, monkeypatch):
    with s3_server() as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        bucket = s3.bucket()
        place = f"s3://{bucket}/finance"
        found = says(project, publish=place)
        made = made_of(found, snapshot, *FORMATS)
        with acting_as(aws_policy(aws_places(found.config))) as role:
            address = publish(found, made, place, now=AS_OF)
            written = s3.client().list_objects_v2(Bucket=bucket)["Contents"]
            assert publish(found, made, place, now=AS_OF) == address
        assert role.refused == []
        assert {grant[1] for grant in role.used} >= {"s3:PutObject", "s3:GetObject"}
        assert address == f"{place}/2026-10/{snapshot.snapshot_id}-{snapshot.release}"
        types = {}
        for entry in written:
            head = s3.client().get_object(Bucket=bucket, Key=entry["Key"])
            content = head["Body"].read()
            name = entry["Key"].removeprefix(f"finance/2026-10/{snapshot.snapshot_id}-{snapshot.release}/")
            assert content == made.files()[name]
            assert found.landing.store.find(f"issued/{hashlib.sha256(content).hexdigest()}") == content
            types[name.rpartition(".")[2]] = head["ContentType"]
        assert len(written) == len(made.files())
        assert types == {
            "html": "text/html; charset=utf-8",
            "pdf": "application/pdf",
            "md": "text/markdown; charset=utf-8",
            "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "csv": "text/csv; charset=utf-8",
            "parquet": "application/vnd.apache.parquet",
            "json": "application/json",
        }
        again = s3.client().list_objects_v2(Bucket=bucket)["Contents"]
        assert [one["LastModified"] for one in again] == [one["LastModified"] for one in written]
        assert len(events(found, REPORT_PUBLISHED_EVENT)) == 1
        with pytest.raises(LandingError, match="NoSuchBucket"):
            publish(found, made, "s3://nobodys-bucket-here", now=AS_OF)


def test_what_another_wrote_there_stays_and_is_told(project, snapshot, tmp_path):
    found = says(project)
    made = made_of(found, snapshot, "md", "csv")
    address = publish(found, made, str(tmp_path / "out"), now=AS_OF)
    [page_of_it] = (tmp_path / "out").rglob("2026-10.md")
    page_of_it.write_text("another's")
    with pytest.raises(BreakevenError, match=r"2026-10\.md is another report's: it was left as it is"):
        publish(found, made, str(tmp_path / "out"), now=AS_OF)
    assert page_of_it.read_text() == "another's"
    newer = replace(made, snapshot=replace(snapshot, known_as="f" * 16))
    assert publish(found, newer, str(tmp_path / "out"), now=AS_OF) != address


# Mailed


def test_a_report_is_mailed_once_with_what_a_reader_opens_and_the_text_says_the_headline(project, snapshot, server):
    found = says(project, server)
    made = made_of(found, snapshot, "html", "pdf", "xlsx", "csv", "md")
    assert mailed(found, made, links=["s3://bucket/x"]) == "mailed to finance@example.com"
    assert mailed(found, made).startswith("mailed already on 2026-11-05 06:00 UTC")
    [letter] = server.received
    message = letter.message
    assert message["Subject"] == "LLM costs, October 2026: Acme"
    text = message.get_body(("plain",)).get_content()
    for piece in ("API, billed: 101.30 USD", "provisional: the month is not closed", "Published: s3://bucket/x"):
        assert piece in text
    attached = {part.get_filename(): part.get_content() for part in message.iter_attachments()}
    assert {name: len(content) for name, content in attached.items()} == {
        name: len(made.files()[name]) for name in ("2026-10.pdf", "2026-10.xlsx", "2026-10.html")
    }
    assert attached["2026-10.pdf"] == made.files()["2026-10.pdf"]
    [event] = events(found, REPORT_MAILED_EVENT)
    assert event["recipients"] == FINANCE
    assert PASSWORD not in json.dumps([one.body for one in found.landing.events()])
    for name, content in attached.items():
        held = content if isinstance(content, bytes) else content.encode()
        if name != "2026-10.html":
            assert found.landing.store.find(f"issued/{hashlib.sha256(held).hexdigest()}") == held


def test_what_was_not_mailed_is_tried_again_and_what_may_have_arrived_is_not(project, snapshot, server):
    found = says(project, server)
    made = made_of(found, snapshot, "md")
    server.answers["MAIL"] = "451 later"
    with pytest.raises(MailError, match="451 later"):
        mailed(found, made)
    server.answers.clear()
    server.hangs_up.add(".")
    with pytest.raises(UncertainMailError):
        mailed(found, made)
    server.hangs_up.clear()
    assert "nobody knows whether it arrived: not sent again" in mailed(found, made)
    assert len(server.received) == 1
    assert mailed(found, made, once_for="closed") == "mailed to finance@example.com"


def test_what_fails_before_the_letter_goes_out_leaves_no_claim_and_a_host_that_is_none_says_so(
    project, snapshot, server, monkeypatch
):
    found = says(project, server)
    made = made_of(found, snapshot, "md")
    with monkeypatch.context() as patched:
        patched.setattr(type(found.landing), "keep_issued", lambda *_: (_ for _ in ()).throw(LandingError("S3 is off")))
        with pytest.raises(LandingError):
            mailed(found, made)
    said = project / "breakeven.yaml"
    said.write_text(said.read_text().replace("127.0.0.1", "smtp..example.com"))
    with pytest.raises(MailError, match="cannot be reached"):
        mailed(Project(project), made)
    found = says(project, server)
    assert mailed(found, made) == "mailed to finance@example.com"


def test_a_file_that_no_server_takes_is_left_out_and_said(project, snapshot, server, monkeypatch):
    found = says(project, server)
    made = made_of(found, snapshot, "html", "xlsx")
    monkeypatch.setattr(issuing, "MOST_ATTACHED_BYTES", len(made.files()["2026-10.xlsx"]))
    mailed(found, made)
    message = server.received[0].message
    assert [part.get_filename() for part in message.iter_attachments()] == ["2026-10.xlsx"]
    assert "2026-10.html is too large to be attached" in message.get_body(("plain",)).get_content()


def test_the_command_writes_publishes_and_mails(project, server, tmp_path):
    says(project, server)
    asked = ["report", "--project", str(project), "--month", "2026-10", "--format", "md"]
    done = CliRunner().invoke(group, [*asked, "--publish", str(tmp_path / "out"), "--mail", FINANCE[0]])
    assert done.exit_code == 0, done.output
    assert [line.split(" ")[0] for line in done.output.splitlines()[1:]] == ["published", "mailed"]
    assert "Published: " in server.received[0].message.get_body(("plain",)).get_content()
    refused = CliRunner().invoke(group, [*asked, "--mail", "x@y, z@y"])
    assert "is not an address" in refused.output
    (project / "breakeven.yaml").write_text("company: Acme\n")
    with pytest.raises(MailError, match="names no mail server"):
        CliRunner().invoke(group, [*asked, "--mail", FINANCE[0]], catch_exceptions=False)


# Dagster


def run_report(folder, month=OCTOBER):
    job = definitions_for(folder, now=AS_OF).resolve_job_def(REPORT_JOB)
    done = job.execute_in_process(
        partition_key=str(month),
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={AS_OF_TAG: AS_OF.isoformat()},
    )
    [event] = done.get_asset_materialization_events()
    return {name: found.value for name, found in event.step_materialization_data.materialization.metadata.items()}


def test_the_monthly_asset_makes_every_format_publishes_and_mails_once_the_month_is_settled(
    project, snapshot, server, page, monkeypatch, tmp_path
):
    found = says(project, server, publish=str(tmp_path / "out"), mail_to=FINANCE)
    monkeypatch.setattr(monthly, "page_of", lambda *_, **__: replace(page, is_settled=False))
    said = run_report(project)
    names = {"2026-10.html", "2026-10.pdf", "2026-10.md", "2026-10.xlsx", "2026-10-csv", "2026-10-parquet"}
    assert names <= set(said)
    assert said["published"].endswith(f"/2026-10/{snapshot.snapshot_id}-{snapshot.release}")
    assert "| API, billed | 101\\.30 USD | billed |" in said["headline"].replace("101.30", "101\\.30")
    assert said["mail"] == "not yet: the month is not over, or a day of it is not settled"
    assert len(events(found, REPORT_EVENT)) == len(FORMATS)
    monkeypatch.setattr(monthly, "page_of", lambda *_, **__: replace(page, is_settled=True))
    assert run_report(project)["mail"] == "mailed to finance@example.com"
    monkeypatch.setattr(monthly, "page_of", lambda *_, **__: replace(page, is_settled=True, warnings=("restated",)))
    says(project, server, mail_to=FINANCE)
    assert run_report(project)["mail"].startswith("mailed already")
    monkeypatch.setattr(monthly, "page_of", lambda *_, **__: replace(page, is_settled=True, is_final=True))
    assert run_report(project)["mail"] == "mailed to finance@example.com"
    assert len(server.received) == 2


def test_the_monthly_asset_makes_the_statements_that_are_named_once_the_month_is_settled(
    project, snapshot, page, server, monkeypatch, tmp_path
):
    says(project, server, formats=["md"], publish=str(tmp_path / "out"), statements=["team", "cost_centre"])
    made_of = []

    def pages(*_, owned=None, **__):
        made_of.append(owned)
        return replace(page, is_settled=page.is_settled)

    monkeypatch.setattr(monthly, "page_of", pages)
    said_of = {by: [Owned(by, "search"), Owned(by, None)] for by in ("team", "cost_centre")}
    monkeypatch.setattr("pipeline.assets.reports.owners_in", lambda *_, by, **__: said_of[by])
    said = run_report(project)
    assert made_of == [None, *said_of["team"], *said_of["cost_centre"]]
    assert [line.count(".md") for line in said["statements"].splitlines()[2:]] == [1, 1, 1, 1]
    published = {path.name for path in (tmp_path / "out").iterdir()}
    assert published == {"2026-10", *(f"2026-10-{by}-{name}" for by in said_of for name in ("search", "nobody"))}
    made_of.clear()
    monkeypatch.setattr(monthly, "page_of", lambda *_, **__: made_of.append(0) or replace(page, is_settled=False))
    assert "statements" not in run_report(project)
    assert made_of == [0]


def test_a_month_is_settled_once_it_is_over_and_final_once_it_is_closed(page, snapshot):
    assert (page.is_settled, page.is_final) == (True, False)
    with patch("pipeline.charts.drawing.as_svg", return_value=SVG):
        under_way = report_page(snapshot, config=config(), quarantined=(), first_day=date(2026, 11, 1))
    assert (under_way.is_settled, under_way.is_final) == (False, False)


def test_mail_that_fails_fails_no_report(project, server, page, monkeypatch):
    says(project, server, formats=["md"], mail_to=FINANCE)
    monkeypatch.delenv("SMTP_PASSWORD")
    monkeypatch.setattr(monthly, "page_of", lambda *_, **__: replace(page, is_settled=True))
    assert "SMTP_PASSWORD, which is not set" in run_report(project)["mail"]


@pytest.mark.parametrize(
    ("day", "months"),
    [
        (date(2026, 11, 1), ["2026-10-01"]),
        (date(2026, 11, 10), ["2026-10-01", "2026-11-01"]),
        (date(2026, 11, 25), ["2026-11-01"]),
    ],
)
def test_each_morning_the_month_and_for_three_weeks_the_one_before_are_reported(project, day, months):
    """A month is restated and closed after its end; on the first the yesterday is the month before's."""
    (project / "breakeven.yaml").write_text(
        "company: Acme\nsources:\n  - {source: anthropic_cost_api, account: a, key_env: K, horizon: 2026-01-01}\n"
    )
    repository = definitions_for(project).get_repository_def()
    schedule = repository.get_schedule_def("this_months_report")
    moment = dg.build_schedule_context(
        repository_def=repository,
        scheduled_execution_time=AS_OF.replace(year=day.year, month=day.month, day=day.day) + timedelta(minutes=45),
    )
    asked = schedule.evaluate_tick(moment).run_requests
    assert [request.partition_key for request in asked] == months
