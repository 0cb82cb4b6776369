"""Training a candidate: from a training set and its champion to a model package and the rows it is judged on.

The set is split by time. The model learns from the earliest rows and is judged on the latest ``HELD_OUT_SHARE``: it is to
answer what comes after everything it has learned from, and rows of one day resemble each other (the same entities, the same
fraud wave), so that rows held out at random would flatter it. How many trees it has is decided on the latest of the rows it
learns from, and then it learns from all of them with so many trees: the freshest are what a retraining is for.

The same set, champion and request give the same package, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from quicksilver.batch_scores import scores
from quicksilver.contract import Contract, EndpointName, FeatureType
from quicksilver.errors import FieldError, InvalidData
from quicksilver.evaluation_file import evaluation_bytes
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.frame import Column
from quicksilver.instants import utc_iso
from quicksilver.model_card_text import MAX_PROSE, read_facts
from quicksilver.model_version import ModelName, Sha256
from quicksilver.package import Package
from quicksilver.packing import pack
from quicksilver.retraining.lightgbm_trainer import Rows, train
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.training_parameters import plan_of
from quicksilver.retraining.training_set import TrainingRows
from quicksilver.training_metrics import score_metrics

HELD_OUT_SHARE = 0.3
STOPPING_SHARE = 0.2
"""Of the rows that are learned from: those, the latest, on which the number of trees is decided."""
PATIENCE = 50
MINIMUM_ROWS = 1_000
"""The least that a drift policy may ask for, too."""
MINIMUM_OF_CLASS = 10
"""In the rows learned from and in those held out, of bad ones and of good ones."""


class TrainingResult(BaseModel):
    """What came of a training: ``training.json``. ``refused`` says in one sentence why there is no candidate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    request_id: str
    endpoint: EndpointName
    champion: ModelName
    refused: str | None = None
    package_sha256: Sha256 | None = None
    fingerprint: Sha256 | None = None
    rows: Annotated[int, Field(ge=0)] = 0
    held_out_rows: Annotated[int, Field(ge=0)] = 0
    held_out_from: str | None = None
    """The time of the first row that is held out."""
    bad_rows: Annotated[int, Field(ge=0)] = 0
    degraded_rows: Annotated[int, Field(ge=0)] = 0
    trees: Annotated[int, Field(ge=0)] = 0
    inherited: bool = False
    """Whether it was trained with the champion's own parameters."""
    parameters: Mapping[str, str] = {}
    metrics: Mapping[str, float] = {}
    """Of the candidate, on the rows held out."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model as a package, the rows that gates judge it on, and what is said of its training."""

    package: Package
    evaluation: bytes
    result: TrainingResult


def train_candidate(
    rows: TrainingRows, champion: Package, request: RetrainRequest, *, threads: int
) -> Candidate:
    """Train, pack and hold out.

    Raises ``InvalidData`` in one sentence for rows that nothing can be learned from, for another contract and for a
    champion that gives no probabilities.
    """
    require_learnable(rows, champion, request)
    contract = champion.contract
    plan = plan_of(champion.model_text, contract)
    cut = round(len(rows) * (1 - HELD_OUT_SHARE))
    learned, held_out = rows.part(slice(0, cut)), rows.part(slice(cut, None))
    _require_both_classes(learned, held_out)
    stop_at = round(len(learned) * (1 - STOPPING_SHARE))
    early, late = learned.part(slice(0, stop_at)), learned.part(slice(stop_at, None))
    fit = partial(
        train,
        names=contract.names,
        categorical=_categorical(contract),
        parameters=plan.parameters,
        threads=threads,
    )
    rounds = plan.rounds
    if _classes(early) == _classes(late) == 2:
        rounds = fit(_rows(early), rounds=rounds, stop_on=_rows(late), patience=PATIENCE).rounds
    model = fit(_rows(learned), rounds=rounds)
    outcomes = held_out.labels.astype(np.float64)
    metrics = score_metrics(
        scores(LightGBMEvaluator(model.text), held_out.vectors), outcomes, regression=False
    )
    metrics |= {"training_rows": float(len(learned)), "held_out_rows": float(len(held_out))}
    frame = held_out.frame()
    evaluation = evaluation_bytes(frame, held_out.labels, _protected(held_out))
    package = pack(
        model.text,
        contract,
        # Not of the rows it has learned from: their scores are more extreme than any that it will give in serving.
        reference=frame,
        target=outcomes,
        card=card_facts(champion, request, learned, held_out, inherited=plan.inherited),
        metrics=metrics,
        unlearned_categories=True,
    )
    result = TrainingResult(
        request_id=request.id,
        endpoint=request.endpoint,
        champion=request.champion,
        package_sha256=package.sha256,
        fingerprint=contract.fingerprint,
        rows=len(rows),
        held_out_rows=len(held_out),
        held_out_from=utc_iso(int(held_out.times_ms[0])),
        bad_rows=int(rows.labels.sum()),
        degraded_rows=int(rows.degraded.any(axis=1).sum()),
        trees=rounds,
        inherited=plan.inherited,
        parameters={name: str(value) for name, value in plan.parameters.items()},
        metrics=metrics,
    )
    return Candidate(package, evaluation, result)


def require_learnable(rows: TrainingRows, champion: Package, request: RetrainRequest) -> None:
    """Raise ``InvalidData`` for a set of another contract, with too few rows, or with a feature that is nowhere in it."""
    fingerprint = champion.contract.fingerprint
    if request.training_set.fingerprint != fingerprint or rows.contract.fingerprint != fingerprint:
        raise _refused("fingerprint", f"is not that of the contract of {request.champion}")
    if len(rows) < MINIMUM_ROWS:
        raise _refused("set", f"has {len(rows):,} rows, and {MINIMUM_ROWS:,} are the least to learn from")
    nowhere = np.flatnonzero(np.all(rows.degraded | np.isnan(rows.vectors), axis=0)).tolist()
    if nowhere:
        raise InvalidData(
            "The training set cannot be learned from.",
            [
                FieldError(
                    rows.contract.names[place], "has its own value in no row: each was degraded or missing"
                )
                for place in nowhere
            ],
        )


def card_facts(
    champion: Package,
    request: RetrainRequest,
    learned: TrainingRows,
    held_out: TrainingRows,
    *,
    inherited: bool,
) -> dict[str, str]:
    """What the model card says that no number does: by whom it was made, why, from what, and what to beware of."""
    before = read_facts(champion)
    asked = "a person" if request.requested_by else "the schedule"
    evidence = " ".join(sentence for window in request.evidence for sentence in window.sentences)
    unlearned = _unlearned(learned)
    data = (
        f"Trained by the retraining machine and by no person, for request {request.id} of {asked} "
        f"to replace {request.champion}: {request.reason} {evidence} "
        f"Learned from {len(learned):,} predictions of {request.training_set.start} to {utc_iso(int(held_out.times_ms[0]))} "
        f"that had an outcome; metrics, golden rows and the reference profile are of the {len(held_out):,} after them, "
        f"which it has not seen. Trained {'as its champion was' if inherited else 'with the defaults of the machine'}."
    )
    limits = (
        "Learned from what was answered and has an outcome: of declined requests there may be none. Values that were "
        "degraded were learned as the contract's policy replaced them."
        + (f" Never met in training: {unlearned}." if unlearned else "")
        + f" Of its champion was said: {before.limits}"
    )
    return {
        "purpose": before.purpose,
        "owner": before.owner,
        "data": data[:MAX_PROSE],
        "limits": limits[:MAX_PROSE],
    }


def _unlearned(learned: TrainingRows) -> str:
    """The contract's categories that no row had, in words."""
    found = []
    for place, feature in enumerate(learned.contract.features):
        if feature.type is FeatureType.CATEGORY:
            own = learned.vectors[~learned.degraded[:, place], place]
            seen = set(own[~np.isnan(own)].astype(int).tolist())
            found += [
                f"{feature.name} {name}" for code, name in enumerate(feature.categories) if code not in seen
            ]
    return ", ".join(found[:20]) + (f" and {len(found) - 20} more" if len(found) > 20 else "")


def _require_both_classes(learned: TrainingRows, held_out: TrainingRows) -> None:
    for words, rows in (("learned from", learned), ("held out", held_out)):
        bad = int(rows.labels.sum())
        for kind, count in (("bad", bad), ("good", len(rows) - bad)):
            if count < MINIMUM_OF_CLASS:
                reason = f"has {count} {kind} outcomes among the {len(rows):,} rows {words}, and {MINIMUM_OF_CLASS} are the least"
                raise _refused("label", reason)


def _protected(rows: TrainingRows) -> dict[str, Column]:
    """The protected attributes that outcomes name; a feature of the model is none of them."""
    return {name: column for name, column in rows.groups.items() if name not in rows.contract.names}


def _categorical(contract: Contract) -> list[int]:
    return [place for place, feature in enumerate(contract.features) if feature.type is FeatureType.CATEGORY]


def _rows(rows: TrainingRows) -> Rows:
    return Rows(rows.vectors, rows.labels.astype(np.float64))


def _classes(rows: TrainingRows) -> int:
    return len(np.unique(rows.labels))


def _refused(name: str, reason: str) -> InvalidData:
    return InvalidData("The training set cannot be learned from.", [FieldError(name, reason)])
