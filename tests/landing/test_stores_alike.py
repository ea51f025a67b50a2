"""A folder and an S3 bucket are the same store: the same operations, the same answers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.landing.store import FolderStore, Store
from tests.moto_s3 import S3Server, s3_server

# Names that sort differently with and without the `/` behind them, and no key that is another's folder.
KEYS = ("a/a.json", "a/b", "a/b-1", "a/c/x", "a/c/y.json", "a/c.json", "a/c-1/z", "b/a", "b/a=1.parquet")
FOLDERS = ("a", "a/c", "b", "c", "a/")

operations = st.one_of(
    st.tuples(st.sampled_from(["put", "put_file"]), st.sampled_from(KEYS), st.binary(max_size=4)),
    st.tuples(st.sampled_from(["find", "holds", "copy", "delete", "erase"]), st.sampled_from(KEYS)),
    st.tuples(st.just("keys"), st.sampled_from(FOLDERS), st.sampled_from(["", *KEYS])),
    st.tuples(st.just("entries"), st.sampled_from(FOLDERS)),
)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


def answer(store: Store, scratch: Path, operation: tuple[Any, ...]) -> Any:
    kind, key, *rest = operation
    file = scratch / "file"
    match kind:
        case "put":
            return store.put_if_absent(key, *rest)
        case "put_file":
            file.write_bytes(*rest)
            return store.put_file_if_absent(key, file)
        case "copy":
            file.unlink(missing_ok=True)
            return store.copy_to(key, file), file.read_bytes() if file.exists() else None
        case "keys":
            return list(store.keys(key, *rest))
        case "entries":
            return [(entry.key, entry.size_bytes) for entry in store.entries(key)]
        case _:
            return getattr(store, kind)(key)


@given(st.lists(operations, min_size=4, max_size=14))
@settings(max_examples=20)
def test_a_folder_and_an_s3_bucket_answer_alike(server: S3Server, asked: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stores = FolderStore(Path(folder) / "store"), server.store()
        for operation in asked:
            in_folder, on_s3 = (answer(store, Path(folder), operation) for store in stores)
            assert in_folder == on_s3, operation


def test_erasing_takes_every_version_and_deleting_does_not(server: S3Server) -> None:
    """What is deleted from an S3 bucket with versions can be had again; what is redacted must not."""
    store, client = server.store(is_versioned=True), server.client()
    (bucket,) = {one["Name"] for one in client.list_buckets()["Buckets"]} & {store._bucket}

    def versions() -> list[str]:
        return [one["Key"] for one in client.list_object_versions(Bucket=bucket).get("Versions", [])]

    for key in ("objects/ab/abc", "objects/ab/abcd"):
        store.put_if_absent(key, b"first")
        store.delete(key)
        store.put_if_absent(key, b"second")
    assert len(versions()) == 4
    store.erase("objects/ab/abc")
    assert versions() == ["state/objects/ab/abcd"] * 2
    assert not store.holds("objects/ab/abc")
    assert store.read("objects/ab/abcd") == b"second"
