"""Who watches the models: drift, performance and rollouts, and whether they run at all."""

from __future__ import annotations

from quicksilver.metrics import NAMESPACE, Metric
from stacks.constructs.widgets import DAY, HOUR, Graph, Panel, Shown


def monitoring() -> Panel:
    def counted(service: str, *metrics: Metric) -> list[Shown]:
        return [Shown(NAMESPACE, metric.value, {"service": service}) for metric in metrics]

    return Panel(
        "Monitoring",
        "Windows that were judged, and those with an alarm; runs that failed leave the rest to the next. No looks for minutes, and canaries are "
        "unguarded. `quicksilver drift` and `quicksilver performance` say what was found.",
        [
            Graph(
                "Windows judged for drift",
                counted("drift", Metric.DRIFT_WINDOWS_JUDGED, Metric.DRIFT_ALARMS),
                period=DAY,
            ),
            Graph(
                "Runs that failed",
                [
                    *counted("drift", Metric.DRIFT_RUN_FAILED, Metric.ARCHIVE_OBJECTS_SKIPPED),
                    *counted("performance", Metric.PERFORMANCE_RUN_FAILED, Metric.RETRAIN_TRIGGER_FAILED),
                ],
                period=HOUR,
            ),
            Graph("Performance judged", counted("performance", Metric.PERFORMANCE_RUNS), period=DAY),
            Graph(
                "Rollouts",
                counted(
                    "rollout", Metric.ROLLOUT_LOOKS, Metric.ROLLOUT_LOOK_FAILED, Metric.ANNOUNCEMENTS_FAILED
                ),
                period=300,
            ),
        ],
    )
