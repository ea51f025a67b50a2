"""Doctor where exports, inboxes or landing lie on S3 (moto's server on loopback, behind a proxy that refuses)."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline.decisions.graph import build_project, current_snapshot
from pipeline.landing.store import S3Store
from tests.cli.examined import chosen, of, rows, told
from tests.cli.hostile_server import silence, speaking
from tests.moto_s3 import S3Server, s3_server
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, NOW, SmallProject, source, three_days
from tests.sources.cur2 import NAME, S3Place, line, parquet, refresh

GOOD = three_days("1.00", "2.00", "3.50")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server.bucket()


def export(make_project: MakeProject, place: str) -> SmallProject:
    return make_project([source("aws_cur2", "cloud", inbox=None, settings={"export": place})])


def test_an_export_on_s3_is_asked_by_listing_its_manifests(make_project: MakeProject, bucket: str) -> None:
    place = S3Place(boto3.client("s3"), bucket)
    project = export(make_project, place.root)
    (empty,) = of(rows(project.folder), "access")
    assert (empty["state"], "holds no manifest below metadata/" in empty["said"]) == ("fix", True)
    refresh(place, [parquet([line(1.0)])], at=NOW - timedelta(days=1))
    (found,) = of(rows(project.folder), "access")
    assert (found["state"], "1 manifest, the newest of" in found["said"]) == ("ok", True)
    (offline,) = of(rows(project.folder, "--offline"), "access")
    assert (offline["state"], offline["said"]) == ("skipped", f"{place.root}: not asked")
    project.configure(sources=[{**project.sources[0], "settings": {"export": "s3://no-such-bucket-at-all/x"}}])
    (gone,) = of(rows(project.folder), "access")
    assert (gone["state"], "is not there (ListObjectsV2: NoSuchBucket)" in gone["said"]) == ("fix", True)


@pytest.mark.parametrize(
    ("code", "words", "fix"),
    [
        ("AccessDenied", "may not be read with these credentials", "The role needs s3:ListBucket there"),
        ("ExpiredToken", "AWS does not know these credentials, or they have expired", "Set AWS credentials anew"),
        ("SlowDown", "may be read, and S3 asks to wait", ""),
        ("SomethingElse", "S3 answers SomethingElse", "The role needs s3:ListBucket"),
    ],
)
def test_a_refusal_of_s3_names_the_permission(
    make_project: MakeProject, bucket: str, monkeypatch: pytest.MonkeyPatch, code: str, words: str, fix: str
) -> None:
    from tests.sources.admin_api import AdminApi, Answer, serving

    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    with serving(AdminApi(lambda at: [], always=Answer(403, body=body))) as refusing:
        monkeypatch.setenv("AWS_ENDPOINT_URL", refusing.base_url)
        (found,) = of(rows(export(make_project, f"s3://{bucket}/exports/{NAME}").folder), "access")
    assert words in found["said"]
    assert found["fix"].startswith(fix)
    assert found["state"] == ("fix" if fix else "note")


def test_what_may_be_listed_and_not_read_needs_another_permission(
    make_project: MakeProject, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    place = S3Place(boto3.client("s3"), bucket)
    refresh(place, [parquet([line(1.0)])], at=NOW - timedelta(days=1))
    call = BaseClient._make_api_call

    def refuse(client: Any, operation: str, arguments: Any) -> Any:
        if operation == "HeadObject":
            raise ClientError({"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, operation)
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    (found,) = of(rows(export(make_project, place.root).folder), "access")
    assert found["fix"].startswith("The role needs s3:GetObject there")


def test_without_credentials_or_without_an_answer_it_says_that(
    make_project: MakeProject, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client's own words are not repeated: they hold the address, and whatever stands in it."""
    project = export(make_project, f"s3://{bucket}/exports/{NAME}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://someone:pa55word@127.0.0.1:1")
    (closed,) = of(rows(project.folder), "access")
    assert "S3 cannot be reached" in closed["said"]
    with speaking(silence) as hanging:
        monkeypatch.setenv("AWS_ENDPOINT_URL", hanging)
        started = time.monotonic()
        (silent,) = of(rows(project.folder, "--timeout", "1"), "access")
        assert time.monotonic() - started < 4
    assert silent["state"] == "fix"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # As in a process of its own: a session keeps the credentials it has found.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    (nobody,) = of(rows(project.folder), "access")
    assert "no AWS credentials" in nobody["said"]
    assert "pa55word" not in told(project.folder)


def test_an_inbox_on_s3_is_listed_and_a_refusal_names_the_permission(make_project: MakeProject, bucket: str) -> None:
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key=f"inbox/{CONSOLE_NAME}", Body=GOOD)
    project = make_project([source(CONSOLE, "acme", inbox=f"s3://{bucket}/inbox")])
    assert of(rows(project.folder), "inbox")[0]["said"] == "1 of 1 file in the inbox not landed yet"
    project.ingest()
    assert of(rows(project.folder), "inbox")[0]["said"] == "1 file in the inbox, all landed"
    assert of(rows(project.folder, "--offline"), "inbox")[0]["state"] == "skipped"
    project.configure(sources=[source(CONSOLE, "acme", inbox="s3://no-such-bucket-at-all/inbox")])
    (refused,) = of(rows(project.folder), "inbox")
    assert "NoSuchBucket. The role needs s3:ListBucket there" in refused["said"]


def test_landing_on_s3_is_looked_through_and_offline_it_is_left_alone(
    make_project: MakeProject, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project([source(CONSOLE, "acme")], state=f"s3://{bucket}/state")
    project.drop(CONSOLE, "acme", CONSOLE_NAME, GOOD)
    project.run()
    found = rows(project.folder)
    assert "all there; 1 of them read and unchanged" in of(found, "objects")[0]["said"]
    assert [row["said"] for row in found if row["state"] == "fix" and row["area"] == "landing"] == []
    offline = rows(project.folder, "--offline")
    assert of(offline, "objects")[0]["said"] == "on S3: not looked at"
    assert of(offline, "days", account="acme")[0]["said"] == "2026-11-01 to 2026-11-03"
    store = project.project.landing.store
    assert isinstance(store, S3Store)
    (key,) = store.keys("objects")
    boto3.client("s3").delete_object(Bucket=bucket, Key=f"state/landing/{key}")
    assert "is not in landing any more" in chosen(rows(project.folder))["said"]
    project.configure(state="s3://no-such-bucket-at-all/state")
    said = chosen(rows(project.folder))["said"]
    assert "S3 refused to list deliveries in no-such-bucket-at-all: NoSuchBucket" in said
    with speaking(silence) as hanging:
        monkeypatch.setenv("AWS_ENDPOINT_URL", hanging)
        assert "could not be looked through within 1 s" in chosen(rows(project.folder, "--timeout", "1"))["said"]


def test_a_machine_that_took_a_snapshot_from_another_is_well(
    make_project: MakeProject, bucket: str, tmp_path: Path
) -> None:
    """B27: most of its files lie on S3 until something reads them, which is no loss; looking leaves nothing here."""
    first = make_project([source(CONSOLE, "acme")], state=f"s3://{bucket}/state")
    first.drop(CONSOLE, "acme", CONSOLE_NAME, GOOD)
    first.ingest()
    build_project(first.project, as_of=NOW)
    second = SmallProject(tmp_path / "second", first.sources, first.other_sections)
    assert build_project(second.project, as_of=NOW).ran == {}
    before = {file for file in second.folder.rglob("*") if file.is_file()}
    found, at_first = rows(second.folder), rows(first.folder)
    for check in ("laws", "workloads", "days", "late"):
        assert of(found, check) == of(at_first, check)
    snapshot = current_snapshot(second.project)
    files = {file for node in snapshot.nodes.values() for _, file in node.named_files(None)}
    away = sum(not file.exists() for file in files)
    assert 0 < away < len(files)
    assert f"its {len(files)} files there, {away} of them on S3" in of(found, "snapshot")[0]["said"]
    assert of(found, "days", account="acme")[0]["said"] == "2026-11-01 to 2026-11-03"
    assert "laws held" in of(found, "laws")[0]["said"]
    assert "1 landed object read by other machines only" in of(found, "objects")[1]["said"]
    (offline,) = of(rows(second.folder, "--offline"), "snapshot")
    assert (offline["state"], f"{away} of its {len(files)} files only on S3" in offline["said"]) == ("skipped", True)
    assert {file for file in second.folder.rglob("*") if file.is_file()} == before
    for key in S3Store.from_url(f"s3://{bucket}/state").keys("cache/nodes"):
        boto3.client("s3").delete_object(Bucket=bucket, Key=f"state/{key}")
    (_, lost) = of(rows(second.folder), "snapshot")
    assert (lost["fix"], "lies neither here nor in the shared cache" in lost["said"]) == ("breakeven rebuild", True)
