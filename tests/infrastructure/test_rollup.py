"""The rollup: reads the whole stream, loses no batch, is told the cut-offs, and says when it is not well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from quicksilver.gates.policy import Policy
from stacks.config import ConfigError, load_stage
from tests.infrastructure.conftest import ROOT, Synthesized, alarms_of
from tests.infrastructure.test_functions import environment, functions, statements


def mapping(synthesized: Synthesized) -> Mapping[str, Any]:
    _, item = synthesized.named("AWS::Lambda::EventSourceMapping", "RollupConsumerMapping")
    properties: Mapping[str, Any] = item["Properties"]
    return properties


def test_it_reads_the_stream_from_its_oldest_record_and_gives_no_batch_up(every_stage: Synthesized) -> None:
    read = mapping(every_stage)
    assert "Predictions" in json.dumps(read["EventSourceArn"])
    assert read["StartingPosition"] == "TRIM_HORIZON"
    assert read["MaximumRetryAttempts"] == -1
    assert "MaximumRecordAgeInSeconds" not in read
    assert read["BisectBatchOnFunctionError"] is True
    assert read["ParallelizationFactor"] == 1
    assert read["BatchSize"] == 1_000
    assert read["MaximumBatchingWindowInSeconds"] == (0 if every_stage.stage.emulated else 5)


def test_what_the_stream_forgot_is_said_in_a_queue_of_its_own(every_stage: Synthesized) -> None:
    destination = mapping(every_stage)["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"]
    queue = every_stage.of_type("AWS::SQS::Queue", "control")[destination[0]]["Properties"]
    assert queue["SqsManagedSseEnabled"] is True
    assert queue["MessageRetentionPeriod"] == 14 * 86_400


def test_its_mapping_is_made_when_its_role_may_read(every_stage: Synthesized) -> None:
    _, item = every_stage.named("AWS::Lambda::EventSourceMapping", "RollupConsumerMapping")
    policy, _ = every_stage.named("AWS::IAM::Policy", "RollupHandlerRoleDefaultPolicy")
    assert policy in item["DependsOn"]


def test_it_may_touch_its_own_table_alone_and_only_read_the_stream(every_stage: Synthesized) -> None:
    touched = {
        service: json.dumps(statement["Resource"])
        for role, statement in statements(every_stage)
        if role.startswith("RollupHandlerRole")
        for service in {str(action).partition(":")[0] for action in [*_actions(statement)]}
    }
    assert "OutputFnGetAttRollup" in touched["dynamodb"]
    assert "Predictions" in touched["kinesis"]
    assert "GivenUp" in touched["sqs"]
    assert "PredictionsKey" in touched["kms"]


def _actions(statement: Mapping[str, Any]) -> list[str]:
    actions = statement["Action"]
    return actions if isinstance(actions, list) else [actions]


def test_it_is_told_the_cutoffs_of_the_policies_in_the_checkout(every_stage: Synthesized) -> None:
    told = json.loads(environment(functions(every_stage)["rollup"])["QUICKSILVER_CUTOFFS"])
    assert told == {
        endpoint.name: Policy.from_toml((ROOT / "policies" / f"{endpoint.name}.toml").read_text()).cutoff
        for endpoint in every_stage.stage.endpoints
    }


def test_it_counts_by_minutes_and_by_five_seconds_where_a_demo_runs(every_stage: Synthesized) -> None:
    told = environment(functions(every_stage)["rollup"])["QUICKSILVER_ROLLUP_PERIOD_SECONDS"]
    assert told == ("5" if every_stage.stage.emulated else "60")


@pytest.mark.parametrize("seconds", [0, -60, 7, 3_601, 7_200])
def test_periods_that_do_not_divide_an_hour_are_refused(seconds: int) -> None:
    with pytest.raises(ConfigError, match="they must divide an hour"):
        replace(load_stage("dev"), rollup_period_seconds=seconds)


def test_alarms_say_that_it_fails_falls_behind_gave_up_or_left_records_out(aws_stage: Synthesized) -> None:
    alarms = alarms_of(aws_stage, "rollup")
    assert {name: (alarm["Threshold"], alarm["EvaluationPeriods"]) for name, alarm in alarms.items()} == {
        "errors": (1, 3),
        "throttles": (1, 3),
        "reads-late": (300_000, 1),
        "reads-very-late": (86_400_000, 1),
        "dead-letters": (1, 1),
        "dead-letters-expiring": (864_000, 1),
        "prediction-log-delay": (120_000, 5),
        "records-unreadable": (1, 1),
        "records-too-late": (1, 1),
    }
    for name in ("records-unreadable", "records-too-late", "prediction-log-delay"):
        # Exactly the dimension it is counted with (bootstrap/emf.py), or it would never ring.
        assert alarms[name]["Dimensions"] == [{"Name": "service", "Value": "rollup"}]
        assert alarms[name]["Namespace"] == "Quicksilver"
    for name in ("errors", "throttles", "reads-late", "reads-very-late"):
        ((dimension),) = alarms[name]["Dimensions"]
        assert dimension["Name"] == "FunctionName"
        assert dimension["Value"]["Ref"].startswith("Rollup")


def test_an_emulator_has_no_alarms(local: Synthesized) -> None:
    assert not [
        item for item in local.control["Resources"].values() if item["Type"] == "AWS::CloudWatch::Alarm"
    ]
