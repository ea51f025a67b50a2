"""Clients of S3, one made at a time: threads may share a client, and must not share the session while it makes one."""

import re
import threading
from typing import Any

# Where a refusal says what is missing, as S3 does within one account; whoever the role is, is not repeated.
_NOT_AUTHORIZED = re.compile(r"not authorized to perform: ([a-z0-9-]{1,32}:[A-Za-z]{1,64})\b", re.ASCII)
WHICH_POLICY = "`breakeven policy aws` prints all that it needs"
_making = threading.Lock()


def missing_permission(error: Any, otherwise: str) -> str:
    """The permission that S3 says is missing (of another service too: `kms:Decrypt`); else what the request needs."""
    said = str(getattr(error, "response", {}).get("Error", {}).get("Message") or "")
    named = _NOT_AUTHORIZED.search(said)
    return named[1] if named else otherwise


def s3_client(**options: Any) -> Any:
    """A client of the default session, region and credentials as the environment has them. `options`: of boto3."""
    import boto3

    with _making:
        return boto3.client("s3", **options)
