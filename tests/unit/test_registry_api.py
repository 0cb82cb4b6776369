"""The registry's API: each request to its rule, with the identity AWS gives, and problems for the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.errors import Conflict
from quicksilver.registry_api import RegistryApi
from quicksilver.registry_operation import MAX_BODY_BYTES
from tests.approvals import ADA, GRACE, policy, report
from tests.documented_answers import documented

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench


ROLLOUT = {"model": "card-fraud@2", "steps_bp": [100, 10_000], "bake_seconds": 60, "reason": "Better."}


class Caller:
    """Sends requests as somebody."""

    def __init__(self, bench: Bench) -> None:
        self._api = RegistryApi(bench.registry)

    def __call__(
        self, method: str, path: str, body: Any = None, *, who: str | None = ADA, **query: str
    ) -> tuple[int, Any]:
        event = {
            "httpMethod": method,
            "path": f"/v1/registry/{path}",
            "queryStringParameters": query or None,
            "body": body if isinstance(body, str) or body is None else json.dumps(body),
            "requestContext": {"requestId": "r-1", "identity": {"userArn": who}},
        }
        answer = documented(self._api.answer(event), event["path"], method)
        return answer["statusCode"], json.loads(answer["body"])


@pytest.fixture
def call(bench: Bench) -> Caller:
    return Caller(bench)


def test_a_route_may_set_the_holdout_and_keeps_it_otherwise(bench: Bench, call: Caller) -> None:
    arm = bench.registry.current_route("card-fraud").champion.model_dump(mode="json")
    held = call("PUT", "card-fraud/route", {"arms": [arm], "reason": "Hold.", "holdout_bp": 100})
    kept = call("PUT", "card-fraud/route", {"arms": [arm], "reason": "Again."})
    assert [(status, route["number"], route["holdout_bp"]) for status, route in (held, kept)] == [
        (200, 2, 100),
        (200, 3, 100),
    ]
    status, problem = call("PUT", "card-fraud/route", {"arms": [arm], "reason": "All.", "holdout_bp": 10_001})
    assert (status, problem["errors"][0]["field"]) == (422, "holdout_bp")


def test_the_whole_way_from_bytes_to_champion(bench: Bench, call: Caller, second_package: Package) -> None:
    bench.artifacts.put(second_package.sha256, second_package.files)
    status, model = call("POST", "card-fraud/models", {"package_sha256": second_package.sha256})
    assert (status, model["number"], model["author"]) == (200, 2, ADA)
    evidence = json.loads(report(second_package, policy()).canonical_json)
    assert call("POST", "card-fraud/models/2/evidence", {"report": evidence})[1]["state"] == "gated"
    assert call("GET", "card-fraud/models/2/evidence")[1]["package_sha256"] == second_package.sha256
    assert (
        call("POST", "card-fraud/models/2/approve", {"reason": "Better."}, who=GRACE)[1]["state"]
        == "approved"
    )
    arm = {
        "model": "card-fraud@2",
        "package_sha256": second_package.sha256,
        "role": "champion",
        "share_bp": 10_000,
    }
    status, route = call(
        "PUT", "card-fraud/route", {"arms": [arm], "reason": "Better.", "expected": 1}, who=GRACE
    )
    assert (status, route["number"], route["author"]) == (200, 2, GRACE)
    assert call("GET", "card-fraud/route")[1] == route


def test_pages_are_cut_as_asked(call: Caller) -> None:
    status, page = call("GET", "card-fraud/history", after="1", limit="2")
    assert (status, [entry["number"] for entry in page["items"]]) == (200, [2, 3])
    assert len(call("GET", "card-fraud/models")[1]["items"]) == 1
    assert len(call("GET", "card-fraud/routes", limit="100000")[1]["items"]) == 1


def test_who_answered_then(bench: Bench, call: Caller) -> None:
    created = bench.registry.current_route("card-fraud").created_at
    assert call("GET", "card-fraud/at", time=created)[1]["number"] == 1
    assert call("GET", "card-fraud/at", time="2001-01-01T00:00:00+02:00")[0] == 404


@pytest.mark.parametrize("time", ["yesterday", "2026-11-23T10:00:00", ""])
def test_a_moment_that_is_none_is_named(call: Caller, time: str) -> None:
    status, problem = call("GET", "card-fraud/at", time=time)
    assert (status, problem["errors"][0]["field"]) == (422, "time")


def test_a_caller_without_an_identity_is_refused(call: Caller) -> None:
    assert call("GET", "card-fraud/route", who=None)[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "card-fraud/models", None, 422, "(body)"),
        ("POST", "card-fraud/models", "{", 422, "(whole)"),
        ("POST", "card-fraud/models", {"package_sha256": "x"}, 422, "package_sha256"),
        ("POST", "card-fraud/models", {"package_sha256": "a" * 64}, 404, None),
        ("POST", "card-fraud/models/1/approve", {}, 422, "reason"),
        ("POST", "card-fraud/models/1/approve", {"reason": " "}, 422, "reason"),
        ("POST", "card-fraud/models/1/approve", {"reason": "Again."}, 409, None),
        ("POST", "card-fraud/models/9/approve", {"reason": "Who?"}, 404, None),
        ("POST", "card-fraud/models/1/evidence", {"report": {}}, 422, "report.endpoint"),
        ("PUT", "card-fraud/route", {"arms": [], "reason": "None."}, 422, "arms"),
        ("GET", "card-fraud/rollout", None, 404, None),
        ("POST", "card-fraud/rollout", {"model": "card-fraud@1"}, 422, "steps_bp"),
        ("POST", "card-fraud/rollout", {**ROLLOUT, "model": "fourteen"}, 422, "model"),
        ("POST", "card-fraud/rollout", {**ROLLOUT, "steps_bp": [0, 10_000]}, 422, "steps_bp.0"),
        ("POST", "card-fraud/rollout", {**ROLLOUT, "bake_seconds": 0}, 422, "bake_seconds"),
        ("POST", "card-fraud/rollout", {**ROLLOUT, "guards": {"alpha": 2}}, 422, "guards.alpha"),
        ("POST", "card-fraud/rollout", {**ROLLOUT, "reason": ""}, 422, "reason"),
        ("POST", "card-fraud/rollout", {**ROLLOUT, "model": "card-fraud@9"}, 404, None),
        ("POST", "card-fraud/rollout", {**ROLLOUT, "model": "card-fraud@1"}, 422, "model"),
        ("POST", "card-fraud/rollout/pause", {"reason": "Stop."}, 404, None),
        ("POST", "card-fraud/rollout/abort", {}, 422, "reason"),
        ("POST", "card-fraud/rollout/decision", {"expected": 1}, 422, "look"),
        ("GET", "card-fraud/models/0", None, 404, None),
        ("DELETE", "card-fraud/models/1", None, 404, None),
        ("GET", "nothing", None, 404, None),
    ],
)
def test_what_cannot_be_done_is_a_problem_with_field_and_reason(
    call: Caller, method: str, path: str, body: Any, status: int, field: str | None
) -> None:
    got, problem = call(method, path, body)
    assert (got, problem["status"]) == (status, status)
    assert ([item["field"] for item in problem.get("errors", ())] or [None])[0] == field


@pytest.mark.parametrize("number", ["first", "-1", "", "\u0664"])
def test_a_number_in_the_query_that_is_none_is_named(call: Caller, number: str) -> None:
    status, problem = call("GET", "card-fraud/history", after=number)
    assert (status, problem["errors"][0]["field"]) == (422, "after")


def test_a_body_may_have_a_mebibyte_and_no_byte_more(call: Caller) -> None:
    empty = len('{"reason": ""}')
    longest = {"reason": "x" * (MAX_BODY_BYTES - empty)}
    assert call("POST", "card-fraud/models/1/approve", longest)[0] == 422
    status, problem = call("POST", "card-fraud/models/1/approve", {"reason": longest["reason"] + "x"})
    assert (status, problem["title"]) == (413, "Content Too Large")
    assert problem["errors"] == [{"field": "(body)", "reason": "must be at most 1048576 bytes"}]


def test_nothing_internal_leaves_when_something_unforeseen_happens(
    bench: Bench, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(bench.registry_store, "current_route", fail)
    status, problem = call("GET", "card-fraud/route")
    assert status == 500
    assert "secret" not in json.dumps(problem)


def test_rivals_without_end_are_a_503_that_says_when_to_try_again(
    bench: Bench, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def always_late(_: object) -> None:
        raise Conflict("The registry has changed since it was read.")

    monkeypatch.setattr(bench.registry_store, "commit", always_late)
    status, problem = call("POST", "card-fraud/models/1/retire", {"reason": "Old."}, who=GRACE)
    assert status == 409, "a rule refuses before any rival matters"
    arm = {"model": "card-fraud@1", "role": "champion", "share_bp": 10_000}
    arm["package_sha256"] = bench.registry.model_version("card-fraud@1").package_sha256
    status, problem = call("PUT", "card-fraud/route", {"arms": [arm], "reason": "Again."}, who=GRACE)
    assert (status, "Too many writers" in problem["detail"]) == (503, True)
