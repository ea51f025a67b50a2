"""A role of S3: each request of this process is recorded, and refused as S3 does where a policy does not allow it.

Evaluates what `breakeven policy aws` prints: Allow, Deny, patterns of resources, and StringLike on s3:prefix.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient
from botocore.exceptions import ClientError

_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
}
_NOT_THERE = ("NoSuchKey", "404")

# (Sid, action, pattern of the resource, pattern of s3:prefix or None): one thing that a policy allows.
Grant = tuple[str, str, str, str | None]


@dataclass
class Role:
    """`used`: what of the policy a request needed. `refused`: what was asked and is not allowed."""

    policy: Mapping[str, Any]
    used: set[Grant] = field(default_factory=set)
    refused: list[tuple[str, str]] = field(default_factory=list)

    @property
    def grants(self) -> set[Grant]:
        return {grant for effect, grant in self._said() if effect == "Allow"}

    def _said(self) -> Iterator[tuple[str, Grant]]:
        for statement in self.policy["Statement"]:
            prefixes = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", [None])
            for action in _listed(statement["Action"]):
                for resource in _listed(statement["Resource"]):
                    for prefix in _listed(prefixes):
                        yield statement["Effect"], (statement["Sid"], action, resource, prefix)

    def allows(self, action: str, resource: str, prefix: str | None) -> bool:
        """Whether it does; if so, by what is remembered."""
        fits = [
            (effect, grant)
            for effect, grant in self._said()
            if grant[1] == action
            and _is_like(resource, grant[2])
            and (grant[3] is None or (prefix is not None and _is_like(prefix, grant[3])))
        ]
        if not fits or any(effect == "Deny" for effect, _ in fits):
            return False
        self.used.update(grant for _, grant in fits)
        return True

    def check(self, operation: str, arguments: Mapping[str, Any]) -> None:
        bucket, key = f"arn:aws:s3:::{arguments['Bucket']}", arguments.get("Key")
        action = "s3:DeleteObjectVersion" if "VersionId" in arguments else _ACTIONS[operation]
        resource = bucket if key is None else f"{bucket}/{key}"
        if not self.allows(action, resource, arguments.get("Prefix", "") if key is None else None):
            self.refuse(operation, action, resource)

    def refuse(self, operation: str, action: str, resource: str) -> None:
        self.refused.append((action, resource))
        # A HEAD has no body: nobody is told which permission it is.
        named = (
            f"User: arn:aws:sts::111122223333:assumed-role/x/y is not authorized to perform: {action} on resource: "
            f'"{resource}" because no identity-based policy allows the {action} action'
        )
        said = {"Code": "AccessDenied", "Message": named}
        if operation == "HeadObject":
            said = {"Code": "403", "Message": "Forbidden"}
        raise ClientError({"Error": said, "ResponseMetadata": {"HTTPStatusCode": 403}}, operation)


@contextmanager
def acting_as(policy: Mapping[str, Any]) -> Iterator[Role]:
    """All clients of this process are this role's."""
    role = Role(policy)
    call = BaseClient._make_api_call

    def asked(client: Any, operation: str, arguments: Mapping[str, Any]) -> Any:
        role.check(operation, arguments)
        try:
            return call(client, operation, arguments)
        except ClientError as error:
            bucket = f"arn:aws:s3:::{arguments['Bucket']}"
            # Whoever may not list is not told that something is not there.
            if error.response["Error"]["Code"] in _NOT_THERE and not role.allows("s3:ListBucket", bucket, None):
                role.refuse(operation, "s3:ListBucket", bucket)
            raise

    with patch.object(BaseClient, "_make_api_call", asked):
        yield role


def _listed(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [said]


def _is_like(text: str, pattern: str) -> bool:
    """IAM's patterns: `*` and `?`, and `${*}` for the sign itself."""
    parts = re.split(r"(\$\{[*?$]\}|[*?])", pattern)
    spelled = {"*": ".*", "?": ".", **{f"${{{sign}}}": re.escape(sign) for sign in "*?$"}}
    return re.fullmatch("".join(spelled.get(part, re.escape(part)) for part in parts), text, re.DOTALL) is not None
