"""Real mortgages (HMDA): every number of the bias table is computed a second time here, from the raw file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quicksilver.evaluation_file import open_evaluation
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import Check, Gate, GateReport, Outcome
from quicksilver.gates.run import Champion, run_gates
from quicksilver.memory import ManualClock
from tests.real_mortgages import FILE, GROUPS, hand_over

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FILE.is_file(), reason="the folder with real data is absent"),
]

CUTOFF = 0.2
MIN_GROUP_SIZE = 200


@dataclass
class Judged:
    """The file's rows after the training ones, the scores LightGBM itself gives them, and the gate's report."""

    raw: pd.DataFrame
    scores: np.ndarray
    report: GateReport


@pytest.fixture(scope="module")
def judged() -> Judged:
    mortgages = hand_over()
    policy = Policy.model_validate(
        {
            "endpoint": "credit-line", "version": 1, "cutoff": CUTOFF, "protected": list(GROUPS),
            "performance": {"min_auc": 0.75, "bootstrap_samples": 200},
            "bias": {"min_group_size": MIN_GROUP_SIZE, "max_calibration_gap": 0.05, "breach": "warn"},
        }
    )  # fmt: skip
    report = run_gates(
        mortgages.package,
        open_evaluation(mortgages.evaluation),
        policy,
        Champion(None, mortgages.package),
        ManualClock(),
    )
    return Judged(mortgages.raw, mortgages.scores, report)


def members(raw: pd.DataFrame, attribute: str) -> dict[str, Any]:
    """Who is in which group, by the file's own indicator columns."""
    found = {name: (raw[name] == 1).to_numpy() for name in GROUPS[attribute]}
    return {**found, "unknown": raw[list(GROUPS[attribute])].isna().all(axis=1).to_numpy()}


def shown(report: GateReport, attribute: str, name: str) -> dict[str | None, Check]:
    return {c.group: c for c in report.of_gate(Gate.BIAS) if c.attribute == attribute and c.name == name}


@pytest.mark.parametrize("attribute", GROUPS)
def test_the_bias_table_is_what_the_raw_file_says(judged: Judged, attribute: str) -> None:
    favourable = judged.scores < CUTOFF
    bad = (judged.raw["high_priced"] == 1).to_numpy()
    groups = members(judged.raw, attribute)
    assert sum(rows.sum() for rows in groups.values()) == len(judged.raw)

    rate = {name: favourable[rows].mean() for name, rows in groups.items()}
    best = max((name for name in groups if groups[name].sum() >= MIN_GROUP_SIZE), key=rate.__getitem__)
    ratios = shown(judged.report, attribute, "adverse_impact_ratio")
    assert ratios.keys() == groups.keys()
    for name, rows in groups.items():
        assert ratios[name].rows == rows.sum()
        assert ratios[name].value == pytest.approx(rate[name] / rate[best], abs=1e-12)
        if name != best:
            expected = stats.contingency.relative_risk(
                int(favourable[rows].sum()), int(rows.sum()), int(favourable[groups[best]].sum()), int(groups[best].sum())
            ).confidence_interval(0.95)  # fmt: skip
            assert (ratios[name].low, ratios[name].high) == pytest.approx((expected.low, expected.high))

    gaps = {}
    for outcome, cases in (("good", ~bad), ("bad", bad)):
        rates = {name: favourable[rows & cases].mean() for name, rows in groups.items()}
        enough = [name for name, rows in groups.items() if (rows & cases).sum() >= MIN_GROUP_SIZE]
        gaps[outcome] = {name: max(rates[each] for each in enough) - rates[name] for name in groups}
    opportunity = shown(judged.report, attribute, "equal_opportunity_gap")
    odds = shown(judged.report, attribute, "equalized_odds_gap")
    calibration = shown(judged.report, attribute, "calibration_gap")
    for name, rows in groups.items():
        assert opportunity[name].value == pytest.approx(gaps["good"][name], abs=1e-12)
        assert odds[name].value == pytest.approx(max(gaps["good"][name], gaps["bad"][name]), abs=1e-12)
        assert calibration[name].value == pytest.approx(
            bad[rows].mean() - judged.scores[rows].mean(), abs=1e-12
        )


def test_groups_too_small_to_judge_are_shown_without_a_limit(judged: Judged) -> None:
    for attribute in GROUPS:
        for group, rows in members(judged.raw, attribute).items():
            check = shown(judged.report, attribute, "adverse_impact_ratio")[group]
            assert (check.limit is not None) == (rows.sum() >= MIN_GROUP_SIZE), (attribute, group)
    # Of the 350 Pacific islanders about half are here, too few.
    assert shown(judged.report, "race", "adverse_impact_ratio")["hipac"].limit is None


def test_disparity_in_the_real_data_is_found_and_named(judged: Judged) -> None:
    # Loans to Black borrowers were high-priced more often (HMDA), and a model of them carries that on.
    black = shown(judged.report, "race", "adverse_impact_ratio")["black"]
    assert black.value is not None
    assert black.value < 1
    warned = {(c.name, c.attribute, c.group) for c in judged.report.checks if c.outcome is Outcome.WARN}
    assert warned
    assert {name for name, *_ in warned} <= {
        "adverse_impact_ratio",
        "equal_opportunity_gap",
        "equalized_odds_gap",
        "calibration_gap",
    }


def test_the_other_gates_pass_on_real_data_and_the_contracts_own_attribute_is_judged(judged: Judged) -> None:
    others = [c for c in judged.report.checks if c.gate in (Gate.PERFORMANCE, Gate.CONSISTENCY)]
    assert [c.name for c in others if c.outcome is not Outcome.PASS] == []
    assert set(shown(judged.report, "age_62_or_over", "favourable_rate")) == {"no", "yes", "unknown"}
