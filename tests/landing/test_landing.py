"""Landing: immutable, complete or absent, listed in order, readable for ever."""

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import LandingError
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.landing import REDACT_EVENT, DamagedObjectError, Landing, RedactedError
from pipeline.landing.records import Delivery, read_record
from pipeline.landing.store import FolderStore, check_key
from tests.moto_s3 import S3Server, s3_server

NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)


def landing(folder: Path) -> Landing:
    return Landing(FolderStore(folder / "landing"), catalog=folder / "catalog")


def one_page(content: bytes = b"[]") -> Fetched:
    return Fetched(dataset="bill", payloads=(Payload(name="page-1.json", content=content),), from_at=NOW, to_at=NOW)


def test_what_is_landed_is_listed_and_read_back(tmp_path):
    here = landing(tmp_path)
    written = here.land(one_page(b"bytes"), source="bills", account="acme", now=NOW)
    (found,) = landing(tmp_path).contents().deliveries
    assert found == written
    assert here.read_object(found.objects[0]) == b"bytes"


def test_a_crash_before_the_manifest_leaves_nothing_that_counts(tmp_path):
    here = landing(tmp_path)
    fetched = one_page(b"bytes")
    store = here.store

    class DiesBeforeTheManifest(FolderStore):
        def put_if_absent(self, key: str, content: bytes) -> bool:
            if key.startswith("deliveries/"):
                raise KeyboardInterrupt
            return super().put_if_absent(key, content)

    here.store = DiesBeforeTheManifest(store.root)
    with pytest.raises(KeyboardInterrupt):
        here.land(fetched, source="bills", account="acme", now=NOW)
    assert landing(tmp_path).contents().deliveries == ()
    here.store = store
    here.land(fetched, source="bills", account="acme", now=NOW)
    assert len(landing(tmp_path).contents().deliveries) == 1


def test_the_catalog_can_be_deleted_or_torn_and_nothing_is_lost(tmp_path):
    here = landing(tmp_path)
    here.land(one_page(), source="bills", account="acme", now=NOW)
    here.record(kind="accept", subject="x", body={}, now=NOW)
    whole = here.contents()
    catalog = tmp_path / "catalog"
    for length in (0, 10, len(catalog.read_bytes()) - 1):
        torn = catalog.read_bytes()[:length]
        catalog.write_bytes(torn)
        assert landing(tmp_path).contents() == whole


def test_what_is_dated_in_the_future_hides_nothing_that_lands_after_it(tmp_path):
    """A clock that ran ahead once, or `--as-of` a later year: the catalog would list from there on, for years."""
    ahead = landing(tmp_path)
    ahead.record(kind="accept", subject="ahead", body={}, now=NOW + timedelta(days=4000))
    ahead.land(one_page(), source="bills", account="acme", now=NOW + timedelta(days=4000))
    assert len(ahead.contents().events) == 1
    for days in (0, 10):
        landing(tmp_path).record(kind="accept", subject="now", body={}, now=NOW + timedelta(days=days))
        landing(tmp_path).land(one_page(b"x"), source="bills", account="acme", now=NOW + timedelta(days=days))
        seen = replace(landing(tmp_path), today=lambda days=days: (NOW + timedelta(days=days)).date()).contents()
        assert "now" in [event.subject for event in seen.events]
        assert NOW + timedelta(days=days) in [delivery.landed_at for delivery in seen.deliveries]


def test_what_is_dated_long_before_what_is_known_is_seen_as_well(tmp_path):
    """A clock that went back by a year, or a run as of an earlier moment: who lists from the newest on passes it by."""
    landing(tmp_path).land(one_page(), source="bills", account="acme", now=NOW)
    landing(tmp_path).record(kind="accept", subject="now", body={}, now=NOW)
    landing(tmp_path).contents()
    before = NOW - timedelta(days=400)
    landing(tmp_path).land(one_page(b"x"), source="bills", account="acme", now=before)
    landing(tmp_path).record(kind="accept", subject="before", body={}, now=before)
    for here in (landing(tmp_path), Landing(FolderStore(tmp_path / "landing"))):
        assert [one.landed_at for one in here.contents().deliveries] == [before, NOW]
        assert [one.subject for one in here.contents().events] == ["before", "now"]


def test_as_of_shows_what_had_landed_by_then(tmp_path):
    here = landing(tmp_path)
    for hours in (0, 1, 2):
        here.land(one_page(str(hours).encode()), source="bills", account="acme", now=NOW + timedelta(hours=hours))
    assert len(here.contents().as_of(NOW + timedelta(hours=1)).deliveries) == 2


def test_a_record_of_a_future_format_is_listed_not_guessed(tmp_path):
    here = landing(tmp_path)
    here.store.put_if_absent("deliveries/2026-11-15/x.json", json.dumps({"format": "breakeven.delivery/9"}).encode())
    here.store.put_if_absent("deliveries/2026-11-15/y.json", b'{"format": "breakeven.delivery/1", "source"')
    reasons = [item.reason for item in here.contents().unreadable]
    assert len(reasons) == 2
    assert "breakeven.delivery/9" in reasons[0]


def test_an_old_manifest_stays_readable():
    """Format 1 as this release writes it, kept here as text: every later release reads it."""
    old = (
        b'{"account":"acme","dataset":"cost_report","delivery_id":"ab","format":"breakeven.delivery/1",'
        b'"from_at":"2026-10-01T00:00:00.000000Z","grouping":"","horizon_at":null,"is_complete":true,'
        b'"landed_at":"2026-11-15T06:00:00.000000Z","objects":[{"media_type":"application/json","name":"page-1.json",'
        b'"sha256":"00","size_bytes":2}],"request":{},"settings":{},"source":"anthropic_cost_api",'
        b'"stated_at":"2026-11-15T05:59:00.000000Z","stated_by":"http_date","to_at":"2026-11-01T00:00:00.000000Z"}'
    )
    record = read_record(old)
    assert isinstance(record, Delivery)
    assert record.objects[0].key == "objects/00/00"
    assert record.stated_at < record.landed_at


@pytest.mark.parametrize("key", ["../etc/passwd", "/etc/passwd", "a/../b", "a//b", "a/.hidden", "a\nb", "a\n", ""])
def test_a_key_cannot_leave_its_store(tmp_path, key):
    with pytest.raises(LandingError):
        check_key(key)
    with pytest.raises(LandingError):
        FolderStore(tmp_path).put_if_absent(key, b"x")


def _claim(folder: Path, results: "multiprocessing.Queue[bool]", barrier: "multiprocessing.Barrier") -> None:
    barrier.wait(timeout=20)
    results.put(landing(folder).claim(name="case 1", body={}, now=NOW))


def test_of_several_workers_exactly_one_gets_a_claim(tmp_path):
    """B27."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    barrier = context.Barrier(4)
    workers = [context.Process(target=_claim, args=(tmp_path, results, barrier)) for _ in range(4)]
    for worker in workers:
        worker.start()
    answers = [results.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join(timeout=30)
        assert worker.exitcode == 0
    assert sorted(answers) == [False, False, False, True]


def test_a_damaged_object_is_refused(tmp_path):
    here = landing(tmp_path)
    written = here.land(one_page(b"bytes"), source="bills", account="acme", now=NOW)
    file = tmp_path / "landing" / written.objects[0].key
    file.write_bytes(b"other")
    with pytest.raises(LandingError, match="does not have the sha256"):
        here.read_object(written.objects[0])


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_an_object_is_put_into_a_file_checked_as_it_is_when_read(tmp_path, server, kind):
    store = FolderStore(tmp_path / "landing") if kind == "folder" else server.store()
    landed = Landing(store)
    (kept,) = landed.land(one_page(b"a page"), source="demo", account="acme", now=NOW).objects
    landed.put_object(kept, tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == b"a page"
    # On one disk the bytes lie once.
    assert (tmp_path / "one").stat().st_nlink == (2 if kind == "folder" else 1)

    store.erase(kept.key)
    with pytest.raises(DamagedObjectError, match="not in landing any more"):
        landed.put_object(kept, tmp_path / "two")
    store.put_if_absent(kept.key, b"another")
    with pytest.raises(DamagedObjectError, match="does not have the sha256"):
        landed.put_object(kept, tmp_path / "three")
    landed.record(kind=REDACT_EVENT, subject=kept.sha256, body={"reason": "a payroll file"}, now=NOW)
    store.erase(kept.key)
    with pytest.raises(RedactedError, match="a payroll file"):
        landed.put_object(kept, tmp_path / "four")


def test_a_full_disk_says_so_and_leaves_no_half_object(tmp_path, monkeypatch):
    import errno
    import os

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    here = landing(tmp_path)
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(LandingError, match="No space left"):
        here.land(one_page(b"bytes"), source="bills", account="acme", now=NOW)
    assert not [path for path in (tmp_path / "landing").rglob("*") if path.is_file()]
