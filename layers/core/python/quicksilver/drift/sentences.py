"""What a finding says to a person, in one sentence: what moved, from what to what, and whether it matters."""

from __future__ import annotations

from quicksilver.drift.hypotheses import Hypothesis, Subject
from quicksilver.drift.result import Aspect, Baseline

BASELINES = {
    Baseline.REFERENCE: "the reference profile",
    Baseline.SAME_WEEKDAY: "the same weekday of earlier weeks",
    Baseline.EARLIER: "earlier windows",
}
_ONE_WAY = 0.9
"""From here on a distribution has moved up or down; below, it has (also) changed its shape."""
_SHARES = {
    Aspect.MISSING: "is missing in {now} of the rows",
    Aspect.UNSEEN: "has a category that the contract does not name in {now} of the rows",
    Aspect.OUT_OF_RANGE: "is outside the reference's range in {now} of its values",
    Aspect.APPROVAL: "approve {now} of the requests",
}


def sentence(hypothesis: Hypothesis, p_value: float, *, significant: bool) -> str:
    """For a person: "income: values are lower than in the reference profile, PSI 0.11 (limit 0.02), p < 0.0001"."""
    over = hypothesis.effect >= hypothesis.limit
    if significant and over:
        end = ""
    elif significant:
        end = ": certain, and too little to act on"
    elif over:
        end = f": no more than chance does in {hypothesis.rows:,} rows"
    else:
        end = ": no drift"
    return f"{name(hypothesis.subject)}{_what(hypothesis, moved=significant)}, {probability(p_value)}{end}."


def name(subject: Subject) -> str:
    whole = "scores" if subject.feature is None else subject.feature
    if subject.segment is None:
        return whole
    feature, value = subject.segment
    return f"{whole} where {feature} is {'missing' if value is None else value}"


def percent(share: float) -> str:
    """A share as few digits as tell it from nothing and from everything: 2.1 %, 0.03 %."""
    shown = 100 * share
    return f"{shown:.1f} %" if not 0 < shown < 1 else f"{shown:.2g} %"


def probability(p_value: float) -> str:
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"


def _what(hypothesis: Hypothesis, *, moved: bool) -> str:
    baseline = BASELINES[hypothesis.baseline]
    if hypothesis.shares is None:
        way = _way(hypothesis, moved=moved)
        return f": {way} {baseline}, PSI {hypothesis.effect:.2g} (limit {hypothesis.limit:g})"
    was, now = hypothesis.shares
    words = _SHARES[hypothesis.aspect].format(now=percent(now))
    return f" {words}, {percent(was)} in {baseline} (limit {100 * hypothesis.limit:g} points)"


def _way(hypothesis: Hypothesis, *, moved: bool) -> str:
    if not moved:
        return "the distribution is compared with"
    if hypothesis.rise is None or abs(hypothesis.rise) < _ONE_WAY:
        return "the distribution moved away from"
    return f"values are {'higher' if hypothesis.rise > 0 else 'lower'} than in"
