"""Many objects are read side by side, and few of them are in memory."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.build.parsed import ParsedObject, Unread, _parsed_by
from pipeline.landing.records import LandedObject
from tests.build.small_graph import BILLS


def test_few_objects_are_read_ahead_and_none_waits_for_a_slow_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    parsed: list[str] = []
    ahead: list[int] = []
    all_others = threading.Event()

    class Reads:
        def read_object(self, landed: LandedObject) -> bytes:
            read.append(landed.name)
            ahead.append(len(read) - len(parsed))
            return landed.name.encode()

    def parse(unread: Unread, content: bytes) -> ParsedObject:
        assert content == unread.landed.name.encode()
        if unread is objects[0]:
            assert all_others.wait(timeout=30)
        parsed.append(unread.landed.name)
        if len(parsed) == len(objects) - 1:
            all_others.set()
        return ParsedObject(sha256=unread.landed.sha256)

    monkeypatch.setattr("pipeline.build.parsed.parse_object", parse)
    objects = [
        Unread(
            landed=LandedObject(sha256=f"{number:064}", size_bytes=1, name=f"bill {number}", media_type=""),
            dataset=BILLS,
            settings={},
            folder=tmp_path / str(number),
        )
        for number in range(12)
    ]
    landing: Any = Reads()
    with ThreadPoolExecutor(2) as pool:
        found = _parsed_by(pool, objects, landing, most_waiting=4)
    assert [item.sha256 for item in found] == [item.landed.sha256 for item in objects]
    assert max(ahead) <= 4
