"""The local stage under load for half an hour, while workers are killed and registry, features and stream go away in turn.

    python -m bench.soak --minutes 30

Every request has to be answered, or refused by an error that docs/api.md has, and every answer's record has to be in the
archive exactly once by prediction id. Prints tables, writes build/figures/soak.json, and ends with 1 where that is broken.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import figures
from bench.soak_archive import counted, redelivered, wait_until_still
from bench.soak_conductor import Injected, conduct
from bench.soak_figures import content_of, show
from bench.soak_judge import given_ids
from bench.soak_load import Load
from bench.soak_schedule import OUTAGES, Outage, Schedule, Target, draw
from bench.soak_wire import Wire
from examples.card_fraud.candidates import as_good
from examples.card_fraud.contract import ENDPOINT
from examples.card_fraud.handover import approve, hand_over
from examples.card_fraud.replay import select_replay
from examples.card_fraud.train import train
from quicksilver.aws.api import ApiClient
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.cli.output import progress_bar
from quicksilver.errors import Unavailable
from quicksilver.local.deployment import STAGE, Deployment
from quicksilver.local.temporary import temporary_deployment
from quicksilver.query import Span

SEED = 7
ENTITIES = 2_000
KILL_EVERY_S = 10
CALLERS = (1, 2, 4, 6, 8, 12, 16)
GAIN = 1.1
"""More callers are worth it while they give a tenth more answers a second."""
STEP_S = 8.0
"""How long a number of callers is tried, once each has a worker."""
PATIENCE_S = 120
SETTLE_S = 90
"""More than a key is held by an attempt that died, and than a worker takes to find the registry again."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Soaked:
    """A stage that was soaked: what was injected and asked, by how many callers, and what its archive holds."""

    schedule: Schedule
    load: Load
    callers: int
    injected: Injected
    calibration: dict[int, float]
    begun_s: float
    keys_unanswered: int
    put_back: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--figures", type=Path, default=figures.FIGURES)
    chosen = parser.parse_args()
    if chosen.minutes <= 0:
        parser.error("--minutes must be more than 0")
    console = Console(stderr=True, highlight=False)
    begun = time.monotonic()

    def say(step: str) -> None:
        console.print(f"{time.monotonic() - begun:5.0f} s  {step}", markup=False)

    content = soak(chosen.minutes * 60, chosen.seed, say)
    show(content)
    print(
        f"\nwritten: {figures.write('soak', content, taken=taken(chosen.minutes, chosen.seed), folder=chosen.figures)}"
    )
    sys.exit(bool(content["missed"]))


def taken(minutes: float, seed: int) -> str:
    return (
        f"{minutes:g} minutes on the local stage, schedule of seed {seed}; the callers, the wire and the emulator share the "
        "machine's cores. Latencies are of single answered requests, as multiples of those while no outage was on "
        "(workers were killed then too); the emulator is no latency instrument."
    )


def soak(
    seconds: float,
    seed: int,
    say: Say,
    *,
    outages: tuple[Outage, ...] = OUTAGES,
    kill_every_s: float = KILL_EVERY_S,
    callers: tuple[int, ...] = CALLERS,
    step_s: float = STEP_S,
) -> dict[str, Any]:
    """Deploy, find out what the stage can bear, hold that for so many seconds while things fail, and count what is left."""
    say("a local AWS and stage=local, with a wire of ours between functions and AWS")
    with wired_deployment() as (deployment, wire):
        ada, grace = (DeployedStage(STAGE, deployment.environment_of(name)) for name in ("ada", "grace"))
        wire.knows(
            {Target.REGISTRY: ada.outputs["RegistryTable"], Target.FEATURES: ada.outputs["FeaturesTable"]}
        )
        say("training, and handing a champion and a canary over")
        trained = train()
        hand_over(ada, grace, trained, lambda _: None)
        canary = approve(ada, grace, as_good(trained), lambda _: None).model
        crowd = select_replay(trained.contract, trained.transactions, trained.frame, n=ENTITIES)
        ada.features.write(crowd.feature_rows(SystemClock().now_ms()))
        since_ms = time.time_ns() // 1_000_000
        load = Load(patient_api(ada), ENDPOINT, [row.body for row in crowd.rows], seed)
        calibration = calibrate(load, callers, step_s, say)
        schedule = draw(seconds, seed, outages=outages, kill_every_s=kill_every_s)
        folder = deployment.log.parent  # this run's own, where the programs of its workers lie
        holding = load.callers
        begun_s = time.monotonic()
        injected = conduct(schedule, wire, folder, grace.registry, ENDPOINT, canary, load, say)
        say("all is well again: asking the keys that have no clear answer yet")
        load.run(0)
        unanswered = load.settle(SETTLE_S)
        say("putting back what the stream had refused")
        put_back = redelivered(ada)
        wait_until_still(ada, ENDPOINT, say)
        say("counting the archive, and recounting it for the rollup")
        with progress_bar("reading the archive") as advance:
            archived = counted(ada, ENDPOINT, Span(since_ms, time.time_ns() // 1_000_000), advance)
    return content_of(
        Soaked(schedule, load, holding, injected, calibration, begun_s, unanswered, put_back), archived, wire
    )


def patient_api(stage: DeployedStage) -> ApiClient:
    """The scoring API for callers who wait: the emulator starts a worker within the request, and its gateway has no limit to
    end that with a 504, as API Gateway does after 29 s. What takes longer than that is counted."""
    session = stage.session
    credentials = session.get_credentials()
    return ApiClient(
        stage.api_url, credentials, session.region_name, api_key=stage.api_key, seconds=PATIENCE_S
    )


@contextmanager
def wired_deployment() -> Iterator[tuple[Deployment, Wire]]:
    """A stage of its own whose functions reach AWS by a wire that can be cut."""
    wire = Wire()
    try:
        with temporary_deployment("soak", functions_reach=wire.before) as deployment:
            yield deployment, wire
    finally:
        wire.stop()


def until(so: Callable[[], bool], what: str) -> None:
    """Wait until something is so. Raises ``Unavailable`` where it does not become so."""
    deadline = time.monotonic() + PATIENCE_S
    while not so():
        if time.monotonic() > deadline:
            raise Unavailable(f"Still not so after {PATIENCE_S} s: {what}.")
        time.sleep(0.1)


def calibrate(load: Load, tried: tuple[int, ...], step_s: float, say: Say) -> dict[int, float]:
    """Let ever more callers ask until more of them get no more answers, and leave as many as were worth it. Returns the
    answers a second by the number of callers."""
    found: dict[int, float] = {}
    best = tried[0]
    for callers in tried:
        load.run(callers)
        until(lambda: load.is_warm and bool(given_ids(load.asked)), f"{callers} callers get answers")
        before, since = len(load.asked), time.monotonic()
        time.sleep(step_s)
        found[callers] = (len(load.asked) - before) / (time.monotonic() - since)
        say(f"{callers} callers: {found[callers]:.0f} requests a second")
        if callers != best and found[callers] < GAIN * found[best]:
            break
        best = callers
    load.run(best)
    say(f"{best} callers from now on")
    return found


if __name__ == "__main__":
    main()
