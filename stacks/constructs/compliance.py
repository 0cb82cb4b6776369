"""cdk-nag at every synth, and the one way to acknowledge what it finds.

An acknowledgement names one finding on one construct and says why it stands. It is written next to
the construct it concerns, or in the construct that makes all of its kind; there are none for a whole stack.
"""

from __future__ import annotations

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks, PCIDSS321Checks, ServerlessChecks
from constructs import IConstruct


def check_every_synth(app: App) -> None:
    """Make each synth of the app fail on a finding that nobody has acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app), PCIDSS321Checks(app))


def acknowledge(construct: IConstruct, finding: str, *, reason: str) -> None:
    """Let one cdk-nag finding stand. ``finding`` is its whole id: ``AwsSolutions-IAM5[Resource::*]``."""
    Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))
