"""A body is parsed once, and a refusal names the field and never repeats the value."""

from __future__ import annotations

import json

import pytest

from quicksilver.errors import BodyTooLarge, InvalidRequest, MalformedBody
from quicksilver.request import MAX_BODY_BYTES, parse_request


@pytest.mark.parametrize("body", [None, "", "{", "amount=3", b"\xff\xfe", '{"entity_id": "c", }'])
def test_a_body_that_is_not_json_is_malformed(body: str | bytes | None) -> None:
    with pytest.raises(MalformedBody) as refusal:
        parse_request(body)
    assert refusal.value.fields[0].field == "(body)"


@pytest.mark.parametrize("body", ["[]", "3", '"text"', "null", "true"])
def test_a_body_that_is_not_an_object_says_so(body: str) -> None:
    with pytest.raises(MalformedBody, match="not a JSON object"):
        parse_request(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "entity_id"),
        ({"entity_id": ""}, "entity_id"),
        ({"entity_id": 7}, "entity_id"),
        ({"entity_id": "a b"}, "entity_id"),
        ({"entity_id": "c" * 129}, "entity_id"),
        ({"entity_id": "c", "keys": {"merchant_id": 5}}, "keys.merchant_id"),
        ({"entity_id": "c", "features": []}, "features"),
        ({"entity_id": "c", "extra": 1}, "extra"),
    ],
)
def test_an_invalid_envelope_names_the_field(body: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_request(json.dumps(body))
    assert [item.field for item in refusal.value.fields] == [field]


def test_a_refusal_never_repeats_the_value() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_request(json.dumps({"entity_id": "4111 1111 1111 1111"}))
    assert "4111" not in str(refusal.value) + "".join(map(str, refusal.value.fields))


def test_a_body_over_the_limit_is_too_large() -> None:
    with pytest.raises(BodyTooLarge):
        parse_request('{"entity_id": "c", "features": {"x": "' + "a" * MAX_BODY_BYTES + '"}}')


def test_the_limit_counts_bytes_and_not_characters() -> None:
    with pytest.raises(BodyTooLarge):
        parse_request('{"entity_id": "c", "features": {"x": "' + "é" * (MAX_BODY_BYTES // 2) + '"}}')


def test_a_lone_surrogate_is_malformed_and_no_crash() -> None:
    with pytest.raises(MalformedBody):
        parse_request('{"entity_id": "c\ud800"}')
