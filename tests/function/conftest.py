"""One score function in a real Lambda runtime process, and an AWS that fails as a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from bench.execution_environment import ExecutionEnvironment
from bench.runtime_api import RuntimeApi
from bench.stocking import registry_on
from tests.approvals import policy
from tests.function.caller import Caller, put_champion, put_rows
from tests.function.scripted_aws import ScriptedAws

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.registry import Registry

Start = Callable[..., Caller]


@pytest.fixture(scope="session", autouse=True)
def _runtime_client() -> None:
    pytest.importorskip("awslambdaric", reason="awslambdaric has wheels for Linux only")


@pytest.fixture(scope="module")
def aws(package: Package) -> Iterator[ScriptedAws]:
    """An AWS with a champion and the caller's feature rows."""
    aws = ScriptedAws()
    put_champion(aws, registry_on(aws, {"card-fraud": policy()}), package)
    put_rows(aws)
    yield aws
    aws.stop()


@pytest.fixture(scope="module")
def registry(aws: ScriptedAws) -> Registry:
    return registry_on(aws, {"card-fraud": policy()})


@pytest.fixture(scope="module")
def start(aws: ScriptedAws) -> Iterator[Start]:
    """Starts an environment; by default on a platform with the Extensions API, with two seconds for an answer."""
    with ExitStack() as running:

        def start(*, extensions: bool = True, **variables: str) -> Caller:
            api = running.enter_context(RuntimeApi(extensions=extensions))
            environment = {**aws.environment, "QUICKSILVER_DEADLINE_MS": "2000", **variables}
            function = running.enter_context(ExecutionEnvironment(api, environment=environment))
            return Caller(aws, api, function)

        yield start


@pytest.fixture(scope="module")
def environment(start: Start) -> Caller:
    """The environment that a module's tests share."""
    return start()


@pytest.fixture
def caller(environment: Caller) -> Iterator[Caller]:
    """Its caller; what every answer owes is looked at when a test's faults are over."""
    environment.start_counting()
    yield environment
    environment.assert_as_usual()
    environment.assert_nothing_lost()
    environment.assert_nothing_said()
