"""What must outlive everything else: tables, the prediction stream, buckets and their keys.

Outside an emulated stage nothing here is deleted with the stack, and the stack itself is protected
from deletion. There is one customer-managed key per class of data, so that access to one class can be
taken away without touching the others, and one that signs approvals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import (
    CfnOutput,
    Duration,
    RemovalPolicy,
    Stack,
    aws_dynamodb as dynamodb,
    aws_iam as iam,
    aws_kinesis as kinesis,
    aws_kms as kms,
)
from constructs import Construct

from stacks.config import ConfigError, Side, Stage
from stacks.constructs.alarm import alarms_of_stage
from stacks.constructs.archive_bucket import ArchiveBucket, QueryResultsBucket
from stacks.constructs.archive_tables import ArchiveTables
from stacks.constructs.artefact_bucket import ArtefactBucket
from stacks.constructs.artefact_replication import ArtefactReplication
from stacks.constructs.compliance import acknowledge
from stacks.constructs.encrypted_log_group import FindingsLogGroup
from stacks.constructs.global_table import GlobalTable
from stacks.constructs.private_bucket import AccessLogBucket
from stacks.constructs.stage_region import environment_of

_WRITES = (
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
)


class DataStack(Stack):
    """The stores of one stage, and the names by which everything else finds them."""

    def __init__(self, scope: Construct, *, stage: Stage) -> None:
        super().__init__(
            scope,
            f"quicksilver-{stage.name}-data",
            env=environment_of(stage),
            description=f"Quicksilver {stage.name}: tables, streams, buckets and keys",
            termination_protection=not stage.emulated,
        )
        self._stage = stage
        self._removal_policy = RemovalPolicy.DESTROY if stage.emulated else RemovalPolicy.RETAIN

        self.features_key = self._key(
            "features", "Online features of cards, merchants and other entities", services=["dynamodb"]
        )
        self.models_key = self._key(
            "models",
            "Model packages, the registry of model versions and routes, and what is announced",
            services=["dynamodb", "s3", "sns"],
        )
        self.predictions_key = self._key(
            "predictions",
            "Prediction records, in flight, archived and counted, answers kept under idempotency keys, and the logs",
            services=["athena", "dynamodb", "kinesis", "s3", "sagemaker", "states"],
        )
        self._let_logs_use(self.predictions_key)
        self._let_deliveries_read(self.predictions_key)
        if not stage.emulated:
            self._let_alarms_tell(self.models_key)
        self._signing = self._signing_replica() if stage.side is Side.STANDBY else self._signing_key()

        self.features = self._table("Features", key=self.features_key, shared="features")
        self.registry = self._table(
            "Registry",
            key=self.models_key,
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            deletion_protection=not stage.emulated,
            # A change made by hand would be in no history.
            only_the_registry_writes=True,
            shared="models",
        )
        self.idempotency = self._table("Idempotency", key=self.predictions_key, expires_by="expires_at")
        self.rollup = self._table(
            "Rollup",
            key=self.predictions_key,
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            expires_by="expires_at",
        )
        self.announcements = self._table("Announcements", key=self.models_key, shared="models")
        self.predictions = kinesis.Stream(
            self,
            "Predictions",
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=self.predictions_key,
            stream_mode=kinesis.StreamMode.PROVISIONED if stage.emulated else kinesis.StreamMode.ON_DEMAND,
            shard_count=1 if stage.emulated else None,
            # A day, Kinesis's default, is shorter than a weekend on which nobody repairs the delivery.
            retention_period=Duration.days(1 if stage.emulated else 7),
            removal_policy=self._removal_policy,
        )
        acknowledge(
            self.predictions,
            "AwsSolutions-KDS3",
            reason="Predictions are under their own customer-managed key, which can be taken away; aws/kinesis cannot.",
        )

        access_logs = AccessLogBucket(self, "AccessLogs", removal_policy=self._removal_policy)
        self.models = ArtefactBucket(
            self,
            "Models",
            stage=stage,
            key=self.models_key,
            access_logs=access_logs,
            removal_policy=self._removal_policy,
            name=self._standby_models if stage.side is Side.STANDBY else None,
        )
        if stage.second_region and stage.side is Side.PRIMARY:
            ArtefactReplication(
                self,
                "Replication",
                source=self.models,
                key=self.models_key,
                target=self._standby_models,
                region=stage.second_region.standby,
                alias=self._alias("models"),
            )
        self.archive = ArchiveBucket(
            self,
            "Archive",
            stage=stage,
            key=self.predictions_key,
            access_logs=access_logs,
            removal_policy=self._removal_policy,
        )
        self.query_results = QueryResultsBucket(
            self,
            "QueryResults",
            key=self.predictions_key,
            access_logs=access_logs,
            removal_policy=self._removal_policy,
        )
        if not stage.emulated:
            FindingsLogGroup(self, "Findings", stage=stage, key=self.predictions_key)

        self.archive_tables = ArchiveTables(
            self,
            "ArchiveTables",
            stage=stage,
            bucket=self.archive,
            results=self.query_results,
            key=self.predictions_key,
        )

        CfnOutput(self, "FeaturesTable", value=self.features.table_name)
        CfnOutput(self, "RegistryTable", value=self.registry.table_name)
        CfnOutput(self, "IdempotencyTable", value=self.idempotency.table_name)
        CfnOutput(self, "RollupTable", value=self.rollup.table_name)
        CfnOutput(self, "AnnouncementsTable", value=self.announcements.table_name)
        CfnOutput(self, "PredictionsStream", value=self.predictions.stream_name)
        CfnOutput(self, "ModelsBucket", value=self.models.bucket_name)
        CfnOutput(self, "ArchiveBucket", value=self.archive.bucket_name)
        CfnOutput(self, "ArchiveDatabase", value=self.archive_tables.name)
        CfnOutput(self, "ArchiveWorkgroup", value=self.archive_tables.workgroup.name)
        if self._signing is not None:
            CfnOutput(self, "SigningKey", value=self._signing.key_arn)

    @property
    def signing_key(self) -> kms.IKey:
        """What approvals are checked by. Raises ``ConfigError`` for a standby that is not told it."""
        if self._signing is None:
            raise ConfigError(f"The standby of {self._stage.name} needs approvals_key to check approvals.")
        return self._signing

    def _alias(self, data_class: str) -> str:
        return f"alias/quicksilver/{self._stage.name}/{data_class}"

    @property
    def _standby_models(self) -> str:
        """The bucket of the standby, by a name that the primary can know before it is there."""
        regions = self._stage.second_region
        return f"quicksilver-{self._stage.name}-models-{self.account}-{regions.standby if regions else ''}"

    @property
    def tables(self) -> Mapping[str, dynamodb.ITable]:
        """Every table, by what it holds."""
        return {
            "features": self.features,
            "registry": self.registry,
            "idempotency": self.idempotency,
            "rollup": self.rollup,
            "announcements": self.announcements,
        }

    def _key(self, data_class: str, description: str, *, services: Sequence[str]) -> kms.Key:
        """The key of one class of data, which opens nothing but what these services of AWS hold of it."""
        key = kms.Key(
            self,
            f"{data_class.capitalize()}Key",
            alias=f"quicksilver/{self._stage.name}/{data_class}",
            description=f"{description} ({self._stage.name})",
            enable_key_rotation=True,
            removal_policy=self._removal_policy,
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="ByTheStoresOfThisClassAlone",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                resources=["*"],
                # All of them must hold: no store of this class asks in somebody's name, no service of AWS for itself (CloudWatch
                # Logs), and it is not about a state machine, of which AWS does not say by which service it asks.
                conditions={
                    "StringNotEquals": {
                        "kms:ViaService": [f"{service}.{self.region}.amazonaws.com" for service in services]
                    },
                    "Bool": {"aws:PrincipalIsAWSService": "false"},
                    "Null": {"kms:EncryptionContext:aws:states:stateMachineArn": "true"},
                },
            )
        )
        return key

    def _signing_key(self) -> kms.Key:
        """What makes an approval: a pair of keys whose private half never leaves KMS.

        Its public half, which anyone who may read it can verify with, must outlive every approval: such keys do
        not rotate. The registry function alone signs. A principal that may do everything, as administrators
        do, is held back by the key's own policy, for an approval is a person's word checked by the registry.
        """
        key = kms.Key(
            self,
            "ApprovalsKey",
            alias=f"quicksilver/{self._stage.name}/approvals",
            description=f"Signs the approvals of model versions ({self._stage.name})",
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            # What has been approved must be checked in both regions by one key.
            multi_region=True if self._stage.second_region else None,
            removal_policy=self._removal_policy,
        )
        key.add_to_resource_policy(self._deny_all_but_the_registry("TheRegistryAloneSigns", ["kms:Sign"]))
        return key

    def _signing_replica(self) -> kms.IKey | None:
        """The primary's signing key in this region; none while the stage does not say it."""
        regions = self._stage.second_region
        if regions is None or regions.approvals_key is None:
            return None
        policy = iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    principals=[iam.AccountRootPrincipal()], actions=["kms:*"], resources=["*"]
                ),
                self._deny_all_but_the_registry("TheRegistryAloneSigns", ["kms:Sign"]),
            ]
        )
        replica = kms.CfnReplicaKey(
            self,
            "ApprovalsKeyReplica",
            primary_key_arn=regions.approvals_key,
            key_policy=policy,
            description=f"Signs the approvals of model versions ({self._stage.name}, standby)",
        )
        replica.apply_removal_policy(self._removal_policy)
        return kms.Key.from_key_arn(self, "ApprovalsKey", replica.attr_arn)

    def _role_arn(self, name: str) -> str:
        return self.format_arn(service="iam", region="", resource="role", resource_name=name)

    def _deny_all_but_the_registry(self, sid: str, actions: Sequence[str]) -> iam.PolicyStatement:
        """Deny actions on the resource whose policy this goes into to everyone but the registry function."""
        # By name, since the role is in a stack that needs this one.
        role = self._role_arn(self._stage.registry_role_name(self.region))
        return self._deny_all_but(role, sid, actions)

    def _replica_policy(self, region: str) -> iam.PolicyDocument:
        """Who writes to the registry's replica in a region: the registry function there, and what replicates.

        Where the stage has failed over, the primary's loses it: the two would overwrite each other.
        """
        regions = self._stage.second_region
        roles = [
            self._role_arn(
                "aws-service-role/replication.dynamodb.amazonaws.com/AWSServiceRoleForDynamoDBReplication"
            )
        ]
        if regions is not None and not (regions.failed_over and region == regions.primary):
            roles.append(self._role_arn(self._stage.registry_role_name(region)))
        return iam.PolicyDocument(statements=[self._deny_all_but(roles, "TheRegistryAloneWrites", _WRITES)])

    def _deny_all_but(self, role: str | list[str], sid: str, actions: Sequence[str]) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            sid=sid,
            effect=iam.Effect.DENY,
            principals=[iam.AnyPrincipal()],
            actions=list(actions),
            resources=["*"],
            conditions={"ArnNotEquals": {"aws:PrincipalArn": role}},
        )

    def _let_logs_use(self, key: kms.Key) -> None:
        """CloudWatch Logs encrypts under its own name, so only the key's policy can let it in.

        The log groups live in other stacks of this stage and have generated names, which begin with
        their stack's name; those of firewalls have the name that AWS WAF asks for.
        """
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")],
                actions=[
                    "kms:Encrypt",
                    "kms:Decrypt",
                    "kms:ReEncrypt*",
                    "kms:GenerateDataKey*",
                    "kms:DescribeKey",
                ],
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": [
                            self.format_arn(
                                service="logs", resource=f"log-group:{start}-{self._stage.name}-*"
                            )
                            for start in ("quicksilver", "aws-waf-logs-quicksilver")
                        ]
                    }
                },
            )
        )

    def _let_deliveries_read(self, key: kms.Key) -> None:
        """What Step Functions hands to the delivery of a machine's logs is encrypted with the machine's key.

        https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
        """
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("delivery.logs.amazonaws.com")],
                actions=["kms:Decrypt"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )

    def _let_alarms_tell(self, key: kms.Key) -> None:
        """CloudWatch publishes what alarms say under its own name, and the operations stack's topics are under this key.

        https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services
        """
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions=alarms_of_stage(self, self._stage),
            )
        )

    def _table(
        self,
        id: str,
        *,
        key: kms.IKey,
        sort_key: dynamodb.Attribute | None = None,
        deletion_protection: bool = False,
        expires_by: str | None = None,
        only_the_registry_writes: bool = False,
        shared: str | None = None,
    ) -> dynamodb.ITable:
        """The table of the stage's own, or the restored one that is used in its place. ``shared`` names the key's class of
        data, where the table is of both regions of a stage that has two."""
        if shared and self._stage.second_region:
            return self._shared_table(
                id, key, shared, sort_key is not None, deletion_protection, only_the_registry_writes
            )
        policy = [self._deny_all_but_the_registry("TheRegistryAloneWrites", _WRITES)]
        made = dynamodb.Table(
            self,
            id,
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=sort_key,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=expires_by,
            deletion_protection=deletion_protection,
            resource_policy=iam.PolicyDocument(statements=policy) if only_the_registry_writes else None,
            removal_policy=self._removal_policy,
        )
        restored = getattr(self._stage.restored_tables, id.lower())
        return made if restored is None else self._restored(made, restored, key)

    def _shared_table(
        self, id: str, key: kms.IKey, data_class: str, sorted_: bool, protected: bool, policed: bool
    ) -> dynamodb.ITable:
        """The table of both regions, which the primary makes and both know by its name."""
        regions, name = self._stage.second_region, self._stage.function_name(id.lower())
        if regions is not None and self._stage.side is Side.PRIMARY:
            GlobalTable(
                self,
                f"{id}OfBothRegions",
                name=name,
                regions=regions,
                key_arn=key.key_arn,
                key_alias=self._alias(data_class),
                key_schema=[("pk", "HASH"), *([("sk", "RANGE")] if sorted_ else [])],
                deletion_protection=protected,
                policy=self._replica_policy if policed else None,
            )
        return dynamodb.Table.from_table_attributes(self, id, table_name=name, encryption_key=key)

    def _restored(self, made: dynamodb.Table, name: str, key: kms.IKey) -> dynamodb.ITable:
        """A restore keeps the table's encryption and makes no stack of it.

        What other stacks of the stage have imported of the made table has to stay an output until they are deployed without
        it: CloudFormation refuses to take it away before.
        """
        for imported in (made.table_name, made.table_arn):
            self.export_value(imported)
        return dynamodb.Table.from_table_attributes(
            self, f"Restored{made.node.id}", table_name=name, encryption_key=key
        )
