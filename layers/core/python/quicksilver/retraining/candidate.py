"""What training has left, gated against the champion, registered with its evidence and put in shadow. It goes no further.

Each step finds what it left: a report that is there is not made again, the registry knows a package it has, and a shadow is
one once. A gate that fails is no failure: the model version is registered with it, as a person's would be, and answers nobody.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from quicksilver.errors import FieldError, InvalidData, InvalidPackage, NotAllowed, NotFound
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import GateReport, Outcome
from quicksilver.gates.run import Champion
from quicksilver.model_version import ModelVersion, State
from quicksilver.package import MODEL, Package, open_package
from quicksilver.package_files import read_package
from quicksilver.ports import ArtifactStore, Clock, RegistryStore
from quicksilver.retraining.ending import Ending, EndingKind
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.workspace import ObjectStore, WorkFile, Workspace
from quicksilver.routing import Arm, Route


class Gate(Protocol):
    """Runs the gates (``gating.gate_candidate``)."""

    def __call__(
        self, candidate: Package, evaluation: bytes, policy: Policy, champion: Champion, clock: Clock
    ) -> GateReport: ...


class Registration(Protocol):
    """The registry's API, as far as retraining may go (``aws.registry_client.RegistryClient``)."""

    def register(self, endpoint: str, package_sha256: str) -> ModelVersion: ...

    def add_evidence(self, name: str, report: GateReport) -> ModelVersion: ...

    def add_shadow(self, endpoint: str, model: str, *, reason: str) -> Route: ...


@dataclass(frozen=True, slots=True)
class Candidates:
    """``stored`` is only read, ``registration`` the one way to change the registry."""

    objects: ObjectStore
    artifacts: ArtifactStore
    stored: RegistryStore
    registration: Registration
    policies: Mapping[str, Policy]
    gate: Gate
    clock: Clock

    def bring(self, request: RetrainRequest) -> Ending:
        """Take what training has left for a request as far as it may go by itself.

        Raises ``NotFound`` where training has left nothing, ``InvalidPackage`` and ``InvalidData`` for what is none,
        ``NotAllowed`` and ``InvalidRoute`` for what the registry refuses, and ``Unavailable``.
        """
        endpoint = request.endpoint
        workspace = Workspace(self.objects, endpoint, request.id)
        if refused := _refused(workspace):
            return Ending(kind=EndingKind.NOT_LEARNABLE, sentence=refused)
        package = _package(workspace)
        champion = self._route(endpoint).champion
        if package.sha256 == champion.package_sha256:
            sentence = f"Training on the latest outcomes has given {champion.model} again, byte for byte."
            return Ending(kind=EndingKind.NOTHING_NEW, sentence=sentence, model=champion.model)
        report = self._report(workspace, package, champion)
        self.artifacts.put(package.sha256, package.files)
        model = self.registration.register(endpoint, package.sha256)
        if model.state in (State.REGISTERED, State.GATED) and model.evidence_sha256 != report.sha256:
            model = self.registration.add_evidence(model.name, report)
        if report.outcome is Outcome.FAIL:
            failed = tuple(
                dict.fromkeys(check.key for check in report.checks if check.outcome is Outcome.FAIL)
            )
            sentence = (
                f"{model.name}, made on the latest outcomes, has failed its gates against {champion.model}."
            )
            return Ending(
                kind=EndingKind.NOT_GOOD_ENOUGH, sentence=sentence, model=model.name, failed_checks=failed
            )
        self._add_shadow(model, reason=f"Retrained on request {request.id}. {request.reason}"[:1_000])
        sentence = f"{model.name}, made on the latest outcomes, has passed its gates against {champion.model} and is in shadow."
        return Ending(kind=EndingKind.SHADOW, sentence=sentence, model=model.name)

    def _report(self, workspace: Workspace, package: Package, champion: Arm) -> GateReport:
        policy = self.policies[workspace.endpoint]
        found = workspace.find(WorkFile.REPORT)
        if found is not None:
            report = GateReport.model_validate_json(found)
            made = (report.package_sha256, report.champion_sha256, report.policy_sha256)
            if made == (package.sha256, champion.package_sha256, policy.sha256):
                return report
        sha256 = champion.package_sha256
        rival = open_package(lambda name: self.artifacts.get(sha256, name), sha256, only=[MODEL])
        evaluation = workspace.get(WorkFile.EVALUATION)
        report = self.gate(package, evaluation, policy, Champion(champion.model, rival), self.clock)
        workspace.put(WorkFile.REPORT, report.canonical_json)
        return report

    def _add_shadow(self, model: ModelVersion, *, reason: str) -> None:
        try:
            self.registration.add_shadow(model.endpoint, model.name, reason=reason)
        except NotAllowed:
            # A retry of ours, or a person who was faster.
            if model.name not in (arm.model for arm in self._route(model.endpoint).arms):
                raise

    def _route(self, endpoint: str) -> Route:
        route = self.stored.current_route(endpoint)
        if route is None:
            raise NotFound(f"The endpoint {endpoint} has no champion any more.")
        return route


def _refused(workspace: Workspace) -> str | None:
    """Why training has made no candidate, in its own words; None where it says nothing of the kind."""
    found = workspace.find(WorkFile.TRAINING)
    try:
        said = json.loads(found or b"{}").get("refused")
    except (ValueError, AttributeError):
        raise InvalidData(
            "What training has left cannot be read.", [FieldError(WorkFile.TRAINING, "is no JSON object")]
        ) from None
    return str(said) if said else None


def _package(workspace: Workspace) -> Package:
    data = workspace.get(WorkFile.PACKAGE)
    with tempfile.TemporaryDirectory(prefix="quicksilver-candidate-") as folder:
        file = Path(folder) / WorkFile.PACKAGE
        file.write_bytes(data)
        package = read_package(file)
    if package.contract.endpoint != workspace.endpoint:
        raise InvalidPackage(
            f"The package is not for {workspace.endpoint}.",
            [FieldError("endpoint", f"is {package.contract.endpoint} in the contract")],
        )
    return package
