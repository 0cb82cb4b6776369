"""The audit of a registry: the history's chain, and that everything it says is still what is stored.

It trusts nothing that it can recompute: hashes, digests, signatures, and the state each model version must
be in by its history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from quicksilver.errors import NotFound, QuicksilverError
from quicksilver.history import Action, Entry, chain_breaks
from quicksilver.model_version import ModelVersion, State
from quicksilver.package import open_package, sha256_hex
from quicksilver.ports import ArtifactStore, EvidenceStore, RegistryStore, Signer
from quicksilver.routing import Role, Route

_PAGE = 100

_STATES = {
    Action.REGISTERED: State.REGISTERED,
    Action.GATED: State.GATED,
    Action.GATE_FAILED: State.REGISTERED,
    Action.OVERRIDDEN: State.GATED,
    Action.APPROVED: State.APPROVED,
    Action.REJECTED: State.REJECTED,
    Action.RETIRED: State.RETIRED,
}


@dataclass
class Audit:
    """What was looked at, and every finding as one sentence; no finding means that all of it holds."""

    endpoint: str
    entries: int = 0
    model_versions: int = 0
    routes: int = 0
    signatures: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.findings


def audit(
    endpoint: str,
    *,
    registry: RegistryStore,
    artifacts: ArtifactStore,
    evidence: EvidenceStore,
    signer: Signer,
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Check one endpoint's registry, whole. Raises ``Unavailable`` only where a store cannot be read at all."""
    result = Audit(endpoint)
    head = registry.head(endpoint)
    progress("history")
    entries = list(_all(lambda after: registry.history(endpoint, after=after, limit=_PAGE)))
    result.entries = len(entries)
    result.findings += chain_breaks(entries, head)

    last = {entry.subject: entry for entry in entries if entry.action in _STATES}
    known: set[str] = set()
    for model in _all(lambda after: registry.model_versions(endpoint, after=after, limit=_PAGE)):
        progress(model.name)
        known.add(model.name)
        result.model_versions += 1
        result.findings += _model_findings(model, last.get(model.name), artifacts, evidence)
        if model.approval:
            result.signatures += 1
            result.findings += _approval_findings(model, entries, signer)
    result.findings += [
        f"{name} is in the history and not in the registry" for name in last if name not in known
    ]
    if result.model_versions != head.models:
        result.findings.append(
            f"the head counts {head.models} model versions; {result.model_versions} are stored"
        )

    progress("routes")
    routes = list(_all(lambda after: registry.routes(endpoint, after=after, limit=_PAGE)))
    result.routes = len(routes)
    result.findings += _route_findings(routes, registry.current_route(endpoint), entries)
    return result


def audit_end(
    endpoint: str,
    last: int,
    *,
    registry: RegistryStore,
    artifacts: ArtifactStore,
    signer: Signer,
) -> Audit:
    """Check where one endpoint's registry stands now, in a bounded number of reads: its ``last`` entries (at most a page),
    its current route, and that each model version on it has its bytes and may be there.

    What is older is ``audit``'s. Raises ``Unavailable`` where a store cannot be read.
    """
    result = Audit(endpoint)
    head = registry.head(endpoint)
    before = max(head.history - min(last, _PAGE - 1), 0)
    page = registry.history(endpoint, after=max(before - 1, 0), limit=_PAGE)
    # Somebody may have gone on since the head was read.
    entries = [entry for entry in page if entry.number <= head.history]
    trusted = entries.pop(0) if before and entries else None
    result.entries = len(entries)
    result.findings += chain_breaks(entries, head, after=trusted)
    if page and not head.history:
        result.findings.append("the registry has a history and no head")

    route = registry.current_route(endpoint)
    if (route.number if route else 0) != head.route:
        result.findings.append(
            f"the current route is {route.number if route else 'none'}, and the registry's head names {head.route}"
        )
    if route is None:
        return result
    result.routes = 1
    for arm in route.arms:
        model = registry.model_version(endpoint, int(arm.model.rpartition("@")[2]))
        if model is None:
            result.findings.append(f"{arm.model} is on the route and not in the registry")
            continue
        result.model_versions += 1
        if model.package_sha256 != arm.package_sha256:
            result.findings.append(f"{arm.model} is on the route with other bytes than it is registered with")
        result.findings += _package_findings(model, artifacts)
        if model.approval:
            result.signatures += 1
            result.findings += _signature_findings(model, signer)
        if arm.role is not Role.SHADOW and (model.approval is None or model.state is not State.APPROVED):
            result.findings.append(f"{arm.model} answers and is {model.state.value}")
    return result


def _all(page: Callable[[int], Sequence[Entry] | Sequence[ModelVersion] | Sequence[Route]]) -> Iterator:  # type: ignore[type-arg]
    after = 0
    while items := page(after):
        yield from items
        after = items[-1].number


def _model_findings(
    model: ModelVersion, last: Entry | None, artifacts: ArtifactStore, evidence: EvidenceStore
) -> Iterator[str]:
    if last is None:
        yield f"{model.name} is in the registry and not in the history"
    elif _STATES[last.action] is not model.state:
        yield f"{model.name} is {model.state.value}, and its history says {_STATES[last.action].value}"
    yield from _package_findings(model, artifacts)
    if model.evidence_sha256:
        try:
            if sha256_hex(evidence.get_evidence(model.evidence_sha256)) != model.evidence_sha256:
                yield f"{model.name}: its evidence is altered"
        except NotFound as error:
            yield f"{model.name}: {error}"


def _package_findings(model: ModelVersion, artifacts: ArtifactStore) -> Iterator[str]:
    try:
        package = open_package(lambda name: artifacts.get(model.package_sha256, name), model.package_sha256)
        if package.contract.fingerprint != model.fingerprint:
            yield f"{model.name} has another fingerprint than its contract"
    except QuicksilverError as error:
        yield f"{model.name}: {error}"


def _approval_findings(model: ModelVersion, entries: Sequence[Entry], signer: Signer) -> Iterator[str]:
    approval = model.approval
    assert approval is not None  # noqa: S101 - asked for only where there is one
    yield from _signature_findings(model, signer)
    if (approval.package_sha256, approval.evidence_sha256) != (model.package_sha256, model.evidence_sha256):
        yield f"{model.name}: its approval is of other bytes or other evidence"
    if approval.approver == model.author:
        yield f"{model.name}: its author approved it"
    entry = next((e for e in entries if e.action is Action.APPROVED and e.subject == model.name), None)
    if entry is None or entry.details.get("signature") != approval.signature:
        yield f"{model.name}: its approval is not the one in the history"


def _signature_findings(model: ModelVersion, signer: Signer) -> Iterator[str]:
    approval = model.approval
    if approval is not None and not signer.verify(approval.digest, approval.signature_bytes):
        yield f"{model.name}: its approval's signature does not verify"


def _route_findings(
    routes: Sequence[Route], current: Route | None, entries: Sequence[Entry]
) -> Iterator[str]:
    told = {e.subject: e.details.get("route") for e in entries if e.action is Action.ROUTED}
    for route in routes:
        if told.get(f"route {route.number}") != route.model_dump(mode="json"):
            yield f"route {route.number} is not what the history says"
    if len(routes) != len(told):
        yield f"the history tells of {len(told)} routes; {len(routes)} are stored"
    if current != (routes[-1] if routes else None):
        yield "the current route is not the last one"
