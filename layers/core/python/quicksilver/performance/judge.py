"""What is made of one window of one model version's predictions: an estimate always, a judgement when labels are ripe."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.drift_policy import DriftPolicy
from quicksilver.instants import utc_iso
from quicksilver.monitoring import Window
from quicksilver.performance.counts import Answered, Binned
from quicksilver.performance.estimated import as_they_are, calibration, estimated
from quicksilver.performance.realised import realised
from quicksilver.performance.result import PerformanceResult
from quicksilver.performance.selection import selection


@dataclass(frozen=True, slots=True)
class Case:
    """One window of one model version.

    ``earlier`` are the same model version's predictions in ripe windows that end before this one starts, so that no
    estimate knows its own labels. ``followed_days`` is how far the maturity curve reaches.
    """

    window: Window
    model: str
    answered: Answered
    earlier: Binned
    ripeness: float | None
    followed_days: int
    reference_auc: float | None
    now_ms: int


def judge(case: Case, policy: DriftPolicy) -> PerformanceResult:
    """The result of a window. The same case gives the same."""
    terms, binned, notes = policy.performance, case.answered.binned, []
    enough_before = case.earlier.labelled >= terms.min_labels and case.earlier.bad >= terms.min_bad
    if not enough_before:
        notes.append("No earlier windows with labels enough: the scores are taken as calibrated.")
    found = realised(binned)
    ripe = case.ripeness is not None and case.ripeness >= terms.ripe_share
    enough = binned.labelled >= terms.min_labels and binned.bad >= terms.min_bad
    if case.ripeness is None:
        notes.append(
            f"How many labels will come is not known: labels have been followed for {case.followed_days} days, "
            f"and are waited for {terms.label_days}."
        )
    elif ripe and not enough:
        notes.append(
            f"{binned.labelled:,} labels, {binned.bad:,} of them bad: the policy asks for {terms.min_labels:,} and "
            f"{terms.min_bad:,}."
        )
    if case.reference_auc is None:
        notes.append("The model package does not say the AUC at training: nothing is called degraded.")
    interval = found.auc_interval if found else None
    judged = ripe and enough
    degraded = bool(
        judged
        and interval
        and case.reference_auc is not None
        and interval[1] < case.reference_auc - terms.auc_margin
    )
    labelled = selection(case.answered)
    result = PerformanceResult(
        endpoint=policy.endpoint,
        window=case.window,
        model=case.model,
        policy_version=policy.version,
        judged_at=utc_iso(case.now_ms),
        predictions=case.answered.predictions,
        labelled=binned.labelled,
        bad=binned.bad,
        labelled_of_approved=labelled.approved,
        labelled_of_declined=labelled.declined,
        ripeness=case.ripeness,
        ripe=ripe,
        estimated=estimated(binned, calibration(case.earlier) if enough_before else as_they_are),
        realised=found.metrics if found else None,
        auc_interval=interval,
        reference_auc=case.reference_auc,
        judged=judged,
        degraded=degraded,
        sentence="",
        notes=(*notes, *([labelled.sentence] if judged else [])),
    )
    return result.model_copy(update={"sentence": _sentence(result)})


def _sentence(result: PerformanceResult) -> str:
    at_training = "" if result.reference_auc is None else f"; {result.reference_auc:.3f} at training"
    if result.judged and result.realised and result.realised.auc is not None and result.auc_interval:
        low, high = result.auc_interval
        verdict = "has degraded" if result.degraded else "holds"
        return (
            f"{result.model} {verdict}: AUC {result.realised.auc:.3f} ({low:.3f} to {high:.3f}) by "
            f"{result.labelled:,} labels{at_training}."
        )
    expected = result.estimated.auc
    words = "nothing can be estimated" if expected is None else f"AUC of about {expected:.3f} is expected"
    ripe = "" if result.ripeness is None else f", {result.ripeness:.0%} of those that will come"
    return (
        f"{result.model} is not judged yet: {words}{at_training}; {result.labelled:,} labels are there{ripe}."
    )
