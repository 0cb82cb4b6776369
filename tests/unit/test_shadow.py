"""A shadow scores the very vector that was scored, or says why it did not."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from quicksilver.errors import InvalidInput, NotFound, Unavailable
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.memory import ManualClock, MemoryArtifactStore, MemoryRegistryStore
from quicksilver.model_loader import ModelLoader, registered
from quicksilver.package import CONTRACT, MODEL
from quicksilver.routing import Arm, Role
from quicksilver.scoring import Caller
from quicksilver.shadow.scoring import RETRY_MS, ScoredVector, ShadowScorer
from quicksilver.shadow_score import ShadowError
from tests.approvals import ADA
from tests.shadows import demanding_package, reordered_package

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench


@dataclass
class Stores:
    """Artefacts that can be told to be out of reach, and how often they were asked."""

    inner: MemoryArtifactStore
    available: bool = True
    asked: int = 0

    def put(self, package_sha256: str, files: Any) -> None:
        self.inner.put(package_sha256, files)

    def get(self, package_sha256: str, name: str) -> bytes:
        self.asked += 1
        if not self.available:
            raise Unavailable("The artefact store cannot be reached.")
        return self.inner.get(package_sha256, name)


@pytest.fixture
def stores(bench: Bench) -> Stores:
    return Stores(bench.artifacts)


@pytest.fixture
def scorer(bench: Bench, stores: Stores) -> ShadowScorer:
    loader = ModelLoader(stores, LightGBMEvaluator, permit=registered(bench.registry_store))
    return ShadowScorer(loader, stores, bench.clock)


@pytest.fixture
def record(bench: Bench, request_body: dict[str, Any]) -> dict[str, Any]:
    bench.scorer.score(json.dumps(request_body), Caller("r", "1"))
    bench.log.flush()
    (entry,) = bench.stream.entries
    content: dict[str, Any] = json.loads(entry.data)
    return content


def read(record: dict[str, Any]) -> ScoredVector:
    return ScoredVector.from_json(json.dumps(record).encode())


def shadow(bench: Bench, package: Package) -> Arm:
    """A package as a shadow arm: registered, and nothing more."""
    bench.artifacts.put(package.sha256, package.files)
    model = bench.registry.register("card-fraud", package.sha256, who=ADA)
    return Arm(model=model.name, package_sha256=package.sha256, role=Role.SHADOW, share_bp=0)


def test_the_champion_as_its_own_shadow_gives_its_score_bit_for_bit(
    bench: Bench, scorer: ShadowScorer, record: dict[str, Any], package: Package
) -> None:
    score = scorer.score(read(record), shadow(bench, package))
    assert (score.raw_score, score.score) == (record["raw_score"], record["score"])
    assert (score.prediction_id, score.time, score.entity_id) == (
        record["prediction_id"],
        record["time"],
        "card_1",
    )
    assert (score.model, score.answered_by, score.error) == ("card-fraud@1", "card-fraud@1", None)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    amount=st.floats(0, 1_000_000),
    channel=st.sampled_from(["pos", "online", "atm", "by post"]),
    abroad=st.none() | st.booleans(),
)
def test_any_decision_is_scored_again_bit_for_bit(
    bench: Bench, scorer: ShadowScorer, package: Package, amount: float, channel: str, abroad: bool | None
) -> None:
    body = {"entity_id": "card_1", "features": {"amount": amount, "channel": channel, "cross_border": abroad}}
    if abroad is None:
        del body["features"]["cross_border"]  # type: ignore[attr-defined]
    answer = bench.scorer.score(json.dumps(body), Caller("r", "1"))
    bench.log.flush()
    again = scorer.score(ScoredVector.from_json(bench.stream.entries[-1].data), shadow(bench, package))
    assert again.raw_score == answer.raw_score


def test_a_shadow_with_other_codes_scores_the_same_values(
    bench: Bench, scorer: ShadowScorer, record: dict[str, Any]
) -> None:
    package = reordered_package()
    vector = record["vector"]
    assert vector[1] == 1.0, "online, by the champion's codes"
    own = (vector[0], 2.0, *vector[2:])  # online by the shadow's codes
    expected = LightGBMEvaluator(package.model_text).raw_score(own)
    assert scorer.score(read(record), shadow(bench, package)).raw_score == expected


def test_a_default_of_the_champions_is_not_taken_for_a_value(
    bench: Bench, scorer: ShadowScorer, request_body: dict[str, Any]
) -> None:
    package = reordered_package()
    del request_body["features"]["cross_border"]
    bench.scorer.score(json.dumps(request_body), Caller("r", "1"))
    bench.log.flush()
    record = json.loads(bench.stream.entries[-1].data)
    assert record["vector"][2] == 0.0, "the champion's default"
    own = (record["vector"][0], 2.0, 1.0, *record["vector"][3:])
    expected = LightGBMEvaluator(package.model_text).raw_score(own)
    assert scorer.score(read(record), shadow(bench, package)).raw_score == expected


def test_features_the_champion_does_not_have_are_an_error_and_no_guess(
    bench: Bench, scorer: ShadowScorer, record: dict[str, Any]
) -> None:
    score = scorer.score(read(record), shadow(bench, demanding_package()))
    assert (score.error, score.raw_score, score.score, score.score_us) == (
        ShadowError.FEATURES_LACKING,
        None,
        None,
        0,
    )


def test_an_answering_contract_that_is_not_in_its_package_is_an_error(
    bench: Bench, scorer: ShadowScorer, record: dict[str, Any]
) -> None:
    arm = shadow(bench, reordered_package())
    for change in ({"fingerprint": "0" * 64}, {"fingerprint": "0" * 64, "package_sha256": "0" * 64}):
        score = scorer.score(read({**record, **change}), arm)
        assert score.error is ShadowError.CONTRACT_UNREADABLE


def test_an_altered_package_is_not_loaded_and_not_tried_for_every_record(
    bench: Bench, scorer: ShadowScorer, stores: Stores, record: dict[str, Any], second_package: Package
) -> None:
    arm = shadow(bench, second_package)
    sound = bench.artifacts.files[second_package.sha256, MODEL]
    bench.artifacts.files[second_package.sha256, MODEL] = sound + b" "
    assert [scorer.score(read(record), arm).error for _ in range(3)] == [ShadowError.NOT_LOADED] * 3
    asked = stores.asked
    bench.artifacts.files[second_package.sha256, MODEL] = sound
    assert scorer.score(read(record), arm).error is ShadowError.NOT_LOADED
    assert stores.asked == asked, "it is not asked again so soon"
    bench.clock.advance_ms(RETRY_MS)
    assert scorer.score(read(record), arm).error is None


def test_a_model_version_that_is_registered_with_other_bytes_is_not_loaded(
    bench: Bench, scorer: ShadowScorer, record: dict[str, Any], second_package: Package
) -> None:
    arm = shadow(bench, second_package).model_copy(update={"model": "card-fraud@1"})
    assert scorer.score(read(record), arm).error is ShadowError.NOT_LOADED
    unknown = arm.model_copy(update={"model": "card-fraud@99"})
    assert scorer.score(read(record), unknown).error is ShadowError.NOT_LOADED


def test_an_outage_is_raised_so_that_the_batch_comes_again(
    bench: Bench, scorer: ShadowScorer, stores: Stores, record: dict[str, Any]
) -> None:
    arm = shadow(bench, reordered_package())
    stores.available = False
    with pytest.raises(Unavailable):
        scorer.score(read(record), arm)
    stores.available = True
    assert scorer.score(read(record), arm).error is None


def test_an_outage_while_the_answering_contract_is_read_is_raised_too(
    bench: Bench, scorer: ShadowScorer, stores: Stores, record: dict[str, Any]
) -> None:
    arm = shadow(bench, reordered_package())
    assert scorer.score(read(record), arm).error is None
    scorer.keep([])
    get = stores.get

    def without_contracts(package_sha256: str, name: str) -> bytes:
        if name == CONTRACT and package_sha256 == record["package_sha256"]:
            raise Unavailable("The artefact store cannot be reached.")
        return get(package_sha256, name)

    stores.get = without_contracts  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        scorer.score(read(record), arm)


def test_a_vector_that_is_not_of_its_contract_is_refused(
    bench: Bench, scorer: ShadowScorer, record: dict[str, Any], package: Package
) -> None:
    arm = shadow(bench, package)
    assert scorer.score(read({**record, "vector": [1.0]}), arm).error is ShadowError.REJECTED


def test_a_failure_nobody_foresaw_is_that_records_error_alone(
    bench: Bench, stores: Stores, record: dict[str, Any], package: Package
) -> None:
    class Broken(LightGBMEvaluator):
        def raw_score(self, vector: Any) -> float:
            raise ZeroDivisionError

    loader = ModelLoader(stores, Broken, permit=registered(bench.registry_store))
    broken = ShadowScorer(loader, stores, bench.clock)
    assert broken.score(read(record), shadow(bench, package)).error is ShadowError.NOT_EVALUATED


def test_models_are_loaded_once_and_let_go_of(
    bench: Bench, scorer: ShadowScorer, stores: Stores, record: dict[str, Any], second_package: Package
) -> None:
    arm = shadow(bench, second_package)
    scorer.score(read(record), arm)
    asked = stores.asked
    scorer.keep([arm])
    scorer.score(read(record), arm)
    assert stores.asked == asked
    scorer.keep([])
    scorer.score(read(record), arm)
    assert stores.asked > asked


def test_records_of_earlier_schemas_are_read(record: dict[str, Any]) -> None:
    old = {**record, "schema_version": 1, "arm": {"role": "champion", "share_bp": 10_000}}
    assert read(old).values == read(record).values


def test_missing_is_nan_and_only_features_are_degraded_features(record: dict[str, Any]) -> None:
    notes = [
        {"feature": "amount", "cause": "absent", "policy": "missing"},
        {"model": "card-fraud@2", "cause": "not_loaded", "policy": "last_good"},
    ]
    found = read({**record, "vector": [None, 1.0], "degraded": notes})
    assert math.isnan(found.values[0])
    assert found.degraded_features == {"amount"}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"prediction_id": "a"}', b"\xff"])
def test_what_is_no_record_is_refused_without_its_values(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="no prediction record") as caught:
        ScoredVector.from_json(data)
    assert all(field.reason == "is not as a prediction record has it" for field in caught.value.fields)


def test_the_permit_of_a_shadow_asks_for_no_signature(package: Package) -> None:
    """A model version that is registered and not approved may be a shadow's, and an absent one may not."""
    store, clock = MemoryRegistryStore(), ManualClock()
    artifacts = MemoryArtifactStore()
    scorer = ShadowScorer(
        ModelLoader(artifacts, LightGBMEvaluator, permit=registered(store)), artifacts, clock
    )
    arm = Arm(model="card-fraud@1", package_sha256=package.sha256, role=Role.SHADOW, share_bp=0)
    with pytest.raises(NotFound):
        artifacts.get(package.sha256, MODEL)
    record = ScoredVector(
        prediction_id="a", endpoint="card-fraud", entity_id="e", time="2026-11-26T09:00:00.000Z",
        model="card-fraud@1", package_sha256=package.sha256, fingerprint=package.contract.fingerprint,
        vector=(1.0,) * 6,
    )  # fmt: skip
    assert scorer.score(record, arm).error is ShadowError.NOT_LOADED
