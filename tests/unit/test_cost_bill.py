"""A bill by known figures, and what holds for every bill."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.cost.assembly import Assembly, Resource
from quicksilver.cost.bill import Bill, Line, bill, cents
from quicksilver.cost.difference import difference, to_markdown
from quicksilver.cost.prices import Charge, prices_of
from quicksilver.cost.schedule import minutes_of_week, runs_a_month
from quicksilver.cost.workload import Assumptions, workload
from quicksilver.errors import InvalidInput
from tests.cost_assemblies import assembly, every_minute, function

PRICES = prices_of("us-east-1")
ONE_MILLION_A_MONTH = Decimal(1_000_000) / (730 * 3_600)


def priced(
    found: Assembly,
    rate: Decimal | str = "100",
    *,
    percents: dict[str, Decimal] | None = None,
    **assumed: str,
) -> Bill:
    return bill(
        found,
        PRICES,
        workload(
            Decimal(rate), found.endpoints, percents=percents, assumptions=Assumptions().with_changes(assumed)
        ),
    )


def line(found: Bill, charge: Charge, what: str = "") -> Line:
    (one,) = [each for each in found.lines if each.charge is charge and what in each.what]
    return one


# --- figures that were reckoned by hand ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charge", "dollars"),
    [
        # 12 x 1769/1024 GB x 730 h x 3600 s x $0.0000033334; https://aws.amazon.com/lambda/pricing
        (Charge.LAMBDA_PROVISIONED_ARM64, "181.60"),
        (Charge.KINESIS_STREAM, "29.20"),
        (Charge.KMS_KEYS, "4.00"),
        (Charge.CLOUDWATCH_ALARMS, "0.10"),
        # 43,800 runs x 200 ms x 0.5 GB
        (Charge.LAMBDA_ARM64, "0.06"),
        (Charge.S3_PUTS, "0.22"),
    ],
)
def test_idle_lines_are_what_hand_arithmetic_says(charge: Charge, dollars: str) -> None:
    assert cents(line(priced(assembly()), charge).idle) == Decimal(dollars)


@pytest.mark.parametrize(
    ("charge", "dollars"),
    [
        (Charge.API_REQUESTS, "3.50"),
        (Charge.LOGS_IN, "0.61"),
        # 1.7275 GB x 0.025 s x 1 M
        (Charge.LAMBDA_ON_PROVISIONED_ARM64, "0.34"),
        # 3 KB in, for a record of 2.5; the rollup, shadows and Firehose read each
        (Charge.KINESIS_IN, "0.23"),
        (Charge.KINESIS_OUT, "0.34"),
        (Charge.FIREHOSE_IN, "0.14"),
        (Charge.FIREHOSE_CONVERTED, "0.09"),
        (Charge.FIREHOSE_PARTED, "0.10"),
    ],
)
def test_a_million_decisions_are_what_hand_arithmetic_says(charge: Charge, dollars: str) -> None:
    found = priced(assembly())
    assert cents(found.per_million(line(found, charge))) == Decimal(dollars)


def test_features_are_half_a_unit_for_each_group() -> None:
    three, none = (priced(assembly(), feature_groups=number) for number in ("3", "0"))
    apart = three.per_million() - none.per_million()
    assert apart == 3 * Decimal("0.5") * Decimal("0.125")


def test_an_idempotency_key_writes_a_claim_and_an_answer() -> None:
    # One unit and three of them, at $0.625 per million
    apart = priced(assembly(), idempotent="1").per_million() - priced(assembly()).per_million()
    assert apart.quantize(Decimal("0.000001")) == Decimal("2.5")


@pytest.mark.parametrize(("rate", "batches_a_second"), [("50", "0.79"), ("2000", "2.00")])
def test_the_rollup_is_handed_batches_by_its_window_and_its_size(rate: str, batches_a_second: str) -> None:
    found = priced(assembly(), rate, billed_ms="0", shadow_ms="0", rollup_us_a_record="0", run_ms="0")
    seconds = line(found, Charge.LAMBDA_ARM64).quantity / (730 * 3_600)
    assert (seconds / Decimal("0.05")).quantize(Decimal("0.01")) == Decimal(batches_a_second)


def test_what_is_beyond_provisioned_concurrency_is_paid_on_demand() -> None:
    # 1,000/s x 25 ms are 25 environments at work, and 10 are held
    found = priced(assembly(), "1000", percents={"card-fraud": Decimal(100)}, run_ms="0", shadow_ms="0",
                   rollup_ms="0", rollup_us_a_record="0")  # fmt: skip
    on_provisioned = line(found, Charge.LAMBDA_ON_PROVISIONED_ARM64).quantity
    on_demand = line(found, Charge.LAMBDA_ARM64).quantity
    assert on_provisioned / (on_provisioned + on_demand) == Decimal(10) / 25


def test_a_scaled_endpoint_holds_what_its_target_asks_for_between_its_bounds() -> None:
    target = Resource(
        "Scaling",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        {
            "MinCapacity": 4,
            "MaxCapacity": 40,
            "ResourceId": {"Fn::Join": ["", ["function:quicksilver-prod-score-card-fraud:", {"Ref": "V"}]]},
        },
    )
    policy = Resource(
        "Policy",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        {
            "ScalingTargetId": {"Ref": "Scaling"},
            "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 0.5},
        },
    )
    one = Decimal(1_769) / 1_024 * 730 * 3_600
    for rate, held in (("0.001", 4), ("400", 20), ("10000", 40)):
        found = priced(assembly(target, policy), rate, percents={"card-fraud": Decimal(100)})
        capacity = line(found, Charge.LAMBDA_PROVISIONED_ARM64)
        assert (capacity.idle_quantity, capacity.quantity) == (one * (4 + 2), one * (held + 2))


def test_a_scheduled_floor_is_paid_for_as_long_as_it_holds() -> None:
    floor = [
        {"Schedule": "cron(0 8 ? * MON-FRI *)", "ScalableTargetAction": {"MinCapacity": 28}},
        {"Schedule": "cron(0 20 ? * MON-FRI *)", "ScalableTargetAction": {"MinCapacity": 0}},
    ]
    target = Resource(
        "Scaling",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        {"MinCapacity": 4, "MaxCapacity": 40, "ScheduledActions": floor,
         "ResourceId": {"Fn::Sub": "function:quicksilver-prod-score-card-fraud:live"}},
    )  # fmt: skip
    capacity = line(priced(assembly(target)), Charge.LAMBDA_PROVISIONED_ARM64)
    # 60 of the week's 168 hours
    held = Decimal(28) * 60 / 168 + 2
    assert capacity.idle_quantity.quantize(Decimal(1)) == (held * 1_769 / 1_024 * 730 * 3_600).quantize(
        Decimal(1)
    )


def test_a_snapshot_is_paid_for_as_long_as_it_is_kept_and_when_it_is_started_from() -> None:
    scored = function("score-loans", memory=2_048, QUICKSILVER_ENDPOINT="loans")
    snapshot = Resource(
        scored.id, scored.type, {**scored.properties, "SnapStart": {"ApplyOn": "PublishedVersions"}}
    )
    found = priced(Assembly("prod", [snapshot]), restores="0.01")
    # 2 GB for 730 hours; 2 GB for each hundredth decision
    assert line(found, Charge.LAMBDA_SNAPSHOTS).idle_quantity == 2 * 730 * 3_600
    assert line(found, Charge.LAMBDA_SNAPSHOTS).quantity == 2 * 730 * 3_600
    assert found.per_million(line(found, Charge.LAMBDA_RESTORES)) == 20_000 * Decimal("0.0001397998")
    without = priced(Assembly("prod", [scored]))
    assert {Charge.LAMBDA_SNAPSHOTS, Charge.LAMBDA_RESTORES} & {
        each.charge for each in without.lines
    } == set()


def test_an_alarm_on_an_expression_is_paid_by_its_metrics_and_a_composite_once() -> None:
    metrics = [{"Id": "e", "Expression": "a/b"}, {"Id": "a", "MetricStat": {}}, {"Id": "b", "MetricStat": {}}]
    found = priced(
        assembly(
            Resource("Burn", "AWS::CloudWatch::Alarm", {"Metrics": metrics}),
            Resource("All", "AWS::CloudWatch::CompositeAlarm"),
            Resource("Acl", "AWS::WAFv2::WebACL", {"Rules": [{}, {}, {}]}),
        )
    )
    assert line(found, Charge.CLOUDWATCH_ALARMS).idle_quantity == 3
    assert line(found, Charge.CLOUDWATCH_COMPOSITES).idle == Decimal("0.50")
    assert line(found, Charge.WAF_RULES).idle == 3
    assert line(found, Charge.WAF_REQUESTS).idle == 0
    assert found.per_million(line(found, Charge.WAF_REQUESTS)) == Decimal("0.60")


def test_athena_is_paid_where_a_function_judges_by_it() -> None:
    judge = function("drift", QUICKSILVER_ENGINE="athena")
    without = priced(assembly(function("drift", QUICKSILVER_ENGINE="duckdb"), every_minute("Drift")))
    with_it = priced(assembly(judge, every_minute("Drift")))
    assert [each for each in without.lines if each.charge is Charge.ATHENA_SCANNED] == []
    assert line(with_it, Charge.ATHENA_SCANNED).dollars > 0


# --- what holds for every bill ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    low=st.decimals(min_value="0.01", max_value="5000", places=2),
    more=st.decimals(min_value="0.01", max_value="5000", places=2),
    share=st.integers(0, 100),
)
def test_more_requests_never_cost_less_and_nothing_idle_depends_on_them(
    low: Decimal, more: Decimal, share: int
) -> None:
    percents = {"card-fraud": Decimal(share), "credit-line": Decimal(100 - share)}
    one, other = (priced(assembly(), rate, percents=percents) for rate in (low, low + more))
    assert one.idle == other.idle
    assert one.idle <= one.dollars <= other.dollars
    # Lines are exact, so they add up, whatever is shown of each.
    assert sum(one.per_million(each) for each in one.lines).quantize(
        Decimal("1e-9")
    ) == one.per_million().quantize(Decimal("1e-9"))


def test_a_resource_that_nobody_has_priced_is_one_sentence() -> None:
    with pytest.raises(InvalidInput, match=r"^Stage prod has resources of which nobody has said") as refused:
        priced(assembly(Resource("Db", "AWS::RDS::DBInstance")))
    assert [field.field for field in refused.value.fields] == ["AWS::RDS::DBInstance"]


@pytest.mark.parametrize(
    ("schedule", "runs"),
    [("rate(1 minute)", "43800"), ("rate(1 hour)", "730"), ("cron(0 3 ? * MON-FRI *)", "21.73"),
     ("cron(*/15 * * * ? *)", "2920"), ("cron(0 1,2 ? * 1 *)", "8.69")],
)  # fmt: skip
def test_a_schedule_comes_so_often_a_month(schedule: str, runs: str) -> None:
    assert abs(runs_a_month(schedule) - Decimal(runs)) < Decimal("0.01")


def test_days_begin_on_sunday() -> None:
    assert minutes_of_week("cron(30 7 ? * SUN,TUE *)") == [450, 2 * 1_440 + 450]


@pytest.mark.parametrize(
    "schedule",
    ["", "rate(0 minutes)", "rate(1 fortnight)", "cron(0 0 1 * ? *)", "cron(0 25 ? * * *)", "cron(5-1 0 ? * * *)",
     "cron(x 0 ? * * *)", "cron(*/0 0 ? * * *)", "at(2026-01-01T00:00:00)"],
)  # fmt: skip
def test_a_schedule_that_is_not_the_same_every_week_is_refused_by_name(schedule: str) -> None:
    with pytest.raises(InvalidInput, match="A schedule cannot be priced") as refused:
        runs_a_month(schedule)
    assert refused.value.fields[0].field == schedule


# --- what a change does -------------------------------------------------------------------------------------------


def test_a_change_shows_totals_and_the_lines_that_moved_the_largest_first() -> None:
    keys = (Resource(f"More{number}", "AWS::KMS::Key") for number in range(3))
    alarm = Resource("Alarm2", "AWS::CloudWatch::Alarm", {"MetricName": "Throttles"})
    found = difference(priced(assembly()), priced(assembly(alarm, *keys)))
    assert [(change.what, change.by) for change in found.lines] == [
        ("KMS keys", Decimal(3)),
        ("CloudWatch, metrics in alarms", Decimal("0.10")),
    ]
    text = to_markdown(found, region="us-east-1", looked_up="2026-11-26")
    assert "| KMS keys | 4.00 | 7.00 | +3.00 |" in text
    assert "This changes what the stage costs." in text
    assert "| **each million decisions beyond idle** | " in text


def test_no_change_says_so() -> None:
    found = difference(priced(assembly()), priced(assembly()))
    assert found.lines == []
    assert "This changes nothing" in to_markdown(found, region="us-east-1", looked_up="2026-11-26")
