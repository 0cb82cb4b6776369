"""The region of a stage's stacks, where the stage says one."""

from __future__ import annotations

from aws_cdk import Environment

from stacks.config import Stage


def environment_of(stage: Stage) -> Environment | None:
    """What ``env`` of each of its stacks is: a stage of two regions must not be deployed to a third."""
    return Environment(region=stage.region) if stage.region else None
