"""The report of an experiment: its judgement now, how it came to be, and one sentence for a reader in a hurry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from quicksilver.experiment.verdict import (
    BETTER,
    MIN_ENTITIES,
    MIN_OF_CLASS,
    Arms,
    Difference,
    Judgement,
    Ratio,
    Shares,
    entities_needed,
    judge,
)
from quicksilver.experiment_plan import Conclusion, Measure, Number, Verdict
from quicksilver.frame import Ints
from quicksilver.instants import utc_iso
from quicksilver.reports.experiment_data import ExperimentData, Found

LOOKS = 240
"""Moments at which the picture over time looks back."""
DAY_MS = 86_400_000

WORDS = {
    Measure.EXPECTED_LOSS: "expected loss",
    Measure.AUC: "AUC",
    Measure.KS: "KS",
    Measure.LOG_LOSS: "log loss",
    Measure.APPROVAL_RATE: "approval rate",
}


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm's entities: how many there are, how many were seen long enough ago, and how many of these have an outcome."""

    arm: str
    model: str
    share: float
    entities: int
    ripe: int
    outcomes: int
    bads: int


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """An experiment as it stands at ``at_ms``; ``over_time`` has the judgement at each of ``looks_ms``, the last being now."""

    found: Found
    at_ms: int
    arms: tuple[ArmRow, ...]
    looks_ms: Ints
    over_time: Judgement
    now: Judgement
    needed: int | None
    per_day: float

    @property
    def verdict(self) -> Verdict:
        return Verdict(str(self.now.verdict))

    def conclusion(self) -> Conclusion:
        """What the history is told of this report."""
        return Conclusion(
            experiment=self.found.experiment.number,
            verdict=self.verdict,
            sentence=self.sentence,
            at=utc_iso(self.at_ms),
            numbers=self._numbers(),
        )

    def _numbers(self) -> dict[str, Number]:
        numbers: dict[str, Number] = {}
        for row in self.arms:
            numbers |= {f"{row.arm}.entities": row.entities, f"{row.arm}.outcomes": row.outcomes}
        for measure, difference in self.now.differences.items():
            for name in ("value", "low", "high"):
                numbers[f"{measure}.{name}"] = finite(getattr(difference, name))
        numbers["needed"] = self.needed
        return numbers

    @property
    def sentence(self) -> str:
        """The verdict and its reason."""
        challenger, primary = self.found.experiment.challenger, self.now.primary
        terms = self.found.experiment.terms
        match self.verdict:
            case Verdict.INVALID:
                return self._what_is_wrong()
            case Verdict.WIN | Verdict.LOSS as verdict:
                verb = "wins" if verdict is Verdict.WIN else "loses"
                return f"{challenger} {verb}: {self._compared(primary)}."
            case Verdict.NO_DIFFERENCE:
                return f"No difference worth having: {self._compared(primary)}, within ±{terms.minimum_effect:g}."
            case _:
                return f"Not yet: {self._what_is_missing()}."

    def _compared(self, difference: Difference) -> str:
        value, low, high = (float(getattr(difference, name)) for name in ("value", "low", "high"))
        level = 100 * (1 - self.found.experiment.terms.alpha)
        return (
            f"its {WORDS[difference.measure]} is {abs(value):.3g} {'lower' if value < 0 else 'higher'} than the champion's "
            f"(at any time, with {level:g} %: {low:.3g} to {high:.3g})"
        )

    def _what_is_wrong(self) -> str:
        whose, ratio = ("entities", self.now.assigned)
        if not bool(ratio.mismatch):
            whose, ratio = ("entities with an outcome", self.now.known)
        seen, expected = int(ratio.counts[0]), float(ratio.shares[0] * ratio.counts.sum())
        return (
            f"Invalid: the challenger has {seen:,} of {int(ratio.counts.sum()):,} {whose}, and its share makes {expected:,.0f}; "
            "nothing can be concluded until it is known why."
        )

    def _what_is_missing(self) -> str:
        for row in self.arms[:2]:
            goods = row.outcomes - row.bads
            for count, needed, what in (
                (row.outcomes, MIN_ENTITIES, "entities with an outcome"),
                (row.bads, MIN_OF_CLASS, "bad outcomes"),
                (goods, MIN_OF_CLASS, "good outcomes"),
            ):
                if count < needed:
                    return (
                        f"the {row.arm} has {count:,} of the {needed:,} {what} from which on anything is said"
                    )
        if math.isnan(float(self.now.primary.radius)):
            return f"the arms' {WORDS[self.now.primary.measure]} does not vary yet"
        said = self._compared(self.now.primary)
        if self.needed is None:
            return f"{said}, which is too little to say how many entities a verdict needs"
        days = (
            f", some {self.needed / self.per_day:,.1f} days at the present pace" if self.per_day > 0 else ""
        )
        return f"{said}; about {self.needed:,} more entities with an outcome are needed{days}"

    def document(self) -> dict[str, Any]:
        """The report as JSON takes it; what is not known yet is null."""
        primary = self.over_time.primary
        return {
            "experiment": self.found.experiment.model_dump(mode="json"),
            "champion": self.found.champion,
            "holdout_bp": self.found.holdout_bp,
            **self.conclusion().model_dump(mode="json", include={"verdict", "sentence", "at"}),
            "needed": self.needed,
            "arms": [{name: getattr(row, name) for name in ArmRow.__slots__} for row in self.arms],
            "measures": [self._row(difference) for difference in self.now.differences.values()],
            "ratios": {"entities": _ratio(self.now.assigned), "outcomes": _ratio(self.now.known)},
            "over_time": [
                {
                    "at": utc_iso(int(at)),
                    "verdict": str(verdict),
                    **{name: finite(getattr(primary, name)[look]) for name in ("value", "low", "high")},
                }
                for look, (at, verdict) in enumerate(zip(self.looks_ms, self.over_time.verdict, strict=True))
            ],
        }

    def _row(self, difference: Difference) -> dict[str, Any]:
        numbers = ("challenger", "champion", "value", "low", "high")
        return {
            "measure": difference.measure.value,
            "primary": difference.measure is self.found.experiment.terms.primary,
            "better": BETTER[difference.measure],
            **{name: finite(getattr(difference, name)) for name in numbers},
        }


def finite(value: Any) -> float | None:
    """A number for JSON."""
    return float(value) if np.isfinite(value) else None


def _ratio(ratio: Ratio) -> dict[str, Any]:
    return {
        "counts": ratio.counts.tolist(),
        "shares": list(ratio.shares),
        "log_evidence": float(ratio.evidence),
        "mismatch": bool(ratio.mismatch),
    }


def report(found: Found, data: ExperimentData, *, now_ms: int) -> ExperimentReport:
    """The report at a moment, of everything that the archive had then."""
    experiment = found.experiment
    terms, shares = experiment.terms, Shares.of(experiment.share_bp, found.holdout_bp)
    started_ms = min(found.started_ms, now_ms - 1)  # this machine's clock may be behind the registry's
    looks = np.unique(np.linspace(started_ms, now_ms, LOOKS + 1).astype(np.int64)[1:])
    sums = data.arms_at(looks, terms.cutoff)
    now = judge(terms, shares, Arms(*(arm[-1] for arm in sums)))
    over_time = judge(terms, shares, sums)
    known = over_time.primary.entities
    half = len(looks) // 2
    days = float(looks[-1] - looks[half]) / DAY_MS
    rows = (
        ArmRow(
            arm=name,
            model=model,
            share=share,
            entities=int(arm.entities[-1]),
            ripe=data.ripe(getattr(data, name), now_ms),
            outcomes=int(arm.outcomes[-1]),
            bads=int(arm.bads[-1]),
        )
        for name, model, share, arm in zip(
            Arms._fields, (experiment.challenger, found.champion, found.champion), shares, sums, strict=True
        )
    )
    return ExperimentReport(
        found=found,
        at_ms=now_ms,
        arms=tuple(rows),
        looks_ms=looks,
        over_time=over_time,
        now=now,
        needed=entities_needed(now),
        per_day=float(known[-1] - known[half]) / days if days else 0.0,
    )
