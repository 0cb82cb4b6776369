"""What every registry store promises: whole changes or none, one winner per head, pages in order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from quicksilver.errors import Conflict
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.gates.report import Outcome
from quicksilver.history import Action, Entry, Head, chain_breaks
from quicksilver.instants import utc_iso
from quicksilver.memory import ManualClock, MemoryContractStore, MemorySigner
from quicksilver.model_version import ModelVersion, State
from quicksilver.ports import ArtifactStore, Change, RegistryStore
from quicksilver.registry import Registry, Stores
from quicksilver.registry_audit import audit
from quicksilver.routing import Arm, Role, Route
from tests.approvals import ADA, GRACE, bring_to_approved, policy, report

if TYPE_CHECKING:
    from quicksilver.package import Package

ENDPOINT = "card-fraud"


def moment(number: int) -> str:
    return utc_iso(1_760_000_000_000 + number * 1_000)


def model_version(number: int, sha256: str | None = None, state: State = State.REGISTERED) -> ModelVersion:
    return ModelVersion(
        endpoint=ENDPOINT,
        number=number,
        package_sha256=sha256 or f"{number:064x}",
        fingerprint="f" * 64,
        author=ADA,
        registered_at=moment(number),
        state=state,
    )


def route(number: int) -> Route:
    return Route(
        endpoint=ENDPOINT,
        number=number,
        salt="card-fraud/route",
        arms=(Arm(model="card-fraud@1", package_sha256="0" * 64, role=Role.CHAMPION, share_bp=10_000),),
        author=ADA,
        created_at=moment(number),
    )


def change(head: Head, *, model: ModelVersion | None = None, new_route: Route | None = None) -> Change:
    entry = Entry(
        endpoint=ENDPOINT,
        number=head.history + 1,
        previous_sha256=head.sha256,
        action=Action.ROUTED if new_route else Action.REGISTERED,
        subject=model.name if model else "route",
        who=ADA,
        at=moment(head.history + 1),
    )
    is_new = model is not None and model.number == head.models + 1
    following = head.next(
        entry,
        models=head.models + 1 if is_new else None,
        route=new_route.number if new_route else None,
    )
    return Change(head, following, entry, model, new_route)


def grow(store: RegistryStore, *, models: int = 0, routes: int = 0) -> Head:
    head = store.head(ENDPOINT)
    for number in range(head.models + 1, head.models + models + 1):
        store.commit(change(head, model=model_version(number)))
        head = store.head(ENDPOINT)
    for number in range(head.route + 1, head.route + routes + 1):
        store.commit(change(head, new_route=route(number)))
        head = store.head(ENDPOINT)
    return head


def test_an_endpoint_without_changes_has_a_fresh_head_and_nothing_else(registry_store: RegistryStore) -> None:
    assert registry_store.head(ENDPOINT) == Head(endpoint=ENDPOINT)
    assert registry_store.current_route(ENDPOINT) is None
    assert registry_store.route_at(ENDPOINT, moment(1)) is None
    assert registry_store.model_version(ENDPOINT, 1) is None
    assert list(registry_store.history(ENDPOINT)) == []


def test_a_model_version_comes_back_by_number_and_by_package(registry_store: RegistryStore) -> None:
    grow(registry_store, models=1)
    assert registry_store.model_version(ENDPOINT, 1) == model_version(1)
    assert registry_store.model_version_of_package(ENDPOINT, f"{1:064x}") == model_version(1)
    assert registry_store.model_version("credit-line", 1) is None
    assert registry_store.model_version_of_package(ENDPOINT, "e" * 64) is None


def test_a_changed_model_version_is_found_changed_both_ways(registry_store: RegistryStore) -> None:
    head = grow(registry_store, models=1)
    approved = model_version(1, state=State.APPROVED)
    registry_store.commit(change(head, model=approved))
    assert registry_store.model_version(ENDPOINT, 1) == approved
    assert registry_store.model_version_of_package(ENDPOINT, approved.package_sha256) == approved


def test_of_two_changes_on_one_head_the_second_is_a_conflict_and_writes_nothing(
    registry_store: RegistryStore,
) -> None:
    head = grow(registry_store, models=1)
    registry_store.commit(change(head, model=model_version(2)))
    with pytest.raises(Conflict):
        registry_store.commit(change(head, model=model_version(2, "a" * 64), new_route=route(1)))
    assert registry_store.model_version(ENDPOINT, 2) == model_version(2)
    assert registry_store.model_version_of_package(ENDPOINT, "a" * 64) is None
    assert registry_store.current_route(ENDPOINT) is None
    assert len(registry_store.history(ENDPOINT)) == 2


def test_the_first_change_of_an_endpoint_has_one_winner_too(registry_store: RegistryStore) -> None:
    fresh = registry_store.head(ENDPOINT)
    registry_store.commit(change(fresh, model=model_version(1)))
    with pytest.raises(Conflict):
        registry_store.commit(change(fresh, model=model_version(1, "a" * 64)))


def test_endpoints_do_not_disturb_each_other(registry_store: RegistryStore) -> None:
    grow(registry_store, models=2, routes=1)
    assert registry_store.head("credit-line") == Head(endpoint="credit-line")


def test_pages_go_by_rising_number_and_miss_nothing(registry_store: RegistryStore) -> None:
    grow(registry_store, models=12, routes=11)
    for items in (registry_store.model_versions, registry_store.routes, registry_store.history):
        seen: list[int] = []
        while page := items(ENDPOINT, after=seen[-1] if seen else 0, limit=5):
            assert len(page) <= 5
            seen += [item.number for item in page]
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) >= 11


def test_the_last_route_is_current_and_each_was_current_in_its_time(registry_store: RegistryStore) -> None:
    grow(registry_store, models=1, routes=3)
    assert registry_store.current_route(ENDPOINT) == route(3)
    assert registry_store.route_at(ENDPOINT, moment(0)) is None
    for number in (1, 2, 3):
        assert registry_store.route_at(ENDPOINT, moment(number)) == route(number)
    between = utc_iso(1_760_000_000_000 + 2_500)
    assert registry_store.route_at(ENDPOINT, between) == route(2)


@pytest.fixture
def registry(registry_store: RegistryStore, artifact_store: ArtifactStore) -> Registry:
    return Registry(
        Stores(registry_store, artifact_store, artifact_store, MemoryContractStore()),
        signer=MemorySigner(),
        policies={ENDPOINT: policy()},
        load=LightGBMEvaluator,
        clock=ManualClock(),
        pause=lambda _: None,
    )


def test_fifty_rival_writers_lose_no_update_and_the_chain_holds(
    registry: Registry,
    registry_store: RegistryStore,
    artifact_store: ArtifactStore,
    package: Package,
) -> None:
    artifact_store.put(package.sha256, package.files)
    name = bring_to_approved(registry, package)
    arm = Arm(model=name, package_sha256=package.sha256, role=Role.CHAMPION, share_bp=10_000)
    with ThreadPoolExecutor(50) as writers:
        routes = list(
            writers.map(
                lambda n: registry.set_route(ENDPOINT, [arm], reason=f"writer {n}", who=GRACE), range(50)
            )
        )
    assert sorted(route.number for route in routes) == list(range(1, 51))
    entries = [*registry_store.history(ENDPOINT), *registry_store.history(ENDPOINT, after=100)]
    assert chain_breaks(entries, registry_store.head(ENDPOINT)) == []
    assert {entry.reason for entry in entries if entry.action is Action.ROUTED} == {
        f"writer {n}" for n in range(50)
    }
    result = audit(
        ENDPOINT,
        registry=registry_store,
        artifacts=artifact_store,
        evidence=artifact_store,
        signer=MemorySigner(),
    )
    assert result.holds, result.findings


def test_rivals_that_register_the_same_bytes_get_the_same_model_version(
    registry: Registry, artifact_store: ArtifactStore, package: Package, second_package: Package
) -> None:
    for item in (package, second_package):
        artifact_store.put(item.sha256, item.files)
    with ThreadPoolExecutor(8) as writers:
        named = list(
            writers.map(
                lambda n: (
                    registry.register(
                        ENDPOINT, (package, second_package)[n % 2].sha256, who=f"writer-{n}"
                    ).name
                ),
                range(8),
            )
        )
    assert set(named) == {"card-fraud@1", "card-fraud@2"}
    assert named[0] == named[2] == named[4] == named[6]
    assert len(registry.history(ENDPOINT)) == 2


def test_a_report_kept_as_evidence_comes_back_equal(
    registry: Registry, artifact_store: ArtifactStore, package: Package
) -> None:
    artifact_store.put(package.sha256, package.files)
    name = registry.register(ENDPOINT, package.sha256, who=ADA).name
    evidence = report(package, policy(), auc=Outcome.WARN, ks=Outcome.PASS)
    registry.add_evidence(name, evidence, who=ADA)
    assert registry.evidence(name) == evidence
