"""Many decisions in one request: features in batched reads, and one row's error is its own.

Each row is decided as a request of its own would be: the same arm, the same vector, the same record.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from quicksilver.decision import Routed, decide
from quicksilver.errors import FieldError, InvalidRequest, LogFull, QuicksilverError, whereabouts
from quicksilver.ports import FeatureReading
from quicksilver.prediction import PredictionRecord
from quicksilver.request import Asked, BatchRow, parse_batch
from quicksilver.scoring import Caller, Scorer, route
from quicksilver.serving import LoadedRoute
from quicksilver.stopwatch import Step, Stopwatch

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 5 * 1024 * 1024
"""Lambda refuses an answer over 6 MB (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

Outcome: TypeAlias = PredictionRecord | Exception
"""What became of a row."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What all rows of a batch share."""

    now_ms: int
    caller: Caller
    asked: Asked
    watch: Stopwatch


def score_batch(scorer: Scorer, body: str | bytes | None, caller: Caller, asked: Asked) -> Sequence[Outcome]:
    """Score every row that can be, and put their records in the log; outcomes are in the order of the rows.

    Raises ``InvalidInput`` where the batch as a whole cannot be read or answered, and ``Unavailable`` when nothing
    can answer; then nothing is logged.
    """
    watch = Stopwatch(scorer.clock)
    moment = _Moment(scorer.clock.now_ms(), caller, asked, watch)
    deadline = scorer.deadline(asked, for_batch=True)

    rows = parse_batch(body)
    scorer.log.check_room(len(rows))
    watch.mark(Step.VALIDATE)

    loaded = scorer.serving.loaded_route(deadline)
    routed = [_routed(loaded, row) for row in rows]
    watch.mark(Step.ROUTE)

    found = [item for item in routed if isinstance(item, Routed)]
    keys = tuple(dict.fromkeys(key for item in found for key in item.rows))
    names = tuple(dict.fromkeys(name for item in found for name in item.names))
    reading = scorer.features.read(keys, names, deadline)
    watch.mark(Step.FEATURES)

    outcomes = [
        _decided(scorer, item, reading, moment) if isinstance(item, Routed) else item for item in routed
    ]
    records = [outcome for outcome in outcomes if isinstance(outcome, PredictionRecord)]
    if sum(len(record.answer_json) for record in records) > MAX_ANSWER_BYTES:
        reason = "would be answered with more than 5 MiB; send fewer rows, or ask for fewer reasons"
        raise InvalidRequest("The answer would be too large.", [FieldError("rows", reason)])
    lost = scorer.take(records)
    return [
        LogFull("Neither the stream nor the store takes the record of this row.")
        if isinstance(outcome, PredictionRecord) and outcome.prediction_id in lost
        else outcome
        for outcome in outcomes
    ]


def _routed(loaded: LoadedRoute, row: BatchRow) -> Routed | QuicksilverError:
    if isinstance(row, InvalidRequest):
        return row
    try:
        return route(loaded, row)
    except InvalidRequest as error:
        return error


def _decided(scorer: Scorer, routed: Routed, reading: FeatureReading, moment: _Moment) -> Outcome:
    watch = moment.watch.lap()
    try:
        decision = decide(routed, reading, moment.now_ms, moment.asked.reasons, watch, scorer.metrics)
        watch.mark(Step.REASONS)
        return scorer.record(routed, decision, moment.now_ms, watch, moment.caller)
    except QuicksilverError as error:
        return error
    except Exception as error:  # one row's fault is not the others'
        logger.error("a row failed", extra={"request_id": moment.caller.request_id, **whereabouts(error)})
        return error
