"""What the agent says of itself on loopback: counts that tie to its records, and nothing that did not happen."""

import socket
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.formats.exposition import Exposition, parse_exposition
from pipeline.formats.spool import Gap, Gpu, Loss, Record, Sample, Scrape
from pipeline.telemetry.clock import Instant
from pipeline.telemetry.own_metrics import MetricsError, MetricsServer, Told

START = Instant(1_793_491_200_000, 1_000)


def told(folder: Path, *records: Record, at: Instant = START) -> Told:
    found = Told(host='node "1"', version="0.1.0", spool=folder, started=START)
    for record in records:
        found.recorded(record, at)
    return found


def values(exposition: Exposition) -> dict[str, object]:
    """`name labels` -> value."""
    return {
        " ".join([sample.series.name, *(value for _, value in sample.series.labels)]): sample.value
        for sample in exposition.samples
    }


def test_what_was_recorded_is_counted_by_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "20261101T000000Z-a-0.spool.jsonl").write_bytes(b"12345")
    found = told(
        tmp_path,
        Gpu(gpu_uuid="GPU-3"),
        Sample(interval_ms=5_000, gpu_uuid="GPU-1", health="ok"),
        Sample(interval_ms=5_000, gpu_uuid="GPU-2", health="gpu_is_lost"),
        Gap(interval_ms=30_000, reason="the driver did not answer"),
        Gap(interval_ms=5_000, reason="no longer listed", gpu_uuid="GPU-2"),
        Loss(lost_records=12, reason="disk full"),
        Scrape(interval_ms=15_000, target="t", replica_id="chat-0", error="HTTP 503"),
        Scrape(interval_ms=15_000, target="t", replica_id="chat-0", body=""),
    )
    found.shipped(0)
    found.shipped(3)
    said = values(parse_exposition(found.exposition(Instant(START.at_ms + 7_500, START.mono_ms + 7_500))))
    assert said == {
        'breakeven_agent_info node "1" 0.1.0': 1,
        "process_start_time_seconds": 1_793_491_200,
        "breakeven_agent_records_total gpu": 1,
        "breakeven_agent_records_total sample": 2,
        "breakeven_agent_records_total gap": 2,
        "breakeven_agent_records_total loss": 1,
        "breakeven_agent_records_total scrape": 2,
        "breakeven_agent_lost_records_total": 12,
        "breakeven_agent_unsampled_seconds_total": 30,
        "breakeven_agent_gpus ok": 1,
        "breakeven_agent_gpus missing": 1,
        "breakeven_agent_gpus unknown": 1,
        "breakeven_agent_last_sample_age_seconds": pytest.approx(7.5),
        "breakeven_agent_failed_scrapes_total chat-0": 1,
        "breakeven_agent_shippings_total ok": 1,
        "breakeven_agent_shippings_total failed": 1,
        "breakeven_agent_spool_files": 1,
        "breakeven_agent_spool_bytes": 5,
    }


def test_before_the_first_sample_there_is_no_age_of_one(tmp_path: Path) -> None:
    assert "last_sample_age" not in told(tmp_path).exposition(START)


def test_it_is_answered_over_http_on_loopback_alone_and_a_silent_client_blocks_nobody_for_ever(tmp_path: Path) -> None:
    found = told(tmp_path)
    server = MetricsServer(0, lambda: found.exposition(START))
    address = f"http://127.0.0.1:{server.port}"
    try:
        silent = socket.create_connection(("127.0.0.1", server.port))
        with silent, urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer:
            assert answer.read().decode() == found.exposition(START)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/other", timeout=20)
        with pytest.raises(MetricsError, match="another port"):
            MetricsServer(server.port, lambda: "")
    finally:
        server.close()


def test_a_client_that_sends_its_request_byte_by_byte_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, and the whole request never."""
    monkeypatch.setattr("pipeline.telemetry.own_metrics._CLIENT_SECONDS", 0.3)
    found, done = told(tmp_path), threading.Event()
    server = MetricsServer(0, lambda: found.exposition(START))
    dripping = socket.create_connection(("127.0.0.1", server.port))

    def drip() -> None:
        with suppress(OSError):
            while not done.wait(0.02):
                dripping.sendall(b"x")

    thread = threading.Thread(target=drip)
    try:
        with dripping:
            thread.start()
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
                assert answer.read().decode() == found.exposition(START)
            done.set()
            thread.join()
    finally:
        done.set()
        server.close()
