"""The deployment to the emulator, with a script in the place of ``cdk`` that notes how it was called."""

import json
import sys
from pathlib import Path

import pytest

from quicksilver.errors import Unavailable
from quicksilver.local.deployment import Deployment
from quicksilver.local.emulator import Emulator, Status
from quicksilver.local.people import People

CDK = """
import json, os, pathlib, sys
notes = pathlib.Path(__file__).with_name("calls.jsonl")
with notes.open("a") as file:
    file.write(json.dumps({"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}) + "\\n")
if sys.argv[1] == "deploy":
    if pathlib.Path(__file__).with_name("fail").exists():
        print("the template is wrong", file=sys.stderr)
        sys.exit(3)
    print("quicksilver-local-data |  3/16 | 7:46:45 AM | CREATE_COMPLETE | AWS::S3::Bucket | B (B08E7C7AF)")
    outputs = sys.argv[sys.argv.index("--outputs-file") + 1]
    pathlib.Path(outputs).write_text(json.dumps({"quicksilver-local-data": {"FeaturesTable": "features"}}))
"""


class RunningEmulator(Emulator):
    """An emulator that says it is up."""

    def status(self) -> Status:
        return Status(running=True, healthy=True, url=self.url, log=self.log)


@pytest.fixture
def emulator(tmp_path: Path) -> Emulator:
    return RunningEmulator(tmp_path / "run", port=4600)


class Welcomed(People):
    """People who are let in by a note."""

    def ensure(self) -> None:
        (self._emulator.run_folder / "people").open("a").write("welcome\n")


@pytest.fixture
def people(emulator: Emulator) -> People:
    return Welcomed(emulator)


@pytest.fixture
def deployment(tmp_path: Path, emulator: Emulator, people: People) -> Deployment:
    script = tmp_path / "cdk.py"
    script.write_text(CDK)
    app = tmp_path / "app"
    app.mkdir()
    return Deployment(emulator, cdk=(sys.executable, str(script)), app=app, people=people)


def calls(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]


def verbs(tmp_path: Path) -> list[str]:
    return [call["arguments"][0] for call in calls(tmp_path)]  # type: ignore[index]


def test_the_first_deployment_bootstraps_and_later_ones_do_not(
    deployment: Deployment, tmp_path: Path
) -> None:
    deployment.deploy()
    deployment.deploy()
    assert verbs(tmp_path) == ["bootstrap", "deploy", "deploy"]


def test_bootstrap_runs_outside_the_apps_folder_and_deploy_inside(
    deployment: Deployment, tmp_path: Path
) -> None:
    deployment.deploy()
    bootstrap, deploy = calls(tmp_path)
    assert not Path(str(bootstrap["folder"])).is_relative_to(tmp_path / "app")
    assert deploy["folder"] == str(tmp_path / "app")


def test_deploy_returns_the_outputs_and_tells_its_progress(deployment: Deployment) -> None:
    steps: list[str] = []
    assert deployment.deploy(steps.append) == {"quicksilver-local-data": {"FeaturesTable": "features"}}
    assert "deploying quicksilver-local-data: 3 of 16 resources" in steps


def test_people_are_let_in_after_each_deployment_and_not_after_a_failed_one(
    deployment: Deployment, tmp_path: Path
) -> None:
    welcomed = tmp_path / "run" / "people"
    (tmp_path / "fail").touch()
    with pytest.raises(Unavailable):
        deployment.deploy()
    assert not welcomed.exists()
    (tmp_path / "fail").unlink()
    deployment.deploy()
    deployment.deploy()
    assert welcomed.read_text() == "welcome\nwelcome\n"


def test_cdk_is_given_the_emulator_and_never_the_persons_account(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    deployment.deploy()
    for call in calls(tmp_path):
        environment = call["environment"]
        assert isinstance(environment, dict)
        assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4600"
        assert environment["AWS_ACCESS_KEY_ID"] == "test"
        assert "AWS_PROFILE" not in environment
        assert Path(environment["HOME"]).is_relative_to(tmp_path / "run")


def test_a_failed_deployment_shows_the_end_of_its_log(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    with pytest.raises(Unavailable, match="cdk deploy failed with exit code 3") as raised:
        deployment.deploy()
    assert "the template is wrong" in raised.value.__notes__[-1]
    assert "the template is wrong" in deployment.log.read_text()


def test_a_missing_cdk_is_named_with_what_to_do(tmp_path: Path, emulator: Emulator) -> None:
    missing = tmp_path / "node_modules" / ".bin" / "cdk"
    with pytest.raises(Unavailable, match=f"{missing} cannot be started: No such file") as raised:
        Deployment(emulator, cdk=(str(missing),), app=tmp_path).deploy()
    assert raised.value.__notes__ == ["Set up anew: make clean setup"]


def test_nothing_is_deployed_while_the_folders_own_emulator_is_not_running(tmp_path: Path) -> None:
    """Even where another emulator answers on the port: its stacks, of the same names, would be replaced."""
    stopped = Emulator(tmp_path / "run", port=4600)
    with pytest.raises(Unavailable, match="not running"):
        Deployment(stopped, cdk=("false",), app=tmp_path).deploy()


def test_outputs_of_an_emulator_that_has_stopped_are_not_shown(
    deployment: Deployment, emulator: Emulator
) -> None:
    deployment.deploy()
    emulator.stop()
    assert deployment.outputs() == {}
