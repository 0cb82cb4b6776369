"""The past of an endpoint: ten days of transactions after the training window, put into the archive as the stream would have
left them.

The simulated world goes on after the days that the model learned from, and on its last days the drift knob is turned. These days
are not lived through: the product's own scorer answers them here, with its clock at each transaction's time and a feature
store that holds what was known then. Their outcomes are loaded as anybody's are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from examples.card_fraud.contract import ENDPOINT
from examples.card_fraud.features import compute_features, request_keys, request_values
from examples.card_fraud.population import DAY_MS, HOUR_MS, Ints
from examples.card_fraud.simulator import SimulationConfig, Transactions, card_id, simulate
from quicksilver.contract import ENTITY_KEY, Contract, Scalar, Source
from quicksilver.delivery import PredictionLog
from quicksilver.frame import Frame
from quicksilver.instants import utc_iso
from quicksilver.memory import (
    ManualClock,
    MemoryFeatureStore,
    MemoryMetrics,
    MemoryPredictionStream,
    MemoryScores,
    MemoryUndeliveredStore,
)
from quicksilver.outcomes import Outcome
from quicksilver.ports import FeatureKey, FeatureRow
from quicksilver.prediction import PredictionRecord
from quicksilver.reasons import Wanted
from quicksilver.request import Asked
from quicksilver.scoring import Caller, Scorer
from quicksilver.serving import Serving

TRAINED_DAYS = 60
PAST_DAYS = 10
DRIFTED_DAYS = 4
DRIFT = 1.0
PER_DAY, CARDS = 200_000 / 60, 6_000
EXPLAINED = 20
"""One caller in so many asks for reasons."""
LABEL_HOURS = 6.0
"""The mean time until an outcome is known. Weeks in life; hours here, so that days before today can be learned from."""


@dataclass(frozen=True, slots=True)
class World:
    """Simulated transactions with their features, until the midnight (UTC epoch) that ``end_ms`` is."""

    transactions: Transactions
    frame: Frame
    end_ms: int

    @property
    def past(self) -> Ints:
        """The rows of the days after those that are learned from, in order of time."""
        return np.flatnonzero(self.transactions.day >= TRAINED_DAYS)


def world(now_ms: int, *, per_day: float = PER_DAY, cards: int = CARDS) -> World:
    """The world until the last midnight. Seen from its end it is the same whatever the day."""
    days = TRAINED_DAYS + PAST_DAYS
    config = SimulationConfig(
        transactions=round(per_day * days),
        cards=cards,
        days=days,
        end_ms=now_ms // DAY_MS * DAY_MS,
        drift=DRIFT,
        drift_day=days - DRIFTED_DAYS,
    )
    transactions = simulate(config)
    return World(transactions, compute_features(transactions), config.end_ms)


def score_past(world: World, serving: Serving, clock: ManualClock, stage: str) -> Iterator[PredictionRecord]:
    """The record of each past transaction, answered by the scorer at the transaction's time. ``clock`` is the one that
    ``serving`` was made with, at no later time than the first transaction."""
    transactions, metrics = world.transactions, MemoryMetrics()
    row = 0

    def random_bytes(count: int) -> bytes:
        # So the same transaction has the same prediction id, whenever it is put into the archive.
        return hashlib.blake2b(row.to_bytes(8), digest_size=count).digest()

    features = MemoryFeatureStore()
    log = PredictionLog(
        ENDPOINT, MemoryPredictionStream(), MemoryUndeliveredStore(), metrics, before_response=True
    )
    scorer = Scorer(
        stage=stage, endpoint=ENDPOINT, serving=serving, features=features, log=log, metrics=metrics, scores=MemoryScores(),
        clock=clock,
        random_bytes=random_bytes, deadline_ms=1_000, batch_deadline_ms=1_000,
    )  # fmt: skip
    contract = serving.loaded_route(scorer.deadline(Asked())).champion.contract
    online = _online_names(contract)
    for place, row in enumerate(world.past.tolist()):
        clock.advance_ms(int(transactions.event_ms[row]) - clock.now_ms())
        entity, keys = card_id(int(transactions.card[row])), request_keys(transactions, row)
        features.write(_known(world, contract, online, row, {ENTITY_KEY: entity, **keys}, clock.now_ms()))
        body = {
            "entity_id": entity,
            "keys": keys,
            "features": request_values(contract, world.frame, row),
        }
        wanted = Wanted.NONE if place % EXPLAINED else Wanted.TOP
        yield scorer.score(json.dumps(body), Caller(f"past-{row}", "past"), Asked(wanted))


def outcomes(world: World, prediction_ids: Mapping[int, str]) -> Iterator[Outcome]:
    """What became of the past transactions, whose prediction ids are given by row; all are known by the world's end."""
    rows = world.past
    transactions = world.transactions
    groups = transactions.protected.of_cards(transactions.card[rows])
    delays_ms = np.random.default_rng(7).exponential(LABEL_HOURS * HOUR_MS, len(rows))
    for place, row in enumerate(rows.tolist()):
        at_ms, fraud = int(transactions.event_ms[row]), bool(transactions.outcome[row])
        known = {name: column.raw(place) for name, column in groups.items()}
        yield Outcome(
            prediction_id=prediction_ids[row],
            entity_id=card_id(int(transactions.card[row])),
            label=fraud,
            amount=int(transactions.amount_cents[row]) if fraud else None,
            time=utc_iso(min(at_ms + 1 + int(delays_ms[place]), world.end_ms)),
            groups={name: str(value) for name, value in known.items() if value is not None},
        )


def _online_names(contract: Contract) -> Mapping[str, Sequence[str]]:
    return {
        group: [f.name for f in contract.features if f.source is Source.ONLINE and f.group == group]
        for group in contract.groups
    }


def _known(
    world: World,
    contract: Contract,
    online: Mapping[str, Sequence[str]],
    row: int,
    keys: Mapping[str, str],
    now_ms: int,
) -> Iterator[FeatureRow]:
    """What the feature store holds of a transaction's card, merchant and device just before it."""
    for group, field in contract.groups.items():
        if field not in keys:
            continue
        raw = {name: world.frame[name].raw(row) for name in online[group]}
        # A device that was never seen has no row at all.
        if group == "device" and raw["device_age_hours"] is None:
            continue
        values: dict[str, Scalar] = {name: value for name, value in raw.items() if value is not None}
        yield FeatureRow(FeatureKey(group, keys[field]), now_ms, values)
