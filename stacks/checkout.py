"""The commit that a stage is made from.

A stage that is deployed from commits only can be built again from what its stacks name. Synthesizing it to look at takes any tree.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from aws_cdk import App, Stack

from stacks.config import ConfigError, Stage

ROOT = Path(__file__).resolve().parents[1]

LOOK = "look"
"""The context that asks for templates to be looked at: ``-c look=true``."""

COMMIT = "quicksilver:commit"


def commit_of(stage: Stage, root: Path = ROOT) -> str:
    """The commit the tree at ``root`` is at. Raises ``ConfigError`` where it is not exactly that, or is no checkout."""
    changed = _git(root, stage, "status", "--porcelain").splitlines()
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ConfigError(
            f"Stage {stage.name} is deployed from a commit, and {changed[0][3:]}{more} differ from it; "
            f"commit them, or add -c {LOOK}=true to look at templates."
        )
    return _git(root, stage, "rev-parse", "HEAD").strip()


def required_commit(app: App, stage: Stage, root: Path = ROOT) -> str | None:
    """The commit that the stage asks to be made from; ``None`` where it asks for none, or its templates are to be looked at.

    Raises ``ConfigError`` for a tree that is no commit.
    """
    if not stage.from_clean_tree or str(app.node.try_get_context(LOOK)).lower() == "true":
        return None
    return commit_of(stage, root)


def name_commit(app: App, commit: str) -> None:
    """Write into each of the app's stacks, as metadata, which commit it is made from. Metadata alone changes no deployed stack."""
    for child in app.node.children:
        if isinstance(child, Stack):
            child.add_metadata(COMMIT, commit)


def _git(root: Path, stage: Stage, *words: str) -> str:
    try:
        run = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        raise ConfigError(
            f"Stage {stage.name} is deployed from a commit, and git finds none in this folder; clone the repository, "
            f"or add -c {LOOK}=true to look at templates."
        ) from None
    return run.stdout
