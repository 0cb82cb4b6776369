"""What a model version's answers are counted by: its contract and its reference profile, out of its package."""

from __future__ import annotations

import logging

from quicksilver.drift.histogram_sql import Binning
from quicksilver.errors import InvalidInput, NotFound
from quicksilver.model_version import ModelName
from quicksilver.package import REFERENCE, open_package
from quicksilver.ports import ArtifactStore
from quicksilver.profile import check_profile

logger = logging.getLogger(__name__)


class ModelReader:
    """Reads the packages of one endpoint's model versions, each once. ``cutoff``: scores below it are approved."""

    def __init__(self, artifacts: ArtifactStore, cutoff: float) -> None:
        self._artifacts = artifacts
        self._cutoff = cutoff
        self._read: dict[tuple[str, str], Binning | None] = {}

    def binning(self, model: ModelName, package_sha256: str) -> Binning | None:
        """None where the package, its contract or its reference profile is absent or not valid.

        Raises ``Unavailable`` where nobody can tell for now.
        """
        key = (model, package_sha256)
        if key not in self._read:
            try:
                self._read[key] = self._binning(model, package_sha256)
            except (InvalidInput, NotFound) as error:
                logger.warning("%s has no reference profile that can be read: %s", model, error)
                self._read[key] = None
        return self._read[key]

    def _binning(self, model: ModelName, package_sha256: str) -> Binning:
        def read(name: str) -> bytes:
            return self._artifacts.get(package_sha256, name)

        package = open_package(read, package_sha256, only=[REFERENCE])
        check_profile(package.reference, package.contract)
        return Binning(model, package.contract, package.reference, self._cutoff)
