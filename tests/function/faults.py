"""What a call to AWS can meet with. A fault that is no answer of AWS's has written nothing either, but ``unheard``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from bench.loopback_http import Answer, Request

WHISPER = "nobody may log this"
"""Stands in every message of AWS's: none may reach a log."""

PATIENCE_SECONDS = 60

Perform: TypeAlias = Callable[[Request], Answer]
Fault: TypeAlias = Callable[[Request, Perform, threading.Event], Answer | None]
"""Answers a call, by having it performed or not. The event is set when the fault is over."""


def passed_on(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    return perform(request)


def throttled(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    if "x-amz-target" in request.headers:
        return _json({"__type": "ProvisionedThroughputExceededException", "message": WHISPER}, 400)
    return Answer(503, f"<Error><Code>SlowDown</Code><Message>{WHISPER}</Message></Error>".encode())


def error_page(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    return Answer(500, f"<html><body>{WHISPER}</body></html>".encode(), {"Content-Type": "text/html"})


def reset(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    return Answer(200, json.dumps({"message": WHISPER}).encode(), cut=True)


def nonsense(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    """200, and nothing of what an answer should hold."""
    return _json({"message": WHISPER})


def hang(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    """No answer, and nothing done, for as long as the fault lasts."""
    over.wait(PATIENCE_SECONDS)
    return None


def held(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    """The answer comes when the fault is over, and the call has done its work."""
    over.wait(PATIENCE_SECONDS)
    return perform(request)


def slow(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    """The answer takes its time, and comes sooner than anybody's patience ends."""
    over.wait(0.1)
    return perform(request)


def unheard(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    """The call has done its work, and its answer is lost on the way."""
    perform(request)
    return Answer(200, json.dumps({"message": WHISPER}).encode(), cut=True)


def unprocessed(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    """BatchGetItem answers for all keys but the first."""
    call = json.loads(request.body)
    ((table, wanted),) = call["RequestItems"].items()
    first, *others = wanted["Keys"]
    left = {table: {**wanted, "Keys": [first]}}
    if not others:
        return _json({"Responses": {table: []}, "UnprocessedKeys": left})
    answer = json.loads(perform(_with(request, {"RequestItems": {table: {**wanted, "Keys": others}}})).body)
    return _json({**answer, "UnprocessedKeys": left})


def some_refused(request: Request, perform: Perform, over: threading.Event) -> Answer | None:
    """PutRecords takes every second record, and throttles the first, the third ..."""
    call = json.loads(request.body)
    records = call["Records"]
    results: list[dict[str, Any]] = [
        {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": WHISPER} for _ in records
    ]
    if records[1::2]:
        answer = json.loads(perform(_with(request, {**call, "Records": records[1::2]})).body)
        results[1::2] = answer["Records"]
    return _json({"FailedRecordCount": len(records[::2]), "Records": results})


def _with(request: Request, body: Mapping[str, Any]) -> Request:
    return request._replace(body=json.dumps(body).encode())


def _json(body: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/x-amz-json-1.0"})
