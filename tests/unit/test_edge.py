"""The edge: status codes, problem details, and that nothing internal ever leaves."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quicksilver.contract import Contract
from quicksilver.edge import answer_request
from quicksilver.ports import FeatureKey
from tests.conftest import contract_content, train
from tests.documented_answers import documented

if TYPE_CHECKING:
    from tests.unit.conftest import Bench


def post(bench: Bench, body: str | None, **event: Any) -> dict[str, Any]:
    whole = {"body": body, "path": "/v1/card-fraud/score", "requestContext": {"requestId": "r-1"}, **event}
    answer = answer_request(whole, bench.scorer, function_version="1")
    return dict(documented(answer, whole["path"]))


def test_a_scored_request_is_200_and_the_body_has_the_response_only(
    bench: Bench, request_body: dict[str, Any]
) -> None:
    answer = post(bench, json.dumps(request_body))
    content = json.loads(answer["body"])
    assert answer["statusCode"] == 200
    assert {"score", "reasons", "timings", "route"} <= content.keys()
    assert not {"vector", "contributions", "request_id"} & content.keys()
    assert bench.metrics.counts["RequestsScored"] == 1


def test_a_base64_body_is_read(bench: Bench, request_body: dict[str, Any]) -> None:
    body = base64.b64encode(json.dumps(request_body).encode()).decode()
    assert post(bench, body, isBase64Encoded=True)["statusCode"] == 200
    assert post(bench, "!", isBase64Encoded=True)["statusCode"] == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [("{", 400), ("[]", 400), ("{}", 422), ('{"entity_id": "' + "c" * 70_000 + '"}', 413)],
)
def test_a_refusal_is_a_problem_that_names_field_and_reason(bench: Bench, body: str, status: int) -> None:
    answer = post(bench, body)
    problem = json.loads(answer["body"])
    assert answer["statusCode"] == problem["status"] == status
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert problem["errors"][0].keys() == {"field", "reason"}
    assert problem["instance"] == "urn:request:r-1"


def test_no_model_is_503_with_retry_after(bench: Bench, request_body: dict[str, Any]) -> None:
    from tests.unit.conftest import Bench as NewBench

    empty = NewBench()
    answer = post(empty, json.dumps(request_body))
    assert empty.metrics.counts["RequestsUnanswered"] == 1
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "1")


def test_a_late_feature_that_may_not_be_missing_is_503_and_no_fault_of_the_callers(
    bench: Bench, request_body: dict[str, Any]
) -> None:
    content = contract_content()
    content["features"][4]["missing"] = "reject"
    trained = train(Contract.model_validate(content))
    seen = ~np.isnan(trained.vectors[:, 4])
    bench.put_champion(trained.pack(reference=trained.vectors[seen], target=trained.target[seen]))
    bench.clock.advance_ms(60_000)
    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    answer = post(bench, json.dumps(request_body))
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "1")
    assert "not read in time" in json.loads(answer["body"])["detail"]


def test_a_full_log_says_that_decisions_cannot_be_recorded(
    bench: Bench, request_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quicksilver.delivery.MAX_PENDING", 0)
    answer = post(bench, json.dumps(request_body))
    assert answer["statusCode"] == 503
    assert "cannot be recorded" in json.loads(answer["body"])["detail"]


def test_an_unforeseen_error_leaves_no_trace_of_itself_in_answer_or_message(
    bench: Bench,
    request_body: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("4111111111111111 at /var/task/secret.py")

    monkeypatch.setattr(bench.features, "read", fail)
    with caplog.at_level(logging.ERROR):
        answer = post(bench, json.dumps(request_body))
    assert answer["statusCode"] == 500
    assert "secret" not in answer["body"]
    assert "RuntimeError" not in answer["body"]
    assert "4111" not in caplog.text
    assert caplog.records[-1].__dict__["error"] == "RuntimeError"
    assert bench.metrics.counts["RequestsFailed"] == bench.metrics.counts["RequestsUnanswered"] == 1


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"queryStringParameters": {"reasons": "some"}}, "query.reasons"),
        ({"queryStringParameters": {"reason": "all"}}, "query.reason"),
        ({"headers": {"X-Deadline-Ms": "0"}}, "headers.X-Deadline-Ms"),
        ({"headers": {"x-deadline-ms": "soon"}}, "headers.X-Deadline-Ms"),
        ({"headers": {"X-DEADLINE-MS": "1e3"}}, "headers.X-Deadline-Ms"),
        ({"headers": {"x-deadline-ms": "-5"}}, "headers.X-Deadline-Ms"),
    ],
)
def test_a_parameter_that_is_none_of_its_values_is_a_400_that_names_it(
    bench: Bench, request_body: dict[str, Any], event: dict[str, Any], field: str
) -> None:
    answer = post(bench, json.dumps(request_body), **event)
    assert answer["statusCode"] == 400
    assert [error["field"] for error in json.loads(answer["body"])["errors"]] == [field]


def test_a_caller_chooses_the_reasons(bench: Bench, request_body: dict[str, Any]) -> None:
    def reasons(wanted: str | None) -> dict[str, Any]:
        query = {"reasons": wanted} if wanted else None
        answer = post(bench, json.dumps(request_body), queryStringParameters=query)
        return json.loads(answer["body"])

    top, everything, none = reasons("top"), reasons("all"), reasons("none")
    assert reasons(None)["reasons"] == top["reasons"]
    assert len(top["reasons"]) == 3
    assert len(everything["reasons"]) > 3
    assert everything["reasons"][:3] == top["reasons"]
    assert all(reason["contribution"] > 0 for reason in everything["reasons"])
    assert (none["reasons"], none["explained_by"]) == ([], None)
    assert none["raw_score"] == top["raw_score"]


def test_a_caller_may_shorten_the_deadline_and_not_lengthen_it(
    bench: Bench, request_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[float] = []
    read = bench.features.read

    def watched(keys: Any, names: Any, deadline: Any) -> Any:
        left.append(deadline.remaining_seconds())
        return read(keys, names, deadline)

    monkeypatch.setattr(bench.features, "read", watched)
    for header in ({}, {"x-deadline-ms": "100"}, {"x-deadline-ms": "20"}, {"x-deadline-ms": "9000"}):
        post(bench, json.dumps(request_body), headers=header)
    assert left == pytest.approx([0.490, 0.090, 0.016, 0.490])  # 10 ms, or a fifth, are kept for computing
