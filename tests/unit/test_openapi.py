"""The APIs' documents: as committed, valid, complete, and of one mind with what parses requests and makes answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, ValidationError

from quicksilver.outcomes import Outcome
from quicksilver.problem import problem
from quicksilver.registry_api import OPERATIONS as REGISTRY
from quicksilver.request import BatchRequest, ScoreRequest
from stacks.openapi.documents import COMMITTED, DOCUMENTS, as_text
from stacks.openapi.problems import title_of
from stacks.openapi.scoring_operations import OPERATIONS as SCORING
from stacks.refusals import REFUSALS
from tests.documented_answers import check_body, document, documented

ROOT = Path(__file__).resolve().parents[2]
SCORE, BATCH, OUTCOMES = (f"/v1/{{endpoint}}/{verb}" for verb in ("score", "score-batch", "outcomes"))
SCHEMA_WORDS = {
    "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "description", "enum", "example", "exclusiveMaximum",
    "exclusiveMinimum", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minimum",
    "pattern", "patternProperties", "properties", "propertyNames", "required", "type",
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_document_is_what_the_models_make(name: str) -> None:
    assert (COMMITTED / name).read_text() == as_text(DOCUMENTS[name]()), "make openapi"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_document_is_valid_by_the_official_schema(name: str) -> None:
    OpenAPIV31SpecValidator(DOCUMENTS[name]()).validate()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schemas_have_only_words_of_json_schema(name: str) -> None:
    # Pydantic writes a bound it can't express as it is ("ge"), which every reader passes over.
    strange = {word for schema in schemas(DOCUMENTS[name]()) for word in schema} - SCHEMA_WORDS
    assert strange == set()


def schemas(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    def within(schema: Any) -> Iterator[dict[str, Any]]:
        if isinstance(schema, dict):
            yield schema
            for word in ("properties", "patternProperties"):
                for part in schema.get(word, {}).values():
                    yield from within(part)
            for word in ("items", "additionalProperties", "propertyNames"):
                yield from within(schema.get(word))
            for word in ("allOf", "anyOf"):
                for part in schema.get(word, ()):
                    yield from within(part)

    for component in made["components"]["schemas"].values():
        yield from within(component)


def test_every_operation_of_both_apis_is_there_once() -> None:
    made = [
        (method, path, operation["operationId"])
        for name in DOCUMENTS
        for path, item in DOCUMENTS[name]()["paths"].items()
        for method, operation in item.items()
    ]
    scoring = [("post", f"/v1/{{endpoint}}/{verb}", each.name) for verb, each in SCORING.items()]
    registry = [(each.method.lower(), each.template, each.name) for each in REGISTRY]
    assert sorted(made) == sorted([*scoring, *registry])
    assert len({name for _, _, name in made}) == len(made) == 29


def test_every_refusal_of_the_gateway_is_an_answer_of_every_operation() -> None:
    for name in DOCUMENTS:
        for item in document(name.removeprefix("openapi-").removesuffix(".json"))["paths"].values():
            for operation in item.values():
                assert {str(int(status)) for _, status, _ in REFUSALS} < operation["responses"].keys()


@pytest.mark.parametrize(("kind", "status", "sentence"), REFUSALS)
def test_what_the_gateway_says_has_the_documented_form(kind: str, status: HTTPStatus, sentence: str) -> None:
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.GATEWAY_TIMEOUT):
        headers["Retry-After"] = "1"
    body = json.dumps(problem(status, sentence, instance="urn:request:r-1"))
    for path in ("/v1/card-fraud/score", "/v1/registry/card-fraud/models"):
        documented({"statusCode": int(status), "headers": headers, "body": body}, path)


def test_a_status_has_the_same_title_here_and_in_a_problem() -> None:
    for name in DOCUMENTS:
        for response in DOCUMENTS[name]()["components"]["responses"].values():
            said = response["content"]["application/problem+json"]
            status = HTTPStatus(said["schema"]["properties"]["status"]["const"])
            assert said["schema"]["properties"]["title"]["const"] == title_of(status)
            assert said["example"]["title"] == title_of(status)


def test_an_answer_that_is_not_documented_is_told_apart() -> None:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    good = {"statusCode": 200, "headers": headers, "body": '{"outcomes": 1, "bad": 0}'}
    path = "/v1/card-fraud/outcomes"
    documented(good, path)
    for wrong in (
        {"statusCode": 418},
        {"headers": headers | {"X-Debug": "1"}},
        {"headers": headers | {"Content-Type": "text/plain"}},
        {"headers": headers | {"Cache-Control": "public"}},
        {"body": '{"outcomes": 1}'},
        {"body": '{"outcomes": 1, "bad": 0, "more": 1}'},
        {"body": '{"outcomes": "1", "bad": 0}'},
    ):
        with pytest.raises((AssertionError, KeyError)):
            documented({**good, **wrong}, path)


# --- examples, here and on the API's page -----------------------------------------------------------------------


def test_every_example_of_a_request_is_accepted() -> None:
    for path, item in document("scoring")["paths"].items():
        example = item["post"]["requestBody"]["content"]["application/json"]["example"]
        assert check_body("scoring", path, "post", example) == []
        SCORING[path.rpartition("/")[2]].body.model_validate(example)


def blocks(heading: str) -> list[Any]:
    """The JSON of a section of docs/api.md."""
    text = (ROOT / "docs" / "api.md").read_text()
    section = re.split(r"^#+ ", text.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]


def test_what_the_page_shows_as_requests_and_answers_is_documented() -> None:
    (request,) = blocks("## Request")
    assert check_body("scoring", SCORE, "post", request) == []
    answer = blocks("## Answer")[0]
    outcomes, kept, refused = blocks("## Outcomes")
    assert check_body("scoring", OUTCOMES, "post", outcomes) == []
    for path, status, kind, body in (
        ("/v1/card-fraud/score", 200, "json", answer),
        ("/v1/card-fraud/outcomes", 200, "json", kept),
        ("/v1/card-fraud/outcomes", 422, "problem+json", refused),
    ):
        headers = {"Content-Type": f"application/{kind}", "Cache-Control": "no-store"}
        documented({"statusCode": status, "headers": headers, "body": json.dumps(body)}, path)


def test_what_the_page_shows_as_problems_is_documented_and_the_gateways_words_are_its_own() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    sentences = {sentence for _, _, sentence in REFUSALS}
    problems = [
        body for heading in re.findall(r"^### \d{3}: .+$", text, re.MULTILINE) for body in blocks(heading)
    ]
    assert {body["status"] for body in problems} == {400, 403, 404, 409, 413, 422, 503}
    for body in problems:
        headers = {
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
            "Retry-After": "1",
        }
        if body["status"] not in (409, 503):
            del headers["Retry-After"]
        documented(
            {"statusCode": body["status"], "headers": headers, "body": json.dumps(body)},
            "/v1/card-fraud/score",
        )
        if body["status"] == HTTPStatus.FORBIDDEN:
            assert body["detail"] in sentences


# --- requests: the schema and the parser are of one mind --------------------------------------------------------

NAMES = st.sampled_from(["entity_id", "keys", "features", "rows", "amount", "Amount", "a" * 64, "a" * 65, ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "card_000042", "card 42", "x" * 128, "x" * 129, "\u00e9", "812.50"])
    | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
LIKELY = st.fixed_dictionaries(
    {"entity_id": SCALARS},
    optional={"keys": VALUES, "features": st.dictionaries(NAMES, VALUES, max_size=3), "more": VALUES},
)


def accepts(kind: type[BaseModel], body: Any) -> bool:
    try:
        kind.model_validate_json(json.dumps(body))
    except ValidationError:
        return False
    return True


def read_alike(text: Any) -> bool:
    """Python's ``$`` in the validator of these tests also matches before a line's end, which the format does not mean."""
    return "\\n" not in json.dumps(text)


@given(LIKELY | VALUES)
@example({"entity_id": "card_000042", "keys": {"Merchant": "m"}})
@example({"entity_id": "card_000042", "features": {"amount": [1]}})
def test_a_scoring_request_that_the_schema_refuses_is_refused_and_one_that_it_takes_is_taken(
    body: Any,
) -> None:
    if read_alike(body):
        # Which scalar a feature may be is its contract's to say; a list or an object is none to any contract.
        wanted = accepts(ScoreRequest, body) and not any(
            isinstance(value, list | dict) for value in body.get("features", {}).values()
        )
        assert (check_body("scoring", SCORE, "post", body) == []) == wanted


@given(st.fixed_dictionaries({"rows": st.lists(LIKELY, max_size=3)}) | VALUES)
def test_a_batch_that_the_schema_takes_is_taken(body: Any) -> None:
    # The other way round it need not be: a row that is not valid fails by itself.
    if read_alike(body) and check_body("scoring", BATCH, "post", body) == []:
        assert accepts(BatchRequest, body)


OUTCOME = st.fixed_dictionaries(
    {
        "label": st.booleans(),
        "time": st.just("2026-11-24T08:00:00Z"),
        "prediction_id": st.none() | st.text(max_size=3) | st.just("p" * 65),
    },
    optional={
        "amount": st.none() | st.integers() | st.sampled_from([2**63, 2**63 - 1, -(2**63), -(2**63) - 1]),
        "entity_id": st.none() | st.text(max_size=2) | st.just("x" * 257),
        "groups": st.dictionaries(NAMES, SCALARS, max_size=20),
        "more": SCALARS,
    },
)


@given(OUTCOME)
def test_an_outcome_that_the_schema_refuses_is_refused_and_one_that_it_takes_is_taken(outcome: Any) -> None:
    # A schema can't say that an outcome must name its prediction, nor that a moment is one.
    if read_alike(outcome) and outcome["prediction_id"] is not None:
        refused = check_body("scoring", OUTCOMES, "post", {"outcomes": [outcome]})
        assert (refused == []) == accepts(Outcome, outcome)
