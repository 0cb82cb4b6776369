"""What an experiment keeps of an arm, and what it computes from it: every measure, with its variance.

Sums are additive and small, so that a look costs the same after a million entities as after a thousand. Scores are
kept as a histogram of log-odds: AUC and KS are exact for scores rounded to its bins, everything else is exact.

- AUC and its variance: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44(3); a tie counts half.
- KS: the largest distance between the scores of bads and of goods. Its variance is that at a fixed cut, bounded by
  1/4 for each class: the cut that maximises is not fixed, and what that adds is well within the bound.
- The others are means of independent values.

Each estimate is asymptotically linear: it differs from its target by a mean of independent terms, and less. That is
what the confidence sequences need. Arrays hold one look or, along the leading axes, many.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from quicksilver.experiment_plan import Costs, Measure
from quicksilver.frame import Bools, Floats, Ints

BIN_WIDTH = 0.05
SCORE_BINS = 512
"""Log-odds of the score from -12.8 to 12.8; the first and the last bin are open."""

NEVER = np.iinfo(np.int64).max
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Observations:
    """One arm's entities, one row each, shape (rows,): the first prediction of each in the experiment.

    ``seen_ms`` is when it was predicted and ``ripe_ms`` since when its outcome counts, both epoch ms; ``NEVER``
    where there is no outcome yet, and then ``bad`` means nothing.
    """

    seen_ms: Ints
    ripe_ms: Ints
    score: Floats
    bad: Bools

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True, slots=True)
class ArmSums:
    """What is kept of an arm's entities. The shape of each is that of the looks, followed by its own.

    ``entities`` and ``approved`` are of all entities, the rest of those whose outcome counts: ``scores`` (2, bins) by
    outcome, good first; ``decisions`` (2, 2) by outcome and by approval; ``log_loss`` (2,), its sum and that of its
    squares.
    """

    entities: Ints
    approved: Ints
    scores: Ints
    decisions: Ints
    log_loss: Floats

    def __add__(self, other: ArmSums) -> ArmSums:
        return ArmSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __getitem__(self, look: int) -> ArmSums:
        return ArmSums(*(getattr(self, field.name)[look] for field in fields(self)))

    @property
    def outcomes(self) -> Ints:
        """Entities whose outcome counts."""
        return np.asarray(self.decisions.sum(axis=(-2, -1)))

    @property
    def goods(self) -> Ints:
        return np.asarray(self.decisions[..., 0, :].sum(axis=-1))

    @property
    def bads(self) -> Ints:
        return np.asarray(self.decisions[..., 1, :].sum(axis=-1))


def sums_at(observations: Observations, looks_ms: Ints, cutoff: float) -> ArmSums:
    """An arm's sums at each of rising moments, shape (looks,): what one would have seen looking then."""
    looks = len(looks_ms)
    approved = observations.score < cutoff
    seen = np.searchsorted(looks_ms, observations.seen_ms, side="left")
    ripe = np.searchsorted(looks_ms, observations.ripe_ms, side="left")
    known = ripe < looks
    ripe, bad, score = ripe[known], observations.bad[known].astype(np.int64), observations.score[known]
    of_outcome = ripe * 2 + bad
    loss = log_losses(score, observations.bad[known])
    return ArmSums(
        entities=_running(seen, looks, 1)[:, 0],
        approved=_running(seen[approved], looks, 1)[:, 0],
        scores=_running(of_outcome * SCORE_BINS + score_bins(score), looks, 2 * SCORE_BINS).reshape(
            looks, 2, SCORE_BINS
        ),
        decisions=_running(of_outcome * 2 + approved[known], looks, 4).reshape(looks, 2, 2),
        log_loss=np.column_stack(
            [np.bincount(ripe, weights=w, minlength=looks).cumsum() for w in (loss, loss**2)]
        ),
    )


def score_bins(score: Floats) -> Ints:
    """Each score's bin, by its log-odds."""
    sure = np.clip(score, _EPSILON, 1 - _EPSILON)
    place = np.floor(np.log(sure / (1 - sure)) / BIN_WIDTH).astype(np.int64) + SCORE_BINS // 2
    return np.clip(place, 0, SCORE_BINS - 1)


def log_losses(score: Floats, bad: Bools) -> Floats:
    """Each score's log loss in nats. As scikit-learn's: a probability of 0 or 1 is moved by one machine epsilon."""
    sure = np.clip(score, _EPSILON, 1 - _EPSILON)
    return np.asarray(-np.log(np.where(bad, sure, 1 - sure)))


def _running(places: Ints, looks: int, cells: int) -> Ints:
    """Counts of each cell up to each look, shape (looks, cells), of places ``look * cells + cell``."""
    counts = np.bincount(places[places < looks * cells], minlength=looks * cells).reshape(looks, cells)
    for look in range(
        1, looks
    ):  # along rows that lie together: several times as fast as cumsum over the first axis
        counts[look] += counts[look - 1]
    return np.asarray(counts)


class Estimate(NamedTuple):
    """A measure of one arm and the variance of this estimate, at each look; NaN where there is too little."""

    value: Floats
    variance: Floats


def estimates(sums: ArmSums, costs: Costs) -> dict[Measure, Estimate]:
    """Every measure of an arm. The expected loss is per decision, in the unit of the costs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        auc, ks = _ranking(sums)
        return {
            Measure.EXPECTED_LOSS: _expected_loss(sums, costs),
            Measure.AUC: auc,
            Measure.KS: ks,
            Measure.LOG_LOSS: _mean(sums.outcomes, sums.log_loss[..., 0], sums.log_loss[..., 1]),
            Measure.APPROVAL_RATE: _mean(sums.entities, sums.approved, sums.approved),
        }


def _expected_loss(sums: ArmSums, costs: Costs) -> Estimate:
    missed, declined = sums.decisions[..., 1, 1], sums.decisions[..., 0, 0]
    return _mean(
        sums.outcomes,
        costs.missed_bad * missed + costs.declined_good * declined,
        float(costs.missed_bad) ** 2 * missed + float(costs.declined_good) ** 2 * declined,
    )


def _mean(count: Ints, total: Ints | Floats, squares: Ints | Floats) -> Estimate:
    mean = total / count
    return Estimate(np.asarray(mean), np.asarray((squares / count - mean**2) / (count - 1)))


def _ranking(sums: ArmSums) -> tuple[Estimate, Estimate]:
    """AUC and KS from the histogram, in one pass over its running shares."""
    good, bad = sums.scores[..., 0, :], sums.scores[..., 1, :]
    goods, bads = sums.goods, sums.bads
    below_good, below_bad = good.cumsum(axis=-1), bad.cumsum(axis=-1)
    # The share of the other class that a score of each bin outranks, or is outranked by; ties count half.
    of_bad = (below_good - good / 2) / goods[..., None]
    of_good = 1 - (below_bad - bad / 2) / bads[..., None]
    auc = np.einsum("...b,...b->...", bad, of_bad) / bads
    spread_bad = np.einsum("...b,...b,...b->...", bad, of_bad, of_bad) / bads - auc**2
    spread_good = np.einsum("...b,...b,...b->...", good, of_good, of_good) / goods - auc**2
    ks = np.abs(below_good / goods[..., None] - below_bad / bads[..., None]).max(axis=-1)
    return (
        Estimate(np.asarray(auc), np.asarray(spread_bad / (bads - 1) + spread_good / (goods - 1))),
        Estimate(np.asarray(ks), np.asarray((1 / goods + 1 / bads) / 4)),
    )
