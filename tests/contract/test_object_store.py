"""Whole objects by key, and the workspace of a retraining on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quicksilver.aws.s3_objects import S3ObjectStore
from quicksilver.errors import NotFound, Unavailable
from quicksilver.retraining.workspace import ObjectStore, WorkFile, Workspace


def test_what_is_put_comes_back_and_the_last_of_several_counts(object_store: ObjectStore) -> None:
    assert object_store.get("training/a/1/set.parquet") is None
    object_store.put("training/a/1/set.parquet", b"first")
    object_store.put("training/a/1/set.parquet", b"\x00second\xff")
    assert object_store.get("training/a/1/set.parquet") == b"\x00second\xff"
    assert object_store.get("training/a/1/set") is None


def test_a_request_finds_its_own_files_and_no_others(object_store: ObjectStore) -> None:
    ours, theirs = (Workspace(object_store, "card-fraud", request) for request in ("r-1", "r-2"))
    ours.put(WorkFile.PACKAGE, b"ours")
    assert ours.get(WorkFile.PACKAGE) == b"ours"
    assert ours.key(WorkFile.PACKAGE) == "training/card-fraud/r-1/package.tar"
    assert theirs.find(WorkFile.PACKAGE) is None
    with pytest.raises(NotFound, match=r"^The retraining r-2 of card-fraud has no package\.tar\.$"):
        theirs.get(WorkFile.PACKAGE)


def test_a_file_is_put_as_its_bytes_in_the_place_of_what_was_there(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    workspace, file = Workspace(object_store, "card-fraud", "r-1"), tmp_path / "set"
    for content in (b"first", b"\x00" * 100_000):
        file.write_bytes(content)
        workspace.put_file(WorkFile.SET, file)
        assert workspace.get(WorkFile.SET) == content


def test_a_bucket_that_is_not_there_is_unavailable(make_client: Any, tmp_path: Path) -> None:
    if make_client is None:
        pytest.skip("there is no bucket in memory")
    store, file = S3ObjectStore(make_client("s3"), "nothing-there"), tmp_path / "set"
    file.write_bytes(b"")
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        store.put("training/x", b"")
    with pytest.raises(Unavailable, match="training/x cannot be written"):
        store.put_file("training/x", file)
