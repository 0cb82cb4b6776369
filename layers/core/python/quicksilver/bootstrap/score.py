"""The score function's wiring."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from quicksilver.bootstrap.emf import EmfMetrics
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.bootstrap.score_sums import ScoreSums
from quicksilver.bootstrap.snapshot import around_snapshot
from quicksilver.code_release import CHECK
from quicksilver.delivery import PredictionLog
from quicksilver.edge import Answer, answer_request
from quicksilver.errors import Unavailable
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.model_loader import LoadedModel, ModelLoader, registered
from quicksilver.routing import Arm
from quicksilver.scoring import Scorer
from quicksilver.serving import Serving
from quicksilver.settings import ScoreSettings

if TYPE_CHECKING:
    from quicksilver.idempotency import Idempotency

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreFunction:
    """Everything the score handler uses."""

    scorer: Scorer
    after_response: AfterResponse
    load_registered: Callable[[Arm], LoadedModel]
    idempotency: Idempotency | None = None

    def answer(self, event: Mapping[str, Any], *, function_version: str) -> Answer:
        if CHECK in event:
            # Imported here: a function version is checked once or twice in its life.
            from quicksilver.code_release.answering import CheckedFunction

            checked = CheckedFunction(self.scorer, self.load_registered)
            return checked.answer(event[CHECK], function_version=function_version)
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
    service = os.environ.get("POWERTOOLS_SERVICE_NAME", "")
    scores = ScoreSums(service, settings.endpoint, function_version, clock)
    # Half the deadline for one attempt leaves room to ask again for what was not answered.
    attempt_seconds = settings.deadline_ms / 2_000
    # Registry and features share a client: reading the route at init opens the connection that the
    # first request's features are read on.
    dynamodb = hot_client("dynamodb", attempt_seconds)
    packages, signer = hot_client("s3", 4), hot_client("kms", 1)
    stream, undelivered = hot_client("kinesis", 1), hot_client("s3", 2, attempts=2)
    registry = DynamoDBRegistryStore(dynamodb, settings.registry_table)
    artifacts = S3ArtifactStore(packages, settings.models_bucket)
    serving = Serving(
        settings.endpoint,
        registry=registry,
        artifacts=artifacts,
        load=LightGBMEvaluator,
        signer=KmsSigner(signer, settings.signing_key),
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
        KinesisPredictionStream(stream, settings.predictions_stream, pause),
        S3UndeliveredStore(undelivered, settings.archive_bucket),
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
        scores=scores,
        clock=clock,
        random_bytes=os.urandom,
        deadline_ms=settings.deadline_ms,
        batch_deadline_ms=settings.batch_deadline_ms,
    )
    serving.refresh_if_due()
    around_snapshot((dynamodb, packages, signer, stream, undelivered), serving.restored)
    work = each(log.flush, serving.refresh_if_due, metrics.flush, scores.flush_if_due)
    idempotency = _idempotency(settings, dynamodb, clock, metrics) if settings.idempotency_table else None
    load_registered = ModelLoader(artifacts, LightGBMEvaluator, permit=registered(registry)).model
    if extension is None or termination is None:
        return ScoreFunction(scorer, Inline(work), load_registered, idempotency)
    termination.then(each(log.drain, metrics.flush, scores.flush))
    after_response = Extension(extension, work, metrics)
    after_response.start()
    return ScoreFunction(scorer, after_response, load_registered, idempotency)


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
