"""Taking up routes: whole or not at all, and the last good route goes on answering."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from quicksilver.errors import NoModel, Unavailable
from quicksilver.memory import MemorySigner
from quicksilver.model_version import Approval
from quicksilver.package import CONTRACT, MANIFEST, MODEL
from quicksilver.ports import Deadline
from quicksilver.routing import Role, sole_champion
from tests.approvals import GRACE, bring_to_approved, set_champion
from tests.conftest import train
from tests.unit.conftest import Bench

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.routing import Route
    from tests.conftest import Trained


def flip_a_byte(bench: Bench, package: Package, name: str) -> None:
    data = bytearray(bench.artifacts.files[package.sha256, name])
    data[len(data) // 2] ^= 1
    bench.artifacts.files[package.sha256, name] = bytes(data)


def test_an_environment_without_a_route_has_no_model() -> None:
    with pytest.raises(NoModel):
        Bench().loaded_route()


def test_a_new_route_is_taken_up_when_its_time_has_come(bench: Bench, second_package: Package) -> None:
    assert bench.loaded_route().route.number == 1
    bench.put_champion(second_package)
    bench.serving.refresh_if_due()
    assert bench.loaded_route().route.number == 1
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    assert bench.loaded_route().route.champion.model == "card-fraud@2"


@pytest.mark.parametrize("name", [MANIFEST, MODEL, CONTRACT])
def test_a_flipped_byte_is_refused_at_load_and_named_in_the_log(
    bench: Bench, package: Package, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    flip_a_byte(bench, package, name)
    with pytest.raises(NoModel):
        bench.new_environment().loaded_route(bench.deadline)
    assert f"card-fraud@1 cannot be loaded: The package is altered: {name}" in caplog.text
    assert bench.metrics.counts["RouteRefreshFailed"] == 1


def test_the_last_good_route_stays_when_the_next_cannot_be_loaded(
    bench: Bench, second_package: Package
) -> None:
    bench.loaded_route()
    bench.put_champion(second_package)
    flip_a_byte(bench, second_package, MODEL)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    assert bench.loaded_route().route.champion.model == "card-fraud@1"


def test_an_unreachable_registry_changes_nothing_that_is_served(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_: str, **__: object) -> None:
        raise Unavailable("The registry cannot be reached.")

    bench.loaded_route()
    monkeypatch.setattr(bench.registry_store, "current_route", unreachable)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    assert bench.loaded_route().route.number == 1
    assert bench.metrics.counts["RouteRefreshFailed"] == 1


def test_an_environment_with_nothing_to_serve_asks_again_after_a_second_not_at_each_request(
    bench: Bench, package: Package
) -> None:
    environment = bench.new_environment()
    original = bench.artifacts.files[package.sha256, MODEL]
    flip_a_byte(bench, package, MODEL)
    for _ in range(3):
        with pytest.raises(NoModel):
            environment.loaded_route(bench.deadline)
    assert bench.metrics.counts["RouteRefreshFailed"] == 1
    bench.artifacts.files[package.sha256, MODEL] = original
    bench.clock.advance_ms(1_000)
    assert environment.loaded_route(bench.deadline).route.number == 1


def test_a_model_that_two_routes_share_is_loaded_once(bench: Bench) -> None:
    before = bench.loaded_route().models
    set_champion(bench.registry, "card-fraud@1", reason="Once more.", who=GRACE)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    after = bench.loaded_route()
    assert after.route.number == 2
    assert all(after.models[sha] is model for sha, model in before.items())


def notes(bench: Bench) -> list[tuple[str, str, str]]:
    return [(note.model, note.cause, note.policy) for note in bench.loaded_route().notes]


def test_an_environment_that_slept_confirms_its_route_before_it_answers(
    bench: Bench, second_package: Package
) -> None:
    """A model that is loaded already is taken up at once: a rollback holds for the very next answer."""
    bench.loaded_route()
    bench.put_champion(second_package)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    assert bench.loaded_route().route.champion.model == "card-fraud@2"
    set_champion(bench.registry, "card-fraud@1", reason="Back.", who=GRACE)
    bench.clock.advance_ms(9_999)
    assert bench.loaded_route().route.champion.model == "card-fraud@2"
    bench.clock.advance_ms(1)
    assert bench.loaded_route().route.champion.model == "card-fraud@1"
    assert notes(bench) == []


def test_no_request_waits_for_a_model_and_the_answer_says_that_it_is_outdated(
    bench: Bench, second_package: Package
) -> None:
    bench.loaded_route()
    bench.put_champion(second_package)
    bench.clock.advance_ms(60_000)
    assert bench.loaded_route().route.champion.model == "card-fraud@1"
    assert notes(bench) == [("card-fraud@2", "outdated", "last_good")]
    bench.serving.refresh_if_due()  # right after that answer
    assert bench.loaded_route().route.champion.model == "card-fraud@2"
    assert notes(bench) == []


def test_a_request_without_time_for_the_registry_answers_unconfirmed(bench: Bench) -> None:
    bench.loaded_route()
    bench.clock.advance_ms(60_000)
    late = Deadline.after_ms(bench.clock, 0)
    (note,) = bench.serving.loaded_route(late).notes
    assert (note.model, note.cause) == ("card-fraud@1", "unconfirmed")


def test_a_request_does_not_wait_for_a_refresh_under_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.loaded_route()
    bench.clock.advance_ms(60_000)
    asked = threading.Event()
    go_on = threading.Event()

    def slow(*_: object, **__: object) -> None:
        asked.set()
        assert go_on.wait(10)

    monkeypatch.setattr(bench.registry_store, "current_route", slow)
    refresh = threading.Thread(target=bench.serving.refresh_if_due)
    refresh.start()
    assert asked.wait(10)
    assert bench.loaded_route().route.number == 1
    go_on.set()
    refresh.join()


def test_every_answer_says_which_model_could_not_be_loaded(bench: Bench, second_package: Package) -> None:
    bench.loaded_route()
    bench.put_champion(second_package)
    flip_a_byte(bench, second_package, MODEL)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    assert notes(bench) == [("card-fraud@2", "not_loaded", "last_good")]


def test_every_answer_says_so_too_where_loading_failed_for_a_reason_nobody_foresaw(
    bench: Bench, second_package: Package, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> bool:
        raise RuntimeError("4111111111111111")

    bench.loaded_route()
    bench.put_champion(second_package)
    monkeypatch.setattr(bench.signer, "verify", broken)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    assert notes(bench) == [("card-fraud@2", "not_loaded", "last_good")]
    assert "4111" not in caplog.text


def test_an_environment_that_starts_while_the_champion_cannot_be_loaded_answers_by_an_earlier_route(
    bench: Bench, second_package: Package
) -> None:
    bench.put_champion(second_package)
    flip_a_byte(bench, second_package, MODEL)
    bench.serving = bench.new_environment()
    assert bench.loaded_route().route.number == 1
    assert notes(bench) == [("card-fraud@2", "not_loaded", "last_good")]
    assert bench.metrics.counts["RouteRefreshFailed"] == 1


# -- a route that does not load --


@dataclass
class Fetches:
    """When something of a package was fetched, in seconds since the start."""

    bench: Bench
    package: Package
    at: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        start, get = self.bench.clock.now_ms(), self.bench.artifacts.get

        def watched(sha256: str, name: str) -> bytes:
            if sha256 == self.package.sha256 and name == MANIFEST:
                self.at.append((self.bench.clock.now_ms() - start) // 1_000)
            return get(sha256, name)

        self.bench.artifacts.get = watched  # type: ignore[method-assign]


def answer_every(bench: Bench, seconds: int, times: int) -> None:
    """What an environment does for each of so many requests."""
    for _ in range(times):
        bench.clock.advance_ms(seconds * 1_000)
        bench.loaded_route()
        bench.serving.refresh_if_due()


@pytest.mark.parametrize(
    ("seconds", "fetched"),
    [
        (1, [5, 10, 20, 40, 80, 140, 200]),
        (7, [7, 14, 28, 49, 91, 154]),
        (
            30,
            [30, 60, 90, 120, 180],
        ),  # each request has slept: it asks the registry itself, and loads nothing
    ],
)
def test_what_does_not_load_is_fetched_ever_less_often_and_the_alarm_goes_on(
    bench: Bench, second_package: Package, seconds: int, fetched: list[int]
) -> None:
    bench.loaded_route()
    bench.put_arm(second_package, refresh=False)
    flip_a_byte(bench, second_package, MODEL)
    fetches = Fetches(bench, second_package)
    answer_every(bench, seconds, 210 // seconds)
    assert fetches.at == fetched
    assert notes(bench) == [("card-fraud@2", "not_loaded", "last_good")]
    refreshes = 210 // 5 if seconds == 1 else 210 // seconds
    assert bench.metrics.counts["RouteRefreshFailed"] == refreshes


def test_what_did_not_load_is_taken_up_when_it_does(bench: Bench, second_package: Package) -> None:
    bench.loaded_route()
    bench.put_arm(second_package, refresh=False)
    whole = bench.artifacts.files[second_package.sha256, MODEL]
    flip_a_byte(bench, second_package, MODEL)
    answer_every(bench, 1, 60)
    bench.artifacts.files[second_package.sha256, MODEL] = whole
    answer_every(bench, 1, 60)
    assert (bench.loaded_route().route.number, notes(bench)) == (2, [])


def test_another_route_is_loaded_at_once_whatever_the_one_before_it_waits_for(
    bench: Bench, second_package: Package, package: Package
) -> None:
    bench.loaded_route()
    bench.put_arm(second_package, refresh=False)
    flip_a_byte(bench, second_package, MODEL)
    answer_every(bench, 1, 100)
    fetches = Fetches(bench, second_package)
    bench.put_arm(second_package, share_bp=500, refresh=False)
    answer_every(bench, 1, 5)
    assert len(fetches.at) == 1
    # And one that needs no loading is simply taken up: an abort does not wait for what it takes off.
    set_champion(bench.registry, "card-fraud@1", reason="Abort.", who=GRACE)
    bench.registry_store._routes["card-fraud"].append(
        bench.registry_store._routes["card-fraud"].pop().model_copy(update={"number": 4})
    )
    answer_every(bench, 1, 5)
    assert (bench.loaded_route().route.number, notes(bench)) == (4, [])


def test_a_new_champion_waits_for_a_canary_of_its_route_that_does_not_load(
    bench: Bench, second_package: Package, trained: Trained
) -> None:
    """A route is whole or is not served: nobody has decided on what would be left of it."""
    bench.loaded_route()
    third = train(trained.contract, seed=12).pack()
    bench.put_champion(second_package)
    canary = bench.put_arm(third, share_bp=100, refresh=False)
    flip_a_byte(bench, third, MODEL)
    answer_every(bench, 5, 1)
    assert bench.loaded_route().route.champion.model == "card-fraud@1"
    assert notes(bench) == [(canary, "not_loaded", "last_good")]


def test_a_route_that_is_to_be_loaded_is_named_by_what_is_missing(
    bench: Bench, second_package: Package
) -> None:
    bench.loaded_route()
    canary = bench.put_arm(second_package, refresh=False)
    bench.clock.advance_ms(10_000)
    bench.loaded_route()
    assert notes(bench) == [(canary, "outdated", "last_good")]


# -- how old a route may be that answers --


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 40_000), st.sampled_from(["request", "canary", "abort"])), max_size=40
    )
)
def test_no_answer_is_by_a_route_that_was_replaced_more_than_ten_seconds_ago(
    package: Package, second_package: Package, steps: list[tuple[int, str]]
) -> None:
    """Busy or asleep: what needs no loading holds for every answer; what does is loaded after one that says so."""
    bench = Bench()
    bench.put_champion(package)
    bench.artifacts.put(second_package.sha256, second_package.files)
    bring_to_approved(bench.registry, second_package)
    champion = sole_champion(bench.registry.model_version("card-fraud@1"))
    canary = sole_champion(bench.registry.model_version("card-fraud@2")).model_copy(
        update={"role": Role.CANARY, "share_bp": 5_000}
    )
    half = champion.model_copy(update={"share_bp": 5_000})
    bench.loaded_route()
    since = {1: bench.clock.now_ms()}
    number = 1
    for gap_ms, what in steps:
        bench.clock.advance_ms(gap_ms)
        if what != "request":
            arms = [half, canary] if what == "canary" else [champion]
            route = bench.registry.set_route("card-fraud", arms, reason="Move.", who=GRACE)
            since[route.number] = bench.clock.now_ms()
            continue
        loaded = bench.loaded_route()
        assert loaded.route.number >= number, "a route number only rises here"
        number = loaded.route.number
        owed = max(
            number for number, at in since.items() if at <= bench.clock.now_ms() - 10_000 or number == 1
        )
        if loaded.route.number < owed:
            assert [(note.model, note.cause) for note in loaded.notes] == [("card-fraud@2", "outdated")]
            assert any(arm.role is Role.CANARY for arm in bench.registry.current_route("card-fraud").arms)
        bench.serving.refresh_if_due()
        if bench.serving._confirmed_ms == bench.clock.now_ms():
            assert bench.serving._loaded.route.number == max(since), "asked just now, and loaded"


def test_a_clock_that_is_set_back_keeps_no_route(bench: Bench, second_package: Package) -> None:
    bench.loaded_route()
    bench.put_champion(second_package)
    bench.clock.advance_ms(-3_600_000)
    bench.loaded_route()
    bench.serving.refresh_if_due()
    assert bench.loaded_route().route.champion.model == "card-fraud@2"


def test_the_champion_before_stays_as_the_last_good_one(bench: Bench, second_package: Package) -> None:
    before = bench.loaded_route().champion
    bench.put_champion(second_package)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    loaded = bench.loaded_route()
    assert loaded.last_good is before
    rungs = [(model.name, policy) for model, policy in loaded.ladder(loaded.route.champion)]
    assert rungs == [("card-fraud@2", None), ("card-fraud@1", "last_good")]


def test_an_environment_that_slept_answers_by_its_last_good_route_when_the_registry_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.loaded_route()
    asked: list[str] = []

    def unreachable(endpoint: str, **_: object) -> None:
        asked.append(endpoint)
        raise Unavailable("The registry cannot be reached.")

    monkeypatch.setattr(bench.registry_store, "current_route", unreachable)
    bench.clock.advance_ms(60_000)
    assert bench.loaded_route().route.number == 1
    assert bench.loaded_route().route.number == 1
    assert len(asked) == 1, "an outage of the registry costs one request in five seconds, not each of them"


def test_an_unforeseen_error_at_a_refresh_changes_nothing_and_its_message_is_not_logged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: str, **__: object) -> None:
        raise RuntimeError("4111111111111111")

    bench.loaded_route()
    monkeypatch.setattr(bench.registry_store, "current_route", broken)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    assert bench.loaded_route().route.number == 1
    assert caplog.records[-1].__dict__["error"] == "RuntimeError"
    assert "4111" not in caplog.text


def test_a_model_whose_approval_somebody_else_signed_is_not_loaded(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    model = bench.registry.model_version("card-fraud@1")
    assert model.approval is not None
    forged = model.approval.signed(MemorySigner(b"another key").sign(model.approval.digest))
    bench.registry_store._models["card-fraud"][1] = model.model_copy(update={"approval": forged})
    with pytest.raises(NoModel):
        bench.new_environment().loaded_route(bench.deadline)
    assert "the signature of card-fraud@1's approval does not verify" in caplog.text


@pytest.mark.parametrize("change", [{"reason": "Another reason."}, {"evidence_sha256": "e" * 64}])
def test_an_approval_altered_after_it_was_signed_is_not_believed(
    bench: Bench, change: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    model = bench.registry.model_version("card-fraud@1")
    assert model.approval is not None
    altered = Approval.model_validate(model.approval.model_dump() | change)
    bench.registry_store._models["card-fraud"][1] = model.model_copy(update={"approval": altered})
    with pytest.raises(NoModel):
        bench.new_environment().loaded_route(bench.deadline)
    assert "does not verify" in caplog.text


def test_a_route_to_bytes_that_were_not_approved_is_not_served(
    bench: Bench, second_package: Package, caplog: pytest.LogCaptureFixture
) -> None:
    bench.artifacts.put(second_package.sha256, second_package.files)
    route = bench.registry.current_route("card-fraud")
    arm = route.champion.model_copy(update={"package_sha256": second_package.sha256})
    bench.registry_store._routes["card-fraud"].append(route.model_copy(update={"number": 2, "arms": (arm,)}))
    environment = bench.new_environment()
    assert environment.loaded_route(bench.deadline).route.number == 1
    assert "card-fraud@1 is not approved" in caplog.text


def test_a_route_that_two_threads_find_due_is_loaded_once(
    bench: Bench, second_package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a new route that is due, and a registry that is slow to name it
    bench.loaded_route()
    bench.put_champion(second_package)
    bench.clock.advance_ms(60_000)
    current_route, asked, answer = bench.registry_store.current_route, [], threading.Event()

    def slow(endpoint: str, **_: object) -> Route | None:
        asked.append(endpoint)
        answer.wait(10)
        return current_route(endpoint)

    monkeypatch.setattr(bench.registry_store, "current_route", slow)
    # When two threads want it, each for the work after its response
    threads = [threading.Thread(target=bench.serving.refresh_if_due) for _ in range(2)]
    for thread in threads:
        thread.start()
    answer.set()
    for thread in threads:
        thread.join(10)
    # Then one of them reads it
    assert len(asked) == 1
    assert bench.loaded_route().route.champion.model == "card-fraud@2"
