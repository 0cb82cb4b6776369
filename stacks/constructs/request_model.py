"""A request's schema as an API Gateway model, from the same pydantic model that parses bodies.

It documents the API and its SDKs. Bodies are validated in the function, since the gateway cannot name the field in a problem.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_apigateway as apigateway
from constructs import Construct
from pydantic import BaseModel

_DRAFT_4 = "http://json-schema.org/draft-04/schema#"


class RequestModel(apigateway.CfnModel):
    """A pydantic model in JSON Schema draft 4, the one draft API Gateway reads."""

    def __init__(self, scope: Construct, id: str, *, api: apigateway.IRestApi, kind: type[BaseModel]) -> None:
        super().__init__(
            scope,
            id,
            rest_api_id=api.rest_api_id,
            name=kind.__name__,
            content_type="application/json",
            schema=draft_4(kind.model_json_schema()),
        )


def draft_4(schema: dict[str, Any]) -> dict[str, Any]:
    """A pydantic schema (draft 2020-12) in the words of draft 4. Raises ``ValueError`` for what draft 4 cannot say."""
    return {"$schema": _DRAFT_4, **_translate(schema)}


def _translate(schema: dict[str, Any]) -> dict[str, Any]:
    translated: dict[str, Any] = {}
    for word, value in schema.items():
        match word:
            case "$defs":
                translated["definitions"] = {name: _translate(part) for name, part in value.items()}
            case "$ref":
                translated["$ref"] = value.replace("#/$defs/", "#/definitions/")
            case "const":
                translated["enum"] = [value]
            case "examples" | "discriminator" | "deprecated" | "readOnly" | "writeOnly" | "propertyNames":
                pass  # says nothing that a draft 4 reader could use
            case "exclusiveMinimum" | "exclusiveMaximum":
                bound = "minimum" if word == "exclusiveMinimum" else "maximum"
                translated |= {bound: value, word: True}
            case "properties" | "patternProperties":
                translated[word] = {name: _translate(part) for name, part in value.items()}
            case "anyOf" | "allOf" | "oneOf":
                translated[word] = [_translate(part) for part in value]
            case "items" | "additionalProperties" | "not" if isinstance(value, dict):
                translated[word] = _translate(value)
            case (
                "prefixItems"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "dependentSchemas"
                | "unevaluatedProperties"
            ):
                raise ValueError(f"JSON Schema draft 4 has no {word}")
            case _:
                translated[word] = value
    return translated
