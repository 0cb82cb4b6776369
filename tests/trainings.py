"""A small world to learn from, and the training run of a champion in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quicksilver.history import Action, Entry
from quicksilver.instants import utc_iso
from quicksilver.memory import MemoryArtifactStore, MemoryObjectStore, MemoryRegistryStore
from quicksilver.model_version import ModelVersion
from quicksilver.package import Package
from quicksilver.ports import Change
from quicksilver.retraining.training_run import TrainingRun

ROWS = 4_000


def world(
    count: int = ROWS, seed: int = 5, *, turned: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Vectors and labels of the usual contract. In a turned world what was bad is good."""
    rng = np.random.default_rng(seed)
    vectors = np.column_stack(
        [
            rng.exponential(80, count),
            rng.integers(0, 3, count),
            rng.integers(0, 2, count),
            rng.poisson(2, count),
            rng.exponential(60, count),
            rng.beta(2, 40, count),
        ]
    ).astype(float)
    vectors[:, 4:6][rng.random((count, 2)) < 0.1] = np.nan
    signal = vectors[:, 0] / 80 + vectors[:, 3] / 2 + (vectors[:, 1] == 1)
    if turned:
        signal = 6 - signal
    return vectors, signal + rng.normal(size=count) > 3.5


def registry_of(champion: Package) -> MemoryRegistryStore:
    """A registry whose first model version is this package."""
    store, endpoint, at = MemoryRegistryStore(), champion.contract.endpoint, utc_iso(0)
    head = store.head(endpoint)
    model = ModelVersion(
        endpoint=endpoint,
        number=1,
        package_sha256=champion.sha256,
        fingerprint=champion.contract.fingerprint,
        author="ada",
        registered_at=at,
    )
    entry = Entry(
        endpoint=endpoint,
        number=1,
        previous_sha256=head.sha256,
        action=Action.REGISTERED,
        subject=model.name,
        who="ada",
        at=at,
    )
    store.commit(Change(head, head.next(entry, models=1), entry, model))
    return store


def run_of(champion: Package, objects: MemoryObjectStore) -> TrainingRun:
    """The training run of a stage with one model version."""
    artifacts = MemoryArtifactStore()
    artifacts.put(champion.sha256, champion.files)
    return TrainingRun(objects, registry_of(champion), artifacts, threads=1)
