"""The contract of the endpoint ``card-fraud``: what the model expects and what to do without it.

How the policies were chosen: without an amount or a channel there is no decision to make (reject). A
card the bank does not know yet is a case for a person (refer). Nothing seen in a window is a count of
zero, and no word of authentication means none (default). The rest is scored as missing.

A count over a window is stale as soon as it is older than the window: it then says nothing about it.
"""

from __future__ import annotations

from examples.card_fraud.draft import CHANNELS, ENTRY_MODES
from examples.card_fraud.population import CATEGORIES
from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Scalar, Source

ENDPOINT = "card-fraud"
GROUPS = {"card": "entity_id", "merchant": "merchant_id", "device": "device_id"}

HOUR = 3_600
DAY = 24 * HOUR
LONGEST_KM = 20_100.0
"""Half the way round the earth: a greater distance is a mistake."""
KNOWN_CATEGORIES = tuple(name for name in CATEGORIES if name != "crypto")
"""What merchants sold when the contract was written."""

NUMBER, INTEGER = FeatureType.NUMBER, FeatureType.INTEGER
CATEGORY, BOOLEAN = FeatureType.CATEGORY, FeatureType.BOOLEAN
MISSING, REJECT, REFER = MissingPolicy.MISSING, MissingPolicy.REJECT, MissingPolicy.REFER


def build_contract() -> Contract:
    """The contract; a value, so every call gives the same fingerprint."""
    return Contract(
        endpoint=ENDPOINT,
        groups=GROUPS,
        features=(*_request(), *_card(), *_device(), *_merchant()),
        top_reasons=4,
        protected=("age_band", "sex"),
    )


def _sent(
    name: str,
    kind: FeatureType,
    missing: MissingPolicy,
    code: str,
    reason: str,
    *,
    default: Scalar | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    categories: tuple[str, ...] = (),
    sensitive: bool = False,
) -> Feature:
    return Feature(
        name=name,
        type=kind,
        source=Source.REQUEST,
        missing=missing,
        default=default,
        minimum=minimum,
        maximum=maximum,
        categories=categories,
        sensitive=sensitive,
        reason_code=code,
        reason=reason,
    )


def _stored(
    group: str,
    name: str,
    kind: FeatureType,
    missing: MissingPolicy,
    max_age_seconds: int,
    code: str,
    reason: str,
    *,
    maximum: float | None = None,
) -> Feature:
    """An online feature; all of ours are non-negative, and 0 is the default where there is one."""
    return Feature(
        name=name,
        type=kind,
        source=Source.ONLINE,
        group=group,
        missing=missing,
        default=0 if missing is MissingPolicy.DEFAULT else None,
        minimum=0,
        maximum=maximum,
        max_age_seconds=max_age_seconds,
        reason_code=code,
        reason=reason,
    )


def _request() -> list[Feature]:
    return [
        _sent("amount", NUMBER, REJECT, "AMOUNT", "The amount is unusual", minimum=0.01, maximum=1_000_000),
        _sent(
            "merchant_category", CATEGORY, MISSING, "CATEGORY", "The kind of merchant carries risk",
            categories=KNOWN_CATEGORIES,
        ),
        _sent("channel", CATEGORY, REJECT, "CHANNEL", "The channel carries risk", categories=CHANNELS),
        _sent(
            "entry_mode", CATEGORY, MISSING, "ENTRY_MODE", "How the card was read or entered carries risk",
            categories=ENTRY_MODES,
        ),
        _sent("card_present", BOOLEAN, MISSING, "CARD_PRESENCE", "Whether the card was present carries risk"),
        _sent("cross_border", BOOLEAN, MISSING, "CROSS_BORDER", "The merchant is in another country"),
        _sent("hour_of_day", INTEGER, MISSING, "HOUR", "The hour is unusual", minimum=0, maximum=23),
        _sent(
            "authenticated", BOOLEAN, MissingPolicy.DEFAULT, "AUTHENTICATION",
            "How the customer was authenticated carries risk", default=False,
        ),
        _sent("cvv_match", BOOLEAN, MISSING, "CVV", "The card verification code carries risk"),
        _sent(
            "distance_from_home_km", NUMBER, MISSING, "FAR_FROM_HOME", "Far from the card's home",
            minimum=0, maximum=LONGEST_KM, sensitive=True,
        ),
        _sent(
            "distance_from_last_km", NUMBER, MISSING, "FAR_FROM_LAST", "Far from the last purchase",
            minimum=0, maximum=LONGEST_KM, sensitive=True,
        ),
        _sent(
            "implied_speed_kmh", NUMBER, MISSING, "IMPOSSIBLE_TRAVEL",
            "The card moved faster than a person can travel", sensitive=True, minimum=0, maximum=1_000_000,
        ),
    ]  # fmt: skip


def _card() -> list[Feature]:
    zero = MissingPolicy.DEFAULT
    week, month = 7 * DAY, 30 * DAY
    return [
        _stored("card", "card_count_1h", INTEGER, zero, HOUR, "COUNT_1H", "Many purchases within an hour"),
        _stored("card", "card_count_24h", INTEGER, zero, DAY, "COUNT_24H", "Many purchases within a day"),
        _stored("card", "card_count_7d", INTEGER, zero, week, "COUNT_7D", "Unusual use this week"),
        _stored("card", "card_amount_1h", NUMBER, zero, HOUR, "SPEND_1H", "High spending within an hour"),
        _stored("card", "card_amount_24h", NUMBER, zero, DAY, "SPEND_24H", "High spending within a day"),
        _stored("card", "card_amount_7d", NUMBER, zero, week, "SPEND_7D", "Unusual spending this week"),
        _stored(
            "card", "card_mean_amount_7d", NUMBER, MISSING, week, "MEAN_7D",
            "Out of line with the card's purchases this week",
        ),
        _stored(
            "card", "card_mean_amount_30d", NUMBER, MISSING, month, "MEAN_30D",
            "Out of line with the card's purchases this month",
        ),
        _stored(
            "card", "card_distinct_merchants_24h", INTEGER, zero, DAY, "MERCHANTS_24H",
            "Many different merchants within a day",
        ),
        _stored(
            "card", "card_seconds_since_last", NUMBER, MISSING, DAY, "TIME_SINCE_LAST",
            "The time since the last purchase is unusual",
        ),
        _stored("card", "card_age_months", INTEGER, REFER, month, "CARD_AGE", "The card's age carries risk"),
    ]  # fmt: skip


def _device() -> list[Feature]:
    zero = MissingPolicy.DEFAULT
    return [
        _stored(
            "device", "device_age_hours", NUMBER, MISSING, DAY, "NEW_DEVICE", "The device is new or unknown"
        ),
        _stored(
            "device", "device_cards_seen", INTEGER, zero, 7 * DAY, "SHARED_DEVICE", "Cards share the device"
        ),
        _stored(
            "device", "device_count_24h", INTEGER, zero, DAY, "BUSY_DEVICE", "The device is used heavily"
        ),
    ]


def _merchant() -> list[Feature]:
    nightly = 2 * DAY  # one night may be missed
    zero = MissingPolicy.DEFAULT
    return [
        _stored(
            "merchant", "merchant_fraud_rate", NUMBER, MISSING, nightly, "MERCHANT_RISK",
            "The merchant has seen fraud", maximum=1,
        ),
        _stored(
            "merchant", "merchant_count_24h", INTEGER, zero, nightly, "MERCHANT_VOLUME_24H",
            "The merchant's volume of the last day carries risk",
        ),
        _stored(
            "merchant", "merchant_count_7d", INTEGER, zero, nightly, "MERCHANT_VOLUME_7D",
            "The merchant's volume of the last week carries risk",
        ),
        _stored(
            "merchant", "merchant_mean_amount_30d", NUMBER, MISSING, nightly, "MERCHANT_AMOUNT",
            "Out of line with the merchant's usual amounts",
        ),
    ]  # fmt: skip
