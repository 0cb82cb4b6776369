"""A package under the gates: its contract, the evaluator the Lambda runs, and fast scores of many rows.

Rows by the thousand go through LightGBM as one matrix, without contributions; the consistency gate proves on a sample
that this gives the evaluator's raw scores bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from quicksilver.batch_scores import raw_scores, scores as batch_scores
from quicksilver.contract import Contract
from quicksilver.errors import FieldError, InvalidPackage
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.frame import Floats
from quicksilver.package import Package


@dataclass(frozen=True)
class Subject:
    """A package with its model loaded."""

    package: Package

    @property
    def contract(self) -> Contract:
        return self.package.contract

    @cached_property
    def evaluator(self) -> LightGBMEvaluator:
        """Raises ``ModelNotLoadable`` as the Lambda would."""
        return LightGBMEvaluator(self.package.model_text)

    def raw_scores(self, vectors: Floats) -> Floats:
        """Raw scores of vectors, shape (rows, features)."""
        return raw_scores(self.evaluator, vectors)

    def scores(self, vectors: Floats) -> Floats:
        """Scores by the evaluator's own transform. Raises ``InvalidPackage`` where they are no probabilities."""
        scores = batch_scores(self.evaluator, vectors)
        if not ((scores >= 0) & (scores <= 1)).all():
            raise InvalidPackage(
                "The model's scores are no probabilities, and gates judge nothing else.",
                [FieldError("model.txt", "gives scores outside 0 to 1")],
            )
        return scores
