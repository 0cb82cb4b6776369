"""How fast a bad canary is taken back, on the deployed local stage and by its own schedule, while callers keep scoring.

    python -m bench.rollback

A stage of its own; nobody invokes the rollout function but the stage's rule, once a minute. Prints tables, writes
build/figures/rollback.json, and ends with 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import figures
from bench.callers import Callers, Given, keep_scoring
from bench.evidence import Evidence, evidence, once_each
from bench.rollback_figures import Aborted, RolledBack, content_of, row_of, show
from examples.card_fraud.candidates import as_good, in_the_wrong_unit
from examples.card_fraud.contract import ENDPOINT
from examples.card_fraud.handover import approve, hand_over
from examples.card_fraud.replay import select_replay
from examples.card_fraud.train import Trained, train
from quicksilver.archive import PREDICTIONS
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.errors import Unavailable
from quicksilver.guard_policy import Guards
from quicksilver.history import Action
from quicksilver.instants import epoch_ms
from quicksilver.local.deployment import STAGE
from quicksilver.local.temporary import temporary_deployment
from quicksilver.package import MODEL
from quicksilver.query import Span
from quicksilver.rollout.look import Verdict
from quicksilver.rollout.run import look_at
from quicksilver.rollout_registry import Move
from quicksilver.rollup.record import Counted, read_record

STEPS_BP = (5_000, 10_000)
BAKE_SECONDS = 600
GUARDS = Guards()
CALLERS = 2
ENTITIES = 2_000
HISTORY = 200
"""Answers of the champion before anything is rolled out."""
ABORTED_AFTER = 20
"""Answers of a canary that works, before its rollout is aborted."""
QUIET_S, WATCHED_S = 4, 12
"""After a route, callers are watched for so long at least, and until no answer has had to do with the canary for so long."""
PATIENCE_S = 180
SCHEDULE_S = 60
ABORT_TAKES_S = 20
"""More than an abort takes here, with what it takes to get there."""

WRONG, UNLOADABLE = "learned another unit", "cannot be loaded"

TAKEN = (
    "On the local stage, whose own rule rate(1 minute) invokes the rollout function (the emulator looks at its rules every "
    f"10 s); canary at {STEPS_BP[0] // 100} % with the usual guards, {CALLERS} callers; elapsed seconds. Evidence: the first "
    "prediction whose record, with all before it, makes the verdict roll back. Back at 0: the last answer that the canary "
    "had to do with. The local stage's rollup has periods of 5 s."
)


@dataclass(frozen=True)
class Stage:
    """The stage under measurement, as two people reach it, and the model versions on it."""

    ada: DeployedStage
    grace: DeployedStage
    good: str
    canaries: dict[str, str]


Say = Callable[[str], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rollbacks", type=int, default=3, help="of the canary that learned another unit")
    parser.add_argument("--unloadable", type=int, default=1, help="of the canary that cannot be loaded")
    parser.add_argument("--aborts", type=int, default=5)
    parser.add_argument("--figures", type=Path, default=figures.FIGURES)
    chosen = parser.parse_args()
    console = Console(stderr=True, highlight=False)
    begun = time.monotonic()

    def say(step: str) -> None:
        console.print(f"{time.monotonic() - begun:5.0f} s  {step}", markup=False)

    content = measure({WRONG: chosen.rollbacks, UNLOADABLE: chosen.unloadable}, chosen.aborts, say)
    show(content)
    print(f"\nwritten: {figures.write('rollback', content, taken=TAKEN, folder=chosen.figures)}")
    sys.exit(bool(content["missed"]))


def measure(rollbacks: dict[str, int], aborts: int, say: Say) -> dict[str, Any]:
    """Deploy, hand over, and take canaries back so many times of each kind, aborts in between."""
    say("a local AWS and stage=local")
    with temporary_deployment("bench") as deployment:
        ada, grace = (DeployedStage(STAGE, deployment.environment_of(name)) for name in ("ada", "grace"))
        say("training, and handing a champion and three canaries over")
        trained = train()
        stage = _handed_over(ada, grace, trained)
        crowd = select_replay(trained.contract, trained.transactions, trained.frame, n=ENTITIES)
        ada.features.write(crowd.feature_rows(SystemClock().now_ms()))
        began_ms = int(time.time() * 1_000)
        bodies = [row.body for row in crowd.rows]
        with keep_scoring(ada.api, ENDPOINT, bodies, callers=CALLERS) as callers:
            _until(lambda: len(callers.given) >= HISTORY, "the champion has a history")
            ended = list(_in_turn(stage, callers, rollbacks, aborts, say))
        say("reading the archive for the moments of the evidence")
        records = _archived(ada, callers.given, began_ms)
        counted_by = ada.environment_of(ada.function("rollup"))
        routes = sum(1 for route in grace.registry.routes(ENDPOINT) if epoch_ms(route.created_at) >= began_ms)
    cutoff = float(json.loads(counted_by["QUICKSILVER_CUTOFFS"])[ENDPOINT])
    period_seconds = int(counted_by["QUICKSILVER_ROLLUP_PERIOD_SECONDS"])

    def found(one: RolledBack) -> Evidence | None:
        return evidence(one.rollout, one.champion, records, period_seconds=period_seconds, cutoff=cutoff)

    rows = [row_of(one, found(one)) for one in ended if isinstance(one, RolledBack)]
    return content_of(rows, [one for one in ended if isinstance(one, Aborted)], callers.given, routes)


def _in_turn(
    stage: Stage, callers: Callers, rollbacks: dict[str, int], aborts: int, say: Say
) -> Iterator[RolledBack | Aborted]:
    """Each rollback begins at another second of the schedule's minute; aborts take place while that is waited for."""
    left = [what for what, times in rollbacks.items() for _ in range(times)]
    aborted = 0
    for turn, what in enumerate(left):
        begins_ms = next_ms(_last_look_ms(stage.ada), phase_s(turn, len(left)), time.time() * 1_000)
        while aborted < aborts and begins_ms - time.time() * 1_000 > ABORT_TAKES_S * 1_000:
            aborted += 1
            say(f"abort {aborted} of {aborts}")
            yield _abort(stage, callers)
        time.sleep(max(0.0, begins_ms / 1_000 - time.time()))
        say(f"rollback {turn + 1} of {len(left)}: {what}")
        yield _roll_back(stage, callers, what)
    for number in range(aborted + 1, aborts + 1):
        say(f"abort {number} of {aborts}")
        yield _abort(stage, callers)


def phase_s(turn: int, turns: int) -> float:
    """How long after a look a rollback begins: the first just after one, so that its evidence waits for nearly a minute."""
    return 1 + turn * SCHEDULE_S / turns


def next_ms(look_ms: float, after_s: float, now_ms: float) -> float:
    """The next moment that lies so long after a look, where one is each minute."""
    first_ms = look_ms + after_s * 1_000
    return first_ms + math.ceil(max(0.0, now_ms - first_ms) / (SCHEDULE_S * 1_000)) * SCHEDULE_S * 1_000


def _last_look_ms(stage: DeployedStage) -> float:
    """When the rollout function ran last, by what it logged: nobody but the schedule invokes it here."""
    group = stage.client("lambda").get_function_configuration(FunctionName=stage.function("rollout"))
    logs = stage.client("logs").get_paginator("filter_log_events")
    looks: list[float] = []

    def looked() -> bool:
        pages = logs.paginate(logGroupName=group["LoggingConfig"]["LogGroup"])
        looks.extend(event["timestamp"] for page in pages for event in page["events"])
        return bool(looks)

    _until(looked, "the schedule has invoked the rollout function")
    return max(looks)


def _handed_over(ada: DeployedStage, grace: DeployedStage, trained: Trained) -> Stage:
    def silent(_: str) -> None:
        pass

    hand_over(ada, grace, trained, silent)
    candidate = as_good(trained)
    again = replace(candidate, metrics={**candidate.metrics, "another_package": 1.0})
    good, wrong, unloadable = (
        approve(ada, grace, one, silent).model for one in (candidate, in_the_wrong_unit(trained), again)
    )
    # Approved, and then altered where it lies: an environment that fetches it finds other bytes than were approved.
    sha256 = ada.registry.model_version(unloadable).package_sha256
    key = f"packages/{sha256}/{MODEL}"
    ada.client("s3").put_object(Bucket=ada.outputs["ModelsBucket"], Key=key, Body=b"altered")
    return Stage(ada, grace, good, {WRONG: wrong, UNLOADABLE: unloadable})


def _roll_back(stage: Stage, callers: Callers, what: str) -> RolledBack:
    """Roll a bad canary out, and wait for the schedule to take it back."""
    registry, model = stage.grace.registry, stage.canaries[what]
    started_ms = time.time() * 1_000
    route = registry.start_rollout(
        ENDPOINT,
        model,
        steps_bp=STEPS_BP,
        bake_seconds=BAKE_SECONDS,
        guards=GUARDS,
        reason="To be rolled back.",
    )
    rollout = route.rollout
    assert rollout is not None  # noqa: S101 - it has just been started
    seen_ms = None
    deadline = time.monotonic() + PATIENCE_S
    while registry.current_route(ENDPOINT).number == route.number and time.monotonic() < deadline:
        if seen_ms is None:
            seen = look_at(route, stage.ada.rollup, SystemClock())
            seen_ms = time.time() * 1_000 if seen.verdict is Verdict.ROLL_BACK else None
        time.sleep(1)
    route_ms, reason = _rolled_back(stage, rollout.number)
    if route_ms is None:
        registry.abort_rollout(ENDPOINT, reason="It was not rolled back.")
    last = _last(callers, model, started_ms)
    champion = route.champion.model
    return RolledBack(what, rollout, champion, started_ms, seen_ms, route_ms, reason, last)


def _rolled_back(stage: Stage, number: int) -> tuple[int | None, str]:
    """When the route that took a rollout back was made, and why."""
    for entry in stage.grace.registry.history(ENDPOINT):
        facts = entry.details.get("rollout", {})
        if entry.action is Action.ROUTED and (facts.get("number"), facts.get("move")) == (
            number,
            Move.ROLLED_BACK,
        ):
            return epoch_ms(entry.at), entry.reason
    return None, "It was not rolled back."


def _abort(stage: Stage, callers: Callers) -> Aborted:
    registry = stage.grace.registry
    started_ms = time.time() * 1_000
    registry.start_rollout(
        ENDPOINT,
        stage.good,
        steps_bp=STEPS_BP,
        bake_seconds=BAKE_SECONDS,
        guards=GUARDS,
        reason="To be aborted.",
    )
    _until(
        lambda: len(callers.touching(stage.good, since_ms=started_ms)) >= ABORTED_AFTER, "the canary answers"
    )
    called_ms = time.time() * 1_000
    registry.abort_rollout(ENDPOINT, reason="The abort is measured.")
    returned_ms = time.time() * 1_000
    last = _last(callers, stage.good, started_ms)
    assert last is not None  # noqa: S101 - it has been waited for
    return Aborted(called_ms, returned_ms, last)


def _last(callers: Callers, model: str, since_ms: float) -> Given | None:
    """The last answer a model version had to do with, after a route took it away."""
    until = time.monotonic() + WATCHED_S

    def quiet() -> bool:
        touched = callers.touching(model, since_ms=since_ms)
        last_ms = touched[-1].answered_ms if touched else since_ms
        return time.monotonic() >= until and time.time() * 1_000 - last_ms >= QUIET_S * 1_000

    _until(quiet, f"no answer has to do with {model}")
    return max(callers.touching(model, since_ms=since_ms), key=lambda one: one.answered_ms, default=None)


def _until(so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not so():
        if time.monotonic() > deadline:
            raise Unavailable(f"Still not so after {PATIENCE_S} s: {what}.")
        time.sleep(0.2)


def _archived(stage: DeployedStage, given: Iterable[Given], since_ms: int) -> list[Counted]:
    """The records of every answer, once they are in the archive."""
    wanted = {one.prediction_id for one in given if not one.failure}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        lines = list(stage.archive.lines(PREDICTIONS, Span(since_ms, time.time_ns() // 1_000_000)))
        if wanted <= {json.loads(line)["prediction_id"] for line in lines}:
            return once_each(map(read_record, lines))
        if time.monotonic() > deadline:
            raise Unavailable(f"The archive does not hold every prediction after {PATIENCE_S} s.")
        time.sleep(1)


if __name__ == "__main__":
    main()
