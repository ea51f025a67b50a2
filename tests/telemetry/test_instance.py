"""Which machine of the provider's bill this is, as metadata servers on loopback tell it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.telemetry.instance import Resource, provider_resource

Answer = Callable[[str, dict[str, str]], tuple[int, str]]
VENDORS = {"aws": "Amazon EC2", "gcp": "Google", "azure": "Microsoft Corporation"}
AZURE_ID = "/subscriptions/1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm-1"


@contextmanager
def metadata(answer: Answer, *, length: int | None = None) -> Iterator[tuple[str, int]]:
    """A metadata server: `answer` of the first line and the headers of each request. `length`: as it announces it."""
    announced = "" if length is None else f"content-length: {length}\r\n"
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                first, *lines = connection.recv(4_096).decode().split("\r\n\r\n")[0].split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines)
                status, body = answer(first.rsplit(" ", 1)[0], headers)
                connection.sendall(f"HTTP/1.1 {status} whatever\r\nServer: x\r\n{announced}\r\n{body}".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def aws(request: str, headers: dict[str, str]) -> tuple[int, str]:
    if request == "PUT /latest/api/token":
        return (200, "the-token") if headers["X-aws-ec2-metadata-token-ttl-seconds"] == "60" else (400, "")
    is_known = request == "GET /latest/meta-data/instance-id" and headers.get("X-aws-ec2-metadata-token") == "the-token"
    return (200, "i-0123456789abcdef0") if is_known else (401, "")


def gcp(request: str, headers: dict[str, str]) -> tuple[int, str]:
    is_known = request == "GET /computeMetadata/v1/instance/id" and headers.get("Metadata-Flavor") == "Google"
    return (200, "4520031799277581759\n") if is_known else (403, "")


def azure(request: str, headers: dict[str, str]) -> tuple[int, str]:
    is_known = request.startswith("GET /metadata/instance/compute/resourceId?") and headers.get("Metadata") == "true"
    return (200, AZURE_ID) if is_known else (400, "")


def firmware(folder: Path, vendor: str, *, tag: str = "") -> Path:
    (folder / "sys_vendor").write_text(f"{vendor}\n")
    (folder / "board_asset_tag").write_text(f"{tag}\n")
    return folder


@pytest.mark.parametrize(
    ("vendor", "answer", "resource_id"),
    [("aws", aws, "i-0123456789abcdef0"), ("gcp", gcp, "4520031799277581759"), ("azure", azure, AZURE_ID)],
)
def test_a_machine_is_called_as_its_provider_calls_it(
    tmp_path: Path, vendor: str, answer: Answer, resource_id: str
) -> None:
    with metadata(answer) as address:
        found = provider_resource({}, dmi=firmware(tmp_path, VENDORS[vendor]), address=address)
    assert found == Resource(resource_id, vendor)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RUNPOD_POD_ID": "abc123xyz"}, Resource("abc123xyz", "runpod")),
        ({"VAST_CONTAINERLABEL": "C.5551212"}, Resource("5551212", "vast")),
        ({"RUNPOD_POD_ID": ""}, None),
        ({"RUNPOD_POD_ID": "two words"}, None),
        ({}, None),
    ],
)
def test_a_rented_container_is_called_as_its_environment_says(
    tmp_path: Path, environment: dict[str, str], expected: Resource | None
) -> None:
    assert provider_resource(environment, dmi=tmp_path, address=("127.0.0.1", 1)) == expected


def test_only_the_provider_that_the_firmware_names_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: str, _: dict[str, str]) -> tuple[int, str]:
        asked.append(request)
        return 200, "i-1"

    with metadata(answer) as address:
        for vendor in ("QEMU", "Dell Inc.", ""):
            assert provider_resource({}, dmi=firmware(tmp_path, vendor), address=address) is None
        assert asked == []
        provider_resource({}, dmi=firmware(tmp_path, "Google"), address=address)
    assert [request.split("/")[1] for request in asked] == ["computeMetadata"]


@pytest.mark.parametrize("said", [(404, "i-1"), (200, ""), (200, "<html>no such page</html>"), (200, "x" * 100_000)])
def test_what_is_no_identifier_is_nothing(tmp_path: Path, said: tuple[int, str]) -> None:
    with metadata(lambda *_: said) as address:
        assert provider_resource({}, dmi=firmware(tmp_path, "Google"), address=address) is None


def test_a_token_that_would_be_two_headers_is_not_sent(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: str, _: dict[str, str]) -> tuple[int, str]:
        asked.append(request)
        return 200, "token\r\nX-Other: 1"

    with metadata(answer) as address:
        assert provider_resource({}, dmi=firmware(tmp_path, "Amazon EC2"), address=address) is None
    assert asked == ["PUT /latest/api/token"]


def test_an_answer_that_is_shorter_than_announced_names_no_machine(tmp_path: Path) -> None:
    for length, expected in ((19, None), (6, Resource("452003", "gcp"))):
        with metadata(lambda *_: (200, "452003"), length=length) as address:
            assert provider_resource({}, dmi=firmware(tmp_path, "Google"), address=address) == expected


def test_a_pod_whose_question_is_not_answered_reads_the_firmware_of_a_nitro_machine(tmp_path: Path) -> None:
    """AWS answers a container behind one more hop only where the machine's owner allows it."""
    dmi = firmware(tmp_path, "Amazon EC2", tag="i-0fedcba9876543210")
    assert provider_resource({}, dmi=dmi, address=("127.0.0.1", 1)) == Resource("i-0fedcba9876543210", "aws")
    dmi = firmware(tmp_path, "Amazon EC2", tag="Amazon EC2")
    assert provider_resource({}, dmi=dmi, address=("127.0.0.1", 1)) is None


def test_a_server_that_does_not_end_its_answer_is_given_up_on(tmp_path: Path) -> None:
    release = threading.Event()

    def answer(*_: object) -> tuple[int, str]:
        release.wait(20)
        return 200, "1"

    with metadata(answer) as address:
        began = time.monotonic()
        assert provider_resource({}, dmi=firmware(tmp_path, "Google"), address=address, seconds=0.1) is None
        took = time.monotonic() - began
        release.set()
    assert took < 10
