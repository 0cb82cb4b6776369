"""An experiment's observations, out of the archive: each entity's first prediction in it, with its outcome.

Predictions belong to an experiment by the number of their route, which the record has, and not by their time: clocks
differ and environments take up a route when they can. Not on the request path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from quicksilver.experiment.measures import NEVER, Observations, sums_at
from quicksilver.experiment.verdict import Arms
from quicksilver.experiment_plan import Experiment
from quicksilver.frame import Ints
from quicksilver.routing import Route
from quicksilver.sql.engine import ArchiveDatabase

CHALLENGER, CHAMPION, HOLDOUT = "challenger", "champion", "holdout"

_FIRST_PREDICTIONS = """
WITH numbered AS (
    SELECT
        CASE WHEN arm.holdout THEN 'holdout' ELSE arm.role END AS arm_name,
        prediction_id,
        time,
        score,
        row_number() OVER (PARTITION BY entity_id ORDER BY time, prediction_id) AS place
    FROM predictions
    WHERE endpoint = $endpoint AND route BETWEEN $first_route AND $last_route
)
SELECT
    arm_name,
    date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', numbered.time) AS seen_ms,
    score,
    label,
    date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', outcomes.time) AS known_ms
FROM numbered LEFT JOIN outcomes ON outcomes.prediction_id = numbered.prediction_id
WHERE place = 1 AND arm_name IN ('challenger', 'champion', 'holdout')
"""


class Found(NamedTuple):
    """An experiment, the champion it is compared with, and the routes that carry it."""

    experiment: Experiment
    champion: str
    holdout_bp: int
    first_route: int
    last_route: int

    @property
    def started_ms(self) -> int:
        return round(datetime.fromisoformat(self.experiment.started_at).timestamp() * 1_000)


def find_experiment(routes: Sequence[Route], number: int | None = None) -> Found | None:
    """The experiment of that number among an endpoint's routes, or the latest; ``None`` where there is none."""
    own: list[Route] = []
    for route in routes:
        if route.experiment and (number is None or route.experiment.number == number):
            if own and own[0].experiment and own[0].experiment.number != route.experiment.number:
                own = []
            own.append(route)
    if not own or own[0].experiment is None:
        return None
    first, last = own[0], own[-1]
    return Found(own[0].experiment, first.champion.model, first.holdout_bp, first.number, last.number)


@dataclass(frozen=True, slots=True)
class ExperimentData:
    """The observations of each arm. ``ripe_after_ms`` is the age from which a prediction's outcome counts."""

    challenger: Observations
    champion: Observations
    holdout: Observations
    ripe_after_ms: int

    def arms_at(self, looks_ms: Ints, cutoff: float) -> Arms:
        """The arms' sums at rising moments, as one would have seen them then, but for labels that have changed since."""
        return Arms(
            sums_at(self.challenger, looks_ms, cutoff),
            sums_at(self.champion, looks_ms, cutoff),
            sums_at(self.holdout, looks_ms, cutoff),
        )

    def ripe(self, observations: Observations, now_ms: int) -> int:
        """How many of an arm's entities were seen long enough ago for their outcome to count."""
        return int((observations.seen_ms + self.ripe_after_ms <= now_ms).sum())


def read_experiment(database: ArchiveDatabase, endpoint: str, found: Found) -> ExperimentData:
    """The observations of an experiment. Raises ``InvalidQuery``."""
    answer = database.query(
        _FIRST_PREDICTIONS,
        {"endpoint": endpoint, "first_route": found.first_route, "last_route": found.last_route},
    )
    ripe_after_ms = found.experiment.terms.ripe_after_seconds * 1_000
    by_arm: dict[str, list[tuple[Any, ...]]] = {CHALLENGER: [], CHAMPION: [], HOLDOUT: []}
    for arm, *row in answer.rows:
        by_arm[arm].append(tuple(row))
    challenger, champion, holdout = (_observations(rows, ripe_after_ms) for rows in by_arm.values())
    return ExperimentData(challenger, champion, holdout, ripe_after_ms)


def _observations(rows: Sequence[tuple[Any, ...]], ripe_after_ms: int) -> Observations:
    seen = np.array([row[0] for row in rows], dtype=np.int64)
    known = np.array([NEVER if row[3] is None else row[3] for row in rows], dtype=np.int64)
    return Observations(
        seen_ms=seen,
        ripe_ms=np.maximum(known, seen + ripe_after_ms),
        score=np.array([row[1] for row in rows], dtype=np.float64),
        bad=np.array([bool(row[2]) for row in rows], dtype=np.bool_),
    )
