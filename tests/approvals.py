"""What tests need to bring a package through the registry: a policy, and gate reports by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quicksilver.gates.policy import Policy
from quicksilver.gates.report import Check, Gate, GateReport, Outcome
from quicksilver.routing import sole_champion

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.registry import Registry
    from quicksilver.routing import Route

ADA = "arn:aws:iam::000000000000:user/ada"
GRACE = "arn:aws:iam::000000000000:user/grace"


def policy(endpoint: str = "card-fraud") -> Policy:
    return Policy(endpoint=endpoint, version=1, cutoff=0.5, protected=("sex",))


def report(package: Package, by: Policy, **outcomes: Outcome) -> GateReport:
    """A report whose checks have these outcomes; one that passes where none is given."""
    checks = outcomes or {"auc": Outcome.PASS}
    return GateReport(
        endpoint=package.contract.endpoint,
        package_sha256=package.sha256,
        fingerprint=package.contract.fingerprint,
        champion=None,
        champion_sha256=None,
        data_sha256="d" * 64,
        rows=1_000,
        policy_version=by.version,
        policy_sha256=by.sha256,
        created_at="2026-11-23T00:00:00.000Z",
        checks=tuple(
            Check(gate=Gate.PERFORMANCE, name=name, outcome=outcome, sentence=f"{name} is {outcome.value}.")
            for name, outcome in checks.items()
        ),
    )


def bring_to_approved(registry: Registry, package: Package) -> str:
    """Register, gate and approve a package; returns the model version's name."""
    endpoint = package.contract.endpoint
    model = registry.register(endpoint, package.sha256, who=ADA)
    if model.approval is None:
        registry.add_evidence(model.name, report(package, policy(endpoint)), who=ADA)
        registry.approve(model.name, reason="It is better.", who=GRACE)
    return model.name


def set_champion(registry: Registry, name: str, *, reason: str, who: str) -> Route:
    model = registry.model_version(name)
    return registry.set_route(model.endpoint, [sole_champion(model)], reason=reason, who=who)


def make_champion(registry: Registry, package: Package) -> Route:
    return set_champion(registry, bring_to_approved(registry, package), reason="It is better.", who=GRACE)
