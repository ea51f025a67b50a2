"""What the spool keeps through kills, power cuts and full disks. The laws of the writer, read back by the reader."""

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.formats.spool import Header, Sample, read_spool
from pipeline.sources import nvml_spool
from pipeline.telemetry.clock import Instant
from pipeline.telemetry.spool import CLOSED_SUFFIX, Limits, SpoolError, SpoolWriter, closed_files, locked

START = Instant(1_793_491_200_000, 1_000)
SMALL = Limits(sync_after_ms=10_000, close_after_ms=60_000, file_bytes=2_000, folder_bytes=8_000)


def header(start: str = "start-1") -> Header:
    return Header(host="node-1", boot_id="boot-1", agent_start_id=start, agent_version="0.1.0")


def sample(reading: int) -> Sample:
    return Sample(interval_ms=5000, gpu_uuid="GPU-1", energy_millijoules=reading)


def after(milliseconds: int) -> Instant:
    return START.earlier(-milliseconds)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith((".spool.jsonl", ".spool.open")))


def records(folder: Path) -> list[dict[str, Any]]:
    return [dict(record.fields) for path in files(folder) for record in read_spool(path.read_bytes()).records]


def readings(folder: Path) -> list[int]:
    return [record["energy_millijoules"] for record in records(folder) if record["record"] == "sample"]


@contextmanager
def syncs_seen() -> Iterator[dict[str, int]]:
    """How many bytes of each file the disk is known to hold: its name when it was synced -> bytes."""
    seen: dict[str, int] = {}

    def fsync(descriptor: int) -> None:
        seen[Path(os.readlink(f"/proc/self/fd/{descriptor}")).name] = os.fstat(descriptor).st_size

    with patch("pipeline.telemetry.spool.os.fsync", fsync):
        yield seen


@given(pauses=st.lists(st.integers(0, 25_000), max_size=40), cut=st.floats(0, 1))
def test_a_power_cut_loses_at_most_what_was_written_since_the_last_sync(pauses: Sequence[int], cut: float) -> None:
    with tempfile.TemporaryDirectory() as name, syncs_seen() as synced:
        folder, now_ms = Path(name), 0
        limits = Limits(file_bytes=2_000, folder_bytes=10**6, close_after_ms=60_000)
        writer = SpoolWriter(folder, header(), limits, now=START)
        sure: list[int] = []
        for reading, pause_ms in enumerate(pauses):
            now_ms += pause_ms
            before = dict(synced)
            writer.maintain(after(now_ms))
            if synced != before:
                sure = list(range(reading))
            writer.write(sample(reading), after(now_ms))
        for path in folder.glob("*.spool.open"):
            known = synced.get(path.name, 0)
            os.truncate(path, known + int(cut * (path.stat().st_size - known)))
        SpoolWriter(folder, header("start-2"), limits, now=after(now_ms + 1)).close()

        assert list(folder.glob("*.spool.open")) == []
        kept = [path for path in files(folder) if path.read_bytes().startswith(b'{"record":"header"')]
        whole = [read_spool(path.read_bytes()) for path in kept if b"\n" in path.read_bytes()]
        found = [
            record.fields["energy_millijoules"]
            for file in whole
            for record in file.records
            if record.fields["record"] == "sample"
        ]
        assert found == list(range(len(found)))
        assert found[: len(sure)] == sure
        assert all(file.rejected == () for file in whole)


@given(pauses=st.lists(st.integers(0, 30_000), min_size=30, max_size=90))
def test_the_folder_stays_within_its_bound_and_every_record_is_kept_or_counted_as_lost(pauses: Sequence[int]) -> None:
    with tempfile.TemporaryDirectory() as name, syncs_seen():
        folder, now_ms = Path(name), 0
        writer = SpoolWriter(folder, header(), SMALL, now=START)
        most = 0
        for reading, pause_ms in enumerate(pauses):
            now_ms += pause_ms
            writer.maintain(after(now_ms))
            writer.write(sample(reading), after(now_ms))
            most = max(most, sum(path.stat().st_size for path in files(folder)))
        writer.close()
        kept = records(folder)
        assert most <= SMALL.folder_bytes + 1_000  # and the line that made a file too large
        sequence = [record["seq"] for record in kept]
        assert sequence == sorted(set(sequence))
        lost = sum(record["lost_records"] for record in kept if record["record"] == "loss")
        assert readings(folder) == list(range(lost, len(pauses)))


def test_removed_files_are_counted_to_the_record(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, header(), SMALL, now=START)
    written = 0
    while not any(record["record"] == "loss" for record in records(tmp_path)):
        writer.maintain(after(written))
        writer.write(sample(written), after(written))
        written += 1
    (loss,) = [record for record in records(tmp_path) if record["record"] == "loss"]
    assert loss["lost_records"] == written - len(readings(tmp_path))
    assert "the spool was full (8000 bytes)" in loss["reason"]


def test_a_full_disk_costs_records_that_are_counted_and_not_the_agent(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, header(), SMALL, now=START)
    writer.write(sample(0), START)
    really_write = os.write

    def half(descriptor: int, content: bytes) -> int:
        if len(content) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really_write(descriptor, content[: len(content) - 50])

    with patch("pipeline.telemetry.spool.os.write", half):
        writer.write(sample(1), START)
        writer.write(sample(2), START)
        assert "No space left on device (ENOSPC)" in (writer.last_error or "")
    writer.write(sample(3), START)
    writer.close()
    assert [record.get("energy_millijoules") for record in records(tmp_path)] == [None, 0, None, 3]
    (loss,) = [record for record in records(tmp_path) if record["record"] == "loss"]
    assert loss["lost_records"] == 2


def test_a_file_is_closed_by_age_and_by_size_and_each_begins_with_a_header(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, header(), SMALL, now=START)
    writer.write(sample(0), START)
    writer.maintain(after(59_999))
    assert closed_files(tmp_path) == []
    writer.maintain(after(60_000))
    assert len(closed_files(tmp_path)) == 1
    for reading in range(1, 9):
        writer.maintain(after(60_000))
        writer.write(sample(reading), after(60_000))
    assert len(closed_files(tmp_path)) == 2
    assert [read_spool(path.read_bytes()).records[0].fields["record"] for path in files(tmp_path)] == ["header"] * 3
    assert [record["seq"] for record in records(tmp_path)] == list(range(12))


def test_what_a_dead_agent_left_open_is_closed_and_the_time_without_an_agent_is_a_gap(tmp_path: Path) -> None:
    SpoolWriter(tmp_path, header(), SMALL, now=START).write(sample(0), START)
    (left,) = tmp_path.glob("*.spool.open")
    with left.open("ab") as file:
        file.write(b'{"record":"sample","seq":2,"at":"2026-11-')
    (tmp_path / "20260101T000000Z-start-0-0000000000.spool.open").touch()
    writer = SpoolWriter(tmp_path, header("start-2"), SMALL, now=after(7_000))
    writer.close()
    first, second = map(Path, closed_files(tmp_path))
    frames = nvml_spool.parse(first.read_bytes(), {})
    assert frames["gpu_samples"].height == 1
    assert frames["agent_records"]["record"].to_list() == ["header", "torn_tail"]
    gap = read_spool(second.read_bytes()).records[1].fields
    assert (gap["record"], gap["interval_ms"]) == ("gap", 7_000)
    assert gap["reason"].startswith(f"no agent ran: {first.name} was left open")


def test_two_agents_do_not_share_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(SpoolError, match="another agent writes here"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="Name a folder that this user may write to"), locked(tmp_path / "file" / "x"):
        pass


def test_an_agent_that_begins_keeps_the_folder_within_its_bound_at_once(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"2026110{number + 1}T000000Z-old-0000000000{CLOSED_SUFFIX}").write_bytes(b"{}\n" * 500)
    writer = SpoolWriter(tmp_path, header(), SMALL, now=START)
    assert sum(os.path.getsize(path) for path in closed_files(tmp_path)) + SMALL.file_bytes <= SMALL.folder_bytes
    writer.close()
