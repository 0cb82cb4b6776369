"""Functions: configured completely, allowed little, and released by function version."""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App
from pydantic_settings import BaseSettings

from layers.provenance import MARKER
from quicksilver.code_release.after_traffic import BUDGET_SECONDS as AFTER_SECONDS
from quicksilver.code_release.before_traffic import BUDGET_SECONDS as BEFORE_SECONDS
from quicksilver.code_release.provisioned import READY_SECONDS
from quicksilver.gates.policy import Policy
from quicksilver.settings import (
    SETTINGS,
    Engine,
    PerformanceSettings,
    RegistrySettings,
    ScoreSettings,
)
from stacks.build import build
from stacks.config import (
    GATEWAY_TIMEOUT_SECONDS,
    ONE_VCPU_MIB,
    ConfigError,
    Endpoint,
    ReservedConcurrency,
    Shift,
    load_stage,
)
from stacks.constructs.layers import BUILT
from tests.infrastructure.conftest import ROOT, Synthesized, synthesize, told_policy

PREFIX = "QUICKSILVER_"
IN_NO_LAYER = {"lightgbm", "pandas", "pyarrow", "rich", "scipy", "shap", "sklearn", "typer"}


def environment(function: Mapping[str, Any]) -> dict[str, str]:
    """A function's variables; what only a deployment knows stands as a name."""
    variables = function["Properties"]["Environment"]["Variables"]
    return {name: value if isinstance(value, str) else "a-deployed-name" for name, value in variables.items()}


def functions(synthesized: Synthesized, stack: str = "") -> dict[str, Mapping[str, Any]]:
    """Functions, of one stack or of all, by their name without ``quicksilver-<stage>-``."""
    prefix = f"quicksilver-{synthesized.stage.name}-"
    return {
        item["Properties"]["FunctionName"].removeprefix(prefix): item
        for item in synthesized.of_type("AWS::Lambda::Function", stack).values()
    }


def score_functions(synthesized: Synthesized) -> list[tuple[Endpoint, Mapping[str, Any]]]:
    found = functions(synthesized)
    return [(endpoint, found[f"score-{endpoint.name}"]) for endpoint in synthesized.stage.endpoints]


def test_there_is_one_score_function_per_endpoint_and_one_for_each_other_thing(
    every_stage: Synthesized,
) -> None:
    assert set(functions(every_stage)) == {
        "score-card-fraud",
        "score-credit-line",
        "drift",
        "outcomes",
        "performance",
        "redeliver",
        "registry",
        "rollout",
        "rollup",
        "shadow",
        "candidate",
        "train",
        "training-set",
        # The emulator has no CodeDeploy, and so nobody who would ask them.
        *(() if every_stage.stage.emulated else ("before-traffic", "after-traffic")),
    }


def test_each_environment_satisfies_its_settings_and_says_nothing_more(
    every_stage: Synthesized, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, function in functions(every_stage).items():
        model: type[BaseSettings] = SETTINGS.get(name, ScoreSettings)
        variables = environment(function)
        ours = {variable for variable in variables if variable.startswith(PREFIX)}
        assert {variable.removeprefix(PREFIX).lower() for variable in ours} <= set(model.model_fields)
        with monkeypatch.context() as patch:
            for variable, value in variables.items():
                patch.setenv(variable, value)
            settings = model()
        assert settings.model_dump()["stage"] == every_stage.stage.name


def test_each_score_function_is_told_its_own_endpoint_and_deadline(every_stage: Synthesized) -> None:
    for endpoint, function in score_functions(every_stage):
        variables = environment(function)
        assert variables["QUICKSILVER_ENDPOINT"] == endpoint.name
        assert variables["QUICKSILVER_DEADLINE_MS"] == str(endpoint.deadline_ms)
        assert function["Properties"]["Timeout"] == endpoint.timeout_seconds
        assert function["Properties"]["MemorySize"] == endpoint.memory_mib


def test_functions_run_python_3_13_on_arm64_on_aws_without_tracing(aws_stage: Synthesized) -> None:
    for function in functions(aws_stage).values():
        properties = function["Properties"]
        assert properties["Runtime"] == "python3.13"
        assert properties["Architectures"] == ["arm64"]
        assert properties.get("TracingConfig", {"Mode": "PassThrough"})["Mode"] == "PassThrough"


def test_what_watches_carries_the_analysis_layer_too(every_stage: Synthesized) -> None:
    layers = set(every_stage.of_type("AWS::Lambda::LayerVersion", "monitoring"))
    assert len(layers) == len(BUILT)
    function = functions(every_stage, "monitoring")["performance"]
    assert {layer["Ref"] for layer in function["Properties"]["Layers"]} == layers


@pytest.mark.parametrize("stack", ["scoring", "control"])
def test_every_function_carries_all_three_layers_of_its_own_stack(
    every_stage: Synthesized, stack: str
) -> None:
    layers = set(every_stage.of_type("AWS::Lambda::LayerVersion", stack))
    assert len(layers) == 3
    for name, function in functions(every_stage, stack).items():
        carried = {layer["Ref"] for layer in function["Properties"]["Layers"]}
        if name == "outcomes":  # it has nothing to do with models
            assert {layer.removeprefix("Layers")[:4] for layer in carried} == {"Core", "Runt"}
        else:
            assert carried == layers


def test_every_log_group_is_ours_encrypted_and_forgets(every_stage: Synthesized) -> None:
    groups = every_stage.of_type("AWS::Logs::LogGroup")
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == every_stage.stage.log_retention.value
        assert "KmsKeyId" in group["Properties"]
        # One with a name of its own would keep a deployment from being tried again.
        kept = "RetainExceptOnCreate" if "LogGroupName" in group["Properties"] else "Retain"
        assert group["DeletionPolicy"] == ("Delete" if every_stage.stage.emulated else kept)
    written = [
        item["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] for item in functions(every_stage).values()
    ]
    assert len(set(written)) == len(written)
    assert set(written) < set(groups)


def test_every_log_group_masks_what_should_never_be_logged_and_tells_of_it_on_aws(
    aws_stage: Synthesized,
) -> None:
    groups = aws_stage.of_type("AWS::Logs::LogGroup")
    findings, group = aws_stage.named("AWS::Logs::LogGroup", "Findings", "data")
    for name in set(groups) - {findings}:
        policy = groups[name]["Properties"]["DataProtectionPolicy"]
        audit, mask = policy["Statement"]
        for statement in (audit, mask):
            assert {part["Fn::Join"][1][-1].rpartition("/")[2] for part in statement["DataIdentifier"]} == {
                "CreditCardNumber",
                "CreditCardSecurityCode",
                "EmailAddress",
                "AwsSecretKey",
                "OpenSshPrivateKey",
                "PgpPrivateKey",
                "PkcsPrivateKey",
                "PuttyPrivateKey",
            }, name
        told = audit["Operation"]["Audit"]["FindingsDestination"]["CloudWatchLogs"]["LogGroup"]
        assert told == group["Properties"]["LogGroupName"]
        assert "Deidentify" in mask["Operation"]
    # Lambda, Firehose and all others write to groups of ours: nobody's lines go to a group that AWS makes by itself.
    for function in functions(aws_stage).values():
        assert function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] in groups


def test_an_emulator_masks_nothing(local: Synthesized) -> None:
    for group in local.of_type("AWS::Logs::LogGroup").values():
        assert "DataProtectionPolicy" not in group["Properties"]


# --- none takes what scoring needs ------------------------------------------------------------------------------


def test_every_helper_reserves_what_it_may_take_and_scoring_nothing(aws_stage: Synthesized) -> None:
    reserved = {
        name: function["Properties"].get("ReservedConcurrentExecutions")
        for name, function in functions(aws_stage).items()
    }
    scores = {endpoint.service for endpoint in aws_stage.stage.endpoints}
    assert {name for name, number in reserved.items() if number is None} == scores
    helpers = {name: number for name, number in reserved.items() if number is not None}
    concurrency = aws_stage.stage.reserved_concurrency
    assert {helpers[name] for name in ("rollup", "shadow")} == {concurrency.consumer}
    assert {helpers[name] for name in ("registry", "outcomes")} == {concurrency.api}
    assert helpers["redeliver"] == concurrency.background
    assert aws_stage.stage.account_concurrency - sum(helpers.values()) >= concurrency.scoring >= 100


def test_a_consumer_may_read_every_shard_at_once_as_far_as_is_reserved(aws_stage: Synthesized) -> None:
    for mapping in aws_stage.of_type("AWS::Lambda::EventSourceMapping").values():
        assert (
            mapping["Properties"]["ParallelizationFactor"] == 1
        )  # one run a shard: never more than there are


def test_an_emulator_reserves_nothing(local: Synthesized) -> None:
    for function in functions(local).values():
        assert "ReservedConcurrentExecutions" not in function["Properties"]


def test_helpers_that_would_starve_scoring_are_one_sentence_at_synth(
    layers_root: Path, tmp_path: Path
) -> None:
    stage = replace(load_stage("dev"), reserved_concurrency=ReservedConcurrency(scoring=900))
    with pytest.raises(
        ConfigError,
        match=r"^The \d+ helpers of stage dev reserve \d+ of the account's 1000 concurrent executions; "
        r"that leaves \d+ for scoring, and reserved_concurrency.scoring asks for 900\.$",
    ):
        build(App(outdir=str(tmp_path)), stage, layers_root=layers_root)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"background": 0}, "A concurrency of 0 for background lets none of its functions run."),
        (
            {"scoring": 99},
            "99 concurrent executions cannot be left for scoring: Lambda keeps 100 unreserved.",
        ),
    ],
)
def test_an_impossible_concurrency_is_a_sentence(values: dict[str, int], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ReservedConcurrency(**values)


# --- released by function version ------------------------------------------------------------------------------


def test_live_is_the_only_alias_of_each_score_function(every_stage: Synthesized) -> None:
    aliases = every_stage.of_type("AWS::Lambda::Alias").values()
    assert [alias["Properties"]["Name"] for alias in aliases] == ["live"] * len(every_stage.stage.endpoints)
    targets = {alias["Properties"]["FunctionName"]["Ref"] for alias in aliases}
    assert len(targets) == len(every_stage.stage.endpoints)


def test_live_is_shifted_by_codedeploy_and_taken_back_on_alarm(aws_stage: Synthesized) -> None:
    groups = aws_stage.of_type("AWS::CodeDeploy::DeploymentGroup")
    for group in groups.values():
        properties = group["Properties"]
        assert properties["AutoRollbackConfiguration"]["Enabled"] is True
        assert "DEPLOYMENT_STOP_ON_ALARM" in properties["AutoRollbackConfiguration"]["Events"]
        assert properties["AlarmConfiguration"]["Enabled"] is True
        named = {json.dumps(alarm["Name"]) for alarm in properties["AlarmConfiguration"]["Alarms"]}
        ringing = {
            name: aws_stage.resources[name]["Properties"]["AlarmName"].split("-release-")[1]
            for name in aws_stage.of_type("AWS::CloudWatch::Alarm", "scoring")
            if json.dumps({"Ref": name}) in named
        }
        assert sorted(ringing.values()) == [
            "alias-errors", "alias-latency", "errors", "latency", "score-shift", "unanswered",
        ]  # fmt: skip
        assert len(named) == len(ringing)
    shifting = {
        alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]["Ref"]
        for alias in aws_stage.of_type("AWS::Lambda::Alias").values()
    }
    assert shifting == set(groups)


def test_each_stage_shifts_traffic_as_its_file_says(aws_stage: Synthesized) -> None:
    names = {
        json.dumps(group["Properties"]["DeploymentConfigName"])
        for group in aws_stage.of_type("AWS::CodeDeploy::DeploymentGroup").values()
    }
    release = aws_stage.stage.release
    if release.shift is Shift.ALL_AT_ONCE:
        assert (aws_stage.stage.name, names) == ("dev", {'"CodeDeployDefault.LambdaAllAtOnce"'})
        return
    ((name, config),) = aws_stage.of_type("AWS::CodeDeploy::DeploymentConfig").items()
    assert names == {json.dumps({"Ref": name})}
    assert config["Properties"]["ComputePlatform"] == "Lambda"
    routing = config["Properties"]["TrafficRoutingConfig"]
    kind, word = {Shift.CANARY: ("TimeBasedCanary", "Canary"), Shift.LINEAR: ("TimeBasedLinear", "Linear")}[
        release.shift
    ]
    assert routing["Type"] == kind
    assert routing[kind] == {f"{word}Interval": release.minutes, f"{word}Percentage": release.percent}


def test_codedeploy_asks_before_any_traffic_moves_and_after_all_of_it_has(aws_stage: Synthesized) -> None:
    asked = functions(aws_stage, "scoring")
    by_name = aws_stage.of_type("AWS::Lambda::Function", "scoring")
    for alias in aws_stage.of_type("AWS::Lambda::Alias").values():
        update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert by_name[update["BeforeAllowTrafficHook"]["Ref"]] == asked["before-traffic"]
        assert by_name[update["AfterAllowTrafficHook"]["Ref"]] == asked["after-traffic"]
        # CodeDeploy's own permission to call them is there before it has to.
        assert any("ReleaseGroupServiceRoleDefaultPolicy" in name for name in alias["DependsOn"])


def test_a_hook_is_told_the_stages_own_functions_and_ends_before_lambda_ends_it(
    aws_stage: Synthesized, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = functions(aws_stage, "scoring")
    for name in ("before-traffic", "after-traffic"):
        with monkeypatch.context() as patch:
            for variable, value in environment(found[name]).items():
                patch.setenv(variable, value)
            told = SETTINGS[name]().model_dump()
        assert told["alias"] == "live"
        assert told["functions"] == {
            endpoint.name: f"quicksilver-{aws_stage.stage.name}-score-{endpoint.name}"
            for endpoint in aws_stage.stage.endpoints
        }
        if name == "before-traffic":
            assert told["provisioned_concurrency"] == {
                endpoint.name: endpoint.provisioned_concurrency.floor
                for endpoint in aws_stage.stage.endpoints
                if endpoint.provisioned_concurrency
            }
            assert told["changed_answers"] == aws_stage.stage.release.changed_answers
        spent = READY_SECONDS + BEFORE_SECONDS if name == "before-traffic" else AFTER_SECONDS
        assert spent + 60 <= found[name]["Properties"]["Timeout"] < 900


def test_the_before_traffic_hook_carries_the_saved_events_of_the_checkout(aws_stage: Synthesized) -> None:
    function = functions(aws_stage, "scoring")["before-traffic"]
    asset = aws_stage.folder / f"asset.{Path(function['Properties']['Code']['S3Key']).stem}"
    packed = {path.name: path.read_text() for path in (asset / "events").glob("*.json")}
    assert packed == {path.name: path.read_text() for path in (ROOT / "events").glob("*.json")}
    assert any(json.loads(text).get("path") == "/v1/card-fraud/score" for text in packed.values())


def test_a_saved_event_whose_answer_changes_is_one_there_is(aws_stage: Synthesized) -> None:
    assert set(aws_stage.stage.release.changed_answers) <= {
        path.stem for path in (ROOT / "events").glob("*.json")
    }


def test_function_versions_that_answered_stay_where_they_cost_nothing(every_stage: Synthesized) -> None:
    for version in every_stage.of_type("AWS::Lambda::Version").values():
        # Kept at a later release, and removed with the release that made it where that one fails. A snapshot would be paid for.
        warm = "ProvisionedConcurrencyConfig" in version["Properties"]
        kept = "RetainExceptOnCreate" if warm else "Delete"
        assert version["DeletionPolicy"] == kept


def test_nobody_writes_an_alias_but_codedeploy(every_stage: Synthesized) -> None:
    """Its role is CodeDeploy's alone, by the policy that AWS keeps for it."""
    for role, statement in statements(every_stage):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [
            action
            for action in actions
            if action in ("lambda:*", "*") or ("Alias" in action[7:] and action != "lambda:GetAlias")
        ], role
    managed = {
        name: item["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        for name, item in every_stage.of_type("AWS::IAM::Role").items()
        if "CodeDeploy" in json.dumps(item["Properties"].get("ManagedPolicyArns", []))
    }
    assert len(managed) == (0 if every_stage.stage.emulated else len(every_stage.stage.endpoints))
    for trusted in managed.values():
        assert [statement["Principal"] for statement in trusted] == [{"Service": "codedeploy.amazonaws.com"}]


def test_release_alarms_watch_the_new_function_version_alone(aws_stage: Synthesized) -> None:
    alarms = aws_stage.of_type("AWS::CloudWatch::Alarm", "scoring")
    versions = aws_stage.of_type("AWS::Lambda::Version")
    watched: list[tuple[str, str, str]] = []
    for alarm in alarms.values():
        properties = alarm["Properties"]
        if "-release-" not in properties["AlarmName"] or properties.get("Namespace") != "AWS/Lambda":
            continue
        dimensions = {item["Name"]: item["Value"] for item in properties["Dimensions"]}
        assert dimensions["Resource"] == f"{dimensions['FunctionName']}:live"
        if "-release-alias-" in properties["AlarmName"]:
            assert set(dimensions) == {"FunctionName", "Resource"}
            continue
        assert set(dimensions) == {"FunctionName", "Resource", "ExecutedVersion"}
        version, attribute = dimensions["ExecutedVersion"]["Fn::GetAtt"]
        assert attribute == "Version"
        assert version in versions
        assert properties["TreatMissingData"] == "notBreaching"
        watched.append((dimensions["FunctionName"], version, properties["MetricName"]))
    names = [
        aws_stage.stage.function_name(f"score-{endpoint.name}") for endpoint in aws_stage.stage.endpoints
    ]
    assert sorted((name, metric) for name, _, metric in watched) == sorted(
        (name, metric) for name in names for metric in ("Duration", "Errors")
    )
    assert {version for _, version, _ in watched} == set(versions)


def test_a_function_version_that_leaves_requests_unanswered_is_taken_back_too(aws_stage: Synthesized) -> None:
    watched = {}
    for alarm in aws_stage.of_type("AWS::CloudWatch::Alarm").values():
        if alarm["Properties"].get("MetricName") == "RequestsUnanswered":
            dimensions = {item["Name"]: item["Value"] for item in alarm["Properties"]["Dimensions"]}
            watched[dimensions["endpoint"]] = dimensions
    services = {
        item["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
        for item in functions(aws_stage).values()
    }
    assert set(watched) == {endpoint.name for endpoint in aws_stage.stage.endpoints}
    for dimensions in watched.values():
        assert set(dimensions) == {"service", "endpoint", "function_version"}
        assert dimensions["service"] in services
        assert dimensions["function_version"]["Fn::GetAtt"][1] == "Version"


def test_a_record_on_hold_or_a_route_that_is_not_served_rings_an_alarm_of_its_endpoint(
    aws_stage: Synthesized,
) -> None:
    unseen = {
        "PredictionsUndelivered",
        "PredictionsPending",
        "PredictionsLost",
        "RouteRefreshFailed",
        "ExtensionFailed",
        "AdditivityFailed",
        "RequestsUnguarded",
    }
    found = set()
    for alarm in aws_stage.of_type("AWS::CloudWatch::Alarm", "scoring").values():
        properties = alarm["Properties"]
        if properties.get("MetricName") in unseen:
            dimensions = {item["Name"]: item["Value"] for item in properties["Dimensions"]}
            # Exactly the dimensions it is counted with (bootstrap/emf.py), or it would never ring.
            assert dimensions == {
                "service": f"score-{dimensions['endpoint']}",
                "endpoint": dimensions["endpoint"],
            }
            assert (properties["Namespace"], properties["Threshold"]) == ("Quicksilver", 1)
            assert properties["TreatMissingData"] == "notBreaching"
            found.add((dimensions["endpoint"], properties["MetricName"]))
    expected = {(endpoint.name, metric) for endpoint in aws_stage.stage.endpoints for metric in unseen}
    assert found == expected


def test_an_emulated_stage_has_no_alarms_since_nothing_would_ring_them(local: Synthesized) -> None:
    kinds = {item["Type"] for item in local.resources.values()}
    assert "AWS::CloudWatch::Alarm" not in kinds


def test_an_endpoint_that_logs_before_it_responds_tells_its_function(
    make_layers: Callable[[], Path], tmp_path: Path
) -> None:
    stage = load_stage("dev")
    first, *others = stage.endpoints
    careful = replace(stage, endpoints=(replace(first, log_before_response=True), *others))
    synthesized = synthesize(careful, make_layers(), tmp_path)
    told = [
        environment(function)["QUICKSILVER_LOG_BEFORE_RESPONSE"]
        for _, function in score_functions(synthesized)
    ]
    assert told == ["true", "false"]


def test_a_changed_layer_publishes_a_new_function_version(
    make_layers: Callable[[], Path], synthesized: Callable[[str], Synthesized], tmp_path: Path
) -> None:
    # Given the same stage, with one line more in a layer
    root = make_layers()
    built = root / ".build" / "arm64" / "core" / "python" / "quicksilver"
    (built / "ids.py").open("a").write("# changed\n")
    # When it is synthesized
    changed = synthesize(load_stage("dev"), root, tmp_path)
    # Then every function version is a new one
    before = set(synthesized("dev").of_type("AWS::Lambda::Version"))
    assert before.isdisjoint(changed.of_type("AWS::Lambda::Version"))


def test_stray_bytecode_and_what_stays_home_publish_nothing(
    make_layers: Callable[[], Path], synthesized: Callable[[str], Synthesized], tmp_path: Path
) -> None:
    # Given the same stage, with files that no function needs
    root = make_layers()
    package = root / "core" / "python" / "quicksilver"
    for stray in (
        package / "__pycache__" / "ids.cpython-313.pyc",
        package / "cli" / "anything.py",
        package / "local" / "anything.py",
        root / "core" / "native" / "fuzz" / "harness.c",
        package / "libquicksilver.so",
        root / "core" / "python" / "quicksilver.egg-info" / "PKG-INFO",
        root / ".build" / "arm64" / "runtime" / "python" / "__pycache__" / "runtime.cpython-312.pyc",
        root / ".build" / "arm64" / "core" / "python" / "__pycache__" / "core.cpython-313.opt-1.pyc",
    ):
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_text("anything")
    (package / "contract_draft.py").write_text("# for people only\n")
    # When it is synthesized
    same = synthesize(load_stage("dev"), root, tmp_path)
    # Then no function version changes
    assert same.scoring == synthesized("dev").scoring


def test_assets_hold_the_product_and_neither_the_cli_nor_markers(every_stage: Synthesized) -> None:
    files = {
        str(path.relative_to(every_stage.folder)) for path in every_stage.folder.rglob("*") if path.is_file()
    }
    shipped = {name.partition("/")[2] for name in files if name.startswith("asset.")}
    assert "python/quicksilver/settings.py" in shipped
    assert "handler.py" in shipped
    assert "python/runtime.py" in shipped
    assert "python/quicksilver/libquicksilver.so" in shipped
    tag = every_stage.stage.runtime.replace("python", "cpython-").replace(".", "")
    byte_code = {name for name in shipped if name.endswith(".pyc")}
    assert byte_code == {f"python/__pycache__/{name}.{tag}.pyc" for name in BUILT}
    assert {"python/quicksilver/packing.py", "python/quicksilver/gates/run.py"} <= shipped
    unwanted = (
        "quicksilver/cli/",
        "quicksilver/local/",
        "contract_draft.py",
        "gates/render.py",
        MARKER,
        "native/",
        ".egg-info",
    )
    assert [name for name in shipped if any(part in name for part in unwanted)] == []


def test_nothing_that_is_shipped_imports_what_no_layer_has(local: Synthesized) -> None:
    sources = [path for path in local.folder.rglob("quicksilver/**/*.py") if "asset." in str(path)]
    assert sources
    importing = {
        path.name
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
        if name.partition(".")[0] in IN_NO_LAYER
    }
    assert importing == set()


def test_an_endpoint_with_idempotency_keys_tells_its_function_how_long_they_last(local: Synthesized) -> None:
    told = {
        endpoint.name: {
            name: value
            for name, value in environment(function).items()
            if "IDEMPOTENCY" in name or "TIMEOUT" in name
        }
        for endpoint, function in score_functions(local)
    }
    assert told == {
        "card-fraud": {
            "QUICKSILVER_IDEMPOTENCY_TABLE": "a-deployed-name",
            "QUICKSILVER_IDEMPOTENCY_SECONDS": "86400",
            "QUICKSILVER_TIMEOUT_SECONDS": str(local.stage.endpoints[0].timeout_seconds),
        },
        "credit-line": {},
    }


# --- allowed little: test_permissions.py has it whole, and here is what must be so whatever the code calls ----------


def statements(synthesized: Synthesized) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every statement of every role's policies, with the logical id of the role."""
    for policy in synthesized.of_type("AWS::IAM::Policy").values():
        for role in policy["Properties"]["Roles"]:
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                yield role["Ref"], statement


def objects_allowed(synthesized: Synthesized, role: str) -> set[tuple[str, str]]:
    """Which verbs on objects a role has under which prefix."""
    found = set()
    for name, statement in statements(synthesized):
        actions, resources = (
            value if isinstance(value, list) else [value]
            for value in (statement["Action"], statement["Resource"])
        )
        for action, resource in itertools.product(actions, resources):
            if name[:-8] == role and action.startswith("s3:") and action.endswith("Object"):
                found.add((action, resource["Fn::Join"][1][-1]))
    return found


def test_the_registry_reads_packages_writes_evidence_and_changes_nothing_else(
    every_stage: Synthesized,
) -> None:
    assert objects_allowed(every_stage, "RegistryHandlerRole") == {
        ("s3:GetObject", "/packages/*"),
        ("s3:GetObject", "/evidence/*"),
        ("s3:PutObject", "/evidence/*"),
        ("s3:PutObject", "/contracts/*"),
    }


def test_outcomes_are_added_beside_predictions_and_nowhere_else(every_stage: Synthesized) -> None:
    assert objects_allowed(every_stage, "OutcomesRole") == {
        ("s3:PutObject", f"/outcomes/{endpoint.name}/*") for endpoint in every_stage.stage.endpoints
    }


def test_performance_reads_the_archive_and_writes_documents_alone(every_stage: Synthesized) -> None:
    assert objects_allowed(every_stage, "PerformanceHandlerRole") == {
        ("s3:GetObject", "/predictions/*"),
        ("s3:GetObject", "/outcomes/*"),
        ("s3:GetObject", "/packages/*"),
        ("s3:GetObject", "/monitoring/*"),
        ("s3:PutObject", "/monitoring/*"),
    } | (
        {("s3:GetObject", "/athena-results/*"), ("s3:PutObject", "/athena-results/*")}
        if every_stage.stage.analysis_engine is Engine.ATHENA
        else set()
    )


def test_performance_is_judged_by_the_policies_of_the_checkout(
    every_stage: Synthesized, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment(functions(every_stage)["performance"]).items():
        monkeypatch.setenv(variable, value)
    told = PerformanceSettings()
    assert told.engine is every_stage.stage.analysis_engine
    for endpoint in every_stage.stage.endpoints:
        assert told.drift_policies[endpoint.name] == told_policy(every_stage.stage, endpoint.name)
        assert 0 < told.cutoffs[endpoint.name] < 1


def test_outcomes_are_taken_for_the_stages_own_endpoints_before_the_gateway_gives_up(
    every_stage: Synthesized,
) -> None:
    function = functions(every_stage)["outcomes"]
    told = json.loads(environment(function)["QUICKSILVER_ENDPOINTS"])
    assert told == [endpoint.name for endpoint in every_stage.stage.endpoints]
    assert function["Properties"]["Timeout"] < GATEWAY_TIMEOUT_SECONDS


def test_the_registry_writes_items_in_transactions_only_and_deletes_none(every_stage: Synthesized) -> None:
    (writing,) = [
        statement
        for role, statement in statements(every_stage)
        if role.startswith("RegistryHandlerRole") and "dynamodb:PutItem" in statement["Action"]
    ]
    assert writing["Action"] == "dynamodb:PutItem"
    assert writing["Condition"] == {
        "ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}
    }


def test_one_role_alone_is_allowed_to_sign(every_stage: Synthesized) -> None:
    signing = [role for role, statement in statements(every_stage) if "kms:Sign" in statement["Action"]]
    assert [role[:-8] for role in signing] == ["RegistryHandlerRole"]


def test_the_registry_is_told_the_policies_as_they_stand_in_the_checkout(
    every_stage: Synthesized, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment(functions(every_stage)["registry"]).items():
        monkeypatch.setenv(variable, value)
    told = RegistrySettings().policies
    assert set(told) == {endpoint.name for endpoint in every_stage.stage.endpoints}
    for endpoint, policy in told.items():
        written = Policy.from_toml((ROOT / "policies" / f"{endpoint}.toml").read_text())
        assert policy.sha256 == written.sha256


def test_the_registry_answers_before_the_gateway_gives_up(every_stage: Synthesized) -> None:
    properties = functions(every_stage)["registry"]["Properties"]
    assert properties["Timeout"] < GATEWAY_TIMEOUT_SECONDS
    assert properties["MemorySize"] == ONE_VCPU_MIB


def test_redelivery_runs_every_minute_and_is_not_retried_in_between(every_stage: Synthesized) -> None:
    (rule,) = every_stage.of_type("AWS::Events::Rule", "scoring").values()
    assert rule["Properties"]["ScheduleExpression"] == "rate(1 minute)"
    (target,) = rule["Properties"]["Targets"]
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert functions(every_stage)["redeliver"]["Properties"]["Timeout"] < 60


def test_the_archive_is_filled_by_firehose_under_its_own_prefixes(every_stage: Synthesized) -> None:
    (delivery,) = every_stage.of_type("AWS::KinesisFirehose::DeliveryStream").values()
    target = delivery["Properties"]["ExtendedS3DestinationConfiguration"]
    assert delivery["Properties"]["DeliveryStreamType"] == "KinesisStreamAsSource"
    assert target["Prefix"] == "predictions/!{partitionKeyFromQuery:endpoint}/!{timestamp:yyyy/MM/dd/HH}/"
    assert target["DynamicPartitioningConfiguration"] == {"Enabled": True}
    (processor,) = target["ProcessingConfiguration"]["Processors"]
    assert {item["ParameterName"]: item["ParameterValue"] for item in processor["Parameters"]} == {
        "MetadataExtractionQuery": "{endpoint:.endpoint}",
        "JsonParsingEngine": "JQ-1.6",
    }
    assert target["ErrorOutputPrefix"].startswith("failed/")
    assert target["BufferingHints"] == {"IntervalInSeconds": 60, "SizeInMBs": 64}


def test_firehose_writes_parquet_by_the_table_in_the_catalog(aws_stage: Synthesized) -> None:
    (delivery,) = aws_stage.of_type("AWS::KinesisFirehose::DeliveryStream").values()
    target = delivery["Properties"]["ExtendedS3DestinationConfiguration"]
    conversion = target["DataFormatConversionConfiguration"]
    schema = conversion["SchemaConfiguration"]
    name, table = aws_stage.named("AWS::Glue::Table", "ArchiveTablesPredictionsRaw")
    assert schema["TableName"] == table["Properties"]["TableInput"]["Name"], name
    assert schema["DatabaseName"] == table["Properties"]["DatabaseName"]
    assert list(conversion["InputFormatConfiguration"]["Deserializer"]) == ["OpenXJsonSerDe"]
    assert conversion["OutputFormatConfiguration"]["Serializer"]["ParquetSerDe"] == {"Compression": "SNAPPY"}
    # What reads the archive knows Parquet by its name; and conversion takes no smaller buffer, and compresses by itself.
    assert (target["FileExtension"], target["CompressionFormat"]) == (".parquet", "UNCOMPRESSED")
    assert target["BufferingHints"]["SizeInMBs"] >= 64
    read = [
        resource["Fn::Join"][1][-1]
        for role, statement in statements(aws_stage)
        if role.startswith("Archive") and "glue:GetTable" in statement["Action"]
        for resource in statement["Resource"]
    ]
    assert read == [
        ":catalog", f":database/quicksilver_{aws_stage.stage.name}",
        f":table/quicksilver_{aws_stage.stage.name}/predictions_raw",
    ]  # fmt: skip


def test_an_emulated_archive_is_lines(local: Synthesized) -> None:
    (delivery,) = local.of_type("AWS::KinesisFirehose::DeliveryStream").values()
    target = delivery["Properties"]["ExtendedS3DestinationConfiguration"]
    assert not {"DataFormatConversionConfiguration", "FileExtension"} & {*target}
