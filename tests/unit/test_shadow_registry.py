"""A shadow comes and goes without disturbing anything else of the route, and only one that can be scored is added."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.contract import Contract
from quicksilver.errors import InvalidRoute, NotAllowed, NotFound, Unavailable
from quicksilver.experiment_plan import Experiment, TermsWanted
from quicksilver.gates.report import Outcome
from quicksilver.instants import utc_iso
from quicksilver.model_version import State
from quicksilver.registry_api import RegistryApi
from quicksilver.rollout_plan import Rollout
from quicksilver.route_draft import RouteDraft
from quicksilver.routing import Arm, Role, Route
from quicksilver.shadow_registry import add_shadow, remove_shadow
from tests.approvals import ADA, GRACE, bring_to_approved, policy, report
from tests.conftest import contract_content
from tests.documented_answers import documented
from tests.shadows import demanding_package, reordered_package, train_on_fewer

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench


@pytest.fixture
def gated(bench: Bench, second_package: Package) -> str:
    """A second model version, gated and not approved."""
    bench.artifacts.put(second_package.sha256, second_package.files)
    name = bench.registry.register("card-fraud", second_package.sha256, who=ADA).name
    bench.registry.add_evidence(name, report(second_package, policy()), who=ADA)
    return name


def add(bench: Bench, model: str) -> Route:
    return add_shadow(bench.registry, "card-fraud", model, reason="Look first.", who=ADA)


def approved(bench: Bench, package: Package) -> str:
    bench.artifacts.put(package.sha256, package.files)
    return bring_to_approved(bench.registry, package)


def arm(bench: Bench, model: str, role: Role, share_bp: int) -> Arm:
    sha256 = bench.registry.model_version(model).package_sha256
    return Arm(model=model, package_sha256=sha256, role=role, share_bp=share_bp)


def with_canary(bench: Bench, canary: str, *shadows: str) -> Route:
    """A route in the middle of a rollout, as the rollout function would make it."""

    def draft(_: Route | None, number: int, now: str) -> RouteDraft:
        return RouteDraft(
            (
                arm(bench, "card-fraud@1", Role.CHAMPION, 9_500),
                arm(bench, canary, Role.CANARY, 500),
                *(arm(bench, shadow, Role.SHADOW, 0) for shadow in shadows),
            ),
            holdout_bp=100,
            rollout=Rollout(
                number=number,
                model=canary,
                steps_bp=(500, 10_000),
                bake_seconds=60,
                started_at=now,
                step_at=now,
            ),
        )

    return bench.registry.change_route("card-fraud", draft, reason="It goes out.", who=GRACE)


def test_a_gated_model_version_may_be_a_shadow_and_answers_nobody(bench: Bench, gated: str) -> None:
    before = bench.registry.current_route("card-fraud")
    route = add(bench, gated)
    assert route.shadows == (arm(bench, gated, Role.SHADOW, 0),)
    assert (route.number, route.answering, route.author) == (before.number + 1, before.answering, ADA)
    assert all(route.assign(f"card_{n}").model == "card-fraud@1" for n in range(1_000))


def test_serving_loads_no_shadow(bench: Bench, gated: str, second_package: Package) -> None:
    add(bench, gated)
    for name in second_package.files:
        del bench.artifacts.files[second_package.sha256, name]
    loaded = bench.new_environment().loaded_route(bench.deadline)
    assert list(loaded.models) == [loaded.route.champion.package_sha256]
    assert loaded.route.shadows
    assert not loaded.notes


def test_any_number_of_shadows(bench: Bench, gated: str) -> None:
    models = [gated, "card-fraud@1", approved(bench, reordered_package())]
    for model in models:
        route = add(bench, model)
    assert [shadow.model for shadow in route.shadows] == models


def test_a_running_rollout_keeps_everything(bench: Bench, gated: str) -> None:
    canary = approved(bench, reordered_package())
    before = with_canary(bench, canary)
    added = add(bench, gated)
    removed = remove_shadow(bench.registry, "card-fraud", gated, reason="Enough.", who=ADA)
    same = {"rollout", "experiment", "salt", "holdout_bp"}
    for route in (added, removed):
        assert route.answering == before.answering
        assert route.model_dump(include=same) == before.model_dump(include=same)
    assert removed.shadows == ()


def test_a_running_experiment_keeps_everything(bench: Bench, gated: str) -> None:
    challenger = approved(bench, reordered_package())

    def draft(_: Route | None, number: int, now: str) -> RouteDraft:
        return RouteDraft(
            (
                arm(bench, "card-fraud@1", Role.CHAMPION, 9_000),
                arm(bench, challenger, Role.CHALLENGER, 1_000),
            ),
            salt="card-fraud/experiment/9",
            experiment=Experiment(
                number=number,
                challenger=challenger,
                share_bp=1_000,
                started_at=now,
                terms=TermsWanted().at(0.5),
            ),
        )

    before = bench.registry.change_route("card-fraud", draft, reason="Compare.", who=GRACE)
    route = add(bench, gated)
    same = {"rollout", "experiment", "salt", "holdout_bp"}
    assert route.model_dump(include=same) == before.model_dump(include=same)
    assert [route.assign(f"card_{n}") for n in range(500)] == [before.assign(f"card_{n}") for n in range(500)]


def test_features_that_an_answering_contract_does_not_give_are_named(bench: Bench) -> None:
    model = approved(bench, demanding_package())
    with pytest.raises(InvalidRoute, match=f"{model} cannot be a shadow: card-fraud@1 answers") as caught:
        add(bench, model)
    assert [str(field) for field in caught.value.fields] == [
        "merchant_age_days: is not in the answering contract"
    ]
    assert bench.registry.current_route("card-fraud").shadows == ()


def test_a_route_that_is_set_is_held_to_the_same(bench: Bench) -> None:
    model = approved(bench, demanding_package())
    arms = [arm(bench, "card-fraud@1", Role.CHAMPION, 10_000), arm(bench, model, Role.SHADOW, 0)]
    with pytest.raises(InvalidRoute, match="cannot be a shadow"):
        bench.registry.set_route("card-fraud", arms, reason="Look first.", who=ADA)


def test_a_canary_whose_vectors_a_shadow_cannot_use_does_not_start(bench: Bench, gated: str) -> None:
    """Else the rollout would fail at its very end, where the canary becomes the champion."""
    content = contract_content()
    content["features"] = [f for f in content["features"] if f["name"] != "amount_mean_7d"]
    canary = approved(bench, train_on_fewer(Contract.model_validate(content)))
    add(bench, gated)
    with pytest.raises(InvalidRoute, match=f"{gated} cannot be a shadow: {canary} answers"):
        with_canary(bench, canary, gated)


def test_taking_a_canary_back_reads_no_artefact_and_asks_nothing_of_a_shadow_that_stays(
    bench: Bench, gated: str
) -> None:
    """Even with the artefact store gone, and with the override that let the shadow in expired."""
    canary = approved(bench, reordered_package())
    route = with_canary(bench, canary, gated)
    bench.artifacts.files.clear()
    arms = (arm(bench, "card-fraud@1", Role.CHAMPION, 10_000), *route.shadows)
    back = bench.registry.change_route("card-fraud", lambda *_: RouteDraft(arms), reason="Worse.", who=GRACE)
    assert [a.model for a in back.arms] == ["card-fraud@1", gated]


def test_an_expired_override_keeps_a_new_shadow_off_and_holds_up_nobody_else(
    bench: Bench, second_package: Package
) -> None:
    bench.artifacts.put(second_package.sha256, second_package.files)
    name = bench.registry.register("card-fraud", second_package.sha256, who=ADA).name
    bench.registry.add_evidence(name, report(second_package, policy(), auc=Outcome.FAIL), who=ADA)
    check = bench.registry.model_version(name).failed_checks
    expires_at = utc_iso(bench.clock.now_ms() + 60_000)
    bench.registry.override(name, check, reason="Known.", expires_at=expires_at, who=GRACE)
    add(bench, name)
    bench.clock.advance_ms(61_000)
    other = add(bench, approved(bench, reordered_package()))
    assert name in [shadow.model for shadow in other.shadows]
    remove_shadow(bench.registry, "card-fraud", name, reason="Enough.", who=ADA)
    with pytest.raises(NotAllowed, match="expired"):
        add(bench, name)


def test_an_artefact_store_that_is_away_leaves_the_route_as_it_is(bench: Bench) -> None:
    model = approved(bench, reordered_package())
    get = bench.artifacts.get

    def away(package_sha256: str, name: str) -> bytes:
        raise Unavailable("The artefact store cannot be reached.")

    bench.artifacts.get = away  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        add(bench, model)
    bench.artifacts.get = get  # type: ignore[method-assign]
    assert bench.registry.current_route("card-fraud").number == 1


def test_bad_input_is_refused_in_one_sentence(bench: Bench, gated: str) -> None:
    with pytest.raises(NotFound, match="There is no model version card-fraud@9"):
        add(bench, "card-fraud@9")
    with pytest.raises(NotFound, match=f"{gated} is no shadow of card-fraud"):
        remove_shadow(bench.registry, "card-fraud", gated, reason="Enough.", who=ADA)
    with pytest.raises(NotFound, match="credit-line has no route yet"):
        add_shadow(bench.registry, "credit-line", gated, reason="Look first.", who=ADA)
    add(bench, gated)
    with pytest.raises(NotAllowed, match="is a shadow of card-fraud already"):
        add(bench, gated)
    with pytest.raises(NotAllowed, match="is on the current route of card-fraud; take it off first"):
        bench.registry.reject(gated, reason="Worse.", who=GRACE)


def test_one_that_is_not_gated_is_no_shadow(bench: Bench, second_package: Package) -> None:
    bench.artifacts.put(second_package.sha256, second_package.files)
    name = bench.registry.register("card-fraud", second_package.sha256, who=ADA).name
    assert bench.registry.model_version(name).state is State.REGISTERED
    with pytest.raises(InvalidRoute) as caught:
        add(bench, name)
    assert [str(field) for field in caught.value.fields] == [
        f"{name}: is registered; a shadow must be approved or gated"
    ]


def test_the_api_adds_and_removes(bench: Bench, gated: str) -> None:
    def post(path: str) -> tuple[int, Any]:
        event = {
            "httpMethod": "POST",
            "path": f"/v1/registry/card-fraud/{path}",
            "body": json.dumps({"model": gated, "reason": "Look first."}),
            "requestContext": {"requestId": "r", "identity": {"userArn": ADA}},
        }
        answer = documented(RegistryApi(bench.registry).answer(event), event["path"])
        return answer["statusCode"], json.loads(answer["body"])

    status, route = post("shadows")
    assert (status, route["arms"][-1]["model"], route["arms"][-1]["role"]) == (200, gated, "shadow")
    assert post("shadows")[0] == 409
    status, route = post("shadows/remove")
    assert (status, len(route["arms"])) == (200, 1)
    assert post("shadows/remove")[0] == 404
