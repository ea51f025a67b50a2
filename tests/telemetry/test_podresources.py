"""Which pod holds which GPUs, asked of a real gRPC server on a unix socket, and of ones that are none."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry.podresources import PodGpus, pod_gpus, pods_in

Device = tuple[str, Sequence[str]]  # resource name, ids
Pod = tuple[str, str, Sequence[Device]]  # namespace, name


def encoded(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    size = len(content)
    length = b""
    while size >= 0x80:
        length += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return bytes((number << 3 | 2,)) + length + bytes((size,)) + content


def listed(pods: Sequence[Pod]) -> bytes:
    """A ListPodResourcesResponse; each device in a container of its own, with a topology and CPUs beside it."""
    message = b""
    for namespace, name, devices in pods:
        containers = b""
        for resource, ids in devices:
            device = encoded(1, resource.encode()) + b"".join(encoded(2, one.encode()) for one in ids)
            cpus = encoded(3, b"\x01\x02") + b"\x30\x07"  # cpu_ids, packed, and a field that is a number
            containers += encoded(3, encoded(1, b"main") + encoded(2, device + encoded(3, b"")) + cpus)
        message += encoded(1, encoded(1, name.encode()) + encoded(2, namespace.encode()) + containers)
    return message


@contextmanager
def kubelet(folder: Path, answer: Callable[[], bytes]) -> Iterator[Path]:
    """A gRPC server with the one call. The folder's name must be short: the path of a unix socket is."""
    path = folder / "k.sock"

    def serve(_: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return answer()
        except RuntimeError as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
            raise

    handler = grpc.unary_unary_rpc_method_handler(serve)
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": handler}),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield path
    finally:
        server.stop(None).wait(10)


PODS: Sequence[Pod] = (
    ("llm", "chat-0", [("nvidia.com/gpu", ["GPU-2", "GPU-1"]), ("cpu", ["0"])]),
    ("llm", "rerank-0", [("nvidia.com/mig-1g.10gb", ["MIG-7"])]),
    ("llm", "shared-0", [("nvidia.com/gpu", ["GPU-3::0", "GPU-3::1"])]),
    ("web", "front", [("example.com/fpga", ["F-1"])]),
    ("web", "none", []),
)


def test_the_kubelet_says_which_pod_holds_which_gpus(tmp_path: Path) -> None:
    with kubelet(tmp_path, lambda: listed(PODS)) as path:
        assert pod_gpus(path, seconds=10) == [
            PodGpus("llm", "chat-0", ("GPU-1", "GPU-2")),
            PodGpus("llm", "rerank-0", ("MIG-7",)),
            PodGpus("llm", "shared-0", ("GPU-3",)),
        ]


def test_an_answer_of_many_frames_is_read_whole(tmp_path: Path) -> None:
    """A frame holds 16 KiB, and the window of a stream 64 KiB unless it is opened further."""
    pods = [("llm", f"chat-{number}", [("nvidia.com/gpu", [f"GPU-{number:036d}"])]) for number in range(3_000)]
    with kubelet(tmp_path, lambda: listed(pods)) as path:
        assert [found.pod for found in pod_gpus(path, seconds=20)] == [name for _, name, _ in pods]


def test_no_pods_is_an_answer(tmp_path: Path) -> None:
    with kubelet(tmp_path, lambda: b"") as path:
        assert pod_gpus(path, seconds=10) == []


def refuses() -> bytes:
    raise RuntimeError("too many calls")


@pytest.mark.parametrize("answer", [refuses, lambda: listed(PODS)[:-3], lambda: b"\x0b\x00"])
def test_what_is_no_list_of_pods_is_an_error_and_not_no_pods(tmp_path: Path, answer: Callable[[], bytes]) -> None:
    with kubelet(tmp_path, answer) as path, pytest.raises(OSError, match="no list of pods"):
        pod_gpus(path, seconds=10)


def test_a_socket_that_says_nothing_is_given_up_on(tmp_path: Path) -> None:
    path = tmp_path / "k.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with pytest.raises(OSError, match=r"does not answer|timed out"):
            pod_gpus(path, seconds=0.2)
    with pytest.raises(OSError, match="No such file"):
        pod_gpus(tmp_path / "none")


@given(st.binary(max_size=60))
def test_whatever_bytes_a_message_has_they_are_pods_or_refused(content: bytes) -> None:
    """It ends, and takes no field from behind the message's end."""
    try:
        found = list(pods_in(content + listed(PODS[:1])))
    except (ValueError, IndexError):
        return
    assert all(isinstance(pod.pod, str) for pod in found)


def test_a_kubelet_that_says_a_little_at_a_time_is_given_up_on_at_the_deadline(tmp_path: Path) -> None:
    """Each byte comes in time; the answer does not."""
    done = threading.Event()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(tmp_path / "k.sock"))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            for _ in range(60):
                connection.sendall(b"\x00")
                if done.wait(0.1):
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(OSError, match=r"does not answer within 0\.5 s|timed out"):
            pod_gpus(tmp_path / "k.sock", seconds=0.5)
    finally:
        done.set()
        thread.join(30)
        server.close()
    assert time.monotonic() - began < 5
