"""The registry's bodies: what the document's schemas take is parsed, and what parses without being coerced is taken by them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from pydantic import BaseModel, ValidationError

from quicksilver.registry_api import OPERATIONS
from quicksilver.registry_operation import Operation
from tests.documented_answers import check_body, document
from tests.schema_values import values

BODIES = {each.body: each for each in OPERATIONS if each.body is not None}
OTHERS = (
    st.none() | st.booleans() | st.integers(-2, 20_000) | st.just(0.5) | st.sampled_from(["", "a", "card-fraud@1", "x" * 1_001])
)  # fmt: skip


def faults(kind: type[BaseModel], body: Any, *, strict: bool = False) -> set[str]:
    """The kinds of what pydantic has against a body."""
    try:
        kind.model_validate_json(json.dumps(body), strict=strict)
    except ValidationError as error:
        return {item["type"] for item in error.errors()}
    return set()


def schema_of(operation: Operation) -> dict[str, Any]:
    made = document("registry")["paths"][operation.template][operation.method.lower()]
    schema: dict[str, Any] = made["requestBody"]["content"]["application/json"]["schema"]
    return schema


def refused(operation: Operation, body: Any) -> list[str]:
    return check_body("registry", operation.template, operation.method.lower(), body)


def bodies(operation: Operation) -> st.SearchStrategy[Any]:
    return values(schema_of(operation), document("registry")["components"]["schemas"])


@pytest.mark.parametrize("operation", BODIES.values(), ids=lambda each: each.name)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_what_the_schema_takes_is_parsed_but_for_what_a_schema_cannot_say(
    operation: Operation, data: st.DataObject
) -> None:
    body = data.draw(bodies(operation))
    assume(refused(operation, body) == [])
    assert operation.body is not None
    assert faults(operation.body, body) <= {"value_error"}


@pytest.mark.parametrize("operation", BODIES.values(), ids=lambda each: each.name)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_what_is_parsed_as_it_is_is_taken_by_the_schema(operation: Operation, data: st.DataObject) -> None:
    # Given a body of the schema, with one place changed
    body = copy.deepcopy(data.draw(bodies(operation)))
    places: list[Any] = [body]
    for place in places:
        inner = place.values() if isinstance(place, dict) else place
        places += [part for part in inner if isinstance(part, dict | list) and part]
    place = data.draw(st.sampled_from(places))
    key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    if isinstance(place, dict) and data.draw(st.booleans()):
        del place[key]
    else:
        place[key] = data.draw(OTHERS)
    # When it is still what the model takes, then it is what the schema takes
    assert operation.body is not None
    if faults(operation.body, body, strict=True) == set() and "\\n" not in json.dumps(body):
        assert refused(operation, body) == []


def test_every_body_of_the_registry_is_tried() -> None:
    assert len(BODIES) == 11
