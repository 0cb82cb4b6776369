"""What a performance run says of one window and one model version: what was estimated, and what was realised.

A result is a document of ``monitoring.Kind.PERFORMANCE``, named by its window and its model version.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName
from quicksilver.model_version import ModelName
from quicksilver.monitoring import Window

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Metrics(_Value):
    """``auc`` and ``ks`` are None where one class is missing. ``calibration`` is the expected calibration error."""

    auc: float | None
    ks: float | None
    brier: float | None
    calibration: float | None


class PerformanceResult(_Value):
    """``labelled`` of the ``predictions`` have an outcome, ``bad`` of them a bad one; ``ripeness`` is the share of the labels
    they will ever have that is there by now, by the maturity curve (None: there is no curve yet).

    A window is ``judged`` when it is ripe and has labels enough of both kinds; ``degraded`` says that its AUC is then below
    ``reference_auc`` by more than the policy's margin beyond chance: all of ``auc_interval`` is. What is judged stays so.
    """

    schema_version: Literal[1] = 1
    endpoint: EndpointName
    window: Window
    model: ModelName
    policy_version: int
    judged_at: str
    predictions: Count
    labelled: Count
    bad: Count
    labelled_of_approved: Share | None
    """Of those below the cut-off: declined applicants have few labels, or none, which selects who is judged."""
    labelled_of_declined: Share | None
    ripeness: Share | None
    ripe: bool
    estimated: Metrics
    """Before labels, from calibrated scores (CBPE)."""
    realised: Metrics | None
    auc_interval: tuple[float, float] | None
    reference_auc: float | None
    judged: bool = False
    degraded: bool
    sentence: str
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its document: by the window, then by the number of the model version."""
        return result_name(self.window, self.model)


def result_name(window: Window, model: ModelName) -> str:
    return f"{window.name}-{model.rpartition('@')[2]}"
