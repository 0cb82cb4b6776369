"""A function version's answers to checks: by the evaluators that answer, of every arm, and recorded nowhere."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from quicksilver.code_release.answering import CheckedFunction
from quicksilver.code_release.check import (
    Checked,
    GoldenCheck,
    GoldenNumbers,
    Presence,
    Rehearsal,
    RehearsalAnswer,
    bits,
    number,
    packed,
    parse_check,
)
from quicksilver.errors import NotEvaluated
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.model_loader import ModelLoader, registered
from quicksilver.ports import FeatureKey
from quicksilver.routing import Role
from quicksilver.scoring import Caller
from tests.unit.conftest import Bench

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.routing import Arm


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_float_keeps_every_bit_as_text(value: float) -> None:
    back = number(bits(value))
    assert bits(back) == bits(value)
    assert math.isnan(value) or (back == value and math.copysign(1, back) == math.copysign(1, value))
    # And it travels: the shape that both ends hold each other to takes it.
    assert GoldenNumbers(
        raw_score=bits(value), score=bits(value), contributions=packed([value]), explained_by="kernel"
    )


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_two_floats_are_the_same_text_where_they_are_the_same_bits(a: float, b: float) -> None:
    same = a == b and math.copysign(1, a) == math.copysign(1, b)
    assert (bits(a) == bits(b)) is same
    if math.isfinite(a):
        assert bits(math.nextafter(a, math.inf)) != bits(a)


def test_zeros_infinities_and_nan_are_told_apart() -> None:
    assert len({bits(value) for value in (0.0, -0.0, math.inf, -math.inf, math.nan)}) == 5


def checked(bench: Bench, check: Any) -> Checked:
    registry = bench.registry_store
    loader = ModelLoader(bench.artifacts, LightGBMEvaluator, permit=registered(registry))
    function = CheckedFunction(bench.scorer, loader.model)
    answer = json.loads(
        json.dumps(function.answer(json.loads(check.model_dump_json()), function_version="7"))
    )
    return Checked.model_validate(answer)


def route(bench: Bench) -> int:
    return bench.registry.current_route("card-fraud").number


def arms(bench: Bench) -> tuple[Arm, ...]:
    return bench.registry.current_route("card-fraud").arms


def event(body: Any, **more: Any) -> dict[str, Any]:
    return {"path": "/v1/card-fraud/score", "body": json.dumps(body), "requestContext": {}, **more}


def rehearsed(bench: Bench, arm: Arm, content: dict[str, Any]) -> RehearsalAnswer:
    answer = checked(bench, Rehearsal(route=route(bench), arm=arm, event=content)).rehearsal
    assert answer is not None
    return answer


def test_golden_rows_come_back_bit_for_bit_from_the_arm_that_answers(bench: Bench, package: Package) -> None:
    rows = package.golden_rows
    check = GoldenCheck(route=1, arm=arms(bench)[0], vectors=tuple(packed(row.vector) for row in rows))
    answer = checked(bench, check)
    assert (answer.function_version, answer.route, answer.notes) == ("7", 1, ())
    assert answer.golden is not None
    given = [row for row in answer.golden.rows if isinstance(row, GoldenNumbers)]
    assert [row.raw_score for row in given] == [bits(row.raw_score) for row in rows]
    model = bench.loaded_route().champion
    assert [row.score for row in given] == [bits(model.evaluator.score(row.raw_score)) for row in rows]
    for row, golden in zip(given, rows, strict=True):
        assert [number(part) for part in row.contributions] == pytest.approx(
            list(golden.contributions), abs=1e-9
        )


def test_a_shadow_is_loaded_for_the_check_and_let_go(bench: Bench, second_package: Package) -> None:
    bench.put_arm(second_package, Role.SHADOW, 0)
    shadow = arms(bench)[1]
    rows = second_package.golden_rows
    check = GoldenCheck(route=2, arm=shadow, vectors=tuple(packed(row.vector) for row in rows))
    answer = checked(bench, check)
    assert answer.golden is not None
    assert [row.raw_score for row in answer.golden.rows if isinstance(row, GoldenNumbers)] == [
        bits(row.raw_score) for row in rows
    ]
    assert shadow.package_sha256 not in bench.loaded_route().models


def test_an_arm_that_cannot_be_loaded_is_named_with_the_reason(bench: Bench, second_package: Package) -> None:
    name = bench.put_arm(second_package, Role.SHADOW, 0)
    bench.artifacts.files[second_package.sha256, "model.txt"] = b"altered"
    answer = checked(bench, GoldenCheck(route=2, arm=arms(bench)[1], vectors=()))
    assert answer.golden is not None
    assert answer.golden.error.startswith(f"{name} cannot be loaded: The package is altered")


def test_a_row_that_cannot_be_evaluated_says_so_and_the_others_are_answered(
    bench: Bench, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = bench.loaded_route().champion.evaluator
    evaluate, seen = evaluator.evaluate, []

    def second_fails(vector: Any) -> Any:
        seen.append(vector)
        if len(seen) == 2:
            raise NotEvaluated("The contributions do not add up to the raw score.")
        return evaluate(vector)

    monkeypatch.setattr(evaluator, "evaluate", second_fails)
    vectors = tuple(packed(row.vector) for row in package.golden_rows[:3])
    answer = checked(bench, GoldenCheck(route=1, arm=arms(bench)[0], vectors=vectors)).golden
    assert answer is not None
    assert answer.rows[1] == "cannot be evaluated: The contributions do not add up to the raw score."
    assert [isinstance(row, GoldenNumbers) for row in answer.rows] == [True, False, True]
    short = checked(bench, GoldenCheck(route=1, arm=arms(bench)[0], vectors=(vectors[0][:2],))).golden
    assert short is not None
    assert short.rows == ("does not fit the model",)


def test_a_saved_event_is_answered_as_a_request_is_by_the_arm_that_is_named(
    bench: Bench, request_body: dict[str, Any], second_package: Package
) -> None:
    bench.put_arm(second_package, share_bp=1)
    for arm in arms(bench):
        answer = rehearsed(bench, arm, event(request_body))
        assert answer.said["model"] == arm.model
        assert answer.said["arm"] == f"{arm.model} {arm.role.value}"
        model = bench.loaded_route().models[arm.package_sha256]
        vector = [number(value) for value in answer.vector.values()]
        assert answer.numbers["raw_score"] == bits(model.evaluator.raw_score(vector))
    # The arm that the entity is assigned to anyway gives what a request gets.
    record = bench.scorer.score(json.dumps(request_body), Caller("r", "7"))
    usual = rehearsed(
        bench, next(arm for arm in arms(bench) if arm.model == record.model), event(request_body)
    )
    assert usual.numbers["score"] == bits(record.score)
    assert usual.numbers["raw_score"] == bits(record.raw_score or 0.0)
    assert [name for name in usual.numbers if name.startswith("reason")] == [
        f"reason {reason.code}" for reason in record.reasons
    ]


def test_a_check_leaves_no_record_and_no_count(
    bench: Bench, request_body: dict[str, Any], package: Package
) -> None:
    arm = arms(bench)[0]
    checked(bench, GoldenCheck(route=1, arm=arm, vectors=(packed(package.golden_rows[0].vector),)))
    rehearsed(bench, arm, event(request_body))
    rehearsed(bench, arm, event({}))
    bench.log.flush()
    assert (bench.stream.entries, bench.metrics.counts) == ([], {})


def test_a_refusal_is_an_answer_that_names_fields_and_no_value(
    bench: Bench, request_body: dict[str, Any]
) -> None:
    request_body["features"]["channel"] = ["4111-secret"]
    answer = rehearsed(bench, arms(bench)[0], event(request_body))
    assert answer.said["refused"] == "422"
    assert "channel" in answer.said["fields"]
    assert "4111" not in answer.model_dump_json()
    assert not answer.unsettled


def test_an_answer_with_a_late_feature_says_that_it_may_be_another_next_time(
    bench: Bench, request_body: dict[str, Any]
) -> None:
    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    assert rehearsed(bench, arms(bench)[0], event(request_body)).unsettled
    bench.features.late = frozenset()
    assert not rehearsed(bench, arms(bench)[0], event(request_body)).unsettled


def test_who_is_asked_about_another_route_says_which_one_it_answers_by(
    bench: Bench, second_package: Package
) -> None:
    bench.loaded_route()
    bench.put_arm(second_package, refresh=False)
    answer = checked(bench, GoldenCheck(route=2, arm=arms(bench)[1], vectors=()))
    assert (answer.route, answer.golden) == (1, None)
    # Later it knows that there is another, and has not loaded it yet.
    bench.clock.advance_ms(60_000)
    answer = checked(bench, GoldenCheck(route=1, arm=arms(bench)[0], vectors=()))
    assert answer.notes == ("card-fraud@2 outdated",)
    assert answer.golden is None
    bench.serving.refresh_if_due()
    assert checked(bench, Presence(route=2)).route == 2


def test_without_a_route_there_is_nothing_to_answer_by() -> None:
    assert checked(Bench(), Presence(route=0)) == Checked(function_version="7", route=0)


def test_a_check_of_another_time_is_refused_without_its_content(bench: Bench) -> None:
    function = CheckedFunction(bench.scorer, lambda _: pytest.fail("nothing is to be loaded"))
    for content in (
        {"kind": "golden", "route": 1, "vectors": [["secret"]]},
        {"kind": "fortune"},
        "presence",
        None,
    ):
        answer = function.answer(content, function_version="7")
        assert list(answer) == ["unknown"]
        assert "secret" not in json.dumps(answer)


def test_what_nobody_foresaw_is_said_by_its_type_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("4111 is secret")

    monkeypatch.setattr(bench.serving, "loaded_route", fail)
    function = CheckedFunction(bench.scorer, lambda _: pytest.fail("nothing is to be loaded"))
    assert function.answer({"kind": "presence", "route": 1}, function_version="7") == {
        "failed": "RuntimeError"
    }
    assert "4111" not in caplog.text


def test_a_check_is_read_back_as_it_was_made(bench: Bench, package: Package) -> None:
    vectors = tuple(packed(row.vector) for row in package.golden_rows)
    for check in (
        Presence(route=0),
        GoldenCheck(route=1, arm=arms(bench)[0], vectors=vectors),
        Rehearsal(route=1, arm=arms(bench)[0], event={"body": "{}"}),
    ):
        assert parse_check(json.loads(check.model_dump_json())) == check
