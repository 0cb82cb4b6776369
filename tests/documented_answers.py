"""Holds an API's answers to its document: status, headers, content type and every property are documented ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from stacks.openapi.documents import DOCUMENTS

METHODS = ("get", "put", "post")


@cache
def document(name: str) -> dict[str, Any]:
    """A document in which answers are closed: callers are told to let new properties pass, and tests let none."""
    made = DOCUMENTS[f"openapi-{name}.json"]()
    for schema in made["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return made


def documented(answer: Mapping[str, Any], path: str, method: str = "POST") -> Mapping[str, Any]:
    """The answer (of a Lambda proxy), if the API's document has it; path and method are those of the request."""
    name = "registry" if path.startswith("/v1/registry/") else "scoring"
    status = str(answer["statusCode"])
    response = _response(name, _template(name, path), method.lower(), status)
    headers = answer["headers"]
    (kind,) = response["content"]
    assert headers["Content-Type"] == kind, (path, status)
    assert set(headers) - {"Content-Type"} <= set(response["headers"]), (path, status)
    for header, about in response["headers"].items():
        assert header in headers or not about.get("required"), (path, status, header)
        if header in headers:
            value = headers[header]
            _check(name, about["schema"], int(value) if about["schema"].get("type") == "integer" else value)
    _check(name, response["content"][kind]["schema"], json.loads(answer["body"]))
    return answer


def check_body(name: str, path: str, method: str, body: Any) -> list[str]:
    """What a request's schema has against a body."""
    content = document(name)["paths"][path][method]["requestBody"]["content"]["application/json"]
    return [error.message for error in _validator(name, json.dumps(content["schema"])).iter_errors(body)]


def _template(name: str, path: str) -> str | None:
    for template in document(name)["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template) + "/?", path):
            return str(template)
    return None


def _response(name: str, template: str | None, method: str, status: str) -> Mapping[str, Any]:
    made = document(name)
    operation = made["paths"].get(template, {}).get(method)
    if operation is None:  # nothing is at this path
        return next(
            each
            for each in made["components"]["responses"].values()
            if _of_problem(each)["properties"]["status"]["const"] == int(status)
        )
    found = operation["responses"][status]
    reference = found.get("$ref")
    return made["components"]["responses"][reference.rpartition("/")[2]] if reference else found


def _of_problem(response: Mapping[str, Any]) -> Mapping[str, Any]:
    return response["content"]["application/problem+json"]["schema"]


def _check(name: str, schema: Mapping[str, Any], value: Any) -> None:
    errors = [
        f"{error.json_path}: {error.message}"
        for error in _validator(name, json.dumps(schema)).iter_errors(value)
    ]
    assert errors == []


@cache
def _validator(name: str, schema: str) -> Draft202012Validator:
    # References are to the document's components, which are put where they say.
    return Draft202012Validator({**json.loads(schema), "components": document(name)["components"]})
