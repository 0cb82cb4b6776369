"""What is counted of an endpoint's predictions and their labels, inside the engine: Python sees bins, whatever the window.

Scores are binned by their log-odds: with few bad ones nearly all scores lie in the first hundredth of [0, 1], which bins of
equal width there would not tell apart. Sums of scores are whole billionths, so that they do not depend on the order in
which an engine adds, and a mean is right to 1e-9 all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quicksilver.labelled import DAY_MS, epoch_ms, labelled
from quicksilver.query import OpenArchive, Span, timestamp

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

BIN_WIDTH = 0.02
"""In log-odds: a score of 0.01 and its neighbour in the next bin differ by 0.0002."""

_EDGE = 1e-9
_BILLION = 1_000_000_000

Cell: TypeAlias = tuple[int, int, int, int, int]
"""A score bin, a kind, how many rows are of both, and the billionths that their scores and their squares add up to."""

UNLABELLED, GOOD, BAD = 0, 1, 2
_KINDS = {None: UNLABELLED, False: GOOD, True: BAD}


@dataclass(frozen=True, slots=True)
class Binned:
    """Predictions by score bin, in rising order of score. Each array has shape (3, bins): without a label, good, bad.

    ``score`` and ``square`` are the sums of the scores and of their squares.
    """

    rows: Ints
    score: Floats
    square: Floats

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> Binned:
        """From cells in any order, of a bin and kind any number."""
        found = list(cells)
        bins = sorted({bin for bin, *_ in found})
        place = {bin: index for index, bin in enumerate(bins)}
        rows, score, square = (np.zeros((3, len(bins)), dtype=np.int64) for _ in range(3))
        for bin, kind, count, of_score, of_square in found:
            at = kind, place[bin]
            rows[at] += count
            score[at] += of_score
            square[at] += of_square
        return cls(rows, score / _BILLION, square / _BILLION)

    @property
    def labelled(self) -> int:
        return int(self.rows[GOOD:].sum())

    @property
    def bad(self) -> int:
        return int(self.rows[BAD].sum())

    @property
    def mean_score(self) -> Floats:
        """Of all rows of each bin, shape (bins,)."""
        return np.asarray(self.score.sum(axis=0) / self.rows.sum(axis=0), dtype=np.float64)


class Group(NamedTuple):
    """The predictions of one window by one model version in one role."""

    start_ms: int
    model: str
    role: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What one group came to: ``cells`` as ``Binned.of`` takes them, and of approved and of declined ones how many there
    are and how many have a label."""

    cells: tuple[Cell, ...]
    approved: int
    approved_labelled: int
    declined: int
    declined_labelled: int

    @property
    def predictions(self) -> int:
        return self.approved + self.declined

    @property
    def binned(self) -> Binned:
        return Binned.of(self.cells)

    def __add__(self, other: Answered) -> Answered:
        return Answered(
            _summed(*self.cells, *other.cells),
            self.approved + other.approved,
            self.approved_labelled + other.approved_labelled,
            self.declined + other.declined,
            self.declined_labelled + other.declined_labelled,
        )


def _summed(*cells: Cell) -> tuple[Cell, ...]:
    sums: dict[tuple[int, int], tuple[int, int, int]] = {}
    for bin, kind, rows, score, square in cells:
        before = sums.get((bin, kind), (0, 0, 0))
        sums[bin, kind] = (before[0] + rows, before[1] + score, before[2] + square)
    return tuple((*place, *sums[place]) for place in sorted(sums))


NOTHING = Answered((), 0, 0, 0, 0)


def together(groups: Iterable[Answered]) -> Answered:
    return sum(groups, NOTHING)


class Arrival(NamedTuple):
    """Predictions of one window and one age (whole days that have passed), and the day in which their label came: 0 for
    the first 24 hours, None for none yet."""

    start_ms: int
    age_days: int
    label_day: int | None
    rows: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """Outcomes that were known in a span, and those of them that count for nothing, by reason."""

    outcomes: int
    unknown_by_id: int
    """Of predictions that are not in the archive from ``since_ms`` on."""
    unknown_by_entity: int
    early: int
    """Known before their prediction was made."""
    future: int
    contradicting: int
    """Predictions with a good and a bad label of one moment; the bad one counts."""
    since_ms: int

    @property
    def faults(self) -> bool:
        return bool(
            self.unknown_by_id + self.unknown_by_entity + self.early + self.future + self.contradicting
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What is counted: an endpoint's predictions in ``span``, in tumbling windows since the epoch, as of ``now_ms``."""

    endpoint: str
    span: Span
    window_ms: int
    now_ms: int
    match_days: int
    cutoff: float

    @property
    def tables(self) -> tuple[str, ...]:
        return "predictions", "outcomes"

    @property
    def opened(self) -> Span:
        """What of the archive has to be open: an event after the span may belong to a prediction after it."""
        return Span(self.span.start_ms, max(self.span.end_ms, self.now_ms + 1))

    def answered(self, archive: OpenArchive) -> dict[Group, Answered]:
        """Predictions by window, model version and role. Fallbacks, which no model made, are left out."""
        rows = archive.query(
            f"""{self._labelled}
SELECT
    {self._window} AS window_number,
    model,
    role,
    CAST(floor(ln(odds_of / (1e0 - odds_of)) / {BIN_WIDTH:e}) AS BIGINT) AS score_bin,
    score < {self.cutoff:.17e} AS approved,
    label,
    count(*) AS row_count,
    sum(CAST(round(score * 1e9) AS BIGINT)) AS score_sum,
    sum(CAST(round(score * score * 1e9) AS BIGINT)) AS square_sum
FROM (
    SELECT *, least(greatest(score, {_EDGE:e}), 1e0 - {_EDGE:e}) AS odds_of FROM labelled WHERE status <> 'fallback'
) AS answered
GROUP BY 1, 2, 3, 4, 5, 6"""  # noqa: S608
        ).rows
        found: dict[Group, list[tuple[Any, ...]]] = defaultdict(list)
        for window, model, role, *cell in rows:
            found[Group(int(window) * self.window_ms, model, role)].append(tuple(cell))
        return {group: _answered(cells) for group, cells in sorted(found.items())}

    def arrivals(self, archive: OpenArchive) -> Sequence[Arrival]:
        """When labels came, by window and by the age of the prediction now."""
        rows = archive.query(
            f"""{self._labelled}
SELECT
    {self._window} AS window_number,
    CAST(floor(({self.now_ms} - {epoch_ms("time")}) / {DAY_MS:e}) AS BIGINT) AS age_days,
    CAST(floor(({epoch_ms("label_time")} - {epoch_ms("time")}) / {DAY_MS:e}) AS BIGINT) AS label_day,
    count(*) AS row_count
FROM labelled
WHERE status <> 'fallback'
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3"""  # noqa: S608
        ).rows
        return [Arrival(int(window) * self.window_ms, age, day, count) for window, age, day, count in rows]

    def coverage(self, archive: OpenArchive, known: Span) -> Coverage:
        """What became of the outcomes that were known in a span."""
        inside = f"label_time >= {timestamp(known.start_ms)} AND label_time < {timestamp(known.end_ms)}"
        (row,) = archive.query(
            f"""{self._labelled}, contradicted AS (
    SELECT prediction_id FROM matched
    WHERE prediction_id IS NOT NULL AND {inside}
    GROUP BY prediction_id, label_time HAVING count(DISTINCT label) > 1
)
SELECT
    count(*) FILTER (WHERE {inside}),
    count(*) FILTER (WHERE {inside} AND prediction_id IS NULL AND by_id),
    count(*) FILTER (WHERE {inside} AND prediction_id IS NULL AND NOT by_id),
    count(*) FILTER (WHERE {inside} AND label_time < predicted),
    count(*) FILTER (WHERE label_time > {timestamp(self.now_ms)}),
    (SELECT count(*) FROM contradicted)
FROM matched"""  # noqa: S608
        ).rows
        total, by_id, by_entity, early, future, contradicting = map(int, row)
        return Coverage(total, by_id, by_entity, early, future, contradicting, since_ms=self.span.start_ms)

    @property
    def _labelled(self) -> str:
        return labelled(self.endpoint, self.span, now_ms=self.now_ms, match_days=self.match_days)

    @property
    def _window(self) -> str:
        return f"CAST(floor({epoch_ms('time')} / {self.window_ms:e}) AS BIGINT)"


def _answered(cells: Sequence[tuple[Any, ...]]) -> Answered:
    counts = {(approved, known): 0 for approved in (True, False) for known in (True, False)}
    binned = []
    for bin, approved, label, rows, score, square in cells:
        counts[approved, label is not None] += rows
        binned.append((int(bin), _KINDS[label], int(rows), int(score), int(square)))
    return Answered(
        _summed(*binned),
        approved=counts[True, True] + counts[True, False],
        approved_labelled=counts[True, True],
        declined=counts[False, True] + counts[False, False],
        declined_labelled=counts[False, True],
    )
