"""The registry as its API offers it: each call is one signed request, answered by the registry function.

Whoever calls is who the signature says; nothing in a request names its author or approver. What the API
refuses is raised as the error that the registry itself raised, as far as a status tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from quicksilver.aws.api import ApiAnswer, ApiClient
from quicksilver.errors import (
    FieldError,
    InvalidInput,
    NotAllowed,
    NotFound,
    QuicksilverError,
    Unavailable,
)
from quicksilver.experiment_plan import Conclusion, TermsWanted
from quicksilver.gates.report import GateReport
from quicksilver.guard_policy import Guards
from quicksilver.history import Entry
from quicksilver.model_version import MODEL_NAME, ModelVersion
from quicksilver.rollout.look import Look
from quicksilver.routing import Arm, Route

_PAGE = 100

Document = TypeVar("Document", bound=BaseModel)
Numbered = TypeVar("Numbered", ModelVersion, Route, Entry)


class RegistryClient:
    """Model versions are named as people name them, ``card-fraud@12``. Every call may raise ``Unavailable``."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    # -- model versions --

    def register(self, endpoint: str, package_sha256: str) -> ModelVersion:
        body = {"package_sha256": package_sha256}
        return _read(ModelVersion, self._send("POST", f"{endpoint}/models", body=body))

    def model_version(self, name: str) -> ModelVersion:
        return _read(ModelVersion, self._send("GET", _path(name)))

    def model_versions(self, endpoint: str) -> Iterator[ModelVersion]:
        """Every model version by rising number, read a page at a time."""
        return self._pages(ModelVersion, f"{endpoint}/models")

    def evidence(self, name: str) -> GateReport:
        return _read(GateReport, self._send("GET", f"{_path(name)}/evidence"))

    def add_evidence(self, name: str, report: GateReport) -> ModelVersion:
        body = {"report": report.model_dump(mode="json")}
        return _read(ModelVersion, self._send("POST", f"{_path(name)}/evidence", body=body))

    def override(self, name: str, checks: Sequence[str], *, reason: str, expires_at: str) -> ModelVersion:
        body = {"checks": list(checks), "reason": reason, "expires_at": expires_at}
        return _read(ModelVersion, self._send("POST", f"{_path(name)}/override", body=body))

    def approve(self, name: str, *, reason: str) -> ModelVersion:
        return self._decide(name, "approve", reason)

    def reject(self, name: str, *, reason: str) -> ModelVersion:
        return self._decide(name, "reject", reason)

    def retire(self, name: str, *, reason: str) -> ModelVersion:
        return self._decide(name, "retire", reason)

    # -- routes --

    def current_route(self, endpoint: str) -> Route:
        return _read(Route, self._send("GET", f"{endpoint}/route"))

    def routes(self, endpoint: str, *, after: int = 0) -> Iterator[Route]:
        """Every route after a number, by rising number, read a page at a time."""
        return self._pages(Route, f"{endpoint}/routes", after)

    def route_at(self, endpoint: str, time: str) -> Route:
        return _read(Route, self._send("GET", f"{endpoint}/at", query={"time": time}))

    def set_route(
        self,
        endpoint: str,
        arms: Sequence[Arm],
        *,
        reason: str,
        expected: int | None = None,
        holdout_bp: int | None = None,
    ) -> Route:
        """Make these arms the route; ``expected`` is the number of the route they follow, where that matters.

        Without a ``holdout_bp`` the holdout stays as it is.
        """
        body = {
            "arms": [arm.model_dump(mode="json") for arm in arms],
            "reason": reason,
            "expected": expected,
            "holdout_bp": holdout_bp,
        }
        return _read(Route, self._send("PUT", f"{endpoint}/route", body=body))

    def add_shadow(self, endpoint: str, model: str, *, reason: str) -> Route:
        """Put a shadow on the route, which stays as it is otherwise."""
        body = {"model": model, "reason": reason}
        return _read(Route, self._send("POST", f"{endpoint}/shadows", body=body))

    def remove_shadow(self, endpoint: str, model: str, *, reason: str) -> Route:
        body = {"model": model, "reason": reason}
        return _read(Route, self._send("POST", f"{endpoint}/shadows/remove", body=body))

    # -- rollouts --

    def rollout(self, endpoint: str) -> Route:
        """The route that carries the endpoint's rollout. Raises ``NotFound`` where none is running."""
        return _read(Route, self._send("GET", f"{endpoint}/rollout"))

    def start_rollout(
        self,
        endpoint: str,
        model: str,
        *,
        steps_bp: Sequence[int],
        bake_seconds: int,
        guards: Guards,
        reason: str,
    ) -> Route:
        body = {
            "model": model,
            "steps_bp": list(steps_bp),
            "bake_seconds": bake_seconds,
            "guards": guards.model_dump(mode="json"),
            "reason": reason,
        }
        return _read(Route, self._send("POST", f"{endpoint}/rollout", body=body))

    def pause_rollout(self, endpoint: str, *, reason: str) -> Route:
        return self._move_rollout(endpoint, "pause", reason)

    def resume_rollout(self, endpoint: str, *, reason: str) -> Route:
        return self._move_rollout(endpoint, "resume", reason)

    def abort_rollout(self, endpoint: str, *, reason: str) -> Route:
        return self._move_rollout(endpoint, "abort", reason)

    def decide_rollout(self, endpoint: str, *, expected: int, look: Look) -> Route:
        """Do what a look at the route of that number came to; returns the route that is current then."""
        body = {"expected": expected, "look": look.model_dump(mode="json")}
        return _read(Route, self._send("POST", f"{endpoint}/rollout/decision", body=body))

    # -- experiments --

    def experiment(self, endpoint: str) -> Route:
        """The route that carries the endpoint's experiment. Raises ``NotFound`` where none is running."""
        return _read(Route, self._send("GET", f"{endpoint}/experiment"))

    def start_experiment(
        self,
        endpoint: str,
        challenger: str,
        *,
        share_bp: int,
        holdout_bp: int | None,
        terms: TermsWanted,
        reason: str,
    ) -> Route:
        body = {
            "challenger": challenger,
            "share_bp": share_bp,
            "holdout_bp": holdout_bp,
            "terms": terms.model_dump(mode="json"),
            "reason": reason,
        }
        return _read(Route, self._send("POST", f"{endpoint}/experiment/start", body=body))

    def stop_experiment(self, endpoint: str, conclusion: Conclusion | None, *, reason: str) -> Route:
        body = {"conclusion": _plain(conclusion), "reason": reason}
        return _read(Route, self._send("POST", f"{endpoint}/experiment/stop", body=body))

    def promote_challenger(
        self, endpoint: str, conclusion: Conclusion | None, *, override: bool, reason: str
    ) -> Route:
        body = {"conclusion": _plain(conclusion), "override": override, "reason": reason}
        return _read(Route, self._send("POST", f"{endpoint}/experiment/promote", body=body))

    # -- the record --

    def history(self, endpoint: str) -> Iterator[Entry]:
        return self._pages(Entry, f"{endpoint}/history")

    # -- how it is asked --

    def _decide(self, name: str, decision: str, reason: str) -> ModelVersion:
        return _read(ModelVersion, self._send("POST", f"{_path(name)}/{decision}", body={"reason": reason}))

    def _move_rollout(self, endpoint: str, move: str, reason: str) -> Route:
        return _read(Route, self._send("POST", f"{endpoint}/rollout/{move}", body={"reason": reason}))

    def _pages(self, kind: type[Numbered], path: str, after: int = 0) -> Iterator[Numbered]:
        while items := self._send("GET", path, query={"after": after, "limit": _PAGE})["items"]:
            page = [_read(kind, item) for item in items]
            yield from page
            after = page[-1].number

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        data = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        answer = self._api.request(method, f"/v1/registry/{path}", query=query, body=data)
        if answer.status != HTTPStatus.OK:
            raise _refusal(answer)
        return answer.content


def _plain(document: BaseModel | None) -> Any:
    return None if document is None else document.model_dump(mode="json")


def _path(name: str) -> str:
    """``card-fraud@12`` as the API's path has it. Raises ``NotFound`` for what is no name."""
    parts = MODEL_NAME.fullmatch(name)
    if parts is None:
        raise NotFound(f"There is no model version {name}.")
    return f"{parts[1]}/models/{parts[2]}"


def _read(kind: type[Document], content: Any) -> Document:
    try:
        return kind.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise Unavailable(f"The registry's API answered with no {kind.__name__}.") from error


def _refusal(answer: ApiAnswer) -> QuicksilverError:
    problem = answer.content if isinstance(answer.content, dict) else {}
    detail = str(problem.get("detail") or f"The registry's API answered with status {answer.status}.")
    fields = [FieldError(str(item["field"]), str(item["reason"])) for item in problem.get("errors", ())]
    match answer.status:
        case HTTPStatus.NOT_FOUND:
            return NotFound(detail)
        case HTTPStatus.CONFLICT:
            return NotAllowed(detail, fields)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return NotAllowed(detail)
        case status if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Unavailable(detail)
        case _:
            return InvalidInput(detail, fields)
