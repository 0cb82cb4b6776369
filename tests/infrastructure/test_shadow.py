"""The shadow function: reads the whole stream, may add scores and change nothing, and says when it is not well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.infrastructure.conftest import Synthesized, alarms_of
from tests.infrastructure.test_functions import functions, statements


def mapping(synthesized: Synthesized) -> Mapping[str, Any]:
    _, item = synthesized.named("AWS::Lambda::EventSourceMapping", "ShadowConsumerMapping")
    properties: Mapping[str, Any] = item["Properties"]
    return properties


def test_it_reads_the_prediction_stream_and_gives_no_batch_up(every_stage: Synthesized) -> None:
    read = mapping(every_stage)
    assert "Predictions" in json.dumps(read["EventSourceArn"])
    assert read["FunctionName"]["Ref"].startswith("ShadowHandler")
    assert read["MaximumRetryAttempts"] == -1
    assert read["BisectBatchOnFunctionError"] is True
    assert (read["BatchSize"], read["MaximumBatchingWindowInSeconds"]) == (
        500,
        0 if every_stage.stage.emulated else 5,
    )


def test_one_function_scores_for_all_endpoints(every_stage: Synthesized) -> None:
    assert (
        "QUICKSILVER_ENDPOINT"
        not in functions(every_stage)["shadow"]["Properties"]["Environment"]["Variables"]
    )


def resources(synthesized: Synthesized, action: str) -> str:
    """The resources on which the shadow function may do something."""
    return json.dumps(
        [
            statement["Resource"]
            for role, statement in statements(synthesized)
            if role.startswith("ShadowHandlerRole")
            and action
            in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        ]
    )


def test_it_may_add_scores_under_one_prefix_and_read_packages(every_stage: Synthesized) -> None:
    written, read = resources(every_stage, "s3:PutObject"), resources(every_stage, "s3:GetObject")
    assert "/shadow/*" in written
    assert "Archive" in written
    assert "Models" not in written
    assert "/packages/*" in read
    assert "Models" in read
    assert "Archive" not in read
    assert "Registry" in resources(every_stage, "dynamodb:GetItem")
    assert "SigningKey" not in json.dumps(
        [s for r, s in statements(every_stage) if r.startswith("ShadowHandler")]
    )


def test_alarms_say_that_it_fails_falls_behind_gave_up_or_left_records_out(aws_stage: Synthesized) -> None:
    alarms = alarms_of(aws_stage, "shadow")
    assert {name: (alarm["Threshold"], alarm["EvaluationPeriods"]) for name, alarm in alarms.items()} == {
        "errors": (1, 3),
        "throttles": (1, 3),
        "reads-late": (900_000, 1),
        "reads-very-late": (86_400_000, 1),
        "dead-letters": (1, 1),
        "dead-letters-expiring": (864_000, 1),
        "route-refresh-failed": (1, 1),
        "records-unreadable": (1, 1),
    }
    for name in ("route-refresh-failed", "records-unreadable"):
        # Exactly the dimension it is counted with (bootstrap/emf.py), or it would never ring.
        assert alarms[name]["Dimensions"] == [{"Name": "service", "Value": "shadow"}]
