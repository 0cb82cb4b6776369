"""The doctor's round: every check of a stage in order, each of which says what it saw, or that it could not see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import Protocol

from quicksilver.archive import PREDICTIONS, UNDELIVERED_PREFIX, hour_folder
from quicksilver.doctor import api, records, resources
from quicksilver.doctor.environment import environment_problems, settings_of
from quicksilver.doctor.finding import Examination, Finding, Health, Problem, found
from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import NotFound, QuicksilverError
from quicksilver.monitoring import MONITORING_PREFIX, Kind
from quicksilver.package import GOLDEN, open_package
from quicksilver.ports import ArtifactStore, Clock, RegistryStore, RollupStore, Signer
from quicksilver.registry_audit import audit_end
from quicksilver.stage_state import Resource, ScoringApi, StageReader

HISTORY_ENTRIES = 50
"""How many of the last entries of each registry are verified."""

LIVE = "live"
FAILED_PREFIX = "failed/"

_DAY_MS = 24 * 3_600_000
_SKEW_WARN_MS, _SKEW_FAIL_MS = 30_000, 240_000
"""AWS refuses a signature whose time is five minutes off."""

_NO_ANSWER = "Ask again; if it stays so, ask for the permission to read it, or look whether AWS is well."


class DoctoredStage(Protocol):
    """A stage's stores and APIs. Each is made when it is asked for, and may raise ``QuicksilverError`` then."""

    @property
    def stage(self) -> str: ...
    @property
    def outputs(self) -> Mapping[str, str]: ...
    @property
    def registry_store(self) -> RegistryStore: ...
    @property
    def artifacts(self) -> ArtifactStore: ...
    @property
    def signer(self) -> Signer: ...
    @property
    def rollup(self) -> RollupStore: ...
    @property
    def drift_policies(self) -> Mapping[str, DriftPolicy]: ...


class ArchiveWatch(Protocol):
    def __call__(self, endpoint: str, prediction_id: str) -> tuple[int | None, int]:
        """Wait for a record in the archive; how often it is there, or None, and the seconds waited."""
        ...


Check = tuple[str, Callable[[], Iterable[Finding]]]

_JUDGES: Mapping[str, Callable[[StageReader, Resource], Iterator[Finding]]] = {
    "AWS::DynamoDB::Table": lambda ask, it: resources.table(it, ask.table(it.name)),
    "AWS::DynamoDB::GlobalTable": lambda ask, it: resources.table(it, ask.table(it.name)),
    "AWS::Kinesis::Stream": lambda ask, it: resources.stream(it, ask.stream(it.name)),
    "AWS::S3::Bucket": lambda ask, it: resources.bucket(it, ask.bucket(it.name)),
    "AWS::KMS::Key": lambda ask, it: resources.key(it, ask.key(it.name)),
    "AWS::KinesisFirehose::DeliveryStream": lambda ask, it: resources.delivery(it, ask.delivery(it.name)),
    "AWS::Lambda::EventSourceMapping": lambda ask, it: resources.consumer(it, ask.consumer(it.name)),
    "AWS::SQS::Queue": lambda ask, it: resources.queue(it, ask.messages(it.name)),
    "AWS::Events::Rule": lambda ask, it: resources.rule(it, ask.rule(it.name)),
    "AWS::StepFunctions::StateMachine": lambda ask, it: resources.machine(it, ask.machine(it.name)),
}
"""What is judged of the resources of each kind, in this order."""


class Round:
    """One examination of a stage. It reads, and changes nothing unless a ``probe`` is asked for, which is a decision."""

    def __init__(
        self, deployed: DoctoredStage, reader: StageReader, scoring: Callable[[], ScoringApi], clock: Clock
    ) -> None:
        self._deployed = deployed
        self._reader = reader
        self._scoring = scoring
        self._clock = clock

    def examine(
        self,
        progress: Callable[[str, int, int], None] = lambda *_: None,
        *,
        probe: ArchiveWatch | None = None,
    ) -> Examination:
        """Every check, whatever the others found. Raises ``NotFound`` where nothing of the stage is deployed."""
        stacks = self._reader.stacks()
        if not any(stack.status for stack in stacks):
            raise NotFound(f"The stage {self._deployed.stage} is not deployed here: it has no stack.")
        findings = [finding for stack in stacks for finding in resources.stack(stack)]
        checks = [
            *self._resource_checks(),
            *self._restored_checks(),
            *self._endpoint_checks(probe),
            *self._other_checks(),
        ]
        for number, (subject, check) in enumerate(checks):
            progress("examining", number, len(checks))
            try:
                findings += check()
            except QuicksilverError as error:
                findings.append(_unseen(subject, error))
        progress("examining", len(checks), len(checks))
        return Examination(self._deployed.stage, findings)

    # -- what there is --

    @cached_property
    def _resources(self) -> Sequence[Resource]:
        return self._reader.resources()

    def _of(self, kind: str) -> list[Resource]:
        return [resource for resource in self._resources if resource.kind == kind]

    @cached_property
    def _functions(self) -> Mapping[str, Resource]:
        """By their names without ``quicksilver-<stage>-``; a function of CDK's own is none of them."""
        prefix = f"quicksilver-{self._deployed.stage}-"
        return {
            item.name.removeprefix(prefix): item
            for item in self._of("AWS::Lambda::Function")
            if item.name.startswith(prefix) and "Environment" in item.asked
        }

    @property
    def _endpoints(self) -> list[str]:
        return [name.removeprefix("score-") for name in sorted(self._functions) if name.startswith("score-")]

    # -- the checks --

    def _resource_checks(self) -> Iterator[Check]:
        for service, resource in sorted(self._functions.items()):
            yield f"function {resource.name}", partial(self._function, service, resource)
        for resource in self._of("AWS::Lambda::Alias"):
            name, _, alias = resource.name.partition(":function:")[2].rpartition(":")
            yield (
                f"alias {name}:{alias}",
                partial(self._alias, name, alias),
            )
        for kind, judge in _JUDGES.items():
            for resource in self._of(kind):
                yield resource.name or resource.logical_id, partial(judge, self._reader, resource)

    def _restored_checks(self) -> Iterator[Check]:
        """Tables that a restore has made, and no stack: they are used in the place of those that the data stack has."""
        for resource in self._of("AWS::DynamoDB::Table"):
            used = self._deployed.outputs.get(f"{resource.id}Table", resource.name)
            if used != resource.name:
                yield f"table {used}", partial(self._restored, resource._replace(name=used))

    def _restored(self, resource: Resource) -> Iterator[Finding]:
        return resources.table(resource, self._reader.table(resource.name), " (restored)")

    def _alias(self, function: str, alias: str) -> Iterator[Finding]:
        service = function.removeprefix(f"quicksilver-{self._deployed.stage}-")
        return resources.alias(f"{service}:{alias}", self._reader.alias(function, alias))

    def _function(self, service: str, resource: Resource) -> Iterator[Finding]:
        seen = self._reader.function(resource.name)
        yield from resources.function(service, resource, seen)
        subject = f"environment of {service}"
        if settings_of(service) is None:
            yield Finding(
                "functions",
                subject,
                Health.WARN,
                "This doctor does not know what it needs.",
                "Update this checkout to what is deployed.",
            )
            return
        yield from found(
            "functions", subject, "satisfies its settings", environment_problems(service, seen.environment)
        )

    def _endpoint_checks(self, probe: ArchiveWatch | None) -> Iterator[Check]:
        for endpoint in self._endpoints:
            yield f"registry of {endpoint}", partial(self._registry, endpoint)
        for endpoint in self._endpoints:
            yield f"API of {endpoint}", partial(self._api, endpoint)
            yield f"probe of {endpoint}", partial(self._probe, endpoint, probe)
        for endpoint in self._endpoints:
            yield f"records of {endpoint}", partial(self._records, endpoint)
            yield f"monitoring of {endpoint}", partial(self._monitoring, endpoint)

    def _other_checks(self) -> Iterator[Check]:
        yield "undelivered", self._undelivered
        yield "failed deliveries", self._refused
        yield "alarms", lambda: resources.alarms(self._reader.alarms())
        yield "clock", self._clock_skew

    def _registry(self, endpoint: str) -> Iterator[Finding]:
        stage = self._deployed
        seen = audit_end(
            endpoint,
            HISTORY_ENTRIES,
            registry=stage.registry_store,
            artifacts=stage.artifacts,
            signer=stage.signer,
        )
        problems = [
            Problem(
                f"{sentence.rstrip('.')}.",
                f"quicksilver registry verify --endpoint {endpoint} checks all of it; docs/recovery.md restores it.",
            )
            for sentence in seen.findings
        ]
        if not seen.routes and seen.holds:
            problems.append(
                Problem(
                    "No model version answers: there is no route.",
                    f"quicksilver route set --endpoint {endpoint} makes an approved one champion.",
                    Health.WARN,
                )
            )
        said = f"the last {seen.entries} entries hold, {seen.model_versions} model versions on the route have their bytes"
        yield from found("registry", endpoint, said, problems)

    def _api(self, endpoint: str) -> Iterator[Finding]:
        scoring, path = self._scoring(), _path(endpoint)
        yield from api.refuses_strangers(
            endpoint, unsigned=scoring.unsigned(path), without_key=scoring.without_key(path)
        )
        yield from api.answers(endpoint, *scoring.post(path, {}))

    def _probe(self, endpoint: str, probe: ArchiveWatch | None) -> Iterator[Finding]:
        if probe is None:
            yield Finding(
                "api",
                f"{endpoint} scores",
                Health.SKIPPED,
                "No request was scored: that is a decision, with a record.",
                "Ask for it: quicksilver doctor --probe.",
            )
            return
        route = self._deployed.registry_store.current_route(endpoint)
        if route is None:
            yield Finding(
                "api",
                f"{endpoint} scores",
                Health.SKIPPED,
                "There is no champion to ask.",
                f"quicksilver route set --endpoint {endpoint} makes one.",
            )
            return
        sha256 = route.champion.package_sha256
        package = open_package(lambda name: self._deployed.artifacts.get(sha256, name), sha256, only=[GOLDEN])
        request = api.probe_request(package.contract, package.golden_rows[0].vector)
        status, content = self._scoring().post(_path(endpoint), request)
        yield from api.probed(endpoint, status, content)
        if status == 200:
            times, waited = probe(endpoint, content["prediction_id"])
            yield from api.archived(endpoint, content["prediction_id"], times, waited)

    def _records(self, endpoint: str) -> Iterator[Finding]:
        if "rollup" not in self._functions:
            yield _not_here(f"records of {endpoint}", "counts")
            return
        now_ms, bucket = self._clock.now_ms(), self._deployed.outputs["ArchiveBucket"]
        since_ms = now_ms - records.LOOKED_BACK_MS
        folder = PREDICTIONS.folder(endpoint)
        delivered = self._reader.objects(bucket, folder, after=folder + hour_folder(since_ms))
        archived_ms = max(
            (item.modified_ms for item in delivered if item.modified_ms >= since_ms), default=None
        )
        yield from records.flow(
            endpoint, counted_ms=self._counted_ms(endpoint), archived_ms=archived_ms, now_ms=now_ms
        )

    def _counted_ms(self, endpoint: str) -> int | None:
        """The start of the last period of late in which the rollup has counted a request."""
        now_ms = self._clock.now_ms()
        periods = self._deployed.rollup.periods(
            endpoint, since_ms=now_ms - records.LOOKED_BACK_MS, until_ms=now_ms
        )
        busy = (period for period in periods if any(arm.requests for arm in period.arms.values()))
        return max((period.start_ms for period in busy), default=None)

    def _monitoring(self, endpoint: str) -> Iterator[Finding]:
        if "drift" not in self._functions:
            yield _not_here(f"monitoring of {endpoint}", "judges")
            return
        now_ms, bucket = self._clock.now_ms(), self._deployed.outputs["ArchiveBucket"]
        policy = self._deployed.drift_policies[endpoint]
        yield from records.judged(
            endpoint,
            self._last_window_end_ms(bucket, endpoint, policy, now_ms),
            policy,
            busy=self._counted_ms(endpoint) is not None,
            now_ms=now_ms,
        )
        kept = self._reader.objects(bucket, f"{MONITORING_PREFIX}{Kind.PERFORMANCE}/{endpoint}/")
        yield from records.performance(endpoint, kept)

    def _last_window_end_ms(self, bucket: str, endpoint: str, policy: DriftPolicy, now_ms: int) -> int | None:
        """The end of the last window with a document, of those that start within what is caught up with."""
        folder = f"{MONITORING_PREFIX}{Kind.DRIFT}/{endpoint}/"
        since = f"{now_ms - policy.catch_up_days * _DAY_MS:015d}"
        names = [
            item.key.removeprefix(folder)
            for item in self._reader.objects(bucket, folder, after=folder + since)
        ]
        spans = (name.removesuffix(".json").partition("-") for name in names)
        return max((int(start) + int(length) for start, _, length in spans), default=None)

    def _undelivered(self) -> Iterator[Finding]:
        waiting = self._reader.objects(self._deployed.outputs["ArchiveBucket"], UNDELIVERED_PREFIX)
        return records.undelivered(waiting, self._clock.now_ms())

    def _refused(self) -> Iterator[Finding]:
        """A folder for each kind of error, and in it one for each hour."""
        bucket, since_ms = self._deployed.outputs["ArchiveBucket"], self._clock.now_ms() - _DAY_MS
        folders = self._reader.folders(bucket, FAILED_PREFIX)
        after = hour_folder(since_ms)
        objects = chain.from_iterable(self._reader.objects(bucket, it, after=it + after) for it in folders)
        return records.refused(list(objects))

    def _clock_skew(self) -> Iterator[Finding]:
        skew_ms = self._reader.skew_ms()
        problems = []
        if abs(skew_ms) >= _SKEW_WARN_MS:
            way = "ahead of" if skew_ms > 0 else "behind"
            problems.append(
                Problem(
                    f"Our clock is {abs(skew_ms) // 1_000} s {way} AWS's.",
                    "Set it by NTP: AWS refuses signatures that are five minutes off.",
                    Health.FAIL if abs(skew_ms) >= _SKEW_FAIL_MS else Health.WARN,
                )
            )
        yield from found("clock", "skew", f"{abs(skew_ms) // 1_000} s", problems)


def _path(endpoint: str) -> str:
    return f"/v1/{endpoint}/score"


def _unseen(subject: str, error: QuicksilverError) -> Finding:
    """What cannot be seen is not well: nobody may take silence for health."""
    if isinstance(error, NotFound):
        return Finding(
            "missing",
            subject,
            Health.FAIL,
            str(error),
            "It was deployed and is gone: deploy again, or docs/recovery.md.",
        )
    return Finding("unseen", subject, Health.FAIL, str(error), _NO_ANSWER)


def _not_here(subject: str, does: str) -> Finding:
    """A standby answers and has nothing else."""
    return Finding(
        "records",
        subject,
        Health.SKIPPED,
        f"Nothing {does} here: it is a standby.",
        "Ask in the primary's region.",
    )
