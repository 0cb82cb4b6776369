"""The wiring: settings, clients and capabilities, once per process. Nothing else knows AWS and the product both."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics as PowertoolsMetrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from quicksilver.after_response import AfterResponse, Extension, Inline, each
from quicksilver.aws.dynamodb_features import DynamoDBFeatureStore
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.hot_clients import hot_client
from quicksilver.aws.kinesis_predictions import KinesisPredictionStream
from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.aws.lambda_extension import LambdaExtension
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_undelivered import S3UndeliveredStore
from quicksilver.aws.system import SystemClock, pause
from quicksilver.aws.termination import Termination
from quicksilver.delivery import PredictionLog
from quicksilver.edge import Answer, answer_request
from quicksilver.errors import Unavailable
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.metrics import Metric
from quicksilver.scoring import Scorer
from quicksilver.serving import Serving
from quicksilver.settings import (
    RedeliverSettings,
    RegistrySettings,
    RolloutSettings,
    RollupSettings,
    ScoreSettings,
    ShadowSettings,
)

if TYPE_CHECKING:
    from quicksilver.idempotency import Idempotency
    from quicksilver.registry_api import RegistryApi
    from quicksilver.rollout_run import RolloutRun
    from quicksilver.rollup_fold import Fold
    from quicksilver.shadow_batch import ShadowBatches

logger = logging.getLogger(__name__)


class EmfMetrics:
    """Counts as CloudWatch embedded metrics, one line a flush, with the endpoint as dimension.

    Requests and the work after them count from two threads, and Powertools' set of metrics is made for one.
    """

    def __init__(self, endpoint: str = "", function_version: str = "") -> None:
        self._lock = threading.Lock()
        self._metrics = PowertoolsMetrics()
        self._endpoint = endpoint
        self._function_version = function_version
        if endpoint:
            self._metrics.set_default_dimensions(endpoint=endpoint)

    def count(self, name: Metric, value: int = 1) -> None:
        with self._lock:
            if name is Metric.REQUESTS_UNANSWERED:
                # A line of its own: a dimension belongs to every metric of its line, and the others by
                # function version would be as many series again with every release.
                with single_metric(name=name, unit=MetricUnit.Count, value=value) as metric:
                    metric.add_dimension("endpoint", self._endpoint)
                    metric.add_dimension("function_version", self._function_version)
            else:
                self._metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)

    def flush(self) -> None:
        with self._lock:
            # A run that counted nothing has nothing to say; Powertools would warn of an empty set.
            if self._metrics.metric_set:
                self._metrics.flush_metrics()


def configure_logging() -> None:
    """Give the package's records, made with the standard library, Powertools' JSON shape."""
    powertools = Logger()
    package = logging.getLogger("quicksilver")
    package.handlers = [powertools.registered_handler]
    package.setLevel(powertools.log_level)
    package.propagate = False


@dataclass(frozen=True)
class ScoreFunction:
    """Everything the score handler uses."""

    scorer: Scorer
    after_response: AfterResponse
    idempotency: Idempotency | None = None

    def answer(self, event: Mapping[str, Any], *, function_version: str) -> Answer:
        return answer_request(
            event, self.scorer, function_version=function_version, idempotency=self.idempotency
        )


def score_function() -> ScoreFunction:
    """Wire the score function and load the current route, so that the first request finds its models."""
    configure_logging()
    settings = ScoreSettings()  # every value comes from the environment
    extension = _extension()
    termination = Termination() if extension else None  # before any thread is started
    clock = SystemClock()
    function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "")  # set by Lambda itself
    metrics = EmfMetrics(settings.endpoint, function_version)
    # Half the deadline for one attempt leaves room to ask again for what was not answered.
    attempt_seconds = settings.deadline_ms / 2_000
    # Registry and features share a client: reading the route at init opens the connection that the
    # first request's features are read on.
    dynamodb = hot_client("dynamodb", attempt_seconds)
    serving = Serving(
        settings.endpoint,
        registry=DynamoDBRegistryStore(dynamodb, settings.registry_table),
        artifacts=S3ArtifactStore(hot_client("s3", 4), settings.models_bucket),
        load=LightGBMEvaluator,
        signer=KmsSigner(hot_client("kms", 1), settings.signing_key),
        clock=clock,
        metrics=metrics,
        refresh_seconds=settings.route_refresh_seconds,
        max_age_seconds=settings.route_max_age_seconds,
    )
    # With everything hanging: three attempts of 1 s at the stream, two of 2 s at the store, and at a refresh
    # two reads of the registry, 1 s at the key and 4 s at the artefacts, then 1 s at the Extensions API: within
    # AFTER_ANSWER_SECONDS.
    log = PredictionLog(
        settings.endpoint,
        KinesisPredictionStream(hot_client("kinesis", 1), settings.predictions_stream, pause),
        S3UndeliveredStore(hot_client("s3", 2, attempts=2), settings.archive_bucket),
        metrics,
        before_response=settings.log_before_response,
    )
    scorer = Scorer(
        stage=settings.stage,
        endpoint=settings.endpoint,
        serving=serving,
        features=DynamoDBFeatureStore(
            dynamodb,
            settings.features_table,
            attempt_seconds=attempt_seconds,
            pause=pause,
            metrics=metrics,
        ),
        log=log,
        metrics=metrics,
        clock=clock,
        random_bytes=os.urandom,
        deadline_ms=settings.deadline_ms,
        batch_deadline_ms=settings.batch_deadline_ms,
    )
    serving.refresh_if_due()
    work = each(log.flush, serving.refresh_if_due, metrics.flush)
    idempotency = _idempotency(settings, dynamodb, clock, metrics) if settings.idempotency_table else None
    if extension is None or termination is None:
        return ScoreFunction(scorer, Inline(work), idempotency)
    termination.then(each(log.drain, metrics.flush))
    after_response = Extension(extension, work, metrics)
    after_response.start()
    return ScoreFunction(scorer, after_response, idempotency)


def _idempotency(
    settings: ScoreSettings, dynamodb: Any, clock: SystemClock, metrics: EmfMetrics
) -> Idempotency:
    # Imported here: most endpoints do without.
    from quicksilver.aws.dynamodb_idempotency import DynamoDBIdempotencyStore
    from quicksilver.idempotency import Idempotency

    return Idempotency(
        settings.endpoint,
        DynamoDBIdempotencyStore(dynamodb, settings.idempotency_table, pause=pause),
        clock=clock,
        metrics=metrics,
        pause=pause,
        new_attempt=lambda: os.urandom(16).hex(),
        attempt_seconds=settings.timeout_seconds,
        keep_seconds=settings.idempotency_seconds,
    )


def _extension() -> LambdaExtension | None:
    """This environment's internal extension, where the platform has a place for one."""
    address = os.environ.get("AWS_LAMBDA_RUNTIME_API")  # set by Lambda itself
    try:
        if address:
            return LambdaExtension.register(address)
        reason = "There is no Runtime API."
    except Unavailable as error:
        reason = str(error)
    logger.warning("no time after the response: the work after an answer is done before it. %s", reason)
    return None


@dataclass(frozen=True)
class RedeliverFunction:
    """Everything the redeliver handler uses."""

    stream: KinesisPredictionStream
    undelivered: S3UndeliveredStore
    metrics: EmfMetrics


def redeliver_function() -> RedeliverFunction:
    # Imported here: the score function, which shares this module, does without boto3.
    from quicksilver.aws.clients import client

    configure_logging()
    settings = RedeliverSettings()  # every value comes from the environment
    return RedeliverFunction(
        KinesisPredictionStream(client("kinesis"), settings.predictions_stream, pause),
        S3UndeliveredStore(client("s3"), settings.archive_bucket),
        EmfMetrics(),
    )


def registry_function() -> RegistryApi:
    """Wire the registry function. Its calls end well within API Gateway's 29 s, so that a caller is told."""
    # Imported here: the score function, which shares this module, would pay for them at each cold start.
    from quicksilver.aws.clients import client, within
    from quicksilver.registry import Registry, Stores
    from quicksilver.registry_api import RegistryApi

    configure_logging()
    settings = RegistrySettings()  # every value comes from the environment
    store = DynamoDBRegistryStore(client("dynamodb", within(2, attempts=3)), settings.registry_table)
    artifacts = S3ArtifactStore(client("s3", within(5, attempts=2)), settings.models_bucket)
    registry = Registry(
        Stores(store, artifacts, artifacts),
        signer=KmsSigner(client("kms", within(2, attempts=3)), settings.signing_key),
        policies=settings.policies,
        load=LightGBMEvaluator,
        clock=SystemClock(),
        pause=pause,
    )
    return RegistryApi(registry)


@dataclass(frozen=True)
class RollupFunction:
    """Everything the rollup handler uses."""

    fold: Fold
    metrics: EmfMetrics


def rollup_function() -> RollupFunction:
    # Imported here: the score function, which shares this module, would pay for them at each cold start.
    from quicksilver.aws.clients import client, within
    from quicksilver.aws.dynamodb_rollup import DynamoDBRollupStore
    from quicksilver.rollup_fold import Fold

    configure_logging()
    settings = RollupSettings()  # every value comes from the environment
    metrics = EmfMetrics()
    fold = Fold(
        store=DynamoDBRollupStore(client("dynamodb", within(2, attempts=3)), settings.rollup_table),
        clock=SystemClock(),
        metrics=metrics,
        pause=pause,
        cutoffs=settings.cutoffs,
        period_seconds=settings.rollup_period_seconds,
        keep_days=settings.rollup_keep_days,
    )
    return RollupFunction(fold, metrics)


@dataclass(frozen=True)
class ShadowFunction:
    """Everything the shadow handler uses."""

    batches: ShadowBatches
    metrics: EmfMetrics


def shadow_function() -> ShadowFunction:
    """Wire the shadow function. What hangs fails within seconds, and the batch comes again."""
    # Imported here: the score function, which shares this module, would pay for them at each cold start.
    from quicksilver.aws.s3_shadow_scores import S3ShadowScoreStore
    from quicksilver.model_loader import ModelLoader, registered
    from quicksilver.shadow import ShadowScorer
    from quicksilver.shadow_batch import ShadowBatches

    configure_logging()
    settings = ShadowSettings()  # every value comes from the environment
    clock, metrics = SystemClock(), EmfMetrics()
    registry = DynamoDBRegistryStore(hot_client("dynamodb", 2), settings.registry_table)
    s3 = hot_client("s3", 5, attempts=2)
    artifacts = S3ArtifactStore(s3, settings.models_bucket)
    loader = ModelLoader(artifacts, LightGBMEvaluator, permit=registered(registry))
    batches = ShadowBatches(
        ShadowScorer(loader, artifacts, clock),
        registry=registry,
        store=S3ShadowScoreStore(s3, settings.archive_bucket),
        clock=clock,
        metrics=metrics,
    )
    return ShadowFunction(batches, metrics)


@dataclass(frozen=True)
class RolloutFunction:
    """Everything the rollout handler uses."""

    rollouts: RolloutRun
    metrics: EmfMetrics


def rollout_function() -> RolloutFunction:
    """Wire the rollout function. With everything hanging, a run of two endpoints ends within a minute."""
    # Imported here: the score function, which shares this module, would pay for them at each cold start.
    from quicksilver.announcements import Announcements
    from quicksilver.aws.announcer import AwsAnnouncer
    from quicksilver.aws.clients import api_client, client, within
    from quicksilver.aws.dynamodb_announcement_cursor import DynamoDBAnnouncementCursor
    from quicksilver.aws.dynamodb_rollup import DynamoDBRollupStore
    from quicksilver.aws.registry_client import RegistryClient
    from quicksilver.rollout_run import RolloutRun

    configure_logging()
    settings = RolloutSettings()  # every value comes from the environment
    metrics = EmfMetrics()
    limits = within(2, attempts=3)
    dynamodb = client("dynamodb", limits)
    registry = DynamoDBRegistryStore(dynamodb, settings.registry_table)
    announcements = Announcements(
        settings.stage,
        registry,
        DynamoDBAnnouncementCursor(dynamodb, settings.announcements_table),
        AwsAnnouncer(client("events", limits), settings.event_bus, client("sns", limits), settings.topic),
    )
    rollouts = RolloutRun(
        settings.endpoints,
        registry=registry,
        rollup=DynamoDBRollupStore(dynamodb, settings.rollup_table),
        decisions=RegistryClient(api_client(settings.registry_api_url, seconds=10)),
        announcements=announcements,
        clock=SystemClock(),
        metrics=metrics,
    )
    return RolloutFunction(rollouts, metrics)
