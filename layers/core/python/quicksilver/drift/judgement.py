"""The judgement of a window: every hypothesis about it, and which of them are an alarm.

An alarm needs three things: a p-value at the window's own size, false discovery control over all hypotheses of the window,
and an effect worth acting on. The same counts under the same policy are judged the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from quicksilver.drift import discovery
from quicksilver.drift.baselines import (
    Sample,
    Standard,
    arms_of,
    comparable,
    reference_standard,
    require_rows,
    require_same_bins,
    sample_of,
    seasonal_standard,
    summed,
)
from quicksilver.drift.counts import ArmCounts, SegmentCounts, WindowCounts
from quicksilver.drift.hypotheses import (
    Hypothesis,
    Subject,
    corrected_psi,
    of_approval,
    of_distribution,
    of_feature,
)
from quicksilver.drift.result import Baseline, Finding
from quicksilver.drift.sentences import percent, sentence
from quicksilver.drift_policy import DriftPolicy, Season
from quicksilver.model_version import ModelName
from quicksilver.profile import ReferenceProfile

_DRAWS_PER_HYPOTHESIS = 2
"""A simulated p-value can be half of what the smallest of all must be to be a finding."""


def judge(
    counts: WindowCounts,
    profiles: Mapping[ModelName, ReferenceProfile],
    earlier: Sequence[WindowCounts],
    policy: DriftPolicy,
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Findings, alarms first by falling rank and then the others likewise; and what a reader of them must know.

    ``profiles`` are the reference profiles of the model versions that answered. ``earlier`` are counts of windows before,
    in any order: the last ``EARLIER_WINDOWS``, or those of ``SEASON_WEEKS`` weeks if the policy's season is weekly; others
    are passed over. Raises ``InvalidData`` naming a field whose bins are not those of the reference profile.
    """
    judgement = _Judgement(counts, profiles, comparable(counts.window, earlier, policy), policy)
    hypotheses = list(judgement.hypotheses())
    return _found(hypotheses, policy.fdr), (*_of_window(counts, policy), *judgement.notes)


def _found(hypotheses: Sequence[Hypothesis], rate: float) -> tuple[Finding, ...]:
    draws = max(19_999, math.ceil(_DRAWS_PER_HYPOTHESIS * len(hypotheses) / rate))
    p_values = [each.p_value(draws=draws) for each in hypotheses]
    found = [
        _finding(*each) for each in zip(hypotheses, p_values, discovery.findings(p_values, rate), strict=True)
    ]
    return tuple(sorted(found, key=_order))


def _finding(hypothesis: Hypothesis, p_value: float, significant: bool) -> Finding:
    subject = hypothesis.subject
    return Finding(
        model=subject.model,
        feature=subject.feature,
        segment=subject.segment,
        aspect=hypothesis.aspect,
        baseline=hypothesis.baseline,
        baseline_rows=hypothesis.baseline_rows,
        rows=hypothesis.rows,
        effect=hypothesis.effect,
        limit=hypothesis.limit,
        p_value=p_value,
        significant=significant,
        alarm=significant and hypothesis.effect >= hypothesis.limit,
        distances=hypothesis.distances,
        importance=subject.importance,
        sentence=sentence(hypothesis, p_value, significant=significant),
    )


def _order(finding: Finding) -> tuple[bool, float, str, str, str, str]:
    # Of equal rank, in an order that depends on nothing but names.
    return (
        not finding.alarm, -finding.rank,
        finding.model, finding.feature or "", repr(finding.segment), finding.aspect,
    )  # fmt: skip


class _Judgement:
    """The hypotheses of one window, and notes on what of it could not be judged, or not as it should be."""

    def __init__(
        self,
        counts: WindowCounts,
        profiles: Mapping[ModelName, ReferenceProfile],
        before: Sequence[WindowCounts],
        policy: DriftPolicy,
    ) -> None:
        self._counts, self._profiles, self._before, self._policy = counts, profiles, before, policy
        self.notes: list[str] = []

    def hypotheses(self) -> Iterator[Hypothesis]:
        small: list[str] = []
        for arm in self._counts.arms:
            segments = [each for each in self._counts.segments if each.model == arm.model]
            profile = self._profiles.get(arm.model)
            if profile is None:
                self._note(arm, f"has no reference profile: its {arm.rows:,} rows are judged by nothing")
            elif arm.rows < self._policy.min_rows:
                self._note(
                    arm,
                    f"answered {arm.rows:,} requests: fewer than {self._policy.min_rows:,} are not judged",
                )
            else:
                yield from self._of_arm(arm, profile)
                for segment in segments:
                    if segment.rows >= self._policy.min_rows:
                        yield from self._of_segment(segment, profile)
                    elif segment.rows:
                        value = "missing" if segment.value is None else segment.value
                        small.append(f"{segment.feature} {value} of {arm.model} ({segment.rows:,})")
        if small:
            self.notes.append(
                f"Segments of fewer than {self._policy.min_rows:,} rows are not judged: {', '.join(small)}."
            )

    def _of_arm(self, arm: ArmCounts, profile: ReferenceProfile) -> Iterator[Hypothesis]:
        standard = self._standard(arm, profile)
        if apart := sorted(profile.features.keys() ^ arm.features.keys()):
            gone = [name for name in apart if name in profile.features]
            new = [name for name in apart if name not in profile.features]
            if gone:
                self._note(arm, f"has features that were not counted in this window: {', '.join(gone)}")
            if new:
                self._note(arm, f"has features that its reference profile lacks: {', '.join(new)}")
        for feature, (baseline, reference) in standard.features.items():
            if feature not in arm.features:
                continue
            histogram = arm.features[feature]
            field = f"{arm.model}, features.{feature}"
            require_same_bins(profile.features[feature], histogram, field)
            require_rows(arm, histogram, field)
            subject = Subject(arm.model, feature, importance=arm.importance.get(feature))
            current = Sample(histogram, arm.effective_rows)
            yield from of_feature(subject, baseline, reference, current, self._policy.effects)
        require_same_bins(profile.score, arm.score, f"{arm.model}, score")
        require_rows(arm, arm.score, f"{arm.model}, score")
        subject, (baseline, reference) = Subject(arm.model), standard.score
        yield of_distribution(subject, baseline, reference, sample_of(arm), self._policy.effects)
        before = self._past(profile, arms_of(arm.model, self._before))
        if before and before.rows >= self._policy.min_rows:
            yield of_approval(subject, self._earlier, before, sample_of(arm), self._policy.effects)
        else:
            self._note(arm, "has too few earlier windows to compare its approvals and segments with")

    def _of_segment(self, segment: SegmentCounts, profile: ReferenceProfile) -> Iterator[Hypothesis]:
        field = f"{segment.model}, score where {segment.feature} is {segment.value}"
        require_same_bins(profile.score, segment.score, field)
        require_rows(segment, segment.score, field)
        before = self._past(
            profile,
            (
                each
                for window in self._before
                for each in window.segments
                if (each.model, each.feature, each.value) == (segment.model, segment.feature, segment.value)
            ),
        )
        if before and before.rows >= self._policy.min_rows:
            subject = Subject(segment.model, segment=(segment.feature, segment.value))
            yield of_distribution(subject, self._earlier, before, sample_of(segment), self._policy.effects)
            yield of_approval(subject, self._earlier, before, sample_of(segment), self._policy.effects)

    def _past(self, profile: ReferenceProfile, scores: Iterable[ArmCounts | SegmentCounts]) -> Sample | None:
        """The scores and approvals of earlier windows as one sample; None where there are none."""
        samples = []
        for each in scores:
            require_same_bins(profile.score, each.score, f"{each.model}, score, in an earlier window")
            samples.append(sample_of(each))
        return summed(samples)

    @property
    def _earlier(self) -> Baseline:
        """What earlier windows are called that a window is compared with."""
        return Baseline.SAME_WEEKDAY if self._policy.season is Season.WEEKLY else Baseline.EARLIER

    def _standard(self, arm: ArmCounts, profile: ReferenceProfile) -> Standard:
        if self._policy.season is not Season.WEEKLY:
            return reference_standard(profile)
        before = arms_of(arm.model, self._before)
        if sum(each.rows for each in before) < self._policy.min_rows:
            self._note(
                arm,
                "has no earlier weeks to compare this weekday with: it is compared with its reference profile",
            )
            return reference_standard(profile)
        standard = seasonal_standard(profile, before)
        self._say_what_moved_before(arm, profile, standard)
        return standard

    def _say_what_moved_before(self, arm: ArmCounts, profile: ReferenceProfile, standard: Standard) -> None:
        """A baseline that moves takes drift along. It is no finding of this window, and nobody should miss it."""
        moved = [
            f"{name} (PSI {psi:.2g})"
            for name, (_, sample) in standard.features.items()
            if (psi := corrected_psi(Sample(profile.features[name], profile.rows), sample))
            >= self._policy.effects.psi
        ]
        if moved:
            self._note(
                arm,
                f"is compared with weeks that had themselves moved from its reference profile: {', '.join(moved)}",
            )

    def _note(self, arm: ArmCounts, text: str) -> None:
        self.notes.append(f"{arm.model} {text}.")


def _of_window(counts: WindowCounts, policy: DriftPolicy) -> Iterator[str]:
    """What is to be known of a window whatever its findings."""
    if not counts.archived:
        yield "No prediction is in the archive for this window."
    if counts.complete is not None and counts.complete < policy.min_complete:
        yield (
            f"The archive holds {percent(counts.complete)} of the {counts.rolled_up:,} predictions that the rollup counted: "
            "the window is partial, and judged by what is there."
        )
    if counts.fallbacks:
        yield f"{counts.fallbacks:,} predictions have no vector, for no model answered them: they are in no histogram."
    if counts.skipped:
        some = ", ".join((*counts.skipped[:3], *(["..."] if len(counts.skipped) > 3 else [])))
        yield f"{len(counts.skipped):,} objects of the archive could not be read: {some}."
    for model, rows in sorted(counts.unprofiled.items()):
        yield f"{model} has no reference profile that can be read: its {rows:,} rows are judged by nothing."
