"""Two histograms as bars that can be read side by side: shares of all rows, in the words of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from quicksilver.contract import Feature, FeatureType
from quicksilver.profile import CategoryHistogram, Histogram, NumericHistogram


class Bars(BaseModel):
    """Shares of all rows, reference and current, in one order. The last ``apart`` bars are of no value in the reference's
    range: below it, above it, unseen, missing. Those that hold nothing on either side are left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]
    apart: int


def compare(reference: Histogram, current: Histogram, feature: Feature | None) -> Bars | None:
    """The bars of a feature, or of scores (``feature`` is None). None where the two are not of the same bins."""
    if isinstance(reference, NumericHistogram) and isinstance(current, NumericHistogram):
        if reference.edges != current.edges:
            return None
        values = _ranges(reference.edges, whole=feature is not None and feature.type is FeatureType.INTEGER)
        return _bars(
            (values, reference.counts[1:-1], current.counts[1:-1]),
            (
                ("below", reference.counts[0], current.counts[0]),
                ("above", reference.counts[-1], current.counts[-1]),
                ("missing", reference.missing, current.missing),
            ),
            (reference.rows, current.rows),
        )
    if isinstance(reference, CategoryHistogram) and isinstance(current, CategoryHistogram):
        names = _names(feature, len(reference.counts))
        if not len(names) == len(reference.counts) == len(current.counts):
            return None
        return _bars(
            (names, reference.counts, current.counts),
            (
                ("unseen", reference.unseen, current.unseen),
                ("missing", reference.missing, current.missing),
            ),
            (reference.rows, current.rows),
        )
    return None


def _bars(
    values: tuple[Sequence[str], Sequence[int], Sequence[int]],
    apart: Sequence[tuple[str, int, int]],
    rows: tuple[int, int],
) -> Bars:
    held = [bar for bar in apart if bar[1] or bar[2]]
    was = [*values[1], *(count for _, count, _ in held)]
    now = [*values[2], *(count for _, _, count in held)]
    return Bars(
        labels=(*values[0], *(name for name, _, _ in held)),
        reference=tuple(count / max(rows[0], 1) for count in was),
        current=tuple(count / max(rows[1], 1) for count in now),
        apart=len(held),
    )


def _names(feature: Feature | None, codes: int) -> tuple[str, ...]:
    if feature is not None and feature.type is FeatureType.BOOLEAN:
        return ("false", "true")
    return feature.categories if feature is not None else tuple(map(str, range(codes)))


def _ranges(edges: Sequence[float], *, whole: bool) -> tuple[str, ...]:
    """``edges[i] <= x < edges[i + 1]`` in words; the last edge is just beyond the greatest value of the reference."""
    pairs = list(pairwise(edges))
    if not whole:
        return tuple(f"{_number(low)} to {_number(high)}" for low, high in pairs)
    # Of integers, the greatest below an edge. The last edge is less than one above the greatest.
    tops = [high - 1 if high == int(high) else int(high) for _, high in pairs]
    return tuple(
        _number(low) if low == top else f"{_number(low)} to {_number(top)}"
        for (low, _), top in zip(pairs, tops, strict=True)
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
