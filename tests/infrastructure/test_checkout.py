"""A stage that asks for it is made from a commit, and from nothing that differs from one."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from aws_cdk import App, Stack

from stacks.checkout import COMMIT, commit_of, name_commit, required_commit
from stacks.config import STAGES, ConfigError, load_stage

PROD = load_stage("prod")


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    run = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)  # noqa: S607
    return run.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "app.py").write_text("pass\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "One")
    return folder


def stack_metadata(app: App) -> object:
    (stack,) = (child for child in app.node.children if isinstance(child, Stack))
    return app.synth().get_stack_by_name(stack.stack_name).template.get("Metadata")


def test_prod_alone_asks_for_a_commit() -> None:
    assert [name for name in STAGES if load_stage(name).from_clean_tree] == ["prod"]


def test_a_clean_tree_is_the_commit_it_is_at(checkout: Path) -> None:
    assert commit_of(PROD, checkout) == git(checkout, "rev-parse", "HEAD").strip()


def test_the_commit_is_in_every_stack(checkout: Path, tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path / "out"))
    Stack(app, "One")
    commit = required_commit(app, PROD, checkout)
    assert commit == commit_of(PROD, checkout)
    name_commit(app, commit)
    assert stack_metadata(app) == {COMMIT: commit}


@pytest.mark.parametrize("change", ["edited", "new", "staged", "removed"])
def test_a_tree_that_differs_is_refused_naming_the_file(checkout: Path, change: str) -> None:
    if change == "new":
        (checkout / "new.py").write_text("pass\n")
    elif change == "removed":
        (checkout / "app.py").unlink()
    else:
        (checkout / "app.py").write_text("raise\n")
        if change == "staged":
            git(checkout, "add", ".")
    with pytest.raises(ConfigError) as refused:
        commit_of(PROD, checkout)
    name = "new.py" if change == "new" else "app.py"
    assert str(refused.value) == (
        f"Stage prod is deployed from a commit, and {name} differ from it; "
        "commit them, or add -c look=true to look at templates."
    )


def test_several_files_are_counted(checkout: Path) -> None:
    (checkout / "a.py").write_text("pass\n")
    (checkout / "b.py").write_text("pass\n")
    with pytest.raises(ConfigError, match=r"a\.py and 1 more differ"):
        commit_of(PROD, checkout)


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ConfigError, match="git finds none in this folder; clone the repository"):
        commit_of(PROD, tmp_path)


def test_a_machine_without_git_is_told_the_same(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="git finds none"):
        commit_of(PROD, checkout)


@pytest.mark.parametrize("how", ["another stage", "to look at"])
def test_what_is_not_deployed_from_commits_takes_any_tree(checkout: Path, tmp_path: Path, how: str) -> None:
    (checkout / "app.py").write_text("raise\n")
    app = App(outdir=str(tmp_path / "out"), context={"look": "true"} if how == "to look at" else None)
    stage = PROD if how == "to look at" else replace(PROD, from_clean_tree=False)
    assert required_commit(app, stage, checkout) is None
