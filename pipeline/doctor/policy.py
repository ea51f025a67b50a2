"""The least that a role must be allowed, for what breakeven.yaml names on S3, Google Cloud or Azure.

AWS: exactly the requests that the code makes (`pipeline.sources.data_exports`, `pipeline.sources.inbox`,
`pipeline.landing.store`, `pipeline.sources.prometheus`); tests record these and compare. Google and Azure hold exports
only, and breakeven does not ask them: those roles are for whatever copies an export into an inbox.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.config.whole import Config

Policy = dict[str, Any]

_STATE_FOLDERS = ("landing", "cache", "snapshots")
_READ_GCS = ("storage.objects.get", "storage.objects.list")
# Both list and get: "Returns a blob or a list of blobs" (Azure built-in roles, read 2026-11-29).
_READ_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
# /api/v1/label/.../values, /api/v1/series, /api/v1/query (AWS, AmazonPrometheusQueryAccess, read 2026-11-29).
_ASK_PROMETHEUS = ("aps:GetLabels", "aps:GetSeries", "aps:QueryMetrics")
_WORKSPACE = re.compile(r"/workspaces/(ws-[A-Za-z0-9-]{1,64})(?:/|$)", re.ASCII)
_IN_PATTERN = re.compile(r"[*?$]")


@dataclass(frozen=True)
class S3Place:
    """A prefix of an S3 bucket that is read, or written. `prefix` is empty or ends with `/`."""

    kind: Literal["export", "report", "inbox", "state", "published"]
    bucket: str
    prefix: str

    @property
    def bucket_arn(self) -> str:
        return f"arn:aws:s3:::{self.bucket}"

    def below(self, *folders: str) -> list[str]:
        """Patterns of the objects below these folders of the prefix; of all objects below it without any."""
        return [f"{self.bucket_arn}/{_literally(self.prefix)}{folder}*" for folder in folders or ("",)]


@dataclass(frozen=True)
class PrometheusPlace:
    """A workspace of Amazon Managed Prometheus that is asked; `*` where its address does not name it."""

    region: str
    workspace: str


@dataclass(frozen=True)
class Invoicing:
    """What invoices come to, of whatever account: the service knows no narrower resource."""


Place = S3Place | PrometheusPlace | Invoicing


def aws_places(config: Config) -> tuple[Place, ...]:
    """What breakeven.yaml names on S3 and at Amazon Managed Prometheus, and its invoices, each once, in its order."""

    def said() -> Iterator[Place]:
        for source in config.sources:
            if isinstance(region := source.settings.get("sigv4_region"), str):
                workspace = _WORKSPACE.search(source.base_url or "")
                yield PrometheusPlace(region, workspace[1] if workspace else "*")
            if source.source == "aws_invoices" and source.inbox is None:
                yield Invoicing()
            kind_of_export = "report" if source.source == "aws_cur" else "export"
            for kind, url in ((kind_of_export, source.settings.get("export")), ("inbox", source.inbox)):
                if isinstance(url, str) and url.startswith("s3://"):
                    yield _place(kind, url)
        if config.state.startswith("s3://"):
            yield _place("state", config.state)
        if config.reports.publish is not None and config.reports.publish.startswith("s3://"):
            yield _place("published", config.reports.publish)

    return tuple(dict.fromkeys(said()))


def _place(kind: Any, url: str) -> S3Place:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return S3Place(kind, bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else "")


def _literally(text: str) -> str:
    """A name in which nothing stands for something else (IAM, "Policy variables")."""
    return _IN_PATTERN.sub(lambda found: f"${{{found[0]}}}", text)


def aws_policy(places: Sequence[Place], *, is_cleanup: bool = False) -> Policy:
    """An IAM policy for whoever calls `breakeven run`.

    `is_cleanup`: of the state only, for whoever calls `breakeven collect` and `breakeven landing redact`.
    """
    statements: list[Policy] = []
    for place in places:
        if isinstance(place, PrometheusPlace):
            statements += [] if is_cleanup else [_ask(place)]
        elif isinstance(place, Invoicing):
            statements += [] if is_cleanup else [_allow("ListInvoices", "invoicing:ListInvoiceSummaries", "*")]
        elif place.kind == "state":
            statements += _clean(place) if is_cleanup else _state(place)
        elif not is_cleanup:
            statements += _publish(place) if place.kind == "published" else _read(place)
    return {
        "Version": "2012-10-17",
        "Statement": [_numbered(said, at, statements) for at, said in enumerate(statements)],
    }


def _numbered(statement: Policy, at: int, statements: Sequence[Policy]) -> Policy:
    """Sids are unique within a policy."""
    earlier = sum(one["Sid"] == statement["Sid"] for one in statements[:at])
    return {**statement, "Sid": f"{statement['Sid']}{earlier + 1}"} if earlier else statement


def _allow(sid: str, action: str | list[str], resource: str | list[str], **more: Any) -> Policy:
    listed = resource[0] if isinstance(resource, list) and len(resource) == 1 else resource
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": listed, **more}


def _read(place: S3Place) -> list[Policy]:
    """List and read: of an export its manifests and its data, of a legacy report or an inbox all that lies there."""
    prefix = _literally(place.prefix)
    listed = {"export": [f"{prefix}metadata/", f"{prefix}data/*"], "report": [f"{prefix}*"]}.get(place.kind, [prefix])
    objects = place.below("metadata/", "data/") if place.kind == "export" else place.below()
    what = place.kind.capitalize()
    return [
        _allow(f"List{what}", "s3:ListBucket", place.bucket_arn, Condition={"StringLike": {"s3:prefix": listed}}),
        _allow(f"Read{what}", "s3:GetObject", objects),
    ]


def _ask(place: PrometheusPlace) -> Policy:
    workspace = f"arn:aws:aps:{place.region}:*:workspace/{place.workspace}"
    return _allow("AskPrometheus", list(_ASK_PROMETHEUS), workspace)


def _state(place: S3Place) -> list[Policy]:
    """Listing without a condition: with one, S3 answers "denied" for an object that is not there."""
    return [
        _allow("ListTheWholeS3Bucket", "s3:ListBucket", place.bucket_arn),
        _allow("ReadAndAddToState", ["s3:GetObject", "s3:PutObject"], _state_objects(place, *_STATE_FOLDERS)),
        {
            "Sid": "NeverTakeAnythingAway",
            "Effect": "Deny",
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": place.below()[0],
        },
    ]


def _publish(place: S3Place) -> list[Policy]:
    """What lies there is read only to see whether it is the same; listed, since S3 says "denied" otherwise."""
    return [
        _allow("ListThePublished", "s3:ListBucket", place.bucket_arn),
        _allow("PublishReports", ["s3:GetObject", "s3:PutObject"], place.below()),
    ]


def _clean(place: S3Place) -> list[Policy]:
    return [
        _allow("ListTheWholeS3Bucket", ["s3:ListBucket", "s3:ListBucketVersions"], place.bucket_arn),
        _allow("ReadAndAddToState", ["s3:GetObject", "s3:PutObject"], _state_objects(place, *_STATE_FOLDERS)),
        _allow("CollectWhatNothingNeeds", "s3:DeleteObject", _state_objects(place, "cache", "snapshots")),
        _allow(
            "RedactObjectsAndWhatWasReadOfThem",
            "s3:DeleteObjectVersion",
            _state_objects(place, "landing/objects", "cache/parsed"),
        ),
    ]


def _state_objects(place: S3Place, *folders: str) -> list[str]:
    return place.below(*(f"{folder}/" for folder in folders))


def gcp_role() -> Policy:
    """A custom role for `gcloud iam roles create --file`: read an export's objects, and nothing else."""
    return {
        "title": "Breakeven export reader",
        "description": "List and read the objects of a billing export's bucket.",
        "stage": "GA",
        "includedPermissions": list(_READ_GCS),
    }


def azure_role(container_id: str) -> Policy:
    """A custom role for `az role definition create --role-definition`. `container_id`: the container's resource id."""
    return {
        "Name": "Breakeven export reader",
        "IsCustom": True,
        "Description": "List and read the blobs of a cost export's container.",
        "Actions": [],
        "NotActions": [],
        "DataActions": [_READ_BLOBS],
        "NotDataActions": [],
        "AssignableScopes": ["/".join(container_id.split("/")[:5])],
    }
