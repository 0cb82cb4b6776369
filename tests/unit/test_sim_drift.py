"""The simulation of drift: its traffic is what it says, and its figures are counted right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import sim_drift
from bench.drift_population import (
    COLUMNS,
    KINDS,
    PLACES,
    SCORE,
    SEGMENTED,
    Traffic,
    _latent,
    _seen,
    training_profile,
)
from bench.sim_drift import BY_ROW, DRIFTS, PSIS, SIZES, Seen, plan, rate, simulate
from quicksilver.drift.baselines import require_same_bins
from quicksilver.drift.result import Aspect, Baseline, Distances, Finding
from quicksilver.drift.significance import p_value
from quicksilver.drift.statistics import bins_of
from quicksilver.profile import NumericHistogram


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(training_profile(np.random.default_rng(1)))


def test_windows_drawn_as_sums_of_multinomials_are_as_windows_of_rows(traffic: Traffic) -> None:
    """The shortcut against the long way: rows drawn one by one and put into the bins, at a sample where a percent shows."""
    random = np.random.default_rng(2)
    rows = 400_000
    (arm,) = traffic.window(random, rows).arms
    place = PLACES[random.integers(0, KINDS, rows)]
    for column in (*COLUMNS[:24], SCORE):
        like = arm.features[column.name] if column is not SCORE else arm.score
        assert isinstance(like, NumericHistogram)
        values = _seen(column, _latent(random, column, place))
        values[random.random(rows) < column.missing] = np.nan
        counts = np.bincount(
            np.searchsorted(like.edges, values[~np.isnan(values)], side="right"), minlength=len(like.counts)
        )
        drawn = np.append(counts, np.isnan(values).sum())
        assert p_value(drawn, bins_of(like), draws=9_999) > 1e-4, column.name


def test_a_profile_and_its_windows_have_the_same_bins_and_rows(traffic: Traffic) -> None:
    counts = traffic.window(np.random.default_rng(3), 1_000)
    (arm,) = counts.arms
    assert len(arm.features) == len(traffic.profile.features) == 40
    for name, histogram in arm.features.items():
        require_same_bins(traffic.profile.features[name], histogram, name)
        assert histogram.rows == arm.rows == arm.score.rows == 1_000
    assert {each.feature for each in counts.segments} == {SEGMENTED}
    assert 0 < arm.approved < 1_000


def test_features_of_one_window_are_correlated(traffic: Traffic) -> None:
    random = np.random.default_rng(4)
    place = PLACES[random.integers(0, KINDS, 50_000)]
    drawn = [_latent(random, COLUMNS[number], place) for number in (0, 4, 2)]
    assert [each.std() for each in drawn] == pytest.approx([1, 1, 1], abs=0.05)
    correlation = np.corrcoef(drawn)
    assert correlation[0, 1] > 0.7
    assert abs(correlation[0, 2]) < 0.05


@pytest.mark.parametrize("kind", DRIFTS)
@pytest.mark.parametrize("psi", [0.01, 0.1])
def test_drift_has_the_psi_it_is_said_to(traffic: Traffic, kind: str, psi: float) -> None:
    drift = traffic.of_psi(psi, *DRIFTS[kind])
    assert traffic.psi(drift) == pytest.approx(psi, rel=1e-6)
    (arm,) = traffic.window(np.random.default_rng(5), 1_000_000, drift).arms
    (before,) = traffic.window(np.random.default_rng(6), 1_000_000).arms
    was, now = (bins_of(each.features[drift.feature]) / 1_000_000 for each in (before, arm))
    there = (was > 0) & (now > 0)
    counted = np.sum((now - was)[there] * np.log(now[there] / was[there]))
    assert counted == pytest.approx(psi, rel=0.1)
    others = [name for name in arm.features if name != drift.feature]
    assert all(
        p_value(bins_of(before.features[name]), bins_of(arm.features[name]), draws=999) > 1e-4
        for name in others
    )


def test_rows_of_entities_are_worth_less_than_rows(traffic: Traffic) -> None:
    by_entity, by_row = traffic.clustered(np.random.default_rng(7), 2_000, spread=1.0)
    (one,), (other,) = by_entity.arms, by_row.arms
    assert one.model_copy(update={"effective_rows": other.effective_rows}) == other
    assert 20 < one.effective_rows < one.rows / 2
    assert other.effective_rows == other.rows


def test_the_same_job_sees_the_same_and_finds_large_drift() -> None:
    job = {("power", "mean shift", 0.2): 2, ("null", "independent rows", 1_000.0): 2}
    once = simulate(3, job)
    assert once == simulate(3, job)
    assert (once["power", "mean shift", 0.2].named, once["null", "independent rows", 1_000.0].windows) == (
        2,
        2,
    )


def test_jobs_add_up_to_what_was_asked_for() -> None:
    jobs = list(plan(50, 7, 3))
    total = {key: sum(job[key] for job in jobs) for key in jobs[0]}
    assert len(jobs) == 3
    assert total["null", "independent rows", 100] == 50
    assert [total["power", "spread", psi] for psi in PSIS] == [7 if psi == 0.1 else 3 for psi in PSIS]


def finding(feature: str | None, psi: float, *, alarm: bool) -> Finding:
    return Finding(
        model="card-fraud@1", feature=feature, aspect=Aspect.DISTRIBUTION, baseline=Baseline.REFERENCE, baseline_rows=1, rows=1,
        effect=psi, limit=0.02, p_value=0.5, significant=alarm, alarm=alarm, sentence="",
        distances=Distances(psi=psi, jensen_shannon=0, kolmogorov_smirnov=None, wasserstein=None, chi_square=0),
    )  # fmt: skip


def test_what_was_seen_is_counted_by_window_and_by_feature() -> None:
    seen = Seen()
    seen.note([finding("a", 0.3, alarm=True), finding("b", 0.05, alarm=False)], "a")
    seen.note([finding("b", 0.12, alarm=True), finding("a", 0.11, alarm=True)], "a")
    seen.note([finding("a", 0.0, alarm=False), finding(None, 9.0, alarm=False)], "a")
    twice = Seen()
    twice.add(seen)
    assert twice == seen
    assert (seen.windows, seen.alarms, seen.named, seen.features) == (3, 2, 1, 5)
    assert dict(seen.fixed) == {0.1: 2, 0.25: 1}
    assert dict(seen.fixed_features) == {0.1: 3, 0.25: 1}
    assert seen.aspects == {"distribution": 3}
    found = rate(3, 100)
    assert (found["low"], found["high"]) == pytest.approx((0.00623, 0.08518), abs=1e-5)


def test_the_figures_are_written_with_how_they_were_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim_drift, "ROWS", (100, 1_000))
    monkeypatch.setattr(sim_drift, "CLUSTERED_ROWS", (100,))
    monkeypatch.setattr(sim_drift, "PSIS", (0.05, 0.1))
    arguments = ["--repetitions", "4", "--power", "2", "--others", "1", "--workers", "1"]
    monkeypatch.setattr("sys.argv", ["sim", *arguments, "--folder", str(tmp_path)])
    sim_drift.main()
    null = json.loads((tmp_path / "drift_null.json").read_text())
    assert set(null["false_alarm_rate"]) == set(null["interval"]) == {"100", "1000"}
    assert null["repetitions"] == 4
    assert {row["traffic"] for row in null["rows"]} == {
        "independent rows",
        *SIZES,
        *(kind + BY_ROW for kind in SIZES),
    }
    power = json.loads((tmp_path / "drift_power.json").read_text())
    assert (power["psi"], power["rows"], len(power["curve"])) == (0.1, 5_000, 8)
    assert 0 <= power["least_detection_rate"] <= power["detection_rate"] <= 1
