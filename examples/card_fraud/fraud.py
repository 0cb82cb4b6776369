"""How fraudsters act: one function per scheme, each writing its own transactions.

- card-not-present bursts: stolen numbers tried with a small amount, then emptied online within minutes
- stolen cards: used in person, far from home, until blocked
- rings: a few devices shared by many cards at a few colluding merchants, unhurried, in round amounts
- account takeover: a new device, the right card data, few and large purchases
- stealth: fraud that looks like habit; no feature sees it
"""

from __future__ import annotations

import numpy as np

from examples.card_fraud.draft import (
    ATM,
    CHIP,
    CONTACTLESS,
    ECOMMERCE,
    MAGSTRIPE,
    NO_DEVICE,
    ONLINE_ENTRY,
    POS,
    STORED,
    Draft,
    honest_draft,
    join,
    opened_by,
    own_device,
)
from examples.card_fraud.population import (
    CATEGORY,
    CATEGORY_LEVEL,
    CITIES,
    DAY_MS,
    Floats,
    Ints,
    Population,
    online_merchant,
    shop_at,
)

SCHEMES = ("honest", "card_not_present", "stolen_card", "ring", "account_takeover", "stealth", "scam")
CARD_NOT_PRESENT, STOLEN_CARD, RING, ACCOUNT_TAKEOVER, STEALTH, SCAM = range(1, 7)
SHARES = {CARD_NOT_PRESENT: 0.35, STOLEN_CARD: 0.2, RING: 0.2, ACCOUNT_TAKEOVER: 0.2, STEALTH: 0.05}
"""Shares of fraudulent transactions by scheme, before drift."""

MINUTE_MS = 60_000.0
RING_TRANSACTIONS = 130
LONGEST_RING_DAYS = 40


def fraud_draft(
    population: Population, rng: np.random.Generator, n: int, *, start_ms: int, end_ms: int, first_device: int
) -> Draft:
    """``n`` fraudulent transactions in the shares above; new devices are numbered from ``first_device``."""
    sizes = {scheme: int(n * share) for scheme, share in SHARES.items()}
    sizes[CARD_NOT_PRESENT] += n - sum(sizes.values())
    window = (start_ms, end_ms)
    bursts = _bursts(population, rng, sizes[CARD_NOT_PRESENT], window)
    stolen = _stolen(population, rng, sizes[STOLEN_CARD], window)
    rings = _rings(population, rng, sizes[RING], window)
    takeovers = _takeovers(population, rng, sizes[ACCOUNT_TAKEOVER], window)
    # Each scheme numbers its devices from 0; here they get numbers of their own.
    first = first_device
    for draft in (bursts, rings, takeovers):
        draft.device += first
        first = max(first, int(draft.device.max(initial=-1)) + 1)
    stealth = honest_draft(
        population, rng, sizes[STEALTH], start_ms=start_ms, end_ms=end_ms, first_device=first
    )
    stealth.scheme[:] = STEALTH
    for draft in (bursts, takeovers):
        # Some work through the cardholder's own machine, by malware or remote access.
        own = own_device(population, draft.card, draft.event_ms, np.zeros(len(draft)))
        draft.device = np.where(rng.random(len(draft)) < 0.2, own, draft.device)
    return join([bursts, stolen, rings, takeovers, stealth])


def _episodes(rng: np.random.Generator, n: int, mean_size: float) -> tuple[Ints, Ints]:
    """Episode number and position in the episode, for ``n`` transactions in episodes of random size."""
    size = 1 + rng.poisson(mean_size - 1, max(n, 1))
    episode = np.repeat(np.arange(len(size)), size)[:n]
    first = np.cumsum(size) - size
    return episode, np.arange(n) - first[episode]


def _victims(
    population: Population, rng: np.random.Generator, n: int, window: tuple[int, int]
) -> tuple[Ints, Ints]:
    """A card and a start for each of ``n`` episodes."""
    start_ms = rng.integers(*window, n)
    card = rng.integers(0, len(population.cards.city), n)
    return opened_by(population, rng, card, start_ms), start_ms


def _times(
    rng: np.random.Generator, start_ms: Ints, position: Ints, gap_minutes: float, window: tuple[int, int]
) -> Ints:
    """From its start, an episode goes on after exponential gaps; ``start_ms`` has an entry per transaction."""
    n = len(position)
    gap = rng.exponential(gap_minutes * MINUTE_MS, n) * (position > 0)
    total = np.cumsum(gap)
    before_episode = (total - gap)[np.arange(n) - position]
    event_ms = np.minimum(start_ms + (total - before_episode), window[1] - 1)
    return np.asarray(event_ms, dtype=np.int64)


def _pick(rng: np.random.Generator, names: tuple[str, ...], n: int) -> Ints:
    codes: Ints = np.array([CATEGORY[name] for name in names], dtype=np.int64)
    return np.asarray(codes[rng.integers(0, len(names), n)], dtype=np.int64)


def _amounts(
    population: Population, rng: np.random.Generator, card: Ints, category: Ints, lift: Floats
) -> Floats:
    level = 0.6 * population.cards.log_amount[card] + 0.4 * 3.1 + CATEGORY_LEVEL[category]
    return np.asarray(np.exp(level + lift + rng.normal(0, 0.7, len(card))), dtype=np.float64)


def _bursts(population: Population, rng: np.random.Generator, n: int, window: tuple[int, int]) -> Draft:
    episode, position = _episodes(rng, n, 4.0)
    victim, start_ms = _victims(population, rng, n, window)
    card = victim[episode]
    category = _pick(rng, ("electronics", "entertainment", "fashion", "gaming", "travel", "utilities"), n)
    testing = position == 0
    amount = np.where(
        testing, rng.uniform(0.5, 6, n), _amounts(population, rng, card, category, np.full(n, 0.45))
    )
    return Draft(
        event_ms=_times(rng, start_ms[episode], position, 7.0, window),
        card=card,
        merchant=online_merchant(category, rng.random(n) ** 1.7),
        # One fraudster works through two stolen numbers on one device.
        device=episode // 2,
        amount=amount,
        channel=np.full(n, ECOMMERCE),
        entry_mode=np.where(rng.random(n) < 0.93, ONLINE_ENTRY, STORED),
        cvv_match=rng.random(n) < 0.75,
        authenticated=rng.random(n) < 0.08,
        scheme=np.full(n, CARD_NOT_PRESENT),
    )


def _stolen(population: Population, rng: np.random.Generator, n: int, window: tuple[int, int]) -> Draft:
    episode, position = _episodes(rng, n, 3.2)
    victim, start_ms = _victims(population, rng, n, window)
    card = victim[episode]
    away = rng.random(n) < 0.65
    city = np.where(away, rng.integers(0, CITIES, n), population.cards.city[victim])[episode]
    category = _pick(rng, ("cash", "electronics", "fashion", "fuel", "grocery", "jewellery"), n)
    way_in = rng.random(n)
    at_atm = category == CATEGORY["cash"]
    entry_mode = np.select([at_atm | (way_in < 0.25), way_in < 0.7], [CHIP, CONTACTLESS], MAGSTRIPE)
    return Draft(
        event_ms=_times(rng, start_ms[episode], position, 35.0, window),
        card=card,
        merchant=shop_at(city, category, rng.random(n)),
        device=np.full(n, NO_DEVICE),
        amount=_amounts(population, rng, card, category, np.full(n, 0.5)),
        channel=np.where(at_atm, ATM, POS),
        entry_mode=entry_mode,
        cvv_match=np.ones(n, dtype=np.bool_),
        authenticated=np.zeros(n, dtype=np.bool_),
        scheme=np.full(n, STOLEN_CARD),
    )


def _rings(population: Population, rng: np.random.Generator, n: int, window: tuple[int, int]) -> Draft:
    start_ms, end_ms = window
    # Rings come and go at a steady pace: some are at work when the window opens, some still when it closes.
    rings = max(round(n / RING_TRANSACTIONS * (1 + LONGEST_RING_DAYS * DAY_MS / (end_ms - start_ms))), 1)
    active_from = rng.uniform(start_ms - LONGEST_RING_DAYS * DAY_MS, end_ms, rings)
    active_ms = rng.uniform(15, LONGEST_RING_DAYS, rings) * DAY_MS
    low = np.clip(active_from, start_ms, end_ms)
    high = np.clip(active_from + active_ms, start_ms, end_ms)
    # Each does as much a day inside the window as it would outside.
    work = np.cumsum((high - low) / active_ms)
    ring = np.minimum(np.searchsorted(work, rng.random(n) * work[-1], side="right"), rings - 1)
    members = population.established[rng.integers(0, len(population.established), (rings, 45))]
    card = members[ring, rng.integers(0, 45, n)]
    category = _pick(rng, ("electronics", "entertainment", "fashion", "travel"), rings)
    colluding = online_merchant(np.repeat(category[:, None], 3, axis=1).ravel(), rng.random(3 * rings))
    event_ms = (low[ring] + rng.random(n) * np.maximum(high - low, 1.0)[ring]).astype(np.int64)
    return Draft(
        event_ms=np.minimum(event_ms, end_ms - 1),
        card=card,
        merchant=colluding.reshape(-1, 3)[ring, rng.integers(0, 3, n)],
        device=3 * ring + rng.integers(0, 3, n),
        amount=np.round(rng.uniform(40, 320, n) / 10) * 10 - 0.01,
        channel=np.full(n, ECOMMERCE),
        entry_mode=np.full(n, ONLINE_ENTRY),
        cvv_match=rng.random(n) < 0.95,
        authenticated=rng.random(n) < 0.25,
        scheme=np.full(n, RING),
    )


def _takeovers(population: Population, rng: np.random.Generator, n: int, window: tuple[int, int]) -> Draft:
    episode, position = _episodes(rng, n, 2.0)
    victim, start_ms = _victims(population, rng, n, window)
    card = victim[episode]
    category = _pick(rng, ("electronics", "fashion", "jewellery", "travel", "utilities"), n)
    return Draft(
        event_ms=_times(rng, start_ms[episode], position, 90.0, window),
        card=card,
        merchant=online_merchant(category, rng.random(n) ** 1.2),
        device=episode,
        amount=_amounts(population, rng, card, category, np.full(n, 0.8)),
        channel=np.full(n, ECOMMERCE),
        entry_mode=np.where(rng.random(n) < 0.7, STORED, ONLINE_ENTRY),
        cvv_match=rng.random(n) < 0.95,
        authenticated=rng.random(n) < 0.35,
        scheme=np.full(n, ACCOUNT_TAKEOVER),
    )
