"""Counts of two threads, in the log lines that CloudWatch takes metrics from."""

from __future__ import annotations

import json
import sys
import threading

import pytest

from quicksilver.bootstrap.emf import EmfMetrics
from quicksilver.metrics import Metric


def test_no_count_is_lost_where_one_thread_counts_while_another_flushes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given threads that count and flush at once
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "score-card-fraud")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Quicksilver")
    metrics = EmfMetrics("card-fraud", "7")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def count_and_flush() -> None:
        for _ in range(500):
            metrics.count(Metric.REQUESTS_SCORED)
            metrics.flush()

    threads = [threading.Thread(target=count_and_flush) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    sys.setswitchinterval(before)
    metrics.flush()
    # Then each line is whole, and together they hold every count
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(sum(line["RequestsScored"]) for line in lines) == 2_000


def test_what_is_no_count_says_its_unit_and_each_of_its_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "rollup")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Quicksilver")
    metrics = EmfMetrics()
    metrics.count(Metric.PREDICTION_LOG_DELAY, 250)
    metrics.count(Metric.PREDICTION_LOG_DELAY, 4_000)
    metrics.flush()
    (line,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    # So that the longest is found by its maximum.
    assert line["PredictionLogDelay"] == [250, 4_000]
    assert directive["Metrics"] == [{"Name": "PredictionLogDelay", "Unit": "Milliseconds"}]
