"""Before any traffic: a function version that differs in one bit, anywhere that it is looked at, gets none."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.code_release.deployment import Deployment
from quicksilver.code_release.hook import answer_hook
from quicksilver.code_release.provisioned import Provisioned, ProvisionedStatus
from quicksilver.errors import KernelRefused, NotEvaluated, ReleaseRefused, Unavailable
from quicksilver.evaluator import Evaluation, ExplainedBy, LightGBMEvaluator
from quicksilver.model_version import State
from quicksilver.ports import FeatureKey, FeatureRow
from quicksilver.routing import Role
from tests.code_releases import (
    DEPLOYMENT,
    HOOK,
    LIVE,
    NEW,
    Doctored,
    MemoryConcurrency,
    MemoryDeployments,
    MemoryVersions,
    before_traffic,
    contribution_one_ulp_up,
    one_ulp,
    raw_score_one_ulp_up,
    saved_event,
)
from tests.unit.conftest import Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quicksilver.package import Package

Body = dict[str, Any]


@pytest.fixture
def versions(bench: Bench) -> MemoryVersions:
    versions = MemoryVersions(bench)
    versions.publish(LIVE)
    versions.publish(NEW)
    return versions


@pytest.fixture
def events(request_body: Body) -> dict[str, Any]:
    return {"whole": saved_event(request_body), "no-amount": saved_event({**request_body, "features": {}})}


def check(bench: Bench, versions: MemoryVersions, events: dict[str, Any], **more: Any) -> list[str]:
    return before_traffic(bench, versions, events, **more).check(DEPLOYMENT)


def doctored(
    vectors: Sequence[Sequence[float]], change: Callable[[Evaluation], Evaluation]
) -> Callable[[bytes], Doctored]:
    return lambda text: Doctored(LightGBMEvaluator(text), vectors, change)


def test_the_same_code_is_let_through_with_what_was_compared(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], second_package: Package
) -> None:
    bench.put_arm(second_package, share_bp=1)
    assert check(bench, versions, events) == [
        "card-fraud@1 (champion): 20 golden rows are given bit for bit, 20 of them compared with function version 41.",
        "card-fraud@1: 2 saved events are answered as by function version 41.",
        "card-fraud@2 (canary): 20 golden rows are given bit for bit, 20 of them compared with function version 41.",
        "card-fraud@2: 2 saved events are answered as by function version 41.",
    ]


def test_one_ulp_in_the_raw_score_of_one_golden_row_is_refused_by_name(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], package: Package
) -> None:
    row = package.golden_rows[16]
    versions.publish(NEW, doctored([row.vector], raw_score_one_ulp_up))
    with pytest.raises(ReleaseRefused) as refused:
        check(bench, versions, events)
    assert str(refused.value) == (
        f"card-fraud@1, golden row 17: the raw score is {one_ulp(row.raw_score).hex()} "
        f"and must be {row.raw_score.hex()}."
    )


def test_golden_rows_alone_find_it_where_the_live_version_is_wrong_too(
    bench: Bench, versions: MemoryVersions, package: Package
) -> None:
    load = doctored([package.golden_rows[0].vector], raw_score_one_ulp_up)
    versions.publish(LIVE, load)
    versions.publish(NEW, load)
    with pytest.raises(ReleaseRefused, match=r"golden row 1: the raw score"):
        check(bench, versions, {})


def test_one_ulp_in_one_contribution_is_refused_by_feature(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], package: Package
) -> None:
    versions.publish(NEW, doctored([package.golden_rows[4].vector], contribution_one_ulp_up))
    with pytest.raises(
        ReleaseRefused,
        match=r"golden row 5: the contribution of amount is -?0x\S+, where function version 41 gives -?0x",
    ):
        check(bench, versions, events)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda e: replace(e, contributions=(e.contributions[0] + 1e-6, *e.contributions[1:])),
            r"the contribution of amount is -?0x\S+, further than 1e-09 from -?0x",
        ),
        (
            lambda e: replace(e, expected_value=e.expected_value + 1e-6),
            r"the expected value is -?0x\S+, further",
        ),
        (lambda e: replace(e, contributions=e.contributions[:-1]), "6 contributions are answered, not 7"),
        (
            lambda e: replace(e, contributions=(float("nan"), *e.contributions[1:])),
            "of amount is nan, further",
        ),
        (lambda e: replace(e, raw_score=float("nan")), "the raw score is nan and must be 0x|-0x"),
        (lambda e: replace(e, explained_by=ExplainedBy.LIGHTGBM), "its explainer is lightgbm, where"),
    ],
)
def test_whatever_else_differs_in_a_golden_row_is_refused(
    bench: Bench,
    versions: MemoryVersions,
    package: Package,
    change: Callable[[Evaluation], Evaluation],
    sentence: str,
) -> None:
    versions.publish(NEW, doctored([package.golden_rows[0].vector], change))
    with pytest.raises(ReleaseRefused, match=sentence):
        check(bench, versions, {})


def test_a_golden_row_that_cannot_be_evaluated_any_more_is_refused(
    bench: Bench, versions: MemoryVersions, package: Package
) -> None:
    def fails(_: Evaluation) -> Evaluation:
        raise NotEvaluated("LightGBM failed to predict.")

    load = doctored([package.golden_rows[2].vector], fails)
    versions.publish(NEW, load)
    with pytest.raises(
        ReleaseRefused, match=r"golden row 3: it cannot be evaluated: LightGBM failed to predict\.$"
    ):
        check(bench, versions, {})
    # A release that mends it is let through: golden rows say what is right.
    versions.publish(LIVE, load)
    versions.publish(NEW)
    assert "19 of them compared" in check(bench, versions, {})[0]


def test_a_difference_on_a_saved_event_that_no_golden_row_shows_is_refused(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any]
) -> None:
    vector = [812.5, 1.0, 1.0, 3.0, 55.5, 0.07]
    versions.publish(NEW, doctored([vector], contribution_one_ulp_up))
    with pytest.raises(
        ReleaseRefused,
        match=r"saved event whole: its contribution of amount is -?0x\S+, not -?0x\S+, as function",
    ):
        check(bench, versions, events)
    versions.publish(NEW, doctored([vector], raw_score_one_ulp_up))
    with pytest.raises(ReleaseRefused, match=r"saved event whole: its (score|raw_score) is -?0x"):
        check(bench, versions, events)
    # Unless its author says that this is what the release is for.
    said = check(bench, versions, events, changed=("whole",))
    assert "not compared, since this release changes their answers: whole" in said[1]
    assert "1 saved events are answered" in said[2]
    # Not compared, and answered all the same.
    answer = versions.functions[NEW]
    versions.functions[NEW] = lambda event: (
        {"failed": "KeyError"} if event["code_release_check"]["kind"] == "rehearsal" else answer(event)
    )
    with pytest.raises(ReleaseRefused, match="fails a check: KeyError"):
        check(bench, versions, events, changed=("whole",))


def test_a_shadow_answers_nobody_and_must_give_its_golden_rows_all_the_same(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], second_package: Package
) -> None:
    name = bench.put_arm(second_package, Role.SHADOW, 0)
    assert check(bench, versions, events)[-1].startswith(f"{name} (shadow): 20 golden rows")
    row = second_package.golden_rows[0]
    versions.publish(NEW, doctored([row.vector], raw_score_one_ulp_up))
    with pytest.raises(ReleaseRefused, match=rf"{name}, golden row 1: the raw score"):
        check(bench, versions, events)


def test_an_arm_that_the_new_version_cannot_load_is_refused_and_named(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], second_package: Package
) -> None:
    name = bench.put_arm(second_package, share_bp=1)

    def load(text: bytes) -> LightGBMEvaluator:
        if text == second_package.model_text:
            raise KernelRefused("The kernel reads no such tree.")
        return LightGBMEvaluator(text)

    versions.publish(NEW, load)
    with pytest.raises(
        ReleaseRefused, match=r"^Function version 42 does not answer by route 2: card-fraud@2 not_loaded"
    ):
        check(bench, versions, events)
    bench.put_arm(second_package, Role.SHADOW, 0)
    with pytest.raises(ReleaseRefused, match=rf"^{name} cannot be loaded: The kernel reads no such tree"):
        check(bench, versions, events)


def test_a_package_that_was_altered_is_no_authority(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], package: Package
) -> None:
    bench.artifacts.files[package.sha256, "golden.jsonl"] = b""
    with pytest.raises(Exception, match=r"The package is altered: golden\.jsonl"):
        check(bench, versions, events)


def test_an_arm_without_an_approval_is_no_authority(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any]
) -> None:
    models = bench.registry_store._models["card-fraud"]
    models[1] = models[1].model_copy(update={"approval": None, "state": State.GATED})
    with pytest.raises(ReleaseRefused, match=r"card-fraud@1 is not approved"):
        check(bench, versions, events)


def test_features_that_change_between_two_reads_stop_no_release(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any]
) -> None:
    # Given that the card's counter moves just before the new version reads it
    def moves() -> None:
        bench.put_rows(txn_count_1h=9)

    rehearsals = list(range(3))
    answer = versions.functions[NEW]

    def move_first(event: Any) -> Any:
        if event["code_release_check"]["kind"] == "rehearsal" and rehearsals.pop():
            moves()
        return answer(event)

    versions.functions[NEW] = move_first
    # Then the live version reads it too, and what it then answers is what is compared
    assert "2 saved events" in check(bench, versions, events)[1]


def test_features_that_never_rest_leave_nothing_to_compare_and_that_is_said(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any]
) -> None:
    counter = iter(range(1_000))

    def moving(answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def answered(event: Any) -> Any:
            bench.features.write(
                [
                    FeatureRow(
                        FeatureKey("card", "card_1"),
                        bench.clock.now_ms(),
                        {"txn_count_1h": next(counter), "amount_mean_7d": 55.5},
                    )
                ]
            )
            return answer(event)

        return answered

    versions.functions |= {name: moving(answer) for name, answer in versions.functions.items()}
    with pytest.raises(ReleaseRefused, match="no 3 rounds gave two answers that can be compared"):
        check(bench, versions, events)


def test_a_store_that_is_late_once_stops_no_release(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any]
) -> None:
    answer, slow = versions.functions[NEW], [True]

    def late_once(event: Any) -> Any:
        if event["code_release_check"]["kind"] == "rehearsal" and slow:
            slow.clear()
            bench.features.late = frozenset({FeatureKey("card", "card_1")})
        try:
            return answer(event)
        finally:
            bench.features.late = frozenset()

    versions.functions[NEW] = late_once
    assert "2 saved events" in check(bench, versions, events)[1]


def test_a_route_that_changes_meanwhile_is_checked_anew(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], second_package: Package
) -> None:
    vector = second_package.golden_rows[0].vector
    versions.publish(NEW, doctored([vector], raw_score_one_ulp_up))
    versions.before[LIVE] = [lambda: bench.put_arm(second_package, share_bp=1) and None]
    with pytest.raises(ReleaseRefused, match=r"card-fraud@2, golden row 1"):
        check(bench, versions, events)


def test_a_route_that_changes_again_and_again_stops_the_release(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], second_package: Package
) -> None:
    answer = versions.functions[NEW]

    def moving(event: Any) -> Any:
        if event["code_release_check"]["kind"] == "golden":
            bench.put_arm(second_package, share_bp=1)
        return answer(event)

    versions.functions[NEW] = moving
    with pytest.raises(ReleaseRefused, match="The route of card-fraud changed 3 times"):
        check(bench, versions, events)


def test_a_live_version_of_before_there_were_checks_is_not_compared_with_and_that_is_said(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], package: Package
) -> None:
    versions.publish_older(LIVE)
    said = check(bench, versions, events)
    assert said[-1] == (
        "Nothing more was compared with function version 41: Function version 41 does not know this check."
    )
    assert "0 of them compared" in said[0]
    # Golden rows hold all the same.
    versions.publish(NEW, doctored([package.golden_rows[0].vector], raw_score_one_ulp_up))
    with pytest.raises(ReleaseRefused, match="golden row 1"):
        check(bench, versions, events)


def test_a_live_version_that_cannot_be_asked_does_not_stop_what_may_mend_it(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    del versions.functions[LIVE]
    with caplog.at_level(logging.WARNING):
        assert "cannot be invoked" in check(bench, versions, events)[-1]
    assert "not compared with" in caplog.text


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"statusCode": 400}, "Function version 42 does not know this check"),
        ({"failed": "MemoryError"}, "Function version 42 fails a check: MemoryError"),
        (None, "does not know this check"),
        ({"function_version": "41", "route": 1}, "41 answered in the place of 42"),
        ({"function_version": "42", "route": 1}, "gives no golden row of card-fraud@1"),
        ({"function_version": "42", "route": 0}, "does not answer by route 1: it answers by route none"),
        ({"function_version": "42", "route": 1, "golden": {"rows": []}}, "0 golden rows are answered of 20"),
    ],
)
def test_a_new_version_that_answers_anything_else_is_refused(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any], answer: Any, sentence: str
) -> None:
    versions.functions[NEW] = lambda _: answer
    with pytest.raises(ReleaseRefused, match=sentence):
        check(bench, versions, events)


def test_an_endpoint_without_a_route_has_nothing_to_compare_and_its_version_is_started(
    events: dict[str, Any],
) -> None:
    bench = Bench()
    versions = MemoryVersions(bench)
    versions.publish(NEW)
    assert check(bench, versions, events) == [
        "card-fraud has no route yet, so function version 42 was only started."
    ]
    assert versions.asked == [(NEW, "presence")]


def test_an_endpoint_without_saved_events_is_said_to_have_none(
    bench: Bench, versions: MemoryVersions, request_body: Body
) -> None:
    said = check(bench, versions, {"other": saved_event(request_body, "credit-line")})
    assert said[1] == "card-fraud@1: there is no saved event for card-fraud."


def test_a_check_that_takes_too_long_is_given_up(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any]
) -> None:
    versions.before[NEW] = [lambda: bench.clock.advance_ms(13 * 60_000)]
    with pytest.raises(ReleaseRefused, match="not done in the time that a hook has"):
        check(bench, versions, events)


@pytest.mark.parametrize(
    "deployment",
    [
        replace(DEPLOYMENT, function="quicksilver-test-registry"),
        replace(DEPLOYMENT, alias="other"),
    ],
)
def test_what_is_no_release_of_this_stage_is_refused_unasked(
    bench: Bench, versions: MemoryVersions, deployment: Deployment
) -> None:
    with pytest.raises(ReleaseRefused, match="is not the alias live of a score function here"):
        before_traffic(bench, versions, {}).check(deployment)
    assert versions.asked == []


# What CodeDeploy is told.


def test_codedeploy_is_told_that_the_release_goes_on(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any]
) -> None:
    deployments = MemoryDeployments()
    answer = answer_hook(HOOK, deployments, before_traffic(bench, versions, events).check)
    assert deployments.reported == [("d-5K2PQ8VWH", "eyJl", True)]
    assert answer["succeeded"]
    assert len(answer["said"]) == 2


def test_codedeploy_is_told_to_stop_and_the_log_says_why_without_an_entity(
    bench: Bench,
    versions: MemoryVersions,
    events: dict[str, Any],
    package: Package,
    caplog: pytest.LogCaptureFixture,
) -> None:
    versions.publish(NEW, doctored([package.golden_rows[0].vector], raw_score_one_ulp_up))
    deployments = MemoryDeployments()
    answer = answer_hook(HOOK, deployments, before_traffic(bench, versions, events).check)
    assert deployments.reported == [("d-5K2PQ8VWH", "eyJl", False)]
    assert answer["said"][0] in caplog.text
    assert not any(secret in caplog.text for secret in ("card_1", "m_1", "812.5"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            Unavailable("CodeDeploy does not say what is deployed: ThrottlingException."),
            "CodeDeploy does not say",
        ),
        (RuntimeError("4111 is secret"), "The check itself failed."),
    ],
)
def test_whatever_fails_stops_the_release(
    error: Exception, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    deployments = MemoryDeployments(moves=error)
    answer = answer_hook(HOOK, deployments, lambda _: pytest.fail("there is nothing to check"))
    assert deployments.reported == [("d-5K2PQ8VWH", "eyJl", False)]
    assert answer["said"][0].startswith(sentence)
    assert "4111" not in caplog.text


def test_an_answer_that_codedeploy_does_not_take_fails_the_run_so_that_it_is_run_again() -> None:
    deployments = MemoryDeployments(
        refuses=Unavailable("CodeDeploy does not take the hook's answer: Throttling.")
    )
    with pytest.raises(Unavailable, match="does not take"):
        answer_hook(HOOK, deployments, lambda _: [])


@pytest.mark.parametrize(
    "event", [{}, {"DeploymentId": "d-1"}, {"DeploymentId": "", "LifecycleEventHookExecutionId": "x"}]
)
def test_an_event_that_is_not_codedeploys_is_refused(event: Body) -> None:
    with pytest.raises(ValueError, match="validation error"):
        answer_hook(event, MemoryDeployments(), lambda _: [])


# Provisioned concurrency.

IN_PROGRESS, READY = Provisioned(ProvisionedStatus.IN_PROGRESS), Provisioned(ProvisionedStatus.READY)


def test_no_version_gets_traffic_before_its_provisioned_concurrency_is_ready(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any]
) -> None:
    concurrency = MemoryConcurrency(looks={NEW: [IN_PROGRESS, IN_PROGRESS, READY]})
    said = check(bench, versions, events, concurrency=concurrency, executions=2)
    assert said[0] == "The provisioned concurrency of function version 42 is ready."
    assert concurrency.put_ == []


def test_a_version_that_had_given_it_up_is_given_it_again(
    bench: Bench, versions: MemoryVersions, events: dict[str, Any]
) -> None:
    concurrency = MemoryConcurrency(after_put=[IN_PROGRESS, READY])
    said = check(bench, versions, events, concurrency=concurrency, executions=2)
    assert concurrency.put_ == [(NEW, 2)]
    assert said[0].endswith("It had none, and was given 2.")


@pytest.mark.parametrize(
    ("looks", "sentence"),
    [
        ([IN_PROGRESS], "is not ready after 5 minutes"),
        (
            [Provisioned(ProvisionedStatus.FAILED, "The function fails to start.")],
            "failed: The function fails",
        ),
    ],
)
def test_a_version_that_does_not_get_it_gets_no_traffic(
    bench: Bench,
    versions: MemoryVersions,
    events: dict[str, Any],
    looks: list[Provisioned],
    sentence: str,
) -> None:
    with pytest.raises(ReleaseRefused, match=sentence):
        check(bench, versions, events, concurrency=MemoryConcurrency(looks={NEW: looks}), executions=2)
    assert versions.asked == []
