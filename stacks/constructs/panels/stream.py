"""The prediction stream: what is on its way from an answer to the archive, and how late it is."""

from __future__ import annotations

from quicksilver.metrics import NAMESPACE, Metric
from stacks.config import Endpoint, Stage
from stacks.constructs.widgets import Graph, Panel, Shown

_HELD = (
    Metric.PREDICTIONS_UNDELIVERED,
    Metric.PREDICTIONS_PENDING,
    Metric.PREDICTIONS_LOST,
    Metric.EXTENSION_FAILED,
)


def delivery(endpoint: Endpoint) -> Panel:
    """The records of one endpoint, until they are on the stream."""
    dimensions = {"service": endpoint.service, "endpoint": endpoint.name}
    return Panel(
        "Records",
        "Records that the stream refused wait in S3 (undelivered) or in memory (pending), and come back every minute; a lost one is gone.",
        [
            Graph(
                "Records held back",
                [Shown(NAMESPACE, metric.value, dimensions) for metric in _HELD],
                width=12,
            )
        ],
    )


def stream(stage: Stage, *, stream_name: str, delivery_name: str) -> Panel:
    """The stream of a stage and everything that reads it."""
    predictions = {"StreamName": stream_name}
    firehose = {"DeliveryStreamName": delivery_name}
    consumers = [(name, {"FunctionName": stage.function_name(name)}) for name in ("rollup", "shadow")]
    return Panel(
        "Stream",
        "How far behind the readers of the stream are: beyond its retention records are gone. The archive is late by Firehose's freshness.",
        [
            Graph(
                "Behind",
                [
                    *(
                        Shown("AWS/Lambda", "IteratorAge", function, "Maximum", name)
                        for name, function in consumers
                    ),
                    Shown(
                        "AWS/Kinesis",
                        "GetRecords.IteratorAgeMilliseconds",
                        predictions,
                        "Maximum",
                        "any reader",
                    ),
                ],
                unit="ms",
            ),
            Graph(
                "Oldest record that is not archived",
                [Shown("AWS/Firehose", "DeliveryToS3.DataFreshness", firehose, "Maximum", "age")],
                unit="s",
            ),
            Graph(
                "From a decision to its being counted",
                [
                    Shown(
                        NAMESPACE,
                        Metric.PREDICTION_LOG_DELAY.value,
                        {"service": "rollup"},
                        "Maximum",
                        "longest",
                    )
                ],
                unit="ms",
            ),
            Graph(
                "Records in",
                [
                    Shown("AWS/Kinesis", "IncomingRecords", predictions, label="records"),
                    Shown("AWS/Kinesis", "WriteProvisionedThroughputExceeded", predictions, label="refused"),
                ],
            ),
            Graph(
                "Put back",
                [
                    Shown(NAMESPACE, metric.value, {"service": "redeliver"})
                    for metric in (
                        Metric.PREDICTIONS_REDELIVERED,
                        Metric.PREDICTIONS_STILL_UNDELIVERED,
                        Metric.PREDICTIONS_UNREADABLE,
                    )
                ],
            ),
            Graph(
                "In no count",
                [
                    Shown(NAMESPACE, metric.value, {"service": "rollup"})
                    for metric in (Metric.ROLLUP_RECORDS_UNREADABLE, Metric.ROLLUP_RECORDS_TOO_LATE)
                ],
            ),
            Graph(
                "Shadows",
                [
                    Shown(NAMESPACE, metric.value, {"service": "shadow"})
                    for metric in (
                        Metric.SHADOWS_SCORED,
                        Metric.SHADOWS_NOT_SCORED,
                        Metric.SHADOW_RECORDS_SKIPPED,
                        Metric.SHADOW_RECORDS_UNREADABLE,
                    )
                ],
            ),
        ],
    )
