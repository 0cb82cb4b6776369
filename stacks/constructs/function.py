"""A Lambda function with a role of its own, a log group of its own and its stack's layers.

The role can write to that one log group and nothing else; every further verb is granted in the stack,
where both parties are visible.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from aws_cdk import (
    Annotations,
    App,
    Duration,
    IgnoreMode,
    RemovalPolicy,
    Size,
    SymlinkFollowMode,
    Token,
    aws_cloudwatch as cloudwatch,
    aws_iam as iam,
    aws_kms as kms,
    aws_lambda as lambda_,
)
from constructs import Construct

from quicksilver.metrics import NAMESPACE
from stacks.config import ConfigError, Stage
from stacks.constructs.alarm import Alarm, Severity
from stacks.constructs.compliance import acknowledge
from stacks.constructs.encrypted_log_group import EncryptedLogGroup
from stacks.constructs.layers import Layers, architecture, python_runtime
from stacks.constructs.service_role import ServiceRole

LAMBDAS_ROOT = Path(__file__).resolve().parents[2] / "lambdas"

ENVIRONMENT_LIMIT_BYTES = 4_096
"""Lambda's limit for all of a function's variables together, names and values."""

_UNKNOWN_VALUE_BYTES = 128
"""Room kept for a value that only a deployment knows: the name of a table or a bucket, the ARN of a key."""


_CHOICES = {
    **dict.fromkeys(
        ("AwsSolutions-L1", "Serverless-LambdaLatestVersion"),
        "The layers hold compiled libraries built and tested for this runtime; it moves with their locks.",
    ),
    "Serverless-LambdaDLQ": "Nobody hands it an event that could be lost: callers wait for its answer, a stream keeps its batches "
    "and says which it gave up, and a schedule's next run does what the last one did not.",
    "Serverless-LambdaTracing": "Importing the tracer costs 775 ms of every cold start; each answer has the time of each step.",
    "PCI.DSS.321-LambdaInsideVPC": "It opens no port and calls AWS's own APIs alone, each by TLS and signed by its role; a network "
    "of ours would add addresses to run out of, and no wall that the role is not.",
}
"""What cdk-nag asks of every function, and why it is otherwise."""


class Function(lambda_.Function):
    """The handler in ``lambdas/<folder>``, deployed as ``quicksilver-<stage>-<service>``.

    ``settings`` becomes the environment under the prefix ``QUICKSILVER_``: exactly the fields of the
    function's settings model. It carries all ``layers``, or those that ``carries`` names. With ``keeps_versions``, published function
    versions stay when the next one is released. ``concurrency`` is how many of its runs may be at once, without one as many as any
    helper's in the background; what ``scores`` reserves nothing and may take all that is left. Outside an emulated stage, alarms of
    its ``subject``, or else its service, say when it fails or is throttled in ``patience_minutes`` in a row: one, but for what comes
    again by itself. Raises ``ConfigError`` where Lambda would not take so much of it.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        folder: str,
        service: str,
        description: str,
        layers: Layers,
        log_key: kms.IKey,
        settings: Mapping[str, str],
        memory_mib: int,
        timeout: Duration,
        concurrency: int | None = None,
        scores: bool = False,
        storage_mib: int | None = None,
        provisioned_concurrency: int = 0,
        snap_start: bool = False,
        keeps_versions: bool = False,
        role_name: str | None = None,
        carries: Collection[str] | None = None,
        subject: str | None = None,
        patience_minutes: int = 1,
    ) -> None:
        environment = {
            **{f"QUICKSILVER_{name.upper()}": value for name, value in settings.items()},
            "POWERTOOLS_SERVICE_NAME": service,
            "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }
        _require_room(stage.function_name(service), environment)
        log_group = EncryptedLogGroup(scope, f"{id}Logs", stage=stage, key=log_key)
        role = ServiceRole(
            scope,
            f"{id}Role",
            service="lambda",
            role_name=role_name,
            description=f"What {stage.function_name(service)} may do",
        )
        log_group.grant_write(role)
        # An emulator runs what its machine can.
        reserves = not (scores or stage.emulated)
        reserved = (concurrency or stage.reserved_concurrency.background) if reserves else None
        super().__init__(
            scope,
            id,
            function_name=stage.function_name(service),
            description=description,
            runtime=python_runtime(stage),
            architecture=architecture(stage),
            handler="handler.lambda_handler",
            code=lambda_.Code.from_asset(
                str(LAMBDAS_ROOT / folder),
                exclude=["__pycache__", "*.pyc"],
                ignore_mode=IgnoreMode.GIT,
                # A hook's folder links to the saved events of the checkout.
                follow_symlinks=SymlinkFollowMode.EXTERNAL,
            ),
            layers=[layers.by_name[name] for name in carries or layers.by_name],
            environment=environment,
            memory_size=memory_mib,
            ephemeral_storage_size=Size.mebibytes(storage_mib) if storage_mib else None,
            timeout=timeout,
            reserved_concurrent_executions=reserved,
            role=role,
            log_group=log_group,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
            # Importing the Tracer costs 775 ms of every cold start; the timings in each answer and the
            # access log's latencies say what a trace would.
            tracing=lambda_.Tracing.DISABLED,
            current_version_options=lambda_.VersionOptions(
                # On the function version: Lambda refuses it on an alias with weights, which a code canary needs.
                provisioned_concurrent_executions=provisioned_concurrency or None,
                # Kept, so that a release can go back to it; the after-traffic hook takes its provisioned
                # concurrency, which would be billed for ever. One whose first deployment fails is removed with it.
                removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
                if keeps_versions
                else RemovalPolicy.DESTROY,
            ),
        )
        self.service, self.own_role = service, role
        self.reserved = reserved or 0
        if snap_start:
            Annotations.of(self).acknowledge_warning(
                "@aws-cdk/aws-lambda:snapStartRequirePublish",
                "Every release publishes a function version, and callers invoke it by the alias.",
            )
        if not stage.emulated:
            self._alarms(stage, subject or service, patience_minutes)
        for finding, reason in _CHOICES.items():
            acknowledge(self, finding, reason=reason)

    def _alarms(self, stage: Stage, subject: str, minutes: int) -> None:
        for metric, what, meaning in (
            ("Errors", "errors", "it ends with an error, or is ended by Lambda"),
            ("Throttles", "throttles", "Lambda lets no further invocation begin"),
        ):
            Alarm(
                self,
                metric,
                stage=stage,
                subject=subject,
                what=what,
                # What a caller is not answered for it rings the endpoint's objectives.
                severity=Severity.TICKET,
                description=f"{subject}: {meaning}"
                + (f", {minutes} minutes in a row" if minutes > 1 else ""),
                metric=self.metric(metric, period=Duration.minutes(1), statistic=cloudwatch.Stats.SUM),
                threshold=1,
                periods=minutes,
            )

    def allow(self, actions: list[str], *resources: str) -> None:
        """Let the function's own role do this on these resources, by their ARNs."""
        self.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=list(resources)))


def check_reserved(app: App, stage: Stage) -> None:
    """Raise ``ConfigError`` where the helpers of a stage reserve what must be left for scoring."""
    helpers = [
        child.reserved for child in app.node.find_all() if isinstance(child, Function) and child.reserved
    ]
    left, scoring = stage.account_concurrency - sum(helpers), stage.reserved_concurrency.scoring
    if left < scoring:
        raise ConfigError(
            f"The {len(helpers)} helpers of stage {stage.name} reserve {sum(helpers)} of the account's {stage.account_concurrency} "
            f"concurrent executions; that leaves {left} for scoring, and reserved_concurrency.scoring asks for {scoring}."
        )


def _require_room(name: str, environment: Mapping[str, str]) -> None:
    total = sum(
        len(variable) + (_UNKNOWN_VALUE_BYTES if Token.is_unresolved(value) else len(value.encode()))
        for variable, value in environment.items()
    )
    if total > ENVIRONMENT_LIMIT_BYTES:
        raise ConfigError(
            f"The environment of {name} would take {total} bytes; Lambda allows {ENVIRONMENT_LIMIT_BYTES}."
        )
