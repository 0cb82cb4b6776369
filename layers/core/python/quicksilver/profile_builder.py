"""Building the reference profile from encoded reference rows. Off the request path."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quicksilver.contract import Contract, FeatureType
from quicksilver.errors import FieldError, InvalidPackage
from quicksilver.frame import Encoded
from quicksilver.profile import CategoryHistogram, NumericHistogram, ReferenceProfile

FEATURE_BINS = 10
SCORE_BINS = 20
MINIMUM_ROWS = 50
"""With fewer, a bin holds a handful of rows and every comparison with it is noise."""


def build_profile(
    contract: Contract, reference: Encoded, scores: NDArray[np.float64], *, bins: int = FEATURE_BINS
) -> ReferenceProfile:
    """The profile of reference rows and their scores, shape ``(rows,)``.

    Raises ``InvalidPackage`` for fewer than ``MINIMUM_ROWS`` rows, and naming each feature without any value.
    """
    vectors, unseen = reference.vectors, reference.unseen
    if len(vectors) < MINIMUM_ROWS:
        raise InvalidPackage(
            f"The reference has too few rows: {len(vectors)}, and {MINIMUM_ROWS} are the least a profile can stand on.",
            [FieldError("reference", f"must have at least {MINIMUM_ROWS} rows")],
        )
    empty = [name for name, column in zip(contract.names, vectors.T, strict=True) if np.isnan(column).all()]
    if empty:
        raise InvalidPackage(
            "A feature is missing in every row of the reference.",
            [FieldError(name, "has no value to compare live traffic with") for name in empty],
        )
    return ReferenceProfile(
        rows=len(vectors),
        features={
            feature.name: category_histogram(
                vectors[:, position],
                unseen[:, position],
                codes=2 if feature.type is FeatureType.BOOLEAN else len(feature.categories),
            )
            if feature.type in (FeatureType.CATEGORY, FeatureType.BOOLEAN)
            else numeric_histogram(vectors[:, position], bins=bins)
            for position, feature in enumerate(contract.features)
        },
        score=numeric_histogram(scores, bins=SCORE_BINS),
    )


def numeric_histogram(values: NDArray[np.float64], *, bins: int) -> NumericHistogram:
    """A histogram with the reference's own range cut at its quantiles, and two open bins outside it.

    At most ``bins`` distinct values get a bin each; a constant has one. ``values`` is NaN where missing.
    """
    present = np.sort(values[~np.isnan(values)])
    distinct = np.unique(present)
    if len(distinct) > bins:
        # "higher" takes values that occur, so no rounding of an average decides which bin a value is in.
        distinct = np.unique(np.quantile(present, np.arange(bins) / bins, method="higher"))
    # The last edge is just beyond the greatest value: from there on it is outside the range.
    beyond = math.nextafter(present[-1], math.inf)
    # Adding zero makes -0.0 and 0.0 one edge.
    edges = (np.append(distinct, beyond) if math.isfinite(beyond) else distinct) + 0.0
    counts = np.bincount(np.searchsorted(edges, present, side="right"), minlength=len(edges) + 1)
    return NumericHistogram(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        missing=len(values) - len(present),
    )


def category_histogram(
    values: NDArray[np.float64], unseen: NDArray[np.bool_], *, codes: int
) -> CategoryHistogram:
    present = values[~np.isnan(values) & ~unseen].astype(np.int64)
    return CategoryHistogram(
        counts=tuple(np.bincount(present, minlength=codes).tolist()),
        unseen=int(unseen.sum()),
        missing=int((np.isnan(values) & ~unseen).sum()),
    )
