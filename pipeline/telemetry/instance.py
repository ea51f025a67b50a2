"""What the provider's bill calls this machine, as the provider itself tells the machine: no key, no permission needed.

A rented container has it in its environment, a virtual machine asks its metadata address, and only that of the provider
that its firmware names. Plain sockets: an HTTP client is seven megabytes, for one short answer at the start.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from pipeline.formats.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike

_SECONDS = 2.0
_MOST_BYTES = 65_536
_ID = re.compile(r"[A-Za-z0-9._/:@=+-]{1,512}")
_ADDRESS = ("169.254.169.254", 80)
_DMI = "/sys/class/dmi/id"
# Of a pod of RunPod and a container of Vast.ai (which writes it as C.1234); what their invoices call it.
_ENVIRONMENT = {"RUNPOD_POD_ID": "runpod", "VAST_CONTAINERLABEL": "vast"}
# Version 2, a token first: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
_AWS_TOKEN = ("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60", "Content-Length": "0"})
_AWS_ID = "/latest/meta-data/instance-id"
# https://cloud.google.com/compute/docs/metadata/querying-metadata
_GCP_ID = ("GET", "/computeMetadata/v1/instance/id", {"Metadata-Flavor": "Google"})
# https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service; the bill has the resource's whole id.
_AZURE_ID = (
    "GET",
    "/metadata/instance/compute/resourceId?api-version=2021-02-01&format=text",
    {"Metadata": "true"},
)
_VENDORS = {"amazon ec2": "aws", "google": "gcp", "microsoft corporation": "azure"}


class Resource(Frozen):
    """`told_by`: runpod, vast, aws, gcp or azure."""

    resource_id: str
    told_by: str


def provider_resource(
    environment: Mapping[str, str],
    *,
    dmi: str | PathLike[str] = _DMI,
    address: tuple[str, int] = _ADDRESS,
    seconds: float = _SECONDS,
) -> Resource | None:
    """Null where no provider says it within so many seconds, or says what is no identifier. Never raises."""
    for name, provider in _ENVIRONMENT.items():
        said = environment.get(name, "").removeprefix("C." if provider == "vast" else "")
        if _ID.fullmatch(said):
            return Resource(said, provider)
    vendor = _VENDORS.get(_firmware(dmi, "sys_vendor").lower())
    if vendor is None:
        return None
    said = _asked(vendor, address, deadline=time.monotonic() + seconds)
    if not said and vendor == "aws":
        # A container two hops away is not answered, and Nitro's firmware has the same id in it.
        said = _firmware(dmi, "board_asset_tag")
        said = said if said.startswith("i-") else ""
    return Resource(said, vendor) if _ID.fullmatch(said) else None


def _firmware(dmi: str | PathLike[str], name: str) -> str:
    try:
        with open(os.path.join(dmi, name), encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _asked(vendor: str, address: tuple[str, int], *, deadline: float) -> str:
    if vendor == "gcp":
        return _answer(address, *_GCP_ID, deadline=deadline)
    if vendor == "azure":
        return _answer(address, *_AZURE_ID, deadline=deadline)
    token = _answer(address, *_AWS_TOKEN, deadline=deadline)
    if not token:
        return ""
    return _answer(address, "GET", _AWS_ID, {"X-aws-ec2-metadata-token": token}, deadline=deadline)


def _answer(address: tuple[str, int], method: str, path: str, headers: Mapping[str, str], *, deadline: float) -> str:
    """The body of a 200; empty where there is none before the deadline."""
    lines = [f"{method} {path} HTTP/1.0", f"Host: {address[0]}", *(f"{name}: {text}" for name, text in headers.items())]
    content = b""
    with suppress(OSError, UnicodeDecodeError, ValueError):
        with socket.create_connection(address, timeout=_left(deadline)) as connection:
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
            while len(content) <= _MOST_BYTES:
                connection.settimeout(_left(deadline))
                chunk = connection.recv(4_096)
                if not chunk:
                    break
                content += chunk
        head, found, body = content.partition(b"\r\n\r\n")
        status = head.split(b"\r\n", 1)[0].split(b" ")
        is_whole = bool(found) and len(content) <= _MOST_BYTES and _announced(head) in (None, len(body))
        if is_whole and len(status) > 1 and status[1] == b"200":
            return body.decode("ascii").strip()
    return ""


def _announced(head: bytes) -> int | None:
    """How long the body is said to be, in bytes; None where that is not said. ValueError where it is no length."""
    for line in head.split(b"\r\n")[1:]:
        name, _, said = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(said)
    return None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
