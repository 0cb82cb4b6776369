"""The archive in Athena: what the records say, in projected partitions, answered under our key and within a bound."""

from __future__ import annotations

import base64
import json
from typing import Any

from quicksilver.archive import PREDICTIONS, TABLES
from quicksilver.archive_catalog import raw_columns
from quicksilver.archive_views import VIEWS
from tests.infrastructure.conftest import Synthesized


def tables(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    """The input of each table by its name."""
    found = {}
    for table in synthesized.of_type("AWS::Glue::Table", "data").values():
        assert table["Properties"]["DatabaseName"] == f"quicksilver_{synthesized.stage.name}"
        content = table["Properties"]["TableInput"]
        found[content["Name"]] = content
    return found


def test_there_is_a_raw_table_for_each_and_a_view_for_each_name(every_stage: Synthesized) -> None:
    kinds = {name: table["TableType"] for name, table in tables(every_stage).items()}
    assert kinds == {
        **{f"{name}_raw": "EXTERNAL_TABLE" for name in TABLES},
        **dict.fromkeys((*TABLES, *VIEWS), "VIRTUAL_VIEW"),
    }


def test_a_raw_table_has_the_records_columns_in_their_format(every_stage: Synthesized) -> None:
    found = tables(every_stage)
    for name, table in TABLES.items():
        parquet = table is PREDICTIONS and not every_stage.stage.emulated
        storage = found[f"{name}_raw"]["StorageDescriptor"]
        assert {item["Name"]: item["Type"] for item in storage["Columns"]} == raw_columns(
            table, parquet=parquet
        )
        serde = storage["SerdeInfo"]
        if parquet:
            assert serde["SerializationLibrary"].endswith("ParquetHiveSerDe")
        else:
            assert serde["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"
            assert serde["Parameters"] == {"ignore.malformed.json": "true"}


def test_partitions_are_projected_where_objects_lie(every_stage: Synthesized) -> None:
    predictions = tables(every_stage)["predictions_raw"]
    parameters = predictions["Parameters"]
    assert [key["Name"] for key in predictions["PartitionKeys"]] == ["archive_endpoint", "archive_hour"]
    assert parameters["storage.location.template"]["Fn::Join"][1][-1] == (
        "/predictions/${archive_endpoint}/${archive_hour}/"
    )
    assert parameters["projection.enabled"] == "true"
    names = ",".join(endpoint.name for endpoint in every_stage.stage.endpoints)
    assert {name: value for name, value in parameters.items() if name.startswith("projection.archive_")} == {
        "projection.archive_endpoint.type": "enum",
        "projection.archive_endpoint.values": names,
        "projection.archive_hour.type": "date",
        "projection.archive_hour.format": "yyyy/MM/dd/HH",
        "projection.archive_hour.interval": "1",
        "projection.archive_hour.interval.unit": "HOURS",
        "projection.archive_hour.range": "NOW-3YEARS,NOW+1HOURS",
    }
    contracts = tables(every_stage)["contracts_raw"]
    assert not contracts.get("PartitionKeys")
    assert "projection.enabled" not in contracts["Parameters"]


def test_a_view_is_one_that_athena_reads(every_stage: Synthesized) -> None:
    for name, table in tables(every_stage).items():
        if table["TableType"] != "VIRTUAL_VIEW":
            continue
        text = table["ViewOriginalText"]
        definition = json.loads(base64.b64decode(text.removeprefix("/* Presto View: ").removesuffix(" */")))
        assert definition["schema"] == f"quicksilver_{every_stage.stage.name}", name
        columns = [item["Name"] for item in table["StorageDescriptor"]["Columns"]]
        assert [item["name"] for item in definition["columns"]] == columns
        assert (table["Parameters"]["presto_view"], table["ViewExpandedText"]) == (
            "true",
            "/* Presto View */",
        )


def test_answers_are_of_the_archives_data_class_and_gone_in_a_week(every_stage: Synthesized) -> None:
    (workgroup,) = every_stage.of_type("AWS::Athena::WorkGroup", "data").values()
    configuration = workgroup["Properties"]["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == 256 << 30
    result = configuration["ResultConfiguration"]
    bucket, results = every_stage.named("AWS::S3::Bucket", "QueryResults", "data")
    assert result["OutputLocation"]["Fn::Join"][1][1:] == [{"Ref": bucket}, "/athena-results/"]
    assert result["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"
    key, _ = every_stage.named("AWS::KMS::Key", "PredictionsKey", "data")
    assert result["EncryptionConfiguration"]["KmsKey"] == {"Fn::GetAtt": [key, "Arn"]}
    rules = results["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule] == [7]
    assert "ObjectLockConfiguration" not in results["Properties"]
    _, archive = every_stage.named("AWS::S3::Bucket", "Archive", "data")
    kept = archive["Properties"]["LifecycleConfiguration"]["Rules"]
    assert not [rule for rule in kept if "ExpirationInDays" in rule], "records are kept"
