"""What both documents have in common: their frame, a path's parameter, a body and the responses of an operation."""

from __future__ import annotations

from collections.abc import Mapping, Set as AbstractSet
from http import HTTPStatus
from typing import Any

from stacks.openapi.problems import gateway_statuses, name_of, responses

Document = dict[str, Any]

SIGNED = {
    "type": "apiKey",
    "in": "header",
    "name": "Authorization",
    "description": "A signature (AWS SigV4) for the service execute-api, by an identity that may invoke the method.",
    "x-amazon-apigateway-authtype": "awsSigv4",
}


def document(
    *,
    title: str,
    description: str,
    security: Mapping[str, Any],
    schemas: Mapping[str, Any],
    when: Mapping[HTTPStatus, str],
    paths: Mapping[str, Any],
) -> Document:
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "v1", "description": description},
        "servers": [
            {
                "url": "https://{api}.execute-api.{region}.amazonaws.com/{stage}",
                "description": "An output of the stage's stack, or the stage's own domain.",
                "variables": {
                    "api": {"default": "api"},
                    "region": {"default": "us-east-1"},
                    "stage": {"default": "prod"},
                },
            }
        ],
        "security": [{name: [] for name in security}],
        "paths": dict(paths),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": responses(gateway_statuses() | when.keys(), when),
            "securitySchemes": dict(security),
        },
    }


def body(schema: Mapping[str, Any], max_bytes: int) -> dict[str, Any]:
    return {
        "required": True,
        "description": f"At most {max_bytes} bytes.",
        "x-max-bytes": max_bytes,
        "content": {"application/json": {"schema": schema}},
    }


def operation_responses(
    answer: Mapping[str, Any], statuses: AbstractSet[HTTPStatus], headers: Mapping[str, Any]
) -> dict[str, Any]:
    answered = {
        "description": "The answer.",
        "headers": {"Cache-Control": {"schema": {"const": "no-store"}}, **headers},
        "content": {"application/json": {"schema": answer}},
    }
    refused = {
        str(int(status)): {"$ref": f"#/components/responses/{name_of(status)}"} for status in sorted(statuses)
    }
    return {"200": answered, **refused}


def path_parameter(name: str, pattern: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}
