"""A stage that cannot work is refused in one sentence, before any template exists."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from stacks.config import STAGES, ConfigError, Endpoint, Release, Shift, Throttle, load_stage

THROTTLE = Throttle(rate_per_second=10, burst=10)


@pytest.mark.parametrize("name", list(STAGES))
def test_every_stage_has_both_endpoints(name: str) -> None:
    assert [endpoint.name for endpoint in load_stage(name).endpoints] == ["card-fraud", "credit-line"]


@pytest.mark.parametrize("name", ["", None])
def test_a_missing_stage_is_told_which_there_are(name: object) -> None:
    with pytest.raises(ConfigError, match=r"-c stage=local\|dev\|staging\|prod"):
        load_stage(name)


@pytest.mark.parametrize("name", ["production", "PROD", 7, ["dev"]])
def test_an_unknown_stage_is_told_which_there_are(name: object) -> None:
    with pytest.raises(ConfigError, match="choose one of local, dev, staging, prod"):
        load_stage(name)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "Card Fraud"}, "lower-case letters"),
        ({"name": "card_fraud"}, "lower-case letters"),
        ({"name": "c"}, "2 to 40"),
        ({"timeout_seconds": 29, "deadline_ms": 1_000}, "below API Gateway's 29 s"),
        ({"timeout_seconds": 0}, "at least 1 s"),
        ({"timeout_seconds": 1, "deadline_ms": 1_000}, "below its timeout of 1 s"),
        ({"deadline_ms": 9}, "at least 10 ms"),
        ({"memory_mib": 127}, "128 to 10240"),
        ({"memory_mib": 10_241}, "128 to 10240"),
        ({"alarm_latency_ms": 16_001}, "no request within its timeout of 16 s can reach"),
        ({"timeout_seconds": 15}, "14 s that the work after an answer may take do not fit"),
        ({"alarm_latency_ms": 0}, "latency alarm"),
        ({"alarm_errors": 0}, "at least 1"),
        ({"idempotency_hours": -1}, r"0 \(no idempotency keys\) to 720"),
        ({"idempotency_hours": 721}, "keeps answers for 721 hours"),
    ],
)
def test_an_impossible_endpoint_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(Endpoint(name="card-fraud", throttle=THROTTLE), **values)


@pytest.mark.parametrize("values", [{"rate_per_second": 0, "burst": 1}, {"rate_per_second": 1, "burst": 0}])
def test_a_throttle_that_lets_nothing_through_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="lets nothing through"):
        Throttle(**values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "Prod"}, "2 to 16 lower-case letters"),
        ({"name": "a-stage"}, "2 to 16 lower-case letters"),
        ({"endpoints": ()}, "has no endpoint"),
        ({"endpoints": load_stage("prod").endpoints[:1]}, "at least two endpoints"),
        ({"endpoints": load_stage("prod").endpoints[:1] * 2}, "names an endpoint twice"),
        ({"runtime": "python3.11"}, "SnapStart takes Python 3.12 and newer"),
        ({"runtime": "nodejs24.x"}, "no Python"),
        ({"artefact_lock_days": 0}, "1 to 36500 on AWS"),
        ({"artefact_lock_days": 36_501}, "1 to 36500 on AWS"),
        ({"release": Release(shift=Shift.DIRECT)}, "direct is for emulated stages"),
        ({"emulated": True}, "direct is for emulated stages"),
        ({"name": "p" * 16, "endpoints": tuple(
            Endpoint(name=name * 10, throttle=THROTTLE) for name in ("abcd", "efgh")
        )}, "longer than Lambda's 64 characters"),
    ],
)  # fmt: skip
def test_an_impossible_stage_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(load_stage("prod"), **values)


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_no_endpoint_on_aws_pays_for_idempotency_keys_unasked(name: str) -> None:
    assert {endpoint.idempotency_hours for endpoint in load_stage(name).endpoints} == {0}


def test_a_refusal_is_one_sentence() -> None:
    with pytest.raises(ConfigError) as refused:
        Endpoint(name="card-fraud", throttle=THROTTLE, timeout_seconds=60)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_a_stage_cannot_be_changed_after_it_was_checked() -> None:
    with pytest.raises(FrozenInstanceError):
        load_stage("prod").name = "dev"  # type: ignore[misc]


def test_values_are_given_by_name_only() -> None:
    with pytest.raises(TypeError):
        Throttle(10, 10)  # type: ignore[call-arg]


def test_one_vcpu_outside_an_emulator() -> None:
    for name in ("dev", "staging", "prod"):
        assert {endpoint.memory_mib for endpoint in load_stage(name).endpoints} == {1769}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"shift": Shift.CANARY}, "canary release of 0 % at first must have 1 to 99"),
        ({"shift": Shift.CANARY, "percent": 100, "minutes": 5}, "canary release of 100 %"),
        ({"shift": Shift.LINEAR, "percent": 10}, "linear release of 0 minutes"),
        (
            {"shift": Shift.CANARY, "percent": 10, "minutes": 4},
            "takes 4; it must be 5, so that an alarm can ring",
        ),
        ({"shift": Shift.LINEAR, "percent": 60, "minutes": 4}, "takes 4; it must be 5"),
        ({"shift": Shift.LINEAR, "percent": 1, "minutes": 30}, "takes 2970; it must be 5, .* to 2880"),
        ({"shift": Shift.ALL_AT_ONCE, "percent": 10}, "no percent and no minutes"),
        ({"shift": Shift.DIRECT, "minutes": 10}, "no percent and no minutes"),
    ],
)
def test_a_release_that_codedeploy_or_an_alarm_could_not_follow_is_refused(
    values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Release(**values)


def test_a_linear_release_takes_as_long_as_its_steps() -> None:
    for percent, steps in ((10, 9), (33, 3), (50, 1), (60, 1), (99, 1)):
        assert Release(shift=Shift.LINEAR, percent=percent, minutes=10).total_minutes == 10 * steps
