"""A route that names a model version which cannot be loaded here: the last good one goes on, and every answer says so."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.stocking import REGISTRY_TABLE, artifact_store, client, registry_on
from quicksilver.package import MODEL
from quicksilver.routing import sole_champion
from tests.approvals import ADA, policy
from tests.function.bad_models import Believed, claiming, repeated, variant, with_model
from tests.function.caller import Caller, put_champion
from tests.function.faults import Fault, hang, nonsense, reset, throttled
from tests.function.scripted_aws import ScriptedAws

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quicksilver.package import Package
    from quicksilver.registry import Registry
    from tests.function.conftest import Start

MEMORY_MIB = 1_769
"""What the smallest of the deployed score functions has."""
HUGE_BYTES = 60_000_000
number = count(1)


@pytest.fixture(scope="module")
def environment(start: Start) -> Caller:
    """It looks at its route after any answer that comes a second after the last look."""
    return start(QUICKSILVER_ROUTE_REFRESH_SECONDS="1")


@pytest.fixture(scope="module")
def credulous(aws: ScriptedAws, package: Package) -> Registry:
    """A registry that looks at no model text."""
    return registry_on(aws, {"card-fraud": policy()}, lambda _: Believed(package.contract.names))


@pytest.fixture
def caller(environment: Caller) -> Iterator[Caller]:
    """Its caller, whose answers may still name a model that was not loaded when a test is over."""
    environment.start_counting()
    yield environment
    environment.assert_nothing_lost()
    environment.assert_nothing_said()


def assert_not_loaded(caller: Caller, model: str) -> None:
    """The last good model answers, and says that this one was not loaded."""
    answer = caller.ask_until(lambda answer: (model, "not_loaded") in answer.degraded)
    assert answer.content["status"] == "scored"
    assert answer.content["model"] != model
    assert caller.counted("RouteRefreshFailed") >= 1
    assert caller.counted("RequestsDegraded") >= 1
    assert peak_mib(caller) < MEMORY_MIB


def assert_taken_up(caller: Caller, model: str) -> None:
    caller.ask_until(lambda answer: answer.content["model"] == model and not answer.degraded)


def peak_mib(caller: Caller) -> int:
    """The most memory the process has ever held."""
    status = Path(f"/proc/{caller.function.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM:"))) // 1024


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("GetObject", throttled),
        ("GetObject", reset),
        ("Verify", nonsense),
        ("Verify", hang),
    ],
)
def test_a_champion_that_cannot_be_fetched_or_verified_now_is_taken_up_when_it_can_be(
    caller: Caller, aws: ScriptedAws, registry: Registry, package: Package, operation: str, fault: Fault
) -> None:
    with aws.failing(operation, fault):
        model = put_champion(aws, registry, variant(package, next(number))).champion.model
        assert_not_loaded(caller, model)
    assert_taken_up(caller, model)


def test_a_champion_with_altered_bytes_is_not_loaded_until_they_are_whole(
    caller: Caller, aws: ScriptedAws, registry: Registry, package: Package
) -> None:
    new = variant(package, next(number))
    model = put_champion(aws, registry, new).champion.model
    text = bytearray(new.model_text)
    text[len(text) // 2] ^= 1
    with aws.altered(new.sha256, MODEL, bytes(text)):
        assert_not_loaded(caller, model)
    assert f"The package is altered: {MODEL}" in caller.function.output
    assert_taken_up(caller, model)


def test_a_route_to_a_model_version_that_nobody_approved_is_not_taken_up(
    caller: Caller, aws: ScriptedAws, registry: Registry, package: Package
) -> None:
    # Given a model version that is registered only, and a route to it that no registry would write
    new = variant(package, next(number))
    artifact_store(aws).put(new.sha256, new.files)
    registered = registry.register("card-fraud", new.sha256, who=ADA)
    route = registry.current_route("card-fraud")
    forged = route.model_copy(update={"number": route.number + 1, "arms": (sole_champion(registered),)})
    item = {
        "pk": {"S": "ENDPOINT#card-fraud"},
        "sk": {"S": "ROUTE"},
        "document": {"S": forged.model_dump_json()},
    }
    client(aws, "dynamodb").put_item(TableName=REGISTRY_TABLE, Item=item)
    assert_not_loaded(caller, registered.name)


BAD_TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda text: text[:0],
    "half a model": lambda text: text[: len(text) // 2],
    "two billion leaves": lambda text: claiming(text, b"num_leaves=2000000000"),
    "a hundred million features": lambda text: claiming(text, b"max_feature_idx=99999999"),
    "two billion bytes of a tree": lambda text: claiming(text, b"tree_sizes=2000000000 1"),
    "60 MB behind its first line": lambda text: text[:5] + b"0" * HUGE_BYTES,
    "60 MB of one tree": lambda text: claiming(text, b"split_feature=" + b"0 " * (HUGE_BYTES // 2)),
}


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_a_model_text_that_is_none_or_claims_too_much_is_refused_in_bounded_memory(
    caller: Caller, aws: ScriptedAws, credulous: Registry, package: Package, bad: str
) -> None:
    new = with_model(package, BAD_TEXTS[bad](package.model_text))
    assert_not_loaded(caller, put_champion(aws, credulous, new).champion.model)


def test_sixty_megabytes_of_valid_trees_are_a_model_like_any_other(
    caller: Caller, aws: ScriptedAws, credulous: Registry, package: Package
) -> None:
    new = with_model(package, repeated(package.model_text, HUGE_BYTES))
    assert_taken_up(caller, put_champion(aws, credulous, new).champion.model)
    assert peak_mib(caller) < MEMORY_MIB
    caller.assert_as_usual()
