"""What a report says: its sentence for each verdict, its numbers as JSON, and its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quicksilver.experiment_plan import Conclusion, Measure, Verdict
from quicksilver.reports.experiment import LOOKS, ExperimentReport, report
from quicksilver.reports.experiment_data import Found, read_experiment
from quicksilver.reports.experiment_page import render_experiment
from tests.archives import archive_database
from tests.experiments import DAY_MS, STARTED_MS, ArchiveLines, found, population

NOW_MS = STARTED_MS + 5 * DAY_MS


def reported(folder: Path, lines: ArchiveLines, experiment: Found, now_ms: int = NOW_MS) -> ExperimentReport:
    with archive_database(lines.write(folder)) as database:
        data = read_experiment(database, "card-fraud", experiment)
    return report(experiment, data, now_ms=now_ms)


@pytest.fixture(scope="module")
def won(tmp_path_factory: pytest.TempPathFactory) -> ExperimentReport:
    return reported(tmp_path_factory.mktemp("won"), population(champion_noise=4.0), found())


def test_a_win_says_by_how_much_and_how_sure_it_is(won: ExperimentReport) -> None:
    assert won.verdict is Verdict.WIN
    assert won.sentence.startswith("card-fraud@2 wins: its expected loss is ")
    assert " lower than the champion's (at any time, with 95 %: -" in won.sentence


def test_a_loss_is_said_too(tmp_path: Path) -> None:
    lost = reported(tmp_path, population(challenger_noise=4.0), found())
    assert lost.sentence.startswith("card-fraud@2 loses: its expected loss is ")
    assert " higher than the champion's" in lost.sentence


def test_no_difference_names_what_would_have_been_worth_having(tmp_path: Path) -> None:
    alike = reported(tmp_path, population(), found(minimum_effect=900))
    assert alike.verdict is Verdict.NO_DIFFERENCE
    assert alike.sentence.startswith("No difference worth having: ")
    assert alike.sentence.endswith("within ±900.")


def test_not_yet_says_how_many_entities_and_days_are_missing(tmp_path: Path) -> None:
    open_ = reported(tmp_path, population(), found(minimum_effect=150))
    assert open_.verdict is Verdict.NOT_YET
    assert open_.needed
    assert f"about {open_.needed:,} more entities with an outcome are needed, some " in open_.sentence
    assert open_.sentence.endswith("days at the present pace.")


def test_where_nothing_can_be_projected_it_says_so(tmp_path: Path) -> None:
    assert "too little to say how many" in reported(tmp_path, population(seed=3), found()).sentence


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        (ArchiveLines(), "the challenger has 0 of the 200 entities with an outcome"),
        (population(500), "of the 50 bad outcomes"),
    ],
)
def test_before_the_start_it_says_what_is_missing(tmp_path: Path, lines: ArchiveLines, missing: str) -> None:
    early = reported(tmp_path, lines, found())
    assert early.verdict is Verdict.NOT_YET
    assert missing in early.sentence


def test_a_mismatch_says_what_was_seen_and_expected(tmp_path: Path) -> None:
    wrong = reported(tmp_path, population(share=0.6, champion_noise=4.0), found())
    assert wrong.verdict is Verdict.INVALID
    assert wrong.sentence.startswith("Invalid: the challenger has 2,")
    assert "of 4,000 entities, and its share makes 2,000; nothing can be concluded" in wrong.sentence


def test_outcomes_that_are_missing_in_one_arm_are_named_as_such(tmp_path: Path) -> None:
    lines = population(champion_noise=4.0)
    arms = [json.loads(line)["arm"]["role"] for line in lines.predictions]
    lines.outcomes = [
        line for number, (line, arm) in enumerate(zip(lines.outcomes, arms, strict=True)) if arm == "champion" or number % 3
    ]  # fmt: skip
    wrong = reported(tmp_path, lines, found())
    assert wrong.verdict is Verdict.INVALID
    assert "entities with an outcome, and its share makes" in wrong.sentence


def test_unripe_predictions_are_counted_and_shown_and_in_no_comparison(tmp_path: Path) -> None:
    experiment = found(ripe_after_seconds=3 * 86_400)
    young = reported(tmp_path, population(champion_noise=4.0), experiment)
    challenger = young.arms[0]
    assert 0 < challenger.ripe < challenger.entities
    assert challenger.outcomes == challenger.ripe
    assert int(young.now.primary.entities) == challenger.outcomes + young.arms[1].outcomes


def test_over_time_it_says_what_each_look_had_said(won: ExperimentReport, tmp_path: Path) -> None:
    assert len(won.looks_ms) == LOOKS
    look = 3 * LOOKS // 5
    then = reported(tmp_path, population(champion_noise=4.0), found(), now_ms=int(won.looks_ms[look]))
    assert str(won.over_time.verdict[look]) == then.verdict
    assert float(won.over_time.primary.low[look]) == pytest.approx(float(then.now.primary.low), nan_ok=True)
    assert won.over_time.verdict[0] == Verdict.NOT_YET
    assert won.over_time.verdict[-1] == won.verdict


def test_a_clock_behind_the_registrys_is_no_fault(tmp_path: Path) -> None:
    assert reported(tmp_path, ArchiveLines(), found(), now_ms=STARTED_MS - 5_000).verdict is Verdict.NOT_YET


@pytest.mark.parametrize("lines", [ArchiveLines(), population(500)])
def test_the_document_is_json_with_null_for_what_is_not_known(tmp_path: Path, lines: ArchiveLines) -> None:
    content: dict[str, Any] = reported(tmp_path, lines, found()).document()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    primary = next(row for row in content["measures"] if row["primary"])
    assert (primary["measure"], primary["low"]) == ("expected_loss", None)


def test_the_conclusion_has_the_numbers_and_survives_json(won: ExperimentReport) -> None:
    conclusion = won.conclusion()
    assert Conclusion.model_validate_json(conclusion.model_dump_json()) == conclusion
    assert (conclusion.experiment, conclusion.verdict) == (2, Verdict.WIN)
    assert conclusion.numbers["expected_loss.high"] == pytest.approx(float(won.now.primary.high))
    assert conclusion.numbers["challenger.outcomes"] == won.arms[0].outcomes


# -- the page --


def test_the_page_shows_sentence_pictures_and_tables(won: ExperimentReport) -> None:
    page = render_experiment(won)
    assert page == render_experiment(won)
    assert page.count("data:image/svg+xml") == 2
    assert won.sentence.partition("'")[0] in page
    for words in (
        "Experiment 2: card-fraud@2 beside card-fraud@1",
        "expected loss (primary)",
        "AUC (secondary)",
        "as declared",
    ):
        assert words in page, words


@pytest.mark.parametrize("primary", [Measure.AUC, Measure.KS, Measure.LOG_LOSS])
def test_the_page_is_of_whatever_measure_decides(
    won: ExperimentReport, tmp_path: Path, primary: Measure
) -> None:
    lines = population(600, champion_noise=4.0)
    page = render_experiment(reported(tmp_path, lines, found(primary=primary, minimum_effect=0.01)))
    assert "(primary)" in page


def test_an_experiment_without_a_prediction_has_a_page(tmp_path: Path) -> None:
    page = render_experiment(reported(tmp_path, ArchiveLines(), found()))
    assert page.count("data:image/svg+xml") == 1
