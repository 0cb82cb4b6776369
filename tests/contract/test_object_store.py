"""Whole objects by key, and the workspace of a retraining on them."""

from __future__ import annotations

import pytest

from quicksilver.errors import NotFound
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
