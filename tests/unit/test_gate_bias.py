"""The bias gate: rates by hand, the group that nobody knows, small groups shown and not judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quicksilver.gates.bias import bias_checks
from quicksilver.gates.data import Groups
from quicksilver.gates.performance import Scored
from quicksilver.gates.policy import BiasPolicy
from quicksilver.gates.report import Check, Outcome
from tests.gates import failed, find

CUTOFF = 0.5


def people(*groups: tuple[str, int, int, int, int]) -> tuple[Scored, Groups]:
    """Rows by group: good and favourable, good and adverse, bad and favourable, bad and adverse."""
    scores, target, codes = [], [], []
    names = sorted(name for name, *_ in groups)
    for name, *counts in groups:
        for bad, adverse, count in zip((0, 0, 1, 1), (0, 1, 0, 1), counts, strict=True):
            scores += [0.75 if adverse else 0.25] * count
            target += [bad] * count
            codes += [names.index(name)] * count
    scored = Scored(np.array(target, dtype=bool), np.array(scores))
    return scored, Groups("race", tuple(names), np.array(codes))


WIDE = {
    "min_adverse_impact_ratio": 0,
    "max_equal_opportunity_gap": 1,
    "max_equalized_odds_gap": 1,
    "max_calibration_gap": 1,
    "min_group_size": 10,
}


def checks(case: tuple[Scored, Groups], **policy: Any) -> list[Check]:
    scored, groups = case
    return bias_checks(
        scored, [groups], cutoff=CUTOFF, policy=BiasPolicy(**{**WIDE, **policy}), confidence=0.95
    )


#                good: fav adv   bad: fav adv
CASE = people(("a", 80, 20, 30, 70), ("b", 60, 40, 10, 90), ("unknown", 50, 50, 50, 50))


def values(found: list[Check], name: str) -> dict[str | None, float | None]:
    return {check.group: check.value for check in found if check.name == name}


def test_every_measure_is_what_the_counts_say() -> None:
    found = checks(CASE)
    assert values(found, "favourable_rate") == {"a": 110 / 200, "b": 70 / 200, "unknown": 0.5}
    assert values(found, "adverse_impact_ratio") == pytest.approx(
        {"a": 1, "b": 70 / 110, "unknown": 100 / 110}
    )
    # Among the good: a 0.8, b 0.6, unknown 0.5; among the bad: a 0.3, b 0.1, unknown 0.5.
    assert values(found, "equal_opportunity_gap") == pytest.approx({"a": 0, "b": 0.2, "unknown": 0.3})
    assert values(found, "equalized_odds_gap") == pytest.approx({"a": 0.2, "b": 0.4, "unknown": 0.3})
    # Half of each group is bad; its mean score lies between 0.25 and 0.75 by its adverse share.
    expected = {"a": 0.5 - 0.475, "b": 0.5 - 0.575, "unknown": 0.0}
    assert values(found, "calibration_gap") == pytest.approx(expected)
    assert failed(found) == []


@pytest.mark.parametrize(
    ("limit", "measure", "groups"),
    [
        ({"min_adverse_impact_ratio": 0.8}, "adverse_impact_ratio", ["b"]),
        ({"max_equal_opportunity_gap": 0.25}, "equal_opportunity_gap", ["unknown"]),
        ({"max_equal_opportunity_gap": 0.1}, "equal_opportunity_gap", ["b", "unknown"]),
        ({"max_equalized_odds_gap": 0.35}, "equalized_odds_gap", ["b"]),
        ({"max_calibration_gap": 0.05}, "calibration_gap", ["b"]),
    ],
)
@pytest.mark.parametrize("breach", [Outcome.WARN, Outcome.FAIL])
def test_a_breach_has_the_outcome_the_policy_gives_it(
    limit: dict[str, float], measure: str, groups: list[str], breach: Outcome
) -> None:
    found = checks(CASE, **limit, breach=breach)
    breached = [check for check in found if check.outcome is not Outcome.PASS]
    assert [(check.name, check.group) for check in breached] == [(measure, group) for group in groups]
    assert {check.outcome for check in breached} == {breach}
    assert "The policy allows" in breached[0].sentence


def test_a_value_at_its_limit_is_no_breach() -> None:
    assert (
        failed(checks(people(("a", 50, 0, 50, 0), ("b", 40, 10, 40, 10)), min_adverse_impact_ratio=0.8)) == []
    )


def test_a_small_group_is_shown_and_neither_judged_nor_compared_with() -> None:
    # Nobody of the nine was decided adversely, so they would be the most favoured.
    small = people(("a", 80, 20, 30, 70), ("b", 60, 40, 10, 90), ("few", 5, 0, 4, 0))
    found = checks(small, min_adverse_impact_ratio=0.8)
    ratio = find(found, "adverse_impact_ratio", "few")
    assert (ratio.limit, ratio.outcome) == (None, Outcome.PASS)
    assert ratio.value == pytest.approx(200 / 110)
    assert "not judged: 9 rows, and the policy asks for 10" in ratio.sentence
    assert find(found, "adverse_impact_ratio", "a").value == 1
    assert failed(found) == ["adverse_impact_ratio"]


def test_a_rate_is_judged_by_the_rows_that_stand_behind_it() -> None:
    # A hundred people of b, of whom two turned out bad: enough for opportunity and not for odds.
    found = checks(people(("a", 80, 20, 30, 70), ("b", 49, 49, 0, 2)))
    assert find(found, "equal_opportunity_gap", "b").limit == 1
    assert find(found, "equalized_odds_gap", "b").limit is None


def test_unknown_is_a_group_of_its_own_and_judged_as_any_other() -> None:
    case = people(("a", 90, 10, 90, 10), ("unknown", 50, 50, 50, 50))
    found = checks(case, min_adverse_impact_ratio=0.8)
    assert [(c.name, c.group) for c in found if c.outcome is Outcome.FAIL] == [
        ("adverse_impact_ratio", "unknown")
    ]


def test_where_nobody_is_decided_favourably_somebody_is_told() -> None:
    found = checks(people(("a", 0, 50, 0, 50), ("b", 0, 50, 0, 50)), min_adverse_impact_ratio=0.8)
    ratio = find(found, "adverse_impact_ratio", "a")
    assert (ratio.value, ratio.outcome) == (None, Outcome.WARN)
    assert "nothing to compare with" in ratio.sentence


def test_a_group_without_a_single_bad_case_has_no_odds_and_breaks_nothing() -> None:
    found = checks(people(("a", 80, 20, 30, 70), ("b", 90, 10, 0, 0)))
    assert find(found, "equalized_odds_gap", "b").value is None


def test_a_score_at_the_cutoff_is_the_adverse_decision() -> None:
    scored = Scored(np.array([False, True] * 10), np.full(20, CUTOFF))
    groups = Groups("race", ("a",), np.zeros(20, dtype=np.int64))
    found = bias_checks(scored, [groups], cutoff=CUTOFF, policy=BiasPolicy(min_group_size=1), confidence=0.95)
    assert find(found, "favourable_rate").value == 0


def test_the_champions_measures_stand_beside_the_candidates() -> None:
    scored, groups = CASE
    better = Scored(scored.target, scored.candidate, np.full(len(scored.target), 0.1))
    found = checks((better, groups))
    assert {check.champion for check in found if check.name == "adverse_impact_ratio"} == {1.0}
    assert find(found, "favourable_rate", "b").champion == 1.0


def test_intervals_hold_their_values_and_shrink_with_rows() -> None:
    def width(scale: int) -> float:
        case = people(
            ("a", 80 * scale, 20 * scale, 30 * scale, 70 * scale),
            ("b", 60 * scale, 40 * scale, 10 * scale, 90 * scale),
        )
        for check in checks(case):
            if check.value is not None and check.low is not None and check.high is not None:
                assert check.low <= check.value <= check.high
        ratio = find(checks(case), "adverse_impact_ratio", "b")
        assert ratio.low is not None
        assert ratio.high is not None
        return ratio.high - ratio.low

    assert width(10) < width(1) / 2


def test_a_policy_without_protected_attributes_warns() -> None:
    (check,) = bias_checks(CASE[0], [], cutoff=CUTOFF, policy=BiasPolicy(), confidence=0.95)
    assert check.outcome is Outcome.WARN
