"""The AUC that a model version had at training, out of its package."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from quicksilver.errors import InvalidInput, NotFound
from quicksilver.package import METRICS, open_package
from quicksilver.ports import ArtifactStore, RegistryStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReferenceAuc:
    """Asks the registry for a model version's package, and the package for its metrics."""

    registry: RegistryStore
    artifacts: ArtifactStore

    def __call__(self, model: str) -> float | None:
        """None where the model version or its package is not there or not valid, or does not say it.

        Raises ``Unavailable`` where nobody can tell for now.
        """
        endpoint, _, number = model.rpartition("@")
        version = self.registry.model_version(endpoint, int(number))
        if version is None:
            return None
        sha256 = version.package_sha256
        try:
            package = open_package(lambda name: self.artifacts.get(sha256, name), sha256, only=[METRICS])
            auc = package.metrics.get("auc")
        except (InvalidInput, NotFound) as error:
            logger.warning("%s has no metrics that can be read: %s", model, error)
            return None
        return auc if auc is not None and 0 <= auc <= 1 else None
