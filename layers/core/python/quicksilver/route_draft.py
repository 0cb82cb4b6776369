"""A route before it is one: what a person, a rollout or an experiment wants it to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from quicksilver.contract import contract_field_errors
from quicksilver.errors import InvalidRoute, NotAllowed
from quicksilver.experiment_plan import Experiment
from quicksilver.model_version import ModelVersion
from quicksilver.rollout_plan import Rollout
from quicksilver.routing import FULL_SHARE_BP, Arm, Role, Route, sole_champion


@dataclass(frozen=True, slots=True)
class RouteDraft:
    """What a route will be, but for what the registry itself gives it.

    Without a ``salt`` of its own it has the endpoint's, which never changes, so that an entity keeps its place.
    ``details`` go into the history beside the route.
    """

    arms: tuple[Arm, ...]
    salt: str | None = None
    holdout_bp: int = 0
    rollout: Rollout | None = None
    experiment: Experiment | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def route(self, endpoint: str, number: int, *, author: str, created_at: str) -> Route:
        """The route of that number. Raises ``InvalidRoute`` naming what makes no route of it."""
        try:
            return Route(
                endpoint=endpoint,
                number=number,
                salt=self.salt or f"{endpoint}/route",
                holdout_bp=self.holdout_bp,
                arms=self.arms,
                rollout=self.rollout,
                experiment=self.experiment,
                author=author,
                created_at=created_at,
            )
        except ValidationError as error:
            raise InvalidRoute("The arms do not make a route.", contract_field_errors(error)) from None


def moved_by(route: Route) -> str | None:
    """What moves a route, in words; none where only people do."""
    if route.rollout:
        return f"The rollout of {route.rollout.model}"
    return f"The experiment with {route.experiment.challenger}" if route.experiment else None


def free_champion(endpoint: str, current: Route | None) -> Arm:
    """The champion of a route on which a rollout or an experiment may start. Raises ``NotAllowed`` with the reason."""
    if current is None:
        raise NotAllowed(f"{endpoint} has no champion yet to compare another with; set its route.")
    if moving := moved_by(current):
        raise NotAllowed(f"{moving} moves the route of {endpoint}; end it first.")
    if others := [arm.model for arm in current.answering if arm.role is not Role.CHAMPION]:
        raise NotAllowed(
            f"{', '.join(others)} answers on {endpoint} beside the champion; set its route first."
        )
    return current.champion


def beside_champion(current: Route, arm: Arm) -> tuple[Arm, ...]:
    """The champion and an arm that has its share from it; the shadows stay."""
    champion = current.champion.model_copy(update={"share_bp": FULL_SHARE_BP - arm.share_bp})
    return (champion, arm, *current.shadows)


def champion_alone(current: Route) -> tuple[Arm, ...]:
    """The champion for everyone; the shadows stay."""
    return (current.champion.model_copy(update={"share_bp": FULL_SHARE_BP}), *current.shadows)


def crowned(current: Route, model: ModelVersion) -> tuple[Arm, ...]:
    """A model version as the champion, for everyone. A shadow of the same would only repeat what it answers."""
    return (sole_champion(model), *(arm for arm in current.shadows if arm.model != model.name))
