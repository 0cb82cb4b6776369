"""What came back for one request: an answer, a refusal that docs/api.md has, or a fault.

Only refusals that an outage or a killed worker explains are expected here: the callers' requests are sound, so a 400 or a 422
is a fault, and so is a 500, which stands for what nobody foresaw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from quicksilver.aws.api import ApiAnswer
from quicksilver.problem import PROBLEM_JSON

NO_ANSWER = 0
REFUSALS: Mapping[int, str] = {
    HTTPStatus.CONFLICT: "Conflict",  # the key's first attempt is under way, or died
    HTTPStatus.SERVICE_UNAVAILABLE: "Service Unavailable",
}
"""The function's refusals that pass, and the titles that docs/api.md gives them."""
PROCESS_ENDED = "Bad Gateway"
"""What the emulator's gateway answers where the function's process ended; on AWS it is a 500 in the form of a problem."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``prediction_ids`` are of the decisions that were given; ``fault`` says what is wrong with what came back, if it is."""

    status: int
    title: str
    prediction_ids: tuple[str, ...] = ()
    fault: str = ""
    key_status: str = ""
    body_sha256: str = ""


def no_answer(reason: str) -> Outcome:
    return Outcome(NO_ANSWER, "no answer", fault=reason)


def outcome_of(answer: ApiAnswer) -> Outcome:
    """Read an answer of ``score`` or ``score-batch``."""
    if answer.status != HTTPStatus.OK:
        title = str(answer.content.get("title", "")) if isinstance(answer.content, dict) else ""
        if _is_process_end(answer):
            return Outcome(answer.status, PROCESS_ENDED)
        return Outcome(answer.status, title, fault=_fault(answer))
    return _given(answer)


def _given(answer: ApiAnswer) -> Outcome:
    content = answer.content
    if not isinstance(content, dict):
        return Outcome(answer.status, "", fault="The answer is no JSON object.")
    results = content.get("results", [{"prediction": content}])
    ids, faults = [], []
    for result in results:
        prediction = result.get("prediction", {})
        if isinstance(prediction.get("prediction_id"), str) and isinstance(prediction.get("score"), float):
            ids.append(prediction["prediction_id"])
        else:
            faults.append(_fault_of_problem(result.get("problem"), ""))
    return Outcome(
        answer.status,
        "OK",
        tuple(ids),
        fault=next((fault for fault in faults if fault), ""),
        key_status=answer.headers.get("Idempotency-Status", ""),
        body_sha256=hashlib.sha256(answer.body).hexdigest(),
    )


def _is_process_end(answer: ApiAnswer) -> bool:
    # Its own words say how the process ended, which is no form to hold anybody to.
    return (
        answer.status == HTTPStatus.BAD_GATEWAY
        and isinstance(answer.content, dict)
        and [*answer.content] == ["message"]
    )


def _fault(answer: ApiAnswer) -> str:
    if answer.headers.get("Content-Type") != PROBLEM_JSON:
        return f"A {answer.status} is no problem: {str(answer.content)[:200]}"
    if answer.headers.get("Retry-After") != "1":
        return f"A {answer.status} does not say when to try again: {str(answer.content)[:200]}"
    return _fault_of_problem(answer.content, "urn:request:")


def _fault_of_problem(problem: Any, instance: str) -> str:
    if not isinstance(problem, Mapping):
        return f"Neither a prediction nor a problem: {str(problem)[:200]}"
    said = problem.get("status")
    status = said if isinstance(said, int) else NO_ANSWER
    whole = {"type", "title", "status", "detail"} <= {*problem}
    if not whole or REFUSALS.get(status) != problem["title"]:
        return f"A problem that nothing here explains: {str(problem)[:200]}"
    if not str(problem.get("instance", "")).startswith(instance):
        return f"A problem of no request: {str(problem)[:200]}"
    return ""
