"""What may be on a route: approved model versions of the endpoint, each once, for callers as they are today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.contract import Contract
from quicksilver.errors import InvalidPackage, InvalidRoute, NotAllowed, Unavailable
from quicksilver.gates.report import Outcome
from quicksilver.instants import utc_iso
from quicksilver.package import CONTRACT
from quicksilver.routing import FULL_SHARE_BP, Arm, Role
from tests.approvals import ADA, GRACE, bring_to_approved, policy, report
from tests.conftest import contract_content, train

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.routing import Route
    from tests.conftest import Trained
    from tests.unit.conftest import Bench


def approved(bench: Bench, package: Package) -> str:
    bench.artifacts.put(package.sha256, package.files)
    return bring_to_approved(bench.registry, package)


def arm(bench: Bench, name: str, role: Role, share_bp: int) -> Arm:
    sha256 = bench.registry.model_version(name).package_sha256
    return Arm(model=name, package_sha256=sha256, role=role, share_bp=share_bp)


def beside(bench: Bench, name: str, role: Role = Role.CANARY, share_bp: int = 100) -> Route:
    """Put a model version beside the champion."""
    arms = [
        arm(bench, "card-fraud@1", Role.CHAMPION, FULL_SHARE_BP - share_bp),
        arm(bench, name, role, share_bp),
    ]
    return bench.registry.set_route("card-fraud", arms, reason="Try it.", who=GRACE)


def with_contract(**changes: dict[str, Any] | None) -> Package:
    """A package on another contract: a feature's fields changed, or the feature made another."""
    content = contract_content()
    for row in content["features"]:
        row |= changes.get(row["name"]) or {}
        if row["missing"] == "reject":
            row.pop("default", None)
    groups = {row["group"] for row in content["features"] if row.get("group")}
    content["groups"] = {group: key for group, key in content["groups"].items() if group in groups}
    contract = Contract.model_validate(content)
    return train(contract, seed=9, categorical=contract.names[1]).pack()


REQUEST = {"source": "request", "group": None, "max_age_seconds": None}
REFUSING = {
    "another feature": ({"cross_border": {"name": "abroad"}}, ["removed_feature.cross_border"]),
    "another feature that must be sent": (
        {"cross_border": {"name": "abroad", "missing": "reject"}},
        ["new_request_feature.abroad", "removed_feature.cross_border"],
    ),
    "another type": ({"cross_border": {"type": "integer", "default": 0}}, ["type.cross_border"]),
    "a narrower range": ({"amount": {"maximum": 800}}, ["range.amount"]),
    "a key less": ({"merchant_risk": REQUEST}, ["removed_key.merchant_id"]),
}


@pytest.mark.parametrize("role", [Role.CANARY, Role.CHALLENGER])
@pytest.mark.parametrize(("changes", "checks"), REFUSING.values(), ids=REFUSING)
def test_an_arm_whose_contract_refuses_what_callers_send_is_refused_by_the_features(
    bench: Bench, role: Role, changes: dict[str, Any], checks: list[str]
) -> None:
    name = approved(bench, with_contract(**changes))
    with pytest.raises(InvalidRoute, match="do not make a route") as refusal:
        beside(bench, name, role)
    assert [item.field for item in refusal.value.fields] == [f"{name}.{check}" for check in checks]
    assert all(item.reason for item in refusal.value.fields)
    assert bench.registry.current_route("card-fraud").number == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": {"maximum": 2_000_000}},
        {"merchant_risk": {"max_age_seconds": 60}},
        {"channel": {"missing": "reject"}},
        {"txn_count_1h": {"reason": "Many."}},
    ],
)
def test_an_arm_of_another_contract_that_callers_already_suit_is_taken(
    bench: Bench, changes: dict[str, Any]
) -> None:
    assert beside(bench, approved(bench, with_contract(**changes))).number == 2


def test_a_new_champion_may_have_any_contract(bench: Bench) -> None:
    name = approved(bench, with_contract(cross_border={"name": "abroad"}))
    new = arm(bench, name, Role.CHAMPION, FULL_SHARE_BP)
    assert (
        bench.registry.set_route("card-fraud", [new], reason="Callers follow.", who=GRACE).champion.model
        == name
    )
    # Then callers are fitted to it, and the old one cannot answer beside it.
    old = arm(bench, "card-fraud@1", Role.CHALLENGER, 100)
    arms = [new.model_copy(update={"share_bp": FULL_SHARE_BP - 100}), old]
    with pytest.raises(InvalidRoute) as refusal:
        bench.registry.set_route("card-fraud", arms, reason="Compare.", who=GRACE)
    assert [item.field for item in refusal.value.fields] == ["card-fraud@1.removed_feature.abroad"]


def test_contracts_of_one_fingerprint_are_not_read(bench: Bench, second_package: Package) -> None:
    name = approved(bench, second_package)
    bench.artifacts.files.clear()
    assert beside(bench, name).number == 2


def test_a_contract_that_is_not_what_was_registered_makes_no_route(bench: Bench, package: Package) -> None:
    other = with_contract(amount={"maximum": 2_000_000})
    name = approved(bench, other)
    bench.artifacts.files[other.sha256, CONTRACT] = package.files[CONTRACT]
    with pytest.raises(InvalidPackage, match=f"The package of {name} is altered"):
        beside(bench, name)


def test_no_route_is_made_whose_contracts_cannot_be_compared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = approved(bench, with_contract(amount={"maximum": 2_000_000}))

    def away(*_: object) -> bytes:
        raise Unavailable("The artefact store does not answer.")

    monkeypatch.setattr(bench.artifacts, "get", away)
    with pytest.raises(Unavailable):
        beside(bench, name)
    assert bench.registry.current_route("card-fraud").number == 1


# -- what every arm must be --


def test_every_arm_that_may_not_answer_is_named(bench: Bench, second_package: Package) -> None:
    bench.artifacts.put(second_package.sha256, second_package.files)
    registered = bench.registry.register("card-fraud", second_package.sha256, who=ADA).name
    retired = approved(bench, with_contract(txn_count_1h={"reason": "Many."}))
    bench.registry.retire(retired, reason="Old.", who=GRACE)
    arms = [
        arm(bench, "card-fraud@1", Role.CHAMPION, 9_000).model_copy(update={"package_sha256": "f" * 64}),
        arm(bench, registered, Role.CANARY, 500),
        arm(bench, retired, Role.CHALLENGER, 500),
    ]
    with pytest.raises(InvalidRoute) as refusal:
        bench.registry.set_route("card-fraud", arms, reason="Try it.", who=GRACE)
    assert [str(item) for item in refusal.value.fields] == [
        "card-fraud@1: is registered with another SHA-256",
        f"{registered}: is registered; a canary must be approved",
        f"{retired}: is retired; a challenger must be approved",
    ]


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ((9_000, 999), "shares add up to 9999 basis points, not 10000"),
        ((9_000, 1_001), "shares add up to 10001 basis points, not 10000"),
        ((0, 0), "shares add up to 0 basis points, not 10000"),
    ],
)
def test_shares_that_do_not_add_up_are_refused(
    bench: Bench, second_package: Package, shares: tuple[int, int], reason: str
) -> None:
    name = approved(bench, second_package)
    arms = [arm(bench, "card-fraud@1", Role.CHAMPION, shares[0]), arm(bench, name, Role.CANARY, shares[1])]
    with pytest.raises(InvalidRoute) as refusal:
        bench.registry.set_route("card-fraud", arms, reason="Try it.", who=GRACE)
    assert reason in refusal.value.fields[0].reason


def test_a_model_version_on_two_arms_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidRoute) as refusal:
        beside(bench, "card-fraud@1")
    assert "answers by one arm only" in refusal.value.fields[0].reason


def test_another_endpoints_model_version_is_refused(bench: Bench) -> None:
    contract = Contract.model_validate({**contract_content(), "endpoint": "credit-line"})
    other = approved(bench, train(contract, seed=9).pack())
    with pytest.raises(InvalidRoute) as refusal:
        beside(bench, other)
    assert "credit-line@1 is not a model version of card-fraud" in refusal.value.fields[0].reason


def test_an_arm_whose_override_has_expired_is_refused(bench: Bench, second_package: Package) -> None:
    bench.artifacts.put(second_package.sha256, second_package.files)
    name = bench.registry.register("card-fraud", second_package.sha256, who=ADA).name
    bench.registry.add_evidence(name, report(second_package, policy(), auc=Outcome.FAIL), who=ADA)
    expires_at = utc_iso(bench.clock.now_ms() + 1_000)
    bench.registry.override(name, ["performance.auc"], reason="Known.", expires_at=expires_at, who=GRACE)
    bench.registry.approve(name, reason="With care.", who=GRACE)
    bench.clock.advance_ms(999)
    assert beside(bench, name).number == 2
    bench.clock.advance_ms(1)
    with pytest.raises(NotAllowed, match=f"The override of {name} expired"):
        beside(bench, name, share_bp=101)
    with pytest.raises(NotAllowed, match=f"The override of {name} expired"):
        beside(bench, name, Role.CHALLENGER)
    assert beside(bench, name, share_bp=99).number == 3, "it may have less"


# -- what is wrong with one arm keeps no other from being taken off --


def test_a_canary_is_taken_off_whatever_became_of_the_champions_override(
    bench: Bench, second_package: Package
) -> None:
    bench.artifacts.put(second_package.sha256, second_package.files)
    name = bench.registry.register("card-fraud", second_package.sha256, who=ADA).name
    bench.registry.add_evidence(name, report(second_package, policy(), auc=Outcome.FAIL), who=ADA)
    expires_at = utc_iso(bench.clock.now_ms() + 1_000)
    bench.registry.override(name, ["performance.auc"], reason="Known.", expires_at=expires_at, who=GRACE)
    bench.registry.approve(name, reason="With care.", who=GRACE)
    half = [arm(bench, name, Role.CHAMPION, 5_000), arm(bench, "card-fraud@1", Role.CANARY, 5_000)]
    bench.registry.set_route("card-fraud", half, reason="Half.", who=GRACE)
    bench.clock.advance_ms(1_000)
    whole = [arm(bench, name, Role.CHAMPION, FULL_SHARE_BP)]
    assert bench.registry.set_route("card-fraud", whole, reason="Abort.", who=GRACE).number == 3


def test_a_canary_is_taken_off_beside_a_shadow_whose_gates_failed_meanwhile(
    bench: Bench, second_package: Package, trained: Trained
) -> None:
    canary = approved(bench, second_package)
    third = train(trained.contract, seed=12).pack()
    bench.artifacts.put(third.sha256, third.files)
    shadow = bench.registry.register("card-fraud", third.sha256, who=ADA).name
    bench.registry.add_evidence(shadow, report(third, policy()), who=ADA)
    watched = arm(bench, shadow, Role.SHADOW, 0)
    arms = [arm(bench, "card-fraud@1", Role.CHAMPION, 9_000), arm(bench, canary, Role.CANARY, 1_000), watched]
    bench.registry.set_route("card-fraud", arms, reason="Try it.", who=GRACE)
    bench.registry.add_evidence(shadow, report(third, policy(), auc=Outcome.FAIL), who=ADA)
    whole = arm(bench, "card-fraud@1", Role.CHAMPION, FULL_SHARE_BP)
    assert bench.registry.set_route("card-fraud", [whole, watched], reason="Abort.", who=GRACE).number == 3
    bench.registry.set_route("card-fraud", [whole], reason="Stop watching.", who=GRACE)
    with pytest.raises(InvalidRoute, match="do not make a route"):
        bench.registry.set_route("card-fraud", [whole, watched], reason="Watch again.", who=GRACE)


def test_a_canary_is_taken_off_while_no_contract_can_be_read(
    bench: Bench, second_package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = approved(bench, with_contract(amount={"maximum": 2_000_000}))
    canary = approved(bench, second_package)
    challenger = arm(bench, other, Role.CHALLENGER, 1_000)
    arms = [
        arm(bench, "card-fraud@1", Role.CHAMPION, 8_000),
        arm(bench, canary, Role.CANARY, 1_000),
        challenger,
    ]
    bench.registry.set_route("card-fraud", arms, reason="Try both.", who=GRACE)
    bench.artifacts.files.clear()
    rest = [arm(bench, "card-fraud@1", Role.CHAMPION, 9_000), challenger]
    assert bench.registry.set_route("card-fraud", rest, reason="Abort.", who=GRACE).number == 3


def test_an_arm_that_stays_is_judged_by_a_new_champions_contract(
    bench: Bench, second_package: Package
) -> None:
    kept = beside(bench, approved(bench, second_package)).answering[1]
    new = approved(bench, with_contract(cross_border={"name": "abroad"}))
    arms = [arm(bench, new, Role.CHAMPION, FULL_SHARE_BP - kept.share_bp), kept]
    with pytest.raises(InvalidRoute) as refusal:
        bench.registry.set_route("card-fraud", arms, reason="Callers follow.", who=GRACE)
    assert [item.field for item in refusal.value.fields] == [f"{kept.model}.removed_feature.abroad"]


def test_the_holdout_stays_until_somebody_sets_another(bench: Bench) -> None:
    champion = arm(bench, "card-fraud@1", Role.CHAMPION, FULL_SHARE_BP)

    def set_(holdout_bp: int | None = None) -> int:
        route = bench.registry.set_route(
            "card-fraud", [champion], reason="Hold.", who=GRACE, holdout_bp=holdout_bp
        )
        return route.holdout_bp

    assert [set_(), set_(100), set_(), set_(0), set_()] == [0, 100, 100, 0, 0]
