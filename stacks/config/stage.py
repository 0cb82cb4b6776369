"""One deployment of everything."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, replace
from enum import Enum

from quicksilver.settings import Engine
from stacks.config.domain import Domain
from stacks.config.endpoint import Endpoint
from stacks.config.firewall import Firewall
from stacks.config.recovery import NONE_RESTORED, RestoredTables
from stacks.config.release import Release, Shift
from stacks.config.reserved_concurrency import ReservedConcurrency
from stacks.config.second_region import SecondRegion, Side
from stacks.config.setting import ConfigError, Setting, require
from stacks.config.throttle import Throttle
from stacks.config.training import BuiltInTraining, SageMakerTraining, Training

RUNBOOK = "docs/runbook.md"
LAMBDA_NAME_LIMIT = 64
TRAINING_JOB_NAME_LIMIT = 63
SNAP_START_SINCE = 12

_STAGE_NAME = re.compile(r"[a-z][a-z0-9]{1,15}")
_ADDRESS = re.compile(r"https://[!$-~]+")
_RUNTIME = re.compile(r"python3\.\d+")


class Architecture(Enum):
    ARM64 = "arm64"
    X86_64 = "x86_64"

    @classmethod
    def of_this_machine(cls) -> Architecture:
        return cls.ARM64 if platform.machine() in ("arm64", "aarch64") else cls.X86_64


class LogRetention(Enum):
    """How many days log groups keep their lines; a choice among those CloudWatch offers."""

    ONE_DAY = 1
    TWO_WEEKS = 14
    ONE_MONTH = 30
    ONE_YEAR = 365


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage(Setting):
    """One deployment of everything.

    ``emulated`` says that it runs on an emulator of AWS: nothing there outlives a test, and what the
    emulator does not have (CodeDeploy, percentile alarms) is left out. ``client_throttle`` bounds one
    API key; each endpoint's own throttle bounds the endpoint, ``outcomes_throttle`` the outcomes of one endpoint, which come by the thousand in a request, and
    ``registry_throttle`` the registry API. ``reserved_concurrency`` is what helpers may take of the account's; an emulator reserves none.
    ``artefact_lock_days`` is how long no model package and no evidence can be deleted, ``archive_lock_days`` no object of the
    archive; 0 on an emulator.
    ``training`` is what trains when a new model is asked for.
    ``rollup_period_seconds`` is what counts of arms are kept by. Never change it on a stage that has data: a record that is
    delivered again would be looked for in another period than it was counted in.
    ``log_delay_seconds`` is how long after its decision a prediction record may be counted, before somebody has to know.
    ``runbook`` is where docs/runbook.md is read by whoever is called: its path, or an https address of it.
    ``account_concurrency`` is what Lambda allows the account at once, in this region: AWS gives 1,000 until it is asked for more.
    ``analysis_engine`` is what answers SQL over the archive when windows are judged: DuckDB within the function, until a
    window is more than its disk holds.
    ``client_requests_per_day`` is what one API key may send in a day, where anything bounds it. ``firewall`` is in front of both
    APIs, on AWS. ``scoring_domain`` and ``registry_domain`` are their own names, where they have any.
    ``restored_tables`` are used in the place of the stage's own, after a restore. ``second_region`` is where the stage has a
    standby, and ``side`` which of the two is meant.
    ``from_clean_tree`` lets it be deployed from a commit only, so that what runs can be built again.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    client_throttle: Throttle
    log_retention: LogRetention
    registry_throttle: Throttle = Throttle(rate_per_second=50, burst=100)
    outcomes_throttle: Throttle = Throttle(rate_per_second=20, burst=40)
    client_requests_per_day: int | None = None
    firewall: Firewall | None = None
    scoring_domain: Domain | None = None
    registry_domain: Domain | None = None
    reserved_concurrency: ReservedConcurrency = ReservedConcurrency()
    artefact_lock_days: int = 0
    archive_lock_days: int = 0
    rollup_period_seconds: int = 60
    log_delay_seconds: int = 120
    runbook: str = RUNBOOK
    account_concurrency: int = 1_000
    training: Training = BuiltInTraining()
    analysis_engine: Engine = Engine.DUCKDB
    restored_tables: RestoredTables = NONE_RESTORED
    second_region: SecondRegion | None = None
    side: Side = Side.PRIMARY
    emulated: bool = False
    release: Release = Release(shift=Shift.CANARY, percent=10, minutes=10)
    from_clean_tree: bool = False
    architecture: Architecture = Architecture.ARM64
    runtime: str = "python3.13"

    def __post_init__(self) -> None:
        require(
            _STAGE_NAME.fullmatch(self.name) is not None,
            f"Stage name {self.name!r} must be 2 to 16 lower-case letters and digits, starting with a letter.",
        )
        names = [endpoint.name for endpoint in self.endpoints]
        require(len(set(names)) == len(names), f"Stage {self.name} names an endpoint twice.")
        require(len(names) >= 1, f"Stage {self.name} has no endpoint.")
        require(
            self.emulated or len(names) >= 2,
            f"Stage {self.name} needs at least two endpoints, so that nothing is hard-wired to one.",
        )
        for name in names:
            require(
                len(self.function_name(f"score-{name}")) <= LAMBDA_NAME_LIMIT,
                f"Endpoint {name} makes a function name longer than Lambda's {LAMBDA_NAME_LIMIT} characters in stage {self.name}.",
            )
        require(
            _RUNTIME.fullmatch(self.runtime) is not None,
            f"Stage {self.name} has the runtime {self.runtime!r}, which is no Python.",
        )
        # https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
        require(
            self.emulated or int(self.runtime.removeprefix("python3.")) >= SNAP_START_SINCE,
            f"Stage {self.name} has the runtime {self.runtime}; SnapStart takes Python 3.{SNAP_START_SINCE} and newer.",
        )
        require(
            self.emulated == (self.release.shift is Shift.DIRECT),
            f"Stage {self.name} has the release {self.release.shift.value}; direct is for emulated stages, and only for them.",
        )
        for what, days in (("artefacts", self.artefact_lock_days), ("archive", self.archive_lock_days)):
            require(
                (0 if self.emulated else 1) <= days <= (0 if self.emulated else 36_500),
                f"Stage {self.name} locks its {what} for {days} days; it must be 1 to 36500 on AWS and 0 on an emulator.",
            )
        require(
            1 <= self.rollup_period_seconds <= 3_600 and 3_600 % self.rollup_period_seconds == 0,
            f"Stage {self.name} counts by periods of {self.rollup_period_seconds} s; they must divide an hour.",
        )
        require(
            self.runbook == RUNBOOK or _ADDRESS.fullmatch(self.runbook) is not None,
            f"Stage {self.name} has its runbook at {self.runbook!r}; "
            f"it must be {RUNBOOK} or an https address to which a section's anchor can be added.",
        )
        require(
            10 <= self.log_delay_seconds <= 86_400,
            f"Stage {self.name} lets {self.log_delay_seconds} s pass until a record is counted; it must be 10 to 86400.",
        )
        provisioned = sum(
            endpoint.provisioned_concurrency.ceiling
            for endpoint in self.endpoints
            if endpoint.provisioned_concurrency
        )
        require(
            provisioned < self.account_concurrency,
            f"Stage {self.name} may provision {provisioned} executions of the {self.account_concurrency} "
            "that Lambda allows the account at once; it leaves none for anything else.",
        )
        if isinstance(self.training, SageMakerTraining):
            for name in names:
                require(
                    len(f"{self.training_job_prefix}{name}-000000") <= TRAINING_JOB_NAME_LIMIT,
                    f"Endpoint {name} makes names of training jobs longer than SageMaker's "
                    f"{TRAINING_JOB_NAME_LIMIT} characters in stage {self.name}.",
                )
        require(
            not self.emulated or self.analysis_engine is Engine.DUCKDB,
            f"Stage {self.name} asks Athena, which an emulator does not have.",
        )
        self._check_apis()
        self._check_second_region()
        for endpoint in self.endpoints:
            require(
                not (self.emulated and endpoint.provisioned_concurrency),
                f"Endpoint {endpoint.name} has provisioned concurrency in stage {self.name}, which an emulator does not have.",
            )

    def _check_apis(self) -> None:
        require(
            self.client_requests_per_day is None or self.client_requests_per_day >= 1,
            f"Stage {self.name} lets a key send {self.client_requests_per_day} requests a day; it must be at least 1.",
        )
        require(
            self.emulated == (self.firewall is None),
            f"Stage {self.name} has {'a' if self.firewall else 'no'} firewall; it needs one on AWS, and an emulator has none.",
        )
        if self.firewall is not None:
            for api, throttle, limit in (
                ("scoring", self.client_throttle, self.firewall.scoring_per_minute),
                ("the registry", self.registry_throttle, self.firewall.registry_per_minute),
            ):
                require(
                    limit >= throttle.rate_per_second * 60,
                    f"Stage {self.name} lets {throttle.rate_per_second} requests a second through to {api}, and its firewall "
                    f"{limit} a minute of one address: a caller who keeps to the throttle would be shut out.",
                )
        domains = [domain for domain in (self.scoring_domain, self.registry_domain) if domain]
        require(
            not (self.emulated and domains), f"Stage {self.name} has a domain, which an emulator has not."
        )
        require(
            len({domain.name for domain in domains}) == len(domains),
            f"Stage {self.name} has one domain for two APIs; each needs a name of its own.",
        )
        require(
            len({domain.region for domain in domains}) <= 1,
            f"Stage {self.name} has domains with certificates of two regions, "
            f"{' and '.join(domain.region for domain in domains)}.",
        )
        require(
            self.registry_domain is None or self.registry_domain.truststore is None,
            f"Stage {self.name} asks callers of the registry for certificates; our own functions, which call it, sign and have none.",
        )

    def _check_second_region(self) -> None:
        regions, restored = self.second_region, self.restored_tables
        require(
            regions is None or not self.emulated,
            f"Stage {self.name} has a second region, which an emulator has not.",
        )
        require(
            regions is not None or self.side is Side.PRIMARY,
            f"Stage {self.name} has no second region, so it has no standby.",
        )
        if regions is not None:
            domains = [domain for domain in (self.scoring_domain, self.registry_domain) if domain]
            where = regions.region(self.side)
            require(
                all(domain.region == where for domain in domains),
                f"Stage {self.name} is in {where}, and has a domain whose certificate is in another region.",
            )
            require(
                not self.scoring_domain or regions.standby_certificate_arn is not None,
                f"Stage {self.name} has a scoring domain and a second region, which needs standby_certificate_arn.",
            )
        shared = (restored.features, restored.registry, restored.announcements)
        require(
            regions is None or not any(shared),
            f"Stage {self.name} has a second region: a restored table of its own would be replicated nowhere.",
        )

    def on_side(self, side: object) -> Stage:
        """The stage in its other region; ``side`` is as it is typed. Raises ``ConfigError``.

        The standby's scoring API has the same name, with a certificate of its own region. Its registry API has none: two APIs
        under one name would be two registries.
        """
        if side is None:
            return self
        if side not in [each.value for each in Side]:
            raise ConfigError(f"There is no side {side!r}; a stage has a primary and a standby.")
        if Side(side) is Side.PRIMARY or self.second_region is None:
            return replace(self, side=Side(side))
        scoring, certificate = self.scoring_domain, self.second_region.standby_certificate_arn
        if scoring is not None and certificate is not None:
            scoring = replace(scoring, certificate_arn=certificate)
        return replace(self, side=Side.STANDBY, scoring_domain=scoring, registry_domain=None)

    @property
    def region(self) -> str | None:
        """Where it is deployed; None for a stage of one region, which is deployed wherever its credentials say."""
        return self.second_region.region(self.side) if self.second_region else None

    @property
    def answers(self) -> bool:
        """Whether it scores: a standby can when it can check approvals."""
        return (
            self.second_region is None or self.side is Side.PRIMARY or bool(self.second_region.approvals_key)
        )

    @property
    def decides(self) -> bool:
        """Whether it has a registry, and watches what it answers: a standby does once it has taken over."""
        return self.second_region is None or self.side is Side.PRIMARY or self.second_region.failed_over

    @property
    def layers_target(self) -> str:
        """The folder under ``layers/.build`` that holds this stage's layers."""
        return "local" if self.emulated else self.architecture.value

    def function_name(self, service: str) -> str:
        """The physical name of a function; ``service`` is ``score-<endpoint>``, ``redeliver``, ``registry``, ``rollup``,
        ``shadow`` and so on."""
        return f"quicksilver-{self.name}-{service}"

    @property
    def scoring_api_name(self) -> str:
        """The name of the scoring API, by which its metrics are found."""
        return f"quicksilver-{self.name}"

    @property
    def training_job_prefix(self) -> str:
        """How the names of the stage's training jobs at SageMaker begin; a request's id follows."""
        return f"quicksilver-{self.name}-"

    def registry_role_name(self, region: str) -> str:
        """The physical name of the registry function's role. Roles are the account's, not a region's."""
        return f"{self.function_name('registry')}-{region}"
