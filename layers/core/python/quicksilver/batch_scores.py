"""Scores of many rows at once, by the evaluator's own model: LightGBM takes them as one matrix, without contributions.

The consistency gate proves on a sample that a batch gives a row the raw score it has alone, bit for bit.
"""

from __future__ import annotations

import numpy as np

from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.frame import Floats


def raw_scores(evaluator: LightGBMEvaluator, vectors: Floats) -> Floats:
    """Raw scores, shape (rows,), of vectors, shape (rows, features). Raises ``NotEvaluated``."""
    matrix = np.ascontiguousarray(vectors, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != len(evaluator.feature_names):
        raise ValueError(f"vectors must have shape (rows, {len(evaluator.feature_names)})")
    out = np.empty(len(matrix), dtype=np.float64)
    if len(matrix):
        evaluator.score_matrix(matrix.ctypes.data, len(matrix), out.ctypes.data)
    return out


def scores(evaluator: LightGBMEvaluator, vectors: Floats) -> Floats:
    """Scores, shape (rows,): each raw score is turned into one as serving does."""
    return np.array([evaluator.score(raw) for raw in raw_scores(evaluator, vectors).tolist()])
