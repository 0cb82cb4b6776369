"""Numbers at the edges of a float, sent and stored: what is scored is what LightGBM scores, bit for bit, or refused."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench.stocking import FEATURES_TABLE, client
from quicksilver.aws.system import SystemClock
from quicksilver.contract import Contract
from quicksilver.packing import pack
from tests.function.caller import ENTITY, Answered, Caller, put_champion
from tests.function.scripted_aws import ScriptedAws

if TYPE_CHECKING:
    from lightgbm import Booster
    from numpy.typing import NDArray

    from quicksilver.registry import Registry
    from tests.function.conftest import Start

FLOATS = [
    "5e-324", "-5e-324", "2.2250738585072014e-308", "1e-35", "-1e-35", "1.0000000000000001e-35", "9.999999e-36",
    "0", "-0.0", "0.1", "1e300", "1.7976931348623157e308", "-1.7976931348623157e308", "9007199254740993",
    "1" + "0" * 300, "0.1000000000000000055511151231257827021181583404541015625000000000000001",
]  # fmt: skip
INTEGERS = [
    "0",
    "9007199254740993",
    "-9007199254740993",
    "18446744073709551616",
    "1" + "0" * 300,
    "3.0",
    "1e15",
]
REFUSED = [
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 400, "1" * 4_301, '"812.5"', '"NaN"', "true",
    "[1]", "{}", '""',
]  # fmt: skip
# DynamoDB's own limits: 38 digits, 1E-130 to 9.99...E+125.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
STORED = [
    "1E-130", "-1E-130", "9.9E+125", "9.9999999999999999999999999999999999999E+125", "1E-35",
    "0.12345678901234567890123456789012345678", "12345678901234567890123456789012345678", "9007199254740993",
    "-0", "0",
]  # fmt: skip
UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"S": "12.5"}, "invalid"), ({"BOOL": True}, "invalid"), ({"L": []}, "invalid"), ({"B": "AAAA"}, "invalid"),
    ({"NULL": True}, "absent"),
]  # fmt: skip
NAN = math.nan


def contract() -> Contract:
    def feature(name: str, kind: str, group: str | None) -> dict[str, Any]:
        online = {"source": "online", "group": group, "max_age_seconds": 86_400}
        where = online if group else {"source": "request"}
        named = {
            "name": name,
            "type": kind,
            "missing": "missing",
            "reason_code": name.upper(),
            "reason": name,
        }
        return named | where

    features = [
        feature("sent", "number", None),
        feature("counted", "integer", None),
        feature("stored", "number", "card"),
        feature("tenure", "integer", "card"),
        feature("flagged", "boolean", "card"),
    ]
    return Contract.model_validate(
        {"endpoint": "card-fraud", "groups": {"card": "entity_id"}, "features": features}
    )


def trained(*, zero_as_missing: bool) -> tuple[Booster, NDArray[np.float64], NDArray[np.int64]]:
    """Trees whose splits lie all along the floats: around zero, and out at both ends."""
    import lightgbm

    rng = np.random.default_rng(11)
    n = 3_000
    wide = rng.choice([-1.0, 1.0], (n, 4)) * 10 ** rng.uniform(-60, 300, (n, 4))
    vectors = np.column_stack([wide, rng.integers(0, 2, n)])
    vectors[:, 1:4:2] = np.trunc(vectors[:, 1:4:2])
    vectors[rng.random(vectors.shape) < 0.1] = 0.0
    vectors[rng.random(vectors.shape) < 0.05] = np.nan
    known = np.nan_to_num(vectors[:, :4])
    size = np.log10(np.abs(known) + 1e-300) * np.sign(known)
    signal = size[:, 0] + size[:, 2] / 2 + np.abs(size[:, 3]) / 3 + np.nan_to_num(vectors[:, 4]) * 20
    target = (signal + rng.normal(scale=30, size=n) > 30).astype(np.int64)
    parameters = {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1, "seed": 3}
    parameters |= {"zero_as_missing": zero_as_missing, "max_bin": 1023, "min_data_in_leaf": 5}
    data = lightgbm.Dataset(vectors, target, feature_name=list(contract().names))
    return lightgbm.train(parameters, data, num_boost_round=30), vectors, target


@pytest.fixture(scope="module", params=[False, True], ids=["zero is a number", "zero is missing"])
def booster(request: pytest.FixtureRequest, aws: ScriptedAws, registry: Registry) -> Booster:
    booster, vectors, target = trained(zero_as_missing=request.param)
    package = pack(booster, contract(), reference=vectors, target=target, golden=5)
    put_champion(aws, registry, package)
    return booster


@pytest.fixture(scope="module")
def environment(booster: Booster, start: Start) -> Caller:
    return start()


@pytest.fixture
def caller(environment: Caller) -> Iterator[Caller]:
    environment.start_counting()
    yield environment
    assert set(environment.given) <= set(environment.aws.recorded)
    environment.assert_nothing_said()


def bits(values: Sequence[float]) -> bytes:
    return struct.pack(f"{len(values)}d", *values)


def store(aws: ScriptedAws, **attributes: dict[str, Any]) -> None:
    item = {"pk": {"S": f"card#{ENTITY}"}, "as_of": {"N": str(SystemClock().now_ms())}, **attributes}
    client(aws, "dynamodb").put_item(TableName=FEATURES_TABLE, Item=item)


def ask(caller: Caller, **literals: str) -> Answered:
    features = ",".join(f'"{name}":{literal}' for name, literal in literals.items())
    return caller.ask(f'{{"entity_id":"{ENTITY}","features":{{{features}}}}}')


def assert_scored_as_lightgbm_does(
    caller: Caller, booster: Booster, answer: Answered, vector: Sequence[float]
) -> None:
    assert (answer.status, answer.content["status"]) == (200, "scored"), answer
    record = caller.aws.taken[-1]
    assert record["prediction_id"] == answer.content["prediction_id"]
    assert bits([NAN if value is None else value for value in record["vector"]]) == bits(vector)
    expected = float(booster.predict(np.array([vector]), raw_score=True)[0])
    assert bits([answer.content["raw_score"]]) == bits([expected])
    parts = [*record["contributions"], record["expected_value"]]
    assert sum(parts) == pytest.approx(expected, rel=1e-9, abs=1e-9 * sum(map(abs, parts)))
    theirs = booster.predict(np.array([vector]), pred_contrib=True)[0]
    assert parts == pytest.approx(list(theirs), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("literal", FLOATS)
def test_a_number_sent_is_scored_as_the_nearest_float(
    caller: Caller, booster: Booster, aws: ScriptedAws, literal: str
) -> None:
    store(aws)
    answer = ask(caller, sent=literal)
    assert_scored_as_lightgbm_does(caller, booster, answer, [float(literal), NAN, NAN, NAN, NAN])


@pytest.mark.parametrize("literal", INTEGERS)
def test_an_integer_sent_is_scored_as_the_nearest_float(
    caller: Caller, booster: Booster, aws: ScriptedAws, literal: str
) -> None:
    store(aws)
    answer = ask(caller, counted=literal)
    assert_scored_as_lightgbm_does(caller, booster, answer, [NAN, float(literal), NAN, NAN, NAN])


@pytest.mark.parametrize("feature", ["sent", "counted"])
@pytest.mark.parametrize("literal", REFUSED)
def test_what_is_no_number_of_a_float_is_refused(caller: Caller, feature: str, literal: str) -> None:
    answer = ask(caller, **{feature: literal})
    assert answer.status in (400, 422), answer
    assert literal[:5] not in str(answer.content["errors"])
    assert caller.counted("RequestsRefused") == 1


@pytest.mark.parametrize("literal", STORED)
def test_a_number_stored_is_scored_as_the_nearest_float(
    caller: Caller, booster: Booster, aws: ScriptedAws, literal: str
) -> None:
    store(aws, stored={"N": literal}, tenure={"N": "7"}, flagged={"BOOL": True})
    answer = ask(caller, sent="1")
    assert_scored_as_lightgbm_does(caller, booster, answer, [1.0, NAN, float(literal), 7.0, 1.0])


@pytest.mark.parametrize(("attribute", "cause"), UNUSABLE)
def test_what_is_stored_as_no_number_is_named_and_missing(
    caller: Caller, booster: Booster, aws: ScriptedAws, attribute: dict[str, Any], cause: str
) -> None:
    store(aws, stored=attribute, tenure={"N": "7"})
    answer = ask(caller, sent="1")
    assert ("stored", cause) in answer.degraded
    assert_scored_as_lightgbm_does(caller, booster, answer, [1.0, NAN, NAN, 7.0, NAN])


def test_a_null_in_the_store_is_no_true(caller: Caller, booster: Booster, aws: ScriptedAws) -> None:
    store(aws, flagged={"NULL": True})
    answer = ask(caller, sent="1")
    assert ("flagged", "absent") in answer.degraded
    assert_scored_as_lightgbm_does(caller, booster, answer, [1.0, NAN, NAN, NAN, NAN])


def test_a_row_whose_time_cannot_be_read_is_no_row(
    caller: Caller, booster: Booster, aws: ScriptedAws
) -> None:
    store(aws, stored={"N": "1"}, as_of={"N": "1.5E-7"})
    answer = ask(caller, sent="1")
    assert ("stored", "unknown_key") in answer.degraded
    assert_scored_as_lightgbm_does(caller, booster, answer, [1.0, NAN, NAN, NAN, NAN])
