"""The dashboards of a stage: one for each endpoint, and one for what endpoints share.

They are made last, when everything else of the stage is there: the bill on them counts alarms, keys and the like as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from aws_cdk import Stack, aws_cloudwatch as cloudwatch
from constructs import Construct

from quicksilver.cost.assembly import Assembly, DeployedFunction, Resource
from quicksilver.cost.live import endpoint_bill, live_bill
from quicksilver.cost.live_metrics import LiveStage
from quicksilver.cost.prices import PriceTable, prices_of
from quicksilver.cost.provisioned import floors
from quicksilver.cost.standing import dollars_an_hour
from quicksilver.settings import Engine
from stacks.config import Endpoint, Stage
from stacks.constructs.inventory import inventory
from stacks.constructs.panels.arms import arms
from stacks.constructs.panels.cost import cost
from stacks.constructs.panels.features import features
from stacks.constructs.panels.monitoring import monitoring
from stacks.constructs.panels.objectives import objectives
from stacks.constructs.panels.requests import VERBS, answers, requests
from stacks.constructs.panels.stream import delivery, stream
from stacks.constructs.widgets import Panel, Text, laid_out
from stacks.data_stack import DataStack
from stacks.scoring_stack import ScoringStack

PRICES_OF = "us-east-1"
"""Whose prices the dashboards reckon with, wherever the stage is: a template does not know its region."""

DASHBOARD = "AWS::CloudWatch::Dashboard"


class Dashboards(Construct):
    """``quicksilver-<stage>`` for the stage, and ``quicksilver-<stage>-<endpoint>`` for each endpoint."""

    def __init__(
        self, scope: Construct, id: str, *, stage: Stage, data: DataStack, scoring: ScoringStack
    ) -> None:
        super().__init__(scope, id)
        prices = prices_of(PRICES_OF)
        live = _live_stage(stage, data, scoring, inventory(self.node.root, stage.name), prices)
        names = [endpoint.name for endpoint in stage.endpoints]
        for endpoint in stage.endpoints:
            self._dashboard(
                endpoint.name,
                f"quicksilver-{stage.name}-{endpoint.name}",
                f"# {endpoint.name} in {stage.name}\nWhat all endpoints share is on `quicksilver-{stage.name}`. "
                "What to do when an alarm rings: docs/runbook.md; what a panel means: docs/dashboards.md.",
                [
                    requests(stage, endpoint),
                    objectives(stage, endpoint),
                    answers(endpoint),
                    arms(endpoint),
                    features(endpoint),
                    delivery(endpoint),
                    cost(endpoint_bill(live, endpoint.name, VERBS, prices), [endpoint], prices, whole=False),
                ],
            )
        self._dashboard(
            "Stage",
            f"quicksilver-{stage.name}",
            f"# Quicksilver {stage.name}\nEndpoints, each with a dashboard of its own: {', '.join(names)}. "
            "What to do when an alarm rings: docs/runbook.md; what a panel means: docs/dashboards.md.",
            [
                stream(stage, stream_name=data.predictions.stream_name, delivery_name=scoring.delivery_name),
                monitoring(),
                cost(live_bill(live, prices), stage.endpoints, prices, whole=True),
            ],
        )

    def _dashboard(self, id: str, name: str, heading: str, panels: Sequence[Panel]) -> None:
        stack = Stack.of(self)
        text = Text(heading).widget(stack.region)
        widgets = [{**text, "x": 0, "y": 0, "width": Text(heading).width, "height": 2}]
        widgets += [{**widget, "y": widget["y"] + 2} for widget in laid_out(panels, stack.region)]
        body = {"start": "-PT6H", "periodOverride": "inherit", "widgets": widgets}
        cloudwatch.CfnDashboard(self, id, dashboard_name=name, dashboard_body=stack.to_json_string(body))


def _live_stage(
    stage: Stage, data: DataStack, scoring: ScoringStack, there: Assembly, prices: PriceTable
) -> LiveStage:
    dashboards = [Resource(name, DASHBOARD) for name in ("stage", *(one.name for one in stage.endpoints))]
    groups = [group.properties for group in there.of_type("AWS::Logs::LogGroup")]
    (hours,) = [item.properties["RetentionPeriodHours"] for item in there.of_type("AWS::Kinesis::Stream")]
    return LiveStage(
        stage=stage.name,
        api=stage.scoring_api_name,
        functions=[_of_its_endpoint(function, stage) for function in there.functions],
        held=_held(stage.endpoints),
        tables=[table.table_name for table in data.tables.values()],
        stream=data.predictions.stream_name,
        stream_hours=int(hours),
        delivery=scoring.delivery_name,
        log_groups=[group.log_group_name for group in scoring.decision_logs],
        log_days=max(int(group["RetentionInDays"]) for group in groups),
        logs_masked=any("DataProtectionPolicy" in group for group in groups),
        bucket=data.archive.bucket_name,
        workgroup=data.archive_tables.workgroup.name if stage.analysis_engine is Engine.ATHENA else None,
        waf=bool(there.of_type("AWS::WAFv2::WebACL")),
        standing=dollars_an_hour(Assembly(stage.name, [*there.resources, *dashboards]), prices),
    )


def _of_its_endpoint(function: DeployedFunction, stage: Stage) -> DeployedFunction:
    """The function with the endpoint that it scores, if it scores one."""
    scored = {endpoint.service: endpoint.name for endpoint in stage.endpoints}.get(function.name)
    return replace(function, variables={"QUICKSILVER_ENDPOINT": scored}) if scored else function


def _held(endpoints: Sequence[Endpoint]) -> dict[str, Decimal]:
    """What each endpoint that holds any holds while nothing is asked, by the week's average of its floors."""
    held = {}
    for endpoint in endpoints:
        provisioned = endpoint.provisioned_concurrency
        if provisioned is not None:
            scheduled = [(f"cron({floor.cron})", floor.environments) for floor in provisioned.floors]
            each = floors(provisioned.floor, scheduled)
            held[endpoint.name] = sum((floor * share for floor, share in each), Decimal(0))
    return held
