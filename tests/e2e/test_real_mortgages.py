"""Real mortgages all the way: packed, gated by the deployed policy, registered, approved, answering."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quicksilver.aws.system import SystemClock
from quicksilver.errors import NotAllowed
from quicksilver.evaluation_file import open_evaluation
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import Gate, Outcome
from quicksilver.gates.run import run_gates
from quicksilver.local import checkout
from quicksilver.model_version import State
from quicksilver.routing import sole_champion
from tests.real_mortgages import FILE, FLAGS, GROUPS, NUMBERS, features, hand_over

if TYPE_CHECKING:
    from tests.local_stack import LocalStack

ENDPOINT = "credit-line"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FILE.is_file(), reason="the folder with real data is absent"),
]


def test_a_mortgage_model_goes_from_rows_to_answers_by_two_people(local_stack: LocalStack) -> None:
    mortgages = hand_over()
    package = mortgages.package
    policy = Policy.from_toml((checkout() / "policies" / f"{ENDPOINT}.toml").read_text())
    data = open_evaluation(mortgages.evaluation)
    report = run_gates(package, data, policy, None, SystemClock())
    assert report.outcome is not Outcome.FAIL, [
        c.sentence for c in report.checks if c.outcome is Outcome.FAIL
    ]
    assert {check.attribute for check in report.of_gate(Gate.BIAS)} >= GROUPS.keys()

    ada, grace = local_stack, local_stack.as_("grace")
    ada.artifacts.put(package.sha256, package.files)
    name = ada.registry.register(ENDPOINT, package.sha256).name
    assert ada.registry.add_evidence(name, report).state is State.GATED
    with pytest.raises(NotAllowed, match="author"):
        ada.registry.approve(name, reason="Mine.")
    approved = grace.registry.approve(name, reason="Warnings were looked at.")
    assert approved.approval is not None
    assert approved.approval.evidence_sha256 == report.sha256
    assert ada.registry.evidence(name) == report

    arm = sole_champion(approved)
    grace.registry.set_route(ENDPOINT, [arm], reason="The first mortgage model.")
    local_stack.new_environment(ENDPOINT)
    row = features(mortgages.raw).iloc[0]
    sent = {**{n: bool(row[n]) for n in FLAGS}, **{n: float(row[n]) for n in NUMBERS}}
    sent = {name: value for name, value in sent.items() if value == value}
    answer = local_stack.score({"entity_id": "mortgage_1", "features": sent}, ENDPOINT)
    assert answer.status == 200, answer.content
    assert answer.content["model"] == name
    assert answer.content["score"] == pytest.approx(float(mortgages.scores[0]), abs=1e-15)
    assert local_stack.audit(ENDPOINT, lambda _: None).findings == []
