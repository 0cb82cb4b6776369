"""The report on a rollout as one HTML page, with its pictures. Never in a layer."""

from __future__ import annotations

from collections.abc import Sequence

from quicksilver.model_version import who
from quicksilver.report_page import Badge, PageTable, Section, render_page
from quicksilver.reports.rollout import ArmTotal, GuardSeries, RolloutReport, gone_words
from quicksilver.reports.rollout_decisions import Decision, Standing
from quicksilver.reports.rollout_pictures import guard, latency, scores, shares
from quicksilver.rollout_plan import Rollout

_ABOUT_GUARDS = (
    "Each guard is folded anew from the rollup as it is now, as the rollout itself does at every look. Where a value is beyond its limit "
    "the canary goes no further, and where the evidence has reached its threshold as well it is rolled back. Evidence "
    "far below 0, which says that there is no difference, is not drawn."
)
_BADGES = {
    Standing.RUNNING: Badge("none", "running"),
    Standing.PAUSED: Badge("warn", "paused"),
    Standing.COMPLETED: Badge("pass", "completed"),
    Standing.ROLLED_BACK: Badge("fail", "rolled back"),
    Standing.ABORTED: Badge("warn", "aborted"),
}


def render_rollout(report: RolloutReport) -> str:
    """The page. The same report gives the same text."""
    sections = (
        Section("Shares", _gone(report), pictures=(shares(report),)),
        Section("Decisions", tables=(_decisions(report.decisions), _numbers(report.decisions))),
        Section(
            "Guards",
            (_ABOUT_GUARDS,),
            pictures=tuple(guard(report, series) for series in report.guards if series.points),
            tables=(_guards(report.guards),),
        ),
        Section(
            "Arms",
            ("All periods of the rollout together. The guards compare period by period, so that a rate that drifts is no difference.",),
            pictures=tuple(
                picture for draw in (scores, latency) if (picture := draw(report.arms)) is not None
            ),
            tables=(_arms(report.arms),),
        ),
        _plan(report.plan),
    )  # fmt: skip
    title = f"Rollout {report.number}: {report.plan.model} against {report.champion}"
    return render_page(title, report.sentence, sections, badge=_BADGES[report.standing])


def _gone(report: RolloutReport) -> tuple[str, ...]:
    return (gone_words(report),) if report.gone_before else ()


def _decisions(decisions: Sequence[Decision]) -> PageTable:
    rows = tuple(
        (
            f"{decision.at[:10]} {decision.at[11:19]}Z",
            decision.words,
            f"{decision.share_bp / 100:g} %",
            decision.look.canary_requests if decision.look else None,
            decision.look.champion_requests if decision.look else None,
            "its guards" if decision.look else who(decision.who),
            decision.reason,
        )
        for decision in decisions
    )
    columns = ("when", "what", "share", "requests of the canary", "of the champion", "by", "why")
    return PageTable(columns, rows)


def _numbers(decisions: Sequence[Decision]) -> PageTable:
    rows = tuple(
        (
            f"{decision.at[:10]} {decision.at[11:19]}Z {decision.words}",
            reading.name.replace("_", " "),
            reading.canary,
            reading.champion,
            reading.difference,
            reading.limit,
            reading.evidence,
            reading.threshold,
            reading.outcome.replace("_", " "),
        )
        for decision in decisions
        if decision.look
        for reading in decision.look.guards
    )
    return PageTable(("decision", *_GUARD_COLUMNS), rows, title="Their numbers, as they were at the time")


_GUARD_COLUMNS = ("guard", "canary", "champion", "difference", "limit", "evidence", "threshold", "")


def _guards(guards: Sequence[GuardSeries]) -> PageTable:
    rows = tuple((series.last.sentence, series.last.outcome.replace("_", " ")) for series in guards)
    return PageTable(("where each came to", ""), rows)


def _arms(arms: Sequence[ArmTotal]) -> PageTable:
    rows = tuple(
        (
            arm.role,
            arm.model,
            arm.requests,
            arm.errors,
            arm.not_loaded,
            arm.degraded,
            arm.approved,
            None if arm.median_us is None else arm.median_us / 1_000,
            None if arm.p99_us is None else arm.p99_us / 1_000,
        )
        for arm in arms
    )
    columns = (
        "arm",
        "model version",
        "requests",
        "errors",
        "not loaded",
        "degraded",
        "approved",
        "median, ms",
        "p99, ms",
    )
    return PageTable(columns, rows, title="Latencies are the upper ends of bins a fifth wide")


def _plan(plan: Rollout) -> Section:
    guards = plan.guards
    return Section(
        "Plan",
        facts=(
            ("steps", ", ".join(f"{share_bp / 100:g} %" for share_bp in plan.steps_bp)),
            ("bake, seconds", plan.bake_seconds),
            ("least requests of a step", guards.min_requests),
            ("false rollbacks at most", f"{guards.alpha:.2%}"),
            ("started", plan.started_at),
        ),
    )
