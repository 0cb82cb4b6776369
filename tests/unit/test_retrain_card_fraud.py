"""The example's champion, retrained on what it answered after the world had changed, is better there and passes the gates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from examples.card_fraud.features import compute_features
from examples.card_fraud.simulator import SimulationConfig, simulate
from examples.card_fraud.train import train
from quicksilver.evaluation_file import open_evaluation
from quicksilver.frame import encode_rows
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import Gate, Outcome
from quicksilver.gates.run import Champion
from quicksilver.memory import ManualClock
from quicksilver.package import Package
from quicksilver.retraining.gating import gate_candidate
from quicksilver.retraining.train import Candidate, train_candidate
from quicksilver.retraining.training_set import read_training_set
from tests.gates import find, policy
from tests.retraining import request_for, set_file

SMALL = SimulationConfig(transactions=25_000, cards=1_500, days=40)
CUTOFF = 0.5


@pytest.fixture(scope="module")
def champion() -> Package:
    return train(SMALL, rounds=60, leaves=15, threads=1).pack()


@pytest.fixture(scope="module")
def candidate(champion: Package) -> Candidate:
    """Trained on another such world, in which the drift knob is turned from the first day."""
    transactions = simulate(replace(SMALL, drift=1.0, drift_day=0, seed=11))
    frame = compute_features(transactions)
    encoded = encode_rows(champion.contract, frame)
    chosen = np.flatnonzero(~encoded.refused & (transactions.day >= 10))
    protected = transactions.protected.of_cards(transactions.card[chosen])
    groups = [
        {name: str(value) for name, column in protected.items() if (value := column.raw(row)) is not None}
        for row in range(len(chosen))
    ]
    data = set_file(encoded.vectors[chosen], transactions.outcome[chosen], groups=groups)
    rows = read_training_set(data, champion.contract)
    return train_candidate(rows, champion, request_for(champion.contract), threads=1)


def example_policy() -> Policy:
    return policy(
        protected=["age_band", "sex"],
        cutoff=CUTOFF,
        performance={"min_auc": 0.8, "min_rows": 500},
        bias={"min_group_size": 100_000},
    )


def test_it_is_better_than_its_champion_on_days_that_neither_has_seen(
    champion: Package, candidate: Candidate
) -> None:
    report = gate_candidate(
        candidate.package,
        candidate.evaluation,
        example_policy(),
        Champion("card-fraud@1", champion),
        ManualClock(),
    )
    auc = find(report.checks, "auc")
    assert auc.champion is not None
    assert auc.value is not None
    assert auc.value > auc.champion
    assert find(report.checks, "auc_non_inferior").outcome is Outcome.PASS
    consistent = [check for check in report.checks if check.gate is Gate.CONSISTENCY]
    assert [check.name for check in consistent if check.outcome is not Outcome.PASS] == []


def test_the_groups_of_the_outcomes_are_those_of_the_gates(candidate: Candidate) -> None:
    data = open_evaluation(candidate.evaluation)
    assert len(data.groups("age_band").names) > 2
    assert {"unknown"} < set(data.groups("sex").names)


def test_it_has_the_champions_contract_and_no_more_trees(champion: Package, candidate: Candidate) -> None:
    assert candidate.package.contract == champion.contract
    assert candidate.result.trees <= 60
    assert candidate.result.inherited
