"""The registry's rules: what may follow what, by whom, and that every change leaves its entry."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from quicksilver.contract import Contract
from quicksilver.errors import (
    Conflict,
    InvalidContract,
    InvalidPackage,
    InvalidRoute,
    NotAllowed,
    NotFound,
    QuicksilverError,
    Unavailable,
)
from quicksilver.gates.report import Outcome
from quicksilver.history import Action
from quicksilver.model_version import State
from quicksilver.package import GOLDEN, MANIFEST, open_package, seal
from quicksilver.routing import FULL_SHARE_BP, Arm, Role
from tests.approvals import ADA, GRACE, bring_to_approved, policy, report, set_champion
from tests.conftest import contract_content, train

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench


@pytest.fixture
def registered(bench: Bench, second_package: Package) -> str:
    """A second model version, registered by Ada and nothing more."""
    bench.artifacts.put(second_package.sha256, second_package.files)
    return bench.registry.register("card-fraud", second_package.sha256, who=ADA).name


def actions(bench: Bench) -> list[Action]:
    return [entry.action for entry in bench.registry.history("card-fraud")]


def arm(bench: Bench, name: str, role: Role, share_bp: int) -> Arm:
    sha256 = bench.registry.model_version(name).package_sha256
    return Arm(model=name, package_sha256=sha256, role=role, share_bp=share_bp)


def later(bench: Bench, seconds: int) -> str:
    from quicksilver.instants import utc_iso

    return utc_iso(bench.clock.now_ms() + seconds * 1_000)


# -- registering --


def test_registering_the_same_bytes_twice_gives_the_same_model_version(
    bench: Bench, package: Package
) -> None:
    before = actions(bench)
    again = bench.registry.register("card-fraud", package.sha256, who=GRACE)
    assert (again.name, again.author) == ("card-fraud@1", ADA)
    assert actions(bench) == before


def test_a_model_versions_contract_is_in_the_archive_before_it_has_a_number(
    bench: Bench, second_package: Package
) -> None:
    bench.artifacts.put(second_package.sha256, second_package.files)
    bench.contracts.available = False
    with pytest.raises(Unavailable):
        bench.registry.register("card-fraud", second_package.sha256, who=ADA)
    assert bench.registry_store.model_version("card-fraud", 2) is None
    bench.contracts.available = True
    registered = bench.registry.register("card-fraud", second_package.sha256, who=ADA)
    rows = [json.loads(line) for line in bench.contracts.kept[registered.fingerprint].splitlines()]
    assert [row["feature"] for row in rows] == list(second_package.contract.names)
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))


def test_numbers_rise_by_one(registered: str) -> None:
    assert registered == "card-fraud@2"


def test_a_package_of_another_endpoint_is_refused(bench: Bench, package: Package) -> None:
    with pytest.raises(InvalidPackage, match="not for credit-line"):
        bench.registry.register("credit-line", package.sha256, who=ADA)


def test_an_endpoint_without_a_policy_is_not_found(bench: Bench, package: Package) -> None:
    with pytest.raises(NotFound, match="no endpoint loans"):
        bench.registry.register("loans", package.sha256, who=ADA)


@pytest.mark.parametrize("asked", ["current_route", "history", "routes", "model_versions"])
def test_an_endpoint_that_is_not_there_is_told_from_one_to_which_nothing_has_happened(
    bench: Bench, asked: str
) -> None:
    with pytest.raises(NotFound, match="There is no endpoint loans"):
        getattr(bench.registry, asked)("loans")
    if asked != "current_route":
        assert list(getattr(bench.registry, asked)("credit-line")) == []


def test_bytes_that_are_not_stored_are_not_registered(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.registry.register("card-fraud", "a" * 64, who=ADA)


def test_a_package_that_does_not_give_its_golden_rows_is_refused_and_leaves_no_entry(
    bench: Bench, package: Package
) -> None:
    rows = [dataclasses.replace(row, raw_score=0.0) for row in package.golden_rows]
    files = {name: data for name, data in package.files.items() if name != MANIFEST}
    files[GOLDEN] = "".join(row.to_json() + "\n" for row in rows).encode()
    wrong = open_package(seal("card-fraud", package.contract.fingerprint, files).__getitem__)
    bench.artifacts.put(wrong.sha256, wrong.files)
    before = actions(bench)
    with pytest.raises(InvalidPackage):
        bench.registry.register("card-fraud", wrong.sha256, who=ADA)
    assert actions(bench) == before


def test_a_protected_attribute_among_the_inputs_is_refused(bench: Bench, package: Package) -> None:
    content = contract_content()
    content["features"][1]["name"] = "sex"
    contract = Contract.model_validate(content)
    trained = train(contract, categorical="sex")
    files = {name: data for name, data in package.files.items() if name != MANIFEST}
    files |= {
        "contract.json": contract.canonical_json,
        "model.txt": trained.booster.model_to_string().encode(),
    }
    named = open_package(seal("card-fraud", contract.fingerprint, files).__getitem__)
    bench.artifacts.put(named.sha256, named.files)
    with pytest.raises(InvalidContract) as refusal:
        bench.registry.register("card-fraud", named.sha256, who=ADA)
    assert refusal.value.fields[0].field == "features.sex"


# -- gates, overrides, approvals --


def test_evidence_without_a_failure_makes_it_gated(
    bench: Bench, registered: str, second_package: Package
) -> None:
    evidence = report(second_package, policy(), auc=Outcome.PASS, air=Outcome.WARN)
    model = bench.registry.add_evidence(registered, evidence, who=ADA)
    assert (model.state, model.evidence_sha256) == (State.GATED, evidence.sha256)
    assert bench.registry.evidence(registered) == evidence


def test_evidence_with_a_failure_is_kept_and_makes_it_not_gated(
    bench: Bench, registered: str, second_package: Package
) -> None:
    model = bench.registry.add_evidence(
        registered, report(second_package, policy(), auc=Outcome.FAIL), who=ADA
    )
    assert (model.state, model.failed_checks) == (State.REGISTERED, ("performance.auc",))
    with pytest.raises(NotAllowed, match="is registered and cannot be approved"):
        bench.registry.approve(registered, reason="Please.", who=GRACE)
    assert actions(bench)[-1] is Action.GATE_FAILED


def test_evidence_by_another_policy_is_refused(
    bench: Bench, registered: str, second_package: Package
) -> None:
    lax = policy().model_copy(update={"cutoff": 0.9})
    with pytest.raises(InvalidPackage, match="another policy"):
        bench.registry.add_evidence(registered, report(second_package, lax), who=ADA)


def test_evidence_on_other_bytes_is_refused(bench: Bench, registered: str, package: Package) -> None:
    with pytest.raises(InvalidPackage, match="another package"):
        bench.registry.add_evidence(registered, report(package, policy()), who=ADA)


def test_nobody_approves_what_is_not_gated(bench: Bench, registered: str) -> None:
    with pytest.raises(NotAllowed, match="is registered and cannot be approved"):
        bench.registry.approve(registered, reason="Please.", who=GRACE)


def test_the_author_cannot_approve(bench: Bench, registered: str, second_package: Package) -> None:
    bench.registry.add_evidence(registered, report(second_package, policy()), who=ADA)
    with pytest.raises(NotAllowed, match="author"):
        bench.registry.approve(registered, reason="It is mine.", who=ADA)


def test_an_approval_is_signed_over_bytes_and_evidence_and_nobody_approves_twice(
    bench: Bench, registered: str, second_package: Package
) -> None:
    evidence = report(second_package, policy())
    bench.registry.add_evidence(registered, evidence, who=ADA)
    approval = bench.registry.approve(registered, reason="It is better.", who=GRACE).approval
    assert approval is not None
    assert (approval.package_sha256, approval.evidence_sha256) == (second_package.sha256, evidence.sha256)
    assert bench.signer.verify(approval.digest, approval.signature_bytes)
    with pytest.raises(NotAllowed, match="is approved and cannot be approved"):
        bench.registry.approve(registered, reason="Again.", who=GRACE)


def test_evidence_cannot_be_exchanged_after_the_approval(
    bench: Bench, registered: str, second_package: Package
) -> None:
    bring_to_approved(bench.registry, second_package)
    with pytest.raises(NotAllowed, match="is approved and cannot be gated"):
        bench.registry.add_evidence(registered, report(second_package, policy(), auc=Outcome.WARN), who=ADA)


@pytest.fixture
def failed(bench: Bench, registered: str, second_package: Package) -> str:
    evidence = report(second_package, policy(), auc=Outcome.FAIL, ece=Outcome.FAIL)
    return bench.registry.add_evidence(registered, evidence, who=ADA).name


BOTH = ("performance.auc", "performance.ece")


def test_an_override_of_every_failed_check_lets_it_be_approved(bench: Bench, failed: str) -> None:
    bench.registry.override(failed, BOTH, reason="Known.", expires_at=later(bench, 60), who=GRACE)
    assert bench.registry.approve(failed, reason="With care.", who=GRACE).state is State.APPROVED
    overridden = bench.registry.history("card-fraud")[-2]
    assert (overridden.action, overridden.who, overridden.reason) == (Action.OVERRIDDEN, GRACE, "Known.")
    assert overridden.details["checks"] == list(BOTH)


def test_an_override_that_leaves_out_a_failed_check_is_refused_by_its_name(bench: Bench, failed: str) -> None:
    with pytest.raises(NotAllowed) as refusal:
        bench.registry.override(failed, BOTH[:1], reason="Known.", expires_at=later(bench, 60), who=GRACE)
    assert [item.field for item in refusal.value.fields] == ["performance.ece"]


def test_the_author_cannot_override(bench: Bench, failed: str) -> None:
    with pytest.raises(NotAllowed, match="author"):
        bench.registry.override(failed, BOTH, reason="Mine.", expires_at=later(bench, 60), who=ADA)


def test_an_override_must_expire_in_the_future(bench: Bench, failed: str) -> None:
    with pytest.raises(NotAllowed) as refusal:
        bench.registry.override(failed, BOTH, reason="Known.", expires_at=later(bench, 0), who=GRACE)
    assert refusal.value.fields[0].field == "expires_at"


def test_after_an_override_has_expired_nobody_approves_or_routes(bench: Bench, failed: str) -> None:
    bench.registry.override(failed, BOTH, reason="Known.", expires_at=later(bench, 60), who=GRACE)
    bench.registry.approve(failed, reason="With care.", who=GRACE)
    bench.clock.advance_ms(60_000)
    with pytest.raises(NotAllowed, match="expired"):
        set_champion(bench.registry, failed, reason="Late.", who=GRACE)


def test_there_is_nothing_to_override_where_nothing_failed(bench: Bench, registered: str) -> None:
    with pytest.raises(NotAllowed, match="no failed check"):
        bench.registry.override(registered, BOTH, reason="Why not.", expires_at=later(bench, 60), who=GRACE)


def test_what_is_rejected_stays_so(bench: Bench, registered: str, second_package: Package) -> None:
    bench.registry.reject(registered, reason="Leaks the target.", who=GRACE)
    with pytest.raises(NotAllowed, match="is rejected and cannot be gated"):
        bench.registry.add_evidence(registered, report(second_package, policy()), who=ADA)


# -- routes --


def test_a_route_numbers_on_and_keeps_its_salt(bench: Bench, second_package: Package) -> None:
    first = bench.registry.current_route("card-fraud")
    bench.put_champion(second_package)
    second = bench.registry.current_route("card-fraud")
    assert (first.number, second.number, second.salt) == (1, 2, first.salt)
    assert [route.number for route in bench.registry.routes("card-fraud")] == [1, 2]


@pytest.mark.parametrize("role", [Role.CANARY, Role.CHALLENGER, Role.SHADOW])
def test_a_route_names_approved_model_versions_only(bench: Bench, registered: str, role: Role) -> None:
    share = 0 if role is Role.SHADOW else 100
    arms = [
        arm(bench, "card-fraud@1", Role.CHAMPION, FULL_SHARE_BP - share),
        arm(bench, registered, role, share),
    ]
    with pytest.raises(InvalidRoute) as refusal:
        bench.registry.set_route("card-fraud", arms, reason="Try it.", who=GRACE)
    assert refusal.value.fields[0].field == registered
    assert bench.registry.current_route("card-fraud").number == 1


def test_a_shadow_may_be_gated_only(bench: Bench, registered: str, second_package: Package) -> None:
    bench.registry.add_evidence(registered, report(second_package, policy()), who=ADA)
    arms = [arm(bench, "card-fraud@1", Role.CHAMPION, FULL_SHARE_BP), arm(bench, registered, Role.SHADOW, 0)]
    assert bench.registry.set_route("card-fraud", arms, reason="Watch it.", who=GRACE).number == 2


def test_a_model_version_on_the_route_cannot_be_retired_and_after_it_can(
    bench: Bench, second_package: Package
) -> None:
    with pytest.raises(NotAllowed, match="on the current route"):
        bench.registry.retire("card-fraud@1", reason="Old.", who=GRACE)
    bench.put_champion(second_package)
    bench.registry.retire("card-fraud@1", reason="Old.", who=GRACE)
    with pytest.raises(InvalidRoute):
        set_champion(bench.registry, "card-fraud@1", reason="Back.", who=GRACE)


def test_a_route_to_a_model_version_that_is_not_registered_is_refused(bench: Bench) -> None:
    with pytest.raises(NotFound, match="card-fraud@9"):
        set_champion(bench.registry, "card-fraud@9", reason="Try.", who=GRACE)


@pytest.mark.parametrize("name", ["card-fraud", "@1", "card-fraud@", "card-fraud@x", "card-fraud@01", ""])
def test_a_name_that_is_no_model_version_is_not_found(bench: Bench, name: str) -> None:
    with pytest.raises(NotFound):
        bench.registry.model_version(name)


def test_a_route_with_another_digest_than_the_registered_one_is_refused(bench: Bench) -> None:
    wrong = Arm(model="card-fraud@1", package_sha256="f" * 64, role=Role.CHAMPION, share_bp=FULL_SHARE_BP)
    with pytest.raises(InvalidRoute, match="do not make a route"):
        bench.registry.set_route("card-fraud", [wrong], reason="Try.", who=GRACE)


def test_a_writer_that_has_seen_an_older_route_is_told_so(bench: Bench) -> None:
    champion = arm(bench, "card-fraud@1", Role.CHAMPION, FULL_SHARE_BP)
    bench.registry.set_route("card-fraud", [champion], reason="Again.", who=GRACE, expected=1)
    with pytest.raises(NotAllowed, match="is 2 now, not 1"):
        bench.registry.set_route("card-fraud", [champion], reason="Again.", who=GRACE, expected=1)


def test_who_answered_then_is_answered_for_any_moment(bench: Bench, second_package: Package) -> None:
    first = bench.registry.current_route("card-fraud")
    bench.clock.advance_ms(60_000)
    bench.put_champion(second_package)
    assert bench.registry.route_at("card-fraud", later(bench, -30)).number == 1
    assert bench.registry.route_at("card-fraud", later(bench, 0)).number == 2
    assert bench.registry.route_at("card-fraud", first.created_at).number == 1
    with pytest.raises(NotFound, match="had no route at"):
        bench.registry.route_at("card-fraud", "2000-01-01T00:00:00.000Z")


# -- history and races --


def test_every_change_leaves_one_entry_with_who_when_and_why(bench: Bench) -> None:
    entries = bench.registry.history("card-fraud")
    assert [(entry.action, entry.subject, entry.who) for entry in entries] == [
        (Action.REGISTERED, "card-fraud@1", ADA),
        (Action.GATED, "card-fraud@1", ADA),
        (Action.APPROVED, "card-fraud@1", GRACE),
        (Action.ROUTED, "route 1", GRACE),
    ]
    assert [entry.number for entry in entries] == [1, 2, 3, 4]


def test_history_never_runs_backwards_when_a_writers_clock_does(bench: Bench, registered: str) -> None:
    bench.clock.advance_ms(-3_600_000)
    bench.registry.reject(registered, reason="Wrong.", who=GRACE)
    times = [entry.at for entry in bench.registry.history("card-fraud")]
    assert times == sorted(times)


def test_a_decision_is_taken_anew_when_a_rival_was_faster(
    bench: Bench, registered: str, second_package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.registry.add_evidence(registered, report(second_package, policy()), who=ADA)
    store, commit = bench.registry_store, bench.registry_store.commit

    def commit_after_a_rival(change: object) -> None:
        monkeypatch.setattr(store, "commit", commit)
        bench.registry.reject(registered, reason="I was first.", who=GRACE)
        commit(change)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "commit", commit_after_a_rival)
    with pytest.raises(NotAllowed, match="is rejected and cannot be approved"):
        bench.registry.approve(registered, reason="It is better.", who=GRACE)
    assert bench.registry.model_version(registered).state is State.REJECTED


def test_an_endpoint_that_never_holds_still_is_a_conflict_in_the_end(
    bench: Bench, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def always_late(_: object) -> None:
        raise Conflict("The registry has changed since it was read.")

    monkeypatch.setattr(bench.registry_store, "commit", always_late)
    with pytest.raises(Conflict, match="Too many writers"):
        bench.registry.reject(registered, reason="Wrong.", who=GRACE)


def test_every_refusal_is_one_sentence(bench: Bench, registered: str) -> None:
    with pytest.raises(QuicksilverError) as refusal:
        bench.registry.retire(registered, reason="Old.", who=GRACE)
    assert str(refusal.value) == "card-fraud@2 is registered and cannot be retired."
