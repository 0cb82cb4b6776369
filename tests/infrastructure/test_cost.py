"""Every stage can be priced, by its own templates, and docs/cost.md says what they cost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal

from typer.testing import CliRunner

from bench.cost_page import PAGE, printed, refreshed
from quicksilver.cli.app import app
from quicksilver.cost.assembly import read_assembly
from quicksilver.cost.bill import bill
from quicksilver.cost.compute import scheduled_runs
from quicksilver.cost.prices import Charge, prices_of
from quicksilver.cost.resource_types import FREE, PRICED, require_known_types
from quicksilver.cost.workload import SECONDS_A_MONTH, workload
from stacks.config import Endpoint
from tests.infrastructure.conftest import Synthesized


def test_no_resource_of_any_stage_is_forgotten(every_stage: Synthesized) -> None:
    require_known_types(read_assembly(every_stage.folder, every_stage.stage.name))


def test_no_type_is_both_priced_and_free() -> None:
    assert PRICED.keys() & FREE.keys() == set()


def test_each_endpoint_is_priced_with_what_its_stage_keeps_warm(aws_stage: Synthesized) -> None:
    stage = aws_stage.stage
    found = read_assembly(aws_stage.folder, stage.name)
    assert found.endpoints == sorted(endpoint.name for endpoint in stage.endpoints)
    priced = bill(found, prices_of("us-east-1"), workload(Decimal(1), found.endpoints))
    idle = {line.charge: line.idle_quantity for line in priced.lines}
    mib = {
        charge: sum(endpoint.memory_mib * number(endpoint) for endpoint in stage.endpoints)
        for charge, number in (
            (Charge.LAMBDA_PROVISIONED_ARM64, held),
            (Charge.LAMBDA_SNAPSHOTS, lambda endpoint: endpoint.provisioned_concurrency is None),
        )
    }
    for charge, total in mib.items():
        assert abs(idle.get(charge, Decimal(0)) - Decimal(total) / 1_024 * SECONDS_A_MONTH) < 1


def held(endpoint: Endpoint) -> Decimal:
    """What an endpoint holds on average: the floors of the stage files are for every day."""
    provisioned = endpoint.provisioned_concurrency
    if provisioned is None:
        return Decimal(0)
    moments = sorted(
        (int(hour) * 60 + int(minute), floor.environments)
        for floor in provisioned.floors
        for minute, hour, *every_day in [floor.cron.split()]
        if every_day == ["?", "*", "*", "*"]
    )
    assert len(moments) == len(provisioned.floors)
    if not moments:
        return Decimal(provisioned.floor)
    ends = [*(minute for minute, _ in moments[1:]), moments[0][0] + 1_440]
    return (
        sum(
            (Decimal(number) * (end - start) for (start, number), end in zip(moments, ends, strict=True)),
            Decimal(0),
        )
        / 1_440
    )


def test_each_schedule_is_priced_with_what_it_runs(aws_stage: Synthesized) -> None:
    found = read_assembly(aws_stage.folder, aws_stage.stage.name)
    scheduled = [
        rule for rule in found.of_type("AWS::Events::Rule") if "ScheduleExpression" in rule.properties
    ]
    assert len(list(scheduled_runs(found))) == len(scheduled) >= 4


def test_the_page_is_what_the_command_prints(synthesized: Callable[[str], Synthesized]) -> None:
    def run(command: str) -> str:
        (stage,) = re.findall(r"--stage (\w+)", command)
        return printed(f"{command} --assembly {synthesized(stage).folder}")

    page = PAGE.read_text()
    assert refreshed(page, run) == page, "make cost writes it anew"
    assert page.count("\nquicksilver cost ") == 2


def test_a_stage_beside_itself_differs_in_nothing(synthesized: Callable[[str], Synthesized]) -> None:
    folder = str(synthesized("prod").folder)
    done = CliRunner().invoke(app, ["cost", "diff", folder, folder, "--json"])
    assert json.loads(done.stdout)["lines"] == []
