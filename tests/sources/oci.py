"""Oracle Cloud's cost reports, as Oracle writes them. All generated."""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence

Row = Mapping[str, str]

NAME = "oci_cost_report"
ACCOUNT = "oracle"
TENANT = "ocid1.tenancy.oc1..example"
NODE = "ocid1.instance.oc1.iad.node1"
ROW: Row = {
    "lineItem/referenceNo": "7108a1f8",
    "lineItem/tenantId": TENANT,
    "lineItem/intervalUsageStart": "2026-11-02T10:00Z",
    "lineItem/intervalUsageEnd": "2026-11-02T11:00:00Z",
    "product/service": "COMPUTE",
    "product/compartmentId": "ocid1.compartment.oc1..serving",
    "product/compartmentName": "serving",
    "product/region": "us-ashburn-1",
    "product/availabilityDomain": "iad-1",
    "product/resourceId": NODE,
    "usage/billedQuantity": "8.000000000000000000",
    "usage/billedQuantityOverage": "",
    "cost/subscriptionId": "ocid1.organizationssubscription.oc1..example",
    "cost/productSku": "B98415",
    "product/Description": "Oracle Cloud Infrastructure - Compute - GPU - H100",
    "cost/unitPrice": "10.000000000000000000",
    "cost/unitPriceOverage": "",
    "cost/myCost": "80.000000000000000000",
    "cost/myCostOverage": "",
    "cost/currencyCode": "USD",
    "cost/billingUnitReadable": "1 NONE HOURS GPUS",
    "cost/skuUnitDescription": "GPU Per Hour",
    "cost/overageFlag": "false",
    "lineItem/isCorrection": "false",
    "lineItem/backreferenceNo": "",
    "tags/Oracle-Tags.CreatedBy": "default/user@example.com",
}


def row(cost: str = "80.000000000000000000", **said: str) -> dict[str, str]:
    """An hour of eight GPUs. `said` by the end of a header's name, as `isCorrection`."""
    named = {name.rpartition("/")[2]: name for name in ROW}
    return {**ROW, "cost/myCost": cost, **{named[name]: value for name, value in said.items()}}


def report(rows: Sequence[Row], *, is_packed: bool = False) -> bytes:
    """One file."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(dict.fromkeys(name for one in (ROW, *rows) for name in one)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    return gzip.compress(content, mtime=0) if is_packed else content
