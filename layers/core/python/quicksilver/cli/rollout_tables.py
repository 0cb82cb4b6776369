"""Rollouts as a person reads them, within 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.cli.model_registry import facts
from quicksilver.cli.rollout_plan import in_words
from quicksilver.cli.route import percent
from quicksilver.history import Action, Entry
from quicksilver.model_version import who
from quicksilver.rollout.look import GuardReading, Look, Outcome, Verdict
from quicksilver.routing import Route

_OUTCOMES = {
    Outcome.OK: ("ok", "green"),
    Outcome.OVER_LIMIT: ("over limit", "yellow"),
    Outcome.ROLLED_BACK: ("roll back", "red"),
    Outcome.NO_DATA: ("no data", "dim"),
}


def status_view(route: Route, seen: Look) -> RenderableType:
    """Where a rollout stands, what is to be done, and each guard's numbers."""
    rollout = route.rollout
    assert rollout is not None  # noqa: S101 - asked for only where there is one
    steps = " > ".join(
        f"[{percent(share)}]" if number == rollout.step else percent(share)
        for number, share in enumerate(rollout.steps_bp)
    )
    baked = f"{seen.baked_seconds:,} s of {in_words(rollout.bake_seconds)}"
    about = {
        "rollout": f"{rollout.model} against {route.champion.model}, since {rollout.started_at}",
        "steps": steps + (" (paused)" if rollout.paused else ""),
        "step": f"baked {baked}; {seen.step_requests:,} requests of {rollout.guards.min_requests:,}",
        "requests": f"canary {seen.canary_requests:,}, champion {seen.champion_requests:,}",
        "verdict": f"{seen.verdict.replace('_', ' ')}: {seen.reason}",
    }
    return Group(facts(about), guards_table(seen.guards))


def guards_table(guards: Sequence[GuardReading]) -> Table:
    """Each guard's numbers at one look."""
    numbers = ("canary", "champion", "difference", "limit", "evidence")
    table = Table("guard", *(Column(name, justify="right") for name in numbers), "")
    for guard in guards:
        word, style = _OUTCOMES[guard.outcome]
        table.add_row(
            guard.name.replace("_", " "),
            _share(guard.canary),
            _share(guard.champion),
            "" if guard.difference is None else f"{guard.difference:+.4f}",
            f"{guard.limit:g}",
            f"{guard.evidence:.1f} of " + ("-" if guard.threshold is None else f"{guard.threshold:.1f}"),
            Text(word, style=style),
        )
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def decisions(entries: Iterable[Entry]) -> list[Entry]:
    """Of a history, what concerns rollouts."""
    return [entry for entry in entries if "rollout" in entry.details]


def decisions_table(endpoint: str, entries: Sequence[Entry]) -> Table:
    """What was decided on an endpoint's rollouts, each line with the shares it led to."""
    title = f"{endpoint}: what was decided on its rollouts"
    whole = (Column(name, no_wrap=True) for name in ("", "when", "what"))
    folded = (Column(name, overflow="fold") for name in ("shares", "by", "why"))
    table = Table(*whole, *folded, title=title, title_justify="left")
    for entry in entries:
        rollout = entry.details["rollout"]
        what = str(rollout.get("move", Verdict.HOLD)).replace("_", " ")
        cells = (
            str(entry.number),
            f"{entry.at[:10]} {entry.at[11:19]}Z",
            f"{rollout['number']} {what}",
            _shares(entry),
            "its guards" if "look" in rollout else who(entry.who),
            entry.reason,
        )
        table.add_row(*map(Text, cells))  # people's words, in which a "[" is no markup
    return table


def _shares(entry: Entry) -> str:
    if entry.action is not Action.ROUTED:
        return ""
    arms = (arm for arm in entry.details["route"]["arms"] if arm["share_bp"])
    return ", ".join(f"@{arm['model'].rpartition('@')[2]} {percent(arm['share_bp'])}" for arm in arms)
