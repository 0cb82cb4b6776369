"""What the monitoring finds, told to machines as events and to people as messages.

The documents are the outbox. The first window in a row with an alarm, a performance that has degraded and a request for a new
model are each announced, and marked afterwards: whoever is killed in between announces the same again, under the same id, and
nothing is left out. Drift that goes on has been told: who hears of it every day stops listening.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.announcements import one_line
from quicksilver.contract import EndpointName
from quicksilver.drift.result import Finding, WindowResult
from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import NotFound
from quicksilver.instants import utc_iso
from quicksilver.model_version import ModelName
from quicksilver.monitoring import MONITORING_PREFIX, DetailType, Kind, MonitoringStore, Window, read_document
from quicksilver.performance.result import PerformanceResult
from quicksilver.ports import Announcement, Announcer, Clock, Event
from quicksilver.retraining.request import RetrainRequest, shortened

MAX_FINDINGS = 40
"""Findings in an event, those that matter most first; all of them are in the document."""

TOLD_FINDINGS = 5
"""Findings in a message for people, and notes."""

LOOK_BACK_WINDOWS = 7
"""How many windows that judged nothing of a model version may lie between two of one row: nights and holidays."""

DAY_MS = 24 * 3_600_000


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Drifted(_Value):
    """What moved: the model version, the feature (None: its scores) and how far, against what limit."""

    model: ModelName
    feature: str | None
    segment: tuple[str, str | None] | None
    aspect: str
    effect: float
    limit: float
    p_value: float
    sentence: str


class DriftDetail(_Value):
    """The detail of ``DriftDetected``, version 1. Consumers that have seen its ``id`` need not see it again."""

    schema_version: Literal[1] = 1
    id: str
    """``<endpoint>/drift-<window>``: a window is announced once, however often late records have it judged again."""
    stage: str
    endpoint: EndpointName
    start: str
    end: str
    rows: int
    policy_version: int
    alarms: Annotated[int, Field(ge=1)]
    """How many there are; ``findings`` are the first ``MAX_FINDINGS`` of them."""
    findings: tuple[Drifted, ...]
    document: str
    page: str


class PerformanceDetail(_Value):
    """The detail of ``PerformanceDegraded``, version 1."""

    schema_version: Literal[1] = 1
    id: str
    stage: str
    endpoint: EndpointName
    model: ModelName
    start: str
    end: str
    labelled: int
    bad: int
    auc: float | None
    auc_interval: tuple[float, float] | None
    reference_auc: float | None
    sentence: str
    document: str


@dataclass(frozen=True, slots=True)
class ArchivePlace:
    """Where documents and pages are, for whoever is told of them."""

    bucket: str
    region: str

    def document(self, kind: Kind, endpoint: str, name: str) -> str:
        return f"s3://{self.bucket}/{MONITORING_PREFIX}{kind}/{endpoint}/{name}.json"

    def page(self, endpoint: str, name: str) -> str:
        return f"s3://{self.bucket}/{self._page(endpoint, name)}"

    def console(self, endpoint: str, name: str) -> str:
        """The page's object in the AWS console, which asks who is there and opens it."""
        key = quote(self._page(endpoint, name), safe="")
        return f"https://{self.region}.console.aws.amazon.com/s3/object/{self.bucket}?prefix={key}"

    def _page(self, endpoint: str, name: str) -> str:
        return f"{MONITORING_PREFIX}{Kind.REPORT}/{endpoint}/{name}.html"


@dataclass(frozen=True, slots=True)
class MonitoringAnnouncements:
    """Tells of what the documents of a stage's endpoints say."""

    stage: str
    store: MonitoringStore
    announcer: Announcer
    policies: Mapping[str, DriftPolicy]
    place: ArchivePlace
    clock: Clock

    def catch_up(self, endpoint: str) -> int:
        """Announce what no run has announced yet, drift first and requests last; returns how many.

        Documents are looked at as far back as they may still change. Two runs at once may both announce one. Raises
        ``NotFound`` for an endpoint without a policy, and ``Unavailable``: the next call begins where this one ended.
        """
        marked = frozenset(self.store.names(Kind.ANNOUNCED, endpoint))
        told = 0
        for kind, name in self._documents(endpoint):
            mark = f"{kind}-{name}"
            if mark in marked or (news := self._news(kind, endpoint, name)) is None:
                continue
            self.announcer.announce(news)
            at = json.dumps({"announced_at": utc_iso(self.clock.now_ms())})
            self.store.put(Kind.ANNOUNCED, endpoint, mark, at.encode())
            told += 1
        return told

    def _documents(self, endpoint: str) -> Iterator[tuple[Kind, str]]:
        """What there may be to announce, by kind and name."""
        try:
            policy = self.policies[endpoint]
        except KeyError:
            raise NotFound(f"The endpoint {endpoint} has no drift policy.") from None
        judged_ms = policy.catch_up_days * DAY_MS + policy.late_hours * 3_600_000 + policy.window_ms
        labelled_ms = judged_ms + policy.performance.label_days * DAY_MS
        for kind, back_ms in ((Kind.DRIFT, judged_ms), (Kind.PERFORMANCE, labelled_ms)):
            since_ms = max(0, self.clock.now_ms() - back_ms)
            since = Window(start_ms=since_ms, end_ms=since_ms).name
            for name in self.store.names(kind, endpoint, since=since):
                yield kind, name
        for name in self.store.names(Kind.RETRAIN, endpoint):
            yield Kind.RETRAIN, name

    def _news(self, kind: Kind, endpoint: str, name: str) -> Announcement | None:
        """What is announced of a document; None where it says nothing that anybody must hear."""
        if kind is Kind.DRIFT:
            window = read_document(self.store, kind, endpoint, name, WindowResult)
            if window is None or not self._is_news(window):
                return None
            return drift_announcement(window, self.stage, self.place)
        if kind is Kind.PERFORMANCE:
            found = read_document(self.store, kind, endpoint, name, PerformanceResult)
            return (
                performance_announcement(found, name, self.stage, self.place)
                if found and found.degraded
                else None
            )
        request = read_document(self.store, kind, endpoint, name, RetrainRequest)
        return request_announcement(request) if request else None

    def _is_news(self, result: WindowResult) -> bool:
        """Whether a model version has an alarm in this window and had none in the one before that judged it."""
        return any(not self._alarmed_before(result, model) for model in {one.model for one in result.alarms})

    def _alarmed_before(self, result: WindowResult, model: ModelName) -> bool:
        window = result.counts.window
        length_ms = window.end_ms - window.start_ms
        for back in range(1, LOOK_BACK_WINDOWS + 1):
            start_ms = window.start_ms - back * length_ms
            name = Window(start_ms=start_ms, end_ms=start_ms + length_ms).name
            earlier = read_document(self.store, Kind.DRIFT, result.endpoint, name, WindowResult)
            if judged := [
                finding for finding in (earlier.findings if earlier else ()) if finding.model == model
            ]:
                return any(finding.alarm for finding in judged)
        return False


def drift_announcement(result: WindowResult, stage: str, place: ArchivePlace) -> Announcement:
    """What is announced of a window with alarms; the same for the same result."""
    window, endpoint, alarms = result.counts.window, result.endpoint, result.alarms
    start, end = utc_iso(window.start_ms), utc_iso(window.end_ms)
    detail = DriftDetail(
        id=f"{endpoint}/drift-{window.name}",
        stage=stage,
        endpoint=endpoint,
        start=start,
        end=end,
        rows=result.counts.archived,
        policy_version=result.policy_version,
        alarms=len(alarms),
        findings=tuple(_drifted(finding) for finding in alarms[:MAX_FINDINGS]),
        document=place.document(Kind.DRIFT, endpoint, window.name),
        page=place.page(endpoint, window.name),
    )
    first = alarms[0]
    more = len(alarms) - TOLD_FINDINGS
    lines = [
        f"The predictions of {endpoint} from {start} to {end} are not those that its model was made for.",
        "",
        *(f"- {finding.model}, {shortened(finding.sentence)}" for finding in alarms[:TOLD_FINDINGS]),
        *([f"- and {more} more"] if more > 0 else []),
        "",
        f"Rows: {result.counts.archived:,}",
        *_told(result.notes),
        f"Pictures: {detail.page}",
        f"In the console: {place.console(endpoint, window.name)}",
        f"More: quicksilver drift report --endpoint {endpoint} --stage {stage} --html drift.html",
        "This is told once: again only after a window without an alarm.",
        f"Stage: {stage}; policy {result.policy_version}",
    ]
    headline = f"[{stage}] {endpoint}: drift, {first.feature or 'scores'} first of {len(alarms)} in alarm"
    return _announcement(detail.id, endpoint, DetailType.DRIFT_DETECTED, detail, headline, lines)


def performance_announcement(
    result: PerformanceResult, name: str, stage: str, place: ArchivePlace
) -> Announcement:
    """What is announced of a performance that has degraded; the same for the same result."""
    endpoint, window = result.endpoint, result.window
    realised = result.realised
    detail = PerformanceDetail(
        id=f"{endpoint}/performance-{name}",
        stage=stage,
        endpoint=endpoint,
        model=result.model,
        start=utc_iso(window.start_ms),
        end=utc_iso(window.end_ms),
        labelled=result.labelled,
        bad=result.bad,
        auc=realised.auc if realised else None,
        auc_interval=result.auc_interval,
        reference_auc=result.reference_auc,
        sentence=shortened(result.sentence),
        document=place.document(Kind.PERFORMANCE, endpoint, name),
    )
    lines = [
        f"{result.model} ranks risks worse than at its training.",
        "",
        f"- {detail.sentence}",
        "",
        f"Predictions: {result.predictions:,} from {detail.start} to {detail.end}",
        f"With outcomes: {result.labelled:,}, {result.bad:,} of them bad",
        *_told(result.notes),
        f"More: quicksilver performance report --endpoint {endpoint} --stage {stage} --html performance.html",
        f"Stage: {stage}; policy {result.policy_version}",
    ]
    headline = f"[{stage}] {endpoint}: the performance of {result.model} has degraded"
    return _announcement(detail.id, endpoint, DetailType.PERFORMANCE_DEGRADED, detail, headline, lines)


def request_announcement(request: RetrainRequest) -> Announcement:
    """What is announced of a request: the request itself, and who or what asks and why."""
    endpoint, stage = request.endpoint, request.stage
    spoken = [
        f"- {evidence.end}: {sentence}" for evidence in request.evidence for sentence in evidence.sentences
    ]
    training = request.training_set
    lines = [
        f"A new model of {endpoint} is asked for, to follow {request.champion}.",
        "",
        f"Why: {request.reason}",
        *spoken[-TOLD_FINDINGS:],
        "",
        f"By: {request.requested_by or 'the schedule'}",
        f"At: {request.requested_at}",
        f"Training set: predictions with outcomes from {training.start} to {training.end}",
        "What comes of it is gated and put in shadow. It answers nobody until a person has approved it and begins its rollout.",
        f"More: quicksilver retrain show {request.id} --stage {stage}",
        f"Stage: {stage}; request {request.id}",
    ]
    headline = f"[{stage}] {endpoint}: a new model is asked for"
    return _announcement(request.id, endpoint, DetailType.RETRAIN_REQUESTED, request, headline, lines)


def _announcement(
    id: str, endpoint: str, detail_type: DetailType, detail: BaseModel, headline: str, lines: Sequence[str]
) -> Announcement:
    return Announcement(
        id=id,
        endpoint=endpoint,
        events=(Event(detail_type, detail.model_dump_json()),),
        subject=one_line(headline),
        text="\n".join(lines),
    )


def _drifted(finding: Finding) -> Drifted:
    return Drifted(
        model=finding.model,
        feature=finding.feature,
        segment=finding.segment,
        aspect=finding.aspect,
        effect=finding.effect,
        limit=finding.limit,
        p_value=finding.p_value,
        sentence=shortened(finding.sentence),
    )


def _told(notes: Sequence[str]) -> Sequence[str]:
    return [shortened(note) for note in notes[:TOLD_FINDINGS]]
