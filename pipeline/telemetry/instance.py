"""What the provider's bill calls this machine, as the provider itself tells the machine: no key, no permission needed.

A rented container has it in its environment, a virtual machine asks its metadata address, and only that of the provider
that its firmware names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress

from pipeline.formats.frozen import Frozen
from pipeline.telemetry.deadline import Deadline
from pipeline.telemetry.http import CutError, ask

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
    said = _asked(vendor, address, deadline=Deadline(seconds))
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


def _asked(vendor: str, address: tuple[str, int], *, deadline: Deadline) -> str:
    if vendor == "gcp":
        return _answer(address, *_GCP_ID, deadline=deadline)
    if vendor == "azure":
        return _answer(address, *_AZURE_ID, deadline=deadline)
    token = _answer(address, *_AWS_TOKEN, deadline=deadline)
    if not token:
        return ""
    return _answer(address, "GET", _AWS_ID, {"X-aws-ec2-metadata-token": token}, deadline=deadline)


def _answer(address: tuple[str, int], method: str, path: str, headers: Mapping[str, str], *, deadline: Deadline) -> str:
    """The body of a 200; empty where there is none before the deadline."""
    with suppress(OSError, ValueError, CutError):
        answer = ask(
            method,
            host=address[0],
            port=address[1],
            is_tls=False,
            target=path,
            headers=headers,
            deadline=deadline,
            most_bytes=_MOST_BYTES,
        )
        if answer.status == 200:
            return answer.body.decode("ascii").strip()
    return ""
