"""The demo's candidates, its callers and what it says of decisions: each as it must be for the demo to prove anything."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from examples.card_fraud import candidates, release
from examples.card_fraud.candidates import SECONDS_PER_HOUR, WRONG_UNIT
from examples.card_fraud.release import Decided, roll_out
from examples.card_fraud.replay import ReplayRow
from examples.card_fraud.simulator import SimulationConfig
from examples.card_fraud.traffic import Traffic, traffic
from examples.card_fraud.train import Trained, train
from quicksilver.aws.api import ApiAnswer
from quicksilver.errors import QuicksilverError, Unavailable
from quicksilver.history import GENESIS, Action, Entry

SMALL = SimulationConfig(transactions=25_000, cards=1_500, days=40)
MODEL = "card-fraud@2"


# -- candidates --


@pytest.fixture(scope="module")
def small_trees() -> Iterator[None]:
    """Candidates of a size for tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "ROUNDS", 40)
        patch.setattr(candidates, "LEAVES", 12)
        yield


@pytest.fixture(scope="module")
def trained(small_trees: None) -> Trained:
    return train(SMALL, rounds=40, leaves=15)


@pytest.fixture(scope="module")
def good(trained: Trained) -> Trained:
    return candidates.as_good(trained)


@pytest.fixture(scope="module")
def spoilt(trained: Trained) -> Trained:
    return candidates.in_the_wrong_unit(trained)


def test_candidates_are_other_models_by_the_same_contract(
    trained: Trained, good: Trained, spoilt: Trained
) -> None:
    assert good.contract.fingerprint == spoilt.contract.fingerprint == trained.contract.fingerprint
    assert len({one.booster.model_to_string() for one in (trained, good, spoilt)}) == 3
    assert len({one.pack().sha256 for one in (trained, good, spoilt)}) == 3


def test_the_good_candidate_learned_from_the_same_rows(trained: Trained, good: Trained) -> None:
    for ours, theirs in ((good.training, trained.training), (good.held_out, trained.held_out)):
        assert np.array_equal(ours.vectors, theirs.vectors, equal_nan=True)
    assert abs(good.metrics["auc"] - trained.metrics["auc"]) < 0.03


def test_the_spoilt_candidate_differs_in_the_one_feature_only(trained: Trained, spoilt: Trained) -> None:
    wrong = trained.contract.names.index(WRONG_UNIT)
    others = [place for place in range(len(trained.contract.names)) if place != wrong]
    for ours, theirs in ((spoilt.training, trained.training), (spoilt.held_out, trained.held_out)):
        assert np.array_equal(ours.vectors[:, others], theirs.vectors[:, others], equal_nan=True)
        hours = theirs.vectors[:, wrong]
        assert np.array_equal(ours.vectors[:, wrong], hours * SECONDS_PER_HOUR, equal_nan=True)
        assert np.nanmax(hours) > 0
    assert [name for name in trained.frame if spoilt.frame[name] is not trained.frame[name]] == [WRONG_UNIT]


def test_the_spoilt_candidate_is_good_on_its_own_export_and_wrong_on_what_is_live(
    trained: Trained, spoilt: Trained
) -> None:
    """So its gates pass, and only live traffic can tell."""
    assert abs(spoilt.metrics["auc"] - trained.metrics["auc"]) < 0.03
    live = np.asarray(spoilt.booster.predict(trained.held_out.vectors))
    assert live.mean() > 1.5 * spoilt.scores.mean()


def test_a_candidate_leaves_what_the_champion_was_trained_on_as_it_was(trained: Trained) -> None:
    before = trained.training.vectors.copy()
    candidates.in_the_wrong_unit(trained)
    assert np.array_equal(trained.training.vectors, before, equal_nan=True)


# -- traffic --

ROWS = [ReplayRow(number, {"entity_id": f"card_{number}"}, False, 0, []) for number in range(3)]


class Api:
    """It answers by script, then as usual, and tells when it has been asked often enough."""

    def __init__(self, script: list[ApiAnswer | Exception], enough: int) -> None:
        self.asked: list[str] = []
        self.enough = Event()
        self._script, self._enough = script, enough

    def score(self, _: str, body: dict[str, Any]) -> ApiAnswer:
        self.asked.append(body["entity_id"])
        if len(self.asked) >= self._enough:
            self.enough.set()
        said = self._script.pop(0) if self._script else ApiAnswer(200, {}, {"model": MODEL})
        if isinstance(said, Exception):
            raise said
        return said


def under(api: Api) -> Any:
    return traffic(SimpleNamespace(api=api), ROWS, callers=1)  # type: ignore[arg-type]


def test_callers_score_every_row_in_turn_and_count_who_answered() -> None:
    api = Api([], enough=7)
    with under(api) as under_way:
        assert api.enough.wait(10)
    assert api.asked[:4] == ["card_0", "card_1", "card_2", "card_0"]
    assert under_way.answers == {MODEL: len(api.asked)}
    assert under_way.answered == len(api.asked)


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        (ApiAnswer(503, {}, {"detail": "gone"}), "answered 503"),
        (Unavailable("The API cannot be reached: ReadTimeoutError."), "cannot be reached"),
    ],
)
def test_a_request_that_fails_ends_the_traffic_and_is_raised(
    failed: ApiAnswer | Exception, said: str
) -> None:
    api = Api([ApiAnswer(200, {}, {"model": MODEL}), failed], enough=2)
    with pytest.raises(Unavailable, match=said), under(api):
        assert api.enough.wait(10)
    assert len(api.asked) == 2


# -- release --


def entry(number: int, action: Action, move: str | None = None, canary_bp: int | None = None) -> Entry:
    arms = [{"role": "champion", "share_bp": 10_000 - (canary_bp or 0)}]
    arms += [{"role": "canary", "share_bp": canary_bp}] if canary_bp else []
    rollout = {"number": 3} | ({"move": move} if move else {})
    details = {"rollout": rollout} | ({"route": {"arms": arms}} if action is Action.ROUTED else {})
    return Entry(
        endpoint="card-fraud",
        number=number,
        previous_sha256=GENESIS,
        action=action,
        subject="rollout 3",
        who="arn:aws:iam::000000000000:user/grace",
        at="2026-11-26T12:00:00.000Z",
        reason=f"Reason {number}.",
        details=details,
    )


class Grace:
    """A stage on which one entry of a history comes with each look. It says what a look came to."""

    def __init__(self, to_come: list[Entry], says: str = "hold: not yet.") -> None:
        # Another rollout's entry, from before, is none of ours.
        other = entry(1, Action.ROUTED, "completed")
        self._known = [
            other.model_copy(
                update={"details": {**other.details, "rollout": {"number": 2, "move": "completed"}}}
            )
        ]
        self._to_come, self._says = to_come, says
        self.registry = self
        self._appear()

    def start_rollout(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(rollout=SimpleNamespace(number=3))

    def function(self, service: str) -> str:
        return service

    def history(self, _: str) -> list[Entry]:
        return list(self._known)

    def invoke(self, *_: Any) -> dict[str, str]:
        self._appear()
        return {"card-fraud": self._says}

    def _appear(self) -> None:
        if self._to_come:
            self._known.append(self._to_come.pop(0))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "LOOK_SECONDS", 0)


def decided_by(grace: Grace) -> list[Decided]:
    return list(roll_out(grace, MODEL, Traffic()))  # type: ignore[arg-type]


def test_each_decision_is_told_once_in_words_until_the_rollout_has_ended(hasty: None) -> None:
    grace = Grace(
        [
            entry(2, Action.ROUTED, "started", 1_000),
            entry(3, Action.JUDGED),
            entry(4, Action.ROUTED, "advanced", 5_000),
            entry(5, Action.ROUTED, "rolled_back"),
            entry(6, Action.JUDGED),
        ]
    )
    said = decided_by(grace)
    assert [one.move for one in said] == ["started, 10 %", "hold", "advanced, 50 %", "rolled back"]
    assert [one.reason for one in said] == [f"Reason {number}." for number in (2, 3, 4, 5)]


@pytest.mark.parametrize("move", ["completed", "rolled_back", "aborted"])
def test_a_rollout_has_ended_by_any_of_its_ends(hasty: None, move: str) -> None:
    said = decided_by(Grace([entry(2, Action.ROUTED, move)]))
    assert [one.move for one in said] == [move.replace("_", " ")]


def test_a_look_that_fails_ends_the_demo_with_what_it_says(hasty: None) -> None:
    grace = Grace([entry(2, Action.ROUTED, "started", 1_000)], says="failed: The rollup does not answer.")
    with pytest.raises(QuicksilverError, match="The rollup does not answer"):
        decided_by(grace)


def test_a_request_that_failed_ends_the_rollout_too(hasty: None) -> None:
    grace = Grace([entry(2, Action.ROUTED, "started", 1_000)])
    with pytest.raises(Unavailable, match="503"):
        list(roll_out(grace, MODEL, Traffic(failure="A request was answered 503.")))  # type: ignore[arg-type]


def test_a_rollout_that_does_not_end_is_given_up(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "PATIENCE_SECONDS", 0)
    with pytest.raises(Unavailable, match="has not ended"):
        decided_by(Grace([entry(2, Action.ROUTED, "started", 1_000)]))
