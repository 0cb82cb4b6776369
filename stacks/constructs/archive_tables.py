"""The archive as SQL tables in Athena: a Glue database of raw tables and views, and a workgroup that answers under our key.

Partitions are projected: no crawler runs and nobody registers a folder. Endpoints are an enumeration, since the stage knows
them and a query without a condition on one must work; hours are a range.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import (
    Stack,
    aws_athena as athena,
    aws_glue as glue,
    aws_kms as kms,
    aws_s3 as s3,
)
from constructs import Construct

from quicksilver.archive import PREDICTIONS, TABLES, ArchiveTable
from quicksilver.archive_catalog import (
    ENDPOINT,
    HOUR,
    RESULTS_PREFIX,
    presto_view,
    raw_columns,
    raw_name,
    raw_partitions,
    views,
)
from quicksilver.column_types import hive_type
from stacks.archive_schema import check_schema
from stacks.config import Stage

MOST_SCANNED_BYTES = 256 << 30
"""What one query may scan, so that a slip costs little more than a dollar."""

EARLIEST_HOUR = "NOW-3YEARS"
"""Objects of earlier hours are kept, and not projected: a condition on nothing but the endpoint lists every hour since."""

_PARQUET = (
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
)
_JSON = (
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    "org.openx.data.jsonserde.JsonSerDe",
)


class ArchiveTables(Construct):
    """The database and the workgroup of one stage. ``predictions`` is the name of the table that Firehose converts records by.

    Raises ``ConfigError`` where the records' schema cannot read what the committed one wrote.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        bucket: s3.IBucket,
        results: s3.IBucket,
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, id)
        check_schema()
        self._stage = stage
        self._bucket = bucket
        self._parquet = {PREDICTIONS.name} if not stage.emulated else set()
        self.name = f"quicksilver_{stage.name}".replace("-", "_")
        self._database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Stack.of(self).account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=self.name, description=f"Quicksilver {stage.name}: the archive"
            ),
        )
        for table in TABLES.values():
            self._raw(table)
        self.predictions = raw_name(PREDICTIONS)
        for name, (columns, sql) in views(parquet=self._parquet).items():
            self._table(
                name,
                table_type="VIRTUAL_VIEW",
                parameters={"presto_view": "true", "comment": "Presto View"},
                view_original_text=presto_view(self.name, columns, sql),
                view_expanded_text="/* Presto View */",
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    columns=_columns({column: hive_type(kind) for column, kind in columns.items()})
                ),
            )
        self.workgroup = self._workgroup(results, key)

    def _raw(self, table: ArchiveTable) -> glue.CfnTable:
        parquet = table.name in self._parquet
        input_format, output_format, serde = _PARQUET if parquet else _JSON
        folder = f"s3://{self._bucket.bucket_name}/{table.prefix}"
        return self._table(
            raw_name(table),
            table_type="EXTERNAL_TABLE",
            parameters={
                "EXTERNAL": "TRUE",
                "classification": "parquet" if parquet else "json",
                **self._projection(table, folder),
            },
            partition_keys=_columns(dict.fromkeys(raw_partitions(table), "string")),
            storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                columns=_columns(raw_columns(table, parquet=parquet)),
                location=folder,
                input_format=input_format,
                output_format=output_format,
                serde_info=glue.CfnTable.SerdeInfoProperty(
                    serialization_library=serde,
                    # A line that is no record has no key, and is none of the table.
                    parameters={} if parquet else {"ignore.malformed.json": "true"},
                ),
            ),
        )

    def _projection(self, table: ArchiveTable, folder: str) -> dict[str, str]:
        keys = raw_partitions(table)
        if not keys:
            return {}
        projections = {
            ENDPOINT: {
                "type": "enum",
                "values": ",".join(endpoint.name for endpoint in self._stage.endpoints),
            },
            HOUR: {
                "type": "date",
                "format": "yyyy/MM/dd/HH",
                "interval": "1",
                "interval.unit": "HOURS",
                "range": f"{EARLIEST_HOUR},NOW+1HOURS",
            },
        }
        said = {
            f"projection.{name}.{setting}": value
            for name in keys
            for setting, value in projections[name].items()
        }
        template = folder + "".join(f"${{{name}}}/" for name in keys)
        return {"projection.enabled": "true", "storage.location.template": template, **said}

    def _table(self, name: str, **table: Any) -> glue.CfnTable:
        made = glue.CfnTable(
            self,
            "".join(word.capitalize() for word in name.split("_")),
            catalog_id=Stack.of(self).account,
            database_name=self.name,
            table_input=glue.CfnTable.TableInputProperty(name=name, **table),
        )
        made.add_resource_dependency(self._database)
        return made

    def _workgroup(self, results: s3.IBucket, key: kms.IKey) -> athena.CfnWorkGroup:
        return athena.CfnWorkGroup(
            self,
            "Workgroup",
            name=f"quicksilver-{self._stage.name}",
            description=f"Quicksilver {self._stage.name}: queries over the archive",
            recursive_delete_option=self._stage.emulated,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                # Whatever a caller asks for: answers are of the same data class as the records.
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=MOST_SCANNED_BYTES,
                engine_version=athena.CfnWorkGroup.EngineVersionProperty(
                    selected_engine_version="Athena engine version 3"
                ),
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{results.bucket_name}/{RESULTS_PREFIX}",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=key.key_arn
                    ),
                ),
            ),
        )


def _columns(columns: dict[str, str]) -> list[glue.CfnTable.ColumnProperty]:
    return [glue.CfnTable.ColumnProperty(name=name, type=kind) for name, kind in columns.items()]
