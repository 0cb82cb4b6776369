"""The simulator: card transactions event by event, in order of time, with outcomes.

``simulate(config)`` is a pure function: the same configuration gives the same arrays, byte for byte.
Habit, fraud, drift, outcomes and protected attributes draw from generators of their own, so turning one knob leaves what it
does not concern unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.card_fraud.draft import ECOMMERCE, NO_DEVICE, Draft, honest_draft, join
from examples.card_fraud.drift import apply_drift
from examples.card_fraud.fraud import fraud_draft
from examples.card_fraud.population import DAY_MS, EVERYWHERE, Bools, Floats, Ints, Population, populate
from examples.card_fraud.protected import Protected, draw_protected

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationConfig:
    """What to simulate. Raises ``ValueError`` for a share outside [0, 1] or an empty window.

    ``end_ms`` is the end of the window (exclusive), in epoch milliseconds UTC; days are counted in
    24-hour steps from its start. ``fraud_rate`` is the share of fraudulent transactions, of which
    ``unreported`` are never found out, while ``false_claims`` of the honest ones are claimed as fraud.
    ``drift`` from 0 to 1 is the strength of the changes from day ``drift_day`` on.
    """

    transactions: int = 200_000
    cards: int = 6_000
    days: int = 60
    end_ms: int = 1_790_812_800_000
    fraud_rate: float = 0.025
    unreported: float = 0.04
    false_claims: float = 0.0006
    drift: float = 0.0
    drift_day: int = 50
    seed: int = 7

    def __post_init__(self) -> None:
        for name in ("fraud_rate", "unreported", "false_claims", "drift"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1")
        for name in ("transactions", "cards", "days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")

    @property
    def start_ms(self) -> int:
        return self.end_ms - self.days * DAY_MS


@dataclass(frozen=True, slots=True)
class Transactions:
    """Columns of shape (transactions,), ordered by time.

    ``amount_cents`` is in hundredths of the currency unit; ``x_km`` and ``y_km`` are NaN for online
    merchants; ``device`` is -1 where none took part; ``known_since_ms`` is when the device was first
    seen (its first transaction at the latest). ``outcome`` is what is reported; ``scheme`` is the truth.
    """

    event_ms: Ints
    card: Ints
    merchant: Ints
    device: Ints
    amount_cents: Ints
    category: Ints
    channel: Ints
    entry_mode: Ints
    cross_border: Bools
    cvv_match: Bools
    authenticated: Bools
    x_km: Floats
    y_km: Floats
    known_since_ms: Ints
    scheme: Ints
    outcome: Bools
    population: Population
    protected: Protected
    start_ms: int

    def __len__(self) -> int:
        return len(self.event_ms)

    @property
    def day(self) -> Ints:
        """Days since the start of the window."""
        return (self.event_ms - self.start_ms) // DAY_MS

    def first(self, rows: int) -> Transactions:
        """The history up to and including row ``rows - 1``."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        cut: dict[str, Any] = {
            k: column[:rows] for k, column in columns.items() if isinstance(column, np.ndarray)
        }
        return replace(self, **cut)


def card_id(card: int) -> str:
    return f"card_{card:06d}"


def merchant_id(merchant: int) -> str:
    return f"merchant_{merchant:05d}"


def device_id(device: int) -> str:
    return f"device_{device:06d}"


def simulate(config: SimulationConfig) -> Transactions:
    """Draw the transactions that ``config`` describes."""
    seeds = np.random.SeedSequence(config.seed).spawn(6)
    people, habit, fraud, drift, outcomes, watched = (np.random.default_rng(seed) for seed in seeds)
    start_ms, end_ms = config.start_ms, config.end_ms
    population = populate(people, cards=config.cards, start_ms=start_ms, end_ms=end_ms)
    n_fraud = round(config.transactions * config.fraud_rate)
    n_honest = config.transactions - n_fraud
    own = population.own_device_since_ms.size
    draft = join(
        [
            honest_draft(population, habit, n_honest, start_ms=start_ms, end_ms=end_ms, first_device=own),
            fraud_draft(
                population, fraud, n_fraud, start_ms=start_ms, end_ms=end_ms, first_device=own + n_honest
            ),
        ]
    )
    from_ms = start_ms + config.drift_day * DAY_MS
    apply_drift(draft, population, drift, drift=config.drift, from_ms=from_ms)
    order = np.argsort(draft.event_ms, kind="stable")
    draft = Draft(**{f.name: getattr(draft, f.name)[order] for f in fields(Draft)})

    luck = outcomes.random(len(draft))
    fraudulent = draft.scheme > 0
    outcome = np.where(fraudulent, luck >= config.unreported, luck < config.false_claims)
    cards, merchants = population.cards, population.merchants
    country = merchants.country[draft.merchant]
    return Transactions(
        event_ms=draft.event_ms,
        card=draft.card,
        merchant=draft.merchant,
        device=draft.device,
        amount_cents=np.maximum(np.rint(draft.amount * 100.0), 1.0).astype(np.int64),
        category=merchants.category[draft.merchant],
        channel=draft.channel,
        entry_mode=draft.entry_mode,
        cross_border=(country != EVERYWHERE) & (country != cards.country[draft.card]),
        cvv_match=draft.cvv_match,
        authenticated=draft.authenticated & (draft.channel == ECOMMERCE),
        x_km=merchants.x_km[draft.merchant],
        y_km=merchants.y_km[draft.merchant],
        known_since_ms=_known_since(population, draft.device, draft.event_ms, start_ms),
        scheme=draft.scheme,
        outcome=outcome,
        population=population,
        protected=draw_protected(watched, config.cards),
        start_ms=start_ms,
    )


def _known_since(
    population: Population, device: NDArray[np.int64], event_ms: Ints, start_ms: int
) -> NDArray[np.int64]:
    """When each row's device was first seen: before the window for devices in use then, else at first use."""
    own = population.own_device_since_ms.ravel()
    since = np.full(max(len(own), int(device.max(initial=0)) + 1), NEVER)
    since[: len(own)] = np.where(own < start_ms, own, NEVER)
    with_device = device != NO_DEVICE
    np.minimum.at(since, device[with_device], event_ms[with_device])
    return np.where(with_device, since[device], NEVER)
