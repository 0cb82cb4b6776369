"""What the registry's API takes, by kind of request."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.experiment_plan import Conclusion, ShareBp, TermsWanted
from quicksilver.gates.report import GateReport
from quicksilver.guard_policy import Guards
from quicksilver.model_version import ModelName, Reason, Sha256
from quicksilver.rollout.look import Look
from quicksilver.rollout_plan import BakeSeconds, StepsBp
from quicksilver.routing import FULL_SHARE_BP, Arm


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Register(_Body):
    package_sha256: Sha256


class Evidence(_Body):
    report: GateReport


class NewOverride(_Body):
    checks: Annotated[tuple[str, ...], Field(min_length=1)]
    reason: Reason
    expires_at: str


class Decision(_Body):
    reason: Reason


class StartRollout(_Body):
    model: ModelName
    steps_bp: StepsBp
    bake_seconds: BakeSeconds
    guards: Guards = Guards()
    reason: Reason


class RolloutDecision(_Body):
    expected: Annotated[int, Field(ge=1)]
    look: Look


class NewRoute(_Body):
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    reason: Reason
    expected: int | None = None
    holdout_bp: Annotated[int | None, Field(ge=0, le=FULL_SHARE_BP)] = None


class Shadow(_Body):
    model: ModelName
    reason: Reason


class StartExperiment(_Body):
    challenger: ModelName
    share_bp: ShareBp
    holdout_bp: Annotated[int | None, Field(ge=0, lt=FULL_SHARE_BP)] = None
    terms: TermsWanted = TermsWanted()
    reason: Reason


class EndExperiment(_Body):
    conclusion: Conclusion | None = None
    reason: Reason


class PromoteChallenger(EndExperiment):
    override: bool = False
