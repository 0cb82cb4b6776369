"""A gate run as a whole: what it refuses, what it reports, that it repeats, and latency's limits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest

from quicksilver.contract import Contract
from quicksilver.errors import InvalidContract, InvalidData, InvalidPackage, InvalidPolicy, ModelNotLoadable
from quicksilver.gates.render import headline, to_junit, to_markdown
from quicksilver.gates.report import Check, Gate, GateReport, Outcome
from quicksilver.gates.run import Champion, run_gates
from quicksilver.memory import ManualClock
from quicksilver.package import Package
from quicksilver.training_frame import decode_matrix
from tests.conftest import contract_content, train
from tests.gates import contract_with, evaluation, failed, find, policy, with_files

if TYPE_CHECKING:
    from tests.conftest import Trained


def run(
    package: Package, data: Any, by: Any = None, champion: Package | None = None, **more: Any
) -> GateReport:
    rival = Champion("card-fraud@4", champion) if champion else None
    return run_gates(package, data, by or policy(), rival, ManualClock(), **more)


def test_a_sound_package_passes_every_gate_alone_and_against_itself(
    trained: Trained, package: Package
) -> None:
    data = evaluation(trained)
    alone, beside = run(package, data), run(package, data, champion=package)
    for report in (alone, beside):
        assert {check.gate for check in report.checks} == set(Gate)
        assert failed(report.checks) == []
    assert (alone.champion, alone.champion_sha256) == (None, None)
    assert (beside.champion, beside.champion_sha256) == ("card-fraud@4", package.sha256)
    assert (beside.package_sha256, beside.fingerprint) == (package.sha256, package.contract.fingerprint)
    assert (beside.data_sha256, beside.rows) == (data.sha256, len(trained.vectors))
    assert (beside.policy_version, beside.policy_sha256) == (3, policy().sha256)
    assert beside.created_at == "2025-10-09T08:53:20.000Z"


def test_a_run_repeats_but_for_measured_times(
    trained: Trained, package: Package, second_package: Package
) -> None:
    data = evaluation(trained)
    first, again = (run(package, data, champion=second_package) for _ in range(2))
    for gate in (Gate.PERFORMANCE, Gate.BIAS, Gate.CONSISTENCY):
        assert first.of_gate(gate) == again.of_gate(gate)


def test_a_model_of_noise_fails_against_a_real_champion(trained: Trained, package: Package) -> None:
    noise = np.random.default_rng(1).permutation(trained.target)
    import lightgbm

    booster = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": 4},
        lightgbm.Dataset(trained.vectors, noise, feature_name=list(trained.contract.names)),
        num_boost_round=3,
    )
    bad = train(trained.contract)
    poor = type(bad)(booster, bad.contract, bad.vectors, bad.target).pack()
    report = run(poor, evaluation(trained), champion=package)
    assert report.outcome is Outcome.FAIL
    assert {"auc", "auc_non_inferior", "brier_non_inferior"} <= set(failed(report.checks))


def test_steps_are_told_in_order(trained: Trained, package: Package) -> None:
    told: list[str] = []
    run(package, evaluation(trained), progress=lambda step, _done, _total: told.append(step))
    assert list(dict.fromkeys(told)) == [
        "score the rows",
        "resample the metrics",
        "compare groups",
        "check consistency",
        "measure latency",
    ]


def test_a_protected_attribute_among_the_inputs_is_refused_before_anything_is_read(
    trained: Trained, package: Package
) -> None:
    with pytest.raises(InvalidContract) as refusal:
        run(package, None, policy(protected=["channel"]))
    assert [str(field) for field in refusal.value.fields] == ["features.channel: is a protected attribute"]


def test_a_protected_attribute_without_a_column_is_refused(trained: Trained, package: Package) -> None:
    with pytest.raises(InvalidData) as refusal:
        run(package, evaluation(trained), policy(protected=["band", "race"]))
    assert [field.field for field in refusal.value.fields] == ["race"]


def test_attributes_that_the_contract_protects_are_judged_too(trained: Trained, package: Package) -> None:
    guarded = with_files(
        package, contract_json=contract_with(lambda _f, c: c.update(protected=["band"])).canonical_json
    )
    report = run(guarded, evaluation(trained), policy(protected=[]))
    assert {check.attribute for check in report.of_gate(Gate.BIAS)} == {"band"}


def test_a_policy_or_a_champion_of_another_endpoint_is_refused(trained: Trained, package: Package) -> None:
    with pytest.raises(InvalidPolicy, match="not for card-fraud"):
        run(package, evaluation(trained), policy(endpoint="credit-line"))
    other = contract_with(lambda _f, content: content.update(endpoint="credit-line"))
    with pytest.raises(InvalidPackage, match="champion is not for card-fraud"):
        run(package, evaluation(trained), champion=with_files(package, contract_json=other.canonical_json))


def test_rows_that_serving_would_refuse_are_no_evidence(trained: Trained, package: Package) -> None:
    frame = dict(decode_matrix(trained.contract, trained.vectors))
    values = frame["amount"].values.copy()
    values[:3] = -5.0
    frame["amount"] = type(frame["amount"])(values, frame["amount"].present)
    from quicksilver.evaluation_file import evaluation_bytes, open_evaluation

    data = open_evaluation(evaluation_bytes(frame, trained.target, {"band": ["x"] * len(values)}))
    with pytest.raises(InvalidData) as refusal:
        run(package, data)
    assert refusal.value.fields[0].reason == "3 rows miss a feature whose policy is reject"


def test_a_contract_of_five_features_for_a_model_of_six_is_reported_and_nothing_else_is(
    trained: Trained, package: Package
) -> None:
    content = contract_content()
    content["features"].pop()
    del content["groups"]["merchant"]
    bent = with_files(package, contract_json=Contract.model_validate(content).canonical_json)
    report = run(bent, evaluation(trained))
    assert failed(report.checks) == ["model_fits_contract"]
    assert len(report.checks) == 1


def test_a_truncated_model_is_refused(trained: Trained, package: Package) -> None:
    cut = with_files(package, model_txt=package.model_text[: len(package.model_text) // 2])
    with pytest.raises((ModelNotLoadable, InvalidPackage)):
        run(cut, evaluation(trained))


def champion_with(package: Package, bend: Any) -> Package:
    return with_files(package, contract_json=contract_with(bend).canonical_json)


def test_a_champion_that_the_rows_do_not_suit_fails_the_comparison_and_says_what_is_missing(
    trained: Trained, package: Package
) -> None:
    def bend(features: dict[str, Any], _: Any) -> None:
        features["merchant_risk"]["name"] = "merchant_risk_v1"

    report = run(package, evaluation(trained), champion=champion_with(package, bend))
    same_rows = find(report.checks, "same_rows")
    assert same_rows.outcome is Outcome.FAIL
    assert "merchant_risk_v1: is a feature of the contract and has no column" in same_rows.sentence
    assert not [check for check in report.checks if check.name.endswith("non_inferior")]


def test_both_models_are_judged_on_the_rows_that_the_champion_accepts(
    trained: Trained, package: Package
) -> None:
    champion = champion_with(package, lambda features, _: features["amount"].update(maximum=100))
    report = run(package, evaluation(trained), champion=champion)
    kept = int((trained.vectors[:, 0] <= 100).sum())
    assert find(report.checks, "same_rows").outcome is Outcome.WARN
    assert {find(report.checks, name).rows for name in ("auc", "auc_non_inferior")} == {kept}


def test_the_champions_rows_are_encoded_by_its_own_contract(trained: Trained, package: Package) -> None:
    # The same model under a contract with the categories in another order sees other codes, and so ranks otherwise.
    champion = champion_with(package, lambda f, _: f["channel"].update(categories=["online", "atm", "pos"]))
    found = run(package, evaluation(trained), champion=champion).checks
    assert find(found, "auc_non_inferior").value != 0
    assert find(run(package, evaluation(trained), champion=package).checks, "auc_non_inferior").value == 0


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"max_cpu_us": 1}, "cpu_us"),
        ({"max_package_mib": 0.001}, "package_mib"),
        ({"max_cpu_ratio": 0.001}, "cpu_ratio"),
        ({"max_load_ratio": 0.001}, "load_ratio"),
    ],
)
def test_each_latency_limit_can_fail(trained: Trained, package: Package, limits: Any, name: str) -> None:
    report = run(package, evaluation(trained), policy(latency=limits), champion=package)
    assert failed(report.checks) == [name]
    assert "is allowed" in find(report.checks, name).sentence


def test_a_model_ten_times_as_large_costs_more_cpu_and_load_than_its_champion(
    trained: Trained, package: Package
) -> None:
    import lightgbm

    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 63, "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(trained.vectors, trained.target, feature_name=list(trained.contract.names)),
        num_boost_round=400,
    )
    heavy = type(trained)(booster, trained.contract, trained.vectors, trained.target).pack()
    checks = run(heavy, evaluation(trained), champion=package).checks
    assert (find(checks, "cpu_ratio").value or 0) > 3
    assert (find(checks, "load_ratio").value or 0) > 3


# --- the report as text ------------------------------------------------------------------------------------


def report_of(*checks: Check) -> GateReport:
    return GateReport(
        endpoint="card-fraud", package_sha256="a" * 64, fingerprint="b" * 64, champion=None, champion_sha256=None,
        data_sha256="c" * 64, rows=1_000, policy_version=1, policy_sha256="d" * 64,
        created_at="2026-11-23T07:16:00.000Z", checks=checks,
    )  # fmt: skip


NASTY = 'a|b <script> & "quotes" é \n\x07\ufffe'
CHECKS = (
    Check(gate=Gate.PERFORMANCE, name="auc", outcome=Outcome.PASS, sentence="Fine.", value=0.91234, low=0.9, high=0.92),
    Check(gate=Gate.BIAS, name="adverse_impact_ratio", outcome=Outcome.WARN, sentence=f"{NASTY} is low.",
          attribute="race", group=NASTY, value=0.7, limit=0.8, rows=1234),
    Check(gate=Gate.LATENCY, name="cpu_us", outcome=Outcome.FAIL, sentence="Slow.", value=60_000, limit=50_000),
)  # fmt: skip


def test_junit_is_xml_with_a_failure_for_what_fails_and_none_for_what_warns() -> None:
    text = to_junit(report_of(*CHECKS))
    assert text.startswith("<?xml version='1.0' encoding='utf-8'?>")
    root = ElementTree.fromstring(text.encode())  # noqa: S314 - our own output
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    assert [suite.get("name") for suite in root] == ["performance", "bias", "latency"]
    (failure,) = root.iter("failure")
    assert failure.get("message") == "Slow."
    assert failure.text == "value 60,000, limit 50,000"
    (warning,) = root.iter("system-out")
    assert warning.text == f"warning: {NASTY.rstrip(chr(7) + chr(0xFFFE))} is low."


def test_markdown_names_what_fails_first_and_group_names_cannot_break_its_tables() -> None:
    text = to_markdown(report_of(*CHECKS))
    assert text.index("## What fails") < text.index("## What warns") < text.index("## Performance")
    assert "| auc | pass | 0.9123 | 0.9000 to 0.9200 |" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| adverse_impact_ratio")]
    assert row.replace("\\|", "").count("|") == 9
    assert "<script>" not in text


def test_a_report_reads_back_and_the_same_report_gives_the_same_text(
    trained: Trained, package: Package
) -> None:
    report = run(package, evaluation(trained), champion=package)
    again = GateReport.model_validate_json(report.canonical_json)
    assert again.sha256 == report.sha256
    assert (to_markdown(again), to_junit(again)) == (to_markdown(report), to_junit(report))
    assert json.loads(report.canonical_json)["endpoint"] == "card-fraud"


def test_the_headline_counts() -> None:
    assert headline(report_of(*CHECKS)) == "FAIL: 1 checks pass, 1 warn, 1 fail."
