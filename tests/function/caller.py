"""A caller of one execution environment that holds it to what every answer owes, whatever has failed."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.execution_environment import ExecutionEnvironment
from bench.runtime_api import Invocation, RuntimeApi
from bench.stocking import artifact_store, feature_store
from quicksilver.aws.system import SystemClock
from quicksilver.package import Package
from quicksilver.ports import FeatureKey, FeatureRow
from quicksilver.registry import Registry
from quicksilver.routing import Route
from tests.approvals import make_champion
from tests.documented_answers import documented
from tests.function.faults import WHISPER
from tests.function.scripted_aws import ScriptedAws

ENTITY, MERCHANT = "entity-9f1c", "merchant-77ab"
AMOUNT, MEAN_AMOUNT = 812.4471, 55.8213
SECRETS = (ENTITY, MERCHANT, str(AMOUNT), str(MEAN_AMOUNT), WHISPER, "Traceback", "Exception in thread")
"""What no line of a log may hold: an entity, a key, values, the message of an error, what quotes one."""

BODY = {
    "entity_id": ENTITY,
    "keys": {"merchant_id": MERCHANT},
    "features": {"amount": AMOUNT, "channel": "online", "cross_border": True},
}
_UNHEARD = re.compile("ReadTimeoutError|ConnectionClosedError")
MARGIN = 4
"""How many times its deadline an answer may take on a busy machine; what hangs, hangs for far longer."""


@dataclass(frozen=True)
class Answered:
    status: int
    content: Any
    seconds: float

    @property
    def degraded(self) -> set[tuple[str, str]]:
        """What was degraded (a feature or a model version), and why."""
        return {(str(d.get("feature") or d.get("model")), d["cause"]) for d in self.content["degraded"]}


@dataclass
class Caller:
    """``given`` holds the prediction id of every decision that was answered."""

    aws: ScriptedAws
    api: RuntimeApi
    function: ExecutionEnvironment
    given: list[str] = field(default_factory=list)
    _seen: int = 0

    def ask(self, body: Any = BODY, *, deadline_ms: int | None = None, batch: bool = False) -> Answered:
        """Ask, and wait until the work after the answer is done."""
        invocation = self.begin(body, deadline_ms=deadline_ms, batch=batch)
        invocation.wait_over(60)
        return self.answered(invocation)

    def ask_until(self, settled: Callable[[Answered], bool], statuses: tuple[int, ...] = (200,)) -> Answered:
        """Ask until an answer is as it should be; every one before it is an answer too."""
        give_up = time.monotonic() + 60
        while True:
            answer = self.ask()
            assert answer.status in statuses, answer
            if answer.status == 200 and settled(answer):
                return answer
            assert time.monotonic() < give_up, answer

    def ask_until_as_usual(self) -> None:
        self.ask_until(lambda answer: answer.degraded == set())

    def begin(self, body: Any = BODY, *, deadline_ms: int | None = None, batch: bool = False) -> Invocation:
        headers = {"X-Deadline-Ms": str(deadline_ms)} if deadline_ms else {}
        text = body if isinstance(body, str) else json.dumps(body)
        path = f"/v1/card-fraud/{'score-batch' if batch else 'score'}"
        event = {"path": path, "headers": headers, "body": text, "requestContext": {"requestId": "r-1"}}
        return self.api.begin(event, timeout=60)

    def answered(self, invocation: Invocation) -> Answered:
        answer = invocation.wait_answered(60)
        assert not invocation.failed, answer
        content = json.loads(documented(answer, json.loads(invocation.event)["path"])["body"])
        if answer["statusCode"] == 200:
            results = content.get("results", [{"prediction": content}])
            self.given += [r["prediction"]["prediction_id"] for r in results if "prediction" in r]
        elif answer["statusCode"] == 503:
            assert answer["headers"]["Retry-After"] == "1"
        seconds = (invocation.answered_ns - invocation.handed_out_ns) / 1e9
        return Answered(answer["statusCode"], content, seconds)

    def counted(self, metric: str) -> int:
        """The sum of a metric since ``start_counting``."""
        lines = self.function.output[self._seen :].splitlines()
        found = [json.loads(line) for line in lines if line.startswith('{"_aws"')]
        return int(sum(sum(line.get(metric, ())) for line in found))

    def start_counting(self) -> None:
        self._seen = len(self.function.output)

    def assert_as_usual(self) -> None:
        """The process is alive, and answers as if nothing had happened."""
        answer = self.ask()
        assert (answer.status, answer.content.get("status")) == (200, "scored"), answer
        assert answer.content["degraded"] == []

    def assert_nothing_lost(self) -> None:
        """Every decision given has its record, on the stream or in the store, and there is no other record.

        There is one of each, but for copies of what went out again because nothing was heard of it: on a busy machine the
        second that a put is given may pass after the stream has taken it.
        """
        recorded, given = Counter(self.aws.recorded), Counter(self.given)
        assert recorded.keys() == given.keys()
        copies = recorded - given
        assert self._unheard() >= max(copies.values(), default=0), copies

    def _unheard(self) -> int:
        """How many puts of records ended without an answer, by the log."""
        lines = self.function.output.splitlines()
        puts = [line for line in lines if "PutRecords failed" in line or "records not kept" in line]
        return sum(_UNHEARD.search(line) is not None for line in puts)

    def assert_nothing_said(self) -> None:
        output = self.function.output
        assert [secret for secret in SECRETS if secret in output] == []


def put_rows(aws: ScriptedAws) -> None:
    """The online features of the caller's entity and merchant, as of now."""
    now_ms = SystemClock().now_ms()
    card = {"txn_count_1h": 3, "amount_mean_7d": MEAN_AMOUNT}
    feature_store(aws).write(
        [
            FeatureRow(FeatureKey("card", ENTITY), now_ms, card),
            FeatureRow(FeatureKey("merchant", MERCHANT), now_ms, {"merchant_risk": 0.07}),
        ]
    )


def put_champion(aws: ScriptedAws, registry: Registry, package: Package) -> Route:
    artifact_store(aws).put(package.sha256, package.files)
    return make_champion(registry, package)
