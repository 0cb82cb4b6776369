"""False discovery control: held to scipy, to its own definition, and to what it promises of quiet windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import false_discovery_control, norm

from quicksilver.drift.discovery import adjusted, findings

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@settings(deadline=None)
@given(P_VALUES)
def test_adjusted_p_values_are_those_of_scipy(p_values: list[float]) -> None:
    assert adjusted(p_values) == pytest.approx(
        false_discovery_control(p_values, method="bh"), rel=1e-9, abs=1e-12
    )


@settings(deadline=None)
@given(P_VALUES, st.floats(0.001, 0.2))
def test_findings_are_those_of_the_step_up_procedure(p_values: list[float], rate: float) -> None:
    """Benjamini & Hochberg 1995, section 3.1: all up to the largest k with p(k) <= k q / m."""
    ordered = sorted(p_values)
    passed = [k for k, p in enumerate(ordered, 1) if p * len(p_values) / k <= rate]
    last = ordered[passed[-1] - 1] if passed else -1.0
    assert findings(p_values, rate) == [p <= last for p in p_values]


def test_of_no_hypotheses_there_are_no_findings() -> None:
    assert findings([], 0.05) == adjusted([]) == []


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_quiet_windows_have_a_finding_no_oftener_than_the_rate(correlation: float) -> None:
    random = np.random.default_rng(2)
    runs, rate = 4_000, 0.05
    common = random.standard_normal((runs, 1))
    own = random.standard_normal((runs, 60))
    z = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
    share = np.mean([any(findings(list(row), rate)) for row in 2 * norm.sf(np.abs(z))])
    assert share <= rate + 3 * np.sqrt(rate * (1 - rate) / runs)
