"""Whether one JSON Schema takes all that another takes, and if not, why.

For the words that pydantic and this package write. Where it can't tell, it says no: what is not reported takes everything, and
what is reported may be a false alarm.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]
Refusal = tuple[str, str]
"""A place within the value, ``rows[].entity_id``, and the reason."""

_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_NOTES = {"title", "description", "default", "example", "examples", "deprecated", "discriminator", "$defs"}
_LOWER = {"minLength": "string", "minItems": "array", "minProperties": "object"}
_UPPER = {"maxLength": "string", "maxItems": "array", "maxProperties": "object"}
_SAME = {"pattern": "string", "format": "string", "uniqueItems": "array", "multipleOf": "number"}
_NUMBERS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_UNDERSTOOD = {
    *_NOTES, *_LOWER, *_UPPER, *_SAME, *_NUMBERS, "$ref", "type", "enum", "const", "allOf", "anyOf", "oneOf", "items",
    "properties", "required", "additionalProperties", "patternProperties", "propertyNames",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Compares a ``wide`` schema, which should take everything, with a ``narrow`` one; each within its own document.

    ``wide_is_new`` says which of the two is the later: for requests it is the wide one, for answers the narrow one.
    """

    wide_document: Schema
    narrow_document: Schema
    wide_is_new: bool
    _under_way: set[tuple[str, str]] = field(default_factory=set)

    def refusals(self, wide: Schema, narrow: Schema, place: str = "") -> list[Refusal]:
        """Why something that ``narrow`` takes may not be taken by ``wide``; nothing where there is no such thing."""
        pair = (_text(wide), _text(narrow))
        if pair in self._under_way:  # schemas that name themselves: it is being looked at already
            return []
        self._under_way.add(pair)
        try:
            return self._refusals(wide, narrow, place)
        finally:
            self._under_way.discard(pair)

    def _refusals(self, wide: Schema, narrow: Schema, place: str) -> list[Refusal]:
        if every := _parts(wide, self.wide_document):
            return [refusal for part in every for refusal in self.refusals(part, narrow, place)]
        if parts := _parts(narrow, self.narrow_document):
            # What all parts take is taken by each: one that is within the wide one is enough.
            return min((self.refusals(wide, part, place) for part in parts), key=len)
        if options := _options(narrow):
            return [refusal for option in options for refusal in self.refusals(wide, option, place)]
        if options := _options(wide):
            return min((self.refusals(option, narrow, place) for option in options), key=len)
        return [*self._of_value(wide, narrow, place), *self._of_parts(wide, narrow, place)]

    def _of_value(self, wide: Schema, narrow: Schema, place: str) -> Iterator[Refusal]:
        strange = sorted({*wide, *narrow} - _UNDERSTOOD)
        if any(wide.get(word) != narrow.get(word) for word in strange):
            yield place, f"{', '.join(strange)} cannot be compared"
        if _types(narrow) - _widened(_types(wide)):
            yield place, self._changed("type", sorted(_types(wide)), sorted(_types(narrow)))
        allowed, possible = _values(wide), _values(narrow)
        if allowed is not None and possible is None:
            yield place, self._changed("what it can be", sorted(allowed), "anything")
        elif allowed is not None and possible is not None and (more := sorted(possible - allowed)):
            known = "not accepted any more" if self.wide_is_new else "new"
            yield place, f"{', '.join(more)} is {known}"
        for word, kind in _SAME.items():
            if word in wide and kind in _widened(_types(narrow)) and wide[word] != narrow.get(word):
                yield place, self._changed(word, wide[word], narrow.get(word))
        yield from self._of_bounds(wide, narrow, place)

    def _of_bounds(self, wide: Schema, narrow: Schema, place: str) -> Iterator[Refusal]:
        types = _types(narrow)
        for words, sign in ((_LOWER, 1), (_UPPER, -1)):
            for word, kind in words.items():
                bound, own = wide.get(word), narrow.get(word)
                if bound is not None and kind in types and (own is None or sign * own < sign * bound):
                    yield place, self._changed(word, bound, own)
        if not types & {"integer", "number"}:
            return
        for inclusive, exclusive, sign in (
            ("minimum", "exclusiveMinimum", 1),
            ("maximum", "exclusiveMaximum", -1),
        ):
            bound, own = _bound(wide, inclusive, exclusive, sign), _bound(narrow, inclusive, exclusive, sign)
            if bound is not None and (own is None or own < bound):
                yield (
                    place,
                    self._changed(inclusive, _said_bound(bound, sign), own and _said_bound(own, sign)),
                )

    def _of_parts(self, wide: Schema, narrow: Schema, place: str) -> Iterator[Refusal]:
        if "array" in _types(narrow) and "items" in wide:
            yield from self.refusals(wide["items"], narrow.get("items", {}), f"{place}[]")
        if "object" not in _types(narrow):
            return
        for name in sorted(set(wide.get("required", ())) - set(narrow.get("required", ()))):
            yield _member(place, name), "is required" if self.wide_is_new else "is not always there any more"
        if "propertyNames" in wide:
            names = narrow.get("propertyNames", {})
            yield from self.refusals(wide["propertyNames"], {"type": "string", **names}, f"{place} (names)")
        for name in sorted({*wide.get("properties", {}), *narrow.get("properties", {})}):
            yield from self._of_property(name, wide, narrow, place)
        yield from self._of_other_properties(wide, narrow, place)

    def _of_property(self, name: str, wide: Schema, narrow: Schema, place: str) -> Iterator[Refusal]:
        within, may_be = _property(wide, name), _property(narrow, name)
        where = _member(place, name)
        if may_be is False or within is True:
            return
        if within is False:
            yield where, "is not accepted any more" if self.wide_is_new else "is new"
        elif may_be is True and not self.wide_is_new and name not in narrow.get("properties", {}):
            yield where, "is gone"
        else:
            yield from self.refusals(within, {} if may_be is True else may_be, where)

    def _of_other_properties(self, wide: Schema, narrow: Schema, place: str) -> Iterator[Refusal]:
        patterns, own = wide.get("patternProperties", {}), narrow.get("patternProperties", {})
        rest, own_rest = wide.get("additionalProperties", True), narrow.get("additionalProperties", True)
        where = _member(place, "*")
        for pattern in sorted({*patterns, *own}):
            if pattern in own:
                within = patterns.get(pattern, rest)
                yield from self._of_rest(within, own[pattern], where)
            elif own_rest is not False or own:
                yield where, f"names of the form {pattern} are bound"
        if own_rest is not False:
            yield from self._of_rest(rest, own_rest, where)

    def _of_rest(self, wide: Schema | bool, narrow: Schema | bool, place: str) -> Iterator[Refusal]:
        if wide is True or narrow is False:
            return
        if wide is False:
            yield place, "other names are not accepted any more" if self.wide_is_new else "has other names"
        else:
            yield from self.refusals(wide, {} if narrow is True else narrow, place)

    def _changed(self, word: str, wide: Any, narrow: Any) -> str:
        was, now = (narrow, wide) if self.wide_is_new else (wide, narrow)
        return f"{word} was {_said(was)} and is {_said(now)}"


def _parts(schema: Schema, document: Schema) -> Sequence[Schema]:
    """What all must hold, where a schema is made of others: what it refers to, and what it says itself."""
    parts: list[Schema] = [_resolved(schema["$ref"], document)] if "$ref" in schema else []
    parts += schema.get("allOf", ())
    rest = {word: value for word, value in schema.items() if word not in {"$ref", "allOf", *_NOTES}}
    if parts and rest:
        parts.append(rest)
    alternatives = [word for word in ("anyOf", "oneOf") if word in rest]
    if not parts and alternatives and len(rest) > 1:
        parts = [{word: rest[word]} for word in alternatives]
        parts.append({word: value for word, value in rest.items() if word not in alternatives})
    return parts


def _options(schema: Schema) -> Sequence[Schema]:
    """Of which one must hold; those of ``oneOf`` are taken to exclude each other. A schema with several types is one of each."""
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return list(schema[word])
    types = schema.get("type")
    if isinstance(types, list) and len(types) > 1:
        return [{**schema, "type": kind} for kind in types]
    return ()


def _resolved(reference: str, document: Schema) -> Schema:
    content: Any = document
    for part in reference.removeprefix("#/").split("/"):
        content = content[part]
    return dict(content)


def _types(schema: Schema) -> frozenset[str]:
    """The types that a value may have."""
    declared = schema.get("type")
    types = _TYPES if declared is None else frozenset([declared] if isinstance(declared, str) else declared)
    values = _values(schema)
    if values is None:
        return types
    return frozenset(kind for value in values if (kind := _type_of(json.loads(value))) in _widened(types))


def _widened(types: frozenset[str]) -> frozenset[str]:
    """Who takes numbers takes whole ones."""
    return types | {"integer"} if "number" in types else types


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _values(schema: Schema) -> frozenset[str] | None:
    """The values that are listed, as JSON, or None where none are."""
    listed = [[schema["const"]]] if "const" in schema else []
    listed += [schema["enum"]] if "enum" in schema else []
    return frozenset.intersection(*(frozenset(map(_text, values)) for values in listed)) if listed else None


def _property(schema: Schema, name: str) -> Schema | bool:
    """What a property of this name must be; True for anything, False where there can be none."""
    found = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    found += [
        part for pattern, part in schema.get("patternProperties", {}).items() if re.search(pattern, name)
    ]
    if not found:
        rest: Schema | bool = schema.get("additionalProperties", True)
        return rest
    return found[0] if len(found) == 1 else {"allOf": found}


def _bound(schema: Schema, inclusive: str, exclusive: str, sign: int) -> tuple[float, bool] | None:
    """The tightest bound, larger where it is tighter."""
    found = [(sign * schema[inclusive], False)] if inclusive in schema else []
    found += [(sign * schema[exclusive], True)] if exclusive in schema else []
    return max(found) if found else None


def _said_bound(bound: tuple[float, bool], sign: int) -> str:
    """A bound as people say it."""
    return f"{sign * bound[0]}" + (" (excluded)" if bound[1] else "")


def _member(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _said(value: Any) -> str:
    if value is None:
        return "not bound"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
