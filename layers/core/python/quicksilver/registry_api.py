"""The registry's API: ``/v1/registry/{endpoint}/...``, behind IAM. Who calls is who AWS says it is.

=======  ===============================  =========================================  ==================
GET      models?after=N&limit=K           model versions, by rising number
POST     models                           {package_sha256}                           register
GET      models/{n}                       one model version
GET      models/{n}/evidence              its gate report
POST     models/{n}/evidence              {report}                                   gate
POST     models/{n}/override              {checks, reason, expires_at}               override
POST     models/{n}/approve               {reason}                                   approve
POST     models/{n}/reject                {reason}                                   reject
POST     models/{n}/retire                {reason}                                   retire
GET      route                            the current route
GET      routes?after=N&limit=K           every route, by rising number
PUT      route                            {arms, reason, expected, holdout_bp}       change the route
POST     shadows                          {model, reason}                            add a shadow
POST     shadows/remove                   {model, reason}                            remove a shadow
GET      rollout                          the route that carries a rollout
POST     rollout                          {model, steps_bp, bake_seconds, guards, reason}  start one
POST     rollout/pause                    {reason}                                   pause
POST     rollout/resume                   {reason}                                   resume
POST     rollout/abort                    {reason}                                   abort
POST     rollout/decision                 {expected, look}                           do what a look came to
GET      experiment                       the route that carries the experiment
POST     experiment/start                 {challenger, share_bp, terms, reason}      start an experiment
POST     experiment/stop                  {conclusion, reason}                       end it
POST     experiment/promote               {conclusion, override, reason}             make the challenger the champion
GET      at?time=T                        the route at a moment
GET      history?after=N&limit=K          the history, by rising number
=======  ===============================  =========================================  ==================
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from quicksilver.contract import contract_field_errors
from quicksilver.errors import (
    Conflict,
    FieldError,
    InvalidInput,
    InvalidRequest,
    MalformedBody,
    NotAllowed,
    NotFound,
    Unavailable,
    whereabouts,
)
from quicksilver.experiment_registry import Experiments
from quicksilver.instants import typed_moment
from quicksilver.problem import problem_answer
from quicksilver.registry import Registry
from quicksilver.registry_bodies import (
    Decision,
    EndExperiment,
    Evidence,
    NewRoute,
    Override,
    PromoteChallenger,
    Register,
    RolloutDecision,
    Shadow,
    StartExperiment,
    StartRollout,
)
from quicksilver.rollout_registry import Rollouts
from quicksilver.routing import Route
from quicksilver.shadow_registry import add_shadow, remove_shadow

logger = logging.getLogger(__name__)

MAX_PAGE = 100

Answer = dict[str, Any]
Body = TypeVar("Body", bound=BaseModel)


class RegistryApi:
    """Answers requests from a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._rollouts = rollouts = Rollouts(registry)
        self._experiments = experiments = Experiments(registry)
        endpoint, number = r"(?P<endpoint>[a-z][a-z0-9-]*)", r"(?P<number>[1-9][0-9]{0,8})"
        one = f"{endpoint}/models/{number}"
        self._routes: tuple[tuple[str, re.Pattern[str], Callable[[_Call], Any]], ...] = tuple(
            (method, re.compile(f"^/v1/registry/{path}/?$"), answer)
            for method, path, answer in (
                ("GET", f"{endpoint}/models", self._list_models),
                ("POST", f"{endpoint}/models", self._register),
                ("GET", one, lambda call: registry.model_version(call.model)),
                ("GET", f"{one}/evidence", lambda call: registry.evidence(call.model)),
                ("POST", f"{one}/evidence", self._add_evidence),
                ("POST", f"{one}/override", self._override),
                ("POST", f"{one}/approve", self._decide(registry.approve)),
                ("POST", f"{one}/reject", self._decide(registry.reject)),
                ("POST", f"{one}/retire", self._decide(registry.retire)),
                ("GET", f"{endpoint}/route", lambda call: registry.current_route(call.endpoint)),
                ("PUT", f"{endpoint}/route", self._set_route),
                ("GET", f"{endpoint}/rollout", lambda call: rollouts.current(call.endpoint)),
                ("POST", f"{endpoint}/rollout", self._start_rollout),
                ("POST", f"{endpoint}/rollout/pause", self._move_rollout(rollouts.pause)),
                ("POST", f"{endpoint}/rollout/resume", self._move_rollout(rollouts.resume)),
                ("POST", f"{endpoint}/rollout/abort", self._move_rollout(rollouts.abort)),
                ("POST", f"{endpoint}/rollout/decision", self._decide_rollout),
                ("GET", f"{endpoint}/routes", self._page(registry.routes)),
                ("POST", f"{endpoint}/shadows", self._shadow(add_shadow)),
                ("POST", f"{endpoint}/shadows/remove", self._shadow(remove_shadow)),
                ("GET", f"{endpoint}/experiment", lambda call: experiments.current(call.endpoint)),
                ("POST", f"{endpoint}/experiment/start", self._start_experiment),
                (
                    "POST",
                    f"{endpoint}/experiment/stop",
                    self._end_experiment(experiments.stop, EndExperiment),
                ),
                (
                    "POST",
                    f"{endpoint}/experiment/promote",
                    self._end_experiment(experiments.promote, PromoteChallenger),
                ),
                ("GET", f"{endpoint}/at", self._at),
                ("GET", f"{endpoint}/history", self._page(registry.history)),
            )
        )

    def answer(self, event: Mapping[str, Any]) -> Answer:
        """Answer one API Gateway proxy event. Never raises."""
        context = event.get("requestContext") or {}
        request_id = str(context.get("requestId") or "unknown")
        who = (context.get("identity") or {}).get("userArn")
        if not who:
            return problem_answer(HTTPStatus.FORBIDDEN, "The caller has no IAM identity.", request_id)
        try:
            call, answer = self._find(event, str(who))
            content = answer(call)
        except NotFound as error:
            return problem_answer(HTTPStatus.NOT_FOUND, str(error), request_id)
        except NotAllowed as error:
            return problem_answer(HTTPStatus.CONFLICT, str(error), request_id, error.fields)
        except Conflict as error:  # rivals without end: a later try may find the registry quiet
            return problem_answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error), request_id)
        except InvalidInput as error:
            return problem_answer(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), request_id, error.fields)
        except Unavailable as error:
            logger.error("registry request not answered: %s", error, extra={"request_id": request_id})
            return problem_answer(
                HTTPStatus.SERVICE_UNAVAILABLE, "The registry cannot answer now; try again.", request_id
            )
        except Exception as error:
            logger.error("registry request failed", extra={"request_id": request_id, **whereabouts(error)})
            return problem_answer(
                HTTPStatus.INTERNAL_SERVER_ERROR, "The request could not be answered.", request_id
            )
        return {
            "statusCode": int(HTTPStatus.OK),
            "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
            "body": json.dumps(_plain(content), ensure_ascii=False),
            "isBase64Encoded": False,
        }

    def _find(self, event: Mapping[str, Any], who: str) -> tuple[_Call, Callable[[_Call], Any]]:
        path, method = str(event.get("path", "")), str(event.get("httpMethod", ""))
        for wanted, pattern, answer in self._routes:
            match = pattern.match(path)
            if match and method == wanted:
                return _Call(match.groupdict(), event, who), answer
        raise NotFound("There is nothing at this path, or not by this method.")

    # -- one method a kind of request --

    def _list_models(self, call: _Call) -> Any:
        return self._page(self._registry.model_versions)(call)

    def _page(self, items: Callable[..., Sequence[Any]]) -> Callable[[_Call], Any]:
        def answer(call: _Call) -> Any:
            after, limit = call.integer("after", 0), call.integer("limit", MAX_PAGE)
            return {"items": list(items(call.endpoint, after=after, limit=max(1, min(limit, MAX_PAGE))))}

        return answer

    def _register(self, call: _Call) -> Any:
        return self._registry.register(call.endpoint, call.body(Register).package_sha256, who=call.who)

    def _add_evidence(self, call: _Call) -> Any:
        return self._registry.add_evidence(call.model, call.body(Evidence).report, who=call.who)

    def _override(self, call: _Call) -> Any:
        body = call.body(Override)
        return self._registry.override(
            call.model,
            body.checks,
            reason=body.reason,
            expires_at=moment("expires_at", body.expires_at),
            who=call.who,
        )

    def _decide(self, decide: Callable[..., Any]) -> Callable[[_Call], Any]:
        return lambda call: decide(call.model, reason=call.body(Decision).reason, who=call.who)

    def _set_route(self, call: _Call) -> Any:
        body = call.body(NewRoute)
        return self._registry.set_route(
            call.endpoint,
            body.arms,
            reason=body.reason,
            who=call.who,
            expected=body.expected,
            holdout_bp=body.holdout_bp,
        )

    def _shadow(self, change: Callable[..., Any]) -> Callable[[_Call], Any]:
        def answer(call: _Call) -> Any:
            body = call.body(Shadow)
            return change(self._registry, call.endpoint, body.model, reason=body.reason, who=call.who)

        return answer

    def _start_rollout(self, call: _Call) -> Any:
        body = call.body(StartRollout)
        return self._rollouts.start(
            call.endpoint,
            body.model,
            steps_bp=body.steps_bp,
            bake_seconds=body.bake_seconds,
            guards=body.guards,
            reason=body.reason,
            who=call.who,
        )

    def _move_rollout(self, move: Callable[..., Any]) -> Callable[[_Call], Any]:
        return lambda call: move(call.endpoint, reason=call.body(Decision).reason, who=call.who)

    def _decide_rollout(self, call: _Call) -> Any:
        body = call.body(RolloutDecision)
        return self._rollouts.decide(call.endpoint, body.expected, body.look, who=call.who)

    def _start_experiment(self, call: _Call) -> Any:
        return self._experiments.start(call.endpoint, **dict(call.body(StartExperiment)), who=call.who)

    def _end_experiment(self, end: Callable[..., Route], body: type[EndExperiment]) -> Callable[[_Call], Any]:
        return lambda call: end(call.endpoint, **dict(call.body(body)), who=call.who)

    def _at(self, call: _Call) -> Any:
        return self._registry.route_at(call.endpoint, moment("time", call.text("time")))


class _Call:
    """One request: what its path, query and body say, and who sent it."""

    def __init__(self, path: Mapping[str, str], event: Mapping[str, Any], who: str) -> None:
        self.endpoint = path["endpoint"]
        self.model = f"{self.endpoint}@{path.get('number', '')}"
        self.who = who
        self._query: Mapping[str, str] = event.get("queryStringParameters") or {}
        self._body = event.get("body")

    def text(self, name: str) -> str:
        try:
            return self._query[name]
        except KeyError:
            raise InvalidRequest("The request is not valid.", [FieldError(name, "is missing")]) from None

    def integer(self, name: str, default: int) -> int:
        text = self._query.get(name, str(default))
        if not text.isdecimal():
            raise InvalidRequest("The request is not valid.", [FieldError(name, "must be a whole number")])
        return int(text)

    def body(self, kind: type[Body]) -> Body:
        if not self._body:
            raise MalformedBody("The body is empty.", [FieldError("(body)", "must be a JSON object")])
        try:
            return kind.model_validate_json(self._body)
        except ValidationError as error:
            raise InvalidRequest("The request is not valid.", contract_field_errors(error)[:20]) from None


def moment(field: str, text: str) -> str:
    """A moment in any ISO-8601 form with an offset, as the registry writes moments."""
    try:
        return typed_moment(text)
    except ValueError as error:
        raise InvalidRequest("The request is not valid.", [FieldError(field, str(error))]) from None


def _plain(content: Any) -> Any:
    if isinstance(content, BaseModel):
        return content.model_dump(mode="json")
    if isinstance(content, dict):
        return {name: _plain(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_plain(item) for item in content]
    return content
