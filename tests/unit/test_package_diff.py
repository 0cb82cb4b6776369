"""What changed between two packages is said feature by feature, number by number."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from quicksilver.contract import Contract
from quicksilver.gates.report import GateReport
from quicksilver.package import MODEL, open_package
from quicksilver.package_diff import diff_packages, gain_shares, render_diff
from tests.approvals import policy, report
from tests.conftest import contract_content, train

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.conftest import Trained


@pytest.fixture(scope="module")
def changed(trained: Trained) -> Package:
    """A package whose contract lacks one feature, has another, and bends a third."""
    content = contract_content()
    content["features"][0]["maximum"] = 5_000
    content["features"][5]["name"] = "merchant_age"
    content["top_reasons"] = 4
    return train(Contract.model_validate(content)).pack(metrics={"auc": 0.95, "ks": 0.5})


def test_a_package_differs_in_nothing_from_itself(package: Package) -> None:
    diff = diff_packages(package, package)
    assert diff.same_contract
    assert {moved.difference for moved in (*diff.importance, *diff.metrics)} == {0.0}


def test_contract_changes_are_named_with_both_values(package: Package, changed: Package) -> None:
    diff = diff_packages(package, changed)
    assert (diff.added, diff.removed, diff.reordered) == (("merchant_age",), ("merchant_risk",), False)
    found = {change.where: (change.before, change.after) for change in diff.changed}
    assert found == {"amount.maximum": (1_000_000.0, 5_000.0), "top_reasons": (3, 4)}


def test_metrics_of_either_side_are_compared(package: Package, changed: Package) -> None:
    auc, ks = diff_packages(package, changed).metrics
    assert (auc.name, auc.before, auc.after, auc.difference) == ("auc", 0.9, 0.95, pytest.approx(0.05))
    assert (ks.name, ks.before, ks.after, ks.difference) == ("ks", None, 0.5, None)


def test_a_champion_opened_for_scoring_only_is_compared_in_all_but_metrics(
    package: Package, changed: Package
) -> None:
    champion = open_package(package.files.__getitem__, package.sha256, only=[MODEL])
    diff, full = diff_packages(champion, changed), diff_packages(package, changed)
    assert {moved.before for moved in diff.metrics} == {None}
    assert diff.model_copy(update={"metrics": full.metrics}) == full


def test_importance_is_the_share_of_lightgbms_own_gain(trained: Trained, package: Package) -> None:
    gains = trained.booster.feature_importance("gain")
    expected = dict(zip(trained.contract.names, gains / gains.sum(), strict=True))
    assert gain_shares(package) == pytest.approx(expected)
    shares = [moved.after for moved in diff_packages(package, package).importance]
    assert shares == sorted(shares, reverse=True)


def test_another_order_of_the_same_features_is_a_change(package: Package) -> None:
    content = contract_content()
    content["features"][3], content["features"][4] = content["features"][4], content["features"][3]
    other = dataclasses.replace(package, contract=Contract.model_validate(content))
    diff = diff_packages(package, other)
    assert (diff.reordered, diff.added, diff.removed, diff.changed) == (True, (), (), ())


def test_a_person_reads_all_of_it(package: Package, changed: Package) -> None:
    shown = io.StringIO()
    Console(file=shown, width=100).print(render_diff(diff_packages(package, changed)))
    text = shown.getvalue()
    for words in ("+ merchant_age", "- merchant_risk", "~ amount.maximum: 1000000.0 -> 5000.0", "auc"):
        assert words in text


def _biased(package: Package, ratio: float) -> GateReport:
    return GateReport.model_validate(
        report(package, policy()).model_dump()
        | {
            "checks": [
                {
                    "gate": "bias", "name": "adverse_impact_ratio", "outcome": "pass", "sentence": "It holds.",
                    "value": ratio, "attribute": "sex", "group": "female",
                }
            ]
        }
    )  # fmt: skip


def test_bias_is_compared_by_group_where_both_sides_have_a_report(package: Package, changed: Package) -> None:
    reports = (_biased(package, 0.97), _biased(changed, 0.91))
    diff = diff_packages(package, changed, reports=reports)
    (moved,) = diff.bias
    assert (moved.name, moved.before, moved.after) == ("bias.adverse_impact_ratio[sex=female]", 0.97, 0.91)
    console = Console(file=io.StringIO(), width=100)
    console.print(render_diff(diff))
    assert "sex=female" in console.file.getvalue(), "what is in brackets is a name and no markup"
    assert diff_packages(package, changed, reports=(None, reports[1])).bias == ()
