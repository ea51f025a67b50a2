"""Shipping: to a folder or a real S3 protocol, killed in the middle, twice, and onto other bytes."""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.telemetry.ship import ShipError, refusal, ship
from tests.moto_s3 import S3Server, s3_server

OLDER, NEWER = "20261101T000000Z-start-0000000000.spool.jsonl", "20261101T001500Z-start-0000000180.spool.jsonl"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as found:
        yield found


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / OLDER).write_bytes(b"older\n" * 100)
    (folder / NEWER).write_bytes(b"newer\n" * 100)
    (folder / "20261101T003000Z-start-0000000360.spool.open").write_bytes(b"open\n")
    return folder


def lying_in(server: S3Server, bucket: str) -> dict[str, bytes]:
    client = server.client()
    listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {
        found["Key"]: gzip.decompress(client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
        for found in listed
    }


def test_closed_files_go_to_a_folder_by_host_and_are_removed_here(spool: Path, tmp_path: Path) -> None:
    to = tmp_path / "there"
    done = ship(spool, str(to), host="node 1")
    assert done.put == [OLDER, NEWER]
    assert [path.name for path in spool.iterdir()] == ["20261101T003000Z-start-0000000360.spool.open"]
    assert sorted(path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file()) == [
        f"node-1/{OLDER}.gz",
        f"node-1/{NEWER}.gz",
    ]
    assert gzip.decompress((to / "node-1" / f"{OLDER}.gz").read_bytes()) == b"older\n" * 100
    assert ship(spool, str(to), host="node 1").put == []


def test_closed_files_go_to_s3_by_host_and_are_removed_here(spool: Path, server: S3Server) -> None:
    bucket = server.bucket()
    with patch.dict(os.environ, server.environment):
        ship(spool, f"s3://{bucket}/gpu/spool", host="node-1")
    assert lying_in(server, bucket) == {
        f"gpu/spool/node-1/{OLDER}.gz": b"older\n" * 100,
        f"gpu/spool/node-1/{NEWER}.gz": b"newer\n" * 100,
    }
    assert list(spool.glob("*.jsonl")) == []


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_killed_between_put_and_remove_it_loses_and_doubles_nothing(
    place: str, spool: Path, tmp_path: Path, server: S3Server
) -> None:
    bucket = server.bucket()
    to = str(tmp_path / "there") if place == "folder" else f"s3://{bucket}"
    code = "import os, sys; from pathlib import Path; from pipeline.telemetry.ship import ship; "
    code += "ship(Path(sys.argv[1]), sys.argv[2], host='node-1', after_put=lambda _: os.kill(os.getpid(), 9))"
    environment = {**os.environ, **server.environment}
    killed = subprocess.run([sys.executable, "-c", code, str(spool), to], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(spool.glob("*.jsonl"))) == 2
    with patch.dict(os.environ, server.environment):
        done = ship(spool, to, host="node-1")
    assert (done.there_already, done.put) == ([OLDER], [NEWER])
    assert list(spool.glob("*.jsonl")) == []
    lying = (
        sorted(gzip.decompress(path.read_bytes()) for path in (tmp_path / "there").rglob("*.gz"))
        if place == "folder"
        else sorted(lying_in(server, bucket).values())
    )
    assert lying == [b"newer\n" * 100, b"older\n" * 100]


def test_other_bytes_under_the_same_name_are_refused_and_kept_on_both_sides(spool: Path, tmp_path: Path) -> None:
    there = tmp_path / "there" / "node-1" / f"{OLDER}.gz"
    there.parent.mkdir(parents=True)
    there.write_bytes(gzip.compress(b"another host of this name\n"))
    ran = CliRunner().invoke(
        group, ["agent", "ship", "--spool", str(spool), "--to", str(tmp_path / "there"), "--host", "node-1"]
    )
    assert isinstance(ran.exception, ShipError)
    assert f"1 files lie at {tmp_path / 'there'} with other bytes and are kept here: {OLDER}" in str(ran.exception)
    assert "1 files shipped" in ran.output
    assert (spool / OLDER).read_bytes() == b"older\n" * 100
    assert gzip.decompress(there.read_bytes()) == b"another host of this name\n"


def test_a_half_written_file_that_lies_there_is_not_taken_for_the_whole(spool: Path, tmp_path: Path) -> None:
    there = tmp_path / "there" / "node-1" / f"{OLDER}.gz"
    there.parent.mkdir(parents=True)
    there.write_bytes(gzip.compress(b"older\n" * 100)[:20])
    assert ship(spool, str(tmp_path / "there"), host="node-1").refused == [OLDER]


def test_a_place_that_refuses_keeps_every_file_and_names_the_permissions(spool: Path, server: S3Server) -> None:
    with (
        patch.dict(os.environ, server.environment),
        pytest.raises(ShipError, match=r"\(NoSuchBucket\).*s3:PutObject and s3:GetObject"),
    ):
        ship(spool, "s3://no-such-bucket/spool", host="node-1")
    with pytest.raises(ShipError, match="neither a folder nor s3://"):
        ship(spool, "gs://bucket/spool", host="node-1")
    assert len(list(spool.glob("*.jsonl"))) == 2


@pytest.mark.parametrize("host", [".", ".."])
def test_a_host_that_names_a_folder_outside_the_place_is_refused(host: str, spool: Path, tmp_path: Path) -> None:
    with pytest.raises(ShipError, match="names no host"):
        ship(spool, str(tmp_path / "there" / "spool"), host=host)
    assert not (tmp_path / "there").exists()


def test_what_cannot_be_read_is_said_and_holds_up_nothing_behind_it(spool: Path, tmp_path: Path) -> None:
    (spool / "2020-a.spool.jsonl").mkdir()
    done = ship(spool, str(tmp_path / "there"), host="node-1")
    assert done.put == [OLDER, NEWER]
    error = refusal(done, to="there")
    assert error is not None
    assert "2020-a.spool.jsonl: Is a directory" in str(error)
