"""The releases of the demo, under traffic and on compressed time: a shadow, a canary that becomes the champion, and one
that its guards take back.

A minute of a rollout is five seconds here: the local stage's rollup has periods of five seconds, and the rollout function is
invoked every other second instead of by its schedule.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.card_fraud.contract import ENDPOINT
from examples.card_fraud.traffic import Traffic
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.errors import QuicksilverError, Unavailable
from quicksilver.guard_policy import Guards, Limits
from quicksilver.history import Action, Entry
from quicksilver.rollout_registry import Move

Say = Callable[[str], None]

STEPS_BP = (1_000, 5_000, 10_000)
BAKE_SECONDS = 6
GUARDS = Guards(
    min_requests=60,
    # So few requests say little: within these limits, chance alone holds a good canary up now and then.
    limits=Limits(error_rate=0.02, degraded_rate=0.1, slow_rate=0.2, approval_rate=0.06, score_shift=0.3),
)
LOOK_SECONDS = 2
PATIENCE_SECONDS = 120
SHADOWED = 200
TAKEN_UP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision of a rollout, as the history has it."""

    seconds: float
    move: str
    reason: str


def compare_shadow(ada: DeployedStage, model: str, traffic: Traffic) -> dict[str, Any]:
    """Let a model version score beside the champion until it has seen enough, and report what it would have done."""
    ada.registry.add_shadow(ENDPOINT, model, reason="A look before anybody sees it.")
    begun = time.time()
    deadline = time.monotonic() + PATIENCE_SECONDS
    # Running functions take the shadow up within ten seconds, and a report reads all of the archive's last minutes.
    while traffic.answered < SHADOWED or time.time() - begun < TAKEN_UP_SECONDS:
        traffic.check()
        time.sleep(0.2)
    while True:
        traffic.check()
        hours = (time.time() - begun) / 3_600 + 0.01
        report = _report(model, hours)
        if report and report["coverage"]["scored"] >= SHADOWED:
            ada.registry.remove_shadow(ENDPOINT, model, reason="Seen enough.")
            return report
        if time.monotonic() > deadline:
            raise Unavailable(f"{model} has not scored {SHADOWED} predictions in {PATIENCE_SECONDS} s.")
        time.sleep(1)


def roll_out(grace: DeployedStage, model: str, traffic: Traffic) -> Iterator[Decided]:
    """Roll a model version out, and give each decision as it is made; the last is that the rollout ended."""
    route = grace.registry.start_rollout(
        ENDPOINT, model, steps_bp=STEPS_BP, bake_seconds=BAKE_SECONDS, guards=GUARDS, reason="The demo's."
    )
    assert route.rollout is not None  # noqa: S101 - it has just been started
    number, begun = route.rollout.number, time.monotonic()
    told = 0
    while True:
        for entry in _decisions(grace, number)[told:]:
            told += 1
            move = str(entry.details["rollout"].get("move", "hold"))
            yield Decided(time.monotonic() - begun, _words(entry, move), entry.reason)
            if move in (Move.COMPLETED, Move.ROLLED_BACK, Move.ABORTED):
                return
        traffic.check()
        if time.monotonic() - begun > PATIENCE_SECONDS:
            raise Unavailable(f"The rollout of {model} has not ended after {PATIENCE_SECONDS} s.")
        said = grace.invoke(grace.function("rollout"), {})[ENDPOINT]
        if said.startswith("failed"):
            raise QuicksilverError(f"The rollout function says: {said}")
        time.sleep(LOOK_SECONDS)


def _decisions(grace: DeployedStage, number: int) -> list[Entry]:
    entries = grace.registry.history(ENDPOINT)
    return [entry for entry in entries if entry.details.get("rollout", {}).get("number") == number]


def _words(entry: Entry, move: str) -> str:
    if entry.action is not Action.ROUTED:
        return "hold"
    arms = entry.details["route"]["arms"]
    canary = next((arm["share_bp"] for arm in arms if arm["role"] == "canary"), None)
    return move.replace("_", " ") + (f", {canary / 100:g} %" if canary is not None else "")


def _report(model: str, hours: float) -> dict[str, Any] | None:
    """The report as its command gives it; none before the first score is in the archive."""
    command = [
        str(Path(sys.prefix, "bin", "quicksilver")), "shadow", "report", "--endpoint", ENDPOINT, "--model", model,
        "--hours", f"{hours:.4f}", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        if "has scored nothing" in done.stderr:
            return None
        raise Unavailable(f"The report on {model} failed: {done.stderr.strip()}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report
