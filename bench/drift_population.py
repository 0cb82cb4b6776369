"""Made-up traffic of forty features of every kind, counted into the bins of reference profiles that are built from it.

Each row belongs to one of a dozen kinds of customer, and given that its features are independent. So the counts of a window are
sums of multinomials, one per kind of customer, exactly as if its rows had been drawn and counted one by one; and through
the kinds features are correlated, for they share who came. Reference profiles come from drawn rows, by the product's own builder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from quicksilver.contract import Contract
from quicksilver.drift.counts import ArmCounts, SegmentCounts, WindowCounts
from quicksilver.frame import Encoded
from quicksilver.monitoring import Window
from quicksilver.profile import CategoryHistogram, Histogram, NumericHistogram, ReferenceProfile
from quicksilver.profile_builder import build_profile
from quicksilver.routing import Role

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

MODEL = "card-fraud@1"
TRAINING_ROWS = 20_000
KINDS = 12
PLACES = ndtri((np.arange(KINDS) + 0.5) / KINDS)
"""Where the kinds of customer lie on the one thing that moves all features, in standard deviations."""
SEGMENTED = "category_0"
_DAY_MS = 86_400_000
_NOTHING = "0" * 64


def _as_it_is(u: Floats) -> Floats:
    return u


@dataclass(frozen=True)
class Column:
    """One feature: a number u of mean ``loading`` x the customer's place and variance 1 in all, seen through ``raw`` (rising)
    or, with ``shares``, cut into categories. ``missing`` and ``unseen`` are shares of the rows."""

    name: str
    loading: float
    raw: Callable[[Floats], Floats] = _as_it_is
    shares: tuple[float, ...] = ()
    missing: float = 0.0
    unseen: float = 0.0

    @property
    def own(self) -> float:
        return float(np.sqrt(1 - self.loading**2))


def _cauchy(u: Floats) -> Floats:
    return np.asarray(np.tan(np.pi * (ndtr(u) - 0.5)))


_NUMBERS: tuple[Callable[[Floats], Floats], ...] = (
    lambda u: 50 + 10 * u,
    np.exp,
    _cauchy,
    lambda u: np.floor(np.exp(u)),
    lambda u: np.maximum(0.0, u - 0.3),
    ndtr,
    lambda u: np.sign(u) * np.exp(2 * np.abs(u)),
    lambda u: np.floor(2 + u).clip(0, 4),
)
_CATEGORIES = (
    (0.6, 0.3, 0.1),
    (0.6, 0.3, 0.09, 0.009, 0.001),
    (0.25, 0.25, 0.25, 0.25),
    tuple(1 / (place + 1) / sum(1 / (each + 1) for each in range(30)) for place in range(30)),
    (0.97, 0.02, 0.0095, 0.0005),
)
_MISSING = (0.0, 0.05, 0.0, 0.002, 0.3)
_LOADINGS = (0.9, 0.3, 0.0, 0.6)

COLUMNS = (
    *(
        Column(f"number_{i}", _LOADINGS[i % 4], _NUMBERS[i % 8], missing=_MISSING[i % 5])
        for i in range(24)
    ),
    *(
        Column(
            f"category_{i}", _LOADINGS[i % 4], shares=_CATEGORIES[i % 5], missing=_MISSING[(i + 3) % 5],
            unseen=0.001 if i % 3 == 2 else 0.0,
        )
        for i in range(10)
    ),
    *(
        Column(f"flag_{i}", _LOADINGS[i % 4], shares=(1 - share, share), missing=_MISSING[i % 5])
        for i, share in enumerate((0.5, 0.05, 0.002, 0.5, 0.2, 0.01))
    ),
)  # fmt: skip
SCORE = Column("score", 0.8, lambda u: ndtr(1.5 * u - 2))


@dataclass(frozen=True)
class Drift:
    """What has happened to one feature since the training: u moved and spread, rows gone missing or to a category."""

    feature: str
    moved: float = 0.0
    spread: float = 1.0
    gone_missing: float = 0.0
    to_category: float = 0.0
    category: int = 0


@cache
def contract() -> Contract:
    def type_of(column: Column) -> dict[str, object]:
        if not column.shares:
            return {"type": "number"}
        if len(column.shares) == 2:
            return {"type": "boolean"}
        return {"type": "category", "categories": [f"c{place}" for place in range(len(column.shares))]}

    return Contract.model_validate(
        {
            "endpoint": "card-fraud",
            "features": [
                {
                    "name": column.name, "source": "request", "missing": "missing",
                    "reason_code": column.name.upper(), "reason": column.name, **type_of(column),
                }
                for column in COLUMNS
            ],
        }
    )  # fmt: skip


def training_profile(random: np.random.Generator, rows: int = TRAINING_ROWS) -> ReferenceProfile:
    """The reference profile of drawn rows, as the product builds it."""
    place = PLACES[random.integers(0, KINDS, rows)]
    vectors, unseen = np.empty((rows, len(COLUMNS))), np.zeros((rows, len(COLUMNS)), dtype=bool)
    for number, column in enumerate(COLUMNS):
        vectors[:, number] = _seen(column, _latent(random, column, place))
        luck = random.random(rows)
        unseen[:, number] = luck < column.unseen
        vectors[luck < column.unseen + column.missing, number] = np.nan
    scores = SCORE.raw(_latent(random, SCORE, place))
    return build_profile(contract(), Encoded(vectors, unseen, np.zeros(rows, dtype=bool), {}), scores)


def _latent(random: np.random.Generator, column: Column, place: Floats) -> Floats:
    return np.asarray(column.loading * place + column.own * random.standard_normal(len(place)))


def _seen(column: Column, u: Floats) -> Floats:
    if not column.shares:
        return column.raw(u)
    return np.searchsorted(_cuts(column), u, side="right").astype(np.float64)


def _cuts(column: Column) -> Floats:
    return np.asarray(ndtri(np.cumsum(column.shares)[:-1]))


class Traffic:
    """What comes, in the bins of one reference profile. Chances have shape (kinds, bins): counts, (unseen), missing."""

    def __init__(self, profile: ReferenceProfile) -> None:
        self.profile = profile
        self._chances = {column.name: _chances(column, profile.features[column.name]) for column in COLUMNS}
        self._score = _chances(SCORE, profile.score)
        self._approved_bins = len(profile.score.counts) * 3 // 4

    def psi(self, drift: Drift) -> float:
        """The PSI of what comes against what came, in the bins of the profile: of the distributions, not of samples."""
        before, after = (each.mean(axis=0) for each in (self._chances[drift.feature], self._drifted(drift)))
        there = before > 0
        return float(np.sum((after - before)[there] * np.log(after[there] / before[there])))

    def of_psi(self, psi: float, drift: Callable[[float], Drift], most: float) -> Drift:
        """The drift whose PSI is so much, by bisection of how far it has gone."""
        low, high = 0.0, most
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.psi(drift(middle)) < psi else (low, middle)
        return drift(high)

    def window(self, random: np.random.Generator, rows: int, drift: Drift | None = None) -> WindowCounts:
        """The counts of so many independent rows."""
        kinds = random.multinomial(rows, np.full(KINDS, 1 / KINDS))
        binned = {}
        for name, chances in self._chances.items():
            wanted = self._drifted(drift) if drift and drift.feature == name else chances
            binned[name] = random.multinomial(kinds, wanted)
        # Scores given the kind of customer and the segment, so that segments add up to the arm.
        in_segment = binned[SEGMENTED].T
        score = np.stack([random.multinomial(each, self._score).sum(axis=0) for each in in_segment])
        features = {name: counts.sum(axis=0) for name, counts in binned.items()}
        return self._counted(features, score.sum(axis=0), float(rows), score)

    def clustered(
        self, random: np.random.Generator, rows: int, *, spread: float
    ) -> tuple[WindowCounts, WindowCounts]:
        """About so many rows of entities of several each (``spread`` of the log of how many), all of an entity's alike: as
        evidence by entity, and by row."""
        sizes = np.ceil(np.exp(0.7 + spread * random.standard_normal(rows))).astype(np.int64)
        sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), rows)) + 1]
        kind = random.integers(0, KINDS, len(sizes))
        features = {name: _weighed(random, chances[kind], sizes) for name, chances in self._chances.items()}
        score = _weighed(random, self._score[kind], sizes)
        total = int(sizes.sum())
        worth = total**2 / float((sizes**2).sum())
        return self._counted(features, score, worth), self._counted(features, score, float(total))

    def _drifted(self, drift: Drift) -> Floats:
        column = next(each for each in COLUMNS if each.name == drift.feature)
        chances = _chances(column, self.profile.features[drift.feature], drift.moved, drift.spread)
        chances = (1 - drift.gone_missing - drift.to_category) * chances
        chances[:, -1] += drift.gone_missing
        chances[:, drift.category] += drift.to_category
        return chances

    def _counted(
        self, features: dict[str, Counts], score: Counts, worth: float, segments: Counts | None = None
    ) -> WindowCounts:
        rows = int(score.sum())
        share = worth / rows
        arm = ArmCounts(
            model=MODEL, package_sha256=_NOTHING, fingerprint=_NOTHING, roles=(Role.CHAMPION,),
            rows=rows, effective_rows=worth, approved=self._approved(score),
            score=_histogram(self.profile.score, score),
            features={name: _histogram(self.profile.features[name], each) for name, each in features.items()},
        )  # fmt: skip
        made = [] if segments is None else [
            SegmentCounts(
                model=MODEL, feature=SEGMENTED, value=f"c{place}", rows=int(each.sum()),
                effective_rows=share * int(each.sum()), approved=self._approved(each),
                score=_histogram(self.profile.score, each),
            )
            for place, each in enumerate(segments[:3])
        ]  # fmt: skip
        return WindowCounts(
            endpoint="card-fraud", window=Window(start_ms=0, end_ms=_DAY_MS), archived=rows, fallbacks=0,
            rolled_up=rows, arms=(arm,), segments=tuple(made),
        )  # fmt: skip

    def _approved(self, score: Counts) -> int:
        return int(score[: self._approved_bins].sum())


def on_day(window: WindowCounts, day: int) -> WindowCounts:
    return window.model_copy(update={"window": Window(start_ms=day * _DAY_MS, end_ms=(day + 1) * _DAY_MS)})


def _weighed(random: np.random.Generator, chances: Floats, sizes: Counts) -> Counts:
    """A bin for each entity, by its own chances (entities, bins), counted so often as it comes."""
    luck = random.random((len(sizes), 1))
    # The last sum is 1 but for rounding, and no luck may fall beyond it.
    place = (luck > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1)
    return np.bincount(place, weights=sizes, minlength=chances.shape[1]).astype(np.int64)


def _histogram(like: Histogram, counts: Counts) -> Histogram:
    whole = [int(each) for each in counts]
    if like.kind == "category":
        return CategoryHistogram(counts=tuple(whole[:-2]), unseen=whole[-2], missing=whole[-1])
    return NumericHistogram(edges=like.edges, counts=tuple(whole[:-1]), missing=whole[-1])


def _chances(column: Column, like: Histogram, moved: float = 0.0, spread: float = 1.0) -> Floats:
    cuts = _cuts(column) if like.kind == "category" else _latent_edges(column, like.edges)
    below = ndtr(((cuts - moved) / spread - column.loading * PLACES[:, None]) / column.own)
    bins = np.diff(np.column_stack([np.zeros(KINDS), below, np.ones(KINDS)]), axis=1)
    there = 1 - column.missing - column.unseen
    apart = [column.unseen, column.missing] if like.kind == "category" else [column.missing]
    return np.column_stack([np.maximum(bins, 0) * there, np.broadcast_to(apart, (KINDS, len(apart)))])


def _latent_edges(column: Column, edges: Sequence[float]) -> Floats:
    """For each edge the u below which ``raw`` is below it, by bisection: it rises, in steps for whole numbers."""
    wanted = np.array(edges)
    low, high = np.full(len(wanted), -12.0), np.full(len(wanted), 12.0)
    for _ in range(64):
        middle = (low + high) / 2
        below = column.raw(middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high
