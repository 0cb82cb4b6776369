"""The GitHub workflows: what linters know, and the rules of ours that keep a change from reaching further than it may."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from delivery.workflows import FOLDER, ROOT, findings, scripts, workflows

WORKFLOWS = workflows()
TEXTS = {name: (ROOT / FOLDER / name).read_text() for name in WORKFLOWS}
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

MAY_WRITE = {
    ("deploy.yml", "attest"): {"attestations": "write", "id-token": "write"},
    ("pull-request.yml", "comment"): {"pull-requests": "write"},
}
"""Every job that may write anything at GitHub; the rest read, and take a role at AWS at most."""

TAKES_A_ROLE = {
    ("deploy-stage.yml", "plan"): {"diff"},
    ("deploy-stage.yml", "deploy"): {"deploy", "doctor"},
    ("model.yml", "gate"): {"gate"},
    ("model.yml", "register"): {"register"},
    ("model.yml", "rollout"): {"rollout"},
    ("pull-request.yml", "deployed"): {"diff"},
}
"""Every job that takes a role at AWS, and which; each but the readers of templates is behind an environment or reads only."""


def triggers(workflow: Mapping[Any, Any]) -> Mapping[str, Any]:
    on: Mapping[str, Any] = workflow[True]
    return on


def jobs() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for file, workflow in WORKFLOWS.items():
        for name, job in workflow["jobs"].items():
            yield file, name, job


JOBS = list(jobs())
STEPS = [(file, name, step) for file, name, job in JOBS for step in job.get("steps", ())]
AT = [f"{file}:{name}" for file, name, _ in JOBS]


def test_actionlint_zizmor_and_shellcheck_find_nothing() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (("make setup", "echo ${{ github.head_ref }}"), "head_ref"),
        (("runs-on: ubuntu-24.04", "runs-on: ubuntu-1.04"), "ubuntu-1.04"),
        (("make synth", "cat $HOME/x"), "SC2086"),
        (("persist-credentials: false", "clean: true"), "artipacked"),
        (("@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "@v5"), "unpinned-uses"),
    ],
    ids=["injection", "runner", "script", "credentials", "pin"],
)
def test_what_is_wrong_is_found(harm: tuple[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    before, after = harm
    assert before in TEXTS["ci.yml"]
    (tmp_path / FOLDER / "ci.yml").write_text(TEXTS["ci.yml"].replace(before, after))
    shutil.copy(ROOT / ".github" / "zizmor.yml", tmp_path / ".github")
    assert said in "\n".join(findings(tmp_path))


def test_every_action_is_a_commit_with_the_name_of_its_release() -> None:
    used = [
        (file, line.partition("uses:")[2].strip())
        for file, text in TEXTS.items()
        for line in text.splitlines()
        if "uses:" in line
    ]
    assert len(used) == sum("uses" in step for _, _, step in STEPS) + sum("uses" in job for _, _, job in JOBS)
    assert [
        (file, uses) for file, uses in used if not PINNED.fullmatch(uses) and not uses.startswith("./")
    ] == []


def test_an_action_is_the_same_release_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for text in TEXTS.values():
        for action, commit in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", text):
            pins.setdefault(action, set()).add(commit)
    assert {action: len(commits) for action, commits in pins.items()} == dict.fromkeys(pins, 1)


@pytest.mark.parametrize(("file", "name", "job"), JOBS, ids=AT)
def test_a_job_ends_in_time(file: str, name: str, job: Mapping[str, Any]) -> None:
    assert ("uses" in job) != ("timeout-minutes" in job), "a called workflow says it for its own jobs"


@pytest.mark.parametrize("file", WORKFLOWS)
def test_a_workflow_runs_one_at_a_time_where_it_matters(file: str) -> None:
    workflow = WORKFLOWS[file]
    every = [workflow, *workflow["jobs"].values()]
    assert any("concurrency" in each for each in every)


@pytest.mark.parametrize(("file", "name", "job"), JOBS, ids=AT)
def test_a_job_may_read_and_what_else_it_may_is_known_here(
    file: str, name: str, job: Mapping[str, Any]
) -> None:
    assert WORKFLOWS[file]["permissions"] in ({}, {"contents": "read"})
    permissions = job.get("permissions", WORKFLOWS[file]["permissions"])
    writes = {scope: access for scope, access in permissions.items() if access != "read"}
    allowed = MAY_WRITE.get((file, name), {})
    if (file, name) in TAKES_A_ROLE or "uses" in job:
        allowed = {"id-token": "write"}
    assert writes == allowed


def test_a_role_is_taken_where_it_is_known_here_and_by_an_account_that_is_named() -> None:
    taken: dict[tuple[str, str], set[str]] = {}
    for file, name, step in STEPS:
        if "configure-aws-credentials" in step.get("uses", ""):
            given = step["with"]
            account = given["allowed-account-ids"]
            role = given["role-to-assume"].removeprefix(f"arn:aws:iam::{account}:role/quicksilver-")
            taken.setdefault((file, name), set()).add(role.rpartition("-")[2])
    assert taken == TAKES_A_ROLE
    assert not [text for text in TEXTS.values() if re.search(r"aws-access-key|AWS_SECRET|secrets\.", text)]


@pytest.mark.parametrize(
    ("file", "name", "environment"),
    [
        ("deploy-stage.yml", "plan", "diff"),
        ("deploy-stage.yml", "deploy", "${{ inputs.stage }}"),
        ("model.yml", "register", "${{ inputs.stage }}-models"),
        ("model.yml", "rollout", "${{ inputs.stage }}-rollout"),
    ],
)
def test_a_job_that_changes_something_is_behind_its_environment(
    file: str, name: str, environment: str
) -> None:
    assert WORKFLOWS[file]["jobs"][name]["environment"] == environment


def test_no_script_holds_an_expression() -> None:
    """What an expression stands for becomes part of the program; through the environment it stays a value."""
    with_one = [
        (file, where)
        for file, workflow in WORKFLOWS.items()
        for where, script in scripts(workflow)
        if "${{" in script
    ]
    assert with_one == []


def test_no_workflow_runs_a_strangers_change_with_rights_of_ours() -> None:
    assert [
        file
        for file, workflow in WORKFLOWS.items()
        if {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers(workflow))
    ] == []


def test_what_a_pull_request_runs_has_no_right_to_write_or_to_take_a_role() -> None:
    for name, job in WORKFLOWS["pull-request.yml"]["jobs"].items():
        steps = job["steps"]
        trusted = set(job["permissions"].items()) - {("contents", "read")}
        checked_out = [
            step["with"].get("ref", "the change") for step in steps if "checkout" in step.get("uses", "")
        ]
        if trusted:
            assert "github.event.pull_request.head.repo.full_name == github.repository" in job["if"], name
            assert set(checked_out) <= {"${{ github.event.pull_request.base.sha }}"}, name


def test_a_checkout_leaves_no_token_behind() -> None:
    kept = [
        (file, name)
        for file, name, step in STEPS
        if "actions/checkout" in step.get("uses", "") and step["with"].get("persist-credentials") is not False
    ]
    assert kept == []


def test_a_release_is_built_once_signed_and_opened_before_it_is_deployed() -> None:
    release = WORKFLOWS["deploy.yml"]["jobs"]
    order = {name: job.get("needs") for name, job in release.items()}
    assert order == {
        "tested": None,
        "build": "tested",
        "attest": "build",
        "dev": "attest",
        "staging": "dev",
        "prod": "staging",
    }
    assert not any("run" in step for step in release["attest"]["steps"]), "what signs runs no program of ours"
    runs = [
        step.get("run", step.get("uses", "")).split("@")[0]
        for step in WORKFLOWS["deploy-stage.yml"]["jobs"]["deploy"]["steps"]
    ]
    opened, role, deployed = (
        runs.index(what)
        for what in (
            "make open-release",
            "aws-actions/configure-aws-credentials",
            'make deploy STAGE="$STAGE"',
        )
    )
    assert opened < role < deployed
    assert not [run for run in runs if "synth" in run or "assembly" in run]


def test_every_make_target_of_a_workflow_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for workflow in WORKFLOWS.values()
        for _, script in scripts(workflow)
        for target in re.findall(r"(?:^|\s)make ([a-z-]+)", script)
    }
    assert {"actionlint", "release", "deploy"} <= named <= targets


def test_no_workflow_approves_a_model_version() -> None:
    said = [
        script
        for workflow in WORKFLOWS.values()
        for _, script in scripts(workflow)
        for line in script.splitlines()
        if re.search(r"quicksilver model (approve|override|reject|retire)", line)
        and not line.strip().startswith("printf")
    ]
    assert said == []
