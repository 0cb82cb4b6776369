"""What a kind of request to the registry's API is: its method, path and query, and the function that answers it.

The signature of that function says the rest: an operation with a ``body`` takes one, of the type it is annotated with, and what
it returns is the answer, a page of it where it returns a sequence. So the code that answers and the API's document can't
differ, and the type checker holds both to what the registry gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from quicksilver.contract import contract_field_errors
from quicksilver.errors import BodyTooLarge, FieldError, InvalidRequest, MalformedBody
from quicksilver.request import as_bytes

ROOT = "/v1/registry/{endpoint}"
MAX_BODY_BYTES = 1024 * 1024
"""The largest body is a gate report: some hundreds of checks of some hundred bytes."""

MAX_PAGE = 100

_PARTS = {"endpoint": "[a-z][a-z0-9-]*", "number": "[1-9][0-9]{0,8}"}
PATH_PARAMETERS: Mapping[str, str] = {name: f"^{pattern}$" for name, pattern in _PARTS.items()}
"""The parameters that a path may have, and what each may be."""

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One parameter of a query. A whole number where it has a default, which it then may be left out for; else text."""

    name: str
    does: str
    default: int | None = None


AFTER = Parameter(name="after", does="Only items with a higher number than this.", default=0)
LIMIT = Parameter(name="limit", does=f"How many items at most; {MAX_PAGE} are the most.", default=MAX_PAGE)
TIME = Parameter(name="time", does="A moment in any ISO-8601 form with an offset.")


class Call:
    """One request: what its path, query and body say, and who sent it."""

    def __init__(self, path: Mapping[str, str], event: Mapping[str, Any], who: str) -> None:
        self.endpoint = path["endpoint"]
        self.model = f"{self.endpoint}@{path.get('number', '')}"
        self.who = who
        self._query: Mapping[str, str] = event.get("queryStringParameters") or {}
        self._body = event.get("body")

    def text(self, parameter: Parameter) -> str:
        try:
            return self._query[parameter.name]
        except KeyError:
            missing = FieldError(parameter.name, "is missing")
            raise InvalidRequest("The request is not valid.", [missing]) from None

    def integer(self, parameter: Parameter) -> int:
        text = self._query.get(parameter.name, str(parameter.default))
        if not (text.isdecimal() and text.isascii()):
            wrong = FieldError(parameter.name, "must be a whole number")
            raise InvalidRequest("The request is not valid.", [wrong])
        return int(text)

    def page(self, items: Callable[..., Sequence[Body]]) -> Sequence[Body]:
        """The page of an endpoint's items that was asked for."""
        after, limit = self.integer(AFTER), self.integer(LIMIT)
        return items(self.endpoint, after=after, limit=max(1, min(limit, MAX_PAGE)))

    def body(self, kind: type[Body]) -> Body:
        if not self._body:
            raise MalformedBody("The body is empty.", [FieldError("(body)", "must be a JSON object")])
        if len(as_bytes(self._body)) > MAX_BODY_BYTES:
            reason = f"must be at most {MAX_BODY_BYTES} bytes"
            raise BodyTooLarge("The body is too large.", [FieldError("(body)", reason)])
        try:
            return kind.model_validate_json(self._body)
        except ValidationError as error:
            raise InvalidRequest("The request is not valid.", contract_field_errors(error)[:20]) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """``path`` follows ``ROOT``; ``answers`` is the type of the answer, or of the items of one that is ``paged``."""

    method: str
    path: str
    does: str
    query: tuple[Parameter, ...]
    body: type[BaseModel] | None
    answers: type[BaseModel]
    paged: bool
    function: Callable[..., Any]
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"\{(\w+)\}", lambda part: f"(?P<{part[1]}>{_PARTS[part[1]]})", self.template)
        object.__setattr__(self, "_pattern", re.compile(pattern + "/?"))

    @property
    def name(self) -> str:
        """``set_route``: what the function is called."""
        return self.function.__name__

    @property
    def template(self) -> str:
        """The whole path, with its parameters in braces."""
        return f"{ROOT}/{self.path}"

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        """What the path's parameters are, if this is what is asked for."""
        found = self._pattern.fullmatch(path) if method == self.method else None
        return found and found.groupdict()

    def answer(self, api: Any, call: Call) -> Any:
        """The answer's content. Raises what the function does, and ``InvalidInput`` for a body that is not of the type."""
        if self.body is None:
            content = self.function(api, call)
        else:
            content = self.function(api, call, call.body(self.body))
        return {"items": list(content)} if self.paged else content


def operation(
    method: str, path: str, does: str, *, query: tuple[Parameter, ...] = ()
) -> Callable[[Callable[..., Any]], Operation]:
    """Make a method of the API's class an operation. The sentence is for whoever reads the API's document."""

    def declared(function: Callable[..., Any]) -> Operation:
        hints = get_type_hints(function)
        answers = hints["return"]
        paged = get_origin(answers) is Sequence
        return Operation(
            method=method,
            path=path,
            does=does,
            query=(AFTER, LIMIT) if paged else query,
            body=hints.get("body"),
            answers=get_args(answers)[0] if paged else answers,
            paged=paged,
            function=function,
        )

    return declared
