"""When a new model is asked for: once, by the same documents always, and never within the cool-down of the last time.

What is known of an endpoint is in the documents that drift and performance runs have left; a decision is a function of
them, of the champion, of earlier requests and of the moment. A request is the claim of the next number: of any number of
runs at once one makes it, and every other has to look again and finds the cool-down begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise, takewhile
from typing import Literal

from quicksilver.drift.result import WindowResult
from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import NotFound
from quicksilver.instants import epoch_ms, utc_iso
from quicksilver.model_version import MODEL_NAME, ModelVersion
from quicksilver.monitoring import Kind, MonitoringStore, Window, read_document
from quicksilver.performance.result import PerformanceResult
from quicksilver.ports import Clock, RegistryStore
from quicksilver.query import Span
from quicksilver.retraining.request import (
    MAX_EVIDENCE,
    MAX_SENTENCES,
    Evidence,
    RetrainRequest,
    request_id,
    shortened,
)
from quicksilver.retraining.training_query import training_set

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Requests:
    """An endpoint's requests until now."""

    endpoint: str
    store: MonitoringStore

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self.store.names(Kind.RETRAIN, self.endpoint))

    @cached_property
    def last(self) -> RetrainRequest | None:
        return self.get(self.names[-1]) if self.names else None

    def get(self, name: str) -> RetrainRequest:
        """Raises ``NotFound``."""
        found = read_document(self.store, Kind.RETRAIN, self.endpoint, name, RetrainRequest)
        if found is None:
            raise NotFound(f"There is no request {name} for a new model of {self.endpoint}.")
        return found

    def decided(self) -> Iterator[Evidence]:
        """What decided each request that no person made, the latest first."""
        for name in reversed(self.names):
            if evidence := self.get(name).evidence:
                yield evidence[-1]

    @property
    def next_id(self) -> str:
        number = int(self.names[-1].rpartition("-")[2]) if self.names else 0
        return request_id(self.endpoint, number + 1)


@dataclass(frozen=True, slots=True)
class Trigger:
    """Asks for new models of a stage's endpoints. ``registry`` is only read."""

    stage: str
    store: MonitoringStore
    registry: RegistryStore
    policies: Mapping[str, DriftPolicy]
    clock: Clock

    def consider(self, endpoint: str) -> RetrainRequest | None:
        """Make a request where the policy wants one now; returns the one that this call made.

        Raises ``NotFound`` for an endpoint without a policy, and ``Unavailable``: then a request may have been made, which
        whoever looks next finds.
        """
        policy = self._policy(endpoint)
        while True:
            requests = Requests(endpoint, self.store)
            request = self._wanted(policy, requests, self.clock.now_ms())
            if request is None or self._claim(request):
                return request
            # Somebody else was faster, with this evidence or another: their cool-down has begun.

    def request(self, endpoint: str, *, reason: str, who: str) -> RetrainRequest:
        """Make a request because a person asks: whatever the evidence, the hour and the cool-down, which begins anew.

        Raises ``NotFound`` where no model version is the champion, and ``Unavailable``.
        """
        policy = self._policy(endpoint)
        champion = self._champion(endpoint)
        if champion is None:
            raise NotFound(f"The endpoint {endpoint} has no champion yet: there are no outcomes to train on.")
        while True:
            now_ms = self.clock.now_ms()
            number = Requests(endpoint, self.store).next_id
            request = self._request(policy, champion, number, now_ms, now_ms, reason, (), who)
            if self._claim(request):
                return request

    def _wanted(self, policy: DriftPolicy, requests: Requests, now_ms: int) -> RetrainRequest | None:
        """What the documents ask for at this moment; the same documents ask for the same."""
        rules, endpoint = policy.retraining, policy.endpoint
        if not rules.enabled or rules.business_hours.next_open(now_ms).start_ms > now_ms:
            return None
        last = requests.last
        if last and now_ms < epoch_ms(last.requested_at) + rules.cool_down_hours * HOUR_MS:
            return None
        champion = self._champion(endpoint)
        if champion is None:
            return None
        evidence = Drift(self.store, policy, champion.name).evidence(now_ms) or Performance(
            self.store, policy, champion.name
        ).evidence(now_ms)
        if not evidence:
            return None
        decided = evidence[-1]
        if any((one.kind, one.window) == (decided.kind, decided.window) for one in requests.decided()):
            return None
        id, end_ms = requests.next_id, epoch_ms(decided.end)
        reason = _reason(champion.name, evidence)
        return self._request(policy, champion, id, end_ms, now_ms, reason, evidence[-MAX_EVIDENCE:], None)

    def _request(
        self,
        policy: DriftPolicy,
        champion: ModelVersion,
        id: str,
        end_ms: int,
        now_ms: int,
        reason: str,
        evidence: tuple[Evidence, ...],
        who: str | None,
    ) -> RetrainRequest:
        span = Span(end_ms - policy.retraining.training_days * DAY_MS, end_ms)
        return RetrainRequest(
            id=id,
            stage=self.stage,
            endpoint=policy.endpoint,
            champion=champion.name,
            requested_at=utc_iso(now_ms),
            requested_by=who,
            reason=reason,
            evidence=evidence,
            training_set=training_set(policy, champion.fingerprint, span, now_ms),
        )

    def _claim(self, request: RetrainRequest) -> bool:
        document = request.model_dump_json().encode()
        return self.store.claim(Kind.RETRAIN, request.endpoint, request.id, document)

    def _policy(self, endpoint: str) -> DriftPolicy:
        try:
            return self.policies[endpoint]
        except KeyError:
            raise NotFound(f"The endpoint {endpoint} has no drift policy.") from None

    def _champion(self, endpoint: str) -> ModelVersion | None:
        route = self.registry.current_route(endpoint)
        parts = MODEL_NAME.fullmatch(route.champion.model) if route else None
        return self.registry.model_version(endpoint, int(parts[2])) if parts else None


@dataclass(frozen=True)
class Drift:
    """What an endpoint's drift documents say of its champion."""

    store: MonitoringStore
    policy: DriftPolicy
    champion: str

    def evidence(self, now_ms: int) -> tuple[Evidence, ...]:
        """Windows in a row with an alarm of the champion, in their order, that end with one that asks now."""
        wanted = self.policy.retraining.consecutive_windows
        windows = self._windows(now_ms)
        alarm = cache(self._alarm)
        for last in range(len(windows), wanted - 1, -1):
            row = windows[last - wanted : last]
            asks = last == len(windows) or self._asked_while_closed(row[-1], now_ms)
            if not asks or any(later.start_ms != earlier.end_ms for earlier, later in pairwise(row)):
                continue
            # The latest first: most windows are quiet, and then no other is read.
            found = tuple(takewhile(lambda one: one is not None, map(alarm, reversed(row))))
            if len(found) == wanted:
                return tuple(one for one in reversed(found) if one)
        return ()

    def _windows(self, now_ms: int) -> Sequence[Window]:
        """The windows that have been judged, as far back as one may still be asked for."""
        length_ms = self.policy.window_ms
        oldest_ms = now_ms - self.policy.catch_up_days * DAY_MS - length_ms
        first_ms = max(0, oldest_ms - self.policy.retraining.consecutive_windows * length_ms)
        since = Window(start_ms=first_ms, end_ms=first_ms).name
        windows = [
            window_named(name) for name in self.store.names(Kind.DRIFT, self.policy.endpoint, since=since)
        ]
        # Another length is that of another policy; and a window may be judged before it is over, by hand.
        windows = [w for w in windows if w.end_ms - w.start_ms == length_ms and w.end_ms <= now_ms]
        return windows if windows and windows[-1].start_ms >= oldest_ms else ()

    def _asked_while_closed(self, window: Window, now_ms: int) -> bool:
        """Whether a window was due while nobody works, and the business hours since then are those of now."""
        due_ms = window.end_ms + self.policy.settle_minutes * 60_000
        hours = self.policy.retraining.business_hours.next_open(due_ms)
        return due_ms < hours.start_ms <= now_ms < hours.end_ms

    def _alarm(self, window: Window) -> Evidence | None:
        result = read_document(self.store, Kind.DRIFT, self.policy.endpoint, window.name, WindowResult)
        if result is None:
            return None
        complete = result.counts.complete
        if complete is not None and complete < self.policy.min_complete:
            return None
        sentences = [finding.sentence for finding in result.alarms if finding.model == self.champion]
        return _evidence("drift", window.name, window, sentences) if sentences else None


@dataclass(frozen=True)
class Performance:
    """What an endpoint's performance documents say of its champion."""

    store: MonitoringStore
    policy: DriftPolicy
    champion: str

    def evidence(self, now_ms: int) -> tuple[Evidence, ...]:
        """The latest window of the champion that was judged, if its performance is degraded. One with too few labels to be
        judged says nothing against an earlier one."""
        days = self.policy.performance.label_days + self.policy.catch_up_days
        first_ms = max(0, now_ms - days * DAY_MS)
        since = Window(start_ms=first_ms, end_ms=first_ms).name
        for name in reversed(list(self.store.names(Kind.PERFORMANCE, self.policy.endpoint, since=since))):
            result = read_document(
                self.store, Kind.PERFORMANCE, self.policy.endpoint, name, PerformanceResult
            )
            if result and result.model == self.champion and result.judged:
                return (
                    (_evidence("performance", name, result.window, [result.sentence]),)
                    if result.degraded
                    else ()
                )
        return ()


def _reason(champion: str, evidence: Sequence[Evidence]) -> str:
    if evidence[-1].kind == "performance":
        return f"The performance of {champion} has degraded."
    windows = "The latest window has" if len(evidence) == 1 else f"{len(evidence)} windows in a row have"
    return f"{windows} an alarm of {champion}."


def window_named(name: str) -> Window:
    """The window of a document's name."""
    start_ms, length_ms = (int(part) for part in name.split("-")[:2])
    return Window(start_ms=start_ms, end_ms=start_ms + length_ms)


def _evidence(
    kind: Literal["drift", "performance"], name: str, window: Window, sentences: Sequence[str]
) -> Evidence:
    return Evidence(
        kind=kind,
        window=name,
        start=utc_iso(window.start_ms),
        end=utc_iso(window.end_ms),
        sentences=tuple(shortened(sentence) for sentence in sentences[:MAX_SENTENCES]),
    )
