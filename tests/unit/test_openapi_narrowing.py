"""Whether a schema takes all that another takes: what is let pass holds for every value, and the same schema is never refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator

from stacks.openapi.narrowing import Narrowing

KEYS = ("a", "b", "ab", "c")
SMALL = st.integers(-2, 3)
SIZE = st.integers(0, 3)
PATTERNS = ("^a", "b$")
VALUES = st.recursive(
    st.none() | st.booleans() | SMALL | st.just(0.5) | st.sampled_from(["", "a", "b", "ab", "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=5,
)


def bounds(*words: str, of: st.SearchStrategy[int] = SIZE) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(words, of))


def typed(kind: str, words: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return words.map(lambda content: {"type": kind, **content})


NUMBERS = bounds("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", of=SMALL)
TEXTS = st.fixed_dictionaries(
    {}, optional={"minLength": SIZE, "maxLength": SIZE, "pattern": st.sampled_from(PATTERNS)}
)
LEAVES = st.one_of(
    st.just({}),
    typed("integer", NUMBERS),
    typed("number", NUMBERS),
    typed("string", TEXTS),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": "a"}, {"const": 1}]),
    st.lists(st.sampled_from([1, 0.5, "a", "b", None, True]), min_size=1, max_size=3).map(
        lambda values: {"enum": values}
    ),
    st.lists(
        st.sampled_from(["integer", "number", "string", "null", "object"]),
        min_size=1,
        max_size=3,
        unique=True,
    ).map(lambda types: {"type": types}),
)


def wholes(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    objects = st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(st.sampled_from(KEYS), inner, max_size=2),
            "required": st.lists(st.sampled_from(KEYS), max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), inner, max_size=2),
            "propertyNames": TEXTS,
            "minProperties": SIZE,
            "maxProperties": SIZE,
        },
    )
    arrays = st.fixed_dictionaries(
        {"type": st.just("array")}, optional={"items": inner, "minItems": SIZE, "maxItems": SIZE}
    )
    lists = st.lists(inner, min_size=1, max_size=2)
    joined = st.tuples(st.sampled_from(["anyOf", "allOf"]), lists, inner).map(
        lambda parts: {**parts[2], parts[0]: parts[1]}
    )
    return objects | objects | arrays | joined


SCHEMAS = st.recursive(LEAVES, wholes, max_leaves=5)


@st.composite
def changed(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema, and the same with one place changed: a word is dropped, or taken from another."""
    schema = draw(SCHEMAS)
    other = copy.deepcopy(schema)
    places = [other]
    for place in places:
        nested = [place.get("items"), place.get("additionalProperties")]
        nested += [*place.get("properties", {}).values(), *place.get("patternProperties", {}).values()]
        nested += [*place.get("anyOf", ()), *place.get("allOf", ())]
        places += [part for part in nested if isinstance(part, dict)]
    place = draw(st.sampled_from(places))
    if place and draw(st.booleans()):
        del place[draw(st.sampled_from(sorted(place)))]
    else:
        place.update(draw(SCHEMAS))
    return schema, other


def refusals(wide: dict[str, Any], narrow: dict[str, Any]) -> list[tuple[str, str]]:
    return Narrowing(wide_document=wide, narrow_document=narrow, wide_is_new=True).refusals(wide, narrow)


@given(SCHEMAS)
def test_a_schema_takes_all_that_it_takes(schema: dict[str, Any]) -> None:
    assert refusals(schema, schema) == []


@settings(max_examples=500)
@given(changed() | st.tuples(SCHEMAS, SCHEMAS), st.booleans(), st.lists(VALUES, min_size=10, max_size=20))
def test_where_nothing_is_reported_every_value_of_the_narrow_one_is_taken(
    pair: tuple[dict[str, Any], dict[str, Any]], swapped: bool, values: list[Any]
) -> None:
    wide, narrow = pair[::-1] if swapped else pair
    if refusals(wide, narrow) == []:
        taken, given_ = Draft202012Validator(wide), Draft202012Validator(narrow)
        assert [value for value in values if given_.is_valid(value) and not taken.is_valid(value)] == []


OBJECT, ARRAY, TEXT, NUMBER = ({"type": kind} for kind in ("object", "array", "string", "number"))


@pytest.mark.parametrize(
    ("wide", "narrow", "value"),
    [
        ({**TEXT, "pattern": "^a"}, TEXT, "b"),
        ({**TEXT, "pattern": "^a"}, {**TEXT, "pattern": "b$"}, "b"),
        ({**TEXT, "minLength": 1}, TEXT, ""),
        ({**TEXT, "maxLength": 1}, {**TEXT, "maxLength": 2}, "ab"),
        ({**NUMBER, "minimum": 0}, {**NUMBER, "minimum": -1}, -1),
        ({**NUMBER, "exclusiveMinimum": 0}, {**NUMBER, "minimum": 0}, 0),
        ({**NUMBER, "exclusiveMaximum": 0}, {**NUMBER, "maximum": 0}, 0),
        ({"type": "integer"}, NUMBER, 0.5),
        ({"type": ["integer", "null"]}, {"type": ["number", "null"]}, 0.5),
        ({"enum": ["a"]}, TEXT, "b"),
        ({"const": "a"}, {"enum": ["a", "b"]}, "b"),
        ({**ARRAY, "items": TEXT}, ARRAY, [1]),
        ({**ARRAY, "minItems": 1}, ARRAY, []),
        ({**ARRAY, "maxItems": 1}, {**ARRAY, "maxItems": 2}, [1, 1]),
        ({**OBJECT, "required": ["a"]}, OBJECT, {}),
        ({**OBJECT, "properties": {"a": TEXT}}, OBJECT, {"a": 1}),
        ({**OBJECT, "additionalProperties": False}, OBJECT, {"a": 1}),
        ({**OBJECT, "additionalProperties": TEXT}, OBJECT, {"a": 1}),
        ({**OBJECT, "additionalProperties": TEXT}, {**OBJECT, "properties": {"a": NUMBER}}, {"a": 1}),
        ({**OBJECT, "additionalProperties": TEXT}, {**OBJECT, "patternProperties": {"^a": NUMBER}}, {"a": 1}),
        ({**OBJECT, "patternProperties": {"^a": TEXT}}, OBJECT, {"a": 1}),
        (
            {**OBJECT, "patternProperties": {"^a": TEXT}},
            {**OBJECT, "patternProperties": {"b$": NUMBER}, "additionalProperties": False},
            {"ab": 1},
        ),
        (
            {**OBJECT, "patternProperties": {"^a": TEXT}},
            {**OBJECT, "properties": {"a": NUMBER}, "additionalProperties": False},
            {"a": 1},
        ),
        ({**OBJECT, "propertyNames": {"maxLength": 1}}, OBJECT, {"ab": 1}),
        ({**OBJECT, "minProperties": 1}, OBJECT, {}),
        ({**OBJECT, "maxProperties": 0}, OBJECT, {"a": 1}),
        ({"anyOf": [TEXT, NUMBER]}, {"anyOf": [TEXT, ARRAY]}, []),
        ({"anyOf": [TEXT, NUMBER], "minLength": 1}, {"anyOf": [TEXT, NUMBER]}, ""),
        ({"allOf": [TEXT, {"minLength": 1}]}, TEXT, ""),
        ({**ARRAY, "uniqueItems": True}, ARRAY, [1, 1]),
        ({"not": TEXT}, {}, "a"),
    ],
    ids=str,
)
def test_what_each_word_refuses_is_reported(wide: dict[str, Any], narrow: dict[str, Any], value: Any) -> None:
    # The value shows that there is something to report.
    assert Draft202012Validator(narrow).is_valid(value)
    assert not Draft202012Validator(wide).is_valid(value)
    assert refusals(wide, narrow) != []


def test_what_refers_to_itself_is_compared_once() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#/Tree"}, "size": {"type": "integer"}}}
    smaller = {**tree, "properties": {**tree["properties"], "size": {"type": "integer", "maximum": 9}}}
    wide, narrow = {"Tree": smaller}, {"Tree": tree}
    comparison = Narrowing(wide_document=wide, narrow_document=narrow, wide_is_new=True)
    reference = {"$ref": "#/Tree"}
    assert comparison.refusals(reference, reference) == [("size", "maximum was not bound and is 9")]
    again = Narrowing(wide_document=narrow, narrow_document=wide, wide_is_new=True)
    assert again.refusals(reference, reference) == []
