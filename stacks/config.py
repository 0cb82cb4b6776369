"""What differs from stage to stage, as two frozen values: ``Stage`` and ``Endpoint``.

Everything here is checked when the value is made, so a stack never sees an impossible number: a
mistake is a ``ConfigError`` of one sentence, before any template exists. Nothing is read from AWS or
from the environment, which is why every stage synthesizes offline.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from quicksilver.contract import ENDPOINT_NAME_PATTERN
from quicksilver.settings import AFTER_ANSWER_SECONDS, Engine

GATEWAY_TIMEOUT_SECONDS = 29
"""API Gateway gives up after 29 s; a function that may run longer would answer nobody."""

ONE_VCPU_MIB = 1769
"""The memory at which Lambda gives one whole vCPU; scoring is single-threaded and wants exactly one."""

LAMBDA_NAME_LIMIT = 64
TRAINING_JOB_NAME_LIMIT = 63

MAX_IDEMPOTENCY_HOURS = 30 * 24
"""An answer is kept to be asked for again, not as a record: that is the archive's."""

SEVEN_YEARS_DAYS = 2_557
"""A choice to be made with those who must answer for past decisions: the lock outlasts every stage's logs."""

_STAGE_NAME = re.compile(r"[a-z][a-z0-9]{1,15}")
_ENDPOINT_NAME = re.compile(ENDPOINT_NAME_PATTERN)
_RUNTIME = re.compile(r"python3\.\d+")
_IMAGE = re.compile(
    r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9._/-]+(:[\w.-]+|@sha256:[0-9a-f]{64})"
)


class ConfigError(Exception):
    """The stage cannot be built; the message is one sentence for the person who typed the command."""


class Architecture(Enum):
    ARM64 = "arm64"
    X86_64 = "x86_64"

    @classmethod
    def of_this_machine(cls) -> Architecture:
        return cls.ARM64 if platform.machine() in ("arm64", "aarch64") else cls.X86_64


class Release(Enum):
    """How ``live`` moves to a new function version."""

    DIRECT = "direct"  # by CloudFormation, at once, unguarded: the emulator has no CodeDeploy
    ALL_AT_ONCE = "all_at_once"  # by CodeDeploy, at once
    CANARY = "canary"  # by CodeDeploy, 10 % for five minutes, then the rest


class LogRetention(Enum):
    """How many days log groups keep their lines; a choice among those CloudWatch offers."""

    ONE_DAY = 1
    TWO_WEEKS = 14
    ONE_MONTH = 30
    ONE_YEAR = 365


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ConfigError(sentence)


@dataclass(frozen=True, kw_only=True, slots=True)
class Throttle:
    """Requests per second that are let through, and how many may come at once."""

    rate_per_second: int
    burst: int

    def __post_init__(self) -> None:
        _require(
            self.rate_per_second >= 1,
            f"A throttle of {self.rate_per_second} requests per second lets nothing through.",
        )
        _require(self.burst >= 1, f"A throttle with a burst of {self.burst} lets nothing through.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One scoring use case: its own function, alias, alarms and route.

    ``deadline_ms`` is when every dependency of a request must have answered, ``batch_deadline_ms`` those of a batch; ``timeout_seconds`` is
    when Lambda kills the function. ``alarm_latency_ms`` is the p99 duration, and ``alarm_errors`` the
    errors in one minute, from which a code canary is rolled back. With ``log_before_response``, an answer waits until its
    record is on the stream or in the store, and is refused if neither takes it: for an endpoint where no decision
    may exist without its record. With ``idempotency_hours``, an answer is kept for so long under the caller's
    ``Idempotency-Key``; 0 refuses requests with one, for it costs two writes each.
    """

    name: str
    throttle: Throttle
    deadline_ms: int = 1_000
    batch_deadline_ms: int = 1_000
    timeout_seconds: int = 16
    memory_mib: int = ONE_VCPU_MIB
    provisioned_concurrency: int = 0
    alarm_latency_ms: int = 500
    alarm_errors: int = 1
    log_before_response: bool = False
    idempotency_hours: int = 0

    def __post_init__(self) -> None:
        _require(
            _ENDPOINT_NAME.fullmatch(self.name) is not None,
            f"Endpoint name {self.name!r} must be 2 to 40 lower-case letters, digits and hyphens, starting with a letter.",
        )
        _require(
            1 <= self.timeout_seconds < GATEWAY_TIMEOUT_SECONDS,
            f"Endpoint {self.name} has a timeout of {self.timeout_seconds} s; "
            f"it must be at least 1 s and below API Gateway's {GATEWAY_TIMEOUT_SECONDS} s.",
        )
        _require(
            10 <= self.deadline_ms < self.timeout_seconds * 1_000,
            f"Endpoint {self.name} has a deadline of {self.deadline_ms} ms; "
            f"it must be at least 10 ms and below its timeout of {self.timeout_seconds} s.",
        )
        _require(
            10 <= self.batch_deadline_ms < self.timeout_seconds * 1_000,
            f"Endpoint {self.name} has a deadline of {self.batch_deadline_ms} ms for batches; "
            f"it must be at least 10 ms and below its timeout of {self.timeout_seconds} s.",
        )
        _require(
            self.timeout_seconds * 1_000 >= 2 * self._longest_deadline_ms + AFTER_ANSWER_SECONDS * 1_000,
            f"Endpoint {self.name} has a timeout of {self.timeout_seconds} s; twice its longest deadline and the "
            f"{AFTER_ANSWER_SECONDS} s that the work after an answer may take do not fit into it.",
        )
        _require(
            128 <= self.memory_mib <= 10_240,
            f"Endpoint {self.name} has {self.memory_mib} MiB; Lambda allows 128 to 10240.",
        )
        _require(
            self.provisioned_concurrency >= 0,
            f"Endpoint {self.name} has a provisioned concurrency of {self.provisioned_concurrency}; it cannot be negative.",
        )
        _require(
            1 <= self.alarm_latency_ms <= self.timeout_seconds * 1_000,
            f"Endpoint {self.name} raises its latency alarm at {self.alarm_latency_ms} ms, "
            f"which no request within its timeout of {self.timeout_seconds} s can reach.",
        )
        _require(
            self.alarm_errors >= 1,
            f"Endpoint {self.name} raises its error alarm at {self.alarm_errors} errors; it needs at least 1.",
        )

        _require(
            0 <= self.idempotency_hours <= MAX_IDEMPOTENCY_HOURS,
            f"Endpoint {self.name} keeps answers for {self.idempotency_hours} hours; "
            f"it must be 0 (no idempotency keys) to {MAX_IDEMPOTENCY_HOURS}.",
        )

    @property
    def _longest_deadline_ms(self) -> int:
        return max(self.deadline_ms, self.batch_deadline_ms)

    @property
    def service(self) -> str:
        """The name of the endpoint's score function within its stage, and of the service its metrics are of."""
        return f"score-{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltInTraining:
    """A function trains LightGBM on the exported set, within the 15 minutes and the memory that Lambda gives it."""

    memory_mib: int = 4_096

    def __post_init__(self) -> None:
        _require(
            1_024 <= self.memory_mib <= 10_240,
            f"Training with {self.memory_mib} MiB is not possible; it takes 1024 to 10240.",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SageMakerTraining:
    """A training job of ``image`` (its URI in ECR), which is stopped after ``hours``."""

    image: str
    instance_type: str = "ml.m6i.xlarge"
    volume_gib: int = 50
    hours: int = 6

    def __post_init__(self) -> None:
        _require(
            _IMAGE.fullmatch(self.image) is not None,
            f"{self.image!r} is no image in Amazon ECR, such as "
            "111122223333.dkr.ecr.eu-central-1.amazonaws.com/risk-trainer:7.",
        )
        _require(
            self.instance_type.startswith("ml."),
            f"{self.instance_type!r} is no instance type of SageMaker, such as ml.m6i.xlarge.",
        )
        _require(1 <= self.volume_gib <= 16_384, f"A volume of {self.volume_gib} GiB must be 1 to 16384.")
        _require(1 <= self.hours <= 120, f"A training of {self.hours} hours must be 1 to 120.")


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookTraining:
    """An event asks whoever listens to train; an answer is waited for ``hours``."""

    hours: int = 72

    def __post_init__(self) -> None:
        _require(1 <= self.hours <= 24 * 30, f"A training of {self.hours} hours must be 1 to 720.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One deployment of everything.

    ``emulated`` says that it runs on an emulator of AWS: nothing there outlives a test, and what the
    emulator does not have (CodeDeploy, percentile alarms) is left out. ``client_throttle`` bounds one
    API key; each endpoint's own throttle bounds the endpoint, ``outcomes_throttle`` the outcomes of one endpoint, which come by the thousand in a request, and
    ``registry_throttle`` the registry API.
    ``artefact_lock_days`` is how long no model package and no evidence can be deleted; 0 on an emulator.
    ``training`` is what trains when a new model is asked for.
    ``rollup_period_seconds`` is what counts of arms are kept by. Never change it on a stage that has data: a record that is
    delivered again would be looked for in another period than it was counted in.
    ``analysis_engine`` is what answers SQL over the archive when windows are judged: DuckDB within the function, until a
    window is more than its disk holds.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    client_throttle: Throttle
    log_retention: LogRetention
    registry_throttle: Throttle = Throttle(rate_per_second=50, burst=100)
    outcomes_throttle: Throttle = Throttle(rate_per_second=20, burst=40)
    artefact_lock_days: int = 0
    rollup_period_seconds: int = 60
    training: BuiltInTraining | SageMakerTraining | WebhookTraining = BuiltInTraining()
    analysis_engine: Engine = Engine.DUCKDB
    emulated: bool = False
    release: Release = Release.CANARY
    architecture: Architecture = Architecture.ARM64
    runtime: str = "python3.13"

    def __post_init__(self) -> None:
        _require(
            _STAGE_NAME.fullmatch(self.name) is not None,
            f"Stage name {self.name!r} must be 2 to 16 lower-case letters and digits, starting with a letter.",
        )
        names = [endpoint.name for endpoint in self.endpoints]
        _require(len(set(names)) == len(names), f"Stage {self.name} names an endpoint twice.")
        _require(len(names) >= 1, f"Stage {self.name} has no endpoint.")
        _require(
            self.emulated or len(names) >= 2,
            f"Stage {self.name} needs at least two endpoints, so that nothing is hard-wired to one.",
        )
        for name in names:
            _require(
                len(self.function_name(f"score-{name}")) <= LAMBDA_NAME_LIMIT,
                f"Endpoint {name} makes a function name longer than Lambda's {LAMBDA_NAME_LIMIT} characters in stage {self.name}.",
            )
        _require(
            _RUNTIME.fullmatch(self.runtime) is not None,
            f"Stage {self.name} has the runtime {self.runtime!r}, which is no Python.",
        )
        _require(
            self.emulated == (self.release is Release.DIRECT),
            f"Stage {self.name} has the release {self.release.value}; direct is for emulated stages, and only for them.",
        )
        _require(
            (0 if self.emulated else 1) <= self.artefact_lock_days <= (0 if self.emulated else 36_500),
            f"Stage {self.name} locks its artefacts for {self.artefact_lock_days} days; "
            "it must be 1 to 36500 on AWS and 0 on an emulator.",
        )
        _require(
            1 <= self.rollup_period_seconds <= 3_600 and 3_600 % self.rollup_period_seconds == 0,
            f"Stage {self.name} counts by periods of {self.rollup_period_seconds} s; they must divide an hour.",
        )
        if isinstance(self.training, SageMakerTraining):
            for name in names:
                _require(
                    len(f"{self.training_job_prefix}{name}-000000") <= TRAINING_JOB_NAME_LIMIT,
                    f"Endpoint {name} makes names of training jobs longer than SageMaker's "
                    f"{TRAINING_JOB_NAME_LIMIT} characters in stage {self.name}.",
                )
        _require(
            not self.emulated or self.analysis_engine is Engine.DUCKDB,
            f"Stage {self.name} asks Athena, which an emulator does not have.",
        )
        for endpoint in self.endpoints:
            _require(
                self.emulated == (endpoint.provisioned_concurrency == 0),
                f"Endpoint {endpoint.name} has a provisioned concurrency of {endpoint.provisioned_concurrency} "
                f"in stage {self.name}; it needs at least 1 on AWS and 0 on an emulator.",
            )

    @property
    def layers_target(self) -> str:
        """The folder under ``layers/.build`` that holds this stage's layers."""
        return "local" if self.emulated else self.architecture.value

    def function_name(self, service: str) -> str:
        """The physical name of a function; ``service`` is ``score-<endpoint>``, ``redeliver``, ``registry``, ``rollup``,
        ``shadow`` and so on."""
        return f"quicksilver-{self.name}-{service}"

    @property
    def training_job_prefix(self) -> str:
        """How the names of the stage's training jobs at SageMaker begin; a request's id follows."""
        return f"quicksilver-{self.name}-"

    def registry_role_name(self, region: str) -> str:
        """The physical name of the registry function's role. Roles are the account's, not a region's."""
        return f"{self.function_name('registry')}-{region}"


def _local() -> Stage:
    throttle = Throttle(rate_per_second=10_000, burst=5_000)
    return Stage(
        name="local",
        emulated=True,
        release=Release.DIRECT,
        # The emulator runs functions under the interpreter and on the processor of this machine.
        architecture=Architecture.of_this_machine(),
        runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
        endpoints=(
            Endpoint(name="card-fraud", throttle=throttle, idempotency_hours=24),
            Endpoint(name="credit-line", throttle=throttle),
        ),
        client_throttle=throttle,
        registry_throttle=throttle,
        log_retention=LogRetention.ONE_DAY,
        # A demo runs on compressed time.
        rollup_period_seconds=5,
    )


def _dev() -> Stage:
    throttle = Throttle(rate_per_second=50, burst=100)
    return Stage(
        name="dev",
        release=Release.ALL_AT_ONCE,
        endpoints=(
            Endpoint(name="card-fraud", throttle=throttle, provisioned_concurrency=1),
            Endpoint(name="credit-line", throttle=throttle, provisioned_concurrency=1),
        ),
        client_throttle=throttle,
        log_retention=LogRetention.TWO_WEEKS,
        artefact_lock_days=1,
    )


def _staging() -> Stage:
    return Stage(
        name="staging",
        endpoints=(
            Endpoint(
                name="card-fraud",
                throttle=Throttle(rate_per_second=500, burst=500),
                deadline_ms=200,
                alarm_latency_ms=100,
                provisioned_concurrency=2,
            ),
            Endpoint(
                name="credit-line",
                throttle=Throttle(rate_per_second=100, burst=200),
                provisioned_concurrency=1,
            ),
        ),
        client_throttle=Throttle(rate_per_second=500, burst=500),
        log_retention=LogRetention.ONE_MONTH,
        artefact_lock_days=30,
    )


def _prod() -> Stage:
    return Stage(
        name="prod",
        endpoints=(
            Endpoint(
                name="card-fraud",
                throttle=Throttle(rate_per_second=2_000, burst=2_000),
                deadline_ms=200,
                alarm_latency_ms=100,
                alarm_errors=5,
                provisioned_concurrency=10,
            ),
            Endpoint(
                name="credit-line",
                throttle=Throttle(rate_per_second=200, burst=400),
                provisioned_concurrency=2,
            ),
        ),
        client_throttle=Throttle(rate_per_second=2_000, burst=2_000),
        log_retention=LogRetention.ONE_YEAR,
        # Two thousand requests a second are more in a day than a function's disk holds.
        analysis_engine=Engine.ATHENA,
        artefact_lock_days=SEVEN_YEARS_DAYS,
    )


STAGES: Mapping[str, Callable[[], Stage]] = {"local": _local, "dev": _dev, "staging": _staging, "prod": _prod}


def load_stage(name: object) -> Stage:
    """The stage of that name. Raises ``ConfigError`` for a name that is missing or unknown."""
    if not name:
        raise ConfigError(f"Name a stage: -c stage={'|'.join(STAGES)}.")
    if not isinstance(name, str) or name not in STAGES:
        raise ConfigError(f"There is no stage {name!r}; choose one of {', '.join(STAGES)}.")
    return STAGES[name]()
