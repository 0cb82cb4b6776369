"""What a training set is made of: predictions of one contract that have an outcome, as one SQL text."""

from __future__ import annotations

from quicksilver.drift_policy import DriftPolicy
from quicksilver.instants import utc_iso
from quicksilver.labelled import labelled
from quicksilver.query import Span, text
from quicksilver.retraining.request import TrainingSet

TABLES = ("predictions", "outcomes")
"""What the query reads."""


def training_set(policy: DriftPolicy, fingerprint: str, span: Span, now_ms: int) -> TrainingSet:
    """The training set of an endpoint's contract over a span of predictions, as a moment (UTC epoch ms) knows them.

    A prediction is in it once, with the outcome that counts for it (``labelled``), in whatever model version answered it:
    vectors of one fingerprint mean the same. What no model answered is left out. ``groups`` and ``degraded`` are JSON, as
    Athena gives no other value that is made of others.
    """
    known = labelled(
        policy.endpoint,
        span,
        now_ms=now_ms,
        match_days=policy.performance.match_days,
        columns=("vector", "fingerprint", "degraded"),
    )
    sql = f"""{known}
SELECT prediction_id, time, vector, label, CAST(groups AS JSON) AS groups, CAST(degraded AS JSON) AS degraded
FROM labelled
WHERE label IS NOT NULL AND fingerprint = {text(fingerprint)} AND status <> 'fallback'
ORDER BY time, prediction_id"""  # noqa: S608 - what ``labelled`` writes, and a literal that ``text`` writes
    return TrainingSet(
        start=utc_iso(span.start_ms), end=utc_iso(span.end_ms), fingerprint=fingerprint, sql=sql
    )
