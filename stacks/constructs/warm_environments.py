"""The provisioned concurrency of one function version, followed by what its traffic needs and by the clock.

On the function version and never on an alias: Lambda refuses it on an alias with weights, which a code canary needs. Written on the
L1 resources: CDK's own auto scaling of Lambda is a method of an alias.
"""

from __future__ import annotations

from aws_cdk import aws_applicationautoscaling as scaling, aws_lambda as lambda_
from constructs import Construct

from stacks.config.concurrency import ProvisionedConcurrency

_DIMENSION = "lambda:function:ProvisionedConcurrency"


class WarmEnvironments(Construct):
    """Scales ``version`` of the function between the bounds of ``provisioned``.

    It needs no role of ours: Application Auto Scaling makes AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency
    ("AWS Lambda and Application Auto Scaling", Application Auto Scaling User Guide).
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function_name: str,
        version: lambda_.IVersion,
        provisioned: ProvisionedConcurrency,
    ) -> None:
        super().__init__(scope, id)
        target = scaling.CfnScalableTarget(
            self,
            "Target",
            service_namespace="lambda",
            scalable_dimension=_DIMENSION,
            # The resource goes with its function version: what is released next gets a target of its own.
            resource_id=f"function:{function_name}:{version.version}",
            min_capacity=provisioned.floor,
            max_capacity=provisioned.ceiling,
            scheduled_actions=[
                scaling.CfnScalableTarget.ScheduledActionProperty(
                    scheduled_action_name=f"floor-{number}",
                    schedule=f"cron({floor.cron})",
                    timezone=floor.timezone,
                    scalable_target_action=scaling.CfnScalableTarget.ScalableTargetActionProperty(
                        min_capacity=floor.environments, max_capacity=provisioned.ceiling
                    ),
                )
                for number, floor in enumerate(provisioned.floors, 1)
            ]
            or None,
        )
        scaling.CfnScalingPolicy(
            self,
            "Busy",
            policy_name="busy",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=provisioned.busy_percent / 100,
                predefined_metric_specification=scaling.CfnScalingPolicy.PredefinedMetricSpecificationProperty(
                    predefined_metric_type="LambdaProvisionedConcurrencyUtilization"
                ),
            ),
        )
