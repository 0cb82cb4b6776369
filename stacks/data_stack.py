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

from quicksilver.stage_state import ONLY_ANSWERS
from stacks.config import ConfigError, Side, Stage
from stacks.constructs.alarm import alarms_of_stage
from stacks.constructs.approvals_key import approvals_key
from stacks.constructs.archive_bucket import ArchiveBucket, QueryResultsBucket
from stacks.constructs.archive_tables import ArchiveTables
from stacks.constructs.artefact_bucket import ArtefactBucket
from stacks.constructs.artefact_replication import ArtefactReplication
from stacks.constructs.compliance import acknowledge
from stacks.constructs.encrypted_log_group import FindingsLogGroup
from stacks.constructs.private_bucket import AccessLogBucket
from stacks.constructs.stage_region import environment_of
from stacks.constructs.stage_tables import StageTables


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
        self._signing = approvals_key(self, stage=stage, removal_policy=self._removal_policy)

        tables = StageTables(self, stage=stage, removal_policy=self._removal_policy)
        self.features = tables.made("Features", key=self.features_key, shared=self._alias("features"))
        self.registry = tables.made(
            "Registry",
            key=self.models_key,
            sorted_=True,
            deletion_protection=not stage.emulated,
            only_the_registry_writes=True,
            shared=self._alias("models"),
        )
        self.idempotency = tables.made("Idempotency", key=self.predictions_key, expires_by="expires_at")
        self.rollup = tables.made("Rollup", key=self.predictions_key, sorted_=True, expires_by="expires_at")
        self.announcements = tables.made("Announcements", key=self.models_key, shared=self._alias("models"))
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
        if not stage.decides:
            CfnOutput(self, ONLY_ANSWERS, value=stage.side.value)
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
