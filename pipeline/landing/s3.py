"""Clients of S3, one made at a time: threads may share a client, and must not share the session while it makes one."""

import threading
from typing import Any

_making = threading.Lock()


def s3_client(**options: Any) -> Any:
    """A client of the default session, region and credentials as the environment has them. `options`: of boto3."""
    import boto3

    with _making:
        return boto3.client("s3", **options)
