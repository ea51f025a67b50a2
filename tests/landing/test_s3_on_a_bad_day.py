"""S3 that answers late, with errors or not at all: nothing is lost, nothing is taken for what it is not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import LandingError
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.landing import Landing
from pipeline.landing.store import S3Store
from tests.moto_s3 import S3Server, s3_server
from tests.sources.faulty_s3 import FaultySite, faulty_s3

NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def site(server: S3Server) -> Iterator[FaultySite]:
    with faulty_s3(server.endpoint) as proxy:
        yield proxy


def store_of(server: S3Server, endpoint: str) -> S3Store:
    """A bucket of the server, asked through another address."""
    return S3Store(client=S3Server(endpoint).client(), bucket=server.bucket(), prefix="landing")


def one_page(content: bytes) -> Fetched:
    return Fetched(dataset="bill", payloads=(Payload(name="page-1.json", content=content),))


@pytest.mark.parametrize("fault", ["slow_down", "reset", "cut"])
def test_a_read_that_fails_on_the_way_is_made_again(server: S3Server, site: FaultySite, fault: Any) -> None:
    store = store_of(server, site.url)
    store.put_if_absent("objects/ab/abc", b"bytes" * 1000)
    site.faults += [("abc", fault)]
    assert store.read("objects/ab/abc") == b"bytes" * 1000
    assert site.faults == []


def test_whoever_put_it_is_told_so_also_when_the_first_answer_was_lost(server: S3Server, site: FaultySite) -> None:
    """B27: else nobody would hold the claim, and the message would wait for ever."""
    here = Landing(store_of(server, site.url))
    site.put_faults += [(".json", "lost")]
    assert here.claim(name="case 1", body={"claim_id": "mine"}, now=NOW)
    assert not here.claim(name="case 1", body={"claim_id": "another's"}, now=NOW)
    assert here.claimed("case 1") == {"claim_id": "mine"}


def test_a_delivery_whose_writes_all_lost_their_answers_has_landed_once(server: S3Server, site: FaultySite) -> None:
    here = Landing(store_of(server, site.url))
    site.put_faults += [("", "lost"), ("", "slow_down")]
    landed = here.land(one_page(b"bytes"), source="bills", account="acme", now=NOW)
    assert here.contents().deliveries == (landed,)
    assert here.read_object(landed.objects[0]) == b"bytes"


class Conflicting:
    """A client whose first writes meet another that is under way, of which nobody knows how it ends."""

    def __init__(self, client: Any, conflicts: int) -> None:
        self._client = client
        self._conflicts = conflicts

    def put_object(self, **said: Any) -> Any:
        if self._conflicts:
            self._conflicts -= 1
            raise ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")
        return self._client.put_object(**said)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_a_write_beside_another_is_not_taken_for_done(server: S3Server) -> None:
    """The other may fail: a conflict is no "it is there already"."""
    store = S3Store(client=Conflicting(server.client(), 2), bucket=server.bucket(), prefix="")
    assert store.put_if_absent("deliveries/a.json", b"bytes")
    assert store.read("deliveries/a.json") == b"bytes"
    endless = S3Store(client=Conflicting(server.client(), 99), bucket=server.bucket(), prefix="")
    with pytest.raises(LandingError, match="ConditionalRequestConflict"):
        endless.put_if_absent("deliveries/a.json", b"bytes")


def test_an_s3_that_cannot_be_reached_is_said_in_words(server: S3Server) -> None:
    store = store_of(server, "http://127.0.0.1:9")
    for ask in (
        lambda: store.put_if_absent("a/b", b"x"),
        lambda: store.find("a/b"),
        lambda: list(store.keys("a")),
        lambda: store.holds("a/b"),
    ):
        with pytest.raises(LandingError, match=r"could not be asked .* Nothing is lost"):
            ask()


def test_records_are_read_several_at_a_time_and_in_order(server: S3Server, tmp_path: Any) -> None:
    store = store_of(server, server.endpoint)
    here = Landing(store)
    for number in range(20):
        here.record(kind="accept", subject=str(number), body={}, now=NOW.replace(minute=number))
    found = Landing(store, catalog=tmp_path / "catalog").contents().events
    assert [event.subject for event in found] == [str(number) for number in range(20)]
