"""Which rows of the archive are an experiment's observations."""

from __future__ import annotations

from pathlib import Path

import pytest

from quicksilver.experiment.measures import NEVER
from quicksilver.reports.experiment_data import ExperimentData, find_experiment, read_experiment
from quicksilver.routing import Arm, Role, Route
from tests.archives import archive_database
from tests.experiments import DAY_MS, STARTED_MS, ArchiveLines, found


@pytest.fixture
def lines() -> ArchiveLines:
    return ArchiveLines()


def read(lines: ArchiveLines, folder: Path, *, last_route: int = 2) -> ExperimentData:
    with archive_database(lines.write(folder)) as database:
        return read_experiment(database, "card-fraud", found(last_route=last_route))


def test_an_entitys_first_prediction_counts_and_no_later_one(lines: ArchiveLines, tmp_path: Path) -> None:
    later = lines.predict("card_1", STARTED_MS + 5_000, arm="challenger", score=0.9)
    lines.predict("card_1", STARTED_MS + 1_000, arm="challenger", score=0.3)
    lines.become(later, True, STARTED_MS + 2 * DAY_MS)
    challenger = read(lines, tmp_path).challenger
    assert challenger.seen_ms.tolist() == [STARTED_MS + 1_000]
    assert (challenger.score.tolist(), challenger.ripe_ms.tolist()) == ([0.3], [NEVER])


def test_arms_are_by_assignment_whoever_answered_and_the_holdout_is_one_of_its_own(
    lines: ArchiveLines, tmp_path: Path
) -> None:
    lines.predict("card_1", STARTED_MS, arm="challenger", answered_by="card-fraud@1")
    lines.predict("card_2", STARTED_MS, arm="champion")
    lines.predict("card_3", STARTED_MS, arm="holdout")
    data = read(lines, tmp_path)
    assert [len(arm) for arm in (data.challenger, data.champion, data.holdout)] == [1, 1, 1]


def test_a_prediction_is_the_experiments_by_its_route_and_not_by_its_time(
    lines: ArchiveLines, tmp_path: Path
) -> None:
    lines.predict("card_1", STARTED_MS + 1, route=1)
    lines.predict("card_1", STARTED_MS + 2, arm="challenger", route=2)
    lines.predict("card_2", STARTED_MS - 60_000, arm="challenger", route=2)
    lines.predict("card_3", STARTED_MS + 3, route=3)
    lines.predict("card_4", STARTED_MS + 4, route=4)
    lines.predict("card_5", STARTED_MS + 5, endpoint="credit-line")
    data = read(lines, tmp_path, last_route=3)
    assert sorted(data.challenger.seen_ms.tolist()) == [STARTED_MS - 60_000, STARTED_MS + 2]
    assert data.champion.seen_ms.tolist() == [STARTED_MS + 3]


def test_an_outcome_counts_from_when_it_is_known_and_the_prediction_old_enough(
    lines: ArchiveLines, tmp_path: Path
) -> None:
    early, late, unknown = (
        lines.predict(f"card_{n}", STARTED_MS, arm="challenger", score=0.1 * n) for n in (1, 2, 3)
    )
    lines.become(early, True, STARTED_MS + 1)
    lines.become(late, False, STARTED_MS + 3 * DAY_MS)
    data = read(lines, tmp_path)
    challenger = data.challenger
    by_score = dict(zip(challenger.score.round(1).tolist(), challenger.ripe_ms.tolist(), strict=True))
    assert by_score == {0.1: STARTED_MS + DAY_MS, 0.2: STARTED_MS + 3 * DAY_MS, 0.3: NEVER}
    assert dict(zip(challenger.score.round(1).tolist(), challenger.bad.tolist(), strict=True))[0.1]
    assert data.ripe(challenger, STARTED_MS + DAY_MS - 1) == 0
    assert data.ripe(challenger, STARTED_MS + DAY_MS) == 3
    assert unknown == "p2"


def test_the_latest_label_counts_and_deliveries_may_be_repeated(lines: ArchiveLines, tmp_path: Path) -> None:
    prediction = lines.predict("card_1", STARTED_MS, arm="challenger")
    lines.predictions *= 3
    lines.become(prediction, True, STARTED_MS + 3)
    lines.become(prediction, False, STARTED_MS + 2)
    lines.outcomes *= 2
    challenger = read(lines, tmp_path).challenger
    assert challenger.bad.tolist() == [True]


def test_an_empty_archive_has_no_observation(lines: ArchiveLines, tmp_path: Path) -> None:
    data = read(lines, tmp_path)
    assert [len(arm) for arm in (data.challenger, data.champion, data.holdout)] == [0, 0, 0]


# -- which routes --


def route(number: int, experiment: int | None) -> Route:
    carried = found().experiment.model_copy(update={"number": experiment}) if experiment else None
    arms = [("card-fraud@1", Role.CHAMPION, 5_000 if experiment else 10_000)]
    if experiment:
        arms.append(("card-fraud@2", Role.CHALLENGER, 5_000))
    return Route(
        endpoint="card-fraud",
        number=number,
        salt="s",
        arms=tuple(Arm(model=m, package_sha256="a" * 64, role=r, share_bp=s) for m, r, s in arms),
        experiment=carried,
        author="x",
        created_at="2026-11-26T00:00:00.000Z",
    )


def test_an_experiment_has_every_route_that_carries_it() -> None:
    routes = [
        route(1, None),
        route(2, 2),
        route(3, 2),
        route(4, None),
        route(5, 5),
        route(6, 5),
        route(7, None),
    ]
    latest, first = find_experiment(routes), find_experiment(routes, 2)
    assert latest
    assert (latest.experiment.number, latest.first_route, latest.last_route) == (5, 5, 6)
    assert first
    assert (first.first_route, first.last_route, first.champion) == (2, 3, "card-fraud@1")
    assert find_experiment(routes, 3) is None
    assert find_experiment(routes[:1]) is None
