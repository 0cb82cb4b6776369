"""The judgement of a window: what alarms, what does not, what cannot be judged, and what it says of each."""

from __future__ import annotations

import math
import random as randomness
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.drift.baselines import EARLIER_WINDOWS, SEASON_WEEKS
from quicksilver.drift.counts import WindowCounts
from quicksilver.drift.judgement import judge
from quicksilver.drift.result import Aspect, Baseline, Finding
from quicksilver.errors import InvalidData
from quicksilver.profile import Histogram, ReferenceProfile
from tests.drift_windows import (
    MODEL,
    arm,
    category,
    drawn,
    even,
    numeric,
    policy,
    profile,
    segment,
    window,
)

ROWS = 20_000
INCOME, CHANNEL = even(ROWS), category([12_000, 7_000, 1_000])
PROFILE = profile({"income": INCOME, "channel": CHANNEL})
NOW: dict[str, Histogram] = {"income": even(2_000), "channel": category([1_200, 700, 100])}


def found(
    counts: WindowCounts,
    reference: ReferenceProfile = PROFILE,
    earlier: list[WindowCounts] | None = None,
    **changes: Any,
) -> dict[tuple[str | None, Aspect], Finding]:
    findings, _ = judge(counts, {MODEL: reference}, earlier or [], policy(**changes))
    return {(each.feature, each.aspect): each for each in findings if each.segment is None}


def notes(
    counts: WindowCounts, earlier: list[WindowCounts] | None = None, *, days: int = 1, **changes: Any
) -> str:
    reference = {MODEL: PROFILE}
    return "\n".join(judge(counts, reference, earlier or [window(arm(NOW), day=-days)], policy(**changes))[1])


def alarms(findings: dict[tuple[str | None, Aspect], Finding]) -> set[tuple[str | None, Aspect]]:
    return {name for name, finding in findings.items() if finding.alarm}


# --- What is asked, and what alarms ------------------------------------------------------------------------


def test_every_feature_and_the_scores_have_their_hypotheses() -> None:
    asked = found(window(arm(NOW)), earlier=[window(arm(NOW), day=-1)])
    assert set(asked) == {
        ("income", Aspect.DISTRIBUTION), ("income", Aspect.MISSING), ("income", Aspect.OUT_OF_RANGE),
        ("channel", Aspect.DISTRIBUTION), ("channel", Aspect.MISSING), ("channel", Aspect.UNSEEN),
        (None, Aspect.DISTRIBUTION), (None, Aspect.APPROVAL),
    }  # fmt: skip
    assert {each.baseline for each in asked.values()} == {Baseline.REFERENCE, Baseline.EARLIER}
    assert not any(each.significant or each.alarm for each in asked.values())
    assert {each.effect for each in asked.values()} == {0.0}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"income": numeric([100, 150, 200, 200, 200, 200, 200, 250, 250, 250])}, Aspect.DISTRIBUTION),
        ({"income": numeric([190] * 10, missing=100)}, Aspect.MISSING),
        ({"income": numeric([0, *[195] * 10, 50])}, Aspect.OUT_OF_RANGE),
        ({"income": numeric([50, *[195] * 10, 0])}, Aspect.OUT_OF_RANGE),
        ({"channel": category([1_000, 900, 100])}, Aspect.DISTRIBUTION),
        ({"channel": category([1_170, 680, 90], unseen=60)}, Aspect.UNSEEN),
        ({"channel": category([1_170, 680, 90], missing=60)}, Aspect.MISSING),
    ],
)
def test_drift_of_each_kind_alarms_naming_its_feature_and_aspect(
    change: dict[str, Histogram], name: Aspect
) -> None:
    (feature,) = change
    said = alarms(found(window(arm({**NOW, **change}))))
    assert (feature, name) in said
    assert {each for each, _ in said} == {feature}


def test_a_score_that_moves_alarms() -> None:
    moved = arm(NOW, numeric([100] * 5 + [300] * 5))
    assert alarms(found(window(moved))) == {(None, Aspect.DISTRIBUTION)}


def test_approvals_are_compared_with_earlier_windows() -> None:
    earlier = [window(arm(NOW), day=-1), window(arm(NOW), day=-2)]
    less = found(window(arm(NOW, approved=1_600)), earlier=earlier)
    finding = less[None, Aspect.APPROVAL]
    assert alarms(less) == {(None, Aspect.APPROVAL)}
    assert (finding.baseline, finding.baseline_rows, finding.rows) == (Baseline.EARLIER, 4_000, 2_000)
    assert finding.effect == pytest.approx(0.1)
    assert finding.sentence == (
        "scores approve 80.0 % of the requests, 90.0 % in earlier windows (limit 2 points), p < 0.0001."
    )


def test_a_change_that_is_certain_and_too_small_is_no_alarm() -> None:
    a_little = numeric([98_000] * 5 + [102_000] * 5)
    big = {"income": a_little, "channel": category([600_000, 350_000, 50_000])}
    finding = found(window(arm(big)), profile({k: _times(v, 50) for k, v in PROFILE.features.items()}))[
        "income", Aspect.DISTRIBUTION
    ]
    assert (finding.significant, finding.alarm) == (True, False)
    assert finding.sentence.endswith("p < 0.0001: certain, and too little to act on.")


def _times(histogram: Histogram, times: int) -> Histogram:
    return histogram.model_copy(update={"counts": tuple(times * each for each in histogram.counts)})


def test_a_change_that_is_large_and_chance_is_no_alarm() -> None:
    few = {"income": numeric([16, 7, 9, 10, 14, 5, 10, 13, 8, 8]), "channel": category([60, 35, 5])}
    finding = found(window(arm(few)), effects={"psi": 0.01})["income", Aspect.DISTRIBUTION]
    assert finding.distances is not None
    assert finding.distances.psi > 0.1, "a fixed limit would have alarmed"
    assert finding.effect > finding.limit
    assert not finding.alarm
    assert finding.sentence.endswith(": no more than chance does in 100 rows.")


def test_one_alarm_more_is_found_where_many_features_drift() -> None:
    """Benjamini and Hochberg's procedure: what would not pass alone passes beside certain findings."""
    shares = np.ones(10)
    random = np.random.default_rng(5)
    weak = numeric([255, 245, 230, 218, 205, 195, 182, 170, 155, 145])
    quiet = {f"f{place}": numeric(drawn(random, 2_000, shares)) for place in range(60)}
    strong = {f"f{place}": numeric([400] * 5 + [0] * 5) for place in range(60)}
    reference = profile({name: even(ROWS) for name in ("weak", *quiet)})
    alone = found(window(arm({"weak": weak, **quiet})), reference)["weak", Aspect.DISTRIBUTION]
    beside = found(window(arm({"weak": weak, **strong})), reference)["weak", Aspect.DISTRIBUTION]
    assert alone.p_value == beside.p_value
    assert alone.p_value < 0.005
    assert beside.significant


def test_copies_of_the_same_entities_are_no_evidence() -> None:
    moved: dict[str, Histogram] = {
        "income": numeric([150, 150, 200, 200, 200, 200, 200, 200, 250, 250]),
        "channel": category([1_200, 700, 100]),
    }
    independent = found(window(arm(moved)))["income", Aspect.DISTRIBUTION]
    copied = found(window(arm(moved, effective_rows=100.0)))["income", Aspect.DISTRIBUTION]
    assert independent.alarm
    assert not copied.significant
    assert copied.effect < independent.effect, "chance adds more to the PSI of a hundred entities"


# --- Order, sentences, determinism ---------------------------------------------------------------------------


def test_alarms_come_first_by_falling_importance_times_drift() -> None:
    moved: dict[str, Histogram] = {
        "income": numeric([100, 150, 200, 200, 200, 200, 200, 250, 250, 250]),
        "channel": category([900, 1_000, 100]),
    }
    plain = judge(window(arm(moved)), {MODEL: PROFILE}, [], policy())[0]
    weighed = judge(
        window(arm(moved, importance={"income": 5.0, "channel": 0.1})), {MODEL: PROFILE}, [], policy()
    )[0]
    assert [each.feature for each in plain[:2]] == ["channel", "income"]
    assert [each.feature for each in weighed[:2]] == ["income", "channel"]
    for findings in (plain, weighed):
        keys = [(not each.alarm, -each.rank) for each in findings]
        assert keys == sorted(keys)
    assert (weighed[0].importance, plain[0].importance) == (5.0, None)


def test_a_judgement_depends_on_no_order_and_on_no_chance() -> None:
    earlier = [window(arm(NOW), day=-day) for day in range(1, 12)]
    counts = window(arm({"income": even(130), "channel": category([120, 5, 3], missing=2)}, approved=99))
    shuffled = earlier[:]
    randomness.Random(3).shuffle(shuffled)
    assert judge(counts, {MODEL: PROFILE}, earlier, policy()) == judge(
        counts, {MODEL: PROFILE}, shuffled, policy()
    )


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        (
            {"income": numeric([100, 150, 200, 200, 200, 200, 200, 250, 250, 250])},
            ("income", Aspect.DISTRIBUTION),
            "income: values are higher than in the reference profile, PSI 0.0",
        ),
        (
            {"income": numeric([250, 250, 200, 200, 200, 200, 200, 200, 150, 150])},
            ("income", Aspect.DISTRIBUTION),
            "income: values are lower than in the reference profile, PSI 0.0",
        ),
        (
            {"income": numeric([300, 250, 200, 150, 100, 100, 150, 200, 250, 300])},
            ("income", Aspect.DISTRIBUTION),
            "income: the distribution moved away from the reference profile, PSI 0.1",
        ),
        (
            {"channel": category([1_000, 900, 100])},
            ("channel", Aspect.DISTRIBUTION),
            "channel: the distribution moved away from the reference profile, PSI 0.0",
        ),
        (
            {"channel": category([1_170, 680, 90], unseen=60)},
            ("channel", Aspect.UNSEEN),
            "channel has a category that the contract does not name in 3.0 % of the rows, 0.0 % in the reference profile",
        ),
        (
            {"income": numeric([190] * 10, missing=100)},
            ("income", Aspect.MISSING),
            "income is missing in 5.0 % of the rows, 0.0 % in the reference profile (limit 2 points), p < 0.0001.",
        ),
        (
            {"income": numeric([0, *[199] * 10, 10])},
            ("income", Aspect.OUT_OF_RANGE),
            "income is outside the reference's range in 0.5 % of its values, 0.0 % in the reference profile (limit 1 points)",
        ),
        (
            {},
            ("income", Aspect.DISTRIBUTION),
            "income: the distribution is compared with the reference profile, PSI 0 (limit 0.02), p = 1: no drift.",
        ),
    ],
)  # fmt: skip
def test_a_finding_says_what_moved_from_what_to_what(
    change: dict[str, Histogram], name: tuple[str, Aspect], says: str
) -> None:
    assert found(window(arm({**NOW, **change})))[name].sentence.startswith(says)


# --- Segments ------------------------------------------------------------------------------------------------


def test_every_segment_has_its_scores_and_approvals_compared_with_its_own_past() -> None:
    past = [
        window(arm(NOW), day=-day, segments=[segment("pos", 800, approved=720), segment(None, 300, approved=270)])
        for day in (1, 2)
    ]  # fmt: skip
    now = window(
        arm(NOW),
        segments=[
            segment("pos", 800, approved=560),
            segment(None, 300, approved=270),
            segment("atm", 700, approved=600),
            segment("online", 30, approved=3),
        ],
    )
    findings, said = judge(now, {MODEL: PROFILE}, past, policy())
    segments = {(each.segment, each.aspect): each for each in findings if each.segment}
    assert set(segments) == {
        (("channel", value), aspect)
        for value in ("pos", None)
        for aspect in (Aspect.DISTRIBUTION, Aspect.APPROVAL)
    }
    alarm = segments[("channel", "pos"), Aspect.APPROVAL]
    assert [each for each in findings if each.alarm] == [alarm]
    assert (alarm.baseline_rows, alarm.rows, alarm.feature) == (1_600, 800, None)
    assert alarm.sentence.startswith(
        "scores where channel is pos approve 70.0 % of the requests, 90.0 % in earlier"
    )
    assert segments[("channel", None), Aspect.APPROVAL].sentence.startswith(
        "scores where channel is missing approve"
    )
    assert said == (f"Segments of fewer than 100 rows are not judged: channel online of {MODEL} (30).",)


# --- Baselines -------------------------------------------------------------------------------------------------


def test_only_the_last_windows_as_long_and_before_are_the_past() -> None:
    length = 3_600_000
    hour = window(arm(NOW), day=-1)
    shorter = hour.model_copy(
        update={"window": hour.window.model_copy(update={"start_ms": hour.window.end_ms - length})}
    )
    past = [window(arm(NOW), day=day) for day in range(-12, 3)]
    finding = found(window(arm(NOW)), earlier=[*past, shorter])[None, Aspect.APPROVAL]
    assert finding.baseline_rows == EARLIER_WINDOWS * 2_000
    other = window(arm(NOW, model="card-fraud@11"), day=-1)
    assert (None, Aspect.APPROVAL) not in found(window(arm(NOW)), earlier=[other, shorter])


def test_with_a_weekly_season_monday_is_compared_with_mondays() -> None:
    monday: dict[str, Histogram] = {
        "income": numeric([100, 100, 200, 200, 200, 200, 200, 200, 300, 300]),
        "channel": category([800, 1_100, 100]),
    }
    past = [window(arm(monday if day % 7 == 0 else NOW, approved=1_500), day=day) for day in range(-42, 0)]
    now = window(arm(monday, approved=1_500))
    assert alarms(found(now, earlier=past)) == {
        ("income", Aspect.DISTRIBUTION),
        ("channel", Aspect.DISTRIBUTION),
    }
    weekly = found(now, earlier=past, season="weekly")
    assert alarms(weekly) == set()
    assert {each.baseline for each in weekly.values()} == {Baseline.SAME_WEEKDAY}
    assert {each.baseline_rows for each in weekly.values()} == {SEASON_WEEKS * 2_000}
    tuesday = found(window(arm(NOW, approved=1_500)), earlier=past, season="weekly")
    assert ("income", Aspect.DISTRIBUTION) in alarms(tuesday), "no Monday is like that"


def test_weeks_that_have_moved_themselves_are_no_secret() -> None:
    moved: dict[str, Histogram] = {**NOW, "income": numeric([100] * 5 + [300] * 5)}
    past = [window(arm(moved), day=-7 * week) for week in range(1, 5)]
    assert alarms(found(window(arm(moved)), earlier=past, season="weekly")) == set()
    assert notes(window(arm(moved)), past, season="weekly") == (
        f"{MODEL} is compared with weeks that had themselves moved from its reference profile: income (PSI 0.27)."
    )


def test_without_earlier_weeks_the_reference_profile_stands_in_and_that_is_said() -> None:
    finding = found(window(arm(NOW)), earlier=[window(arm(NOW), day=-1)], season="weekly")
    assert {each.baseline for each in finding.values()} == {Baseline.REFERENCE}
    assert (
        "has no earlier weeks to compare this weekday with: it is compared with its reference profile."
        in notes(window(arm(NOW)), season="weekly")
    )


def test_a_feature_that_earlier_weeks_did_not_count_keeps_its_reference() -> None:
    without = window(arm({"channel": NOW["channel"]}), day=-7)
    weekly = found(window(arm(NOW)), earlier=[without], season="weekly")
    assert weekly["income", Aspect.DISTRIBUTION].baseline is Baseline.REFERENCE
    assert weekly["channel", Aspect.DISTRIBUTION].baseline is Baseline.SAME_WEEKDAY


def test_windows_that_alarmed_are_part_of_the_past() -> None:
    """A change that somebody wanted stops alarming once the past is like it; it has alarmed when it came."""
    past = [window(arm(NOW), day=day) for day in range(-7, 0)]
    verdicts = []
    for day in range(9):
        now = window(arm(NOW, approved=1_500), day=day)
        verdicts.append((None, Aspect.APPROVAL) in alarms(found(now, earlier=past)))
        past.append(now)
    assert verdicts[0]
    assert not verdicts[-1]


# --- Bad input ---------------------------------------------------------------------------------------------------


def test_an_empty_window_says_so() -> None:
    findings, said = judge(window(), {}, [], policy())
    assert findings == ()
    assert said == ("No prediction is in the archive for this window.",)


@pytest.mark.parametrize("rows", [1, 99])
def test_of_too_few_rows_nothing_is_judged_and_that_is_said(rows: int) -> None:
    few = {"income": even(rows), "channel": category([rows, 0, 0])}
    assert found(window(arm(few))) == {}
    assert notes(window(arm(few))) == (f"{MODEL} answered {rows:,} requests: fewer than 100 are not judged.")


def test_one_row_can_be_judged_where_a_policy_wants_it() -> None:
    one = found(window(arm({"income": even(1), "channel": category([1, 0, 0])})), min_rows=1)
    assert len(one) == 7
    assert not alarms(one)


def test_a_model_without_reference_profile_is_named_and_judged_by_nothing() -> None:
    findings, said = judge(window(arm(NOW)), {}, [], policy())
    assert findings == ()
    assert said == (f"{MODEL} has no reference profile: its 2,000 rows are judged by nothing.",)


def test_what_a_window_lacks_is_said() -> None:
    partial = window(
        arm(NOW),
        archived=2_100, rolled_up=4_000, fallbacks=100, skipped=("a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl"),
        unprofiled={"card-fraud@9": 40},
    )  # fmt: skip
    assert notes(partial).splitlines() == [
        "The archive holds 52.5 % of the 4,000 predictions that the rollup counted: the window is partial, and judged by what is there.",
        "100 predictions have no vector, for no model answered them: they are in no histogram.",
        "4 objects of the archive could not be read: a.jsonl, b.jsonl, c.jsonl, ....",
        "card-fraud@9 has no reference profile that can be read: its 40 rows are judged by nothing.",
    ]
    assert notes(window(arm(NOW), rolled_up=2_000)) == ""


def test_all_missing_alarms_as_missing() -> None:
    gone = found(window(arm({**NOW, "income": numeric([0] * 10, missing=2_000)})))
    assert ("income", Aspect.MISSING) in alarms(gone)
    assert gone["income", Aspect.MISSING].effect == 1.0
    assert gone["income", Aspect.OUT_OF_RANGE].p_value == 1.0
    distances = gone["income", Aspect.DISTRIBUTION].distances
    assert distances is not None
    assert (distances.kolmogorov_smirnov, distances.wasserstein) == (None, None)
    assert math.isfinite(distances.psi)


def test_all_one_value_alarms() -> None:
    same = found(window(arm({**NOW, "income": numeric([0, 0, 0, 2_000, 0, 0, 0, 0, 0, 0])})))
    assert alarms(same) == {("income", Aspect.DISTRIBUTION)}


def test_a_constant_feature_is_quiet_while_constant_and_alarms_when_it_is_not() -> None:
    edges = (80.0, math.nextafter(80.0, 81))
    reference = profile({"limit": numeric([0, ROWS, 0], edges=edges)})
    same = found(window(arm({"limit": numeric([0, 2_000, 0], edges=edges)})), reference)
    assert not alarms(same)
    other = found(window(arm({"limit": numeric([0, 1_500, 500], edges=edges)})), reference)
    assert ("limit", Aspect.OUT_OF_RANGE) in alarms(other)


def test_a_new_category_alarms_as_unseen() -> None:
    new = found(window(arm({**NOW, "channel": category([1_180, 690, 95], unseen=35)})))
    assert ("channel", Aspect.UNSEEN) in alarms(new)


def test_a_feature_gone_or_new_is_named_and_the_others_are_judged() -> None:
    gone = window(arm({"income": even(2_000)}))
    assert {feature for feature, _ in found(gone)} == {"income", None}
    assert notes(gone) == f"{MODEL} has features that were not counted in this window: channel."
    new = window(arm({**NOW, "age": even(2_000)}))
    assert {feature for feature, _ in found(new)} == {"income", "channel", None}
    assert notes(new) == f"{MODEL} has features that its reference profile lacks: age."


OTHER_EDGES = tuple(float(edge) + 0.5 for edge in range(11))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"income": numeric([200] * 10, edges=OTHER_EDGES)}, f"{MODEL}, features.income: has other edges"),
        (
            {"channel": category([1_000, 1_000])},
            f"{MODEL}, features.channel: has 2 categories, not 3",
        ),
        ({"channel": even(2_000)}, f"{MODEL}, features.channel: is numeric, not category"),
    ],
)
def test_counts_over_other_bins_are_refused(change: dict[str, Histogram], complaint: str) -> None:
    for earlier, now in (([], {**NOW, **change}), ([window(arm({**NOW, **change}), day=-7)], NOW)):
        with pytest.raises(InvalidData, match="other bins than those of the reference profile") as refusal:
            found(window(arm(now)), earlier=earlier, season="weekly")
        assert str(refusal.value.fields[0]).startswith(complaint.split(":")[0])
        assert complaint.split(": ")[1] in str(refusal.value.fields[0])


def test_scores_over_other_bins_are_refused_in_arms_segments_and_the_past() -> None:
    other = numeric([200] * 10, edges=OTHER_EDGES)
    past = window(arm(NOW), day=-1, segments=[segment("pos", 2_000, approved=9)])
    cases = [
        (window(arm(NOW, other)), []),
        (window(arm(NOW), segments=[segment("pos", 2_000, approved=9, score=other)]), [past]),
        (window(arm(NOW)), [window(arm(NOW, other), day=-1)]),
        (window(arm(NOW), segments=[segment("pos", 2_000, approved=9)]),
         [window(arm(NOW), day=-1, segments=[segment("pos", 2_000, approved=9, score=other)])]),
    ]  # fmt: skip
    for now, earlier in cases:
        with pytest.raises(InvalidData):
            found(now, earlier=earlier)


def test_histograms_of_other_rows_than_their_arm_are_refused() -> None:
    with pytest.raises(InvalidData) as refusal:
        found(window(arm({**NOW, "income": even(1_999)}, even(2_000), rows=2_000)))
    assert str(refusal.value.fields[0]) == f"{MODEL}, features.income: counts 1,999 rows, not 2,000"


# --- Invariants --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_counts_whatever_are_judged_in_finite_numbers(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 300))

    def split(bins: int) -> list[int]:
        cuts = sorted(data.draw(st.lists(st.integers(0, rows), min_size=bins - 1, max_size=bins - 1)))
        return [b - a for a, b in zip([0, *cuts], [*cuts, rows], strict=True)]

    *income, missing = split(13)
    *channel, unseen, gone = split(5)
    counts = window(
        arm(
            {"income": numeric(income, missing), "channel": category(channel, unseen, gone)},
            even(rows),
            effective_rows=data.draw(st.floats(0, rows)),
            approved=data.draw(st.integers(0, rows)),
        )
    )
    findings, _ = judge(counts, {MODEL: PROFILE}, [window(arm(NOW), day=-1)], policy(min_rows=1))
    assert len(findings) == 8
    for each in findings:
        assert 0 <= each.p_value <= 1
        assert math.isfinite(each.effect)
        assert each.effect >= 0
        assert each.alarm == (each.significant and each.effect >= each.limit)
        assert each.sentence.endswith(".")
