"""The score shift of a release, computed from the alarm as it stands in the template, by a reading of CloudWatch's metric math."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quicksilver.metrics import Metric
from tests.infrastructure.conftest import Synthesized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

NEW = "42"
SUMS: Mapping[str, Callable[[Scores], float]] = {
    Metric.SCORES_SUMMED: lambda scores: float(len(scores)),
    Metric.SCORE_SUM: lambda scores: float(scores.sum()),
    Metric.SCORE_SQUARES: lambda scores: float((scores * scores).sum()),
}


@pytest.fixture(params=["staging", "prod"])
def alarm(request: pytest.FixtureRequest, synthesized: Callable[[str], Synthesized]) -> dict[str, Any]:
    found = {
        item["Properties"]["AlarmName"]: dict(item["Properties"])
        for item in synthesized(request.param).of_type("AWS::CloudWatch::Alarm", "scoring").values()
    }
    return found[f"quicksilver-{request.param}-card-fraud-release-score-shift"]


def z_squared(alarm: Mapping[str, Any], new: Scores, before: Scores) -> float | None:
    """What the alarm's expression comes to; ``None`` where CloudWatch has no value for it."""
    both = np.concatenate([new, before])
    values: dict[str, float | None] = {}
    waiting = {query["Id"]: query for query in alarm["Metrics"]}
    (asked,) = (query["Id"] for query in alarm["Metrics"] if query.get("ReturnData", True))
    while waiting:
        for id, query in list(waiting.items()):
            if "MetricStat" in query:
                metric = query["MetricStat"]["Metric"]
                dimensions = {item["Name"] for item in metric["Dimensions"]}
                scores = new if "function_version" in dimensions else both
                assert dimensions - {"function_version"} == {"service", "endpoint"}
                assert (query["MetricStat"]["Stat"], query["MetricStat"]["Period"]) == ("Sum", 300)
                values[id] = SUMS[metric["MetricName"]](scores) if len(scores) else None
            elif set(re.findall(r"[a-z]\w*", query["Expression"])) <= values.keys():
                values[id] = evaluated(query["Expression"], values)
            else:
                continue
            del waiting[id]
    return values[asked]


def evaluated(expression: str, values: Mapping[str, float | None]) -> float | None:
    if any(values[name] is None for name in re.findall(r"[a-z]\w*", expression)):
        return None
    words = {"IF": lambda condition, yes, no: yes if condition else no}
    try:
        return float(eval(expression.replace("AND", "and"), {**words, **values}))  # noqa: S307 - our own template's
    except ZeroDivisionError:
        return None


def rings(alarm: Mapping[str, Any], new: Scores, before: Scores) -> bool:
    value = z_squared(alarm, new, before)
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    return value is not None and value >= alarm["Threshold"]


def skewed(rng: np.random.Generator, count: int) -> Scores:
    """Scores of a fraud model: most are next to nothing."""
    return rng.beta(0.3, 12, count)


def test_it_is_welchs_statistic(alarm: dict[str, Any]) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(7)
    new, before = skewed(rng, 3_000) + 0.02, skewed(rng, 27_000)
    welch = stats.ttest_ind(new, before, equal_var=False).statistic
    assert z_squared(alarm, new, before) == pytest.approx(welch**2, rel=1e-3)


def test_the_same_code_is_not_taken_back_by_chance(alarm: dict[str, Any]) -> None:
    # Given two thousand windows of a release in which nothing has changed, small ones and large ones
    rng = np.random.default_rng(8)
    for count in [500] * 1_500 + [5_000] * 500:
        assert not rings(alarm, skewed(rng, count), skewed(rng, 9 * count))


def test_another_mean_takes_it_back_the_sooner_the_more_scores_there_are(alarm: dict[str, Any]) -> None:
    rng = np.random.default_rng(9)
    deviation = skewed(rng, 100_000).std()

    def rung(deviations: float, count: int) -> float:
        found = [
            rings(alarm, skewed(rng, count) + deviations * deviation, skewed(rng, 9 * count))
            for _ in range(50)
        ]
        return float(np.mean(found))

    assert rung(0.5, 1_000) == 1
    assert rung(0.1, 1_000) < 0.5
    assert rung(0.1, 20_000) == 1
    # However many there are: too small to act on.
    assert rung(0.02, 200_000) == 0


@pytest.mark.parametrize(("new", "before"), [(499, 5_000), (5_000, 499), (5_000, 0), (0, 5_000), (0, 0)])
def test_too_few_scores_of_either_version_prove_nothing(alarm: dict[str, Any], new: int, before: int) -> None:
    rng = np.random.default_rng(10)
    assert not rings(alarm, skewed(rng, new) + 0.5, skewed(rng, before))


def test_scores_that_are_all_one_are_no_division_by_zero(alarm: dict[str, Any]) -> None:
    assert not rings(alarm, np.full(1_000, 0.5), np.full(9_000, 0.5))
    assert rings(alarm, np.full(1_000, 0.5), np.full(9_000, 0.25))


def test_cloudwatch_takes_no_more_in_one_alarm(alarm: dict[str, Any]) -> None:
    """Ten metrics and ten expressions: PutMetricAlarm, CloudWatch API Reference."""
    expressions = [query for query in alarm["Metrics"] if "Expression" in query]
    assert len(expressions) <= 10
    assert len(alarm["Metrics"]) - len(expressions) == 6
    assert all(re.fullmatch(r"[a-z]\w*", query["Id"]) for query in alarm["Metrics"])
    versions = {
        str(item["Value"])
        for query in alarm["Metrics"]
        if "MetricStat" in query
        for item in query["MetricStat"]["Metric"]["Dimensions"]
        if item["Name"] == "function_version"
    }
    assert len(versions) == 1
    assert "Fn::GetAtt" in versions.pop()
