"""How labels arrive: the share of them that is there after so many days, and how ripe a window is by it.

The curve is the product-limit estimator (Kaplan & Meier 1958, JASA 53(282), section 2) of the days until a prediction's
label is there. Predictions without one are censored at their age, in whole days that have passed: a young one says nothing
of the days it has not lived. Labels of the day that is not over yet are left out for the same reason, or those who are
labelled early would be counted and those who are not would not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from quicksilver.performance.counts import Arrival, Floats

MIN_FOLLOWED = 50
"""Predictions that must be so many days old for the curve to say anything of that day."""


@dataclass(frozen=True, slots=True)
class Maturity:
    """``known[days]`` is the share of predictions that have a label after so many days, from ``known[0]`` = 0 on, for as
    long as predictions were followed, and ``label_days`` at most.

    After ``label_days`` no label is waited for. Where a curve does not reach so far, nobody knows how many there will be.
    """

    known: Floats
    label_days: int

    @property
    def followed_days(self) -> int:
        return len(self.known) - 1

    @property
    def ever(self) -> float | None:
        """The share of predictions that have a label in the end; None where none was followed for so long."""
        return float(self.known[-1]) if self.followed_days == self.label_days else None

    def ripeness(self, ages: Iterable[tuple[int, int]]) -> float | None:
        """The share of the labels they will ever have that predictions have by now; ``ages`` are whole days and how many
        predictions are so old. None where the curve does not say it, or says that no label comes."""
        found = list(ages)
        rows = sum(count for _, count in found)
        if rows and all(age >= self.label_days for age, _ in found):
            return 1.0
        if not self.ever or not rows:
            return None
        now = sum(count * self.known[min(age, self.label_days)] for age, count in found)
        return min(1.0, float(now / rows / self.ever))


def maturity(arrivals: Iterable[Arrival], label_days: int) -> Maturity:
    """The curve of what is given: labels by their day and by the age of their prediction."""
    # Days until the label, or that were followed without one; a label that comes in the day after the d-th is there
    # when d + 1 days have passed.
    came = np.zeros(label_days + 1, dtype=np.int64)
    lasted = np.zeros(label_days + 1, dtype=np.int64)
    aged = np.zeros(label_days + 1, dtype=np.int64)
    for arrival in arrivals:
        aged[min(arrival.age_days, label_days)] += arrival.rows
        day = arrival.label_day
        if day is not None and day + 1 <= min(arrival.age_days, label_days):
            came[day + 1] += arrival.rows
            lasted[day + 1] += arrival.rows
        else:
            lasted[min(arrival.age_days, label_days)] += arrival.rows
    at_risk, followed = (np.cumsum(each[::-1])[::-1] for each in (lasted, aged))
    known = [0.0]
    unknown = 1.0
    for day in range(1, label_days + 1):
        if followed[day] < MIN_FOLLOWED:
            break
        if at_risk[day]:
            unknown *= 1 - came[day] / at_risk[day]
        known.append(1 - unknown)
    return Maturity(np.array(known), label_days)
