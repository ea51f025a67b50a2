"""A sampler that hangs, dies or cannot be killed costs time that is said to be unknown, and never the agent."""

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from pipeline.formats.spool import Gap, Record, Sample
from pipeline.telemetry.clock import Instant
from pipeline.telemetry.watch import SamplerWatch

START = Instant(1_793_491_200_000, 1_000)


class FakeChild:
    """A process as `child.Child` shows it, whose output the test writes."""

    def __init__(self, pid: int, *, dies: bool) -> None:
        reads, writes = os.pipe()
        self.pid = pid
        self.stdout: int | None = reads
        self._output = os.fdopen(writes, "wb", buffering=0)
        self._dies = dies
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        if self._dies:
            self.end(-9)

    def end(self, code: int) -> None:
        self.code = code
        self._output.close()

    def closes(self) -> None:
        """Its output, and goes on."""
        self._output.close()

    def says(self, message: dict[str, Any]) -> None:
        self._output.write(json.dumps(message).encode() + b"\n")

    def prints(self, content: bytes) -> None:
        self._output.write(content)

    def close(self) -> None:
        """This side of its pipe."""
        if self.stdout is not None:
            os.close(self.stdout)
            self.stdout = None

    def forget(self) -> None:
        self._output.close()
        self.close()


class Host:
    """A watch, its children, and what it wrote, at times that the test names."""

    def __init__(self, *, dies: bool = True) -> None:
        self.dies = dies
        self.children: list[FakeChild] = []
        self.known: list[frozenset[str]] = []
        self.written: list[tuple[Record, Instant]] = []
        self.said: list[str] = []
        self.watch = SamplerWatch(
            self.spawn,
            patience_ms=30_000,
            write=lambda record, at: self.written.append((record, at)),
            say=self.said.append,
            now=START,
        )

    def spawn(self, known: frozenset[str]) -> FakeChild:
        self.known.append(known)
        self.children.append(FakeChild(100 + len(self.children), dies=self.dies))
        return self.children[-1]

    def step(self, seconds: float) -> None:
        self.watch.step(at(seconds))

    def receive(self, seconds: float) -> None:
        self.watch.receive(at(seconds))

    def sample(self, seconds: float, *, interval_s: float = 5) -> None:
        """The current child samples its GPU at that moment, and the agent reads it."""
        moment = at(seconds)
        fields = {"interval_ms": int(interval_s * 1000), "gpu_uuid": "GPU-1", "util_gpu_pct": 0, "health": "ok"}
        message = {"at_ms": moment.at_ms, "mono_ms": moment.mono_ms, "record": "sample", "fields": fields}
        self.children[-1].says(message)
        self.receive(seconds)

    @property
    def gaps(self) -> list[tuple[float, float, str]]:
        """From and to, in seconds since the start, and the reason."""
        return [
            ((moment.mono_ms - record.interval_ms - START.mono_ms) / 1000, (moment.mono_ms - START.mono_ms) / 1000, why)
            for record, moment in self.written
            if isinstance(record, Gap)
            for why in [record.reason]
        ]

    def covered_seconds(self) -> float:
        return sum(record.interval_ms for record, _ in self.written if isinstance(record, Gap | Sample)) / 1000


def at(seconds: float) -> Instant:
    return START.earlier(-int(seconds * 1000))


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    for child in made.children:
        child.forget()


def test_a_hung_driver_costs_a_gap_with_its_reason_and_a_new_sampler(host: Host) -> None:
    host.step(0)
    host.sample(5)
    host.step(35)
    assert len(host.children) == 1
    host.step(36)  # 31 s of silence
    host.receive(36)
    host.step(37.5)
    assert len(host.children) == 2
    host.sample(43)
    reason = "the driver did not answer for 31 s: the sampler (process 100) was killed"
    assert host.gaps == [(5, 36, reason), (36, 38, reason)]
    assert host.covered_seconds() == 43
    assert host.said == [
        f"breakeven agent: GPUs are not sampled: {reason}",
        "breakeven agent: GPUs are sampled again",
    ]


def test_a_heartbeat_is_patience_enough_and_no_reading(host: Host) -> None:
    host.step(0)
    for seconds in range(20, 200, 20):
        host.children[0].says({"beat": "reading"})
        host.receive(seconds)
        host.step(seconds)
    assert (len(host.children), host.written) == (1, [])


def test_a_sampler_that_cannot_be_killed_is_abandoned_and_said_so_and_at_most_three_of_them(host: Host) -> None:
    host.dies = False
    for second in range(3_600):
        host.step(second)
    assert len(host.children) == 3
    assert "the driver hangs: the sampler (process 100) cannot be killed and is abandoned" in {
        why for *_, why in host.gaps
    }
    host.children[1].end(-9)  # the driver came back
    host.step(3_600)
    assert len(host.children) == 4
    host.sample(3_606)
    assert host.covered_seconds() == 3_606


def test_a_sampler_that_cannot_ask_its_driver_is_started_anew_after_ever_longer_waits(host: Host) -> None:
    """A driver that was upgraded needs a fresh process; one that is not there must not be asked all the time."""
    starts: list[int] = []
    for second in range(1_200):
        host.step(second)
        if len(host.children) > len(starts):
            starts.append(second)
            host.children[-1].says({"failed": "The driver was upgraded (NVML error 18)"})
            host.receive(second)
            host.children[-1].end(3)
            host.receive(second)
    waits = [later - earlier for earlier, later in pairwise(starts)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert {why for *_, why in host.gaps} == {"The driver was upgraded (NVML error 18)"}
    assert len(host.said) == 1  # and not every five minutes
    host.step(1_200)
    assert all(to - since <= 60 for since, to, _ in host.gaps)
    assert host.covered_seconds() >= 1_140


def test_a_sampler_that_died_is_replaced_and_knows_which_gpus_there_were(host: Host) -> None:
    host.step(0)
    moment = at(5)
    message = {"at_ms": moment.at_ms, "mono_ms": moment.mono_ms, "record": "gpu", "fields": {"gpu_uuid": "GPU-1"}}
    host.children[0].says(message)
    host.receive(5)
    host.sample(5)
    host.children[0].end(-11)
    host.receive(7)
    host.step(8)
    assert host.gaps == [(5, 7, "the sampler ended (exit code -11)")]
    assert host.known == [frozenset(), frozenset({"GPU-1"})]


def test_what_a_sampler_says_after_its_time_was_called_unknown_is_not_counted_as_well(host: Host) -> None:
    host.dies = False
    host.step(0)
    host.step(31)
    host.sample(31)
    assert host.covered_seconds() == 31


@pytest.mark.parametrize("stray", [b"NVRM: stray\n", b"\xff\n", b"1\n", b'{"record": "other"}\n'])
def test_a_stray_line_of_a_library_costs_a_gap_and_a_new_sampler_and_never_the_agent(stray: bytes, host: Host) -> None:
    host.step(0)
    host.sample(5)
    host.children[0].prints(stray)
    host.receive(6)
    host.receive(6)
    host.step(8)
    host.sample(13)
    reason = "something other than readings came from the sampler (process 100): it was killed"
    assert host.gaps == [(5, 6, reason), (6, 8, reason)]
    assert host.covered_seconds() == 13


def test_samplers_that_close_their_output_and_go_on_do_not_pile_up(host: Host) -> None:
    """Each of them may hold a call into the driver for ever."""
    host.dies = False
    for number in range(3):
        host.step(number * 400)
        host.children[-1].closes()
        host.receive(number * 400 + 1)
    host.step(2_000)
    assert len(host.children) == 3
    host.children[0].code = -9
    host.step(2_001)
    assert len(host.children) == 4
