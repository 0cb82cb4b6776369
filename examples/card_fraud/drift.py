"""What changes from a given day on: prices, habits and a new kind of fraud.

Only transactions from the drift day on are rewritten, so everything before it is the same for every
strength of drift.
"""

from __future__ import annotations

import numpy as np

from examples.card_fraud.draft import ATM, ECOMMERCE, HONEST, ONLINE_ENTRY, STORED, Draft, own_device
from examples.card_fraud.fraud import SCAM
from examples.card_fraud.population import CATEGORY, Bools, Floats, Ints, Population, online_merchant

PRICE_RISE = 0.5
MOVES_ONLINE = 0.4
NEW_TASTE = 0.25
BUYS_CRYPTO = 0.05
FRAUD_TURNS_SCAM = 0.6
"""Effects at full strength; each is scaled by ``drift``."""


def apply_drift(
    draft: Draft, population: Population, rng: np.random.Generator, *, drift: float, from_ms: int
) -> None:
    """Rewrite ``draft`` in place. The same numbers are drawn whatever the strength."""
    n = len(draft)
    after = draft.event_ms >= from_ms
    honest = after & (draft.scheme == HONEST)
    moves, taste, pick, place = (rng.random(n) for _ in range(4))
    scams, entry, scam_amount = rng.random(n), rng.random(n), rng.normal(6.3, 0.6, n)

    draft.amount = np.where(honest, draft.amount * (1.0 + PRICE_RISE * drift), draft.amount)
    category = population.merchants.category[draft.merchant]
    # Cash cannot move online.
    online = (draft.channel == ECOMMERCE) | (honest & (draft.channel != ATM) & (moves < MOVES_ONLINE * drift))
    new_taste = honest & online & (taste < NEW_TASTE * drift)
    crypto = honest & online & ~new_taste & (taste > 1.0 - BUYS_CRYPTO * drift)
    category = np.where(
        new_taste, np.where(pick < 0.5, CATEGORY["gaming"], CATEGORY["electronics"]), category
    )
    category = np.where(crypto, CATEGORY["crypto"], category)
    changed = honest & online & ((draft.channel != ECOMMERCE) | new_taste | crypto)
    _move_online(draft, population, changed, np.asarray(category), place, entry)

    # The new fraud: the cardholder is talked into paying, on their own device, with full authentication.
    scam = after & (draft.scheme != HONEST) & (scams < FRAUD_TURNS_SCAM * drift)
    _move_online(draft, population, scam, np.full(n, CATEGORY["crypto"]), place, entry)
    draft.amount = np.where(scam, np.exp(scam_amount), draft.amount)
    draft.scheme = np.where(scam, SCAM, draft.scheme)


def _move_online(
    draft: Draft,
    population: Population,
    rows: Bools,
    category: Ints,
    place: Floats,
    entry: Floats,
) -> None:
    draft.merchant = np.where(rows, online_merchant(category, place), draft.merchant)
    draft.channel = np.where(rows, ECOMMERCE, draft.channel)
    draft.entry_mode = np.where(rows, np.where(entry < 0.5, STORED, ONLINE_ENTRY), draft.entry_mode)
    draft.device = np.where(rows, own_device(population, draft.card, draft.event_ms, entry), draft.device)
    draft.authenticated = np.where(rows, entry < 0.85, draft.authenticated)
    draft.cvv_match = draft.cvv_match | rows
