"""The past that the demo puts into the archive is what the product's own scorer would have left there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from examples.card_fraud.past import (
    DRIFTED_DAYS,
    EXPLAINED,
    PAST_DAYS,
    TRAINED_DAYS,
    World,
    outcomes,
    score_past,
    world,
)
from examples.card_fraud.population import DAY_MS
from examples.card_fraud.train import Trained, train_on
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.features import Cause
from quicksilver.frame import encode_rows
from quicksilver.instants import epoch_ms
from quicksilver.memory import ManualClock
from quicksilver.outcomes import Outcome
from quicksilver.prediction import PredictionRecord, Status
from quicksilver.serving import Serving
from tests.unit.conftest import Bench

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOON_MS = 20_777 * DAY_MS + DAY_MS // 2


@dataclass
class Lived:
    world: World
    trained: Trained
    records: list[PredictionRecord]
    outcomes: list[Outcome]

    @property
    def rows(self) -> NDArray[np.int64]:
        return self.world.past


def lived(now_ms: int) -> Lived:
    small = world(now_ms, per_day=300, cards=700)
    trained = train_on(small.transactions, small.frame, days=TRAINED_DAYS, rounds=20, leaves=8)
    clock = ManualClock(small.end_ms - PAST_DAYS * DAY_MS)
    bench = Bench(clock=clock)
    bench.put_champion(trained.pack())
    longer_than_the_past = 2 * PAST_DAYS * DAY_MS // 1_000
    serving = Serving(
        "card-fraud",
        registry=bench.registry_store,
        artifacts=bench.artifacts,
        load=LightGBMEvaluator,
        signer=bench.signer,
        clock=clock,
        metrics=bench.metrics,
        refresh_seconds=longer_than_the_past,
        max_age_seconds=longer_than_the_past,
    )
    records = list(score_past(small, serving, clock, "local"))
    ids = dict(zip(small.past.tolist(), (record.prediction_id for record in records), strict=True))
    return Lived(small, trained, records, list(outcomes(small, ids)))


@pytest.fixture(scope="module")
def past() -> Lived:
    return lived(NOON_MS)


def test_the_past_ends_at_the_last_midnight_and_each_record_has_its_own_time(past: Lived) -> None:
    assert past.world.end_ms == NOON_MS - DAY_MS // 2
    times = [epoch_ms(record.time) for record in past.records]
    assert times == past.world.transactions.event_ms[past.rows].tolist()
    assert past.world.end_ms - PAST_DAYS * DAY_MS <= times[0] <= times[-1] < past.world.end_ms


def test_vectors_and_scores_are_those_of_the_training_side(past: Lived) -> None:
    contract = past.trained.contract
    cut = {name: past.world.frame[name].take(past.rows) for name in contract.names}
    encoded = encode_rows(contract, cut)
    vectors = np.array(
        [[math.nan if value is None else value for value in record.vector] for record in past.records]
    )
    assert np.array_equal(vectors, encoded.vectors, equal_nan=True)
    expected = past.trained.booster.predict(vectors, raw_score=True)
    assert [record.raw_score for record in past.records] == np.asarray(expected).tolist()
    category = contract.names.index("merchant_category")
    unseen = [any(each.cause is Cause.UNSEEN_CATEGORY for each in record.degraded) for record in past.records]
    assert unseen == encoded.unseen[:, category].tolist()


def test_categories_that_nobody_knows_come_with_the_drift_and_not_before(past: Lived) -> None:
    day = past.world.transactions.day[past.rows]
    unseen = np.array(
        [any(each.cause is Cause.UNSEEN_CATEGORY for each in record.degraded) for record in past.records]
    )
    begins = TRAINED_DAYS + PAST_DAYS - DRIFTED_DAYS
    assert not unseen[day < begins].any()
    assert unseen[day >= begins].mean() > 0.02


def test_some_callers_ask_for_reasons_and_new_cards_are_referred(past: Lived) -> None:
    explained = [record.contributions is not None for record in past.records]
    assert sum(explained) == -(-len(explained) // EXPLAINED)
    assert {record.status for record in past.records} == {Status.SCORED, Status.REFER}


def test_each_transaction_has_one_outcome_with_groups_known_after_it_and_before_today(past: Lived) -> None:
    assert len(past.outcomes) == len(past.records)
    assert sum(outcome.label for outcome in past.outcomes) == past.world.transactions.outcome[past.rows].sum()
    for record, outcome in zip(past.records, past.outcomes, strict=True):
        assert outcome.prediction_id == record.prediction_id
        assert epoch_ms(record.time) < epoch_ms(outcome.time) <= past.world.end_ms
    assert {name for outcome in past.outcomes for name in outcome.groups} == {"age_band", "sex"}


def test_seen_from_another_day_it_is_the_same_past(past: Lived) -> None:
    again = lived(NOON_MS + 5 * DAY_MS)
    assert [record.vector for record in again.records] == [record.vector for record in past.records]
    assert [record.score for record in again.records] == [record.score for record in past.records]
    assert len({record.prediction_id for record in past.records}) == len(past.records)
    # But for the time in them, so are the prediction ids: what is put there twice is there once.
    named = [[record.prediction_id[14:] for record in those.records] for those in (again, past)]
    assert named[0] == named[1]


def test_training_leaves_the_past_out(past: Lived) -> None:
    assert past.trained.transactions.day.max() == TRAINED_DAYS - 1
    assert past.trained.held_out.index.max() < past.rows[0]
