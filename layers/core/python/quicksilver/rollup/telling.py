"""What arms did, told as metrics: after it has been counted, so that a record is told of once at most.

The counts in the store are the truth. An environment that ends between its write and its flush tells nothing of that batch; a
picture of the arms has a dent, and nothing decides by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quicksilver.metrics import Metric
from quicksilver.ports import ArmMetrics
from quicksilver.rollup.record import Counted
from quicksilver.rollup_counts import ArmCounts, ArmKey

HOLDOUT = "holdout"


def arm_name(key: ArmKey) -> str:
    """What an arm goes by in metrics: its role, and the holdout apart."""
    return HOLDOUT if key.holdout else key.role.value


def tell_arms(records: Iterable[Counted], counts: Mapping[ArmKey, ArmCounts], metrics: ArmMetrics) -> None:
    """Tell of records of one endpoint that have just been counted, as ``counts`` says."""
    score_sums: dict[ArmKey, int] = {}
    endpoint = ""
    for record in records:
        endpoint = record.endpoint
        if not record.error:
            score_sums[record.arm] = score_sums.get(record.arm, 0) + round(record.score * 10_000)
    for key, counted in counts.items():
        # A model version that could not be loaded is noted under an arm that decided nothing.
        if counted.requests:
            metrics.count_arm(
                endpoint,
                arm_name(key),
                {
                    Metric.ARM_DECISIONS: counted.requests,
                    Metric.ARM_ERRORS: counted.errors,
                    Metric.ARM_DEGRADED: counted.degraded,
                    Metric.ARM_APPROVED: counted.approved,
                    Metric.ARM_SCORE_SUM: score_sums.get(key, 0),
                },
            )
