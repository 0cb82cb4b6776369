"""Many hypotheses at once: which of them are findings, so that few findings are false.

Benjamini and Hochberg 1995, JRSS B 57(1): of all that is found, the expected share that is false is at most the rate asked
for. Where nothing has moved every finding is false, so the rate also bounds how often a quiet window has a finding at all.

It holds for independent hypotheses and for positively dependent ones (Benjamini and Yekutieli 2001, Annals of Statistics
29(4), theorem 1.2), and features of one window are not worse than that: ``bench.sim_drift`` measures it on correlated ones.
Benjamini and Yekutieli's own procedure (theorem 1.3) allows any dependence whatever and divides the rate by
1 + 1/2 + ... + 1/m: six times for 200 hypotheses, paid for in windows that drift goes unnoticed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def adjusted(p_values: Sequence[float]) -> list[float]:
    """The least rate at which each hypothesis would be a finding, in the order given."""
    if not p_values:
        return []
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = p[order] * len(p) / np.arange(1, len(p) + 1)
    made = np.empty_like(p)
    made[order] = np.minimum(1.0, np.minimum.accumulate(stepped[::-1])[::-1])
    return [float(value) for value in made]


def findings(p_values: Sequence[float], rate: float) -> list[bool]:
    """Which hypotheses are findings at a false discovery rate."""
    return [value <= rate for value in adjusted(p_values)]
