"""Which GPUs each scraped engine runs on: as declared, as the kubelet tells, or by its processes on them; else unknown.

What is told of a MIG slice is told of its GPU, with the slice's part of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from pipeline.formats.frozen import Frozen
from pipeline.formats.spool import WHOLE_PPM, Gpu, MigSlice, Record, mig_part_ppm
from pipeline.telemetry.clock import Clock
from pipeline.telemetry.podresources import PodGpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_FRESH_MS = 10_000
_LISTENER_MS = 60_000
_LISTENS = "0A"


class Holding(Frozen):
    """`shares_ppm`: the part of each GPU, in their order. `method`: declared, pod_resources or compute_pids.

    `memory_bytes`: what the engine's processes hold of each; null where that is not known of all of them.
    """

    gpu_uuids: tuple[str, ...]
    shares_ppm: tuple[int, ...]
    method: str
    memory_bytes: tuple[int, ...] | None = None


class Holdings:
    """Told by the agent what its sampler reads; asked by the threads that scrape. Dicts are replaced, not changed."""

    def __init__(
        self,
        *,
        declared: Mapping[str, Sequence[str]],
        pods: Callable[[], Iterable[PodGpus]] | None,
        clock: Clock,
        proc: str | PathLike[str] = "/proc",
    ) -> None:
        self._declared = declared
        self._pods = pods
        self._clock = clock
        self._proc = os.fspath(proc)
        self._indices: dict[str, str] = {}
        self._parts: dict[str, tuple[str, int, int]] = {}  # slice -> GPU, its instance's number, its part in ppm
        self._pids: Mapping[str, Mapping[int, int | None]] = {}
        self._instances: Mapping[str, Mapping[int, Sequence[int]]] = {}
        self._listed: tuple[int, dict[str, tuple[str, ...]]] | None = None
        self._listeners: dict[int, tuple[int, int | None]] = {}

    def learn(self, record: Record) -> None:
        """GPUs by their index, and MIG slices by what part of which GPU they are."""
        if isinstance(record, Gpu):
            if record.gpu_index is not None:
                self._indices = {**self._indices, str(record.gpu_index): record.gpu_uuid}
            # The slices of a new layout are told right after their GPU.
            self._parts = {uuid: part for uuid, part in self._parts.items() if part[0] != record.gpu_uuid}
        elif isinstance(record, MigSlice) and record.of_slice_count:
            part_ppm = mig_part_ppm(record.slice_count, record.of_slice_count)
            part = (record.gpu_uuid, record.gpu_instance_id, part_ppm)
            self._parts = {**self._parts, record.slice_uuid: part}

    def processes(
        self,
        pids: Mapping[str, Mapping[int, int | None]],
        instances: Mapping[str, Mapping[int, Sequence[int]]],
    ) -> None:
        """GPU UUID -> its compute processes: PID -> bytes held of its memory, null where the driver does not say.

        `instances`: of GPUs in MIG, PID -> the GPU instances that it is on.
        """
        self._pids, self._instances = pids, instances

    def of(self, replica_id: str, url: str) -> Holding | None:
        """The GPUs of one engine; null where nobody says them."""
        named = self._declared.get(replica_id)
        if named is not None:
            return self._held([self._indices.get(name, name) for name in named], "declared")
        held = self._by_pod().get(replica_id)
        if held:
            return self._held(held, "pod_resources")
        computing = self._computing(url)
        devices = [device for gpu, held in computing.items() for device in self._computed_on(gpu, held)]
        found = self._held(devices, "compute_pids")
        return None if found is None else found.but(memory_bytes=_memory_of(found.gpu_uuids, computing))

    def _held(self, devices: Iterable[str], method: str) -> Holding | None:
        """Two slices of one GPU are its sum; two compute instances of one slice are that slice."""
        parts: dict[str, dict[int | None, int]] = {}
        for device in devices:
            if device in self._parts:
                gpu, number, part_ppm = self._parts[device]
                parts.setdefault(gpu, {})[number] = part_ppm
            elif device.startswith("GPU-"):
                parts.setdefault(device, {})[None] = WHOLE_PPM
            else:
                return None  # a slice or an index that the driver does not list: whose it is is not known
        gpus = tuple(sorted(parts))
        shares = tuple(min(sum(parts[gpu].values()), WHOLE_PPM) for gpu in gpus)
        return Holding(gpus, shares, method) if gpus else None

    def _by_pod(self) -> dict[str, tuple[str, ...]]:
        """Devices by the pod's name, and by its namespace and name; a name that two namespaces have is nobody's."""
        if self._pods is None:
            return {}
        now_ms = self._clock().mono_ms
        if self._listed is None or now_ms - self._listed[0] > _FRESH_MS:
            found: dict[str, tuple[str, ...]] = {}
            twice: set[str] = set()
            with suppress(OSError):
                for pod in self._pods():
                    if pod.pod in found:
                        twice.add(pod.pod)
                    found[pod.pod] = found[f"{pod.namespace}/{pod.pod}"] = pod.device_ids
            self._listed = (now_ms, {name: devices for name, devices in found.items() if name not in twice})
        return self._listed[1]

    def _computed_on(self, gpu: str, pids: Iterable[int]) -> set[str]:
        """The slices of MIG that these processes are on; the GPU itself where that is not known of each of them."""
        told = self._instances.get(gpu, {})
        by_number = {number: uuid for uuid, (of, number, _) in self._parts.items() if of == gpu}
        found: set[str] = set()
        for pid in pids:
            slices = [by_number.get(number) for number in told.get(pid, ())]
            if not slices or None in slices:
                return {gpu}
            found.update(uuid for uuid in slices if uuid is not None)
        return found

    def _computing(self, url: str) -> dict[str, dict[int, int | None]]:
        """GPU -> processes that listen at this address, or that such a one started, and what each holds of it."""
        parts = urlsplit(url)
        pids = {pid for held in self._pids.values() for pid in held}
        if parts.hostname not in _LOOPBACK or not pids:
            return {}
        listener = self._listener(parts.port or (443 if parts.scheme == "https" else 80))
        if listener is None:
            return {}
        own = {pid for pid in pids if listener in _ancestry(self._proc, pid)}
        return {gpu: {pid: memory for pid, memory in held.items() if pid in own} for gpu, held in self._pids.items()}

    def _listener(self, port: int) -> int | None:
        """Looked for once a minute, as that opens every process of the host; sooner where it is gone."""
        now_ms = self._clock().mono_ms
        found_ms, pid = self._listeners.get(port, (now_ms - _LISTENER_MS, None))
        if now_ms - found_ms >= _LISTENER_MS or (pid is not None and not os.path.exists(f"{self._proc}/{pid}")):
            pid = _listening(self._proc, port)
            self._listeners[port] = (now_ms, pid)
        return pid


def _memory_of(gpus: Sequence[str], held: Mapping[str, Mapping[int, int | None]]) -> tuple[int, ...] | None:
    """Bytes of each GPU; null where one process does not tell."""
    sums: list[int] = []
    for gpu in gpus:
        known = [memory for memory in held[gpu].values() if memory is not None]
        if len(known) < len(held[gpu]):
            return None
        sums.append(sum(known))
    return tuple(sums)


def _listening(proc: str, port: int) -> int | None:
    """The first process that holds a socket listening on this port; null where this user may not see it."""
    inodes: set[str] = set()
    for name in ("tcp", "tcp6"):
        with suppress(OSError), open(f"{proc}/net/{name}", encoding="ascii") as lines:
            next(lines, None)
            for line in lines:  # a busy host has megabytes of them
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    # A child that inherited the socket is younger; of those the first one started the others.
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        descriptors = f"{proc}/{pid}/fd"
        with suppress(OSError):
            if any(os.readlink(f"{descriptors}/{name}") in inodes for name in os.listdir(descriptors)):
                return pid
    return None


def _ancestry(proc: str, pid: int) -> set[int]:
    """A process and those that started it; empty where there is none of this number here."""
    found: set[int] = set()
    while pid > 1 and pid not in found:
        try:
            with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
        found.add(pid)
        pid = parent
    return found
