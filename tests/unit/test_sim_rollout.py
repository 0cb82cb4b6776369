"""The simulation of rollouts looks as the product does, and counts what it says it counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench import sim_rollout
from bench.sim_rollout import (
    AS_THE_CHAMPION,
    CHAMPION,
    LEAST_MINUTES,
    SCENARIOS,
    End,
    content_of,
    simulate,
    summary,
)
from bench.simulated_traffic import Behaviour, Entities, Traffic, design_effect
from quicksilver.rollout.look import Look, Verdict, look
from quicksilver.rollout_plan import Rollout
from quicksilver.rollup_counts import ArmCounts, Period

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
MINUTES = [(float(minute), minute + 1.0) for minute in range(200)]


@pytest.mark.parametrize("name", [AS_THE_CHAMPION, "error rate 2 %"])
def test_every_verdict_is_what_the_product_says_of_the_same_rollup(name: str) -> None:
    verdicts: list[Verdict] = []

    def watch(rollout: Rollout, periods: Sequence[Period], now_ms: int, seen: Look) -> None:
        assert look(rollout, CHAMPION, periods, now_ms) == seen
        verdicts.append(seen.verdict)

    end = simulate(BY_NAME[name], (0, 1), watch)
    assert len(verdicts) == end.minutes
    assert verdicts[-1] is end.verdict


def test_a_canary_as_the_champion_arrives_and_a_bad_one_does_not() -> None:
    good = [simulate(BY_NAME[AS_THE_CHAMPION], (0, seed)) for seed in range(8)]
    assert {end.verdict for end in good} == {Verdict.COMPLETE}
    assert min(end.minutes for end in good) == LEAST_MINUTES + 1
    for name in ("error rate 2 %", "approval 0.95 -> 0.90"):
        bad = [simulate(BY_NAME[name], (0, seed)) for seed in range(8)]
        assert {(end.verdict, end.share_bp < 2_500) for end in bad} == {(Verdict.ROLL_BACK, True)}


def test_the_same_seed_is_the_same_rollout() -> None:
    scenario = BY_NAME["approval 0.80 -> 0.75"]
    assert simulate(scenario, (0, 3)) == simulate(scenario, (0, 3))
    assert len({simulate(scenario, (0, seed)).minutes for seed in range(4)}) > 1


def total(counts: Sequence[ArmCounts]) -> ArmCounts:
    return sum(counts, ArmCounts())


def drawn(traffic: Traffic, share_bp: int) -> tuple[ArmCounts, ArmCounts]:
    canary, champion = zip(*traffic.parts(share_bp, MINUTES), strict=True)
    return total(canary), total(champion)


@pytest.mark.parametrize("entities", [None, Entities(number=50_000, spread=0.5)])
def test_traffic_has_the_rates_it_is_given(entities: Entities | None) -> None:
    behaviours = Behaviour(approval=0.9), Behaviour(approval=0.8, error=0.02, degraded=0.1, tail=0.3)
    traffic = Traffic(*behaviours, np.random.default_rng(1), entities=entities)
    canary, champion = drawn(traffic, 2_500)
    assert canary.requests + champion.requests == pytest.approx(600_000, rel=0.01)
    assert canary.requests / 600_000 == pytest.approx(0.25, abs=0.01)
    for arm, behaviour in ((champion, behaviours[0]), (canary, behaviours[1])):
        answered = arm.requests - arm.errors
        assert sum(arm.scores) == sum(arm.latency) == answered
        assert arm.approved / answered == pytest.approx(behaviour.approval, abs=0.01)
        assert arm.errors / arm.requests == pytest.approx(behaviour.error, abs=0.002)
        assert arm.degraded / answered == pytest.approx(behaviour.degraded, abs=0.005)
    assert sum(canary.latency[30:]) > 5 * sum(champion.latency[30:])


def test_heavy_entities_make_two_arms_of_one_model_differ_by_more_than_chance() -> None:
    heavy = Entities(number=2_000, spread=1.5)
    differences = []
    for seed in range(20):
        canary, champion = drawn(
            Traffic(Behaviour(), Behaviour(), np.random.default_rng(seed), entities=heavy), 100
        )
        differences.append(
            canary.approved / (canary.requests - canary.errors)
            - champion.approved / (champion.requests - champion.errors)
        )
    assert np.std(differences) > 3 * np.sqrt(0.95 * 0.05 / 6_000)


def test_the_design_effect_is_that_of_the_sizes_drawn() -> None:
    entities, requests = Entities(number=200_000, spread=0.8), 1_000_000
    random = np.random.default_rng(2)
    sizes = random.lognormal(0, entities.spread, entities.number)
    m = random.poisson(requests * sizes / sizes.sum()).astype(float)
    assert design_effect(entities, requests) == pytest.approx((m @ m) / m.sum(), rel=0.03)


def test_a_row_counts_ends_and_gives_exact_intervals() -> None:
    ends = [
        *[End(Verdict.ROLL_BACK, minutes, 500, ("error_rate",)) for minutes in (5, 15)],
        End(Verdict.ROLL_BACK, 30, 2_500, ("error_rate", "slow_rate")),
        *[End(Verdict.COMPLETE, LEAST_MINUTES + late, 5_000) for late in (0, 1, 7, 11)],
        *[End(Verdict.HOLD, 240, 500)] * 3,
    ]
    row = summary(BY_NAME["error rate 2 %"], ends)
    assert (row["rolled_back"]["rate"], row["caught_before_share"]["rate"], row["delayed"]["rate"]) == (
        0.3,
        0.2,
        0.2,
    )
    assert row["reached_share"]["rate"] == 0.5
    assert row["never_ended"] == 3
    assert row["minutes_of_delay"] == {"median": 9, "p95": pytest.approx(10.8), "longest": 11}
    assert row["guards"] == {"error_rate": 3, "slow_rate": 1}
    # Clopper and Pearson's own table: 3 of 10 at 95 %.
    assert (row["rolled_back"]["low"], row["rolled_back"]["high"]) == (
        pytest.approx(0.0667, abs=1e-4),
        pytest.approx(0.6525, abs=1e-4),
    )


def test_the_figure_is_the_worst_of_what_is_promised() -> None:
    def row(rate: float, *, bad: bool, promised: bool) -> dict[str, object]:
        found = {"rate": rate}
        return {"bad": bad, "promised": promised, "rolled_back": found, "caught_before_share": found}

    content = content_of(
        {
            AS_THE_CHAMPION: row(0.003, bad=False, promised=True),
            "a": row(0.999, bad=True, promised=True),
            "b": row(0.995, bad=True, promised=True),
            "c": row(0.5, bad=True, promised=False),
        }
    )
    assert (content["false_rollback_rate"], content["bad_canary_caught_rate"]) == (0.003, 0.995)


def test_a_run_prints_its_tables_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = (BY_NAME[AS_THE_CHAMPION], BY_NAME["error rate 2 %"])
    monkeypatch.setattr(sim_rollout, "SCENARIOS", few)
    sim_rollout.main(["--rollouts", "2", "--processes", "1", "--figures", str(tmp_path)])
    content = json.loads((tmp_path / "rollout_sim.json").read_text())
    assert set(content["rows"]) == {scenario.name for scenario in few}
    assert content["bad_canary_caught_rate"] == 1
    assert content["caught_before_share"] == 2_500
    assert "A bad canary, caught before 25 %" in capsys.readouterr().out
