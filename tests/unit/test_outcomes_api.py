"""``POST /v1/{endpoint}/outcomes``: the saved event on the handler as Lambda loads it, and every refusal."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from quicksilver.memory import ManualClock, MemoryOutcomeStore
from quicksilver.outcomes_api import MAX_BYTES, MAX_FAULTS, MAX_ROWS, OutcomesApi
from tests.documented_answers import documented
from tests.handler_process import HandlerProcess
from tests.scripted_server import Received, Step, answer, serving

ROOT = Path(__file__).resolve().parents[2]
EVENT = json.loads((ROOT / "events" / "outcomes_card_fraud.json").read_text())
NOW_MS = 1_795_683_600_000  # 2026-11-26T09:00:00Z

run = HandlerProcess(
    "outcomes",
    {"QUICKSILVER_ENDPOINTS": '["card-fraud","credit-line"]', "QUICKSILVER_ARCHIVE_BUCKET": "archive"},
)


class _Documented(OutcomesApi):
    """Each of its answers is one of the API's document."""

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return dict(documented(super().answer(event), str(event.get("path") or "")))


@pytest.fixture
def store() -> MemoryOutcomeStore:
    return MemoryOutcomeStore()


@pytest.fixture
def api(store: MemoryOutcomeStore) -> OutcomesApi:
    return _Documented(["card-fraud", "credit-line"], store, ManualClock(NOW_MS))


def label(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {"prediction_id": f"p{number}", "label": False, "time": "2026-11-20T00:00:00Z"} | changes


def request(*outcomes: Any) -> dict[str, Any]:
    return {**EVENT, "body": json.dumps({"outcomes": outcomes})}


def refused(api: OutcomesApi, event: dict[str, Any], status: int = 422) -> list[tuple[str, str]]:
    got = api.answer(event)
    problem = json.loads(got["body"])
    assert (got["statusCode"], got["headers"]["Content-Type"]) == (status, "application/problem+json")
    assert problem["status"] == status
    assert problem["instance"] == f"urn:request:{EVENT['requestContext']['requestId']}"
    return [(error["field"], error["reason"]) for error in problem.get("errors", [])]


def test_the_saved_event_is_kept_under_its_endpoint(api: OutcomesApi, store: MemoryOutcomeStore) -> None:
    got = api.answer(EVENT)
    assert (got["statusCode"], json.loads(got["body"])) == (200, {"outcomes": 2, "bad": 1})
    ((endpoint, lines),) = store.kept
    first, second = map(json.loads, lines.splitlines())
    assert endpoint == "card-fraud"
    assert (first["prediction_id"], first["amount"]) == ("01a20771-72a9-7c5c-9101-dfd1e2ae0c84", 81_250)
    assert (second["entity_id"], second["groups"]) == ("card_000042", {"age_band": "30-39"})


def test_the_same_request_again_and_a_row_twice_change_nothing(
    api: OutcomesApi, store: MemoryOutcomeStore
) -> None:
    assert api.answer(request(label(1), label(2))) == api.answer(request(label(1), label(2), label(1)))
    assert len(store.kept) == 1


def test_a_body_in_base64_is_the_same_body(api: OutcomesApi, store: MemoryOutcomeStore) -> None:
    encoded = {**EVENT, "body": base64.b64encode(EVENT["body"].encode()).decode(), "isBase64Encoded": True}
    assert api.answer(encoded)["statusCode"] == 200
    assert refused(api, {**encoded, "body": "%"}, 400) == [("(body)", "is not valid base64")]


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"label": "maybe"}, "outcomes.1.label", "must be true or 1 for a bad outcome, false or 0 for a good one"),
        ({"time": "yesterday"}, "outcomes.1.time", "must be an ISO-8601 time"),
        ({"time": "2026-11-26T09:00:01Z"}, "outcomes.1.time", "is in the future"),
        ({"amount": 12.5}, "outcomes.1.amount", "Input should be a valid integer"),
        ({"score": 0.5}, "outcomes.1.score", "Extra inputs are not permitted"),
        ({"event_time": "2026-11-19T00:00:00Z"}, "outcomes.1",
         "must name its prediction by prediction_id or by event_time, not by both"),
        ({"prediction_id": None}, "outcomes.1",
         "must name its prediction by prediction_id, or by entity_id and event_time"),
        ({"prediction_id": None, "entity_id": "e", "event_time": "2026-11-21T00:00:00Z"}, "outcomes.1.event_time",
         "is after the time when the label was known"),
        ({"prediction_id": "p0", "label": True}, "outcomes.1",
         "contradicts outcomes.0, which is of the same prediction and time"),
        ({"groups": {"age_band": ""}}, "outcomes.1.groups.age_band", "String should have at least 1 character"),
        ({"groups": {f"g{number}": "x" for number in range(17)}}, "outcomes.1.groups",
         "Dictionary should have at most 16 items after validation, not more"),
    ],
)  # fmt: skip
def test_a_fault_names_row_and_field_and_none_of_the_request_is_kept(
    api: OutcomesApi, store: MemoryOutcomeStore, row: dict[str, Any], field: str, reason: str
) -> None:
    assert refused(api, request(label(0), label(1) | row, label(2))) == [(field, reason)]
    assert not store.kept


def test_of_many_faults_the_first_are_named(api: OutcomesApi) -> None:
    late = [label(number, time="2027-01-01T00:00:00Z") for number in range(50)]
    assert len(refused(api, request(*late))) == MAX_FAULTS
    assert len(refused(api, request(*({"label": 1} for _ in range(50))))) == MAX_FAULTS


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (None, 400, "must be a JSON object"),
        ("{", 400, "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", 400, "must be a JSON object"),
        (" " * (MAX_BYTES + 1), 413, f"must be at most {MAX_BYTES} bytes"),
        ("{}", 422, "Field required"),
        ('{"outcomes": []}', 422, "List should have at least 1 item after validation, not 0"),
    ],
)
def test_a_body_that_is_no_request_says_so(
    api: OutcomesApi, body: str | None, status: int, reason: str
) -> None:
    ((_, said),) = refused(api, {**EVENT, "body": body}, status)
    assert said == reason


def test_a_request_takes_as_many_rows_as_it_says_and_not_one_more(
    api: OutcomesApi, store: MemoryOutcomeStore
) -> None:
    rows = [label(number) for number in range(MAX_ROWS + 1)]
    assert [field for field, _ in refused(api, request(*rows))] == ["outcomes"]
    assert json.loads(api.answer(request(*rows[1:]))["body"])["outcomes"] == MAX_ROWS


@pytest.mark.parametrize("path", ["/v1/card-frod/outcomes", "/v1/card-fraud/score", "/", None])
def test_an_endpoint_that_is_none_is_a_404(api: OutcomesApi, path: str | None) -> None:
    assert refused(api, {**EVENT, "path": path}, 404) == [("endpoint", "is not an endpoint of this stage")]


def test_an_archive_that_is_away_is_a_503_that_says_when_to_try_again(
    api: OutcomesApi, store: MemoryOutcomeStore
) -> None:
    store.available = False
    got = api.answer(EVENT)
    assert (got["statusCode"], got["headers"]["Retry-After"]) == (503, "1")
    assert json.loads(got["body"])["detail"] == "The outcomes cannot be kept now, and none was; try again."


def test_what_nobody_foresaw_is_a_500_that_says_nothing_of_what_was_sent(
    api: OutcomesApi, store: MemoryOutcomeStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    def fail(endpoint: str, lines: bytes) -> None:
        raise RuntimeError(lines.decode())

    monkeypatch.setattr(store, "keep", fail)
    got = api.answer(EVENT)
    assert (got["statusCode"], json.loads(got["body"])["detail"]) == (500, "The outcomes could not be kept.")
    assert [record.getMessage() for record in caplog.records] == ["request failed"]
    assert "card_000042" not in str([vars(record) for record in caplog.records])


# -- the handler as Lambda loads it --


def test_the_handler_adds_one_object_named_by_its_content_under_the_endpoint() -> None:
    with serving(script=lambda _: answer(b"", etag='"e"')) as server:
        (got,) = run(EVENT, AWS_ENDPOINT_URL=server.url).answers
    (sent,) = server.received
    assert got["statusCode"] == 200
    place, _, name = sent.head.split(" ")[1].rpartition("/")
    assert sent.head.startswith("PUT ")
    assert place.startswith("/archive/outcomes/card-fraud")
    assert name.endswith(".jsonl")
    assert len(sent.body.splitlines()) == 2


def test_a_handler_whose_archive_refuses_answers_503_and_logs_no_label() -> None:
    def refusal(_: Received) -> Step:
        return answer(b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>", 403)

    with serving(script=refusal) as server:
        done = run(EVENT, AWS_ENDPOINT_URL=server.url)
    assert done.answers[0]["statusCode"] == 503
    (line,) = done.logged
    assert line["level"] == "ERROR"
    for word in ("card_000042", "30-39", "01a20771", "81250"):
        assert word not in json.dumps(done.logged) + done.errors


def test_with_everything_unreachable_it_still_starts_and_answers_503() -> None:
    assert run(EVENT).answers[0]["statusCode"] == 503


def test_neither_models_nor_analysis_are_imported() -> None:
    assert not run().packages & {"lightgbm", "numpy", "scipy", "duckdb", "jinja2", "matplotlib", "pandas"}


@pytest.mark.parametrize("name", ["QUICKSILVER_ENDPOINTS", "QUICKSILVER_ARCHIVE_BUCKET"])
def test_a_function_that_is_not_configured_does_not_start(name: str) -> None:
    done = run(**{name: ""})
    assert done.returncode != 0
    assert name.removeprefix("QUICKSILVER_").lower() in done.errors
