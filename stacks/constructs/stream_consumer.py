"""A function that reads the prediction stream: batches in order, each until it is done or the stream forgets it.

A batch on which the function ends with an error comes again, cut in halves, so that a record it cannot bear keeps few
others waiting. So a consumer has to bear repetitions, which the stream brings anyway, and need not report how far it came.
"""

from __future__ import annotations

import jsii
from aws_cdk import (
    Duration,
    aws_cloudwatch as cloudwatch,
    aws_kinesis as kinesis,
    aws_kms as kms,
    aws_lambda as lambda_,
    aws_sqs as sqs,
)
from constructs import Construct

from stacks.config import Stage
from stacks.constructs.alarm import Alarm, Severity
from stacks.constructs.dead_letters import DeadLetters
from stacks.constructs.function import Function

_READING = [
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
]
"""https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html, for a shared iterator."""

VERY_LATE = Duration.days(1)
"""Six of the seven days that the stream keeps records are left, and days on which nobody works may be among them."""


class StreamConsumer(Construct):
    """Gives ``function`` the stream's records, from the oldest that is kept, a shard's one batch at a time.

    A batch is up to ``batch_size`` records, or what has come in ``batch_window``. What batches the stream forgot before
    they were done is said in ``given_up``: shard, places and times, and no records. Outside an emulated stage alarms say when
    the function falls ``late`` behind, or has given up.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        stream: kinesis.IStream,
        key: kms.IKey,
        function: Function,
        batch_size: int,
        batch_window: Duration,
        late: Duration,
        starting_position: lambda_.StartingPosition = lambda_.StartingPosition.TRIM_HORIZON,
    ) -> None:
        super().__init__(scope, id)
        self.given_up = DeadLetters(
            self,
            "GivenUp",
            stage=stage,
            subject=function.service,
            meaning="the stream has forgotten records before they were done",
        )
        function.allow(_READING, stream.stream_arn)
        function.allow(["kms:Decrypt"], key.key_arn)
        function.allow(["sqs:SendMessage"], self.given_up.queue_arn)
        mapping = lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=function,
            event_source_arn=stream.stream_arn,
            starting_position=starting_position,
            batch_size=batch_size,
            max_batching_window=batch_window,
            parallelization_factor=1,
            bisect_batch_on_error=True,
            retry_attempts=-1,  # until the stream forgets them
            on_failure=_Queue(self.given_up),
        )
        # Lambda tries the role while it makes the mapping, and IAM policies are separate resources.
        mapping.node.add_dependency(function.own_role)
        if not stage.emulated:
            self._alarms(stage, function, late)

    def _alarms(self, stage: Stage, function: Function, late: Duration) -> None:
        for what, severity, age in (
            ("reads-late", Severity.TICKET, late),
            # What is not read within the stream's seven days is read by nobody.
            ("reads-very-late", Severity.PAGE, VERY_LATE),
        ):
            Alarm(
                self,
                "Late" if age is late else "VeryLate",
                stage=stage,
                subject=function.service,
                what=what,
                severity=severity,
                runbook="reads-late",
                description=f"{function.service}: it reads records that are {age.to_minutes():g} minutes old",
                metric=function.metric(
                    "IteratorAge", period=Duration.minutes(1), statistic=cloudwatch.Stats.MAXIMUM
                ),
                threshold=age.to_milliseconds(),
            )


@jsii.implements(lambda_.IEventSourceDlq)
class _Queue:
    """Names a queue as a mapping's destination; CDK's own also grants what it does not need."""

    def __init__(self, queue: sqs.IQueue) -> None:
        self._queue = queue

    def bind(
        self,
        target: lambda_.IEventSourceMapping,  # noqa: ARG002 - the interface is CDK's
        target_handler: lambda_.IFunction,  # noqa: ARG002
    ) -> lambda_.DlqDestinationConfig:
        return lambda_.DlqDestinationConfig(destination=self._queue.queue_arn)
