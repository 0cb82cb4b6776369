"""Alarms on what is counted only when it happens, and should not."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, aws_cloudwatch as cloudwatch
from constructs import Construct

from quicksilver.metrics import NAMESPACE, Metric
from stacks.constructs.alarm import Alarm

ENDPOINT = {
    Metric.PREDICTIONS_UNDELIVERED: "the stream refuses prediction records; they are kept in S3 and put back every minute",
    Metric.PREDICTIONS_PENDING: "stream and S3 both refuse prediction records; they are in memory only",
    Metric.PREDICTIONS_LOST: "prediction records are lost: an environment ended while stream and S3 refused them",
    Metric.ROUTE_REFRESH_FAILED: "an environment cannot read or load the registry's route; it answers by its last good one",
    Metric.EXTENSION_FAILED: "an environment has lost Lambda's Extensions API; its answers wait for the delivery",
}
"""Of an endpoint: what costs no answer and so would go unseen, records on hold and a route that is not served."""

ROLLUP = {
    Metric.ROLLUP_RECORDS_UNREADABLE: "records on the stream are no prediction records, and in no count; the log says which",
    Metric.ROLLUP_RECORDS_TOO_LATE: "records came so late that nothing tells whether they were counted; they are in no count",
}

ROLLOUT = {
    Metric.ROLLOUT_LOOK_FAILED: "an endpoint could not be looked at, or its decision was refused; its canary keeps its share",
    Metric.ANNOUNCEMENTS_FAILED: "what the registry's history says is not announced to its end; nothing is lost",
}

DRIFT = {
    Metric.DRIFT_RUN_FAILED: "an endpoint's windows could not be judged to the last; the next run goes on there",
    Metric.ARCHIVE_OBJECTS_SKIPPED: "objects of the archive cannot be read, and what they hold is in no window; results name them",
    Metric.RETRAIN_TRIGGER_FAILED: "nobody could decide whether an endpoint needs a new model; the next run tries again",
    Metric.ANNOUNCEMENTS_FAILED: "what was found is not announced to its end; nothing is lost",
}
"""A window with an alarm is no failure: it is announced, and rings nothing here."""

SHADOW = {
    Metric.ROUTE_REFRESH_FAILED: "a route cannot be read; its endpoint's records are scored by the last one read, or not at all",
    Metric.SHADOW_RECORDS_UNREADABLE: "records on the stream are no prediction records, and get no score; the log says which",
}

PERFORMANCE = {
    Metric.PERFORMANCE_RUN_FAILED: "what labels show of an endpoint could not be judged to the last window; tomorrow's run tries again",
    Metric.RETRAIN_TRIGGER_FAILED: "nobody could decide whether an endpoint needs a new model; tomorrow's run tries again",
    Metric.ANNOUNCEMENTS_FAILED: "what the monitoring found is not announced to its end; nothing is lost",
}


class CountAlarms(Construct):
    """Rings at the first count of each of the metrics, counted with exactly these dimensions."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        subject: str,
        dimensions: Mapping[str, str],
        meanings: Mapping[Metric, str],
    ) -> None:
        super().__init__(scope, id)
        for metric, meaning in meanings.items():
            Alarm(
                self,
                metric,
                description=f"{subject}: {meaning}",
                metric=cloudwatch.Metric(
                    namespace=NAMESPACE,
                    metric_name=metric,
                    dimensions_map=dimensions,
                    statistic=cloudwatch.Stats.SUM,
                    period=Duration.minutes(1),
                ),
                threshold=1,
            )
