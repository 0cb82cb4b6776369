"""What CodeDeploy asks about a release of a score function: before any traffic moves, and after all of it has.

One pair of functions for all endpoints of a stage: a deployment says whose code it moves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from aws_cdk import (
    Duration,
    Stack,
    aws_codedeploy as codedeploy,
)
from constructs import Construct

from stacks.config import Stage
from stacks.constructs.artefact_bucket import PACKAGES
from stacks.constructs.compliance import acknowledge
from stacks.constructs.function import Function
from stacks.constructs.layers import Layers
from stacks.constructs.object_access import allow_objects, finding_resource
from stacks.data_stack import DataStack

BEFORE, AFTER = "before-traffic", "after-traffic"

_TIMEOUT = Duration.minutes(14)
"""The checks end themselves before, so that CodeDeploy is told. It would wait for an hour."""


class ReleaseHooks(Construct):
    """The functions ``before`` and ``after`` of one stage, for the score functions in ``functions`` (by endpoint)."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        data: DataStack,
        layers: Layers,
        functions: Mapping[str, Function],
        alias: str,
    ) -> None:
        super().__init__(scope, id)
        self._data = data
        settings = {
            "stage": stage.name,
            "functions": json.dumps(
                {endpoint.name: stage.function_name(endpoint.service) for endpoint in stage.endpoints}
            ),
            "alias": alias,
            "registry_table": data.registry.table_name,
            "models_bucket": data.models.bucket_name,
            "signing_key": data.signing_key.key_arn,
        }
        provisioned = {
            endpoint.name: endpoint.provisioned_concurrency.floor
            for endpoint in stage.endpoints
            if endpoint.provisioned_concurrency
        }
        before_only = {
            "provisioned_concurrency": json.dumps(provisioned),
            "changed_answers": json.dumps(stage.release.changed_answers),
        }
        self.before, self.after = (
            Function(
                self,
                name,
                stage=stage,
                folder=service.replace("-", "_"),
                service=service,
                description=f"Quicksilver {stage.name}: {description}",
                layers=layers,
                log_key=data.predictions_key,
                settings={**settings, **more},
                memory_mib=1_024,
                timeout=_TIMEOUT,
            )
            for name, service, description, more in (
                ("Before", BEFORE, "check a function version before it gets traffic", before_only),
                ("After", AFTER, "look at a release after its traffic has moved", {}),
            )
        )
        for hook in (self.before, self.after):
            self._let_it_read(hook)
            self._let_it_ask(hook, [*functions.values()])
        for function in functions.values():
            self._allow_versions(
                self.before,
                ["lambda:GetProvisionedConcurrencyConfig", "lambda:PutProvisionedConcurrencyConfig"],
                function,
                "A release may go back to any function version, which is given its provisioned concurrency again.",
            )
            self._allow_versions(
                self.after,
                ["lambda:DeleteProvisionedConcurrencyConfig"],
                function,
                "Every function version but the released one gives up its provisioned concurrency.",
            )
            self.after.allow(
                ["lambda:GetAlias", "lambda:ListProvisionedConcurrencyConfigs"], function.function_arn
            )

    def answer(
        self, group: codedeploy.LambdaDeploymentGroup, application: codedeploy.LambdaApplication
    ) -> None:
        """Let both read a group's deployments; that they may answer for them, the group grants itself."""
        for hook in (self.before, self.after):
            hook.allow(["codedeploy:GetDeployment"], group.deployment_group_arn)
            hook.allow(["codedeploy:GetApplicationRevision"], application.application_arn)

    def _let_it_read(self, hook: Function) -> None:
        data = self._data
        hook.allow(["dynamodb:GetItem"], data.registry.table_arn)
        hook.allow(["kms:Decrypt"], data.models_key.key_arn)
        hook.allow(["kms:Verify"], data.signing_key.key_arn)
        allow_objects(
            hook.own_role,
            actions=["s3:GetObject"],
            bucket=data.models,
            prefix=PACKAGES,
            reason="A route may name any registered model version, and packages are stored by their SHA-256.",
        )

    def _let_it_ask(self, hook: Function, functions: list[Function]) -> None:
        for function in functions:
            self._allow_versions(
                hook,
                ["lambda:InvokeFunction"],
                function,
                "The function version to check is the deployment's, which has no number yet; never the function itself.",
            )

    def _allow_versions(self, hook: Function, actions: list[str], function: Function, reason: str) -> None:
        versions = f"{function.function_arn}:*"
        hook.allow(actions, versions)
        found = finding_resource(Stack.of(self).resolve(versions))
        acknowledge(hook.own_role, f"AwsSolutions-IAM5[Resource::{found}]", reason=reason)
