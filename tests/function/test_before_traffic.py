"""The before-traffic hook under AWS's own runtime client, asking two real function versions over HTTP.

One of the new ones is today's code, the others are doctored where a compiler, a library or a hand could change them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.execution_environment import ROOT, ExecutionEnvironment
from bench.loopback_http import LoopbackServer
from bench.runtime_api import Invocation, RuntimeApi
from tests.code_releases import one_ulp
from tests.function.caller import BODY, SECRETS
from tests.function.codedeploy import FUNCTION, CodeDeployAndLambda, appspec

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.function.scripted_aws import ScriptedAws

EVENT = json.loads((ROOT / "events" / "before_traffic.json").read_text())
SAVED = {
    "path": "/v1/card-fraud/score",
    "body": json.dumps(BODY),
    "requestContext": {"requestId": "saved"},
}

DOCTOR = """
import math
from dataclasses import replace

from quicksilver import evaluator

_evaluate = evaluator.LightGBMEvaluator.evaluate
_told = {told}


def evaluate(self, vector):
    evaluation = _evaluate(self, vector)
    if [*map(str, vector)] == _told:
        evaluation = replace(evaluation, {change})
    return evaluation


evaluator.LightGBMEvaluator.evaluate = evaluate
"""
RAW_SCORE = "raw_score=math.nextafter(evaluation.raw_score, math.inf)"
CONTRIBUTION = (
    "contributions=(math.nextafter(evaluation.contributions[0], math.inf), *evaluation.contributions[1:])"
)


class Release:
    """Function version 1 is live, and 2 is to be; the hook is told so as CodeDeploy tells it."""

    def __init__(self, aws: ScriptedAws, folder: Path, running: ExitStack) -> None:
        self._aws, self._folder, self._running = aws, folder, running
        self._apis: dict[str, RuntimeApi] = {}
        self.codedeploy = CodeDeployAndLambda(self._apis)
        server = LoopbackServer(lambda request: self.codedeploy.answer(request))
        server.start()
        running.callback(server.stop)
        self._address = f"http://{server.address}"
        self.publish("1")
        hook = folder / "hook"
        hook.mkdir()
        shutil.copy(ROOT / "lambdas" / "before_traffic" / "handler.py", hook)
        (hook / "events").mkdir()
        (hook / "events" / "score.json").write_text(json.dumps(SAVED))
        self.hook = self._start(hook, "1", self._hook_environment())

    def publish(self, version: str, doctor: str = "") -> None:
        """Today's code, with a change before anything is loaded."""
        folder = Path(self._folder, f"score-{version}-{len(doctor)}")
        folder.mkdir()
        handler = (ROOT / "lambdas" / "score" / "handler.py").read_text()
        future = "from __future__ import annotations\n"
        (folder / "handler.py").write_text(handler.replace(future, future + doctor))
        environment = {**self._aws.environment, "QUICKSILVER_DEADLINE_MS": "2000"}
        self._apis[version], _ = self._start(folder, version, environment)

    def run(self) -> Invocation:
        api, _ = self.hook
        invocation = api.begin(EVENT, timeout=60)
        invocation.wait_answered(120)
        return invocation

    @property
    def log(self) -> str:
        return self.hook[1].output

    def _start(
        self, folder: Path, version: str, environment: dict[str, str]
    ) -> tuple[RuntimeApi, ExecutionEnvironment]:
        api = self._running.enter_context(RuntimeApi(extensions=True))
        environment = {**environment, "AWS_LAMBDA_FUNCTION_VERSION": version}
        function = ExecutionEnvironment(api, environment=environment, folder=folder)
        return api, self._running.enter_context(function)

    def _hook_environment(self) -> dict[str, str]:
        theirs = self._aws.environment
        kept = ("QUICKSILVER_REGISTRY_TABLE", "QUICKSILVER_MODELS_BUCKET", "QUICKSILVER_SIGNING_KEY")
        return {
            **{name: value for name, value in theirs.items() if name.startswith("AWS_") or name in kept},
            "AWS_ENDPOINT_URL_LAMBDA": self._address,
            "AWS_ENDPOINT_URL_CODEDEPLOY": self._address,
            "POWERTOOLS_SERVICE_NAME": "before-traffic",
            "POWERTOOLS_METRICS_NAMESPACE": "Quicksilver",
            "QUICKSILVER_STAGE": "test",
            "QUICKSILVER_ALIAS": "live",
            "QUICKSILVER_FUNCTIONS": json.dumps({"card-fraud": FUNCTION}),
        }


@contextmanager
def new_release(aws: ScriptedAws, folder: Path) -> Iterator[Release]:
    with ExitStack() as running:
        yield Release(aws, folder, running)


@pytest.fixture
def release(aws: ScriptedAws, tmp_path: Path) -> Iterator[Release]:
    with new_release(aws, tmp_path) as release:
        yield release
        # A run that fails is logged by AWS's client, with our own sentence.
        assert [word for word in SECRETS if word in release.log and word != "Traceback"] == []
        # Nothing that was checked is a prediction.
        assert aws.recorded == []


def told(release: Release) -> str:
    """What CodeDeploy was told, of the very hook it had started."""
    (reported,) = release.codedeploy.reported
    assert reported["deploymentId"] == EVENT["DeploymentId"]
    assert reported["lifecycleEventHookExecutionId"] == EVENT["LifecycleEventHookExecutionId"]
    return reported["status"]


def test_the_same_code_is_let_through(release: Release) -> None:
    release.publish("2")
    invocation = release.run()
    assert told(release) == "Succeeded"
    assert invocation.body["said"] == [
        "card-fraud@1 (champion): 20 golden rows are given bit for bit, 20 of them compared with function version 1.",
        "card-fraud@1: 1 saved events are answered as by function version 1.",
    ]


def test_one_ulp_in_one_golden_row_is_refused(release: Release, package: Package) -> None:
    row = package.golden_rows[7]
    release.publish("2", DOCTOR.format(told=[*map(str, row.vector)], change=RAW_SCORE))
    invocation = release.run()
    assert told(release) == "Failed"
    sentence = (
        f"card-fraud@1, golden row 8: the raw score is {one_ulp(row.raw_score).hex()} "
        f"and must be {row.raw_score.hex()}."
    )
    assert invocation.body["said"] == [sentence]
    assert sentence in release.log


def test_one_ulp_in_one_contribution_of_one_golden_row_is_refused(release: Release, package: Package) -> None:
    row = package.golden_rows[7]
    release.publish("2", DOCTOR.format(told=[*map(str, row.vector)], change=CONTRIBUTION))
    (said,) = release.run().body["said"]
    assert told(release) == "Failed"
    assert said.startswith("card-fraud@1, golden row 8: the contribution of amount is ")


def test_one_ulp_on_a_saved_event_alone_is_refused(release: Release) -> None:
    vector = [812.4471, 1.0, 1.0, 3.0, 55.8213, 0.07]
    release.publish("2", DOCTOR.format(told=[*map(str, vector)], change=CONTRIBUTION))
    (said,) = release.run().body["said"]
    assert told(release) == "Failed"
    assert said.startswith("card-fraud@1, saved event score: its contribution of amount is ")


def test_a_function_version_that_does_not_start_or_is_not_there_is_refused(release: Release) -> None:
    (said,) = release.run().body["said"]
    assert told(release) == "Failed"
    assert said == "Function version 2 cannot be invoked: ResourceNotFoundException."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (appspec(target="$LATEST"), "TargetVersion"),
        (appspec(name="another-function"), "is not the alias live of a score function here"),
        (appspec(alias="other"), "is not the alias live of a score function here"),
        ('{"Resources": []}', "does not move a Lambda alias: Resources"),
        ("version: 0.0", "is not JSON of one Lambda function"),
    ],
)
def test_a_deployment_of_anything_else_is_refused(release: Release, content: str, sentence: str) -> None:
    release.codedeploy.content = content
    (said,) = release.run().body["said"]
    assert told(release) == "Failed"
    assert sentence in said


def test_an_answer_that_codedeploy_refuses_fails_the_run(release: Release) -> None:
    release.publish("2")
    release.codedeploy.refusal = "InvalidDeploymentIdException"
    invocation = release.run()
    assert invocation.failed
    assert "CodeDeploy does not take the hook's answer: InvalidDeploymentIdException" in str(invocation.body)
    # One that it has had already is no failure.
    release.codedeploy.refusal = "LifecycleEventAlreadyCompletedException"
    assert not release.run().failed


def test_the_log_says_nothing_of_the_answers(release: Release) -> None:
    release.publish("2")
    release.run()
    lines: list[dict[str, Any]] = [json.loads(line) for line in release.log.splitlines() if line[:1] == "{"]
    assert [line["message"][:20] for line in lines if "deployment" in line] == ["the release goes on:"]
