"""The report on drift: what the drift runs found over a span of windows, put in order for a reader.

Nothing is judged here. Findings are those of the windows' results; histograms of the reference are the model packages'
own. Off the request path; needs no library, so that the drift function can write the page an alarm links to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from quicksilver.contract import Contract
from quicksilver.drift.counts import ArmCounts, SegmentCounts
from quicksilver.drift.result import Aspect, Finding, WindowResult
from quicksilver.errors import NotFound
from quicksilver.instants import utc_iso
from quicksilver.profile import NumericHistogram, ReferenceProfile
from quicksilver.reports.drift_bars import Bars, compare
from quicksilver.routing import Role

RISKIEST = 0.1
"""The share of the reference's scores that are called its riskiest."""


class Reference(Protocol):
    """What a model version's package says of it: the names of its features' values, and what they were like."""

    @property
    def contract(self) -> Contract: ...

    @property
    def profile(self) -> ReferenceProfile: ...


class Standing(StrEnum):
    DRIFTED = "drifted"  # the last window that was judged has an alarm
    QUIET_AGAIN = "quiet_again"  # an earlier one has
    QUIET = "quiet"
    NOT_JUDGED = "not_judged"  # no window had enough rows


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WindowLine(_Value):
    """One window: ``complete`` is the share of the counted records that are in the archive, where that is known."""

    name: str
    start_ms: int
    end_ms: int
    predictions: int
    complete: float | None
    revision: int
    judged: bool
    alarms: int
    first: str | None
    """The alarm that ranks first, in words."""

    @property
    def words(self) -> str:
        return span_words(self.start_ms, self.end_ms)


class EffectPoint(_Value):
    """An effect in the window that starts at ``start_ms``."""

    start_ms: int
    effect: float
    alarm: bool


class FeatureDrift(_Value):
    """A feature of one model version in the window that is shown. ``findings`` by falling rank, the ``leading`` one first;
    ``over_time`` is the leading finding's effect in every window that has it."""

    model: str
    feature: str
    findings: tuple[Finding, ...]
    over_time: tuple[EffectPoint, ...]
    strength: tuple[EffectPoint, ...]
    """In each window, the largest effect of any aspect as a multiple of its limit."""
    bars: Bars | None
    """None where the package, or the window's counts of this feature, cannot be had."""

    @property
    def leading(self) -> Finding:
        return self.findings[0]

    @property
    def alarm(self) -> bool:
        return any(finding.alarm for finding in self.findings)

    @property
    def windows_in_alarm(self) -> int:
        return sum(point.alarm for point in self.strength)


class ScorePoint(_Value):
    """What a model version answered in one window. ``riskiest`` is the share of its scores that would have been among the
    reference's riskiest."""

    start_ms: int
    rows: int
    approved: float
    riskiest: float | None
    psi: float | None


class ModelScores(_Value):
    """``expected`` is the reference's own share of ``riskiest``: a tenth, as nearly as its bins allow."""

    model: str
    roles: tuple[Role, ...]
    expected: float | None
    points: tuple[ScorePoint, ...]
    bars: Bars | None


class SegmentLine(_Value):
    """A segment in the window that is shown; ``findings`` are those about it."""

    model: str
    segment: str
    rows: int
    approved: float | None
    findings: tuple[Finding, ...]


class Note(_Value):
    """What a reader must know, of how many windows, and of which last."""

    text: str
    windows: int
    last: str


class DriftReport(_Value):
    """``shown`` is the window that features, arms and segments are of: the last with an alarm, or the last judged."""

    endpoint: str
    since: str
    until: str
    standing: Standing
    sentence: str
    windows: tuple[WindowLine, ...]
    shown: WindowLine | None
    alarms: tuple[Finding, ...]
    features: tuple[FeatureDrift, ...]
    scores: tuple[ModelScores, ...]
    segments: tuple[SegmentLine, ...]
    notes: tuple[Note, ...]
    skipped: tuple[str, ...]


def report(results: Sequence[WindowResult], references: Mapping[str, Reference]) -> DriftReport:
    """The report on these windows of one endpoint, in whatever order they come. ``references`` by model version; one that
    cannot be had is left out.

    Raises ``NotFound`` where there are no windows.
    """
    if not results:
        raise NotFound("No window has been judged yet.")
    results = _since_the_first_prediction(sorted(results, key=lambda result: result.counts.window.start_ms))
    lines = tuple(map(_line, results))
    judged = [result for result in results if result.findings]
    in_alarm = [result for result in judged if result.alarms]
    shown = in_alarm[-1] if in_alarm else judged[-1] if judged else None
    standing = _standing(judged)
    return DriftReport(
        endpoint=results[-1].endpoint,
        since=utc_iso(lines[0].start_ms),
        until=utc_iso(lines[-1].end_ms),
        standing=standing,
        sentence=_sentence(standing, results, judged, shown),
        windows=lines,
        shown=_line(shown) if shown else None,
        alarms=shown.alarms if shown else (),
        features=_features(shown, results, references) if shown else (),
        scores=_scores(results, shown, references),
        segments=_segments(shown) if shown else (),
        notes=_notes(results),
        skipped=tuple(dict.fromkeys(key for result in results for key in result.counts.skipped)),
    )


def _since_the_first_prediction(results: Sequence[WindowResult]) -> Sequence[WindowResult]:
    """A first run looks at days before the endpoint's life, of which there is nothing to say."""
    first = next((place for place, result in enumerate(results) if result.counts.archived), 0)
    return results[first:]


def span_words(start_ms: int, end_ms: int) -> str:
    """A window for a person: a whole UTC day by its date alone."""
    start, end = utc_iso(start_ms), utc_iso(end_ms)
    if end_ms - start_ms == 86_400_000 and start[11:19] == "00:00:00":
        return start[:10]
    last = end[11:16] if start[:10] == end[:10] else f"{end[:10]} {end[11:16]}"
    return f"{start[:10]} {start[11:16]} to {last}"


def _line(result: WindowResult) -> WindowLine:
    window, alarms = result.counts.window, result.alarms
    return WindowLine(
        name=window.name,
        start_ms=window.start_ms,
        end_ms=window.end_ms,
        predictions=result.counts.archived,
        complete=result.counts.complete,
        revision=result.revision,
        judged=bool(result.findings),
        alarms=len(alarms),
        first=alarms[0].sentence if alarms else None,
    )


# -- the sentence --


def _standing(judged: Sequence[WindowResult]) -> Standing:
    if not judged:
        return Standing.NOT_JUDGED
    if judged[-1].alarms:
        return Standing.DRIFTED
    return Standing.QUIET_AGAIN if any(result.alarms for result in judged) else Standing.QUIET


def _sentence(
    standing: Standing,
    results: Sequence[WindowResult],
    judged: Sequence[WindowResult],
    shown: WindowResult | None,
) -> str:
    endpoint = results[-1].endpoint
    if shown is None:
        return f"Of {endpoint} nothing can be said: none of {_windows(len(results))} had enough rows to be judged."
    if standing is Standing.QUIET:
        return f"{endpoint} is as its models were trained: no alarm in {_windows(len(judged))}."
    first = shown.alarms[0]
    said = f"first of all, {first.sentence.rstrip('.')}."
    if standing is Standing.QUIET_AGAIN:
        count = sum(1 for result in judged if result.alarms)
        last = _line(shown).words
        return f"{endpoint} is quiet now, but {count} of {_windows(len(judged))} had an alarm, {last} the last; {said}"
    since = judged[-1]
    in_a_row = 0
    for result in reversed(judged):
        if not result.alarms:
            break
        since, in_a_row = result, in_a_row + 1
    return f"{endpoint} has drifted: {_windows(in_a_row)} in a row with an alarm, since {_line(since).words}; {said}"


def _windows(count: int) -> str:
    return f"{count:,} window{'' if count == 1 else 's'}"


# -- features --


def _features(
    shown: WindowResult, results: Sequence[WindowResult], references: Mapping[str, Reference]
) -> tuple[FeatureDrift, ...]:
    """Those that have findings, alarms first and then by falling rank, as the findings themselves are."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for finding in shown.findings:
        if finding.feature is not None and finding.segment is None:
            found.setdefault((finding.model, finding.feature), []).append(finding)
    drifts = []
    for (model, feature), findings in found.items():
        findings.sort(key=lambda finding: (not finding.alarm, -finding.rank))
        history = [(result.counts.window.start_ms, _of(result, model, feature)) for result in results]
        aspect = findings[0].aspect
        drifts.append(
            FeatureDrift(
                model=model,
                feature=feature,
                findings=tuple(findings),
                over_time=tuple(
                    EffectPoint(start_ms=at, effect=finding.effect, alarm=finding.alarm)
                    for at, those in history
                    for finding in those
                    if finding.aspect is aspect
                ),
                strength=tuple(
                    EffectPoint(
                        start_ms=at,
                        effect=max(finding.effect / finding.limit for finding in those),
                        alarm=any(finding.alarm for finding in those),
                    )
                    for at, those in history
                    if those
                ),
                bars=_feature_bars(shown, model, feature, references),
            )
        )
    return tuple(sorted(drifts, key=lambda drift: (not drift.alarm, -drift.leading.rank, drift.feature)))


def _of(result: WindowResult, model: str, feature: str | None) -> list[Finding]:
    """What a window says of a feature of a model version, or of its scores, in all of its traffic."""
    return [
        finding
        for finding in result.findings
        if finding.model == model and finding.feature == feature and finding.segment is None
    ]


def _feature_bars(
    shown: WindowResult, model: str, feature: str, references: Mapping[str, Reference]
) -> Bars | None:
    reference, arm = references.get(model), _arm(shown, model)
    if reference is None or arm is None or feature not in arm.features:
        return None
    declared = next((each for each in reference.contract.features if each.name == feature), None)
    profiled = reference.profile.features.get(feature)
    if declared is None or profiled is None:
        return None
    return compare(profiled, arm.features[feature], declared)


def _arm(result: WindowResult, model: str) -> ArmCounts | None:
    return next((arm for arm in result.counts.arms if arm.model == model), None)


# -- scores --


def _scores(
    results: Sequence[WindowResult], shown: WindowResult | None, references: Mapping[str, Reference]
) -> tuple[ModelScores, ...]:
    """Every model version that answered, the one with the most rows first."""
    models: dict[str, int] = {}
    for result in results:
        for each in result.counts.arms:
            models[each.model] = models.get(each.model, 0) + each.rows
    found = []
    for model in sorted(models, key=lambda name: (-models[name], name)):
        reference = references.get(model)
        profiled = reference.profile.score if reference else None
        riskiest = _riskiest_from(profiled) if profiled else None
        seen = [(result, arm) for result in results if (arm := _arm(result, model)) is not None and arm.rows]
        latest = _arm(shown, model) if shown else None
        found.append(
            ModelScores(
                model=model,
                roles=tuple(dict.fromkeys(role for _, arm in seen for role in arm.roles)),
                expected=None if profiled is None or riskiest is None else _share_from(profiled, riskiest),
                points=tuple(
                    ScorePoint(
                        start_ms=result.counts.window.start_ms,
                        rows=arm.rows,
                        approved=arm.approved / arm.rows,
                        riskiest=None if riskiest is None else _share_from(arm.score, riskiest),
                        psi=_score_psi(result, model),
                    )
                    for result, arm in seen
                ),
                bars=compare(profiled, latest.score, None) if profiled and latest and latest.rows else None,
            )
        )
    return tuple(found)


def _riskiest_from(reference: NumericHistogram) -> int:
    """The first bin of the reference's riskiest: those from it on hold ``RISKIEST`` of the rows, as nearly as can be."""
    return min(
        range(1, len(reference.counts)),
        key=lambda place: abs(_share_from(reference, place) - RISKIEST),
    )


def _share_from(histogram: NumericHistogram, place: int) -> float:
    return sum(histogram.counts[place:]) / max(histogram.rows, 1)


def _score_psi(result: WindowResult, model: str) -> float | None:
    return next(
        (finding.effect for finding in _of(result, model, None) if finding.aspect is Aspect.DISTRIBUTION),
        None,
    )


# -- segments and notes --


def _segments(shown: WindowResult) -> tuple[SegmentLine, ...]:
    found = [
        SegmentLine(
            model=segment.model,
            segment=segment_words(segment.feature, segment.value),
            rows=segment.rows,
            approved=segment.approved / segment.rows if segment.rows else None,
            findings=_about(shown, segment),
        )
        for segment in shown.counts.segments
    ]
    return tuple(sorted(found, key=lambda line: (not any(f.alarm for f in line.findings), -line.rows)))


def _about(shown: WindowResult, segment: SegmentCounts) -> tuple[Finding, ...]:
    return tuple(
        finding
        for finding in shown.findings
        if finding.model == segment.model and finding.segment == (segment.feature, segment.value)
    )


def segment_words(feature: str, value: str | None) -> str:
    return f"{feature}: {'missing' if value is None else value}"


def _notes(results: Sequence[WindowResult]) -> tuple[Note, ...]:
    """Each once, the latest first."""
    windows: dict[str, list[str]] = {}
    for result in reversed(results):
        for text in result.notes:
            windows.setdefault(text, []).append(_line(result).words)
    return tuple(Note(text=text, windows=len(those), last=those[0]) for text, those in windows.items())
