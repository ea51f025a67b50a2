"""kill -9 of `breakeven agent run` and of what ships for it, at random moments, onto an S3 protocol on loopback.

After a kill the power may go as well: bytes are cut off the open file's end. Then one agent and one shipper are left
alone, and what lies on S3 is read as the pipeline reads it: no record twice, none missing that was whole on the disk
when its agent died, and of each line that a cut went through one row that says so.
"""

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.formats.spool import read_spool, split_spool
from pipeline.sources.nvml_spool import AGENT_RECORDS, ENGINE_SCRAPES, GPU_SAMPLES, parse
from tests.moto_s3 import S3Server
from tests.telemetry.stub import Stub

_HOST = "node-1"
_EVERY_SECONDS = 0.05
_CLOSE_AFTER_MINUTES = 0.05  # and the first file of each start is closed by the next one
_LIMIT_SECONDS = 120
# agent start, sequence number
Key = tuple[str, int]


class LostOrDoubledError(Exception):
    """What lies on S3 is not what was on the disks. The message says which records, and the seed."""


def kill_agents(folder: Path, stub: Stub, server: S3Server, *, kills: int, seed: int) -> Mapping[str, int]:
    """So many agents and as many shippers killed; how much of what was then there. LostOrDoubledError where not all."""
    chance, bucket, spool = random.Random(seed), server.bucket(), folder / "spool"
    environment = {**stub.environment, **server.environment}
    to = f"s3://{bucket}/gpu"
    whole: set[Key] = set()
    cut_lines = 0
    known: set[str] = set()  # a file is cut once: what an agent has found on its disk is not lost on it later
    for _ in range(kills):
        agent = _agent(spool, environment, is_awaited=chance.random() < 0.9)
        shipper = _started("-m", "pipeline.telemetry.ship", str(spool), to, _HOST, environment=environment)
        began, lives, ships = time.monotonic(), chance.uniform(0, 1.0), chance.uniform(0.05, 2.0)
        for ends, process in sorted([(lives, agent), (ships, shipper)], key=lambda one: one[0]):
            time.sleep(max(began + ends - time.monotonic(), 0))
            _kill(process)
        cut_lines += _cut(spool, chance, but=known) if chance.random() < 0.5 else 0
        known |= {path.name for path in spool.glob("*.spool.open")}
        whole |= _on_disk(spool)
    _left_alone(spool, to, environment)
    found = _shipped(server, bucket)
    counts = {name: Counter(keys) for name, keys in found.items()}
    everything = counts["gpu_samples"] + counts["engine_scrapes"] + counts["agent_records"]
    _refuse(seed, "there twice", [key for key, count in everything.items() if count > 1])
    _refuse(seed, "missing", sorted(whole - set(everything)))
    _refuse(seed, "holes before the last record of a start", list(_holes(everything)))
    if counts["torn"].total() != cut_lines:
        raise LostOrDoubledError(f"seed {seed}: {cut_lines} lines were cut, {counts['torn'].total()} are told")
    return {"agents": kills, "shippers": kills, "records": everything.total(), "cut_lines": cut_lines}


def _started(*arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments], env=dict(environment), stderr=subprocess.DEVNULL, start_new_session=True
    )


def _agent(spool: Path, environment: Mapping[str, str], *, is_awaited: bool) -> subprocess.Popen[bytes]:
    """Once it has sampled, where that `is_awaited`; else it may be killed before it has written anything."""
    before = {path.name.partition(".")[0] for path in spool.glob("*.spool.*")}
    options = ["--spool", str(spool), "--host", _HOST, "--every", str(_EVERY_SECONDS)]
    options += ["--close-after", str(_CLOSE_AFTER_MINUTES)]
    code = "from pipeline.cli import main; main()"
    agent = _started("-c", code, "agent", "run", *options, environment=environment)
    deadline = time.monotonic() + _LIMIT_SECONDS
    while is_awaited and not _has_sampled(spool, before=before):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no agent sampled within {_LIMIT_SECONDS} s")
        time.sleep(0.02)
    return agent


def _has_sampled(spool: Path, *, before: set[str]) -> bool:
    own = [path for path in spool.glob("*.spool.*") if path.name.partition(".")[0] not in before]
    with suppress(FileNotFoundError):  # closed meanwhile
        return any(b'"sample"' in path.read_bytes() for path in own)
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    """And the sampler with the agent, as when their host goes down."""
    with suppress(ProcessLookupError):  # a shipper that had nothing left to do
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=_LIMIT_SECONDS)


def _cut(spool: Path, chance: random.Random, *, but: set[str]) -> int:
    """Take bytes off the end of the file that was open: what the disk had not been given yet. 1 where a line is cut."""
    for path in spool.glob("*.spool.open"):
        if path.name in but:
            continue
        size = path.stat().st_size
        kept = size - chance.randint(1, min(size, 400)) if size else 0
        header = path.read_bytes().find(b"\n") + 1
        if not header <= kept < size:
            return 0
        os.truncate(path, kept)
        return int(split_spool(path.read_bytes()).torn_tail is not None)
    return 0


def _on_disk(spool: Path) -> set[Key]:
    """Every whole record in the spool's files."""
    found: set[Key] = set()
    for path in spool.glob("*.spool.*"):
        content = path.read_bytes()
        if b"\n" in content:
            found |= {
                (str(one.header["agent_start_id"]), int(one.fields["seq"])) for one in read_spool(content).records
            }
    return found


def _left_alone(spool: Path, to: str, environment: Mapping[str, str]) -> None:
    """One agent closes what the last one left open, ends by TERM, and everything is shipped."""
    agent = _agent(spool, environment, is_awaited=True)
    agent.send_signal(signal.SIGTERM)
    agent.wait(timeout=_LIMIT_SECONDS)
    shipper = _started("-m", "pipeline.telemetry.ship", str(spool), to, _HOST, environment=environment)
    if shipper.wait(timeout=_LIMIT_SECONDS) or list(spool.glob("*.spool.*")):
        raise LostOrDoubledError(f"not everything was shipped: {sorted(path.name for path in spool.iterdir())}")


def _shipped(server: S3Server, bucket: str) -> Mapping[str, list[Key]]:
    """Table -> the keys of its rows over all objects; `torn`: of lines that a cut went through."""
    client = server.client()
    found: dict[str, list[Key]] = {"torn": []}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for one in page.get("Contents", []):
            frames = parse(gzip.decompress(client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()), {})
            for table in (GPU_SAMPLES, ENGINE_SCRAPES, AGENT_RECORDS):
                rows = frames[table.name].select("agent_start_id", "sequence_number").rows()
                found.setdefault(table.name, []).extend(row for row in rows if row[1] >= 0)
            found["torn"] += [
                row for row in frames["agent_records"].select("agent_start_id", "sequence_number").rows() if row[1] < 0
            ]
    return found


def _holes(keys: Counter[Key]) -> Iterator[Key]:
    last: dict[str, int] = {}
    for start, sequence in keys:
        last[start] = max(last.get(start, 0), sequence)
    for start, sequence in last.items():
        yield from ((start, number) for number in range(sequence) if (start, number) not in keys)


def _refuse(seed: int, what: str, keys: list[Key]) -> None:
    if keys:
        raise LostOrDoubledError(f"seed {seed}: {len(keys)} records are {what}: {keys[:3]}")
