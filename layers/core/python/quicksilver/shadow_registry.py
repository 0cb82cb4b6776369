"""Shadows on a route: added and removed while everything else of it, a rollout or an experiment too, goes on."""

from __future__ import annotations

from quicksilver.errors import NotAllowed, NotFound
from quicksilver.registry import Registry
from quicksilver.route_draft import RouteDraft
from quicksilver.routing import Arm, Role, Route


def add_shadow(registry: Registry, endpoint: str, model: str, *, reason: str, who: str) -> Route:
    """Put a gated or approved model version on the endpoint's route as a shadow.

    Raises ``NotFound``, ``NotAllowed`` where it is one already, and ``InvalidRoute``: naming features that the contract
    of some answering arm does not give, too.
    """
    package_sha256 = registry.model_version(model).package_sha256
    arm = Arm(model=model, package_sha256=package_sha256, role=Role.SHADOW, share_bp=0)

    def draft(current: Route | None, _: int, __: str) -> RouteDraft:
        route = _routed(current, endpoint)
        if arm in route.shadows:
            raise NotAllowed(f"{model} is a shadow of {endpoint} already.")
        return _draft(route, (*route.arms, arm))

    return registry.change_route(endpoint, draft, reason=reason, who=who)


def remove_shadow(registry: Registry, endpoint: str, model: str, *, reason: str, who: str) -> Route:
    """Take a shadow off the endpoint's route. Raises ``NotFound`` where it is none."""

    def draft(current: Route | None, _: int, __: str) -> RouteDraft:
        route = _routed(current, endpoint)
        others = tuple(arm for arm in route.arms if (arm.role, arm.model) != (Role.SHADOW, model))
        if others == route.arms:
            raise NotFound(f"{model} is no shadow of {endpoint}.")
        return _draft(route, others)

    return registry.change_route(endpoint, draft, reason=reason, who=who)


def _routed(current: Route | None, endpoint: str) -> Route:
    if current is None:
        raise NotFound(f"The endpoint {endpoint} has no route yet: make a model version its champion.")
    return current


def _draft(route: Route, arms: tuple[Arm, ...]) -> RouteDraft:
    return RouteDraft(
        arms,
        salt=route.salt,
        holdout_bp=route.holdout_bp,
        rollout=route.rollout,
        experiment=route.experiment,
    )
