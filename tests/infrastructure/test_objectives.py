"""Objectives: what their alarms do on simulated traffic, by the metric math and the rules of the template itself."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.random import default_rng

from bench.alarm_states import Requests, Series, States, Traffic
from bench.objective_alarms import EndpointAlarms, alarms_of_endpoint
from stacks.burn_rate import BURN_RATES, FALSE_ALARM, BurnRate, budget, poisson_tail
from stacks.config import ConfigError, Endpoint, Objectives, Stage, Throttle, load_stage
from tests.infrastructure.conftest import Synthesized

HOUR, DAY = 60, 24 * 60
PROMISED = Objectives(availability_bp=9_990, latency_ms=200, latency_bp=9_900, degraded_bp=500, stale_bp=100)
BUDGET = budget(PROMISED.availability_bp)


def endpoint_of(stage: Stage) -> Endpoint:
    return replace(stage.endpoints[0], objectives=PROMISED)


@pytest.fixture(scope="module")
def alarms() -> EndpointAlarms:
    stage = load_stage("dev")
    return alarms_of_endpoint(stage, endpoint_of(stage))


def constant(minutes: int, value: float) -> Series:
    return np.full(minutes, float(value))


def traffic(count: Series, failed: Series | None = None, slow: Series | None = None) -> Traffic:
    none = np.zeros(len(count))
    return Traffic(
        {"score": Requests(count, none if failed is None else failed, none if slow is None else slow)}, {}
    )


def first(told: States, after: int = 0) -> int:
    """Minutes from a moment until the topic is told."""
    found = np.flatnonzero(told[after:])
    assert len(found), "nobody was told"
    return int(found[0]) + 1


# -- what callers are not answered --


@pytest.mark.parametrize("a_minute", [6_000, 600, 60, 10])
def test_a_total_outage_pages_within_two_minutes(alarms: EndpointAlarms, a_minute: int) -> None:
    count = constant(2 * DAY, a_minute)
    failed = np.where(np.arange(2 * DAY) >= DAY, count, 0)
    told = alarms.calls(traffic(count, failed))
    assert not told["page"][:DAY].any()
    assert first(told["page"], DAY) <= 2


@pytest.mark.parametrize(("every", "minutes"), [(10, 41), (30, 211)])
def test_a_total_outage_of_a_quiet_endpoint_pages_at_the_fifth_failure_in_an_hour_or_the_eighth_in_six(
    alarms: EndpointAlarms, every: int, minutes: int
) -> None:
    count = np.where(np.arange(2 * DAY) % every == 0, 1.0, 0.0)
    failed = np.where(np.arange(2 * DAY) >= DAY, count, 0)
    assert first(alarms.calls(traffic(count, failed))["page"], DAY) == minutes


@pytest.mark.parametrize("a_minute", [0.1, 1, 10])
def test_one_failure_in_little_traffic_calls_nobody(alarms: EndpointAlarms, a_minute: float) -> None:
    # Given so little traffic that one failure burns the budget faster than any of the rates
    every = max(1, round(1 / a_minute))
    minutes = np.arange(4 * DAY)
    count = np.where(minutes % every == 0, max(1.0, a_minute), 0.0)
    failed = np.where(minutes == DAY, 1.0, 0.0)
    assert 1 / count[DAY - 5 : DAY + 1].sum() / BUDGET > 14.4
    # When one request fails, then neither topic is told, then or in the three days after
    for told in alarms.calls(traffic(count, failed)).values():
        assert not told.any()


def test_a_burn_of_twice_the_budget_is_a_ticket_within_a_day_and_a_half_and_no_page(
    alarms: EndpointAlarms,
) -> None:
    count = constant(6 * DAY, 1_000)
    failed = np.where(np.arange(6 * DAY) >= 3 * DAY, 2 * BUDGET * 1_000, 0)
    told = alarms.calls(traffic(count, failed))
    assert not told["page"].any()
    assert 6 * HOUR <= first(told["ticket"], 3 * DAY) <= 36 * HOUR + HOUR


def test_a_burn_of_just_the_budget_is_a_ticket_when_it_has_gone_on_for_three_days(
    alarms: EndpointAlarms,
) -> None:
    count = constant(7 * DAY, 1_000)
    failed = np.where(np.arange(7 * DAY) >= 3 * DAY, BUDGET * 1_000 * 1.0001, 0)
    told = alarms.calls(traffic(count, failed))
    assert not told["page"].any()
    assert 2 * DAY < first(told["ticket"], 3 * DAY) <= 3 * DAY + HOUR


def test_a_page_ends_soon_after_what_it_is_about(alarms: EndpointAlarms) -> None:
    # Given an hour of a fifth of the requests failing
    minutes = np.arange(2 * DAY)
    count = constant(2 * DAY, 600)
    failed = np.where((minutes >= DAY) & (minutes < DAY + HOUR), count / 5, 0)
    told = alarms.calls(traffic(count, failed))["page"]
    # Then it pages, and does not go on for the hours that the long windows remember
    assert first(told, DAY) <= 6
    assert not told[DAY + HOUR + 30 :].any()


def test_batches_that_are_not_answered_count_like_single_decisions(alarms: EndpointAlarms) -> None:
    count, none = constant(DAY, 100), np.zeros(DAY)
    batches = Traffic(
        {"score": Requests(count, none, none), "score-batch": Requests(count / 10, count / 10, none)}, {}
    )
    assert first(alarms.calls(batches)["page"]) <= 2
    only_batches = Traffic({"score-batch": Requests(count, count, none)}, {})
    assert first(alarms.calls(only_batches)["page"]) <= 2


def test_no_traffic_at_all_calls_nobody(alarms: EndpointAlarms) -> None:
    for told in alarms.calls(traffic(np.zeros(4 * DAY))).values():
        assert not told.any()


@pytest.mark.parametrize("a_minute", [1, 30, 600])
def test_a_month_of_failures_by_chance_pages_nobody_even_at_the_whole_budget(
    alarms: EndpointAlarms, a_minute: int
) -> None:
    random = default_rng(20_261_126 + a_minute)
    count = random.poisson(a_minute, 30 * DAY).astype(float)
    failed = random.binomial(count.astype(int), BUDGET).astype(float)
    assert not alarms.calls(traffic(count, failed))["page"].any()


@pytest.mark.parametrize("a_minute", [1, 30, 600])
def test_a_month_at_half_the_budget_calls_nobody(alarms: EndpointAlarms, a_minute: int) -> None:
    random = default_rng(7 + a_minute)
    count = random.poisson(a_minute, 30 * DAY).astype(float)
    failed = random.binomial(count.astype(int), BUDGET / 2).astype(float)
    for told in alarms.calls(traffic(count, failed)).values():
        assert not told.any()


# -- how late the answers are --


def test_answers_that_are_too_slow_page_and_a_few_of_them_do_not(alarms: EndpointAlarms) -> None:
    count = constant(2 * DAY, 600)
    slow = np.where(np.arange(2 * DAY) >= DAY, 0.3 * count, 0.004 * count)
    told = alarms.calls(traffic(count, slow=slow))
    assert not told["page"][:DAY].any()
    assert not told["ticket"][:DAY].any()
    assert first(told["page"], DAY) <= 30


def test_one_slow_answer_of_a_quiet_endpoint_calls_nobody(alarms: EndpointAlarms) -> None:
    minutes = np.arange(4 * DAY)
    count = np.where(minutes % 10 == 0, 1.0, 0.0)
    slow = np.where(minutes == DAY, 1.0, 0.0)
    for told in alarms.calls(traffic(count, slow=slow)).values():
        assert not told.any()


def test_slowness_is_that_of_the_endpoints_own_single_decisions(alarms: EndpointAlarms) -> None:
    for name, alarm in alarms.metric.items():
        if "latency" in name:
            stats = {query["MetricStat"]["Stat"] for query in alarm["Metrics"] if "MetricStat" in query}
            assert stats == {"SampleCount", f"PR(:{PROMISED.latency_ms})"}


# -- how good they are --


@pytest.mark.parametrize("metric", ["RequestsDegraded", "RequestsStale"])
def test_too_many_answers_that_are_not_as_good_as_they_should_be_are_a_ticket(
    alarms: EndpointAlarms, metric: str
) -> None:
    scored = constant(DAY, 100)
    told = alarms.calls(Traffic({}, {"RequestsScored": scored, metric: scored / 10}))
    assert first(told["ticket"]) <= HOUR
    assert not told["page"].any()
    fewer = alarms.calls(Traffic({}, {"RequestsScored": scored, metric: scored / 200}))
    assert not fewer["ticket"].any()


def test_one_degraded_answer_of_a_quiet_endpoint_is_no_ticket(alarms: EndpointAlarms) -> None:
    once = np.where(np.arange(DAY) % 20 == 0, 1.0, 0.0)
    assert not alarms.calls(Traffic({}, {"RequestsScored": once, "RequestsDegraded": once}))["ticket"].any()


# -- the arithmetic --


def test_rates_and_windows_spend_what_the_workbook_says() -> None:
    # Table 5-8: 2 % in an hour, 5 % in six hours, 10 % in three days; the short window is a twelfth of the long one.
    assert [round(burn.budget_spent, 4) for burn in BURN_RATES] == [0.02, 0.05, 0.1]
    assert [burn.pages for burn in BURN_RATES] == [True, True, False]
    assert all(burn.long_minutes == 12 * burn.short_minutes for burn in BURN_RATES)
    # What calls at once rings by the same rate over both; for the other, half of it says that it goes on.
    assert [(burn.rate, burn.still_rate) for burn in BURN_RATES] == [(14.4, 14.4), (6, 6), (1, 0.5)]


def test_the_alarms_of_an_objective_are_those_rates_over_those_windows(alarms: EndpointAlarms) -> None:
    for target in ("availability", "latency"):
        found = {
            name.partition(f"{target}-")[2]: (
                {query["MetricStat"]["Period"] for query in alarm["Metrics"] if "MetricStat" in query},
                alarm["Threshold"],
            )
            for name, alarm in alarms.metric.items()
            if target in name
        }
        assert found == {
            "14x-long": ({3_600}, 14.4),
            "14x-short": ({300}, 14.4),
            "6x-long": ({6 * 3_600}, 6),
            "6x-short": ({1_800}, 6),
            "1x-long": ({3 * 86_400}, 1),
            "1x-short": ({6 * 3_600}, 0.5),
        }


def test_a_service_that_spends_just_its_budget_is_not_told_of_with_every_turn_of_chance(
    alarms: EndpointAlarms,
) -> None:
    random = default_rng(3)
    count = random.poisson(60, 30 * DAY).astype(float)
    failed = random.binomial(count.astype(int), BUDGET).astype(float)
    told = alarms.calls(traffic(count, failed))["ticket"]
    # A day or so each: over the same rate in both windows it was more than a hundred.
    assert np.sum(told[1:] & ~told[:-1]) <= 30


@given(mean=st.floats(0, 200), least=st.integers(0, 100))
def test_the_tail_of_a_poisson_number_is_that_of_its_terms(mean: float, least: int) -> None:
    terms = [math.exp(k * math.log(mean or 1e-300) - mean - math.lgamma(k + 1)) for k in range(least, 1_000)]
    assert poisson_tail(mean, least) == pytest.approx(math.fsum(terms), abs=1e-9)


@given(burn=st.sampled_from(BURN_RATES), at_budget=st.floats(0.001, 300))
def test_at_no_volume_does_a_calm_service_ring_more_often_than_is_said(
    burn: BurnRate, at_budget: float
) -> None:
    """``at_budget`` is how many bad events the budget allows in the long window: the volume."""
    calm = min(1.0, burn.rate / 2)
    least = max(burn.least_bad, math.ceil(burn.rate * at_budget))
    assert poisson_tail(calm * at_budget, least) <= FALSE_ALARM


@given(rate=st.floats(1, 100))
def test_the_guard_asks_for_no_more_than_it_needs(rate: float) -> None:
    burn = BurnRate(rate=rate, long_minutes=60, short_minutes=5, pages=True)
    calm = min(1.0, rate / 2)
    assert burn.least_bad == 1 or (
        poisson_tail(calm * (burn.least_bad - 1) / rate, burn.least_bad - 1) > FALSE_ALARM
    )


# -- what may be promised --


@pytest.mark.parametrize(
    ("promised", "reason"),
    [
        ({"availability_bp": 10_000}, "leaves no budget for a single failure"),
        ({"latency_bp": 10_000}, "leaves no budget for a single failure"),
        ({"availability_bp": 9_305}, r"not burn its budget 14\.4 times too fast"),
        ({"degraded_bp": 0}, "must be 1 to 9999"),
        ({"stale_bp": 10_000}, "must be 1 to 9999"),
        ({"latency_ms": 0}, "before a request arrives"),
    ],
)
def test_what_cannot_be_promised_is_refused(promised: dict[str, int], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Objectives(**promised)


def test_an_answer_that_lambda_would_have_ended_cannot_be_the_objective() -> None:
    with pytest.raises(ConfigError, match=r"within 16000 ms; it must be below its timeout of 16 s"):
        Endpoint(
            name="card-fraud",
            throttle=Throttle(rate_per_second=1, burst=1),
            objectives=Objectives(latency_ms=16_000),
        )


def test_a_total_outage_burns_the_least_budget_at_the_fastest_rate() -> None:
    lowest = Objectives(availability_bp=9_306)
    assert 1 / budget(lowest.availability_bp) >= 14.4


# -- in the stages --


def test_the_metrics_are_those_of_the_apis_own_methods(aws_stage: Synthesized) -> None:
    (api,) = (
        item["Properties"] for item in aws_stage.of_type("AWS::ApiGateway::RestApi", "scoring").values()
    )
    methods = {
        setting["ResourcePath"].replace("~1", "/").replace("//", "/")
        for item in aws_stage.of_type("AWS::ApiGateway::Stage", "scoring").values()
        for setting in item["Properties"]["MethodSettings"]
        if setting["MetricsEnabled"] and setting["HttpMethod"] == "POST"
    }
    watched = set()
    for alarm in aws_stage.of_type("AWS::CloudWatch::Alarm", "operations").values():
        for query in alarm["Properties"].get("Metrics", []):
            metric = query.get("MetricStat", {}).get("Metric", {})
            if metric.get("Namespace") == "AWS/ApiGateway":
                dimensions = {item["Name"]: item["Value"] for item in metric["Dimensions"]}
                assert dimensions["ApiName"] == api["Name"]
                assert dimensions["Stage"] == aws_stage.stage.name
                assert dimensions["Method"] == "POST"
                watched.add(dimensions["Resource"])
    assert watched == {
        f"/v1/{endpoint.name}/{verb}"
        for endpoint in aws_stage.stage.endpoints
        for verb in ("score", "score-batch")
    }
    assert methods >= watched


def test_no_window_is_longer_than_cloudwatch_looks(aws_stage: Synthesized) -> None:
    # PutMetricAlarm: seven days in all; one day where a period is shorter than an hour.
    for alarm in aws_stage.of_type("AWS::CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        queries = properties.get("Metrics", [{"MetricStat": {"Period": properties.get("Period")}}])
        periods = {query["MetricStat"]["Period"] for query in queries if "MetricStat" in query}
        (seconds,) = periods  # one length for all metrics of an alarm
        total = seconds * properties["EvaluationPeriods"]
        assert total <= (604_800 if seconds >= 3_600 else 86_400), properties["AlarmName"]
        metrics = [query for query in queries if "MetricStat" in query]
        assert len(metrics) <= 10, "an alarm has ten metrics at most"
        assert len(queries) - len(metrics) <= 10, "and ten expressions"
        assert re.fullmatch(r"[ -~]{1,1024}", properties["AlarmDescription"])
