"""What a training set is made of: predictions of one contract that have an outcome, as one SQL text."""

from __future__ import annotations

from quicksilver.instants import utc_iso
from quicksilver.query import Span, text, timestamp
from quicksilver.retraining.request import TrainingSet

TABLES = ("predictions", "outcomes")
"""What the query reads."""

COLUMNS = ("prediction_id", "time", "vector", "label", "groups")


def training_set(endpoint: str, fingerprint: str, span: Span) -> TrainingSet:
    """The training set of an endpoint's contract over a span of predictions.

    A prediction is in it once, with the latest of its outcomes, in whatever model version answered it: vectors of one
    fingerprint mean the same. A fallback has no vector and is left out.
    """
    sql = f"""\
WITH scored AS (
    SELECT prediction_id, time, vector,
        row_number() OVER (PARTITION BY prediction_id ORDER BY time DESC) AS copy
    FROM predictions
    WHERE endpoint = {text(endpoint)} AND fingerprint = {text(fingerprint)}
        AND time >= {timestamp(span.start_ms)} AND time < {timestamp(span.end_ms)}
        AND cardinality(vector) > 0
), known AS (
    SELECT prediction_id, label, groups,
        row_number() OVER (PARTITION BY prediction_id ORDER BY time DESC) AS copy
    FROM outcomes
)
SELECT scored.prediction_id, scored.time, scored.vector, known.label, known.groups
FROM scored JOIN known ON known.prediction_id = scored.prediction_id
WHERE scored.copy = 1 AND known.copy = 1
ORDER BY scored.time, scored.prediction_id"""  # noqa: S608 - literals are written by ``text`` and ``timestamp``
    return TrainingSet(
        start=utc_iso(span.start_ms), end=utc_iso(span.end_ms), fingerprint=fingerprint, sql=sql
    )
