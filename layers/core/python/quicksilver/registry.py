"""The registry: what model versions exist, what was decided about each, and which of them answer.

Every change is one transaction that also appends to the endpoint's history. Rules live here and are checked
on the very state that the change is committed against: a rival's change in between is a ``Conflict`` for
the store, and here a reason to look again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from quicksilver.archived_contract import keep_contract
from quicksilver.errors import FieldError, InvalidPackage, NotAllowed, NotFound
from quicksilver.evaluator import Evaluator
from quicksilver.gates.policy import Policy, refuse_protected_inputs
from quicksilver.gates.report import GateReport, Outcome
from quicksilver.history import Action, Entry, Head
from quicksilver.model_version import MODEL_NAME, Approval, ModelVersion, Override, State
from quicksilver.package import check_model, open_package
from quicksilver.ports import ArtifactStore, Clock, ContractStore, EvidenceStore, RegistryStore, Signer
from quicksilver.registry_commit import Committer, Decision, NothingToDo, Rule
from quicksilver.route_draft import RouteDraft, moved_by
from quicksilver.route_rules import RouteRules, check_override
from quicksilver.routing import Arm, Route

Item = TypeVar("Item", ModelVersion, Route, Entry)


class Stores(NamedTuple):
    """Where the registry keeps things."""

    registry: RegistryStore
    artifacts: ArtifactStore
    evidence: EvidenceStore
    contracts: ContractStore


class Registry:
    """Model versions and routes of every endpoint. ``who`` is always the caller's IAM identity."""

    def __init__(
        self,
        stores: Stores,
        *,
        signer: Signer,
        policies: Mapping[str, Policy],
        load: Callable[[bytes], Evaluator],
        clock: Clock,
        pause: Callable[[int], None],
    ) -> None:
        self._registry, self._artifacts, self._evidence, self._contracts = stores
        self._signer = signer
        self._policies = policies
        self._load = load
        self._route_rules = RouteRules(self.model_version, self._artifacts)
        self._committer = Committer(self._registry, clock, pause)

    # -- what is asked --

    def model_version(self, name: str) -> ModelVersion:
        """A model version by its name, ``card-fraud@12``. Raises ``NotFound``."""
        parts = MODEL_NAME.fullmatch(name)
        found = self._registry.model_version(parts[1], int(parts[2])) if parts else None
        if found is None:
            raise NotFound(f"There is no model version {name}.")
        return found

    def model_versions(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[ModelVersion]:
        """A page of the model versions. Raises ``NotFound`` where there is none because there is no such endpoint."""
        return self._page(endpoint, after, self._registry.model_versions(endpoint, after=after, limit=limit))

    def current_route(self, endpoint: str) -> Route:
        """The endpoint's route now. Raises ``NotFound`` before the first one, and where there is no such endpoint."""
        route = self._registry.current_route(endpoint)
        if route is None:
            self.policy(endpoint)
            raise NotFound(f"The endpoint {endpoint} has no route yet: make a model version its champion.")
        return route

    def routes(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[Route]:
        """A page of the routes. Raises ``NotFound`` where there is none because there is no such endpoint."""
        return self._page(endpoint, after, self._registry.routes(endpoint, after=after, limit=limit))

    def route_at(self, endpoint: str, time: str) -> Route:
        """The route by which the endpoint answered at a moment. Raises ``NotFound`` before the first one."""
        route = self._registry.route_at(endpoint, time)
        if route is None:
            raise NotFound(f"The endpoint {endpoint} had no route at {time}.")
        return route

    def history(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[Entry]:
        """A page of the history. Raises ``NotFound`` where there is none because there is no such endpoint."""
        return self._page(endpoint, after, self._registry.history(endpoint, after=after, limit=limit))

    def evidence(self, name: str) -> GateReport:
        """The gate report that is a model version's evidence. Raises ``NotFound`` where it has none."""
        sha256 = self.model_version(name).evidence_sha256
        if sha256 is None:
            raise NotFound(f"{name} has no evidence yet: run its gates.")
        return GateReport.model_validate_json(self._evidence.get_evidence(sha256))

    def policy(self, endpoint: str) -> Policy:
        """The gate policy in force for an endpoint. Raises ``NotFound``."""
        try:
            return self._policies[endpoint]
        except KeyError:
            raise NotFound(f"There is no endpoint {endpoint}.") from None

    def _page(self, endpoint: str, after: int, page: Sequence[Item]) -> Sequence[Item]:
        if not page and not after:
            self.policy(endpoint)  # nothing has happened to it yet, or there is no such endpoint
        return page

    # -- what is decided --

    def register(self, endpoint: str, package_sha256: str, *, who: str) -> ModelVersion:
        """Give the package of that digest the endpoint's next number; the same bytes keep the one they have.

        Every byte is read back and verified, and the golden rows are scored, before there is a number.
        Raises ``NotFound`` or ``InvalidPackage`` naming what is wrong, and ``InvalidContract`` for a
        protected attribute among the inputs.
        """
        policy = self.policy(endpoint)
        known = self._registry.model_version_of_package(endpoint, package_sha256)
        if known is not None:
            return known
        package = open_package(lambda name: self._artifacts.get(package_sha256, name), package_sha256)
        if package.contract.endpoint != endpoint:
            raise InvalidPackage(
                f"The package is not for {endpoint}.",
                [FieldError("endpoint", f"is {package.contract.endpoint} in the contract")],
            )
        refuse_protected_inputs(package.contract, policy.protected)
        check_model(package, self._load(package.model_text))
        # Before there is a number: whoever reads its vectors in SQL finds what they mean.
        keep_contract(self._contracts, package.contract, package_sha256)

        def decide(head: Head, now: str) -> Decision:
            rival = self._registry.model_version_of_package(endpoint, package_sha256)
            if rival is not None:
                raise NothingToDo(rival)
            model = ModelVersion(
                endpoint=endpoint,
                number=head.models + 1,
                package_sha256=package_sha256,
                fingerprint=package.contract.fingerprint,
                author=who,
                registered_at=now,
            )
            details = {"package_sha256": package_sha256, "fingerprint": model.fingerprint}
            return Decision(Action.REGISTERED, model.name, details=details, model_version=model, is_new=True)

        return self._decide(endpoint, decide, who=who)

    def add_evidence(self, name: str, report: GateReport, *, who: str) -> ModelVersion:
        """Keep a gate report as a model version's evidence: gated where nothing failed, and in the history anyway.

        Raises ``InvalidPackage`` for a report on other bytes or by another policy than the endpoint's.
        """
        endpoint = self.model_version(name).endpoint
        policy = self.policy(endpoint)
        if (report.policy_version, report.policy_sha256) != (policy.version, policy.sha256):
            raise InvalidPackage(
                "The gate report is by another policy than the endpoint's.",
                [
                    FieldError(
                        "policy_sha256", f"is not that of version {policy.version} of the policy in force"
                    )
                ],
            )
        self._evidence.put_evidence(report.sha256, report.canonical_json)
        failures = [check.key for check in report.checks if check.outcome is Outcome.FAIL]
        failed = tuple(dict.fromkeys(failures))

        def decide(_: Head, __: str) -> Decision:
            model = self._in_state(name, State.REGISTERED, State.GATED, verb="gated")
            if (report.endpoint, report.package_sha256) != (model.endpoint, model.package_sha256):
                raise InvalidPackage(
                    "The gate report is on another package.",
                    [FieldError("package_sha256", f"is not that of {name}")],
                )
            changed = model.model_copy(
                update={
                    "state": State.REGISTERED if failed else State.GATED,
                    "evidence_sha256": report.sha256,
                    "failed_checks": failed,
                    "override": None,
                }
            )
            return Decision(
                Action.GATE_FAILED if failed else Action.GATED,
                name,
                details={"evidence_sha256": report.sha256, "failed_checks": list(failed)},
                model_version=changed,
            )

        return self._decide(endpoint, decide, who=who)

    def override(
        self, name: str, checks: Sequence[str], *, reason: str, expires_at: str, who: str
    ) -> ModelVersion:
        """Let failed checks not stand in the way, until a moment. The author can't override.

        Every failed check must be named: an override of "whatever failed" is none.
        """

        def decide(_: Head, now: str) -> Decision:
            model = self._in_state(name, State.REGISTERED, verb="overridden")
            self._not_the_author(model, who, verb="override")
            if expires_at <= now:
                raise NotAllowed(
                    "An override must expire in the future.", [FieldError("expires_at", "has passed")]
                )
            if not model.failed_checks:
                raise NotAllowed(f"{name} has no failed check to override.")
            if missing := [check for check in model.failed_checks if check not in checks]:
                raise NotAllowed(
                    "An override must name every failed check.",
                    [FieldError(check, "has failed and is not named") for check in missing],
                )
            override = Override(
                checks=model.failed_checks, reason=reason, approver=who, at=now, expires_at=expires_at
            )
            changed = model.model_copy(update={"state": State.GATED, "override": override})
            details = {"checks": list(override.checks), "expires_at": expires_at}
            return Decision(Action.OVERRIDDEN, name, reason, details, changed)

        return self._decide(self.model_version(name).endpoint, decide, who=who)

    def approve(self, name: str, *, reason: str, who: str) -> ModelVersion:
        """Sign that a gated model version may answer. The author can't approve, and nobody twice."""

        def decide(_: Head, now: str) -> Decision:
            model = self._in_state(name, State.GATED, verb="approved")
            self._not_the_author(model, who, verb="approve")
            check_override(model, now)
            approval = Approval(
                endpoint=model.endpoint,
                number=model.number,
                package_sha256=model.package_sha256,
                evidence_sha256=model.evidence_sha256 or "",
                approver=who,
                reason=reason,
                at=now,
            )
            approval = approval.signed(self._signer.sign(approval.digest))
            changed = model.model_copy(update={"state": State.APPROVED, "approval": approval})
            details = {"evidence_sha256": approval.evidence_sha256, "signature": approval.signature}
            return Decision(Action.APPROVED, name, reason, details, changed)

        return self._decide(self.model_version(name).endpoint, decide, who=who)

    def reject(self, name: str, *, reason: str, who: str) -> ModelVersion:
        """Decide that a model version must never answer; a shadow on the current route can't be rejected."""

        def decide(_: Head, __: str) -> Decision:
            model = self._in_state(name, State.REGISTERED, State.GATED, verb="rejected")
            self._not_on_the_route(model)
            changed = model.model_copy(update={"state": State.REJECTED})
            return Decision(Action.REJECTED, name, reason, None, changed)

        return self._decide(self.model_version(name).endpoint, decide, who=who)

    def retire(self, name: str, *, reason: str, who: str) -> ModelVersion:
        """Decide that a model version must not answer any more; one on the current route can't be retired."""

        def decide(_: Head, __: str) -> Decision:
            model = self._in_state(name, State.APPROVED, verb="retired")
            self._not_on_the_route(model)
            changed = model.model_copy(update={"state": State.RETIRED})
            return Decision(Action.RETIRED, name, reason, None, changed)

        return self._decide(self.model_version(name).endpoint, decide, who=who)

    def set_route(
        self,
        endpoint: str,
        arms: Sequence[Arm],
        *,
        reason: str,
        who: str,
        expected: int | None = None,
        holdout_bp: int | None = None,
    ) -> Route:
        """Make these arms the endpoint's route, under the next number.

        ``expected`` is the number of the route the caller has seen: another one now is not allowed.
        Without a ``holdout_bp`` the holdout stays as it is. Raises ``InvalidRoute`` naming the reasons (``route_rules``),
        and ``NotAllowed`` while a rollout or an experiment moves the route.
        """

        def draft(current: Route | None, _: int, __: str) -> RouteDraft:
            if current and (moving := moved_by(current)):
                raise NotAllowed(f"{moving} moves the route of {endpoint}; end it first.")
            held_out = current.holdout_bp if current and holdout_bp is None else holdout_bp or 0
            return RouteDraft(tuple(arms), holdout_bp=held_out)

        return self.change_route(endpoint, draft, reason=reason, who=who, expected=expected)

    def change_route(
        self,
        endpoint: str,
        draft: Callable[[Route | None, int, str], RouteDraft],
        *,
        reason: str,
        who: str,
        expected: int | None = None,
    ) -> Route:
        """Make the route that ``draft`` makes of the current one, the number it will have and the moment.

        ``draft`` decides on the very route that it replaces, and is asked again where a rival was faster.
        Raises what it raises, ``InvalidRoute``, and ``NotAllowed`` where the route is not the ``expected`` one.
        """

        def decide(head: Head, now: str) -> Decision:
            if expected is not None and head.route != expected:
                raise NotAllowed(f"The route of {endpoint} is {head.route} now, not {expected}; look again.")
            current = self._registry.current_route(endpoint)
            number = head.route + 1
            drafted = draft(current, number, now)
            route = drafted.route(endpoint, number, author=who, created_at=now)
            self._route_rules.check(route, current, now)
            facts = {"route": route.model_dump(mode="json"), **drafted.details}
            return Decision(Action.ROUTED, f"route {route.number}", reason, facts, route=route)

        route = self._committer.commit(endpoint, decide, who=who).route
        assert route is not None  # noqa: S101 - this rule decides on a route
        return route

    def note(self, endpoint: str, rule: Rule, *, who: str) -> None:
        """Append to the endpoint's history what a rule decides on, changing nothing else. Raises what it raises."""
        self._committer.commit(endpoint, rule, who=who)

    # -- rules --

    def _in_state(self, name: str, *states: State, verb: str) -> ModelVersion:
        model = self.model_version(name)
        if model.state not in states:
            raise NotAllowed(f"{name} is {model.state.value} and cannot be {verb}.")
        return model

    def _not_the_author(self, model: ModelVersion, who: str, *, verb: str) -> None:
        if who == model.author:
            raise NotAllowed(f"The author of {model.name} cannot {verb} it; somebody else must.")

    def _not_on_the_route(self, model: ModelVersion) -> None:
        route = self._registry.current_route(model.endpoint)
        if route and any(arm.model == model.name for arm in route.arms):
            raise NotAllowed(f"{model.name} is on the current route of {model.endpoint}; take it off first.")

    def _decide(self, endpoint: str, rule: Rule, *, who: str) -> ModelVersion:
        """Make the change of a rule that decides on a model version."""
        try:
            decided = self._committer.commit(endpoint, rule, who=who).model_version
        except NothingToDo as done:
            return done.model_version
        assert decided is not None  # noqa: S101 - these rules decide on a model version
        return decided
