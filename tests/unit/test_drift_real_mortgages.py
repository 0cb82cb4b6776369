"""Real mortgages (HMDA): split at random nothing alarms, and incomes moved by a tenth alarm naming income first."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from quicksilver.drift.counts import ArmCounts
from quicksilver.drift.judgement import judge
from quicksilver.drift.result import Aspect, Finding
from quicksilver.frame import Encoded
from quicksilver.package import Package
from quicksilver.profile import Histogram, NumericHistogram, ReferenceProfile
from quicksilver.profile_builder import build_profile
from tests.drift_windows import arm, category, policy, window
from tests.real_mortgages import FILE, hand_over

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FILE.is_file(), reason="the folder with real data is absent"),
]

INCOME = "income_std"
SEEDS = (1, 2, 3, 4, 5)


@cache
def mortgages() -> tuple[Package, pd.DataFrame, np.ndarray]:
    """The package, the rows that its model has not seen, and their scores."""
    made = hand_over()
    rows = made.raw[list(made.package.contract.names)].astype(float).reset_index(drop=True)
    return made.package, rows, made.scores


def halves(seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(mortgages()[1]))
    return np.split(order, [len(order) // 2])[0], np.split(order, [len(order) // 2])[1]


def reference(rows: np.ndarray) -> ReferenceProfile:
    package, table, scores = mortgages()
    vectors = table.to_numpy()[rows]
    nothing = np.zeros(vectors.shape, dtype=bool)
    return build_profile(package.contract, Encoded(vectors, nothing, nothing[:, 0], {}), scores[rows])


def counted(profile: ReferenceProfile, vectors: np.ndarray, scores: np.ndarray) -> ArmCounts:
    """The window's rows in the profile's bins, by pandas: not by the code that made the profile."""

    def binned(values: np.ndarray, like: NumericHistogram) -> NumericHistogram:
        cut = pd.cut(values, [-np.inf, *like.edges, np.inf], right=False, labels=False)
        counts = pd.Series(cut).value_counts().reindex(range(len(like.counts)), fill_value=0)
        return NumericHistogram(
            edges=like.edges, counts=tuple(map(int, counts)), missing=int(np.isnan(values).sum())
        )

    features: dict[str, Histogram] = {}
    for name, values in zip(mortgages()[0].contract.names, vectors.T, strict=True):
        like = profile.features[name]
        if like.kind == "numeric":
            features[name] = binned(values, like)
        else:
            features[name] = category(
                [np.sum(values == code) for code in range(2)], missing=np.isnan(values).sum()
            )
    return arm(features, binned(scores, profile.score))


def judged(seed: int, share: float, by: float) -> tuple[Finding, ...]:
    """One half as the reference, the other as the window, with so large a share of its incomes moved by so much."""
    package, table, scores = mortgages()
    first, second = halves(seed)
    profile = reference(first)
    vectors = table.to_numpy()[second].copy()
    column = package.contract.names.index(INCOME)
    # Standardized incomes: the lowest stands for none at all.
    nothing = table[INCOME].min()
    moved = np.random.default_rng(seed + 1_000).random(len(second)) < share
    vectors[moved, column] = nothing + (vectors[moved, column] - nothing) * (1 + by)
    now = window(counted(profile, vectors, scores[second]))
    return judge(now, {"card-fraud@12": profile}, [], policy())[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_mortgages_split_at_random_do_not_alarm(seed: int) -> None:
    findings = judged(seed, 0.0, 0.0)
    assert len(findings) == 10 * 3 + 1
    assert [each.sentence for each in findings if each.alarm] == []
    assert max(each.effect for each in findings) < 0.001


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("by", [0.1, -0.1])
@pytest.mark.parametrize("seed", SEEDS[:3])
def test_incomes_moved_by_a_tenth_alarm_naming_income_first(seed: int, share: float, by: float) -> None:
    findings = judged(seed, share, by)
    assert {each.feature for each in findings if each.alarm} == {INCOME}
    assert (findings[0].feature, findings[0].aspect) == (INCOME, Aspect.DISTRIBUTION)
    way = "higher" if by > 0 else "lower"
    assert findings[0].sentence.startswith(f"{INCOME}: values are {way} than in the reference profile, PSI")
