"""Protected attributes of cardholders: watched for bias, never an input of any model.

They are drawn apart from everything else and have nothing to do with fraud, so a model that treats the
groups differently has learned that by accident. Some are unknown, as in life.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.card_fraud.population import Ints
from quicksilver.frame import Column

AGE_BANDS = ("under-30", "30-to-59", "over-59")
AGE_SHARES = (0.23, 0.52, 0.25)
SEXES = ("female", "male")
SEX_SHARES = (0.51, 0.49)
UNKNOWN_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Protected:
    """Positions in ``AGE_BANDS`` and ``SEXES``, shape (cards,); -1 is unknown."""

    age_band: Ints
    sex: Ints

    def of_cards(self, cards: Ints) -> dict[str, Column]:
        """The attributes of these cards' holders, by name; one row for each card asked about."""
        return {
            "age_band": _labelled(self.age_band[cards], AGE_BANDS),
            "sex": _labelled(self.sex[cards], SEXES),
        }


def draw_protected(rng: np.random.Generator, cards: int) -> Protected:
    """Draw the attributes of ``cards`` cardholders."""

    def draw(shares: tuple[float, ...]) -> NDArray[np.int64]:
        known = rng.choice(len(shares), size=cards, p=shares)
        return np.where(rng.random(cards) < UNKNOWN_SHARE, -1, known).astype(np.int64)

    return Protected(age_band=draw(AGE_SHARES), sex=draw(SEX_SHARES))


def _labelled(codes: Ints, labels: tuple[str, ...]) -> Column:
    return Column(np.maximum(codes, 0), codes >= 0, labels)
