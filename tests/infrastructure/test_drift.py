"""The drift function: each hour, reading what was predicted, writing its own documents, and heard of when it judges nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quicksilver.settings import DriftSettings, Engine
from stacks.config import ConfigError, load_stage
from stacks.constructs.judging import DUCKDB_MEMORY_MIB
from tests.infrastructure.conftest import Synthesized, told_policy
from tests.infrastructure.test_functions import environment, functions, objects_allowed, statements

ROLE = "DriftHandlerRole"


def properties(synthesized: Synthesized) -> dict[str, Any]:
    found: dict[str, Any] = dict(functions(synthesized)["drift"]["Properties"])
    return found


def test_it_runs_every_hour_and_is_not_retried_in_between(every_stage: Synthesized) -> None:
    rules = every_stage.of_type("AWS::Events::Rule", "monitoring").values()
    (rule,) = [rule for rule in rules if "DriftHandler" in str(rule["Properties"]["Targets"][0]["Arn"])]
    assert rule["Properties"]["ScheduleExpression"] == "rate(1 hour)"
    (target,) = rule["Properties"]["Targets"]
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert properties(every_stage)["Timeout"] == 900


def test_it_has_room_for_a_windows_objects_and_more_memory_than_its_engine_takes(
    every_stage: Synthesized,
) -> None:
    function = properties(every_stage)
    athena = every_stage.stage.analysis_engine is Engine.ATHENA
    assert function.get("EphemeralStorage") == (None if athena else {"Size": 10_240})
    assert function["MemorySize"] >= 2 * DUCKDB_MEMORY_MIB


def test_it_carries_every_layer_of_the_analysis(every_stage: Synthesized) -> None:
    assert len(properties(every_stage)["Layers"]) == 4


def test_it_is_told_the_policies_as_they_stand_in_the_checkout(
    every_stage: Synthesized, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment(functions(every_stage)["drift"]).items():
        monkeypatch.setenv(variable, value)
    told = DriftSettings()
    names = {endpoint.name for endpoint in every_stage.stage.endpoints}
    assert set(told.drift_policies) == set(told.cutoffs) == names
    for endpoint, policy in told.drift_policies.items():
        assert policy == told_policy(every_stage.stage, endpoint)
    assert told.engine is every_stage.stage.analysis_engine


def test_it_reads_predictions_and_packages_and_writes_nothing_but_the_monitorings_documents(
    every_stage: Synthesized,
) -> None:
    athena = every_stage.stage.analysis_engine is Engine.ATHENA
    assert objects_allowed(every_stage, ROLE) == {
        ("s3:GetObject", "/packages/*"),
        ("s3:GetObject", "/predictions/*"),
        ("s3:GetObject", "/monitoring/*"),
        ("s3:PutObject", "/monitoring/*"),
        *({("s3:GetObject", "/athena-results/*"), ("s3:PutObject", "/athena-results/*")} if athena else ()),
    }


def test_it_lists_nothing_of_the_archive_but_what_it_reads(every_stage: Synthesized) -> None:
    (listing,) = [
        statement
        for role, statement in statements(every_stage)
        if role[:-8] == ROLE and "s3:ListBucket" in statement["Action"]
    ]
    assert listing["Condition"] == {"StringLikeIfExists": {"s3:prefix": ["predictions/*", "monitoring/*"]}}


def test_it_asks_athena_in_its_own_workgroup_and_database_alone(every_stage: Synthesized) -> None:
    asked = {
        action: json.dumps(statement["Resource"])
        for role, statement in statements(every_stage)
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if role[:-8] == ROLE and action.partition(":")[0] in ("athena", "glue")
    }
    if every_stage.stage.analysis_engine is Engine.DUCKDB:
        assert not asked
    else:
        assert "workgroup/" in asked["athena:StartQueryExecution"]
        assert f":database/quicksilver_{every_stage.stage.name}" in asked["glue:GetTable"]


def test_it_tells_the_bus_of_nothing_but_ourselves(every_stage: Synthesized) -> None:
    (telling,) = [
        statement
        for role, statement in statements(every_stage)
        if role[:-8] == ROLE and statement["Action"] == "events:PutEvents"
    ]
    assert telling["Condition"] == {"StringEquals": {"events:source": "quicksilver"}}


def test_a_failed_run_unreadable_objects_and_nobody_judging_ring(aws_stage: Synthesized) -> None:
    alarms = {
        alarm["Properties"]["MetricName"]: alarm["Properties"]
        for alarm in aws_stage.of_type("AWS::CloudWatch::Alarm", "monitoring").values()
        if {"Name": "service", "Value": "drift"} in alarm["Properties"]["Dimensions"]
    }
    assert set(alarms) == {
        "DriftRunFailed",
        "ArchiveObjectsSkipped",
        "RetrainTriggerFailed",
        "AnnouncementsFailed",
        "DriftWindowsJudged",
    }
    for alarm in alarms.values():
        # Exactly the dimension it is counted with (bootstrap/emf.py), or it would never ring.
        assert (len(alarm["Dimensions"]), alarm["Namespace"], alarm["Threshold"]) == (1, "Quicksilver", 1)
    judged = alarms["DriftWindowsJudged"]
    assert (judged["ComparisonOperator"], judged["Period"]) == ("LessThanThreshold", 86_400)
    assert judged["EvaluationPeriods"] == 2, "windows of a day"
    assert judged["TreatMissingData"] == "breaching"


def test_an_emulated_stage_cannot_ask_athena(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="asks Athena, which an emulator does not have"):
        replace(load_stage("local"), analysis_engine=Engine.ATHENA)
