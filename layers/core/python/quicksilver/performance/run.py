"""One run over an endpoint's windows: estimate those whose labels are not ripe, judge those whose labels are.

What a run finds is one document a window and model version. What has been judged is left as it is; everything else is
looked at again by every run until labels are no longer waited for. Killed at any point, a run has put some of its
documents, each whole, and the next one puts the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import NotFound
from quicksilver.labelled import DAY_MS
from quicksilver.monitoring import Kind, MonitoringStore, Window, read_document
from quicksilver.performance.counts import NOTHING, Answered, Arrival, Group, Question, together
from quicksilver.performance.judge import Case, judge
from quicksilver.performance.maturity import Maturity, maturity
from quicksilver.performance.result import PerformanceResult, result_name
from quicksilver.ports import Clock
from quicksilver.query import QueryEngine, Span

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class PerformanceRun:
    """``cutoffs`` are the decision cut-offs by endpoint; ``reference_auc`` says a model version's AUC at training, None
    where its package does not."""

    policies: Mapping[str, DriftPolicy]
    cutoffs: Mapping[str, float]
    engine: QueryEngine
    store: MonitoringStore
    reference_auc: Callable[[str], float | None]
    clock: Clock

    def run(self, endpoint: str) -> tuple[PerformanceResult, ...]:
        """Look at every window that may have changed; returns the results that are new, by window.

        Raises ``NotFound`` for an endpoint without a policy, ``InvalidQuery`` and ``Unavailable``.
        """
        if endpoint not in self.policies or endpoint not in self.cutoffs:
            raise NotFound(f"There is no drift policy of an endpoint {endpoint}.")
        policy, now_ms = self.policies[endpoint], self.clock.now_ms()
        question = Question(
            endpoint,
            span_of(policy, now_ms),
            window_ms=policy.window_ms,
            now_ms=now_ms,
            match_days=policy.performance.match_days,
            cutoff=self.cutoffs[endpoint],
        )
        with self.engine.open(question.tables, question.opened, endpoint=endpoint) as archive:
            answered, arrivals = question.answered(archive), question.arrivals(archive)
            skipped = len(archive.skipped)
        windows = Windows(policy, answered, arrivals)
        found = []
        for case in windows.cases(cache(self.reference_auc), now_ms):
            name = result_name(case.window, case.model)
            known = read_document(self.store, Kind.PERFORMANCE, endpoint, name, PerformanceResult)
            if known is not None and known.judged:
                continue
            result = judge(case, policy)
            if skipped:
                note = f"{skipped:,} objects of the archive could not be read: what they hold is not counted."
                result = result.model_copy(update={"notes": (*result.notes, note)})
            if known is None or _content(known) != _content(result):
                self.store.put(Kind.PERFORMANCE, endpoint, result.name, result.model_dump_json().encode())
                found.append(result)
        return tuple(found)


def span_of(policy: DriftPolicy, now_ms: int) -> Span:
    """The windows that a run looks at: all that may still get labels, and enough before them for the maturity curve to
    reach as far as labels are waited for."""
    days = policy.performance.label_days + policy.catch_up_days
    length = policy.window_ms
    end = (now_ms - policy.settle_minutes * MINUTE_MS) // length * length
    start = min((now_ms - days * DAY_MS) // length * length, end - length)
    return Span(start, end)


@dataclass(frozen=True)
class Windows:
    """An endpoint's windows, counted, with the maturity curve that they make together."""

    policy: DriftPolicy
    answered: Mapping[Group, Answered]
    arrivals: Sequence[Arrival]

    @property
    def curve(self) -> Maturity:
        return maturity(self.arrivals, self.policy.performance.label_days)

    def cases(self, reference_auc: Callable[[str], float | None], now_ms: int) -> Iterator[Case]:
        """Each window of each model version, by time. Roles are taken together: the model is the same."""
        curve, ages = self.curve, self._ages()
        ripeness = {start: curve.ripeness(found) for start, found in ages.items()}
        by_window: dict[tuple[int, str], list[Answered]] = defaultdict(list)
        for group, answered in self.answered.items():
            by_window[group.start_ms, group.model].append(answered)
        earlier: dict[str, Answered] = defaultdict(lambda: NOTHING)
        for (start, model), parts in sorted(by_window.items()):
            answered = together(parts)
            yield Case(
                window=Window(start_ms=start, end_ms=start + self.policy.window_ms),
                model=model,
                answered=answered,
                earlier=earlier[model].binned,
                ripeness=ripeness[start],
                followed_days=curve.followed_days,
                reference_auc=reference_auc(model),
                now_ms=now_ms,
            )
            share = ripeness[start]
            if share is not None and share >= self.policy.performance.ripe_share:
                earlier[model] += answered

    def _ages(self) -> dict[int, list[tuple[int, int]]]:
        ages: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for arrival in self.arrivals:
            ages[arrival.start_ms].append((arrival.age_days, arrival.rows))
        return ages


def _content(result: PerformanceResult) -> PerformanceResult:
    """What a result says, whenever it was said."""
    return result.model_copy(update={"judged_at": ""})
