"""The registry: which model versions exist, and which of them answers.

Rules live here; ``RegistryStore`` only knows how to write conditionally. Registering the same bytes
twice gives the same model version; a number is given once; a route follows the one its writer read.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from quicksilver.contract import contract_field_errors
from quicksilver.errors import Conflict, FieldError, InvalidPackage, InvalidRoute, NotFound
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.instants import utc_iso
from quicksilver.model_version import MODEL_NAME, ModelVersion
from quicksilver.package import Package, check_model
from quicksilver.ports import ArtifactStore, Clock, RegistryStore
from quicksilver.routing import FULL_SHARE_BP, Arm, Role, Route

_ATTEMPTS = 20
"""Writers that lose a race read again; a winner exists in each round, so 20 rounds outlast 20 rivals."""


class Registry:
    """Model versions and routes of every endpoint."""

    def __init__(self, store: RegistryStore, artifacts: ArtifactStore, clock: Clock) -> None:
        self._store = store
        self._artifacts = artifacts
        self._clock = clock

    def register(self, package: Package, *, endpoint: str, author: str) -> ModelVersion:
        """Give a package its number.

        The artefact is stored before the number is given: a model version never names bytes that
        are not there. Raises ``InvalidPackage`` where the model does not give its golden rows or
        belongs to another endpoint, ``Conflict`` after losing 20 races in a row.
        """
        if package.contract.endpoint != endpoint:
            raise InvalidPackage(
                f"The package is not for {endpoint}.",
                [FieldError("endpoint", f"is {package.contract.endpoint} in the contract")],
            )
        known = self._store.model_version_of_package(endpoint, package.sha256)
        if known is not None:
            return known
        check_model(package, LightGBMEvaluator(package.model_text))
        self._artifacts.put(package.sha256, package.files)
        for _ in range(_ATTEMPTS):
            model_version = ModelVersion(
                endpoint=endpoint,
                number=self._store.latest_model_number(endpoint) + 1,
                package_sha256=package.sha256,
                fingerprint=package.contract.fingerprint,
                author=author,
                registered_at=utc_iso(self._clock.now_ms()),
            )
            try:
                self._store.add_model_version(model_version)
            except Conflict:
                known = self._store.model_version_of_package(endpoint, package.sha256)
                if known is not None:
                    return known
            else:
                return model_version
        raise Conflict(f"Too many writers are registering model versions of {endpoint}; try again.")

    def model_version(self, name: str) -> ModelVersion:
        """A model version by its name, ``card-fraud@12``. Raises ``NotFound``."""
        parts = MODEL_NAME.fullmatch(name)
        found = self._store.model_version(parts[1], int(parts[2])) if parts else None
        if found is None:
            raise NotFound(f"There is no model version {name}.")
        return found

    def model_versions(self, endpoint: str) -> Sequence[ModelVersion]:
        return tuple(self._store.model_versions(endpoint))

    def current_route(self, endpoint: str) -> Route:
        """The endpoint's route now. Raises ``NotFound`` before the first one."""
        route = self._store.current_route(endpoint)
        if route is None:
            raise NotFound(f"The endpoint {endpoint} has no route yet: make a model version its champion.")
        return route

    def routes(self, endpoint: str) -> Sequence[Route]:
        return tuple(self._store.routes(endpoint))

    def set_champion(self, name: str, *, author: str) -> Route:
        """A route on which one model version answers for every entity.

        Raises ``NotFound`` for a model version that is not registered and ``Conflict`` where the
        route changed since it was read.
        """
        model_version = self.model_version(name)
        return self.set_route(
            model_version.endpoint,
            [
                Arm(
                    model=model_version.name,
                    package_sha256=model_version.package_sha256,
                    role=Role.CHAMPION,
                    share_bp=FULL_SHARE_BP,
                )
            ],
            author=author,
        )

    def set_route(self, endpoint: str, arms: Sequence[Arm], *, author: str) -> Route:
        """Make these arms the endpoint's route, under the next number.

        The salt is the endpoint's own and never changes, so an entity keeps its place from route to
        route. Raises ``InvalidRoute`` naming the reason, or ``Conflict``.
        """
        current = self._store.current_route(endpoint)
        try:
            route = Route(
                endpoint=endpoint,
                number=current.number + 1 if current else 1,
                salt=current.salt if current else f"{endpoint}/route",
                arms=tuple(arms),
                author=author,
                created_at=utc_iso(self._clock.now_ms()),
            )
        except ValidationError as error:
            raise InvalidRoute("The arms do not make a route.", contract_field_errors(error)) from None
        for arm in route.arms:
            if self.model_version(arm.model).package_sha256 != arm.package_sha256:
                raise InvalidRoute(
                    "The arms do not make a route.",
                    [FieldError(arm.model, "is registered with another SHA-256")],
                )
        self._store.add_route(route)
        return route
