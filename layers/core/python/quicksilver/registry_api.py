"""The registry's API: ``/v1/registry/{endpoint}/...``, behind IAM. Who calls is who AWS says it is.

Its operations are the methods below; each is read by method, path and signature (``registry_operation``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from quicksilver.errors import (
    BodyTooLarge,
    Conflict,
    FieldError,
    InvalidInput,
    InvalidRequest,
    NotAllowed,
    NotFound,
    Unavailable,
    whereabouts,
)
from quicksilver.experiment_registry import Experiments
from quicksilver.gates.report import GateReport
from quicksilver.history import Entry
from quicksilver.instants import typed_moment
from quicksilver.model_version import ModelVersion
from quicksilver.problem import problem_answer
from quicksilver.registry import Registry
from quicksilver.registry_bodies import (
    Decision,
    EndExperiment,
    Evidence,
    NewOverride,
    NewRoute,
    PromoteChallenger,
    Register,
    RolloutDecision,
    Shadow,
    StartExperiment,
    StartRollout,
)
from quicksilver.registry_operation import TIME, Call, Operation, operation
from quicksilver.rollout_registry import Rollouts
from quicksilver.routing import Route
from quicksilver.shadow_registry import add_shadow, remove_shadow

logger = logging.getLogger(__name__)

Answer = dict[str, Any]


class RegistryApi:
    """Answers requests from a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._rollouts = Rollouts(registry)
        self._experiments = Experiments(registry)

    def answer(self, event: Mapping[str, Any]) -> Answer:
        """Answer one API Gateway proxy event. Never raises."""
        context = event.get("requestContext") or {}
        request_id = str(context.get("requestId") or "unknown")
        who = (context.get("identity") or {}).get("userArn")
        if not who:
            return problem_answer(HTTPStatus.FORBIDDEN, "The caller has no IAM identity.", request_id)
        try:
            content = self._answer(event, str(who))
        except NotFound as error:
            return problem_answer(HTTPStatus.NOT_FOUND, str(error), request_id)
        except NotAllowed as error:
            return problem_answer(HTTPStatus.CONFLICT, str(error), request_id, error.fields)
        except Conflict as error:  # rivals without end: a later try may find the registry quiet
            return problem_answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error), request_id)
        except BodyTooLarge as error:
            return problem_answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error), request_id, error.fields)
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

    def _answer(self, event: Mapping[str, Any], who: str) -> Any:
        path, method = str(event.get("path", "")), str(event.get("httpMethod", ""))
        for each in OPERATIONS:
            if parameters := each.match(method, path):
                return each.answer(self, Call(parameters, event, who))
        raise NotFound("There is nothing at this path, or not by this method.")

    # -- model versions --

    @operation("GET", "models", "Model versions, by rising number.")
    def list_models(self, call: Call) -> Sequence[ModelVersion]:
        return call.page(self._registry.model_versions)

    @operation("POST", "models", "Register a model package that is in the store.")
    def register_model(self, call: Call, body: Register) -> ModelVersion:
        return self._registry.register(call.endpoint, body.package_sha256, who=call.who)

    @operation("GET", "models/{number}", "One model version.")
    def get_model(self, call: Call) -> ModelVersion:
        return self._registry.model_version(call.model)

    @operation("GET", "models/{number}/evidence", "A model version's gate report.")
    def get_evidence(self, call: Call) -> GateReport:
        return self._registry.evidence(call.model)

    @operation("POST", "models/{number}/evidence", "Give a model version its gate report.")
    def add_evidence(self, call: Call, body: Evidence) -> ModelVersion:
        return self._registry.add_evidence(call.model, body.report, who=call.who)

    @operation("POST", "models/{number}/override", "Let failed checks not stand in the way, until a moment.")
    def override_checks(self, call: Call, body: NewOverride) -> ModelVersion:
        return self._registry.override(
            call.model,
            body.checks,
            reason=body.reason,
            expires_at=moment("expires_at", body.expires_at),
            who=call.who,
        )

    @operation("POST", "models/{number}/approve", "Let a model version answer; never by its author.")
    def approve_model(self, call: Call, body: Decision) -> ModelVersion:
        return self._registry.approve(call.model, reason=body.reason, who=call.who)

    @operation("POST", "models/{number}/reject", "Let a model version never answer.")
    def reject_model(self, call: Call, body: Decision) -> ModelVersion:
        return self._registry.reject(call.model, reason=body.reason, who=call.who)

    @operation("POST", "models/{number}/retire", "Let a model version not answer any more.")
    def retire_model(self, call: Call, body: Decision) -> ModelVersion:
        return self._registry.retire(call.model, reason=body.reason, who=call.who)

    # -- routes --

    @operation("GET", "route", "The current route.")
    def get_route(self, call: Call) -> Route:
        return self._registry.current_route(call.endpoint)

    @operation("PUT", "route", "Change the route.")
    def set_route(self, call: Call, body: NewRoute) -> Route:
        return self._registry.set_route(
            call.endpoint,
            body.arms,
            reason=body.reason,
            who=call.who,
            expected=body.expected,
            holdout_bp=body.holdout_bp,
        )

    @operation("GET", "routes", "Every route, by rising number.")
    def list_routes(self, call: Call) -> Sequence[Route]:
        return call.page(self._registry.routes)

    @operation("GET", "at", "The route at a moment.", query=(TIME,))
    def get_route_at(self, call: Call) -> Route:
        return self._registry.route_at(call.endpoint, moment(TIME.name, call.text(TIME)))

    @operation("GET", "history", "Every change, by rising number.")
    def list_history(self, call: Call) -> Sequence[Entry]:
        return call.page(self._registry.history)

    @operation("POST", "shadows", "Add a shadow to the route.")
    def add_shadow(self, call: Call, body: Shadow) -> Route:
        return add_shadow(self._registry, call.endpoint, body.model, reason=body.reason, who=call.who)

    @operation("POST", "shadows/remove", "Remove a shadow from the route.")
    def remove_shadow(self, call: Call, body: Shadow) -> Route:
        return remove_shadow(self._registry, call.endpoint, body.model, reason=body.reason, who=call.who)

    # -- rollouts --

    @operation("GET", "rollout", "The route that carries a rollout.")
    def get_rollout(self, call: Call) -> Route:
        return self._rollouts.current(call.endpoint)

    @operation("POST", "rollout", "Start a rollout.")
    def start_rollout(self, call: Call, body: StartRollout) -> Route:
        return self._rollouts.start(call.endpoint, **dict(body), who=call.who)

    @operation("POST", "rollout/pause", "Let the rollout go no further; its guards still take it back.")
    def pause_rollout(self, call: Call, body: Decision) -> Route:
        return self._rollouts.pause(call.endpoint, reason=body.reason, who=call.who)

    @operation("POST", "rollout/resume", "Let a paused rollout go on.")
    def resume_rollout(self, call: Call, body: Decision) -> Route:
        return self._rollouts.resume(call.endpoint, reason=body.reason, who=call.who)

    @operation("POST", "rollout/abort", "Take the rollout back.")
    def abort_rollout(self, call: Call, body: Decision) -> Route:
        return self._rollouts.abort(call.endpoint, reason=body.reason, who=call.who)

    @operation("POST", "rollout/decision", "Do what a look at the rollout came to.")
    def decide_rollout(self, call: Call, body: RolloutDecision) -> Route:
        return self._rollouts.decide(call.endpoint, body.expected, body.look, who=call.who)

    # -- experiments --

    @operation("GET", "experiment", "The route that carries the experiment.")
    def get_experiment(self, call: Call) -> Route:
        return self._experiments.current(call.endpoint)

    @operation("POST", "experiment/start", "Start an experiment.")
    def start_experiment(self, call: Call, body: StartExperiment) -> Route:
        return self._experiments.start(call.endpoint, **dict(body), who=call.who)

    @operation("POST", "experiment/stop", "End the experiment.")
    def stop_experiment(self, call: Call, body: EndExperiment) -> Route:
        return self._experiments.stop(call.endpoint, **dict(body), who=call.who)

    @operation("POST", "experiment/promote", "End the experiment, and make the challenger the champion.")
    def promote_challenger(self, call: Call, body: PromoteChallenger) -> Route:
        return self._experiments.promote(call.endpoint, **dict(body), who=call.who)


OPERATIONS: tuple[Operation, ...] = tuple(
    each for each in vars(RegistryApi).values() if isinstance(each, Operation)
)
"""Every operation of the API."""


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
