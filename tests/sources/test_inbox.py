"""Inboxes: a folder, or an S3 prefix (moto's server on loopback). The same files, the same deliveries."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto.server import ThreadedMotoServer

from pipeline.errors import SourceError
from pipeline.landing.s3 import s3_client
from pipeline.sources.inbox import waiting_files
from pipeline.sources.ingest import ingest
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, NOW, SPOOL, SmallProject, source, spool_file, three_days


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    client = boto3.client("s3")
    client.create_bucket(Bucket="exports")
    yield client
    for entry in client.list_objects_v2(Bucket="exports").get("Contents", []):
        client.delete_object(Bucket="exports", Key=entry["Key"])
    client.delete_bucket(Bucket="exports")


@pytest.fixture
def project(tmp_path) -> SmallProject:
    made = SmallProject(tmp_path / "project", [])
    made.sources = [
        source(CONSOLE, "acme", inbox="s3://exports/bills"),
        source(SPOOL, "fleet", inbox="s3://exports/spool"),
    ]
    (made.folder / "breakeven.yaml").write_text(_yaml(made.sources))
    return made


def _yaml(sources) -> str:
    import yaml

    return yaml.safe_dump({"company": "acme", "sources": [dict(one) for one in sources]})


def names(brought) -> dict[str, list[str]]:
    return {one.source: [landed.name for item in one.deliveries for landed in item.objects] for one in brought}


def test_objects_below_the_prefix_land_once(s3, project):
    s3.put_object(Bucket="exports", Key=f"bills/2026/{CONSOLE_NAME}", Body=three_days("1.00", "2.00", "3.00"))
    s3.put_object(Bucket="exports", Key="bills-of-others/x.csv", Body=b"not ours")
    s3.put_object(Bucket="exports", Key="bills/", Body=b"")
    s3.put_object(Bucket="exports", Key="bills/half.csv.part", Body=b"half")
    first = project.ingest()
    assert [one.error for one in first] == [None, None]
    assert names(first) == {CONSOLE: [f"2026/{CONSOLE_NAME}"], SPOOL: []}
    assert names(project.ingest(now=NOW + timedelta(hours=1))) == {CONSOLE: [], SPOOL: []}


def test_last_modified_states_it_where_the_name_does_not(s3, project):
    s3.put_object(Bucket="exports", Key=f"bills/{CONSOLE_NAME}", Body=three_days("1.00", "2.00", "3.00"))
    s3.put_object(Bucket="exports", Key="bills/costs.csv", Body=three_days("4.00", "5.00", "6.00"))
    written = s3.head_object(Bucket="exports", Key="bills/costs.csv")["LastModified"]
    console, _ = project.ingest(now=datetime.now(UTC) + timedelta(days=1))
    stated = {item.objects[0].name: (item.stated_by, item.stated_at) for item in console.deliveries}
    assert stated[CONSOLE_NAME][0] == "file_name"
    assert stated["costs.csv"] == ("last_modified", written)


def test_a_hostile_key_is_a_name_and_never_a_path(s3, project, tmp_path):
    """A key may hold anything; what is written lies in landing, named by its sha256."""
    key = "bills/../../../../escaped.csv"
    s3.put_object(Bucket="exports", Key=key, Body=three_days("1.00", "2.00", "3.00"))
    console, _ = project.ingest()
    assert console.error is None
    assert list(tmp_path.rglob("escaped*")) == []


def test_a_replaced_object_is_looked_at_again(s3, project):
    s3.put_object(Bucket="exports", Key="spool/a.jsonl", Body=spool_file("2026-11-01"))
    assert len(project.ingest()[1].deliveries) == 1
    s3.put_object(Bucket="exports", Key="spool/a.jsonl", Body=spool_file("2026-11-02"))
    assert len(project.ingest(now=NOW + timedelta(hours=1))[1].deliveries) == 1


def test_a_refused_prefix_fails_its_source_with_the_permission_it_needs(s3, project):
    project.sources = [source(CONSOLE, "acme", inbox="s3://no-such-place/bills"), *project.sources[1:]]
    (project.folder / "breakeven.yaml").write_text(_yaml(project.sources))
    s3.put_object(Bucket="exports", Key="spool/a.jsonl", Body=spool_file("2026-11-01"))
    refused, spool = project.ingest()
    assert "NoSuchBucket" in str(refused.error)
    assert "s3:ListBucket" in str(refused.error)
    assert len(spool.deliveries) == 1


def test_a_store_that_does_not_heed_the_prefix_gives_no_account_the_files_of_another(s3, project, monkeypatch):
    """B9: what is below another prefix is in another inbox, too."""
    s3.put_object(Bucket="exports", Key="spool/a.jsonl", Body=spool_file("2026-11-01"))
    s3.put_object(Bucket="exports", Key="elsewhere/b.jsonl", Body=spool_file("2026-11-02"))

    def ignoring():
        client = s3_client()
        client.meta.events.register(
            "before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.pop("Prefix", None)
        )
        return client

    monkeypatch.setattr("pipeline.sources.inbox.s3_client", ignoring)
    spool = project.ingest()[1]
    assert "lists 'elsewhere/b.jsonl', which is not below it" in str(spool.error)
    assert spool.deliveries == ()


def test_what_is_read_is_the_version_that_was_listed(s3, project):
    """A replaced object is not read half from one version and half from another; the next look takes it."""
    s3.put_object(Bucket="exports", Key="spool/a.jsonl", Body=spool_file("2026-11-01"))
    listed = list(waiting_files(project.project, project.project.config.sources[1]))
    s3.put_object(Bucket="exports", Key="spool/a.jsonl", Body=spool_file("2026-11-02"))
    with pytest.raises(SourceError, match="PreconditionFailed"):
        listed[0].read()


def test_an_old_window_is_clipped_to_the_horizon_and_reaches_the_watermark(tmp_path):
    """A backfill of days before the horizon asks nothing; the first fetch of a later day starts at the horizon."""
    machine = {
        "source": "owned_gpus",
        "account": "basement",
        "horizon": "2026-11-01",
        "settings": {
            "assets": [
                {
                    "asset_id": "a", "host": "h", "gpu_count": 1, "capex": "1200.00", "residual": "0.00", "months": 12,
                    "in_service": "2026-01-01", "currency": "USD",
                }
            ]
        },
    }  # fmt: skip
    project = SmallProject(tmp_path / "project", [machine]).project
    asked = {"now": NOW, "environment": {}, "sleep": lambda seconds: None}
    at = datetime(2026, 10, 1, tzinfo=UTC)
    (before,) = ingest(project, **asked, from_at=at, to_at=at + timedelta(days=1))
    assert before.deliveries == ()
    at = datetime(2026, 11, 3, tzinfo=UTC)
    (first,) = ingest(project, **asked, from_at=at, to_at=at + timedelta(days=1))
    assert (first.deliveries[0].from_at, first.deliveries[0].to_at) == (
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 11, 4, tzinfo=UTC),
    )
