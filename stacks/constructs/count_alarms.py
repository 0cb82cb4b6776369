"""Alarms on what is counted only when it happens, and should not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration, aws_cloudwatch as cloudwatch
from constructs import Construct

from quicksilver.metrics import NAMESPACE, Metric
from stacks.config import Stage
from stacks.constructs.alarm import Alarm, Severity


@dataclass(frozen=True, slots=True)
class Meaning:
    """What it means that a metric is counted at all, and who has to know."""

    severity: Severity
    sentence: str


def _page(sentence: str) -> Meaning:
    return Meaning(Severity.PAGE, sentence)


def _ticket(sentence: str) -> Meaning:
    return Meaning(Severity.TICKET, sentence)


ENDPOINT = {
    Metric.PREDICTIONS_UNDELIVERED: _ticket(
        "the stream refuses prediction records; they are kept in S3 and put back every minute"
    ),
    Metric.PREDICTIONS_PENDING: _page(
        "stream and S3 both refuse prediction records; they are in memory only"
    ),
    Metric.PREDICTIONS_LOST: _page(
        "prediction records are lost: an environment ended while stream and S3 refused them"
    ),
    Metric.ROUTE_REFRESH_FAILED: _ticket(
        "an environment cannot read or load the registry's route; it answers by its last good one"
    ),
    Metric.EXTENSION_FAILED: _ticket(
        "an environment has lost Lambda's Extensions API; its answers wait for the delivery"
    ),
    Metric.ADDITIVITY_FAILED: _ticket(
        "contributions did not add up to the raw score; the answer has LightGBM's own, or is another rung's"
    ),
    Metric.REQUESTS_UNGUARDED: _ticket(
        "the table of idempotency keys did not hold a key; a repetition of that request is scored again"
    ),
}
"""Of an endpoint: what costs no answer and so would go unseen, records on hold and a route that is not served."""

REDELIVERY = {
    Metric.PREDICTIONS_STILL_UNDELIVERED: _ticket(
        "the stream refuses what was put back on it; records stay in S3, and the next minute's run tries again"
    ),
    Metric.PREDICTIONS_UNREADABLE: _ticket(
        "kept batches of prediction records cannot be read, and stay until somebody looks at them"
    ),
}

ROLLUP = {
    Metric.ROLLUP_RECORDS_UNREADABLE: _ticket(
        "records on the stream are no prediction records, and in no count; the log says which"
    ),
    Metric.ROLLUP_RECORDS_TOO_LATE: _ticket(
        "records came so late that nothing tells whether they were counted; they are in no count"
    ),
}

ROLLOUT = {
    Metric.ROLLOUT_LOOK_FAILED: _ticket(
        "an endpoint could not be looked at, or its decision was refused; its canary keeps its share"
    ),
    Metric.ANNOUNCEMENTS_FAILED: _ticket(
        "what the registry's history says is not announced to its end; nothing is lost"
    ),
}

DRIFT = {
    Metric.DRIFT_RUN_FAILED: _ticket(
        "an endpoint's windows could not be judged to the last; the next run goes on there"
    ),
    Metric.ARCHIVE_OBJECTS_SKIPPED: _ticket(
        "objects of the archive cannot be read, and what they hold is in no window; results name them"
    ),
    Metric.RETRAIN_TRIGGER_FAILED: _ticket(
        "nobody could decide whether an endpoint needs a new model; the next run tries again"
    ),
    Metric.ANNOUNCEMENTS_FAILED: _ticket("what was found is not announced to its end; nothing is lost"),
}
"""A window with an alarm is no failure: it is announced, and rings nothing here."""

SHADOW = {
    Metric.ROUTE_REFRESH_FAILED: _ticket(
        "a route cannot be read; its endpoint's records are scored by the last one read, or not at all"
    ),
    Metric.SHADOW_RECORDS_UNREADABLE: _ticket(
        "records on the stream are no prediction records, and get no score; the log says which"
    ),
}

PERFORMANCE = {
    Metric.PERFORMANCE_RUN_FAILED: _ticket(
        "what labels show of an endpoint could not be judged to the last window; tomorrow's run tries again"
    ),
    Metric.RETRAIN_TRIGGER_FAILED: _ticket(
        "nobody could decide whether an endpoint needs a new model; tomorrow's run tries again"
    ),
    Metric.ANNOUNCEMENTS_FAILED: _ticket(
        "what the monitoring found is not announced to its end; nothing is lost"
    ),
}


class CountAlarms(Construct):
    """Rings at the first count of each of the metrics, counted with exactly these dimensions.

    ``PredictionsLost`` of the subject ``card-fraud`` rings ``quicksilver-<stage>-card-fraud-predictions-lost``.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        subject: str,
        dimensions: Mapping[str, str],
        meanings: Mapping[Metric, Meaning],
    ) -> None:
        super().__init__(scope, id)
        for metric, meaning in meanings.items():
            Alarm(
                self,
                metric,
                stage=stage,
                subject=subject,
                # Not drift-drift-run-failed.
                what=words(metric).removeprefix(f"{subject}-"),
                runbook=words(metric),
                severity=meaning.severity,
                description=f"{subject}: {meaning.sentence}",
                metric=cloudwatch.Metric(
                    namespace=NAMESPACE,
                    metric_name=metric,
                    dimensions_map=dimensions,
                    statistic=cloudwatch.Stats.SUM,
                    period=Duration.minutes(1),
                ),
                threshold=1,
            )


def words(name: str) -> str:
    """``PredictionsLost`` as ``predictions-lost``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
