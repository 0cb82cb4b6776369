"""A candidate: learned from the earlier rows, judged on the later ones, packed under the champion's contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quicksilver.contract import Contract
from quicksilver.errors import InvalidData, InvalidPackage
from quicksilver.evaluation_file import open_evaluation
from quicksilver.gates.report import Outcome
from quicksilver.gates.run import Champion
from quicksilver.memory import ManualClock
from quicksilver.model_text import read_header
from quicksilver.package import Package
from quicksilver.packing import pack
from quicksilver.retraining.gating import gate_candidate
from quicksilver.retraining.train import Candidate, train_candidate
from quicksilver.retraining.training_parameters import DEFAULTS, plan_of
from quicksilver.retraining.training_set import read_training_set
from tests.conftest import contract_content
from tests.gates import find, policy
from tests.retraining import request_for, set_file
from tests.trainings import ROWS, world

if TYPE_CHECKING:
    from tests.conftest import Trained


def make(package: Package, vectors: Any, labels: Any, **more: Any) -> Candidate:
    changes = more.pop("request", {})
    rows = read_training_set(set_file(vectors, labels, **more), package.contract)
    request = request_for(package.contract, **changes)
    return train_candidate(rows, package, request, threads=1)


@pytest.fixture(scope="module")
def candidate(package: Package) -> Candidate:
    vectors, labels = world(turned=True)
    groups = [{"band": "old" if row % 2 else "young"} for row in range(ROWS)]
    return make(package, vectors, labels, groups=groups)


def test_it_keeps_the_contract_and_says_by_whom_it_was_made(candidate: Candidate, package: Package) -> None:
    assert candidate.package.contract.fingerprint == package.contract.fingerprint
    card = candidate.package.files["model_card.md"].decode()
    for words in (
        "Trained by the retraining machine and by no person, for request card-fraud-000001 of the schedule",
        "to replace card-fraud@1: 3 windows alarmed. amount: the distribution moved.",
        "Learned from 2,800 predictions of 2025-10-09T08:53:20.000Z",
        "of the 1,200 after them",
        "Trained as its champion was.",
        "of declined requests there may be none",
    ):
        assert words in card
    assert candidate.result.package_sha256 == candidate.package.sha256
    assert (candidate.result.rows, candidate.result.held_out_rows) == (ROWS, 1_200)
    assert candidate.result.refused is None


def test_the_latest_rows_are_held_out_and_never_learned_from(package: Package) -> None:
    """Were any of the latest 30 % learned from, what they say would show: their labels are the opposite."""
    vectors, labels = world()
    cut = ROWS * 7 // 10
    told_otherwise = labels.copy()
    told_otherwise[cut:] = ~labels[cut:]
    one, two = make(package, vectors, labels), make(package, vectors, told_otherwise)
    assert one.package.model_text == two.package.model_text
    assert one.package.metrics["auc"] == pytest.approx(1 - two.package.metrics["auc"])
    held_out = open_evaluation(two.evaluation)
    assert held_out.encode(package.contract).vectors.tobytes() == vectors[cut:].tobytes()
    assert held_out.target.tolist() == told_otherwise[cut:].tolist()


def test_the_same_set_gives_the_same_bytes_in_any_order_of_rows_and_with_any_threads(
    package: Package,
) -> None:
    vectors, labels = world()
    one = make(package, vectors, labels)
    two = make(package, vectors, labels, shuffle=3)
    assert dict(one.package.files) == dict(two.package.files)
    assert one.evaluation == two.evaluation
    rows = read_training_set(set_file(vectors, labels), package.contract)
    three = train_candidate(rows, package, request_for(package.contract), threads=2)
    assert three.package.sha256 == one.package.sha256


def test_on_a_world_that_has_turned_it_beats_its_champion_in_the_gates(
    candidate: Candidate, package: Package
) -> None:
    champion = Champion("card-fraud@1", package)
    # The champion is worse than chance there, so the gates' latency and calibration bounds are not the point.
    report = gate_candidate(candidate.package, candidate.evaluation, policy(), champion, ManualClock())
    auc = find(report.checks, "auc")
    assert auc.champion is not None
    assert auc.value is not None
    assert auc.champion < 0.4 < 0.8 < auc.value
    assert find(report.checks, "auc_non_inferior").outcome is Outcome.PASS
    assert find(report.checks, "golden_raw_score").outcome is Outcome.PASS
    assert find(report.checks, "field_order").outcome is Outcome.PASS
    assert find(report.checks, "favourable_rate", "old").rows == 600


def test_where_no_outcome_names_a_group_the_bias_gate_warns_instead_of_passing(package: Package) -> None:
    made = make(package, *world())
    report = gate_candidate(
        made.package, made.evaluation, policy(), Champion("card-fraud@1", package), ManualClock()
    )
    warned = find(report.checks, "protected_attributes")
    assert warned.outcome is Outcome.WARN
    assert warned.sentence == "No row says its band, so nothing says how its groups are treated."
    assert {check.group for check in report.checks if check.attribute == "band"} == {"unknown", None}


def test_it_is_trained_as_its_champion_was_and_has_no_more_trees(
    candidate: Candidate, package: Package
) -> None:
    text = candidate.package.model_text
    champion = read_header(package.model_text)
    assert 1 <= read_header(text).trees <= champion.trees
    for line in (b"[num_leaves: 15]", b"[seed: 7]", b"[scale_pos_weight: 1]", b"[is_unbalance: 0]"):
        assert line in text
    assert candidate.result.parameters["num_leaves"] == "15"
    assert candidate.result.inherited


def test_a_champion_that_does_not_say_how_it_was_trained_gives_the_defaults(package: Package) -> None:
    text, _, _ = package.model_text.partition(b"\nparameters:\n")
    plan = plan_of(text, package.contract)
    assert not plan.inherited
    assert {name: plan.parameters[name] for name in DEFAULTS} == dict(DEFAULTS)
    forest = package.model_text.replace(b"[boosting: gbdt]", b"[boosting: rf]")
    assert not plan_of(forest, package.contract).inherited


def test_the_contracts_monotone_directions_bind_the_candidate(package: Package) -> None:
    content = contract_content()
    content["features"][0]["monotone"] = 1
    contract = Contract.model_validate(content)
    assert plan_of(package.model_text, contract).parameters["monotone_constraints"] == "1,0,0,0,0,0"


def test_class_weights_of_the_champion_are_not_taken_over(package: Package) -> None:
    bent = package.model_text.replace(b"[scale_pos_weight: 1]", b"[scale_pos_weight: 9]")
    assert bent != package.model_text
    plan = plan_of(bent, package.contract)
    assert "scale_pos_weight" not in plan.parameters


def test_a_champion_that_gives_values_and_no_probabilities_is_refused(package: Package) -> None:
    bent = package.model_text.replace(b"\nobjective=binary sigmoid:1\n", b"\nobjective=regression\n")
    with pytest.raises(InvalidData) as refused:
        plan_of(bent, package.contract)
    assert [str(f) for f in refused.value.fields] == ["objective: is regression, and outcomes are yes or no"]


def test_a_category_that_no_row_had_is_said_in_the_card_and_keeps_the_contract(package: Package) -> None:
    vectors, labels = world()
    vectors[vectors[:, 1] == 2, 1] = 0
    made = make(package, vectors, labels)
    assert "Never met in training: channel atm." in made.package.files["model_card.md"].decode()
    assert made.package.contract.fingerprint == package.contract.fingerprint


def test_packing_by_hand_still_refuses_such_a_contract(trained: Trained, package: Package) -> None:
    vectors, labels = world()
    vectors[vectors[:, 1] == 2, 1] = 0
    made = make(package, vectors, labels)
    with pytest.raises(InvalidPackage, match="categories are not those of training"):
        pack(made.package.model_text, trained.contract, reference=vectors, target=labels)


def test_a_degraded_value_is_learned_as_the_model_saw_it_and_shown_as_missing(package: Package) -> None:
    vectors, labels = world()
    late = range(ROWS * 8 // 10, ROWS)
    for row in late:
        vectors[row, 3], vectors[row, 1] = 0.0, np.nan
    degraded = {row: {"txn_count_1h": "late", "channel": "unseen_category"} for row in late}
    told, untold = make(package, vectors, labels, degraded=degraded), make(package, vectors, labels)
    assert told.package.model_text == untold.package.model_text
    channel = told.package.reference.features["channel"]
    assert channel.kind == "category"
    assert channel.unseen == len(late)
    assert told.result.degraded_rows == len(late)
    assert not open_evaluation(told.evaluation).columns["txn_count_1h"].present[-1]


def few_bad(labels: np.ndarray, where: slice, keep: int) -> np.ndarray:
    bent = labels.copy()
    bad = np.flatnonzero(bent[where]) + (where.start or 0)
    bent[bad[keep:]] = False
    return bent


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda v, y: (v[:999], y[:999], {}), "set: has 999 rows, and 1,000 are the least to learn from"),
        (
            lambda v, y: (v, np.zeros(len(y), dtype=bool), {}),
            "label: has 0 bad outcomes among the 2,800 rows learned from, and 10 are the least",
        ),
        (
            lambda v, y: (v, np.ones(len(y), dtype=bool), {}),
            "label: has 0 good outcomes among the 2,800 rows learned from, and 10 are the least",
        ),
        (
            lambda v, y: (v, few_bad(y, slice(2_800, None), 9), {}),
            "label: has 9 bad outcomes among the 1,200 rows held out, and 10 are the least",
        ),
        (
            lambda v, y: (v, y, {"degraded": {row: {"txn_count_1h": "late"} for row in range(len(v))}}),
            "txn_count_1h: has its own value in no row: each was degraded or missing",
        ),
        (
            lambda v, y: (np.where(np.arange(6) == 5, np.nan, v), y, {}),
            "merchant_risk: has its own value in no row: each was degraded or missing",
        ),
    ],
)  # fmt: skip
def test_what_nothing_can_be_learned_from_is_refused_in_one_sentence(
    package: Package, bend: Any, reason: str
) -> None:
    vectors, labels, more = bend(*world())
    with pytest.raises(InvalidData) as refused:
        make(package, vectors, labels, **more)
    assert [str(field) for field in refused.value.fields] == [reason]


def test_a_set_of_another_contract_is_refused(package: Package) -> None:
    other = request_for(package.contract).training_set.model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(InvalidData) as refused:
        make(package, *world(), request={"training_set": other})
    assert [str(f) for f in refused.value.fields] == [
        "fingerprint: is not that of the contract of card-fraud@1"
    ]
