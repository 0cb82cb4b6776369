"""A draft: transactions before they are put in order, column by column, and what honest customers do.

Habit, fraud and drift each write drafts; the simulator joins them. Places, categories and borders
follow from the card and the merchant, so a draft does not hold them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from examples.card_fraud.population import (
    CATEGORY,
    CATEGORY_LEVEL,
    CITIES,
    DAY_MS,
    HOUR_MS,
    ONLINE_TENDENCY,
    Bools,
    Floats,
    Ints,
    Population,
    online_merchant,
    shop_at,
)

CHANNELS = ("atm", "ecommerce", "pos")
ATM, ECOMMERCE, POS = range(3)
ENTRY_MODES = ("chip", "contactless", "magstripe", "online", "stored", "wallet")
CHIP, CONTACTLESS, MAGSTRIPE, ONLINE_ENTRY, STORED, WALLET = range(6)
NO_DEVICE = -1
HONEST = 0


@dataclass(slots=True)
class Draft:
    """Arrays of shape (transactions,). ``amount`` is in currency units; ``scheme`` 0 is honest."""

    event_ms: Ints
    card: Ints
    merchant: Ints
    device: Ints
    amount: Floats
    channel: Ints
    entry_mode: Ints
    cvv_match: Bools
    authenticated: Bools
    scheme: Ints

    def __len__(self) -> int:
        return len(self.event_ms)


def join(drafts: list[Draft]) -> Draft:
    return Draft(**{f.name: np.concatenate([getattr(d, f.name) for d in drafts]) for f in fields(Draft)})


def own_device(population: Population, card: Ints, event_ms: Ints, uniform: Floats) -> Ints:
    """The card's phone (index ``2 * card``), its second device once in use, or the household's phone."""
    elsewhere = population.household[card] & (uniform >= 0.7)
    owner = np.where(elsewhere, card // 2 * 2, card)
    second_in_use = population.own_device_since_ms[card, 1] <= event_ms
    device: Ints = 2 * owner + (second_in_use & (uniform < 0.4))
    return device


def honest_draft(
    population: Population, rng: np.random.Generator, n: int, *, start_ms: int, end_ms: int, first_device: int
) -> Draft:
    """``n`` transactions of cardholders who follow their habits, go on trips and have shopping sprees.

    Devices used once take numbers from ``first_device`` on, below ``first_device + n``.
    """
    cards = population.cards
    card, event_ms = _who_and_when(population, rng, n, start_ms=start_ms, end_ms=end_ms)
    taste = rng.random(n)
    category = (cards.category_cdf[card] < taste[:, None]).sum(axis=1)

    online = rng.random(n) < cards.online_share[card] * ONLINE_TENDENCY[category]
    channel = np.where(online, ECOMMERCE, np.where(category == CATEGORY["cash"], ATM, POS))
    on_trip = (event_ms >= cards.trip_start_ms[card]) & (event_ms < cards.trip_end_ms[card])
    city = np.where(on_trip, cards.trip_city[card], cards.city[card])
    # A few day trips that no habit explains.
    city = np.where(rng.random(n) < 0.02, rng.integers(0, CITIES, n), city)
    shop = shop_at(city, category, rng.random(n))
    merchant = np.where(online, online_merchant(category, rng.random(n)), shop)

    level = cards.log_amount[card] + CATEGORY_LEVEL[category]
    # One purchase in forty is a large one: a sofa, not a fraud.
    large = np.where(rng.random(n) < 0.025, 1.6, 0.0)
    amount = np.exp(level + large + rng.normal(0, 0.55, n))

    way_in = rng.random(n)
    entry_in_person = np.select(
        [way_in < 0.45, way_in < 0.8, way_in < 0.83], [CHIP, CONTACTLESS, MAGSTRIPE], WALLET
    )
    entry_in_person = np.where(channel == ATM, CHIP, entry_in_person)
    entry_mode = np.where(online, np.where(way_in < 0.5, STORED, ONLINE_ENTRY), entry_in_person)
    with_device = online | (entry_mode == WALLET)
    own = own_device(population, card, event_ms, rng.random(n))
    # Cleared cookies, a new browser, a friend's tablet: honest people come with unknown devices too.
    fresh = online & (rng.random(n) < 0.05)
    device = np.where(with_device, np.where(fresh, first_device + np.arange(n), own), NO_DEVICE)
    return Draft(
        event_ms=event_ms,
        card=card,
        merchant=merchant,
        device=device,
        amount=amount,
        channel=channel,
        entry_mode=entry_mode,
        cvv_match=rng.random(n) < 0.985,
        authenticated=online & (rng.random(n) < 0.5),
        scheme=np.full(n, HONEST, dtype=np.int64),
    )


def _who_and_when(
    population: Population, rng: np.random.Generator, n: int, *, start_ms: int, end_ms: int
) -> tuple[Ints, Ints]:
    cards = population.cards
    weight = np.cumsum(cards.activity)
    card = np.searchsorted(weight, rng.random(n) * weight[-1], side="right")
    midnight = start_ms // DAY_MS * DAY_MS
    day = rng.integers(0, -(-(end_ms - midnight) // DAY_MS), n)
    # Hours scatter around the card's own peak and wrap at midnight UTC.
    hour = (cards.peak_hour[card] + rng.normal(0, 3.6, n)) % 24.0
    event_ms = midnight + day * DAY_MS + (hour * HOUR_MS).astype(np.int64)

    # Days are UTC days; what they have outside the window is drawn anew inside it.
    anywhere = rng.integers(start_ms, end_ms, n)
    event_ms = np.where((event_ms < start_ms) | (event_ms >= end_ms), anywhere, event_ms)
    card = opened_by(population, rng, card, event_ms)

    # A shopping spree: one transaction in six follows another of the same card within the hour or so.
    leader = rng.integers(0, n, n)
    after_leader = event_ms[leader] + (rng.exponential(25.0, n) * 60_000).astype(np.int64)
    follows = (rng.random(n) < 0.17) & (after_leader < end_ms)
    return np.where(follows, card[leader], card), np.where(follows, after_leader, event_ms)


def opened_by(population: Population, rng: np.random.Generator, card: Ints, event_ms: Ints) -> Ints:
    """The same cards, but another one, open since before the window, where a card is not open yet."""
    established = population.established[rng.integers(0, len(population.established), len(card))]
    return np.where(population.cards.opened_ms[card] <= event_ms, card, established)
