"""Values that a schema of an API's document takes, drawn by the schema itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]
_ANYTHING = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)


def values(schema: Schema, components: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    """For the words that pydantic writes for our requests; another one is an error, not a value that it does not fit."""
    if "$ref" in schema:
        return values(components[schema["$ref"].rpartition("/")[2]], components)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([values(option, components) for option in schema["anyOf"]])
    match schema.get("type"):
        case list() as types:
            return st.one_of([values({**schema, "type": kind}, components) for kind in types])
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            low, high = schema.get("minimum"), schema.get("maximum")
            return st.integers(
                low if low is not None else schema.get("exclusiveMinimum", -10) + 1,
                high if high is not None else schema.get("exclusiveMaximum", (low or 0) + 10) - 1,
            )
        case "number":
            return st.floats(
                schema.get("minimum", schema.get("exclusiveMinimum", -10)),
                schema.get("maximum", schema.get("exclusiveMaximum", 10)),
                exclude_min="exclusiveMinimum" in schema,
                exclude_max="exclusiveMaximum" in schema,
            )
        case "string":
            return _texts(schema)
        case "array":
            return st.lists(
                values(schema["items"], components),
                min_size=schema.get("minItems", 0),
                max_size=min(schema.get("maxItems", 3), max(3, schema.get("minItems", 0))),
            )
        case "object":
            return _objects(schema, components)
        case None:
            return _ANYTHING
        case other:
            raise NotImplementedError(f"{other} of {schema}")


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    low, high = schema.get("minLength", 0), schema.get("maxLength", 12)
    if "pattern" not in schema:
        return st.text(min_size=low, max_size=min(high, 12))
    # ``$`` is the end, and not also before a line's end there.
    found = st.from_regex(schema["pattern"].replace("$", r"\Z"))
    return found.filter(lambda text: low <= len(text) <= schema.get("maxLength", len(text)))


def _objects(schema: Schema, components: Mapping[str, Schema]) -> st.SearchStrategy[dict[str, Any]]:
    parts = {name: values(part, components) for name, part in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    named = st.fixed_dictionaries(
        {name: part for name, part in parts.items() if name in required},
        optional={name: part for name, part in parts.items() if name not in required},
    )
    if parts:
        return named
    others = [
        st.dictionaries(_texts({"pattern": pattern}), values(part, components), max_size=3)
        for pattern, part in schema.get("patternProperties", {}).items()
    ]
    rest = schema.get("additionalProperties", True)
    if rest is not False:
        keys = _texts(schema.get("propertyNames", {}))
        if reference := schema.get("propertyNames", {}).get("$ref"):
            keys = values(components[reference.rpartition("/")[2]], components)
        others.append(st.dictionaries(keys, values({} if rest is True else rest, components), max_size=3))
    return st.one_of(others)
