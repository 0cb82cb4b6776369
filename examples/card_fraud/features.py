"""The features a fraud team would use, each as it was known just before its transaction.

Card and device features see everything strictly before the transaction. Merchant features come from a
nightly job: they see the days before, and outcomes only once they are a week old.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.card_fraud.draft import CHANNELS, ECOMMERCE, ENTRY_MODES, NO_DEVICE
from examples.card_fraud.history import History
from examples.card_fraud.population import CATEGORIES, DAY_MS, HOUR_MS, Floats, Ints
from examples.card_fraud.simulator import Transactions, card_id, device_id, merchant_id
from quicksilver.contract import Contract, Scalar, Source
from quicksilver.frame import Column, Frame, partial, whole

OUTCOME_DELAY_MS = 7 * DAY_MS
"""How long the nightly job waits until it believes an outcome."""
PRIOR_TRANSACTIONS, PRIOR_FRAUD_RATE = 50, 0.02
"""What a merchant's own fraud rate is smoothed towards, and with what weight. It is fixed: a rate that followed the overall
one would move for every merchant at once whenever a few are hit, and a model would see drift where there is none."""

OnlineRows = dict[str, dict[str, dict[str, Scalar]]]
"""Feature group -> key -> feature -> value."""


def compute_features(transactions: Transactions) -> dict[str, Column]:
    """Raw values of every feature of the contract, by name; a row per transaction."""
    return {
        **_request_features(transactions),
        **_card_features(transactions),
        **_device_features(transactions),
        **_merchant_features(transactions),
    }


def request_values(contract: Contract, frame: Frame, row: int) -> dict[str, Scalar]:
    """What the caller sends for one transaction; what it does not know it leaves out."""
    values = {name: frame[name].raw(row) for name in contract.request_features}
    return {name: value for name, value in values.items() if value is not None}


def request_keys(transactions: Transactions, row: int) -> dict[str, str]:
    """The rows a transaction names besides its card's. Without a device there is no ``device_id``."""
    keys = {"merchant_id": merchant_id(int(transactions.merchant[row]))}
    if transactions.device[row] != NO_DEVICE:
        keys["device_id"] = device_id(int(transactions.device[row]))
    return keys


def online_rows(
    contract: Contract, transactions: Transactions, frame: Frame, rows: Sequence[int]
) -> OnlineRows:
    """What the feature store must hold for the transactions ``rows`` to be scored as they were.

    Raises ``ValueError`` where two of the transactions ask for different values of the same row.
    """
    loaded: OnlineRows = {group: {} for group in contract.groups}
    for row in rows:
        keys = {"entity_id": card_id(int(transactions.card[row])), **request_keys(transactions, row)}
        for group, field in contract.groups.items():
            if field not in keys:
                continue
            names = [f.name for f in contract.features if f.source is Source.ONLINE and f.group == group]
            raw = {name: frame[name].raw(row) for name in names}
            # A device that was never seen has no row at all.
            if group == "device" and raw["device_age_hours"] is None:
                continue
            values = {name: value for name, value in raw.items() if value is not None}
            if loaded[group].setdefault(keys[field], values) != values:
                raise ValueError(f"{keys[field]} would need two different rows at once")
    return loaded


def _request_features(t: Transactions) -> dict[str, Column]:
    cards = t.population.cards
    in_person = t.channel != ECOMMERCE
    from_home = np.hypot(t.x_km - cards.x_km[t.card], t.y_km - cards.y_km[t.card])
    history = History(t.card, t.event_ms)
    last = history.last_where(in_person, history.first(t.card), history.at(t.card, t.event_ms))
    both = in_person & (last >= 0)
    from_last = np.hypot(t.x_km - t.x_km[last], t.y_km - t.y_km[last])
    # Two payments in neighbouring shops within a minute are no journey: at least five minutes pass.
    hours = np.maximum((t.event_ms - t.event_ms[last]) / HOUR_MS, 1 / 12)
    return {
        "amount": whole(t.amount_cents / 100),
        "merchant_category": whole(t.category, CATEGORIES),
        "channel": whole(t.channel, CHANNELS),
        "entry_mode": whole(t.entry_mode, ENTRY_MODES),
        "card_present": whole(in_person),
        "cross_border": whole(t.cross_border),
        "hour_of_day": whole(t.event_ms // HOUR_MS % 24),
        "authenticated": whole(t.authenticated),
        "cvv_match": partial(t.cvv_match, ~in_person),
        "distance_from_home_km": partial(_rounded(from_home), in_person),
        "distance_from_last_km": partial(_rounded(from_last), both),
        "implied_speed_kmh": partial(_rounded(from_last / hours), both),
    }


def _rounded(values: Floats) -> Floats:
    """To three decimals: a caller does not send metres in sixteen digits."""
    return np.round(values, 3)


def _card_features(t: Transactions) -> dict[str, Column]:
    history = History(t.card, t.event_ms)
    now, first = history.at(t.card, t.event_ms), history.first(t.card)
    cents = history.totals(t.amount_cents)
    since = {hours: history.at(t.card, t.event_ms - hours * HOUR_MS) for hours in (1, 24, 168, 720)}
    columns = {}
    for name, hours in (("1h", 1), ("24h", 24), ("7d", 168)):
        columns[f"card_count_{name}"] = whole(now - since[hours])
        columns[f"card_amount_{name}"] = whole(cents(since[hours], now) / 100)
    for name, hours in (("7d", 168), ("30d", 720)):
        count = now - since[hours]
        mean = cents(since[hours], now) / np.maximum(count, 1) / 100
        columns[f"card_mean_amount_{name}"] = partial(mean, count > 0)
    columns["card_distinct_merchants_24h"] = whole(history.distinct(t.merchant, since[24], now))
    last = history.last_where(np.ones(len(t), dtype=np.bool_), first, now)
    columns["card_seconds_since_last"] = partial((t.event_ms - t.event_ms[last]) / 1_000, last >= 0)
    # A new card's master data arrives with the next nightly load.
    opened, midnight = t.population.cards.opened_ms[t.card], _start_of_day(t)
    # Whole months: days would tell single cards apart, and a model would learn names instead of ages.
    columns["card_age_months"] = partial((midnight - opened) // (30 * DAY_MS), opened < midnight)
    return columns


def _device_features(t: Transactions) -> dict[str, Column]:
    with_device = t.device != NO_DEVICE
    known = with_device & (t.known_since_ms < t.event_ms)
    # Transactions without a device share key 0, which no device has.
    key = t.device + 1
    history = History(key, t.event_ms)
    now, first = history.at(key, t.event_ms), history.first(key)
    cards_met = history.totals(history.first_of(t.card))
    age = (t.event_ms - np.where(known, t.known_since_ms, t.event_ms)) / HOUR_MS
    return {
        "device_age_hours": partial(age, known),
        "device_cards_seen": partial(cards_met(first, now), known),
        "device_count_24h": partial(now - history.at(key, t.event_ms - DAY_MS), known),
    }


def _merchant_features(t: Transactions) -> dict[str, Column]:
    history = History(t.merchant, t.event_ms)
    midnight = _start_of_day(t)
    now = history.at(t.merchant, midnight)
    since = {days: history.at(t.merchant, midnight - days * DAY_MS) for days in (1, 7, 30)}
    cents = history.totals(t.amount_cents)
    count_30d = now - since[30]

    believed = midnight - OUTCOME_DELAY_MS
    old, new = history.at(t.merchant, believed - 30 * DAY_MS), history.at(t.merchant, believed)
    frauds = history.totals(t.outcome.astype(np.int64))(old, new)
    rate = (frauds + PRIOR_TRANSACTIONS * PRIOR_FRAUD_RATE) / (new - old + PRIOR_TRANSACTIONS)
    mean = cents(since[30], now) / np.maximum(count_30d, 1) / 100
    return {
        "merchant_fraud_rate": partial(rate, new > old),
        "merchant_count_24h": whole(now - since[1]),
        "merchant_count_7d": whole(now - since[7]),
        "merchant_mean_amount_30d": partial(mean, count_30d > 0),
    }


def _start_of_day(t: Transactions) -> Ints:
    """When the nightly job ran that a transaction sees: days count from the start of the window."""
    return t.start_ms + t.day * DAY_MS
