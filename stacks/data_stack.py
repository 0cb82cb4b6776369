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

from stacks.config import Stage
from stacks.constructs.alarm import alarms_of_stage
from stacks.constructs.archive_tables import ArchiveTables
from stacks.constructs.artefact_bucket import ArtefactBucket
from stacks.constructs.compliance import acknowledge
from stacks.constructs.private_bucket import AccessLogBucket, PrivateBucket

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
            description=f"Quicksilver {stage.name}: tables, streams, buckets and keys",
            termination_protection=not stage.emulated,
        )
        self._stage = stage
        self._removal_policy = RemovalPolicy.DESTROY if stage.emulated else RemovalPolicy.RETAIN

        self.features_key = self._key("features", "Online features of cards, merchants and other entities")
        self.models_key = self._key("models", "Model packages and the registry of model versions and routes")
        self.predictions_key = self._key(
            "predictions",
            "Prediction records, in flight, archived and counted, answers kept under idempotency keys, and the logs",
        )
        self._let_logs_use(self.predictions_key)
        self._let_deliveries_read(self.predictions_key)
        if not stage.emulated:
            self._let_alarms_tell(self.models_key)
        self.signing_key = self._signing_key()

        self.features = self._table("Features", key=self.features_key)
        self.registry = self._table(
            "Registry",
            key=self.models_key,
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            deletion_protection=not stage.emulated,
            # A change made by hand would be in no history.
            policy=[self._deny_all_but_the_registry("TheRegistryAloneWrites", _WRITES)],
        )
        self.idempotency = self._table("Idempotency", key=self.predictions_key, expires_by="expires_at")
        self.rollup = self._table(
            "Rollup",
            key=self.predictions_key,
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            expires_by="expires_at",
        )
        self.announcements = self._table("Announcements", key=self.models_key)
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
        )
        self.archive = PrivateBucket(
            self,
            "Archive",
            key=self.predictions_key,
            access_logs=access_logs,
            removal_policy=self._removal_policy,
        )

        self.archive_tables = ArchiveTables(
            self, "ArchiveTables", stage=stage, bucket=self.archive, key=self.predictions_key
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
        CfnOutput(self, "SigningKey", value=self.signing_key.key_arn)

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

    def _key(self, data_class: str, description: str) -> kms.Key:
        return kms.Key(
            self,
            f"{data_class.capitalize()}Key",
            alias=f"quicksilver/{self._stage.name}/{data_class}",
            description=f"{description} ({self._stage.name})",
            enable_key_rotation=True,
            removal_policy=self._removal_policy,
        )

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
            removal_policy=self._removal_policy,
        )
        key.add_to_resource_policy(self._deny_all_but_the_registry("TheRegistryAloneSigns", ["kms:Sign"]))
        return key

    def _deny_all_but_the_registry(self, sid: str, actions: Sequence[str]) -> iam.PolicyStatement:
        """Deny actions on the resource whose policy this goes into to everyone but the registry function."""
        role = self.format_arn(
            service="iam",
            region="",
            resource="role",
            # By name, since the role is in a stack that needs this one.
            resource_name=self._stage.registry_role_name(self.region),
        )
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
        policy: Sequence[iam.PolicyStatement] = (),
    ) -> dynamodb.ITable:
        """The table of the stage's own, or the restored one that is used in its place."""
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
            resource_policy=iam.PolicyDocument(statements=list(policy)) if policy else None,
            removal_policy=self._removal_policy,
        )
        restored = getattr(self._stage.restored_tables, id.lower())
        return made if restored is None else self._restored(made, restored, key)

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
