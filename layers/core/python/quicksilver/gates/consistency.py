"""The consistency gate: the package does in the Lambda what it did in training, whatever form a request has.

Golden rows go through the very evaluator the Lambda runs. Monotone directions are swept over each feature's
reference range. A request gives the same vector for every order of its fields, through the product's own
parser, and a row the same raw score alone as in a batch.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import numpy as np

from quicksilver.contract import ENTITY_KEY, Contract, Feature, FeatureType, Source
from quicksilver.errors import NotEvaluated
from quicksilver.evaluator import ExplainedBy
from quicksilver.features import build_vector, check_names, feature_keys
from quicksilver.frame import Floats, Frame, Ints
from quicksilver.gates.compatibility import compatibility_checks
from quicksilver.gates.policy import ConsistencyPolicy
from quicksilver.gates.report import Check, Gate, Outcome
from quicksilver.gates.subject import Subject
from quicksilver.package import MAX_CONTRIBUTION_DIFFERENCE
from quicksilver.ports import FeatureKey, FeatureReading, FeatureRow
from quicksilver.request import parse_request

SWEEP_POINTS = 17
"""Values a monotone feature is swept over: quantiles of its reference range, both ends among them."""

_EXPLAINERS = {
    ExplainedBy.KERNEL: "the kernel",
    ExplainedBy.LIGHTGBM: "LightGBM itself (the kernel refuses the model)",
}
_SHUFFLES = 3
_NOW_MS = 1_760_000_000_000
"""Any moment will do: the rows are as fresh as their request."""


def consistency_checks(
    candidate: Subject,
    champion: Subject | None,
    frame: Frame,
    vectors: Floats,
    policy: ConsistencyPolicy,
    seed: int,
) -> list[Check]:
    """The gate's checks. ``frame`` holds the raw columns of ``vectors``, shape (rows, features)."""
    fits = _model_fits_contract(candidate)
    if fits.outcome is Outcome.FAIL:
        return [fits]
    sample = _sample(len(vectors), policy.order_rows, seed)
    return [
        fits,
        *_golden_rows(candidate),
        *compatibility_checks(candidate.contract, champion.contract if champion else None),
        *_monotone(candidate, vectors, _sample(len(vectors), policy.monotone_rows, seed)),
        _field_order(candidate.contract, frame, vectors, sample, seed),
        _one_row_or_batch(candidate, vectors, sample),
    ]


def _sample(rows: int, size: int, seed: int) -> Ints:
    chosen = np.random.default_rng(seed).choice(rows, size=min(rows, size), replace=False)
    return np.sort(chosen).astype(np.int64)


def _model_fits_contract(subject: Subject) -> Check:
    ours, theirs = subject.contract.names, subject.evaluator.feature_names
    differing = next((f"{a} and not {b}" for a, b in zip(ours, theirs, strict=False) if a != b), None)
    if ours == theirs:
        sentence = f"The contract names the model's {len(ours)} features, in its order."
    elif differing is None:
        sentence = f"The contract has {len(ours)} features and the model {len(theirs)}."
    else:
        sentence = f"The contract's features are not the model's: {differing}."
    return _check("model_fits_contract", ours == theirs, sentence)


def _golden_rows(subject: Subject) -> list[Check]:
    """Raw scores must be bit-equal, contributions equal within 1e-9."""
    rows = subject.package.golden_rows
    wrong: list[int] = []
    largest = 0.0
    for number, row in enumerate(rows, 1):
        if len(row.vector) != len(subject.contract.names) or len(row.contributions) != len(row.vector) + 1:
            return [_check("golden_raw_score", False, f"Golden row {number} has another number of features.")]
        try:
            evaluation = subject.evaluator.evaluate(row.vector)
        except NotEvaluated as error:
            return [_check("golden_raw_score", False, f"Golden row {number} cannot be evaluated: {error}")]
        if evaluation.raw_score != row.raw_score:
            wrong.append(number)
        given = (*evaluation.contributions, evaluation.expected_value)
        largest = max(largest, *(abs(a - b) for a, b in zip(given, row.contributions, strict=True)))
    if not rows:
        return [_check("golden_raw_score", False, "The package has no golden rows.")]
    sentence = f"The evaluator gives the raw score of {len(rows)} golden rows bit for bit."
    if wrong:
        sentence = f"The evaluator gives another raw score for {len(wrong)} golden rows, the first in line {wrong[0]}."
    return [
        _check("golden_raw_score", not wrong, sentence, value=len(wrong), limit=0, rows=len(rows)),
        _check(
            "golden_contributions",
            largest <= MAX_CONTRIBUTION_DIFFERENCE,
            f"The contributions of {_EXPLAINERS[subject.evaluator.explained_by]} differ from LightGBM's own"
            f" by at most {largest:.1e}.",
            value=largest,
            limit=MAX_CONTRIBUTION_DIFFERENCE,
            rows=len(rows),
        ),
    ]


def _monotone(subject: Subject, vectors: Floats, sample: Ints) -> list[Check]:
    features = [(place, f) for place, f in enumerate(subject.contract.features) if f.monotone]
    if not features:
        return [_check("monotone", True, "The contract declares no monotone feature.")]
    return [_sweep(subject, feature, place, vectors, sample) for place, feature in features]


def _sweep(subject: Subject, feature: Feature, place: int, vectors: Floats, sample: Ints) -> Check:
    """Raw scores of sampled rows as one feature rises through its range and all else stays."""
    values = _range(feature, vectors[:, place])
    swept = np.repeat(vectors[sample], len(values), axis=0)
    swept[:, place] = np.tile(values, len(sample))
    raw = subject.raw_scores(swept).reshape(len(sample), len(values))
    steps = np.diff(raw, axis=1) * feature.monotone
    broken = int((steps < 0).any(axis=1).sum())
    direction = "lowers" if feature.monotone > 0 else "raises"
    sentence = f"A higher {feature.name} never {direction} the raw score in {len(sample)} rows at {len(values)} values."
    if broken:
        sentence = f"A higher {feature.name} {direction} the raw score of {broken} of {len(sample)} rows."
    return _check(f"monotone.{feature.name}", not broken, sentence, value=broken, limit=0, rows=len(sample))


def _range(feature: Feature, reference: Floats) -> Floats:
    if feature.type is FeatureType.BOOLEAN:
        return np.array([0.0, 1.0])
    seen = reference[~np.isnan(reference)]
    ends = [end for end in (feature.minimum, feature.maximum) if end is not None]
    # "lower" keeps to values that rows have: an integer feature is never swept at 2.5.
    quantiles = (
        np.quantile(seen, np.linspace(0, 1, SWEEP_POINTS), method="lower") if len(seen) else np.array([])
    )
    return np.unique(np.concatenate([quantiles, ends]))


def _field_order(contract: Contract, frame: Frame, vectors: Floats, sample: Ints, seed: int) -> Check:
    """Requests made of raw rows give the encoded vector, whatever the order of their fields."""
    shuffle = random.Random(seed)
    differing = 0
    for row in sample.tolist():
        for names in _orders(list(contract.request_features), shuffle):
            vector = _as_scored(contract, frame, row, names)
            differing += np.asarray(vector).tobytes() != vectors[row].tobytes()
    sentence = f"{len(sample)} requests give the trained vector in {_SHUFFLES + 2} orders of their fields."
    if differing:
        sentence = (
            f"{differing} of {len(sample) * (_SHUFFLES + 2)} requests give another vector than training had."
        )
    return _check("field_order", not differing, sentence, value=differing, limit=0, rows=len(sample))


def _orders(names: list[str], shuffle: random.Random) -> list[list[str]]:
    return [names, names[::-1], *(shuffle.sample(names, len(names)) for _ in range(_SHUFFLES))]


def _as_scored(contract: Contract, frame: Frame, row: int, order: Sequence[str]) -> tuple[float, ...]:
    """The vector of one row as the Lambda makes it: body, names, store, vector."""
    raw = {feature.name: frame[feature.name].raw(row) for feature in contract.features}
    keys = {field: f"gate-{row}" for field in reversed(contract.groups.values()) if field != ENTITY_KEY}
    body = {"features": {name: raw[name] for name in order}, "keys": keys, "entity_id": f"gate-{row}"}
    request = parse_request(json.dumps(body))
    check_names(contract, request)
    rows: dict[FeatureKey, FeatureRow] = {}
    wanted = feature_keys(contract, request)
    for group, key in wanted.items():
        values = {
            feature.name: value
            for feature in contract.features
            if feature.source is Source.ONLINE
            and feature.group == group
            and (value := raw[feature.name]) is not None
        }
        rows[key] = FeatureRow(key, _NOW_MS, values)
    return build_vector(contract, request, wanted, FeatureReading(rows), _NOW_MS).values


def _one_row_or_batch(subject: Subject, vectors: Floats, sample: Ints) -> Check:
    together = subject.raw_scores(vectors[sample]).tolist()
    alone = [subject.evaluator.raw_score(vectors[row].tolist()) for row in sample.tolist()]
    differing = sum(a != b for a, b in zip(alone, together, strict=True))
    sentence = f"{len(sample)} rows score the same bits alone and in a batch."
    if differing:
        sentence = f"{differing} of {len(sample)} rows score differently alone than in a batch."
    return _check("one_row_or_batch", not differing, sentence, value=differing, limit=0, rows=len(sample))


def _check(
    name: str,
    holds: bool,
    sentence: str,
    *,
    value: float | None = None,
    limit: float | None = None,
    rows: int | None = None,
) -> Check:
    return Check(
        gate=Gate.CONSISTENCY,
        name=name,
        outcome=Outcome.PASS if holds else Outcome.FAIL,
        sentence=sentence,
        value=value,
        limit=limit,
        rows=rows,
    )
