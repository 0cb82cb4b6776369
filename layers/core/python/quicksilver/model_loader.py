"""From an arm to a model version that is ready to score: bytes verified, the model fitted to its contract.

Who may be loaded depends on what for. An arm that answers needs a signed approval. A shadow answers nobody and may
be a model version that is only gated, so it needs to be the registered one and no more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from quicksilver.contract import Contract
from quicksilver.errors import ModelNotLoadable, QuicksilverError, Unavailable, whereabouts
from quicksilver.evaluator import Evaluator
from quicksilver.model_version import ModelVersion
from quicksilver.package import MODEL, open_package
from quicksilver.ports import ArtifactStore, RegistryStore, Signer
from quicksilver.routing import Arm

logger = logging.getLogger(__name__)

Permit = Callable[[Arm], None]
"""Raises ``ModelNotLoadable`` for an arm that may not be loaded."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version ready to score."""

    name: str
    package_sha256: str
    contract: Contract
    evaluator: Evaluator


class ModelLoader:
    """Loads arms' model versions."""

    def __init__(
        self, artifacts: ArtifactStore, load: Callable[[bytes], Evaluator], *, permit: Permit
    ) -> None:
        self._artifacts = artifacts
        self._load = load
        self._permit = permit

    def model(self, arm: Arm) -> LoadedModel:
        """The arm's model version. Raises ``ModelNotLoadable`` naming it, whatever went wrong."""

        def read(name: str) -> bytes:
            return self._artifacts.get(arm.package_sha256, name)

        try:
            self._permit(arm)
            package = open_package(read, arm.package_sha256, only=[MODEL])
            evaluator = self._load(package.model_text)
        except QuicksilverError as error:
            raise ModelNotLoadable(f"{arm.model} cannot be loaded: {error}", model=arm.model) from error
        except Exception as error:  # whatever it was, this model was not loaded
            logger.error("a model's loading failed", extra=whereabouts(error))
            raise ModelNotLoadable(
                f"{arm.model} cannot be loaded: {type(error).__name__}.", model=arm.model
            ) from error
        if evaluator.feature_names != package.contract.names:
            raise ModelNotLoadable(
                f"{arm.model} cannot be loaded: its contract does not fit its model.", model=arm.model
            )
        return LoadedModel(arm.model, arm.package_sha256, package.contract, evaluator)


def approved(registry: RegistryStore, signer: Signer) -> Permit:
    """Whoever answers is an approved model version, and the approval is signed for these very bytes."""

    def permit(arm: Arm) -> None:
        model = _model_version(registry, arm)
        approval = model.approval if model else None
        if (
            model is None
            or approval is None
            or (approval.number, approval.package_sha256) != (model.number, arm.package_sha256)
        ):
            raise ModelNotLoadable(f"{arm.model} is not approved.")
        if not signer.verify(approval.digest, approval.signature_bytes):
            raise ModelNotLoadable(f"the signature of {arm.model}'s approval does not verify.")

    return permit


def registered(registry: RegistryStore) -> Permit:
    """A shadow is the model version that is registered with these very bytes."""

    def permit(arm: Arm) -> None:
        model = _model_version(registry, arm)
        if model is None or model.package_sha256 != arm.package_sha256:
            raise ModelNotLoadable(f"{arm.model} is not registered with this SHA-256.")

    return permit


def is_outage(error: ModelNotLoadable) -> bool:
    """Whether a store or the key did not answer: the same again may work, and another model would not."""
    return type(error.__cause__) is Unavailable


def _model_version(registry: RegistryStore, arm: Arm) -> ModelVersion | None:
    endpoint, _, number = arm.model.rpartition("@")
    return registry.model_version(endpoint, int(number))
