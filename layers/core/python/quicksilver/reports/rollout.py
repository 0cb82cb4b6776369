"""The report on a rollout, running or ended: what was decided, and what the rollup says of it.

What was decided is the history's. What the guards saw is folded anew out of the rollup by the rollout's own
``Comparison``, in one pass over the periods that keeps a few hundred points however long the rollout was.
Off the request path; never in a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import groupby

from pydantic import BaseModel, ConfigDict

from quicksilver.guard_policy import GuardName
from quicksilver.instants import utc_iso
from quicksilver.model_version import ModelName, who
from quicksilver.ports import RollupStore
from quicksilver.reports.rollout_decisions import Decision, FoundRollout, Standing
from quicksilver.rollout.comparison import NOTHING, Comparison, canary_counts, champion_counts
from quicksilver.rollout.look import GuardReading, comparison_of, readings
from quicksilver.rollout.run import HISTORY_MS
from quicksilver.rollout_plan import Rollout
from quicksilver.rollup_counts import KEEP_DAYS, LATENCY_BOUNDS_US, ArmCounts, Period
from quicksilver.routing import Role

POINTS = 400
"""The most points of a series: more than a picture shows."""

DAY_MS = 86_400_000
LEAST_AROUND_MS = 60_000

Advance = Callable[[int, int], None]
"""Told how much of the rollup is read, of how much (ms of it)."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SharePoint(_Value):
    """Requests assigned within the periods from ``at_ms`` until the next point, without the holdout's."""

    at_ms: int
    canary: int
    requests: int


class GuardPoint(_Value):
    """A guard's numbers, as in ``GuardReading``, with the period that starts at ``at_ms`` the last of those compared."""

    at_ms: int
    canary: float | None
    champion: float | None
    difference: float
    evidence: float


class GuardSeries(_Value):
    """One guard over the rollout; ``points`` is empty while there is nothing to compare. ``last`` is where it came to."""

    name: GuardName
    limit: float
    threshold: float | None
    points: tuple[GuardPoint, ...]
    last: GuardReading


class ArmTotal(_Value):
    """What the rollup counted of an arm while the rollout ran. ``latency`` and ``scores`` are by the rollup's bins.

    The quantiles are the upper ends of the bins they are in, microseconds: at most a fifth too high. Null without an answer,
    and where the bin has no end.
    """

    role: Role
    model: ModelName
    requests: int
    errors: int
    not_loaded: int
    degraded: int
    approved: int
    median_us: int | None
    p99_us: int | None
    latency: tuple[int, ...]
    scores: tuple[int, ...]


class RolloutReport(_Value):
    """A rollout as it stands at ``at``. ``until`` is its end, or ``at`` while it runs.

    ``gone_before`` is null, or the moment before which the rollup keeps nothing: then ``shares``, ``guards`` and ``arms`` are
    of what is left, and only ``decisions`` have what the guards saw at the time.
    """

    endpoint: str
    number: int
    plan: Rollout
    champion: ModelName
    standing: Standing
    sentence: str
    at: str
    until: str
    gone_before: str | None
    decisions: tuple[Decision, ...]
    shares: tuple[SharePoint, ...]
    guards: tuple[GuardSeries, ...]
    arms: tuple[ArmTotal, ...]


def report(
    found: FoundRollout,
    rollup: RollupStore,
    *,
    now_ms: int,
    advance: Advance = lambda *_: None,
    keep_days: int = KEEP_DAYS,
) -> RolloutReport:
    """Read the rollup of a rollout and of some time around it, a day at a time, and fold it. Raises ``Unavailable``."""
    ended_ms = found.ended_ms
    until_ms = max(found.started_ms, now_ms if ended_ms is None else ended_ms)
    kept_ms = now_ms - keep_days * DAY_MS
    around_ms = min(HISTORY_MS, max(LEAST_AROUND_MS, (until_ms - found.started_ms) // 5))
    since_ms = found.started_ms - HISTORY_MS
    shown = range(found.started_ms - around_ms, min(max(now_ms, until_ms), until_ms + around_ms) + 1)
    fold = _Fold(found, until_ms, shown)
    fold.read(_by_day(rollup, found.endpoint, range(max(since_ms, kept_ms), shown.stop), advance))
    return RolloutReport(
        endpoint=found.endpoint,
        number=found.plan.number,
        plan=found.plan,
        champion=found.champion,
        standing=found.standing,
        sentence=_sentence(found, until_ms),
        at=utc_iso(now_ms),
        until=utc_iso(until_ms),
        gone_before=utc_iso(kept_ms) if since_ms < kept_ms else None,
        decisions=found.decisions,
        shares=tuple(fold.shares),
        guards=fold.guards(),
        arms=(
            _total(Role.CANARY, found.plan.model, fold.canary),
            _total(Role.CHAMPION, found.champion, fold.champion),
        ),
    )


def gone_words(found: RolloutReport) -> str:
    """What is missing where the rollup has forgotten some of the rollout; to be read where ``gone_before`` says so."""
    return (
        f"What the rollup counted before {found.gone_before} is gone: the pictures, guards and arms are of what is left, "
        "and only the decisions say what the guards saw then."
    )


class _Fold:
    """The rollup of a rollout, folded into series. ``shown`` are the moments (epoch ms) whose shares are wanted."""

    def __init__(self, found: FoundRollout, until_ms: int, shown: range) -> None:
        self._found, self._until_ms, self._shown = found, until_ms, shown
        self._comparison = comparison_of(found.plan, found.champion)
        self._points: dict[GuardName, list[GuardPoint]] = {guard: [] for guard in GuardName}
        self.shares: list[SharePoint] = []
        self.canary = self.champion = NOTHING

    def read(self, periods: Iterable[Period]) -> None:
        """Fold periods by rising time: those that are close enough to be one point of a picture, together."""
        width_ms = -(-len(self._shown) // (POINTS - 1))
        for _, close in groupby(periods, lambda period: period.start_ms // width_ms):
            together = list(close)
            self._share([period for period in together if period.start_ms in self._shown])
            self._judge([period for period in together if period.start_ms <= self._until_ms])

    def guards(self) -> tuple[GuardSeries, ...]:
        return tuple(
            GuardSeries(
                name=reading.name,
                limit=reading.limit,
                threshold=reading.threshold,
                points=tuple(self._points[reading.name]),
                last=reading,
            )
            for reading in readings(self._found.plan.guards, self._comparison)
        )

    def _share(self, periods: Sequence[Period]) -> None:
        if periods:
            arms = [(key, counts) for period in periods for key, counts in period.arms.items()]
            drawn = [(key.model, counts.requests) for key, counts in arms if not key.holdout]
            canary = sum(requests for model, requests in drawn if model == self._found.plan.model)
            total = sum(requests for _, requests in drawn)
            self.shares.append(SharePoint(at_ms=periods[0].start_ms, canary=canary, requests=total))

    def _judge(self, periods: Sequence[Period]) -> None:
        self._comparison = reduce(Comparison.after, periods, self._comparison)
        during = [period for period in periods if period.start_ms >= self._found.started_ms]
        if not during:
            return
        self.canary = sum((canary_counts(each, self._found.plan.model) for each in during), self.canary)
        self.champion = sum((champion_counts(each, self._found.champion) for each in during), self.champion)
        for reading in readings(self._found.plan.guards, self._comparison):
            if reading.difference is not None:
                point = GuardPoint(
                    at_ms=during[-1].start_ms,
                    canary=reading.canary,
                    champion=reading.champion,
                    difference=reading.difference,
                    evidence=reading.evidence,
                )
                self._points[reading.name].append(point)


def _by_day(rollup: RollupStore, endpoint: str, moments: range, advance: Advance) -> Iterator[Period]:
    """The periods of some time, no more than a day of them in memory at once."""
    for since_ms in range(moments.start, moments.stop, DAY_MS):
        until_ms = min(since_ms + DAY_MS, moments.stop)
        yield from rollup.periods(endpoint, since_ms=since_ms, until_ms=until_ms)
        advance(until_ms - moments.start, len(moments))


def _total(role: Role, model: str, counts: ArmCounts) -> ArmTotal:
    return ArmTotal(
        role=role,
        model=model,
        requests=counts.requests,
        errors=counts.errors,
        not_loaded=counts.not_loaded,
        degraded=counts.degraded,
        approved=counts.approved,
        median_us=_quantile_us(counts.latency, 0.5),
        p99_us=_quantile_us(counts.latency, 0.99),
        latency=counts.latency,
        scores=counts.scores,
    )


def _quantile_us(latency: Sequence[int], quantile: float) -> int | None:
    """The upper end of the first bin with which at least this share of the answers is counted."""
    wanted, below = quantile * sum(latency), 0
    if not wanted:
        return None
    for count, bound_us in zip(latency, LATENCY_BOUNDS_US, strict=False):
        below += count
        if below >= wanted:
            return bound_us
    return None


def _sentence(found: FoundRollout, until_ms: int) -> str:
    """What was rolled out, by whom, what became of it and why."""
    start, last = found.decisions[0], found.decisions[-1]
    had_bp = found.decisions[-1 if found.ended_ms is None else -2].share_bp
    share = f"{had_bp / 100:g} %"
    outcome = {
        Standing.COMPLETED: "completed",
        Standing.ROLLED_BACK: f"was rolled back from {share}",
        Standing.ABORTED: f"was aborted by {who(last.who)} at {share}",
        Standing.PAUSED: f"is paused at {share}",
        Standing.RUNNING: f"is at {share}",
    }[found.standing]
    why = "" if last is start else f": {last.reason.rstrip('.')}"
    return (
        f"Rollout {found.plan.number} of {found.plan.model} against {found.champion}, started by {who(start.who)} "
        f"({start.reason.rstrip('.')}), {outcome} after {_duration(until_ms - found.started_ms)}{why}."
    )


def _duration(ms: int) -> str:
    """Two units at most, the way people say it."""
    seconds = ms // 1_000
    for unit, name, rest_unit, rest_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= unit:
            rest = seconds % unit // rest_unit
            return f"{seconds // unit} {name}" + (f" {rest} {rest_name}" if rest else "")
    return f"{seconds} s"
