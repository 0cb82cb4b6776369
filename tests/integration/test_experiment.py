"""An experiment on the emulator, from its start to its promotion: route, answers, archive, outcomes, report, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.cli.experiment_report import read_report
from quicksilver.errors import NotAllowed
from quicksilver.experiment_plan import TermsWanted, Verdict
from quicksilver.instants import utc_iso
from quicksilver.outcomes import Outcome, keep_outcomes
from tests.local_stack import eventually

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.local_stack import LocalStack


def test_an_experiment_from_its_start_to_its_promotion(
    stack: LocalStack, request_body: dict[str, Any], second_package: Package
) -> None:
    challenger = stack.approve(second_package)
    grace = stack.as_("grace").registry
    terms = TermsWanted(ripe_after_seconds=0)
    route = grace.start_experiment(
        "card-fraud", challenger, share_bp=4_000, holdout_bp=1_000, terms=terms, reason="Is it better?"
    )
    stack.new_environment("card-fraud")

    # Each entity twice: the second time counts for nothing.
    entities = [f"experiment_{number}" for number in range(20)]
    answers = [stack.score({**request_body, "entity_id": entity}).content for entity in entities * 2]
    assert [answer["route"] for answer in answers] == [route.number] * 40
    for answer in answers:
        assert answer["arm"]["model"] == answer["model"] == route.assign(answer["entity_id"]).model
        assert answer["arm"]["holdout"] == route.holds_out(answer["entity_id"])
    ids = [answer["prediction_id"] for answer in answers]
    records = eventually(
        lambda: len(found := stack.archived(ids)) >= len(ids) and found, "the predictions are archived"
    )
    latest = max(record["time"] for record in records)
    outcomes = [
        Outcome(prediction_id=answer["prediction_id"], label=place % 3 == 0, time=latest)
        for place, answer in enumerate(answers)
    ]
    keep_outcomes(stack.outcomes, "card-fraud", outcomes)

    found = read_report(stack, "card-fraud", None)
    expected = {"challenger": 0, "champion": 0, "holdout": 0}
    for entity in entities:
        expected["holdout" if route.holds_out(entity) else route.assign(entity).role.value] += 1
    assert {row.arm: row.entities for row in found.arms} == expected
    assert {row.arm: row.outcomes for row in found.arms} == expected
    assert sum(row.bads for row in found.arms) == sum(place % 3 == 0 for place in range(20))
    assert found.verdict is Verdict.NOT_YET

    with pytest.raises(NotAllowed, match="only a win is promoted"):
        grace.promote_challenger("card-fraud", found.conclusion(), override=False, reason="Now.")
    after = grace.promote_challenger("card-fraud", found.conclusion(), override=True, reason="A test.")
    assert (after.champion.model, after.experiment) == (challenger, None)
    entry = [entry for entry in grace.history("card-fraud") if entry.subject == f"route {after.number}"][-1]
    assert entry.details["experiment"]["override"] is True
    assert entry.details["experiment"]["conclusion"]["at"] == utc_iso(found.at_ms)
    champion = after.champion
    grace.set_route("card-fraud", [champion], reason="Without a holdout again.", holdout_bp=0)
