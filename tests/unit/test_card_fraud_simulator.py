"""The card-fraud simulator: same seed same bytes, the promised prevalence, and a drift knob that turns."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from examples.card_fraud.draft import ECOMMERCE, NO_DEVICE
from examples.card_fraud.fraud import SCAM, SCHEMES, STEALTH
from examples.card_fraud.population import CATEGORY, DAY_MS
from examples.card_fraud.simulator import SimulationConfig, Transactions, simulate

SMALL = SimulationConfig(transactions=20_000, cards=1_500, days=30, drift_day=20)


@pytest.fixture(scope="module")
def transactions() -> Transactions:
    return simulate(SMALL)


def columns(transactions: Transactions) -> dict[str, Any]:
    every = {f.name: getattr(transactions, f.name) for f in fields(transactions)}
    return {name: column for name, column in every.items() if isinstance(column, np.ndarray)}


def test_the_same_seed_gives_the_same_bytes(transactions: Transactions) -> None:
    again = columns(simulate(SMALL))
    assert {name: column.tobytes() for name, column in columns(transactions).items()} == {
        name: column.tobytes() for name, column in again.items()
    }


def test_another_seed_gives_other_transactions(transactions: Transactions) -> None:
    other = simulate(replace(SMALL, seed=8))
    assert not np.array_equal(transactions.amount_cents, other.amount_cents)


def test_moving_the_end_moves_every_event_and_nothing_else(transactions: Transactions) -> None:
    later = simulate(replace(SMALL, end_ms=SMALL.end_ms + 3 * DAY_MS))
    assert np.array_equal(later.event_ms - 3 * DAY_MS, transactions.event_ms)
    assert np.array_equal(later.outcome, transactions.outcome)
    assert np.array_equal(later.amount_cents, transactions.amount_cents)


def test_events_are_in_order_and_inside_the_window(transactions: Transactions) -> None:
    assert len(transactions) == SMALL.transactions
    assert (np.diff(transactions.event_ms) >= 0).all()
    assert transactions.event_ms[0] >= SMALL.start_ms
    assert transactions.event_ms[-1] < SMALL.end_ms


def test_a_window_that_ends_at_midday_has_as_many_events_on_its_last_day_as_on_others() -> None:
    transactions = simulate(replace(SMALL, end_ms=SMALL.end_ms + DAY_MS // 2))
    per_day = np.bincount(transactions.day)
    assert per_day[-1] == pytest.approx(np.median(per_day), rel=0.25)


def test_no_card_pays_before_it_is_opened(transactions: Transactions) -> None:
    assert (transactions.event_ms >= transactions.population.cards.opened_ms[transactions.card]).all()


def test_a_device_is_known_from_its_first_transaction_at_the_latest(transactions: Transactions) -> None:
    used = transactions.device != NO_DEVICE
    assert (transactions.known_since_ms[used] <= transactions.event_ms[used]).all()


@pytest.mark.parametrize("rate", [0.01, 0.025, 0.06])
def test_outcomes_have_the_promised_prevalence_with_noise_on_both_sides(rate: float) -> None:
    transactions = simulate(replace(SMALL, fraud_rate=rate))
    fraud = transactions.scheme > 0
    assert fraud.mean() == pytest.approx(rate, abs=1e-4)
    assert transactions.outcome.mean() == pytest.approx(rate, rel=0.2)
    assert (fraud & ~transactions.outcome).any()
    assert (~fraud & transactions.outcome).any()


def test_every_scheme_but_the_drifted_one_takes_part(transactions: Transactions) -> None:
    count = np.bincount(transactions.scheme, minlength=len(SCHEMES))
    assert (count[: STEALTH + 1] > 0).all()
    assert count[SCAM] == 0


def test_rings_share_devices_across_cards_and_honest_customers_rarely_do(transactions: Transactions) -> None:
    def cards_per_device(scheme: str) -> float:
        rows = (transactions.scheme == SCHEMES.index(scheme)) & (transactions.device != NO_DEVICE)
        pairs = np.unique(np.stack([transactions.device[rows], transactions.card[rows]]), axis=1)
        return float(np.unique(pairs[0], return_counts=True)[1].mean())

    assert cards_per_device("ring") > 8 * cards_per_device("honest")


def test_rings_are_as_busy_on_the_last_days_as_on_any_others() -> None:
    """Else merchants and devices of rings drift by themselves as the window ends."""
    days = np.zeros(SMALL.days)
    for seed in range(8):
        t = simulate(replace(SMALL, seed=seed, fraud_rate=0.5))  # so many that single rings do not count
        days += np.bincount(t.day[t.scheme == SCHEMES.index("ring")], minlength=SMALL.days)
    assert days[-10:].mean() == pytest.approx(days.mean(), rel=0.2)
    assert days[:10].mean() == pytest.approx(days.mean(), rel=0.2)


def test_nothing_before_the_drift_day_depends_on_drift(transactions: Transactions) -> None:
    drifted = columns(simulate(replace(SMALL, drift=1.0)))
    before = transactions.day < SMALL.drift_day
    for name, column in columns(transactions).items():
        assert column[before].tobytes() == drifted[name][before].tobytes(), name


def test_drift_grows_with_the_knob() -> None:
    def after(drift: float) -> tuple[float, float, float, float]:
        t = simulate(replace(SMALL, drift=drift))
        rows = t.day >= SMALL.drift_day
        honest = rows & (t.scheme == 0)
        return (
            float(np.median(t.amount_cents[honest])),
            float((t.channel[honest] == ECOMMERCE).mean()),
            float((t.category[rows] == CATEGORY["crypto"]).mean()),
            float((t.scheme[rows] == SCAM).mean()),
        )

    none, half, full = after(0.0), after(0.5), after(1.0)
    assert none[2:] == (0.0, 0.0)
    assert all(a < b < c for a, b, c in zip(none, half, full, strict=True)), (none, half, full)


@pytest.mark.parametrize("change", [{"drift": 1.5}, {"fraud_rate": -0.1}, {"transactions": 0}, {"days": 0}])
def test_a_configuration_that_makes_no_sense_names_its_field(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(SMALL, **change)
