"""The stacks of a stage in their order, and what must hold of them as a whole."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App

from stacks.checkout import name_commit, required_commit
from stacks.config import Stage, load_stage
from stacks.config.delivery import Delivery, load_delivery
from stacks.constructs.compliance import check_every_synth
from stacks.constructs.function import check_reserved
from stacks.constructs.layers import LAYERS_ROOT
from stacks.constructs.weights import refuse_provisioned_aliases
from stacks.control_stack import ControlStack
from stacks.data_stack import DataStack
from stacks.delivery_stack import DeliveryStack
from stacks.monitoring_stack import MonitoringStack
from stacks.operations_stack import OperationsStack
from stacks.policies import POLICIES_ROOT
from stacks.required_alarms import require_alarms
from stacks.scoring_stack import ScoringStack


def synthesize(app: App) -> None:
    """Write what the app's context asks for. Raises ``ConfigError`` for what cannot be built."""
    delivery = load_delivery(app.node.try_get_context)
    if delivery is not None:
        build_delivery(app, delivery)
        app.synth()
        return
    stage = load_stage(app.node.try_get_context("stage")).on_side(app.node.try_get_context("side"))
    commit = required_commit(app, stage)
    build(app, stage)
    if commit is not None:
        name_commit(app, commit)
    stacks = {stack.stack_name: stack.template for stack in app.synth().stacks}
    if stage.answers:
        require_alarms(stage, stacks)


def build(
    app: App, stage: Stage, *, layers_root: Path = LAYERS_ROOT, policies_root: Path = POLICIES_ROOT
) -> None:
    """Make the stage's stacks. Raises ``ConfigError``."""
    check_every_synth(app)
    _build_stacks(app, stage, layers_root, policies_root)
    refuse_provisioned_aliases(app)
    check_reserved(app, stage)


def _build_stacks(app: App, stage: Stage, layers_root: Path, policies_root: Path) -> None:
    data = DataStack(app, stage=stage)
    if not stage.answers:
        return
    scoring = ScoringStack(app, stage=stage, data=data, layers_root=layers_root)
    if not stage.decides:
        # A standby answers before anybody has told it to decide.
        OperationsStack(app, stage=stage, data=data, scoring=scoring, watched=[data, scoring])
        return
    control = ControlStack(app, stage=stage, data=data, layers_root=layers_root, policies_root=policies_root)
    # The scoring API gives the account the role that every API's access log needs.
    control.add_stack_dependency(scoring)
    monitoring = MonitoringStack(
        app, stage=stage, data=data, control=control, layers_root=layers_root, policies_root=policies_root
    )
    if not stage.emulated:
        OperationsStack(
            app, stage=stage, data=data, scoring=scoring, watched=[data, scoring, control, monitoring]
        )


def build_delivery(app: App, delivery: Delivery) -> None:
    check_every_synth(app)
    DeliveryStack(app, delivery=delivery)
