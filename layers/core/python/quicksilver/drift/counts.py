"""What one window of an endpoint's predictions came to, in bins. Edges are those of the reference profile, always."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName, FeatureName
from quicksilver.features import Cause
from quicksilver.model_version import ModelName, Sha256
from quicksilver.monitoring import Window
from quicksilver.profile import Histogram, NumericHistogram
from quicksilver.routing import Role

Count = Annotated[int, Field(ge=0)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scores(_Value):
    """The scores of some rows: ``approved`` are those below the endpoint's cut-off."""

    rows: Count
    effective_rows: Annotated[float, Field(ge=0)]
    """Rows as evidence: n / (sum(m^2) / n) for entities of m rows, where the policy counts entities; else n."""
    score: NumericHistogram
    approved: Count


class ArmCounts(Scores):
    """The rows that one model version scored. ``roles`` are those it had while it did."""

    model: ModelName
    package_sha256: Sha256
    fingerprint: Sha256
    roles: tuple[Role, ...]
    features: dict[FeatureName, Histogram]
    causes: dict[FeatureName, dict[Cause, Count]] = {}
    """Why a feature's own value was not used, and how often: only what occurred."""
    importance: dict[FeatureName, float] = {}
    """The mean absolute contribution to the raw score, of the answers that were explained; empty where none was."""


class SegmentCounts(Scores):
    """The rows of one model version in which a feature has one value (the contract's own name of it; null: missing)."""

    model: ModelName
    feature: FeatureName
    value: str | None


class WindowCounts(_Value):
    """Everything that is counted in one window.

    ``archived`` are the predictions in the archive, duplicates once, ``fallbacks`` those that no model version scored, and
    ``rolled_up`` what the rollup counted over the same time; None where it keeps nothing of it any more.
    """

    endpoint: EndpointName
    window: Window
    archived: Count
    fallbacks: Count
    rolled_up: Count | None
    skipped: tuple[str, ...] = ()
    """Objects of the archive that could not be read."""
    unprofiled: dict[str, Count] = {}
    """Rows by model version whose package or reference profile cannot be read: they are judged by nothing."""
    arms: tuple[ArmCounts, ...]
    segments: tuple[SegmentCounts, ...] = ()

    @property
    def complete(self) -> float | None:
        """The share of the counted records that are in the archive; None where nothing says how many there were."""
        if self.rolled_up is None:
            return None
        return min(1.0, self.archived / self.rolled_up) if self.rolled_up else 1.0
