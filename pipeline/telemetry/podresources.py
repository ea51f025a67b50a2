"""Which pod holds which GPUs of this node, as its kubelet tells over the pod resources socket.

The one call that is needed is gRPC over HTTP/2 on a unix socket: a client library for it is larger than the agent, so
the few frames are written here. Protocol: RFC 9113; message:
https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#monitoring-device-plugin-resources.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from pipeline.formats.frozen import Frozen
from pipeline.telemetry.deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike

SOCKET = "/var/lib/kubelet/pod-resources/kubelet.sock"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM = _ACK = 0x1
_END_HEADERS, _PADDED = 0x4, 0x8
# A window that a whole answer fits in, so that none is opened again: SETTINGS_INITIAL_WINDOW_SIZE, RFC 9113 6.5.2.
_WINDOW = 2**31 - 1
_MOST_BYTES = 16 * 1024**2
_REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/v1.PodResourcesLister/List"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)
_VENDOR = "nvidia.com/"


class PodGpus(Frozen):
    """`device_ids`: UUIDs of GPUs and of MIG slices, sorted; a GPU that is time-sliced is there once."""

    namespace: str
    pod: str
    device_ids: tuple[str, ...]


def pod_gpus(path: str | PathLike[str] = SOCKET, *, seconds: float = 2.0) -> list[PodGpus]:
    """Every pod of this node that holds one, by its NVIDIA device plugin. OSError where the kubelet does not say it."""
    try:
        return [found for found in pods_in(_listed(path, deadline=Deadline(seconds))) if found.device_ids]
    except (ValueError, IndexError, struct.error) as error:
        raise OSError(f"{path}: what the kubelet answers is no list of pods: {error}") from None


def _listed(path: str | PathLike[str], *, deadline: Deadline) -> bytes:
    headers = b"".join(b"\x00" + _literal(name) + _literal(value) for name, value in _REQUEST)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        deadline.give(connection)
        connection.connect(str(path))
        connection.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, struct.pack(">HI", 4, _WINDOW), stream=0)
            + _frame(_WINDOW_UPDATE, 0, struct.pack(">I", _WINDOW - 65_535), stream=0)
            + _frame(_HEADERS, _END_HEADERS, headers, stream=1)
            + _frame(_DATA, _END_STREAM, b"\x00\x00\x00\x00\x00", stream=1)
        )
        message = _answer(connection, deadline=deadline)
    if len(message) < 5 or message[0] != 0 or len(message) != 5 + int.from_bytes(message[1:5], "big"):
        raise ValueError(f"{len(message)} bytes that are no whole message")
    return message[5:]


def _answer(connection: socket.socket, *, deadline: Deadline) -> bytes:
    """The data of stream 1 up to its end."""
    content = b""
    while True:
        head = _exactly(connection, 9, deadline=deadline)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:], "big") & _WINDOW
        if size + len(content) > _MOST_BYTES:
            raise ValueError("it is larger than any node's")
        payload = _exactly(connection, size, deadline=deadline)
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, b"", stream=0))
        elif kind == _PING and not flags & _ACK:
            connection.sendall(_frame(_PING, _ACK, payload, stream=0))
        elif kind in (_GOAWAY, _RST_STREAM):
            raise ValueError(f"it ended the {'connection' if kind == _GOAWAY else 'call'}")
        elif stream == 1 and kind == _DATA:
            content += payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
        if stream == 1 and kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return content


def _exactly(connection: socket.socket, size: int, *, deadline: Deadline) -> bytes:
    content = b""
    while len(content) < size:
        deadline.give(connection)
        chunk = connection.recv(size - len(content))
        if not chunk:
            raise ValueError("it closed the connection")
        content += chunk
    return content


def _frame(kind: int, flags: int, payload: bytes, *, stream: int) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(text: str) -> bytes:
    """A string of HPACK as it is (RFC 7541 5.2); all here are shorter than 127."""
    return bytes((len(text),)) + text.encode("ascii")


# --- the message -----------------------------------------------------------------------------------------------------


def pods_in(message: bytes) -> Iterator[PodGpus]:
    """Every pod of a ListPodResourcesResponse. ValueError or IndexError where it is none, or cut."""
    for pod in _fields(message, 1):
        containers = list(_fields(pod, 3))
        devices = [device for container in containers for device in _fields(container, 2)]
        held = {
            one.decode().partition("::")[0]  # a replica of a time-sliced GPU is numbered
            for device in devices
            if _text(device, 1).startswith(_VENDOR)
            for one in _fields(device, 2)
        }
        yield PodGpus(namespace=_text(pod, 2), pod=_text(pod, 1), device_ids=tuple(sorted(held)))


def _text(message: bytes, number: int) -> str:
    return next((found.decode() for found in _fields(message, number)), "")


def _fields(message: bytes, number: int) -> Iterator[bytes]:
    """Every length-delimited field of this number; fields of other kinds are passed over."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 2:
            size, place = _varint(message, place)
            if place + size > len(message):
                raise ValueError("it is cut")
            if tag >> 3 == number:
                yield message[place : place + size]
            place += size
        elif kind == 0:
            _, place = _varint(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
