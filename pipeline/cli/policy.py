"""`policy`: the least that a role must be allowed, as the cloud's own JSON."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.cli.groups import WholeSentences
from pipeline.cli.options import open_project, project_option
from pipeline.doctor.policy import aws_places, aws_policy, azure_role, gcp_role
from pipeline.errors import BreakevenError
from pipeline.sources.ingest import check_sources

_CONTAINER = re.compile(
    r"/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/[^/]+/providers/Microsoft\.Storage/storageAccounts/[a-z0-9]{3,24}"
    r"/blobServices/default/containers/[a-z0-9$-]{3,63}"
)
_GCS_BUCKET = re.compile(r"(?:gs://)?([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/?")


@click.group(cls=WholeSentences)
def policy() -> None:
    """The least that a role must be allowed, as JSON that its cloud takes.

    \b
    Examples:
      breakeven policy aws > policy.json
      breakeven policy gcp --bucket gs://example-billing
      breakeven policy azure --container $CONTAINER_ID
    """


@policy.command()
@project_option
@click.option(
    "--cleanup", "is_cleanup", is_flag=True, help="For whoever calls `collect` and `landing redact`, instead."
)
def aws(folder: Path | None, is_cleanup: bool) -> None:
    """What breakeven.yaml names at AWS: exports, inboxes and state on S3, a managed Prometheus; no request more.

    \b
    Examples:
      breakeven policy aws
      breakeven policy aws --project /srv/breakeven > policy.json
      breakeven policy aws --cleanup
    """
    project = open_project(folder)
    check_sources(project.config)
    found = aws_policy(aws_places(project.config), is_cleanup=is_cleanup)
    if not found["Statement"]:
        raise BreakevenError(
            "breakeven.yaml keeps no `state` on S3: there is nothing to clean up there."
            if is_cleanup
            else "breakeven.yaml names nothing at AWS (no settings.export, inbox or state that starts with s3://, no "
            "settings.sigv4_region): no permission is needed."
        )
    _print(found)


@policy.command()
@click.option("--bucket", required=True, metavar="NAME", help="The bucket that the billing export is written to.")
def gcp(bucket: str) -> None:
    """A custom role that reads a billing export's bucket on Google Cloud.

    breakeven does not ask Google Cloud: the role is for whatever copies the export into an inbox of
    `gcp_billing_export`, or of `focus`.

    \b
    Example:
      breakeven policy gcp --bucket gs://example-billing > role.json
    """
    match = _GCS_BUCKET.fullmatch(bucket)
    if match is None:
        raise click.BadParameter(f"{bucket!r} is not a bucket, like gs://example-billing.", param_hint="--bucket")
    _print(gcp_role())
    name = match[1]
    click.echo(
        "Then, as whoever administers the project:\n"
        "  gcloud iam roles create breakevenExportReader --project=PROJECT --file=role.json\n"
        f"  gcloud storage buckets add-iam-policy-binding gs://{name} --member=serviceAccount:ACCOUNT "
        "--role=projects/PROJECT/roles/breakevenExportReader\n"
        f"and copy into an inbox: gcloud storage rsync --recursive gs://{name} INBOX",
        err=True,
    )


@policy.command()
@click.option("--container", required=True, metavar="ID", help="Resource id of the container the export is written to.")
def azure(container: str) -> None:
    """A custom role that reads a cost export's container on Azure.

    breakeven does not ask Azure: the role is for whatever copies the export to where `azure_cost_details` reads its
    runs, or into an inbox of `focus`.

    \b
    Example:
      breakeven policy azure --container $CONTAINER_ID > role.json
    """
    if _CONTAINER.fullmatch(container) is None:
        raise click.BadParameter(
            f"{container!r} is not a container's resource id: /subscriptions/<id>/resourceGroups/<group>/providers/"
            "Microsoft.Storage/storageAccounts/<account>/blobServices/default/containers/<container>.",
            param_hint="--container",
        )
    account, name = container.split("/")[8], container.rpartition("/")[2]
    _print(azure_role(container))
    click.echo(
        "Then, as whoever administers the subscription:\n"
        "  az role definition create --role-definition role.json\n"
        f'  az role assignment create --role "Breakeven export reader" --assignee ID --scope {container}\n'
        "and copy into an inbox: azcopy sync "
        f"https://{account}.blob.core.windows.net/{name} INBOX --recursive",
        err=True,
    )


def _print(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))
