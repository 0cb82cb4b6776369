"""The shadow function's wiring."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.hot_clients import hot_client
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_shadow_scores import S3ShadowScoreStore
from quicksilver.aws.system import SystemClock
from quicksilver.bootstrap.emf import EmfMetrics
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.model_loader import ModelLoader, registered
from quicksilver.settings import ShadowSettings
from quicksilver.shadow.batch import ShadowBatches
from quicksilver.shadow.scoring import ShadowScorer


@dataclass(frozen=True)
class ShadowFunction:
    """Everything the shadow handler uses."""

    batches: ShadowBatches
    metrics: EmfMetrics


def shadow_function() -> ShadowFunction:
    """Wire the shadow function. What hangs fails within seconds, and the batch comes again."""
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
