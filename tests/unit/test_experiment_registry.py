"""The rules of experiments: who may start one, what each of its routes looks like, and what the history remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.aws.registry_client import RegistryClient
from quicksilver.errors import InvalidInput, InvalidRoute, NotAllowed, NotFound
from quicksilver.experiment_plan import Conclusion, Costs, TermsWanted, Verdict
from quicksilver.experiment_registry import Experiments
from quicksilver.model_version import State
from quicksilver.registry_api import RegistryApi
from quicksilver.rollout_plan import Rollout
from quicksilver.routing import Arm, Role, Route
from tests.approvals import ADA, GRACE, bring_to_approved
from tests.unit.test_registry_client import InProcess

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench

WANTED = TermsWanted(minimum_effect=10)


@pytest.fixture
def challenger(bench: Bench, second_package: Package) -> str:
    """An approved second model version beside the champion, ``card-fraud@1``."""
    bench.artifacts.put(second_package.sha256, second_package.files)
    return bring_to_approved(bench.registry, second_package)


@pytest.fixture
def experiments(bench: Bench) -> Experiments:
    return Experiments(bench.registry)


def start(experiments: Experiments, challenger: str = "card-fraud@2", **change: Any) -> Route:
    asked = {"share_bp": 1_000, "terms": WANTED, "reason": "Is it better?", "who": GRACE, **change}
    return experiments.start("card-fraud", challenger, **asked)


def concluded(verdict: Verdict, experiment: int = 2) -> Conclusion:
    return Conclusion(
        experiment=experiment,
        verdict=verdict,
        sentence="It is as it is.",
        at="2026-11-26T00:00:00.000Z",
        numbers={"expected_loss": -1.5, "entities": 40_000, "needed": None},
    )


def last_details(bench: Bench) -> dict[str, Any]:
    return dict(bench.registry.history("card-fraud")[-1].details["experiment"])


def test_a_start_splits_the_entities_by_a_salt_of_its_own(
    experiments: Experiments, challenger: str, bench: Bench
) -> None:
    before = bench.registry.current_route("card-fraud")
    route = start(experiments, challenger, holdout_bp=100)
    assert [(arm.model, arm.role, arm.share_bp) for arm in route.arms] == [
        ("card-fraud@1", Role.CHAMPION, 9_000),
        ("card-fraud@2", Role.CHALLENGER, 1_000),
    ]
    assert (route.salt, route.holdout_bp) == (f"card-fraud/experiment/{route.number}", 100)
    assert route.salt != before.salt
    assert route.experiment
    assert (route.experiment.number, route.experiment.challenger) == (route.number, challenger)
    assert (route.experiment.terms.cutoff, route.experiment.terms.minimum_effect) == (0.5, 10)
    assert route.experiment.terms.costs == Costs(missed_bad=5_000, declined_good=5_000), (
        "those of the cut-off"
    )
    assert last_details(bench) == {"number": route.number, "move": "started"}
    assert experiments.current("card-fraud") == route


def test_a_second_experiment_draws_other_entities_than_the_first(
    experiments: Experiments, challenger: str
) -> None:
    first = start(experiments, share_bp=5_000)
    experiments.stop("card-fraud", reason="Again.", who=GRACE)
    second = start(experiments, share_bp=5_000)
    entities = [f"card_{number}" for number in range(4_000)]
    saw, sees = (
        {entity for entity in entities if route.assign(entity).role is Role.CHALLENGER}
        for route in (first, second)
    )
    assert len(saw & sees) / len(saw) == pytest.approx(0.5, abs=0.05), "as many of them as of anybody"


def test_the_holdout_stays_what_it_was_where_none_is_named_and_outlasts_the_experiment(
    experiments: Experiments, challenger: str
) -> None:
    start(experiments, holdout_bp=200)
    stopped = experiments.stop("card-fraud", reason="Enough.", who=GRACE)
    assert stopped.holdout_bp == 200
    assert start(experiments).holdout_bp == 200


def test_costs_that_are_named_are_taken(experiments: Experiments, challenger: str) -> None:
    costs = Costs(missed_bad=12_000, declined_good=300)
    route = start(experiments, terms=TermsWanted(costs=costs))
    assert route.experiment
    assert route.experiment.terms.costs == costs


def test_shadows_stay_the_challengers_own_until_it_is_the_champion(
    experiments: Experiments, challenger: str, bench: Bench
) -> None:
    route = bench.registry.current_route("card-fraud")
    sha256 = bench.registry.model_version(challenger).package_sha256
    shadow = Arm(model=challenger, package_sha256=sha256, role=Role.SHADOW, share_bp=0)
    own = route.champion.model_copy(update={"role": Role.SHADOW, "share_bp": 0})
    bench.registry.set_route("card-fraud", [route.champion, shadow, own], reason="Look.", who=GRACE)
    # The challenger's shadow scores what the champion answers meanwhile.
    assert start(experiments).shadows == (shadow, own)
    assert experiments.stop("card-fraud", reason="Enough.", who=GRACE).shadows == (shadow, own)
    start(experiments)
    promoted = experiments.promote("card-fraud", override=True, reason="It must go.", who=GRACE)
    assert promoted.shadows == (own,)


# -- what may not start --


def test_one_mover_at_a_time(experiments: Experiments, challenger: str, bench: Bench) -> None:
    start(experiments)
    with pytest.raises(NotAllowed, match="The experiment with card-fraud@2 moves the route"):
        start(experiments)
    champion = bench.registry.current_route("card-fraud").champion.model_copy(update={"share_bp": 10_000})
    with pytest.raises(NotAllowed, match="The experiment with card-fraud@2 moves the route"):
        bench.registry.set_route("card-fraud", [champion], reason="Quickly.", who=GRACE)


def test_it_does_not_start_while_a_rollout_moves_the_route(
    experiments: Experiments, challenger: str, bench: Bench
) -> None:
    route = bench.registry.current_route("card-fraud")
    rollout = Rollout(
        number=route.number + 1,
        model=challenger,
        steps_bp=(100, 10_000),
        bake_seconds=60,
        started_at=route.created_at,
        step_at=route.created_at,
    )
    moving = route.model_copy(update={"number": route.number + 1, "rollout": rollout})
    bench.registry_store._routes["card-fraud"].append(moving)
    with pytest.raises(NotAllowed, match="The rollout of card-fraud@2 moves the route"):
        start(experiments)


def test_it_does_not_start_where_another_model_version_answers_beside_the_champion(
    experiments: Experiments, challenger: str, bench: Bench
) -> None:
    route = bench.registry.current_route("card-fraud")
    sha256 = bench.registry.model_version(challenger).package_sha256
    canary = Arm(model=challenger, package_sha256=sha256, role=Role.CANARY, share_bp=500)
    less = route.champion.model_copy(update={"share_bp": 9_500})
    bench.registry.set_route("card-fraud", [less, canary], reason="By hand.", who=GRACE)
    with pytest.raises(NotAllowed, match="card-fraud@2 answers on card-fraud beside the champion"):
        start(experiments)


def test_the_champion_is_no_challenger(experiments: Experiments) -> None:
    with pytest.raises(InvalidRoute) as refusal:
        start(experiments, "card-fraud@1")
    assert str(refusal.value.fields[0]) == "challenger: card-fraud@1 is the champion already"


def test_a_challenger_must_be_approved_and_of_the_endpoint(
    experiments: Experiments, bench: Bench, second_package: Package
) -> None:
    with pytest.raises(NotFound):
        start(experiments)
    bench.artifacts.put(second_package.sha256, second_package.files)
    bench.registry.register("card-fraud", second_package.sha256, who=ADA)
    with pytest.raises(InvalidRoute) as refusal:
        start(experiments)
    assert str(refusal.value.fields[0]) == "card-fraud@2: is registered; a challenger must be approved"
    with pytest.raises(InvalidRoute) as refusal:
        experiments.start("credit-line", "card-fraud@1", share_bp=1, terms=WANTED, reason="No.", who=GRACE)
    assert refusal.value.fields[0].reason == "card-fraud@1 is not a model version of credit-line"


@pytest.mark.parametrize("share_bp", [0, 10_000])
def test_a_share_that_leaves_an_arm_empty_is_refused(
    experiments: Experiments, challenger: str, share_bp: int
) -> None:
    with pytest.raises(InvalidRoute) as refusal:
        start(experiments, share_bp=share_bp)
    assert refusal.value.fields[0].field == "share_bp"


def test_a_holdout_of_everybody_is_refused(experiments: Experiments, challenger: str) -> None:
    with pytest.raises(InvalidRoute, match="cannot start"):
        start(experiments, holdout_bp=10_000)


def test_an_endpoint_without_a_champion_has_nothing_to_compare(
    experiments: Experiments, challenger: str, bench: Bench
) -> None:
    bench.registry_store._routes["card-fraud"].clear()
    with pytest.raises(NotAllowed, match="no champion yet"):
        start(experiments)


# -- how it ends --


def test_a_stop_gives_everybody_back_and_returns_to_the_endpoints_salt(
    experiments: Experiments, challenger: str, bench: Bench
) -> None:
    before = bench.registry.current_route("card-fraud")
    start(experiments)
    claimed = concluded(Verdict.NOT_YET)
    after = experiments.stop("card-fraud", conclusion=claimed, reason="No time.", who=ADA)
    assert (after.arms, after.salt, after.experiment) == (before.arms, before.salt, None)
    assert last_details(bench) == {
        "number": 2,
        "move": "stopped",
        "conclusion": claimed.model_dump(mode="json"),
        "override": False,
    }
    entry = bench.registry.history("card-fraud")[-1]
    assert (entry.who, entry.reason) == (ADA, "No time.")


@pytest.mark.parametrize("number", [1, 2])
def test_whatever_has_become_of_a_model_version_it_can_be_stopped(
    experiments: Experiments, challenger: str, bench: Bench, number: int
) -> None:
    start(experiments)
    models = bench.registry_store._models["card-fraud"]
    models[number] = models[number].model_copy(update={"state": State.RETIRED})
    route = experiments.stop("card-fraud", reason="At once.", who=GRACE)
    assert [arm.model for arm in route.arms] == ["card-fraud@1"]


def test_a_win_is_promoted_with_its_numbers_in_the_history(
    experiments: Experiments, challenger: str, bench: Bench
) -> None:
    start(experiments, holdout_bp=100)
    route = experiments.promote("card-fraud", conclusion=concluded(Verdict.WIN), reason="It won.", who=GRACE)
    assert [(arm.model, arm.role, arm.share_bp) for arm in route.arms] == [
        (challenger, Role.CHAMPION, 10_000)
    ]
    assert (route.salt, route.holdout_bp, route.experiment) == ("card-fraud/route", 100, None)
    details = last_details(bench)
    assert (details["move"], details["override"]) == ("promoted", False)
    assert details["conclusion"]["numbers"]["expected_loss"] == -1.5


@pytest.mark.parametrize("verdict", [None, *(verdict for verdict in Verdict if verdict is not Verdict.WIN)])
def test_what_has_not_won_is_promoted_by_an_override_only(
    experiments: Experiments, challenger: str, bench: Bench, verdict: Verdict | None
) -> None:
    start(experiments)
    claimed = concluded(verdict) if verdict else None
    with pytest.raises(NotAllowed, match="only a win is promoted") as refusal:
        experiments.promote("card-fraud", conclusion=claimed, reason="Now.", who=GRACE)
    assert refusal.value.fields[0].field == "override"
    assert experiments.current("card-fraud")
    experiments.promote("card-fraud", conclusion=claimed, override=True, reason="Regulator.", who=GRACE)
    assert bench.registry.current_route("card-fraud").champion.model == challenger
    assert last_details(bench)["override"] is True


def test_an_override_that_was_not_needed_is_not_recorded_as_one(
    experiments: Experiments, challenger: str, bench: Bench
) -> None:
    start(experiments)
    experiments.promote(
        "card-fraud", conclusion=concluded(Verdict.WIN), override=True, reason="So.", who=GRACE
    )
    assert last_details(bench)["override"] is False


def test_a_challenger_that_is_no_longer_approved_is_not_promoted(
    experiments: Experiments, challenger: str, bench: Bench
) -> None:
    start(experiments)
    model = bench.registry.model_version(challenger)
    bench.registry_store._models["card-fraud"][2] = model.model_copy(update={"state": State.RETIRED})
    with pytest.raises(InvalidRoute) as refusal:
        experiments.promote("card-fraud", conclusion=concluded(Verdict.WIN), reason="It won.", who=GRACE)
    assert "must be approved" in str(refusal.value.fields[0])


def test_a_conclusion_of_another_experiment_promotes_and_stops_nothing(
    experiments: Experiments, challenger: str
) -> None:
    route = start(experiments)
    other = concluded(Verdict.WIN, experiment=route.number + 5)
    for end in (experiments.promote, experiments.stop):
        with pytest.raises(NotAllowed, match="The conclusion is of experiment"):
            end("card-fraud", conclusion=other, reason="It won.", who=GRACE)
    assert experiments.current("card-fraud") == route


def test_without_an_experiment_there_is_nothing_to_show_stop_or_promote(experiments: Experiments) -> None:
    with pytest.raises(NotFound, match="No experiment is running"):
        experiments.current("card-fraud")
    with pytest.raises(NotFound, match="No experiment is running"):
        experiments.stop("card-fraud", reason="Enough.", who=GRACE)
    with pytest.raises(NotFound, match="No experiment is running"):
        experiments.promote("card-fraud", conclusion=concluded(Verdict.WIN), reason="It won.", who=GRACE)


# -- the same by the API and its client --


@pytest.fixture
def client(bench: Bench) -> RegistryClient:
    return RegistryClient(InProcess(RegistryApi(bench.registry), GRACE))  # type: ignore[arg-type]


def test_the_client_starts_shows_and_promotes(client: RegistryClient, challenger: str, bench: Bench) -> None:
    terms = TermsWanted(costs=Costs(missed_bad=9, declined_good=1), minimum_effect=0.5)
    started = client.start_experiment(
        "card-fraud", challenger, share_bp=2_500, holdout_bp=None, terms=terms, reason="Is it better?"
    )
    assert started.experiment
    assert (started.experiment.share_bp, started.experiment.terms.costs) == (2_500, terms.costs)
    assert client.experiment("card-fraud") == started
    with pytest.raises(NotAllowed) as refusal:
        client.promote_challenger("card-fraud", None, override=False, reason="Now.")
    assert refusal.value.fields[0].field == "override"
    promoted = client.promote_challenger(
        "card-fraud", concluded(Verdict.WIN, started.number), override=False, reason="It won."
    )
    assert promoted.champion.model == challenger
    assert bench.registry.history("card-fraud")[-1].who == GRACE


def test_the_client_stops(client: RegistryClient, challenger: str) -> None:
    client.start_experiment(
        "card-fraud", challenger, share_bp=100, holdout_bp=50, terms=WANTED, reason="Is it better?"
    )
    assert client.stop_experiment("card-fraud", None, reason="Enough.").experiment is None
    with pytest.raises(NotFound):
        client.experiment("card-fraud")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"share_bp": 1_000}, "challenger"),
        ({"challenger": "card-fraud@2", "share_bp": 0}, "share_bp"),
        ({"challenger": "card-fraud@2", "share_bp": 1_000, "holdout_bp": 10_000}, "holdout_bp"),
        ({"challenger": "card-fraud@2", "share_bp": 1_000, "terms": {"alpha": 2}}, "terms.alpha"),
        ({"challenger": "card-fraud@2", "share_bp": 1_000, "terms": {"cutoff": 0.1}}, "terms.cutoff"),
    ],
)
def test_what_the_api_refuses_names_the_field(bench: Bench, body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        RegistryClient(InProcess(RegistryApi(bench.registry), GRACE))._send(  # type: ignore[arg-type]
            "POST", "card-fraud/experiment/start", body={**body, "reason": "Why not."}
        )
    assert refusal.value.fields[0].field == field
