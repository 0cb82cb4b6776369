"""The rollup function's wiring."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.aws.clients import client, within
from quicksilver.aws.dynamodb_rollup import DynamoDBRollupStore
from quicksilver.aws.system import SystemClock, pause
from quicksilver.bootstrap.emf import EmfMetrics
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.rollup.fold import Fold
from quicksilver.settings import RollupSettings


@dataclass(frozen=True)
class RollupFunction:
    """Everything the rollup handler uses."""

    fold: Fold
    metrics: EmfMetrics


def rollup_function() -> RollupFunction:
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
