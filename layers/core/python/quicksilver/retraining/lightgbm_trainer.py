"""LightGBM's own training, through the C library that scores: no lightgbm package, and so no scipy.

``train`` gives the model text of ``lightgbm.train`` on the same rows with the same parameters, byte for byte (less the line
about pandas that the package adds); a test holds it to that. The same rows and parameters give the same text, with any
number of threads.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from quicksilver.errors import InvalidData
from quicksilver.frame import Floats
from quicksilver.lightgbm_library import (
    C_API_DTYPE_FLOAT32,
    C_API_DTYPE_FLOAT64,
    C_API_ROW_MAJOR,
    Refused,
    call,
)

Parameters: TypeAlias = Mapping[str, str | float | int | bool]
"""LightGBM's parameters by their main names."""

STABLE: Parameters = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
"""What makes the same rows give the same text, on any machine."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Vectors, shape (rows, features), NaN where missing, and their labels, shape (rows,), 0 or 1."""

    vectors: Floats
    labels: Floats


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model's text, and the rounds it is of: up to the best one, where rows for stopping were given."""

    text: bytes
    rounds: int


def train(
    rows: Rows,
    *,
    names: Sequence[str],
    categorical: Sequence[int] = (),
    parameters: Parameters,
    rounds: int,
    threads: int,
    stop_on: Rows | None = None,
    patience: int = 50,
) -> TrainedModel:
    """Train for ``rounds``, or until the metric on ``stop_on`` has not improved for ``patience`` of them.

    Parameters
    ----------
    names: the features', in the order of the vectors' columns.
    categorical: which columns hold categories' codes.
    parameters: with an ``objective`` of one output and one ``metric`` that is better when lower.
    threads: how many train. LightGBM holds them for the whole process, so one training runs at a time.

    Raises ``InvalidData`` with LightGBM's own words where it cannot train.
    """
    chosen = {**parameters, **STABLE, "num_iterations": rounds}
    if categorical:
        chosen["categorical_column"] = ",".join(str(position) for position in sorted(categorical))
    text = _parameter_text(chosen)
    try:
        with _threads(threads), ExitStack() as held:
            data = _dataset(held, rows, names, text)
            booster = ctypes.c_void_p()
            call("LGBM_BoosterCreate", data, text, ctypes.byref(booster))
            held.callback(call, "LGBM_BoosterFree", booster)
            if stop_on is not None:
                call("LGBM_BoosterAddValidData", booster, _dataset(held, stop_on, names, text, data))
            done = _boost(booster, rounds, patience if stop_on is not None else None)
            return TrainedModel(_model_text(booster, done), done)
    except Refused as refused:
        raise InvalidData(f"LightGBM cannot train on these rows: {_reason(refused)}.") from None


def _reason(refused: Refused) -> str:
    """LightGBM's words on one line, without the place in its sources."""
    words = " ".join(str(refused).split())
    return re.sub(r" at \S+, line \d+ ?\.?$", "", words).removesuffix(".")


def _boost(booster: ctypes.c_void_p, rounds: int, patience: int | None) -> int:
    """Grow trees; returns how many rounds count. As ``lightgbm.early_stopping`` does with the first metric."""
    best, best_round = np.inf, 0
    nothing_split = ctypes.c_int()  # another draw of rows and features may split all the same
    for done in range(1, rounds + 1):
        call("LGBM_BoosterUpdateOneIter", booster, ctypes.byref(nothing_split))
        if patience is None:
            continue
        value = _metric(booster)
        if value < best or not best_round:
            best, best_round = value, done
        if done - best_round >= patience:
            break
    return best_round or rounds


def _metric(booster: ctypes.c_void_p) -> float:
    """The first metric on the rows for stopping. There is room for as many as LightGBM has."""
    count, values = ctypes.c_int(), (ctypes.c_double * 64)()
    call("LGBM_BoosterGetEval", booster, 1, ctypes.byref(count), values)
    if count.value != 1:
        raise Refused(f"it computes {count.value} metrics and not one")
    return values[0]


def _dataset(
    held: ExitStack, rows: Rows, names: Sequence[str], parameters: bytes, like: ctypes.c_void_p | None = None
) -> ctypes.c_void_p:
    """The rows in LightGBM's bins: its own, or those of the dataset ``like``."""
    vectors = np.ascontiguousarray(rows.vectors, dtype=np.float64)
    labels = np.ascontiguousarray(rows.labels, dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != len(names) or labels.shape != (len(vectors),):
        raise Refused(f"the vectors have shape {vectors.shape} and the labels {labels.shape}")
    data = ctypes.c_void_p()
    call(
        "LGBM_DatasetCreateFromMat",
        ctypes.c_void_p(vectors.ctypes.data), C_API_DTYPE_FLOAT64, *vectors.shape, C_API_ROW_MAJOR,
        parameters, like, ctypes.byref(data),
    )  # fmt: skip
    held.callback(call, "LGBM_DatasetFree", data)
    call(
        "LGBM_DatasetSetField",
        data, b"label", ctypes.c_void_p(labels.ctypes.data), len(labels), C_API_DTYPE_FLOAT32,
    )  # fmt: skip
    encoded = (ctypes.c_char_p * len(names))(*(name.encode() for name in names))
    call("LGBM_DatasetSetFeatureNames", data, encoded, len(names))
    return data


def _model_text(booster: ctypes.c_void_p, rounds: int) -> bytes:
    length = ctypes.c_int64()
    buffer = ctypes.create_string_buffer(1 << 20)
    for _ in range(2):  # a second time where the first showed that there is too little room
        call(
            "LGBM_BoosterSaveModelToString",
            booster, 0, rounds, 0, ctypes.c_int64(len(buffer)), ctypes.byref(length), buffer,
        )  # fmt: skip
        if length.value <= len(buffer):
            break
        buffer = ctypes.create_string_buffer(length.value)
    return buffer.value


def _parameter_text(parameters: Mapping[str, Any]) -> bytes:
    return " ".join(f"{name}={value}" for name, value in parameters.items()).encode()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Train with so many threads, without writing it into the model's text as a parameter would be."""
    call("LGBM_SetMaxThreads", count)
    try:
        yield
    finally:
        call("LGBM_SetMaxThreads", -1)
