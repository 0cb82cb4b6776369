"""The registry's client against the registry's API itself, in one process: no path or body is written twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.aws.api import ApiAnswer
from quicksilver.aws.registry_client import RegistryClient
from quicksilver.errors import FieldError, InvalidInput, NotAllowed, NotFound, Unavailable
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.gates.report import Outcome
from quicksilver.guard_policy import Guards
from quicksilver.memory import (
    ManualClock,
    MemoryArtifactStore,
    MemoryContractStore,
    MemoryRegistryStore,
    MemorySigner,
)
from quicksilver.model_version import ModelVersion, State
from quicksilver.registry import Registry, Stores
from quicksilver.registry_api import RegistryApi
from quicksilver.rollout.look import Verdict
from quicksilver.routing import Arm, Role
from tests.approvals import ADA, GRACE, bring_to_approved, make_champion, policy, report
from tests.in_process import InProcess
from tests.rollouts import a_look

if TYPE_CHECKING:
    from quicksilver.package import Package


class Answering:
    """An API client that always gets the same answer."""

    def __init__(self, status: int, content: Any) -> None:
        self._answer = ApiAnswer(status, {}, content)

    def request(self, *_: Any, **__: Any) -> ApiAnswer:
        return self._answer


class Registered:
    """A registry in memory with one package stored, and a client for each of two people."""

    def __init__(self, package: Package) -> None:
        self.package = package
        stores = Stores(
            MemoryRegistryStore(), artifacts := MemoryArtifactStore(), artifacts, MemoryContractStore()
        )
        artifacts.put(package.sha256, package.files)
        registry = Registry(
            stores,
            signer=MemorySigner(),
            policies={"card-fraud": policy()},
            load=LightGBMEvaluator,
            clock=ManualClock(),
            pause=lambda _: None,
        )
        self.registry, self.artifacts = registry, artifacts
        api = RegistryApi(registry)
        self.ada_sends, self.grace_sends = InProcess(api, ADA), InProcess(api, GRACE)
        self.ada = RegistryClient(self.ada_sends)  # type: ignore[arg-type]
        self.grace = RegistryClient(self.grace_sends)  # type: ignore[arg-type]


@pytest.fixture
def registered(package: Package) -> Registered:
    return Registered(package)


def arm(model: ModelVersion) -> Arm:
    return Arm(model=model.name, package_sha256=model.package_sha256, role=Role.CHAMPION, share_bp=10_000)


def test_a_model_version_goes_from_registered_to_champion_by_two_people(registered: Registered) -> None:
    ada, grace, package = registered.ada, registered.grace, registered.package
    model = ada.register("card-fraud", package.sha256)
    assert (model.name, model.author, model.state) == ("card-fraud@1", ADA, State.REGISTERED)
    assert ada.add_evidence(model.name, report(package, policy())).state is State.GATED
    approved = grace.approve(model.name, reason="It is better.")
    assert approved.approval is not None
    assert approved.approval.approver == GRACE
    route = grace.set_route("card-fraud", [arm(model)], reason="It is better.", expected=0)
    assert ada.current_route("card-fraud") == route
    assert list(ada.routes("card-fraud")) == [route]
    assert ada.route_at("card-fraud", "2100-01-01T00:00:00+01:00") == route
    assert ada.evidence(model.name) == report(package, policy())
    assert [entry.action.value for entry in ada.history("card-fraud")] == [
        "registered",
        "gated",
        "approved",
        "routed",
    ]


def test_what_is_decided_against_a_model_version_is_asked_for_too(registered: Registered) -> None:
    ada, grace, package = registered.ada, registered.grace, registered.package
    model = ada.register("card-fraud", package.sha256)
    failed = ada.add_evidence(model.name, report(package, policy(), auc=Outcome.FAIL)).failed_checks
    overridden = grace.override(
        model.name, failed, reason="A known gap.", expires_at="2100-01-01T00:00:00.000Z"
    )
    assert overridden.override is not None
    assert grace.approve(model.name, reason="For now.").state is State.APPROVED
    assert grace.retire(model.name, reason="It is old.").state is State.RETIRED


def test_the_author_is_refused_in_the_registrys_own_words(registered: Registered) -> None:
    model = registered.ada.register("card-fraud", registered.package.sha256)
    registered.ada.add_evidence(model.name, report(registered.package, policy()))
    with pytest.raises(NotAllowed, match=r"The author of card-fraud@1 cannot approve it"):
        registered.ada.approve(model.name, reason="I like it.")


def test_a_shadow_is_added_and_removed(registered: Registered) -> None:
    ada, grace = registered.ada, registered.grace
    model = ada.register("card-fraud", registered.package.sha256)
    ada.add_evidence(model.name, report(registered.package, policy()))
    grace.approve(model.name, reason="It is better.")
    grace.set_route("card-fraud", [arm(model)], reason="It is better.")
    added = ada.add_shadow("card-fraud", model.name, reason="Against itself.")
    assert [shadow.model for shadow in added.shadows] == [model.name]
    assert ada.remove_shadow("card-fraud", model.name, reason="Enough.").shadows == ()


def test_everything_is_listed_a_page_at_a_time(registered: Registered) -> None:
    model = registered.ada.register("card-fraud", registered.package.sha256)
    registered.ada_sends.sent.clear()
    assert list(registered.ada.model_versions("card-fraud")) == [model]
    assert registered.ada_sends.sent == [
        "GET /v1/registry/card-fraud/models?after=0&limit=100",
        "GET /v1/registry/card-fraud/models?after=1&limit=100",
    ]


@pytest.mark.parametrize("name", ["card-fraud@7", "card-fraud@0", "card-fraud", "../secrets@1"])
def test_a_model_version_that_is_not_there_is_not_found(registered: Registered, name: str) -> None:
    with pytest.raises(NotFound, match=f"There is no model version {name}"):
        registered.ada.model_version(name)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput),
        (403, NotAllowed),
        (404, NotFound),
        (409, NotAllowed),
        (422, InvalidInput),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_a_problem_is_raised_as_the_error_it_tells_of(status: int, kind: type[Exception]) -> None:
    client = RegistryClient(Answering(status, {"detail": "A sentence."}))  # type: ignore[arg-type]
    with pytest.raises(kind, match=r"^A sentence\.$"):
        client.current_route("card-fraud")


def test_the_fields_that_a_problem_names_are_kept() -> None:
    problem = {"detail": "No.", "errors": [{"field": "reason", "reason": "is missing"}]}
    with pytest.raises(InvalidInput) as refusal:
        RegistryClient(Answering(422, problem)).current_route("card-fraud")  # type: ignore[arg-type]
    assert refusal.value.fields == (FieldError("reason", "is missing"),)


@pytest.mark.parametrize("content", ["<html>", {"unexpected": 1}])
def test_an_answer_that_is_no_document_is_unavailable(content: Any) -> None:
    with pytest.raises(Unavailable, match="answered with no Route"):
        RegistryClient(Answering(200, content)).current_route("card-fraud")  # type: ignore[arg-type]


def test_a_refusal_that_is_no_problem_still_says_its_status() -> None:
    with pytest.raises(Unavailable, match="answered with status 502"):
        RegistryClient(Answering(502, "<html>")).current_route("card-fraud")  # type: ignore[arg-type]


def test_a_rollout_is_started_paused_resumed_decided_on_and_aborted(
    registered: Registered, second_package: Package
) -> None:
    registered.artifacts.put(second_package.sha256, second_package.files)
    make_champion(registered.registry, registered.package)
    canary = bring_to_approved(registered.registry, second_package)
    grace = registered.grace
    guards = Guards(alpha=0.02)
    started = grace.start_rollout(
        "card-fraud", canary, steps_bp=(50, 2_500, 10_000), bake_seconds=60, guards=guards, reason="Better."
    )
    assert started.rollout is not None
    assert (started.rollout.guards, started.rollout.steps_bp) == (guards, (50, 2_500, 10_000))
    assert grace.rollout("card-fraud") == started
    assert grace.pause_rollout("card-fraud", reason="Stop.").rollout is not None
    resumed = grace.resume_rollout("card-fraud", reason="Go.")
    look = a_look(Verdict.ADVANCE)
    advanced = grace.decide_rollout("card-fraud", expected=resumed.number, look=look)
    assert [arm.share_bp for arm in advanced.arms] == [7_500, 2_500]
    with pytest.raises(NotAllowed, match="look again"):
        grace.decide_rollout("card-fraud", expected=resumed.number, look=look)
    assert grace.decide_rollout("card-fraud", expected=advanced.number, look=a_look(Verdict.HOLD)) == advanced
    assert grace.abort_rollout("card-fraud", reason="Enough.").rollout is None
    with pytest.raises(NotFound, match="No rollout is running"):
        grace.rollout("card-fraud")
