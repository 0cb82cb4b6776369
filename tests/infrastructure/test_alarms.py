"""Alarms: each named, explained in the runbook, and heard by exactly one topic through exactly one composite."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack, aws_cloudwatch as cloudwatch, aws_sns as sns
from aws_cdk.assertions import Template

from stacks.config import ConfigError, load_stage
from stacks.constructs.alarm import Alarm, Severity, alarms_of
from stacks.constructs.composites import Composites
from tests.infrastructure.conftest import ROOT, Synthesized
from tests.unit.test_docs import anchors

RUNBOOK = ROOT / "docs" / "runbook.md"
IN_RULE = re.compile(r'ALARM\("([^"]+)"\)')


def alarms(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    """Every metric alarm of a stage, by its name."""
    found = [item["Properties"] for item in synthesized.of_type("AWS::CloudWatch::Alarm").values()]
    return {properties["AlarmName"]: properties for properties in found}


def composites(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    found = synthesized.of_type("AWS::CloudWatch::CompositeAlarm", "operations").values()
    return {item["Properties"]["AlarmName"]: item["Properties"] for item in found}


def section(properties: dict[str, Any]) -> str:
    """The anchor of the runbook's section that an alarm's description ends with."""
    match = re.search(r" Runbook: docs/runbook\.md#([a-z0-9-]+)$", properties["AlarmDescription"])
    assert match, properties["AlarmDescription"]
    return match[1]


def test_every_alarm_has_a_name_of_its_stage_and_no_other_has_it(aws_stage: Synthesized) -> None:
    assert len(alarms(aws_stage)) == len(aws_stage.of_type("AWS::CloudWatch::Alarm"))
    for name in [*alarms(aws_stage), *composites(aws_stage)]:
        assert re.fullmatch(rf"quicksilver-{aws_stage.stage.name}-[a-z0-9-]+", name)
    assert alarms(aws_stage).keys().isdisjoint(composites(aws_stage))


def test_every_alarm_is_in_exactly_one_composite_and_calls_nobody_itself(aws_stage: Synthesized) -> None:
    watched = Counter(
        name
        for properties in composites(aws_stage).values()
        for name in set(IN_RULE.findall(properties["AlarmRule"]))
    )
    assert watched == Counter(alarms(aws_stage).keys())
    for properties in alarms(aws_stage).values():
        assert {"AlarmActions", "OKActions", "InsufficientDataActions"}.isdisjoint(properties)


def test_a_composite_tells_the_topic_of_its_severity_of_alarm_and_of_its_end(aws_stage: Synthesized) -> None:
    topics = aws_stage.of_type("AWS::SNS::Topic", "operations")
    for name, properties in composites(aws_stage).items():
        severity = name.rpartition("-")[2]
        (action,) = properties["AlarmActions"]
        assert properties["OKActions"] == [action]
        assert action["Ref"].startswith({"page": "Page", "ticket": "Ticket"}[severity])
        assert action["Ref"] in topics
        assert len(properties["AlarmRule"]) <= 10_240
        assert len(IN_RULE.findall(properties["AlarmRule"])) <= 100


def test_every_endpoint_has_a_composite_of_either_severity(aws_stage: Synthesized) -> None:
    for endpoint in aws_stage.stage.endpoints:
        for severity in Severity:
            name = f"quicksilver-{aws_stage.stage.name}-{endpoint.name}-{severity.value}"
            assert name in composites(aws_stage)


def test_every_alarm_has_a_section_of_the_runbook_and_every_section_an_alarm(
    synthesized: Callable[[str], Synthesized],
) -> None:
    named = {section(properties) for properties in alarms(synthesized("prod")).values()}
    headings = re.findall(r"^### (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    sections = {heading.replace(" ", "-").lower() for heading in headings}
    assert len(headings) == len(sections)
    assert named == sections
    assert sections <= anchors(RUNBOOK)


@pytest.mark.parametrize("part", ["**Means.**", "**Affects.**", "**Look.**", "**Do.**", "**Over.**"])
def test_every_section_says_what_a_person_on_call_needs(part: str) -> None:
    for text in re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
        assert text.count(part) == 1, text.partition("\n")[0]


def test_the_topics_hear_the_alarms_of_their_stage_and_nobody_elses(aws_stage: Synthesized) -> None:
    name = aws_stage.stage.name
    policies = aws_stage.of_type("AWS::SNS::TopicPolicy", "operations").values()
    heard = [
        statement
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert len(heard) == len(aws_stage.of_type("AWS::SNS::Topic", "operations")) == 2
    (key,) = [
        statement
        for id, item in aws_stage.of_type("AWS::KMS::Key").items()
        for statement in item["Properties"]["KeyPolicy"]["Statement"]
        if statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"} and id.startswith("ModelsKey")
    ]
    assert set(key["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}
    for statement in [*heard, key]:
        assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert f":alarm:quicksilver-{name}-*" in json.dumps(
            statement["Condition"]["ArnLike"]["aws:SourceArn"]
        )
    for topic in aws_stage.of_type("AWS::SNS::Topic", "operations").values():
        assert "ModelsKey" in json.dumps(topic["Properties"]["KmsMasterKeyId"])


def test_an_emulated_stage_has_no_alarms(local: Synthesized) -> None:
    kinds = {item["Type"] for item in local.resources.values()}
    assert kinds.isdisjoint({"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"})


# -- the constructs by themselves --


class Bench:
    """A stack to put alarms into, and the composites over them."""

    def __init__(self, tmp_path: Path) -> None:
        self.stage = load_stage("dev")
        self.stack = Stack(App(outdir=str(tmp_path)), "Bench")
        topics = {severity: sns.Topic(self.stack, severity.name) for severity in Severity}
        self.topics: dict[Severity, sns.ITopic] = {**topics}

    def alarm(self, what: str, subject: str = "card-fraud", together_with: Alarm | None = None) -> Alarm:
        return Alarm(
            self.stack,
            f"Alarm{len(alarms_of(self.stack))}",
            stage=self.stage,
            subject=subject,
            what=what,
            severity=Severity.PAGE,
            description=what,
            metric=cloudwatch.Metric(namespace="Bench", metric_name=what, period=Duration.minutes(1)),
            threshold=1,
            together_with=together_with,
        )

    def rules(self) -> dict[str, str]:
        Composites(
            self.stack,
            "Composites",
            stage=self.stage,
            alarms=alarms_of(self.stack),
            topics=self.topics,
        )
        found = Template.from_stack(self.stack).find_resources("AWS::CloudWatch::CompositeAlarm")
        return {item["Properties"]["AlarmName"]: item["Properties"]["AlarmRule"] for item in found.values()}


def test_a_stage_may_say_where_its_runbook_is_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.stage = replace(bench.stage, runbook="https://example.com/quicksilver/runbook.md")
    bench.alarm("lost")
    bench.rules()
    template = Template.from_stack(bench.stack)
    (alarm,) = template.find_resources("AWS::CloudWatch::Alarm").values()
    (composite,) = template.find_resources("AWS::CloudWatch::CompositeAlarm").values()
    assert alarm["Properties"]["AlarmDescription"].endswith(
        "Runbook: https://example.com/quicksilver/runbook.md#lost"
    )
    assert composite["Properties"]["AlarmDescription"].endswith(
        "Runbook: https://example.com/quicksilver/runbook.md"
    )


@pytest.mark.parametrize("where", ["", "runbook.md", "http://example.com/x", "https://example.com/x#there"])
def test_a_runbook_that_cannot_be_linked_to_is_refused(where: str) -> None:
    with pytest.raises(ConfigError, match="has its runbook at"):
        replace(load_stage("dev"), runbook=where)


def test_a_pair_calls_when_both_ring_and_every_other_alarm_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    short = bench.alarm("short")
    bench.alarm("long", together_with=short)
    bench.alarm("other")
    assert bench.rules() == {
        "quicksilver-dev-card-fraud-page": (
            '(ALARM("quicksilver-dev-card-fraud-long") AND ALARM("quicksilver-dev-card-fraud-short"))'
            ' OR ALARM("quicksilver-dev-card-fraud-other")'
        )
    }


def test_subjects_do_not_share_a_message(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.alarm("lost")
    bench.alarm("lost", subject="credit-line")
    assert set(bench.rules()) == {"quicksilver-dev-card-fraud-page", "quicksilver-dev-credit-line-page"}


def test_two_alarms_of_one_name_are_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.alarm("lost")
    bench.alarm("lost")
    with pytest.raises(ConfigError, match=r"Two alarms .* have the name quicksilver-dev-card-fraud-lost\."):
        bench.rules()


def test_a_subject_with_more_alarms_than_a_rule_takes_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(101):
        bench.alarm(f"what-{number}")
    with pytest.raises(ConfigError, match="would watch 101 alarms"):
        bench.rules()
