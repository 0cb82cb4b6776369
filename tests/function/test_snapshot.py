"""A function under SnapStart: nothing that was open at the snapshot is used after it, and its route is today's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.function.bad_models import variant
from tests.function.caller import Caller, put_champion

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.registry import Registry
    from tests.function.conftest import Start
    from tests.function.scripted_aws import ScriptedAws

SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}


def connected_to(caller: Caller) -> set[int]:
    """The ports of this AWS that the function has a connection to."""
    pid = caller.function.pid
    inodes = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        found = re.fullmatch(r"socket:\[(\d+)\]", str(file.readlink()))
        if found:
            inodes.add(found[1])
    ports = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes and fields[3] == "01":  # established
            ports.add(int(fields[2].partition(":")[2], 16))
    return ports & caller.aws.ports


def test_without_snapshots_the_init_phase_leaves_connections_open(start: Start) -> None:
    assert connected_to(start())


def test_a_snapshot_holds_no_open_connection(start: Start) -> None:
    caller = start(**SNAP_START)
    assert connected_to(caller) == set()
    caller.api.restore()
    caller.assert_as_usual()


def test_an_environment_restored_later_answers_by_the_route_of_then(
    start: Start, aws: ScriptedAws, registry: Registry, package: Package
) -> None:
    caller = start(**SNAP_START)
    later = put_champion(aws, registry, variant(package, 7_001))
    caller.api.restore()
    # The very first answer, for the model was loaded while the environment was restored.
    answer = caller.ask()
    assert answer.content["route"] == later.number
    assert answer.degraded == set()


def test_a_registry_that_is_away_at_the_restore_costs_no_answer(start: Start, aws: ScriptedAws) -> None:
    caller = start(**SNAP_START)
    with aws.away("dynamodb"):
        caller.api.restore()
        assert caller.ask().status == 200
    caller.ask_until_as_usual()
