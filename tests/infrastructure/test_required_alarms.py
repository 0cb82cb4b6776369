"""A stage without a required alarm is not built, and says in one sentence which one of what it lacks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from stacks.config import ConfigError
from stacks.constructs.count_alarms import ENDPOINT
from stacks.required_alarms import CONSUMER, REQUIRED, require_alarms
from tests.infrastructure.conftest import Synthesized

METRICS = sorted({(metric, kind) for kind, _, metrics in REQUIRED.values() for metric in metrics})


@pytest.fixture
def dev(synthesized: Callable[[str], Synthesized]) -> Synthesized:
    return synthesized("dev")


def templates(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    """The stage's templates by their stacks' names, to be changed at will."""
    names = ("data", "scoring", "control", "monitoring", "operations")
    found = {name: getattr(synthesized, name) for name in names}
    return {
        f"quicksilver-{synthesized.stage.name}-{name}": copy.deepcopy(dict(template))
        for name, template in found.items()
        if template is not None
    }


def without(found: dict[str, dict[str, Any]], is_gone: Callable[[dict[str, Any]], bool]) -> int:
    """Take alarms out of the templates; returns how many."""
    taken = 0
    for template in found.values():
        for id, resource in list(template["Resources"].items()):
            if resource["Type"] == "AWS::CloudWatch::Alarm" and is_gone(resource["Properties"]):
                del template["Resources"][id]
                taken += 1
    return taken


def watches(metric: str) -> Callable[[dict[str, Any]], bool]:
    def watched(alarm: dict[str, Any]) -> bool:
        queries = alarm.get("Metrics", ())
        names = {query["MetricStat"]["Metric"]["MetricName"] for query in queries if "MetricStat" in query}
        return metric in names | {alarm.get("MetricName")}

    return watched


def test_every_stage_has_the_alarms_it_must_have(every_stage: Synthesized) -> None:
    require_alarms(every_stage.stage, templates(every_stage))


@pytest.mark.parametrize(("metric", "kind"), [*METRICS, (CONSUMER, "stream consumer")])
def test_a_resource_that_lost_an_alarm_is_named_with_it(dev: Synthesized, metric: str, kind: str) -> None:
    found = templates(dev)
    assert without(found, watches(metric))
    # One alarm watches both of a table's, and the first that is missing is named.
    named = metric.replace("WriteThrottle", "ReadThrottle")
    with pytest.raises(
        ConfigError,
        match=rf"^Stage dev has a {kind} without an alarm on {named}: \w+ of quicksilver-dev-[a-z]+\.$",
    ):
        require_alarms(dev.stage, found)


def test_the_alarm_of_another_queue_is_none(dev: Synthesized) -> None:
    found = templates(dev)
    queue = next(
        id for id in found["quicksilver-dev-control"]["Resources"] if id.startswith("ShadowConsumerGivenUp")
        and found["quicksilver-dev-control"]["Resources"][id]["Type"] == "AWS::SQS::Queue"
    )  # fmt: skip
    assert without(found, lambda alarm: alarm["AlarmName"] == "quicksilver-dev-shadow-dead-letters") == 1
    with pytest.raises(ConfigError, match=f"ApproximateNumberOfMessagesVisible: {queue} of"):
        require_alarms(dev.stage, found)


def test_a_queue_that_somebody_adds_needs_one_too(dev: Synthesized) -> None:
    found = templates(dev)
    found["quicksilver-dev-control"]["Resources"]["Added"] = {"Type": "AWS::SQS::Queue", "Properties": {}}
    with pytest.raises(
        ConfigError,
        match=r"has a queue without an alarm on ApproximateNumberOfMessagesVisible: Added of quicksilver-dev-control\.",
    ):
        require_alarms(dev.stage, found)


def test_a_table_of_two_regions_is_watched_by_its_name(dev: Synthesized) -> None:
    # Given a table that is known by its name alone, as one of both regions is
    found = templates(dev)
    shared = {"Type": "AWS::DynamoDB::GlobalTable", "Properties": {"TableName": "quicksilver-dev-shared"}}
    found["quicksilver-dev-data"]["Resources"]["Shared"] = shared
    with pytest.raises(ConfigError, match="has a table without an alarm on ReadThrottleEvents: Shared of"):
        require_alarms(dev.stage, found)
    # When alarms watch that name, then nothing is missing
    for metric in ("ReadThrottleEvents", "WriteThrottleEvents"):
        dimension = {"Name": "TableName", "Value": "quicksilver-dev-shared"}
        alarm = {"AlarmName": metric, "MetricName": metric, "Dimensions": [dimension]}
        found["quicksilver-dev-data"]["Resources"][metric] = {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": alarm,
        }
    require_alarms(dev.stage, found)


@pytest.mark.parametrize("metric", [metric.value for metric in ENDPOINT])
def test_an_endpoint_that_lost_an_alarm_on_a_count_is_named(dev: Synthesized, metric: str) -> None:
    found = templates(dev)
    assert without(
        found,
        lambda alarm: (
            alarm.get("MetricName") == metric
            and {"Name": "endpoint", "Value": "credit-line"} in alarm["Dimensions"]
        ),
    )
    with pytest.raises(ConfigError, match=f"^Endpoint credit-line of stage dev has no alarm on {metric}\\.$"):
        require_alarms(dev.stage, found)


@pytest.mark.parametrize("what", ["availability-14x-short", "latency-1x-long", "too-many-stale"])
def test_an_endpoint_that_lost_an_objective_is_named(dev: Synthesized, what: str) -> None:
    found = templates(dev)
    without(found, lambda alarm: alarm["AlarmName"] == f"quicksilver-dev-card-fraud-{what}")
    with pytest.raises(ConfigError, match=f"^Endpoint card-fraud of stage dev has no alarm {what}\\.$"):
        require_alarms(dev.stage, found)
