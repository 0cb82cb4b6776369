"""Batches of which next to nothing can be scored: each bad row has its problem, and the good one its decision."""

from __future__ import annotations

import json
from itertools import cycle, islice
from typing import Any

from tests.function.caller import AMOUNT, BODY, ENTITY, Caller
from tests.function.faults import throttled
from tests.function.scripted_aws import ScriptedAws

BAD_ROWS: list[Any] = [
    None, 7, "row", [], {}, {"entity_id": ""}, {"entity_id": "a b"}, {"entity_id": ENTITY, "features": {}},
    {"entity_id": ENTITY, "features": {"amount": "812"}}, {"entity_id": ENTITY, "features": {"amount": 1e308}},
    {"entity_id": ENTITY, "features": {"amount": float("nan")}}, {"entity_id": ENTITY, "features": {"colour": 1}},
    {"entity_id": ENTITY, "features": {"amount": AMOUNT, "txn_count_1h": 1}}, {**BODY, "more": 1},
    {**BODY, "keys": {"shop_id": "s"}}, {"entity_id": ENTITY, "features": {"amount": 10**400}},
]  # fmt: skip


def test_one_good_row_among_499_bad_ones_is_scored(caller: Caller, aws: ScriptedAws) -> None:
    rows = list(islice(cycle(BAD_ROWS), 499))
    rows.insert(250, BODY)
    answer = caller.ask({"rows": rows}, batch=True)
    assert (answer.status, answer.content["scored"], answer.content["failed"]) == (200, 1, 499)
    results = answer.content["results"]
    assert results.pop(250)["prediction"]["status"] == "scored"
    assert {result["problem"]["status"] for result in results} == {422}
    assert all(result["problem"]["errors"] for result in results)
    assert (caller.counted("RequestsScored"), caller.counted("RequestsRefused")) == (1, 499)


def test_the_good_row_keeps_its_record_when_the_stream_is_down(caller: Caller, aws: ScriptedAws) -> None:
    rows = [*islice(cycle(BAD_ROWS), 20), BODY]
    with aws.failing("PutRecords", throttled):
        answer = caller.ask({"rows": rows}, batch=True)
    assert answer.content["scored"] == 1
    assert caller.counted("PredictionsUndelivered") == 1


def test_500_rows_whose_features_cannot_be_read_are_decided_without_them(
    caller: Caller, aws: ScriptedAws
) -> None:
    rows = [{**BODY, "entity_id": f"{ENTITY}-{row}"} for row in range(500)]
    with aws.failing("BatchGetItem", throttled):
        answer = caller.ask({"rows": rows}, batch=True, deadline_ms=600)
    assert answer.content["scored"] == 500
    assert caller.counted("RequestsDegraded") == 500


def test_bodies_that_are_no_batch_are_refused(caller: Caller) -> None:
    for body in ("", "[", "[]", "null", '{"rows":[]}', '{"rows":{}}', json.dumps({"rows": [BODY] * 501})):
        assert caller.ask(body, batch=True).status in (400, 422)
    assert caller.counted("RequestsRefused") == 7
