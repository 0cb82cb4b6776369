"""What functions that judge windows, and that export training sets, have in common: the engine of the query port, and whom they tell."""

from __future__ import annotations

from aws_cdk import Stack, aws_iam as iam

from quicksilver.announcements import SOURCE
from quicksilver.archive_catalog import RESULTS_PREFIX
from quicksilver.monitoring import MONITORING_PREFIX
from quicksilver.settings import Engine
from stacks.config import Stage
from stacks.constructs.artefact_bucket import PACKAGES
from stacks.constructs.compliance import acknowledge
from stacks.constructs.function import Function
from stacks.constructs.object_access import allow_listing, allow_objects, finding_resource
from stacks.control_stack import ControlStack
from stacks.data_stack import DataStack

MEMORY_MIB = 3_008
"""DuckDB's own 1,000 MiB, its buffers beyond that limit, Python with the analysis layer, and the pictures of a page: a window
of ten million rows was measured below 1.5 GiB (``make bench-drift``). Memory is also what Lambda gives CPU by: nearly two."""

DUCKDB_MEMORY_MIB = 1_000

STORAGE_MIB = 10_240
"""A window's objects are copied beside the database and what it spills: ten million predictions of 40 features are some 6 GB
of Parquet with their contributions. It is Lambda's most; a stage with more asks Athena."""


def engine_settings(stage: Stage, data: DataStack) -> dict[str, str]:
    """What a function is told of the engine that its stage has chosen."""
    chosen = {"engine": stage.analysis_engine.value, "duckdb_memory_mib": str(DUCKDB_MEMORY_MIB)}
    if stage.analysis_engine is not Engine.ATHENA:
        return chosen
    tables = data.archive_tables
    return {**chosen, "athena_workgroup": tables.workgroup.name, "athena_database": tables.name}


def storage_mib(stage: Stage) -> int | None:
    return None if stage.analysis_engine is Engine.ATHENA else STORAGE_MIB


def allow_judging(function: Function, data: DataStack, *archived: str) -> None:
    """Let a function read objects of the archive under these prefixes, and packages, and keep the monitoring's documents."""
    for prefix in archived:
        allow_objects(
            function.own_role,
            actions=["s3:GetObject"],
            bucket=data.archive,
            prefix=prefix,
            reason="It reads what every endpoint has of a window, in objects whose names others choose.",
        )
    allow_objects(
        function.own_role,
        actions=["s3:GetObject", "s3:PutObject"],
        bucket=data.archive,
        prefix=MONITORING_PREFIX,
        reason="Each window, page, request and announcement is an object of its own name.",
    )
    allow_objects(
        function.own_role,
        actions=["s3:GetObject"],
        bucket=data.models,
        prefix=PACKAGES,
        reason="Any model version may have answered, and packages are stored by their SHA-256.",
    )
    allow_listing(
        function.own_role, bucket=data.archive, prefixes=(*archived, MONITORING_PREFIX), tells_absence=True
    )
    function.allow(["kms:Decrypt", "kms:GenerateDataKey"], data.predictions_key.key_arn)


def allow_telling(function: Function, data: DataStack, control: ControlStack) -> None:
    """Let a function announce on the control stack's bus and topic."""
    # The topic's key, and the one that packages are encrypted with.
    function.allow(["kms:Decrypt", "kms:GenerateDataKey"], data.models_key.key_arn)
    function.allow(["sns:Publish"], control.topic.topic_arn)
    function.add_to_role_policy(
        iam.PolicyStatement(
            actions=["events:PutEvents"],
            resources=[control.bus.event_bus_arn],
            conditions={"StringEquals": {"events:source": SOURCE}},
        )
    )


def allow_engine(function: Function, stage: Stage, data: DataStack) -> None:
    """What the engine needs besides the archive's objects: nothing for DuckDB; for Athena the verbs of "Fine-grained access to
    databases and tables in the AWS Glue Data Catalog" and of queries in one workgroup (Amazon Athena User Guide)."""
    if stage.analysis_engine is not Engine.ATHENA:
        return
    stack, tables = Stack.of(function), data.archive_tables
    function.allow(
        [
            "athena:StartQueryExecution",
            "athena:GetQueryExecution",
            "athena:GetQueryResults",
            "athena:StopQueryExecution",
        ],
        stack.format_arn(service="athena", resource="workgroup", resource_name=tables.workgroup.name),
    )
    glue = [
        stack.format_arn(service="glue", resource="catalog"),
        stack.format_arn(service="glue", resource="database", resource_name=tables.name),
        every_table := stack.format_arn(service="glue", resource="table", resource_name=f"{tables.name}/*"),
    ]
    function.allow(["glue:GetDatabase", "glue:GetTable", "glue:GetPartitions"], *glue)
    acknowledge(
        function.own_role,
        f"AwsSolutions-IAM5[Resource::{finding_resource(stack.resolve(every_table))}]",
        reason="The stage's own database; it may read what any of its tables is, and change none.",
    )
    allow_objects(
        function.own_role,
        actions=["s3:GetObject", "s3:PutObject"],
        bucket=data.query_results,
        prefix=RESULTS_PREFIX,
        reason="Athena leaves each answer under an id of its own, as the function, and the function reads it.",
    )
    function.allow(["s3:GetBucketLocation"], data.query_results.bucket_arn)
