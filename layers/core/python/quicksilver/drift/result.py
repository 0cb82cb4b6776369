"""What a drift run says of one window: findings, one for each hypothesis, and which of them are an alarm.

A result is a document of ``monitoring.Kind.DRIFT`` under its window's name. The same counts under the same policy give
the same result.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName
from quicksilver.drift.counts import WindowCounts
from quicksilver.model_version import ModelName


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Aspect(StrEnum):
    """What of a feature, or of the scores, is compared."""

    DISTRIBUTION = "distribution"  # all bins together; the effect is the PSI less what chance adds to it
    MISSING = "missing"
    UNSEEN = "unseen"
    OUT_OF_RANGE = "out_of_range"
    APPROVAL = "approval"


class Baseline(StrEnum):
    """What a finding compares the window with."""

    REFERENCE = "reference"  # the reference profile
    SAME_WEEKDAY = "same_weekday"  # the same weekday of earlier weeks
    EARLIER = "earlier"  # earlier windows: of segments and approvals the reference profile knows nothing


class Distances(_Value):
    """How far two histograms are apart, each by its own formula (``drift.statistics``)."""

    psi: float
    jensen_shannon: float
    kolmogorov_smirnov: float | None
    """Of numbers only, on the bins' edges."""
    wasserstein: float | None
    """Of numbers only, in reference interquartile ranges."""
    chi_square: float


class Finding(_Value):
    """One hypothesis about one model version. ``feature`` is None for its scores.

    ``effect`` is what the policy bounds by ``limit``, ``p_value`` the probability of a difference as large by chance at
    these sizes, and ``significant`` what false discovery control makes of it. ``alarm`` is both significant and an
    effect at or over its limit.
    """

    model: ModelName
    feature: str | None
    segment: tuple[str, str | None] | None = None
    """The feature and its value, where this is about a segment of the traffic."""
    aspect: Aspect
    baseline: Baseline
    baseline_rows: int
    rows: int
    effect: float
    limit: float
    p_value: Annotated[float, Field(ge=0, le=1)]
    significant: bool
    alarm: bool
    distances: Distances | None = None
    importance: float | None = None
    sentence: str
    """For a person: "income: the distribution moved, PSI 0.11 (limit 0.02), p < 0.0001"."""

    @property
    def rank(self) -> float:
        """Importance times drift: what a report shows first. Without importance, drift alone."""
        return self.effect / self.limit * (1.0 if self.importance is None else self.importance)


class WindowResult(_Value):
    """A window's counts and what is made of them. ``revision`` rises each time records arrive after it was judged."""

    schema_version: Literal[1] = 1
    endpoint: EndpointName
    policy_version: int
    revision: Annotated[int, Field(ge=1)]
    judged_at: str
    counts: WindowCounts
    findings: tuple[Finding, ...]
    """Alarms first, by falling ``rank``; then the others likewise."""
    notes: tuple[str, ...] = ()
    """What a reader must know: an empty or partial window, unreadable objects, no reference profile, too few rows."""

    @property
    def alarms(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.alarm)
