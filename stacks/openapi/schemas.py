"""Pydantic models as the schemas of an API document: what is asked for is closed, what is answered is open.

A request with a name nobody knows is refused, so its schema says so. An answer may gain a property, so a caller's reader
must let it pass; and every property is there, whether it has a default or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

Mode = Literal["validation", "serialization"]
Kind = tuple[type[BaseModel], Mode]

REQUEST: Mode = "validation"
ANSWER: Mode = "serialization"

_REF = "#/components/schemas/"


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - a title says the name once more
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == ANSWER:
            return field.get("serialization_exclude_if") is None
        return super().field_is_required(field, total)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        content = super().model_schema(schema)
        content.pop("title", None)
        if self.mode == ANSWER and content.get("additionalProperties") is False:
            del content["additionalProperties"]
        return content

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        content = super().default_schema(schema)
        if self.mode == ANSWER:
            content.pop("default", None)  # says nothing to who reads an answer
        return content

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        content = super().dict_schema(schema)
        if self.mode == REQUEST and "patternProperties" in content:
            # A key of another form is refused.
            content.setdefault("additionalProperties", False)
        return content


def schemas(kinds: Iterable[Kind]) -> tuple[Mapping[Kind, dict[str, Any]], dict[str, Any]]:
    """Where each model's schema is, as a reference, and all of them by name."""
    found, rest = models_json_schema(
        list(dict.fromkeys(kinds)), ref_template=_REF + "{model}", schema_generator=_Generator
    )
    components = {_short(name): _tidied(schema) for name, schema in rest["$defs"].items()}
    return {kind: _tidied(reference) for kind, reference in found.items()}, components  # type: ignore[misc]


def _tidied(schema: Any) -> Any:
    """With short names in references, and no title where a component's name says it."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        word: _REF + _short(value.removeprefix(_REF)) if word == "$ref" else _tidied(value)
        for word, value in schema.items()
        if not (word == "title" and isinstance(value, str))
    }


def _short(name: str) -> str:
    """Two classes of one name are told apart by their modules: ``quicksilver__rollout__look__Verdict`` is ``LookVerdict``."""
    module, _, rest = name.rpartition("__")
    return "".join(word.capitalize() for word in module.rpartition("__")[2].split("_")) + rest
