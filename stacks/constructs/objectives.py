"""An endpoint's objectives as alarms: how fast the budgets of availability and latency burn, and how good its answers are.

Availability and latency are measured where callers see them, at API Gateway: it counts what the function could not answer
(500, 503) and what the gateway itself gave up on (502, 504). Its metrics of a method have exactly the dimensions ApiName,
Resource, Method and Stage, and exist because the stage's methods have detailed metrics on.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aws_cdk import Duration, aws_cloudwatch as cloudwatch
from constructs import Construct

from quicksilver.metrics import NAMESPACE, Metric
from stacks.burn_rate import BURN_RATES, WHOLE_BP, BurnRate, burn_rate_expression
from stacks.config import Endpoint, Stage
from stacks.constructs.alarm import Alarm, Severity

_SINGLE, _BATCH = "score", "score-batch"
_HOUR = 60
_Events = Callable[[Duration], Mapping[str, cloudwatch.IMetric]]
_SHARE = BurnRate(rate=1, long_minutes=_HOUR, short_minutes=_HOUR, pages=False)


class ObjectiveAlarms(Construct):
    """The alarms of one endpoint. A pair of a long and a short window calls only when both ring."""

    def __init__(self, scope: Construct, id: str, *, stage: Stage, endpoint: Endpoint) -> None:
        super().__init__(scope, id)
        self._stage, self._endpoint = stage, endpoint
        promised = endpoint.objectives
        for burn in BURN_RATES:
            self._pair(
                "availability",
                burn,
                promised.availability_bp,
                f"requests are not answered {burn.rate:g} times as often as {promised.availability_bp / 100:g} % allows",
                self._unanswered,
            )
            self._pair(
                "latency",
                burn,
                promised.latency_bp,
                f"answers take longer than {promised.latency_ms} ms {burn.rate:g} times as often as "
                f"{promised.latency_bp / 100:g} % allows",
                self._slow,
            )
        self._share(
            Metric.REQUESTS_DEGRADED, "degraded", promised.degraded_bp, "a policy in place of a value"
        )
        self._share(Metric.REQUESTS_STALE, "stale", promised.stale_bp, "a feature that is too old to be used")

    def _pair(self, what: str, burn: BurnRate, target_bp: int, meaning: str, events: _Events) -> None:
        short: Alarm | None = None
        # Few bad events say nothing over the long window; over the short one, one says that it still goes on.
        for window, minutes, rate, least_bad in (
            ("short", burn.short_minutes, burn.still_rate, 1),
            ("long", burn.long_minutes, burn.rate, burn.least_bad),
        ):
            period = Duration.minutes(minutes)
            short = Alarm(
                self,
                f"{what}-{burn.name}-{window}",
                stage=self._stage,
                subject=self._endpoint.name,
                what=f"{what}-{burn.name}-{window}",
                severity=Severity.PAGE if burn.pages else Severity.TICKET,
                runbook=f"{what}-burns",
                description=f"{self._endpoint.name}: over {minutes} minutes, {meaning}",
                metric=cloudwatch.MathExpression(
                    expression=burn_rate_expression(target_bp, least_bad),
                    using_metrics=events(period),
                    period=period,
                ),
                threshold=rate,
                together_with=short,
            )

    def _share(self, metric: Metric, what: str, share_bp: int, meaning: str) -> None:
        """Of answers that are given, too many are not as good as they should be: over an hour, and seen to in the day."""
        period = Duration.minutes(_HOUR)
        Alarm(
            self,
            what,
            stage=self._stage,
            subject=self._endpoint.name,
            what=f"too-many-{what}",
            severity=Severity.TICKET,
            description=f"{self._endpoint.name}: over an hour, more than {share_bp / 100:g} % of its answers have {meaning}",
            metric=cloudwatch.MathExpression(
                expression=burn_rate_expression(WHOLE_BP - share_bp, _SHARE.least_bad),
                using_metrics={
                    "bad": _filled("counted", self._counted(metric, period), period),
                    "total": _filled("scored", self._counted(Metric.REQUESTS_SCORED, period), period),
                },
                period=period,
            ),
            threshold=_SHARE.rate,
        )

    def _unanswered(self, period: Duration) -> Mapping[str, cloudwatch.IMetric]:
        """Requests that got a 5xx, and all requests: single ones and batches, of which either may have none for a while."""
        both = {"one": _SINGLE, "many": _BATCH}
        return {
            name: cloudwatch.MathExpression(
                expression=f"FILL({name}_one, 0) + FILL({name}_many, 0)",
                using_metrics={
                    f"{name}_{of}": self._gateway(metric, verb, cloudwatch.Stats.SUM, period)
                    for of, verb in both.items()
                },
                period=period,
            )
            for name, metric in (("bad", "5XXError"), ("total", "Count"))
        }

    def _slow(self, period: Duration) -> Mapping[str, cloudwatch.IMetric]:
        """Single decisions slower than promised, and all of them. A batch has a deadline of its own.

        ``PR(:200)`` is the percentage of values of 200 and less.
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
        """
        in_time = f"PR(:{self._endpoint.objectives.latency_ms})"
        total = self._gateway("Latency", _SINGLE, cloudwatch.Stats.SAMPLE_COUNT, period)
        return {
            "bad": cloudwatch.MathExpression(
                expression="total * (100 - in_time) / 100",
                using_metrics={
                    "total": total,
                    "in_time": self._gateway("Latency", _SINGLE, in_time, period),
                },
                period=period,
            ),
            "total": total,
        }

    def _gateway(self, name: str, verb: str, statistic: str, period: Duration) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/ApiGateway",
            metric_name=name,
            dimensions_map={
                "ApiName": self._stage.scoring_api_name,
                "Resource": f"/v1/{self._endpoint.name}/{verb}",
                "Method": "POST",
                "Stage": self._stage.name,
            },
            statistic=statistic,
            period=period,
        )

    def _counted(self, metric: Metric, period: Duration) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=metric,
            dimensions_map={"service": self._endpoint.service, "endpoint": self._endpoint.name},
            statistic=cloudwatch.Stats.SUM,
            period=period,
        )


def _filled(id: str, metric: cloudwatch.Metric, period: Duration) -> cloudwatch.MathExpression:
    """A count that is 0 where nothing was counted."""
    return cloudwatch.MathExpression(expression=f"FILL({id}, 0)", using_metrics={id: metric}, period=period)
