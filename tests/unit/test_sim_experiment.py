"""The simulation of experiments: its population is what it says, and its figures are counted right."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from bench import sim_experiment
from bench.sim_experiment import (
    ALIKE,
    CHAMPION,
    ENTITIES,
    SCENARIOS,
    Scenario,
    Seen,
    drawn,
    rows,
    share,
    simulate,
)
from quicksilver.experiment_plan import Measure, Verdict

NONE = dict.fromkeys(Measure, 0.0)


def test_the_scores_are_calibrated_and_more_knowledge_ranks_better() -> None:
    random = np.random.default_rng(5)
    for known in (0.3, CHAMPION, 1.0):
        score, bad = drawn(random, 400_000, known)
        for low, high in ((0.01, 0.02), (0.05, 0.1), (0.1, 0.2)):
            within = (score >= low) & (score < high)
            assert bad[within].mean() == pytest.approx(score[within].mean(), rel=0.12)
    worse, better = sim_experiment.truth(CHAMPION), sim_experiment.truth(0.8)
    assert better[Measure.AUC] > worse[Measure.AUC] + 0.05
    assert better[Measure.EXPECTED_LOSS] < worse[Measure.EXPECTED_LOSS] - 30


def test_an_experiment_is_the_same_by_the_same_seed_and_another_by_another() -> None:
    scenario = Scenario("as the champion", minutes_between_looks=60)
    assert simulate(scenario, NONE, (1, 2)) == simulate(scenario, NONE, (1, 2))
    far = {**NONE, Measure.AUC: 0.5}
    assert Measure.AUC in simulate(scenario, far, (1, 2)).outside, (
        "a sequence that misses the truth is noticed"
    )


def test_a_much_better_challenger_wins_and_lost_entities_are_found() -> None:
    assert Verdict.WIN in simulate(Scenario("better", known=1.0, minutes_between_looks=60), NONE, (1, 1)).ever
    lost = simulate(Scenario("lost", lost=0.1, minutes_between_looks=60), NONE, (1, 1))
    assert Verdict.INVALID in lost.ever
    assert Verdict.WIN not in lost.ever


def test_most_entities_come_within_the_day_and_some_do_not() -> None:
    seen = sim_experiment.observed(np.random.default_rng(1), ENTITIES, CHAMPION).seen_ms
    assert 0.9 < (seen < sim_experiment.DAY_MS).mean() < 1


def test_shares_have_exact_intervals() -> None:
    won, open_ = (
        Seen(frozenset({"win"}), {"win": 3.0}, frozenset()),
        Seen(frozenset({"not_yet"}), {}, frozenset()),
    )
    found = share([won] * 3 + [open_] * 97, Verdict.WIN)
    assert found["share"] == 0.03
    assert (found["low"], found["high"]) == pytest.approx((0.00623, 0.08518), abs=1e-5)


def test_rows_count_what_was_ever_concluded_and_what_was_ever_missed() -> None:
    won = Seen(frozenset({"win", "not_yet"}), {"win": 4.0, "not_yet": 0.1}, frozenset({Measure.AUC}))
    open_ = Seen(frozenset({"not_yet"}), {"not_yet": 0.1}, frozenset())
    first, *_ = rows([[won, won, open_, open_]] + [[open_]] * (len(SCENARIOS) - 1), [NONE] * len(SCENARIOS))
    assert first["ever"]["win"]["share"] == 0.5
    assert first["median_hours"] == {"win": 4.0}
    assert (first["coverage"]["auc"], first["coverage"]["ks"]) == (0.5, 1.0)


def test_the_figures_are_written_with_how_they_were_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tuple(dataclasses.replace(each, minutes_between_looks=240) for each in SCENARIOS)
    monkeypatch.setattr(sim_experiment, "SCENARIOS", few)
    monkeypatch.setattr(sim_experiment, "ALIKE", few[SCENARIOS.index(ALIKE)])
    monkeypatch.setattr(sim_experiment, "ENTITIES", 4_000)
    monkeypatch.setattr(sim_experiment, "TRUTH_DRAWS", 20_000)
    monkeypatch.setattr(
        "sys.argv", ["sim", "--runs", "2", "--others", "1", "--workers", "1", "--folder", str(tmp_path)]
    )
    sim_experiment.main()
    figures = json.loads((tmp_path / "experiment_sim.json").read_text())
    assert figures["alpha"] == 0.05
    assert 0 <= figures["false_win_rate"] <= figures["false_verdict_rate"] <= 1
    assert figures["power_of"] == "challenger knows 80%"
    assert [row["scenario"] for row in figures["rows"]] == [each.name for each in SCENARIOS]
    assert "2 simulated experiments" in figures["taken"]
