"""Rollouts as the registry keeps them: every change of one is a new route, and there is no other state.

A route's number is what a decision was made on, so of two decisions on one route only the first is made, and what
a process that was killed had not decided is decided by the next one. The evidence is in the rollup, for anybody to
recompute; the history has it as it was at each decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from quicksilver.contract import contract_field_errors
from quicksilver.errors import FieldError, InvalidRoute, NotAllowed, NotFound
from quicksilver.guard_policy import Guards
from quicksilver.history import Action, Entry, Head
from quicksilver.model_version import ModelVersion
from quicksilver.registry import Registry
from quicksilver.registry_commit import Decision
from quicksilver.rollout.look import Look, Verdict
from quicksilver.rollout_plan import Rollout
from quicksilver.route_draft import RouteDraft, beside_champion, champion_alone, crowned, free_champion
from quicksilver.routing import Arm, Role, Route

NEWS_PAGE = 100
"""How many entries of the history are searched for what was said at a step."""


class Move(StrEnum):
    """What a route of a rollout did to it; the history has it beside the route."""

    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    ABORTED = "aborted"
    ADVANCED = "advanced"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"


_MOVES = {
    Verdict.ADVANCE: Move.ADVANCED,
    Verdict.COMPLETE: Move.COMPLETED,
    Verdict.ROLL_BACK: Move.ROLLED_BACK,
}


class Rollouts:
    """The rollouts of a registry's endpoints, one at a time on each. ``who`` is always the caller's IAM identity."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def current(self, endpoint: str) -> Route:
        """The route that carries the endpoint's rollout. Raises ``NotFound`` where none is running."""
        route = self._registry.current_route(endpoint)
        if route.rollout is None:
            raise NotFound(f"No rollout is running on {endpoint}.")
        return route

    def start(
        self,
        endpoint: str,
        model: str,
        *,
        steps_bp: Sequence[int],
        bake_seconds: int,
        guards: Guards,
        reason: str,
        who: str,
    ) -> Route:
        """Give an approved model version its first share. Raises ``NotAllowed``, ``InvalidRoute`` or ``NotFound``."""
        canary = self._registry.model_version(model)
        if canary.endpoint != endpoint:
            raise InvalidRoute(
                "The rollout cannot start.",
                [FieldError("model", f"{model} is not a model version of {endpoint}")],
            )

        def draft(current: Route | None, number: int, now: str) -> RouteDraft:
            champion = free_champion(endpoint, current)
            if champion.model == model:
                raise InvalidRoute(
                    "The rollout cannot start.", [FieldError("model", f"{model} is the champion already")]
                )
            rollout = _planned(
                number=number,
                model=model,
                steps_bp=tuple(steps_bp),
                bake_seconds=bake_seconds,
                guards=guards,
                started_at=now,
                step_at=now,
            )
            assert current is not None  # noqa: S101 - it has a champion
            return _draft(current, rollout, _split(current, canary, rollout.share_bp), Move.STARTED)

        return self._registry.change_route(endpoint, draft, reason=reason, who=who)

    def pause(self, endpoint: str, *, reason: str, who: str) -> Route:
        """Let the share grow no further until a person resumes; a look that rolls back still does."""

        def change(current: Route, rollout: Rollout, _: str) -> RouteDraft:
            if rollout.paused:
                raise NotAllowed(f"The rollout of {rollout.model} is paused already.")
            return _draft(current, rollout.model_copy(update={"paused": True}), current.arms, Move.PAUSED)

        return self._change(endpoint, change, reason=reason, who=who)

    def resume(self, endpoint: str, *, reason: str, who: str) -> Route:
        """Let the share grow again."""

        def change(current: Route, rollout: Rollout, _: str) -> RouteDraft:
            if not rollout.paused:
                raise NotAllowed(f"The rollout of {rollout.model} is not paused.")
            return _draft(current, rollout.model_copy(update={"paused": False}), current.arms, Move.RESUMED)

        return self._change(endpoint, change, reason=reason, who=who)

    def abort(self, endpoint: str, *, reason: str, who: str) -> Route:
        """Give every entity back to the champion, by one write and whatever has become of the canary."""

        def change(current: Route, _: Rollout, __: str) -> RouteDraft:
            return _draft(current, None, champion_alone(current), Move.ABORTED)

        return self._change(endpoint, change, reason=reason, who=who)

    def decide(self, endpoint: str, expected: int, look: Look, *, who: str) -> Route:
        """Do what a look at the route of that number came to; returns the route that is current then.

        A hold leaves the route as it is, and an entry in the history where it is news (``is_news``). Raises
        ``NotAllowed`` where another route is current and for what the plan does not say, and ``NotFound``.
        """
        if look.verdict is Verdict.HOLD:
            return self._hold(endpoint, expected, look, who=who)

        def change(current: Route, rollout: Rollout, now: str) -> RouteDraft:
            move = _MOVES[look.verdict]
            if move is Move.ROLLED_BACK:
                return _draft(current, None, champion_alone(current), move, look)
            _may_move_on(rollout, look)
            canary = self._registry.model_version(rollout.model)
            if move is Move.COMPLETED:
                return _draft(current, None, crowned(current, canary), move, look)
            following = rollout.advanced(now)
            return _draft(current, following, _split(current, canary, following.share_bp), move, look)

        return self._change(endpoint, change, reason=look.reason, who=who, expected=expected)

    def _hold(self, endpoint: str, expected: int, look: Look, *, who: str) -> Route:
        def decide(head: Head, _: str) -> Decision:
            if expected != head.route:
                raise NotAllowed(f"The route of {endpoint} is {head.route} now, not {expected}; look again.")
            current = self.current(endpoint)
            entries = self._registry.history(
                endpoint, after=max(0, head.history - NEWS_PAGE), limit=NEWS_PAGE
            )
            if not is_news(look, entries):
                raise _SaidAlready
            assert current.rollout is not None  # noqa: S101 - what ``current`` is about
            number = current.rollout.number
            return Decision(Action.JUDGED, f"rollout {number}", look.reason, _details(number, None, look))

        with suppress(_SaidAlready):
            self._registry.note(endpoint, decide, who=who)
        return self._registry.current_route(endpoint)

    def _change(
        self,
        endpoint: str,
        change: Callable[[Route, Rollout, str], RouteDraft],
        *,
        reason: str,
        who: str,
        expected: int | None = None,
    ) -> Route:
        def draft(current: Route | None, _: int, now: str) -> RouteDraft:
            if current is None or current.rollout is None:
                raise NotFound(f"No rollout is running on {endpoint}.")
            return change(current, current.rollout, now)

        return self._registry.change_route(endpoint, draft, reason=reason, who=who, expected=expected)


class _SaidAlready(Exception):
    """Raised by the rule of a hold that says nothing new."""


def is_news(look: Look, entries: Iterable[Entry]) -> bool:
    """Whether a hold says what no entry since the last route said: of some guard, an outcome it has not had there.

    So the entries of a step are no more than its guards have outcomes, however long it bakes.
    """
    said: set[tuple[str, str]] = set()
    silent = True
    for entry in entries:
        if entry.action is Action.ROUTED:
            said, silent = set(), True
        elif entry.action is Action.JUDGED:
            silent = False
            said |= {
                (guard["name"], guard["outcome"]) for guard in entry.details["rollout"]["look"]["guards"]
            }
    return silent or not {(guard.name, str(guard.outcome)) for guard in look.guards} <= said


# -- rules --


def _planned(**plan: Any) -> Rollout:
    try:
        return Rollout(**plan)
    except ValidationError as error:
        fields = [
            FieldError("steps_bp" if field.field == "(whole)" else field.field, field.reason)
            for field in contract_field_errors(error)
        ]
        raise InvalidRoute("The rollout cannot start.", fields) from None


def _may_move_on(rollout: Rollout, look: Look) -> None:
    if rollout.paused:
        raise NotAllowed(f"The rollout of {rollout.model} is paused; resume it first.")
    if look.baked_seconds < rollout.bake_seconds:
        raise NotAllowed(
            f"The step of {rollout.model} has baked {look.baked_seconds} s of {rollout.bake_seconds} s."
        )
    if rollout.completes_next != (look.verdict is Verdict.COMPLETE):
        raise NotAllowed(
            f"The rollout of {rollout.model} is at {rollout.share_bp / 100:g} %; "
            f"what follows is {rollout.next_share_bp / 100:g} %."
        )


# -- the arms of the next route; what shadows there are stay --


def _draft(
    current: Route, rollout: Rollout | None, arms: Sequence[Arm], move: Move, look: Look | None = None
) -> RouteDraft:
    following = rollout or current.rollout
    assert following is not None  # noqa: S101 - a rollout starts, goes on or ends
    return RouteDraft(
        tuple(arms),
        salt=current.salt,
        holdout_bp=current.holdout_bp,
        rollout=rollout,
        details=_details(following.number, move, look),
    )


def _details(number: int, move: Move | None, look: Look | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"number": number}
    if move:
        facts["move"] = move.value
    if look:
        facts["look"] = look.model_dump(mode="json")
    return {"rollout": facts}


def _split(current: Route, canary: ModelVersion, share_bp: int) -> tuple[Arm, ...]:
    """Champion and canary, so that the canary has a share."""
    arm = Arm(model=canary.name, package_sha256=canary.package_sha256, role=Role.CANARY, share_bp=share_bp)
    return beside_champion(current, arm)
