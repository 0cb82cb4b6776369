"""What is made of the archive in SQL: a view's columns are those it says, and its rows what the records hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from quicksilver.archive_views import VIEWS
from quicksilver.archived_contract import keep_contract
from quicksilver.aws.s3_contracts import S3ContractStore
from quicksilver.column_types import duckdb_type
from quicksilver.contract import Contract
from quicksilver.errors import Unavailable
from quicksilver.features import Cause, Degraded, MissingPolicy
from quicksilver.memory import MemoryContractStore
from quicksilver.reasons import Reason
from tests.archives import archive_database, archived, query_archive
from tests.prediction_records import NOT_LOADED, entry
from tests.unit.test_shadow_report import contract_content

CONTRACT = Contract.model_validate(contract_content())
LATE = Degraded(feature="txn_count_1h", cause=Cause.LATE, policy=MissingPolicy.MISSING)


def reason(code: str, contribution: float) -> Reason:
    return Reason(code=code, feature=code.lower(), text="Why.", contribution=contribution)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A prediction with everything, one with a contract that nobody kept, and one with nothing."""
    vector = (1.5, None, 1.0, 2.0, 3.0, 0.1)
    records = [
        entry(
            1, vector=vector, fingerprint=CONTRACT.fingerprint, reasons=(reason("A", 0.5), reason("B", 0.25)),
            degraded=(LATE, NOT_LOADED), assigned="card-fraud@2", model="card-fraud@1",
        ),
        entry(2, vector=(7.0,)),
        entry(3),
    ]  # fmt: skip
    archived(tmp_path, "predictions", b"".join(record.data for record in records))
    store = MemoryContractStore()
    keep_contract(store, CONTRACT, "a" * 64)
    (tmp_path / "contracts").mkdir()
    for fingerprint, lines in store.kept.items():
        (tmp_path / "contracts" / f"{fingerprint}.jsonl").write_bytes(lines)
    return tmp_path


@pytest.mark.parametrize("name", VIEWS)
def test_a_views_columns_are_those_it_says(archive: Path, name: str) -> None:
    with archive_database(archive) as database:
        described = database.query(f"describe {name}").rows
    assert [row[:2] for row in described] == [
        (column, duckdb_type(kind)) for column, kind in VIEWS[name].columns.items()
    ]


def test_a_feature_has_its_name_its_place_and_its_value(archive: Path) -> None:
    sql = "select position, feature, value from features where fingerprint = '{}' order by 1"
    rows = query_archive(sql.format(CONTRACT.fingerprint), archive).rows
    assert rows == tuple(zip(range(1, 7), CONTRACT.names, (1.5, None, 1.0, 2.0, 3.0, 0.1), strict=True))


def test_a_vector_of_a_contract_that_nobody_kept_has_places(archive: Path) -> None:
    sql = f"select position, feature, value from features where fingerprint <> '{CONTRACT.fingerprint}'"  # noqa: S608
    assert query_archive(sql, archive).rows == ((1, None, 7.0),)


def test_reasons_and_degradations_are_rows_of_their_own(archive: Path) -> None:
    sql = "select position, code, feature, contribution from reasons order by 1"
    assert query_archive(sql, archive).rows == ((1, "A", "a", 0.5), (2, "B", "b", 0.25))
    sql = "select position, feature, not_used, cause, policy, model from degradations order by 1"
    assert query_archive(sql, archive).rows == (
        (1, "txn_count_1h", None, "late", "missing", "card-fraud@1"),
        (2, None, "card-fraud@2", "not_loaded", "last_good", "card-fraud@1"),
    )


def test_an_assignment_is_the_arms_whoever_answered(archive: Path) -> None:
    sql = (
        "select model, arm_model, role, share_bp, holdout, route from assignments where entity_id = 'card_1'"
    )
    assert query_archive(sql, archive).rows == (
        ("card-fraud@1", "card-fraud@2", "champion", 10_000, False, 1),
    )


def test_a_category_is_a_name_by_its_code(archive: Path) -> None:
    sql = """
        select c.feature, element_at(c.categories, cast(f.value as bigint) + 1)
        from features f join contracts c on c.fingerprint = f.fingerprint and c.position = f.position
        where cardinality(c.categories) > 0
    """
    archived(
        archive, "predictions", entry(4, vector=(1.5, 2.0, 1.0, 2.0, 3.0, 0.1), fingerprint=CONTRACT.fingerprint).data,
        name="b.jsonl",
    )  # fmt: skip
    assert set(query_archive(sql, archive).rows) == {
        ("channel", None),
        ("channel", CONTRACT.features[1].categories[2]),
    }


# -- contracts in the archive --


@pytest.mark.parametrize(
    ("code", "kept"),
    [("PreconditionFailed", True), ("ConditionalRequestConflict", True), ("SlowDown", False)],
)
def test_a_contract_that_is_there_is_left_and_a_refusal_is_said(code: str, kept: bool) -> None:
    client: Any = boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    with Stubber(client) as stub:
        stub.add_client_error("put_object", code)
        if kept:
            keep_contract(S3ContractStore(client, "archive"), CONTRACT, "a" * 64)
            return
        with pytest.raises(Unavailable, match="cannot be kept in the archive: SlowDown"):
            keep_contract(S3ContractStore(client, "archive"), CONTRACT, "a" * 64)


def test_the_first_package_of_a_contract_is_named() -> None:
    store = MemoryContractStore()
    keep_contract(store, CONTRACT, "a" * 64)
    first = dict(store.kept)
    keep_contract(store, CONTRACT, "b" * 64)
    assert store.kept == first
    store.available = False
    with pytest.raises(Unavailable):
        keep_contract(store, CONTRACT, "a" * 64)
