"""Which AWS account the credentials found here are of, and where its Data Exports lie. Asked once; nothing is changed.

STS GetCallerIdentity needs no permission; bcm-data-exports:ListExports and GetExport are of us-east-1 alone (AWS, "Data
Exports API reference"). What a query exports is read from its FROM, as the console writes it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.errors import SourceError

_REGION = "us-east-1"
_MOST_EXPORTS = 50
_FROM = re.compile(r"\bFROM\s+([A-Za-z0-9_]+)", re.IGNORECASE)
_SOURCES = {"COST_AND_USAGE_REPORT": "aws_cur2", "FOCUS": "focus"}


@dataclass(frozen=True)
class DataExport:
    """`where`: as settings.export names it. `source`: what reads it; None where none of ours does."""

    name: str
    where: str
    source: str | None


@dataclass(frozen=True)
class AwsAccount:
    """`exports_problem`: why its exports could not be listed; None where they were."""

    account_id: str
    exports: tuple[DataExport, ...] = ()
    exports_problem: str | None = None


def aws_account(*, seconds: float) -> AwsAccount:
    """Asks with the credentials that boto3 finds by itself. SourceError where they are none, or not taken."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(connect_timeout=seconds, read_timeout=seconds, retries={"max_attempts": 1})
    try:
        session = boto3.Session()
        sts = session.client("sts", region_name=session.region_name or _REGION, config=config)
        account_id = str(sts.get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        raise SourceError(f"AWS: {_why(error)}") from None
    try:
        client = session.client("bcm-data-exports", region_name=_REGION, config=config)
        return AwsAccount(account_id, tuple(_exports(client)))
    except (BotoCoreError, ClientError) as error:
        return AwsAccount(account_id, exports_problem=_why(error))


def _exports(client: Any) -> Iterator[DataExport]:
    listed = client.list_exports(MaxResults=_MOST_EXPORTS)["Exports"]
    for one in sorted(listed, key=lambda one: str(one["ExportName"])):
        export = client.get_export(ExportArn=one["ExportArn"])["Export"]
        place = export["DestinationConfigurations"]["S3Destination"]
        prefix = "/".join(filter(None, (str(place.get("S3Prefix", "")).strip("/"), export["Name"])))
        table = _FROM.search(export["DataQuery"]["QueryStatement"])
        source = next((name for begin, name in _SOURCES.items() if table and table[1].upper().startswith(begin)), None)
        yield DataExport(export["Name"], f"s3://{place['S3Bucket']}/{prefix}", source)


def _why(error: Exception) -> str:
    """What AWS says, without what it was asked with."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "an error")
        return f"{error.operation_name} is refused ({code})"
    return f"{type(error).__name__}: {str(error)[:200]}"
