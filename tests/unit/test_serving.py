"""Taking up routes: whole or not at all, and the last good route goes on answering."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from quicksilver.errors import NoModel, Unavailable
from quicksilver.memory import MemorySigner
from quicksilver.model_version import Approval
from quicksilver.package import CONTRACT, MANIFEST, MODEL
from quicksilver.ports import Deadline
from tests.approvals import GRACE, set_champion

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.routing import Route
    from tests.unit.conftest import Bench


def flip_a_byte(bench: Bench, package: Package, name: str) -> None:
    data = bytearray(bench.artifacts.files[package.sha256, name])
    data[len(data) // 2] ^= 1
    bench.artifacts.files[package.sha256, name] = bytes(data)


def test_an_environment_without_a_route_has_no_model() -> None:
    from tests.unit.conftest import Bench

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
    bench.clock.advance_ms(59_999)
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
    assert len(asked) == 1, "an outage of the registry costs one request in ten seconds, not each of them"


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
