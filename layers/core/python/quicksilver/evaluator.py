"""The evaluator: LightGBM's own C library for scores and the native kernel for contributions, both by ctypes.

LightGBM is the authority on scores: the raw score is bit-equal to ``Booster.predict(raw_score=True)``.
Contributions are the kernel's, at a fraction of the cost of LightGBM's own. Those are used for a model that the
kernel refuses, and for any one vector whose contributions do not add up to its raw score.
"""

from __future__ import annotations

import ctypes
import logging
import math
import re
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from quicksilver.errors import KernelRefused, ModelNotLoadable, NotAdditive, NotEvaluated
from quicksilver.kernel import Kernel, Row
from quicksilver.lightgbm_library import (
    C_API_DTYPE_FLOAT64,
    C_API_PREDICT_CONTRIB,
    C_API_PREDICT_RAW_SCORE,
    C_API_ROW_MAJOR,
    Refused,
    call,
    library,
)

logger = logging.getLogger(__name__)

_ONE_THREAD = b"num_threads=1"

_SIGMOID_OBJECTIVES = ("binary", "cross_entropy")
_IDENTITY_OBJECTIVES = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")

MAX_ADDITIVITY_ERROR = 1e-9
"""How far contributions may miss the raw score, relative to the sum of their sizes (at least 1)."""


class ExplainedBy(StrEnum):
    """Who computed an answer's contributions."""

    KERNEL = "kernel"
    LIGHTGBM = "lightgbm"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """``raw_score`` and ``contributions`` are in raw-score units; contributions plus ``expected_value`` add up to it.

    ``kernel_failed`` says that the kernel's did not, and that these are LightGBM's in their place.
    """

    raw_score: float
    contributions: tuple[float, ...]
    expected_value: float
    explained_by: ExplainedBy
    kernel_failed: bool = False


class Evaluator(Protocol):
    """Scores one vector at a time, from any thread."""

    @property
    def feature_names(self) -> tuple[str, ...]: ...

    @property
    def is_regression(self) -> bool:
        """Whether a score is a value of its own, and no probability."""
        ...

    def raw_score(self, vector: Sequence[float]) -> float:
        """The raw score of one vector (contract order, NaN is missing). Raises ``NotEvaluated``."""
        ...

    def evaluate(self, vector: Sequence[float]) -> Evaluation:
        """Raw score and contributions of one vector. Raises ``NotEvaluated``, and ``NotAdditive`` where no contributions add up."""
        ...

    def score(self, raw_score: float) -> float:
        """What the raw score means: a probability for a classifier, the value itself for a regression."""
        ...


def _call(name: str, *arguments: Any) -> None:
    try:
        call(name, *arguments)
    except Refused as refused:
        raise ModelNotLoadable(f"LightGBM refused the model: {refused}") from None


class _Predictor:
    """One prediction configuration on a row that its owner fills. Owned by one thread: sharing gave wrong answers."""

    def __init__(self, booster: ctypes.c_void_p, kind: int, row: Row, n_out: int) -> None:
        self._config = ctypes.c_void_p()
        _call(
            "LGBM_BoosterPredictForMatSingleRowFastInit",
            booster, kind, 0, -1, C_API_DTYPE_FLOAT64, len(row), _ONE_THREAD, ctypes.byref(self._config),
        )  # fmt: skip
        self._out = (ctypes.c_double * n_out)()
        self._out_len = ctypes.c_int64()
        self._predict = library().LGBM_BoosterPredictForMatSingleRowFast
        self._arguments = (self._config, row, ctypes.byref(self._out_len), self._out)
        weakref.finalize(self, library().LGBM_FastConfigFree, self._config)

    def __call__(self) -> Row:
        if self._predict(*self._arguments) != 0:
            raise NotEvaluated("LightGBM failed to predict.")
        return self._out


class _Worker(threading.local):
    """One thread's row, and everything that reads it."""

    def __init__(self, booster: ctypes.c_void_p, kernel: Kernel | None, n_features: int) -> None:
        self._booster = booster
        self.row = (ctypes.c_double * n_features)()
        self.raw_score = _Predictor(booster, C_API_PREDICT_RAW_SCORE, self.row, 1)
        self.kernel = kernel.worker(self.row) if kernel else None
        self._contributions: _Predictor | None = None

    def lightgbm_contributions(self) -> Row:
        if self._contributions is None:
            n_out = len(self.row) + 1
            self._contributions = _Predictor(self._booster, C_API_PREDICT_CONTRIB, self.row, n_out)
        return self._contributions()


class LightGBMEvaluator:
    """A LightGBM model with one output, loaded from its text.

    Raises ``ModelNotLoadable`` for a text that was cut off, altered or that LightGBM refuses, several classes, linear
    trees, or an objective whose transform from raw score to score is not known here.
    """

    def __init__(self, model_text: bytes) -> None:
        self._score_slope = _score_slope(model_text)
        # Before LightGBM, which trusts the sizes in its own text, sees it.
        self._kernel = _kernel(model_text)
        self._booster = ctypes.c_void_p()
        iterations = ctypes.c_int()
        _call(
            "LGBM_BoosterLoadModelFromString",
            ctypes.c_char_p(model_text), ctypes.byref(iterations), ctypes.byref(self._booster),
        )  # fmt: skip
        weakref.finalize(self, library().LGBM_BoosterFree, self._booster)
        self._n_features = self._int("LGBM_BoosterGetNumFeature")
        if self._int("LGBM_BoosterGetNumClasses") != 1:
            raise ModelNotLoadable("The model has several classes; a risk score has one output.")
        # A random forest's raw score is the sum over its trees, and its score comes from their mean.
        averaged = re.search(rb"^average_output(=|$)", _head(model_text), re.MULTILINE)
        self._averaged_over = iterations.value if averaged else 1
        self.feature_names = self._names()
        self._worker = _Worker(self._booster, self._kernel, self._n_features)

    def raw_score(self, vector: Sequence[float]) -> float:
        worker = self._worker
        # A vector of another length is refused here, before anything could read past it.
        worker.row[:] = list(vector)
        raw_score = float(worker.raw_score()[0])
        if not math.isfinite(raw_score):
            raise NotEvaluated("The model's raw score is not a number.")
        return raw_score

    def evaluate(self, vector: Sequence[float]) -> Evaluation:
        raw_score = self.raw_score(vector)
        worker = self._worker
        if worker.kernel is not None:
            parts = worker.kernel()[:]
            if _add_up(parts, raw_score):
                return Evaluation(raw_score, tuple(parts[:-1]), parts[-1], ExplainedBy.KERNEL)
        parts = worker.lightgbm_contributions()[:]
        if not _add_up(parts, raw_score):
            raise NotAdditive("The contributions do not add up to the raw score.")
        return Evaluation(
            raw_score,
            tuple(parts[:-1]),
            parts[-1],
            ExplainedBy.LIGHTGBM,
            kernel_failed=worker.kernel is not None,
        )

    def score_matrix(self, vectors: int, rows: int, out: int) -> None:
        """Raw scores of vectors that lie in memory at an address, row after row as doubles, into as many doubles at
        another. One thread: OpenMP's would spin beside a busy neighbour. Raises ``NotEvaluated``."""
        length = ctypes.c_int64()
        try:
            call(
                "LGBM_BoosterPredictForMat",
                self._booster, ctypes.c_void_p(vectors), C_API_DTYPE_FLOAT64, rows, self._n_features, C_API_ROW_MAJOR,
                C_API_PREDICT_RAW_SCORE, 0, -1, _ONE_THREAD, ctypes.byref(length), ctypes.c_void_p(out),
            )  # fmt: skip
        except Refused as refused:
            raise NotEvaluated(f"LightGBM failed to predict: {refused}") from None

    def lightgbm_contributions(self, vector: Sequence[float]) -> tuple[float, ...]:
        """LightGBM's own contributions of a vector; the last one is the expected value. What the kernel is held to."""
        self._worker.row[:] = list(vector)
        return tuple(self._worker.lightgbm_contributions())

    @property
    def explained_by(self) -> ExplainedBy:
        """Who explains this model's scores."""
        return ExplainedBy.KERNEL if self._kernel else ExplainedBy.LIGHTGBM

    @property
    def is_regression(self) -> bool:
        """Whether a score is a value of its own, and no probability."""
        return self._score_slope is None

    def score(self, raw_score: float) -> float:
        """The logistic function of LightGBM's binary objective, ``1 / (1 + exp(-sigmoid * raw))``, or the raw score."""
        raw_score /= self._averaged_over
        if self._score_slope is None:
            return raw_score
        exponent = -self._score_slope * raw_score
        return 0.0 if exponent > 709.0 else 1.0 / (1.0 + math.exp(exponent))

    def _int(self, name: str) -> int:
        value = ctypes.c_int()
        _call(name, self._booster, ctypes.byref(value))
        return value.value

    def _names(self) -> tuple[str, ...]:
        size = 256
        buffers = [ctypes.create_string_buffer(size) for _ in range(self._n_features)]
        array = (ctypes.c_void_p * self._n_features)(*map(ctypes.addressof, buffers))
        count, needed = ctypes.c_int(), ctypes.c_size_t()
        _call(
            "LGBM_BoosterGetFeatureNames",
            self._booster, self._n_features, ctypes.byref(count), ctypes.c_size_t(size), ctypes.byref(needed), array,
        )  # fmt: skip
        if needed.value > size:
            raise ModelNotLoadable(f"A feature name is longer than {size - 1} bytes.")
        try:
            return tuple(buffer.value.decode() for buffer in buffers)
        except UnicodeDecodeError:
            raise ModelNotLoadable("A feature name is not UTF-8.") from None


def _kernel(model_text: bytes) -> Kernel | None:
    try:
        return Kernel(model_text)
    except KernelRefused as refused:
        logger.warning("%s LightGBM's own contributions are used.", refused)
        return None


def _add_up(parts: Sequence[float], raw_score: float) -> bool:
    """Whether contributions and expected value are worth the raw score. False for any that is not finite."""
    scale = max(1.0, sum(map(abs, parts)))
    return abs(sum(parts) - raw_score) <= MAX_ADDITIVITY_ERROR * scale < math.inf


def _head(model_text: bytes) -> bytes:
    """What LightGBM reads before the first tree."""
    return model_text.partition(b"\nTree=")[0]


def _score_slope(model_text: bytes) -> float | None:
    """The logistic slope declared by the model's objective; ``None`` for a regression."""
    match = re.search(rb"^objective=(\S+)(.*)$", _head(model_text), re.MULTILINE)
    if match is None:
        raise ModelNotLoadable("The model text names no objective.")
    objective, parameters = match[1].decode(errors="replace"), match[2].split()
    if objective in _IDENTITY_OBJECTIVES and b"sqrt" not in parameters:
        return None
    if objective in _SIGMOID_OBJECTIVES:
        slopes = [
            value for name, _, value in (word.partition(b":") for word in parameters) if name == b"sigmoid"
        ]
        if not slopes:
            return 1.0
        if len(slopes) == 1 and re.fullmatch(rb"\d+(\.\d+)?(e[-+]?\d+)?", slopes[0]):
            slope = float(slopes[0])
            if 0 < slope < math.inf:
                return slope
        raise ModelNotLoadable("The model's sigmoid is not one positive number.")
    raise ModelNotLoadable(f"The objective {objective} has no known transform to a score.")
