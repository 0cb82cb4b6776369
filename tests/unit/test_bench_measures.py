"""How benches measure: paired by round, the CPU of the right processes, and differences relative to a row."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bench.coldstart import parse_importtime
from bench.kernel import compare, headline
from bench.model import bench_contract
from bench.processes import cpu_us, family
from bench.rounds import Lane, quantile, run
from bench.traffic import calls, feature_rows
from quicksilver.contract import FeatureType, Source
from quicksilver.features import build_vector, check_names, feature_keys
from quicksilver.ports import FeatureReading
from quicksilver.request import parse_request

NAN = float("nan")


def model_of(*vectors: list[float]) -> Any:
    return SimpleNamespace(contract=bench_contract(), vectors=list(vectors))


def test_the_bench_contract_has_the_features_that_the_figures_speak_of() -> None:
    features = bench_contract().features
    assert len(features) == 40
    assert sum(feature.source is Source.REQUEST for feature in features) == 15
    assert sum(feature.type is FeatureType.CATEGORY for feature in features) == 5
    assert {feature.group for feature in features} == {None, "entity", "merchant", "device"}


def test_a_vector_sent_as_request_and_feature_rows_is_the_vector_that_is_scored() -> None:
    vector = [1.0] * 39 + [NAN]
    model = model_of(vector)
    request = parse_request(calls(model)[0].event["body"])
    check_names(model.contract, request)
    keys = feature_keys(model.contract, request)
    reading = FeatureReading({row.key: row for row in feature_rows(model, now_ms=1_000)})
    built = build_vector(model.contract, request, keys, reading, now_ms=2_000)
    assert json.dumps(built.values) == json.dumps(vector)
    assert [(item.feature, item.cause) for item in built.degraded] == [("device_system", "absent")]


def test_a_body_for_who_reads_no_features_has_all_of_them() -> None:
    (call,) = calls(model_of([1.0] * 40))
    assert set(json.loads(call.whole_body)["features"]) == set(bench_contract().names)


def test_the_kernel_bench_finds_the_difference_relative_to_the_rows_largest_contribution() -> None:
    def theirs(vector: Sequence[float]) -> tuple[float, ...]:
        return (vector[0], -4.0, 100.0)

    def ours(vector: Sequence[float]) -> tuple[float, ...]:
        return (vector[0], -4.0 + 2e-12, 100.0)

    row = compare(ours, theirs, [[0.5], [1.5]])
    assert row["max_rel_diff"] == pytest.approx(5e-13, rel=1e-3)
    found = headline({"500x63": row, "2000x63": row})
    assert set(found) == {"ratio_vs_pred_contrib", "ratio_2000x63", "max_rel_diff"}


class Server:
    """A contestant that answers at once, and remembers what it was asked."""

    def __init__(self, name: str, asked: list[tuple[str, Any]]) -> None:
        self.name, self.pids, self._asked = name, [os.getpid()], asked

    def call(self, call: Any, *, explain: bool) -> tuple[float, Any]:
        self._asked.append((self.name, call))
        return 10.0, {}


def test_lanes_score_the_same_requests_in_blocks_that_alternate() -> None:
    asked: list[tuple[str, Any]] = []
    lanes = [Lane("a", Server("a", asked)), Lane("b", Server("b", asked))]
    run(lanes, [1, 2, 3], rounds=2, block=2, warm_up=1)  # type: ignore[list-item]
    blocks = [("a", 1), ("b", 1), *[("a", 1), ("a", 2)], *[("b", 1), ("b", 2)]]
    assert asked == [*blocks, *[("b", 3), ("b", 1)], *[("a", 3), ("a", 1)]]
    assert lanes[0].waits == [10.0] * 4


def test_a_ratio_is_taken_within_rounds_so_that_drift_does_not_enter() -> None:
    ours, theirs = Lane("ours", Server("", [])), Lane("theirs", Server("", []))
    ours.cpu_us, theirs.cpu_us = [10.0, 100.0, 20.0], [20.0, 200.0, 40.0]
    assert ours.cpu_ratio(theirs) == 0.5


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100)])
def test_a_quantile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert quantile(list(range(1, 101)), share) == expected


def test_cpu_of_a_process_only_grows_and_its_family_begins_with_itself() -> None:
    pids = family(os.getpid())
    assert pids[0] == os.getpid()
    before = cpu_us(pids[:1])
    assert sum(range(100_000)) > 0
    assert cpu_us(pids[:1]) > before > 0


def test_import_times_are_summed_by_package_without_the_handler_itself() -> None:
    text = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       100 |        100 |   pydantic.main\n"
        "import time:        50 |        150 | pydantic\n"
        "import time:      9000 |       9150 | handler\n"
    )
    assert parse_importtime(text) == {"pydantic": 150}
