"""An archive of prediction records for tests of the drift run, and the models that answered."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quicksilver.contract import Contract
from quicksilver.frame import Encoded
from quicksilver.memory import MemoryArtifactStore
from quicksilver.package import CONTRACT, MANIFEST, REFERENCE, REQUIRED_FILES, seal, sha256_hex
from quicksilver.prediction import PredictionRecord
from quicksilver.profile import ReferenceProfile
from quicksilver.profile_builder import build_profile
from quicksilver.query import OpenArchive, Span
from quicksilver.sql.engine import DuckDBEngine
from tests.archives import LinesArchive


def contract(*, default_channel: str | None = None, **changes: Any) -> Contract:
    """Four features, one of each type. With ``default_channel`` an unseen channel is taken for that one."""

    def feature(name: str, kind: str, missing: str, **more: Any) -> dict[str, Any]:
        said = {"reason_code": name.upper(), "reason": f"The {name} is unusual.", "source": "request"}
        return {"name": name, "type": kind, "missing": missing, **said, **more}

    policy = {"missing": "default", "default": default_channel} if default_channel else {"missing": "missing"}
    return Contract.model_validate(
        {
            "endpoint": "card-fraud",
            "features": [
                feature("amount", "number", "missing"),
                feature("channel", "category", **policy, categories=["pos", "online", "atm"]),
                feature("cross_border", "boolean", "default", default=False),
                feature("count", "integer", "missing"),
            ],
            **changes,
        }
    )


@dataclass(frozen=True)
class Reference:
    """What a model was trained on: vectors of shape (rows, 4) and their scores."""

    vectors: NDArray[np.float64]
    scores: NDArray[np.float64]

    @classmethod
    def drawn(cls, rows: int = 2_000, seed: int = 1) -> Reference:
        random = np.random.default_rng(seed)
        amount = random.exponential(80, rows)
        columns = [amount, random.integers(0, 3, rows), random.integers(0, 2, rows), random.poisson(3, rows)]
        vectors = np.column_stack(columns).astype(float)
        vectors[random.random(rows) < 0.1, 3] = np.nan
        return cls(vectors, np.round(1 / (1 + np.exp(3 - amount / 80)), 6))

    def profile(self, by: Contract) -> ReferenceProfile:
        rows = len(self.vectors)
        unseen = np.zeros(self.vectors.shape, bool)
        return build_profile(by, Encoded(self.vectors, unseen, np.zeros(rows, bool), {}), self.scores)


def put_model(artifacts: MemoryArtifactStore, by: Contract, profile: ReferenceProfile | None) -> str:
    """Store a package that has this contract and this profile (None: a malformed one); returns its SHA-256."""
    reference = b"{}" if profile is None else profile.canonical_json
    files = dict.fromkeys(REQUIRED_FILES, b"") | {CONTRACT: by.canonical_json, REFERENCE: reference}
    sealed = seal(by.endpoint, by.fingerprint, files)
    sha256 = sha256_hex(sealed[MANIFEST])
    artifacts.put(sha256, sealed)
    return sha256


class RecordEngine:
    """The query port over records that are given, and lines that are none; it counts how often it was opened."""

    def __init__(
        self, folder: Path, records: Sequence[PredictionRecord] = (), *, slice_ms: int | None = None
    ) -> None:
        self._folder = folder
        self.records = list(records)
        self.broken: list[str] = []
        self.slice_ms: int | None = slice_ms
        self.opened = 0

    def open(
        self, tables: Sequence[str], span: Span | None = None, *, endpoint: str | None = None
    ) -> AbstractContextManager[OpenArchive]:
        self.opened += 1
        lines = [*(record.model_dump_json() for record in self.records), *self.broken]
        engine = DuckDBEngine(LinesArchive(predictions=lines), self._folder)
        return engine.open(tables, span, endpoint=endpoint)
