"""Carries a schedule out: begins and ends outages, kills workers, and rolls a canary out under the load."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.soak_load import Asked, Load
from bench.soak_outcome import NO_ANSWER
from bench.soak_schedule import Kill, Phase, Schedule
from bench.soak_wire import Wire
from bench.soak_workers import end, victim, workers
from quicksilver.aws.registry_client import RegistryClient
from quicksilver.errors import InvalidInput, QuicksilverError
from quicksilver.guard_policy import Guards

TICK_S = 0.05
STEPS_BP, BAKE_SECONDS = (2_000, 5_000, 10_000), 600
ROLLED_OUT_AT, ABORTED_AT = 0.1, 0.7
"""Parts of the whole time. The stage's own rollout function may end it sooner."""


@dataclass
class Injected:
    """What was done and when, in seconds since the begin."""

    kills: Counter[str] = field(default_factory=Counter)
    done: list[dict[str, Any]] = field(default_factory=list)

    def add(self, at_s: float, what: str, **more: Any) -> None:
        self.done.append({"at_s": round(at_s, 1), "what": what, **more})


def conduct(
    schedule: Schedule,
    wire: Wire,
    folder: Path,
    registry: RegistryClient,
    endpoint: str,
    canary: str,
    load: Load,
    say: Callable[[str], None],
) -> Injected:
    """Carry a schedule out to its end, under a load that runs. ``folder`` is where the workers' programs lie."""
    injected = Injected()
    kills, moves = list(schedule.kills), _moves(schedule.seconds, registry, endpoint, canary)
    phase: Phase | None = None
    seen = 0
    begun = time.monotonic()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=schedule.seconds)
        while (now_s := time.monotonic() - begun) < schedule.seconds:
            if (current := schedule.phase_at(now_s)) is not phase:
                phase = current
                wire.heal()
                if phase.outage:
                    wire.fail(phase.outage)
                    injected.add(now_s, phase.name, seconds=round(phase.end_s - phase.start_s, 1))
                say(
                    f"{phase.name} for {phase.end_s - now_s:.0f} s; {len(load.asked):,} requests, {injected.kills.total()} kills"
                )
            if kills and kills[0].at_s <= now_s and _has_answered(load.asked[seen:]):
                seen = len(load.asked)
                _kill(kills.pop(0), now_s, folder, injected)
            # A person changes no route while the registry is away: it would refuse.
            if moves and moves[0][0] <= now_s and phase.outage is None:
                _, what, move = moves.pop(0)
                came_of_it = _tried(move)
                injected.add(now_s, f"{what}: {came_of_it}")
                say(f"{what}: {came_of_it}")
            bar.update(task, completed=now_s, description=phase.name)
            time.sleep(TICK_S)
    wire.heal()
    return injected


def _has_answered(since: Sequence[Asked]) -> bool:
    """Whether a function has answered since the last kill. A kill waits for that: the emulator ends every worker of a function
    when one dies as it starts, so on a slow machine kills could keep any from ever answering."""
    return any(one.outcome.status not in (NO_ANSWER, HTTPStatus.BAD_GATEWAY) for one in since)


def _kill(kill: Kill, now_s: float, folder: Path, injected: Injected) -> None:
    worker = victim(kill, workers(folder))
    if worker and end(worker):
        injected.kills[worker.service] += 1
        injected.add(now_s, f"killed a worker of {worker.service}")


def _moves(
    seconds: float, registry: RegistryClient, endpoint: str, canary: str
) -> list[tuple[float, str, Callable[[], object]]]:
    def start() -> object:
        return registry.start_rollout(
            endpoint,
            canary,
            steps_bp=STEPS_BP,
            bake_seconds=BAKE_SECONDS,
            guards=Guards(),
            reason="Under load.",
        )

    return [
        (ROLLED_OUT_AT * seconds, f"{canary} rolled out to {STEPS_BP[0] // 100} %", start),
        (
            ABORTED_AT * seconds,
            "rollout aborted",
            lambda: registry.abort_rollout(endpoint, reason="It was to move, not to arrive."),
        ),
    ]


def _tried(move: Callable[[], object]) -> str:
    try:
        move()
    except InvalidInput as error:
        return " ".join([str(error), *map(str, error.fields)])
    except QuicksilverError as error:
        return str(error)
    return "done"
