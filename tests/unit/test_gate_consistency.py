"""The consistency gate: golden rows, contracts against the champion's, monotone sweeps, orders, one row or many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quicksilver.contract import Contract
from quicksilver.gates.compatibility import compatibility_checks
from quicksilver.gates.consistency import consistency_checks
from quicksilver.gates.policy import ConsistencyPolicy
from quicksilver.gates.report import Check, Outcome
from quicksilver.gates.subject import Subject
from quicksilver.package import Package
from tests.conftest import contract_content
from tests.gates import (
    contract_with,
    evaluation,
    failed,
    find,
    golden_bytes,
    golden_lines,
    ulp_above,
    with_files,
)

if TYPE_CHECKING:
    from tests.conftest import Trained

POLICY = ConsistencyPolicy(monotone_rows=40, order_rows=10)


@pytest.fixture
def run(trained: Trained) -> Callable[..., list[Check]]:
    """The gate on a package, over the rows its model was trained on."""
    data = evaluation(trained)

    def checks(package: Package, *, champion: Package | None = None, vectors: Any = None) -> list[Check]:
        frame = data.frame(trained.contract)
        usual = data.encode(trained.contract).vectors
        return consistency_checks(
            Subject(package),
            Subject(champion) if champion else None,
            frame,
            usual if vectors is None else vectors,
            POLICY,
            seed=1,
        )

    return checks


def test_a_sound_package_is_consistent(run: Callable[..., list[Check]], package: Package) -> None:
    found = run(package, champion=package)
    assert [check.outcome for check in found] == [Outcome.PASS] * len(found)
    assert find(found, "golden_raw_score").rows == len(package.golden_rows)


def test_a_golden_row_off_by_one_ulp_fails(run: Callable[..., list[Check]], package: Package) -> None:
    lines = golden_lines(package)
    lines[2]["raw_score"] = ulp_above(lines[2]["raw_score"])
    found = run(with_files(package, golden_jsonl=golden_bytes(lines)))
    assert failed(found) == ["golden_raw_score"]
    assert "the first in line 3" in find(found, "golden_raw_score").sentence


@pytest.mark.parametrize(("difference", "outcome"), [(1e-10, Outcome.PASS), (1e-8, Outcome.FAIL)])
def test_golden_contributions_may_differ_by_rounding_and_no_more(
    run: Callable[..., list[Check]], package: Package, difference: float, outcome: Outcome
) -> None:
    lines = golden_lines(package)
    lines[0]["contributions"][1] += difference
    found = run(with_files(package, golden_jsonl=golden_bytes(lines)))
    assert find(found, "golden_contributions").outcome is outcome


def test_a_golden_row_of_another_length_fails(run: Callable[..., list[Check]], package: Package) -> None:
    lines = golden_lines(package)
    lines[0]["vector"].pop()
    assert failed(run(with_files(package, golden_jsonl=golden_bytes(lines)))) == ["golden_raw_score"]


@pytest.mark.parametrize(
    ("bend", "sentence"),
    [
        (lambda features: features[:-1], "The contract has 5 features and the model 6."),
        (lambda features: [features[1], features[0], *features[2:]], "channel and not amount"),
    ],
)
def test_a_contract_that_is_not_the_models_fails_before_anything_else(
    run: Callable[..., list[Check]], package: Package, bend: Any, sentence: str
) -> None:
    content = contract_content()
    content["features"] = bend(content["features"])
    if len(content["features"]) == 5:
        del content["groups"]["merchant"]
    bent = with_files(package, contract_json=Contract.model_validate(content).canonical_json)
    (check,) = run(bent)
    assert (check.name, check.outcome) == ("model_fits_contract", Outcome.FAIL)
    assert sentence in check.sentence


def monotone(package: Package, **directions: int) -> Package:
    def bend(features: dict[str, Any], _: Any) -> None:
        for name, direction in directions.items():
            features[name]["monotone"] = direction

    return with_files(package, contract_json=contract_with(bend).canonical_json)


def test_a_direction_that_the_model_breaks_fails(run: Callable[..., list[Check]], package: Package) -> None:
    # Risk rises with the amount in training, so "never raises" is false.
    found = run(monotone(package, amount=-1))
    assert failed(found) == ["monotone.amount"]
    broken = find(found, "monotone.amount")
    assert broken.value is not None
    assert broken.value > 30
    assert "raises the raw score" in broken.sentence


def test_directions_that_training_enforced_hold(trained: Trained, run: Callable[..., list[Check]]) -> None:
    import lightgbm

    directions = [1, 0, -1, 1, 0, 0]
    booster = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1, "monotone_constraints": directions},
        lightgbm.Dataset(
            trained.vectors,
            trained.target,
            feature_name=list(trained.contract.names),
            categorical_feature=[1],
        ),
        num_boost_round=20,
    )

    def bend(features: dict[str, Any], _: Any) -> None:
        for feature, direction in zip(features.values(), directions, strict=True):
            feature["monotone"] = direction

    from quicksilver.packing import pack

    package = pack(booster, contract_with(bend), reference=trained.vectors, target=trained.target, golden=5)
    found = run(package)
    assert failed(found) == []
    assert {c.name for c in found if c.name.startswith("monotone")} == {
        "monotone.amount",
        "monotone.cross_border",
        "monotone.txn_count_1h",
    }


def test_requests_that_give_another_vector_than_training_had_fail(
    run: Callable[..., list[Check]], package: Package, trained: Trained
) -> None:
    skewed = trained.vectors.copy()
    skewed[:, 0] += 0.01
    assert "field_order" in failed(run(package, vectors=skewed))


def test_a_batch_that_scores_otherwise_than_one_row_fails(
    run: Callable[..., list[Check]], package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Subject.raw_scores
    monkeypatch.setattr(Subject, "raw_scores", lambda self, rows: np.nextafter(honest(self, rows), np.inf))
    assert failed(run(package)) == ["one_row_or_batch"]


# --- contracts ---------------------------------------------------------------------------------------------

OLD = Contract.model_validate(contract_content())


def feature(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "type": "number", "source": "request", "missing": "missing",
        "reason_code": name.upper(), "reason": name, **more,
    }  # fmt: skip


def compare(bend: Any) -> list[tuple[str, Outcome]]:
    return [(c.name, c.outcome) for c in compatibility_checks(contract_with(bend), OLD)]


def test_a_contract_suits_its_own_champion_and_any_suits_none() -> None:
    assert compare(lambda _f, _c: None) == [("contract", Outcome.PASS)]
    assert [c.outcome for c in compatibility_checks(OLD, None)] == [Outcome.PASS]


def test_changes_that_nobody_must_follow_pass() -> None:
    def bend(features: dict[str, Any], content: dict[str, Any]) -> None:
        features["channel"]["categories"].append("phone")
        features["amount"]["maximum"] = 2_000_000
        features["txn_count_1h"]["type"] = "number"
        features["merchant_risk"]["max_age_seconds"] = 90_000
        features["merchant_risk"]["monotone"] = 1
        # An online feature that nobody reads any more hurts nobody.
        content["features"] = [f for f in content["features"] if f["name"] != "amount_mean_7d"]

    assert compare(bend) == [("contract", Outcome.PASS)]


def remove(name: str) -> Any:
    def bend(_: Any, content: dict[str, Any]) -> None:
        content["features"] = [f for f in content["features"] if f["name"] != name]
        used = {f.get("group") for f in content["features"]}
        content["groups"] = {group: key for group, key in content["groups"].items() if group in used}

    return bend


def add(new: dict[str, Any], **groups: str) -> Any:
    def bend(_: Any, content: dict[str, Any]) -> None:
        content["features"].append(new)
        content["groups"].update(groups)

    return bend


def change(name: str, **values: Any) -> Any:
    def bend(features: dict[str, Any], _: Any) -> None:
        features[name].update(values)
        for key in [key for key, value in values.items() if value is None]:
            del features[name][key]

    return bend


ONLINE = {"source": "online", "max_age_seconds": 60}
FAIL, WARN = Outcome.FAIL, Outcome.WARN


@pytest.mark.parametrize(
    ("bend", "expected"),
    [
        (add(feature("age")), ("new_request_feature.age", WARN)),
        (add(feature("age", missing="reject")), ("new_request_feature.age", FAIL)),
        (add(feature("score", group="card", **ONLINE)), ("new_online_feature.score", WARN)),
        (add(feature("score", group="card", missing="reject", **ONLINE)), ("new_online_feature.score", FAIL)),
        (remove("channel"), ("removed_feature.channel", FAIL)),
        (remove("merchant_risk"), ("removed_key.merchant_id", FAIL)),
        (change("amount", type="integer"), ("type.amount", FAIL)),
        (change("cross_border", type="number", default=0), ("type.cross_border", FAIL)),
        (change("channel", categories=["online", "atm"]), ("categories.channel", WARN)),
        (change("channel", categories=["online"], missing="reject"), ("categories.channel", FAIL)),
        (change("amount", maximum=100), ("range.amount", FAIL)),
        (change("merchant_risk", minimum=0), ("range.merchant_risk", WARN)),
        (change("channel", missing="refer"), ("missing_policy.channel", WARN)),
        (change("merchant_risk", max_age_seconds=60), ("max_age.merchant_risk", WARN)),
        (change("merchant_risk", source="request", group=None, max_age_seconds=None), ("source.merchant_risk", WARN)),
        (change("channel", group="card", **ONLINE), ("source.channel", FAIL)),
        (change("amount", sensitive=False), ("sensitive.amount", WARN)),
        (change("amount_mean_7d", group="merchant"), ("group.amount_mean_7d", WARN)),
    ],
)  # fmt: skip
def test_each_change_that_somebody_must_follow_is_named(bend: Any, expected: tuple[str, Outcome]) -> None:
    def whole(features: dict[str, Any], content: dict[str, Any]) -> None:
        bend(features, content)
        used = {f.get("group") for f in content["features"]}
        content["groups"] = {group: key for group, key in content["groups"].items() if group in used}

    assert expected in compare(whole)


@pytest.mark.parametrize(("missing", "outcome"), [("missing", WARN), ("reject", FAIL)])
def test_a_new_group_key_is_named_with_what_happens_until_callers_send_it(
    missing: str, outcome: Outcome
) -> None:
    bend = add(feature("device_age", group="device", missing=missing, **ONLINE), device="device_id")
    assert ("new_key.device_id", outcome) in compare(bend)


def test_a_removed_request_feature_would_have_todays_requests_refused() -> None:
    # The rule above is about check_names; this holds it to what check_names does.
    from quicksilver.errors import InvalidRequest
    from quicksilver.features import check_names
    from quicksilver.request import ScoreRequest

    request = ScoreRequest(entity_id="c", features={"amount": 1.0, "channel": "pos"})
    check_names(OLD, request)
    with pytest.raises(InvalidRequest):
        check_names(contract_with(remove("channel")), request)
