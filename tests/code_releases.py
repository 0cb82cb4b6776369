"""Function versions in memory, each a whole score function of the bench's endpoint, and a CodeDeploy that remembers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from quicksilver.code_release import CHECK
from quicksilver.code_release.after_traffic import AfterTraffic
from quicksilver.code_release.answering import CheckedFunction
from quicksilver.code_release.before_traffic import BeforeTraffic
from quicksilver.code_release.deployment import Deployment, HookEvent, Releases
from quicksilver.code_release.golden import GoldenRows
from quicksilver.code_release.provisioned import Provisioned, ProvisionedStatus, Warmth
from quicksilver.edge import answer_request
from quicksilver.errors import Unavailable
from quicksilver.evaluator import Evaluation, LightGBMEvaluator
from quicksilver.model_loader import ModelLoader, registered
from quicksilver.serving import Serving

if TYPE_CHECKING:
    from quicksilver.evaluator import Evaluator
    from tests.unit.conftest import Bench

FUNCTION = "quicksilver-test-score-card-fraud"
LIVE, NEW = "41", "42"
DEPLOYMENT = Deployment(FUNCTION, "live", LIVE, NEW)
HOOK = {"DeploymentId": "d-5K2PQ8VWH", "LifecycleEventHookExecutionId": "eyJl"}


def one_ulp(value: float) -> float:
    return math.nextafter(value, math.inf)


@dataclass
class Doctored:
    """A model's evaluator, except that the vectors it is told of are evaluated as ``change`` says."""

    real: LightGBMEvaluator
    vectors: Sequence[Sequence[float]]
    change: Callable[[Evaluation], Evaluation]

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.real.feature_names

    @property
    def is_regression(self) -> bool:
        return self.real.is_regression

    def raw_score(self, vector: Sequence[float]) -> float:
        return self.evaluate(vector).raw_score

    def evaluate(self, vector: Sequence[float]) -> Evaluation:
        evaluation = self.real.evaluate(vector)
        told = any([*map(str, vector)] == [*map(str, other)] for other in self.vectors)
        return self.change(evaluation) if told else evaluation

    def score(self, raw_score: float) -> float:
        return self.real.score(raw_score)


def raw_score_one_ulp_up(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, raw_score=one_ulp(evaluation.raw_score))


def contribution_one_ulp_up(evaluation: Evaluation) -> Evaluation:
    first, *rest = evaluation.contributions
    return replace(evaluation, contributions=(one_ulp(first), *rest))


@dataclass
class MemoryVersions:
    """Function versions by number; what is in ``before`` happens before the next call of a version."""

    bench: Bench
    functions: dict[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)
    before: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    shifts: list[dict[str, float]] = field(default_factory=lambda: [{NEW: 1.0}])
    """How the alias stands at each look, the last for ever."""

    def shares(self, function: str, alias: str) -> Mapping[str, float]:
        assert (function, alias) == (FUNCTION, "live")
        return self.shifts.pop(0) if len(self.shifts) > 1 else self.shifts[0]

    def publish(self, version: str, load: Callable[[bytes], Evaluator] = LightGBMEvaluator) -> Serving:
        """A version of today's code, in an environment of its own."""
        bench = self.bench
        serving = Serving(
            "card-fraud",
            registry=bench.registry_store,
            artifacts=bench.artifacts,
            load=load,
            signer=bench.signer,
            clock=bench.clock,
            metrics=bench.metrics,
            refresh_seconds=5,
            max_age_seconds=10,
        )
        serving.refresh_if_due()
        loader = ModelLoader(bench.artifacts, load, permit=registered(bench.registry_store))
        function = CheckedFunction(bench.scorer_on(serving), loader.model)

        def answer(event: Mapping[str, Any]) -> Any:
            try:
                return function.answer(event[CHECK], function_version=version)
            finally:
                serving.refresh_if_due()

        self.functions[version] = answer
        return serving

    def publish_older(self, version: str) -> None:
        """A version of before there were checks: to it, this is a request without a body."""
        scorer = self.bench.scorer
        self.functions[version] = lambda event: answer_request(event, scorer, function_version=version)

    def ask(self, function: str, version: str, event: Mapping[str, Any]) -> Any:
        assert function == FUNCTION
        for happens in self.before.pop(version, []):
            happens()
        content = json.loads(json.dumps(event))
        self.asked.append((version, content[CHECK]["kind"]))
        if version not in self.functions:
            raise Unavailable(f"Function version {version} cannot be invoked: ResourceNotFoundException.")
        return json.loads(json.dumps(self.functions[version](content)))


@dataclass
class MemoryDeployments:
    """One deployment, and what was reported of it."""

    moves: Deployment | Exception = DEPLOYMENT
    refuses: Exception | None = None
    reported: list[tuple[str, str, bool]] = field(default_factory=list)

    def deployment(self, deployment_id: str) -> Deployment:
        if isinstance(self.moves, Exception):
            raise self.moves
        return self.moves

    def report(self, hook: HookEvent, *, succeeded: bool) -> None:
        if self.refuses:
            raise self.refuses
        self.reported.append((hook.DeploymentId, hook.LifecycleEventHookExecutionId, succeeded))


def saved_event(body: Any, endpoint: str = "card-fraud") -> dict[str, Any]:
    return {
        "path": f"/v1/{endpoint}/score",
        "body": json.dumps(body),
        "requestContext": {"requestId": "saved"},
    }


@dataclass
class MemoryConcurrency:
    """Provisioned concurrency by function version: what it says at each look, the last for ever."""

    looks: dict[str, list[Provisioned]] = field(default_factory=dict)
    put_: list[tuple[str, int]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    after_put: list[Provisioned] = field(default_factory=lambda: [Provisioned(ProvisionedStatus.READY)])

    def of(self, function: str, version: str) -> Provisioned | None:
        looks = self.looks.get(version)
        if not looks:
            return None
        return looks.pop(0) if len(looks) > 1 else looks[0]

    def put(self, function: str, version: str, executions: int) -> None:
        self.put_.append((version, executions))
        self.looks[version] = [*self.after_put]

    def versions(self, function: str) -> Sequence[str]:
        if "list" in self.refuses:
            raise Unavailable("The provisioned concurrency of it cannot be listed: Throttling.")
        return [*self.looks]

    def release(self, function: str, version: str) -> None:
        if version in self.refuses:
            raise Unavailable(f"The provisioned concurrency of {version} cannot be released: Throttling.")
        del self.looks[version]
        self.released.append(version)


def _made_of(bench: Bench, versions: MemoryVersions, concurrency: MemoryConcurrency) -> dict[str, Any]:
    def pause(seconds: float) -> None:
        bench.clock.advance_ms(int(seconds * 1_000))

    return {
        "versions": versions,
        "releases": Releases({"card-fraud": FUNCTION}, "live"),
        "registry": bench.registry_store,
        "golden": GoldenRows(bench.registry_store, bench.artifacts, bench.signer),
        "warmth": Warmth(concurrency, clock=bench.clock, pause=pause),
        "clock": bench.clock,
        "pause": pause,
    }


def before_traffic(
    bench: Bench,
    versions: MemoryVersions,
    events: Mapping[str, Mapping[str, Any]],
    *,
    concurrency: MemoryConcurrency | None = None,
    executions: int = 0,
    changed: Sequence[str] = (),
) -> BeforeTraffic:
    made = _made_of(bench, versions, concurrency or MemoryConcurrency())
    return BeforeTraffic(events=events, executions={"card-fraud": executions}, changed=changed, **made)


def after_traffic(bench: Bench, versions: MemoryVersions, concurrency: MemoryConcurrency) -> AfterTraffic:
    return AfterTraffic(**_made_of(bench, versions, concurrency))
