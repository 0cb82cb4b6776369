"""The drift report says what the windows' results say, in order, and its page stands alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.drift.result import Aspect, Baseline
from quicksilver.errors import NotFound
from quicksilver.profile import CategoryHistogram, NumericHistogram
from quicksilver.reports.drift import Standing, report, span_words
from quicksilver.reports.drift_bars import compare
from quicksilver.reports.drift_page import drift_page, next_steps, probability
from quicksilver.routing import Role
from tests.drifts import (
    CHALLENGER,
    CONTRACT,
    DAY_MS,
    FIRST_MS,
    MODEL,
    PROFILE,
    REFERENCES,
    Reference,
    arm,
    finding,
    window,
)
from tests.unit.test_model_card import Tags

QUIET = [window(day) for day in range(4)]
DRIFTED = [*QUIET, window(4, ["region"]), window(5, ["income", "region"])]


# -- the sentence --


def test_quiet_windows_are_said_to_be_quiet() -> None:
    said = report(QUIET, REFERENCES)
    assert said.standing is Standing.QUIET
    assert said.sentence == "card-fraud is as its models were trained: no alarm in 4 windows."
    assert (said.alarms, said.shown and said.shown.words) == ((), "2026-09-07")


def test_drift_is_said_with_how_long_it_goes_on_and_what_ranks_first() -> None:
    said = report(DRIFTED, REFERENCES)
    assert said.standing is Standing.DRIFTED
    assert said.sentence == (
        "card-fraud has drifted: 2 windows in a row with an alarm, since 2026-09-08; "
        "first of all, region: the distribution moved by 0.11 (limit 0.02)."
    )
    assert [alarm.feature for alarm in said.alarms] == ["region", "income"]


def test_an_alarm_that_has_gone_is_still_told_of() -> None:
    said = report([*DRIFTED, window(6)], REFERENCES)
    assert said.standing is Standing.QUIET_AGAIN
    assert said.sentence.startswith(
        "card-fraud is quiet now, but 2 of 7 windows had an alarm, 2026-09-09 the last; first of all, region:"
    )
    assert said.shown is not None
    assert said.shown.words == "2026-09-09"


def test_a_window_with_too_few_rows_is_neither_quiet_nor_an_end_of_drift() -> None:
    empty = window(6, archived=3, rolled_up=3, arms=(), segments=(), findings=(), notes=("Too few rows.",))
    said = report([*DRIFTED, empty], REFERENCES)
    assert said.standing is Standing.DRIFTED
    assert not said.windows[-1].judged
    assert [note.text for note in said.notes] == ["Too few rows."]
    alone = report([empty], REFERENCES)
    assert alone.standing is Standing.NOT_JUDGED
    assert alone.sentence == (
        "Of card-fraud nothing can be said: none of 1 window had enough rows to be judged."
    )
    assert (alone.shown, alone.features, alone.scores) == (None, (), ())


def test_windows_before_the_first_prediction_are_left_out_and_empty_ones_after_it_are_not() -> None:
    nothing = {"archived": 0, "rolled_up": None, "arms": (), "segments": (), "findings": ()}
    life = [window(0, **nothing), window(1, **nothing), window(2), window(3, **nothing), window(4)]
    said = report(life, REFERENCES)
    assert [(line.words, line.predictions) for line in said.windows] == [
        ("2026-09-06", 1_000),
        ("2026-09-07", 0),
        ("2026-09-08", 1_000),
    ]
    assert len(report(life[:2], REFERENCES).windows) == 2


def test_without_windows_there_is_no_report() -> None:
    with pytest.raises(NotFound, match="No window has been judged yet"):
        report([], REFERENCES)


@given(st.permutations(DRIFTED))
@settings(max_examples=10)
def test_the_order_in_which_windows_come_does_not_matter(results: list) -> None:  # type: ignore[type-arg]
    assert report(results, REFERENCES) == report(DRIFTED, REFERENCES)


# -- features --


def test_features_in_alarm_come_first_and_then_importance_times_drift_ranks() -> None:
    said = report(DRIFTED, REFERENCES)
    assert [drift.feature for drift in said.features] == ["region", "income", "visits", "is_new"]
    assert [drift.alarm for drift in said.features] == [True, True, False, False]
    assert [drift.windows_in_alarm for drift in said.features] == [2, 1, 0, 0]


def test_the_leading_aspect_is_followed_over_the_windows_and_the_strongest_is_kept() -> None:
    findings = (
        finding("region", alarm=True, aspect=Aspect.UNSEEN, effect=0.15, limit=0.01),
        finding("region", alarm=True, effect=0.11),
    )
    said = report([*QUIET, window(4, ["region"], findings=findings)], REFERENCES)
    (region,) = said.features
    assert region.leading.aspect is Aspect.UNSEEN
    assert [point.effect for point in region.over_time] == [0.001] * 4 + [0.15]
    assert [point.effect for point in region.strength] == pytest.approx([0.05] * 4 + [15.0])


def test_findings_of_a_segment_are_no_findings_of_the_feature() -> None:
    about = finding(
        None, alarm=True, segment=("region", "north"), aspect=Aspect.APPROVAL, baseline=Baseline.EARLIER
    )
    said = report([window(0, findings=(about,))], REFERENCES)
    assert said.features == ()
    (north,) = said.segments
    assert (north.segment, north.rows, north.approved) == ("region: north", 600, 0.9)
    assert north.findings == (about,)


def test_bars_are_shares_of_all_rows_and_what_is_no_value_of_the_range_stands_apart() -> None:
    said = report(DRIFTED, REFERENCES)
    region, income = said.features[0].bars, said.features[1].bars
    assert region is not None
    assert region.labels == ("north", "south", "unseen", "missing")
    assert (region.reference, region.current) == ((0.6, 0.4, 0, 0), (0.4, 0.4, 0.15, 0.05))
    assert region.apart == 2
    assert income is not None
    assert income.labels == ("10.5 to 1,000", "1,000 to 2,500", "2,500 to 9,000", "above", "missing")
    assert income.apart == 2
    assert income.current == (0.1, 0.4, 0.25, 0.15, 0.1)


def test_integers_and_booleans_are_named_as_people_name_them() -> None:
    said = report([window(0, ["visits"])], REFERENCES)
    by_name = {drift.feature: drift.bars for drift in said.features}
    visits, is_new = by_name["visits"], by_name["is_new"]
    assert visits is not None
    assert visits.labels == ("0", "1", "2 to 6", "7 to 12", "above", "missing")
    assert is_new is not None
    assert is_new.labels == ("false", "true")


@given(
    st.lists(st.integers(0, 1_000), min_size=5, max_size=5),
    st.lists(st.integers(0, 1_000), min_size=5, max_size=5),
    st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_bars_leave_nothing_out(was: list[int], now: list[int], missing: tuple[int, int]) -> None:
    edges = (1.0, 2.0, 3.0, 4.0)
    reference = NumericHistogram(edges=edges, counts=tuple(was), missing=missing[0])
    current = NumericHistogram(edges=edges, counts=tuple(now), missing=missing[1])
    bars = compare(reference, current, None)
    assert bars is not None
    assert len(bars.labels) == len(bars.reference) == len(bars.current)
    for shares, histogram in ((bars.reference, reference), (bars.current, current)):
        assert sum(shares) == pytest.approx(1 if histogram.rows else 0)


def test_histograms_of_other_bins_are_not_compared() -> None:
    one = NumericHistogram(edges=(1.0, 2.0), counts=(0, 5, 0), missing=0)
    other = one.model_copy(update={"edges": (1.0, 3.0)})
    category = CategoryHistogram(counts=(1, 2), unseen=0, missing=0)
    assert compare(one, other, None) is None
    assert compare(one, category, None) is None
    assert compare(category, category.model_copy(update={"counts": (1, 2, 3)}), None) is None


def test_without_a_reference_there_are_findings_and_no_bars() -> None:
    said = report(DRIFTED, {})
    assert [drift.bars for drift in said.features] == [None] * 4
    assert said.scores[0].expected is None
    assert [point.riskiest for point in said.scores[0].points] == [None] * 6
    assert "There is no histogram to show" not in drift_page(QUIET, {})  # it is in the picture
    assert Tags(drift_page(DRIFTED, {})).open == []


# -- scores --


def test_scores_are_told_by_model_version_with_their_share_of_the_riskiest_tenth() -> None:
    risky = PROFILE.score.model_copy(update={"counts": (0, 500, 200, 300, 0)})
    both = window(1, arms=(arm(score=risky, approved=700), arm(model=CHALLENGER, rows=200, approved=100)))
    said = report([window(0), both], REFERENCES)
    ours, theirs = said.scores
    assert (ours.model, ours.roles, ours.expected) == (MODEL, (Role.CHAMPION,), 0.1)
    assert [(point.riskiest, point.approved) for point in ours.points] == [(0.1, 0.9), (0.3, 0.7)]
    assert (theirs.model, theirs.roles, theirs.expected) == (CHALLENGER, (Role.CHALLENGER,), None)
    assert [(point.rows, point.approved, point.psi) for point in theirs.points] == [(200, 0.5, None)]


def test_notes_are_said_once_with_the_windows_they_are_of() -> None:
    results = [window(0, notes=("Late.",)), window(1, notes=("Late.", "Half.")), window(2)]
    said = report(results, REFERENCES)
    assert [(note.text, note.windows, note.last) for note in said.notes] == [
        ("Late.", 2, "2026-09-05"),
        ("Half.", 1, "2026-09-05"),
    ]


def test_windows_are_named_by_their_day_or_by_their_hours() -> None:
    hour = DAY_MS // 24
    assert span_words(FIRST_MS, FIRST_MS + DAY_MS) == "2026-09-04"
    assert span_words(FIRST_MS + hour, FIRST_MS + 2 * hour) == "2026-09-04 01:00 to 02:00"
    assert span_words(FIRST_MS + hour, FIRST_MS + hour + DAY_MS) == "2026-09-04 01:00 to 2026-09-05 01:00"
    assert span_words(FIRST_MS, FIRST_MS + 7 * DAY_MS) == "2026-09-04 00:00 to 2026-09-11 00:00"


# -- the page --


def test_the_page_needs_nothing_else_and_closes_what_it_opens() -> None:
    page = drift_page(DRIFTED, REFERENCES)
    tags = Tags(page)
    assert tags.open == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.tags}
    images = [attributes for tag, attributes in tags.tags if tag == "img"]
    assert all((image["src"] or "").startswith("data:image/svg+xml;base64,") for image in images)
    titles = [image["alt"] for image in images]
    assert titles == [
        "Predictions by window, those with an alarm marked",
        "How far each feature drifted in each window",
        "region: reference against current, and its drift over time",
        "income: reference against current, and its drift over time",
        "Risky scores and approvals over time",
        f"Scores of {MODEL}: reference against current",
    ]


def test_the_page_says_what_a_person_needs() -> None:
    missing = finding("income", alarm=True, aspect=Aspect.MISSING)
    results = [
        *QUIET,
        window(
            4,
            ["region"],
            rolled_up=1_250,
            revision=3,
            skipped=("predictions/card-fraud/broken.jsonl",),
            notes=("80 % of the records are in the archive.",),
            findings=(finding("region", alarm=True), missing),
        ),
    ]
    page = drift_page(results, REFERENCES)
    for words in (
        '<span class="badge fail">drift</span>',
        "1 window in a row with an alarm",
        "<b>80 %</b><span>least complete window</span>",
        "An alarm needs three things at once.",
        "80 % of the records are in the archive.",
        "predictions/card-fraud/broken.jsonl",
        "whether a source has stopped or changed its format; values are missing more often, or less: income.",
        "quicksilver performance report --endpoint card-fraud",
        '<td class="n">3</td>',
        "&lt; 0.0001",
    ):
        assert words in page, words


def test_no_text_of_others_becomes_markup() -> None:
    nasty = "<script>alert(1)</script>"
    contract = CONTRACT.model_copy(
        update={
            "features": tuple(
                feature.model_copy(update={"categories": (nasty, "south")}) if feature.categories else feature
                for feature in CONTRACT.features
            )
        }
    )
    results = [
        window(
            0,
            notes=(nasty,),
            skipped=(nasty,),
            findings=(finding("region", alarm=True, sentence=nasty), finding("income")),
            segments=(window(0).counts.segments[0].model_copy(update={"value": nasty}),),
        )
    ]
    page = drift_page(results, {MODEL: Reference(contract, PROFILE)})
    assert nasty not in page
    assert "&lt;script&gt;" in page
    assert Tags(page).open == []


def test_names_with_signs_of_formulas_are_drawn_as_they_are() -> None:
    contract = CONTRACT.model_copy(
        update={
            "features": tuple(
                feature.model_copy(update={"categories": ("a $\\frac{ b$", "south")})
                if feature.categories
                else feature
                for feature in CONTRACT.features
            )
        }
    )
    assert Tags(drift_page([window(0, ["region"])], {MODEL: Reference(contract, PROFILE)})).open == []


@pytest.mark.parametrize("results", [QUIET[:1], [window(0, ["income"])], [window(0, findings=())]])
def test_one_window_is_enough_for_a_page(results: list) -> None:  # type: ignore[type-arg]
    assert Tags(drift_page(results, REFERENCES)).open == []


def test_the_same_windows_give_the_same_page() -> None:
    assert drift_page(DRIFTED, REFERENCES) == drift_page(list(reversed(DRIFTED)), REFERENCES)


def test_quiet_has_nothing_to_do_and_each_kind_of_alarm_its_own_step() -> None:
    assert next_steps(report(QUIET, REFERENCES))[0].startswith("Nothing.")
    alarms = tuple(finding("income", alarm=True, aspect=aspect) for aspect in Aspect)
    steps = next_steps(report([window(0, findings=alarms)], REFERENCES))
    assert len(steps) == 4 + 1 + 2


def test_tiny_probabilities_are_not_said_to_be_none() -> None:
    assert [probability(value) for value in (0.0, 0.00005, 0.0123, 1.0)] == [
        "< 0.0001",
        "< 0.0001",
        "0.0123",
        "1.0000",
    ]


def test_the_page_is_made_without_what_the_layer_of_the_function_lacks() -> None:
    code = (
        "import sys\n"
        "from quicksilver.reports import drift_page\n"
        "lacks = {'rich', 'typer', 'duckdb', 'scipy', 'pandas', 'lightgbm', 'sklearn', 'pyarrow', 'boto3'}\n"
        "print(sorted(lacks & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
