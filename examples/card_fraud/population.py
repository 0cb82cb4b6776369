"""Who takes part: cards with habits, merchants with places, and the devices cards shop from.

Places lie on a plane measured in kilometres, so that a distance is a hypotenuse. Merchants are laid out
in a fixed grid, which makes "a shop of this category in this city" plain arithmetic on indices:

- shops: ``SHOPS`` per city and category, in that order
- online merchants: ``ONLINE`` per category, after all shops, riskiest first
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

CATEGORIES = (
    "cash", "electronics", "entertainment", "fashion", "fuel", "gaming", "grocery",
    "health", "jewellery", "restaurant", "travel", "utilities", "crypto",
)  # fmt: skip
"""Merchant categories. ``crypto`` has customers only under drift, so no contract written before knows it."""
CATEGORY = {name: code for code, name in enumerate(CATEGORIES)}
# How often people buy in a category, and how much they spend there relative to their own level (log scale).
CATEGORY_WEIGHT = np.array([6, 4, 6, 7, 9, 5, 28, 6, 1, 18, 4, 6, 0], dtype=np.float64)
CATEGORY_LEVEL = np.array([0.9, 1.3, 0.0, 0.4, 0.3, -0.3, 0.1, 0.2, 1.7, -0.1, 1.6, 0.7, 1.2])
# How readily a category is bought online, relative to a card's own habit.
ONLINE_TENDENCY = np.array([0, 1.6, 1.5, 1.4, 0, 2.4, 0.4, 0.6, 0.8, 0.3, 2.0, 1.9, 2.5])

CITIES = 40
COUNTRIES = 6
PLANE_KM = 3_000.0
SHOPS = 3
ONLINE = 40
EVERYWHERE = -1
FIRST_ONLINE = CITIES * len(CATEGORIES) * SHOPS


@dataclass(frozen=True, slots=True)
class Cards:
    """Arrays of shape (cards,); ``category_cdf`` is (cards, categories). ``trip_*``: one journey each."""

    city: Ints
    country: Ints
    x_km: Floats
    y_km: Floats
    opened_ms: Ints
    activity: Floats
    log_amount: Floats
    peak_hour: Floats
    online_share: Floats
    category_cdf: Floats
    trip_city: Ints
    trip_start_ms: Ints
    trip_end_ms: Ints


@dataclass(frozen=True, slots=True)
class Merchants:
    """Arrays of shape (merchants,). Online merchants have no place: NaN; ``country`` ``EVERYWHERE`` sells
    from within each country."""

    category: Ints
    country: Ints
    x_km: Floats
    y_km: Floats


@dataclass(frozen=True, slots=True)
class Population:
    """``own_device_since_ms`` is (cards, 2): from when a card's phone and its second device are in use.

    ``household``, (cards,), marks cards that also buy on the phone of the card next to them.
    ``established`` holds the cards opened before the window; there is at least one.
    """

    cards: Cards
    merchants: Merchants
    own_device_since_ms: Ints
    household: Bools
    established: Ints


def populate(rng: np.random.Generator, *, cards: int, start_ms: int, end_ms: int) -> Population:
    """Draw a population; every array follows from ``rng`` and the arguments alone."""
    city_x = np.sort(rng.uniform(0, PLANE_KM, CITIES))
    city_y = rng.uniform(0, PLANE_KM, CITIES)
    # Cities are sorted from west to east, so countries are vertical bands.
    city_country = np.arange(CITIES, dtype=np.int64) * COUNTRIES // CITIES
    merchants = _merchants(rng, city_x, city_y, city_country)

    city = rng.integers(0, CITIES, cards)
    taste = rng.gamma(1.5, size=(cards, len(CATEGORIES))) * CATEGORY_WEIGHT
    cdf = np.cumsum(taste, axis=1)
    before = start_ms - (rng.exponential(500, cards) * DAY_MS).astype(np.int64)
    during = rng.integers(start_ms, end_ms, cards)
    new = rng.random(cards) < 0.08
    new[0] = False
    opened = np.where(new, during, before)
    trip_start = rng.integers(start_ms - 5 * DAY_MS, end_ms, cards)
    trip_ms = (rng.uniform(2, 10, cards) * (rng.random(cards) < 0.45) * DAY_MS).astype(np.int64)
    drawn = Cards(
        city=city,
        country=city_country[city],
        x_km=city_x[city] + rng.normal(0, 8, cards),
        y_km=city_y[city] + rng.normal(0, 8, cards),
        opened_ms=opened,
        activity=rng.gamma(2.0, size=cards),
        log_amount=rng.normal(3.1, 0.5, cards),
        peak_hour=rng.normal(14.5, 2.5, cards),
        online_share=rng.beta(2, 4, cards),
        category_cdf=cdf / cdf[:, -1:],
        trip_city=rng.integers(0, CITIES, cards),
        trip_start_ms=trip_start,
        trip_end_ms=trip_start + trip_ms,
    )
    age_ms = (rng.exponential(400, cards) * DAY_MS).astype(np.int64)
    phone = np.maximum(opened, start_ms - age_ms)
    second = np.maximum(opened, rng.integers(start_ms - 300 * DAY_MS, end_ms + 60 * DAY_MS, cards))
    return Population(
        cards=drawn,
        merchants=merchants,
        own_device_since_ms=np.stack([phone, second], axis=1),
        household=rng.random(cards) < 0.2,
        established=np.flatnonzero(~new),
    )


def _merchants(rng: np.random.Generator, city_x: Floats, city_y: Floats, city_country: Ints) -> Merchants:
    shop = np.arange(FIRST_ONLINE)
    shop_city = shop // (len(CATEGORIES) * SHOPS)
    online = np.arange(len(CATEGORIES) * ONLINE)
    x_km = city_x[shop_city] + rng.normal(0, 12, len(shop))
    y_km = city_y[shop_city] + rng.normal(0, 12, len(shop))
    nowhere = np.full(len(online), np.nan)
    # The riskier an online merchant (the earlier in its category), the more often it sells from abroad.
    local = rng.random(len(online)) < 0.35 + 0.55 * (online % ONLINE) / ONLINE
    online_country = np.where(local, EVERYWHERE, rng.integers(0, COUNTRIES, len(online)))
    return Merchants(
        category=np.concatenate([shop // SHOPS % len(CATEGORIES), online // ONLINE]),
        country=np.concatenate([city_country[shop_city], online_country]),
        x_km=np.concatenate([x_km, nowhere]),
        y_km=np.concatenate([y_km, nowhere]),
    )


def shop_at(city: Ints, category: Ints, uniform: Floats) -> Ints:
    """A shop of ``category`` in ``city``; ``uniform`` in [0, 1) picks among the few there are."""
    return (city * len(CATEGORIES) + category) * SHOPS + (uniform * SHOPS).astype(np.int64)


def online_merchant(category: Ints, uniform: Floats) -> Ints:
    """An online merchant of ``category``; small values of ``uniform`` pick the risky ones."""
    return FIRST_ONLINE + category * ONLINE + (uniform * ONLINE).astype(np.int64)
