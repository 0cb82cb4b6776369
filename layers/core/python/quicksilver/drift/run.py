"""One drift run: every endpoint's windows that are due, oldest first, each judged and left as one document.

A run keeps nothing else. Killed at any point it has left a window's document whole or not at all, and the next run goes on
from there; two runs at once leave the same. The page goes before the document: what is judged can be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quicksilver.drift.result import WindowResult
from quicksilver.drift.window_judge import DAY_MS, Judged, WindowJudge
from quicksilver.drift.windows import awaited_windows, due_windows, late_until_ms
from quicksilver.instants import epoch_ms, utc_iso
from quicksilver.metrics import Metric
from quicksilver.monitoring import Kind
from quicksilver.ports import Metrics
from quicksilver.scheduled import Announcing, Trigger, failed, followed_up

Page = Callable[[Judged], str]
"""Draws the page of a window that an alarm links to."""


@dataclass(frozen=True, slots=True)
class DriftRun:
    """What judges the windows of a stage's endpoints, and then has what follows from them decided and told."""

    judges: Sequence[WindowJudge]
    page: Page
    trigger: Trigger
    announcements: Announcing
    metrics: Metrics

    def run(self, has_time: Callable[[], bool] = lambda: True) -> dict[str, str]:
        """Judge what is due of each endpoint, one window of each in turn; returns what came of it, in words.

        No window is begun when ``has_time`` says no: the next run goes on there. What fails for an endpoint is counted
        and logged, stands in the way of no other, and is tried again by the next run: nothing is raised.
        """
        work = [_Work(judge, self._judging(judge)) for judge in self.judges]
        waiting = list(work)
        while waiting and has_time():
            waiting = [each for each in waiting if self._step(each)]
        for each in work:
            each.failures += followed_up(each.endpoint, self.trigger, self.announcements, self.metrics)
        return {each.endpoint: each.said(unfinished=each in waiting) for each in work}

    def _step(self, work: _Work) -> bool:
        """Look at one window more of an endpoint; says whether there may be another."""
        try:
            looked = next(work.looks, None)
        except Exception as error:
            work.failures.append(failed(Metric.DRIFT_RUN_FAILED, work.endpoint, error, self.metrics))
            return False
        work.judged += looked is True
        return looked is not None

    def _judging(self, judge: WindowJudge) -> Iterator[bool]:
        """Look at an endpoint's windows that are due, oldest first; says of each whether it was judged."""
        now_ms = judge.clock.now_ms()
        kept = {result.counts.window.name: result for result in judge.kept_since(_since_ms(judge, now_ms))}
        judged_at = {name: epoch_ms(result.judged_at) for name, result in kept.items()}
        due = due_windows(judge.policy, now_ms, judged_at)
        awaited = awaited_windows(judge.policy, now_ms, judged_at)
        for window in sorted([*due, *awaited], key=lambda window: window.start_ms):
            result = kept.get(window.name)
            if result is None:
                self.keep(judge, judge.judged(window))
                yield True
            elif judge.has_changed(result):
                self.keep(judge, judge.judged(window, revision=result.revision + 1))
                yield True
            else:
                if now_ms >= late_until_ms(judge.policy, window):
                    # It was looked at after its last records: nobody has to look again.
                    looked = result.model_copy(update={"judged_at": utc_iso(now_ms)})
                    judge.monitoring.put(Kind.DRIFT, judge.endpoint, window.name, document(looked))
                yield False

    def keep(self, judge: WindowJudge, judged: Judged) -> None:
        """Leave a window's page, where it has an alarm, and its document. Raises ``Unavailable``."""
        result = judged.result
        name = result.counts.window.name
        # A page is what an alarm links to. Records that came late may have taken the alarm back: then the page says so.
        if result.alarms or result.revision > 1:
            judge.monitoring.put(Kind.REPORT, result.endpoint, name, self.page(judged).encode())
        judge.monitoring.put(Kind.DRIFT, result.endpoint, name, document(result))
        self.metrics.count(Metric.DRIFT_WINDOWS_JUDGED)
        if result.alarms:
            self.metrics.count(Metric.DRIFT_ALARMS)
        if result.counts.skipped:
            self.metrics.count(Metric.ARCHIVE_OBJECTS_SKIPPED, len(result.counts.skipped))


class _Work:
    """What a run does for one endpoint. Its windows are looked for when the first look is asked for."""

    def __init__(self, judge: WindowJudge, looks: Iterator[bool]) -> None:
        self.endpoint = judge.endpoint
        self.looks = looks
        self.judged = 0
        self.failures: list[str] = []

    def said(self, *, unfinished: bool) -> str:
        judged = f"{self.judged} window{'' if self.judged == 1 else 's'} judged"
        more = ["more are due"] if unfinished else []
        return "; ".join([judged, *more, *self.failures])


def _since_ms(judge: WindowJudge, now_ms: int) -> int:
    """The start of the oldest window that may be due."""
    return max(0, now_ms - judge.policy.catch_up_days * DAY_MS - 2 * judge.policy.window_ms)


def document(result: WindowResult) -> bytes:
    """A result as it is kept."""
    return result.model_dump_json().encode()
