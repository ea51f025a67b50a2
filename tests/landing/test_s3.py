"""Landing on a real S3 protocol (moto's server on loopback): the same laws as in a folder."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import pytest
from moto.server import ThreadedMotoServer

from pipeline.errors import LandingError
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.landing import Landing
from pipeline.landing.store import S3Store, open_store

NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)


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
def store(endpoint, monkeypatch) -> S3Store:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    bucket = f"landing-{abs(hash(monkeypatch)) % 10**12}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    opened = open_store(f"s3://{bucket}/project")
    assert isinstance(opened, S3Store)
    return opened


def test_put_if_absent_never_replaces(store):
    assert store.put_if_absent("events/2026-11-15/a.json", b"first")
    assert not store.put_if_absent("events/2026-11-15/a.json", b"second")
    assert store.read("events/2026-11-15/a.json") == b"first"


def test_keys_come_in_order_and_from_a_watermark(store):
    for name in ("b", "a", "c"):
        store.put_if_absent(f"events/2026-11-15/{name}.json", b"x")
    assert list(store.keys("events")) == [f"events/2026-11-15/{name}.json" for name in "abc"]
    assert list(store.keys("events", after="events/2026-11-15/a.json")) == [
        "events/2026-11-15/b.json",
        "events/2026-11-15/c.json",
    ]


def test_a_delivery_lands_and_reads_back(store, tmp_path):
    here = Landing(store, catalog=tmp_path / "catalog")
    fetched = Fetched(dataset="bill", payloads=(Payload(name="page-1.json", content=b"bytes"),))
    written = here.land(fetched, source="bills", account="acme", now=NOW)
    (found,) = Landing(store, catalog=tmp_path / "other").contents().deliveries
    assert found == written
    assert here.read_object(found.objects[0]) == b"bytes"
    assert here.claim(name="case 1", body={}, now=NOW)
    assert not here.claim(name="case 1", body={}, now=NOW)


def test_what_is_missing_says_so(store):
    assert store.find("objects/00/nothing") is None
    with pytest.raises(LandingError, match="not in landing"):
        store.read("objects/00/nothing")
