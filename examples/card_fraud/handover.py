"""The hand-over of the demo: packed, gated, registered by Ada, approved and made champion by Grace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from examples.card_fraud.contract import ENDPOINT
from examples.card_fraud.train import Trained
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.errors import NotFound, QuicksilverError
from quicksilver.evaluation_file import read_evaluation
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import Gate, GateReport, Outcome
from quicksilver.gates.run import Champion, run_gates
from quicksilver.local import checkout
from quicksilver.model_card import render_html
from quicksilver.package import Package, open_package
from quicksilver.package_files import evaluation_path, write_handover
from quicksilver.routing import sole_champion

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The model version that answers now, and where the demo left what it made on the way."""

    model: str
    folder: Path
    card: Path
    report: GateReport


def hand_over(ada: DeployedStage, grace: DeployedStage, trained: Trained, say: Say) -> HandedOver:
    """Bring a trained model into production the way a team would, and leave its papers under ``build/``."""
    approved = approve(ada, grace, trained, say)
    say("route")
    _make_champion(grace, approved.model)
    return approved


def approve(ada: DeployedStage, grace: DeployedStage, trained: Trained, say: Say) -> HandedOver:
    """Pack, gate, register and approve a trained model, which answers nobody yet. Raises where it fails its gates."""
    package = trained.pack()
    folder = checkout() / "build" / "packages" / package.sha256[:12]
    if not folder.exists():
        evaluation_path(folder).unlink(missing_ok=True)
        write_handover(package, trained.evaluation(), folder)
    say("gates")
    policy = Policy.from_toml((checkout() / "policies" / f"{ENDPOINT}.toml").read_text())
    data = read_evaluation(evaluation_path(folder))
    champion = _champion(ada, package)
    report = run_gates(package, data, policy, champion, SystemClock())
    folder.with_name(f"{folder.name}.gate.json").write_bytes(report.canonical_json)
    if report.outcome is Outcome.FAIL:
        failed = ", ".join(check.sentence for check in report.checks if check.outcome is Outcome.FAIL)
        raise QuicksilverError(f"The model fails its gates: {failed}")
    say("register, approve")
    model = _approved(ada, grace, package, report)
    say("model card")
    card = folder.with_name(f"{folder.name}.card.html")
    rival = champion.package if champion else None
    html = render_html(
        package, data=data, report=report, champion=rival, cutoff=policy.cutoff, title=f"Model card: {model}"
    )
    card.write_text(html, encoding="utf-8")
    return HandedOver(model, folder, card, report)


def gate_line(report: GateReport) -> str:
    """Each gate's worst outcome, in one line."""
    worst = {}
    for gate in Gate:
        outcomes = {check.outcome for check in report.of_gate(gate)}
        worst[gate] = next(
            o for o in (Outcome.FAIL, Outcome.WARN, Outcome.PASS) if o in outcomes or o is Outcome.PASS
        )
    return ", ".join(f"{gate.value} {outcome.value}" for gate, outcome in worst.items())


def _champion(ada: DeployedStage, package: Package) -> Champion | None:
    """What answers now; none before the first hand-over, nor where it is this very package."""
    try:
        arm = ada.registry.current_route(ENDPOINT).champion
    except NotFound:
        return None
    if arm.package_sha256 == package.sha256:
        return None
    sha256 = arm.package_sha256
    champion = open_package(lambda name: ada.artifacts.get(sha256, name), sha256)
    return Champion(arm.model, champion)


def _approved(ada: DeployedStage, grace: DeployedStage, package: Package, report: GateReport) -> str:
    ada.artifacts.put(package.sha256, package.files)
    model = ada.registry.register(ENDPOINT, package.sha256)
    if model.approval is None:
        ada.registry.add_evidence(model.name, report)
        grace.registry.approve(model.name, reason="Every gate passes on the held-out days.")
    return model.name


def _make_champion(grace: DeployedStage, model: str) -> None:
    """Let a model version answer alone, whatever an earlier run has left on the route."""
    try:
        route = grace.registry.current_route(ENDPOINT)
        if route.rollout:
            route = grace.registry.abort_rollout(ENDPOINT, reason="An earlier run left it.")
        if [arm.model for arm in route.arms] == [model]:
            return
    except NotFound:
        pass  # the endpoint's first route
    arm = sole_champion(grace.registry.model_version(model))
    grace.registry.set_route(ENDPOINT, [arm], reason="The demo's model.")
