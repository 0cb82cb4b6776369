"""Which outcome counts for which prediction: SQL for both engines of the query port.

An outcome belongs to the prediction whose id it names; or to its entity's latest prediction that is not after the moment of
the event and at most ``match_days`` before it (``drift_policy.Performance``). Of all that belong to one prediction the
latest by time counts, and the bad one of two that contradict each other at one time. None counts that is before its
prediction, or that nobody can know yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from quicksilver.query import Span, text, timestamp

DAY_MS = 86_400_000


def labelled(endpoint: str, span: Span, *, now_ms: int, match_days: int, columns: Sequence[str] = ()) -> str:
    """The named queries that a text begins with (``WITH ...``), of an endpoint's predictions in a span, as of a moment.

    ``labelled`` has a row for each prediction: ``prediction_id``, ``entity_id``, ``model``, ``role``, ``status``, ``time``,
    ``score`` and the further ``columns`` of the table, with ``label``, ``label_time`` and ``groups``, all null where no
    outcome counts. ``matched`` has a row for each outcome of the endpoint: ``by_id``, ``label``, ``label_time``, and the
    ``prediction_id`` and ``predicted`` (its time) of the prediction it belongs to, null where the span has none such.
    """
    # A later prediction of the entity, after the span even, may be the one that an event belongs to.
    until = min(now_ms + 1, span.end_ms + (match_days + 1) * DAY_MS)
    more = "".join(f", {column}" for column in columns)
    return f"""
WITH recent AS (
    SELECT
        prediction_id, entity_id, model, role, status, time, score{more},
        lead(time) OVER (PARTITION BY entity_id ORDER BY time, prediction_id) AS next_time
    FROM (
        SELECT prediction_id, entity_id, model, arm.role AS role, status, time, score{more}
        FROM predictions
        WHERE endpoint = {text(endpoint)}
          AND time >= {timestamp(span.start_ms)} AND time < {timestamp(max(until, span.end_ms))}
    ) AS asked
), given AS (
    SELECT prediction_id, entity_id, event_time, label, time, groups
    FROM outcomes
    WHERE endpoint = {text(endpoint)}
), matched AS (
    SELECT
        true AS by_id, given.label, given.time AS label_time, given.groups,
        recent.prediction_id, recent.time AS predicted
    FROM given LEFT JOIN recent ON recent.prediction_id = given.prediction_id
    WHERE given.prediction_id IS NOT NULL
    UNION ALL
    SELECT
        false AS by_id, given.label, given.time AS label_time, given.groups,
        recent.prediction_id, recent.time AS predicted
    FROM given LEFT JOIN recent
      ON recent.entity_id = given.entity_id
     AND recent.time <= given.event_time
     AND given.event_time <= recent.time + INTERVAL '{match_days}' DAY
     AND (recent.next_time IS NULL OR given.event_time < recent.next_time)
    WHERE given.prediction_id IS NULL
), counted AS (
    SELECT
        prediction_id, label, label_time, groups,
        row_number() OVER (PARTITION BY prediction_id ORDER BY label_time DESC, label DESC) AS place
    FROM matched
    WHERE prediction_id IS NOT NULL AND label_time >= predicted AND label_time <= {timestamp(now_ms)}
), labelled AS (
    SELECT
        recent.prediction_id, recent.entity_id, recent.model, recent.role, recent.status, recent.time,
        recent.score{"".join(f", recent.{column}" for column in columns)},
        counted.label, counted.label_time, counted.groups
    FROM recent LEFT JOIN counted ON counted.prediction_id = recent.prediction_id AND counted.place = 1
    WHERE recent.time < {timestamp(span.end_ms)}
)"""  # noqa: S608 - names are ours, and values are literals that `text` and `timestamp` write


def epoch_ms(column: str) -> str:
    """A TIMESTAMP's UTC epoch milliseconds, as a SQL expression."""
    return f"date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', {column})"
