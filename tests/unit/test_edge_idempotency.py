"""``Idempotency-Key`` at the edge: what is sent for it, what is repeated, and what is refused."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.delivery import MAX_PENDING, PredictionLog
from quicksilver.edge import answer_request
from quicksilver.idempotency import Idempotency
from quicksilver.memory import MemoryIdempotencyStore
from quicksilver.metrics import Metric
from quicksilver.ports import FeatureKey, LogEntry
from tests.documented_answers import documented

if TYPE_CHECKING:
    from tests.unit.conftest import Bench

ENGINE = "arn:aws:iam::111122223333:user/engine"


@pytest.fixture
def store() -> MemoryIdempotencyStore:
    return MemoryIdempotencyStore()


@pytest.fixture
def keys(bench: Bench, store: MemoryIdempotencyStore) -> Idempotency:
    bench.scorer._random_bytes = os.urandom
    return Idempotency(
        "card-fraud",
        store,
        clock=bench.clock,
        metrics=bench.metrics,
        pause=lambda _, __: bench.clock.advance_ms(5),
        new_attempt=lambda: os.urandom(16).hex(),
        attempt_seconds=16,
        keep_seconds=3_600,
    )


def post(
    bench: Bench,
    keys: Idempotency | None,
    body: dict[str, Any] | str,
    key: str | None = "key-1",
    *,
    who: str = ENGINE,
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
) -> dict[str, Any]:
    answer = answer_request(
        {
            "body": body if isinstance(body, str) else json.dumps(body),
            "headers": {**({} if key is None else {"Idempotency-Key": key}), **(headers or {})},
            "queryStringParameters": query,
            "requestContext": {"requestId": os.urandom(4).hex(), "identity": {"userArn": who}},
        },
        bench.scorer,
        function_version="1",
        idempotency=keys,
    )
    return dict(documented(answer, "/v1/card-fraud/score"))


def field(answer: dict[str, Any]) -> tuple[int, str, str]:
    problem = json.loads(answer["body"])
    (error,) = problem["errors"]
    return answer["statusCode"], error["field"], error["reason"]


def test_a_repetition_is_the_same_bytes_one_record_and_one_count(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any]
) -> None:
    first = post(bench, keys, request_body)
    bench.clock.advance_ms(60_000)
    again = post(bench, keys, request_body, headers={"X-Deadline-Ms": "400"})
    assert (first["statusCode"], first["headers"]["Idempotency-Status"]) == (200, "stored")
    assert again["headers"]["Idempotency-Status"] == "replayed"
    assert again == {**first, "headers": {**first["headers"], "Idempotency-Status": "replayed"}}
    assert bench.log.pending == 1
    assert bench.metrics.counts == {Metric.REQUESTS_SCORED: 1, Metric.REQUESTS_REPLAYED: 1}


def test_a_repetition_brings_the_record_that_died_with_the_environment_that_answered_first(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any]
) -> None:
    # Given an environment that is killed when its answer is stored and its record is not delivered
    first = post(bench, keys, request_body)
    (lost,) = bench.log._pending
    bench.scorer.log = bench.log = PredictionLog("card-fraud", bench.stream, bench.undelivered, bench.metrics)
    # When the caller, who got no answer, asks again
    again = post(bench, keys, request_body)
    # Then the answer is that one's, and its record goes out, byte for byte
    assert (again["body"], again["headers"]["Idempotency-Status"]) == (first["body"], "replayed")
    bench.log.flush()
    assert bench.stream.entries == [lost]
    assert bench.metrics.counts[Metric.REQUESTS_SCORED] == 1


def test_an_answer_is_repeated_by_no_environment_that_cannot_hold_its_record(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any]
) -> None:
    post(bench, keys, request_body)
    bench.scorer.log = PredictionLog("card-fraud", bench.stream, bench.undelivered, bench.metrics)
    bench.scorer.log.add([LogEntry(str(number), "card_1", b"{}\n") for number in range(MAX_PENDING)])
    assert post(bench, keys, request_body)["statusCode"] == 503


def test_without_a_key_nothing_is_held_and_nothing_is_said_of_it(
    bench: Bench, keys: Idempotency, store: MemoryIdempotencyStore, request_body: dict[str, Any]
) -> None:
    answer = post(bench, keys, request_body, key=None)
    assert (answer["statusCode"], store.holds) == (200, {})
    assert "Idempotency-Status" not in answer["headers"]


def test_the_header_is_known_in_any_case(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any]
) -> None:
    answer = post(bench, keys, request_body, key=None, headers={"idempotency-KEY": "k"})
    assert answer["headers"]["Idempotency-Status"] == "stored"


def test_a_key_where_there_are_none_is_refused_and_never_ignored(
    bench: Bench, request_body: dict[str, Any]
) -> None:
    answer = post(bench, None, request_body)
    assert field(answer) == (400, "headers.Idempotency-Key", "is not supported by this request")
    assert bench.log.pending == 0


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 129, "schl\u00fcssel", "tab\t", "end\n", "\x7f"])
def test_a_key_that_is_none_is_refused_and_named(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any], key: str
) -> None:
    reason = "must be 1 to 128 printable ASCII characters without blanks"
    assert field(post(bench, keys, request_body, key)) == (400, "headers.Idempotency-Key", reason)


@pytest.mark.parametrize("key", ["!", "~" * 128, '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_any_printable_key_is_taken(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any], key: str
) -> None:
    assert post(bench, keys, request_body, key)["statusCode"] == 200


def test_another_body_or_query_under_the_key_is_409_and_asking_again_does_not_help(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any]
) -> None:
    post(bench, keys, request_body)
    for answer in (
        post(bench, keys, {**request_body, "entity_id": "card_2"}),
        post(bench, keys, json.dumps(request_body) + " "),
        post(bench, keys, request_body, query={"reasons": "all"}),
    ):
        assert field(answer) == (409, "headers.Idempotency-Key", "has been used for another request")
        assert answer["headers"]["Content-Type"] == "application/problem+json"
        assert "Retry-After" not in answer["headers"]
    assert bench.metrics.counts[Metric.REQUESTS_REFUSED] == 3
    assert bench.log.pending == 1


def test_a_key_in_flight_is_409_within_the_deadline_and_says_when_to_ask_again(
    bench: Bench, keys: Idempotency, store: MemoryIdempotencyStore, request_body: dict[str, Any]
) -> None:
    from dataclasses import replace

    # Given an attempt that has the key and does not answer
    post(bench, keys, request_body)
    ((key, hold),) = store.holds.items()
    store.holds[key] = replace(hold, answer=None)
    # When the same is asked
    began_ms = bench.clock.now_ms()
    answer = post(bench, keys, request_body, headers={"X-Deadline-Ms": "100"})
    # Then it is told so in time
    assert field(answer) == (409, "headers.Idempotency-Key", "is being answered")
    assert answer["headers"]["Retry-After"] == "1"
    assert bench.clock.now_ms() - began_ms < 100


def test_another_caller_with_the_same_key_gets_a_decision_of_its_own(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any]
) -> None:
    first = post(bench, keys, request_body)
    other = post(bench, keys, request_body, who="arn:aws:iam::111122223333:user/other")
    assert other["headers"]["Idempotency-Status"] == "stored"
    assert json.loads(other["body"])["prediction_id"] != json.loads(first["body"])["prediction_id"]


@pytest.mark.parametrize(
    ("body", "status"), [("{", 400), ("{}", 422), ('{"entity_id": "c", "features": {"amount": "x"}}', 422)]
)
def test_a_refused_request_leaves_the_key_free_for_one_that_is_right(
    bench: Bench,
    keys: Idempotency,
    store: MemoryIdempotencyStore,
    request_body: dict[str, Any],
    body: str,
    status: int,
) -> None:
    assert post(bench, keys, body)["statusCode"] == status
    assert store.holds == {}
    assert post(bench, keys, request_body)["headers"]["Idempotency-Status"] == "stored"


def test_a_503_and_a_500_leave_the_key_free(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("quicksilver.delivery.MAX_PENDING", 0)
        assert post(bench, keys, request_body)["statusCode"] == 503
    with monkeypatch.context() as patch:
        patch.setattr(bench.features, "read", lambda *_: 1 / 0)
        assert post(bench, keys, request_body)["statusCode"] == 500
    assert post(bench, keys, request_body)["headers"]["Idempotency-Status"] == "stored"


def test_a_degraded_answer_is_a_decision_and_is_repeated(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any]
) -> None:
    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    first = post(bench, keys, request_body)
    bench.features.late = frozenset()
    again = post(bench, keys, request_body)
    assert json.loads(first["body"])["status"] == "refer"
    assert again["body"] == first["body"]


def test_with_the_keys_out_of_reach_the_answer_is_given_and_marked(
    bench: Bench, keys: Idempotency, store: MemoryIdempotencyStore, request_body: dict[str, Any]
) -> None:
    store.available = False
    answer = post(bench, keys, request_body)
    assert (answer["statusCode"], answer["headers"]["Idempotency-Status"]) == (200, "unavailable")
    assert bench.log.pending == 1
    assert bench.metrics.counts[Metric.REQUESTS_UNGUARDED] == 1


def test_neither_key_nor_answer_is_ever_logged(
    bench: Bench,
    keys: Idempotency,
    store: MemoryIdempotencyStore,
    request_body: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("DEBUG"):
        store.available = False
        post(bench, keys, request_body, "secret-key")
        post(bench, keys, "{", "secret-key")
    assert "could not be taken" in caplog.text
    assert not [word for word in ("secret-key", "card_1", ENGINE) if word in caplog.text]


def test_fifty_requests_at_once_with_one_key_are_one_decision(
    bench: Bench, keys: Idempotency, request_body: dict[str, Any]
) -> None:
    # These wait without moving the one clock that all share: fifty waiters would bring the attempt to its end.
    keys._pause = lambda _, __: threading.Event().wait(0.001)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(bench, keys, request_body), range(50)))
    bodies = [answer["body"] for answer in answers if answer["statusCode"] == 200]
    others = {field(answer)[0::2] for answer in answers if answer["statusCode"] != 200}
    assert len(set(bodies)) == 1
    assert others <= {(409, "is being answered")}
    assert bench.log.pending == 1
    assert bench.metrics.counts[Metric.REQUESTS_SCORED] == 1
