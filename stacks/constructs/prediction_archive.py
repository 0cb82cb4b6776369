"""Firehose from the prediction stream to the archive bucket: as Parquet by the schema of the archive's table, and on an
emulator as JSON Lines, to which the producer ends each record with a newline.

Written on the L1 resource: the L2's own grants read and delete the whole bucket, and this role may only
add under two prefixes.
"""

from __future__ import annotations

from aws_cdk import (
    Duration,
    Stack,
    aws_cloudwatch as cloudwatch,
    aws_iam as iam,
    aws_kinesis as kinesis,
    aws_kinesisfirehose as firehose,
    aws_kms as kms,
    aws_logs as logs,
    aws_s3 as s3,
)
from constructs import Construct

from quicksilver.archive import PARQUET, PREDICTIONS_PREFIX
from stacks.config import Stage
from stacks.constructs.alarm import Alarm, Severity, When
from stacks.constructs.archive_tables import ArchiveTables
from stacks.constructs.compliance import acknowledge
from stacks.constructs.encrypted_log_group import EncryptedLogGroup
from stacks.constructs.object_access import allow_objects
from stacks.constructs.service_role import ServiceRole

FAILED = "failed/"


class PredictionArchive(Construct):
    """Delivers within a minute or 64 MiB, whichever comes first; a folder per endpoint, and in it one per UTC hour."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        stream: kinesis.IStream,
        bucket: s3.IBucket,
        key: kms.IKey,
        tables: ArchiveTables,
    ) -> None:
        super().__init__(scope, id)
        log_group = EncryptedLogGroup(self, "Logs", stage=stage, key=key)
        log_stream = logs.LogStream(self, "LogStream", log_group=log_group)
        role = ServiceRole(
            self,
            "Role",
            service="firehose",
            description="Moves prediction records from the stream to the archive",
        )
        self._allow(role, stream=stream, bucket=bucket, key=key, log_group=log_group)
        conversion = None if stage.emulated else self._conversion(role, tables)

        delivery = firehose.CfnDeliveryStream(
            self,
            "Delivery",
            delivery_stream_type="KinesisStreamAsSource",
            kinesis_stream_source_configuration=firehose.CfnDeliveryStream.KinesisStreamSourceConfigurationProperty(
                kinesis_stream_arn=stream.stream_arn, role_arn=role.role_arn
            ),
            extended_s3_destination_configuration=firehose.CfnDeliveryStream.ExtendedS3DestinationConfigurationProperty(
                bucket_arn=bucket.bucket_arn,
                role_arn=role.role_arn,
                prefix=f"{PREDICTIONS_PREFIX}!{{partitionKeyFromQuery:endpoint}}/!{{timestamp:yyyy/MM/dd/HH}}/",
                error_output_prefix=f"{FAILED}!{{firehose:error-output-type}}/!{{timestamp:yyyy/MM/dd/HH}}/",
                dynamic_partitioning_configuration=firehose.CfnDeliveryStream.DynamicPartitioningConfigurationProperty(
                    enabled=True
                ),
                processing_configuration=firehose.CfnDeliveryStream.ProcessingConfigurationProperty(
                    enabled=True, processors=[_endpoint_of_each_record()]
                ),
                buffering_hints=firehose.CfnDeliveryStream.BufferingHintsProperty(
                    interval_in_seconds=60, size_in_m_bs=64
                ),
                data_format_conversion_configuration=conversion,
                file_extension=PARQUET if conversion else None,
                # Parquet is compressed by itself, page by page.
                compression_format="UNCOMPRESSED",
                encryption_configuration=firehose.CfnDeliveryStream.EncryptionConfigurationProperty(
                    kms_encryption_config=firehose.CfnDeliveryStream.KMSEncryptionConfigProperty(
                        awskms_key_arn=key.key_arn
                    )
                ),
                cloud_watch_logging_options=firehose.CfnDeliveryStream.CloudWatchLoggingOptionsProperty(
                    enabled=True,
                    log_group_name=log_group.log_group_name,
                    log_stream_name=log_stream.log_stream_name,
                ),
            ),
        )
        self.delivery_name = delivery.ref
        # Firehose tries its role while it is created, and IAM policies are separate resources.
        delivery.node.add_dependency(role)
        acknowledge(
            delivery,
            "AwsSolutions-KDF1",
            reason="Records come from a Kinesis stream under our key; Firehose's own encryption is only for direct puts.",
        )
        if not stage.emulated:
            self._alarms(stage, delivery)

    def _alarms(self, stage: Stage, delivery: firehose.CfnDeliveryStream) -> None:
        late, very_late = Duration.minutes(15), Duration.hours(12)
        for what, severity, age in (
            ("late", Severity.TICKET, late),
            # The stream keeps records for seven days, and among them may be days on which nobody works.
            ("very-late", Severity.PAGE, very_late),
        ):
            self._alarm(
                stage,
                delivery,
                what,
                severity,
                "DeliveryToS3.DataFreshness",
                cloudwatch.Stats.MAXIMUM,
                age.to_seconds(),
                f"archive: prediction records have waited {age.to_minutes():g} minutes for their delivery",
                runbook="archive-late",
            )
        self._alarm(
            stage,
            delivery,
            "writes-refused",
            Severity.TICKET,
            "DeliveryToS3.Success",
            cloudwatch.Stats.AVERAGE,
            1,
            "archive: S3 refuses objects of Firehose, which goes on trying",
            when=When.BELOW,
        )
        self._alarm(
            stage,
            delivery,
            "records-failed",
            Severity.TICKET,
            "FailedConversion.Records",
            cloudwatch.Stats.SUM,
            1,
            f"archive: records do not fit the table's schema; they are under {FAILED} and in no query",
        )

    def _alarm(
        self,
        stage: Stage,
        delivery: firehose.CfnDeliveryStream,
        what: str,
        severity: Severity,
        metric: str,
        statistic: str,
        threshold: float,
        meaning: str,
        *,
        when: When = When.AT_OR_ABOVE,
        runbook: str = "",
    ) -> None:
        Alarm(
            self,
            what,
            stage=stage,
            subject="archive",
            what=what,
            severity=severity,
            description=meaning,
            metric=cloudwatch.Metric(
                namespace="AWS/Firehose",
                metric_name=metric,
                dimensions_map={"DeliveryStreamName": delivery.ref},
                statistic=statistic,
                period=Duration.minutes(5),
            ),
            threshold=threshold,
            when=when,
            runbook=runbook or f"archive-{what}",
        )

    def _conversion(
        self, role: iam.Role, tables: ArchiveTables
    ) -> firehose.CfnDeliveryStream.DataFormatConversionConfigurationProperty:
        """To Parquet by the latest version of the table in the catalog, which the role may read, and no other."""
        conversion = firehose.CfnDeliveryStream
        stack = Stack.of(self)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"],
                resources=[
                    stack.format_arn(service="glue", resource=resource)
                    for resource in (
                        "catalog",
                        f"database/{tables.name}",
                        f"table/{tables.name}/{tables.predictions}",
                    )
                ],
            )
        )
        return conversion.DataFormatConversionConfigurationProperty(
            enabled=True,
            schema_configuration=conversion.SchemaConfigurationProperty(
                catalog_id=stack.account,
                database_name=tables.name,
                table_name=tables.predictions,
                region=stack.region,
                role_arn=role.role_arn,
                version_id="LATEST",
            ),
            # It reads ISO-8601 times with a Z ("Convert input data format", Amazon Data Firehose Developer Guide).
            input_format_configuration=conversion.InputFormatConfigurationProperty(
                deserializer=conversion.DeserializerProperty(
                    open_x_json_ser_de=conversion.OpenXJsonSerDeProperty()
                )
            ),
            output_format_configuration=conversion.OutputFormatConfigurationProperty(
                serializer=conversion.SerializerProperty(
                    parquet_ser_de=conversion.ParquetSerDeProperty(compression="SNAPPY")
                )
            ),
        )

    def _allow(
        self,
        role: iam.Role,
        *,
        stream: kinesis.IStream,
        bucket: s3.IBucket,
        key: kms.IKey,
        log_group: logs.ILogGroup,
    ) -> None:
        """The verbs of "Grant Firehose access" (Amazon Data Firehose Developer Guide), less those that read the bucket."""
        read_stream = [
            "kinesis:DescribeStream",
            "kinesis:GetShardIterator",
            "kinesis:GetRecords",
            "kinesis:ListShards",
        ]
        for actions, resource in (
            (read_stream, stream.stream_arn),
            (["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], bucket.bucket_arn),
            (["kms:Decrypt", "kms:GenerateDataKey"], key.key_arn),
            (["logs:PutLogEvents"], log_group.log_group_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        for prefix in (PREDICTIONS_PREFIX, FAILED):
            allow_objects(
                role,
                actions=["s3:PutObject", "s3:AbortMultipartUpload"],
                bucket=bucket,
                prefix=prefix,
                reason="Firehose chooses the name of each object it adds; it may only add, and only here.",
            )


def _endpoint_of_each_record() -> firehose.CfnDeliveryStream.ProcessorProperty:
    """What names the folder of a record: its ``endpoint``, read by JQ."""
    parameter = firehose.CfnDeliveryStream.ProcessorParameterProperty
    return firehose.CfnDeliveryStream.ProcessorProperty(
        type="MetadataExtraction",
        parameters=[
            parameter(parameter_name="MetadataExtractionQuery", parameter_value="{endpoint:.endpoint}"),
            parameter(parameter_name="JsonParsingEngine", parameter_value="JQ-1.6"),
        ],
    )
