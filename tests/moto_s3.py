"""An S3 protocol on loopback (moto's server), for tests that want a bucket of their own."""

import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from pipeline.landing.store import S3Store

CREDENTIALS: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True)
class S3Server:
    """`endpoint`: where it listens."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint}

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            region_name="us-east-1",
        )

    def bucket(self, *, is_versioned: bool = False) -> str:
        """The name of a new S3 bucket."""
        name = f"test-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        if is_versioned:
            versioning = {"Status": "Enabled"}
            self.client().put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
        return name

    def store(self, *, is_versioned: bool = False) -> S3Store:
        """A prefix of a new S3 bucket."""
        return S3Store(client=self.client(), bucket=self.bucket(is_versioned=is_versioned), prefix="state")


@contextmanager
def s3_server() -> Iterator[S3Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        server.stop()
