"""Environments are warm where a stage says so, on function versions only; the others start from a snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aws_cdk import App, Stack, aws_applicationautoscaling as scaling, aws_lambda as lambda_

from stacks.config import ConfigError, Endpoint, Floor, ProvisionedConcurrency, Throttle, load_stage
from stacks.config.stage import Stage
from stacks.constructs.weights import refuse_provisioned_aliases
from tests.infrastructure.conftest import Synthesized

DAILY = "30 5 ? * * *"


def warm(stage: Stage) -> dict[str, ProvisionedConcurrency]:
    given = {endpoint.service: endpoint.provisioned_concurrency for endpoint in stage.endpoints}
    return {stage.function_name(service): bounds for service, bounds in given.items() if bounds}


def scored(synthesized: Synthesized) -> dict[str, str]:
    """The logical id of each score function's version, by the function's name."""
    names = {
        id: item["Properties"]["FunctionName"]
        for id, item in synthesized.of_type("AWS::Lambda::Function").items()
    }
    return {
        names[item["Properties"]["FunctionName"]["Ref"]]: id
        for id, item in synthesized.of_type("AWS::Lambda::Version", "scoring").items()
        if "-score-" in names[item["Properties"]["FunctionName"]["Ref"]]
    }


def targets(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    """What is scaled, by the logical id of its function version."""
    found = {}
    for item in synthesized.resources.values():
        if item["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget":
            properties = item["Properties"]
            function, version = properties["ResourceId"]["Fn::Join"][1]
            id, attribute = version["Fn::GetAtt"]
            assert attribute == "Version"
            assert scored(synthesized)[function.removeprefix("function:").removesuffix(":")] == id
            found[id] = properties
    return found


def test_which_stages_are_warm() -> None:
    given = {name: sorted(warm(load_stage(name))) for name in ("local", "dev", "staging", "prod")}
    assert [len(given[name]) for name in ("local", "dev", "staging", "prod")] == [0, 0, 2, 2]


def test_a_warm_function_version_starts_at_its_floor_and_follows_its_traffic(aws_stage: Synthesized) -> None:
    versions, scaled = scored(aws_stage), targets(aws_stage)
    expected = warm(aws_stage.stage)
    assert set(scaled) == {versions[name] for name in expected}
    for name, bounds in expected.items():
        version = aws_stage.resources[versions[name]]["Properties"]
        assert version["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": bounds.floor}
        target = scaled[versions[name]]
        assert (target["ServiceNamespace"], target["ScalableDimension"]) == (
            "lambda",
            "lambda:function:ProvisionedConcurrency",
        )
        assert (target["MinCapacity"], target["MaxCapacity"]) == (bounds.floor, bounds.ceiling)
        assert [
            (action["Schedule"], action["Timezone"], action["ScalableTargetAction"])
            for action in target.get("ScheduledActions", [])
        ] == [
            (
                f"cron({floor.cron})",
                floor.timezone,
                {"MinCapacity": floor.environments, "MaxCapacity": bounds.ceiling},
            )
            for floor in bounds.floors
        ]


def test_each_target_has_one_policy_that_keeps_a_share_busy(aws_stage: Synthesized) -> None:
    policies = [
        item["Properties"]
        for item in aws_stage.resources.values()
        if item["Type"] == "AWS::ApplicationAutoScaling::ScalingPolicy"
    ]
    kept = sorted(
        policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
        for policy in policies
        if policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
        == {"PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"}
    )
    assert kept == sorted(bounds.busy_percent / 100 for bounds in warm(aws_stage.stage).values())
    assert len({policy["ScalingTargetId"]["Ref"] for policy in policies}) == len(policies)


def test_a_score_function_that_is_not_warm_starts_from_a_snapshot_and_never_both(
    every_stage: Synthesized,
) -> None:
    expected = warm(every_stage.stage)
    for item in every_stage.of_type("AWS::Lambda::Function").values():
        properties = item["Properties"]
        snapshot = properties.get("SnapStart") == {"ApplyOn": "PublishedVersions"}
        scores = "-score-" in properties["FunctionName"]
        assert snapshot == (
            scores and properties["FunctionName"] not in expected and not every_stage.stage.emulated
        )


def test_no_alias_has_provisioned_concurrency_or_weights_of_its_own(every_stage: Synthesized) -> None:
    for alias in every_stage.of_type("AWS::Lambda::Alias").values():
        assert "ProvisionedConcurrencyConfig" not in alias["Properties"]
        assert "RoutingConfig" not in alias["Properties"]  # CodeDeploy alone writes weights


def careless(*, scaled: bool = False, own: bool = False) -> App:
    app = App()
    stack = Stack(app, "Careless")
    function = lambda_.Function(
        stack,
        "Function",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="handler.lambda_handler",
        code=lambda_.Code.from_inline("pass"),
    )
    alias = lambda_.Alias(
        stack,
        "Live",
        alias_name="live",
        version=function.current_version,
        provisioned_concurrent_executions=1 if own else None,
    )
    if scaled:
        scaling.CfnScalableTarget(
            stack,
            "Target",
            service_namespace="lambda",
            scalable_dimension="lambda:function:ProvisionedConcurrency",
            resource_id=f"function:{function.function_name}:{alias.alias_name}",
            min_capacity=1,
            max_capacity=2,
        )
    return app


@pytest.mark.parametrize("how", [{"own": True}, {"scaled": True}])
def test_weights_and_provisioned_concurrency_on_one_alias_are_refused(how: dict[str, bool]) -> None:
    with pytest.raises(ConfigError) as refused:
        refuse_provisioned_aliases(careless(**how))
    sentence = str(refused.value)
    assert sentence.startswith("The alias live (Careless/Live/Resource) has provisioned concurrency;")
    assert sentence.endswith("put it on the function version.")


def test_an_alias_without_it_is_taken() -> None:
    refuse_provisioned_aliases(careless())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"floor": 0}, "0 to 10 is none"),
        ({"floor": 11}, "11 to 10 is none"),
        ({"ceiling": 100_001}, "at most 100000"),
        ({"busy_percent": 9}, "Keeping 9 % of the warm environments busy"),
        ({"busy_percent": 91}, "it takes 10 to 90"),
        (
            {"floors": (Floor(cron=DAILY, environments=11),)},
            "The floor of 11 at '30 5 [?] [*] [*] [*]' must be 1 to the ceiling of 10",
        ),
        ({"floors": (Floor(cron=DAILY, environments=0),)}, "must be 1 to"),
        ({"floors": (Floor(cron=DAILY, environments=2), Floor(cron=DAILY, environments=3))}, "same moments"),
    ],
)
def test_impossible_bounds_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ProvisionedConcurrency(**{"floor": 2, "ceiling": 10, **values})


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "0 6 * * *",
        "0 6 * * * *",
        "0 6 ? * ? *",
        "0 6 ? * MON-FRI * *",
        "cron(0 6 ? * * *)",
        "0 6 ? * * *\n",
    ],
)
def test_what_is_no_schedule_is_refused(cron: str) -> None:
    with pytest.raises(ConfigError, match="is no schedule of AWS's"):
        Floor(cron=cron, environments=1)


def test_a_time_zone_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="There is no time zone 'Europe/Atlantis'"):
        Floor(cron=DAILY, environments=1, timezone="Europe/Atlantis")


def test_an_emulator_has_none() -> None:
    endpoint = Endpoint(
        name="card-fraud",
        throttle=Throttle(rate_per_second=1, burst=1),
        provisioned_concurrency=ProvisionedConcurrency(floor=1, ceiling=1),
    )
    with pytest.raises(ConfigError, match="which an emulator does not have"):
        replace(load_stage("local"), endpoints=(endpoint,))
