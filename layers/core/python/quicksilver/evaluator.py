"""The evaluator: LightGBM's own C library, by ctypes.

It is the authority on scores: the raw score is bit-equal to ``Booster.predict(raw_score=True)``.
Importing the ``lightgbm`` package would cost half a second and 150 MiB of numpy and scipy for two
calls of its C API, so the library alone is loaded.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import re
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from quicksilver.errors import ModelNotLoadable
from quicksilver.model_text import read_header

# include/LightGBM/c_api.h
_C_API_DTYPE_FLOAT64 = 1
_C_API_PREDICT_RAW_SCORE = 1
_C_API_PREDICT_CONTRIB = 3
_ONE_THREAD = b"num_threads=1"

_SIGMOID_OBJECTIVES = ("binary", "cross_entropy")
_IDENTITY_OBJECTIVES = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """``raw_score`` and ``contributions`` are in raw-score units; contributions plus ``expected_value`` add up to it."""

    raw_score: float
    contributions: tuple[float, ...]
    expected_value: float


class Evaluator(Protocol):
    """Scores one vector at a time, from any thread."""

    @property
    def feature_names(self) -> tuple[str, ...]: ...

    def evaluate(self, vector: Sequence[float]) -> Evaluation:
        """Raw score and contributions of one vector (contract order, NaN is missing)."""
        ...

    def score(self, raw_score: float) -> float:
        """What the raw score means: a probability for a classifier, the value itself for a regression."""
        ...


def library_path() -> Path:
    """Where ``lib_lightgbm.so`` lies: in the installed package or in the layer, found the same way."""
    spec = importlib.util.find_spec("lightgbm")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for name in ("lib_lightgbm.so", "lib_lightgbm.dylib"):
            path = Path(folder, "lib", name)
            if path.is_file():
                return path
    raise ModelNotLoadable("LightGBM's library is not installed: the function needs its lightgbm layer.")


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(library_path()))
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library


def _call(name: str, *arguments: Any) -> None:
    """Call the C API; every function of it returns 0, or -1 with a message kept for this thread."""
    library = _library()
    if getattr(library, name)(*arguments) != 0:
        raise ModelNotLoadable(
            f"LightGBM refused the model: {library.LGBM_GetLastError().decode(errors='replace')}"
        )


class _Predictor:
    """One prediction configuration with its own buffers. Owned by one thread: sharing gave wrong answers."""

    def __init__(self, booster: ctypes.c_void_p, kind: int, n_features: int, n_out: int) -> None:
        self._config = ctypes.c_void_p()
        _call(
            "LGBM_BoosterPredictForMatSingleRowFastInit",
            booster, kind, 0, -1, _C_API_DTYPE_FLOAT64, n_features, _ONE_THREAD, ctypes.byref(self._config),
        )  # fmt: skip
        self._row = (ctypes.c_double * n_features)()
        self._out = (ctypes.c_double * n_out)()
        self._out_len = ctypes.c_int64()
        self._predict = _library().LGBM_BoosterPredictForMatSingleRowFast
        self._arguments = (self._config, self._row, ctypes.byref(self._out_len), self._out)
        weakref.finalize(self, _library().LGBM_FastConfigFree, self._config)

    def __call__(self, vector: Sequence[float]) -> Any:
        # A vector of another length is refused here, before LightGBM could read past it.
        self._row[:] = list(vector)
        if self._predict(*self._arguments) != 0:
            raise ModelNotLoadable("LightGBM failed to predict.")
        return self._out


class LightGBMEvaluator:
    """A LightGBM model with one output, loaded from its text.

    Raises ``ModelNotLoadable`` for a text that was cut off or that LightGBM refuses, several classes, or an objective whose
    transform from raw score to score is not known here.
    """

    def __init__(self, model_text: bytes) -> None:
        self._score_slope = _score_slope(model_text)
        read_header(model_text)
        self._booster = ctypes.c_void_p()
        iterations = ctypes.c_int()
        _call(
            "LGBM_BoosterLoadModelFromString",
            ctypes.c_char_p(model_text), ctypes.byref(iterations), ctypes.byref(self._booster),
        )  # fmt: skip
        weakref.finalize(self, _library().LGBM_BoosterFree, self._booster)
        self._n_features = self._int("LGBM_BoosterGetNumFeature")
        if self._int("LGBM_BoosterGetNumClasses") != 1:
            raise ModelNotLoadable("The model has several classes; a risk score has one output.")
        self.feature_names = self._names()
        self._local = threading.local()

    def evaluate(self, vector: Sequence[float]) -> Evaluation:
        raw, contributions = self._predictors()
        raw_score = float(raw(vector)[0])
        parts = contributions(vector)[:]
        return Evaluation(raw_score, tuple(parts[:-1]), parts[-1])

    @property
    def is_regression(self) -> bool:
        """Whether a score is a value of its own, and no probability."""
        return self._score_slope is None

    def score(self, raw_score: float) -> float:
        """The logistic function of LightGBM's binary objective, ``1 / (1 + exp(-sigmoid * raw))``, or the raw score."""
        if self._score_slope is None:
            return raw_score
        exponent = -self._score_slope * raw_score
        return 0.0 if exponent > 709.0 else 1.0 / (1.0 + math.exp(exponent))

    def _predictors(self) -> tuple[_Predictor, _Predictor]:
        try:
            predictors: tuple[_Predictor, _Predictor] = self._local.predictors
        except AttributeError:
            n = self._n_features
            predictors = (
                _Predictor(self._booster, _C_API_PREDICT_RAW_SCORE, n, 1),
                _Predictor(self._booster, _C_API_PREDICT_CONTRIB, n, n + 1),
            )
            self._local.predictors = predictors
        return predictors

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
        return tuple(buffer.value.decode() for buffer in buffers)


def _score_slope(model_text: bytes) -> float | None:
    """The logistic slope declared by the model's objective; ``None`` for a regression."""
    match = re.search(rb"^objective=(\S+)(.*)$", model_text, re.MULTILINE)
    if match is None:
        raise ModelNotLoadable("The model text names no objective.")
    objective, parameters = match[1].decode(errors="replace"), match[2]
    if objective in _IDENTITY_OBJECTIVES and b"sqrt" not in parameters:
        return None
    if objective in _SIGMOID_OBJECTIVES:
        slope = re.search(rb"sigmoid:([-+.\deE]+)", parameters)
        return float(slope[1]) if slope else 1.0
    raise ModelNotLoadable(f"The objective {objective} has no known transform to a score.")
