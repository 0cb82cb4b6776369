"""Whether the scores of a function version being released are others than those of the one before, beyond chance.

CodeDeploy gives each request to a function version at random, so the two see the same callers, and their mean scores differ by
chance alone. Welch's statistic of the two means, squared since CloudWatch's metric math has no root::

    z^2 = (m - m')^2 / (v / n + v' / n')        m = S / n,  v = Q / n - m^2

n scores with the sum S and the sum of squares Q are the new function version's; n', S' and Q' are the endpoint's less those, for
the number of the version before is not known when a template is written. (B. L. Welch, "The generalization of 'Student's'
problem when several different population variances are involved", Biometrika 34, 1947; with hundreds of scores on each side
z is normal.) A z beyond 6 comes by chance once in five hundred million looks, and a release is looked at some dozens of times.

As with drift (ADR 0031), beyond chance is not enough: the means must be a twentieth of a standard deviation apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, aws_cloudwatch as cloudwatch

from quicksilver.metrics import NAMESPACE, Metric

LIMIT = 36
"""Of z squared."""
LEAST_SCORES = 500
"""Of each function version in a window: scores are skewed, and the mean of few of them is not normal."""
LEAST_DEVIATIONS = 0.05
WINDOW = Duration.minutes(5)

_SUMS = (Metric.SCORES_SUMMED, Metric.SCORE_SUM, Metric.SCORE_SQUARES)
_STEPS = {
    "others": "total - count",
    "mean": "sum_ / count",
    "others_mean": "(total_sum - sum_) / others",
    "variance": "squares / count - mean * mean",
    "others_variance": "(total_squares - squares) / others - others_mean * others_mean",
    "gap": "(mean - others_mean) * (mean - others_mean)",
}
"""Each step by those before it, and by the sums."""
_SHIFT = (
    f"IF(count >= {LEAST_SCORES} AND others >= {LEAST_SCORES} "
    f"AND gap >= {LEAST_DEVIATIONS**2:.4f} * others_variance, "
    # The last term stands for nothing but a division by zero, where all scores are one.
    "gap / (variance / count + others_variance / others + 0.000000000000000001), 0)"
)


def score_shift(endpoint: Mapping[str, str], function_version: str) -> cloudwatch.MathExpression:
    """z squared in windows of five minutes; ``endpoint`` are the dimensions of all of its function versions' sums.

    0 where there is too little of either function version, or too little between them.
    """

    def sums(ids: tuple[str, ...], dimensions: Mapping[str, str]) -> dict[str, cloudwatch.IMetric]:
        return {
            id: cloudwatch.Metric(
                namespace=NAMESPACE,
                metric_name=metric,
                dimensions_map=dict(dimensions),
                statistic=cloudwatch.Stats.SUM,
                period=WINDOW,
            )
            for id, metric in zip(ids, _SUMS, strict=True)
        }

    known: dict[str, cloudwatch.IMetric] = {
        **sums(("count", "sum_", "squares"), {**endpoint, "function_version": function_version}),
        **sums(("total", "total_sum", "total_squares"), endpoint),
    }
    for name, expression in _STEPS.items():
        known[name] = _step(expression, known, name)
    return _step(_SHIFT, known, "score shift, z squared")


def _step(expression: str, known: Mapping[str, cloudwatch.IMetric], label: str) -> cloudwatch.MathExpression:
    words = {word.strip("(),") for word in expression.split()}
    return cloudwatch.MathExpression(
        expression=expression,
        label=label,
        period=WINDOW,
        using_metrics={name: metric for name, metric in known.items() if name in words},
    )
