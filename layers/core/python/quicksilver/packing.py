"""Packing: from a trained model, its contract and reference rows to a model package. Off the request path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quicksilver.batch_scores import scores as score_rows
from quicksilver.contract import Contract, FeatureType
from quicksilver.errors import FieldError, InvalidData, InvalidPackage, ModelNotLoadable, NotFound
from quicksilver.evaluation_file import evaluation_bytes
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.frame import Encoded, Floats, Frame, encode_frame, encode_rows
from quicksilver.gates.policy import refuse_protected_inputs
from quicksilver.model_card_text import CardFacts, render_markdown
from quicksilver.model_text import ModelHeader, read_header
from quicksilver.package import (
    CONTRACT,
    GOLDEN,
    METRICS,
    MODEL,
    MODEL_CARD,
    REFERENCE,
    GoldenRow,
    Package,
    check_features,
    check_model,
    open_package,
    seal,
)
from quicksilver.profile_builder import build_profile
from quicksilver.training_frame import TrainingFrame, decode_matrix, read_frame
from quicksilver.training_metrics import score_metrics

GOLDEN_ROWS = 200


class Booster(Protocol):
    """What ``lightgbm`` calls a trained model."""

    def model_to_string(self) -> str: ...


Model: TypeAlias = Booster | bytes | str | Path
"""A trained booster, the text of one, or the path of a file that holds the text."""


def pack(
    model: Model,
    contract: Contract,
    *,
    reference: TrainingFrame | Floats,
    target: ArrayLike,
    protected: TrainingFrame | None = None,
    golden: int | Floats = GOLDEN_ROWS,
    card: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    unlearned_categories: bool = False,
) -> Package:
    """Make a package. Deterministic: the same model, contract and rows give the same bytes.

    Parameters
    ----------
    model: any LightGBM model with one output and a binary or regression objective.
    reference: rows of the training window, raw as callers and stores give them: a pandas frame or arrays by
        name. An encoded matrix of shape ``(rows, features)`` in contract order is taken too.
    target: the outcome of each reference row: 0 or 1, or a number for a regression.
    protected: protected attributes of the same rows, by name. They go beside the package, never into it; here
        their names are refused as model inputs.
    golden: how many reference rows, evenly spread, become golden rows; or encoded vectors of shape
        ``(rows, features)``. Their exact raw scores and contributions are computed here by LightGBM.
    card: what people know of the model: ``purpose``, ``owner``, ``data``, ``limits``.
    metrics: the metrics of the training run, by name; if none are given, those on the reference rows.
    unlearned_categories: take a contract with categories that occur neither in training nor in the reference. A contract
        that is older than the model may have some; the model scores them as it does one it has never met.

    Raises ``InvalidPackage`` where the contract does not fit the model or the reference, ``InvalidData`` for
    rows that cannot be used, and ``InvalidContract`` for a protected attribute among the inputs.
    """
    refuse_protected_inputs(contract, tuple(protected) if protected is not None else ())
    facts = CardFacts.of(card)
    model_text = read_model(model)
    header, evaluator = _load(model_text)
    check_features(contract.names, evaluator.feature_names)
    encoded = _encode(contract, as_frame(contract, reference))
    _check_categories(contract, header, encoded, unlearned=unlearned_categories)
    scores = score_rows(evaluator, encoded.vectors)
    profile = build_profile(contract, encoded, scores)
    outcomes = _outcomes(target, len(encoded.vectors), regression=evaluator.is_regression)
    if metrics is None:
        metrics = score_metrics(scores, outcomes, regression=evaluator.is_regression)
    if unusable := [name for name, value in metrics.items() if not np.isfinite(value)]:
        raise InvalidPackage(
            "A metric is not a number.", [FieldError(name, "must be finite") for name in unusable]
        )
    rows = _golden_rows(evaluator, _golden_vectors(golden, encoded.vectors))
    bad_share = None if evaluator.is_regression else float(outcomes.mean())
    files = {
        MODEL: model_text,
        CONTRACT: contract.canonical_json,
        GOLDEN: "".join(row.to_json() + "\n" for row in rows).encode(),
        METRICS: (json.dumps(dict(metrics), sort_keys=True, indent=2, allow_nan=False) + "\n").encode(),
        REFERENCE: profile.canonical_json,
        MODEL_CARD: render_markdown(contract, header, profile, metrics, facts, bad_share).encode(),
    }
    sealed = seal(contract.endpoint, contract.fingerprint, files)
    package = open_package(sealed.__getitem__)
    check_model(package, evaluator)
    return package


def evaluation_rows(
    contract: Contract,
    *,
    reference: TrainingFrame | Floats,
    target: ArrayLike,
    protected: TrainingFrame | None = None,
) -> bytes:
    """The rows that gates judge a package on, as the bytes of one Parquet file. It goes beside the package
    (``package_files.write_handover``): it holds outcomes and protected attributes, which no package does."""
    frame = as_frame(contract, reference)
    return evaluation_bytes(frame, np.asarray(target), protected)


def read_model(model: Model) -> bytes:
    """A model's text. Raises ``NotFound`` for a file that is not there."""
    if isinstance(model, bytes):
        return model
    if isinstance(model, str) and "\n" in model:
        return model.encode()
    if isinstance(model, str | Path):
        try:
            return Path(model).read_bytes()
        except OSError as error:
            raise NotFound(f"The model text {model} cannot be read: {error.strerror}.") from None
    return model.model_to_string().encode()


def as_frame(contract: Contract, reference: TrainingFrame | Floats) -> Frame:
    """Reference rows as raw columns, whichever way they were given."""
    if isinstance(reference, np.ndarray):
        return decode_matrix(contract, reference)
    return read_frame(reference, contract.names)


def _load(model_text: bytes) -> tuple[ModelHeader, LightGBMEvaluator]:
    try:
        return read_header(model_text), LightGBMEvaluator(model_text)
    except ModelNotLoadable as error:
        raise InvalidPackage(str(error), [FieldError(MODEL, "cannot be loaded")]) from None


def _encode(contract: Contract, frame: Frame) -> Encoded:
    encoded = encode_rows(contract, frame)
    if encoded.refused.any():
        # Says which features refuse, and raises.
        encode_frame(contract, frame)
    return encoded


def _check_categories(contract: Contract, header: ModelHeader, encoded: Encoded, *, unlearned: bool) -> None:
    """The contract's categories are those of training: none more, or it would be scored as known (unless that is
    ``unlearned`` knowingly), and none fewer."""
    errors = []
    for position, feature in enumerate(contract.features):
        trained = header.trained_codes(feature.name)
        if feature.type is not FeatureType.CATEGORY:
            continue
        codes = encoded.vectors[~encoded.unseen[:, position], position]
        seen = set(codes[~np.isnan(codes)].astype(int).tolist())
        # LightGBM's text leaves out rare codes, so what the reference holds counts as seen too.
        beyond = [c for code, c in enumerate(feature.categories) if code not in seen | (trained or set())]
        if beyond and not unlearned:
            errors.append(
                FieldError(feature.name, f"{beyond[0]!r} occurs neither in training nor in the reference")
            )
        if trained and max(trained) >= len(feature.categories):
            reason = f"training had the code {max(trained)}, and the contract has {len(feature.categories)} categories"
            errors.append(FieldError(feature.name, reason))
    if errors:
        raise InvalidPackage("The contract's categories are not those of training.", errors)


def _outcomes(target: ArrayLike, rows: int, *, regression: bool) -> NDArray[np.float64]:
    try:
        outcomes = np.asarray(target, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidData("The target is not usable.", [FieldError("target", "must hold numbers")]) from None
    if outcomes.shape != (rows,):
        raise InvalidData(
            "The target does not belong to the reference.",
            [FieldError("target", f"has shape {outcomes.shape}, not ({rows},)")],
        )
    if not np.isfinite(outcomes).all():
        raise InvalidData("The target is not usable.", [FieldError("target", "has missing values")])
    if regression:
        return outcomes
    if not np.isin(outcomes, (0.0, 1.0)).all():
        raise InvalidData(
            "The target is not usable.", [FieldError("target", "must be 0 or 1 for this objective")]
        )
    if len(np.unique(outcomes)) < 2:
        raise InvalidData(
            "The target has one class.",
            [FieldError("target", "must have both 0 and 1; nothing can be judged on one")],
        )
    return outcomes


def _golden_vectors(golden: int | Floats, vectors: Floats) -> Floats:
    if not isinstance(golden, int):
        if golden.ndim != 2 or not len(golden):
            raise InvalidPackage(
                "The golden rows are not usable.", [FieldError("golden", "must be a matrix with rows")]
            )
        if golden.shape[1] != vectors.shape[1]:
            raise InvalidPackage(
                "The golden rows do not fit the contract.",
                [FieldError("golden", f"has {golden.shape[1]} columns, not {vectors.shape[1]}")],
            )
        return golden
    if golden < 1:
        raise InvalidPackage("The golden rows are not usable.", [FieldError("golden", "must be at least 1")])
    chosen = np.linspace(0, len(vectors) - 1, min(golden, len(vectors))).astype(np.int64)
    return np.asarray(vectors[chosen], dtype=np.float64)


def _golden_rows(evaluator: LightGBMEvaluator, golden: Floats) -> list[GoldenRow]:
    # LightGBM's own contributions: what a package says is what any kernel is then held to.
    return [
        GoldenRow(
            tuple(vector),
            evaluator.raw_score(vector),
            evaluator.lightgbm_contributions(vector),
        )
        for vector in golden.tolist()
    ]
