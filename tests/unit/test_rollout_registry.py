"""The rules of rollouts: what may start, what may follow what, that every change is one route with its numbers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.errors import InvalidRoute, NotAllowed, NotFound, QuicksilverError
from quicksilver.guard_policy import Guards
from quicksilver.history import Action, Entry
from quicksilver.model_version import Override, State
from quicksilver.ports import Change
from quicksilver.registry_audit import audit
from quicksilver.rollout.look import Look, Verdict
from quicksilver.rollout_plan import Rollout
from quicksilver.rollout_registry import NEWS_PAGE, Rollouts
from quicksilver.route_draft import RouteDraft
from quicksilver.routing import FULL_SHARE_BP, Arm, Role, Route, sole_champion
from quicksilver.shadow_registry import add_shadow
from tests.approvals import ADA, GRACE, bring_to_approved
from tests.rollouts import ROBOT, a_look, a_reading

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench

ENDPOINT = "card-fraud"
CANARY = "card-fraud@2"
STEPS = (100, 2_500, 10_000)


@dataclass
class Stage:
    """A registry with a champion and an approved model version that may become a canary."""

    bench: Bench
    rollouts: Rollouts

    def start(self, model: str = CANARY, *, endpoint: str = ENDPOINT, **changes: Any) -> Route:
        plan: dict[str, Any] = {"steps_bp": STEPS, "bake_seconds": 600, "guards": Guards(), **changes}
        return self.rollouts.start(endpoint, model, reason="Better.", who=GRACE, **plan)

    def decide(self, verdict: Verdict, *, expected: int | None = None, **facts: Any) -> Route:
        number = self.route.number if expected is None else expected
        return self.rollouts.decide(ENDPOINT, number, a_look(verdict, **facts), who=ROBOT)

    @property
    def route(self) -> Route:
        return self.bench.registry.current_route(ENDPOINT)

    @property
    def shares(self) -> dict[str, int]:
        return {arm.model: arm.share_bp for arm in self.route.answering}

    @property
    def entries(self) -> list[Entry]:
        return list(self.bench.registry.history(ENDPOINT, limit=1_000))

    def become(self, name: str, **changes: Any) -> None:
        """Change a model version behind the registry's back, as the rules of another time might have."""
        store = self.bench.registry_store
        head = store.head(ENDPOINT)
        entry = Entry(
            endpoint=ENDPOINT,
            number=head.history + 1,
            previous_sha256=head.sha256,
            action=Action.RETIRED,
            subject=name,
            who=ADA,
            at=head.at,
        )
        model = self.bench.registry.model_version(name).model_copy(update=changes)
        store.commit(Change(head, head.next(entry), entry, model))


@pytest.fixture
def stage(bench: Bench, second_package: Package) -> Stage:
    bench.artifacts.put(second_package.sha256, second_package.files)
    bring_to_approved(bench.registry, second_package)
    return Stage(bench, Rollouts(bench.registry))


# -- the plan --


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((100, 100, 10_000), "each step must be larger"),
        ((500, 100, 10_000), "each step must be larger"),
        ((100, 5_000), "the last step must be 100 %"),
        ((10_000,), "without one, set the route"),
        ((0, 10_000), "greater than or equal to 1"),
        ((), "at least 1 item"),
    ],
)
def test_steps_that_make_no_rollout_are_refused_with_their_reason(
    stage: Stage, steps: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(InvalidRoute) as refusal:
        stage.start(steps_bp=steps)
    (field, *_) = refusal.value.fields
    assert field.field.startswith("steps_bp")
    assert reason in field.reason
    assert stage.route.number == 1


@given(
    st.lists(st.integers(1, 9_999), min_size=1, max_size=19, unique=True).map(
        lambda steps: (*sorted(steps), 10_000)
    )
)
def test_a_plan_goes_through_every_step_once_and_then_completes(steps: tuple[int, ...]) -> None:
    rollout = Rollout(number=1, model=CANARY, steps_bp=steps, bake_seconds=1, started_at="now", step_at="now")
    seen = [rollout.share_bp]
    while not rollout.completes_next:
        assert rollout.next_share_bp > rollout.share_bp
        rollout = rollout.advanced("later")
        seen.append(rollout.share_bp)
    assert (*seen, rollout.next_share_bp) == steps
    with pytest.raises(ValueError, match="has ended"):
        Rollout.model_validate({**rollout.model_dump(), "step": rollout.step + 1})


# -- starting --


def test_a_rollout_starts_at_its_first_step_and_is_named_by_its_route(stage: Stage) -> None:
    route = stage.start()
    assert stage.shares == {"card-fraud@1": 9_900, CANARY: 100}
    assert route.rollout is not None
    assert (route.rollout.number, route.number, route.rollout.step) == (2, 2, 0)
    assert (route.salt, stage.rollouts.current(ENDPOINT)) == ("card-fraud/route", route)
    assert stage.entries[-1].details["rollout"] == {"number": 2, "move": "started"}


def test_two_rollouts_cannot_run_on_one_endpoint(stage: Stage) -> None:
    stage.start()
    with pytest.raises(NotAllowed, match="The rollout of card-fraud@2 moves the route"):
        stage.start()


def test_the_champion_cannot_be_its_own_canary(stage: Stage) -> None:
    with pytest.raises(InvalidRoute) as refusal:
        stage.start("card-fraud@1")
    assert refusal.value.fields[0].reason == "card-fraud@1 is the champion already"


def test_a_model_version_of_another_endpoint_cannot_be_a_canary(stage: Stage) -> None:
    with pytest.raises(InvalidRoute) as refusal:
        stage.start(CANARY, endpoint="credit-line")
    assert refusal.value.fields[0].reason == "card-fraud@2 is not a model version of credit-line"


def test_a_model_version_that_is_not_there_cannot_be_a_canary(stage: Stage) -> None:
    with pytest.raises(NotFound, match="card-fraud@9"):
        stage.start("card-fraud@9")


@pytest.mark.parametrize("state", [state for state in State if state is not State.APPROVED])
def test_only_an_approved_model_version_can_be_a_canary(stage: Stage, state: State) -> None:
    stage.become(CANARY, state=state)
    with pytest.raises(InvalidRoute) as refusal:
        stage.start()
    assert refusal.value.fields[0].reason == f"is {state.value}; a canary must be approved"
    assert stage.route.number == 1


def test_an_endpoint_without_a_champion_has_nothing_to_compare_with(bench: Bench, package: Package) -> None:
    fresh = type(bench)()
    fresh.artifacts.put(package.sha256, package.files)
    bring_to_approved(fresh.registry, package)
    with pytest.raises(NotAllowed, match="no champion yet"):
        Stage(fresh, Rollouts(fresh.registry)).start("card-fraud@1")


def test_arms_that_people_set_beside_the_champion_are_in_the_way(stage: Stage) -> None:
    first, second = (stage.bench.registry.model_version(name) for name in ("card-fraud@1", CANARY))
    arms = [
        sole_champion(first).model_copy(update={"share_bp": 9_000}),
        Arm(model=CANARY, package_sha256=second.package_sha256, role=Role.CANARY, share_bp=1_000),
    ]
    stage.bench.registry.set_route(ENDPOINT, arms, reason="By hand.", who=GRACE)
    with pytest.raises(NotAllowed, match="card-fraud@2 answers on card-fraud beside the champion"):
        stage.start()


def test_the_route_cannot_be_set_while_a_rollout_moves_it(stage: Stage) -> None:
    stage.start()
    arm = sole_champion(stage.bench.registry.model_version(CANARY))
    with pytest.raises(NotAllowed, match="end it first"):
        stage.bench.registry.set_route(ENDPOINT, [arm], reason="Now.", who=GRACE)


def test_neither_arm_can_be_retired_during_a_rollout(stage: Stage) -> None:
    stage.start()
    for name in ("card-fraud@1", CANARY):
        with pytest.raises(NotAllowed, match="take it off first"):
            stage.bench.registry.retire(name, reason="Old.", who=GRACE)


# -- deciding --


def test_decisions_go_step_by_step_to_a_new_champion(stage: Stage) -> None:
    stage.start()
    stage.bench.clock.advance_ms(600_000)
    route = stage.decide(Verdict.ADVANCE)
    assert stage.shares == {"card-fraud@1": 7_500, CANARY: 2_500}
    assert route.rollout is not None
    assert (route.rollout.step, route.rollout.number) == (1, 2)
    assert route.rollout.step_at == route.created_at > route.rollout.started_at
    route = stage.decide(Verdict.COMPLETE)
    assert (stage.shares, route.rollout) == ({CANARY: FULL_SHARE_BP}, None)
    with pytest.raises(NotFound, match="No rollout"):
        stage.rollouts.current(ENDPOINT)


@pytest.mark.parametrize("verdict", [Verdict.ADVANCE, Verdict.COMPLETE, Verdict.ROLL_BACK])
def test_every_decision_is_in_the_history_with_its_whole_look(stage: Stage, verdict: Verdict) -> None:
    stage.start()
    if verdict is Verdict.COMPLETE:
        stage.decide(Verdict.ADVANCE)
    look = a_look(verdict, guards=(a_reading("error_rate", canary=0.02),), canary_requests=1_234)
    stage.rollouts.decide(ENDPOINT, stage.route.number, look, who=ROBOT)
    entry = stage.entries[-1]
    assert Look.model_validate(entry.details["rollout"]["look"]) == look
    assert (entry.action, entry.who, entry.reason) == (Action.ROUTED, ROBOT, look.reason)


def test_a_rollback_gives_every_entity_back(stage: Stage) -> None:
    stage.start()
    assert stage.decide(Verdict.ROLL_BACK).rollout is None
    assert stage.shares == {"card-fraud@1": FULL_SHARE_BP}


def test_a_rollout_completes_from_its_last_step_only_and_advances_from_the_others(stage: Stage) -> None:
    stage.start()
    with pytest.raises(NotAllowed, match=r"at 1 %; what follows is 25 %"):
        stage.decide(Verdict.COMPLETE)
    stage.decide(Verdict.ADVANCE)
    with pytest.raises(NotAllowed, match=r"at 25 %; what follows is 100 %"):
        stage.decide(Verdict.ADVANCE)


def test_a_step_that_has_not_baked_is_not_left(stage: Stage) -> None:
    stage.start()
    with pytest.raises(NotAllowed, match="baked 599 s of 600 s"):
        stage.decide(Verdict.ADVANCE, baked_seconds=599)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_decision_on_a_route_that_is_not_current_any_more_is_not_made(
    stage: Stage, verdict: Verdict
) -> None:
    stage.start()
    stage.decide(Verdict.ADVANCE)
    before = stage.entries
    with pytest.raises(NotAllowed, match="is 3 now, not 2"):
        stage.decide(verdict, expected=2)
    assert stage.entries == before


@pytest.mark.parametrize("verdict", list(Verdict))
def test_there_is_nothing_to_decide_where_no_rollout_runs(stage: Stage, verdict: Verdict) -> None:
    with pytest.raises(NotFound, match="No rollout is running"):
        stage.decide(verdict)


def test_of_many_decisions_at_once_on_one_route_one_is_made(stage: Stage) -> None:
    stage.start()
    verdicts = [Verdict.ADVANCE, Verdict.ROLL_BACK] * 8

    def decide(verdict: Verdict) -> bool:
        try:
            stage.decide(verdict, expected=2)
        except NotAllowed:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(decide, verdicts))
    assert (made.count(True), stage.route.number) == (1, 3)


# -- pausing and aborting --


def test_a_paused_rollout_keeps_its_share_and_can_still_be_rolled_back(stage: Stage) -> None:
    stage.start()
    paused = stage.rollouts.pause(ENDPOINT, reason="A holiday.", who=GRACE)
    assert paused.rollout is not None
    assert (paused.rollout.paused, stage.shares[CANARY]) == (True, 100)
    with pytest.raises(NotAllowed, match="is paused"):
        stage.decide(Verdict.ADVANCE)
    assert stage.decide(Verdict.ROLL_BACK).rollout is None


def test_a_resumed_rollout_goes_on_where_it_was(stage: Stage) -> None:
    started = stage.start()
    stage.bench.clock.advance_ms(60_000)
    stage.rollouts.pause(ENDPOINT, reason="A holiday.", who=GRACE)
    resumed = stage.rollouts.resume(ENDPOINT, reason="Back.", who=GRACE)
    assert resumed.rollout == started.rollout, "its share is as old as before"
    moves = [entry.details["rollout"]["move"] for entry in stage.entries[-3:]]
    assert moves == ["started", "paused", "resumed"]


def test_pausing_twice_and_resuming_what_runs_are_refused(stage: Stage) -> None:
    stage.start()
    with pytest.raises(NotAllowed, match="is not paused"):
        stage.rollouts.resume(ENDPOINT, reason="Go.", who=GRACE)
    stage.rollouts.pause(ENDPOINT, reason="Stop.", who=GRACE)
    with pytest.raises(NotAllowed, match="is paused already"):
        stage.rollouts.pause(ENDPOINT, reason="Stop.", who=GRACE)


def test_an_abort_is_one_write_after_which_the_champion_answers_alone(stage: Stage) -> None:
    stage.start()
    before = len(stage.entries)
    route = stage.rollouts.abort(ENDPOINT, reason="Complaints.", who=GRACE)
    assert (stage.shares, route.number) == ({"card-fraud@1": FULL_SHARE_BP}, 3)
    assert len(stage.entries) == before + 1
    assert stage.bench.registry_store.current_route(ENDPOINT) == route
    with pytest.raises(NotFound, match="No rollout"):
        stage.rollouts.abort(ENDPOINT, reason="Again.", who=GRACE)


# -- what must not keep a canary from being taken back --

EXPIRED = Override(checks=("x",), reason="r", approver=GRACE, at="2000", expires_at="2001")
SPOILT: dict[str, dict[str, Any]] = {
    "retired": {"state": State.RETIRED},
    "rejected": {"state": State.REJECTED},
    "its override expired": {"override": EXPIRED},
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("spoilt", ["card-fraud@1", CANARY])
def test_whatever_became_of_the_models_a_rollout_can_be_taken_back_but_not_grow(
    stage: Stage, spoilt: str, spoil: dict[str, Any]
) -> None:
    stage.start()
    stage.become(spoilt, **spoil)
    if spoilt == CANARY:
        with pytest.raises(QuicksilverError):
            stage.decide(Verdict.ADVANCE)
    stage.rollouts.pause(ENDPOINT, reason="Stop.", who=GRACE)
    assert stage.decide(Verdict.ROLL_BACK).rollout is None
    assert stage.shares == {"card-fraud@1": FULL_SHARE_BP}


# -- what stays as it is --


def test_shadows_holdout_and_salt_stay_through_a_whole_rollout(stage: Stage) -> None:
    shadow = Arm(
        model=CANARY,
        package_sha256=stage.bench.registry.model_version(CANARY).package_sha256,
        role=Role.SHADOW,
        share_bp=0,
    )
    champion = stage.route.champion
    stage.bench.registry.change_route(
        ENDPOINT,
        lambda *_: RouteDraft((champion, shadow), salt="another", holdout_bp=200),
        reason="A shadow first.",
        who=GRACE,
    )
    routes = [stage.start(), stage.decide(Verdict.ADVANCE)]
    routes.append(stage.rollouts.pause(ENDPOINT, reason="Stop.", who=GRACE))
    routes.append(stage.rollouts.resume(ENDPOINT, reason="Go.", who=GRACE))
    assert all(route.shadows == (shadow,) for route in routes)
    routes.append(stage.decide(Verdict.COMPLETE))
    assert all((route.salt, route.holdout_bp) == ("another", 200) for route in routes)
    assert routes[-1].shadows == (), "a champion does not shadow itself"


def test_a_shadow_added_on_the_way_stays_and_the_rollout_goes_on(stage: Stage) -> None:
    started = stage.start()
    route = add_shadow(stage.bench.registry, ENDPOINT, CANARY, reason="To compare.", who=GRACE)
    assert route.rollout == started.rollout
    with pytest.raises(NotAllowed, match="look again"):
        stage.decide(Verdict.ADVANCE, expected=started.number)
    advanced = stage.decide(Verdict.ADVANCE)
    assert (stage.shares[CANARY], advanced.shadows) == (2_500, route.shadows)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 9_999), min_size=2, max_size=6, unique=True),
    st.lists(st.text(min_size=1, max_size=12), min_size=50, max_size=50, unique=True),
)
def test_a_growing_canary_keeps_its_entities(steps: list[int], entities: list[str]) -> None:
    champion = Arm(model="card-fraud@1", package_sha256="1" * 64, role=Role.CHAMPION, share_bp=0)
    canary = Arm(model=CANARY, package_sha256="2" * 64, role=Role.CANARY, share_bp=0)

    def on_canary(share_bp: int) -> set[str]:
        route = Route(
            endpoint=ENDPOINT,
            number=1,
            salt="card-fraud/route",
            arms=(
                champion.model_copy(update={"share_bp": 10_000 - share_bp}),
                canary.model_copy(update={"share_bp": share_bp}),
            ),
            author=ADA,
            created_at="now",
        )
        return {entity for entity in entities if route.assign(entity).model == CANARY}

    for smaller, larger in pairwise(map(on_canary, sorted(steps))):
        assert smaller <= larger


# -- holds --


def judged(stage: Stage) -> list[Entry]:
    return [entry for entry in stage.entries if entry.action is Action.JUDGED]


def test_a_hold_is_written_once_and_changes_no_route(stage: Stage) -> None:
    started = stage.start()
    for minute in range(5):
        assert stage.decide(Verdict.HOLD, canary_requests=minute) == started
    (entry,) = judged(stage)
    assert entry.subject == "rollout 2"
    assert entry.details["rollout"]["look"]["verdict"] == "hold"


def test_a_hold_for_another_reason_is_written_and_one_that_comes_back_is_not(stage: Stage) -> None:
    stage.start()
    for outcome in ("no_data", "over_limit", "no_data", "over_limit", "ok"):
        stage.decide(Verdict.HOLD, guards=(a_reading("error_rate", outcome=outcome),))
    outcomes = [entry.details["rollout"]["look"]["guards"][0]["outcome"] for entry in judged(stage)]
    assert outcomes == ["no_data", "over_limit", "ok"]


def test_each_step_has_its_first_hold_again(stage: Stage) -> None:
    stage.start()
    stage.decide(Verdict.HOLD)
    stage.decide(Verdict.ADVANCE)
    stage.decide(Verdict.HOLD)
    stage.decide(Verdict.HOLD)
    assert len(judged(stage)) == 2


def test_a_hold_under_more_entries_than_are_searched_is_written_again_and_nothing_worse(stage: Stage) -> None:
    stage.start()
    stage.decide(Verdict.HOLD)
    for _ in range(NEWS_PAGE):
        stage.become("card-fraud@1")
    stage.decide(Verdict.HOLD)
    stage.decide(Verdict.HOLD)
    assert len(judged(stage)) == 2


# -- what an auditor finds --


def test_the_history_of_a_rollout_holds_in_an_audit(stage: Stage) -> None:
    stage.start()
    stage.decide(Verdict.HOLD)
    stage.decide(Verdict.ADVANCE)
    stage.decide(Verdict.HOLD, guards=(a_reading("error_rate", outcome="over_limit"),))
    stage.decide(Verdict.ROLL_BACK)
    bench = stage.bench
    found = audit(
        ENDPOINT,
        registry=bench.registry_store,
        artifacts=bench.artifacts,
        evidence=bench.artifacts,
        signer=bench.signer,
    )
    assert found.findings == []
    assert (found.routes, found.entries) == (4, len(stage.entries))
