"""SIGTERM in the middle of a failure: what was decided is recorded, and the process ends by itself in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.function.bad_models import variant
from tests.function.caller import Caller, put_champion
from tests.function.faults import hang, held, throttled
from tests.function.scripted_aws import ScriptedAws, ids

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.registry import Registry
    from tests.function.conftest import Start


def assert_ends_well(caller: Caller) -> None:
    assert caller.function.shut_down() == 0
    # A delivery under way when the end comes may go out by both ways: consumers count distinct ids.
    assert set(caller.given) <= set(caller.aws.recorded)
    assert "PredictionsLost" not in caller.function.output
    caller.assert_nothing_said()


def test_while_features_are_read(start: Start, aws: ScriptedAws) -> None:
    caller = start()
    caller.ask()
    before = len(aws.recorded)
    with aws.failing("BatchGetItem", hang):
        under_way = caller.begin()
        aws.wait_for("BatchGetItem")
        assert_ends_well(caller)
    # The request that was under way has no answer, so it has no record.
    assert not under_way.answered.is_set()
    assert len(aws.recorded) == before


def test_while_a_delivery_hangs(start: Start, aws: ScriptedAws) -> None:
    caller = start()
    with aws.failing("PutRecords", hang):
        caller.answered(caller.begin())
        aws.wait_for("PutRecords")
        assert_ends_well(caller)
    assert aws.recorded.count(caller.given[0]) == 1


def test_while_the_store_hangs_behind_a_stream_that_refuses(start: Start, aws: ScriptedAws) -> None:
    caller = start()
    with aws.failing("PutObject", hang), aws.in_turn("PutRecords", throttled, throttled, throttled):
        caller.answered(caller.begin())
        aws.wait_for("PutObject")
        # The stream is back in time.
        assert_ends_well(caller)
    assert caller.given[0] in ids(aws.taken)


def test_while_a_model_is_loaded(
    start: Start, aws: ScriptedAws, registry: Registry, package: Package
) -> None:
    caller = start(QUICKSILVER_ROUTE_REFRESH_SECONDS="1")
    put_champion(aws, registry, variant(package, 1))
    with aws.failing("GetObject", hang):
        # The refresh comes after one of the answers of the next second, and that invocation does not end.
        while True:
            invocation = caller.begin()
            caller.answered(invocation)
            if not invocation.over.wait(0.5):
                break
        aws.wait_for("GetObject")
        assert_ends_well(caller)
    put_champion(aws, registry, package)


def test_while_nothing_takes_a_record_and_a_request_is_under_way(start: Start, aws: ScriptedAws) -> None:
    # Given a record that waits, and a request whose features are on their way
    caller = start()
    with aws.failing("PutObject", throttled), aws.failing("PutRecords", throttled):
        caller.ask()
    with aws.failing("PutRecords", hang), aws.failing("BatchGetItem", held):
        under_way = caller.begin()
        aws.wait_for("BatchGetItem")
        # When the end comes, the record goes to the store
        assert_ends_well(caller)
    # And the request under way got no decision whose record would be lost.
    assert not under_way.answered.is_set()
