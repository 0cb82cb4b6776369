"""Problem details (RFC 9457) in the words of an API document: one response for each status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

from quicksilver.problem import PROBLEM_JSON, problem
from stacks.refusals import REFUSALS, WORTH_RETRYING


def _is_empty(value: Sized) -> bool:
    return not value


class FieldProblem(BaseModel):
    """A refused field, by its dotted path, and why. Its value is never repeated."""

    field: str
    reason: str


class Problem(BaseModel):
    """Why there is no other answer. ``title`` is the status's name; tell problems apart by ``status`` and ``errors``."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(default="", exclude_if=_is_empty, description="Names the request, as the logs do.")
    errors: tuple[FieldProblem, ...] = Field(default=(), exclude_if=_is_empty)


_PASSES = {HTTPStatus.SERVICE_UNAVAILABLE} | {
    status for kind, status, _ in REFUSALS if kind in WORTH_RETRYING
}
_SOMETIMES = {HTTPStatus.CONFLICT}
"""Passes too, where a header says so."""


def title_of(status: HTTPStatus) -> str:
    return str(problem(status, "")["title"])


def gateway_statuses() -> frozenset[HTTPStatus]:
    """What the gateway answers by itself, on any path."""
    return frozenset(status for _, status, _ in REFUSALS)


def name_of(status: HTTPStatus) -> str:
    """The response's name among the document's components."""
    return title_of(status).replace(" ", "")


def responses(statuses: Iterable[HTTPStatus], when: Mapping[HTTPStatus, str]) -> dict[str, Any]:
    """The responses of these statuses by name. ``when`` says when the function answers with one."""
    return {name_of(status): _response(status, when.get(status)) for status in sorted(statuses)}


def _response(status: HTTPStatus, when: str | None) -> dict[str, Any]:
    gateway = [sentence for _, its, sentence in REFUSALS if its is status]
    said = [f"{when}."] if when else []
    if gateway:
        said.append(f"From the gateway: {' '.join(gateway)}")
    example = problem(status, gateway[0] if gateway else f"{when}.", instance="urn:request:3df6fd5b")
    response: dict[str, Any] = {
        "description": " ".join(said),
        "headers": {"Cache-Control": {"schema": {"const": "no-store"}}},
        "content": {
            PROBLEM_JSON: {
                "schema": {
                    "allOf": [{"$ref": "#/components/schemas/Problem"}],
                    "properties": {
                        "title": {"const": title_of(status)},
                        "status": {"const": int(status)},
                    },
                },
                "example": example,
            }
        },
    }
    if status in _PASSES | _SOMETIMES:
        response["headers"]["Retry-After"] = {
            "description": "Seconds after which trying again may help.",
            "required": status in _PASSES,
            "schema": {"type": "integer", "minimum": 1},
        }
    return response
