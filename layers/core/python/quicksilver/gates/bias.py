"""The bias gate: what the decision at the policy's cutoff does to each group of a protected attribute.

A score at or above the cutoff is the adverse decision, below it the favourable one; ``target`` 1 is the bad
outcome. For a group:

- *favourable rate*: the share of its rows decided favourably (Wilson interval).
- *adverse impact ratio*: its favourable rate over that of the most favoured group (Katz log interval). Four
  fifths is a rule of thumb that a policy may set, and no statement of law.
- *equal opportunity gap*: among its rows that turned out good (target 0), the favourable rate, subtracted from
  the highest such rate of a judged group. With the favourable decision as the positive one this is Hardt,
  Price & Srebro 2016 (section 2): those who deserve it get it equally often.
- *equalized odds gap*: the larger of that gap and the same gap among rows that turned out bad (target 1).
- *calibration gap*: observed bad rate minus mean score, in the group (normal interval). Its size is judged.

Differences carry Newcombe's interval. The value is judged and the interval is shown. A rate is judged, and can
be the one others are compared with, where at least ``min_group_size`` rows stand behind it: for opportunity
the good ones, for odds the good and the bad ones. Other groups are shown with no limit. Rows whose attribute
is not known are the group ``unknown``, judged as any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quicksilver.frame import Bools, Floats
from quicksilver.gates.data import UNKNOWN, Groups
from quicksilver.gates.performance import Scored
from quicksilver.gates.policy import BiasPolicy
from quicksilver.gates.report import Check, Gate, Outcome
from quicksilver.gates.statistics import Estimate, mean_estimate, share_difference, share_ratio, wilson


@dataclass(frozen=True, slots=True)
class Tally:
    """A share as counts: ``favourable`` of ``rows`` were decided favourably."""

    favourable: int
    rows: int

    @property
    def rate(self) -> float:
        return self.favourable / self.rows


@dataclass(frozen=True, slots=True)
class GroupTallies:
    """One group's decisions: of all its rows, of the good ones, of the bad ones; and its calibration gap per row."""

    name: str
    all: Tally
    good: Tally
    bad: Tally
    residual: Floats


def bias_checks(
    scored: Scored,
    groups: Sequence[Groups],
    *,
    cutoff: float,
    policy: BiasPolicy,
    confidence: float,
) -> list[Check]:
    """The gate's checks: per attribute, per group, in the order of names."""
    if not groups:
        return [
            Check(
                gate=Gate.BIAS,
                name="protected_attributes",
                outcome=Outcome.WARN,
                sentence="The policy names no protected attribute, so nothing says how groups are treated.",
            )
        ]
    checks: list[Check] = []
    for each in groups:
        if set(each.names) <= {UNKNOWN}:
            checks.append(_nobody_known(each))
        candidate = tally(scored.candidate, scored.target, each, cutoff)
        champion = None if scored.champion is None else tally(scored.champion, scored.target, each, cutoff)
        checks += _Attribute(each.attribute, candidate, policy, confidence).checks(
            None if champion is None else _Attribute(each.attribute, champion, policy, confidence)
        )
    return checks


def _nobody_known(groups: Groups) -> Check:
    """Whoever treats one group alike has shown nothing."""
    return Check(
        gate=Gate.BIAS,
        name="protected_attributes",
        outcome=Outcome.WARN,
        attribute=groups.attribute,
        sentence=f"No row says its {groups.attribute}, so nothing says how its groups are treated.",
    )


def tally(scores: Floats, target: Bools, groups: Groups, cutoff: float) -> list[GroupTallies]:
    """Count each group's decisions at the cutoff. A group without rows is left out."""
    favourable = scores < cutoff
    found = []
    for code, name in enumerate(groups.names):
        members = groups.members(code)
        if not members.any():
            continue

        def count(rows: Bools) -> Tally:
            return Tally(int(favourable[rows].sum()), int(rows.sum()))

        found.append(
            GroupTallies(
                name,
                count(members),
                count(members & ~target),
                count(members & target),
                target[members].astype(np.float64) - scores[members],
            )
        )
    return found


@dataclass(frozen=True)
class _Attribute:
    """One protected attribute's groups under one model, and each group's measures."""

    attribute: str
    groups: list[GroupTallies]
    policy: BiasPolicy
    confidence: float

    def best(self, part: str) -> GroupTallies | None:
        """The group with the highest favourable rate among those of sufficient size; the larger one of two equals."""
        judged = [group for group in self.groups if getattr(group, part).rows >= self.policy.min_group_size]
        return max(judged, key=lambda g: (getattr(g, part).rate, getattr(g, part).rows, g.name), default=None)

    def ratio(self, group: GroupTallies) -> Estimate | None:
        best = self.best("all")
        if best is None or not best.all.favourable:
            return None
        if group is best:
            return Estimate(1.0, 1.0, 1.0)
        own, other = group.all, best.all
        return share_ratio(own.favourable, own.rows, other.favourable, other.rows, self.confidence)

    def gap(self, group: GroupTallies, part: str) -> Estimate | None:
        best = self.best(part)
        own: Tally = getattr(group, part)
        if best is None or not own.rows:
            return None
        if group is best:
            return Estimate(0.0, 0.0, 0.0)
        other: Tally = getattr(best, part)
        return share_difference(other.favourable, other.rows, own.favourable, own.rows, self.confidence)

    def odds(self, group: GroupTallies) -> Estimate | None:
        gaps = [self.gap(group, "good"), self.gap(group, "bad")]
        known = [gap for gap in gaps if gap is not None]
        return max(known, key=lambda gap: gap.value) if len(known) == len(gaps) else None

    def checks(self, champion: _Attribute | None) -> list[Check]:
        checks = []
        theirs = {} if champion is None else {group.name: group for group in champion.groups}
        for group in self.groups:
            checks += self._group_checks(group, champion, theirs.get(group.name))
        return checks

    def _group_checks(
        self, group: GroupTallies, champion: _Attribute | None, theirs: GroupTallies | None
    ) -> list[Check]:
        size, policy = self.policy.min_group_size, self.policy

        def champions(measure: str, part: str | None = None) -> float | None:
            if champion is None or theirs is None:
                return None
            estimate = getattr(champion, measure)(theirs, *([part] if part else []))
            return None if estimate is None else float(estimate.value)

        own = wilson(group.all.favourable, group.all.rows, self.confidence)
        measures = [
            self._check(
                group, "favourable_rate", Estimate(group.all.rate, own.low, own.high), None, True,
                f"{group.all.rate:.1%} of {{who}} are decided favourably.",
                theirs.all.rate if theirs else None, group.all.rows,
            )
        ]  # fmt: skip
        ratio = self.ratio(group)
        measures.append(
            self._check(
                group, "adverse_impact_ratio", ratio,
                policy.min_adverse_impact_ratio if group.all.rows >= size else None,
                ratio is None or ratio.value >= policy.min_adverse_impact_ratio,
                "{who} are decided favourably {value:.3f} times as often as {best}, the most favoured.",
                champions("ratio"), group.all.rows,
            )
        )  # fmt: skip
        opportunity = self.gap(group, "good")
        measures.append(
            self._check(
                group, "equal_opportunity_gap", opportunity,
                policy.max_equal_opportunity_gap if group.good.rows >= size else None,
                opportunity is None or opportunity.value <= policy.max_equal_opportunity_gap,
                "Good cases of {who} are decided favourably {value:.3f} less often than those of the best group.",
                champions("gap", "good"), group.good.rows,
            )
        )  # fmt: skip
        odds = self.odds(group)
        judged = min(group.good.rows, group.bad.rows) >= size
        measures.append(
            self._check(
                group, "equalized_odds_gap", odds,
                policy.max_equalized_odds_gap if judged else None,
                odds is None or odds.value <= policy.max_equalized_odds_gap,
                "Good or bad cases of {who} are decided favourably {value:.3f} less often than the best group's.",
                champions("odds"), min(group.good.rows, group.bad.rows),
            )
        )  # fmt: skip
        calibration = self.calibration(group)
        measures.append(
            self._check(
                group, "calibration_gap", calibration,
                policy.max_calibration_gap if group.all.rows >= size else None,
                abs(calibration.value) <= policy.max_calibration_gap,
                "The bad rate of {who} differs from their mean score by {value:+.4f}.",
                champions("calibration"), group.all.rows,
            )
        )  # fmt: skip
        return measures

    def calibration(self, group: GroupTallies) -> Estimate:
        return mean_estimate(group.residual, self.confidence)

    def _check(
        self,
        group: GroupTallies,
        name: str,
        estimate: Estimate | None,
        limit: float | None,
        holds: bool,
        sentence: str,
        champion: float | None,
        rows: int,
    ) -> Check:
        who = f"{self.attribute} {group.name}"
        outcome = Outcome.PASS
        if estimate is None:
            # Nothing stands behind the number; where the group is large enough, somebody must look at it.
            outcome = Outcome.PASS if limit is None else Outcome.WARN
            text = (
                f"The {name.replace('_', ' ')} of {who} cannot be computed: there is nothing to compare with."
            )
        else:
            best = self.best("all")
            text = sentence.format(who=who, value=estimate.value, best=best.name if best else "no group")
            if limit is not None and not holds:
                outcome = Outcome(self.policy.breach)
                text += f" The policy allows {limit:g}."
        if limit is None and name != "favourable_rate":
            text += (
                f" Shown and not judged: {rows} rows, and the policy asks for {self.policy.min_group_size}."
            )
        return Check(
            gate=Gate.BIAS,
            name=name,
            outcome=outcome,
            sentence=text,
            value=None if estimate is None else estimate.value,
            low=None if estimate is None else estimate.low,
            high=None if estimate is None else estimate.high,
            limit=limit,
            champion=champion,
            attribute=self.attribute,
            group=group.name,
            rows=rows,
        )
