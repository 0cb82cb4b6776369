"""One scoring use case, and what its function is given."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quicksilver.contract import ENDPOINT_NAME_PATTERN
from quicksilver.settings import AFTER_ANSWER_SECONDS
from stacks.config.concurrency import ProvisionedConcurrency
from stacks.config.objectives import Objectives
from stacks.config.setting import Setting, require
from stacks.config.throttle import Throttle

GATEWAY_TIMEOUT_SECONDS = 29
"""API Gateway gives up after 29 s; a function that may run longer would answer nobody."""

ONE_VCPU_MIB = 1769
"""The memory at which Lambda gives one whole vCPU; scoring is single-threaded and wants exactly one."""

MAX_IDEMPOTENCY_HOURS = 30 * 24
"""An answer is kept to be asked for again, not as a record: that is the archive's."""

_ENDPOINT_NAME = re.compile(ENDPOINT_NAME_PATTERN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint(Setting):
    """One scoring use case: its own function, alias, alarms and route.

    ``deadline_ms`` is when every dependency of a request must have answered, ``batch_deadline_ms`` those of a batch; ``timeout_seconds`` is
    when Lambda kills the function. ``alarm_latency_ms`` is the p99 duration, and ``alarm_errors`` the
    errors in one minute, from which a code canary is rolled back. On AWS an endpoint without ``provisioned_concurrency`` starts its
    environments from a snapshot (SnapStart) when traffic asks for them. With ``log_before_response``, an answer waits until its
    record is on the stream or in the store, and is refused if neither takes it: for an endpoint where no decision
    may exist without its record. With ``idempotency_hours``, an answer is kept for so long under the caller's
    ``Idempotency-Key``; 0 refuses requests with one, for it costs two writes each. ``objectives`` are what its alarms are reckoned from.
    """

    name: str
    throttle: Throttle
    deadline_ms: int = 1_000
    batch_deadline_ms: int = 1_000
    timeout_seconds: int = 16
    memory_mib: int = ONE_VCPU_MIB
    provisioned_concurrency: ProvisionedConcurrency | None = None
    alarm_latency_ms: int = 500
    alarm_errors: int = 1
    log_before_response: bool = False
    idempotency_hours: int = 0
    objectives: Objectives = Objectives()

    def __post_init__(self) -> None:
        require(
            _ENDPOINT_NAME.fullmatch(self.name) is not None,
            f"Endpoint name {self.name!r} must be 2 to 40 lower-case letters, digits and hyphens, starting with a letter.",
        )
        require(
            1 <= self.timeout_seconds < GATEWAY_TIMEOUT_SECONDS,
            f"Endpoint {self.name} has a timeout of {self.timeout_seconds} s; "
            f"it must be at least 1 s and below API Gateway's {GATEWAY_TIMEOUT_SECONDS} s.",
        )
        require(
            10 <= self.deadline_ms < self.timeout_seconds * 1_000,
            f"Endpoint {self.name} has a deadline of {self.deadline_ms} ms; "
            f"it must be at least 10 ms and below its timeout of {self.timeout_seconds} s.",
        )
        require(
            10 <= self.batch_deadline_ms < self.timeout_seconds * 1_000,
            f"Endpoint {self.name} has a deadline of {self.batch_deadline_ms} ms for batches; "
            f"it must be at least 10 ms and below its timeout of {self.timeout_seconds} s.",
        )
        require(
            self.timeout_seconds * 1_000 >= 2 * self._longest_deadline_ms + AFTER_ANSWER_SECONDS * 1_000,
            f"Endpoint {self.name} has a timeout of {self.timeout_seconds} s; twice its longest deadline and the "
            f"{AFTER_ANSWER_SECONDS} s that the work after an answer may take do not fit into it.",
        )
        require(
            128 <= self.memory_mib <= 10_240,
            f"Endpoint {self.name} has {self.memory_mib} MiB; Lambda allows 128 to 10240.",
        )
        require(
            1 <= self.alarm_latency_ms <= self.timeout_seconds * 1_000,
            f"Endpoint {self.name} raises its latency alarm at {self.alarm_latency_ms} ms, "
            f"which no request within its timeout of {self.timeout_seconds} s can reach.",
        )
        require(
            self.alarm_errors >= 1,
            f"Endpoint {self.name} raises its error alarm at {self.alarm_errors} errors; it needs at least 1.",
        )

        require(
            0 <= self.idempotency_hours <= MAX_IDEMPOTENCY_HOURS,
            f"Endpoint {self.name} keeps answers for {self.idempotency_hours} hours; "
            f"it must be 0 (no idempotency keys) to {MAX_IDEMPOTENCY_HOURS}.",
        )
        require(
            self.objectives.latency_ms < self.timeout_seconds * 1_000,
            f"Endpoint {self.name} promises answers within {self.objectives.latency_ms} ms; "
            f"it must be below its timeout of {self.timeout_seconds} s, or no answer could be too slow.",
        )

    @property
    def _longest_deadline_ms(self) -> int:
        return max(self.deadline_ms, self.batch_deadline_ms)

    @property
    def service(self) -> str:
        """The name of the endpoint's score function within its stage, and of the service its metrics are of."""
        return f"score-{self.name}"
