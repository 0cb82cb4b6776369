"""Retraining: the machine that a request starts, what it may call, and who hears of it.

It starts by the event alone, and ends with a gated model version in shadow or with a message that says why there is none.
Nothing here can approve a model version or give it a share.
"""

from __future__ import annotations

from aws_cdk import (
    CfnOutput,
    Duration,
    Stack,
    aws_cloudwatch as cloudwatch,
    aws_events as events,
    aws_events_targets as targets,
    aws_iam as iam,
    aws_stepfunctions as stepfunctions,
)
from constructs import Construct

from quicksilver.announcements import SOURCE
from quicksilver.monitoring import DetailType
from stacks.config import SageMakerTraining, Stage, WebhookTraining
from stacks.constructs.alarm import Alarm, Severity
from stacks.constructs.compliance import acknowledge
from stacks.constructs.dead_letters import DeadLetters
from stacks.constructs.encrypted_log_group import EncryptedLogGroup
from stacks.constructs.layers import Layers
from stacks.constructs.retraining_functions import RetrainingFunctions
from stacks.constructs.retraining_states import Parts, definition
from stacks.constructs.sagemaker_jobs import SageMakerJobs
from stacks.constructs.schedule import alarm_on_failed_starts
from stacks.constructs.service_role import ServiceRole
from stacks.control_stack import ControlStack
from stacks.data_stack import DataStack


class Retraining(Construct):
    """The machine of one stage. Policies are given as JSON, by endpoint."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        data: DataStack,
        control: ControlStack,
        layers: Layers,
        drift_policies: str,
        gate_policies: str,
    ) -> None:
        super().__init__(scope, id)
        self._stage, self._data, self._control = stage, data, control
        self._functions = RetrainingFunctions(
            self,
            "Functions",
            stage=stage,
            data=data,
            registry=control.registry_api,
            layers=layers,
            drift_policies=drift_policies,
            gate_policies=gate_policies,
        )
        self._jobs = (
            SageMakerJobs(self, "Jobs", stage=stage, training=stage.training, data=data)
            if isinstance(stage.training, SageMakerTraining)
            else None
        )
        machine = self._state_machine()
        self._start_by_event(machine)
        if not stage.emulated:
            self._alarms(machine)
        CfnOutput(scope, "RetrainingMachine", value=machine.ref)

    # -- the machine --

    def _state_machine(self) -> stepfunctions.CfnStateMachine:
        stack, key = Stack.of(self), self._data.predictions_key
        log_group = EncryptedLogGroup(self, "Logs", stage=self._stage, key=key)
        role = self._machine_role()
        functions = self._functions
        parts = Parts(
            training_set=functions.training_set.function_arn,
            train=functions.train.function_arn if functions.train else None,
            candidate=functions.candidate.function_arn,
            topic=self._control.topic.topic_arn,
            bus=self._control.bus.event_bus_name,
            archive_bucket=self._data.archive.bucket_name,
            archive_key=key.key_arn,
            training_role=self._jobs.role.role_arn if self._jobs else None,
        )
        machine = stepfunctions.CfnStateMachine(
            self,
            "Machine",
            state_machine_type="STANDARD",
            role_arn=role.role_arn,
            definition_string=stack.to_json_string(definition(self._stage, parts)),
            encryption_configuration=stepfunctions.CfnStateMachine.EncryptionConfigurationProperty(
                type="CUSTOMER_MANAGED_KMS_KEY", kms_key_id=key.key_arn, kms_data_key_reuse_period_seconds=300
            ),
            logging_configuration=stepfunctions.CfnStateMachine.LoggingConfigurationProperty(
                level="ALL",
                # What the states hand on is in the encrypted history, for those who may read that.
                include_execution_data=False,
                destinations=[
                    stepfunctions.CfnStateMachine.LogDestinationProperty(
                        cloud_watch_logs_log_group=stepfunctions.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                            log_group_arn=log_group.log_group_arn
                        )
                    )
                ],
            ),
        )
        # Step Functions tries its role while the machine is created, and IAM policies are separate resources.
        machine.node.add_dependency(role)
        for finding in ("AwsSolutions-SF2", "Serverless-StepFunctionStateMachineXray"):
            acknowledge(
                machine,
                finding,
                reason="The history of each execution has every step with its times; X-Ray would repeat it.",
            )
        return machine

    def _machine_role(self) -> iam.Role:
        data, control = self._data, self._control
        role = ServiceRole(
            self,
            "MachineRole",
            service="states",
            description=f"What retraining may do in {self._stage.name}",
        )
        _let(role, ["lambda:InvokeFunction"], *(function.function_arn for function in self._functions.all))
        _let(role, ["sns:Publish"], control.topic.topic_arn)
        _let(
            role,
            ["kms:Decrypt", "kms:GenerateDataKey"],
            data.models_key.key_arn,
            data.predictions_key.key_arn,
        )
        # Log deliveries are the account's and have no ARN of their own.
        # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy
        _let(
            role,
            [
                "logs:CreateLogDelivery",
                "logs:DeleteLogDelivery",
                "logs:DescribeLogGroups",
                "logs:DescribeResourcePolicies",
                "logs:GetLogDelivery",
                "logs:ListLogDeliveries",
                "logs:PutResourcePolicy",
                "logs:UpdateLogDelivery",
            ],
            "*",
        )
        acknowledge(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            reason="Deliveries of logs are the account's: CloudWatch knows no resource for these verbs.",
        )
        if self._jobs:
            self._jobs.let_start(role)
        if isinstance(self._stage.training, WebhookTraining):
            role.add_to_policy(
                iam.PolicyStatement(
                    actions=["events:PutEvents"],
                    resources=[control.bus.event_bus_arn],
                    conditions={"StringEquals": {"events:source": SOURCE}},
                )
            )
        return role

    # -- what starts it, and who hears of it --

    def _start_by_event(self, machine: stepfunctions.CfnStateMachine) -> None:
        role = ServiceRole(
            self,
            "StarterRole",
            service="events",
            description=f"Starts a retraining in {self._stage.name}",
        )
        _let(role, ["states:StartExecution"], machine.ref)
        _let(role, ["kms:Decrypt", "kms:GenerateDataKey"], self._data.predictions_key.key_arn)
        rule = events.Rule(
            self,
            "Requested",
            description="A new model is asked for",
            event_bus=self._control.bus,
            event_pattern=events.EventPattern(
                source=[SOURCE],
                detail_type=[DetailType.RETRAIN_REQUESTED],
                detail={"stage": [self._stage.name]},
            ),
            targets=[
                targets.SfnStateMachine(
                    stepfunctions.StateMachine.from_state_machine_arn(self, "Started", machine.ref),
                    input=events.RuleTargetInput.from_event_path("$.detail"),
                    role=role,
                    dead_letter_queue=DeadLetters(
                        self,
                        "NotStarted",
                        stage=self._stage,
                        subject="retraining",
                        meaning="a new model was asked for, and the machine was not started in a day of attempts",
                    ),
                )
            ],
        )
        if (
            self._stage.region
        ):  # then CDK knows the rule's region, and not that of an ARN, which it cannot read
            acknowledge(
                rule,
                "Annotation::@aws-cdk/aws-events:ruleUnresolvedEnvironment",
                reason="The rule and its machine are in one stack.",
            )

        if not self._stage.emulated:
            alarm_on_failed_starts(rule, stage=self._stage, subject="retraining")

    def _alarms(self, machine: stepfunctions.CfnStateMachine) -> None:
        for name, what, meaning in (
            (
                "ExecutionsFailed",
                "failed",
                "a retraining has failed; its cause is on the topic and in `quicksilver retrain list`",
            ),
            ("ExecutionsTimedOut", "timed-out", "a retraining has taken longer than all its steps may"),
            ("ExecutionsAborted", "aborted", "somebody has stopped a retraining"),
        ):
            Alarm(
                self,
                name,
                stage=self._stage,
                subject="retraining",
                what=what,
                severity=Severity.TICKET,
                runbook="a-retraining-did-not-end-well",
                description=f"retraining: {meaning}",
                metric=cloudwatch.Metric(
                    namespace="AWS/States",
                    metric_name=name,
                    dimensions_map={"StateMachineArn": machine.ref},
                    statistic=cloudwatch.Stats.SUM,
                    period=Duration.minutes(1),
                ),
                threshold=1,
            )


def _let(role: iam.Role, actions: list[str], *resources: str) -> None:
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=list(resources)))
