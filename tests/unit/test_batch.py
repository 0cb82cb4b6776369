"""Many decisions in one request: each row as it would be alone, and no row at the cost of another."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.contract import Contract
from quicksilver.delivery import PredictionLog
from quicksilver.edge import answer_request
from quicksilver.errors import Unavailable
from quicksilver.ports import FeatureKey, LogEntry
from tests.conftest import contract_content, train
from tests.documented_answers import documented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.conftest import Bench

Row = dict[str, Any]


def post(bench: Bench, body: Any, path: str = "/v1/card-fraud/score-batch", **event: Any) -> tuple[int, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    whole = {"body": text, "path": path, "requestContext": {"requestId": "r-1"}, **event}
    answer = answer_request(whole, bench.scorer, function_version="1")
    return answer["statusCode"], json.loads(documented(answer, path)["body"])


def without_moment(prediction: Row) -> Row:
    return {name: value for name, value in prediction.items() if name not in ("prediction_id", "timings")}


def test_each_row_is_answered_as_a_request_of_its_own_would_be(bench: Bench, request_body: Row) -> None:
    rows = [request_body, {**request_body, "keys": {}}, {**request_body, "entity_id": "card_unknown"}]
    status, content = post(bench, {"rows": rows})
    alone = [post(bench, row, path="/v1/card-fraud/score")[1] for row in rows]
    assert (status, content["scored"], content["failed"]) == (200, 3, 0)
    assert [without_moment(result["prediction"]) for result in content["results"]] == [
        without_moment(prediction) for prediction in alone
    ]


def test_499_bad_rows_of_500_do_not_fail_the_good_one(bench: Bench, request_body: Row) -> None:
    bad: list[Any] = [
        None,
        7,
        [],
        {},
        {"entity_id": ""},
        {**request_body, "features": {"amount": "much"}},
        {**request_body, "features": {"colour": 1}},
        {**request_body, "extra": 1},
    ]
    rows = [bad[number % len(bad)] for number in range(499)]
    rows.insert(250, request_body)
    status, content = post(bench, {"rows": rows})
    assert (status, content["scored"], content["failed"]) == (200, 1, 499)
    assert "score" in content["results"][250]["prediction"]
    problems = [result["problem"] for place, result in enumerate(content["results"]) if place != 250]
    assert all(problem["status"] == 422 and problem["errors"] for problem in problems)
    assert bench.metrics.counts["RequestsRefused"] == 499
    bench.log.flush()
    assert len(bench.stream.entries) == 1


def test_rows_of_one_entity_read_its_features_once(
    bench: Bench, request_body: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[FeatureKey]] = []
    read = bench.features.read

    def watched(keys: Sequence[FeatureKey], *more: Any) -> Any:
        asked.append(keys)
        return read(keys, *more)

    monkeypatch.setattr(bench.features, "read", watched)
    post(bench, {"rows": [request_body] * 500})
    assert asked == [(FeatureKey("card", "card_1"), FeatureKey("merchant", "m_1"))]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ("{", 400, "(body)"),
        ("[]", 400, "(body)"),
        ("{}", 422, "rows"),
        ({"rows": []}, 422, "rows"),
        ({"rows": [{}] * 501}, 422, "rows"),
        ({"rows": [], "row": 1}, 422, "rows"),
        ('{"rows": ["' + "x" * 2_100_000 + '"]}', 413, "(body)"),
    ],
)
def test_a_batch_that_is_none_is_refused_whole(bench: Bench, body: Any, status: int, field: str) -> None:
    answered, problem = post(bench, body)
    assert (answered, problem["errors"][0]["field"]) == (status, field)


def test_a_row_whose_features_are_late_says_so_and_the_others_do_not(bench: Bench, request_body: Row) -> None:
    bench.features.late = frozenset({FeatureKey("card", "card_2")})
    _, content = post(bench, {"rows": [request_body, {**request_body, "entity_id": "card_2"}]})
    first, second = (result["prediction"]["degraded"] for result in content["results"])
    assert first == []
    assert {item["cause"] for item in second} == {"late"}


def test_an_unforeseen_error_in_one_row_is_that_rows_500(
    bench: Bench, request_body: Row, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = bench.loaded_route().champion.evaluator
    evaluate = evaluator.evaluate

    def broken(vector: Sequence[float]) -> Any:
        if vector[0] == 13:
            raise RuntimeError("4111111111111111")
        return evaluate(vector)

    monkeypatch.setattr(evaluator, "evaluate", broken)
    unlucky = {**request_body, "features": {**request_body["features"], "amount": 13}}
    status, content = post(bench, {"rows": [request_body, unlucky, request_body]})
    assert (status, content["scored"]) == (200, 2)
    assert content["results"][1]["problem"]["status"] == 500
    assert "4111" not in caplog.text + json.dumps(content)
    assert bench.metrics.counts["RequestsUnanswered"] == 1


def test_an_answer_lambda_would_refuse_is_a_problem_and_leaves_no_record(
    bench: Bench, request_body: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quicksilver.batch.MAX_ANSWER_BYTES", 5_000)
    status, problem = post(bench, {"rows": [request_body] * 10})
    assert (status, problem["errors"][0]["field"]) == (422, "rows")
    assert bench.log.pending == 0


def test_a_batch_is_not_begun_whose_records_could_not_be_held(
    bench: Bench, request_body: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quicksilver.delivery.MAX_PENDING", 9)
    assert post(bench, {"rows": [request_body] * 10})[0] == 503
    assert post(bench, {"rows": [request_body] * 9})[0] == 200


def test_rows_whose_records_must_come_first_and_are_not_taken_are_not_answered(
    bench: Bench, request_body: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HalfTheStream:
        def put(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
            return entries[1::2]

    def refuse(*_: Any) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(bench.undelivered, "keep", refuse)
    log = PredictionLog("card-fraud", HalfTheStream(), bench.undelivered, bench.metrics, before_response=True)
    monkeypatch.setattr(bench.scorer, "log", log)
    # Every id of a test's clock and randomness is the same, so make them differ.
    numbers = iter(range(100))
    monkeypatch.setattr(bench.scorer, "_random_bytes", lambda n: next(numbers).to_bytes(n))
    status, content = post(bench, {"rows": [request_body] * 4})
    assert (status, content["scored"], content["failed"]) == (200, 2, 2)
    assert [result.keys() for result in content["results"]] == [{"prediction"}, {"problem"}] * 2
    assert content["results"][1]["problem"]["status"] == 503


def test_each_row_is_answered_by_its_arm_or_by_the_champion_for_it(bench: Bench, request_body: Row) -> None:
    """The arm reads no group of merchants, and its contract refuses a row that names one: the champion's are read too."""
    content = contract_content()
    content["features"][5] |= {"source": "request", "group": None, "max_age_seconds": None}
    del content["groups"]["merchant"]
    arm = bench.put_arm(train(Contract.model_validate(content), seed=9).pack(), share_bp=5_000)
    rows = [
        {**request_body, "entity_id": f"card_{number}", "keys": keys}
        for number in range(20)
        for keys in ({"merchant_id": "m_1"}, {})
    ]
    rows.append({**request_body, "features": {}})
    _, content = post(bench, {"rows": rows})
    assert (content["scored"], content["failed"]) == (40, 1), (
        "a row's own mistake is its own, whatever its arm"
    )
    by: Counter[tuple[str, str, bool]] = Counter()
    for row, result in zip(rows[:40], content["results"], strict=False):
        prediction = result["prediction"]
        refused = {"model": arm, "cause": "refused", "policy": "champion"} in prediction["degraded"]
        by[prediction["arm"]["model"], prediction["model"], refused] += 1
        if refused:
            assert prediction["feature_ages_ms"]["merchant"] == 0, "read for the champion"
        assert refused == (prediction["arm"]["model"] == arm and bool(row["keys"]))
    assert set(by) == {
        ("card-fraud@1", "card-fraud@1", False),
        (arm, arm, False),
        (arm, "card-fraud@1", True),
    }


def test_rows_have_reasons_only_if_they_are_wanted(bench: Bench, request_body: Row) -> None:
    _, content = post(bench, {"rows": [request_body]}, queryStringParameters={"reasons": "none"})
    prediction = content["results"][0]["prediction"]
    assert (prediction["reasons"], prediction["explained_by"]) == ([], None)
