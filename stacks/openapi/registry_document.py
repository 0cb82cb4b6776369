"""The document of the registry API, by which model versions and routes are read and changed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from quicksilver.registry_api import OPERATIONS
from quicksilver.registry_operation import MAX_BODY_BYTES, PATH_PARAMETERS, Operation, Parameter
from stacks.openapi.document import SIGNED, Document, body, document, operation_responses, path_parameter
from stacks.openapi.problems import Problem, gateway_statuses
from stacks.openapi.schemas import ANSWER, REQUEST, Kind, schemas

_WHEN: Mapping[HTTPStatus, str] = {
    HTTPStatus.FORBIDDEN: "The caller has no IAM identity",
    HTTPStatus.NOT_FOUND: "What is named does not exist, or there is nothing at this path",
    HTTPStatus.CONFLICT: "The registry's rules forbid it: its state, its author, its time",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"The body has more than {MAX_BODY_BYTES} bytes",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The body or the query does not have the schema, or makes no sense",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something unforeseen",
    HTTPStatus.SERVICE_UNAVAILABLE: "The registry cannot answer now, or others change it without end",
}


def registry_document() -> Document:
    """The API by which model versions and routes are read and changed."""
    kinds: list[Kind] = [(each.body, REQUEST) for each in OPERATIONS if each.body]
    kinds += [(each.answers, ANSWER) for each in OPERATIONS]
    found, components = schemas([*kinds, (Problem, ANSWER)])
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.template, {})[each.method.lower()] = _operation(each, found)
    return document(
        title="Quicksilver: the registry",
        description="Reads and changes model versions and routes. Who calls is who AWS says it is.",
        security={"signature": SIGNED},
        schemas=components,
        when=_WHEN,
        paths=paths,
    )


def _operation(operation: Operation, found: Mapping[Kind, dict[str, Any]]) -> dict[str, Any]:
    answer = found[operation.answers, ANSWER]
    if operation.paged:
        items = {"type": "array", "items": answer}
        answer = {"type": "object", "properties": {"items": items}, "required": ["items"]}
    in_path = [
        path_parameter(name, pattern)
        for name, pattern in PATH_PARAMETERS.items()
        if f"{{{name}}}" in operation.template
    ]
    absent = {HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE} if operation.body is None else set()
    content: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.does,
        "parameters": [*in_path, *map(_query, operation.query)],
        "responses": operation_responses(answer, gateway_statuses() | _WHEN.keys() - absent, {}),
    }
    if operation.body is not None:
        content["requestBody"] = body(found[operation.body, REQUEST], MAX_BODY_BYTES)
    return content


def _query(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if parameter.default is not None:
        schema = {"type": "integer", "minimum": 0, "default": parameter.default}
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.does,
        "required": parameter.default is None,
        "schema": schema,
    }
