"""The doctor's round: every check is made, what cannot be seen has failed, and the command says so."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from quicksilver.cli import app as cli
from quicksilver.doctor.examination import Round
from quicksilver.doctor.finding import Examination, Finding, Health
from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import NotFound, QuicksilverError, Unavailable
from quicksilver.memory import MemoryRollupStore
from quicksilver.stage_state import (
    AlarmState,
    AliasState,
    ApiAnswered,
    FunctionState,
    KeptObject,
    Resource,
    StackState,
    TableState,
)

if TYPE_CHECKING:
    from tests.unit.conftest import Bench

runner = CliRunner()

STACK = "quicksilver-prod-scoring"
ENVIRONMENT = {
    "QUICKSILVER_STAGE": "prod",
    "QUICKSILVER_PREDICTIONS_STREAM": "stream",
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
}
COUNTING = {
    "QUICKSILVER_STAGE": "prod",
    "QUICKSILVER_ROLLUP_TABLE": "rollup",
    "QUICKSILVER_CUTOFFS": '{"card-fraud": 0.5}',
}
JUDGING = {
    **ENVIRONMENT,
    **COUNTING,
    "QUICKSILVER_DRIFT_POLICIES": DriftPolicy(endpoint="card-fraud", version=1)
    .model_dump_json()
    .join(('{"card-fraud": ', "}")),
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_EVENT_BUS": "default",
    "QUICKSILVER_TOPIC": "topic",
}
SCORING = {
    **ENVIRONMENT,
    "QUICKSILVER_ENDPOINT": "card-fraud",
    "QUICKSILVER_FEATURES_TABLE": "features",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_SIGNING_KEY": "key",
}


def function(service: str) -> Resource:
    return Resource(
        STACK, "Function00000001", "AWS::Lambda::Function", f"quicksilver-prod-{service}", {"Environment": {}}
    )


class Reader:
    """A stage that is well, as it is read; a test spoils what it wants. An error in the place of a state is raised."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {
            "stacks": [StackState(STACK, "UPDATE_COMPLETE")],
            "resources": [
                function("redeliver"),
                function("rollup"),
                function("drift"),
                function("score-card-fraud"),
                Resource(
                    STACK,
                    "Live00000001",
                    "AWS::Lambda::Alias",
                    "arn:aws:lambda:eu-central-1:1:function:quicksilver-prod-score-card-fraud:live",
                    {},
                ),
                Resource(STACK, "Registry00000001", "AWS::DynamoDB::Table", "registry", {}),
            ],
            "quicksilver-prod-rollup": FunctionState("Active", "Successful", "t", COUNTING),
            "quicksilver-prod-drift": FunctionState("Active", "Successful", "t", JUDGING),
            "quicksilver-prod-redeliver": FunctionState("Active", "Successful", "t", ENVIRONMENT),
            "quicksilver-prod-score-card-fraud": FunctionState("Active", "Successful", "t", SCORING),
            "quicksilver-prod-score-card-fraud:live": AliasState("7", {}, "Active", []),
            "registry": TableState("ACTIVE", True, "t", True, ""),
            "alarms": [AlarmState("a", "OK", "t", "It is slow.")],
            "skew": 0,
        }
        self.kept: list[KeptObject] = []

    def _(self, name: str) -> Any:
        seen = self.seen[name]
        if isinstance(seen, QuicksilverError):
            raise seen
        return seen

    def stacks(self) -> Any:
        return self._("stacks")

    def resources(self) -> Any:
        return self._("resources")

    def function(self, name: str) -> Any:
        return self._(name)

    def alias(self, function: str, name: str) -> Any:
        return self._(f"{function}:{name}")

    def table(self, name: str) -> Any:
        return self._(name)

    def alarms(self) -> Any:
        return self._("alarms")

    def skew_ms(self) -> Any:
        return self._("skew")

    def folders(self, bucket: str, prefix: str) -> Any:
        return sorted(
            {"/".join(item.key.split("/")[:2]) + "/" for item in self.kept if item.key.startswith(prefix)}
        )

    def objects(self, bucket: str, prefix: str, *, after: str = "", most: int = 0) -> Any:
        return [item for item in self.kept if item.key.startswith(prefix) and item.key > after]


class Api:
    """An API that refuses strangers and lets the function refuse an empty request."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answer: ApiAnswered | None = None

    def unsigned(self, path: str) -> int:
        return 403

    def without_key(self, path: str) -> int:
        return 403

    def post(self, path: str, body: Any) -> ApiAnswered:
        self.asked.append((path, body))
        if body and self.answer:
            return self.answer
        return ApiAnswered(422, {"errors": [{"field": "entity_id", "reason": "Field required"}]})


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def round_(bench: Bench, reader: Reader, api: Api) -> Round:
    deployed: Any = SimpleNamespace(
        stage="prod",
        outputs={"ArchiveBucket": "archive"},
        registry_store=bench.registry_store,
        artifacts=bench.artifacts,
        signer=bench.signer,
        rollup=MemoryRollupStore(),
        drift_policies={"card-fraud": DriftPolicy(endpoint="card-fraud", version=1)},
    )
    return Round(deployed, reader, lambda: api, bench.clock)  # type: ignore[arg-type]


def failed(seen: Examination) -> list[tuple[str, str]]:
    return [(finding.area, finding.subject) for finding in seen.of(Health.FAIL)]


def test_a_stage_that_is_well_is_said_to_be(round_: Round) -> None:
    steps: list[tuple[int, int]] = []
    seen = round_.examine(lambda _, done, total: steps.append((done, total)))
    assert seen.well, failed(seen)
    assert not seen.of(Health.WARN)
    assert steps[0][0] == 0
    assert steps[-1] == (steps[0][1], steps[0][1])


def test_without_a_probe_no_request_is_scored(round_: Round, api: Api) -> None:
    seen = round_.examine()
    assert api.asked == [("/v1/card-fraud/score", {})]
    assert "card-fraud scores" in [finding.subject for finding in seen.of(Health.SKIPPED)]


def test_a_probe_scores_a_golden_row_of_the_champion_and_looks_for_its_record(
    round_: Round, api: Api
) -> None:
    answer = {"score": 0.5, "raw_score": 0.0, "model": "card-fraud@1", "route": 1, "prediction_id": "p-1"}
    api.answer = ApiAnswered(200, answer)
    looked_for: list[tuple[str, str]] = []

    def watch(endpoint: str, prediction_id: str) -> tuple[int | None, int]:
        looked_for.append((endpoint, prediction_id))
        return None, 180

    seen = round_.examine(probe=watch)
    assert looked_for == [("card-fraud", "p-1")]
    path, body = api.asked[-1]
    assert (path, body["entity_id"]) == ("/v1/card-fraud/score", "quicksilver-doctor")
    assert failed(seen) == [("api", "card-fraud is archived")]


def test_what_is_gone_and_what_cannot_be_seen_have_failed_and_all_else_is_still_looked_at(
    round_: Round, reader: Reader
) -> None:
    reader.seen["registry"] = NotFound("There is no registry.")
    reader.seen["quicksilver-prod-redeliver"] = Unavailable("AWS does not say: AccessDenied.")
    reader.seen["alarms"] = Unavailable("AWS does not say: AccessDenied.")
    seen = round_.examine()
    assert failed(seen) == [
        ("unseen", "function quicksilver-prod-redeliver"),
        ("missing", "registry"),
        ("unseen", "alarms"),
    ]
    assert all(finding.next for finding in seen.of(Health.FAIL))


def test_a_function_that_the_doctor_does_not_know_is_not_called_well(round_: Round, reader: Reader) -> None:
    reader.seen["resources"].append(function("newcomer"))
    reader.seen["quicksilver-prod-newcomer"] = FunctionState("Active", "Successful", "t", {})
    assert [finding.subject for finding in round_.examine().of(Health.WARN)] == ["environment of newcomer"]


def test_a_restored_table_is_judged_by_what_its_own_was_asked_for(round_: Round, reader: Reader) -> None:
    round_._deployed.outputs["RegistryTable"] = "registry-restored"  # type: ignore[index]
    reader.seen["registry-restored"] = TableState("ACTIVE", False, "", False, "")
    assert failed(round_.examine()) == [("stores", "table Registry (restored)")]
    reader.seen["registry-restored"] = NotFound("There is no registry-restored.")
    assert failed(round_.examine()) == [("missing", "table registry-restored")]


def test_a_standby_counts_and_judges_nothing_and_is_not_blamed_for_it(round_: Round, reader: Reader) -> None:
    standby = [item for item in reader.seen["resources"] if not item.name.endswith(("-rollup", "-drift"))]
    reader.seen["resources"] = standby
    reader.kept = [KeptObject("predictions/card-fraud/2999/01/01/00/a", 4_000_000_000_000)]
    seen = round_.examine()
    assert seen.well, failed(seen)
    assert {"records of card-fraud", "monitoring of card-fraud"} <= {
        finding.subject for finding in seen.of(Health.SKIPPED)
    }


def test_a_function_of_another_hand_is_left_alone(round_: Round, reader: Reader) -> None:
    other = Resource(STACK, "Custom000001", "AWS::Lambda::Function", "AutoDelete", {})
    reader.seen["resources"].append(other)
    assert round_.examine().well


def test_a_champion_whose_bytes_are_gone_is_found(round_: Round, bench: Bench) -> None:
    bench.artifacts.files.clear()
    assert failed(round_.examine()) == [("registry", "card-fraud")]


def test_an_endpoint_without_a_route_is_a_warning(round_: Round, bench: Bench) -> None:
    for kept in (bench.registry_store._heads, bench.registry_store._routes, bench.registry_store._entries):
        kept.clear()
    assert [finding.area for finding in round_.examine().of(Health.WARN)] == ["registry"]


def test_only_records_that_were_refused_in_the_last_day_are_told(
    round_: Round, reader: Reader, bench: Bench
) -> None:
    now_ms = bench.clock.now_ms()
    reader.kept = [KeptObject("failed/format-conversion-failed/2001/01/01/00/a", now_ms)]
    assert round_.examine().well
    reader.kept.append(KeptObject("failed/format-conversion-failed/2999/01/01/00/b", now_ms))
    assert failed(round_.examine()) == [("records", "failed deliveries")]


@pytest.mark.parametrize(("skew_ms", "health"), [(29_000, "ok"), (-60_000, "warn"), (300_000, "fail")])
def test_a_clock_that_is_off_is_told_before_signatures_are_refused(
    round_: Round, reader: Reader, skew_ms: int, health: str
) -> None:
    reader.seen["skew"] = skew_ms
    (finding,) = (item for item in round_.examine().findings if item.area == "clock")
    assert finding.health.value == health


def test_a_stage_that_is_not_deployed_is_one_sentence(round_: Round, reader: Reader) -> None:
    reader.seen["stacks"] = [replace(stack, status="") for stack in reader.seen["stacks"]]
    with pytest.raises(NotFound, match="The stage prod is not deployed here"):
        round_.examine()


# -- the command --


@pytest.fixture
def command(round_: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = SimpleNamespace(reader=None, probed_api=None)
    monkeypatch.setattr("quicksilver.cli.doctor.deployed_stage", lambda _: stage)
    monkeypatch.setattr("quicksilver.cli.doctor.Round", lambda *_: round_)


def run(*arguments: str) -> Any:
    return runner.invoke(cli.app, ["doctor", "--stage", "prod", *arguments])


def test_the_command_is_quiet_about_what_is_well_and_exits_with_0(command: None) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "prod is well" in result.stdout
    assert "functions: redeliver" not in result.stdout
    assert "functions: redeliver" in run("--all").stdout


def test_the_command_shows_what_failed_and_what_to_do_and_exits_with_1(command: None, reader: Reader) -> None:
    reader.seen["quicksilver-prod-score-card-fraud:live"] = NotFound("There is no alias.")
    result = run()
    assert result.exit_code == 1
    assert "There is no alias." in result.stdout
    assert "The stage prod is not well: 1 findings have failed." in result.stderr


def test_the_command_gives_json(command: None, reader: Reader) -> None:
    reader.seen["skew"] = 300_000
    result = run("--json")
    content = json.loads(result.stdout)
    assert (result.exit_code, content["well"]) == (1, False)
    assert {finding["health"] for finding in content["findings"]} >= {"ok", "fail"}
    assert set(content["findings"][0]) == set(Finding.__slots__)


def test_without_credentials_the_command_says_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    result = run()
    assert result.exit_code == 1
    assert "NoCredentialsError" in result.stderr
    assert "Traceback" not in result.stderr
