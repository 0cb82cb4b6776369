"""What the doctor makes of what was seen: each rule with a state that breaks it, and one that does not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from quicksilver.contract import Contract
from quicksilver.doctor import api, records, resources
from quicksilver.doctor.environment import environment_problems
from quicksilver.doctor.finding import Finding, Health
from quicksilver.drift_policy import DriftPolicy
from quicksilver.features import build_vector, check_names, feature_keys
from quicksilver.ports import FeatureReading
from quicksilver.request import ScoreRequest
from quicksilver.stage_state import (
    AlarmState,
    AliasState,
    BucketState,
    ConsumerState,
    FunctionState,
    KeptObject,
    KeyState,
    ProvisionedConcurrency,
    Resource,
    StackState,
    StreamState,
    TableState,
)
from tests.conftest import contract_content

NOW_MS = 1_800_000_000_000
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def resource(**asked: Any) -> Resource:
    return Resource("quicksilver-prod-data", "Registry4DB9CCA5", "AWS::X::Y", "its-name", asked)


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def healths(findings: Iterator[Finding]) -> list[str]:
    return [finding.health.value for finding in findings]


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("CREATE_COMPLETE", "ok"),
        ("UPDATE_COMPLETE", "ok"),
        ("UPDATE_IN_PROGRESS", "warn"),
        ("ROLLBACK_IN_PROGRESS", "warn"),
        ("UPDATE_ROLLBACK_COMPLETE", "fail"),
        ("ROLLBACK_COMPLETE", "fail"),
        ("CREATE_FAILED", "fail"),
        ("DELETE_COMPLETE", "fail"),
        ("REVIEW_IN_PROGRESS", "warn"),
        ("", "fail"),
    ],
)
def test_a_stack_is_well_when_its_last_change_went_through(status: str, health: str) -> None:
    finding = only(resources.stack(StackState("quicksilver-prod-data", status, "No.")))
    assert finding.health.value == health
    assert bool(finding.next) is (health != "ok")


FUNCTION = FunctionState("Active", "Successful", "2026-11-26T00:00:00.000Z")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (FUNCTION, ["ok"]),
        (replace(FUNCTION, state="Inactive"), ["ok"]),
        (replace(FUNCTION, state="Failed", reason="ENI gone"), ["fail"]),
        (replace(FUNCTION, state="Pending", last_update="InProgress"), ["warn", "warn"]),
        (replace(FUNCTION, last_update="Failed"), ["fail"]),
    ],
)
def test_a_function_is_active_and_its_last_update_went_through(
    seen: FunctionState, expected: list[str]
) -> None:
    assert healths(resources.function("registry", resource(), seen)) == expected


READY = ProvisionedConcurrency("7", "READY", 10, 10)
ALIAS = AliasState("7", {}, "Active", [READY])


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (ALIAS, ["ok"]),
        (replace(ALIAS, function_version="$LATEST"), ["fail", "warn"]),
        (replace(ALIAS, version_state=""), ["fail"]),
        (replace(ALIAS, version_state="Failed"), ["fail"]),
        (replace(ALIAS, version_state="Pending"), ["warn"]),
        (replace(ALIAS, weights={"8": 0.1}), ["fail"]),
        (replace(ALIAS, weights={"8": 0.1}, releasing=True), ["ok"]),
        (replace(ALIAS, provisioned=[replace(READY, qualifier="live")]), ["fail"]),
        (replace(ALIAS, provisioned=[READY, replace(READY, qualifier="6")]), ["warn"]),
        (replace(ALIAS, provisioned=[replace(READY, status="IN_PROGRESS", available=3)]), ["warn"]),
        (replace(ALIAS, provisioned=[replace(READY, status="FAILED", available=0)]), ["fail"]),
    ],
)
def test_live_points_to_one_function_version_which_alone_is_provisioned(
    seen: AliasState, expected: list[str]
) -> None:
    assert healths(resources.alias("score-card-fraud:live", seen)) == expected


TABLE = TableState(
    "ACTIVE", True, "2026-11-20T00:00:00.000Z", True, "expires_at", True, {"eu-west-1": "ACTIVE"}
)
ASKED_TABLE = {
    "ResourcePolicy": {"PolicyDocument": {}},
    "DeletionProtectionEnabled": True,
    "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (TABLE, ["ok"]),
        (replace(TABLE, status="INACCESSIBLE_ENCRYPTION_CREDENTIALS"), ["fail"]),
        (replace(TABLE, restorable=False), ["fail"]),
        (replace(TABLE, restorable=None), ["ok", "skipped"]),
        (replace(TABLE, protected=False), ["fail"]),
        (replace(TABLE, expires_by=""), ["fail"]),
        (replace(TABLE, expires_by="other"), ["fail"]),
        (replace(TABLE, expires_by=None), ["ok", "skipped"]),
        (replace(TABLE, policed=False), ["fail"]),
        (replace(TABLE, policed=None), ["ok", "skipped"]),
        (replace(TABLE, replicas={"eu-west-1": "CREATING"}), ["fail"]),
    ],
)
def test_a_table_is_what_its_template_asks_for(seen: TableState, expected: list[str]) -> None:
    assert healths(resources.table(resource(**ASKED_TABLE), seen)) == expected


def test_a_table_whose_items_expire_and_should_not_is_found() -> None:
    seen = replace(TABLE, protected=False)
    assert "should by nothing" in only(resources.table(resource(), seen)).seen


STREAM = StreamState("ACTIVE", True, 168)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (STREAM, ["ok"]),
        (replace(STREAM, status="DELETING"), ["fail"]),
        (replace(STREAM, encrypted=False), ["fail"]),
        (replace(STREAM, encrypted=None), ["ok", "skipped"]),
        (replace(STREAM, retention_hours=24), ["fail"]),
    ],
)
def test_a_stream_keeps_records_as_long_as_it_was_asked_to(seen: StreamState, expected: list[str]) -> None:
    assert healths(resources.stream(resource(RetentionPeriodHours=168), seen)) == expected


CONSUMER = ConsumerState("quicksilver-prod-rollup", "Enabled", "OK", 1_000)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (CONSUMER, ["ok"]),
        (replace(CONSUMER, last_result="No records processed"), ["ok"]),
        (replace(CONSUMER, state="Disabled"), ["fail"]),
        (replace(CONSUMER, last_result="PROBLEM: Function call failed"), ["fail"]),
        (replace(CONSUMER, iterator_age_ms=6 * MINUTE_MS), ["warn"]),
        (replace(CONSUMER, iterator_age_ms=16 * MINUTE_MS), ["fail"]),
        (replace(CONSUMER, iterator_age_ms=None), ["ok", "skipped"]),
    ],
)
def test_a_consumer_reads_what_is_young(seen: ConsumerState, expected: list[str]) -> None:
    assert healths(resources.consumer(resource(), seen)) == expected


BUCKET = BucketState(True, True, "aws:kms", "30 days (governance)")
ASKED_BUCKET = {
    "VersioningConfiguration": {"Status": "Enabled"},
    "ObjectLockEnabled": True,
    "BucketEncryption": {
        "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
    },
}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (BUCKET, ["ok"]),
        (replace(BUCKET, versioned=False), ["fail"]),
        (replace(BUCKET, private=False), ["fail"]),
        (replace(BUCKET, encryption="AES256"), ["fail"]),
        (replace(BUCKET, encryption=None), ["ok", "skipped"]),
        (replace(BUCKET, lock=""), ["fail"]),
    ],
)
def test_a_bucket_is_what_its_template_asks_for(seen: BucketState, expected: list[str]) -> None:
    assert healths(resources.bucket(resource(**ASKED_BUCKET), seen)) == expected


def test_a_bucket_is_not_blamed_for_what_nobody_asked_for() -> None:
    assert healths(resources.bucket(resource(), BucketState(False, True, "AES256", ""))) == ["ok"]


def test_a_key_is_enabled_and_rotates_where_it_should() -> None:
    asked = resource(EnableKeyRotation=True)
    assert healths(resources.key(asked, KeyState("Enabled", True))) == ["ok"]
    assert healths(resources.key(asked, KeyState("Enabled", False))) == ["fail"]
    assert healths(resources.key(resource(), KeyState("Enabled", False))) == ["ok"]
    assert healths(resources.key(resource(), KeyState("PendingDeletion", False))) == ["fail"]


def test_what_starts_or_carries_work_is_active() -> None:
    assert healths(resources.delivery(resource(), "ACTIVE")) == ["ok"]
    assert healths(resources.delivery(resource(), "CREATING_FAILED")) == ["fail"]
    assert healths(resources.rule(resource(), "ENABLED")) == ["ok"]
    assert healths(resources.rule(resource(Description="Windows are judged"), "DISABLED")) == ["fail"]
    assert healths(resources.machine(resource(), "ACTIVE")) == ["ok"]
    assert healths(resources.machine(resource(), "DELETING")) == ["fail"]
    assert healths(resources.queue(resource(), 0)) == ["ok"]
    assert healths(resources.queue(resource(), 2)) == ["fail"]


QUIET = AlarmState("quicksilver-prod-a", "OK", "2026-11-26T00:00:00.000Z", "It is slow.")


def test_every_alarm_that_rings_is_listed() -> None:
    ringing = [replace(QUIET, name=name, state="ALARM") for name in ("b", "c")]
    assert [finding.subject for finding in resources.alarms([QUIET, *ringing])] == ["b", "c"]


def test_no_alarm_at_all_is_no_good_news() -> None:
    assert healths(resources.alarms([QUIET, replace(QUIET, state="INSUFFICIENT_DATA")])) == ["ok"]
    assert healths(resources.alarms([])) == ["fail"]
    assert healths(resources.alarms(None)) == ["skipped"]


ENVIRONMENT = {
    "QUICKSILVER_STAGE": "prod",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
    "POWERTOOLS_SERVICE_NAME": "shadow",
}


def test_an_environment_that_satisfies_its_settings_is_well() -> None:
    assert environment_problems("shadow", ENVIRONMENT) == []


def test_a_function_that_would_not_start_is_found_by_field_and_no_value_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a variable that is missing there and present here
    monkeypatch.setenv("QUICKSILVER_ARCHIVE_BUCKET", "of-this-process")
    told = {name: value for name, value in ENVIRONMENT.items() if name != "QUICKSILVER_ARCHIVE_BUCKET"}
    (problem,) = environment_problems("shadow", told)
    assert "archive_bucket: Field required" in problem.seen


def test_a_variable_that_is_no_json_is_found() -> None:
    told = {**ENVIRONMENT, "QUICKSILVER_ENDPOINTS": "card-fraud,", "QUICKSILVER_POLICIES": "{"}
    assert environment_problems("outcomes", told)
    assert environment_problems("registry", told)


# -- records --


def flow(counted_ms: int | None, archived_ms: int | None) -> Finding:
    return only(records.flow("card-fraud", counted_ms=counted_ms, archived_ms=archived_ms, now_ms=NOW_MS))


def test_archive_and_rollup_that_agree_are_well() -> None:
    assert flow(NOW_MS - 2 * HOUR_MS, NOW_MS - 2 * HOUR_MS + MINUTE_MS).health is Health.OK
    # The first records are on their way.
    assert flow(NOW_MS - MINUTE_MS, None).health is Health.OK


def test_a_delivery_that_has_stopped_is_found_by_what_the_rollup_counts() -> None:
    for archived_ms in (None, NOW_MS - 30 * MINUTE_MS):
        finding = flow(NOW_MS - 10 * MINUTE_MS, archived_ms)
        assert finding.health is Health.FAIL
        assert "delivery stream" in finding.next


def test_a_rollup_that_has_stopped_is_found_by_what_is_archived() -> None:
    for counted_ms in (None, NOW_MS - 30 * MINUTE_MS):
        finding = flow(counted_ms, NOW_MS - 10 * MINUTE_MS)
        assert finding.health is Health.FAIL
        assert "rollup" in finding.next


def test_a_stage_without_traffic_is_not_called_well() -> None:
    assert flow(None, None).health is Health.SKIPPED


@given(
    counted=st.none() | st.integers(NOW_MS - records.LOOKED_BACK_MS, NOW_MS),
    archived=st.none() | st.integers(NOW_MS - records.LOOKED_BACK_MS, NOW_MS),
)
def test_two_readers_of_one_stream_are_judged_alike(counted: int | None, archived: int | None) -> None:
    one, other = flow(counted, archived), flow(archived, counted)
    assert one.health is other.health


def kept(age_ms: int, key: str = "undelivered/card-fraud/1.jsonl") -> KeptObject:
    return KeptObject(key, NOW_MS - age_ms)


def test_undelivered_records_are_a_warning_until_the_redelivery_should_have_them() -> None:
    assert only(records.undelivered([], NOW_MS)).health is Health.OK
    assert only(records.undelivered([kept(MINUTE_MS)], NOW_MS)).health is Health.WARN
    assert only(records.undelivered([kept(MINUTE_MS), kept(6 * MINUTE_MS)], NOW_MS)).health is Health.FAIL


def test_records_that_could_not_be_archived_are_found() -> None:
    assert only(records.refused([])).health is Health.OK
    assert "failed/x" in only(records.refused([kept(0, "failed/x")])).seen


POLICY = DriftPolicy(endpoint="card-fraud", version=1, window_hours=1, settle_minutes=15)


@pytest.mark.parametrize(
    ("age_ms", "busy", "health"),
    [
        (HOUR_MS, True, "ok"),
        (4 * HOUR_MS, True, "warn"),
        (4 * HOUR_MS, False, "ok"),
        (None, True, "warn"),
        (None, False, "skipped"),
    ],
)
def test_windows_are_judged_when_they_are_due(age_ms: int | None, busy: bool, health: str) -> None:
    end_ms = None if age_ms is None else NOW_MS - age_ms
    finding = only(records.judged("card-fraud", end_ms, POLICY, busy=busy, now_ms=NOW_MS))
    assert finding.health.value == health


def test_performance_that_was_never_judged_is_not_called_well() -> None:
    assert only(records.performance("card-fraud", [])).health is Health.SKIPPED
    assert only(records.performance("card-fraud", [kept(0)])).health is Health.OK


# -- the API --


def test_an_api_that_lets_strangers_in_is_found() -> None:
    assert healths(api.refuses_strangers("card-fraud", unsigned=403, without_key=403)) == ["ok"]
    assert healths(api.refuses_strangers("card-fraud", unsigned=200, without_key=422)) == ["fail", "fail"]


PROBLEM = {
    "detail": "The request is not valid.",
    "errors": [{"field": "entity_id", "reason": "Field required"}],
}


@pytest.mark.parametrize(
    ("status", "content", "health"),
    [
        (422, PROBLEM, "ok"),
        (422, {"detail": "API Gateway's own"}, "fail"),
        (403, {"detail": "No."}, "fail"),
        (502, "Bad gateway", "fail"),
        (200, {}, "fail"),
    ],
)
def test_the_functions_own_refusal_shows_that_all_before_it_works(
    status: int, content: Any, health: str
) -> None:
    assert only(api.answers("card-fraud", status, content)).health.value == health


@given(
    vector=st.tuples(
        st.floats(0, 1_000_000),
        st.integers(0, 2).map(float) | st.just(math.nan),
        st.sampled_from([0.0, 1.0]),
        st.just(math.nan),
        st.just(math.nan),
        st.just(math.nan),
    )
)
def test_a_probe_is_a_request_that_its_contract_takes_and_gives_the_golden_rows_values(
    vector: tuple[float, ...],
) -> None:
    contract = Contract.model_validate(contract_content())
    request = ScoreRequest.model_validate(api.probe_request(contract, vector))
    check_names(contract, request)
    built = build_vector(contract, request, feature_keys(contract, request), FeatureReading({}), NOW_MS)
    assert all(
        got == wanted or (math.isnan(got) and math.isnan(wanted))
        for got, wanted in zip(built.values[:3], vector[:3], strict=True)
    )


ANSWER = {"score": 0.25, "raw_score": -1.1, "model": "card-fraud@2", "route": 2, "status": "scored"}


def test_a_probe_answered_by_a_fallback_is_not_well() -> None:
    assert only(api.probed("card-fraud", 200, ANSWER)).health is Health.OK
    assert only(api.probed("card-fraud", 200, {**ANSWER, "raw_score": None})).health is Health.FAIL
    assert only(api.probed("card-fraud", 503, {"detail": "No model."})).health is Health.FAIL


def test_a_probe_that_is_not_archived_is_found() -> None:
    assert only(api.archived("card-fraud", "p-1", 1, 61)).health is Health.OK
    assert only(api.archived("card-fraud", "p-1", None, 180)).health is Health.FAIL
