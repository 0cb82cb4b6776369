"""The alias ``live``: the one name API Gateway invokes, and the one way it moves to a new function version.

On AWS, CodeDeploy is the only writer of its weights. A release is guarded by alarms on the new function
version's own metrics: an alarm on the alias mixes both versions, and a canary of 10 % drowns in the rest. The alias's own are
watched besides, for what a release does to all that is around it.
CloudWatch has those metrics under the dimensions FunctionName, Resource and ExecutedVersion while an alias
routes to two function versions (AWS Lambda Developer Guide, "Types of metrics for Lambda functions").
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import (
    Duration,
    Stack,
    aws_cloudwatch as cloudwatch,
    aws_codedeploy as codedeploy,
    aws_lambda as lambda_,
)
from constructs import Construct

from quicksilver.metrics import NAMESPACE, Metric
from stacks.config import Endpoint, Release, Shift, Stage
from stacks.constructs.alarm import Alarm, Severity
from stacks.constructs.compliance import acknowledge
from stacks.constructs.object_access import finding_resource
from stacks.constructs.release_hooks import ReleaseHooks
from stacks.constructs.score_shift import LIMIT, score_shift
from stacks.constructs.service_role import explain_own_policy

LIVE = "live"


def deployment_config(scope: Construct, id: str, release: Release) -> codedeploy.ILambdaDeploymentConfig:
    """How CodeDeploy moves traffic in a stage that releases so."""
    if release.shift is Shift.ALL_AT_ONCE:
        return codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE
    routing = (
        codedeploy.TimeBasedCanaryTrafficRouting
        if release.shift is Shift.CANARY
        else codedeploy.TimeBasedLinearTrafficRouting
    )
    return codedeploy.LambdaDeploymentConfig(
        scope,
        id,
        traffic_routing=routing(interval=Duration.minutes(release.minutes), percentage=release.percent),
    )


class LiveAlias(lambda_.Alias):
    """``live`` on the function's current version."""

    def __init__(self, scope: Construct, id: str, *, function: lambda_.Function) -> None:
        super().__init__(scope, id, alias_name=LIVE, version=function.current_version)


class CodeRelease(Construct):
    """Shift one endpoint's ``live`` by CodeDeploy, and take it back when an alarm rings."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        endpoint: Endpoint,
        config: codedeploy.ILambdaDeploymentConfig,
        hooks: ReleaseHooks,
        application: codedeploy.LambdaApplication,
        function_name: str,
        alias: lambda_.Alias,
    ) -> None:
        super().__init__(scope, id)
        self._stage, self._endpoint = stage, endpoint
        of_endpoint = {"service": endpoint.service, "endpoint": endpoint.name}
        of_alias = {
            "FunctionName": function_name,
            # Spelled out, since a reference to the alias would be circular: it waits for its deployment
            # group, and that for its alarms.
            "Resource": f"{function_name}:{LIVE}",
        }
        self._dimensions = {**of_alias, "ExecutedVersion": alias.version.version}
        errors = self._alarm(
            "Errors",
            what="release-errors",
            metric="Errors",
            statistic=cloudwatch.Stats.SUM,
            threshold=endpoint.alarm_errors,
            description=f"{endpoint.name}: the function version being released raises errors",
        )
        # The function answers 500 and 503 by itself, so Lambda counts no error for them.
        unanswered = self._alarm(
            "Unanswered",
            what="release-unanswered",
            metric=Metric.REQUESTS_UNANSWERED,
            namespace=NAMESPACE,
            dimensions={**of_endpoint, "function_version": alias.version.version},
            statistic=cloudwatch.Stats.SUM,
            threshold=endpoint.alarm_errors,
            description=f"{endpoint.name}: the function version being released leaves requests unanswered",
        )
        latency = self._alarm(
            "Latency",
            what="release-latency",
            metric="Duration",
            statistic=cloudwatch.Stats.percentile(99),
            threshold=endpoint.alarm_latency_ms,
            description=f"{endpoint.name}: the function version being released is slow (p99, ms)",
        )
        alias_errors = self._alarm(
            "AliasErrors",
            what="release-alias-errors",
            runbook="release-errors",
            metric="Errors",
            statistic=cloudwatch.Stats.SUM,
            threshold=endpoint.alarm_errors,
            dimensions=of_alias,
            description=f"{endpoint.name}: {LIVE} raises errors, whichever function version",
        )
        alias_latency = self._alarm(
            "AliasLatency",
            what="release-alias-latency",
            runbook="release-latency",
            metric="Duration",
            statistic=cloudwatch.Stats.percentile(99),
            threshold=endpoint.alarm_latency_ms,
            dimensions=of_alias,
            description=f"{endpoint.name}: {LIVE} is slow (p99, ms), whichever function version",
        )
        shift = Alarm(
            self,
            "ScoreShift",
            stage=stage,
            subject=endpoint.name,
            what="release-score-shift",
            severity=Severity.TICKET,
            description=f"{endpoint.name}: the function version being released scores otherwise than the one before",
            metric=score_shift(of_endpoint, alias.version.version),
            threshold=LIMIT,
        )
        group = codedeploy.LambdaDeploymentGroup(
            self,
            "Group",
            application=application,
            alias=alias,
            deployment_config=config,
            pre_hook=hooks.before,
            post_hook=hooks.after,
            alarms=[errors, unanswered, latency, shift, alias_errors, alias_latency],
            auto_rollback=codedeploy.AutoRollbackConfig(
                failed_deployment=True, stopped_deployment=True, deployment_in_alarm=True
            ),
        )
        hooks.answer(group, application)
        if group.role is not None:
            # What lets CodeDeploy call the hooks is a policy of its own, and must be there before it has to.
            alias.node.add_dependency(group.role)
            for hook in (hooks.before, hooks.after):
                versions = finding_resource(Stack.of(self).resolve(f"{hook.function_arn}:*"))
                acknowledge(
                    group.role,
                    f"AwsSolutions-IAM5[Resource::{versions}]",
                    reason="CDK grants a hook's invocation with its function versions; the hook has none.",
                )
            explain_own_policy(group.role)
            acknowledge(
                group.role,
                "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]",
                reason="AWS's narrowest policy for CodeDeploy on Lambda; the construct attaches it to any role it is given.",
            )

    def _alarm(
        self,
        id: str,
        *,
        what: str,
        runbook: str | None = None,
        metric: str,
        statistic: str,
        threshold: int,
        description: str,
        namespace: str = "AWS/Lambda",
        dimensions: Mapping[str, str] | None = None,
    ) -> Alarm:
        return Alarm(
            self,
            id,
            stage=self._stage,
            subject=self._endpoint.name,
            what=what,
            runbook=runbook,
            # The release is taken back by itself; what is left to do can wait for the day.
            severity=Severity.TICKET,
            description=description,
            metric=cloudwatch.Metric(
                namespace=namespace,
                metric_name=metric,
                dimensions_map=dimensions or self._dimensions,
                statistic=statistic,
                period=Duration.minutes(1),
            ),
            threshold=threshold,
        )
