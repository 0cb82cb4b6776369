"""What watches: drift and performance by schedule, over the archive, and retraining when they ask for it.

All of it can be rebuilt from the checkout; what it finds is in the archive. Its functions compute, query and draw, so they
carry the analysis layer too. Every grant is written here or in the construct where both parties are visible.
"""

from __future__ import annotations

from pathlib import Path

from aws_cdk import Stack
from constructs import Construct

from stacks.config import Stage
from stacks.constructs.drift import Drift
from stacks.constructs.layers import LAYERS_ROOT, Layers
from stacks.constructs.performance import Performance
from stacks.constructs.retraining import Retraining
from stacks.constructs.stage_region import environment_of
from stacks.control_stack import ControlStack
from stacks.data_stack import DataStack
from stacks.policies import POLICIES_ROOT, cutoffs_json, drift_policies_json, policies_json


class MonitoringStack(Stack):
    """The monitoring of one stage, over the stores of its ``DataStack``; it announces where its ``ControlStack`` does."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        data: DataStack,
        control: ControlStack,
        layers_root: Path = LAYERS_ROOT,
        policies_root: Path = POLICIES_ROOT,
    ) -> None:
        super().__init__(
            scope,
            f"quicksilver-{stage.name}-monitoring",
            env=environment_of(stage),
            description=f"Quicksilver {stage.name}: drift, performance and retraining",
        )
        layers = Layers(self, "AnalysisLayers", stage=stage, root=layers_root, analysis=True)
        drift_policies = drift_policies_json(stage, policies_root)
        cutoffs = cutoffs_json(stage, policies_root)
        Drift(
            self,
            "Drift",
            stage=stage,
            data=data,
            control=control,
            layers=layers,
            policies=drift_policies,
            cutoffs=cutoffs,
        )
        Performance(
            self,
            "Performance",
            stage=stage,
            data=data,
            control=control,
            layers=layers,
            drift_policies=drift_policies,
            cutoffs=cutoffs,
        )
        Retraining(
            self,
            "Retraining",
            stage=stage,
            data=data,
            control=control,
            layers=layers,
            drift_policies=drift_policies,
            gate_policies=policies_json(stage, policies_root),
        )
