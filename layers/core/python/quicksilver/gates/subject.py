"""A package under the gates: its contract, the evaluator the Lambda runs, and fast scores of many rows.

Rows by the thousand go through the ``lightgbm`` package, without contributions; the consistency gate proves
on a sample that it gives the evaluator's raw scores bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from quicksilver.contract import Contract
from quicksilver.errors import FieldError, InvalidPackage
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.frame import Floats
from quicksilver.package import Package

if TYPE_CHECKING:
    from lightgbm import Booster


@dataclass(frozen=True)
class Subject:
    """A package with its model loaded, once by the evaluator and once by the ``lightgbm`` package."""

    package: Package

    @property
    def contract(self) -> Contract:
        return self.package.contract

    @cached_property
    def evaluator(self) -> LightGBMEvaluator:
        """Raises ``ModelNotLoadable`` as the Lambda would."""
        return LightGBMEvaluator(self.package.model_text)

    @cached_property
    def _booster(self) -> Booster:
        from lightgbm import Booster

        return Booster(model_str=self.package.model_text.decode())

    def raw_scores(self, vectors: Floats) -> Floats:
        """Raw scores of vectors, shape (rows, features). One thread: OpenMP's would spin beside a busy neighbour."""
        return np.asarray(self._booster.predict(vectors, raw_score=True, num_threads=1), dtype=np.float64)

    def scores(self, vectors: Floats) -> Floats:
        """Scores by the evaluator's own transform. Raises ``InvalidPackage`` where they are no probabilities."""
        scores = np.array([self.evaluator.score(raw) for raw in self.raw_scores(vectors).tolist()])
        if not ((scores >= 0) & (scores <= 1)).all():
            raise InvalidPackage(
                "The model's scores are no probabilities, and gates judge nothing else.",
                [FieldError("model.txt", "gives scores outside 0 to 1")],
            )
        return scores
