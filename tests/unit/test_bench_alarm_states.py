"""The simulated CloudWatch: what it does with what is missing, with windows, and with rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.alarm_states import Requests, Series, Traffic, follows, rings
from bench.objective_alarms import alarms_of_endpoint
from bench.sim_slo import BEFORE, PROMISED, incident
from stacks.config import load_stage


def counted(metric: str, minutes: int = 1, id: str = "m") -> dict[str, Any]:
    stat = {
        "Metric": {"Namespace": "Quicksilver", "MetricName": metric},
        "Period": 60 * minutes,
        "Stat": "Sum",
    }
    return {"Id": id, "MetricStat": stat, "ReturnData": False}


def alarm(expression: str, threshold: float, *queries: dict[str, Any]) -> dict[str, Any]:
    return {
        "AlarmName": "one",
        "EvaluationPeriods": 1,
        "TreatMissingData": "notBreaching",
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": threshold,
        "Metrics": [{"Id": "watched", "Expression": expression, "ReturnData": True}, *queries],
    }


def minutes(*values: float) -> Series:
    return np.array(values, dtype=float)


def test_a_window_is_the_sum_of_the_minutes_that_end_with_it() -> None:
    traffic = Traffic({}, {"Seen": minutes(1, 1, 0, 0, 0)})
    found = rings(alarm("m", 2, counted("Seen", minutes=3)), traffic)
    assert found.tolist() == [False, True, True, False, False]


def test_what_is_missing_does_not_ring_and_spoils_what_it_is_added_to_unless_it_is_filled() -> None:
    traffic = Traffic({}, {"Seen": minutes(5, 5)})
    both = (counted("Seen", id="a"), counted("NeverSeen", id="b"))
    assert not rings(alarm("a + b", 1, *both), traffic).any()
    assert rings(alarm("FILL(a, 0) + FILL(b, 0)", 1, *both), traffic).all()


def test_nothing_by_nothing_is_missing() -> None:
    traffic = Traffic({}, {"Bad": minutes(0, 2), "All": minutes(0, 0)})
    both = (counted("Bad", id="bad"), counted("All", id="total"))
    filled = "IF(FILL(bad, 0) > 0.5, FILL(bad, 0) / FILL(total, 0), 0)"
    assert not rings(alarm(filled, 0.1, *both), traffic).any()


def test_a_window_of_more_than_a_day_is_looked_at_every_hour() -> None:
    once = np.zeros(3 * 24 * 60)
    once[90] = 1
    found = rings(alarm("m", 1, counted("Seen", minutes=2 * 24 * 60)), Traffic({}, {"Seen": once}))
    assert int(np.flatnonzero(found)[0]) == 120


def test_the_share_within_a_time_is_of_the_windows_own_requests() -> None:
    slow = Requests(count=minutes(10, 10), failed=minutes(0, 0), slow=minutes(0, 5))
    dimensions = [{"Name": "Resource", "Value": "/v1/card-fraud/score"}]
    metric = {"Namespace": "AWS/ApiGateway", "MetricName": "Latency", "Dimensions": dimensions}
    within = Traffic({"score": slow}, {}).statistic(metric, "PR(:200)", 2)
    assert within.tolist() == [100, 75]
    with pytest.raises(NotImplementedError, match="p99 of Latency"):
        Traffic({"score": slow}, {}).statistic(metric, "p99", 2)


def test_a_rule_joins_what_it_says_and_alarms_it_does_not_know_are_quiet() -> None:
    states = {"a": np.array([True, True, False]), "b": np.array([False, True, False])}
    assert follows('ALARM("a") AND ALARM("b")', states).tolist() == [False, True, False]
    assert follows('(ALARM("a") AND ALARM("b")) OR ALARM("c")', states).tolist() == [False, True, False]


def test_what_the_simulation_cannot_evaluate_it_refuses() -> None:
    traffic = Traffic({}, {"Seen": minutes(1)})
    with pytest.raises(NotImplementedError):
        rings({**alarm("m", 1, counted("Seen")), "EvaluationPeriods": 2}, traffic)
    with pytest.raises(KeyError):
        rings(alarm("RATE(m)", 1, counted("Seen")), traffic)


def test_an_incident_is_told_from_its_beginning() -> None:
    stage = load_stage("dev")
    alarms = alarms_of_endpoint(stage, replace(stage.endpoints[0], objectives=PROMISED))
    found = incident(alarms, volume=60, share=1.0, runs=2, seed=1)
    assert BEFORE == 4 * 24 * 60
    assert all(minute is not None and minute <= 2 for minute in found.page)
