"""A game day on the deployed local stage: break one thing after another under traffic, let the doctor find it, repair it.

    python -m bench.gameday

A stage of its own, with callers that keep scoring. Prints a table, writes build/figures/gameday.json, and ends with 1 where
an exercise was not found, was not repaired, or was felt by callers who should not have noticed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import figures
from bench.callers import Callers, keep_scoring
from bench.gameday_exercises import EXERCISES, Exercise
from examples.card_fraud.contract import ENDPOINT
from examples.card_fraud.handover import hand_over
from examples.card_fraud.replay import select_replay
from examples.card_fraud.train import train
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.doctor.examination import Round
from quicksilver.doctor.finding import Health
from quicksilver.errors import Unavailable
from quicksilver.local.deployment import STAGE
from quicksilver.local.temporary import temporary_deployment

CALLERS = 2
ENTITIES = 200
WARM = 100
"""Answers before anything is broken: as many environments as callers need have their champion then."""
PATIENCE_S = 120
FELT_S = 12
"""Traffic goes on for so long while a thing is broken: longer than an environment keeps a route without asking for it."""

TAKEN = (
    f"On the local stage under {CALLERS} callers of {ENDPOINT}; found: seconds from the injection until quicksilver doctor says so; "
    "well: seconds from the repair until it finds nothing."
)


@dataclass(frozen=True, slots=True)
class Held:
    """One exercise as it went. ``said`` is the doctor's sentence; ``None`` seconds are never."""

    exercise: str
    section: str
    said: str
    found_seconds: float | None
    well_seconds: float | None
    answered: int
    refused: int
    unfelt: bool
    left: tuple[str, ...] = ()
    """What the doctor still found after the repair."""

    @property
    def missed(self) -> list[str]:
        """What of the exercise did not go as it must, a sentence each."""
        found = []
        if self.found_seconds is None:
            found.append(f"{self.exercise}: the doctor did not find it.")
        if self.well_seconds is None:
            found.append(f"{self.exercise}: it was not repaired: {', '.join(self.left)}.")
        if self.unfelt and self.refused:
            found.append(f"{self.exercise}: {self.refused} callers were refused.")
        if not self.answered:
            found.append(f"{self.exercise}: no caller was answered.")
        return found


Say = Callable[[str], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="the exercises to hold, by name")
    parser.add_argument("--figures", type=Path, default=figures.FIGURES)
    chosen = parser.parse_args()
    names = [exercise.name for exercise in EXERCISES]
    if unknown := [name for name in chosen.only if name not in names]:
        sys.exit(f"There is no exercise {unknown[0]!r}; there are: {', '.join(names)}.")
    console = Console(stderr=True, highlight=False)
    begun = time.monotonic()

    def say(step: str) -> None:
        console.print(f"{time.monotonic() - begun:5.0f} s  {step}", markup=False)

    held = hold([exercise for exercise in EXERCISES if not chosen.only or exercise.name in chosen.only], say)
    content = content_of(held)
    show(held)
    print(f"\nwritten: {figures.write('gameday', content, taken=TAKEN, folder=chosen.figures)}")
    for sentence in content["missed"]:
        print(f"missed: {sentence}")
    sys.exit(bool(content["missed"]))


def hold(exercises: Sequence[Exercise], say: Say) -> list[Held]:
    """Deploy a stage, put a champion on it, and hold the exercises one after another under traffic."""
    say("a local AWS and stage=local")
    with temporary_deployment("gameday") as deployment:
        ada, grace = (DeployedStage(STAGE, deployment.environment_of(name)) for name in ("ada", "grace"))
        say("training, and handing a champion over")
        trained = train()
        hand_over(ada, grace, trained, lambda _: None)
        crowd = select_replay(trained.contract, trained.transactions, trained.frame, n=ENTITIES)
        ada.features.write(crowd.feature_rows(SystemClock().now_ms()))
        bodies = [row.body for row in crowd.rows]
        _until(lambda: ada.api.score(ENDPOINT, bodies[0]).status == 200, "the champion answers")
        _until(lambda: not failures(ada), "the stage is well before anything is broken")
        with keep_scoring(ada.api, ENDPOINT, bodies, callers=CALLERS) as callers:
            _until(lambda: len(callers.given) >= WARM, "callers are answered")
            return [_held(exercise, ada, callers, say) for exercise in exercises]


def _held(exercise: Exercise, stage: DeployedStage, callers: Callers, say: Say) -> Held:
    say(exercise.name)
    began = time.monotonic()
    first = len(callers.given)
    kept = exercise.inject(stage)
    said, found_s = _found(exercise, stage, began)
    time.sleep(max(0.0, began + FELT_S - time.monotonic()))
    repaired = time.monotonic()
    exercise.repair(stage, kept)
    left, well_s = _well(stage, repaired)
    given = callers.given[first:]
    refused = [one.failure for one in given if one.failure]
    for sentence in sorted(set(refused))[:1]:
        say(f"  callers: {sentence[:120]}")
    return Held(
        exercise.name,
        exercise.section,
        said,
        found_s,
        well_s,
        answered=len(given) - len(refused),
        refused=len(refused),
        unfelt=exercise.unfelt,
        left=left,
    )


def failures(stage: DeployedStage) -> dict[str, str]:
    """What the doctor says has failed, by subject."""
    seen = Round(stage, stage.reader, stage.probed_api, SystemClock()).examine()
    return {finding.subject: finding.seen for finding in seen.of(Health.FAIL)}


def _found(exercise: Exercise, stage: DeployedStage, began: float) -> tuple[str, float | None]:
    while time.monotonic() < began + PATIENCE_S:
        if said := failures(stage).get(exercise.finds):
            return said, time.monotonic() - began
    return "", None


def _well(stage: DeployedStage, repaired: float) -> tuple[tuple[str, ...], float | None]:
    left: dict[str, str] = {}
    while time.monotonic() < repaired + PATIENCE_S:
        left = failures(stage)
        if not left:
            return (), time.monotonic() - repaired
    return tuple(left.values()), None


def _until(probe: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not probe():
        if time.monotonic() > deadline:
            raise Unavailable(f"Still not so after {PATIENCE_S} s: {what}.")
        time.sleep(0.5)


def content_of(held: Sequence[Held]) -> dict[str, Any]:
    missed = [sentence for one in held for sentence in one.missed]
    return {"exercises": [asdict(one) for one in held], "missed": missed}


def show(held: Sequence[Held]) -> None:
    table = figures.table(
        "game day", "exercise", "the doctor said", "found s", "well s", "answered", "refused"
    )
    for one in held:
        table.add_row(
            one.exercise,
            one.said or "nothing",
            _seconds(one.found_seconds),
            _seconds(one.well_seconds),
            str(one.answered),
            str(one.refused),
        )
    figures.show(table)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main()
