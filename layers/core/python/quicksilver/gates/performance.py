"""The performance gate: how well the candidate ranks, how honest its probabilities are, and that it is no
worse than the champion on the same rows.

A bound on the candidate itself passes where the whole interval keeps it, warns where only the value does, and
fails where the value does not. Non-inferiority passes only where it is shown: the worse end of the interval of
the paired difference must lie above minus the margin (the two-sided interval makes it a test at half of
``1 - confidence``; ICH E9, section 3.3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quicksilver.frame import Bools, Floats
from quicksilver.gates.policy import PerformancePolicy
from quicksilver.gates.report import Check, Gate, Outcome
from quicksilver.gates.statistics import (
    Bootstrap,
    Estimate,
    Metrics,
    RocComponents,
    auc_difference,
    auc_estimate,
    bootstrap,
    roc_components,
)

LABELS = {"auc": "AUC", "ks": "KS", "brier": "Brier score", "log_loss": "log loss", "ece": "ECE"}


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of the same rows by candidate and champion; ``champion`` is None for a first model."""

    target: Bools
    candidate: Floats
    champion: Floats | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """One model's rankings and resampled metrics."""

    roc: RocComponents
    metrics: Bootstrap

    def estimate(self, metric: str, confidence: float) -> Estimate:
        if metric == "auc":
            return auc_estimate(self.roc, confidence)
        return self.metrics.estimate(metric, confidence)

    def minus(self, other: _Judged, metric: str, confidence: float) -> Estimate:
        if metric == "auc":
            return auc_difference(self.roc, other.roc, confidence)
        return self.metrics.difference(other.metrics, metric, confidence)


def performance_checks(
    scored: Scored,
    policy: PerformancePolicy,
    *,
    seed: int,
    step: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Check]:
    """The gate's checks. ``seed`` fixes the resamples: the same rows and models give the same numbers."""
    scores = [scored.candidate] + ([] if scored.champion is None else [scored.champion])
    resampled = bootstrap(
        [Metrics(each, scored.target) for each in scores],
        len(scored.target),
        policy.bootstrap_samples,
        seed,
        step,
    )
    judged = [
        _Judged(roc_components(each, scored.target), metrics)
        for each, metrics in zip(scores, resampled, strict=True)
    ]
    candidate, champion = judged[0], judged[1] if len(judged) > 1 else None
    rows = len(scored.target)
    checks = [
        _enough_rows(rows, policy),
        *(_own(metric, candidate, champion, policy, rows) for metric in LABELS),
    ]
    if champion is not None:
        margins = {
            "auc": policy.auc_margin,
            "ks": policy.ks_margin,
            "brier": policy.brier_margin,
            "log_loss": policy.log_loss_margin,
        }
        for metric, margin in margins.items():
            checks.append(_non_inferior(metric, candidate, champion, margin, policy, rows))
    return checks


def _enough_rows(rows: int, policy: PerformancePolicy) -> Check:
    enough = rows >= policy.min_rows
    return Check(
        gate=Gate.PERFORMANCE,
        name="rows",
        outcome=Outcome.PASS if enough else Outcome.FAIL,
        sentence=f"{rows:,} rows were scored; the policy asks for {policy.min_rows:,}.",
        value=rows,
        limit=policy.min_rows,
        rows=rows,
    )


def _own(
    metric: str, candidate: _Judged, champion: _Judged | None, policy: PerformancePolicy, rows: int
) -> Check:
    estimate = candidate.estimate(metric, policy.confidence)
    label, value = LABELS[metric], estimate.value
    limit, outcome = None, Outcome.PASS
    sentence = f"The {label} is {value:.4f}."
    if metric == "auc":
        limit = policy.min_auc
        outcome = _bounded(value >= limit, estimate.low >= limit)
        sentence = f"The AUC is {value:.4f} and must be at least {limit:g}."
    elif metric == "ece":
        limit = policy.max_ece
        outcome = _bounded(value <= limit, estimate.high <= limit)
        sentence = f"The ECE is {value:.4f} and may be at most {limit:g}."
    if outcome is Outcome.WARN:
        sentence += " It is so only within chance: the interval crosses the limit."
    return Check(
        gate=Gate.PERFORMANCE,
        name=metric,
        outcome=outcome,
        sentence=sentence,
        value=value,
        low=estimate.low,
        high=estimate.high,
        limit=limit,
        champion=None if champion is None else champion.estimate(metric, policy.confidence).value,
        rows=rows,
    )


def _bounded(value_holds: bool, interval_holds: bool) -> Outcome:
    if not value_holds:
        return Outcome.FAIL
    return Outcome.PASS if interval_holds else Outcome.WARN


def _non_inferior(
    metric: str, candidate: _Judged, champion: _Judged, margin: float, policy: PerformancePolicy, rows: int
) -> Check:
    """``value`` is how much better the candidate is; a Brier score and a log loss are better when lower."""
    if metric in ("auc", "ks"):
        better = candidate.minus(champion, metric, policy.confidence)
    else:
        better = champion.minus(candidate, metric, policy.confidence)
    # With no margin at all only one model is sure not to be worse: the champion itself.
    shown = better.low > -margin or (margin == 0 and better.low == 0 == better.value)
    label = LABELS[metric]
    if shown:
        sentence = f"The {label} is not worse than the champion's by {margin:g} or more."
    elif better.value > -margin:
        sentence = f"The {label} may be worse than the champion's by {margin:g} or more; the rows do not rule it out."
    else:
        sentence = f"The {label} is worse than the champion's by {-better.value:.4f}; {margin:g} is allowed."
    return Check(
        gate=Gate.PERFORMANCE,
        name=f"{metric}_non_inferior",
        outcome=Outcome.PASS if shown else Outcome.FAIL,
        sentence=sentence,
        value=better.value,
        low=better.low,
        high=better.high,
        limit=-margin,
        champion=champion.estimate(metric, policy.confidence).value,
        rows=rows,
    )
