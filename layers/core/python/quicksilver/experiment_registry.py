"""Experiments as the registry keeps them: an experiment is a route that carries it, and there is no other state.

It has a salt of its own, so that who sees the challenger has nothing to do with who saw an earlier canary or challenger.
The registry does not read the archive: what a report concludes is claimed by whoever ends the experiment and written
into the history beside their name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from quicksilver.contract import contract_field_errors
from quicksilver.errors import FieldError, InvalidRoute, NotAllowed, NotFound
from quicksilver.experiment_plan import Conclusion, Experiment, TermsWanted, Verdict
from quicksilver.registry import Registry
from quicksilver.route_draft import RouteDraft, beside_champion, champion_alone, crowned, free_champion
from quicksilver.routing import FULL_SHARE_BP, Arm, Role, Route


class Move(StrEnum):
    """What a route did to an experiment; the history has it beside the route."""

    STARTED = "started"
    STOPPED = "stopped"
    PROMOTED = "promoted"


class Experiments:
    """The experiments of a registry's endpoints, one at a time on each. ``who`` is always the caller's IAM identity."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def current(self, endpoint: str) -> Route:
        """The route that carries the endpoint's experiment. Raises ``NotFound`` where none is running."""
        route = self._registry.current_route(endpoint)
        if route.experiment is None:
            raise NotFound(f"No experiment is running on {endpoint}.")
        return route

    def start(
        self,
        endpoint: str,
        challenger: str,
        *,
        share_bp: int,
        holdout_bp: int | None = None,
        terms: TermsWanted,
        reason: str,
        who: str,
    ) -> Route:
        """Give an approved challenger a share of the entities outside the holdout, to be judged by these terms.

        The cut-off is that of the policy in force. Without a ``holdout_bp`` the route's own stays. Raises ``NotAllowed``, ``InvalidRoute`` or ``NotFound``.
        """
        model = self._registry.model_version(challenger)
        if model.endpoint != endpoint:
            raise _refusal("challenger", f"{challenger} is not a model version of {endpoint}")
        cutoff = self._registry.policy(endpoint).cutoff

        def draft(current: Route | None, number: int, now: str) -> RouteDraft:
            champion = free_champion(endpoint, current)
            assert current is not None  # noqa: S101 - it has a champion
            if champion.model == challenger:
                raise _refusal("challenger", f"{challenger} is the champion already")
            held_out = current.holdout_bp if holdout_bp is None else holdout_bp
            if held_out >= FULL_SHARE_BP:
                raise _refusal("holdout_bp", "leaves no entity to compare")
            try:
                experiment = Experiment(
                    number=number,
                    challenger=challenger,
                    share_bp=share_bp,
                    started_at=now,
                    terms=terms.at(cutoff),
                )
            except ValidationError as error:
                raise InvalidRoute("The experiment cannot start.", contract_field_errors(error)) from None
            arm = Arm(
                model=challenger, package_sha256=model.package_sha256, role=Role.CHALLENGER, share_bp=share_bp
            )
            return RouteDraft(
                beside_champion(current, arm),
                salt=f"{endpoint}/experiment/{number}",
                holdout_bp=held_out,
                experiment=experiment,
                details={"experiment": {"number": number, "move": Move.STARTED.value}},
            )

        return self._registry.change_route(endpoint, draft, reason=reason, who=who)

    def stop(self, endpoint: str, *, conclusion: Conclusion | None = None, reason: str, who: str) -> Route:
        """Give every entity back to the champion. Needs no conclusion: an experiment can be stopped at any time."""

        def draft(current: Route | None, _: int, __: str) -> RouteDraft:
            route, experiment = _running(endpoint, current, conclusion)
            return RouteDraft(
                champion_alone(route),
                holdout_bp=route.holdout_bp,
                details=_details(experiment, Move.STOPPED, conclusion),
            )

        return self._registry.change_route(endpoint, draft, reason=reason, who=who)

    def promote(
        self,
        endpoint: str,
        *,
        conclusion: Conclusion | None = None,
        override: bool = False,
        reason: str,
        who: str,
    ) -> Route:
        """Make the challenger the champion. Without a conclusion that it won, only by an explicit override."""
        won = conclusion is not None and conclusion.verdict is Verdict.WIN

        def draft(current: Route | None, _: int, __: str) -> RouteDraft:
            route, experiment = _running(endpoint, current, conclusion)
            if not won and not override:
                claimed = (
                    "has no conclusion"
                    if conclusion is None
                    else f"is concluded as {conclusion.verdict.replace('_', ' ')}"
                )
                raise NotAllowed(
                    f"The experiment with {experiment.challenger} {claimed}; only a win is promoted.",
                    [FieldError("override", "must be given, with the reason, to promote it all the same")],
                )
            challenger = self._registry.model_version(experiment.challenger)
            return RouteDraft(
                crowned(route, challenger),
                holdout_bp=route.holdout_bp,
                details=_details(experiment, Move.PROMOTED, conclusion, override=override and not won),
            )

        return self._registry.change_route(endpoint, draft, reason=reason, who=who)


# -- rules --


def _running(endpoint: str, current: Route | None, conclusion: Conclusion | None) -> tuple[Route, Experiment]:
    if current is None or current.experiment is None:
        raise NotFound(f"No experiment is running on {endpoint}.")
    experiment = current.experiment
    if conclusion and conclusion.experiment != experiment.number:
        raise NotAllowed(
            f"The conclusion is of experiment {conclusion.experiment}, and {experiment.number} is running.",
            [FieldError("conclusion.experiment", f"must be {experiment.number}")],
        )
    return current, experiment


def _details(
    experiment: Experiment, move: Move, conclusion: Conclusion | None, *, override: bool = False
) -> dict[str, Any]:
    claimed = None if conclusion is None else conclusion.model_dump(mode="json")
    facts = {"number": experiment.number, "move": move.value, "conclusion": claimed, "override": override}
    return {"experiment": facts}


def _refusal(field: str, reason: str) -> InvalidRoute:
    return InvalidRoute("The experiment cannot start.", [FieldError(field, reason)])
