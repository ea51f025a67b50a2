"""Many objects are read side by side, and few of them are in memory."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pipeline.build.parsed import ParsedObject, Unread, _parsed_by
from pipeline.landing.records import LandedObject
from tests.build.small_graph import BILLS


def test_no_more_objects_are_read_ahead_than_keep_the_workers_busy(tmp_path: Path) -> None:
    read: list[str] = []
    waiting: list[int] = []

    class Reads:
        def read_object(self, landed: LandedObject) -> bytes:
            read.append(landed.name)
            return landed.name.encode()

    class Busy(Future[ParsedObject]):
        def __init__(self, unread: Unread) -> None:
            super().__init__()
            self.sha256 = unread.landed.sha256

        def result(self, timeout: float | None = None) -> ParsedObject:
            waiting.append(len(read) - len(waiting))
            return ParsedObject(sha256=self.sha256)

    class Pool:
        def submit(self, parse: Any, unread: Unread, content: bytes) -> Busy:
            assert content == unread.landed.name.encode()
            return Busy(unread)

    unread = [
        Unread(
            landed=LandedObject(sha256=f"{number:064}", size_bytes=1, name=f"bill {number}", media_type=""),
            dataset=BILLS,
            settings={},
            folder=tmp_path / str(number),
        )
        for number in range(9)
    ]
    pool: Any = Pool()
    landing: Any = Reads()
    parsed = list(_parsed_by(pool, unread, landing, most_waiting=4))
    assert [item.sha256 for item in parsed] == [item.landed.sha256 for item in unread]
    assert max(waiting) == 4
