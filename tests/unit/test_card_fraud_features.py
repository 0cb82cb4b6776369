"""Online features as of their transaction: equal to brute force, and blind to what comes later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from examples.card_fraud.draft import ECOMMERCE, NO_DEVICE
from examples.card_fraud.features import (
    OUTCOME_DELAY_MS,
    PRIOR_FRAUD_RATE,
    PRIOR_TRANSACTIONS,
    compute_features,
)
from examples.card_fraud.history import History
from examples.card_fraud.population import DAY_MS, HOUR_MS
from examples.card_fraud.simulator import SimulationConfig, Transactions, simulate
from quicksilver.frame import Column

DENSE = SimulationConfig(transactions=4_000, cards=120, days=40, fraud_rate=0.1)


@pytest.fixture(scope="module")
def transactions() -> Transactions:
    return simulate(DENSE)


@pytest.fixture(scope="module")
def frame(transactions: Transactions) -> dict[str, Column]:
    return compute_features(transactions)


def brute_force(t: Transactions, row: int) -> dict[str, Any]:
    """Every feature that looks back, by plain loops over all transactions."""
    now = int(t.event_ms[row])
    midnight = t.start_ms + int(t.day[row]) * DAY_MS
    past = [i for i in range(len(t)) if t.event_ms[i] < now]
    card = [i for i in past if t.card[i] == t.card[row]]
    shop = [i for i in range(len(t)) if t.merchant[i] == t.merchant[row] and t.event_ms[i] < midnight]

    def within(rows: list[int], hours: int, until: int) -> list[int]:
        return [i for i in rows if until - hours * HOUR_MS <= t.event_ms[i] < until]

    def cents(rows: list[int]) -> int:
        return sum(int(t.amount_cents[i]) for i in rows)

    def mean(rows: list[int]) -> float | None:
        return cents(rows) / len(rows) / 100 if rows else None

    found: dict[str, Any] = {}
    for name, hours in (("1h", 1), ("24h", 24), ("7d", 168)):
        found[f"card_count_{name}"] = len(within(card, hours, now))
        found[f"card_amount_{name}"] = cents(within(card, hours, now)) / 100
    found["card_mean_amount_7d"] = mean(within(card, 168, now))
    found["card_mean_amount_30d"] = mean(within(card, 720, now))
    found["card_distinct_merchants_24h"] = len({int(t.merchant[i]) for i in within(card, 24, now)})
    found["card_seconds_since_last"] = (now - max(int(t.event_ms[i]) for i in card)) / 1_000 if card else None

    opened = int(t.population.cards.opened_ms[t.card[row]])
    found["card_age_months"] = (midnight - opened) // (30 * DAY_MS) if opened < midnight else None
    used = t.device[row] != NO_DEVICE
    device = [i for i in past if used and t.device[i] == t.device[row]]
    known = used and bool(t.known_since_ms[row] < now)
    found["device_age_hours"] = (now - int(t.known_since_ms[row])) / HOUR_MS if known else None
    found["device_cards_seen"] = len({int(t.card[i]) for i in device}) if known else None
    found["device_count_24h"] = len(within(device, 24, now)) if known else None

    found["merchant_count_24h"] = len(within(shop, 24, midnight))
    found["merchant_count_7d"] = len(within(shop, 168, midnight))
    found["merchant_mean_amount_30d"] = mean(within(shop, 720, midnight))
    believed = midnight - OUTCOME_DELAY_MS
    rated = within(shop, 720, believed)
    frauds = sum(bool(t.outcome[i]) for i in rated)
    rate = (frauds + PRIOR_TRANSACTIONS * PRIOR_FRAUD_RATE) / (len(rated) + PRIOR_TRANSACTIONS)
    found["merchant_fraud_rate"] = rate if rated else None

    here = [i for i in card if t.channel[i] != ECOMMERCE]
    if t.channel[row] != ECOMMERCE and here:
        last = max(here, key=lambda i: (int(t.event_ms[i]), i))
        km = float(np.hypot(t.x_km[row] - t.x_km[last], t.y_km[row] - t.y_km[last]))
        elapsed = max((now - int(t.event_ms[last])) / HOUR_MS, 1 / 12)
        found |= {
            "distance_from_last_km": round(km, 3),
            "implied_speed_kmh": pytest.approx(km / elapsed, abs=1e-3),
        }
    else:
        found |= {"distance_from_last_km": None, "implied_speed_kmh": None}
    return found


def test_features_equal_brute_force(transactions: Transactions, frame: dict[str, Column]) -> None:
    # Rows of every scheme and from the whole window, so that each branch is met.
    rows = np.random.default_rng(1).choice(len(transactions), 60, replace=False).tolist()
    for row in rows:
        expected = brute_force(transactions, row)
        assert {name: frame[name].raw(row) for name in expected} == expected, row


def test_features_do_not_change_when_later_transactions_are_removed(
    transactions: Transactions, frame: dict[str, Column]
) -> None:
    for kept in (1, 700, 2_500, 3_999):
        early = compute_features(transactions.first(kept))
        for name, column in early.items():
            full = frame[name]
            assert np.array_equal(column.present, full.present[:kept]), name
            seen = column.present
            assert np.array_equal(column.values[seen], full.values[:kept][seen]), name


def test_an_outcome_is_not_seen_before_its_delay_has_passed(
    transactions: Transactions, frame: dict[str, Column]
) -> None:
    day = 30
    believed = transactions.start_ms + day * DAY_MS - OUTCOME_DELAY_MS
    fresh = transactions.event_ms >= believed
    transactions.outcome[fresh] ^= True
    try:
        flipped = compute_features(transactions)["merchant_fraud_rate"]
    finally:
        transactions.outcome[fresh] ^= True
    original = frame["merchant_fraud_rate"]
    until = transactions.day <= day
    assert np.array_equal(flipped.values[until], original.values[until])
    assert not np.array_equal(flipped.values[~until], original.values[~until])


def test_a_place_is_unknown_exactly_where_the_card_is_not_present(frame: dict[str, Column]) -> None:
    assert np.array_equal(frame["distance_from_home_km"].present, frame["card_present"].values)
    assert np.array_equal(frame["cvv_match"].present, ~frame["card_present"].values)


@settings(max_examples=200, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=25
    ),
    asked=st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 16)), min_size=1, max_size=8),
    width=st.integers(0, 8),
)
def test_history_counts_sums_and_distincts_as_sets_do(
    events: list[tuple[int, int, int]], asked: list[tuple[int, int]], width: int
) -> None:
    key, when, value = (np.array(column) for column in zip(*events, strict=True))
    keys, now = (np.array(column) for column in zip(*asked, strict=True))
    history = History(key, when)
    start, end = history.at(keys, now - width), history.at(keys, now)
    counted = (end - start).tolist()
    summed = history.totals(value)(start, end).tolist()
    distinct = history.distinct(value, start, end).tolist()
    last = history.last_where(value > 0, history.first(keys), end).tolist()
    for i, (k, at) in enumerate(asked):
        window = [(w, v) for kk, w, v in events if kk == k and at - width <= w < at]
        assert counted[i] == len(window)
        assert summed[i] == sum(v for _, v in window)
        assert distinct[i] == len({v for _, v in window})
        usable = [(w, j) for j, (kk, w, v) in enumerate(events) if kk == k and w < at and v > 0]
        assert last[i] == (max(usable)[1] if usable else -1)
