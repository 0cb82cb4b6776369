"""The SQL that counts predictions into bins, in Trino's words; the engine counts, and Python sees nothing but bins.

Each text counts one span of time, by the records' own time. All but ``evidence_sql`` are additive over spans that do not
overlap: what a window came to is the sum of what its slices came to. Bins are those of the reference profile, always.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from quicksilver.archive import PREDICTIONS
from quicksilver.contract import Contract, Feature, FeatureType
from quicksilver.features import Cause
from quicksilver.model_version import ModelName
from quicksilver.prediction import Status
from quicksilver.profile import CategoryHistogram, Histogram, NumericHistogram, ReferenceProfile
from quicksilver.query import Span, text, timestamp

_PRESENT = "CAST('Infinity' AS DOUBLE)"
"""Every number is at most this; null is not, nor is NaN in either engine."""


@dataclass(frozen=True, slots=True)
class Binning:
    """How the answers of one model version are counted. ``cutoff``: scores below it are approved."""

    model: ModelName
    contract: Contract
    profile: ReferenceProfile
    cutoff: float

    def histograms_sql(self, endpoint: str, span: Span) -> str:
        """One row: answers, approved, then what the bins of the score and of each feature are made from."""
        columns = [*_scores_columns(self), *self._feature_columns()]
        vector = [
            f"element_at(vector, {place}) AS {_column(place)}"
            for place in range(1, len(self.contract.names) + 1)
        ]
        return (
            f"SELECT {', '.join(columns)} FROM (SELECT score, {', '.join(vector)} "  # noqa: S608 - our own names
            f"FROM {_answers(endpoint, span)} AND model = {text(self.model)})"
        )

    def segments_sql(self, endpoint: str, span: Span, segments: Sequence[str]) -> str:
        """Rows ``(place, code, ...)``: the scores by each value that the model saw of these features."""
        each = [
            f"SELECT {place} AS place, code, {', '.join(_scores_columns(self))} "  # noqa: S608 - our own names
            f"FROM (SELECT score, {self._code(place)} AS code "
            f"FROM {_answers(endpoint, span)} AND model = {text(self.model)}) GROUP BY code"
            for place in self.places(segments)
        ]
        return " UNION ALL ".join(each)

    def importance_sql(self, endpoint: str, span: Span) -> str:
        """One row: the mean absolute contribution of each feature, of the answers that were explained."""
        means = [
            f"avg(abs(element_at(contributions, {place})))"
            for place in range(1, len(self.contract.names) + 1)
        ]
        return (
            f"SELECT {', '.join(means)} FROM {_answers(endpoint, span)} "  # noqa: S608 - our own names
            f"AND model = {text(self.model)} AND contributions IS NOT NULL"
        )

    def places(self, names: Sequence[str]) -> list[int]:
        """Where features are in the vector, counted from 1; those the contract does not have, or that have no codes, are
        left out."""
        return [
            place
            for place, feature in enumerate(self.contract.features, 1)
            if feature.name in names and _codes(feature)
        ]

    def scores(self, sums: Sequence[int]) -> tuple[int, int, NumericHistogram]:
        """Answers, approved and the scores' histogram, from the first columns of a row."""
        answers, approved = sums[0], sums[1]
        edges = self.profile.score.edges
        return answers, approved, _numeric(edges, sums[2 : 3 + len(edges)], answers)

    def features(
        self, sums: Sequence[int], causes: Mapping[tuple[str, Cause], int]
    ) -> Iterator[tuple[str, Histogram]]:
        """Each feature's histogram, from a row of ``histograms_sql`` and how often which cause was named."""
        answers = sums[0]
        at = 3 + len(self.profile.score.edges)
        for feature in self.contract.features:
            reference = self.profile.features[feature.name]
            if reference.kind == "numeric":
                width = len(reference.edges) + 1
                yield feature.name, _numeric(reference.edges, sums[at : at + width], answers)
            else:
                width = _codes(feature)
                unseen = causes.get((feature.name, Cause.UNSEEN_CATEGORY), 0)
                yield feature.name, _categories(feature, sums[at : at + width], answers, unseen)
            at += width

    def value(self, place: int, code: float | None) -> str | None:
        """What the contract calls a value of the feature at a place: a category, ``true`` or ``false``; None is missing."""
        names = self.contract.features[place - 1].categories or ("false", "true")
        return None if code is None else names[int(code)]

    def segment_evidence_sql(self, endpoint: str, window: Span, place: int) -> str:
        """Rows ``(code, effective)``: as ``evidence_sql``, by each value of the feature at a place of the vector."""
        return (
            f"SELECT code, {_KISH} FROM (SELECT code, entity_id, count(*) AS answers "  # noqa: S608 - our own names
            f"FROM (SELECT entity_id, {self._code(place)} AS code "
            f"FROM {_answers(endpoint, window)} AND model = {text(self.model)}) GROUP BY code, entity_id) GROUP BY code"
        )

    def _code(self, place: int) -> str:
        """The code at a place of the vector; null for missing, and for what is no code."""
        value = f"element_at(vector, {place})"
        codes = ", ".join(number(float(code)) for code in range(_codes(self.contract.features[place - 1])))
        return f"CASE WHEN {value} IN ({codes}) THEN {value} END"

    def _feature_columns(self) -> Iterator[str]:
        for place, feature in enumerate(self.contract.features, 1):
            column, reference = _column(place), self.profile.features[feature.name]
            if reference.kind == "numeric":
                yield from _numeric_columns(column, reference.edges)
            else:
                yield from (_count_if(f"{column} = {number(float(code))}") for code in range(_codes(feature)))


def overview_sql(endpoint: str, span: Span) -> str:
    """Rows ``(model, package_sha256, fingerprint, role, status, predictions, explained)``."""
    return (
        "SELECT model, package_sha256, fingerprint, arm.role, status, count(*), "  # noqa: S608 - our own names
        "count_if(explained_by IS NOT NULL) "
        f"FROM {_predictions(endpoint, span)} "
        "GROUP BY model, package_sha256, fingerprint, arm.role, status"
    )


def count_sql(endpoint: str, span: Span) -> str:
    """One row: how many predictions there are."""
    return f"SELECT count(*) FROM {_predictions(endpoint, span)}"  # noqa: S608 - our own names


def causes_sql(endpoint: str, span: Span) -> str:
    """Rows ``(model, feature, cause, answers)``.

    By the places in ``degraded``, and not UNNEST(degraded): that gives a column for each member in Trino, and one struct in
    DuckDB. Trino's ``sequence(1, 0)`` has two members, so answers with nothing degraded are left out before; DuckDB counts a list's members
    unsigned.
    """
    return (
        "SELECT model, feature, cause, count(*) FROM ("  # noqa: S608 - our own names
        "SELECT model, element_at(degraded, place).feature AS feature, element_at(degraded, place).cause AS cause "
        f"FROM (SELECT model, degraded FROM {_answers(endpoint, span)} AND cardinality(degraded) > 0) "
        "CROSS JOIN UNNEST(sequence(1, CAST(cardinality(degraded) AS BIGINT))) AS places (place)"
        ") WHERE feature IS NOT NULL GROUP BY model, feature, cause"
    )


def evidence_sql(endpoint: str, window: Span) -> str:
    """Rows ``(model, effective)``: n / (sum(m^2) / n) for entities of m answers (Kish, Survey Sampling, 1965, section
    8.2), over the whole window: an entity's answers in several slices are of one entity."""
    return (
        f"SELECT model, {_KISH} FROM (SELECT model, entity_id, count(*) AS answers "  # noqa: S608 - our own names
        f"FROM {_answers(endpoint, window)} GROUP BY model, entity_id) GROUP BY model"
    )


_KISH = "CAST(sum(answers) AS DOUBLE) * CAST(sum(answers) AS DOUBLE) / CAST(sum(answers * answers) AS DOUBLE)"


def number(value: float) -> str:
    """A number as a SQL literal that is a double in both engines: ``0.1`` alone would be a decimal, and not the same.

    ``repr`` is the shortest text that reads back bit-equal.
    """
    written = repr(value)
    return written if "e" in written else f"{written}e0"


def _predictions(endpoint: str, span: Span) -> str:
    return (
        f"{PREDICTIONS.name} WHERE endpoint = {text(endpoint)} "
        f"AND time >= {timestamp(span.start_ms)} AND time < {timestamp(span.end_ms)}"
    )


def _answers(endpoint: str, span: Span) -> str:
    """Predictions that a model version answered: of a fallback, the score is the contract's own."""
    return f"{_predictions(endpoint, span)} AND status <> {text(Status.FALLBACK)}"


def _scores_columns(binning: Binning) -> list[str]:
    return [
        "count(*)",
        _count_if(f"score < {number(binning.cutoff)}"),
        *_numeric_columns("score", binning.profile.score.edges),
    ]


def _numeric_columns(column: str, edges: Sequence[float]) -> Iterator[str]:
    """Running counts: one comparison for each edge, and one for all numbers."""
    yield from (_count_if(f"{column} < {number(edge)}") for edge in edges)
    yield _count_if(f"{column} <= {_PRESENT}")


def _count_if(condition: str) -> str:
    """How often it is true: 0 of nothing in both engines, where DuckDB's own ``count_if`` says null."""
    return f"coalesce(count_if({condition}), 0)"


def _numeric(edges: Sequence[float], below: Sequence[int], answers: int) -> NumericHistogram:
    """From how many are below each edge, and how many there are."""
    counts = [high - low for low, high in zip((0, *below), below, strict=False)]
    return NumericHistogram(edges=tuple(edges), counts=tuple(counts), missing=answers - below[-1])


def _categories(feature: Feature, counts: Sequence[int], answers: int, unseen: int) -> CategoryHistogram:
    """An unseen value is in the vector as what the feature's policy made of it: taken out of there, it is counted once.

    What is no code counts as missing, so that a histogram is always of all answers.
    """
    by_code = list(counts)
    missing = answers - sum(by_code)
    if math.isnan(feature.default_value):
        unseen = min(unseen, missing)
        missing -= unseen
    else:
        default = int(feature.default_value)
        unseen = min(unseen, by_code[default])
        by_code[default] -= unseen
    return CategoryHistogram(counts=tuple(by_code), unseen=unseen, missing=missing)


def _codes(feature: Feature) -> int:
    """How many codes a feature has; none where it is a number."""
    return 2 if feature.type is FeatureType.BOOLEAN else len(feature.categories)


def _column(place: int) -> str:
    return f"f{place}"


def added(sums: Sequence[int] | None, row: Sequence[int]) -> tuple[int, ...]:
    """What slices came to so far, and one more."""
    return tuple(row) if sums is None else tuple(a + b for a, b in zip(sums, row, strict=True))
