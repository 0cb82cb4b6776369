"""Dashboards show metrics that exist, in widgets that CloudWatch takes, and the bill that the command reckons."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from quicksilver.cost.assembly import read_assembly
from quicksilver.cost.bill import Bill, bill
from quicksilver.cost.live import NOT_MEASURED, STANDING
from quicksilver.cost.prices import Charge, prices_of
from quicksilver.cost.standing import COUNTED
from quicksilver.cost.workload import workload
from quicksilver.metrics import ARM_METRICS, NAMESPACE, Metric
from tests.infrastructure.conftest import Synthesized
from tests.metric_math import MetricMath, names

LONGEST_EXPRESSION = 2_048
MOST_SERIES = 500
LARGEST_BODY = 1_000_000

# What AWS documents of each service: its metrics, and the dimensions that they have together.
LAMBDA = {("FunctionName",)}
HELD = {("FunctionName",), ("FunctionName", "Resource")}
METHOD = {("ApiName", "Stage"), ("ApiName", "Method", "Resource", "Stage")}
AWS_METRICS: Mapping[str, Mapping[str, set[tuple[str, ...]]]] = {
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    "AWS/ApiGateway": dict.fromkeys(("Count", "4XXError", "5XXError", "Latency"), METHOD),
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html and monitoring-concurrency.html
    "AWS/Lambda": {
        **dict.fromkeys(
            ("Invocations", "Duration", "Errors", "Throttles", "ConcurrentExecutions", "IteratorAge"), LAMBDA
        ),
        **dict.fromkeys(
            (
                "ProvisionedConcurrencyInvocations",
                "ProvisionedConcurrencySpilloverInvocations",
                "ProvisionedConcurrentExecutions",
                "ProvisionedConcurrencyUtilization",
            ),
            HELD,
        ),
    },
    # https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html
    "AWS/Kinesis": {
        key: {("StreamName",)}
        for key in (
            "IncomingBytes",
            "IncomingRecords",
            "GetRecords.Records",
            "GetRecords.IteratorAgeMilliseconds",
            "WriteProvisionedThroughputExceeded",
        )
    },
    # https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html
    "AWS/Firehose": {
        key: {("DeliveryStreamName",)}
        for key in (
            "DataReadFromKinesisStream.Bytes",
            "DataReadFromKinesisStream.Records",
            "DeliveryToS3.DataFreshness",
            "DeliveryToS3.ObjectCount",
            "JQProcessing.Duration",
        )
    },
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    "AWS/DynamoDB": {
        key: {("TableName",)} for key in ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
    },
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    "AWS/Logs": {"IncomingBytes": {("LogGroupName",)}},
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
    "AWS/S3": {"BucketSizeBytes": {("BucketName", "StorageType")}},
    # https://docs.aws.amazon.com/athena/latest/ug/query-metrics-viewing.html
    "AWS/Athena": {"ProcessedBytes": {("QueryState", "QueryType", "WorkGroup")}},
}
SEARCHED = re.compile(r"SEARCH\('\{([\w/]+),([\w,]+)\} MetricName=\"(\w+)\"")


@dataclass(frozen=True)
class Widget:
    """A metric widget, its series apart: (namespace, name, dimensions, options) and the options of expressions."""

    title: str
    properties: Mapping[str, Any]

    @property
    def metrics(self) -> list[tuple[str, str, dict[str, str], dict[str, Any]]]:
        found = []
        for written in self.properties["metrics"]:
            if isinstance(written[0], str):
                namespace, name, *named, options = written
                found.append((namespace, name, dict(zip(named[::2], named[1::2], strict=True)), options))
        return found

    @property
    def expressions(self) -> list[dict[str, Any]]:
        return [written[0] for written in self.properties["metrics"] if isinstance(written[0], dict)]


def body_of(resource: Mapping[str, Any]) -> dict[str, Any]:
    """A dashboard's body, each name that is known at deployment as its reference, without what JSON would take for its own."""
    written = resource["Properties"]["DashboardBody"]
    parts = written["Fn::Join"][1]
    text = "".join(
        part if isinstance(part, str) else re.sub(r'["{}\[\] ]', "", json.dumps(part)) for part in parts
    )
    body: dict[str, Any] = json.loads(text)
    return body


def dashboards(stage: Synthesized) -> dict[str, dict[str, Any]]:
    found = stage.of_type("AWS::CloudWatch::Dashboard", "operations").values()
    return {resource["Properties"]["DashboardName"]: body_of(resource) for resource in found}


def metric_widgets(stage: Synthesized) -> Iterator[Widget]:
    for body in dashboards(stage).values():
        for widget in body["widgets"]:
            if widget["type"] == "metric":
                yield Widget(widget["properties"]["title"], widget["properties"])


def test_there_is_one_for_each_endpoint_and_one_for_the_stage(aws_stage: Synthesized) -> None:
    stage = aws_stage.stage
    prefix = f"quicksilver-{stage.name}"
    assert dashboards(aws_stage).keys() == {
        prefix,
        *(f"{prefix}-{endpoint.name}" for endpoint in stage.endpoints),
    }


def test_an_emulated_stage_has_none(local: Synthesized) -> None:
    assert [item for item in local.resources.values() if item["Type"] == "AWS::CloudWatch::Dashboard"] == []


def test_every_metric_shown_exists_with_the_dimensions_it_is_shown_by(aws_stage: Synthesized) -> None:
    stage = aws_stage.stage
    endpoints = {endpoint.service: endpoint.name for endpoint in stage.endpoints}
    functions = {
        item["Properties"]["FunctionName"] for item in aws_stage.of_type("AWS::Lambda::Function").values()
    }
    ours = 0
    for widget in metric_widgets(aws_stage):
        for namespace, name, dimensions, _ in widget.metrics:
            if namespace == NAMESPACE:
                ours += 1
                metric, service = Metric(name), dimensions["service"]
                assert stage.function_name(service) in functions
                expected = {"service": service}
                if service in endpoints:
                    expected["endpoint"] = endpoints[service]
                elif metric in ARM_METRICS:
                    assert service == "rollup"
                    expected |= {"endpoint": dimensions["endpoint"], "arm": dimensions["arm"]}
                assert dimensions == expected, (widget.title, name)
            else:
                assert tuple(sorted(dimensions)) in AWS_METRICS[namespace][name], (widget.title, name)
                if "FunctionName" in dimensions:
                    assert dimensions["FunctionName"] in functions
        for expression in widget.expressions:
            for namespace, named, name in SEARCHED.findall(expression["expression"]):
                assert tuple(sorted(named.split(","))) in AWS_METRICS[namespace][name]
    assert ours > 50


def test_every_panel_that_the_issue_asks_for_is_there(synthesized: Callable[[str], Synthesized]) -> None:
    found = dashboards(synthesized("prod"))
    headings = {
        name: [
            widget["properties"]["markdown"].splitlines()[0]
            for widget in body["widgets"]
            if widget["type"] == "text"
        ]
        for name, body in found.items()
    }
    assert headings["quicksilver-prod-card-fraud"][1:] == [
        f"## {title}"
        for title in ("Requests", "Objectives", "Answers", "Arms", "Features and models", "Records", "Cost")
    ]
    assert headings["quicksilver-prod"][1:] == [f"## {title}" for title in ("Stream", "Monitoring", "Cost")]


def test_widgets_are_as_cloudwatch_takes_them(aws_stage: Synthesized) -> None:
    for name, body in dashboards(aws_stage).items():
        assert len(json.dumps(body)) < LARGEST_BODY
        taken: set[tuple[int, int]] = set()
        for widget in body["widgets"]:
            x, y, width, height = (widget[side] for side in ("x", "y", "width", "height"))
            assert x >= 0
            assert x + width <= 24
            area = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
            assert not area & taken, f"{name}: two widgets in one place"
            taken |= area


def test_expressions_use_what_is_in_their_widget_and_are_short_enough(aws_stage: Synthesized) -> None:
    for widget in metric_widgets(aws_stage):
        options = [*(series[3] for series in widget.metrics), *widget.expressions]
        ids = [option["id"] for option in options if "id" in option]
        assert len(ids) == len(set(ids)), widget.title
        assert [id for id in ids if not re.fullmatch(r"[a-z][a-zA-Z0-9_]*", id)] == []
        assert len(options) <= MOST_SERIES
        for expression in widget.expressions:
            assert len(expression["expression"]) <= LONGEST_EXPRESSION
            assert names(expression["expression"]) <= set(ids), (widget.title, expression["expression"])


# --- the bill -----------------------------------------------------------------------------------------------------

RATE = Decimal(100)
STANDING_LINES = {what for _, what, _, _ in COUNTED}


def cost_widget(stage: Synthesized, dashboard: str, title: str) -> Widget:
    (found,) = [
        Widget(title, widget["properties"])
        for widget in dashboards(stage)[dashboard]["widgets"]
        if widget["type"] == "metric" and widget["properties"]["title"] == title
    ]
    return found


def priced(stage: Synthesized) -> Bill:
    found = read_assembly(stage.folder, stage.stage.name)
    return bill(found, prices_of("us-east-1"), workload(RATE, found.endpoints))


def measured(found: Bill, stage: Synthesized) -> tuple[dict[str, float], dict[str, list[float]]]:
    """What CloudWatch would have measured in an hour in which exactly that was used which the bill says, by id."""
    assumed = found.workload.assumptions
    hour = {line.what: float(line.quantity) / 730 for line in found.lines}
    records = float(RATE) * 3_600
    readers = hour["Kinesis, out"] / hour["Kinesis, in"]
    values = {
        "requests": records,
        "records_in": records,
        "bytes_in": records * float(assumed.record_bytes),
        "records_out": records * readers,
        "records_taken": records,
        "bytes_taken": records * float(assumed.record_bytes),
        "objects": hour["Firehose, parted objects"],
        "jq_ms": hour["Firehose, JQ"] * 3_600_000,
        # Whichever log group, table or function: the sum is what is paid.
        "logged_0": hour["Logs, in"] * 2**30,
        "reads_0": hour["DynamoDB, reads"],
        "writes_3": hour["DynamoDB, writes"],
        "stored": hour["S3, archive"] * 730 * 2**30,
        "scanned": hour.get("Athena, scanned", 0.0) * 2**30,
    }
    searches: dict[str, list[float]] = {}
    runs = on_demand = 0.0
    for endpoint in stage.stage.endpoints:
        id = endpoint.service.replace("-", "_")
        rate = float(found.workload.of(endpoint.name))
        values[f"runs_{id}"] = values[f"held_runs_{id}"] = rate * 3_600
        values[f"ms_{id}"] = rate * 3_600 * float(assumed.billed_ms)
        runs += rate * 3_600
    # The storage of training, then what is left of memory and runs, on the rollup's function of one GB.
    if "Lambda, storage" in hour:
        values["ms_train"] = hour["Lambda, storage"] / 9.5 * 1_000
        on_demand += values["ms_train"] / 1_000 * 4
    values["runs_rollup"] = hour["Lambda, requests"] - runs
    values["ms_rollup"] = (hour["Lambda, on demand"] - on_demand) * 1_000
    return values, searches


def by_label(widget: Widget, values: Mapping[str, float], *, period: int) -> dict[str, float | None]:
    expressions = {option["id"]: option["expression"] for option in widget.expressions if "id" in option}
    ids = {options["id"] for _, _, _, options in widget.metrics}
    assert values.keys() <= ids
    math = MetricMath(expressions, {id: values.get(id) for id in ids}, period=period)
    return {
        option["label"]: math.of(option["expression"])
        for option in widget.expressions
        if option.get("visible", True)
    }


def test_the_live_bill_is_the_commands_bill_line_by_line(synthesized: Callable[[str], Synthesized]) -> None:
    # Given prod, and what would be measured of the command's own quantities
    stage = synthesized("prod")
    found = priced(stage)
    values, _ = measured(found, stage)
    # When the dashboard's expressions are evaluated for an hour
    shown = by_label(cost_widget(stage, "quicksilver-prod", "Dollars an hour, by line"), values, period=3_600)
    # Then each is that line of the bill, and what is on no line is named with a reason
    expected = {line.what: float(line.dollars) / 730 for line in found.lines}
    standing = sum(expected.pop(what) for what in STANDING_LINES & expected.keys())
    for what in NOT_MEASURED:
        expected.pop(what, None)
    assert shown == pytest.approx({**expected, STANDING: standing}, rel=1e-9)


@pytest.mark.parametrize(("title", "hours"), [("Dollars an hour", 1), ("Dollars a day", 24)])
def test_the_total_is_the_commands_less_what_nothing_measures(
    synthesized: Callable[[str], Synthesized], title: str, hours: int
) -> None:
    stage = synthesized("prod")
    found = priced(stage)
    values, _ = measured(found, stage)
    values = {id: value if id == "stored" else value * hours for id, value in values.items()}
    shown = by_label(cost_widget(stage, "quicksilver-prod", title), values, period=hours * 3_600)
    left_out = sum(line.dollars for line in found.lines if line.what in NOT_MEASURED)
    # Hidden lines are summed in the one that is shown.
    assert shown == pytest.approx({"dollars": float((found.dollars - left_out) * hours / 730)}, rel=1e-9)


def test_a_million_decisions_are_the_hours_dollars_by_its_decisions(
    synthesized: Callable[[str], Synthesized],
) -> None:
    stage = synthesized("prod")
    found = priced(stage)
    values, _ = measured(found, stage)
    widget = cost_widget(stage, "quicksilver-prod", "Dollars a million decisions")
    decisions = {f"scored{number}": float(RATE) * 1_800 for number in range(2)}
    shown = by_label(widget, {**values, **decisions}, period=3_600)
    left_out = sum(line.dollars for line in found.lines if line.what in NOT_MEASURED)
    million = (found.dollars - left_out) / (found.workload.decisions / 1_000_000)
    assert shown == pytest.approx({"dollars a million": float(million)}, rel=1e-9)
    assert by_label(widget, values, period=3_600) == {"dollars a million": None}


def test_an_hour_in_which_nothing_is_measured_costs_what_stands_and_is_held(aws_stage: Synthesized) -> None:
    name = f"quicksilver-{aws_stage.stage.name}"
    found = priced(aws_stage)
    held = sum(line.idle for line in found.lines if line.charge is Charge.LAMBDA_PROVISIONED_ARM64)
    standing = sum(line.idle for line in found.lines if line.what in STANDING_LINES)
    shown = by_label(cost_widget(aws_stage, name, "Dollars an hour"), {}, period=3_600)
    assert shown == pytest.approx({"dollars": float((held + standing) / 730)}, rel=1e-9)


def test_an_endpoint_is_shown_its_own_requests_and_function(
    synthesized: Callable[[str], Synthesized],
) -> None:
    stage = synthesized("prod")
    endpoint = stage.stage.endpoints[0]
    id = endpoint.service.replace("-", "_")
    # Given a thousand requests for one decision and ten for many, a quarter of them beyond what is provisioned
    values = {
        "requests0": 990.0,
        "requests1": 10.0,
        f"runs_{id}": 1_000.0,
        f"ms_{id}": 40_000.0,
        f"held_runs_{id}": 750.0,
    }
    widget = cost_widget(stage, f"quicksilver-prod-{endpoint.name}", "Dollars an hour, by line")
    shown = by_label(widget, values, period=3_600)
    gb = endpoint.memory_mib / 1_024
    assert shown["API Gateway, requests"] == pytest.approx(1_000 * 3.5e-6)
    assert shown["Lambda, requests"] == pytest.approx(1_000 * 2e-7)
    assert shown["Lambda, on provisioned"] == pytest.approx(30 * gb * 0.0000077778)
    assert shown["Lambda, on demand"] == pytest.approx(10 * gb * 0.0000133334)


def test_a_budget_burns_by_what_callers_did_not_get(synthesized: Callable[[str], Synthesized]) -> None:
    # Given 99.9 % promised: of 10,000 requests in each window, 144 failed, and 1 of 100 was slow where 99 % are promised
    endpoint = synthesized("prod").stage.endpoints[0]
    promised = endpoint.objectives
    spent = {"bad": 140.0, "total": 9_900.0}
    widgets = {
        title: cost_widget(synthesized("prod"), f"quicksilver-prod-{endpoint.name}", title)
        for title in (
            f"{what}: how many times too fast its budget burns" for what in ("Availability", "Latency")
        )
    }
    availability, latency = widgets.values()
    ids = {options["id"] for _, _, _, options in availability.metrics}
    counted = {
        id: spent[id[: id.index(digit)]]
        if id.endswith("_0")
        else {"bad": 4.0, "total": 100.0}[id[: id.index(digit)]]
        for id in ids
        for digit in [re.search(r"\d", id)[0]]
    }  # type: ignore[index]
    rates = by_label(availability, counted, period=60)
    assert rates == pytest.approx(
        dict.fromkeys(
            ("over 1 h", "over 6 h", "over 72 h"),
            144 / 10_000 / ((10_000 - promised.availability_bp) / 10_000),
        )
    )
    in_time = {options["id"]: 99.0 for _, _, _, options in latency.metrics}
    rates = by_label(latency, in_time, period=60)
    assert rates == pytest.approx(
        dict.fromkeys(("over 1 h", "over 6 h", "over 72 h"), 0.01 / ((10_000 - promised.latency_bp) / 10_000))
    )
