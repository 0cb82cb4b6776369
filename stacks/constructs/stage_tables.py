"""The tables of a stage: its own, a restored one in the place of its own, or one that both regions of the stage have."""

from __future__ import annotations

from functools import partial

from aws_cdk import RemovalPolicy, Stack, aws_dynamodb as dynamodb, aws_kms as kms

from stacks.config import SecondRegion, Side, Stage
from stacks.constructs.global_table import GlobalTable
from stacks.constructs.registry_alone import alone_writes, alone_writes_in


class StageTables:
    """Makes tables in the data stack; ``made`` says each that the rest of the stage uses."""

    def __init__(self, stack: Stack, *, stage: Stage, removal_policy: RemovalPolicy) -> None:
        self._stack = stack
        self._stage = stage
        self._removal_policy = removal_policy

    def made(
        self,
        id: str,
        *,
        key: kms.IKey,
        sorted_: bool = False,
        deletion_protection: bool = False,
        expires_by: str | None = None,
        only_the_registry_writes: bool = False,
        shared: str | None = None,
    ) -> dynamodb.ITable:
        """A table by ``pk``, and by ``sk`` where it is ``sorted_``. ``shared`` is the alias of its key, where the table is of
        both regions of a stage that has two."""
        if shared and self._stage.second_region:
            return self._of_both(
                self._stage.second_region,
                id,
                key,
                shared,
                sorted_=sorted_,
                deletion_protection=deletion_protection,
                policed=only_the_registry_writes,
            )
        text = dynamodb.AttributeType.STRING
        own = dynamodb.Table(
            self._stack,
            id,
            partition_key=dynamodb.Attribute(name="pk", type=text),
            sort_key=dynamodb.Attribute(name="sk", type=text) if sorted_ else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=expires_by,
            deletion_protection=deletion_protection,
            resource_policy=alone_writes(self._stack, self._stage) if only_the_registry_writes else None,
            removal_policy=self._removal_policy,
        )
        restored = getattr(self._stage.restored_tables, id.lower())
        return own if restored is None else self._restored(own, restored, key)

    def _of_both(
        self,
        regions: SecondRegion,
        id: str,
        key: kms.IKey,
        alias: str,
        *,
        sorted_: bool,
        deletion_protection: bool,
        policed: bool,
    ) -> dynamodb.ITable:
        """The primary makes it, and both know it by its name."""
        name = self._stage.function_name(id.lower())
        if self._stage.side is Side.PRIMARY:
            GlobalTable(
                self._stack,
                f"{id}OfBothRegions",
                name=name,
                regions=regions,
                key_arn=key.key_arn,
                key_alias=alias,
                key_schema=[("pk", "HASH"), *([("sk", "RANGE")] if sorted_ else [])],
                deletion_protection=deletion_protection,
                policy=partial(alone_writes_in, self._stack, self._stage) if policed else None,
            )
        return dynamodb.Table.from_table_attributes(self._stack, id, table_name=name, encryption_key=key)

    def _restored(self, own: dynamodb.Table, name: str, key: kms.IKey) -> dynamodb.ITable:
        """A restore keeps the table's encryption and makes no stack of it.

        What other stacks of the stage have imported of the stage's own has to stay an output until they are deployed without
        it: CloudFormation refuses to take it away before.
        """
        for imported in (own.table_name, own.table_arn):
            self._stack.export_value(imported)
        return dynamodb.Table.from_table_attributes(
            self._stack, f"Restored{own.node.id}", table_name=name, encryption_key=key
        )
