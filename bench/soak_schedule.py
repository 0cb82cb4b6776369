"""What the soak injects and when, drawn from one seed: outages in random order with quiet between, kills at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

OUTAGE_SHARE = 0.4
"""Of an outage's slot; the rest of the slot is quiet, before and after it."""
QUIET = "quiet"


class Target(StrEnum):
    """What is away."""

    REGISTRY = "registry"
    FEATURES = "features"
    STREAM = "stream"


class Kind(StrEnum):
    """How it is away."""

    CUT = "cut"  # every connection ends as soon as something is asked
    HANGS = "hangs"  # connections are taken and nothing is ever answered
    ERRORS = "errors"  # AWS says 500 or 503
    UNACKNOWLEDGED = "unacknowledged"  # what is asked is done, and its answer never comes


class Killed(StrEnum):
    """Whose worker is killed."""

    SCORE = "score"
    CONSUMER = "consumer"  # one that reads the stream or puts records back on it


@dataclass(frozen=True, slots=True)
class Outage:
    target: Target
    kind: Kind

    def __str__(self) -> str:
        return f"{self.target.value} {self.kind.value}"


OUTAGES = (
    *(Outage(target, kind) for target in Target for kind in (Kind.CUT, Kind.HANGS, Kind.ERRORS)),
    Outage(Target.STREAM, Kind.UNACKNOWLEDGED),
)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the soak, in seconds since its begin; ``outage`` is None while it is quiet."""

    start_s: float
    end_s: float
    outage: Outage | None = None

    @property
    def name(self) -> str:
        return str(self.outage) if self.outage else QUIET


@dataclass(frozen=True, slots=True)
class Kill:
    """``draw``, from 0 up to 1, picks one of the workers that live then."""

    at_s: float
    whose: Killed
    draw: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """Phases without a gap from 0 to the end, and kills in order of time."""

    phases: Sequence[Phase]
    kills: Sequence[Kill]

    @property
    def seconds(self) -> float:
        return self.phases[-1].end_s

    def phase_at(self, second: float) -> Phase:
        """The phase of a moment; the last one for what comes later."""
        return next((phase for phase in self.phases if second < phase.end_s), self.phases[-1])


def draw(
    seconds: float,
    seed: int,
    *,
    outages: Sequence[Outage] = OUTAGES,
    kill_every_s: float,
    consumers_share: float = 0.25,
) -> Schedule:
    """Each outage once, in slots of one length, at a random place within its slot; kills by a Poisson process."""
    random = Random(seed)
    order = list(outages)
    random.shuffle(order)
    slot_s = seconds / len(order)
    phases: list[Phase] = []
    quiet_since_s = 0.0
    for place, outage in enumerate(order):
        lasts_s = slot_s * OUTAGE_SHARE
        # Quiet on both sides: what an outage leaves behind has passed before the next one.
        start_s = place * slot_s + random.uniform(0.2, 0.8) * (slot_s - lasts_s)
        phases += [Phase(quiet_since_s, start_s), Phase(start_s, start_s + lasts_s, outage)]
        quiet_since_s = start_s + lasts_s
    phases.append(Phase(quiet_since_s, seconds))
    kills = []
    at_s = random.expovariate(1 / kill_every_s)
    while at_s < seconds:
        whose = Killed.CONSUMER if random.random() < consumers_share else Killed.SCORE
        kills.append(Kill(at_s, whose, random.random()))
        at_s += random.expovariate(1 / kill_every_s)
    return Schedule(phases, kills)
