"""What a route must be before the registry makes it: arms that may answer, for callers as they are today."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from quicksilver.contract import Contract
from quicksilver.contract_mapping import unmappable
from quicksilver.errors import FieldError, InvalidRoute, NotAllowed
from quicksilver.gates.compatibility import compatibility_checks
from quicksilver.gates.report import Outcome
from quicksilver.model_version import ModelVersion, State
from quicksilver.package import read_contract
from quicksilver.ports import ArtifactStore
from quicksilver.routing import Arm, Role, Route


class RouteRules:
    """Judges the arms of a route. ``find`` gives a model version by its name, or raises ``NotFound``."""

    def __init__(self, find: Callable[[str], ModelVersion], artifacts: ArtifactStore) -> None:
        self._find = find
        self._artifacts = artifacts

    def check(self, route: Route, current: Route | None, now: str) -> None:
        """Raises ``InvalidRoute`` naming every arm that may not be on the route, and why, and ``NotAllowed`` where an
        override has expired at ``now`` (UTC ISO-8601).

        An arm that the current route has, and that gets no more by this one, is not judged anew: what is wrong with one
        arm must not keep another from being taken off.

        Contracts are compared for the arms that answer beside the champion. The champion itself may have any: its
        contract is the one that callers must follow, and what they must change is in the gate report its approver saw. A
        shadow refuses nobody, but must be scored from the vectors of whichever arm answers. What the ``current`` route says
        of shadows is not looked at again: they must not hold up who takes a canary back.
        """
        new = [arm for arm in route.arms if not (current and _is_kept(arm, current))]
        # Where the champion is another, every arm must suit its callers.
        compared = route.arms if route.champion in new else new
        models = {arm.model: self._find(arm.model) for arm in (*compared, route.champion)}
        refused = [field for arm in new for field in _may_not_answer(arm, models[arm.model])]
        if not refused:
            champion = models[route.champion.model]
            beside = [models[arm.model] for arm in compared if arm.role not in (Role.CHAMPION, Role.SHADOW)]
            refused = [field for model in beside for field in self._refuses_callers(model, champion)]
        if refused:
            raise InvalidRoute("The arms do not make a route.", refused)
        for arm in new:
            check_override(models[arm.model], now)
        known = set(_shadow_pairs(current)) if current else set()
        for answering, shadow in _shadow_pairs(route):
            if (answering, shadow) not in known:
                self._feeds(self._find(answering), self._find(shadow))

    def _feeds(self, answering: ModelVersion, shadow: ModelVersion) -> None:
        if answering.fingerprint == shadow.fingerprint:
            return
        if errors := unmappable(self._contract(answering), self._contract(shadow)):
            raise InvalidRoute(
                f"{shadow.name} cannot be a shadow: {answering.name} answers by a contract that does not give what it needs.",
                errors,
            )

    def _refuses_callers(self, model: ModelVersion, champion: ModelVersion) -> Iterator[FieldError]:
        if model.fingerprint == champion.fingerprint:
            return
        for check in compatibility_checks(self._contract(model), self._contract(champion)):
            if check.outcome is Outcome.FAIL:
                yield FieldError(f"{model.name}.{check.name}", check.sentence)

    def _contract(self, model: ModelVersion) -> Contract:
        def read(name: str) -> bytes:
            return self._artifacts.get(model.package_sha256, name)

        return read_contract(read, model.fingerprint, of=model.name)


def _shadow_pairs(route: Route) -> list[tuple[str, str]]:
    """Each answering model version with each shadow that is to be scored from its vectors."""
    return [(arm.model, shadow.model) for arm in route.answering for shadow in route.shadows]


def check_override(model: ModelVersion, now: str) -> None:
    """Raises ``NotAllowed`` where failed checks stand in the way again."""
    if model.override and model.override.expires_at <= now:
        raise NotAllowed(f"The override of {model.name} expired at {model.override.expires_at}.")


def _is_kept(arm: Arm, current: Route) -> bool:
    """Whether the current route has this arm, by the same role and with no smaller share; the champion has what is left."""
    return any(
        (arm.model, arm.package_sha256, arm.role) == (other.model, other.package_sha256, other.role)
        and (arm.role is Role.CHAMPION or arm.share_bp <= other.share_bp)
        for other in current.arms
    )


def _may_not_answer(arm: Arm, model: ModelVersion) -> Iterator[FieldError]:
    allowed = (State.APPROVED, State.GATED) if arm.role is Role.SHADOW else (State.APPROVED,)
    if model.state not in allowed:
        needed = " or ".join(state.value for state in allowed)
        yield FieldError(arm.model, f"is {model.state.value}; a {arm.role.value} must be {needed}")
    elif model.package_sha256 != arm.package_sha256:
        yield FieldError(arm.model, "is registered with another SHA-256")
