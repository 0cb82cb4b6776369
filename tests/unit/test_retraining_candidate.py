"""What training leaves is gated, registered and put in shadow; done again it finds what it left; it goes no further."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.aws.registry_client import RegistryClient
from quicksilver.errors import InvalidData, InvalidPackage, NotAllowed, NotFound, Unavailable
from quicksilver.gates.report import GateReport, Outcome
from quicksilver.history import Action
from quicksilver.memory import ManualClock, MemoryMonitoringStore, MemoryObjectStore
from quicksilver.model_version import State
from quicksilver.package_files import write_package
from quicksilver.registry_api import RegistryApi
from quicksilver.retraining.candidate import Candidates
from quicksilver.retraining.ending import EndingKind
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.trigger import Trigger
from quicksilver.retraining.workspace import WorkFile, Workspace
from quicksilver.routing import Role
from quicksilver.shadow_registry import add_shadow
from tests.approvals import GRACE, policy, report
from tests.in_process import InProcess
from tests.monitoring_documents import ENDPOINT, RegistryOf, drift_policy

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench

MACHINE = "arn:aws:sts::000000000000:assumed-role/candidate/quicksilver"


class Registering:
    """The registry's API as the machine's own identity, of which a call can fail before it does anything or after."""

    def __init__(self, bench: Bench, at: int = 0, *, after: bool = False) -> None:
        self._registry, self._left, self._after = bench.registry, at, after

    def register(self, endpoint: str, package_sha256: str) -> Any:
        return self._called(lambda: self._registry.register(endpoint, package_sha256, who=MACHINE))

    def add_evidence(self, name: str, report: GateReport) -> Any:
        return self._called(lambda: self._registry.add_evidence(name, report, who=MACHINE))

    def add_shadow(self, endpoint: str, model: str, *, reason: str) -> Any:
        return self._called(lambda: add_shadow(self._registry, endpoint, model, reason=reason, who=MACHINE))

    def _called(self, call: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Unavailable("Gone.")
        answer = call()
        if self._left == 0:
            raise Unavailable("Gone.")
        return answer


class Gates:
    """Gates that come to an outcome, and count how often they are run."""

    def __init__(self, outcome: Outcome = Outcome.PASS) -> None:
        self.outcome, self.runs = outcome, 0

    def __call__(self, candidate: Any, evaluation: bytes, by: Any, champion: Any, clock: Any) -> GateReport:
        assert evaluation == b"rows"
        self.runs += 1
        made = report(candidate, by, auc=self.outcome, ece=Outcome.PASS)
        return made.model_copy(update={"champion": champion.name, "champion_sha256": champion.package.sha256})


@pytest.fixture
def objects(second_package: Package, tmp_path: Path) -> MemoryObjectStore:
    """What training leaves."""
    objects = MemoryObjectStore()
    leave(objects, second_package, tmp_path)
    return objects


def leave(objects: MemoryObjectStore, package: Package, folder: Path) -> None:
    file = folder / f"{package.sha256}.tar"
    write_package(package, file)
    workspace(objects).put(WorkFile.PACKAGE, file.read_bytes())
    workspace(objects).put(WorkFile.EVALUATION, b"rows")


def workspace(objects: MemoryObjectStore) -> Workspace:
    return Workspace(objects, ENDPOINT, "card-fraud-000001")


def a_request() -> RetrainRequest:
    registry: Any = RegistryOf()
    trigger = Trigger("test", MemoryMonitoringStore(), registry, {ENDPOINT: drift_policy()}, ManualClock())
    return trigger.request(ENDPOINT, reason="Three windows have an alarm.", who="ada")


def candidates(
    bench: Bench, objects: Any, gates: Gates | None = None, registering: Registering | None = None
) -> Candidates:
    return Candidates(
        objects=objects,
        artifacts=bench.artifacts,
        stored=bench.registry_store,
        registration=registering or Registering(bench),
        policies={ENDPOINT: policy()},
        gate=gates or Gates(),
        clock=bench.clock,
    )


def shadows(bench: Bench) -> list[str]:
    return [arm.model for arm in bench.registry.current_route(ENDPOINT).shadows]


def test_a_candidate_that_passes_is_registered_with_its_evidence_and_scores_in_shadow(
    bench: Bench, objects: MemoryObjectStore, second_package: Package
) -> None:
    before = bench.registry.current_route(ENDPOINT)
    ending = candidates(bench, objects).bring(a_request())
    assert (ending.kind, ending.model) == (EndingKind.SHADOW, "card-fraud@2")
    model = bench.registry.model_version("card-fraud@2")
    assert (model.state, model.author, model.approval) == (State.GATED, MACHINE, None)
    assert model.package_sha256 == second_package.sha256
    kept = GateReport.model_validate_json(workspace(objects).get(WorkFile.REPORT))
    assert bench.registry.evidence("card-fraud@2") == kept
    assert kept.champion == "card-fraud@1"
    route = bench.registry.current_route(ENDPOINT)
    assert [(arm.model, arm.role, arm.share_bp) for arm in route.shadows] == [
        ("card-fraud@2", Role.SHADOW, 0)
    ]
    assert route.answering == before.answering
    assert bench.registry.history(ENDPOINT)[-1].reason.startswith("Retrained on request card-fraud-000001.")


def test_it_calls_three_paths_of_the_registrys_api_and_no_other(
    bench: Bench, objects: MemoryObjectStore
) -> None:
    """Those that its role may call: ``tests/infrastructure/test_retraining.py`` holds the role to the same."""
    caller: Any = InProcess(RegistryApi(bench.registry), MACHINE)
    registering: Any = RegistryClient(caller)
    assert candidates(bench, objects, registering=registering).bring(a_request()).kind is EndingKind.SHADOW
    assert caller.sent == [
        "POST /v1/registry/card-fraud/models",
        "POST /v1/registry/card-fraud/models/2/evidence",
        "POST /v1/registry/card-fraud/shadows",
    ]


def test_one_that_fails_is_registered_with_what_failed_and_is_no_shadow(
    bench: Bench, objects: MemoryObjectStore
) -> None:
    ending = candidates(bench, objects, Gates(Outcome.FAIL)).bring(a_request())
    assert (ending.kind, ending.failed_checks) == (EndingKind.NOT_GOOD_ENOUGH, ("performance.auc",))
    model = bench.registry.model_version("card-fraud@2")
    assert (model.state, model.failed_checks) == (State.REGISTERED, ("performance.auc",))
    assert shadows(bench) == []
    assert workspace(objects).find(WorkFile.REPORT) is not None
    told = ending.told(a_request())
    assert "- performance.auc has failed" in told["text"]
    assert told["subject"] == "[test] card-fraud: a retrained model is not good enough"


def test_a_warning_does_not_stand_in_the_way(bench: Bench, objects: MemoryObjectStore) -> None:
    assert candidates(bench, objects, Gates(Outcome.WARN)).bring(a_request()).kind is EndingKind.SHADOW


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.FAIL])
def test_done_again_it_comes_to_the_same_and_changes_nothing(
    bench: Bench, objects: MemoryObjectStore, outcome: Outcome
) -> None:
    gates = Gates(outcome)
    first = candidates(bench, objects, gates).bring(a_request())
    history = bench.registry.history(ENDPOINT)
    assert candidates(bench, objects, gates).bring(a_request()) == first
    assert bench.registry.history(ENDPOINT) == history
    assert gates.runs == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_stopped_at_any_change_of_the_registry_the_next_attempt_ends_it(
    bench: Bench, objects: MemoryObjectStore, at: int, after: bool
) -> None:
    stopped = candidates(bench, objects, registering=Registering(bench, at, after=after))
    request = a_request()
    with pytest.raises(Unavailable):
        stopped.bring(request)
    assert candidates(bench, objects).bring(request).kind is EndingKind.SHADOW
    assert shadows(bench) == ["card-fraud@2"]
    actions = [entry.action for entry in bench.registry.history(ENDPOINT)]
    assert actions.count(Action.REGISTERED) == 2
    assert actions.count(Action.GATED) == 2


@pytest.mark.parametrize("file", list(WorkFile))
def test_a_store_that_cannot_be_reached_is_unavailable_whatever_is_read(
    bench: Bench, objects: MemoryObjectStore, file: WorkFile
) -> None:
    class Lost(MemoryObjectStore):
        def get(self, key: str) -> bytes | None:
            if key.endswith(file):
                raise Unavailable("Gone.")
            return objects.get(key)

    if file in (WorkFile.SET, WorkFile.FACTS):
        assert candidates(bench, Lost()).bring(a_request()).kind is EndingKind.SHADOW
        return
    lost, request = candidates(bench, Lost()), a_request()
    with pytest.raises(Unavailable):
        lost.bring(request)
    assert bench.registry.model_versions(ENDPOINT, after=1) == []


def test_another_package_than_the_report_is_of_is_gated_anew(
    bench: Bench, objects: MemoryObjectStore, package: Package
) -> None:
    stale = report(package, policy()).model_copy(update={"champion_sha256": package.sha256})
    workspace(objects).put(WorkFile.REPORT, stale.canonical_json)
    gates = Gates()
    assert candidates(bench, objects, gates).bring(a_request()).kind is EndingKind.SHADOW
    assert gates.runs == 1


def test_the_champion_again_is_nothing_new(bench: Bench, package: Package, tmp_path: Path) -> None:
    objects = MemoryObjectStore()
    leave(objects, package, tmp_path)
    history = bench.registry.history(ENDPOINT)
    ending = candidates(bench, objects).bring(a_request())
    assert (ending.kind, ending.model) == (EndingKind.NOTHING_NEW, "card-fraud@1")
    assert bench.registry.history(ENDPOINT) == history


def test_what_training_refuses_is_said_in_its_words(bench: Bench) -> None:
    objects = MemoryObjectStore()
    workspace(objects).put(WorkFile.TRAINING, json.dumps({"refused": "label: has 0 bad outcomes."}).encode())
    ending = candidates(bench, objects).bring(a_request())
    assert (ending.kind, ending.sentence) == (EndingKind.NOT_LEARNABLE, "label: has 0 bad outcomes.")


@pytest.mark.parametrize("said", [b"no JSON", b"[1]"])
def test_a_training_that_says_nothing_readable_is_refused(bench: Bench, said: bytes) -> None:
    objects = MemoryObjectStore()
    workspace(objects).put(WorkFile.TRAINING, said)
    refused, request = candidates(bench, objects), a_request()
    with pytest.raises(InvalidData, match="cannot be read"):
        refused.bring(request)


def test_a_training_that_leaves_nothing_or_no_package_is_refused_by_name(bench: Bench) -> None:
    objects, request = MemoryObjectStore(), a_request()
    empty = candidates(bench, objects)
    with pytest.raises(NotFound, match=r"card-fraud-000001 of card-fraud has no package\.tar"):
        empty.bring(request)
    workspace(objects).put(WorkFile.PACKAGE, b"not a tar at all")
    with pytest.raises(InvalidPackage):
        empty.bring(request)
    assert bench.registry.model_versions(ENDPOINT, after=1) == []


def test_a_shadow_that_the_registry_refuses_is_a_failure_unless_it_is_there(
    bench: Bench, objects: MemoryObjectStore
) -> None:
    class Refusing(Registering):
        def add_shadow(self, endpoint: str, model: str, *, reason: str) -> Any:
            raise NotAllowed("No more shadows.")

    refused, request = candidates(bench, objects, registering=Refusing(bench)), a_request()
    with pytest.raises(NotAllowed, match="No more shadows"):
        refused.bring(request)
    # Somebody else may have been faster.
    add_shadow(bench.registry, ENDPOINT, "card-fraud@2", reason="Look.", who=GRACE)
    assert refused.bring(request).kind is EndingKind.SHADOW


def test_people_are_told_what_to_do_next_and_that_nobody_is_answered(
    bench: Bench, objects: MemoryObjectStore
) -> None:
    told = candidates(bench, objects).bring(a_request()).told(a_request())
    assert told["subject"] == "[test] card-fraud: a retrained model is in shadow"
    for words in (
        "It answers nobody.",
        "quicksilver shadow report --endpoint card-fraud --model card-fraud@2 --stage test",
        "quicksilver model approve card-fraud@2 --stage test",
        "quicksilver rollout start --endpoint card-fraud --model card-fraud@2 --stage test",
    ):
        assert words in told["text"]
    assert told["ending"]["kind"] == "shadow"
