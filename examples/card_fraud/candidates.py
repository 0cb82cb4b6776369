"""Two candidates for the champion's place: one as good, and one that a mistake in its training export has spoilt.

Both pass their gates. The second learned and was judged on an export that has the age of a device in seconds; the feature
store has it in hours, so live every device looks new to it. No check of the package can know that; live traffic does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from examples.card_fraud.train import Rows, Trained, fit, judged
from quicksilver.frame import Column

ROUNDS, LEAVES = 200, 24
WRONG_UNIT = "device_age_hours"
SECONDS_PER_HOUR = 3_600


def as_good(trained: Trained) -> Trained:
    """The same rows, learned anew by smaller trees from another seed."""
    return _refitted(trained, trained.training, trained.held_out, seed=11)


def in_the_wrong_unit(trained: Trained) -> Trained:
    """Learned from the age of devices in seconds."""
    column = trained.contract.names.index(WRONG_UNIT)

    def exported(rows: Rows) -> Rows:
        vectors = rows.vectors.copy()
        vectors[:, column] *= SECONDS_PER_HOUR
        return replace(rows, vectors=vectors)

    age = trained.frame[WRONG_UNIT]
    spoilt = Column(np.asarray(age.values * SECONDS_PER_HOUR), age.present, age.labels)
    exported_frame = replace(trained, frame={**trained.frame, WRONG_UNIT: spoilt})
    return _refitted(exported_frame, exported(trained.training), exported(trained.held_out), seed=13)


def _refitted(trained: Trained, training: Rows, held_out: Rows, *, seed: int) -> Trained:
    booster = fit(trained.contract, training, rounds=ROUNDS, leaves=LEAVES, threads=1, seed=seed)
    return judged(booster, trained.contract, trained.transactions, trained.frame, training, held_out)
