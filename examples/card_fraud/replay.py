"""Held-out transactions as requests, with the feature store they need and the vectors they must give.

A store holds one row per key, and a replay takes no time. So no two transactions share a card or a
device, and all are of one day, so that merchants' nightly features agree: then each stored value is
exactly the one known at that transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from examples.card_fraud.draft import NO_DEVICE
from examples.card_fraud.features import OnlineRows, online_rows, request_keys, request_values
from examples.card_fraud.population import Ints
from examples.card_fraud.simulator import Transactions, card_id
from quicksilver.contract import Contract
from quicksilver.frame import Frame, encode_frame
from quicksilver.ports import FeatureKey, FeatureRow


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One request body, its outcome, and its expected vector in contract order (NaN is missing)."""

    row: int
    body: dict[str, Any]
    outcome: bool
    scheme: int
    vector: list[float]


@dataclass(frozen=True, slots=True)
class Replay:
    """Requests in order of time and the online rows to load before them."""

    rows: list[ReplayRow]
    online: OnlineRows

    def feature_rows(self, as_of_ms: int) -> list[FeatureRow]:
        """The online rows as the feature store takes them, all as of one moment."""
        return [
            FeatureRow(FeatureKey(group, key), as_of_ms, values)
            for group, rows in self.online.items()
            for key, values in rows.items()
        ]


def select_replay(
    contract: Contract,
    transactions: Transactions,
    frame: Frame,
    *,
    n: int = 500,
    seed: int = 7,
    day: int | None = None,
) -> Replay:
    """``n`` random transactions of ``day`` (the last, if not given) with distinct cards and devices.

    Raises ``ValueError`` if the day has fewer.
    """
    chosen = _choose(transactions, n=n, seed=seed, day=int(transactions.day[-1]) if day is None else day)
    cut = {name: frame[name].take(chosen) for name in contract.names}
    vectors = encode_frame(contract, cut).tolist()
    rows = [
        ReplayRow(
            row=int(row),
            body={
                "entity_id": card_id(int(transactions.card[row])),
                "keys": request_keys(transactions, row),
                "features": request_values(contract, frame, row),
            },
            outcome=bool(transactions.outcome[row]),
            scheme=int(transactions.scheme[row]),
            vector=vector,
        )
        for row, vector in zip(chosen.tolist(), vectors, strict=True)
    ]
    return Replay(rows, online_rows(contract, transactions, frame, chosen.tolist()))


def _choose(transactions: Transactions, *, n: int, seed: int, day: int) -> Ints:
    candidates = np.flatnonzero(transactions.day == day)
    np.random.default_rng(seed).shuffle(candidates)
    candidates = _first_of_each(candidates, transactions.card[candidates])
    device = transactions.device[candidates]
    # Transactions without a device never meet on one: each gets a number of its own.
    alone = np.where(device == NO_DEVICE, -1 - np.arange(len(device)), device)
    candidates = _first_of_each(candidates, alone)
    if len(candidates) < n:
        raise ValueError(f"day {day} has {len(candidates)} transactions to replay, not {n}")
    return np.sort(candidates[:n])


def _first_of_each(rows: Ints, keys: Ints) -> Ints:
    first = np.unique(keys, return_index=True)[1]
    return np.asarray(rows[np.sort(first)], dtype=np.int64)
