"""A gate run: every gate on one package, and the report that the registry keeps as evidence.

It refuses before it works: a protected attribute among the inputs, a column that is not there, a policy of
another endpoint. What it then measures it reports, whatever the outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quicksilver.errors import FieldError, InvalidData, InvalidPackage, InvalidPolicy
from quicksilver.frame import Encoded, Floats
from quicksilver.gates.bias import bias_checks
from quicksilver.gates.consistency import consistency_checks
from quicksilver.gates.data import EvaluationData
from quicksilver.gates.latency import latency_checks
from quicksilver.gates.performance import Scored, performance_checks
from quicksilver.gates.policy import Policy, refuse_protected_inputs
from quicksilver.gates.report import Check, Gate, GateReport, Outcome
from quicksilver.gates.subject import Subject
from quicksilver.instants import utc_iso
from quicksilver.package import Package
from quicksilver.ports import Clock

Progress = Callable[[str, int, int], None]
"""Called with the present step, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Champion:
    """What a candidate is compared with; ``name`` where it is a registered model version."""

    name: str | None
    package: Package


def run_gates(
    candidate: Package,
    data: EvaluationData,
    policy: Policy,
    champion: Champion | None,
    clock: Clock,
    progress: Progress = lambda _step, _done, _total: None,
) -> GateReport:
    """Run every gate on a package.

    The same package, data, policy and champion give the same checks, but for measured times.

    Raises ``InvalidContract`` where a protected attribute is a model input, ``InvalidPolicy`` for a policy of
    another endpoint, ``InvalidData`` for rows that cannot be judged, ``InvalidPackage`` for a champion of another
    endpoint or scores that are no probabilities, and ``ModelNotLoadable`` for a model LightGBM refuses.
    """
    refuse_protected_inputs(candidate.contract, policy.protected)
    _same_endpoint(candidate, policy, champion)
    protected = (*policy.protected, *(n for n in candidate.contract.protected if n not in policy.protected))
    data.check(candidate.contract, protected)
    target = data.target
    groups = [data.groups(attribute) for attribute in protected]
    seed = int(data.sha256[:16], 16)

    progress("score the rows", 0, 1)
    subject = Subject(candidate)
    frame = data.frame(candidate.contract)
    encoded = data.encode(candidate.contract)
    _none_refused(encoded)
    rival = None if champion is None else Subject(champion.package)
    rivals, remarks = _champion_rows(rival, data)
    if subject.evaluator.feature_names != candidate.contract.names:
        # Nothing that such a model says about these rows means anything.
        return _report(
            candidate, data, policy, champion, clock,
            consistency_checks(subject, rival, frame, encoded.vectors, policy.consistency, seed),
        )  # fmt: skip
    theirs = None if rivals is None else ~rivals.refused
    kept = np.ones(data.rows, dtype=np.bool_) if theirs is None else theirs
    candidate_scores = subject.scores(encoded.vectors)
    champion_scores = None
    if rival is not None and rivals is not None:
        champion_scores = rival.scores(rivals.vectors[kept])
    progress("score the rows", 1, 1)

    progress("resample the metrics", 0, 1)
    scored = Scored(target[kept], candidate_scores[kept], champion_scores)
    checks = [
        *performance_checks(
            scored,
            policy.performance,
            seed=seed,
            step=lambda done, total: progress("resample the metrics", done, total),
        ),
        *remarks,
    ]
    progress("compare groups", 0, 1)
    kept_groups = [type(each)(each.attribute, each.names, np.asarray(each.codes[kept])) for each in groups]
    checks += bias_checks(
        scored,
        kept_groups,
        cutoff=policy.cutoff,
        policy=policy.bias,
        confidence=policy.performance.confidence,
    )
    progress("check consistency", 0, 1)
    checks += consistency_checks(subject, rival, frame, encoded.vectors, policy.consistency, seed)
    progress("measure latency", 0, 1)
    versus: tuple[Subject, Floats] | None = None
    if rival is not None and rivals is not None:
        versus = (rival, rivals.vectors[kept])
    checks += latency_checks((subject, encoded.vectors[kept]), versus, policy.latency)
    progress("measure latency", 1, 1)
    return _report(candidate, data, policy, champion, clock, checks)


def _same_endpoint(candidate: Package, policy: Policy, champion: Champion | None) -> None:
    endpoint = candidate.contract.endpoint
    if policy.endpoint != endpoint:
        raise InvalidPolicy(
            f"The policy is not for {endpoint}.",
            [FieldError("endpoint", f"is {policy.endpoint} in the policy")],
        )
    if champion is not None and champion.package.contract.endpoint != endpoint:
        raise InvalidPackage(
            f"The champion is not for {endpoint}.",
            [FieldError("endpoint", f"is {champion.package.contract.endpoint} in the champion's contract")],
        )


def _none_refused(encoded: Encoded) -> None:
    if count := int(encoded.refused.sum()):
        raise InvalidData(
            "The evaluation data holds rows that serving would refuse, so they say nothing about the model.",
            [FieldError("data", f"{count} rows miss a feature whose policy is reject")],
        )


def _champion_rows(champion: Subject | None, data: EvaluationData) -> tuple[Encoded | None, list[Check]]:
    """The rows through the champion's own contract, and what must be said where that is not all of them."""
    if champion is None:
        return None, []
    try:
        rows = data.encode(champion.contract)
    except InvalidData as error:
        reasons = "; ".join(str(field) for field in error.fields)
        return None, [
            _same_rows(
                Outcome.FAIL,
                f"The champion cannot score the evaluation data, so nothing is compared: {reasons}.",
            )
        ]
    refused = int(rows.refused.sum())
    if not refused:
        return rows, []
    left = data.target[~rows.refused]
    if not len(left) or left.all() or not left.any():
        return None, [
            _same_rows(
                Outcome.FAIL,
                f"The champion refuses {refused:,} rows; one class is left and nothing is compared.",
            )
        ]
    return rows, [
        _same_rows(
            Outcome.WARN,
            f"The champion refuses {refused:,} rows; the models are judged on the other {len(left):,}.",
        )
    ]


def _same_rows(outcome: Outcome, sentence: str) -> Check:
    return Check(gate=Gate.PERFORMANCE, name="same_rows", outcome=outcome, sentence=sentence)


def _report(
    candidate: Package,
    data: EvaluationData,
    policy: Policy,
    champion: Champion | None,
    clock: Clock,
    checks: list[Check],
) -> GateReport:
    return GateReport(
        endpoint=candidate.contract.endpoint,
        package_sha256=candidate.sha256,
        fingerprint=candidate.contract.fingerprint,
        champion=champion.name if champion else None,
        champion_sha256=champion.package.sha256 if champion else None,
        data_sha256=data.sha256,
        rows=data.rows,
        policy_version=policy.version,
        policy_sha256=policy.sha256,
        created_at=utc_iso(clock.now_ms()),
        checks=tuple(checks),
    )
